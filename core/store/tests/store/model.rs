//! Random units against a model in memory that applies them one by one.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rapport_model::record::Put;
use rapport_model::{RecordId, Value};
use rapport_store::{ReadVersion, Store, UnitOfWork};

use crate::world::*;

/// How many records of each object there are to act on: few, so that units meet.
const SLOTS: usize = 4;

#[derive(Debug, Clone)]
enum Act {
    Create { slot: usize, number: Option<u8> },
    Rename { slot: usize, number: Option<u8> },
    Delete { slot: usize },
    Order { slot: usize, customer: usize },
    Move { slot: usize, customer: usize },
    Add { slot: usize, cents: i64 },
    Cancel { slot: usize },
    Read { slot: usize, version: i64 },
}

fn act() -> impl Strategy<Value = Act> {
    let (slot, number) = (0..SLOTS, prop::option::of(0..3_u8));
    prop_oneof![
        3 => (slot.clone(), number.clone()).prop_map(|(slot, number)| Act::Create { slot, number }),
        3 => (slot.clone(), number).prop_map(|(slot, number)| Act::Rename { slot, number }),
        1 => slot.clone().prop_map(|slot| Act::Delete { slot }),
        3 => (slot.clone(), slot.clone()).prop_map(|(slot, customer)| Act::Order { slot, customer }),
        1 => (slot.clone(), slot.clone()).prop_map(|(slot, customer)| Act::Move { slot, customer }),
        3 => (slot.clone(), -500..500_i64).prop_map(|(slot, cents)| Act::Add { slot, cents }),
        1 => slot.clone().prop_map(|slot| Act::Cancel { slot }),
        1 => (slot, 0..3_i64).prop_map(|(slot, version)| Act::Read { slot, version }),
    ]
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Customer {
    version: i64,
    number: Option<u8>,
}

#[derive(Debug, Clone, PartialEq)]
struct Order {
    version: i64,
    customer: usize,
    cents: i64,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Model {
    customers: BTreeMap<usize, Customer>,
    orders: BTreeMap<usize, Order>,
    events: usize,
}

impl Model {
    /// The state after `unit`, or nothing if it must be refused.
    fn after(&self, unit: &[Act]) -> Option<Self> {
        let mut next = self.clone();
        for act in unit {
            if let Act::Read { slot, version } = act {
                let found = self.customers.get(slot).map_or(0, |c| c.version);
                (found == *version).then_some(())?;
            }
        }
        for act in unit {
            next.act(act)?;
        }
        let whole = next.orders.values().all(|order| next.customers.contains_key(&order.customer));
        whole.then_some(next)
    }

    fn act(&mut self, act: &Act) -> Option<()> {
        let taken = |model: &Self, slot: usize, number: Option<u8>| {
            number.is_some() && model.customers.iter().any(|(s, c)| *s != slot && c.number == number)
        };
        match *act {
            Act::Create { slot, number } => {
                if self.customers.contains_key(&slot) || taken(self, slot, number) {
                    return None;
                }
                self.customers.insert(slot, Customer { version: 1, number });
                self.events += 1;
            }
            Act::Rename { slot, number } => {
                let clash = taken(self, slot, number);
                let customer = self.customers.get_mut(&slot)?;
                if customer.number != number {
                    if clash {
                        return None;
                    }
                    *customer = Customer { version: customer.version + 1, number };
                    self.events += 1;
                }
            }
            Act::Delete { slot } => {
                self.customers.remove(&slot)?;
                self.events += 1;
            }
            Act::Order { slot, customer } => {
                if self.orders.insert(slot, Order { version: 1, customer, cents: 0 }).is_some() {
                    return None;
                }
                self.events += 1;
            }
            Act::Move { slot, customer } => {
                let order = self.orders.get_mut(&slot)?;
                if order.customer != customer {
                    (order.customer, order.version) = (customer, order.version + 1);
                    self.events += 1;
                }
            }
            Act::Add { slot, cents } => {
                let order = self.orders.get_mut(&slot)?;
                if cents != 0 {
                    (order.cents, order.version) = (order.cents + cents, order.version + 1);
                    self.events += 1;
                }
            }
            Act::Cancel { slot } => {
                self.orders.remove(&slot)?;
                self.events += 1;
            }
            Act::Read { .. } => {}
        }
        Some(())
    }
}

struct Ids {
    /// Keeps the values of one case apart from those of others.
    case: String,
    customers: Vec<RecordId>,
    orders: Vec<RecordId>,
}

fn money(cents: i64) -> Value {
    Value::Decimal(rust_decimal::Decimal::new(cents, 2))
}

fn number_value(number: Option<u8>, ids: &Ids) -> Value {
    number.map_or(Value::Null, |n| Value::text(&format!("{}/{n}", ids.case)))
}

fn put(act: &Act, ids: &Ids) -> Option<Put> {
    Some(match *act {
        Act::Create { slot, number } => {
            create("customer", ids.customers[slot], vec![set("customer_no", number_value(number, ids))])
        }
        Act::Rename { slot, number } => {
            update("customer", ids.customers[slot], vec![set("customer_no", number_value(number, ids))])
        }
        Act::Delete { slot } => delete("customer", ids.customers[slot]),
        Act::Order { slot, customer } => {
            let number = set("order_no", format!("{}/{slot}", ids.case).as_str());
            let customer = set("customer", ids.customers[customer]);
            create("order", ids.orders[slot], vec![number, customer, set("amount", money(0))])
        }
        Act::Move { slot, customer } => {
            update("order", ids.orders[slot], vec![set("customer", ids.customers[customer])])
        }
        Act::Add { slot, cents } => update("order", ids.orders[slot], vec![increment("amount", money(cents))]),
        Act::Cancel { slot } => delete("order", ids.orders[slot]),
        Act::Read { .. } => return None,
    })
}

fn as_unit(acts: &[Act], ids: &Ids) -> UnitOfWork {
    let mut unit = puts(acts.iter().filter_map(|act| put(act, ids)).collect());
    for act in acts {
        if let Act::Read { slot, version } = *act {
            unit.reads.push(ReadVersion { object: name("customer"), id: ids.customers[slot], version });
        }
    }
    unit
}

async fn state(store: &Store, ids: &Ids, events: usize) -> Model {
    let mut model = Model { events, ..Model::default() };
    for (slot, id) in ids.customers.iter().enumerate() {
        let Some(found) = record(store, "customer", *id).await else { continue };
        let number = found.get("customer_no").as_text().map(|text| text.rsplit('/').next().unwrap().parse().unwrap());
        model.customers.insert(slot, Customer { version: found.version, number });
    }
    for (slot, id) in ids.orders.iter().enumerate() {
        let Some(found) = record(store, "order", *id).await else { continue };
        let customer = found.get("customer").as_ref_id().unwrap();
        let customer = ids.customers.iter().position(|id| *id == customer).unwrap();
        let Value::Decimal(amount) = found.get("amount") else { panic!("{found:?}") };
        let cents = i64::try_from(amount.mantissa()).unwrap();
        model.orders.insert(slot, Order { version: found.version, customer, cents });
    }
    model
}

/// Runs groups of units and compares each outcome and the end.
async fn compare(store: &Store, groups: &[Vec<Vec<Act>>]) -> Model {
    let fresh = || (0..SLOTS).map(|_| new_id()).collect::<Vec<_>>();
    let ids = Ids { case: new_id().to_string(), customers: fresh(), orders: fresh() };
    let start = store.head();
    let mut model = Model::default();
    for group in groups {
        let units = group.iter().map(|acts| as_unit(acts, &ids)).collect();
        let outcomes = store.commit_all(units).await;
        for (acts, outcome) in group.iter().zip(outcomes) {
            let after = model.after(acts);
            assert_eq!(outcome.is_ok(), after.is_some(), "{acts:?} on {model:?}: {outcome:?}");
            model = after.unwrap_or(model);
        }
    }
    let events = usize::try_from(store.head() - start).unwrap();
    assert_eq!(state(store, &ids, events).await, model);
    assert_eq!(store.verify(start, &|_| {}).await.unwrap().first_bad, None);
    model
}

fn run(world: &World, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = runtime.block_on(async {
        let mut config = world.config();
        // Some records are in memory when they are needed, some are not.
        config.cache_records = 3;
        Store::open(config, world.clock.clone()).await.unwrap()
    });
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let groups = vec(vec(vec(act(), 1..4), 1..8), 1..5);
    runner
        .run(&groups, |groups| {
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(compare(&store, &groups))));
            outcome.map(drop).map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                TestCaseError::fail(text)
            })
        })
        .unwrap();
    runtime.block_on(store.close()).unwrap();
}

#[test]
fn random_units_do_what_one_after_another_would_on_sqlite() {
    run(&World::sqlite(), 200);
}

#[test]
fn random_units_do_what_one_after_another_would_on_postgres() {
    run(&World::postgres(), 60);
}
