//! Refunds: what the points of an order would have been without the money that went back.

use rapport_sdk::{Decimal, Timestamp};

use super::calendar::month_number;
use super::entry::{Amounts, Entry, Kind, Part};
use super::exact::Factor;
use super::lot::OrderShare;
use super::rules::Shortfall;
use super::{Booked, Books, Ledger, Outcome, POINTS_MAX};

impl<B: Books> Ledger<'_, B> {
    /// Takes back the points that `amount` of an order earned: the order's own, then those of its own that expired are
    /// counted, then others in the order of spending; what is not there becomes debt, or is forgiven.
    ///
    /// Without a named order `amount` counts as having earned one point for each whole unit, and is taken in the order of spending.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`]; [`super::LedgerError::TooManyLots`].
    pub fn refund(&mut self, order: Option<&str>, amount: Decimal, time: Timestamp) -> Booked<Outcome, B> {
        let now = self.begin(time)?;
        let outcome = match order {
            Some(order) => self.refund_order(order, amount, time)?,
            None => self.refund_any(amount, time)?,
        };
        if outcome == Outcome::Ok {
            self.finish(now)?;
        }
        Ok(outcome)
    }

    fn refund_order(&mut self, order: &str, amount: Decimal, time: Timestamp) -> Booked<Outcome, B> {
        let Some(mut lot) = self.books.order(order)? else { return Ok(Outcome::RejectedUnknown) };
        let Some(mut share) = lot.order.take().filter(|share| !share.undone) else {
            return Ok(Outcome::RejectedUnknown);
        };
        if amount <= Decimal::ZERO || amount > share.amount - share.refunded {
            return Ok(Outcome::RejectedAmount);
        }
        share.refunded += amount;
        let due = lot.points - would_have_earned(&share) - share.due;
        share.due += due;
        let own = due.min(lot.remaining);
        let counted = (due - own).min(lot.expired - share.counted);
        share.counted += counted;
        lot.order = Some(share);
        let mut amounts = Amounts { clawed: own, ..Amounts::default() };
        *if lot.pending { &mut amounts.pending } else { &mut amounts.available } -= own;
        let mut parts = Vec::new();
        if own > 0 {
            parts.push(Part { lot: lot.number, points: -own });
        }
        self.change(&mut lot, -own)?;
        let taken = self.claw(due - own - counted, self.rules.refund_shortfall)?;
        amounts.add(&taken.amounts);
        parts.extend(taken.parts);
        let month = month_number(self.rules.calendar.day(lot.earned_at));
        self.account.count(month, (-due, -amount), self.rules.months_kept());
        let entry = Entry { lot: Some(lot.number), ..Entry::of(Kind::Refund) };
        self.book(Entry { time, amounts, parts, order: Some(order.into()), money: amount, due, counted, ..entry })?;
        Ok(Outcome::Ok)
    }

    fn refund_any(&mut self, amount: Decimal, time: Timestamp) -> Booked<Outcome, B> {
        let due = Factor::ONE.floor_of(amount).filter(|due| *due <= POINTS_MAX);
        let Some(due) = due.filter(|_| amount > Decimal::ZERO) else { return Ok(Outcome::RejectedAmount) };
        let Taken { amounts, parts } = self.claw(due, self.rules.refund_shortfall)?;
        let month = month_number(self.rules.calendar.day(time));
        self.account.count(month, (-due, -amount), self.rules.months_kept());
        self.book(Entry { time, amounts, parts, money: amount, due, ..Entry::of(Kind::Refund) })?;
        Ok(Outcome::Ok)
    }

    /// Takes `points` from the lots with available points; what is not there is a shortfall. Books nothing yet.
    pub(super) fn claw(&mut self, points: i64, shortfall: Shortfall) -> Booked<Taken, B> {
        let parts = self.take(points)?;
        let taken: i64 = parts.iter().map(|part| -part.points).sum();
        let debt = match shortfall {
            Shortfall::Negative => points - taken,
            Shortfall::Cap => 0,
        };
        Ok(Taken { amounts: Amounts { available: -taken, clawed: taken, debt, ..Amounts::default() }, parts })
    }
}

/// What was taken from lots, and what it comes to.
pub(super) struct Taken {
    pub(super) amounts: Amounts,
    pub(super) parts: Vec<Part>,
}

/// What the amount that is left of an order would have earned. It never grows with refunds.
fn would_have_earned(share: &OrderShare) -> i64 {
    let earned = share.factor.floor_of(share.amount - share.refunded).unwrap_or(0);
    share.allowance.map_or(earned, |allowance| earned.min(allowance))
}
