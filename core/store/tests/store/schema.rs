use rapport_model::schema::{EventTypeDef, FieldDef, FieldKind, ObjectDef, Origin, SchemaChange};
use rapport_model::{Name, Value};
use rapport_store::{Store, StoreError, UnitOfWork};

use crate::world::*;

on_both!(
    a_field_added_while_running_takes_values_at_once,
    existing_records_get_the_default,
    a_required_field_needs_a_default_once_there_are_records,
    a_unique_field_added_is_unique,
    a_refused_change_leaves_the_registry_as_it_was,
    the_same_declaration_twice_makes_no_event,
    objects_can_refer_to_each_other_in_circles,
    an_event_type_added_takes_events,
    a_field_is_added_while_others_write,
    a_unit_can_declare_and_use_in_one_go,
);

fn declare(changes: Vec<SchemaChange>) -> UnitOfWork {
    UnitOfWork { schema: changes, ..unit() }
}

fn add(object: &str, field: FieldDef) -> UnitOfWork {
    declare(vec![SchemaChange::AddField { object: name(object), field }])
}

fn field(text: &str, kind: FieldKind) -> FieldDef {
    FieldDef::new(name(text), kind)
}

fn points() -> FieldDef {
    FieldDef { default: Some(0.into()), ..field("points", FieldKind::Integer) }
}

async fn a_field_added_while_running_takes_values_at_once(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let epoch = store.schema().epoch;
    let committed = store.commit(add("customer", points())).await.unwrap();
    assert_eq!(committed.events[0].kind.as_str(), "schema.changed");
    assert_eq!(store.schema().epoch, epoch + 1);
    store.commit(puts(vec![update("customer", ada, vec![increment("points", 5)])])).await.unwrap();
    assert_eq!(record(&store, "customer", ada).await.unwrap().get("points"), &Value::Int(5));
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!(record(&store, "customer", ada).await.unwrap().get("points"), &Value::Int(5));
}

async fn existing_records_get_the_default(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    assert!(record(&store, "customer", ada).await.is_some());
    let choice = FieldKind::Choice { options: vec!["bronze".into(), "it's".into()] };
    let tier = FieldDef { required: true, default: Some("it's".into()), ..field("tier", choice) };
    store.commit(add("customer", tier)).await.unwrap();
    let found = record(&store, "customer", ada).await.unwrap();
    assert_eq!((found.get("tier"), found.version), (&Value::text("it's"), 1));
}

async fn a_required_field_needs_a_default_once_there_are_records(world: World) {
    let store = world.open().await;
    let bare = FieldDef { required: true, default: None, ..points() };
    store.commit(add("company", bare.clone())).await.unwrap();
    customer(&store, "1").await;
    let message = refusal(store.commit(add("customer", bare)).await);
    assert_eq!(message, "`customer.points` cannot be added: it is required, and records exist: give it a default");
}

async fn a_unique_field_added_is_unique(world: World) {
    let store = world.open().await;
    let code = FieldDef { unique: true, ..field("code", FieldKind::Integer) };
    store.commit(add("customer", code)).await.unwrap();
    let person = || puts(vec![create("customer", new_id(), vec![set("code", 7)])]);
    store.commit(person()).await.unwrap();
    let refused = store.commit(person()).await;
    assert!(matches!(refused, Err(StoreError::Unique { .. })), "{refused:?}");
    // An increment onto a value that another holds.
    let other = new_id();
    store.commit(puts(vec![create("customer", other, vec![set("code", 6)])])).await.unwrap();
    let refused = store.commit(puts(vec![update("customer", other, vec![increment("code", 1)])])).await;
    assert!(matches!(refused, Err(StoreError::Unique { .. })), "{refused:?}");
}

async fn a_refused_change_leaves_the_registry_as_it_was(world: World) {
    let store = world.open().await;
    let (head, epoch) = (store.head(), store.schema().epoch);
    let wrong = FieldDef { default: Some("x".into()), ..points() };
    let refused = declare(vec![
        SchemaChange::AddField { object: name("customer"), field: field("fine", FieldKind::Text) },
        SchemaChange::AddField { object: name("customer"), field: wrong },
    ]);
    assert!(matches!(store.commit(refused).await, Err(StoreError::Schema(_))));
    // The declaration is good, the put beside it is not.
    let mut mixed = add("customer", points());
    mixed.puts = vec![update("customer", new_id(), vec![set("points", 1)])];
    assert!(matches!(store.commit(mixed).await, Err(StoreError::MissingRecord { .. })));
    assert_eq!((store.head(), store.schema().epoch), (head, epoch));
    store.commit(add("customer", points())).await.unwrap();
}

