//! Folding: when two records of one customer are merged, the books of the one that goes are put into those of the one that stays.
//!
//! It is done while both records are there, in one slice. All that carries the customer in its key goes over here; other references follow
//! with the merge itself. What [`crate::unfold`] needs is kept in a record of its own.

use std::collections::{BTreeMap, BTreeSet};

use rapport_sdk::{Error, Event, Fields, Record, Reference, Timestamp, Value, clock, records, settings};
use serde::{Deserialize, Serialize};

use crate::books::{self, ACCOUNT, LOT, REDEMPTION, load_account, lot_from, reference};
use crate::ledger::{Account, Fold, Lot, Rules};
use crate::moving::{
    Beside, Clashes, Entries, Lots, Move, Names, Shelf, mark, named, passed_on, redeemed, rename_order, tail,
};
use crate::program::{Cause, book, book_with};
use crate::referral::REFERRAL;
use crate::transfer::TRANSFER;

/// The event that comes before a merge.
pub(crate) const MERGING: &str = "record.merging";
/// The object of folds: one for each that stands.
pub(crate) const FOLD: &str = "loyalty_fold";

/// What a fold's record keeps of the books.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The accounts.
    pub(crate) fold: Fold,
    /// The referral code of the account that went.
    pub(crate) code: Option<String>,
    /// Whether the account that stayed had none of its own.
    pub(crate) took_code: bool,
    /// Whether the account that stayed was opened for the fold.
    pub(crate) opened: bool,
    /// The referrals that would be of oneself.
    pub(crate) referrals: Vec<Referral>,
    /// The lots of the account that stayed whose orders were undone, and gave way to orders of the same names.
    pub(crate) gave_way: Vec<i64>,
}

/// A referral that is kept while there is none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Referral {
    /// Who came.
    pub(crate) customer: String,
    /// By whom.
    pub(crate) referrer: String,
    /// By which code.
    pub(crate) code: Option<String>,
    /// The first order, if there has been one.
    pub(crate) first_order: Option<String>,
}

/// The books that go over.
struct Books {
    shelf: Shelf,
    beside: Beside,
}

/// Two records of one object are about to be merged: if they are customers, the books of the one that goes are folded into those of the other.
pub(crate) fn merging(event: &Event, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let into = event.subject.as_ref().filter(|subject| subject.object == "customer");
    let (Some(into), Some(Value::Text(merged))) = (into, event.data.get("merged")) else { return Ok(()) };
    if into.id == *merged { Ok(()) } else { fold(into, merged, rules, cause) }
}

fn fold(into: &Reference, merged: &str, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let (account, Some(record)) = load_account(merged)? else { return Ok(()) };
    let (own, own_record) = load_account(&into.id)?;
    let most = records_max()?;
    must_fit((&own, &into.id), (&account, merged), (account.entries + account.lots, most))?;
    let mut shelf = Shelf::behind(merged, (0, 0), &account)?;
    let now = [own.as_of, account.as_of].into_iter().flatten().fold(clock::now(), Timestamp::max);
    let gone = Reference::new("customer", merged);
    let bring_up = |customer| {
        book(customer, rules, cause, |ledger| {
            ledger.bring_up(now)?;
            Ok(i64::try_from(ledger.touched()).unwrap_or(i64::MAX))
        })
    };
    let ((settled, from), (settled_too, own)) = (bring_up(&gone)?, bring_up(into)?);
    shelf.catch_up(merged, &account)?;
    let books = Books { beside: Beside::of(merged, &shelf.entries)?, shelf };
    let size = from.entries + from.lots + i64::try_from(books.beside.len()).unwrap_or(i64::MAX);
    must_fit((&own, &into.id), (&from, merged), (size, most))?;
    // What fell due takes a write of the lot, and one of an entry at most.
    if size + 2 * (settled + settled_too) > most {
        let why = "too much has fallen due to be booked together with a merge: the schedule settles it";
        return Err(Error::retryable("unsettled", why));
    }
    let mut fold = Fold { into: own, from, booked: 0 };
    let gave_way = go_over(&books, &fold, (into, merged))?;
    records::delete(&record.reference())?;
    let ((), both) = book_with(into, &fold.from, rules, cause, |ledger| ledger.take_in(&fold.from, now))?;
    fold.booked = both.entries - fold.into.entries - fold.from.entries;
    let kept = Kept {
        code: record.text("code")?,
        took_code: take_code(into, &record)?,
        opened: own_record.is_none(),
        referrals: drop_referrals(&into.id, merged)?,
        gave_way,
        fold,
    };
    keep(&kept, (into, merged), &books.shelf.entries, (cause, now))
}

/// Records of the books that one slice moves at most, as is set.
pub(crate) fn records_max() -> Result<i64, Error> {
    settings::get("merge_records_max")
}

