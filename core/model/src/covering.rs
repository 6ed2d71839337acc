//! An index that covers several fields: `indexed_with` of a field.
//!
//! It stands beside what `indexed` gives, and holds the field and those that it names, in that order. So groups and sums by them of the
//! records with one value of the field are read from the index alone. Only what a record keeps itself can be in it: a roll-up
//! changes without its record, a formula is not kept.

use std::fmt;

use crate::limits::INDEXED_WITH_MAX;
use crate::name::Name;
use crate::nearest::nearest;
use crate::record::SYSTEM_FIELDS;
use crate::schema::{FieldDef, FieldKind, ObjectDef};

/// The most bytes that the texts of one record have together in such an index: what an index of `PostgreSQL` takes, less numbers and ids.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// Why an event has none.
pub const NOT_IN_EVENTS: &str = "an event has no index: leave `indexed_with` out";

/// Why a list cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which of its names, from 0; none: the list as a whole.
    pub place: Option<usize>,
    why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

const fn whole(why: String) -> Fault {
    Fault { place: None, why }
}

/// What is wrong with the list of `field`, whatever object it belongs to; nothing if it has none.
#[must_use]
pub fn fault_of_list(field: &FieldDef) -> Option<Fault> {
    let list = &field.indexed_with;
    if list.is_empty() {
        return None;
    }
    if field.rollup.is_some() {
        return Some(whole("a roll-up changes without its record, so that it cannot be indexed with others".into()));
    }
    if matches!(field.kind, FieldKind::Json | FieldKind::Tags) {
        return Some(whole(format!("it holds {}, which cannot be indexed with others", words(&field.kind))));
    }
    if list.len() > INDEXED_WITH_MAX {
        return Some(whole(format!("`indexed_with` names {} fields: {INDEXED_WITH_MAX} at most", list.len())));
    }
    let named = |(place, name): (usize, &Name)| {
        let why = if *name == field.name {
            format!("`indexed_with` names `{name}` itself: the index begins with it anyway")
        } else if list[..place].contains(name) {
            format!("`indexed_with` names `{name}` twice")
        } else {
            return None;
        };
        Some(Fault { place: Some(place), why })
    };
    list.iter().enumerate().find_map(named)
}

/// What is wrong with the list of `field` in `object`, which has all its fields; nothing if it has none.
#[must_use]
pub fn fault(object: &ObjectDef, field: &FieldDef) -> Option<Fault> {
    let named = |(place, name)| Some(Fault { place: Some(place), why: unfit(object, name)? });
    fault_of_list(field).or_else(|| field.indexed_with.iter().enumerate().find_map(named))
}

/// Whether all lists of an object can be.
///
/// # Errors
/// The field, and what is wrong with its list.
pub fn check(object: &ObjectDef) -> Result<(), String> {
    let faulty = object.fields.iter().find_map(|field| Some((field, fault(object, field)?)));
    faulty.map_or(Ok(()), |(field, fault)| Err(format!("`{}.{}`: {fault}", object.name, field.name)))
}

/// How the lists of one field differ that is declared twice; nothing if one of them is empty. Another list is no gain: what is
/// read from the index of the one could not be read from that of the other.
#[must_use]
pub fn difference(known: &FieldDef, again: &FieldDef) -> Option<String> {
    let differ = known.indexed_with != again.indexed_with;
    let list = |field: &FieldDef| field.indexed_with.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let (one, other) = (list(known), list(again));
    let both = differ && !one.is_empty() && !other.is_empty();
    both.then(|| format!("indexed with {one}, not with {other}: declare the same list, or none"))
}

/// Why the field `name` of `object` cannot be in an index with others.
fn unfit(object: &ObjectDef, name: &Name) -> Option<String> {
    let named = format!("`indexed_with` names `{name}`");
    let Some(field) = object.field(name.as_str()) else {
        return Some(if object.formula(name.as_str()).is_some() {
            format!("{named}, a formula, which is not kept: name fields of `{}`", object.name)
        } else if SYSTEM_FIELDS.contains(&name.as_str()) {
            format!("{named}, which every record has: name fields of `{}` alone", object.name)
        } else {
            let near = nearest(name.as_str(), object.fields.iter().map(|field| field.name.as_str()));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("{named}, which is no field of `{}`{hint}", object.name)
        });
    };
    match &field.kind {
        _ if field.rollup.is_some() => {
            Some(format!("{named}, a roll-up, which changes without its record: leave it out"))
        }
        kind @ (FieldKind::Json | FieldKind::Tags) => {
            Some(format!("{named}, which holds {}: that cannot be indexed, leave it out", words(kind)))
        }
        _ => None,
    }
}

