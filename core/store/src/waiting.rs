//! Reads of runs that wait: their journals, what wakes them, when.

use std::sync::Arc;

use rapport_model::{EventType, Name, Run, RunId, Timestamp};

use crate::commit::WAIT_PLACES;
use crate::db::{Cell, DbError, Kind, Query, Row, RowStatement};
use crate::error::StoreError;
use crate::shared::Shared;
use crate::store::Store;
use crate::unit::WaitFor;

const SELECT_JOURNAL: &str = "select entries from journal where run = $1 order by slice";
const SELECT_LOCK: &str = "select version from named_lock where key = $1";
const NEXT_WAKE: &str = "select wake_at from run where status = 'waiting' and wake_at > $1 order by wake_at limit 1";
/// Served by `awaited_event`, whose leading columns these are.
const WAITED_FOR: &str = "select type, field, min(after) from awaited group by type, field order by type, field";
const IS_WAITED_FOR: &str = "select run from awaited where type = $1 limit 1";
const WAITING: &str =
    "select run, place, after from awaited where type = $1 and field = $2 and value = $3 order by run, place";

/// By the primary key.
const WAITS_OF: &str = "select run, type, field, value, after from awaited where run in (";

impl Store {
    /// What these runs wait for, of those that wait for events.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn waits_of(&self, runs: &[RunId]) -> Result<Vec<(RunId, WaitFor)>, StoreError> {
        let pool = &self.shared().pool;
        let cells = runs.iter().map(|run| Cell::Id(run.0)).collect();
        let mut found = Vec::new();
        for statement in
            RowStatement::new(WAITS_OF, ") order by run, place", &[Kind::Id]).statements(pool.dialect(), cells)
        {
            for row in pool.fetch(statement).await? {
                let damaged = |e: String| StoreError::Corrupt { what: "wait".into(), why: e };
                let kind = EventType::new(&row.text(1)?).map_err(|e| damaged(e.to_string()))?;
                let field = Name::new(&row.text(2)?).map_err(|e| damaged(e.to_string()))?;
                found.push((row.run_id(0)?, WaitFor { kind, field, value: row.text(3)?, after: row.int(4)? }));
            }
        }
        Ok(found)
    }

    /// The calls that the slices of a run made before it waited, slice by slice, as JSON text.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn journal(&self, run: RunId) -> Result<Vec<String>, StoreError> {
        let rows = self.shared().pool.fetch(Query::new(SELECT_JOURNAL, vec![Cell::Id(run.0)])).await?;
        Ok(rows.iter().map(|row| row.text(0)).collect::<Result<_, DbError>>()?)
    }

    /// How often the lock `key` has been taken. What its holders wrote is seen by reads after this.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn lock_version(&self, key: &str) -> Result<i64, StoreError> {
        let rows = self.shared().pool.fetch(Query::new(SELECT_LOCK, vec![Cell::text(key)])).await?;
        Ok(rows.first().map(|row| row.int(0)).transpose()?.unwrap_or(0))
    }

    /// Waiting runs whose time has come at `now`, the longest due first.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn due_runs(&self, now: Timestamp, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> {
        self.shared().due_runs(now, limit).await
    }

    /// Waiting runs that neither an instant nor an event nor an open call will wake.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn stranded_runs(&self, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> {
        self.shared().stranded_runs(limit).await
    }

    /// When the first waiting run is due that is due after `after`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn next_wake(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.shared().pool.fetch(Query::new(NEXT_WAKE, vec![Cell::Int(after.micros())])).await?;
        Ok(rows.first().map(|row| row.micros(0)).transpose()?)
    }

    /// The types of events that runs wait for, each with a field by which and the position after which the first of them waits.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn waited_for(&self) -> Result<Vec<(EventType, Name, i64)>, StoreError> {
        let rows = self.shared().pool.fetch(Query::new(WAITED_FOR, Vec::new())).await?;
        let read = |row: &Row| {
            let damaged = |e: String| StoreError::Corrupt { what: "wait".into(), why: e };
            let kind = EventType::new(&row.text(0)?).map_err(|e| damaged(e.to_string()))?;
            let field = Name::new(&row.text(1)?).map_err(|e| damaged(e.to_string()))?;
            Ok((kind, field, row.int(2)?))
        };
        rows.iter().map(read).collect()
    }

    /// Whether any run waits for events of the type `kind`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn is_waited_for(&self, kind: &EventType) -> Result<bool, StoreError> {
        Ok(!self.shared().pool.fetch(Query::new(IS_WAITED_FOR, vec![Cell::text(kind.as_str())])).await?.is_empty())
    }

    /// The runs that wait for an event of the type `kind` whose `field` has `value` (as JSON text): which of those that it waits for
    /// that is, and the position after which.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn waiting_for(
        &self,
        kind: &EventType,
        field: &Name,
        value: &str,
    ) -> Result<Vec<(RunId, i64, i64)>, StoreError> {
        let cells = vec![Cell::text(kind.as_str()), Cell::text(field.as_str()), Cell::text(value)];
        let rows = self.shared().pool.fetch(Query::new(WAITING, cells)).await?;
        let read = |row: &Row| Ok((row.run_id(0)?, row.int(1)? % WAIT_PLACES, row.int(2)?));
        Ok(rows.iter().map(read).collect::<Result<_, DbError>>()?)
    }
}

impl Shared {
    async fn stranded_runs(&self, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> {
        // Served by `run_waiting`, `awaited_pk` and `effect_run`.
        let rest = format!(
            " where status = 'waiting' and wake_at is null \
             and not exists (select 1 from awaited as a where a.run = run.id) \
             and not exists (select 1 from effect as e where e.run = run.id and e.channel = 'http' and e.status = 'pending') \
             order by id limit {limit}"
        );
        Ok(self.sound_runs(&rest, Vec::new()).await?.into_iter().map(Arc::new).collect())
    }

    async fn due_runs(&self, now: Timestamp, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> {
        let rest = format!(" where status = 'waiting' and wake_at <= $1 order by wake_at, id limit {limit}");
        Ok(self.sound_runs(&rest, vec![Cell::Int(now.micros())]).await?.into_iter().map(Arc::new).collect())
    }
}
