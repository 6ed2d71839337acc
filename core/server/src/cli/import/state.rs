//! How far an import came, in a small file beside the CSV file, so that the same command goes on after a kill.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rapport_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::tally::Counts;
use super::{Failure, ImportArgs};
use crate::digest_file::digest_of;
use crate::secret_file;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// Rows of the file.
    pub(super) rows: u64,
    /// Bytes of the refused file that stand for them.
    pub(super) refused_bytes: u64,
    /// Where the server's log stood then.
    pub(super) head: i64,
    /// What became of them.
    pub(super) counts: Counts,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    import: Digest,
    done: Done,
}

/// The state of one import: of one file's content with one set of flags.
pub(super) struct StateFile {
    path: PathBuf,
    /// Tells this import from another of the same file.
    import: Digest,
    /// Where the server's log stands.
    head: i64,
}

impl StateFile {
    /// The state file for `args`, beside `file`; `workspace` is what the server says of itself.
    pub(super) fn beside(file: &Path, args: &ImportArgs, workspace: &Json) -> Result<Self, Failure> {
        let mut opened = File::open(file)?;
        let (content, _) = digest_of(&mut opened)?;
        let own = workspace["workspace"].as_str().unwrap_or_default();
        let mut identity = format!("{own}\n{content}\n");
        // Whatever changes what a row becomes makes it another import.
        let _ = write!(
            identity,
            "{:?}",
            (&args.object, &args.key, &args.maps, &args.constants, &args.tz, &args.time_format, &args.name)
        );
        let _ = write!(
            identity,
            "{:?}",
            (&args.decimal_comma, &args.delimiter, &args.encoding, args.automations.as_str(), &args.time)
        );
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".import-state");
        let head = workspace["head"].as_i64().unwrap_or(0);
        Ok(Self { path: file.with_file_name(name), import: Digest::of(identity.as_bytes()), head })
    }

    /// The first digits of what tells this import from another.
    pub(super) fn short_digest(&self) -> String {
        self.import.short()
    }

    /// What was done before; nothing if the file is missing, damaged or of another import, or if the log has since been put
    /// back to a time before (by a backup).
    pub(super) fn read(&self) -> Done {
        let saved = fs::read(&self.path).ok().and_then(|text| serde_json::from_slice::<Saved>(&text).ok());
        saved.filter(|s| s.import == self.import && s.done.head <= self.head).map(|s| s.done).unwrap_or_default()
    }

    /// Notes what is done, whole or not at all.
    pub(super) fn write(&self, done: &Done) -> Result<(), Failure> {
        let saved = Saved { import: self.import, done: done.clone() };
        let text = serde_json::to_vec(&saved).map_err(|e| Failure::Failed(e.to_string()))?;
        let failed = |e| Failure::Failed(format!("the state file `{}`: {e}", self.path.display()));
        secret_file::write(&self.path, &text).map_err(failed)
    }

    /// The import is done: the same command again begins anew.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ImportArgs,
    }

    fn state(file: &Path, more: &[&str]) -> StateFile {
        state_on(&json!({"workspace": "w1", "head": 90}), file, more)
    }

    fn state_on(workspace: &Json, file: &Path, more: &[&str]) -> StateFile {
        let line = ["import", "f.csv", "--object", "order", "--key", "order_no", "--map", "order_no=a"];
        StateFile::beside(file, &Line::try_parse_from(line.iter().chain(more)).unwrap().args, workspace).unwrap()
    }

    fn done() -> Done {
        Done {
            rows: 2_500,
            refused_bytes: 77,
            head: 80,
            counts: Counts { rows: 2_500, created: 2_400, refused: 100, ..Counts::default() },
        }
    }

    #[test]
    fn what_was_done_is_known_to_the_same_command() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.csv");
        fs::write(&file, "a\n1\n").unwrap();
        assert_eq!(state(&file, &[]).read(), Done::default());
        state(&file, &[]).write(&done()).unwrap();
        assert_eq!(state(&file, &[]).read(), done());
        state(&file, &[]).remove();
        assert_eq!(state(&file, &[]).read(), Done::default());
    }

    #[test]
    fn another_content_or_another_mapping_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.csv");
        fs::write(&file, "a\n1\n").unwrap();
        state(&file, &[]).write(&done()).unwrap();
        assert_eq!(state(&file, &["--const", "currency=GBP"]).read(), Done::default());
        assert_eq!(state(&file, &["--automations", "skip"]).read(), Done::default());
        fs::write(&file, "a\n2\n").unwrap();
        assert_eq!(state(&file, &[]).read(), Done::default());
    }

    #[test]
    fn another_workspace_or_one_put_back_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.csv");
        fs::write(&file, "a\n1\n").unwrap();
        state(&file, &[]).write(&done()).unwrap();
        let on =
            |workspace: &str, head: i64| state_on(&json!({"workspace": workspace, "head": head}), &file, &[]).read();
        assert_eq!(on("w1", 80), done());
        assert_eq!(on("w2", 80), Done::default());
        assert_eq!(on("w1", 79), Done::default());
    }

    #[test]
    fn a_damaged_state_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.csv");
        fs::write(&file, "a\n1\n").unwrap();
        let state = state(&file, &[]);
        fs::write(&state.path, "{\"import\":").unwrap();
        assert_eq!(state.read(), Done::default());
    }
}
