//! Relations of customers and companies: written right or not at all, and walked one step and two.

use serde_json::{Value, json};

use crate::client::{Client, with_query};
use crate::harness::{Database, TestApp, on_both, order_paid};
use crate::process::rapport;

on_both!(
    a_relation_has_one_beginning_and_one_end_wherever_it_is_written,
    a_walk_goes_both_ways_and_names_each_record_once,
    a_walk_of_two_steps_comes_through_circles,
    a_walk_is_narrowed_by_kind_and_leaves_out_what_has_ended,
    a_walk_is_cut_where_it_gets_too_wide,
    a_walk_shows_what_the_key_may_see,
    only_customers_and_companies_have_relations,
    the_command_line_walks,
);

async fn company(app: &TestApp, number: &str) -> Value {
    let body = json!({ "company_no": number, "name": format!("Company {number}") });
    app.post("/v1/records/company", body).await.expect(201).json()
}

async fn people(app: &TestApp, numbers: &[&str]) {
    for number in numbers {
        let body = json!({ "customer_no": number, "name": format!("Customer {number}") });
        app.post("/v1/records/customer", body).await.expect(201);
    }
}

/// Relates two records, each given as `customer:a` or `company:c`.
async fn relate(app: &TestApp, from: &str, kind: &str, to: &str, rest: Value) -> Value {
    let mut body = rest;
    body["kind"] = kind.into();
    for (side, end) in [("from", from), ("to", to)] {
        let (object, number) = end.split_once(':').unwrap();
        body[format!("{side}_{object}")] = format!("{object}_no:{number}").into();
    }
    app.post("/v1/records/relation", body).await.expect(201).json()
}

async fn walk(client: &Client, record: &str, query: &[(&str, &str)]) -> Value {
    let (object, number) = record.split_once(':').unwrap();
    let path = with_query(&format!("/v1/records/{object}/{object}_no:{number}/relations"), query);
    client.get(&path).await.expect(200).json()
}

/// The records found, each with the way to it.
fn ways(found: &Value) -> Vec<String> {
    let way = |item: &Value| {
        let path = item["path"].as_array().unwrap();
        let steps: Vec<String> = path
            .iter()
            .map(|s| format!("{}{}", if s["way"] == "to" { ">" } else { "<" }, s["kind"].as_str().unwrap()))
            .collect();
        format!("{} {} {}", item["step"], item["key"].as_str().unwrap().rsplit_once(':').unwrap().1, steps.join(" "))
    };
    found["items"].as_array().unwrap().iter().map(way).collect()
}

