use super::*;

fn owed(rows: &[(&str, &str, &str)]) -> Owed {
    let lines: Vec<String> = rows.iter().map(|(c, at, amount)| format!("{c},{at} 10:00:00,{amount}")).collect();
    let file = format!("customer_no,ordered_at,amount\n{}\n", lines.join("\n"));
    Owed::from_csv(file.as_bytes(), Day(2011, 12, 31)).unwrap()
}

#[test]
fn a_point_is_one_whole_pound() {
    assert_eq!(owed(&[("a", "2011-12-01", "99.99"), ("", "2011-12-01", "50")]), Owed { points: 99, debt: 0 });
}

#[test]
fn points_last_to_the_end_of_their_last_day() {
    assert_eq!(owed(&[("a", "2011-06-30", "5"), ("b", "2011-06-29", "5")]), Owed { points: 0, debt: 0 });
    assert_eq!(owed(&[("a", "2011-07-01", "5")]), Owed { points: 5, debt: 0 });
    assert_eq!(Day(2011, 8, 31).months_later(6), Day(2012, 2, 29));
    assert_eq!(Day(2010, 8, 31).months_later(6), Day(2011, 2, 28));
}

#[test]
fn a_cancellation_takes_the_oldest_points_and_owes_the_rest() {
    let orders = [("a", "2011-11-01", "10"), ("a", "2011-11-02", "-4"), ("a", "2011-11-03", "-9")];
    assert_eq!(owed(&orders), Owed { points: 0, debt: 3 });
    let repaid = [&orders[..], &[("a", "2011-11-04", "5")]].concat();
    assert_eq!(owed(&repaid), Owed { points: 2, debt: 0 });
}

#[test]
fn an_entry_is_one_line() {
    let entry =
        serde_json::json!({ "booked_at": "2011-02-10T14:38:00Z", "kind": "refund", "available": -102, "debt": 3 });
    assert_eq!(line(&entry), "2011-02-10  refund     -102  debt +3");
}
