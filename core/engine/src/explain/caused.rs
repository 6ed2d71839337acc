//! What came of a run or an event: the events that it appended, the runs that these started, and so on, within limits.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{Event, Run};
use rapport_store::{EventQuery, RunQuery};
use serde_json::{Value as Json, json};

use super::Explainer;
use crate::error::EngineError;

/// The most events of one run, and runs of one event, that are shown.
const SHOWN_OF_ONE: usize = 20;
/// The most events and runs shown in all.
const SHOWN_IN_ALL: usize = 200;
/// How many runs deep the tree goes.
const LEVELS: usize = 5;

/// The items that are shown, and how many more there are.
#[derive(Debug, Default)]
pub(super) struct Caused {
    pub(super) items: Vec<Json>,
    pub(super) more: usize,
}

/// What may still be shown.
#[derive(Debug, Clone, Copy)]
struct Room {
    levels: usize,
    shown: usize,
}

impl Explainer<'_> {
    /// The events that `run` appended, each with the runs that it started.
    pub(super) async fn caused_by_run(&mut self, run: &Run) -> Result<Caused, EngineError> {
        let mut room = Room { levels: LEVELS, shown: SHOWN_IN_ALL };
        self.changed(run, &mut room).await
    }

    /// The runs that the event at `position` started, each with what came of it.
    pub(super) async fn started_by_event(&mut self, position: i64) -> Result<Caused, EngineError> {
        let query = RunQuery { position: Some(position), limit: PAGE_ROWS_MAX, ..RunQuery::default() };
        let mut runs = self.store.runs(&query).await?;
        runs.reverse();
        let mut room = Room { levels: LEVELS, shown: SHOWN_IN_ALL };
        self.started(runs, &mut room).await
    }

    async fn changed(&mut self, run: &Run, room: &mut Room) -> Result<Caused, EngineError> {
        let query = EventQuery { run: Some(run.id), limit: PAGE_ROWS_MAX, ..EventQuery::default() };
        let mut events = self.store.events(&query).await?;
        if events.is_empty() {
            return Ok(Caused::default());
        }
        let more = events.len().saturating_sub(SHOWN_OF_ONE.min(room.shown));
        events.truncate(SHOWN_OF_ONE.min(room.shown));
        room.shown -= events.len();
        let mut started = self.runs_by_position(run).await?;
        let mut items = Vec::with_capacity(events.len());
        for event in &events {
            let runs = started.remove(&event.position).unwrap_or_default();
            items.push(self.event_with_runs(event, runs, room).await?);
        }
        Ok(Caused { items, more })
    }

    /// The runs that the events of `run` started, oldest first, by the positions of these events.
    async fn runs_by_position(&self, run: &Run) -> Result<HashMap<i64, Vec<Run>>, EngineError> {
        let query = RunQuery { caused_by: Some(run.id), limit: PAGE_ROWS_MAX, ..RunQuery::default() };
        let mut started: HashMap<i64, Vec<Run>> = HashMap::new();
        for run in self.store.runs(&query).await?.into_iter().rev() {
            started.entry(run.position).or_default().push(run);
        }
        Ok(started)
    }

    async fn event_with_runs(
        &mut self,
        event: &Arc<Event>,
        runs: Vec<Run>,
        room: &mut Room,
    ) -> Result<Json, EngineError> {
        let mut json = self.step(event).await?;
        let started = Box::pin(self.started(runs, room)).await?;
        json["started"] = started.items.into();
        json["started_more"] = started.more.into();
        Ok(json)
    }

    async fn started(&mut self, mut runs: Vec<Run>, room: &mut Room) -> Result<Caused, EngineError> {
        let fit = if room.levels == 0 { 0 } else { SHOWN_OF_ONE.min(room.shown) };
        let more = runs.len().saturating_sub(fit);
        runs.truncate(fit);
        room.shown -= runs.len();
        room.levels = room.levels.saturating_sub(1);
        let mut items = Vec::with_capacity(runs.len());
        for run in &runs {
            let brief = self.run_brief(run).await?;
            let changed = Box::pin(self.changed(run, room)).await?;
            items.push(json!({ "run": brief, "changed": changed.items, "changed_more": changed.more }));
        }
        room.levels += 1;
        Ok(Caused { items, more })
    }
}
