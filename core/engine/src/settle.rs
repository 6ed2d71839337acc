//! Waiting until nothing is left to do: for clocks that stand still between steps.

use std::sync::atomic::Ordering;

use rapport_model::Timestamp;
use rapport_model::limits::FAN_OUT_BATCH_RUNS_MAX;

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Returns once no run waits for its lane and no slice works. Runs that wait for another try do not count.
    pub async fn idle(&self) {
        self.inner.lanes.until(|load| load.queued == 0 && load.running == 0 && !load.more).await;
    }

    /// The same, once segments have followed what was committed, and what that set off is done as well.
    pub(crate) async fn idle_with_segments(&self) -> Result<(), EngineError> {
        loop {
            let head = self.inner.store.head();
            self.idle().await;
            // Waits for whoever is at it.
            self.inner.tick_segments(self.inner.clock.now()).await?;
            if self.inner.store.head() == head && !self.inner.segments.is_open() {
                return Ok(());
            }
        }
    }

    /// Returns once the segments of what is live are filled.
    pub(crate) async fn fill_segments(&self) -> Result<(), EngineError> {
        while self.inner.tick_segments(self.inner.clock.now()).await?.more {}
        Ok(())
    }

    /// Starts everything that is due at the clock's instant, and returns once it is done; says when something is due next. That
    /// lies in the past if it cannot be started now: while history is loaded, or the database is away.
    ///
    /// For clocks that stand still between steps: a scenario's, a backtest's.
    pub async fn settle(&self) -> Option<Timestamp> {
        loop {
            let now = self.inner.clock.now();
            let worked = self.inner.counters.slices.load(Ordering::Relaxed);
            self.inner.lanes.wake_due(now);
            let started = self.inner.tick_schedules(now).await.map(|progress| progress.started);
            let fanned = self.inner.tick_fan_outs(now, FAN_OUT_BATCH_RUNS_MAX as usize).await;
            let moved = self.inner.tick_segments(now).await;
            let crowded = self.inner.waits.room().is_none();
            let woken = self.inner.wake_waiting(now).await;
            let next = self.inner.waits.next();
            self.idle().await;
            // A slice that was at its end has made known only now what it waits for.
            let waits_since = self.inner.waits.next().is_some_and(|due| due <= now && Some(due) != next);
            let carried = self.inner.carry_due(now).await;
            self.idle().await;
            let tried_again = self.inner.lanes.next_due().is_some_and(|when| when <= now);
            let fans = fanned.as_ref().is_ok_and(|tick| tick.more);
            let turns = moved.as_ref().ok().and_then(|tick| tick.next_at);
            let moving = moved.as_ref().is_ok_and(|tick| tick.more) || self.inner.segments.is_open();
            let moved = moved.map(|tick| tick.done);
            let more = match started.and_then(|started| Ok(started + woken? + carried? + moved?)) {
                Ok(count) => {
                    // What somebody else has woken meanwhile may have let others begin.
                    count > 0
                        || self.inner.counters.slices.load(Ordering::Relaxed) != worked
                        || fans
                        || moving
                        || tried_again
                        || waits_since
                        || crowded
                        || (self.inner.waits.is_open() && !self.inner.is_loading())
                }
                Err(error) => {
                    tracing::warn!("what is due waits for the database: {error}");
                    false
                }
            };
            if !more {
                let inner = &self.inner;
                let batch = fanned.ok().and_then(|tick| tick.next_at);
                let next = [
                    inner.lanes.next_due(),
                    inner.waits.next(),
                    inner.schedules.next(),
                    inner.effects.next(),
                    batch,
                    turns,
                ];
                return next.into_iter().flatten().min();
            }
        }
    }
}
