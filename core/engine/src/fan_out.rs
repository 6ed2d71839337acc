//! Fan-outs: one run per record that satisfies a rule, at an instant of a schedule; what they are and how far they have come.
//!
//! ```text
//! instant ─▶ queued ──the one before has ended──▶ running ──batch, batch, …──▶ done
//!               └────────────cancel, or its automation no longer has it────────┴──▶ cancelled
//! ```
//! A fan-out is a record of the system object `fan_out`; its `key` is (schedule, instant), which is unique. A batch is one
//! commit: the events `schedule.each` of its records, the runs that they start, and how far the fan-out has come by that. So a
//! crash leaves no record out and starts none twice; and the origin of each event, (schedule, instant, record), is unique
//! besides. What was started belongs to the runs: [`drive`] starts them, the lanes give them their share.

mod check;
mod drive;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::event::{NewEvent, Origin, Subject};
use rapport_model::fan_out::{EACH, Each, OBJECT};
use rapport_model::limits::FAN_OUTS_QUEUED_MAX;
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::rule::{ParamTypes, Scope};
use rapport_model::schedule::Overlap;
use rapport_model::{Actor, AutomationId, EventType, Name, Record, RecordId, Timestamp, Value};
use rapport_store::{RecordQuery, UnitOfWork};
use serde_json::{Value as Json, json};

use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::schedules::{By, Schedule, field, set};

pub(crate) use check::problems;
pub(crate) use drive::keep;

/// The most fan-outs in progress that are taken up.
const FAN_OUTS_MAX: u32 = 10_000;
/// The fan-outs of a schedule that a list shows.
const FAN_OUTS_SHOWN: u32 = 50;

/// The fan-outs in progress, as the last commit left them.
#[derive(Debug, Default)]
pub(crate) struct FanOuts {
    known: Mutex<Vec<Arc<FanOut>>>,
    /// One step, and one change from outside, at a time.
    turn: tokio::sync::Mutex<()>,
    started_total: AtomicU64,
}

/// A fan-out and how far it has come.
#[derive(Debug, Clone)]
pub(crate) struct FanOut {
    record: RecordId,
    version: i64,
    schedule: RecordId,
    automation: AutomationId,
    instant: Timestamp,
    by_hand: bool,
    actor: Actor,
    each: Each,
    is_queued: bool,
    /// The last record that it has gone through.
    after: Option<RecordId>,
    /// The last record that belongs to it; none: it has not begun.
    until: Option<RecordId>,
    started: i64,
    next_at: Option<Timestamp>,
}

/// What fan-outs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FanOutMetrics {
    /// Those that start runs.
    pub running: usize,
    /// Those that wait for the one before.
    pub queued: usize,
    /// Runs that they have started since the start.
    pub started_total: u64,
}

fn id_in(record: &Record, name: &str) -> Option<RecordId> {
    record.get(name).as_text().and_then(|text| text.parse().ok())
}

impl FanOut {
    /// The fan-out that `record` keeps; none if it has ended.
    ///
    /// # Errors
    /// What does not read, in words.
    fn of_record(record: &Record) -> Result<Option<Self>, String> {
        let text = |name: &str| record.get(name).as_text().unwrap_or_default();
        let time = |name: &str| if let Value::Time(time) = record.get(name) { Some(*time) } else { None };
        if !matches!(text("state"), "queued" | "running") {
            return Ok(None);
        }
        let Value::Json(each) = record.get("each") else { return Err("it does not say for which records".into()) };
        Ok(Some(Self {
            record: record.id,
            version: record.version,
            schedule: id_in(record, "schedule").ok_or("it names no schedule")?,
            automation: AutomationId::new(text("automation")).map_err(|e| e.to_string())?,
            instant: time("instant").ok_or("it has no instant")?,
            by_hand: matches!(record.get("by_hand"), Value::Bool(true)),
            actor: text("actor").parse().unwrap_or(Actor::System),
            each: serde_json::from_value((**each).clone()).map_err(|e| e.to_string())?,
            is_queued: text("state") == "queued",
            after: id_in(record, "after_id"),
            until: id_in(record, "until_id"),
            started: if let Value::Int(n) = record.get("started") { *n } else { 0 },
            next_at: time("next_at"),
        }))
    }