const RELATER: &str = r#"//! Relates without an end.
on("order.paid");
uses("customer:read", "relation:create", "relation:write", "relation:read");
fn run(event) {
    if event.data.order_no == "bad" { create("relation", #{ kind: "owner", from_customer: event.record }); }
    for relation in find("relation", "") { update(relation, #{ to_company: () }); }
}
"#;

async fn a_relation_has_one_beginning_and_one_end_wherever_it_is_written(database: Database) {
    let app = TestApp::on(database).script("relater", RELATER).start().await;
    people(&app, &["a", "b"]).await;
    company(&app, "c").await;
    let end = |field: &str| {
        let object = field.split_once('_').unwrap().1;
        (field.to_owned(), json!(if object == "customer" { "customer_no:a" } else { "company_no:c" }))
    };
    let length = app.log().await.len();
    for fields in [
        &[][..],
        &["from_customer"],
        &["to_company"],
        &["from_customer", "from_company", "to_company"],
        &["from_customer", "to_customer", "to_company"],
    ] {
        let mut body: serde_json::Map<String, Value> = fields.iter().map(|field| end(field)).collect();
        body.insert("kind".into(), "owner".into());
        let refused = app.post("/v1/records/relation", body.into()).await.expect(422);
        assert!(refused.text().contains("write either"), "{fields:?}: {}", refused.text());
    }
    app.post("/v1/records/relation", json!({ "from_customer": "customer_no:a", "to_company": "company_no:c" }))
        .await
        .expect(422);
    assert_eq!(app.log().await.len(), length, "nothing was written");
    let made = relate(&app, "customer:a", "owner", "company:c", json!({})).await;
    let path = format!("/v1/records/relation/{}", made["id"].as_str().unwrap());
    app.patch(&path, json!({ "to_company": null })).await.expect(422);
    app.patch(&path, json!({ "to_customer": "customer_no:b" })).await.expect(422);
    // An end may be exchanged for another in one change.
    app.patch(&path, json!({ "to_company": null, "to_customer": "customer_no:b" })).await.expect(200);
    let line = json!({ "kind": "owner", "from_customer": "customer_no:a" }).to_string();
    let bulk = app.ndjson("/v1/records/relation/bulk?key=id", &[line]).await;
    assert!(bulk.status >= 400 || bulk.json()["refused"] == 1, "{}", bulk.text());
    app.patch(&path, json!({ "to_company": "company_no:c", "to_customer": null })).await.expect(200);
    for number in ["bad", "update"] {
        let mut paid = order_paid(number, "a", "1");
        paid["data"]["order_no"] = number.into();
        app.post("/v1/events", paid).await.expect(202);
    }
    app.expect_dead(2);
    app.run_until_idle().await;
    assert_eq!(app.all("relation").await.len(), 1);
    assert!(app.get(&path).await.expect(200).json()["to_company"].is_string());
}

async fn a_walk_goes_both_ways_and_names_each_record_once(database: Database) {
    let app = TestApp::start(database).await;
    people(&app, &["a", "b", "d"]).await;
    company(&app, "c").await;
    let first = relate(&app, "customer:a", "employee", "company:c", json!({ "since": "2020-01-01" })).await;
    relate(&app, "customer:b", "married", "customer:a", json!({})).await;
    relate(&app, "customer:a", "friend", "customer:b", json!({})).await;
    relate(&app, "customer:a", "himself", "customer:a", json!({})).await;
    let found = walk(&app, "customer:a", &[]).await;
    assert_eq!(ways(&found), ["1 c >employee", "1 b <married"]);
    assert_eq!((&found["cut"], &found["items"][0]["name"]), (&json!(false), &json!("Company c")));
    let step = &found["items"][0]["path"][0];
    assert_eq!((&step["relation"], &step["since"], &step["until"]), (&first["id"], &json!("2020-01-01"), &Value::Null));
    assert_eq!(ways(&walk(&app, "company:c", &[]).await), ["1 a <employee"]);
    assert!(ways(&walk(&app, "customer:d", &[]).await).is_empty());
}

async fn a_walk_of_two_steps_comes_through_circles(database: Database) {
    let app = TestApp::start(database).await;
    people(&app, &["a", "b", "d", "e"]).await;
    company(&app, "c").await;
    relate(&app, "customer:a", "employee", "company:c", json!({})).await;
    relate(&app, "customer:b", "employee", "company:c", json!({})).await;
    relate(&app, "customer:b", "friend", "customer:a", json!({})).await;
    relate(&app, "company:c", "customer", "customer:d", json!({})).await;
    relate(&app, "customer:d", "friend", "customer:e", json!({})).await;
    relate(&app, "customer:e", "friend", "customer:a", json!({})).await;
    let found = walk(&app, "customer:a", &[("steps", "2")]).await;
    assert_eq!(ways(&found), ["1 c >employee", "1 b <friend", "1 e <friend", "2 d >employee >customer"]);
    let found = walk(&app, "company:c", &[("steps", "2")]).await;
    assert_eq!(ways(&found), ["1 a <employee", "1 b <employee", "1 d >customer", "2 e >customer >friend"]);
    app.get("/v1/records/customer/customer_no:a/relations?steps=3").await.expect(400);
    app.get("/v1/records/customer/customer_no:a/relations?steps=x").await.expect(400);
    app.get("/v1/records/customer/customer_no:z/relations").await.expect(404);
}

async fn a_walk_is_narrowed_by_kind_and_leaves_out_what_has_ended(database: Database) {
    let app = TestApp::start(database).await;
    people(&app, &["a", "b", "d", "e"]).await;
    relate(&app, "customer:a", "friend", "customer:b", json!({ "until": "2001-01-01" })).await;
    relate(&app, "customer:a", "friend", "customer:d", json!({ "until": "2999-01-01" })).await;
    relate(&app, "customer:a", "' or 1=1 --", "customer:e", json!({})).await;
    assert_eq!(ways(&walk(&app, "customer:a", &[]).await), ["1 d >friend", "1 e >' or 1=1 --"]);
    assert_eq!(ways(&walk(&app, "customer:a", &[("kind", "friend")]).await), ["1 d >friend"]);
    let ended = walk(&app, "customer:a", &[("kind", "friend"), ("ended", "true")]).await;
    assert_eq!(ways(&ended), ["1 b >friend", "1 d >friend"]);
    assert_eq!(ended["items"][0]["path"][0]["until"], "2001-01-01");
    assert_eq!(ways(&walk(&app, "customer:a", &[("kind", "' or 1=1 --")]).await).len(), 1);
}

async fn a_walk_is_cut_where_it_gets_too_wide(database: Database) {
    let app = TestApp::start(database).await;
    people(&app, &["a"]).await;
    let fields = json!({ "name": "no", "type": "text", "unique": true });
    app.post("/v1/objects/relation/fields", fields).await.expect(201);
    let customers: Vec<String> = (0..1_001).map(|n| json!({ "customer_no": format!("n{n}") }).to_string()).collect();
    app.ndjson("/v1/records/customer/bulk?key=customer_no", &customers).await.expect(200);
    let relations: Vec<String> = (0..1_001)
        .map(|n| {
            let (from, to) = ("customer_no:a", format!("customer_no:n{n}"));
            json!({ "no": n.to_string(), "kind": "knows", "from_customer": from, "to_customer": to }).to_string()
        })
        .collect();
    app.ndjson("/v1/records/relation/bulk?key=no", &relations).await.expect(200);
    let found = walk(&app, "customer:a", &[]).await;
    assert_eq!((found["items"].as_array().unwrap().len(), &found["cut"]), (1_000, &json!(true)));
    let found = walk(&app, "customer:n5", &[("steps", "2")]).await;
    assert_eq!((found["items"].as_array().unwrap().len(), &found["cut"]), (1_000, &json!(true)));
}

async fn a_walk_shows_what_the_key_may_see(database: Database) {
    let app = TestApp::start(database).await;
    people(&app, &["a", "b"]).await;
    company(&app, "c").await;
    relate(&app, "customer:a", "employee", "company:c", json!({})).await;
    relate(&app, "company:c", "customer", "customer:b", json!({})).await;
    let key = async |name: &str, objects: &[&str]| {
        let key = json!({ "name": name, "scopes": ["read"], "objects": objects });
        let made = app.post("/v1/keys", key).await.expect(201).json();
        app.with_key(made["secret"].as_str().unwrap())
    };
    let without = key("without", &["customer", "relation"]).await;
    assert!(ways(&walk(&without, "customer:a", &[("steps", "2")]).await).is_empty(), "not through what is hidden");
    let with = key("with", &["customer", "company", "relation"]).await;
    assert_eq!(ways(&walk(&with, "customer:a", &[("steps", "2")]).await).len(), 2);
    let none = key("none", &["customer"]).await;
    none.get("/v1/records/customer/customer_no:a/relations").await.expect(403);
}

async fn only_customers_and_companies_have_relations(database: Database) {
    let app = TestApp::start(database).await;
    let task = app.post("/v1/records/task", json!({ "title": "x" })).await.expect(201).json();
    let path = format!("/v1/records/task/{}/relations", task["id"].as_str().unwrap());
    let refused = app.get(&path).await;
    assert!(refused.status == 400 && refused.text().contains("has no relations"), "{}", refused.text());
}

async fn the_command_line_walks(database: Database) {
    let app = TestApp::start(database).await;
    let key = app.folder.path().join("key");
    people(&app, &["a", "b"]).await;
    company(&app, "c").await;
    relate(&app, "customer:a", "employee", "company:c", json!({})).await;
    relate(&app, "customer:b", "owner", "company:c", json!({ "until": "2001-01-01" })).await;
    let line = ["relation", "list", "customer/customer_no:a"];
    let told = rapport(&line).to(&app, &key).run().expect(0).output;
    assert!(told.contains("company/company_no:c") && told.contains("employee →"), "{told}");
    let more = [&line[..], &["--steps", "2", "--ended"]].concat();
    let told = rapport(&more).to(&app, &key).run().expect(0).output;
    assert!(told.contains("employee → owner ← (until 2001-01-01)"), "{told}");
    rapport(&["relation", "list", "customer"]).to(&app, &key).run().expect(2);
}
