//! Backups of PostgreSQL: one file per table, as `copy` writes and reads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use rapport_model::schema::FieldKind;
use rapport_model::{ObjectDef, Timestamp, Value};
use tokio::io::AsyncWriteExt;

use super::{BackupReport, aside, check, file_error, off_thread, survey, sync, system_tables};
use crate::commit::lock_workspace;
use crate::config::Database;
use crate::db::{Conn, DbError, Query, Reader};
use crate::error::StoreError;
use crate::migrate;
use crate::record_sql;
use crate::registry;
use crate::rule_sql::Dialect;
use crate::shared::Shared;
use crate::stats::Counters;

/// All tables are read as of one moment, whatever is written meanwhile.
const SNAPSHOT: &str = "begin isolation level repeatable read read only";
const COUNT_TABLES: &str = "select count(*) from information_schema.tables where table_schema = current_schema()";

fn table_file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.copy"))
}

/// The table of an object and its columns, which may stand in another order elsewhere.
fn object_table(object: &ObjectDef) -> (String, String) {
    let mut columns = String::from("(\"id\", \"version\", \"created_at\", \"updated_at\"");
    for column in object.columns() {
        columns.push_str(", \"");
        columns.push_str(column);
        columns.push('"');
    }
    columns.push(')');
    (format!("o_{}", object.name), columns)
}

/// The objects of the registry, in the order they were added.
async fn objects(conn: &mut Conn) -> Result<Vec<Arc<ObjectDef>>, StoreError> {
    let schema = registry::load(conn).await?;
    let mut objects = Vec::new();
    for row in conn.fetch(Query::new(super::SELECT_OBJECT_NAMES, Vec::new())).await? {
        objects.extend(schema.object(&row.text(0)?).cloned());
    }
    Ok(objects)
}

pub(super) async fn copy_out(shared: &Shared, to: &Path, time: Timestamp) -> Result<BackupReport, StoreError> {
    let mut conn = Conn::open(&aside(shared.config.database.clone()), shared.counters.clone()).await?;
    conn.raw(SNAPSHOT).await?;
    let report = survey(&mut Reader::Conn(&mut conn), "postgres", time).await?;
    let mut tables: Vec<(String, String)> =
        system_tables(report.schema_version).map(|table| (table.to_owned(), String::new())).collect();
    tables.extend(objects(&mut conn).await?.iter().map(|object| object_table(object)));
    for (table, columns) in tables {
        copy_table_out(&mut conn, (&table, &columns), &table_file(to, &table)).await?;
    }
    conn.raw("commit").await?;
    conn.close().await?;
    Ok(report)
}

fn no_postgres() -> StoreError {
    StoreError::Invalid("this is no PostgreSQL database".into())
}

async fn copy_table_out(conn: &mut Conn, (table, columns): (&str, &str), path: &Path) -> Result<(), StoreError> {
    let mut file = tokio::fs::File::create(path).await.map_err(file_error(path))?;
    let postgres = conn.postgres().ok_or_else(no_postgres)?;
    let text = format!("copy \"{table}\" {columns} to stdout");
    let mut stream = postgres.copy_out_raw(&text).await.map_err(DbError::from)?;
    while let Some(bytes) = stream.try_next().await.map_err(DbError::from)? {
        file.write_all(&bytes).await.map_err(file_error(path))?;
    }
    file.flush().await.map_err(file_error(path))?;
    let path = path.to_owned();
    off_thread(move || sync(&path)).await
}

pub(super) async fn copy_in(from: &Path, database: &Database, report: &BackupReport) -> Result<(), StoreError> {
    let mut conn = Conn::open(&aside(database.clone()), Arc::new(Counters::default())).await?;
    lock_workspace(&mut conn).await?;
    let counted = conn.fetch(Query::new(COUNT_TABLES, Vec::new())).await?;
    if counted.first().map(|row| row.int(0)).transpose()? != Some(0) {
        return Err(StoreError::Invalid("the database is not empty: restore into a new one".into()));
    }
    // One transaction: a restore that fails leaves the database as empty as it was.
    conn.raw("begin").await?;
    let done = copy_all_in(&mut conn, from, report).await;
    conn.raw(if done.is_ok() { "commit" } else { "rollback" }).await?;
    conn.close().await?;
    done
}

async fn copy_all_in(conn: &mut Conn, from: &Path, report: &BackupReport) -> Result<(), StoreError> {
    migrate::make(conn, report.schema_version).await?;
    for table in system_tables(report.schema_version) {
        copy_table_in(conn, (table, ""), &table_file(from, table)).await?;
    }
    let objects = objects(conn).await?;
    make_tables(conn, &objects).await?;
    for object in &objects {
        let (table, columns) = object_table(object);
        copy_table_in(conn, (&table, &columns), &table_file(from, &table)).await?;
    }
    check(&mut Reader::Conn(conn), report).await
}

/// Makes the tables of `objects`. A reference to an object that comes later is added once that has its table.
async fn make_tables(conn: &mut Conn, objects: &[Arc<ObjectDef>]) -> Result<(), StoreError> {
    let mut later = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        let known = |kind: &FieldKind| match kind {
            FieldKind::Reference { object: target } => objects[..=i].iter().any(|o| o.name == *target),
            _ => true,
        };
        let mut first = (**object).clone();
        first.fields.retain(|field| known(&field.kind));
        later.extend(object.fields.iter().filter(|field| !known(&field.kind)).map(|field| (object, field)));
        for statement in record_sql::create_table(&first, Dialect::Postgres) {
            conn.execute(Query::new(&statement, Vec::new())).await?;
        }
    }
    for (object, field) in later {
        for statement in record_sql::add_column(&object.name, field, &Value::Null, Dialect::Postgres) {
            conn.execute(statement).await?;
        }
    }
    for object in objects {
        let all = object.fields.iter().filter_map(|f| record_sql::covering_index(&object.name, f, Dialect::Postgres));
        for statement in all {
            conn.execute(Query::new(&statement, Vec::new())).await?;
        }
    }
    Ok(())
}

async fn copy_table_in(conn: &mut Conn, (table, columns): (&str, &str), path: &Path) -> Result<(), StoreError> {
    let file = tokio::fs::File::open(path).await.map_err(file_error(path))?;
    let postgres = conn.postgres().ok_or_else(no_postgres)?;
    let text = format!("copy \"{table}\" {columns} from stdin");
    let mut copy = postgres.copy_in_raw(&text).await.map_err(DbError::from)?;
    if let Err(error) = copy.read_from(file).await {
        copy.abort("the file cannot be read").await.ok();
        return Err(DbError::from(error).into());
    }
    let finished = copy.finish().await.map_err(DbError::from);
    finished.map_err(|e| StoreError::Corrupt { what: path.display().to_string(), why: e.to_string() })?;
    Ok(())
}
