use serde_json::{Value as Json, json};

use super::*;

const HOUR: i64 = 3_600_000_000;

fn calendar(definition: &Json) -> Calendar {
    Calendar::from_json(definition).unwrap()
}

/// From nine to six with a break, Monday to Friday, in China; the Spring Festival of 2026 with its make-up days.
fn china() -> Calendar {
    let day = json!([["09:00", "12:00"], ["13:00", "18:00"]]);
    calendar(&json!({
        "tz": "Asia/Shanghai",
        "hours": { "1": day, "2": day, "3": day, "4": day, "5": day },
        "holidays": [
            "2026-02-16", "2026-02-17", "2026-02-18", "2026-02-19", "2026-02-20", { "date": "2026-02-23", "name": "Spring Festival" },
        ],
        "extra_workdays": ["2026-02-14", "2026-02-28"],
    }))
}

fn due(calendar: &Calendar, start: &str, hours: i64) -> String {
    calendar.due(start.parse().unwrap(), hours * HOUR).unwrap().to_string()
}

fn elapsed(calendar: &Calendar, start: &str, end: &str) -> i64 {
    calendar.elapsed(start.parse().unwrap(), end.parse().unwrap()).unwrap()
}

fn refused(definition: &Json) -> String {
    Calendar::from_json(definition).unwrap_err().to_string()
}

#[test]
fn open_time_goes_by_in_open_intervals_only() {
    // 16:00 in China: two hours until closing, one on the next day, after the night.
    assert_eq!(due(&china(), "2026-03-02T16:00:00+08:00", 3), "2026-03-03T02:00:00Z");
    assert_eq!(elapsed(&china(), "2026-03-02T11:00:00+08:00", "2026-03-02T14:00:00+08:00"), 2 * 3_600);
}

#[test]
fn what_is_due_at_closing_is_due_then_and_not_at_the_next_opening() {
    assert_eq!(due(&china(), "2026-03-02T10:00:00+08:00", 2), "2026-03-02T04:00:00Z");
    assert_eq!(due(&china(), "2026-03-02T16:00:00+08:00", 2), "2026-03-02T10:00:00Z");
}

#[test]
fn outside_open_time_a_span_counts_from_the_next_opening() {
    // A Friday evening.
    assert_eq!(due(&china(), "2026-03-06T20:00:00+08:00", 1), "2026-03-09T02:00:00Z");
}

#[test]
fn a_span_of_nothing_is_due_at_once() {
    assert_eq!(due(&china(), "2026-03-07T03:00:00Z", 0), "2026-03-07T03:00:00Z");
}

#[test]
fn holidays_are_closed_and_make_up_days_are_worked() {
    // Friday the 13th at 17:00; Saturday the 14th is worked; then closed until Tuesday the 24th.
    assert_eq!(due(&china(), "2026-02-13T17:00:00+08:00", 4), "2026-02-14T04:00:00Z");
    assert_eq!(due(&china(), "2026-02-13T17:00:00+08:00", 10), "2026-02-24T02:00:00Z");
    assert_eq!(elapsed(&china(), "2026-02-13T18:00:00+08:00", "2026-02-24T09:00:00+08:00"), 8 * 3_600);
}

#[test]
fn a_make_up_day_has_the_hours_that_it_names() {
    let with = |extra: Json, hours: Json| {
        calendar(&json!({
            "tz": "UTC",
            "hours": { "2": [["09:00", "17:00"]], "5": [["09:00", "12:00"]] },
            "holidays": ["2026-02-13"],
            "extra_workdays": [extra],
            "extra_hours": hours,
        }))
    };
    let worked =
        |c: &Calendar, date: &str| elapsed(c, &format!("{date}T00:00:00Z"), &format!("{date}T23:00:00Z")) / 3_600;
    assert_eq!(
        worked(&with(json!("2026-02-14"), json!([])), "2026-02-14"),
        8,
        "those of the first weekday that has any"
    );
    assert_eq!(worked(&with(json!("2026-02-13"), json!([])), "2026-02-13"), 3, "those of its own weekday");
    assert_eq!(worked(&with(json!({"date": "2026-02-14", "like": 5}), json!([])), "2026-02-14"), 3);
    assert_eq!(worked(&with(json!({"date": "2026-02-14", "hours": [["10:00", "11:00"]]}), json!([])), "2026-02-14"), 1);
    let make_up = json!([["09:00", "12:00"], ["13:00", "15:00"]]);
    assert_eq!(worked(&with(json!("2026-02-14"), make_up), "2026-02-14"), 5, "those of make-up days");
}

