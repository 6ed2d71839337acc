//! Books that are folded when records of one customer are merged.

use rapport_sdk::{Fields, Value, fake};
use serde_json::json;

use super::shop::{
    account, at, bonus, books, call, cancel, customer, event, is_of, merging, must_be, must_be_right, open, paid,
    redeem, refunded, reward, says, settle, undo,
};

const SUMS: [&str; 6] = ["available", "debt", "earned", "redeemed", "expired", "clawed"];

#[test]
fn the_books_of_both_are_one() {
    let (a, b) = open(&[]);
    for (customer, points) in [(&a, 300), (&b, 500)] {
        paid(customer, &format!("order {points}"), points);
        bonus(customer, points / 10, 1);
        redeem(customer, 100, "key");
        refunded(customer, &format!("order {points}"), 20);
    }
    at("2026-03-05T04:00:00Z");
    merging("merge", &a, &b).unwrap();
    assert_eq!(says(&a, SUMS), [640, 0, 880, 200, 0, 40]);
    assert_eq!(says(&a, ["orders", "lots", "entries"]), [2, 4, 8]);
    assert!(account(&b).is_none());
    assert!(fake::all("loyalty_entry").iter().all(|entry| is_of(entry, &a)));
    must_be_right();
}

#[test]
fn what_fell_due_is_booked_before() {
    let (a, b) = open(&[]);
    bonus(&a, 30, 1);
    bonus(&b, 50, 1);
    bonus(&b, 100, 9);
    at("2026-03-05T04:00:00Z");
    merging("merge", &a, &b).unwrap();
    assert_eq!(says(&a, SUMS), [100, 0, 180, 0, 80, 0]);
    assert_eq!(says(&a, ["next_expiry_points", "entries"]), [100, 5], "each expired once");
    must_be_right();
}

#[test]
fn an_order_of_the_one_that_went_is_refunded_from_its_own_points() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    paid(&b, "2", 500);
    merging("merge", &a, &b).unwrap();
    refunded(&a, "2", 450);
    assert_eq!(says(&a, SUMS), [350, 0, 800, 0, 0, 450]);
    let lot = fake::all("loyalty_lot").into_iter().find(|lot| lot.text("order_name").unwrap().as_deref() == Some("2"));
    assert_eq!(lot.unwrap().int("remaining").unwrap(), Some(50));
    must_be_right();
}

#[test]
fn a_redemption_of_the_one_that_went_is_cancelled() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    paid(&b, "2", 500);
    redeem(&b, 200, "their key");
    merging("merge", &a, &b).unwrap();
    assert_eq!((redeem(&a, 100, "their key"), cancel(&a, "their key")), (json!("duplicate_ignored"), json!("ok")));
    assert_eq!(says(&a, ["available", "restored"]), [800, 200]);
    must_be_right();
}

#[test]
fn a_name_that_both_have_says_whose_it_was() {
    let (a, b) = open(&[]);
    for customer in [&a, &b] {
        paid(customer, "1", 300);
        redeem(customer, 100, "key");
        let other = self::customer("other");
        call("transfer", json!({ "from": customer.id, "to": other.id, "points": 10, "key": "gift" }));
    }
    merging("merge", &a, &b).unwrap();
    let theirs = format!("key ({})", b.id);
    assert_eq!((cancel(&a, "key"), cancel(&a, &theirs)), (json!("ok"), json!("ok")));
    refunded(&a, &format!("1 ({})", b.id), 100);
    assert_eq!(says(&a, ["available", "clawed"]), [480, 100]);
    must_be_right();
}

#[test]
fn an_order_that_was_undone_gives_way_to_one_that_stands() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    undo("paid 1");
    paid(&b, "1", 300);
    merging("merge", &a, &b).unwrap();
    refunded(&a, "1", 100);
    assert_eq!(says(&a, ["available", "clawed"]), [200, 100]);
    must_be_right();
}

#[test]
fn a_run_from_before_is_undone_after() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    paid(&b, "2", 500);
    redeem(&b, 200, "key");
    merging("merge", &a, &b).unwrap();
    undo("paid 2");
    assert_eq!(says(&a, ["available", "debt", "orders"]), [100, 0, 1]);
    undo("paid 2");
    assert_eq!(says(&a, ["available"]), [100], "nothing is taken back twice");
    must_be_right();
}

#[test]
fn a_run_that_was_undone_before_is_not_undone_again_after() {
    let (a, b) = open(&[]);
    bonus(&a, 10, 9);
    paid(&b, "1", 300);
    paid(&b, "2", 500);
    undo("paid 2");
    merging("merge", &a, &b).unwrap();
    undo("paid 2");
    assert_eq!(says(&a, ["available", "debt", "orders"]), [310, 0, 1]);
    must_be_right();
}

