//! Takes packages in: the first of a plugin waits for a grant, a later one replaces it or waits beside it.

use std::sync::Arc;

use rapport_model::plugin::{Asked, PluginVersion};
use rapport_package::Package;
use rapport_store::{Artifact, AutomationChange, UnitOfWork};
use serde::Deserialize;
use serde_json::Value as Json;

use super::grant::Grant;
use super::migration::Migration;
use super::record::{Changes, kept, text};
use super::report;
use super::trust::Vetted;
use super::{Installed, Packed, State};
use crate::bundle::Bundle;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::registry::Version;
use crate::settings;

/// How a package is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstallOptions {
    /// Takes a package that nobody signed.
    pub unsigned: bool,
    /// Grants all that it asks for in the same step.
    pub grant_all: bool,
}

/// A package that was read, vetted and checked.
pub(super) struct Coming {
    publisher: String,
    bundle_version: PluginVersion,
    pub(super) content: Version,
    artifact: Artifact,
    pub(super) packed: Packed,
    vetted: Vetted,
}

impl Engine {
    /// Takes in the package of a plugin that is not there yet. Nothing of it runs before it is granted (see
    /// [`Engine::grant_plugin`]); the key of its publisher is pinned.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::Package`], [`EngineError::Plugin`] if it does not pass its checks;
    /// [`EngineError::Untrusted`] if it is unsigned, signed by another key, or blocked; [`EngineError::Conflict`] if its id is taken.
    pub async fn install_plugin(
        &self,
        caller: &Caller,
        archive: Vec<u8>,
        options: InstallOptions,
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let one = self.inner.activating.lock().await;
        let coming = self.inner.coming(archive, options).await?;
        let id = coming.content.id.clone();
        let known = self.inner.plugins.find(&id);
        if known.is_some_and(|plugin| plugin.state != State::Uninstalled) {
            let why = format!("the plugin `{id}` is installed: `rapport plugin upgrade` takes another version");
            return Err(EngineError::Conflict(why));
        }
        if self.inner.snapshot.load().version(&id).is_some() {
            let why = format!("the automation `{id}` is live and did not come in a package: switch it off first");
            return Err(EngineError::Conflict(why));
        }
        let mut changes: Changes = vec![
            text("name", id.as_str()),
            text("state", State::Waiting.as_str()),
            text("publisher", &coming.publisher),
            kept("granted", &Asked::default()),
            kept("declined", &Asked::default()),
            kept("before", &None::<Packed>),
            kept("live", &None::<Packed>),
        ];
        self.inner.keep_pending(caller, coming, &mut changes).await?;
        drop(one);
        self.granted_or_waiting(caller, id.as_str(), options).await
    }

    /// Takes in another version of an installed plugin. If it asks for nothing that was not decided on, it is live at once;
    /// else it waits for a grant while the version before runs on. Runs that have begun stay on theirs. If its data have to be moved,
    /// that is done first, and waited for, but not for ever: what the answer shows as `migration` tells how far it is. The same
    /// package again lets a migration go on that has failed.
    ///
    /// # Errors
    /// As for [`Engine::install_plugin`]; [`EngineError::NotFound`] if it is not installed; [`EngineError::Conflict`] if it is
    /// disabled, or has that version or a later one, or another package's migration is open; [`EngineError::MigrationFailed`].
    pub async fn upgrade_plugin(
        &self,
        caller: &Caller,
        id: &str,
        archive: Vec<u8>,
        options: InstallOptions,
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let one = self.inner.activating.lock().await;
        let plugin = self.inner.plugins.installed(id)?;
        let coming = self.inner.coming(archive, options).await?;
        match refuse_upgrade(&plugin, &coming)? {
            Some(Same::Live) => return Ok(self.inner.plugin_json(&plugin)),
            Some(Same::Pending) if plugin.migration.as_ref().is_some_and(Migration::is_open) => {
                drop(one);
                self.go_on_migrating(caller, id).await?;
                return self.migrated(caller, id).await;
            }
            Some(Same::Pending) => return self.regrant(caller, id, options, one).await,
            None => {}
        }
        Inner::refuse_beside_migration(&plugin)?;
        let undecided = plugin.undecided(&coming.packed);
        let moves = plugin.moves(&coming.content.declaration)?;
        let at_once = plugin.state == State::Enabled && undecided.is_empty();
        if at_once && moves.is_empty() {
            let brings = self.inner.upgrade_at_once(caller, &plugin, coming).await?;
            drop(one);
            return self.brought(caller, id, brings).await;
        }
        self.inner.keep_pending(caller, coming, &mut vec![kept("migration", &None::<Migration>)]).await?;
        if !at_once {
            return self.regrant(caller, id, options, one).await;
        }
        let plugin = self.inner.plugins.installed(id)?;
        let version = self.inner.waiting_version(&plugin).await?;
        self.inner.begin_migration(caller, (&plugin, &version), moves, Changes::new()).await?;
        drop(one);
        self.migrated(caller, id).await
    }

    async fn regrant(
        &self,
        caller: &Caller,
        id: &str,
        options: InstallOptions,
        one: tokio::sync::MutexGuard<'_, ()>,
    ) -> Result<Json, EngineError> {
        drop(one);
        self.granted_or_waiting(caller, id, options).await
    }

    async fn granted_or_waiting(
        &self,
        caller: &Caller,
        id: &str,
        options: InstallOptions,
    ) -> Result<Json, EngineError> {
        let plugin = self.inner.plugins.installed(id)?;
        match plugin.pending.as_ref().filter(|_| options.grant_all) {
            None => Ok(self.inner.plugin_json(&plugin)),
            Some(pending) => {
                let asked = Some(pending.asked.digest().to_string());
                self.grant_plugin(caller, id, &Grant { all: true, items: None, asked }).await
            }
        }
    }
}

