//! Looks at what an archive says it holds, without unpacking it: the central directory at the end of a ZIP file.
//!
//! Refused are archives that would grow beyond measure, those whose parts lie over each other (so that a few bytes count many times),
//! and, in a plain `.zip`, what a computer would run. The layout is that of APPNOTE.TXT 6.3, sections 4.3.12 and 4.3.16.

use crate::attachments::ending_that_runs;

/// How many times as large as it is an archive may become.
const GROWTH_MAX: u64 = 100;
/// How large it may become in any case, in bytes: small texts shrink well.
const GROWN_FREE: u64 = 4 << 20;
/// How large it may become at all, in bytes.
const GROWN_MAX: u64 = 512 << 20;
/// The most files in it.
const FILES_MAX: usize = 5_000;
/// The length of the end record without its comment.
const END_BYTES: usize = 22;
/// The longest comment behind the end record.
const COMMENT_BYTES_MAX: usize = 65_535;
/// The length of an entry without its name.
const ENTRY_BYTES: usize = 46;

fn short(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 2).map(|b| u64::from(u16::from_le_bytes([b[0], b[1]])))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 4).map(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
}

/// Judges an archive of `size` bytes by the last of them.
///
/// # Errors
/// Why it does not come in.
pub(crate) fn judge(tail: &[u8], size: u64, names: bool) -> Result<(), String> {
    let no_archive = || "it is no archive that reads".to_owned();
    let last = tail.len().saturating_sub(END_BYTES);
    let end = (last.saturating_sub(COMMENT_BYTES_MAX)..=last).rev().find(|at| tail[*at..].starts_with(b"PK\x05\x06"));
    let end = end.ok_or_else(no_archive)?;
    let (count, length) = (short(tail, end + 10).ok_or_else(no_archive)?, long(tail, end + 12).ok_or_else(no_archive)?);
    let directory = usize::try_from(length).ok().and_then(|length| end.checked_sub(length));
    let directory = directory.ok_or_else(|| "what it holds does not fit what is looked at".to_owned())?;
    let mut entries = Entries { bytes: &tail[directory..end], at: 0 };
    let (mut packed, mut grown, mut seen) = (0_u64, 0_u64, 0_usize);
    while let Some(entry) = entries.next() {
        seen += 1;
        if seen > FILES_MAX {
            return Err(format!("it holds more than {FILES_MAX} files"));
        }
        packed = packed.saturating_add(entry.packed);
        grown = grown.saturating_add(entry.grown);
        let name = String::from_utf8_lossy(entry.name);
        if let Some(ending) = ending_that_runs(&name).filter(|_| names) {
            return Err(format!("it holds files with `.{ending}` in their name, which can be run"));
        }
    }
    if u64::try_from(seen).ok() != Some(count) || entries.at != entries.bytes.len() {
        return Err(no_archive());
    }
    if packed > size {
        return Err("its parts lie over each other".into());
    }
    if grown > GROWN_MAX || grown > GROWN_FREE.max(size.saturating_mul(GROWTH_MAX)) {
        return Err(format!("unpacked it would have {grown} bytes"));
    }
    Ok(())
}

struct Entry<'a> {
    packed: u64,
    grown: u64,
    name: &'a [u8],
}

struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Entries<'a> {
    /// The next entry; none where they end, or do not read.
    fn next(&mut self) -> Option<Entry<'a>> {
        let entry = self.bytes.get(self.at..)?;
        if !entry.starts_with(b"PK\x01\x02") {
            return None;
        }
        let (name, extra, comment) = (short(entry, 28)?, short(entry, 30)?, short(entry, 32)?);
        let name_end = ENTRY_BYTES.checked_add(usize::try_from(name).ok()?)?;
        let length = name_end + usize::try_from(extra + comment).ok()?;
        if entry.len() < length {
            return None;
        }
        self.at += length;
        Some(Entry { packed: long(entry, 20)?, grown: long(entry, 24)?, name: entry.get(ENTRY_BYTES..name_end)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with one entry of each kind: its name, how large it is, and how large it says that it becomes.
    fn archive(entries: &[(&str, u32, u32)]) -> Vec<u8> {
        let mut directory = Vec::new();
        for (name, packed, grown) in entries {
            let mut entry = vec![0_u8; ENTRY_BYTES];
            entry[..4].copy_from_slice(b"PK\x01\x02");
            entry[20..24].copy_from_slice(&packed.to_le_bytes());
            entry[24..28].copy_from_slice(&grown.to_le_bytes());
            entry[28..30].copy_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            directory.extend(entry);
            directory.extend(name.as_bytes());
        }
        let mut all = b"PK\x03\x04".to_vec();
        let length = u32::try_from(directory.len()).unwrap();
        all.extend(directory);
        let mut end = vec![0_u8; END_BYTES];
        end[..4].copy_from_slice(b"PK\x05\x06");
        end[10..12].copy_from_slice(&u16::try_from(entries.len()).unwrap().to_le_bytes());
        end[12..16].copy_from_slice(&length.to_le_bytes());
        all.extend(end);
        all
    }

    fn judged(entries: &[(&str, u32, u32)]) -> Result<(), String> {
        let bytes = archive(entries);
        judge(&bytes, bytes.len() as u64, true)
    }

    #[test]
    fn a_plain_archive_comes_in() {
        assert_eq!(judged(&[("a.pdf", 20, 5_000), ("b/c.txt", 10, 10)]), Ok(()));
        assert_eq!(judged(&[]), Ok(()));
    }

    #[test]
    fn one_that_would_grow_beyond_measure_is_refused() {
        assert!(judged(&[("zeros.txt", 20, 1 << 30)]).unwrap_err().contains("1073741824 bytes"));
        let many: Vec<(&str, u32, u32)> = (0..100).map(|_| ("x", 1, 1 << 20)).collect();
        assert!(judged(&many).unwrap_err().contains("unpacked"));
    }

    #[test]
    fn one_whose_parts_lie_over_each_other_is_refused() {
        assert_eq!(judged(&[("a", 500, 500), ("b", 500, 500)]).unwrap_err(), "its parts lie over each other");
    }

    #[test]
    fn one_that_holds_what_runs_is_refused() {
        assert!(judged(&[("docs/readme.pdf.exe", 1, 1)]).unwrap_err().contains("`.exe`"));
        let bytes = archive(&[("[Content_Types].xml", 1, 1)]);
        assert_eq!(judge(&bytes, bytes.len() as u64, false), Ok(()));
    }

    #[test]
    fn one_that_says_another_number_is_refused() {
        let mut bytes = archive(&[("a", 1, 1)]);
        let at = bytes.len() - END_BYTES + 10;
        bytes[at] = 2;
        assert_eq!(judge(&bytes, bytes.len() as u64, true).unwrap_err(), "it is no archive that reads");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>) {
            let _ = judge(&[&b"PK\x01\x02"[..], &bytes, b"PK\x05\x06", &bytes].concat(), 100, true);
        }
    }
}
