//! Fan-outs: a schedule starts one run per record of a rule; each once, at its rate, and in nobody's way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Database, Setup, TestApp, eventually, on_both};
use crate::process::{ServerProcess, rapport};

on_both!(
    an_instant_starts_one_run_for_each_record_of_the_rule,
    the_rule_is_judged_as_of_the_instant,
    records_created_meanwhile_wait_for_the_next_instant,
    the_rate_holds_by_the_clock,
    an_instant_is_left_out_while_the_fan_out_before_is_worked_on,
    a_queued_fan_out_begins_when_the_runs_before_it_have_ended,
    paused_it_rests_and_resumed_it_goes_on,
    cancelled_it_starts_no_more,
    neither_the_clock_nor_a_restart_starts_a_record_twice,
    a_record_that_is_gone_is_skipped,
    missed_instants_are_made_up_for_one_after_the_other,
    a_fan_out_ends_with_its_automation,
    nobody_else_can_say_that_an_instant_has_come_for_a_record,
    what_is_wrong_is_told_before_anything_runs,
    a_plugin_fans_out_too,
    the_command_line_shows_runs_and_cancels_fan_outs,
    an_explanation_leads_back_to_the_schedule,
    a_backtest_plays_a_fan_out_as_it_was,
    killed_before_a_batch_each_record_still_runs_once,
    killed_after_a_batch_each_record_still_runs_once,
    fresh_events_do_not_wait_for_a_fan_out,
);

