//! How records of the books are named, and in what order they are found.
//!
//! The host finds records by one indexed field. So what is asked for often has a text of its own: it begins with the customer,
//! goes on with what is ordered by, as hexadecimal digits of one length, and is null where the record is not to be found.

use rapport_sdk::Timestamp;

use crate::ledger::{Day, Lot};

/// An instant as text that orders as instants do.
fn ordered(at: Timestamp) -> String {
    // Flipping the sign bit orders negative numbers before positive ones.
    format!("{:016x}", at.0.cast_unsigned() ^ (1 << 63))
}

/// What never expires comes after what does: `~` is behind all digits.
fn expiry(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "~".into(), ordered)
}

const fn shelf(pending: bool) -> char {
    if pending { 'p' } else { 'a' }
}

/// Names the record `name` of a customer.
pub(crate) fn own(customer: &str, name: &str) -> String {
    format!("{customer}/{name}")
}

/// Names an entry, so that entries stand in their order.
pub(crate) fn entry(customer: &str, number: i64) -> String {
    format!("{customer}/{number:012}")
}

/// Where a lot stands among those of its customer that are available, or pending: the soonest to expire first.
pub(crate) fn by_expiry(customer: &str, lot: &Lot) -> Option<String> {
    let Lot { pending, expires_at, earned_at, number, remaining, .. } = lot;
    let place =
        || format!("{customer}/{}/{}/{}/{number:010}", shelf(*pending), expiry(*expires_at), ordered(*earned_at));
    (*remaining > 0).then(place)
}

/// Where an available lot stands by age.
pub(crate) fn by_age(customer: &str, lot: &Lot) -> Option<String> {
    let place = || format!("{customer}/{}/{:010}", ordered(lot.earned_at), lot.number);
    (lot.remaining > 0 && !lot.pending).then(place)
}

/// Where a pending lot stands by when it ripens.
pub(crate) fn by_ripening(customer: &str, lot: &Lot) -> Option<String> {
    let place = || format!("{customer}/{}/{:010}", ordered(lot.available_at), lot.number);
    (lot.remaining > 0 && lot.pending).then(place)
}

/// The local day of an order's lot.
pub(crate) fn of_day(customer: &str, day: Day) -> String {
    format!("{customer}/{day}")
}

/// From where to where the places of a customer lie, both ends excluded.
pub(crate) fn range(customer: &str) -> (String, String) {
    (format!("{customer}/"), format!("{customer}0"))
}

/// From where to where the places by expiry lie of lots on one shelf that expire after `after`; of all, also those that never
/// do, if it is `None`.
pub(crate) fn expiring(customer: &str, pending: bool, after: Option<Timestamp>) -> (String, String) {
    let shelf = shelf(pending);
    let from = after.map_or_else(String::new, |after| format!("{}/~", ordered(after)));
    (format!("{customer}/{shelf}/{from}"), format!("{customer}/{shelf}/~"))
}

/// The places of all available lots by expiry.
pub(crate) fn spendable(customer: &str) -> (String, String) {
    (format!("{customer}/a/"), format!("{customer}/a0"))
}

/// The places by expiry of lots on one shelf that expire at `at`.
pub(crate) fn expiring_at(customer: &str, pending: bool, at: Timestamp) -> (String, String) {
    let place = format!("{customer}/{}/{}", shelf(pending), ordered(at));
    (format!("{place}/"), format!("{place}0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside((from, to): &(String, String), place: &str) -> bool {
        from.as_str() < place && place < to.as_str()
    }

    #[test]
    fn instants_order_as_their_texts_do() {
        let instants = [i64::MIN, -1, 0, 1, 1_769_767_200_000_000, i64::MAX].map(|at| ordered(Timestamp(at)));
        assert!(instants.is_sorted(), "{instants:?}");
        assert!(expiry(Some(Timestamp(i64::MAX))) < expiry(None));
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let place = |shelf: &str, at: &str| format!("c1/{shelf}/{at}/0000/1");
        let (soon, late) = (ordered(Timestamp(5)), ordered(Timestamp(9)));
        let after = expiring("c1", false, Some(Timestamp(5)));
        assert!(!inside(&after, &place("a", &soon)) && inside(&after, &place("a", &late)));
        assert!(!inside(&after, &place("a", "~")) && !inside(&after, &place("p", &late)));
        let all = expiring("c1", true, None);
        assert!(
            inside(&all, &place("p", &soon)) && !inside(&all, &place("p", "~")) && !inside(&all, &place("a", &soon))
        );
        assert!(inside(&spendable("c1"), &place("a", "~")) && !inside(&spendable("c1"), &place("p", &soon)));
        let at = expiring_at("c1", false, Timestamp(5));
        assert!(inside(&at, &place("a", &soon)) && !inside(&at, &place("a", &late)));
        assert!(inside(&range("c1"), "c1/0/1") && !inside(&range("c1"), "c10/0/1") && !inside(&range("c1"), "c2/"));
    }
}
