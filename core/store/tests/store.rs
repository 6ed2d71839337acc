//! The store's behaviour, each story on SQLite and on PostgreSQL.

#[path = "store/world.rs"]
#[macro_use]
mod world;

#[path = "store/backup.rs"]
mod backup;
#[path = "store/commit.rs"]
mod commit;
#[path = "store/constraints.rs"]
mod constraints;
#[path = "store/log.rs"]
mod log;
#[path = "store/model.rs"]
mod model;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/records.rs"]
mod records;
#[path = "store/runs.rs"]
mod runs;
#[path = "store/schema.rs"]
mod schema;