/// Counts on each customer how often it was called.
const CALLER: &str = r#"//! Calls everybody who has points.
every("0 10 * * *", "UTC", #{ OPTIONS });
each("customer", "points > 1000"EACH);
uses("customer:read", "customer.calls:write");
field("customer", "points", "integer", #{ default: 0 });
field("customer", "calls", "integer", #{ default: 0 });
fn run(event) {
    increment(event.record, "calls", 1);
}
"#;
const FIRST: &str = "2026-03-02T10:00:00Z";

fn caller(options: &str, each: &str) -> String {
    CALLER.replace("OPTIONS", options).replace("EACH", each)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seconds_after(text: &str, seconds: i64) -> Timestamp {
    at(text).plus_micros(seconds * 1_000_000)
}

/// A workspace two hours before the first instant, with a clock that only the story moves.
fn workspace(database: Database) -> (Setup, Arc<SetClock>) {
    let clock = Arc::new(SetClock::at(at("2026-03-02T08:00:00Z")));
    (TestApp::on(database).clock(clock.clone()), clock)
}

/// Customers `from` to `to`, every other one without points.
async fn customers(client: &Client, from: usize, to: usize) {
    let line =
        |n: usize| json!({ "customer_no": format!("c{n:06}"), "points": if n.is_multiple_of(2) { 2_000 } else { 10 } });
    for chunk in (from..to).collect::<Vec<_>>().chunks(5_000) {
        let lines: Vec<String> = chunk.iter().map(|n| line(*n).to_string()).collect();
        client.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await.expect(200);
    }
}

/// Sets the clock, and does all that is due then.
async fn go(app: &TestApp, clock: &SetClock, now: Timestamp) {
    clock.set(now);
    app.settle().await;
}

/// How often each customer was called, those never called left out.
async fn calls(app: &TestApp) -> BTreeMap<String, i64> {
    let text = |c: &Value| c["customer_no"].as_str().unwrap().to_owned();
    let all = app.all("customer").await;
    all.iter().filter_map(|c| Some((text(c), c["calls"].as_i64().filter(|n| *n > 0)?))).collect()
}

async fn schedule(client: &Client) -> Value {
    client.get("/v1/schedules").await.expect(200).items().pop().unwrap()
}

async fn fan_outs(client: &Client) -> Vec<Value> {
    let id = schedule(client).await["id"].as_str().unwrap().to_owned();
    client.get_owned(format!("/v1/schedules/{id}/fan-outs")).await.expect(200).items()
}

async fn act(client: &Client, verb: &str) -> crate::client::Reply {
    let id = schedule(client).await["id"].as_str().unwrap().to_owned();
    client.post(&format!("/v1/schedules/{id}/{verb}"), json!({})).await
}

async fn an_instant_starts_one_run_for_each_record_of_the_rule(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("", "")).start().await;
    customers(&app, 0, 500).await;
    go(&app, &clock, seconds_after(FIRST, -1)).await;
    assert!(calls(&app).await.is_empty());
    go(&app, &clock, at(FIRST)).await;
    let called = calls(&app).await;
    assert_eq!((called.len(), called.values().max()), (250, Some(&1)));
    assert!(called.contains_key("c000498") && !called.contains_key("c000499"), "{called:?}");

    let ended = fan_outs(&app).await.pop().unwrap();
    assert_eq!((&ended["state"], &ended["started"], &ended["total"]), (&json!("done"), &json!(250), &json!(250)));
    let known = schedule(&app).await;
    assert_eq!((&known["fan_out"], &known["last_at"]), (&Value::Null, &json!(FIRST)));
    assert_eq!(known["each"], json!({ "object": "customer", "rule": "points > 1000" }));
    assert_eq!(app.runs("automation=caller").await.len(), 250);
    let event = app.get("/v1/events?type=schedule.each").await.items().pop().unwrap();
    assert_eq!((&event["actor"], &event["time"]), (&json!("system"), &json!(FIRST)));
    assert_eq!((&event["data"]["schedule"], &event["data"]["instant"]), (&known["id"], &json!(FIRST)));
    assert!(event["subject"].as_str().unwrap().starts_with("customer/"), "{event}");
    go(&app, &clock, seconds_after(FIRST, 86_400)).await;
    assert_eq!(calls(&app).await.values().sum::<i64>(), 500, "the next day they are called again");
}

async fn the_rule_is_judged_as_of_the_instant(database: Database) {
    let (setup, clock) = workspace(database);
    let script = caller("", "").replace("points > 1000", "days_since(updated_at) >= 2");
    let app = setup.script("caller", &script).start().await;
    customers(&app, 0, 4).await;
    clock.set(at("2026-03-03T09:00:00Z"));
    app.patch("/v1/records/customer/customer_no:c000001", json!({ "name": "Ann" })).await.expect(200);
    // The server sees the instant of the second day two hours late: what counts is the instant.
    go(&app, &clock, at("2026-03-04T12:00:00Z")).await;
    let called: Vec<String> = calls(&app).await.into_keys().collect();
    assert_eq!(called, ["c000000", "c000002", "c000003"]);
}

async fn records_created_meanwhile_wait_for_the_next_instant(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("", ", #{ per_minute: 60 }")).start().await;
    customers(&app, 0, 20).await;
    go(&app, &clock, at(FIRST)).await;
    for second in 1..=20 {
        clock.set(seconds_after(FIRST, second));
        let late = json!({ "customer_no": format!("late{second}"), "points": 5_000 });
        app.post("/v1/records/customer", late).await.expect(201);
        app.settle().await;
    }
    let called = calls(&app).await;
    assert_eq!((called.len(), called.keys().any(|no| no.starts_with("late"))), (10, false), "{called:?}");
    assert_eq!(fan_outs(&app).await[0]["state"], "done");
    for second in 0..=60 {
        go(&app, &clock, seconds_after("2026-03-03T10:00:00Z", second)).await;
    }
    assert_eq!(calls(&app).await.len(), 30);
}

async fn the_rate_holds_by_the_clock(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("", ", #{ per_minute: 600 }")).start().await;
    customers(&app, 0, 3_000).await;
    go(&app, &clock, at(FIRST)).await;
    assert_eq!(calls(&app).await.len(), 5, "the first batch");
    for half in 1..=10 {
        go(&app, &clock, at(FIRST).plus_micros(half * 500_000)).await;
    }
    assert_eq!(calls(&app).await.len(), 55);
    let current = schedule(&app).await["fan_out"].clone();
    assert_eq!(
        (&current["state"], &current["started"], &current["total"]),
        (&json!("running"), &json!(55), &json!(1_500))
    );
    assert_eq!((&current["next_at"], &current["each"]["per_minute"]), (&json!("2026-03-02T10:00:05.5Z"), &json!(600)));
    // The server was away for ten minutes: that is not made up for.
    go(&app, &clock, seconds_after(FIRST, 600)).await;
    assert_eq!(calls(&app).await.len(), 60);
    // A clock that is put back holds nothing up.
    go(&app, &clock, seconds_after(FIRST, 30)).await;
    assert_eq!(calls(&app).await.len(), 65);
}

async fn an_instant_is_left_out_while_the_fan_out_before_is_worked_on(database: Database) {
    let (setup, clock) = workspace(database);
    let script = caller("overlap: \"skip\"", "").replace("0 10 * * *", "0 * * * *");
    let script = script.replace("increment(", "sleep(\"90 minutes\");\n    increment(");
    let app = setup.script("caller", &script).start().await;
    customers(&app, 0, 20).await;
    go(&app, &clock, at("2026-03-02T09:00:00Z")).await;
    assert_eq!(fan_outs(&app).await[0]["state"], "done", "all its runs have been started, and wait");
    go(&app, &clock, at(FIRST)).await;
    assert_eq!((fan_outs(&app).await.len(), &schedule(&app).await["skipped"]), (1, &json!(1)));
    let refused = act(&app, "run").await.expect(409).text();
    assert!(refused.contains("runs of the fan-out before are still open"), "{refused}");
    go(&app, &clock, at("2026-03-02T10:30:00Z")).await;
    assert_eq!(calls(&app).await.values().sum::<i64>(), 10);
    go(&app, &clock, at("2026-03-02T11:00:00Z")).await;
    assert_eq!((fan_outs(&app).await.len(), &schedule(&app).await["skipped"]), (2, &json!(1)));
}

async fn a_queued_fan_out_begins_when_the_runs_before_it_have_ended(database: Database) {
    let (setup, clock) = workspace(database);
    let script = caller("overlap: \"queue\"", "").replace("0 10 * * *", "0 * * * *");
    let script = script.replace("increment(", "sleep(\"90 minutes\");\n    increment(");
    let app = setup.script("caller", &script).start().await;
    customers(&app, 0, 20).await;
    go(&app, &clock, at("2026-03-02T09:00:00Z")).await;
    go(&app, &clock, at(FIRST)).await;
    let states: Vec<Value> = fan_outs(&app).await.iter().map(|f| f["state"].clone()).collect();
    assert_eq!(states, ["queued", "done"]);
    go(&app, &clock, at("2026-03-02T10:30:00Z")).await;
    let states: Vec<Value> = fan_outs(&app).await.iter().map(|f| f["state"].clone()).collect();
    assert_eq!((states, calls(&app).await.len()), (vec![json!("done"), json!("done")], 10));
    act(&app, "pause").await.expect(200);
    go(&app, &clock, at("2026-03-02T12:00:00Z")).await;
    assert_eq!(calls(&app).await.values().sum::<i64>(), 20);
}

async fn paused_it_rests_and_resumed_it_goes_on(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("", ", #{ per_minute: 60 }")).start().await;
    customers(&app, 0, 20).await;
    go(&app, &clock, at(FIRST)).await;
    act(&app, "pause").await.expect(200);
    go(&app, &clock, seconds_after(FIRST, 5)).await;
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    go(&app, &clock, seconds_after(FIRST, 10)).await;
    assert_eq!(calls(&app).await.len(), 1, "it rests over a restart");
    act(&app, "resume").await.expect(200);
    for second in 11..=30 {
        go(&app, &clock, seconds_after(FIRST, second)).await;
    }
    assert_eq!((calls(&app).await.len(), &fan_outs(&app).await[0]["state"]), (10, &json!("done")));
}

