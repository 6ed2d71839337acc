//! Holds roll-ups against their children, and answers what a slice must know of them.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::rollup::{Kept, Rollups, Total};
use rapport_model::{Name, Record, RecordId, Timestamp, Value};

use crate::commit::Work;
use crate::error::StoreError;
use crate::query::RecordQuery;
use crate::rollup_sql;
use crate::store::Store;

/// The most records that are looked at in one go.
const ROWS_MAX: u32 = 500;

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
    pub async fn rollup_faults(&self, kept: &Arc<Kept>, limit: u32) -> Result<Vec<RollupFault>, StoreError> {
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

    /// Looks at records of `object` behind `after`, `limit` at most: whether their roll-ups are what their children say. Gives how many
    /// it looked at, the last of them unless it came to the end, and what is off, by the name of the roll-up.
    ///
    /// What seems to be off is looked at twice, so that a change meanwhile is hardly ever told as wrong.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn prove_rollups(
        &self,
        object: &Name,
        (after, limit, now): (Option<RecordId>, u32, Timestamp),
    ) -> Result<(u64, Option<RecordId>, Vec<(Name, RollupFault)>), StoreError> {
        let mut query = RecordQuery::new(object.clone(), now, limit.clamp(1, ROWS_MAX));
        query.after = after.map(|id| (Vec::new(), id));
        let records = self.find(&query).await?;
        let last = records.last().map(|record| record.id).filter(|_| records.len() >= query.limit as usize);
        let mut off = self.off(object, &records).await?;
        if !off.is_empty() {
            let ids: Vec<RecordId> = off.iter().map(|(_, fault)| fault.id).collect();
            let again = self.records(object, &ids).await?;
            off = self.off(object, &again.into_iter().flatten().collect::<Vec<_>>()).await?;
        }
        Ok((u64::try_from(records.len()).unwrap_or(u64::MAX), last, off))
    }

    /// Which roll-ups of these records are not what their children say.
    async fn off(&self, object: &Name, records: &[Arc<Record>]) -> Result<Vec<(Name, RollupFault)>, StoreError> {
        let ids: Vec<RecordId> = records.iter().map(|record| record.id).collect();
        let mut off = Vec::new();
        for kept in self.rollups().of(object) {
            let totals = self.rollup_totals(kept, &ids, &[]).await?;
            for record in records {
                let total = totals.get(&record.id).cloned().unwrap_or_default();
                let right = kept.settled(&record.object, &total);
                if right.iter().any(|(place, value)| record.at(*place) != value) {
                    let value = right.into_iter().next().map(|(_, value)| value).unwrap_or_default();
                    let fault =
                        RollupFault { id: record.id, kept: record.get(kept.name.as_str()).clone(), right: value };
                    off.push((kept.name.clone(), fault));
                }
            }
        }
        Ok(off)
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
