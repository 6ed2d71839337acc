//! Bodies of events as JSON text, to and fro.
//!
//! Written straight into bytes, since a value tree for every event would cost more than all the rest of it.

use std::io::Write as _;
use std::sync::Arc;

use rapport_model::event::{Body, Fields, RecordChange};
use rapport_model::json::{Misfit, value_from_json};
use rapport_model::name::RecordEventKind;
use rapport_model::run::{ENDED, INVOKED};
use rapport_model::{EventType, FieldDef, FieldKind, Name, Schema, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

/// The type of the event that says that the registry changed.
pub(crate) const SCHEMA_CHANGED: &str = "schema.changed";
/// The type of the event that says that a draft of an automation was made.
pub(crate) const AUTOMATION_PUSHED: &str = "automation.pushed";
/// The type of the event that says that a version became live.
pub(crate) const AUTOMATION_ACTIVATED: &str = "automation.activated";
/// The type of the event that says that an automation was taken out of service.
pub(crate) const AUTOMATION_DEACTIVATED: &str = "automation.deactivated";
/// The type of the event that says that a run shall be undone, and starts the run that does so. The engine appends it.
pub const UNDO_REQUESTED: &str = "undo.requested";
/// The type of the event that says that a record shall be merged into another, and starts the run that does so. The engine appends it.
pub const MERGE_REQUESTED: &str = "merge.requested";
/// The types of events that come from the core alone, beside those of record changes.
pub(crate) const CORE_TYPES: [&str; 10] = [
    SCHEMA_CHANGED,
    AUTOMATION_PUSHED,
    AUTOMATION_ACTIVATED,
    AUTOMATION_DEACTIVATED,
    rapport_model::schedule::DUE,
    rapport_model::fan_out::EACH,
    UNDO_REQUESTED,
    MERGE_REQUESTED,
    INVOKED,
    ENDED,
];

/// The body of an event as JSON, as the log has it: what [`read`] takes.
#[must_use]
pub fn body_text(body: &Body) -> String {
    write(body)
}

/// Writes a body as JSON.
pub(crate) fn write(body: &Body) -> String {
    let mut out = Vec::with_capacity(192);
    match body {
        Body::Data(fields) => write_fields(&mut out, fields),
        Body::Change(change) => {
            for (label, fields) in
                [("{\"before\":", &change.before), (",\"after\":", &change.after), (",\"delta\":", &change.delta)]
            {
                out.extend_from_slice(label.as_bytes());
                write_fields(&mut out, fields);
            }
            out.push(b'}');
        }
    }
    String::from_utf8(out).expect("only whole texts were written")
}

fn write_fields(out: &mut Vec<u8>, fields: &Fields) {
    out.push(b'{');
    for (i, (name, value)) in fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // Names need no escapes.
        write!(out, "\"{name}\":").expect("memory takes any bytes");
        write_value(out, value);
    }
    out.push(b'}');
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => write!(out, "{b}").expect("memory takes any bytes"),
        Value::Int(n) => write!(out, "{n}").expect("memory takes any bytes"),
        Value::Decimal(d) => write!(out, "\"{d}\"").expect("memory takes any bytes"),
        Value::Text(t) => serde_json::to_writer(out, &**t).expect("memory takes any bytes"),
        Value::Date(d) => write!(out, "\"{d}\"").expect("memory takes any bytes"),
        Value::Time(t) => write!(out, "\"{t}\"").expect("memory takes any bytes"),
        Value::Ref(id) => write!(out, "\"{id}\"").expect("memory takes any bytes"),
        Value::Json(json) => serde_json::to_writer(out, &**json).expect("memory takes any bytes"),
    }
}

/// Whether an event of type `kind` about a record of `object` says that the record changed.
fn is_change(kind: &EventType, object: Option<&Name>, schema: &Schema) -> bool {
    use RecordEventKind::{Created, Deleted, Updated};
    let Some(object) = object else { return false };
    let suffix = kind.as_str().strip_prefix(object.as_str()).and_then(|rest| rest.strip_prefix('.'));
    let known = [Created, Updated, Deleted].iter().any(|what| suffix == Some(what.as_str()));
    known && schema.event_type(kind.as_str()).is_none()
}

