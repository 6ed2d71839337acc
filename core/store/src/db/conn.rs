//! Connections: one that writes, and a pool that reads.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, SqliteConnection, SqlitePool};

use super::cell::{Cell, add_array};
use super::error::DbError;
use super::row::Row;
use super::rows::{Statement, Values};
use super::writer::{Writer, WriterOptions};
use crate::config::{Database, Durability, StoreConfig};
use crate::rule_sql::Dialect;
use crate::stats::{Counters, add};

/// How many prepared statements a connection keeps.
const STATEMENTS_KEPT: usize = 400;
/// The session that writes finds rows by their keys alone, many at a time: one plan serves all, and a table that is small when
/// the plan is made will not stay so. Acknowledged is durable, whatever the server's default.
const WRITER_SETTINGS: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("synchronous_commit", "on"),
];
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A text with its values.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    text: Arc<str>,
    cells: Vec<Cell>,
}

impl Query {
    pub(crate) fn new(text: &str, cells: Vec<Cell>) -> Self {
        Self { text: text.into(), cells }
    }
}

impl From<Query> for Statement {
    fn from(query: Query) -> Self {
        Self { text: query.text, values: Values::Single(query.cells), rows: 1 }
    }
}

enum Inner {
    Sqlite(Box<Sqlite>),
    Postgres(Box<PgConnection>),
}

/// SQLite: sqlx's connection for all but transactions, and the thread that writes those, once there is one.
struct Sqlite {
    conn: SqliteConnection,
    options: WriterOptions,
    writer: Option<Writer>,
}

impl Sqlite {
    async fn writer(&mut self) -> Result<&Writer, DbError> {
        if self.writer.is_none() {
            self.writer = Some(Writer::open(self.options.clone()).await?);
        }
        self.writer.as_ref().ok_or_else(|| DbError::Other("no thread that writes".into()))
    }
}

