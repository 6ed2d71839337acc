//! Roll-ups as operators, scripts and callers see them: kept with every change, seen at once, never written, proved and mended.

use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::process::{ServerProcess, rapport};

on_both!(
    a_customer_counts_its_orders,
    a_slice_sees_roll_ups_as_if_its_writes_were_committed,
    what_a_slice_reads_last_is_what_it_leaves,
    a_script_declares_a_roll_up_and_reads_it_in_rules,
    a_roll_up_that_cannot_be_is_refused_with_what_to_write,
    nobody_writes_a_roll_up,
    an_undo_takes_the_children_out_again,
    a_trigger_on_an_order_sees_its_customer_with_it,
    the_watchdog_and_the_command_line_prove_them,
    killed_when_a_group_was_decided_roll_ups_agree,
    killed_when_a_group_was_durable_roll_ups_agree,
    a_plugin_declares_a_roll_up,
    a_formula_is_computed_when_it_is_read,
);

async fn order(app: &TestApp, number: &str, customer: &str, amount: &str) {
    let body = json!({
        "order_no": number, "customer": format!("customer_no:{customer}"), "amount": amount,
        "ordered_at": format!("2026-03-{:0>2}T10:00:00Z", number),
    });
    app.post("/v1/records/order", body).await.expect(201);
}

/// The roll-ups of a customer: how many orders, their sum, the first, the last, the average.
async fn numbers(app: &TestApp, customer: &str) -> Value {
    let found = app.get(&format!("/v1/records/customer/customer_no:{customer}")).await.expect(200).json();
    let day = |field: &str| found[field].as_str().map(|text| text[..10].to_owned());
    json!([
        found["order_count"],
        found["lifetime_value"],
        day("first_order_at"),
        day("last_order_at"),
        found["average_order"]
    ])
}

async fn check(app: &TestApp) -> Vec<Value> {
    let found = app.post("/v1/rollups/check", json!({})).await.expect(200).json();
    found["items"].as_array().unwrap().iter().filter(|item| item["right"] != true).cloned().collect()
}

async fn a_customer_counts_its_orders(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    app.customer("2").await;
    assert_eq!(numbers(&app, "1").await, json!([0, "0.00", null, null, null]));
    order(&app, "1", "1", "10.00").await;
    order(&app, "5", "1", "5.01").await;
    assert_eq!(numbers(&app, "1").await, json!([2, "15.01", "2026-03-01", "2026-03-05", "7.51"]));
    app.patch("/v1/records/order/order_no:5", json!({ "customer": "customer_no:2" })).await.expect(200);
    assert_eq!(numbers(&app, "1").await, json!([1, "10.00", "2026-03-01", "2026-03-01", "10.00"]));
    assert_eq!(numbers(&app, "2").await, json!([1, "5.01", "2026-03-05", "2026-03-05", "5.01"]));
    app.delete("/v1/records/order/order_no:1").await.expect(204);
    assert_eq!(numbers(&app, "1").await, json!([0, "0.00", null, null, null]));
    let many = app
        .get("/v1/records/customer?where=order_count%20%3E%200%20%26%26%20lifetime_value%20%3C%206")
        .await
        .expect(200)
        .json();
    assert_eq!(many["items"].as_array().unwrap().len(), 1);
    let sorted = app.get("/v1/records/customer?order=-lifetime_value").await.expect(200).json();
    assert_eq!(sorted["items"][0]["customer_no"], "2");
    // It is no change of the customer.
    assert_eq!(app.customer_field("1", "version").await, 1);
    let log = app.log().await;
    assert!(
        log.iter().all(|event| !event.to_string().contains("\"lifetime_value\":") || event["type"] == "schema.changed")
    );
    assert!(check(&app).await.is_empty());
}

