//! A points program: earning, expiry, redemption, refunds, tiers.
//!
//! `ledger` holds the rules and knows no host; `books` keeps it in records; the rest is what the host calls.

pub mod ledger;

mod actions;
mod adjustments;
mod books;
mod fold;
mod incoming;
mod keys;
mod members;
mod moving;
mod nightly;
mod partner;
mod program;
mod referral;
mod report;
mod rewards;
mod settings;
mod transfer;
mod undo;
mod unfold;

use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Call, Compensator, Error, Event, Json, OnAction, OnEvent, OnRequest, OnSchedule, Undone, context};

use crate::program::Cause;

/// The plugin.
pub struct Loyalty;

impl OnEvent for Loyalty {
    fn on_event(event: Event) -> Result<(), Error> {
        let (rules, run) = (settings::rules()?, context::run().unwrap_or_default());
        let cause = Cause { run: &run, what: &event.kind };
        match event.kind.as_str() {
            "order.paid" => incoming::paid(&event, &rules, cause),
            "order.refunded" => incoming::refunded(&event, &rules, cause),
            "loyalty.bonus" => incoming::bonus(&event, &rules, cause),
            fold::MERGING => fold::merging(&event, &rules, cause),
            "loyalty.adjustment_requested" => adjustments::decide(&event, &rules, cause),
            _ => nightly::settle_named(&event, &rules, cause),
        }
    }
}

impl OnSchedule for Loyalty {
    fn on_schedule(event: Event) -> Result<(), Error> {
        let (rules, run) = (settings::rules()?, context::run().unwrap_or_default());
        nightly::settle(&rules, Cause { run: &run, what: &event.kind })
    }
}

impl OnAction for Loyalty {
    fn on_action(call: Call) -> Result<Json, Error> {
        let (rules, run) = (settings::rules()?, context::run().unwrap_or_default());
        let what = format!("loyalty.{}", call.action);
        let cause = Cause { run: &run, what: &what };
        actions::call(&call.action, actions::Call { input: &call.input, caller: &call.caller, rules: &rules, cause })
    }
}

impl OnRequest for Loyalty {
    fn on_request(request: Request) -> Result<Response, Error> {
        let (rules, run) = (settings::rules()?, context::run().unwrap_or_default());
        partner::earn(&request, &rules, Cause { run: &run, what: "partner" })
    }
}

impl Compensator for Loyalty {
    fn compensate(undone: Undone) -> Result<(), Error> {
        let (rules, run) = (settings::rules()?, context::run().unwrap_or_default());
        undo::compensate(&undone, &rules, Cause { run: &run, what: "undo" })
    }
}

#[cfg(test)]
mod tests;

#[cfg(target_family = "wasm")]
rapport_sdk::export!(Loyalty: on_event, on_schedule, on_action, on_request, compensate);
