//! Moves records of the books to another customer, or to other numbers: their keys, and what names others, go along.

use std::collections::BTreeSet;

use rapport_sdk::query::{self, Row};
use rapport_sdk::{Error, Fields, Record, Reference, Timestamp, Value, records};
use serde_json::json;

use crate::books::{
    self, ENTRY, ENTRY_OUTLINE, LOT, LOT_OUTLINE, REDEMPTION, entry_from, entry_outline, lot_outline, redemption_from,
};
use crate::keys;
use crate::ledger::{Account, Entry, Kind, Lot, Renumbering};
use crate::rewards::VOUCHER;
use crate::transfer::TRANSFER;

/// Rows that are read at a time, and keys that are asked for at a time.
const ROWS: u32 = 500;

/// Entries with their records, in order.
pub(crate) type Entries = Vec<(Record, Entry)>;

/// Lots with their records, in order.
pub(crate) type Lots = Vec<(Record, Lot)>;

/// Entries and lots of a customer in outline.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) entries: Entries,
    pub(crate) lots: Lots,
}

impl Shelf {
    /// What stands behind an entry and a lot of a customer whose account is `account`. It costs little before anything is written.
    pub(crate) fn behind(customer: &str, (entry, lot): (i64, i64), account: &Account) -> Result<Self, Error> {
        let (from, to) = (keys::entry(customer, entry), keys::range(customer).1);
        let range = Fields::new().with("from", from).with("to", to);
        let rows = outlines(ENTRY, &ENTRY_OUTLINE, ("key > from && key < to", &range))?;
        let mut shelf = Self { entries: in_outline(rows, entry_outline)?, lots: Lots::new() };
        for first in (lot..account.lots).step_by(ROWS as usize) {
            let numbers = first + 1..=account.lots.min(first + i64::from(ROWS));
            let names: Vec<String> = numbers.map(|number| keys::own(customer, &number.to_string())).collect();
            let names = Fields::new().with("names", json!(names));
            shelf.lots.extend(in_outline(outlines(LOT, &LOT_OUTLINE, ("key in names", &names))?, lot_outline)?);
        }
        shelf.entries.sort_by_key(|(_, entry)| entry.number);
        shelf.lots.sort_by_key(|(_, lot)| lot.number);
        Ok(shelf)
    }

    /// Has what was booked since the account was `before`, too.
    pub(crate) fn catch_up(&mut self, customer: &str, before: &Account) -> Result<(), Error> {
        let new = entries_between(customer, before.entries, i64::MAX)?;
        let touched: BTreeSet<String> =
            new.iter().flat_map(|(_, entry)| &entry.parts).map(|part| part.lot.to_string()).collect();
        for record in named(LOT, "key", customer, touched.iter().map(String::as_str))? {
            let lot = lot_outline(&record)?;
            if let Some(stale) = self.lots.iter_mut().find(|(_, stale)| stale.number == lot.number) {
                *stale = (record, lot);
            }
        }
        self.entries.extend(new);
        Ok(())
    }
}

/// The entries of a customer behind one number and up to another, in order and in full. They are few.
pub(crate) fn entries_between(customer: &str, after: i64, to: i64) -> Result<Entries, Error> {
    if after >= to {
        return Ok(Entries::new());
    }
    let (from, last) = (keys::entry(customer, after), keys::range(customer).1);
    let range = records::find(ENTRY).filter("key > from && key < to").param("from", from).param("to", last);
    let found = in_outline(range.order("key").limit(ROWS).run()?, entry_from)?;
    Ok(found.into_iter().filter(|(_, entry)| entry.number <= to).collect())
}

fn in_outline<T>(rows: Vec<Record>, read: fn(&Record) -> Result<T, Error>) -> Result<Vec<(Record, T)>, Error> {
    rows.into_iter()
        .map(|record| Ok((read(&record)?, record)))
        .map(|read| read.map(|(of, record)| (record, of)))
        .collect()
}

/// Rows of an object as records that have these fields, of which the first is the id. Whole records cost several times as much; they are
/// read where the slice has written to the object, since the host has no rows for it then.
fn outlines(object: &str, columns: &[&str], (rule, params): (&str, &Fields)) -> Result<Vec<Record>, Error> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let asked = query::select(object, columns).filter(rule).limit(ROWS).cursor(&cursor);
        let page = match params.iter().fold(asked, |asked, (name, value)| asked.param(name, value.clone())).run() {
            Err(refused) if refused.code() == "unwritten" => return in_full(object, (rule, params)),
            page => page?,
        };
        found.extend(page.rows.into_iter().map(|row| outline(object, columns, row)));
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(found),
        }
    }
}

