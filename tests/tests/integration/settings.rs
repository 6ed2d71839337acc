//! Settings: an operator changes what an automation goes by, without touching its code.

use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, on_both, project};
use crate::process::rapport;

on_both!(
    a_setting_changes_what_new_runs_do,
    settings_survive_a_restart_and_a_new_version,
    a_setting_of_the_wrong_kind_is_refused_by_name,
    only_an_admin_changes_settings,
    the_command_line_sets_one_and_leaves_the_others,
);

const POINTS: &str = "/v1/automations/loyalty%2Fpoints/settings";

async fn set(app: &TestApp, path: &str, values: Value) -> crate::client::Reply {
    app.send(Request::new("PUT", path).json(&values)).await
}

async fn buy(app: &TestApp, number: &str, amount: &str) -> Value {
    let order = json!({ "order_no": number, "customer": { "customer_no": "a" }, "amount": amount });
    app.post("/v1/records/order", order).await.expect(201);
    app.run_until_idle().await;
    app.customer_field("a", "points").await
}

async fn automation(app: &TestApp, id: &str) -> Value {
    app.get("/v1/automations").await.items().into_iter().find(|a| a["id"] == id).unwrap()
}

async fn a_setting_changes_what_new_runs_do(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let before = automation(&app, "loyalty/points").await;
    assert_eq!(buy(&app, "1", "150").await, 300);
    let answer = set(&app, POINTS, json!({"double_over": 200})).await.expect(200).json();
    assert_eq!((&answer["changed"], answer["digest"] == before["digest"]), (&json!(true), false));
    assert_eq!(buy(&app, "2", "150").await, 450);
    let now = automation(&app, "loyalty/points").await;
    assert_eq!(now["settings"], json!([{"name": "double_over", "default": 100, "value": 200}]));
    assert_eq!((&now["kind"], &now["path"], &now["digest"]), (&json!("script"), &before["path"], &answer["digest"]));
    let again = set(&app, POINTS, json!({"double_over": 200})).await.expect(200).json();
    assert_eq!(again["changed"], false);
    let back = set(&app, POINTS, json!({})).await.expect(200).json();
    assert_eq!(back["digest"], before["digest"]);
    assert_eq!(buy(&app, "3", "150").await, 750);
    let digests: Vec<Value> = app.runs("status=completed").await.iter().map(|run| run["digest"].clone()).collect();
    assert_eq!(digests, [before["digest"].clone(), answer["digest"].clone(), before["digest"].clone()]);
}

async fn settings_survive_a_restart_and_a_new_version(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    set(&app, POINTS, json!({"double_over": 200})).await.expect(200);
    set(&app, "/v1/automations/tiers/settings", json!({"gold_from": 200})).await.expect(200);
    let app = app.restart(|setup| setup).await;
    assert_eq!(buy(&app, "1", "150").await, 150);
    let source = std::fs::read_to_string(project().join("scripts/loyalty/points.rhai")).unwrap();
    let app = app.restart(|setup| setup.script("loyalty/points", &source.replace("points *= 2", "points *= 3"))).await;
    assert_eq!(buy(&app, "2", "150").await, 300, "the limit that the operator chose holds for the new version, too");
    assert_eq!(buy(&app, "3", "201").await, 903);
    assert_eq!(app.customer_field("a", "tier").await, "gold");
    assert_eq!(automation(&app, "tiers").await["kind"], "plugin");
}

async fn a_setting_of_the_wrong_kind_is_refused_by_name(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    for (values, told) in [
        (json!({"double_over": "many"}), "expected a whole number"),
        (json!({"double_over": 1.5}), "expected a whole number"),
        (json!({"duoble_over": 5}), "did you mean `double_over`?"),
    ] {
        let problem = set(&app, POINTS, values).await.expect(422).json();
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
        assert!(
            problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/du")
                || problem["errors"][0]["pointer"] == "/double_over"
        );
    }
    set(&app, "/v1/automations/nothing/settings", json!({})).await.expect(404);
    assert_eq!(buy(&app, "1", "150").await, 300);
}

async fn only_an_admin_changes_settings(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let key = app.post("/v1/keys", json!({"name": "w", "scopes": ["read", "write"]})).await.expect(201).json();
    let writer = app.with_key(key["secret"].as_str().unwrap());
    writer.send(Request::new("PUT", POINTS).json(&json!({"double_over": 1}))).await.expect(403);
    assert_eq!(automation(&app, "loyalty/points").await["settings"][0]["value"], 100);
}

async fn the_command_line_sets_one_and_leaves_the_others(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let key = app.folder.path().join("key");
    let run = |more: &[&str]| {
        let arguments = [&["automation", "set", "tiers"], more].concat();
        rapport(&arguments).to(&app, &key).run()
    };
    run(&["gold_from=200"]).expect(0);
    run(&["silver_from=100"]).expect(0);
    let values = || async {
        let shown = automation(&app, "tiers").await["settings"].clone();
        let value = |name: &str| shown.as_array().unwrap().iter().find(|s| s["name"] == name).unwrap()["value"].clone();
        (value("silver_from"), value("gold_from"), value("platinum_from"))
    };
    assert_eq!(values().await, (json!(100), json!(200), json!(20000)));
    run(&["--reset", "gold_from"]).expect(0);
    assert_eq!(values().await, (json!(100), json!(5000), json!(20000)));
    assert!(run(&["gold_form=1"]).expect(1).text.contains("did you mean `gold_from`?"));
    run(&[]).expect(2);
}
