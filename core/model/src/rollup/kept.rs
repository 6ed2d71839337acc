//! How roll-ups are kept: what a child adds, and what becomes of its parent when that changes.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::{CREATED_AT, Function, Rollup, kind_of, sources};
use crate::id::RecordId;
use crate::json::fit_decimal;
use crate::name::Name;
use crate::record::Record;
use crate::rule::lookup::RecordLookup;
use crate::rule::{Env, ParamTypes, Params, Rule, Scope};
use crate::schema::{FieldDef, FieldKind, ObjectDef, Schema};
use crate::time::Timestamp;
use crate::value::{DECIMAL_UNITS_MAX, INTEGER_MAX, Value};

/// A roll-up, ready to be kept.
#[derive(Debug)]
pub struct Kept {
    /// The object that has it.
    pub parent: Name,
    /// Its name.
    pub name: Name,
    /// What it holds.
    pub kind: FieldKind,
    /// What it follows from.
    pub rollup: Rollup,
    /// Its condition.
    pub condition: Option<Rule>,
    /// What the field that counts holds.
    pub value_kind: FieldKind,
    /// What `first` and `last` go by holds.
    pub key_kind: FieldKind,
    /// The fields of its children that it reads, each once.
    reads: Vec<Name>,
}

/// What one child adds to a roll-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The parent that it adds to.
    pub parent: RecordId,
    child: RecordId,
    value: Value,
    key: Value,
}

/// What several children add together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Total {
    /// How many they are.
    pub count: i64,
    /// The sum, in units of the last decimal.
    pub sum: i128,
    /// The least, greatest, first or last: its place in the order, its id, its value.
    pub best: Option<(Value, RecordId, Value)>,
}

/// What becomes of a parent when a child changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing.
    Same,
    /// These of its values, by place.
    Set(Vec<(usize, Value)>),
    /// What is kept does not tell: all children must be asked.
    Ask,
}

impl Kept {
    fn new(parent: &Name, field: &FieldDef, schema: &Schema) -> Option<Self> {
        let rollup = (**field.rollup.as_ref()?).clone();
        let child = schema.object(rollup.object.as_str())?;
        let parse = |text: &String| Rule::parse(text, &Scope::Record(child.clone()), schema, &ParamTypes::none());
        let value_kind = rollup.field.as_ref().and_then(|name| kind_of(child, name.as_str()));
        let mut reads: Vec<Name> = sources(&rollup, child, schema).into_iter().map(|place| place.field).collect();
        reads.sort_unstable();
        reads.dedup();
        Some(Self {
            parent: parent.clone(),
            name: field.name.clone(),
            kind: field.kind.clone(),
            condition: rollup.condition.as_ref().map(parse).transpose().ok()?,
            value_kind: value_kind.unwrap_or(FieldKind::Integer),
            key_kind: kind_of(child, rollup.order()).unwrap_or(FieldKind::Timestamp),
            rollup,
            reads,
        })
    }

    /// Whether a change of this field of a child can change it.
    #[must_use]
    pub fn reads(&self, field: &Name) -> bool {
        self.reads.binary_search(field).is_ok()
    }

    /// What `child` adds; none if it does not count.
    #[must_use]
    pub fn share(&self, child: &Record) -> Option<Share> {
        let parent = child.get(self.rollup.via.as_str()).as_ref_id()?;
        let value = match &self.rollup.field {
            None => Value::Null,
            Some(name) => Some(read(child, name.as_str())).filter(|value| !value.is_null())?,
        };
        let key = if self.rollup.function.is_ordered() {
            Some(read(child, self.rollup.order())).filter(|key| !key.is_null())?
        } else {
            Value::Null
        };
        if let Some(rule) = &self.condition {
            // It reads neither the clock nor other records.
            let lookup = RecordLookup { record: child, referenced: &[] };
            let env = Env { now: Timestamp::EPOCH, lookup: &lookup, params: &Params::none() };
            if !rule.eval(&env).unwrap_or(false) {
                return None;
            }
        }
        Some(Share { parent, child: child.id, value, key })
    }

