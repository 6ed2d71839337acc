//! What people do by hand: adjustments, and points passed on to another member.

use rapport_sdk::Timestamp;

use super::earn::Bonus;
use super::entry::{Amounts, Entry, Kind, Part};
use super::lot::{Lot, Source};
use super::{Booked, Books, Ledger, Outcome};

/// Points on their way to another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// How many.
    pub points: i64,
    /// When they were earned.
    pub earned_at: Timestamp,
    /// When they expire.
    pub expires_at: Option<Timestamp>,
}

impl<B: Books> Ledger<'_, B> {
    /// Gives or takes points by hand. No more is taken than there is.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`]; [`super::LedgerError::TooManyLots`].
    pub fn adjust(&mut self, bonus: &Bonus<'_>, time: Timestamp) -> Booked<Outcome, B> {
        if bonus.points >= 0 {
            return self.grant(bonus, (Source::Adjustment, Kind::Grant), time);
        }
        let now = self.begin(time)?;
        let points = bonus.points.saturating_neg();
        if self.account.amounts.available < points {
            return Ok(Outcome::RejectedBalance);
        }
        let parts = self.take(points)?;
        let amounts = Amounts { available: -points, clawed: points, ..Amounts::default() };
        self.book(Entry { time, amounts, parts, reason: bonus.reason.into(), ..Entry::of(Kind::Deduct) })?;
        self.finish(now)?;
        Ok(Outcome::Ok)
    }

    /// Takes points to pass them on. The same key passes on once. `None` beside an outcome other than `Ok`.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`]; [`super::LedgerError::TooManyLots`].
    pub fn give(&mut self, points: i64, (key, to): (&str, &str), time: Timestamp) -> Booked<(Outcome, Vec<Moved>), B> {
        let now = self.begin(time)?;
        if points <= 0 {
            return Ok((Outcome::RejectedAmount, Vec::new()));
        }
        if self.account.amounts.debt > 0 || self.account.amounts.available < points {
            return Ok((Outcome::RejectedBalance, Vec::new()));
        }
        let parts = self.take(points)?;
        let mut moved: Vec<Moved> = Vec::new();
        for part in &parts {
            let Lot { earned_at, expires_at, .. } = self.books.lot(part.lot)?;
            match moved.iter_mut().find(|m| m.expires_at == expires_at && m.earned_at == earned_at) {
                Some(same) => same.points -= part.points,
                None => moved.push(Moved { points: -part.points, earned_at, expires_at }),
            }
        }
        let amounts = Amounts { available: -points, redeemed: points, ..Amounts::default() };
        let (key, reason) = (Some(key.into()), format!("to {to}"));
        self.book(Entry { time, amounts, parts, key, reason, ..Entry::of(Kind::Give) })?;
        self.finish(now)?;
        Ok((Outcome::Ok, moved))
    }

    /// Takes in what another member passed on: it keeps its age and its expiry.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`].
    pub fn receive(&mut self, moved: &[Moved], (key, from): (&str, &str), time: Timestamp) -> Booked<(), B> {
        let now = self.begin(time)?;
        let (mut points, mut parts) = (0, Vec::new());
        for share in moved {
            let mut lot = Lot {
                number: self.next_lot(),
                source: Source::Transfer,
                earned_at: share.earned_at,
                available_at: time,
                expires_at: share.expires_at,
                points: share.points,
                remaining: 0,
                pending: false,
                expired: 0,
                order: None,
            };
            self.change(&mut lot, share.points)?;
            points += share.points;
            parts.push(Part { lot: lot.number, points: share.points });
        }
        let amounts = Amounts { available: points, earned: points, ..Amounts::default() };
        let (key, reason) = (Some(key.into()), format!("from {from}"));
        self.book(Entry { time, amounts, parts, key, reason, ..Entry::of(Kind::Receive) })?;
        self.finish(now)
    }
}
