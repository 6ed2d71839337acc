//! Makes segments what their rules say: page by page in SQL and silently, or, where it is to be told, by judging those in whom they differ.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rapport_model::rule::Rule;
use rapport_model::{RecordId, SegmentKind, SegmentName, Timestamp, Value};
use rapport_store::{Filling, Moment, crash_point};

use super::judge::{Case, Judged};
use super::set::{Segment, SegmentSet};
use super::state::{Standing, State};
use super::{NextTurn, Work};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::schedules::set as change;

/// Records of the first page; how many the next ones have goes by how long a page takes.
const PAGE_ROWS: u32 = 10_000;
/// A page has no fewer records, and no more.
const PAGE_ROWS_RANGE: std::ops::RangeInclusive<u32> = 1_000..=100_000;
/// How long a page is to take: for so long others wait for their commit.
const PAGE_TIME: Duration = Duration::from_millis(80);
/// For how long one step goes on to the next segment: with very many, to look for each anew would take longer than to fill it.
const STEP: Duration = Duration::from_millis(50);

/// How far the filling of a segment has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    /// Of which version of its record: another rule begins anew.
    version: i64,
    after: Option<RecordId>,
    /// How many records the next one has.
    rows: u32,
}

impl Work {
    /// How far the filling of a segment has come, if it was begun for the rule that it has now.
    fn pages_of(&self, state: &State) -> Option<Pages> {
        self.fills.get(&state.def.name).copied().filter(|pages| pages.version == state.version())
    }
}

/// How many records the page after one of `rows` has that took so long.
fn rows_after(rows: u32, took: Duration) -> u32 {
    let fit = f64::from(rows) * PAGE_TIME.as_secs_f64() / took.as_secs_f64().max(1e-6);
    // One page that was held up, or found all in memory, does not say how the next will fare.
    let (least, most) = (f64::from(rows) / 2.0, f64::from(rows) * 2.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it stands within a factor of two of rows"
    )]
    let rows = fit.clamp(least, most) as u32;
    rows.clamp(*PAGE_ROWS_RANGE.start(), *PAGE_ROWS_RANGE.end())
}

impl Inner {
    /// Works at one page of what is to be filled or emptied, if anything is, or at several segments that have no more than one.
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
        if !states.values().any(|state| matches!(state.standing, Standing::Filling | Standing::Retiring)) {
            return Ok(false);
        }
        let (began, mut any) = (Instant::now(), false);
        for (place, segment) in set.all().iter().enumerate() {
            let Some(state) = states.get(&segment.def.name) else { continue };
            // One that was activated a moment ago may not be what is live yet.
            if state.standing != Standing::Filling || state.def.rule != segment.def.rule {
                continue;
            }
            match self.fill_one((&mut *work, set), (place, segment), state, now).await {
                // One whose rule the database cannot be asked must not keep the others waiting.
                Err(EngineError::Invalid(why)) => {
                    let name = &segment.def.name;
                    tracing::error!(segment.name = %name, "the segment {name} cannot be filled: {why:?}");
                }
                Ok(done) if done && began.elapsed() < STEP => any = true,
                done => return done.map(|_| true),
            }
        }
        if any {
            return Ok(true);
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

    /// Works at one page of a segment; says whether that was the last.
    async fn fill_one(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        (place, segment): (usize, &Segment),
        state: &State,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let name = &segment.def.name;
        if work.pages_of(state).is_none() {
            work.aside.remove(name);
            self.index_for(segment).await?;
        }
        let done = if state.announce {
            self.bring_up_some((&mut *work, set), (place, segment), now, Judged::All).await? == 0
        } else {
            self.fill_page(work, state, segment.rule.as_ref(), now).await?
        };
        if done {
            self.filled((work, set), (place, segment), state, now).await?;
        }
        Ok(done)
    }

    /// The segment is what its rule says: who was touched meanwhile is judged, and so are those who ask for it, and then it is ready. What
    /// fails on the way is done again with the last page.
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
        let touched = work.aside.get(&segment.def.name).cloned().unwrap_or_default();
        let cases = touched.into_iter().map(|id| Case::at(now, id, [place])).collect();
        self.judge_cases((&mut *work, set), &segment.def.object, cases, Judged::All).await?;
        for asking in set.asking_for(&segment.def.name) {
            let asking_for = (*asking, &**set.at(*asking));
            if asking_for.1.def.kind == SegmentKind::Live {
                self.bring_up((&mut *work, set), asking_for, now, Judged::Ready).await?;
            }
        }
        work.fills.remove(&segment.def.name);
        work.aside.remove(&segment.def.name);
        work.next_turn = NextTurn::Unknown;
        // Somebody may have activated another rule meanwhile: then it is filled once more.
        self.note_segment(state, changes).await?;
        Ok(())
    }

    /// Brings the next page of a segment to what `rule` says, silently; says whether that was the last one.
    async fn fill_page(
        &self,
        work: &mut Work,
        state: &State,
        rule: Option<&Rule>,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let pages = work.pages_of(state);
        let rows = pages.map_or(PAGE_ROWS, |pages| pages.rows);
        let filling = Filling {
            segment: state.def.name.clone(),
            object: state.def.object.clone(),
            rule: rule.cloned(),
            now,
            after: pages.and_then(|pages| pages.after),
            rows,
        };
        let began = Instant::now();
        let filled = self.store.fill_segment(filling).await?;
        crash_point("segments.page_filled");
        let pages = Pages { version: state.version(), after: filled.after, rows: rows_after(rows, began.elapsed()) };
        work.fills.insert(state.def.name.clone(), pages);
        Ok(filled.after.is_none())
    }

    async fn empty(&self, work: &mut Work, state: &State, now: Timestamp) -> Result<(), EngineError> {
        if self.fill_page(work, state, None, now).await? {
            work.fills.remove(&state.def.name);
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