async fn cancelled_it_starts_no_more(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("", ", #{ per_minute: 60 }")).start().await;
    customers(&app, 0, 20).await;
    assert!(act(&app, "cancel").await.expect(409).text().contains("no fan-out of the schedule is in progress"));
    go(&app, &clock, at(FIRST)).await;
    let refused = act(&app, "run").await.expect(409).text();
    assert!(refused.contains("is in progress: wait for its end, or end it with POST"), "{refused}");
    assert_eq!(act(&app, "cancel").await.expect(200).json()["fan_out"], Value::Null);
    go(&app, &clock, seconds_after(FIRST, 30)).await;
    let ended = fan_outs(&app).await.pop().unwrap();
    assert_eq!((&ended["state"], &ended["started"]), (&json!("cancelled"), &json!(1)));
    assert!(ended["note"].as_str().unwrap().starts_with("cancelled by user:"), "{ended}");
    assert_eq!(calls(&app).await.len(), 1);
    let reader = app.post("/v1/keys", json!({ "name": "reader", "scopes": ["read"] })).await.expect(201).json();
    let reader = app.with_key(reader["secret"].as_str().unwrap());
    assert_eq!(fan_outs(&reader).await.len(), 1);
    act(&reader, "cancel").await.expect(403);
    // It is not in the way of the next one.
    go(&app, &clock, seconds_after(FIRST, 86_400)).await;
    assert_eq!(fan_outs(&app).await.len(), 2);
}

