//! Scripts and plugins that react: triggers, rights, runs with their traces, failures and loops.

use serde_json::{Value, json};

use crate::client::with_query;
use crate::harness::{Database, TestApp, eventually, on_both, order_paid};

on_both!(
    an_order_gives_points_by_the_rule,
    a_cancellation_takes_points_back,
    the_plugin_follows_the_points,
    a_customer_is_served_in_order,
    a_trigger_with_a_condition_reacts_only_where_it_holds,
    a_trigger_on_a_field_reacts_only_to_that_field,
    a_wildcard_takes_every_type_with_the_prefix,
    a_run_shows_what_it_read_and_changed,
    a_script_that_always_fails_ends_dead_and_can_be_retried,
    a_script_that_gives_up_is_not_tried_again,
    a_failed_slice_leaves_nothing_behind,
    an_undeclared_write_is_refused_and_the_line_to_add_is_named,
    a_declared_write_cannot_be_widened_by_catching_the_refusal,
    two_automations_that_chase_each_other_are_stopped,
    an_automation_begins_at_the_head_of_the_log,
    an_event_starts_each_automation_once,
    reads_in_a_slice_see_its_own_writes,
    settings_have_their_defaults,
);

/// Counts paid orders of a customer.
const COUNTER: &str = r#"//! Counts paid orders.
on("order.paid");
uses("customer.paid_orders:write");
field("customer", "paid_orders", "integer", #{ default: 0 });
fn run(event) { increment(event.record, "paid_orders", 1); }
"#;

/// Fails whenever it runs.
const FAILING: &str = r#"//! Always fails.
on("order.paid");
uses("customer.city:write");
fn run(event) {
    update(event.record, #{ city: "Nowhere" });
    throw "no luck today";
}
"#;

fn order(number: &str, customer: &str, amount: &str) -> Value {
    json!({ "order_no": number, "customer": { "customer_no": customer }, "amount": amount })
}

async fn pay(app: &TestApp, id: &str, customer: &str) {
    app.post("/v1/events", order_paid(id, customer, "10")).await.expect(202);
}

async fn an_order_gives_points_by_the_rule(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    for (number, customer, amount) in [
        ("1", "a", "99.99"),
        ("2", "b", "100"),
        ("3", "c", "100.01"),
        ("4", "d", "0.99"),
        ("5", "e", "139.12"),
        ("6", "e", "1"),
    ] {
        app.post("/v1/records/order", order(number, customer, amount)).await.expect(201);
    }
    app.run_until_idle().await;
    for (customer, points) in [("a", 99), ("b", 100), ("c", 200), ("d", 0), ("e", 279)] {
        assert_eq!(app.customer_field(customer, "points").await, points, "{customer}");
    }
}

async fn a_cancellation_takes_points_back(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    for (number, amount) in [("1", "150.50"), ("C1", "-150.50"), ("C2", "-0.99"), ("C3", "-7.50")] {
        app.post("/v1/records/order", order(number, "a", amount)).await.expect(201);
    }
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "points").await, -7);
}

async fn the_plugin_follows_the_points(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let mut tiers = Vec::new();
    for (number, amount) in [("1", "10"), ("2", "500"), ("3", "2000"), ("4", "9000"), ("5", "-8000")] {
        app.post("/v1/records/order", order(number, "a", amount)).await.expect(201);
        app.run_until_idle().await;
        tiers.push(app.customer_field("a", "tier").await);
    }
    assert_eq!(tiers, ["bronze", "silver", "gold", "platinum", "gold"]);
    let changes: Vec<(Value, Value)> = app
        .get("/v1/events?type=tier.changed&limit=100")
        .await
        .items()
        .iter()
        .map(|e| (e["data"]["from"].clone(), e["data"]["to"].clone()))
        .filter(|(from, _)| !from.is_null())
        .collect();
    let want = [("bronze", "silver"), ("silver", "gold"), ("gold", "platinum"), ("platinum", "gold")];
    assert_eq!(changes, want.map(|(from, to)| (json!(from), json!(to))));
}

