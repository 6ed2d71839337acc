//! See `query` in the contract.

use std::cmp::Ordering;

use super::records::matching;
use super::{WireError, WireValue, refuse};
use crate::bindings::rapport::plugin::query::{Grouping, Measure, Rows, Selection};
use crate::value::Value;
use crate::{Decimal, Record, WrongKind};

pub(crate) fn select(selection: &Selection) -> Result<Rows, WireError> {
    let mut found = rows(&selection.object, &selection.where_, &selection.params)?;
    put_in_order(&mut found, &selection.order);
    let start: usize = selection.cursor.parse().unwrap_or(0);
    let end = start.saturating_add(usize::try_from(selection.limit).unwrap_or(usize::MAX));
    let next = (end < found.len()).then(|| end.to_string());
    let page = found.iter().skip(start).take(end - start);
    let rows = page.map(|record| selection.fields.iter().map(|f| WireValue::from(&column(record, f))).collect());
    Ok(Rows { rows: rows.collect(), next })
}

/// Orders by a field, `-field` for descending; rows that are equal in it, and all if it is empty, by id.
pub(super) fn put_in_order(rows: &mut [Record], order: &str) {
    let (field, descending) = match order.strip_prefix('-') {
        Some(field) => (field, true),
        None => (order, false),
    };
    rows.sort_by(|a, b| {
        let order = if field.is_empty() { Ordering::Equal } else { compare(&column(a, field), &column(b, field)) };
        let order = if descending { order.reverse() } else { order };
        order.then_with(|| a.id.cmp(&b.id))
    });
}

pub(crate) fn aggregate(grouping: &Grouping) -> Result<Vec<Vec<WireValue>>, WireError> {
    let found = rows(&grouping.object, &grouping.where_, &grouping.params)?;
    let mut groups: Vec<(Vec<Value>, Vec<Record>)> = Vec::new();
    if grouping.group_by.is_empty() {
        groups.push((Vec::new(), Vec::new()));
    }
    for record in found {
        let key: Vec<Value> = grouping.group_by.iter().map(|field| column(&record, field)).collect();
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, members)) => members.push(record),
            None => groups.push((key, vec![record])),
        }
    }
    groups.sort_by(|(a, _), (b, _)| {
        a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    });
    let mut rows = Vec::new();
    for (mut row, members) in groups {
        for each in &grouping.measures {
            row.push(measure(each, &members)?);
        }
        rows.push(row.iter().map(WireValue::from).collect());
    }
    Ok(rows)
}

fn rows(
    object: &str,
    filter: &str,
    params: &[crate::bindings::rapport::plugin::types::Field],
) -> Result<Vec<Record>, WireError> {
    matching(object, filter, params)
}

fn column(record: &Record, field: &str) -> Value {
    match field {
        "id" => Value::from(record.id.as_str()),
        "version" => Value::Int(i64::try_from(record.version).unwrap_or(i64::MAX)),
        "created_at" => Value::Time(record.created_at),
        "updated_at" => Value::Time(record.updated_at),
        _ => record.fields.get(field).cloned().unwrap_or_default(),
    }
}

fn measure(Measure { kind, field }: &Measure, members: &[Record]) -> Result<Value, WireError> {
    let values: Vec<Value> = members.iter().map(|r| column(r, field)).filter(|v| !v.is_null()).collect();
    match kind.as_str() {
        "count" => Ok(Value::Int(i64::try_from(members.len()).unwrap_or(i64::MAX))),
        "sum" => sum(values).or_else(|wrong| refuse("invalid", format!("the sum of `{field}`: {wrong}"))),
        "min" => Ok(values.into_iter().min_by(compare).unwrap_or_default()),
        "max" => Ok(values.into_iter().max_by(compare).unwrap_or_default()),
        other => refuse("invalid", format!("`{other}` is no measure: there are count, sum, min and max")),
    }
}

fn sum(values: Vec<Value>) -> Result<Value, WrongKind> {
    values.into_iter().try_fold(Value::Null, |sum, value| match (sum, value) {
        (Value::Null, value) => Ok(value),
        (Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.saturating_add(b))),
        (a, b) => Ok(Value::Decimal(Decimal::try_from(a)? + Decimal::try_from(b)?)),
    })
}

/// Nulls come last; what cannot be compared goes by its text.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Int(_) | Value::Decimal(_), Value::Int(_) | Value::Decimal(_)) => {
            Decimal::try_from(a.clone()).ok().cmp(&Decimal::try_from(b.clone()).ok())
        }
        (Value::Text(a) | Value::Date(a), Value::Text(b) | Value::Date(b)) => a.cmp(b),
        _ => format!("{a:?}").cmp(&format!("{b:?}")),
    }
}
