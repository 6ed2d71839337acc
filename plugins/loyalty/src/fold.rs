//! Folding: when two records of one customer are merged, the books of the one that goes are put into those of the one that stays.
//!
//! It is done while both records are there, in one slice. All that carries the customer in its key goes over here; other references follow
//! with the merge itself. What [`crate::unfold`] needs is kept in a record of its own.

use rapport_sdk::{Error, Event, Fields, Record, Reference, Timestamp, Value, clock, records};
use serde::{Deserialize, Serialize};

use crate::books::{self, ACCOUNT, LOT, REDEMPTION, load_account, reference};
use crate::ledger::{Account, Fold, Lot, Rules};
use crate::moving::{Beside, Clashes, Entries, Move, Names, entries_after, lots_of, named, passed_on, redeemed};
use crate::program::{Cause, book, book_with};
use crate::referral::REFERRAL;
use crate::transfer::TRANSFER;

/// The event that comes before a merge.
pub(crate) const MERGING: &str = "record.merging";
/// The object of folds: one for each that stands.
pub(crate) const FOLD: &str = "loyalty_fold";
/// Records of the books that one slice moves: a slice writes 1,000 records, and makes 1,000 calls.
const RECORDS_MAX: i64 = 900;

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
    entries: Entries,
    lots: Vec<(Record, Lot)>,
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
    must_fit((&own, &into.id), (&account, merged), account.entries + account.lots)?;
    let now = [own.as_of, account.as_of].into_iter().flatten().fold(clock::now(), Timestamp::max);
    let gone = Reference::new("customer", merged);
    let bring_up = |customer| {
        book(customer, rules, cause, |ledger| {
            ledger.bring_up(now)?;
            Ok(i64::try_from(ledger.touched()).unwrap_or(i64::MAX))
        })
    };
    let ((settled, from), (settled_too, own)) = (bring_up(&gone)?, bring_up(into)?);
    let entries = entries_after(merged, 0)?;
    let books = Books { lots: lots_of(merged, 0, from.lots)?, beside: Beside::of(merged, &entries)?, entries };
    let size = from.entries + from.lots + i64::try_from(books.beside.len()).unwrap_or(i64::MAX);
    must_fit((&own, &into.id), (&from, merged), size)?;
    if size + settled + settled_too > RECORDS_MAX {
        return Err(Error::retryable(
            "unsettled",
            "too much has fallen due to be booked with a merge: the schedule settles it",
        ));
    }
    let mut fold = Fold { into: own, from, booked: 0 };
    go_over(&books, &fold, (into, merged))?;
    records::delete(&record.reference())?;
    let (_, both) = book_with(into, &fold.from, rules, cause, |ledger| ledger.take_in(&fold.from, now))?;
    fold.booked = both.entries - fold.into.entries - fold.from.entries;
    let kept = Kept {
        code: record.text("code")?,
        took_code: take_code(into, &record)?,
        opened: own_record.is_none(),
        referrals: drop_referrals(&into.id, merged)?,
        fold,
    };
    keep(&kept, (into, merged), &books.entries, (cause, now))
}

/// Puts the records of the one under the name of the other, behind the other's own.
fn go_over(books: &Books, fold: &Fold, (into, merged): (&Reference, &str)) -> Result<(), Error> {
    let clashes = clashes(&into.id, books)?;
    let over = Move { to: &into.id, numbers: fold.over(), names: Names::Mark(&clashes, merged) };
    books.entries.iter().try_for_each(|(record, entry)| over.entry(record, entry))?;
    books.lots.iter().try_for_each(|(record, lot)| over.lot(record, lot))?;
    over.beside(&books.beside)
}

/// Fails if more is to go over than one slice can write.
fn must_fit((own, into): (&Account, &str), (from, merged): (&Account, &str), size: i64) -> Result<(), Error> {
    if size <= RECORDS_MAX {
        return Ok(());
    }
    let other_way = if own.entries + own.lots < from.entries + from.lots && own.entries + own.lots <= RECORDS_MAX {
        format!("merge `customer/{into}` into `customer/{merged}` instead, whose points stay where they are then")
    } else {
        format!(
            "those of `customer/{into}` are too many, too, so the points of one of both must go by `loyalty.transfer` first"
        )
    };
    let why = format!("the points of `customer/{merged}` are {size} records, and {RECORDS_MAX} at most can go over");
    Err(Error::new("too_large", format!("{why} (`limits.slice_writes_max`): {other_way}")))
}

/// Which names of what goes over the other one has, too.
fn clashes(into: &str, books: &Books) -> Result<Clashes, Error> {
    let orders = books.lots.iter().filter_map(|(_, lot)| lot.order.as_ref()).map(|share| share.name.as_str());
    let taken = |object: &str, field: &str, names: &mut dyn Iterator<Item = &str>| {
        let found = named(object, field, into, names)?;
        let name = |record: &Record| {
            Ok(record
                .text(field)?
                .unwrap_or_default()
                .split_once('/')
                .map_or_else(String::new, |(_, name)| name.to_owned()))
        };
        found.iter().map(name).collect::<Result<_, Error>>()
    };
    Ok(Clashes {
        orders: taken(LOT, "order_key", &mut orders.into_iter())?,
        redemptions: taken(REDEMPTION, "key", &mut redeemed(&books.entries).into_iter())?,
        transfers: taken(TRANSFER, "key", &mut passed_on(&books.entries).into_iter())?,
    })
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
