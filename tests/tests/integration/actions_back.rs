//! Calls of actions looked at again: taken back by their plugin, played again by a backtest, told in scenarios and at the terminal.

use serde_json::{Value, json};

use crate::actions::{ADA, TILL, call, customer, till};
use crate::backtest_waits::{FOREVER, Story, assert_exact};
use crate::harness::{Database, TestApp, on_both};
use crate::process::rapport;
use crate::waiting::clock;

on_both!(
    a_plugin_takes_back_what_its_runs_did,
    several_runs_are_taken_back_newest_first,
    a_compensator_that_fails_leaves_all_as_it_is,
    a_compensator_knows_who_undoes,
    calls_are_played_again_by_a_backtest,
    the_command_line_calls_an_action,
);

fn pay(points: i64) -> Value {
    json!({ "customer": ADA, "points": points })
}

async fn book(app: &TestApp) -> Vec<i64> {
    app.all("till_entry").await.iter().map(|entry| entry["points"].as_i64().unwrap()).collect()
}

async fn a_plugin_takes_back_what_its_runs_did(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let paid = call(&app, "till.pay", pay(10)).await.expect(200);
    let path = format!("/v1/runs/{}/undo", paid.header("rapport-run").unwrap());
    let before = app.log().await.len();
    let foretold = app.post(&path, json!({ "dry_run": true })).await.expect(200).json();
    assert_eq!((app.log().await.len(), foretold["done"].as_i64()), (before, Some(2)), "{foretold:#}");
    let undone = app.post(&path, json!({})).await.expect(200).json();
    let of = |told: &Value| {
        let done = told["runs"][0]["done"].as_array().unwrap().iter();
        done.map(|d| (d["did"].clone(), d["field"].clone(), d["from"].clone(), d["to"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(of(&foretold), of(&undone), "what is foretold is done");
    assert_eq!(undone["runs"][0]["status"], "completed", "{undone:#}");
    assert!(of(&undone).contains(&(json!("set by the plugin"), json!("points"), json!(20), json!(30))), "{undone:#}");
    // A book is not rewritten: an entry of the opposite stands below.
    assert_eq!((book(&app).await, app.customer_field("a", "points").await), (vec![-10, 10], json!(30)));
    let undo = undone["runs"][0]["undo"].as_str().unwrap();
    let run = app.get(&format!("/v1/runs/{undo}")).await.expect(200).json();
    assert_eq!(run["automation"], "rapport/undo");
    let back = app.post(&format!("/v1/runs/{undo}/undo"), json!({})).await.expect(200).json();
    assert_eq!(back["runs"][0]["status"], "completed", "{back:#}");
    assert_eq!((book(&app).await, app.customer_field("a", "points").await), (vec![-10], json!(20)));
}

async fn several_runs_are_taken_back_newest_first(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    for points in [1, 2, 4] {
        call(&app, "till.pay", pay(points)).await.expect(200);
    }
    let body = json!({ "automation": "till", "since": "1970-01-01T00:00:00Z" });
    let mut foretold = body.clone();
    foretold["dry_run"] = true.into();
    let foretold = app.post("/v1/undos", foretold).await.expect(200).json();
    let to = |run: &Value| {
        let done = run["done"].as_array().unwrap().iter();
        done.filter(|done| done["field"] == "points").map(|done| done["to"].clone()).collect::<Vec<_>>()
    };
    let steps: Vec<Value> = foretold["runs"].as_array().unwrap().iter().flat_map(to).collect();
    assert_eq!(steps, [json!(27), json!(29), json!(30)], "each on what the one before would leave");
    let job = app.post("/v1/undos", body).await.expect(202).json();
    let path = format!("/v1/undos/{}", job["id"].as_str().unwrap());
    let ended = || async {
        let job = app.get(&path).await.expect(200).json();
        (job["state"] != "running").then_some(job)
    };
    let job = crate::harness::eventually("the end", ended).await;
    assert_eq!((&job["state"], &job["runs"]["done"]), (&json!("done"), &json!(3)), "{job}");
    assert_eq!((book(&app).await, app.customer_field("a", "points").await), (vec![-1, -2, -4, 4, 2, 1], json!(30)));
}

async fn a_compensator_that_fails_leaves_all_as_it_is(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let mut stubborn = pay(10);
    stubborn["stubborn"] = true.into();
    let paid = call(&app, "till.pay", stubborn).await.expect(200);
    let path = format!("/v1/runs/{}/undo", paid.header("rapport-run").unwrap());
    let foretold = app.post(&path, json!({ "dry_run": true })).await.expect(422);
    assert_eq!(foretold.code(), "compensator_failed");
    app.expect_dead(1);
    let undone = app.post(&path, json!({})).await.expect(200).json();
    let (status, error) = (&undone["runs"][0]["status"], undone["runs"][0]["error"].as_str().unwrap());
    assert_eq!(status, "dead");
    assert!(error.contains("stubborn") && error.contains("what is paid stays paid"), "{error}");
    assert_eq!((book(&app).await, app.customer_field("a", "points").await), (vec![-10], json!(20)));
}

async fn a_compensator_knows_who_undoes(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let causes = async || {
        let book = app.all("till_entry").await;
        book.iter().map(|entry| entry["cause"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Somebody pays, and somebody else takes it back.
    let clerk = app.post("/v1/keys", json!({ "name": "clerk", "scopes": ["admin"] })).await.expect(201).json();
    let client = app.with_key(clerk["secret"].as_str().unwrap());
    for (number, path) in [(1, "one"), (2, "many")] {
        let paid = call(&app, "till.pay", pay(number)).await.expect(200);
        let run = paid.header("rapport-run").unwrap().to_owned();
        if path == "one" {
            client.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200);
        } else {
            let body = json!({ "automation": "till", "since": "1970-01-01T00:00:00Z" });
            client.post("/v1/undos", body).await.expect(202);
        }
        app.settle().await;
    }
    let undone = || async { Some(causes().await).filter(|all| all.len() == 4) };
    let all = crate::harness::eventually("the undo", undone).await;
    let by: Vec<_> = all.iter().filter_map(|cause| cause.split_once(" by ").map(|(_, who)| who)).collect();
    let key = format!("key:{}", clerk["id"].as_str().unwrap());
    assert_eq!(by, [&key, &key], "{all:?}");
}

const COUNTS: &str = r#"//! Counts what is taken.
on("till_entry.created");
uses("till_entry:read", "customer.score:write");
field("customer", "score", "integer", #{ default: 0 });
fn run(event) {
    increment(event.record.customer, "score", -event.record.points);
}
"#;

async fn calls_are_played_again_by_a_backtest(database: Database) {
    let clock = clock();
    let app = till(database).clock(clock.clone()).start().await;
    let source = json!({ "source": COUNTS });
    app.post("/v1/automations/counts/versions", source).await.expect(201);
    app.post("/v1/automations/counts/activate", json!({})).await.expect(200);
    let story = Story { app, clock };
    customer(&story.app, 30).await;
    for points in [1, 2, 100] {
        let mut input = pay(points);
        input["key"] = format!("k{points}").into();
        call(&story.app, "till.pay", input).await.expect(200);
        story.app.settle().await;
    }
    let hold = crate::client::Request::new("POST", "/v1/actions/till.hold").header("prefer", "wait=0");
    story.app.send(hold.json(&json!({ "customer": ADA, "points": 4, "span": "1 day", "key": "h" }))).await.expect(202);
    let job = json!({ "customer": ADA, "points": 8, "seconds": 7200, "key": "j" });
    call(&story.app, "till.later", job).await.expect(200);
    story.app.settle().await;
    story.at(3).await;
    assert_eq!(story.app.customer_field("a", "points").await, 19);
    story.at(30).await;
    assert_eq!(
        (story.app.customer_field("a", "points").await, story.app.customer_field("a", "score").await),
        (json!(15), json!(15))
    );
    let same = story.backtest("counts", COUNTS, FOREVER).await;
    assert_exact(&same, 4);
    let twice =
        story.backtest("counts", &COUNTS.replace("-event.record.points", "-2 * event.record.points"), FOREVER).await;
    assert_eq!(twice["records_differing"], 1, "{twice:#}");
    let text = twice.to_string();
    assert!(text.contains("\"score\"") && text.contains("30"), "{twice:#}");
}

async fn the_command_line_calls_an_action(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let folder = app.folder.path();
    let at = |arguments: &[&str]| rapport(arguments).to(&app, &folder.join("key"));
    std::fs::write(folder.join("input.json"), pay(10).to_string()).unwrap();
    let paid = at(&["action", "till.pay", "--json"]).reading(&folder.join("input.json")).run();
    assert_eq!(
        (paid.code, serde_json::from_str(&paid.output).ok()),
        (0, Some(json!({ "result": "ok", "left": 20 }))),
        "{}",
        paid.text
    );
    let refused = at(&["action", "till.pay", "--input", r#"{"customer": "x", "points": 0}"#]).run();
    assert!(refused.code == 1 && refused.text.contains("/points"), "{}", refused.text);
    let listed = at(&["action"]).run();
    assert!(listed.text.contains("till.pay") && listed.text.contains("Takes points"), "{}", listed.text);
    // Without a server, in a workspace that nobody has.
    let plugin = folder.join("plugins/till");
    let alone = rapport(&["action", "till.pay", "--json", "--plugin", plugin.to_str().unwrap()]);
    let alone = alone.reading(&folder.join("input.json")).run();
    assert_eq!(
        serde_json::from_str(&alone.output).ok(),
        Some(json!({ "result": "rejected_unknown" })),
        "{}",
        alone.text
    );
    let failed = rapport(&["action", "till.fail", "--plugin", plugin.to_str().unwrap()]).run();
    assert!(failed.code == 1 && failed.text.contains("come back tomorrow"), "{}", failed.text);
}

#[test]
fn a_scenario_calls_actions() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("till");
    std::fs::create_dir(&plugin).unwrap();
    let head = "id = \"till\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ncompensate = true\n";
    std::fs::write(plugin.join("plugin.toml"), format!("{head}{TILL}")).unwrap();
    std::fs::copy(env!("TILL_COMPONENT"), plugin.join("till.wasm")).unwrap();
    let step = |action: &str, input: Value, expect: Value| json!({ "call": { "action": action, "input": input }, "expect": expect });
    let play = |steps: &[Value]| {
        let scenario = json!({ "plugins": ["till"], "records": [{ "object": "customer", "customer_no": "a", "points": 30 }], "steps": steps });
        std::fs::write(folder.path().join("s.json"), scenario.to_string()).unwrap();
        rapport(&["test", "s.json"]).within(folder.path()).run()
    };
    let told = play(&[
        json!({ "at": "2026-01-01T00:00:00Z" }),
        step(
            "till.pay",
            pay(10),
            json!({ "output": { "result": "ok", "left": 20 }, "record": ADA, "fields": { "points": 20 } }),
        ),
        step("till.balance", json!({ "customer": ADA }), json!({ "output": { "points": 20 } })),
        step("till.fail", json!({}), json!({ "error": "till_closed" })),
        step("till.pay", pay(0), json!({ "error": "invalid" })),
        step("till.hold", json!({ "customer": ADA, "span": "1 hour" }), json!({ "status": "waiting" })),
        json!({ "at": "2026-01-01T01:00:00Z", "expect": { "record": ADA, "fields": { "points": 15 } } }),
        json!({ "call": { "action": "till.pay", "input": pay(1) } }),
    ]);
    assert_eq!(told.code, 0, "{}", told.text);
    let wrong = play(&[step("till.pay", pay(10), json!({ "output": { "result": "ok", "left": 21 } }))]);
    assert!(wrong.code == 1 && wrong.text.contains("/steps/0/expect/output/left"), "{}", wrong.text);
    let died = play(&[json!({ "call": { "action": "till.fail" } })]);
    assert!(died.code == 1 && died.text.contains("till_closed"), "{}", died.text);
    let unread = play(&[json!({ "call": { "action": "till.pay", "inptu": {} } })]);
    assert!(unread.text.contains("did you mean `input`?"), "{}", unread.text);
}