#[test]
fn the_cap_of_a_day_holds_for_the_orders_of_both() {
    let (a, b) = open(&[("earn_cap_per_day", Value::Int(600))]);
    paid(&b, "1", 500);
    merging("merge", &a, &b).unwrap();
    paid(&a, "2", 500);
    assert_eq!(says(&a, ["available"]), [600]);
}

#[test]
fn what_one_owes_the_other_pays() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    redeem(&a, 300, "key");
    refunded(&a, "1", 200);
    paid(&b, "2", 500);
    assert_eq!(says(&a, ["debt"]), [200]);
    merging("merge", &a, &b).unwrap();
    assert_eq!(says(&a, ["available", "debt", "debt_repaid"]), [300, 0, 200]);
    must_be_right();
}

#[test]
fn pending_points_ripen_and_all_expire_as_they_would_have() {
    let (a, b) = open(&[("pending_days", Value::Int(7)), ("expiry", Value::Json(json!({ "kind": "days", "n": 30 })))]);
    paid(&b, "2", 500);
    at("2026-03-02T04:00:00Z");
    merging("merge", &a, &b).unwrap();
    assert_eq!(says(&a, ["available", "pending", "next_expiry_points"]), [0, 500, 500]);
    at("2026-03-10T04:00:00Z");
    settle(&a);
    assert_eq!(says(&a, ["available", "pending"]), [500, 0]);
    at("2026-04-10T04:00:00Z");
    settle(&a);
    assert_eq!(says(&a, ["available", "expired"]), [0, 500]);
    must_be_right();
}

const TIERS: &str =
    r#"[{"name": "silver", "from": 100}, {"name": "gold", "from": 500}, {"name": "black", "from": 1000}]"#;

fn tiers() -> [(&'static str, Value); 1] {
    [("tiers", Value::Json(serde_json::from_str(TIERS).unwrap()))]
}

fn tier(customer: &rapport_sdk::Record) -> String {
    account(customer).unwrap().text("tier").unwrap().unwrap_or_default()
}

#[test]
fn the_higher_tier_stays_for_as_long_as_it_did() {
    let (a, b) = open(&tiers());
    paid(&b, "2", 600);
    at("2026-09-01T04:00:00Z");
    paid(&a, "1", 200);
    let until = account(&b).unwrap().value("tier_until").unwrap().clone();
    merging("merge", &a, &b).unwrap();
    assert_eq!((tier(&a), account(&a).unwrap().value("tier_until").unwrap().clone()), ("gold".into(), until));
    let told = fake::emitted().into_iter().rfind(|event| event.kind == "loyalty.tier_changed").unwrap();
    assert_eq!((told.subject, told.data.get("to").cloned()), (Some(a.reference()), Some("gold".into())));
    must_be_right();
}

#[test]
fn of_one_tier_the_later_end_holds() {
    let (a, b) = open(&tiers());
    paid(&a, "1", 100);
    at("2026-09-01T04:00:00Z");
    paid(&b, "2", 100);
    let until = account(&b).unwrap().value("tier_until").unwrap().clone();
    merging("merge", &a, &b).unwrap();
    assert_eq!((tier(&a), account(&a).unwrap().value("tier_until").unwrap().clone()), ("silver".into(), until));
}

#[test]
fn both_together_reach_a_higher_tier() {
    let (a, b) = open(&tiers());
    paid(&a, "1", 500);
    paid(&b, "2", 500);
    merging("merge", &a, &b).unwrap();
    assert_eq!(tier(&a), "black");
}

#[test]
fn the_tier_of_before_stays_if_it_is_the_higher_one() {
    let (a, b) = open(&tiers());
    paid(&a, "1", 500);
    paid(&b, "2", 100);
    merging("merge", &a, &b).unwrap();
    assert_eq!(tier(&a), "gold");
    assert_eq!(fake::emitted().iter().filter(|event| event.subject == Some(a.reference())).count(), 1);
}

#[test]
fn an_account_is_opened_for_who_had_none() {
    let (a, b) = open(&[]);
    paid(&b, "2", 500);
    merging("merge", &a, &b).unwrap();
    assert_eq!(says(&a, ["available", "entries", "lots"]), [500, 1, 1]);
    must_be_right();
}

#[test]
fn nothing_happens_if_the_one_that_goes_has_no_points() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    let before = books();
    merging("merge", &a, &b).unwrap();
    must_be(&before);
}

#[test]
fn other_objects_are_none_of_its_business() {
    let (a, b) = open(&[]);
    paid(&b, "2", 500);
    let before = books();
    let company = fake::insert("company", Fields::new());
    event("merge", "record.merging", &company, Fields::new().with("merged", b.id.as_str())).unwrap();
    assert!(account(&a).is_none());
    must_be(&before);
}

