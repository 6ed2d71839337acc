use super::*;

#[test]
fn points_follow_the_rule_at_its_edges() {
    let cases = [
        ("0", 0),
        ("0.99", 0),
        ("1", 1),
        ("99.99", 99),
        ("100", 100),
        ("100.00", 100),
        ("100.01", 200),
        ("139.12", 278),
        ("-139.12", -278),
        ("-0.5", 0),
    ];
    for (amount, want) in cases {
        assert_eq!(points(pence(amount).unwrap()), want, "{amount}");
    }
}

#[test]
fn what_is_no_amount_is_refused() {
    for text in ["", "x", "1.234", "--1", "1,5", "."] {
        pence(text).unwrap_err();
    }
}

#[test]
fn tiers_begin_at_their_thresholds() {
    let tiers: Vec<_> = [-5, 999, 1_000, 4_999, 5_000, 19_999, 20_000].map(tier).into();
    assert_eq!(tiers, ["bronze", "bronze", "silver", "silver", "gold", "gold", "platinum"]);
}

#[test]
fn rows_without_a_customer_count_apart() {
    let text = "order_no,customer_no,amount\n1,a,150\n2,,99\n3,a,-1\n4,b,7\n";
    let expected = Expected::from_csv(text.as_bytes()).unwrap();
    assert_eq!((expected.orders, expected.without_customer, expected.total()), (3, 1, 306));
    assert_eq!(expected.points["a"], 299);
}

#[test]
fn a_customer_whose_points_never_changed_has_no_tier() {
    let expected = Expected::from_csv("customer_no,amount\na,0.50\nb,5\nb,-5\n".as_bytes()).unwrap();
    assert_eq!(expected.tiers().into_iter().collect::<Vec<_>>(), [("bronze", 1), ("none", 1)]);
}

#[test]
fn a_file_without_the_column_is_refused() {
    let error = Expected::from_csv("a,b\n1,2\n".as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "there is no column `customer_no`");
}

/// The figures that the issue names.
#[test]
fn the_orders_of_the_demo_are_what_their_description_says() {
    let expected = Expected::from_file(&crate::workspace::root().join(super::super::ORDERS)).unwrap();
    assert_eq!((expected.orders, expected.without_customer, expected.points.len()), (22_190, 3_710, 4_372));
    assert_eq!(expected.total(), 16_546_417);
    let tiers: Vec<_> = expected.tiers().into_iter().collect();
    assert_eq!(tiers, [("bronze", 1_836), ("gold", 583), ("none", 1), ("platinum", 96), ("silver", 1_856)]);
}
