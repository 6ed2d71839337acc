//! The calendar of a cron expression: which instants it names in a time zone, and what it says in words.
//!
//! The meaning is that of Vixie cron, which is what people who write cron expressions have learnt:
//!
//! - Five fields (minute, hour, day of month, month, day of week) of `*`, numbers, names, ranges, steps and lists; a sixth
//!   in front counts seconds. 0 and 7 are Sunday.
//! - Where both day fields are restricted, either is enough. A day field that *begins* with `*`, `*/2` too, restricts
//!   nothing by itself, so that both must hold then: `0 0 */2 * MON` are Mondays with an odd date.
//! - An expression is *fixed* if neither its minute nor its hour begins with `*`; a range such as `9-17` is fixed. When the
//!   clock is put forward over fixed times, they come once, right after the gap. When it is put back over them, they come
//!   the first time only. An expression that is not fixed follows the clock: what the clock leaves out does not come,
//!   what it shows twice comes twice.
//! - Beyond Vixie: `L` and `15W` and `LW` as day of month, `FRI#2` and `FRIL` as day of week, in lists too.
//!
//! The crate croner knows which dates match; which instant a date is in a zone is decided here, because croner takes ranges in
//! the hour field for wildcards, drops a time in a gap that ends on another day, and takes `*/2` beside a weekday as either.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::CRON_BYTES_MAX;
use crate::time::Timestamp;
use crate::zone::Zone;

mod explain;
mod field;
mod walk;

#[cfg(test)]
mod tests;

use field::Field;
pub use field::FieldName;

/// What a field list looks like, for whoever wrote too few or too many.
const SHAPE: &str = "write `minute hour day-of-month month day-of-week`, such as `0 10 * * MON`; a sixth field in front counts \
                     seconds";
/// The names that Vixie cron has for whole expressions.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
/// The days after which the calendar repeats, weekdays included: 400 years.
const CALENDAR_DAYS: i64 = 146_097;

/// How far the search for the last instants looks back first: each further look is eight times as far.
const FIRST_LOOK_BACK_MICROS: i64 = 64 * 1_000_000;

/// A cron expression that names at least one instant in every 400 years. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cron {
    text: Arc<str>,
    fields: Arc<Fields>,
    /// Says which dates and times of day match. It never hears of a time zone.
    calendar: Arc<croner::Cron>,
}

/// The six fields; the seconds are `0` where none were written.
#[derive(Debug, Clone)]
struct Fields {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It is too long to be meant.
    #[error("a cron expression has at most {CRON_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// It has too few or too many fields, or a nickname that is none.
    #[error("`{text}` is no cron expression: {advice}")]
    Shape {
        /// The text.
        text: String,
        /// What to write instead.
        advice: String,
    },
    /// One field is wrong.
    #[error("{field} `{text}`: {advice}")]
    Field {
        /// Which field.
        field: FieldName,
        /// The part of it that is wrong.
        text: String,
        /// What to write instead.
        advice: String,
    },
    /// Its days and months exist nowhere in the calendar.
    #[error("`{0}` never comes: no month that it names has such a day; write a day that the month has")]
    Never(String),
}

impl Cron {
    /// The first instant after `after` that this expression names in `zone`.
    ///
    /// It is always later than `after` and always on a whole second. `None` if there is none in the next 250 years at least,
    /// or before the last instant that can be written. Takes bounded time for every expression, zone and instant.
    #[must_use]
    pub fn next_after(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        // Whatever the calendar says: an instant that is not later would start a run twice, or for ever.
        walk::next(self, zone.rules(), after).filter(|next| *next > after)
    }

