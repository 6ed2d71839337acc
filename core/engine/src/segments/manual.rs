//! Lists that people keep: who is added, who is removed.

use std::collections::BTreeSet;

use rapport_model::{RecordId, SegmentKind, Timestamp};
use rapport_store::{Stay, StayStep, UnitOfWork};

use super::judge::{Case, Judged, event_of};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};

/// The records that one call adds or removes.
const MOVED_MAX: usize = 10_000;

/// What came of a change of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// How many were added.
    pub added: usize,
    /// How many were removed.
    pub removed: usize,
    /// How many were so already.
    pub unchanged: usize,
    /// The keys that name no record.
    pub unknown: Vec<String>,
}

impl Engine {
    /// Adds records to a manual segment and removes others, named by their keys. Keys that name no record are told; the others
    /// are taken.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Invalid`] if the segment follows a rule, or for more than
    /// ten thousand keys.
    pub async fn move_members(
        &self,
        caller: &Caller,
        name: &str,
        (add, remove): (&[String], &[String]),
    ) -> Result<Moved, EngineError> {
        let state = self.inner.known_segment(name)?;
        let schema = self.inner.store.schema();
        let object = caller.object(&schema, state.def.object.as_str(), Act::Write)?;
        self.inner.writable(None)?;
        if state.def.kind != SegmentKind::Manual {
            let message = format!("the segment `{name}` is {}: its members follow its rule", state.def.kind.as_str());
            return Err(EngineError::invalid("/name", message));
        }
        if add.len() + remove.len() > MOVED_MAX {
            return Err(EngineError::invalid("/add", format!("at most {MOVED_MAX} keys in one call")));
        }
        let mut moved = Moved::default();
        let mut steps: Vec<(RecordId, StayStep)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (keys, step) in [(add, StayStep::Enter), (remove, StayStep::Leave)] {
            for key in keys {
                match self.named(caller, &object, key).await? {
                    Some(record) if seen.insert(record.id) => steps.push((record.id, step)),
                    Some(_) => moved.unchanged += 1,
                    None => moved.unknown.push(key.clone()),
                }
            }
        }
        let now = self.inner.clock.now();
        let mut work = self.inner.segments.turn.lock().await;
        let ids: Vec<RecordId> = steps.iter().map(|(id, _)| *id).collect();
        let there = self.inner.store.segments_of(&ids).await?;
        let records = self.inner.store.records(&object.name, &ids).await?;
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        for ((id, step), record) in steps.into_iter().zip(records) {
            let entered_at: Option<Timestamp> =
                there.get(&id).into_iter().flatten().find(|s| s.segment == state.def.name).map(|s| s.entered_at);
            let (Some(record), true) = (record, entered_at.is_some() == (step == StayStep::Leave)) else {
                moved.unchanged += 1;
                continue;
            };
            unit.events.push(event_of(&record, (&state.def.name, step, entered_at), now));
            unit.stays.push(Stay { segment: state.def.name.clone(), id, at: now, step });
            if step == StayStep::Enter { moved.added += 1 } else { moved.removed += 1 }
        }
        let touched: Vec<RecordId> = unit.stays.iter().map(|stay| stay.id).collect();
        if !unit.stays.is_empty() {
            self.inner.store.commit(unit).await?;
        }
        let set = self.inner.snapshot.load().segments().clone();
        let places: BTreeSet<usize> = set.asking_for(&state.def.name).iter().copied().collect();
        if !places.is_empty() {
            let case = |id| Case::at(now, id, places.clone());
            let cases = touched.into_iter().map(case).collect();
            self.inner.judge_cases((&mut work, &set), &object.name, cases, Judged::Ready).await?;
        }
        Ok(moved)
    }
}
