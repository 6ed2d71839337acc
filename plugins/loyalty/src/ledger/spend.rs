//! Spending: redemptions, and their cancellation.

use rapport_sdk::Timestamp;

use super::entry::{Amounts, Entry, Kind, Part};
use super::{Booked, Books, Ledger, Outcome};

/// What has become of a redemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedemptionState {
    /// The points are spent.
    Spent,
    /// It was cancelled.
    Cancelled,
    /// It was undone: it is as if there had been none.
    Undone,
}

impl RedemptionState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Spent, Self::Cancelled, Self::Undone];

    /// Its name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spent => "spent",
            Self::Cancelled => "cancelled",
            Self::Undone => "undone",
        }
    }
}

/// Points that were spent with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// The key: one redemption of an account has it.
    pub key: String,
    /// How many points.
    pub points: i64,
    /// From which lots they came.
    pub parts: Vec<Part>,
    /// What has become of it.
    pub state: RedemptionState,
    /// When they were spent.
    pub at: Timestamp,
}

impl<B: Books> Ledger<'_, B> {
    /// Spends `points`, in whole blocks, in the order of spending. The same key spends once.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`]; [`super::LedgerError::TooManyLots`].
    pub fn redeem(&mut self, points: i64, key: &str, time: Timestamp) -> Booked<Outcome, B> {
        let now = self.begin(time)?;
        let known = self.books.redemption(key)?;
        if known.is_some_and(|redemption| redemption.state != RedemptionState::Undone) {
            return Ok(Outcome::DuplicateIgnored);
        }
        if points <= 0 || points % self.rules.redeem_block != 0 {
            return Ok(Outcome::RejectedBlock);
        }
        if self.account.amounts.debt > 0 || self.account.amounts.available < points {
            return Ok(Outcome::RejectedBalance);
        }
        let parts = self.take(points)?;
        let state = RedemptionState::Spent;
        self.books.save_redemption(&Redemption { key: key.into(), points, parts: parts.clone(), state, at: now })?;
        let amounts = Amounts { available: -points, redeemed: points, ..Amounts::default() };
        self.book(Entry { time, amounts, parts, key: Some(key.into()), ..Entry::of(Kind::Redeem) })?;
        self.finish(now)?;
        Ok(Outcome::Ok)
    }

    /// Gives the points of a redemption back to where they came from. What has expired meanwhile is gone at once.
    ///
    /// # Errors
    /// Those of the books; [`super::LedgerError::Unsettled`].
    pub fn cancel_redeem(&mut self, key: &str, time: Timestamp) -> Booked<Outcome, B> {
        let now = self.begin(time)?;
        let Some(mut redemption) = self.books.redemption(key)? else { return Ok(Outcome::RejectedUnknown) };
        match redemption.state {
            RedemptionState::Undone => return Ok(Outcome::RejectedUnknown),
            RedemptionState::Cancelled => return Ok(Outcome::DuplicateIgnored),
            RedemptionState::Spent => redemption.state = RedemptionState::Cancelled,
        }
        let mut parts = Vec::new();
        for part in &redemption.parts {
            let mut lot = self.books.lot(part.lot)?;
            self.change(&mut lot, -part.points)?;
            parts.push(Part { lot: part.lot, points: -part.points });
        }
        self.books.save_redemption(&redemption)?;
        let points = redemption.points;
        let amounts = Amounts { available: points, restored: points, ..Amounts::default() };
        self.book(Entry { time, amounts, parts, key: Some(key.into()), ..Entry::of(Kind::Cancel) })?;
        self.finish(now)?;
        Ok(Outcome::Ok)
    }
}
