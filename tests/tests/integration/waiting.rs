//! Runs that wait: for time, for events, for people. They cost nothing while they do, and survive whatever happens.

use std::sync::Arc;

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::harness::{Database, TestApp, event, eventually, on_both, order_paid};

on_both!(
    a_run_sleeps_and_goes_on_with_what_it_knew,
    a_run_sleeps_over_a_restart,
    a_run_waits_for_the_event_that_it_means,
    a_wait_ends_with_its_timeout,
    an_event_before_the_wait_does_not_count_and_one_during_the_slice_does,
    a_question_becomes_a_task_and_its_answer_goes_on,
    a_question_that_nobody_answers_times_out,
    a_run_whose_calls_differ_is_paused_before_any_effect,
    a_wait_without_an_equality_is_refused,
    a_failure_after_the_wait_does_not_repeat_what_came_before,
    a_question_needs_its_right,
    a_plugin_waits_as_a_script_does,
    a_journal_that_is_too_long_ends_the_run_and_says_so,
    a_journal_of_too_many_bytes_ends_the_run_and_says_so,
    a_journal_that_is_half_full_is_told_on_the_run,
    a_damaged_journal_ends_its_run_and_holds_up_no_other,
    a_damaged_row_is_left_alone_and_holds_up_no_other,
    a_run_that_was_cancelled_while_it_waited_is_woken_by_nothing,
    while_history_is_loaded_nobody_is_woken,
);

const START: &str = "2026-03-01T12:00:00Z";

pub(crate) fn clock() -> Arc<SetClock> {
    Arc::new(SetClock::at(START.parse().unwrap()))
}

pub(crate) fn later(clock: &SetClock, span: &str) {
    let start: Timestamp = START.parse().unwrap();
    clock.set(start.plus_micros(rapport_model::duration::parse(span).unwrap()));
}

pub(crate) async fn waiting(app: &TestApp, count: usize) {
    let all = || async { (app.runs("status=waiting").await.len() == count).then_some(()) };
    eventually("the runs that wait", all).await;
}

pub(crate) async fn completed(app: &TestApp, count: usize) {
    let all = || async { (app.runs("status=completed").await.len() == count).then_some(()) };
    eventually("the runs to end", all).await;
}

const SLEEPER: &str = r#"//! Notes what it saw, sleeps, and notes it again.
on("order.paid");
uses("customer:read", "customer.notes:write");
fn run(event) {
    let before = get("customer", "customer_no:1");
    update(before, #{ notes: `saw ${before.name}` });
    sleep("3 days");
    let after = refresh(before);
    update(after, #{ notes: `${after.notes}; then ${before.name}, now ${after.name}` });
}
"#;

async fn a_run_sleeps_and_goes_on_with_what_it_knew(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("sleeper", SLEEPER).clock(clock.clone()).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "saw Ada");
    let path = "/v1/records/customer/customer_no:1";
    app.patch(path, json!({ "name": "Grace" })).await.expect(200);
    later(&clock, "2 days");
    app.run_until_idle().await;
    assert_eq!(app.runs("status=waiting").await.len(), 1);
    later(&clock, "3 days");
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "saw Ada; then Ada, now Grace");
    let changes = app.log().await.iter().filter(|e| e["type"] == "customer.updated").count();
    assert_eq!(changes, 3, "what came before the wait is not done again");
}

async fn a_run_sleeps_over_a_restart(database: Database) {
    let app = TestApp::on(database).script("sleeper", &SLEEPER.replace("3 days", "400 milliseconds")).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    eventually("the first note", || async { (app.customer_field("1", "notes").await == "saw Ada").then_some(()) })
        .await;
    let app = app.restart(|setup| setup).await;
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "saw Ada; then Ada, now Ada");
}

const WAITER: &str = r#"//! Waits for the customer's next large order.
on("order.paid");
uses("customer:read", "order:read", "customer.notes:write");
fn run(event) {
    let next = wait_for("order.created", "customer == c && amount > 100", #{ c: event.record.id }, "7 days");
    if next.timed_out {
        update(event.record, #{ notes: "nothing came" });
    } else {
        update(event.record, #{ notes: `order ${next.record.order_no} of ${next.after.amount}` });
    }
}
"#;

pub(crate) async fn order(app: &TestApp, number: &str, customer: &str, amount: &str) {
    let body = json!({ "order_no": number, "customer": { "customer_no": customer }, "amount": amount });
    app.post("/v1/records/order", body).await.expect(201);
}

async fn a_run_waits_for_the_event_that_it_means(database: Database) {
    let app = TestApp::on(database).script("waiter", WAITER).start().await;
    app.customer("1").await;
    app.customer("2").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    app.post("/v1/events", order_paid("2", "2", "5")).await.expect(202);
    waiting(&app, 2).await;
    order(&app, "small", "1", "7").await;
    order(&app, "others", "3", "700").await;
    order(&app, "large", "1", "500").await;
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "order large of 500.00");
    assert_eq!(app.customer_field("2", "notes").await, Value::Null);
    waiting(&app, 1).await;
    let app = app.restart(|setup| setup).await;
    order(&app, "late", "2", "101").await;
    completed(&app, 2).await;
    assert_eq!(app.customer_field("2", "notes").await, "order late of 101.00");
}

async fn a_wait_ends_with_its_timeout(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("waiter", WAITER).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    later(&clock, "7 days");
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "nothing came");
    order(&app, "after", "1", "500").await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("1", "notes").await, "nothing came");
}

