//! Events from outside: checked one by one, appended in one unit.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::event::{Fields, NewEvent, Origin, Subject};
use rapport_model::nearest::nearest;
use rapport_model::record::Change;
use rapport_model::schema::{EventTypeDef, Origin as ObjectOrigin};
use rapport_model::{EventType, Name, ObjectDef, Record, Schema, Timestamp, Value};
use rapport_store::{EventQuery, Triggers, UnitOfWork};
use serde_json::Value as Json;

use crate::bulk::Reaction;
use crate::draft::{self, Draft, DraftChange};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::key::{self, Key};
use crate::plan::Planner;
use crate::schema::is_record_event;
use crate::undo::RESERVED;

/// The longest source or id of an event, in bytes.
const ORIGIN_BYTES_MAX: usize = 512;

/// An event as it comes in.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    /// CloudEvents' `source`: who reports it.
    pub source: String,
    /// CloudEvents' `id`: with the source its identity.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// `customer/customer_no:17850` or `customer/ID`.
    pub subject: Option<String>,
    /// When it was true; none: now.
    pub time: Option<Timestamp>,
    /// Its fields.
    pub data: Json,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// It is in the log.
    Accepted {
        /// Where.
        position: i64,
    },
    /// It was there already.
    Duplicate,
    /// It was not taken.
    Refused {
        /// A stable code.
        code: &'static str,
        /// Why, and what would be taken.
        message: String,
    },
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// After this position; 0: from the beginning.
    pub after: i64,
    /// A type, or `order.*`.
    pub kind: Option<String>,
    /// `customer/customer_no:17850` or `customer/ID`.
    pub subject: Option<String>,
    /// The most to return.
    pub limit: u32,
    /// The newest first.
    pub newest_first: bool,
}

/// An event whose envelope and fields have been read, but whose records have not been looked up.
struct Read {
    def: Arc<EventTypeDef>,
    subject: Option<(Arc<ObjectDef>, Key)>,
    draft: Draft,
    origin: Origin,
    time: Timestamp,
}

