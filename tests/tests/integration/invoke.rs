//! Runs that start others and wait for their result: it happens once, whatever comes between.

use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::process::ServerProcess;
use crate::waiting::{clock, completed, later, order, waiting};

on_both!(
    a_run_is_given_the_result_of_another,
    a_run_that_was_invoked_is_explained_from_both_ends,
    a_run_that_was_invoked_outlives_a_restart_and_happens_once,
    a_failure_is_caught_or_fails_the_run_that_invoked,
    who_cancels_the_invoked_run_fails_the_call,
    who_cancels_a_run_cancels_the_one_that_it_invoked,
    a_kill_between_does_not_leave_an_invoked_run_behind,
    a_run_that_was_started_again_takes_up_its_result,
    undoing_a_run_with_what_it_caused_takes_back_what_it_invoked,
    an_automation_that_invokes_itself_for_ever_ends,
    what_cannot_be_invoked_is_found_before_anything_runs,
    what_is_taken_out_of_service_is_named_when_it_is_invoked,
    what_passes_between_runs_is_json_and_not_too_long,
    a_plugin_and_a_script_invoke_each_other,
);

const ASKS: &str = r#"//! Has the credit of a customer looked at.
on("order.paid");
uses("customer:read", "customer.notes:write", "invoke:credit-check");
fn run(event) {
    let result = invoke("credit-check", #{ customer: event.record.id, amount: event.data.amount });
    update(event.record, #{ notes: `${result.granted}, up to ${result.limit}, asked by ${result.by}` });
}
"#;

const CHECKS: &str = r#"//! Looks at the credit of a customer.
invocable();
uses("customer:read", "task:create");
fn run(event) {
    let customer = get("customer", event.input.customer);
    create("task", #{ title: `checked ${customer.customer_no}`, assignee: "role:sales" });
    #{ granted: event.input.amount < 100, limit: 100, by: event.type }
}
"#;

async fn started(database: Database, asks: &str, checks: &str) -> TestApp {
    let app = TestApp::on(database).script("asks", asks).script("credit-check", checks).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    app
}

async fn only(app: &TestApp, automation: &str) -> Value {
    let runs = app.runs(&format!("automation={automation}")).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let id = runs[0]["id"].as_str().unwrap();
    app.get(&format!("/v1/runs/{id}")).await.expect(200).json()
}

async fn ended(app: &TestApp, automation: &str, status: &str) -> Value {
    let query = format!("automation={automation}&status={status}");
    let runs = || async { app.runs(&query).await.into_iter().next() };
    eventually(&format!("{automation} to be {status}"), runs).await
}

async fn steer(app: &TestApp, run: &Value, action: &str) {
    app.post(&format!("/v1/runs/{}/{action}", run["id"].as_str().unwrap()), json!({})).await.expect(200);
}

async fn a_run_is_given_the_result_of_another(database: Database) {
    let app = started(database, ASKS, CHECKS).await;
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "notes").await, "true, up to 100, asked by run.invoked");
    assert_eq!(app.all("task").await.len(), 1);
    let (parent, child) = (only(&app, "asks").await, only(&app, "credit-check").await);
    assert_eq!(child["depth"].as_i64().unwrap(), parent["depth"].as_i64().unwrap() + 1);
    assert_eq!(child["trigger"]["cause"], parent["trigger"]["position"]);
    assert_eq!(child["trigger"]["data"]["input"]["amount"], 5.0);
}

async fn a_run_that_was_invoked_is_explained_from_both_ends(database: Database) {
    let app = started(database, ASKS, CHECKS).await;
    completed(&app, 2).await;
    let (parent, child) = (only(&app, "asks").await, only(&app, "credit-check").await);
    let explain = async |run: &Value| app.get(&format!("/v1/runs/{}/explain", run["id"].as_str().unwrap())).await;
    let down = explain(&parent).await.expect(200).json();
    let call = down["changed"].as_array().unwrap().iter().find(|c| c["type"] == "run.invoked").unwrap();
    assert_eq!(call["started"][0]["run"]["id"], child["id"]);
    assert_eq!(call["by"]["lines"], json!([5]), "{call}");
    let made: Vec<&Value> = call["started"][0]["changed"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert!(made.contains(&&json!("task.created")) && made.contains(&&json!("run.ended")), "{made:?}");
    let up = explain(&child).await.expect(200).json();
    let types: Vec<&Value> = up["because"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert_eq!(types, ["run.invoked", "order.paid"]);
}

async fn a_run_that_was_invoked_outlives_a_restart_and_happens_once(database: Database) {
    let asks = ASKS.replace("update(", "sleep(\"10 milliseconds\"); update(");
    let checks = CHECKS.replace("    #{ granted", "    sleep(\"500 milliseconds\");\n    #{ granted");
    let app = started(database, &asks, &checks).await;
    waiting(&app, 2).await;
    let app = app.restart(|setup| setup).await;
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "notes").await, "true, up to 100, asked by run.invoked");
    assert_eq!(app.all("task").await.len(), 1);
    let log = app.log().await;
    for kind in ["run.invoked", "run.ended"] {
        assert_eq!(log.iter().filter(|e| e["type"] == kind).count(), 1, "{kind}");
    }
}

async fn a_failure_is_caught_or_fails_the_run_that_invoked(database: Database) {
    let checks = CHECKS.replace("    #{ granted", "    fail(\"no credit today\");\n    #{ granted");
    let app = started(database, ASKS, &checks).await;
    app.expect_dead(2);
    let child = ended(&app, "credit-check", "dead").await;
    let parent = ended(&app, "asks", "dead").await;
    let error = parent["error"].to_string();
    assert!(error.contains("invoked_failed") && error.contains("no credit today"), "{error}");
    assert!(error.contains(child["id"].as_str().unwrap()) && error.contains("asks.rhai:5:"), "{error}");
    assert_eq!(app.customer_field("1", "notes").await, Value::Null);

    let catches = ASKS
        .replace(
            "    let result = invoke(",
            "    let result = #{ granted: false, limit: 0, by: \"nobody\" };\n    try { result = invoke(",
        )
        .replace("amount: event.data.amount });", "amount: event.data.amount }); } catch (e) { result.by = e.code; }");
    let app = started(database, &catches, &checks).await;
    app.expect_dead(1);
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "false, up to 0, asked by invoked_failed");
}

