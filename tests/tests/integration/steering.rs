//! What an operator does to runs: start them again, hold them back, let them go on, end them; one, or all that are meant.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::process::rapport;

on_both!(
    dead_runs_are_retried_in_one_call,
    a_paused_run_waits_until_it_is_resumed,
    a_paused_run_stays_paused_over_a_restart,
    a_cancelled_run_never_works_and_can_be_started_again,
    a_cancel_that_races_a_completion_leaves_one_truth,
    a_caused_run_that_has_not_begun_is_cancelled_by_the_undo,
    an_action_names_what_it_is_for,
    metrics_tell_lag_retries_and_dead_letters,
    the_command_line_steers_runs,
);

/// Gives up on orders that say so; counts the others. The amount tells how long it takes.
const PICKY: &str = r#"//! Counts, or gives up.
on("order.paid");
uses("customer:read", "customer.seen:write", "customer.city:write");
field("customer", "seen", "integer", #{ default: 0 });
fn run(event) {
    if event.data.currency == "BAD" && event.record.city == () { fail("no city"); }
    if event.data.currency == "FLAKY" && event.record.city == () { throw "not yet"; }
    increment(event.record, "seen", 1);
}
"#;

async fn pay(app: &TestApp, id: &str, currency: &str) {
    let mut event = order_paid(id, "a", "1");
    event["data"]["currency"] = currency.into();
    app.post("/v1/events", event).await.expect(202);
}

async fn picky(database: Database) -> TestApp {
    // A retried run waits long enough to be met while it does.
    let slow = |config: &mut rapport_server::config::Config| {
        (config.limits.run_backoff_ms, config.limits.run_backoff_ms_max) = (3_600_000, 3_600_000);
    };
    let app = TestApp::on(database).script("picky", PICKY).configure(slow).start().await;
    app.customer("a").await;
    app
}

async fn city(client: &Client) {
    client.patch("/v1/records/customer/customer_no:a", json!({ "city": "Bonn" })).await.expect(200);
}

async fn only_run(app: &TestApp, status: &str) -> String {
    let found = || async { app.runs(&format!("status={status}")).await.pop() };
    eventually(status, found).await["id"].as_str().unwrap().to_owned()
}

async fn steer(app: &TestApp, run: &str, action: &str) -> Value {
    app.post(&format!("/v1/runs/{run}/{action}"), json!({})).await.expect(200).json()
}

async fn dead_runs_are_retried_in_one_call(database: Database) {
    let app = picky(database).await;
    for id in 0..30 {
        pay(&app, &id.to_string(), "BAD").await;
    }
    app.run_until_idle().await;
    assert_eq!(app.runs("status=dead").await.len(), 30);
    city(&app).await;
    let other = json!({ "status": "dead", "automation": "other" });
    assert_eq!(app.post("/v1/runs/retry", other).await.expect(200).json(), json!({ "retried": 0, "missed": 0 }));
    let own = json!({ "status": "dead", "automation": "picky" });
    assert_eq!(app.post("/v1/runs/retry", own).await.expect(200).json(), json!({ "retried": 30, "missed": 0 }));
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "seen").await, 30);
    assert_eq!(app.runs("status=completed").await.len(), 30);
    app.expect_dead(30);
}

async fn a_paused_run_waits_until_it_is_resumed(database: Database) {
    let app = picky(database).await;
    pay(&app, "1", "FLAKY").await;
    let run = only_run(&app, "retrying").await;
    let paused = steer(&app, &run, "pause").await;
    assert_eq!((&paused["status"], &paused["attempt"]), (&json!("paused"), &json!(1)));
    assert!(paused["error"]["message"].as_str().unwrap().contains("not yet"), "why it failed stays: {paused}");
    city(&app).await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "seen").await, 0);
    app.post(&format!("/v1/runs/{run}/pause"), json!({})).await.expect(409);
    assert_ne!(steer(&app, &run, "resume").await["status"], "paused");
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "seen").await, 1);
    assert_eq!(app.get(&format!("/v1/runs/{run}")).await.json()["status"], "completed");
}

async fn a_paused_run_stays_paused_over_a_restart(database: Database) {
    let app = picky(database).await;
    pay(&app, "1", "FLAKY").await;
    let run = only_run(&app, "retrying").await;
    steer(&app, &run, "pause").await;
    city(&app).await;
    let app = app.restart(|setup| setup).await;
    app.run_until_idle().await;
    assert_eq!(app.runs("status=paused").await.len(), 1);
    assert_eq!(app.post("/v1/runs/resume", json!({ "automation": "picky" })).await.expect(200).json()["resumed"], 1);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "seen").await, 1);
}

async fn a_cancelled_run_never_works_and_can_be_started_again(database: Database) {
    let app = picky(database).await;
    pay(&app, "1", "FLAKY").await;
    let run = only_run(&app, "retrying").await;
    let cancelled = steer(&app, &run, "cancel").await;
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled["finished_at"].is_string() && cancelled["error"].to_string().contains("user:"), "{cancelled}");
    city(&app).await;
    let app = app.restart(|setup| setup).await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "seen").await, 0);
    // A call for all that are dead does not bring it back; one that names it does.
    assert_eq!(app.post("/v1/runs/retry", json!({ "automation": "picky" })).await.expect(200).json()["retried"], 0);
    steer(&app, &run, "retry").await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "seen").await, 1);
}

