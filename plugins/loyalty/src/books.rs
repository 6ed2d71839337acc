//! The books as records of the host.

use std::collections::BTreeMap;

use rapport_sdk::{Decimal, Error, Fields, Json, Record, Reference, Timestamp, Value, records};

use crate::keys;
use crate::ledger::{
    Account, Amounts, Books, Consume, Day, Entry, Factor, Kind, Lot, Month, OrderShare, Part, Redemption,
    RedemptionState, Rules, Source, TierMove,
};

/// The object of accounts.
pub(crate) const ACCOUNT: &str = "loyalty_account";
/// The object of entries.
pub(crate) const ENTRY: &str = "loyalty_entry";
/// The object of lots.
pub(crate) const LOT: &str = "loyalty_lot";
/// The object of redemptions.
pub(crate) const REDEMPTION: &str = "loyalty_redemption";
/// What a lot holds of its order.
const ORDER_FIELDS: [&str; 10] =
    ["order_name", "order_key", "day", "amount", "refunded", "factor", "allowance", "due", "counted", "undone"];
/// Rows that are read at a time where all of them count.
const ROWS: u32 = 500;

/// The books of one customer.
#[derive(Debug)]
pub(crate) struct HostBooks<'a> {
    customer: &'a str,
    rules: &'a Rules,
    /// Whether there may be pending points: if not, nobody looks for them.
    pending: bool,
    /// The lots that were read, by number, and whether an order is theirs: of these only what changes is written.
    read: BTreeMap<i64, (Reference, bool)>,
}

impl<'a> HostBooks<'a> {
    /// The books of the customer with this id, under `rules`.
    pub(crate) const fn of(customer: &'a str, account: &Account, rules: &'a Rules) -> Self {
        Self { customer, rules, pending: account.amounts.pending > 0, read: BTreeMap::new() }
    }

    /// The same, where the lots of `other` are among them.
    pub(crate) const fn with(mut self, other: &Account) -> Self {
        self.pending |= other.amounts.pending > 0;
        self
    }

    /// Where to look for points that expire: among the available, and among the pending ones.
    const fn shelves(&self) -> &'static [bool] {
        if self.pending { &[false, true] } else { &[false] }
    }

    fn own(&self, name: &str) -> String {
        keys::own(self.customer, name)
    }

    /// The lots whose `place` lies between two others, in the order of that field.
    fn range(&mut self, place: &str, (from, to): (String, String), limit: usize) -> Result<Vec<Lot>, Error> {
        let rule = format!("{place} > from && {place} < to");
        let limit = u32::try_from(limit).unwrap_or(ROWS);
        let found = records::find(LOT).filter(&rule).param("from", from).param("to", to).order(place).limit(limit);
        found.run()?.iter().map(|row| self.lot_of(row)).collect()
    }

    fn lot_of(&mut self, record: &Record) -> Result<Lot, Error> {
        let lot = lot_from(record)?;
        self.read.insert(lot.number, (record.reference(), lot.order.is_some()));
        Ok(lot)
    }
}

