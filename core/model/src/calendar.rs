//! Business calendars: when a business is open, and how much open time lies between two instants.
//!
//! A calendar is a JSON object:
//!
//! ```json
//! {
//!   "tz": "Asia/Shanghai",
//!   "hours": { "1": [["09:00", "12:00"], ["13:00", "18:00"]], "5": [["22:00", "06:00"]] },
//!   "holidays": ["2026-02-16", { "date": "2026-02-17", "name": "Spring Festival" }],
//!   "extra_workdays": ["2026-02-14", { "date": "2026-02-28", "like": 1 }, { "date": "2026-03-01", "hours": [["09:00", "12:00"]] }],
//!   "extra_hours": [["09:00", "12:00"], ["2026-02-16", "10:00", "12:00"], { "date": "2026-03-07", "hours": [["10:00", "14:00"]] }]
//! }
//! ```
//! - `hours`: intervals by weekday, from `1`, Monday, to `7`, Sunday. `24:00` may end one. One that ends before it starts goes on over
//!   midnight. It belongs to the day on which it starts: if that day is closed it does not run, if it is open it runs whole, even
//!   into a holiday.
//! - `holidays`: closed. What began on the evening before runs to its end.
//! - `extra_workdays` (make-up days, 调休): worked, whatever weekday it is and even if it is a holiday. One has the `hours` that it names, or
//!   those of the weekday that it is `like`; else those of the entries of `extra_hours` that have no date; else those of its own weekday;
//!   else those of the first weekday that has any, Monday first.
//! - `extra_hours` with a date: open as well, beside what that day has, holiday or not.
//!
//! What is open twice counts once. Only seconds that pass count: an interval begins when the clock first shows its start, and ends when it
//! last shows a time before its end. So in the night in which the clock is put forward a shift from 22:00 to 06:00 has seven hours, in the
//! night in which it is put back nine, and what the clock leaves out is no time at all.

mod read;
mod shift;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Weekday};
use serde_json::Value as Json;

use self::shift::Shift;
use crate::duration::{self, InvalidDuration};
use crate::record::Record;
use crate::schema::Origin;
use crate::time::Timestamp;
use crate::value::Value;
use crate::zone::Zone;

/// The standard object whose records are calendars.
pub const OBJECT: &str = "calendar";
/// The most days of one kind that a calendar names.
pub const DAYS_MAX: usize = 5_000;
/// The most intervals of one day, or of one entry.
pub const INTERVALS_MAX: usize = 24;
/// The days after which a business that has not been open once never will be: ten years.
const CLOSED_DAYS_MAX: usize = 3_660;
/// The most days that one calculation walks: a hundred years.
const WALKED_DAYS_MAX: usize = 36_600;
/// How many days before an instant the walk begins: an interval can reach into the next day, and a clock put back into another date.
const DAYS_BEFORE: usize = 3;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// When a business is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    zone: Zone,
    /// From Monday to Sunday; each by start.
    week: [Vec<Shift>; 7],
    holidays: BTreeSet<Date>,
    workdays: BTreeMap<Date, Vec<Shift>>,
    extra: BTreeMap<Date, Vec<Shift>>,
}

/// A definition that is no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place_shown(.place))]
pub struct InvalidCalendar {
    /// Where in the definition, as a JSON pointer (`/hours/1/0`); empty: all of it.
    pub place: String,
    /// What is wrong there, and what to write.
    pub message: String,
}

fn place_shown(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}

/// A question about business time that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusinessTimeError {
    /// The end comes first.
    #[error("the end {end} is before the start {start}: give the earlier instant first")]
    EndBeforeStart {
        /// The start.
        start: Timestamp,
        /// The end.
        end: Timestamp,
    },
    /// Ten years and no opening.
    #[error("nothing is open within ten years from {from}: give the calendar hours, or extra hours after that")]
    NeverOpen {
        /// Where the search began.
        from: Timestamp,
    },
    /// A walk of more than a hundred years, or beyond the last instant.
    #[error("that takes more than a hundred years from {from}, which is as far as business time is counted")]
    TooFar {
        /// Where the walk began.
        from: Timestamp,
    },
    /// A span below zero.
    #[error("a span of business time is not negative")]
    Negative,
}

/// A text that is no span of business time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// It is no span at all.
    #[error(transparent)]
    Duration(#[from] InvalidDuration),
    /// It speaks of days or weeks.
    #[error("`{0}` has days or weeks, which differ in their open time: write hours and minutes, such as `16 hours`")]
    Days(String),
}

/// Reads a span of business time, `4 hours`, `1 hour 30 minutes` or `4h`, `1h30m`, in microseconds. Days and weeks are no units of it.
///
/// # Errors
/// [`InvalidSpan`].
pub fn parse_span(text: &str) -> Result<i64, InvalidSpan> {
    let micros = duration::parse_short(text)?;
    let units = text.split(|c: char| !c.is_ascii_alphabetic());
    if units.into_iter().any(|unit| ["d", "w", "day", "days", "week", "weeks"].contains(&unit)) {
        return Err(InvalidSpan::Days(text.chars().take(60).collect()));
    }
    Ok(micros)
}

