//! Undo: takes back what a run changed, as a run of its own.
//!
//! A wish to undo is an event, `undo.requested`, which the caller appends; it starts a run of the host's own automation
//! `rapport/undo`, which decides on the data of its moment and commits the inverse. So an undo is listed, explained, retried
//! after a crash and undone like any run. The event's outside identity is the run to be undone: no run is undone twice.
//! To undo it once more after it was brought back is to undo the run that brought it back, and so on: a chain.
//!
//! ```text
//! run ◀─ undo ◀─ undo of the undo ◀─ …      it stands while an even number of them has been done
//! ```
//!
//! What an undo changes starts automations, as every change does (a tier follows the points), but for the automation whose
//! run is undone: it would do the same again. With `with_caused` the runs that it caused are undone themselves, newest
//! first, and no automation is started, since all that would react has been taken back as well.

mod compensate;
mod guard;
mod net;
mod plan;
mod since;
mod tags;
mod work;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rapport_model::event::{Body, NewEvent, Origin};
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{Actor, AutomationId, Digest, Event, EventType, Name, RecordId, Run, RunId, RunStatus, Value};
use rapport_store::{Duplicate, EventQuery, Match, RunQuery, StoreError, UNDO_REQUESTED, UnitOfWork};
use serde_json::{Value as Json, json};

use crate::bulk::Reaction;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::judges::{Author, Bench, NotJudged};
use crate::lanes::lane_of;
use crate::merge;

pub(crate) use since::Targets;
pub(crate) use work::{ended as ended_run, fail as fail_run, work};

/// The automation that undoes.
pub(crate) const UNDO: &str = "rapport/undo";
/// What the names of the host's own automations, and the sources of its own events, begin with.
pub(crate) const RESERVED: &str = "rapport/";
/// The source of the events that ask for an undo; their ids are the runs to be undone.
const SOURCE: &str = "/rapport/undo";
/// What names this version of the undoing automation.
const VERSION: &[u8] = b"rapport/undo 1";
/// The most runs that one request undoes while its caller waits.
pub(crate) const RUNS_AT_ONCE_MAX: usize = 1_000;
/// How long a caller waits for the end.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a caller looks whether a run has ended, if nothing tells it before.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How a run is undone.
#[derive(Debug, Clone, Default)]
pub struct UndoOptions {
    /// Also undo the runs that its events started, and so on.
    pub with_caused: bool,
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
    /// Whether automations react to what is taken back; none: they do, unless the runs caused are undone as well.
    pub reaction: Option<Reaction>,
}

impl UndoOptions {
    pub(crate) fn reaction(&self) -> Reaction {
        self.reaction.unwrap_or(if self.with_caused { Reaction::Skip } else { Reaction::Fire })
    }
}

/// The id of the automation that undoes.
pub(crate) fn undo_id() -> AutomationId {
    AutomationId::new(UNDO).expect("the host's own names are valid")
}

/// The run that `event` starts of the host's own, if it does.
pub(crate) fn started_by(event: &Event) -> Option<Match> {
    (event.kind.as_str() == UNDO_REQUESTED).then(|| Match {
        automation: undo_id(),
        digest: Digest::of(VERSION),
        run: None,
    })
}

/// The run that a request wants undone.
pub(crate) fn undone_run(request: &Event) -> Option<RunId> {
    text_field(request, "run")?.parse().ok()
}

fn text_field<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    match &event.body {
        Some(Body::Data(data)) => data.iter().find(|(n, _)| n.as_str() == name)?.1.as_text(),
        _ => None,
    }
}

fn origin_of(run: RunId) -> Origin {
    Origin { source: SOURCE.into(), id: run.to_string().into() }
}

