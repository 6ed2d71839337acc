//! The scripts and templates that a plugin brings: they come with its grant, and never may more than the plugin.

use std::sync::Arc;

use rapport_model::record::{Change, Put, PutKind};
use rapport_model::{Capability, Value};
use rapport_sandbox::Manifest;
use rapport_sandbox::manifest::BroughtTemplate;
use rapport_store::UnitOfWork;
use serde_json::{Value as Json, json};

use super::Installed;
use crate::bundle::Bundle;
use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::gate::Caller;
use crate::registry::Version;
use crate::schedules::field;

/// Where a script that the plugin `id` brought says that it came from.
fn origin(id: &str, path: &str) -> String {
    format!("plugin {id}: {path}")
}

impl Inner {
    /// Passes if the scripts that a plugin brings use no right that it does not ask for itself.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] naming script and right; [`EngineError::Script`] if one does not read.
    pub(super) async fn check_brought(&self, manifest: &Manifest) -> Result<(), EngineError> {
        for (id, path, source) in &manifest.brings.scripts {
            let declared = self.sandbox.check_script(path, source).await.map_err(EngineError::Script)?;
            let covered = |right: &&Capability| !manifest.declaration.uses.iter().any(|own| own.includes(right));
            if let Some(right) = declared.uses.iter().find(covered) {
                let why = format!("the script `{id}` uses `{right}`, which plugin.toml does not ask for");
                return Err(EngineError::Plugin(why));
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Brings what belongs to `version` of the plugin `id`, which has just become live, and shows the plugin.
    pub(super) async fn brought(&self, caller: &Caller, id: &str, version: Arc<Version>) -> Result<Json, EngineError> {
        let mut notices = self.inner.live_graph().warnings_about(&version.id);
        if !version.declaration.brings.is_empty() {
            let plugin = self.inner.plugins.installed(id)?;
            let missing = || EngineError::not_found(format!("content {}", version.content.short()));
            let artifact = self.inner.store.artifact(&version.content).await?.ok_or_else(missing)?;
            let manifest = Bundle::read(&artifact.bytes)?.manifest;
            notices.extend(self.bring_scripts(&plugin, &manifest).await);
            for template in &manifest.brings.templates {
                self.bring_template(caller, template).await?;
            }
        }
        let mut shown = self.plugin(caller, id)?;
        shown["notices"] = json!(notices);
        Ok(shown)
    }

    /// Makes the scripts live. One that an operator has changed, or that somebody else owns, is left as it is, and told of.
    async fn bring_scripts(&self, plugin: &Installed, manifest: &Manifest) -> Vec<String> {
        let mut notices = Vec::new();
        for (id, path, source) in &manifest.brings.scripts {
            let place = origin(plugin.name.as_str(), path);
            match self.bring_one(plugin, (id.as_str(), &place, source)).await {
                Ok(told) => notices.extend(told),
                Err(error) => notices.push(format!("the script `{id}` was not made live: {error}")),
            }
        }
        notices
    }

    async fn bring_one(
        &self,
        plugin: &Installed,
        (id, place, source): (&str, &str, &str),
    ) -> Result<Vec<String>, EngineError> {
        let declared = self.inner.sandbox.check_script(place, source).await.map_err(EngineError::Script)?;
        let granted = |right: &&Capability| !plugin.rights.iter().any(|own| own.includes(right));
        if let Some(right) = declared.uses.iter().find(granted) {
            return Ok(vec![format!("the script `{id}` was not made live: `{right}` was not granted")]);
        }
        let rows = self.inner.store.automations().await?;
        if rows.iter().any(|row| row.id.as_str() == id && row.path != place && row.active) {
            return Ok(vec![format!("the script `{id}` was not made live: another of that name is")]);
        }
        Ok(self.bring_script(&Caller::system(), id, place, source).await?.notices)
    }

    /// Makes the template a record, unless there is one of its name.
    async fn bring_template(&self, caller: &Caller, template: &BroughtTemplate) -> Result<(), EngineError> {
        if self.find_one("template", "name", Value::text(&template.name)).await?.is_some() {
            return Ok(());
        }
        let now = self.inner.clock.now();
        let own = |name: &str, value: &str| (field(name), Change::Set(Value::text(value)));
        let mut changes = vec![own("name", &template.name), own("subject", &template.subject)];
        changes.extend(template.text.as_deref().map(|text| own("text", text)));
        changes.extend(template.html.as_deref().map(|html| own("html", html)));
        let id = entropy::record_id(&*self.inner.entropy, now);
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.puts = vec![Put { object: field("template"), id, kind: PutKind::Create, changes }];
        self.inner.store.commit(unit).await?;
        Ok(())
    }

    /// Switches off the scripts that the plugin brought.
    pub(super) async fn take_away_brought(
        &self,
        caller: &Caller,
        plugin: &Installed,
    ) -> Result<Vec<String>, EngineError> {
        let mine = origin(plugin.name.as_str(), "");
        let mut gone = Vec::new();
        for row in self.inner.store.automations().await? {
            if row.active && row.path.starts_with(&mine) {
                self.deactivate(caller, row.id.as_str()).await?;
                gone.push(row.id.to_string());
            }
        }
        Ok(gone)
    }
}