/// A thousand orders of three customers, and each customer's runs in the order of the log.
async fn a_customer_is_served_in_order(database: Database) {
    let script = r#"//! Notes the last order.
on("order.paid");
uses("customer.notes:write", "customer:read");
fn run(event) { update(event.record, #{ notes: if event.record.notes == () { "" } else { event.record.notes } + event.data.order_no + "," }); }
"#;
    let app = TestApp::on(database).script("notes", script).start().await;
    for customer in ["a", "b", "c"] {
        app.customer(customer).await;
    }
    let lines: Vec<String> =
        (0..300).map(|i| order_paid(&i.to_string(), ["a", "b", "c"][i % 3], "1").to_string()).collect();
    app.ndjson("/v1/events", &lines).await.expect(202);
    app.run_until_idle().await;
    for (k, customer) in ["a", "b", "c"].iter().enumerate() {
        let want: Vec<String> = (0..300).filter(|i| i % 3 == k).map(|i| i.to_string()).collect();
        let want = want.join(",") + ",";
        assert_eq!(app.customer_field(customer, "notes").await, want, "{customer}");
    }
}

async fn a_trigger_with_a_condition_reacts_only_where_it_holds(database: Database) {
    let script = COUNTER.replace(r#"on("order.paid");"#, r#"on("order.paid", "amount > 100");"#);
    let app = TestApp::on(database).script("counter", &script).start().await;
    app.customer("a").await;
    for (id, amount) in [("1", "100"), ("2", "100.01"), ("3", "5000")] {
        app.post("/v1/events", order_paid(id, "a", amount)).await.expect(202);
    }
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "paid_orders").await, 2);
}

async fn a_trigger_on_a_field_reacts_only_to_that_field(database: Database) {
    let script = r#"//! Counts moves.
on_change("customer", ["city"]);
uses("customer.moves:write");
field("customer", "moves", "integer", #{ default: 0 });
fn run(event) { increment(event.record, "moves", 1); }
"#;
    let app = TestApp::on(database).script("moves", script).start().await;
    app.customer("a").await;
    for body in
        [json!({ "name": "A" }), json!({ "city": "B" }), json!({ "city": "B" }), json!({ "city": "C", "name": "D" })]
    {
        app.patch("/v1/records/customer/customer_no:a", body).await.expect(200);
        app.run_until_idle().await;
    }
    assert_eq!(app.customer_field("a", "moves").await, 2);
}

async fn a_wildcard_takes_every_type_with_the_prefix(database: Database) {
    let app = TestApp::on(database).script("counter", &COUNTER.replace("\"order.paid\"", "\"order.*\"").replace("event.record", "if event.type == \"order.paid\" || event.type == \"order.shipped\" { event.record } else { event.record.customer }")).start().await;
    app.post("/v1/records/order", order("1", "a", "5")).await.expect(201);
    pay(&app, "1", "a").await;
    let shipped = crate::harness::event("2", "order.shipped", "customer/customer_no:a", json!({ "order_no": "1" }));
    app.post("/v1/events", shipped).await.expect(202);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "paid_orders").await, 3);
}

async fn a_run_shows_what_it_read_and_changed(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    app.post("/v1/records/order", order("1", "a", "150")).await.expect(201);
    app.run_until_idle().await;
    let runs = app.runs("automation=loyalty/points").await;
    assert_eq!((runs.len(), &runs[0]["status"]), (1, &json!("completed")));
    let of_order = with_query("/v1/runs", &[("subject", "order/order_no:1"), ("status", "completed")]);
    assert_eq!(app.get(&of_order).await.expect(200).items().len(), 1);
    let run = app.get(&format!("/v1/runs/{}", runs[0]["id"].as_str().unwrap())).await.expect(200).json();
    let trace = run["trace"].to_string();
    assert!(trace.contains("increment") && trace.contains("points") && trace.contains("300"), "{run}");
    assert!(trace.contains("fuel"), "{run}");
    let changed = app.get("/v1/events?type=customer.updated").await.items().pop().unwrap();
    assert_eq!(changed["run"], run["id"]);
    assert_eq!(changed["actor"], "automation:loyalty/points");
    assert_eq!(changed["data"]["delta"], json!({ "points": 300 }));
}

