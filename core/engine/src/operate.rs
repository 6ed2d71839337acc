//! What an operator does to runs: start them again, hold them back, let them go on, end them; one, or all that are meant.

use std::sync::Arc;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{AutomationId, Run, RunId, RunStatus, Timestamp};
use rapport_store::{JournalStep, RunQuery, RunUpdate, UnitOfWork};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::engine::Engine;
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
            Self::Pause => &[RunStatus::Pending, RunStatus::Retrying],
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

    const fn past(self) -> &'static str {
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

    /// The step of `run`. What is known of its failure stays, but for a run that starts anew.
    fn update(self, run: &Run, caller: &Caller, now: Timestamp) -> RunUpdate {
        let anew = self == Self::Retry;
        let error =
            if self == Self::Cancel { Some(format!("cancelled by {}", caller.actor)) } else { run.error.clone() };
        RunUpdate {
            id: run.id,
            status: self.to(),
            attempt: if anew { 0 } else { run.attempt },
            wake_at: None,
            wake_event: run.wake_event,
            wake_index: run.wake_index,
            finished_at: (self == Self::Cancel).then_some(now),
            error: error.filter(|_| !anew),
            trace: run.trace.clone().filter(|_| !anew),
        }
    }
}

/// What happens to the journal of a run that is no longer to wait: nothing wakes it, and its calls stay for a retry.
fn journal_step(run: &Run) -> JournalStep {
    if run.status == RunStatus::Waiting { JournalStep::Woken } else { JournalStep::None }
}

/// Which runs are meant. At least a status or an automation must be named.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSelection {
    /// Only runs in this state; none: those that the action is usually for.
    pub status: Option<String>,
    /// Only runs of this automation.
    pub automation: Option<String>,
    /// Only runs whose event was committed at this instant or later.
    pub since: Option<Timestamp>,
    /// Only runs whose event was committed before this instant.
    pub until: Option<Timestamp>,
}

impl RunSelection {
    fn queries(&self, action: RunAction) -> Result<Vec<RunQuery>, EngineError> {
        if self.status.is_none() && self.automation.is_none() {
            return Err(EngineError::invalid("", "name a `status` or an `automation`"));
        }
        let automation = self.automation.as_deref().map(AutomationId::new).transpose();
        let automation = automation.map_err(|e| EngineError::invalid("/automation", e.to_string()))?;
        let states = match self.status.as_deref() {
            None => action.usual().to_vec(),
            Some(text) => {
                let fits = RunStatus::parse(text).filter(|status| action.from().contains(status));
                let names: Vec<&str> = action.from().iter().map(|s| s.as_str()).collect();
                let wrong = || format!("runs that are `{text}` are not {}: use {}", action.past(), names.join(" or "));
                vec![fits.ok_or_else(|| EngineError::invalid("/status", wrong()))?]
            }
        };
        let (since, until, limit) = (self.since, self.until, PAGE_ROWS_MAX);
        let base = RunQuery { automation, since, until, limit, ..RunQuery::default() };
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
        let run = self.find_run(id).await?;
        if !action.from().contains(&run.status) {
            return Err(EngineError::Conflict(action.refuse(run.status)));
        }
        let unit = self.unit_of(action, &run, caller).await?;
        let to = unit.run_state.as_ref().map_or(action.to(), |state| state.status);
        self.inner.store.commit(unit).await?;
        self.settled(action, &run, to);
        self.cancel_child(caller, action, &run).await;
        let run = self.find_run(id).await?;
        Ok(run_to_json(&run))
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
        let mut done: Vec<(Arc<Run>, RunStatus)> = Vec::new();
        let mut missed: Result<u64, EngineError> = Ok(0);
        for query in selection.queries(action)? {
            let more = self.operate_each(caller, action, query, &mut done).await;
            missed = missed.and_then(|sum| Ok(sum + more?));
        }
        // They were read newest first, and start in the order of the log. What is done is done, whatever failed after it.
        let count = done.len();
        done.sort_by(|(a, _), (b, _)| (a.position, &a.automation).cmp(&(b.position, &b.automation)));
        for (run, to) in &done {
            self.settled(action, run, *to);
            self.cancel_child(caller, action, run).await;
        }
        Ok(json!({ action.past(): count, "missed": missed? }))
    }

