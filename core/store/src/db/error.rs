//! What a database said no to, sorted by what follows from it.

use crate::error::StoreError;

/// What a database said no to.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DbError {
    /// A unique index, primary key or foreign key stands against the change. The transaction is to be rolled back.
    #[error("a constraint stands against it: {0}")]
    Constraint(String),
    /// There is no room for the change. The transaction is to be rolled back; reads go on.
    #[error("the disk is full")]
    Full,
    /// The connection is gone, or could not be had.
    #[error("no connection: {0}")]
    Disconnected(String),
    /// Somebody else holds a lock; trying again may help.
    #[error("locked: {0}")]
    Busy(String),
    /// The head is not where it was expected: another process writes, too.
    #[error("another process has written")]
    Moved,
    /// Reading or writing the file failed: nothing is certain any more.
    #[error("input or output failed: {0}")]
    Broken(String),
    /// A statement was wrong or a row was not as expected.
    #[error("{0}")]
    Other(String),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                    of_postgres(&code, error.to_string())
                } else {
                    of_sqlite(code.parse().unwrap_or(0), error.to_string())
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Disconnected(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

/// SQLite's primary result codes stand in the low byte of the extended ones.
pub(super) fn of_sqlite(code: i32, message: String) -> DbError {
    match code & 0xff {
        5 | 6 => DbError::Busy(message),
        10 | 11 | 26 => DbError::Broken(message),
        13 => DbError::Full,
        14 => DbError::Disconnected(message),
        19 => DbError::Constraint(message),
        _ => DbError::Other(message),
    }
}

fn of_postgres(code: &str, message: String) -> DbError {
    match code {
        "53100" => DbError::Full,
        // The one division that is ever sent counts the moved heads: see `Statement::at_once`.
        "22012" => DbError::Moved,
        "40001" | "40P01" | "55P03" => DbError::Busy(message),
        _ if code.starts_with("23") => DbError::Constraint(message),
        _ if code.starts_with("08") || code.starts_with("57P") => DbError::Disconnected(message),
        _ if code.starts_with("58") || code.starts_with("XX") => DbError::Broken(message),
        _ => DbError::Other(message),
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Full => Self::Full,
            DbError::Disconnected(why) | DbError::Busy(why) => Self::Unavailable(why),
            DbError::Moved => Self::Unavailable(DbError::Moved.to_string()),
            DbError::Broken(why) => Self::Corrupt { what: "the database".into(), why },
            DbError::Constraint(why) | DbError::Other(why) => Self::Corrupt { what: "a statement or row".into(), why },
        }
    }
}
