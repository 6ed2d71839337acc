//! Unfolding: a merge is undone, and the books that were folded go back, as long as nobody has touched them.

use rapport_sdk::{Error, Fields, Record, Reference, Timestamp, clock, records};

use crate::books::{self, HostBooks, load_account, save_account};
use crate::fold::{FOLD, Kept, Referral, records_max};
use crate::ledger::{Account, Amounts, Books, Entry, Fold, Rules};
use crate::members::{cover, folds_into};
use crate::moving::{
    Beside, Entries, Lots, Move, Names, Shelf, entries_between, lot_numbered, mark, named, redeemed, rename_order,
};
use crate::program::{Cause, book};
use crate::referral::REFERRAL;

/// The books as they are, by what becomes of them.
struct Parted {
    /// What came over and goes back.
    back: Entries,
    lots_back: Lots,
    beside: Beside,
    /// What the fold booked itself, and is forgotten.
    own: Entries,
    /// What was booked since, and stays.
    since: Entries,
    lots_since: Lots,
    redeemed_since: Vec<Record>,
}

/// Gives back what the run `run` folded. All of it or nothing: if any of it has been touched since, it fails and says by what.
pub(crate) fn unfold(run: &str, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let Some(record) = records::get(FOLD, &format!("run:{run}"))? else { return Ok(()) };
    let missing = || Error::new("books", format!("`{}` says nothing of the books", record.reference()));
    let kept: Kept = books::from_json(&record, "books")?.ok_or_else(missing)?;
    let text = |field: &str| Ok::<_, Error>(record.text(field)?.unwrap_or_default());
    let (into, merged) = (Reference::new("customer", text("into")?), text("merged")?);
    must_stand(&record, (&into, &merged))?;
    let (before, now) = (load_account(&into.id)?.0, clock::now());
    let mut shelf = Shelf::behind(&into.id, (kept.fold.into.entries, kept.fold.into.lots), &before)?;
    book(&into, rules, cause, |ledger| ledger.bring_up(now))?;
    shelf.catch_up(&into.id, &before)?;
    let mut parted = parted(&into.id, &kept.fold, shelf)?;
    let rest = must_be_whole(&parted, &kept.fold, (&into, &merged))?;
    forget_own(&mut parted, &into.id, rules)?;
    part(&parted, &kept.fold, (&into.id, &merged))?;
    kept.gave_way.iter().try_for_each(|lot| name_again(*lot, &into.id))?;
    book(&into, rules, cause, |ledger| ledger.hand_back(&kept.fold, rest, now))?;
    give_account_back(&kept, (&into.id, &merged), rules)?;
    kept.referrals.iter().try_for_each(refer_again)?;
    cover(&merged, false)?;
    records::delete(&record.reference()).map(drop)
}

fn refused(why: String) -> Error {
    Error::new("cannot_unfold", why)
}

/// Both are there again, and what was folded lies where the fold put it.
fn must_stand(fold: &Record, (into, merged): (&Reference, &str)) -> Result<(), Error> {
    let place = |record: &Record| Ok::<_, Error>((record.int("entries_from")?, record.read::<Timestamp>("folded_at")?));
    if !is_there(merged)? {
        return Err(refused(format!("`customer/{merged}` is not back, to whom the points would go")));
    }
    if !is_there(&into.id)? || load_account(&into.id)?.1.is_none() {
        return Err(refused(format!(
            "`{into}` has no points any more: if it was merged itself since, undo that first"
        )));
    }
    if load_account(merged)?.0.entries > 0 {
        return Err(refused(format!("`customer/{merged}` has got points of its own meanwhile")));
    }
    for other in folds_into(&into.id)? {
        if place(&other)? > place(fold)? {
            let other = other.text("merged")?.unwrap_or_default();
            return Err(refused(format!("`customer/{other}` was merged into `{into}` since: undo that first")));
        }
    }
    Ok(())
}

/// Whether there is this very customer: the id of one that was merged leads to another.
fn is_there(customer: &str) -> Result<bool, Error> {
    Ok(records::get("customer", customer)?.is_some_and(|found| found.id == customer))
}

fn parted(into: &str, fold: &Fold, Shelf { mut entries, mut lots }: Shelf) -> Result<Parted, Error> {
    let (last_over, last_own) = (fold.last_over(), fold.last_own());
    let since = entries.split_off(entries.partition_point(|(_, entry)| entry.number <= last_own));
    entries.truncate(entries.partition_point(|(_, entry)| entry.number <= last_over));
    let lots_since = lots.split_off(lots.partition_point(|(_, lot)| lot.number <= fold.last_lot()));
    Ok(Parted {
        beside: Beside::of(into, &entries)?,
        back: entries,
        lots_back: lots,
        own: entries_between(into, last_over, last_own)?,
        redeemed_since: named(books::REDEMPTION, "key", into, redeemed(&since).into_iter())?,
        since,
        lots_since,
    })
}

