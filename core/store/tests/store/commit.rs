use std::collections::HashSet;
use std::sync::Arc;

use rapport_model::Value;
use rapport_model::event::{Body, RecordChange};
use rapport_store::{Duplicate, IdempotencyPut, ReadVersion, StoreError};

use crate::world::*;

on_both!(
    a_created_record_is_there_with_its_event_and_defaults,
    an_update_says_before_after_and_delta,
    a_deletion_keeps_what_undo_needs,
    a_change_that_changes_nothing_makes_no_version_and_no_event,
    puts_on_one_record_in_one_unit_build_on_each_other,
    a_unit_that_fails_changes_nothing_and_the_others_go_on,
    increments_of_concurrent_units_add_up,
    a_version_that_moved_is_a_conflict,
    a_read_of_nothing_conflicts_once_something_is_there,
    a_read_of_nothing_is_looked_at_though_a_refused_unit_would_have_created_it,
    an_outside_event_counts_once,
    a_duplicate_can_be_refused,
    an_idempotency_key_is_answered_once_and_may_be_used_anew_when_expired,
    fifty_units_with_one_key_have_one_effect,
    positions_have_no_gaps_under_concurrent_units,
    units_handed_over_together_keep_their_order,
    every_kind_of_value_reads_back_as_it_was_written,
);

async fn a_created_record_is_there_with_its_event_and_defaults(world: World) {
    let store = world.open().await;
    let before = store.head();
    let id = new_id();
    let ada = customer(&store, "17850").await;
    let order = create("order", id, vec![set("order_no", "A1"), set("customer", ada), set("amount", decimal("9.5"))]);
    let committed = store.commit(puts(vec![order])).await.unwrap();
    assert_eq!(store.head(), before + 2);
    let event = &committed.events[0];
    assert_eq!((event.kind.as_str(), event.lane, event.position), ("order.created", Some(ada), before + 2));
    let found = record(&store, "order", id).await.unwrap();
    assert_eq!((found.version, found.get("status")), (1, &Value::text("open")));
    assert_eq!(found.get("amount"), &decimal("9.50"));
    assert_eq!(committed.records, [(id, Some(found))]);
}

async fn an_update_says_before_after_and_delta(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let order = new_id();
    let make =
        create("order", order, vec![set("order_no", "A1"), set("customer", ada), set("amount", decimal("1.00"))]);
    store.commit(puts(vec![make])).await.unwrap();
    let change = update("order", order, vec![increment("amount", 2), set("country", "France")]);
    let committed = store.commit(puts(vec![change])).await.unwrap();
    let event = store.event(committed.events[0].position).await.unwrap().unwrap();
    assert_eq!(event, committed.events[0]);
    let expected = RecordChange {
        before: vec![(name("amount"), decimal("1.00")), (name("country"), Value::Null)],
        after: vec![(name("amount"), decimal("3.00")), (name("country"), Value::text("France"))],
        delta: vec![(name("amount"), decimal("2.00"))],
    };
    assert_eq!(event.change(), Some(&expected));
}

async fn a_deletion_keeps_what_undo_needs(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let committed = store.commit(puts(vec![delete("customer", ada)])).await.unwrap();
    let event = store.event(committed.events[0].position).await.unwrap().unwrap();
    assert_eq!(event.kind.as_str(), "customer.deleted");
    assert_eq!(event.change().unwrap().before, [(name("customer_no"), Value::text("1"))]);
    assert_eq!(record(&store, "customer", ada).await, None);
    assert_eq!(committed.records, [(ada, None)]);
    customer(&store, "1").await;
}

async fn a_change_that_changes_nothing_makes_no_version_and_no_event(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let head = store.head();
    let committed = store.commit(puts(vec![update("customer", ada, vec![set("customer_no", "1")])])).await.unwrap();
    assert!(committed.events.is_empty());
    assert_eq!(store.head(), head);
    assert_eq!(committed.records[0].1.as_ref().unwrap().version, 1);
}

async fn puts_on_one_record_in_one_unit_build_on_each_other(world: World) {
    let store = world.open().await;
    let id = new_id();
    let unit = puts(vec![
        create("customer", id, vec![set("customer_no", "1")]),
        update("customer", id, vec![set("country", "France")]),
        update("customer", id, vec![set("country", "Spain"), set("city", "Vigo")]),
    ]);
    let committed = store.commit(unit).await.unwrap();
    assert_eq!(committed.events.len(), 3);
    let found = record(&store, "customer", id).await.unwrap();
    assert_eq!((found.version, found.get("country")), (3, &Value::text("Spain")));
}

async fn a_unit_that_fails_changes_nothing_and_the_others_go_on(world: World) {
    let store = world.open().await;
    let (a, b, missing) = (new_id(), new_id(), new_id());
    let make = |id, number| create("customer", id, vec![set("customer_no", number)]);
    let outcomes = store
        .commit_all(vec![
            puts(vec![make(a, "a")]),
            puts(vec![make(b, "b"), update("customer", missing, vec![set("city", "x")])]),
            puts(vec![update("customer", a, vec![set("city", "Vigo")])]),
        ])
        .await;
    assert!(matches!(&outcomes[1], Err(StoreError::MissingRecord { id, .. }) if *id == missing));
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert_eq!(record(&store, "customer", b).await, None);
    assert_eq!(record(&store, "customer", a).await.unwrap().version, 2);
    assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
}

