//! Copies a workspace while it works, and puts a copy back.
//!
//! A backup is a folder: `manifest.json`, written last, says what must be in it; the data lie beside it. On SQLite that is
//! `rapport.db`, made by `vacuum into` from one snapshot; on PostgreSQL one file per table in `copy`'s text format, all from one
//! snapshot. A restore checks the rows of every table and the whole chain before it calls itself done.

mod postgres;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rapport_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit::verify_log;
use crate::config::{Database, StoreConfig};
use crate::db::{Cell, Conn, Pool, Query, Reader};
use crate::error::StoreError;
use crate::migrate;
use crate::open::lock_file;
use crate::shared::Shared;

const MANIFEST: &str = "manifest.json";
const SQLITE_FILE: &str = "rapport.db";
/// The tables that every workspace has, each after those it refers to, with the first and the last schema version that has it.
/// Locks begin anew in a copy.
const SYSTEM_TABLES: [(&str, i64, i64); 21] = [
    ("meta", 1, i64::MAX),
    ("log_head", 1, i64::MAX),
    ("object_def", 1, i64::MAX),
    ("field_def", 1, i64::MAX),
    ("event_type_def", 1, i64::MAX),
    ("artifact", 1, i64::MAX),
    ("automation", 1, i64::MAX),
    ("idempotency", 1, i64::MAX),
    ("event", 1, i64::MAX),
    ("run", 1, i64::MAX),
    ("journal", 2, i64::MAX),
    ("wait", 2, 4),
    ("awaited", 5, i64::MAX),
    ("effect", 3, i64::MAX),
    ("blob", 7, i64::MAX),
    ("search_term", 8, i64::MAX),
    ("search_fill", 8, i64::MAX),
    ("record_tag", 10, i64::MAX),
    ("segment_stay", 11, i64::MAX),
    ("segment_progress", 11, i64::MAX),
    ("match_key", 12, i64::MAX),
];
const SELECT_OBJECT_NAMES: &str = "select name from object_def order by seq";
const SELECT_VERSION: &str = "select value from meta where key = 'schema_version'";
const SELECT_HEAD: &str = "select h.position, h.hash, m.value from log_head as h, meta as m where m.key = 'workspace'";

/// What a backup holds: its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupReport {
    /// `sqlite` or `postgres`.
    pub database: String,
    /// The workspace.
    pub workspace: String,
    /// When it was taken.
    pub time: Timestamp,
    /// The schema version of the database.
    pub schema_version: i64,
    /// The last position of the log.
    pub head_position: i64,
    /// The hash of the event there.
    pub head_hash: Digest,
    /// The rows of each table.
    pub rows: BTreeMap<String, u64>,
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |why| StoreError::File { path: path.display().to_string(), why: why.to_string() }
}

/// Runs file work where it holds nobody up.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Unavailable(e.to_string()))?
}

/// The tables of a database of this version.
fn system_tables(version: i64) -> impl Iterator<Item = &'static str> {
    SYSTEM_TABLES.iter().filter(move |(_, first, last)| (*first..=*last).contains(&version)).map(|(table, ..)| *table)
}

/// Reads what a manifest says of a database.
async fn survey(reader: &mut Reader<'_>, database: &str, time: Timestamp) -> Result<BackupReport, StoreError> {
    let heads = reader.fetch(Query::new(SELECT_HEAD, Vec::new())).await?;
    let missing = || StoreError::Corrupt { what: "log_head".into(), why: "its row is missing".into() };
    let head = heads.first().ok_or_else(missing)?;
    let versions = reader.fetch(Query::new(SELECT_VERSION, Vec::new())).await?;
    let version = versions.first().map(|row| row.text(0)).transpose()?.and_then(|text| text.parse().ok());
    let version: i64 = version.ok_or_else(missing)?;
    let mut tables: Vec<String> = system_tables(version).map(ToOwned::to_owned).collect();
    for row in reader.fetch(Query::new(SELECT_OBJECT_NAMES, Vec::new())).await? {
        tables.push(format!("o_{}", row.text(0)?));
    }
    let mut rows = BTreeMap::new();
    for table in tables {
        let counted = reader.fetch(Query::new(&format!("select count(*) from \"{table}\""), Vec::new())).await?;
        let count = counted.first().map(|row| row.int(0)).transpose()?.unwrap_or(0);
        rows.insert(table, u64::try_from(count).unwrap_or(0));
    }
    Ok(BackupReport {
        database: database.to_owned(),
        workspace: head.text(2)?,
        time,
        schema_version: version,
        head_position: head.int(0)?,
        head_hash: head.digest(1)?,
        rows,
    })
}

/// Makes the folder of a backup, which must hold nothing yet.
fn empty_folder(to: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(to).map_err(file_error(to))?;
    let mut entries = std::fs::read_dir(to).map_err(file_error(to))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(StoreError::File { path: to.display().to_string(), why: "the folder is not empty".into() }),
    }
}

/// Writes a file so that it is either whole or not there, even if the power fails.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let draft = path.with_extension("part");
    std::fs::write(&draft, bytes).map_err(file_error(&draft))?;
    sync(&draft)?;
    std::fs::rename(&draft, path).map_err(file_error(path))?;
    path.parent().map_or(Ok(()), sync)
}