    /// What becomes of `parent` when what a child of it adds goes from `old` to `new`.
    #[must_use]
    pub fn next(&self, parent: &Record, old: Option<&Share>, new: Option<&Share>) -> Next {
        if old == new {
            return Next::Same;
        }
        let Some(place) = parent.object.position(self.name.as_str()) else { return Next::Same };
        let now = parent.at(place);
        match self.rollup.function {
            Function::Count => match (now, i64::from(new.is_some()) - i64::from(old.is_some())) {
                (_, 0) => Next::Same,
                (Value::Int(count), by) => Next::Set(vec![(place, Value::Int(count + by))]),
                _ => Next::Ask,
            },
            Function::Sum => match self.moved(now, old, new) {
                Some(units) => Next::Set(vec![(place, in_range(&self.kind, units))]),
                None => Next::Ask,
            },
            Function::Min | Function::Max => match self.extreme(now, old, new) {
                Some(next) => next.map_or(Next::Same, |value| Next::Set(vec![(place, value)])),
                None => Next::Ask,
            },
            Function::Average => self.next_average(parent, place, (old, new)),
            Function::First | Function::Last => self.next_chosen(parent, place, (old, new)),
        }
    }

    /// The sum after a change, in units; none if the sum before is not known.
    fn moved(&self, before: &Value, old: Option<&Share>, new: Option<&Share>) -> Option<i128> {
        let part = |share: Option<&Share>| share.map_or(Some(0), |share| units(&share.value, &self.value_kind));
        Some(units(before, &self.value_kind)? - part(old)? + part(new)?)
    }

    /// The least or greatest after a change: the inner is none if it stays, the outer if it is not known.
    #[expect(clippy::option_option, reason = "not known, the same, and another are three answers")]
    fn extreme(&self, now: &Value, old: Option<&Share>, new: Option<&Share>) -> Option<Option<Value>> {
        let better = |share: &Share| now.is_null() || self.order(&share.value, now) == Ordering::Greater;
        match (old, new) {
            (Some(_), _) if now.is_null() => None,
            (_, Some(new)) if better(new) => Some(Some(new.value.clone())),
            (Some(old), new) if old.value == *now => new.is_some_and(|new| new.value == *now).then_some(None),
            _ => Some(None),
        }
    }

    /// How two values, or two places in the order, stand: greater is the one that is wanted.
    fn order(&self, a: &Value, b: &Value) -> Ordering {
        let found = a.compare(b).unwrap_or(Ordering::Equal);
        if matches!(self.rollup.function, Function::Min | Function::First) { found.reverse() } else { found }
    }

    fn chosen_order(&self, a: (&Value, RecordId), b: (&Value, RecordId)) -> Ordering {
        let by_id = a.1.cmp(&b.1);
        let by_id = if self.rollup.function == Function::First { by_id.reverse() } else { by_id };
        self.order(a.0, b.0).then(by_id)
    }

    fn next_average(&self, parent: &Record, place: usize, (old, new): (Option<&Share>, Option<&Share>)) -> Next {
        let Some(hidden) = parent.object.hidden_position(&self.name) else { return Next::Same };
        let Value::Int(count) = parent.at(hidden) else { return Next::Ask };
        let count = count + i64::from(new.is_some()) - i64::from(old.is_some());
        match self.moved(parent.at(hidden + 1), old, new) {
            Some(sum) => Next::Set(self.average(place, hidden, (count, sum))),
            None => Next::Ask,
        }
    }

    fn average(&self, place: usize, hidden: usize, (count, sum): (i64, i128)) -> Vec<(usize, Value)> {
        let kept = in_range(&self.value_kind, sum);
        let value = if kept.is_null() || count <= 0 { Value::Null } else { self.quotient(sum, count) };
        vec![(place, value), (hidden, Value::Int(count)), (hidden + 1, kept)]
    }

    /// The average in the scale of the field, rounded half away from zero.
    fn quotient(&self, sum: i128, count: i64) -> Value {
        let FieldKind::Decimal { scale } = self.kind else { return Value::Null };
        let from = scale_of(&self.value_kind);
        let up = 10_i128.pow(u32::from(scale.saturating_sub(from)));
        let down = 10_i128.pow(u32::from(from.saturating_sub(scale)));
        let (whole, by) = (sum * up, i128::from(count) * down);
        let rounded = (2 * whole + whole.signum() * by) / (2 * by);
        Decimal::try_from_i128_with_scale(rounded, u32::from(scale))
            .ok()
            .and_then(|number| fit_decimal(number, scale))
            .unwrap_or_default()
    }

