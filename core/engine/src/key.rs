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

/// Reads a key that goes through a reference: `customer:customer_no:17850` names the one record whose unique field `customer` refers to
/// the customer of that number. Gives the field, the object that it refers to, and the key there.
pub(crate) fn through<'a>(object: &ObjectDef, text: &'a str) -> Option<(Name, Name, &'a str)> {
    let bare = text.strip_prefix(object.name.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
    let (field, rest) = bare.split_once(':')?;
    let def = object.field(field).filter(|def| def.unique && rest.contains(':'))?;
    match &def.kind {
        FieldKind::Reference { object: target } => Some((def.name.clone(), target.clone(), rest)),
        _ => None,
    }
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
    use rapport_model::FieldDef;

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
    fn a_unique_reference_names_a_record_by_a_key_of_what_it_refers_to() {
        let mut card = customer();
        let to = FieldKind::Reference { object: Name::new("customer").unwrap() };
        card.fields.push(FieldDef { unique: true, ..FieldDef::new(Name::new("owner").unwrap(), to) });
        let (field, target, rest) = through(&card, "owner:customer_no:1").unwrap();
        assert_eq!((field.as_str(), target.as_str(), rest), ("owner", "customer", "customer_no:1"));
        assert_eq!(through(&card, "owner:01a202fd-c52a-717d-8d7f-6197951d520a"), None);
        assert_eq!(through(&card, "customer_no:a:b"), None);
    }

    #[test]
    fn what_names_nothing_says_what_would() {
        let text = |k| parse(&customer(), k).unwrap_err().to_string();
        assert!(text("17850").contains("use its id or customer_no:VALUE or email:VALUE"), "{}", text("17850"));
        assert!(text("country:France").contains("not unique"));
        assert!(text("custmer_no:1").contains("did you mean `customer_no`"));
    }
}
