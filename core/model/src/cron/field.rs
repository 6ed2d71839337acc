//! One field of a cron expression: reads it, with an error that says what to write instead.

use std::fmt;

use super::CronError;
use crate::nearest::nearest;

/// The most characters of a wrong text that an error repeats.
const SHOWN_CHARS_MAX: usize = 40;
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const SUNDAY_AGAIN: u8 = 7;

/// The fields by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldName {
    /// 0 to 59, in front of the others, and optional.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or JAN to DEC.
    Month,
    /// 0 to 7, or SUN to SAT.
    DayOfWeek,
}

/// One field: the values it names, and the days that only a month's calendar can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Whether it begins with `*`, which is what Vixie cron goes by.
    pub(super) starred: bool,
    /// Whether it names every value.
    pub(super) every: bool,
    /// A bit for each value.
    bits: u64,
    /// The days that depend on the month.
    pub(super) special: Vec<Special>,
}

/// A day that depends on the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// `L`: the last day.
    LastDay,
    /// `LW`: the last day from Monday to Friday.
    LastWorkday,
    /// `15W`: the day from Monday to Friday nearest to that date, in the same month.
    NearestWorkday(u8),
    /// `FRI#2`: the second Friday.
    Nth(u8, u8),
    /// `FRIL`: the last Friday.
    Last(u8),
}

impl FieldName {
    /// The smallest and the largest value.
    pub(super) const fn bounds(self) -> (u8, u8) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }

    /// The names of its values, and the value of the first.
    const fn names(self) -> (&'static [&'static str], u8) {
        match self {
            Self::Month => (&MONTHS, 1),
            Self::DayOfWeek => (&WEEKDAYS, 0),
            _ => (&[], 0),
        }
    }

    const fn values_in_words(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "a number from 0 to 59",
            Self::Hour => "a number from 0 to 23",
            Self::DayOfMonth => "a number from 1 to 31, `L`, `LW` or a date such as `15W`",
            Self::Month => "a number from 1 to 12, or JAN to DEC",
            Self::DayOfWeek => "a number from 0 to 7 (0 and 7 are Sunday), or SUN to SAT",
        }
    }

    fn wrong(self, text: &str, advice: impl Into<String>) -> CronError {
        CronError::Field { field: self, text: shown(text), advice: advice.into() }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
}

/// `text` as an error repeats it: short, and without characters that steer a terminal.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() { format!("{cut}…") } else { cut }
}

impl Field {
    /// Reads the field `name` from `text`.
    pub(super) fn read(name: FieldName, text: &str) -> Result<Self, CronError> {
        let mut field = Self { starred: text.starts_with('*'), every: false, bits: 0, special: Vec::new() };
        for item in text.split(',') {
            match special(name, item)? {
                Some(special) => field.special.push(special),
                None => field.bits |= bits(name, item)?,
            }
        }
        if field.special.contains(&Special::LastDay) && field.special.contains(&Special::LastWorkday) {
            return Err(name.wrong(text, "write either `L` or `LW`, not both"));
        }
        let (min, max) = name.bounds();
        field.every = (min..=max).all(|value| field.has(value));
        Ok(field)
    }

    /// Whether it names `value` in every month.
    pub(super) const fn has(&self, value: u8) -> bool {
        self.bits & (1 << value) != 0
    }

    /// The values that it names in every month, in order.
    pub(super) fn values(&self) -> Vec<u8> {
        (0..64).filter(|value| self.has(*value)).collect()
    }

    /// The field in the form that croner reads, in numbers alone. `1-31` stays a restriction, as in Vixie cron: beside a weekday
    /// it makes every day match, where `*` would leave it to the weekday.
    pub(super) fn for_croner(&self) -> String {
        if self.every && self.starred {
            return "*".to_owned();
        }
        let values = self.values().into_iter().map(|value| value.to_string());
        let special = self.special.iter().map(|special| match special {
            Special::LastDay => "L".to_owned(),
            Special::LastWorkday => "LW".to_owned(),
            Special::NearestWorkday(day) => format!("{day}W"),
            Special::Nth(weekday, n) => format!("{weekday}#{n}"),
            Special::Last(weekday) => format!("{weekday}L"),
        });
        values.chain(special).collect::<Vec<_>>().join(",")
    }
}

/// The day that depends on the month, if `item` is one.
fn special(name: FieldName, item: &str) -> Result<Option<Special>, CronError> {
    let upper = item.to_ascii_uppercase();
    match name {
        FieldName::DayOfMonth if upper == "L" => Ok(Some(Special::LastDay)),
        FieldName::DayOfMonth if upper == "LW" => Ok(Some(Special::LastWorkday)),
        FieldName::DayOfMonth => match upper.strip_suffix('W') {
            Some(day) => single(name, item, day).map(|day| Some(Special::NearestWorkday(day))),
            None if upper.contains('L') => {
                Err(name.wrong(item, "write `L` for the last day, or `LW` for the last workday"))
            }
            None => Ok(None),
        },
        FieldName::DayOfWeek => weekday_special(item, &upper),
        _ => Ok(None),
    }
}