async fn who_cancels_the_invoked_run_fails_the_call(database: Database) {
    let checks = CHECKS.replace("    #{ granted", "    sleep(\"1 day\");\n    #{ granted");
    let app = started(database, ASKS, &checks).await;
    waiting(&app, 2).await;
    app.expect_dead(1);
    let waits = only(&app, "asks").await;
    let child = only(&app, "credit-check").await;
    assert_eq!((&waits["waits_in"]["call"], &waits["waits_in"]["for"]["run"]), (&json!("invoke"), &child["id"]));
    // In bulk, as an operator does who stops an automation.
    app.post("/v1/runs/cancel", json!({ "automation": "credit-check" })).await.expect(200);
    let parent = ended(&app, "asks", "dead").await;
    let error = parent["error"].to_string();
    assert!(error.contains("invoked_failed") && error.contains("cancelled by"), "{error}");
}

async fn who_cancels_a_run_cancels_the_one_that_it_invoked(database: Database) {
    let checks = CHECKS.replace("    #{ granted", "    sleep(\"1 day\");\n    #{ granted");
    let app = started(database, ASKS, &checks).await;
    waiting(&app, 2).await;
    steer(&app, &only(&app, "asks").await, "cancel").await;
    let states = (only(&app, "asks").await["status"].clone(), only(&app, "credit-check").await["status"].clone());
    assert_eq!(states, (json!("cancelled"), json!("cancelled")));
}

