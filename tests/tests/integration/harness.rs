//! A whole Rapport in this process, on a database of its own, and the helpers that stories are told with.
//!
//! Dropped, a [`TestApp`] fails the story if runs are left over or dead that the story did not announce.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rapport_model::Timestamp;
use rapport_model::limits::Limits;
use rapport_model::time::{Clock, WallClock};
use rapport_server::app::{App, AppOptions};
use rapport_server::config::{Config, Secret};
use rapport_server::outbound::{NamedSecret, Secrets};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;

/// How long anything may take to become true.
const PATIENCE: Duration = Duration::from_secs(30);

/// The databases that every story runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// The address of a new, empty database; none for the one in the data folder.
    pub(crate) fn url(self) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(rapport_test_support::pg::url()),
        }
    }
}

/// Makes of each story one test on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$name(crate::harness::Database::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$name(crate::harness::Database::Postgres).await;
            }
        })*
    };
}
pub(crate) use on_both;

/// What a story needs before it begins.
#[derive(Debug)]
pub(crate) struct Setup {
    database: Database,
    folder: Arc<TempDir>,
    config: Config,
    clock: Arc<dyn Clock>,
}

/// A running Rapport. It is a [`Client`] with the owner's key.
pub(crate) struct TestApp {
    app: Option<App>,
    client: Client,
    config: Config,
    notices: Arc<Mutex<Vec<String>>>,
    pub(crate) folder: Arc<TempDir>,
    dead_expected: AtomicU64,
}

impl std::ops::Deref for TestApp {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestApp {
    /// A workspace without automations.
    pub(crate) async fn start(database: Database) -> Self {
        Self::on(database).start().await
    }

    /// A workspace to be furnished.
    pub(crate) fn on(database: Database) -> Setup {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        for name in ["scripts", "plugins"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let limits = Limits { run_backoff_ms: 5, run_backoff_ms_max: 20, ..Limits::default() };
        let config = Config { limits, ..Config::default() };
        Setup { database, folder, config, clock: Arc::new(WallClock) }
    }

    /// Waits until no run is left to do.
    pub(crate) async fn run_until_idle(&self) {
        let engine = self.app.as_ref().unwrap().engine();
        tokio::time::timeout(PATIENCE, engine.idle())
            .await
            .unwrap_or_else(|_| panic!("still busy: {:?}", engine.metrics()));
    }

    /// Deals with the schedules that are due at `now`, and waits until no run is left to do.
    pub(crate) async fn tick(&self, now: Timestamp) {
        self.app.as_ref().unwrap().engine().tick_schedules(now).await.unwrap();
        self.run_until_idle().await;
    }

    /// Lets the watchdog go on; says how much each check has found.
    pub(crate) async fn tick_watchdog(&self, now: Timestamp) -> Vec<(&'static str, u64)> {
        self.app.as_ref().unwrap().engine().tick_watchdog(now).await.findings
    }

    /// Clears away the bytes of files that went long enough ago; says how many.
    pub(crate) async fn sweep_files(&self) -> u64 {
        self.app.as_ref().unwrap().engine().sweep_files().await.unwrap()
    }

    /// Starts everything that is due at the clock's instant, and waits until it is done.
    pub(crate) async fn settle(&self) {
        let settled = tokio::time::timeout(PATIENCE, self.app.as_ref().unwrap().engine().settle()).await;
        settled.unwrap_or_else(|_| panic!("still busy"));
    }

    /// Announces that `count` runs end dead in this story.
    pub(crate) fn expect_dead(&self, count: u64) {
        self.dead_expected.store(count, Ordering::SeqCst);
    }

    /// Stops the server as SIGTERM does; the folder lives as long as what is returned.
    pub(crate) async fn stop(mut self) -> Arc<TempDir> {
        self.app.take().unwrap().shutdown().await;
        Arc::clone(&self.folder)
    }

    /// The address of its database; empty for the one in the data folder.
    pub(crate) fn database_url(&self) -> String {
        self.config.storage.database.reveal().to_owned()
    }

    /// What the person at the terminal was told.
    pub(crate) fn notices(&self) -> String {
        self.notices.lock().unwrap().join("\n")
    }

    /// The path of a script in the folder that the server reads.
    pub(crate) fn script_path(&self, id: &str) -> PathBuf {
        self.folder.path().join("scripts").join(format!("{id}.rhai"))
    }

    /// Stops the server, lets something happen to its data, and starts it again.
    pub(crate) async fn restart_after(self, between: impl AsyncFnOnce()) -> Self {
        self.restart_with(Arc::new(WallClock), between).await
    }

    /// The same on a clock.
    pub(crate) async fn restart_with(mut self, clock: Arc<dyn Clock>, between: impl AsyncFnOnce()) -> Self {
        self.app.take().unwrap().shutdown().await;
        between().await;
        let (folder, config) = (Arc::clone(&self.folder), self.config.clone());
        Setup { database: Database::Sqlite, folder, config, clock }.run().await
    }

    /// Stops the server as SIGTERM does and starts it again on the same data.
    pub(crate) async fn restart(mut self, setup: impl FnOnce(Setup) -> Setup) -> Self {
        self.app.take().unwrap().shutdown().await;
        let (folder, config) = (Arc::clone(&self.folder), self.config.clone());
        setup(Setup { database: Database::Sqlite, folder, config, clock: Arc::new(WallClock) }).run().await
    }

    /// The numbers of the log's events, oldest first.
    pub(crate) async fn log(&self) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        loop {
            let after = found.last().map_or(0, |e| e["position"].as_i64().unwrap());
            let page = self.get(&format!("/v1/events?after={after}&limit=1000")).await.expect(200).items();
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    }

    /// Every record of an object, page by page.
    pub(crate) async fn all(&self, object: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/records/{object}?limit=1000{cursor}")).await.expect(200);
            found.extend(page.items());
            let Some(next) = page.json()["next"].as_str().map(|next| format!("&cursor={next}")) else { return found };
            cursor = next;
        }
    }

