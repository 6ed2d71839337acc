//! Starts the runs of fan-outs, batch by batch, as the rate and the load allow.
//!
//! It adds a batch only while few runs of fan-outs are at work, so that a million of them never stand in anybody's way: not in
//! memory, not in the database, and not after a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rapport_model::fan_out::{EACH, OBJECT, Pace, within};
use rapport_model::limits::{FAN_OUT_BATCH_RUNS_MAX, PAGE_ROWS_MAX};
use rapport_model::schedule;
use rapport_model::{Actor, Event, Name, Record, RunStatus, Timestamp, Value};
use rapport_store::{ReadVersion, RecordQuery, RunQuery, StoreError, UnitOfWork, crash_point};

use super::FanOut;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::schedules::{Schedule, field, set};

/// The fewest runs of a batch where there is room for more.
const BATCH_MIN: usize = 5;
/// How long a batch may take, so that what others commit does not wait long behind it.
const BATCH_TIME: Duration = Duration::from_millis(15);
/// Runs of fan-outs that are queued or at work when no more are added.
const AT_WORK_MAX: usize = 100;
/// Other runs that are queued when only one batch at a time is added, so that a fan-out gets on however busy the rest is.
const BUSY_RUNS: usize = 100;
/// How often one that could go on is looked at.
const TICK: Duration = Duration::from_millis(5);
/// How often is looked at whether there is one.
const TICK_IDLE: Duration = Duration::from_millis(50);
/// How often one that waits for another is looked at: that asks the database.
const TICK_QUEUED: Duration = Duration::from_millis(500);
/// How long a tick waits after one that failed.
const TICK_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The most open runs of an automation, by state, that are looked at to see whether a fan-out has ended.
const OPEN_RUNS_MAX: u32 = 10 * PAGE_ROWS_MAX;

/// What a tick came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tick {
    /// Runs started.
    pub(crate) started: usize,
    /// Whether there is more to do at this instant, once there is room for it.
    pub(crate) more: bool,
    /// When a rate lets the next batch come.
    pub(crate) next_at: Option<Timestamp>,
    /// Whether one waits for another.
    queued: bool,
}

impl Tick {
    /// Whether a fan-out waits for the one before, or for its runs.
    pub(crate) const fn is_queued(&self) -> bool {
        self.queued
    }
}

/// What a fan-out did at one tick.
enum Step {
    /// Nothing, until somebody changes something: its schedule is paused, its automation could not be loaded.
    Held,
    /// It waits for the fan-out before, or for its runs.
    Queued,
    /// Its rate lets it go on at this instant.
    NotYet(Timestamp),
    /// There is no room for more runs.
    Full,
    /// It has come further by this many runs.
    Moved(usize),
}

/// Looks at the fan-outs again and again. A tick that fails is tried again.
pub(crate) async fn keep(inner: Arc<Inner>) {
    let mut batch_max = BATCH_MIN;
    while !inner.is_stopping() {
        // Who plays a log again says when fan-outs go on.
        if inner.replay.get().is_some() {
            inner.pause(TICK_IDLE).await;
            continue;
        }
        let now = inner.clock.now();
        let began = Instant::now();
        let wait = match inner.tick_fan_outs(now, batch_max).await {
            Ok(tick) if tick.started > 0 => {
                batch_max = next_batch_max(batch_max, began.elapsed());
                continue;
            }
            Ok(tick) if tick.more => TICK,
            Ok(Tick { next_at: Some(next), .. }) => {
                let micros = u64::try_from(next.micros().saturating_sub(now.micros())).unwrap_or(0);
                Duration::from_micros(micros).clamp(TICK, TICK_IDLE)
            }
            Ok(tick) if tick.queued => TICK_QUEUED,
            Ok(_) => TICK_IDLE,
            Err(error) => {
                tracing::warn!("fan-outs wait for the database: {error}");
                TICK_AFTER_FAILURE
            }
        };
        inner.pause(wait).await;
    }
}

/// The most runs of a batch after one that `took` so long: where it takes long, others wait long behind it.
fn next_batch_max(batch_max: usize, took: Duration) -> usize {
    let next = if took > BATCH_TIME { batch_max / 2 } else { batch_max + BATCH_MIN };
    next.clamp(BATCH_MIN, FAN_OUT_BATCH_RUNS_MAX as usize)
}

