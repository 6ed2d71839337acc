//! Whatever runs did, undone newest first they leave the records as they were before.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::{Database, TestApp, event, on_both};

on_both!(any_history_undone_newest_first_is_as_if_it_had_not_been, any_history_undone_at_once_is_as_if_it_had_not_been,);

/// Does what the event's payload says, step by step, in one slice.
const ANYTHING: &str = r#"//! Does anything.
on("test.asked");
event_type("test.asked", #{ steps: "json" });
uses("company:read", "company:write", "task:read", "task:write", "company.stock:write", "company.price:write");
field("company", "stock", "integer", #{ default: 0 });
field("company", "price", "decimal(2)");
fn run(event) {
    for step in event.data.steps {
        let key = "company_no:" + step.no;
        let found = get("company", key);
        if step.verb == "create" && found == () { create("company", #{ company_no: step.no, name: step.text }); }
        if found == () { continue; }
        if step.verb == "set" { update(found, #{ name: step.text, city: step.text }); }
        if step.verb == "clear" { update(found, #{ name: (), city: () }); }
        if step.verb == "stock" { update(found, #{ stock: step.by }); }
        if step.verb == "empty" { update(found, #{ stock: (), price: () }); }
        if step.verb == "add" { increment(found, "stock", step.by); increment(found, "price", step.by); }
        if step.verb == "delete" { delete("company", key); }
        if step.verb == "rename" && get("company", "company_no:" + step.text) == () {
            update(found, #{ company_no: step.text });
        }
    }
}
"#;

/// One step: what, on which record, with which text or number.
#[derive(Debug, Clone)]
struct Step(&'static str, u8, u8);

impl Step {
    fn to_json(&self) -> Value {
        json!({ "verb": self.0, "no": format!("n{}", self.1), "text": format!("n{}", self.2), "by": i64::from(self.2) - 2 })
    }
}

fn history() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let verbs = ["create", "create", "set", "clear", "stock", "empty", "add", "add", "delete", "rename"];
    let step = (prop::sample::select(verbs.to_vec()), 0_u8..4, 0_u8..6).prop_map(|(verb, no, by)| Step(verb, no, by));
    prop::collection::vec(prop::collection::vec(step, 1..6), 1..10)
}

/// Every company's fields, but for those that count versions and times.
async fn state(app: &TestApp) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for mut record in app.all("company").await {
        let map = record.as_object_mut().unwrap();
        for system in ["version", "created_at", "updated_at"] {
            map.remove(system);
        }
        all.insert(record["id"].as_str().unwrap().to_owned(), record);
    }
    all
}

/// Lets each list of steps be one run; returns the state before each, and the runs, oldest first.
async fn play(app: &TestApp, round: u32, history: &[Vec<Step>]) -> (Vec<BTreeMap<String, Value>>, Vec<String>) {
    let mut states = Vec::new();
    for (index, steps) in history.iter().enumerate() {
        states.push(state(app).await);
        let steps: Vec<Value> = steps.iter().map(Step::to_json).collect();
        let asked =
            event(&format!("{round}-{index}"), "test.asked", "customer/customer_no:a", json!({ "steps": steps }));
        app.post("/v1/events", asked).await.expect(202);
        app.run_until_idle().await;
    }
    let runs = app.runs("automation=anything").await;
    let own = runs.iter().take(history.len()).rev().map(|run| {
        assert_eq!(run["status"], "completed", "{run}");
        run["id"].as_str().unwrap().to_owned()
    });
    (states, own.collect())
}

fn histories(count: usize) -> Vec<Vec<Vec<Step>>> {
    let mut runner = TestRunner::new(Config::default());
    let any = (0..count).map(|_| history().new_tree(&mut runner).unwrap().current());
    // A run that ends where it began leaves no trace of its undo on the record, and must not count as a change.
    let back_and_forth = vec![
        vec![Step("create", 0, 1), Step("add", 0, 5)],
        vec![Step("stock", 0, 1), Step("stock", 0, 5)],
        vec![Step("add", 0, 4), Step("add", 0, 0)],
    ];
    // A unique value changes hands from a record that was touched later to one that was touched before.
    let handed_on = vec![
        vec![Step("create", 0, 0), Step("create", 2, 2)],
        vec![Step("add", 2, 2), Step("stock", 0, 0), Step("delete", 0, 2), Step("rename", 2, 0)],
    ];
    [back_and_forth, handed_on].into_iter().chain(any).collect()
}

async fn any_history_undone_newest_first_is_as_if_it_had_not_been(database: Database) {
    let app = TestApp::on(database).script("anything", ANYTHING).start().await;
    app.customer("a").await;
    for (round, history) in histories(12).into_iter().enumerate() {
        let (states, runs) = play(&app, u32::try_from(round).unwrap(), &history).await;
        let after = state(&app).await;
        let mut undos = Vec::new();
        for (index, run) in runs.iter().enumerate().rev() {
            let told = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json();
            assert_eq!(told["left"], 0, "{told} {history:?}");
            undos.extend(told["runs"][0]["undo"].as_str().map(ToOwned::to_owned));
            assert_eq!(state(&app).await, states[index], "run {index} of {history:?}: {told}");
        }
        // And brought back in the opposite order, it is all there again.
        for undo in undos.iter().rev() {
            let told = app.post(&format!("/v1/runs/{undo}/undo"), json!({})).await.expect(200).json();
            assert_eq!(told["left"], 0, "{told} {history:?}");
        }
        assert_eq!(state(&app).await, after, "{history:?}");
    }
}

async fn any_history_undone_at_once_is_as_if_it_had_not_been(database: Database) {
    let app = TestApp::on(database).script("anything", ANYTHING).start().await;
    app.customer("a").await;
    for (round, history) in histories(12).into_iter().enumerate() {
        let before = state(&app).await;
        let first = app.log().await.len();
        play(&app, u32::try_from(round).unwrap(), &history).await;
        let since = app.log().await[first]["recordedat"].clone();
        let wanted = json!({ "automation": "anything", "since": since });
        let mut dry = wanted.clone();
        dry["dry_run"] = true.into();
        let foretold = app.post("/v1/undos", dry).await.expect(200).json();
        assert_eq!(foretold["left"], 0, "{foretold} {history:?}");
        let job = app.post("/v1/undos", wanted).await.expect(202).json();
        let path = format!("/v1/undos/{}", job["id"].as_str().unwrap());
        let job = crate::harness::eventually("the undo to end", || async {
            let job = app.get(&path).await.expect(200).json();
            (job["state"] == "done").then_some(job)
        })
        .await;
        assert_eq!((&job["changes"]["left"], &job["changes"]["done"]), (&json!(0), &foretold["done"]), "{history:?}");
        assert_eq!(state(&app).await, before, "{history:?}");
    }
}
