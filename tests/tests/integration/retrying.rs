//! What an operator does to runs that wait or have stopped: start them again from a call, move them to the active version, hold
//! them back while they wait.

use std::sync::Arc;

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::process::rapport;

on_both!(
    a_dead_run_is_retried_from_a_call,
    what_was_committed_is_done_again_only_if_that_is_wanted,
    an_undone_run_is_retried_without_force,
    a_run_is_cut_in_the_middle_of_a_slice_and_waits_again,
    a_run_begins_anew_from_its_first_call,
    a_damaged_journal_begins_anew,
    dead_letters_move_to_the_active_version_in_one_call,
    a_version_that_makes_other_calls_is_refused_with_the_difference,
    a_run_held_back_while_it_waits_misses_nothing,
    a_run_held_back_while_it_sleeps_wakes_late,
    a_waiting_run_moves_to_the_active_version,
    a_call_that_is_none_is_refused,
    the_command_line_retries_from_a_call,
);

const START: &str = "2026-03-01T12:00:00Z";

fn clock() -> Arc<SetClock> {
    Arc::new(SetClock::at(START.parse().unwrap()))
}

fn later(clock: &SetClock, span: &str) {
    let start: Timestamp = START.parse().unwrap();
    clock.set(start.plus_micros(rapport_model::duration::parse(span).unwrap()));
}

/// Counts before and after it sleeps, and gives up where there is no city.
const TRAVELLER: &str = r#"//! Counts, sleeps, counts, sleeps, and wants a city.
on("order.paid");
uses("customer:read", "customer.seen:write", "customer.notes:write", "task:create");
field("customer", "seen", "integer", #{ default: 0 });
fn run(event) {
    let before = get("customer", "customer_no:1");
    increment(before, "seen", 1);
    sleep("1 day");
    let there = get("customer", "customer_no:1");
    create("task", #{ title: `call ${there.name} at ${now()}` });
    sleep("1 day");
    let now = refresh(before);
    if now.city == () { fail("no city"); }
    update(now, #{ notes: `${there.name} in ${now.city}` });
}
"#;

async fn only(app: &TestApp, status: &str) -> String {
    let found = || async { app.runs(&format!("status={status}")).await.pop() };
    eventually(status, found).await["id"].as_str().unwrap().to_owned()
}

async fn post(app: &TestApp, path: &str, body: Value, status: u16) -> Value {
    app.post(path, body).await.expect(status).json()
}

async fn calls(app: &TestApp, run: &str) -> Vec<String> {
    let shown = app.get(&format!("/v1/runs/{run}")).await.expect(200).json();
    let call = |call: &Value| format!("{} {} {}", call["n"], call["slice"], call["call"].as_str().unwrap());
    shown["journal"].as_array().unwrap().iter().map(call).collect()
}

/// A run of TRAVELLER that has died in its third slice.
async fn dead_traveller(database: Database) -> (TestApp, Arc<SetClock>, String) {
    let clock = clock();
    let app = TestApp::on(database).script("traveller", TRAVELLER).clock(clock.clone()).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    only(&app, "waiting").await;
    later(&clock, "1 day");
    app.settle().await;
    later(&clock, "2 days");
    app.settle().await;
    let run = only(&app, "dead").await;
    app.expect_dead(1);
    (app, clock, run)
}

async fn a_dead_run_is_retried_from_a_call(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    let want = ["1 0 get", "2 0 increment", "3 0 sleep", "4 1 get", "5 1 create", "6 1 sleep"];
    assert_eq!(calls(&app, &run).await, want);
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Bonn", "name": "Grace" })).await.expect(200);
    let told = post(&app, &format!("/v1/runs/{run}/retry"), json!({ "from": 6 }), 200).await;
    assert_eq!((&told["status"], &told["repeated"]), (&json!("pending"), &json!([])));
    // It sleeps anew, from now on, with what it knew before.
    only(&app, "waiting").await;
    later(&clock, "3 days");
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "Ada in Bonn");
    assert_eq!((app.customer_field("1", "seen").await, app.all("task").await.len()), (json!(1), 1));
}

async fn what_was_committed_is_done_again_only_if_that_is_wanted(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Bonn", "name": "Grace" })).await.expect(200);
    let path = format!("/v1/runs/{run}/retry");
    let refused = post(&app, &path, json!({ "from": 4 }), 409).await;
    let why = refused["detail"].as_str().unwrap();
    assert!(why.contains("5 create") && !why.contains("increment") && why.contains("run undo"), "{why}");
    assert_eq!(app.runs("status=dead").await.len(), 1);
    let told = post(&app, &path, json!({ "from": 4, "force": true }), 200).await;
    assert_eq!(told["repeated"][0]["n"], 5);
    only(&app, "waiting").await;
    later(&clock, "3 days");
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "Grace in Bonn");
    assert_eq!((app.customer_field("1", "seen").await, app.all("task").await.len()), (json!(1), 2));
}

async fn an_undone_run_is_retried_without_force(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Bonn" })).await.expect(200);
    post(&app, &format!("/v1/runs/{run}/undo"), json!({}), 200).await;
    assert_eq!((app.customer_field("1", "seen").await, app.all("task").await.len()), (json!(0), 0));
    post(&app, &format!("/v1/runs/{run}/retry"), json!({ "from": 1 }), 200).await;
    for days in ["3 days", "4 days"] {
        only(&app, "waiting").await;
        later(&clock, days);
        app.settle().await;
    }
    assert_eq!((app.customer_field("1", "seen").await, app.all("task").await.len()), (json!(1), 1));
    assert_eq!(app.customer_field("1", "notes").await, "Ada in Bonn");
}

/// The cut lies before a call that is not the first of its slice; the run suspends again afterwards and replays the whole.
async fn a_run_is_cut_in_the_middle_of_a_slice_and_waits_again(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    post(&app, &format!("/v1/runs/{run}/retry"), json!({ "from": 5, "force": true }), 200).await;
    only(&app, "waiting").await;
    assert_eq!(
        calls(&app, &run).await,
        ["1 0 get", "2 0 increment", "3 0 sleep", "4 1 get", "5 2 create", "6 2 sleep"],
        "what is called anew is a slice of its own"
    );
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Bonn", "name": "Grace" })).await.expect(200);
    later(&clock, "3 days");
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "Ada in Bonn");
    assert_eq!((app.customer_field("1", "seen").await, app.all("task").await.len()), (json!(1), 2));
    assert_eq!(app.runs("status=completed").await.len(), 1);
}

