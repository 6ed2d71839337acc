//! Values to and from JSON, as the API, imports and the log write them.
//!
//! Decimals are JSON strings with all digits of their scale (`"120.50"`), instants RFC 3339 in UTC, dates `2026-03-01`,
//! references the id. On the way in a number is taken for a decimal too, if it is exact.

use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Map, Number, Value as Json};

use crate::event::Fields;
use crate::id::RecordId;
use crate::limits::{JSON_DEPTH_MAX, TEXT_BYTES_MAX};
use crate::record::Record;
use crate::schema::{FieldDef, FieldKind};
use crate::tags;
use crate::value::{DECIMAL_UNITS_MAX, INTEGER_MAX, Value};

/// A JSON value that does not fit its field: says what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub String);

/// Reads `json` as a value of `kind`.
///
/// # Errors
/// [`Misfit`] if the value is of another type, out of range, too long, or not exact.
pub fn value_from_json(kind: &FieldKind, json: &Json) -> Result<Value, Misfit> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    let misfit = |want: &str| Misfit(format!("expected {want}, got {}", brief(json)));
    match kind {
        FieldKind::Text => text_value(json.as_str().ok_or_else(|| misfit("a text"))?),
        FieldKind::Integer => integer(json).ok_or_else(|| misfit("a whole number within ±9007199254740991")),
        FieldKind::Decimal { scale } => {
            let want = || misfit(&format!("a number with {scale} decimals and 15 digits at most, such as \"12.50\""));
            decimal_of(json).and_then(|d| fit_decimal(d, *scale)).ok_or_else(want)
        }
        FieldKind::Boolean => json.as_bool().map(Value::Bool).ok_or_else(|| misfit("true or false")),
        FieldKind::Date => {
            let text = json.as_str().ok_or_else(|| misfit("a date such as \"2026-03-01\""))?;
            Date::from_str(text).map(Value::Date).map_err(|_| misfit("a date such as \"2026-03-01\""))
        }
        FieldKind::Timestamp => {
            let want = || misfit("an instant such as \"2026-03-01T02:00:00Z\"");
            json.as_str().and_then(|t| t.parse().ok()).map(Value::Time).ok_or_else(want)
        }
        FieldKind::Choice { options } => match json.as_str() {
            Some(t) if options.iter().any(|o| o == t) => Ok(Value::text(t)),
            _ => Err(misfit(&format!("one of {}", options.join(", ")))),
        },
        FieldKind::Reference { object } => {
            let id = json.as_str().and_then(|t| t.parse::<RecordId>().ok());
            id.map(Value::Ref).ok_or_else(|| misfit(&format!("the id of a record of `{object}`")))
        }
        FieldKind::Json if depth(json) > JSON_DEPTH_MAX => Err(Misfit(format!("nested deeper than {JSON_DEPTH_MAX}"))),
        FieldKind::Json => Ok(Value::Json(Arc::new(json.clone()))),
        FieldKind::Tags => tags::read(json),
    }
}

/// Fits a value that has a type of its own (from a script, a plugin or a rule) to a field of `kind`: a whole number fits
/// a decimal field, a text fits a choice, a date, an instant or a reference if it reads as one.
///
/// # Errors
/// [`Misfit`] as for [`value_from_json`].
pub fn fit_value(kind: &FieldKind, value: Value) -> Result<Value, Misfit> {
    match (kind, &value) {
        (_, Value::Null)
        | (FieldKind::Boolean, Value::Bool(_))
        | (FieldKind::Date, Value::Date(_))
        | (FieldKind::Timestamp, Value::Time(_))
        | (FieldKind::Reference { .. }, Value::Ref(_))
        | (FieldKind::Json, Value::Json(_)) => Ok(value),
        (FieldKind::Text, Value::Text(t)) => text_value(t),
        (FieldKind::Integer, Value::Int(n)) if n.unsigned_abs() <= INTEGER_MAX.unsigned_abs() => Ok(value),
        (FieldKind::Decimal { scale }, Value::Decimal(_) | Value::Int(_)) => {
            let fitted = value.as_decimal().and_then(|d| fit_decimal(d, *scale));
            fitted.ok_or_else(|| {
                Misfit(format!("expected {scale} decimals and 15 digits at most, got {}", to_json(&value)))
            })
        }
        _ => value_from_json(kind, &to_json(&value)),
    }
}

fn text_value(text: &str) -> Result<Value, Misfit> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Misfit(format!("longer than {TEXT_BYTES_MAX} bytes")));
    }
    if text.contains('\0') {
        return Err(Misfit("holds the character U+0000, which PostgreSQL cannot store".into()));
    }
    Ok(Value::text(text))
}

fn integer(json: &Json) -> Option<Value> {
    let n = json.as_i64()?;
    (n.unsigned_abs() <= INTEGER_MAX.unsigned_abs()).then_some(Value::Int(n))
}

fn decimal_of(json: &Json) -> Option<Decimal> {
    match json {
        Json::String(text) => Decimal::from_str_exact(text.trim()).ok(),
        Json::Number(n) => n.as_i64().map(Decimal::from).or_else(|| {
            // The shortest text that reads back as the same double is what the author typed.
            Decimal::from_str_exact(&n.to_string()).ok()
        }),
        _ => None,
    }
}

