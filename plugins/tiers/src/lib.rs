//! Keeps customers' tiers in step with their points.
//!
//! Reacts to a change of `points`: the tier follows from the points after that change, and is written only if it differs
//! from the customer's present one; then `tier.changed` says from what to what. The thresholds are settings.

use rapport_sdk::{Declaration, Error, Event, Plugin, Value, emit, records, setting};

/// The plugin.
pub struct Tiers;

impl Plugin for Tiers {
    fn declare() -> Declaration {
        Declaration::new("Keeps customers' tiers in step with their points")
            .on("customer.created")
            .on("customer.updated")
            .uses("customer:read")
            .uses("customer.tier:write")
            .uses("emit:tier.changed")
    }

    fn handle(event: Event) -> Result<(), Error> {
        let Some(points) = event.after("points").and_then(Value::as_integer) else { return Ok(()) };
        let to = tier_of(points)?;
        let Some(customer) = records::get("customer", &event.subject)? else { return Ok(()) };
        let from = customer.text("tier");
        if from == Some(to) {
            return Ok(());
        }
        records::update("customer", &customer.id, &[("tier", to.into())])?;
        emit("tier.changed", &customer.subject(), &[("from", from.into()), ("to", to.into())])
    }
}

fn tier_of(points: i64) -> Result<&'static str, Error> {
    for (name, threshold) in [("platinum", "platinum_from"), ("gold", "gold_from"), ("silver", "silver_from")] {
        let wrong = || Error::permanent("setting", &format!("the setting `{threshold}` must be a whole number"));
        if points >= setting(threshold)?.as_integer().ok_or_else(wrong)? {
            return Ok(name);
        }
    }
    Ok("bronze")
}

rapport_sdk::export!(Tiers);

#[cfg(test)]
mod tests {
    use super::*;
    use rapport_sdk::fake;

    fn with_tier(tier: Option<&str>) -> rapport_sdk::Record {
        fake::reset();
        fake::set_setting("silver_from", 1_000_i64);
        fake::set_setting("gold_from", 5_000_i64);
        fake::set_setting("platinum_from", 20_000_i64);
        fake::record("customer", &[("customer_no", "ada".into()), ("tier", tier.into())])
    }

    fn tier_at(tier: Option<&str>, points: i64) -> (Option<String>, usize) {
        let ada = with_tier(tier);
        Tiers::handle(fake::changed(&ada, &[("points", Value::Null, points.into())])).unwrap();
        let stored = fake::stored("customer", &ada.id).unwrap();
        (stored.text("tier").map(str::to_owned), fake::emitted().len())
    }

    #[test]
    fn the_tier_follows_from_the_points() {
        for (points, tier) in [
            (-5, "bronze"),
            (0, "bronze"),
            (999, "bronze"),
            (1_000, "silver"),
            (4_999, "silver"),
            (5_000, "gold"),
            (19_999, "gold"),
            (20_000, "platinum"),
        ] {
            assert_eq!(tier_at(None, points), (Some(tier.to_owned()), 1), "{points}");
        }
    }

    #[test]
    fn a_tier_that_stays_is_neither_written_nor_reported() {
        assert_eq!(tier_at(Some("silver"), 1_500), (Some("silver".to_owned()), 0));
    }

    #[test]
    fn a_tier_can_fall() {
        assert_eq!(tier_at(Some("gold"), 10), (Some("bronze".to_owned()), 1));
    }

    #[test]
    fn a_change_of_another_field_is_left_alone() {
        let ada = with_tier(None);
        Tiers::handle(fake::changed(&ada, &[("country", Value::Null, "France".into())])).unwrap();
        assert!(fake::emitted().is_empty());
    }

    #[test]
    fn the_event_says_from_what_to_what() {
        let ada = with_tier(Some("bronze"));
        Tiers::handle(fake::changed(&ada, &[("points", Value::Null, 7_000_i64.into())])).unwrap();
        let event = fake::emitted().remove(0);
        assert_eq!((event.kind.as_str(), event.subject), ("tier.changed", ada.subject()));
        assert_eq!(event.data, [("from".to_owned(), "bronze".into()), ("to".to_owned(), "gold".into())]);
    }
}
