//! What wakes runs that wait: instants and events.
//!
//! A waiting run lives in the database alone. In memory stand only the types of events that any run waits for, how far the log
//! has been looked through for each, and the next instant at which one is due.
//!
//! ```text
//! slice ─▶ commit: waiting ─▶ register(type, field, snapshot) ─▶ look through the log from the snapshot on ─▶ wake
//!   ▲                                                                                                         │
//!   └──────────── queued; the commit of its slice finds it waiting, or is nothing ◀── few: in memory ─────────┤
//!   └──────────── queued, pending ◀────────────────────────────────────────────────── many: by a commit ──────┘
//! ```
//! Of several that would wake a run (its time, an event, a person) one alone does. What wakes it is in the database, so that a
//! wake in memory needs no commit: after a crash the same wakes it again, as long as no slice that was woken has been committed.
//!
//! A wait is registered with the position at which its slice began: what came between that and its commit is looked through
//! afterwards, so no event is missed. A type that nobody waits for any more is forgotten.

mod awake;
mod through;
mod wanted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::{Actor, Event, EventType, Name, Run, RunId, RunStatus, Timestamp};
use rapport_store::{JournalStep, RunUpdate, StoreError, UnitOfWork, WaitFor};
use tokio::sync::Notify;

use self::awake::{AWOKEN_MAX, Awake, Rouse};
pub(crate) use self::wanted::{Wanted, equality, text_of, value_in};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::lanes::Item;

/// Events looked through in one go.
const BATCH: u32 = 500;
/// Runs that are read beside those that there is room for, since some may have stepped on while they were read.
const PAGE_SLACK: usize = 64;

/// What is known in memory of the runs that wait.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    state: Mutex<State>,
    /// One at a time looks through the log, and not while a run begins to wait for several events: it would see some of them
    /// without the others.
    turn: tokio::sync::RwLock<()>,
    /// There may be something to look at.
    pub(crate) wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The types that runs wait for: the fields by which, and the position up to which the log has been looked through.
    kinds: HashMap<EventType, Kind>,
    /// When the next run is due at the latest.
    next: Option<Timestamp>,
    /// Counts how often somebody said when a run is due.
    said: u64,
    awake: Awake,
    /// The position of the last event that is known to be durable.
    noted: i64,
}

/// A type of events that runs wait for.
#[derive(Debug, Clone)]
struct Kind {
    fields: Vec<Name>,
    /// The position up to which the log has been looked through.
    seen: i64,
    /// Counts registrations.
    generation: u64,
    /// The least position after which a wait begins that was registered since the log began to be looked through.
    registered: Option<i64>,
    /// There may be events beyond.
    more: bool,
}

impl Waits {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a run waits for events of `kind`, found by `field`, after the position `after`. Called once that is durable.
    pub(crate) fn register(&self, kind: &EventType, field: &Name, after: i64) {
        self.with(|state| state.register(kind, field, after));
    }

    /// Notes what a run waits for, all of it at once. Called once that is durable.
    pub(crate) fn register_all(&self, waits: &[WaitFor]) {
        self.with(|state| waits.iter().for_each(|wait| state.register(&wait.kind, &wait.field, wait.after)));
    }

    /// Keeps the log from being looked through as long as the guard lives, so that what a run waits for becomes known at once.
    pub(crate) async fn hold_still(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.turn.read().await
    }

    /// Notes that a run is due at `when`.
    pub(crate) fn due_at(&self, when: Timestamp) {
        self.with(|state| {
            state.next = Some(state.next.map_or(when, |next| next.min(when)));
            state.said += 1;
        });
    }

    /// Marks a run as woken without a commit.
    fn rouse(&self, run: RunId) -> Rouse {
        self.with(|state| state.awake.rouse(run))
    }

    /// Notes that a run that was woken without a commit has stepped on, or that nothing came of it.
    pub(crate) fn sleeps(&self, run: RunId) {
        self.with(|state| state.awake.sleeps(run));
    }

    /// Whether what was read of a run since the look began may not be how it waits now.
    fn is_astir(&self, run: RunId) -> bool {
        self.with(|state| state.awake.is_astir(run))
    }

    /// Notes that a run has left its lane.
    pub(crate) fn leaves(&self, run: RunId) {
        self.with(|state| state.awake.leaves(run));
    }

