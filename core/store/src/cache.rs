//! Records in memory: written through by the committer, filled by readers, bounded by count.
//!
//! The committer trusts what it finds here, so nothing stale may ever get in. A reader notes a ticket before it asks the
//! database, and what it read gets in only if no commit has become visible since: the committer changes the ticket and the
//! records in one step.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use quick_cache::sync::Cache;
use rapport_model::{Name, Record, RecordId};

/// A moment between two commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Records in memory.
#[derive(Debug)]
pub(crate) struct RecordCache {
    records: Cache<RecordId, Arc<Record>>,
    /// Counts commits. Its lock orders fills and commits.
    commits: Mutex<u64>,
}

impl RecordCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { records: Cache::new(capacity.max(1)), commits: Mutex::new(0) }
    }

    /// The record, if it is in memory.
    pub(crate) fn get(&self, object: &Name, id: RecordId) -> Option<Arc<Record>> {
        self.records.get(&id).filter(|record| record.object.name == *object)
    }

    /// A ticket for what is read from the database after this.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(*self.commits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what was read since `ticket`, unless a commit came between.
    pub(crate) fn fill(&self, ticket: Ticket, records: &[Arc<Record>]) {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        if Ticket(*commits) == ticket {
            for record in records {
                self.records.insert(record.id, record.clone());
            }
        }
    }

    /// Makes a commit visible: each record as it is now, `None` for deleted ones.
    pub(crate) fn commit<'a>(&self, changes: impl Iterator<Item = (RecordId, Option<&'a Arc<Record>>)>) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        *commits += 1;
        for (id, record) in changes {
            match record {
                Some(record) => self.records.insert(id, record.clone()),
                None => drop(self.records.remove(&id)),
            }
        }
    }

    /// Forgets everything, since objects have changed or another process has written.
    pub(crate) fn clear(&self) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        *commits += 1;
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use rapport_model::{Timestamp, standard};

    use super::*;

    fn record(version: i64) -> Arc<Record> {
        let object = Arc::new(standard::objects().remove(0));
        let id = RecordId::from_parts(0, [1; 10]);
        let (created_at, updated_at) = (Timestamp::EPOCH, Timestamp::EPOCH);
        Arc::new(Record { object, id, version, created_at, updated_at, values: Vec::new() })
    }

    fn version(cache: &RecordCache) -> Option<i64> {
        let known = record(0);
        cache.get(&known.object.name, known.id).map(|r| r.version)
    }

    #[test]
    fn what_was_read_before_a_commit_does_not_get_in_after_it() {
        let cache = RecordCache::new(10);
        let ticket = cache.ticket();
        cache.commit([(record(2).id, Some(&record(2)))].into_iter());
        cache.fill(ticket, &[record(1)]);
        assert_eq!(version(&cache), Some(2));
        cache.commit([(record(2).id, None)].into_iter());
        cache.fill(ticket, &[record(1)]);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn what_was_read_between_commits_is_kept() {
        let cache = RecordCache::new(10);
        let ticket = cache.ticket();
        cache.fill(ticket, &[record(3)]);
        assert_eq!(version(&cache), Some(3));
        cache.clear();
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_record_is_found_under_its_own_object_only() {
        let cache = RecordCache::new(10);
        cache.fill(cache.ticket(), &[record(1)]);
        assert!(cache.get(&Name::new("customer").unwrap(), record(1).id).is_none());
    }
}