async fn the_same_declaration_twice_makes_no_event(world: World) {
    let store = world.open().await;
    store.commit(add("customer", points())).await.unwrap();
    let head = store.head();
    assert!(store.commit(add("customer", points())).await.unwrap().events.is_empty());
    assert_eq!(store.head(), head);
}

fn object(text: &str, fields: Vec<FieldDef>) -> SchemaChange {
    SchemaChange::AddObject(ObjectDef::new(name(text), Origin::Custom, None, fields))
}

fn reference(text: &str, target: &str) -> FieldDef {
    field(text, FieldKind::Reference { object: name(target) })
}

pub(crate) async fn circle(store: &Store) -> (rapport_model::RecordId, rapport_model::RecordId) {
    let changes = vec![
        object("shop", vec![reference("parent", "shop")]),
        object("clerk", vec![reference("shop", "shop")]),
        SchemaChange::AddField { object: name("shop"), field: reference("manager", "clerk") },
    ];
    store.commit(declare(changes)).await.unwrap();
    let (shop, clerk) = (new_id(), new_id());
    let both = puts(vec![
        create("shop", shop, vec![set("manager", clerk), set("parent", shop)]),
        create("clerk", clerk, vec![set("shop", shop)]),
    ]);
    store.commit(both).await.unwrap();
    (shop, clerk)
}

async fn objects_can_refer_to_each_other_in_circles(world: World) {
    let store = world.open().await;
    let (shop, clerk) = circle(&store).await;
    assert!(matches!(store.commit(puts(vec![delete("shop", shop)])).await, Err(StoreError::Referenced { .. })));
    store.commit(puts(vec![delete("shop", shop), delete("clerk", clerk)])).await.unwrap();
}

async fn an_event_type_added_takes_events(world: World) {
    let store = world.open().await;
    let def = EventTypeDef {
        name: kind("tier.changed"),
        fields: vec![field("tier", FieldKind::Text)],
        subject_optional: true,
    };
    store.commit(declare(vec![SchemaChange::AddEventType(def)])).await.unwrap();
    let mut unit = unit();
    let mut event = paid("1", None);
    (event.kind, event.data) = (kind("tier.changed"), vec![(name("tier"), Value::text("gold"))]);
    unit.events = vec![event];
    let committed = store.commit(unit).await.unwrap();
    assert_eq!(store.event(store.head()).await.unwrap().unwrap(), committed.events[0]);
}

async fn a_field_is_added_while_others_write(world: World) {
    let store = world.open().await;
    let mut ids = Vec::new();
    for i in 0..8 {
        ids.push(customer(&store, &i.to_string()).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for id in ids.clone() {
        let store = store.clone();
        tasks.spawn(async move {
            for i in 0..40 {
                let city = format!("{i}");
                store.commit(puts(vec![update("customer", id, vec![set("city", city.as_str())])])).await.unwrap();
                store.record(&name("customer"), id).await.unwrap().unwrap();
            }
        });
    }
    let names: Vec<Name> = (0..6).map(|i| name(&format!("extra{i}"))).collect();
    for extra in &names {
        let field = FieldDef { default: Some(1.into()), ..FieldDef::new(extra.clone(), FieldKind::Integer) };
        store.commit(add("customer", field)).await.unwrap();
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for id in ids {
        let found = record(&store, "customer", id).await.unwrap();
        assert_eq!(found.version, 41);
        assert!(names.iter().all(|extra| found.get(extra.as_str()) == &Value::Int(1)), "{found:?}");
    }
}

async fn a_unit_can_declare_and_use_in_one_go(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let mut unit = add("customer", points());
    unit.puts = vec![update("customer", ada, vec![set("points", 3)])];
    let committed = store.commit(unit).await.unwrap();
    assert_eq!(committed.events.len(), 2);
    assert_eq!(record(&store, "customer", ada).await.unwrap().get("points"), &Value::Int(3));
}
