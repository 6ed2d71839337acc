//! Backtests: what a script would have made of the past.
//!
//! ```text
//! live workspace ──one snapshot──▶ records as they were ──▶ scratch workspace (SQLite)
//!       │                                                        │ production engine, set clock
//!       └── recorded log ──▶ given events, in their order ───────┘ candidate in place of its version, or beside the others
//!                └──────────▶ what really happened ──────────▶ compared record by record
//! ```
//! The stretch of the log goes from the first to the last fact from outside whose `time` lies in the period; whatever was
//! recorded between them belongs to it. Nothing is written to the live workspace, and nothing leaves. A backtest is kept in
//! memory until it is removed, or younger ones take its place.

mod compare;
mod deeds;
pub(crate) mod furnish;
mod one_by_one;
mod play;
pub(crate) mod recording;
mod scheduled;
mod together;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rapport_model::time::SetClock;
use rapport_model::{AutomationId, Timestamp};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

use crate::automations::check_against;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::registry::Version;
use crate::replay::{self, Deeds, Replay};
use crate::schema::changes_of;
use crate::scratch::{Ground, Scratch};

use self::play::{Parts, Played, Player};
use self::recording::Recording;

/// Backtests kept in memory.
const KEPT_MAX: usize = 20;
/// Backtests that work at one time.
const WORKING_MAX: usize = 2;

/// A script to be tried on the past.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The automation whose version it stands in for, by its id or the end of it; else the id of a new one.
    pub id: String,
    /// Its path, for messages.
    pub path: String,
    /// Its text.
    pub source: String,
}

/// What a backtest is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Against {
    /// What really happened: the versions that were live then.
    #[default]
    Recorded,
    /// What the versions that are live now would have made of the same period.
    Active,
}

impl Against {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Active => "active",
        }
    }
}

/// A backtest to be made.
#[derive(Debug, Clone)]
pub struct NewBacktest {
    /// The script.
    pub candidate: Candidate,
    /// From when on events count, by their `time`.
    pub since: Timestamp,
    /// Before when events count.
    pub until: Timestamp,
    /// What it is held against.
    pub against: Against,
    /// Below this folder the scratch workspace is made, and removed afterwards.
    pub folder: PathBuf,
}

/// How far a backtest is, and whether it shall go on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    cancelled: AtomicBool,
    first: AtomicI64,
    last: AtomicI64,
    position: AtomicI64,
}

impl Progress {
    fn begin(&self, (first, last): (i64, i64)) {
        self.first.store(first, Ordering::Relaxed);
        self.last.store(last, Ordering::Relaxed);
        self.position.store(first - 1, Ordering::Relaxed);
    }

    fn reached(&self, position: i64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// Passes unless the backtest was cancelled.
    fn go_on(&self) -> Result<(), EngineError> {
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        if cancelled { Err(EngineError::Conflict("the backtest was cancelled".into())) } else { Ok(()) }
    }

    fn shown(&self) -> Json {
        let first = self.first.load(Ordering::Relaxed);
        let of = |position: &AtomicI64| if first == 0 { 0 } else { position.load(Ordering::Relaxed) - first + 1 };
        json!({ "done": of(&self.position), "of": of(&self.last) })
    }
}

/// Where a backtest stands.
#[derive(Debug)]
enum State {
    Running,
    Done(Json),
    Failed(String),
    Cancelled,
}

/// A backtest, at work or done.
#[derive(Debug)]
struct Backtest {
    id: String,
    about: Json,
    progress: Progress,
    began: Instant,
    state: Mutex<State>,
}

impl Backtest {
    fn is_running(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Running)
    }

    fn shown(&self) -> Json {
        let mut json = self.about.clone();
        json["id"] = self.id.as_str().into();
        json["progress"] = self.progress.shown();
        let (state, result, error) = match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Running => ("running", Json::Null, None),
            State::Done(result) => ("done", result.clone(), None),
            State::Failed(why) => ("failed", Json::Null, Some(why.clone())),
            State::Cancelled => ("cancelled", Json::Null, None),
        };
        json["state"] = state.into();
        json["result"] = result;
        json["error"] = error.into();
        json
    }
}

