//! The store's behaviour, each story on SQLite and on PostgreSQL.

#[cfg(test)]
#[path = "store/world.rs"]
#[macro_use]
mod world;

#[cfg(test)]
#[path = "store/backup.rs"]
mod backup;
#[cfg(test)]
#[path = "store/commit.rs"]
mod commit;
#[cfg(test)]
#[path = "store/constraints.rs"]
mod constraints;
#[cfg(test)]
#[path = "store/covering.rs"]
mod covering;
#[cfg(test)]
#[path = "store/locks.rs"]
mod locks;
#[cfg(test)]
#[path = "store/log.rs"]
mod log;
#[cfg(test)]
#[path = "store/model.rs"]
mod model;
#[cfg(test)]
#[path = "store/opening.rs"]
mod opening;
#[cfg(test)]
#[path = "store/records.rs"]
mod records;
#[cfg(test)]
#[path = "store/rollups.rs"]
mod rollups;
#[cfg(test)]
#[path = "store/runs.rs"]
mod runs;
#[cfg(test)]
#[path = "store/schema.rs"]
mod schema;
#[cfg(test)]
#[path = "store/searches.rs"]
mod searches;