    /// A new customer of that number.
    pub(crate) async fn customer(&self, number: &str) -> Value {
        self.post("/v1/records/customer", json!({ "customer_no": number })).await.expect(201).json()
    }

    /// One field of a customer.
    pub(crate) async fn customer_field(&self, number: &str, field: &str) -> Value {
        self.get(&format!("/v1/records/customer/customer_no:{number}")).await.expect(200).json()[field].clone()
    }

    /// The runs that a query finds, newest first.
    pub(crate) async fn runs(&self, query: &str) -> Vec<Value> {
        self.get(&format!("/v1/runs?limit=1000&{query}")).await.expect(200).items()
    }
}

/// What the manifest of the keeper says: it does what the notes of new customers of its country say.
pub(crate) fn keeper_manifest(id: &str, rights: &[&str], rest: &str) -> String {
    let head = format!("id = \"{id}\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"Keeps\"\n");
    let trigger = format!("[[triggers]]\nevent = \"customer.created\"\ncondition = \"country == '{id}'\"\n");
    let right = |right: &&str| format!("[[capabilities]]\nright = \"{right}\"\nreason = \"it keeps\"\n");
    let own = ["customer:read", "customer.postcode:write"];
    let rights: String = own.iter().chain(rights).map(right).collect();
    format!("{head}{trigger}{rights}{rest}")
}

/// What the manifest of a kiosk says.
pub(crate) fn kiosk_manifest(id: &str, version: &str, rest: &str) -> String {
    format!("id = \"{id}\"\nversion = \"{version}\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"A kiosk\"\n{rest}")
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let Some(app) = self.app.take() else { return };
        if std::thread::panicking() {
            return;
        }
        // A run shows that it has ended a moment before its lane is free.
        let began = Instant::now();
        let is_busy = || app.engine().metrics().load.running > 0;
        while is_busy() && began.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let metrics = app.engine().metrics();
        let dead = self.dead_expected.load(Ordering::SeqCst);
        assert_eq!(metrics.dead_total, dead, "runs died: {metrics:?}");
        let open = (metrics.load.queued, metrics.load.running, metrics.load.sleeping);
        assert_eq!(open, (0, 0, 0), "runs are left over: {metrics:?}");
    }
}

