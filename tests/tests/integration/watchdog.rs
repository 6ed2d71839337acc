//! The watchdog: what nothing else would notice if it broke is found, told and measured.

use std::sync::Arc;

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::database::execute;
use crate::harness::{Database, TestApp, event, eventually, on_both, order_paid};
use crate::process::rapport;

on_both!(
    in_a_healthy_workspace_nothing_is_found,
    a_run_that_nobody_wakes_is_found_and_can_be_saved,
    a_damaged_row_is_found_listed_and_in_nobodys_way,
    counts_that_are_off_are_found,
    what_is_kept_for_no_run_is_found,
    a_run_that_nobody_works_on_is_found_and_taken_up_again,
    a_schedule_that_does_not_read_is_found,
    a_loop_of_automations_is_found,
    another_epoch_in_the_database_is_found,
    a_tick_goes_on_and_measures,
    lists_find_runs_by_code_version_lane_and_time,
);

const START: &str = "2026-03-01T12:00:00Z";

fn start() -> Timestamp {
    START.parse().unwrap()
}

fn clock() -> Arc<SetClock> {
    Arc::new(SetClock::at(start()))
}

const WAITER: &str = r#"//! Waits for the customer's next order.
on("order.paid");
uses("customer:read", "order:read", "customer.notes:write");
fn run(event) {
    if event.data.amount > 100 { fail("too much"); }
    let next = wait_for("order.created", "customer == c", #{ c: event.record.id }, "7 days");
    update(event.record, #{ notes: if next.timed_out { "nothing came" } else { "came" } });
}
"#;
const MONDAY: &str = r#"//! Every Monday.
every("0 10 * * MON", "Europe/Berlin");
uses("task:create");
fn run(event) { create("task", #{ title: "calls" }); }
"#;

/// Two runs that wait, one that is dead, and a schedule.
async fn workspace(database: Database) -> (TestApp, Arc<SetClock>) {
    let clock = clock();
    let setup = TestApp::on(database).script("waiter", WAITER).script("monday", MONDAY).clock(clock.clone());
    let app = setup.start().await;
    for (id, customer, amount) in [("1", "1", "5"), ("2", "2", "5"), ("3", "1", "500")] {
        if id != "3" {
            app.customer(customer).await;
        }
        app.post("/v1/events", order_paid(id, customer, amount)).await.expect(202);
    }
    app.run_until_idle().await;
    eventually("two to wait", || async { (app.runs("status=waiting").await.len() == 2).then_some(()) }).await;
    app.expect_dead(1);
    (app, clock)
}

/// The same, after a stranger has changed its database while it was down.
async fn after(database: Database, changes: &[&str]) -> (TestApp, Arc<SetClock>) {
    let (app, clock) = workspace(database).await;
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let app = app
        .restart_with(clock.clone(), async || {
            for text in changes {
                assert!(execute(database, &data, &url, text).await > 0, "{text}");
            }
        })
        .await;
    (app, clock)
}

/// What each check found, `check: about: what`.
async fn found(app: &TestApp) -> Vec<String> {
    let report = app.get("/v1/health/invariants").await.expect(200).json();
    let mut all = Vec::new();
    for check in report["checks"].as_array().unwrap() {
        assert!(check["failed"].is_null(), "{check}");
        for finding in check["findings"].as_array().unwrap() {
            let text = |name: &str| finding[name].as_str().unwrap();
            assert!(!text("remedy").is_empty());
            all.push(format!("{}: {}: {}", check["check"].as_str().unwrap(), text("about"), text("what")));
        }
    }
    assert_eq!(report["ok"], all.is_empty(), "{report}");
    all
}

async fn metric(app: &TestApp, name: &str) -> i64 {
    let text = app.get("/metrics").await.expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.trim().parse().unwrap()
}

async fn in_a_healthy_workspace_nothing_is_found(database: Database) {
    let (app, clock) = workspace(database).await;
    assert_eq!(found(&app).await, Vec::<String>::new());
    let told = rapport(&["doctor"]).to(&app, &app.folder.path().join("key")).run().expect(0).output;
    assert!(told.contains("nothing is wrong") && told.contains("wake_sources"), "{told}");
    assert_eq!(metric(&app, "rapport_watchdog_findings{check=\"lost_runs\"}").await, 0);
    assert_eq!(metric(&app, "rapport_timers_overdue").await, 0);
    assert_eq!(metric(&app, "rapport_timer_next_milliseconds").await, 7 * 86_400_000);
    clock.set(start().plus_micros(3_600_000_000));
    for (state, hours) in [("waiting", 1), ("dead", 1), ("pending", 0), ("paused", 0)] {
        let name = format!("rapport_run_oldest_in_state_milliseconds{{status=\"{state}\"}}");
        assert_eq!(metric(&app, &name).await, hours * 3_600_000, "{state}");
    }
    let new = json!({ "name": "r", "scopes": ["read", "write"] });
    let writer = app.post("/v1/keys", new).await.expect(201).json()["secret"].as_str().unwrap().to_owned();
    app.with_key(&writer).get("/v1/health/invariants").await.expect(403);
}

async fn a_run_that_nobody_wakes_is_found_and_can_be_saved(database: Database) {
    let (app, _) =
        after(database, &["delete from awaited", "update run set wake_at = null where status = 'waiting'"]).await;
    let all = found(&app).await;
    assert!(all.len() == 2 && all.iter().all(|f| f.starts_with("wake_sources: run ")), "{all:?}");
    assert_eq!(metric(&app, "rapport_watchdog_findings{check=\"wake_sources\"}").await, 2);
    let told = rapport(&["doctor"]).to(&app, &app.folder.path().join("key")).run().expect(1).output;
    assert!(told.contains("BAD  wake_sources") && told.contains("rapport run pause"), "{told}");
    for run in app.runs("status=waiting").await {
        let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
        app.post(&format!("{path}/pause"), json!({})).await.expect(200);
        app.post(&format!("{path}/retry"), json!({ "from": 1 })).await.expect(200);
    }
    eventually("two to wait", || async { (app.runs("status=waiting").await.len() == 2).then_some(()) }).await;
    assert_eq!(found(&app).await, Vec::<String>::new());
    assert_eq!(metric(&app, "rapport_watchdog_findings{check=\"wake_sources\"}").await, 0);
}

async fn a_damaged_row_is_found_listed_and_in_nobodys_way(database: Database) {
    // Due at once, so that whatever looks for due runs meets it.
    let damage = "update run set attempt = 70000, wake_at = 1 where position = (select max(position) from run where status = 'waiting')";
    let (app, _) = after(database, &[damage]).await;
    let all = found(&app).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].starts_with("overdue_timers: timers: 1 waiting runs are overdue"), "{all:?}");
    assert!(all[1].starts_with("damaged_runs: run ") && all[1].contains("waiter"), "{all:?}");
    assert_eq!(metric(&app, "rapport_timers_overdue").await, 1);
    let listed = app.runs("").await;
    assert_eq!(listed.len(), 3, "the others are not hidden");
    let damaged = listed.iter().find(|run| run["damaged"] == true).unwrap();
    assert_eq!((&damaged["status"], &damaged["error"]["code"]), (&json!("waiting"), &json!("damaged")));
    let path = format!("/v1/runs/{}", damaged["id"].as_str().unwrap());
    assert_eq!(app.get(&path).await.expect(200).json()["damaged"], true);
    assert!(app.post(&format!("{path}/cancel"), json!({})).await.expect(409).text().contains("damaged"));
    // Page by page, the damaged one at the end of a page included.
    let (mut cursor, mut pages) = (String::new(), 0);
    loop {
        let page = app.get(&format!("/v1/runs?limit=1{cursor}")).await.expect(200).json();
        pages += page["items"].as_array().unwrap().len();
        assert_eq!((&page["counts"]["waiting"], &page["counts"]["dead"]), (&json!(2), &json!(1)));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, 3);
    assert_eq!(app.post("/v1/runs/pause", json!({ "status": "waiting" })).await.expect(200).json()["paused"], 1);
}

async fn counts_that_are_off_are_found(database: Database) {
    let wrong = "update log_head set run_counts = replace(replace(run_counts, '\"waiting\":2', '\"waiting\":7'), '\"dead\":1', '\"paused\":1')";
    let (app, _) = after(database, &[wrong]).await;
    let all = found(&app).await;
    let want = [
        "run_counts: waiter dead: the head of the log counts 0, the table holds 1",
        "run_counts: waiter paused: the head of the log counts 1, the table holds 0",
        "run_counts: waiter waiting: the head of the log counts 7, the table holds 2",
    ];
    assert_eq!(all, want);
    let (app, _) = after(database, &["update log_head set run_counts = replace(run_counts, 'waiter', 'gone')"]).await;
    let all = found(&app).await;
    assert!(
        all.iter().any(|f| f == "automations: gone waiting: 2 runs belong to an automation that is not there"),
        "{all:?}"
    );
}

async fn what_is_kept_for_no_run_is_found(database: Database) {
    let id = match database {
        Database::Sqlite => "x'0123456789abcdef0123456789abcdef'",
        Database::Postgres => "'01234567-89ab-cdef-0123-456789abcdef'",
    };
    let journal = format!("insert into journal (run, slice, entries) values ({id}, 0, '[]')");
    let ended =
        "update run set status = 'completed' where position = (select max(position) from run where status = 'waiting')";
    let (app, _) = after(database, &[&journal, ended]).await;
    let all: Vec<String> = found(&app).await.into_iter().filter(|f| f.starts_with("journals")).collect();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].contains("01234567-89ab-cdef-0123-456789abcdef") && all[0].contains("no such run"), "{all:?}");
    assert!(all[1].contains("a journal") && all[2].contains("something to wait for"), "{all:?}");
    assert!(all[1..].iter().all(|f| f.contains("the run is completed")), "{all:?}");
}

