//! Points for orders, and bonuses.

use rapport_sdk::{Decimal, Timestamp};

use super::calendar::month_number;
use super::entry::{Amounts, Entry, Kind, Part};
use super::exact::Factor;
use super::lot::{Lot, OrderShare, Source};
use super::{Booked, Books, Ledger, Outcome, POINTS_MAX};

/// An order that was paid.
#[derive(Debug, Clone, PartialEq)]
pub struct Earning<'a> {
    /// The order's name.
    pub order: &'a str,
    /// Its net amount.
    pub amount: Decimal,
    /// By what it is multiplied; the tier's multiplier and those of campaigns are among them.
    pub factors: &'a [Decimal],
}

/// A bonus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bonus<'a> {
    /// How many points.
    pub points: i64,
    /// For how many days they can be spent; `None`: as long as all points.
    pub valid_days: Option<i64>,
    /// What for.
    pub reason: &'a str,
}

/// The longest that a bonus can be valid, in days: ten thousand years less would be no limit at all.
const VALID_DAYS_MAX: i64 = 365_000;

impl<B: Books> Ledger<'_, B> {
    /// Books the points of an order that was paid at `time`. Also an order that earns nothing is remembered.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`].
    pub fn earn(&mut self, earning: &Earning<'_>, time: Timestamp) -> Booked<Outcome, B> {
        let now = self.begin(time)?;
        let known = self.books.order(earning.order)?;
        if known.as_ref().and_then(|lot| lot.order.as_ref()).is_some_and(|order| !order.undone) {
            return Ok(Outcome::DuplicateIgnored);
        }
        let Some(share) = self.share(earning, time)? else { return Ok(Outcome::RejectedAmount) };
        let earned = share.factor.floor_of(share.amount).unwrap_or(0);
        let points = share.allowance.map_or(earned, |allowance| earned.min(allowance));
        if !self.has_room(points) {
            return Ok(Outcome::RejectedAmount);
        }
        if let Some(undone) = known {
            self.books.save_lot(&Lot { order: None, ..undone })?;
        }
        let available_at = self.rules.available_at(time);
        let mut lot = Lot {
            number: self.next_lot(),
            source: Source::Order,
            earned_at: time,
            available_at,
            expires_at: self.rules.expires_at(time),
            points,
            remaining: 0,
            pending: available_at > now,
            expired: 0,
            order: Some(share),
        };
        self.account.orders += 1;
        let (order, number) = (Some(earning.order.into()), Some(lot.number));
        let entry = Entry { order, lot: number, money: earning.amount, ..Entry::of(Kind::Earn) };
        self.put(&mut lot, time, entry)?;
        self.finish(now)?;
        Ok(Outcome::Ok)
    }

    /// What there is to remember of an order; `None` if its amount or its factors are beyond all bounds.
    fn share(&mut self, earning: &Earning<'_>, time: Timestamp) -> Booked<Option<OrderShare>, B> {
        let factor = Factor::stacked(earning.factors, self.rules.stacking);
        let earned = factor.and_then(|factor| factor.floor_of(earning.amount));
        let negative = earning.amount < Decimal::ZERO;
        let Some(factor) = factor.filter(|_| !negative && earned.is_some_and(|points| points <= POINTS_MAX)) else {
            return Ok(None);
        };
        let allowance = match self.rules.earn_cap_per_day {
            None => None,
            Some(cap) => {
                let day = self.rules.calendar.day(time);
                Some((cap - self.books.points_of_orders(day)?).max(0))
            }
        };
        Ok(Some(OrderShare {
            name: earning.order.into(),
            amount: earning.amount,
            refunded: Decimal::ZERO,
            factor,
            allowance,
            due: 0,
            counted: 0,
            undone: false,
        }))
    }

    /// Books a bonus that was given at `time`.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`].
    pub fn bonus(&mut self, bonus: &Bonus<'_>, time: Timestamp) -> Booked<Outcome, B> {
        self.grant(bonus, (Source::Bonus, Kind::Bonus), time)
    }

    /// Gives points that are available at once.
    pub(super) fn grant(
        &mut self,
        bonus: &Bonus<'_>,
        (source, kind): (Source, Kind),
        time: Timestamp,
    ) -> Booked<Outcome, B> {
        let now = self.begin(time)?;
        let days = bonus.valid_days.unwrap_or(0);
        if bonus.points <= 0 || !(0..=VALID_DAYS_MAX).contains(&days) || !self.has_room(bonus.points) {
            return Ok(Outcome::RejectedAmount);
        }
        let days = bonus.valid_days.and_then(|days| i32::try_from(days).ok());
        let rules = self.rules;
        let expires_at = days.map_or_else(|| rules.expires_at(time), |n| Some(rules.expires_after_days(time, n)));
        let mut lot = Lot {
            number: self.next_lot(),
            source,
            earned_at: time,
            available_at: time,
            expires_at,
            points: bonus.points,
            remaining: 0,
            pending: false,
            expired: 0,
            order: None,
        };
        self.put(&mut lot, time, Entry { reason: bonus.reason.into(), ..Entry::of(kind) })?;
        self.finish(now)?;
        Ok(Outcome::Ok)
    }

    /// Saves a new lot with all its points, and books `entry` for it.
    pub(super) fn put(&mut self, lot: &mut Lot, time: Timestamp, entry: Entry) -> Booked<(), B> {
        let points = lot.points;
        self.change(lot, points)?;
        let mut amounts = Amounts { earned: points, ..Amounts::default() };
        *if lot.pending { &mut amounts.pending } else { &mut amounts.available } += points;
        if matches!(entry.kind, Kind::Earn | Kind::Bonus) {
            self.count_for_tier(time, (points, entry.money));
        }
        let parts = vec![Part { lot: lot.number, points }];
        self.book(Entry { time, amounts, parts, ..entry })
    }

    /// Whether `points` more are within all bounds.
    pub(super) const fn has_room(&self, points: i64) -> bool {
        points <= POINTS_MAX && self.account.amounts.earned <= 1000 * POINTS_MAX
    }

    /// Adds to what counts for the tier, in the local month of `time`.
    pub(super) fn count_for_tier(&mut self, time: Timestamp, amount: (i64, Decimal)) {
        let month = month_number(self.rules.calendar.day(time));
        self.account.count(month, amount, self.rules.months_kept());
    }
}
