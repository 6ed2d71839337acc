//! Since when there is a member: of two who were merged, since the earlier of both.
//!
//! A member is there from the first entry on. Where books of an earlier member came in behind that, the fold says from when until when the
//! member was there before it.

use rapport_sdk::{Error, Fields, Record, Reference, Timestamp, query, records};

use crate::books::ENTRY;
use crate::fold::FOLD;
use crate::keys;
use crate::ledger::Fold;
use crate::moving::Entries;

/// Folds into one account that are looked at, at most.
const FOLDS_MAX: u32 = 500;

/// The folds that stand whose books went into those of the customer `into`.
pub(crate) fn folds_into(into: &str) -> Result<Vec<Record>, Error> {
    records::find(FOLD).filter("into == c").param("c", into).limit(FOLDS_MAX).run()
}

/// Adds to the fields of a fold's record since when there was the member that went, if that is earlier. What folds into that
/// member say of it is no longer counted.
pub(crate) fn fold(fields: Fields, fold: &Fold, (into, merged): (&str, &str), gone: &Entries) -> Result<Fields, Error> {
    let first = gone.iter().map(|(_, entry)| entry.at).min();
    let own = match fold.into.entries {
        0 => gone.first().map(|(_, entry)| entry.at),
        _ => first_of(into)?,
    };
    let before = folds_into(into)?.iter().map(|fold| fold.read("member_from")).collect::<Result<Vec<_>, Error>>()?;
    let own = before.into_iter().flatten().chain(own).min();
    cover(merged, true)?;
    let earlier = first.zip(own).filter(|(first, own)| first < own);
    let (from, until) = earlier.unzip();
    Ok(fields.with("member_from", from).with("member_until", until).with("covered", false))
}

/// What folds into the customer `into` say of members counts, or is covered by another fold.
pub(crate) fn cover(into: &str, covered: bool) -> Result<(), Error> {
    folds_into(into)?.iter().try_for_each(|fold| {
        records::update(&Reference::new(FOLD, fold.id.as_str()), &Fields::new().with("covered", covered))
    })
}

/// The members at the instant `at` whose first entry of then belongs to another account now, and is not the first there.
pub(crate) fn earlier_members(at: Timestamp) -> Result<i64, Error> {
    let then = query::aggregate(FOLD).filter("member_from <= at && member_until > at && covered == false");
    let rows = then.param("at", at).count().run()?;
    rows.first().map_or(Ok(0), |row| Ok(row.int(0)?.unwrap_or(0)))
}

fn first_of(customer: &str) -> Result<Option<Timestamp>, Error> {
    let first = records::get(ENTRY, &format!("key:{}", keys::entry(customer, 1)))?;
    first.map_or(Ok(None), |entry| entry.read("booked_at"))
}
