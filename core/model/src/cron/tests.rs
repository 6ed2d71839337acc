//! What an author reads: errors that say what to write instead, and expressions in words.

use super::*;

fn refused(text: &str) -> String {
    text.parse::<Cron>().expect_err(text).to_string()
}

fn said(text: &str) -> String {
    text.parse::<Cron>().unwrap_or_else(|error| panic!("{text}: {error}")).explain()
}

#[test]
fn an_error_names_the_field_the_text_and_what_to_write_instead() {
    let cases = [
        ("99 * * * *", "minute `99`: write a number from 0 to 59"),
        ("0 24 * * *", "hour `24`: write a number from 0 to 23"),
        (
            "*/0 * * * *",
            "minute `*/0`: a step is a number from 1 to 59; write `*` for every minute, or the numbers themselves",
        ),
        (
            "*/90 * * * *",
            "minute `*/90`: a step is a number from 1 to 59; write `*` for every minute, or the numbers themselves",
        ),
        ("5/10 * * * *", "minute `5/10`: a step needs a range: write `5-59/STEP`"),
        ("0 22-2 * * *", "hour `22-2`: a range goes upward: write `22-23,0-2`"),
        ("0 0 * * FUN", "day of week `FUN`: did you mean `SUN`?"),
        ("0 0 * * monday", "day of week `monday`: did you mean `MON`?"),
        ("0 0 * FRB *", "month `FRB`: did you mean `FEB`?"),
        ("0 0 ? * MON", "day of month `?`: `?` is not known here; write `*`"),
        ("0 0 * * L", "day of week `L`: say which weekday: `FRIL` is the last Friday of the month"),
        (
            "0 0 * * FRI#6",
            "day of week `FRI#6`: after `#` write a number from 1 to 5, such as `FRI#2` for the second Friday",
        ),
        ("0 0 L-3 * *", "day of month `L-3`: write `L` for the last day, or `LW` for the last workday"),
        ("0 0 L,LW * *", "day of month `L,LW`: write either `L` or `LW`, not both"),
        ("0,,5 * * * *", "minute ``: something is missing there; write a number from 0 to 59"),
        ("L * * * *", "minute `L`: write a number from 0 to 59"),
        ("+5 * * * *", "minute `+5`: write a number from 0 to 59"),
    ];
    for (text, error) in cases {
        assert_eq!(refused(text), error);
    }
    assert!(refused("0 0 * *").starts_with("`0 0 * *` is no cron expression: it has 4 fields; write `minute hour"));
    assert!(refused("0 0 * * * * 2026").contains("it has 7 fields"));
    assert!(refused("@reboot").contains("write one of @yearly"));
    assert!(refused("").contains("it has 0 fields"));
}

#[test]
fn what_never_comes_is_refused_at_once() {
    for text in ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 4,6,9,11 *", "0 0 */30 4 MON#5", "0 0 31W 2 *"] {
        assert!(refused(text).contains("never comes"), "{text}");
    }
    // Rare is not never: a fifth Friday in February comes every 28 years, and after a century without a leap day 12 or 40 years later.
    let rare: Cron = "0 0 * 2 FRI#5".parse().unwrap();
    let from = "2092-03-01T00:00:00Z".parse().unwrap();
    assert_eq!(rare.next_after(&Zone::utc(), from).unwrap().to_string(), "2104-02-29T00:00:00Z");
}

#[test]
fn what_falls_into_the_gap_every_time_ends_in_bounded_time() {
    let never: Cron = "*/5 2 * MAR SUNL".parse().unwrap();
    assert_eq!(never.next_after(&"Europe/Berlin".parse().unwrap(), Timestamp::EPOCH.plus_micros(1 << 51)), None);
}

#[test]
fn a_hostile_text_is_refused_in_a_short_sentence() {
    let long = "9".repeat(250);
    for text in
        [long.as_str(), &format!("{long} * * * *"), "🦀 * * * *", "٣ * * * *", "\u{1b}[2J * * * *", "* * * * \u{202e}"]
    {
        let error = refused(text);
        assert!(error.len() < 400 && !error.contains('\u{1b}') && !error.contains('\u{202e}'), "{error}");
    }
    assert_eq!(refused(&"*,".repeat(50_000)), "a cron expression has at most 256 bytes, this one has 100000");
}

#[test]
fn names_case_spaces_and_nicknames_make_no_difference() {
    let weekly: Cron = " 0  0 *\t* sun ".parse().unwrap();
    assert_eq!(weekly.as_str(), "0 0 * * sun");
    let from = "2026-03-28T00:00:00Z".parse().unwrap();
    for same in ["0 0 * * 0", "0 0 * * 7", "@weekly", "0 0 0 * * SUN-SUN", "0 0 * * 7-7"] {
        let same: Cron = same.parse().unwrap();
        assert_eq!(same.next_after(&Zone::utc(), from), weekly.next_after(&Zone::utc(), from), "{same}");
    }
}

#[test]
fn an_expression_is_said_in_words() {
    let cases = [
        ("30 2 * * *", "at 02:30, every day"),
        ("0 10 * * MON", "at 10:00, on Monday"),
        ("0 9,17 * * MON-FRI", "at 09:00 and 17:00, on Monday to Friday"),
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("5 * * * *", "minute 5 of every hour"),
        ("0 */2 * * *", "minute 0 of every other hour from 0, every day"),
        ("*/15 9-17 * * 1-5", "every 15 minutes of hours 9 to 17, on Monday to Friday"),
        ("0 0 L * *", "at 00:00, on the last day of the month"),
        (
            "0 0 15W,LW * *",
            "at 00:00, on the day from Monday to Friday nearest to day 15 and the last day from Monday to Friday of the month",
        ),
        ("0 8 * * FRI#2", "at 08:00, on the second Friday of the month"),
        ("0 8 * JUN-AUG *", "at 08:00, in June to August"),
        ("0 0 13 * FRI", "at 00:00, on day 13 of the month or on Friday, whichever comes"),
        ("0 0 1-31 * FRI", "at 00:00, every day"),
        (
            "0 0 */2 * MON",
            "at 00:00, on days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 of the month that are also on Monday",
        ),
    ];
    for (text, words) in cases {
        assert_eq!(said(text), words, "{text}");
    }
}
