//! Brings scripts and plugins from folders to life, at the start and, when watching, as their files change.
//!
//! ```text
//! scan ──▶ new, changed or gone since the last scan? ──same at the next scan──▶ activate / deactivate, report
//! ```
//! A file that does not pass its checks is reported; what was live before stays live. A file is acted on only when two scans
//! in a row see it the same, so that a half-written one is not taken for a broken one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rapport_engine::{Activated, Caller, Engine, EngineError};
use tokio::sync::watch;

use crate::listener::stopped;

/// How often a watched folder is looked at.
pub const SCAN_EVERY: Duration = Duration::from_millis(150);
/// The most files looked at, and how deep.
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 16;

/// Takes a sentence for the person at the terminal.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// What a file or a plugin's folder looked like: changes when its content does.
type Stamp = Vec<(PathBuf, SystemTime, u64)>;

/// A script or a plugin on disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// A script.
    Script {
        /// Its path below the folder without `.rhai`.
        id: String,
        /// The file.
        file: PathBuf,
    },
    /// A plugin.
    Plugin {
        /// Its folder.
        folder: PathBuf,
    },
}

/// Keeps what is live in step with folders.
pub struct Loader {
    engine: Engine,
    scripts: Option<PathBuf>,
    plugins: Option<PathBuf>,
    notices: Notices,
    /// What was last acted on.
    known: BTreeMap<Unit, (Stamp, Option<String>)>,
    /// What the last scan saw.
    last: BTreeMap<Unit, Stamp>,
}

impl Loader {
    /// A loader that has not loaded anything yet.
    #[must_use]
    pub fn new(engine: Engine, scripts: Option<&Path>, plugins: Option<&Path>, notices: Notices) -> Self {
        Self {
            engine,
            scripts: scripts.map(Path::to_owned),
            plugins: plugins.map(Path::to_owned),
            notices,
            known: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    /// Activates everything in the folders. What does not pass its checks is reported, and the rest goes on.
    ///
    /// # Errors
    /// The error of the file system if a folder itself cannot be read.
    pub async fn load_all(&mut self) -> io::Result<()> {
        let seen = scan(self.scripts.as_deref(), self.plugins.as_deref())?;
        self.bring_all(seen.clone().into_iter().collect()).await;
        self.last = seen;
        self.tell_of_the_gone().await;
        Ok(())
    }

    /// Names what came from the folders and lives on though its file went while the server was down.
    async fn tell_of_the_gone(&self) {
        let Ok(all) = self.engine.automations(&Caller::system()).await else { return };
        let folders: Vec<&PathBuf> = self.scripts.iter().chain(&self.plugins).collect();
        for one in all.iter().filter(|one| one["active"] == true) {
            let (Some(id), Some(path)) = (one["id"].as_str(), one["path"].as_str()) else { continue };
            let path = Path::new(path);
            if folders.iter().any(|folder| path.starts_with(folder)) && !path.exists() {
                let help = format!("`rapport automation deactivate {id}` switches it off");
                (self.notices)(&format!("warning: {id} is live, but {} is gone: {help}", path.display()));
            }
        }
    }

    /// Looks at the folders and acts on what changed and has come to rest.
    pub async fn tick(&mut self) {
        let (scripts, plugins) = (self.scripts.clone(), self.plugins.clone());
        let scanned = tokio::task::spawn_blocking(move || scan(scripts.as_deref(), plugins.as_deref())).await;
        // A folder that is being replaced may be away for a moment: its automations are not switched off for that.
        let Ok(Ok(seen)) = scanned else { return };
        let changed: Vec<_> = seen
            .iter()
            .filter(|(unit, stamp)| self.known.get(unit).is_none_or(|(known, _)| known != *stamp))
            .filter(|(unit, stamp)| self.last.get(unit) == Some(stamp))
            .map(|(unit, stamp)| (unit.clone(), stamp.clone()))
            .collect();
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|unit| !seen.contains_key(unit) && !self.last.contains_key(unit))
            .cloned()
            .collect();
        self.last = seen;
        for unit in gone {
            self.take_away(&unit).await;
        }
        self.bring_all(changed).await;
    }

    /// Calls [`Loader::tick`] until `stopping` turns true.
    pub async fn watch(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(SCAN_EVERY) => {}
                () = stopped(&mut stopping) => return,
            }
            self.tick().await;
        }
    }

    /// Brings units to life. One that is refused is tried again once others have come to life: it may build on them.
    async fn bring_all(&mut self, mut units: Vec<(Unit, Stamp)>) {
        loop {
            let mut refused = Vec::new();
            let before = units.len();
            for (unit, stamp) in units {
                match activate(&self.engine, &unit).await {
                    Ok(live) => self.note(&unit, stamp, Ok(live)),
                    Err(error) => refused.push((unit, stamp, error)),
                }
            }
            if refused.is_empty() || refused.len() == before {
                for (unit, stamp, error) in refused {
                    self.note(&unit, stamp, Err(error));
                }
                return;
            }
            units = refused.into_iter().map(|(unit, stamp, _)| (unit, stamp)).collect();
        }
    }

    /// Notes and tells what came of a unit.
    fn note(&mut self, unit: &Unit, stamp: Stamp, outcome: Result<Activated, LoadError>) {
        let before = self.known.get(unit).and_then(|(_, id)| id.clone());
        let id = match outcome {
            Ok(live) => {
                if live.changed {
                    (self.notices)(&format!(
                        "live: {} ({})",
                        live.id,
                        live.digest.chars().take(12).collect::<String>()
                    ));
                }
                for notice in &live.notices {
                    (self.notices)(&format!("{}: {notice}", live.id));
                }
                Some(live.id)
            }
            Err(error) => {
                let kept = if before.is_some() { "\nthe version before it stays live" } else { "" };
                (self.notices)(&format!("not activated: {}\n{error}{kept}", unit.place().display()));
                before
            }
        };
        self.known.insert(unit.clone(), (stamp, id));
    }

    async fn take_away(&mut self, unit: &Unit) {
        let Some((_, id)) = self.known.remove(unit) else { return };
        let Some(id) = id else { return };
        match self.engine.deactivate(&Caller::system(), &id).await {
            Ok(()) => (self.notices)(&format!("switched off: {id} (its file is gone)")),
            Err(error) => (self.notices)(&format!("could not switch off {id}: {error}")),
        }
    }
}

