//! Merging customers: everything goes over, whoever knows the one that went comes to the one that stayed, and an undo takes it back.

use std::sync::Arc;

use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::client::Reply;
use crate::harness::{Database, TestApp, event, eventually, on_both, order_paid};
use crate::process::{ServerProcess, rapport};
use crate::segments::{keeps, members};
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    a_merge_and_its_undo_with_roll_ups_points_and_segments,
    points_earned_since_stay_when_a_merge_is_undone,
    the_values_of_fields_are_chosen,
    tags_relations_and_files_go_over,
    what_there_can_be_one_of_stays_that_of_the_survivor,
    whoever_knows_the_one_that_went_comes_to_the_other,
    a_name_that_leads_to_another_is_not_given_away,
    nobody_is_deleted_by_a_name_that_leads_there,
    a_script_comes_to_the_one_that_stayed,
    a_run_that_waits_for_the_one_that_went_is_woken_by_the_other,
    lists_go_over_and_come_back,
    what_was_asked_of_the_log_counts_both_lives,
    the_timeline_has_both_lives,
    a_merge_of_a_merged_record_goes_on,
    a_merge_waits_for_what_it_started,
    a_merge_goes_on_without_a_run_that_was_cancelled,
    a_dry_run_changes_nothing,
    what_cannot_be_merged_is_refused,
    killed_before_a_merge_is_committed,
    killed_after_a_merge_is_committed,
    the_command_line_merges_and_undoes,
);