async fn neither_the_clock_nor_a_restart_starts_a_record_twice(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("misfire: \"all\"", ", #{ per_minute: 60 }")).start().await;
    customers(&app, 0, 20).await;
    for now in [0, 1, -1_800, 2, -86_400, 3] {
        go(&app, &clock, seconds_after(FIRST, now)).await;
    }
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    for second in 0..20 {
        go(&app, &clock, seconds_after(FIRST, second)).await;
    }
    let called = calls(&app).await;
    assert_eq!((called.len(), called.values().max()), (10, Some(&1)), "{called:?}");
    assert_eq!((fan_outs(&app).await.len(), app.runs("automation=caller").await.len()), (1, 10));
}

async fn a_record_that_is_gone_is_skipped(database: Database) {
    let (setup, clock) = workspace(database);
    // Every run deletes the customer after its own, so that every other run finds its record gone.
    let script = r#"//! Deletes.
every("0 10 * * *", "UTC");
each("company");
uses("company:read", "company:delete", "company:write");
fn run(event) {
    for other in find("company", "", #{}) { if other.id != event.record.id { delete(other); } }
}
"#;
    let app = setup.script("deleter", script).start().await;
    for n in 0..5 {
        app.post("/v1/records/company", json!({ "company_no": format!("{n}") })).await.expect(201);
    }
    go(&app, &clock, at(FIRST)).await;
    let runs = app.runs("automation=deleter").await;
    let count = |status: &str| runs.iter().filter(|run| run["status"] == status).count();
    assert_eq!((runs.len(), count("completed"), count("skipped")), (5, 1, 4), "{runs:?}");
    assert_eq!(app.all("company").await.len(), 1);
}

async fn missed_instants_are_made_up_for_one_after_the_other(database: Database) {
    let (setup, clock) = workspace(database);
    let script = caller("misfire: \"all\"", ", #{ per_minute: 120 }").replace("0 10 * * *", "0 * * * *");
    let app = setup.script("caller", &script).start().await;
    customers(&app, 0, 4).await;
    go(&app, &clock, seconds_after("2026-03-02T11:00:00Z", 1)).await;
    let states = || async { fan_outs(&app).await.iter().map(|f| f["state"].clone()).collect::<Vec<_>>() };
    let mut queued = states().await;
    queued.sort_by_key(ToString::to_string);
    assert_eq!(queued, ["queued", "queued", "running"]);
    for half in 2..=20 {
        go(&app, &clock, at("2026-03-02T11:00:00Z").plus_micros(half * 500_000)).await;
    }
    assert_eq!(states().await, ["done", "done", "done"]);
    assert_eq!(calls(&app).await.values().copied().collect::<Vec<_>>(), [3, 3]);
}

async fn a_fan_out_ends_with_its_automation(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("", ", #{ per_minute: 60 }")).start().await;
    customers(&app, 0, 20).await;
    go(&app, &clock, at(FIRST)).await;
    // A new version with another rule leaves the fan-out as it began; one that goes through other records ends it.
    let next = caller("", ", #{ per_minute: 6 }").replace("points > 1000", "points > 0");
    let app = app.restart(|setup| setup.clock(clock.clone()).script("caller", &next)).await;
    go(&app, &clock, seconds_after(FIRST, 1)).await;
    go(&app, &clock, seconds_after(FIRST, 2)).await;
    let called = calls(&app).await;
    assert!(called.len() == 3 && called.keys().all(|no| no.ends_with(['0', '2', '4', '6', '8'])), "{called:?}");
    let other =
        next.replace("\"customer\", \"points > 0\"", "\"company\", \"\"").replace("uses(", "uses(\"company:read\", ");
    let app = app.restart(|setup| setup.clock(clock.clone()).script("caller", &other)).await;
    go(&app, &clock, seconds_after(FIRST, 3)).await;
    let ended = fan_outs(&app).await.pop().unwrap();
    assert_eq!((&ended["state"], &ended["started"]), (&json!("cancelled"), &json!(3)));
    assert_eq!(ended["note"], "the automation no longer goes through these records");
}