async fn increments_of_concurrent_units_add_up(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let order = new_id();
    let make = create("order", order, vec![set("order_no", "A1"), set("customer", ada), set("amount", 0)]);
    store.commit(puts(vec![make])).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = store.clone();
        tasks.spawn(async move {
            let change = update("order", order, vec![increment("amount", decimal("0.25"))]);
            store.commit(puts(vec![change])).await.unwrap();
        });
    }
    tasks.join_all().await;
    let found = record(&store, "order", order).await.unwrap();
    assert_eq!((found.get("amount"), found.version), (&decimal("50.00"), 201));
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!(record(&store, "order", order).await.unwrap(), found);
}

async fn a_version_that_moved_is_a_conflict(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let read = |version| ReadVersion { object: name("customer"), id: ada, version };
    let mut unit = puts(vec![update("customer", ada, vec![set("city", "Vigo")])]);
    unit.reads = vec![read(1)];
    store.commit(unit.clone()).await.unwrap();
    unit.puts[0].changes = vec![set("city", "Lugo")];
    let outcome = store.commit(unit).await;
    assert!(matches!(outcome, Err(StoreError::Conflict { expected: 1, found: 2, .. })), "{outcome:?}");
}

async fn a_read_of_nothing_conflicts_once_something_is_there(world: World) {
    let store = world.open().await;
    let (id, other) = (new_id(), new_id());
    let mut unit = puts(vec![create("customer", other, vec![])]);
    unit.reads = vec![ReadVersion { object: name("customer"), id, version: 0 }];
    store.commit(unit.clone()).await.unwrap();
    store.commit(puts(vec![create("customer", id, vec![])])).await.unwrap();
    unit.puts.clear();
    assert!(matches!(store.commit(unit).await, Err(StoreError::Conflict { expected: 0, found: 1, .. })));
}

async fn an_outside_event_counts_once(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let mut unit = unit();
    unit.events = vec![paid("1", Some(ada)), paid("2", Some(ada)), paid("1", Some(ada))];
    let first = store.commit(unit.clone()).await.unwrap();
    assert_eq!((first.events.len(), first.duplicates.as_slice()), (2, [2].as_slice()));
    unit.events.push(paid("3", None));
    let second = store.commit(unit).await.unwrap();
    assert_eq!((second.events.len(), second.duplicates.as_slice()), (1, [0, 1, 2].as_slice()));
    let event = store.event(second.events[0].position).await.unwrap().unwrap();
    let Some(Body::Data(data)) = &event.body else { panic!("{event:?}") };
    assert_eq!(data, &paid("3", None).data);
    assert_eq!(event.origin, paid("3", None).origin);
}

async fn a_duplicate_can_be_refused(world: World) {
    let store = world.open().await;
    let mut unit = unit();
    unit.events = vec![paid("1", None)];
    unit.on_duplicate = Duplicate::Refuse;
    store.commit(unit.clone()).await.unwrap();
    assert_eq!(refusal(store.commit(unit).await), "event 1 of shop is in the log already");
}

fn keyed(response: &str, expires: i64) -> rapport_store::UnitOfWork {
    let id = new_id();
    let mut unit = puts(vec![create("customer", id, vec![])]);
    unit.idempotency = Some(IdempotencyPut {
        actor: rapport_model::Actor::System,
        key: "key".into(),
        fingerprint: rapport_model::Digest::of(b"request"),
        response: response.into(),
        expires_at: at(expires),
    });
    unit
}

async fn an_idempotency_key_is_answered_once_and_may_be_used_anew_when_expired(world: World) {
    let store = world.open().await;
    store.commit(keyed("first", 10)).await.unwrap();
    let head = store.head();
    match store.commit(keyed("second", 20)).await {
        Err(StoreError::Idempotent { response, .. }) => assert_eq!(response, b"first"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.head(), head);
    let system = rapport_model::Actor::System;
    let kept = store.idempotent(&system, "key", at(9)).await.unwrap().unwrap();
    assert_eq!(kept.response, b"first");
    world.clock.set(at(10));
    assert_eq!(store.idempotent(&system, "key", at(10)).await.unwrap(), None);
    store.commit(keyed("third", 20)).await.unwrap();
    assert_eq!(store.idempotent(&system, "key", at(11)).await.unwrap().unwrap().response, b"third");
    assert_eq!(store.purge_expired(at(19)).await.unwrap(), 0);
    assert_eq!(store.purge_expired(at(20)).await.unwrap(), 1);
}

async fn fifty_units_with_one_key_have_one_effect(world: World) {
    let store = world.open().await;
    let head = store.head();
    let outcomes = store.commit_all((0..50).map(|i| keyed(&i.to_string(), 10)).collect()).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    for outcome in &outcomes[1..] {
        assert!(matches!(outcome, Err(StoreError::Idempotent { response, .. }) if response == b"0"));
    }
    assert_eq!(store.head(), head + 1);
}

async fn positions_have_no_gaps_under_concurrent_units(world: World) {
    let store = world.open().await;
    let listener = Listener::to("none.such");
    store.set_hooks(listener.clone());
    let first = store.head() + 1;
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..10_000 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut unit = unit();
            unit.events = vec![paid(&i.to_string(), None)];
            store.commit(unit).await.unwrap().events[0].position
        });
    }
    let positions: HashSet<i64> = tasks.join_all().await.into_iter().collect();
    let expected: Vec<i64> = (first..first + 10_000).collect();
    assert_eq!(positions, expected.iter().copied().collect());
    assert_eq!(*listener.heard.lock().unwrap(), expected);
    let stats = store.stats();
    assert!(stats.transactions < 5_000, "{stats:?}");
    assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
}