/// One connection, which may write.
pub(crate) struct Conn {
    inner: Inner,
    counters: Arc<Counters>,
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(STATEMENTS_KEPT)
        .row_buffer_size(256)
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

fn postgres_options(url: &str) -> Result<PgConnectOptions, DbError> {
    let options = PgConnectOptions::from_str(url)?;
    // Instants are stored with their zone; showing them in UTC keeps what people see in psql free of the server's zone.
    let settings = [("timezone", "UTC"), ("client_min_messages", "warning")];
    Ok(options
        .application_name("rapport")
        .statement_cache_capacity(STATEMENTS_KEPT)
        .options(settings)
        .disable_statement_logging())
}

fn sqlite_arguments(values: Values) -> Result<SqliteArguments, DbError> {
    let mut arguments = SqliteArguments::default();
    match values {
        Values::Single(cells) | Values::Columns(cells, _) | Values::Rows(cells, _) => {
            cells.into_iter().try_for_each(|cell| cell.add_sqlite(&mut arguments))?;
        }
        Values::Several(_) => return Err(DbError::Other("SQLite takes no statements joined into one".into())),
    }
    Ok(arguments)
}

fn postgres_arguments(values: Values) -> Result<PgArguments, DbError> {
    let mut arguments = PgArguments::default();
    add_postgres(&mut arguments, values)?;
    Ok(arguments)
}

fn add_postgres(arguments: &mut PgArguments, values: Values) -> Result<(), DbError> {
    match values {
        Values::Single(cells) | Values::Rows(cells, _) => {
            cells.into_iter().try_for_each(|cell| cell.add_postgres(arguments))
        }
        Values::Columns(mut cells, kinds) => {
            let mut columns = kinds.iter().enumerate();
            columns.try_for_each(|(i, kind)| add_array(arguments, &mut cells, (i, kinds.len()), *kind))
        }
        Values::Several(parts) => parts.into_iter().try_for_each(|part| add_postgres(arguments, part)),
    }
}

impl Conn {
    /// Opens the connection that writes. On SQLite it alone makes checkpoints.
    pub(crate) async fn open(config: &StoreConfig, counters: Arc<Counters>) -> Result<Self, DbError> {
        let inner = match &config.database {
            Database::Sqlite { path } => {
                let synchronous = match config.durability {
                    Durability::Machine => SqliteSynchronous::Full,
                    Durability::Process => SqliteSynchronous::Off,
                };
                let mut options = sqlite_options(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(synchronous)
                    .pragma("wal_autocheckpoint", "0")
                    .pragma("cache_size", "-4096");
                let pages_max = config.database_bytes_max.map(|bytes| (bytes / 4096).max(1));
                if let Some(pages) = pages_max {
                    options = options.pragma("max_page_count", pages.to_string());
                }
                let conn = options.connect().await?;
                let options = WriterOptions { path: path.clone(), pages_max, durability: config.durability };
                Inner::Sqlite(Box::new(Sqlite { conn, options, writer: None }))
            }
            Database::Postgres { url } => {
                let connect = postgres_options(url)?.options(WRITER_SETTINGS);
                let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect.connect()).await;
                let connection = connected.map_err(|_| DbError::Disconnected("no answer in 10 s".into()))??;
                Inner::Postgres(Box::new(connection))
            }
        };
        Ok(Self { inner, counters })
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self.inner {
            Inner::Sqlite(_) => Dialect::Sqlite,
            Inner::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs one statement; says how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: impl Into<Statement>) -> Result<u64, DbError> {
        let Statement { text, values, rows } = statement.into();
        add(&self.counters.statements, 1);
        add(&self.counters.rows, rows);
        match &mut self.inner {
            Inner::Sqlite(sqlite) => {
                let query = sqlx::query_with(AssertSqlSafe(text), sqlite_arguments(values)?);
                Ok(query.execute(&mut sqlite.conn).await?.rows_affected())
            }
            Inner::Postgres(conn) => {
                let query = sqlx::query_with(AssertSqlSafe(text), postgres_arguments(values)?);
                Ok(query.execute(&mut **conn).await?.rows_affected())
            }
        }
    }

    /// Runs one query and gathers its rows.
    pub(crate) async fn fetch(&mut self, query: impl Into<Statement>) -> Result<Vec<Row>, DbError> {
        add(&self.counters.statements, 1);
        let Statement { text, values, .. } = query.into();
        match &mut self.inner {
            Inner::Sqlite(sqlite) => {
                let query = sqlx::query_with(AssertSqlSafe(text), sqlite_arguments(values)?);
                Ok(query.fetch(&mut sqlite.conn).map_ok(Row::Sqlite).try_collect().await?)
            }
            Inner::Postgres(conn) => {
                let query = sqlx::query_with(AssertSqlSafe(text), postgres_arguments(values)?);
                Ok(query.fetch(&mut **conn).map_ok(Row::Postgres).try_collect().await?)
            }
        }
    }

    /// Runs several statements without values. Never use it with a text that holds anything but our own words and numbers.
    pub(crate) async fn raw(&mut self, text: &str) -> Result<(), DbError> {
        add(&self.counters.statements, 1);
        let query = sqlx::raw_sql(AssertSqlSafe(text));
        match &mut self.inner {
            Inner::Sqlite(sqlite) => query.execute(&mut sqlite.conn).await.map(drop)?,
            Inner::Postgres(conn) => query.execute(&mut **conn).await.map(drop)?,
        }
        Ok(())
    }

    /// Runs `statements` in one transaction on SQLite. After an error nothing of them is there.
    pub(crate) async fn transact(&mut self, statements: Vec<Statement>) -> Result<(), DbError> {
        let rows = statements.iter().map(|statement| statement.rows).sum();
        // Each row is a statement run once; two more open the transaction and end it.
        add(&self.counters.statements, rows + 2);
        add(&self.counters.rows, rows);
        match &mut self.inner {
            Inner::Sqlite(sqlite) => sqlite.writer().await?.transact(statements).await,
            Inner::Postgres(_) => Err(DbError::Other("only SQLite's transactions go to the thread that writes".into())),
        }
    }

    /// The open connection to PostgreSQL, for what only it can do.
    pub(crate) fn postgres(&mut self) -> Option<&mut PgConnection> {
        match &mut self.inner {
            Inner::Postgres(conn) => Some(conn),
            Inner::Sqlite(_) => None,
        }
    }

    /// Drops all prepared statements, since the tables have changed.
    pub(crate) async fn forget_statements(&mut self) -> Result<(), DbError> {
        match &mut self.inner {
            Inner::Sqlite(sqlite) => {
                if let Some(writer) = &sqlite.writer {
                    writer.forget_statements().await?;
                }
                sqlite.conn.clear_cached_statements().await?;
            }
            Inner::Postgres(conn) => conn.clear_cached_statements().await?,
        }
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<(), DbError> {
        match self.inner {
            Inner::Sqlite(sqlite) => {
                if let Some(writer) = sqlite.writer {
                    writer.close().await;
                }
                sqlite.conn.close().await?;
            }
            Inner::Postgres(conn) => conn.close().await?,
        }
        Ok(())
    }
}

/// Connections that only read.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    /// Opens `config.readers` connections, each when it is first needed. The database is there already.
    pub(crate) fn open(config: &StoreConfig) -> Result<Self, DbError> {
        Ok(match &config.database {
            Database::Sqlite { path } => {
                let options = sqlite_options(path).pragma("query_only", "on").pragma("cache_size", "-4096");
                let pool = SqlitePoolOptions::new().max_connections(config.readers).acquire_timeout(CONNECT_TIMEOUT);
                Self::Sqlite(pool.connect_lazy_with(options))
            }
            Database::Postgres { url } => {
                let options = postgres_options(url)?.options([("default_transaction_read_only", "on")]);
                let pool = PgPoolOptions::new().max_connections(config.readers).acquire_timeout(CONNECT_TIMEOUT);
                Self::Postgres(pool.connect_lazy_with(options))
            }
        })
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs one query and gathers its rows.
    pub(crate) async fn fetch(&self, query: impl Into<Statement>) -> Result<Vec<Row>, DbError> {
        let Statement { text, values, .. } = query.into();
        match self {
            Self::Sqlite(pool) => {
                let query = sqlx::query_with(AssertSqlSafe(text), sqlite_arguments(values)?);
                Ok(query.fetch(pool).map_ok(Row::Sqlite).try_collect().await?)
            }
            Self::Postgres(pool) => {
                let query = sqlx::query_with(AssertSqlSafe(text), postgres_arguments(values)?);
                Ok(query.fetch(pool).map_ok(Row::Postgres).try_collect().await?)
            }
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Whatever a read can go through: a connection with its transaction, or any of the pool.
pub(crate) enum Reader<'a> {
    Conn(&'a mut Conn),
    Pool(&'a Pool),
}

impl Reader<'_> {
    pub(crate) async fn fetch(&mut self, query: Query) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Conn(conn) => conn.fetch(query).await,
            Self::Pool(pool) => pool.fetch(query).await,
        }
    }
}