fn outline(object: &str, columns: &[&str], Row(values): Row) -> Record {
    let mut values = values.into_iter();
    let id = match values.next() {
        Some(Value::Ref(reference)) => reference.id,
        Some(Value::Text(id)) => id,
        _ => String::new(),
    };
    let fields = columns.iter().skip(1).copied().zip(values).collect();
    Record { object: object.into(), id, version: 0, created_at: Timestamp(0), updated_at: Timestamp(0), fields }
}

fn in_full(object: &str, (rule, params): (&str, &Fields)) -> Result<Vec<Record>, Error> {
    let (mut found, mut after) = (Vec::<Record>::new(), String::new());
    loop {
        let asked = records::find(object).filter(rule).after(&after).limit(ROWS);
        let page = params.iter().fold(asked, |asked, (name, value)| asked.param(name, value.clone())).run()?;
        let full = page.len() == ROWS as usize;
        found.extend(page);
        match found.last() {
            Some(last) if full => after.clone_from(&last.id),
            _ => return Ok(found),
        }
    }
}

/// The lot of a customer with this number.
pub(crate) fn lot_numbered(customer: &str, number: i64) -> Result<Option<(Record, Lot)>, Error> {
    let found = records::get(LOT, &format!("key:{}", keys::own(customer, &number.to_string())))?;
    found
        .map(|record| Ok((lot_outline(&record)?, record)))
        .transpose()
        .map(|lot| lot.map(|(lot, record)| (record, lot)))
}

/// The records of a customer that have one of `names` in the unique `field`.
pub(crate) fn named<'n>(
    object: &str,
    field: &str,
    customer: &str,
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<Record>, Error> {
    let own: Vec<String> = names.map(|name| keys::own(customer, name)).collect();
    let (rule, mut found) = (format!("{field} in names"), Vec::new());
    for names in own.chunks(ROWS as usize) {
        found.extend(records::find(object).filter(&rule).param("names", json!(names)).limit(ROWS).run()?);
    }
    Ok(found)
}

/// The names of redemptions that `entries` tell of.
pub(crate) fn redeemed(entries: &Entries) -> BTreeSet<&str> {
    keyed(entries, Kind::Redeem)
}

/// The names of transfers that `entries` tell of.
pub(crate) fn passed_on(entries: &Entries) -> BTreeSet<&str> {
    keyed(entries, Kind::Give)
}

fn keyed(entries: &Entries, kind: Kind) -> BTreeSet<&str> {
    entries.iter().filter(|(_, entry)| entry.kind == kind).filter_map(|(_, entry)| entry.key.as_deref()).collect()
}

/// What stands beside entries and lots under the name of a customer.
#[derive(Debug)]
pub(crate) struct Beside {
    redemptions: Vec<Record>,
    transfers: Vec<Record>,
    vouchers: Vec<Record>,
}

impl Beside {
    /// What `entries` of a customer tell of.
    pub(crate) fn of(customer: &str, entries: &Entries) -> Result<Self, Error> {
        let keys = redeemed(entries);
        Ok(Self {
            redemptions: named(REDEMPTION, "key", customer, keys.iter().copied())?,
            vouchers: named(VOUCHER, "redeem_key", customer, keys.iter().copied())?,
            transfers: named(TRANSFER, "key", customer, passed_on(entries).into_iter())?,
        })
    }

    /// How many records these are.
    pub(crate) const fn len(&self) -> usize {
        self.redemptions.len() + self.transfers.len() + self.vouchers.len()
    }
}

/// Names that both customers have: those of the one who goes are marked with his id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clashes {
    pub(crate) orders: BTreeSet<String>,
    pub(crate) redemptions: BTreeSet<String>,
    pub(crate) transfers: BTreeSet<String>,
}

/// What becomes of names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Names<'a> {
    /// They stay.
    Stay,
    /// Those that are taken say whose they were.
    Mark(&'a Clashes, &'a str),
    /// What said that they were this customer's is left out again.
    Unmark(&'a str),
}

impl Names<'_> {
    fn of(self, name: &str, taken: fn(&Clashes) -> &BTreeSet<String>) -> String {
        match self {
            Self::Mark(clashes, whose) if taken(clashes).contains(name) => format!("{name}{}", mark(whose)),
            Self::Unmark(whose) => name.strip_suffix(&mark(whose)).unwrap_or(name).to_owned(),
            _ => name.to_owned(),
        }
    }
}

