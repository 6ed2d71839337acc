//! Follows time: judges those whose answer turns by now, each as of the instant at which it does.

use std::collections::{BTreeMap, BTreeSet};

use rapport_model::{Name, RecordId, SegmentKind, Timestamp};
use rapport_store::RecordQuery;

use super::judge::{Case, Judged};
use super::set::{Segment, SegmentSet, Turning};
use super::turns::Turn;
use super::{NextTurn, Work};
use crate::engine::Inner;
use crate::error::EngineError;

/// Records that are looked at for one turn in one go; more, if they turn at the same instant.
const TURNS_MAX: u32 = 1_000;
/// How often segments are looked at as a whole that compare the clock in a way that tells no instants, in microseconds.
const RESTLESS_MICROS: i64 = 3_600_000_000;
/// Records in which a segment differs from its rule that are judged in one go.
pub(super) const DIFFERENCES_MAX: u32 = 500;

impl Inner {
    /// Judges those whose answer turns until `now`; says how many came or left.
    pub(super) async fn sweep(&self, work: &mut Work, set: &SegmentSet, now: Timestamp) -> Result<usize, EngineError> {
        let mut done = self.look_at_restless(work, set, now).await?;
        loop {
            let from = work.swept_at.unwrap_or(now);
            let waits = match work.next_turn {
                NextTurn::Unknown => false,
                NextTurn::Never => true,
                NextTurn::At(next) => next > now,
            };
            // A clock that was put back is waited for.
            if now <= from || waits {
                work.swept_at = Some(from.max(now));
                if work.next_turn == NextTurn::Unknown {
                    work.next_turn = NextTurn::known(self.next_turn(set, from.max(now)).await?);
                }
                return Ok(done);
            }
            let (turned, upto) = self.turned(set, (from, now)).await?;
            for (object, cases) in turned {
                done += self.judge_cases((&mut *work, set), &object, cases, Judged::Ready).await?;
            }
            work.swept_at = Some(upto);
            work.next_turn = NextTurn::Unknown;
        }
    }

    /// Whose answer turns after the one instant and not after the other, by object and in the order in which they do, and the instant up
    /// to which these are all.
    async fn turned(
        &self,
        set: &SegmentSet,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<(BTreeMap<Name, Vec<Case>>, Timestamp), EngineError> {
        let mut upto = to;
        let mut found: BTreeMap<(Name, Timestamp, RecordId), BTreeSet<usize>> = BTreeMap::new();
        for Turning { turn, object, places } in set.turnings() {
            let back = |time: Timestamp| time.plus_micros(-turn.offset);
            let (moments, full) = self.moments(turn, (back(from), back(upto))).await?;
            if let Some(last) = full {
                upto = upto.min(last.plus_micros(turn.offset));
            }
            for (id, moment) in moments {
                let at = moment.plus_micros(turn.offset);
                let ids = match &turn.via {
                    None => vec![id],
                    Some(via) => self.referring(object, via, id).await?,
                };
                for id in ids {
                    found.entry((object.clone(), at, id)).or_default().extend(places);
                }
            }
        }
        let mut by_object: BTreeMap<Name, Vec<Case>> = BTreeMap::new();
        for ((object, at, id), places) in found.into_iter().filter(|((_, at, _), _)| *at <= upto) {
            by_object.entry(object).or_default().push(Case::at(at, id, places));
        }
        Ok((by_object, upto))
    }

    /// The moments of a turn, and the last of them if these are not all.
    async fn moments(
        &self,
        turn: &Turn,
        range: (Timestamp, Timestamp),
    ) -> Result<(Vec<(RecordId, Timestamp)>, Option<Timestamp>), EngineError> {
        let mut limit = TURNS_MAX;
        loop {
            let mut moments = self.store.moments(&turn.moment, range, limit).await?;
            if moments.len() < limit as usize {
                return Ok((moments, None));
            }
            let (first, last) = (moments[0].1, moments[moments.len() - 1].1);
            if first < last {
                // Of the last instant there may be more.
                moments.retain(|(_, at)| *at < last);
                return Ok((moments, Some(last.plus_micros(-1))));
            }
            limit = limit.saturating_mul(10);
        }
    }

    /// When the next answer turns after `after`.
    async fn next_turn(&self, set: &SegmentSet, after: Timestamp) -> Result<Option<Timestamp>, EngineError> {
        let mut next: Option<Timestamp> = None;
        for Turning { turn, .. } in set.turnings() {
            let moment = self.store.next_moment(&turn.moment, after.plus_micros(-turn.offset)).await?;
            if let Some(at) = moment.map(|moment| moment.plus_micros(turn.offset)) {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        Ok(next)
    }

    /// Looks at segments as a whole whose turns nobody knows, once an hour.
    async fn look_at_restless(&self, work: &mut Work, set: &SegmentSet, now: Timestamp) -> Result<usize, EngineError> {
        let rested = work.rested_at.is_some_and(|at| now.micros() - at.micros() < RESTLESS_MICROS);
        if rested {
            return Ok(0);
        }
        let mut done = 0;
        for (place, segment) in live(set).filter(|(_, segment)| segment.turns.is_restless) {
            done += self.bring_up((&mut *work, set), (place, segment), now, Judged::Ready).await?;
        }
        work.rested_at = Some(now);
        Ok(done)
    }

    /// Judges all in whom a segment differs from its rule at `now`; says how many came or left.
    pub(super) async fn bring_up(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        (place, segment): (usize, &Segment),
        now: Timestamp,
        judged: Judged,
    ) -> Result<usize, EngineError> {
        let mut done = 0;
        loop {
            let moved = self.bring_up_some((&mut *work, set), (place, segment), now, judged).await?;
            done += moved;
            if moved == 0 {
                return Ok(done);
            }
        }
    }

    /// Judges some in whom a segment differs from its rule at `now`; says how many came or left.
    pub(super) async fn bring_up_some(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        (place, segment): (usize, &Segment),
        now: Timestamp,
        judged: Judged,
    ) -> Result<usize, EngineError> {
        let mut query = RecordQuery::new(segment.def.object.clone(), now, DIFFERENCES_MAX);
        query.rule.clone_from(&segment.rule);
        let (missing, surplus) = self.store.segment_differences(&segment.def.name, &query).await?;
        let case = |id| Case::at(now, id, [place]);
        let cases = missing.into_iter().chain(surplus).map(case).collect();
        self.judge_cases((work, set), &segment.def.object, cases, judged).await
    }
}

/// The live segments, with their places.
fn live(set: &SegmentSet) -> impl Iterator<Item = (usize, &Segment)> {
    let all = set.all().iter().enumerate().map(|(place, segment)| (place, &**segment));
    all.filter(|(_, segment)| segment.def.kind == SegmentKind::Live)
}
