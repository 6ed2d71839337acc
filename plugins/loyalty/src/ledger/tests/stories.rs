//! The rules by hand: each with the numbers that a person would work out.

use super::memory::{Member, decimal, instant};
use crate::ledger::{
    Bonus, Calendar, Consume, Expiry, ExpiryKind, LedgerError, Moved, Outcome, Period, Rules, Settled, Shortfall,
    TierRule,
};

fn rules() -> Rules {
    Rules { redeem_block: 100, ..Rules::standard(Calendar::of("Asia/Shanghai").unwrap()) }
}

fn expiring(kind: ExpiryKind, n: i32) -> Rules {
    Rules { expiry: Expiry { kind, n }, ..rules() }
}

fn last_instant_of(kind: ExpiryKind, n: i32, earned: &str) -> String {
    let expires = expiring(kind, n).expires_at(instant(earned)).unwrap();
    jiff::Timestamp::from_microsecond(expires.0).unwrap().to_string()
}

#[test]
fn points_can_be_spent_to_the_end_of_their_last_local_day() {
    // 15:59Z is still the 30th in Shanghai, 16:00Z is the 31st.
    assert_eq!(last_instant_of(ExpiryKind::Days, 1, "2026-01-30T15:59:59Z"), "2026-01-31T16:00:00Z");
    assert_eq!(last_instant_of(ExpiryKind::Days, 1, "2026-01-30T16:00:00Z"), "2026-02-01T16:00:00Z");
    assert_eq!(last_instant_of(ExpiryKind::Months, 1, "2026-01-30T16:00:00Z"), "2026-02-28T16:00:00Z");
    assert_eq!(last_instant_of(ExpiryKind::Months, 1, "2028-01-31T02:00:00Z"), "2028-02-29T16:00:00Z");
    assert_eq!(last_instant_of(ExpiryKind::YearEnd, 0, "2026-12-31T15:59:59Z"), "2026-12-31T16:00:00Z");
    assert_eq!(last_instant_of(ExpiryKind::YearEnd, 1, "2026-12-31T16:00:00Z"), "2028-12-31T16:00:00Z");
}

#[test]
fn what_expires_is_gone_at_midnight_and_not_before() {
    let mut ada = Member::new(expiring(ExpiryKind::Days, 0));
    ada.bonus(100, None, "2026-03-01T02:00:00Z");
    ada.settle("2026-03-01T15:59:59.999999Z");
    assert_eq!((ada.holds(), ada.account.amounts.expired), ((100, 0, 0), 0));
    ada.settle("2026-03-01T16:00:00Z");
    assert_eq!((ada.holds(), ada.account.amounts.expired), ((0, 0, 0), 100));
}

#[test]
fn pending_points_ripen_at_a_local_midnight_and_bonuses_at_once() {
    let mut ada = Member::new(Rules { pending_days: 7, ..rules() });
    ada.earn("1", "100.00", &["1.15"], "2026-03-01T02:00:00Z");
    ada.bonus(10, None, "2026-03-01T02:00:00Z");
    assert_eq!(ada.holds(), (10, 115, 0));
    ada.settle("2026-03-07T15:59:59Z");
    assert_eq!(ada.holds(), (10, 115, 0));
    ada.settle("2026-03-07T16:00:00Z");
    assert_eq!(ada.holds(), (125, 0, 0));
}

#[test]
fn the_cap_of_a_day_holds_for_its_orders_together() {
    let mut ada = Member::new(Rules { earn_cap_per_day: Some(150), ..rules() });
    ada.earn("1", "100", &[], "2026-03-01T02:00:00Z");
    ada.earn("2", "100", &[], "2026-03-01T15:00:00Z");
    ada.bonus(1, None, "2026-03-01T15:00:00Z");
    assert_eq!(ada.holds(), (151, 0, 0));
    ada.earn("3", "100", &[], "2026-03-01T16:00:00Z");
    assert_eq!(ada.holds(), (251, 0, 0));
    // Half of the second order would have earned the 50 that the cap left it.
    ada.refund("2", "50", "2026-03-02T02:00:00Z");
    assert_eq!(ada.holds(), (251, 0, 0));
    ada.refund("2", "50", "2026-03-02T02:00:00Z");
    assert_eq!(ada.holds(), (201, 0, 0));
}