/// The backtests of an engine.
#[derive(Debug, Default)]
pub(crate) struct Backtests {
    kept: Mutex<VecDeque<Arc<Backtest>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Held by the tape that is being made: one at a time.
    pub(crate) taping: tokio::sync::Mutex<()>,
}

impl Backtests {
    fn find(&self, id: &str) -> Result<Arc<Backtest>, EngineError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let shown: String = id.chars().take(64).collect();
        let missing = || EngineError::not_found(format!("backtest `{shown}`"));
        kept.iter().find(|backtest| backtest.id == id).cloned().ok_or_else(missing)
    }

    fn keep(&self, backtest: Arc<Backtest>) -> Result<(), EngineError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().filter(|backtest| backtest.is_running()).count() >= WORKING_MAX {
            let text = format!("{WORKING_MAX} backtests are at work: wait for one, or cancel it");
            return Err(EngineError::Conflict(text));
        }
        while kept.len() >= KEPT_MAX {
            let oldest = kept.iter().position(|backtest| !backtest.is_running());
            oldest.and_then(|place| kept.remove(place));
        }
        kept.push_back(backtest);
        Ok(())
    }

    /// Cancels all and waits until they have cleared away what they made.
    pub(crate) async fn stop(&self) {
        for backtest in &*self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            backtest.progress.cancelled.store(true, Ordering::Relaxed);
        }
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // One that panicked has left nothing behind but its folder.
            task.await.ok();
        }
    }
}

