//! Undoes all runs of an automation, newest first, in the background.
//!
//! The wish is a record of the host's own, `undo_job`, with the progress. The work is done in chunks: the runs of a chunk are
//! asked to be undone in one commit, each by a run of its own, all on one lane and so in their order; the next chunk follows
//! when they have ended. After a crash the runs that were asked for go on by themselves, and the job counts what is done and
//! looks for what is left: nothing is kept that the log does not say.
//!
//! ```text
//! running ──all undone──▶ done
//!    ├──cancel──▶ cancelled   (what has been undone stays so)
//!    └──error──▶ failed
//! ```

use std::sync::Arc;
use std::time::Duration;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::record::Change;
use rapport_model::rule::{ParamTypes, Scope};
use rapport_model::{AutomationId, Name, Record, RecordId, Run, RunStatus, Timestamp, Value};
use rapport_store::{RecordQuery, RunQuery};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::bulk::Reaction;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::undo::{RUNS_AT_ONCE_MAX, Standing, UndoOptions, undo_id};

/// The object that holds these jobs.
const OBJECT: &str = "undo_job";
/// Runs undone between two looks at whether the job was cancelled.
const CHUNK_RUNS: usize = 100;
/// The most runs of one job.
const JOB_RUNS_MAX: usize = 500_000;
/// How long a job rests when the database is away or a history load is open.
const REST: Duration = Duration::from_millis(500);

/// Which runs are undone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoMany {
    /// The automation.
    pub automation: String,
    /// Only runs whose event was committed at this instant or later.
    pub since: Timestamp,
    /// Only runs whose event was committed before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Only runs of the version whose digest begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Also undo the runs that their events started, and so on.
    #[serde(default)]
    pub with_caused: bool,
    /// `fire` or `skip`: whether automations react; if not given they do, unless the runs caused are undone as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automations: Option<String>,
    /// Say what would happen, and change nothing.
    #[serde(default, skip_serializing)]
    pub dry_run: bool,
}

/// What a job has come to.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    runs_total: i64,
    runs_done: i64,
    runs_failed: i64,
    changes_done: i64,
    changes_left: i64,
}

impl UndoMany {
    fn automation(&self) -> Result<AutomationId, EngineError> {
        AutomationId::new(&self.automation).map_err(|e| EngineError::invalid("/automation", e.to_string()))
    }

    fn options(&self) -> Result<UndoOptions, EngineError> {
        let reaction = match self.automations.as_deref() {
            None => None,
            Some("fire") => Some(Reaction::Fire),
            Some("skip") => Some(Reaction::Skip),
            Some(_) => return Err(EngineError::invalid("/automations", "use `fire` or `skip`")),
        };
        Ok(UndoOptions { with_caused: self.with_caused, dry_run: self.dry_run, reaction })
    }

    fn means(&self, run: &Run) -> bool {
        self.digest.as_deref().is_none_or(|digest| run.digest.to_string().starts_with(digest))
    }
}

impl Engine {
    /// Begins to undo all runs that `wanted` means, in the background, and says how it stands. A dry run is answered at once.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`], [`EngineError::LoadOpen`], [`EngineError::NotFound`] for an
    /// automation that never was; [`EngineError::Conflict`] for a dry run of too many.
    pub async fn undo_many(&self, caller: &Caller, wanted: &UndoMany) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let (automation, options) = (wanted.automation()?, wanted.options()?);
        let known = self.inner.store.automations().await?.iter().any(|row| row.id == automation);
        if !known && automation != undo_id() {
            return Err(EngineError::not_found(format!("automation `{automation}`")));
        }
        if wanted.dry_run {
            let (runs, _) = self.inner.meant(wanted, RUNS_AT_ONCE_MAX).await?;
            return self.inner.dry_run(caller, &runs, &options).await;
        }
        let request = serde_json::to_value(wanted).map_err(|e| EngineError::Internal(e.to_string()))?;
        let changes = vec![
            set("request", Value::Json(Arc::new(request))),
            set("actor", Value::text(&caller.actor.to_string())),
            set("state", Value::text("running")),
        ];
        let id = self.put_system(caller, OBJECT, None, changes).await?;
        self.inner.undo_asked.notify_one();
        self.undo_job(caller, &id.to_string()).await
    }

    /// How the undoing of many runs stands.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn undo_job(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        Ok(job_json(&*self.find_job(id).await?))
    }

    /// All undoings of many runs, newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn undo_jobs(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let mut query = RecordQuery::new(name(OBJECT), self.inner.clock.now(), PAGE_ROWS_MAX);
        query.order = vec![(name("created_at"), rapport_store::Direction::Descending)];
        Ok(self.inner.store.find(&query).await?.iter().map(|record| job_json(record)).collect())
    }

    /// Stops the undoing of many runs. What has been undone stays so; the chunk at hand is finished.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Conflict`] if it has ended.
    pub async fn cancel_undo_job(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        let job = self.find_job(id).await?;
        if !is_running(&job) {
            return Err(EngineError::Conflict(format!("it is {} already", to_text(job.get("state")))));
        }
        self.put_system(caller, OBJECT, Some(job.id), vec![set("state", Value::text("cancelled"))]).await?;
        self.undo_job(caller, id).await
    }

    async fn find_job(&self, id: &str) -> Result<Arc<Record>, EngineError> {
        let missing = || EngineError::not_found(format!("undo `{}`", id.chars().take(64).collect::<String>()));
        let id: RecordId = id.parse().map_err(|_| missing())?;
        self.inner.store.record(&name(OBJECT), id).await?.ok_or_else(missing)
    }
}

