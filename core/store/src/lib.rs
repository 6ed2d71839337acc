//! The store: one log, one write path.

pub mod audit;
pub mod backup;
mod config;
mod error;
mod hooks;
mod query;
mod stats;
mod store;
mod unit;

pub use config::{Database, StoreConfig};
pub use error::StoreError;
pub use hooks::{Hooks, Match, NoHooks};
pub use query::{Direction, EventQuery, RecordQuery, RunCount, RunQuery};
pub use stats::StoreStats;
pub use store::Store;
pub use unit::{
    Activation, Artifact, ArtifactKind, AutomationChange, AutomationRow, Committed, Duplicate, IdempotencyPut, ReadVersion,
    RunUpdate, Triggers, UnitOfWork,
};
