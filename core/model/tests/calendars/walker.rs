//! Calendars made at random, and a walk over every minute that says when they are open.

use jiff::civil::{Date, date};
use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;
use rapport_model::Timestamp;
use serde_json::{Value as Json, json};

pub(crate) const MINUTE: i64 = 60_000_000;
/// The minutes that are looked at from the first day on.
const MINUTES: usize = 16 * 1_440;
/// Where questions begin at the earliest, in minutes from the first day on: what is open then began within these days.
pub(crate) const BEGIN: usize = 2 * 1_440;
/// Where they end at the latest.
pub(crate) const END: usize = 13 * 1_440;

/// Zones, each with a Sunday on which its clock changes: by an hour, by half an hour, not at all; and a day that was left out.
pub(crate) const PLACES: [(&str, Date); 8] = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Asia/Shanghai", date(2026, 2, 15)),
    ("Pacific/Apia", date(2011, 12, 30)),
];

/// Minutes from one midnight; the second may lie on the next day.
type Interval = (u32, u32);

/// A calendar as a walker understands it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) place: usize,
    week: [Vec<Interval>; 7],
    /// Days from the first one that is looked at.
    holidays: Vec<i32>,
    workdays: Vec<(i32, u8)>,
    extra: Vec<(i32, Interval)>,
}

impl Plan {
    pub(crate) fn first_day(&self) -> Date {
        PLACES[self.place].1.checked_sub(7.days()).unwrap()
    }

    fn date(&self, day: i32) -> Date {
        self.first_day().checked_add(day.days()).unwrap()
    }

    pub(crate) fn definition(&self) -> Json {
        let week = self.week.iter().enumerate();
        let hours: serde_json::Map<String, Json> =
            week.map(|(i, day)| ((i + 1).to_string(), day.iter().map(|i| written(*i)).collect())).collect();
        json!({
            "tz": PLACES[self.place].0,
            "hours": hours,
            "holidays": self.holidays.iter().map(|day| self.date(*day).to_string()).collect::<Vec<_>>(),
            "extra_workdays": self.workdays.iter()
                .map(|(day, like)| json!({ "date": self.date(*day).to_string(), "like": like })).collect::<Vec<_>>(),
            "extra_hours": self.extra.iter()
                .map(|(day, hours)| json!({ "date": self.date(*day).to_string(), "hours": [written(*hours)] }))
                .collect::<Vec<_>>(),
        })
    }

    /// Which minutes from the first midnight of the first day on are open.
    pub(crate) fn walk(&self, clock: &Clock) -> Vec<bool> {
        let mut open = vec![false; MINUTES];
        for day in 0..14 {
            let weekday = usize::try_from(self.date(day).weekday().to_monday_zero_offset()).unwrap();
            let like = self.workdays.iter().find(|(worked, _)| *worked == day).map(|(_, like)| usize::from(*like) - 1);
            let usual = match like {
                Some(like) => self.week[like].clone(),
                None if self.holidays.contains(&day) => Vec::new(),
                None => self.week[weekday].clone(),
            };
            let extra = self.extra.iter().filter(|(extra, _)| *extra == day).map(|(_, hours)| *hours);
            for (from, until) in usual.into_iter().chain(extra) {
                let shown = |minutes: u32| i64::from(day) * 1_440 + i64::from(minutes);
                // From when the clock first shows the start until it last shows a time before the end.
                let first = clock.shows.iter().position(|shows| *shows >= shown(from)).unwrap();
                let last = clock.shows.iter().rposition(|shows| *shows < shown(until)).map_or(0, |last| last + 1);
                open[first.min(last)..last].fill(true);
            }
        }
        open
    }
}

/// What the clock of a place shows at every minute that is looked at.
pub(crate) struct Clock {
    /// The first midnight, in microseconds since 1970.
    zero: i64,
    /// Minutes since the midnight of the first date.
    shows: Vec<i64>,
}

impl Clock {
    pub(crate) fn of((zone, change): (&str, Date)) -> Self {
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        let first = change.checked_sub(7.days()).unwrap();
        let start = first.to_zoned(zone.clone()).unwrap().timestamp();
        let midnight = first.to_datetime(jiff::civil::Time::midnight());
        let at = |m: usize| start + SignedDuration::from_mins(i64::try_from(m).unwrap());
        let shows = (0..MINUTES).map(|m| zone.to_datetime(at(m)).duration_since(midnight).as_mins()).collect();
        Self { zero: start.as_microsecond(), shows }
    }

    pub(crate) fn instant(&self, minute: usize) -> Timestamp {
        Timestamp::from_micros(self.zero + i64::try_from(minute).unwrap() * MINUTE)
    }
}

fn written((from, until): Interval) -> Json {
    let time = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let until = if until == 1_440 { until } else { until % 1_440 };
    json!([time(from), time(until)])
}

/// A time of day, often one near those at which clocks change.
fn minute() -> impl Strategy<Value = u32> {
    prop_oneof![0..1_440_u32, (0..16_u32).prop_map(|quarter| quarter * 15), Just(1_320)]
}

/// Intervals that do not overlap: cut out of the minutes between sorted times, the last of them perhaps over midnight.
fn hours() -> impl Strategy<Value = Vec<Interval>> {
    (prop::collection::btree_set(minute(), 0..6), prop::option::of(1..1_440_u32)).prop_map(|(times, night)| {
        let times: Vec<u32> = times.into_iter().collect();
        let mut all: Vec<Interval> = times.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        if let (true, Some(from), Some(night)) = (times.len() % 2 == 1, times.last(), night) {
            all.push((*from, (from + night).min(1_440 + from - 1)));
        }
        all
    })
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let week = prop::array::uniform7(hours());
    let days = prop::collection::vec(0..14, 0..4);
    let workdays = prop::collection::btree_map(0..14, 1..8_u8, 0..3);
    let extra = prop::collection::vec((0..14, (minute(), 1..1_440_u32)), 0..3);
    (0..PLACES.len(), week, days, workdays, extra).prop_map(|(place, week, holidays, workdays, extra)| {
        let workdays = workdays.into_iter().filter(|(_, like)| !week[usize::from(*like) - 1].is_empty()).collect();
        let extra = extra.into_iter().map(|(day, (from, long))| (day, (from, from + long))).collect();
        Plan { place, week, holidays, workdays, extra }
    })
}
