//! What a long life does to runs: clocks that step back and forth, strangers who hold the database, others who echo secrets.

use std::time::Duration;

use rapport_model::Timestamp;
use rapport_test_support::{Answer, HttpSink};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::client::Request;
use crate::harness::{Database, TestApp, event, eventually, on_both, order_paid};
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    a_sleeper_wakes_once_whatever_the_clock_does,
    a_wait_is_met_by_what_comes_late_and_in_another_order,
    a_secret_that_comes_back_is_in_no_message_trace_error_or_log,
);

const SLEEPER: &str = r#"//! Sleeps, and counts that it woke.
on("order.paid");
uses("customer:read", "customer.woken:write");
field("customer", "woken", "integer", #{ default: 0 });
fn run(event) { sleep("2 hours"); increment(event.record, "woken", 1); }
"#;

async fn a_sleeper_wakes_once_whatever_the_clock_does(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("sleeper", SLEEPER).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let hour: Timestamp = "2026-03-01T11:00:00Z".parse().unwrap();
    later(&clock, "1 hour");
    app.settle().await;
    clock.set(hour);
    app.settle().await;
    assert_eq!(app.runs("status=waiting").await.len(), 1, "an hour back: it sleeps on");
    app.post("/v1/events", order_paid("2", "1", "5")).await.expect(202);
    waiting(&app, 2).await;
    later(&clock, "2 days");
    completed(&app, 2).await;
    clock.set(hour);
    app.settle().await;
    later(&clock, "2 days");
    app.settle().await;
    assert_eq!(app.customer_field("1", "woken").await, 2, "each woke once");
}

/// Somebody's program holds the lock that every commit needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_holds_the_write_lock_delays_and_loses_nothing() {
    let script = SLEEPER.replace("2 hours", "300 milliseconds");
    let app = TestApp::on(Database::Sqlite).script("sleeper", &script).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let file = format!("sqlite://{}", app.folder.path().join("data/rapport.sqlite").display());
    let mut stranger = SqliteConnection::connect(&file).await.unwrap();
    stranger.execute("begin immediate").await.unwrap();
    let client = app.with_key(app.key.as_ref().unwrap());
    let posted =
        tokio::spawn(
            async move { client.send(Request::new("POST", "/v1/events").json(&order_paid("2", "1", "5"))).await },
        );
    // The first is due, the second is posted, and neither can be committed.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (waits, done) = (app.runs("status=waiting").await.len(), app.runs("status=completed").await.len());
    stranger.close().await.unwrap();
    assert_eq!(waits + done, 1, "reads go on, and the second has not begun");
    let reply = posted.await.unwrap();
    assert!([202, 503].contains(&reply.status), "{}", reply.text());
    app.post("/v1/events", order_paid("2", "1", "5")).await.expect(202);
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "woken").await, 2, "each woke once");
}

/// The same on PostgreSQL, where the lock is on the row that says how far the log goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_holds_the_head_of_the_log_delays_and_loses_nothing() {
    let script = SLEEPER.replace("2 hours", "300 milliseconds");
    let app = TestApp::on(Database::Postgres).script("sleeper", &script).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let mut stranger = PgConnection::connect(&app.database_url()).await.unwrap();
    stranger.execute("begin; select * from log_head for update").await.unwrap();
    let client = app.with_key(app.key.as_ref().unwrap());
    let posted =
        tokio::spawn(
            async move { client.send(Request::new("POST", "/v1/events").json(&order_paid("2", "1", "5"))).await },
        );
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (waits, done) = (app.runs("status=waiting").await.len(), app.runs("status=completed").await.len());
    stranger.close().await.unwrap();
    assert_eq!(waits + done, 1, "reads go on, and the second has not begun");
    let reply = posted.await.unwrap();
    assert!([202, 503].contains(&reply.status), "{}", reply.text());
    app.post("/v1/events", order_paid("2", "1", "5")).await.expect(202);
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "woken").await, 2, "each woke once");
}

