//! Periods of reports: whole months from their counts, the days at both ends from theirs.

use jiff::ToSpan as _;
use jiff::civil::Date;
use rapport_sdk::{Error, Json, Timestamp};

use crate::books::{MONTH, TALLY};
use crate::call::instant;
use crate::tally::{day_behind, day_of, month_of};

/// From and to: from included, to not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Period {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// A part of a period, whose counts lie in one object: from included, until not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) object: &'static str,
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
}

impl Period {
    /// Reads `from` and `to` of `json`, which is called `name` in errors.
    pub(super) fn read(json: &Json, name: &str) -> Result<Self, Error> {
        let period = Self {
            from: instant(&json["from"], &format!("{name}from"))?,
            to: instant(&json["to"], &format!("{name}to"))?,
        };
        if period.from.zip(period.to).is_some_and(|(from, to)| from >= to) {
            return Err(Error::new("invalid", format!("`{name}from` is not before `{name}to`")));
        }
        Ok(period)
    }

    /// The parts that make up the period, if counts are grouped by a field.
    pub(super) fn parts(self, by: Option<&str>) -> Result<Vec<Part>, Error> {
        let (from, until) = (self.from.map(day_of).transpose()?, self.to.map(day_behind).transpose()?);
        if matches!(by, Some("day" | "week")) {
            return Ok(vec![days(from, until)]);
        }
        Ok(parts(from, until))
    }
}

fn days(from: Option<Date>, until: Option<Date>) -> Part {
    let text = |day: Option<Date>| day.map(|day| day.to_string());
    Part { object: TALLY, from: text(from), until: text(until) }
}

fn parts(from: Option<Date>, until: Option<Date>) -> Vec<Part> {
    let first = from.map(|day| if day.day() == 1 { day } else { day.first_of_month().saturating_add(1.month()) });
    let last = until.map(Date::first_of_month);
    if first.zip(last).is_some_and(|(first, last)| first >= last) {
        return vec![days(from, until)];
    }
    let mut parts = vec![Part { object: MONTH, from: first.map(month_of), until: last.map(month_of) }];
    if from != first {
        parts.push(days(from, first));
    }
    if until != last {
        parts.push(days(last, until));
    }
    parts
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn shown(from: Option<Date>, until: Option<Date>) -> Vec<String> {
        let text = |part: Part| {
            let object = if part.object == MONTH { "months" } else { "days" };
            format!("{object} {}..{}", part.from.unwrap_or_default(), part.until.unwrap_or_default())
        };
        parts(from, until).into_iter().map(text).collect()
    }

    #[test]
    fn whole_months_are_taken_from_their_counts() {
        assert_eq!(shown(None, None), ["months .."]);
        assert_eq!(shown(Some(date(2026, 1, 1)), Some(date(2026, 3, 1))), ["months 2026-01..2026-03"]);
        assert_eq!(
            shown(Some(date(2025, 12, 30)), Some(date(2026, 3, 2))),
            ["months 2026-01..2026-03", "days 2025-12-30..2026-01-01", "days 2026-03-01..2026-03-02"]
        );
        assert_eq!(shown(None, Some(date(2026, 3, 2))), ["months ..2026-03", "days 2026-03-01..2026-03-02"]);
    }

    #[test]
    fn a_period_without_a_whole_month_is_taken_from_days() {
        assert_eq!(shown(Some(date(2026, 1, 2)), Some(date(2026, 1, 31))), ["days 2026-01-02..2026-01-31"]);
        assert_eq!(shown(Some(date(2026, 1, 2)), Some(date(2026, 2, 28))), ["days 2026-01-02..2026-02-28"]);
    }
}
