//! Runs as callers from outside see them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rapport_model::{AutomationId, RecordId, Run, RunId, RunStatus, Timestamp};
use rapport_store::{DamagedRun, ListedRun, RunCount, RunQuery};
use serde_json::{Value as Json, json};

use crate::calls::{Call, calls};
use crate::effects::effect_to_json;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::journal::Journal;
use crate::key;
use crate::lanes::Load;
use crate::operate::digest_range;
use crate::page::{Page, cursor, open_cursor, page_rows};
use crate::present::{event_to_json, run_to_json};

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// A status.
    pub status: Option<String>,
    /// An automation.
    pub automation: Option<String>,
    /// The beginning of a version's digest.
    pub digest: Option<String>,
    /// The code of the last failure.
    pub error: Option<String>,
    /// The record that is the lane: `customer/customer_no:17850`.
    pub lane: Option<String>,
    /// Runs whose event was committed at this instant or later.
    pub since: Option<Timestamp>,
    /// Runs whose event was committed before this instant.
    pub until: Option<Timestamp>,
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
    /// Changes that plugins were asked about before they were made.
    pub hooks_asked_total: u64,
    /// Changes that plugins refused.
    pub hooks_refused_total: u64,
    /// Hooks that failed, whatever became of the change.
    pub hooks_failed_total: u64,
}

impl RunFilter {
    /// What the cursors of its pages stand for.
    fn described(&self) -> [String; 8] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let time = |time: Option<Timestamp>| time.map(|t| t.to_string()).unwrap_or_default();
        [
            text(&self.status),
            text(&self.automation),
            text(&self.subject),
            text(&self.digest),
            text(&self.error),
            text(&self.lane),
            time(self.since),
            time(self.until),
        ]
    }
}

/// The calls of a journal as they are shown; what is wrong with it, if it does not read.
pub(crate) fn journal_to_json(slices: &[String]) -> Json {
    match calls(slices) {
        Ok(all) => all.iter().map(Call::to_json).collect(),
        Err(why) => json!({ "damaged": why }),
    }
}

/// A run of a list, without its trace.
fn listed_to_json(listed: &ListedRun) -> Json {
    let damaged = match listed {
        ListedRun::Sound(run) => return run_to_json(run),
        ListedRun::Damaged(damaged) => damaged,
    };
    json!({
        "id": damaged.id,
        "automation": damaged.automation,
        "event": damaged.position,
        "status": damaged.status,
        "damaged": true,
        "error": { "code": "damaged", "message": damaged_text(damaged) },
    })
}

fn damaged_text(damaged: &DamagedRun) -> String {
    format!("the row of the run is damaged and left alone: {}; its history is in the log", damaged.why)
}

