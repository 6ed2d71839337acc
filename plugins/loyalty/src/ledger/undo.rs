//! Undo: entries that take back what a run booked. What time did meanwhile stays.

use rapport_sdk::{Decimal, Timestamp};

use super::calendar::month_number;
use super::entry::{Amounts, Counter, Entry, Kind, Part};
use super::lot::{Lot, Source};
use super::rules::Shortfall;
use super::spend::RedemptionState;
use super::{Booked, Books, Ledger};

impl<B: Books> Ledger<'_, B> {
    /// Takes back what `run` booked on this account, the last entry first. Returns how many entries were taken back.
    ///
    /// Points that it gave are taken from where they lie; those that were spent since, from others, or they become debt; those that
    /// expired are let go. Points that it took go back to their lots; what has expired meanwhile is gone at once. Debt that it
    /// made and that has been repaid since comes back as points. An undo is undone in the same way. No entry is taken back twice.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`]; [`super::LedgerError::TooManyLots`].
    pub fn undo(&mut self, run: &str, time: Timestamp) -> Booked<usize, B> {
        let now = self.begin(time)?;
        let mut reversed = 0;
        for entry in self.books.entries_of_run(run)?.iter().rev() {
            if !entry.timed && !self.books.is_reversed(entry.number)? {
                self.reverse(entry, now)?;
                reversed += 1;
            }
        }
        self.close(now)?;
        Ok(reversed)
    }

    fn reverse(&mut self, entry: &Entry, now: Timestamp) -> Booked<(), B> {
        if !self.turn_back(entry)? {
            return Ok(());
        }
        let (mut amounts, mut parts, mut missing, mut net) = (Amounts::default(), Vec::new(), 0, 0);
        for part in &entry.parts {
            let mut lot = self.books.lot(part.lot)?;
            // Back into the lot what was taken; out of it what was put in, as far as it is there.
            let points = (-part.points).max(-lot.remaining);
            missing += still_missing(&lot, part.points + points);
            *if lot.pending { &mut amounts.pending } else { &mut amounts.available } += points;
            net += points;
            if entry.kind == Kind::Expire {
                lot.expired -= points;
            }
            parts.push(Part { lot: part.lot, points });
            self.change(&mut lot, points)?;
        }
        if let Some(counter) = entry.kind.counter() {
            let inflow = matches!(counter, Counter::Earned | Counter::Restored);
            *amounts.counter(counter) += if inflow { net } else { -net };
        }
        let debt = (-entry.amounts.debt).max(-self.account.amounts.debt);
        let repaid = entry.amounts.debt + debt;
        amounts.debt = debt;
        self.book(Entry {
            amounts,
            parts,
            order: entry.order.clone(),
            lot: entry.lot,
            money: -entry.money,
            due: -entry.due,
            counted: -entry.counted,
            key: entry.key.clone(),
            reason: entry.reason.clone(),
            reverses: Some(entry.number),
            ..Entry::of(entry.kind)
        })?;
        if missing > 0 {
            let taken = self.claw(missing, Shortfall::Negative)?;
            let (amounts, parts, reason) = (taken.amounts, taken.parts, of_entry(entry));
            self.book(Entry { amounts, parts, reason, ..Entry::of(Kind::Reclaim) })?;
        }
        if repaid > 0 { self.give_back(repaid, of_entry(entry), now) } else { Ok(()) }
    }

    /// Turns back what orders, redemptions and tiers know of an entry. False if there is nothing to turn back.
    fn turn_back(&mut self, entry: &Entry) -> Booked<bool, B> {
        match entry.kind {
            Kind::Earn => self.turn_order(entry),
            Kind::Refund => self.turn_refund(entry),
            Kind::Bonus => {
                self.count_for_tier(entry.time, (-entry.amounts.earned, Decimal::ZERO));
                Ok(true)
            }
            Kind::Redeem => self.turn_redemption(entry, (RedemptionState::Spent, RedemptionState::Undone)),
            Kind::Tier => {
                let Some(step) = entry.tier.as_ref().filter(|step| step.to == self.account.tier) else {
                    return Ok(false);
                };
                self.move_tier((step.from.clone(), step.until.map(Timestamp)), Some(entry.number))?;
                Ok(false)
            }
            Kind::Cancel => self.turn_redemption(entry, (RedemptionState::Cancelled, RedemptionState::Spent)),
            _ => Ok(true),
        }
    }

    fn turn_order(&mut self, entry: &Entry) -> Booked<bool, B> {
        let Some(number) = entry.lot else { return Ok(true) };
        let mut lot = self.books.lot(number)?;
        if let Some(share) = &mut lot.order {
            share.undone = !share.undone;
            self.account.orders += if share.undone { -1 } else { 1 };
            self.books.save_lot(&lot)?;
        }
        self.count_for_tier(lot.earned_at, (-entry.amounts.earned, -entry.money));
        Ok(true)
    }

    fn turn_refund(&mut self, entry: &Entry) -> Booked<bool, B> {
        let mut earned_at = entry.time;
        if let Some(number) = entry.lot {
            let mut lot = self.books.lot(number)?;
            earned_at = lot.earned_at;
            if let Some(share) = &mut lot.order {
                share.refunded -= entry.money;
                share.due -= entry.due;
                share.counted -= entry.counted;
            }
            self.books.save_lot(&lot)?;
        }
        let month = month_number(self.rules.calendar.day(earned_at));
        self.account.count(month, (entry.due, entry.money), self.rules.months_kept());
        Ok(true)
    }

    /// A redemption goes from one state to the other, whichever it is in. One that is in neither is left: a redemption that
    /// was cancelled has given its points back.
    fn turn_redemption(&mut self, entry: &Entry, states: (RedemptionState, RedemptionState)) -> Booked<bool, B> {
        let key = entry.key.as_deref().unwrap_or_default();
        let Some(mut redemption) = self.books.redemption(key)? else { return Ok(false) };
        let state = match redemption.state {
            state if state == states.0 => states.1,
            state if state == states.1 => states.0,
            _ => return Ok(false),
        };
        redemption.state = state;
        self.books.save_redemption(&redemption)?;
        Ok(true)
    }

    fn give_back(&mut self, points: i64, reason: String, now: Timestamp) -> Booked<(), B> {
        let mut lot = Lot {
            number: self.next_lot(),
            source: Source::Undo,
            earned_at: now,
            available_at: now,
            expires_at: self.rules.expires_at(now),
            points,
            remaining: 0,
            pending: false,
            expired: 0,
            order: None,
        };
        self.change(&mut lot, points)?;
        let amounts = Amounts { available: points, restored: points, ..Amounts::default() };
        let parts = vec![Part { lot: lot.number, points }];
        self.book(Entry { amounts, parts, reason, ..Entry::of(Kind::Return) })
    }
}

fn of_entry(entry: &Entry) -> String {
    format!("undo of entry {}", entry.number)
}

/// Of `points` of a lot that are not there any more, those that have not expired.
fn still_missing(lot: &Lot, points: i64) -> i64 {
    let counted = lot.order.as_ref().map_or(0, |order| order.counted);
    (points - (lot.expired - counted)).max(0)
}
