//! What the engine adds to a call: reading a row, planning it, matching, the slice with its buffer and trace.
//!
//! A preview does all of that and commits nothing, and the records it needs are in memory: so this is the cost of an event
//! beyond the database. `cargo bench -p rapport-engine`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start has nothing to measure")]

use std::path::Path;
use std::sync::Arc;

use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use rapport_engine::{BulkOptions, Caller, Engine, EngineConfig, Reaction, WriteOptions};
use rapport_model::time::WallClock;
use rapport_sandbox::{Sandbox, SandboxConfig};
use rapport_store::{Database, Store, StoreConfig};
use serde_json::{Value, json};

/// As in the binary, whose allocator this is.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 500;
const EMPTY: &str = "on(\"order.created\"); fn run(event) { }";
const POINTS: &str = include_str!("../../../scripts/loyalty/points.rhai");

async fn engine(dir: &Path) -> Engine {
    let clock = Arc::new(WallClock);
    let database = Database::Sqlite { path: dir.join("bench.sqlite") };
    let store = Store::open(StoreConfig::new(database), clock.clone()).await.unwrap();
    let cache = SandboxConfig { cache_dir: Some(dir.join("compiled")), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(cache).unwrap();
    Engine::start(EngineConfig::default(), store, sandbox, clock).await.unwrap()
}

/// Orders of one customer, to be created.
async fn orders(engine: &Engine) -> Vec<Result<Value, String>> {
    let body = json!({ "customer_no": "buyer" });
    let written = engine.create(&Caller::system(), "customer", &body, &WriteOptions::default()).await.unwrap();
    let row = |n| json!({ "order_no": format!("o{n}"), "customer": written.id, "amount": "120.50" });
    (0..ROWS).map(|n| Ok(row(n))).collect()
}

/// Customers whose points change and so their tier.
async fn customers(engine: &Engine) -> Vec<Result<Value, String>> {
    let rows = |points: u64| (0..ROWS).map(move |n| Ok(json!({ "customer_no": format!("c{n}"), "points": points })));
    let options = BulkOptions { object: "customer".into(), key: Some("customer_no".into()), ..BulkOptions::default() };
    engine.bulk(&Caller::system(), &options, rows(0).collect()).await.unwrap();
    rows(6_000).collect()
}

/// How many runs a preview of these rows starts; none may fail.
async fn preview(engine: &Engine, object: &str, rows: &[Result<Value, String>]) -> u64 {
    let key = (object == "customer").then(|| "customer_no".to_owned());
    let options = BulkOptions { object: object.into(), key, reaction: Reaction::Preview, ..BulkOptions::default() };
    let outcome = engine.bulk(&Caller::system(), &options, rows.to_vec()).await.unwrap();
    assert!(outcome.preview.iter().all(|line| line.failures == 0));
    outcome.preview.iter().map(|line| line.runs).sum()
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engine = runtime.block_on(engine(dir.path()));
    let caller = Caller::system();
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(ROWS as u64));
    let rows = runtime.block_on(orders(&engine));
    group.bench_function("orders without automation", |b| {
        b.to_async(&runtime).iter(|| preview(&engine, "order", &rows));
    });
    for (name, source) in [("an empty script", EMPTY), ("the points rule", POINTS)] {
        runtime.block_on(engine.activate_script(&caller, "bench", "bench.rhai", source)).unwrap();
        assert_eq!(runtime.block_on(preview(&engine, "order", &rows)), ROWS as u64);
        let with = |b: &mut Bencher<'_>| {
            b.to_async(&runtime).iter(|| preview(&engine, "order", &rows));
        };
        group.bench_function(format!("orders with {name}"), with);
    }
    runtime.block_on(engine.deactivate(&caller, "bench")).unwrap();
    let rows = runtime.block_on(customers(&engine));
    let without = |b: &mut Bencher<'_>| b.to_async(&runtime).iter(|| preview(&engine, "customer", &rows));
    group.bench_function("customers without automation", without);
    let tiers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/tiers");
    rapport_sandbox::author::build_plugin(&tiers, rapport_sandbox::author::Care::Full).unwrap();
    runtime.block_on(engine.activate_plugin(&caller, &tiers)).unwrap();
    assert_eq!(runtime.block_on(preview(&engine, "customer", &rows)), ROWS as u64);
    group.bench_function("customers with the plugin tiers", without);
    group.finish();
    runtime.block_on(engine.shutdown()).unwrap();
}

criterion_group!(benches, calls);
criterion_main!(benches);
