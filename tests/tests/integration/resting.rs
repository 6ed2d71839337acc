//! Plugins that break down again and again are left alone for a while; what each one uses is counted.

use rapport_model::time::SetClock;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::actions::{ADA, TILL, call, customer};
use crate::harness::{Database, Setup, TestApp, on_both, order_paid};
use crate::keeping::{ask, asked, install, told};
use crate::process::rapport;
use crate::waiting::{clock, later};

on_both!(
    traps_in_a_row_let_a_plugin_rest_until_a_probe_is_well,
    a_probe_that_traps_doubles_the_rest,
    an_error_that_a_plugin_answers_lets_nothing_rest,
    actions_of_a_plugin_that_rests_are_answered_with_when_to_come_again,
    a_run_that_calls_a_plugin_that_rests_waits_with_it,
    who_enables_it_lets_it_go_on_at_once,
    a_new_start_forgets_that_a_plugin_rested,
    what_plugins_use_is_measured,
);

fn keeper(database: Database, clock: &Arc<SetClock>) -> Setup {
    let two = |config: &mut rapport_server::config::Config| config.limits.plugin_circuit_traps_max = 2;
    TestApp::on(database).keeper_plugin("keeper", &[], "").clock(clock.clone()).configure(two)
}

async fn trap(app: &TestApp, number: &str) {
    ask(app, "keeper", number, json!([["trap"]])).await;
    app.run_until_idle().await;
}

async fn circuit(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/v1/plugins/{id}")).await.expect(200).json()["circuit"].clone()
}

fn fine() -> Value {
    json!([["get", "a"]])
}

async fn traps_in_a_row_let_a_plugin_rest_until_a_probe_is_well(database: Database) {
    let clock = clock();
    let app = keeper(database, &clock).start().await;
    app.expect_dead(2);
    trap(&app, "1").await;
    assert_eq!(circuit(&app, "keeper").await, json!({ "state": "closed", "traps_in_a_row": 1, "open_until": null }));
    trap(&app, "2").await;
    let until = "2026-03-01T12:00:30Z";
    assert_eq!(circuit(&app, "keeper").await, json!({ "state": "open", "traps_in_a_row": 2, "open_until": until }));
    for number in ["3", "4"] {
        ask(&app, "keeper", number, fine()).await;
    }
    app.run_until_idle().await;
    let runs = app.runs("automation=keeper&status=retrying").await;
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!((&runs[0]["error"]["code"], &runs[0]["wake_at"]), (&json!("plugin_resting"), &json!(until)));
    assert_eq!(runs[0]["attempt"], 0, "that it waits is no try of the run");
    later(&clock, "29 seconds");
    app.settle().await;
    assert_eq!(told(&app, "3").await, Value::Null);
    // Of the two one tries, and the other one comes when that is known.
    later(&clock, "30 seconds");
    app.settle().await;
    later(&clock, "31 seconds");
    app.settle().await;
    assert_eq!((told(&app, "3").await, told(&app, "4").await), (json!([null]), json!([null])));
    assert_eq!(circuit(&app, "keeper").await, json!({ "state": "closed", "traps_in_a_row": 0, "open_until": null }));
    assert_eq!(asked(&app, "keeper", "5", fine()).await, json!([null]));
}

async fn a_probe_that_traps_doubles_the_rest(database: Database) {
    let clock = clock();
    let app = keeper(database, &clock).start().await;
    app.expect_dead(3);
    for number in ["1", "2", "3"] {
        trap(&app, number).await;
    }
    assert_eq!(app.runs("automation=keeper&status=dead").await.len(), 2);
    later(&clock, "30 seconds");
    app.settle().await;
    assert_eq!(app.runs("automation=keeper&status=dead").await.len(), 3, "the probe was one that traps");
    assert_eq!(circuit(&app, "keeper").await["open_until"], "2026-03-01T12:01:30Z");
    ask(&app, "keeper", "4", fine()).await;
    later(&clock, "89 seconds");
    app.settle().await;
    assert_eq!(told(&app, "4").await, Value::Null);
    later(&clock, "90 seconds");
    app.settle().await;
    assert_eq!(told(&app, "4").await, json!([null]));
}

