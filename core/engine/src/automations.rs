//! What is live: checking, activating and taking out of service.
//!
//! Content is immutable and named by its digest. Activating checks it against the schema as it would be with what it
//! declares, then adds those declarations, then makes it live; runs that wait keep the version they started with.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::automation::Capability;
use rapport_model::schema::SchemaChange;
use rapport_model::{AutomationId, Declaration, Digest, Schema};
use rapport_sandbox::{Diagnostic, Manifest};
use rapport_store::{Artifact, ArtifactKind, AutomationChange, UnitOfWork};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::registry::{AutomationKind, Snapshot, Version, check_triggers};
use crate::schema::{changes_of, with_changes};
use crate::settings::{self, Overrides, defaults};
use crate::undo::RESERVED;

/// Versions kept ready beside the live ones, for runs that started with them.
const VERSIONS_KEPT_MAX: usize = 256;

/// What came of an activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activated {
    /// The automation.
    pub id: String,
    /// Its version.
    pub digest: String,
    /// Whether another version was live before, or none.
    pub changed: bool,
}

impl Engine {
    /// Checks the script `source` without changing anything.
    ///
    /// # Errors
    /// [`EngineError::Script`] with everything that is wrong.
    pub async fn check_script(&self, path: &str, source: &str) -> Result<Declaration, EngineError> {
        let declaration = self.inner.sandbox.check_script(path, source).await.map_err(EngineError::Script)?;
        let schema = self.inner.store.schema();
        check_against(&schema, &declaration).map_err(|problems| at_script(path, source, problems))?;
        Ok(declaration)
    }

    /// Checks the script `source`, adds what it declares, and makes it live under `id`.
    ///
    /// # Errors
    /// [`EngineError::Script`] with everything that is wrong; the version that was live stays so.
    pub async fn activate_script(
        &self,
        caller: &Caller,
        id: &str,
        path: &str,
        source: &str,
    ) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let id = AutomationId::new(id).map_err(|e| EngineError::invalid("/id", e.to_string()))?;
        if id.as_str().starts_with(RESERVED) {
            return Err(EngineError::invalid(
                "/id",
                format!("names with `{RESERVED}` are the host's own: use another"),
            ));
        }
        let declaration = self.check_script(path, source).await?;
        let artifact = Artifact {
            digest: Digest::of(source.as_bytes()),
            kind: ArtifactKind::Script,
            path: path.to_owned(),
            bytes: source.as_bytes().into(),
        };
        let program = self.inner.sandbox.load_script(path, source).await?;
        let version = Version {
            id,
            kind: AutomationKind::Script,
            digest: artifact.digest,
            content: artifact.digest,
            settings: defaults(&declaration),
            overrides: Overrides::new(),
            declaration,
            program,
            compiled: Mutex::default(),
        };
        self.inner.activate(caller, version, artifact).await
    }

    /// Checks the plugin in the folder `dir` (`plugin.toml` and `<id>.wasm`), adds what it declares, and makes it live.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] with what is wrong; the version that was live stays so.
    pub async fn activate_plugin(&self, caller: &Caller, dir: &Path) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let read = |path: &Path| {
            std::fs::read(path).map_err(|e| EngineError::Plugin(format!("cannot read {}: {e}", path.display())))
        };
        let manifest_path = dir.join("plugin.toml");
        let manifest_bytes = read(&manifest_path)?;
        let text = String::from_utf8(manifest_bytes)
            .map_err(|_| EngineError::Plugin(format!("{} is not UTF-8", manifest_path.display())))?;
        let manifest =
            Manifest::parse(&text).map_err(|e| EngineError::Plugin(format!("{}: {e}", manifest_path.display())))?;
        let component = read(&dir.join(format!("{}.wasm", manifest.id)))?;
        let bundle = bundle(&text, &component);
        let artifact = Artifact {
            digest: Digest::of(&bundle),
            kind: ArtifactKind::Component,
            path: dir.display().to_string(),
            bytes: bundle.into(),
        };
        let version = self.inner.plugin_version(&text, &component, artifact.digest).await?;
        check_against(&self.inner.store.schema(), &version.declaration)
            .map_err(|problems| EngineError::Plugin(format!("{}: {}", manifest_path.display(), problems.join("; "))))?;
        self.inner.activate(caller, version, artifact).await
    }

    /// Takes the automation `id` out of service. Runs that wait still run.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if it is not live.
    pub async fn deactivate(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        caller.everywhere(Act::Admin)?;
        let unknown = || EngineError::not_found(format!("live automation `{id}`"));
        let name = AutomationId::new(id).map_err(|_| unknown())?;
        let _one = self.inner.activating.lock().await;
        self.inner.snapshot.load().version(&name).ok_or_else(unknown)?;
        let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
        unit.automations.push(AutomationChange::Deactivate(name.clone()));
        unit.puts = self.inner.schedule_puts(&name, &[], self.inner.clock.now());
        self.inner.store.commit(unit).await?;
        self.inner.load_schedules().await?;
        self.inner.replace(|active| active.retain(|v| v.id != name));
        Ok(())
    }

    /// All automations with their runs by status.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn automations(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.require(Act::Read)?;
        let counts = self.inner.store.run_counts();
        let mut shown = Vec::new();
        for row in self.inner.store.automations().await? {
            let kind = self.inner.content_kind(&row.digest, row.kind).await?;
            let declaration: Json = serde_json::from_str(&row.declaration).unwrap_or_default();
            let own = counts.iter().filter(|c| c.automation == row.id);
            let runs: serde_json::Map<String, Json> =
                own.map(|c| (c.status.as_str().to_owned(), c.count.into())).collect();
            shown.push(json!({
                "id": row.id,
                "kind": if kind == ArtifactKind::Script { "script" } else { "plugin" },
                "active": row.active,
                "digest": row.digest,
                "path": row.path,
                "title": declaration["title"],
                "triggers": declaration["triggers"],
                "schedules": declaration.get("schedules").cloned().unwrap_or_else(|| json!([])),
                "uses": declaration["uses"],
                "settings": settings::shown(&declaration, &row.settings),
                "activated_at": row.activated_at,
                "runs": runs,
            }));
        }
        Ok(shown)
    }
}