/// Writes orders and reads what follows in between.
const READER: &str = r#"//! Reads roll-ups in the midst of its writes.
on("order.paid");
uses("customer:read", "customer:write", "order:read", "order:write", "task:create");
fn run(event) {
    let me = event.record;
    let seen = [];
    seen.push(get("customer", me.id).order_count);
    let first = create("order", #{ order_no: "n1", customer: me, amount: 30.0, ordered_at: "2026-03-09T00:00:00Z" });
    let second = create("order", #{ order_no: "n2", customer: me, amount: 10.0, ordered_at: "2026-03-08T00:00:00Z" });
    let now = get("customer", me.id);
    seen.push(now.order_count); seen.push(now.lifetime_value); seen.push(now.average_order);
    seen.push(count("customer", "order_count == 3"));
    seen.push(find("customer", "lifetime_value > 40").len());
    seen.push(count("order", "customer.order_count == 3"));
    update(second, #{ amount: 5.0 });
    delete(first);
    delete("order", "order_no:1");
    update(me, #{ city: "Bonn" });
    let last = get("customer", me.id);
    seen.push(last.order_count); seen.push(last.lifetime_value); seen.push(`${last.last_order_at}`); seen.push(last.city);
    create("task", #{ title: `${seen}`, customer: me });
}
"#;

async fn a_slice_sees_roll_ups_as_if_its_writes_were_committed(database: Database) {
    let app = TestApp::on(database).script("reader", READER).start().await;
    app.customer("a").await;
    app.customer("b").await;
    order(&app, "1", "a", "2.00").await;
    app.post("/v1/events", order_paid("e", "a", "1")).await.expect(202);
    app.run_until_idle().await;
    let tasks = app.all("task").await;
    assert_eq!(tasks[0]["title"], "[1, 3, 42.00, 14.00, 1, 1, 3, 1, 5.00, \"2026-03-08T00:00:00Z\", \"Bonn\"]",);
    assert_eq!(numbers(&app, "a").await, json!([1, "5.00", "2026-03-08", "2026-03-08", "5.00"]));
    assert!(check(&app).await.is_empty());
}

/// Does random things to orders and says what it sees in the end.
const RANDOM: &str = r#"//! Does random things to orders.
on("order.paid");
uses("customer:read", "order:read", "order:write", "customer.notes:write");
fn seen(c) { `${c.order_count} ${c.lifetime_value} ${c.first_order_at} ${c.last_order_at} ${c.average_order}` }
fn run(event) {
    let me = event.record;
    let others = find("customer", "");
    let n = event.position % 1009;
    for i in 0..12 {
        n = (n * 31 + 7) % 1009;
        let all = find("order", "");
        let who = others[n % others.len()];
        let pick = if all.len() > 0 { all[n % all.len()] } else { () };
        if n % 4 == 0 && pick != () { delete(pick); }
        else if n % 4 == 1 && pick != () { update(pick, #{ customer: who }); }
        else if n % 4 == 2 && pick != () {
            let amount = if n % 5 == 0 { () } else { n % 50 };
            update(pick, #{ amount: amount });
        } else {
            let day = 1 + n % 28;
            let day = if day < 10 { `0${day}` } else { `${day}` };
            create("order", #{ order_no: `${event.position}-${i}`, customer: who, amount: n % 90, ordered_at: `2026-03-${day}T00:00:00Z` });
        }
        get("customer", who.id);
    }
    for other in others { update(other, #{ notes: seen(get("customer", other.id)) }); }
}
"#;

async fn what_a_slice_reads_last_is_what_it_leaves(database: Database) {
    let app = TestApp::on(database).script("random", RANDOM).start().await;
    for number in ["1", "2", "3"] {
        app.customer(number).await;
    }
    for n in 0..25 {
        app.post("/v1/events", order_paid(&n.to_string(), "1", "1")).await.expect(202);
        app.run_until_idle().await;
        for customer in app.all("customer").await {
            let text = |field: &str| match &customer[field] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            let fields = ["order_count", "lifetime_value", "first_order_at", "last_order_at", "average_order"];
            assert_eq!(text("notes"), fields.map(text).join(" "), "after run {n}");
        }
    }
    assert!(check(&app).await.is_empty());
    // How many of them are left is a matter of chance.
    let made = app.log().await.iter().filter(|event| event["type"] == "order.created").count();
    assert!(made > 5, "{made}");
}

const DECLARES: &str = r#"//! Greets those who ordered much.
rollup("customer", "big_orders", "count", "order", #{ where: "amount >= 100" });
rollup("customer", "best_order", "max", "order", #{ field: "amount", indexed: true });
rollup("customer", "last_state", "last", "order", #{ field: "status", by: "ordered_at" });
on("order.paid", "amount > 0");
uses("customer:read", "customer.notes:write");
fn run(event) {
    let me = event.record;
    update(me, #{ notes: `${me.big_orders} ${me.best_order} ${me.last_state} ${count("customer", "big_orders > 0")}` });
}
"#;

async fn a_script_declares_a_roll_up_and_reads_it_in_rules(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    order(&app, "1", "1", "250.00").await;
    order(&app, "2", "1", "20.00").await;
    let app = app.restart(|setup| setup.script("declares", DECLARES)).await;
    let found = app.get("/v1/records/customer/customer_no:1").await.expect(200).json();
    assert_eq!(json!([found["big_orders"], found["best_order"], found["last_state"]]), json!([1, "250.00", "open"]));
    app.post("/v1/events", order_paid("e", "1", "1")).await.expect(202);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("1", "notes").await, "1 250.00 open 1");
    let declared = app.get("/v1/rollups").await.expect(200).json();
    let names: Vec<_> = declared["items"].as_array().unwrap().iter().map(|item| item["field"].clone()).collect();
    assert!(names.contains(&json!("big_orders")) && names.contains(&json!("order_count")), "{names:?}");
    assert!(check(&app).await.is_empty());
}

async fn a_roll_up_that_cannot_be_is_refused_with_what_to_write(database: Database) {
    let app = TestApp::start(database).await;
    let refused = async |rollup: Value| {
        let body = json!({ "name": "x", "rollup": rollup });
        app.post("/v1/objects/customer/fields", body).await.expect(422).json()["detail"].as_str().unwrap().to_owned()
    };
    let clock =
        refused(json!({ "function": "count", "object": "order", "where": "days_since(ordered_at) < 30" })).await;
    assert!(clock.contains("reads the clock") && clock.contains("in the rule that reads the roll-up"), "{clock}");
    let other =
        refused(json!({ "function": "count", "object": "order", "where": "customer.country == 'France'" })).await;
    assert!(other.contains("it may read fields of `order` alone"), "{other}");
    let text = refused(json!({ "function": "sum", "object": "order", "field": "currency" })).await;
    assert!(text.contains("there is no `sum` of a field that holds text"), "{text}");
    let nobody = refused(json!({ "function": "count", "object": "template" })).await;
    assert!(nobody.contains("must say by which field"), "{nobody}");
    let made = json!({ "name": "mean", "scale": 4, "rollup": { "function": "average", "object": "order", "field": "amount" } });
    let made = app.post("/v1/objects/customer/fields", made).await.expect(201).json();
    let field = made["fields"].as_array().unwrap().iter().find(|field| field["name"] == "mean").unwrap().clone();
    assert_eq!(json!([field["type"], field["scale"], field["rollup"]["via"]]), json!(["decimal", 4, "customer"]));
    // As it is shown it can be declared again, which changes nothing.
    app.post("/v1/objects/customer/fields", field).await.expect(201);
    let trigger = "on_change(\"customer\", [\"order_count\"]);\nuses(\"customer:read\");\nfn run(event) {}\n";
    let app = app.restart(|setup| setup.script("waits", trigger)).await;
    assert!(app.notices().contains("`order_count` is a roll-up, whose change is no event"), "{}", app.notices());
}

async fn nobody_writes_a_roll_up(database: Database) {
    const WRITER: &str = "on(\"order.paid\");\nuses(\"customer:write\", \"customer:read\");\n\
                          fn run(event) { let field = \"order_count\"; let to = #{}; to[field] = 3; update(event.record, to); }\n";
    let app = TestApp::on(database).script("writer", WRITER).start().await;
    app.customer("1").await;
    let wants = "`order_count` is a roll-up: it follows from its `order` records";
    let refused = app.patch("/v1/records/customer/customer_no:1", json!({ "order_count": 3 })).await.expect(422).json();
    assert!(refused.to_string().contains(wants), "{refused}");
    let refused =
        app.post("/v1/records/customer", json!({ "customer_no": "2", "order_count": 3 })).await.expect(422).json();
    assert!(refused.to_string().contains(wants), "{refused}");
    let lines = vec![json!({ "customer_no": "3", "lifetime_value": "3.00" }).to_string()];
    let told = app.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await;
    assert!(told.text().contains("`lifetime_value` is a roll-up"), "{}", told.text());
    app.post("/v1/events", order_paid("e", "1", "1")).await.expect(202);
    app.run_until_idle().await;
    let dead = app.runs("status=dead").await;
    assert!(dead[0]["error"]["message"].as_str().unwrap().contains(wants), "{dead:?}");
    app.expect_dead(1);
    assert_eq!(app.customer_field("1", "order_count").await, 0);
}

async fn an_undo_takes_the_children_out_again(database: Database) {
    const MAKER: &str = r#"//! Makes orders, takes one away.
on("order.paid");
uses("customer:read", "order:write", "order:read");
fn run(event) {
    create("order", #{ order_no: "m1", customer: event.record, amount: 100 });
    create("order", #{ order_no: "m2", customer: event.record, amount: 1 });
    delete("order", "order_no:1");
}
"#;
    let app = TestApp::on(database).script("maker", MAKER).start().await;
    app.customer("1").await;
    order(&app, "1", "1", "10.00").await;
    app.post("/v1/events", order_paid("e", "1", "1")).await.expect(202);
    app.run_until_idle().await;
    assert_eq!(numbers(&app, "1").await, json!([2, "101.00", null, null, "50.50"]));
    let run = app.runs("automation=maker").await.remove(0)["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200);
    assert_eq!(numbers(&app, "1").await, json!([1, "10.00", "2026-03-01", "2026-03-01", "10.00"]));
    assert!(check(&app).await.is_empty());
}

async fn a_trigger_on_an_order_sees_its_customer_with_it(database: Database) {
    const THIRD: &str = "on(\"order.created\", \"customer.order_count == 3\");\nuses(\"order:read\", \"order.currency:write\", \"customer:read\");\n\
                         fn run(event) { update(event.record, #{ currency: \"third\" }); }\n";
    let app = TestApp::on(database).script("third", THIRD).start().await;
    app.customer("1").await;
    for number in ["1", "2", "3", "4"] {
        order(&app, number, "1", "10.00").await;
        app.run_until_idle().await;
    }
    let mut thirds = app.all("order").await;
    thirds.retain(|order| order["currency"] == "third");
    assert_eq!(thirds.len(), 1);
    assert_eq!(thirds[0]["order_no"], "3");
}

async fn the_watchdog_and_the_command_line_prove_them(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    order(&app, "1", "1", "7.00").await;
    let key = app.folder.path().join("key");
    let at = |arguments: &[&str]| rapport(arguments).to(&app, &key).run();
    let told = at(&["rollup", "check", "customer"]).expect(0).output;
    assert!(told.contains("customer.lifetime_value: right"), "{told}");
    let told = at(&["rollup", "list"]).expect(0).output;
    assert!(told.contains("customer.lifetime_value: sum of amount over order by customer"), "{told}");
    let told = at(&["rollup", "rebuild", "customer.order_count"]).expect(0).output;
    assert!(told.contains("customer.order_count: 0 records changed"), "{told}");
    let told = at(&["rollup", "check", "customer.order_cuont"]).text;
    assert!(told.contains("did you mean `customer.order_count`?"), "{told}");
    let found = app.tick_watchdog(rapport_model::Timestamp::from_micros(1_800_000_000_000_000)).await;
    assert!(found.iter().all(|(check, count)| *check != "rollups" || *count == 0), "{found:?}");
}

async fn killed_when_a_group_was_decided_roll_ups_agree(database: Database) {
    dies_at("commit.decided", database).await;
}

async fn killed_when_a_group_was_durable_roll_ups_agree(database: Database) {
    dies_at("commit.durable", database).await;
}

/// Writes orders until the server has died at `place`; started again, what it counted is what is there.
async fn dies_at(place: &str, database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url, now) = (folder.path().join("data"), database.url(), folder.path().join("now"));
    let environment = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&environment, &data, url.as_deref(), &[]).await;
    for customer in ["1", "2"] {
        server.client.post("/v1/records/customer", json!({ "customer_no": customer })).await.expect(201);
    }
    let mut acknowledged = 0;
    for n in 0..40 {
        if n == 20 {
            std::fs::write(&now, "").unwrap();
        }
        let customer = format!("customer_no:{}", 1 + n % 2);
        let order = json!({ "order_no": n.to_string(), "customer": customer, "amount": format!("{n}.00") });
        match server.client.try_send(Request::new("POST", "/v1/records/order").json(&order)).await {
            Some(reply) => _ = reply.expect(201),
            None => break,
        }
        acknowledged += 1;
    }
    assert!(server.died(), "nothing passed `{place}`");
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    let counted = total(&server.client).await;
    assert!(counted == acknowledged || counted == acknowledged + 1, "{counted} {acknowledged}");
    let found = server.client.post("/v1/rollups/check", json!({})).await.expect(200).json();
    assert!(found["items"].as_array().unwrap().iter().all(|item| item["right"] == true), "{found}");
    assert_eq!(server.stop().await, 0);
}

async fn total(client: &Client) -> i64 {
    let customers = client.get("/v1/records/customer").await.expect(200).json();
    customers["items"].as_array().unwrap().iter().map(|customer| customer["order_count"].as_i64().unwrap()).sum()
}

async fn a_plugin_declares_a_roll_up(database: Database) {
    let rest = "\n[[rollups]]\nobject = \"customer\"\nname = \"visits\"\nfunction = \"count\"\nover = \"interaction\"\n\
                where = \"channel == 'visit'\"\n";
    let app = TestApp::on(database).keeper_plugin("keeper", &["interaction:read"], rest).start().await;
    app.customer("1").await;
    for channel in ["visit", "call", "visit"] {
        let body = json!({ "customer": "customer_no:1", "channel": channel });
        app.post("/v1/records/interaction", body).await.expect(201);
    }
    let counted = async || (app.customer_field("1", "visits").await == 2).then_some(());
    eventually("the visits to be counted", counted).await;
}

/// Reads a formula by its name and in rules, and writes down what it sees.
const FORMULAS: &str = r#"//! Computes when it reads.
formula("customer", "per_year", "order_count * 365 / (days_since(first_order_at) + 1)");
formula("customer", "mean_int", "order_count / (order_count - 1)");
formula("customer", "is_large", "lifetime_value > 100 && mean_int != null");
on("order.created", "customer.is_large");
uses("order:read", "customer:read", "customer.notes:write");
fn run(event) {
    let me = get("customer", event.record.customer);
    let found = find("customer", "is_large && per_year >= 0");
    update(me, #{ notes: `${me.is_large} ${me.mean_int} ${found[0].mean_int} ${count("order", "customer.mean_int == 2")}` });
}
"#;

async fn a_formula_is_computed_when_it_is_read(database: Database) {
    let app = TestApp::on(database).script("formulas", FORMULAS).start().await;
    app.customer("1").await;
    order(&app, "1", "1", "90.00").await;
    app.run_until_idle().await;
    let seen = async || app.get("/v1/records/customer/customer_no:1").await.expect(200).json();
    // A division by zero is null.
    assert_eq!(
        json!([seen().await["mean_int"], seen().await["is_large"], seen().await["notes"]]),
        json!([null, false, null])
    );
    order(&app, "2", "1", "90.00").await;
    app.run_until_idle().await;
    assert_eq!(json!([seen().await["mean_int"], seen().await["is_large"]]), json!([2, true]));
    assert_eq!(seen().await["notes"], "true 2 2 2");
    let listed = app.get("/v1/records/customer?where=is_large&fields=mean_int").await.expect(200).items();
    assert_eq!(json!([listed.len(), listed[0]["mean_int"]]), json!([1, 2]));
    app.get("/v1/records/customer?order=mean_int").await.expect(400);
    let written = app.patch("/v1/records/customer/customer_no:1", json!({ "mean_int": 3 })).await.expect(422).json();
    assert!(written.to_string().contains("`mean_int` is a formula"), "{written}");
    let refused = json!({ "name": "land", "expression": "company.country" });
    let refused = app.post("/v1/objects/customer/formulas", refused).await.expect(422).json();
    assert!(refused.to_string().contains("of another record"), "{refused}");
    let taken = json!({ "name": "country", "expression": "1" });
    app.post("/v1/objects/customer/formulas", taken).await.expect(422);
    let made = json!({ "name": "loud", "expression": "lower(country)" });
    app.post("/v1/objects/customer/formulas", made.clone()).await.expect(201);
    let app = app.restart(|setup| setup).await;
    app.post("/v1/objects/customer/formulas", made).await.expect(201);
    app.patch("/v1/records/customer/customer_no:1", json!({ "country": "FRANCE" })).await.expect(200);
    assert_eq!(app.customer_field("1", "loud").await, "france");
}
