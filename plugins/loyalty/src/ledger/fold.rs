//! Folding: the books of one account go into another's, and can be given back.
//!
//! ```text
//! into   1 ….. n                          1 ….. n │ n+1 … n+m │ booked by the fold │ since
//! from   1 … m          ── fold ──▶
//! into   1 ….. n │ since    ◀── back ──   from   1 … m
//! ```
//! The keeper of the books moves entries and lots, and numbers them anew; here is how, and what follows for the accounts.

use std::collections::BTreeSet;

use rapport_sdk::{Decimal, Timestamp};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::entry::{Amounts, Entry, Kind, Part};
use super::lot::Lot;
use super::tier::TierChange;
use super::{Booked, Books, Ledger, Stale};

/// Numbers above one move by a distance; the others stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The last number that stays.
    pub above: i64,
    /// By how much the others move.
    pub by: i64,
}

impl Step {
    /// What becomes of a number.
    #[must_use]
    pub const fn of(self, number: i64) -> i64 {
        if number > self.above { number + self.by } else { number }
    }
}

/// How entries and lots are numbered anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renumbering {
    /// The entries.
    pub entries: Step,
    /// The lots.
    pub lots: Step,
}

impl Renumbering {
    /// Numbers an entry anew, and what it names.
    pub fn entry(self, entry: &mut Entry) {
        entry.number = self.entries.of(entry.number);
        entry.reverses = entry.reverses.map(|number| self.entries.of(number));
        entry.lot = entry.lot.map(|number| self.lots.of(number));
        self.parts(&mut entry.parts);
    }

    /// Numbers a lot anew.
    pub const fn lot(self, lot: &mut Lot) {
        lot.number = self.lots.of(lot.number);
    }

    /// Numbers the lots anew of which something was taken, or into which it was put.
    pub fn parts(self, parts: &mut [Part]) {
        for part in parts {
            part.lot = self.lots.of(part.lot);
        }
    }
}

/// What a fold was made of: all that the way back needs to know of the accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// The account that took the other one in, as it was before.
    pub into: Account,
    /// The account that went into it, as it was before.
    pub from: Account,
    /// How many entries the fold itself booked: they stand behind those that came over.
    pub booked: i64,
}

impl Fold {
    /// The numbers of what comes over.
    #[must_use]
    pub const fn over(&self) -> Renumbering {
        let (entries, lots) = (self.into.entries, self.into.lots);
        Renumbering { entries: Step { above: 0, by: entries }, lots: Step { above: 0, by: lots } }
    }

    /// The numbers of what goes back.
    #[must_use]
    pub const fn back(&self) -> Renumbering {
        let (entries, lots) = (self.into.entries, self.into.lots);
        Renumbering { entries: Step { above: 0, by: -entries }, lots: Step { above: 0, by: -lots } }
    }

    /// The numbers of what was booked since, as if nothing had come over.
    #[must_use]
    pub const fn closing(&self) -> Renumbering {
        let entries = Step { above: self.into.entries, by: -(self.from.entries + self.booked) };
        Renumbering { entries, lots: Step { above: self.into.lots, by: -self.from.lots } }
    }

    /// The last entry that came over.
    #[must_use]
    pub const fn last_over(&self) -> i64 {
        self.into.entries + self.from.entries
    }

    /// The last entry that the fold booked itself.
    #[must_use]
    pub const fn last_own(&self) -> i64 {
        self.last_over() + self.booked
    }

    /// The last lot that came over.
    #[must_use]
    pub const fn last_lot(&self) -> i64 {
        self.into.lots + self.from.lots
    }

    /// The first entry of those `since` that has touched what came over: its lots, its entries, or the name of an order or a redemption.
    #[must_use]
    pub fn touch<'e>(&self, came: &[Entry], since: &'e [Entry]) -> Option<&'e Entry> {
        let names = |kind: Kind, name: fn(&Entry) -> Option<&String>| {
            came.iter().filter(|entry| entry.kind == kind).filter_map(name).collect::<BTreeSet<_>>()
        };
        let (orders, keys) = (names(Kind::Earn, |e| e.order.as_ref()), names(Kind::Redeem, |e| e.key.as_ref()));
        let is_lot = |number: i64| number > self.into.lots && number <= self.last_lot();
        let is_entry = |number: i64| number > self.into.entries && number <= self.last_own();
        since.iter().find(|entry| {
            entry.parts.iter().any(|part| is_lot(part.lot))
                || entry.lot.is_some_and(is_lot)
                || entry.reverses.is_some_and(is_entry)
                || entry.kind == Kind::Earn && entry.order.as_ref().is_some_and(|order| orders.contains(order))
                || entry.kind == Kind::Redeem && entry.key.as_ref().is_some_and(|key| keys.contains(key))
        })
    }

    /// What stays of `amounts` when what came over goes, and what the fold booked by `own` is forgotten. `None` if more debt has been repaid
    /// since than is not of what came over.
    #[must_use]
    pub fn rest(&self, amounts: &Amounts, own: &[Entry]) -> Option<Amounts> {
        let mut rest = *amounts;
        rest.take_away(&self.from.amounts);
        for entry in own {
            rest.take_away(&entry.amounts);
        }
        (rest.debt >= 0).then_some(rest)
    }
}

