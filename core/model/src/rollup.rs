//! Roll-ups: fields of a record that follow from its child records.
//!
//! What a roll-up is and which ones there can be stands here; how one is kept stands in [`kept`]. The committer and the buffer of a
//! slice both keep them by those functions, and the store's SQL recomputes the same.
//!
//! | Function | Of nothing | Kept beside it |
//! |---|---|---|
//! | `count` | 0 | |
//! | `sum` | 0 | |
//! | `min`, `max` | null | |
//! | `average` | null | how many, and their sum |
//! | `first`, `last` | null | the place in the order, and the child |
//!
//! Children whose field is null are left out, and for `first` and `last` those that have no place in the order. An average is rounded
//! half away from zero. A sum that leaves the range of its field is null until it fits again, and so is its average.

pub mod kept;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::formula;
use crate::name::Name;
use crate::rule::{ParamTypes, Rule, Scope};
use crate::schema::{FieldDef, FieldKind, HiddenDef, ObjectDef, Origin, Schema};

pub use kept::{Kept, Next, Rollups, Share, Total};

/// What is made of the children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// How many there are; with a field, how many have a value in it.
    Count,
    /// The sum of a number field.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The average of a number field.
    Average,
    /// The value of the child that comes first in an order.
    First,
    /// The value of the child that comes last in an order.
    Last,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Average, Self::First, Self::Last];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Average => "average",
            Self::First => "first",
            Self::Last => "last",
        }
    }

    /// The function of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.as_str() == text)
    }

    /// Whether it takes one child by its place in an order.
    #[must_use]
    pub const fn is_ordered(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a roll-up field follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollup {
    /// What is made of the children.
    pub function: Function,
    /// The object of the children.
    pub object: Name,
    /// Their reference field that names the parent.
    pub via: Name,
    /// The field of theirs that counts; `created_at` for the instant at which they came to be. None: a count of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Name>,
    /// A rule over the children: only those for which it holds count.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What `first` and `last` go by; `created_at` if it is not said. Of equals the id decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Name>,
}

/// A roll-up as an author declares it: what it leaves out follows from the objects that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollupDeclaration {
    /// The object that gets it.
    pub on: Name,
    /// Its name.
    pub name: Name,
    /// What is made of the children.
    pub function: Function,
    /// The object of the children.
    pub object: Name,
    /// Their reference to the parent; none: the one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Name>,
    /// The field of theirs that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Name>,
    /// Only those for which this rule holds count.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What `first` and `last` go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Name>,
    /// Served by an index.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub indexed: bool,
    /// The decimals of an average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
}

impl RollupDeclaration {
    /// The field that is meant, by the objects of `schema`.
    ///
    /// # Errors
    /// What is not there, or not plain.
    pub fn field(&self, schema: &Schema) -> Result<FieldDef, String> {
        let what = format!("the roll-up `{}.{}`", self.on, self.name);
        let child = schema.object(self.object.as_str());
        let child = child.ok_or_else(|| format!("{what} is over `{}`, which is no object", self.object))?;
        let via = self.via.clone().or_else(|| Rollup::only_way(&self.on, child)).ok_or_else(|| {
            let object = &self.object;
            format!("{what} must say by which field of `{object}` its children name it: write `via: \"…\"`")
        })?;
        let rollup = Rollup {
            function: self.function,
            object: self.object.clone(),
            via,
            field: self.field.clone(),
            condition: self.condition.clone(),
            by: self.by.clone(),
        };
        let kind = match (rollup.kind(child), self.scale) {
            (Some(FieldKind::Decimal { .. }), Some(scale)) if self.function == Function::Average => {
                FieldKind::Decimal { scale }
            }
            // What is wrong with its field is said when it is checked.
            (kind, _) => kind.unwrap_or(FieldKind::Integer),
        };
        let indexed = self.indexed;
        Ok(FieldDef { indexed, rollup: Some(Box::new(rollup)), ..FieldDef::new(self.name.clone(), kind) })
    }
}

/// The field of a child that a roll-up can go by although no object declares it.
const CREATED_AT: &str = "created_at";
/// Decimals of an average of whole numbers, if nobody says how many.
const AVERAGE_SCALE: u8 = 2;

/// What a field of a child holds, as a roll-up reads it: a choice is a text.
#[must_use]
pub fn kind_of(child: &ObjectDef, name: &str) -> Option<FieldKind> {
    if name == CREATED_AT {
        return Some(FieldKind::Timestamp);
    }
    Some(match &child.field(name)?.kind {
        FieldKind::Choice { .. } => FieldKind::Text,
        kind => kind.clone(),
    })
}

