//! Records: created, read, changed, deleted; by id and by unique field; never by accident.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Request, with_query};
use crate::harness::{Database, TestApp, on_both};

on_both!(
    a_record_is_created_read_changed_and_deleted,
    a_record_is_named_by_any_unique_field,
    put_by_a_unique_field_creates_and_then_updates,
    unknown_and_system_fields_are_refused_by_name,
    a_value_of_the_wrong_kind_is_refused_with_a_pointer,
    a_required_field_cannot_be_left_out_or_removed,
    a_unique_value_belongs_to_one_record,
    a_reference_must_lead_somewhere,
    a_record_that_others_refer_to_is_not_deleted,
    an_update_with_an_old_version_is_refused,
    an_increment_adds_whatever_others_do,
    fifty_requests_with_one_idempotency_key_have_one_effect,
    an_idempotency_key_with_another_body_is_refused,
    a_change_that_changes_nothing_leaves_no_trace,
    a_nested_reference_is_upserted,
    history_tells_who_changed_what,
    names_in_both_unicode_forms_are_one,
    hostile_text_comes_back_as_it_was,
);

async fn a_record_is_created_read_changed_and_deleted(database: Database) {
    let app = TestApp::start(database).await;
    let reply = app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    assert_eq!(reply.header("etag"), Some("\"1\""));
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/records/customer/{id}");
    let changed = app.patch(&path, json!({ "city": "London" })).await.expect(200);
    assert_eq!((changed.header("etag"), changed.json()["version"].as_i64()), (Some("\"2\""), Some(2)));
    let read = app.get(&path).await.expect(200).json();
    assert_eq!((&read["name"], &read["city"]), (&json!("Ada"), &json!("London")));
    app.delete(&path).await.expect(204);
    assert_eq!(app.get(&path).await.expect(404).code(), "not_found");
    app.delete(&path).await.expect(404);
}

async fn a_record_is_named_by_any_unique_field(database: Database) {
    let app = TestApp::start(database).await;
    let body = json!({ "customer_no": "17850", "email": "ada@example.org" });
    let id = app.post("/v1/records/customer", body).await.expect(201).json()["id"].clone();
    for key in ["customer_no:17850", "email:ada@example.org", id.as_str().unwrap()] {
        assert_eq!(app.get(&format!("/v1/records/customer/{key}")).await.expect(200).json()["id"], id, "{key}");
    }
    app.get("/v1/records/customer/customer_no:1").await.expect(404);
    let refused = app.get("/v1/records/customer/name:Ada").await;
    assert_eq!(refused.status / 100, 4, "a field that is not unique names no record: {}", refused.text());
}

async fn put_by_a_unique_field_creates_and_then_updates(database: Database) {
    let app = TestApp::start(database).await;
    let path = "/v1/records/customer/customer_no:1";
    let first = app.put(path, json!({ "name": "Ada", "city": "London" })).await.expect(201).json();
    let second = app.put(path, json!({ "name": "Ada L." })).await.expect(200).json();
    assert_eq!(first["id"], second["id"]);
    assert_eq!((&second["name"], &second["customer_no"]), (&json!("Ada L."), &json!("1")));
    assert_eq!(app.get("/v1/records/customer").await.items().len(), 1);
}

async fn unknown_and_system_fields_are_refused_by_name(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let before = app.log().await.len();
    for (field, value) in
        [("nmae", json!("x")), ("id", json!("x")), ("version", json!(9)), ("created_at", json!("2020-01-01T00:00:00Z"))]
    {
        let reply = app.patch("/v1/records/customer/customer_no:1", json!({ field: value })).await.expect(422);
        assert!(reply.text().contains(field), "{field}: {}", reply.text());
    }
    let typo = app.patch("/v1/records/customer/customer_no:1", json!({ "nmae": "x" })).await;
    assert!(typo.text().contains("`name`"), "the nearest name is offered: {}", typo.text());
    assert_eq!(app.log().await.len(), before);
}