#[test]
fn points_are_spent_in_whole_blocks_the_soonest_to_expire_first() {
    for (consume, first) in [(Consume::ExpiryThenEarn, "2026-03-31T16:00:00Z"), (Consume::Earn, "2026-03-05T16:00:00Z")]
    {
        let mut ada = Member::new(Rules { consume, ..expiring(ExpiryKind::Days, 30) });
        ada.bonus(80, None, "2026-03-01T02:00:00Z");
        ada.bonus(100, Some(3), "2026-03-02T02:00:00Z");
        assert_eq!(ada.redeem(150, "k", "2026-03-03T02:00:00Z"), Outcome::RejectedBlock);
        assert_eq!(ada.redeem(200, "k", "2026-03-03T02:00:00Z"), Outcome::RejectedBalance);
        assert_eq!(ada.redeem(0, "k", "2026-03-03T02:00:00Z"), Outcome::RejectedBlock);
        assert_eq!(ada.redeem(-100, "k", "2026-03-03T02:00:00Z"), Outcome::RejectedBlock);
        assert_eq!(ada.redeem(100, "k", "2026-03-03T02:00:00Z"), Outcome::Ok);
        assert_eq!(ada.redeem(100, "k", "2026-03-03T02:00:00Z"), Outcome::DuplicateIgnored);
        assert_eq!((ada.holds(), ada.account.next_expiry_points), ((80, 0, 0), 80));
        assert_eq!(ada.account.next_expiry, Some(instant(first)));
    }
}

#[test]
fn what_has_expired_before_a_cancellation_is_gone_and_repays_nothing() {
    let mut ada = Member::new(rules());
    ada.earn("1", "60", &[], "2026-03-01T02:00:00Z");
    ada.bonus(40, Some(1), "2026-03-01T02:00:00Z");
    ada.redeem(100, "k", "2026-03-01T03:00:00Z");
    ada.refund("1", "60", "2026-03-02T02:00:00Z");
    assert_eq!(ada.holds(), (0, 0, 60));
    assert_eq!(ada.cancel("other", "2026-03-03T02:00:00Z"), Outcome::RejectedUnknown);
    assert_eq!(ada.cancel("k", "2026-03-03T02:00:00Z"), Outcome::Ok);
    assert_eq!(ada.cancel("k", "2026-03-03T02:00:00Z"), Outcome::DuplicateIgnored);
    let amounts = ada.account.amounts;
    assert_eq!((amounts.restored, amounts.expired, amounts.debt_repaid, ada.holds()), (100, 40, 60, (0, 0, 0)));
}

#[test]
fn a_refund_takes_its_own_points_counts_the_expired_ones_once_and_then_takes_others() {
    let mut ada = Member::new(expiring(ExpiryKind::Days, 10));
    ada.earn("1", "100", &[], "2026-03-01T02:00:00Z");
    ada.earn("2", "100", &["1.5"], "2026-03-09T02:00:00Z");
    // Own points first, though others expire later.
    ada.refund("1", "30.50", "2026-03-10T02:00:00Z");
    assert_eq!((ada.holds(), ada.account.amounts.clawed), ((219, 0, 0), 31));
    // The other 69 have expired: they are counted, and nothing else is taken.
    ada.refund("1", "40", "2026-03-13T02:00:00Z");
    assert_eq!((ada.holds(), ada.account.amounts.clawed), ((150, 0, 0), 31));
    ada.refund("1", "29.50", "2026-03-13T02:00:00Z");
    assert_eq!((ada.holds(), ada.account.amounts.clawed), ((150, 0, 0), 31));
    assert_eq!(ada.refund("1", "0.01", "2026-03-13T02:00:00Z"), Outcome::RejectedAmount);
    assert_eq!(ada.refund("9", "1", "2026-03-13T02:00:00Z"), Outcome::RejectedUnknown);
    assert_eq!(ada.refund("2", "0", "2026-03-13T02:00:00Z"), Outcome::RejectedAmount);
    assert_eq!(ada.refund("2", "-5", "2026-03-13T02:00:00Z"), Outcome::RejectedAmount);
}

#[test]
fn points_that_expired_are_counted_for_one_refund_only() {
    let mut ada = Member::new(expiring(ExpiryKind::Days, 10));
    ada.earn("1", "200", &[], "2026-03-01T02:00:00Z");
    ada.redeem(100, "k", "2026-03-02T02:00:00Z");
    ada.refund("1", "100", "2026-03-20T02:00:00Z");
    assert_eq!((ada.holds(), ada.account.amounts.expired), ((0, 0, 0), 100));
    ada.refund("1", "100", "2026-03-20T02:00:00Z");
    assert_eq!(ada.holds(), (0, 0, 100));
}

#[test]
fn a_shortfall_is_owed_or_forgiven() {
    for (refund_shortfall, debt) in [(Shortfall::Negative, 100), (Shortfall::Cap, 0)] {
        let mut ada = Member::new(Rules { refund_shortfall, ..rules() });
        ada.earn("1", "100", &[], "2026-03-01T02:00:00Z");
        ada.redeem(100, "k", "2026-03-01T03:00:00Z");
        ada.refund("1", "100", "2026-03-02T02:00:00Z");
        assert_eq!((ada.holds(), ada.account.balance()), ((0, 0, debt), -debt));
        ada.earn("2", "250", &[], "2026-03-03T02:00:00Z");
        assert_eq!((ada.holds(), ada.account.amounts.debt_repaid), ((250 - debt, 0, 0), debt));
    }
}

