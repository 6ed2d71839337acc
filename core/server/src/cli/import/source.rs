//! The CSV file: decoded, its delimiter found, read row by row with line numbers, never whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::Failure;

/// The longest row, in bytes. A quote that is never closed would otherwise take the rest of the file for one cell.
const ROW_BYTES_MAX: u64 = 8 << 20;
/// How much of the file is looked at to find the delimiter.
const SNIFF_BYTES: usize = 64 << 10;
/// A row of its own behind the last one. What finds it in a cell has a quote that is never closed.
const END: &[u8] = b"\0the file ends here\0";
/// What stands in the decoded text for bytes that are none of the encoding: invalid in UTF-8, so the row is found out.
const MALFORMED: u8 = 0xff;

/// How the file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    delimiter: Option<u8>,
    encoding: Option<&'static Encoding>,
}

impl Format {
    /// A format from flags.
    pub(super) fn new(delimiter: Option<&str>, encoding: Option<&str>) -> Result<Self, Failure> {
        let delimiter = match delimiter {
            None => None,
            Some("\\t" | "tab") => Some(b'\t'),
            Some(text) => match text.as_bytes() {
                [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => Some(*one),
                _ => return Err(Failure::Usage(format!("`--delimiter {text}`: must be one character, or `tab`"))),
            },
        };
        let named = |name: &str| {
            Encoding::for_label(name.as_bytes())
                .ok_or_else(|| Failure::Usage(format!("`--encoding {name}`: there is no such encoding")))
        };
        Ok(Self { delimiter, encoding: encoding.map(named).transpose()? })
    }
}

/// A CSV file being read.
pub(super) struct Source {
    file: PathBuf,
    rows: Reader<Watched>,
    columns: Vec<String>,
    size: u64,
    read: Arc<AtomicU64>,
    since_row: Arc<AtomicU64>,
}

/// One row with the line that it begins on.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) cells: ByteRecord,
    /// A quote in it is never closed: its last cell holds the rest of the file.
    pub(super) open: bool,
}

impl Source {
    /// Opens `file` and reads the names of its columns.
    pub(super) fn open(file: &Path, format: &Format) -> Result<Self, Failure> {
        let unreadable = |e: io::Error| Failure::Usage(format!("cannot read `{}`: {e}", file.display()));
        let opened = File::open(file).map_err(unreadable)?;
        let size = opened.metadata().map_err(unreadable)?.len();
        let (read, since_row) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = Counted { file: opened, read: Arc::clone(&read) };
        let mut text = Decoded::new(Box::new(counted), format.encoding).map_err(unreadable)?;
        let head = text.peek(SNIFF_BYTES).map_err(unreadable)?;
        let delimiter = format.delimiter.unwrap_or_else(|| sniff(head));
        // The reader counts a line when it meets `\n`: as a part of `\r\n` that would be a row too late. So rows end with `\n`,
        // and the `\r` before it is taken off the last cell. Only a file without any `\n` has rows that end with `\r`.
        let terminator = if head.contains(&b'\n') { Terminator::Any(b'\n') } else { Terminator::CRLF };
        let watched = Watched { text, since_row: Arc::clone(&since_row), last: b'\n', ended: 0 };
        let mut rows = ReaderBuilder::new()
            .delimiter(delimiter)
            .terminator(terminator)
            .has_headers(false)
            .flexible(true)
            .from_reader(watched);
        let mut names = ByteRecord::new();
        let some = rows.read_byte_record(&mut names).map_err(|e| Failure::Failed(e.to_string()))?;
        if !some || names.as_slice() == END {
            return Err(Failure::Failed(format!("`{}` is empty", file.display())));
        }
        if names.as_slice().ends_with(END) {
            return Err(Failure::Failed(format!("`{}`: a quote in the first row is never closed", file.display())));
        }
        since_row.store(0, Ordering::Relaxed);
        let columns = names.iter().map(|c| String::from_utf8_lossy(c).trim().to_owned()).collect();
        Ok(Self { file: file.to_owned(), rows, columns, size, read, since_row })
    }

    /// The names of the columns.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The size of the file, and a counter of how much of it was read.
    pub(super) fn extent(&self) -> (u64, Arc<AtomicU64>) {
        (self.size, Arc::clone(&self.read))
    }

