use rapport_model::Value;
use rapport_store::StoreError;

use crate::world::*;

on_both!(
    a_unique_value_is_held_by_one_record,
    in_a_group_only_the_offenders_are_refused,
    bad_rows_do_not_make_a_transaction_each,
    unique_values_can_change_hands_in_one_group,
    a_value_given_up_by_a_unit_that_failed_is_not_free,
    a_reference_must_be_there,
    a_reference_may_be_created_by_the_same_unit_in_any_order,
    what_is_referred_to_cannot_be_deleted,
    parent_and_child_can_be_deleted_together,
    a_record_is_created_once,
    values_that_do_not_fit_are_refused_by_name,
    texts_that_no_index_can_hold_are_refused,
    one_race_for_one_value_has_one_winner,
    what_a_group_hides_from_the_database_is_looked_up,
    a_unit_is_not_refused_for_what_another_failed_to_create,
    an_event_that_comes_twice_in_a_group_counts_once,
    a_record_that_must_not_be_there_is_looked_for_though_a_refused_unit_creates_it,
);

fn person(number: &str) -> rapport_store::UnitOfWork {
    puts(vec![create("customer", new_id(), vec![set("customer_no", number)])])
}

async fn a_unique_value_is_held_by_one_record(world: World) {
    let store = world.open().await;
    store.commit(person("1")).await.unwrap();
    let head = store.head();
    assert_eq!(refusal(store.commit(person("1")).await), "another customer has customer_no = \"1\"");
    assert_eq!(store.head(), head);
    // Null is no value: any number of records have none.
    for _ in 0..2 {
        store.commit(puts(vec![create("customer", new_id(), vec![])])).await.unwrap();
    }
}

async fn in_a_group_only_the_offenders_are_refused(world: World) {
    let store = world.open().await;
    store.commit(person("taken")).await.unwrap();
    let outcomes = store.commit_all(["a", "taken", "b", "a", "c"].map(person).to_vec()).await;
    let refused: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, false, true, false]);
    assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
}

async fn bad_rows_do_not_make_a_transaction_each(world: World) {
    let store = world.open().await;
    for i in 0..30 {
        store.commit(person(&format!("bad{i}"))).await.unwrap();
    }
    let before = store.stats();
    let number = |i: usize| if i.is_multiple_of(16) { format!("bad{}", i / 16 % 30) } else { format!("good{i}") };
    let outcomes = store.commit_all((0..480).map(|i| person(&number(i))).collect()).await;
    assert_eq!(outcomes.iter().filter(|o| matches!(o, Err(StoreError::Unique { .. }))).count(), 30);
    let after = store.stats();
    let transactions = after.transactions - before.transactions;
    let careful = after.careful_groups - before.careful_groups;
    assert!(careful >= 1 && careful <= transactions + 1 && transactions < 60, "{before:?} {after:?}");
}

async fn unique_values_can_change_hands_in_one_group(world: World) {
    let store = world.open().await;
    let (a, b) = (customer(&store, "a").await, customer(&store, "b").await);
    let number = |id, number: &str| update("customer", id, vec![set("customer_no", number)]);
    let swap = puts(vec![number(a, "x"), number(b, "a"), number(a, "b")]);
    let moved = puts(vec![delete("customer", a), create("customer", new_id(), vec![set("customer_no", "b")])]);
    for outcome in store.commit_all(vec![swap, moved]).await {
        outcome.unwrap();
    }
    assert_eq!(record(&store, "customer", b).await.unwrap().get("customer_no"), &Value::text("a"));
    let found = store.resolve(&name("customer"), &name("customer_no"), &[Value::text("b")]).await.unwrap();
    assert!(found[0].as_ref().is_some_and(|found| found.id != a));
}

async fn a_value_given_up_by_a_unit_that_failed_is_not_free(world: World) {
    let store = world.open().await;
    let a = customer(&store, "a").await;
    let gives_up = puts(vec![
        update("customer", a, vec![set("customer_no", "x")]),
        update("customer", new_id(), vec![set("city", "nowhere")]),
    ]);
    let outcomes = store.commit_all(vec![gives_up, person("a"), person("x")]).await;
    let refused: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(refused, [true, true, false]);
}

async fn a_reference_must_be_there(world: World) {
    let store = world.open().await;
    let nobody = new_id();
    let order = |no: &str, id| puts(vec![create("order", new_id(), vec![set("order_no", no), set("customer", id)])]);
    let ada = customer(&store, "1").await;
    let outcomes = store.commit_all(vec![order("1", ada), order("2", nobody), order("3", ada)]).await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let expected = format!("order.customer refers to customer {nobody}, which is not there");
    assert_eq!(outcomes[1].as_ref().unwrap_err().to_string(), expected);
}

