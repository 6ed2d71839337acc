//! The wasmtime engine: which features there are, how instances are allocated, and the ticker that makes guests yield.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rapport_model::Limits;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::SandboxError;

/// How often a guest that computes gives way to others.
const TICK: Duration = Duration::from_millis(1);
/// How many ticks the ticker goes on after the last slice, so that a busy sandbox need not wake it each time.
const IDLE_TICKS: u32 = 200;
/// The stack that host calls may use beyond the guest's own: they are polled on the same fiber.
const HOST_STACK_BYTES: usize = 1 << 20;
/// Core instances, memories and tables of one component at most: a component of a Rust library has three, one and two.
const PARTS_PER_COMPONENT_MAX: u32 = 16;

/// The engine and its ticker. The ticker's thread ends with it.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    /// Whether instances come from a pool that was reserved at start.
    pub(crate) pooled: bool,
    ticker: Arc<Ticker>,
    thread: Option<JoinHandle<()>>,
}

struct Ticker {
    active: AtomicU32,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

/// Keeps the ticker awake while a slice runs.
pub(crate) struct Ticking<'a>(&'a Ticker);

impl Runtime {
    /// Starts an engine for `instances` instances at one time. Where the address space is too small for a pool, instances
    /// are allocated one by one, which is slower.
    ///
    /// # Errors
    /// [`SandboxError::Start`] if the machine can run no guest at all.
    pub(crate) fn start(limits: &Limits, instances: u32) -> Result<Self, SandboxError> {
        let mut config = base_config(limits);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, instances)));
        let (engine, pooled) = match Engine::new(&config) {
            Ok(engine) => (engine, true),
            Err(why) => {
                tracing::warn!(error = %why, "no pool of instances: the address space is too small; calls will be slower");
                (Engine::new(&frugal_config(limits)).map_err(|e| SandboxError::Start(e.to_string()))?, false)
            }
        };
        Self::tick(engine, pooled)
    }

    /// Starts an engine that allocates instances one by one, in little address space.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub(crate) fn start_frugal(limits: &Limits) -> Result<Self, SandboxError> {
        let engine = Engine::new(&frugal_config(limits)).map_err(|e| SandboxError::Start(e.to_string()))?;
        Self::tick(engine, false)
    }

    fn tick(engine: Engine, pooled: bool) -> Result<Self, SandboxError> {
        let ticker = Arc::new(Ticker {
            active: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let (shared, ticked) = (Arc::clone(&ticker), engine.clone());
        let thread = thread::Builder::new()
            .name("rapport-ticker".into())
            .spawn(move || shared.run(&ticked))
            .map_err(|e| SandboxError::Start(e.to_string()))?;
        Ok(Self { engine, pooled, ticker, thread: Some(thread) })
    }

    /// Makes sure that guests are made to yield until the result is dropped.
    pub(crate) fn ticking(&self) -> Ticking<'_> {
        self.ticker.active.fetch_add(1, Ordering::SeqCst);
        if self.ticker.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Ticking(&self.ticker)
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.ticker.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread only sleeps and counts; it cannot have panicked.
            let _ = thread.join();
        }
    }
}

impl Ticker {
    fn run(&self, engine: &Engine) {
        let mut idle = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            if self.active.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS {
                self.sleep();
                idle = 0;
            } else {
                thread::sleep(TICK);
            }
            engine.increment_epoch();
        }
    }

    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        // Looked at again after saying so: a slice that began in between has seen no reason to wake anyone.
        while self.active.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// What every guest has, and what none has: no threads, no garbage collector, no async of its own, one NaN.
fn base_config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .max_wasm_stack(limits.slice_stack_bytes_max)
        .async_stack_size(limits.slice_stack_bytes_max.saturating_add(HOST_STACK_BYTES))
        .wasm_backtrace_max_frames(None);
    config
}

/// For machines whose address space holds no pool: memories start small and may move.
fn frugal_config(limits: &Limits) -> Config {
    let mut config = base_config(limits);
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(1 << 20)
        .memory_reservation_for_growth(4 << 20)
        .memory_guard_size(64 << 10)
        .memory_may_move(true);
    config
}

fn pool(limits: &Limits, instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(PARTS_PER_COMPONENT_MAX))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances)
        .max_core_instances_per_component(PARTS_PER_COMPONENT_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(4)
        .max_tables_per_module(4)
        .max_memories_per_module(1)
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(1 << 20)
        .max_memory_size(limits.slice_memory_bytes_max)
        .table_elements(limits.slice_table_elements_max)
        .max_unused_warm_slots(instances.min(16));
    // Where the kernel tells which pages a guest touched, only those are reset, and stay mapped for the next guest.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto).linear_memory_keep_resident(2 << 20).table_keep_resident(64 << 10);
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticker_sleeps_when_idle_and_wakes_for_a_slice() {
        let runtime = Runtime::start_frugal(&Limits::default()).unwrap();
        let asleep = || runtime.ticker.asleep.load(Ordering::SeqCst);
        let wait_until = |wanted: bool| {
            for _ in 0..5_000 {
                if asleep() == wanted {
                    return true;
                }
                thread::sleep(Duration::from_millis(1));
            }
            false
        };
        assert!(wait_until(true));
        let ticking = runtime.ticking();
        assert!(wait_until(false));
        drop(ticking);
        assert!(wait_until(true));
    }

    #[test]
    fn a_pool_that_cannot_be_reserved_is_done_without() {
        // More instances than any address space holds memories for.
        let runtime = Runtime::start(&Limits::default(), 4_000_000).unwrap();
        assert!(!runtime.pooled);
    }
}
