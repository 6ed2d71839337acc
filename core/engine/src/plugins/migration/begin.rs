//! Begins migrations, lets them go on, gives them up, and waits for what comes of them.

use std::time::Duration;

use rapport_model::RunStatus;
use rapport_model::plugin::MigrationDef;
use rapport_store::{UnitOfWork, crash_point};
use serde_json::Value as Json;

use super::{Migration, Phase, Way};
use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::operate::RunAction;
use crate::plugins::record::{Changes, kept};
use crate::plugins::{Installed, State};
use crate::registry::Version;
use crate::schema::changes_of;

/// How long a caller waits for the end.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// How often a caller looks whether it has come.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Inner {
    /// Begins to move the data of `plugin` by `steps` to its waiting version, which is `version` and may go live after; with what
    /// `changes` say of the plugin besides. What the version declares is there before the first slice.
    pub(in crate::plugins) async fn begin_migration(
        &self,
        caller: &Caller,
        (plugin, version): (&Installed, &Version),
        steps: Vec<MigrationDef>,
        mut changes: Changes,
    ) -> Result<(), EngineError> {
        let additions = changes_of(&self.store.schema(), &version.declaration);
        if !additions.is_empty() {
            let mut unit = UnitOfWork::new(self.clock.now(), caller.actor.clone());
            unit.schema = additions;
            self.store.commit(unit).await?;
        }
        crash_point("plugin.declared");
        let now = self.clock.now();
        let of = |packed: &Option<crate::plugins::Packed>| {
            packed.as_ref().map(|packed| packed.version.clone()).unwrap_or_default()
        };
        let migration = Migration {
            id: entropy::record_id(&*self.entropy, now),
            phase: Phase::Running,
            from: of(&plugin.live),
            to: of(&plugin.pending),
            steps,
            step: 0,
            cursor: String::new(),
            slices: 0,
            run: None,
            cause: None,
            since: now,
            by: caller.actor.to_string(),
            error: None,
            back: None,
            ended: None,
        };
        changes.push(kept("migration", &migration));
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.puts = vec![plugin.put(changes)];
        self.commit_plugins(caller, unit).await?;
        self.plugins.migrates.notify_one();
        Ok(())
    }

    /// Keeps `migration` as it is now, in a commit of its own.
    pub(super) async fn keep_migration(&self, plugin: &Installed, migration: &Migration) -> Result<(), EngineError> {
        let caller = migration.caller();
        let mut unit = UnitOfWork::new(self.clock.now(), caller.actor.clone());
        unit.puts = vec![plugin.put(vec![kept("migration", migration)])];
        self.commit_plugins(&caller, unit).await?;
        self.plugins.migrates.notify_one();
        Ok(())
    }

    /// Passes if another package of `plugin` may come in: no data of it are half moved.
    ///
    /// # Errors
    /// [`EngineError::Conflict`].
    pub(in crate::plugins) fn refuse_beside_migration(plugin: &Installed) -> Result<(), EngineError> {
        match plugin.migrating() {
            None => Ok(()),
            Some(why) => Err(EngineError::Conflict(why)),
        }
    }
}

impl Engine {
    /// Lets the migration of the plugin `id` go on that has failed: it begins where the slice did that died.
    pub(in crate::plugins) async fn go_on_migrating(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        let _one = self.inner.activating.lock().await;
        let plugin = self.inner.plugins.installed(id)?;
        let failed = plugin.migration.as_ref().filter(|migration| migration.phase == Phase::Failed);
        let Some(mut migration) = failed.cloned() else { return Ok(()) };
        if plugin.state == State::Disabled {
            return Err(EngineError::Conflict(format!("the plugin `{id}` is disabled: enable it first")));
        }
        if let Some(run) = migration.run
            && let Some(run) = self.inner.store.run(run).await?
            && matches!(run.status, RunStatus::Dead | RunStatus::Cancelled)
        {
            // Another one takes its place.
            if run.status == RunStatus::Dead {
                self.operate(caller, RunAction::Cancel, &run.id.to_string()).await?;
            }
            migration.run = None;
        }
        migration.phase = if migration.back.is_some() { Phase::TakingBack } else { Phase::Running };
        migration.error = None;
        migration.by = caller.actor.to_string();
        self.inner.keep_migration(&plugin, &migration).await
    }

    /// Gives up the upgrade of the plugin `id` whose migration is under way or has failed: what its slices have written is undone,
    /// newest first, and the version that is live goes on.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Conflict`] if there is nothing to give up;
    /// [`EngineError::MigrationFailed`] if a slice could not be undone.
    pub async fn abandon_upgrade(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.writable(None)?;
        let nothing =
            || EngineError::Conflict(format!("there is no upgrade of `{id}` to give up: no migration of it is open"));
        let open = |migration: &Migration| migration.phase != Phase::Done && migration.back != Some(Way::RollBack);
        self.take_back(caller, id, (Way::Abandon, &open), nothing).await
    }

    /// Has the slices of a migration undone, if it is one that `may` be, and waits for the end.
    pub(in crate::plugins) async fn take_back(
        &self,
        caller: &Caller,
        id: &str,
        (way, may): (Way, &(dyn Fn(&Migration) -> bool + Sync)),
        nothing: impl FnOnce() -> EngineError,
    ) -> Result<Json, EngineError> {
        let one = self.inner.activating.lock().await;
        let plugin = self.inner.plugins.installed(id)?;
        let mut migration = plugin.migration.clone().filter(|migration| may(migration)).ok_or_else(nothing)?;
        (migration.phase, migration.back, migration.error) = (Phase::TakingBack, Some(way), None);
        migration.by = caller.actor.to_string();
        self.inner.keep_migration(&plugin, &migration).await?;
        drop(one);
        self.migrated(caller, id).await
    }

    /// Waits until nothing is to be done for the migration of the plugin `id`, but not for ever, and shows the plugin.
    ///
    /// # Errors
    /// [`EngineError::MigrationFailed`] if it has failed.
    pub(in crate::plugins) async fn migrated(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        loop {
            let plugin = self.inner.plugins.installed(id)?;
            let open = plugin.migration.as_ref().is_some_and(Migration::is_under_way) && plugin.state == State::Enabled;
            if !open || tokio::time::Instant::now() >= deadline || self.inner.is_stopping() {
                if !open {
                    // With all that follows: what was held back goes on.
                    drop(self.inner.plugins.driven.lock().await);
                }
                let shown = self.plugin(caller, id)?;
                let failed = plugin.migration.as_ref().filter(|migration| migration.phase == Phase::Failed);
                return match failed {
                    None => Ok(shown),
                    Some(migration) => Err(EngineError::MigrationFailed {
                        plugin: plugin.name.clone(),
                        why: migration.error.clone().unwrap_or_default(),
                        shown,
                    }),
                };
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
