//! Merges that are undone: the books that were folded go back.

use rapport_sdk::{Record, Value};
use serde_json::json;

use super::shop::{
    account, at, bonus, books, call, cancel, customer, merging, must_be, must_be_right, open, paid, redeem, refunded,
    reward, says, settle, undo, unmerge,
};

/// Two customers with a bit of everything, both of it up to date.
fn two_with_everything(settings: &[(&str, Value)]) -> (Record, Record) {
    let (a, b) = open(settings);
    reward("tea", 100);
    for (customer, points) in [(&a, 600), (&b, 900)] {
        paid(customer, "1", points);
        paid(customer, &format!("of {points}"), points);
        bonus(customer, 40, 1);
        bonus(customer, 50, 60);
        redeem(customer, 100, "key");
        redeem(customer, 200, "another");
        cancel(customer, "another");
        refunded(customer, "1", 20);
        undo(&format!("paid of {points}"));
        paid(customer, "of 600", 10);
        paid(customer, "booked twice", 30);
        if points == 600 {
            undo("paid booked twice");
        }
        call("claim", json!({ "customer": customer.id, "reward": "tea", "key": "cup" }));
        let other = self::customer("other");
        call("transfer", json!({ "from": customer.id, "to": other.id, "points": 10, "key": "gift" }));
    }
    call("referral_code", json!({ "customer": b.id }));
    at("2026-03-10T04:00:00Z");
    settle(&a);
    settle(&b);
    (a, b)
}

#[test]
fn all_records_are_again_what_they_were() {
    let (a, b) = two_with_everything(&[]);
    let before = books();
    merging("merge", &a, &b).unwrap();
    must_be_right();
    assert_ne!(books(), before);
    unmerge("merge", &a).unwrap();
    must_be_right();
    must_be(&before);
}

#[test]
fn a_merge_that_was_undone_is_done_again() {
    let (a, b) = two_with_everything(&[]);
    merging("merge", &a, &b).unwrap();
    let merged = books();
    unmerge("merge", &a).unwrap();
    merging("merge", &a, &b).unwrap();
    must_be(&merged);
}

#[test]
fn what_was_done_since_with_own_points_stays() {
    let (a, b) = two_with_everything(&[]);
    let [available] = says(&b, ["available"]);
    merging("merge", &a, &b).unwrap();
    at("2026-03-11T04:00:00Z");
    // Its own points that expire first are spent first, so nothing of the other's is touched.
    bonus(&a, 200, 5);
    redeem(&a, 100, "own");
    paid(&a, "own", 70);
    refunded(&a, "own", 10);
    undo("paid own");
    unmerge("merge", &a).unwrap();
    must_be_right();
    assert_eq!(says(&b, ["available"]), [available]);
    assert_eq!(cancel(&a, "own"), "ok");
    must_be_right();
    assert_eq!((cancel(&b, "key"), cancel(&b, "cup"), cancel(&a, "key")), (json!("ok"), json!("ok"), json!("ok")));
    refunded(&b, "1", 30);
    undo("paid of 900");
    must_be_right();
}

/// Does `since` between a merge and its undo, which is refused. Returns why.
fn refused(since: impl FnOnce(&Record, &Record)) -> String {
    let settings = [("pending_days", Value::Int(7)), ("expiry", Value::Json(json!({ "kind": "days", "n": 30 })))];
    let before = |a: &Record, b: &Record| {
        bonus(a, 20, 50);
        bonus(b, 300, 20);
        redeem(b, 100, "key");
        paid(b, "1", 500);
    };
    refused_of(&settings, before, since)
}

/// The same, after something else before the merge.
fn refused_of(
    settings: &[(&str, Value)],
    before: impl FnOnce(&Record, &Record),
    since: impl FnOnce(&Record, &Record),
) -> String {
    let (a, b) = open(settings);
    before(&a, &b);
    merging("merge", &a, &b).unwrap();
    since(&a, &b);
    let merged = books();
    let refused = unmerge("merge", &a).unwrap_err();
    assert_eq!((refused.code(), books() == merged), ("cannot_unfold", true));
    must_be_right();
    refused.to_string().replace(&a.id, "A").replace(&b.id, "B")
}

#[test]
fn points_that_were_spent_stay() {
    assert_eq!(
        refused(|a, _| drop(redeem(a, 100, "own"))),
        "the points of `customer/B` stay with `customer/A`: they have been touched since, by entry 5 `redeem` of \
         2026-03-01T04:00:00Z (`loyalty.redeem`)"
    );
}

#[test]
fn points_of_which_some_were_refunded_stay() {
    assert!(refused(|a, _| refunded(a, "1", 10)).contains("by entry 5 `refund`"));
}

#[test]
fn points_that_came_back_from_a_cancelled_redemption_stay() {
    assert!(refused(|a, _| drop(cancel(a, "key"))).contains("by entry 5 `cancel`"));
}

#[test]
fn points_whose_run_was_undone_stay() {
    assert!(refused(|_, _| undo("paid 1")).contains("by entry 5 `earn`"));
}

#[test]
fn an_order_of_which_no_points_are_left_is_touched_by_its_refund() {
    let cap = [("refund_shortfall", Value::from("cap"))];
    let before = |_: &Record, b: &Record| {
        paid(b, "1", 300);
        redeem(b, 300, "key");
    };
    assert!(refused_of(&cap, before, |a, _| refunded(a, "1", 100)).contains("by entry 3 `refund`"));
}

