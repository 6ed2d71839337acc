//! The locks that slices took.

use std::collections::HashMap;

use rapport_model::Timestamp;

use crate::db::{Cell, Kind, RowStatement, Statement};
use crate::rule_sql::Dialect;

const TAKE: &str = "insert into named_lock (key, version, taken_at) ";
const TAKE_END: &str = " on conflict (key) do update set version = excluded.version, taken_at = excluded.taken_at";
const KINDS: [Kind; 3] = [Kind::Text, Kind::Int, Kind::Int];

/// The statements that note how often each lock has been taken.
pub(super) fn statements(taken: &HashMap<String, i64>, now: Timestamp, dialect: Dialect) -> Vec<Statement> {
    let mut keys: Vec<(&String, &i64)> = taken.iter().collect();
    keys.sort_unstable();
    let cells =
        keys.into_iter().flat_map(|(key, version)| [Cell::text(key), Cell::Int(*version), Cell::Int(now.micros())]);
    RowStatement::new(TAKE, TAKE_END, &KINDS).writes(dialect, cells.collect())
}
