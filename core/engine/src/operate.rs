//! What an operator does to runs: start them again, hold them back, let them go on, end them; one, or all that are meant.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{AutomationId, Digest, Run, RunId, RunStatus, Timestamp};
use rapport_store::{JournalStep, ListedRun, RunQuery, RunUpdate, UnitOfWork, WaitFor};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::invoked;
use crate::lanes::Item;
use crate::present::run_to_json;

/// What is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAction {
    /// Starts a dead or cancelled run again, with all its tries.
    Retry,
    /// Ends a run before it is done.
    Cancel,
    /// Holds a run back that waits.
    Pause,
    /// Lets a paused run go on.
    Resume,
}

impl RunAction {
    /// The states from which it can be done.
    const fn from(self) -> &'static [RunStatus] {
        match self {
            Self::Retry => &[RunStatus::Dead, RunStatus::Cancelled],
            Self::Cancel => {
                &[RunStatus::Pending, RunStatus::Retrying, RunStatus::Waiting, RunStatus::Paused, RunStatus::Dead]
            }
            Self::Pause => &[RunStatus::Pending, RunStatus::Retrying, RunStatus::Waiting],
            Self::Resume => &[RunStatus::Paused],
        }
    }

    /// The states that are meant if many runs are, and none is named: never those that somebody has dealt with already.
    const fn usual(self) -> &'static [RunStatus] {
        match self {
            Self::Retry => &[RunStatus::Dead],
            Self::Cancel => &[RunStatus::Pending, RunStatus::Retrying, RunStatus::Waiting, RunStatus::Paused],
            Self::Pause | Self::Resume => self.from(),
        }
    }

    const fn to(self) -> RunStatus {
        match self {
            Self::Retry | Self::Resume => RunStatus::Pending,
            Self::Cancel => RunStatus::Cancelled,
            Self::Pause => RunStatus::Paused,
        }
    }

    pub(crate) const fn past(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Cancel => "cancelled",
            Self::Pause => "paused",
            Self::Resume => "resumed",
        }
    }

    fn refuse(self, status: RunStatus) -> String {
        let from: Vec<&str> = self.from().iter().map(|s| s.as_str()).collect();
        format!("the run is {}: only {} runs are {}", status.as_str(), from.join(" or "), self.past())
    }

    /// The step of `run`. What is known of its failure stays, but for a run that starts anew; when it is woken stays for a run
    /// that waits, or was held back while it waited.
    fn update(self, run: &Run, caller: &Caller, now: Timestamp) -> RunUpdate {
        let anew = self == Self::Retry;
        let waits = self == Self::Pause && run.status == RunStatus::Waiting;
        let error =
            if self == Self::Cancel { Some(format!("cancelled by {}", caller.actor)) } else { run.error.clone() };
        RunUpdate {
            id: run.id,
            status: self.to(),
            attempt: if anew { 0 } else { run.attempt },
            wake_at: run.wake_at.filter(|_| waits),
            wake_event: run.wake_event,
            wake_index: run.wake_index,
            finished_at: (self == Self::Cancel).then_some(now),
            error: error.filter(|_| !anew),
            trace: run.trace.clone().filter(|_| !anew),
        }
    }
}

/// A step of one run.
pub(crate) struct Step {
    pub(crate) unit: UnitOfWork,
    /// The run as it is after, without its trace.
    pub(crate) run: Arc<Run>,
    /// The run as it was before, without its trace.
    before: Run,
    /// What it waits for again, if it does.
    pub(crate) waits_again: Option<WaitsAgain>,
}

/// What a run waits for that was held back while it waited.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitsAgain {
    pub(crate) until: Option<Timestamp>,
    pub(crate) waits: Vec<WaitFor>,
    /// Whether it waits for the answer to a call.
    pub(crate) call: bool,
}

/// Which runs are meant. At least a status or an automation must be named.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSelection {
    /// Only runs in this state; none: those that the action is usually for.
    pub status: Option<String>,
    /// Only runs of this automation.
    pub automation: Option<String>,
    /// Only runs of the version whose digest begins so.
    pub digest: Option<String>,
    /// Only runs whose last failure had this code.
    pub error: Option<String>,
    /// Only runs whose event was committed at this instant or later.
    pub since: Option<Timestamp>,
    /// Only runs whose event was committed before this instant.
    pub until: Option<Timestamp>,
}

