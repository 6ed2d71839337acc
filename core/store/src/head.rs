//! Where the log stands: the row that every commit moves.
//!
//! On PostgreSQL each commit first locks this row and so numbers events in the order in which they become visible: positions
//! have no gaps and no reader can see a later one before an earlier one. That makes the separate sealer with a lease of
//! design.md 3 needless: the row is the lease, held for one transaction, and what it orders is sealed in the same commit.

use std::collections::BTreeMap;

use rapport_model::{AutomationId, Digest, RunStatus};
use serde_json::{Map, Value as Json};

use crate::db::{Conn, Query, Row};
use crate::error::StoreError;
use crate::query::RunCount;

/// How many runs are in which state.
pub(crate) type RunCounts = BTreeMap<(AutomationId, &'static str), u64>;

/// Where the log stands.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) position: i64,
    pub(crate) hash: Digest,
    /// How many physical transactions there were.
    pub(crate) commits: i64,
    pub(crate) run_counts: RunCounts,
}

impl Head {
    /// Whether both stand at the same transaction of the same log.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        self.commits == other.commits && self.position == other.position && self.hash == other.hash
    }
}

const SELECT_HEAD: &str = "select position, hash, commits, run_counts from log_head where id = 1";
const LOCK_HEAD: &str = "select position, hash, commits, run_counts from log_head where id = 1 for update";

fn read(rows: &[Row]) -> Result<Head, StoreError> {
    let missing = || StoreError::Corrupt { what: "log_head".into(), why: "its row is missing".into() };
    let row = rows.first().ok_or_else(missing)?;
    let run_counts = read_counts(&row.text(3)?)
        .ok_or_else(|| StoreError::Corrupt { what: "log_head".into(), why: "its run counts do not read".into() })?;
    Ok(Head { position: row.int(0)?, hash: row.digest(1)?, commits: row.int(2)?, run_counts })
}

/// Reads where the log stands.
pub(crate) async fn load(conn: &mut Conn) -> Result<Head, StoreError> {
    read(&conn.fetch(Query::new(SELECT_HEAD, Vec::new())).await?)
}

/// Reads where the log stands, and keeps others from moving it until the transaction ends. PostgreSQL alone.
pub(crate) async fn lock(conn: &mut Conn) -> Result<Head, StoreError> {
    read(&conn.fetch(Query::new(LOCK_HEAD, Vec::new())).await?)
}

/// Counts as `{"points": {"completed": 3}}`.
pub(crate) fn write_counts(counts: &RunCounts) -> String {
    let mut all = Map::new();
    for ((automation, status), count) in counts.iter().filter(|(_, n)| **n > 0) {
        let entry = all.entry(automation.to_string()).or_insert_with(|| Json::Object(Map::new()));
        if let Json::Object(map) = entry {
            map.insert((*status).to_owned(), (*count).into());
        }
    }
    Json::Object(all).to_string()
}

fn read_counts(text: &str) -> Option<RunCounts> {
    let all: BTreeMap<AutomationId, BTreeMap<String, u64>> = serde_json::from_str(text).ok()?;
    let mut counts = RunCounts::new();
    for (automation, by_status) in all {
        for (status, count) in by_status {
            counts.insert((automation.clone(), RunStatus::parse(&status)?.as_str()), count);
        }
    }
    Some(counts)
}

/// The counts as their readers want them.
pub(crate) fn list_counts(counts: &RunCounts) -> Vec<RunCount> {
    let known = counts.iter().filter(|(_, count)| **count > 0).filter_map(|((automation, status), count)| {
        Some(RunCount { automation: automation.clone(), status: RunStatus::parse(status)?, count: *count })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_back_as_they_were_written() {
        let points = AutomationId::new("loyalty/points").unwrap();
        let mut counts = RunCounts::new();
        counts.insert((points.clone(), "pending"), 2);
        counts.insert((points, "dead"), 1);
        assert_eq!(read_counts(&write_counts(&counts)), Some(counts));
        assert_eq!(read_counts("{\"points\":{\"lost\":1}}"), None);
        assert_eq!(read_counts("nonsense"), None);
    }

    #[test]
    fn states_without_runs_are_not_listed() {
        let mut counts = RunCounts::new();
        counts.insert((AutomationId::new("points").unwrap(), "pending"), 0);
        assert!(list_counts(&counts).is_empty());
        assert_eq!(write_counts(&counts), "{}");
    }
}