async fn units_handed_over_together_keep_their_order(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let city = |i: i64| puts(vec![update("customer", ada, vec![set("city", i.to_string().as_str())])]);
    let outcomes = store.commit_all((0..1_500).map(city).collect()).await;
    let positions: Vec<i64> = outcomes.iter().map(|o| o.as_ref().unwrap().events[0].position).collect();
    assert!(positions.is_sorted());
    assert_eq!(record(&store, "customer", ada).await.unwrap().get("city"), &Value::text("1499"));
}

async fn every_kind_of_value_reads_back_as_it_was_written(world: World) {
    use rapport_model::schema::{FieldDef, FieldKind, ObjectDef, Origin, SchemaChange};
    let store = world.open().await;
    let choice = FieldKind::Choice { options: vec!["a".into(), "ä".into()] };
    let json = Value::Json(Arc::new(serde_json::json!({"z": [1, null, {"deep": "ü"}], "a": 1.5})));
    let cases = [
        ("text", FieldKind::Text, vec![Value::text("a 'b' \"c\" \\ \n é 😀 %_"), Value::text("")]),
        ("integer", FieldKind::Integer, vec![Value::Int((1 << 53) - 1), Value::Int(1 - (1 << 53)), Value::Int(0)]),
        (
            "money",
            FieldKind::Decimal { scale: 2 },
            vec![decimal("-9999999999999.99"), decimal("0.10"), decimal("0.00")],
        ),
        ("whole", FieldKind::Decimal { scale: 0 }, vec![decimal("999999999999999"), decimal("-1")]),
        ("fine", FieldKind::Decimal { scale: 6 }, vec![decimal("-0.000001"), decimal("999999999.999999")]),
        ("truth", FieldKind::Boolean, vec![Value::Bool(true), Value::Bool(false)]),
        (
            "day",
            FieldKind::Date,
            vec![Value::Date("0001-01-01".parse().unwrap()), Value::Date("9999-12-31".parse().unwrap())],
        ),
        (
            "moment",
            FieldKind::Timestamp,
            vec![
                Value::Time("0001-01-01T00:00:00Z".parse().unwrap()),
                Value::Time("9999-12-01T00:00:00.999999Z".parse().unwrap()),
                Value::Time(at(1)),
            ],
        ),
        ("pick", choice, vec![Value::text("ä")]),
        ("data", FieldKind::Json, vec![json, Value::Json(Arc::new(serde_json::json!("text")))]),
    ];
    let fields = cases.iter().map(|(n, kind, _)| FieldDef::new(name(n), kind.clone())).collect();
    let mut declare = unit();
    declare.schema = vec![SchemaChange::AddObject(ObjectDef::new(name("sample"), Origin::Custom, None, fields))];
    store.commit(declare).await.unwrap();
    let mut written = Vec::new();
    for row in 0..3 {
        let mut changes = Vec::new();
        for (field, _, values) in &cases {
            changes.extend(values.get(row).map(|value| set(field, value.clone())));
        }
        let committed = store.commit(puts(vec![create("sample", new_id(), changes)])).await.unwrap();
        written.push((committed.events[0].clone(), committed.records[0].1.clone().unwrap()));
    }
    store.close().await.unwrap();
    let store = world.open().await;
    for (event, expected) in written {
        assert_eq!(record(&store, "sample", expected.id).await.unwrap(), expected);
        assert_eq!(store.event(event.position).await.unwrap().unwrap(), event);
    }
}

/// Found by the random units: a creation is not looked up beforehand, and a refused one proves nothing.
async fn a_read_of_nothing_is_looked_at_though_a_refused_unit_would_have_created_it(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    store.close().await.unwrap();
    // Opened anew, the store has nothing in memory.
    let store = world.open().await;
    let nobody = create("order", new_id(), vec![set("order_no", "1"), set("customer", new_id())]);
    let refused = puts(vec![create("customer", ada, vec![]), nobody]);
    let mut reads = unit();
    reads.reads = vec![ReadVersion { object: name("customer"), id: ada, version: 0 }];
    let outcomes = in_one_group(&store, vec![refused, reads]).await;
    assert!(outcomes[0].is_err());
    assert!(matches!(outcomes[1], Err(StoreError::Conflict { found: 1, .. })), "{:?}", outcomes[1]);
}
