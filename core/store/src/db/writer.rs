//! Writes transactions to SQLite on a thread of its own, row by row with prepared statements.
//!
//! Through sqlx a statement costs a hop to its thread and back, and a text for many rows is another one for every number of rows. Here
//! one hop carries a whole transaction, and a row costs its bind and its step: half of what sqlx's way cost at its best.
//! Everything else that the committer asks of SQLite goes through sqlx.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Error, OpenFlags};
use tokio::sync::oneshot;

use super::cell::Cell;
use super::error::{DbError, of_sqlite};
use super::rows::{Statement, Values};
use crate::config::Durability;
use crate::crash::crash_point;

/// How many prepared statements are kept.
const STATEMENTS_KEPT: usize = 400;

/// How the connection is opened.
#[derive(Debug, Clone)]
pub(super) struct WriterOptions {
    pub(super) path: PathBuf,
    /// The most pages that the database may have.
    pub(super) pages_max: Option<u64>,
    pub(super) durability: Durability,
}

enum Job {
    Transact(Vec<Statement>, oneshot::Sender<Result<(), DbError>>),
    Forget(oneshot::Sender<Result<(), DbError>>),
}

/// A connection to SQLite that only writes, and its thread.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

fn gone() -> DbError {
    DbError::Disconnected("the thread that writes is gone".into())
}

impl Writer {
    /// Opens the connection. The database is there already, and in WAL mode.
    pub(super) async fn open(options: WriterOptions) -> Result<Self, DbError> {
        let (jobs, queue) = mpsc::channel();
        let (opened, answer) = oneshot::channel();
        let work = move || match open(&options) {
            Ok(connection) => {
                opened.send(Ok(())).ok();
                work(&connection, &queue);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name("rapport-sqlite".into()).spawn(work);
        let thread = thread.map_err(|e| DbError::Other(format!("no thread: {e}")))?;
        answer.await.map_err(|_| gone())??;
        Ok(Self { jobs, thread })
    }

    async fn ask(&self, job: impl FnOnce(oneshot::Sender<Result<(), DbError>>) -> Job) -> Result<(), DbError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Runs `statements` in one transaction. After an error nothing of them is there.
    pub(super) async fn transact(&self, statements: Vec<Statement>) -> Result<(), DbError> {
        self.ask(|reply| Job::Transact(statements, reply)).await
    }

    /// Drops all prepared statements.
    pub(super) async fn forget_statements(&self) -> Result<(), DbError> {
        self.ask(Job::Forget).await
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        drop(self.jobs);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::warn!("the thread that writes ended badly");
        }
    }
}

fn open(options: &WriterOptions) -> Result<Connection, DbError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&options.path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let limit = options.pages_max.map(|pages| format!("pragma max_page_count = {pages};")).unwrap_or_default();
    let synchronous = if options.durability == Durability::Machine { "full" } else { "off" };
    // Checkpoints are made between transactions, by the connection that reads.
    connection.execute_batch(&format!(
        "pragma synchronous = {synchronous}; pragma foreign_keys = on; pragma wal_autocheckpoint = 0; pragma temp_store = memory; \
         pragma cache_size = -16384; {limit}"
    ))?;
    Ok(connection)
}

fn work(connection: &Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        match job {
            Job::Transact(statements, reply) => drop(reply.send(transact(connection, &statements))),
            Job::Forget(reply) => {
                connection.flush_prepared_statement_cache();
                reply.send(Ok(())).ok();
            }
        }
    }
}

fn transact(connection: &Connection, statements: &[Statement]) -> Result<(), DbError> {
    let run = |text: &str| -> Result<(), DbError> { Ok(connection.prepare_cached(text)?.raw_execute().map(drop)?) };
    run("begin immediate")?;
    let written = statements.iter().try_for_each(|s| execute(connection, s));
    crash_point("commit.written");
    let done = written.and_then(|()| run("commit"));
    if done.is_err() {
        // What failed may have ended the transaction already; then there is nothing to roll back.
        run("rollback").ok();
    }
    done
}

fn execute(connection: &Connection, statement: &Statement) -> Result<(), DbError> {
    let mut prepared = connection.prepare_cached(&statement.text)?;
    match &statement.values {
        Values::Rows(cells, width) => {
            for row in cells.chunks_exact(*width) {
                bind(&mut prepared, row)?;
                prepared.raw_execute()?;
            }
        }
        Values::Single(cells) => {
            bind(&mut prepared, cells)?;
            prepared.raw_execute()?;
        }
        Values::Columns(..) | Values::Several(_) => {
            return Err(DbError::Other("SQLite takes rows one after another".into()));
        }
    }
    Ok(())
}

/// Binds `$7` and `?7` to the seventh value, and each bare `?` to the next.
fn bind(prepared: &mut CachedStatement<'_>, cells: &[Cell]) -> Result<(), DbError> {
    for place in 1..=prepared.parameter_count() {
        let named = prepared.parameter_name(place).and_then(|name| name.get(1..)?.parse::<usize>().ok());
        let cell = cells.get(named.unwrap_or(place).wrapping_sub(1));
        let cell = cell.ok_or_else(|| DbError::Other(format!("no value for placeholder {place}")))?;
        prepared.raw_bind_parameter(place, as_sql(cell))?;
    }
    Ok(())
}

fn as_sql(cell: &Cell) -> ToSqlOutput<'_> {
    let borrowed = match cell {
        Cell::Null(_) => ValueRef::Null,
        Cell::Int(n) | Cell::Time(n) => ValueRef::Integer(*n),
        Cell::Bool(b) => ValueRef::Integer(i64::from(*b)),
        Cell::Text(t) => ValueRef::Text(t.as_bytes()),
        Cell::Owned(t) | Cell::Json(t) => ValueRef::Text(t.as_bytes()),
        Cell::Bytes(b) => ValueRef::Blob(b),
        Cell::Id(id) => ValueRef::Blob(id.as_bytes()),
        Cell::Day(d) => ValueRef::Integer(i64::from(*d)),
        Cell::Decimal(d) => return ToSqlOutput::from(d.to_string()),
    };
    ToSqlOutput::Borrowed(borrowed)
}

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        match &error {
            Error::SqliteFailure(code, _) => of_sqlite(code.extended_code, error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}