async fn a_script_that_always_fails_ends_dead_and_can_be_retried(database: Database) {
    let app = TestApp::on(database).script("failing", FAILING).start().await;
    app.customer("a").await;
    pay(&app, "1", "a").await;
    let dead = eventually("the run to die", || async { app.runs("status=dead").await.pop() }).await;
    assert_eq!(dead["attempt"], 6, "{dead}");
    let path = format!("/v1/runs/{}", dead["id"].as_str().unwrap());
    let run = app.get(&path).await.expect(200).json();
    assert!(run["error"].to_string().contains("no luck today"), "{run}");
    assert!(run["error"].to_string().contains("failing.rhai:6"), "the error names file and line: {run}");
    let fixed = FAILING.replace("throw \"no luck today\";", "");
    let app = app.restart(|setup| setup.script("failing", &fixed)).await;
    app.post(&format!("{path}/retry"), json!({})).await.expect(200);
    // It goes on with the version that it began with, and so dies again, after all its tries.
    let ended = || async {
        let run = app.get(&path).await.expect(200).json();
        (run["status"] == "dead" && run["attempt"] == 6).then_some(())
    };
    eventually("the run to die again", ended).await;
    app.expect_dead(1);
}

async fn a_script_that_gives_up_is_not_tried_again(database: Database) {
    let script = FAILING.replace("throw \"no luck today\";", "try { fail(\"never\"); } catch { }");
    let app = TestApp::on(database).script("failing", &script).start().await;
    app.customer("a").await;
    pay(&app, "1", "a").await;
    app.run_until_idle().await;
    let dead = app.runs("status=dead").await;
    assert_eq!((dead.len(), &dead[0]["attempt"]), (1, &json!(1)), "{dead:?}");
    assert_eq!(app.customer_field("a", "city").await, Value::Null);
    app.expect_dead(1);
}

async fn a_failed_slice_leaves_nothing_behind(database: Database) {
    let app = TestApp::on(database).script("failing", FAILING).script("counter", COUNTER).start().await;
    app.customer("a").await;
    for id in 0..5 {
        pay(&app, &id.to_string(), "a").await;
    }
    eventually("the runs to die", || async { (app.runs("status=dead").await.len() == 5).then_some(()) }).await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "city").await, Value::Null);
    assert_eq!(app.customer_field("a", "paid_orders").await, 5, "another automation on the lane is not held up");
    app.expect_dead(5);
}