async fn a_value_of_the_wrong_kind_is_refused_with_a_pointer(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let wrong = [
        ("amount", json!("12.345")),
        ("amount", json!("1e400")),
        ("amount", json!("99999999999999.99")),
        ("ordered_at", json!("yesterday")),
        ("status", json!("payed")),
        ("line_count", json!(9_007_199_254_740_992_i64)),
        ("line_count", json!(1.5)),
        ("customer", json!("nobody")),
        ("currency", json!("a\u{0}b")),
        ("country", json!(7)),
    ];
    for (field, value) in wrong {
        let body = json!({ "order_no": "1", "customer": { "customer_no": "1" }, field: value });
        let reply = app.post("/v1/records/order", body).await.expect(422);
        assert_eq!(reply.json()["errors"][0]["pointer"], format!("/{field}"), "{}", reply.text());
    }
    assert_eq!(app.get("/v1/records/order").await.items().len(), 0);
}

async fn a_required_field_cannot_be_left_out_or_removed(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let refused = app.post("/v1/records/order", json!({ "customer": { "customer_no": "1" } })).await.expect(422);
    assert!(refused.text().contains("order_no"), "{}", refused.text());
    app.post("/v1/records/order", json!({ "order_no": "1", "customer": { "customer_no": "1" } })).await.expect(201);
    app.patch("/v1/records/order/order_no:1", json!({ "customer": null })).await.expect(422);
}

async fn a_unique_value_belongs_to_one_record(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    app.customer("2").await;
    let reply = app.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(409);
    assert_eq!(reply.code(), "unique");
    app.patch("/v1/records/customer/customer_no:2", json!({ "customer_no": "1" })).await.expect(409);
    assert_eq!(app.get("/v1/records/customer").await.items().len(), 2);
}

async fn a_reference_must_lead_somewhere(database: Database) {
    let app = TestApp::start(database).await;
    let nobody = "019a0000-0000-7000-8000-000000000000";
    let reply = app.post("/v1/records/order", json!({ "order_no": "1", "customer": nobody })).await;
    assert_eq!(reply.status / 100, 4, "{}", reply.text());
    assert_eq!(app.get("/v1/records/order").await.items().len(), 0);
}

async fn a_record_that_others_refer_to_is_not_deleted(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    app.post("/v1/records/order", json!({ "order_no": "1", "customer": { "customer_no": "1" } })).await.expect(201);
    assert_eq!(app.delete("/v1/records/customer/customer_no:1").await.expect(409).code(), "referenced");
    app.delete("/v1/records/order/order_no:1").await.expect(204);
    app.delete("/v1/records/customer/customer_no:1").await.expect(204);
}

async fn an_update_with_an_old_version_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let path = "/v1/records/customer/customer_no:1";
    let patch = |version: &str, city: &str| {
        Request::new("PATCH", path).header("if-match", version).json(&json!({ "city": city }))
    };
    app.send(patch("\"1\"", "London")).await.expect(200);
    assert_eq!(app.send(patch("\"1\"", "Paris")).await.expect(412).code(), "version_mismatch");
    app.send(patch("nonsense", "Paris")).await.expect(400);
    app.send(Request::new("DELETE", path).header("if-match", "\"1\"")).await.expect(412);
    assert_eq!(app.customer_field("1", "city").await, "London");
    app.send(Request::new("DELETE", path).header("if-match", "\"2\"")).await.expect(204);
}

async fn an_increment_adds_whatever_others_do(database: Database) {
    let app = TestApp::start(database).await;
    let field = json!({ "name": "stamps", "type": "integer", "default": 0 });
    app.post("/v1/objects/customer/fields", field).await.expect(201);
    app.customer("1").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=40 {
        let client = app.with_key(app.key.as_ref().unwrap());
        let body = json!({ "stamps": { "increment": n } });
        tasks.spawn(async move { client.patch("/v1/records/customer/customer_no:1", body).await.expect(200) });
    }
    tasks.join_all().await;
    assert_eq!(app.customer_field("1", "stamps").await, 820);
}

