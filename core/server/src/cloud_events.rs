//! CloudEvents 1.0 on the way in: structured, batch and binary mode, and one event per line.
//!
//! Only the envelope is looked at here; whether type, subject and data are acceptable is the engine's to say. Extension
//! attributes are taken and not kept, but for those that the server itself sets: they are refused by name, so that nobody
//! believes they were believed.

use axum::http::HeaderMap;
use rapport_engine::Incoming;
use rapport_model::Timestamp;
use serde_json::{Map, Value as Json};

use crate::strict_json;

/// The longest `id`, `source` or `subject`, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 512;
/// Attributes that the server sets on the events it gives out.
const SERVER_ATTRIBUTES: [&str; 6] = ["position", "recordedat", "actor", "run", "cause", "depth"];

/// An envelope that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadEnvelope {
    /// The attribute, as a JSON pointer; empty if the event as a whole is meant.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl BadEnvelope {
    fn at(attribute: &str, message: impl Into<String>) -> Self {
        Self { pointer: format!("/{attribute}"), message: format!("`{attribute}`: {}", message.into()) }
    }

    fn whole(message: impl Into<String>) -> Self {
        Self { pointer: String::new(), message: message.into() }
    }
}

/// Whether `specversion` has to be there: plain `application/json` may leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecVersion {
    /// It must be `1.0`.
    Required,
    /// It must be `1.0` if it is there.
    Optional,
}

/// Reads one structured event from JSON text.
///
/// # Errors
/// [`BadEnvelope`] if the text is no JSON object or an attribute is not acceptable.
pub fn from_text(text: &[u8], version: SpecVersion) -> Result<Incoming, BadEnvelope> {
    let map = strict_json::parse_object(text).map_err(|e| BadEnvelope::whole(e.to_string()))?;
    from_map(map, version)
}

/// Reads one structured event from a JSON value.
///
/// # Errors
/// [`BadEnvelope`] if the value is no object or an attribute is not acceptable.
pub fn from_json(json: Json, version: SpecVersion) -> Result<Incoming, BadEnvelope> {
    match json {
        Json::Object(map) => from_map(map, version),
        other => Err(BadEnvelope::whole(format!("expected an event, got {}", strict_json::kind(&other)))),
    }
}

fn from_map(mut map: Map<String, Json>, version: SpecVersion) -> Result<Incoming, BadEnvelope> {
    match (map.remove("specversion"), version) {
        (Some(Json::String(v)), _) if v == "1.0" => {}
        (None, SpecVersion::Optional) => {}
        _ => return Err(BadEnvelope::at("specversion", "must be \"1.0\"")),
    }
    if let Some(kind) = take_text(&mut map, "datacontenttype")? {
        check_content_type(&kind)?;
    }
    let _ = take_text(&mut map, "dataschema")?;
    if map.contains_key("data_base64") {
        return Err(BadEnvelope::at("data_base64", "binary data is not taken: send JSON in `data`"));
    }
    let incoming = Incoming {
        source: required(take_text(&mut map, "source")?, "source")?,
        id: required(take_text(&mut map, "id")?, "id")?,
        kind: required(take_text(&mut map, "type")?, "type")?,
        subject: take_text(&mut map, "subject")?,
        time: take_text(&mut map, "time")?.map(|t| instant(&t)).transpose()?,
        data: map.remove("data").filter(|d| !d.is_null()).unwrap_or_else(|| Json::Object(Map::new())),
    };
    for (name, value) in &map {
        check_extension(name)?;
        if matches!(value, Json::Array(_) | Json::Object(_)) {
            return Err(BadEnvelope::at(name, "an extension attribute is a text, a number or a boolean"));
        }
    }
    Ok(incoming)
}

/// Reads one event in binary mode: attributes in `ce-` headers, the data in the body.
///
/// # Errors
/// [`BadEnvelope`] if a header is missing or not acceptable, or the body is not JSON.
pub fn from_headers(headers: &HeaderMap, body: &[u8]) -> Result<Incoming, BadEnvelope> {
    let mut map = Map::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let text = percent_decoded(value.as_bytes())
            .ok_or_else(|| BadEnvelope::at(attribute, "is not percent-encoded UTF-8"))?;
        if map.insert(attribute.to_owned(), Json::String(text)).is_some() {
            return Err(BadEnvelope::at(attribute, "the header occurs twice"));
        }
    }
    if map.contains_key("data") {
        return Err(BadEnvelope::at("data", "in binary mode the body is the data"));
    }
    if !body.is_empty() {
        let data = strict_json::parse(body).map_err(|e| BadEnvelope::at("data", e.to_string()))?;
        map.insert("data".to_owned(), data);
    }
    from_map(map, SpecVersion::Required)
}

/// Whether a request is in binary mode.
#[must_use]
pub fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion") || headers.contains_key("ce-type") || headers.contains_key("ce-id")
}

fn take_text(map: &mut Map<String, Json>, name: &str) -> Result<Option<String>, BadEnvelope> {
    match map.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => {
            if text.is_empty() {
                return Err(BadEnvelope::at(name, "is empty"));
            }
            if text.len() > ATTRIBUTE_BYTES_MAX {
                return Err(BadEnvelope::at(name, format!("is longer than {ATTRIBUTE_BYTES_MAX} bytes")));
            }
            if text.chars().any(char::is_control) {
                return Err(BadEnvelope::at(name, "holds a control character"));
            }
            Ok(Some(text))
        }
        Some(other) => Err(BadEnvelope::at(name, format!("expected a text, got {}", strict_json::kind(&other)))),
    }
}

fn required(text: Option<String>, name: &str) -> Result<String, BadEnvelope> {
    text.ok_or_else(|| BadEnvelope::at(name, "is missing"))
}

fn instant(text: &str) -> Result<Timestamp, BadEnvelope> {
    text.parse().map_err(|e: rapport_model::time::InvalidTimestamp| BadEnvelope::at("time", e.to_string()))
}

fn check_content_type(kind: &str) -> Result<(), BadEnvelope> {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(BadEnvelope::at("datacontenttype", "only JSON data are taken"))
}

fn check_extension(name: &str) -> Result<(), BadEnvelope> {
    if SERVER_ATTRIBUTES.contains(&name) {
        return Err(BadEnvelope::at(name, "is set by the server"));
    }
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if valid && name.len() <= 64 {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(BadEnvelope::at(&shown, "is no attribute of CloudEvents: own fields belong into `data`"))
}

/// `%E2%82%AC` and the like, as the HTTP binding of CloudEvents writes characters that headers cannot hold.
fn percent_decoded(raw: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let (hex, after) = tail.split_at_checked(2)?;
            if !hex.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
