//! Says a cron expression in words.

use super::Fields;
use super::field::{Field, FieldName, Special};

/// The most times of day that are listed one by one.
const TIMES_MAX: usize = 6;
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// The expression in words, without its zone.
pub(super) fn explain(fields: &Fields) -> String {
    let mut parts = vec![times(fields)];
    parts.extend(days(fields));
    if !fields.month.every {
        parts.push(format!("in {}", values(FieldName::Month, &fields.month)));
    }
    if parts.len() == 1 && !fields.hour.every {
        parts.push("every day".to_owned());
    }
    parts.join(", ")
}

/// The times of day: as clock times where they are few, else field by field.
fn times(fields: &Fields) -> String {
    let (hours, minutes, seconds) = (fields.hour.values(), fields.minute.values(), fields.second.values());
    if hours.len() * minutes.len() * seconds.len() <= TIMES_MAX {
        let mut times = Vec::new();
        for (hour, minute) in hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (hour, minute))) {
            times.extend(seconds.iter().map(|second| match second {
                0 => format!("{hour:02}:{minute:02}"),
                _ => format!("{hour:02}:{minute:02}:{second:02}"),
            }));
        }
        return format!("at {}", listed(&times, "and"));
    }
    let mut parts = Vec::new();
    if seconds != [0] {
        parts.push(unit(FieldName::Second, &fields.second));
    }
    // What is finer than a field that names every value says it all: `every second` needs no `of every minute`.
    if !fields.minute.every || parts.is_empty() {
        parts.push(unit(FieldName::Minute, &fields.minute));
    }
    if !fields.hour.every {
        parts.push(hours_of(&fields.hour));
    } else if !fields.minute.every && steps(FieldName::Minute, &fields.minute).is_none() {
        parts.push("every hour".to_owned());
    }
    parts.join(" of ")
}

/// Seconds or minutes: `every minute`, `every 15 minutes`, `minute 5`.
fn unit(name: FieldName, field: &Field) -> String {
    if field.every {
        return format!("every {name}");
    }
    match steps(name, field) {
        Some(step) => format!("every {step} {name}s"),
        None if field.values().len() == 1 => format!("{name} {}", values(name, field)),
        None => format!("{name}s {}", values(name, field)),
    }
}

fn hours_of(field: &Field) -> String {
    match steps(FieldName::Hour, field) {
        Some(2) => "every other hour from 0".to_owned(),
        Some(step) => format!("every {step} hours from 0"),
        None if field.values().len() == 1 => format!("hour {}", values(FieldName::Hour, field)),
        None => format!("hours {}", values(FieldName::Hour, field)),
    }
}

/// The step of a field that counts evenly through its whole range and beyond into the next, such as `*/15` minutes.
fn steps(name: FieldName, field: &Field) -> Option<u8> {
    let (values, (_, max)) = (field.values(), name.bounds());
    let [0, step, ..] = values.as_slice() else { return None };
    let even = values.windows(2).all(|pair| pair[1] - pair[0] == *step) && (max + 1) % step == 0;
    (even && values.last().is_some_and(|last| last + step == max + 1)).then_some(*step)
}

/// The days: one of the two fields, or both and how they belong together.
fn days(fields: &Fields) -> Option<String> {
    let (dates, weekdays) = (&fields.day, &fields.weekday);
    let both = dates.starred || weekdays.starred;
    if !both && (dates.every || weekdays.every) {
        return None;
    }
    match (dates.every, weekdays.every) {
        (true, true) => None,
        (false, true) => Some(dates_in_words(dates)),
        (true, false) => Some(weekdays_in_words(weekdays)),
        (false, false) if both => {
            Some(format!("{} that are also {}", dates_in_words(dates), weekdays_in_words(weekdays)))
        }
        (false, false) => {
            Some(format!("{} or {}, whichever comes", dates_in_words(dates), weekdays_in_words(weekdays)))
        }
    }
}

fn dates_in_words(field: &Field) -> String {
    let mut parts = Vec::new();
    match field.values().len() {
        0 => {}
        1 => parts.push(format!("day {}", values(FieldName::DayOfMonth, field))),
        _ => parts.push(format!("days {}", values(FieldName::DayOfMonth, field))),
    }
    parts.extend(field.special.iter().copied().map(special));
    format!("on {} of the month", listed(&parts, "and"))
}

fn weekdays_in_words(field: &Field) -> String {
    let mut parts = Vec::new();
    if !field.values().is_empty() {
        parts.push(values(FieldName::DayOfWeek, field));
    }
    parts.extend(field.special.iter().map(|day| format!("{} of the month", special(*day))));
    format!("on {}", listed(&parts, "and"))
}

fn special(day: Special) -> String {
    match day {
        Special::LastDay => "the last day".to_owned(),
        Special::LastWorkday => "the last day from Monday to Friday".to_owned(),
        Special::NearestWorkday(date) => format!("the day from Monday to Friday nearest to day {date}"),
        Special::Nth(weekday, n) => format!("the {} {}", ORDINALS[usize::from(n) - 1], WEEKDAYS[usize::from(weekday)]),
        Special::Last(weekday) => format!("the last {}", WEEKDAYS[usize::from(weekday)]),
    }
}

/// The values of a field, with runs of three and more as `1 to 5`.
fn values(name: FieldName, field: &Field) -> String {
    let word = |value: u8| match name {
        FieldName::DayOfWeek => WEEKDAYS[usize::from(value)].to_owned(),
        FieldName::Month => MONTHS[usize::from(value) - 1].to_owned(),
        _ => value.to_string(),
    };
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for value in field.values() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == value => *last = value,
            _ => runs.push((value, value)),
        }
    }
    let parts = runs.into_iter().flat_map(|(first, last)| match last - first {
        0 => vec![word(first)],
        1 => vec![word(first), word(last)],
        _ => vec![format!("{} to {}", word(first), word(last))],
    });
    listed(&parts.collect::<Vec<_>>(), "and")
}

/// `a, b and c`.
fn listed(parts: &[String], word: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}
