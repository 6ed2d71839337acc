//! Backtests: a changed rule is tried on what really happened, and nothing is touched by it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Reply, Request};
use crate::harness::{Database, TestApp, eventually, on_both, order_paid, project};
use crate::process::rapport;

on_both!(
    the_active_version_makes_of_the_past_what_really_happened,
    records_that_runs_create_come_out_with_the_same_ids,
    a_period_in_the_middle_begins_with_the_workspace_as_it_was,
    a_changed_rule_shows_whom_it_would_have_changed,
    a_new_script_runs_beside_the_others,
    versions_and_settings_that_were_live_then_are_live_again,
    a_backtest_writes_nothing_and_the_server_goes_on,
    a_backtest_can_be_cancelled,
    only_an_admin_may_try_the_past,
    a_history_load_is_played_by_its_own_times,
    the_command_line_tells_the_differences,
);

const EPOCH: &str = "1970-01-01T00:00:00Z";
const FOREVER: &str = "2100-01-01T00:00:00Z";

/// Writes a record of its own for every order, counts what it sees, and finds the company by a query.
const BUSY: &str = r#"//! Keeps a task for each order, a company for each country, and what it counted.
on("order.created");
uses("order:read", "task:write", "task:read", "company:write", "company:read", "customer.notes:write");
fn run(event) {
    let order = event.record;
    let country = if order.country == () { "none" } else { order.country };
    let company = upsert("company", "company_no", #{ company_no: country, name: country });
    let known = count("task", "customer == c", #{ c: order.customer });
    create("task", #{ title: `${order.order_no} after ${known}`, customer: order.customer, due_at: now() });
    update(order.customer, #{ notes: `${company.name} ${known} ${random()}` });
}
"#;

/// Reacts to what a run did, so that its run is named after an event that no caller sent.
const CHAINED: &str = r#"//! Notes each task that a run made.
on("task.created");
uses("interaction:create");
fn run(event) {
    create("interaction", #{ customer: event.record.customer, channel: "other", subject: `${event.record.title} ${random()}` });
}
"#;

fn points_script() -> String {
    std::fs::read_to_string(project().join("scripts/loyalty/points.rhai")).unwrap()
}

fn order(number: usize, customer: usize, amount: &str) -> Value {
    let country = ["France", "Spain", "Italy"][number % 3];
    json!({ "order_no": number.to_string(), "customer": { "customer_no": format!("c{customer}") }, "amount": amount,
        "country": country })
}

async fn start(app: &TestApp, id: &str, source: &str, period: (&str, &str)) -> Reply {
    let body = json!({ "id": id, "source": source, "since": period.0, "until": period.1 });
    app.send(Request::new("POST", "/v1/backtests").json(&body)).await
}

async fn ended(app: &TestApp, id: &str) -> Value {
    let path = format!("/v1/backtests/{id}");
    let path = path.as_str();
    eventually("the end of the backtest", || async move {
        let backtest = app.get(path).await.expect(200).json();
        (backtest["state"] != "running").then_some(backtest)
    })
    .await
}

/// The result of a backtest of `source` as `id`.
pub(crate) async fn backtest(app: &TestApp, id: &str, source: &str, period: (&str, &str)) -> Value {
    let begun = start(app, id, source, period).await.expect(202).json();
    let ended = ended(app, begun["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    ended["result"].clone()
}

/// A little business: orders by several customers, cancellations, changes by hand, a deletion, an event from outside.
async fn trade(app: &TestApp, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let amount = ["10.50", "150", "99.99", "1200", "-20"][number % 5];
        app.post("/v1/records/order", order(number, number % 4, amount)).await.expect(201);
        match number % 7 {
            2 => {
                let path = format!("/v1/records/customer/customer_no:c{}", number % 4);
                app.send(Request::new("PATCH", &path).json(&json!({"points": {"increment": 3}, "city": "X"})))
                    .await
                    .expect(200);
            }
            4 => drop(
                app.post("/v1/events", order_paid(&format!("p{number}"), &format!("c{}", number % 4), "7"))
                    .await
                    .expect(202),
            ),
            5 => drop(app.send(Request::new("DELETE", &format!("/v1/records/order/order_no:{number}"))).await),
            6 => app.run_until_idle().await,
            _ => {}
        }
    }
    app.run_until_idle().await;
}

pub(crate) fn assert_exact(result: &Value) {
    assert_eq!(result["records_differing"], 0, "{result:#}");
    assert_eq!((&result["events_left_out"], &result["remarks"]), (&json!(0), &json!([])), "{result:#}");
    for write in result["writes"].as_array().unwrap() {
        assert_eq!(write["recorded"], write["backtest"], "{result:#}");
    }
}

async fn the_active_version_makes_of_the_past_what_really_happened(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    trade(&app, 0..60).await;
    let result = backtest(&app, "loyalty/points", &points_script(), (EPOCH, FOREVER)).await;
    assert_exact(&result);
    let completed = app.runs("automation=loyalty/points&status=completed").await.len();
    assert_eq!((&result["matched"], &result["runs"]), (&json!(completed), &json!({ "completed": completed })));
    assert!(result["fuel"].as_u64().unwrap() > 1_000);
    assert!(result["writes"].as_array().unwrap().iter().all(|w| w["kind"] == "customer.updated"));
}

async fn records_that_runs_create_come_out_with_the_same_ids(database: Database) {
    let setup = TestApp::on(database).points_script().tiers_plugin().script("busy", BUSY).script("chained", CHAINED);
    let app = setup.start().await;
    trade(&app, 0..60).await;
    let result = backtest(&app, "chained", CHAINED, (EPOCH, FOREVER)).await;
    assert_exact(&result);
    assert_eq!(result["matched"], app.all("interaction").await.len());
    let result = backtest(&app, "busy", BUSY, (EPOCH, FOREVER)).await;
    assert_exact(&result);
    let kinds: Vec<&str> = result["writes"].as_array().unwrap().iter().map(|w| w["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["company.created", "customer.updated", "task.created"]);
    assert_eq!(json!(app.all("task").await.len()), result["writes"][2]["backtest"]);
}

async fn a_period_in_the_middle_begins_with_the_workspace_as_it_was(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().script("busy", BUSY).start().await;
    trade(&app, 0..30).await;
    let since = app.log().await.last().unwrap()["time"].as_str().unwrap().to_owned();
    trade(&app, 30..60).await;
    let until = app.log().await.last().unwrap()["time"].as_str().unwrap().to_owned();
    trade(&app, 60..75).await;
    for (id, source) in [("busy", BUSY.to_owned()), ("loyalty/points", points_script())] {
        let result = backtest(&app, id, &source, (&since, &until)).await;
        assert_exact(&result);
        assert!((28..=31).contains(&result["matched"].as_u64().unwrap()), "{result:#}");
    }
    let nothing = backtest(&app, "busy", BUSY, (EPOCH, "1980-01-01T00:00:00Z")).await;
    assert_eq!((&nothing["events"], &nothing["matched"]), (&json!(0), &json!(0)));
}

async fn a_changed_rule_shows_whom_it_would_have_changed(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    for (number, customer, amount) in [(1, 1, "150"), (2, 2, "1500"), (3, 3, "99"), (4, 2, "600")] {
        app.post("/v1/records/order", order(number, customer, amount)).await.expect(201);
    }
    app.run_until_idle().await;
    let changed = points_script().replace("points *= 2", "points *= 3");
    let result = backtest(&app, "points", &changed, (EPOCH, FOREVER)).await;
    assert_eq!((&result["matched"], &result["records_differing"]), (&json!(4), &json!(2)), "{result:#}");
    let first = &result["differences"][0];
    assert_eq!((&first["object"], &first["key"]), (&json!("customer"), &json!("customer_no:c2")));
    let points = json!({"field": "points", "recorded": 4200, "backtest": 6300, "by": 2100});
    let tier = json!({"field": "tier", "recorded": "silver", "backtest": "gold", "by": null});
    assert_eq!(first["fields"], json!([points, tier]), "the plugin reacts to the points that the candidate gives");
    assert_eq!(result["differences"][1]["fields"][0]["by"], 150);
    let never = points_script().replace("if points != 0", "if false");
    let result = backtest(&app, "points", &never, (EPOCH, FOREVER)).await;
    assert_eq!(result["records_differing"], 3);
    assert_eq!(result["writes"][0]["backtest"], 0, "{result:#}");
}

async fn a_new_script_runs_beside_the_others(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    trade(&app, 0..20).await;
    let before = app.all("task").await;
    let result = backtest(&app, "busy", BUSY, (EPOCH, FOREVER)).await;
    assert_eq!((&result["matched"], &result["runs"]["completed"]), (&json!(20), &json!(20)), "{result:#}");
    assert_eq!(result["records_differing"], 20 + 3 + 4, "a task for each order, three companies, four customers");
    assert_eq!(app.all("task").await, before);
    let failing = "//! Gives up.\non(\"order.created\");\nfn run(event) { fail(\"no luck\"); }\n";
    let result = backtest(&app, "failing", failing, (EPOCH, FOREVER)).await;
    assert_eq!(result["runs"], json!({"dead": 20}));
    assert!(result["failures"][0]["error"].as_str().unwrap().contains("no luck"), "{result:#}");
}

async fn versions_and_settings_that_were_live_then_are_live_again(database: Database) {
    let app = TestApp::on(database).points_script().script("busy", BUSY).start().await;
    trade(&app, 0..20).await;
    let set = Request::new("PUT", "/v1/automations/loyalty%2Fpoints/settings").json(&json!({"double_over": 1000}));
    app.send(set).await.expect(200);
    trade(&app, 20..40).await;
    let app = app
        .restart(|setup| setup.script("loyalty/points", &points_script().replace("points *= 2", "points *= 5")))
        .await;
    trade(&app, 40..60).await;
    // The points were given by three versions, and `busy` sees the customers as they left them.
    let result = backtest(&app, "busy", BUSY, (EPOCH, FOREVER)).await;
    assert_exact(&result);
    let same = points_script().replace("points *= 2", "points *= 5");
    let body = json!({ "id": "points", "source": same, "since": EPOCH, "until": FOREVER, "against": "active" });
    let begun = app.send(Request::new("POST", "/v1/backtests").json(&body)).await.expect(202).json();
    let ended = ended(&app, begun["id"].as_str().unwrap()).await;
    assert_eq!(ended["result"]["records_differing"], 0, "{ended:#}");
    let result = backtest(&app, "points", &same, (EPOCH, FOREVER)).await;
    assert_eq!(result["records_differing"], 4, "what happened was made by other versions: {result:#}");
}

async fn a_backtest_writes_nothing_and_the_server_goes_on(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().script("busy", BUSY).start().await;
    trade(&app, 0..60).await;
    let (log, runs) = (app.log().await, app.runs("").await);
    let begun = start(&app, "busy", BUSY, (EPOCH, FOREVER)).await.expect(202).json();
    app.post("/v1/records/order", order(100, 1, "5")).await.expect(201);
    let ended = ended(&app, begun["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    app.run_until_idle().await;
    let now = app.log().await;
    assert_eq!(now[..log.len()], log[..]);
    assert!(now[log.len()..].iter().all(|event| event["position"].as_i64() > log.last().unwrap()["position"].as_i64()));
    assert_eq!(app.runs("").await.len(), runs.len() + 3, "those of the order that came in meanwhile");
    assert_eq!(
        std::fs::read_dir(app.folder.path().join("data/scratch")).unwrap().count(),
        0,
        "the scratch is cleared away"
    );
}

async fn a_backtest_can_be_cancelled(database: Database) {
    let app = TestApp::on(database).points_script().script("busy", BUSY).start().await;
    trade(&app, 0..60).await;
    let begun = start(&app, "busy", BUSY, (EPOCH, FOREVER)).await.expect(202).json();
    let path = format!("/v1/backtests/{}", begun["id"].as_str().unwrap());
    app.send(Request::new("DELETE", &path)).await.expect(204);
    let state = ended(&app, begun["id"].as_str().unwrap()).await["state"].clone();
    assert!(state == "cancelled" || state == "done", "{state}");
    app.get("/v1/backtests/nothing").await.expect(404);
    let mut begun = Vec::new();
    let third = loop {
        let reply = start(&app, "busy", BUSY, (EPOCH, FOREVER)).await;
        if reply.status == 409 || begun.len() > 20 {
            break reply;
        }
        begun.push(reply.expect(202).json()["id"].as_str().unwrap().to_owned());
    };
    assert!(third.expect(409).json()["detail"].as_str().unwrap().contains("at work"));
    // A server that stops does not wait for backtests to end by themselves.
    let stopped = tokio::time::timeout(Duration::from_secs(20), app.stop()).await.unwrap();
    let left = std::fs::read_dir(stopped.path().join("data/scratch")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

async fn only_an_admin_may_try_the_past(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let key = app.post("/v1/keys", json!({"name": "w", "scopes": ["read", "write"]})).await.expect(201).json();
    let writer = app.with_key(key["secret"].as_str().unwrap());
    let body = json!({ "id": "busy", "source": BUSY, "since": EPOCH, "until": FOREVER });
    writer.send(Request::new("POST", "/v1/backtests").json(&body)).await.expect(403);
    start(&app, "busy", "on(\"oder.created\"); fn run(event) {}", (EPOCH, FOREVER)).await.expect(422);
    start(&app, "busy", BUSY, (FOREVER, EPOCH)).await.expect(422);
}

async fn a_history_load_is_played_by_its_own_times(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().script("busy", BUSY).start().await;
    app.post("/v1/loads", json!({"name": "past"})).await.expect(200);
    let rows: Vec<String> = (0..120)
        .map(|n| {
            let mut row = order(n, n % 7, ["10.50", "150", "99.99", "1200", "-20"][n % 5]);
            row["ordered_at"] = json!(format!("2011-{:02}-{:02}T10:00:00Z", 1 + n / 28, 1 + n % 28));
            row.to_string()
        })
        .collect();
    let path = "/v1/records/order/bulk?key=order_no&load=past&time=ordered_at";
    app.ndjson(path, &rows).await.expect(200);
    app.send(Request::new("DELETE", "/v1/loads/past")).await.expect(204);
    for (id, source) in [("busy", BUSY.to_owned()), ("loyalty/points", points_script())] {
        let result = backtest(&app, id, &source, ("2011-02-01T00:00:00Z", "2011-04-01T00:00:00Z")).await;
        assert_exact(&result);
        assert_eq!(result["matched"], 56, "{result:#}");
        assert!(result["writes"][0]["day"].as_str().unwrap().starts_with("2011-0"));
    }
}

async fn the_command_line_tells_the_differences(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    for (number, customer, amount) in [(1, 1, "150"), (2, 2, "50")] {
        app.post("/v1/records/order", order(number, customer, amount)).await.expect(201);
    }
    app.run_until_idle().await;
    let file = app.folder.path().join("points.rhai");
    std::fs::write(&file, points_script().replace("points *= 2", "points *= 3")).unwrap();
    let (file, key) = (file.to_str().unwrap().to_owned(), app.folder.path().join("key"));
    let period = ["--since", EPOCH, "--until", FOREVER];
    let arguments = [&["script", "backtest", &file], &period[..]].concat();
    let told = rapport(&arguments).to(&app, &key).run().expect(0).output;
    assert!(told.contains("loyalty/points") && told.contains("in place of its version"), "{told}");
    assert!(told.contains("customer/customer_no:c1  points  300 → 450  (150)"), "{told}");
    let json = rapport(&[&arguments[..], &["--json"]].concat()).to(&app, &key).run().expect(0).output;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["result"]["records_differing"], 1);
    std::fs::write(&file, "on(\"order.created\"); fn run(event) { nothing() }").unwrap();
    assert!(rapport(&arguments).to(&app, &key).run().expect(1).text.contains("nothing"));
}
