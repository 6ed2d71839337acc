//! What is live: checking, activating and taking out of service.
//!
//! Content is immutable and named by its digest. Activating checks it against the schema as it would be with what it
//! declares, then adds those declarations, then makes it live; runs that wait keep the version they started with.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::record::Put;
use rapport_model::schema::SchemaChange;
use rapport_model::{AutomationId, Declaration, Digest, Schema};
use rapport_store::{Artifact, ArtifactKind, AutomationChange, AutomationRow, UnitOfWork, crash_point};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::bundle::Bundle;
use crate::check::{at_script, check_examined};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::judges::Absent;
use crate::registry::{AutomationKind, Snapshot, Version, check_triggers};
use crate::schema::{changes_of, with_changes};
use crate::settings::{self, Overrides, defaults};
use crate::undo::RESERVED;

/// Versions kept ready beside the live ones, for runs that started with them.
const VERSIONS_KEPT_MAX: usize = 256;
/// Automations made ready at one time at the start.
const LOADED_AT_ONCE: usize = 16;

/// What came of an activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activated {
    /// The automation.
    pub id: String,
    /// Its version.
    pub digest: String,
    /// Whether another version was live before, or none.
    pub changed: bool,
    /// What the person who did it should know: circles of automations, what was left as it is and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Activated {
    pub(crate) fn of(version: &Version, changed: bool) -> Self {
        Self { id: version.id.to_string(), digest: version.digest.to_string(), changed, notices: Vec::new() }
    }
}

/// Whether what lies in a folder goes live in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Insist {
    /// It does.
    Always,
    /// Not if it is what the host itself brought last, and somebody has since made another version live.
    IfNew,
}

impl Engine {
    /// Checks the script `source` without changing anything.
    ///
    /// # Errors
    /// [`EngineError::Script`] with everything that is wrong.
    pub async fn check_script(&self, path: &str, source: &str) -> Result<Declaration, EngineError> {
        self.inner.check_script(path, source, None).await
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
        let (version, artifact) = self.prepare_script(id, path, source).await?;
        self.inner.activate(caller, version, artifact, Insist::Always).await
    }