impl Books for HostBooks<'_> {
    type Error = Error;

    fn lot(&mut self, number: i64) -> Result<Lot, Error> {
        let key = self.own(&number.to_string());
        let none = || Error::new("books", format!("there is no lot `{key}`"));
        self.lot_of(&records::get(LOT, &format!("key:{key}"))?.ok_or_else(none)?)
    }

    fn order(&mut self, order: &str) -> Result<Option<Lot>, Error> {
        let found = records::get(LOT, &format!("order_key:{}", self.own(order)))?;
        found.as_ref().map(|record| self.lot_of(record)).transpose()
    }

    fn spendable(&mut self, consume: Consume, limit: usize) -> Result<Vec<Lot>, Error> {
        match consume {
            Consume::ExpiryThenEarn => self.range("by_expiry", keys::spendable(self.customer), limit),
            Consume::Earn => self.range("by_age", keys::range(self.customer), limit),
        }
    }

    fn ripening(&mut self, limit: usize) -> Result<Vec<Lot>, Error> {
        self.range("by_ripening", keys::range(self.customer), limit)
    }

    fn expiring(&mut self, after: Option<Timestamp>, limit: usize) -> Result<Vec<Lot>, Error> {
        let mut lots = Vec::new();
        for pending in self.shelves() {
            lots.extend(self.range("by_expiry", keys::expiring(self.customer, *pending, after), limit)?);
        }
        lots.sort_by_key(|lot| (lot.expires_at, lot.earned_at, lot.number));
        lots.truncate(limit);
        Ok(lots)
    }

    fn expiring_at(&mut self, at: Timestamp, limit: usize) -> Result<Vec<Lot>, Error> {
        let mut lots = Vec::new();
        for pending in self.shelves() {
            lots.extend(self.range("by_expiry", keys::expiring_at(self.customer, *pending, at), limit - lots.len())?);
        }
        Ok(lots)
    }

    fn points_expiring(&mut self, at: Timestamp) -> Result<i64, Error> {
        let mut points = 0;
        for pending in self.shelves() {
            let (mut from, to) = keys::expiring_at(self.customer, *pending, at);
            loop {
                let page = self.range("by_expiry", (from, to.clone()), ROWS as usize)?;
                points += page.iter().map(|lot| lot.remaining).sum::<i64>();
                match page.last().and_then(|lot| keys::by_expiry(self.customer, lot)) {
                    Some(last) if page.len() == ROWS as usize => from = last,
                    _ => break,
                }
            }
        }
        Ok(points)
    }

    fn points_of_orders(&mut self, day: Day) -> Result<i64, Error> {
        let (mut points, mut after) = (0, String::new());
        loop {
            let of_day = records::find(LOT).filter("day == d").param("d", keys::of_day(self.customer, day));
            let page = of_day.after(&after).limit(ROWS).run()?;
            for row in &page {
                let lot = lot_from(row)?;
                points += lot.order.filter(|share| !share.undone).map_or(0, |_| lot.points);
            }
            match page.last() {
                Some(last) if page.len() == ROWS as usize => after.clone_from(&last.id),
                _ => return Ok(points),
            }
        }
    }

    fn redemption(&mut self, key: &str) -> Result<Option<Redemption>, Error> {
        records::get(REDEMPTION, &format!("key:{}", self.own(key)))?.as_ref().map(redemption_from).transpose()
    }

    fn entries_of_run(&mut self, run: &str) -> Result<Vec<Entry>, Error> {
        let (mut entries, mut after) = (Vec::new(), String::new());
        loop {
            let of_run = records::find(ENTRY).filter("run == r").param("r", run).after(&after).limit(ROWS).run()?;
            for row in &of_run {
                if reference(row, "customer")?.id == self.customer {
                    entries.push(entry_from(row)?);
                }
            }
            match of_run.last() {
                Some(last) if of_run.len() == ROWS as usize => after.clone_from(&last.id),
                _ => break,
            }
        }
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }

    fn is_reversed(&mut self, number: i64) -> Result<bool, Error> {
        let key = keys::entry(self.customer, number);
        Ok(!records::find(ENTRY).filter("reverses == k").param("k", key).limit(1).run()?.is_empty())
    }

    fn save_lot(&mut self, lot: &Lot) -> Result<(), Error> {
        self.pending |= lot.pending;
        let customer = self.customer;
        let share = lot.order.as_ref();
        let mut fields = Fields::new()
            .with("remaining", lot.remaining)
            .with("pending", lot.pending)
            .with("expired", lot.expired)
            .with("by_expiry", keys::by_expiry(customer, lot))
            .with("by_age", keys::by_age(customer, lot))
            .with("by_ripening", keys::by_ripening(customer, lot));
        if let Some(share) = share {
            fields.set("refunded", share.refunded);
            fields.set("due", share.due);
            fields.set("counted", share.counted);
            fields.set("undone", share.undone);
        }
        if let Some((known, had_order)) = self.read.get(&lot.number) {
            if *had_order && share.is_none() {
                // Its order is undone, and paid again by another lot.
                for name in ORDER_FIELDS {
                    fields.set(name, Value::Null);
                }
            }
            return records::update(known, &fields);
        }
        let day = self.rules.calendar.day(lot.earned_at);
        let fields = fields
            .with("key", self.own(&lot.number.to_string()))
            .with("customer", Reference::new("customer", customer))
            .with("number", lot.number)
            .with("source", lot.source.as_str())
            .with("earned_at", lot.earned_at)
            .with("available_at", lot.available_at)
            .with("expires_at", lot.expires_at)
            .with("points", lot.points)
            .with("order_name", share.map(|s| s.name.clone()))
            .with("order_key", share.map(|s| self.own(&s.name)))
            .with("day", share.map(|_| keys::of_day(customer, day)))
            .with("amount", share.map(|s| s.amount))
            .with("factor", share.map(|s| s.factor.as_decimal().to_string()))
            .with("allowance", share.and_then(|s| s.allowance));
        records::create(LOT, &fields).map(drop)
    }

    fn save_redemption(&mut self, redemption: &Redemption) -> Result<(), Error> {
        let fields = Fields::new()
            .with("key", self.own(&redemption.key))
            .with("customer", Reference::new("customer", self.customer))
            .with("name", redemption.key.as_str())
            .with("points", redemption.points)
            .with("parts", json(&redemption.parts)?)
            .with("state", redemption.state.as_str())
            .with("spent_at", redemption.at);
        records::upsert(REDEMPTION, "key", &fields).map(drop)
    }

    fn append(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut fields = Fields::new()
            .with("key", keys::entry(self.customer, entry.number))
            .with("customer", Reference::new("customer", self.customer))
            .with("number", entry.number)
            .with("kind", entry.kind.as_str())
            .with("booked_at", entry.at)
            .with("happened_at", entry.time)
            .with("parts", json(&entry.parts)?)
            .with("order_name", entry.order.clone())
            .with("lot", entry.lot)
            .with("money", entry.money)
            .with("due", entry.due)
            .with("counted", entry.counted)
            .with("name", entry.key.clone())
            .with("reason", entry.reason.as_str())
            .with("tier", entry.tier.as_ref().map(json).transpose()?)
            .with("reverses", entry.reverses.map(|number| keys::entry(self.customer, number)))
            .with("timed", entry.timed)
            .with("run", entry.run.as_str())
            .with("cause", entry.cause.as_str());
        for (name, amount) in entry.amounts.named() {
            fields.set(name, amount);
        }
        records::create(ENTRY, &fields).map(drop)
    }
}

