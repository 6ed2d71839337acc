//! Roll-ups: kept with the change of a child, filled when they are added, and proved against their children.

use rapport_model::rollup::{Function, Rollup};
use rapport_model::schema::{FieldDef, FieldKind, ObjectDef, Origin, SchemaChange};
use rapport_model::value::INTEGER_MAX;
use rapport_model::{Name, RecordId, Value};
use rapport_store::{Store, UnitOfWork};

use crate::world::*;

on_both!(
    roll_ups_equal_a_recomputation_after_random_groups,
    a_roll_up_added_to_full_tables_is_filled_set_by_set,
    a_child_costs_one_statement_and_asks_nothing,
    a_child_that_moves_counts_for_both_parents,
    a_parent_changes_neither_version_nor_history,
    what_is_off_is_found_and_mended,
    a_parent_that_comes_after_its_children_counts_them,
    a_roll_up_over_a_roll_up_follows_level_by_level,
    a_unit_can_declare_a_roll_up_and_children_in_one_go,
    nobody_writes_a_roll_up,
    an_old_workspace_gets_the_fields_of_customers_filled_at_its_start,
);

const MONEY: FieldKind = FieldKind::Decimal { scale: 2 };

fn rollup(function: Function, object: &str, via: &str, of: Option<&str>) -> Rollup {
    Rollup { function, object: name(object), via: name(via), field: of.map(name), condition: None, by: None }
}

fn field(text: &str, kind: FieldKind, rollup: Rollup) -> FieldDef {
    FieldDef { rollup: Some(Box::new(rollup)), ..FieldDef::new(name(text), kind) }
}

/// One of every function, over orders of a customer.
fn all() -> Vec<FieldDef> {
    let over = |function, of| rollup(function, "order", "customer", of);
    let by = |function| Rollup { by: Some(name("ordered_at")), ..over(function, Some("status")) };
    let large = Some("amount > 10 && status != 'cancelled'".to_owned());
    vec![
        field("n", FieldKind::Integer, over(Function::Count, None)),
        field("n_amounts", FieldKind::Integer, over(Function::Count, Some("amount"))),
        field("n_large", FieldKind::Integer, Rollup { condition: large.clone(), ..over(Function::Count, None) }),
        field("total", MONEY, over(Function::Sum, Some("amount"))),
        field("lines", FieldKind::Integer, over(Function::Sum, Some("line_count"))),
        field("least", MONEY, over(Function::Min, Some("amount"))),
        field("newest", FieldKind::Timestamp, over(Function::Max, Some("ordered_at"))),
        field("large_most", MONEY, Rollup { condition: large, ..over(Function::Max, Some("amount")) }),
        field("mean", FieldKind::Decimal { scale: 1 }, over(Function::Average, Some("amount"))),
        field("mean_lines", FieldKind::Decimal { scale: 3 }, over(Function::Average, Some("line_count"))),
        field("first_state", FieldKind::Text, by(Function::First)),
        field("last_state", FieldKind::Text, by(Function::Last)),
        field("last_no", FieldKind::Text, over(Function::Last, Some("order_no"))),
    ]
}

fn add(object: &str, fields: Vec<FieldDef>) -> UnitOfWork {
    let change = |field| SchemaChange::AddField { object: name(object), field };
    UnitOfWork { schema: fields.into_iter().map(change).collect(), ..unit() }
}

async fn faults(store: &Store) -> Vec<String> {
    let mut all = Vec::new();
    for kept in store.rollups().all() {
        let found = store.rollup_faults(kept, 100).await.unwrap();
        all.extend(
            found.iter().map(|f| format!("{}.{} of {}: {:?} not {:?}", kept.parent, kept.name, f.id, f.kept, f.right)),
        );
    }
    all
}

fn amount(dice: &mut Dice) -> Value {
    match dice.roll(8) {
        0 => Value::Null,
        1 => decimal("9999999999999.99"),
        2 => decimal("-9999999999999.90"),
        _ => decimal(&format!("{}.{:02}", dice.small(40) - 15, dice.roll(100))),
    }
}

fn values(dice: &mut Dice) -> Vec<(Name, rapport_model::Change)> {
    let lines = match dice.roll(6) {
        0 => Value::Null,
        1 => Value::Int(INTEGER_MAX),
        2 => Value::Int(-INTEGER_MAX),
        _ => Value::Int(dice.small(9) - 4),
    };
    let ordered_at = if dice.roll(5) == 0 { Value::Null } else { Value::Time(at(dice.small(4))) };
    let status = [Value::Null, Value::text("open"), Value::text("paid"), Value::text("cancelled")];
    let status = status[usize::try_from(dice.roll(4)).unwrap()].clone();
    vec![set("amount", amount(dice)), set("line_count", lines), set("ordered_at", ordered_at), set("status", status)]
}

