//! A host that takes down what guests ask of it, and records and events to call them with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rapport_model::event::{Body, Fields, RecordChange, Subject};
use rapport_model::schema::{FieldKind, ObjectDef, Origin};
use rapport_model::{Actor, Event, EventType, FieldDef, Limits, Name, Record, RecordId, Timestamp, Value};
use rapport_sandbox::{
    FindRequest, Grouping, GuestEvent, GuestFailure, GuestFields, Host, HostError, JobRequest, KvEntry, LogLevel,
    Program, RecordData, RunContext, Sandbox, SandboxConfig, ScriptCall, Selection, SliceReport, Spent, Table,
};
use rust_decimal::Decimal;

/// Takes down every call as one line, and answers from what a test put into it.
#[derive(Default)]
pub(crate) struct Recorder {
    /// The calls, one line each.
    pub(crate) calls: Vec<String>,
    /// The log lines.
    pub(crate) logged: Vec<String>,
    /// What `get`, `find`, `create` and `upsert` answer.
    pub(crate) records: Vec<RecordData>,
    /// What `setting` answers.
    pub(crate) settings: BTreeMap<String, Value>,
    /// What every change answers, if it is set.
    pub(crate) refusal: Option<HostError>,
    /// How long every read takes.
    pub(crate) delay: Option<Duration>,
    /// The instant.
    pub(crate) now: i64,
    /// Where the random sequence stands.
    pub(crate) drawn: u8,
}

impl Recorder {
    fn note(&mut self, line: String) -> Result<(), HostError> {
        self.calls.push(line);
        self.refusal.clone().map_or(Ok(()), Err)
    }

    async fn wait(&self) {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
    }

    fn first(&self) -> Result<RecordData, HostError> {
        self.records.first().cloned().ok_or_else(|| HostError::permanent("not_found", "there is no record"))
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Text(t) => format!("{t:?}"),
        Value::Decimal(d) => format!("{d}d"),
        Value::Ref(id) => format!("ref {id}"),
        other => rapport_model::json::to_json(other).to_string(),
    }
}

fn list(fields: &GuestFields) -> String {
    let fields: Vec<_> = fields.iter().map(|(n, v)| format!("{n}={}", show(v))).collect();
    fields.join(" ")
}

