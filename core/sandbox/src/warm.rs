//! Interpreter instances that have a script loaded and wait for its next slice.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::guest::Living;

/// The calls after which an instance is replaced: what a script leaves behind in memory does not pile up.
const CALLS_MAX: u32 = 10_000;

/// An instance with its script.
pub(crate) struct Warm {
    pub(crate) living: Living,
    pub(crate) calls: u32,
}

/// The waiting instances of all scripts, the one used last at the end.
pub(crate) struct Pool {
    waiting: Mutex<VecDeque<(u64, Warm)>>,
    per_script_max: usize,
    total_max: usize,
    memory_bytes_max: usize,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(per_script_max: usize, total_max: usize, memory_bytes_max: usize) -> Self {
        Self { waiting: Mutex::new(VecDeque::new()), per_script_max, total_max, memory_bytes_max }
    }

    /// An instance of `script`, the one used last.
    pub(crate) fn take(&self, script: u64) -> Option<Warm> {
        let mut waiting = self.lock();
        let at = waiting.iter().rposition(|(s, _)| *s == script)?;
        waiting.remove(at).map(|(_, warm)| warm)
    }

    /// Keeps an instance that has ended a slice whole, unless it is worn or there are enough of its script. Beyond the
    /// total, the one that has waited longest goes.
    pub(crate) fn put(&self, script: u64, warm: Warm) {
        if warm.calls >= CALLS_MAX || warm.living.store.data().memory_bytes() > self.memory_bytes_max {
            return;
        }
        // Instances are dropped outside the lock: that gives memory back to the system and may take a while.
        let mut too_many = None;
        {
            let mut waiting = self.lock();
            if waiting.iter().filter(|(s, _)| *s == script).count() >= self.per_script_max {
                too_many = Some((script, warm));
            } else {
                waiting.push_back((script, warm));
                if waiting.len() > self.total_max {
                    too_many = waiting.pop_front();
                }
            }
        }
        drop(too_many);
    }

    /// Drops what waits for `script`, which is gone.
    pub(crate) fn forget(&self, script: u64) {
        let mut gone = Vec::new();
        let mut waiting = self.lock();
        for entry in std::mem::take(&mut *waiting) {
            if entry.0 == script { gone.push(entry) } else { waiting.push_back(entry) }
        }
        drop(waiting);
        drop(gone);
    }

    /// How many instances wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Warm)>> {
        // Nothing in here panics while it holds the lock, and the list is whole between any two of its steps.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