async fn roll_ups_equal_a_recomputation_after_random_groups(world: World) {
    let store = world.open().await;
    let fields = all();
    let (early, late) = fields.split_at(6);
    store.commit(add("customer", early.to_vec())).await.unwrap();
    let mut customers = Vec::new();
    for number in ["1", "2", "3"] {
        customers.push(customer(&store, number).await);
    }
    let (mut dice, mut orders, mut number): (_, Vec<RecordId>, _) = (Dice(11), Vec::new(), 0);
    for round in 0..60 {
        if round == 10 {
            store.commit(add("customer", late.to_vec())).await.unwrap();
        }
        let units = usize::try_from(dice.roll(12)).unwrap() + 1;
        let mut group = Vec::new();
        for _ in 0..units {
            let mut changes = Vec::new();
            for _ in 0..=dice.roll(3) {
                let parent = customers[usize::try_from(dice.roll(3)).unwrap()];
                let known = (!orders.is_empty()).then(|| usize::try_from(dice.roll(orders.len() as u64)).unwrap());
                match (dice.roll(5), known) {
                    (0, Some(n)) => changes.push(delete("order", orders.swap_remove(n))),
                    (1, Some(n)) => changes.push(update("order", orders[n], vec![set("customer", parent)])),
                    (2, Some(n)) => changes.push(update("order", orders[n], values(&mut dice))),
                    _ => {
                        number += 1;
                        let id = new_id();
                        let mut fields = values(&mut dice);
                        // A number that is taken has its unit refused, with all that it does to roll-ups.
                        let no = if dice.roll(9) == 0 { "1".to_owned() } else { number.to_string() };
                        fields.extend([set("order_no", no.as_str()), set("customer", parent)]);
                        changes.push(create("order", id, fields));
                        orders.push(id);
                    }
                }
            }
            group.push(puts(changes));
        }
        in_one_group(&store, group).await;
        assert_eq!(faults(&store).await, Vec::<String>::new(), "round {round}");
        let present = store.records(&name("order"), &orders).await.unwrap();
        orders = present.into_iter().flatten().map(|order| order.id).collect();
        // What is in memory is what the database has.
        for id in &customers {
            let cached = store.cached(&name("customer"), *id);
            let query = rapport_store::RecordQuery::new(name("customer"), at(0), 10);
            let read = store.find(&query).await.unwrap().into_iter().find(|c| c.id == *id).unwrap();
            assert!(cached.is_none_or(|cached| cached.values == read.values), "round {round}");
        }
    }
    assert!(orders.len() > 20, "{}", orders.len());
}

async fn fill_up(store: &Store, parents: usize, children: usize) -> Vec<RecordId> {
    let ids: Vec<RecordId> = (0..parents).map(|_| new_id()).collect();
    let made =
        ids.iter().enumerate().map(|(n, id)| create("customer", *id, vec![set("customer_no", n.to_string().as_str())]));
    let made: Vec<_> = made.collect();
    for part in made.chunks(2_000) {
        store.commit(puts(part.to_vec())).await.unwrap();
    }
    let orders = (0..children).map(|n| {
        let amount = decimal(&format!("{}.50", n % 100));
        let fields = vec![
            set("order_no", n.to_string().as_str()),
            set("customer", ids[n * 7 % parents]),
            set("amount", amount),
            set("ordered_at", Value::Time(at(i64::try_from(n).unwrap()))),
        ];
        create("order", new_id(), fields)
    });
    let orders: Vec<_> = orders.collect();
    for part in orders.chunks(2_000) {
        store.commit(puts(part.to_vec())).await.unwrap();
    }
    ids
}

async fn a_roll_up_added_to_full_tables_is_filled_set_by_set(world: World) {
    let store = world.open().await;
    let ids = fill_up(&store, 10_000, 50_000).await;
    let fields = all();
    let (before, count, clock) = (store.stats().statements, fields.len() as u64, std::time::Instant::now());
    store.commit(add("customer", fields)).await.unwrap();
    let statements = store.stats().statements - before;
    assert!(statements < 8 * count, "{statements} statements for {count} roll-ups");
    eprintln!("{count} roll-ups were filled in {:?}", clock.elapsed());
    assert_eq!(faults(&store).await, Vec::<String>::new());
    let first = record(&store, "customer", ids[0]).await.unwrap();
    assert_eq!((first.get("n"), first.version), (&Value::Int(5), 1));
}

async fn a_child_costs_one_statement_and_asks_nothing(world: World) {
    let store = world.open().await;
    let ada = fill_up(&store, 1, 3_000).await[0];
    let plain = cost_of_an_order(&store, ada, 100_000).await;
    store.commit(add("customer", all())).await.unwrap();
    record(&store, "customer", ada).await.unwrap();
    let kept = cost_of_an_order(&store, ada, 200_000).await;
    assert!(kept <= plain + 1, "{kept} statements, {plain} without roll-ups");
    assert_eq!(record(&store, "customer", ada).await.unwrap().get("n"), &Value::Int(3_002));
    assert_eq!(faults(&store).await, Vec::<String>::new());
}