async fn fifty_requests_with_one_idempotency_key_have_one_effect(database: Database) {
    let app = TestApp::start(database).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = app.with_key(app.key.as_ref().unwrap());
        let request = Request::new("POST", "/v1/records/company")
            .header("idempotency-key", "k-1")
            .json(&json!({ "name": "Analytical" }));
        tasks.spawn(async move { client.send(request).await });
    }
    let replies = tasks.join_all().await;
    let ids: BTreeSet<String> = replies.iter().map(|r| r.clone().expect(201).json()["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "all fifty are told of the same record");
    assert_eq!(app.get("/v1/records/company").await.items().len(), 1);
}

async fn an_idempotency_key_with_another_body_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    let post = |name: &str| {
        Request::new("POST", "/v1/records/company").header("idempotency-key", "k-1").json(&json!({ "name": name }))
    };
    app.send(post("A")).await.expect(201);
    assert_eq!(app.send(post("B")).await.expect(422).code(), "idempotency_key_reused");
    app.send(post("A")).await.expect(201);
    assert_eq!(app.get("/v1/records/company").await.items().len(), 1);
}

async fn a_change_that_changes_nothing_leaves_no_trace(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    let before = app.log().await.len();
    let reply = app.patch("/v1/records/customer/customer_no:1", json!({ "name": "Ada" })).await.expect(200);
    assert_eq!(reply.json()["version"], 1);
    assert_eq!(app.log().await.len(), before);
}

async fn a_nested_reference_is_upserted(database: Database) {
    let app = TestApp::start(database).await;
    let order =
        |n: &str, country: &str| json!({ "order_no": n, "customer": { "customer_no": "9", "country": country } });
    app.post("/v1/records/order", order("1", "France")).await.expect(201);
    app.post("/v1/records/order", order("2", "Norway")).await.expect(201);
    let customers = app.get("/v1/records/customer").await.items();
    assert_eq!(customers.len(), 1);
    assert_eq!(customers[0]["country"], "Norway");
    let orders =
        app.get(&with_query("/v1/records/order", &[("where", "customer.country == 'Norway'")])).await.expect(200);
    assert_eq!(orders.items().len(), 2);
}

async fn history_tells_who_changed_what(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "city": "London" })).await.expect(201);
    app.patch("/v1/records/customer/customer_no:1", json!({ "city": "Paris" })).await.expect(200);
    let events = app.get("/v1/records/customer/customer_no:1/history").await.expect(200).items();
    let kinds: Vec<&Value> = events.iter().map(|e| &e["type"]).collect();
    assert_eq!(kinds, ["customer.created", "customer.updated"]);
    assert_eq!(events[1]["data"]["before"], json!({ "city": "London" }));
    assert_eq!(events[1]["data"]["after"], json!({ "city": "Paris" }));
    let actor = events[1]["actor"].as_str().unwrap();
    assert!(actor.starts_with("user:") || actor.starts_with("key:"), "{actor}");
}

async fn names_in_both_unicode_forms_are_one(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "email": "zo\u{e9}@example.org" })).await.expect(201);
    let body = json!({ "customer_no": "2", "email": "zoe\u{301}@example.org" });
    app.post("/v1/records/customer", body).await.expect(409);
    let found = app.get(&with_query("/v1/records/customer", &[("where", "email == 'zoe\u{301}@example.org'")])).await;
    assert_eq!(found.expect(200).items().len(), 1);
}

async fn hostile_text_comes_back_as_it_was(database: Database) {
    let app = TestApp::start(database).await;
    let texts = [
        "{{7*7}}",
        "<script>alert(1)</script>",
        "a\r\nSet-Cookie: x",
        "\u{1b}[31mred",
        "'; drop table o_customer; --",
        "=1+1",
        "\u{202e}abc",
    ];
    for (i, text) in texts.iter().enumerate() {
        let body = json!({ "customer_no": format!("h{i}"), "name": text });
        app.post("/v1/records/customer", body).await.expect(201);
        assert_eq!(app.customer_field(&format!("h{i}"), "name").await, *text);
    }
}
