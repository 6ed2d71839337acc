//! `serve --watch`: what is saved is live in a second, what is broken stays out and is explained.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Database, TestApp, eventually, on_both, order_paid};

on_both!(
    a_saved_script_is_live_within_a_second,
    a_broken_script_leaves_the_old_one_live_and_is_explained,
    a_script_that_is_removed_reacts_no_more,
    a_broken_script_at_the_start_does_not_keep_the_server_down,
    a_script_that_went_while_the_server_was_down_is_named,
);

fn adding(points: u32) -> String {
    format!(
        "//! Adds {points}.\non(\"order.paid\");\nuses(\"customer.bonus:write\");\nfield(\"customer\", \"bonus\", \"integer\", #{{ default: 0 }});\n\
         fn run(event) {{ increment(event.record, \"bonus\", {points}); }}\n"
    )
}

async fn bonus_of_a_new_order(app: &TestApp, id: &str) -> i64 {
    let before = app.customer_field("a", "bonus").await.as_i64().unwrap();
    app.post("/v1/events", order_paid(id, "a", "1")).await.expect(202);
    app.run_until_idle().await;
    app.customer_field("a", "bonus").await.as_i64().unwrap() - before
}

async fn digest(app: &TestApp) -> String {
    let automations = app.get("/v1/automations").await.expect(200).items();
    let active = automations.iter().find(|a| a["id"] == "bonus" && a["active"] != json!(false));
    active.map(|a| a["digest"].as_str().unwrap().to_owned()).unwrap_or_default()
}

async fn watched(database: Database) -> TestApp {
    let app = TestApp::on(database).configure(|c| c.automations.watch = true).script("bonus", &adding(1)).start().await;
    app.customer("a").await;
    app
}

async fn a_saved_script_is_live_within_a_second(database: Database) {
    let app = watched(database).await;
    assert_eq!(bonus_of_a_new_order(&app, "1").await, 1);
    let old = digest(&app).await;
    let saved = Instant::now();
    std::fs::write(app.script_path("bonus"), adding(5)).unwrap();
    let changed = || async { (digest(&app).await != old).then_some(()) };
    eventually("the new script to be live", changed).await;
    let took = saved.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(bonus_of_a_new_order(&app, "2").await, 5);
}

async fn a_broken_script_leaves_the_old_one_live_and_is_explained(database: Database) {
    let app = watched(database).await;
    let broken = adding(5).replace("increment(", "incremnt(");
    std::fs::write(app.script_path("bonus"), broken).unwrap();
    eventually("the error", || async { app.notices().contains("incremnt").then_some(()) }).await;
    let told = app.notices();
    assert!(told.contains("bonus.rhai:5:"), "file, line and column: {told}");
    assert!(told.contains("`increment`"), "what to write instead: {told}");
    assert_eq!(bonus_of_a_new_order(&app, "1").await, 1);
    let old = digest(&app).await;
    std::fs::write(app.script_path("bonus"), adding(7)).unwrap();
    eventually("the mended script", || async { (digest(&app).await != old).then_some(()) }).await;
    assert_eq!(bonus_of_a_new_order(&app, "2").await, 7);
}

async fn a_script_that_is_removed_reacts_no_more(database: Database) {
    let app = watched(database).await;
    std::fs::remove_file(app.script_path("bonus")).unwrap();
    eventually("the script to go", || async { app.notices().contains("switched off: bonus").then_some(()) }).await;
    assert_eq!(digest(&app).await, "");
    assert_eq!(bonus_of_a_new_order(&app, "1").await, 0);
}

async fn a_broken_script_at_the_start_does_not_keep_the_server_down(database: Database) {
    let app = TestApp::on(database).script("broken", "on(\"order.paid\"").script("bonus", &adding(2)).start().await;
    app.customer("a").await;
    assert_eq!(bonus_of_a_new_order(&app, "1").await, 2);
    assert!(app.notices().contains("broken.rhai:1:"), "{}", app.notices());
}

async fn a_script_that_went_while_the_server_was_down_is_named(database: Database) {
    let app = TestApp::on(database).script("bonus", &adding(3)).script("other", &adding(4)).start().await;
    app.customer("a").await;
    assert!(!app.notices().contains("warning"), "{}", app.notices());
    let file = app.script_path("bonus");
    std::fs::remove_file(&file).unwrap();
    let app = app.restart(|setup| setup).await;
    let told = app.notices();
    let warnings: Vec<&str> = told.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{told}");
    assert!(warnings[0].contains("bonus is live") && warnings[0].contains(&file.display().to_string()), "{told}");
    assert!(warnings[0].contains("rapport automation deactivate bonus"), "{told}");
    // It is said, and not done: the script may come back.
    assert_eq!(bonus_of_a_new_order(&app, "1").await, 7);
}
