//! What a timeline of a record is read from, page by page: the rest of its lane, and what events started.

use std::sync::Arc;

use rapport_model::{Effect, Event, RecordId, Run, RunId};

use crate::db::{Cell, Kind, Query, RowStatement};
use crate::effects;
use crate::error::StoreError;
use crate::log::{EVENT_COLUMNS, RUN_COLUMNS, read_event, read_run, with_body};
use crate::store::Store;

impl Store {
    /// The events of a lane about other records than the lane itself, before the position `before`, newest first, `limit` at most.
    ///
    /// Served by the index `event_lane`, of which no more is read than is given.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn lane_events(&self, lane: RecordId, before: i64, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        let text = format!(
            "select {EVENT_COLUMNS} from event where lane = $1 and lane is not null \
             and (subject_id is null or lane <> subject_id) and position < $2 order by position desc limit {limit}"
        );
        let rows = self.fetch(Query::new(&text, vec![Cell::id(lane), Cell::Int(before)])).await?;
        self.shared().settled().await;
        let schema = self.shared().schema.load_full();
        rows.iter().map(|row| Ok(Arc::new(with_body(read_event(row)?, &schema)?))).collect()
    }

    /// The runs that the events at these positions started, by position and automation.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn runs_of_events(&self, positions: &[i64]) -> Result<Vec<Run>, StoreError> {
        let cells = positions.iter().map(|position| Cell::Int(*position)).collect();
        let head = format!("select {RUN_COLUMNS} from run where position in (");
        let mut runs = Vec::new();
        for statement in RowStatement::new(&head, ")", &[Kind::Int]).statements(self.shared().pool.dialect(), cells) {
            for row in self.shared().pool.fetch(statement).await? {
                runs.push(read_run(&row)?);
            }
        }
        runs.sort_by(|a: &Run, b| a.position.cmp(&b.position).then(a.automation.cmp(&b.automation)));
        Ok(runs)
    }

    /// What these runs asked for to be sent, in the order in which they asked.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn effects_of_runs(&self, runs: &[RunId]) -> Result<Vec<Effect>, StoreError> {
        let cells = runs.iter().map(|run| Cell::Id(run.0)).collect();
        let head = format!("select {} from effect where run in (", effects::COLUMNS);
        let mut found = Vec::new();
        for statement in RowStatement::new(&head, ")", &[Kind::Id]).statements(self.shared().pool.dialect(), cells) {
            for row in self.shared().pool.fetch(statement).await? {
                found.push(effects::read(&row)?);
            }
        }
        found.sort_by(|a: &Effect, b| a.run.cmp(&b.run).then(a.call.cmp(&b.call)));
        Ok(found)
    }
}
