//! Finds the next instant: walks the stretches of time in which a zone's clock runs evenly.
//!
//! Within a stretch the wall clock and the instants differ by a constant. Between two stretches the clock is put forward, which
//! leaves wall-clock times out (a gap), or back, which shows some twice (a fold).

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Cron;
use crate::time::Timestamp;

/// The most changes of the clock that a search passes: 250 years where there are four a year, the most that any zone has.
const CHANGES_MAX: usize = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The first instant after `after` that `cron` names where `rules` hold.
pub(super) fn next(cron: &Cron, rules: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    // An expression can only name whole seconds.
    let after = jiff::Timestamp::from_second(after.micros().div_euclid(MICROS_PER_SECOND)).ok()?;
    let mut offset = rules.to_offset(after);
    let mut start = offset.to_datetime(after).checked_add(SECOND).ok()?;
    if cron.is_fixed() {
        start = start.max(shown_before(rules, after).unwrap_or(start));
    }
    let mut found = cron.wall_from(start)?;
    for (passed, change) in rules.following(after).enumerate() {
        let (at, old_end) = (change.timestamp(), offset.to_datetime(change.timestamp()));
        if found < old_end {
            break;
        }
        if passed == CHANGES_MAX {
            return None;
        }
        offset = change.offset();
        let new_start = offset.to_datetime(at);
        if cron.is_fixed() && found < new_start {
            // The clock was put forward over it.
            return instant(at);
        }
        // What was shown before the clock was put back is over for fixed times, and comes again for others.
        start = if cron.is_fixed() { new_start.max(old_end) } else { new_start };
        if found < start || new_start < old_end {
            found = cron.wall_from(start)?;
        }
    }
    instant(offset.to_timestamp(found).ok()?)
}

/// What the clock had shown when it was last put back or forward, up to `at`: in a fold that is later than what it shows now.
fn shown_before(rules: &TimeZone, at: jiff::Timestamp) -> Option<DateTime> {
    let just_after = at.checked_add(SignedDuration::from_nanos(1)).ok()?;
    let change = rules.preceding(just_after).next()?.timestamp();
    let just_before = change.checked_sub(SECOND).ok()?;
    Some(rules.to_offset(just_before).to_datetime(change))
}

/// `None` if it is later than the last instant that can be written.
fn instant(found: jiff::Timestamp) -> Option<Timestamp> {
    let micros = found.as_microsecond();
    Some(Timestamp::from_micros(micros)).filter(|t| t.micros() == micros)
}