#[async_trait]
impl Host for Recorder {
    async fn get(&mut self, object: &str, key: &str) -> Result<Option<RecordData>, HostError> {
        self.wait().await;
        self.note(format!("get {object}/{key}"))?;
        Ok(self.records.first().cloned())
    }
    async fn find(&mut self, query: FindRequest) -> Result<Vec<RecordData>, HostError> {
        self.wait().await;
        let FindRequest { object, filter, params, order, limit, after } = query;
        self.note(format!("find {object} where {filter} [{}] by {order} {limit} after {after}", list(&params)))?;
        Ok(self.records.clone())
    }
    async fn count(&mut self, object: &str, filter: &str, params: GuestFields) -> Result<u64, HostError> {
        self.wait().await;
        self.note(format!("count {object} where {filter} [{}]", list(&params)))?;
        Ok(self.records.len() as u64)
    }
    async fn create(&mut self, object: &str, fields: GuestFields) -> Result<RecordData, HostError> {
        self.note(format!("create {object} {}", list(&fields)))?;
        self.first()
    }
    async fn update(&mut self, object: &str, key: &str, fields: GuestFields) -> Result<(), HostError> {
        self.note(format!("update {object}/{key} {}", list(&fields)))
    }
    async fn increment(&mut self, object: &str, key: &str, field: &str, delta: Value) -> Result<(), HostError> {
        self.note(format!("increment {object}/{key} {field} {}", show(&delta)))
    }
    async fn upsert(&mut self, object: &str, by: &str, fields: GuestFields) -> Result<RecordData, HostError> {
        self.note(format!("upsert {object} by {by} {}", list(&fields)))?;
        self.first()
    }
    async fn delete(&mut self, object: &str, key: &str) -> Result<bool, HostError> {
        self.note(format!("delete {object}/{key}"))?;
        Ok(true)
    }
    async fn emit(&mut self, kind: &str, subject: &str, data: GuestFields) -> Result<(), HostError> {
        self.note(format!("emit {kind} {subject} {}", list(&data)))
    }
    fn log(&mut self, level: LogLevel, message: &str) {
        self.logged.push(format!("{level:?} {message}"));
    }
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }
    fn random(&mut self, count: u32) -> Vec<u8> {
        let mut next = || {
            self.drawn = self.drawn.wrapping_mul(141).wrapping_add(3);
            self.drawn
        };
        (0..count).map(|_| next()).collect()
    }
    fn setting(&mut self, name: &str) -> Result<Value, HostError> {
        let none = || HostError::permanent("invalid", format!("there is no setting `{name}`"));
        self.settings.get(name).cloned().ok_or_else(none)
    }
    async fn select(&mut self, query: Selection) -> Result<Table, HostError> {
        let Selection { object, fields, filter, params, order, limit, cursor } = query;
        let fields = fields.join(",");
        self.note(format!(
            "select {fields} of {object} where {filter} [{}] by {order} {limit} at {cursor}",
            list(&params)
        ))?;
        let row = vec![Value::Ref(ada()), Value::Int(12)];
        Ok(Table { rows: vec![row], objects: vec![Some(name("customer")), None], next: Some("d".into()) })
    }
    async fn aggregate(&mut self, grouping: Grouping) -> Result<Table, HostError> {
        let Grouping { object, filter, group_by, measures, .. } = grouping;
        let measures: Vec<_> = measures.iter().map(|m| format!("{}({})", m.kind, m.field)).collect();
        self.note(format!("aggregate {} of {object} where {filter} by {}", measures.join(","), group_by.join(",")))?;
        Ok(Table { rows: vec![vec![Value::text("gold"), Value::Int(1), Value::Null]], ..Table::default() })
    }
    async fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.note(format!("kv get {key}"))?;
        Ok(Some(b"1".to_vec()))
    }
    async fn kv_set(&mut self, key: &str, value: Vec<u8>) -> Result<(), HostError> {
        self.note(format!("kv set {key} {value:?}"))
    }
    async fn kv_delete(&mut self, key: &str) -> Result<bool, HostError> {
        self.note(format!("kv delete {key}"))?;
        Ok(true)
    }
    async fn kv_list(&mut self, prefix: &str, after: &str, limit: u32) -> Result<Vec<KvEntry>, HostError> {
        self.note(format!("kv list {prefix}* after {after} {limit}"))?;
        Ok(vec![KvEntry { key: "a".into(), value: b"1".to_vec() }])
    }
    async fn kv_increment(&mut self, key: &str, delta: i64) -> Result<i64, HostError> {
        self.note(format!("kv increment {key} {delta}"))?;
        Ok(delta + 1)
    }
    async fn secret_exists(&mut self, name: &str) -> Result<bool, HostError> {
        self.note(format!("secret {name}"))?;
        Ok(true)
    }
    async fn secret_hmac(&mut self, name: &str, message: &[u8]) -> Result<Vec<u8>, HostError> {
        self.note(format!("hmac {name} {}", message.len()))?;
        Ok(vec![1, 2])
    }
    async fn run_script(&mut self, call: ScriptCall) -> (Result<String, HostError>, Spent) {
        let noted = self.note(format!("script {} {} {}", call.script, call.function, call.arguments));
        (noted.map(|()| "84".into()), Spent { fuel: 1_000, host_calls: 1 })
    }
    async fn start_job(&mut self, job: JobRequest) -> Result<String, HostError> {
        self.note(format!("job {} {} {:?}", job.action, job.input, job.at.map(Timestamp::micros)))?;
        Ok("run-2".into())
    }
    fn context(&self) -> RunContext {
        RunContext { run: "run-1".into(), plugin: "golden".into(), actor: "user:mei".into(), slice: 1 }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The id of the customer that every order here belongs to.
pub(crate) fn ada() -> RecordId {
    RecordId::from_parts(1_000_000, [1; 10])
}

/// An object with fields of every kind.
pub(crate) fn object(object: &str) -> Arc<ObjectDef> {
    let field = |n, kind| FieldDef::new(name(n), kind);
    let fields = vec![
        field("order_no", FieldKind::Text),
        field("customer", FieldKind::Reference { object: name("customer") }),
        field("amount", FieldKind::Decimal { scale: 2 }),
        field("points", FieldKind::Integer),
        field("paid", FieldKind::Boolean),
        field("birthday", FieldKind::Date),
        field("ordered_at", FieldKind::Timestamp),
        field("extra", FieldKind::Json),
        field("tier", FieldKind::Text),
    ];
    Arc::new(ObjectDef::new(name(object), Origin::Standard, None, fields))
}

/// A record of `object` with every field set but `tier`.
pub(crate) fn record(object_name: &str, amount: &str) -> RecordData {
    let values = vec![
        Value::text("536365"),
        Value::Ref(ada()),
        Value::Decimal(amount.parse::<Decimal>().unwrap()),
        Value::Int(7),
        Value::Bool(true),
        Value::Date("1990-02-03".parse().unwrap()),
        Value::Time("2011-12-09T12:50:00Z".parse().unwrap()),
        Value::Json(Arc::new(serde_json::json!({ "lines": [1, 2.5], "gift": null }))),
        Value::Null,
    ];
    let at = Timestamp::from_micros(1_000_000);
    let id = RecordId::from_parts(2_000_000, [2; 10]);
    Arc::new(Record { object: object(object_name), id, version: 3, created_at: at, updated_at: at, values })
}

fn event(kind: &str, body: Body, record: Option<RecordData>) -> GuestEvent {
    let subject = record.as_ref().map(|r| Subject { object: r.object.name.clone(), id: r.id });
    let event = Event {
        position: 42,
        origin: None,
        kind: EventType::new(kind).unwrap(),
        subject,
        lane: None,
        time: Timestamp::from_micros(1_000_000),
        recorded_at: Timestamp::from_micros(2_000_000),
        actor: Actor::System,
        run: None,
        cause: None,
        depth: 1,
        body: Some(body),
    };
    GuestEvent { event: Arc::new(event), record }
}

/// `order.created` of an order over `amount`.
pub(crate) fn order(amount: &str) -> GuestEvent {
    let order = record("order", amount);
    let after = order.object.fields.iter().enumerate().map(|(i, f)| (f.name.clone(), order.at(i).clone()));
    let change = RecordChange { after: after.filter(|(_, v)| !v.is_null()).collect(), ..RecordChange::default() };
    event("order.created", Body::Change(change), Some(order))
}

/// `customer.updated` with its points changed.
pub(crate) fn points(before: i64, after: i64) -> GuestEvent {
    let one = |n: i64| vec![(name("points"), Value::Int(n))];
    let change = RecordChange { before: one(before), after: one(after), delta: one(after - before) };
    event("customer.updated", Body::Change(change), Some(record("customer", "1.00")))
}

/// A declared event without a record.
pub(crate) fn data(kind: &str, fields: Fields) -> GuestEvent {
    event(kind, Body::Data(fields), None)
}

/// Where all tests keep compiled code: one folder, so that the interpreter is compiled once.
fn cache_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sandbox-cache")
}

