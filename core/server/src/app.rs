//! The composition root: opens store, sandbox and engine, loads scripts and plugins, and serves.
//!
//! ```text
//! start: bind ▶ store ▶ sandbox ▶ engine ▶ owner's key ▶ scripts, plugins ▶ serve
//! stop:  streams end ▶ no new connections ▶ requests finish ▶ engine drains ▶ store closes
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rapport_engine::{Engine, EngineConfig, EngineError};
use rapport_model::Clock;
use rapport_model::time::WallClock;
use rapport_sandbox::{Sandbox, SandboxConfig, SandboxError};
use rapport_store::{Database, Store, StoreConfig, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, StorageConfig};
use crate::http::{Parts, SCRATCH_FOLDER, Service};
use crate::loader::{Loader, Notices};
use crate::outbound::{Outbound, OutboundError};
use crate::{listener, secret_file};

/// The file in the data folder that holds the owner's key.
pub const OWNER_KEY_FILE: &str = "owner.key";
/// The file in the data folder that says where the server listens, while it does.
pub const ADDRESS_FILE: &str = "server.addr";
/// The embedded database in the data folder.
pub const DATABASE_FILE: &str = "rapport.sqlite";

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder cannot be made or written.
    #[error("the data folder `{path}`: {source}")]
    Data {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A folder of scripts or plugins cannot be read.
    #[error("cannot read the folder of scripts or plugins: {0}")]
    Folder(io::Error),
    /// The store did not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox did not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// What may leave is configured in a way that cannot be.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How a server is started.
#[derive(Clone)]
pub struct AppOptions {
    /// The configuration.
    pub config: Config,
    /// The clock that everything goes by.
    pub clock: Arc<dyn Clock>,
    /// Takes what the person at the terminal should read: scripts that went live, or did not.
    pub notices: Notices,
}

impl AppOptions {
    /// The configuration with the wall clock, notices going to the standard error stream.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, clock: Arc::new(WallClock), notices: Arc::new(|text| eprintln!("{text}")) }
    }
}

/// A running server.
pub struct App {
    address: SocketAddr,
    engine: Engine,
    data: PathBuf,
    new_owner_key: bool,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    watcher: Option<JoinHandle<()>>,
}

impl App {
    /// Starts a server with notices going to the standard error stream: see [`App::start_with`].
    ///
    /// # Errors
    /// [`AppError`] as for [`App::start_with`].
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        Self::start_with(AppOptions { clock, ..AppOptions::new(config) }).await
    }

    /// Starts a server; it takes requests when this returns.
    ///
    /// At the first start of a workspace the owner's key is written to [`OWNER_KEY_FILE`] in the data folder.
    ///
    /// # Errors
    /// [`AppError`] if the address is taken, the data folder cannot be used or belongs to another process, or the database is
    /// newer than this program. A script or plugin that is broken is no error: it is reported, and the rest goes on.
    pub async fn start_with(options: AppOptions) -> Result<Self, AppError> {
        let AppOptions { config, clock, notices } = options;
        let data = config.storage.data.clone();
        secret_file::make_folder(&data).map_err(|source| AppError::Data { path: data.clone(), source })?;
        let bind = |source| AppError::Listen { address: config.server.listen.clone(), source };
        let listener = TcpListener::bind(&config.server.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let engine = open_engine(&config, clock).await?;
        // What backtests of a process that was killed have left behind. The workspace is ours alone by now.
        let _ = std::fs::remove_dir_all(data.join(SCRATCH_FOLDER));
        let new_owner_key = write_owner_key(&engine, &data).await?;

        let mut loader = Loader::new(engine.clone(), config.scripts(), config.plugins(), notices);
        loader.load_all().await.map_err(AppError::Folder)?;
        let (stop, stopping) = watch::channel(false);
        let watcher = config.automations.watch.then(|| tokio::spawn(loader.watch(stopping.clone())));

        let limits = config.server.clone();
        let parts =
            Parts { engine: engine.clone(), limits: limits.clone(), data: data.clone(), stopping: stopping.clone() };
        let service = Service::new(parts);
        let server = tokio::spawn(async move { listener::serve(listener, service, &limits, stopping).await });
        let place = data.join(ADDRESS_FILE);
        std::fs::write(&place, format!("http://{address}\n"))
            .map_err(|source| AppError::Data { path: place.clone(), source })?;
        Ok(Self { address, engine, data, new_owner_key, stop, server, watcher })
    }

    /// The address that the server listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The file that holds the owner's key.
    #[must_use]
    pub fn owner_key_file(&self) -> PathBuf {
        self.data.join(OWNER_KEY_FILE)
    }

    /// Whether this start made the owner's key.
    #[must_use]
    pub const fn made_owner_key(&self) -> bool {
        self.new_owner_key
    }

    /// The owner's key, from its file.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn owner_key(&self) -> io::Result<String> {
        Ok(std::fs::read_to_string(self.owner_key_file())?.trim().to_owned())
    }

    /// Resolves with the reason when the database failed and the process must stop.
    pub async fn failed(&self) -> String {
        let mut fatal = self.engine.store().fatal();
        match fatal.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the store is gone".to_owned(),
        }
    }

    /// Stops: takes no more connections, finishes requests and slices in flight, closes the store.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        let _ = self.server.await;
        if let Some(watcher) = self.watcher {
            let _ = watcher.await;
        }
        if let Err(error) = self.engine.shutdown().await {
            tracing::error!(error = %error, "the store did not close cleanly; what was acknowledged is durable");
        }
        let _ = std::fs::remove_file(self.data.join(ADDRESS_FILE));
    }
}

