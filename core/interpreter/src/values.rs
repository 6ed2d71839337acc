//! Values between the contract and Rhai.
//!
//! Numbers stay exact: the contract's decimals are Rhai decimals, and there are no floats. References, days and instants
//! are types of their own, so that a script cannot mistake one for a text.

use std::fmt;

use rhai::{Dynamic, Map};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Number, Value as Json};

use crate::bindings::rapport::plugin::types::Value;
use crate::time::{Day, Instant};

/// The deepest nesting of arrays and maps that becomes JSON; the host takes no deeper one.
const JSON_DEPTH_MAX: usize = 64;

/// A reference to a record: knows its object and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The object; empty if the host did not say.
    pub(crate) object: String,
    /// The id.
    pub(crate) id: String,
}

impl Reference {
    /// Reads `object/id`, or a bare id.
    pub(crate) fn parse(text: &str) -> Self {
        let (object, id) = text.split_once('/').unwrap_or(("", text));
        Self { object: object.into(), id: id.into() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() { f.write_str(&self.id) } else { write!(f, "{}/{}", self.object, self.id) }
    }
}

/// The Rhai value of a value of the contract.
///
/// # Errors
/// A text if the host sent a decimal or JSON that does not read as one.
pub(crate) fn to_dynamic(value: &Value) -> Result<Dynamic, String> {
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Boolean(b) => Dynamic::from_bool(*b),
        Value::Integer(n) => Dynamic::from_int(*n),
        Value::Decimal(text) => {
            Dynamic::from_decimal(Decimal::from_str_exact(text).map_err(|_| format!("`{text}` is not a decimal"))?)
        }
        Value::Text(text) => text.as_str().into(),
        Value::Date(text) => Dynamic::from(Day(text.as_str().into())),
        Value::Timestamp(micros) => Dynamic::from(Instant(*micros)),
        Value::Reference(text) => Dynamic::from(Reference::parse(text)),
        Value::Json(text) => json_to_dynamic(&serde_json::from_str(text).map_err(|e| e.to_string())?),
    })
}

/// The value of the contract for a Rhai value.
///
/// # Errors
/// A text that says what the host takes, if this is none of it.
pub(crate) fn from_dynamic(value: &Dynamic) -> Result<Value, String> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(b) = value.as_bool() {
        return Ok(Value::Boolean(b));
    }
    if let Ok(n) = value.as_int() {
        return Ok(Value::Integer(n));
    }
    if let Ok(d) = value.as_decimal() {
        return Ok(Value::Decimal(d.to_string()));
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(Value::Text(text.as_str().into()));
    }
    if let Some(reference) = value.read_lock::<Reference>() {
        return Ok(Value::Reference(reference.to_string()));
    }
    if let Some(instant) = value.read_lock::<Instant>() {
        return Ok(Value::Timestamp(instant.0));
    }
    if let Some(day) = value.read_lock::<Day>() {
        return Ok(Value::Date(day.0.to_string()));
    }
    if let Some(record) = value.read_lock::<crate::view::RecordView>() {
        return Ok(Value::Reference(record.reference().to_string()));
    }
    if value.is_array() || value.is_map() {
        return dynamic_to_json(value, 0).map(|json| Value::Json(json.to_string()));
    }
    if let Ok(c) = value.as_char() {
        return Ok(Value::Text(c.into()));
    }
    Err(format!("a {} cannot be stored: use a text, a number, a boolean, a time or a record", value.type_name()))
}

/// JSON as Rhai sees it: objects are maps, whole numbers integers, other numbers decimals.
pub(crate) fn json_to_dynamic(json: &Json) -> Dynamic {
    match json {
        Json::Null => Dynamic::UNIT,
        Json::Bool(b) => Dynamic::from_bool(*b),
        Json::Number(n) => number_to_dynamic(n),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Dynamic::from_array(items.iter().map(json_to_dynamic).collect()),
        Json::Object(map) => {
            let entries = map.iter().map(|(k, v)| (k.as_str().into(), json_to_dynamic(v)));
            Dynamic::from_map(entries.collect::<Map>())
        }
    }
}

fn number_to_dynamic(number: &Number) -> Dynamic {
    if let Some(n) = number.as_i64() {
        return Dynamic::from_int(n);
    }
    let text = number.to_string();
    let exact = Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text));
    exact.map_or_else(|_| text.into(), Dynamic::from_decimal)
}

/// A Rhai value as JSON; decimals become numbers.
///
/// # Errors
/// A text that names what cannot be JSON.
pub(crate) fn dynamic_to_json(value: &Dynamic, depth: usize) -> Result<Json, String> {
    if depth > JSON_DEPTH_MAX {
        return Err(format!("nested deeper than {JSON_DEPTH_MAX}"));
    }
    if let Some(items) = value.read_lock::<rhai::Array>() {
        let items: Result<Vec<_>, _> = items.iter().map(|v| dynamic_to_json(v, depth + 1)).collect();
        return items.map(Json::Array);
    }
    if let Some(map) = value.read_lock::<Map>() {
        let entries = map.iter().map(|(k, v)| Ok((k.to_string(), dynamic_to_json(v, depth + 1)?)));
        return entries.collect::<Result<_, String>>().map(Json::Object);
    }
    Ok(match from_dynamic(value)? {
        Value::Null => Json::Null,
        Value::Boolean(b) => Json::Bool(b),
        Value::Integer(n) => Json::Number(n.into()),
        Value::Decimal(text) => decimal_number(&text),
        Value::Timestamp(micros) => Json::String(Instant(micros).to_string()),
        Value::Reference(text) => Json::String(Reference::parse(&text).id),
        Value::Text(text) | Value::Date(text) => Json::String(text),
        Value::Json(text) => serde_json::from_str(&text).map_err(|e| e.to_string())?,
    })
}

fn decimal_number(text: &str) -> Json {
    let number = text.parse::<Decimal>().ok().and_then(|d| d.to_f64()).and_then(Number::from_f64);
    number.map_or_else(|| Json::String(text.into()), Json::Number)
}

#[cfg(test)]
mod tests;
