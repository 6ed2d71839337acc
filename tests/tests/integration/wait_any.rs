//! Runs that wait for the first of several events: exactly one of them wakes, whatever comes at once.

use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, event, eventually, on_both, order_paid};
use crate::waiting::{clock, completed, later, order, waiting};

on_both!(
    the_first_of_several_events_wakes_the_run,
    a_run_waits_for_several_over_a_restart,
    nothing_comes_and_the_time_is_up,
    of_two_events_in_one_commit_the_earlier_wakes,
    the_event_that_came_while_the_slice_worked_wakes,
    an_event_and_the_timeout_at_one_instant_wake_once,
    a_second_wait_begins_anew_and_the_first_is_not_asked_again,
    an_event_that_is_several_of_them_is_the_first,
    who_is_cancelled_waits_for_none_of_them,
    what_is_wrong_with_one_of_them_is_said,
);

const EITHER: &str = r#"//! Waits for an order, or for the task to be done.
on("order.paid");
uses("customer:read", "order:read", "task:read", "task:create", "customer.notes:write");
fn run(event) {
    let task = create("task", #{ title: "call", assignee: "role:sales", customer: event.record.id });
    let first = wait_any([
        #{ event: "order.created", where: "customer == c && amount > 0", params: #{ c: event.record.id } },
        #{ event: "task.updated", where: "id == t && state != 'open'", params: #{ t: task.id } },
    ], "7 days");
    let what = switch first.index {
        0 => `order ${first.event.record.order_no}`,
        1 => `task ${first.event.after.state}`,
        _ => "nothing",
    };
    update(event.record, #{ notes: `${what}, ${first.timed_out}` });
}
"#;

async fn started(database: Database) -> TestApp {
    let app = TestApp::on(database).script("either", EITHER).start().await;
    for number in ["1", "2"] {
        app.customer(number).await;
        app.post("/v1/events", order_paid(number, number, "5")).await.expect(202);
    }
    waiting(&app, 2).await;
    app
}

async fn task_of(app: &TestApp, number: &str) -> String {
    let customer = app.get(&format!("/v1/records/customer/customer_no:{number}")).await.expect(200).json();
    let tasks = app.all("task").await;
    let own = tasks.iter().find(|task| task["customer"] == customer["id"]).unwrap();
    format!("/v1/records/task/{}", own["id"].as_str().unwrap())
}

async fn the_first_of_several_events_wakes_the_run(database: Database) {
    let app = started(database).await;
    order(&app, "back", "1", "-5").await;
    order(&app, "next", "1", "5").await;
    app.patch(&task_of(&app, "2").await, json!({ "state": "done" })).await.expect(200);
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "notes").await, "order next, false");
    assert_eq!(app.customer_field("2", "notes").await, "task done, false");
    // What else was waited for comes too late for both.
    app.patch(&task_of(&app, "1").await, json!({ "state": "done" })).await.expect(200);
    order(&app, "late", "2", "5").await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("1", "notes").await, "order next, false");
    assert_eq!(app.customer_field("2", "notes").await, "task done, false");
}

async fn a_run_waits_for_several_over_a_restart(database: Database) {
    let app = started(database).await;
    let app = app.restart(|setup| setup).await;
    app.patch(&task_of(&app, "1").await, json!({ "state": "done" })).await.expect(200);
    order(&app, "next", "2", "5").await;
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "notes").await, "task done, false");
    assert_eq!(app.customer_field("2", "notes").await, "order next, false");
}

async fn nothing_comes_and_the_time_is_up(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("either", EITHER).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    later(&clock, "7 days");
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "nothing, true");
}

