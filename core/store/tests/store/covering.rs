//! Indexes over several fields: made with the object, with a field that comes later, over records that are there, and anew by a restore.

use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::schema::{FieldDef, FieldKind, ObjectDef, Origin, SchemaChange};
use rapport_model::{RecordId, Value};
use rapport_store::{Database, GroupQuery, Measure, Store, UnitOfWork};

use crate::world::*;

on_both!(
    an_object_and_a_field_bring_their_indexes,
    a_field_that_is_there_gains_an_index_over_its_records,
    records_whose_texts_do_not_fit_stand_against_an_index,
    texts_that_do_not_fit_together_are_refused,
    texts_that_fit_just_so_are_kept,
    groups_are_the_same_with_an_index_as_without,
    a_restored_workspace_has_the_index,
);

const INDEX: &str = "c_answer_item";

fn field(text: &str, kind: FieldKind) -> FieldDef {
    FieldDef::new(name(text), kind)
}

fn item(list: &[&str]) -> FieldDef {
    FieldDef { indexed_with: list.iter().map(|n| name(n)).collect(), ..field("item", FieldKind::Text) }
}

/// Answers of customers; `item` is declared before what it is indexed with.
fn answers(list: &[&str]) -> SchemaChange {
    let fields = vec![
        item(list),
        field("customer", FieldKind::Reference { object: name("customer") }),
        field("number", FieldKind::Integer),
        field("value", FieldKind::Text),
    ];
    SchemaChange::AddObject(ObjectDef::new(name("answer"), Origin::Custom, None, fields))
}

fn declare(changes: Vec<SchemaChange>) -> UnitOfWork {
    UnitOfWork { schema: changes, ..unit() }
}

fn add(field: FieldDef) -> UnitOfWork {
    declare(vec![SchemaChange::AddField { object: name("answer"), field }])
}

async fn answer(store: &Store, (item, number, value): (&str, i64, &str)) -> RecordId {
    let id = new_id();
    let fields = vec![set("item", item), set("number", number), set("value", value)];
    store.commit(puts(vec![create("answer", id, fields)])).await.unwrap();
    id
}

/// A text that no database makes shorter.
fn noise(bytes: usize) -> String {
    let mut seed = 7_u64;
    let mut letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((seed >> 33) % 94).unwrap())
    };
    (0..bytes).map(|_| letter()).collect()
}

async fn an_object_and_a_field_bring_their_indexes(world: World) {
    let store = world.open().await;
    store.commit(declare(vec![answers(&["customer", "number"])])).await.unwrap();
    let columns = match world.database {
        Database::Sqlite { .. } => "(\"item\", \"customer\", \"number\")",
        Database::Postgres { .. } => "(item NULLS FIRST, customer NULLS FIRST, number NULLS FIRST)",
    };
    let made = world.index(INDEX).await.unwrap();
    assert!(made.ends_with(columns), "{made}");
    let later = FieldDef { indexed_with: vec![name("value")], ..field("channel", FieldKind::Text) };
    store.commit(add(later)).await.unwrap();
    assert!(world.index("c_answer_channel").await.is_some());
}

async fn a_field_that_is_there_gains_an_index_over_its_records(world: World) {
    let store = world.open().await;
    store.commit(declare(vec![answers(&[])])).await.unwrap();
    let kept = answer(&store, ("a", 1, "x")).await;
    assert_eq!(world.index(INDEX).await, None);
    let gains = item(&["number", "value"]);
    store.commit(add(gains.clone())).await.unwrap();
    assert!(world.index(INDEX).await.is_some());
    let head = store.head();
    for again in [gains, item(&[])] {
        assert!(store.commit(add(again)).await.unwrap().events.is_empty());
    }
    let message = refusal(store.commit(add(item(&["value"]))).await);
    assert!(message.contains("indexed with number, value, not with value"), "{message}");
    assert_eq!(store.head(), head);
    store.close().await.unwrap();
    let store = world.open().await;
    let known = store.schema().object("answer").unwrap().field("item").unwrap().clone();
    assert_eq!(known, item(&["number", "value"]));
    assert_eq!(record(&store, "answer", kept).await.unwrap().get("value"), &Value::text("x"));
}

