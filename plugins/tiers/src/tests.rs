use rapport_sdk::{Event, Fields, OnEvent, Record, Value, fake};

use super::Tiers;

/// A world with the rights and the default thresholds of the manifest, and one customer.
fn customer(tier: Option<&str>) -> Record {
    fake::reset();
    fake::load(include_str!("../plugin.toml"));
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
        Tiers::on_event(points_become(&ada, points)).unwrap();
        assert_eq!(tier_of(&ada).as_deref(), Some(tier), "{points}");
    }
}

#[test]
fn a_change_of_tier_is_told_with_from_and_to() {
    let ada = customer(Some("bronze"));
    Tiers::on_event(points_become(&ada, 5_000)).unwrap();
    let told = fake::emitted();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind.as_str(), told[0].subject.clone()), ("tier.changed", Some(ada.reference())));
    assert_eq!(told[0].data, Fields::new().with("from", "bronze").with("to", "gold"));
}

#[test]
fn the_first_tier_comes_from_nothing() {
    let ada = customer(None);
    Tiers::on_event(points_become(&ada, 1)).unwrap();
    assert_eq!(fake::emitted()[0].data, Fields::new().with("from", Value::Null).with("to", "bronze"));
}

#[test]
fn a_tier_is_lost_with_the_points() {
    let ada = customer(Some("gold"));
    Tiers::on_event(points_become(&ada, 4_999)).unwrap();
    assert_eq!(tier_of(&ada).as_deref(), Some("silver"));
}

#[test]
fn a_tier_that_stays_is_neither_written_nor_told() {
    let ada = customer(Some("silver"));
    Tiers::on_event(points_become(&ada, 1_500)).unwrap();
    assert_eq!(fake::read(&ada).version, ada.version);
    assert!(fake::emitted().is_empty());
}

#[test]
fn an_operator_can_move_a_threshold() {
    let ada = customer(None);
    fake::set("silver_from", 10);
    Tiers::on_event(points_become(&ada, 10)).unwrap();
    assert_eq!(tier_of(&ada).as_deref(), Some("silver"));
}

#[test]
fn a_change_that_takes_the_points_away_altogether_changes_no_tier() {
    let ada = customer(Some("silver"));
    Tiers::on_event(points_become(&ada, Value::Null)).unwrap();
    assert!(fake::emitted().is_empty());
}

#[test]
fn points_that_are_no_number_are_an_error_that_says_so() {
    let ada = customer(None);
    let error = Tiers::on_event(points_become(&ada, "many")).unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("wrong_kind", false));
}
