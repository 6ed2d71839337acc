//! Values as they pass between host and guest: the types of `rapport.wit` in Rust.
//!
//! Outgoing types share their texts with the records they come from, so that nothing is copied before it is written
//! into the guest's memory. Incoming types own theirs.

pub(crate) mod calls;
pub(crate) mod files;
pub(crate) mod outbound;
pub(crate) mod query;
pub(crate) mod search;

use std::sync::Arc;

use rapport_model::event::{Body, Fields};
use rapport_model::schema::FieldKind;
use rapport_model::{Event, FieldDef, Record, Timestamp, Value};
use rust_decimal::Decimal;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::host::{Arrival, GuestEvent, GuestFields, LogLevel, Question, RecordData, Reply};

/// The bytes that a field costs beside its texts, for the limits on input and output.
const FIELD_BYTES: usize = 24;

/// A value on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum OutValue {
    #[component(name = "null")]
    Null,
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "decimal")]
    Decimal(String),
    #[component(name = "text")]
    Text(Arc<str>),
    #[component(name = "date")]
    Date(String),
    #[component(name = "timestamp")]
    Timestamp(i64),
    #[component(name = "reference")]
    Reference(String),
    #[component(name = "json")]
    Json(String),
}

/// A field on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutField {
    name: Arc<str>,
    value: OutValue,
}

/// A record on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutRecord {
    object: Arc<str>,
    id: String,
    version: u64,
    #[component(name = "created-at")]
    created_at: i64,
    #[component(name = "updated-at")]
    updated_at: i64,
    fields: Vec<OutField>,
}

/// An event on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutEvent {
    position: u64,
    kind: Arc<str>,
    subject: String,
    time: i64,
    #[component(name = "recorded-at")]
    recorded_at: i64,
    actor: String,
    depth: u32,
    data: Vec<OutField>,
    before: Vec<OutField>,
    after: Vec<OutField>,
    delta: Vec<OutField>,
    record: Option<OutRecord>,
}

/// A host call's failure on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

/// A value from a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum InValue {
    #[component(name = "null")]
    Null,
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "decimal")]
    Decimal(String),
    #[component(name = "text")]
    Text(String),
    #[component(name = "date")]
    Date(String),
    #[component(name = "timestamp")]
    Timestamp(i64),
    #[component(name = "reference")]
    Reference(String),
    #[component(name = "json")]
    Json(String),
}

/// A field from a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InField {
    pub(crate) name: String,
    pub(crate) value: InValue,
}

/// What a guest asks for beside a query's rule.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InPage {
    pub(crate) order: String,
    pub(crate) limit: u32,
    pub(crate) after: String,
}

/// What a guest asks people.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InQuestion {
    pub(crate) who: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) choices: Vec<String>,
    pub(crate) about: String,
    pub(crate) timeout: String,
}

impl InQuestion {
    /// The bytes that it costs the host.
    pub(crate) fn bytes(&self) -> usize {
        let choices: usize = self.choices.iter().map(|c| FIELD_BYTES + c.len()).sum();
        self.who.len() + self.title.len() + self.body.len() + self.about.len() + self.timeout.len() + choices
    }
}

impl From<InQuestion> for Question {
    fn from(InQuestion { who, title, body, choices, about, timeout }: InQuestion) -> Self {
        Self { who, title, body, choices, about, timeout }
    }
}

/// One of several events that a guest waits for.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InAlternative {
    pub(crate) kind: String,
    #[component(name = "where")]
    pub(crate) filter: String,
    pub(crate) params: Vec<InField>,
}

/// The event that came first, on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutArrival {
    index: u32,
    event: OutEvent,
}

impl From<Arrival> for OutArrival {
    fn from(Arrival { index, event }: Arrival) -> Self {
        Self { index, event: event.into() }
    }
}

impl OutArrival {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        FIELD_BYTES + self.event.bytes()
    }
}

