//! Reads what actions are given, and says what comes of them.

use std::fmt::Write as _;

use rapport_sdk::{Error, Json, Record, Timestamp, Value, records};
use serde_json::{Map, json};

/// What an action was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    json: &'a Json,
    /// Who calls.
    pub(crate) caller: &'a str,
}

impl<'a> Input<'a> {
    /// The input `json` of a call by `caller`.
    pub(crate) const fn new(json: &'a Json, caller: &'a str) -> Self {
        Self { json, caller }
    }

    /// The text under `name`; none if it is missing, null or empty.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match &self.json[name] {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text.as_str()).filter(|text| !text.trim().is_empty())),
            _ => Err(Error::new("invalid", format!("`{name}` is a text"))),
        }
    }

    /// The text under `name`.
    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Error> {
        self.optional(name)?.ok_or_else(|| Error::new("invalid", format!("`{name}` is missing")))
    }

    /// Whether `name` is true; `default` if it is missing.
    pub(crate) fn flag(&self, name: &str, default: Flag) -> bool {
        self.json[name].as_bool().unwrap_or(default == Flag::On)
    }

    /// The whole number under `name`.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.json[name].as_i64()
    }

    /// The texts under `name`.
    pub(crate) fn texts(&self, name: &str) -> Vec<&'a str> {
        self.json[name].as_array().into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// What stands under `name`.
    pub(crate) fn json(&self, name: &str) -> &'a Json {
        &self.json[name]
    }

    /// The instant under `name`, such as `2026-03-31T16:00:00Z`.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        let wrong = |e| Error::new("invalid", format!("`{name}` is no instant such as 2026-03-31T16:00:00Z: {e}"));
        let at: jiff::Timestamp = text.parse().map_err(wrong)?;
        Ok(Some(Timestamp(at.as_microsecond())))
    }

    /// The customer under `name`, by id or by a unique field; none if it names none.
    ///
    /// # Errors
    /// `unknown_customer` if there is no such customer.
    pub(crate) fn customer(&self, name: &str) -> Result<Option<Record>, Error> {
        let Some(key) = self.optional(name)? else { return Ok(None) };
        let found = records::get("customer", key.strip_prefix("customer/").unwrap_or(key))?;
        found.map(Some).ok_or_else(|| Error::new("unknown_customer", format!("there is no customer `{key}`")))
    }
}

/// What holds if nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    On,
    Off,
}

/// The answer of an action that refuses: a result, and why.
pub(crate) fn refused(result: &str, message: impl Into<String>) -> Json {
    json!({ "result": result, "message": message.into() })
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An instant as text, such as `2026-03-31T16:00:00Z`.
pub(crate) fn instant_text(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// A record as scripts are given it: its fields by name, with `id`.
pub(crate) fn record_json(record: &Record) -> Json {
    let mut map: Map<String, Json> =
        record.fields.iter().map(|(name, value)| (name.to_owned(), value_json(value))).collect();
    map.insert("id".into(), record.id.as_str().into());
    Json::Object(map)
}

/// A value as JSON: an instant as its text, a reference as `object/id`, a decimal as a number.
pub(crate) fn value_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Decimal(d) => serde_json::from_str(&d.to_string()).unwrap_or(Json::Null),
        Value::Text(t) | Value::Date(t) => t.as_str().into(),
        Value::Time(at) => instant_text(*at).into(),
        Value::Ref(reference) => reference.to_string().into(),
        Value::Json(json) => json.clone(),
    }
}
