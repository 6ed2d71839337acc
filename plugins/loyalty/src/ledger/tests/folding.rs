//! Folding, as a keeper of books in memory does it.

use rapport_sdk::Timestamp;

use super::memory::{Member, instant};
use crate::ledger::{Calendar, Fold, Kind, Outcome, Renumbering, Rules};

/// Puts the books of `from` into those of `into`.
pub(super) fn fold(into: &mut Member, from: &mut Member, now: Timestamp) -> Fold {
    into.book(|ledger| ledger.bring_up(now));
    from.book(|ledger| ledger.bring_up(now));
    let mut fold = Fold { into: into.account.clone(), from: from.account.clone(), booked: 0 };
    put(from, into, fold.over());
    into.is_folded = true;
    into.book(|ledger| ledger.take_in(&fold.from, now));
    fold.booked = into.account.entries - fold.last_over();
    fold
}

/// Copies all of one's books into another's.
fn put(from: &Member, into: &mut Member, numbers: Renumbering) {
    for mut lot in from.books.lots.values().cloned() {
        numbers.lot(&mut lot);
        into.books.lots.insert(lot.number, lot);
    }
    for mut entry in from.books.entries.iter().cloned() {
        numbers.entry(&mut entry);
        into.books.entries.push(entry);
    }
    for (key, mut redemption) in from.books.redemptions.clone() {
        numbers.parts(&mut redemption.parts);
        into.books.redemptions.insert(key, redemption);
    }
}

/// Gives back what `fold` took in: whose it was; none if it has been touched.
pub(super) fn unfold(both: &mut Member, fold: &Fold, now: Timestamp) -> Option<Member> {
    both.book(|ledger| ledger.bring_up(now));
    let index = |number: i64| usize::try_from(number).unwrap();
    let mut entries = both.books.entries.clone();
    let since = entries.split_off(index(fold.last_own()));
    let own = entries.split_off(index(fold.last_over()));
    let came = entries.split_off(index(fold.into.entries));
    let rest = fold.rest(&both.account.amounts, &own)?;
    if fold.touch(&came, &since).is_some() {
        return None;
    }
    for part in own.iter().flat_map(|entry| &entry.parts) {
        both.books.lots.get_mut(&part.lot).unwrap().remaining -= part.points;
    }
    let (mut stays, mut gone) = (Member::new(both.rules.clone()), Member::new(both.rules.clone()));
    (stays.account, gone.account) = (both.account.clone(), fold.from.clone());
    let mut part = Member::new(both.rules.clone());
    part.books.entries = came;
    (part.books.lots, stays.books.lots) = both
        .books
        .lots
        .clone()
        .into_iter()
        .partition(|(number, _)| *number > fold.into.lots && *number <= fold.last_lot());
    let keys: Vec<_> = part.books.entries.iter().filter(|e| e.kind == Kind::Redeem).map(|e| e.key.clone()).collect();
    (part.books.redemptions, stays.books.redemptions) =
        both.books.redemptions.clone().into_iter().partition(|(key, _)| keys.contains(&Some(key.clone())));
    put(&part, &mut gone, fold.back());
    stays.books.entries = entries;
    stays.books.entries.extend(since);
    both.books.lots.clear();
    both.books.redemptions.clear();
    both.books.entries.clear();
    put(&stays, both, fold.closing());
    both.book(|ledger| ledger.hand_back(fold, rest, now));
    gone.check();
    Some(gone)
}

fn two() -> (Member, Member) {
    let rules = Rules { redeem_block: 100, ..Rules::standard(Calendar::of("Asia/Shanghai").unwrap()) };
    (Member::new(rules.clone()), Member::new(rules))
}

#[test]
fn the_lots_of_both_are_spent_the_soonest_to_expire_first() {
    let (mut ada, mut ben) = two();
    let at = "2026-03-01T02:00:00Z";
    ada.bonus(100, Some(30), at);
    ben.bonus(60, Some(10), at);
    ben.bonus(60, Some(50), at);
    fold(&mut ada, &mut ben, instant(at));
    assert_eq!((ada.holds(), ada.account.next_expiry_points), ((220, 0, 0), 60));
    assert_eq!(ada.redeem(100, "k", "2026-03-02T02:00:00Z"), Outcome::Ok);
    assert_eq!((ada.holds(), ada.account.next_expiry_points), ((120, 0, 0), 60));
    ada.settle("2026-03-31T16:00:00Z");
    assert_eq!(ada.holds(), (60, 0, 0));
}

#[test]
fn each_expiry_is_warned_of_for_both_and_once() {
    let (mut ada, mut ben) = two();
    let at = "2026-03-01T02:00:00Z";
    ada.bonus(10, Some(40), at);
    ben.bonus(20, Some(35), at);
    ben.bonus(30, Some(3), at);
    assert_eq!(ben.warn(at).len(), 1);
    ada.bonus(5, Some(1), at);
    fold(&mut ada, &mut ben, instant(at));
    let points: Vec<i64> = ada.warn(at).iter().map(|warning| warning.points).collect();
    assert_eq!(points, [5]);
    let points: Vec<i64> = ada.warn("2026-03-20T02:00:00Z").iter().map(|warning| warning.points).collect();
    assert_eq!(points, [20, 10]);
}

#[test]
fn what_was_booked_since_closes_ranks() {
    let (mut ada, mut ben) = two();
    let at = "2026-03-01T02:00:00Z";
    ada.earn("1", "50", &[], at);
    ben.earn("2", "500", &[], at);
    let folded = fold(&mut ada, &mut ben, instant(at));
    ada.bonus(150, Some(3), at);
    ada.redeem(100, "k", at);
    let gone = unfold(&mut ada, &folded, instant(at)).unwrap();
    assert_eq!((ada.holds(), ada.account.entries, ada.account.lots), ((100, 0, 0), 3, 2));
    assert_eq!((ada.cancel("k", at), ada.holds()), (Outcome::Ok, (200, 0, 0)));
    assert_eq!(gone.books.entries, ben.books.entries);
}
