//! Holds the words in the table against those that the records have.

use std::collections::HashMap;

use rapport_model::{Name, Record, RecordId, Timestamp};

use super::terms;
use crate::db::{Cell, Query};
use crate::error::StoreError;
use crate::query::RecordQuery;
use crate::store::Store;

/// A record that is not found by the words that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFault {
    /// The record; it may be gone.
    pub id: RecordId,
    /// What is wrong.
    pub why: String,
}

/// The most records that are looked at in one go: their words are in memory meanwhile.
const ROWS_MAX: u32 = 500;
/// Walks through the words of the object.
const TERMS: &str = "select s.id, s.field, s.term, s.hits, s.length from search_term as s where s.object = $1";

/// How often a term stands in a field, and how long that is.
type Terms = HashMap<(String, String), (i64, i64)>;

fn right(record: &Record) -> Terms {
    let mut all = HashMap::new();
    for (place, field) in record.object.searchable_fields() {
        let (counts, length) = terms(record.at(place).as_text());
        all.extend(counts.into_iter().map(|(term, count)| ((field.name.to_string(), term), (count, length))));
    }
    all
}

impl Store {
    /// Looks at records of `object` behind `after`, `limit` at most: whether the words by which they are found are those that they have.
    /// Gives how many it looked at, the last of them unless it came to the end, and what is wrong.
    ///
    /// What changes while it looks may be told as wrong: look again.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn prove_search(
        &self,
        object: &Name,
        (after, limit, now): (Option<RecordId>, u32, Timestamp),
    ) -> Result<(u64, Option<RecordId>, Vec<IndexFault>), StoreError> {
        let limit = limit.clamp(1, ROWS_MAX);
        let mut query = RecordQuery::new(object.clone(), now, limit);
        query.after = after.map(|id| (Vec::new(), id));
        let records = self.find(&query).await?;
        let last = records.last().map(|record| record.id).filter(|_| records.len() >= limit as usize);
        let (mut text, mut cells) = (TERMS.to_owned(), vec![Cell::text(object.as_str())]);
        for (bound, id) in [(" and s.id > $", after), (" and s.id <= $", last)] {
            let Some(id) = id else { continue };
            cells.push(Cell::id(id));
            text.push_str(bound);
            text.push_str(&cells.len().to_string());
        }
        let mut kept: HashMap<RecordId, Terms> = HashMap::new();
        for row in self.fetch(Query::new(&text, cells)).await? {
            kept.entry(row.record_id(0)?).or_default().insert((row.text(1)?, row.text(2)?), (row.int(3)?, row.int(4)?));
        }
        let mut faults = Vec::new();
        for record in &records {
            let (right, found) = (right(record), kept.remove(&record.id).unwrap_or_default());
            let missing = right.iter().filter(|(place, count)| found.get(*place) != Some(*count)).count();
            let stray = found.keys().filter(|place| !right.contains_key(*place)).count();
            if missing + stray > 0 {
                let why = format!("{missing} words are missing or miscounted, {stray} are not its own");
                faults.push(IndexFault { id: record.id, why });
            }
        }
        let gone = kept.into_iter().map(|(id, terms)| IndexFault {
            id,
            why: format!("{} words are there of a record that is not", terms.len()),
        });
        faults.extend(gone);
        Ok((u64::try_from(records.len()).unwrap_or(u64::MAX), last, faults))
    }
}