impl Engine {
    /// Undoes the run `id`: waits until it is done and says what was taken back and what was left, or, in a dry run, what
    /// would be. Of a run that was undone and brought back, what brought it back is undone. Runs that it caused and that have
    /// not begun are cancelled, if those that it caused are meant.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::LoadOpen`]; [`EngineError::Conflict`] if it was
    /// undone already, is not done yet, or caused more runs than one request undoes.
    pub async fn undo(&self, caller: &Caller, id: &str, options: &UndoOptions) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let named = self.find_run(id).await?;
        let standing = self.inner.standing(named.clone()).await?.into_undoable(&named)?;
        must_have_ended(&standing)?;
        let lane = RecordId(lane_of(&standing));
        let runs = if options.with_caused {
            self.inner.with_caused(vec![standing], RUNS_AT_ONCE_MAX).await?
        } else {
            vec![standing]
        };
        let runs = merge::with_what_was_moved(&self.inner, runs).await?;
        let (runs, open): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.status.has_ended());
        if options.dry_run {
            let mut told = self.inner.dry_run(caller, &runs, options).await?;
            told["cancelled"] = open.iter().map(|run| json!(run.id)).collect();
            return Ok(told);
        }
        let cancelled = self.cancel_open(caller, &open).await?;
        let runs = self.inner.that_changed_something(runs).await?;
        let reaction = options.reaction();
        let undos = self.inner.request(caller, &runs, reaction, lane).await?;
        let mut shown = Vec::with_capacity(runs.len());
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        for (run, undo) in runs.iter().zip(undos) {
            let ended = tokio::time::timeout_at(deadline, self.inner.ended(undo.id)).await;
            shown.push(undone_json(run, &ended.unwrap_or(Ok((*undo).clone()))?));
        }
        let mut told = answer(options, &shown);
        told["cancelled"] = json!(cancelled);
        Ok(told)
    }
}

/// Whether what a run did counts at present.
pub(crate) enum Standing {
    /// It does; to undo it, undo this run: itself, or what brought it back.
    Stands(Arc<Run>),
    /// It was undone by this run.
    Undone(Arc<Run>),
    /// This run is undoing it, or bringing it back.
    Moving(Arc<Run>),
    /// This run should have undone it, and failed.
    Failed(Arc<Run>),
}

impl Standing {
    /// The run to undo.
    fn into_undoable(self, named: &Run) -> Result<Arc<Run>, EngineError> {
        let message = match self {
            Self::Stands(run) => return Ok(run),
            Self::Undone(by) => {
                format!("run {} has been undone by run {}: undo that one to bring it back", named.id, by.id)
            }
            Self::Moving(by) => format!("run {} is at it: wait until that is done", by.id),
            Self::Failed(by) => format!("run {} should undo it and is {}: retry that one", by.id, by.status.as_str()),
        };
        Err(EngineError::Conflict(message))
    }
}

fn must_have_ended(run: &Run) -> Result<(), EngineError> {
    if run.status.has_ended() {
        return Ok(());
    }
    let message = format!("run {} is {}: wait until it is done, or cancel it", run.id, run.status.as_str());
    Err(EngineError::Conflict(message))
}

impl Inner {
    /// The run that undoes `run`, if it was ever asked for.
    pub(crate) async fn undo_of(&self, run: RunId) -> Result<Option<Run>, EngineError> {
        let query = EventQuery { origin: Some(origin_of(run)), limit: 1, ..EventQuery::default() };
        let Some(request) = self.store.events(&query).await?.pop() else { return Ok(None) };
        let query = RunQuery { position: Some(request.position), limit: 1, ..RunQuery::default() };
        Ok(self.store.runs(&query).await?.pop())
    }

    /// Follows the chain of undos of `run` to its end.
    pub(crate) async fn standing(&self, run: Arc<Run>) -> Result<Standing, EngineError> {
        let mut undone = false;
        let mut last = run;
        while let Some(undo) = self.undo_of(last.id).await? {
            match undo.status {
                RunStatus::Completed => undone = !undone,
                RunStatus::Dead | RunStatus::Cancelled if undone => break,
                RunStatus::Dead | RunStatus::Cancelled => return Ok(Standing::Failed(Arc::new(undo))),
                _ => return Ok(Standing::Moving(Arc::new(undo))),
            }
            last = Arc::new(undo);
        }
        Ok(if undone { Standing::Undone(last) } else { Standing::Stands(last) })
    }

