//! A service desk: tickets with targets in business time, mail that threads to them, canned answers and macros, a knowledge base.
//!
//! ```text
//! mail, actions, tickets written by hand ─▶ desk (one ticket, its comments) ─▶ clock ─▶ events for scripts
//! articles, their versions ─▶ knowledge base: search, public pages, what might help with a new ticket
//! ```
//! Whatever can be read without a host is read natively in tests: mail, quotes, files, words, texts of articles.

mod actions;
mod archive;
mod attachments;
mod business;
mod canned;
mod clock;
mod comments;
mod desk;
mod files;
mod guard;
mod input;
mod kb;
mod links;
mod macros;
mod mail;
mod merging;
mod open;
mod report;
mod status;
mod targets;
mod ticket;
mod watch;

use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Call, Change, Error, Event, Json, OnAction, OnEvent, OnRequest, Refusal, Validator};

/// The plugin.
pub struct Desk;

impl OnEvent for Desk {
    fn on_event(event: Event) -> Result<(), Error> {
        watch::follow(&event)
    }
}

impl OnAction for Desk {
    fn on_action(call: Call) -> Result<Json, Error> {
        actions::call(&call)
    }
}

impl OnRequest for Desk {
    fn on_request(request: Request) -> Result<Response, Error> {
        match request.route.as_str() {
            "/mail" => mail::post(&request),
            _ => kb::pages::answer(&request),
        }
    }
}

impl Validator for Desk {
    fn validate(change: Change) -> Result<(), Refusal> {
        guard::judge(&change)
    }
}

#[cfg(test)]
mod tests;

#[cfg(target_family = "wasm")]
rapport_sdk::export!(Desk: on_event, on_action, on_request, validate);
