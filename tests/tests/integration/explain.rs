//! Who or what set a value, because of what, back to the outside event; and what came of it.

use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, on_both};
use crate::process::rapport;

on_both!(
    a_value_is_explained_back_to_the_outside_event,
    a_run_is_explained_from_its_cause_to_its_effects,
    a_value_that_a_person_set_names_the_key,
    the_history_of_one_field_leaves_out_the_others,
    a_deleted_record_keeps_its_history,
    a_fan_out_is_shown_in_part_and_counted,
    an_old_version_explains_what_it_did,
    a_version_with_settings_of_its_own_still_names_its_lines,
    a_key_bound_to_an_object_is_not_told_of_others,
    the_command_line_tells_the_same_story,
);

async fn order(app: &TestApp, number: &str, customer: &str, amount: &str) -> Value {
    let body = json!({ "order_no": number, "customer": { "customer_no": customer }, "amount": amount });
    let order = app.post("/v1/records/order", body).await.expect(201).json();
    app.run_until_idle().await;
    order
}

async fn history(app: &TestApp, key: &str, field: &str) -> Vec<Value> {
    app.get(&format!("/v1/records/customer/{key}/history?field={field}")).await.expect(200).items()
}

async fn digest_of(app: &TestApp, id: &str) -> Value {
    let all = app.get("/v1/automations").await.expect(200).items();
    all.iter().find(|a| a["id"] == id).unwrap_or_else(|| panic!("no automation {id}"))["digest"].clone()
}

async fn a_value_is_explained_back_to_the_outside_event(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let made = order(&app, "1", "a", "600").await;
    let changes = history(&app, "customer_no:a", "tier").await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    let why = &changes[0]["why"];
    assert_eq!(why["changes"], json!([{ "field": "tier", "before": null, "after": "silver" }]));
    assert_eq!((&why["by"]["automation"], &why["by"]["digest"]), (&json!("tiers"), &digest_of(&app, "tiers").await));
    let chain = why["because"].as_array().unwrap();
    let types: Vec<&str> = chain.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["customer.updated", "order.created"], "{why}");
    assert_eq!(chain[0]["changes"], json!([{ "field": "points", "before": 0, "after": 1200, "by": 1200 }]));
    let points = &chain[0]["by"];
    assert_eq!(points["automation"], "loyalty/points");
    assert_eq!(points["digest"], digest_of(&app, "loyalty/points").await);
    let script = app.script_path("loyalty/points");
    assert!(points["path"].as_str().unwrap().ends_with("loyalty/points.rhai"), "{points}");
    let text = std::fs::read_to_string(script).unwrap();
    let line = text.lines().position(|l| l.contains("increment(")).unwrap() + 1;
    assert_eq!(points["lines"], json!([line]));
    assert_eq!(chain[1]["subject"], format!("order/{}", made["id"].as_str().unwrap()));
    assert_eq!(chain[1]["label"], "order/order_no:1");
    let outside = &chain[1]["by"];
    assert_eq!((&outside["kind"], &outside["name"]), (&json!("user"), &json!("owner")));
}