    fn put(&self, changes: Vec<(Name, Change)>) -> Put {
        Put { object: field(OBJECT), id: self.record, kind: PutKind::Update, changes }
    }

    /// The event that starts the run of `record`.
    fn event(&self, record: &Record) -> NewEvent {
        let by = if self.by_hand { " by hand" } else { "" };
        let data = vec![
            (field("automation"), Value::text(self.automation.as_str())),
            (field("schedule"), Value::text(&self.schedule.to_string())),
            (field("instant"), Value::Time(self.instant)),
            (field("by_hand"), Value::Bool(self.by_hand)),
        ];
        NewEvent {
            origin: Some(Origin {
                source: format!("/rapport/schedules/{}", self.schedule).into(),
                id: format!("{}{by} {}", self.instant, record.id).into(),
            }),
            kind: EventType::new(EACH).expect("the types of core events are valid: a test reads them all"),
            subject: Some(Subject { object: record.object.name.clone(), id: record.id }),
            lane: Some(record.lane()),
            time: self.instant,
            data,
        }
    }
}

/// A fan-out as callers see it.
fn to_json(record: &Record) -> Json {
    let of = |name: &str| rapport_model::json::to_json(record.get(name));
    json!({
        "id": record.id,
        "instant": of("instant"),
        "by_hand": of("by_hand"),
        "actor": of("actor"),
        "state": of("state"),
        "each": of("each"),
        "started": of("started"),
        "total": of("total"),
        "next_at": of("next_at"),
        "began_at": record.created_at,
        "ended_at": of("ended_at"),
        "note": of("note"),
    })
}

impl FanOuts {
    fn all(&self) -> Vec<Arc<FanOut>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of(&self, schedule: RecordId) -> Vec<Arc<FanOut>> {
        self.all().into_iter().filter(|fan_out| fan_out.schedule == schedule).collect()
    }

    /// Takes up a record as a commit left it, in the order of their ids; those of other objects are no matter of it.
    pub(crate) fn take_up(&self, record: &Record) {
        if record.object.name.as_str() != OBJECT {
            return;
        }
        let read = FanOut::of_record(record).unwrap_or_else(|why| {
            tracing::error!(fan_out.id = %record.id, "the fan-out {} is left out: {why}", record.id);
            None
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|fan_out| fan_out.record != record.id);
        if let Some(fan_out) = read {
            let place = known.partition_point(|other| other.record < fan_out.record);
            known.insert(place, Arc::new(fan_out));
        }
    }
}

impl Inner {
    /// Reads which fan-outs are in progress. One that does not read is reported and left out; the others go on.
    pub(crate) async fn load_fan_outs(&self) -> Result<(), EngineError> {
        let found = self.find_fan_outs("state in ['queued', 'running']", FAN_OUTS_MAX).await?;
        self.fan_outs.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for record in found {
            self.fan_outs.take_up(&record);
        }
        Ok(())
    }

    async fn find_fan_outs(&self, rule: &str, limit: u32) -> Result<Vec<Arc<Record>>, EngineError> {
        let schema = self.store.schema();
        let Some(object) = schema.object(OBJECT).cloned() else { return Ok(Vec::new()) };
        let mut query = RecordQuery::new(field(OBJECT), self.clock.now(), limit);
        query.rule = Some(self.lookup.rule(&schema, &Scope::Record(object), rule, &ParamTypes::none())?);
        query.order = vec![(field("created_at"), rapport_store::Direction::Descending)];
        Ok(self.store.find(&query).await?)
    }

    /// What begins the fan-out of `schedule` for `instant`; none if the schedule starts a single run.
    pub(crate) fn fan_out_put(
        &self,
        schedule: &Schedule,
        (instant, by): (Timestamp, By),
        actor: &Actor,
        now: Timestamp,
    ) -> Option<Put> {
        let each = schedule.def.each.as_ref()?;
        let by_hand = if by == By::Hand { " by hand" } else { "" };
        // Several instants may have been missed at once; each waits for the one before, unless they may overlap.
        let state = if schedule.def.overlap == Overlap::Allow { "running" } else { "queued" };
        let text = |name: &str, text: &str| set(name, Value::text(text));
        let changes = vec![
            text("key", &format!("{} {instant}{by_hand}", schedule.record)),
            text("schedule", &schedule.record.to_string()),
            text("automation", schedule.automation.as_str()),
            set("instant", Value::Time(instant)),
            set("by_hand", Value::Bool(by == By::Hand)),
            text("actor", &actor.to_string()),
            set("each", Value::Json(Arc::new(json!(each)))),
            text("state", state),
        ];
        let id = entropy::record_id(&*self.entropy, now);
        Some(Put { object: field(OBJECT), id, kind: PutKind::Create, changes })
    }