impl Setup {
    /// Puts a script into the folder that the server reads at its start.
    pub(crate) fn script(self, id: &str, source: &str) -> Self {
        let path = self.folder.path().join("scripts").join(format!("{id}.rhai"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, source).unwrap();
        self
    }

    /// Puts the script of the demo there.
    pub(crate) fn points_script(self) -> Self {
        self.own_script("loyalty/points")
    }

    /// Installs the plugin of the demo.
    pub(crate) fn tiers_plugin(self) -> Self {
        let manifest = std::fs::read_to_string(project().join("plugins/tiers/plugin.toml")).unwrap();
        self.tiers_plugin_with(&manifest)
    }

    /// Installs the component of the demo's plugin under another manifest.
    pub(crate) fn tiers_plugin_with(self, manifest: &str) -> Self {
        let folder = self.folder.path().join("plugins/tiers");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::copy(env!("TIERS_COMPONENT"), folder.join("tiers.wasm")).unwrap();
        self
    }

    /// Installs the points program, with settings of its own.
    pub(crate) fn loyalty_plugin(self, settings: &str) -> Self {
        self.own_plugin("loyalty", settings)
    }

    /// Installs the surveys, with settings of its own.
    pub(crate) fn survey_plugin(self, settings: &str) -> Self {
        self.own_plugin("survey", settings)
    }

    /// Installs one of the project's plugins, with these settings in place of its own.
    pub(crate) fn own_plugin(self, name: &str, settings: &str) -> Self {
        let folder = self.folder.path().join("plugins").join(name);
        copy_plugin(name, &folder);
        let manifest = std::fs::read_to_string(folder.join("plugin.toml")).unwrap();
        let (before, own) = manifest.split_once("[settings]\n").unwrap();
        let named = |line: &&str| settings.lines().all(|set| line.split(" = ").next() != set.split(" = ").next());
        let kept: Vec<&str> = own.lines().filter(named).collect();
        std::fs::write(folder.join("plugin.toml"), format!("{before}[settings]\n{settings}\n{}\n", kept.join("\n")))
            .unwrap();
        self
    }

    /// Puts a script of the project there.
    pub(crate) fn own_script(self, id: &str) -> Self {
        let source = std::fs::read_to_string(project().join("scripts").join(format!("{id}.rhai"))).unwrap();
        self.script(id, &source)
    }

    /// Installs the SDK's example of a plugin that schedules start; `rest` is what its manifest says beside its head.
    pub(crate) fn ticker_plugin(self, rest: &str) -> Self {
        let folder = self.folder.path().join("plugins/ticker");
        std::fs::create_dir_all(&folder).unwrap();
        let head = "id = \"ticker\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"Ticks\"\n";
        std::fs::write(folder.join("plugin.toml"), format!("{head}{rest}")).unwrap();
        std::fs::copy(env!("TICKER_COMPONENT"), folder.join("ticker.wasm")).unwrap();
        self
    }

    /// Installs the SDK's example of a plugin that keeps something and reads in bulk, under the name `id` with these rights.
    pub(crate) fn keeper_plugin(self, id: &str, rights: &[&str], rest: &str) -> Self {
        let folder = self.folder.path().join("plugins").join(id);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("plugin.toml"), keeper_manifest(id, rights, rest)).unwrap();
        std::fs::copy(env!("KEEPER_COMPONENT"), folder.join(format!("{id}.wasm"))).unwrap();
        self
    }

    /// Installs the SDK's example of a plugin that waits.
    pub(crate) fn patient_plugin(self) -> Self {
        let folder = self.folder.path().join("plugins/patient");
        std::fs::create_dir_all(&folder).unwrap();
        let rights = ["customer:read", "customer.notes:write", "order:read", "task:create"];
        let right = |right: &str| format!("[[capabilities]]\nright = \"{right}\"\nreason = \"it waits\"\n");
        let trigger = "[[triggers]]\nevent = \"order.created\"\ncondition = \"amount < 0\"\n";
        let head = "id = \"patient\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"Waits\"\n";
        let manifest = format!("{head}{trigger}{}", rights.map(right).concat());
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::copy(env!("PATIENT_COMPONENT"), folder.join("patient.wasm")).unwrap();
        self
    }

    /// Installs the SDK's example of a plugin that is invoked and invokes.
    pub(crate) fn teller_plugin(self) -> Self {
        let folder = self.folder.path().join("plugins/teller");
        std::fs::create_dir_all(&folder).unwrap();
        let rights =
            ["customer:read", "customer.notes:write", "order:read", "task:create", "task:read", "invoke:credit-check"];
        let right = |right: &str| format!("[[capabilities]]\nright = \"{right}\"\nreason = \"it counts\"\n");
        let trigger = "[[triggers]]\nevent = \"order.created\"\ncondition = \"amount > 1000\"\n";
        let head = "id = \"teller\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"Counts\"\n";
        let manifest = format!("{head}invocable = true\n{trigger}{}", rights.map(right).concat());
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::copy(env!("TELLER_COMPONENT"), folder.join("teller.wasm")).unwrap();
        self
    }

    /// Installs the SDK's example of a plugin of actions as the plugin `id`; `rest` is what its manifest says beside its head.
    pub(crate) fn till_plugin(self, id: &str, rest: &str) -> Self {
        let folder = self.folder.path().join("plugins").join(id);
        std::fs::create_dir_all(&folder).unwrap();
        let head =
            format!("id = \"{id}\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"A till\"\n");
        std::fs::write(folder.join("plugin.toml"), format!("{head}compensate = true\n{rest}")).unwrap();
        std::fs::copy(env!("TILL_COMPONENT"), folder.join(format!("{id}.wasm"))).unwrap();
        self
    }