async fn nobody_else_can_say_that_an_instant_has_come_for_a_record(database: Database) {
    let (setup, _clock) = workspace(database);
    let app = setup.script("caller", &caller("", "")).start().await;
    app.customer("a").await;
    let data = json!({ "automation": "caller", "schedule": "x", "instant": FIRST, "by_hand": false });
    let event = crate::harness::event("1", "schedule.each", "customer/customer_no:a", data);
    app.post("/v1/events", event).await.expect(422);
    app.get("/v1/records/fan_out").await.expect(404);
    assert!(calls(&app).await.is_empty());
}

async fn what_is_wrong_is_told_before_anything_runs(database: Database) {
    let good = caller("", "");
    let cases = [
        ("every(\"0 10 * * *\", \"UTC\", #{  });", "", "3:1: `each` says for which records, but nothing says when"),
        ("\"customer:read\", ", "", "3:1: `each` needs the right `customer:read`"),
        ("customer\", \"points > 1000\"", "custmer\", \"\"", "3:1: `each` needs the right `custmer:read`"),
        ("each(\"customer\"", "uses(\"custmer:read\");each(\"custmer\"", "3:7: there is no object `custmer`"),
        ("points > 1000", "point > 1000", "3:19: the rule `point > 1000` of each: line 1, column 1"),
        ("points > 1000", "points >", "3:19: the rule `points >` of each: line 1, column 9"),
        ("points > 1000", "points > 'x'", "3:19: the rule `points > 'x'` of each: line 1"),
        (
            "points > 1000\"",
            "points > 0\", #{ per_minutes: 5 }",
            "3:1: `each` has no option `per_minutes`\n  help: did you mean",
        ),
        (
            "points > 1000\"",
            "points > 0\", #{ per_minute: 0 }",
            "3:1: `per_minute` cannot be 0\n  help: write a whole number",
        ),
        ("points > 1000\"", "points > 0\", 600", "3:1: expected a map of options, got 600"),
        ("uses(", "each(\"company\");\nuses(", "4:1: `each` is declared twice\n  help: join the rules"),
        (
            "\"customer\", \"points > 1000\"",
            "",
            "3:1: `each` cannot take 0 arguments\n  help: write `each(\"customer\"",
        ),
        (
            "\"customer\", \"points > 1000\"",
            "\"order\", \"customer.points > 1\"",
            "3:1: `each` needs the right `order:read`",
        ),
    ];
    let (mut setup, _clock) = workspace(database);
    for (n, (from, to, _)) in cases.iter().enumerate() {
        let source = good.replacen(from, to, 1);
        assert_ne!(source, good, "{from}");
        setup = setup.script(&format!("wrong{n}"), &source);
    }
    let reads = good
        .replacen("\"customer\", \"points", "\"order\", \"customer.points", 1)
        .replace("customer:read", "order:read");
    let app = setup.script("reads", &reads).start().await;
    let told = app.notices();
    for (n, (_, _, want)) in cases.iter().enumerate() {
        let want = format!("wrong{n}.rhai:{want}");
        assert!(told.contains(&want), "{want}\n{told}");
    }
    assert!(told.contains("looks at a customer: declare the right `customer:read`"), "{told}");
    assert_eq!(app.get("/v1/schedules").await.items().len(), 0, "nothing of it is live");
}

async fn a_plugin_fans_out_too(database: Database) {
    let (setup, clock) = workspace(database);
    let each = "each = { object = \"customer\", rule = \"points > 1000\", per_minute = 120 }";
    let right = "[[capabilities]]\nright = \"customer:read\"\nreason = \"reads whom it goes through\"\n";
    let scheduled = format!("{right}[[schedules]]\ncron = \"0 10 * * *\"\nzone = \"UTC\"\n{each}\n");
    let app = setup.points_script().ticker_plugin(&scheduled).start().await;
    let known = schedule(&app).await;
    assert_eq!(known["each"], json!({ "object": "customer", "rule": "points > 1000", "per_minute": 120 }));
    customers(&app, 0, 6).await;
    go(&app, &clock, at(FIRST)).await;
    for second in 1..=3 {
        go(&app, &clock, seconds_after(FIRST, second)).await;
    }
    let started = app.get("/v1/events?type=schedule.each").await.items().len();
    assert_eq!((&fan_outs(&app).await[0]["started"], started), (&json!(3), 3));
    assert_eq!(app.runs("status=completed&automation=ticker").await.len(), 3);
}

