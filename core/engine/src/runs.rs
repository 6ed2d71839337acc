//! Runs as callers from outside see them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rapport_model::{AutomationId, Run, RunId, RunStatus};
use rapport_store::RunQuery;
use serde_json::{Value as Json, json};

use crate::effects::effect_to_json;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::journal::Journal;
use crate::key;
use crate::lanes::Load;
use crate::page::{Page, cursor, open_cursor, page_rows};
use crate::present::{event_to_json, run_to_json};

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// A status.
    pub status: Option<String>,
    /// An automation.
    pub automation: Option<String>,
    /// Runs started by events about this record: `customer/customer_no:17850`.
    pub subject: Option<String>,
    /// Runs of the page.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// What the engine has done since it started, and what there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineMetrics {
    /// The position of the latest event.
    pub head: i64,
    /// What there is to do.
    pub load: Load,
    /// Slices that ended in a commit.
    pub slices_total: u64,
    /// Runs completed.
    pub completed_total: u64,
    /// Runs that went to the dead letters.
    pub dead_total: u64,
    /// Failed slices that are tried again.
    pub retries_total: u64,
    /// Slices tried again because others had been faster.
    pub conflicts_total: u64,
    /// Events committed.
    pub events_total: u64,
    /// Runs started.
    pub runs_total: u64,
    /// Fuel used by all slices.
    pub fuel_total: u64,
}

impl Engine {
    /// Runs, newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`] for a status, automation or subject that is none.
    pub async fn runs(&self, caller: &Caller, filter: &RunFilter) -> Result<Page<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let limit = page_rows(filter.limit)?;
        let mut query = RunQuery { limit: limit + 1, ..RunQuery::default() };
        if let Some(status) = filter.status.as_deref() {
            let all = RunStatus::ALL.map(RunStatus::as_str).join(", ");
            let wrong = || EngineError::invalid("/status", format!("`{status}` is no status: use one of {all}"));
            query.status = Some(RunStatus::parse(status).ok_or_else(wrong)?);
        }
        if let Some(automation) = filter.automation.as_deref() {
            let id = AutomationId::new(automation).map_err(|e| EngineError::invalid("/automation", e.to_string()))?;
            query.automation = Some(id);
        }
        if let Some(text) = filter.subject.as_deref() {
            let (object, key) = key::split_subject(text)
                .ok_or_else(|| EngineError::invalid("/subject", "write OBJECT/KEY, such as customer/customer_no:1"))?;
            let record = self.get(caller, object, key).await?;
            query.subject = Some(record.id);
        }
        let described = [filter.status.as_deref(), filter.automation.as_deref(), filter.subject.as_deref()];
        let described = described.map(Option::unwrap_or_default);
        if let Some(text) = filter.cursor.as_deref() {
            let values = open_cursor(&described, text)?;
            let place = match values.as_slice() {
                [position, id] => position.as_i64().zip(id.as_str().and_then(|id| AutomationId::new(id).ok())),
                _ => None,
            };
            query.before = Some(place.ok_or_else(|| EngineError::invalid("/cursor", "this is no cursor of runs"))?);
        }
        let mut runs = self.inner.store.runs(&query).await?;
        let more = runs.len() > limit as usize;
        runs.truncate(limit as usize);
        let next = runs
            .last()
            .filter(|_| more)
            .map(|last| cursor(&described, vec![last.position.into(), last.automation.as_str().into()]));
        Ok(Page { items: runs.iter().map(run_to_json).collect(), next })
    }

    /// One run with its event, its trace, and the events that it appended.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let run = self.find_run(id).await?;
        let mut json = run_to_json(&run);
        let trace = run.trace.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok());
        json["trace"] = trace.unwrap_or(Json::Null);
        if run.status == RunStatus::Waiting
            && let Some(waiting) =
                Journal::read(&self.inner.store.journal(run.id).await?).ok().and_then(|j| j.waiting())
        {
            json["waits_in"] = json!({ "call": waiting.call, "for": waiting.request, "until": run.wake_at });
        }
        if let Some(event) = self.inner.store.event(run.position).await? {
            json["trigger"] = event_to_json(&event);
        }
        let query = rapport_store::EventQuery { run: Some(run.id), limit: 1_000, ..Default::default() };
        let appended = self.inner.store.events(&query).await?;
        json["events"] = appended.iter().map(|event| event_to_json(event)).collect();
        json["effects"] = self.inner.effects_of(&run).await?.iter().map(effect_to_json).collect();
        json["undone_by"] = json!(self.inner.undo_of(run.id).await?.map(|undo| undo.id));
        Ok(json)
    }

    pub(crate) async fn find_run(&self, id: &str) -> Result<Arc<Run>, EngineError> {
        let missing = || EngineError::not_found(format!("run `{}`", id.chars().take(64).collect::<String>()));
        let id: RunId = id.parse().map_err(|_| missing())?;
        self.inner.store.run(id).await?.map(Arc::new).ok_or_else(missing)
    }

    /// How many runs each automation has in each status.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn run_counts(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let counts = self.inner.store.run_counts();
        let shown = counts
            .into_iter()
            .map(|c| json!({ "automation": c.automation, "status": c.status.as_str(), "count": c.count }));
        Ok(shown.collect())
    }

    /// The run that has waited longest for its lane, if any does.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn oldest_waiting(&self) -> Result<Option<Arc<Run>>, EngineError> {
        Ok(self.inner.store.open_runs(None, 1).await?.pop())
    }

    /// What the engine has done, and what there is to do. Cheap.
    #[must_use]
    pub fn metrics(&self) -> EngineMetrics {
        let counters = &self.inner.counters;
        EngineMetrics {
            head: self.inner.store.head(),
            load: self.inner.lanes.load(),
            slices_total: counters.slices.load(Ordering::Relaxed),
            completed_total: counters.completed.load(Ordering::Relaxed),
            dead_total: counters.dead.load(Ordering::Relaxed),
            retries_total: counters.retries.load(Ordering::Relaxed),
            conflicts_total: counters.conflicts.load(Ordering::Relaxed),
            events_total: counters.events.load(Ordering::Relaxed),
            runs_total: counters.runs.load(Ordering::Relaxed),
            fuel_total: counters.fuel.load(Ordering::Relaxed),
        }
    }
}
