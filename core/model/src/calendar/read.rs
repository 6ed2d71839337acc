//! Reads the definition of a calendar, strictly: a mistake is told with its place and what to write.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value as Json};

use super::shift::{DAY_SECONDS, Shift, seconds};
use super::{Calendar, DAYS_MAX, INTERVALS_MAX, InvalidCalendar, weekday_index};
use crate::nearest::nearest;
use crate::zone::Zone;

type Read<T> = Result<T, InvalidCalendar>;
type ByDate = BTreeMap<Date, Vec<Shift>>;
/// What there is of a key.
type Keys = &'static [&'static str];

const KEYS: Keys = &["tz", "hours", "holidays", "extra_workdays", "extra_hours"];
const HOLIDAY_KEYS: Keys = &["date", "name"];
const WORKDAY_KEYS: Keys = &["date", "name", "like", "hours"];
const EXTRA_KEYS: Keys = &["date", "name", "hours"];

/// What an entry of `extra_workdays` says of its hours.
enum Worked {
    /// Nothing.
    Usual,
    /// Those of a weekday, from 0 for Monday.
    Like(usize),
    /// These.
    Hours(Vec<Shift>),
}

fn wrong<T>(place: &str, message: impl Into<String>) -> Read<T> {
    Err(InvalidCalendar { place: place.to_owned(), message: message.into() })
}

/// Reads a calendar.
pub(super) fn calendar(definition: &Json) -> Read<Calendar> {
    let Json::Object(map) = definition else {
        return wrong("", "a calendar is an object with `tz` and `hours`");
    };
    known_keys("", map, KEYS)?;
    let zone = zone(map.get("tz"))?;
    let week = week(map.get("hours"))?;
    let holidays = holidays(map.get("holidays"))?;
    let (extra, make_up) = extra_hours(map.get("extra_hours"))?;
    let mut workdays = ByDate::new();
    for (i, entry) in list("/extra_workdays", map.get("extra_workdays"))?.iter().enumerate() {
        let place = format!("/extra_workdays/{i}");
        let (date, worked) = workday(&place, entry)?;
        let shifts = match worked {
            Worked::Hours(shifts) => shifts,
            Worked::Like(day) => week[day].clone(),
            Worked::Usual => usual_hours(date, &week, &make_up),
        };
        if shifts.is_empty() {
            return wrong(&place, format!("no weekday has hours that {date} could have: give it `hours` of its own"));
        }
        if workdays.get(&date).is_some_and(|known| *known != shifts) {
            return wrong(&place, format!("{date} is there twice, with other hours: write it once"));
        }
        workdays.insert(date, shifts);
    }
    Ok(Calendar { zone, week, holidays, workdays, extra })
}

/// The hours of a make-up day that says nothing of its own.
fn usual_hours(date: Date, week: &[Vec<Shift>; 7], make_up: &[Shift]) -> Vec<Shift> {
    let own = &week[weekday_index(date.weekday())];
    let first = || week.iter().find(|shifts| !shifts.is_empty()).cloned().unwrap_or_default();
    match (make_up, own.as_slice()) {
        ([], []) => first(),
        ([], own) => own.to_vec(),
        (make_up, _) => make_up.to_vec(),
    }
}

fn known_keys(place: &str, map: &Map<String, Json>, known: Keys) -> Read<()> {
    let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let near = nearest(key, known.iter().copied());
    let advice = near.map_or_else(|| format!("there are {}", listed(known)), |near| format!("did you mean `{near}`?"));
    wrong(place, format!("`{}` is no key of this: {advice}", shown(key)))
}

fn listed(keys: Keys) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// A text of the author's as errors show it: short, and without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

fn brief(json: &Json) -> String {
    match json {
        Json::String(text) => format!("`{}`", shown(text)),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
        other => format!("`{other}`"),
    }
}

fn zone(json: Option<&Json>) -> Read<Zone> {
    match json {
        Some(Json::String(name)) => {
            name.parse().map_err(|e| InvalidCalendar { place: "/tz".into(), message: format!("{e}") })
        }
        Some(other) => wrong("/tz", format!("{} is no time zone: write a name such as `Asia/Shanghai`", brief(other))),
        None => wrong("", "`tz` is missing: the time zone in which the hours hold, such as `Asia/Shanghai`"),
    }
}

