//! Locks: what one slice writes under a lock, the next slice under it reads.

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    fifty_runs_at_once_under_a_lock_create_one_task,
    two_automations_that_name_the_same_lock_exclude_each_other,
    locks_in_any_order_stop_nobody,
    a_run_that_waits_holds_no_lock,
    a_number_is_given_out_once_each,
    what_is_no_key_is_refused,
);

fn script(key: &str, rest: &str) -> String {
    format!(
        "//! Works under a lock.\non(\"order.paid\");\nuses(\"task:read\", \"task:create\", \"customer:read\", \"customer.notes:write\");\n\
         fn run(event) {{\n    {key}\n    {rest}\n}}\n"
    )
}

const ONE_TASK: &str = r#"if count("task", "title == 'the only one'") == 0 { create("task", #{ title: "the only one", assignee: "role:sales" }); }"#;

/// Pays for `count` orders of as many customers, all at once.
async fn pay(app: &TestApp, count: usize) {
    for n in 0..count {
        app.customer(&n.to_string()).await;
    }
    let lines: Vec<String> = (0..count).map(|n| order_paid(&n.to_string(), &n.to_string(), "5").to_string()).collect();
    app.ndjson("/v1/events", &lines).await.expect(202);
}

async fn fifty_runs_at_once_under_a_lock_create_one_task(database: Database) {
    let app = TestApp::on(database).script("one", &script("lock(\"the only task\");", ONE_TASK)).start().await;
    pay(&app, 50).await;
    app.run_until_idle().await;
    completed(&app, 50).await;
    assert_eq!(app.all("task").await.len(), 1);
}

async fn two_automations_that_name_the_same_lock_exclude_each_other(database: Database) {
    let under = script("lock(\"the only task\");", ONE_TASK);
    let app = TestApp::on(database).script("left", &under).script("right", &under).start().await;
    pay(&app, 20).await;
    app.run_until_idle().await;
    completed(&app, 40).await;
    assert_eq!(app.all("task").await.len(), 1);
}

async fn locks_in_any_order_stop_nobody(database: Database) {
    let left = script("lock(\"a\"); lock(\"b\"); lock(\"a\");", ONE_TASK);
    let right = script("lock(\"b\"); lock(\"c\"); lock(\"a\");", ONE_TASK);
    let app = TestApp::on(database).script("left", &left).script("right", &right).start().await;
    pay(&app, 20).await;
    app.run_until_idle().await;
    completed(&app, 40).await;
    assert_eq!(app.all("task").await.len(), 1);
}

/// The first run sleeps under its lock, which is none any more; behind the sleep it takes it anew and sees the other's task.
async fn a_run_that_waits_holds_no_lock(database: Database) {
    let clock = clock();
    let rest = format!("if event.data.order_no == \"0\" {{ sleep(\"1 day\"); lock(\"k\"); }} {ONE_TASK}");
    let app = TestApp::on(database).script("one", &script("lock(\"k\");", &rest)).clock(clock.clone()).start().await;
    pay(&app, 2).await;
    waiting(&app, 1).await;
    completed(&app, 1).await;
    assert_eq!(app.all("task").await.len(), 1);
    later(&clock, "1 day");
    completed(&app, 2).await;
    assert_eq!(app.all("task").await.len(), 1);
}

/// Numbers without a gap and without a double, from a count: what an invoice needs.
async fn a_number_is_given_out_once_each(database: Database) {
    let rest = r#"update(event.record, #{ notes: `${count("customer", "notes != null") + 1}` });"#;
    let app = TestApp::on(database).script("number", &script("lock(`number-${2026}`);", rest)).start().await;
    pay(&app, 30).await;
    app.run_until_idle().await;
    let customers = app.all("customer").await;
    let mut given: Vec<u32> = customers.iter().map(|c| c["notes"].as_str().unwrap().parse().unwrap()).collect();
    given.sort_unstable();
    assert_eq!(given, (1..=30).collect::<Vec<u32>>());
}

async fn what_is_no_key_is_refused(database: Database) {
    let seventeen = "for n in 0..17 { lock(`k${n}`); }".to_owned();
    let wrong = [
        ("lock(\"\");".to_owned(), "1 to 200 bytes"),
        (format!("lock(\"{}\");", "x".repeat(201)), "1 to 200 bytes"),
        (seventeen, "at most 16 locks"),
    ];
    let mut setup = TestApp::on(database);
    for (n, (key, _)) in wrong.iter().enumerate() {
        setup = setup.script(&format!("wrong{n}"), &script(key, ""));
    }
    let app = setup.start().await;
    app.expect_dead(3);
    pay(&app, 1).await;
    eventually("the runs to die", || async { (app.runs("status=dead").await.len() == 3).then_some(()) }).await;
    for (n, (_, says)) in wrong.iter().enumerate() {
        let run: Value = app.runs(&format!("automation=wrong{n}")).await.remove(0);
        assert!(run["error"].to_string().contains(says), "{run}");
        let retried = app.post(&format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap()), json!({})).await;
        retried.expect(200);
    }
}