#[test]
fn a_refund_without_an_order_takes_in_the_order_of_spending() {
    let mut ada = Member::new(rules());
    ada.bonus(50, Some(5), "2026-03-01T02:00:00Z");
    ada.earn("1", "100", &[], "2026-02-01T02:00:00Z");
    assert_eq!(ada.refund("", "60.90", "2026-03-02T02:00:00Z"), Outcome::Ok);
    assert_eq!((ada.holds(), ada.account.next_expiry), ((90, 0, 0), None));
}

#[test]
fn late_events_count_by_their_own_day() {
    let mut ada = Member::new(expiring(ExpiryKind::Days, 10));
    ada.bonus(1, None, "2026-03-20T02:00:00Z");
    assert_eq!(ada.earn("1", "100", &[], "2026-03-15T02:00:00Z"), Outcome::Ok);
    assert_eq!(ada.account.next_expiry, Some(instant("2026-03-25T16:00:00Z")));
    assert_eq!(ada.earn("2", "100", &[], "2026-03-01T02:00:00Z"), Outcome::Ok);
    assert_eq!((ada.holds(), ada.account.amounts.expired), ((101, 0, 0), 100));
    assert_eq!(ada.earn("1", "7", &[], "2026-03-20T02:00:00Z"), Outcome::DuplicateIgnored);
}

#[test]
fn odd_amounts_are_refused() {
    let mut ada = Member::new(rules());
    let at = "2026-03-01T02:00:00Z";
    assert_eq!(ada.earn("0", "0", &[], at), Outcome::Ok);
    assert_eq!(ada.earn("1", "-1", &[], at), Outcome::RejectedAmount);
    assert_eq!(ada.earn("2", "999999999999999", &[], at), Outcome::RejectedAmount);
    assert_eq!(ada.earn("3", "1", &["-2"], at), Outcome::RejectedAmount);
    assert_eq!(ada.bonus(0, None, at), Outcome::RejectedAmount);
    assert_eq!(ada.bonus(-5, None, at), Outcome::RejectedAmount);
    assert_eq!(ada.bonus(i64::MAX, None, at), Outcome::RejectedAmount);
    assert_eq!(ada.bonus(1, Some(-1), at), Outcome::RejectedAmount);
    assert_eq!(ada.holds(), (0, 0, 0));
}

#[test]
fn face_value_is_rounded_down_to_a_hundredth() {
    let rules = Rules { redeem_block: 1000, value_per_block: decimal("9.99"), ..rules() };
    assert_eq!([0, 1, 2, 999, 1000, 1_000_000].map(|points| rules.worth_cents(points)), [0, 0, 1, 998, 999, 999_000]);
}

fn tiered() -> Rules {
    let tier = |name: &str, from: &str| TierRule { name: name.into(), from: decimal(from), multiplier: decimal("1.5") };
    Rules { tiers: vec![tier("silver", "100"), tier("gold", "300")], tier_period: Period::Year, ..rules() }
}

#[test]
fn a_tier_rises_at_once_and_falls_when_its_period_and_grace_are_over() {
    let mut ada = Member::new(Rules { tier_grace_days: 31, ..tiered() });
    ada.earn("1", "350", &[], "2026-03-01T02:00:00Z");
    assert_eq!(ada.account.tier.as_deref(), Some("gold"));
    ada.refund("1", "350", "2026-03-02T02:00:00Z");
    ada.earn("2", "120", &[], "2026-12-01T02:00:00Z");
    ada.settle("2027-01-31T15:59:59Z");
    assert_eq!(ada.account.tier.as_deref(), Some("gold"));
    ada.settle("2027-01-31T16:00:00Z");
    assert_eq!(ada.account.tier.as_deref(), Some("silver"));
    ada.settle("2028-02-01T00:00:00Z");
    assert_eq!(ada.account.tier, None);
    let moves: Vec<_> = ada.tier_changes.iter().map(|t| (t.from.as_deref(), t.to.as_deref())).collect();
    assert_eq!(moves, [(None, Some("gold")), (Some("gold"), Some("silver")), (Some("silver"), None)]);
}

#[test]
fn a_rolling_tier_is_kept_by_who_goes_on() {
    let mut ada = Member::new(Rules { tier_period: Period::Rolling(3), ..tiered() });
    ada.earn("1", "100", &[], "2026-01-10T02:00:00Z");
    ada.earn("2", "100", &[], "2026-04-09T02:00:00Z");
    ada.settle("2026-05-01T00:00:00Z");
    assert_eq!(ada.account.tier.as_deref(), Some("silver"));
    ada.settle("2026-07-09T15:59:59Z");
    assert_eq!(ada.account.tier.as_deref(), Some("silver"));
    ada.settle("2026-07-09T16:00:00Z");
    assert_eq!(ada.account.tier, None);
    assert_eq!(ada.tier_changes.len(), 2);
}

