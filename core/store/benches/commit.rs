//! What a commit costs: units per second in groups of 1, 16 and 128, beside a hand-written floor on the same disk.
//!
//! The floor is plain sqlx and set-based: one event row and one upsert of a balance per event, in batches of 100, no chain, no
//! runs, no record events. A unit here appends one outside event and one increment of a customer's field, and so two events.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rapport_model::event::{NewEvent, Origin, Subject};
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::schema::{FieldDef, FieldKind, SchemaChange};
use rapport_model::time::WallClock;
use rapport_model::{Actor, EventType, Name, RecordId, Timestamp, Value};
use rapport_store::{Database, Store, StoreConfig, UnitOfWork};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// How many customers the units are spread over.
const CUSTOMERS: usize = 4_372;
/// Rows of one statement of the floor.
const FLOOR_BATCH: usize = 100;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn id(n: usize) -> RecordId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&(n as u64).to_be_bytes());
    RecordId::from_parts(1_767_225_600_000_000, random)
}

fn unit(customer: RecordId, event: usize) -> UnitOfWork {
    let time = Timestamp::from_micros(1_767_225_600_000_000);
    let mut unit = UnitOfWork::new(time, Actor::System);
    unit.events = vec![NewEvent {
        origin: Some(Origin { source: "bench".into(), id: event.to_string().into() }),
        kind: EventType::new("order.paid").expect("a type"),
        subject: Some(Subject { object: name("customer"), id: customer }),
        lane: Some(customer),
        time,
        data: vec![
            (name("order_no"), Value::text(&event.to_string())),
            (name("amount"), Value::Decimal(rust_decimal::Decimal::new(1_250, 2))),
        ],
    }];
    let points = (name("points"), Change::Increment(Value::Int(12)));
    unit.puts = vec![Put { object: name("customer"), id: customer, kind: PutKind::Update, changes: vec![points] }];
    unit
}

async fn workspace(database: Database) -> Store {
    let store = Store::open(StoreConfig::new(database), Arc::new(WallClock)).await.expect("a store");
    let time = Timestamp::EPOCH;
    let mut declare = UnitOfWork::new(time, Actor::System);
    let points = FieldDef { default: Some(0.into()), ..FieldDef::new(name("points"), FieldKind::Integer) };
    declare.schema = vec![SchemaChange::AddField { object: name("customer"), field: points }];
    store.commit(declare).await.expect("a field");
    let mut units = Vec::new();
    for n in 0..CUSTOMERS {
        let number = (name("customer_no"), Change::Set(Value::text(&n.to_string())));
        let mut unit = UnitOfWork::new(time, Actor::System);
        unit.puts = vec![Put { object: name("customer"), id: id(n), kind: PutKind::Create, changes: vec![number] }];
        units.push(unit);
    }
    let loaded = Instant::now();
    let outcomes = store.commit_all(units).await;
    assert!(outcomes.iter().all(Result::is_ok));
    println!("load of {CUSTOMERS} customers: {:.0} rows/s", rate(CUSTOMERS, loaded));
    store
}

fn rate(count: usize, since: Instant) -> f64 {
    let count = u32::try_from(count).map_or(f64::MAX, f64::from);
    count / since.elapsed().as_secs_f64()
}

/// Commits `total` units, `group` at a time.
async fn commit(store: &Store, label: &str, group: usize, total: usize) {
    let before = store.stats();
    let first = usize::try_from(store.head()).expect("a position");
    let start = Instant::now();
    let mut done = 0;
    while done < total {
        let units = (done..done + group).map(|n| unit(id(n * 7_919 % CUSTOMERS), first + n)).collect();
        let outcomes = store.commit_all(units).await;
        assert!(outcomes.iter().all(Result::is_ok));
        done += group;
    }
    let after = store.stats();
    let per = |n: u64| u32::try_from(n).map_or(f64::MAX, f64::from) / u32::try_from(done).map_or(1.0, f64::from);
    println!(
        "{label}, groups of {group}: {:.0} units/s; per unit {:.2} statements, {:.2} rows, {:.3} transactions",
        rate(done, start),
        per(after.statements - before.statements),
        per(after.rows - before.rows),
        per(after.transactions - before.transactions),
    );
}

/// The floor: what the same rows cost by hand.
async fn floor(path: &Path, total: usize) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut conn = options.disable_statement_logging().connect().await.expect("a database");
    let make = "create table event (position integer primary key, type text not null, customer blob not null, payload text not null) strict; \
                create table balance (customer blob primary key, points integer not null) strict";
    sqlx::raw_sql(make).execute(&mut conn).await.expect("tables");
    let events =
        format!("insert into event (type, customer, payload) values {}", vec!["(?,?,?)"; FLOOR_BATCH].join(","));
    let balances = format!(
        "insert into balance (customer, points) values {} on conflict (customer) do update set points = points + excluded.points",
        vec!["(?,?)"; FLOOR_BATCH].join(",")
    );
    let start = Instant::now();
    for batch in 0..total / FLOOR_BATCH {
        sqlx::raw_sql("begin immediate").execute(&mut conn).await.expect("begin");
        let (mut insert, mut upsert) =
            (sqlx::query(AssertSqlSafe(events.as_str())), sqlx::query(AssertSqlSafe(balances.as_str())));
        for n in batch * FLOOR_BATCH..(batch + 1) * FLOOR_BATCH {
            let customer = id(n * 7_919 % CUSTOMERS).0;
            let payload = format!("{{\"order_no\":\"{n}\",\"amount\":\"12.50\"}}");
            insert = insert.bind("order.paid").bind(customer).bind(payload);
            upsert = upsert.bind(customer).bind(12_i64);
        }
        insert.execute(&mut conn).await.expect("events");
        upsert.execute(&mut conn).await.expect("balances");
        sqlx::raw_sql("commit").execute(&mut conn).await.expect("commit");
    }
    println!("floor, batches of {FLOOR_BATCH}: {:.0} events/s", rate(total, start));
    conn.close().await.expect("closed");
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let folder = tempfile::TempDir::new().expect("a folder");
    runtime.block_on(async {
        floor(&folder.path().join("floor.db"), 50_000).await;
        let store = workspace(Database::Sqlite { path: folder.path().join("rapport.db") }).await;
        for (group, total) in [(1, 1_000), (16, 8_000), (128, 50_048), (500, 50_000)] {
            commit(&store, "SQLite", group, total).await;
        }
        store.close().await.expect("closed");
        if let Ok(url) = std::env::var("RAPPORT_BENCH_PG_URL") {
            let store = workspace(Database::Postgres { url }).await;
            for (group, total) in [(1, 1_000), (16, 8_000), (128, 50_048)] {
                commit(&store, "PostgreSQL", group, total).await;
            }
            store.close().await.expect("closed");
        }
    });
}
