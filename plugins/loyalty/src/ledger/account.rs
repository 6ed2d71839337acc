//! What an account says: the sum of its entries, and what is coming.

use rapport_sdk::{Decimal, Timestamp};
use serde::{Deserialize, Serialize};

use super::entry::Amounts;
use super::rules::Rules;

/// One customer's account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// The sums of its entries.
    pub amounts: Amounts,
    /// The next instant at which points expire, pending ones included; `None` if none do.
    #[serde(with = "micros")]
    pub next_expiry: Option<Timestamp>,
    /// How many points expire then.
    pub next_expiry_points: i64,
    /// The next instant at which pending points become available.
    #[serde(with = "micros")]
    pub next_ripening: Option<Timestamp>,
    /// The member's tier.
    pub tier: Option<String>,
    /// When the tier is looked at again.
    #[serde(with = "micros")]
    pub tier_until: Option<Timestamp>,
    /// What counts for tiers, by local month, the oldest first.
    pub months: Vec<Month>,
    /// The earliest expiry that the member may not have been warned of.
    #[serde(with = "micros")]
    pub warn_next: Option<Timestamp>,
    /// The expiries ahead that the member has been warned of.
    #[serde(with = "all_micros")]
    pub warned: Vec<Timestamp>,
    /// Up to when the account is settled; `None` before the first entry.
    #[serde(with = "micros")]
    pub as_of: Option<Timestamp>,
    /// How many entries it has.
    pub entries: i64,
    /// How many lots it ever had.
    pub lots: i64,
    /// How many orders were paid.
    pub orders: i64,
}

/// What a local month counts for the tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Month {
    /// The month, counted from year 0: `12 * year + month - 1`.
    pub month: i32,
    /// Points earned by orders and bonuses, less what refunds took.
    pub points: i64,
    /// Money spent, less what was refunded.
    #[serde(with = "spend_text")]
    pub spend: Decimal,
}

impl Account {
    /// Available points less debt.
    #[must_use]
    pub const fn balance(&self) -> i64 {
        self.amounts.available - self.amounts.debt
    }

    /// What the available and pending points are worth, in hundredths of the currency, rounded down.
    #[must_use]
    pub fn face_value_cents(&self, rules: &Rules) -> i64 {
        rules.worth_cents(self.amounts.available + self.amounts.pending)
    }

    /// The next instant at which anything happens to the account by itself.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        [self.next_expiry, self.next_ripening, self.tier_until].into_iter().flatten().min()
    }

    /// Adds to what counts for tiers in `month`, and forgets what is older than `keep` months before it.
    pub(super) fn count(&mut self, month: i32, (points, spend): (i64, Decimal), keep: i32) {
        let place = self.months.binary_search_by_key(&month, |m| m.month);
        let place = place.unwrap_or_else(|place| {
            self.months.insert(place, Month { month, points: 0, spend: Decimal::ZERO });
            place
        });
        self.months[place].points += points;
        self.months[place].spend += spend;
        let newest = self.months.last().map_or(month, |m| m.month);
        self.months.retain(|m| m.month > newest - keep);
    }
}

mod spend_text {
    //! Money as text in JSON, so that it stays exact.
    use rapport_sdk::Decimal;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(money: &Decimal, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&money.normalize().to_string())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(from)?;
        Decimal::from_str_exact(&text).map_err(D::Error::custom)
    }
}

mod micros {
    //! An instant in JSON: microseconds since 1970.
    use rapport_sdk::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.0).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(Timestamp))
    }
}

mod all_micros {
    //! Instants in JSON: microseconds since 1970.
    use rapport_sdk::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &[Timestamp], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(|at| at.0))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<Timestamp>, D::Error> {
        Ok(Vec::<i64>::deserialize(from)?.into_iter().map(Timestamp).collect())
    }
}