impl Rollup {
    /// What the roll-up field holds if nobody says otherwise; none if its children have no such field.
    #[must_use]
    pub fn kind(&self, child: &ObjectDef) -> Option<FieldKind> {
        let field = self.field.as_ref().map(|name| kind_of(child, name.as_str()));
        match (self.function, field) {
            (Function::Count, _) => Some(FieldKind::Integer),
            (Function::Average, Some(Some(FieldKind::Decimal { scale }))) => Some(FieldKind::Decimal { scale }),
            (Function::Average, Some(Some(_))) => Some(FieldKind::Decimal { scale: AVERAGE_SCALE }),
            (_, field) => field?,
        }
    }

    /// What `first` and `last` go by.
    #[must_use]
    pub fn order(&self) -> &str {
        self.by.as_ref().map_or(CREATED_AT, Name::as_str)
    }

    /// The one reference of the children to `parent`, where there is exactly one.
    #[must_use]
    pub fn only_way(parent: &Name, child: &ObjectDef) -> Option<Name> {
        let mut ways = child.fields.iter().filter(|field| refers_to(field, parent));
        let way = ways.next()?;
        ways.next().is_none().then(|| way.name.clone())
    }

    fn hidden(&self, field: &FieldDef, child: &ObjectDef) -> Vec<HiddenDef> {
        let hidden =
            |what: char, kind| HiddenDef { of: field.name.clone(), column: format!("_{}_{what}", field.name), kind };
        let value = self.field.as_ref().and_then(|name| kind_of(child, name.as_str()));
        match self.function {
            Function::Average => {
                let sum = value.unwrap_or(FieldKind::Integer);
                vec![hidden('n', FieldKind::Integer), hidden('s', sum)]
            }
            Function::First | Function::Last => {
                let key = kind_of(child, self.order()).unwrap_or(FieldKind::Timestamp);
                vec![hidden('k', key), hidden('c', FieldKind::Reference { object: self.object.clone() })]
            }
            _ => Vec::new(),
        }
    }
}

fn refers_to(field: &FieldDef, parent: &Name) -> bool {
    matches!(&field.kind, FieldKind::Reference { object } if object == parent)
}

/// Brings what is kept beside roll-up fields, and formulas, up to what `schema` declares. Whoever changes the objects of a schema calls this after it.
pub fn settle(schema: &mut Schema) {
    let mut settled = Vec::new();
    for object in schema.objects.values() {
        let hidden: Vec<HiddenDef> = object
            .fields
            .iter()
            .filter_map(|field| Some((field, field.rollup.as_ref()?)))
            .filter_map(|(field, rollup)| Some(rollup.hidden(field, schema.object(rollup.object.as_str())?)))
            .flatten()
            .collect();
        if hidden != object.hidden {
            settled.push(ObjectDef { hidden, ..(**object).clone() });
        }
    }
    for object in settled {
        schema.objects.insert(object.name.clone(), Arc::new(object));
    }
    formula::settle(schema);
}

/// Checks all roll-ups of `schema`.
///
/// # Errors
/// As for [`check`].
pub fn check_all(schema: &Schema) -> Result<(), String> {
    for object in schema.sorted_objects() {
        for field in object.fields.iter().filter(|field| field.rollup.is_some()) {
            check(schema, &object.name, field)?;
        }
    }
    Ok(())
}

/// Whether `field`, which is a roll-up, can be a field of the object `parent`. The schema may have it already.
///
/// # Errors
/// What stands against it, and what to write instead.
pub fn check(schema: &Schema, parent: &Name, field: &FieldDef) -> Result<(), String> {
    let Some(rollup) = &field.rollup else { return Ok(()) };
    let what = format!("the roll-up `{parent}.{}`", field.name);
    let child = schema.object(rollup.object.as_str()).filter(|child| child.origin != Origin::System);
    let child = child.ok_or_else(|| format!("{what} is over `{}`, which is no object", rollup.object))?;
    if schema.object(parent.as_str()).is_some_and(|object| object.origin == Origin::System) {
        return Err(format!("{what} cannot be: `{parent}` is the host's own"));
    }
    if !child.field(rollup.via.as_str()).is_some_and(|via| refers_to(via, parent)) {
        let why = format!("`{}.{}` is no reference to `{parent}`", child.name, rollup.via);
        return Err(format!("{what} needs the field by which its children name it: {why}"));
    }
    let more = field.searchable || field.default.is_some() || !field.indexed_with.is_empty();
    if field.required || field.unique || more {
        return Err(format!(
            "{what} can be indexed, but not with others, and not required, unique, searchable or given a default"
        ));
    }
    check_kinds(&what, field, rollup, child)?;
    check_condition(&what, rollup, child, schema)?;
    let own = Place { object: parent.clone(), field: field.name.clone() };
    let mut seen = HashSet::new();
    if leads_to(schema, sources(rollup, child, schema), &own, &mut seen) {
        return Err(format!("{what} would follow from itself: roll-ups over roll-ups must not run in a circle"));
    }
    Ok(())
}

