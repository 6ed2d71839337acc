use rapport_store::{StoreError, UnitOfWork};

use crate::world::*;

on_both!(
    a_unit_whose_lock_was_taken_since_is_refused,
    of_units_handed_over_together_one_takes_the_lock,
    a_lock_of_a_refused_unit_is_not_taken,
    a_lock_outlives_the_process_and_is_forgotten_after_a_day,
);

fn locking(locks: &[(&str, i64)]) -> UnitOfWork {
    let mut unit = puts(vec![create("customer", new_id(), Vec::new())]);
    unit.locks = locks.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect();
    unit
}

fn moved(error: &StoreError) -> bool {
    matches!(error, StoreError::LockMoved { .. })
}

async fn a_unit_whose_lock_was_taken_since_is_refused(world: World) {
    let store = world.open().await;
    assert_eq!(store.lock_version("k").await.unwrap(), 0);
    store.commit(locking(&[("k", 0), ("other", 0)])).await.unwrap();
    assert_eq!(store.lock_version("k").await.unwrap(), 1);
    let head = store.head();
    let error = store.commit(locking(&[("k", 0)])).await.unwrap_err();
    assert_eq!(error.to_string(), "the lock `k` has been taken by another slice meanwhile");
    assert_eq!((store.head(), store.lock_version("k").await.unwrap()), (head, 1));
    store.commit(locking(&[("k", 1)])).await.unwrap();
    assert_eq!(store.lock_version("k").await.unwrap(), 2);
}

async fn of_units_handed_over_together_one_takes_the_lock(world: World) {
    let store = world.open().await;
    let outcomes = store.commit_all((0..10).map(|_| locking(&[("k", 0)])).collect()).await;
    let refused: Vec<bool> = outcomes.iter().map(|outcome| outcome.as_ref().is_err_and(moved)).collect();
    assert_eq!(refused, [false, true, true, true, true, true, true, true, true, true]);
    assert_eq!(store.lock_version("k").await.unwrap(), 1);
}

async fn a_lock_of_a_refused_unit_is_not_taken(world: World) {
    let store = world.open().await;
    let mut refused = locking(&[("k", 0)]);
    refused.puts = vec![update("customer", new_id(), vec![set("name", "nobody")])];
    let outcomes = store.commit_all(vec![refused, locking(&[("k", 0)])]).await;
    assert!(outcomes[0].is_err() && outcomes[1].is_ok(), "{outcomes:?}");
    assert_eq!(store.lock_version("k").await.unwrap(), 1);
}

async fn a_lock_outlives_the_process_and_is_forgotten_after_a_day(world: World) {
    let store = world.open().await;
    let taken = store.commit(locking(&[("k", 0)])).await.unwrap().events[0].recorded_at;
    store.close().await.unwrap();
    let store = world.open().await;
    assert!(moved(&store.commit(locking(&[("k", 0)])).await.unwrap_err()));
    let day = 24 * 60 * 60 * 1_000_000;
    store.purge_expired(taken.plus_micros(day - 1)).await.unwrap();
    assert_eq!(store.lock_version("k").await.unwrap(), 1);
    store.purge_expired(taken.plus_micros(day)).await.unwrap();
    assert_eq!(store.lock_version("k").await.unwrap(), 0);
}
