//! Functions of scripts that plugins call: the rule is the operator's, the books stay the plugin's.

use serde_json::{Value, json};

use crate::backtest_waits::{FOREVER, Story, assert_exact};
use crate::harness::{Database, TestApp, on_both};
use crate::keeping::{asked, dies_with, install, told};
use crate::waiting::{clock, later, waiting};

on_both!(
    a_plugin_calls_a_function_that_an_operator_wrote,
    a_function_that_cannot_be_called_says_why,
    a_function_is_pure,
    a_function_lives_on_what_its_caller_has_left,
    a_function_without_its_right_is_not_called,
    a_function_that_was_not_granted_is_not_called,
    a_run_that_waits_is_told_the_same_whatever_becomes_of_the_script,
    a_backtest_calls_the_version_that_was_live_then,
    an_operator_sets_what_a_function_goes_by,
);

/// A flow that an operator writes: nothing starts it.
const NPS: &str = r#"//! Which question comes next.
setting("promoter_from", 9);
fn next(answers, customer) {
    if answers.len() == 0 { return "How likely are you to recommend us?"; }
    log(`${customer.name} gave ${answers[0]}`);
    if answers[0] >= setting("promoter_from") { "What do you like best?" } else { "What went wrong?" }
}
fn drawn() { random() }
fn instant() { `${now()}` }
fn deep(n) { if n == 0 { throw "too deep"; } deep(n - 1) }
fn endless() { let n = 0; loop { n += 1; } }
fn hungry() { let all = [0]; loop { all += all; } }
fn rolls(times) { for n in 0..times { random(); } times }
fn spend(rounds) { let n = 0; while n < rounds { n += 1; } n }
"#;

