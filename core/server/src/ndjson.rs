//! Reads a request body line by line, in chunks, never whole.
//!
//! What is held in memory is one chunk and one unfinished line. A line that is too long is skipped to its end and reported,
//! so that one bad line does not end an import.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::timeout;

use crate::problem::Problem;

/// The most rows of one chunk.
pub const CHUNK_ROWS_MAX: usize = 500;
/// The most bytes of one chunk; a chunk may pass it by its last line.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// The longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// How long a chunk that has rows waits for more before it is handed over.
const LINGER: Duration = Duration::from_millis(20);

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the body, from 1, blank lines counted.
    pub number: u64,
    /// Its text without the line break; `None` if it was longer than [`LINE_BYTES_MAX`].
    pub text: Option<Bytes>,
}

/// A body being read by lines.
pub struct Lines {
    body: BodyDataStream,
    idle: Duration,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line break.
    scanned: usize,
    number: u64,
    skipping: bool,
    ended: bool,
}

/// What waiting for the next piece of the body came to.
enum Piece {
    Data,
    Quiet,
    End,
}

impl Lines {
    /// Reads `body`; a pause longer than `idle` ends the request.
    #[must_use]
    pub fn new(body: Body, idle: Duration) -> Self {
        Self {
            body: body.into_data_stream(),
            idle,
            buffer: BytesMut::new(),
            scanned: 0,
            number: 0,
            skipping: false,
            ended: false,
        }
    }

    /// The next lines: as many as are there, up to the limits of a chunk. None at the end of the body.
    ///
    /// # Errors
    /// A [`Problem`] if the body pauses for too long or breaks off; the lines of this chunk are then lost, those of the
    /// chunks before it are not.
    pub async fn chunk(&mut self) -> Result<Vec<Line>, Problem> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        loop {
            while lines.len() < CHUNK_ROWS_MAX && bytes < CHUNK_BYTES_MAX {
                let Some(line) = self.next_line() else { break };
                bytes += line.text.as_ref().map_or(0, Bytes::len);
                lines.push(line);
            }
            if self.ended || lines.len() >= CHUNK_ROWS_MAX || bytes >= CHUNK_BYTES_MAX {
                return Ok(lines);
            }
            match self.read_more(lines.is_empty()).await? {
                Piece::Data | Piece::End => {}
                Piece::Quiet => return Ok(lines),
            }
        }
    }

    async fn read_more(&mut self, nothing_yet: bool) -> Result<Piece, Problem> {
        let patience = if nothing_yet { self.idle } else { LINGER };
        match timeout(patience, self.body.next()).await {
            Ok(Some(Ok(data))) => {
                self.buffer.extend_from_slice(&data);
                Ok(Piece::Data)
            }
            Ok(Some(Err(_))) => Err(Problem::new("bad_request", "the body broke off")),
            Ok(None) => {
                self.ended = true;
                Ok(Piece::End)
            }
            Err(_) if nothing_yet => Err(Problem::new("request_timeout", "the body paused for too long")),
            Err(_) => Ok(Piece::Quiet),
        }
    }

    /// The next line that is not blank from what was read so far.
    fn next_line(&mut self) -> Option<Line> {
        loop {
            let found = self.buffer[self.scanned..].iter().position(|b| *b == b'\n');
            let raw = match found {
                Some(at) => {
                    let mut raw = self.buffer.split_to(self.scanned + at + 1);
                    raw.truncate(raw.len() - 1);
                    raw
                }
                None if self.ended && (self.skipping || !self.buffer.is_empty()) => self.buffer.split(),
                None => {
                    self.scanned = self.buffer.len();
                    if self.scanned > LINE_BYTES_MAX {
                        self.skipping = true;
                    }
                    if self.skipping {
                        self.buffer.clear();
                        self.scanned = 0;
                    }
                    return None;
                }
            };
            self.scanned = 0;
            self.number += 1;
            let too_long = std::mem::take(&mut self.skipping) || raw.len() > LINE_BYTES_MAX;
            if too_long {
                return Some(Line { number: self.number, text: None });
            }
            let text = trimmed(raw.freeze(), self.number == 1);
            if !text.is_empty() {
                return Some(Line { number: self.number, text: Some(text) });
            }
        }
    }
}

