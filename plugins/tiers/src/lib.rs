//! Gives every customer a tier by points: bronze, silver, gold, platinum. Says when it changes.

use rapport_sdk::{Error, Event, Fields, OnEvent, Value, events, records, settings};

/// The lowest tier, which every customer with points has.
const BRONZE: &str = "bronze";
/// The other tiers, the highest first, each with the setting that says from how many points.
const TIERS: [(&str, &str); 3] = [("platinum", "platinum_from"), ("gold", "gold_from"), ("silver", "silver_from")];

/// The plugin.
pub struct Tiers;

impl OnEvent for Tiers {
    fn on_event(event: Event) -> Result<(), Error> {
        let Some(points) = event.changed_to::<i64>("points")? else { return Ok(()) };
        let customer = event.subject_record()?;
        let (from, to) = (customer.text("tier")?, tier(points)?);
        if from.as_deref() == Some(to) {
            return Ok(());
        }
        records::update(&customer.reference(), &Fields::new().with("tier", to))?;
        let data = Fields::new().with("from", Value::from(from)).with("to", to);
        events::emit("tier.changed", &customer.reference(), &data)
    }
}

/// The tier that `points` reach. A threshold is asked for only as far as it is needed.
fn tier(points: i64) -> Result<&'static str, Error> {
    for (tier, setting) in TIERS {
        if points >= settings::get::<i64>(setting)? {
            return Ok(tier);
        }
    }
    Ok(BRONZE)
}

rapport_sdk::export!(Tiers: on_event);

#[cfg(test)]
mod tests;