async fn a_reference_may_be_created_by_the_same_unit_in_any_order(world: World) {
    let store = world.open().await;
    let (ada, order) = (new_id(), new_id());
    let unit = puts(vec![
        create("order", order, vec![set("order_no", "1"), set("customer", ada)]),
        create("customer", ada, vec![]),
    ]);
    store.commit(unit).await.unwrap();
    // The unit before it in the same group cannot refer to what comes later.
    let (bob, early) = (new_id(), new_id());
    let early = puts(vec![create("order", early, vec![set("order_no", "2"), set("customer", bob)])]);
    let outcomes = store.commit_all(vec![early, puts(vec![create("customer", bob, vec![])])]).await;
    assert!(matches!(outcomes[0], Err(StoreError::ReferenceMissing { .. })));
    assert!(outcomes[1].is_ok());
}

async fn what_is_referred_to_cannot_be_deleted(world: World) {
    let store = world.open().await;
    let (ada, order) = (customer(&store, "1").await, new_id());
    let make = create("order", order, vec![set("order_no", "1"), set("customer", ada)]);
    store.commit(puts(vec![make])).await.unwrap();
    let expected = format!("customer {ada} cannot be deleted: order.customer still refers to it");
    assert_eq!(refusal(store.commit(puts(vec![delete("customer", ada)])).await), expected);
    let outcomes =
        store.commit_all(vec![puts(vec![delete("customer", ada)]), puts(vec![delete("order", order)])]).await;
    assert!(outcomes[0].is_err() && outcomes[1].is_ok());
    store.commit(puts(vec![delete("customer", ada)])).await.unwrap();
}

async fn parent_and_child_can_be_deleted_together(world: World) {
    let store = world.open().await;
    let (ada, order) = (customer(&store, "1").await, new_id());
    let make = create("order", order, vec![set("order_no", "1"), set("customer", ada)]);
    store.commit(puts(vec![make])).await.unwrap();
    store.commit(puts(vec![delete("customer", ada), delete("order", order)])).await.unwrap();
    assert_eq!(record(&store, "order", order).await, None);
}

async fn a_record_is_created_once(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    store.close().await.unwrap();
    // Not in memory any more: the database has to object.
    let store = world.open().await;
    let outcomes = store.commit_all(vec![puts(vec![create("customer", ada, vec![])]), person("2")]).await;
    assert!(matches!(outcomes[0], Err(StoreError::RecordExists { .. })), "{outcomes:?}");
    assert!(outcomes[1].is_ok());
    assert_eq!(record(&store, "customer", ada).await.unwrap().get("customer_no"), &Value::text("1"));
}

async fn values_that_do_not_fit_are_refused_by_name(world: World) {
    let store = world.open().await;
    let head = store.head();
    let cases = [
        (create("customer", new_id(), vec![set("points", 1)]), "`customer` has no field `points`"),
        (create("order", new_id(), vec![set("order_no", "1")]), "`customer` is required"),
        (
            create("customer", new_id(), vec![increment("name", 1)]),
            "`name` cannot be incremented by 1: the field holds no number",
        ),
        (create("nothing", new_id(), vec![]), "there is no object `nothing`"),
        (update("customer", new_id(), vec![]), "there is no customer"),
        (create("customer", new_id(), vec![set("name", "a"), set("name", "b")]), "`name` is named twice in one change"),
    ];
    for (put, expected) in cases {
        let message = refusal(store.commit(puts(vec![put])).await);
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(store.head(), head);
}

async fn texts_that_no_index_can_hold_are_refused(world: World) {
    let store = world.open().await;
    let long = "ü".repeat(4_000);
    let message = refusal(store.commit(person(&long)).await);
    assert_eq!(message, "`customer_no`: longer than 1024 bytes, the most that an indexed field holds");
    let notes = create("customer", new_id(), vec![set("notes", long.as_str())]);
    store.commit(puts(vec![notes])).await.unwrap();
    let mut unit = unit();
    unit.events = vec![paid(&"x".repeat(1_025), None)];
    assert!(matches!(store.commit(unit.clone()).await, Err(StoreError::Invalid(_))));
    unit.events = vec![paid("a\0b", None)];
    assert!(matches!(store.commit(unit).await, Err(StoreError::Invalid(_))));
}

async fn one_race_for_one_value_has_one_winner(world: World) {
    let store = world.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let store = store.clone();
        tasks.spawn(async move { store.commit(person("prize")).await.is_ok() });
    }
    let winners = tasks.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
}

