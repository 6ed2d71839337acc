use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::{Record, RecordId, Value};
use rapport_store::{Direction, RecordQuery, Store, StoreError};

use crate::world::*;

on_both!(
    records_are_resolved_by_unique_values_in_order,
    records_are_found_by_rule_and_counted,
    pages_meet_without_gaps_in_every_order,
    a_cursor_that_does_not_fit_is_refused,
    what_a_reader_sees_is_what_was_committed,
    records_by_id_keep_the_order_asked_for,
);

async fn records_are_resolved_by_unique_values_in_order(world: World) {
    let store = world.open().await;
    let (a, b) = (customer(&store, "a").await, customer(&store, "é").await);
    let values = [Value::text("e\u{301}"), Value::text("nobody"), Value::Null, Value::text("a"), Value::text("a")];
    let found = store.resolve(&name("customer"), &name("customer_no"), &values).await.unwrap();
    let ids: Vec<Option<RecordId>> = found.iter().map(|r| r.as_ref().map(|r| r.id)).collect();
    assert_eq!(ids, [Some(b), None, None, Some(a), Some(a)]);
    let refused = store.resolve(&name("customer"), &name("country"), &values).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))));
    let refused = store.resolve(&name("shop"), &name("country"), &values).await;
    assert!(matches!(refused, Err(StoreError::UnknownObject(_))));
}

/// Orders with amounts, countries and nulls in many combinations.
async fn fill(store: &Store) -> Vec<RecordId> {
    let ada = customer(store, "1").await;
    let country = ["France", "Ä", "a", "Germany"];
    let mut ids = Vec::new();
    let mut units = Vec::new();
    for i in 0..60_i64 {
        let mut changes = vec![set("order_no", i.to_string().as_str()), set("customer", ada)];
        if i % 7 != 0 {
            changes.push(set("amount", Value::Decimal(rust_decimal::Decimal::new((i % 5) * 150, 2))));
        }
        if i % 3 != 0 {
            changes.push(set("country", country[usize::try_from(i % 4).unwrap()]));
        }
        if i % 4 != 0 {
            changes.push(set("ordered_at", Value::Time(at(i % 6))));
        }
        ids.push(new_id());
        units.push(puts(vec![create("order", ids[ids.len() - 1], changes)]));
    }
    for outcome in store.commit_all(units).await {
        outcome.unwrap();
    }
    ids
}

fn orders() -> RecordQuery {
    RecordQuery::new(name("order"), at(0), 1_000)
}

fn rule(store: &Store, text: &str, params: &Params) -> Rule {
    let schema = store.schema();
    let scope = Scope::Record(schema.object("order").unwrap().clone());
    Rule::parse(text, &scope, &schema, &ParamTypes::of(params)).unwrap()
}

async fn records_are_found_by_rule_and_counted(world: World) {
    let store = world.open().await;
    let ids = fill(&store).await;
    let params = Params::none().with("least", decimal("4.50"));
    let text = "amount >= least && country in ['Ä', 'a'] && customer.customer_no == '1'";
    let query = RecordQuery { rule: Some(rule(&store, text, &params)), params, ..orders() };
    let found = store.find(&query).await.unwrap();
    let expected: Vec<RecordId> = ids
        .iter()
        .enumerate()
        .filter(|(i, _)| i % 7 != 0 && i % 5 >= 3 && i % 3 != 0 && [1, 2].contains(&(i % 4)))
        .map(|(_, id)| *id)
        .collect();
    assert_eq!(found.iter().map(|r| r.id).collect::<Vec<_>>(), expected);
    assert_eq!(store.count(&query).await.unwrap(), expected.len() as u64);
    assert_eq!(store.count(&orders()).await.unwrap(), 60);
}

/// Nulls first on the way up.
fn key(record: &Record, field: &str) -> (bool, i64, String) {
    let value = record.system(field).unwrap_or_else(|| record.get(field).clone());
    match value {
        Value::Null => (false, 0, String::new()),
        Value::Decimal(d) => (true, i64::try_from(d.mantissa()).unwrap(), String::new()),
        Value::Int(n) => (true, n, String::new()),
        Value::Time(t) => (true, t.micros(), String::new()),
        other => (true, 0, other.as_text().unwrap().to_owned()),
    }
}