#[test]
fn a_transfer_keeps_age_and_expiry() {
    let (mut ada, mut ben) = (Member::new(rules()), Member::new(rules()));
    ada.bonus(50, Some(5), "2026-03-01T02:00:00Z");
    ada.bonus(100, None, "2026-03-01T02:00:00Z");
    let at = instant("2026-03-02T02:00:00Z");
    let (outcome, moved) = ada.book(|ledger| ledger.give(80, ("t", "ben"), at));
    let earned_at = instant("2026-03-01T02:00:00Z");
    let expires_at = Some(instant("2026-03-06T16:00:00Z"));
    let expected = [Moved { points: 50, earned_at, expires_at }, Moved { points: 30, earned_at, expires_at: None }];
    assert_eq!((outcome, moved.as_slice()), (Outcome::Ok, expected.as_slice()));
    ben.book(|ledger| ledger.receive(&moved, ("t", "ada"), at));
    assert_eq!((ada.holds(), ben.holds(), ben.account.next_expiry_points), ((70, 0, 0), (80, 0, 0), 50));
    let (outcome, _) = ada.book(|ledger| ledger.give(71, ("u", "ben"), at));
    assert_eq!(outcome, Outcome::RejectedBalance);
}

#[test]
fn an_adjustment_takes_no_more_than_there_is() {
    let mut ada = Member::new(rules());
    let at = instant("2026-03-02T02:00:00Z");
    let mut adjust = |points| {
        let bonus = Bonus { points, valid_days: None, reason: "goodwill" };
        ada.book(|ledger| ledger.adjust(&bonus, at))
    };
    assert_eq!([adjust(50), adjust(-51), adjust(-20)], [Outcome::Ok, Outcome::RejectedBalance, Outcome::Ok]);
    assert_eq!(ada.holds(), (30, 0, 0));
    assert_eq!(ada.books.entries.last().unwrap().reason, "goodwill");
}

#[test]
fn each_expiry_is_warned_of_once() {
    let mut ada = Member::new(Rules { warn_days: 7, ..expiring(ExpiryKind::Days, 30) });
    ada.bonus(10, None, "2026-03-01T02:00:00Z");
    ada.bonus(5, None, "2026-03-02T02:00:00Z");
    // Gone at midnight of the 1st of April, so warned of from the 25th of March on.
    assert_eq!(ada.warn("2026-03-24T15:59:59Z"), []);
    let warned = ada.warn("2026-03-24T16:00:00Z");
    assert_eq!((warned.len(), warned[0].points, warned[0].expires_at), (1, 10, instant("2026-03-31T16:00:00Z")));
    ada.bonus(7, Some(7), "2026-03-24T20:00:00Z");
    assert_eq!(ada.warn("2026-03-24T20:00:00Z"), []);
    let warned = ada.warn("2026-03-29T02:00:00Z");
    assert_eq!(warned.iter().map(|w| w.points).collect::<Vec<_>>(), [12]);
}

#[test]
fn a_settlement_goes_on_where_it_was_cut() {
    let mut ada = Member::new(expiring(ExpiryKind::Days, 1));
    for day in 1..=9 {
        ada.bonus(1, Some(20), &format!("2026-03-0{day}T02:00:00Z"));
    }
    let at = instant("2026-05-01T00:00:00Z");
    let mut rounds = 0;
    while ada.book(|ledger| ledger.settle(at, 2)) == Settled::More {
        rounds += 1;
    }
    assert_eq!((rounds, ada.holds(), ada.account.amounts.expired), (4, (0, 0, 0), 9));
}

#[test]
fn more_lots_than_fit_one_operation_are_settled_first() {
    let mut ada = Member::new(expiring(ExpiryKind::YearEnd, 0));
    for number in 0..405 {
        ada.earn(&number.to_string(), "1", &[], "2026-03-01T02:00:00Z");
    }
    let at = instant("2027-03-01T02:00:00Z");
    let mut ledger = crate::ledger::Ledger::open(&mut ada.books, &ada.rules, ada.account.clone(), ("r", "c"));
    assert_eq!(ledger.redeem(100, "k", at), Err(LedgerError::Unsettled));
}

#[test]
fn an_earning_looks_at_no_other_lot_however_many_there_are() {
    let mut ada = Member::new(expiring(ExpiryKind::Months, 12));
    let mut reads = Vec::new();
    for number in 0..400 {
        let before = ada.books.reads;
        ada.earn(&number.to_string(), "1.50", &[], "2026-03-01T02:00:00Z");
        reads.push(ada.books.reads - before);
    }
    assert!(reads.iter().all(|reads| *reads == 0), "{reads:?}");
}
