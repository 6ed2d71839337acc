//! Entries: what has been booked, each with its cause. They are only ever appended.

use rapport_sdk::{Decimal, Timestamp};
use serde::{Deserialize, Serialize};

/// By how much an entry changes the account; the account holds the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amounts {
    /// Points that can be spent.
    pub available: i64,
    /// Points that can be spent later.
    pub pending: i64,
    /// Points that are owed.
    pub debt: i64,
    /// Points that were given.
    pub earned: i64,
    /// Points that were spent or passed on.
    pub redeemed: i64,
    /// Points that expired.
    pub expired: i64,
    /// Points that refunds and adjustments took.
    pub clawed: i64,
    /// Points that repaid debt.
    pub debt_repaid: i64,
    /// Points that came back.
    pub restored: i64,
}

impl Amounts {
    /// Adds `other` to these.
    pub const fn add(&mut self, other: &Self) {
        self.available += other.available;
        self.pending += other.pending;
        self.debt += other.debt;
        self.earned += other.earned;
        self.redeemed += other.redeemed;
        self.expired += other.expired;
        self.clawed += other.clawed;
        self.debt_repaid += other.debt_repaid;
        self.restored += other.restored;
    }

    /// Takes `other` away from these.
    pub const fn take_away(&mut self, other: &Self) {
        self.available -= other.available;
        self.pending -= other.pending;
        self.debt -= other.debt;
        self.earned -= other.earned;
        self.redeemed -= other.redeemed;
        self.expired -= other.expired;
        self.clawed -= other.clawed;
        self.debt_repaid -= other.debt_repaid;
        self.restored -= other.restored;
    }

    /// Whether every point that came is somewhere.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        let gone = self.redeemed + self.expired + self.clawed + self.debt_repaid;
        self.earned + self.restored == self.available + self.pending + gone
    }

    /// All, by name, in the order of the account's fields.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, i64); 9] {
        [
            ("available", self.available),
            ("pending", self.pending),
            ("debt", self.debt),
            ("earned", self.earned),
            ("redeemed", self.redeemed),
            ("expired", self.expired),
            ("clawed", self.clawed),
            ("debt_repaid", self.debt_repaid),
            ("restored", self.restored),
        ]
    }

    /// The amount `counter` counts.
    pub(super) const fn counter(&mut self, counter: Counter) -> &mut i64 {
        match counter {
            Counter::Earned => &mut self.earned,
            Counter::Redeemed => &mut self.redeemed,
            Counter::Expired => &mut self.expired,
            Counter::Clawed => &mut self.clawed,
            Counter::DebtRepaid => &mut self.debt_repaid,
            Counter::Restored => &mut self.restored,
        }
    }
}

/// The lifetime total that an entry of some kind moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// `earned`
    Earned,
    /// `redeemed`
    Redeemed,
    /// `expired`
    Expired,
    /// `clawed`
    Clawed,
    /// `debt_repaid`
    DebtRepaid,
    /// `restored`
    Restored,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal,)*) => {
        /// What an entry books.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name in records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}
kinds! {
    /// An order earned points.
    Earn "earn",
    /// A bonus.
    Bonus "bonus",
    /// Pending points became available.
    Ripen "ripen",
    /// Points expired.
    Expire "expire",
    /// Points were spent.
    Redeem "redeem",
    /// A redemption was cancelled.
    Cancel "cancel",
    /// An order, or part of it, was refunded.
    Refund "refund",
    /// Available points repaid debt.
    Repay "repay",
    /// Somebody gave points.
    Grant "grant",
    /// Somebody took points.
    Deduct "deduct",
    /// Points were passed on to another member.
    Give "give",
    /// Points came from another member.
    Receive "receive",
    /// What an undo could not take from its own lot.
    Reclaim "reclaim",
    /// What an undo gives back of debt that has been repaid since.
    Return "return",
    /// The tier changed.
    Tier "tier",
}

impl Kind {
    /// The lifetime total that it moves.
    #[must_use]
    pub const fn counter(self) -> Option<Counter> {
        match self {
            Self::Earn | Self::Bonus | Self::Grant | Self::Receive => Some(Counter::Earned),
            Self::Redeem | Self::Give => Some(Counter::Redeemed),
            Self::Refund | Self::Deduct | Self::Reclaim => Some(Counter::Clawed),
            Self::Repay => Some(Counter::DebtRepaid),
            Self::Cancel | Self::Return => Some(Counter::Restored),
            Self::Expire => Some(Counter::Expired),
            Self::Ripen | Self::Tier => None,
        }
    }
}

/// What an entry did to one lot: points put in, or taken out if negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The lot's number.
    pub lot: i64,
    /// The points.
    pub points: i64,
}

/// How a tier moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierMove {
    /// The tier before.
    pub from: Option<String>,
    /// The tier after.
    pub to: Option<String>,
    /// When the one before would have been looked at again, in microseconds.
    pub until: Option<i64>,
}

/// What has been booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts the entries of the account, from 1.
    pub number: i64,
    /// What it books.
    pub kind: Kind,
    /// The instant as of which it was booked: never earlier than that of the entry before.
    pub at: Timestamp,
    /// When what caused it was true.
    pub time: Timestamp,
    /// By how much it changes the account.
    pub amounts: Amounts,
    /// What it did to lots.
    pub parts: Vec<Part>,
    /// The order that it is about.
    pub order: Option<String>,
    /// The order's lot.
    pub lot: Option<i64>,
    /// The money that it is about: the order's amount, or what was refunded of it.
    pub money: Decimal,
    /// Points that a refund asked back.
    pub due: i64,
    /// Expired points that a refund counted.
    pub counted: i64,
    /// The key of a redemption or transfer.
    pub key: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// How the tier moved.
    pub tier: Option<TierMove>,
    /// The entry that this one takes back.
    pub reverses: Option<i64>,
    /// Whether the passing of time booked it, whatever else its run did: no undo takes it back.
    pub timed: bool,
    /// The run that booked it.
    pub run: String,
    /// What caused it: a type of event, or an action.
    pub cause: String,
}

impl Entry {
    /// An entry of the kind `kind` that changes nothing yet. Number, instants, run and cause are filled in when it is booked.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self {
            number: 0,
            kind,
            at: Timestamp(i64::MIN),
            time: Timestamp(i64::MIN),
            amounts: Amounts {
                available: 0,
                pending: 0,
                debt: 0,
                earned: 0,
                redeemed: 0,
                expired: 0,
                clawed: 0,
                debt_repaid: 0,
                restored: 0,
            },
            parts: Vec::new(),
            order: None,
            lot: None,
            money: Decimal::ZERO,
            due: 0,
            counted: 0,
            key: None,
            reason: String::new(),
            tier: None,
            reverses: None,
            timed: false,
            run: String::new(),
            cause: String::new(),
        }
    }
}
