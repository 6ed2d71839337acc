//! Adjustments by hand: with a reason, and above a limit not without somebody else's word.

use rapport_sdk::flow::Question;
use rapport_sdk::{Error, Event, Fields, Json, Reference, Value, clock, context, events, flow, settings};
use serde_json::json;

use crate::actions::{Call, answer, answer_with, by_hand};
use crate::incoming::subject;
use crate::ledger::{Bonus, Outcome, Rules};
use crate::program::{Cause, book, refused};

/// Gives or takes points now, or asks first.
pub(crate) fn adjust(call: Call<'_>) -> Result<Json, Error> {
    let Some(customer) = call.customer("customer")? else { return Ok(answer(Outcome::RejectedUnknown)) };
    let (bonus, customer) = (by_hand(&call)?, customer.reference());
    if bonus.reason.is_empty() {
        return Ok(json!({ "result": "rejected_reason" }));
    }
    if bonus.points == 0 || bonus.valid_days.is_some_and(|days| days < 0) {
        return Ok(answer(Outcome::RejectedAmount));
    }
    if bonus.points.unsigned_abs() > settings::get::<i64>("adjust_limit")?.unsigned_abs() {
        request(&customer, &bonus, call.caller)?;
        return Ok(json!({ "result": "needs_approval" }));
    }
    let now = clock::now();
    let (outcome, account) = book(&customer, call.rules, call.cause, |ledger| ledger.adjust(&bonus, now))?;
    Ok(answer_with(outcome, &account))
}

fn request(customer: &Reference, bonus: &Bonus<'_>, by: &str) -> Result<(), Error> {
    let data = Fields::new()
        .with("points", bonus.points)
        .with("reason", bonus.reason)
        .with("valid_days", bonus.valid_days)
        .with("requested_by", by);
    events::emit("loyalty.adjustment_requested", customer, &data)
}

/// Who asked. This plugin is believed what it wrote down; an event of anybody else is asked for by who sent it.
fn requested_by(event: &Event) -> String {
    match event.data.get("requested_by") {
        Some(Value::Text(by)) if event.actor == format!("automation:{}", context::plugin()) => by.clone(),
        _ => event.actor.clone(),
    }
}

/// Asks whether a large adjustment is right, and books it if somebody other than who wants it says so.
pub(crate) fn decide(event: &Event, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let customer = subject(event)?;
    let text = |name: &str| match event.data.get(name) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let int = |name: &str| match event.data.get(name) {
        Some(Value::Int(n)) => Some(*n),
        _ => None,
    };
    let (reason, by) = (text("reason"), requested_by(event));
    let bonus = Bonus { points: int("points").unwrap_or(0), valid_days: int("valid_days"), reason: &reason };
    let question = Question {
        who: settings::get("adjust_approver")?,
        title: format!("Adjust by {} points? {reason}", bonus.points),
        body: format!("Asked for by {by}, who cannot approve it."),
        choices: vec!["approve".into(), "refuse".into()],
        about: Some(customer.clone()),
        timeout: String::new(),
    };
    let answered = flow::ask(question)?;
    let approved = answered.choice.as_deref() == Some("approve") && answered.by != by;
    if !approved {
        return refused(&customer, Outcome::RejectedAmount, &event.kind, &reason);
    }
    let (reason, now) = (format!("{reason} (approved by {})", answered.by), clock::now());
    let bonus = Bonus { reason: &reason, ..bonus };
    let (outcome, _) = book(&customer, rules, cause, |ledger| ledger.adjust(&bonus, now))?;
    if outcome == Outcome::Ok { Ok(()) } else { refused(&customer, outcome, &event.kind, &reason) }
}
