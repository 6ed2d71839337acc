//! Lots: points that were given at one time, and what is left of them.

use rapport_sdk::{Decimal, Timestamp};

use super::exact::Factor;

/// How points came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An order was paid.
    Order,
    /// A bonus was given.
    Bonus,
    /// Somebody adjusted the account.
    Adjustment,
    /// Another member passed them on.
    Transfer,
    /// An undo gave them back.
    Undo,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Order, Self::Bonus, Self::Adjustment, Self::Transfer, Self::Undo];

    /// Its name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Bonus => "bonus",
            Self::Adjustment => "adjustment",
            Self::Transfer => "transfer",
            Self::Undo => "undo",
        }
    }
}

/// Points that were given at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lot {
    /// Counts the lots of the account, from 1: of two lots of one instant the smaller is older.
    pub number: i64,
    /// How they came to be.
    pub source: Source,
    /// When they were earned, by the time of what earned them.
    pub earned_at: Timestamp,
    /// From when they can be spent.
    pub available_at: Timestamp,
    /// From when they cannot be spent any more; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// How many they were.
    pub points: i64,
    /// How many of them are available or pending.
    pub remaining: i64,
    /// Whether they are pending.
    pub pending: bool,
    /// How many of them have expired.
    pub expired: i64,
    /// What the order they came from has to remember.
    pub order: Option<OrderShare>,
}

/// What a lot knows of the order that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderShare {
    /// The order's name.
    pub name: String,
    /// Its net amount.
    pub amount: Decimal,
    /// How much of it has been refunded.
    pub refunded: Decimal,
    /// By what the amount is multiplied.
    pub factor: Factor,
    /// What the cap of the day left for it; `None` without a cap.
    pub allowance: Option<i64>,
    /// Points that refunds have asked back so far.
    pub due: i64,
    /// Expired points that refunds have counted so far.
    pub counted: i64,
    /// Whether the payment was undone: it is as if there had been no such order.
    pub undone: bool,
}

impl OrderShare {
    /// An order of which nothing is known but its name.
    #[must_use]
    pub const fn of(name: String) -> Self {
        Self {
            name,
            amount: Decimal::ZERO,
            refunded: Decimal::ZERO,
            factor: Factor::ONE,
            allowance: None,
            due: 0,
            counted: 0,
            undone: false,
        }
    }
}
