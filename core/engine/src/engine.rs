//! The engine: joins store and sandbox, keeps the automations live, and drives the runs.
//!
//! [`Engine`] is a handle; its parts live in `Inner`. The store calls back through [`rapport_store::Hooks`] inside every
//! commit (which automations react?) and after it (these runs are waiting). Loops stand behind it, each thin around
//! a function that a test can call: the dispatcher starts slices for lanes that are ready, the timer wakes runs that are due,
//! the keepers of schedules and fan-outs start the runs of instants that have come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use rapport_model::{AutomationId, Clock, Digest, Event, FileRules, Limits, Record, Run, Timestamp};
use rapport_sandbox::Sandbox;
use rapport_store::{Hooks, Match, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::backtest::Backtests;
use crate::config::EngineConfig;
use crate::effects::transport::Transport;
use crate::effects::{self, Effects};
use crate::entropy::{Entropy, RunSecret};
use crate::error::EngineError;
use crate::execute;
use crate::fan_out::{self, FanOuts};
use crate::judges::JudgeCounters;
use crate::keys::KeyRing;
use crate::lanes::{Fetched, Item, Lanes};
use crate::load::OpenLoad;
use crate::locks::LockTable;
use crate::lookup::Lookup;
use crate::merged::Merged;
use crate::plugins::{Plugins, keep_migrating};
use crate::recent::Recent;
use crate::registry::{Snapshot, Version};
use crate::replay::Replay;
use crate::schedules::{self, Schedules};
use crate::segments::{self, Segments};
use crate::turns::Turns;
use crate::usage::Usages;
use crate::waits::Waits;
use crate::watchdog::Watchdog;
use crate::whole::Origins;
use crate::{invoked, merge, undo, undos, watchdog};

/// Runs held in memory at one time; more wait in the database.
const RUNS_QUEUED_MAX: usize = 50_000;
/// Runs fetched from the database in one go.
const FETCH_ROWS: u32 = 2_000;
/// How often due timers are looked at when nothing else says so.
const TIMER_TICK: Duration = Duration::from_millis(50);

/// How long timers are left alone when there was no room for all that are due.
const TIMER_REST: Duration = Duration::from_millis(5);

/// How long a run that was woken is left alone whose work panicked.
const PANIC_REST: Duration = Duration::from_secs(5);

/// How often the store forgets what has expired.
const TIDY_EVERY: Duration = Duration::from_hours(1);

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) slices: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) fuel: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) runs: AtomicU64,
}

/// The parts of an engine.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) secret: RunSecret,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) limits: Limits,
    pub(crate) files: Arc<FileRules>,
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) merged: Arc<Merged>,
    pub(crate) lanes: Lanes,
    pub(crate) waits: Waits,
    pub(crate) recent: Recent,
    pub(crate) effects: Effects,
    pub(crate) locks: Arc<LockTable>,
    pub(crate) turns: Turns,
    pub(crate) counters: Counters,
    pub(crate) usages: Arc<Usages>,
    pub(crate) judged: JudgeCounters,
    pub(crate) keys: KeyRing,
    pub(crate) load: RwLock<Option<OpenLoad>>,
    pub(crate) schedules: Schedules,
    pub(crate) fan_outs: FanOuts,
    pub(crate) segments: Segments,
    pub(crate) plugins: Plugins,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Versions by automation and digest: those live, and those that waiting runs started with.
    pub(crate) versions: Mutex<HashMap<(AutomationId, Digest), Arc<Version>>>,
    /// Set once, before anything is committed, in an engine that plays a recorded log again.
    pub(crate) replay: OnceLock<Arc<Replay>>,
    pub(crate) backtests: Backtests,
    /// Serialises changes of what is live.
    pub(crate) activating: tokio::sync::Mutex<()>,
    /// There is a new undo of many runs.
    pub(crate) undo_asked: Notify,
    pub(crate) undo_targets: undo::Targets,
    pub(crate) watchdog: Watchdog,
    pub(crate) origins: Origins,
    /// Serialises what operators do to runs.
    pub(crate) steering: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
    stop: Notify,
}

/// A handle to the engine of one workspace. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
    tasks: Arc<tokio::sync::Mutex<JoinSet<()>>>,
}