impl RunSelection {
    /// What finds them: those in the named state, which must be one of `may`, else in those of `usual`.
    pub(crate) fn queries(
        &self,
        (may, usual): (&[RunStatus], &[RunStatus]),
        past: &str,
    ) -> Result<Vec<RunQuery>, EngineError> {
        if self.status.is_none() && self.automation.is_none() {
            return Err(EngineError::invalid("", "name a `status` or an `automation`"));
        }
        let automation = self.automation.as_deref().map(AutomationId::new).transpose();
        let automation = automation.map_err(|e| EngineError::invalid("/automation", e.to_string()))?;
        let states = match self.status.as_deref() {
            None => usual.to_vec(),
            Some(text) => {
                let fits = RunStatus::parse(text).filter(|status| may.contains(status));
                let names: Vec<&str> = may.iter().map(|s| s.as_str()).collect();
                let wrong = || format!("runs that are `{text}` are not {past}: use {}", names.join(" or "));
                vec![fits.ok_or_else(|| EngineError::invalid("/status", wrong()))?]
            }
        };
        let (since, until, limit) = (self.since, self.until, PAGE_ROWS_MAX);
        let digest = self.digest.as_deref().map(digest_range).transpose()?;
        let error_code = self.error.clone();
        let base = RunQuery { automation, digest, error_code, since, until, limit, ..RunQuery::default() };
        Ok(states.into_iter().map(|status| RunQuery { status: Some(status), ..base.clone() }).collect())
    }
}

impl Engine {
    /// Does `action` to the run `id`, and shows the run as it is then.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::LoadOpen`]; [`EngineError::Conflict`] if the run is
    /// in another state, or others were faster.
    pub async fn operate(&self, caller: &Caller, action: RunAction, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let one = self.inner.steering.lock().await;
        let run = self.find_run(id).await?;
        if !action.from().contains(&run.status) {
            return Err(EngineError::Conflict(action.refuse(run.status)));
        }
        let waits = self.inner.store.waits_of(&[run.id]).await?.into_iter().map(|(_, wait)| wait).collect();
        let mut steps = vec![self.inner.step_of(caller, action, (&run, waits)).await?];
        if action == RunAction::Cancel {
            steps.extend(self.steps_of_children(caller, &run).await?);
        }
        let units = steps.iter().map(|step| step.unit.clone()).collect();
        let outcomes = self.inner.store.commit_together(units).await;
        // Read before it is let go, so that the answer says what this did and not how far the run is by now.
        let shown = self.find_run(id).await;
        for (step, outcome) in steps.iter().zip(outcomes) {
            match outcome {
                Ok(_) => self.inner.settled(step),
                Err(error) if step.run.id == run.id => return Err(error.into()),
                // It was faster than this; what is left of it is looked at below.
                Err(_) => {}
            }
        }
        drop(one);
        self.cancel_child(caller, action, &run).await;
        Ok(run_to_json(&*shown?))
    }

    /// Does `action` to all runs that are meant, and says to how many. A run that moves meanwhile is left as it is.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`], [`EngineError::LoadOpen`].
    pub async fn operate_all(
        &self,
        caller: &Caller,
        action: RunAction,
        selection: &RunSelection,
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let mut done: Vec<Step> = Vec::new();
        let mut missed: Result<u64, EngineError> = Ok(0);
        for query in selection.queries((action.from(), action.usual()), action.past())? {
            let more = self.operate_each(caller, action, query, &mut done).await;
            missed = missed.and_then(|sum| Ok(sum + more?));
        }
        // They were read newest first, and start in the order of the log. What is done is done, whatever failed after it.
        let count = done.len();
        done.sort_by(|a: &Step, b| (a.run.position, &a.run.automation).cmp(&(b.run.position, &b.run.automation)));
        for step in &done {
            self.inner.settled(step);
            self.cancel_child(caller, action, &step.before).await;
        }
        Ok(json!({ action.past(): count, "missed": missed? }))
    }

    async fn operate_each(
        &self,
        caller: &Caller,
        action: RunAction,
        query: RunQuery,
        done: &mut Vec<Step>,
    ) -> Result<u64, EngineError> {
        let (mut missed, mut place) = (0, None);
        loop {
            let (page, next) = self.inner.sound_page(&query, place).await?;
            missed += self.operate_page(caller, action, page, done).await?;
            let Some(next) = next else { return Ok(missed) };
            place = Some(next);
        }
    }

