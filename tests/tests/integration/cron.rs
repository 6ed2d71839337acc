//! What the command line says about cron expressions, without a server.

use serde_json::{Value, json};

use crate::process::rapport;

/// The instants that `rapport cron next` prints, as JSON.
fn next(expression: &str, zone: &str, from: &str, count: &str) -> Value {
    let call = ["cron", "next", expression, "--tz", zone, "--from", from, "--count", count, "--json"];
    serde_json::from_str(&rapport(&call).run().expect(0).output).unwrap()
}

#[test]
fn a_fixed_time_in_the_gap_comes_right_after_it() {
    let found = next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "3");
    assert_eq!(found, json!(["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]));
}

#[test]
fn a_fixed_time_in_the_fold_comes_once_and_a_wildcard_twice() {
    let once = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2");
    assert_eq!(once, json!(["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]));
    let asked_in_the_fold = next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "1");
    assert_eq!(asked_in_the_fold, json!(["2026-10-26T01:30:00Z"]));
    let twice = next("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "3");
    assert_eq!(twice, json!(["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]));
}

#[test]
fn either_day_field_is_enough_unless_one_begins_with_a_star() {
    let either = next("0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z", "4");
    assert_eq!(
        either,
        json!(["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z", "2026-02-27T00:00:00Z"])
    );
    let both = next("0 0 */2 * FRI", "UTC", "2026-02-01T00:00:00Z", "2");
    assert_eq!(both, json!(["2026-02-13T00:00:00Z", "2026-02-27T00:00:00Z"]));
}

#[test]
fn an_instant_is_never_answered_with_itself() {
    let found = next("0 10 * * MON", "Asia/Shanghai", "2026-03-02T02:00:00Z", "1");
    assert_eq!(found, json!(["2026-03-09T02:00:00Z"]));
}

#[test]
fn people_see_the_wall_clock_beside_the_instant() {
    let call =
        ["cron", "next", "0 9 L * *", "--tz", "America/New_York", "--from", "2026-02-01T00:00:00Z", "--count", "2"];
    insta::assert_snapshot!(rapport(&call).run().expect(0).output.trim_end(), @r"
    INSTANT               AMERICA/NEW_YORK
    2026-02-28T14:00:00Z  2026-02-28 09:00:00 -05:00
    2026-03-31T13:00:00Z  2026-03-31 09:00:00 -04:00
    ");
}

#[test]
fn an_expression_is_explained_in_words() {
    let said = rapport(&["cron", "explain", "0 10 * * MON"]).run().expect(0).output;
    assert!(said.starts_with("at 10:00, on Monday\nWhen the clock is put forward over it, it comes once"), "{said}");
    let said: Value =
        serde_json::from_str(&rapport(&["cron", "explain", "*/15 * * * *", "--json"]).run().expect(0).output).unwrap();
    assert_eq!((&said["expression"], &said["explanation"]), (&json!("*/15 * * * *"), &json!("every 15 minutes")));
}

#[test]
fn what_is_wrong_is_refused_with_what_to_write_instead() {
    let long = "*,".repeat(60_000);
    let cases = [
        (["99 * * * *", "UTC"], "minute `99`: write a number from 0 to 59"),
        (["*/0 * * * *", "UTC"], "minute `*/0`: a step is a number from 1 to 59"),
        (["0 0 31 2 *", "UTC"], "`0 0 31 2 *` never comes"),
        (["0 0 * * MOM", "UTC"], "did you mean `MON`?"),
        (["0 0 * *", "UTC"], "it has 4 fields"),
        (["🦀 * * * *", "UTC"], "minute `🦀`"),
        ([&long, "UTC"], "at most 256 bytes"),
        (["0 0 * * *", "Europe/Berln"], "did you mean `Europe/Berlin`?"),
    ];
    for ([expression, zone], said) in cases {
        let outcome = rapport(&["cron", "next", expression, "--tz", zone]).run().expect(2);
        assert!(outcome.text.contains(said) && outcome.output.is_empty(), "{}", outcome.text);
    }
}
