//! The handle on a workspace's data.

use std::path::Path;
use std::sync::Arc;

use rapport_model::{Actor, AutomationId, Clock, Digest, Event, Name, Record, RecordId, Run, RunId, Schema, Timestamp, Value};
use tokio::sync::watch;

use crate::audit::{Anchor, VerifyReport};
use crate::backup::BackupReport;
use crate::*;

/// x
#[derive(Clone, Debug)]
pub struct Store;

impl Store {
    /// x
    pub async fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> { todo!() }
    /// x
    pub fn set_hooks(&self, hooks: Arc<dyn Hooks>) { todo!() }
    /// x
    pub fn schema(&self) -> Arc<Schema> { todo!() }
    /// x
    pub async fn commit(&self, unit: UnitOfWork) -> Result<Committed, StoreError> { todo!() }
    /// x
    pub async fn commit_all(&self, units: Vec<UnitOfWork>) -> Vec<Result<Committed, StoreError>> { todo!() }
    /// x
    pub async fn record(&self, object: &Name, id: RecordId) -> Result<Option<Arc<Record>>, StoreError> { todo!() }
    /// Only if it is in memory.
    pub fn cached(&self, object: &Name, id: RecordId) -> Option<Arc<Record>> { todo!() }
    /// x
    pub async fn records(&self, object: &Name, ids: &[RecordId]) -> Result<Vec<Option<Arc<Record>>>, StoreError> { todo!() }
    /// x
    pub async fn resolve(&self, object: &Name, field: &Name, values: &[Value]) -> Result<Vec<Option<Arc<Record>>>, StoreError> { todo!() }
    /// x
    pub async fn find(&self, query: &RecordQuery) -> Result<Vec<Arc<Record>>, StoreError> { todo!() }
    /// x
    pub async fn count(&self, query: &RecordQuery) -> Result<u64, StoreError> { todo!() }
    /// x
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Event>>, StoreError> { todo!() }
    /// x
    pub async fn event(&self, position: i64) -> Result<Option<Arc<Event>>, StoreError> { todo!() }
    /// The last position that is durable.
    pub fn head(&self) -> i64 { todo!() }
    /// Tells when the head moves.
    pub fn subscribe(&self) -> watch::Receiver<i64> { todo!() }
    /// Tells when the process must stop, and why.
    pub fn fatal(&self) -> watch::Receiver<Option<String>> { todo!() }
    /// x
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> { todo!() }
    /// x
    pub async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> { todo!() }
    /// x
    pub fn run_counts(&self) -> Vec<RunCount> { todo!() }
    /// Pending runs in the order of (position, automation).
    pub async fn open_runs(&self, after: Option<(i64, AutomationId)>, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> { todo!() }
    /// Retrying runs, the next due first.
    pub async fn retrying_runs(&self, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> { todo!() }
    /// x
    pub async fn automations(&self) -> Result<Vec<AutomationRow>, StoreError> { todo!() }
    /// x
    pub async fn artifact(&self, digest: &Digest) -> Result<Option<Artifact>, StoreError> { todo!() }
    /// The answer kept under `key`, unless it has expired at `now`.
    pub async fn idempotent(&self, actor: &Actor, key: &str, now: Timestamp) -> Result<Option<IdempotencyPut>, StoreError> { todo!() }
    /// Forgets the answers that have expired at `now`; says how many.
    pub async fn purge_expired(&self, now: Timestamp) -> Result<u64, StoreError> { todo!() }
    /// Checks the chain after position `after`, calling `progress` with the position reached.
    pub async fn verify(&self, after: i64, progress: &(dyn Fn(i64) + Sync)) -> Result<VerifyReport, StoreError> { todo!() }
    /// Signs where the log stands with the Ed25519 secret `key`.
    pub async fn anchor(&self, key: &[u8; 32], now: Timestamp) -> Result<Anchor, StoreError> { todo!() }
    /// Checks an anchor against the log: its signature, and that the log still holds the event it names. `Err` text: what is wrong.
    pub async fn check_anchor(&self, anchor: &Anchor) -> Result<Result<(), String>, StoreError> { todo!() }
    /// Writes a consistent copy into the folder `to`, which must not hold anything yet.
    pub async fn backup(&self, to: &Path) -> Result<BackupReport, StoreError> { todo!() }
    /// Puts a backup into an empty database and checks it.
    pub async fn restore(from: &Path, database: &Database) -> Result<BackupReport, StoreError> { todo!() }
    /// x
    pub async fn close(self) -> Result<(), StoreError> { todo!() }
    /// x
    pub fn stats(&self) -> StoreStats { todo!() }
    /// The schema version of the database.
    pub fn schema_version() -> i64 { todo!() }
    /// The random id of the workspace.
    pub fn workspace(&self) -> &str { todo!() }
}
