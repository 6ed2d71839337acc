//! A workspace for one test: a temporary folder or a fresh PostgreSQL database, and short words to act on it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rapport_model::event::{NewEvent, Origin, Subject};
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::time::SetClock;
use rapport_model::{Actor, AutomationId, Digest, Event, EventType, Name, Record, RecordId, Run, Timestamp, Value};
use rapport_store::{Committed, Database, Hooks, Match, Store, StoreConfig, StoreError, UnitOfWork};
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

/// Makes of each story two tests.
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {
        $(mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$story($crate::world::World::sqlite()).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$story($crate::world::World::postgres()).await;
            }
        })+
    };
}

/// Where a test's workspace lies.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) folder: TempDir,
}

pub(crate) const START: i64 = 1_767_225_600_000_000;

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(START + micros)
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn kind(text: &str) -> EventType {
    EventType::new(text).unwrap()
}

pub(crate) fn automation(text: &str) -> AutomationId {
    AutomationId::new(text).unwrap()
}

pub(crate) fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse().unwrap())
}

/// A fresh id; ids of one test process differ.
pub(crate) fn new_id() -> RecordId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    RecordId::from_parts(START, random)
}

/// The same numbers every time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub(crate) fn small(&mut self, sides: u64) -> i64 {
        i64::try_from(self.roll(sides)).unwrap()
    }
}