impl Inner {
    /// Takes each fan-out one step further, as far as there is room, by `batch_max` runs at most.
    pub(crate) async fn tick_fan_outs(&self, now: Timestamp, batch_max: usize) -> Result<Tick, EngineError> {
        let mut tick = Tick::default();
        // While history is loaded only the load writes.
        if self.is_loading() {
            return Ok(tick);
        }
        let _turn = self.fan_outs.turn.lock().await;
        for fan_out in self.fan_outs.all() {
            match self.step_or_end(&fan_out, now, batch_max).await? {
                Step::Held => {}
                Step::Queued => tick.queued = true,
                Step::NotYet(next) => tick.next_at = Some(tick.next_at.map_or(next, |at| at.min(next))),
                Step::Full => tick.more = true,
                Step::Moved(started) => {
                    (tick.more, tick.started) = (true, tick.started + started);
                    self.fan_outs.started_total.fetch_add(started as u64, Ordering::Relaxed);
                }
            }
        }
        Ok(tick)
    }

    /// One step; a fan-out that can go no further is ended, so that it does not hold up its schedule for ever.
    async fn step_or_end(&self, fan_out: &Arc<FanOut>, now: Timestamp, batch_max: usize) -> Result<Step, EngineError> {
        let why = match self.step(fan_out, now, batch_max).await {
            Ok(step) => return Ok(step),
            Err(EngineError::Conflict(why)) => why,
            Err(EngineError::Rule(error)) => format!("its rule no longer reads: {error}"),
            Err(error) => return Err(error),
        };
        tracing::warn!(fan_out.id = %fan_out.record, "the fan-out {} ends: {why}", fan_out.record);
        self.end_fan_outs(std::slice::from_ref(fan_out), &Actor::System, &why).await?;
        Ok(Step::Moved(0))
    }

    async fn step(&self, fan_out: &Arc<FanOut>, now: Timestamp, batch_max: usize) -> Result<Step, EngineError> {
        let ended = |why: &str| Err(EngineError::Conflict(why.to_owned()));
        let Some(schedule) = self.schedules.find(fan_out.schedule) else {
            return ended("its schedule is gone");
        };
        if schedule.paused || self.snapshot.load().version(&fan_out.automation).is_none() {
            return Ok(Step::Held);
        }
        if schedule.def.each.as_ref().is_none_or(|each| each.object != fan_out.each.object) {
            return ended("the automation no longer goes through these records");
        }
        if fan_out.is_queued && !self.may_begin(fan_out, &schedule).await? {
            return Ok(Step::Queued);
        }
        let Some(until) = fan_out.until else { return self.begin(fan_out, &schedule, now).await };
        let pace = Pace::of(fan_out.each.per_minute);
        if let Some(next) = fan_out.next_at.filter(|_| !pace.is_due(fan_out.next_at, now)) {
            return Ok(Step::NotYet(next));
        }
        let limit = self.room().min(pace.batch_runs as usize).min(batch_max);
        if limit == 0 {
            return Ok(Step::Full);
        }
        let wanted = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut page = self.store.find(&self.records_of(fan_out, wanted)?).await?;
        let ids: Vec<_> = page.iter().map(|record| record.id).collect();
        let (count, ends) = within(&ids, limit, until);
        page.truncate(count);
        self.start_batch((fan_out, &schedule), &page, (ends, pace), now).await
    }

    /// How many runs there is room for.
    fn room(&self) -> usize {
        let load = self.lanes.load();
        let others = (load.queued + load.running).saturating_sub(load.fan_out);
        // What memory does not hold stands in line before all that would come now.
        if load.more || load.fan_out >= AT_WORK_MAX || (others > BUSY_RUNS && load.fan_out > 0) {
            return 0;
        }
        AT_WORK_MAX - load.fan_out
    }

    fn records_of(&self, fan_out: &FanOut, limit: u32) -> Result<RecordQuery, EngineError> {
        let each = &fan_out.each;
        let mut query = RecordQuery::new(each.object.clone(), fan_out.instant, limit);
        query.after = fan_out.after.map(|id| (Vec::new(), id));
        if let Some(text) = &each.rule {
            let schema = self.store.schema();
            let unknown = || EngineError::Conflict(format!("there is no object `{}`", each.object));
            let object = schema.object(each.object.as_str()).cloned().ok_or_else(unknown)?;
            query.rule = Some(self.lookup.asking_rule(&schema, &object, text)?);
        }
        Ok(query)
    }

    /// Fixes the last record that belongs to it, and counts how many there are.
    async fn begin(&self, fan_out: &FanOut, schedule: &Schedule, now: Timestamp) -> Result<Step, EngineError> {
        let until = self.store.last_id(&fan_out.each.object).await?;
        let total = self.store.count(&self.records_of(fan_out, 1)?).await?;
        let mut changes = vec![set("total", Value::Int(i64::try_from(total).unwrap_or(i64::MAX)))];
        match until {
            Some(until) => {
                changes.extend(
                    [("state", "running".into()), ("until_id", until.to_string())]
                        .map(|(n, v): (_, String)| set(n, Value::text(&v))),
                );
            }
            None => changes.extend([set("state", Value::text("done")), set("ended_at", Value::Time(now))]),
        }
        let mut unit = UnitOfWork::new(now, fan_out.actor.clone());
        unit.puts.push(fan_out.put(changes));
        self.commit_step(unit, (fan_out, schedule)).await
    }