impl Engine {
    /// Takes events in. Each is accepted, a duplicate, or refused by itself; all that are accepted commit together.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::LoadOpen`], or the database is away: then none was taken.
    pub async fn ingest(
        &self,
        caller: &Caller,
        events: Vec<Incoming>,
        reaction: Reaction,
    ) -> Result<Vec<Intake>, EngineError> {
        caller.require(Act::Write)?;
        self.inner.writable(None)?;
        let schema = self.inner.store.schema();
        let now = self.inner.clock.now();
        let mut kinds = HashMap::new();
        let mut planner = Planner::new(&*self.inner.entropy, &self.inner.merged);
        let mut outcomes: Vec<Option<Intake>> = Vec::with_capacity(events.len());
        let mut read = Vec::with_capacity(events.len());
        for event in events {
            match read_event(caller, &schema, &mut kinds, event, now) {
                Ok(event) => {
                    self.want(&mut planner, &event);
                    read.push(event);
                    outcomes.push(None);
                }
                Err(error) => outcomes.push(Some(refused(&error))),
            }
        }
        planner.load(&self.inner.store).await?;
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.triggers = if reaction == Reaction::Fire { Triggers::Fire } else { Triggers::Skip };
        for (event, slot) in read.into_iter().zip(outcomes.iter_mut().filter(|o| o.is_none())) {
            match self.finish(&planner, event) {
                Ok(event) => unit.events.push(event),
                Err(error) => *slot = Some(refused(&error)),
            }
        }
        if unit.events.is_empty() {
            return Ok(outcomes.into_iter().flatten().collect());
        }
        let committed = self.inner.store.commit(unit).await?;
        let mut duplicates = committed.duplicates.into_iter().peekable();
        let mut appended = committed.events.iter();
        for (index, slot) in outcomes.iter_mut().filter(|o| o.is_none()).enumerate() {
            *slot = Some(if duplicates.next_if_eq(&index).is_some() {
                Intake::Duplicate
            } else {
                let position = appended.next().map_or(0, |e| e.position);
                Intake::Accepted { position }
            });
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Notes what an event looks up, unless memory has it.
    fn want(&self, planner: &mut Planner<'_>, event: &Read) {
        let lookups = event.draft.iter().filter_map(|(_, change)| match change {
            DraftChange::Lookup(object, field, value) => Some((object, field, value)),
            _ => None,
        });
        for (object, field, value) in lookups {
            planner.want_key(&object.name, field, value);
        }
        match &event.subject {
            Some((object, Key::Field(field, value))) => {
                let cached = self.inner.lookup.cached(&self.inner.store, &object.name, field, value);
                match cached {
                    Some(record) => planner.know(record),
                    None => planner.want_key(&object.name, field, value),
                }
            }
            Some((object, Key::Id(id))) => match self.inner.store.cached(&object.name, *id) {
                Some(record) => planner.know(record),
                None => planner.want_id(&object.name, *id),
            },
            None => {}
        }
    }

    fn finish(&self, planner: &Planner<'_>, event: Read) -> Result<NewEvent, EngineError> {
        let subject = match &event.subject {
            None => None,
            Some((object, key)) => match planner.find(&object.name, key) {
                Some(record) => {
                    if let Key::Field(field, value) = key {
                        self.inner.lookup.remember(field, value, &record);
                    }
                    Some(record)
                }
                None if event.def.subject_optional => None,
                None => {
                    let message = format!("the subject names no {} that is there", object.name);
                    return Err(EngineError::invalid("/subject", message));
                }
            },
        };
        let mut data: Fields = Vec::with_capacity(event.draft.len());
        for (name, change) in event.draft {
            let value = match change {
                DraftChange::Plain(Change::Set(mut value)) => {
                    self.inner.merged.follow_reference(&mut value);
                    value
                }
                DraftChange::Lookup(object, field, value) => {
                    let found = planner.find(&object.name, &Key::Field(field, value));
                    let missing = || EngineError::invalid(format!("/data/{name}"), format!("names no {}", object.name));
                    Value::Ref(found.ok_or_else(missing)?.id)
                }
                DraftChange::Plain(Change::Increment(_) | Change::Tag(_)) | DraftChange::Upsert(..) => {
                    return Err(EngineError::invalid(format!("/data/{name}"), "expected a plain value"));
                }
            };
            if !value.is_null() {
                data.push((name, value));
            }
        }
        let required = event.def.fields.iter().find(|f| f.required && !data.iter().any(|(name, _)| *name == f.name));
        if let Some(field) = required {
            return Err(EngineError::invalid(format!("/data/{}", field.name), "is required"));
        }
        Ok(NewEvent {
            origin: Some(event.origin),
            kind: event.def.name.clone(),
            lane: subject.as_ref().map(|record| record.lane()),
            subject: subject.map(|record: Arc<Record>| Subject { object: record.object.name.clone(), id: record.id }),
            time: event.time,
            data,
        })
    }

    /// Events of the log.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`], [`EngineError::NotFound`] for a subject that is not there.
    pub async fn events(
        &self,
        caller: &Caller,
        filter: &EventFilter,
    ) -> Result<Vec<Arc<rapport_model::Event>>, EngineError> {
        caller.require(Act::Read)?;
        let schema = self.inner.store.schema();
        let subject = match filter.subject.as_deref() {
            None => None,
            Some(text) => {
                let (object, key) = key::split_subject(text).ok_or_else(|| {
                    EngineError::invalid("/subject", "write OBJECT/KEY, such as customer/customer_no:1")
                })?;
                let object = caller.object(&schema, object, Act::Read)?;
                let key = key::parse(&object, key)?;
                match (&key, self.locate(&object, &key).await?) {
                    (Key::Id(id), _) => Some(*id),
                    (_, Some(record)) => Some(record.id),
                    _ => return Err(EngineError::not_found(format!("`{text}`"))),
                }
            }
        };
        let direction = if filter.newest_first {
            rapport_store::Direction::Descending
        } else {
            rapport_store::Direction::Ascending
        };
        let query = EventQuery {
            after: Some(filter.after),
            kind: filter.kind.clone(),
            subject,
            direction,
            limit: filter.limit.min(rapport_model::limits::PAGE_ROWS_MAX),
            ..EventQuery::default()
        };
        let events = self.inner.store.events(&query).await?;
        Ok(events.into_iter().filter(|event| visible(caller, &schema, event)).collect())
    }

    /// The instant that everything here goes by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The position of the latest event.
    #[must_use]
    pub fn head(&self) -> i64 {
        self.inner.store.head()
    }

    /// Tells when the log grows.
    #[must_use]
    pub fn watch_head(&self) -> tokio::sync::watch::Receiver<i64> {
        self.inner.store.subscribe()
    }
}

/// Whether `caller` may see `event`: not those about the host's own objects (files aside), nor about objects it is not bound to.
pub(crate) fn visible(caller: &Caller, schema: &Schema, event: &rapport_model::Event) -> bool {
    let Some(subject) = &event.subject else {
        // What the core says of the registry and of automations names objects of all kinds.
        return caller.objects.is_none() || schema.event_type(event.kind.as_str()).is_some();
    };
    let system = schema.object(subject.object.as_str()).is_some_and(|o| o.origin == ObjectOrigin::System);
    let own = system && subject.object.as_str() != rapport_model::file::OBJECT;
    !own && caller.sees(&subject.object)
}

/// The fields of an event type as an object, so that one reader reads both.
type Kinds = HashMap<EventType, (Arc<EventTypeDef>, ObjectDef)>;

fn read_event(
    caller: &Caller,
    schema: &Schema,
    kinds: &mut Kinds,
    event: Incoming,
    now: Timestamp,
) -> Result<Read, EngineError> {
    let kind = EventType::new(&event.kind).map_err(|e| EngineError::invalid("/type", e.to_string()))?;
    if !kinds.contains_key(&kind) {
        kinds.insert(kind.clone(), known_kind(schema, &kind)?);
    }
    let (def, fields) = kinds.get(&kind).ok_or_else(|| EngineError::not_found("event type"))?;
    let subject = match event.subject.as_deref() {
        None if def.subject_optional => None,
        None => {
            let message = format!("`{kind}` needs a subject: the record it is about, such as customer/customer_no:1");
            return Err(EngineError::invalid("/subject", message));
        }
        Some(text) => {
            let (object, key) = key::split_subject(text)
                .ok_or_else(|| EngineError::invalid("/subject", "write OBJECT/KEY, such as customer/customer_no:1"))?;
            let object = caller.object(schema, object, Act::Write)?;
            let key = key::parse(&object, key).map_err(|e| EngineError::invalid("/subject", e.to_string()))?;
            Some((object, key))
        }
    };
    let draft = match &event.data {
        Json::Null => Vec::new(),
        data => draft::read(schema, fields, data).map_err(|e| draft::below("data", &e))?,
    };
    let origin = Origin { source: checked("source", event.source)?, id: checked("id", event.id)? };
    if origin.source.trim_start_matches('/').starts_with(RESERVED) {
        return Err(EngineError::invalid("/source", format!("`{}` is the host's own: use another", origin.source)));
    }
    Ok(Read { def: def.clone(), subject, draft, origin, time: event.time.unwrap_or(now) })
}

fn known_kind(schema: &Schema, kind: &EventType) -> Result<(Arc<EventTypeDef>, ObjectDef), EngineError> {
    if is_record_event(schema, kind) {
        return Err(EngineError::ReservedEventType(kind.to_string()));
    }
    let def = schema.event_type(kind.as_str()).ok_or_else(|| {
        let nearest = nearest(kind.as_str(), schema.event_types.keys().map(EventType::as_str));
        EngineError::UnknownEventType { kind: kind.to_string(), nearest }
    })?;
    let name = Name::new("data").map_err(|e| EngineError::Internal(e.to_string()))?;
    let fields = def.fields.clone();
    Ok((def.clone(), ObjectDef::new(name, ObjectOrigin::Custom, None, fields)))
}

fn checked(what: &str, text: String) -> Result<Arc<str>, EngineError> {
    if text.is_empty() || text.len() > ORIGIN_BYTES_MAX || text.contains('\0') {
        let message = format!("give a `{what}` of 1 to {ORIGIN_BYTES_MAX} bytes");
        return Err(EngineError::invalid(format!("/{what}"), message));
    }
    Ok(text.into())
}

fn refused(error: &EngineError) -> Intake {
    Intake::Refused { code: error.code(), message: error.to_string() }
}