/// Which known version a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    Live,
    Pending,
}

/// Whether the package is one that is there already; what stands against it otherwise.
pub(super) fn refuse_upgrade(plugin: &Installed, coming: &Coming) -> Result<Option<Same>, EngineError> {
    let id = &plugin.name;
    if coming.content.id != *id {
        return Err(EngineError::invalid("", format!("this is a package of `{}`, not of `{id}`", coming.content.id)));
    }
    if coming.publisher != plugin.publisher {
        let why = format!("`{id}` comes from `{}`, this package from `{}`", plugin.publisher, coming.publisher);
        return Err(EngineError::Untrusted(why));
    }
    if plugin.state == State::Disabled {
        return Err(EngineError::Conflict(format!("the plugin `{id}` is disabled: enable it first")));
    }
    let is = |known: &Option<Packed>| known.as_ref().is_some_and(|known| known.package == coming.packed.package);
    if is(&plugin.live) {
        return Ok(Some(Same::Live));
    }
    if is(&plugin.pending) {
        return Ok(Some(Same::Pending));
    }
    let Some(live) = &plugin.live else { return Ok(None) };
    let live: PluginVersion = live.version.parse().map_err(|e| EngineError::Internal(format!("{id}: {e}")))?;
    if coming.bundle_version <= live {
        let new = coming.bundle_version;
        return Err(EngineError::Conflict(if new == live {
            format!("`{id}` {live} is installed with other content: a version is packed once")
        } else {
            format!("`{id}` {live} is installed, which is later than {new}: `rapport plugin rollback {id}` goes back")
        }));
    }
    Ok(None)
}

impl Inner {
    /// Reads, vets and checks a package.
    pub(super) async fn coming(
        self: &Arc<Self>,
        archive: Vec<u8>,
        options: InstallOptions,
    ) -> Result<Coming, EngineError> {
        let read = tokio::task::spawn_blocking(move || {
            let package = report::read(&archive)?;
            let bundle = Bundle::of_package(&package)?;
            Ok::<(Package, Bundle), EngineError>((package, bundle))
        });
        let (package, bundle) = read.await.map_err(|e| EngineError::Internal(e.to_string()))??;
        let vetted = self.vet(&package, &bundle.manifest, options.unsigned)?;
        self.check_brought(&bundle.manifest).await?;
        let (publisher, version) = (bundle.manifest.publisher.clone(), bundle.manifest.version);
        let artifact = bundle.artifact(format!("{}-{version}.{}", bundle.manifest.id, rapport_package::EXTENSION));
        let content = self.prepare_bundle(bundle, artifact.digest).await?;
        let packed = Packed {
            version: version.to_string(),
            digest: content.digest,
            package: package.digest(),
            asked: Asked::of(&content.declaration),
            key: vetted.key,
        };
        Ok(Coming { publisher, bundle_version: version, content, artifact, packed, vetted })
    }

    /// Keeps a package as one that waits for its grant, with what `changes` says of the plugin besides.
    async fn keep_pending(&self, caller: &Caller, coming: Coming, changes: &mut Changes) -> Result<(), EngineError> {
        let Coming { publisher, content, artifact, mut packed, vetted, .. } = coming;
        let id = content.id.clone();
        let (version, mut automations) = self.with_settings(content, artifact).await?;
        packed.digest = version.digest;
        automations.push(AutomationChange::Push(id.clone(), version.digest));
        changes.push(kept("pending", &packed));
        let mut unit = UnitOfWork::new(self.clock.now(), caller.actor.clone());
        unit.automations = automations;
        unit.puts = vec![self.plugin_put(&id, std::mem::take(changes))];
        unit.puts.extend(vetted.pin.map(|key| self.publisher_put(&publisher, vec![text("key", &key.to_string())])));
        self.commit_plugins(caller, unit).await
    }

    /// The version of `plugin` that waits.
    async fn waiting_version(&self, plugin: &Installed) -> Result<Arc<Version>, EngineError> {
        let none = || EngineError::Conflict(format!("no version of `{}` waits", plugin.name));
        self.version(&plugin.name, &plugin.pending.as_ref().ok_or_else(none)?.digest).await
    }

    /// Makes a version live that asks for nothing more.
    async fn upgrade_at_once(
        &self,
        caller: &Caller,
        plugin: &Installed,
        coming: Coming,
    ) -> Result<Arc<Version>, EngineError> {
        let Coming { publisher, content, artifact, mut packed, vetted, .. } = coming;
        let (version, mut automations) = self.with_settings(content, artifact).await?;
        packed.digest = version.digest;
        automations.push(AutomationChange::Activate(settings::activation(&version)?));
        let mut changes =
            vec![kept("live", &packed), kept("before", &self.as_it_runs(plugin)), kept("pending", &None::<Packed>)];
        changes.push(kept("migration", &None::<Migration>));
        changes.extend(packed.key.map(|key| text("key", &key.to_string())));
        let mut puts = vec![plugin.put(changes)];
        puts.extend(vetted.pin.map(|key| self.publisher_put(&publisher, vec![text("key", &key.to_string())])));
        let version = Arc::new(version);
        self.go_live_with(caller, version.clone(), automations, puts).await?;
        Ok(version)
    }

    /// The live version of a plugin, with the settings that it has now.
    pub(super) fn as_it_runs(&self, plugin: &Installed) -> Option<Packed> {
        let mut live = plugin.live.clone()?;
        if let Some(version) = self.snapshot.load().version(&plugin.name) {
            live.digest = version.digest;
        }
        Some(live)
    }
}
