//! Destinations: how many effects are on their way to each, and which are left alone since they fail.
//!
//! ```text
//! closed ──failures in a row──▶ open until … ──time──▶ one trial ─┬─ reached ▶ closed
//!                                  ▲                              └─ failed ─┐
//!                                  └──────────── twice as long ──────────────┘
//! ```

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rapport_model::{Limits, Timestamp};

/// Destinations remembered at one time; those that do well are forgotten first.
const KNOWN_MAX: usize = 10_000;
/// The longest that a circuit stays open, as a multiple of the first time.
const OPEN_FACTOR_MAX: u64 = 16;

/// How a destination does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitState {
    /// The destination.
    pub destination: String,
    /// Failures in a row.
    pub failures: u32,
    /// Until when it is left alone, if it is.
    pub open_until: Option<Timestamp>,
    /// Effects on their way to it.
    pub in_flight: usize,
}

#[derive(Debug, Default)]
struct Destination {
    in_flight: usize,
    failures: u32,
    open_until: Option<Timestamp>,
    /// How often it was opened in a row.
    opened: u32,
    /// One attempt tells whether it is back.
    trial: bool,
}

impl Destination {
    fn takes(&self, now: Timestamp, in_flight_max: usize) -> bool {
        match self.open_until {
            Some(until) => until <= now && !self.trial,
            None => self.in_flight < in_flight_max,
        }
    }
}

/// All destinations that are known.
#[derive(Debug, Default)]
pub(crate) struct Destinations(Mutex<BTreeMap<String, Destination>>);

/// Whether an attempt reached its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It did.
    Yes,
    /// It did not, or the destination says that it is not well.
    No,
    /// Nothing was attempted: that says nothing.
    Unknown,
}

/// The right to one attempt.
#[derive(Debug)]
pub(crate) struct Turn {
    destination: String,
    trial: bool,
}

impl Destinations {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Destination>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The destinations that take nothing at `now`.
    pub(crate) fn left_alone(&self, now: Timestamp, in_flight_max: usize) -> Vec<String> {
        self.with(|all| {
            all.iter().filter(|(_, known)| !known.takes(now, in_flight_max)).map(|(name, _)| name.clone()).collect()
        })
    }

    /// When the next destination that is left alone is to be tried.
    pub(crate) fn next_trial(&self, now: Timestamp) -> Option<Timestamp> {
        self.with(|all| all.values().filter_map(|known| known.open_until).filter(|until| *until > now).min())
    }

    /// Takes a turn at `destination`, if it takes one.
    pub(crate) fn enter(&self, destination: &str, now: Timestamp, in_flight_max: usize) -> Option<Turn> {
        self.with(|all| {
            if all.len() >= KNOWN_MAX {
                all.retain(|_, known| known.in_flight > 0 || known.failures > 0);
            }
            let known = all.entry(destination.to_owned()).or_default();
            if !known.takes(now, in_flight_max) {
                return None;
            }
            known.in_flight += 1;
            let trial = known.open_until.is_some();
            known.trial |= trial;
            Some(Turn { destination: destination.to_owned(), trial })
        })
    }

    /// Gives the turn back with what it showed.
    pub(crate) fn leave(&self, turn: Turn, reached: Reached, now: Timestamp, limits: &Limits) {
        let Turn { destination, trial } = turn;
        self.with(|all| {
            let Some(known) = all.get_mut(&destination) else { return };
            known.in_flight = known.in_flight.saturating_sub(1);
            if trial {
                known.trial = false;
            }
            match reached {
                Reached::Unknown => {}
                Reached::Yes => {
                    (known.failures, known.opened, known.open_until) = (0, 0, None);
                }
                Reached::No => {
                    known.failures = known.failures.saturating_add(1);
                    let was_open = known.open_until.is_some();
                    if known.failures >= limits.circuit_failures_max && (trial || !was_open) {
                        let factor = (1_u64 << known.opened.min(10)).min(OPEN_FACTOR_MAX);
                        let millis = limits.circuit_open_ms.saturating_mul(factor);
                        let micros = i64::try_from(millis.saturating_mul(1_000)).unwrap_or(i64::MAX);
                        known.open_until = Some(now.plus_micros(micros));
                        known.opened = known.opened.saturating_add(1);
                    }
                }
            }
        });
    }

    /// How the destinations do that have failures or something on its way.
    pub(crate) fn states(&self) -> Vec<CircuitState> {
        let shown = |(name, known): (&String, &Destination)| CircuitState {
            destination: name.clone(),
            failures: known.failures,
            open_until: known.open_until,
            in_flight: known.in_flight,
        };
        self.with(|all| all.iter().filter(|(_, d)| d.failures > 0 || d.in_flight > 0).map(shown).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: &str = "https://api.example";

    fn limits() -> Limits {
        Limits { circuit_failures_max: 2, circuit_open_ms: 1_000, ..Limits::default() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn fail(all: &Destinations, now: Timestamp) {
        let turn = all.enter(TO, now, 8).unwrap();
        all.leave(turn, Reached::No, now, &limits());
    }

    #[test]
    fn a_destination_takes_no_more_than_its_share_at_one_time() {
        let all = Destinations::default();
        let first = all.enter(TO, at(0), 1).unwrap();
        assert!(all.enter(TO, at(0), 1).is_none());
        assert_eq!(all.left_alone(at(0), 1), [TO]);
        all.leave(first, Reached::Yes, at(0), &limits());
        assert!(all.enter(TO, at(0), 1).is_some());
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_one_trial_closes_it() {
        let all = Destinations::default();
        fail(&all, at(0));
        fail(&all, at(0));
        assert!(all.enter(TO, at(0), 8).is_none(), "it is open");
        assert_eq!(all.next_trial(at(0)), Some(at(1)));
        let trial = all.enter(TO, at(1), 8).unwrap();
        assert!(all.enter(TO, at(1), 8).is_none(), "one alone tries");
        all.leave(trial, Reached::Yes, at(1), &limits());
        assert!(all.enter(TO, at(1), 8).is_some() && all.enter(TO, at(1), 8).is_some());
    }

    #[test]
    fn a_failed_trial_leaves_it_alone_for_twice_as_long() {
        let all = Destinations::default();
        fail(&all, at(0));
        fail(&all, at(0));
        fail(&all, at(1));
        assert!(all.enter(TO, at(2), 8).is_none());
        assert_eq!(all.next_trial(at(1)), Some(at(3)));
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let all = Destinations::default();
        fail(&all, at(0));
        let turn = all.enter(TO, at(0), 8).unwrap();
        all.leave(turn, Reached::Yes, at(0), &limits());
        fail(&all, at(0));
        assert!(all.enter(TO, at(0), 8).is_some());
    }
}
