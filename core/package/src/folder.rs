//! From a plugin's folder to its package, and back.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::archive::{CONTENT_BYTES_MAX, FILES_MAX};
use crate::error::PackageError;
use crate::path::PackagePath;
use crate::{MANIFEST, Package};

/// The files at the top of a folder that are packed, beside the component.
const TOP: [&str; 6] = [MANIFEST, "README.md", "CHANGELOG.md", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT"];
/// The folders that are packed.
const FOLDERS: [&str; 4] = ["schemas", "scripts", "templates", "texts"];
/// How deep folders are looked into.
const DEPTH_MAX: usize = 4;

/// Packs the plugin in `dir`: `plugin.toml`, the component, and what lies in `schemas`, `scripts`, `templates` and `texts`.
/// Sources and what was built on the way stay at home.
///
/// # Errors
/// [`PackageError`] if a file cannot be read, is a link, or is one that no package may hold.
pub fn read(dir: &Path, component: &str) -> Result<Package, PackageError> {
    let mut found = Vec::new();
    let mut left = CONTENT_BYTES_MAX;
    for name in TOP.into_iter().chain([component]) {
        let path = dir.join(name);
        if name == component || name == MANIFEST || path.symlink_metadata().is_ok() {
            found.push((PackagePath::new(name)?, file(&path, &mut left)?));
        }
    }
    for name in FOLDERS {
        let path = dir.join(name);
        if path.symlink_metadata().is_ok() {
            walk(&path, (name, 0), &mut left, &mut found)?;
        }
    }
    Package::new(found)
}

fn walk(
    dir: &Path,
    (name, depth): (&str, usize),
    left: &mut usize,
    found: &mut Vec<(PackagePath, Vec<u8>)>,
) -> Result<(), PackageError> {
    let failed = |source| PackageError::File { path: dir.to_owned(), source };
    if dir.symlink_metadata().map_err(failed)?.is_symlink() || depth > DEPTH_MAX {
        let why = if depth > DEPTH_MAX { "it lies too deep" } else { "it is a link" };
        return Err(PackageError::Path { path: name.to_owned(), why });
    }
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let step = path.file_name().map(|step| step.to_string_lossy().into_owned()).unwrap_or_default();
        if step.starts_with('.') {
            continue;
        }
        let inner = format!("{name}/{step}");
        if path.symlink_metadata().map_err(failed)?.is_dir() {
            walk(&path, (&inner, depth + 1), left, found)?;
        } else {
            if found.len() >= FILES_MAX {
                return Err(PackageError::TooLarge { what: "the most files", limit: FILES_MAX.to_string() });
            }
            found.push((PackagePath::new(&inner)?, file(&path, left)?));
        }
    }
    Ok(())
}

fn file(path: &Path, left: &mut usize) -> Result<Vec<u8>, PackageError> {
    let failed = |source| PackageError::File { path: path.to_owned(), source };
    let meta = path.symlink_metadata().map_err(failed)?;
    if !meta.is_file() {
        let why = if meta.is_symlink() { "it is a link" } else { "it is no plain file" };
        return Err(PackageError::Path { path: path.display().to_string(), why });
    }
    let size = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    *left = left.checked_sub(size).ok_or_else(|| PackageError::TooLarge {
        what: "the most content",
        limit: format!("{CONTENT_BYTES_MAX} bytes"),
    })?;
    fs::read(path).map_err(failed)
}

/// Writes the files of `package` into `dir`, which must not be there or be empty.
///
/// # Errors
/// [`PackageError::File`]; then a part of the files may have been written.
pub fn write(package: &Package, dir: &Path) -> Result<(), PackageError> {
    let failed = |path: &Path, source| PackageError::File { path: path.to_owned(), source };
    fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    if fs::read_dir(dir).map_err(|e| failed(dir, e))?.next().is_some() {
        return Err(failed(dir, io::Error::new(io::ErrorKind::AlreadyExists, "the folder is not empty")));
    }
    for (path, content) in package.files() {
        let place = dir.join(path.as_str());
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
        }
        // What is there already, were it a link, is never written through.
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&place);
        file.and_then(|mut file| file.write_all(content)).map_err(|e| failed(&place, e))?;
    }
    Ok(())
}
