//! Moves what SQLite's write-ahead log holds into the database file.
//!
//! The writer does it itself, between groups: no other connection ever does, since a checkpoint that races a commit on another
//! connection has lost commits before (SQLite up to 3.51.2), and since one that runs inside a commit would make that commit
//! slow. It never waits for readers; what a long reader keeps from being moved is moved later.

use std::sync::atomic::Ordering;

use super::Committer;
use crate::db::Query;
use crate::rule_sql::Dialect;

/// Groups between two looks at the log's length.
const LOOK_EVERY: u64 = 16;
/// The pages of the log from which on it is moved: 16 MiB.
const PAGES_MAX: i64 = 4_096;

impl Committer {
    /// Looks now and then whether the log is long, and moves it into the file.
    pub(super) async fn checkpoint_if_due(&mut self) {
        let transactions = self.shared.counters.transactions.load(Ordering::Relaxed);
        if self.conn.dialect() != Dialect::Sqlite || transactions < self.checkpoint_at {
            return;
        }
        self.checkpoint_at = transactions + LOOK_EVERY;
        let rows = self.conn.fetch(Query::new("pragma wal_checkpoint(noop)", Vec::new())).await;
        // The columns are: busy, pages in the log, pages of them moved.
        let waiting = rows.ok().and_then(|rows| Some(rows.first()?.int(1).ok()? - rows.first()?.int(2).ok()?));
        if waiting.is_some_and(|pages| pages >= PAGES_MAX) {
            self.checkpoint("passive").await;
        }
    }

    async fn checkpoint(&mut self, mode: &str) {
        let done = self.conn.fetch(Query::new(&format!("pragma wal_checkpoint({mode})"), Vec::new())).await;
        if let Err(error) = done {
            // What is in the log is durable; a disk without room for the file shows at the next commit as well.
            tracing::warn!("checkpoint: {error}");
        }
        let pages = self.conn.fetch(Query::new("pragma page_count", Vec::new())).await;
        if let Some(pages) = pages.ok().and_then(|rows| rows.first()?.int(0).ok()) {
            let bytes = u64::try_from(pages).unwrap_or(0) * 4_096;
            self.shared.counters.database_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// Closes all connections; on SQLite nothing is left in the log. Then another process may open the workspace.
    pub(super) async fn finish(mut self) {
        self.shared.pool.close().await;
        if self.conn.dialect() == Dialect::Sqlite && self.shared.fatal.borrow().is_none() {
            self.checkpoint("truncate").await;
        }
        if let Err(error) = self.conn.close().await {
            tracing::warn!("the database did not close: {error}");
        }
        drop(self.lock);
    }
}
