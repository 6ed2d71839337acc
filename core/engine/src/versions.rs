//! Versions: drafts, what is live, what was, and the way back.
//!
//! ```text
//! push ─▶ draft ─activate─▶ active ─another becomes live─▶ retired
//!                  ▲                                          │
//!                  └──────────activate, rollback──────────────┘
//! ```
//! A version is content together with the settings chosen for it, named by one digest. Who pushed it, who made it live and
//! when is in the log, and read from there: there is no second history.

mod diff;
mod past;

use std::sync::Arc;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{AutomationId, Digest};
use rapport_store::{ArtifactKind, AutomationChange, EventQuery, UnitOfWork, VersionRuns};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::automations::{Activated, check_against};
use crate::bundle::Bundle;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::explain::Explainer;
use crate::gate::{Act, Caller};
use crate::registry::Version;
use crate::segments::Telling;
use crate::settings::{activation, content_of, values_of};
use past::{Known, Past};

/// The fewest hexadecimal digits by which a version is named.
const DIGITS_MIN: usize = 4;

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The automation.
    pub id: String,
    /// The version: content and settings.
    pub digest: String,
    /// `draft`, or `active` if that is what is live.
    pub state: &'static str,
    /// Whether there was no such draft before.
    pub changed: bool,
    /// The circles that the version would close.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Engine {
    /// Keeps the script `source` as a draft of `id`, with the settings that are chosen for `id` at present. Nothing runs it
    /// until it is activated.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::Script`] with everything that is wrong; then nothing is kept.
    pub async fn push_script(
        &self,
        caller: &Caller,
        id: &str,
        path: &str,
        source: &str,
    ) -> Result<Pushed, EngineError> {
        caller.everywhere(Act::Admin)?;
        let (content, artifact) = self.prepare_script(id, path, source).await?;
        let _one = self.inner.activating.lock().await;
        let (version, mut changes) = self.inner.with_settings(content, artifact).await?;
        let (name, digest) = (version.id.clone(), version.digest);
        let notices = self.inner.graph_with(&version).warnings_about(&name);
        let live = self.inner.snapshot.load().version(&name).is_some_and(|live| live.digest == digest);
        let changed = !live && self.inner.past(&name).await?.draft() != Some(digest);
        if changed {
            changes.push(AutomationChange::Push(name.clone(), digest));
            let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
            unit.automations = changes;
            self.inner.store.commit(unit).await?;
        }
        let state = if live { "active" } else { "draft" };
        Ok(Pushed { id: name.to_string(), digest: digest.to_string(), state, changed, notices })
    }

    /// Makes a version of `id` live: the one that `version` names (see [`Engine::versions`]), else the newest draft. Code and
    /// settings become those of that version. Runs that have begun stay on theirs. Segments that it declares, or whose rules it changes,
    /// are filled, silently unless who comes and leaves is to be told; notices say how many belong to each.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`] if there is no such version or no draft; [`EngineError::Plugin`] or
    /// [`EngineError::Script`] if it does not pass its check any more.
    pub async fn activate_version(
        &self,
        caller: &Caller,
        id: &str,
        version: Option<&str>,
        telling: Telling,
    ) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let name = known_id(id)?;
        let _one = self.inner.activating.lock().await;
        let past = self.inner.past(&name).await?;
        let digest = past.pick(version.unwrap_or("draft"))?;
        let version = self.inner.version(&name, &digest).await?;
        let change = AutomationChange::Activate(activation(&version)?);
        let outlook = self.inner.segment_outlook(&version).await?;
        let mut live =
            self.inner.telling_segments(&name, telling, self.inner.make_version_live(caller, version, change)).await?;
        live.notices.extend(outlook.iter().filter(|_| live.changed).map(ToString::to_string));
        Ok(live)
    }

    /// Makes the version of `id` live that was live before the present one. Asked again, it goes further back; the way
    /// forward is [`Engine::activate_version`].
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`] if no other version was live before; else as for
    /// [`Engine::activate_version`].
    pub async fn roll_back(&self, caller: &Caller, id: &str) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let name = known_id(id)?;
        let _one = self.inner.activating.lock().await;
        let digest = self.inner.past(&name).await?.pick("before")?;
        let version = self.inner.version(&name, &digest).await?;
        let change = AutomationChange::RollBack(activation(&version)?);
        self.inner.make_version_live(caller, version, change).await
    }

    /// The versions of `id`, newest first, `limit` at most: content and settings, who pushed it and when, when it was live and
    /// by whose doing, and how many open runs are on it; and how many versions there are beyond.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn versions(&self, caller: &Caller, id: &str, limit: u32) -> Result<(Vec<Json>, usize), EngineError> {
        caller.everywhere(Act::Read)?;
        let name = known_id(id)?;
        let past = self.inner.past(&name).await?;
        if past.len() == 0 {
            return Err(EngineError::not_found(format!("automation `{id}`")));
        }
        let runs = self.inner.store.open_by_version(&name).await?;
        let mut explainer = Explainer::new(&self.inner.store, caller);
        let mut shown = Vec::new();
        for known in past.newest_first().take(limit as usize) {
            shown.push(self.inner.version_json((&past, known), &runs, &mut explainer).await?);
        }
        let more = past.len().saturating_sub(shown.len());
        Ok((shown, more))
    }

    /// One version of `id` with its declaration and its text: that of the script, or the plugin's manifest.
    ///
    /// # Errors
    /// As for [`Engine::versions`]; [`EngineError::NotFound`] if `version` names none.
    pub async fn version(&self, caller: &Caller, id: &str, version: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let name = known_id(id)?;
        let past = self.inner.past(&name).await?;
        let digest = past.pick(version)?;
        let known = past.find(&digest).ok_or_else(|| EngineError::not_found(format!("version {}", digest.short())))?;
        let runs = self.inner.store.open_by_version(&name).await?;
        let mut explainer = Explainer::new(&self.inner.store, caller);
        let mut json = self.inner.version_json((&past, known), &runs, &mut explainer).await?;
        let ready = self.inner.version(&name, &digest).await?;
        json["declaration"] = serde_json::to_value(&ready.declaration).unwrap_or_default();
        json["source"] = self.inner.text_of(&ready).await?.text.into();
        Ok(json)
    }
}

/// The id of an automation that may exist.
fn known_id(id: &str) -> Result<AutomationId, EngineError> {
    AutomationId::new(id).map_err(|_| EngineError::not_found(format!("automation `{id}`")))
}

/// The text of a version's content.
pub(crate) struct Content {
    path: String,
    pub(crate) text: String,
    /// The size of a plugin's component.
    component_bytes: Option<usize>,
}

impl Content {
    /// Whether it is a script, and no manifest.
    pub(crate) const fn is_script(&self) -> bool {
        self.component_bytes.is_none()
    }
}

impl Inner {
    /// What the log says of the versions of `id`.
    pub(crate) async fn past(&self, id: &AutomationId) -> Result<Past, EngineError> {
        let mut past = Past::new(id.clone());
        let kind = Some("automation.*".to_owned());
        let mut query = EventQuery { after: Some(0), kind, limit: PAGE_ROWS_MAX, ..EventQuery::default() };
        loop {
            let page = self.store.events(&query).await?;
            for event in &page {
                past.take(event);
            }
            query.after = page.last().map(|event| event.position);
            if page.len() < PAGE_ROWS_MAX as usize {
                return Ok(past);
            }
        }
    }

    /// The version of `id` that `text` names, made ready.
    pub(crate) async fn named_version(&self, id: &str, text: &str) -> Result<Arc<Version>, EngineError> {
        let name = known_id(id)?;
        let digest = self.past(&name).await?.pick(text)?;
        self.version(&name, &digest).await
    }

    /// What is told of an automation in a folder that is left as it is: its file is what the host brought last, and somebody
    /// has made another version live since, or none.
    pub(crate) async fn left_alone(&self, content: &Version) -> Result<Option<Activated>, EngineError> {
        let live = self.snapshot.load().version(&content.id).cloned();
        if live.as_ref().is_some_and(|live| live.content == content.content) {
            return Ok(None);
        }
        let past = self.past(&content.id).await?;
        let Some(brought) = past.by_host() else { return Ok(None) };
        if self.content_digest(&brought).await? != content.content {
            return Ok(None);
        }
        let stays = live.as_ref().map_or_else(|| "out of service".to_owned(), |v| format!("at {}", v.digest.short()));
        let mut answer = Activated::of(live.as_deref().unwrap_or(content), false);
        answer.notices.push(format!(
            "stays {stays}: its file is {}, as it was when somebody chose so; change the file, or `rapport script activate {} \
             --version {}`",
            brought.short(),
            content.id,
            brought.short()
        ));
        Ok(Some(answer))
    }

    /// The content of a version: settings are looked through.
    async fn content_digest(&self, digest: &Digest) -> Result<Digest, EngineError> {
        let artifact = self.store.artifact(digest).await?;
        let settings = artifact.as_ref().filter(|artifact| artifact.kind == ArtifactKind::Settings);
        Ok(settings.and_then(content_of).unwrap_or(*digest))
    }

    async fn make_version_live(
        &self,
        caller: &Caller,
        version: Arc<Version>,
        change: AutomationChange,
    ) -> Result<Activated, EngineError> {
        if self.snapshot.load().version(&version.id).is_some_and(|live| live.digest == version.digest) {
            return Ok(Activated::of(&version, false));
        }
        check_against(&self.store.schema(), &version.declaration)
            .map_err(|problems| EngineError::Plugin(format!("{}: {}", version.id, problems.join("; "))))?;
        self.go_live(caller, version, vec![change]).await
    }

    async fn version_json(
        &self,
        (past, known): (&Past, &Known),
        runs: &[VersionRuns],
        explainer: &mut Explainer<'_>,
    ) -> Result<Json, EngineError> {
        let artifact = self.store.artifact(&known.digest).await?;
        let settings = artifact.as_ref().filter(|artifact| artifact.kind == ArtifactKind::Settings);
        let content = settings.and_then(content_of).unwrap_or(known.digest);
        let kind = match &artifact {
            Some(artifact) => self.content_kind(&known.digest, artifact.kind).await?,
            None => ArtifactKind::Script,
        };
        let mut live = Vec::new();
        for period in &known.live {
            live.push(json!({
                "from": period.from.recorded_at,
                "until": period.until.as_ref().map(|event| event.recorded_at),
                "by": explainer.actor(&period.from.actor).await?,
                "event": period.from.position,
                "rollback": period.rollback,
            }));
        }
        let own = runs.iter().filter(|runs| runs.digest == known.digest);
        let runs: Map<String, Json> = own.map(|r| (r.status.as_str().to_owned(), r.count.into())).collect();
        Ok(json!({
            "digest": known.digest,
            "content": content,
            "kind": if kind == ArtifactKind::Script { "script" } else { "plugin" },
            "path": artifact.as_ref().map(|artifact| artifact.path.as_str()),
            "settings": settings.map(values_of).unwrap_or_default(),
            "state": past.state(known),
            "pushed_at": known.first.recorded_at,
            "pushed_by": explainer.actor(&known.first.actor).await?,
            "event": known.first.position,
            "live": live,
            "runs": runs,
        }))
    }

    /// The text of the content of a version.
    pub(crate) async fn text_of(&self, version: &Version) -> Result<Content, EngineError> {
        let missing = || EngineError::not_found(format!("content {} of `{}`", version.content.short(), version.id));
        let artifact = self.store.artifact(&version.content).await?.ok_or_else(missing)?;
        if artifact.kind == ArtifactKind::Script {
            let text = String::from_utf8_lossy(&artifact.bytes).into_owned();
            return Ok(Content { path: artifact.path, text, component_bytes: None });
        }
        let Bundle { text, component, .. } = Bundle::read(&artifact.bytes)?;
        let path = format!("{}/plugin.toml", artifact.path);
        Ok(Content { path, text, component_bytes: Some(component.len()) })
    }
}
