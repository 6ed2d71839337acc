//! The rules of a program: what its operator can set.

use jiff::ToSpan as _;
use rapport_sdk::{Decimal, Timestamp};

use super::calendar::{self, Calendar};
use super::campaign::Campaign;

/// How several multipliers of one order come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stacking {
    /// Their product.
    Multiply,
    /// One and what each adds to one.
    Add,
    /// The largest.
    Max,
}

/// Which points are spent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consume {
    /// Those that expire soonest, then the oldest.
    ExpiryThenEarn,
    /// The oldest.
    Earn,
}

/// What becomes of points that a refund cannot find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortfall {
    /// They are owed.
    Negative,
    /// They are forgiven.
    Cap,
}

/// In what the time until expiry is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryKind {
    /// Points never expire.
    None,
    /// Days.
    Days,
    /// Months, clamped to the month's end.
    Months,
    /// Years, until 31 December.
    YearEnd,
}

/// How long points can be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// In what it is counted.
    pub kind: ExpiryKind,
    /// How many.
    pub n: i32,
}

/// What counts for a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierBy {
    /// Points earned.
    Points,
    /// Money spent.
    Spend,
}

/// Over which time it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// So many local months: this one and those before.
    Rolling(i32),
    /// The calendar year.
    Year,
}

/// A tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierRule {
    /// Its name.
    pub name: String,
    /// From how much on.
    pub from: Decimal,
    /// The multiplier of its members.
    pub multiplier: Decimal,
}

/// The rules of a program.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whose days count.
    pub calendar: Calendar,
    /// How multipliers come together.
    pub stacking: Stacking,
    /// Multipliers by date, weekday, birthday and what was bought.
    pub campaigns: Vec<Campaign>,
    /// How long points can be spent.
    pub expiry: Expiry,
    /// Which points are spent first.
    pub consume: Consume,
    /// Points are spent in whole blocks of so many.
    pub redeem_block: i64,
    /// What a block is worth.
    pub value_per_block: Decimal,
    /// After how many days the points of an order can be spent.
    pub pending_days: i32,
    /// What becomes of points that a refund cannot find.
    pub refund_shortfall: Shortfall,
    /// How many points the orders of one local day earn at most.
    pub earn_cap_per_day: Option<i64>,
    /// The tiers, the lowest first.
    pub tiers: Vec<TierRule>,
    /// What counts for a tier.
    pub tier_by: TierBy,
    /// Over which time.
    pub tier_period: Period,
    /// How many days after the end of its period a tier is lost.
    pub tier_grace_days: i32,
    /// How many days before points expire the member is warned.
    pub warn_days: i32,
}

impl Rules {
    /// The rules that hold if nothing is set, by the days of `calendar`.
    #[must_use]
    pub fn standard(calendar: Calendar) -> Self {
        Self {
            calendar,
            stacking: Stacking::Multiply,
            campaigns: Vec::new(),
            expiry: Expiry { kind: ExpiryKind::None, n: 12 },
            consume: Consume::ExpiryThenEarn,
            redeem_block: 1000,
            value_per_block: Decimal::TEN,
            pending_days: 0,
            refund_shortfall: Shortfall::Negative,
            earn_cap_per_day: None,
            tiers: Vec::new(),
            tier_by: TierBy::Points,
            tier_period: Period::Rolling(12),
            tier_grace_days: 0,
            warn_days: 30,
        }
    }

    /// When points earned at `earned_at` expire: at the local midnight after the last day on which they can be spent.
    #[must_use]
    pub fn expires_at(&self, earned_at: Timestamp) -> Option<Timestamp> {
        let day = self.calendar.day(earned_at);
        let last = match self.expiry.kind {
            ExpiryKind::None => return None,
            ExpiryKind::Days => day.saturating_add(self.expiry.n.days()),
            ExpiryKind::Months => day.saturating_add(self.expiry.n.months()),
            ExpiryKind::YearEnd => day.saturating_add(self.expiry.n.years()).last_of_year(),
        };
        Some(self.calendar.start(calendar::next(last)))
    }

    /// When points earned at `earned_at` expire that can be spent for `days` days.
    #[must_use]
    pub fn expires_after_days(&self, earned_at: Timestamp, days: i32) -> Timestamp {
        self.calendar.start(calendar::next(self.calendar.day(earned_at).saturating_add(days.days())))
    }

    /// When the points of an order paid at `earned_at` can be spent.
    #[must_use]
    pub fn available_at(&self, earned_at: Timestamp) -> Timestamp {
        if self.pending_days == 0 {
            return earned_at;
        }
        self.calendar.start_after(earned_at, self.pending_days.days())
    }

    /// What `points` are worth, in hundredths of the currency, rounded down.
    #[must_use]
    pub fn worth_cents(&self, points: i64) -> i64 {
        let value = self.value_per_block.normalize();
        let whole = i128::from(points).checked_mul(value.mantissa()).and_then(|worth| worth.checked_mul(100));
        let one = 10_i128.checked_pow(value.scale()).and_then(|one| one.checked_mul(i128::from(self.redeem_block)));
        let cents = whole.zip(one).map_or(0, |(whole, one)| whole.div_euclid(one));
        i64::try_from(cents).unwrap_or(i64::MAX)
    }
}
