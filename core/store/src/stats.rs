//! What the store counts about itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of what the store counted since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Statements sent to the database by the committer.
    pub statements: u64,
    /// Rows written by the committer.
    pub rows: u64,
    /// Physical transactions committed.
    pub transactions: u64,
    /// Units committed.
    pub units: u64,
    /// Units refused.
    pub refused: u64,
    /// Groups that had to be done over with all constraints looked up beforehand.
    pub careful_groups: u64,
    /// Events appended.
    pub events: u64,
    /// Reads answered from memory.
    pub cache_hits: u64,
    /// Reads that had to ask the database.
    pub cache_misses: u64,
    /// Units that wait for the committer.
    pub queued: u64,
    /// Bytes of the database, as of the last checkpoint (SQLite) or the last look (PostgreSQL).
    pub database_bytes: u64,
}

/// The counters behind [`StoreStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) statements: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) units: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) careful_groups: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
    pub(crate) database_bytes: AtomicU64,
}

/// Adds to a counter. Counters order nothing, so the weakest ordering serves.
pub(crate) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn snapshot(&self, queued: usize) -> StoreStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            statements: get(&self.statements),
            rows: get(&self.rows),
            transactions: get(&self.transactions),
            units: get(&self.units),
            refused: get(&self.refused),
            careful_groups: get(&self.careful_groups),
            events: get(&self.events),
            cache_hits: get(&self.cache_hits),
            cache_misses: get(&self.cache_misses),
            queued: queued as u64,
            database_bytes: get(&self.database_bytes),
        }
    }
}