const LATE: &str = r#"//! Waits for a shipment of the customer's.
on("order.paid");
uses("customer:read", "customer.notes:write");
fn run(event) {
    let next = wait_for("order.shipped", "order_no == o", #{ o: event.data.order_no }, "7 days");
    update(event.record, #{ notes: if next.timed_out { "nothing" } else { `${next.data.carrier}` } });
}
"#;

async fn a_wait_is_met_by_what_comes_late_and_in_another_order(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("late", LATE).clock(clock.clone()).start().await;
    app.customer("1").await;
    let shipped = |id: &str, order: &str, time: &str, carrier: &str| {
        let data = json!({ "order_no": order, "carrier": carrier });
        let mut shipped = event(id, "order.shipped", "customer/customer_no:1", data);
        shipped["time"] = Value::from(time);
        shipped
    };
    // Delivered before the run waits: it does not count, however often it is delivered.
    app.post("/v1/events", shipped("s1", "1", "2026-03-01T11:00:00Z", "early")).await.expect(202);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    app.post("/v1/events", shipped("s1", "1", "2026-03-01T11:00:00Z", "early")).await;
    app.run_until_idle().await;
    assert_eq!(app.runs("status=waiting").await.len(), 1, "a duplicate wakes nobody");
    // Delivered now, true last month, behind one of another order: what counts is that it is new to the log.
    app.post("/v1/events", shipped("s3", "2", "2026-03-01T11:30:00Z", "other")).await.expect(202);
    app.post("/v1/events", shipped("s2", "1", "2026-02-01T11:00:00Z", "late")).await.expect(202);
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "late");
}

async fn a_secret_that_comes_back_is_in_no_message_trace_error_or_log(database: Database) {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::Echo);
    let script = r#"//! Is told its own secret, and tells everybody.
on("order.paid");
uses("customer:read", "customer.notes:write", "message:email", "message:webhook", "http:HOST", "secret:payments");
fn run(event) {
    let r = http("POST", "URL", #{ secret: "payments", body: "x" });
    print(r.body);
    send("email", event.record, "told", #{ said: r.body, name: "secret:payments" });
    update(event.record, #{ notes: r.body });
    sleep("10 milliseconds");
    fail(r.body);
}
"#
    .replace("URL", &format!("http://{}/", sink.address()))
    .replace("HOST", &sink.address().to_string());
    let setup = TestApp::on(database).script("teller", &script).configure(|config| {
        config.outbound.allow_addresses = vec!["127.0.0.1".parse().unwrap()];
    });
    let folder = setup.path("data").join("secrets");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("payments"), "value = \"sk_live_42\"\nhosts = [\"127.0.0.1\"]\n").unwrap();
    let app = setup.start().await;
    app.expect_dead(1);
    let ada = json!({ "customer_no": "1", "email": "ada@example.com" });
    app.post("/v1/records/customer", ada).await.expect(201);
    let template = json!({ "name": "told", "subject": "{{ name }}", "text": "{{ said }}" });
    app.post("/v1/records/template", template).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let run = eventually("the end", || async { app.runs("status=dead").await.pop() }).await;
    assert_eq!(sink.requests()[0].header("authorization"), Some("Bearer sk_live_42"), "it did go along");
    let id = run["id"].as_str().unwrap();
    let message = app.get("/v1/messages").await.expect(200).items().remove(0);
    assert!(message.to_string().contains("***"), "{message}");
    let mut paths: Vec<String> =
        ["/v1/messages", "/v1/effects", "/v1/runs", "/v1/events?limit=1000", "/v1/records/customer"]
            .map(str::to_owned)
            .into();
    paths.extend([format!("/v1/runs/{id}"), format!("/v1/runs/{id}/explain")]);
    for effect in app.get("/v1/effects").await.expect(200).items() {
        paths.push(format!("/v1/effects/{}", effect["id"].as_str().unwrap()));
    }
    for path in paths {
        let shown = app.get(&path).await.expect(200).text();
        assert!(!shown.contains("sk_live"), "{path}: {shown}");
    }
}
