//! Reads the body of a write: JSON fields into changes, with references that are still to be looked up.

use rapport_model::image::Unfit;
use rapport_model::json::value_from_json;
use rapport_model::nearest::nearest;
use rapport_model::record::{Change, SYSTEM_FIELDS};
use rapport_model::tags::TagEdit;
use rapport_model::{FieldDef, FieldKind, Name, ObjectDef, Schema, Value};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

use crate::error::{EngineError, FieldProblem};
use crate::key::{self, Key};

/// What a body says of one field.
#[derive(Debug, Clone)]
pub(crate) enum DraftChange {
    /// A value, or an increment.
    Plain(Change),
    /// A reference by a unique field.
    Lookup(Arc<ObjectDef>, Name, Value),
    /// A reference with fields of its own: the record is updated, or created, by its unique field.
    Upsert(Arc<ObjectDef>, Name, Value, Draft),
}

/// The changes that a body asks for, in its order.
pub(crate) type Draft = Vec<(Name, DraftChange)>;

/// Reads `body` as changes of a record of `object`.
///
/// # Errors
/// [`EngineError::Invalid`] and [`EngineError::UnknownField`] for every field that is wrong, with its pointer.
pub(crate) fn read(schema: &Schema, object: &ObjectDef, body: &Json) -> Result<Draft, EngineError> {
    let map = body.as_object().ok_or_else(|| EngineError::invalid("", "expected a JSON object of fields"))?;
    let mut draft = Vec::with_capacity(map.len());
    let mut problems = Vec::new();
    let mut unknown = None;
    for (name, json) in map {
        match read_field(schema, object, name, json) {
            Ok(change) => draft.push(change),
            Err(EngineError::Invalid(found)) => problems.extend(found),
            Err(other) => {
                problems.extend(other.pointers());
                unknown.get_or_insert(other);
            }
        }
    }
    match (problems.len(), unknown) {
        (0, None) => Ok(draft),
        (1, Some(error)) => Err(error),
        _ => Err(EngineError::Invalid(problems)),
    }
}

fn read_field(
    schema: &Schema,
    object: &ObjectDef,
    name: &str,
    json: &Json,
) -> Result<(Name, DraftChange), EngineError> {
    let field = known_field(object, name)?;
    if let Some(rollup) = &field.rollup {
        return Err(Unfit::Rollup { field: field.name.clone(), object: rollup.object.clone() }.into());
    }
    let change = match (&field.kind, json) {
        (FieldKind::Reference { object: target }, Json::String(text)) => {
            let target = schema.object(target.as_str()).ok_or_else(|| unknown_target(name))?;
            match key::parse(target, text).map_err(|e| EngineError::invalid(pointer(name), e.to_string()))? {
                Key::Id(id) => DraftChange::Plain(Change::Set(Value::Ref(id))),
                Key::Field(by, value) => DraftChange::Lookup(target.clone(), by, value),
            }
        }
        (FieldKind::Reference { object: target }, Json::Object(map)) => {
            let target = schema.object(target.as_str()).ok_or_else(|| unknown_target(name))?;
            nested(schema, target, name, map)?
        }
        (kind, Json::Object(map)) if kind.is_number() => DraftChange::Plain(Change::Increment(increment(field, map)?)),
        (FieldKind::Tags, Json::Object(map)) => {
            let wrong = |why| Unfit::Misfit { field: field.name.clone(), why };
            DraftChange::Plain(Change::Tag(TagEdit::read(map).map_err(wrong)?))
        }
        (kind, json) => {
            let value = value_from_json(kind, json).map_err(|why| Unfit::Misfit { field: field.name.clone(), why })?;
            DraftChange::Plain(Change::Set(value))
        }
    };
    Ok((field.name.clone(), change))
}

/// The field `name`, or an error that says which name was meant, or that the host sets it.
pub(crate) fn known_field<'a>(object: &'a ObjectDef, name: &str) -> Result<&'a FieldDef, EngineError> {
    if let Some(field) = object.field(name) {
        return Ok(field);
    }
    if SYSTEM_FIELDS.contains(&name) {
        return Err(EngineError::invalid(pointer(name), format!("`{name}` is set by the host alone")));
    }
    if object.formula(name).is_some() {
        let why = format!("`{name}` is a formula: it is computed when a record is read, and can be filtered by alone");
        return Err(EngineError::invalid(pointer(name), why));
    }
    let nearest = nearest(name, object.fields.iter().map(|f| f.name.as_str()));
    Err(EngineError::UnknownField { object: object.name.clone(), field: name.chars().take(64).collect(), nearest })
}

