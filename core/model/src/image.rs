//! The next state of a record: how puts are applied to it, and what a change event says of it.
//!
//! Buffered slices, the committer, previews and undo all go through these functions, so that they agree.

use std::sync::Arc;

use crate::calendar::{self, InvalidCalendar};
use crate::event::{Fields, RecordChange};
use crate::id::RecordId;
use crate::json::{Misfit, fit_value, value_from_json};
use crate::name::Name;
use crate::record::{Change, Record};
use crate::relation;
use crate::rollup::kept::begun;
use crate::schema::{FieldDef, FieldKind, ObjectDef};
use crate::tags::TagEdit;
use crate::time::Timestamp;
use crate::value::Value;

/// A change that cannot be applied to a record: names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The object has no such field.
    #[error("`{object}` has no field `{field}`")]
    UnknownField {
        /// The object.
        object: Name,
        /// The field named.
        field: String,
    },
    /// A required field would be null.
    #[error("`{field}` is required")]
    Required {
        /// The field.
        field: Name,
    },
    /// The field follows from other records.
    #[error("`{field}` is a roll-up: it follows from its `{object}` records")]
    Rollup {
        /// The field.
        field: Name,
        /// The object of those.
        object: Name,
    },
    /// The value does not fit the field.
    #[error("`{field}`: {why}")]
    Misfit {
        /// The field.
        field: Name,
        /// What would fit.
        why: Misfit,
    },
    /// A relation would not lead from one record to one other.
    #[error("`{}`: {}", .0.field, .0.why)]
    Relation(relation::Fault),
    /// A calendar's definition is none.
    #[error("`definition`: {0}")]
    Calendar(InvalidCalendar),
    /// Only integers and decimals can be incremented, by a number, within their range.
    #[error("`{field}` cannot be incremented by {by}: {why}")]
    Increment {
        /// The field.
        field: Name,
        /// The number.
        by: String,
        /// What stands against it.
        why: &'static str,
    },
}

/// A new record: the values of `changes`, defaults for the rest.
///
/// # Errors
/// [`Unfit`] if a value does not fit its field, a field is unknown, or a required one is null.
pub fn created(
    object: &Arc<ObjectDef>,
    id: RecordId,
    time: Timestamp,
    changes: &[(Name, Change)],
) -> Result<Record, Unfit> {
    let mut values = Vec::with_capacity(object.fields.len() + object.hidden.len());
    for field in &object.fields {
        let default = field.default.as_ref().map(|json| value_from_json(&field.kind, json));
        values.push(default.transpose().map_err(|why| misfit(&field.name, why))?.unwrap_or_default());
    }
    let mut record = Record { object: object.clone(), id, version: 1, created_at: time, updated_at: time, values };
    for (place, value) in begun(object) {
        record.set_at(place, value);
    }
    apply(&mut record, changes)?;
    match object.fields.iter().enumerate().find(|(i, f)| f.required && record.at(*i).is_null()) {
        Some((_, field)) => Err(Unfit::Required { field: field.name.clone() }),
        None => whole(record),
    }
}

/// The next version of `before` with `changes` applied; `None` if they change nothing.
///
/// # Errors
/// [`Unfit`] as for [`created`].
pub fn changed(before: &Record, time: Timestamp, changes: &[(Name, Change)]) -> Result<Option<Record>, Unfit> {
    let mut after = before.clone();
    apply(&mut after, changes)?;
    let same = (0..after.values.len()).all(|i| after.at(i) == before.at(i));
    if same {
        return Ok(None);
    }
    after.version += 1;
    after.updated_at = time;
    whole(after).map(Some)
}

/// A record whose fields fit each other, not only their kinds.
fn whole(record: Record) -> Result<Record, Unfit> {
    if let Some(fault) = relation::fault(&record) {
        return Err(Unfit::Relation(fault));
    }
    calendar::fault(&record).map_or(Ok(record), |fault| Err(Unfit::Calendar(fault)))
}

fn apply(record: &mut Record, changes: &[(Name, Change)]) -> Result<(), Unfit> {
    let object = record.object.clone();
    for (name, change) in changes {
        let unknown = || Unfit::UnknownField { object: object.name.clone(), field: name.to_string() };
        let index = object.position(name.as_str()).ok_or_else(unknown)?;
        let field = &object.fields[index];
        if let Some(rollup) = &field.rollup {
            return Err(Unfit::Rollup { field: name.clone(), object: rollup.object.clone() });
        }
        let value = match change {
            Change::Set(value) => fit_value(&field.kind, value.clone()).map_err(|why| misfit(name, why))?,
            Change::Increment(delta) => incremented(record.at(index), delta, field)?,
            Change::Tag(edit) => tagged(record.at(index), edit, field)?,
        };
        if field.required && value.is_null() {
            return Err(Unfit::Required { field: name.clone() });
        }
        record.set_at(index, value);
    }
    Ok(())
}