/// The server dies when the first commit of the cancelling is through: there is no second one to miss.
async fn a_kill_between_does_not_leave_an_invoked_run_behind(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("asks.rhai"), ASKS).unwrap();
    let checks = CHECKS.replace("    #{ granted", "    sleep(\"1 day\");\n    #{ granted");
    std::fs::write(scripts.join("credit-check.rhai"), checks).unwrap();
    let (more, now) = (["--scripts", scripts.to_str().unwrap()], folder.path().join("now"));
    let crash = [("RAPPORT_CRASH_AT", "commit.published"), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&crash, &data, url.as_deref(), &more).await;
    let client = &server.client;
    client.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    client.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let both = || async { Some(client.get("/v1/runs?status=waiting").await.items()).filter(|runs| runs.len() == 2) };
    let runs = eventually("both to wait", both).await;
    let parent = runs.iter().find(|run| run["automation"] == "asks").unwrap()["id"].as_str().unwrap().to_owned();
    std::fs::write(&now, "").unwrap();
    let path = format!("/v1/runs/{parent}/cancel");
    assert!(client.try_send(Request::new("POST", &path).json(&json!({}))).await.is_none());
    assert!(server.died());
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    assert_eq!(server.client.get("/v1/runs?status=cancelled").await.expect(200).items().len(), 2);
    assert_eq!(server.stop().await, 0);
}

async fn a_run_that_was_started_again_takes_up_its_result(database: Database) {
    let clock = clock();
    let checks = CHECKS.replace("    #{ granted", "    sleep(\"1 day\");\n    #{ granted");
    let setup = TestApp::on(database).script("asks", ASKS).script("credit-check", &checks).clock(clock.clone());
    let app = setup.start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(&app, 2).await;
    let parent = only(&app, "asks").await;
    steer(&app, &parent, "cancel").await;
    // First the one that was invoked, so that there is something to wait for.
    steer(&app, &only(&app, "credit-check").await, "retry").await;
    steer(&app, &parent, "retry").await;
    later(&clock, "2 days");
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "notes").await, "true, up to 100, asked by run.invoked");
    assert_eq!(app.all("task").await.len(), 1);
}

async fn undoing_a_run_with_what_it_caused_takes_back_what_it_invoked(database: Database) {
    let app = started(database, ASKS, CHECKS).await;
    completed(&app, 2).await;
    let path = format!("/v1/runs/{}/undo", only(&app, "asks").await["id"].as_str().unwrap());
    let report = app.post(&path, json!({ "with_caused": true })).await.expect(200).json();
    assert_eq!(app.customer_field("1", "notes").await, Value::Null, "{report}");
    assert_eq!(app.all("task").await.len(), 0, "{report}");
}

async fn an_automation_that_invokes_itself_for_ever_ends(database: Database) {
    let looping = r#"//! Asks itself.
on("order.paid");
invocable();
uses("invoke:loop");
fn run(event) { invoke("loop"); }
"#;
    let app = TestApp::on(database).script("loop", looping).start().await;
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let all = || async { (app.runs("status=dead").await.len() == 18).then_some(()) };
    eventually("all to end", all).await;
    app.expect_dead(18);
    let deepest = app.runs("status=dead").await.into_iter().max_by_key(|run| run["depth"].as_i64()).unwrap();
    assert!(deepest["error"].to_string().contains("cause chain is longer than 16"), "{deepest}");
}

async fn what_cannot_be_invoked_is_found_before_anything_runs(database: Database) {
    let told = async |asks: &str, checks: &str| {
        TestApp::on(database).script("asks", asks).script("credit-check", checks).start().await.notices()
    };
    let notices = told(&ASKS.replace(", \"invoke:credit-check\"", ""), CHECKS).await;
    assert!(notices.contains("asks.rhai:5:18: `invoke` needs the right `invoke:credit-check`"), "{notices}");
    assert!(notices.contains("write `uses(\"invoke:credit-check\");` at the top level"), "{notices}");
    let notices = told(&ASKS.replace("invoke:credit-check", "invoke:credit-chek"), CHECKS).await;
    assert!(notices.contains("`invoke` needs the right `invoke:credit-check`"), "{notices}");
    let notices = told(&ASKS.replace("credit-check", "credit-chek"), CHECKS).await;
    assert!(notices.contains("no live automation `credit-chek`; did you mean `credit-check`?"), "{notices}");
    assert!(notices.contains("asks.rhai:3:"), "{notices}");
    let notices = told(ASKS, &CHECKS.replace("invocable();", "on(\"order.created\");")).await;
    assert!(notices.contains("`credit-check` cannot be invoked: add `invocable();` at its top level"), "{notices}");
    let notices = told(ASKS, &CHECKS.replace("invocable();", "")).await;
    assert!(notices.contains("or `invocable()` at the top level"), "{notices}");
}

