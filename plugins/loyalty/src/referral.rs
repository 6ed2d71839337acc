//! Referrals: a code for who refers, one referrer for who comes, and word of the first order.

use rapport_sdk::{Error, Fields, Json, Record, Reference, events, records};
use serde_json::json;

use crate::actions::{Call, answer};
use crate::books::{ACCOUNT, load_account, reference};
use crate::ledger::Outcome;
use crate::rewards::new_code;

/// The object of referrals: one for each member who came by a code.
pub(crate) const REFERRAL: &str = "loyalty_referral";
/// Letters of a code: short enough to be told.
const LETTERS: u32 = 8;

/// The code by which a member refers others. It stays the same.
pub(crate) fn code(call: Call<'_>) -> Result<Json, Error> {
    let Some(customer) = call.customer("customer")? else { return Ok(answer(Outcome::RejectedUnknown)) };
    let (_, account) = load_account(&customer.id)?;
    let known = account.as_ref().map(|account| account.text("code")).transpose()?.flatten();
    if let Some(code) = known {
        return Ok(json!({ "result": "ok", "code": code }));
    }
    let code = new_code(LETTERS);
    let fields = Fields::new().with("code", code.as_str());
    match account {
        Some(account) => records::update(&account.reference(), &fields)?,
        None => drop(records::create(ACCOUNT, &fields.with("customer", customer.reference()))?),
    }
    Ok(json!({ "result": "ok", "code": code }))
}

/// Notes by whose code a member came. Nobody refers himself, nor comes twice, nor after a first order.
pub(crate) fn refer(call: Call<'_>) -> Result<Json, Error> {
    let owner = records::get(ACCOUNT, &format!("code:{}", call.text("code")?.to_uppercase()))?;
    let (Some(customer), Some(owner)) = (call.customer("customer")?, owner) else {
        return Ok(answer(Outcome::RejectedUnknown));
    };
    let referrer = reference(&owner, "customer")?;
    let Some(other) = records::get("customer", &referrer.id)? else { return Ok(answer(Outcome::RejectedUnknown)) };
    if is_same_person(&customer, &other)? {
        return Ok(json!({ "result": "rejected_self" }));
    }
    if records::get(REFERRAL, &format!("customer:{}", customer.id))?.is_some() {
        return Ok(answer(Outcome::DuplicateIgnored));
    }
    let (account, _) = load_account(&customer.id)?;
    if account.orders > 0 {
        return Ok(json!({ "result": "rejected_late" }));
    }
    let fields = Fields::new().with("customer", customer.reference()).with("referrer", referrer);
    records::create(REFERRAL, &fields.with("code", owner.text("code")?))?;
    Ok(json!({ "result": "ok" }))
}

/// The same record, the same phone, or the same e-mail address, letters' case aside.
fn is_same_person(a: &Record, b: &Record) -> Result<bool, Error> {
    let same = |field: &str| {
        let of = |record: &Record| Ok::<_, Error>(record.text(field)?.map(|text| text.trim().to_lowercase()));
        Ok::<_, Error>(of(a)?.is_some_and(|text| !text.is_empty()) && of(a)? == of(b)?)
    };
    Ok(a.id == b.id || same("email")? || same("phone")?)
}

/// Tells who referred a member, when the member's first order is paid. What it is worth is decided by who hears it.
pub(crate) fn first_order(customer: &Reference, order: &str) -> Result<(), Error> {
    let Some(referral) = records::get(REFERRAL, &format!("customer:{}", customer.id))? else { return Ok(()) };
    if referral.text("first_order")?.is_some() {
        return Ok(());
    }
    let referrer = reference(&referral, "referrer")?;
    records::update(&referral.reference(), &Fields::new().with("first_order", order))?;
    let data = Fields::new().with("referrer", referrer.to_string()).with("order", order);
    events::emit("loyalty.referred", customer, &data)
}