impl<B: Books> Ledger<'_, B> {
    /// Books what fell due until `time`.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`].
    pub fn bring_up(&mut self, time: Timestamp) -> Booked<(), B> {
        self.begin(time)?;
        self.refresh()
    }

    /// Takes in the account `from`, whose entries and lots the books hold behind this one's own already. Both have been brought up to `time`.
    ///
    /// The sums are those of both; what is available repays what is owed. The higher tier stays as long as it did; a higher one is reached
    /// if both together reach it.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::TooManyLots`].
    pub fn take_in(&mut self, from: &Account, time: Timestamp) -> Booked<(), B> {
        let now = self.account.as_of.map_or(time, |before| before.max(time));
        self.account.as_of = Some(now);
        self.account.add(from);
        let (own, other) = (self.height_of(&self.account), self.height_of(from));
        if other > own {
            self.move_tier((from.tier.clone(), from.tier_until), None)?;
        } else if other == own && from.tier == self.account.tier {
            let until = self.account.tier_until.zip(from.tier_until);
            self.account.tier_until = until.map(|(own, other)| own.max(other));
        }
        self.stale = Stale { expiry: true, ripening: true };
        self.finish(now)
    }

    /// Gives back what `fold` took in; the books hold this account's own entries and lots only, numbered anew. `rest` is what
    /// [`Fold::rest`] leaves.
    ///
    /// The tier is that of before, as time and what was reached since have made it.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`]; [`super::LedgerError::TooManyLots`].
    pub fn hand_back(&mut self, fold: &Fold, rest: Amounts, time: Timestamp) -> Booked<(), B> {
        let now = self.account.as_of.map_or(time, |before| before.max(time));
        self.account.as_of = Some(now);
        let from = self.account.tier.clone();
        self.account.take_away(fold, rest);
        self.stale = Stale { expiry: true, ripening: true };
        self.finish(now)?;
        self.skip_warnings(fold.into.warn_next)?;
        let to = self.account.tier.clone();
        self.tier_changes.clear();
        if from != to {
            self.tier_changes.push(TierChange { from, to, at: now });
        }
        Ok(())
    }

    fn height_of(&self, account: &Account) -> Option<Decimal> {
        self.rules.height(account.tier.as_deref())
    }

    /// The next expiry to warn of is not one that came over.
    fn skip_warnings(&mut self, before: Option<Timestamp>) -> Booked<(), B> {
        let Some(next) = self.account.warn_next.filter(|next| Some(*next) != before) else { return Ok(()) };
        if self.books.points_expiring(next)? == 0 {
            self.account.warn_next = self.books.expiring(Some(next), 1)?.first().and_then(|lot| lot.expires_at);
        }
        Ok(())
    }
}

impl Account {
    /// Adds another account, its tier aside.
    fn add(&mut self, other: &Self) {
        self.amounts.add(&other.amounts);
        for month in &other.months {
            match self.months.binary_search_by_key(&month.month, |own| own.month) {
                Ok(place) => {
                    self.months[place].points += month.points;
                    self.months[place].spend += month.spend;
                }
                Err(place) => self.months.insert(place, month.clone()),
            }
        }
        self.warn_next = [self.warn_next, other.warn_next].into_iter().flatten().min();
        let new = other.warned.iter().filter(|at| !self.warned.contains(at)).copied().collect::<Vec<_>>();
        self.warned.extend(new);
        self.entries += other.entries;
        self.lots += other.lots;
        self.orders += other.orders;
    }

    /// Takes away again what a fold added, and has the tier of before.
    fn take_away(&mut self, fold: &Fold, rest: Amounts) {
        let Fold { into, from, booked } = fold;
        self.amounts = rest;
        self.entries -= from.entries + booked;
        self.lots -= from.lots;
        self.orders -= from.orders;
        for gone in &from.months {
            if let Ok(place) = self.months.binary_search_by_key(&gone.month, |own| own.month) {
                self.months[place].points -= gone.points;
                self.months[place].spend -= gone.spend;
            }
        }
        let was_there = |month: i32| into.months.iter().any(|own| own.month == month);
        self.months.retain(|own| own.points != 0 || !own.spend.is_zero() || was_there(own.month));
        self.warned.retain(|at| into.warned.contains(at) || !from.warned.contains(at));
        (self.tier, self.tier_until) = (into.tier.clone(), into.tier_until);
    }
}
