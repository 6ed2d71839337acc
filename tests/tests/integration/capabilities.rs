//! Every capability three times: granted it passes; not declared, or declared and not granted, the run ends before anything is done.

use rapport_package::{Package, SecretKey};
use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, on_both};

on_both!(
    what_was_granted_passes,
    what_was_not_declared_is_denied_and_leaves_nothing,
    what_was_not_granted_is_refused_and_leaves_nothing,
    a_right_on_one_thing_is_none_on_another,
);

/// What the claimant does, and the right that it needs.
const CALLS: [(&str, &str); 15] = [
    ("read", "order:read"),
    ("find", "order:read"),
    ("count", "order:read"),
    ("create", "order:create"),
    ("write", "order.country:write"),
    ("increment", "order.line_count:write"),
    ("delete", "order:delete"),
    ("emit", "emit:order.paid"),
    ("message", "message:webhook"),
    ("http", "http:partner.example"),
    ("ask", "task:create"),
    ("secret", "secret:till"),
    ("due", "calendar:read"),
    ("elapsed", "calendar:read"),
    ("invoke", "invoke:echo"),
];

/// Rights beside those: the same of something else.
const OTHERS: [&str; 11] = [
    "order_line:read",
    "order_line:create",
    "order.currency:write",
    "order_line:delete",
    "emit:order.shipped",
    "message:email",
    "http:other.example",
    "calendar.title:write",
    "secret:other",
    "invoke:other",
    "customer:create",
];

const ECHO: &str = "//! Answers.\ninvocable();\nfn run(event) { 1 }\n";

/// A workspace in which `declared` may be asked for and `granted` is granted, with one order.
async fn workspace(database: Database, declared: &[&str], granted: &[&str]) -> TestApp {
    let setup = TestApp::on(database).script("echo", ECHO).script("other", ECHO);
    let app = setup.secret("till", "a secret of the till").start().await;
    let order = json!({ "order_no": "there", "customer": { "customer_no": "0" }, "amount": "5", "line_count": 1 });
    app.post("/v1/records/order", order).await.expect(201);
    let hours = json!({ "tz": "UTC", "hours": { "1": [["09:00", "17:00"]] } });
    app.post("/v1/records/calendar", json!({ "name": "till", "definition": hours })).await.expect(201);
    let archive = package(declared);
    app.send(Request::new("POST", "/v1/plugins").body("application/octet-stream", archive)).await.expect(201);
    let shown = app.get("/v1/plugins/claimant").await.expect(200).json();
    let all = shown["pending"]["more"].as_array().unwrap().clone();
    let kept = |item: &&Value| {
        let text = item.as_str().unwrap();
        !declared.contains(&text) || granted.contains(&text)
    };
    let items: Vec<&Value> = all.iter().filter(kept).collect();
    app.post("/v1/plugins/claimant/grant", json!({ "items": items })).await.expect(200);
    app
}

fn package(rights: &[&str]) -> Vec<u8> {
    let head = "id = \"claimant\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"Claims\"\n";
    let trigger = "[[triggers]]\nevent = \"customer.created\"\ncondition = \"country == 'claimant'\"\n";
    let right = |right: &&str| format!("[[capabilities]]\nright = \"{right}\"\nreason = \"it claims\"\n");
    let manifest = format!("{head}{trigger}{}", rights.iter().map(right).collect::<String>());
    let component = std::fs::read(env!("CLAIMANT_COMPONENT")).unwrap();
    let files = [("plugin.toml", manifest.into_bytes()), ("claimant.wasm", component)];
    let mut package = Package::new(files.into_iter().map(|(name, content)| (name.parse().unwrap(), content))).unwrap();
    package.sign("Tests", &SecretKey::from_seed(&[7; 32]), Vec::new()).unwrap();
    package.pack()
}

fn rights() -> Vec<&'static str> {
    let mut all: Vec<&str> = CALLS.iter().map(|(_, right)| *right).collect();
    all.dedup();
    all
}

/// Has the claimant make one call; gives its run.
async fn claimed(app: &TestApp, call: &str) -> Value {
    let customer = json!({ "customer_no": call, "country": "claimant", "notes": call });
    app.post("/v1/records/customer", customer).await.expect(201);
    app.run_until_idle().await;
    let mut runs = app.runs("automation=claimant").await;
    runs.sort_by_key(|run| run["id"].as_str().map(ToOwned::to_owned));
    runs.last().unwrap().clone()
}

/// What the workspace holds of what the claimant could change.
async fn all(app: &TestApp) -> (Vec<Value>, usize, Vec<Value>) {
    let orders = app.all("order").await;
    let tasks = app.all("task").await.len();
    let own = |event: &Value| event["type"] != "customer.created";
    (orders, tasks, app.log().await.into_iter().filter(own).collect())
}

async fn what_was_granted_passes(database: Database) {
    let app = workspace(database, &rights(), &rights()).await;
    for (call, right) in CALLS {
        let run = claimed(&app, call).await;
        // A call of a host, of people and of another automation is waited for.
        let waits = matches!(call, "http" | "ask" | "invoke") && run["status"] == "waiting";
        assert!(waits || run["status"] == "completed", "{call} with {right}: {run:#}");
    }
    assert_eq!(app.all("order").await.len(), 1, "one came, one went");
    assert_eq!(app.all("task").await.len(), 1);
}

async fn refused(app: &TestApp, code: &str) {
    app.expect_dead(CALLS.len() as u64);
    let before = all(app).await;
    for (call, right) in CALLS {
        let run = claimed(app, call).await;
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("dead"), &json!(code)), "{call}: {run:#}");
        let why = run["error"]["message"].as_str().unwrap();
        assert!(why.contains(&format!("`{right}`")), "{call} names what it needs: {why}");
    }
    assert_eq!(all(app).await, before, "nothing is left of what was refused");
    assert!(app.get("/v1/messages").await.items().is_empty() && app.get("/v1/effects").await.items().is_empty());
}

async fn what_was_not_declared_is_denied_and_leaves_nothing(database: Database) {
    let app = workspace(database, &[], &[]).await;
    refused(&app, "denied").await;
}

async fn what_was_not_granted_is_refused_and_leaves_nothing(database: Database) {
    let app = workspace(database, &rights(), &[]).await;
    refused(&app, "not_granted").await;
}

async fn a_right_on_one_thing_is_none_on_another(database: Database) {
    let app = workspace(database, &OTHERS, &OTHERS).await;
    refused(&app, "denied").await;
}