impl Engine {
    /// Starts the engine over `store`: loads the live automations and takes up the runs that wait.
    ///
    /// # Errors
    /// [`EngineError`] if the database cannot be read. An automation that does not load is logged and left out.
    pub async fn start(
        config: EngineConfig,
        store: Store,
        sandbox: Sandbox,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        let inner = Arc::new(Inner::of(config, store, sandbox, clock));
        inner.load_merged().await?;
        inner.load_plugins().await?;
        inner.load_active().await?;
        inner.reopen_load().await?;
        inner.load_schedules().await?;
        inner.load_fan_outs().await?;
        inner.begin_segments().await?;
        let hooks: Arc<dyn Hooks> = Arc::new(EngineHooks(Arc::downgrade(&inner)));
        inner.store.set_hooks(hooks);
        inner.lanes.expect_stored();
        inner.take_up_retries().await?;
        inner.take_up_waits().await?;
        inner.take_up_effects().await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(dispatch(inner.clone()));
        tasks.spawn(timers(inner.clone()));
        tasks.spawn(waits(inner.clone()));
        tasks.spawn(effects::keep(inner.clone()));
        tasks.spawn(schedules::keep(inner.clone()));
        tasks.spawn(fan_out::keep(inner.clone()));
        tasks.spawn(segments::keep(inner.clone()));
        tasks.spawn(undos::drive(inner.clone()));
        tasks.spawn(keep_migrating(inner.clone()));
        tasks.spawn(tidy(inner.clone()));
        tasks.spawn(watchdog::keep(inner.clone()));
        Ok(Self { inner, tasks: Arc::new(tokio::sync::Mutex::new(tasks)) })
    }

    /// A handle for the engine's own tasks: what it is dropped with goes on.
    pub(crate) fn of(inner: &Arc<Inner>) -> Self {
        Self { inner: inner.clone(), tasks: Arc::default() }
    }

    /// The store, for audits, backups and statistics.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The sandbox, for checks that need no workspace.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Which files may come in.
    #[must_use]
    pub fn file_rules(&self) -> &FileRules {
        &self.inner.files
    }

    /// Stops backtests and taking up runs, waits for the slices in flight, and closes the store. Nothing is lost: what waits is in the
    /// database.
    ///
    /// # Errors
    /// [`EngineError`] if the store could not be closed cleanly; what was acknowledged is durable all the same.
    pub async fn shutdown(&self) -> Result<(), EngineError> {
        self.inner.stopping.store(true, Ordering::SeqCst);
        self.inner.backtests.stop().await;
        self.inner.stop.notify_waiters();
        self.inner.lanes.wake.notify_one();
        self.inner.undo_asked.notify_one();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        self.inner.lanes.until(|load| load.running == 0).await;
        Ok(self.inner.store.clone().close().await?)
    }
}

