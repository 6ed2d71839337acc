//! Holds segments against their rules: each night, and when asked.

use rapport_model::{SegmentKind, Timestamp, Value};
use rapport_store::{RecordQuery, SegmentFaults};

use super::State;
use super::judge::Judged;
use super::state::Standing;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::schedules::set as change;

/// How long after a check the next one comes, in microseconds.
const CHECK_MICROS: i64 = 24 * 3_600_000_000;

/// Whether who comes and leaves is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Telling {
    /// Nobody is.
    #[default]
    Silent,
    /// `segment.entered` and `segment.left` say so.
    Announced,
}

impl Inner {
    /// Compares a segment with its rule, once it has followed everything up to now.
    pub(super) async fn check_segment(&self, state: &State) -> Result<SegmentFaults, EngineError> {
        if state.standing != Standing::Ready || state.def.kind != SegmentKind::Live {
            return Ok(SegmentFaults::default());
        }
        let now = self.clock.now();
        let mut work = self.segments.turn.lock().await;
        let set = self.snapshot.load().segments().clone();
        if !self.is_loading() {
            self.sweep(&mut work, &set, now).await?;
        }
        self.follow(&mut work, &set, now).await?;
        let segment = self.compiled_segment(&state.def.name)?;
        if let Some((place, restless)) = set.find(&state.def.name).filter(|(_, segment)| segment.turns.is_restless) {
            // It is looked at once an hour; what has turned since is no fault.
            self.bring_up((&mut *work, &set), (place, restless), now, Judged::Ready).await?;
        }
        let mut query = RecordQuery::new(segment.def.object.clone(), work.swept_at.unwrap_or(now), 0);
        query.rule.clone_from(&segment.rule);
        let faults = self.store.segment_faults(&segment.def.name, &query).await?;
        drop(work);
        let count = faults.missing.0 + faults.surplus.0;
        if count > 0 {
            tracing::error!(
                segment.name = %state.def.name,
                "the segment {} is not what its rule says for {count} records: `rapport segment rebuild {0}`", state.def.name
            );
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.note_segment(state, vec![change("checked_at", Value::Time(now)), change("faults", Value::Int(count))])
            .await?;
        Ok(faults)
    }

    /// Checks one segment that was not checked for a day; says whether it did.
    pub(super) async fn check_next(&self, now: Timestamp) -> Result<bool, EngineError> {
        let is_due = |state: &State| {
            let last = state.checked_at.max(state.filled_at);
            let old = last.is_none_or(|last| now.micros() - last.micros() >= CHECK_MICROS);
            old && state.standing == Standing::Ready && state.def.kind == SegmentKind::Live
        };
        let states = self.segment_states();
        let Some(state) = states.values().find(|state| is_due(state)) else { return Ok(false) };
        self.check_segment(state).await.map(|_| true)
    }

    /// Has a segment filled anew.
    pub(super) async fn refill_segment(&self, state: &State, telling: Telling) -> Result<(), EngineError> {
        let changes = vec![
            change("state", Value::text(Standing::Filling.as_str())),
            change("announce", Value::Bool(telling == Telling::Announced)),
        ];
        if self.note_segment(state, changes).await? {
            return Ok(());
        }
        Err(EngineError::Conflict(format!(
            "the segment `{}` was changed at the same moment: try again",
            state.def.name
        )))
    }
}
