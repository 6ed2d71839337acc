//! Many records at once: streamed in, a bad row refused alone, the same file again changing nothing.

use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, on_both};

on_both!(
    bad_rows_in_the_middle_are_refused_alone,
    the_same_rows_again_change_nothing,
    rows_of_one_request_see_those_before_them,
    a_unique_value_taken_twice_refuses_the_second_row,
    a_required_reference_that_is_empty_refuses_the_row,
    skipped_automations_do_not_react,
    a_preview_keeps_nothing_and_says_what_would_happen,
);

fn order(number: usize, customer: &str) -> Value {
    json!({ "order_no": format!("{number}"), "customer": { "customer_no": customer }, "amount": "10.00" })
}

async fn bad_rows_in_the_middle_are_refused_alone(database: Database) {
    let app = TestApp::start(database).await;
    let mut lines: Vec<String> = (0..1_500).map(|i| order(i, &format!("{}", i % 7)).to_string()).collect();
    lines[10] = "not json".into();
    lines[20] = "[1,2]".into();
    lines[30] = json!({ "order_no": "x", "customer": { "customer_no": "1" }, "amount": "12.345" }).to_string();
    lines[700] = json!({ "order_no": "y", "customer": { "customer_no": "1" }, "nope": 1 }).to_string();
    lines[701] = "{\"order_no\":\"z\",\"order_no\":\"z\"}".into();
    lines[1_499] = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let reply = app.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200).json();
    assert_eq!(
        (&reply["rows"], &reply["created"], &reply["refused"]),
        (&json!(1_500), &json!(1_494), &json!(6)),
        "{}",
        reply["lines"]
    );
    let places: Vec<&Value> = reply["lines"].as_array().unwrap().iter().map(|l| &l["line"]).collect();
    assert_eq!(places, [11, 21, 31, 701, 702, 1_500]);
    assert_eq!(app.get("/v1/records/customer").await.items().len(), 7);
}

async fn the_same_rows_again_change_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let lines: Vec<String> = (0..600).map(|i| order(i, "1").to_string()).collect();
    app.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200);
    let before = app.log().await.len();
    let reply = app.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200).json();
    assert_eq!(reply["unchanged"], 600, "{reply}");
    assert_eq!(app.log().await.len(), before);
}

async fn rows_of_one_request_see_those_before_them(database: Database) {
    let app = TestApp::start(database).await;
    let row = |city: &str| json!({ "company_no": "1", "city": city }).to_string();
    let reply = app.ndjson("/v1/records/company/bulk?key=company_no", &[row("A"), row("B"), row("B"), row("C")]).await;
    let reply = reply.expect(200).json();
    assert_eq!(
        (&reply["created"], &reply["updated"], &reply["unchanged"]),
        (&json!(1), &json!(2), &json!(1)),
        "{reply}"
    );
    assert_eq!(app.get("/v1/records/company/company_no:1").await.expect(200).json()["city"], "C");
}

async fn a_unique_value_taken_twice_refuses_the_second_row(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/records/customer", json!({ "customer_no": "0", "email": "taken@example.org" })).await.expect(201);
    let mut lines: Vec<String> = (1..=300)
        .map(|i| json!({ "customer_no": i.to_string(), "email": format!("{i}@example.org") }).to_string())
        .collect();
    for i in [5, 50, 250] {
        lines[i] = json!({ "customer_no": format!("x{i}"), "email": "taken@example.org" }).to_string();
    }
    lines[100] = json!({ "customer_no": "y", "email": "1@example.org" }).to_string();
    let reply = app.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await.expect(200).json();
    assert_eq!((&reply["created"], &reply["refused"]), (&json!(296), &json!(4)), "{reply}");
    assert!(reply["lines"].as_array().unwrap().iter().all(|l| l["code"] == "unique"), "{reply}");
}

async fn a_required_reference_that_is_empty_refuses_the_row(database: Database) {
    let app = TestApp::start(database).await;
    let empty = json!({ "order_no": "2", "customer": { "customer_no": null, "country": "France" } }).to_string();
    let lines = [order(1, "1").to_string(), empty, json!({ "order_no": "3", "customer": null }).to_string()];
    let reply = app.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200).json();
    assert_eq!((&reply["created"], &reply["refused"]), (&json!(1), &json!(2)), "{reply}");
    assert!(reply["lines"][0]["message"].as_str().unwrap().contains("customer"), "{reply}");
    assert_eq!(app.get("/v1/records/customer").await.items().len(), 1, "a refused row leaves no customer behind");
}

async fn skipped_automations_do_not_react(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let lines = [order(1, "1").to_string()];
    app.ndjson("/v1/records/order/bulk?key=order_no&automations=skip", &lines).await.expect(200);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("1", "points").await, 0);
    assert_eq!(app.runs("").await.len(), 0);
}

async fn a_preview_keeps_nothing_and_says_what_would_happen(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    app.customer("1").await;
    let before = app.log().await.len();
    let lines = [order(1, "1").to_string(), order(2, "9").to_string()];
    let request = Request::new("POST", "/v1/records/order/bulk?key=order_no&automations=preview");
    let reply = app.send(request.body("application/x-ndjson", lines.join("\n"))).await.expect(200).json();
    let points = &reply["preview"][0];
    assert_eq!(
        (&points["automation"], &points["runs"], &points["failures"]),
        (&json!("loyalty/points"), &json!(2), &json!(0)),
        "{reply}"
    );
    assert!(points["writes"].as_i64().unwrap() >= 2, "{reply}");
    app.run_until_idle().await;
    assert_eq!(app.log().await.len(), before, "nothing is kept");
    assert_eq!(app.get("/v1/records/order").await.items().len(), 0);
}
