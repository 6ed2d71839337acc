use rapport_sdk::{Event, Fields, Plugin, Record, Value, fake};

use super::{TIERS, Tiers};

/// A world with the default thresholds and one customer.
fn customer(tier: Option<&str>) -> Record {
    fake::reset();
    for (_, setting, from) in TIERS {
        fake::set(setting, from);
    }
    fake::insert("customer", Fields::new().with("points", 0).with("tier", Value::from(tier)))
}

fn points_become(customer: &Record, points: impl Into<Value>) -> Event {
    fake::change(customer, Fields::new().with("points", points))
}

fn tier_of(customer: &Record) -> Option<String> {
    fake::read(customer).text("tier").unwrap()
}

#[test]
fn each_threshold_is_reached_exactly() {
    let expected = [
        (-5, "bronze"),
        (0, "bronze"),
        (999, "bronze"),
        (1_000, "silver"),
        (4_999, "silver"),
        (5_000, "gold"),
        (19_999, "gold"),
        (20_000, "platinum"),
        (i64::MAX, "platinum"),
    ];
    for (points, tier) in expected {
        let ada = customer(None);
        Tiers::handle(points_become(&ada, points)).unwrap();
        assert_eq!(tier_of(&ada).as_deref(), Some(tier), "{points}");
    }
}

#[test]
fn a_change_of_tier_is_told_with_from_and_to() {
    let ada = customer(Some("bronze"));
    Tiers::handle(points_become(&ada, 5_000)).unwrap();
    let told = fake::emitted();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind.as_str(), told[0].subject.clone()), ("tier.changed", Some(ada.reference())));
    assert_eq!(told[0].data, Fields::new().with("from", "bronze").with("to", "gold"));
}

#[test]
fn the_first_tier_comes_from_nothing() {
    let ada = customer(None);
    Tiers::handle(points_become(&ada, 1)).unwrap();
    assert_eq!(fake::emitted()[0].data, Fields::new().with("from", Value::Null).with("to", "bronze"));
}

#[test]
fn a_tier_is_lost_with_the_points() {
    let ada = customer(Some("gold"));
    Tiers::handle(points_become(&ada, 4_999)).unwrap();
    assert_eq!(tier_of(&ada).as_deref(), Some("silver"));
}

#[test]
fn a_tier_that_stays_is_neither_written_nor_told() {
    let ada = customer(Some("silver"));
    Tiers::handle(points_become(&ada, 1_500)).unwrap();
    assert_eq!(fake::read(&ada).version, ada.version);
    assert!(fake::emitted().is_empty());
}

#[test]
fn an_operator_can_move_a_threshold() {
    let ada = customer(None);
    fake::set("silver_from", 10);
    Tiers::handle(points_become(&ada, 10)).unwrap();
    assert_eq!(tier_of(&ada).as_deref(), Some("silver"));
}

#[test]
fn a_change_that_takes_the_points_away_altogether_changes_no_tier() {
    let ada = customer(Some("silver"));
    Tiers::handle(points_become(&ada, Value::Null)).unwrap();
    assert!(fake::emitted().is_empty());
}

#[test]
fn points_that_are_no_number_are_an_error_that_says_so() {
    let ada = customer(None);
    let error = Tiers::handle(points_become(&ada, "many")).unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("wrong_kind", false));
}

#[test]
fn it_declares_what_it_uses() {
    let json = Tiers::declare().to_json();
    for part in ["customer.updated", "\"points\"", "customer.tier:write", "emit:tier.changed", "silver_from"] {
        assert!(json.contains(part), "{part}");
    }
}
