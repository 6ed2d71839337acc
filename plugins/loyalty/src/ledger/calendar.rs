//! Local days: where they begin, and which comes so many days, months or years after another.

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, ToSpan as _};
use rapport_sdk::Timestamp;

/// A local calendar day.
pub type Day = Date;

/// The days of one time zone.
#[derive(Debug, Clone)]
pub struct Calendar(TimeZone);

impl Calendar {
    /// The days of an IANA time zone, such as `Asia/Shanghai`. `None` if there is no such zone.
    #[must_use]
    pub fn of(zone: &str) -> Option<Self> {
        TimeZoneDatabase::bundled().get(zone).ok().map(Self)
    }

    /// The local day of an instant.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> Day {
        // Instants of records lie within the years 0 to 9999; others are taken for the nearest.
        let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or(if at.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        self.0.to_datetime(at).date()
    }

    /// The instant at which a local day begins: midnight, or the first instant after a gap over midnight.
    #[must_use]
    pub fn start(&self, day: Day) -> Timestamp {
        let start = day.to_zoned(self.0.clone()).and_then(|midnight| midnight.start_of_day());
        start.map_or(Timestamp(jiff::Timestamp::MAX.as_microsecond()), |s| Timestamp(s.timestamp().as_microsecond()))
    }

    /// The instant at which the day begins that is `span` after the day of `at`.
    #[must_use]
    pub fn start_after(&self, at: Timestamp, span: Span) -> Timestamp {
        self.start(self.day(at).saturating_add(span))
    }
}

/// The day after.
#[must_use]
pub(super) fn next(day: Day) -> Day {
    day.saturating_add(1.day())
}

/// A month as a number: `12 * year + month - 1`.
#[must_use]
pub(super) fn month_number(day: Day) -> i32 {
    12 * i32::from(day.year()) + i32::from(day.month()) - 1
}