const fn words(kind: &FieldKind) -> &'static str {
    if matches!(kind, FieldKind::Json) { "JSON" } else { "tags" }
}

/// The places, among the fields of `object`, of the texts in the index of `field`.
pub fn texts<'a>(object: &'a ObjectDef, field: &'a FieldDef) -> impl Iterator<Item = usize> + 'a {
    let names = std::iter::once(&field.name).chain(&field.indexed_with);
    let is_text = |place: &usize| matches!(object.fields[*place].kind, FieldKind::Text | FieldKind::Choice { .. });
    names.filter_map(|name| object.position(name.as_str())).filter(is_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::FormulaDef;
    use crate::rollup::{Function, Rollup};
    use crate::schema::Origin;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn field(text: &str, kind: FieldKind) -> FieldDef {
        FieldDef::new(name(text), kind)
    }

    fn with(list: &[&str]) -> FieldDef {
        FieldDef { indexed_with: list.iter().map(|n| name(n)).collect(), ..field("item", FieldKind::Text) }
    }

    fn answer() -> ObjectDef {
        let rollup = Rollup {
            function: Function::Count,
            object: name("reply"),
            via: name("answer"),
            field: None,
            condition: None,
            by: None,
        };
        let fields = vec![
            field("number", FieldKind::Integer),
            field("item", FieldKind::Text),
            field("customer", FieldKind::Reference { object: name("customer") }),
            field("themes", FieldKind::Json),
            field("tags", FieldKind::Tags),
            FieldDef { rollup: Some(Box::new(rollup)), ..field("replies", FieldKind::Integer) },
        ];
        let mut object = ObjectDef::new(name("answer"), Origin::Custom, None, fields);
        let twice =
            FormulaDef { name: name("twice"), kind: FieldKind::Integer, expression: "number * 2".into(), term: None };
        object.formulas.push(twice);
        object
    }

    #[test]
    fn a_list_names_fields_in_any_order_of_the_object() {
        assert_eq!(fault(&answer(), &with(&["customer", "number"])), None);
        assert_eq!(fault(&answer(), &with(&[])), None);
    }

    #[test]
    fn a_name_that_cannot_be_indexed_is_refused_at_its_place() {
        for (second, why) in [
            ("custmer", "`custmer`, which is no field of `answer`; did you mean `customer`?"),
            ("elsewhere", "`elsewhere`, which is no field of `answer`"),
            ("created_at", "`created_at`, which every record has: name fields of `answer` alone"),
            ("twice", "`twice`, a formula, which is not kept: name fields of `answer`"),
            ("replies", "`replies`, a roll-up, which changes without its record: leave it out"),
            ("themes", "`themes`, which holds JSON: that cannot be indexed, leave it out"),
            ("tags", "`tags`, which holds tags: that cannot be indexed, leave it out"),
            ("item", "`item` itself: the index begins with it anyway"),
            ("number", "`number` twice"),
        ] {
            let found = fault(&answer(), &with(&["number", second])).unwrap();
            assert_eq!((found.place, found.to_string()), (Some(1), format!("`indexed_with` names {why}")));
        }
    }

    #[test]
    fn eight_fields_are_the_most() {
        let names: Vec<String> = (0..9).map(|n| format!("f{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(fault_of_list(&with(&names[..8])), None);
        assert_eq!(fault_of_list(&with(&names)).unwrap().to_string(), "`indexed_with` names 9 fields: 8 at most");
    }

    #[test]
    fn what_cannot_be_indexed_has_no_list() {
        let mut object = answer();
        for (first, why) in [("replies", "a roll-up changes"), ("themes", "it holds JSON"), ("tags", "it holds tags")] {
            let place = object.position(first).unwrap();
            object.fields[place].indexed_with = vec![name("number")];
            let error = check(&object).unwrap_err();
            assert!(error.starts_with(&format!("`answer.{first}`: {why}")), "{error}");
            object.fields[place].indexed_with.clear();
        }
        assert_eq!(check(&object), Ok(()));
    }

    #[test]
    fn only_texts_count_as_texts() {
        assert_eq!(texts(&answer(), &with(&["number", "customer"])).collect::<Vec<_>>(), [1]);
    }
}
