//! The books of a points program, and nothing else: no host, no clock, no settings but those it is given.
//!
//! A customer's [`Account`] is the sum of its [`Entry`]s, which are only ever appended. The points lie in [`Lot`]s, one for
//! each time that points were given:
//!
//! ```text
//!             earned                    redeemed   (restored: back again)
//!  (nothing) ───────► pending ─► available ─► clawed     taken back by a refund
//!                        │           ├──────► debt_repaid
//!                        └───────────┴──────► expired
//! ```
//! So `earned + restored = available + pending + redeemed + clawed + debt_repaid + expired`, after every entry. Refused
//! requests are [`Outcome`]s, not errors.
//!
//! *Time is settled by instants, in order*: whatever is asked of an account at a time, what fell due before (lots that ripen
//! or expire, tiers that end) is booked first, each at its own instant. So it makes no difference how often, or how late,
//! anybody looks. What comes late counts by its own day, and is booked when it comes.

mod account;
mod adjust;
mod calendar;
mod campaign;
mod earn;
mod entry;
mod exact;
mod fold;
mod lot;
mod refund;
mod rules;
mod settle;
mod spend;
mod tier;
mod undo;
mod warn;

pub use account::{Account, Month};
pub use adjust::Moved;
pub use calendar::{Calendar, Day};
pub use campaign::{Campaign, Purchase};
pub use earn::{Bonus, Earning};
pub use entry::{Amounts, Counter, Entry, Kind, Part, TierMove};
pub use exact::Factor;
pub use fold::{Fold, Renumbering, Step};
pub use lot::{Lot, OrderShare, Source};
pub use rules::{Consume, Expiry, ExpiryKind, Period, Rules, Shortfall, Stacking, TierBy, TierRule};
pub use settle::Settled;
pub use spend::{Redemption, RedemptionState};
pub use tier::TierChange;
pub use warn::Warning;

use rapport_sdk::Timestamp;

/// Points of one operation at most: sums of them stay far within what a record can hold.
pub const POINTS_MAX: i64 = 1_000_000_000_000;
/// Lots that one operation takes from, or settles, at most: it must fit one slice.
pub const LOTS_PER_OPERATION_MAX: usize = 200;
/// Lots that are read at a time.
const LOTS_PER_PAGE: usize = 50;
/// Lots that are read first: most spend few.
const LOTS_FIRST: usize = 5;

/// What becomes of a request. All but `Ok` leave the account as it was, apart from what time did to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was booked.
    Ok,
    /// The same order, key or cancellation was booked before.
    DuplicateIgnored,
    /// The points are no whole blocks.
    RejectedBlock,
    /// There are too few available points, or there is debt.
    RejectedBalance,
    /// There is no such order, redemption or member.
    RejectedUnknown,
    /// The amount is not positive, more than is left of the order, or beyond all bounds.
    RejectedAmount,
}

impl Outcome {
    /// Its name in results and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::DuplicateIgnored => "duplicate_ignored",
            Self::RejectedBlock => "rejected_block",
            Self::RejectedBalance => "rejected_balance",
            Self::RejectedUnknown => "rejected_unknown",
            Self::RejectedAmount => "rejected_amount",
        }
    }
}

/// Where the books of one account are kept.
///
/// What is saved is what is read from then on. The account itself is not here: it is loaded before, and saved after, an
/// operation, whose guard against others at the same time it is.
pub trait Books {
    /// Why the books cannot be read or written.
    type Error;

    /// The lot `number`.
    ///
    /// # Errors
    /// The keeper's; also if there is none, since nobody asks for a lot that was not saved.
    fn lot(&mut self, number: i64) -> Result<Lot, Self::Error>;

    /// The lot of an order.
    ///
    /// # Errors
    /// The keeper's.
    fn order(&mut self, order: &str) -> Result<Option<Lot>, Self::Error>;

    /// The first `limit` lots with available points, in the order in which they are spent.
    ///
    /// # Errors
    /// The keeper's.
    fn spendable(&mut self, consume: Consume, limit: usize) -> Result<Vec<Lot>, Self::Error>;

    /// The first `limit` lots with pending points, those that ripen soonest first.
    ///
    /// # Errors
    /// The keeper's.
    fn ripening(&mut self, limit: usize) -> Result<Vec<Lot>, Self::Error>;

    /// The first `limit` lots with available or pending points that expire after `after` (or at all), the soonest first.
    ///
    /// # Errors
    /// The keeper's.
    fn expiring(&mut self, after: Option<Timestamp>, limit: usize) -> Result<Vec<Lot>, Self::Error>;

