//! Schedules: keeps where each stands, and starts the run of an instant in the commit that appends its event.
//!
//! ```text
//! activated ─▶ next_at ──instant comes──▶ schedule.due + run, next_at moves on   (one commit)
//!                 ▲                            │ misfire: which of several; overlap: whether at all
//!                 └────────────────────────────┘
//! paused: nothing comes; resumed: goes on with the next instant after now
//! ```
//! A schedule is a record of the system object `schedule`. The commit names the record's version, so that of two ticks one
//! wins, and the event's origin is (schedule, instant), so that no instant has two runs whatever the clock does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rapport_model::event::{NewEvent, Origin};
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::run::run_id;
use rapport_model::schedule::{DUE, Misfire, OBJECT, Overlap};
use rapport_model::{Actor, AutomationId, EventType, Name, Record, RecordId, ScheduleDef, Timestamp, Value};
use rapport_store::{Committed, Direction, EventQuery, ReadVersion, RecordQuery, StoreError, UnitOfWork};
use serde_json::{Value as Json, json};

use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::present::run_to_json;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a tick waits after one that failed.
const TICK_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The most schedules of a workspace.
const SCHEDULES_MAX: u32 = 100_000;
/// How many of a schedule's latest runs are looked at to see whether one is open.
const RUNS_LOOKED_AT: u32 = 20;
/// How many instants a list shows for each schedule.
const INSTANTS_SHOWN: usize = 10;

/// The schedules of the workspace, as the last commit left them.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    known: Mutex<Vec<Arc<Schedule>>>,
    /// One tick, and one change from outside, at a time.
    turn: tokio::sync::Mutex<()>,
}

/// A schedule and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) record: RecordId,
    pub(crate) version: i64,
    pub(crate) automation: AutomationId,
    pub(crate) def: ScheduleDef,
    pub(crate) paused: bool,
    next_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    skipped: i64,
}

/// What a tick came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Runs started, and fan-outs begun.
    pub started: usize,
    /// Instants left out because a run of their schedule was open.
    pub skipped: usize,
    /// When the next schedule is due.
    pub next_at: Option<Timestamp>,
}

pub(crate) fn field(text: &str) -> Name {
    Name::new(text).expect("the names of the host's own objects are valid")
}

pub(crate) fn set(name: &str, value: Value) -> (Name, Change) {
    (field(name), Change::Set(value))
}

fn time_or_null(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, Value::Time)
}

impl Schedule {
    /// # Errors
    /// What does not read, in words.
    fn of_record(record: &Record) -> Result<Self, String> {
        let text = |name: &str| record.get(name).as_text().unwrap_or_default().to_owned();
        let time = |name: &str| match record.get(name) {
            Value::Time(time) => Some(*time),
            _ => None,
        };
        let def = ScheduleDef {
            cron: text("cron").parse().map_err(|e: rapport_model::cron::CronError| e.to_string())?,
            zone: text("zone").parse().map_err(|e: rapport_model::zone::ZoneError| e.to_string())?,
            misfire: Misfire::parse(&text("misfire")).ok_or("its misfire policy is none")?,
            overlap: Overlap::parse(&text("overlap")).ok_or("its overlap policy is none")?,
            each: match record.get("each") {
                Value::Json(each) => serde_json::from_value((**each).clone()).map_err(|e| e.to_string())?,
                _ => None,
            },
        };
        Ok(Self {
            record: record.id,
            version: record.version,
            automation: AutomationId::new(&text("automation")).map_err(|e| e.to_string())?,
            def,
            paused: matches!(record.get("paused"), Value::Bool(true)),
            next_at: time("next_at"),
            last_at: time("last_at"),
            skipped: if let Value::Int(n) = record.get("skipped") { *n } else { 0 },
        })
    }

    fn put(&self, kind: PutKind, changes: Vec<(Name, Change)>) -> Put {
        Put { object: field(OBJECT), id: self.record, kind, changes }
    }