    /// The next row; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Failure> {
        loop {
            let mut cells = ByteRecord::new();
            let begin = self.rows.position().line();
            let more = self.rows.read_byte_record(&mut cells);
            self.since_row.store(0, Ordering::Relaxed);
            match more {
                Ok(false) => return Ok(None),
                Ok(true) if cells.len() == 1 && &cells[0] == END => return Ok(None),
                // A blank line of a file whose lines end with `\r\n`.
                Ok(true) if cells.len() == 1 && &cells[0] == b"\r" => {}
                Ok(true) => {
                    let open = cells.as_slice().ends_with(END);
                    // Counted back from the end of the row: before its begin there may be blank lines. An open row ends in its line.
                    let inside = cells.as_slice().split(|b| *b == b'\n').count() as u64 - u64::from(open);
                    let line = self.rows.position().line().saturating_sub(inside).max(1);
                    let cells = if open { without_end(&cells) } else { without_return(cells) };
                    return Ok(Some(Row { line, cells, open }));
                }
                Err(error) => {
                    let file = self.file.display();
                    return Err(Failure::Failed(format!(
                        "{file}:{begin}: the row that begins here cannot be read: {error}"
                    )));
                }
            }
        }
    }

    /// Passes over `rows` rows.
    pub(super) fn skip(&mut self, rows: u64) -> Result<(), Failure> {
        for _ in 0..rows {
            if self.next()?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// The row without a `\r` at the end of its last cell.
fn without_return(cells: ByteRecord) -> ByteRecord {
    match cells.iter().next_back() {
        Some(last) if last.ends_with(b"\r") => {
            let keep = cells.len() - 1;
            let mut trimmed: ByteRecord = cells.iter().take(keep).collect();
            trimmed.push_field(&last[..last.len() - 1]);
            trimmed
        }
        _ => cells,
    }
}

/// The row without [`END`] at the end of its last cell.
fn without_end(cells: &ByteRecord) -> ByteRecord {
    let keep = cells.len().saturating_sub(1);
    let mut trimmed: ByteRecord = cells.iter().take(keep).collect();
    trimmed.push_field(cells.iter().next_back().and_then(|c| c.strip_suffix(END)).unwrap_or_default());
    trimmed
}

/// The delimiter that the first line holds most of, outside quotes.
fn sniff(head: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some((_, n)) = counts.iter_mut().find(|(d, _)| d == byte) {
                    *n += 1;
                }
            }
        }
    }
    // The first of the greatest: a comma where nothing speaks for another.
    counts.iter().rev().max_by_key(|(_, n)| *n).map_or(b',', |(d, _)| *d)
}

/// Counts what is read from the file, for the progress bar.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Fails once one row takes more than its share, ends the last row if the file does not, and adds [`END`].
struct Watched {
    text: Decoded,
    since_row: Arc<AtomicU64>,
    last: u8,
    /// How much of [`END`] was given.
    ended: usize,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            if self.last != b'\n' {
                buffer[0] = b'\n';
                self.last = b'\n';
                return Ok(1);
            }
            let rest = &END[self.ended..];
            let given = rest.len().min(buffer.len());
            buffer[..given].copy_from_slice(&rest[..given]);
            self.ended += given;
            return Ok(given);
        }
        if let Some(last) = buffer[..read].last() {
            self.last = *last;
        }
        if self.since_row.fetch_add(read as u64, Ordering::Relaxed) > ROW_BYTES_MAX {
            return Err(io::Error::other(format!("it is longer than {ROW_BYTES_MAX} bytes; is a quote not closed?")));
        }
        Ok(read)
    }
}

/// Bytes of any encoding as UTF-8, without a byte order mark.
struct Decoded {
    raw: Box<dyn Read + Send>,
    /// None for UTF-8, which passes as it is: each row is checked when it is used.
    decoder: Option<Decoder>,
    input: Vec<u8>,
    input_at: usize,
    output: Vec<u8>,
    output_at: usize,
    ended: bool,
}

impl Decoded {
    fn new(mut raw: Box<dyn Read + Send>, named: Option<&'static Encoding>) -> io::Result<Self> {
        let mut start = vec![0; 4];
        let mut length = 0;
        while length < start.len() {
            match raw.read(&mut start[length..])? {
                0 => break,
                read => length += read,
            }
        }
        start.truncate(length);
        let (encoding, mark) = match Encoding::for_bom(&start) {
            Some((found, mark)) => (found, mark),
            None => (named.unwrap_or_else(|| guess(&start)), 0),
        };
        start.drain(..mark);
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        Ok(Self { raw, decoder, input: start, input_at: 0, output: Vec::new(), output_at: 0, ended: false })
    }

    /// The text's first `most` bytes or so, which are still read afterwards.
    fn peek(&mut self, most: usize) -> io::Result<&[u8]> {
        while self.output.len() < most && !self.ended {
            self.more()?;
        }
        Ok(&self.output)
    }

    /// Decodes another piece to the end of the output.
    fn more(&mut self) -> io::Result<()> {
        if self.input_at == self.input.len() {
            self.input.resize(32 << 10, 0);
            let read = self.raw.read(&mut self.input)?;
            self.input.truncate(read);
            self.input_at = 0;
            self.ended = read == 0;
        }
        let Some(decoder) = &mut self.decoder else {
            self.output.extend_from_slice(&self.input[self.input_at..]);
            self.input_at = self.input.len();
            return Ok(());
        };
        let from = self.output.len();
        let input = &self.input[self.input_at..];
        let room = decoder.max_utf8_buffer_length_without_replacement(input.len()).unwrap_or(128 << 10);
        self.output.resize(from + room, 0);
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(input, &mut self.output[from..], self.ended);
        self.input_at += read;
        self.output.truncate(from + written);
        if let DecoderResult::Malformed(..) = result {
            self.output.push(MALFORMED);
        }
        debug_assert!(!matches!(result, DecoderResult::OutputFull), "the output was made large enough");
        Ok(())
    }
}

/// UTF-16 without a mark shows itself by its zero bytes.
fn guess(start: &[u8]) -> &'static Encoding {
    match start {
        [0, a, 0, b] if *a != 0 && *b != 0 => UTF_16BE,
        [a, 0, b, 0] if *a != 0 && *b != 0 => UTF_16LE,
        _ => UTF_8,
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.output_at == self.output.len() {
            self.output.clear();
            self.output_at = 0;
            if self.ended {
                return Ok(0);
            }
            self.more()?;
        }
        let ready = &self.output[self.output_at..];
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.output_at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