async fn the_command_line_shows_runs_and_cancels_fan_outs(database: Database) {
    let (setup, _clock) = workspace(database);
    let app = setup.script("caller", &caller("", ", #{ per_minute: 60 }")).start().await;
    customers(&app, 0, 10).await;
    let key_file = app.folder.path().join("key");
    let call = |arguments: &[&str]| rapport(arguments).to(&app, &key_file).run();
    let known = schedule(&app).await;
    let id = known["id"].as_str().unwrap();
    call(&["schedule", "run", id]).expect(0);
    app.settle().await;
    let listed = call(&["schedule", "fan-outs", id]).expect(0).output;
    assert!(listed.contains("running") && listed.contains("true"), "{listed}");
    let metrics = app.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("rapport_fan_outs{state=\"running\"} 1"), "{metrics}");
    assert!(metrics.contains("rapport_fan_out_runs_total 1"), "{metrics}");
    call(&["schedule", "cancel", id]).expect(0);
    let again = call(&["schedule", "cancel", id]).expect(1).text;
    assert!(again.contains("no fan-out of the schedule is in progress"), "{again}");
    assert!(call(&["schedule", "fan-outs", id]).expect(0).output.contains("cancelled by user:"));
}

async fn an_explanation_leads_back_to_the_schedule(database: Database) {
    let (setup, clock) = workspace(database);
    let app = setup.script("caller", &caller("", "")).start().await;
    customers(&app, 0, 1).await;
    go(&app, &clock, at(FIRST)).await;
    let history = app.get("/v1/records/customer/customer_no:c000000/history?field=calls").await.expect(200).text();
    assert!(history.contains("schedule.each") && history.contains(FIRST), "{history}");
    let run = app.runs("automation=caller").await.pop().unwrap();
    let undone = app.post(&format!("/v1/runs/{}/undo", run["id"].as_str().unwrap()), json!({})).await;
    assert!(undone.status < 300, "{}", undone.text());
    app.run_until_idle().await;
    assert!(calls(&app).await.is_empty());
}

async fn killed_before_a_batch_each_record_still_runs_once(database: Database) {
    dies_at("fan_out.decided", database).await;
}

async fn killed_after_a_batch_each_record_still_runs_once(database: Database) {
    dies_at("fan_out.committed", database).await;
}

/// A fan-out by hand over 600 customers, whose server dies at its first batch, then at another; at last it is left in peace.
async fn dies_at(place: &str, database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("caller.rhai"), caller("", "")).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    let now = folder.path().join("now");
    let environment = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&environment, &data, url.as_deref(), &more).await;
    customers(&server.client, 0, 1_200).await;
    std::fs::write(&now, "").unwrap();
    let path = format!("/v1/schedules/{}/run", schedule(&server.client).await["id"].as_str().unwrap());
    server.client.try_send(crate::client::Request::new("POST", &path).json(&json!({}))).await;
    assert!(server.died(), "nothing passed `{place}`");
    for _ in 0..2 {
        assert!(
            ServerProcess::dies_at_start(&environment, &data, url.as_deref(), &more),
            "nothing passed `{place}` again"
        );
    }
    std::fs::remove_file(&now).unwrap();
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    let done = || async { (fan_outs(&server.client).await[0]["state"] == "done").then_some(()) };
    eventually("the fan-out to end", done).await;
    let idle = || async { server.client.get("/v1/runs?status=pending").await.items().is_empty().then_some(()) };
    eventually("the runs to end", idle).await;
    let mut called = 0;
    for n in (0..1_200).step_by(2) {
        let path = format!("/v1/records/customer/customer_no:c{n:06}");
        called += usize::from(server.client.get(&path).await.json()["calls"] == 1);
    }
    assert_eq!((called, &fan_outs(&server.client).await[0]["started"]), (600, &json!(600)));
    assert_eq!(server.stop().await, 0);
}

/// How many customers there are, and the longest that a fresh event may take at the 99th percentile on a machine that does
/// nothing else. In the quick form a fan-out is over before there are many events, so that one of them decides.
fn load() -> (usize, Duration) {
    let slow = std::env::var("RAPPORT_SLOW").is_ok_and(|v| v == "1");
    if slow { (40_000, Duration::from_millis(250)) } else { (3_000, Duration::from_secs(2)) }
}

