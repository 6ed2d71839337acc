//! What plugins have used since the start, and which of them are left alone since they break down.
//!
//! ```text
//! closed ──traps in a row, within the window──▶ open until … ──time──▶ one probe ─┬─ it ends otherwise ▶ closed
//!                                                   ▲                             └─ it traps ─┐
//!                                                   └───────────── twice as long ──────────────┘
//! ```
//! A trap is what stops a guest by force: it broke down, or passed a limit or a budget. An error that it answers, or a call that is
//! refused, is none; a deadline opens nothing, since others may have been busy. All of it lives in memory: a new start begins with nothing counted and every circuit closed.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::{AutomationId, Clock, Limits, Timestamp};
use rapport_sandbox::{GuestFailure, SliceReport};
use serde_json::{Value as Json, json};

use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::journaled::WAITING;
use crate::plugins::State;
use crate::registry::{AutomationKind, Version};
use crate::trace::Trace;

/// The code of a run, and of a call, whose plugin is left alone for a while.
pub(crate) const RESTING: &str = "plugin_resting";
/// The longest that a circuit stays open, as a multiple of the first time.
const OPEN_FACTOR_MAX: u64 = 16;
/// How long runs wait that come while a probe is on its way.
const PROBE_MICROS: i64 = 1_000_000;
/// The codes of calls that are refused for want of a right.
const REFUSALS: [&str; 3] = ["denied", "not_granted", "readonly"];

/// What one plugin has used since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spending {
    /// How often it was called: slices, actions that only read, compensators.
    pub calls: u64,
    /// Fuel.
    pub fuel: u64,
    /// The most bytes of linear memory that one instance held at its end.
    pub memory_peak_bytes: u64,
    /// Microseconds in host calls that reach data, summed.
    pub host_micros: u64,
    /// Wall-clock microseconds, host calls included, summed.
    pub wall_micros: u64,
    /// How often it was stopped by force.
    pub traps: u64,
    /// How often a call of it was refused for want of a right.
    pub refusals: u64,
}

/// How a plugin that is installed does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginUsage {
    /// The plugin.
    pub plugin: AutomationId,
    /// What it has used.
    pub usage: Spending,
    /// Whether it is left alone.
    pub open: bool,
}

#[derive(Debug, Default)]
struct Known {
    usage: Spending,
    /// Traps in a row.
    traps: u32,
    last_trap: Option<Timestamp>,
    open_until: Option<Timestamp>,
    /// How often it was opened in a row.
    opened: u32,
    /// One call tells whether it is well again.
    probing: bool,
}

impl Known {
    /// Notes that the plugin trapped at `now`.
    fn trapped(&mut self, now: Timestamp, probe: bool, limits: &Limits) {
        let window = micros(limits.plugin_circuit_window_ms);
        let in_a_row = self.last_trap.is_some_and(|last| now <= last.plus_micros(window)) || self.open_until.is_some();
        self.traps = if in_a_row { self.traps.saturating_add(1) } else { 1 };
        self.last_trap = Some(now);
        let was_open = self.open_until.is_some();
        if probe || (!was_open && self.traps >= limits.plugin_circuit_traps_max) {
            let factor = (1_u64 << self.opened.min(10)).min(OPEN_FACTOR_MAX);
            self.open_until = Some(now.plus_micros(micros(limits.plugin_circuit_open_ms.saturating_mul(factor))));
            self.opened = self.opened.saturating_add(1);
        }
    }

    /// Notes that the plugin ended a call by itself. While it is left alone, only a probe tells.
    fn ended(&mut self, probe: bool) {
        if probe || self.open_until.is_none() {
            self.close();
        }
    }

    fn close(&mut self) {
        (self.traps, self.last_trap, self.open_until, self.opened) = (0, None, None, 0);
    }
}

/// What all plugins have used, and how they do.
#[derive(Debug)]
pub(crate) struct Usages {
    clock: Arc<dyn Clock>,
    limits: Limits,
    known: Mutex<HashMap<AutomationId, Known>>,
}

/// The right to one call of an automation; given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Set for a probe.
    probe: Option<(Arc<Usages>, AutomationId)>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some((usages, plugin)) = self.probe.take() {
            usages.with(&plugin, |known| known.probing = false);
        }
    }
}

impl Usages {
    pub(crate) fn new(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { clock, limits, known: Mutex::default() }
    }

    fn with<T>(&self, plugin: &AutomationId, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(plugin) {
            return work(known);
        }
        work(all.entry(plugin.clone()).or_default())
    }

