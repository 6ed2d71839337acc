//! Requests that mean harm, or are just wrong: answered with a clear problem, and nothing changes.

use serde_json::json;

use crate::client::Request;
use crate::harness::{Database, TestApp, on_both};

on_both!(
    json_that_means_two_things_is_refused,
    numbers_beyond_every_type_are_refused,
    a_body_larger_than_the_limit_is_refused,
    a_hundred_thousand_headers_are_refused,
    a_slow_body_is_cut_off,
    an_address_or_method_that_does_not_exist_is_a_problem_too,
    every_answer_names_its_request,
    the_description_of_the_api_names_every_route,
    the_docs_page_loads_nothing_from_elsewhere,
    metrics_count_what_happened,
);

async fn json_that_means_two_things_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    let deep = format!("{{\"customer_no\":\"1\",\"name\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        "{\"customer_no\":\"1\",\"customer_no\":\"2\"}",
        "{\"customer_no\":\"1\"} {\"customer_no\":\"2\"}",
        "{\"customer_no\":\"\\ud800\"}",
        "{\"customer_no\":1e400}",
        "{\"customer_no\":\"1\",}",
        "{'customer_no':'1'}",
        "",
        "null",
        "[]",
        "\"x\"",
        "{\"customer_no\":NaN}",
        &deep,
    ] {
        let reply = app.send(Request::new("POST", "/v1/records/customer").body("application/json", body)).await;
        assert!(reply.status == 400 || reply.status == 422, "{}: {}", &body[..body.len().min(60)], reply.text());
        reply.code();
    }
    let invalid =
        Request::new("POST", "/v1/records/customer").body("application/json", b"{\"customer_no\":\"\xff\"}".to_vec());
    assert_eq!(app.send(invalid).await.expect(400).code(), "invalid_json");
    assert_eq!(app.get("/v1/records/customer").await.items().len(), 0);
}

async fn numbers_beyond_every_type_are_refused(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    for (field, number) in [
        ("line_count", "9223372036854775808"),
        ("line_count", "-9223372036854775809"),
        ("line_count", "1e30"),
        ("amount", "1e400"),
        ("amount", "12345678901234567890.12"),
    ] {
        let body = format!("{{\"order_no\":\"1\",\"customer\":{{\"customer_no\":\"1\"}},\"{field}\":{number}}}");
        let reply = app.send(Request::new("POST", "/v1/records/order").body("application/json", body)).await;
        assert!(reply.status == 400 || reply.status == 422, "{number}: {}", reply.text());
    }
    assert_eq!(app.get("/v1/records/order").await.items().len(), 0);
}

async fn a_body_larger_than_the_limit_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    let body = format!("{{\"customer_no\":\"{}\"}}", "x".repeat(2 << 20));
    let reply = app.send(Request::new("POST", "/v1/records/customer").body("application/json", body)).await.expect(413);
    assert_eq!(reply.code(), "too_large");
    let chunked = format!(
        "POST /v1/records/customer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        app.key.as_ref().unwrap()
    );
    let mut bytes = chunked.into_bytes();
    for _ in 0..300 {
        bytes.extend_from_slice(format!("2000\r\n{}\r\n", "x".repeat(0x2000)).as_bytes());
    }
    let answer = app.exchange(&bytes).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    app.customer("alive").await;
}

async fn a_hundred_thousand_headers_are_refused(database: Database) {
    let app = TestApp::start(database).await;
    let mut text = String::from("GET /v1/records/customer HTTP/1.1\r\nhost: x\r\n");
    for i in 0..100_000 {
        text.push_str("x-");
        text.push_str(&i.to_string());
        text.push_str(": y\r\n");
    }
    text.push_str("\r\n");
    let answer = String::from_utf8_lossy(&app.exchange(text.as_bytes()).await.unwrap_or_default()).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    app.customer("alive").await;
}

async fn a_slow_body_is_cut_off(database: Database) {
    let app = TestApp::on(database).configure(|c| c.server.body_ms_max = 300).start().await;
    let head = format!(
        "POST /v1/records/customer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{",
        app.key.as_ref().unwrap()
    );
    let answer = app.exchange(head.as_bytes()).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(app.get("/v1/records/customer").await.items().len(), 0);
}

async fn an_address_or_method_that_does_not_exist_is_a_problem_too(database: Database) {
    let app = TestApp::start(database).await;
    assert_eq!(app.get("/v1/nothing").await.expect(404).code(), "not_found");
    assert_eq!(app.delete("/v1/objects").await.expect(405).code(), "method_not_allowed");
    assert_eq!(app.get("/v1/records/nothing").await.expect(404).code(), "unknown_object");
    let csv = Request::new("POST", "/v1/records/customer").body("text/csv", "a");
    assert_eq!(app.send(csv).await.expect(415).code(), "unsupported_media_type");
    let traversal = app.get("/v1/records/..%2f..%2fetc%2fpasswd").await;
    assert_eq!(traversal.status, 404, "{}", traversal.text());
}

async fn every_answer_names_its_request(database: Database) {
    let app = TestApp::start(database).await;
    let reply = app.send(Request::new("GET", "/v1/nothing").header("x-request-id", "abc-1")).await;
    assert_eq!(reply.header("x-request-id"), Some("abc-1"));
    assert_eq!(reply.json()["request_id"], "abc-1");
    let first = app.get("/healthz").await;
    let second = app.get("/healthz").await;
    assert_ne!(first.header("x-request-id").unwrap(), second.header("x-request-id").unwrap());
}

async fn the_description_of_the_api_names_every_route(database: Database) {
    let app = TestApp::start(database).await;
    let api = app.without_key().get("/openapi.json").await.expect(200).json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "{}", api["openapi"]);
    for path in [
        "/v1/objects",
        "/v1/objects/{object}/fields",
        "/v1/records/{object}",
        "/v1/records/{object}/{key}",
        "/v1/records/{object}/bulk",
        "/v1/events",
        "/v1/events/stream",
        "/v1/automations",
        "/v1/runs",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        let named = api["paths"].as_object().unwrap().keys().any(|p| p == path);
        assert!(named, "{path}");
    }
}

async fn the_docs_page_loads_nothing_from_elsewhere(database: Database) {
    let app = TestApp::start(database).await;
    let page = app.without_key().get("/docs").await.expect(200).text();
    assert!(page.contains("<html"), "{page}");
    for elsewhere in ["src=\"http", "href=\"http", "src='http", "@import", "//cdn"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

async fn metrics_count_what_happened(database: Database) {
    let app = TestApp::start(database).await;
    let head = |text: &str| {
        let line = text.lines().find(|l| l.starts_with("rapport_log_head ")).unwrap_or_else(|| panic!("{text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let before = head(&app.get("/metrics").await.expect(200).text());
    app.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    let after = head(&app.get("/metrics").await.expect(200).text());
    assert!((after - before - 1.0).abs() < f64::EPSILON, "{before} {after}");
}