impl Engine {
    /// Runs, newest first. One whose row is damaged is among them and says so.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`] for a status, automation, digest or subject that is none.
    pub async fn runs(&self, caller: &Caller, filter: &RunFilter) -> Result<Page<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let limit = page_rows(filter.limit)?;
        let query = RunQuery { limit: limit + 1, ..self.run_query(caller, filter).await? };
        let described = filter.described();
        let described: Vec<&str> = described.iter().map(String::as_str).collect();
        let place = match filter.cursor.as_deref() {
            None => None,
            Some(text) => match open_cursor(&described, text)?.as_slice() {
                [position, id] => position.as_i64().zip(id.as_str().map(ToOwned::to_owned)),
                _ => None,
            }
            .ok_or_else(|| EngineError::invalid("/cursor", "this is no cursor of runs"))
            .map(Some)?,
        };
        let before = place.as_ref().map(|(position, automation)| (*position, automation.as_str()));
        let mut runs = self.inner.store.list_runs(&query, before).await?;
        let more = runs.len() > limit as usize;
        runs.truncate(limit as usize);
        let next = runs.last().filter(|_| more).map(|last| {
            let (position, automation) = last.place();
            cursor(&described, vec![position.into(), automation.into()])
        });
        Ok(Page { items: runs.iter().map(listed_to_json).collect(), next })
    }

    async fn run_query(&self, caller: &Caller, filter: &RunFilter) -> Result<RunQuery, EngineError> {
        let status = filter.status.as_deref().map(|status| {
            let all = RunStatus::ALL.map(RunStatus::as_str).join(", ");
            let wrong = || EngineError::invalid("/status", format!("`{status}` is no status: use one of {all}"));
            RunStatus::parse(status).ok_or_else(wrong)
        });
        let automation = filter.automation.as_deref().map(AutomationId::new).transpose();
        let subject = match filter.subject.as_deref() {
            Some(text) => Some(self.record_named(caller, "/subject", text).await?),
            None => None,
        };
        let lane = match filter.lane.as_deref() {
            Some(text) => Some(self.record_named(caller, "/lane", text).await?),
            None => None,
        };
        Ok(RunQuery {
            status: status.transpose()?,
            automation: automation.map_err(|e| EngineError::invalid("/automation", e.to_string()))?,
            digest: filter.digest.as_deref().map(digest_range).transpose()?,
            error_code: filter.error.clone(),
            lane,
            subject,
            since: filter.since,
            until: filter.until,
            ..RunQuery::default()
        })
    }

    async fn record_named(&self, caller: &Caller, pointer: &str, text: &str) -> Result<RecordId, EngineError> {
        let wrong = || EngineError::invalid(pointer, "write OBJECT/KEY, such as customer/customer_no:1");
        let (object, key) = key::split_subject(text).ok_or_else(wrong)?;
        Ok(self.get(caller, object, key).await?.id)
    }

    /// One run with its event, its trace, and the events that it appended.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let run = match self.listed_run(id).await? {
            ListedRun::Sound(run) => run,
            damaged @ ListedRun::Damaged(_) => return Ok(listed_to_json(&damaged)),
        };
        let mut json = run_to_json(&run);
        let trace = run.trace.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok());
        json["trace"] = trace.unwrap_or(Json::Null);
        let slices = self.inner.store.journal(run.id).await?;
        if run.status == RunStatus::Waiting
            && let Some(waiting) = Journal::read(&slices).ok().and_then(|j| j.waiting())
        {
            json["waits_in"] = json!({ "call": waiting.call, "for": waiting.request, "until": run.wake_at });
        }
        json["journal"] = journal_to_json(&slices);
        if let Some(event) = self.inner.store.event(run.position).await? {
            json["trigger"] = event_to_json(&event);
        }
        let query = rapport_store::EventQuery { run: Some(run.id), limit: 1_000, ..Default::default() };
        let appended = self.inner.store.events(&query).await?;
        json["events"] = appended.iter().map(|event| event_to_json(event)).collect();
        if run.status == RunStatus::Completed && self.inner.is_invoked(&run, None).await? {
            json["result"] = self.inner.result_of(run.id).await?;
        }
        json["effects"] = self.inner.effects_of(&run).await?.iter().map(effect_to_json).collect();
        json["undone_by"] = json!(self.inner.undo_of(run.id).await?.map(|undo| undo.id));
        Ok(json)
    }

    pub(crate) async fn find_run(&self, id: &str) -> Result<Arc<Run>, EngineError> {
        match self.listed_run(id).await? {
            ListedRun::Sound(run) => Ok(Arc::new(*run)),
            ListedRun::Damaged(damaged) => Err(EngineError::Conflict(damaged_text(&damaged))),
        }
    }

    async fn listed_run(&self, id: &str) -> Result<ListedRun, EngineError> {
        let missing = || EngineError::not_found(format!("run `{}`", id.chars().take(64).collect::<String>()));
        let id: RunId = id.parse().map_err(|_| missing())?;
        self.inner.store.listed_run(id).await?.ok_or_else(missing)
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

    /// How many runs there are in each state, of one automation or of all.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn run_totals(&self, caller: &Caller, automation: Option<&str>) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let counts = self.inner.store.run_counts();
        let meant = |count: &&RunCount| automation.is_none_or(|id| count.automation.as_str() == id);
        let total = |status| counts.iter().filter(meant).filter(|c| c.status == status).map(|c| c.count).sum::<u64>();
        Ok(RunStatus::ALL.map(|status| (status.as_str().to_owned(), Json::from(total(status)))).into_iter().collect())
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
            hooks_asked_total: self.inner.judged.asked.load(Ordering::Relaxed),
            hooks_refused_total: self.inner.judged.refused.load(Ordering::Relaxed),
            hooks_failed_total: self.inner.judged.failed.load(Ordering::Relaxed),
        }
    }
}
