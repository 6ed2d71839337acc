//! How the committer asks the engine which automations react, and tells it what became durable.

use std::sync::Arc;

use rapport_model::{AutomationId, Digest, Event, Record, Run, RunId};

/// An automation that reacts to an event, in the version that is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The automation.
    pub automation: AutomationId,
    /// The version.
    pub digest: Digest,
    /// The id of the run, if it is known; else it follows from the event.
    pub run: Option<RunId>,
}

/// Implemented by the engine, called by the committer.
pub trait Hooks: Send + Sync {
    /// Which automations react to `event`, each at most once.
    ///
    /// `record` is the subject's record right after the event, or right before it for a deletion; none if the event's subject
    /// is not known to the committer. Called inside the commit, perhaps more than once for one event: must not block, and must
    /// not wait for the store.
    fn matches(&self, event: &Event, record: Option<&Record>) -> Vec<Match>;

    /// A physical transaction is durable. Called in log order, before the callers of commit are answered. With the events come the
    /// positions of those for which nobody was asked who reacts, in order: nothing does.
    fn committed(&self, events: (&[Arc<Event>], &[i64]), runs: &[Arc<Run>]);
}

/// Nothing reacts: what a store has until it is told otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn matches(&self, _event: &Event, _record: Option<&Record>) -> Vec<Match> {
        Vec::new()
    }

    fn committed(&self, _events: (&[Arc<Event>], &[i64]), _runs: &[Arc<Run>]) {}
}