async fn a_run_that_nobody_works_on_is_found_and_taken_up_again(database: Database) {
    let (app, clock) = workspace(database).await;
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    // As if a wake had been committed, and forgotten.
    let lost = "update run set status = 'pending', wake_at = null where position = (select min(position) from run where status = 'waiting')";
    assert_eq!(execute(database, &data, &url, lost).await, 1);
    let strays = |all: Vec<String>| all.into_iter().filter(|f| f.starts_with("lost_runs")).collect::<Vec<_>>();
    assert!(strays(found(&app).await).is_empty(), "one that is young may be on its way");
    clock.set(start().plus_micros(600_000_000));
    let all = strays(found(&app).await);
    assert!(all.len() == 1 && all[0].contains("it is pending, and nobody works on it"), "{all:?}");
    let run = all[0].split(": ").nth(1).unwrap().trim_start_matches("run ").to_owned();
    for action in ["pause", "resume"] {
        app.post(&format!("/v1/runs/{run}/{action}"), json!({})).await.expect(200);
    }
    app.settle().await;
    assert!(strays(found(&app).await).is_empty());
    assert_eq!(app.get(&format!("/v1/runs/{run}")).await.expect(200).json()["status"], "waiting", "it still waits");
}

async fn a_schedule_that_does_not_read_is_found(database: Database) {
    let (app, _) = after(database, &["update o_schedule set cron = 'now and then'"]).await;
    let all = found(&app).await;
    assert!(
        all.len() == 1 && all[0].starts_with("schedules: schedule ") && all[0].contains("cannot be read"),
        "{all:?}"
    );
}