fn check_kinds(what: &str, field: &FieldDef, rollup: &Rollup, child: &ObjectDef) -> Result<(), String> {
    let function = rollup.function;
    if let Some(name) = rollup.field.as_ref().filter(|name| kind_of(child, name.as_str()).is_none()) {
        return Err(format!("{what}: `{}` has no field `{name}`", child.name));
    }
    let value = rollup.field.as_ref().and_then(|name| kind_of(child, name.as_str()));
    let fits = match (&value, function) {
        (_, Function::Count) => true,
        (None, _) => return Err(format!("{what} must say of which field: `{function}` needs one")),
        (Some(kind), Function::Sum | Function::Average) => kind.is_number(),
        (Some(kind), Function::Min | Function::Max) => has_order(kind),
        (Some(kind), _) => !matches!(kind, FieldKind::Json | FieldKind::Tags | FieldKind::Reference { .. }),
    };
    if !fits {
        let held = value.as_ref().map_or("nothing", FieldKind::as_str);
        return Err(format!("{what}: there is no `{function}` of a field that holds {held}"));
    }
    let same = match (function, &field.kind) {
        (Function::Average, FieldKind::Decimal { .. }) => true,
        (_, kind) => rollup.kind(child).as_ref() == Some(kind),
    };
    if !same {
        let wanted = rollup.kind(child).map_or("another kind", |kind| kind.clone().as_str());
        return Err(format!("{what} holds {wanted}, with as many decimals as what it follows from"));
    }
    match &rollup.by {
        Some(by) if !function.is_ordered() => {
            Err(format!("{what}: `by` goes with `first` and `last`, not `{function}` (`{by}`)"))
        }
        Some(by) if !kind_of(child, by.as_str()).is_some_and(|kind| has_order(&kind)) => {
            Err(format!("{what}: `{}` has no field `{by}` that has an order", child.name))
        }
        _ => Ok(()),
    }
}

const fn has_order(kind: &FieldKind) -> bool {
    use FieldKind::{Date, Decimal, Integer, Text, Timestamp};
    matches!(kind, Integer | Decimal { .. } | Date | Timestamp | Text)
}

/// The condition of a roll-up as a rule.
///
/// # Errors
/// That it does not read, or reads what it must not.
fn check_condition(what: &str, rollup: &Rollup, child: &Arc<ObjectDef>, schema: &Schema) -> Result<(), String> {
    let Some(text) = &rollup.condition else { return Ok(()) };
    let rule = Rule::parse(text, &Scope::Record(child.clone()), schema, &ParamTypes::none());
    let rule = rule.map_err(|error| format!("the condition of {what}: {error}"))?;
    if rule.reads_clock() {
        return Err(format!(
            "the condition of {what} reads the clock, but a roll-up changes when a child does, not when time passes: leave the \
             clock out, and compare with it in the rule that reads the roll-up, such as `days_since(last_order_at) > 60`"
        ));
    }
    if let Some(reference) = rule.references().first() {
        return Err(format!(
            "the condition of {what} reads `{}` of another record (`{}`): it may read fields of `{}` alone. Keep what it needs \
             in a field of `{}`",
            reference.field, reference.object, child.name, child.name
        ));
    }
    Ok(())
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    object: Name,
    field: Name,
}

/// The fields of its children that a roll-up reads.
fn sources(rollup: &Rollup, child: &Arc<ObjectDef>, schema: &Schema) -> Vec<Place> {
    let mut read: Vec<Name> = rollup.field.iter().chain(&rollup.by).cloned().collect();
    read.push(rollup.via.clone());
    if let Some(text) = &rollup.condition
        && let Ok(rule) = Rule::parse(text, &Scope::Record(child.clone()), schema, &ParamTypes::none())
    {
        read.extend(rule.fields().iter().cloned());
    }
    read.into_iter().map(|field| Place { object: child.name.clone(), field }).collect()
}

/// Whether `target` is among `places` or what those follow from.
fn leads_to(schema: &Schema, places: Vec<Place>, target: &Place, seen: &mut HashSet<Place>) -> bool {
    places.into_iter().any(|place| {
        if place == *target {
            return true;
        }
        let field = schema.object(place.object.as_str()).and_then(|object| object.field(place.field.as_str()));
        let Some(rollup) = field.and_then(|field| field.rollup.clone()) else { return false };
        let Some(child) = schema.object(rollup.object.as_str()) else { return false };
        seen.insert(place) && leads_to(schema, sources(&rollup, child, schema), target, seen)
    })
}

#[cfg(test)]
mod tests;
