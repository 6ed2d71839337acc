//! Reads JSON the strict way: what two readers could understand differently is refused, not guessed.
//!
//! Refused are duplicate keys, nesting deeper than [`JSON_DEPTH_MAX`], numbers beyond a double (`1e400`), lone
//! surrogates, invalid UTF-8 and anything after the value. Never recurses deeper than the limit.

use std::fmt;

use rapport_model::limits::JSON_DEPTH_MAX;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// A text that is not acceptable JSON: says why and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidJson(pub String);

/// Reads one JSON value that takes up all of `bytes`.
///
/// # Errors
/// [`InvalidJson`] naming line and column, if the text is not JSON or is ambiguous.
pub fn parse(bytes: &[u8]) -> Result<Json, InvalidJson> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|e| explain(&e))?;
    reader.end().map_err(|e| explain(&e))?;
    Ok(value)
}

/// Reads one JSON object that takes up all of `bytes`.
///
/// # Errors
/// [`InvalidJson`] as for [`parse`], or if the value is no object.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Json>, InvalidJson> {
    match parse(bytes)? {
        Json::Object(map) => Ok(map),
        other => Err(InvalidJson(format!("expected a JSON object, got {}", kind(&other)))),
    }
}

/// The name of a JSON value's kind, for messages.
#[must_use]
pub const fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

fn explain(error: &serde_json::Error) -> InvalidJson {
    InvalidJson(error.to_string())
}

/// Builds a value that stands `depth` containers deep.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        // A container at this depth would nest its content one deeper than allowed.
        if self.depth >= JSON_DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {JSON_DEPTH_MAX}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let inner = self.inside()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inner)?;
            if map.contains_key(&key) {
                let shown: String = key.chars().take(64).collect();
                return Err(A::Error::custom(format!("the key `{shown}` occurs twice")));
            }
            map.insert(key, value);
        }
        Ok(Json::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn every_kind_of_value_is_read_as_it_stands() {
        let text = r#" {"a":[null,true,-7,18446744073709551615,1.5,"x\u00e9\ud83d\ude00"],"b":{}} "#;
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value, json!({"a": [null, true, -7, 18_446_744_073_709_551_615_u64, 1.5, "xé😀"], "b": {}}));
    }

    #[test]
    fn a_key_that_occurs_twice_is_named() {
        assert!(refusal(r#"{"a":1,"b":{"x":1,"x":2}}"#).contains("the key `x` occurs twice"));
    }

    #[test]
    fn escapes_do_not_hide_a_duplicate_key() {
        assert!(refusal(r#"{"ab":1,"\u0061b":2}"#).contains("the key `ab` occurs twice"));
    }

    #[test]
    fn nesting_of_64_is_read_and_65_refused() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert!(refusal(&nested(65)).contains("nested deeper than 64"));
    }

    #[test]
    fn depth_ten_thousand_does_not_exhaust_the_stack() {
        assert!(refusal(&"[".repeat(10_000)).contains("nested deeper than 64"));
        assert!(refusal(&r#"{"a":"#.repeat(10_000)).contains("nested deeper than 64"));
    }

    #[test]
    fn a_number_beyond_a_double_is_refused() {
        assert!(refusal("1e400").contains("number out of range"));
        assert!(refusal("[-1e400]").contains("number out of range"));
    }

    #[test]
    fn lone_surrogates_are_refused() {
        for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800x""#, r#""\ud800\u0041""#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn invalid_utf8_and_trailing_text_are_refused() {
        assert!(parse(b"\"\xff\"").is_err());
        assert!(refusal("{} {}").contains("trailing"));
        assert!(parse(b"").is_err());
        assert!(parse(b"NaN").is_err());
    }

    #[test]
    fn an_object_is_asked_for_by_name() {
        assert_eq!(parse_object(b"[1]").unwrap_err().to_string(), "expected a JSON object, got an array");
        assert_eq!(parse_object(b"{\"a\":1}").unwrap().len(), 1);
    }

    #[test]
    fn the_place_of_the_mistake_is_named() {
        assert!(refusal("{\n  \"a\": x\n}").contains("line 2 column 8"));
    }
}