async fn an_undeclared_write_is_refused_and_the_line_to_add_is_named(database: Database) {
    let script = r#"//! Writes through a name that the check cannot see.
on("order.paid");
uses("customer:read");
fn run(event) { let target = "customer"; update(target, event.record.id, #{ city: "Paris" }); }
"#;
    let app = TestApp::on(database).script("sneaky", script).start().await;
    app.customer("a").await;
    pay(&app, "1", "a").await;
    let dead = eventually("the run to die", || async { app.runs("status=dead").await.pop() }).await;
    let run = app.get(&format!("/v1/runs/{}", dead["id"].as_str().unwrap())).await.json();
    assert!(run["error"].to_string().contains("customer.city:write"), "{run}");
    assert_eq!(app.customer_field("a", "city").await, Value::Null);
    app.expect_dead(1);
}

async fn a_declared_write_cannot_be_widened_by_catching_the_refusal(database: Database) {
    let script = r#"//! Catches what it is refused and goes on.
on("order.paid");
uses("customer.name:write");
fn run(event) {
    // Names that the check cannot see through: what is written out would be refused before it is live.
    let target = "customer";
    let other = "company";
    let kind = "order.paid";
    try { update(target, event.record.id, #{ city: "Paris" }); } catch (e) { }
    try { delete(target, event.record.id); } catch (e) { }
    try { create(other, #{ name: "x" }); } catch (e) { }
    try { emit(kind, event.record, #{ amount: 1 }); } catch (e) { }
}
"#;
    let app = TestApp::on(database).script("sneaky", script).start().await;
    app.customer("a").await;
    pay(&app, "1", "a").await;
    eventually("the run to end", || async {
        app.runs("").await.into_iter().find(|r| r["status"] == "dead" || r["status"] == "completed")
    })
    .await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "city").await, Value::Null);
    assert_eq!(app.get("/v1/records/company").await.items().len(), 0);
    assert_eq!(app.get("/v1/events?type=order.paid").await.items().len(), 1);
    app.expect_dead(app.runs("status=dead").await.len() as u64);
}

async fn two_automations_that_chase_each_other_are_stopped(database: Database) {
    let chase = |seen: &str, sent: &str| {
        format!(
            "//! Answers {seen} with {sent}.\non(\"{seen}\");\nuses(\"emit:{sent}\");\nevent_type(\"ping.sent\", #{{}});\nevent_type(\"pong.sent\", #{{}});\n\
             fn run(event) {{ emit(\"{sent}\", event.record, #{{}}); }}\n"
        )
    };
    let setup = TestApp::on(database)
        .script("a", &chase("ping.sent", "pong.sent"))
        .script("b", &chase("pong.sent", "ping.sent"));
    let app = setup.start().await;
    app.customer("a").await;
    let ping = crate::harness::event("1", "ping.sent", "customer/customer_no:a", json!({}));
    app.post("/v1/events", ping).await.expect(202);
    app.run_until_idle().await;
    let log: Vec<Value> = app
        .log()
        .await
        .into_iter()
        .filter(|e| e["type"].as_str().unwrap().rsplit('.').next() == Some("sent"))
        .collect();
    let deepest = log.iter().map(|e| e["depth"].as_i64().unwrap_or(0)).max().unwrap();
    assert!((15..=17).contains(&deepest) && log.len() <= 18, "{deepest} {}", log.len());
    let stopped: Vec<Value> = app.runs("").await.into_iter().filter(|r| r["status"] == "dead").collect();
    assert_eq!(stopped.len(), 1, "the stop is visible as a run");
    let run = app.get(&format!("/v1/runs/{}", stopped[0]["id"].as_str().unwrap())).await.json();
    assert!(run["error"].to_string().contains("16"), "{run}");
    app.expect_dead(1);
}

async fn an_automation_begins_at_the_head_of_the_log(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    pay(&app, "1", "a").await;
    let app = app.restart(|setup| setup.script("counter", COUNTER)).await;
    pay(&app, "2", "a").await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "paid_orders").await, 1);
}

async fn an_event_starts_each_automation_once(database: Database) {
    let app = TestApp::on(database).script("counter", COUNTER).start().await;
    app.customer("a").await;
    let lines: Vec<String> = (0..50).map(|i| order_paid(&(i % 10).to_string(), "a", "1").to_string()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (client, lines) = (app.with_key(app.key.as_ref().unwrap()), lines.clone());
        tasks.spawn(async move { client.ndjson("/v1/events", &lines).await.expect(202) });
    }
    tasks.join_all().await;
    app.run_until_idle().await;
    let app = app.restart(|setup| setup).await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "paid_orders").await, 10);
    assert_eq!(app.runs("status=completed").await.len(), 10);
}

async fn reads_in_a_slice_see_its_own_writes(database: Database) {
    let script = r#"//! Reads what it wrote.
on("order.paid");
uses("company:read", "company:write", "customer.notes:write");
fn run(event) {
    let made = create("company", #{ company_no: "c1", name: "One", city: "A" });
    update(made, #{ city: "B" });
    let by_key = get("company", "company_no:c1").city;
    let found = find("company", "city == 'B'", #{}).len();
    let old = count("company", "city == 'A'", #{});
    let again = upsert("company", "company_no", #{ company_no: "c1", name: "Two" }).name;
    delete("company", "company_no:c1");
    let gone = count("company", "name == 'Two'", #{});
    update(event.record, #{ notes: `${by_key} ${found} ${old} ${again} ${gone}` });
}
"#;
    let app = TestApp::on(database).script("reader", script).start().await;
    app.customer("a").await;
    pay(&app, "1", "a").await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "notes").await, "B 1 0 Two 0");
    assert_eq!(app.get("/v1/records/company").await.items().len(), 0);
}

async fn settings_have_their_defaults(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let automations = app.get("/v1/automations").await.expect(200).items();
    let ids: Vec<&str> = automations.iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["loyalty/points", "tiers"]);
    assert!(automations[0]["settings"].to_string().contains("double_over"), "{}", automations[0]);
    assert!(automations[0]["digest"].as_str().unwrap().len() >= 16);
}
