//! Instants and days as scripts see them. Written without a calendar library: the interpreter stays small and knows
//! no time zone but UTC.

use std::fmt;

use rhai::ImmutableString;

const DAY_MICROS: i64 = 86_400_000_000;

/// An instant: microseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(pub(crate) i64);

/// A calendar day, `2026-03-01`: compares as its text does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(pub(crate) ImmutableString);

/// Year, month and day of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Instant {
    /// The whole days (of 24 hours) from this instant to `later`; negative if `later` is earlier.
    pub(crate) fn days_until(self, later: Self) -> i64 {
        later.0.saturating_sub(self.0) / DAY_MICROS
    }

    /// This instant moved by `micros`; stays within what an `i64` holds.
    pub(crate) fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// This instant moved by whole days of 24 hours.
    pub(crate) fn plus_days(self, days: i64) -> Self {
        self.plus_micros(days.saturating_mul(DAY_MICROS))
    }

    /// The day in UTC.
    pub(crate) fn civil(self) -> Civil {
        civil_from_days(self.0.div_euclid(DAY_MICROS))
    }

    /// The microseconds since midnight in UTC.
    pub(crate) fn micros_of_day(self) -> i64 {
        self.0.rem_euclid(DAY_MICROS)
    }

    /// The day of the week in UTC, 1 for Monday to 7 for Sunday.
    pub(crate) fn weekday(self) -> i64 {
        (self.0.div_euclid(DAY_MICROS) + 3).rem_euclid(7) + 1
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day } = self.civil();
        let micros = self.micros_of_day();
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if fraction != 0 {
            write!(f, ".{}", format!("{fraction:06}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Day {
    /// Year, month and day; `None` if the text is no day.
    pub(crate) fn civil(&self) -> Option<Civil> {
        let mut parts = self.0.splitn(3, '-').map(str::parse::<i64>);
        let mut next = || parts.next()?.ok();
        Some(Civil { year: next()?, month: next()?, day: next()? })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The day that is `days` after 1970-01-01, in the proleptic Gregorian calendar (Howard Hinnant's algorithm: years begin
/// in March, so that the leap day is the last of its year).
fn civil_from_days(days: i64) -> Civil {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc() {
        assert_eq!(Instant(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Instant(1_330_473_600_000_000).to_string(), "2012-02-29T00:00:00Z");
        assert_eq!(Instant(951_782_399_500_000).to_string(), "2000-02-28T23:59:59.5Z");
        assert_eq!(Instant(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_day_before() {
        let mut before = civil_from_days(-200_000);
        for days in -199_999..0 {
            let day = civil_from_days(days);
            let next_day = day.day == before.day + 1 && day.month == before.month && day.year == before.year;
            let next_month = day.day == 1 && day.month == before.month % 12 + 1;
            assert!(next_day || next_month, "{before:?} {day:?}");
            before = day;
        }
        assert_eq!(civil_from_days(0), Civil { year: 1970, month: 1, day: 1 });
    }

    #[test]
    fn a_day_counts_when_its_24_hours_are_over() {
        let start = Instant(0);
        assert_eq!(start.days_until(Instant(DAY_MICROS - 1)), 0);
        assert_eq!(start.days_until(Instant(DAY_MICROS)), 1);
        assert_eq!(Instant(DAY_MICROS).days_until(start), -1);
    }

    #[test]
    fn the_week_begins_on_monday() {
        assert_eq!(Instant(0).weekday(), 4);
        assert_eq!(Instant(-1).weekday(), 3);
        assert_eq!(Instant(0).plus_days(3).weekday(), 7);
    }

    #[test]
    fn a_day_knows_its_parts() {
        assert_eq!(Day("2026-03-01".into()).civil(), Some(Civil { year: 2026, month: 3, day: 1 }));
        assert_eq!(Day("soon".into()).civil(), None);
    }

    #[test]
    fn far_away_instants_do_not_overflow() {
        assert_eq!(Instant(i64::MAX).plus_days(i64::MAX), Instant(i64::MAX));
        let _ = Instant(i64::MIN).to_string();
    }
}