impl Inner {
    async fn activate(&self, caller: &Caller, content: Version, artifact: Artifact) -> Result<Activated, EngineError> {
        let _one = self.activating.lock().await;
        let id = content.id.clone();
        let overrides = self.kept_overrides(&id, &content.declaration).await?;
        let configured = settings::configured(&content, overrides, artifact.path.clone())?;
        let mut artifacts = vec![AutomationChange::PutArtifact(artifact)];
        let version = match configured {
            None => content,
            Some((version, values)) => {
                artifacts.push(AutomationChange::PutArtifact(values));
                version
            }
        };
        let result = |changed| Activated { id: id.to_string(), digest: version.digest.to_string(), changed };
        let schema = self.store.schema();
        let changes = changes_of(&schema, &version.declaration);
        let same = self.snapshot.load().version(&id).is_some_and(|live| live.digest == version.digest);
        if same && changes.is_empty() {
            return Ok(result(false));
        }
        if !changes.is_empty() {
            let mut unit = UnitOfWork::new(self.clock.now(), caller.actor.clone());
            unit.schema = changes;
            self.store.commit(unit).await?;
        }
        let answer = result(true);
        self.make_live(caller, Arc::new(version), artifacts).await?;
        Ok(answer)
    }

    /// Makes a new snapshot from the live versions as `change` leaves them.
    pub(crate) fn replace(&self, change: impl FnOnce(&mut Vec<Arc<Version>>)) {
        let mut active = self.snapshot.load().active().to_vec();
        change(&mut active);
        let fanning = active.iter().filter(|v| v.declaration.schedules.iter().any(|s| s.each.is_some()));
        self.lanes.set_fanning(fanning.map(|v| v.id.clone()).collect());
        self.snapshot.store(Arc::new(Snapshot::new(active, &self.store.schema())));
    }

    /// Loads what the database says is live. What does not load is reported and stays out.
    pub(crate) async fn load_active(&self) -> Result<(), EngineError> {
        let mut active = Vec::new();
        for row in self.store.automations().await?.into_iter().filter(|row| row.active) {
            match self.version(&row.id, &row.digest).await {
                Ok(version) => active.push(version),
                Err(error) => tracing::error!(
                    automation.id = %row.id,
                    "the automation {} cannot be loaded and is out of service: {error}", row.id
                ),
            }
        }
        self.replace(|all| *all = active);
        Ok(())
    }