impl Engine {
    /// Begins a backtest in the background, and says how it is called: see [`Engine::backtest`].
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::Script`] if the candidate does not pass its check; [`EngineError::Invalid`]
    /// for a period that is none; [`EngineError::Conflict`] if two are at work.
    pub async fn start_backtest(&self, caller: &Caller, new: NewBacktest) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        if new.since >= new.until {
            return Err(EngineError::invalid("/until", format!("must be after {}", new.since)));
        }
        let candidate = self.candidate(&new.candidate).await?;
        let replaces = self.inner.store.automations().await?.iter().any(|row| row.id == candidate.id);
        let about = json!({
            "automation": candidate.id,
            "digest": candidate.digest,
            "mode": if replaces { "replaces" } else { "beside" },
            "since": new.since,
            "until": new.until,
            "against": new.against.as_str(),
        });
        let backtest = Arc::new(Backtest {
            id: crate::entropy::record_id(&*self.inner.entropy, self.inner.clock.now()).to_string(),
            about,
            progress: Progress::default(),
            began: Instant::now(),
            state: Mutex::new(State::Running),
        });
        self.inner.backtests.keep(backtest.clone())?;
        let shown = backtest.shown();
        let work = Work { live: self.inner.clone(), new, candidate, backtest };
        let task = tokio::task::spawn_blocking(|| on_a_thread_of_its_own(work));
        let mut tasks = self.inner.backtests.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
        Ok(shown)
    }

    /// How far a backtest is, and what came of it.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub fn backtest(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        Ok(self.inner.backtests.find(id)?.shown())
    }

    /// Cancels a backtest that is at work. One that is done stays as it is.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub fn cancel_backtest(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.backtests.find(id)?.progress.cancelled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The candidate as a version, with the settings that the operator chose for what it stands in for.
    async fn candidate(&self, candidate: &Candidate) -> Result<Arc<Version>, EngineError> {
        let id = match self.automation_named(&candidate.id) {
            Ok(id) => id,
            Err(_) => AutomationId::new(&candidate.id).map_err(|e| EngineError::invalid("/id", e.to_string()))?,
        };
        self.check_script(&candidate.path, &candidate.source).await?;
        Ok(Arc::new(self.inner.script_with_settings(&id, &candidate.path, &candidate.source).await?))
    }
}

/// Plays on one thread, apart from those that serve. What a slice needs comes from memory nearly always, so that handing its parts
/// from thread to thread would take longer than the work, and a live server keeps the other threads to itself.
fn on_a_thread_of_its_own(work: Work) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work.run()),
        Err(error) => {
            tracing::warn!("a backtest has no thread of its own: {error}");
            tokio::runtime::Handle::current().block_on(work.run());
        }
    }
}

/// A backtest on its way.
struct Work {
    live: Arc<Inner>,
    new: NewBacktest,
    candidate: Arc<Version>,
    backtest: Arc<Backtest>,
}

/// The versions of a replay.
struct Cast {
    versions: BTreeMap<AutomationId, Arc<Version>>,
    fixed: HashSet<AutomationId>,
    remarks: Vec<String>,
}

/// A scratch workspace that is furnished.
struct Prepared {
    /// Removed when the replay is over.
    _scratch: Scratch,
    engine: Engine,
    clock: Arc<SetClock>,
    cast: Cast,
    reached: HashSet<rapport_model::Name>,
}

impl Work {
    async fn run(self) {
        let ended = match Box::pin(self.make()).await {
            Ok(result) => State::Done(result),
            Err(_) if self.backtest.progress.cancelled.load(Ordering::Relaxed) => State::Cancelled,
            Err(error) => {
                tracing::warn!(backtest.id = %self.backtest.id, "the backtest {} failed: {error}", self.backtest.id);
                State::Failed(error.to_string())
            }
        };
        *self.backtest.state.lock().unwrap_or_else(PoisonError::into_inner) = ended;
    }

    async fn make(&self) -> Result<Json, EngineError> {
        let progress = &self.backtest.progress;
        let mut snapshot = self.live.store.snapshot().await?;
        let Some(span) = snapshot.span(self.new.since, self.new.until).await? else {
            snapshot.close().await?;
            return Ok(self.result(None, (&Played::default(), &Deeds::default()), &compare::Differences::default()));
        };
        progress.begin(span);
        let cast = self.cast(&mut snapshot, span.0).await?;
        let bounds = self.bounds(&mut snapshot, span.0, &cast).await?;
        let recording = Recording::read(&mut snapshot, span, (bounds, progress)).await?;
        let baseline = match self.new.against {
            Against::Recorded => None,
            Against::Active => Some(self.prepare(&mut snapshot, &recording, self.active(None)).await?),
        };
        let prepared = self.prepare(&mut snapshot, &recording, cast).await?;
        snapshot.close().await?;
        let baseline = match baseline {
            None => None,
            Some(prepared) => Some(self.play(&recording, prepared).await?),
        };
        let (engine, replay, played, _scratch) = self.play(&recording, prepared).await?;
        let touched = replay.touched();
        let (recorded, after) = match &baseline {
            None => {
                let mut recorded = recording.deeds.get(&self.candidate.id).cloned().unwrap_or_default();
                let sent = self.live.store.sent_by(&self.candidate.id, self.new.since, self.new.until).await?;
                for (channel, at) in &sent {
                    replay::count_sent(&mut recorded, channel, *at);
                }
                (recorded, recording.after)
            }
            Some((engine, replay, ..)) => {
                let all = touched.iter().chain(&replay.touched()).map(|(k, f)| (k.clone(), f.clone())).collect();
                (replay.deeds(&self.candidate.id), compare::state_of(&engine.inner.store, all).await?)
            }
        };
        let differences = compare::compare(&engine.inner.store, &after, &touched).await?;
        let deeds = replay.deeds(&self.candidate.id);
        let mut result = self.result(Some(span), (&played, &deeds), &differences);
        result["writes"] = deeds::shown(&recorded.events, &deeds.events, rapport_model::EventType::as_str);
        result["unknown"]["calls"] = replay.unknown_calls().into();
        result["sent"] = deeds::shown(&recorded.sent, &deeds.sent, String::as_str);
        let counts = engine.inner.store.run_counts();
        let own = counts.iter().filter(|c| c.automation == self.candidate.id && c.count > 0);
        let runs: serde_json::Map<String, Json> = own.map(|c| (c.status.as_str().to_owned(), c.count.into())).collect();
        result["matched"] = runs.values().filter_map(Json::as_u64).sum::<u64>().into();
        result["runs"] = Json::Object(runs);
        result["failures"] = self.failures(&engine).await?;
        engine.shutdown().await?;
        if let Some((engine, ..)) = baseline {
            engine.shutdown().await?;
        }
        result["seconds"] = json!(self.backtest.began.elapsed().as_secs_f64());
        Ok(result)
    }

    fn result(
        &self,
        span: Option<(i64, i64)>,
        (played, deeds): (&Played, &Deeds),
        differences: &compare::Differences,
    ) -> Json {
        json!({
            "positions": span.map(|(first, last)| [first, last]),
            "events": played.fed,
            "events_left_out": played.left_out,
            "matched": 0,
            "runs": {},
            "writes": [],
            "sent": [],
            "fuel": deeds.fuel,
            "failures": [],
            "records_differing": differences.records,
            "differences": differences.shown(),
            "remarks": played.remarks,
            "unknown": { "answers": played.unanswered, "calls": 0 },
            "seconds": self.backtest.began.elapsed().as_secs_f64(),
        })
    }

    /// The versions of the replay: those that were live then, or are live now, with the candidate in its place.
    async fn cast(&self, snapshot: &mut rapport_store::Snapshot, first: i64) -> Result<Cast, EngineError> {
        if self.new.against == Against::Active {
            return Ok(self.active(Some(&self.candidate)));
        }
        let mut cast = Cast { versions: BTreeMap::new(), fixed: HashSet::new(), remarks: Vec::new() };
        for (id, digest) in furnish::live_before(snapshot, first).await? {
            match furnish::version_for(&self.live, &id, &digest).await {
                Ok(version) => drop(cast.versions.insert(id, version)),
                Err(error) => cast.remarks.push(format!("{id} ({}) cannot be loaded: {error}", digest.short())),
            }
        }
        cast.fixed.insert(self.candidate.id.clone());
        cast.versions.insert(self.candidate.id.clone(), Arc::new(crate::settings::elsewhere(&self.candidate)));
        Ok(cast)
    }

    /// The versions that are live now, one of them replaced; they stay so whatever the log says.
    fn active(&self, candidate: Option<&Arc<Version>>) -> Cast {
        let snapshot = self.live.snapshot.load();
        let all = snapshot.active().iter().chain(candidate);
        let versions: BTreeMap<_, _> =
            all.map(|version| (version.id.clone(), Arc::new(crate::settings::elsewhere(version)))).collect();
        let live = snapshot.active().iter().map(|version| version.id.clone());
        let fixed = live.chain([self.candidate.id.clone()]).collect();
        Cast { versions, fixed, remarks: Vec::new() }
    }

    /// Makes a scratch workspace as the live one was before the recording.
    async fn prepare(
        &self,
        snapshot: &mut rapport_store::Snapshot,
        recording: &Recording,
        cast: Cast,
    ) -> Result<Prepared, EngineError> {
        let scratch = Scratch::below(&self.new.folder)?;
        let clock = Arc::new(SetClock::at(self.new.since));
        let engine = Ground::over(&self.live, (clock.clone(), self.backtest.id.as_bytes()), &scratch).await?;
        furnish::declare(&engine.inner, snapshot.schema()).await?;
        let declared = changes_of(&engine.inner.store.schema(), &self.candidate.declaration);
        furnish::add(&engine.inner, declared).await?;
        let schema = engine.inner.store.schema();
        check_against(&schema, &self.candidate.declaration)
            .map_err(|problems| EngineError::Conflict(problems.join("; ")))?;
        let versions = cast.versions.values().map(|version| &**version);
        let now = self.live.snapshot.load();
        let versions = versions.chain(now.active().iter().map(|version| &**version));
        let reached = furnish::reach(versions, &schema, &recording.subjects);
        furnish::records(&engine, snapshot, recording, &reached, &self.backtest.progress).await?;
        Ok(Prepared { _scratch: scratch, engine, clock, cast, reached })
    }

    async fn play(
        &self,
        recording: &Recording,
        prepared: Prepared,
    ) -> Result<(Engine, Arc<Replay>, Played, Scratch), EngineError> {
        let Prepared { _scratch: scratch, engine, clock, cast, reached } = prepared;
        let calls = self.calls().await?;
        let replay = Arc::new(Replay::new(recording.runs.clone(), calls));
        engine.inner.replay.set(replay.clone()).map_err(|_| EngineError::Internal("a second replay".into()))?;
        let parts = Parts {
            live: &self.live,
            scratch: engine.clone(),
            clock,
            replay: replay.clone(),
            recording,
            reached,
            versions: cast.versions,
            fixed: cast.fixed,
        };
        let mut played = match Player::new(parts).play(&self.backtest.progress).await {
            Ok(played) => played,
            Err(error) => {
                engine.shutdown().await.ok();
                return Err(error);
            }
        };
        played.remarks.splice(0..0, cast.remarks);
        Ok((engine, replay, played, scratch))
    }
}
