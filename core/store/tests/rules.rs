//! A rule gives the same answer in memory, on SQLite and on PostgreSQL.

#[cfg(test)]
#[path = "rules/agreement.rs"]
mod agreement;
#[cfg(test)]
#[path = "rules/database.rs"]
mod database;
#[cfg(test)]
#[path = "../../model/tests/rules/generate.rs"]
mod generate;
#[cfg(test)]
#[path = "rules/shape.rs"]
mod shape;