#[test]
fn extra_hours_are_worked_beside_what_a_day_has() {
    let calendar = calendar(&json!({
        "tz": "UTC",
        "hours": { "1": [["09:00", "12:00"]] },
        "holidays": ["2026-02-16"],
        "extra_hours": [
            ["2026-02-09", "11:00", "14:00"],
            { "date": "2026-02-16", "hours": [["10:00", "11:00"]] },
            ["2026-02-17", [["23:00", "01:00"]]],
        ],
    }));
    assert_eq!(
        elapsed(&calendar, "2026-02-09T00:00:00Z", "2026-02-10T00:00:00Z"),
        5 * 3_600,
        "what overlaps counts once"
    );
    assert_eq!(elapsed(&calendar, "2026-02-16T00:00:00Z", "2026-02-17T00:00:00Z"), 3_600, "a holiday with extra hours");
    assert_eq!(elapsed(&calendar, "2026-02-17T00:00:00Z", "2026-02-18T00:30:00Z"), 5_400);
}

#[test]
fn an_overnight_shift_belongs_to_the_day_on_which_it_starts() {
    let calendar = calendar(&json!({
        "tz": "UTC",
        "hours": { "1": [["22:00", "06:00"]], "2": [["05:00", "09:00"], ["22:00", "06:00"]], "3": [["22:00", "24:00"]] },
        "holidays": ["2026-03-03", "2026-03-16"],
    }));
    // Monday's shift runs into Tuesday, a holiday; Tuesday's does not run.
    assert_eq!(elapsed(&calendar, "2026-03-02T00:00:00Z", "2026-03-04T12:00:00Z"), 8 * 3_600);
    // A week later Monday's shift and Tuesday's morning overlap by an hour.
    assert_eq!(elapsed(&calendar, "2026-03-09T12:00:00Z", "2026-03-10T12:00:00Z"), 11 * 3_600);
    // Another week later Monday is a holiday.
    assert_eq!(due(&calendar, "2026-03-16T12:00:00Z", 1), "2026-03-17T06:00:00Z");
    assert_eq!(due(&calendar, "2026-03-04T21:00:00Z", 2), "2026-03-05T00:00:00Z", "24:00 is the end of the day");
}

#[test]
fn a_night_shift_has_the_hours_that_pass_when_the_clock_changes() {
    let night = json!([["22:00", "06:00"]]);
    let berlin = calendar(&json!({ "tz": "Europe/Berlin", "hours": { "6": night, "3": night } }));
    let night =
        |from: &str, to: &str| elapsed(&berlin, &format!("{from}T12:00:00Z"), &format!("{to}T12:00:00Z")) / 3_600;
    assert_eq!(night("2026-03-28", "2026-03-29"), 7);
    assert_eq!(night("2026-10-24", "2026-10-25"), 9);
    assert_eq!(night("2026-07-04", "2026-07-05"), 8);
    assert_eq!(due(&berlin, "2026-03-28T22:00:00+01:00", 7), "2026-03-29T04:00:00Z");
    assert_eq!(due(&berlin, "2026-10-24T22:00:00+02:00", 9), "2026-10-25T05:00:00Z");
}

