//! `plugin dev`: builds and tests a plugin again whenever a file of it is saved.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rapport_sandbox::author::Care;

use super::{build, check_folder};
use crate::cli::{Common, Failure, Outcome, test};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Folders that tools write.
const MADE: [&str; 6] = ["target", "node_modules", "wit", "bindings", "__pycache__", "dist"];

/// The kinds of files that they write beside what the author writes.
const MADE_KINDS: [&str; 2] = ["wasm", "lock"];

/// What of a file tells that it was saved.
type Seen = BTreeMap<PathBuf, (SystemTime, u64)>;

/// Goes on until it is interrupted.
pub(super) fn run(common: &Common, dir: &Path, options: test::Options) -> Outcome {
    loop {
        let seen = files(dir)?;
        let began = Instant::now();
        match once(common, dir, options) {
            Ok(()) => {
                println!("{:.1} s; waits for the next change in {}", began.elapsed().as_secs_f64(), dir.display());
            }
            Err(failure) => eprintln!("error: {failure}\nwaits for the next change in {}", dir.display()),
        }
        while files(dir)? == seen {
            std::thread::sleep(LOOK);
        }
    }
}

fn once(common: &Common, dir: &Path, options: test::Options) -> Result<(), Failure> {
    check_folder(common, dir, Some(build(dir, Care::Quick)?))?;
    test::plugin(common, dir, options).map(drop)
}

/// The files that the author writes.
fn files(dir: &Path) -> Result<Seen, Failure> {
    let mut seen = Seen::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // An editor may put a file in place of another meanwhile.
            let Ok(meta) = entry.metadata() else { continue };
            if name.starts_with('.') || MADE.contains(&name.as_str()) {
                continue;
            }
            if meta.is_dir() {
                folders.push(path);
            } else if !MADE_KINDS.iter().any(|kind| path.extension() == Some(OsStr::new(kind)))
                && name != "package-lock.json"
            {
                seen.insert(path, (meta.modified()?, meta.len()));
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_write_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for path in ["target/a", "node_modules/b", ".git/c", "wit/d", "e.wasm", "Cargo.lock"] {
            write(path);
        }
        assert!(files(folder.path()).unwrap().is_empty());
        write("src/lib.rs");
        write("plugin.toml");
        assert_eq!(files(folder.path()).unwrap().len(), 2);
    }
}
