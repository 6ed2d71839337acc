//! What is taken from a request, and what is refused.

use super::*;
use axum::http::{HeaderName, HeaderValue, Request};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn parts(path: &str, pairs: &[(&'static str, &str)]) -> Parts {
    let mut parts = Request::post(path).body(()).unwrap().into_parts().0;
    parts.headers = headers(pairs);
    parts
}

#[test]
fn a_key_is_taken_from_the_bearer_scheme_alone() {
    assert_eq!(bearer(&headers(&[("authorization", "Bearer abc")])).unwrap(), "abc");
    assert_eq!(bearer(&headers(&[("authorization", "bearer  abc ")])).unwrap(), "abc");
    for bad in ["", "abc", "Basic abc", "Bearerabc"] {
        assert_eq!(bearer(&headers(&[("authorization", bad)])).unwrap_err().code(), "unauthenticated", "{bad}");
    }
    assert_eq!(bearer(&HeaderMap::new()).unwrap_err().code(), "unauthenticated");
}

#[test]
fn a_limit_beyond_the_greatest_page_is_refused_with_the_greatest_named() {
    assert_eq!(page_rows(None).unwrap(), 50);
    assert_eq!(page_rows(Some("1000")).unwrap(), 1000);
    for bad in ["1000000000", "1001", "0", "-1", "", "ten", "99999999999999999999"] {
        let problem = page_rows(Some(bad)).unwrap_err();
        assert_eq!((problem.code(), problem.status().as_u16()), ("invalid_query", 400), "{bad}");
        assert!(problem.detail().contains("1 to 1000"), "{bad}");
    }
}

#[test]
fn if_match_is_one_version_in_quotes() {
    assert_eq!(if_match(&headers(&[("if-match", "\"3\"")])).unwrap(), Some(3));
    assert_eq!(if_match(&headers(&[("if-match", "*")])).unwrap(), None);
    assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
    for bad in ["3", "\"\"", "\"-3\"", "W/\"3\"", "\"3\", \"4\"", "\"99999999999999999999\"", "\"+3\""] {
        assert_eq!(if_match(&headers(&[("if-match", bad)])).unwrap_err().code(), "invalid_header", "{bad}");
    }
    assert!(if_match(&headers(&[("if-match", "\"3\""), ("if-match", "\"4\"")])).is_err());
}

#[test]
fn an_idempotency_key_is_short_and_printable() {
    let key = |value: &str| idempotency_key(&headers(&[("idempotency-key", value)]));
    assert_eq!(key("order-1").unwrap(), Some("order-1".into()));
    assert!(key(&"a".repeat(255)).is_ok());
    for bad in ["", " ", &"a".repeat(256)] {
        assert_eq!(key(bad).unwrap_err().code(), "invalid_header");
    }
    assert!(idempotency_key(&headers(&[("idempotency-key", "a"), ("idempotency-key", "b")])).is_err());
    assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
}

#[test]
fn a_fingerprint_tells_requests_apart() {
    let one = fingerprint(&parts("/v1/records/customer", &[]), b"{}");
    assert_eq!(one, fingerprint(&parts("/v1/records/customer", &[("idempotency-key", "k")]), b"{}"));
    assert_ne!(one, fingerprint(&parts("/v1/records/customer", &[]), b"{ }"));
    assert_ne!(one, fingerprint(&parts("/v1/records/company", &[]), b"{}"));
    assert_ne!(one, fingerprint(&parts("/v1/records/customer", &[("if-match", "\"1\"")]), b"{}"));
}

#[test]
fn a_media_type_is_read_without_its_parameters() {
    let kind = |value: &str| media_type(&headers(&[("content-type", value)]));
    assert_eq!(kind("Application/JSON; charset=UTF-8").unwrap(), "application/json");
    assert_eq!(media_type(&HeaderMap::new()).unwrap(), "");
    assert_eq!(kind("application/json; charset=latin1").unwrap_err().code(), "unsupported_media_type");
}

#[test]
fn another_media_type_is_refused_and_none_is_taken() {
    let want = ["application/x-ndjson"];
    assert!(expect_media(&HeaderMap::new(), &want).is_ok());
    assert!(expect_media(&headers(&[("content-type", "application/x-ndjson")]), &want).is_ok());
    let problem = expect_media(&headers(&[("content-type", "text/csv")]), &want).unwrap_err();
    assert_eq!((problem.code(), problem.status().as_u16()), ("unsupported_media_type", 415));
    assert!(problem.detail().contains("application/x-ndjson"));
}
