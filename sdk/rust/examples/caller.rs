//! A plugin that calls another system about a paid order, and mails the customer what it answered.

use rapport_sdk::{Error, Event, Fields, OnEvent, http, messages, settings};

/// Calls and tells.
struct Caller;

impl OnEvent for Caller {
    fn on_event(event: Event) -> Result<(), Error> {
        let customer = event.subject_record()?;
        let url: String = settings::get("url")?;
        let answer = http::post(&url).secret("orders").json("{}").call()?;
        if answer.status != 200 {
            return Err(Error::new("refused", format!("answered {}", answer.status)));
        }
        let data = Fields::new().with("answer", answer.text());
        messages::email(&customer.reference(), "answered", &data).map(|_| ())
    }
}

rapport_sdk::export!(Caller: on_event);
