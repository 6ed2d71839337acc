//! Copies a workspace while it works, and puts a copy back.

use std::collections::BTreeMap;
use std::path::Path;

use rapport_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::Database;
use crate::error::StoreError;
use crate::shared::Shared;

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

pub(crate) async fn backup(_shared: &Shared, _to: &Path) -> Result<BackupReport, StoreError> {
    todo!()
}

pub(crate) async fn restore(_from: &Path, _database: &Database) -> Result<BackupReport, StoreError> {
    todo!()
}