    /// The event that starts the run of `instant`.
    fn due(&self, instant: Timestamp, by: By) -> NewEvent {
        let id = match by {
            By::Clock => instant.to_string(),
            By::Hand => format!("{instant} by hand"),
        };
        let data = vec![
            (field("automation"), Value::text(self.automation.as_str())),
            (field("schedule"), Value::text(&self.record.to_string())),
            (field("instant"), Value::Time(instant)),
            (field("by_hand"), Value::Bool(by == By::Hand)),
        ];
        NewEvent {
            origin: Some(Origin { source: format!("/rapport/schedules/{}", self.record).into(), id: id.into() }),
            kind: EventType::new(DUE).expect("the types of core events are valid: a test reads them all"),
            subject: None,
            // Runs that must not overlap queue on the schedule's own lane.
            lane: (self.def.overlap != Overlap::Allow).then_some(self.record),
            time: instant,
            data,
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        let coming = self.next_at.filter(|_| !self.paused);
        let next = coming.into_iter().flat_map(|first| {
            std::iter::once(first).chain(self.def.cron.instants_after(&self.def.zone, first)).take(INSTANTS_SHOWN)
        });
        json!({
            "id": self.record,
            "automation": self.automation,
            "cron": self.def.cron,
            "explanation": self.def.cron.explain(),
            "zone": self.def.zone,
            "misfire": self.def.misfire,
            "overlap": self.def.overlap,
            "each": self.def.each,
            "fan_out": null,
            "paused": self.paused,
            "next_at": coming,
            "next": next.collect::<Vec<_>>(),
            "last_at": self.last_at,
            "skipped": self.skipped,
        })
    }
}

/// Who says that an instant has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Clock,
    Hand,
}

/// The automation of the schedule in `record`, and its next instant unless it is paused.
///
/// # Errors
/// What does not read, in words.
pub(crate) fn coming(record: &Record) -> Result<(AutomationId, Option<Timestamp>), String> {
    let schedule = Schedule::of_record(record)?;
    let next_at = schedule.next_at.filter(|_| !schedule.paused);
    Ok((schedule.automation, next_at))
}

impl Schedules {
    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.all().iter().filter(|schedule| !schedule.paused).filter_map(|schedule| schedule.next_at).min()
    }

    fn all(&self) -> Vec<Arc<Schedule>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets all: no instant comes any more.
    pub(crate) fn forget_all(&self) {
        self.replace_all(Vec::new());
    }

    /// The schedule that `record` keeps.
    pub(crate) fn find(&self, record: RecordId) -> Option<Arc<Schedule>> {
        self.all().into_iter().find(|schedule| schedule.record == record)
    }

    fn replace_all(&self, all: Vec<Arc<Schedule>>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// Takes up a record as a commit left it; those of other objects are no matter of it.
    fn take_up(&self, record: &Record) {
        let Ok(schedule) = Schedule::of_record(record) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known.iter_mut().find(|known| known.record == record.id) {
            *place = Arc::new(schedule);
        }
    }
}

impl Inner {
    /// Reads where all schedules stand. One that does not read is reported and left out; the others go on.
    pub(crate) async fn load_schedules(&self) -> Result<(), EngineError> {
        let query = RecordQuery::new(field(OBJECT), self.clock.now(), SCHEDULES_MAX);
        let mut all = Vec::new();
        for record in self.store.find(&query).await? {
            match Schedule::of_record(&record) {
                Ok(schedule) => all.push(Arc::new(schedule)),
                Err(why) => {
                    tracing::error!(schedule.id = %record.id, "the schedule {} is left out: {why}", record.id);
                }
            }
        }
        self.schedules.replace_all(all);
        Ok(())
    }

    /// What makes the schedules of `automation` those that it now declares. One that was there before goes on where it
    /// stands, paused or not; a new one begins with the next instant after `now`.
    pub(crate) fn schedule_puts(
        &self,
        automation: &AutomationId,
        declared: &[ScheduleDef],
        now: Timestamp,
    ) -> Vec<Put> {
        let known = self.schedules.all();
        let own: Vec<&Arc<Schedule>> = known.iter().filter(|s| s.automation == *automation).collect();
        let policies = |def: &ScheduleDef| {
            let each = def.each.as_ref().map_or(Value::Null, |each| Value::Json(Arc::new(json!(each))));
            let named = |name, text| set(name, Value::text(text));
            [named("misfire", def.misfire.as_str()), named("overlap", def.overlap.as_str()), set("each", each)]
        };
        let gone = own.iter().filter(|s| !declared.iter().any(|def| def.is_same(&s.def)));
        let mut puts: Vec<Put> = gone.map(|s| s.put(PutKind::Delete, Vec::new())).collect();
        for def in declared {
            if let Some(known) = own.iter().find(|s| s.def.is_same(def)) {
                if known.def != *def {
                    puts.push(known.put(PutKind::Update, policies(def).to_vec()));
                }
                continue;
            }
            let mut changes = policies(def).to_vec();
            changes.push(set("automation", Value::text(automation.as_str())));
            changes.push(set("cron", Value::text(def.cron.as_str())));
            changes.push(set("zone", Value::text(def.zone.name())));
            changes.push(set("next_at", time_or_null(def.cron.next_after(&def.zone, now))));
            let id = entropy::record_id(&*self.entropy, now);
            puts.push(Put { object: field(OBJECT), id, kind: PutKind::Create, changes });
        }
        puts
    }