/// What people answered, on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutReply {
    choice: String,
    by: String,
    #[component(name = "timed-out")]
    timed_out: bool,
    task: String,
}

impl From<Reply> for OutReply {
    fn from(Reply { choice, by, timed_out, task }: Reply) -> Self {
        Self { choice, by, timed_out, task }
    }
}

impl OutReply {
    /// The bytes that this answer costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        FIELD_BYTES + self.choice.len() + self.by.len() + self.task.len()
    }
}

/// A part of a template on its way to the interpreter.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutPart {
    pub(crate) name: String,
    pub(crate) source: String,
}

/// A handler's failure.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

/// The loudness of a log line.
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by wasmtime's `Lift`, which turns the number into the variant")]
pub(crate) enum InLevel {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<InLevel> for LogLevel {
    fn from(level: InLevel) -> Self {
        match level {
            InLevel::Debug => Self::Debug,
            InLevel::Info => Self::Info,
            InLevel::Warn => Self::Warn,
            InLevel::Error => Self::Error,
        }
    }
}

impl OutValue {
    /// `value`, which stands in a field that refers to `object` if it is a reference.
    pub(crate) fn new(value: &Value, object: Option<&str>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Boolean(*b),
            Value::Int(n) => Self::Integer(*n),
            Value::Decimal(d) => Self::Decimal(d.to_string()),
            Value::Text(t) => Self::Text(Arc::clone(t)),
            Value::Date(d) => Self::Date(d.to_string()),
            Value::Time(t) => Self::Timestamp(t.micros()),
            Value::Ref(id) => Self::Reference(match object {
                Some(object) => format!("{object}/{id}"),
                None => id.to_string(),
            }),
            Value::Json(j) => Self::Json(j.to_string()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(t) => t.len(),
            Self::Decimal(t) | Self::Date(t) | Self::Reference(t) | Self::Json(t) => t.len(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Timestamp(_) => 0,
        }
    }
}

impl OutField {
    fn of_def(def: &FieldDef, value: &Value) -> Self {
        let object = match &def.kind {
            FieldKind::Reference { object } => Some(object.as_str()),
            _ => None,
        };
        let value = match (&def.kind, value) {
            // A guest may look into the list at once.
            (FieldKind::Tags, Value::Null) => OutValue::Json("[]".to_owned()),
            _ => OutValue::new(value, object),
        };
        Self { name: def.name.shared(), value }
    }

    fn bytes(&self) -> usize {
        FIELD_BYTES + self.name.len() + self.value.bytes()
    }
}

fn bytes_of(fields: &[OutField]) -> usize {
    fields.iter().map(OutField::bytes).sum()
}

impl From<&Record> for OutRecord {
    fn from(record: &Record) -> Self {
        let object = &record.object;
        let fields = object.fields.iter().enumerate().map(|(i, def)| OutField::of_def(def, record.at(i)));
        let formulas = (object.first_formula()..)
            .zip(&object.formulas)
            .map(|(i, formula)| OutField { name: formula.name.shared(), value: OutValue::new(record.at(i), None) });
        Self {
            object: record.object.name.shared(),
            id: record.id.to_string(),
            version: u64::try_from(record.version).unwrap_or(0),
            created_at: record.created_at.micros(),
            updated_at: record.updated_at.micros(),
            fields: fields.chain(formulas).collect(),
        }
    }
}

impl OutRecord {
    /// The bytes that this record costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        4 * FIELD_BYTES + self.object.len() + self.id.len() + bytes_of(&self.fields)
    }
}

impl From<GuestEvent> for OutEvent {
    fn from(GuestEvent { event, record }: GuestEvent) -> Self {
        let record: Option<&RecordData> = record.as_ref();
        let of = |fields: &Fields| out_fields(fields, record);
        let (data, before, after, delta) = match &event.body {
            Some(Body::Data(data)) => (of(data), Vec::new(), Vec::new(), Vec::new()),
            Some(Body::Change(c)) => (Vec::new(), of(&c.before), of(&c.after), of(&c.delta)),
            None => Default::default(),
        };
        let Event { position, kind, subject, time, recorded_at, actor, depth, .. } = &*event;
        Self {
            position: u64::try_from(*position).unwrap_or(0),
            kind: kind.shared(),
            subject: subject.as_ref().map_or_else(String::new, |s| format!("{}/{}", s.object, s.id)),
            time: time.micros(),
            recorded_at: recorded_at.micros(),
            actor: actor.to_string(),
            depth: u32::from(*depth),
            data,
            before,
            after,
            delta,
            record: record.map(|r| OutRecord::from(&**r)),
        }
    }
}

impl OutEvent {
    /// The bytes that this event costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        let lists = [&self.data, &self.before, &self.after, &self.delta];
        let fields: usize = lists.into_iter().map(|l| bytes_of(l)).sum();
        let texts = self.kind.len() + self.subject.len() + self.actor.len();
        8 * FIELD_BYTES + texts + fields + self.record.as_ref().map_or(0, OutRecord::bytes)
    }
}