    /// The instants after `after`, in order.
    pub fn instants_after(&self, zone: &Zone, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(zone, after), |last| self.next_after(zone, *last))
    }

    /// The last `limit` instants that are later than `after` and not later than `until`, in order.
    ///
    /// Takes time by `limit`, not by how many instants there are.
    #[must_use]
    pub fn last_between(&self, zone: &Zone, (after, until): (Timestamp, Timestamp), limit: usize) -> Vec<Timestamp> {
        let mut span = FIRST_LOOK_BACK_MICROS;
        loop {
            let start = until.plus_micros(span.saturating_neg()).max(after);
            let mut found = VecDeque::with_capacity(limit);
            for instant in self.instants_after(zone, start).take_while(|instant| *instant <= until) {
                if found.len() >= limit {
                    found.pop_front();
                }
                found.push_back(instant);
            }
            if start <= after || found.len() >= limit {
                return found.into();
            }
            span = span.saturating_mul(8);
        }
    }

    /// What the expression says, in words: `at 10:00, on Monday`.
    #[must_use]
    pub fn explain(&self) -> String {
        explain::explain(&self.fields)
    }

    /// What happens to it when the clock is put forward or back, in a sentence.
    #[must_use]
    pub fn explain_clock_changes(&self) -> &'static str {
        if self.is_fixed() {
            "When the clock is put forward over it, it comes once, right after; when the clock is put back, it comes once."
        } else {
            "It follows the clock: what the clock leaves out does not come, what the clock shows twice comes twice."
        }
    }

    /// The expression as it was written, with single spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names times of day, as opposed to following the clock.
    fn is_fixed(&self) -> bool {
        !self.fields.minute.starred && !self.fields.hour.starred
    }

    /// The first wall-clock time from `from` on that matches, whatever the zone.
    fn wall_from(&self, from: DateTime) -> Option<DateTime> {
        self.calendar.find_next_occurrence(&from, true).ok().filter(|found| *found >= from)
    }

    /// Whether any day of the calendar matches.
    fn comes_at_all(&self) -> bool {
        let first = jiff::civil::date(2000, 1, 1);
        let days = (0..CALENDAR_DAYS).map_while(|n| first.checked_add(jiff::Span::new().days(n)).ok());
        days.into_iter().any(|day| self.matches_day(day))
    }

    fn matches_day(&self, day: jiff::civil::Date) -> bool {
        use croner::CronDateTime;
        if !self.fields.month.has(day.month().unsigned_abs()) {
            return false;
        }
        let midnight = day.at(0, 0, 0, 0);
        let civil = midnight.to_civil();
        let found = self.calendar.pattern.day_match(civil.year(), civil.month(), civil.day(), midnight.civil_weekday());
        found.unwrap_or(false)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        if text.len() > CRON_BYTES_MAX {
            return Err(CronError::TooLong(text.len()));
        }
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let text = words.join(" ");
        let fields = match words.as_slice() {
            [nickname] if nickname.starts_with('@') => Fields::read(&expanded(nickname)?)?,
            words => Fields::read(words)?,
        };
        let calendar = fields.calendar(&text)?;
        let cron = Self { text: text.into(), fields: Arc::new(fields), calendar: Arc::new(calendar) };
        if cron.comes_at_all() { Ok(cron) } else { Err(CronError::Never(cron.to_string())) }
    }
}

fn expanded(nickname: &str) -> Result<Vec<&'static str>, CronError> {
    let found = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(nickname));
    let known = || NICKNAMES.map(|(name, _)| name).join(", ");
    found.map(|(_, expression)| expression.split(' ').collect()).ok_or_else(|| CronError::Shape {
        text: field::shown(nickname),
        advice: format!("write one of {}, or five fields", known()),
    })
}

impl Fields {
    fn read(words: &[&str]) -> Result<Self, CronError> {
        let (second, rest) = match words {
            rest if rest.len() == 5 => ("0", rest),
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            _ => {
                let advice = format!("it has {} fields; {SHAPE}", words.len());
                return Err(CronError::Shape { text: field::shown(&words.join(" ")), advice });
            }
        };
        Ok(Self {
            second: Field::read(FieldName::Second, second)?,
            minute: Field::read(FieldName::Minute, rest[0])?,
            hour: Field::read(FieldName::Hour, rest[1])?,
            day: Field::read(FieldName::DayOfMonth, rest[2])?,
            month: Field::read(FieldName::Month, rest[3])?,
            weekday: Field::read(FieldName::DayOfWeek, rest[4])?,
        })
    }

    /// The same fields as croner reads them. It is given numbers only, so that nothing depends on what else it accepts.
    fn calendar(&self, text: &str) -> Result<croner::Cron, CronError> {
        let all = [&self.second, &self.minute, &self.hour, &self.day, &self.month, &self.weekday];
        let plain = all.map(Field::for_croner).join(" ");
        // A day field that begins with `*` makes both count, as in Vixie cron.
        let both = self.day.starred || self.weekday.starred;
        let parser = croner::parser::CronParser::builder().dom_and_dow(both).build();
        parser.parse(&plain).map_err(|error| CronError::Shape { text: text.to_owned(), advice: error.to_string() })
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
