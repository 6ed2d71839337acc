//! Objects, fields and event types are data, added while the server runs.

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, event, on_both};

on_both!(
    the_standard_objects_are_there,
    an_object_added_at_run_time_takes_records_of_every_type,
    a_field_added_at_run_time_is_on_old_and_new_records,
    adding_the_same_twice_changes_nothing,
    a_required_field_needs_a_default_once_there_are_records,
    a_name_that_is_none_is_refused,
    an_event_type_added_at_run_time_is_accepted_from_outside,
    definitions_outlive_a_restart,
    a_field_is_indexed_with_others,
    a_field_with_records_is_indexed_with_others_later,
    what_a_field_cannot_be_indexed_with_is_refused_at_its_place,
    another_list_of_fields_is_refused,
);

async fn the_standard_objects_are_there(database: Database) {
    let app = TestApp::start(database).await;
    let objects = app.get("/v1/objects").await.expect(200).items();
    let names: Vec<&str> = objects.iter().map(|o| o["name"].as_str().unwrap()).collect();
    for name in ["customer", "company", "order", "order_line", "interaction", "consent", "task"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(!names.contains(&"api_key") && !names.contains(&"user"), "the host's own objects are hidden: {names:?}");
}

async fn an_object_added_at_run_time_takes_records_of_every_type(database: Database) {
    let app = TestApp::start(database).await;
    let customer = app.customer("1").await;
    let fields = json!([
        { "name": "serial", "type": "text", "unique": true, "required": true },
        { "name": "meters", "type": "integer" },
        { "name": "price", "type": "decimal", "scale": 3 },
        { "name": "active", "type": "boolean", "default": true },
        { "name": "built", "type": "date" },
        { "name": "seen_at", "type": "timestamp", "indexed": true },
        { "name": "colour", "type": "choice", "options": ["red", "blue"] },
        { "name": "owner", "type": "reference", "object": "customer" },
        { "name": "extra", "type": "json" },
    ]);
    app.post("/v1/objects", json!({ "name": "machine", "fields": fields })).await.expect(201);
    let body = json!({
        "serial": "M-1", "meters": -7, "price": "1.250", "built": "2024-02-29", "seen_at": "2026-03-01T02:00:00+01:00",
        "colour": "blue", "owner": customer["id"], "extra": { "a": [1, null] }
    });
    app.post("/v1/records/machine", body).await.expect(201);
    let machine = app.get("/v1/records/machine/serial:M-1").await.expect(200).json();
    assert_eq!(machine["meters"], -7);
    assert_eq!(machine["price"], "1.250");
    assert_eq!(machine["active"], true);
    assert_eq!(machine["built"], "2024-02-29");
    assert_eq!(machine["seen_at"], "2026-03-01T01:00:00Z");
    assert_eq!(machine["colour"], "blue");
    assert_eq!(machine["owner"], customer["id"]);
    assert_eq!(machine["extra"], json!({ "a": [1, null] }));
}

async fn a_field_added_at_run_time_is_on_old_and_new_records(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let field = json!({ "name": "stamps", "type": "integer", "default": 5 });
    app.post("/v1/objects/customer/fields", field).await.expect(201);
    app.customer("2").await;
    assert_eq!(app.customer_field("1", "stamps").await, 5);
    assert_eq!(app.customer_field("2", "stamps").await, 5);
}

async fn adding_the_same_twice_changes_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let object = json!({ "name": "machine", "fields": [{ "name": "serial", "type": "text", "unique": true }] });
    app.post("/v1/objects", object.clone()).await.expect(201);
    app.post("/v1/records/machine", json!({ "serial": "M-1" })).await.expect(201);
    let again = app.post("/v1/objects", object).await;
    assert!(again.status == 200 || again.status == 201, "{}", again.text());
    let other = json!({ "name": "serial", "type": "integer" });
    let refused = app.post("/v1/objects/machine/fields", other).await;
    assert!(refused.status == 409 || refused.status == 422, "another kind under the same name: {}", refused.text());
    assert_eq!(app.get("/v1/records/machine").await.expect(200).items().len(), 1);
}

