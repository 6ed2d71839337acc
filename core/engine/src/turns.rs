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
pub(crate) struct Turns {
    all: Semaphore,
    /// Of them, those for guests that give way: half, so that others never wait for such ones alone.
    giving_way: Semaphore,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _turn: SemaphorePermit<'a>,
    _giving_way: Option<SemaphorePermit<'a>>,
}

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let all = (cores * PER_CORE).max(AT_LEAST);
        Self { all: Semaphore::new(all), giving_way: Semaphore::new(all / 2) }
    }
}

impl Turns {
    /// Waits for a turn, in the order in which they were asked for; one who gives way waits for others of the kind first.
    pub(crate) async fn take(&self, gives_way: bool) -> Turn<'_> {
        let giving_way =
            if gives_way { Some(self.giving_way.acquire().await.expect("nobody closes it")) } else { None };
        Turn { _turn: self.all.acquire().await.expect("nobody closes it"), _giving_way: giving_way }
    }
}
