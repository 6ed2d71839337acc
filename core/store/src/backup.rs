//! x
use rapport_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

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
    pub rows: std::collections::BTreeMap<String, u64>,
}
