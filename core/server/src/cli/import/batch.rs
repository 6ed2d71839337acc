//! A batch of rows: the body to be sent, and what is needed to say which row was refused.

use csv::ByteRecord;

use super::Failure;
use super::mapping::Mapping;
use super::source::{Row, Source};

/// The most rows of one request. The progress, and what a kill costs, go by it.
const BATCH_ROWS_MAX: usize = 2_500;
/// A batch ends soon after this many bytes.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A row that is not sent because it cannot be read.
pub(super) struct Unreadable {
    pub(super) line: u64,
    pub(super) reason: String,
    pub(super) cells: ByteRecord,
}

/// Rows on their way to the server.
#[derive(Default)]
pub(super) struct Batch {
    body: Vec<u8>,
    sent: Vec<Row>,
    unreadable: Vec<Unreadable>,
}

impl Batch {
    /// Reads the next rows; an empty batch at the end of the file.
    pub(super) fn read(source: &mut Source, mapping: &Mapping) -> Result<Self, Failure> {
        let mut batch = Self::default();
        while batch.sent.len() + batch.unreadable.len() < BATCH_ROWS_MAX && batch.body.len() < BATCH_BYTES_MAX {
            let Some(row) = source.next()? else { break };
            if row.open {
                let reason =
                    "a quote in this row is never closed: it takes the rest of the file for one cell".to_owned();
                batch.unreadable.push(Unreadable { line: row.line, reason, cells: row.cells });
                continue;
            }
            match mapping.row(&row.cells) {
                Ok(json) => {
                    serde_json::to_writer(&mut batch.body, &json).map_err(|e| Failure::Failed(e.to_string()))?;
                    batch.body.push(b'\n');
                    batch.sent.push(row);
                }
                Err(reason) => batch.unreadable.push(Unreadable { line: row.line, reason, cells: row.cells }),
            }
        }
        Ok(batch)
    }

    /// Whether there is nothing left in the file.
    pub(super) const fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.unreadable.is_empty()
    }

    /// How many rows of the file it holds.
    pub(super) const fn len(&self) -> u64 {
        (self.sent.len() + self.unreadable.len()) as u64
    }

    /// The rows as NDJSON.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The rows that are not sent.
    pub(super) fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The line in the file and the cells of the row that the server calls line `number` (from 1).
    pub(super) fn sent_row(&self, number: usize) -> Option<(u64, &ByteRecord)> {
        self.sent.get(number.checked_sub(1)?).map(|row| (row.line, &row.cells))
    }
}
