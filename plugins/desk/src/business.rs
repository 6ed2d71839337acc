//! Business time: the one place that asks the host's calendars.
//!
//! A ticket without a calendar has no promises; between two instants all of its time counts.

use rapport_sdk::{Error, Timestamp, calendars};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// When `span` of open time, such as `4 hours`, is over that begins at `start`.
///
/// # Errors
/// The host's: `not_found` for a calendar that is not there, `invalid` for what is no span of open time.
pub(crate) fn due(calendar: &str, start: Timestamp, span: &str) -> Result<Timestamp, Error> {
    calendars::due(calendar, start, span)
}

/// Seconds of open time between two instants; 0 if the end is not later.
///
/// # Errors
/// The host's.
pub(crate) fn elapsed(calendar: &str, start: Timestamp, end: Timestamp) -> Result<i64, Error> {
    if end <= start {
        return Ok(0);
    }
    if calendar.is_empty() {
        return Ok((end.0 - start.0) / SECOND);
    }
    calendars::elapsed(calendar, start, end)
}

/// A span of so many seconds, as [`due`] takes it.
pub(crate) fn seconds(count: i64) -> String {
    format!("{count} seconds")
}