/// Works on the jobs that are running, one after another, until the engine stops.
pub(crate) async fn drive(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        match inner.next_job().await {
            Ok(None) => inner.undo_asked.notified().await,
            Ok(Some(job)) => match inner.work_on(&job).await {
                Ok(()) => {}
                Err(EngineError::Unavailable(_) | EngineError::Full | EngineError::LoadOpen { .. }) => {
                    inner.pause(REST).await;
                }
                Err(error) => inner.give_up(&job, &error).await,
            },
            Err(error) => {
                tracing::warn!("undo jobs could not be read, trying again: {error}");
                inner.pause(REST).await;
            }
        }
    }
}

impl Inner {
    async fn next_job(&self) -> Result<Option<Arc<Record>>, EngineError> {
        let schema = self.store.schema();
        let Some(object) = schema.object(OBJECT).cloned() else { return Ok(None) };
        let rule = self.lookup.rule(&schema, &Scope::Record(object), "state == 'running'", &ParamTypes::none())?;
        let mut query = RecordQuery::new(name(OBJECT), self.clock.now(), 1);
        query.rule = Some(rule);
        Ok(self.store.find(&query).await?.pop())
    }

    /// Works on a job until it is done, cancelled, or the engine stops.
    async fn work_on(&self, job: &Arc<Record>) -> Result<(), EngineError> {
        let caller = Caller { actor: asker(job), ..Caller::system() };
        let Value::Json(request) = job.get("request") else {
            return Err(EngineError::Internal(format!("undo job {} has no request", job.id)));
        };
        let wanted: UndoMany = serde_json::from_value((**request).clone())
            .map_err(|e| EngineError::Internal(format!("undo job {} does not read: {e}", job.id)))?;
        let reaction = wanted.options()?;
        let reaction = reaction.reaction();
        let mut tally = self.done_so_far(job.id).await?;
        let (runs, failed) = self.meant(&wanted, JOB_RUNS_MAX).await?;
        tally.runs_failed += failed;
        tally.runs_total = tally.runs_done + tally.runs_failed + i64::try_from(runs.len()).unwrap_or(i64::MAX);
        self.note(&caller, job.id, tally, None).await?;
        for chunk in runs.chunks(CHUNK_RUNS) {
            if self.is_stopping() || !self.is_wanted(job.id).await? {
                return Ok(());
            }
            self.writable(None)?;
            let changed = self.that_changed_something(chunk.to_vec()).await?;
            tally.runs_done += i64::try_from(chunk.len() - changed.len()).unwrap_or(0);
            for undo in self.request(&caller, &changed, reaction, job.id).await? {
                tally.count(&self.ended(undo.id).await?);
            }
            self.note(&caller, job.id, tally, None).await?;
        }
        let state = if self.is_wanted(job.id).await? { Some("done") } else { None };
        self.note(&caller, job.id, tally, state).await
    }

    /// The runs that are meant and count at present, newest first; and how many others cannot be undone, since an undo of
    /// theirs failed or is not done yet.
    async fn meant(&self, wanted: &UndoMany, most: usize) -> Result<(Vec<Arc<Run>>, i64), EngineError> {
        let mut query = RunQuery {
            automation: Some(wanted.automation()?),
            status: Some(RunStatus::Completed),
            since: Some(wanted.since),
            until: wanted.until,
            limit: PAGE_ROWS_MAX,
            ..RunQuery::default()
        };
        let (mut runs, mut stuck) = (Vec::new(), 0);
        loop {
            let page = self.store.runs(&query).await?;
            query.before = page.last().map(|last| (last.position, last.automation.clone()));
            let full = page.len() >= PAGE_ROWS_MAX as usize;
            for run in page.into_iter().filter(|run| wanted.means(run)) {
                match self.standing(Arc::new(run)).await? {
                    Standing::Stands(run) => runs.push(run),
                    Standing::Undone(_) => {}
                    Standing::Moving(_) | Standing::Failed(_) => stuck += 1,
                }
                if runs.len() > most {
                    let message = format!("more than {most} runs are meant: narrow it with `until`");
                    return Err(EngineError::Conflict(message));
                }
            }
            if !full {
                break;
            }
        }
        let runs = if wanted.with_caused { self.with_caused(runs, most).await? } else { newest_first(runs) };
        Ok((runs, stuck))
    }