    /// For how many runs that are due there is room on the lanes, and how many others are to be left alone.
    pub(crate) fn room(&self) -> Option<(usize, usize)> {
        self.with(|state| Some((state.awake.room()?, state.awake.astir())))
    }

    /// Begins to read from the database who is to be woken.
    fn begin_look(&self) {
        self.with(|state| state.awake.begin_look());
    }

    /// Takes note of events that are durable.
    pub(crate) fn note(&self, events: &[Arc<Event>]) {
        let mut any = false;
        self.with(|state| {
            state.noted = events.last().map_or(state.noted, |last| last.position);
            if state.kinds.is_empty() {
                return;
            }
            for event in events {
                if let Some(known) = state.kinds.get_mut(&event.kind) {
                    (known.more, any) = (true, true);
                }
            }
        });
        if any {
            self.wake.notify_one();
        }
    }

    /// Takes note of durable events for which no run waits.
    pub(crate) fn pass(&self, events: &[Arc<Event>]) {
        self.with(|state| {
            state.noted = events.last().map_or(state.noted, |last| last.position);
            for known in state.kinds.values_mut().filter(|known| !known.more) {
                known.seen = known.seen.max(state.noted);
            }
        });
    }

    /// The types of which there may be more events, marked as looked at, and the position up to which these are all.
    fn open(&self) -> (Vec<(EventType, Kind)>, i64) {
        self.with(|state| {
            let open = state.kinds.iter_mut().filter(|(_, known)| known.more);
            let taken = open.map(|(kind, known)| {
                (known.more, known.registered) = (false, None);
                (kind.clone(), known.clone())
            });
            (taken.collect(), state.noted)
        })
    }

    /// Moves on for `kind`, but no further than to where a wait begins that was registered meanwhile: it was not known when the
    /// events after that were looked at.
    fn seen(&self, kind: &EventType, from: i64, to: i64) {
        self.with(|state| {
            if let Some(known) = state.kinds.get_mut(kind).filter(|known| known.seen >= from) {
                known.seen = known.registered.map_or(to, |after| after.min(to));
            }
        });
    }

    /// Forgets `kind`, which nobody waits for, unless a wait was registered since.
    fn forget(&self, kind: &EventType, generation: u64) {
        self.with(|state| {
            if state.kinds.get(kind).is_some_and(|known| known.generation == generation) {
                state.kinds.remove(kind);
            }
        });
    }

    /// Notes that looking through `kind` did not come to its end.
    fn again(&self, kind: &EventType) {
        self.with(|state| {
            if let Some(known) = state.kinds.get_mut(kind) {
                known.more = true;
            }
        });
    }

    /// When the next run is due at the latest.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.with(|state| state.next)
    }

    /// Whether there may be events that nobody has looked at.
    pub(crate) fn is_open(&self) -> bool {
        self.with(|state| state.kinds.values().any(|known| known.more))
    }

    fn begin_at(&self, position: i64) {
        self.with(|state| state.noted = state.noted.max(position));
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.with(|state| state.next.is_some_and(|next| next <= now))
    }

    /// How often somebody said when a run is due.
    fn said(&self) -> u64 {
        self.with(|state| state.said)
    }

    /// Notes when the next run is due, unless somebody said since `said` when another one is.
    fn set_next(&self, next: Option<Timestamp>, said: u64) {
        self.with(|state| {
            if state.said == said {
                state.next = next;
            }
        });
    }
}

impl State {
    fn register(&mut self, kind: &EventType, field: &Name, after: i64) {
        let new = || Kind { fields: Vec::new(), seen: after, generation: 0, registered: None, more: true };
        let known = self.kinds.entry(kind.clone()).or_insert_with(new);
        if !known.fields.contains(field) {
            known.fields.push(field.clone());
        }
        (known.seen, known.more) = (known.seen.min(after), true);
        known.registered = Some(known.registered.map_or(after, |least| least.min(after)));
        known.generation += 1;
    }
}

/// The event that wakes a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    /// Its position.
    pub(crate) event: i64,
    /// Which of the events that the run waits for it is, from 0.
    pub(crate) index: i64,
}