impl Inner {
    /// The parts, with nothing in them.
    fn of(config: EngineConfig, store: Store, sandbox: Sandbox, clock: Arc<dyn Clock>) -> Self {
        let secret = config.secret.unwrap_or_else(|| RunSecret::new(*store.secret()));
        let usages = Arc::new(Usages::new(clock.clone(), config.limits.clone()));
        Self {
            store,
            sandbox,
            clock,
            entropy: config.entropy,
            secret,
            transport: config.transport,
            limits: config.limits,
            files: Arc::new(config.files),
            lookup: Arc::new(Lookup::new()),
            merged: Arc::default(),
            lanes: Lanes::new(RUNS_QUEUED_MAX),
            waits: Waits::default(),
            recent: Recent::default(),
            effects: Effects::default(),
            locks: Arc::default(),
            turns: Turns::default(),
            counters: Counters::default(),
            usages,
            judged: JudgeCounters::default(),
            keys: KeyRing::default(),
            load: RwLock::default(),
            schedules: Schedules::default(),
            fan_outs: FanOuts::default(),
            segments: Segments::default(),
            plugins: Plugins::default(),
            snapshot: ArcSwap::default(),
            versions: Mutex::default(),
            replay: OnceLock::new(),
            backtests: Backtests::default(),
            activating: tokio::sync::Mutex::default(),
            undo_asked: Notify::new(),
            undo_targets: undo::Targets::new(),
            watchdog: Watchdog::default(),
            origins: Origins::new(),
            steering: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits for `time`, or until the engine stops.
    pub(crate) async fn pause(&self, time: Duration) {
        let stopped = self.stop.notified();
        tokio::pin!(stopped);
        // Heard from here on: a stop between this look and the wait is not missed.
        stopped.as_mut().enable();
        if self.is_stopping() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = stopped => {}
        }
    }

    /// Whether history is being loaded: then an event's own time counts as now.
    pub(crate) fn is_loading(&self) -> bool {
        self.load.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The wait before a run is tried again after `attempt` failures: exponential, with full jitter.
    pub(crate) fn backoff_micros(&self, attempt: u16) -> i64 {
        let ceiling =
            self.limits.run_backoff_ms.saturating_mul(1 << attempt.min(20)).min(self.limits.run_backoff_ms_max);
        self.jitter(ceiling, Duration::ZERO)
    }

    /// A wait of up to `ceiling_ms`, drawn evenly, and not less than `least`; in microseconds.
    pub(crate) fn jitter(&self, ceiling_ms: u64, least: Duration) -> i64 {
        let mut random = [0; 8];
        self.entropy.fill(&mut random);
        let millis = u64::from_le_bytes(random) % ceiling_ms.max(1) + 1;
        let least = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
        i64::try_from(millis.max(least).saturating_mul(1_000)).unwrap_or(i64::MAX)
    }

    /// Keeps a run until it is due again.
    pub(crate) fn retry_later(&self, when: Timestamp, item: Item) {
        match self.replay.get() {
            // What was waited for has long happened.
            Some(replay) => replay.await_turn(std::iter::once(item)),
            None => self.lanes.sleep_until(when, item),
        }
    }

    async fn take_up_retries(&self) -> Result<(), EngineError> {
        for run in self.store.retrying_runs(u32::MAX).await? {
            let when = run.wake_at.unwrap_or(Timestamp::EPOCH);
            self.lanes.sleep_until(when, Item { run, event: None });
        }
        Ok(())
    }

    /// Fetches waiting runs from the database while memory has room for them.
    async fn fetch_missing(&self) -> Result<(), EngineError> {
        while let Some(after) = self.lanes.missing() {
            let runs = self.store.open_runs(after, FETCH_ROWS).await?;
            // A page may be short, since damaged rows are left out: only an empty one is the last.
            let all = if runs.is_empty() { Fetched::All } else { Fetched::Part };
            self.lanes.push_fetched(runs.into_iter().map(|run| Item { run, event: None }).collect(), all);
            if self.is_stopping() {
                break;
            }
        }
        Ok(())
    }
}

/// Starts a slice for every lane that is ready, as many at a time as the limits allow.
async fn dispatch(inner: Arc<Inner>) {
    let mut slices = JoinSet::new();
    while !inner.is_stopping() {
        if let Err(error) = inner.fetch_missing().await {
            tracing::warn!("waiting runs could not be fetched, trying again: {error}");
            inner.pause(Duration::from_millis(500)).await;
        }
        while slices.try_join_next().is_some() {}
        while slices.len() < inner.limits.slices_in_flight_max {
            let Some(item) = inner.lanes.pop() else { break };
            slices.spawn(run_one(inner.clone(), item));
        }
        if slices.len() >= inner.limits.slices_in_flight_max {
            slices.join_next().await;
        } else {
            inner.lanes.wake.notified().await;
        }
    }
    while slices.join_next().await.is_some() {}
}

/// Works on one run and frees its lane, even if the work panics.
async fn run_one(inner: Arc<Inner>, item: Item) {
    struct Free(Arc<Inner>, Arc<Run>);
    impl Drop for Free {
        fn drop(&mut self) {
            self.0.waits.leaves(self.1.id);
            self.0.lanes.done(&self.1);
            if std::thread::panicking() {
                let (inner, run) = (self.0.clone(), self.1.clone());
                tokio::spawn(async move {
                    inner.pause(PANIC_REST).await;
                    execute::moved(&inner, &run).await;
                });
            }
        }
    }
    let free = Free(inner.clone(), item.run.clone());
    match item.run.automation.as_str() {
        undo::UNDO => undo::work(&inner, item).await,
        merge::MERGE => merge::work(&inner, item).await,
        _ => execute::work(&inner, item).await,
    }
    drop(free);
}

/// Wakes runs that are due.
async fn timers(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        inner.lanes.wake_due(inner.clock.now());
        inner.pause(TIMER_TICK).await;
    }
}

/// Lets the store forget what has expired.
async fn tidy(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        if let Err(error) = inner.store.purge_expired(inner.clock.now()).await {
            tracing::warn!("what has expired stays for another hour: {error}");
        }
        if let Err(error) = inner.sweep_files().await {
            tracing::warn!("bytes of deleted files stay for another hour: {error}");
        }
        inner.pause(TIDY_EVERY).await;
    }
}

