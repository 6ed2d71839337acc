//! Business time, by a calendar that the operator keeps: a record of the object `calendar`. The right `calendar:read` is needed.
//!
//! ```
//! use rapport_sdk::{Timestamp, calendars, fake};
//!
//! fake::reset();
//! fake::calendar("cn", |start, seconds| Timestamp(start.0 + 2 * seconds * 1_000_000), |start, end| (end.0 - start.0) / 2_000_000);
//! assert_eq!(calendars::due("cn", Timestamp(0), "4 hours").unwrap(), Timestamp(8 * 3_600 * 1_000_000));
//! assert_eq!(calendars::elapsed("cn", Timestamp(0), Timestamp(8_000_000)).unwrap(), 4);
//! ```

use crate::door::calendars as door;
use crate::{Error, Timestamp};

/// The first instant at which `span` (`4 hours`) of open time has gone by since `start`. Due exactly at closing time is that instant.
///
/// # Errors
/// `not_found` if there is no such calendar; `invalid` for a span that is none (days and weeks are none), or for a time that never comes.
pub fn due(calendar: &str, start: Timestamp, span: &str) -> Result<Timestamp, Error> {
    Ok(Timestamp(door::due(calendar, start.0, span)?))
}

/// Seconds of open time between two instants.
///
/// # Errors
/// `not_found` if there is no such calendar; `invalid` if the end comes before the start, or a hundred years after it.
pub fn elapsed(calendar: &str, start: Timestamp, end: Timestamp) -> Result<i64, Error> {
    Ok(door::elapsed(calendar, start.0, end.0)?)
}