async fn a_loop_of_automations_is_found(database: Database) {
    let script = r#"//! Answers itself.
on("test.echo");
uses("emit:test.echo");
event_type("test.echo", #{ n: "integer" });
fn run(event) { emit("test.echo", event.record, #{ n: 1 }); }
"#;
    let app = TestApp::on(database).script("echo", script).start().await;
    app.customer("1").await;
    let echo = event("1", "test.echo", "customer/customer_no:1", json!({ "n": 0 }));
    app.post("/v1/events", echo).await.expect(202);
    let dead = || async { (app.runs("status=dead&error=cause_depth").await.len() == 1).then_some(()) };
    eventually("the loop to be stopped", dead).await;
    app.expect_dead(1);
    let all = found(&app).await;
    assert!(all.len() == 1 && all[0].starts_with("cause_depth: run ") && all[0].contains("→ echo"), "{all:?}");
}

async fn another_epoch_in_the_database_is_found(database: Database) {
    let (app, _) = workspace(database).await;
    let (data, url) = (app.folder.path().join("data"), app.database_url());
    let change = "update meta set value = '999' where key = 'schema_epoch'";
    assert_eq!(execute(database, &data, &url, change).await, 1);
    let all = found(&app).await;
    assert!(all.len() == 1 && all[0].starts_with("schema_epoch: schema: memory is at epoch"), "{all:?}");
}

async fn a_tick_goes_on_and_measures(database: Database) {
    let (app, clock) =
        after(database, &["delete from awaited", "update run set wake_at = null where status = 'waiting'"]).await;
    let of = |all: &[(&str, u64)], check: &str| all.iter().find(|(name, _)| *name == check).unwrap().1;
    let all = app.tick_watchdog(start()).await;
    assert_eq!((of(&all, "wake_sources"), of(&all, "run_counts")), (2, 0));
    assert_eq!(metric(&app, "rapport_watchdog_looked_at_seconds").await, start().micros() / 1_000_000);
    app.post("/v1/runs/cancel", json!({ "status": "waiting" })).await.expect(200);
    clock.set(start().plus_micros(300_000_000));
    assert_eq!(of(&app.tick_watchdog(start().plus_micros(300_000_000)).await, "wake_sources"), 0);
}

async fn lists_find_runs_by_code_version_lane_and_time(database: Database) {
    let (app, clock) = workspace(database).await;
    clock.set(start().plus_micros(60_000_000));
    app.post("/v1/events", order_paid("9", "2", "5")).await.expect(202);
    eventually("three to wait", || async { (app.runs("status=waiting").await.len() == 3).then_some(()) }).await;
    let digest = app.runs("").await[0]["digest"].as_str().unwrap().to_owned();
    for (query, want) in [
        ("error=failed", 1),
        ("error=fail", 0),
        ("error=failed&status=waiting", 0),
        ("lane=customer/customer_no:2", 2),
        ("lane=customer/customer_no:1&status=dead", 1),
        ("since=2026-03-01T12:01:00Z", 1),
        ("until=2026-03-01T12:01:00Z", 3),
        ("since=2026-03-01T12:00:00Z&until=2026-03-01T12:00:00Z", 0),
        ("digest=ffff", 0),
        (&format!("digest={}&automation=waiter", &digest[..7]), 4),
        (&format!("digest={digest}"), 4),
    ] {
        assert_eq!(app.runs(query).await.len(), want, "{query}");
    }
    for wrong in ["digest=xyz", "since=yesterday", "status=lost", "lane=customer", "error=a&error=b", "stat=dead"] {
        let refused = app.get(&format!("/v1/runs?{wrong}")).await;
        assert!(refused.status == 422 || refused.status == 400, "{wrong}: {}", refused.text());
    }
    let counts: Value = app.get("/v1/runs?limit=1&automation=waiter").await.expect(200).json()["counts"].clone();
    let all = ["pending", "retrying", "waiting", "paused", "completed", "skipped", "dead", "cancelled"];
    assert!(all.iter().all(|state| counts[*state].is_u64()), "{counts}");
    assert_eq!((&counts["waiting"], &counts["dead"]), (&json!(3), &json!(1)));
    let dead = json!({ "automation": "waiter", "error": "other" });
    assert_eq!(app.post("/v1/runs/retry", dead).await.expect(200).json()["retried"], 0);
}
