//! Versions: a script is pushed as a draft, activated, rolled back; runs that have begun stay on theirs.

use std::sync::Arc;

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::process::rapport;

on_both!(
    a_draft_runs_nothing_until_it_is_activated,
    a_rollback_goes_back_and_asked_again_goes_further_back,
    changed_settings_are_versions_too,
    a_plugin_has_versions_as_a_script_has,
    runs_that_wait_stay_on_their_version,
    a_broken_script_is_no_draft,
    a_version_that_is_not_there_is_refused_by_name,
    only_an_admin_changes_what_is_live,
    what_was_rolled_back_stays_so_over_a_restart,
    a_dry_run_lists_the_runs_that_would_differ_and_changes_nothing,
    runs_under_an_edited_script_are_rehearsed_page_by_page,
    the_command_line_takes_a_script_from_draft_to_live_and_back,
);

const START: &str = "2026-03-01T12:00:00Z";

/// Adds so many points for an order.
fn adding(points: u32) -> String {
    format!(
        "//! Adds {points}.\non(\"order.paid\");\nuses(\"customer.bonus:write\");\n\
         field(\"customer\", \"bonus\", \"integer\", #{{ default: 0 }});\nsetting(\"times\", 1);\n\
         fn run(event) {{ increment(event.record, \"bonus\", {points} * setting(\"times\")); }}\n"
    )
}

async fn push(app: &Client, id: &str, source: &str) -> Value {
    let path = format!("/v1/automations/{id}/versions");
    app.post(&path, json!({ "path": format!("{id}.rhai"), "source": source })).await.expect(201).json()
}

async fn activate(app: &Client, id: &str, version: &str) -> Value {
    app.post(&format!("/v1/automations/{id}/activate"), json!({ "version": version })).await.expect(200).json()
}

async fn versions(app: &Client, id: &str) -> Vec<Value> {
    app.get(&format!("/v1/automations/{id}/versions")).await.expect(200).items()
}

/// State, and how often each was live, newest first.
async fn states(app: &Client, id: &str) -> Vec<(String, usize)> {
    let state = |v: &Value| (v["state"].as_str().unwrap().to_owned(), v["live"].as_array().unwrap().len());
    versions(app, id).await.iter().map(state).collect()
}

async fn bonus_of_an_order(app: &TestApp, id: &str) -> i64 {
    let before = app.customer_field("a", "bonus").await.as_i64().unwrap();
    app.post("/v1/events", order_paid(id, "a", "1")).await.expect(202);
    app.run_until_idle().await;
    app.customer_field("a", "bonus").await.as_i64().unwrap() - before
}

fn list(pairs: &[(&str, usize)]) -> Vec<(String, usize)> {
    pairs.iter().map(|(state, times)| ((*state).to_owned(), *times)).collect()
}

async fn bonus(database: Database) -> TestApp {
    let app = TestApp::on(database).script("bonus", &adding(1)).start().await;
    app.customer("a").await;
    app
}

async fn a_draft_runs_nothing_until_it_is_activated(database: Database) {
    let app = bonus(database).await;
    let draft = push(&app, "bonus", &adding(5)).await;
    assert_eq!((&draft["state"], &draft["changed"]), (&json!("draft"), &json!(true)));
    assert_eq!(bonus_of_an_order(&app, "1").await, 1);
    assert_eq!(states(&app, "bonus").await, list(&[("draft", 0), ("active", 1)]));
    let again = app.post("/v1/automations/bonus/versions", json!({ "path": "bonus.rhai", "source": adding(5) })).await;
    assert_eq!(again.expect(200).json()["changed"], false, "the same content is the same draft");
    let live = app.post("/v1/automations/bonus/activate", json!({})).await.expect(200).json();
    assert_eq!((&live["digest"], &live["changed"]), (&draft["digest"], &json!(true)));
    assert_eq!(bonus_of_an_order(&app, "2").await, 5);
    assert_eq!(states(&app, "bonus").await, list(&[("active", 1), ("retired", 1)]));
    let no_draft = app.post("/v1/automations/bonus/activate", json!({})).await.expect(404).json();
    assert!(no_draft["detail"].as_str().unwrap().contains("push one, or name a version"), "{no_draft}");
    // A draft of something new is live for the first time when it is activated.
    push(&app, "fresh", &adding(100)).await;
    assert_eq!(bonus_of_an_order(&app, "3").await, 5);
    activate(&app, "fresh", "draft").await;
    assert_eq!(bonus_of_an_order(&app, "4").await, 105);
    let app = app.restart(|setup| setup).await;
    assert_eq!(bonus_of_an_order(&app, "5").await, 105, "what has no file stays live");
}

