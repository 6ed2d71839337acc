//! Warnings before points expire.

use jiff::ToSpan as _;
use rapport_sdk::Timestamp;

use super::rules::Rules;
use super::{Booked, Books, Ledger};

/// Points that are about to expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// How many.
    pub points: i64,
    /// When.
    pub expires_at: Timestamp,
}

impl Rules {
    /// From when on a member is warned of points that expire at `expires_at`: the local midnight `warn_days` days before.
    #[must_use]
    pub fn warn_from(&self, expires_at: Timestamp) -> Timestamp {
        self.calendar.start_after(expires_at, (-self.warn_days).days())
    }
}

impl<B: Books> Ledger<'_, B> {
    /// What the member is to be warned of at `now`, `max` expiries at most. Each expiry is warned of once.
    ///
    /// # Errors
    /// Those of the books.
    pub fn warn(&mut self, now: Timestamp, max: usize) -> Booked<Vec<Warning>, B> {
        let mut warnings = Vec::new();
        while let Some(next) = self.account.warn_next {
            if warnings.len() >= max || self.rules.warn_from(next) > now {
                break;
            }
            if next > now && !self.account.warned.contains(&next) {
                let points = self.books.points_expiring(next)?;
                if points > 0 {
                    warnings.push(Warning { points, expires_at: next });
                    self.account.warned.push(next);
                }
            }
            let later = self.books.expiring(Some(next), 1)?;
            self.account.warn_next = later.first().and_then(|lot| lot.expires_at);
        }
        self.account.warned.retain(|expiry| *expiry > now);
        Ok(warnings)
    }
}
