//! The list of checksums, in the form that `sha256sum --check` reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rapport_model::Digest;

use crate::error::PackageError;
use crate::path::PackagePath;

/// The list for `files`, sorted by name.
pub(crate) fn list(files: &BTreeMap<PackagePath, Vec<u8>>) -> String {
    let mut text = String::new();
    for (path, content) in files {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}  {path}", Digest::of(content));
    }
    text
}

/// Holds `files` against the list that came with them.
///
/// # Errors
/// [`PackageError::Changed`] naming the first file that differs, is not listed, or is listed and missing.
pub(crate) fn verify(files: &BTreeMap<PackagePath, Vec<u8>>, listed: &[u8]) -> Result<(), PackageError> {
    let own = list(files);
    if own.as_bytes() == listed {
        return Ok(());
    }
    let listed = String::from_utf8_lossy(listed);
    let known: BTreeMap<&str, &str> =
        listed.lines().filter_map(|line| line.split_once("  ")).map(|(d, p)| (p, d)).collect();
    for line in own.lines() {
        let Some((digest, path)) = line.split_once("  ") else { continue };
        match known.get(path) {
            None => return Err(PackageError::Changed(format!("`{path}` is not in the list of checksums"))),
            Some(other) if *other != digest => {
                return Err(PackageError::Changed(format!("`{path}` is not the file that was packed")));
            }
            Some(_) => {}
        }
    }
    let gone = known.keys().find(|path| !files.contains_key(**path));
    let shown = |path: &str| path.escape_default().take(100).collect::<String>();
    Err(PackageError::Changed(match gone {
        Some(path) => format!("`{}` is in the list of checksums, and is not there", shown(path)),
        None => "the list of checksums is not in its own form".to_owned(),
    }))
}
