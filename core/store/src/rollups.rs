//! Holds roll-ups against their children, and answers what a slice must know of them.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::rollup::{Kept, Rollups, Total};
use rapport_model::{RecordId, Value};

use crate::commit::Work;
use crate::error::StoreError;
use crate::rollup_sql;
use crate::store::Store;

/// A record whose roll-up is not what its children say.
#[derive(Debug, Clone, PartialEq)]
pub struct RollupFault {
    /// The record.
    pub id: RecordId,
    /// What it has.
    pub kept: Value,
    /// What its children say. If both are the same, what is kept beside it is off.
    pub right: Value,
}

impl Store {
    /// The roll-ups of the registry as it stands.
    #[must_use]
    pub fn rollups(&self) -> Arc<Rollups> {
        self.shared().rollups(&self.schema())
    }

    /// The records, `limit` at most and in the order of their ids, whose roll-up is not what their children say: one query that goes
    /// through all of them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn rollup_faults(&self, kept: &Kept, limit: u32) -> Result<Vec<RollupFault>, StoreError> {
        let query = rollup_sql::faults(kept, limit, self.shared().pool.dialect())?;
        let mut faults = Vec::new();
        for row in self.fetch(query).await? {
            let (kept, right) = (row.value(1, &kept.kind)?, row.value(2, &kept.kind)?);
            faults.push(RollupFault { id: row.record_id(0)?, kept, right });
        }
        Ok(faults)
    }

    /// Makes roll-ups what their children say, one after another as they are given; says how many records each changed. Records get
    /// no new version by it, and nothing starts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; those before the one that failed are done.
    pub async fn mend_rollups(&self, which: Vec<Arc<Kept>>) -> Result<Vec<u64>, StoreError> {
        self.ask(|reply| Work::Mend { which, reply }).await
    }

    /// What there is in the database of the children of `parents`, without those in `without`; parents that have none are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn rollup_totals(
        &self,
        kept: &Kept,
        parents: &[RecordId],
        without: &[RecordId],
    ) -> Result<HashMap<RecordId, Total>, StoreError> {
        let dialect = self.shared().pool.dialect();
        let mut found = HashMap::new();
        for parents in parents.chunks(rollup_sql::PARENTS) {
            for row in self.fetch(rollup_sql::ask(kept, parents, without, dialect)?).await? {
                found.extend([rollup_sql::read_total(&row, kept, dialect)?]);
            }
        }
        Ok(found)
    }
}