/// One that events start, and that reads and writes.
const MIXED: &str = r#"//! Notes orders.
on("order.paid");
uses("customer:read", "customer:create", "customer.notes:write", "emit:order.paid");
fn run(event) { update(event.record, #{ notes: "seen" }); }
fn one(n) { n + 1 }
fn reads() { get("customer", "customer_no:1") }
fn counts() { count("customer", "") }
fn finds() { find("customer", "") }
fn creates() { create("customer", #{ customer_no: "x" }) }
fn emits() { emit("order.paid", "customer/customer_no:1", #{}) }
fn sleeps() { sleep("1 day") }
fn catches() { try { sleep("1 day"); } catch (e) { return e.code; } }
"#;

/// Notes what the keeper was told.
const WATCHER: &str = r#"//! Notes.
on_change("customer", ["postcode"]);
uses("customer:read", "customer.city:write");
fn run(event) { update(event.record, #{ city: event.record.postcode }); }
"#;

const RIGHT: &[&str] = &["script:surveys/*", "script:mixed", "script:gone", "script:keeper"];

fn call(function: &str, arguments: Value) -> Value {
    Value::from([vec![json!("script"), json!("surveys/nps"), json!(function)], vec![arguments]].concat())
}

async fn app(database: Database) -> TestApp {
    let app = TestApp::on(database).script("surveys/nps", NPS).script("mixed", MIXED);
    let app = app.keeper_plugin("keeper", RIGHT, "").start().await;
    assert!(app.get("/v1/automations").await.items().iter().any(|a| a["id"] == "surveys/nps"), "{}", app.notices());
    app
}

async fn a_plugin_calls_a_function_that_an_operator_wrote(database: Database) {
    let clock = clock();
    let setup = TestApp::on(database).script("surveys/nps", NPS).keeper_plugin("keeper", RIGHT, "");
    let app = setup.clock(clock).start().await;
    let calls = json!([
        call("next", json!([[], { "name": "Ada" }])),
        call("next", json!([[10], { "name": "Ada" }])),
        call("next", json!([[3], { "name": "Ada" }])),
        call("drawn", json!([])),
        call("drawn", json!([])),
        call("instant", json!([])),
    ]);
    let answers = asked(&app, "keeper", "1", calls).await;
    let texts = json!(["How likely are you to recommend us?", "What do you like best?", "What went wrong?"]);
    assert_eq!(json!(answers.as_array().unwrap()[..3]), texts);
    assert!(answers[3].is_number() && answers[3] != answers[4], "{answers}");
    assert!(answers[5].as_str().unwrap().starts_with("2026-03-01T12:00:00"), "{answers}");
    // The trace names the version of the script, and has what it logged.
    let run = app.runs("automation=keeper").await[0]["id"].as_str().unwrap().to_owned();
    let run = app.get(&format!("/v1/runs/{run}")).await.expect(200).json();
    let trace = &run["trace"];
    let called: Vec<&Value> =
        trace["calls"].as_array().unwrap().iter().filter(|call| call["call"] == "scripts.run").collect();
    let live = app.get("/v1/automations").await.items();
    let live = live.iter().find(|a| a["id"] == "surveys/nps").unwrap()["digest"].as_str().unwrap().to_owned();
    let outcome = called[1]["outcome"].as_str().unwrap();
    let version = outcome.rsplit(' ').next().unwrap();
    assert!(called.len() == 6 && outcome.contains("What do you like best?"), "{trace:#}");
    assert!(live.trim_start_matches("sha256:").starts_with(version), "{live} {outcome}");
    assert_eq!(trace["log"][0]["message"], "surveys/nps: Ada gave 10", "{trace:#}");
}

async fn a_function_that_cannot_be_called_says_why(database: Database) {
    let app = app(database).await;
    app.post("/v1/automations/mixed/deactivate", json!({})).await.expect(204);
    let calls = json!([
        ["script", "surveys/nsp", "next", []],
        ["script", "mixed", "one", [1]],
        ["script", "keeper", "one", [1]],
        ["script", "surveys/NPS", "next", []],
        call("nxet", json!([1, 2])),
        call("next", json!([1])),
        call("deep", json!([2])),
        call("next", json!([[], 1, 2])),
    ]);
    let answers = asked(&app, "keeper", "1", calls).await;
    let codes: Vec<&Value> = answers.as_array().unwrap().iter().map(|a| &a["refused"]).collect();
    let expected = [
        ("unknown_script", "did you mean `surveys/nps`?"),
        ("script_disabled", "`rapport script activate mixed`"),
        ("not_a_script", "`keeper` is a plugin"),
        ("invalid", "surveys/NPS"),
        ("unknown_function", "did you mean `next`?"),
        ("wrong_arguments", "`next` takes 2 arguments, not 1"),
        ("script", "surveys/nps.rhai:10:"),
        ("wrong_arguments", "not 3"),
    ];
    assert_eq!(codes, expected.map(|(code, _)| code), "{answers:#}");
    for (answer, (_, says)) in answers.as_array().unwrap().iter().zip(expected) {
        assert!(answer["why"].as_str().unwrap().contains(says), "{answer}");
    }
    assert!(answers[6]["why"].as_str().unwrap().contains("too deep"), "{answers:#}");
}

async fn a_function_is_pure(database: Database) {
    let app = app(database).await;
    let names = ["reads", "counts", "finds", "creates", "emits", "sleeps", "catches", "one"];
    let mut calls: Vec<Value> = names.iter().map(|name| json!(["script", "mixed", name, []])).collect();
    calls[7] = json!(["script", "mixed", "one", [1]]);
    let before = app.all("customer").await.len();
    let answers = asked(&app, "keeper", "1", json!(calls)).await;
    for answer in &answers.as_array().unwrap()[..6] {
        let why = answer["why"].as_str().unwrap_or_else(|| panic!("{answers:#}"));
        assert!(answer["refused"] == "pure" && why.contains("mixed.rhai:"), "{answer}");
    }
    assert_eq!((&answers[6], &answers[7]), (&json!("pure"), &json!(2)), "{answers:#}");
    assert_eq!(app.all("customer").await.len(), before + 1, "only the one that started it");
}

async fn a_function_lives_on_what_its_caller_has_left(database: Database) {
    let app = app(database).await;
    let calls = json!([call("endless", json!([])), call("next", json!([[], 1]))]);
    let answers = asked(&app, "keeper", "1", calls).await;
    let why = answers[0]["why"].as_str().unwrap_or_else(|| panic!("{answers:#}"));
    assert!(answers[0]["refused"] == "budget" && why.contains("units of fuel that the caller had left"), "{why}");
    assert_eq!(answers[1], "How likely are you to recommend us?", "what is kept for the caller is enough to go on");
    let answers = asked(&app, "keeper", "2", json!([call("hungry", json!([]))])).await;
    assert_eq!(answers[0]["refused"], "budget", "{answers:#}");
    // Many that are small are as much as one that is large: the slice ends.
    app.expect_dead(2);
    dies_with(&app, "3", json!(["scripts", 1_000_000, "surveys/nps", "spend", [10_000]]), "budget").await;
    let used = app.runs("automation=keeper&status=dead").await[0]["id"].as_str().unwrap().to_owned();
    let used = app.get(&format!("/v1/runs/{used}")).await.expect(200).json();
    let max = rapport_model::Limits::default().slice_fuel_max;
    assert!(used["trace"]["fuel"].as_u64().unwrap() <= max, "{used:#}");
    dies_with(&app, "4", json!(["scripts", 1_000_000, "surveys/nps", "rolls", [100]]), "budget").await;
}

async fn a_function_without_its_right_is_not_called(database: Database) {
    let app = TestApp::on(database).script("surveys/nps", NPS).keeper_plugin("keeper", &["script:other/*"], "");
    let app = app.start().await;
    app.expect_dead(1);
    dies_with(&app, "1", call("next", json!([[], 1])), "denied").await;
    let error = app.runs("automation=keeper&status=dead").await[0]["error"]["message"].clone();
    assert!(error.as_str().unwrap().contains("`keeper` may not use `script:surveys/nps`"), "{error}");
}

async fn a_function_that_was_not_granted_is_not_called(database: Database) {
    let app = TestApp::on(database).script("surveys/nps", NPS).start().await;
    install(&app, &["script:surveys/*", "script:mixed"], &["script:surveys/*"]).await;
    let shown = app.get("/v1/plugins/keeper").await.expect(200).json();
    assert_eq!(shown["declined"], json!(["script:mixed"]), "{shown:#}");
    assert_eq!(asked(&app, "keeper", "1", json!([call("spend", json!([3]))])).await, json!([3]));
    app.expect_dead(1);
    dies_with(&app, "2", json!(["script", "mixed", "one", [1]]), "not_granted").await;
}

async fn a_run_that_waits_is_told_the_same_whatever_becomes_of_the_script(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("surveys/nps", NPS).keeper_plugin("keeper", RIGHT, "");
    let app = app.clock(clock.clone()).start().await;
    let first = call("next", json!([[], 1]));
    let calls = json!([first, call("drawn", json!([])), call("nothing", json!([])), ["sleep", "1 day"], first]);
    let number = "1";
    crate::keeping::ask(&app, "keeper", number, calls).await;
    waiting(&app, 1).await;
    let changed = NPS.replace("How likely", "Hand on heart: how likely").replace("fn drawn", "fn gone");
    let changed = changed + "fn nothing() { 1 }\n";
    app.post("/v1/automations/surveys%2Fnps/versions", json!({ "source": changed })).await.expect(201);
    app.post("/v1/automations/surveys%2Fnps/activate", json!({})).await.expect(200);
    later(&clock, "2 days");
    app.settle().await;
    app.run_until_idle().await;
    let answers = told(&app, number).await;
    assert_eq!(answers[0], "How likely are you to recommend us?", "{answers:#}");
    assert!(answers[1].is_number(), "{answers:#}");
    assert_eq!(answers[2]["refused"], "unknown_function");
    assert_eq!(answers[4], "Hand on heart: how likely are you to recommend us?", "{answers:#}");
}

async fn a_backtest_calls_the_version_that_was_live_then(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("surveys/nps", NPS).keeper_plugin("keeper", RIGHT, "");
    let app = app.script("watcher", WATCHER).clock(clock.clone()).start().await;
    asked(&app, "keeper", "1", json!([call("next", json!([[], 1]))])).await;
    let changed = NPS.replace("How likely", "Hand on heart: how likely");
    app.post("/v1/automations/surveys%2Fnps/versions", json!({ "source": changed })).await.expect(201);
    app.post("/v1/automations/surveys%2Fnps/activate", json!({})).await.expect(200);
    let story = Story { app, clock };
    asked(&story.app, "keeper", "2", json!([call("next", json!([[], 1]))])).await;
    // What came of the calls is what another script saw: it sees the same again, of both versions.
    story.app.run_until_idle().await;
    let seen = [story.app.customer_field("1", "city").await, story.app.customer_field("2", "city").await];
    assert!(seen[0] != seen[1] && seen[1].as_str().unwrap().contains("Hand on heart"), "{seen:?}");
    let result = story.backtest("watcher", WATCHER, FOREVER).await;
    assert_exact(&result, 2);
}

async fn an_operator_sets_what_a_function_goes_by(database: Database) {
    let app = app(database).await;
    let asks = json!([call("next", json!([[8], { "name": "Ada" }]))]);
    assert_eq!(asked(&app, "keeper", "1", asks.clone()).await, json!(["What went wrong?"]));
    app.put("/v1/automations/surveys%2Fnps/settings", json!({ "promoter_from": 8 })).await.expect(200);
    assert_eq!(asked(&app, "keeper", "2", asks).await, json!(["What do you like best?"]));
}
