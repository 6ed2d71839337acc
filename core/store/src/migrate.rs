//! Brings a database's system tables up to the version that this program knows.
//!
//! Migrations are append-only, one transaction each, with the same names for both databases. The version of a database is
//! the number of those it has had. Tables of records are not theirs: those follow the registry.

use crate::db::{Cell, Conn, Query};
use crate::error::StoreError;
use crate::rule_sql::Dialect;

/// A step from one version to the next.
struct Migration {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: [Migration; 14] = [
    Migration {
        name: "0001_log",
        sqlite: include_str!("../migrations/sqlite/0001_log.sql"),
        postgres: include_str!("../migrations/postgres/0001_log.sql"),
    },
    Migration {
        name: "0002_waiting",
        sqlite: include_str!("../migrations/sqlite/0002_waiting.sql"),
        postgres: include_str!("../migrations/postgres/0002_waiting.sql"),
    },
    Migration {
        name: "0003_effects",
        sqlite: include_str!("../migrations/sqlite/0003_effects.sql"),
        postgres: include_str!("../migrations/postgres/0003_effects.sql"),
    },
    Migration {
        name: "0004_versions",
        sqlite: include_str!("../migrations/sqlite/0004_versions.sql"),
        postgres: include_str!("../migrations/postgres/0004_versions.sql"),
    },
    Migration {
        name: "0005_flow",
        sqlite: include_str!("../migrations/sqlite/0005_flow.sql"),
        postgres: include_str!("../migrations/postgres/0005_flow.sql"),
    },
    Migration {
        name: "0006_operations",
        sqlite: include_str!("../migrations/sqlite/0006_operations.sql"),
        postgres: include_str!("../migrations/postgres/0006_operations.sql"),
    },
    Migration {
        name: "0007_files",
        sqlite: include_str!("../migrations/sqlite/0007_files.sql"),
        postgres: include_str!("../migrations/postgres/0007_files.sql"),
    },
    Migration {
        name: "0008_search",
        sqlite: include_str!("../migrations/sqlite/0008_search.sql"),
        postgres: include_str!("../migrations/postgres/0008_search.sql"),
    },
    Migration {
        name: "0009_tapes",
        sqlite: include_str!("../migrations/sqlite/0009_tapes.sql"),
        postgres: include_str!("../migrations/postgres/0009_tapes.sql"),
    },
    Migration {
        name: "0010_tags",
        sqlite: include_str!("../migrations/sqlite/0010_tags.sql"),
        postgres: include_str!("../migrations/postgres/0010_tags.sql"),
    },
    Migration {
        name: "0011_segments",
        sqlite: include_str!("../migrations/sqlite/0011_segments.sql"),
        postgres: include_str!("../migrations/postgres/0011_segments.sql"),
    },
    Migration {
        name: "0012_match_keys",
        sqlite: include_str!("../migrations/sqlite/0012_match_keys.sql"),
        postgres: include_str!("../migrations/postgres/0012_match_keys.sql"),
    },
    Migration {
        name: "0013_search_order",
        sqlite: include_str!("../migrations/sqlite/0013_search_order.sql"),
        postgres: include_str!("../migrations/postgres/0013_search_order.sql"),
    },
    Migration {
        name: "0014_match_keys_anew",
        sqlite: include_str!("../migrations/sqlite/0014_match_keys_anew.sql"),
        postgres: include_str!("../migrations/postgres/0014_match_keys_anew.sql"),
    },
];

/// The version that this program knows.
pub(crate) const VERSION: i64 = 14;

const HAS_META_SQLITE: &str = "select 1 from sqlite_schema where type = 'table' and name = 'meta'";
const HAS_META_POSTGRES: &str =
    "select 1::bigint from information_schema.tables where table_schema = current_schema() and table_name = 'meta'";
const SELECT_META: &str = "select value from meta where key = $1";
const PUT_META: &str =
    "insert into meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value";

/// The version of the database; 0 for an empty one.
pub(crate) async fn version(conn: &mut Conn) -> Result<i64, StoreError> {
    let text = if conn.dialect() == Dialect::Sqlite { HAS_META_SQLITE } else { HAS_META_POSTGRES };
    if conn.fetch(Query::new(text, Vec::new())).await?.is_empty() {
        return Ok(0);
    }
    let version = meta(conn, "schema_version").await?.and_then(|v| v.parse().ok());
    version.ok_or_else(|| StoreError::Corrupt { what: "meta".into(), why: "schema_version is no number".into() })
}

/// A value of the table `meta`.
pub(crate) async fn meta(conn: &mut Conn, key: &str) -> Result<Option<String>, StoreError> {
    let rows = conn.fetch(Query::new(SELECT_META, vec![Cell::text(key)])).await?;
    Ok(rows.first().map(|row| row.text(0)).transpose()?)
}

/// Sets a value of the table `meta`.
pub(crate) async fn set_meta(conn: &mut Conn, key: &str, value: &str) -> Result<(), StoreError> {
    conn.execute(put_meta(key, value)).await?;
    Ok(())
}

/// What sets a value of the table `meta`.
pub(crate) fn put_meta(key: &str, value: &str) -> Query {
    Query::new(PUT_META, vec![Cell::text(key), Cell::text(value)])
}

/// Applies what is missing.
///
/// # Errors
/// [`StoreError::Newer`] if the database has had migrations that this program does not know; nothing is changed then.
pub(crate) async fn migrate(conn: &mut Conn) -> Result<(), StoreError> {
    let found = version(conn).await?;
    if found > VERSION {
        return Err(StoreError::Newer { found, known: VERSION });
    }
    for (number, migration) in (1..).zip(&MIGRATIONS).filter(|(number, _)| *number > found) {
        tracing::info!("migration {}", migration.name);
        let begin = if conn.dialect() == Dialect::Sqlite { "begin immediate" } else { "begin" };
        conn.raw(begin).await?;
        if let Err(error) = apply(conn, migration, number).await {
            // The first error says more than a failed rollback would.
            conn.raw("rollback").await.ok();
            return Err(error);
        }
        conn.raw("commit").await?;
    }
    Ok(())
}

/// Makes the tables of `version` in an empty database, inside the caller's transaction, and leaves them empty.
pub(crate) async fn make(conn: &mut Conn, version: i64) -> Result<(), StoreError> {
    for (number, migration) in (1..).zip(&MIGRATIONS).filter(|(number, _)| *number <= version) {
        apply(conn, migration, number).await?;
    }
    Ok(conn.raw("delete from meta").await?)
}

async fn apply(conn: &mut Conn, migration: &Migration, number: i64) -> Result<(), StoreError> {
    conn.raw(if conn.dialect() == Dialect::Sqlite { migration.sqlite } else { migration.postgres }).await?;
    set_meta(conn, "schema_version", &number.to_string()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of tables, columns, constraints and indexes in a script.
    fn names(script: &str) -> Vec<String> {
        let keywords = [
            "strict", "without", "rowid", "bytea", "blob", "uuid", "integer", "bigint", "boolean", "text", "collate",
            "c",
        ];
        // SQLite's tables without row ids have all columns in their key.
        let is_left_out = |line: &str| line.starts_with("--") || line.starts_with("        include (");
        let code: String = script.lines().filter(|line| !is_left_out(line)).collect::<Vec<_>>().join(" ");
        let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_ascii_lowercase);
        words.filter(|word| !word.is_empty() && !keywords.contains(&word.as_str())).collect()
    }

    #[test]
    fn the_version_is_the_number_of_migrations() {
        assert_eq!(usize::try_from(VERSION), Ok(MIGRATIONS.len()));
    }

    #[test]
    fn both_databases_get_the_same_tables_columns_and_constraints() {
        for migration in &MIGRATIONS {
            assert_eq!(names(migration.sqlite), names(migration.postgres), "{}", migration.name);
            assert!(migration.sqlite.starts_with("-- "), "{} opens with why", migration.name);
        }
    }
}
