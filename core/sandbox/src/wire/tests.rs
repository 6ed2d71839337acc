use rapport_model::event::Fields;
use rapport_model::{Name, RecordId};

use super::*;

fn back(value: InValue) -> Result<Value, String> {
    value.into_value()
}

#[test]
fn a_reference_is_read_with_and_without_its_object() {
    let id = RecordId::from_parts(1_000, [7; 10]);
    for text in [id.to_string(), format!("customer/{id}")] {
        assert_eq!(back(InValue::Reference(text)), Ok(Value::Ref(id)));
    }
    assert!(back(InValue::Reference("customer/".into())).is_err());
}

#[test]
fn text_from_a_guest_is_brought_into_nfc() {
    assert_eq!(back(InValue::Text("e\u{301}".into())), Ok(Value::text("\u{e9}")));
}

#[test]
fn what_does_not_read_is_named_in_brief() {
    let long = "x".repeat(1_000_000);
    let message = back(InValue::Decimal(long)).unwrap_err();
    assert!(message.len() < 100, "{message}");
    for bad in ["NaN", "1e400", "", "0x10", "99999999999999999999999999999999999999"] {
        assert!(back(InValue::Decimal(bad.into())).is_err(), "{bad}");
    }
    for bad in ["2026-13-01", "yesterday", "2026-02-30"] {
        assert!(back(InValue::Date(bad.into())).is_err(), "{bad}");
    }
}

#[test]
fn json_that_is_nested_too_deeply_is_refused_without_a_crash() {
    assert!(back(InValue::Json("[".repeat(100_000))).is_err());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(back(InValue::Json(deep)).is_err());
}

#[test]
fn an_instant_out_of_range_is_moved_into_it() {
    assert_eq!(back(InValue::Timestamp(i64::MAX)), Ok(Value::Time(Timestamp::from_micros(i64::MAX))));
}

#[test]
fn a_field_that_is_wrong_is_named() {
    let fields = vec![
        InField { name: "a".into(), value: InValue::Integer(1) },
        InField { name: "b".into(), value: InValue::Date("x".into()) },
    ];
    assert!(into_fields(fields).unwrap_err().starts_with("field `b`: "));
}

#[test]
fn a_reference_in_an_event_without_a_record_goes_without_its_object() {
    let id = RecordId::from_parts(1_000, [7; 10]);
    let fields: Fields = vec![(Name::new("customer").unwrap(), Value::Ref(id))];
    let out = out_fields(&fields, None);
    assert!(matches!(&out[0].value, OutValue::Reference(t) if *t == id.to_string()));
}

#[test]
fn bytes_grow_with_what_is_carried() {
    let field = |text: &str| InField { name: "n".into(), value: InValue::Text(text.into()) };
    assert_eq!(in_bytes(&[field("abcde")]) - in_bytes(&[field("")]), 5);
    assert_eq!(in_bytes(&[field(""), field("")]), 2 * in_bytes(&[field("")]));
    assert!(in_bytes(&[field("")]) > 0, "an empty field costs too");
}