    /// Does `action` to a page of runs, each by itself. Returns how many had moved.
    async fn operate_page(
        &self,
        caller: &Caller,
        action: RunAction,
        page: Vec<Arc<Run>>,
        done: &mut Vec<Step>,
    ) -> Result<u64, EngineError> {
        let _one = self.inner.steering.lock().await;
        let ids: Vec<RunId> = page.iter().filter(|run| run.status == RunStatus::Paused).map(|run| run.id).collect();
        let mut waits: HashMap<RunId, Vec<WaitFor>> = HashMap::new();
        for (run, wait) in self.inner.store.waits_of(&ids).await? {
            waits.entry(run).or_default().push(wait);
        }
        let mut steps = Vec::with_capacity(page.len());
        for run in &page {
            steps.push(self.inner.step_of(caller, action, (run, waits.remove(&run.id).unwrap_or_default())).await?);
        }
        let outcomes = self.inner.store.commit_all(steps.iter().map(|step| step.unit.clone()).collect()).await;
        let mut missed: Result<u64, EngineError> = Ok(0);
        for (step, outcome) in steps.into_iter().zip(outcomes) {
            match outcome {
                // Many are kept until all are done: without what is written.
                Ok(_) => done.push(step.committed()),
                Err(rapport_store::StoreError::RunMoved { .. }) => missed = missed.map(|n| n + 1),
                Err(error) => missed = missed.and(Err(error.into())),
            }
        }
        missed
    }

    /// What cancels the run whose result `run` waits for, the one that this waits for, and so on: they end in one commit with it.
    async fn steps_of_children(&self, caller: &Caller, run: &Run) -> Result<Vec<Step>, EngineError> {
        let (mut steps, mut parent) = (Vec::new(), Run { trace: None, ..run.clone() });
        while matches!(parent.status, RunStatus::Waiting | RunStatus::Paused) {
            let Some(child) = self.inner.child_of(&parent).await else { break };
            let child = match self.find_run(&child.to_string()).await {
                Ok(child) if child.status.is_open() => child,
                Ok(_) | Err(EngineError::NotFound { .. }) => break,
                Err(error) => return Err(error),
            };
            let waits = self.inner.store.waits_of(&[child.id]).await?.into_iter().map(|(_, wait)| wait).collect();
            steps.push(self.inner.step_of(caller, RunAction::Cancel, (&child, waits)).await?);
            parent = Run { trace: None, ..(*child).clone() };
        }
        Ok(steps)
    }

    /// Cancels the run whose result a cancelled one was waiting for. What has ended meanwhile is left as it is.
    async fn cancel_child(&self, caller: &Caller, action: RunAction, run: &Run) {
        if action != RunAction::Cancel || !matches!(run.status, RunStatus::Waiting | RunStatus::Paused) {
            return;
        }
        let Some(child) = self.inner.child_of(run).await else { return };
        match Box::pin(self.operate(caller, action, &child.to_string())).await {
            Ok(_) | Err(EngineError::Conflict(_) | EngineError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(run.id = %child, "the run {child}, which a cancelled one had invoked, goes on: {error}");
            }
        }
    }

    /// Ends runs that have not begun, for the sake of an undo. Those that were faster are a conflict.
    pub(crate) async fn cancel_open(&self, caller: &Caller, runs: &[Arc<Run>]) -> Result<Vec<RunId>, EngineError> {
        let mut ended = Vec::with_capacity(runs.len());
        for run in runs {
            self.operate(caller, RunAction::Cancel, &run.id.to_string()).await?;
            ended.push(run.id);
        }
        Ok(ended)
    }
}

impl Step {
    /// The step that `unit` makes of `run`.
    pub(crate) fn new(unit: UnitOfWork, run: &Run, waits_again: Option<WaitsAgain>) -> Self {
        let mut next = Run { trace: None, digest: unit.run_digest.unwrap_or(run.digest), ..run.clone() };
        if let Some(update) = &unit.run_state {
            (next.status, next.attempt) = (update.status, update.attempt);
            (next.wake_at, next.wake_event, next.wake_index) = (update.wake_at, update.wake_event, update.wake_index);
        }
        Self { unit, before: Run { trace: None, ..run.clone() }, run: Arc::new(next), waits_again }
    }

