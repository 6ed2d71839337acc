//! What a plugin may do: what its manifest asks for, and nothing else.

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, eventually, on_both, project};

on_both!(
    a_declared_capability_is_allowed,
    an_undeclared_capability_changes_nothing,
    a_manifest_with_a_wrong_key_is_refused_by_name,
    a_component_that_is_none_is_refused,
);

fn manifest() -> String {
    std::fs::read_to_string(project().join("plugins/tiers/plugin.toml")).unwrap()
}

/// The manifest without the blocks that mention `word`.
fn manifest_without(word: &str) -> String {
    let text = manifest();
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("[[") || blocks.is_empty() {
            blocks.push(String::new());
        }
        let block = blocks.last_mut().unwrap();
        block.push_str(line);
        block.push('\n');
    }
    let kept: Vec<String> =
        blocks.into_iter().filter(|b| !(b.starts_with("[[capabilities]]") && b.contains(word))).collect();
    let kept = kept.concat();
    assert_ne!(kept, text, "no capability mentions {word}");
    kept
}

async fn buy(app: &TestApp) {
    let order = json!({ "order_no": "1", "customer": { "customer_no": "a" }, "amount": "5000" });
    app.post("/v1/records/order", order).await.expect(201);
}

async fn a_declared_capability_is_allowed(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    buy(&app).await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "tier").await, "gold");
    let run = app.runs("automation=tiers&status=completed").await.pop().unwrap();
    let run = app.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await.json();
    assert!(run["trace"].to_string().contains("tier"), "{run}");
}

/// The component is the same; its manifest no longer asks for the right. Either the plugin is not activated at all, or the call is
/// refused when it is made: in both cases nothing changes and somebody is told.
async fn an_undeclared_capability_changes_nothing(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin_with(&manifest_without("tier:write")).start().await;
    buy(&app).await;
    let live = app.get("/v1/automations").await.items().iter().any(|a| a["id"] == "tiers");
    if live {
        let dead = eventually("the run to die", || async { app.runs("status=dead").await.pop() }).await;
        let run = app.get(&format!("/v1/runs/{}", dead["id"].as_str().unwrap())).await.json();
        assert!(run["error"].to_string().contains("customer.tier:write"), "{run}");
        app.expect_dead(1);
    } else {
        assert!(app.notices().contains("tier"), "{}", app.notices());
    }
    app.run_until_idle().await;
    let customer = app.get("/v1/records/customer/customer_no:a").await.expect(200).json();
    assert!(customer.get("tier").is_none_or(Value::is_null), "{customer}");
    assert_eq!(app.get("/v1/events?type=tier.changed").await.items().len(), 0);
}

async fn a_manifest_with_a_wrong_key_is_refused_by_name(database: Database) {
    let wrong = format!("capabilites = []\n{}", manifest());
    let app = TestApp::on(database).tiers_plugin_with(&wrong).start().await;
    assert!(app.get("/v1/automations").await.items().is_empty());
    assert!(app.notices().contains("capabilites") && app.notices().contains("capabilities"), "{}", app.notices());
}

async fn a_component_that_is_none_is_refused(database: Database) {
    let setup = TestApp::on(database).tiers_plugin();
    let component = setup.path("plugins/tiers/tiers.wasm");
    let whole = std::fs::read(&component).unwrap();
    std::fs::write(&component, &whole[..whole.len() / 2]).unwrap();
    let app = setup.start().await;
    assert!(app.get("/v1/automations").await.items().is_empty());
    assert!(app.notices().contains("tiers"), "{}", app.notices());
    app.customer("alive").await;
}