const SIGNALS: &str = r#"//! Waits for one of two signals.
on("order.paid");
uses("customer:read", "customer.notes:write");
event_type("test.left", #{ n: "integer" });
event_type("test.right", #{ n: "integer" });
fn run(event) {
    let first = wait_any([#{ event: "test.left" }, #{ event: "test.right" }], "1 hour");
    update(event.record, #{ notes: if first.timed_out { "nothing" } else { `${first.index} ${first.event.data.n}` } });
}
"#;

fn signal(id: &str, kind: &str, customer: &str, n: i64) -> Value {
    event(id, kind, &format!("customer/customer_no:{customer}"), json!({ "n": n }))
}

/// Several events in one commit, in this order.
async fn together(app: &TestApp, events: &Value) {
    let request = Request::new("POST", "/v1/events").body("application/cloudevents-batch+json", events.to_string());
    app.send(request).await.expect(202);
}

async fn of_two_events_in_one_commit_the_earlier_wakes(database: Database) {
    let app = TestApp::on(database).script("signals", SIGNALS).start().await;
    for n in 1..=10_i64 {
        let number = n.to_string();
        app.customer(&number).await;
        app.post("/v1/events", order_paid(&number, &number, "5")).await.expect(202);
    }
    waiting(&app, 10).await;
    let mut batch = Vec::new();
    for n in 1..=10_i64 {
        let (first, second) = if n % 2 == 0 { ("test.left", "test.right") } else { ("test.right", "test.left") };
        batch.push(signal(&format!("a{n}"), first, &n.to_string(), n));
        batch.push(signal(&format!("b{n}"), second, &n.to_string(), -n));
    }
    together(&app, &json!(batch)).await;
    completed(&app, 10).await;
    for n in 1..=10_i64 {
        let expected = format!("{} {n}", n % 2);
        assert_eq!(app.customer_field(&n.to_string(), "notes").await, expected);
    }
}

/// The signals fall before, into or behind the slice of the run; the run sees the earlier of those that came behind its start.
async fn the_event_that_came_while_the_slice_worked_wakes(database: Database) {
    let app = TestApp::on(database).script("signals", SIGNALS).start().await;
    for n in 1..=20_i64 {
        let number = n.to_string();
        app.customer(&number).await;
        let paid = app.post("/v1/events", order_paid(&number, &number, "5"));
        let both = json!([
            signal(&format!("r{n}"), "test.right", &number, n),
            signal(&format!("l{n}"), "test.left", &number, n)
        ]);
        let (paid, ()) = tokio::join!(paid, together(&app, &both));
        paid.expect(202);
    }
    // Where the signals came before the run began, others are needed.
    let rest = || async {
        for n in 1..=20_i64 {
            let id = format!("again-{n}-{}", app.log().await.len());
            app.post("/v1/events", signal(&id, "test.right", &n.to_string(), n)).await.expect(202);
        }
        (app.runs("status=completed").await.len() == 20).then_some(())
    };
    eventually("all signals", rest).await;
    let log = app.log().await;
    for run in app.runs("status=completed").await {
        let run = app.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await.expect(200).json();
        let number = run["trigger"]["data"]["order_no"].as_str().unwrap();
        let notes = app.customer_field(number, "notes").await;
        // `test.left` stands right behind a `test.right`: it is the first only for a run that began between the two.
        if notes == format!("0 {number}") {
            let left = log.iter().find(|e| e["id"] == format!("l{number}")).unwrap();
            assert!(left["position"].as_i64().unwrap() > run["position"].as_i64().unwrap());
        } else {
            assert_eq!(notes, format!("1 {number}"));
        }
    }
}

async fn an_event_and_the_timeout_at_one_instant_wake_once(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("signals", SIGNALS).clock(clock.clone()).start().await;
    for n in 1..=10_i64 {
        let number = n.to_string();
        app.customer(&number).await;
        app.post("/v1/events", order_paid(&number, &number, "5")).await.expect(202);
    }
    waiting(&app, 10).await;
    later(&clock, "1 hour");
    let batch: Vec<Value> = (1..=10).map(|n| signal(&format!("at-{n}"), "test.right", &n.to_string(), n)).collect();
    together(&app, &json!(batch)).await;
    completed(&app, 10).await;
    for n in 1..=10_i64 {
        let notes = app.customer_field(&n.to_string(), "notes").await;
        assert!(notes == "nothing" || notes == format!("1 {n}"), "{notes}");
    }
    let written = app.log().await.iter().filter(|e| e["type"] == "customer.updated").count();
    assert_eq!(written, 10, "each run went on once");
}

async fn a_second_wait_begins_anew_and_the_first_is_not_asked_again(database: Database) {
    let twice = r#"//! Waits twice, and tells what came.
on("order.paid");
uses("customer:read", "customer.notes:write");
event_type("test.left", #{ n: "integer" });
event_type("test.right", #{ n: "integer" });
fn run(event) {
    let either = [#{ event: "test.left" }, #{ event: "test.right" }];
    let first = wait_any(either, "1 hour");
    let second = wait_any(either);
    update(event.record, #{ notes: `${first.index} ${first.event.data.n}, ${second.index} ${second.event.data.n}` });
}
"#;
    let app = TestApp::on(database).script("twice", twice).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    app.post("/v1/events", signal("one", "test.right", "1", 1)).await.expect(202);
    let again = || async {
        let runs = app.runs("status=waiting").await;
        let run = app.get(&format!("/v1/runs/{}", runs.first()?["id"].as_str()?)).await.expect(200).json();
        run["waits_in"]["until"].is_null().then_some(())
    };
    eventually("the second wait", again).await;
    let app = app.restart(|setup| setup).await;
    app.post("/v1/events", signal("two", "test.left", "1", 2)).await.expect(202);
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "1 1, 0 2");
}

async fn an_event_that_is_several_of_them_is_the_first(database: Database) {
    let script = SIGNALS.replace(
        "[#{ event: \"test.left\" }, #{ event: \"test.right\" }]",
        "[#{ event: \"test.left\", where: \"n == k && n < 3\", params: #{ k: 7 } }, \
          #{ event: \"test.left\" }, #{ event: \"test.left\", where: \"n == k\", params: #{ k: 7 } }]",
    );
    let app = TestApp::on(database).script("signals", &script).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    app.post("/v1/events", signal("one", "test.left", "1", 7)).await.expect(202);
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "1 7");
}

async fn who_is_cancelled_waits_for_none_of_them(database: Database) {
    let app = started(database).await;
    let runs = app.runs("status=waiting").await;
    for run in &runs {
        app.post(&format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap()), json!({})).await.expect(200);
    }
    order(&app, "next", "1", "5").await;
    app.patch(&task_of(&app, "2").await, json!({ "state": "done" })).await.expect(200);
    app.run_until_idle().await;
    assert_eq!(app.runs("status=cancelled").await.len(), 2);
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let app = app
        .restart_after(async || {
            assert_eq!(crate::database::execute(database, &data, &url, "delete from awaited").await, 0);
        })
        .await;
    assert_eq!(app.runs("status=cancelled").await.len(), 2);
}

async fn what_is_wrong_with_one_of_them_is_said(database: Database) {
    let wrong = [
        ("[]", "1 to 16 events, not of 0"),
        ("[#{ event: \"test.left\" }, #{ event: \"test.left\", where: \"n > 3\" }]", "event 1: `n > 3` holds no field"),
        ("[#{ event: \"test.left\", rule: \"n == 3\" }]", "no `rule`"),
        ("[#{ where: \"n == 3\" }]", "names its type"),
        ("[7]", "is a map"),
        ("[#{ event: \"test.lft\", where: \"n == 3\" }]", "no event type `test.lft`"),
    ];
    let mut setup = TestApp::on(database);
    for (n, (list, _)) in wrong.iter().enumerate() {
        let script = SIGNALS.replace("[#{ event: \"test.left\" }, #{ event: \"test.right\" }]", list);
        setup = setup.script(&format!("wrong{n}"), &script);
    }
    let app = setup.start().await;
    app.customer("1").await;
    app.expect_dead(6);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let dead = || async { (app.runs("status=dead").await.len() == 6).then_some(()) };
    eventually("the runs to die", dead).await;
    for (n, (_, says)) in wrong.iter().enumerate() {
        let run = app.runs(&format!("automation=wrong{n}")).await.remove(0);
        assert!(run["error"].to_string().contains(says), "{run}");
    }
    // What is literal is found before anything runs.
    let app = TestApp::on(database).script("either", &EITHER.replace("\"order:read\", ", "")).start().await;
    let notices = app.notices();
    assert!(notices.contains("`wait_any` needs the right `order:read`"), "{notices}");
    assert!(notices.contains("write `uses(\"order:read\");`"), "{notices}");
}