/// How many statements one more order takes, which comes last.
async fn cost_of_an_order(store: &Store, customer: RecordId, number: i64) -> u64 {
    let before = store.stats().statements;
    let fields = vec![
        set("order_no", number.to_string().as_str()),
        set("customer", customer),
        set("amount", decimal("1.00")),
        set("ordered_at", Value::Time(at(number))),
    ];
    store.commit(puts(vec![create("order", new_id(), fields)])).await.unwrap();
    store.stats().statements - before
}

async fn order(store: &Store, number: &str, customer: RecordId, amount: &str) -> RecordId {
    let id = new_id();
    let fields = vec![set("order_no", number), set("customer", customer), set("amount", decimal(amount))];
    store.commit(puts(vec![create("order", id, fields)])).await.unwrap();
    id
}

async fn values_of(store: &Store, id: RecordId, fields: &[&str]) -> Vec<String> {
    let record = record(store, "customer", id).await.unwrap();
    fields.iter().map(|field| rapport_model::json::to_json(record.get(field)).to_string()).collect()
}

async fn a_child_that_moves_counts_for_both_parents(world: World) {
    let store = world.open().await;
    store.commit(add("customer", all())).await.unwrap();
    let (ada, bob) = (customer(&store, "1").await, customer(&store, "2").await);
    let shown = ["n", "total", "least", "last_no"];
    assert_eq!(values_of(&store, ada, &shown).await, ["0", "\"0.00\"", "null", "null"]);
    order(&store, "a", ada, "5.00").await;
    let moved = order(&store, "b", ada, "3.00").await;
    assert_eq!(values_of(&store, ada, &shown).await, ["2", "\"8.00\"", "\"3.00\"", "\"b\""]);
    store.commit(puts(vec![update("order", moved, vec![set("customer", bob)])])).await.unwrap();
    assert_eq!(values_of(&store, ada, &shown).await, ["1", "\"5.00\"", "\"5.00\"", "\"a\""]);
    assert_eq!(values_of(&store, bob, &shown).await, ["1", "\"3.00\"", "\"3.00\"", "\"b\""]);
    store.commit(puts(vec![delete("order", moved)])).await.unwrap();
    assert_eq!(values_of(&store, bob, &shown).await, ["0", "\"0.00\"", "null", "null"]);
    assert_eq!(store.stats().careful_groups, 0);
}

async fn a_parent_changes_neither_version_nor_history(world: World) {
    let store = world.open().await;
    store.commit(add("customer", all())).await.unwrap();
    let ada = customer(&store, "1").await;
    let before = record(&store, "customer", ada).await.unwrap();
    let (head, read) = (store.head(), rapport_store::ReadVersion { object: name("customer"), id: ada, version: 1 });
    world.clock.set(at(9_000_000));
    order(&store, "a", ada, "5.00").await;
    assert_eq!(store.head(), head + 1);
    let after = record(&store, "customer", ada).await.unwrap();
    assert_eq!((after.version, after.updated_at), (1, before.updated_at));
    let decided_before =
        UnitOfWork { reads: vec![read], ..puts(vec![update("customer", ada, vec![set("city", "Paris")])]) };
    let committed = store.commit(decided_before).await.unwrap();
    let change = committed.events[0].change().unwrap();
    assert_eq!((change.before.len(), change.after.len()), (1, 1));
    let made = store.event(head).await.unwrap().unwrap();
    assert_eq!(made.change().unwrap().after.len(), 1, "{made:?}");
}

async fn what_is_off_is_found_and_mended(world: World) {
    let store = world.open().await;
    store.commit(add("customer", all())).await.unwrap();
    let ada = customer(&store, "1").await;
    order(&store, "a", ada, "5.00").await;
    assert!(faults(&store).await.is_empty());
    world.tamper("update o_customer set \"total\" = 1, \"_mean_n\" = 7").await;
    let found = faults(&store).await;
    assert_eq!(found.len(), 2, "{found:?}");
    let changed = store.mend_rollups(store.rollups().all().to_vec()).await.unwrap();
    assert_eq!(changed.iter().sum::<u64>(), 2);
    assert!(faults(&store).await.is_empty());
    assert_eq!(values_of(&store, ada, &["total"]).await, ["\"5.00\""]);
}