/// A list that may be left out.
fn list<'a>(place: &str, json: Option<&'a Json>) -> Read<&'a [Json]> {
    match json {
        None => Ok(&[]),
        Some(Json::Array(items)) if items.len() <= DAYS_MAX => Ok(items),
        Some(Json::Array(_)) => wrong(place, format!("more than {DAYS_MAX} entries")),
        Some(other) => wrong(place, format!("expected a list, got {}", brief(other))),
    }
}

fn week(json: Option<&Json>) -> Read<[Vec<Shift>; 7]> {
    let map = match json {
        Some(Json::Object(map)) => map,
        Some(other) => {
            return wrong(
                "/hours",
                format!(
                    "expected an object by weekday, such as {{\"1\": [[\"09:00\", \"18:00\"]]}}, got {}",
                    brief(other)
                ),
            );
        }
        None => {
            return wrong(
                "",
                "`hours` is missing: the intervals of each weekday, such as {\"1\": [[\"09:00\", \"18:00\"]]}",
            );
        }
    };
    let mut week: [Vec<Shift>; 7] = Default::default();
    for (key, hours) in map {
        let place = format!("/hours/{}", shown(key));
        let Some(day) = weekday(key) else {
            return wrong(&place, format!("`{}` is no weekday: write 1 for Monday to 7 for Sunday", shown(key)));
        };
        week[day] = intervals(&place, hours)?;
    }
    Ok(week)
}

/// A weekday's number, from 0 for Monday, by what definitions call it.
fn weekday(key: &str) -> Option<usize> {
    match key.as_bytes() {
        [digit @ b'1'..=b'7'] => Some(usize::from(digit - b'1')),
        _ => None,
    }
}

/// The intervals of one day, by start; they do not overlap.
fn intervals(place: &str, json: &Json) -> Read<Vec<Shift>> {
    let Json::Array(items) = json else {
        return wrong(
            place,
            format!("expected a list of intervals, such as [[\"09:00\", \"18:00\"]], got {}", brief(json)),
        );
    };
    joined(place, items.iter().enumerate().map(|(i, item)| (format!("{place}/{i}"), item)).collect())
}

/// Intervals, each with its place, by start; they do not overlap.
fn joined(place: &str, items: Vec<(String, &Json)>) -> Read<Vec<Shift>> {
    if items.len() > INTERVALS_MAX {
        return wrong(place, format!("more than {INTERVALS_MAX} intervals"));
    }
    let mut all = Vec::with_capacity(items.len());
    for (place, item) in items {
        match item {
            Json::Array(times) if times.len() == 2 => all.push((shift(&place, (0, times))?, place)),
            other => {
                let message =
                    format!("an interval is a start and an end, such as [\"09:00\", \"18:00\"], not {}", brief(other));
                return wrong(&place, message);
            }
        }
    }
    all.sort();
    if let Some([_, (_, place)]) = all.windows(2).find(|pair| pair[1].0.from < pair[0].0.until) {
        return wrong(place, "it overlaps another interval of that day: join them");
    }
    Ok(all.into_iter().map(|(shift, _)| shift).collect())
}

/// The interval whose start stands at that place of a list, its end behind it.
fn shift(place: &str, (at, times): (usize, &[Json])) -> Read<Shift> {
    let from = time(&format!("{place}/{at}"), &times[at])?;
    let until = time(&format!("{place}/{}", at + 1), &times[at + 1])?;
    if from == DAY_SECONDS {
        return wrong(&format!("{place}/{at}"), "24:00 is an end only: write 00:00 on the day after");
    }
    if from == until {
        return wrong(place, "an interval of no length: for a whole day write [\"00:00\", \"24:00\"]");
    }
    Ok(Shift { from, until: if until < from { until + DAY_SECONDS } else { until } })
}

