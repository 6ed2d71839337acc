//! Automations that start by themselves: instants come once each, whatever the clock does and whenever the server was there.

use std::sync::Arc;

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::harness::{Database, Setup, TestApp, eventually, on_both};
use crate::process::{ServerProcess, rapport};

on_both!(
    an_instant_starts_one_run_that_knows_its_schedule,
    a_clock_that_steps_back_runs_nothing_twice,
    what_was_missed_goes_by_the_misfire_policy,
    an_instant_during_an_open_run_goes_by_the_overlap_policy,
    a_schedule_can_be_paused_resumed_and_run_by_hand,
    a_new_version_goes_on_where_its_schedules_stood,
    a_fixed_time_in_the_gap_runs_once_right_after_it,
    nobody_else_can_say_that_an_instant_has_come,
    the_command_line_shows_and_changes_schedules,
    a_plugin_has_schedules_too,
    killed_between_instants_each_second_still_runs_once,
);

/// Writes one company for each instant: the name is the instant.
const NOTER: &str = r#"//! Notes each instant.
every("0 10 * * *", "Asia/Shanghai", #{ OPTIONS });
uses("company:write");
fn run(event) {
    create("company", #{ company_no: `${event.data.instant}`, name: event.type });
}
"#;
const MINUTE: i64 = 60_000_000;

fn noter(options: &str) -> String {
    NOTER.replace("OPTIONS", options)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A workspace at an instant, with a clock that only the story moves.
fn workspace(database: Database, now: &str) -> (Setup, Arc<SetClock>) {
    let clock = Arc::new(SetClock::at(at(now)));
    (TestApp::on(database).clock(clock.clone()), clock)
}

/// Sets the clock and deals with what is due then; the engine's own loop may be faster, which must make no difference.
async fn go(app: &TestApp, clock: &SetClock, now: &str) {
    clock.set(at(now));
    app.tick(at(now)).await;
    app.tick(at(now)).await;
}

/// The instants that have run, in order.
async fn ran(app: &TestApp) -> Vec<String> {
    let companies = app.get("/v1/records/company?limit=1000").await.expect(200).items();
    let mut all: Vec<String> = companies.iter().map(|c| c["company_no"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

async fn schedule(app: &TestApp) -> Value {
    app.get("/v1/schedules").await.expect(200).items().pop().unwrap()
}

fn address(schedule: &Value, verb: &str) -> String {
    format!("/v1/schedules/{}/{verb}", schedule["id"].as_str().unwrap())
}

async fn an_instant_starts_one_run_that_knows_its_schedule(database: Database) {
    let (setup, clock) = workspace(database, "2026-03-02T00:00:00Z");
    let app = setup.script("noter", &noter("")).start().await;
    let known = schedule(&app).await;
    assert_eq!((&known["automation"], &known["explanation"]), (&json!("noter"), &json!("at 10:00, every day")));
    assert_eq!((&known["misfire"], &known["overlap"]), (&json!("once"), &json!("skip")));
    let next = known["next"].as_array().unwrap();
    assert_eq!((next.len(), &next[0], &next[9]), (10, &json!("2026-03-02T02:00:00Z"), &json!("2026-03-11T02:00:00Z")));

    go(&app, &clock, "2026-03-02T01:59:59Z").await;
    assert_eq!(ran(&app).await, [""; 0]);
    go(&app, &clock, "2026-03-02T02:00:01Z").await;
    assert_eq!(ran(&app).await, ["2026-03-02T02:00:00Z"]);
    let event = app.get("/v1/events?type=schedule.due").await.items().pop().unwrap();
    assert_eq!((&event["actor"], &event["time"]), (&json!("system"), &json!("2026-03-02T02:00:00Z")));
    assert_eq!((&event["data"]["schedule"], &event["data"]["instant"]), (&known["id"], &event["time"]));
    let runs = app.runs("automation=noter").await;
    assert_eq!((runs.len(), &runs[0]["event"]), (1, &event["position"]), "the run was started by that event");
    let after = schedule(&app).await;
    assert_eq!((&after["last_at"], &after["next_at"]), (&event["time"], &json!("2026-03-03T02:00:00Z")));
}

async fn a_clock_that_steps_back_runs_nothing_twice(database: Database) {
    let (setup, clock) = workspace(database, "2026-03-02T00:00:00Z");
    let app = setup.script("noter", &noter("misfire: \"all\"")).start().await;
    for now in ["2026-03-02T02:00:01Z", "2026-03-02T01:30:00Z", "2026-03-02T02:00:00Z", "2026-02-28T02:00:00Z"] {
        go(&app, &clock, now).await;
    }
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    go(&app, &clock, "2026-03-02T02:00:01Z").await;
    assert_eq!(ran(&app).await, ["2026-03-02T02:00:00Z"]);
    go(&app, &clock, "2026-03-03T02:00:00Z").await;
    assert_eq!(ran(&app).await, ["2026-03-02T02:00:00Z", "2026-03-03T02:00:00Z"]);
    assert_eq!(app.runs("automation=noter").await.len(), 2);
}

async fn what_was_missed_goes_by_the_misfire_policy(database: Database) {
    let all = ["2026-03-02T02:00:00Z", "2026-03-03T02:00:00Z", "2026-03-04T02:00:00Z"];
    for (policy, want) in [("skip", &all[..0]), ("once", &all[2..]), ("all", &all[..])] {
        let (setup, clock) = workspace(database, "2026-03-02T00:00:00Z");
        let app = setup.script("noter", &noter(&format!("misfire: \"{policy}\""))).start().await;
        clock.set(at("2026-03-02T01:00:00Z"));
        let app = app
            .restart(|setup| {
                clock.set(at("2026-03-04T12:00:00Z"));
                setup.clock(clock.clone())
            })
            .await;
        go(&app, &clock, "2026-03-04T12:00:00Z").await;
        assert_eq!(ran(&app).await, want, "{policy}");
        assert_eq!(schedule(&app).await["next_at"], "2026-03-05T02:00:00Z", "{policy}");
    }
}

async fn an_instant_during_an_open_run_goes_by_the_overlap_policy(database: Database) {
    // The run fails until there is a customer, and is tried again in a minute that the story's clock never reaches.
    let script = r#"//! Waits for a customer.
every("* * * * *", "UTC", #{ overlap: "POLICY" });
uses("customer:read", "company:write");
fn run(event) {
    if count("customer", "customer_no == 'a'", #{}) == 0 { throw "not yet"; }
    create("company", #{ company_no: `${event.data.instant}` });
}
"#;
    let (first, second) = ("2026-03-02T00:01:00Z", "2026-03-02T00:02:00Z");
    for (policy, skipped, want) in
        [("skip", 1, vec![first]), ("queue", 0, vec![first, second]), ("allow", 0, vec![first, second])]
    {
        let (setup, clock) = workspace(database, "2026-03-02T00:00:30Z");
        let slow = |c: &mut rapport_server::config::Config| {
            (c.limits.run_backoff_ms, c.limits.run_backoff_ms_max) = (600_000, 600_000);
        };
        let app = setup.configure(slow).script("waiter", &script.replace("POLICY", policy)).start().await;
        go(&app, &clock, first).await;
        eventually("the first try", || async { app.runs("status=retrying").await.pop() }).await;
        go(&app, &clock, second).await;
        app.customer("a").await;
        assert_eq!(schedule(&app).await["skipped"], skipped, "{policy}");
        // Long past the next tries; the instants that come by then are the policy's as well, so the schedule is paused.
        app.post(&address(&schedule(&app).await, "pause"), json!({})).await.expect(200);
        clock.set(at(second).plus_micros(60 * MINUTE));
        let done = || async { app.runs("status=retrying").await.is_empty().then_some(()) };
        eventually("the runs to end", done).await;
        app.run_until_idle().await;
        assert_eq!(ran(&app).await, want, "{policy}");
    }
}

async fn a_schedule_can_be_paused_resumed_and_run_by_hand(database: Database) {
    let (setup, clock) = workspace(database, "2026-03-02T00:00:00Z");
    let app = setup.script("noter", &noter("misfire: \"all\"")).start().await;
    let known = schedule(&app).await;
    let paused = app.post(&address(&known, "pause"), json!({})).await.expect(200).json();
    assert_eq!((&paused["paused"], &paused["next"]), (&json!(true), &json!([])));
    go(&app, &clock, "2026-03-03T12:00:00Z").await;
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    go(&app, &clock, "2026-03-03T12:00:00Z").await;
    assert_eq!(ran(&app).await, [""; 0], "it stays paused over a restart");
    let run = app.post(&address(&known, "run"), json!({})).await.expect(200).json();
    app.run_until_idle().await;
    assert_eq!((&run["automation"], ran(&app).await), (&json!("noter"), vec!["2026-03-03T12:00:00Z".to_owned()]));
    let event = app.get("/v1/events?type=schedule.due").await.items().pop().unwrap();
    assert!(event["data"]["by_hand"] == true && event["actor"].as_str().unwrap().starts_with("user:"), "{event}");
    let resumed = app.post(&address(&known, "resume"), json!({})).await.expect(200).json();
    assert_eq!((&resumed["paused"], &resumed["next_at"]), (&json!(false), &json!("2026-03-04T02:00:00Z")));
    go(&app, &clock, "2026-03-04T02:00:00Z").await;
    assert_eq!(ran(&app).await.len(), 2);
    app.post("/v1/schedules/nonsense/pause", json!({})).await.expect(404);
    let reader = app.post("/v1/keys", json!({ "name": "reader", "scopes": ["read"] })).await.expect(201).json();
    let reader = app.with_key(reader["secret"].as_str().unwrap());
    reader.get("/v1/schedules").await.expect(200);
    for verb in ["pause", "resume", "run"] {
        reader.post(&address(&known, verb), json!({})).await.expect(403);
    }
}

async fn a_new_version_goes_on_where_its_schedules_stood(database: Database) {
    let (setup, clock) = workspace(database, "2026-03-02T00:00:00Z");
    let two = noter("").replace("uses(", "every(\"30 10 * * *\", \"Asia/Shanghai\");\nuses(");
    let app = setup.script("noter", &two).start().await;
    let before = app.get("/v1/schedules").await.items();
    let id_of = |all: &[Value], cron: &str| all.iter().find(|s| s["cron"] == cron).map(|s| s["id"].clone());
    app.post(&address(&before[0], "pause"), json!({})).await.expect(200);
    app.post(&address(&before[1], "pause"), json!({})).await.expect(200);
    // The second goes, the first changes its policy, a third comes.
    let next = noter("overlap: \"queue\"").replace("uses(", "every(\"0 12 * * *\", \"Asia/Shanghai\");\nuses(");
    let app = app.restart(|setup| setup.clock(clock.clone()).script("noter", &next)).await;
    let after = app.get("/v1/schedules").await.items();
    assert_eq!(after.len(), 2);
    let kept = after.iter().find(|s| s["cron"] == "0 10 * * *").unwrap();
    assert_eq!((Some(kept["id"].clone()), &kept["overlap"]), (id_of(&before, "0 10 * * *"), &json!("queue")));
    assert_eq!(kept["paused"], true, "a new version does not wake what an admin has paused");
    go(&app, &clock, "2026-03-02T04:00:00Z").await;
    assert_eq!(ran(&app).await, ["2026-03-02T04:00:00Z"], "only the third ran");
}

async fn a_fixed_time_in_the_gap_runs_once_right_after_it(database: Database) {
    let script =
        noter("misfire: \"all\"").replace("0 10 * * *", "30 2 * * *").replace("Asia/Shanghai", "Europe/Berlin");
    let (setup, clock) = workspace(database, "2026-03-28T12:00:00Z");
    let app = setup.script("noter", &script).start().await;
    for now in ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"] {
        go(&app, &clock, now).await;
    }
    assert_eq!(ran(&app).await, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
}

async fn nobody_else_can_say_that_an_instant_has_come(database: Database) {
    let (setup, _clock) = workspace(database, "2026-03-02T00:00:00Z");
    let emitter = r#"//! Pretends.
on("customer.created");
uses("emit:schedule.due");
fn run(event) { let kind = "schedule.due"; emit(kind, event.record, #{ automation: "noter" }); }
"#;
    let app = setup.script("noter", &noter("")).script("emitter", emitter).start().await;
    let data = json!({ "automation": "noter", "schedule": "x", "instant": "2026-03-02T02:00:00Z", "by_hand": false });
    let event = json!({ "specversion": "1.0", "id": "1", "source": "test", "type": "schedule.due", "data": data });
    app.post("/v1/events", event).await.expect(422);
    app.customer("a").await;
    eventually("the pretender to end", || async {
        app.runs("").await.iter().all(|r| r["status"] == "dead" || r["status"] == "completed").then_some(())
    })
    .await;
    app.run_until_idle().await;
    assert_eq!(ran(&app).await, [""; 0]);
    app.get("/v1/records/schedule").await.expect(404);
    app.expect_dead(app.runs("status=dead").await.len() as u64);
}

async fn the_command_line_shows_and_changes_schedules(database: Database) {
    let (setup, _clock) = workspace(database, "2026-03-02T00:00:00Z");
    let app = setup.script("noter", &noter("")).start().await;
    let key_file = app.folder.path().join("key");
    let call = |arguments: &[&str]| rapport(arguments).to(&app, &key_file).run();
    let listed = call(&["schedule", "list"]).expect(0).output;
    assert!(listed.contains("noter") && listed.contains("at 10:00, every day"), "{listed}");
    let known = schedule(&app).await;
    let id = known["id"].as_str().unwrap();
    assert!(call(&["schedule", "pause", id]).expect(0).output.contains("true"));
    assert_eq!(schedule(&app).await["paused"], true);
    call(&["schedule", "resume", id]).expect(0);
    assert_eq!(schedule(&app).await["paused"], false);
    assert!(call(&["schedule", "run", id]).expect(0).output.contains("pending"));
    app.run_until_idle().await;
    assert_eq!(ran(&app).await.len(), 1);
    assert!(call(&["schedule", "pause", "nonsense"]).expect(1).text.contains("there is no schedule `nonsense`"));
}

async fn a_plugin_has_schedules_too(database: Database) {
    let (setup, clock) = workspace(database, "2026-03-02T00:00:00Z");
    let scheduled = "[[schedules]]\ncron = \"0 10 * * MON\"\nzone = \"Asia/Shanghai\"\noverlap = \"allow\"\n";
    let app = setup.ticker_plugin(scheduled).start().await;
    let known = schedule(&app).await;
    assert_eq!((&known["automation"], &known["overlap"]), (&json!("ticker"), &json!("allow")));
    go(&app, &clock, "2026-03-02T02:00:00Z").await;
    let ended = || async { app.runs("automation=ticker").await.into_iter().find(|r| r["finished_at"] != Value::Null) };
    let run = eventually("the plugin's run to end", ended).await;
    assert_eq!(run["status"], "completed");
}

/// On the wall clock, since a kill needs a process: a schedule of every second, killed three times, makes up for all it missed.
async fn killed_between_instants_each_second_still_runs_once(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    let every_second = noter("misfire: \"all\", overlap: \"queue\"").replace("0 10 * * *", "* * * * * *");
    std::fs::write(scripts.join("noter.rhai"), every_second).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    for pause in [1_300, 900, 1_700] {
        let server = ServerProcess::start(&data, url.as_deref(), &more).await;
        // The instant of the kill is what is tried here: no state can be waited for.
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        server.kill();
    }
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    let list = |path: &'static str| server.client.get_owned(path.to_owned());
    let held = list("/v1/schedules").await.items().pop().unwrap();
    let pause = crate::client::Request::new("POST", &address(&held, "pause")).json(&json!({}));
    eventually("the missed instants to be made up for", || async {
        let last = list("/v1/schedules").await.items().pop().unwrap()["last_at"].as_str().map(at);
        last.filter(|last| *last > at(held["next_at"].as_str().unwrap()))
    })
    .await;
    assert_eq!(server.client.try_send(pause).await.map(|reply| reply.status), Some(200));
    eventually("the runs to end", || async { list("/v1/runs?status=pending").await.items().is_empty().then_some(()) })
        .await;
    let mut instants: Vec<i64> = list("/v1/records/company?limit=1000")
        .await
        .items()
        .iter()
        .map(|c| at(c["company_no"].as_str().unwrap()).micros())
        .collect();
    instants.sort_unstable();
    assert!(instants.len() > 4, "{instants:?}");
    assert!(instants.windows(2).all(|w| w[1] - w[0] == 1_000_000), "each second once, and none left out: {instants:?}");
    assert_eq!(list("/v1/runs?limit=1000").await.items().len(), instants.len());
    assert_eq!(server.stop().await, 0);
}