/// Puts the records of the one under the name of the other, behind the other's own. Returns which of the other's orders gave way.
fn go_over(books: &Books, fold: &Fold, (into, merged): (&Reference, &str)) -> Result<Vec<i64>, Error> {
    let (orders, gave_way) = taken_orders(&into.id, &books.shelf.lots)?;
    let redemptions = taken(REDEMPTION, &into.id, redeemed(&books.shelf.entries))?;
    let clashes =
        Clashes { orders, redemptions, transfers: taken(TRANSFER, &into.id, passed_on(&books.shelf.entries))? };
    let over = Move { to: &into.id, numbers: fold.over(), names: Names::Mark(&clashes, merged) };
    books.shelf.entries.iter().try_for_each(|(record, entry)| over.entry(record, entry))?;
    books.shelf.lots.iter().try_for_each(|(record, lot)| over.lot(record, lot))?;
    over.beside(&books.beside)?;
    Ok(gave_way)
}

/// Fails if more is to go over than one slice can write.
fn must_fit(
    (own, into): (&Account, &str),
    (from, merged): (&Account, &str),
    (size, most): (i64, i64),
) -> Result<(), Error> {
    if size <= most {
        return Ok(());
    }
    let own_size = own.entries + own.lots;
    let way_out = if own_size < from.entries + from.lots && own_size <= most {
        format!("merge `customer/{into}` into `customer/{merged}` instead, whose points stay where they are then")
    } else {
        "the other one has too many, too: raise the setting, and the `limits` of a slice with it".into()
    };
    let why = format!("the points of `customer/{merged}` are {size} records, and {most} at most can go over");
    Err(Error::new("too_large", format!("{why} (setting `merge_records_max`): {way_out}")))
}

/// Which names of what goes over the other one has, too.
fn taken(object: &str, into: &str, names: BTreeSet<&str>) -> Result<BTreeSet<String>, Error> {
    let found = named(object, "key", into, names.into_iter())?;
    found.iter().map(|record| Ok(tail(&record.text("key")?.unwrap_or_default()).to_owned())).collect()
}

/// The same of orders. One that is undone gives way to one that stands, and is returned by its lot.
fn taken_orders(into: &str, lots: &Lots) -> Result<(BTreeSet<String>, Vec<i64>), Error> {
    let orders: BTreeMap<&str, bool> = lots
        .iter()
        .filter_map(|(_, lot)| lot.order.as_ref())
        .map(|share| (share.name.as_str(), share.undone))
        .collect();
    let (mut taken, mut gave_way) = (BTreeSet::new(), Vec::new());
    for record in named(LOT, "order_key", into, orders.keys().copied())? {
        let Lot { number, order: Some(own), .. } = lot_from(&record)? else { continue };
        if own.undone && orders.get(own.name.as_str()) == Some(&false) {
            rename_order(&record, into, &format!("{}{}", own.name, mark(into)))?;
            gave_way.push(number);
        } else {
            taken.insert(own.name);
        }
    }
    Ok((taken, gave_way))
}

/// The code of the account that goes becomes the other's, if that has none.
fn take_code(into: &Reference, gone: &Record) -> Result<bool, Error> {
    let Some(code) = gone.text("code")? else { return Ok(false) };
    let fields = Fields::new().with("code", code);
    match load_account(&into.id)?.1 {
        Some(account) if account.text("code")?.is_some() => return Ok(false),
        Some(account) => records::update(&account.reference(), &fields)?,
        None => drop(records::create(ACCOUNT, &fields.with("customer", into.clone()))?),
    }
    Ok(true)
}

/// Nobody refers himself: that one referred the other is forgotten.
fn drop_referrals(into: &str, merged: &str) -> Result<Vec<Referral>, Error> {
    let mut dropped = Vec::new();
    for (customer, other) in [(into, merged), (merged, into)] {
        let Some(referral) = records::get(REFERRAL, &format!("customer:{customer}"))? else { continue };
        let referrer = reference(&referral, "referrer")?.id;
        if referrer == other {
            let (code, first_order) = (referral.text("code")?, referral.text("first_order")?);
            dropped.push(Referral { customer: customer.into(), referrer, code, first_order });
            records::delete(&referral.reference())?;
        }
    }
    Ok(dropped)
}

fn keep(
    kept: &Kept,
    (into, merged): (&Reference, &str),
    entries: &Entries,
    (cause, now): (Cause<'_>, Timestamp),
) -> Result<(), Error> {
    let fold = &kept.fold;
    let fields = Fields::new()
        .with("run", cause.run)
        .with("customer", into.clone())
        .with("into", into.id.as_str())
        .with("merged", merged)
        .with("folded_at", now)
        .with("entries_from", fold.into.entries + 1)
        .with("entries_to", fold.last_over())
        .with("lots_from", fold.into.lots + 1)
        .with("lots_to", fold.last_lot())
        .with("books", books::json(kept)?);
    let fields = crate::members::fold(fields, fold, (&into.id, merged), entries)?;
    records::create(FOLD, &fields).map(drop)
}