/// Opens the workspace that `config` names, without serving it.
///
/// # Errors
/// [`AppError`] as for [`App::start_with`].
pub async fn open_engine(config: &Config, clock: Arc<dyn Clock>) -> Result<Engine, AppError> {
    let transport = Arc::new(Outbound::new(config, Arc::clone(&clock))?);
    let store = open_store(&config.storage, Arc::clone(&clock)).await?;
    let sandbox = sandbox(config)?;
    let (limits, files) = (config.limits.clone(), config.files.clone());
    let settings = EngineConfig { limits, transport, files, ..EngineConfig::default() };
    Ok(Engine::start(settings, store, sandbox, clock).await?)
}

/// The sandbox of a configuration.
///
/// # Errors
/// [`SandboxError`] if it cannot be set up on this machine.
pub fn sandbox(config: &Config) -> Result<Sandbox, SandboxError> {
    let cache_dir = Some(config.storage.data.join("compiled"));
    Sandbox::new(SandboxConfig { limits: config.limits.clone(), cache_dir, ..SandboxConfig::default() })
}

/// Opens the store alone.
///
/// # Errors
/// [`StoreError`] if it cannot be opened.
pub async fn open_store(storage: &StorageConfig, clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
    let mut config = StoreConfig::new(database(storage));
    config.cache_records = storage.cache_records;
    config.readers = storage.readers;
    config.database_bytes_max = Some(storage.database_bytes_max).filter(|bytes| *bytes > 0);
    Store::open(config, clock).await
}

/// The database that `storage` names.
#[must_use]
pub fn database(storage: &StorageConfig) -> Database {
    if storage.database.is_empty() {
        Database::Sqlite { path: storage.data.join(DATABASE_FILE) }
    } else {
        Database::Postgres { url: storage.database.reveal().to_owned() }
    }
}

/// Writes the owner's key if this is the workspace's first start; says whether it was.
async fn write_owner_key(engine: &Engine, data: &Path) -> Result<bool, AppError> {
    let Some(secret) = engine.ensure_owner_key().await? else { return Ok(false) };
    let path = data.join(OWNER_KEY_FILE);
    secret_file::write(&path, format!("{secret}\n").as_bytes()).map_err(|source| AppError::Data { path, source })?;
    Ok(true)
}