/// The account of a customer, and its record if there is one yet.
pub(crate) fn load_account(customer: &str) -> Result<(Account, Option<Record>), Error> {
    let record = records::get(ACCOUNT, &format!("customer:{customer}"))?;
    let account = record.as_ref().map_or_else(|| Ok(Account::default()), account_from)?;
    Ok((account, record))
}

/// Saves what an operation made of an account.
pub(crate) fn save_account(
    customer: &str,
    account: &Account,
    record: Option<&Record>,
    rules: &Rules,
) -> Result<(), Error> {
    let warn_at = account.warn_next.map(|expiry| rules.warn_from(expiry));
    let next_due = [account.next_due(), warn_at].into_iter().flatten().min();
    let mut fields = Fields::new()
        .with("balance", account.balance())
        .with("next_expiry", account.next_expiry)
        .with("next_expiry_points", account.next_expiry_points)
        .with("face_value", Decimal::new(account.face_value_cents(rules), 2))
        .with("tier", account.tier.clone())
        .with("tier_until", account.tier_until)
        .with("next_ripening", account.next_ripening)
        .with("months", json(&account.months)?)
        .with("warn_next", account.warn_next)
        .with("warned", json(&account.warned.iter().map(|at| at.0).collect::<Vec<_>>())?)
        .with("next_due", next_due)
        .with("as_of", account.as_of)
        .with("entries", account.entries)
        .with("lots", account.lots)
        .with("orders", account.orders);
    for (name, amount) in account.amounts.named() {
        fields.set(name, amount);
    }
    match record {
        Some(record) => records::update(&record.reference(), &fields),
        None => records::create(ACCOUNT, &fields.with("customer", Reference::new("customer", customer))).map(drop),
    }
}

