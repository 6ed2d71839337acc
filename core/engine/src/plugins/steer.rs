//! What an admin does with an installed plugin: switches it off at once and on again, goes back, takes it away.

use rapport_model::plugin::Asked;
use rapport_model::{Run, RunStatus};
use rapport_store::{AutomationChange, RunUpdate, UnitOfWork};
use serde_json::{Value as Json, json};

use super::migration::{Migration, Way};
use super::record::{Changes, kept, text};
use super::{DISABLED, Installed, Packed, Plugins, State};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::operate::{RunAction, RunSelection};
use crate::settings::activation;

/// What a way back does with data that were moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MovedData {
    /// It does not go where data were moved.
    #[default]
    Refuse,
    /// Undoes what the migration has written.
    Undo,
}

impl Engine {
    /// Switches the plugin `id` off at once: no slice of it starts, one that works ends at its next host call and leaves nothing.
    /// Its runs are held back until it is enabled.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Conflict`] if it is not enabled.
    pub async fn disable_plugin(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let found = self.inner.plugins.installed(id)?;
        if found.state != State::Enabled {
            return Err(EngineError::Conflict(format!("the plugin `{id}` is {}, not enabled", found.state.as_str())));
        }
        // Before anything is waited for.
        Plugins::stop(&found);
        let done = async {
            let _one = self.inner.activating.lock().await;
            let plugin = self.inner.plugins.installed(id)?;
            Plugins::stop(&plugin);
            self.inner.switch_off(caller, &plugin, vec![text("state", State::Disabled.as_str())]).await
        };
        if let Err(error) = done.await {
            Plugins::go_on(&found);
            return Err(error);
        }
        self.plugin(caller, id)
    }

    /// Switches the plugin `id` on again: its live version takes events, and what was held back goes on. One that is left alone
    /// since it broke down is called again at once.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Conflict`] if it is not disabled;
    /// [`EngineError::Untrusted`] if its package was blocked.
    pub async fn enable_plugin(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let woken = self.inner.wake_resting(id);
        if let (Some(woken), true) = (woken, self.inner.snapshot.load().plugin(id).is_some()) {
            let mut shown = self.plugin(caller, id)?;
            shown["resumed"] = woken.into();
            return Ok(shown);
        }
        let one = self.inner.activating.lock().await;
        let plugin = self.inner.plugins.installed(id)?;
        let live = plugin.live.as_ref().filter(|_| plugin.state == State::Disabled);
        let other = || EngineError::Conflict(format!("the plugin `{id}` is {}, not disabled", plugin.state.as_str()));
        self.inner.refuse_blocked(&live.ok_or_else(other)?.package)?;
        let row = self.inner.store.automations().await?.into_iter().find(|row| row.id == plugin.name);
        let row = row.ok_or_else(|| EngineError::not_found(format!("automation `{id}`")))?;
        let version = self.inner.version(&plugin.name, &row.digest).await?;
        let change = AutomationChange::Activate(activation(&version)?);
        let puts = vec![plugin.put(vec![text("state", State::Enabled.as_str())])];
        self.inner.go_live_with(caller, version, vec![change], puts).await?;
        drop(one);
        let held =
            RunSelection { automation: Some(id.to_owned()), error: Some(DISABLED.into()), ..RunSelection::default() };
        let resumed = self.operate_all(caller, RunAction::Resume, &held).await?;
        let mut shown = self.plugin(caller, id)?;
        shown["resumed"] = resumed["resumed"].clone();
        Ok(shown)
    }