/// What is put behind a name to say whose it was.
pub(crate) fn mark(whose: &str) -> String {
    format!(" ({whose})")
}

/// Where records go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move<'a> {
    /// Whose they are from then on.
    pub(crate) to: &'a str,
    /// How entries and lots are numbered then.
    pub(crate) numbers: Renumbering,
    /// What becomes of names.
    pub(crate) names: Names<'a>,
}

impl Move<'_> {
    /// What every record says that goes.
    fn whose(&self) -> Fields {
        Fields::new().with("customer", Reference::new("customer", self.to))
    }

    /// Moves an entry.
    pub(crate) fn entry(&self, record: &Record, entry: &Entry) -> Result<(), Error> {
        let mut entry = entry.clone();
        self.numbers.entry(&mut entry);
        let mut fields = self.whose().with("key", keys::entry(self.to, entry.number)).with("number", entry.number);
        if let Some(lot) = entry.lot {
            fields.set("lot", lot);
        }
        if !entry.parts.is_empty() {
            fields.set("parts", books::json(&entry.parts)?);
        }
        if let Some(reversed) = entry.reverses {
            fields.set("reverses", keys::entry(self.to, reversed));
        }
        if let (Some(name), Some(taken)) = (&entry.key, names_of(entry.kind)) {
            fields.set("name", self.names.of(name, taken));
        }
        records::update(&record.reference(), &fields)
    }

    /// Moves a lot.
    pub(crate) fn lot(&self, record: &Record, lot: &Lot) -> Result<(), Error> {
        let mut lot = lot.clone();
        self.numbers.lot(&mut lot);
        let key = keys::own(self.to, &lot.number.to_string());
        let mut fields = self.whose().with("key", key).with("number", lot.number);
        let places = [
            ("by_expiry", keys::by_expiry(self.to, &lot)),
            ("by_age", keys::by_age(self.to, &lot)),
            ("by_ripening", keys::by_ripening(self.to, &lot)),
        ];
        for (name, place) in places.into_iter().filter(|(_, place)| place.is_some()) {
            fields.set(name, place);
        }
        if let Some(share) = &lot.order {
            let name = self.names.of(&share.name, |clashes| &clashes.orders);
            fields.set("order_key", keys::own(self.to, &name));
            if name != share.name {
                fields.set("order_name", name);
            }
            fields.set("day", record.text("day")?.map(|day| keys::own(self.to, tail(&day))));
        }
        records::update(&record.reference(), &fields)
    }

    /// Moves what stands beside entries and lots.
    pub(crate) fn beside(&self, beside: &Beside) -> Result<(), Error> {
        beside.redemptions.iter().try_for_each(|record| self.redemption(record))?;
        for transfer in &beside.transfers {
            self.keyed(transfer, "key", |clashes| &clashes.transfers)?;
        }
        for voucher in &beside.vouchers {
            self.keyed(voucher, "redeem_key", |clashes| &clashes.redemptions)?;
        }
        Ok(())
    }

    /// Moves a redemption.
    pub(crate) fn redemption(&self, record: &Record) -> Result<(), Error> {
        let mut redemption = redemption_from(record)?;
        self.numbers.parts(&mut redemption.parts);
        let name = self.names.of(&redemption.key, |clashes| &clashes.redemptions);
        let fields = self.whose().with("key", keys::own(self.to, &name)).with("name", name);
        records::update(&record.reference(), &fields.with("parts", books::json(&redemption.parts)?))
    }

    fn keyed(&self, record: &Record, field: &str, taken: fn(&Clashes) -> &BTreeSet<String>) -> Result<(), Error> {
        let key = record.text(field)?.unwrap_or_default();
        let name = self.names.of(tail(&key), taken);
        records::update(&record.reference(), &self.whose().with(field, keys::own(self.to, &name)))
    }
}

/// Gives the order of a customer's lot another name.
pub(crate) fn rename_order(record: &Record, customer: &str, name: &str) -> Result<(), Error> {
    let fields = Fields::new().with("order_name", name).with("order_key", keys::own(customer, name));
    records::update(&record.reference(), &fields)
}

/// A key without the customer that it begins with.
pub(crate) fn tail(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, tail)| tail)
}

/// Among which names the key of an entry is, if it is one of the customer's own.
const fn names_of(kind: Kind) -> Option<fn(&Clashes) -> &BTreeSet<String>> {
    match kind {
        Kind::Redeem | Kind::Cancel => Some(|clashes| &clashes.redemptions),
        Kind::Give => Some(|clashes| &clashes.transfers),
        _ => None,
    }
}
