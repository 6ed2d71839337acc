//! One face for both databases: values, rows, connections, and statements that write many rows.
//!
//! What differs between the two lies here and in [`record_sql`](crate::record_sql), nowhere else. Two facts shape it:
//!
//! - On SQLite a statement through sqlx costs a hop to the connection's thread and back (some 20–50 µs), whatever it does. So
//!   transactions go whole to a thread of ours ([`writer`]), where a row costs its bind and its step.
//! - SQLite finds a named placeholder (`$7`) by walking a list, once for each placeholder, when it is parsed and again
//!   when it is bound: 2,000 of them cost milliseconds. So multi-row statements use `?` there. PostgreSQL gets one array
//!   per column instead (`unnest`), so that one prepared text serves any number of rows.

mod cell;
mod conn;
mod error;
mod pg_types;
mod row;
mod rows;
mod writer;

pub(crate) use cell::{Cell, Kind};
pub(crate) use conn::{Conn, Pool, Query, Reader};
pub(crate) use error::DbError;
pub(crate) use row::Row;
pub(crate) use rows::{RowStatement, Statement};