    /// Admits one call of `plugin`.
    ///
    /// # Errors
    /// Until when it is left alone.
    pub(crate) fn enter(self: &Arc<Self>, plugin: &AutomationId) -> Result<Admission, Timestamp> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = all.get_mut(plugin) else { return Ok(Admission::default()) };
        let Some(until) = known.open_until else { return Ok(Admission::default()) };
        let now = self.clock.now();
        if until > now {
            return Err(until);
        }
        if known.probing {
            return Err(now.plus_micros(PROBE_MICROS));
        }
        known.probing = true;
        Ok(Admission { probe: Some((Arc::clone(self), plugin.clone())) })
    }

    /// Until when `plugin` is left alone, if it is. One whose time has come may be tried.
    pub(crate) fn rests(&self, plugin: &AutomationId) -> Option<Timestamp> {
        let now = self.clock.now();
        self.with(plugin, |known| known.open_until.filter(|until| *until > now))
    }

    /// Closes the circuit of `plugin`, and says whether it was open.
    pub(crate) fn reset(&self, plugin: &AutomationId) -> bool {
        self.with(plugin, |known| {
            let was_open = known.open_until.is_some();
            known.close();
            was_open
        })
    }

    /// Forgets what `plugin` has used.
    pub(crate) fn forget(&self, plugin: &AutomationId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(plugin);
    }

    /// Counts one call of `version` that was admitted so, if it is a plugin.
    pub(crate) fn note(&self, version: &Version, report: &SliceReport, (trace, admission): (&Trace, &Admission)) {
        if version.kind != AutomationKind::Plugin {
            return;
        }
        let (now, probe) = (self.clock.now(), admission.probe.is_some());
        self.with(&version.id, |known| {
            let usage = &mut known.usage;
            usage.calls += 1;
            usage.fuel = usage.fuel.saturating_add(report.fuel);
            usage.memory_peak_bytes = usage.memory_peak_bytes.max(report.memory_bytes as u64);
            usage.host_micros = usage.host_micros.saturating_add(trace.host_micros());
            usage.wall_micros = usage.wall_micros.saturating_add(report.micros);
            match &report.outcome {
                Err(failure) if is_trap(failure) => {
                    usage.traps += 1;
                    // A deadline may be the doing of a machine or a database that is busy.
                    if !failure.is_retryable() {
                        known.trapped(now, probe, &self.limits);
                    }
                }
                // That the database is away, or a lock is taken, says nothing of the plugin.
                Err(GuestFailure::Ended { code, .. }) if code != WAITING => {
                    usage.refusals += u64::from(REFUSALS.contains(&code.as_str()));
                }
                _ => known.ended(probe),
            }
        });
    }

    /// What `plugin` has used, and its circuit.
    fn of(&self, plugin: &AutomationId) -> (Spending, Json) {
        let now = self.clock.now();
        self.with(plugin, |known| {
            let state = match known.open_until {
                None => "closed",
                Some(until) if until > now => "open",
                Some(_) => "half-open",
            };
            let circuit = json!({ "state": state, "traps_in_a_row": known.traps, "open_until": known.open_until });
            (known.usage, circuit)
        })
    }
}

/// Whether the guest was stopped by force.
const fn is_trap(failure: &GuestFailure) -> bool {
    !matches!(failure, GuestFailure::Failed { .. } | GuestFailure::Ended { .. })
}

