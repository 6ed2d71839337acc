//! The file of refused rows: line, reason, and the row's own cells, to be mended and imported again.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Writer, WriterBuilder};

use super::Failure;

/// Refused rows being written. The file comes to be with the first of them.
pub(super) struct RefusedFile {
    path: PathBuf,
    columns: Vec<String>,
    writer: Option<Writer<File>>,
}

impl RefusedFile {
    /// Goes on after `bytes` of an earlier attempt, or begins anew if there were none.
    pub(super) fn open(path: &Path, columns: &[String], bytes: u64) -> Result<Self, Failure> {
        let mut file = Self { path: path.to_owned(), columns: columns.to_vec(), writer: None };
        if bytes == 0 {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file.failed(&error)),
                _ => return Ok(file),
            }
        }
        let append = || -> io::Result<File> {
            let opened = OpenOptions::new().append(true).create(true).open(path)?;
            // Rows of a batch that was not finished come again.
            if opened.metadata()?.len() > bytes {
                opened.set_len(bytes)?;
            }
            Ok(opened)
        };
        let opened = append().map_err(|e| file.failed(&e))?;
        file.writer = Some(WriterBuilder::new().flexible(true).from_writer(opened));
        Ok(file)
    }

    /// Writes a refused row.
    pub(super) fn add(&mut self, line: u64, reason: &str, cells: &ByteRecord) -> Result<(), Failure> {
        if self.writer.is_none() {
            let created = File::create(&self.path).map_err(|e| self.failed(&e))?;
            let mut writer = WriterBuilder::new().flexible(true).from_writer(created);
            let head = ["line", "reason"].into_iter().chain(self.columns.iter().map(String::as_str));
            writer.write_record(head).map_err(|e| self.failed(&e.into()))?;
            self.writer = Some(writer);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut record = ByteRecord::new();
        record.push_field(line.to_string().as_bytes());
        record.push_field(&harmless(reason.as_bytes()));
        for cell in cells {
            record.push_field(&harmless(cell));
        }
        let written = writer.write_byte_record(&record);
        written.map_err(|e| self.failed(&e.into()))
    }

    /// Makes what was written durable; gives the size of the file.
    pub(super) fn flush(&mut self) -> Result<u64, Failure> {
        let Some(writer) = &mut self.writer else { return Ok(0) };
        let flushed = writer.flush().and_then(|()| {
            writer.get_ref().sync_data()?;
            Ok(writer.get_ref().metadata()?.len())
        });
        flushed.map_err(|e| self.failed(&e))
    }

    /// Ends the file; gives its path if there were refused rows.
    pub(super) fn finish(mut self) -> Result<Option<PathBuf>, Failure> {
        let size = self.flush()?;
        Ok((size > 0).then(|| self.path.clone()))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::Failed(format!("the file of refused rows `{}`: {error}", self.path.display()))
    }
}

/// A cell that no spreadsheet takes for a formula: one that begins like one, and is no number, gets a `'` before it.
fn harmless(cell: &[u8]) -> Vec<u8> {
    let number = || std::str::from_utf8(cell).is_ok_and(|t| t.trim().parse::<f64>().is_ok());
    match cell.first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r') if !number() => [b"'", cell].concat(),
        _ => cell.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<String> {
        vec!["a".to_owned(), "b".to_owned()]
    }

    fn cells(all: &[&str]) -> ByteRecord {
        ByteRecord::from(all.to_vec())
    }

    #[test]
    fn refused_rows_stand_with_line_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.csv");
        let mut file = RefusedFile::open(&path, &columns(), 0).unwrap();
        file.add(7, "has no, customer", &cells(&["1", "x\ny"])).unwrap();
        file.add(9, "short", &cells(&["1"])).unwrap();
        assert_eq!(file.finish().unwrap(), Some(path.clone()));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "line,reason,a,b\n7,\"has no, customer\",1,\"x\ny\"\n9,short,1\n");
    }

    #[test]
    fn without_refused_rows_there_is_no_file_and_an_old_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.csv");
        std::fs::write(&path, "old").unwrap();
        assert_eq!(RefusedFile::open(&path, &columns(), 0).unwrap().finish().unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn going_on_cuts_off_what_was_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.csv");
        let mut file = RefusedFile::open(&path, &columns(), 0).unwrap();
        file.add(2, "x", &cells(&["1", "2"])).unwrap();
        let done = file.flush().unwrap();
        file.add(3, "y", &cells(&["3", "4"])).unwrap();
        file.finish().unwrap();
        let mut again = RefusedFile::open(&path, &columns(), done).unwrap();
        again.add(3, "y", &cells(&["3", "4"])).unwrap();
        again.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line,reason,a,b\n2,x,1,2\n3,y,3,4\n");
    }

    #[test]
    fn a_cell_that_looks_like_a_formula_is_made_harmless_and_a_number_left_alone() {
        for (given, written) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@sum(1)", "'@sum(1)"),
            ("+49 221 1", "'+49 221 1"),
            ("-12.50", "-12.50"),
            ("+3", "+3"),
            ("plain", "plain"),
        ] {
            assert_eq!(harmless(given.as_bytes()), written.as_bytes());
        }
    }
}
