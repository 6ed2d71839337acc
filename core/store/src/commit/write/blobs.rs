//! The bytes of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use rapport_model::{Digest, Timestamp};

use crate::db::{Cell, Kind, RowStatement, Statement};
use crate::rule_sql::Dialect;

const PUT: &str = "insert into blob (digest, size, created_at, bytes) ";
/// Bytes that nobody had any more have somebody again.
const PUT_END: &str = " on conflict (digest) do update set left_at = null";
const KINDS: [Kind; 4] = [Kind::Text, Kind::Int, Kind::Int, Kind::Bytes];

/// The statements that keep bytes, each once.
pub(super) fn statements(blobs: &BTreeMap<Digest, Arc<[u8]>>, now: Timestamp, dialect: Dialect) -> Vec<Statement> {
    let mut cells = Vec::with_capacity(blobs.len() * KINDS.len());
    for (digest, bytes) in blobs {
        cells.extend([
            Cell::Owned(digest.to_string()),
            Cell::Int(i64::try_from(bytes.len()).unwrap_or(i64::MAX)),
            Cell::Int(now.micros()),
            Cell::Bytes(bytes.to_vec()),
        ]);
    }
    RowStatement::new(PUT, PUT_END, &KINDS).writes(dialect, cells)
}