    /// Installs the SDK's example of a plugin of pages as the plugin `id`; `rest` is what its manifest says beside its head.
    pub(crate) fn kiosk_plugin(self, id: &str, rest: &str) -> Self {
        let folder = self.folder.path().join("plugins").join(id);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("plugin.toml"), kiosk_manifest(id, "0.1.0", rest)).unwrap();
        std::fs::copy(env!("KIOSK_COMPONENT"), folder.join(format!("{id}.wasm"))).unwrap();
        self
    }

    /// Installs the SDK's example of a plugin that moves its data as the plugin `cards`, with this manifest.
    pub(crate) fn cards_plugin(self, manifest: &str) -> Self {
        let folder = self.folder.path().join("plugins/cards");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::copy(env!("MOVER_COMPONENT"), folder.join("cards.wasm")).unwrap();
        self
    }

    /// Installs the SDK's example of a plugin that judges changes as the plugin `id`; `rest` is what its manifest says beside its head.
    pub(crate) fn warden_plugin(self, id: &str, rest: &str) -> Self {
        let folder = self.folder.path().join("plugins").join(id);
        std::fs::create_dir_all(&folder).unwrap();
        let head =
            format!("id = \"{id}\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"A warden\"\n");
        std::fs::write(folder.join("plugin.toml"), format!("{head}{rest}")).unwrap();
        std::fs::copy(env!("WARDEN_COMPONENT"), folder.join(format!("{id}.wasm"))).unwrap();
        self
    }

    /// Keeps a secret in the data folder.
    pub(crate) fn secret(self, name: &str, value: &str) -> Self {
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let secret = NamedSecret::new(value, &["partner.example".to_owned()]).unwrap();
        Secrets::new(&data).set(name, &secret).unwrap();
        self
    }

    /// A path in the folder of the workspace.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets the clock that everything goes by.
    pub(crate) fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Changes the configuration.
    pub(crate) fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts it on a new database.
    pub(crate) async fn start(mut self) -> TestApp {
        let folder = self.folder.path();
        self.config.storage.data = folder.join("data");
        share_compiled_code(&self.config.storage.data);
        self.config.storage.database = Secret::new(self.database.url().unwrap_or_default());
        self.config.server.listen = "127.0.0.1:0".to_owned();
        self.config.automations.scripts = folder.join("scripts");
        self.config.automations.plugins = folder.join("plugins");
        self.run().await
    }

    async fn run(self) -> TestApp {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notices);
        let options = AppOptions {
            config: self.config.clone(),
            clock: self.clock,
            notices: Arc::new(move |text| kept.lock().unwrap().push(text.to_owned())),
        };
        let app = App::start_with(options).await.unwrap();
        let client = Client { address: app.address().to_string(), key: Some(app.owner_key().unwrap()) };
        let dead_expected = AtomicU64::new(0);
        TestApp { app: Some(app), client, config: self.config, notices, folder: self.folder, dead_expected }
    }
}

/// Lets a workspace use what others have compiled: a compiler without optimisation needs seconds for the interpreter.
pub(crate) fn share_compiled_code(data: &Path) {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::create_dir_all(data).unwrap();
    let place = data.join("compiled");
    if !place.exists() {
        std::os::unix::fs::symlink(shared, place).unwrap();
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// Puts a plugin of the project, built, into `folder`.
pub(crate) fn copy_plugin(name: &str, folder: &Path) {
    let component = match name {
        "desk" => env!("DESK_COMPONENT"),
        "loyalty" => env!("LOYALTY_COMPONENT"),
        "survey" => env!("SURVEY_COMPONENT"),
        other => panic!("{other} is not built for the tests"),
    };
    let source = project().join("plugins").join(name);
    std::fs::create_dir_all(folder).unwrap();
    for part in [format!("{name}.test"), "templates".to_owned()] {
        if source.join(&part).is_dir() {
            copy(&source.join(&part), &folder.join(&part));
        }
    }
    std::fs::copy(source.join("plugin.toml"), folder.join("plugin.toml")).unwrap();
    std::fs::copy(component, folder.join(format!("{name}.wasm"))).unwrap();
}

/// The root folder of the project; asked when it runs, since a clone that shares the target folder shares this program, too.
pub(crate) fn project() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().unwrap().to_path_buf()
}

/// Asks again and again until there is an answer; fails the story if it takes too long.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A `CloudEvent` in its plain form.
pub(crate) fn event(id: &str, kind: &str, subject: &str, data: impl Into<Value>) -> Value {
    let data = data.into();
    json!({ "specversion": "1.0", "id": id, "source": "test", "type": kind, "subject": subject, "data": data })
}

/// A paid order of a customer.
pub(crate) fn order_paid(id: &str, customer: &str, amount: &str) -> Value {
    event(id, "order.paid", &format!("customer/customer_no:{customer}"), json!({ "order_no": id, "amount": amount }))
}