/// Reads an account's record.
pub(crate) fn account_from(record: &Record) -> Result<Account, Error> {
    let warned: Vec<i64> = from_json(record, "warned")?.unwrap_or_default();
    let months: Option<Vec<Month>> = from_json(record, "months")?;
    Ok(Account {
        amounts: amounts_from(record)?,
        next_expiry: record.read("next_expiry")?,
        next_expiry_points: int(record, "next_expiry_points")?,
        next_ripening: record.read("next_ripening")?,
        tier: record.text("tier")?,
        tier_until: record.read("tier_until")?,
        months: months.unwrap_or_default(),
        warn_next: record.read("warn_next")?,
        warned: warned.into_iter().map(Timestamp).collect(),
        as_of: record.read("as_of")?,
        entries: int(record, "entries")?,
        lots: int(record, "lots")?,
        orders: int(record, "orders")?,
    })
}

fn amounts_from(record: &Record) -> Result<Amounts, Error> {
    Ok(Amounts {
        available: int(record, "available")?,
        pending: int(record, "pending")?,
        debt: int(record, "debt")?,
        earned: int(record, "earned")?,
        redeemed: int(record, "redeemed")?,
        expired: int(record, "expired")?,
        clawed: int(record, "clawed")?,
        debt_repaid: int(record, "debt_repaid")?,
        restored: int(record, "restored")?,
    })
}

/// Reads a lot's record.
pub(crate) fn lot_from(record: &Record) -> Result<Lot, Error> {
    let name = record.text("order_key")?.and(record.text("order_name")?);
    let order = name.map(|name| share_from(record, name)).transpose()?;
    Ok(Lot {
        number: int(record, "number")?,
        source: named(record, "source", &Source::ALL, Source::as_str)?,
        earned_at: instant(record, "earned_at")?,
        available_at: instant(record, "available_at")?,
        expires_at: record.read("expires_at")?,
        points: int(record, "points")?,
        remaining: int(record, "remaining")?,
        pending: record.read("pending")?.unwrap_or(false),
        expired: int(record, "expired")?,
        order,
    })
}

fn share_from(record: &Record, name: String) -> Result<OrderShare, Error> {
    let factor = record.text("factor")?.and_then(|text| Decimal::from_str_exact(&text).ok());
    Ok(OrderShare {
        name,
        amount: record.decimal("amount")?.unwrap_or_default(),
        refunded: record.decimal("refunded")?.unwrap_or_default(),
        factor: factor.map_or(Factor::ONE, Factor::from_decimal),
        allowance: record.int("allowance")?,
        due: int(record, "due")?,
        counted: int(record, "counted")?,
        undone: record.read("undone")?.unwrap_or(false),
    })
}

/// Reads a redemption's record.
pub(crate) fn redemption_from(record: &Record) -> Result<Redemption, Error> {
    Ok(Redemption {
        key: record.text("name")?.unwrap_or_default(),
        points: int(record, "points")?,
        parts: from_json(record, "parts")?.unwrap_or_default(),
        state: named(record, "state", &RedemptionState::ALL, RedemptionState::as_str)?,
        at: instant(record, "spent_at")?,
    })
}