async fn an_error_that_a_plugin_answers_lets_nothing_rest(database: Database) {
    let clock = clock();
    let app = keeper(database, &clock).start().await;
    app.expect_dead(5);
    for number in ["1", "2", "3"] {
        app.post("/v1/records/customer", json!({ "customer_no": number, "country": "keeper", "notes": "no list" }))
            .await
            .expect(201);
    }
    app.run_until_idle().await;
    // Two that are far from each other are not in a row, nor are two with another run between them.
    trap(&app, "4").await;
    later(&clock, "61 seconds");
    trap(&app, "5").await;
    assert_eq!(circuit(&app, "keeper").await["traps_in_a_row"], 1);
    assert_eq!(asked(&app, "keeper", "6", fine()).await, json!([null]));
    assert_eq!(circuit(&app, "keeper").await["traps_in_a_row"], 0);
}

async fn actions_of_a_plugin_that_rests_are_answered_with_when_to_come_again(database: Database) {
    let clock = clock();
    let manifest = format!("{TILL}[[actions]]\nname = \"break\"\n[[actions]]\nname = \"look\"\nreadonly = true\n");
    let two = |config: &mut rapport_server::config::Config| config.limits.plugin_circuit_traps_max = 2;
    let app = TestApp::on(database).till_plugin("till", &manifest).clock(clock.clone()).configure(two).start().await;
    customer(&app, 30).await;
    app.expect_dead(2);
    for _ in 0..2 {
        let broken = call(&app, "till.break", json!({})).await.expect(422).json();
        assert_eq!(broken["error"]["code"], "trap", "{broken}");
    }
    let runs = app.runs("automation=till").await.len();
    later(&clock, "10 seconds");
    for (action, input) in
        [("till.pay", json!({ "customer": ADA, "points": 1 })), ("till.balance", json!({ "customer": ADA }))]
    {
        let refused = call(&app, action, input).await.expect(503);
        assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("plugin_resting", Some("20")));
        assert!(
            refused.json()["detail"].as_str().unwrap().contains("rapport plugin enable till"),
            "{}",
            refused.json()
        );
    }
    assert_eq!(app.runs("automation=till").await.len(), runs, "a call that is refused is no run");
    later(&clock, "30 seconds");
    call(&app, "till.balance", json!({ "customer": ADA })).await.expect(200);
    call(&app, "till.pay", json!({ "customer": ADA, "points": 1 })).await.expect(200);
    assert_eq!(app.customer_field("a", "points").await, 29);
}