#[test]
fn an_order_that_was_undone_is_touched_when_it_is_paid_again() {
    let before = |_: &Record, b: &Record| {
        paid(b, "1", 300);
        undo("paid 1");
    };
    assert!(refused_of(&[], before, |a, _| paid(a, "1", 300)).contains("by entry 3 `earn`"));
}

#[test]
fn a_key_that_was_undone_is_touched_when_it_spends_again() {
    let before = |_: &Record, b: &Record| {
        paid(b, "1", 300);
        redeem(b, 100, "key");
        undo(&format!("redeem {}", json!({ "customer": b.id, "points": 100, "key": "key" })));
    };
    let since = |a: &Record, _: &Record| {
        bonus(a, 100, 1);
        assert_eq!(redeem(a, 100, "key"), "ok");
    };
    assert!(refused_of(&[], before, since).contains("by entry 5 `redeem`"));
}

#[test]
fn points_that_ripened_or_expired_stay() {
    let later = |day: u32| {
        move |a: &Record, _: &Record| {
            at(&format!("2026-03-{day}T04:00:00Z"));
            settle(a);
        }
    };
    assert!(refused(later(10)).contains("by entry 5 `ripen`"));
    assert!(refused(later(25)).contains("by entry 5 `ripen`"));
}

#[test]
fn a_later_merge_into_the_same_one_is_undone_first() {
    let told = refused(|a, _| {
        let c = customer("c");
        bonus(&c, 10, 9);
        merging("later", a, &c).unwrap();
    });
    assert!(told.ends_with("was merged into `customer/A` since: undo that first"), "{told}");
}

#[test]
fn a_merge_of_the_one_that_stayed_is_undone_first() {
    let told = refused(|a, _| merging("later", &customer("c"), a).unwrap());
    assert!(told.contains("if it was merged itself since, undo that first"), "{told}");
}

#[test]
fn nothing_goes_to_one_who_has_points_again() {
    assert!(refused(|_, b| bonus(b, 1, 9)).contains("has got points of its own meanwhile"));
}

#[test]
fn merges_are_undone_one_after_the_other() {
    let (a, b) = two_with_everything(&[]);
    let c = customer("c");
    bonus(&c, 500, 90);
    settle(&c);
    let apart = books();
    merging("c into b", &b, &c).unwrap();
    let two = books();
    merging("b into a", &a, &b).unwrap();
    must_be_right();
    unmerge("b into a", &a).unwrap();
    must_be(&two);
    unmerge("c into b", &b).unwrap();
    must_be(&apart);
}

#[test]
fn debt_is_there_again_for_both() {
    for turned in [false, true] {
        let (a, b) = open(&[]);
        paid(&a, "1", 300);
        redeem(&a, 300, "key");
        refunded(&a, "1", 200);
        paid(&b, "2", 500);
        let before = books();
        let (into, gone) = if turned { (&b, &a) } else { (&a, &b) };
        merging("merge", into, gone).unwrap();
        assert_eq!(says(into, ["available", "debt", "debt_repaid"]), [300, 0, 200]);
        unmerge("merge", into).unwrap();
        must_be_right();
        must_be(&before);
    }
}

#[test]
fn debt_that_was_repaid_since_does_not_go_back() {
    let (a, b) = open(&[]);
    paid(&b, "1", 300);
    redeem(&b, 300, "key");
    refunded(&b, "1", 200);
    bonus(&a, 50, 9);
    merging("merge", &a, &b).unwrap();
    assert_eq!(says(&a, ["debt"]), [150]);
    bonus(&a, 100, 9);
    let told = unmerge("merge", &a).unwrap_err().to_string();
    assert!(told.starts_with("debt that came with"), "{told}");
    must_be_right();
}

#[test]
fn an_account_that_was_opened_for_the_merge_goes() {
    let (a, b) = open(&[]);
    paid(&b, "2", 500);
    call("referral_code", json!({ "customer": b.id }));
    settle(&b);
    let before = books();
    merging("merge", &a, &b).unwrap();
    unmerge("merge", &a).unwrap();
    assert!(account(&a).is_none());
    must_be(&before);
}

#[test]
fn the_tier_is_again_what_it_was_unless_it_was_reached_since() {
    let tiers = json!([{ "name": "silver", "from": 100 }, { "name": "gold", "from": 500 }]);
    for (since, tier) in [(1, "silver"), (400, "gold")] {
        let (a, b) = open(&[("tiers", Value::Json(tiers.clone()))]);
        paid(&a, "1", 100);
        paid(&b, "2", 700);
        merging("merge", &a, &b).unwrap();
        paid(&a, "3", since);
        unmerge("merge", &a).unwrap();
        let tier_of = |customer: &Record| account(customer).unwrap().text("tier").unwrap().unwrap_or_default();
        assert_eq!((tier_of(&a), tier_of(&b)), (tier.to_owned(), "gold".to_owned()));
        must_be_right();
    }
}

#[test]
fn a_referral_of_one_by_the_other_is_there_again() {
    let (a, b) = open(&[]);
    let code = call("referral_code", json!({ "customer": a.id }))["code"].clone();
    call("refer", json!({ "customer": b.id, "code": code }));
    bonus(&b, 10, 9);
    settle(&a);
    let before = books();
    merging("merge", &a, &b).unwrap();
    unmerge("merge", &a).unwrap();
    must_be(&before);
}

#[test]
fn a_merge_without_points_is_undone_by_doing_nothing() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    merging("merge", &a, &b).unwrap();
    let before = books();
    unmerge("merge", &a).unwrap();
    must_be(&before);
}