    /// Starts the runs of all instants that are due at `now`, and moves their schedules on.
    pub(crate) async fn tick_schedules(&self, now: Timestamp) -> Result<Progress, EngineError> {
        let mut progress = Progress::default();
        // While history is loaded only the load writes; what comes due meanwhile is dealt with after it.
        if self.is_loading() {
            return Ok(progress);
        }
        let _turn = self.schedules.turn.lock().await;
        let snapshot = self.snapshot.load();
        for schedule in self.schedules.all() {
            let Some(next_at) = schedule.next_at.filter(|_| !schedule.paused) else { continue };
            // An automation that could not be loaded keeps its schedules as they stand until it can.
            if next_at <= now && snapshot.version(&schedule.automation).is_some() {
                let (started, skipped) = self.fire(&schedule, next_at, now).await?;
                progress.started += started;
                progress.skipped += skipped;
            }
        }
        let all = self.schedules.all();
        progress.next_at = all.iter().filter(|s| !s.paused).filter_map(|s| s.next_at).min();
        Ok(progress)
    }

    /// Deals with what is due of one schedule; returns how many runs were started and how many instants left out.
    async fn fire(
        &self,
        schedule: &Schedule,
        next_at: Timestamp,
        now: Timestamp,
    ) -> Result<(usize, usize), EngineError> {
        let mut instants = schedule.def.due(next_at, now);
        let mut skipped = 0;
        let exclusive = schedule.def.overlap == Overlap::Skip && !instants.is_empty();
        let mut in_the_way = exclusive && self.has_open_run(schedule).await?;
        if !in_the_way && !instants.is_empty() {
            in_the_way = self.fan_out_in_the_way(schedule).await?.is_some();
        }
        if in_the_way {
            tracing::info!(schedule.id = %schedule.record, "a run of the schedule {} is still open", schedule.record);
            skipped = std::mem::take(&mut instants).len();
        }
        let mut changes = vec![set("next_at", time_or_null(schedule.def.next(next_at, now)))];
        changes.extend(instants.last().map(|last| set("last_at", Value::Time(*last))));
        if skipped > 0 {
            let more = i64::try_from(skipped).unwrap_or(i64::MAX);
            changes.push(set("skipped", Value::Int(schedule.skipped.saturating_add(more))));
        }
        let mut unit = UnitOfWork::new(now, Actor::System);
        unit.reads.push(ReadVersion { object: field(OBJECT), id: schedule.record, version: schedule.version });
        unit.puts.push(schedule.put(PutKind::Update, changes));
        self.start_instants(&mut unit, schedule, (&instants, By::Clock));
        let fan_outs = unit.puts.len() - 1;
        match self.store.commit(unit).await {
            Ok(committed) => {
                self.take_up_schedules(&committed);
                Ok((committed.runs.len() + fan_outs, skipped))
            }
            // Somebody paused it, activated another version, or was faster: the next tick sees what is there now.
            Err(StoreError::Conflict { .. } | StoreError::MissingRecord { .. }) => {
                self.load_schedules().await?;
                Ok((0, 0))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Adds to `unit` what starts the run, or the runs, of each of `instants`.
    fn start_instants(&self, unit: &mut UnitOfWork, schedule: &Schedule, (instants, by): (&[Timestamp], By)) {
        for instant in instants {
            match self.fan_out_put(schedule, (*instant, by), &unit.actor, unit.time) {
                Some(put) => unit.puts.push(put),
                None => unit.events.push(schedule.due(*instant, by)),
            }
        }
    }

    fn take_up_schedules(&self, committed: &Committed) {
        for record in committed.records.iter().filter_map(|(_, record)| record.as_ref()) {
            self.schedules.take_up(record);
            self.fan_outs.take_up(record);
        }
    }

    /// Whether one of the latest runs of `schedule` is not at its end.
    async fn has_open_run(&self, schedule: &Schedule) -> Result<bool, EngineError> {
        let query = EventQuery {
            kind: Some(DUE.to_owned()),
            lane: Some(schedule.record),
            direction: Direction::Descending,
            limit: RUNS_LOOKED_AT,
            ..EventQuery::default()
        };
        for event in self.store.events(&query).await? {
            let id = run_id(&schedule.automation, event.position, event.recorded_at);
            if self.store.run(id).await?.is_some_and(|run| run.status.is_open()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Looks at the clock again and again. A tick that fails is tried again: a schedule never stops for an error.
pub(crate) async fn keep(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        // Who plays a log again says when instants come.
        if inner.replay.get().is_some() {
            inner.pause(TICK).await;
            continue;
        }
        let wait = match inner.tick_schedules(inner.clock.now()).await {
            Ok(_) => TICK,
            Err(error) => {
                tracing::warn!("schedules that are due wait for the database: {error}");
                TICK_AFTER_FAILURE
            }
        };
        inner.pause(wait).await;
    }
}

impl Engine {
    /// Deals with every instant that is due at `now`; the engine's own loop does the same again and again.
    ///
    /// # Errors
    /// [`EngineError`] if the database cannot be written; then what is due stays so.
    pub async fn tick_schedules(&self, now: Timestamp) -> Result<Progress, EngineError> {
        self.inner.tick_schedules(now).await
    }

    /// All schedules by automation, with the next ten instants of each, and the fan-out that it is working on.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; the database cannot be read.
    pub async fn schedules(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.require(Act::Read)?;
        let mut all = self.inner.schedules.all();
        all.sort_by(|a, b| (&a.automation, a.record).cmp(&(&b.automation, b.record)));
        // How many records a rule finds is for those who may read all of them.
        let reads_all = caller.everywhere(Act::Read).is_ok();
        let mut shown = Vec::with_capacity(all.len());
        for schedule in all {
            shown.push(if reads_all { self.inner.schedule_json(&schedule).await? } else { schedule.to_json() });
        }
        Ok(shown)
    }

    /// Holds the schedule `id` up: no instant of it comes until it is resumed.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::LoadOpen`].
    pub async fn pause_schedule(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        self.change_schedule(caller, id, |_, _| vec![set("paused", Value::Bool(true))]).await
    }

    /// Lets the schedule `id` go on with its next instant after now; what came while it was paused is not made up for.
    ///
    /// # Errors
    /// As for [`Engine::pause_schedule`].
    pub async fn resume_schedule(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        let changes = |schedule: &Schedule, now| {
            let mut changes = vec![set("paused", Value::Bool(false))];
            if schedule.paused {
                changes.push(set("next_at", time_or_null(schedule.def.cron.next_after(&schedule.def.zone, now))));
            }
            changes
        };
        self.change_schedule(caller, id, changes).await
    }

    /// Starts a run of the schedule `id` now, paused or not. Its next instant stays what it was. A fan-out begins now, and goes
    /// on while the schedule is not paused.
    ///
    /// # Errors
    /// As for [`Engine::pause_schedule`]; [`EngineError::Conflict`] if its automation is out of service, or a fan-out in
    /// progress stands in the way of another.
    pub async fn run_schedule(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.writable(None)?;
        let schedule = self.find_schedule(id)?;
        let now = self.inner.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        self.inner.start_instants(&mut unit, &schedule, (&[now], By::Hand));
        if self.inner.snapshot.load().version(&schedule.automation).is_none() {
            return Err(EngineError::Conflict(format!("the automation `{}` is out of service", schedule.automation)));
        }
        if let Some(why) = self.inner.fan_out_in_the_way(&schedule).await? {
            return Err(EngineError::Conflict(why));
        }
        let committed = self.inner.store.commit(unit).await?;
        if schedule.def.each.is_some() {
            self.inner.take_up_schedules(&committed);
            return self.inner.schedule_json(&schedule).await;
        }
        let run = committed.runs.first().ok_or_else(|| EngineError::Conflict("it was started this instant".into()))?;
        Ok(run_to_json(run))
    }

    pub(crate) fn find_schedule(&self, id: &str) -> Result<Arc<Schedule>, EngineError> {
        let missing = || EngineError::not_found(format!("schedule `{}`", id.chars().take(64).collect::<String>()));
        let record: RecordId = id.parse().map_err(|_| missing())?;
        self.inner.schedules.all().into_iter().find(|s| s.record == record).ok_or_else(missing)
    }

    async fn change_schedule(
        &self,
        caller: &Caller,
        id: &str,
        changes: impl FnOnce(&Schedule, Timestamp) -> Vec<(Name, Change)>,
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.writable(None)?;
        let _turn = self.inner.schedules.turn.lock().await;
        let schedule = self.find_schedule(id)?;
        let now = self.inner.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.puts.push(schedule.put(PutKind::Update, changes(&schedule, now)));
        let committed = self.inner.store.commit(unit).await?;
        self.inner.take_up_schedules(&committed);
        self.inner.schedule_json(&*self.find_schedule(id)?).await
    }
}
