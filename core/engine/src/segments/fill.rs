//! Makes segments what their rules say: page by page in SQL and silently, or, where it is to be told, by judging those in whom they differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use rapport_model::{RecordId, SegmentKind, SegmentName, Timestamp, Value};
use rapport_store::{Filling, Moment, crash_point};

use super::judge::{Case, Judged};
use super::set::{Segment, SegmentSet};
use super::state::{Standing, State};
use super::{NextTurn, Work};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::schedules::set as change;

/// Records of one page.
const PAGE_ROWS: u32 = 10_000;

/// How far the filling of a segment has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    /// Of which version of its record: another rule begins anew.
    version: i64,
    after: Option<RecordId>,
}

impl Inner {
    /// Works at one page of what is to be filled or emptied, if anything is.
    pub(super) async fn fill_next(
        &self,
        work: &mut Work,
        set: &SegmentSet,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let states = self.segment_states();
        let now = self.segments_now(now);
        if !self.is_loading() {
            // What is to be filled is another state from now on.
            if self.begin_scheduled(&states, now).await? {
                return Ok(true);
            }
        }
        for (place, segment) in set.all().iter().enumerate() {
            let Some(state) = states.get(&segment.def.name) else { continue };
            // One that was activated a moment ago may not be what is live yet.
            if state.standing == Standing::Filling && state.def.rule == segment.def.rule {
                return self.fill_one((work, set), (place, segment), state, now).await.map(|()| true);
            }
        }
        match states.values().find(|state| state.standing == Standing::Retiring) {
            Some(state) if set.find(&state.def.name).is_none() => self.empty(work, state, now).await.map(|()| true),
            _ => Ok(false),
        }
    }

    /// What counts as now: while history is loaded, the time of its last row.
    pub(super) fn segments_now(&self, now: Timestamp) -> Timestamp {
        let load = self.load.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        load.as_ref().and_then(|open| open.load.last_time).unwrap_or(now)
    }

    async fn fill_one(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        (place, segment): (usize, &Segment),
        state: &State,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let name = &segment.def.name;
        let pages = work.fills.get(name).copied().filter(|pages| pages.version == state.version());
        if pages.is_none() {
            work.aside.remove(name);
            self.index_for(segment).await?;
        }
        let done = if state.announce {
            self.bring_up_some((&mut *work, set), (place, segment), now, Judged::All).await? == 0
        } else {
            let after = pages.and_then(|pages| pages.after);
            let filling = Filling {
                segment: name.clone(),
                object: segment.def.object.clone(),
                rule: segment.rule.clone(),
                now,
                after,
                rows: PAGE_ROWS,
            };
            let filled = self.store.fill_segment(filling).await?;
            crash_point("segments.page_filled");
            work.fills.insert(name.clone(), Pages { version: state.version(), after: filled.after });
            filled.after.is_none()
        };
        if done {
            self.filled((work, set), (place, segment), state, now).await?;
        }
        Ok(())
    }

    /// The segment is what its rule says; who was touched meanwhile is judged, and so are those who ask for it.
    async fn filled(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        (place, segment): (usize, &Segment),
        state: &State,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let changes = vec![
            change("state", Value::text(Standing::Ready.as_str())),
            change("announce", Value::Bool(false)),
            change("filled_at", Value::Time(now)),
        ];
        work.fills.remove(&segment.def.name);
        work.next_turn = NextTurn::Unknown;
        // Somebody may have activated another rule meanwhile: then it is filled once more.
        if self.note_segment(state, changes).await? {
            let touched = work.aside.remove(&segment.def.name).unwrap_or_default();
            let case = |id| Case { id, places: [place].into(), at: now, cause: None, is_quiet: false };
            let cases = touched.into_iter().map(case).collect();
            self.judge_cases((&mut *work, set), &segment.def.object, cases, Judged::Ready).await?;
            for asking in set.asking_for(&segment.def.name) {
                let asking_for = (*asking, &**set.at(*asking));
                self.bring_up((&mut *work, set), asking_for, now, Judged::Ready).await?;
            }
        }
        Ok(())
    }

    async fn empty(&self, work: &mut Work, state: &State, now: Timestamp) -> Result<(), EngineError> {
        let name = &state.def.name;
        let pages = work.fills.get(name).copied().filter(|pages| pages.version == state.version());
        let filling = Filling {
            segment: name.clone(),
            object: state.def.object.clone(),
            rule: None,
            now,
            after: pages.and_then(|pages| pages.after),
            rows: PAGE_ROWS,
        };
        let filled = self.store.fill_segment(filling).await?;
        work.fills.insert(name.clone(), Pages { version: state.version(), after: filled.after });
        if filled.after.is_none() {
            work.fills.remove(name);
            self.note_segment(state, vec![change("state", Value::text(Standing::Retired.as_str()))]).await?;
        }
        Ok(())
    }

    /// Makes the indexes by which those are found whose answers turn.
    async fn index_for(&self, segment: &Segment) -> Result<(), EngineError> {
        let asks = segment.rule.as_ref().is_some_and(|rule| !rule.dids().is_empty());
        if asks {
            self.store.index_history().await?;
        }
        if segment.def.kind == SegmentKind::Live {
            for turn in &segment.turns.known {
                if let Moment::Field(moment) = &turn.moment {
                    self.store.index_moment(moment).await?;
                }
            }
        }
        Ok(())
    }

    /// Scheduled segments whose instant has come are to be filled, and who comes and leaves is told. Says whether there are any.
    async fn begin_scheduled(
        &self,
        states: &BTreeMap<SegmentName, Arc<State>>,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let mut begun = false;
        let due =
            |state: &&Arc<State>| state.standing == Standing::Ready && state.next_at.is_some_and(|next| next <= now);
        for state in states.values().filter(due) {
            let zone = state.def.zone.clone().unwrap_or_else(rapport_model::Zone::utc);
            let next = state.def.every.as_ref().and_then(|cron| cron.next_after(&zone, now));
            let changes = vec![
                change("state", Value::text(Standing::Filling.as_str())),
                change("announce", Value::Bool(true)),
                change("next_at", next.map_or(Value::Null, Value::Time)),
            ];
            begun |= self.note_segment(state, changes).await?;
        }
        Ok(begun)
    }
}