/// The line without the carriage return, spaces around it and, on the first one, the byte order mark.
fn trimmed(raw: Bytes, first: bool) -> Bytes {
    let mut text: &[u8] = &raw;
    if first {
        text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    }
    let text = text.trim_ascii();
    if text.len() == raw.len() { raw } else { raw.slice_ref(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    fn body(pieces: Vec<Vec<u8>>) -> Lines {
        let pieces = pieces.into_iter().map(|p| Ok::<_, std::io::Error>(Bytes::from(p)));
        Lines::new(Body::from_stream(stream::iter(pieces)), Duration::from_secs(5))
    }

    async fn all(mut lines: Lines) -> Vec<(u64, Option<String>)> {
        let mut found = Vec::new();
        loop {
            let chunk = lines.chunk().await.unwrap();
            if chunk.is_empty() {
                return found;
            }
            let text = |b: Bytes| String::from_utf8(b.to_vec()).unwrap();
            found.extend(chunk.into_iter().map(|l| (l.number, l.text.map(text))));
        }
    }

    #[tokio::test]
    async fn lines_are_found_however_the_body_is_cut() {
        let text = b"{\"a\":1}\r\n\n  {\"b\":2}\n{\"c\":3}";
        let want = vec![(1, Some("{\"a\":1}".into())), (3, Some("{\"b\":2}".into())), (4, Some("{\"c\":3}".into()))];
        for size in [1, 2, 3, 7, 100] {
            let pieces = text.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(all(body(pieces)).await, want, "cut into pieces of {size}");
        }
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(all(body(vec![b"\xef\xbb\xbf{}\n".to_vec()])).await, vec![(1, Some("{}".into()))]);
    }

    #[tokio::test]
    async fn a_line_too_long_is_reported_and_the_next_one_read() {
        let pieces = vec![vec![b'x'; LINE_BYTES_MAX], vec![b'x'; LINE_BYTES_MAX], b"x\n{}\n".to_vec()];
        assert_eq!(all(body(pieces)).await, vec![(1, None), (2, Some("{}".into()))]);
    }

    #[tokio::test]
    async fn a_line_too_long_at_the_end_is_reported_too() {
        let pieces = vec![b"{}\n".to_vec(), vec![b'x'; LINE_BYTES_MAX + 1]];
        assert_eq!(all(body(pieces)).await, vec![(1, Some("{}".into())), (2, None)]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_never_held_in_memory() {
        let mut lines = body(vec![vec![b'x'; 1 << 20]; 20]);
        let chunk = lines.chunk().await.unwrap();
        assert_eq!(chunk, vec![Line { number: 1, text: None }]);
        assert!(lines.buffer.capacity() <= 4 << 20, "{}", lines.buffer.capacity());
    }

    #[tokio::test]
    async fn a_chunk_has_500_rows_at_most() {
        let mut lines = body(vec![b"{}\n".repeat(1_200)]);
        let mut sizes = Vec::new();
        loop {
            let chunk = lines.chunk().await.unwrap();
            if chunk.is_empty() {
                break;
            }
            sizes.push(chunk.len());
        }
        assert_eq!(sizes, [500, 500, 200]);
    }

    #[tokio::test]
    async fn a_chunk_ends_soon_after_a_mebibyte() {
        let line = [vec![b'x'; 400_000], vec![b'\n']].concat();
        assert_eq!(body(vec![line.repeat(5)]).chunk().await.unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_are_handed_over_when_the_sender_rests() {
        let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from("{}\n"))]).chain(stream::pending());
        let mut lines = Lines::new(Body::from_stream(pieces), Duration::from_secs(5));
        assert_eq!(lines.chunk().await.unwrap().len(), 1);
        assert_eq!(lines.chunk().await.unwrap_err().code(), "request_timeout");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_a_problem() {
        let pieces = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("gone"))]);
        let mut lines = Lines::new(Body::from_stream(pieces), Duration::from_secs(5));
        assert_eq!(lines.chunk().await.unwrap_err().code(), "bad_request");
    }

    #[tokio::test]
    async fn an_empty_body_has_no_lines() {
        assert!(all(body(vec![])).await.is_empty());
        assert!(all(body(vec![b"\n\n \r\n".to_vec()])).await.is_empty());
    }
}