/// Posts the order `number` of a customer that no fan-out calls, and waits for its points; says how long that took.
async fn fresh_event(app: &TestApp, number: usize, count: usize) -> Duration {
    let (customer, points) = (format!("c{:06}", 2 * number % count + 1), 11 + 2 * number / count);
    let posted = Instant::now();
    let order = crate::harness::order_paid(&format!("o{number}"), &customer, "10");
    app.post("/v1/events", order).await.expect(202);
    let done = || async { (app.customer_field(&customer, "points").await == points).then_some(()) };
    eventually("the points", done).await;
    posted.elapsed()
}

/// The median and the 99th percentile.
fn percentiles(mut taken: Vec<Duration>) -> (Duration, Duration) {
    taken.sort_unstable();
    (taken[taken.len() / 2], taken[(taken.len() * 99).div_ceil(100) - 1])
}

/// Half of the customers are called by the fan-out; meanwhile others get orders, whose points are waited for one by one.
async fn fresh_events_do_not_wait_for_a_fan_out(database: Database) {
    const BEFORE: usize = 100;
    let (count, bound) = load();
    let points = "//! Points.\non(\"order.paid\");\nuses(\"customer.points:write\");\n\
                  fn run(event) { increment(event.record, \"points\", 1); }\n";
    let app = TestApp::on(database).script("caller", &caller("", "")).script("points", points).start().await;
    customers(&app, 0, count).await;
    let mut before = Vec::new();
    for number in 0..BEFORE {
        before.push(fresh_event(&app, number, count).await);
    }
    // What else the machine does at this time holds up events without any fan-out as well.
    let (_, usual) = percentiles(before);
    act(&app, "run").await.expect(200);
    let began = Instant::now();
    let mut taken = Vec::new();
    while schedule(&app).await["fan_out"] != Value::Null {
        taken.push(fresh_event(&app, BEFORE + taken.len(), count).await);
    }
    let (rate, fresh) = (count as u128 * 500 / began.elapsed().as_millis(), taken.len());
    let (p50, p99) = percentiles(taken);
    println!(
        "{database:?}: fan-out of {} at {rate}/s; {fresh} fresh events: p50 {p50:?}, p99 {p99:?}; p99 before {usual:?}",
        count / 2
    );
    assert!(fresh > 10, "fresh events get on");
    assert!(p99 < bound.max(usual * 4), "fresh events took {p99:?} while a fan-out was worked on, {usual:?} before");
    app.run_until_idle().await;
    let called = calls(&app).await;
    assert_eq!((called.len(), called.values().max()), (count / 2, Some(&1)));
}

async fn a_backtest_plays_a_fan_out_as_it_was(database: Database) {
    let (setup, clock) = workspace(database);
    let script = caller("", "");
    let app = setup.script("caller", &script).start().await;
    customers(&app, 0, 20).await;
    go(&app, &clock, at(FIRST)).await;
    clock.set(seconds_after(FIRST, 3_600));
    let twice = script.replace("\"calls\", 1)", "\"calls\", 2)");
    for (source, differing) in [(&script, 0), (&twice, 10)] {
        let period = ("2026-03-02T09:30:00Z", "2026-03-02T10:30:00Z");
        let body = json!({ "id": "caller", "source": source, "since": period.0, "until": period.1 });
        let begun = app.post("/v1/backtests", body).await.expect(202).json();
        let path = format!("/v1/backtests/{}", begun["id"].as_str().unwrap());
        let state = || async { Some(app.get(&path).await.expect(200).json()).filter(|b| b["state"] != "running") };
        let ended = eventually("the end of the backtest", state).await;
        assert_eq!(
            (&ended["state"], &ended["result"]["records_differing"]),
            (&json!("done"), &json!(differing)),
            "{ended:#}"
        );
        assert_eq!(ended["result"]["runs"], json!({ "completed": 10 }), "{ended:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scenario_drives_a_fan_out_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    crate::harness::share_compiled_code(&folder.path().join("data"));
    for name in ["come-back.rhai", "come-back.test.json"] {
        let from = crate::harness::project().join("tests/data/scenarios").join(name);
        std::fs::copy(from, folder.path().join(name)).unwrap();
    }
    let play = || rapport(&["--data", "data", "script", "test", "come-back.rhai"]).within(folder.path()).run();
    let told = play().expect(0).output;
    assert!(told.contains("come-back.test.json: ok, 11 steps"), "{told}");
    let story = std::fs::read_to_string(folder.path().join("come-back.test.json")).unwrap();
    std::fs::write(folder.path().join("come-back.test.json"), story.replace("come back, 2", "come back, 3")).unwrap();
    assert!(play().expect(1).text.contains("come back, 2"));
}
