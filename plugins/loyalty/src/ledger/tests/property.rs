//! Whatever happens, in whatever order and under whatever settings: the ledger says what the naive model says.

use proptest::prelude::*;
use rapport_sdk::{Decimal, Timestamp};

use super::folding::{fold, unfold};
use super::memory::Member;
use super::naive::{Naive, Setting};
use crate::ledger::{
    Bonus, Calendar, Consume, Earning, Expiry, ExpiryKind, Month, Outcome, Period, Rules, Settled, Shortfall, Stacking,
    TierBy, TierRule,
};

/// 2026-01-30T10:00:00Z: near the end of a month, so that months are clamped.
const START: i64 = 1_769_767_200_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

#[derive(Debug, Clone)]
enum Op {
    Pay { order: usize, cents: i64, factors: Vec<i64>, late: i64 },
    Refund { order: usize, cents: i64, whole: bool },
    RefundAny { cents: i64 },
    Bonus { points: i64, days: Option<i32>, late: i64 },
    Adjust { points: i64 },
    Redeem { key: usize, points: i64 },
    Cancel { key: usize },
    Pass { micros: i64 },
    Settle { lots_max: usize },
    Switch,
}

fn late() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(0), 1 => 0..90 * DAY]
}

fn op() -> impl Strategy<Value = Op> {
    let factor = prop::sample::select(vec![1150, 1500, 2000, 500, 1333, 1000, 0]);
    let cents = prop_oneof![1 => Just(0), 8 => 1..12_000_i64, 1 => Just(-500)];
    let passing = prop_oneof![2 => 0..DAY, 3 => 0..20 * DAY, 2 => 0..200 * DAY, 1 => Just(DAY), 1 => 0..800 * DAY];
    prop_oneof![
        6 => (0..4_usize, cents, prop::collection::vec(factor, 0..4), late())
            .prop_map(|(order, cents, factors, late)| Op::Pay { order, cents, factors, late }),
        4 => (0..5_usize, -100..6_000_i64, any::<bool>())
            .prop_map(|(order, cents, whole)| Op::Refund { order, cents, whole }),
        1 => (-100..9_000_i64).prop_map(|cents| Op::RefundAny { cents }),
        3 => (-1..150_i64, prop::option::of(-1..45_i32), late())
            .prop_map(|(points, days, late)| Op::Bonus { points, days, late }),
        1 => (-60..60_i64).prop_map(|points| Op::Adjust { points }),
        4 => (0..6_usize, prop_oneof![5 => (1..4_i64).prop_map(|n| n * 20), 1 => -20..70_i64])
            .prop_map(|(key, points)| Op::Redeem { key, points }),
        3 => (0..7_usize).prop_map(|key| Op::Cancel { key }),
        6 => passing.prop_map(|micros| Op::Pass { micros }),
        2 => (1..4_usize).prop_map(|lots_max| Op::Settle { lots_max }),
        1 => Just(Op::Switch),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let zones =
        prop::sample::select(vec!["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC"]);
    let expiry = prop_oneof![
        Just(("none", 12)),
        prop_oneof![0..10_i32, 0..60_i32].prop_map(|n| ("days", n)),
        (0..15_i32).prop_map(|n| ("months", n)),
        (0..3_i32).prop_map(|n| ("year_end", n)),
    ];
    let earning =
        (prop::sample::select(vec!["multiply", "add", "max"]), prop::option::weighted(0.3, 0..150_i64), 0..30_i32);
    let pending = prop_oneof![2 => Just(0), 2 => 1..20_i32];
    let spending = (any::<bool>(), prop::sample::select(vec![1_i64, 20, 50]), 0..300_i64, any::<bool>());
    let tiers = (any::<bool>(), prop_oneof![1 => Just(0), 2 => 1..13_i32], prop_oneof![Just(0), 0..40_i32]);
    (zones, expiry, earning, pending, spending, tiers).prop_map(
        |(zone, expiry, (stacking, cap, _), pending_days, (oldest_first, block, cents_per_block, forgiving), tiers)| {
            let (by_spend, rolling_months, grace_days) = tiers;
            Setting {
                zone,
                stacking,
                expiry,
                oldest_first,
                block,
                cents_per_block,
                pending_days,
                forgiving,
                cap,
                tiers: Vec::new(),
                by_spend,
                rolling_months,
                grace_days,
            }
        },
    )
}

/// Two settings of one program: it is switched from one to the other on the way. Zone and tiers stay.
fn settings() -> impl Strategy<Value = [Setting; 2]> {
    let tiers = prop::sample::select(vec![vec![], vec![0, 100, 250], vec![80], vec![50, 120, 300]]);
    (setting(), setting(), tiers).prop_map(|(first, second, tiers)| {
        let second = Setting { zone: first.zone, tiers: tiers.clone(), ..second };
        [Setting { tiers, ..first }, second]
    })
}

fn rules(setting: &Setting) -> Rules {
    let kind = match setting.expiry.0 {
        "days" => ExpiryKind::Days,
        "months" => ExpiryKind::Months,
        "year_end" => ExpiryKind::YearEnd,
        _ => ExpiryKind::None,
    };
    let tier = |(i, from): (usize, &i64)| {
        let (from, multiplier) = (Decimal::from(*from), Decimal::ONE);
        TierRule { name: i.to_string(), from, multiplier }
    };
    Rules {
        stacking: match setting.stacking {
            "multiply" => Stacking::Multiply,
            "add" => Stacking::Add,
            _ => Stacking::Max,
        },
        expiry: Expiry { kind, n: setting.expiry.1 },
        consume: if setting.oldest_first { Consume::Earn } else { Consume::ExpiryThenEarn },
        redeem_block: setting.block,
        value_per_block: Decimal::new(setting.cents_per_block, 2),
        pending_days: setting.pending_days,
        refund_shortfall: if setting.forgiving { Shortfall::Cap } else { Shortfall::Negative },
        earn_cap_per_day: setting.cap,
        tiers: setting.tiers.iter().enumerate().map(tier).collect(),
        tier_by: if setting.by_spend { TierBy::Spend } else { TierBy::Points },
        tier_period: if setting.rolling_months == 0 { Period::Year } else { Period::Rolling(setting.rolling_months) },
        tier_grace_days: setting.grace_days,
        ..Rules::standard(Calendar::of(setting.zone).unwrap())
    }
}

/// A member of both worlds.
struct Twin {
    member: Member,
    naive: Naive,
    settings: [Setting; 2],
    setting: usize,
    now: i64,
    /// What the names of orders and keys begin with.
    name: &'static str,
}

impl Twin {
    fn new(settings: [Setting; 2]) -> Self {
        let member = Member::new(rules(&settings[0]));
        Self { member, naive: Naive::default(), settings, setting: 0, now: START, name: "" }
    }

    fn steps(&mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
        }
    }

    /// Does `op` in both worlds. Returns what each says of it.
    fn step(&mut self, op: &Op) -> (&'static str, &'static str) {
        let setting = self.settings[self.setting].clone();
        let at = self.now;
        let (member, naive, name) = (&mut self.member, &mut self.naive, self.name);
        let ok = |outcome: Outcome| outcome.as_str();
        match op {
            Op::Pay { order, cents, factors, late } => {
                let (order, at) = (format!("{name}order {order}"), at - late);
                let decimals: Vec<Decimal> = factors.iter().map(|f| Decimal::new(*f, 3)).collect();
                let earning = Earning { order: &order, amount: Decimal::new(*cents, 2), factors: &decimals };
                let said = member.book(|ledger| ledger.earn(&earning, Timestamp(at)));
                (ok(said), naive.pay(&setting, (&order, *cents), factors, at))
            }
            Op::Refund { order, cents, whole } => {
                let order = format!("{name}order {order}");
                let cents = if *whole { naive.left_of(&order).unwrap_or(*cents) } else { *cents };
                let amount = Decimal::new(cents, 2);
                let said = member.book(|ledger| ledger.refund(Some(&order), amount, Timestamp(at)));
                (ok(said), naive.refund(&setting, Some(&order), cents, at))
            }
            Op::RefundAny { cents } => {
                let said = member.book(|ledger| ledger.refund(None, Decimal::new(*cents, 2), Timestamp(at)));
                (ok(said), naive.refund(&setting, None, *cents, at))
            }
            Op::Bonus { points, days, late } => {
                let bonus = Bonus { points: *points, valid_days: days.map(i64::from), reason: "" };
                let said = member.book(|ledger| ledger.bonus(&bonus, Timestamp(at - late)));
                (ok(said), naive.bonus(&setting, *points, *days, at - late))
            }
            Op::Adjust { points } => {
                let bonus = Bonus { points: *points, valid_days: None, reason: "" };
                let said = member.book(|ledger| ledger.adjust(&bonus, Timestamp(at)));
                (ok(said), naive.adjust(&setting, *points, at))
            }
            Op::Redeem { key, points } => {
                let key = format!("{name}{key}");
                let said = member.book(|ledger| ledger.redeem(*points, &key, Timestamp(at)));
                (ok(said), naive.redeem(&setting, *points, &key, at))
            }
            Op::Cancel { key } => {
                let key = format!("{name}{key}");
                let said = member.book(|ledger| ledger.cancel_redeem(&key, Timestamp(at)));
                (ok(said), naive.cancel(&setting, &key, at))
            }
            Op::Pass { micros } => {
                self.now += micros;
                ("", "")
            }
            Op::Settle { lots_max } => {
                while member.book(|ledger| ledger.settle(Timestamp(at), *lots_max)) == Settled::More {}
                naive.advance(&setting, at);
                ("", "")
            }
            Op::Switch => {
                self.setting = 1 - self.setting;
                member.rules = rules(&self.settings[self.setting]);
                ("", "")
            }
        }
    }

    fn ledger_says(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let (account, a) = (&self.member.account, &self.member.account.amounts);
        (
            (a.available, a.pending, a.debt, account.balance()),
            (a.earned, a.redeemed, a.expired, a.clawed, a.debt_repaid, a.restored),
            (account.next_expiry.map(|at| at.0), account.next_expiry_points),
            account.face_value_cents(&self.member.rules),
            account.tier.clone(),
        )
    }

    fn naive_says(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let n = &self.naive;
        (
            (n.available(), n.pending(), n.debt, n.available() - n.debt),
            (n.earned, n.redeemed, n.expired, n.clawed, n.debt_repaid, n.restored),
            n.next_expiry(),
            n.worth_cents(&self.settings[self.setting]),
            n.tier.map(|tier| tier.to_string()),
        )
    }
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("RAPPORT_SLOW").map_or(256, |_| 3_000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_ledger_says_what_a_model_says_that_keeps_each_point(
        settings in settings(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut twin = Twin::new(settings);
        for (i, op) in ops.iter().enumerate() {
            let (ledger, naive) = twin.step(op);
            prop_assert_eq!(ledger, naive, "op {}: {:?}", i, op);
            prop_assert_eq!(format!("{:?}", twin.ledger_says()), format!("{:?}", twin.naive_says()), "op {}: {:?}", i, op);
        }
    }

    /// The last operation is undone, and it is as if only time had passed; the undo is undone, and it is as after the operation.
    #[test]
    fn an_undo_leaves_what_would_be_there_without(
        settings in settings(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut twin = Twin::new(settings);
        for op in &ops {
            let before = twin.member.clone();
            twin.step(op);
            let after = twin.member.clone();
            if matches!(op, Op::Pass { .. } | Op::Switch | Op::Settle { .. }) || after.run() == before.run() {
                continue;
            }
            let now = after.account.as_of.unwrap();
            let mut without = before;
            while without.book(|ledger| ledger.settle(now, 100)) == Settled::More {}
            let mut undone = after.clone();
            let (run, holds) = (undone.run(), |member: &Member| format!("{:?}", comparable(member)));
            undone.book(|ledger| ledger.undo(&run, now));
            prop_assert_eq!(holds(&undone), holds(&without), "{:?}", op);
            let undo = undone.run();
            undone.book(|ledger| ledger.undo(&undo, now));
            prop_assert_eq!(holds(&undone), holds(&after), "{:?}", op);
        }
    }
}

fn comparable(member: &Member) -> impl std::fmt::Debug + use<> {
    let account = member.account.clone();
    (
        account.amounts,
        account.next_expiry,
        account.next_expiry_points,
        account.next_ripening,
        account.tier,
        account.orders,
    )
}

proptest! {
    #![proptest_config(cases())]

    /// Undone in any order, many times, with whatever in between: the books add up (`Member::book` checks them each time).
    #[test]
    fn books_add_up_whatever_is_undone(
        settings in settings(),
        ops in prop::collection::vec((op(), prop::option::weighted(0.4, any::<prop::sample::Index>())), 1..50),
    ) {
        let mut twin = Twin::new(settings);
        for (op, undone) in &ops {
            twin.step(op);
            let runs = twin.member.runs();
            if let (Some(undone), Some(now)) = (undone, twin.member.account.as_of) && runs > 0 {
                let run = Member::name_of(undone.index(runs) + 1);
                twin.member.book(|ledger| ledger.undo(&run, now));
            }
        }
    }
}

/// The months in which anything counts that can still matter: two years are kept.
fn counting(member: &Member, now: i64) -> Vec<Month> {
    let today = member.rules.calendar.day(Timestamp(now));
    let first = 12 * (i32::from(today.year()) - 2) + i32::from(today.month()) - 1;
    let months = member.account.months.iter().filter(|month| month.points != 0 || !month.spend.is_zero());
    months.filter(|month| month.month >= first).cloned().collect()
}

/// A member, and another one of whom the same is expected, under one setting at one instant.
fn two(settings: [Setting; 2], own: &[Op], others: &[Op]) -> (Twin, Twin) {
    let (mut twin, mut other) = (Twin::new(settings.clone()), Twin::new(settings));
    other.name = "other ";
    twin.steps(own);
    other.steps(others);
    let now = twin.now.max(other.now);
    (twin.now, other.now) = (now, now);
    (other.setting, other.member.rules) = (twin.setting, twin.member.rules.clone());
    (twin, other)
}

proptest! {
    #![proptest_config(cases())]

    /// Two members become one: from then on the ledger says what the model says that has the points of both.
    #[test]
    fn two_that_are_folded_are_one(
        settings in settings(),
        own in prop::collection::vec(op(), 0..30),
        others in prop::collection::vec(op(), 0..30),
        ops in prop::collection::vec((op(), any::<bool>()), 1..30),
    ) {
        let (mut twin, mut other) = two(settings, &own, &others);
        let (setting, now) = (twin.settings[twin.setting].clone(), twin.now);
        fold(&mut twin.member, &mut other.member, Timestamp(now));
        twin.naive.advance(&setting, now);
        other.naive.advance(&setting, now);
        twin.naive.fold(&setting, other.naive);
        prop_assert_eq!(format!("{:?}", twin.ledger_says()), format!("{:?}", twin.naive_says()));
        for (i, (op, others)) in ops.iter().enumerate() {
            twin.name = if *others { "other " } else { "" };
            let (ledger, naive) = twin.step(op);
            prop_assert_eq!(ledger, naive, "op {}: {:?}", i, op);
            prop_assert_eq!(format!("{:?}", twin.ledger_says()), format!("{:?}", twin.naive_says()), "op {}: {:?}", i, op);
        }
    }

    /// What was folded goes back as it was, or it has been touched. What stays is as if nothing had ever come, unless what came counted for
    /// the day's cap, or was owed.
    #[test]
    fn what_was_folded_goes_back(
        settings in settings(),
        own in prop::collection::vec(op(), 0..20),
        others in prop::collection::vec(op(), 0..20),
        ops in prop::collection::vec(op(), 0..8),
    ) {
        let (mut twin, mut other) = two(settings, &own, &others);
        let folded = fold(&mut twin.member, &mut other.member, Timestamp(twin.now));
        let owed = folded.into.amounts.debt + folded.from.amounts.debt > 0;
        let mut alone = Twin::new(twin.settings.clone());
        alone.steps(&own);
        (alone.now, alone.setting, alone.member.rules) = (twin.now, twin.setting, twin.member.rules.clone());
        alone.member.book(|ledger| ledger.bring_up(Timestamp(twin.now)));
        twin.steps(&ops);
        alone.steps(&ops);
        let gone = unfold(&mut twin.member, &folded, Timestamp(twin.now));
        prop_assert!(gone.is_some() || !ops.is_empty(), "what nobody touched goes back");
        let Some(gone) = gone else { return Ok(()) };
        prop_assert_eq!(&gone.account, &other.member.account);
        prop_assert_eq!(&gone.books.entries, &other.member.books.entries);
        prop_assert_eq!(&gone.books.lots, &other.member.books.lots);
        prop_assert_eq!(&gone.books.redemptions, &other.member.books.redemptions);
        if !owed && twin.settings.iter().all(|setting| setting.cap.is_none()) {
            alone.member.book(|ledger| ledger.bring_up(Timestamp(twin.now)));
            let (now, expected) = (&twin.member, &alone.member);
            prop_assert_eq!(now.account.amounts, expected.account.amounts);
            prop_assert_eq!(&now.books.lots, &expected.books.lots);
            prop_assert_eq!(now.account.next_expiry, expected.account.next_expiry);
            prop_assert_eq!(counting(now, twin.now), counting(expected, twin.now));
        }
    }
}