/// Reads an entry's record.
pub(crate) fn entry_from(record: &Record) -> Result<Entry, Error> {
    let tier: Option<TierMove> = from_json(record, "tier")?;
    let parts: Option<Vec<Part>> = from_json(record, "parts")?;
    let reverses = record.text("reverses")?.and_then(|key| key.rsplit('/').next()?.parse().ok());
    Ok(Entry {
        number: int(record, "number")?,
        kind: named(record, "kind", Kind::ALL, Kind::as_str)?,
        at: instant(record, "booked_at")?,
        time: instant(record, "happened_at")?,
        amounts: amounts_from(record)?,
        parts: parts.unwrap_or_default(),
        order: record.text("order_name")?,
        lot: record.int("lot")?,
        money: record.decimal("money")?.unwrap_or_default(),
        due: int(record, "due")?,
        counted: int(record, "counted")?,
        key: record.text("name")?,
        reason: record.text("reason")?.unwrap_or_default(),
        tier,
        reverses,
        timed: record.read("timed")?.unwrap_or(false),
        run: record.text("run")?.unwrap_or_default(),
        cause: record.text("cause")?.unwrap_or_default(),
    })
}

/// What [`entry_outline`] reads.
pub(crate) const ENTRY_OUTLINE: [&str; 10] =
    ["id", "number", "kind", "booked_at", "parts", "order_name", "lot", "name", "reverses", "cause"];

/// Reads of an entry's record what it names, and nothing else: there are many where books are moved.
pub(crate) fn entry_outline(record: &Record) -> Result<Entry, Error> {
    Ok(Entry {
        number: int(record, "number")?,
        at: instant(record, "booked_at")?,
        parts: from_json(record, "parts")?.unwrap_or_default(),
        order: record.text("order_name")?,
        lot: record.int("lot")?,
        key: record.text("name")?,
        reverses: record.text("reverses")?.and_then(|key| key.rsplit('/').next()?.parse().ok()),
        cause: record.text("cause")?.unwrap_or_default(),
        ..Entry::of(named(record, "kind", Kind::ALL, Kind::as_str)?)
    })
}

/// What [`lot_outline`] reads, and the day.
pub(crate) const LOT_OUTLINE: [&str; 11] = [
    "id",
    "number",
    "earned_at",
    "available_at",
    "expires_at",
    "remaining",
    "pending",
    "order_name",
    "order_key",
    "undone",
    "day",
];

/// Reads of a lot's record where it stands, and the name of its order.
pub(crate) fn lot_outline(record: &Record) -> Result<Lot, Error> {
    let name = record.text("order_key")?.and(record.text("order_name")?);
    let undone = record.read("undone")?.unwrap_or(false);
    Ok(Lot {
        number: int(record, "number")?,
        source: Source::Order,
        earned_at: instant(record, "earned_at")?,
        available_at: instant(record, "available_at")?,
        expires_at: record.read("expires_at")?,
        points: 0,
        remaining: int(record, "remaining")?,
        pending: record.read("pending")?.unwrap_or(false),
        expired: 0,
        order: name.map(|name| OrderShare { undone, ..OrderShare::of(name) }),
    })
}

fn int(record: &Record, field: &str) -> Result<i64, Error> {
    Ok(record.int(field)?.unwrap_or(0))
}

fn instant(record: &Record, field: &str) -> Result<Timestamp, Error> {
    let missing = || Error::new("books", format!("`{}` has no `{field}`", record.reference()));
    record.read(field)?.ok_or_else(missing)
}

/// The record that `field` refers to.
pub(crate) fn reference(record: &Record, field: &str) -> Result<Reference, Error> {
    let missing = || Error::new("books", format!("`{}` has no `{field}`", record.reference()));
    record.read(field)?.ok_or_else(missing)
}

fn named<T: Copy>(record: &Record, field: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, Error> {
    let text = record.text(field)?.unwrap_or_default();
    let unknown = || Error::new("books", format!("`{}`: `{text}` is no {field}", record.reference()));
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(unknown)
}

/// Something of the plugin's own as the value of a field.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map(Value::Json).map_err(|e| Error::new("books", e.to_string()))
}

/// Reads what [`json`] wrote; none if the field is null.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(record: &Record, field: &str) -> Result<Option<T>, Error> {
    let Some(json) = record.read::<Json>(field)? else { return Ok(None) };
    let wrong = |e| Error::new("books", format!("`{}`: `{field}`: {e}", record.reference()));
    serde_json::from_value(json).map(Some).map_err(wrong)
}