fn micros(millis: u64) -> i64 {
    i64::try_from(millis.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

impl Inner {
    /// Counts one call of `version` that was admitted so.
    pub(crate) fn count(&self, version: &Version, report: &SliceReport, (trace, admission): (&Trace, &Admission)) {
        self.counters.fuel.fetch_add(report.fuel, Ordering::Relaxed);
        self.usages.note(version, report, (trace, admission));
    }

    /// Why `plugin` is not called before `until`.
    pub(crate) fn resting(&self, plugin: &AutomationId, until: Timestamp) -> EngineError {
        let ahead = until.micros().saturating_sub(self.clock.now().micros()).max(0);
        let seconds = u64::try_from(ahead).unwrap_or(0).div_ceil(1_000_000).max(1);
        EngineError::Resting { plugin: plugin.clone(), until, seconds }
    }

    /// Closes the circuit of the plugin `id` if it is open, and lets its runs that wait go on at once; says how many.
    pub(crate) fn wake_resting(&self, id: &str) -> Option<usize> {
        let id = AutomationId::new(id).ok().filter(|id| self.usages.reset(id))?;
        Some(self.lanes.wake_all(&id))
    }

    /// Admits one call of the automation `id`. Where a log is played again, each call is made that was made then.
    ///
    /// # Errors
    /// Until when it is left alone.
    pub(crate) fn admit(&self, id: &AutomationId) -> Result<Admission, Timestamp> {
        if self.replay.get().is_some() { Ok(Admission::default()) } else { self.usages.enter(id) }
    }

    /// What a plugin has used and how it does, put beside what else is shown of it.
    pub(crate) fn with_usage(&self, plugin: &AutomationId, mut shown: Json) -> Json {
        let (usage, circuit) = self.usages.of(plugin);
        shown["usage"] = json!({
            "calls": usage.calls,
            "fuel": usage.fuel,
            "memory_peak_bytes": usage.memory_peak_bytes,
            "host_micros": usage.host_micros,
            "wall_micros": usage.wall_micros,
            "traps": usage.traps,
            "refusals": usage.refusals,
        });
        shown["circuit"] = circuit;
        shown
    }

    /// The plugins that are installed: from packages, and from the operator's folder.
    fn installed_plugins(&self) -> Vec<AutomationId> {
        let packed = self.plugins.all().into_iter().filter(|plugin| plugin.state != State::Uninstalled);
        let mut all: Vec<AutomationId> = packed.map(|plugin| plugin.name.clone()).collect();
        let live = self.snapshot.load();
        all.extend(live.active().iter().filter(|v| v.kind == AutomationKind::Plugin).map(|v| v.id.clone()));
        all.sort();
        all.dedup();
        all
    }
}

impl Engine {
    /// What the installed plugins have used since the start, in the order of their names.
    #[must_use]
    pub fn plugin_usage(&self) -> Vec<PluginUsage> {
        let shown = |plugin: AutomationId| {
            let (usage, circuit) = self.inner.usages.of(&plugin);
            PluginUsage { plugin, usage, open: circuit["state"] != "closed" }
        };
        self.inner.installed_plugins().into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use rapport_model::time::SetClock;

    use super::*;

    fn usages() -> (Arc<SetClock>, Arc<Usages>, AutomationId) {
        let clock = Arc::new(SetClock::at(Timestamp::EPOCH));
        let limits = Limits {
            plugin_circuit_traps_max: 2,
            plugin_circuit_window_ms: 5_000,
            plugin_circuit_open_ms: 1_000,
            ..Limits::default()
        };
        (clock.clone(), Arc::new(Usages::new(clock, limits)), AutomationId::new("till").unwrap())
    }

    fn trap(usages: &Arc<Usages>, plugin: &AutomationId) {
        let admission = usages.enter(plugin).unwrap();
        let now = usages.clock.now();
        usages.with(plugin, |known| known.trapped(now, admission.probe.is_some(), &usages.limits));
    }

    fn at(clock: &SetClock, millis: i64) -> Timestamp {
        let now = Timestamp::from_micros(millis * 1_000);
        clock.set(now);
        now
    }

    #[test]
    fn traps_in_a_row_open_it_and_a_probe_closes_it() {
        let (clock, usages, till) = usages();
        trap(&usages, &till);
        trap(&usages, &till);
        assert_eq!(usages.enter(&till).unwrap_err(), Timestamp::from_micros(1_000_000));
        at(&clock, 1_000);
        let probe = usages.enter(&till).unwrap();
        assert_eq!(usages.enter(&till).unwrap_err(), Timestamp::from_micros(2_000_000), "one alone tries");
        usages.with(&till, |known| known.ended(probe.probe.is_some()));
        drop(probe);
        assert!(usages.enter(&till).is_ok() && usages.rests(&till).is_none());
    }

    #[test]
    fn a_probe_that_traps_leaves_it_alone_for_twice_as_long_and_no_longer_than_sixteen_times() {
        let (clock, usages, till) = usages();
        trap(&usages, &till);
        trap(&usages, &till);
        let mut now = Timestamp::EPOCH;
        for seconds in [1, 2, 4, 8, 16, 16] {
            let until = usages.rests(&till).unwrap();
            assert_eq!(until, now.plus_micros(seconds * 1_000_000));
            now = until;
            clock.set(now);
            trap(&usages, &till);
        }
    }

    #[test]
    fn traps_far_apart_or_with_something_between_them_open_nothing() {
        let (clock, usages, till) = usages();
        for millis in [0, 6_000, 12_000] {
            at(&clock, millis);
            trap(&usages, &till);
        }
        usages.with(&till, |known| known.ended(false));
        trap(&usages, &till);
        assert!(usages.enter(&till).is_ok());
        trap(&usages, &till);
        assert!(usages.enter(&till).is_err());
        assert!(usages.reset(&till) && usages.enter(&till).is_ok());
    }

    #[test]
    fn a_probe_of_which_nothing_came_leaves_the_next_one_to_try() {
        let (clock, usages, till) = usages();
        trap(&usages, &till);
        trap(&usages, &till);
        at(&clock, 1_000);
        drop(usages.enter(&till).unwrap());
        assert!(usages.enter(&till).unwrap().probe.is_some());
    }
}