    /// `limit` of the lots with available or pending points that expire at the instant `at`.
    ///
    /// # Errors
    /// The keeper's.
    fn expiring_at(&mut self, at: Timestamp, limit: usize) -> Result<Vec<Lot>, Self::Error>;

    /// The available and pending points that expire at the instant `at`.
    ///
    /// # Errors
    /// The keeper's.
    fn points_expiring(&mut self, at: Timestamp) -> Result<i64, Self::Error>;

    /// The points that orders of the local day `day` have earned, whatever became of them.
    ///
    /// # Errors
    /// The keeper's.
    fn points_of_orders(&mut self, day: Day) -> Result<i64, Self::Error>;

    /// The redemption that was made with `key`.
    ///
    /// # Errors
    /// The keeper's.
    fn redemption(&mut self, key: &str) -> Result<Option<Redemption>, Self::Error>;

    /// The entries of this account that the run `run` made, in order.
    ///
    /// # Errors
    /// The keeper's.
    fn entries_of_run(&mut self, run: &str) -> Result<Vec<Entry>, Self::Error>;

    /// Whether there is an entry that takes back the entry `number`.
    ///
    /// # Errors
    /// The keeper's.
    fn is_reversed(&mut self, number: i64) -> Result<bool, Self::Error>;

    /// Saves a lot, new or known.
    ///
    /// # Errors
    /// The keeper's.
    fn save_lot(&mut self, lot: &Lot) -> Result<(), Self::Error>;

    /// Saves a redemption, new or known.
    ///
    /// # Errors
    /// The keeper's.
    fn save_redemption(&mut self, redemption: &Redemption) -> Result<(), Self::Error>;

    /// Appends an entry.
    ///
    /// # Errors
    /// The keeper's.
    fn append(&mut self, entry: &Entry) -> Result<(), Self::Error>;
}

/// Why an operation could not be done at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerError<E> {
    /// The books could not be read or written.
    Books(E),
    /// More than [`LOTS_PER_OPERATION_MAX`] lots would have to be touched at once.
    TooManyLots,
    /// More has fallen due than one operation can settle: settle first, then try again.
    Unsettled,
}

impl<E> From<E> for LedgerError<E> {
    fn from(error: E) -> Self {
        Self::Books(error)
    }
}

type Booked<T, B> = Result<T, LedgerError<<B as Books>::Error>>;

/// One account, open for one operation.
///
/// Its methods book; what they say to others (a tier that changed) gathers in `tier_changes`.
#[derive(Debug)]
pub struct Ledger<'a, B: Books> {
    books: &'a mut B,
    rules: &'a Rules,
    /// The account: the caller loads it before, and saves it after.
    pub account: Account,
    /// What happened to the member's tier, in order.
    pub tier_changes: Vec<TierChange>,
    /// Names the run that books, for its undo.
    run: String,
    /// What caused the operation, in words: `order.paid`, `loyalty.redeem`.
    cause: String,
    /// Whether what is booked would be booked without the operation, too, by the passing of time alone.
    timed: bool,
    /// Lots touched so far.
    touched: usize,
    /// What is to be looked up again before the account is saved.
    stale: Stale,
}

#[derive(Debug, Default)]
struct Stale {
    expiry: bool,
    ripening: bool,
}

impl<'a, B: Books> Ledger<'a, B> {
    /// Opens `account` for the run `run`, which was caused by `cause`.
    pub fn open(books: &'a mut B, rules: &'a Rules, account: Account, (run, cause): (&str, &str)) -> Self {
        Self {
            books,
            rules,
            account,
            tier_changes: Vec::new(),
            run: run.into(),
            cause: cause.into(),
            timed: false,
            touched: 0,
            stale: Stale::default(),
        }
    }

    /// How often lots have been touched so far.
    #[must_use]
    pub const fn touched(&self) -> usize {
        self.touched
    }

    /// Settles what fell due until `time`, and says which instant it is for this account: never earlier than before.
    fn begin(&mut self, time: Timestamp) -> Booked<Timestamp, B> {
        let now = self.account.as_of.map_or(time, |before| before.max(time));
        self.timed = true;
        self.settle_all(now)?;
        self.timed = false;
        Ok(now)
    }

    /// Ends an operation, and raises the tier if it has brought a higher one.
    fn finish(&mut self, now: Timestamp) -> Booked<(), B> {
        self.close(now)?;
        self.raise_tier(now)
    }

    /// Settles what an operation has added that is due already, repays debt, and brings the account up to date.
    fn close(&mut self, now: Timestamp) -> Booked<(), B> {
        self.settle_all(now)?;
        self.repay()?;
        self.refresh()
    }

