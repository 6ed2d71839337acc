//! From files to the bytes of an archive and back, with a limit on everything before it is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};

use crate::error::PackageError;
use crate::path::PackagePath;
use crate::signature::Signature;
use crate::{CHECKSUMS, MANIFEST, SIGNATURE, checksums, tar};

/// The most bytes of an archive.
pub const ARCHIVE_BYTES_MAX: usize = 48 << 20;
/// The most bytes of what an archive holds.
pub const CONTENT_BYTES_MAX: usize = 64 << 20;
/// The most files of an archive.
pub const FILES_MAX: usize = 500;
/// What a gzip stream of ours begins with: no name, no time, no operating system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The files of a package by name.
pub(crate) type Files = BTreeMap<PackagePath, Vec<u8>>;

/// Refuses files that no package may hold together.
///
/// # Errors
/// [`PackageError`] with what is wrong.
pub(crate) fn check(files: &Files) -> Result<(), PackageError> {
    if files.len() > FILES_MAX - 2 {
        return Err(PackageError::TooLarge { what: "the most files", limit: (FILES_MAX - 2).to_string() });
    }
    let bytes: usize = files.values().map(Vec::len).sum();
    if bytes > CONTENT_BYTES_MAX - (2 + files.len()) * 1_024 {
        return Err(PackageError::TooLarge { what: "the most content", limit: format!("{CONTENT_BYTES_MAX} bytes") });
    }
    let mut seen: BTreeSet<String> = [CHECKSUMS, SIGNATURE].map(str::to_owned).into();
    for path in files.keys() {
        let folded = path.folded();
        // A file cannot be a folder as well.
        let inside = folded.match_indices('/').any(|(at, _)| files.keys().any(|other| other.folded() == folded[..at]));
        if inside || !seen.insert(folded) {
            return Err(PackageError::Twice(path.to_string()));
        }
    }
    if files.contains_key(MANIFEST) { Ok(()) } else { Err(PackageError::Missing(MANIFEST)) }
}

/// The archive of `files`, sorted by name, with their checksums and the signature.
pub(crate) fn write(files: &Files, signature: Option<&Signature>) -> Vec<u8> {
    let listed = checksums::list(files);
    let signed = signature.map(Signature::to_text);
    let mut all: BTreeMap<&str, &[u8]> =
        files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    all.insert(CHECKSUMS, listed.as_bytes());
    all.extend(signed.as_ref().map(|text| (SIGNATURE, text.as_bytes())));
    let tar = tar::write(all.into_iter());
    let mut gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::new(6));
    gzip.write_all(&tar).expect("writing to memory does not fail");
    gzip.finish().expect("writing to memory does not fail")
}

/// Reads and verifies an archive.
///
/// # Errors
/// [`PackageError`] with what is wrong.
pub(crate) fn read(bytes: &[u8]) -> Result<(Files, Option<Signature>), PackageError> {
    let tar = expand(bytes)?;
    let mut files = BTreeMap::new();
    let mut last: Option<PackagePath> = None;
    for (path, content) in tar::read(&tar, FILES_MAX)? {
        match last.as_ref().map(|last| last.cmp(&path)) {
            Some(std::cmp::Ordering::Equal) => return Err(PackageError::Twice(path.to_string())),
            Some(std::cmp::Ordering::Greater) => return Err(PackageError::Format("its files are not sorted".into())),
            _ => {}
        }
        last = Some(path.clone());
        files.insert(path, content.to_vec());
    }
    drop(tar);
    let listed = files.remove(CHECKSUMS).ok_or(PackageError::Missing(CHECKSUMS))?;
    let signed = files.remove(SIGNATURE);
    check(&files)?;
    checksums::verify(&files, &listed)?;
    let signature = signed.map(|text| Signature::read(&text, &listed)).transpose()?;
    Ok((files, signature))
}

/// Takes the archive out of its compression, up to the most that it may hold.
fn expand(bytes: &[u8]) -> Result<Vec<u8>, PackageError> {
    let broken = |what: &str| PackageError::Format(what.to_owned());
    if bytes.len() > ARCHIVE_BYTES_MAX {
        return Err(PackageError::TooLarge {
            what: "the largest archive",
            limit: format!("{ARCHIVE_BYTES_MAX} bytes"),
        });
    }
    if !bytes.starts_with(&GZIP_HEAD) {
        return Err(broken("it does not begin as one"));
    }
    let most = u64::try_from(CONTENT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut decoder = GzDecoder::new(bytes);
    let mut content = Vec::new();
    let read = decoder.by_ref().take(most + 1).read_to_end(&mut content);
    if content.len() > CONTENT_BYTES_MAX {
        return Err(PackageError::TooLarge { what: "the most content", limit: format!("{CONTENT_BYTES_MAX} bytes") });
    }
    read.map_err(|e| broken(&format!("it cannot be decompressed: {e}")))?;
    if !decoder.into_inner().is_empty() {
        return Err(broken("something stands behind its end"));
    }
    Ok(content)
}
