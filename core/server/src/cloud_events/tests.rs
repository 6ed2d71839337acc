//! What an envelope must look like, and how each mistake is named.

use super::*;
use axum::http::HeaderValue;
use serde_json::json;

fn full() -> Json {
    json!({
        "specversion": "1.0", "id": "e-1", "source": "/shop", "type": "order.paid",
        "subject": "customer/customer_no:17850", "time": "2026-03-01T02:00:00+01:00",
        "datacontenttype": "application/json", "data": {"amount": "12.50"}, "traceparent": "00-ab",
    })
}

fn changed(name: &str, value: Json) -> Result<Incoming, BadEnvelope> {
    let mut event = full();
    event[name] = value;
    from_json(event, SpecVersion::Required)
}

fn without(name: &str) -> Result<Incoming, BadEnvelope> {
    let mut event = full();
    event.as_object_mut().unwrap().remove(name);
    from_json(event, SpecVersion::Required)
}

fn refusal(result: Result<Incoming, BadEnvelope>) -> String {
    match result {
        Err(bad) => format!("{} {}", bad.pointer, bad.message),
        Ok(event) => panic!("`{}` was taken", event.id),
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_str(v).unwrap())).collect()
}

#[test]
fn a_structured_event_is_read_whole() {
    let event = from_json(full(), SpecVersion::Required).unwrap();
    assert_eq!((event.source.as_str(), event.id.as_str(), event.kind.as_str()), ("/shop", "e-1", "order.paid"));
    assert_eq!(event.subject.as_deref(), Some("customer/customer_no:17850"));
    assert_eq!(event.time.unwrap().to_string(), "2026-03-01T01:00:00Z");
    assert_eq!(event.data, json!({"amount": "12.50"}));
}

#[test]
fn missing_attributes_are_named() {
    for name in ["id", "source", "type"] {
        assert_eq!(refusal(without(name)), format!("/{name} `{name}`: is missing"));
    }
    assert_eq!(refusal(without("specversion")), "/specversion `specversion`: must be \"1.0\"");
}

#[test]
fn optional_attributes_may_be_left_out_or_null() {
    let mut event = full();
    for name in ["subject", "time", "data", "datacontenttype"] {
        event[name] = Json::Null;
    }
    let event = from_json(event, SpecVersion::Required).unwrap();
    assert!(event.subject.is_none() && event.time.is_none());
    assert_eq!(event.data, json!({}));
}

#[test]
fn plain_json_may_leave_out_the_version_but_not_claim_another() {
    let mut event = full();
    event.as_object_mut().unwrap().remove("specversion");
    assert!(from_json(event.clone(), SpecVersion::Optional).is_ok());
    event["specversion"] = json!("0.3");
    assert!(from_json(event, SpecVersion::Optional).is_err());
}

#[test]
fn attributes_that_the_server_sets_are_refused_by_name() {
    for name in SERVER_ATTRIBUTES {
        assert_eq!(refusal(changed(name, json!("x"))), format!("/{name} `{name}`: is set by the server"));
    }
}

#[test]
fn a_key_that_is_no_attribute_is_refused_by_name() {
    assert!(refusal(changed("Amount", json!(1))).starts_with("/Amount `Amount`: is no attribute"));
    assert!(refusal(changed("created_at", json!(1))).contains("`created_at`"));
    assert!(refusal(changed("nested", json!({}))).contains("an extension attribute is"));
}

#[test]
fn texts_are_texts_of_a_sane_length_without_control_characters() {
    assert_eq!(refusal(changed("id", json!(7))), "/id `id`: expected a text, got a number");
    assert_eq!(refusal(changed("id", json!(""))), "/id `id`: is empty");
    assert!(refusal(changed("source", json!("a".repeat(513)))).contains("longer than 512 bytes"));
    assert!(refusal(changed("subject", json!("a\r\nb"))).contains("control character"));
}

#[test]
fn a_time_without_a_zone_is_refused() {
    assert!(refusal(changed("time", json!("2026-03-01T02:00:00"))).starts_with("/time "));
}

#[test]
fn data_that_are_not_json_are_refused() {
    assert!(refusal(changed("datacontenttype", json!("text/xml"))).contains("only JSON"));
    assert!(refusal(changed("data_base64", json!("AAAA"))).contains("binary data"));
    assert!(changed("datacontenttype", json!("application/vnd.shop+json; charset=utf-8")).is_ok());
}

#[test]
fn text_with_a_duplicate_key_is_refused() {
    let text = br#"{"specversion":"1.0","id":"1","id":"2","source":"s","type":"a.b"}"#;
    assert!(refusal(from_text(text, SpecVersion::Required)).contains("the key `id` occurs twice"));
    assert!(refusal(from_text(b"[]", SpecVersion::Required)).contains("expected a JSON object"));
}

#[test]
fn binary_mode_reads_headers_and_takes_the_body_for_data() {
    let headers = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-id", "b-1"),
        ("ce-source", "/caf%C3%A9"),
        ("ce-type", "order.paid"),
        ("content-type", "application/json"),
    ]);
    assert!(is_binary(&headers));
    let event = from_headers(&headers, br#"{"amount":1}"#).unwrap();
    assert_eq!((event.source.as_str(), &event.data), ("/café", &json!({"amount": 1})));
    assert_eq!(from_headers(&headers, b"").unwrap().data, json!({}));
    assert!(refusal(from_headers(&headers, b"{")).starts_with("/data "));
}

#[test]
fn a_bad_escape_in_a_header_is_refused() {
    for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
        let headers = headers(&[("ce-specversion", "1.0"), ("ce-id", bad), ("ce-source", "s"), ("ce-type", "a.b")]);
        assert!(refusal(from_headers(&headers, b"")).contains("`id`: is not percent-encoded"), "{bad}");
    }
}

#[test]
fn a_repeated_header_is_refused() {
    let headers = headers(&[("ce-id", "1"), ("ce-id", "2")]);
    assert!(refusal(from_headers(&headers, b"")).contains("occurs twice"));
}
