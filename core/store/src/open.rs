//! Opens a workspace: keeps a second process out, brings the tables up to date, declares what every workspace has.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rapport_model::rollup::Rollups;
use rapport_model::schema::SchemaChange;
use rapport_model::{Actor, Clock, standard};
use tokio::sync::{RwLock, mpsc, watch};
use uuid::Uuid;

use crate::audit::{hex, unhex};
use crate::cache::RecordCache;
use crate::commit::{Committer, lock_workspace};
use crate::config::{Database, StoreConfig};
use crate::db::{Cell, Conn, Pool, Query};
use crate::error::StoreError;
use crate::head;
use crate::hooks::{Hooks, NoHooks};
use crate::migrate;
use crate::registry;
use crate::rule_sql::Dialect;
use crate::seal::{Salts, genesis};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::store::Store;
use crate::unit::UnitOfWork;

/// SQLite before this can lose commits when a checkpoint on one connection races a commit on another.
const SQLITE_LEAST: &str = "3.51.3";

/// Where the secret stands in the table `meta`.
const SECRET: &str = "secret";

/// The lock that keeps a second process from an SQLite file. Held until it is dropped, or the process ends.
pub(crate) type FileLock = Option<File>;

/// Opens the workspace that `config` names.
pub(crate) async fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
    let lock = lock_file(&config.database)?;
    let counters = Arc::new(Counters::default());
    let mut conn = Conn::open(&config, counters.clone()).await?;
    match conn.dialect() {
        Dialect::Sqlite => check_sqlite(&mut conn).await?,
        Dialect::Postgres => lock_workspace(&mut conn).await?,
    }
    migrate::migrate(&mut conn).await?;
    let workspace = found_workspace(&mut conn, &clock).await?;
    let secret = found_secret(&mut conn).await?;
    let schema = registry::load(&mut conn).await?;
    let head = head::load(&mut conn).await?;
    let hooks: Arc<dyn Hooks> = Arc::new(NoHooks);
    let (sender, queue) = mpsc::channel(config.queue_units_max.max(1));
    let shared = Arc::new(Shared {
        pool: Pool::open(&config)?,
        cache: RecordCache::new(config.cache_records),
        turn: RwLock::default(),
        config,
        clock,
        workspace,
        secret,
        rollups: ArcSwap::from_pointee((schema.epoch, Arc::new(Rollups::new(&schema)))),
        schema: ArcSwap::from_pointee(schema),
        hooks: ArcSwap::from_pointee(hooks),
        counters,
        head: watch::channel(head.position).0,
        fatal: watch::channel(None).0,
        run_counts: Mutex::new(head.run_counts.clone()),
        joined: std::sync::atomic::AtomicBool::new(false),
    });
    let committer = Committer {
        shared: shared.clone(),
        conn,
        open: false,
        head,
        known_runs: HashMap::new(),
        salts: Salts::default(),
        checkpoint_at: 0,
        lock,
    };
    let task = tokio::spawn(committer.run(queue));
    let store = Store::new(shared, sender, task);
    declare_standard(&store).await?;
    store.fill_search().await;
    store.fill_match_keys().await;
    Ok(store)
}

/// The lock file of a database.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

/// Takes the lock of an SQLite file, making its folder first.
pub(crate) fn lock_file(database: &Database) -> Result<FileLock, StoreError> {
    let Database::Sqlite { path } = database else { return Ok(None) };
    let lock = lock_path(path);
    let failed = |why: std::io::Error| StoreError::File { path: lock.display().to_string(), why: why.to_string() };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = File::options().create(true).append(true).open(&lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked { what: path.display().to_string() }),
        Err(std::fs::TryLockError::Error(why)) => Err(failed(why)),
    }
}

async fn check_sqlite(conn: &mut Conn) -> Result<(), StoreError> {
    let rows = conn.fetch(Query::new("select sqlite_version()", Vec::new())).await?;
    let found = rows.first().map(|row| row.text(0)).transpose()?.unwrap_or_default();
    if is_safe(&found) { Ok(()) } else { Err(StoreError::UnsafeSqlite { found, least: SQLITE_LEAST }) }
}

/// Whether this version of SQLite is [`SQLITE_LEAST`] or later.
fn is_safe(version: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> { text.split('.').map(|part| part.parse().ok()).collect() };
    match (numbers(version), numbers(SQLITE_LEAST)) {
        (Some(found), Some(least)) => found >= least,
        _ => false,
    }
}

const PUT_HEAD: &str = "insert into log_head (id, position, hash, commits, run_counts) values (1, 0, $1, 0, '{}')";
const COUNT_HEAD: &str = "select count(*) from log_head";

/// The id of the workspace; a new workspace gets one, and the head of its log.
async fn found_workspace(conn: &mut Conn, clock: &Arc<dyn Clock>) -> Result<String, StoreError> {
    let known = migrate::meta(conn, "workspace").await?;
    let workspace = if let Some(workspace) = known { workspace } else { name_workspace(conn, clock).await? };
    Uuid::parse_str(&workspace)
        .map_err(|e| StoreError::Corrupt { what: "meta".into(), why: format!("workspace: {e}") })?;
    let rows = conn.fetch(Query::new(COUNT_HEAD, Vec::new())).await?;
    if rows.first().map(|row| row.int(0)).transpose()? == Some(0) {
        conn.execute(Query::new(PUT_HEAD, vec![Cell::Bytes(genesis(&workspace).0.to_vec())])).await?;
    }
    Ok(workspace)
}

/// Gives the workspace its id, a `UUIDv7`.
async fn name_workspace(conn: &mut Conn, clock: &Arc<dyn Clock>) -> Result<String, StoreError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|e| StoreError::Unavailable(format!("no random bytes: {e}")))?;
    let millis = u64::try_from(clock.now().micros() / 1000).unwrap_or(0);
    let workspace = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string();
    migrate::set_meta(conn, "created_at", &clock.now().to_string()).await?;
    migrate::set_meta(conn, "workspace", &workspace).await?;
    Ok(workspace)
}

/// The secret of the workspace; one that has none yet gets it.
async fn found_secret(conn: &mut Conn) -> Result<[u8; 32], StoreError> {
    let corrupt = |why: &str| StoreError::Corrupt { what: "meta".into(), why: format!("secret: {why}") };
    if let Some(known) = migrate::meta(conn, SECRET).await? {
        return unhex(&known).ok_or_else(|| corrupt("it is no 64 hexadecimal digits"));
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| StoreError::Unavailable(format!("no random bytes: {e}")))?;
    migrate::set_meta(conn, SECRET, &hex(&secret)).await?;
    Ok(secret)
}

/// Declares the objects and event types that every workspace has. What is there already is left alone.
async fn declare_standard(store: &Store) -> Result<(), StoreError> {
    let mut changes: Vec<SchemaChange> = standard::objects().into_iter().map(SchemaChange::AddObject).collect();
    changes.extend(standard::event_types().into_iter().map(SchemaChange::AddEventType));
    let shared = store.shared();
    let planned = registry::plan(&shared.schema.load(), &changes, shared.pool.dialect())?;
    if planned.effective.is_empty() {
        return Ok(());
    }
    let mut unit = UnitOfWork::new(shared.clock.now(), Actor::System);
    unit.schema = changes;
    store.commit(unit).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_versions_compare_by_number() {
        for safe in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in ["3.51.2", "3.7.0", "3.9.99", "2.99.99", "", "3.x.1", "3.51"] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }

    #[test]
    fn the_lock_lies_beside_the_database() {
        assert_eq!(lock_path(Path::new("data/rapport.db")), Path::new("data/rapport.db.lock"));
    }
}