    /// Waits for the runs that an earlier process asked for, and counts what has been done.
    async fn done_so_far(&self, job: RecordId) -> Result<Tally, EngineError> {
        let automation = Some(undo_id());
        let mut query = RunQuery { lane: Some(job), automation, limit: PAGE_ROWS_MAX, ..RunQuery::default() };
        let mut tally = Tally::default();
        loop {
            let page = self.store.runs(&query).await?;
            query.before = page.last().map(|last| (last.position, last.automation.clone()));
            for run in &page {
                tally.count(&self.ended(run.id).await?);
            }
            if page.len() < PAGE_ROWS_MAX as usize {
                return Ok(tally);
            }
        }
    }

    async fn is_wanted(&self, job: RecordId) -> Result<bool, EngineError> {
        Ok(self.store.record(&name(OBJECT), job).await?.is_some_and(|job| is_running(&job)))
    }

    async fn note(&self, caller: &Caller, job: RecordId, tally: Tally, state: Option<&str>) -> Result<(), EngineError> {
        let mut changes = vec![
            set("runs_total", Value::Int(tally.runs_total)),
            set("runs_done", Value::Int(tally.runs_done)),
            set("runs_failed", Value::Int(tally.runs_failed)),
            set("changes_done", Value::Int(tally.changes_done)),
            set("changes_left", Value::Int(tally.changes_left)),
        ];
        changes.extend(state.map(|state| set("state", Value::text(state))));
        self.put_job(caller, job, changes).await
    }

    async fn put_job(&self, caller: &Caller, job: RecordId, changes: Vec<(Name, Change)>) -> Result<(), EngineError> {
        let mut unit = rapport_store::UnitOfWork::new(self.clock.now(), caller.actor.clone());
        let kind = rapport_model::record::PutKind::Update;
        unit.puts.push(rapport_model::record::Put { object: name(OBJECT), id: job, kind, changes });
        unit.triggers = rapport_store::Triggers::Skip;
        self.store.commit(unit).await?;
        Ok(())
    }

    async fn give_up(&self, job: &Record, error: &EngineError) {
        tracing::error!("the undo job {} failed: {error}", job.id);
        let changes = vec![set("state", Value::text("failed")), set("error", Value::text(&error.to_string()))];
        if let Err(error) = self.put_job(&Caller::system(), job.id, changes).await {
            tracing::warn!("the undo job {} could not be ended: {error}", job.id);
            self.pause(REST).await;
        }
    }
}

impl Tally {
    fn count(&mut self, undo: &Run) {
        if undo.status != RunStatus::Completed {
            self.runs_failed += 1;
            return;
        }
        self.runs_done += 1;
        let trace = undo.trace.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok()).unwrap_or_default();
        self.changes_done += trace["counts"]["done"].as_i64().unwrap_or(0);
        self.changes_left += trace["counts"]["left"].as_i64().unwrap_or(0);
    }
}

fn newest_first(mut runs: Vec<Arc<Run>>) -> Vec<Arc<Run>> {
    runs.sort_by(|a, b| (b.position, &b.automation).cmp(&(a.position, &a.automation)));
    runs
}

fn is_running(job: &Record) -> bool {
    job.get("state").as_text() == Some("running")
}

fn asker(job: &Record) -> rapport_model::Actor {
    job.get("actor").as_text().and_then(|text| text.parse().ok()).unwrap_or(rapport_model::Actor::System)
}

fn to_text(value: &Value) -> &str {
    value.as_text().unwrap_or_default()
}

fn job_json(job: &Record) -> Json {
    let of = |name: &str| rapport_model::json::to_json(job.get(name));
    json!({
        "id": job.id,
        "state": of("state"),
        "request": of("request"),
        "actor": of("actor"),
        "error": of("error"),
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "runs": { "total": of("runs_total"), "done": of("runs_done"), "failed": of("runs_failed") },
        "changes": { "done": of("changes_done"), "left": of("changes_left") },
    })
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names of the host's own objects are valid")
}

fn set(field: &str, value: Value) -> (Name, Change) {
    (name(field), Change::Set(value))
}
