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
use rapport_model::{Event, EventType, Run, RunId};

/// Events kept.
const EVENTS_MAX: usize = 512;
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

/// What was committed a moment ago.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Without gaps, in the order of the log.
    events: Mutex<VecDeque<Arc<Event>>>,
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
    fn events(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of events that are durable.
    pub(crate) fn note(&self, events: &[Arc<Event>]) {
        let (Some(first), mut kept) = (events.first(), self.events()) else { return };
        if kept.back().is_some_and(|last| last.position + 1 != first.position) {
            kept.clear();
        }
        kept.extend(events.iter().skip(events.len().saturating_sub(EVENTS_MAX)).cloned());
        let more = kept.len().saturating_sub(EVENTS_MAX);
        kept.drain(..more);
    }

    /// The event at `position`, if it is at hand.
    pub(crate) fn event(&self, position: i64) -> Option<Arc<Event>> {
        let kept = self.events();
        let place = usize::try_from(position - kept.front()?.position).ok()?;
        kept.get(place).cloned()
    }

    /// The events of the type `kind` after the position `after` and up to `to`, if all of them are at hand.
    pub(crate) fn events_between(&self, kind: &EventType, after: i64, to: i64) -> Option<Vec<Arc<Event>>> {
        let kept = self.events();
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
