//! Rewards: things that points buy, as long as there are some, each with a voucher.

use rapport_sdk::{Error, Fields, Json, Record, Reference, clock, random, records};
use serde_json::json;

use crate::actions::{Call, answer, answer_with, redeemed};
use crate::books::reference;
use crate::keys;
use crate::ledger::Outcome;
use crate::program::book;

const REWARD: &str = "loyalty_reward";
/// The object of vouchers.
pub(crate) const VOUCHER: &str = "loyalty_voucher";
/// Letters of codes: none that is taken for another.
const LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// A code of `letters` letters that nobody guesses.
pub(crate) fn new_code(letters: u32) -> String {
    random::bytes(letters).into_iter().map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])).collect()
}

/// Buys a reward with points.
pub(crate) fn claim(call: Call<'_>) -> Result<Json, Error> {
    let Some(customer) = call.customer("customer")? else { return Ok(answer(Outcome::RejectedUnknown)) };
    let reward = records::get(REWARD, &format!("code:{}", call.text("reward")?))?;
    let active = |reward: &Record| Ok::<_, Error>(reward.read("active")?.unwrap_or(true));
    let Some(reward) = reward.map(|r| Ok::<_, Error>(active(&r)?.then_some(r))).transpose()?.flatten() else {
        return Ok(answer(Outcome::RejectedUnknown));
    };
    let (key, now, customer) = (call.text("key")?, clock::now(), customer.reference());
    let stock = reward.int("stock")?;
    let points = reward.int("points")?.unwrap_or(0);
    let known = records::get("loyalty_redemption", &format!("key:{}", keys::own(&customer.id, key)))?;
    if known.is_none() && stock.is_some_and(|left| left <= 0) {
        return Ok(json!({ "result": "rejected_stock" }));
    }
    let (outcome, account) = book(&customer, call.rules, call.cause, |ledger| ledger.redeem(points, key, now))?;
    let mut answer = answer_with(outcome, &account);
    if outcome == Outcome::Ok {
        // The reward was read in this slice: of two who claim the last one, one is tried again and finds none.
        if stock.is_some() {
            records::increment(&reward.reference(), "stock", -1)?;
        }
        let code = issue(&customer, &reward, key, call.cause.run)?;
        redeemed(&customer, points, key)?;
        answer["voucher"] = code.into();
    }
    Ok(answer)
}

fn issue(customer: &Reference, reward: &Record, key: &str, run: &str) -> Result<String, Error> {
    let code = new_code(16);
    let own = keys::own(&customer.id, key);
    if let Some(undone) = records::get(VOUCHER, &format!("redeem_key:{own}"))? {
        records::update(&undone.reference(), &Fields::new().with("redeem_key", None::<String>))?;
    }
    let fields = Fields::new()
        .with("code", code.as_str())
        .with("customer", customer.clone())
        .with("reward", reward.reference())
        .with("redeem_key", own)
        .with("state", "issued")
        .with("issued_at", clock::now())
        .with("run", run);
    records::create(VOUCHER, &fields)?;
    Ok(code)
}

fn voucher_of(customer: &Reference, key: &str) -> Result<Option<Record>, Error> {
    records::get(VOUCHER, &format!("redeem_key:{}", keys::own(&customer.id, key)))
}

/// Whether the voucher of a redemption has been used: then it cannot be cancelled.
pub(crate) fn is_used(customer: &Reference, key: &str) -> Result<bool, Error> {
    let Some(voucher) = voucher_of(customer, key)? else { return Ok(false) };
    Ok(voucher.text("state")?.as_deref() == Some("used"))
}

/// Makes the voucher of a cancelled redemption worthless, and puts its reward back into stock.
pub(crate) fn take_back(customer: &Reference, key: &str) -> Result<(), Error> {
    voucher_of(customer, key)?.map_or(Ok(()), |voucher| cancel(&voucher))
}

/// Makes the vouchers worthless that a run issued.
pub(crate) fn undo(run: &str) -> Result<(), Error> {
    records::find(VOUCHER).filter("run == r").param("r", run).run()?.iter().try_for_each(cancel)
}

fn cancel(voucher: &Record) -> Result<(), Error> {
    if voucher.text("state")?.as_deref() == Some("cancelled") {
        return Ok(());
    }
    records::update(&voucher.reference(), &Fields::new().with("state", "cancelled"))?;
    let reward = reference(voucher, "reward")?;
    match records::get(REWARD, &reward.id)? {
        Some(record) if record.int("stock")?.is_some() => records::increment(&reward, "stock", 1),
        _ => Ok(()),
    }
}

/// Takes a voucher in: once.
pub(crate) fn use_voucher(call: Call<'_>) -> Result<Json, Error> {
    let Some(voucher) = records::get(VOUCHER, &format!("code:{}", call.text("code")?))? else {
        return Ok(answer(Outcome::RejectedUnknown));
    };
    match voucher.text("state")?.as_deref() {
        Some("issued") => {}
        Some("used") => return Ok(answer(Outcome::DuplicateIgnored)),
        _ => return Ok(answer(Outcome::RejectedUnknown)),
    }
    let fields = Fields::new().with("state", "used").with("used_at", clock::now());
    records::update(&voucher.reference(), &fields)?;
    let reward = records::get(REWARD, &reference(&voucher, "reward")?.id)?;
    let code = reward.map(|reward| reward.text("code")).transpose()?.flatten();
    Ok(json!({ "result": "ok", "reward": code, "customer": reference(&voucher, "customer")?.id }))
}
