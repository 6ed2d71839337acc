//! What time does, booked also where nobody asks: points that ripen and expire, tiers that end, warnings.
//!
//! The books are right without it, since every operation settles its account first. It keeps what the records show up to
//! date, and tells members. A run settles a bounded number of accounts and lots; where there are more, they are shared out to
//! runs of their own by the event `loyalty.due`.

use rapport_sdk::{Error, Event, Fields, Json, Record, Reference, Timestamp, Value, clock, events, records};

use crate::books::{ACCOUNT, reference};
use crate::ledger::{LOTS_PER_OPERATION_MAX, Rules, Settled, Warning};
use crate::program::{Cause, book};

/// Accounts of one run at most.
const ACCOUNTS_MAX: u32 = 50;
/// Lots that one run settles at most: each is a host call and a write.
const LOTS_MAX: usize = LOTS_PER_OPERATION_MAX;
/// Accounts that are read at a time to be shared out, and how often.
const PAGE_ROWS: u32 = 1_000;
const PAGES_MAX: usize = 9;
/// Warnings to one member in one run at most.
const WARNINGS_MAX: usize = 40;

/// Settles what is due, or, if that is more than one run should do, has it settled by runs of their own.
pub(crate) fn settle(rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let due = due(clock::now()).order("next_due").limit(ACCOUNTS_MAX + 1).run()?;
    if due.len() > ACCOUNTS_MAX as usize { share_out() } else { settle_these(&due, rules, cause) }
}

/// Settles the accounts that `event` names.
pub(crate) fn settle_named(event: &Event, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let Some(Value::Json(Json::Array(ids))) = event.data.get("accounts") else { return Ok(()) };
    let mut accounts = Vec::new();
    for id in ids.iter().filter_map(Json::as_str) {
        accounts.extend(records::get(ACCOUNT, id)?);
    }
    settle_these(&accounts, rules, cause)
}

fn due(now: Timestamp) -> records::Query {
    records::find(ACCOUNT).filter("next_due <= now").param("now", now)
}

/// Has all accounts that are due settled by other runs, as many as can be read in one slice; the next instant brings the rest.
fn share_out() -> Result<(), Error> {
    let mut after = String::new();
    for _ in 0..PAGES_MAX {
        let page = due(clock::now()).after(&after).limit(PAGE_ROWS).run()?;
        for accounts in page.chunks(ACCOUNTS_MAX as usize) {
            let ids: Json = accounts.iter().map(|account| account.id.as_str()).collect();
            events::emit_alone("loyalty.due", &Fields::new().with("accounts", ids))?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE_ROWS as usize => after.clone_from(&last.id),
            _ => break,
        }
    }
    Ok(())
}

/// Settles accounts and warns their members, as many as can be written in one slice. The others stay due.
fn settle_these(accounts: &[Record], rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let (now, mut lots_left) = (clock::now(), LOTS_MAX);
    for account in accounts {
        if lots_left == 0 {
            return events::emit_alone("loyalty.due", &Fields::new().with("accounts", rest_of(accounts, account)));
        }
        lots_left = lots_left.saturating_sub(settle_one(account, rules, cause, (now, lots_left))?);
    }
    Ok(())
}

/// The ids of `accounts` from `first` on.
fn rest_of(accounts: &[Record], first: &Record) -> Json {
    accounts.iter().skip_while(|account| account.id != first.id).map(|account| account.id.as_str()).collect()
}

/// Settles one account. Returns how many lots and warnings it took.
fn settle_one(
    account: &Record,
    rules: &Rules,
    cause: Cause<'_>,
    (now, lots_max): (Timestamp, usize),
) -> Result<usize, Error> {
    let customer = reference(account, "customer")?;
    let (done, _) = book(&customer, rules, cause, |ledger| {
        let settled = ledger.settle(now, lots_max)?;
        let warnings = match settled {
            Settled::UpToDate => ledger.warn(now, WARNINGS_MAX)?,
            Settled::More => Vec::new(),
        };
        Ok((settled, ledger.touched(), warnings))
    })?;
    let (settled, touched, warnings) = done;
    warnings.iter().try_for_each(|warning| warn(&customer, warning))?;
    Ok(if settled == Settled::More { lots_max } else { 1 + touched + warnings.len() })
}

fn warn(customer: &Reference, warning: &Warning) -> Result<(), Error> {
    let data = Fields::new().with("points", warning.points).with("expires_at", warning.expires_at);
    events::emit("loyalty.expiring", customer, &data)
}
