//! Locks that slices take by name, so that what one of them writes, the next one reads.
//!
//! What makes a lock hold is its version: a slice reads it as it takes the lock, its commit moves it on, and a commit whose
//! slice has read an older one is a conflict (see `UnitOfWork::locks` in the store). The queue here only spares slices from
//! working in vain. A slice that finds a lock taken ends at once, waits for it outside of the sandbox, where no deadline runs,
//! and begins anew with all the locks that it is known to want.
//!
//! ```text
//! slice ─▶ lock(k) ─┬─ free ──▶ held ──▶ commit (k moves on) ─▶ let go
//!                   └─ taken ─▶ the slice ends ─▶ waits in the queue of k ─▶ slice again, holding k
//! ```
//! Several locks are waited for in their order while none is held, and none is held while lanes are waited for: so no two
//! slices wait for each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::limits::{LOCK_KEY_BYTES_MAX, LOCKS_PER_SLICE_MAX};
use rapport_sandbox::HostError;
use rapport_store::{Store, StoreError};
use tokio::sync::OwnedMutexGuard;

/// The code with which a slice ends that found a lock taken.
const LOCKED: &str = "locked";

type Queues = HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>;

/// The queues of all locks that are held or waited for at present.
#[derive(Debug, Default)]
pub(crate) struct LockTable {
    queues: Mutex<Queues>,
}

/// A lock that is held; let go on drop.
#[derive(Debug)]
struct Guard {
    table: Arc<LockTable>,
    key: Arc<str>,
    held: Option<OwnedMutexGuard<()>>,
}

/// The locks of one slice.
#[derive(Debug, Default)]
pub(crate) struct SliceLocks {
    table: Arc<LockTable>,
    held: BTreeMap<Arc<str>, Guard>,
    /// Those that the slice took, each with how often it had been taken before.
    taken: Vec<(String, i64)>,
    /// One that somebody else held.
    wanted: Option<Arc<str>>,
}

impl LockTable {
    fn with<T>(&self, work: impl FnOnce(&mut Queues) -> T) -> T {
        work(&mut self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn queue(&self, key: &Arc<str>) -> Arc<tokio::sync::Mutex<()>> {
        self.with(|queues| queues.entry(key.clone()).or_default().clone())
    }

    fn guard(self: &Arc<Self>, key: &Arc<str>, held: OwnedMutexGuard<()>) -> Guard {
        Guard { table: self.clone(), key: key.clone(), held: Some(held) }
    }

    /// Waits for all of `keys`, one after another in their order.
    pub(crate) async fn take(self: &Arc<Self>, keys: &BTreeSet<Arc<str>>) -> SliceLocks {
        let mut locks = SliceLocks { table: self.clone(), ..SliceLocks::default() };
        for key in keys {
            let held = self.queue(key).lock_owned().await;
            locks.held.insert(key.clone(), self.guard(key, held));
        }
        locks
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.held = None;
        self.table.with(|queues| {
            // Nobody else can come by it meanwhile: that takes the table.
            if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
                queues.remove(&self.key);
            }
        });
    }
}

impl SliceLocks {
    /// Takes the lock `key` for the slice.
    ///
    /// # Errors
    /// [`HostError`] for a key that is none, or one lock too many; one that ends the slice if somebody else holds it, or the
    /// database is away.
    pub(crate) async fn lock(&mut self, store: &Store, key: &str) -> Result<(), HostError> {
        if key.is_empty() || key.len() > LOCK_KEY_BYTES_MAX || key.contains('\0') {
            let message = format!("the key of a lock has 1 to {LOCK_KEY_BYTES_MAX} bytes without the character U+0000");
            return Err(HostError::permanent("invalid", message));
        }
        if self.taken.iter().any(|(known, _)| known == key) {
            return Ok(());
        }
        if self.taken.len() >= LOCKS_PER_SLICE_MAX {
            let message = format!("a slice takes at most {LOCKS_PER_SLICE_MAX} locks: take one that means them all");
            return Err(HostError::permanent("invalid", message));
        }
        let name: Arc<str> = key.into();
        if !self.held.contains_key(&name) {
            let Ok(held) = self.table.queue(&name).try_lock_owned() else {
                self.wanted = Some(name);
                return Err(HostError::ending(LOCKED, format!("another slice holds the lock `{key}`")));
            };
            self.held.insert(name.clone(), self.table.guard(&name, held));
        }
        // Read once the lock is held: whoever held it before has committed.
        let version = store.lock_version(key).await.map_err(away)?;
        self.taken.push((key.to_owned(), version));
        Ok(())
    }

    /// The locks that the slice wants, if it ended since somebody else held one.
    pub(crate) fn wanted(&self) -> Option<BTreeSet<Arc<str>>> {
        let wanted = self.wanted.clone()?;
        Some(self.held.keys().cloned().chain([wanted]).collect())
    }

    /// The locks that the slice took, for its commit.
    pub(crate) fn taken(&self) -> Vec<(String, i64)> {
        self.taken.clone()
    }
}

fn away(error: StoreError) -> HostError {
    let error = crate::error::EngineError::from(error);
    HostError::ending(error.code(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(all: &[&str]) -> BTreeSet<Arc<str>> {
        all.iter().map(|key| Arc::from(*key)).collect()
    }

    #[tokio::test]
    async fn a_lock_that_nobody_holds_takes_no_room() {
        let table = Arc::new(LockTable::default());
        let held = table.take(&keys(&["a", "b"])).await;
        let queue = table.queue(&"a".into());
        assert!(queue.try_lock_owned().is_err());
        drop(held);
        assert!(table.with(|queues| queues.is_empty()));
    }

    #[tokio::test]
    async fn many_who_want_the_same_locks_do_not_wait_for_each_other() {
        let table = Arc::new(LockTable::default());
        let work = |first: &'static str, second: &'static str| {
            let table = table.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    let held = table.take(&keys(&[first, second])).await;
                    tokio::task::yield_now().await;
                    drop(held);
                }
            })
        };
        let all = [work("a", "b"), work("b", "a"), work("b", "c"), work("c", "a")];
        for one in all {
            tokio::time::timeout(std::time::Duration::from_secs(20), one).await.unwrap().unwrap();
        }
        assert!(table.with(|queues| queues.is_empty()));
    }
}