async fn what_a_group_hides_from_the_database_is_looked_up(world: World) {
    let store = world.open().await;
    let (ada, bob, order) = (customer(&store, "ada").await, customer(&store, "bob").await, new_id());
    customer(&store, "zoe").await;
    let make = create("order", order, vec![set("order_no", "1"), set("customer", ada)]);
    store.commit(puts(vec![make])).await.unwrap();
    store.close().await.unwrap();
    // Nothing is in memory, and what the first units do is undone by the second ones.
    let store = world.open().await;
    let eve = new_id();
    let outcomes = in_one_group(
        &store,
        vec![
            puts(vec![create("customer", bob, vec![])]),
            puts(vec![delete("customer", bob)]),
            puts(vec![create("customer", eve, vec![set("customer_no", "zoe")])]),
            puts(vec![update("customer", eve, vec![set("customer_no", "eve")])]),
            puts(vec![update("order", order, vec![set("customer", new_id())])]),
            puts(vec![update("order", order, vec![set("customer", ada)])]),
            puts(vec![delete("customer", ada)]),
            puts(vec![create("customer", ada, vec![])]),
        ],
    )
    .await;
    assert!(matches!(outcomes[0], Err(StoreError::RecordExists { .. })), "{:?}", outcomes[0]);
    assert!(outcomes[1].is_ok(), "{:?}", outcomes[1]);
    assert!(matches!(outcomes[2], Err(StoreError::Unique { .. })), "{:?}", outcomes[2]);
    assert!(matches!(outcomes[3], Err(StoreError::MissingRecord { .. })), "{:?}", outcomes[3]);
    assert!(matches!(outcomes[4], Err(StoreError::ReferenceMissing { .. })), "{:?}", outcomes[4]);
    assert!(outcomes[5].is_ok(), "{:?}", outcomes[5]);
    assert!(matches!(outcomes[6], Err(StoreError::Referenced { .. })), "{:?}", outcomes[6]);
    assert!(matches!(outcomes[7], Err(StoreError::RecordExists { .. })), "{:?}", outcomes[7]);
    assert_eq!(record(&store, "order", order).await.unwrap().version, 1);
    assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
}

async fn a_unit_is_not_refused_for_what_another_failed_to_create(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "ada").await;
    store.close().await.unwrap();
    let store = world.open().await;
    let order = |no: &str| create("order", new_id(), vec![set("order_no", no), set("customer", ada)]);
    let outcomes = in_one_group(
        &store,
        vec![
            puts(vec![create("customer", ada, vec![]), update("customer", new_id(), vec![])]),
            puts(vec![order("1")]),
            puts(vec![update("customer", ada, vec![set("city", "Vigo")])]),
        ],
    )
    .await;
    let refused: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(refused, [true, false, false], "{outcomes:?}");
    let found = record(&store, "customer", ada).await.unwrap();
    assert_eq!((found.get("customer_no"), found.get("city")), (&Value::text("ada"), &Value::text("Vigo")));
}

async fn an_event_that_comes_twice_in_a_group_counts_once(world: World) {
    let store = world.open().await;
    let event = |id: &str| rapport_store::UnitOfWork { events: vec![paid(id, None)], ..unit() };
    store.commit(event("old")).await.unwrap();
    let outcomes = in_one_group(&store, ["a", "old", "b", "a", "old"].map(event).to_vec()).await;
    let counts: Vec<usize> = outcomes.iter().map(|o| o.as_ref().unwrap().events.len()).collect();
    assert_eq!(counts, [1, 0, 1, 0, 0]);
}

/// The unit that would create the record is refused for something else, so that no constraint objects.
async fn a_record_that_must_not_be_there_is_looked_for_though_a_refused_unit_creates_it(world: World) {
    let store = world.open().await;
    let (there, other) = (customer(&store, "there").await, customer(&store, "other").await);
    store.close().await.unwrap();
    let store = world.open().await;
    let read = |id, version| rapport_store::ReadVersion { object: name("customer"), id, version };
    let refused = rapport_store::UnitOfWork {
        reads: vec![read(other, 7)],
        ..puts(vec![create("customer", there, vec![set("customer_no", "again")])])
    };
    let mistaken = rapport_store::UnitOfWork { reads: vec![read(there, 0)], ..person("new") };
    let outcomes = in_one_group(&store, vec![refused, mistaken]).await;
    assert!(matches!(outcomes[0], Err(StoreError::Conflict { .. })), "{outcomes:?}");
    assert!(matches!(outcomes[1], Err(StoreError::Conflict { expected: 0, found: 1, .. })), "{outcomes:?}");
}