#[test]
fn the_code_of_who_stays_stays_and_one_who_has_none_gets_the_others() {
    let (a, b) = open(&[]);
    let code = call("referral_code", json!({ "customer": b.id }))["code"].clone();
    merging("merge", &a, &b).unwrap();
    assert_eq!(call("referral_code", json!({ "customer": a.id }))["code"], code);
    let c = customer("c");
    call("referral_code", json!({ "customer": c.id }));
    merging("another", &a, &c).unwrap();
    assert_eq!(call("referral_code", json!({ "customer": a.id }))["code"], code);
    must_be_right();
}

#[test]
fn nobody_has_referred_himself() {
    let (a, b) = open(&[]);
    let code = call("referral_code", json!({ "customer": a.id }))["code"].clone();
    assert_eq!(call("refer", json!({ "customer": b.id, "code": code }))["result"], "ok");
    bonus(&b, 10, 9);
    merging("merge", &a, &b).unwrap();
    assert!(fake::all("loyalty_referral").is_empty());
}

#[test]
fn a_voucher_goes_along_with_its_redemption() {
    let (a, b) = open(&[]);
    let reward = reward("tea", 100);
    paid(&b, "2", 500);
    call("claim", json!({ "customer": b.id, "reward": "tea", "key": "cup" }));
    merging("merge", &a, &b).unwrap();
    assert_eq!(cancel(&a, "cup"), "ok");
    let vouchers = fake::all("loyalty_voucher");
    assert_eq!((vouchers[0].text("state").unwrap().as_deref(), is_of(&vouchers[0], &a)), (Some("cancelled"), true));
    assert_eq!(fake::read(&reward).int("stock").unwrap(), Some(9));
    must_be_right();
}

#[test]
fn books_that_are_too_large_go_the_other_way() {
    let (a, b) = open(&[]);
    paid(&a, "1", 300);
    (0..451).for_each(|_| bonus(&b, 1, 9));
    let refused = merging("merge", &a, &b).unwrap_err();
    assert_eq!((refused.code(), refused.is_retryable()), ("too_large", false));
    let told = refused.to_string().replace(&a.id, "A").replace(&b.id, "B");
    assert_eq!(
        told,
        "the points of `customer/B` are 902 records, and 700 at most can go over (setting `merge_records_max`): merge `customer/A` \
         into `customer/B` instead, whose points stay where they are then"
    );
    merging("merge", &b, &a).unwrap();
    assert_eq!(says(&b, ["available", "entries"]), [751, 452]);
}

#[test]
fn books_of_which_both_are_too_large_need_higher_limits() {
    let (a, b) = open(&[("merge_records_max", Value::Int(3))]);
    for customer in [&a, &b] {
        bonus(customer, 1, 9);
        bonus(customer, 1, 9);
    }
    let refused = merging("merge", &a, &b).unwrap_err().to_string();
    assert!(refused.contains("raise the setting, and the `limits` of a slice"), "{refused}");
    fake::set("merge_records_max", 4);
    merging("merge", &a, &b).unwrap();
    must_be_right();
}

#[test]
fn a_statement_tells_of_both_the_newest_first() {
    let (a, b) = open(&[]);
    for (day, customer) in [(2, &a), (3, &b), (4, &a), (5, &b)] {
        at(&format!("2026-03-0{day}T04:00:00Z"));
        bonus(customer, day, 90);
    }
    merging("merge", &a, &b).unwrap();
    let told = call("statement", json!({ "customer": a.id, "limit": 10 }));
    let points: Vec<i64> =
        told["entries"].as_array().unwrap().iter().map(|e| e["available"].as_i64().unwrap()).collect();
    assert_eq!((points, &told["before"]), (vec![5, 4, 3, 2], &json!(null)));
}

#[test]
fn what_was_owed_at_an_instant_before_is_as_it_was() {
    let (a, b) = open(&[]);
    let owed = |at: &str| {
        let told = call("liability", json!({ "at": at }));
        (told["members"].clone(), told["available"].clone())
    };
    let c = customer("c");
    for (day, customer) in [(2, &c), (4, &b), (6, &a)] {
        at(&format!("2026-03-0{day}T04:00:00Z"));
        bonus(customer, 100, 90);
    }
    merging("c into b", &b, &c).unwrap();
    merging("b into a", &a, &b).unwrap();
    let days = ["2026-03-01T05:00:00Z", "2026-03-03T05:00:00Z", "2026-03-05T05:00:00Z", "2026-03-07T05:00:00Z"];
    assert_eq!(
        days.map(owed),
        [(0, 0), (1, 100), (1, 200), (1, 300)].map(|(members, points)| (json!(members), json!(points)))
    );
}
