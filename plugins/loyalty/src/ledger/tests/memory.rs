//! Books in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;

use rapport_sdk::Timestamp;

use crate::ledger::{
    Account, Amounts, Bonus, Books, Calendar, Consume, Day, Earning, Entry, Ledger, LedgerError, Lot, Outcome,
    Redemption, Rules, Settled, TierChange, Warning,
};

/// The books of one account.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    pub(super) lots: BTreeMap<i64, Lot>,
    pub(super) redemptions: BTreeMap<String, Redemption>,
    pub(super) entries: Vec<Entry>,
    calendar: Calendar,
    pub(super) reads: usize,
}

fn soonest(lot: &Lot) -> (Timestamp, Timestamp, i64) {
    (lot.expires_at.unwrap_or(Timestamp(i64::MAX)), lot.earned_at, lot.number)
}

impl Memory {
    fn live(&self, wanted: impl Fn(&Lot) -> bool) -> Vec<Lot> {
        self.lots.values().filter(|lot| lot.remaining > 0 && wanted(lot)).cloned().collect()
    }
}

impl Books for Memory {
    type Error = Infallible;

    fn lot(&mut self, number: i64) -> Result<Lot, Infallible> {
        Ok(self.lots[&number].clone())
    }

    fn order(&mut self, order: &str) -> Result<Option<Lot>, Infallible> {
        let is_it = |lot: &&Lot| lot.order.as_ref().is_some_and(|share| share.name == order);
        Ok(self.lots.values().find(is_it).cloned())
    }

    fn spendable(&mut self, consume: Consume, limit: usize) -> Result<Vec<Lot>, Infallible> {
        self.reads += 1;
        let mut lots = self.live(|lot| !lot.pending);
        match consume {
            Consume::ExpiryThenEarn => lots.sort_by_key(soonest),
            Consume::Earn => lots.sort_by_key(|lot| (lot.earned_at, lot.number)),
        }
        lots.truncate(limit);
        Ok(lots)
    }

    fn ripening(&mut self, limit: usize) -> Result<Vec<Lot>, Infallible> {
        self.reads += 1;
        let mut lots = self.live(|lot| lot.pending);
        lots.sort_by_key(|lot| (lot.available_at, lot.number));
        lots.truncate(limit);
        Ok(lots)
    }

    fn expiring(&mut self, after: Option<Timestamp>, limit: usize) -> Result<Vec<Lot>, Infallible> {
        self.reads += 1;
        let mut lots = self.live(|lot| lot.expires_at.is_some_and(|at| after.is_none_or(|after| at > after)));
        lots.sort_by_key(soonest);
        lots.truncate(limit);
        Ok(lots)
    }

    fn expiring_at(&mut self, at: Timestamp, limit: usize) -> Result<Vec<Lot>, Infallible> {
        self.reads += 1;
        let mut lots = self.live(|lot| lot.expires_at == Some(at));
        lots.sort_by_key(soonest);
        lots.truncate(limit);
        Ok(lots)
    }

    fn points_expiring(&mut self, at: Timestamp) -> Result<i64, Infallible> {
        self.reads += 1;
        Ok(self.live(|lot| lot.expires_at == Some(at)).iter().map(|lot| lot.remaining).sum())
    }

    fn points_of_orders(&mut self, day: Day) -> Result<i64, Infallible> {
        let of_day = |lot: &&Lot| {
            let counts = lot.order.as_ref().is_some_and(|share| !share.undone);
            counts && self.calendar.day(lot.earned_at) == day
        };
        Ok(self.lots.values().filter(of_day).map(|lot| lot.points).sum())
    }

    fn redemption(&mut self, key: &str) -> Result<Option<Redemption>, Infallible> {
        Ok(self.redemptions.get(key).cloned())
    }

    fn entries_of_run(&mut self, run: &str) -> Result<Vec<Entry>, Infallible> {
        Ok(self.entries.iter().filter(|entry| entry.run == run).cloned().collect())
    }

    fn is_reversed(&mut self, number: i64) -> Result<bool, Infallible> {
        Ok(self.entries.iter().any(|entry| entry.reverses == Some(number)))
    }

    fn save_lot(&mut self, lot: &Lot) -> Result<(), Infallible> {
        assert!(lot.remaining >= 0, "nothing is taken that is not there: {lot:?}");
        self.lots.insert(lot.number, lot.clone());
        Ok(())
    }

    fn save_redemption(&mut self, redemption: &Redemption) -> Result<(), Infallible> {
        self.redemptions.insert(redemption.key.clone(), redemption.clone());
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), Infallible> {
        assert_eq!(entry.number, i64::try_from(self.entries.len()).unwrap() + 1);
        self.entries.push(entry.clone());
        Ok(())
    }
}