async fn pages_meet_without_gaps_in_every_order(world: World) {
    use Direction::{Ascending, Descending};
    let store = world.open().await;
    fill(&store).await;
    let orders_by: [&[(&str, Direction)]; 6] = [
        &[],
        &[("amount", Ascending)],
        &[("country", Descending), ("amount", Ascending)],
        &[("ordered_at", Ascending), ("country", Ascending)],
        &[("updated_at", Descending), ("ordered_at", Descending)],
        &[("version", Ascending), ("amount", Descending)],
    ];
    for by in orders_by {
        let order: Vec<_> = by.iter().map(|(field, way)| (name(field), *way)).collect();
        let mut expected = store.find(&orders()).await.unwrap();
        expected.sort_by(|a, b| {
            let by_fields = by.iter().map(|(field, way)| {
                let compared = key(a, field).cmp(&key(b, field));
                if *way == Ascending { compared } else { compared.reverse() }
            });
            by_fields.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(a.id.cmp(&b.id))
        });
        let mut query = RecordQuery { order, limit: 7, ..orders() };
        let mut found = Vec::new();
        loop {
            let page = store.find(&query).await.unwrap();
            let Some(last) = page.last() else { break };
            let value = |(field, _): &(_, _)| {
                let field: &rapport_model::Name = field;
                last.system(field.as_str()).unwrap_or_else(|| last.get(field.as_str()).clone())
            };
            query.after = Some((query.order.iter().map(value).collect(), last.id));
            found.extend(page);
        }
        assert_eq!(found, expected, "{by:?}");
    }
}

async fn a_cursor_that_does_not_fit_is_refused(world: World) {
    let store = world.open().await;
    let mut query = RecordQuery { order: vec![(name("amount"), Direction::Ascending)], ..orders() };
    query.after = Some((Vec::new(), new_id()));
    assert!(matches!(store.find(&query).await, Err(StoreError::Invalid(_))));
    query.after = Some((vec![Value::text("'; drop table o_order; --")], new_id()));
    assert!(matches!(store.find(&query).await, Err(StoreError::Invalid(_))));
    query.after = None;
    query.order = vec![(name("nonsense"), Direction::Ascending)];
    assert!(matches!(store.find(&query).await, Err(StoreError::Unfit(_))));
    query.object = name("task");
    query.order = vec![(name("choices"), Direction::Ascending)];
    assert!(matches!(store.find(&query).await, Err(StoreError::Invalid(_))));
}

async fn what_a_reader_sees_is_what_was_committed(world: World) {
    let mut config = world.config();
    // So small that most reads miss it and fill it anew.
    config.cache_records = 8;
    let store = Store::open(config, world.clock.clone()).await.unwrap();
    let ada = customer(&store, "1").await;
    let mut ids = Vec::new();
    for i in 0..40 {
        ids.push(customer(&store, &format!("c{i}")).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8_usize {
        let (store, ids) = (store.clone(), ids.clone());
        tasks.spawn(async move {
            for round in 0..50 {
                let id = ids[(worker * 7 + round * 3) % ids.len()];
                let text = format!("{worker}.{round}");
                let committed =
                    store.commit(puts(vec![update("customer", id, vec![set("city", text.as_str())])])).await.unwrap();
                let written = committed.records[0].1.clone().unwrap();
                let seen = record(&store, "customer", id).await.unwrap();
                assert!(seen.version >= written.version, "{} < {}", seen.version, written.version);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let seen = store.records(&name("customer"), &ids).await.unwrap();
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!(store.records(&name("customer"), &ids).await.unwrap(), seen);
    assert_eq!(seen.iter().flatten().map(|r| r.version - 1).sum::<i64>(), 400);
    assert!(record(&store, "order", ada).await.is_none());
}

async fn records_by_id_keep_the_order_asked_for(world: World) {
    let store = world.open().await;
    let (a, b, nobody) = (customer(&store, "a").await, customer(&store, "b").await, new_id());
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!(store.cached(&name("customer"), b), None);
    let found = store.records(&name("customer"), &[b, nobody, a, b]).await.unwrap();
    let ids: Vec<Option<RecordId>> = found.iter().map(|r| r.as_ref().map(|r| r.id)).collect();
    assert_eq!(ids, [Some(b), None, Some(a), Some(b)]);
    assert_eq!(store.cached(&name("customer"), b), found[0]);
    assert!(store.records(&name("customer"), &[]).await.unwrap().is_empty());
}