/// Waits until a file or folder has reached the disk.
fn sync(path: &Path) -> Result<(), StoreError> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(file_error(path))
}

pub(crate) async fn backup(shared: &Shared, to: &Path) -> Result<BackupReport, StoreError> {
    let folder = to.to_owned();
    off_thread(move || empty_folder(&folder)).await?;
    let time = shared.clock.now();
    let report = match &shared.config.database {
        Database::Sqlite { .. } => copy_sqlite(shared, to, time).await?,
        Database::Postgres { .. } => postgres::copy_out(shared, to, time).await?,
    };
    let text = serde_json::to_vec_pretty(&report).expect("a manifest has text keys and whole numbers only");
    let path = to.join(MANIFEST);
    off_thread(move || write_whole(&path, &text)).await?;
    Ok(report)
}

/// The configuration of a connection of its own to `database`.
pub(crate) fn aside(database: Database) -> StoreConfig {
    StoreConfig { readers: 1, ..StoreConfig::new(database) }
}

async fn copy_sqlite(shared: &Shared, to: &Path, time: Timestamp) -> Result<BackupReport, StoreError> {
    let path = to.join(SQLITE_FILE);
    let mut conn = Conn::open(&aside(shared.config.database.clone()), shared.counters.clone()).await?;
    let target = Cell::Owned(path.display().to_string());
    let copied = conn.execute(Query::new("vacuum into $1", vec![target])).await;
    conn.close().await?;
    copied?;
    let pool = Pool::open(&aside(Database::Sqlite { path: path.clone() }))?;
    let report = survey(&mut Reader::Pool(&pool), "sqlite", time).await;
    pool.close().await;
    off_thread(move || sync(&path)).await?;
    report
}

pub(crate) async fn restore(from: &Path, database: &Database) -> Result<BackupReport, StoreError> {
    let manifest = from.join(MANIFEST);
    let text = off_thread(move || std::fs::read(&manifest).map_err(file_error(&manifest))).await?;
    let report: BackupReport = serde_json::from_slice(&text)
        .map_err(|e| StoreError::Corrupt { what: from.join(MANIFEST).display().to_string(), why: e.to_string() })?;
    if report.schema_version > migrate::VERSION {
        return Err(StoreError::Newer { found: report.schema_version, known: migrate::VERSION });
    }
    match (database, report.database.as_str()) {
        (Database::Sqlite { path }, "sqlite") => restore_sqlite(from, path, &report).await?,
        (Database::Postgres { .. }, "postgres") => postgres::copy_in(from, database, &report).await?,
        (_, kind) => return Err(StoreError::Invalid(format!("this is a backup of the kind `{kind}`"))),
    }
    Ok(report)
}

async fn restore_sqlite(from: &Path, path: &Path, report: &BackupReport) -> Result<(), StoreError> {
    let database = Database::Sqlite { path: path.to_owned() };
    let lock = lock_file(&database)?;
    if path.exists() {
        return Err(StoreError::Invalid(format!("{} is there already: restore into a new place", path.display())));
    }
    let (source, draft) = (from.join(SQLITE_FILE), draft_path(path));
    let copy = draft.clone();
    off_thread(move || {
        std::fs::copy(&source, &copy).map_err(file_error(&source))?;
        sync(&copy)
    })
    .await?;
    let checked = check_file(&draft, report).await;
    let path = path.to_owned();
    let finished = off_thread(move || match checked {
        Ok(()) => {
            std::fs::rename(&draft, &path).map_err(file_error(&path))?;
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Ok(()), sync)
        }
        Err(error) => {
            std::fs::remove_file(&draft).map_err(file_error(&draft))?;
            Err(error)
        }
    })
    .await;
    drop(lock);
    finished
}

fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    path.with_file_name(name)
}

/// Checks that a restored database is what the manifest says, chain and all.
async fn check_file(path: &Path, report: &BackupReport) -> Result<(), StoreError> {
    let pool = Pool::open(&aside(Database::Sqlite { path: path.to_owned() }))?;
    let checked = check(&mut Reader::Pool(&pool), report).await;
    pool.close().await;
    checked
}

async fn check(reader: &mut Reader<'_>, report: &BackupReport) -> Result<(), StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what: "the backup".into(), why };
    let found = survey(reader, &report.database, report.time).await?;
    for (table, count) in &report.rows {
        if found.rows.get(table) != Some(count) {
            let here = found.rows.get(table).copied().unwrap_or(0);
            return Err(corrupt(format!("{table} has {here} rows, not {count}")));
        }
    }
    if found != *report {
        return Err(corrupt("it does not agree with its manifest".into()));
    }
    let verified = verify_log(reader, &report.workspace, (0, report.head_position), &|_| {}).await?;
    match verified.first_bad {
        Some(bad) => Err(corrupt(format!("the event at position {}: {}", bad.position, bad.why))),
        None if verified.head_hash != report.head_hash => Err(corrupt("the chain ends elsewhere".into())),
        None => Ok(()),
    }
}