#[test]
fn times_that_the_clock_leaves_out_or_shows_twice_are_read_as_the_documentation_says() {
    let of = |from: &str, until: &str| calendar(&json!({ "tz": "Europe/Berlin", "hours": { "7": [[from, until]] } }));
    let spring = |from, until| elapsed(&of(from, until), "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00") / 60;
    let autumn = |from, until| elapsed(&of(from, until), "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00") / 60;
    assert_eq!(spring("02:15", "04:00"), 60, "the start is left out");
    assert_eq!(spring("01:00", "02:30"), 60, "the end is left out");
    assert_eq!(spring("02:10", "02:50"), 0, "all of it is left out");
    assert_eq!(autumn("02:30", "04:00"), 150, "the start is shown twice, and counts first");
    assert_eq!(autumn("01:00", "02:30"), 150, "a time before the end is shown again");
    assert_eq!(autumn("01:00", "02:00"), 60, "no time before the end is shown again");
}

#[test]
fn a_day_that_the_clock_left_out_has_no_open_time() {
    // Samoa went over the date line: there was no 30 December 2011, a Friday.
    let samoa =
        calendar(&json!({ "tz": "Pacific/Apia", "hours": { "5": [["09:00", "17:00"]], "6": [["09:00", "10:00"]] } }));
    assert_eq!(elapsed(&samoa, "2011-12-28T00:00:00Z", "2012-01-01T00:00:00Z"), 3_600);
}

#[test]
fn a_calendar_that_never_opens_is_an_error_and_no_endless_search() {
    let calendar = calendar(&json!({ "tz": "UTC", "hours": {}, "extra_hours": [["2026-02-09", "11:00", "14:00"]] }));
    assert_eq!(elapsed(&calendar, "2026-03-01T00:00:00Z", "2027-03-01T00:00:00Z"), 0);
    assert_eq!(due(&calendar, "2020-03-01T00:00:00Z", 3), "2026-02-09T14:00:00Z");
    let error = calendar.due("2026-02-09T11:00:00Z".parse().unwrap(), 4 * HOUR).unwrap_err().to_string();
    assert_eq!(
        error,
        "nothing is open within ten years from 2026-02-09T11:00:00Z: give the calendar hours, or extra hours after that"
    );
}

#[test]
fn a_calculation_goes_a_hundred_years_at_most() {
    let calendar = calendar(&json!({ "tz": "Europe/Berlin", "hours": { "1": [["09:00", "09:01"]] } }));
    let instant = |text: &str| text.parse::<Timestamp>().unwrap();
    for (start, span) in [("2026-01-01T00:00:00Z", 100 * HOUR), ("9999-12-01T00:00:00Z", HOUR)] {
        let error = calendar.due(instant(start), span).unwrap_err();
        assert_eq!(error, BusinessTimeError::TooFar { from: instant(start) });
    }
    let (start, end) = (instant("1900-01-01T00:00:00Z"), instant("2026-01-01T00:00:00Z"));
    assert_eq!(calendar.elapsed(start, end), Err(BusinessTimeError::TooFar { from: start }));
}