async fn a_parent_that_comes_after_its_children_counts_them(world: World) {
    let store = world.open().await;
    store.commit(add("customer", all())).await.unwrap();
    let ada = new_id();
    let child = |no: &str| {
        let fields = vec![set("order_no", no), set("customer", ada), set("amount", decimal("2.00"))];
        create("order", new_id(), fields)
    };
    let parent = create("customer", ada, vec![set("customer_no", "1")]);
    store.commit(puts(vec![child("a"), parent.clone(), child("b")])).await.unwrap();
    assert_eq!(values_of(&store, ada, &["n", "total", "last_no"]).await, ["2", "\"4.00\"", "\"b\""]);
    store.commit(puts(vec![delete("customer", ada), child("c"), parent])).await.unwrap();
    assert_eq!(values_of(&store, ada, &["n", "total", "last_no"]).await, ["3", "\"6.00\"", "\"c\""]);
    assert_eq!(faults(&store).await, Vec::<String>::new());
}

async fn a_roll_up_over_a_roll_up_follows_level_by_level(world: World) {
    let store = world.open().await;
    let of_customers = |function, of| rollup(function, "customer", "company", of);
    let fields = vec![
        field("revenue", MONEY, of_customers(Function::Sum, Some("total"))),
        field("best", MONEY, of_customers(Function::Max, Some("total"))),
    ];
    // Declared before what it follows from, in one unit.
    let mut declared = add("company", fields);
    declared.schema.extend(add("customer", all()).schema);
    store.commit(declared).await.unwrap();
    let acme = new_id();
    store.commit(puts(vec![create("company", acme, vec![set("company_no", "1")])])).await.unwrap();
    let mut customers = Vec::new();
    for no in ["1", "2"] {
        let id = customer(&store, no).await;
        store.commit(puts(vec![update("customer", id, vec![set("company", acme)])])).await.unwrap();
        customers.push(id);
    }
    let first = order(&store, "a", customers[0], "5.00").await;
    order(&store, "b", customers[1], "3.00").await;
    let company = async || {
        let found = record(&store, "company", acme).await.unwrap();
        [found.get("revenue").clone(), found.get("best").clone()]
    };
    assert_eq!(company().await, [decimal("8.00"), decimal("5.00")]);
    store.commit(puts(vec![delete("order", first)])).await.unwrap();
    assert_eq!(company().await, [decimal("3.00"), decimal("3.00")]);
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!(faults(&store).await, Vec::<String>::new());
}

async fn a_unit_can_declare_a_roll_up_and_children_in_one_go(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    order(&store, "a", ada, "5.00").await;
    let mut declared = add("customer", all());
    let fields = vec![set("order_no", "b"), set("customer", ada), set("amount", decimal("2.00"))];
    declared.puts =
        vec![create("order", new_id(), fields), create("customer", new_id(), vec![set("customer_no", "2")])];
    store.commit(declared).await.unwrap();
    assert_eq!(values_of(&store, ada, &["n", "total"]).await, ["2", "\"7.00\""]);
    assert_eq!(faults(&store).await, Vec::<String>::new());
    let again = store.commit(add("customer", all())).await.unwrap();
    assert!(again.events.is_empty());
}

async fn nobody_writes_a_roll_up(world: World) {
    let store = world.open().await;
    store.commit(add("customer", all())).await.unwrap();
    let ada = customer(&store, "1").await;
    let refused = store.commit(puts(vec![update("customer", ada, vec![set("n", 3)])])).await;
    assert_eq!(refusal(refused), "`n` is a roll-up: it follows from its `order` records");
    let refused = store.commit(puts(vec![create("customer", new_id(), vec![set("n", 3)])])).await;
    assert!(refusal(refused).contains("`n` is a roll-up"));
    let shop = ObjectDef::new(name("shop"), Origin::Custom, None, all());
    let refused = store.commit(UnitOfWork { schema: vec![SchemaChange::AddObject(shop)], ..unit() }).await;
    assert!(refusal(refused).contains("`order.customer` is no reference to `shop`"));
}

async fn an_old_workspace_gets_the_fields_of_customers_filled_at_its_start(world: World) {
    let own = ["order_count", "lifetime_value", "first_order_at", "last_order_at", "average_order"];
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    order(&store, "a", ada, "5.00").await;
    order(&store, "b", ada, "2.00").await;
    store.close().await.unwrap();
    // As it was before customers had roll-ups.
    for column in own.iter().copied().chain(["_average_order_n", "_average_order_s"]) {
        world.tamper(&format!("alter table o_customer drop column \"{column}\"")).await;
    }
    world.tamper("delete from field_def where object = 'customer' and definition like '%rollup%'").await;
    let store = world.open().await;
    assert_eq!(values_of(&store, ada, &own).await, ["2", "\"7.00\"", "null", "null", "\"3.50\""]);
    assert_eq!(faults(&store).await, Vec::<String>::new());
    order(&store, "c", ada, "2.00").await;
    assert_eq!(values_of(&store, ada, &own[..2]).await, ["3", "\"9.00\""]);
}