impl Inner {
    /// Takes up what runs wait for: at start.
    pub(crate) async fn take_up_waits(&self) -> Result<(), EngineError> {
        for (kind, field, after) in self.store.waited_for().await? {
            self.waits.register(&kind, &field, after);
        }
        self.waits.begin_at(self.store.head());
        let said = self.waits.said();
        self.waits.set_next(self.store.next_wake(Timestamp::from_micros(i64::MIN)).await?, said);
        Ok(())
    }

    /// Wakes the runs whose time has come or whose event is in the log. Returns how many.
    ///
    /// # Errors
    /// [`EngineError`] if the database is away: then it is tried again later.
    pub(crate) async fn wake_waiting(&self, now: Timestamp) -> Result<usize, EngineError> {
        // While history is loaded only the load writes; what has come meanwhile wakes after it.
        if self.is_loading() {
            return Ok(0);
        }
        let _turn = self.waits.turn.write().await;
        // What came in time wakes, whatever has become due since.
        let by_events = self.wake_by_events(now).await;
        let by_time = self.wake_by_time(now).await;
        Ok(by_events? + by_time?)
    }

    /// Wakes the runs whose time has come, the longest due first, as far as there is room on the lanes. Returns how many.
    async fn wake_by_time(&self, now: Timestamp) -> Result<usize, EngineError> {
        let mut woken = 0;
        while self.waits.is_due(now) && !self.is_stopping() {
            let Some((room, astir)) = self.waits.room() else { break };
            // In this order: who steps on while it is read who is due says afterwards when it is due next.
            let said = self.waits.said();
            self.waits.begin_look();
            let page = room + astir + PAGE_SLACK;
            let mut due = self.store.due_runs(now, u32::try_from(page).unwrap_or(u32::MAX)).await?;
            let all = due.len() < page;
            due.retain(|run| !self.waits.is_astir(run.id));
            due.truncate(room);
            if !due.is_empty() {
                woken += self.wake(due.into_iter().map(|run| (run, None)).collect(), now).await?;
            } else if all {
                // All that were due by now are awake, or were until a moment ago.
                self.waits.set_next(self.store.next_wake(now).await?, said);
                if self.waits.said() == said {
                    break;
                }
            }
        }
        Ok(woken)
    }

    /// Wakes waiting runs. Those that somebody else has woken meanwhile are left alone.
    ///
    /// A few are woken in memory alone: what wakes them is in the database, so that after a crash it wakes them again, and their next
    /// slice finds them waiting, or is nothing. Many are made pending by a commit, and may then wait in the database for room.
    async fn wake(&self, runs: Vec<(Arc<Run>, Option<Awaited>)>, now: Timestamp) -> Result<usize, EngineError> {
        let (mut woken, mut others) = (0, Vec::new());
        let few = runs.len() <= AWOKEN_MAX / 4 && self.replay.get().is_none();
        for (run, awaited) in runs {
            match if few { self.waits.rouse(run.id) } else { Rouse::Full } {
                Rouse::Done => {
                    woken += 1;
                    self.rouse((*run).clone(), awaited);
                }
                Rouse::Full if !self.waits.is_astir(run.id) => others.push((run, awaited)),
                Rouse::Full | Rouse::Astir => {}
            }
        }
        Ok(woken + self.wake_by_commit(others, now).await?)
    }

    async fn wake_by_commit(
        &self,
        runs: Vec<(Arc<Run>, Option<Awaited>)>,
        now: Timestamp,
    ) -> Result<usize, EngineError> {
        if runs.is_empty() {
            return Ok(0);
        }
        let units = runs.iter().map(|(run, awaited)| wake_unit(run, *awaited, now)).collect();
        let mut woken = Ok(0);
        for ((run, awaited), outcome) in runs.into_iter().zip(self.store.commit_all(units).await) {
            match outcome {
                Ok(_) => {
                    woken = woken.map(|count| count + 1);
                    if self.replay.get().is_none() {
                        self.waits.with(|state| state.awake.joins(run.id));
                    }
                    self.woken((*run).clone(), awaited, now);
                }
                Err(StoreError::RunMoved { .. }) => {}
                // The others have been woken all the same, and are in the lanes.
                Err(error) => woken = woken.and(Err(error.into())),
            }
        }
        woken
    }

