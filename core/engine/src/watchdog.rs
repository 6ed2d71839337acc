//! The watchdog: looks after invariants that nothing else would notice if they broke, and reports what it finds.
//!
//! ```text
//! tick(now): each check goes on where it stopped, some rows further ─▶ what is new is logged ─▶ gauges
//! look at once: each check from its beginning to its end ──────────────▶ report
//! ```
//! It reads alone: it mends nothing, and holds up nobody. A check is one entry of [`checks::CHECKS`].

mod automations;
mod checks;
mod match_keys;
mod rollups;
mod runs;
mod tags;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rapport_model::Timestamp;
use serde::Serialize;

use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};

/// How often the watchdog looks by itself.
const TICK: Duration = Duration::from_mins(5);
/// Rows that a check looks at in one read.
const PAGE_ROWS: u32 = 5_000;
/// Rows that a check looks at in one tick; it goes on from there in the next.
const TICK_ROWS_MAX: u64 = 50_000;
/// Findings of a check that are kept; of more the number is.
const FINDINGS_KEPT_MAX: usize = 100;

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `run 01a2…`. One thing is found once by a check.
    pub about: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Its name.
    pub check: &'static str,
    /// The invariant, in words.
    pub about: &'static str,
    /// How many things it looked at.
    pub looked_at: u64,
    /// What it found, the first hundred.
    pub findings: Vec<Finding>,
    /// How many more it found.
    pub more: u64,
    /// Why it could not look to the end.
    pub failed: Option<String>,
}

/// What all checks have found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchReport {
    /// When they looked.
    pub at: Timestamp,
    /// Whether nothing was found, and all looked to the end.
    pub ok: bool,
    /// What each of them found.
    pub checks: Vec<CheckReport>,
}

/// An invariant, and how to look after it. To add one: write its function, and add an entry to [`checks::CHECKS`].
pub(crate) struct Check {
    /// Its name, for gauges and reports.
    pub(crate) name: &'static str,
    /// The invariant, in words.
    pub(crate) about: &'static str,
    /// It looks by itself at each so many ticks.
    pub(crate) every: u64,
    /// Looks at a page.
    pub(crate) look: for<'a> fn(&'a Inner, Look) -> BoxFuture<'a, Result<Page, EngineError>>,
}

/// What a check looks at.
pub(crate) struct Look {
    pub(crate) now: Timestamp,
    /// Where the page before ended.
    pub(crate) after: Place,
    /// The most rows to look at.
    pub(crate) rows: u32,
}

/// Where a check stands: which of its parts, and after what in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) part: usize,
    pub(crate) position: i64,
    pub(crate) text: String,
}

/// What a check found in a page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) looked_at: u64,
    pub(crate) findings: Vec<Finding>,
    /// Where it goes on; none: it has looked at everything.
    pub(crate) next: Option<Place>,
}

/// What the watchdog knows.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    state: Mutex<State>,
    /// One at a time looks.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    ticks: u64,
    last_at: Option<Timestamp>,
    sweeps: BTreeMap<&'static str, Sweep>,
    /// What has been logged, and was found again since.
    known: HashSet<(&'static str, String)>,
}

/// A check on its way through everything.
#[derive(Debug, Clone, Default)]
struct Sweep {
    place: Place,
    looked_at: u64,
    found: Vec<Finding>,
    more: u64,
    /// What the sweep before found.
    before: (Vec<Finding>, u64),
    failed: Option<String>,
}

impl Sweep {
    fn take(&mut self, page: Page) -> bool {
        self.looked_at += page.looked_at;
        for finding in page.findings {
            if self.found.len() < FINDINGS_KEPT_MAX {
                self.found.push(finding);
            } else {
                self.more += 1;
            }
        }
        let done = page.next.is_none();
        self.place = page.next.unwrap_or_default();
        done
    }

    /// Ends the sweep: the next begins from the beginning.
    fn end(&mut self) {
        self.before = (std::mem::take(&mut self.found), std::mem::take(&mut self.more));
        self.looked_at = 0;
    }

    /// What is known to be wrong: what this sweep has found so far, and what the one before found.
    fn known(&self) -> u64 {
        let found: HashSet<&str> = self.found.iter().chain(&self.before.0).map(|f| f.about.as_str()).collect();
        found.len() as u64 + self.more.max(self.before.1)
    }
}