/// Event fields carry no definition: what a reference refers to is taken from the record's field of that name.
fn out_fields(fields: &Fields, record: Option<&RecordData>) -> Vec<OutField> {
    let convert = |(name, value): &(rapport_model::Name, Value)| {
        let def = match value {
            Value::Ref(_) => record.and_then(|r| r.object.field(name.as_str())),
            _ => None,
        };
        match def {
            Some(def) => OutField::of_def(def, value),
            None => OutField { name: name.shared(), value: OutValue::new(value, None) },
        }
    };
    fields.iter().map(convert).collect()
}

impl InValue {
    /// The bytes that this value costs the host.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Decimal(t) | Self::Text(t) | Self::Date(t) | Self::Reference(t) | Self::Json(t) => t.len(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Timestamp(_) => 0,
        }
    }

    /// The value, checked.
    ///
    /// # Errors
    /// A text that says what does not read as what it claims to be.
    pub(crate) fn into_value(self) -> Result<Value, String> {
        let wrong = |text: &str, what: &str| {
            let brief: String = text.chars().take(60).collect();
            format!("`{brief}` is not {what}")
        };
        Ok(match self {
            Self::Null => Value::Null,
            Self::Boolean(b) => Value::Bool(b),
            Self::Integer(n) => Value::Int(n),
            Self::Decimal(t) => Value::Decimal(Decimal::from_str_exact(&t).map_err(|_| wrong(&t, "a decimal"))?),
            Self::Text(t) => Value::text(&t),
            Self::Date(t) => Value::Date(t.parse().map_err(|_| wrong(&t, "a date such as 2026-03-01"))?),
            Self::Timestamp(micros) => Value::Time(Timestamp::from_micros(micros)),
            Self::Reference(t) => {
                let id = t.rsplit_once('/').map_or(t.as_str(), |(_, id)| id);
                Value::Ref(id.parse().map_err(|_| wrong(&t, "the id of a record"))?)
            }
            Self::Json(t) => Value::Json(Arc::new(serde_json::from_str(&t).map_err(|_| wrong(&t, "JSON"))?)),
        })
    }
}

/// The bytes that `fields` cost the host.
pub(crate) fn in_bytes(fields: &[InField]) -> usize {
    fields.iter().map(|f| FIELD_BYTES + f.name.len() + f.value.bytes()).sum()
}

/// The values of `fields`, checked.
///
/// # Errors
/// A text that names the field and what is wrong with it.
pub(crate) fn into_fields(fields: Vec<InField>) -> Result<GuestFields, String> {
    let convert = |InField { name, value }| match value.into_value() {
        Ok(value) => Ok((name, value)),
        Err(why) => Err(format!("field `{name}`: {why}")),
    };
    fields.into_iter().map(convert).collect()
}

#[cfg(test)]
mod tests;
