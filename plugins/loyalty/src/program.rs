//! One customer's books, opened for one operation: read before it, saved after it, and what came of it told.

use rapport_sdk::{Error, Fields, Reference, Timestamp, Value, clock, events};

use crate::books::{HostBooks, load_account, save_account};
use crate::ledger::{Account, Ledger, LedgerError, Outcome, Rules, TierChange};

/// Who books, for the entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cause<'a> {
    /// The run.
    pub(crate) run: &'a str,
    /// What it was called for.
    pub(crate) what: &'a str,
}

/// Does `work` on the account of a customer, and saves the account.
///
/// The account's record is read and written in the slice that books, so that of two at a time one is tried again.
pub(crate) fn book<T>(
    customer: &Reference,
    rules: &Rules,
    cause: Cause<'_>,
    work: impl FnOnce(&mut Ledger<'_, HostBooks<'_>>) -> Result<T, LedgerError<Error>>,
) -> Result<(T, Account), Error> {
    book_with(customer, &Account::default(), rules, cause, work)
}

/// The same, where the lots of the account `other` are among those of the customer already.
pub(crate) fn book_with<T>(
    customer: &Reference,
    other: &Account,
    rules: &Rules,
    cause: Cause<'_>,
    work: impl FnOnce(&mut Ledger<'_, HostBooks<'_>>) -> Result<T, LedgerError<Error>>,
) -> Result<(T, Account), Error> {
    let (account, record) = load_account(&customer.id)?;
    let mut books = HostBooks::of(&customer.id, &account, rules).with(other);
    let mut ledger = Ledger::open(&mut books, rules, account, (cause.run, cause.what));
    let done = work(&mut ledger).map_err(failed)?;
    let (account, changes) = (ledger.account, ledger.tier_changes);
    // A refusal does not make an account.
    if record.is_some() || account.entries > 0 {
        save_account(&customer.id, &account, record.as_ref(), rules)?;
    }
    changes.iter().try_for_each(|change| tell(customer, change))?;
    Ok((done, account))
}

fn tell(customer: &Reference, change: &TierChange) -> Result<(), Error> {
    let data = Fields::new()
        .with("from", Value::from(change.from.clone()))
        .with("to", Value::from(change.to.clone()))
        .with("changed_at", change.at);
    events::emit("loyalty.tier_changed", customer, &data)
}

fn failed(error: LedgerError<Error>) -> Error {
    match error {
        LedgerError::Books(error) => error,
        LedgerError::TooManyLots => {
            Error::new("too_many_lots", "the points lie in too many lots for one operation: take fewer at a time")
        }
        LedgerError::Unsettled => {
            Error::retryable("unsettled", "more has fallen due than one operation can book: the schedule settles it")
        }
    }
}

/// Reports what was refused, for whoever watches.
pub(crate) fn refused(customer: &Reference, outcome: Outcome, what: &str, about: &str) -> Result<(), Error> {
    let data = Fields::new().with("result", outcome.as_str()).with("what", what).with("about", about);
    events::emit("loyalty.refused", customer, &data)
}

/// When something was true: never later than now, so that a clock that is ahead somewhere lets no points expire.
pub(crate) fn time_of(time: Timestamp) -> Timestamp {
    time.min(clock::now())
}
