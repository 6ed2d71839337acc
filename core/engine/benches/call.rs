//! What the engine adds to a call: reading a row, planning it, matching, the slice with its buffer and trace.
//!
//! A preview does all of that and commits nothing, and the records it needs are in memory: so this is the cost of an event
//! beyond the database. `cargo bench -p rapport-engine`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start has nothing to measure")]

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rapport_engine::{BulkOptions, Caller, Engine, EngineConfig, Reaction, WriteOptions};
use rapport_model::time::WallClock;
use rapport_sandbox::{Sandbox, SandboxConfig};
use rapport_store::{Database, Store, StoreConfig};
use serde_json::{Value, json};

const ROWS: usize = 500;
const SCRIPT: &str = include_str!("../../../scripts/loyalty/points.rhai");

async fn engine(dir: &Path) -> Engine {
    let clock = Arc::new(WallClock);
    let database = Database::Sqlite { path: dir.join("bench.sqlite") };
    let store = Store::open(StoreConfig::new(database), clock.clone()).await.unwrap();
    let cache = SandboxConfig { cache_dir: Some(dir.join("compiled")), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(cache).unwrap();
    Engine::start(EngineConfig::default(), store, sandbox, clock).await.unwrap()
}

async fn rows(engine: &Engine) -> Vec<Result<Value, String>> {
    let body = json!({ "customer_no": "c1" });
    let written = engine.create(&Caller::system(), "customer", &body, &WriteOptions::default()).await.unwrap();
    let row = |n| json!({ "order_no": format!("o{n}"), "customer": written.id, "amount": "120.50" });
    (0..ROWS).map(|n| Ok(row(n))).collect()
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engine = runtime.block_on(engine(dir.path()));
    let rows = runtime.block_on(rows(&engine));
    let options = BulkOptions { object: "order".into(), reaction: Reaction::Preview, ..BulkOptions::default() };
    let preview = || async {
        let outcome = engine.bulk(&Caller::system(), &options, rows.clone()).await.unwrap();
        assert!(outcome.preview.iter().all(|line| line.failures == 0));
        outcome.preview.iter().map(|line| line.runs).sum::<u64>()
    };
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("row without automation", |b| b.to_async(&runtime).iter(preview));
    let caller = Caller::system();
    let activated = engine.activate_script(&caller, "loyalty/points", "points.rhai", SCRIPT);
    runtime.block_on(activated).unwrap();
    assert_eq!(runtime.block_on(preview()), ROWS as u64);
    group.bench_function("row with a script", |b| b.to_async(&runtime).iter(preview));
    group.finish();
    runtime.block_on(engine.shutdown()).unwrap();
}

criterion_group!(benches, calls);
criterion_main!(benches);
