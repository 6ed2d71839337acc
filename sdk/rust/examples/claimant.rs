//! A plugin that needs one right: it makes the one call that the notes of a new customer name.

use rapport_sdk::flow::Question;
use rapport_sdk::{
    Error, Event, Fields, OnEvent, Reference, Timestamp, calendars, events, flow, http, messages, records, secrets,
};
use serde_json::json;

/// Claims what it may not have.
struct Claimant;

impl OnEvent for Claimant {
    fn on_event(event: Event) -> Result<(), Error> {
        let customer = event.subject_record()?;
        let (about, order) = (customer.reference(), Reference::new("order", "order_no:there"));
        match customer.text("notes")?.unwrap_or_default().as_str() {
            "read" => drop(records::get("order", "order_no:there")?),
            "find" => drop(records::find("order").filter("amount > 1").run()?),
            "count" => drop(records::find("order").filter("amount > 1").count()?),
            "create" => {
                let fields = Fields::new().with("order_no", "new").with("customer", about);
                records::create("order", &fields)?;
            }
            "write" => records::update(&order, &Fields::new().with("country", "FR"))?,
            "increment" => records::increment(&order, "line_count", 1)?,
            "delete" => drop(records::delete(&order)?),
            "emit" => events::emit("order.paid", &about, &Fields::new().with("order_no", "new"))?,
            "message" => drop(messages::webhook("shop", "order.noticed", &Fields::new())?),
            "http" => drop(http::get("https://partner.example/").call()?),
            "ask" => {
                let title = "May it?".to_owned();
                drop(flow::ask(Question { who: "role:shop-manager".to_owned(), title, ..Question::default() })?);
            }
            "secret" => drop(secrets::hmac_sha256("till", b"x")?),
            "due" => drop(calendars::due("till", Timestamp(0), "4 hours")?),
            "elapsed" => drop(calendars::elapsed("till", Timestamp(0), Timestamp(9))?),
            "invoke" => drop(flow::invoke("echo", &json!(1))?),
            other => return Err(Error::new("unknown", other)),
        }
        Ok(())
    }
}

rapport_sdk::export!(Claimant: on_event);
