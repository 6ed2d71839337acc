//! Which customers have the same keys: asked of the table that holds the keys of customers turned round.
//!
//! What keys there are the model says ([`rapport_model::match_key`]). Its rows are written in the commit of the record. Customers that were
//! there before the table was get theirs when the workspace is opened, some hundred in a commit of their own; how far they have come
//! stands beside them, so that a restart goes on there.

mod fill;
mod proof;

use rapport_model::{MatchKey, RecordId};

use crate::db::{Cell, Kind, Query, Row, RowStatement, Statement};
use crate::error::StoreError;
use crate::rule_sql::Dialect;
use crate::store::Store;

/// The columns of a row.
pub(crate) const KEY_KINDS: [Kind; 3] = [Kind::Text, Kind::Text, Kind::Id];
const PUT: &str = "insert into match_key (kind, key, id) ";
const PUT_END: &str = " on conflict (kind, key, id) do nothing";
/// These are served by the primary key, which is read from there on as far as the page goes.
const FIRST: &str = "select g.kind, g.key, g.id from match_key as g order by g.kind, g.key, g.id limit $1";
const FROM: &str = "select g.kind, g.key, g.id from match_key as g where (g.kind, g.key) >= ($1, $2) \
     order by g.kind, g.key, g.id limit $3";
const AFTER: &str = "select g.kind, g.key, g.id from match_key as g where (g.kind, g.key) > ($1, $2) \
     order by g.kind, g.key, g.id limit $3";
const HOLDERS: &str = "select g.id from match_key as g where g.kind = $1 and g.key = $2 order by g.id limit $3";
/// Reads as many rows of each key as it may have, and one more.
const CROWDED: &str = "select v.column1, v.column2 from (";
const CROWDED_END: &str = ") as v where (select g.id from match_key as g where g.kind = v.column1 and g.key = v.column2 \
     order by g.id limit 1 offset ";

/// Where a walk over the keys goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// At the first key.
    First,
    /// At this key.
    From(MatchKey),
    /// Behind this key.
    After(MatchKey),
}

/// The statements that write rows of keys.
pub(crate) fn put(cells: Vec<Cell>, dialect: Dialect) -> Vec<Statement> {
    RowStatement::new(PUT, PUT_END, &KEY_KINDS).writes(dialect, cells)
}

/// The row of a key of a record.
pub(crate) fn cells(key: &MatchKey, id: RecordId) -> [Cell; 3] {
    [Cell::text(key.kind.as_str()), Cell::text(&key.key), Cell::id(id)]
}

fn read(row: &Row) -> Result<MatchKey, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what: "match_key".into(), why };
    let kind = row.text(0)?.parse().map_err(|e: rapport_model::match_key::UnknownKind| corrupt(e.to_string()))?;
    Ok(MatchKey { kind, key: row.text(1)? })
}

impl Store {
    /// The keys with the records that have them, in the order of both, from `place` on, `limit` at most.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn match_keys(&self, place: &KeyPlace, limit: u32) -> Result<Vec<(MatchKey, RecordId)>, StoreError> {
        let (text, key) = match place {
            KeyPlace::First => (FIRST, None),
            KeyPlace::From(key) => (FROM, Some(key)),
            KeyPlace::After(key) => (AFTER, Some(key)),
        };
        let mut cells: Vec<Cell> =
            key.into_iter().flat_map(|key| [Cell::text(key.kind.as_str()), Cell::text(&key.key)]).collect();
        cells.push(Cell::Int(limit.into()));
        let rows = self.fetch(Query::new(text, cells)).await?;
        rows.iter().map(|row| Ok((read(row)?, row.record_id(2)?))).collect()
    }

    /// The first `limit` records that have a key.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn key_holders(&self, key: &MatchKey, limit: u32) -> Result<Vec<RecordId>, StoreError> {
        let cells = vec![Cell::text(key.kind.as_str()), Cell::text(&key.key), Cell::Int(limit.into())];
        let rows = self.fetch(Query::new(HOLDERS, cells)).await?;
        Ok(rows.iter().map(|row| row.record_id(0)).collect::<Result<_, _>>()?)
    }

    /// Those of `keys` that more than `most` records have.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn crowded_keys(&self, keys: &[MatchKey], most: u32) -> Result<Vec<MatchKey>, StoreError> {
        let cells = keys.iter().flat_map(|key| [Cell::text(key.kind.as_str()), Cell::text(&key.key)]).collect();
        let end = format!("{CROWDED_END}{most}) is not null");
        let pool = &self.shared().pool;
        let mut found = Vec::new();
        for statement in RowStatement::new(CROWDED, &end, &KEY_KINDS[..2]).statements(pool.dialect(), cells) {
            for row in pool.fetch(statement).await? {
                found.push(read(&row)?);
            }
        }
        Ok(found)
    }
}
