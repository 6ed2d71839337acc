//! Vixie cron's main loop, minute by minute: what a daemon on a machine with that clock would start, and when.
//!
//! Written from the rules of Vixie cron 4 (`cron.c`, `entry.c`) and of our extensions, not from `rapport_model::cron`, of which it
//! uses nothing. It knows no transitions: it only reads the clock, as a daemon does, and sees it jump.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// Forward jumps of more minutes than this are changes of the clock: fixed times are caught up, wildcards are not.
const SMALL_JUMP: i64 = 5;
/// Jumps of more minutes than this are corrections of the clock, and nothing is caught up.
const LARGE_JUMP: i64 = 180;

/// An entry of a crontab.
pub(crate) struct Entry {
    minutes: Vec<bool>,
    hours: Vec<bool>,
    months: Vec<bool>,
    days: String,
    weekdays: String,
    /// `MIN_STAR | HR_STAR`.
    wild: bool,
    /// `DOM_STAR | DOW_STAR`.
    day_star: bool,
}

impl Entry {
    pub(crate) fn new(expression: &str) -> Self {
        let fields: Vec<&str> = expression.split(' ').collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else { panic!("five fields: {expression}") };
        let all =
            |field: &str, low: u32, high: u32| (0..=high).map(|v| v >= low && names(field, v, low, high)).collect();
        Self {
            minutes: all(minute, 0, 59),
            hours: all(hour, 0, 23),
            months: all(&numbered(month), 1, 12),
            days: (*day).to_owned(),
            weekdays: numbered(weekday),
            wild: minute.starts_with('*') || hour.starts_with('*'),
            day_star: day.starts_with('*') || weekday.starts_with('*'),
        }
    }

    fn matches_time(&self, at: DateTime) -> bool {
        self.minutes[at.minute().unsigned_abs() as usize] && self.hours[at.hour().unsigned_abs() as usize]
    }

    fn matches_day(&self, date: Date) -> bool {
        let by_date = self.days.split(',').any(|item| names_date(item, date));
        let by_weekday = self.weekdays.split(',').any(|item| names_weekday(item, date));
        let day = if self.day_star { by_date && by_weekday } else { by_date || by_weekday };
        day && self.months[date.month().unsigned_abs() as usize]
    }
}

/// The words of a field as numbers, Sunday at the end of a range as 7.
fn numbered(field: &str) -> String {
    let months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let mut text = field.replace("-SUN", "-7");
    for (n, name) in months.iter().enumerate() {
        text = text.replace(name, &(n + 1).to_string());
    }
    for (n, name) in weekdays.iter().enumerate() {
        text = text.replace(name, &n.to_string());
    }
    text
}

/// Whether a list of `*`, numbers, ranges and steps names `value`.
fn names(field: &str, value: u32, low: u32, high: u32) -> bool {
    field.split(',').any(|item| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
            None if range == "*" => (low, high),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        value >= first && value <= last && (value - first).is_multiple_of(step.parse::<u32>().unwrap())
    })
}

fn is_workday(date: Date) -> bool {
    date.weekday().to_monday_one_offset() <= 5
}

fn names_date(item: &str, date: Date) -> bool {
    let last = date.last_of_month();
    match item {
        "L" => date == last,
        "LW" => Some(date) == (0..3).map(|n| last.saturating_sub(n.days())).find(|d| is_workday(*d)),
        _ => match item.strip_suffix('W') {
            None => names(item, u32::from(date.day().unsigned_abs()), 1, 31),
            Some(day) => {
                let day: i8 = day.parse().unwrap();
                let near = |by: i8| date.with().day(day + by).build().ok().filter(|d| is_workday(*d));
                let exists = date.with().day(day).build().is_ok();
                exists && [0, -1, 1, -2, 2].into_iter().filter(|by| day + by >= 1).find_map(near) == Some(date)
            }
        },
    }
}

fn names_weekday(item: &str, date: Date) -> bool {
    let weekday = u32::from(date.weekday().to_sunday_zero_offset().unsigned_abs());
    let is = |text: &str| text.parse::<u32>().unwrap() % 7 == weekday;
    if let Some((day, nth)) = item.split_once('#') {
        let before = (1..date.day()).filter(|d| (date.day() - d) % 7 == 0).count();
        return is(day) && before + 1 == nth.parse::<usize>().unwrap();
    }
    if let Some(day) = item.strip_suffix('L') {
        return is(day) && date.saturating_add(7.days()).month() != date.month();
    }
    names(item, weekday, 0, 7) || (weekday == 0 && names(item, 7, 0, 7))
}

/// Minute after minute of a machine's life: the instant, and what its wall clock shows.
pub(crate) struct Life {
    minutes: Vec<(Timestamp, i64)>,
    /// Every minute that the wall clock shows or leaves out, from the first on.
    shown: Vec<DateTime>,
}

impl Life {
    /// The life of a machine in `zone` from `from` for so many minutes.
    pub(crate) fn new(zone: &TimeZone, from: Timestamp, minutes: i64) -> Self {
        let at = |n: i64| from + n.minutes();
        let number = |t: Timestamp| {
            let wall = zone.to_offset(t).to_datetime(t);
            wall.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_mins()
        };
        let minutes: Vec<(Timestamp, i64)> = (0..minutes).map(|n| (at(n), number(at(n)))).collect();
        let first = minutes.iter().map(|(_, wall)| *wall).min().unwrap();
        let last = minutes.iter().map(|(_, wall)| *wall).max().unwrap();
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let shown = (first..=last).map(|n| epoch + n.minutes()).collect();
        Self { minutes, shown }
    }

    /// The instants at which the daemon would start `entry`.
    pub(crate) fn starts(&self, entry: &Entry) -> BTreeSet<Timestamp> {
        let first = self.minutes.iter().map(|(_, wall)| *wall).min().unwrap();
        let mut days = Vec::new();
        let mut day_matches = |date: Date| match days.last() {
            Some((known, matches)) if *known == date => *matches,
            _ => {
                days.push((date, entry.matches_day(date)));
                entry.matches_day(date)
            }
        };
        let due: Vec<bool> = self.shown.iter().map(|at| entry.matches_time(*at) && day_matches(at.date())).collect();
        let due = |wall: i64| due[usize::try_from(wall - first).unwrap()];
        let mut started = BTreeSet::new();
        let mut virtual_time = self.minutes[0].1 - 1;
        for (now, running) in &self.minutes {
            let jump = running - virtual_time;
            let caught_up = if (1..=SMALL_JUMP).contains(&jump) {
                (virtual_time + 1..=*running).any(due)
            } else if (SMALL_JUMP + 1..=LARGE_JUMP).contains(&jump) {
                if entry.wild { due(*running) } else { (virtual_time + 1..=*running).any(due) }
            } else if (-LARGE_JUMP + 1..=0).contains(&jump) {
                // The clock went back: virtual time stands still until the clock has caught up.
                if entry.wild && due(*running) {
                    started.insert(*now);
                }
                continue;
            } else {
                due(*running)
            };
            if caught_up {
                started.insert(*now);
            }
            virtual_time = *running;
        }
        started
    }
}
