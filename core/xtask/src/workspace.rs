//! Where the project lies, which files are its own, and how its commands are started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root folder of the project.
pub(crate) fn root() -> PathBuf {
    // Asked when it runs, since a clone that shares the target folder shares this program, too.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = here.filter(|p| p.ends_with("core/xtask")).unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    manifest.ancestors().nth(2).expect("core/xtask lies two folders below the root").to_path_buf()
}

/// A command that runs in the root folder.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Cargo in the root folder, without the variables that the cargo which started us set for us alone.
pub(crate) fn cargo() -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs `command` to its end.
///
/// # Errors
/// If it cannot be started or does not exit with 0; the message holds the whole command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs `command` to its end and returns what it printed.
///
/// # Errors
/// As [`run`]; the message holds what it printed as errors.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed what is no UTF-8"))
}

/// Whether `command` can be started and exits with 0; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|o| o.status.success())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}

/// The folders that are not ours: built, fetched, or data.
const FOREIGN: [&str; 5] = ["target", ".git", "data", "node_modules", "dist"];

/// The project's own files whose name ends in `.extension`, in order, relative to `root`.
///
/// # Errors
/// If a folder cannot be read.
pub(crate) fn files(root: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !FOREIGN.iter().any(|f| entry.file_name() == *f) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path.strip_prefix(root).unwrap_or(&path).to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn what_was_built_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/b.rs", "target/debug/c.rs", "a/node_modules/d.rs", "e.toml", "f.rs"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(files(folder.path(), "rs").unwrap(), [PathBuf::from("a/b.rs"), PathBuf::from("f.rs")]);
    }

    #[test]
    fn a_failed_command_is_named_with_its_words() {
        let error = run(cargo().args(["no-such-command", "x"]).stderr(std::process::Stdio::null())).unwrap_err();
        assert!(error.to_string().starts_with("`cargo no-such-command x` failed"), "{error}");
    }
}