/// Why a unit was not activated.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
}

async fn activate(engine: &Engine, unit: &Unit) -> Result<Activated, LoadError> {
    let caller = Caller::system();
    match unit {
        Unit::Script { id, file } => {
            let source = tokio::fs::read_to_string(file).await?;
            Ok(engine.bring_script(&caller, id, &file.display().to_string(), &source).await?)
        }
        Unit::Plugin { folder } => Ok(engine.bring_plugin(&caller, folder).await?),
    }
}

impl Unit {
    fn place(&self) -> &Path {
        match self {
            Self::Script { file, .. } => file,
            Self::Plugin { folder } => folder,
        }
    }
}

/// Everything in the folders with what it looks like now.
fn scan(scripts: Option<&Path>, plugins: Option<&Path>) -> io::Result<BTreeMap<Unit, Stamp>> {
    let mut seen = BTreeMap::new();
    if let Some(folder) = scripts {
        for (unit, stamp) in scripts_in(folder)? {
            seen.insert(unit, stamp);
        }
    }
    if let Some(folder) = plugins {
        for (unit, stamp) in plugins_in(folder)? {
            seen.insert(unit, stamp);
        }
    }
    Ok(seen)
}

fn scripts_in(folder: &Path) -> io::Result<Vec<(Unit, Stamp)>> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((place, depth)) = open.pop() {
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            // Below the top a folder may go between being listed and being read.
            Err(_) if depth > 0 => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let Ok(meta) = fs::metadata(&path) else { continue };
            if hidden || found.len() >= FILES_MAX {
                continue;
            }
            if meta.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            } else if meta.is_file() && path.extension().is_some_and(|e| e == "rhai") {
                let id = script_id(folder, &path);
                let stamp = vec![(path.clone(), modified(&meta), meta.len())];
                found.push((Unit::Script { id, file: path }, stamp));
            }
        }
    }
    Ok(found)
}

/// `loyalty/points` for `scripts/loyalty/points.rhai`.
#[must_use]
pub fn script_id(folder: &Path, file: &Path) -> String {
    let below = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

fn plugins_in(folder: &Path) -> io::Result<Vec<(Unit, Stamp)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.flatten().take(FILES_MAX) {
        let place = entry.path();
        if !place.join("plugin.toml").is_file() {
            continue;
        }
        let mut stamp = Stamp::new();
        for file in fs::read_dir(&place)?.flatten() {
            let path = file.path();
            let counts = path.extension().is_some_and(|e| e == "wasm" || e == "toml");
            if let (true, Ok(meta)) = (counts, fs::metadata(&path)) {
                stamp.push((path, modified(&meta), meta.len()));
            }
        }
        stamp.sort();
        found.push((Unit::Plugin { folder: place }, stamp));
    }
    Ok(found)
}

fn modified(meta: &fs::Metadata) -> SystemTime {
    meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn ids(folder: &Path) -> Vec<String> {
        let name = |unit| match unit {
            Unit::Script { id, .. } => id,
            Unit::Plugin { folder } => folder.file_name().unwrap().to_string_lossy().into_owned(),
        };
        scan(Some(folder), None).unwrap().into_keys().map(name).collect()
    }

    #[test]
    fn scripts_are_found_at_every_depth_and_named_by_their_path() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["loyalty/points.rhai", "hello.rhai", "a/b/c.rhai", "notes.txt", ".hidden.rhai", ".git/x.rhai"] {
            write(folder.path(), name, "");
        }
        assert_eq!(ids(folder.path()), ["a/b/c", "hello", "loyalty/points"]);
    }

    #[test]
    fn a_link_in_a_circle_does_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/x.rhai", "");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/round")).unwrap();
        assert!(ids(folder.path()).len() <= FILES_MAX);
    }

    #[test]
    fn a_changed_file_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "x.rhai", "1");
        let before = scan(Some(folder.path()), None).unwrap();
        assert_eq!(scan(Some(folder.path()), None).unwrap(), before);
        write(folder.path(), "x.rhai", "12");
        assert_ne!(scan(Some(folder.path()), None).unwrap(), before);
    }

    #[test]
    fn a_plugin_is_a_folder_with_a_manifest() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "tiers/plugin.toml", "id = 'tiers'");
        write(folder.path(), "tiers/tiers.wasm", "");
        write(folder.path(), "empty/readme.md", "");
        let seen = scan(None, Some(folder.path())).unwrap();
        let stamps: Vec<_> = seen.values().map(Vec::len).collect();
        assert_eq!(stamps, [2]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(scan(Some(Path::new("/nowhere/at/all")), None).is_err());
        assert!(scan(None, None).unwrap().is_empty());
    }
}
