//! What a call costs beyond the host's own work: a host that does nothing, a warm script, a fresh plugin. The floor of the latter
//! is the same component in bare wasmtime: a fresh instance from a pool that is kept alike, the same answers, no limits and no async.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use criterion::{Criterion, criterion_group, criterion_main};
use rapport_model::event::{Body, RecordChange, Subject};
use rapport_model::standard;
use rapport_model::{
    Actor, Event, EventType, FieldDef, FieldKind, Name, ObjectDef, Record, RecordId, Timestamp, Value,
};
use rapport_sandbox::{
    FindRequest, GuestEvent, GuestFields, Host, HostError, LogLevel, Program, RecordData, Sandbox, SandboxConfig,
    author,
};
use tokio::runtime::Runtime;

#[path = "call/bare.rs"]
mod bare;

/// Does nothing, as fast as it can.
struct Idle;

#[async_trait]
impl Host for Idle {
    async fn get(&mut self, _: &str, _: &str) -> Result<Option<RecordData>, HostError> {
        Ok(None)
    }
    async fn find(&mut self, _: FindRequest) -> Result<Vec<RecordData>, HostError> {
        Ok(Vec::new())
    }
    async fn count(&mut self, _: &str, _: &str, _: GuestFields) -> Result<u64, HostError> {
        Ok(0)
    }
    async fn create(&mut self, _: &str, _: GuestFields) -> Result<RecordData, HostError> {
        Err(HostError::permanent("none", "none"))
    }
    async fn update(&mut self, _: &str, _: &str, fields: GuestFields) -> Result<(), HostError> {
        black_box(fields);
        Ok(())
    }
    async fn increment(&mut self, _: &str, _: &str, _: &str, delta: Value) -> Result<(), HostError> {
        black_box(delta);
        Ok(())
    }
    async fn upsert(&mut self, _: &str, _: &str, _: GuestFields) -> Result<RecordData, HostError> {
        Err(HostError::permanent("none", "none"))
    }
    async fn delete(&mut self, _: &str, _: &str) -> Result<bool, HostError> {
        Ok(false)
    }
    async fn emit(&mut self, _: &str, _: &str, data: GuestFields) -> Result<(), HostError> {
        black_box(data);
        Ok(())
    }
    fn log(&mut self, _: LogLevel, _: &str) {}
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
    fn random(&mut self, count: u32) -> Vec<u8> {
        vec![0; usize::try_from(count).unwrap_or(0)]
    }
    fn setting(&mut self, _: &str) -> Result<Value, HostError> {
        Ok(Value::Int(100))
    }
}

fn object(name: &str, extra: &[FieldDef]) -> Arc<ObjectDef> {
    let mut object = standard::objects().into_iter().find(|o| o.name.as_str() == name).expect("a standard object");
    object.fields.extend_from_slice(extra);
    Arc::new(object)
}

fn event(kind: &str, object: Arc<ObjectDef>, set: &[(&str, Value)], change: RecordChange) -> GuestEvent {
    let mut values = vec![Value::Null; object.fields.len()];
    for (name, value) in set {
        values[object.position(name).expect("a field")] = value.clone();
    }
    let (at, id) = (Timestamp::EPOCH, RecordId::from_parts(1, [3; 10]));
    let subject = Some(Subject { object: object.name.clone(), id });
    let event = Event {
        position: 1,
        origin: None,
        kind: EventType::new(kind).expect("a type"),
        subject,
        lane: None,
        time: at,
        recorded_at: at,
        actor: Actor::System,
        run: None,
        cause: None,
        depth: 0,
        body: Some(Body::Change(change)),
    };
    let record = Record { object, id, version: 1, created_at: at, updated_at: at, values };
    GuestEvent { event: Arc::new(event), record: Some(Arc::new(record)) }
}

fn order() -> GuestEvent {
    let set = [
        ("order_no", Value::text("536365")),
        ("customer", Value::Ref(RecordId::from_parts(1, [2; 10]))),
        ("ordered_at", Value::Time(Timestamp::EPOCH)),
        ("amount", Value::Decimal("139.12".parse().expect("a decimal"))),
        ("country", Value::text("United Kingdom")),
    ];
    let after = set.iter().map(|(n, v)| (Name::new(n).expect("a name"), v.clone())).collect();
    event("order.created", object("order", &[]), &set, RecordChange { after, ..RecordChange::default() })
}

fn points() -> GuestEvent {
    let extra = ["points", "tier"].map(|n| FieldDef::new(Name::new(n).expect("a name"), FieldKind::Integer));
    let one = |n| vec![(Name::new("points").expect("a name"), Value::Int(n))];
    let change = RecordChange { before: one(1), after: one(2), delta: one(1) };
    let set = [("customer_no", Value::text("17850")), ("points", Value::Int(2))];
    event("customer.updated", object("customer", &extra), &set, change)
}

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-cache");
    let config = SandboxConfig { cache_dir: Some(target), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config).expect("a sandbox");
    let source = include_str!("../../../scripts/loyalty/points.rhai");
    let script = runtime.block_on(sandbox.load_script("points.rhai", source)).expect("a script");
    let empty = "on(\"order.created\"); fn run(event) { }";
    let empty = runtime.block_on(sandbox.load_script("empty.rhai", empty)).expect("a script");
    let built =
        author::build_plugin(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/tiers"), author::Care::Full)
            .expect("a plugin");
    let bytes = std::fs::read(built).expect("a component");
    let plugin = runtime.block_on(sandbox.load_component(&bytes)).expect("a component");
    let mut time = |name: &str, program: &Program, event: GuestEvent| {
        criterion.bench_function(name, |b| {
            b.to_async(&runtime).iter(|| async {
                let (report, _) = sandbox.call(program, event.clone(), Idle).await;
                assert!(report.outcome.is_ok(), "{:?}", report.outcome);
            });
        });
    };
    time("script: empty", &empty, order());
    time("script: points rule", &script, order());
    time("plugin: tiers, fresh instance", &plugin, points());
    let floor = bare::Floor::new(&bytes, &points());
    criterion.bench_function("bare: tiers, fresh instance", |b| b.iter(|| floor.call()));
    criterion.bench_function("script: check", |b| {
        b.to_async(&runtime)
            .iter(|| async { sandbox.check_script("points.rhai", source).await.expect("a good script") });
    });
}

criterion_group!(benches, calls);
criterion_main!(benches);
