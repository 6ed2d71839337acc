//! Undo: the host asks to take back a run, and entries are appended that do.

use std::collections::BTreeSet;

use rapport_sdk::{Error, Undone, clock, records};

use crate::books::{ENTRY, reference};
use crate::fold::MERGING;
use crate::ledger::Rules;
use crate::program::{Cause, book};
use crate::{rewards, unfold};

/// Entries of one run that are looked at, at most: a slice writes no more.
const ENTRIES_MAX: u32 = 1_000;

/// Takes back what a run booked, on all accounts that it touched, and the vouchers that it issued.
pub(crate) fn compensate(undone: &Undone, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    if undone.event.as_ref().is_some_and(|event| event.kind == MERGING) {
        return unfold::unfold(&undone.run, rules, cause);
    }
    let entries = records::find(ENTRY).filter("run == r").param("r", undone.run.as_str()).limit(ENTRIES_MAX).run()?;
    let customers = entries.iter().map(|entry| reference(entry, "customer"));
    let customers: BTreeSet<String> = customers.map(|customer| customer.map(|c| c.id)).collect::<Result<_, _>>()?;
    let now = clock::now();
    for customer in customers {
        let customer = rapport_sdk::Reference::new("customer", customer);
        book(&customer, rules, cause, |ledger| ledger.undo(&undone.run, now))?;
    }
    rewards::undo(&undone.run)
}
