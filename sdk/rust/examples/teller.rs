//! A plugin that is invoked, and invokes: it decides about credits under a lock, and has a script decide about large orders.

use rapport_sdk::flow::{self, Alternative};
use rapport_sdk::{Error, Event, Fields, Json, OnEvent, Reference, records};
use serde_json::json;

/// Counts money.
struct Teller;

impl OnEvent for Teller {
    fn on_event(event: Event) -> Result<(), Error> {
        match flow::input(&event) {
            Some(input) => decide(&input),
            None => large_order(&event),
        }
    }
}

/// Grants one credit in all.
fn decide(input: &Json) -> Result<(), Error> {
    flow::lock("the credit")?;
    if input["amount"].as_i64().is_none_or(|amount| amount > 500) {
        return Err(Error::new("too_much", "nobody gets that much"));
    }
    let granted = records::find("task").filter("title == 'credit'").count()? == 0;
    if granted {
        records::create("task", &Fields::new().with("title", "credit").with("assignee", "role:sales"))?;
    }
    flow::reply(&json!({ "granted": granted, "amount": input["amount"] }))
}

/// Waits until the customer pays or sends something back, and then has the credit looked at.
fn large_order(event: &Event) -> Result<(), Error> {
    let Some(customer) = event.subject_record()?.read::<Reference>("customer")? else { return Ok(()) };
    let about = |rule: &str| Alternative::new("order.created", rule, Fields::new().with("c", customer.clone()));
    let either = [about("customer == c && amount < 0"), about("customer == c && amount == 1")];
    let Some((index, _)) = flow::wait_any(&either, "7 days")? else { return Ok(()) };
    let note = match flow::invoke("credit-check", &json!({ "index": index })) {
        Ok(result) => format!("{index}: {result}"),
        Err(error) => format!("{index}: {}", error.code()),
    };
    records::update(&customer, &Fields::new().with("notes", note))
}

rapport_sdk::export!(Teller: on_event);
