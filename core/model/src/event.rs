//! Events: immutable facts in the log.

use std::sync::Arc;

use crate::actor::Actor;
use crate::id::{RecordId, RunId};
use crate::name::{EventType, Name};
use crate::time::Timestamp;
use crate::value::Value;

/// The record that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Its object.
    pub object: Name,
    /// Its id.
    pub id: RecordId,
}

/// The outside identity of an event: CloudEvents' `source` and `id`. No two events share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Who reported it.
    pub source: Arc<str>,
    /// Its name there.
    pub id: Arc<str>,
}

/// Field values by name, in the order given.
pub type Fields = Vec<(Name, Value)>;

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// The typed fields of a declared event type.
    Data(Fields),
    /// A record changed.
    Change(RecordChange),
}

/// The fields that a change of a record touched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordChange {
    /// Their values before; for a deletion all fields that were not null, for a creation none.
    pub before: Fields,
    /// Their values after; for a creation all fields that are not null, for a deletion none.
    pub after: Fields,
    /// The numbers by which fields were incremented; such a field is in `before` and `after` too.
    pub delta: Fields,
}

/// An immutable fact in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the sealed log, from 1 without gaps.
    pub position: i64,
    /// Its outside identity; none for what the core or an automation reports.
    pub origin: Option<Origin>,
    /// Its type.
    pub kind: EventType,
    /// The record it is about.
    pub subject: Option<Subject>,
    /// The lane it belongs to: the subject's customer, or the subject itself.
    pub lane: Option<RecordId>,
    /// When it was true.
    pub time: Timestamp,
    /// When it was committed.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The run that caused it.
    pub run: Option<RunId>,
    /// The position of the event that the run reacted to.
    pub cause: Option<i64>,
    /// How many events stand before it in its cause chain.
    pub depth: u16,
    /// What it says; `None` once a person's data were erased.
    pub body: Option<Body>,
}

impl Event {
    /// The record change, if this is one.
    #[must_use]
    pub const fn change(&self) -> Option<&RecordChange> {
        match &self.body {
            Some(Body::Change(change)) => Some(change),
            _ => None,
        }
    }
}

/// An event that is not yet in the log; the store gives it position, `recorded_at` and seal.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its outside identity. A second one with the same is a duplicate and changes nothing.
    pub origin: Option<Origin>,
    /// Its type.
    pub kind: EventType,
    /// The record it is about.
    pub subject: Option<Subject>,
    /// The lane it belongs to.
    pub lane: Option<RecordId>,
    /// When it was true.
    pub time: Timestamp,
    /// Its typed fields.
    pub data: Fields,
}