    /// `runs` and all that they caused, as far as it counts at present; newest first.
    pub(crate) async fn with_caused(&self, runs: Vec<Arc<Run>>, most: usize) -> Result<Vec<Arc<Run>>, EngineError> {
        let mut seen: HashSet<RunId> = runs.iter().map(|run| run.id).collect();
        let mut open = runs.clone();
        let mut all = runs;
        while let Some(run) = open.pop() {
            for child in self.caused_by(run.id).await? {
                // What a run caused counts on its own account: it may have been undone, and brought back, before.
                let child = match self.standing(Arc::new(child.clone())).await? {
                    Standing::Undone(_) => continue,
                    standing => standing.into_undoable(&child)?,
                };
                if !seen.insert(child.id) {
                    continue;
                }
                if all.len() >= most {
                    let message =
                        format!("more than {most} runs would be undone: undo them by automation, in the background");
                    return Err(EngineError::Conflict(message));
                }
                open.push(child.clone());
                all.push(child);
            }
        }
        all.sort_by(|a, b| (b.position, &b.automation).cmp(&(a.position, &a.automation)));
        Ok(all)
    }

    /// The runs that the events of `run` started.
    async fn caused_by(&self, run: RunId) -> Result<Vec<Run>, EngineError> {
        let mut query = RunQuery { caused_by: Some(run), limit: PAGE_ROWS_MAX, ..RunQuery::default() };
        let mut all = Vec::new();
        loop {
            let page = self.store.runs(&query).await?;
            let full = page.len() >= PAGE_ROWS_MAX as usize;
            query.before = page.last().map(|last| (last.position, last.automation.clone()));
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }

    /// Those of `runs` that have something to take back, or have sent something.
    pub(crate) async fn that_changed_something(&self, runs: Vec<Arc<Run>>) -> Result<Vec<Arc<Run>>, EngineError> {
        let mut changed = Vec::with_capacity(runs.len());
        for run in runs {
            let events = plan::events_of(&self.store, run.id).await?;
            let wrote = events.iter().any(|e| !matches!(e.body, Some(Body::Data(_))));
            if wrote || !self.effects_of(&run).await?.is_empty() {
                changed.push(run);
            }
        }
        Ok(changed)
    }

    /// Asks for `runs` to be undone, in their order, in one commit. Returns the runs that will do so, in the same order.
    pub(crate) async fn request(
        &self,
        caller: &Caller,
        runs: &[Arc<Run>],
        reaction: Reaction,
        lane: RecordId,
    ) -> Result<Vec<Arc<Run>>, EngineError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut unit = UnitOfWork::new(self.clock.now(), caller.actor.clone());
        unit.on_duplicate = Duplicate::Refuse;
        for run in runs {
            unit.events.push(self.request_event(run, reaction, lane).await?);
        }
        match self.store.commit(unit).await {
            Ok(committed) => Ok(committed.runs),
            Err(StoreError::Duplicate { id, .. }) => {
                Err(EngineError::Conflict(format!("somebody else has just asked for run {id} to be undone")))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn request_event(&self, run: &Run, reaction: Reaction, lane: RecordId) -> Result<NewEvent, EngineError> {
        // What brings a run back must not start its automation either: that would do everything twice.
        let request = if run.automation.as_str() == UNDO { self.store.event(run.position).await? } else { None };
        let own = request.as_ref().and_then(|r| text_field(r, "automation")).unwrap_or(run.automation.as_str());
        let reaction = if reaction == Reaction::Skip { "skip" } else { "fire" };
        let fields = [("run", run.id.to_string()), ("automation", own.to_owned()), ("reaction", reaction.to_owned())];
        Ok(NewEvent {
            origin: Some(origin_of(run.id)),
            kind: EventType::new(UNDO_REQUESTED).expect("the types of core events are valid"),
            subject: None,
            lane: Some(lane),
            time: self.clock.now(),
            data: fields.map(|(name, text)| (field(name), Value::text(&text))).into(),
        })
    }

    /// Says what it would do if `caller` had `runs` undone in their order.
    pub(crate) async fn dry_run(
        &self,
        caller: &Caller,
        runs: &[Arc<Run>],
        options: &UndoOptions,
    ) -> Result<Json, EngineError> {
        let mut refused = plan::Refused::new();
        loop {
            let known = refused.len();
            let shown = self.foretell(caller, runs, &mut refused).await?;
            if refused.len() == known {
                return Ok(answer(options, &shown));
            }
        }
    }

    /// The same once; what plugins would keep from being put back is noted.
    async fn foretell(
        &self,
        caller: &Caller,
        runs: &[Arc<Run>],
        refused: &mut plan::Refused,
    ) -> Result<Vec<Json>, EngineError> {
        let (now, actor) = (self.clock.now(), Actor::Automation(undo_id()));
        let (mut bench, mut more) = (Bench::default(), plan::Refused::new());
        let mut planner = plan::Planner::new(self, (now, None, &caller.actor), refused);
        let mut shown = Vec::with_capacity(runs.len());
        for run in runs {
            planner.beside.by = None;
            let report = planner.plan(run).await?;
            let own = planner.beside.by.clone();
            let author = Author { actor: &actor, own: own.as_ref(), time: now };
            match bench.judge(self, (planner.buffer.puts(), &[]), author).await {
                Ok(_) => {}
                Err(NotJudged::By(verdict)) if own.is_none() && !verdict.passing => {
                    more.insert((verdict.object.clone(), verdict.id), EngineError::from(verdict).to_string());
                }
                Err(why) => return Err(why.into()),
            }
            planner.buffer.start_slice();
            let mut json = run_json(run);
            join(&mut json, report.to_json());
            shown.push(json);
        }
        refused.extend(more);
        Ok(shown)
    }

    /// Waits until the run has ended.
    pub(crate) async fn ended(&self, id: RunId) -> Result<Run, EngineError> {
        loop {
            let changed = self.lanes.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = self.store.run(id).await?;
            let run = found.ok_or_else(|| EngineError::Internal(format!("run {id} is missing")))?;
            if !run.status.is_open() {
                return Ok(run);
            }
            if self.is_stopping() {
                return Err(EngineError::Unavailable("the host is stopping".into()));
            }
            // A connection that breaks after its commit may let the word be lost.
            tokio::select! {
                () = changed => {}
                () = self.pause(LOOK_AGAIN) => {}
            }
        }
    }
}

fn field(text: &str) -> Name {
    Name::new(text).expect("the names of core fields are valid")
}

fn run_json(run: &Run) -> Json {
    json!({ "run": run.id, "automation": run.automation, "event": run.position })
}

fn undone_json(run: &Run, undo: &Run) -> Json {
    let mut json = run_json(run);
    json["undo"] = json!(undo.id);
    json["status"] = undo.status.as_str().into();
    if let Some(error) = &undo.error {
        json["error"] = error.as_str().into();
    }
    let trace = undo.trace.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok());
    let report = trace.unwrap_or_else(|| plan::Report::default().to_json());
    join(&mut json, report);
    json
}

fn join(into: &mut Json, from: Json) {
    if let (Json::Object(into), Json::Object(from)) = (into, from) {
        into.extend(from.into_iter().filter(|(name, _)| name != "undoes"));
    }
}

fn answer(options: &UndoOptions, runs: &[Json]) -> Json {
    let sum = |what: &str| runs.iter().filter_map(|run| run["counts"][what].as_u64()).sum::<u64>();
    json!({
        "dry_run": options.dry_run,
        "with_caused": options.with_caused,
        "automations": if options.reaction() == Reaction::Skip { "skip" } else { "fire" },
        "done": sum("done"),
        "left": sum("left"),
        "runs": runs,
    })
}
