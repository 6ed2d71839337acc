//! What is measured of runs and timers whenever somebody asks. Each figure is the first row of an index, or a bounded count.

use rapport_model::{RunStatus, Timestamp};

use crate::engine::Engine;
use crate::error::EngineError;

/// The states of which the oldest run is measured: those that somebody still has something to do for.
const STATES: [RunStatus; 5] =
    [RunStatus::Pending, RunStatus::Retrying, RunStatus::Waiting, RunStatus::Paused, RunStatus::Dead];

/// Runs and timers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauges {
    /// Waiting runs whose time has come and that are not woken yet; 100,000 at most.
    pub timers_overdue: u64,
    /// When the next waiting run is due, or was.
    pub timer_next: Option<Timestamp>,
    /// How long ago the event of the first run in each state was committed, in milliseconds; 0 if there is none.
    pub oldest_ms: Vec<(RunStatus, u64)>,
    /// Segments by how they stand: filling, ready, retiring, retired.
    pub segments: Vec<(&'static str, usize)>,
}

impl Engine {
    /// Measures runs and timers.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn gauges(&self) -> Result<Gauges, EngineError> {
        let now = self.inner.clock.now();
        let mut oldest_ms = Vec::with_capacity(STATES.len());
        for status in STATES {
            let since = self.inner.store.oldest_in(status).await?;
            let micros = since.map_or(0, |since| now.micros().saturating_sub(since.micros()).max(0));
            oldest_ms.push((status, u64::try_from(micros / 1_000).unwrap_or(0)));
        }
        Ok(Gauges {
            timers_overdue: self.inner.store.overdue_count(now).await?,
            timer_next: self.inner.store.next_wake(Timestamp::from_micros(i64::MIN)).await?,
            oldest_ms,
            segments: self.inner.segments.counts(),
        })
    }
}