impl World {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let database = Database::Sqlite { path: folder.path().join("rapport.db") };
        Self { database, clock: Arc::new(SetClock::at(at(0))), folder }
    }

    pub(crate) fn postgres() -> Self {
        let database = Database::Postgres { url: rapport_test_support::pg::url() };
        Self { database, clock: Arc::new(SetClock::at(at(0))), folder: TempDir::new().unwrap() }
    }

    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig::new(self.database.clone())
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(self.config(), self.clock.clone()).await
    }

    /// What the database says of an index, if it is there.
    pub(crate) async fn index(&self, name: &str) -> Option<String> {
        match &self.database {
            Database::Sqlite { path } => {
                let mut conn = sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
                let text = "select sql from sqlite_master where type = 'index' and name = $1";
                let found = sqlx::query_scalar(text).bind(name).fetch_optional(&mut conn).await.unwrap();
                conn.close().await.unwrap();
                found
            }
            Database::Postgres { url } => {
                let mut conn = sqlx::PgConnection::connect(url).await.unwrap();
                let text = "select indexdef from pg_indexes where schemaname = current_schema() and indexname = $1";
                let found = sqlx::query_scalar(text).bind(name).fetch_optional(&mut conn).await.unwrap();
                conn.close().await.unwrap();
                found
            }
        }
    }

    /// Runs statements behind the store's back.
    pub(crate) async fn tamper(&self, text: &str) {
        match &self.database {
            Database::Sqlite { path } => {
                let url = format!("sqlite:{}", path.display());
                let mut conn = sqlx::SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
            Database::Postgres { url } => {
                let mut conn = sqlx::PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
        }
    }
}

pub(crate) fn unit() -> UnitOfWork {
    UnitOfWork::new(at(0), Actor::System)
}

pub(crate) fn set(field: &str, value: impl Into<Worth>) -> (Name, Change) {
    (name(field), Change::Set(value.into().0))
}

pub(crate) fn increment(field: &str, by: impl Into<Worth>) -> (Name, Change) {
    (name(field), Change::Increment(by.into().0))
}

/// A value, from what reads well in a test.
pub(crate) struct Worth(pub(crate) Value);

impl From<&str> for Worth {
    fn from(text: &str) -> Self {
        Self(Value::text(text))
    }
}

impl From<i64> for Worth {
    fn from(number: i64) -> Self {
        Self(Value::Int(number))
    }
}

impl From<RecordId> for Worth {
    fn from(id: RecordId) -> Self {
        Self(Value::Ref(id))
    }
}

impl From<Value> for Worth {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

pub(crate) fn create(object: &str, id: RecordId, changes: Vec<(Name, Change)>) -> Put {
    Put { object: name(object), id, kind: PutKind::Create, changes }
}

pub(crate) fn update(object: &str, id: RecordId, changes: Vec<(Name, Change)>) -> Put {
    Put { object: name(object), id, kind: PutKind::Update, changes }
}

pub(crate) fn delete(object: &str, id: RecordId) -> Put {
    Put { object: name(object), id, kind: PutKind::Delete, changes: Vec::new() }
}

pub(crate) fn puts(puts: Vec<Put>) -> UnitOfWork {
    UnitOfWork { puts, ..unit() }
}

/// An event from outside.
pub(crate) fn paid(id: &str, customer: Option<RecordId>) -> NewEvent {
    let subject = customer.map(|id| Subject { object: name("customer"), id });
    NewEvent {
        origin: Some(Origin { source: "shop".into(), id: id.into() }),
        kind: kind("order.paid"),
        lane: customer,
        subject,
        time: at(0),
        data: vec![(name("order_no"), Value::text(id)), (name("amount"), decimal("12.50"))],
    }
}

/// Creates a customer with this number.
pub(crate) async fn customer(store: &Store, number: &str) -> RecordId {
    let id = new_id();
    store.commit(puts(vec![create("customer", id, vec![set("customer_no", number)])])).await.unwrap();
    id
}

pub(crate) async fn record(store: &Store, object: &str, id: RecordId) -> Option<Arc<Record>> {
    store.record(&name(object), id).await.unwrap()
}

/// The one outcome that is an error, as text.
pub(crate) fn refusal(outcome: Result<Committed, StoreError>) -> String {
    outcome.expect_err("a refusal").to_string()
}

/// Starts `points` on every event of one type, and remembers what it was told.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) on: Mutex<Option<String>>,
    pub(crate) heard: Mutex<Vec<i64>>,
    pub(crate) runs: Mutex<Vec<Arc<Run>>>,
}

impl Listener {
    pub(crate) fn to(kind: &str) -> Arc<Self> {
        Arc::new(Self { on: Mutex::new(Some(kind.into())), ..Self::default() })
    }
}

impl Hooks for Listener {
    fn matches(&self, event: &Event, _record: Option<&Record>) -> Vec<Match> {
        let on = self.on.lock().unwrap();
        let hit = on.as_deref() == Some(event.kind.as_str());
        if hit {
            vec![Match { automation: automation("points"), digest: Digest::of(b"points"), run: None }]
        } else {
            Vec::new()
        }
    }

    fn committed(&self, (events, _): (&[Arc<Event>], &[i64]), runs: &[Arc<Run>]) {
        self.heard.lock().unwrap().extend(events.iter().map(|event| event.position));
        self.runs.lock().unwrap().extend(runs.iter().cloned());
    }
}

/// Holds the committer up in its first commit until it is let go.
#[derive(Default)]
struct Gate {
    reached: AtomicU64,
    open: AtomicU64,
}

impl Hooks for Gate {
    fn matches(&self, _event: &Event, _record: Option<&Record>) -> Vec<Match> {
        self.reached.store(1, Ordering::SeqCst);
        while self.open.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        Vec::new()
    }

    fn committed(&self, _events: (&[Arc<Event>], &[i64]), _runs: &[Arc<Run>]) {}
}

/// Commits `units` as one group: they wait together while the committer is held up in a commit before.
pub(crate) async fn in_one_group(store: &Store, units: Vec<UnitOfWork>) -> Vec<Result<Committed, StoreError>> {
    let gate = Arc::new(Gate::default());
    store.set_hooks(gate.clone());
    let count = units.len() as u64;
    let mut first = unit();
    first.events = vec![NewEvent { origin: None, ..paid("gate", None) }];
    let (one, all) = (store.clone(), store.clone());
    let held = tokio::spawn(async move { one.commit(first).await.unwrap() });
    while gate.reached.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let task = tokio::spawn(async move { all.commit_all(units).await });
    while store.stats().queued < count {
        tokio::task::yield_now().await;
    }
    gate.open.store(1, Ordering::SeqCst);
    held.await.unwrap();
    task.await.unwrap()
}

/// What takes the table of words back to how it was at version 12: fields told how many words they have in rows of their own.
pub(crate) const WORDS_TO_VERSION_12: &str = "create table search_kept as \
    select object, term, field, id, hits from search_term union all \
    select object, '' as term, field, id, cast(sum(hits) as bigint) as hits from search_term group by object, field, id; \
    drop table search_term; alter table search_kept rename to search_term";
