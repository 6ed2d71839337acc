//! Follows the log: judges whom its events touch.

use std::collections::BTreeMap;

use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::{Actor, Name, RecordId, Schema, Timestamp, Value};
use rapport_store::{EventQuery, Followed, RecordQuery, UnitOfWork};

use super::judge::{Case, Judged};
use super::set::{Child, SegmentSet, Touched};
use super::{Noted, Work};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::registry::slice_time;

/// Events followed in one go.
const BATCH: usize = 500;
/// How many events may have been followed beyond what the database knows of.
const UNKEPT_MAX: i64 = 5_000;
/// For how long time may have been followed beyond what the database knows of, in microseconds.
const UNKEPT_MICROS_MAX: i64 = 600_000_000;

impl Inner {
    /// Reads how far segments have followed; what came after is to be followed.
    pub(crate) async fn begin_segments(&self) -> Result<(), EngineError> {
        self.load_segments().await?;
        let (head, now) = (self.store.head(), self.clock.now());
        let kept = self.store.segments_followed().await?;
        let mut work = self.segments.turn.lock().await;
        work.kept = (kept.map_or(0, |kept| kept.position), kept.map(|kept| kept.swept_at));
        let Followed { position, swept_at } = kept.unwrap_or(Followed { position: head, swept_at: now });
        (work.followed, work.swept_at) = (position, Some(swept_at));
        let mut queue = self.segments.queue();
        queue.noted = head;
        queue.overflowed = (position < head).then_some(position);
        Ok(())
    }

    /// Judges whom the events touch that were not followed yet; says how many came or left.
    pub(super) async fn follow(&self, work: &mut Work, set: &SegmentSet, now: Timestamp) -> Result<usize, EngineError> {
        let mut done = 0;
        loop {
            let (events, upto) = self.unfollowed_events(work).await?;
            if events.is_empty() && upto <= work.followed {
                return Ok(done);
            }
            match self.follow_some((&mut *work, set), &events, now).await {
                Ok(moved) => done += moved,
                Err(error) => {
                    // They are out of the queue: what was not followed is read from the log.
                    let mut queue = self.segments.queue();
                    queue.events.clear();
                    queue.overflowed = Some(work.followed);
                    return Err(error);
                }
            }
            work.followed = work.followed.max(upto);
            if events.len() < BATCH {
                return Ok(done);
            }
        }
    }

    /// Judges whom these events touch.
    async fn follow_some(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        events: &[Noted],
        now: Timestamp,
    ) -> Result<usize, EngineError> {
        let mut done = 0;
        for (object, cases) in self.cases(set, events, now).await? {
            done += self.judge_cases((&mut *work, set), &object, cases, Judged::Ready).await?;
        }
        Ok(done)
    }

    /// The next events, and the position up to which these are all that touch anything.
    async fn unfollowed_events(&self, work: &Work) -> Result<(Vec<Noted>, i64), EngineError> {
        let after = {
            let mut queue = self.segments.queue();
            if let Some(after) = queue.overflowed {
                after.max(work.followed)
            } else {
                let count = queue.events.len().min(BATCH);
                let events: Vec<Noted> = queue.events.drain(..count).collect();
                let upto = queue.events.front().map_or(queue.noted, |next| next.event.position - 1);
                return Ok((events, upto));
            }
        };
        let limit = u32::try_from(BATCH).unwrap_or(u32::MAX);
        let query = EventQuery { after: Some(after), limit, ..EventQuery::default() };
        let events = self.store.events(&query).await?;
        let upto = events.last().map_or(after, |last| last.position);
        let mut queue = self.segments.queue();
        queue.overflowed = if upto >= queue.noted { None } else { Some(upto) };
        Ok((events.into_iter().map(|event| Noted { event, is_quiet: false }).collect(), upto))
    }

    /// Whom `events` touch, by object, each once, because of the last event that touches it.
    async fn cases(
        &self,
        set: &SegmentSet,
        events: &[Noted],
        now: Timestamp,
    ) -> Result<BTreeMap<Name, Vec<Case>>, EngineError> {
        let mut found: BTreeMap<(Name, RecordId), Case> = BTreeMap::new();
        for Noted { event, is_quiet } in events {
            let at = slice_time(event, now, self.is_loading());
            for (place, touched) in set.touched(event) {
                let object = &set.at(place).def.object;
                let ids = match touched {
                    Touched::Record(id) => vec![id],
                    Touched::Through(via, id) => self.referring(object, &via, id).await?,
                    Touched::Parent(child, through) => self.parents(object, &child, through.as_ref()).await?,
                };
                for id in ids {
                    let new = || Case { since: Some(event.time), is_quiet: true, ..Case::at(at, id, []) };
                    let case = found.entry((object.clone(), id)).or_insert_with(new);
                    case.places.insert(place);
                    (case.at, case.cause) = (at, Some((event.position, event.depth)));
                    case.since = case.since.min(Some(event.time));
                    case.is_quiet &= is_quiet;
                }
            }
        }
        let mut by_object: BTreeMap<Name, Vec<Case>> = BTreeMap::new();
        for ((object, _), case) in found {
            by_object.entry(object).or_default().push(case);
        }
        for cases in by_object.values_mut() {
            cases.sort_by_key(|case| case.cause);
        }
        Ok(by_object)
    }

    /// The parent of a child as it now is, or the records of `object` that refer to that.
    async fn parents(
        &self,
        object: &Name,
        child: &Child,
        through: Option<&Name>,
    ) -> Result<Vec<RecordId>, EngineError> {
        let record = self.store.record(&child.object, child.id).await?;
        let Some(parent) = record.and_then(|record| record.get(child.via.as_str()).as_ref_id()) else {
            return Ok(Vec::new());
        };
        match through {
            None => Ok(vec![parent]),
            Some(via) => self.referring(object, via, parent).await,
        }
    }

    /// The records of `object` that refer to `id` by the field `via`.
    pub(super) async fn referring(
        &self,
        object: &Name,
        via: &Name,
        id: RecordId,
    ) -> Result<Vec<RecordId>, EngineError> {
        let schema = self.store.schema();
        let Some(def) = schema.object(object.as_str()).cloned() else { return Ok(Vec::new()) };
        let params = Params::none().with("touched", Value::Ref(id));
        let text = format!("{via} == touched");
        let rule = Rule::parse(&text, &Scope::Record(def), &Schema::clone(&schema), &ParamTypes::of(&params))?;
        let mut query = RecordQuery::new(object.clone(), self.clock.now(), 0);
        (query.rule, query.params) = (Some(rule), params);
        Ok(self.store.ids_where(&query).await?)
    }

    /// Has the database know how far log and time were followed, if it knows much less.
    pub(super) async fn keep_progress(&self, work: &mut Work, now: Timestamp) -> Result<(), EngineError> {
        let Some(swept_at) = work.swept_at else { return Ok(()) };
        let (position, kept) = work.kept;
        let behind = kept.map_or(i64::MAX, |kept| swept_at.micros().saturating_sub(kept.micros()));
        if work.followed - position < UNKEPT_MAX && behind < UNKEPT_MICROS_MAX {
            return Ok(());
        }
        let mut unit = UnitOfWork::new(now, Actor::System);
        unit.followed = Some(Followed { position: work.followed, swept_at });
        self.store.commit(unit).await?;
        work.kept = (work.followed, Some(swept_at));
        Ok(())
    }
}
