//! The database behind the product's back: for what only a stranger would do to it.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::harness::Database;

/// Runs a statement on the database of a workspace that nobody serves.
pub(crate) async fn execute(database: Database, data: &Path, url: &str, text: &str) -> u64 {
    match database {
        Database::Sqlite => {
            let file = format!("sqlite://{}", data.join("rapport.sqlite").display());
            let mut connection = SqliteConnection::connect(&file).await.unwrap();
            let done = sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            done.rows_affected()
        }
        Database::Postgres => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let done = sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            done.rows_affected()
        }
    }
}