/// The run that starts waits for an event that a run of the same event may have brought already.
async fn an_event_before_the_wait_does_not_count_and_one_during_the_slice_does(database: Database) {
    let waiter = r#"//! Waits for a signal about its own customer.
on("order.paid");
uses("customer.notes:write", "customer:read");
event_type("test.signal", #{ n: "integer" });
fn run(event) {
    let next = wait_for("test.signal", "", #{}, "1 hour");
    update(event.record, #{ notes: `signal ${next.data.n}` });
}
"#;
    let app = TestApp::on(database).script("waiter", waiter).start().await;
    for n in 1..=20 {
        let number = n.to_string();
        app.customer(&number).await;
        let about = format!("customer/customer_no:{n}");
        app.post("/v1/events", event(&format!("early-{n}"), "test.signal", &about, json!({ "n": 0 })))
            .await
            .expect(202);
        // Both at once: the signal falls before, into or behind the slice of the run.
        let paid = app.post("/v1/events", order_paid(&number, &number, "5"));
        let signal = event(&format!("late-{n}"), "test.signal", &about, json!({ "n": n }));
        let (paid, signal) = tokio::join!(paid, app.post("/v1/events", signal));
        paid.expect(202);
        signal.expect(202);
    }
    // Where the signal came before the run began, another one is needed.
    let rest = || async {
        for n in 1..=20 {
            let id = format!("again-{n}-{}", app.log().await.len());
            let about = format!("customer/customer_no:{n}");
            app.post("/v1/events", event(&id, "test.signal", &about, json!({ "n": n }))).await.expect(202);
        }
        (app.runs("status=completed").await.len() == 20).then_some(())
    };
    eventually("all signals", rest).await;
    for n in 1..=20 {
        assert_eq!(app.customer_field(&n.to_string(), "notes").await, format!("signal {n}"));
    }
}

const ASKER: &str = r#"//! Asks the shop manager about an order.
on("order.paid");
uses("task:create", "customer.notes:write", "customer:read");
setting("manager", "role:shop-manager");
fn run(event) {
    let answer = ask(setting("manager"), #{ title: `Refund ${event.data.order_no}?`, choices: ["refund", "keep"] }, "2 days");
    if answer.timed_out { answer.choice = "nobody answered"; }
    update(event.record, #{ notes: `${answer.choice} by ${answer.by}` });
}
"#;

async fn a_question_becomes_a_task_and_its_answer_goes_on(database: Database) {
    let app = TestApp::on(database).script("asker", ASKER).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("77", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let tasks = app.all("task").await;
    assert_eq!(
        (tasks.len(), &tasks[0]["title"], &tasks[0]["assignee"]),
        (1, &json!("Refund 77?"), &json!("role:shop-manager"))
    );
    assert_eq!((&tasks[0]["state"], &tasks[0]["choices"]), (&json!("open"), &json!(["refund", "keep"])));
    let path = format!("/v1/records/task/{}", tasks[0]["id"].as_str().unwrap());
    app.patch(&path, json!({ "body": "looked at" })).await.expect(200);
    app.patch(&path, json!({ "state": "done", "choice": "refund" })).await.expect(200);
    completed(&app, 1).await;
    let notes = app.customer_field("1", "notes").await;
    assert!(notes.as_str().unwrap().starts_with("refund by "), "{notes}");
    assert_eq!(app.all("task").await.len(), 1, "the question is asked once");
}

async fn a_question_that_nobody_answers_times_out(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("asker", ASKER).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("77", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    later(&clock, "2 days");
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "nobody answered by ");
}

/// A run keeps the version that it started with, so only what a script reads behind the host's back can make it differ: here a
/// record that its own first call looks up by another key each time.
async fn a_run_whose_calls_differ_is_paused_before_any_effect(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("sleeper", SLEEPER).clock(clock.clone()).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let app = app
        .restart_after(async || {
            // A stranger changes what the journal says.
            let text = "update journal set entries = replace(entries, '\"c\":\"update\"', '\"c\":\"delete\"')";
            assert_eq!(crate::database::execute(database, &data, &url, text).await, 1);
        })
        .await;
    // The clock of the restarted server is the wall's: the three days are long over.
    let paused = || async { app.runs("status=paused").await.into_iter().next() };
    let run = eventually("the run to be paused", paused).await;
    let why = run["error"].to_string();
    assert!(why.contains("called `update`") && why.contains("had called `delete`"), "{why}");
    assert_eq!(app.customer_field("1", "notes").await, "saw Ada");
    let id = run["id"].as_str().unwrap();
    app.post(&format!("/v1/runs/{id}/resume"), json!({})).await.expect(200);
    eventually("the run to be paused again", || async { app.runs("status=paused").await.into_iter().next() }).await;
}

async fn a_wait_without_an_equality_is_refused(database: Database) {
    // A rule that the check can read is refused there: this one is computed.
    let script = WAITER
        .replace("let next = wait_for(", "let rule = \"amount\" + \" > 100\"; let next = wait_for(")
        .replace("\"customer == c && amount > 100\"", "rule")
        .replace("#{ c: event.record.id }", "#{}");
    let app = TestApp::on(database).script("waiter", &script).start().await;
    app.customer("1").await;
    app.expect_dead(1);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let dead = || async { app.runs("status=dead").await.into_iter().next() };
    let run = eventually("the run to die", dead).await;
    assert!(run["error"].to_string().contains("customer == c"), "{run}");
}

async fn a_failure_after_the_wait_does_not_repeat_what_came_before(database: Database) {
    let script = SLEEPER.replace("3 days", "10 milliseconds").replace(
        "let after = refresh(before);",
        "let after = refresh(before); if after.country != \"Norway\" { fail(\"not yet\"); }",
    );
    let app = TestApp::on(database).script("sleeper", &script).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let dead = || async { app.runs("status=dead").await.into_iter().next() };
    let run = eventually("the run to die", dead).await;
    app.expect_dead(1);
    app.patch("/v1/records/customer/customer_no:1", json!({ "country": "Norway" })).await.expect(200);
    app.post(&format!("/v1/runs/{}/retry", run["id"].as_str().unwrap()), json!({})).await.expect(200);
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "saw Ada; then Ada, now Ada");
}

async fn a_question_needs_its_right(database: Database) {
    let script = ASKER.replace("\"task:create\", ", "");
    let app = TestApp::on(database).script("asker", &script).start().await;
    assert!(app.notices().contains("`ask` needs the right `task:create`"), "{}", app.notices());
}

async fn a_plugin_waits_as_a_script_does(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).patient_plugin().clock(clock.clone()).start().await;
    order(&app, "back", "1", "-80").await;
    waiting(&app, 1).await;
    let task = app.all("task").await.remove(0);
    assert_eq!(task["title"], "Call about back?");
    let path = format!("/v1/records/task/{}", task["id"].as_str().unwrap());
    app.patch(&path, json!({ "state": "done", "choice": "call" })).await.expect(200);
    eventually("the note", || async { (app.customer_field("1", "notes").await == "call at once").then_some(()) }).await;
    waiting(&app, 1).await;
    order(&app, "too-soon", "1", "10").await;
    later(&clock, "1 hour");
    let in_wait = || async {
        let id = app.runs("status=waiting").await.first()?["id"].as_str()?.to_owned();
        let run = app.get(&format!("/v1/runs/{id}")).await.expect(200).json();
        (run["waits_in"]["call"] == "wait_for").then_some(())
    };
    eventually("the run to wait for an order", in_wait).await;
    order(&app, "next", "1", "30").await;
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "came back with next");
}

async fn a_journal_that_is_too_long_ends_the_run_and_says_so(database: Database) {
    let script = r#"//! Counts for ever, and then sleeps.
on("order.paid");
uses("customer:read", "customer.notes:write");
fn run(event) {
    update(event.record, #{ notes: "kept?" });
    for n in 0..997 { count("customer", "name == 'x'"); }
    sleep("1 day");
}
"#;
    let app = TestApp::on(database).script("counter", script).start().await;
    app.customer("1").await;
    app.expect_dead(1);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let run = eventually("the run to die", || async { app.runs("status=dead").await.into_iter().next() }).await;
    assert!(run["error"].to_string().contains("journal_full") && run["error"].to_string().contains("1000"), "{run}");
    assert_eq!(app.customer_field("1", "notes").await, Value::Null, "nothing of the slice is kept");
}

/// Two runs wait; a stranger damages what is kept of the first.
async fn two_wait_and_one_is_damaged(database: Database, damage: &str) -> TestApp {
    let app = TestApp::on(database).script("waiter", WAITER).start().await;
    for number in ["1", "2"] {
        app.customer(number).await;
        app.post("/v1/events", order_paid(number, number, "5")).await.expect(202);
        waiting(&app, number.parse().unwrap()).await;
    }
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let first = "(select r.id from run as r order by r.position limit 1)";
    let text = damage.replace("FIRST", first);
    let app = app
        .restart_after(async || {
            assert_eq!(crate::database::execute(database, &data, &url, &text).await, 1);
        })
        .await;
    order(&app, "a", "1", "500").await;
    order(&app, "b", "2", "500").await;
    completed(&app, 1).await;
    assert_eq!(app.customer_field("2", "notes").await, "order b of 500.00");
    assert_eq!(app.customer_field("1", "notes").await, Value::Null);
    app
}

async fn a_journal_of_too_many_bytes_ends_the_run_and_says_so(database: Database) {
    let script = r#"//! Reads its customer, who has long notes, until they fill the journal, and then sleeps.
on("order.paid");
uses("customer:read", "customer.name:write");
fn run(event) {
    update(event.record, #{ name: "kept?" });
    for n in 0..90 { get("customer", event.record.id); }
    sleep("1 day");
}
"#;
    let app = TestApp::on(database).script("reader", script).start().await;
    let notes = "x".repeat(12_000);
    app.post("/v1/records/customer", json!({ "customer_no": "1", "notes": notes })).await.expect(201);
    app.expect_dead(1);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let run = eventually("the run to die", || async { app.runs("status=dead").await.into_iter().next() }).await;
    let error = run["error"].to_string();
    assert!(error.contains("journal_full") && error.contains("1048576"), "{run}");
    assert_eq!(app.customer_field("1", "name").await, Value::Null, "nothing of the slice is kept");
}

async fn a_journal_that_is_half_full_is_told_on_the_run(database: Database) {
    let script = r#"//! Counts often, and then sleeps.
on("order.paid");
uses("customer:read");
fn run(event) {
    for n in 0..600 { count("customer", "name == 'x'"); }
    sleep("1 day");
}
"#;
    let app = TestApp::on(database).script("counter", script).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let run = app.runs("status=waiting").await.remove(0);
    let shown = app.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await.expect(200).text();
    assert!(shown.contains("the journal is half full: 603 of 1000 entries, "), "{shown}");
}

async fn a_damaged_journal_ends_its_run_and_holds_up_no_other(database: Database) {
    let app = two_wait_and_one_is_damaged(database, "update journal set entries = '[' where run = FIRST").await;
    let run = eventually("the run to die", || async { app.runs("status=dead").await.into_iter().next() }).await;
    app.expect_dead(1);
    assert!(run["error"].to_string().contains("the journal of slice 0 does not read"), "{run}");
}

async fn a_damaged_row_is_left_alone_and_holds_up_no_other(database: Database) {
    // Due at once, so that it is met again and again by what looks for due runs.
    let damage = "update run set automation = 'Not A Name', wake_at = 1 where id = FIRST";
    let app = two_wait_and_one_is_damaged(database, damage).await;
    let app = app.restart(|setup| setup).await;
    app.post("/v1/events", order_paid("3", "2", "5")).await.expect(202);
    let sound = || async { (app.runs("status=waiting&automation=waiter").await.len() == 1).then_some(()) };
    eventually("the new run to wait", sound).await;
    order(&app, "c", "2", "700").await;
    let note = || async { (app.customer_field("2", "notes").await == "order c of 700.00").then_some(()) };
    eventually("the note", note).await;
}

async fn a_run_that_was_cancelled_while_it_waited_is_woken_by_nothing(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("waiter", WAITER).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let id = app.runs("status=waiting").await[0]["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/runs/{id}/cancel"), json!({})).await.expect(200);
    order(&app, "a", "1", "500").await;
    later(&clock, "8 days");
    app.settle().await;
    assert_eq!(app.runs("status=cancelled").await.len(), 1);
    assert_eq!(app.customer_field("1", "notes").await, Value::Null);
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let folder = app.stop().await;
    assert_eq!(crate::database::execute(database, &data, &url, "delete from awaited").await, 0, "it waits for nothing");
    drop(folder);
}

async fn while_history_is_loaded_nobody_is_woken(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("waiter", WAITER).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    app.post("/v1/loads", json!({ "name": "past" })).await.expect(200);
    later(&clock, "8 days");
    app.settle().await;
    assert_eq!(app.runs("status=waiting").await.len(), 1);
    app.delete("/v1/loads/past").await.expect(204);
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "nothing came");
}
