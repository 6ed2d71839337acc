//! The one form of tar that a package has: ustar, plain files alone, every field that could differ between machines zero.

use crate::error::PackageError;
use crate::path::PackagePath;

const BLOCK: usize = 512;
/// What stands behind the name: mode 0644, owner and group 0.
const MODE_AND_OWNERS: &[u8; 24] = b"0000644\x000000000\x000000000\x00";
const NAME_BYTES: usize = 100;
const SIZE_AT: usize = 124;
const MTIME_AT: usize = 136;
const SUM_AT: usize = 148;
const KIND_AT: usize = 156;
const MAGIC_AT: usize = 257;
const MAGIC: &[u8; 8] = b"ustar\x0000";

/// The archive of `files`, in the order given.
pub(crate) fn write<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        bytes.extend_from_slice(&header(name, content.len()));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len().min(NAME_BYTES)].copy_from_slice(&name.as_bytes()[..name.len().min(NAME_BYTES)]);
    block[NAME_BYTES..SIZE_AT].copy_from_slice(MODE_AND_OWNERS);
    block[SIZE_AT..MTIME_AT].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[MTIME_AT..SUM_AT].copy_from_slice(b"00000000000\0");
    block[SUM_AT..KIND_AT].copy_from_slice(b"        ");
    block[KIND_AT] = b'0';
    block[MAGIC_AT..MAGIC_AT + MAGIC.len()].copy_from_slice(MAGIC);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[SUM_AT..KIND_AT].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The files in the archive `bytes`, `most` at most, in their order.
///
/// # Errors
/// [`PackageError`] for anything that [`write()`] would not have written.
pub(crate) fn read(bytes: &[u8], most: usize) -> Result<Vec<(PackagePath, &[u8])>, PackageError> {
    let broken = |what: &str| PackageError::Format(what.to_owned());
    let mut files = Vec::new();
    let mut rest = bytes;
    loop {
        let (block, after) = rest.split_first_chunk::<BLOCK>().ok_or_else(|| broken("the archive is cut off"))?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let (path, size) = entry(block)?;
        if files.len() >= most {
            return Err(PackageError::TooLarge { what: "the most files", limit: most.to_string() });
        }
        let padded = size.checked_next_multiple_of(BLOCK).ok_or_else(|| broken("the archive is cut off"))?;
        let (content, next) = after.split_at_checked(padded).ok_or_else(|| broken("the archive is cut off"))?;
        files.push((path, &content[..size]));
        rest = next;
    }
    // What was read means what it says only if it is, to the last byte, what would have been written for it.
    let again = write(files.iter().map(|(path, content)| (path.as_str(), *content)));
    if again != bytes {
        return Err(broken("it is not in the one form that packages have"));
    }
    Ok(files)
}

/// The name and size of the file that a header block announces.
fn entry(block: &[u8; BLOCK]) -> Result<(PackagePath, usize), PackageError> {
    let name = &block[..NAME_BYTES];
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
    let shown: String = String::from_utf8_lossy(&name[..end]).escape_default().collect();
    if &block[MAGIC_AT..MAGIC_AT + MAGIC.len()] != MAGIC {
        return Err(PackageError::Format("it holds no ustar archive".into()));
    }
    let why = match block[KIND_AT] {
        b'0' => None,
        b'1' | b'2' => Some("it is a link"),
        b'3' | b'4' => Some("it is a device"),
        b'5' => Some("folders are not listed"),
        b'6' => Some("it is a pipe"),
        _ => Some("it is no plain file"),
    };
    if let Some(why) = why {
        return Err(PackageError::Path { path: shown, why });
    }
    let text = std::str::from_utf8(&name[..end]);
    let text = text.map_err(|_| PackageError::Path { path: shown, why: "its name is not UTF-8" })?;
    let digits = std::str::from_utf8(&block[SIZE_AT..MTIME_AT - 1]).ok();
    let size =
        digits.filter(|d| d.bytes().all(|b| (b'0'..=b'7').contains(&b))).and_then(|d| usize::from_str_radix(d, 8).ok());
    let size = size.ok_or_else(|| PackageError::Format("a size is no octal number".into()))?;
    Ok((PackagePath::new(text)?, size))
}