    fn settle_all(&mut self, now: Timestamp) -> Booked<(), B> {
        match self.settle_in_order(now, LOTS_PER_OPERATION_MAX)? {
            Settled::UpToDate => Ok(()),
            Settled::More => Err(LedgerError::Unsettled),
        }
    }

    /// Adds `points` (or takes them, if negative) to what is left of a lot, and saves it.
    fn change(&mut self, lot: &mut Lot, points: i64) -> Booked<(), B> {
        if self.touched >= 2 * LOTS_PER_OPERATION_MAX {
            return Err(LedgerError::TooManyLots);
        }
        self.touched += 1;
        lot.remaining += points;
        self.note_expiry(lot, points);
        if lot.pending {
            self.note_ripening(lot);
        }
        Ok(self.books.save_lot(lot)?)
    }

    fn note_expiry(&mut self, lot: &Lot, points: i64) {
        let Some(expires) = lot.expires_at else { return };
        let account = &mut self.account;
        match account.next_expiry {
            Some(next) if next == expires => {
                account.next_expiry_points += points;
                self.stale.expiry |= account.next_expiry_points == 0;
            }
            Some(next) if next < expires => {}
            _ if points > 0 => (account.next_expiry, account.next_expiry_points) = (Some(expires), points),
            _ => {}
        }
        if points > 0 {
            account.warn_next = Some(account.warn_next.map_or(expires, |next| next.min(expires)));
        }
    }

    fn note_ripening(&mut self, lot: &Lot) {
        let next = &mut self.account.next_ripening;
        if lot.remaining > 0 {
            *next = Some(next.map_or(lot.available_at, |n| n.min(lot.available_at)));
        } else {
            self.stale.ripening |= *next == Some(lot.available_at);
        }
    }

    /// Takes up to `points` available points in the order of spending. Returns the parts taken.
    fn take(&mut self, points: i64) -> Booked<Vec<Part>, B> {
        let (mut left, mut parts, mut wanted) = (points, Vec::new(), LOTS_FIRST);
        while left > 0 {
            let page = self.books.spendable(self.rules.consume, wanted)?;
            let is_last = page.len() < wanted;
            wanted = LOTS_PER_PAGE;
            for mut lot in page {
                let part = lot.remaining.min(left);
                if part > 0 {
                    self.change(&mut lot, -part)?;
                    parts.push(Part { lot: lot.number, points: -part });
                    left -= part;
                }
            }
            if is_last {
                break;
            }
        }
        Ok(parts)
    }

    /// Uses available points to repay debt, as far as there are any.
    fn repay(&mut self) -> Booked<(), B> {
        let due = self.account.amounts.debt.min(self.account.amounts.available);
        if due <= 0 {
            return Ok(());
        }
        let parts = self.take(due)?;
        let amounts = Amounts { available: -due, debt: -due, debt_repaid: due, ..Amounts::default() };
        self.book(Entry { amounts, parts, ..Entry::of(Kind::Repay) })
    }

    /// Appends an entry, and adds it to the account.
    fn book(&mut self, entry: Entry) -> Booked<(), B> {
        self.account.entries += 1;
        let at = self.account.as_of.unwrap_or(entry.time);
        let time = if entry.time == Timestamp(i64::MIN) { at } else { entry.time };
        let (run, cause) = (self.run.clone(), self.cause.clone());
        let entry = Entry { number: self.account.entries, at, time, run, cause, timed: self.timed, ..entry };
        self.account.amounts.add(&entry.amounts);
        Ok(self.books.append(&entry)?)
    }

    /// A new lot's number.
    const fn next_lot(&mut self) -> i64 {
        self.account.lots += 1;
        self.account.lots
    }

    /// Looks up what the account says about its lots, where that is not known any more.
    fn refresh(&mut self) -> Booked<(), B> {
        if std::mem::take(&mut self.stale.expiry) {
            let next = self.books.expiring(None, 2)?;
            let at = next.first().and_then(|lot| lot.expires_at);
            let points = match (next.as_slice(), at) {
                ([first, second], Some(at)) if first.expires_at == second.expires_at => {
                    self.books.points_expiring(at)?
                }
                (lots, _) => lots.first().map_or(0, |lot| lot.remaining),
            };
            (self.account.next_expiry, self.account.next_expiry_points) = (at, points);
        }
        if std::mem::take(&mut self.stale.ripening) {
            self.account.next_ripening = self.books.ripening(1)?.first().map(|lot| lot.available_at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