/// `number` with exactly `scale` digits after the point; `None` if that would lose a digit or passes 15 digits.
#[must_use]
pub fn fit_decimal(number: Decimal, scale: u8) -> Option<Value> {
    let mut fitted = number.normalize();
    if fitted.scale() > u32::from(scale) {
        return None;
    }
    fitted.rescale(u32::from(scale));
    let fits = fitted.scale() == u32::from(scale) && fitted.mantissa().abs() <= DECIMAL_UNITS_MAX;
    fits.then_some(Value::Decimal(fitted))
}

/// How deep arrays and objects are nested; 0 for a scalar. Does not recurse.
#[must_use]
pub fn depth(json: &Json) -> usize {
    let mut deepest = 0;
    let mut open = vec![(json, 0)];
    while let Some((value, level)) = open.pop() {
        deepest = deepest.max(level);
        match value {
            Json::Array(items) => open.extend(items.iter().map(|v| (v, level + 1))),
            Json::Object(map) => open.extend(map.values().map(|v| (v, level + 1))),
            _ => {}
        }
    }
    deepest
}

fn brief(json: &Json) -> String {
    let text = json.to_string();
    if text.chars().count() <= 60 { text } else { format!("{}…", text.chars().take(60).collect::<String>()) }
}

/// Writes a value as JSON.
#[must_use]
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::Number(Number::from(*n)),
        Value::Decimal(d) => Json::String(d.to_string()),
        Value::Text(t) => Json::String(t.to_string()),
        Value::Date(d) => Json::String(d.to_string()),
        Value::Time(t) => Json::String(t.to_string()),
        Value::Ref(id) => Json::String(id.to_string()),
        Value::Json(j) => (**j).clone(),
    }
}

/// Writes fields as a JSON object, in their order.
#[must_use]
pub fn fields_to_json(fields: &Fields) -> Json {
    Json::Object(fields.iter().map(|(name, value)| (name.to_string(), to_json(value))).collect())
}

/// Reads a JSON object back as typed fields by the definitions `defs`; what no definition knows is left out.
///
/// # Errors
/// [`Misfit`] naming the field, if a value does not fit its definition.
pub fn fields_from_json(defs: &[FieldDef], map: &Map<String, Json>) -> Result<Fields, Misfit> {
    let mut fields = Vec::with_capacity(map.len());
    for (name, json) in map {
        let Some(def) = defs.iter().find(|d| d.name.as_str() == name) else { continue };
        let value = value_from_json(&def.kind, json).map_err(|e| Misfit(format!("`{name}`: {e}")))?;
        fields.push((def.name.clone(), value));
    }
    Ok(fields)
}

/// Writes a record as the API shows it: `id`, `version`, `created_at`, `updated_at`, then its fields, nulls included, and
/// its formulas, which are null unless the record is one of [`crate::formula::shown`].
#[must_use]
pub fn record_to_json(record: &Record) -> Json {
    let mut map = Map::with_capacity(record.object.fields.len() + 4);
    map.insert("id".into(), Json::String(record.id.to_string()));
    map.insert("version".into(), record.version.into());
    map.insert("created_at".into(), Json::String(record.created_at.to_string()));
    map.insert("updated_at".into(), Json::String(record.updated_at.to_string()));
    for (i, field) in record.object.fields.iter().enumerate() {
        map.insert(field.name.to_string(), field_to_json(&field.kind, record.at(i)));
    }
    for (i, formula) in (record.object.first_formula()..).zip(&record.object.formulas) {
        map.insert(formula.name.to_string(), to_json(record.at(i)));
    }
    Json::Object(map)
}

/// Writes the value of a field as it is shown: no tags are an empty list.
#[must_use]
pub fn field_to_json(kind: &FieldKind, value: &Value) -> Json {
    match (kind, value) {
        (FieldKind::Tags, Value::Null) => Json::Array(Vec::new()),
        _ => to_json(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MONEY: FieldKind = FieldKind::Decimal { scale: 2 };

    #[test]
    fn a_decimal_is_exact_and_keeps_its_scale() {
        for (given, shown) in [(json!("120.5"), "120.50"), (json!(120.5), "120.50"), (json!(7), "7.00")] {
            assert_eq!(to_json(&value_from_json(&MONEY, &given).unwrap()), json!(shown));
        }
        for bad in [json!("1.005"), json!(1e300), json!("NaN"), json!("1234567890123456"), json!(true)] {
            assert!(value_from_json(&MONEY, &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_integer_is_one_that_json_keeps() {
        assert!(value_from_json(&FieldKind::Integer, &json!(9_007_199_254_740_991_i64)).is_ok());
        assert!(value_from_json(&FieldKind::Integer, &json!(9_007_199_254_740_992_i64)).is_err());
        assert!(value_from_json(&FieldKind::Integer, &json!(1.5)).is_err());
    }

    #[test]
    fn a_misfit_says_what_would_fit() {
        let kind = FieldKind::Choice { options: vec!["gold".into(), "silver".into()] };
        let error = value_from_json(&kind, &json!("tin")).unwrap_err();
        assert_eq!(error.to_string(), "expected one of gold, silver, got \"tin\"");
    }

    #[test]
    fn nul_in_text_is_refused() {
        assert!(value_from_json(&FieldKind::Text, &json!("a\0b")).is_err());
    }
}