/// Asks for points, and pays.
const PAYS: &str = r#"//! Pays.
on("order.paid");
uses("customer:read", "customer.notes:write", "invoke:till.pay", "invoke:till.balance");
fn run(event) {
    let seen = "";
    try { seen = invoke("till.balance", #{ customer: event.record }).points; } catch (e) { seen = e.code; }
    let paid = invoke("till.pay", #{ customer: event.record, points: 3 });
    update(event.record, #{ notes: `${seen} ${paid.result} ${paid.left}` });
}
"#;

async fn a_run_that_calls_a_plugin_that_rests_waits_with_it(database: Database) {
    let clock = clock();
    let manifest = format!("{TILL}[[actions]]\nname = \"break\"\n");
    let one = |config: &mut rapport_server::config::Config| config.limits.plugin_circuit_traps_max = 1;
    let setup = TestApp::on(database).till_plugin("till", &manifest).script("pays", PAYS);
    let app = setup.clock(clock.clone()).configure(one).start().await;
    customer(&app, 30).await;
    app.expect_dead(1);
    call(&app, "till.break", json!({})).await.expect(422);
    app.post("/v1/events", order_paid("1", "a", "5")).await.expect(202);
    app.run_until_idle().await;
    assert_eq!(app.runs("automation=till&status=retrying").await.len(), 1);
    assert_eq!(app.runs("automation=pays&status=waiting").await.len(), 1);
    later(&clock, "30 seconds");
    app.settle().await;
    app.run_until_idle().await;
    app.settle().await;
    assert_eq!(app.customer_field("a", "notes").await, "plugin_resting ok 27");
}

async fn who_enables_it_lets_it_go_on_at_once(database: Database) {
    let clock = clock();
    let app = keeper(database, &clock).start().await;
    app.expect_dead(2);
    trap(&app, "1").await;
    trap(&app, "2").await;
    ask(&app, "keeper", "3", fine()).await;
    app.run_until_idle().await;
    assert_eq!(told(&app, "3").await, Value::Null);
    let key = app.folder.path().join("key");
    let shown = rapport(&["plugin", "show", "keeper"]).to(&app, &key).run().expect(0).output;
    assert!(shown.contains("open after 2 traps in a row, until 2026-03-01T12:00:30Z"), "{shown}");
    let enabled = app.post("/v1/plugins/keeper/enable", json!({})).await.expect(200).json();
    assert_eq!((&enabled["resumed"], &enabled["circuit"]["state"]), (&json!(1), &json!("closed")), "{enabled:#}");
    app.run_until_idle().await;
    assert_eq!(told(&app, "3").await, json!([null]));
}

async fn a_new_start_forgets_that_a_plugin_rested(database: Database) {
    let clock = clock();
    let app = keeper(database, &clock).start().await;
    app.expect_dead(2);
    trap(&app, "1").await;
    trap(&app, "2").await;
    ask(&app, "keeper", "3", fine()).await;
    app.run_until_idle().await;
    let again = clock.clone();
    let app = app.restart(|setup| setup.clock(again)).await;
    assert_eq!(circuit(&app, "keeper").await["state"], "closed");
    assert_eq!(asked(&app, "keeper", "4", fine()).await, json!([null]));
    assert_eq!(told(&app, "3").await, Value::Null, "what waited waits for its instant");
    later(&clock, "30 seconds");
    app.settle().await;
    assert_eq!(told(&app, "3").await, json!([null]));
}

async fn what_plugins_use_is_measured(database: Database) {
    let app = TestApp::start(database).await;
    install(&app, &["secret:till"], &[]).await;
    app.expect_dead(2);
    assert_eq!(asked(&app, "keeper", "1", json!([["eat", 3_000_000], ["get", "a"]])).await, json!([3_000_000, null]));
    trap(&app, "2").await;
    ask(&app, "keeper", "3", json!([["hmac", "till", "x"]])).await;
    app.run_until_idle().await;
    let usage = app.get("/v1/plugins/keeper").await.expect(200).json()["usage"].clone();
    assert_eq!((&usage["calls"], &usage["traps"], &usage["refusals"]), (&json!(3), &json!(1), &json!(1)), "{usage}");
    let of = |name: &str| usage[name].as_u64().unwrap();
    assert!(of("memory_peak_bytes") > 3_000_000 && of("fuel") > 10_000, "{usage}");
    assert!(of("wall_micros") > 0 && of("host_micros") <= of("wall_micros"), "{usage}");
    let metrics = app.get("/metrics").await.expect(200).text();
    for (name, value) in [("calls_total", 3), ("traps_total", 1), ("refusals_total", 1), ("circuit_open", 0)] {
        let line = format!("rapport_plugin_{name}{{plugin=\"keeper\"}} {value}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert!(metrics.contains(&format!("rapport_plugin_fuel_total{{plugin=\"keeper\"}} {}\n", of("fuel"))), "{metrics}");
    // What is gone is measured no longer.
    app.delete("/v1/plugins/keeper").await.expect(200);
    assert!(!app.get("/metrics").await.expect(200).text().contains("plugin=\"keeper\""));
}