    /// Starts the runs of `page`, in the commit that says how far the fan-out has come by that.
    async fn start_batch(
        &self,
        (fan_out, schedule): (&FanOut, &Schedule),
        page: &[Arc<Record>],
        (ends, pace): (bool, Pace),
        now: Timestamp,
    ) -> Result<Step, EngineError> {
        let count = i64::try_from(page.len()).unwrap_or(i64::MAX);
        let mut changes = vec![set("started", Value::Int(fan_out.started.saturating_add(count)))];
        changes.extend(page.last().map(|last| set("after_id", Value::text(&last.id.to_string()))));
        changes.push(set("next_at", Value::Time(pace.next_at(now))));
        if ends {
            changes.extend([set("state", Value::text("done")), set("ended_at", Value::Time(now))]);
        }
        let mut unit = UnitOfWork::new(now, fan_out.actor.clone());
        unit.puts.push(fan_out.put(changes));
        unit.events = page.iter().map(|record| fan_out.event(record)).collect();
        crash_point("fan_out.decided");
        let step = self.commit_step(unit, (fan_out, schedule)).await;
        crash_point("fan_out.committed");
        step
    }

    /// Commits a step that stands on the schedule and the fan-out as they are known here.
    async fn commit_step(
        &self,
        mut unit: UnitOfWork,
        (fan_out, schedule): (&FanOut, &Schedule),
    ) -> Result<Step, EngineError> {
        let read = |object: &str, id, version| ReadVersion { object: field(object), id, version };
        unit.reads.push(read(schedule::OBJECT, schedule.record, schedule.version));
        unit.reads.push(read(OBJECT, fan_out.record, fan_out.version));
        match self.store.commit(unit).await {
            Ok(committed) => {
                committed.records.iter().filter_map(|(_, r)| r.as_ref()).for_each(|r| self.fan_outs.take_up(r));
                Ok(Step::Moved(committed.runs.len()))
            }
            // Somebody paused it, or activated another version: the next tick sees what is there now.
            Err(StoreError::Conflict { .. } | StoreError::MissingRecord { .. }) => {
                self.load_schedules().await?;
                self.load_fan_outs().await?;
                Ok(Step::Full)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether all fan-outs of the schedule before this one have ended, with all their runs.
    async fn may_begin(&self, fan_out: &FanOut, schedule: &Schedule) -> Result<bool, EngineError> {
        let before = self.fan_outs.of(schedule.record);
        let first = before.first().is_none_or(|first| first.record == fan_out.record);
        Ok(first && !self.has_open_runs_of_fan_outs(schedule).await?)
    }

    /// Whether a run that a fan-out of `schedule` started is not at its end.
    pub(crate) async fn has_open_runs_of_fan_outs(&self, schedule: &Schedule) -> Result<bool, EngineError> {
        for status in RunStatus::ALL.into_iter().filter(|status| status.is_open()) {
            let (automation, limit) = (Some(schedule.automation.clone()), PAGE_ROWS_MAX);
            let mut query = RunQuery { status: Some(status), automation, limit, ..RunQuery::default() };
            for _ in 0..OPEN_RUNS_MAX / PAGE_ROWS_MAX {
                let page = self.store.runs(&query).await?;
                for run in &page {
                    let event = self.store.event(run.position).await?;
                    if event.is_some_and(|event| is_of(&event, schedule)) {
                        return Ok(true);
                    }
                }
                if page.len() < limit as usize {
                    break;
                }
                query.before = page.last().map(|last| (last.position, last.automation.clone()));
            }
        }
        Ok(false)
    }
}

/// Whether `event` is one of a fan-out of `schedule`.
fn is_of(event: &Event, schedule: &Schedule) -> bool {
    let Some(rapport_model::event::Body::Data(data)) = &event.body else { return false };
    let of = |(name, value): &(Name, Value)| {
        name.as_str() == "schedule" && value.as_text() == Some(schedule.record.to_string().as_str())
    };
    event.kind.as_str() == EACH && data.iter().any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_where_they_take_long_and_grow_where_they_do_not() {
        let (long, short) = (BATCH_TIME * 2, BATCH_TIME / 2);
        assert_eq!(next_batch_max(40, long), 20);
        assert_eq!(next_batch_max(BATCH_MIN, long), BATCH_MIN);
        assert_eq!(next_batch_max(20, short), 25);
        assert_eq!(next_batch_max(FAN_OUT_BATCH_RUNS_MAX as usize, short), FAN_OUT_BATCH_RUNS_MAX as usize);
    }
}