async fn what_is_taken_out_of_service_is_named_when_it_is_invoked(database: Database) {
    let watched = TestApp::on(database).configure(|c| c.automations.watch = true);
    let app = watched.script("asks", ASKS).script("credit-check", CHECKS).start().await;
    app.customer("1").await;
    std::fs::remove_file(app.script_path("credit-check")).unwrap();
    let off = || async { app.notices().contains("switched off: credit-check").then_some(()) };
    eventually("it to be switched off", off).await;
    app.expect_dead(1);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let error = ended(&app, "asks", "dead").await["error"].to_string();
    assert!(error.contains("unknown_automation") && error.contains("`credit-check`"), "{error}");
}

async fn what_passes_between_runs_is_json_and_not_too_long(database: Database) {
    let long = CHECKS.replace(
        "    #{ granted",
        "    let text = \"0123456789abcdef\"; for n in 0..13 { text += text; }\n    #{ text: text, granted",
    );
    let app = started(database, ASKS, &long).await;
    app.expect_dead(2);
    let error = ended(&app, "credit-check", "dead").await["error"].to_string();
    assert!(error.contains("65536 at most"), "{error}");
    ended(&app, "asks", "dead").await;
    let asks = ASKS
        .replace(
            "    let result",
            "    let text = \"0123456789abcdef\"; for n in 0..13 { text += text; }\n    let result",
        )
        .replace("#{ customer", "#{ text: text, customer");
    let app = started(database, &asks, CHECKS).await;
    app.expect_dead(1);
    let error = ended(&app, "asks", "dead").await["error"].to_string();
    assert!(error.contains("the input of `credit-check` has 131") && error.contains("pass its id"), "{error}");
    // A run that ends with nothing results in nothing. (To Rhai the last statement counts, even with a semicolon.)
    let asks = ASKS.replace("${result.granted}, up to ${result.limit}, asked by ${result.by}", "${result}.");
    let nothing = CHECKS.replace("#{ granted: event.input.amount < 100, limit: 100, by: event.type }", "()");
    let app = started(database, &asks, &nothing).await;
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "notes").await, ".");
}

async fn a_plugin_and_a_script_invoke_each_other(database: Database) {
    let asks = r#"//! Asks the plugin for two credits.
on("order.paid");
uses("customer:read", "customer.notes:write", "invoke:teller");
fn run(event) {
    let first = invoke("teller", #{ amount: 5 });
    let second = invoke("teller", #{ amount: 6 });
    let third = try { invoke("teller", #{ amount: 600 }) } catch (e) { e.message };
    update(event.record, #{ notes: `${first.granted} ${second.granted} ${second.amount}: ${third}` });
}
"#;
    let asks = asks.replace(
        "    let third = try { invoke(\"teller\", #{ amount: 600 }) } catch (e) { e.message };",
        "    let third = \"\"; try { invoke(\"teller\", #{ amount: 600 }); } catch (e) { third = e.message; }",
    );
    let checks = "//! Looks at the credit.\ninvocable();\nfn run(event) { `looked at ${event.input.index}` }\n";
    let app = TestApp::on(database).script("asks", &asks).script("credit-check", checks).teller_plugin().start().await;
    app.customer("1").await;
    app.expect_dead(1);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    completed(&app, 3).await;
    let notes = app.customer_field("1", "notes").await;
    let notes = notes.as_str().unwrap();
    assert!(notes.starts_with("true false 6: the run") && notes.ends_with("nobody gets that much"), "{notes}");
    // The plugin waits for one of two events, and invokes the script.
    order(&app, "large", "1", "2000").await;
    waiting(&app, 1).await;
    order(&app, "other", "1", "7").await;
    order(&app, "pays", "1", "1").await;
    completed(&app, 5).await;
    assert_eq!(app.customer_field("1", "notes").await, "1: \"looked at 1\"");
}