async fn records_whose_texts_do_not_fit_stand_against_an_index(world: World) {
    let store = world.open().await;
    store.commit(declare(vec![answers(&[])])).await.unwrap();
    answer(&store, ("a", 1, "x")).await;
    let long = answer(&store, ("ä", 2, &noise(2_047))).await;
    let message = refusal(store.commit(add(item(&["value"]))).await);
    let why = format!("the texts of the record {long} have more than 2048 bytes together: shorten them");
    assert_eq!(message, format!("`answer.item` cannot be indexed with others: {why}"));
    assert_eq!(world.index(INDEX).await, None);
    store.commit(add(item(&["number"]))).await.unwrap();
}

async fn texts_that_do_not_fit_together_are_refused(world: World) {
    let store = world.open().await;
    store.commit(declare(vec![answers(&["value"])])).await.unwrap();
    let id = answer(&store, ("ä", 1, "x")).await;
    let change = |value: &str| puts(vec![update("answer", id, vec![set("value", value)])]);
    let message = refusal(store.commit(change(&noise(2_047))).await);
    assert_eq!(message, "`value`: the texts in the index of `item` have 2049 bytes together, 2048 at most");
    store.commit(change(&noise(2_046))).await.unwrap();
}

async fn texts_that_fit_just_so_are_kept(world: World) {
    let store = world.open().await;
    let customer = customer(&store, "1").await;
    let rest = ["customer", "number", "n1", "n2", "n3", "n4", "n5"];
    let more = rest[2..].iter().map(|n| field(n, FieldKind::Decimal { scale: 6 }));
    let mut changes = vec![answers(&[&["value"][..], &rest].concat())];
    changes.extend(more.map(|field| SchemaChange::AddField { object: name("answer"), field }));
    store.commit(declare(changes)).await.unwrap();
    let (item, value) = (noise(1_024), noise(1_024));
    let mut fields = vec![set("item", &*item), set("value", &*value), set("customer", customer), set("number", 1)];
    fields.extend(rest[2..].iter().map(|n| set(n, decimal("-123456789.123456"))));
    store.commit(puts(vec![create("answer", new_id(), fields)])).await.unwrap();
}

async fn groups_are_the_same_with_an_index_as_without(world: World) {
    let store = world.open().await;
    store.commit(declare(vec![answers(&[])])).await.unwrap();
    for (item, number, value) in [("a", 1, "x"), ("a", 1, "y"), ("a", 2, "x"), ("b", 1, "x"), ("a", 1, "x")] {
        answer(&store, (item, number, value)).await;
    }
    store.commit(puts(vec![create("answer", new_id(), vec![set("item", "a")])])).await.unwrap();
    let schema = store.schema();
    let scope = Scope::Record(schema.object("answer").unwrap().clone());
    let query = GroupQuery {
        object: name("answer"),
        rule: Some(Rule::parse("item == 'a'", &scope, &schema, &ParamTypes::none()).unwrap()),
        params: Params::none(),
        now: at(0),
        group_by: vec![name("number"), name("value")],
        measures: vec![Measure::Count, Measure::Sum(name("number"))],
        limit: 10,
    };
    let before = store.groups(&query).await.unwrap();
    assert_eq!(before.len(), 4, "{before:?}");
    store.commit(add(item(&["number", "value"]))).await.unwrap();
    assert_eq!(store.groups(&query).await.unwrap(), before);
}

async fn a_restored_workspace_has_the_index(world: World) {
    let store = world.open().await;
    // `item` is indexed with a reference to an object that comes later.
    let shop = SchemaChange::AddObject(ObjectDef::new(name("shop"), Origin::Custom, None, vec![]));
    let reference = field("shop", FieldKind::Reference { object: name("shop") });
    let later = SchemaChange::AddField { object: name("answer"), field: reference };
    store.commit(declare(vec![answers(&[]), shop, later])).await.unwrap();
    store.commit(add(item(&["shop", "number"]))).await.unwrap();
    let kept = answer(&store, ("a", 1, "x")).await;
    let folder = world.folder.path().join("backup");
    store.backup(&folder).await.unwrap();
    let target = match world.database {
        Database::Sqlite { .. } => World::sqlite(),
        Database::Postgres { .. } => World::postgres(),
    };
    Store::restore(&folder, &target.database).await.unwrap();
    assert_eq!(target.index(INDEX).await, world.index(INDEX).await);
    let copy = target.open().await;
    assert!(target.index(INDEX).await.is_some());
    assert_eq!(record(&copy, "answer", kept).await.unwrap().get("item"), &Value::text("a"));
}