    async fn operate_each(
        &self,
        caller: &Caller,
        action: RunAction,
        mut query: RunQuery,
        done: &mut Vec<(Arc<Run>, RunStatus)>,
    ) -> Result<u64, EngineError> {
        let mut missed = 0;
        loop {
            let page = self.inner.store.runs(&query).await?;
            let full = page.len() >= PAGE_ROWS_MAX as usize;
            query.before = page.last().map(|last| (last.position, last.automation.clone()));
            missed += self.operate_page(caller, action, page, done).await?;
            if !full {
                return Ok(missed);
            }
        }
    }

    /// Does `action` to a page of runs, each by itself. Returns how many had moved.
    async fn operate_page(
        &self,
        caller: &Caller,
        action: RunAction,
        page: Vec<Run>,
        done: &mut Vec<(Arc<Run>, RunStatus)>,
    ) -> Result<u64, EngineError> {
        let mut units = Vec::with_capacity(page.len());
        for run in &page {
            units.push(self.unit_of(action, run, caller).await?);
        }
        let reached: Vec<RunStatus> =
            units.iter().map(|unit| unit.run_state.as_ref().map_or(action.to(), |state| state.status)).collect();
        let outcomes = self.inner.store.commit_all(units).await;
        let mut missed: Result<u64, EngineError> = Ok(0);
        for ((run, to), outcome) in page.into_iter().zip(reached).zip(outcomes) {
            match outcome {
                // Many are kept until all are done: without their traces.
                Ok(_) => done.push((Arc::new(Run { trace: None, ..run }), to)),
                Err(rapport_store::StoreError::RunMoved { .. }) => missed = missed.map(|n| n + 1),
                Err(error) => missed = missed.and(Err(error.into())),
            }
        }
        missed
    }

    /// What does `action` to `run`. If another run waits for its end, that is told in the same commit, and what becomes of the
    /// call that it waits for as well.
    async fn unit_of(&self, action: RunAction, run: &Run, caller: &Caller) -> Result<UnitOfWork, EngineError> {
        let now = self.inner.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        let update = action.update(run, caller, now);
        if action == RunAction::Cancel && run.status.is_open() && self.inner.is_invoked(run, None).await? {
            let error = update.error.as_deref();
            unit.events.push(invoked::end(run.id, RunStatus::Cancelled, (Json::Null, error), now));
        }
        unit.run_state = Some(update);
        unit.journal = journal_step(run);
        match action {
            RunAction::Cancel => self.inner.call_off(run, &mut unit, now).await?,
            RunAction::Retry => self.inner.call_again(run, &mut unit, now).await?,
            RunAction::Pause | RunAction::Resume => {}
        }
        Ok(unit)
    }

    /// Cancels the run whose result a cancelled one was waiting for. What has ended meanwhile is left as it is.
    async fn cancel_child(&self, caller: &Caller, action: RunAction, run: &Run) {
        if action != RunAction::Cancel || run.status != RunStatus::Waiting {
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

    /// Tells the lanes what was done to a run, and where it stands then.
    fn settled(&self, action: RunAction, run: &Run, to: RunStatus) {
        self.inner.lanes.forget(run);
        if to == RunStatus::Waiting {
            self.inner.effects.due_at(self.inner.clock.now());
        }
        if to == RunStatus::Pending {
            let attempt = if action == RunAction::Retry { 0 } else { run.attempt };
            let again = Run { status: RunStatus::Pending, attempt, wake_at: None, ..run.clone() };
            self.inner.lanes.push_again(Item { run: Arc::new(again), event: None });
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