/// Wakes runs whose time or event has come.
async fn waits(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        // Where a log is played again, whoever plays it says when its runs are woken.
        let woken = if inner.replay.get().is_none() { inner.wake_waiting(inner.clock.now()).await } else { Ok(0) };
        if let Err(error) = woken {
            tracing::warn!("waiting runs could not be woken, trying again: {error}");
            inner.pause(Duration::from_millis(500)).await;
        }
        tokio::select! {
            () = inner.waits.wake.notified() => {}
            () = inner.pause(until_due(inner.waits.next(), inner.clock.now())) => {}
        }
    }
}

/// How long nobody is due: until `next`, but no longer than between two looks at the clock, which may be set.
fn until_due(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let ahead = next.map_or(0, |next| next.micros().saturating_sub(now.micros()));
    match u64::try_from(ahead) {
        Ok(micros) if micros > 0 => Duration::from_micros(micros).clamp(Duration::from_millis(1), TIMER_TICK),
        // There was no room for all that are due.
        _ if next.is_some() => TIMER_REST,
        // Nobody waits for an instant.
        _ => TIMER_TICK,
    }
}

/// What the store calls. Weak: the store must not keep the engine alive.
struct EngineHooks(std::sync::Weak<Inner>);

impl Hooks for EngineHooks {
    fn matches(&self, event: &Event, record: Option<&Record>) -> Vec<Match> {
        if let Some(own) =
            undo::started_by(event).or_else(|| merge::started_by(event)).or_else(|| invoked::started_by(event))
        {
            return vec![own];
        }
        self.0.upgrade().map(|inner| inner.snapshot.load().matches(event, record)).unwrap_or_default()
    }

    fn committed(&self, (events, quiet): (&[Arc<Event>], &[i64]), runs: &[Arc<Run>]) {
        let Some(inner) = self.0.upgrade() else { return };
        inner.counters.events.fetch_add(events.len() as u64, Ordering::Relaxed);
        inner.counters.runs.fetch_add(runs.len() as u64, Ordering::Relaxed);
        for (merged, survivor) in inner.merged.note(events) {
            inner.lanes.lead(merged, survivor);
            inner.store.join_histories(!inner.merged.is_empty());
        }
        inner.recent.note(events);
        inner.segments.note(inner.snapshot.load().segments(), events, quiet);
        match inner.replay.get() {
            Some(replay) => {
                replay.note(events);
                if events.iter().any(|event| replay.may_wake(event)) {
                    inner.waits.note(events);
                } else {
                    inner.waits.pass(events);
                }
            }
            None => inner.waits.note(events),
        }
        if runs.is_empty() {
            return;
        }
        // Both lists are in log order, and events are contiguous: a run's event is found by its position.
        let first = events.first().map_or(0, |e| e.position);
        let event_of = |run: &Run| usize::try_from(run.position - first).ok().and_then(|i| events.get(i)).cloned();
        let items = runs.iter().map(|run| Item { run: run.clone(), event: event_of(run) });
        match inner.replay.get() {
            Some(replay) => replay.await_turn(items),
            None => inner.lanes.push(items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_looked_at_when_the_next_run_is_due_and_never_without_a_rest() {
        let at = |micros| Timestamp::from_micros(micros);
        assert_eq!(until_due(Some(at(5_000)), at(0)), Duration::from_millis(5));
        assert_eq!(until_due(Some(at(10)), at(0)), Duration::from_millis(1));
        assert_eq!(until_due(Some(at(9_000_000)), at(0)), TIMER_TICK);
        assert_eq!(until_due(Some(at(0)), at(7)), TIMER_REST);
        assert_eq!(until_due(None, at(7)), TIMER_TICK);
    }
}