fn weekday_special(item: &str, upper: &str) -> Result<Option<Special>, CronError> {
    let name = FieldName::DayOfWeek;
    if let Some((day, nth)) = upper.split_once('#') {
        let day = single(name, item, day)?;
        return match nth {
            "1" | "2" | "3" | "4" | "5" => Ok(Some(Special::Nth(day % SUNDAY_AGAIN, nth.as_bytes()[0] - b'0'))),
            "L" => Ok(Some(Special::Last(day % SUNDAY_AGAIN))),
            _ => Err(name.wrong(item, "after `#` write a number from 1 to 5, such as `FRI#2` for the second Friday")),
        };
    }
    match upper.strip_suffix('L') {
        Some("") => Err(name.wrong(item, "say which weekday: `FRIL` is the last Friday of the month")),
        Some(day) => single(name, item, day).map(|day| Some(Special::Last(day % SUNDAY_AGAIN))),
        None => Ok(None),
    }
}

/// The one value that stands before `L`, `W` or `#`.
fn single(name: FieldName, item: &str, text: &str) -> Result<u8, CronError> {
    if text.contains(['-', '/', '*']) {
        return Err(name.wrong(item, "`L`, `W` and `#` follow one day: write a list, such as `MON#1,FRI#1`"));
    }
    value(name, text)
}

/// The bits of `*`, a value or a range, with or without a step.
fn bits(name: FieldName, item: &str) -> Result<u64, CronError> {
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    let (min, max) = name.bounds();
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (min, max),
        Some((first, last)) => ordered(name, range, (value(name, first)?, last_value(name, last)?))?,
        None => {
            let first = value(name, range)?;
            if step.is_some() {
                return Err(name.wrong(item, format!("a step needs a range: write `{first}-{max}/STEP`")));
            }
            (first, first)
        }
    };
    let step = step.map_or(Ok(1), |text| step_of(name, item, text))?;
    let values = (first..=last).step_by(usize::from(step));
    let sunday = |value| if name == FieldName::DayOfWeek { value % SUNDAY_AGAIN } else { value };
    Ok(values.fold(0, |bits, value| bits | 1 << sunday(value)))
}

fn ordered(name: FieldName, range: &str, (first, last): (u8, u8)) -> Result<(u8, u8), CronError> {
    if first <= last {
        return Ok((first, last));
    }
    let (min, max) = name.bounds();
    Err(name.wrong(range, format!("a range goes upward: write `{first}-{max},{min}-{last}`")))
}

fn step_of(name: FieldName, item: &str, text: &str) -> Result<u8, CronError> {
    let (min, max) = name.bounds();
    number(text).and_then(|step| u8::try_from(step).ok()).filter(|step| (1..=max - min).contains(step)).ok_or_else(
        || {
            let alone = format!("a step is a number from 1 to {}", max - min);
            name.wrong(item, format!("{alone}; write `*` for every {name}, or the numbers themselves"))
        },
    )
}

/// The last value of a range, where Sunday is 7: `FRI-SUN` is Friday to Sunday.
fn last_value(name: FieldName, text: &str) -> Result<u8, CronError> {
    let last = value(name, text)?;
    let named_sunday = name == FieldName::DayOfWeek && text.eq_ignore_ascii_case("SUN");
    Ok(if named_sunday { SUNDAY_AGAIN } else { last })
}

/// One value: a number or a name.
fn value(name: FieldName, text: &str) -> Result<u8, CronError> {
    let (min, max) = name.bounds();
    let max = if name == FieldName::DayOfWeek { SUNDAY_AGAIN } else { max };
    if let Some(number) = number(text) {
        let value = u8::try_from(number).ok().filter(|value| (min..=max).contains(value));
        return value.ok_or_else(|| name.wrong(text, format!("write {}", name.values_in_words())));
    }
    let (names, first) = name.names();
    let found = (first..).zip(names).find(|(_, known)| known.eq_ignore_ascii_case(text));
    found.map(|(value, _)| value).ok_or_else(|| not_a_value(name, text))
}

fn not_a_value(name: FieldName, text: &str) -> CronError {
    let (names, _) = name.names();
    let begins = |known: &&&str| text.get(..3).is_some_and(|start| known.eq_ignore_ascii_case(start));
    let meant = names.iter().find(begins).map(|known| (*known).to_owned());
    if let Some(meant) = meant.or_else(|| nearest(text, names.iter().copied())) {
        return name.wrong(text, format!("did you mean `{meant}`?"));
    }
    let words = name.values_in_words();
    name.wrong(
        text,
        match text {
            "" => format!("something is missing there; write {words}"),
            "?" => "`?` is not known here; write `*`".to_owned(),
            _ => format!("write {words}"),
        },
    )
}

/// The number that `text` is, digits only.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Some(text.parse().unwrap_or(u32::MAX)) } else { None }
}