async fn a_rollback_goes_back_and_asked_again_goes_further_back(database: Database) {
    let app = bonus(database).await;
    for points in [2, 3] {
        let draft = push(&app, "bonus", &adding(points)).await;
        activate(&app, "bonus", draft["digest"].as_str().unwrap()).await;
    }
    let back = || async { app.post("/v1/automations/bonus/rollback", json!({})).await };
    let second = back().await.expect(200).json();
    assert_eq!(bonus_of_an_order(&app, "1").await, 2);
    let first = back().await.expect(200).json();
    assert_eq!(bonus_of_an_order(&app, "2").await, 1);
    let end = back().await.expect(404).json();
    assert!(end["detail"].as_str().unwrap().contains("rapport script versions bonus"), "{end}");
    let all = versions(&app, "bonus").await;
    assert_eq!(all[1]["digest"], second["digest"]);
    assert_eq!((&all[2]["digest"], &all[2]["state"]), (&first["digest"], &json!("active")));
    assert_eq!((&all[2]["live"][1]["rollback"], &all[2]["live"][0]["rollback"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&all[2]["live"][0]["by"]["kind"], &all[2]["live"][1]["by"]["name"]),
        (&json!("system"), &json!("owner"))
    );
    assert_eq!(all[0]["pushed_by"]["name"], "owner");
    let log = app.get("/v1/events?type=automation.*&limit=100").await.expect(200).items();
    let told: Vec<&str> = log.iter().rev().map(|e| e["type"].as_str().unwrap()).collect();
    let words = ["activated", "pushed", "activated", "pushed", "activated", "activated", "activated"];
    let mut sorted = told.clone();
    sorted.sort_unstable();
    let mut want: Vec<String> = words.iter().map(|word| format!("automation.{word}")).collect();
    want.sort();
    assert_eq!(sorted, want, "who did what is in the log");
    // The way forward names a version.
    activate(&app, "bonus", all[0]["digest"].as_str().unwrap().split_at(8).0).await;
    assert_eq!(bonus_of_an_order(&app, "3").await, 3);
}

async fn changed_settings_are_versions_too(database: Database) {
    let app = bonus(database).await;
    app.put("/v1/automations/bonus/settings", json!({ "times": 10 })).await.expect(200);
    assert_eq!(bonus_of_an_order(&app, "1").await, 10);
    let all = versions(&app, "bonus").await;
    assert_eq!((all.len(), &all[0]["settings"], &all[1]["settings"]), (2, &json!({ "times": 10 }), &json!({})));
    assert_eq!((&all[0]["content"], &all[0]["kind"]), (&all[1]["digest"], &json!("script")));
    let diff = app.get("/v1/automations/bonus/diff").await.expect(200).json();
    let side = |value: i64| json!({ "default": 1, "value": value });
    assert_eq!(diff["settings"], json!([{ "name": "times", "from": side(1), "to": side(10) }]));
    assert_eq!((&diff["source"], &diff["declaration"]), (&json!(""), &json!({})));
    // A draft is content and the settings in force when it was pushed.
    push(&app, "bonus", &adding(2)).await;
    app.post("/v1/automations/bonus/rollback", json!({})).await.expect(200);
    assert_eq!(bonus_of_an_order(&app, "2").await, 1);
    activate(&app, "bonus", "draft").await;
    assert_eq!(bonus_of_an_order(&app, "3").await, 20);
}

async fn a_plugin_has_versions_as_a_script_has(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    app.put("/v1/automations/tiers/settings", json!({ "gold_from": 200 })).await.expect(200);
    let all = versions(&app, "tiers").await;
    assert_eq!((all.len(), &all[0]["kind"], &all[1]["state"]), (2, &json!("plugin"), &json!("retired")));
    let one = app.get("/v1/automations/tiers/versions/active").await.expect(200).json();
    assert!(
        one["source"].as_str().unwrap().contains("publisher = \"Rapport\""),
        "the text of a plugin is its manifest"
    );
    assert_eq!(one["declaration"]["triggers"][0]["event"], "customer.updated");
    let diff = app.get("/v1/automations/tiers/diff").await.expect(200).json();
    assert_eq!(diff["settings"][0]["name"], "gold_from");
    assert_eq!(diff["component_bytes"][0], diff["component_bytes"][1]);
    let back = app.post("/v1/automations/tiers/rollback", json!({})).await.expect(200).json();
    assert_eq!(back["digest"], all[1]["digest"]);
}

/// Notes before and after three days; `first` and `then` are what it does.
fn sleeper(first: &str, then: &str) -> String {
    format!(
        "//! Sleeps.\non(\"order.paid\");\nuses(\"customer:read\", \"customer.notes:write\", \"customer.city:write\");\n\
         fn run(event) {{\n    let customer = get(\"customer\", `customer_no:${{event.record.customer_no}}`);\n    {first}\n    \
         sleep(\"3 days\");\n    {then}\n}}\n"
    )
}

const FIRST: &str = "update(customer, #{ notes: \"asked\" });";

fn later(clock: &SetClock, span: &str) {
    let start: Timestamp = START.parse().unwrap();
    clock.set(start.plus_micros(rapport_model::duration::parse(span).unwrap()));
}

fn clock() -> Arc<SetClock> {
    Arc::new(SetClock::at(START.parse().unwrap()))
}

async fn waiting(app: &TestApp, count: u64) {
    let all = || async {
        let counts = app.get("/v1/runs/counts").await.expect(200).items();
        let found = counts.iter().find(|c| c["status"] == "waiting").and_then(|c| c["count"].as_u64());
        (found == Some(count)).then_some(())
    };
    eventually("the runs that wait", all).await;
}

async fn runs_that_wait_stay_on_their_version(database: Database) {
    let clock = clock();
    let old = sleeper(FIRST, "update(customer, #{ notes: \"old\" });");
    let app = TestApp::on(database).script("sleeper", &old).clock(clock.clone()).start().await;
    app.customer("1").await;
    app.customer("2").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    push(&app, "sleeper", &sleeper(FIRST, "update(customer, #{ notes: \"new\" });")).await;
    activate(&app, "sleeper", "draft").await;
    app.post("/v1/events", order_paid("2", "2", "5")).await.expect(202);
    waiting(&app, 2).await;
    let on = |all: &[Value]| all.iter().map(|v| v["runs"].clone()).collect::<Vec<_>>();
    assert_eq!(on(&versions(&app, "sleeper").await), [json!({ "waiting": 1 }), json!({ "waiting": 1 })]);
    later(&clock, "4 days");
    let done = || async { (app.runs("status=completed").await.len() == 2).then_some(()) };
    eventually("both runs", done).await;
    assert_eq!(app.customer_field("1", "notes").await, "old");
    assert_eq!(app.customer_field("2", "notes").await, "new");
    assert_eq!(on(&versions(&app, "sleeper").await), [json!({}), json!({})]);
}

async fn a_broken_script_is_no_draft(database: Database) {
    let app = bonus(database).await;
    let broken = adding(5).replace("increment(", "incremnt(");
    let refused = app.post("/v1/automations/bonus/versions", json!({ "source": broken })).await.expect(422).json();
    assert!(refused["detail"].as_str().unwrap().contains("bonus.rhai:6:"), "{refused}");
    assert_eq!(states(&app, "bonus").await, list(&[("active", 1)]));
    let reserved = app.post("/v1/automations/rapport%2Fundo/versions", json!({ "source": adding(1) })).await;
    reserved.expect(422);
}

async fn a_version_that_is_not_there_is_refused_by_name(database: Database) {
    let app = bonus(database).await;
    let detail = |reply: Value| reply["detail"].as_str().unwrap().to_owned();
    app.get("/v1/automations/nothing/versions").await.expect(404);
    app.post("/v1/automations/nothing/rollback", json!({})).await.expect(404);
    let path = "/v1/automations/bonus/activate";
    let unknown = detail(app.post(path, json!({ "version": "00000000" })).await.expect(404).json());
    assert!(unknown.contains("`rapport script versions bonus` lists all"), "{unknown}");
    let short = detail(app.post(path, json!({ "version": "abc" })).await.expect(422).json());
    assert!(short.contains("4 and more"), "{short}");
    app.post(path, json!({ "versoin": "abcd" })).await.expect(422);
    let page = json!({ "version": "active", "after": "none" });
    app.post("/v1/automations/bonus/rehearse", page).await.expect(422);
}

async fn only_an_admin_changes_what_is_live(database: Database) {
    let app = bonus(database).await;
    let key = app.post("/v1/keys", json!({ "name": "w", "scopes": ["read", "write"] })).await.expect(201).json();
    let writer = app.with_key(key["secret"].as_str().unwrap());
    for (path, body) in [
        ("versions", json!({ "source": adding(9) })),
        ("activate", json!({ "version": "active" })),
        ("rollback", json!({})),
        ("deactivate", json!({})),
        ("rehearse", json!({ "version": "active" })),
    ] {
        writer.post(&format!("/v1/automations/bonus/{path}"), body).await.expect(403);
    }
    assert_eq!(versions(&writer, "bonus").await.len(), 1, "reading is open to readers");
    app.post("/v1/automations/bonus/deactivate", json!({})).await.expect(204);
    assert_eq!(bonus_of_an_order(&app, "1").await, 0);
    app.post("/v1/automations/bonus/rollback", json!({})).await.expect(200);
    assert_eq!(bonus_of_an_order(&app, "2").await, 1);
}

async fn what_was_rolled_back_stays_so_over_a_restart(database: Database) {
    let app = bonus(database).await;
    let app = app.restart(|setup| setup.script("bonus", &adding(5))).await;
    assert_eq!(bonus_of_an_order(&app, "1").await, 5);
    app.post("/v1/automations/bonus/rollback", json!({})).await.expect(200);
    let app = app.restart(|setup| setup).await;
    assert_eq!(bonus_of_an_order(&app, "2").await, 1, "the file has not changed since somebody chose another version");
    assert!(app.notices().contains("bonus: stays at "), "{}", app.notices());
    let app = app.restart(|setup| setup.script("bonus", &adding(7))).await;
    assert_eq!(bonus_of_an_order(&app, "3").await, 7, "a changed file goes live");
}

async fn rehearse(app: &Client, id: &str, version: &str) -> Value {
    let body = json!({ "version": version });
    app.post(&format!("/v1/automations/{id}/rehearse"), body).await.expect(200).json()
}

/// How much has happened beside pushes.
async fn changes(app: &TestApp) -> usize {
    app.log().await.iter().filter(|event| event["type"] != "automation.pushed").count()
}

async fn a_dry_run_lists_the_runs_that_would_differ_and_changes_nothing(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("sleeper", &sleeper(FIRST, "")).clock(clock).start().await;
    for number in ["1", "2", "3"] {
        app.customer(number).await;
        app.post("/v1/events", order_paid(number, number, "5")).await.expect(202);
    }
    waiting(&app, 3).await;
    let head = changes(&app).await;
    // What comes after the wait may be another thing.
    let after = push(&app, "sleeper", &sleeper(FIRST, "fail(\"otherwise\");")).await;
    let fine = rehearse(&app, "sleeper", after["digest"].as_str().unwrap()).await;
    assert_eq!((&fine["runs"], &fine["held"], &fine["differ"]), (&json!(3), &json!(3), &json!([])));
    // What comes before must be the same for each run.
    let other = "if customer.customer_no == \"2\" { update(customer, #{ city: \"Bonn\" }); } else { update(customer, #{ notes: \"asked\" }); }";
    push(&app, "sleeper", &sleeper(other, "")).await;
    let found = rehearse(&app, "sleeper", "draft").await;
    let differ = found["differ"].as_array().unwrap();
    assert_eq!((differ.len(), &differ[0]["status"], &differ[0]["call"]), (1, &json!("waiting"), &json!(2)), "{found}");
    let why = differ[0]["why"].as_str().unwrap();
    assert!(why.contains("called `update`") && differ[0]["lines"] == json!([6]), "{differ:?}");
    let run = app.get(&format!("/v1/runs/{}", differ[0]["run"].as_str().unwrap())).await.expect(200).json();
    let second = app.get("/v1/records/customer/customer_no:2").await.json();
    assert_eq!(run["lane"], second["id"]);
    // A run that would end, or fail, before it comes to where it waits, differs as well.
    for (first, told) in [("return;", "ended where it had called `update`"), ("fail(\"no\");", "failed (")] {
        push(&app, "sleeper", &sleeper(first, "")).await;
        let found = rehearse(&app, "sleeper", "draft").await;
        let differ = found["differ"].as_array().unwrap();
        assert!(differ.len() == 3 && differ.iter().all(|d| d["why"].as_str().unwrap().contains(told)), "{found}");
        assert_eq!(differ[0]["call"], 2);
    }
    assert_eq!(changes(&app).await, head, "nothing has happened but pushes");
    waiting(&app, 3).await;
    assert_eq!(rehearse(&app, "sleeper", "active").await["differ"], json!([]));
}

/// How many runs wait: ten thousand if there is time for it.
fn many() -> u64 {
    if std::env::var("RAPPORT_SLOW").is_ok_and(|v| v == "1") { 10_000 } else { 300 }
}

async fn runs_under_an_edited_script_are_rehearsed_page_by_page(database: Database) {
    let count = many();
    let app = TestApp::on(database).script("sleeper", &sleeper(FIRST, "")).clock(clock()).start().await;
    for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
        let customers: Vec<String> =
            chunk.iter().map(|n| json!({ "customer_no": n.to_string() }).to_string()).collect();
        app.ndjson("/v1/records/customer/bulk?key=customer_no", &customers).await.expect(200);
        let orders: Vec<String> =
            chunk.iter().map(|n| order_paid(&n.to_string(), &n.to_string(), "1").to_string()).collect();
        app.ndjson("/v1/events", &orders).await.expect(202);
    }
    waiting(&app, count).await;
    let edited = "if customer.customer_no.ends_with(\"7\") { update(customer, #{ notes: \"seven\" }); } else { update(customer, #{ notes: \"asked\" }); }";
    push(&app, "sleeper", &sleeper(edited, "")).await;
    let (mut seen, mut differ, mut pages) = (0, Vec::new(), 0);
    let mut body = json!({ "version": "draft", "limit": 100 });
    let began = std::time::Instant::now();
    loop {
        let page = app.post("/v1/automations/sleeper/rehearse", body.clone()).await.expect(200).json();
        (seen, pages) = (seen + page["runs"].as_u64().unwrap(), pages + 1);
        differ.extend(page["differ"].as_array().unwrap().clone());
        if page["next"].is_null() {
            break;
        }
        body["after"] = page["next"].clone();
    }
    eprintln!("{count} runs rehearsed in {:?}", began.elapsed());
    assert_eq!((seen, differ.len() as u64), (count, count / 10));
    assert!(pages > count / 100, "page by page: {pages}");
    let mut runs: Vec<&str> = differ.iter().map(|d| d["run"].as_str().unwrap()).collect();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len() as u64, count / 10, "each run once");
    // The runs live on, whatever was asked about them.
    waiting(&app, count).await;
}

