use super::*;

fn round_trip(value: &Value) -> Value {
    from_dynamic(&to_dynamic(value).unwrap()).unwrap()
}

#[test]
fn a_value_survives_rhai() {
    let all = [
        Value::Null,
        Value::Boolean(true),
        Value::Integer(i64::MIN),
        Value::Decimal("12.50".into()),
        Value::Text("Zoë".into()),
        Value::Date("2026-03-01".into()),
        Value::Timestamp(-5),
        Value::Reference("customer/1".into()),
        Value::Json("{\"a\":[1,null,\"x\"]}".into()),
    ];
    for value in all {
        assert_eq!(format!("{:?}", round_trip(&value)), format!("{value:?}"));
    }
}

#[test]
fn a_decimal_in_json_stays_exact() {
    let map = to_dynamic(&Value::Json("{\"rate\":0.1}".into())).unwrap();
    let map = map.cast::<Map>();
    assert_eq!(map["rate"].as_decimal().unwrap().to_string(), "0.1");
}

#[test]
fn what_cannot_be_stored_is_named() {
    let pointer = Dynamic::from(rhai::FnPtr::new("f").unwrap());
    assert!(from_dynamic(&pointer).unwrap_err().contains("cannot be stored"));
    let nested = Dynamic::from_array(vec![pointer]);
    assert!(from_dynamic(&nested).is_err());
}

#[test]
fn deep_nesting_ends_before_the_stack_does() {
    let mut value = Dynamic::from_int(1);
    for _ in 0..1_000 {
        value = Dynamic::from_array(vec![value]);
    }
    assert_eq!(from_dynamic(&value).unwrap_err(), "nested deeper than 64");
}

#[test]
fn what_the_host_garbles_is_told() {
    assert!(to_dynamic(&Value::Decimal("x".into())).is_err());
    assert!(to_dynamic(&Value::Json("{".into())).is_err());
}

#[test]
fn numbers_beyond_an_integer_become_decimals_or_texts() {
    let big = to_dynamic(&Value::Json("[1e20, 1e300]".into())).unwrap().cast::<rhai::Array>();
    assert_eq!(big[0].as_decimal().unwrap().to_string(), "100000000000000000000");
    assert!(big[1].is_string());
}
