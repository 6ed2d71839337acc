//! How runs are woken: each wait ends once, by what it waits for, whoever steps in between and wherever the server dies.

use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::harness::{Database, TestApp, event, eventually, on_both, order_paid};
use crate::process::ServerProcess;
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    each_of_many_waits_in_a_row_is_woken_by_its_own_event,
    many_that_are_due_at_once_each_wake_once,
    a_cancel_that_races_a_wake_leaves_one_truth,
    a_run_that_is_held_back_while_it_is_woken_goes_on_once,
    killed_when_the_slice_of_a_woken_run_was_taken,
    killed_when_the_slice_of_a_woken_run_was_executed,
    killed_when_the_slice_of_a_woken_run_was_committed,
    an_event_in_time_wakes_after_a_crash_though_the_time_is_up,
    an_event_out_of_time_does_not_wake_after_a_crash,
);

/// Each slice changes the customer and waits for the event of that very change.
const CHAIN: &str = r#"//! Waits for its own changes, one by one.
on("order.paid");
uses("customer:read", "customer.notes:write");
fn run(event) {
    for i in 1..8 {
        update(event.record, #{ notes: `${i}` });
        let own = wait_for("customer.updated", "", #{}, "1 hour");
        if own.timed_out { fail(`nobody told of ${i}`); }
        if own.after.notes != `${i}` { fail(`woken by ${own.after.notes} instead of ${i}`); }
        sleep("1 millisecond");
    }
    update(event.record, #{ notes: "8" });
}
"#;

async fn each_of_many_waits_in_a_row_is_woken_by_its_own_event(database: Database) {
    const CUSTOMERS: usize = 12;
    let app = TestApp::on(database).script("chain", CHAIN).start().await;
    let numbers: Vec<String> = (1..=CUSTOMERS).map(|n| n.to_string()).collect();
    for number in &numbers {
        app.customer(number).await;
    }
    let batch: Vec<Value> = numbers.iter().map(|number| order_paid(number, number, "5")).collect();
    let request =
        Request::new("POST", "/v1/events").body("application/cloudevents-batch+json", json!(batch).to_string());
    app.send(request).await.expect(202);
    let ended = || async {
        assert_eq!(app.runs("status=dead").await, Vec::<Value>::new());
        (app.runs("status=completed").await.len() == CUSTOMERS).then_some(())
    };
    eventually("the runs to end", ended).await;
    let mut written: Vec<(String, String)> = Vec::new();
    for event in app.log().await.iter().filter(|event| event["type"] == "customer.updated") {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        written.push((text(&event["subject"]), text(&event["data"]["after"]["notes"])));
    }
    written.sort();
    assert_eq!(written.len(), CUSTOMERS * 8, "{written:?}");
    written.dedup();
    assert_eq!(written.len(), CUSTOMERS * 8, "each wrote each number once");
}

/// Adds one before its wait, and ten after it.
const COUNTER: &str = r#"//! Counts before and after a signal.
on("order.paid");
uses("customer:read", "customer.seen:write", "customer.notes:write");
field("customer", "seen", "integer", #{ default: 0 });
event_type("test.signal", #{ n: "integer" });
fn run(event) {
    increment(event.record, "seen", 1);
    let next = wait_for("test.signal", "", #{}, "1 hour");
    increment(event.record, "seen", 10);
    update(event.record, #{ notes: if next.timed_out { "nothing" } else { `signal ${next.data.n}` } });
}
"#;

fn signal(n: usize) -> Value {
    event(&format!("signal-{n}"), "test.signal", &format!("customer/customer_no:{n}"), json!({ "n": n }))
}

async fn many_that_are_due_at_once_each_wake_once(database: Database) {
    // More than are woken in memory at one time, and more than are looked at in one go.
    const RUNS: usize = 700;
    let clock = clock();
    let app = TestApp::on(database).script("counter", COUNTER).clock(clock.clone()).start().await;
    let customers: Vec<String> = (1..=RUNS).map(|n| json!({ "customer_no": n.to_string() }).to_string()).collect();
    app.ndjson("/v1/records/customer/bulk?key=customer_no", &customers).await.expect(200);
    let orders: Vec<Value> = (1..=RUNS).map(|n| order_paid(&n.to_string(), &n.to_string(), "5")).collect();
    for part in orders.chunks(100) {
        let body = json!(part).to_string();
        app.send(Request::new("POST", "/v1/events").body("application/cloudevents-batch+json", body)).await.expect(202);
    }
    let counted = |status: &'static str| {
        let app = &app;
        move || async move {
            let counts = app.get("/v1/runs/counts").await.items();
            counts.iter().any(|c| c["status"] == status && c["count"] == RUNS).then_some(())
        }
    };
    eventually("all to wait", counted("waiting")).await;
    later(&clock, "1 hour");
    eventually("all to end", counted("completed")).await;
    let seen: Vec<Value> = app.all("customer").await.iter().map(|customer| customer["seen"].clone()).collect();
    assert_eq!(seen, vec![json!(11); RUNS]);
}

/// One run waits for each customer from 1 to `count`; says which.
async fn one_waits_for_each(app: &TestApp, count: usize) -> Vec<String> {
    let mut runs = Vec::new();
    for n in 1..=count {
        let number = n.to_string();
        app.customer(&number).await;
        app.post("/v1/events", order_paid(&number, &number, "5")).await.expect(202);
        waiting(app, n).await;
        runs.push(app.runs("status=waiting").await[0]["id"].as_str().unwrap().to_owned());
    }
    runs
}

/// The signal for run `n` and what an operator does to it, in this order or that or at once; says whether the operator was in time.
async fn race(app: &TestApp, n: usize, run: &str, action: &str) -> bool {
    let path = format!("/v1/runs/{run}/{action}");
    let signalled = app.post("/v1/events", signal(n));
    let status = if n.is_multiple_of(2) {
        signalled.await.expect(202);
        app.post(&path, json!({})).await.status
    } else {
        let (signalled, operated) = tokio::join!(signalled, app.post(&path, json!({})));
        signalled.expect(202);
        operated.status
    };
    assert!(status == 200 || status == 409, "{status}");
    status == 200
}

async fn a_cancel_that_races_a_wake_leaves_one_truth(database: Database) {
    const ROUNDS: usize = 20;
    let app = TestApp::on(database).script("counter", COUNTER).start().await;
    let runs = one_waits_for_each(&app, ROUNDS).await;
    let mut cancelled = Vec::new();
    for (n, run) in (1..).zip(&runs) {
        cancelled.push(race(&app, n, run, "cancel").await);
    }
    completed(&app, cancelled.iter().filter(|cancelled| !**cancelled).count()).await;
    for (n, cancelled) in (1..).zip(cancelled) {
        let customer = app.get(&format!("/v1/records/customer/customer_no:{n}")).await.json();
        let (seen, notes) = if cancelled { (1, Value::Null) } else { (11, json!(format!("signal {n}"))) };
        assert_eq!((&customer["seen"], &customer["notes"]), (&json!(seen), &notes), "customer {n}");
    }
    assert!(app.runs("status=waiting").await.is_empty());
}

async fn a_run_that_is_held_back_while_it_is_woken_goes_on_once(database: Database) {
    const ROUNDS: usize = 20;
    let app = TestApp::on(database).script("counter", COUNTER).start().await;
    let runs = one_waits_for_each(&app, ROUNDS).await;
    for (n, run) in (1..).zip(&runs) {
        if race(&app, n, run, "pause").await {
            app.post(&format!("/v1/runs/{run}/resume"), json!({})).await.expect(200);
        }
    }
    completed(&app, ROUNDS).await;
    for n in 1..=ROUNDS {
        let customer = app.get(&format!("/v1/records/customer/customer_no:{n}")).await.json();
        let told = (&customer["seen"], &customer["notes"]);
        assert_eq!(told, (&json!(11), &json!(format!("signal {n}"))), "customer {n}");
    }
}

async fn killed_when_the_slice_of_a_woken_run_was_taken(database: Database) {
    assert_eq!(dies_at("slice.taken", database, None).await, "signal 1");
}

async fn killed_when_the_slice_of_a_woken_run_was_executed(database: Database) {
    assert_eq!(dies_at("slice.executed", database, None).await, "signal 1");
}

async fn killed_when_the_slice_of_a_woken_run_was_committed(database: Database) {
    assert_eq!(dies_at("slice.committed", database, None).await, "signal 1");
}

/// Makes the time of the wait be up so many microseconds after the signal was recorded.
fn up_after(micros: i64) -> String {
    format!(
        "update run set wake_at = (select max(recorded_at) from event where type = 'test.signal') + {micros} \
         where status = 'waiting'"
    )
}

async fn an_event_in_time_wakes_after_a_crash_though_the_time_is_up(database: Database) {
    // At the very instant, while nobody was there to see either.
    assert_eq!(dies_at("slice.executed", database, Some(&up_after(0))).await, "signal 1");
}

async fn an_event_out_of_time_does_not_wake_after_a_crash(database: Database) {
    assert_eq!(dies_at("slice.executed", database, Some(&up_after(-1))).await, "nothing");
}

/// The server dies at `place` when a run has been woken, something happens to the database, and it starts again. What the run did
/// is what it notes, once.
async fn dies_at(place: &str, database: Database, between: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("counter.rhai"), COUNTER).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    let now = folder.path().join("now");
    let crash = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&crash, &data, url.as_deref(), &more).await;
    server.client.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    server.client.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    run_in(&server.client, "waiting").await;
    std::fs::write(&now, "").unwrap();
    // It may die before it answers.
    server.client.try_send(Request::new("POST", "/v1/events").json(&signal(1))).await;
    assert!(server.died(), "nothing passed `{place}`");
    if let Some(text) = between {
        let url = url.clone().unwrap_or_default();
        assert_eq!(crate::database::execute(database, &data, &url, text).await, 1, "it waits, as far as is known");
    }
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    server.client.post("/v1/events", signal(1)).await.expect(202);
    run_in(&server.client, "completed").await;
    let customer = server.client.get("/v1/records/customer/customer_no:1").await.expect(200).json();
    assert_eq!(customer["seen"], 11, "once before the wait and once after it");
    assert_eq!(server.client.get("/v1/runs").await.items().len(), 1);
    assert_eq!(server.stop().await, 0);
    customer["notes"].as_str().unwrap().to_owned()
}

async fn run_in(client: &Client, status: &str) -> Value {
    let path = format!("/v1/runs?status={status}");
    let found = || async { client.get(&path).await.expect(200).items().pop() };
    eventually(status, found).await
}
