//! Tiers: upwards at once, downwards when a period ends.

use jiff::ToSpan as _;
use jiff::civil::date;
use rapport_sdk::{Decimal, Timestamp};

use super::calendar::{Day, month_number, next};
use super::entry::{Entry, Kind, TierMove};
use super::rules::{Period, Rules, TierBy, TierRule};
use super::{Booked, Books, Ledger};

const MONTHS_KEPT_MIN: i32 = 25;

/// A tier that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierChange {
    /// The tier before.
    pub from: Option<String>,
    /// The tier after.
    pub to: Option<String>,
    /// When it did.
    pub at: Timestamp,
}

impl Rules {
    /// How many months an account remembers what counts for its tier: two years at least, so that rules can be changed.
    pub(super) fn months_kept(&self) -> i32 {
        match self.tier_period {
            Period::Rolling(months) => months.max(MONTHS_KEPT_MIN),
            Period::Year => MONTHS_KEPT_MIN,
        }
    }

    /// The multiplier of the tier `name`.
    #[must_use]
    pub fn tier_multiplier(&self, name: Option<&str>) -> Option<Decimal> {
        self.tiers.iter().find(|tier| Some(tier.name.as_str()) == name).map(|tier| tier.multiplier)
    }

    /// The highest tier that `amount` reaches.
    fn reached(&self, amount: Decimal) -> Option<&TierRule> {
        self.tiers.iter().filter(|tier| tier.from <= amount).max_by_key(|tier| tier.from)
    }

    /// From how much on a tier is reached; `None` for no tier, or one that there is no more.
    pub(super) fn height(&self, name: Option<&str>) -> Option<Decimal> {
        self.tiers.iter().find(|tier| Some(tier.name.as_str()) == name).map(|tier| tier.from)
    }

    /// When a tier that is reached or kept on `day` is looked at again.
    fn tier_ends(&self, day: Day) -> Timestamp {
        let end = match self.tier_period {
            Period::Rolling(months) => day.saturating_add(months.max(1).months()),
            Period::Year => next(day.last_of_year()),
        };
        self.calendar.start(end.saturating_add(self.tier_grace_days.days()))
    }
}

impl<B: Books> Ledger<'_, B> {
    /// Raises the tier if a higher one has been reached.
    pub(super) fn raise_tier(&mut self, now: Timestamp) -> Booked<(), B> {
        if self.rules.tiers.is_empty() {
            return Ok(());
        }
        let day = self.rules.calendar.day(now);
        let rules = self.rules;
        let Some(reached) = rules.reached(self.counted(day)) else { return Ok(()) };
        if rules.height(self.account.tier.as_deref()).is_some_and(|height| height >= reached.from) {
            return Ok(());
        }
        self.set_tier(Some(reached), day)
    }

    /// Looks at the tier at the end of its period: keeps it, or gives the one that was reached.
    pub(super) fn end_tier(&mut self, due: Timestamp) -> Booked<(), B> {
        let rules = self.rules;
        let day = rules.calendar.day(due);
        let counted = match rules.tier_period {
            Period::Rolling(_) => self.counted(day),
            // The year that ended, or the one that began, whichever counts for more.
            Period::Year => self.counted(day).max(self.counted(date(day.year() - 1, 12, 31))),
        };
        let reached = rules.reached(counted);
        let height = rules.height(self.account.tier.as_deref());
        let kept = height.is_some_and(|height| reached.is_some_and(|tier| tier.from == height));
        if kept || (height.is_none() && self.account.tier.is_none() && reached.is_none()) {
            self.account.tier_until = reached.and_then(|tier| self.tier_until(tier, day));
            return Ok(());
        }
        self.set_tier(reached, day)
    }

    fn set_tier(&mut self, tier: Option<&TierRule>, day: Day) -> Booked<(), B> {
        let until = tier.and_then(|tier| self.tier_until(tier, day));
        self.move_tier((tier.map(|tier| tier.name.clone()), until), None)
    }

    /// Gives the tier `to` until an instant, and says so.
    pub(super) fn move_tier(
        &mut self,
        (to, until): (Option<String>, Option<Timestamp>),
        reverses: Option<i64>,
    ) -> Booked<(), B> {
        let from = std::mem::replace(&mut self.account.tier, to.clone());
        let before = std::mem::replace(&mut self.account.tier_until, until).map(|at| at.0);
        let tier = Some(TierMove { from: from.clone(), to: to.clone(), until: before });
        self.book(Entry { tier, reverses, ..Entry::of(Kind::Tier) })?;
        let at = self.account.as_of.expect("an account is settled before its tier changes");
        self.tier_changes.push(TierChange { from, to, at });
        Ok(())
    }

    /// The lowest tier, which everybody reaches, does not end.
    fn tier_until(&self, tier: &TierRule, day: Day) -> Option<Timestamp> {
        (tier.from > Decimal::ZERO).then(|| self.rules.tier_ends(day))
    }

    /// What counts on `day`, with the months before it in its period.
    fn counted(&self, day: Day) -> Decimal {
        let this = month_number(day);
        let first = match self.rules.tier_period {
            Period::Rolling(months) => this - months.max(1) + 1,
            Period::Year => this - this.rem_euclid(12),
        };
        let months = self.account.months.iter().filter(|m| (first..=this).contains(&m.month));
        match self.rules.tier_by {
            TierBy::Points => months.map(|m| Decimal::from(m.points)).sum(),
            TierBy::Spend => months.map(|m| m.spend).sum(),
        }
    }
}
