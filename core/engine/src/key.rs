//! How a record is named from outside: `ID`, `FIELD:VALUE` of a unique field, and in references also `OBJECT/…`.

use rapport_model::json::value_from_json;
use rapport_model::nearest::nearest;
use rapport_model::{FieldKind, Name, ObjectDef, RecordId, Value};

use crate::error::EngineError;

/// The name of a record of an object that is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Key {
    /// Its id.
    Id(RecordId),
    /// The value of a unique field.
    Field(Name, Value),
}

/// Reads `text` as a key of a record of `object`; `OBJECT/` before it must name that object.
///
/// # Errors
/// [`EngineError::Invalid`] that says how keys are written; [`EngineError::UnknownField`] if the field is none.
pub(crate) fn parse(object: &ObjectDef, text: &str) -> Result<Key, EngineError> {
    let bare = match text.split_once('/') {
        Some((name, rest)) if name == object.name.as_str() => rest,
        _ => text,
    };
    if let Ok(id) = bare.parse() {
        return Ok(Key::Id(id));
    }
    let Some((field, value)) = bare.split_once(':') else {
        return Err(EngineError::invalid("", format!("`{}` names no {}: {}", brief(text), object.name, how(object))));
    };
    let Some(def) = object.field(field) else {
        let nearest = nearest(field, object.unique_fields().map(|f| f.name.as_str()));
        return Err(EngineError::UnknownField { object: object.name.clone(), field: brief(field), nearest });
    };
    if !def.unique {
        let message = format!("`{field}` is not unique, so it names no {}: {}", object.name, how(object));
        return Err(EngineError::invalid("", message));
    }
    let value = key_value(&def.kind, value).ok_or_else(|| {
        EngineError::invalid("", format!("`{}` is no value of `{field}`, a {} field", brief(value), def.kind.as_str()))
    })?;
    Ok(Key::Field(def.name.clone(), value))
}

/// Reads `object/key`.
pub(crate) fn split_subject(text: &str) -> Option<(&str, &str)> {
    text.split_once('/').filter(|(object, key)| !object.is_empty() && !key.is_empty())
}

fn key_value(kind: &FieldKind, text: &str) -> Option<Value> {
    let json = match kind {
        FieldKind::Integer => text.parse::<i64>().ok()?.into(),
        FieldKind::Boolean => text.parse::<bool>().ok()?.into(),
        _ => serde_json::Value::from(text),
    };
    value_from_json(kind, &json).ok()
}

fn how(object: &ObjectDef) -> String {
    let fields: Vec<_> = object.unique_fields().map(|f| format!("{}:VALUE", f.name)).collect();
    if fields.is_empty() { "use its id".to_owned() } else { format!("use its id or {}", fields.join(" or ")) }
}

fn brief(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer() -> ObjectDef {
        rapport_model::standard::objects().into_iter().find(|o| o.name.as_str() == "customer").unwrap()
    }

    #[test]
    fn a_unique_field_names_a_record() {
        let key = parse(&customer(), "customer_no:17850").unwrap();
        assert_eq!(key, Key::Field(Name::new("customer_no").unwrap(), Value::text("17850")));
        assert_eq!(parse(&customer(), "customer/customer_no:17850").unwrap(), key);
    }

    #[test]
    fn what_names_nothing_says_what_would() {
        let text = |k| parse(&customer(), k).unwrap_err().to_string();
        assert!(text("17850").contains("use its id or customer_no:VALUE or email:VALUE"), "{}", text("17850"));
        assert!(text("country:France").contains("not unique"));
        assert!(text("custmer_no:1").contains("did you mean `customer_no`"));
    }
}