async fn a_run_begins_anew_from_its_first_call(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Bonn", "name": "Grace" })).await.expect(200);
    post(&app, &format!("/v1/runs/{run}/retry"), json!({ "from": 1, "force": true }), 200).await;
    for days in ["3 days", "4 days"] {
        only(&app, "waiting").await;
        later(&clock, days);
        app.settle().await;
    }
    assert_eq!(app.customer_field("1", "notes").await, "Grace in Bonn");
    assert_eq!((app.customer_field("1", "seen").await, app.all("task").await.len()), (json!(2), 2));
}

async fn a_damaged_journal_begins_anew(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let app = app
        .restart_after(async || {
            let text = "update journal set entries = '[' where slice = 1";
            assert_eq!(crate::database::execute(database, &data, &url, text).await, 1);
        })
        .await;
    drop(clock);
    let shown = app.get(&format!("/v1/runs/{run}")).await.expect(200).json();
    assert!(shown["journal"]["damaged"].as_str().unwrap().contains("slice 1"), "{shown}");
    let path = format!("/v1/runs/{run}/retry");
    for body in [json!({ "from": 4 }), json!({ "from": 1 })] {
        let why = post(&app, &path, body, 409).await;
        assert!(why["detail"].as_str().unwrap().contains("`from` 1 with `force`"), "{why}");
    }
    post(&app, &path, json!({ "from": 1, "force": true }), 200).await;
    only(&app, "waiting").await;
    assert_eq!(calls(&app, &run).await, ["1 2 get", "2 2 increment", "3 2 sleep"]);
    post(&app, "/v1/runs/cancel", json!({ "status": "waiting" }), 200).await;
}

/// Writes another version of a script, which is taken up at the next start.
fn push(app: &TestApp, id: &str, source: &str) {
    std::fs::write(app.script_path(id), source).unwrap();
}

