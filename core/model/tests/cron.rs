//! The calendar of cron expressions against two others: a daemon of Vixie's kind, run minute by minute, and the crate `cron`.

#[cfg(test)]
#[path = "cron/oracle.rs"]
mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{ToSpan, tz::TimeZone};
use proptest::prelude::*;
use rapport_model::{Cron, Timestamp, Zone};

use oracle::{Entry, Life};

/// Zones whose clocks change in every way there is: by half an hour, by two, at midnight, late on Saturday, in Ramadan, never.
const SAMPLE: [&str; 18] = [
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Havana",
    "America/Santiago",
    "America/Nuuk",
    "America/Scoresbysund",
    "Atlantic/Azores",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Pacific/Chatham",
    "UTC",
];
/// Fixed times in and around the hours in which clocks change, wildcards, ranges, and days of every kind.
const EXPRESSIONS: [&str; 36] = [
    "30 2 * * *",
    "0 2 * * *",
    "0 3 * * *",
    "59 1 * * *",
    "15,45 2 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "15 1 * * SUN",
    "30 23 * * SAT",
    "30 23 * * *",
    "0 1-5 * * *",
    "0 0-23 * * *",
    "10-50/20 0-4/2 * * *",
    "0-59/20 2 * * *",
    "* 2 * * *",
    "*/15 * * * *",
    "*/7 1-3 * * *",
    "5 * * * *",
    "30 */2 * * *",
    "30 2-22/4 * * MON-FRI",
    "30 2 */2 * MON",
    "30 2 * * */2",
    "30 2 1-7 * SUN",
    "30 2 1-31 * MON",
    "45 1 1,15 * *",
    "30 2 L * *",
    "30 2 LW * *",
    "30 2 15W,1W,31W * *",
    "30 2 * * SUN#2",
    "30 2 * * SUNL",
    "0 1 L * SUN#1,SATL",
    "30 2 29 2 *",
    "30 2 * MAR,OCT,NOV FRI-SUN",
    "0 12 * JAN-JUN 7",
    "5-59/27 0,3,23 * * 0",
    "30 1 13 * FRI",
];
const DAYS_AROUND: i64 = 3;
const MINUTES_PER_DAY: i64 = 1_440;

fn cron(text: &str) -> Cron {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn ours(instant: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(instant.as_microsecond())
}

fn start_of_decade() -> jiff::Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("an instant")
}

/// The changes of a zone's clock in the next `years`.
fn changes(rules: &TimeZone, years: i64) -> Vec<(jiff::Timestamp, i32)> {
    let end = start_of_decade() + (years * 366 * 24).hours();
    let all = rules.following(start_of_decade()).take_while(|change| change.timestamp() < end);
    all.map(|change| (change.timestamp(), change.offset().seconds())).collect()
}

/// Holds every expression against the oracle for three days on either side of each change of the clock.
fn agrees_around_every_change(name: &str, years: i64) {
    let zone: Zone = name.parse().expect("a zone of the database");
    let rules = TimeZone::get(name).expect("a zone of the database");
    let mut middles: Vec<jiff::Timestamp> = changes(&rules, years).into_iter().map(|(at, _)| at).collect();
    middles.push("2028-02-29T00:00:00Z".parse().expect("an instant"));
    for middle in middles {
        let from = middle - (DAYS_AROUND * 24).hours();
        let minutes = 2 * DAYS_AROUND * MINUTES_PER_DAY;
        let (life, until) = (Life::new(&rules, from, minutes), ours(from + minutes.minutes()));
        for text in EXPRESSIONS {
            let want: BTreeSet<Timestamp> = life.starts(&Entry::new(text)).into_iter().map(ours).collect();
            let before = Timestamp::from_micros(ours(from).micros() - 1);
            let found: BTreeSet<Timestamp> =
                cron(text).instants_after(&zone, before).take_while(|at| *at < until).collect();
            let [extra, lost] =
                [(&found, &want), (&want, &found)].map(|(a, b)| a.difference(b).take(3).collect::<Vec<_>>());
            assert!(found == want, "`{text}` in {name} around {middle}: too many {extra:?}, too few {lost:?}");
            asked_anywhere(&cron(text), &zone, &want, middle);
        }
    }
}

/// Wherever around the change one begins to ask, inside a fold too, the answer is the first instant after that.
fn asked_anywhere(cron: &Cron, zone: &Zone, want: &BTreeSet<Timestamp>, middle: jiff::Timestamp) {
    for from in (-200..200).map(|n| ours(middle + (7 * n).minutes())) {
        let later = (std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded);
        if let Some(first) = want.range(later).next() {
            assert_eq!(cron.next_after(zone, from), Some(*first), "`{cron}` in {zone} from {from}");
        }
    }
}

#[test]
fn the_calendar_is_vixies_wherever_a_clock_changes() {
    for name in SAMPLE {
        agrees_around_every_change(name, 2);
    }
}

mod slow {
    use super::*;

    /// Zones whose clocks do the same in the ten years are tried once: an answer depends on nothing else of a zone.
    #[test]
    fn the_calendar_is_vixies_in_every_zone_there_is() {
        if std::env::var("RAPPORT_SLOW").is_ok_and(|v| v == "1") {
            let mut alike: BTreeMap<(i32, Vec<_>), String> = BTreeMap::new();
            let names: Vec<String> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
            assert!(names.len() > 400, "this machine's time zone database has {} zones", names.len());
            for name in names {
                let Ok(rules) = TimeZone::get(&name) else { continue };
                alike.entry((rules.to_offset(start_of_decade()).seconds(), changes(&rules, 10))).or_insert(name);
            }
            for name in alike.values() {
                agrees_around_every_change(name, 10);
            }
        }
    }
}