fn time(place: &str, json: &Json) -> Read<u32> {
    match json.as_str().and_then(seconds) {
        Some(seconds) => Ok(seconds),
        None => wrong(place, format!("{} is no time of day: write it as \"09:00\", up to \"24:00\"", brief(json))),
    }
}

fn date(place: &str, json: &Json) -> Read<Date> {
    let text = json.as_str().filter(|text| text.len() == 10 && text.as_bytes()[0].is_ascii_digit());
    match text.and_then(|text| text.parse().ok()) {
        Some(date) => Ok(date),
        None => wrong(place, format!("{} is no date: write it as \"2026-02-14\"", brief(json))),
    }
}

/// The date of an entry that is an object with nothing but `known` keys.
fn dated(place: &str, map: &Map<String, Json>, known: Keys) -> Read<Date> {
    known_keys(place, map, known)?;
    match map.get("date") {
        Some(day) => date(&format!("{place}/date"), day),
        None => wrong(place, "`date` is missing: write it as \"2026-02-14\""),
    }
}

fn holidays(json: Option<&Json>) -> Read<BTreeSet<Date>> {
    let mut all = BTreeSet::new();
    for (i, entry) in list("/holidays", json)?.iter().enumerate() {
        let place = format!("/holidays/{i}");
        all.insert(match entry {
            Json::Object(map) => dated(&place, map, HOLIDAY_KEYS)?,
            other => date(&place, other)?,
        });
    }
    Ok(all)
}

fn workday(place: &str, entry: &Json) -> Read<(Date, Worked)> {
    let Json::Object(map) = entry else { return Ok((date(place, entry)?, Worked::Usual)) };
    let day = dated(place, map, WORKDAY_KEYS)?;
    let worked = match (map.get("like"), map.get("hours")) {
        (None, None) => Worked::Usual,
        (None, Some(hours)) => Worked::Hours(intervals(&format!("{place}/hours"), hours)?),
        (Some(like), None) => {
            let key = like.as_str().map_or_else(|| like.to_string(), str::to_owned);
            let Some(day) = weekday(&key) else {
                let message = format!("`{}` is no weekday: write 1 for Monday to 7 for Sunday", shown(&key));
                return wrong(&format!("{place}/like"), message);
            };
            Worked::Like(day)
        }
        (Some(_), Some(_)) => return wrong(place, "`like` and `hours` both say which hours it has: write one of them"),
    };
    Ok((day, worked))
}

/// The intervals that dates have besides, and those of make-up days.
fn extra_hours(json: Option<&Json>) -> Read<(ByDate, Vec<Shift>)> {
    let (mut all, mut make_up) = (ByDate::new(), Vec::new());
    for (i, entry) in list("/extra_hours", json)?.iter().enumerate() {
        let place = format!("/extra_hours/{i}");
        let (day, shifts) = match entry {
            Json::Object(map) => {
                let day = dated(&place, map, EXTRA_KEYS)?;
                let Some(hours) = map.get("hours") else {
                    return wrong(&place, "`hours` is missing: the intervals, such as [[\"09:00\", \"12:00\"]]");
                };
                (day, intervals(&format!("{place}/hours"), hours)?)
            }
            Json::Array(items) => match items.as_slice() {
                [day, hours @ Json::Array(_)] => {
                    (date(&format!("{place}/0"), day)?, intervals(&format!("{place}/1"), hours)?)
                }
                [day, _, _] => (date(&format!("{place}/0"), day)?, vec![shift(&place, (1, items))?]),
                [_, _] => {
                    make_up.push((place, entry));
                    continue;
                }
                _ => return wrong(&place, ENTRY),
            },
            _ => return wrong(&place, ENTRY),
        };
        all.entry(day).or_default().extend(shifts);
    }
    Ok((all, joined("/extra_hours", make_up)?))
}

/// What an entry of `extra_hours` looks like.
const ENTRY: &str = "extra hours are [\"2026-02-14\", \"09:00\", \"12:00\"] or {\"date\": \"2026-02-14\", \"hours\": [[\"09:00\", \
                     \"12:00\"]]}; [\"09:00\", \"12:00\"] are hours of make-up days";