#[test]
fn an_end_before_its_start_is_an_error() {
    let (start, end) = ("2026-03-02T10:00:00Z".parse().unwrap(), "2026-03-02T09:00:00Z".parse().unwrap());
    let error = china().elapsed(start, end).unwrap_err().to_string();
    assert_eq!(
        error,
        "the end 2026-03-02T09:00:00Z is before the start 2026-03-02T10:00:00Z: give the earlier instant first"
    );
    assert_eq!(china().due(start, -1), Err(BusinessTimeError::Negative));
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let hours = |hours: Json| json!({ "tz": "UTC", "hours": { "1": hours } });
    let list = |key: &str, entry: Json| json!({ "tz": "UTC", "hours": { "1": [["09:00", "12:00"]] }, key: [entry] });
    let all = [
        (json!([]), "a calendar is an object with `tz` and `hours`"),
        (json!({ "hours": {} }), "`tz` is missing"),
        (
            json!({ "tz": "Asia/Shangai", "hours": {} }),
            "/tz: there is no time zone `Asia/Shangai`: did you mean `Asia/Shanghai`?",
        ),
        (json!({ "tz": 8, "hours": {} }), "/tz: `8` is no time zone"),
        (json!({ "tz": "UTC" }), "`hours` is missing"),
        (json!({ "tz": "UTC", "hours": {}, "holiday": [] }), "`holiday` is no key of this: did you mean `holidays`?"),
        (
            json!({ "tz": "UTC", "hours": { "0": [] } }),
            "/hours/0: `0` is no weekday: write 1 for Monday to 7 for Sunday",
        ),
        (json!({ "tz": "UTC", "hours": { "mon": [] } }), "/hours/mon: `mon` is no weekday"),
        (hours(json!("09:00-12:00")), "/hours/1: expected a list of intervals"),
        (hours(json!([["09:00"]])), "/hours/1/0: an interval is a start and an end"),
        (
            hours(json!([["09:00", "9pm"]])),
            "/hours/1/0/1: `9pm` is no time of day: write it as \"09:00\", up to \"24:00\"",
        ),
        (hours(json!([["09:00", "24:01"]])), "/hours/1/0/1: `24:01` is no time of day"),
        (hours(json!([["24:00", "09:00"]])), "/hours/1/0/0: 24:00 is an end only"),
        (hours(json!([["00:00", "00:00"]])), "/hours/1/0: an interval of no length"),
        (
            hours(json!([["13:00", "18:00"], ["09:00", "14:00"]])),
            "/hours/1/0: it overlaps another interval of that day",
        ),
        (
            hours(json!([["22:00", "06:00"], ["23:00", "23:30"]])),
            "/hours/1/1: it overlaps another interval of that day",
        ),
        (list("holidays", json!("2026-02-30")), "/holidays/0: `2026-02-30` is no date: write it as \"2026-02-14\""),
        (list("holidays", json!("2026-02-14T10:00")), "/holidays/0: `2026-02-14T10:00` is no date"),
        (list("holidays", json!({ "day": "2026-02-14" })), "/holidays/0: `day` is no key of this"),
        (list("extra_workdays", json!(["2026-02-14"])), "/extra_workdays/0: a list is no date"),
        (
            list("extra_workdays", json!({ "date": "2026-02-14", "like": 9 })),
            "/extra_workdays/0/like: `9` is no weekday",
        ),
        (list("extra_workdays", json!({ "date": "2026-02-14", "like": 3 })), "/extra_workdays/0: no weekday has hours"),
        (list("extra_hours", json!("2026-02-14")), "/extra_hours/0: extra hours are"),
        (list("extra_hours", json!(["2026-02-14", "09:00", "x"])), "/extra_hours/0/2: `x` is no time of day"),
        (list("extra_hours", json!({ "date": "2026-02-14" })), "/extra_hours/0: `hours` is missing"),
    ];
    for (definition, said) in all {
        let error = refused(&definition);
        assert!(error.starts_with(said), "{definition}: {error}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let days = vec![json!("2026-02-14"); DAYS_MAX + 1];
    assert!(
        refused(&json!({ "tz": "UTC", "hours": {}, "holidays": days }))
            .starts_with("/holidays: more than 5000 entries")
    );
    let hours = vec![json!(["09:00", "12:00"]); INTERVALS_MAX + 1];
    assert!(refused(&json!({ "tz": "UTC", "hours": { "1": hours } })).starts_with("/hours/1: more than 24 intervals"));
    let said = refused(&json!({ "tz": "UTC", "hours": { "\u{1b}[31m".repeat(1_000): [] } }));
    assert!(said.len() < 400 && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_span_of_business_time_has_no_days() {
    assert_eq!(parse_span("4 hours"), Ok(4 * HOUR));
    assert_eq!(parse_span("1h30m"), Ok(HOUR * 3 / 2));
    for text in ["2 days", "1 day 2 hours", "2d", "1w"] {
        let said = parse_span(text).unwrap_err().to_string();
        assert!(said.starts_with(&format!("`{text}` has days or weeks")), "{said}");
    }
    assert!(parse_span("4 huors").unwrap_err().to_string().contains("did you mean"));
}
