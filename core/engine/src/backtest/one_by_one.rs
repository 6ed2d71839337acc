//! Plays a log in which runs wait: one event at a time, so that each run is woken, and works, where it did.
//!
//! ```text
//! given event ─▶ timers up to its time ─▶ commit ─▶ runs that it starts or wakes ─┬─ would write, and did ─▶ held
//! caused event ─▶ timers up to its time ─▶ the turn of its run ◀───────────────────┘
//!                                                      └─ writes nothing, or never did ─▶ works at once
//! ```
//! A slice that wrote nothing has left nothing in the log: where it worked is not known, so it works as soon as it can. One that
//! would write is only tried, and held until the turn that the log names; then it works at its recorded instant. A candidate
//! need not do what was done: its slice is held only if the turn is near.

use std::sync::Arc;

use rapport_model::{Clock as _, Event, Run, RunId, Timestamp};
use rapport_store::{Direction, EventQuery, Snapshot};

use super::furnish::live_before;
use super::play::{Player, work};
use super::recording::{Bounds, PAGE, is_of_business};
use super::{Cast, Work};
use crate::error::EngineError;
use crate::execute::would_write;
use crate::lanes::Item;

/// How far from its own moment the turn of a candidate's slice may be.
const NEAR_MICROS: i64 = 60_000_000;

impl Work {
    /// What runs that wait did counts up to the end of the period, and as much longer as a run takes that does not.
    pub(super) async fn bounds(&self, snapshot: &mut Snapshot, first: i64, cast: &Cast) -> Result<Bounds, EngineError> {
        let live = self.live.snapshot.load();
        let all = live.active().iter().chain(cast.versions.values()).chain([&self.candidate]);
        let waiting = all.filter(|version| version.waits()).map(|version| version.id.clone()).collect();
        let until = self.new.until.plus_micros(NEAR_MICROS).min(self.live.clock.now());
        let since = self.reaches_back(snapshot, first).await?.then_some(self.new.since);
        Ok(Bounds {
            waiting,
            until,
            since,
            end: self.new.until,
            then: live_before(snapshot, first).await?,
            later_than: None,
        })
    }

    /// Whether the log tells of the time right before the period.
    async fn reaches_back(&self, snapshot: &mut Snapshot, first: i64) -> Result<bool, EngineError> {
        let schema = snapshot.schema().clone();
        let (before, direction) = (Some(first), Direction::Descending);
        let query = EventQuery { before, direction, limit: PAGE, ..EventQuery::default() };
        let events = snapshot.events(&query).await?;
        Ok(events.iter().any(|event| event.time < self.new.since && is_of_business(&schema, event)))
    }
}

impl Player<'_> {
    /// Lets a run work whose turn it is, if it has come so far.
    pub(super) async fn turn(&self, run: RunId, place: usize) {
        self.parts.replay.begin_turn(run, place);
        if let Some(item) = self.parts.replay.take(run) {
            work(&self.parts.scratch.inner, item).await;
        }
        self.parts.replay.end_turn(run);
    }

    /// Moves the clock to `to`, waking on the way whoever is due, and starting what is scheduled.
    pub(super) async fn advance(&mut self, to: Timestamp) -> Result<(), EngineError> {
        while let Some(next) = self.next_due().filter(|next| *next <= to) {
            let now = next.max(self.parts.clock.now());
            self.parts.clock.set(now);
            let inner = &self.parts.scratch.inner;
            if inner.waits.next().is_some_and(|due| due <= now) {
                inner.wake_waiting(now).await?;
                self.quiet().await?;
            }
            if self.next_scheduled().is_some_and(|due| due <= next) {
                self.play_scheduled(next).await?;
            }
            if self.next_due() == Some(next) {
                break;
            }
        }
        self.parts.clock.set(to.max(self.parts.clock.now()));
        Ok(())
    }

    /// When somebody who waits, or a schedule that is played anew, is due next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        [self.parts.scratch.inner.waits.next(), self.next_scheduled()].into_iter().flatten().min()
    }

    /// Lets all work that may, and whoever is woken by it, until nobody is left but those who are held.
    pub(super) async fn quiet(&self) -> Result<(), EngineError> {
        let inner = &self.parts.scratch.inner;
        loop {
            let items = self.parts.replay.take_ready();
            if items.is_empty() && (!inner.waits.is_open() || inner.wake_waiting(self.parts.clock.now()).await? == 0) {
                return Ok(());
            }
            for item in items {
                if self.is_early(&item).await? {
                    self.parts.replay.hold(item);
                } else {
                    work(inner, item).await;
                }
            }
        }
    }

    /// Whether the next slice of a run has its turn later in the log.
    async fn is_early(&self, item: &Item) -> Result<bool, EngineError> {
        let (run, replay) = (&item.run, &self.parts.replay);
        let Some(turn) = replay.next_turn(run.id) else { return Ok(false) };
        let version = self.parts.scratch.inner.version(&run.automation, &run.digest).await;
        if !version.is_ok_and(|version| version.waits()) {
            return Ok(true);
        }
        let moment = replay.moment(run.id).unwrap_or(run.created_at);
        if !self.was_so(run) && turn > moment.plus_micros(NEAR_MICROS) {
            return Ok(false);
        }
        replay.set_tries(true);
        let writes = would_write(&self.parts.scratch.inner, item).await;
        replay.set_tries(false);
        writes
    }

    /// Whether a run has the version that was live then.
    fn was_so(&self, run: &Run) -> bool {
        self.then.get(&run.automation) == Some(&run.digest)
    }

    /// The event, addressed to the question that was asked here in place of the one that was asked then.
    pub(super) fn addressed(&self, event: &Arc<Event>) -> Arc<Event> {
        let Some(subject) = &event.subject else { return event.clone() };
        let Some((run, place)) = self.parts.recording.questions.get(&subject.id) else { return event.clone() };
        let asked = self.parts.replay.questions();
        let Some(here) = asked.get(run).and_then(|asked| asked.get(*place)) else { return event.clone() };
        let mut event = (**event).clone();
        if let Some(subject) = &mut event.subject {
            event.lane = event.lane.map(|lane| if lane == subject.id { *here } else { lane });
            subject.id = *here;
        }
        Arc::new(event)
    }

    /// Questions that were not asked then have no recorded answer.
    pub(super) fn count_unanswered(&mut self) {
        let asked = self.parts.replay.questions();
        let then = |run: &RunId| self.parts.recording.asked.get(run).copied().unwrap_or(0);
        let more: usize = asked.iter().map(|(run, here)| here.len().saturating_sub(then(run))).sum();
        self.played.unanswered = more as u64;
        if more > 0 {
            self.remark(format!(
                "{more} questions were not asked then: what would have been answered is unknown, so that they time out, \
                 or wait on"
            ));
        }
    }
}
