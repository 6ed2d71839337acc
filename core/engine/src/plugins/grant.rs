//! The admin's yes: to a list of items, of one publisher's key, at one time.

use std::sync::Arc;

use rapport_model::nearest::nearest;
use rapport_model::plugin::Asked;
use rapport_model::{Capability, Value};
use rapport_store::AutomationChange;
use serde::Deserialize;
use serde_json::Value as Json;

use super::migration::Migration;
use super::record::{kept, text};
use super::{Installed, Packed, State};
use crate::automations::check_against;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::registry::Version;
use crate::schedules::set;
use crate::settings::{activation, configured};

/// What is granted of what a plugin asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grant {
    /// All of it.
    pub all: bool,
    /// Else these items. Rights may be left out: then host calls that need them are refused. So may routes and hooks: then they are not
    /// there, and not asked.
    pub items: Option<Vec<String>>,
    /// The digest of the list that was shown; if the plugin asks for another by now, nothing is granted.
    pub asked: Option<String>,
}

impl Engine {
    /// Grants what the waiting version of the plugin `id` asks for, and makes it live; after its data were moved, if they have to be:
    /// see [`Engine::upgrade_plugin`].
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Conflict`] if nothing waits, or the list is another than
    /// was shown; [`EngineError::Invalid`] for items that are not asked for, or cannot be left out; [`EngineError::Untrusted`] if
    /// the publisher's key is another by now, or the package was blocked; [`EngineError::Plugin`] if it does not pass its checks any more.
    pub async fn grant_plugin(&self, caller: &Caller, id: &str, grant: &Grant) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let one = self.inner.activating.lock().await;
        let plugin = self.inner.plugins.installed(id)?;
        if plugin.state == State::Disabled {
            return Err(EngineError::Conflict(format!("the plugin `{id}` is disabled: enable it first")));
        }
        let nothing = || EngineError::Conflict(format!("the plugin `{id}` asks for nothing that was not decided on"));
        let pending = plugin.pending.as_ref().ok_or_else(nothing)?;
        if plugin.migration.as_ref().is_some_and(Migration::is_open) {
            let why = format!("of the plugin `{id}` a migration is open: `rapport plugin upgrade` goes on with it");
            return Err(EngineError::Conflict(why));
        }
        let asked = pending.asked.digest().to_string();
        if grant.asked.as_ref().is_some_and(|shown| *shown != asked) {
            let why = format!("the plugin `{id}` asks for another list than the one that was shown: look at it again");
            return Err(EngineError::Conflict(why));
        }
        self.inner.refuse_blocked(&pending.package)?;
        self.inner.refuse_other_key(&plugin, pending)?;
        let (granted, declined) = decide(&plugin, pending, grant)?;
        let version = self.inner.ready(&plugin, pending).await?;
        let mut changes = vec![
            text("state", State::Enabled.as_str()),
            kept("granted", &granted),
            kept("declined", &declined),
            text("granted_by", &caller.actor.to_string()),
            set("granted_at", Value::Time(self.inner.clock.now())),
        ];
        let moves = plugin.moves(&version.declaration)?;
        if !moves.is_empty() {
            self.inner.begin_migration(caller, (&plugin, &version), moves, changes).await?;
            drop(one);
            return self.migrated(caller, id).await;
        }
        let mut live = pending.clone();
        live.digest = version.digest;
        changes.extend([
            kept("live", &live),
            kept("before", &self.inner.as_it_runs(&plugin)),
            kept("pending", &None::<Packed>),
            kept("migration", &None::<Migration>),
        ]);
        changes.extend(live.key.map(|key| text("key", &key.to_string())));
        let mut automations = self.inner.settings_artifact(&version).await?;
        automations.push(AutomationChange::Activate(activation(&version)?));
        self.inner.go_live_with(caller, version.clone(), automations, vec![plugin.put(changes)]).await?;
        drop(one);
        self.brought(caller, id, version).await
    }
}

/// What is granted and what is declined of the list, joined to what was decided before.
fn decide(plugin: &Installed, pending: &Packed, grant: &Grant) -> Result<(Asked, Asked), EngineError> {
    let asked: Vec<&str> = pending.asked.items().collect();
    let chosen: Vec<&str> = match (&grant.items, grant.all) {
        (None, true) => asked.clone(),
        (Some(items), false) => items.iter().map(String::as_str).collect(),
        _ => return Err(EngineError::invalid("", "grant `all`, or a list of `items`")),
    };
    if let Some(unknown) = chosen.iter().find(|item| !asked.contains(item)) {
        let hint = nearest(unknown, asked.iter().copied());
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let shown: String = unknown.chars().take(100).collect();
        return Err(EngineError::invalid("/items", format!("`{shown}` is not asked for{hint}")));
    }
    let left: Vec<&str> = asked.iter().copied().filter(|item| !chosen.contains(item)).collect();
    // A route that was not granted is not there, and a hook that was not is not asked.
    let optional =
        |item: &str| item.starts_with("route:") || item.starts_with("validate:") || item.parse::<Capability>().is_ok();
    if let Some(needed) = left.iter().find(|item| !optional(item)) {
        let why = format!("`{needed}` cannot be left out: only rights, routes and hooks can");
        return Err(EngineError::invalid("/items", why));
    }
    let own = |items: Vec<&str>| items.into_iter().map(str::to_owned).collect::<Vec<_>>();
    // What was granted to the version before stays so: its runs go on, and it can come back.
    let before = plugin.granted.items().filter(|item| !left.contains(item)).map(str::to_owned);
    let granted = own(chosen).into_iter().chain(before).collect();
    Ok((granted, own(left).into_iter().collect()))
}

impl Inner {
    /// Passes if the key that signed the package is still that of its publisher.
    fn refuse_other_key(&self, plugin: &Installed, pending: &Packed) -> Result<(), EngineError> {
        let known = self.plugins.publishers.load().get(&plugin.publisher).map(|publisher| publisher.key);
        if known == pending.key {
            return Ok(());
        }
        let why = format!(
            "the key of `{}` is another than the one that signed the package: install it again",
            plugin.publisher
        );
        Err(EngineError::Untrusted(why))
    }

    /// The waiting version with the settings that are chosen now, checked against what is declared and live now.
    pub(super) async fn ready(&self, plugin: &Installed, pending: &Packed) -> Result<Arc<Version>, EngineError> {
        let kept = self.version(&plugin.name, &pending.digest).await?;
        let content = self.version(&plugin.name, &kept.content).await?;
        let mut problems = check_against(&self.store.schema(), &content.declaration).err().unwrap_or_default();
        problems.extend(self.claimed_by_others(&content));
        problems.extend(content.declaration.budgets.beyond(&self.limits));
        if !problems.is_empty() {
            return Err(EngineError::Plugin(format!("{}: {}", plugin.name, problems.join("; "))));
        }
        let overrides = self.kept_overrides(&plugin.name, &content.declaration).await?;
        Ok(configured(&content, overrides, String::new())?.map_or(content, |(version, _)| Arc::new(version)))
    }

    /// What keeps the settings of a version, if it has any of its own.
    pub(super) async fn settings_artifact(&self, version: &Version) -> Result<Vec<AutomationChange>, EngineError> {
        if version.overrides.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.store.artifact(&version.content).await?.map(|content| content.path).unwrap_or_default();
        let configured = configured(version, version.overrides.clone(), path)?;
        Ok(configured.map(|(_, artifact)| AutomationChange::PutArtifact(artifact)).into_iter().collect())
    }
}
