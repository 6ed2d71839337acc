//! What a rule asks of the log, and of segments: `did`, `did_not`, `in_segment`.
//!
//! `did('order.created', {within: '30 days', at_least: 3, where: 'amount > 50'})` holds for a record whose history has that many
//! events of the type. The history of a record is what its lane has, if its records are lanes themselves (a customer's orders
//! included), else what is about the record itself. Only events whose time is not after now count; with `within`, only those of less than
//! that long ago. `where` sees what the event says and nothing else: of a creation the values given, of a deletion those that went, of a
//! change what changed (`after.x` or plainly `x`, and `before.x`); what the event does not say is null.

use std::sync::Arc;

use super::lookup::{RecordLookup, Referenced};
use super::tree::{Base, Condition, Term};
use super::{Env, EvalError, Lookup, Params, Rule};
use crate::event::{Body, Event};
use crate::name::{EventType, Name};
use crate::record::Record;
use crate::segment::SegmentName;
use crate::time::Timestamp;
use crate::value::Value;

/// What a record's history must hold.
#[derive(Debug, Clone)]
pub struct Did {
    /// The type of the events.
    pub kind: EventType,
    /// Only those of less than that many microseconds ago.
    pub within: Option<i64>,
    /// How many there must be.
    pub at_least: u32,
    /// Only those for which this holds.
    pub filter: Option<Rule>,
    /// Whose history it is.
    pub of: HistoryOf,
    /// Whether they are changes of records, not events of a declared type.
    pub is_change: bool,
}

/// Whose history an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryOf {
    /// That of the record that is its lane.
    Lane,
    /// That of the record that it is about.
    Subject,
}

/// Two are the same question if they read the same.
impl PartialEq for Did {
    fn eq(&self, other: &Self) -> bool {
        let filter = |did: &Self| did.filter.as_ref().map(|rule| rule.source().to_owned());
        (&self.kind, self.within, self.at_least, self.of) == (&other.kind, other.within, other.at_least, other.of)
            && filter(self) == filter(other)
    }
}

/// The answers to what rules ask beside records' fields.
pub trait History {
    /// How many events there are of those that `did` counts, up to the number that it asks for.
    fn count(&self, did: &Did) -> u32;
    /// Whether the record belongs to the segment.
    fn is_member(&self, segment: &SegmentName) -> bool;
}

/// Where a rule that asks of the log finds its values: in a record, and in what is known of its history.
#[derive(Clone, Copy)]
pub struct HistoryLookup<'a> {
    /// The record.
    pub record: &'a Record,
    /// What it refers to, as far as the rule reads it.
    pub referenced: &'a Referenced,
    /// What is known of its history.
    pub history: &'a dyn History,
}

impl HistoryLookup<'_> {
    const fn plain(&self) -> RecordLookup<'_> {
        RecordLookup { record: self.record, referenced: self.referenced }
    }
}

impl Lookup for HistoryLookup<'_> {
    fn field(&self, name: &Name) -> Value {
        self.plain().field(name)
    }

    fn other(&self, base: &Base, name: &Name) -> Value {
        self.plain().other(base, name)
    }

    fn count(&self, did: &Did) -> u32 {
        self.history.count(did)
    }

    fn is_member(&self, segment: &SegmentName) -> bool {
        self.history.is_member(segment)
    }
}

/// What an event says, and nothing else.
struct BodyLookup<'a>(&'a Body);

fn said(fields: &[(Name, Value)], name: &Name) -> Option<Value> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
}

impl Lookup for BodyLookup<'_> {
    fn field(&self, name: &Name) -> Value {
        match self.0 {
            Body::Data(data) => said(data, name).unwrap_or_default(),
            // A deletion has no fields after, nothing else has none of them.
            Body::Change(change) if change.after.is_empty() => said(&change.before, name).unwrap_or_default(),
            Body::Change(change) => said(&change.after, name).unwrap_or_default(),
        }
    }

    fn other(&self, base: &Base, name: &Name) -> Value {
        match (base, self.0) {
            (Base::Own, _) => self.field(name),
            (Base::Before, Body::Change(change)) => said(&change.before, name).unwrap_or_default(),
            (Base::After, Body::Change(change)) => said(&change.after, name).unwrap_or_default(),
            _ => Value::Null,
        }
    }
}

impl Did {
    /// Whether `event`, one of the record's history, counts at `now`.
    ///
    /// # Errors
    /// [`EvalError`] as for [`Rule::eval`].
    pub fn counts(&self, event: &Event, now: Timestamp) -> Result<bool, EvalError> {
        if event.kind != self.kind || !self.is_in_window(event.time, now) {
            return Ok(false);
        }
        let Some(rule) = &self.filter else { return Ok(true) };
        let Some(body) = &event.body else { return Ok(false) };
        rule.eval(&Env { now, lookup: &BodyLookup(body), params: &Params::none() })
    }

    /// Whether an event of `time` counts at `now`, as far as time goes.
    #[must_use]
    pub fn is_in_window(&self, time: Timestamp, now: Timestamp) -> bool {
        let age = now.micros() - time.micros();
        age >= 0 && self.within.is_none_or(|within| age < within)
    }
}

/// `condition` with questions to the log replaced by membership.
pub(super) fn answered(condition: &Condition, answers: &[(Arc<Did>, SegmentName)]) -> Condition {
    let all = |parts: &[Condition]| parts.iter().map(|part| answered(part, answers)).collect();
    match condition {
        Condition::All(parts) => Condition::All(all(parts)),
        Condition::Any(parts) => Condition::Any(all(parts)),
        Condition::Not(inner) => Condition::Not(Box::new(answered(inner, answers))),
        Condition::Holds(Term::Condition(inner)) => answered(inner, answers),
        Condition::Did(did) => match answers.iter().find(|(known, _)| known == did) {
            Some((_, segment)) => Condition::InSegment(segment.clone(), None),
            None => condition.clone(),
        },
        other => other.clone(),
    }
}
