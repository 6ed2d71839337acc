//! Holds the keys in the table against those that the customers have.

use std::collections::{BTreeMap, BTreeSet};

use rapport_model::match_key::{self, MatchKey};
use rapport_model::{Name, RecordId, Timestamp};

use super::read;
use crate::db::{Cell, Query};
use crate::error::StoreError;
use crate::query::RecordQuery;
use crate::store::Store;

/// The most records that are looked at in one go: their keys are in memory meanwhile.
const ROWS_MAX: u32 = 500;
/// Served by the index `match_key_record`.
const KEYS_OF: &str = "select g.kind, g.key, g.id from match_key as g where true";

impl Store {
    /// Looks at customers behind `after`, `limit` at most: whether the keys by which they are found are those that they have.
    /// Gives how many it looked at, the last of them unless it came to the end, and the records of which it is not so. Looks at nothing
    /// as long as not all have got theirs ([`Store::match_keys_filled`]).
    ///
    /// What changes while it looks may be told as wrong: look again.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn prove_match_keys(
        &self,
        (after, limit, now): (Option<RecordId>, u32, Timestamp),
    ) -> Result<(u64, Option<RecordId>, Vec<RecordId>), StoreError> {
        if !self.match_keys_filled().await? {
            return Ok((0, None, Vec::new()));
        }
        let limit = limit.clamp(1, ROWS_MAX);
        let object = Name::new(match_key::OBJECT).map_err(|e| StoreError::Invalid(e.to_string()))?;
        let mut query = RecordQuery::new(object, now, limit);
        query.after = after.map(|id| (Vec::new(), id));
        let records = self.find(&query).await?;
        let last = records.last().map(|record| record.id).filter(|_| records.len() >= limit as usize);
        let (mut text, mut cells) = (KEYS_OF.to_owned(), Vec::new());
        for (bound, id) in [(" and g.id > $", after), (" and g.id <= $", last)] {
            let Some(id) = id else { continue };
            cells.push(Cell::id(id));
            text.push_str(bound);
            text.push_str(&cells.len().to_string());
        }
        let mut kept: BTreeMap<RecordId, BTreeSet<MatchKey>> = BTreeMap::new();
        for row in self.fetch(Query::new(&text, cells)).await? {
            kept.entry(row.record_id(2)?).or_default().insert(read(&row)?);
        }
        let mut wrong = Vec::new();
        for record in &records {
            let own: BTreeSet<MatchKey> = match_key::keys(record).into_iter().collect();
            if kept.remove(&record.id).unwrap_or_default() != own {
                wrong.push(record.id);
            }
        }
        // What is left are keys of records that are not there.
        wrong.extend(kept.into_keys());
        Ok((u64::try_from(records.len()).unwrap_or(u64::MAX), last, wrong))
    }
}
