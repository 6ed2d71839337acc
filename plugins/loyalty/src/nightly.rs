//! What time does, booked also where nobody asks: points that ripen and expire, tiers that end, warnings.
//!
//! The books are right without it, since every operation settles its account first. It keeps what the records show up to
//! date, and tells members. A run settles a bounded number of accounts and lots; where there are more, they are shared out to
//! runs of their own by the event `loyalty.due`.

use rapport_sdk::{Error, Event, Fields, Json, Record, Reference, Timestamp, Value, clock, events, query, records};
use serde_json::json;

use crate::books::{ACCOUNT, reference};
use crate::ledger::{Rules, Settled, Warning};
use crate::program::{Cause, book};

/// Accounts and lots of one run at most: what is shared out is done side by side, and each part soon.
const ACCOUNTS_MAX: u32 = 20;
const LOTS_MAX: usize = 60;
/// How often the rest is handed on at most: the host ends longer chains of causes.
const HANDED_MAX: u32 = 14;
/// Accounts that are read at a time to be shared out, and how often: 6,000 take some 33 million units of fuel.
const PAGE_ROWS: u32 = 500;
const PAGES_MAX: usize = 12;
/// Warnings to one member in one run at most.
const WARNINGS_MAX: usize = 20;

/// Settles what is due, or, if that is more than one run should do, has it settled by runs of their own.
pub(crate) fn settle(rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let due = due(clock::now()).order("next_due").limit(ACCOUNTS_MAX + 1).run()?;
    if due.len() > ACCOUNTS_MAX as usize { share_out("") } else { settle_these(&due, rules, (cause, 0)) }
}

/// Settles the accounts that `event` names, or goes on sharing out where another run stopped.
pub(crate) fn settle_named(event: &Event, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    if let Some(Value::Text(cursor)) = event.data.get("cursor") {
        return share_out(cursor);
    }
    let Some(Value::Json(Json::Array(ids))) = event.data.get("accounts") else { return Ok(()) };
    let mut accounts = Vec::new();
    for id in ids.iter().filter_map(Json::as_str) {
        accounts.extend(records::get(ACCOUNT, id)?);
    }
    settle_these(&accounts, rules, (cause, event.depth))
}

fn due(now: Timestamp) -> records::Query {
    records::find(ACCOUNT).filter("next_due <= now").param("now", now)
}

/// Has all accounts that are due settled by other runs: as many as can be read in one slice, the rest by a run that goes on from there.
fn share_out(cursor: &str) -> Result<(), Error> {
    let mut cursor = cursor.to_owned();
    for _ in 0..PAGES_MAX {
        let due = query::select(ACCOUNT, &["id"]).filter("next_due <= now").param("now", clock::now());
        let page = due.limit(PAGE_ROWS).cursor(&cursor).run()?;
        for accounts in page.rows.chunks(ACCOUNTS_MAX as usize) {
            let ids = accounts
                .iter()
                .map(|row| Ok(row.read::<Reference>(0)?.map(|account| account.id)))
                .collect::<Result<Vec<_>, Error>>()?;
            events::emit_alone("loyalty.due", &Fields::new().with("accounts", json!(ids)))?;
        }
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(()),
        }
    }
    events::emit_alone("loyalty.due", &Fields::new().with("cursor", cursor))
}

/// Settles accounts and warns their members, as many as can be written in one slice. Another run goes on with the rest; where runs
/// have handed on often enough, it stays due for the next instant.
fn settle_these(accounts: &[Record], rules: &Rules, (cause, handed): (Cause<'_>, u32)) -> Result<(), Error> {
    let (now, mut lots_left) = (clock::now(), LOTS_MAX);
    for account in accounts {
        let took = if lots_left == 0 { None } else { settle_one(account, rules, cause, (now, lots_left))? };
        match took {
            Some(took) => lots_left = lots_left.saturating_sub(took),
            None if handed >= HANDED_MAX => return Ok(()),
            None => {
                return events::emit_alone("loyalty.due", &Fields::new().with("accounts", rest_of(accounts, account)));
            }
        }
    }
    Ok(())
}

/// The ids of `accounts` from `first` on.
fn rest_of(accounts: &[Record], first: &Record) -> Json {
    accounts.iter().skip_while(|account| account.id != first.id).map(|account| account.id.as_str()).collect()
}

/// Settles one account. Returns how many lots and warnings it took; `None` if there is more to settle.
fn settle_one(
    account: &Record,
    rules: &Rules,
    cause: Cause<'_>,
    (now, lots_max): (Timestamp, usize),
) -> Result<Option<usize>, Error> {
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
    Ok((settled == Settled::UpToDate).then(|| 1 + touched + warnings.len()))
}

fn warn(customer: &Reference, warning: &Warning) -> Result<(), Error> {
    let data = Fields::new().with("points", warning.points).with("expires_at", warning.expires_at);
    events::emit("loyalty.expiring", customer, &data)
}
