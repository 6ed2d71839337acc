//! The store: one log, one write path.
//!
//! Every change of state goes through [`Store::commit`]: a [`UnitOfWork`] holds the record versions it was decided on, its
//! puts, its events and the step of its run, and commits whole or not at all. Every change of a record appends an event that
//! holds before and after; every event is sealed into a chain of hashes; runs of automations are inserted in the commit
//! that appends the event that starts them, with an id that is a function of both, so that none can start twice.
//!
//! Records are real tables with typed columns, on SQLite and on PostgreSQL. This crate knows no automation, no script and no
//! rights: the engine decides, and is asked through [`Hooks`] which automations react.

pub mod audit;
pub mod backup;
mod blobs;
mod cache;
mod commit;
mod config;
mod crash;
mod db;
mod effects;
mod error;
mod find;
mod head;
mod hooks;
mod invariants;
mod listing;
mod log;
mod match_keys;
mod migrate;
mod open;
mod payload;
mod query;
mod record_sql;
mod registry;
mod rollup_sql;
mod rollups;
pub mod rule_sql;
mod seal;
mod search;
mod segments;
mod shared;
mod snapshot;
mod stats;
mod store;
mod tags;
mod timeline;
mod unit;
mod versions;
mod waiting;

pub use config::{Database, Durability, StoreConfig};
pub use crash::crash_point;
pub use effects::EffectQuery;
pub use error::StoreError;
pub use hooks::{Hooks, Match, NoHooks};
pub use invariants::{CountOff, Kept, WatchedRun};
pub use listing::{DamagedRun, ListedRun};
pub use match_keys::KeyPlace;
pub use payload::{MERGE_REQUESTED, UNDO_REQUESTED, body_text, read as read_body};
pub use query::{Direction, EventQuery, GroupQuery, Measure, RecordQuery, RunCount, RunQuery};
pub use rollups::RollupFault;
pub use search::{IndexFault, SearchHit, SearchQuery};
pub use segments::{FieldMoment, Filled, Filling, Moment, SegmentFaults, StayOf};
pub use snapshot::Snapshot;
pub use stats::StoreStats;
pub use store::Store;
pub use tags::TagCount;
pub use unit::{
    Activation, Artifact, ArtifactKind, AutomationChange, AutomationRow, Blob, Committed, Duplicate, EffectMove,
    EffectStep, Followed, IdempotencyPut, JournalStep, ReadVersion, RunUpdate, Stamp, Stay, StayStep, Triggers,
    UnitOfWork, WaitFor,
};
pub use versions::VersionRuns;