    /// What has to be known of it once it is committed.
    pub(crate) fn committed(self) -> Self {
        Self { unit: UnitOfWork::new(self.unit.time, self.unit.actor), ..self }
    }
}

impl Inner {
    /// What `action` does to a run, of which `waits` are what it waits for. If another run waits for its end, that is told in the
    /// same commit, and what becomes of the call that it waits for as well.
    pub(crate) async fn step_of(
        &self,
        caller: &Caller,
        action: RunAction,
        (run, waits): (&Run, Vec<WaitFor>),
    ) -> Result<Step, EngineError> {
        let now = self.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        let mut update = action.update(run, caller, now);
        let held = run.status == RunStatus::Paused && (run.wake_at.is_some() || !waits.is_empty());
        let mut waits_again = None;
        match action {
            RunAction::Resume if held => {
                (update.status, update.wake_at) = (RunStatus::Waiting, run.wake_at);
                unit.journal = JournalStep::WaitsAgain;
                waits_again = Some(WaitsAgain { until: run.wake_at, waits, call: false });
            }
            // Nothing wakes it, and its calls stay for a retry.
            RunAction::Cancel if held || run.status == RunStatus::Waiting => unit.journal = JournalStep::Woken,
            _ => {}
        }
        if action == RunAction::Cancel && run.status.is_open() && self.is_invoked(run, None).await? {
            unit.events.push(invoked::end(run.id, RunStatus::Cancelled, (Json::Null, update.error.as_deref()), now));
        }
        unit.run_state = Some(update);
        match action {
            RunAction::Cancel => self.call_off(run, &mut unit, now).await?,
            RunAction::Retry => {
                let call = self.call_again(run, &mut unit, now).await?;
                waits_again = call.then(|| WaitsAgain { call, ..WaitsAgain::default() });
            }
            RunAction::Pause | RunAction::Resume => {}
        }
        Ok(Step::new(unit, run, waits_again))
    }

    /// Tells the lanes, and what wakes runs, what was done to a run.
    pub(crate) fn settled(&self, step: &Step) {
        let run = &step.run;
        self.recent.forget(run.id);
        if self.lanes.forget(run) {
            self.waits.sleeps(run.id);
            self.waits.leaves(run.id);
        }
        if let Some(again) = &step.waits_again {
            self.waits.register_all(&again.waits);
            if let Some(until) = again.until {
                self.waits.due_at(until);
            }
            self.waits.wake.notify_one();
            if again.call {
                self.effects.due_at(self.clock.now());
            }
        }
        if run.status == RunStatus::Pending {
            self.lanes.push_again(Item { run: run.clone(), event: None });
        }
    }

    /// A page of the runs that `query` means, newest first, without those whose rows are damaged; and where the next one begins.
    pub(crate) async fn sound_page(
        &self,
        query: &RunQuery,
        place: Option<(i64, String)>,
    ) -> Result<(Vec<Arc<Run>>, Option<(i64, String)>), EngineError> {
        let before = place.as_ref().map(|(position, automation)| (*position, automation.as_str()));
        let page = self.store.list_runs(query, before).await?;
        let full = page.len() >= query.limit as usize;
        let next = page.last().filter(|_| full).map(|last| {
            let (position, automation) = last.place();
            (position, automation.to_owned())
        });
        let sound = page.into_iter().filter_map(|listed| match listed {
            ListedRun::Sound(run) => Some(Arc::new(*run)),
            ListedRun::Damaged(_) => None,
        });
        Ok((sound.collect(), next))
    }
}

/// The least and the greatest digest that begin with `prefix`.
///
/// # Errors
/// [`EngineError::Invalid`] if it is no beginning of a digest.
pub(crate) fn digest_range(prefix: &str) -> Result<(Digest, Digest), EngineError> {
    let wrong =
        || EngineError::invalid("/digest", format!("`{prefix}` is no beginning of a digest: use its first digits"));
    let fits = !prefix.is_empty() && prefix.len() <= 64 && prefix.bytes().all(|b| b.is_ascii_hexdigit());
    if !fits {
        return Err(wrong());
    }
    let filled = |fill: &str| format!("{prefix}{}", fill.repeat(64 - prefix.len())).parse().map_err(|_| wrong());
    Ok((filled("0")?, filled("f")?))
}
