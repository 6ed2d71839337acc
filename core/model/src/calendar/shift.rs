//! One interval of a day, and when it is by the world's clock.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The seconds of a day's clock.
pub(super) const DAY_SECONDS: u32 = 86_400;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// An interval: seconds that the clock shows from the midnight with which its day begins. The end is later than the start, less than a day
/// later, or a whole day if it starts at midnight; it may lie on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shift {
    pub(super) from: u32,
    pub(super) until: u32,
}

impl Shift {
    /// When it begins and ends if it starts on `date`, in microseconds since 1970; none if the clock leaves all of it out.
    pub(super) fn instants(self, date: Date, rules: &TimeZone) -> Option<(i64, i64)> {
        let from = first(clock(date, self.from)?, rules)?.as_microsecond();
        let until = last_before(clock(date, self.until)?, rules)?.as_microsecond();
        (from < until).then_some((from, until))
    }
}

fn clock(date: Date, seconds: u32) -> Option<DateTime> {
    date.to_datetime(jiff::civil::Time::midnight()).checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
}

/// When the clock first shows `time` or later.
fn first(time: DateTime, rules: &TimeZone) -> Option<Timestamp> {
    match rules.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(time).ok()
        }
        AmbiguousOffset::Gap { after, .. } => put_forward(time, after, rules),
    }
}

/// The end of the last second in which the clock shows a time before `time`, which is a whole second.
fn last_before(time: DateTime, rules: &TimeZone) -> Option<Timestamp> {
    let second = time.checked_sub(SECOND).ok()?;
    match rules.to_ambiguous_timestamp(second).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { after: offset, .. } => {
            offset.to_timestamp(second).ok()?.checked_add(SECOND).ok()
        }
        AmbiguousOffset::Gap { after, .. } => put_forward(second, after, rules),
    }
}

/// When the clock is put forward over `time`, to the offset `after`.
fn put_forward(time: DateTime, after: jiff::tz::Offset, rules: &TimeZone) -> Option<Timestamp> {
    // Read with the new offset, a time that is left out lies before the change.
    let before = after.to_timestamp(time).ok()?;
    rules.following(before).find(|change| change.offset() == after).map(|change| change.timestamp())
}

/// A time of day in seconds: `09:00`, `09:00:30`, and `24:00` at the end of the day.
pub(super) fn seconds(text: &str) -> Option<u32> {
    let two = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse::<u32>().ok()).flatten()
    };
    let mut parts = text.split(':');
    let (hours, minutes) = (two(parts.next()?)?, two(parts.next()?)?);
    let seconds = parts.next().map_or(Some(0), two)?;
    let sum = hours * 3_600 + minutes * 60 + seconds;
    (parts.next().is_none() && minutes < 60 && seconds < 60 && sum <= DAY_SECONDS).then_some(sum)
}
