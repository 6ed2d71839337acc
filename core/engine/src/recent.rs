//! What was committed a moment ago: events, and runs that have begun to wait, with their journals. A run that is woken soon reads
//! nothing of it from the database.
//!
//! Nothing here is the truth: what is not at hand is read. What is kept is bounded in number and bytes. A run goes whenever
//! somebody else than its own slice takes a step with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rapport_model::event::Body;
use rapport_model::{Event, EventType, Run, RunId, Value};

/// Events kept, and the bytes of their values together.
const EVENTS_MAX: usize = 512;
const EVENT_BYTES_MAX: usize = 4 << 20;
/// Runs kept, and the bytes of their journals and traces together.
const RUNS_MAX: usize = 2_048;
const BYTES_MAX: u64 = 8 << 20;

/// A run that waits, or will soon, as it was committed.
#[derive(Debug, Clone)]
pub(crate) struct Sleeper {
    /// The run, if it is known to wait; none where only its journal is at hand.
    pub(crate) run: Option<Arc<Run>>,
    /// Its journal, slice by slice.
    pub(crate) journal: Vec<Arc<str>>,
}

/// What a run that is kept takes.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<RunId, Arc<Sleeper>> for Bytes {
    fn weight(&self, _run: &RunId, sleeper: &Arc<Sleeper>) -> u64 {
        let trace = sleeper.run.as_ref().and_then(|run| run.trace.as_ref()).map_or(0, String::len);
        let journal: usize = sleeper.journal.iter().map(|slice| slice.len()).sum();
        (journal + trace + size_of::<Sleeper>() + size_of::<Run>()) as u64
    }
}

/// Events without gaps, in the order of the log.
#[derive(Debug, Default)]
struct Events {
    kept: VecDeque<Arc<Event>>,
    /// What they take.
    bytes: usize,
}

impl Events {
    fn push(&mut self, event: &Arc<Event>) {
        self.bytes += bytes_of(event);
        self.kept.push_back(event.clone());
        while self.kept.len() > EVENTS_MAX || self.bytes > EVENT_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= bytes_of(&oldest);
        }
    }
}

/// What an event takes, about.
fn bytes_of(event: &Event) -> usize {
    let fields = match &event.body {
        None => [None, None, None],
        Some(Body::Data(data)) => [Some(data), None, None],
        Some(Body::Change(change)) => [Some(&change.before), Some(&change.after), Some(&change.delta)],
    };
    let values = fields.into_iter().flatten().flatten().map(|(_, value)| match value {
        Value::Text(text) => text.len(),
        Value::Json(json) => bytes_of_json(json),
        _ => 0,
    });
    values.map(|bytes| bytes + size_of::<Value>()).sum::<usize>() + size_of::<Event>()
}

fn bytes_of_json(json: &serde_json::Value) -> usize {
    let inside = match json {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(items) => items.iter().map(bytes_of_json).sum(),
        serde_json::Value::Object(fields) => fields.iter().map(|(name, json)| name.len() + bytes_of_json(json)).sum(),
        _ => 0,
    };
    inside + size_of::<serde_json::Value>()
}

/// What was committed a moment ago.
#[derive(Debug)]
pub(crate) struct Recent {
    events: Mutex<Events>,
    sleepers: Cache<RunId, Arc<Sleeper>, Bytes>,
    /// Counts the runs that were forgotten.
    forgotten: AtomicU64,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            events: Mutex::default(),
            sleepers: Cache::with_weighter(RUNS_MAX, BYTES_MAX, Bytes),
            forgotten: AtomicU64::new(0),
        }
    }
}

impl Recent {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of events that are durable.
    pub(crate) fn note(&self, events: &[Arc<Event>]) {
        let (Some(first), mut all) = (events.first(), self.events()) else { return };
        if all.kept.back().is_some_and(|last| last.position + 1 != first.position) {
            *all = Events::default();
        }
        for event in events {
            all.push(event);
        }
    }

    /// The event at `position`, if it is at hand.
    pub(crate) fn event(&self, position: i64) -> Option<Arc<Event>> {
        let all = self.events();
        let place = usize::try_from(position - all.kept.front()?.position).ok()?;
        all.kept.get(place).cloned()
    }

    /// The events of the type `kind` after the position `after` and up to `to`, if all of them are at hand.
    pub(crate) fn events_between(&self, kind: &EventType, after: i64, to: i64) -> Option<Vec<Arc<Event>>> {
        let all = self.events();
        let kept = &all.kept;
        if kept.front()?.position > after + 1 || kept.back()?.position < to {
            return None;
        }
        let begun = kept.partition_point(|event| event.position <= after);
        let within = kept.range(begun..).take_while(|event| event.position <= to);
        Some(within.filter(|event| event.kind == *kind).cloned().collect())
    }

    /// What is known of a run that waits.
    pub(crate) fn sleeper(&self, run: RunId) -> Option<Arc<Sleeper>> {
        self.sleepers.get(&run)
    }

    /// How often a run was forgotten: to be asked before what is kept is read or committed.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Keeps what is known of a run, unless one was forgotten since `forgotten`: it may have been this one.
    pub(crate) fn keep(&self, run: RunId, sleeper: Sleeper, forgotten: u64) {
        self.sleepers.insert(run, Arc::new(sleeper));
        // Asked afterwards: who forgets counts first, and then removes.
        if self.forgotten() != forgotten {
            self.sleepers.remove(&run);
        }
    }

    /// Forgets a run that its own slice has ended.
    pub(crate) fn ended(&self, run: RunId) {
        self.sleepers.remove(&run);
    }

    /// Forgets a run with which somebody else has taken a step.
    pub(crate) fn forget(&self, run: RunId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.sleepers.remove(&run);
    }
}

#[cfg(test)]
mod tests;
