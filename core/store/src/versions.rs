//! Reads of runs by the version of their automation.

use std::sync::Arc;

use rapport_model::{AutomationId, Digest, Run, RunId, RunStatus};

use crate::db::{Cell, DbError, Query};
use crate::error::StoreError;
use crate::store::Store;

/// The condition of the index `run_held`, word by word, so that it serves.
const HELD: &str = "status in ('retrying', 'waiting', 'paused')";
/// Served by `run_pending` and `run_held`.
const OPEN_BY_VERSION: &str = "select digest, status, count(*) from run where automation = $1 and status = 'pending' \
     group by digest, status union all \
     select digest, status, count(*) from run where automation = $1 and status in ('retrying', 'waiting', 'paused') \
     group by digest, status order by 1, 2";

/// How many runs of one version are in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRuns {
    /// The version.
    pub digest: Digest,
    /// The state; one of those in which a run is open.
    pub status: RunStatus,
    /// How many.
    pub count: u64,
}

impl Store {
    /// The runs of an automation that have begun and not ended (retrying, waiting, paused), in the order of their ids, after
    /// the run `after`; `limit` at most, fewer if rows are damaged.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn held_runs(
        &self,
        automation: &AutomationId,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Arc<Run>>, StoreError> {
        let mut cells = vec![Cell::text(automation.as_str())];
        let later = after.map_or("", |_| " and id > $2");
        cells.extend(after.map(|run| Cell::Id(run.0)));
        let rest = format!(" where automation = $1 and {HELD}{later} order by id limit {limit}");
        Ok(self.shared().sound_runs(&rest, cells).await?.into_iter().map(Arc::new).collect())
    }

    /// How many runs of an automation are open, by version and state.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn open_by_version(&self, automation: &AutomationId) -> Result<Vec<VersionRuns>, StoreError> {
        let query = Query::new(OPEN_BY_VERSION, vec![Cell::text(automation.as_str())]);
        let rows = self.shared().pool.fetch(query).await?;
        let mut found = Vec::new();
        for row in &rows {
            let status = row.text(1)?;
            let status = RunStatus::parse(&status)
                .ok_or_else(|| DbError::Other(format!("run: the status `{status}` is none that there is")))?;
            found.push(VersionRuns { digest: row.digest(0)?, status, count: row.int(2)?.unsigned_abs() });
        }
        Ok(found)
    }
}