async fn a_cancel_that_races_a_completion_leaves_one_truth(database: Database) {
    let app = picky(database).await;
    for round in 0..20 {
        pay(&app, &round.to_string(), "GOOD").await;
        let run = app.runs("").await.remove(0)["id"].as_str().unwrap().to_owned();
        let status = app.post(&format!("/v1/runs/{run}/cancel"), json!({})).await.status;
        assert!(status == 200 || status == 409, "{status}");
    }
    app.run_until_idle().await;
    let counts = app.get("/v1/runs/counts").await.items();
    let of = |status: &str| {
        let own = counts.iter().filter(|c| c["status"] == status);
        own.map(|c| c["count"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(of("completed") + of("cancelled"), 20, "{counts:?}");
    assert_eq!(
        app.customer_field("a", "seen").await,
        of("completed"),
        "what is cancelled did nothing, the rest did all"
    );
}

async fn a_caused_run_that_has_not_begun_is_cancelled_by_the_undo(database: Database) {
    let chased = r#"//! Follows the count, once there is a city.
on_change("customer", ["seen"]);
uses("customer:read", "customer.notes:write");
fn run(event) {
    if event.record.city == () { throw "not yet"; }
    update(event.record, #{ notes: `${event.record.seen}` });
}
"#;
    let slow = |config: &mut rapport_server::config::Config| {
        (config.limits.run_backoff_ms, config.limits.run_backoff_ms_max) = (3_600_000, 3_600_000);
    };
    let setup = TestApp::on(database).script("picky", PICKY).script("watch", chased).configure(slow);
    let app = setup.start().await;
    app.customer("a").await;
    pay(&app, "1", "GOOD").await;
    let waiting = only_run(&app, "retrying").await;
    let run = app.runs("automation=picky").await.remove(0)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{run}/undo");
    let told = app.post(&path, json!({ "with_caused": true, "dry_run": true })).await.expect(200).json();
    assert_eq!((&told["cancelled"], app.runs("status=retrying").await.len()), (&json!([waiting]), 1));
    let told = app.post(&path, json!({ "with_caused": true })).await.expect(200).json();
    assert_eq!(told["cancelled"], json!([waiting]));
    city(&app).await;
    app.run_until_idle().await;
    assert_eq!(
        (app.customer_field("a", "seen").await, app.customer_field("a", "notes").await),
        (json!(0), Value::Null)
    );
}

async fn an_action_names_what_it_is_for(database: Database) {
    let app = picky(database).await;
    pay(&app, "1", "GOOD").await;
    app.run_until_idle().await;
    let run = only_run(&app, "completed").await;
    for action in ["retry", "cancel", "pause", "resume"] {
        assert_eq!(app.post(&format!("/v1/runs/{run}/{action}"), json!({})).await.expect(409).code(), "conflict");
        app.post(&format!("/v1/runs/{action}"), json!({})).await.expect(422);
        app.post(&format!("/v1/runs/{action}"), json!({ "status": "completed" })).await.expect(422);
        app.post(&format!("/v1/runs/{action}"), json!({ "state": "dead" })).await.expect(422);
    }
    let new = json!({ "name": "r", "scopes": ["read"] });
    let reader = app.post("/v1/keys", new).await.expect(201).json()["secret"].as_str().unwrap().to_owned();
    app.with_key(&reader).post("/v1/runs/cancel", json!({ "status": "pending" })).await.expect(403);
    for status in ["pending", "retrying", "completed", "skipped", "dead", "paused", "cancelled"] {
        let want = usize::from(status == "completed");
        assert_eq!(app.runs(&format!("status={status}")).await.len(), want, "{status}");
    }
}

async fn metrics_tell_lag_retries_and_dead_letters(database: Database) {
    let app = picky(database).await;
    pay(&app, "1", "FLAKY").await;
    only_run(&app, "retrying").await;
    pay(&app, "2", "BAD").await;
    only_run(&app, "dead").await;
    let text = app.get("/metrics").await.expect(200).text();
    for line in [
        "rapport_slices_retried_total 1",
        "rapport_dead_letters 1",
        "rapport_run_oldest_milliseconds 0",
        "rapport_run_lag_events 0",
        "rapport_runs{status=\"retrying\"} 1",
        "rapport_runs{status=\"paused\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    app.post("/v1/runs/cancel", json!({ "automation": "picky" })).await.expect(200);
    app.expect_dead(1);
}

async fn the_command_line_steers_runs(database: Database) {
    let app = picky(database).await;
    let key = app.folder.path().join("key");
    pay(&app, "1", "BAD").await;
    app.run_until_idle().await;
    city(&app).await;
    let call = |arguments: &[&str]| rapport(arguments).to(&app, &key).run();
    let told = call(&["--json", "run", "retry", "--status", "dead", "--automation", "picky"]).expect(0).output;
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), json!({ "retried": 1, "missed": 0 }));
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "seen").await, 1);
    let run = app.runs("").await.remove(0)["id"].as_str().unwrap().to_owned();
    call(&["run", "cancel", &run]).expect(1);
    call(&["run", "cancel"]).expect(2);
    call(&["run", "cancel", &run, "--status", "dead"]).expect(2);
    call(&["run", "pause", "--automation", "picky"]).expect(0);
    app.expect_dead(1);
}
