//! Files that only their owner may read: the owner's key, and the key that signs anchors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes the folder `path` and those above it; a new one is open to its owner alone.
///
/// # Errors
/// The error of the file system.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes `text` to `path` with mode 0600, whole or not at all, also over an older file.
///
/// # Errors
/// The error of the file system.
pub fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // A file left over from a crash may have another mode: it must not be reused.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Reads the 32 secret bytes in `path`, written as hexadecimal digits, or makes them.
///
/// # Errors
/// The error of the file system, or `InvalidData` if the file holds something else.
pub fn read_or_make(path: &Path) -> io::Result<[u8; 32]> {
    match File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(1_024).read_to_string(&mut text)?;
            let digest = text.trim().parse::<rapport_model::Digest>();
            digest.map(|d| d.0).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is no key of 64 digits"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|e| io::Error::other(e.to_string()))?;
            write(path, format!("{}\n", rapport_model::Digest(key)).as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner.key");
        fs::write(&path, "old and open").unwrap();
        write(&path, b"secret\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_once_made_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        let key = read_or_make(&path).unwrap();
        assert_eq!(read_or_make(&path).unwrap(), key);
        assert_ne!(key, [0; 32]);
    }

    #[test]
    fn a_damaged_key_is_an_error_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        fs::write(&path, "short").unwrap();
        assert_eq!(read_or_make(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
    }
}
