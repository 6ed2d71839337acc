//! What a store can be told at its start.

use std::path::PathBuf;

/// Where the workspace lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file, made if it is missing. A file `<name>.lock` beside it keeps a second process out.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// `postgres://user:password@host:port/name`.
        url: String,
    },
}

/// What a commit survives once it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process and of the machine.
    #[default]
    Machine,
    /// The end of the process alone: for an SQLite workspace that is thrown away anyway. PostgreSQL keeps to
    /// [`Durability::Machine`].
    Process,
}

/// What a store can be told at its start.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where the workspace lies.
    pub database: Database,
    /// How many records are kept in memory.
    pub cache_records: usize,
    /// How many connections serve reads.
    pub readers: u32,
    /// The most units of one physical transaction.
    pub group_units_max: usize,
    /// The most units that wait; who hands over more waits for room.
    pub queue_units_max: usize,
    /// The largest size of an SQLite database in bytes; a commit that would pass it is refused as on a full disk.
    pub database_bytes_max: Option<u64>,
    /// What a commit survives once it is acknowledged.
    pub durability: Durability,
}

impl StoreConfig {
    /// The defaults for `database`.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self {
            database,
            cache_records: 20_000,
            readers: 4,
            group_units_max: 512,
            queue_units_max: 8_192,
            database_bytes_max: None,
            durability: Durability::Machine,
        }
    }
}