async fn a_run_is_explained_from_its_cause_to_its_effects(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    order(&app, "1", "a", "600").await;
    let run = app.runs("automation=loyalty/points").await.pop().unwrap();
    let told = app.get(&format!("/v1/runs/{}/explain", run["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(told["run"]["id"], run["id"]);
    assert_eq!(told["because"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["because"][0]["type"], "order.created");
    let changed = told["changed"].as_array().unwrap();
    assert_eq!((changed.len(), &told["changed_more"]), (1, &json!(0)), "{told}");
    let tiers = &changed[0]["started"][0];
    assert_eq!((&tiers["run"]["automation"], &tiers["run"]["status"]), (&json!("tiers"), &json!("completed")));
    let caused: Vec<&str> = tiers["changed"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(caused, ["tier.changed", "customer.updated"]);
    let event = told["because"][0]["position"].as_i64().unwrap();
    let forward = app.get(&format!("/v1/events/{event}/explain")).await.expect(200).json();
    assert_eq!(forward["because"], json!([]));
    assert_eq!(forward["started"][0]["run"]["id"], run["id"], "{forward}");
    assert_eq!(forward["started"][0]["changed"], told["changed"]);
    app.get("/v1/events/999999/explain").await.expect(404);
    app.get("/v1/events/x/explain").await.expect(404);
    app.get("/v1/runs/nobody/explain").await.expect(404);
}

async fn a_value_that_a_person_set_names_the_key(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    let new = json!({ "name": "till", "scopes": ["read", "write"] });
    let key = app.post("/v1/keys", new).await.expect(201).json();
    let till = app.with_key(key["secret"].as_str().unwrap());
    till.patch("/v1/records/customer/customer_no:a", json!({ "city": "Bonn" })).await.expect(200);
    let why = history(&app, "customer_no:a", "city").await[0]["why"].clone();
    assert_eq!((&why["by"]["kind"], &why["by"]["name"]), (&json!("key"), &json!("till")), "{why}");
    assert_eq!(why["because"], json!([]));
}

async fn the_history_of_one_field_leaves_out_the_others(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    for body in [json!({ "city": "Bonn", "name": "A" }), json!({ "name": "B" }), json!({ "city": null })] {
        app.patch("/v1/records/customer/customer_no:a", body).await.expect(200);
    }
    let cities: Vec<Value> =
        history(&app, "customer_no:a", "city").await.iter().map(|e| e["why"]["changes"].clone()).collect();
    let want = [
        json!([{ "field": "city", "before": null, "after": "Bonn" }]),
        json!([{ "field": "city", "before": "Bonn", "after": null }]),
    ];
    assert_eq!(cities, want);
    assert_eq!(
        app.get("/v1/records/customer/customer_no:a/history?field=cty").await.expect(400).code(),
        "unknown_field"
    );
}

async fn a_deleted_record_keeps_its_history(database: Database) {
    let app = TestApp::start(database).await;
    let id = app.customer("a").await["id"].as_str().unwrap().to_owned();
    app.delete("/v1/records/customer/customer_no:a").await.expect(204);
    let events = history(&app, &id, "customer_no").await;
    let changes: Vec<&Value> = events.iter().map(|e| &e["why"]["changes"][0]["after"]).collect();
    assert_eq!(changes, [&json!("a"), &Value::Null]);
}

async fn a_fan_out_is_shown_in_part_and_counted(database: Database) {
    let script = r#"//! Makes many tasks.
on("order.paid");
uses("task:create");
fn run(event) { for i in 0..30 { create("task", #{ title: `Call ${i}` }); } }
"#;
    let app = TestApp::on(database).script("tasks", script).start().await;
    app.customer("a").await;
    app.post("/v1/events", crate::harness::order_paid("1", "a", "5")).await.expect(202);
    app.run_until_idle().await;
    let run = app.runs("").await.pop().unwrap();
    let told = app.get(&format!("/v1/runs/{}/explain", run["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((told["changed"].as_array().unwrap().len(), &told["changed_more"]), (20, &json!(10)));
    assert_eq!(told["because"][0]["origin"], json!({ "source": "test", "id": "1" }));
}

async fn an_old_version_explains_what_it_did(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    order(&app, "1", "a", "5").await;
    let old = digest_of(&app, "loyalty/points").await;
    let app = app
        .restart(|setup| {
            let path = setup.path("scripts/loyalty/points.rhai");
            let source = std::fs::read_to_string(&path).unwrap();
            setup.script("loyalty/points", &format!("{source}\n// A later version.\n"))
        })
        .await;
    order(&app, "2", "a", "5").await;
    let new = digest_of(&app, "loyalty/points").await;
    assert_ne!(old, new);
    let digests: Vec<Value> =
        history(&app, "customer_no:a", "points").await[1..].iter().map(|e| e["why"]["by"]["digest"].clone()).collect();
    assert_eq!(digests, [old, new]);
}

async fn a_key_bound_to_an_object_is_not_told_of_others(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    order(&app, "1", "a", "600").await;
    let new = json!({ "name": "desk", "scopes": ["read"], "objects": ["customer"] });
    let key = app.post("/v1/keys", new).await.expect(201).json();
    let desk = app.with_key(key["secret"].as_str().unwrap());
    let page = desk.get("/v1/records/customer/customer_no:a/history?field=points").await.expect(200);
    let last = page.items().pop().unwrap();
    assert_eq!(last["why"]["because"][0]["hidden"], true, "{last}");
    assert!(!last["why"]["because"].to_string().contains("order"), "{last}");
    let run = app.runs("").await.pop().unwrap()["id"].as_str().unwrap().to_owned();
    desk.get(&format!("/v1/runs/{run}/explain")).await.expect(403);
}

async fn the_command_line_tells_the_same_story(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    order(&app, "1", "a", "600").await;
    let key = app.folder.path().join("key");
    let run = app.runs("automation=loyalty/points").await.pop().unwrap()["id"].as_str().unwrap().to_owned();
    let told = rapport(&["run", "explain", &run]).to(&app, &key).run().expect(0).output;
    for part in [
        "because of",
        "order.created  order/order_no:1",
        "by user owner",
        "points  0 → 1200  (+1200)",
        "tier  none → silver",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let tier = ["record", "history", "customer", "customer_no:a", "--field", "tier"];
    let told = rapport(&tier).to(&app, &key).run().expect(0).output;
    for part in ["tier  none → silver", "by tiers ", "points.rhai line ", "by user owner"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let json = rapport(&["--json", "run", "explain", &run]).to(&app, &key).run().expect(0).output;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["run"]["id"], run.as_str());
}

async fn a_version_with_settings_of_its_own_still_names_its_lines(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let path = "/v1/automations/loyalty%2Fpoints/settings";
    app.send(Request::new("PUT", path).json(&json!({ "double_over": 500 }))).await.expect(200);
    order(&app, "1", "a", "150").await;
    let changes = history(&app, "customer_no:a", "points").await;
    let by = changes.iter().map(|change| &change["why"]["by"]).find(|by| by["kind"] == "automation").unwrap();
    assert_eq!(by["digest"], digest_of(&app, "loyalty/points").await);
    assert_eq!(by["lines"].as_array().map(Vec::len), Some(1), "{by}");
}
