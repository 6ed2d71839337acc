//! See `calendars` in the contract: a calendar answers what the test that gave it says.

use super::super::{CalendarAnswers, world};
use super::{WireError, need, refuse};
use crate::Timestamp;

/// The units of a span of open time, in seconds.
const UNITS: [(&str, i64); 3] = [("second", 1), ("minute", 60), ("hour", 3_600)];

fn named(calendar: &str) -> Result<CalendarAnswers, WireError> {
    need("calendar:read")?;
    match world(|w| w.calendars.get(calendar).cloned()) {
        Some(answers) => Ok(answers),
        None => refuse("not_found", format!("there is no calendar `{calendar}`: give it with `fake::calendar`")),
    }
}

/// The seconds of `4 hours` or `1 hour 30 minutes`.
fn seconds(span: &str) -> Option<i64> {
    let words: Vec<&str> = span.split_whitespace().collect();
    let parts = words.chunks(2).map(|pair| {
        let [number, unit] = pair else { return None };
        let (_, seconds) = UNITS.iter().find(|(name, _)| unit.strip_suffix('s').unwrap_or(unit) == *name)?;
        number.parse::<u32>().ok().map(|number| i64::from(number) * seconds)
    });
    parts.sum::<Option<i64>>().filter(|_| !words.is_empty())
}

pub(crate) fn due(calendar: &str, start: i64, span: &str) -> Result<i64, WireError> {
    let (due, _) = named(calendar)?;
    match seconds(span) {
        Some(seconds) => Ok(due(Timestamp(start), seconds).0),
        None => refuse("invalid", format!("`{span}` is no span of business time: write hours, minutes and seconds")),
    }
}

pub(crate) fn elapsed(calendar: &str, start: i64, end: i64) -> Result<i64, WireError> {
    let (_, elapsed) = named(calendar)?;
    if end < start {
        return refuse("invalid", "the end is before the start: give the earlier instant first".into());
    }
    Ok(elapsed(Timestamp(start), Timestamp(end)))
}