    /// Queues a run that waits still, as far as the database knows.
    fn rouse(&self, mut run: Run, awaited: Option<Awaited>) {
        (run.wake_at, run.attempt) = (None, 0);
        (run.wake_event, run.wake_index) = (awaited.map(|a| a.event), awaited.map(|a| a.index));
        self.lanes.push_again(Item { run: Arc::new(run), event: None });
    }

    /// Nothing came of the slice of a run that was woken without a commit, since somebody else took a step with it. If it waits
    /// again, what it waits for is looked for once more.
    pub(crate) async fn forgo(&self, run: RunId) -> Result<(), EngineError> {
        self.recent.forget(run);
        self.waits.sleeps(run);
        let Some(run) = self.store.run(run).await?.filter(|run| run.status == RunStatus::Waiting) else {
            return Ok(());
        };
        let waits: Vec<WaitFor> = self.store.waits_of(&[run.id]).await?.into_iter().map(|(_, wait)| wait).collect();
        self.waits.register_all(&waits);
        if let Some(when) = run.wake_at {
            self.waits.due_at(when);
        }
        self.waits.wake.notify_one();
        Ok(())
    }

    /// Queues a run that a commit has made pending.
    pub(crate) fn woken(&self, mut run: Run, awaited: Option<Awaited>, now: Timestamp) {
        self.recent.forget(run.id);
        (run.status, run.wake_at, run.attempt) = (RunStatus::Pending, None, 0);
        (run.wake_event, run.wake_index) = (awaited.map(|a| a.event), awaited.map(|a| a.index));
        let item = Item { run: Arc::new(run), event: None };
        match self.replay.get() {
            Some(replay) => replay.woken(item, now),
            None => self.lanes.push_again(item),
        }
    }
}

/// What makes a waiting run pending.
pub(crate) fn wake_unit(run: &Run, awaited: Option<Awaited>, now: Timestamp) -> UnitOfWork {
    let mut unit = UnitOfWork::new(now, Actor::System);
    unit.journal = JournalStep::Woken;
    unit.run_state = Some(RunUpdate {
        id: run.id,
        status: RunStatus::Pending,
        attempt: 0,
        wake_at: None,
        wake_event: awaited.map(|a| a.event),
        wake_index: awaited.map(|a| a.index),
        finished_at: None,
        error: None,
        trace: run.trace.clone(),
    });
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal;

    fn paid() -> EventType {
        EventType::new("order.paid").unwrap()
    }

    #[test]
    fn a_type_is_forgotten_unless_somebody_began_to_wait_meanwhile() {
        let waits = Waits::default();
        waits.register(&paid(), &journal::subject_field(), 7);
        let (_, known) = waits.open().0.remove(0);
        waits.register(&paid(), &journal::subject_field(), 9);
        waits.forget(&paid(), known.generation);
        let (_, known) = waits.open().0.remove(0);
        assert_eq!(known.seen, 7);
        waits.forget(&paid(), known.generation);
        assert!(waits.open().0.is_empty() && !waits.is_open());
    }

    #[test]
    fn a_wait_that_began_earlier_is_looked_through_from_there() {
        let waits = Waits::default();
        waits.register(&paid(), &journal::subject_field(), 50);
        assert_eq!(waits.open().0.remove(0).1.seen, 50);
        waits.seen(&paid(), 50, 80);
        waits.again(&paid());
        assert_eq!(waits.open().0.remove(0).1.seen, 80);
        waits.register(&paid(), &journal::subject_field(), 60);
        waits.seen(&paid(), 80, 90);
        assert_eq!(
            waits.open().0.remove(0).1.seen,
            60,
            "what was looked through before the wait was known does not count"
        );
    }

    #[test]
    fn a_wait_that_becomes_known_during_a_look_misses_nothing_of_it() {
        let waits = Waits::default();
        waits.register(&paid(), &journal::subject_field(), 50);
        let (_, known) = waits.open().0.remove(0);
        // Its slice began at 60, and was not committed yet when the events up to 80 were looked at.
        waits.register(&paid(), &journal::subject_field(), 60);
        waits.seen(&paid(), known.seen, 80);
        assert_eq!(waits.open().0.remove(0).1.seen, 60);
    }
}
