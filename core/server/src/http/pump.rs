//! Carries rows from a streamed body into the engine, in order and with bounded memory.
//!
//! ```text
//! body ──lines──▶ [reader task: cut, parse] ──chunks, at most 3──▶ [handler: engine] ──▶ totals
//! ```
//! While one chunk commits the next ones are read and parsed; chunks are committed one after the other, so that rows
//! keep their order.

use axum::body::Body;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Api, millis};
use crate::ndjson::{Line, Lines};
use crate::problem::Problem;

/// Chunks that are parsed and wait.
const CHUNKS_AHEAD: usize = 2;
/// The most refused rows that one answer lists.
pub(super) const REFUSED_LISTED_MAX: usize = 10_000;

/// A line's number, and what was made of it.
pub(super) type Row<T> = (u64, T);

/// The receiving end of a body that is being read and parsed.
pub(super) struct Pump<T> {
    chunks: mpsc::Receiver<Result<Vec<Row<T>>, Problem>>,
    reader: JoinHandle<()>,
}

impl<T: Send + 'static> Pump<T> {
    /// Begins to read `body`; `parse` makes a row from a line, or from none if the line was too long.
    pub(super) fn start(api: &Api, body: Body, parse: fn(Option<&[u8]>) -> T) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let mut lines = Lines::new(body, millis(api.limits.idle_ms_max));
        let reader = tokio::spawn(async move {
            loop {
                let chunk = lines.chunk().await;
                let last = chunk.as_ref().map_or(true, Vec::is_empty);
                let parsed = chunk.map(|lines| lines.into_iter().map(|l| row(&l, parse)).collect());
                // The handler went away, or there is no more.
                if sender.send(parsed).await.is_err() || last {
                    return;
                }
            }
        });
        Self { chunks, reader }
    }

    /// The next rows; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row<T>>>, Problem> {
        match self.chunks.recv().await {
            Some(Ok(rows)) if rows.is_empty() => Ok(None),
            Some(Ok(rows)) => Ok(Some(rows)),
            Some(Err(problem)) => Err(problem),
            None => Err(Problem::internal("the reader of a body ended without saying so")),
        }
    }
}

impl<T> Drop for Pump<T> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn row<T>(line: &Line, parse: fn(Option<&[u8]>) -> T) -> Row<T> {
    (line.number, parse(line.text.as_deref()))
}