    fn next_chosen(&self, parent: &Record, place: usize, (old, new): (Option<&Share>, Option<&Share>)) -> Next {
        let Some(hidden) = parent.object.hidden_position(&self.name) else { return Next::Same };
        let set = |share: &Share| {
            Next::Set(vec![
                (place, share.value.clone()),
                (hidden, share.key.clone()),
                (hidden + 1, Value::Ref(share.child)),
            ])
        };
        let Some(chosen) = parent.at(hidden + 1).as_ref_id() else {
            return match (old, new) {
                (None, Some(new)) => set(new),
                _ => Next::Ask,
            };
        };
        let now = (parent.at(hidden), chosen);
        let holds = old.is_some_and(|old| old.child == chosen);
        match new {
            Some(new) => match (self.chosen_order((&new.key, new.child), now), holds) {
                (Ordering::Greater, _) | (Ordering::Equal, true) => set(new),
                (_, true) => Next::Ask,
                _ => Next::Same,
            },
            None if holds => Next::Ask,
            None => Next::Same,
        }
    }

    /// Adds what a child adds.
    pub fn add(&self, total: &mut Total, share: &Share) {
        total.count += 1;
        match self.rollup.function {
            Function::Count => {}
            Function::Sum | Function::Average => total.sum += units(&share.value, &self.value_kind).unwrap_or(0),
            Function::Min | Function::Max => self.offer(total, (&share.value, share.child, &share.value)),
            Function::First | Function::Last => self.offer(total, (&share.key, share.child, &share.value)),
        }
    }

    /// Takes a candidate for the least, greatest, first or last: its place in the order, its id, its value.
    pub fn offer(&self, total: &mut Total, (key, child, value): (&Value, RecordId, &Value)) {
        let known = total.best.as_ref().map(|(key, child, _)| (key, *child));
        if known.is_none_or(|known| self.chosen_order((key, child), known) == Ordering::Greater) {
            total.best = Some((key.clone(), child, value.clone()));
        }
    }

    /// The values of a parent of whose children `total` is known, by place.
    #[must_use]
    pub fn settled(&self, parent: &ObjectDef, total: &Total) -> Vec<(usize, Value)> {
        let Some(place) = parent.position(self.name.as_str()) else { return Vec::new() };
        let hidden = parent.hidden_position(&self.name);
        let best = |what: fn(&(Value, RecordId, Value)) -> Value| total.best.as_ref().map(what).unwrap_or_default();
        match (self.rollup.function, hidden) {
            (Function::Count, _) => vec![(place, Value::Int(total.count))],
            (Function::Sum, _) => vec![(place, in_range(&self.kind, total.sum))],
            (Function::Average, Some(hidden)) => self.average(place, hidden, (total.count, total.sum)),
            (Function::First | Function::Last, Some(hidden)) => vec![
                (place, best(|(_, _, value)| value.clone())),
                (hidden, best(|(key, _, _)| key.clone())),
                (hidden + 1, best(|(_, child, _)| Value::Ref(*child))),
            ],
            _ => vec![(place, best(|(_, _, value)| value.clone()))],
        }
    }
}

/// The values, by place, that the roll-ups of a new record of `object` begin with.
#[must_use]
pub fn begun(object: &ObjectDef) -> Vec<(usize, Value)> {
    let mut values = Vec::new();
    for (place, field) in object.fields.iter().enumerate() {
        match field.rollup.as_ref().map(|rollup| rollup.function) {
            Some(Function::Count | Function::Sum) => values.push((place, in_range(&field.kind, 0))),
            Some(Function::Average) => {
                let Some(hidden) = object.hidden_position(&field.name) else { continue };
                values.push((hidden, Value::Int(0)));
                let sum = object.hidden.get(hidden + 1 - object.fields.len());
                values.push((hidden + 1, sum.map_or(Value::Null, |sum| in_range(&sum.kind, 0))));
            }
            _ => {}
        }
    }
    values
}