async fn the_command_line_takes_a_script_from_draft_to_live_and_back(database: Database) {
    let app = TestApp::on(database).script("sleeper", &sleeper(FIRST, "")).clock(clock()).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 1).await;
    let (key, file) = (app.folder.path().join("key"), app.folder.path().join("sleeper.rhai"));
    let call = |arguments: &[&str]| rapport(&[&["script"], arguments].concat()).to(&app, &key).run();
    let path = file.to_str().unwrap().to_owned();
    std::fs::write(&file, sleeper("update(customer, #{ notes: \"other\" });", "")).unwrap();
    let pushed = call(&["push", &path]).expect(0).text;
    assert!(pushed.contains("draft: sleeper (") && pushed.contains("rapport script activate sleeper"), "{pushed}");
    let diff = call(&["diff", "sleeper"]).expect(0).text;
    assert!(diff.contains("-    update(customer, #{ notes: \"asked\" });"), "{diff}");
    assert!(diff.contains("+    update(customer, #{ notes: \"other\" });"), "{diff}");
    let dry = call(&["activate", "sleeper", "--dry-run"]).expect(1).text;
    assert!(dry.contains("1 live runs replayed, 1 would differ") && dry.contains("call 2"), "{dry}");
    assert!(call(&["activate", "sleeper"]).expect(0).text.contains("live: sleeper ("));
    assert!(call(&["activate", "sleeper", "--version", "active"]).expect(0).text.contains("as before"));
    let listed = call(&["versions", "sleeper"]).expect(0).text;
    assert!(listed.contains("active") && listed.contains("retired") && listed.contains("user owner"), "{listed}");
    assert!(call(&["rollback", "sleeper"]).expect(0).text.contains("live: sleeper ("));
    assert!(call(&["versions", "sleeper"]).expect(0).text.contains("(rollback)"));
    assert!(call(&["rollback", "sleeper"]).expect(1).text.contains("lists all"));
    call(&["activate", "sleeper", "--version", "before", "--dry-run"]).expect(1);
    call(&["activate", "sleeper", "--version", "active", "--dry-run"]).expect(0);
}