/// Reads a body back. Fields that nothing declares any more are left out.
///
/// # Errors
/// What does not fit its definition.
pub fn read(payload: &str, kind: &EventType, object: Option<&Name>, schema: &Schema) -> Result<Body, Misfit> {
    let damaged = |e: serde_json::Error| Misfit(format!("not what the store writes: {e}"));
    if is_change(kind, object, schema) {
        let defs = object.and_then(|o| schema.object(o.as_str()));
        let defs: &[FieldDef] = defs.map_or(&[], |d| &d.fields);
        let parts: Parts = serde_json::from_str(payload).map_err(damaged)?;
        let (before, after, delta) = (parts.before.fields(defs)?, parts.after.fields(defs)?, parts.delta.fields(defs)?);
        return Ok(Body::Change(RecordChange { before, after, delta }));
    }
    let ordered: Ordered = serde_json::from_str(payload).map_err(damaged)?;
    match schema.event_type(kind.as_str()) {
        Some(def) => ordered.fields(&def.fields).map(Body::Data),
        None => ordered.fields(&core_fields(kind)).map(Body::Data),
    }
}

/// The parts of a change.
#[derive(serde::Deserialize)]
struct Parts {
    before: Ordered,
    after: Ordered,
    delta: Ordered,
}

/// A JSON object in the order in which it was written.
struct Ordered(Vec<(String, Json)>);

