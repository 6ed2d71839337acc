use rapport_sdk::fake;
use serde_json::json;

use super::shop::{HOUR, SECOND, at, call, open, promises_noticed, seconds, ticket};

const DAY: i64 = 24 * HOUR;

/// A ticket by the calendar `days`, with 8 hours for the answer and 24 for the solution.
fn opened() {
    open();
    fake::set("calendar", "days");
    call("open", json!({ "subject": "Broken" }));
}

/// Does what a job would do.
fn tick() {
    let job = fake::jobs().pop().unwrap();
    at(job.at.unwrap().0 / SECOND);
    call(&job.action, job.input);
}

#[test]
fn one_job_waits_for_what_comes_next() {
    opened();
    let jobs = fake::jobs();
    // Eight tenths of eight hours.
    assert_eq!((jobs.len(), jobs[0].at.unwrap().0 / SECOND), (1, 23_040));
    tick();
    assert_eq!(promises_noticed(), ["first_response warning"]);
    tick();
    assert_eq!(promises_noticed(), ["first_response warning", "first_response breached"]);
    assert_eq!(fake::jobs().len(), 3);
}

#[test]
fn a_job_that_was_superseded_does_nothing() {
    opened();
    at(HOUR);
    call("comment", json!({ "ticket": "T-1001", "body": "On it" }));
    let old = fake::jobs().remove(0);
    at(23_040);
    assert_eq!(call("tick", old.input)["result"], "superseded");
    assert_eq!(promises_noticed(), [""; 0]);
}

#[test]
fn after_a_downtime_the_next_one_who_comes_notices_what_was_missed() {
    opened();
    at(10 * DAY);
    call("comment", json!({ "ticket": "T-1001", "body": "Sorry" }));
    assert_eq!(promises_noticed(), ["first_response breached", "resolution breached"]);
    // It is due at the end of the third day, and that is when it was broken.
    assert_eq!(seconds(&ticket("T-1001"), "resolution_breached_at"), Some(2 * DAY + 8 * HOUR));
}

#[test]
fn what_is_left_runs_on_from_where_the_waiting_ends() {
    opened();
    at(HOUR);
    call("comment", json!({ "ticket": "T-1001", "body": "Which one?" }));
    at(2 * HOUR);
    call("wait", json!({ "ticket": "T-1001" }));
    assert_eq!(ticket("T-1001").int("resolution_left").unwrap(), Some(22 * HOUR));
    // At night: what is left begins with the next morning.
    at(5 * DAY + 20 * HOUR);
    call("resume", json!({ "ticket": "T-1001" }));
    let resumed = ticket("T-1001");
    assert_eq!(seconds(&resumed, "resolution_due"), Some(8 * DAY + 6 * HOUR));
    assert_eq!(resumed.int("paused_seconds").unwrap(), Some((6 + 5 * 8) * HOUR));
}

#[test]
fn nothing_is_noticed_while_the_customer_is_waited_for() {
    opened();
    at(HOUR);
    call("wait", json!({ "ticket": "T-1001" }));
    at(100 * DAY);
    call("change", json!({ "ticket": "T-1001", "priority": "urgent" }));
    assert_eq!(promises_noticed(), [""; 0]);
    assert_eq!(ticket("T-1001").int("first_response_left").unwrap(), Some(HOUR));
}

#[test]
fn a_promise_that_changes_counts_from_the_beginning_without_what_did_not_count() {
    opened();
    at(HOUR);
    call("wait", json!({ "ticket": "T-1001" }));
    at(3 * HOUR);
    call("resume", json!({ "ticket": "T-1001" }));
    call("change", json!({ "ticket": "T-1001", "priority": "urgent" }));
    let changed = ticket("T-1001");
    assert_eq!(
        (seconds(&changed, "first_response_due"), seconds(&changed, "resolution_due")),
        (Some(4 * HOUR), Some(6 * HOUR))
    );
}

#[test]
fn new_shifts_move_what_is_due_and_leave_what_was_broken() {
    opened();
    at(2 * DAY);
    call("comment", json!({ "ticket": "T-1001", "body": "Sorry" }));
    assert_eq!(promises_noticed(), ["first_response breached"]);
    fake::calendar("days", |start, n| rapport_sdk::Timestamp(start.0 + n * SECOND), |a, b| (b.0 - a.0) / SECOND);
    call("recompute", json!({}));
    assert_eq!(promises_noticed(), ["first_response breached", "resolution breached"]);
    assert_eq!(seconds(&ticket("T-1001"), "resolution_due"), Some(DAY));
}

#[test]
fn without_a_calendar_nothing_is_promised() {
    open();
    call("open", json!({ "subject": "Broken" }));
    assert!(fake::jobs().is_empty());
    at(3 * HOUR);
    call("solve", json!({ "ticket": "T-1001" }));
    assert_eq!(ticket("T-1001").int("handling_seconds").unwrap(), Some(3 * HOUR));
}

#[test]
fn a_script_that_gives_no_span_says_whose_it_is() {
    open();
    fake::set("targets", "desk/targets");
    fake::script("desk/targets", "targets", |_| Ok(json!({ "calendar": "always", "resolution": 4 })));
    let call = fake::call("open", json!({ "subject": "Broken" }));
    let error = <crate::Desk as rapport_sdk::OnAction>::on_action(call).unwrap_err();
    assert_eq!(error.to_string(), "`targets` of `desk/targets` gives `resolution` as 4, not as a text");
}