/// A member: an account, its books, and the rules that hold.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) books: Memory,
    pub(super) account: Account,
    pub(super) rules: Rules,
    pub(super) tier_changes: Vec<TierChange>,
    /// Whether the books of another one are among them: entries stand behind each other then, not in the order of their instants.
    pub(super) is_folded: bool,
    runs: usize,
}

impl Member {
    pub(super) fn new(rules: Rules) -> Self {
        let calendar = rules.calendar.clone();
        let books =
            Memory { lots: BTreeMap::new(), redemptions: BTreeMap::new(), entries: Vec::new(), calendar, reads: 0 };
        Self { books, account: Account::default(), rules, tier_changes: Vec::new(), is_folded: false, runs: 0 }
    }

    /// Does `work` on the account, as a run of its own, and checks the books after it.
    pub(super) fn book<T>(
        &mut self,
        work: impl FnOnce(&mut Ledger<'_, Memory>) -> Result<T, LedgerError<Infallible>>,
    ) -> T {
        self.runs += 1;
        let run = self.run();
        let mut ledger = Ledger::open(&mut self.books, &self.rules, self.account.clone(), (&run, "test"));
        let done = work(&mut ledger).unwrap();
        self.tier_changes.append(&mut ledger.tier_changes);
        self.account = ledger.account;
        self.check();
        done
    }

    /// The name of the last run.
    pub(super) fn run(&self) -> String {
        Self::name_of(self.runs)
    }

    /// The name of a run by its number, from 1.
    pub(super) fn name_of(run: usize) -> String {
        format!("run {run}")
    }

    /// How many runs there were.
    pub(super) const fn runs(&self) -> usize {
        self.runs
    }

    pub(super) fn earn(&mut self, order: &str, amount: &str, factors: &[&str], at: &str) -> Outcome {
        let factors: Vec<_> = factors.iter().map(|f| decimal(f)).collect();
        let earning = Earning { order, amount: decimal(amount), factors: &factors };
        self.book(|ledger| ledger.earn(&earning, instant(at)))
    }

    pub(super) fn bonus(&mut self, points: i64, valid_days: Option<i64>, at: &str) -> Outcome {
        let bonus = Bonus { points, valid_days, reason: "" };
        self.book(|ledger| ledger.bonus(&bonus, instant(at)))
    }

    pub(super) fn refund(&mut self, order: &str, amount: &str, at: &str) -> Outcome {
        let order = Some(order).filter(|order| !order.is_empty());
        self.book(|ledger| ledger.refund(order, decimal(amount), instant(at)))
    }

    pub(super) fn redeem(&mut self, points: i64, key: &str, at: &str) -> Outcome {
        self.book(|ledger| ledger.redeem(points, key, instant(at)))
    }

    pub(super) fn cancel(&mut self, key: &str, at: &str) -> Outcome {
        self.book(|ledger| ledger.cancel_redeem(key, instant(at)))
    }

    pub(super) fn settle(&mut self, at: &str) {
        assert_eq!(self.book(|ledger| ledger.settle(instant(at), 1_000)), Settled::UpToDate);
    }

    pub(super) fn warn(&mut self, at: &str) -> Vec<Warning> {
        self.book(|ledger| ledger.warn(instant(at), 100))
    }

    /// `available pending debt`.
    pub(super) fn holds(&self) -> (i64, i64, i64) {
        let Amounts { available, pending, debt, .. } = self.account.amounts;
        (available, pending, debt)
    }

    /// The books add up, and the account says what they say.
    pub(super) fn check(&self) {
        let mut sums = Amounts::default();
        for entry in &self.books.entries {
            sums.add(&entry.amounts);
            assert!(sums.is_balanced(), "{entry:?}");
        }
        assert_eq!(sums, self.account.amounts);
        assert!(sums.named().iter().all(|(_, amount)| *amount >= 0), "{sums:?}");
        assert!(sums.debt == 0 || sums.available == 0, "debt is repaid as soon as it can be: {sums:?}");
        let of = |pending| self.books.live(|lot| lot.pending == pending).iter().map(|l| l.remaining).sum::<i64>();
        assert_eq!((of(false), of(true)), (sums.available, sums.pending));
        let instants = self.books.entries.iter().map(|entry| entry.at);
        assert!(self.is_folded || instants.is_sorted(), "entries stand in the order of their instants");
        for lot in self.books.lots.values() {
            let parts = self.books.entries.iter().flat_map(|entry| &entry.parts);
            let sum: i64 = parts.filter(|part| part.lot == lot.number).map(|part| part.points).sum();
            assert_eq!(sum, lot.remaining, "a lot is the sum of its parts: {lot:?}");
        }
    }
}

pub(super) fn decimal(text: &str) -> rapport_sdk::Decimal {
    rapport_sdk::Decimal::from_str_exact(text).unwrap()
}

pub(super) fn instant(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}