async fn a_required_field_needs_a_default_once_there_are_records(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let field = json!({ "name": "region", "type": "text", "required": true });
    let refused = app.post("/v1/objects/customer/fields", field).await;
    assert_eq!(refused.status / 100, 4, "{}", refused.text());
    assert!(refused.text().contains("region"), "{}", refused.text());
    let field = json!({ "name": "region", "type": "text", "required": true, "default": "north" });
    app.post("/v1/objects/customer/fields", field).await.expect(201);
    assert_eq!(app.customer_field("1", "region").await, "north");
}

async fn a_name_that_is_none_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    for name in ["", "Machine", "1st", "a b", "x;drop table o_customer", "x\"", "id", "version", &"a".repeat(200)] {
        let field = app.post("/v1/objects/customer/fields", json!({ "name": name, "type": "text" })).await;
        assert_eq!(field.status / 100, 4, "{name}: {}", field.text());
    }
    for name in ["", "api_key", "Machine", "a-b", "x\"; drop table o_customer; --"] {
        let object = app.post("/v1/objects", json!({ "name": name, "fields": [] })).await;
        assert_eq!(object.status / 100, 4, "{name}: {}", object.text());
    }
    app.customer("still here").await;
}

async fn an_event_type_added_at_run_time_is_accepted_from_outside(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let sent = event("1", "visit.ended", "customer/customer_no:1", json!({ "minutes": 5 }));
    app.post("/v1/events", sent.clone()).await.expect(422);
    let kind = json!({ "name": "visit.ended", "fields": [{ "name": "minutes", "type": "integer" }] });
    app.post("/v1/event-types", kind).await.expect(201);
    app.post("/v1/events", sent).await.expect(202);
}

async fn definitions_outlive_a_restart(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/objects", json!({ "name": "machine", "fields": [{ "name": "serial", "type": "text" }] }))
        .await
        .expect(201);
    app.post("/v1/records/machine", json!({ "serial": "M-1" })).await.expect(201);
    let app = app.restart(|setup| setup).await;
    assert_eq!(app.get("/v1/records/machine").await.expect(200).items()[0]["serial"], "M-1");
}

/// Answers, whose field `item` is indexed as `options` say; it stands before what it is indexed with.
fn answers(options: &Value) -> Value {
    let mut item = json!({ "name": "item", "type": "text", "indexed": true });
    item.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let fields = json!([
        item,
        { "name": "customer", "type": "reference", "object": "customer" },
        { "name": "number", "type": "integer" },
        { "name": "body", "type": "json" },
    ]);
    json!({ "name": "answer", "fields": fields })
}

/// What is told of a field of an answer.
async fn told(app: &TestApp, field: &str) -> Value {
    let answer = app.get("/v1/objects/answer").await.expect(200).json();
    answer["fields"].as_array().unwrap().iter().find(|told| told["name"] == field).unwrap().clone()
}

/// Drops an index, which no database does with one that is not there.
async fn dropped(database: Database, app: TestApp, index: &str) -> TestApp {
    let (url, folder, text) = (app.database_url(), app.folder.clone(), format!("drop index \"{index}\""));
    let drop = async || _ = crate::database::execute(database, &folder.path().join("data"), &url, &text).await;
    app.restart_after(drop).await
}

async fn a_field_is_indexed_with_others(database: Database) {
    let app = TestApp::start(database).await;
    let list = json!(["customer", "number"]);
    app.post("/v1/objects", answers(&json!({ "indexed_with": list }))).await.expect(201);
    assert_eq!(told(&app, "item").await["indexed_with"], list);
    assert!(told(&app, "number").await.get("indexed_with").is_none());
    app.post("/v1/records/answer", json!({ "item": "a", "number": 1 })).await.expect(201);
    let channel = json!({ "name": "channel", "type": "text", "indexed_with": ["item"] });
    app.post("/v1/objects/answer/fields", channel).await.expect(201);
    let app = dropped(database, app, "c_answer_item").await;
    let app = dropped(database, app, "c_answer_channel").await;
    assert_eq!(told(&app, "item").await["indexed_with"], list);
    assert_eq!(app.get("/v1/records/answer?where=item%20%3D%3D%20'a'").await.expect(200).items()[0]["number"], 1);
}