/// What is wrong with the definition of `record`, if it is a calendar.
#[must_use]
pub fn fault(record: &Record) -> Option<InvalidCalendar> {
    if record.object.name.as_str() != OBJECT || record.object.origin != Origin::Standard {
        return None;
    }
    of_record(record).err()
}

/// The calendar that a record of [`OBJECT`] is.
///
/// # Errors
/// [`InvalidCalendar`].
pub fn of_record(record: &Record) -> Result<Calendar, InvalidCalendar> {
    match record.get("definition") {
        Value::Json(definition) => Calendar::from_json(definition),
        _ => Calendar::from_json(&Json::Null),
    }
}

impl Calendar {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`InvalidCalendar`], with the place of the first mistake.
    pub fn from_json(definition: &Json) -> Result<Self, InvalidCalendar> {
        read::calendar(definition)
    }

    /// Where its clock hangs.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first instant at which `span` microseconds of open time have gone by since `start`.
    ///
    /// Due exactly at closing is the instant of closing, not the next opening; a span of nothing is `start` itself.
    ///
    /// # Errors
    /// [`BusinessTimeError::NeverOpen`], [`BusinessTimeError::TooFar`], [`BusinessTimeError::Negative`].
    pub fn due(&self, start: Timestamp, span: i64) -> Result<Timestamp, BusinessTimeError> {
        if span < 0 {
            return Err(BusinessTimeError::Negative);
        }
        if span == 0 {
            return Ok(start);
        }
        let too_far = BusinessTimeError::TooFar { from: start };
        let (mut left, mut covered) = (span, start.micros());
        let mut idle = 0;
        for date in self.days(start)?.take(WALKED_DAYS_MAX) {
            let before = covered;
            for (from, until) in self.open_on(date) {
                let from = from.max(covered);
                if until <= from {
                    continue;
                }
                if left <= until - from {
                    let due = Timestamp::from_micros(from + left);
                    return if due.micros() == from + left { Ok(due) } else { Err(too_far) };
                }
                left -= until - from;
                covered = until;
            }
            idle = if covered == before { idle + 1 } else { 0 };
            if idle > CLOSED_DAYS_MAX {
                return Err(BusinessTimeError::NeverOpen { from: start });
            }
        }
        Err(too_far)
    }

    /// The microseconds of open time between two instants.
    ///
    /// # Errors
    /// [`BusinessTimeError::EndBeforeStart`]; [`BusinessTimeError::TooFar`] if they lie more than a hundred years apart.
    pub fn open_micros(&self, start: Timestamp, end: Timestamp) -> Result<i64, BusinessTimeError> {
        if end < start {
            return Err(BusinessTimeError::EndBeforeStart { start, end });
        }
        if start == end {
            return Ok(0);
        }
        let days = (end.micros() - start.micros()) / (i64::from(shift::DAY_SECONDS) * MICROS_PER_SECOND);
        let days = usize::try_from(days).unwrap_or(usize::MAX);
        if days > WALKED_DAYS_MAX {
            return Err(BusinessTimeError::TooFar { from: start });
        }
        let (mut sum, mut covered) = (0, start.micros());
        for (from, until) in self.days(start)?.take(days + 2 * DAYS_BEFORE).flat_map(|date| self.open_on(date)) {
            let (from, until) = (from.max(covered), until.min(end.micros()));
            if until > from {
                sum += until - from;
                covered = until;
            }
        }
        Ok(sum)
    }

    /// The whole seconds of open time between two instants; what is over of a second is left out.
    ///
    /// # Errors
    /// As for [`Calendar::open_micros`].
    pub fn elapsed(&self, start: Timestamp, end: Timestamp) -> Result<i64, BusinessTimeError> {
        Ok(self.open_micros(start, end)? / MICROS_PER_SECOND)
    }

    /// The dates whose intervals can matter from `start` on, in their order.
    fn days(&self, start: Timestamp) -> Result<impl Iterator<Item = Date> + use<>, BusinessTimeError> {
        let too_far = |_| BusinessTimeError::TooFar { from: start };
        let start = jiff::Timestamp::from_microsecond(start.micros()).map_err(too_far)?;
        let shown = self.zone.rules().to_datetime(start).date();
        let first = (0..DAYS_BEFORE).fold(shown, |date, _| date.yesterday().unwrap_or(date));
        Ok(std::iter::successors(Some(first), |date| date.tomorrow().ok()))
    }

    /// When it is open by the intervals that start on `date`, as microseconds since 1970, by start. They may overlap.
    fn open_on(&self, date: Date) -> impl Iterator<Item = (i64, i64)> + '_ {
        let usual: &[Shift] = match self.workdays.get(&date) {
            Some(shifts) => shifts,
            None if self.holidays.contains(&date) => &[],
            None => &self.week[weekday_index(date.weekday())],
        };
        let extra = self.extra.get(&date).map_or(&[][..], Vec::as_slice);
        let mut all: Vec<&Shift> = usual.iter().chain(extra).collect();
        if !extra.is_empty() {
            all.sort_unstable();
        }
        all.into_iter().filter_map(move |shift| shift.instants(date, self.zone.rules()))
    }
}

fn weekday_index(weekday: Weekday) -> usize {
    usize::try_from(weekday.to_monday_zero_offset()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