fn increment(field: &FieldDef, map: &Map<String, Json>) -> Result<Value, EngineError> {
    let wrong = |why: String| EngineError::invalid(pointer(field.name.as_str()), why);
    match map.iter().next() {
        Some((key, by)) if map.len() == 1 && key == "increment" && !by.is_null() => {
            value_from_json(&field.kind, by).map_err(|why| wrong(why.to_string()))
        }
        _ => Err(wrong("expected a number or {\"increment\": NUMBER}".to_owned())),
    }
}

fn nested(
    schema: &Schema,
    target: &Arc<ObjectDef>,
    name: &str,
    map: &Map<String, Json>,
) -> Result<DraftChange, EngineError> {
    let by = target.unique_fields().find(|f| map.get(f.name.as_str()).is_some_and(|v| !v.is_null()));
    let Some(by) = by else {
        let unique: Vec<_> = target.unique_fields().map(|f| f.name.as_str()).collect();
        let message = format!("expected {} to name the {}", unique.join(" or "), target.name);
        return Err(EngineError::invalid(pointer(name), message));
    };
    let body = Json::Object(map.clone());
    let draft = read(schema, target, &body).map_err(|e| below(name, &e))?;
    if draft.iter().any(|(_, change)| matches!(change, DraftChange::Upsert(..))) {
        return Err(EngineError::invalid(pointer(name), "only one level of nested records can be written at once"));
    }
    match draft.iter().find(|(field, _)| *field == by.name) {
        Some((_, DraftChange::Plain(Change::Set(value)))) => {
            Ok(DraftChange::Upsert(target.clone(), by.name.clone(), value.clone(), draft))
        }
        _ => Err(EngineError::invalid(pointer(name), format!("`{}` must be a plain value here", by.name))),
    }
}

/// The same error, one level further in.
pub(crate) fn below(name: &str, error: &EngineError) -> EngineError {
    let inner = error.pointers();
    if inner.is_empty() {
        return EngineError::invalid(pointer(name), error.to_string());
    }
    let moved = inner.into_iter().map(|p| FieldProblem { pointer: format!("{}{}", pointer(name), p.pointer), ..p });
    EngineError::Invalid(moved.collect())
}

fn unknown_target(name: &str) -> EngineError {
    EngineError::invalid(pointer(name), "the object it refers to is gone")
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        let mut schema = Schema::default();
        for object in rapport_model::standard::objects() {
            schema.objects.insert(object.name.clone(), Arc::new(object));
        }
        schema
    }

    fn order(body: &Json) -> Result<Draft, EngineError> {
        let schema = schema();
        read(&schema, schema.object("order").unwrap(), body)
    }

    #[test]
    fn a_reference_is_an_id_a_key_or_a_nested_record() {
        let by = |customer: Json| order(&json!({ "customer": customer })).unwrap().remove(0).1;
        assert!(matches!(by(json!("customer_no:1")), DraftChange::Lookup(..)));
        assert!(matches!(by(json!("customer/customer_no:1")), DraftChange::Lookup(..)));
        assert!(matches!(by(json!({"customer_no": "1", "country": "France"})), DraftChange::Upsert(..)));
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(matches!(by(json!(id)), DraftChange::Plain(Change::Set(Value::Ref(_)))));
    }

    #[test]
    fn a_nested_record_without_its_key_is_refused_at_its_place() {
        let error = order(&json!({"customer": {"country": "France"}})).unwrap_err();
        assert_eq!(error.pointers()[0].pointer, "/customer");
        let error = order(&json!({"customer": {"customer_no": "1", "contry": "x"}})).unwrap_err();
        assert_eq!(error.pointers()[0].pointer, "/customer/contry");
    }

    #[test]
    fn system_and_unknown_fields_are_refused_by_name() {
        let error = order(&json!({"version": 3, "amont": 1, "amount": "x"})).unwrap_err();
        let pointers: Vec<_> = error.pointers().into_iter().map(|p| p.pointer).collect();
        assert_eq!(pointers, ["/amont", "/amount", "/version"]);
    }

    #[test]
    fn a_number_can_be_incremented() {
        let draft = order(&json!({"amount": {"increment": "1.50"}})).unwrap();
        assert!(matches!(draft[0].1, DraftChange::Plain(Change::Increment(_))));
        assert!(order(&json!({"amount": {"add": 1}})).is_err());
    }
}
