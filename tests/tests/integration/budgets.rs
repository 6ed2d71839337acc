//! Budgets: what a plugin's manifest asks to use bounds it where that is less than the operator's limits.

use serde_json::{Value, json};

use crate::actions::{ADA, TILL, call, customer};
use crate::harness::{Database, TestApp, eventually, on_both};
use crate::keeping::asked;
use crate::waiting::clock;

on_both!(
    a_slice_is_held_to_the_budgets_of_its_manifest,
    an_action_and_a_compensator_are_held_to_them_as_well,
    a_budget_never_raises_a_limit,
);

async fn keeper(database: Database, budget: &str) -> TestApp {
    let budgets = format!("[budgets]\n{budget}\n");
    TestApp::on(database).keeper_plugin("keeper", &[], &budgets).start().await
}

async fn error_of(app: &TestApp) -> String {
    let error = app.runs("automation=keeper&status=dead").await[0]["error"].clone();
    format!("{} {}", error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
}

async fn a_slice_is_held_to_the_budgets_of_its_manifest(database: Database) {
    let many: Vec<Value> = (0..30).map(|n| json!(["get", n.to_string()])).collect();
    let cases = [
        ("fuel = 5000000", json!([["burn", 100_000_000]]), "fuel"),
        ("memory_bytes = 4000000", json!([["eat", 20_000_000]]), "memory"),
        ("host_calls = 20", json!(many), "host_calls"),
    ];
    for (budget, calls, code) in cases {
        let app = keeper(database, budget).await;
        assert_eq!(asked(&app, "keeper", "1", json!([["get", "a"]])).await, json!([null]), "{budget}");
        app.expect_dead(1);
        crate::keeping::ask(&app, "keeper", "2", calls).await;
        app.run_until_idle().await;
        let error = error_of(&app).await;
        assert!(error.starts_with(code) && error.contains(&format!("`{budget}` under [budgets]")), "{error}");
        assert_eq!(crate::keeping::told(&app, "2").await, Value::Null);
    }
    // Time is what may be there the next time: such a run is tried again before it dies.
    let setup = TestApp::on(database).keeper_plugin("keeper", &[], "[budgets]\nwall_ms = 50\n");
    let app = setup.configure(|config| config.limits.slice_fuel_max = 1 << 60).start().await;
    app.expect_dead(1);
    crate::keeping::ask(&app, "keeper", "1", json!([["burn", 100_000_000_000_i64]])).await;
    let dead = || async { (app.runs("automation=keeper&status=dead").await.len() == 1).then_some(()) };
    eventually("the run to die", dead).await;
    let error = error_of(&app).await;
    assert!(error.starts_with("deadline") && error.contains("`wall_ms = 50` under [budgets]"), "{error}");
    let circuit = app.get("/v1/plugins/keeper").await.expect(200).json()["circuit"]["state"].clone();
    assert_eq!(circuit, "closed", "a deadline may be the doing of others");
}

async fn an_action_and_a_compensator_are_held_to_them_as_well(database: Database) {
    let app = TestApp::on(database).till_plugin("till", &format!("{TILL}[budgets]\nhost_calls = 4\n")).start().await;
    customer(&app, 30).await;
    let looked = call(&app, "till.balance", json!({ "customer": ADA })).await.expect(200).json();
    assert_eq!(looked, json!({ "points": 30 }));
    let paid = call(&app, "till.pay", json!({ "customer": ADA, "points": 1 })).await.expect(200);
    let path = format!("/v1/runs/{}/undo", paid.header("rapport-run").unwrap());
    let foretold = app.post(&path, json!({ "dry_run": true })).await.expect(422).json();
    assert!(foretold["detail"].as_str().unwrap().contains("`host_calls = 4` under [budgets]"), "{foretold}");
    assert_eq!(app.customer_field("a", "points").await, 29);
    let small = TestApp::on(database).till_plugin("till", &format!("{TILL}[budgets]\nhost_calls = 1\n")).start().await;
    customer(&small, 30).await;
    small.expect_dead(1);
    let refused = call(&small, "till.pay", json!({ "customer": ADA, "points": 1 })).await.expect(422).json();
    assert_eq!(refused["error"]["code"], "host_calls", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("`host_calls = 1` under [budgets]"), "{refused}");
    assert_eq!(small.customer_field("a", "points").await, 30);
}

async fn a_budget_never_raises_a_limit(database: Database) {
    let few = |app: crate::harness::Setup| app.configure(|config| config.limits.slice_host_calls_max = 20);
    let setup = TestApp::on(database).keeper_plugin("keeper", &[], "[budgets]\nhost_calls = 1000\n");
    let app = few(setup).start().await;
    assert!(app.notices().contains("host_calls: 1000 is more than the operator's"), "{}", app.notices());
    drop(app);
    // One that came in before the operator lowered the limit is held to that.
    let setup = TestApp::on(database).keeper_plugin("keeper", &[], "[budgets]\nhost_calls = 100\n").clock(clock());
    let app = setup.start().await.restart(few).await;
    let many: Vec<Value> = (0..30).map(|n| json!(["get", n.to_string()])).collect();
    app.expect_dead(1);
    crate::keeping::ask(&app, "keeper", "1", json!(many)).await;
    app.run_until_idle().await;
    assert!(error_of(&app).await.contains("raise `limits.slice_host_calls_max`"), "{}", error_of(&app).await);
}