/// A sandbox with small limits on time, and compiled code shared by all tests.
pub(crate) fn sandbox() -> Sandbox {
    with_limits(|_| ())
}

/// A sandbox with other limits.
pub(crate) fn with_limits(change: impl FnOnce(&mut Limits)) -> Sandbox {
    let mut config = SandboxConfig { cache_dir: Some(cache_dir()), instances_max: 40, ..SandboxConfig::default() };
    change(&mut config.limits);
    Sandbox::new(config).unwrap()
}

/// A script whose `run` has this body.
pub(crate) fn script(body: &str) -> String {
    format!("//! A test.\non(\"order.created\");\nuses(\"customer:read\");\nfn run(event) {{\n{body}\n}}\n")
}

/// Loads a script whose `run` has this body, and calls it once for an order of 10.
pub(crate) async fn run(sandbox: &Sandbox, body: &str) -> (SliceReport, Recorder) {
    run_with(sandbox, body, Recorder::default()).await
}

/// As [`run`], with a host.
pub(crate) async fn run_with(sandbox: &Sandbox, body: &str, host: Recorder) -> (SliceReport, Recorder) {
    let program = sandbox.load_script("test.rhai", &script(body)).await.unwrap();
    sandbox.call(&program, order("10.00"), host).await
}

/// What a script's failure says.
pub(crate) async fn failure(sandbox: &Sandbox, body: &str) -> GuestFailure {
    run(sandbox, body).await.0.outcome.unwrap_err()
}

/// What a script logs when it runs well.
pub(crate) async fn logs(sandbox: &Sandbox, body: &str) -> Vec<String> {
    let (report, host) = run(sandbox, body).await;
    assert_eq!(report.outcome, Ok(()));
    host.logged.iter().map(|l| l.strip_prefix("Info ").unwrap_or(l).to_owned()).collect()
}

/// Builds a guest of this workspace with cargo and loads it. The folder of its own keeps other builds' locks away.
pub(crate) async fn component(sandbox: &Sandbox, arguments: &[&str], file: &str) -> Program {
    sandbox.load_component(&built(arguments, file)).await.unwrap()
}

/// The bytes of a guest of this workspace, built with cargo.
pub(crate) fn built(arguments: &[&str], file: &str) -> Vec<u8> {
    static ONCE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONCE.lock();
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let done = std::process::Command::new("cargo")
        .args(["build", "--quiet", "--profile", "guest", "--target", "wasm32-wasip2"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .args(arguments)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(target.join("wasm32-wasip2/guest").join(file)).unwrap()
}

/// The tiers plugin.
pub(crate) async fn tiers(sandbox: &Sandbox) -> Program {
    component(sandbox, &["--package", "rapport-plugin-tiers"], "rapport_plugin_tiers.wasm").await
}

/// A host with the default settings of the tiers plugin.
pub(crate) fn tiers_host() -> Recorder {
    let settings = [("silver_from", 1_000), ("gold_from", 5_000), ("platinum_from", 20_000)];
    let settings = settings.into_iter().map(|(n, v)| (n.to_owned(), Value::Int(v))).collect();
    Recorder { settings, ..Recorder::default() }
}