    /// Why another fan-out of `schedule` has to be left out: one is not at its end, or too many wait for theirs.
    pub(crate) async fn fan_out_in_the_way(&self, schedule: &Schedule) -> Result<Option<String>, EngineError> {
        if schedule.def.each.is_none() {
            return Ok(None);
        }
        let in_progress = self.fan_outs.of(schedule.record).len();
        let end = format!("end it with POST /v1/schedules/{}/cancel", schedule.record);
        let why = match schedule.def.overlap {
            Overlap::Queue if in_progress >= FAN_OUTS_QUEUED_MAX => {
                Some(format!("{in_progress} fan-outs of the schedule are in progress: wait, or {end}"))
            }
            Overlap::Skip if in_progress > 0 => {
                Some(format!("a fan-out of the schedule is in progress: wait for its end, or {end}"))
            }
            Overlap::Skip if self.has_open_runs_of_fan_outs(schedule).await? => {
                Some("runs of the fan-out before are still open: wait for their end, or cancel them".into())
            }
            _ => None,
        };
        Ok(why)
    }

    /// The schedule as callers see it, with the fan-out that it is working on.
    pub(crate) async fn schedule_json(&self, schedule: &Schedule) -> Result<Json, EngineError> {
        let mut json = schedule.to_json();
        if let Some(current) = self.fan_outs.of(schedule.record).first() {
            let record = self.store.record(&field(OBJECT), current.record).await?;
            json["fan_out"] = record.map_or(Json::Null, |record| to_json(&record));
        }
        Ok(json)
    }

    /// Ends fan-outs before they are done.
    async fn end_fan_outs(&self, ended: &[Arc<FanOut>], actor: &Actor, note: &str) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut unit = UnitOfWork::new(now, actor.clone());
        let changes = || {
            vec![
                set("state", Value::text("cancelled")),
                set("ended_at", Value::Time(now)),
                set("note", Value::text(note)),
            ]
        };
        unit.puts = ended.iter().map(|fan_out| fan_out.put(changes())).collect();
        let committed = self.store.commit(unit).await?;
        committed.records.iter().filter_map(|(_, r)| r.as_ref()).for_each(|r| self.fan_outs.take_up(r));
        Ok(())
    }
}

impl Engine {
    /// The fan-outs of the schedule `id`, newest first, 50 at most.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn fan_outs(&self, caller: &Caller, id: &str) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let schedule = self.find_schedule(id)?;
        let rule = format!("schedule == '{}'", schedule.record);
        Ok(self.inner.find_fan_outs(&rule, FAN_OUTS_SHOWN).await?.iter().map(|record| to_json(record)).collect())
    }

    /// Ends the fan-outs of the schedule `id` that are in progress: no more runs are started. Those that were started go on.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::LoadOpen`]; [`EngineError::Conflict`] if none is in
    /// progress.
    pub async fn cancel_fan_outs(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.writable(None)?;
        let _turn = self.inner.fan_outs.turn.lock().await;
        let schedule = self.find_schedule(id)?;
        let ended = self.inner.fan_outs.of(schedule.record);
        if ended.is_empty() {
            return Err(EngineError::Conflict("no fan-out of the schedule is in progress".into()));
        }
        self.inner.end_fan_outs(&ended, &caller.actor, &format!("cancelled by {}", caller.actor)).await?;
        self.inner.schedule_json(&schedule).await
    }

    /// What fan-outs do.
    #[must_use]
    pub fn fan_out_metrics(&self) -> FanOutMetrics {
        let fan_outs = &self.inner.fan_outs;
        let all = fan_outs.all();
        let queued = all.iter().filter(|fan_out| fan_out.is_queued).count();
        let started_total = fan_outs.started_total.load(Ordering::Relaxed);
        FanOutMetrics { running: all.len() - queued, queued, started_total }
    }
}