async fn dead_letters_move_to_the_active_version_in_one_call(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("traveller", TRAVELLER).clock(clock.clone()).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    for id in ["1", "2", "3"] {
        app.post("/v1/events", order_paid(id, "1", "5")).await.expect(202);
    }
    for days in ["1 day", "2 days"] {
        eventually("all to wait", || async { (app.runs("status=waiting").await.len() == 3).then_some(()) }).await;
        later(&clock, days);
        app.settle().await;
    }
    assert_eq!(app.runs("status=dead&automation=traveller").await.len(), 3);
    app.expect_dead(3);
    push(&app, "traveller", &TRAVELLER.replace("fail(\"no city\");", "").replace("${now.city}", "nowhere"));
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    let told = post(&app, "/v1/runs/retry", json!({ "automation": "traveller", "on": "active" }), 200).await;
    assert_eq!(told, json!({ "retried": 3, "missed": 0, "refused": 0, "refusals": [] }));
    app.run_until_idle().await;
    let done = app.runs("status=completed").await;
    let active = app.get("/v1/automations").await.expect(200).items();
    assert_eq!((done.len(), &done[0]["digest"]), (3, &active[0]["digest"]));
    assert_eq!(app.customer_field("1", "notes").await, "Ada in nowhere");
    assert_eq!((app.customer_field("1", "seen").await, app.all("task").await.len()), (json!(3), 3));
}

async fn a_version_that_makes_other_calls_is_refused_with_the_difference(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    let path = format!("/v1/runs/{run}/retry");
    let other = TRAVELLER.replace("sleep(\"1 day\");\n    let there", "sleep(\"2 days\");\n    let there");
    push(&app, "traveller", &other);
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    let refused = post(&app, &path, json!({ "on": "active" }), 409).await;
    let why = refused["detail"].as_str().unwrap();
    assert!(why.contains("`sleep` ([\"2 days\"])") && why.contains("had called `sleep` ([\"1 day\"])"), "{why}");
    let told = post(&app, "/v1/runs/retry", json!({ "status": "dead", "on": "active" }), 200).await;
    assert_eq!((&told["retried"], &told["refused"], &told["refusals"][0]["run"]), (&json!(0), &json!(1), &json!(run)));
    // From the call that differs on, nothing stands against it.
    let told = post(&app, &path, json!({ "on": "active", "from": 3, "force": true }), 200).await;
    assert_eq!(told["repeated"][0]["n"], 5);
    only(&app, "waiting").await;
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Bonn" })).await.expect(200);
    later(&clock, "4 days");
    app.settle().await;
    only(&app, "waiting").await;
    later(&clock, "5 days");
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "Ada in Bonn");
    // A version that ends too early, and one that never waits, differ as well.
    let (app, clock, run) = dead_traveller(database).await;
    let short = TRAVELLER.replace("let there", "return; let there");
    let never = "//! Does nothing.\non(\"order.paid\");\nfn run(event) {}\n";
    let mut app = app;
    for source in [short.as_str(), never] {
        push(&app, "traveller", source);
        app = app.restart(|setup| setup.clock(clock.clone())).await;
        let refused = post(&app, &format!("/v1/runs/{run}/retry"), json!({ "on": "active" }), 409).await;
        assert!(refused["detail"].as_str().unwrap().contains("the run ended where it had called"), "{refused}");
    }
}