#[test]
fn a_zone_that_skipped_a_day_still_runs_what_was_fixed_on_it() {
    // Samoa had no 30 December 2011. Vixie takes so long a jump for a correction of the clock; here a fixed time is never lost.
    let apia: Zone = "Pacific/Apia".parse().unwrap();
    let after: Timestamp = "2011-12-29T12:00:00Z".parse().unwrap();
    let next = |text: &str| cron(text).next_after(&apia, after).unwrap().to_string();
    assert_eq!(next("0 9 30 12 *"), "2011-12-30T10:00:00Z");
    assert_eq!(next("*/5 9 30 12 *"), "2012-12-29T19:00:00Z");
}

#[test]
fn the_answer_of_the_issue() {
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let from: Timestamp = "2026-03-28T00:00:00Z".parse().unwrap();
    let found: Vec<String> = cron("30 2 * * *").instants_after(&berlin, from).take(3).map(|t| t.to_string()).collect();
    assert_eq!(found, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
}

#[test]
fn seconds_are_counted_where_a_sixth_field_asks_for_them() {
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let first = |text: &str, from: &str| {
        let from: Timestamp = from.parse().unwrap();
        cron(text).instants_after(&berlin, from).take(3).map(|t| t.to_string()).collect::<Vec<_>>()
    };
    let every_20 = first("*/20 * * * * *", "2026-03-29T00:59:59.5Z");
    assert_eq!(every_20, ["2026-03-29T01:00:00Z", "2026-03-29T01:00:20Z", "2026-03-29T01:00:40Z"]);
    // All seconds of a minute in the gap are one instant right after it.
    let in_gap = first("* 30 2 * * *", "2026-03-28T02:00:00Z");
    assert_eq!(in_gap, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-30T00:30:01Z"]);
}

/// A field of a generated expression: `*`, a step, a value, a range or a list.
fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        1 => (1..=(max - min)).prop_map(|step| format!("*/{step}")),
        2 => (min..=max).prop_map(|value| value.to_string()),
        1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (min..=max, min..=max, 1..=(max - min)).prop_map(|(a, b, s)| format!("{}-{}/{s}", a.min(b), a.max(b))),
        1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn weekdays() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["MON", "SUN", "MON-FRI", "TUE,SAT", "FRI-SAT", "WED"]).prop_map(str::to_owned)
}

/// Expressions in which at most one day field is restricted.
fn with_one_day_field() -> impl Strategy<Value = String> {
    let days = prop_oneof![
        field(1, 28).prop_map(|day| (day, "*".to_owned())),
        weekdays().prop_map(|weekday| ("*".to_owned(), weekday)),
    ];
    (field(0, 59), field(0, 23), days, field(1, 12))
        .prop_map(|(minute, hour, (day, weekday), month)| format!("{minute} {hour} {day} {month} {weekday}"))
}

fn any_expression() -> impl Strategy<Value = String> {
    let weekday = prop_oneof![field(0, 6), weekdays(), Just("FRIL".to_owned()), Just("2#3".to_owned())];
    let day = prop_oneof![field(1, 28), Just("L".to_owned()), Just("15W".to_owned())];
    (field(0, 59), field(0, 23), day, field(1, 12), weekday).prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

fn instants() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        3 => (1_577_836_800_000_000_i64..2_208_988_800_000_000).prop_map(Timestamp::from_micros),
        1 => any::<i64>().prop_map(Timestamp::from_micros),
    ]
}

proptest! {
    /// The second opinion: the crate `cron`, where it means the same. It skips fixed times in a gap, wants both day fields to
    /// hold and counts Sunday as 1; without clock changes, with one day field and with named weekdays it must agree.
    #[test]
    fn the_crate_cron_agrees_where_it_means_the_same(text in with_one_day_field(), from in 1_700_000_000_i64..2_000_000_000) {
        let other: cron::Schedule = format!("0 {text}").parse().unwrap();
        let start = chrono::DateTime::from_timestamp(from, 0).unwrap();
        let want: Vec<i64> = other.after(&start).take(20).map(|at| at.timestamp() * 1_000_000).collect();
        let start = Timestamp::from_micros(from * 1_000_000);
        let found: Vec<i64> = cron(&text).instants_after(&Zone::utc(), start).take(20).map(Timestamp::micros).collect();
        prop_assert_eq!(found, want, "{}", text);
    }

    #[test]
    fn an_answer_is_always_later_than_what_was_asked(
        text in any_expression(), zone in prop::sample::select(SAMPLE.to_vec()), from in instants()
    ) {
        let Ok(cron) = text.parse::<Cron>() else { return Ok(()) };
        let zone: Zone = zone.parse().unwrap();
        let mut last = from;
        for next in cron.instants_after(&zone, from).take(10) {
            prop_assert!(next > last && next.micros() % 1_000_000 == 0, "{} {} {}", text, last, next);
            last = next;
        }
    }

    /// Where one begins to ask makes no difference: nothing lies between an instant and the next.
    #[test]
    fn nothing_lies_between_two_answers(
        text in any_expression(), zone in prop::sample::select(SAMPLE.to_vec()), from in instants(), part in 0..100_i64
    ) {
        let Ok(cron) = text.parse::<Cron>() else { return Ok(()) };
        let zone: Zone = zone.parse().unwrap();
        if let Some(next) = cron.next_after(&zone, from) {
            let between = from.plus_micros((next.micros() - from.micros()) / 100 * part);
            prop_assert_eq!(cron.next_after(&zone, between), Some(next), "{} {}", text, between);
        }
    }

    #[test]
    fn no_text_makes_the_reader_fall(text in "\\PC{0,60}|[0-9*/,LW#A-Z -]{0,40}") {
        if let Err(error) = text.parse::<Cron>() {
            prop_assert!(error.to_string().len() < 600);
        }
    }
}