fn incremented(old: &Value, delta: &Value, field: &FieldDef) -> Result<Value, Unfit> {
    let fail = |why| Unfit::Increment { field: field.name.clone(), by: crate::json::to_json(delta).to_string(), why };
    if !field.kind.is_number() {
        return Err(fail("the field holds no number"));
    }
    if delta.as_decimal().is_none() {
        return Err(fail("that is no number"));
    }
    let zero = Value::Int(0);
    let old = if old.is_null() { &zero } else { old };
    let sum = old.plus(delta).ok_or_else(|| fail("the sum leaves the range of the field"))?;
    fit_value(&field.kind, sum).map_err(|_| fail("the sum does not fit the field"))
}

fn tagged(old: &Value, edit: &TagEdit, field: &FieldDef) -> Result<Value, Unfit> {
    if field.kind != FieldKind::Tags {
        return Err(misfit(&field.name, Misfit("the field holds no tags".to_owned())));
    }
    edit.apply(old).map_err(|why| misfit(&field.name, why))
}

fn misfit(field: &Name, why: Misfit) -> Unfit {
    Unfit::Misfit { field: field.clone(), why }
}

/// What the event of a creation says.
#[must_use]
pub fn creation(record: &Record) -> RecordChange {
    RecordChange { after: filled(record), ..RecordChange::default() }
}

/// What the event of a deletion says: all that undo needs.
#[must_use]
pub fn deletion(record: &Record) -> RecordChange {
    RecordChange { before: filled(record), ..RecordChange::default() }
}

/// What the event of a change says: each field whose value differs, and the increments among `changes`.
#[must_use]
pub fn difference(before: &Record, after: &Record, changes: &[(Name, Change)]) -> RecordChange {
    let mut change = RecordChange::default();
    for (i, field) in after.object.fields.iter().enumerate() {
        if before.at(i) == after.at(i) || field.rollup.is_some() {
            continue;
        }
        change.before.push((field.name.clone(), before.at(i).clone()));
        change.after.push((field.name.clone(), after.at(i).clone()));
        let delta = changes.iter().find_map(|(name, c)| match c {
            Change::Increment(delta) if *name == field.name => Some(delta.clone()),
            _ => None,
        });
        change.delta.extend(delta.map(|d| (field.name.clone(), d)));
    }
    change
}

fn filled(record: &Record) -> Fields {
    // What follows from other records is no fact about this one.
    let own = record.object.fields.iter().enumerate().filter(|(_, field)| field.rollup.is_none());
    let named = own.map(|(i, f)| (f.name.clone(), record.at(i).clone()));
    named.filter(|(_, value)| !value.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standard;
    use crate::value::INTEGER_MAX;

    fn order() -> Arc<ObjectDef> {
        Arc::new(standard::objects().into_iter().find(|o| o.name.as_str() == "order").unwrap())
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn set(field: &str, value: Value) -> (Name, Change) {
        (name(field), Change::Set(value))
    }

    fn id(n: u8) -> RecordId {
        RecordId::from_parts(0, [n; 10])
    }

    fn new_order() -> Record {
        let changes = [set("order_no", Value::text("1")), set("customer", Value::Ref(id(9)))];
        created(&order(), id(1), Timestamp::EPOCH, &changes).unwrap()
    }

    #[test]
    fn a_new_record_takes_defaults() {
        assert_eq!(new_order().get("status"), &Value::text("open"));
        assert_eq!(new_order().lane(), id(9));
    }

    #[test]
    fn a_required_field_must_be_given_and_kept() {
        let missing = created(&order(), id(1), Timestamp::EPOCH, &[set("order_no", Value::text("1"))]);
        assert_eq!(missing.unwrap_err().to_string(), "`customer` is required");
        assert!(changed(&new_order(), Timestamp::EPOCH, &[set("customer", Value::Null)]).is_err());
    }

    #[test]
    fn setting_the_same_value_changes_nothing() {
        assert_eq!(changed(&new_order(), Timestamp::EPOCH, &[set("order_no", Value::text("1"))]).unwrap(), None);
    }

    #[test]
    fn an_increment_counts_null_as_zero_and_is_logged_as_a_delta() {
        let before = new_order();
        let changes = [(name("line_count"), Change::Increment(Value::Int(3)))];
        let after = changed(&before, Timestamp::EPOCH, &changes).unwrap().unwrap();
        assert_eq!((after.get("line_count"), after.version), (&Value::Int(3), 2));
        let change = difference(&before, &after, &changes);
        assert_eq!(change.delta, vec![(name("line_count"), Value::Int(3))]);
        assert_eq!(change.before, vec![(name("line_count"), Value::Null)]);
    }

    #[test]
    fn an_increment_out_of_range_is_refused() {
        let before = new_order();
        for (field, by) in [("line_count", Value::Int(INTEGER_MAX + 1)), ("order_no", Value::Int(1))] {
            assert!(changed(&before, Timestamp::EPOCH, &[(name(field), Change::Increment(by))]).is_err());
        }
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_field() {
        let error = changed(&new_order(), Timestamp::EPOCH, &[set("amount", Value::text("x"))]).unwrap_err();
        assert!(error.to_string().starts_with("`amount`: expected a number"), "{error}");
    }
}