async fn add(app: &TestApp, number: &str, fields: Value) -> String {
    let mut body = json!({ "customer_no": number });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = app.post("/v1/records/customer", body).await.expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

async fn order(app: &TestApp, number: &str, customer: &str, amount: &str) {
    let body = json!({ "order_no": number, "customer": format!("customer_no:{customer}"), "amount": amount,
                       "ordered_at": "2026-02-01T00:00:00Z" });
    app.post("/v1/records/order", body).await.expect(201);
}

async fn merge(app: &TestApp, survivor: &str, merged: &str, fields: Value) -> Reply {
    let body = json!({ "merged": format!("customer_no:{merged}"), "fields": fields });
    app.post(&format!("/v1/records/customer/customer_no:{survivor}/merge"), body).await
}

async fn merged(app: &TestApp, survivor: &str, other: &str) -> String {
    let done = merge(app, survivor, other, json!({})).await.expect(200).json();
    app.settle().await;
    done["run"].as_str().unwrap().to_owned()
}

async fn undo(app: &TestApp, run: &str) -> Value {
    let done = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json();
    app.settle().await;
    done
}

async fn paid(app: &TestApp, id: &str, customer: &str, amount: &str) {
    let data = json!({ "order": id, "amount": amount });
    app.post("/v1/events", event(id, "order.paid", &format!("customer/customer_no:{customer}"), data))
        .await
        .expect(202);
    app.settle().await;
}

/// What is known of a customer, its points and who is a big spender.
async fn books(app: &TestApp, number: &str) -> Value {
    let customer = app.get(&format!("/v1/records/customer/customer_no:{number}")).await.json();
    let account = app.get(&format!("/v1/records/loyalty_account/customer:customer_no:{number}")).await.json();
    let numbers = ["id", "order_count", "lifetime_value", "first_order_at", "last_order_at", "average_order", "email"];
    let points = ["available", "earned", "balance", "entries", "lots"].map(|name| account[name].clone());
    json!({ "customer": numbers.map(|name| customer[name].clone()), "points": points })
}

async fn verified(app: &TestApp) {
    let found = app.post("/v1/actions/loyalty.verify", json!({})).await.expect(200).json();
    let found = found.get("result").filter(|r| r.is_object()).unwrap_or(&found).clone();
    assert_eq!(found["result"], "ok", "{found}");
}

async fn shop(database: Database) -> (TestApp, Arc<SetClock>) {
    let clock = clock();
    let app = TestApp::on(database)
        .clock(clock.clone())
        .loyalty_plugin("")
        .script("segments/big", &keeps("big", "lifetime_value > 100"))
        .start()
        .await;
    add(&app, "1", json!({ "name": "Ada" })).await;
    add(&app, "2", json!({ "name": "Ada L", "email": "ada@example.com" })).await;
    for (number, customer, amount) in [("a", "1", "60"), ("b", "2", "70"), ("c", "2", "20")] {
        order(&app, number, customer, amount).await;
        paid(&app, number, customer, amount).await;
    }
    (app, clock)
}

async fn a_merge_and_its_undo_with_roll_ups_points_and_segments(database: Database) {
    let (app, _) = shop(database).await;
    let (one, two) = (books(&app, "1").await, books(&app, "2").await);
    assert_eq!((&one["points"][0], &two["points"][0]), (&json!(60), &json!(90)));
    assert_eq!(members(&app, "big").await, Vec::<String>::new());
    let run = merged(&app, "1", "2").await;
    let both = books(&app, "1").await;
    let customer = json!([
        one["customer"][0],
        3,
        "150.00",
        "2026-02-01T00:00:00Z",
        "2026-02-01T00:00:00Z",
        "50.00",
        "ada@example.com"
    ]);
    assert_eq!(both["customer"], customer);
    assert_eq!(both["points"], json!([150, 150, 150, 3, 3]));
    assert_eq!(members(&app, "big").await, ["1"]);
    assert_eq!(app.all("customer").await.len(), 1);
    verified(&app).await;
    undo(&app, &run).await;
    assert_eq!((books(&app, "1").await, books(&app, "2").await), (one, two));
    assert_eq!(members(&app, "big").await, Vec::<String>::new());
    verified(&app).await;
    app.get("/v1/records/merged_record").await.expect(404);
}

async fn points_earned_since_stay_when_a_merge_is_undone(database: Database) {
    let (app, _) = shop(database).await;
    let two = books(&app, "2").await;
    let run = merged(&app, "1", "2").await;
    paid(&app, "d", "1", "5").await;
    undo(&app, &run).await;
    let points = books(&app, "1").await["points"].clone();
    assert_eq!((points[0].clone(), books(&app, "2").await), (json!(65), two));
    verified(&app).await;
}

async fn the_values_of_fields_are_chosen(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/objects/customer/fields", json!({ "name": "score", "type": "integer", "default": 0 }))
        .await
        .expect(201);
    add(&app, "1", json!({ "name": "A", "city": "Ulm", "phone": "1", "score": 3 })).await;
    add(&app, "2", json!({ "name": "B", "city": "Bonn", "country": "France", "score": 4 })).await;
    let fields = json!({ "city": "merged", "country": "survivor", "score": "sum" });
    let done = merge(&app, "1", "2", fields).await.expect(200).json();
    let found = app.get("/v1/records/customer/customer_no:1").await.json();
    let shown = ["name", "city", "phone", "country", "score"].map(|name| found[name].clone());
    assert_eq!(json!(shown), json!(["A", "Bonn", "1", null, 7]));
    let told: Vec<&Value> = done["fields"].as_array().unwrap().iter().map(|field| &field["field"]).collect();
    assert_eq!(json!(told), json!(["city", "score"]));
    for (fields, place) in [
        (json!({ "nme": "merged" }), "/nme"),
        (json!({ "name": "sum" }), "/fields/name"),
        (json!({ "order_count": "merged" }), "/fields/order_count"),
    ] {
        add(&app, "3", json!({})).await;
        let refused = merge(&app, "1", "3", fields).await;
        assert!((400..=422).contains(&refused.status) && refused.text().contains(place), "{}", refused.text());
        app.delete("/v1/records/customer/customer_no:3").await.expect(204);
    }
}

async fn tags_relations_and_files_go_over(database: Database) {
    let app = TestApp::start(database).await;
    for (number, tags) in [("1", json!(["vip"])), ("2", json!(["vip", "press"])), ("3", json!([]))] {
        add(&app, number, json!({ "tags": tags })).await;
    }
    let relation = |kind: &str, from: &str, to: &str| json!({ "kind": kind, "from_customer": format!("customer_no:{from}"), "to_customer": format!("customer_no:{to}") });
    for (kind, from, to) in [("friend", "2", "3"), ("friend", "1", "3"), ("boss", "3", "2"), ("spouse", "1", "2")] {
        app.post("/v1/records/relation", relation(kind, from, to)).await.expect(201);
    }
    let before = app.all("relation").await;
    let run = merged(&app, "1", "2").await;
    assert_eq!(app.customer_field("1", "tags").await, json!(["press", "vip"]));
    // The friend that both have is one friend, and nobody is married to himself.
    let mut kinds: Vec<Value> = app.all("relation").await.iter().map(|relation| relation["kind"].clone()).collect();
    kinds.sort_by_key(Value::to_string);
    assert_eq!(kinds, ["boss", "friend"]);
    undo(&app, &run).await;
    let ends = |all: &[Value]| -> Vec<[Value; 4]> {
        let mut ends: Vec<_> =
            all.iter().map(|r| ["id", "kind", "from_customer", "to_customer"].map(|n| r[n].clone())).collect();
        ends.sort_by_key(|end| end[0].to_string());
        ends
    };
    assert_eq!(ends(&app.all("relation").await), ends(&before));
    assert_eq!(app.customer_field("2", "tags").await, json!(["press", "vip"]));
    assert_eq!(app.customer_field("1", "tags").await, json!(["vip"]));
}

async fn what_there_can_be_one_of_stays_that_of_the_survivor(database: Database) {
    let app = TestApp::start(database).await;
    let card = json!({ "name": "card", "fields": [
        { "name": "owner", "type": "reference", "object": "customer", "required": true, "unique": true },
        { "name": "no", "type": "text" } ] });
    app.post("/v1/objects", card).await.expect(201);
    for number in ["1", "2", "3"] {
        add(&app, number, json!({})).await;
    }
    for number in ["1", "2"] {
        let body = json!({ "owner": format!("customer_no:{number}"), "no": number });
        app.post("/v1/records/card", body).await.expect(201);
    }
    let run = merged(&app, "1", "2").await;
    let cards = app.all("card").await;
    assert_eq!((cards.len(), &cards[0]["no"]), (1, &json!("1")));
    undo(&app, &run).await;
    assert_eq!(app.all("card").await.len(), 2);
    // Who has none takes it over.
    merged(&app, "3", "2").await;
    assert_eq!(app.get("/v1/records/card/owner:customer_no:3").await.json()["no"], "2");
}

async fn whoever_knows_the_one_that_went_comes_to_the_other(database: Database) {
    let app = TestApp::start(database).await;
    let one = add(&app, "1", json!({})).await;
    let two = add(&app, "2", json!({ "email": "b@example.com" })).await;
    let run = merged(&app, "1", "2").await;
    let id = async |path: &str| app.get(path).await.expect(200).json()["id"].clone();
    for key in ["customer_no:2", "email:b@example.com", two.as_str()] {
        assert_eq!(id(&format!("/v1/records/customer/{key}")).await, one, "{key}");
    }
    // An import, a reference by key and by id, an event and a change all reach it, and its own number stays.
    let line = json!({ "customer_no": "2", "city": "Ulm" }).to_string();
    app.ndjson("/v1/records/customer/bulk?key=customer_no", &[line]).await.expect(200);
    app.put("/v1/records/customer/customer_no:2", json!({ "language": "de" })).await.expect(200);
    app.patch(&format!("/v1/records/customer/{two}"), json!({ "country": "France" })).await.expect(200);
    order(&app, "x", "2", "10").await;
    let body = json!({ "order_no": "y", "customer": two, "amount": "5" });
    app.post("/v1/records/order", body).await.expect(201);
    let body = json!({ "order_no": "z", "customer": { "customer_no": "2", "notes": "hi" }, "amount": "5" });
    app.post("/v1/records/order", body).await.expect(201);
    app.post("/v1/events", order_paid("e", "2", "9")).await.expect(202);
    let found = app.get("/v1/records/customer/customer_no:1").await.json();
    let shown = ["city", "language", "country", "order_count", "notes", "customer_no"].map(|name| found[name].clone());
    assert_eq!(json!(shown), json!(["Ulm", "de", "France", 3, "hi", "1"]));
    let log = app.log().await;
    assert_eq!(log.last().unwrap()["subject"], format!("customer/{one}"));
    assert_eq!(app.all("customer").await.len(), 1);
    // The history of the one that went stays its own.
    let history = app.get(&format!("/v1/records/customer/{two}/history")).await.expect(200);
    assert_eq!(history.items().last().unwrap()["type"], "customer.deleted");
    // A restart knows it, too.
    let app = app.restart_after(async || ()).await;
    assert_eq!(app.get("/v1/records/customer/customer_no:2").await.expect(200).json()["id"], one);
    undo(&app, &run).await;
    assert_eq!(app.get("/v1/records/customer/customer_no:2").await.expect(200).json()["id"], two);
}

async fn a_name_that_leads_to_another_is_not_given_away(database: Database) {
    let app = TestApp::start(database).await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    add(&app, "3", json!({})).await;
    merged(&app, "1", "2").await;
    app.post("/v1/records/customer", json!({ "customer_no": "2" })).await.expect(409);
    app.patch("/v1/records/customer/customer_no:3", json!({ "customer_no": "2" })).await.expect(409);
    app.patch("/v1/records/customer/customer_no:1", json!({ "customer_no": "2" })).await.expect(200);
}

async fn nobody_is_deleted_by_a_name_that_leads_there(database: Database) {
    let app = TestApp::start(database).await;
    let one = add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    merged(&app, "1", "2").await;
    let refused = app.delete("/v1/records/customer/customer_no:2").await.expect(409);
    assert!(refused.text().contains(&format!("merged into customer/{one}")), "{}", refused.text());
    app.delete("/v1/records/customer/customer_no:1").await.expect(204);
}

const KNOWS: &str = r#"//! Still knows the other by its id and its number.
on("order.shipped");
uses("customer:read", "customer.notes:write", "order:read", "order:create");
fn run(event) {
    let id = event.record.notes;
    let found = get("customer", id);
    let orders = count("order", "customer == c", #{ c: id });
    let more = create("order", #{ order_no: "s", customer: id, amount: 1 });
    update("customer", "customer_no:2", #{ notes: `${found.customer_no} ${orders} ${get("customer", "customer_no:2").customer_no}` });
}
"#;

async fn a_script_comes_to_the_one_that_stayed(database: Database) {
    let app = TestApp::on(database).script("knows", KNOWS).start().await;
    let two = add(&app, "2", json!({})).await;
    add(&app, "1", json!({ "notes": two })).await;
    order(&app, "x", "2", "10").await;
    merged(&app, "1", "2").await;
    let shipped = event("s", "order.shipped", "customer/customer_no:1", json!({ "order_no": "x" }));
    app.post("/v1/events", shipped).await.expect(202);
    app.settle().await;
    assert_eq!(app.customer_field("1", "notes").await, "1 1 1");
    assert_eq!(app.customer_field("1", "order_count").await, 2);
}

const WAITER: &str = r#"//! Waits for an order of whoever paid.
on("order.paid");
uses("customer:read", "customer.notes:write", "order:read");
fn run(event) {
    let next = wait_for("order.created", "customer == c", #{ c: event.record.id }, "7 days");
    update(event.record, #{ notes: `order ${next.record.order_no}` });
}
"#;

async fn a_run_that_waits_for_the_one_that_went_is_woken_by_the_other(database: Database) {
    let app = TestApp::on(database).script("waiter", WAITER).start().await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    app.post("/v1/events", order_paid("p", "2", "5")).await.expect(202);
    waiting(&app, 1).await;
    merge(&app, "1", "2", json!({})).await.expect(200);
    order(&app, "o", "1", "9").await;
    completed(&app, 2).await;
    assert_eq!(app.customer_field("1", "notes").await, "order o");
}

async fn lists_go_over_and_come_back(database: Database) {
    let list = "//! A list.\nsegment(\"press\", #{ kind: \"manual\" });\n";
    let app = TestApp::on(database).script("segments/press", list).start().await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    app.post("/v1/segments/press/members", json!({ "add": ["customer_no:2"] })).await.expect(200);
    let run = merged(&app, "1", "2").await;
    assert_eq!(members(&app, "press").await, ["1"]);
    undo(&app, &run).await;
    assert_eq!(members(&app, "press").await, ["2"]);
}

async fn what_was_asked_of_the_log_counts_both_lives(database: Database) {
    let clock = clock();
    let rule = "did('page.viewed', {at_least: 3})";
    let app = TestApp::on(database).clock(clock.clone()).script("segments/eager", &keeps("eager", rule)).start().await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    let view = async |id: &str, customer: &str| {
        let view = event(id, "page.viewed", &format!("customer/customer_no:{customer}"), json!({ "url": "/" }));
        app.post("/v1/events", view).await.expect(202);
    };
    view("a", "1").await;
    view("b", "2").await;
    view("c", "2").await;
    assert_eq!(members(&app, "eager").await, Vec::<String>::new());
    later(&clock, "1 day");
    let run = merged(&app, "1", "2").await;
    assert_eq!(members(&app, "eager").await, ["1"]);
    // A fill asks the database the same, and so does the past.
    app.post("/v1/segments/eager/rebuild", json!({})).await;
    assert_eq!(members(&app, "eager").await, ["1"]);
    let then = async |at: &str| {
        let body = json!({ "segment": "eager", "at": at });
        app.post("/v1/segments/as-of", body).await.expect(200).json()["count"].clone()
    };
    assert_eq!(then("2026-03-01T18:00:00Z").await, 0);
    later(&clock, "2 days");
    assert_eq!(then("2026-03-03T06:00:00Z").await, 1);
    undo(&app, &run).await;
    assert_eq!(members(&app, "eager").await, Vec::<String>::new());
    assert_eq!(then("2026-03-03T06:00:00Z").await, 1, "then it was merged");
}

async fn the_timeline_has_both_lives(database: Database) {
    let app = TestApp::start(database).await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    app.post("/v1/events", order_paid("p", "2", "5")).await.expect(202);
    merged(&app, "1", "2").await;
    let page = app.get("/v1/customers/customer_no:1/360").await.expect(200).json();
    let kinds: Vec<&str> =
        page["timeline"]["items"].as_array().unwrap().iter().filter_map(|item| item["type"].as_str()).collect();
    assert!(kinds.contains(&"order.paid") && kinds.contains(&"record.merged"), "{kinds:?}");
}

async fn a_merge_of_a_merged_record_goes_on(database: Database) {
    let app = TestApp::start(database).await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    let three = add(&app, "3", json!({})).await;
    order(&app, "x", "1", "10").await;
    let first = merged(&app, "2", "1").await;
    let second = merged(&app, "3", "2").await;
    let id = async |key: &str| app.get(&format!("/v1/records/customer/customer_no:{key}")).await.json()["id"].clone();
    assert_eq!((id("1").await, id("2").await), (json!(three), json!(three)));
    assert_eq!(app.customer_field("3", "order_count").await, 1);
    let refused = app.post(&format!("/v1/runs/{first}/undo"), json!({ "dry_run": true })).await.expect(409);
    assert!(refused.text().contains("undo that merge first"), "{}", refused.text());
    undo(&app, &second).await;
    undo(&app, &first).await;
    assert_eq!(app.customer_field("1", "order_count").await, 1);
    assert_eq!(app.all("customer").await.len(), 3);
}

const FAILS: &str = r#"//! Has something against it.
on("record.merging");
uses("customer:read", "customer.notes:write");
fn run(event) {
    let gone = get("customer", event.data.merged);
    update(event.record, #{ notes: `after ${gone.customer_no}` });
    if gone.city == "Ulm" { throw "not this one"; }
}
"#;

async fn a_merge_waits_for_what_it_started(database: Database) {
    let app = TestApp::on(database).script("fails", FAILS).configure(|c| c.limits.run_attempts_max = 1).start().await;
    app.expect_dead(2);
    for number in ["1", "2", "3"] {
        add(&app, number, json!({})).await;
    }
    merged(&app, "1", "2").await;
    assert_eq!(app.customer_field("1", "notes").await, "after 2");
    app.patch("/v1/records/customer/customer_no:3", json!({ "city": "Ulm" })).await.expect(200);
    let refused = merge(&app, "1", "3", json!({})).await.expect(409);
    assert!(refused.text().contains("of fails, which `record.merging` started, is dead"), "{}", refused.text());
    assert_eq!(app.all("customer").await.len(), 2);
}

async fn a_merge_goes_on_without_a_run_that_was_cancelled(database: Database) {
    let app = TestApp::on(database).script("fails", FAILS).configure(|c| c.limits.run_attempts_max = 1).start().await;
    app.expect_dead(2);
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({ "city": "Ulm" })).await;
    merge(&app, "1", "2", json!({})).await.expect(409);
    let dead = async |automation: &str| {
        let found = app.get(&format!("/v1/runs?status=dead&automation={automation}")).await.expect(200).items();
        found[0]["id"].as_str().unwrap().to_owned()
    };
    let (before, merging) = (dead("fails").await, dead("rapport/merge").await);
    app.post(&format!("/v1/runs/{before}/cancel"), json!({})).await.expect(200);
    app.post(&format!("/v1/runs/{merging}/retry"), json!({})).await.expect(200);
    app.settle().await;
    assert_eq!(app.all("customer").await.len(), 1);
}

async fn a_dry_run_changes_nothing(database: Database) {
    let app = TestApp::start(database).await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({ "city": "Ulm" })).await;
    order(&app, "x", "2", "10").await;
    let head = app.log().await.len();
    let body = json!({ "merged": "customer_no:2", "dry_run": true });
    let told = app.post("/v1/records/customer/customer_no:1/merge", body).await.expect(200).json();
    assert_eq!(told["moved"], json!({ "order.customer": 1 }));
    assert_eq!(told["names"], json!({ "customer_no": ["\"2\""] }));
    assert_eq!((told["fields"][0]["to"].clone(), &told["run"]), (json!("Ulm"), &Value::Null));
    assert_eq!(app.log().await.len(), head);
}

async fn what_cannot_be_merged_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    let one = add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    merge(&app, "1", "1", json!({})).await.expect(409);
    merge(&app, "1", "9", json!({})).await.expect(404);
    merged(&app, "1", "2").await;
    let again = merge(&app, "1", "2", json!({})).await.expect(409);
    assert!(again.text().contains(&format!("are one record: customer/{one}")), "{}", again.text());
    let body = json!({ "merged": "x" });
    app.post("/v1/records/user/name:owner/merge", body.clone()).await.expect(404);
    app.post("/v1/records/nothing/x/merge", body).await.expect(404);
    let forged = event("f", "record.merged", "customer/customer_no:1", json!({ "merged": "x" }));
    let refused = app.post("/v1/events", forged).await;
    assert!(refused.text().contains("comes from the core alone"), "{}", refused.text());
}

async fn killed_before_a_merge_is_committed(database: Database) {
    killed_at("merge.planned", database).await;
}

async fn killed_after_a_merge_is_committed(database: Database) {
    killed_at("merge.committed", database).await;
}

/// A server that dies at `place` once: its successor merges once, and whole.
async fn killed_at(place: &str, database: Database) {
    let (folder, url) = (tempfile::tempdir().unwrap(), database.url());
    let (data, now) = (folder.path().join("data"), folder.path().join("now"));
    let environment = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&environment, &data, url.as_deref(), &[]).await;
    for number in ["1", "2"] {
        server.client.post("/v1/records/customer", json!({ "customer_no": number })).await.expect(201);
    }
    let order = json!({ "order_no": "x", "customer": "customer_no:2", "amount": "10" });
    server.client.post("/v1/records/order", order).await.expect(201);
    std::fs::write(&now, "").unwrap();
    let body = json!({ "merged": "customer_no:2" });
    let merge = crate::client::Request::new("POST", "/v1/records/customer/customer_no:1/merge").json(&body);
    server.client.try_send(merge).await;
    drop(server);
    std::fs::remove_file(&now).ok();
    let server = ServerProcess::start_in(&[], &data, url.as_deref(), &[]).await;
    let done = async || {
        let customers = server.client.get("/v1/records/customer").await;
        (customers.items().len() == 1 && customers.items()[0]["order_count"] == 1).then_some(())
    };
    eventually("the merge to be done", done).await;
    let events = server.client.get("/v1/events?type=record.merged").await;
    assert_eq!(events.items().len(), 1);
}

async fn the_command_line_merges_and_undoes(database: Database) {
    let app = TestApp::start(database).await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({ "city": "Ulm" })).await;
    order(&app, "x", "2", "10").await;
    let key = app.folder.path().join("key");
    let merge = ["record", "merge", "customer", "customer_no:1", "customer_no:2"];
    let dry = [&merge[..], &["--keep", "city", "--dry-run"]].concat();
    let told = rapport(&dry).to(&app, &key).run().expect(0).output;
    assert!(told.contains("order.customer: 1 would go over") && !told.contains("Ulm"), "{told}");
    let told = rapport(&merge).to(&app, &key).run().expect(0).output;
    assert!(told.contains("city: none → Ulm"), "{told}");
    assert!(told.contains("customer_no \"2\" leads to it"), "{told}");
    let run = told.split("run undo ").nth(1).unwrap().split('`').next().unwrap().to_owned();
    rapport(&["run", "undo", &run]).to(&app, &key).run().expect(0);
    assert_eq!(app.all("customer").await.len(), 2);
}