    /// As [`Engine::activate_script`], for what lies in a folder: content that the host itself brought last is left alone if
    /// somebody has since made another version live, or none. A notice says so.
    ///
    /// # Errors
    /// As for [`Engine::activate_script`].
    pub async fn bring_script(
        &self,
        caller: &Caller,
        id: &str,
        path: &str,
        source: &str,
    ) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let (version, artifact) = self.prepare_script(id, path, source).await?;
        self.inner.activate(caller, version, artifact, Insist::IfNew).await
    }

    /// The script `source` as a version of `id`, checked, with the artifact that keeps it.
    pub(crate) async fn prepare_script(
        &self,
        id: &str,
        path: &str,
        source: &str,
    ) -> Result<(Version, Artifact), EngineError> {
        let id = AutomationId::new(id).map_err(|e| EngineError::invalid("/id", e.to_string()))?;
        if id.as_str().starts_with(RESERVED) {
            return Err(EngineError::invalid(
                "/id",
                format!("names with `{RESERVED}` are the host's own: use another"),
            ));
        }
        let declaration = self.inner.check_script(path, source, Some(&id)).await?;
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
        Ok((version, artifact))
    }

    /// Checks the plugin in the folder `dir` (`plugin.toml` and `<id>.wasm`), adds what it declares, and makes it live.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] with what is wrong; the version that was live stays so.
    pub async fn activate_plugin(&self, caller: &Caller, dir: &Path) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let (version, artifact) = self.prepare_plugin(dir).await?;
        self.inner.refuse_packed(&version.id)?;
        self.inner.activate(caller, version, artifact, Insist::Always).await
    }

    /// As [`Engine::activate_plugin`], with the reserve of [`Engine::bring_script`]. What is live already is not made ready once more.
    ///
    /// # Errors
    /// As for [`Engine::activate_plugin`].
    pub async fn bring_plugin(&self, caller: &Caller, dir: &Path) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let bundle = Bundle::of_folder(dir)?;
        self.inner.refuse_packed(&bundle.manifest.id)?;
        if let Some(live) = self.inner.as_it_lives(&bundle) {
            return Ok(live);
        }
        let (version, artifact) = self.prepare_bundle_of(dir, bundle).await?;
        self.inner.activate(caller, version, artifact, Insist::IfNew).await
    }

    async fn prepare_plugin(&self, dir: &Path) -> Result<(Version, Artifact), EngineError> {
        self.prepare_bundle_of(dir, Bundle::of_folder(dir)?).await
    }

    async fn prepare_bundle_of(&self, dir: &Path, bundle: Bundle) -> Result<(Version, Artifact), EngineError> {
        let artifact = bundle.artifact(dir.display().to_string());
        let prepared = self.inner.prepare_bundle(bundle, artifact.digest).await;
        let at = |e: EngineError| EngineError::Plugin(format!("{}: {e}", dir.join("plugin.toml").display()));
        Ok((prepared.map_err(at)?, artifact))
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
        let live = self.inner.snapshot.load_full();
        if live.version(&name).is_none() && live.absent().iter().all(|absent| absent.plugin != name) {
            return Err(unknown());
        }
        let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
        unit.automations.push(AutomationChange::Deactivate(name.clone()));
        let now = self.inner.clock.now();
        unit.puts = self.inner.schedule_puts(&name, &[], now);
        unit.puts.extend(self.inner.segment_puts(&name, &[], (now, false)));
        self.inner.store.commit(unit).await?;
        self.inner.load_schedules().await?;
        self.inner.load_segments().await?;
        self.inner.replace_all(|active, absent| {
            active.retain(|v| v.id != name);
            absent.retain(|missing| missing.plugin != name);
        });
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
                "invocable": declaration.get("invocable").is_some_and(|flag| *flag == true),
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
    async fn check_script(
        &self,
        path: &str,
        source: &str,
        own: Option<&AutomationId>,
    ) -> Result<Declaration, EngineError> {
        let examined = self.sandbox.examine_script(path, source).await.map_err(EngineError::Script)?;
        let declaration = check_examined(&self.store.schema(), (path, source), examined)?;
        let vain = self.vain_rights(&declaration, (own, AutomationKind::Script));
        if vain.is_empty() { Ok(declaration) } else { Err(at_script(path, source, vain)) }
    }

    async fn activate(
        &self,
        caller: &Caller,
        content: Version,
        artifact: Artifact,
        insist: Insist,
    ) -> Result<Activated, EngineError> {
        let _one = self.activating.lock().await;
        if insist == Insist::IfNew
            && let Some(left) = self.left_alone(&content).await?
        {
            return Ok(left);
        }
        self.refuse_to_move(&content).await?;
        let (version, mut artifacts) = self.with_settings(content, artifact).await?;
        let same = self.snapshot.load().version(&version.id).is_some_and(|live| live.digest == version.digest);
        if same && changes_of(&self.store.schema(), &version.declaration).is_empty() {
            return Ok(Activated::of(&version, false));
        }
        artifacts.push(AutomationChange::Activate(settings::activation(&version)?));
        self.go_live(caller, Arc::new(version), artifacts).await
    }

    /// The version that `content` makes with the settings that its operator chose, and the artifacts that keep both.
    pub(crate) async fn with_settings(
        &self,
        content: Version,
        artifact: Artifact,
    ) -> Result<(Version, Vec<AutomationChange>), EngineError> {
        let overrides = self.kept_overrides(&content.id, &content.declaration).await?;
        let configured = settings::configured(&content, overrides, artifact.path.clone())?;
        let mut artifacts = vec![AutomationChange::PutArtifact(artifact)];
        let version = match configured {
            None => content,
            Some((version, values)) => {
                artifacts.push(AutomationChange::PutArtifact(values));
                version
            }
        };
        Ok((version, artifacts))
    }

    /// Adds what `version` declares, and makes it live with `changes`, if it may be; tells of the circles that it closes.
    pub(crate) async fn go_live(
        &self,
        caller: &Caller,
        version: Arc<Version>,
        changes: Vec<AutomationChange>,
    ) -> Result<Activated, EngineError> {
        self.may_go_live(&version).await?;
        let obstacles = self.segment_obstacles(&version);
        if !obstacles.is_empty() {
            return Err(EngineError::Conflict(obstacles.join("; ")));
        }
        self.go_live_with(caller, version, changes, Vec::new()).await
    }

    /// The same for a version that has been granted what it asks for, with what becomes of its plugin's record.
    pub(crate) async fn go_live_with(
        &self,
        caller: &Caller,
        version: Arc<Version>,
        changes: Vec<AutomationChange>,
        puts: Vec<Put>,
    ) -> Result<Activated, EngineError> {
        let additions = changes_of(&self.store.schema(), &version.declaration);
        if !additions.is_empty() {
            let mut unit = UnitOfWork::new(self.clock.now(), caller.actor.clone());
            unit.schema = additions;
            self.store.commit(unit).await?;
        }
        crash_point("plugin.declared");
        let mut answer = Activated::of(&version, true);
        self.make_live(caller, version.clone(), changes, puts).await?;
        answer.notices = self.live_graph().warnings_about(&version.id);
        Ok(answer)
    }

    /// Makes a new snapshot from the live versions as `change` leaves them.
    pub(crate) fn replace(&self, change: impl FnOnce(&mut Vec<Arc<Version>>)) {
        self.replace_all(|active, _| change(active));
    }

    /// The same with what should be live and could not be loaded.
    fn replace_all(&self, change: impl FnOnce(&mut Vec<Arc<Version>>, &mut Vec<Absent>)) {
        let before = self.snapshot.load_full();
        let (mut active, mut absent) = (before.active().to_vec(), before.absent().to_vec());
        change(&mut active, &mut absent);
        absent.retain(|missing| active.iter().all(|version| version.id != missing.plugin));
        let fanning = active.iter().filter(|v| v.declaration.schedules.iter().any(|s| s.each.is_some()));
        self.lanes.set_fanning(fanning.map(|v| v.id.clone()).collect());
        self.snapshot.store(Arc::new(Snapshot::new(active, absent, &self.store.schema())));
    }

    /// Loads what the database says is live, several at a time. What does not load is reported and stays out.
    pub(crate) async fn load_active(self: &Arc<Self>) -> Result<(), EngineError> {
        let (mut active, mut absent) = (Vec::new(), Vec::new());
        let rows: Vec<_> = self.store.automations().await?.into_iter().filter(|row| row.active).collect();
        for some in rows.chunks(LOADED_AT_ONCE) {
            let begin = |row: &AutomationRow| {
                let (inner, id, digest) = (self.clone(), row.id.clone(), row.digest);
                tokio::spawn(async move { inner.version(&id, &digest).await })
            };
            let loading: Vec<_> = some.iter().map(begin).collect();
            for (row, loaded) in some.iter().zip(loading) {
                let loaded = loaded.await.unwrap_or_else(|e| Err(EngineError::Internal(e.to_string())));
                match loaded {
                    Ok(version) => active.push(version),
                    Err(error) => {
                        tracing::error!(
                            automation.id = %row.id,
                            "the automation {} cannot be loaded and is out of service: {error}", row.id
                        );
                        let declaration: Declaration = serde_json::from_str(&row.declaration).unwrap_or_default();
                        absent.push(Absent { plugin: row.id.clone(), hooks: declaration.hooks });
                    }
                }
            }
        }
        self.replace_all(|all, missing| (*all, *missing) = (active, absent));
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
                self.plugin_version(Bundle::read(&artifact.bytes)?, *digest).await?
            }
        };
        let version = Arc::new(version);
        self.keep_version(version.clone());
        Ok(version)
    }

    pub(crate) async fn script_version(&self, id: &AutomationId, artifact: &Artifact) -> Result<Version, EngineError> {
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

    /// The plugin in `bundle`, checked against what is declared and live.
    pub(crate) async fn prepare_bundle(&self, bundle: Bundle, digest: Digest) -> Result<Version, EngineError> {
        let version = self.plugin_version(bundle, digest).await?;
        let problems = self.problems_of(&version);
        if problems.is_empty() { Ok(version) } else { Err(EngineError::Plugin(problems.join("; "))) }
    }

    async fn plugin_version(&self, bundle: Bundle, digest: Digest) -> Result<Version, EngineError> {
        let Bundle { manifest, component, .. } = bundle;
        let program = self.sandbox.load_component(&component).await?.within(manifest.declaration.budgets);
        program.fits(&manifest.declaration)?;
        Ok(Version {
            id: manifest.id,
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

/// Holds a declaration against the schema as it would be with it.
pub(crate) fn check_against(schema: &Schema, declaration: &Declaration) -> Result<(), Vec<String>> {
    let with = with_declared(schema, declaration).map_err(|e| vec![e])?;
    let mut problems = check_triggers(declaration, &with).err().unwrap_or_default();
    problems.extend(crate::schema::unclear_rollups(&with, declaration));
    problems.extend(crate::schema::unknown_rights(&with, declaration));
    problems.extend(crate::fan_out::problems(declaration, &with));
    problems.extend(crate::segments::problems(declaration, &with));
    problems.extend(crate::judges::problems(declaration, &with));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The schema as it would be with what is declared.
pub(crate) fn with_declared(schema: &Schema, declaration: &Declaration) -> Result<Schema, String> {
    let changes: Vec<SchemaChange> = changes_of(schema, declaration);
    with_changes(schema, &changes)
}