async fn a_field_with_records_is_indexed_with_others_later(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/objects", answers(&json!({}))).await.expect(201);
    let long = "x".repeat(900);
    app.post("/v1/records/answer", json!({ "item": long, "number": 1 })).await.expect(201);
    let item = json!({ "name": "item", "type": "text", "indexed": true, "indexed_with": ["number"] });
    app.post("/v1/objects/answer/fields", item.clone()).await.expect(201);
    assert_eq!(told(&app, "item").await["indexed_with"], json!(["number"]));
    // Said again, and said without a list, it stays as it is.
    for again in [item, json!({ "name": "item", "type": "text", "indexed": true })] {
        app.post("/v1/objects/answer/fields", again).await.expect(201);
    }
    let app = dropped(database, app, "c_answer_item").await;
    assert_eq!(told(&app, "item").await["indexed_with"], json!(["number"]));
    assert_eq!(app.get("/v1/records/answer").await.expect(200).items()[0]["item"], long);
}

async fn what_a_field_cannot_be_indexed_with_is_refused_at_its_place(database: Database) {
    let app = TestApp::start(database).await;
    let nine: Vec<String> = (0..9).map(|n| format!("f{n}")).collect();
    for (list, place, why) in [
        (json!(["number", "custmer"]), "/fields/0/indexed_with/1", "no field of `answer`; did you mean `customer`?"),
        (json!(["created_at"]), "/fields/0/indexed_with/0", "`created_at`, which every record has"),
        (json!(["body"]), "/fields/0/indexed_with/0", "`body`, which holds JSON"),
        (json!(["item"]), "/fields/0/indexed_with/0", "`item` itself"),
        (json!(["number", "number"]), "/fields/0/indexed_with/1", "`number` twice"),
        (json!([]), "/fields/0/indexed_with", "must name 1 to 8 fields"),
        (json!(nine), "/fields/0/indexed_with", "9 fields: 8 at most"),
        (json!("number"), "/fields/0", "invalid type"),
        (json!(["x\"; drop table o_customer; --"]), "/fields/0", "name"),
    ] {
        let refused = app.post("/v1/objects", answers(&json!({ "indexed_with": list }))).await.expect(422).json();
        let error = &refused["errors"][0];
        assert_eq!(error["pointer"], place, "{list}: {refused:#}");
        assert!(error["detail"].as_str().unwrap().contains(why), "{list}: {refused:#}");
    }
    let later = |list: Value| json!({ "name": "rank", "type": "text", "indexed_with": list });
    for (list, why) in [(json!(["contry"]), "did you mean `country`?"), (json!(["order_count"]), "a roll-up")] {
        let refused = app.post("/v1/objects/customer/fields", later(list)).await.expect(422).json();
        assert_eq!(refused["errors"][0]["pointer"], "/indexed_with/0", "{refused:#}");
        assert!(refused["errors"][0]["detail"].as_str().unwrap().contains(why), "{refused:#}");
    }
    let formula = json!({ "name": "twice", "expression": "order_count * 2" });
    app.post("/v1/objects/customer/formulas", formula).await.expect(201);
    let refused = app.post("/v1/objects/customer/fields", later(json!(["twice"]))).await.expect(422);
    assert!(refused.text().contains("a formula, which is not kept"), "{}", refused.text());
    let kind = json!({ "name": "visit.ended", "fields": [later(json!(["minutes"])), { "name": "minutes", "type": "integer" }] });
    let refused = app.post("/v1/event-types", kind).await.expect(422);
    assert!(refused.text().contains("an event has no index"), "{}", refused.text());
    app.get("/v1/objects/answer").await.expect(404);
}

async fn another_list_of_fields_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/objects", answers(&json!({ "indexed_with": ["customer", "number"] }))).await.expect(201);
    for other in [json!(["number", "customer"]), json!(["number"])] {
        let refused = app.post("/v1/objects", answers(&json!({ "indexed_with": other }))).await.expect(422);
        let why = "`answer.item` exists already, indexed with customer, number, not with number";
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    assert_eq!(told(&app, "item").await["indexed_with"], json!(["customer", "number"]));
}
