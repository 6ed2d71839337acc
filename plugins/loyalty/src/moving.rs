//! Moves records of the books to another customer, or to other numbers: their keys, and what names others, go along.

use std::collections::BTreeSet;

use rapport_sdk::{Error, Fields, Record, Reference, records};
use serde_json::json;

use crate::books::{self, ENTRY, LOT, REDEMPTION, entry_from, lot_from, redemption_from};
use crate::keys;
use crate::ledger::{Entry, Kind, Lot, Renumbering};
use crate::rewards::VOUCHER;
use crate::transfer::TRANSFER;

/// Rows that are read at a time, and keys that are asked for at a time.
const ROWS: u32 = 500;

/// Entries with their records, in order.
pub(crate) type Entries = Vec<(Record, Entry)>;

/// The entries of a customer behind the number `after`, in order.
pub(crate) fn entries_after(customer: &str, after: i64) -> Result<Entries, Error> {
    let (mut entries, (_, to)) = (Entries::new(), keys::range(customer));
    let mut from = keys::entry(customer, after);
    loop {
        let range = records::find(ENTRY).filter("key > from && key < to").param("from", from).param("to", to.as_str());
        let page = range.order("key").limit(ROWS).run()?;
        let full = page.len() == ROWS as usize;
        for record in page {
            let entry = entry_from(&record)?;
            entries.push((record, entry));
        }
        match entries.last() {
            Some((_, last)) if full => from = keys::entry(customer, last.number),
            _ => return Ok(entries),
        }
    }
}

/// The lots of a customer behind the number `after`, up to the number `to`, in order.
pub(crate) fn lots_of(customer: &str, after: i64, to: i64) -> Result<Vec<(Record, Lot)>, Error> {
    let names: Vec<String> = (after + 1..=to).map(|number| number.to_string()).collect();
    let found = named(LOT, "key", customer, names.iter().map(String::as_str))?;
    let mut lots =
        found.into_iter().map(|record| Ok((lot_from(&record)?, record))).collect::<Result<Vec<_>, Error>>()?;
    lots.sort_by_key(|(lot, _)| lot.number);
    Ok(lots.into_iter().map(|(lot, record)| (record, lot)).collect())
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
        let mut fields = self
            .whose()
            .with("key", keys::own(self.to, &lot.number.to_string()))
            .with("number", lot.number)
            .with("by_expiry", keys::by_expiry(self.to, &lot))
            .with("by_age", keys::by_age(self.to, &lot))
            .with("by_ripening", keys::by_ripening(self.to, &lot));
        if let Some(share) = &lot.order {
            let name = self.names.of(&share.name, |clashes| &clashes.orders);
            fields.set("order_key", keys::own(self.to, &name));
            fields.set("order_name", name);
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
