use serde_json::json;

use super::*;

fn schema(json: Json) -> JsonSchema {
    JsonSchema::read(json).unwrap()
}

fn refused(json: Json) -> String {
    JsonSchema::read(json).unwrap_err().to_string()
}

fn told(json: Json, value: &Json) -> Vec<String> {
    schema(json).misfits(value).iter().map(ToString::to_string).collect()
}

fn redeem() -> Json {
    json!({
        "type": "object",
        "properties": {
            "customer": {"type": "string", "minLength": 1},
            "points": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
            "key": {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 5},
            "rate": {"type": "number", "default": 1.5},
            "at": {"type": ["string", "null"], "format": "date-time"},
            "amount": {"type": "string", "format": "decimal"},
            "day": {"type": "string", "format": "date"},
            "lines": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {"sku": {"type": "string", "default": "x"}}}}
        },
        "required": ["customer", "points"],
        "additionalProperties": false
    })
}

#[test]
fn what_fits_is_not_told_of() {
    let value = json!({
        "customer": "c1", "points": 1000, "key": "a-1", "rate": 2, "at": "2026-03-01T02:00:00Z", "amount": "12.50",
        "day": "2026-03-01", "lines": [{"sku": "s", "more": 1}]
    });
    assert_eq!(told(redeem(), &value), [""; 0]);
}

#[test]
fn what_does_not_fit_is_told_with_its_pointer() {
    for (value, expected) in [
        (json!([]), "expected object, got a list"),
        (json!({"points": 1}), "/customer: it is missing"),
        (json!({"customer": "", "points": 1}), "/customer: expected 1 characters or more, got 0"),
        (json!({"customer": "c", "points": 1.5}), "/points: expected integer, got 1.5"),
        (json!({"customer": "c", "points": "1"}), "/points: expected integer, got \"1\""),
        (json!({"customer": "c", "points": 0}), "/points: expected 1 or more, got 0"),
        (json!({"customer": "c", "points": 1_000_001}), "/points: expected 1000000 or less, got 1000001"),
        (json!({"customer": "c", "points": 1, "key": "A"}), "/key: expected a text like /^[a-z0-9-]+$/, got \"A\""),
        (json!({"customer": "c", "points": 1, "key": "aaaaaa"}), "/key: expected 5 characters or less, got 6"),
        (json!({"customer": "c", "points": 1, "at": 5}), "/at: expected string or null, got 5"),
        (
            json!({"customer": "c", "points": 1, "at": "tomorrow"}),
            "/at: expected an instant such as \"2026-03-01T02:00:00Z\", got \"tomorrow\"",
        ),
        (
            json!({"customer": "c", "points": 1, "amount": "1e5"}),
            "/amount: expected a decimal such as \"12.50\", got \"1e5\"",
        ),
        (
            json!({"customer": "c", "points": 1, "day": "2026-02-30"}),
            "/day: expected a date such as \"2026-03-01\", got \"2026-02-30\"",
        ),
        (json!({"customer": "c", "points": 1, "lines": [{"sku": 1}]}), "/lines/0/sku: expected string, got 1"),
        (json!({"customer": "c", "points": 1, "lines": [{}, {}, {}]}), "/lines: expected 2 items or less, got 3"),
        (
            json!({"customer": "c", "points": 1, "pionts": 1}),
            "/pionts: there is no such property; did you mean `points`?",
        ),
    ] {
        assert_eq!(told(redeem(), &value), [expected], "{value}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_place() {
    for (json, expected) in [
        (json!("string"), "a schema is an object such as {\"type\": \"string\"}"),
        (json!({"typ": "string"}), "unknown keyword `typ`; did you mean `type`?"),
        (
            json!({"properties": {"a": {"oneOf": []}}}),
            "/properties/a: unknown keyword `oneOf`; understood are type, properties",
        ),
        (json!({"type": "text"}), "/type: there is no type `text`: write null, boolean"),
        (json!({"type": 5}), "/type: expected a list of texts"),
        (json!({"properties": []}), "/properties: expected an object of schemas by name"),
        (
            json!({"additionalProperties": false, "properties": {"ab": {}}, "required": ["abc"]}),
            "/required: `abc` is required, and no",
        ),
        (json!({"enum": []}), "/enum: expected a list of the values that fit"),
        (json!({"minimum": "1"}), "/minimum: expected a number"),
        (json!({"minLength": -1}), "/minLength: expected a whole number from 0"),
        (json!({"minLength": 3, "maxLength": 2}), "/minLength: nothing fits"),
        (json!({"pattern": "("}), "/pattern: "),
        (json!({"pattern": "x".repeat(300)}), "/pattern: a pattern has at most 256 bytes"),
        (json!({"pattern": "(((a{1000}){1000}){1000})"}), "/pattern: "),
        (json!({"format": "email"}), "/format: there is no format `email`: write date, date-time, decimal"),
        (json!({"type": "integer", "default": "x"}), "/default: it does not fit its own schema: expected integer"),
        (json!({"items": {"type": "integer", "title": 5}}), "/items/title: expected a text"),
    ] {
        let told = refused(json.clone());
        assert!(told.starts_with(expected), "{json}: {told}");
    }
}

#[test]
fn a_pattern_takes_linear_time() {
    let bomb = json!({"pattern": "^(a+)+$"});
    let value = Json::String(format!("{}b", "a".repeat(20_000)));
    let before = std::time::Instant::now();
    assert_eq!(told(bomb, &value).len(), 1);
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
}

#[test]
fn a_schema_and_a_value_are_bounded() {
    let deep = (0..40).fold(json!({"type": "string"}), |inner, _| json!({"items": inner}));
    assert!(refused(deep).contains("16 levels"));
    let wide: Map<String, Json> = (0..600).map(|i| (format!("p{i}"), json!({}))).collect();
    assert!(refused(json!({"properties": wide})).contains("too large"));
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(told(json!({}), &nested), ["it is nested deeper than 64 levels"]);
    let many: Json = (0..1_000).map(Json::from).collect();
    assert_eq!(told(json!({"items": {"type": "string"}}), &many).len(), 20);
}

#[test]
fn defaults_are_filled_in_at_every_level() {
    let filled = schema(redeem()).with_defaults(json!({"customer": "c", "points": 1, "lines": [{}, {"sku": "y"}]}));
    assert_eq!(filled, json!({"customer": "c", "points": 1, "rate": 1.5, "lines": [{"sku": "x"}, {"sku": "y"}]}));
}

#[test]
fn numbers_compare_exactly_and_one_is_one() {
    assert_eq!(told(json!({"maximum": 9_007_199_254_740_993_i64}), &json!(9_007_199_254_740_992_i64)), [""; 0]);
    assert_eq!(told(json!({"enum": [1, "a"]}), &json!(1.0)), [""; 0]);
    assert_eq!(told(json!({"enum": [1, "a"]}), &json!("b")), ["expected one of 1, \"a\", got \"b\""]);
    assert_eq!(told(json!({"type": "integer"}), &json!(3.0)), [""; 0]);
}

#[test]
fn a_schema_survives_json() {
    let read = schema(redeem());
    let text = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<JsonSchema>(&text).unwrap(), read);
    assert!(read.is_object());
}
