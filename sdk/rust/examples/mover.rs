//! A plugin that gives each customer a card, and moves its cards from version to version: from points to cents, and then further.

use rapport_sdk::{Call, Error, Event, Fields, Json, Migrator, OnAction, OnEvent, Step, records, settings};
use serde_json::json;

/// Moves cards.
struct Mover;

impl OnEvent for Mover {
    fn on_event(event: Event) -> Result<(), Error> {
        let number = event.subject_record()?.text("customer_no")?.unwrap_or_default();
        let shape = settings::get::<String>("shape")?;
        records::create("card", &Fields::new().with("number", number).with("points", 1).with("note", shape))?;
        Ok(())
    }
}

impl OnAction for Mover {
    fn on_action(call: Call) -> Result<Json, Error> {
        if call.action == "issue" {
            records::create("card", &Fields::new().with("number", "issued").with("points", 5))?;
        }
        Ok(json!({ "cards": records::find("card").count()? }))
    }
}

impl Migrator for Mover {
    fn migrate(step: Step) -> Result<Option<String>, Error> {
        if step.cursor.as_deref() == Some("stuck") {
            return Ok(step.cursor);
        }
        let page = records::find("card").order("number").run()?;
        let done = |number: &str| step.cursor.as_deref().is_some_and(|cursor| number <= cursor);
        let mut last = None;
        let mut taken = 0;
        for card in page {
            let number = card.text("number")?.unwrap_or_default();
            if done(&number) {
                continue;
            }
            if taken == 2 {
                return Ok(last);
            }
            taken += 1;
            let points = card.int("points")?.unwrap_or_default();
            if points < 0 {
                return Err(Error::new("negative", format!("the card {number} has {points} points")));
            }
            match points {
                0 => drop(records::delete(&card.reference())?),
                666 => return Ok(Some("stuck".into())),
                _ if step.to == "0.2.0" => {
                    records::increment(&card.reference(), "moved", 1)?;
                    records::update(&card.reference(), &Fields::new().with("cents", points * 100))?;
                }
                _ => {
                    records::update(&card.reference(), &Fields::new().with("note", format!("{} cents", points * 100)))?
                }
            }
            last = Some(number);
        }
        Ok(None)
    }
}

rapport_sdk::export!(Mover: on_event, on_action, migrate);