const WAITER: &str = r#"//! Waits for the customer's next order.
on("order.paid");
uses("customer:read", "order:read", "customer.notes:write");
fn run(event) {
    let next = wait_for("order.created", "customer == c", #{ c: event.record.id }, "7 days");
    update(event.record, #{ notes: if next.timed_out { "nothing came" } else { `order ${next.record.order_no}` } });
}
"#;

async fn waiter(database: Database) -> (TestApp, Arc<SetClock>, String) {
    let clock = clock();
    let app = TestApp::on(database).script("waiter", WAITER).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let run = only(&app, "waiting").await;
    (app, clock, run)
}

async fn a_run_held_back_while_it_waits_misses_nothing(database: Database) {
    let (app, clock, run) = waiter(database).await;
    let refused = post(&app, &format!("/v1/runs/{run}/retry"), json!({ "from": 1 }), 409).await;
    assert!(refused["detail"].as_str().unwrap().contains("pause it first"), "{refused}");
    assert_eq!(post(&app, "/v1/runs/pause", json!({ "automation": "waiter" }), 200).await["paused"], 1);
    let order = json!({ "order_no": "a", "customer": { "customer_no": "1" }, "amount": "5" });
    app.post("/v1/records/order", order).await.expect(201);
    app.settle().await;
    later(&clock, "8 days");
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    app.settle().await;
    assert_eq!((app.runs("status=paused").await.len(), app.customer_field("1", "notes").await), (1, Value::Null));
    later(&clock, "1 day");
    let told = post(&app, &format!("/v1/runs/{run}/resume"), json!({}), 200).await;
    assert_eq!(told["status"], "waiting");
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "order a", "what came meanwhile counts");
}

async fn a_run_held_back_while_it_sleeps_wakes_late(database: Database) {
    let (app, clock, run) = waiter(database).await;
    post(&app, &format!("/v1/runs/{run}/pause"), json!({}), 200).await;
    later(&clock, "8 days");
    app.settle().await;
    assert_eq!(app.runs("status=paused").await.len(), 1);
    assert_eq!(post(&app, "/v1/runs/resume", json!({ "status": "paused" }), 200).await["resumed"], 1);
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "nothing came");
    // One that is ended while it is held back waits for nothing any more.
    app.post("/v1/events", order_paid("2", "1", "5")).await.expect(202);
    let run = only(&app, "waiting").await;
    post(&app, &format!("/v1/runs/{run}/pause"), json!({}), 200).await;
    post(&app, &format!("/v1/runs/{run}/cancel"), json!({}), 200).await;
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let folder = app.stop().await;
    assert_eq!(crate::database::execute(database, &data, &url, "delete from awaited").await, 0);
    drop(folder);
}

async fn a_waiting_run_moves_to_the_active_version(database: Database) {
    let (app, clock, run) = waiter(database).await;
    push(&app, "waiter", &WAITER.replace("nothing came", "not one"));
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    post(&app, "/v1/runs/pause", json!({ "status": "waiting" }), 200).await;
    let told = post(&app, &format!("/v1/runs/{run}/retry"), json!({ "on": "active" }), 200).await;
    assert_eq!(told["status"], "waiting");
    app.settle().await;
    assert_eq!(app.runs("status=waiting").await.len(), 1, "it waits on");
    later(&clock, "7 days");
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "not one");
}

async fn a_call_that_is_none_is_refused(database: Database) {
    let (app, _, run) = dead_traveller(database).await;
    let path = format!("/v1/runs/{run}/retry");
    for from in [0, 7, 1_000] {
        let refused = post(&app, &path, json!({ "from": from }), 422).await;
        assert!(refused.to_string().contains("from 1 to 6"), "{refused}");
    }
    for body in [json!({ "from": -1 }), json!({ "on": "head" }), json!({ "form": 1 })] {
        app.post(&path, body).await.expect(422);
    }
    app.post("/v1/runs/retry", json!({ "from": 1 })).await.expect(422);
    let done = json!({ "status": "completed", "from": 1 });
    app.post("/v1/runs/retry", done).await.expect(422);
    let new = json!({ "name": "r", "scopes": ["read"] });
    let reader = app.post("/v1/keys", new).await.expect(201).json()["secret"].as_str().unwrap().to_owned();
    app.with_key(&reader).post(&path, json!({ "from": 1, "force": true })).await.expect(403);
    assert_eq!(app.runs("status=dead").await.len(), 1);
}

async fn the_command_line_retries_from_a_call(database: Database) {
    let (app, clock, run) = dead_traveller(database).await;
    let key = app.folder.path().join("key");
    let call = |arguments: &[&str]| rapport(arguments).to(&app, &key).run();
    let shown = call(&["run", "show", &run]).expect(0).output;
    assert!(shown.contains("journal") && shown.contains("increment") && shown.contains("waits"), "{shown}");
    let explained = call(&["run", "explain", &run]).expect(0).output;
    assert!(explained.contains("5 create"), "{explained}");
    let refused = call(&["run", "retry", &run, "--from", "2"]).expect(1).text;
    assert!(refused.contains("2 increment") && refused.contains("5 create"), "{refused}");
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Bonn" })).await.expect(200);
    let told = call(&["run", "retry", "--status", "dead", "--from", "6", "--on", "active"]).expect(0).output;
    assert!(told.contains("retried"), "{told}");
    only(&app, "waiting").await;
    later(&clock, "3 days");
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "Ada in Bonn");
    call(&["run", "list", "--status", "completed", "--automation", "traveller", "--digest", "ffff"]).expect(0);
}