/// Nothing that came over has been touched, and one slice can move it. Returns what stays of the account's sums.
fn must_be_whole(parted: &Parted, fold: &Fold, (into, merged): (&Reference, &str)) -> Result<Amounts, Error> {
    let only = |entries: &Entries| entries.iter().map(|(_, entry)| entry.clone()).collect::<Vec<_>>();
    let (back, own, since) = (only(&parted.back), only(&parted.own), only(&parted.since));
    if let Some(touch) = fold.touch(&back, &since) {
        return Err(refused(touched(touch, (into, merged))));
    }
    let size = parted.back.len() + parted.lots_back.len() + parted.beside.len() + parted.own.len();
    let size = size + parted.since.len() + parted.lots_since.len() + parted.redeemed_since.len();
    let most = records_max()?;
    if i64::try_from(size).is_ok_and(|size| size > most) {
        let why = format!("the points of `customer/{merged}` and what `{into}` did since are {size} records");
        return Err(refused(format!("{why}, and {most} at most can be moved (setting `merge_records_max`)")));
    }
    let account = load_account(&into.id)?.0;
    let why = || format!("debt that came with `customer/{merged}` has been repaid with points of `{into}` since");
    fold.rest(&account.amounts, &own).ok_or_else(|| refused(why()))
}

/// What has touched points that came over, in words.
fn touched(entry: &Entry, (into, merged): (&Reference, &str)) -> String {
    let Entry { number, kind, at, cause, .. } = entry;
    let at = jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    let stay = format!("the points of `customer/{merged}` stay with `{into}`");
    format!("{stay}: they have been touched since, by entry {number} `{}` of {at} (`{cause}`)", kind.as_str())
}

/// Forgets what the fold booked itself: what it took from lots to repay debt is in them again.
fn forget_own(parted: &mut Parted, into: &str, rules: &Rules) -> Result<(), Error> {
    let mut books = HostBooks::of(into, &Account::default(), rules);
    for (record, entry) in &parted.own {
        for part in &entry.parts {
            let mut lot = books.lot(part.lot)?;
            lot.remaining -= part.points;
            books.save_lot(&lot)?;
            if let Some((_, back)) = parted.lots_back.iter_mut().find(|(_, back)| back.number == lot.number) {
                *back = lot;
            }
        }
        records::delete(&record.reference())?;
    }
    Ok(())
}

/// Parts the records again.
fn part(parted: &Parted, fold: &Fold, (into, merged): (&str, &str)) -> Result<(), Error> {
    let back = Move { to: merged, numbers: fold.back(), names: Names::Unmark(merged) };
    parted.back.iter().try_for_each(|(record, entry)| back.entry(record, entry))?;
    parted.lots_back.iter().try_for_each(|(record, lot)| back.lot(record, lot))?;
    back.beside(&parted.beside)?;
    let stay = Move { to: into, numbers: fold.closing(), names: Names::Stay };
    parted.since.iter().try_for_each(|(record, entry)| stay.entry(record, entry))?;
    parted.lots_since.iter().try_for_each(|(record, lot)| stay.lot(record, lot))?;
    parted.redeemed_since.iter().try_for_each(|record| stay.redemption(record))
}

/// The account that went is there again, as it was, and the other one is as if it had never come.
fn give_account_back(kept: &Kept, (into, merged): (&str, &str), rules: &Rules) -> Result<(), Error> {
    if let (account, Some(record)) = load_account(into)? {
        let code = record.text("code")?.filter(|code| !kept.took_code || kept.code.as_ref() != Some(code));
        if kept.opened && account.entries == 0 && code.is_none() {
            records::delete(&record.reference())?;
        } else if kept.took_code {
            records::update(&record.reference(), &Fields::new().with("code", code))?;
        }
    }
    save_account(merged, &kept.fold.from, load_account(merged)?.1.as_ref(), rules)?;
    match (&kept.code, load_account(merged)?.1) {
        (Some(code), Some(account)) => {
            records::update(&account.reference(), &Fields::new().with("code", code.as_str()))
        }
        _ => Ok(()),
    }
}

/// An order that gave way to another one of its name has it again.
fn name_again(lot: i64, into: &str) -> Result<(), Error> {
    let Some((record, lot)) = lot_numbered(into, lot)? else { return Ok(()) };
    match lot.order.as_ref().and_then(|share| share.name.strip_suffix(&mark(into))) {
        Some(name) => rename_order(&record, into, name),
        None => Ok(()),
    }
}

/// A referral is there again, unless there is another one since.
fn refer_again(referral: &Referral) -> Result<(), Error> {
    if records::get(REFERRAL, &format!("customer:{}", referral.customer))?.is_some() {
        return Ok(());
    }
    let fields = Fields::new()
        .with("customer", Reference::new("customer", referral.customer.as_str()))
        .with("referrer", Reference::new("customer", referral.referrer.as_str()))
        .with("code", referral.code.clone())
        .with("first_order", referral.first_order.clone());
    records::create(REFERRAL, &fields).map(drop)
}
