//! What the program can be asked to do by name. Each answers `{"result": "ok" | …}`; a refusal is an answer, not a failure.

use rapport_sdk::{Decimal, Error, Fields, Json, Record, Reference, Timestamp, clock, events, records};
use serde_json::json;

use crate::ledger::{Account, Bonus, Outcome, Rules};
use crate::program::{Cause, book};
use crate::{adjustments, referral, report, rewards, transfer};

/// A call of an action.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// What it was given.
    pub(crate) input: &'a Json,
    /// Who calls.
    pub(crate) caller: &'a str,
    /// The rules that hold.
    pub(crate) rules: &'a Rules,
    /// Who books, for the entries.
    pub(crate) cause: Cause<'a>,
}

/// Does what the action `name` does.
///
/// # Errors
/// The host's; `invalid` for an input that the action's schema does not allow.
pub(crate) fn call(name: &str, call: Call<'_>) -> Result<Json, Error> {
    match name {
        "redeem" => redeem(call),
        "cancel_redeem" => cancel_redeem(call),
        "adjust" => adjustments::adjust(call),
        "transfer" => transfer::transfer(call),
        "statement" => report::statement(call),
        "verify" => report::verify(call),
        "liability" => report::liability(call),
        "claim" => rewards::claim(call),
        "use_voucher" => rewards::use_voucher(call),
        "referral_code" => referral::code(call),
        "refer" => referral::refer(call),
        _ => Err(Error::new("invalid", format!("there is no action `{name}`"))),
    }
}

impl<'a> Call<'a> {
    /// The text that the input has under `name`; none if it is missing or null.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match &self.input[name] {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text)),
            _ => Err(Error::new("invalid", format!("`{name}` is a text"))),
        }
    }

    /// The text that the input has under `name`.
    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Error> {
        let text = self.optional_text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| Error::new("invalid", format!("`{name}` is missing")))
    }

    /// The whole number that the input has under `name`; none if it is missing or null.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        match &self.input[name] {
            Json::Null => Ok(None),
            number => {
                number.as_i64().map(Some).ok_or_else(|| Error::new("invalid", format!("`{name}` is a whole number")))
            }
        }
    }

    /// The instant that the input has under `name`, such as `2026-03-31T16:00:00Z`; none if it is missing or null.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        let wrong = |e| Error::new("invalid", format!("`{name}` is no instant such as 2026-03-31T16:00:00Z: {e}"));
        let at: jiff::Timestamp = text.parse().map_err(wrong)?;
        Ok(Some(Timestamp(at.as_microsecond())))
    }

    /// The customer that the input names under `name`, by id or by a unique field; none if there is no such customer.
    pub(crate) fn customer(&self, name: &str) -> Result<Option<Record>, Error> {
        let key = self.text(name)?;
        records::get("customer", key.strip_prefix("customer/").unwrap_or(key))
    }
}

/// The answer to what came to `outcome`.
pub(crate) fn answer(outcome: Outcome) -> Json {
    json!({ "result": outcome.as_str() })
}

/// The answer that leaves an account so.
pub(crate) fn answer_with(outcome: Outcome, account: &Account) -> Json {
    json!({ "result": outcome.as_str(), "available": account.amounts.available, "balance": account.balance() })
}

/// Money as text, with two places.
pub(crate) fn money_text(cents: i64) -> String {
    Decimal::new(cents, 2).to_string()
}

fn redeem(call: Call<'_>) -> Result<Json, Error> {
    let Some(customer) = call.customer("customer")? else { return Ok(answer(Outcome::RejectedUnknown)) };
    let (key, points) = (call.text("key")?, call.integer("points")?.unwrap_or(0));
    let now = clock::now();
    let customer = customer.reference();
    let (outcome, account) = book(&customer, call.rules, call.cause, |ledger| ledger.redeem(points, key, now))?;
    let mut answer = answer_with(outcome, &account);
    if outcome == Outcome::Ok {
        answer["points"] = points.into();
        answer["value"] = money_text(call.rules.worth_cents(points)).into();
        redeemed(&customer, points, key)?;
    }
    Ok(answer)
}

/// Tells that points were spent.
pub(crate) fn redeemed(customer: &Reference, points: i64, key: &str) -> Result<(), Error> {
    events::emit("loyalty.redeemed", customer, &Fields::new().with("points", points).with("key", key))
}

fn cancel_redeem(call: Call<'_>) -> Result<Json, Error> {
    let Some(customer) = call.customer("customer")? else { return Ok(answer(Outcome::RejectedUnknown)) };
    let (key, now, customer) = (call.text("redeem")?, clock::now(), customer.reference());
    if rewards::is_used(&customer, key)? {
        return Ok(json!({ "result": "rejected_used" }));
    }
    let (outcome, account) = book(&customer, call.rules, call.cause, |ledger| ledger.cancel_redeem(key, now))?;
    if outcome == Outcome::Ok {
        rewards::take_back(&customer, key)?;
    }
    Ok(answer_with(outcome, &account))
}

/// What an action gives by hand.
pub(crate) fn by_hand<'a>(call: &Call<'a>) -> Result<Bonus<'a>, Error> {
    let (points, valid_days) = (call.integer("points")?.unwrap_or(0), call.integer("valid_days")?);
    Ok(Bonus { points, valid_days, reason: call.optional_text("reason")?.unwrap_or_default().trim() })
}