    /// Makes the version of the plugin `id` live that was live before the last upgrade, with its settings. It must have been granted
    /// what it asks for, which it was. If its data were moved by the upgrade, that is undone first, slice by slice, newest first, which
    /// `data` must have said.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Conflict`] if it is not enabled, or none was live before, or
    /// its data were moved; [`EngineError::MigrationFailed`] if a slice could not be undone.
    pub async fn roll_back_plugin(&self, caller: &Caller, id: &str, data: MovedData) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        if let Some(moved) = self.roll_back_data(caller, id, data).await? {
            return Ok(moved);
        }
        let one = self.inner.activating.lock().await;
        let plugin = self.inner.plugins.installed(id)?;
        let before = plugin.before.as_ref().filter(|_| plugin.state == State::Enabled);
        let none = || EngineError::Conflict(format!("the plugin `{id}` has no version to go back to"));
        let before = before.ok_or_else(none)?;
        let version = self.inner.version(&plugin.name, &before.digest).await?;
        self.inner.may_go_live(&version).await?;
        let mut changes: Changes = vec![kept("live", before), kept("before", &None::<Packed>)];
        changes.push(kept("pending", &None::<Packed>));
        let change = AutomationChange::RollBack(activation(&version)?);
        self.inner.go_live_with(caller, version.clone(), vec![change], vec![plugin.put(changes)]).await?;
        drop(one);
        self.brought(caller, id, version).await
    }

    /// Undoes the migration that has made the live version of the plugin `id` live, and makes the one before live; nothing, if no
    /// data were moved.
    async fn roll_back_data(&self, caller: &Caller, id: &str, data: MovedData) -> Result<Option<Json>, EngineError> {
        let plugin = self.inner.plugins.installed(id)?;
        let live = plugin.live.as_ref().map(|live| live.version.clone()).unwrap_or_default();
        let Some(migration) = plugin.migration.as_ref().filter(|migration| migration.has_made(&live)) else {
            Inner::refuse_beside_migration(&plugin)?;
            return Ok(None);
        };
        if plugin.before.is_none() || plugin.state != State::Enabled {
            return Err(EngineError::Conflict(format!("the plugin `{id}` has no version to go back to")));
        }
        if data == MovedData::Refuse {
            let (from, to, slices) = (&migration.from, &migration.to, migration.slices);
            return Err(EngineError::Conflict(format!(
                "{to} has moved the data of `{id}` ({slices} slices), which {from} does not know so: `rapport plugin rollback {id} \
                 --undo-data` undoes that first"
            )));
        }
        self.inner.writable(None)?;
        let nothing = || EngineError::Conflict(format!("the plugin `{id}` has another version by now"));
        let done = |migration: &Migration| migration.has_made(&live);
        self.take_back(caller, id, (Way::RollBack, &done), nothing).await.map(Some)
    }

    /// Takes the plugin `id` away: nothing of it runs any more, its open runs are cancelled, its grant is gone. Its records and
    /// what it kept stay as they are.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn uninstall_plugin(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let found = self.inner.plugins.installed(id)?;
        Plugins::stop(&found);
        let one = self.inner.activating.lock().await;
        let plugin = self.inner.plugins.installed(id)?;
        Plugins::stop(&plugin);
        let kept_objects = self.inner.objects_of(&plugin).await?;
        let changes = vec![
            text("state", State::Uninstalled.as_str()),
            kept("live", &None::<Packed>),
            kept("before", &None::<Packed>),
            kept("pending", &None::<Packed>),
            kept("migration", &None::<Migration>),
            kept("granted", &Asked::default()),
            kept("declined", &Asked::default()),
        ];
        self.inner.switch_off(caller, &plugin, changes).await?;
        drop(one);
        self.inner.usages.forget(&plugin.name);
        let scripts = self.take_away_brought(caller, &plugin).await?;
        let open = RunSelection { automation: Some(id.to_owned()), ..RunSelection::default() };
        let cancelled = self.operate_all(caller, RunAction::Cancel, &open).await?;
        Ok(json!({
            "id": id,
            "state": State::Uninstalled.as_str(),
            "runs_cancelled": cancelled["cancelled"],
            "scripts_switched_off": scripts,
            "data_kept": kept_objects,
        }))
    }
}

impl Inner {
    /// Takes a plugin out of service, with what else becomes of its record.
    async fn switch_off(&self, caller: &Caller, plugin: &Installed, changes: Changes) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        let lives = self.snapshot.load().version(&plugin.name).is_some();
        if lives {
            unit.automations.push(AutomationChange::Deactivate(plugin.name.clone()));
            unit.puts = self.schedule_puts(&plugin.name, &[], now);
            unit.puts.extend(self.segment_puts(&plugin.name, &[], (now, false)));
        }
        unit.puts.push(plugin.put(changes));
        self.commit_plugins(caller, unit).await?;
        if lives {
            self.load_schedules().await?;
            self.replace(|active| active.retain(|v| v.id != plugin.name));
            self.load_segments().await?;
        }
        Ok(())
    }

    /// The objects that the live version of a plugin added, and the fields that it added to others.
    async fn objects_of(&self, plugin: &Installed) -> Result<Json, EngineError> {
        let Some(packed) = plugin.live.as_ref().or(plugin.pending.as_ref()) else { return Ok(json!([])) };
        let version = self.version(&plugin.name, &packed.digest).await?;
        let d = &version.declaration;
        let objects = d.objects.iter().map(|object| object.name.to_string());
        let fields = d.fields.iter().map(|field| format!("{}.{}", field.object, field.field.name));
        let rollups = d.rollups.iter().map(|rollup| format!("{}.{}", rollup.on, rollup.name));
        let formulas = d.formulas.iter().map(|formula| format!("{}.{}", formula.object, formula.name));
        Ok(objects.chain(fields).chain(rollups).chain(formulas).collect::<Vec<_>>().into())
    }

    /// The step that holds a run back whose plugin may not run.
    pub(crate) fn held_back(run: &Run, (code, why): (&'static str, String)) -> RunUpdate {
        RunUpdate {
            id: run.id,
            status: RunStatus::Paused,
            attempt: run.attempt,
            wake_at: None,
            wake_event: run.wake_event,
            wake_index: run.wake_index,
            finished_at: None,
            error: Some(format!("{code} {why}")),
            trace: run.trace.clone(),
        }
    }
}