impl Ordered {
    fn fields(self, defs: &[FieldDef]) -> Result<Fields, Misfit> {
        let mut fields = Fields::with_capacity(self.0.len());
        for (name, json) in self.0 {
            let Some(def) = defs.iter().find(|def| def.name.as_str() == name) else { continue };
            let value = value_from_json(&def.kind, &json).map_err(|e| Misfit(format!("`{name}`: {e}")))?;
            fields.push((def.name.clone(), value));
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Ordered;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The fields of the events that come from the core alone.
fn core_fields(kind: &EventType) -> Vec<FieldDef> {
    let fields: &[(&str, FieldKind)] = match kind.as_str() {
        SCHEMA_CHANGED => &[("change", FieldKind::Json)],
        AUTOMATION_PUSHED => &[("automation", FieldKind::Text), ("digest", FieldKind::Text)],
        AUTOMATION_ACTIVATED => {
            &[("automation", FieldKind::Text), ("digest", FieldKind::Text), ("rollback", FieldKind::Boolean)]
        }
        AUTOMATION_DEACTIVATED => &[("automation", FieldKind::Text)],
        rapport_model::schedule::DUE | rapport_model::fan_out::EACH => &[
            ("automation", FieldKind::Text),
            ("schedule", FieldKind::Text),
            ("instant", FieldKind::Timestamp),
            ("by_hand", FieldKind::Boolean),
        ],
        INVOKED => &[
            ("run", FieldKind::Text),
            ("automation", FieldKind::Text),
            ("digest", FieldKind::Text),
            // Of a call of an action: which one, and when its run is to begin at the earliest.
            ("action", FieldKind::Text),
            ("at", FieldKind::Timestamp),
            ("input", FieldKind::Json),
            // Of a request to an address of a plugin: what was asked.
            ("request", FieldKind::Json),
            // Of a slice of a plugin's migration: the step, and where it goes on.
            ("migration", FieldKind::Json),
        ],
        ENDED => &[
            ("run", FieldKind::Text),
            ("status", FieldKind::Text),
            ("result", FieldKind::Json),
            ("error", FieldKind::Text),
        ],
        UNDO_REQUESTED => &[("run", FieldKind::Text), ("automation", FieldKind::Text), ("reaction", FieldKind::Text)],
        MERGE_REQUESTED => &[
            ("object", FieldKind::Text),
            ("survivor", FieldKind::Text),
            ("merged", FieldKind::Text),
            ("fields", FieldKind::Json),
        ],
        _ => &[],
    };
    fields.iter().filter_map(|(name, kind)| Some(FieldDef::new(Name::new(name).ok()?, kind.clone()))).collect()
}

/// One field of an event that the store itself appends.
pub(crate) fn core_field(name: &str, value: Value) -> (Name, Value) {
    (Name::new(name).expect("the names of core fields are valid: a test writes and reads them all"), value)
}

/// A JSON value of a field.
pub(crate) fn json_value(json: Json) -> Value {
    Value::Json(Arc::new(json))
}

#[cfg(test)]
mod tests {
    use rapport_model::json::to_json;
    use rapport_model::standard;

    use super::*;

    fn schema() -> Schema {
        let mut schema = Schema::default();
        schema.objects.extend(standard::objects().into_iter().map(|o| (o.name.clone(), Arc::new(o))));
        schema.event_types.extend(standard::event_types().into_iter().map(|t| (t.name.clone(), Arc::new(t))));
        schema
    }

    fn fields(pairs: &[(&str, Value)]) -> Fields {
        pairs.iter().map(|(n, v)| (Name::new(n).unwrap(), v.clone())).collect()
    }

    fn kind(text: &str) -> EventType {
        EventType::new(text).unwrap()
    }

    #[test]
    fn a_change_reads_back_as_it_was_written() {
        let order = Name::new("order").unwrap();
        let amount = |text: &str| Value::Decimal(text.parse().unwrap());
        let change = RecordChange {
            before: fields(&[("amount", amount("1.50")), ("country", Value::Null)]),
            after: fields(&[("amount", amount("2.00")), ("country", Value::text("a \"b\"\n\u{7f}😀"))]),
            delta: fields(&[("amount", amount("0.50"))]),
        };
        let body = Body::Change(change);
        let text = write(&body);
        assert_eq!(read(&text, &kind("order.updated"), Some(&order), &schema()).unwrap(), body);
    }

    #[test]
    fn the_text_is_what_serde_would_have_written() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(-5),
            Value::Decimal("-0.50".parse().unwrap()),
            Value::text("\u{0}\u{1f}\\\"é"),
            Value::Date("2026-03-01".parse().unwrap()),
            Value::Time("2026-03-01T02:00:00.000001Z".parse().unwrap()),
            Value::Json(Arc::new(serde_json::json!({"b": [1, null], "a": "x"}))),
        ];
        for value in values {
            let mut out = Vec::new();
            write_value(&mut out, &value);
            assert_eq!(String::from_utf8(out).unwrap(), to_json(&value).to_string());
        }
    }

    #[test]
    fn a_field_that_nothing_declares_is_left_out() {
        let body = read(r#"{"order_no":"A1","gone":1}"#, &kind("order.paid"), None, &schema()).unwrap();
        assert_eq!(body, Body::Data(fields(&[("order_no", Value::text("A1"))])));
    }

    #[test]
    fn core_events_read_back() {
        for core in CORE_TYPES {
            let all: Fields = core_fields(&kind(core))
                .iter()
                .map(|f| {
                    core_field(
                        f.name.as_str(),
                        match f.kind {
                            FieldKind::Json => json_value(serde_json::json!({"x": 1})),
                            FieldKind::Timestamp => Value::Time(rapport_model::Timestamp::EPOCH),
                            FieldKind::Boolean => Value::Bool(true),
                            _ => Value::text("y"),
                        },
                    )
                })
                .collect();
            assert!(!all.is_empty());
            let body = Body::Data(all);
            assert_eq!(read(&write(&body), &kind(core), None, &schema()).unwrap(), body);
        }
    }

    #[test]
    fn damaged_text_is_an_error_not_a_panic() {
        assert!(read("{", &kind("order.paid"), None, &schema()).is_err());
        assert!(read(r#"{"amount":"x"}"#, &kind("order.paid"), None, &schema()).is_err());
    }
}