/// The places of a record's values that follow from others.
fn places(object: &ObjectDef) -> impl Iterator<Item = usize> {
    let fields = object.fields.iter().enumerate().filter(|(_, field)| field.rollup.is_some());
    let hidden = object.fields.len()..object.fields.len() + object.hidden.len();
    fields.map(|(place, _)| place).chain(hidden)
}

/// Has the roll-ups of `record` say what those of a new record say.
pub fn blank(record: &mut Record) {
    let object = record.object.clone();
    places(&object).for_each(|place| record.set_at(place, Value::Null));
    for (place, value) in begun(&object) {
        record.set_at(place, value);
    }
}

/// Has the roll-ups of `record` say what those of `other` say, which is the same record at another time.
pub fn take_over(record: &mut Record, other: &Record) {
    let object = record.object.clone();
    let columns: Vec<&str> = object.columns().collect();
    for place in places(&object) {
        if let Some(from) = other.object.columns().position(|column| column == columns[place]) {
            record.set_at(place, other.at(from).clone());
        }
    }
}

fn read(child: &Record, name: &str) -> Value {
    if name == CREATED_AT { Value::Time(child.created_at) } else { child.get(name).clone() }
}

const fn scale_of(kind: &FieldKind) -> u8 {
    if let FieldKind::Decimal { scale } = kind { *scale } else { 0 }
}

/// A number in units of the last decimal of `kind`.
fn units(value: &Value, kind: &FieldKind) -> Option<i128> {
    let mut number = value.as_decimal()?;
    number.rescale(u32::from(scale_of(kind)));
    Some(number.mantissa())
}

/// That many units as a value of `kind`; null if they leave its range.
#[must_use]
pub fn in_range(kind: &FieldKind, units: i128) -> Value {
    match kind {
        FieldKind::Decimal { scale } if units.abs() <= DECIMAL_UNITS_MAX => {
            Decimal::try_from_i128_with_scale(units, u32::from(*scale)).map_or(Value::Null, Value::Decimal)
        }
        FieldKind::Integer if units.abs() <= i128::from(INTEGER_MAX) => {
            i64::try_from(units).map_or(Value::Null, Value::Int)
        }
        _ => Value::Null,
    }
}

/// All roll-ups of a schema, by the object of their children and by their own.
#[derive(Debug, Default)]
pub struct Rollups {
    over: HashMap<Name, Vec<Arc<Kept>>>,
    of: HashMap<Name, Vec<Arc<Kept>>>,
    ordered: Vec<Arc<Kept>>,
}

impl Rollups {
    /// The roll-ups of `schema`.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        let mut all: Vec<Arc<Kept>> = Vec::new();
        for object in schema.sorted_objects() {
            let own = object.fields.iter().filter(|field| field.rollup.is_some());
            all.extend(own.filter_map(|field| Kept::new(&object.name, field, schema)).map(Arc::new));
        }
        let mut made = Self::default();
        // Those over others come after them: there are no circles, so each round takes one at least.
        while !all.is_empty() {
            let waits = |kept: &Arc<Kept>| {
                all.iter().any(|other| other.parent == kept.rollup.object && kept.reads(&other.name))
            };
            let (later, ready): (Vec<_>, Vec<_>) = all.iter().cloned().partition(waits);
            made.ordered.extend(if ready.is_empty() { later.clone() } else { ready });
            all = if later.len() == all.len() { Vec::new() } else { later };
        }
        for kept in &made.ordered {
            made.over.entry(kept.rollup.object.clone()).or_default().push(kept.clone());
            made.of.entry(kept.parent.clone()).or_default().push(kept.clone());
        }
        made
    }

    /// Those whose children are records of `object`.
    #[must_use]
    pub fn over(&self, object: &Name) -> &[Arc<Kept>] {
        self.over.get(object).map_or(&[], Vec::as_slice)
    }

    /// Those that are fields of `object`.
    #[must_use]
    pub fn of(&self, object: &Name) -> &[Arc<Kept>] {
        self.of.get(object).map_or(&[], Vec::as_slice)
    }

    /// All, in an order in which each comes after those that it follows from.
    #[must_use]
    pub fn all(&self) -> &[Arc<Kept>] {
        &self.ordered
    }
}
