//! Points from one member to another.

use rapport_sdk::{Error, Fields, Json, clock, records};
use serde_json::json;

use crate::actions::{Call, answer, answer_with};
use crate::keys;
use crate::ledger::Outcome;
use crate::program::book;

/// The object of transfers: one for each key of a giver.
pub(crate) const TRANSFER: &str = "loyalty_transfer";

/// Passes points on. Both accounts are booked in one slice.
pub(crate) fn transfer(call: Call<'_>) -> Result<Json, Error> {
    let (Some(from), Some(to)) = (call.customer("from")?, call.customer("to")?) else {
        return Ok(answer(Outcome::RejectedUnknown));
    };
    if from.id == to.id {
        return Ok(json!({ "result": "rejected_self" }));
    }
    let (key, points, now) = (call.text("key")?, call.integer("points")?.unwrap_or(0), clock::now());
    let own = keys::own(&from.id, key);
    if records::get(TRANSFER, &format!("key:{own}"))?.is_some() {
        return Ok(answer(Outcome::DuplicateIgnored));
    }
    let (from, to) = (from.reference(), to.reference());
    let ((outcome, moved), account) =
        book(&from, call.rules, call.cause, |ledger| ledger.give(points, (key, &to.id), now))?;
    if outcome == Outcome::Ok {
        book(&to, call.rules, call.cause, |ledger| ledger.receive(&moved, (key, &from.id), now))?;
        let fields = Fields::new().with("key", own).with("customer", from).with("receiver", to).with("points", points);
        records::create(TRANSFER, &fields.with("run", call.cause.run))?;
    }
    Ok(answer_with(outcome, &account))
}
