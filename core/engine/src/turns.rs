//! Turns: how many guests work at the same time.
//!
//! Slices in flight are many, since most of them wait for their commits. Guests that work are few: as many as keep the processors busy
//! while some of them read. More would only share them, until all together run into `limits.slice_wall_ms_max`.

use std::num::NonZero;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Guests that work at the same time, by processor, and at least.
const PER_CORE: usize = 4;
const AT_LEAST: usize = 8;

/// The turns of one engine.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(Semaphore::new((cores * PER_CORE).max(AT_LEAST)))
    }
}

impl Turns {
    /// Waits for a turn, in the order in which they were asked for; it lasts until it is dropped.
    pub(crate) async fn take(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect("nobody closes it")
    }
}
