//! Schedules: what a script or plugin declares about time, and which instants are due.
//!
//! Pure: the instants that are due at a moment are a function of the declaration, of the instant that was next, and of now.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cron::Cron;
use crate::fan_out::Each;
use crate::limits::{MISFIRE_RUNS_MAX, SCHEDULES_PER_AUTOMATION_MAX};
use crate::time::Timestamp;
use crate::zone::Zone;

/// The type of the event that says that an instant of a schedule has come. It comes from the core alone.
pub const DUE: &str = "schedule.due";
/// The system object that keeps where each schedule stands.
pub const OBJECT: &str = "schedule";
/// An instant that is seen later than this is missed: the server was down, or the clock was set.
const MISSED_AFTER_MICROS: i64 = 60 * 1_000_000;

/// What happens to instants at which the server was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Misfire {
    /// They are left out.
    Skip,
    /// One run, for the latest of them, makes up for all.
    #[default]
    Once,
    /// Each has its run, in order, the latest 100 at most.
    All,
}

/// What happens to an instant that comes while a run of the same schedule is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is left out, and counted.
    #[default]
    Skip,
    /// Its run works beside the other.
    Allow,
    /// Its run queues on the lane of the schedule: their slices never overlap. One that waits for another try gives the lane free.
    Queue,
}

/// A schedule as an automation declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDef {
    /// When.
    pub cron: Cron,
    /// By whose wall clock.
    pub zone: Zone,
    /// What happens to missed instants.
    #[serde(default)]
    pub misfire: Misfire,
    /// What happens to instants that come while a run is open.
    #[serde(default)]
    pub overlap: Overlap,
    /// Not one run, but one for each of these records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Each>,
}

impl ScheduleDef {
    /// The instants that are to run at `now`, in order, where `next_at` is the first that has not been dealt with.
    ///
    /// All are from `next_at` to `now`, so that a clock that steps back makes none due again.
    #[must_use]
    pub fn due(&self, next_at: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let before = next_at.plus_micros(-1);
        match self.misfire {
            _ if next_at > now => Vec::new(),
            Misfire::Skip => {
                let fresh = now.plus_micros(-MISSED_AFTER_MICROS - 1);
                self.cron.last_between(&self.zone, (before.max(fresh), now), MISFIRE_RUNS_MAX)
            }
            Misfire::Once => self.cron.last_between(&self.zone, (before, now), 1),
            Misfire::All => self.cron.last_between(&self.zone, (before, now), MISFIRE_RUNS_MAX),
        }
    }

    /// The instant after all that are due at `now`; `None` if it never comes again.
    #[must_use]
    pub fn next(&self, next_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.cron.next_after(&self.zone, next_at.max(now))
    }

    /// Whether `other` is the same schedule, whatever its policies: then it goes on where this one stands.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.cron == other.cron && self.zone == other.zone
    }
}

/// What is wrong with the schedules of one automation together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchedulesError {
    /// There are too many.
    #[error(
        "an automation has at most {SCHEDULES_PER_AUTOMATION_MAX} schedules: join them in lists, such as `0 9,17 * * *`"
    )]
    TooMany,
    /// Two are the same.
    #[error("the schedule `{cron}` in {zone} is declared twice")]
    Twice {
        /// The expression.
        cron: Cron,
        /// The zone.
        zone: Zone,
    },
}

/// Holds the schedules of one automation against each other.
///
/// # Errors
/// [`SchedulesError`] if there are too many, or two are the same.
pub fn check(all: &[ScheduleDef]) -> Result<(), SchedulesError> {
    if all.len() > SCHEDULES_PER_AUTOMATION_MAX {
        return Err(SchedulesError::TooMany);
    }
    let twice = all.iter().enumerate().find(|(i, def)| all[..*i].iter().any(|earlier| earlier.is_same(def)));
    match twice {
        Some((_, def)) => Err(SchedulesError::Twice { cron: def.cron.clone(), zone: def.zone.clone() }),
        None => Ok(()),
    }
}

/// A policy by its name, for those who write declarations.
macro_rules! named {
    ($kind:ident { $($variant:ident = $name:literal),* }) => {
        impl $kind {
            /// All names, in the order of the variants.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The policy of that name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named!(Misfire { Skip = "skip", Once = "once", All = "all" });
named!(Overlap { Skip = "skip", Allow = "allow", Queue = "queue" });

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(misfire: Misfire) -> ScheduleDef {
        ScheduleDef {
            cron: "0 * * * *".parse().unwrap(),
            zone: Zone::utc(),
            misfire,
            overlap: Overlap::Skip,
            each: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-03-02T{text}Z").parse().unwrap()
    }

    fn due(misfire: Misfire, next_at: &str, now: &str) -> Vec<String> {
        let found = hourly(misfire).due(at(next_at), at(now));
        found.iter().map(|t| t.to_string()[11..19].to_owned()).collect()
    }

    #[test]
    fn an_instant_in_time_runs_whatever_the_policy() {
        for misfire in [Misfire::Skip, Misfire::Once, Misfire::All] {
            assert_eq!(due(misfire, "10:00:00", "10:00:00.2"), ["10:00:00"]);
            assert_eq!(due(misfire, "10:00:00", "09:59:59.9"), [""; 0]);
        }
    }

    #[test]
    fn missed_instants_go_by_the_policy() {
        assert_eq!(due(Misfire::Skip, "10:00:00", "13:30:00"), [""; 0]);
        assert_eq!(due(Misfire::Skip, "10:00:00", "13:00:30"), ["13:00:00"]);
        assert_eq!(due(Misfire::Once, "10:00:00", "13:30:00"), ["13:00:00"]);
        assert_eq!(due(Misfire::All, "10:00:00", "13:30:00"), ["10:00:00", "11:00:00", "12:00:00", "13:00:00"]);
        assert_eq!(hourly(Misfire::All).next(at("10:00:00"), at("13:30:00")), Some(at("14:00:00")));
    }

    #[test]
    fn a_clock_that_steps_back_makes_nothing_due_again() {
        assert_eq!(due(Misfire::All, "14:00:00", "09:30:00"), [""; 0]);
        assert_eq!(hourly(Misfire::All).next(at("14:00:00"), at("09:30:00")), Some(at("15:00:00")));
    }

    #[test]
    fn a_year_of_missed_seconds_is_bounded() {
        let every_second = ScheduleDef { cron: "* * * * * *".parse().unwrap(), ..hourly(Misfire::All) };
        let found = every_second.due(at("00:00:00"), at("00:00:00").plus_micros(365 * 86_400 * 1_000_000));
        assert_eq!(found.len(), MISFIRE_RUNS_MAX);
        assert_eq!(found.last().unwrap().to_string(), "2027-03-02T00:00:00Z");
    }

    #[test]
    fn the_same_schedule_twice_is_refused() {
        let twice = [hourly(Misfire::Skip), hourly(Misfire::All)];
        assert_eq!(check(&twice).unwrap_err().to_string(), "the schedule `0 * * * *` in UTC is declared twice");
    }
}
