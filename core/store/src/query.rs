//! What can be asked of the store.

use rapport_model::event::Origin;
use rapport_model::rule::{Params, Rule};
use rapport_model::{AutomationId, Digest, Name, RecordId, RunId, RunStatus, Timestamp, Value};

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Least or oldest first; nulls come first.
    #[default]
    Ascending,
    /// Greatest or newest first; nulls come last.
    Descending,
}

/// Which records of one object, in which order.
#[derive(Debug, Clone)]
pub struct RecordQuery {
    /// The object.
    pub object: Name,
    /// Only those for which this holds.
    pub rule: Option<Rule>,
    /// The parameters of the rule.
    pub params: Params,
    /// The present instant, for rules that read the clock.
    pub now: Timestamp,
    /// The fields to order by, system fields included. The id is always the last of them, ascending.
    pub order: Vec<(Name, Direction)>,
    /// Where the page before ended: the last record's values of the `order` fields and its id. One value for each field.
    pub after: Option<(Vec<Value>, RecordId)>,
    /// The most records to return.
    pub limit: u32,
}

impl RecordQuery {
    /// All records of `object` in the order of their ids, `limit` at most.
    #[must_use]
    pub const fn new(object: Name, now: Timestamp, limit: u32) -> Self {
        Self { object, rule: None, params: Params::none(), now, order: Vec::new(), after: None, limit }
    }
}

/// What is measured of a group of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// How many records there are.
    Count,
    /// The sum of a number field; null if none of them has a value.
    Sum(Name),
    /// The least value of a field that has an order; null likewise.
    Min(Name),
    /// The greatest value, likewise.
    Max(Name),
}

/// Groups of records of one object, and what is measured of each.
#[derive(Debug, Clone)]
pub struct GroupQuery {
    /// The object.
    pub object: Name,
    /// Only those for which this holds.
    pub rule: Option<Rule>,
    /// The parameters of the rule.
    pub params: Params,
    /// The present instant, for rules that read the clock.
    pub now: Timestamp,
    /// The fields whose values make a group; none: all records are one, even if there is no record.
    pub group_by: Vec<Name>,
    /// What is measured.
    pub measures: Vec<Measure>,
    /// The most groups to return.
    pub limit: u32,
}

/// Which events, in which order. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only later positions.
    pub after: Option<i64>,
    /// Only earlier positions.
    pub before: Option<i64>,
    /// Only this type, or `order.*` for all that begin with `order.`.
    pub kind: Option<String>,
    /// Only events about this record.
    pub subject: Option<RecordId>,
    /// Only events on this lane.
    pub lane: Option<RecordId>,
    /// Only events that this run appended.
    pub run: Option<RunId>,
    /// Only events appended by runs that reacted to the event at this position.
    pub cause: Option<i64>,
    /// Only the event of this outside identity.
    pub origin: Option<Origin>,
    /// Oldest or newest first.
    pub direction: Direction,
    /// The most events to return.
    pub limit: u32,
}

/// Which runs; newest first, by (position, automation). All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// Only runs in this state.
    pub status: Option<RunStatus>,
    /// Only runs of this automation.
    pub automation: Option<AutomationId>,
    /// Only runs on this lane.
    pub lane: Option<RecordId>,
    /// Only runs started by events about this record.
    pub subject: Option<RecordId>,
    /// Only runs started by the event at this position.
    pub position: Option<i64>,
    /// Only runs started by events that this run appended.
    pub caused_by: Option<RunId>,
    /// Only runs of versions between these two, both included.
    pub digest: Option<(Digest, Digest)>,
    /// Only runs whose last failure had this code.
    pub error_code: Option<String>,
    /// Only runs whose event was committed at this instant or later.
    pub since: Option<Timestamp>,
    /// Only runs whose event was committed before this instant.
    pub until: Option<Timestamp>,
    /// Where the page before ended: only runs before this one.
    pub before: Option<(i64, AutomationId)>,
    /// The most runs to return.
    pub limit: u32,
}

/// How many runs of one automation are in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCount {
    /// The automation.
    pub automation: AutomationId,
    /// The state.
    pub status: RunStatus,
    /// How many.
    pub count: u64,
}
