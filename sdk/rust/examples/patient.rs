//! A plugin that waits: it asks about a new order, sleeps, and looks for the customer's next one.

use rapport_sdk::flow::{self, Question};
use rapport_sdk::{Error, Event, Fields, OnEvent, Reference, records};

/// Calls for patience.
struct Patient;

impl OnEvent for Patient {
    fn on_event(event: Event) -> Result<(), Error> {
        let order = event.subject_record()?;
        let number = order.text("order_no")?.unwrap_or_default();
        let Some(customer) = order.read::<Reference>("customer")? else { return Ok(()) };
        let question = Question {
            who: "role:shop-manager".into(),
            title: format!("Call about {number}?"),
            choices: vec!["call".into(), "leave".into()],
            timeout: "2 days".into(),
            ..Question::default()
        };
        let note = |text: &str| records::update(&customer, &Fields::new().with("notes", text));
        let Some(choice) = flow::ask(question)?.choice else { return note("nobody answered") };
        note(&format!("{choice} at once"))?;
        flow::sleep("1 hour")?;
        let same = Fields::new().with("c", customer.clone());
        match flow::wait_for("order.created", "customer == c && amount > 0", &same, "7 days")? {
            Some(next) => {
                note(&format!("came back with {}", next.subject_record()?.text("order_no")?.unwrap_or_default()))
            }
            None => note("did not come back"),
        }
    }
}

rapport_sdk::export!(Patient: on_event);
