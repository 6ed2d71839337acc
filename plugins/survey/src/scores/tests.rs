//! Against figures worked out by hand, and what holds of all of them.

use proptest::prelude::*;

use super::*;

fn close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-6, "{found} is not {wanted}");
}

fn near(found: Interval, wanted: Interval) {
    close(found[0], wanted[0]);
    close(found[1], wanted[1]);
}

fn of_ten(detractors: u64, passives: u64, promoters: u64) -> Counts {
    let mut counts = Counts::of_scale(0, 10);
    for (value, n) in [(3, detractors), (7, passives), (10, promoters)] {
        assert!(counts.add(value, n));
    }
    counts
}

#[test]
fn a_net_promoter_score_is_as_worked_out_by_hand() {
    // 60 promoters, 25 passives, 15 detractors: 45. Plain: variance 0.75 − 0.45² = 0.5475, half 1.959964 √0.005475 = 0.14502409.
    // Adjusted: 60.75 and 15.75 of 103: 0.43689320; variance 0.74271845 − 0.19087567 = 0.55184278; half 0.14346209.
    let found = nps(&of_ten(15, 25, 60)).unwrap();
    close(found.score, 45.0);
    near(found.wald, [30.497_591, 59.502_409]);
    near(found.interval, [29.343_111, 58.035_530]);
}

#[test]
fn few_answers_that_agree_are_no_certainty() {
    let found = nps(&of_ten(0, 0, 2)).unwrap();
    close(found.score, 100.0);
    near(found.wald, [100.0, 100.0]);
    // 2.75 and 0.75 of 5: 0.4; variance 0.7 − 0.16 = 0.54; half 1.959964 √0.108 = 0.64410990; cut off at 100.
    near(found.interval, [-24.410_990, 100.0]);
}

#[test]
fn a_share_is_as_worked_out_by_hand() {
    // Wilson for 81 of 263 (Newcombe 1998, one proportion): 0.2553 to 0.3662.
    let found = share(81, 263).unwrap();
    close(found.score, 30.798_479_087);
    assert!((found.interval[0] - 25.53).abs() < 0.005 && (found.interval[1] - 36.62).abs() < 0.005, "{found:?}");
    // 0 of 20: 0 to z² / (20 + z²) = 0.16112516.
    near(share(0, 20).unwrap().interval, [0.0, 16.112_516]);
    near(share(20, 20).unwrap().interval, [100.0 - 16.112_516, 100.0]);
}

#[test]
fn a_difference_is_as_in_newcombes_table() {
    // 56/70 − 48/80 (Newcombe 1998, method 10): 0.2, from 0.0524 to 0.3339.
    let of = |positive, n| share(positive, n).map(|s| Estimate { score: s.score, interval: s.interval }).unwrap();
    let found = difference(of(48, 80), of(56, 70));
    close(found.score, 20.0);
    assert!((found.interval[0] - 5.24).abs() < 0.005 && (found.interval[1] - 33.39).abs() < 0.005, "{found:?}");
}

#[test]
fn an_index_leaves_out_what_nobody_answered() {
    let item = |weight, mean| Item { weight, mean };
    // (2 × 0.75 + 1 × 0.25) / 3.
    close(index(&[item(2.0, Some(4.0)), item(1.0, Some(2.0)), item(5.0, None)], (1.0, 5.0)).unwrap(), 58.333_333_333);
    assert_eq!(index(&[item(1.0, None)], (1.0, 5.0)), None);
    assert_eq!(index(&[item(0.0, Some(3.0)), item(1.0, None)], (1.0, 5.0)), None);
}

#[test]
fn no_answers_have_no_score() {
    let none = Counts::of_scale(0, 10);
    assert_eq!((nps(&none), none.mean(), share(0, 0)), (None, None, None));
}

#[test]
fn an_answer_beyond_the_scale_is_left_out() {
    let mut counts = Counts::of_scale(1, 5);
    assert!(!counts.add(0, 3) && !counts.add(6, 1) && counts.add(5, 2));
    assert_eq!((counts.n(), counts.mean()), (2, Some(5.0)));
}

proptest! {
    #[test]
    fn a_net_promoter_score_stays_within_its_bounds(all in prop::collection::vec(0_u64..1_000, 11)) {
        let counts = Counts::new(0, all);
        if let Some(Nps { score, interval, wald }) = nps(&counts) {
            prop_assert!((-100.0..=100.0).contains(&score));
            for [from, to] in [interval, wald] {
                prop_assert!(-100.0 <= from && from <= to && to <= 100.0);
            }
            prop_assert!(wald[0] <= score + 1e-9 && score <= wald[1] + 1e-9);
        }
    }

    #[test]
    fn who_turns_the_scale_round_turns_the_score_round(d in 0_u64..500, p in 0_u64..500, n in 0_u64..500) {
        prop_assume!(d + p + n > 0);
        let (one, other) = (nps(&of_ten(d, n, p)).unwrap(), nps(&of_ten(p, n, d)).unwrap());
        prop_assert!((one.score + other.score).abs() < 1e-9);
        prop_assert!((one.interval[0] + other.interval[1]).abs() < 1e-9);
        prop_assert!((one.wald[1] + other.wald[0]).abs() < 1e-9);
    }

    #[test]
    fn one_more_promoter_never_lowers_the_score(d in 0_u64..500, p in 0_u64..500, n in 0_u64..500) {
        prop_assume!(d + p + n > 0);
        prop_assert!(nps(&of_ten(d, n, p + 1)).unwrap().score >= nps(&of_ten(d, n, p)).unwrap().score - 1e-9);
    }

    #[test]
    fn a_share_lies_in_its_interval_and_mirrors(n in 1_u64..5_000, part in 0.0_f64..=1.0) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to n")]
        let positive = ((whole(n) * part) as u64).min(n);
        let (one, other) = (share(positive, n).unwrap(), share(n - positive, n).unwrap());
        prop_assert!(0.0 <= one.interval[0] && one.interval[0] <= one.score + 1e-9);
        prop_assert!(one.score <= one.interval[1] + 1e-9 && one.interval[1] <= 100.0);
        prop_assert!((one.interval[0] + other.interval[1] - 100.0).abs() < 1e-9);
    }

    #[test]
    fn more_answers_narrow_the_interval(k in 0_u64..100, n in 1_u64..100) {
        prop_assume!(k <= n);
        let width = |share: Share| share.interval[1] - share.interval[0];
        prop_assert!(width(share(k * 4, n * 4).unwrap()) < width(share(k, n).unwrap()));
    }

    #[test]
    fn an_index_stays_on_its_scale(items in prop::collection::vec((0.0_f64..10.0, prop::option::of(1.0_f64..=5.0)), 1..9)) {
        let items: Vec<Item> = items.into_iter().map(|(weight, mean)| Item { weight, mean }).collect();
        if let Some(score) = index(&items, (1.0, 5.0)) {
            prop_assert!((-1e-9..=100.000_001).contains(&score));
        }
    }
}