impl Watchdog {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs what was not known before, and forgets what is gone.
    fn log(&self, found: &[(&'static str, Finding)]) {
        let now: HashSet<(&'static str, String)> = found.iter().map(|(c, f)| (*c, f.about.clone())).collect();
        self.with(|state| {
            for (check, finding) in found {
                if !state.known.contains(&(*check, finding.about.clone())) {
                    tracing::error!(
                        watchdog.check = check,
                        "the watchdog found: {}: {}; {}",
                        finding.about,
                        finding.what,
                        finding.remedy
                    );
                }
            }
            state.known = now;
        });
    }
}

/// What the gauges of the watchdog show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSummary {
    /// When it last looked; none: not since the start.
    pub last_at: Option<Timestamp>,
    /// How much each check has found.
    pub findings: Vec<(&'static str, u64)>,
}

impl Engine {
    /// Looks after all invariants at once, from beginning to end.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]. A check that cannot look, since the database is away, says so in the report.
    pub async fn watch(&self, caller: &Caller) -> Result<WatchReport, EngineError> {
        caller.everywhere(Act::Admin)?;
        Ok(self.inner.look_at_all(self.inner.clock.now()).await)
    }

    /// Lets the watchdog go on as it does by itself every few minutes, some rows for each check; says what it has found so far.
    pub async fn tick_watchdog(&self, now: Timestamp) -> WatchSummary {
        self.inner.tick_watchdog(now).await;
        self.watch_summary()
    }

    /// What the watchdog has found so far. Cheap.
    #[must_use]
    pub fn watch_summary(&self) -> WatchSummary {
        self.inner.watchdog.with(|state| {
            let count = |check: &Check| (check.name, state.sweeps.get(check.name).map_or(0, Sweep::known));
            WatchSummary { last_at: state.last_at, findings: checks::CHECKS.iter().map(count).collect() }
        })
    }
}

impl Inner {
    /// Lets each check whose turn it is go on for some rows, and logs what is new.
    pub(crate) async fn tick_watchdog(&self, now: Timestamp) {
        let _turn = self.watchdog.turn.lock().await;
        let tick = self.watchdog.with(|state| {
            state.ticks += 1;
            state.ticks
        });
        for check in checks::CHECKS.iter().filter(|check| tick.is_multiple_of(check.every)) {
            let mut sweep = self.watchdog.with(|state| state.sweeps.remove(check.name)).unwrap_or_default();
            let done = self.go_on(check, &mut sweep, (now, TICK_ROWS_MAX)).await;
            if done {
                sweep.end();
            }
            self.watchdog.with(|state| state.sweeps.insert(check.name, sweep));
        }
        self.looked(now);
    }

    async fn look_at_all(&self, now: Timestamp) -> WatchReport {
        let _turn = self.watchdog.turn.lock().await;
        let mut reports = Vec::with_capacity(checks::CHECKS.len());
        for check in checks::CHECKS {
            let mut sweep = Sweep::default();
            self.go_on(check, &mut sweep, (now, u64::MAX)).await;
            reports.push(CheckReport {
                check: check.name,
                about: check.about,
                looked_at: sweep.looked_at,
                findings: sweep.found.clone(),
                more: sweep.more,
                failed: sweep.failed.clone(),
            });
            sweep.end();
            self.watchdog.with(|state| state.sweeps.insert(check.name, sweep));
        }
        self.looked(now);
        let ok = reports.iter().all(|report| report.findings.is_empty() && report.failed.is_none());
        WatchReport { at: now, ok, checks: reports }
    }

    /// Looks at some more rows; says whether the sweep has come to its end.
    async fn go_on(&self, check: &Check, sweep: &mut Sweep, (now, rows_max): (Timestamp, u64)) -> bool {
        let mut rows = 0;
        sweep.failed = None;
        while rows < rows_max && !self.is_stopping() {
            let look = Look { now, after: sweep.place.clone(), rows: PAGE_ROWS };
            match (check.look)(self, look).await {
                Ok(page) => {
                    rows += page.looked_at.max(1);
                    if sweep.take(page) {
                        return true;
                    }
                }
                Err(error) => {
                    tracing::warn!("the watchdog could not look after {}: {error}", check.name);
                    sweep.failed = Some(error.to_string());
                    return false;
                }
            }
            tokio::task::yield_now().await;
        }
        false
    }

    /// Notes when it looked, and logs what is new.
    fn looked(&self, now: Timestamp) {
        let found = self.watchdog.with(|state| {
            state.last_at = Some(now);
            let all = state.sweeps.iter().flat_map(|(check, sweep)| {
                sweep.found.iter().chain(&sweep.before.0).map(|finding| (*check, finding.clone()))
            });
            all.collect::<Vec<_>>()
        });
        self.watchdog.log(&found);
    }
}

/// Looks every few minutes.
pub(crate) async fn keep(inner: Arc<Inner>) {
    loop {
        inner.pause(TICK).await;
        if inner.is_stopping() {
            return;
        }
        inner.tick_watchdog(inner.clock.now()).await;
    }
}