    /// The version `digest` of the automation `id`, made ready if it is not.
    pub(crate) async fn version(&self, id: &AutomationId, digest: &Digest) -> Result<Arc<Version>, EngineError> {
        let key = (id.clone(), *digest);
        if let Some(version) = self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(version.clone());
        }
        let artifact = self.store.artifact(digest).await?;
        let artifact =
            artifact.ok_or_else(|| EngineError::not_found(format!("content {} of `{id}`", digest.short())))?;
        let version = match artifact.kind {
            ArtifactKind::Script => self.script_version(id, &artifact).await?,
            ArtifactKind::Settings => self.configured_version(id, &artifact).await?,
            ArtifactKind::Component | ArtifactKind::Interpreter => {
                let (manifest, component) = unbundle(&artifact.bytes)
                    .ok_or_else(|| EngineError::Plugin(format!("the content of `{id}` is damaged")))?;
                self.plugin_version(manifest, component, *digest).await?
            }
        };
        let version = Arc::new(version);
        self.keep_version(version.clone());
        Ok(version)
    }

    async fn script_version(&self, id: &AutomationId, artifact: &Artifact) -> Result<Version, EngineError> {
        let source = String::from_utf8_lossy(&artifact.bytes);
        let declaration = self.sandbox.check_script(&artifact.path, &source).await.map_err(EngineError::Script)?;
        Ok(Version {
            id: id.clone(),
            kind: AutomationKind::Script,
            digest: artifact.digest,
            content: artifact.digest,
            settings: defaults(&declaration),
            overrides: Overrides::new(),
            declaration,
            program: self.sandbox.load_script(&artifact.path, &source).await?,
            compiled: Mutex::default(),
        })
    }

    /// The script `source` as a version of `id`, with the settings that the operator chose for `id`.
    pub(crate) async fn script_with_settings(
        &self,
        id: &AutomationId,
        path: &str,
        source: &str,
    ) -> Result<Version, EngineError> {
        let bytes = source.as_bytes();
        let artifact = Artifact {
            digest: Digest::of(bytes),
            kind: ArtifactKind::Script,
            path: path.to_owned(),
            bytes: bytes.into(),
        };
        let content = self.script_version(id, &artifact).await?;
        let overrides = self.kept_overrides(id, &content.declaration).await?;
        let configured = settings::configured(&content, overrides, artifact.path)?;
        Ok(configured.map_or(content, |(version, _)| version))
    }

    async fn plugin_version(&self, manifest: &str, component: &[u8], digest: Digest) -> Result<Version, EngineError> {
        let manifest = Manifest::parse(manifest)?;
        let program = self.sandbox.load_component(component).await?;
        let wanted = self.sandbox.declare(&program).await?;
        let missing: Vec<String> = uncovered(&wanted, &manifest.declaration).map(ToString::to_string).collect();
        if !missing.is_empty() {
            let list = missing.join("`, `");
            return Err(EngineError::Plugin(format!(
                "the component wants `{list}`, which plugin.toml does not ask for"
            )));
        }
        let id = AutomationId::new(manifest.id.as_str()).map_err(|e| EngineError::Plugin(e.to_string()))?;
        Ok(Version {
            id,
            kind: AutomationKind::Plugin,
            digest,
            content: digest,
            settings: defaults(&manifest.declaration),
            overrides: Overrides::new(),
            declaration: manifest.declaration,
            program,
            compiled: Mutex::default(),
        })
    }

    pub(crate) fn keep_version(&self, version: Arc<Version>) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.len() >= VERSIONS_KEPT_MAX {
            let snapshot = self.snapshot.load();
            versions.retain(|(id, digest), _| snapshot.version(id).is_some_and(|live| live.digest == *digest));
        }
        versions.insert((version.id.clone(), version.digest), version);
    }
}

fn uncovered<'a>(wanted: &'a Declaration, granted: &'a Declaration) -> impl Iterator<Item = &'a Capability> {
    wanted.uses.iter().filter(|right| !granted.uses.contains(right))
}

/// Holds a declaration against the schema as it would be with it.
pub(crate) fn check_against(schema: &Schema, declaration: &Declaration) -> Result<(), Vec<String>> {
    let changes: Vec<SchemaChange> = changes_of(schema, declaration);
    let with = with_changes(schema, &changes).map_err(|e| vec![e])?;
    let mut problems = check_triggers(declaration, &with).err().unwrap_or_default();
    problems.extend(crate::schema::unknown_rights(&with, declaration));
    problems.extend(crate::fan_out::problems(declaration, &with));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Puts problems at the lines of a script where the words in backquotes stand.
fn at_script(path: &str, source: &str, problems: Vec<String>) -> EngineError {
    let diagnostics = problems.into_iter().map(|message| {
        let mut quoted = message.split('`').skip(1).step_by(2).filter(|w| !w.is_empty());
        let place = quoted.find_map(|word| find_word(source, word)).unwrap_or((1, 1));
        Diagnostic { path: path.to_owned(), line: place.0, column: place.1, message, help: String::new() }
    });
    EngineError::Script(diagnostics.collect())
}

fn find_word(source: &str, word: &str) -> Option<(u32, u32)> {
    source.lines().enumerate().find_map(|(index, line)| {
        let at = line.find(word)?;
        let column = line[..at].chars().count() + 1;
        Some((u32::try_from(index + 1).ok()?, u32::try_from(column).ok()?))
    })
}

/// A plugin's content as one artifact: the length of the manifest, the manifest, the component.
fn bundle(manifest: &str, component: &[u8]) -> Vec<u8> {
    let length = u32::try_from(manifest.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(4 + manifest.len() + component.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(manifest.as_bytes());
    bytes.extend_from_slice(component);
    bytes
}

fn unbundle(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (manifest, component) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((std::str::from_utf8(manifest).ok()?, component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_gives_back_what_was_put_in() {
        let bytes = bundle("id = \"x\"", b"wasm");
        assert_eq!(unbundle(&bytes), Some(("id = \"x\"", &b"wasm"[..])));
        assert_eq!(unbundle(&bytes[..3]), None);
        assert_eq!(unbundle(&[255, 255, 255, 255, 0]), None);
    }

    #[test]
    fn a_problem_is_placed_where_its_word_stands() {
        let error = at_script("a.rhai", "\n  on(\"oder.paid\");", vec!["there is no event type `oder.paid`".into()]);
        assert_eq!(error.to_string(), "a.rhai:2:7: there is no event type `oder.paid`");
    }
}
