//! Takes back what the slices of a migration have written: each is a run, and is undone as one.

use std::sync::Arc;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{Run, RunStatus};
use rapport_store::{AutomationChange, RunQuery, UnitOfWork};

use super::drive::Progress;
use super::{Migration, Way, slice_in};
use crate::bulk::Reaction;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::operate::RunAction;
use crate::plugins::record::kept;
use crate::plugins::{Installed, Packed};
use crate::settings::activation;
use crate::undo::Standing;

/// The slices that are undone with one commit that asks for it.
const CHUNK_RUNS: usize = 100;

/// How a slice stands that is to be undone.
enum Slice {
    /// It is to be undone by undoing this run.
    Stands(Arc<Run>),
    /// It is being undone, or its undo has failed.
    Moving(Arc<Run>),
}

impl Engine {
    /// Undoes slices of a migration that is to be taken back; when none is left, what was wanted after it is done.
    pub(super) async fn move_back(&self, plugin: &Installed, migration: &Migration) -> Result<Progress, EngineError> {
        let inner = &self.inner;
        let caller = migration.caller();
        if let Some(run) = migration.run
            && let Some(run) = inner.store.run(run).await?
            && (run.status.is_open() || run.status == RunStatus::Dead)
        {
            return match self.operate(&caller, RunAction::Cancel, &run.id.to_string()).await {
                // Its slice may be at its end: it is looked at again.
                Ok(_) | Err(EngineError::Conflict(_)) => Ok(Progress::Waits),
                Err(error) => Err(error),
            };
        }
        let slices = inner.slices_of(plugin, migration).await?;
        if slices.is_empty() {
            return self.all_back(plugin, migration).await;
        }
        let mut standing = Vec::new();
        for slice in slices {
            match slice {
                Slice::Stands(run) => standing.push(run),
                Slice::Moving(undo) if undo.status.is_open() => return Ok(Progress::Waits),
                Slice::Moving(undo) => {
                    self.operate(&caller, RunAction::Retry, &undo.id.to_string()).await?;
                    let undo = inner.ended(undo.id).await?;
                    if undo.status != RunStatus::Completed {
                        let why = undo.error.as_deref().unwrap_or(undo.status.as_str());
                        return Err(EngineError::Conflict(format!("the undo {} did not go through: {why}", undo.id)));
                    }
                    return Ok(Progress::Moved);
                }
            }
        }
        for chunk in standing.chunks(CHUNK_RUNS) {
            for undo in inner.request(&caller, chunk, Reaction::Skip, migration.id).await? {
                let undo = inner.ended(undo.id).await?;
                if undo.status != RunStatus::Completed {
                    let why = undo.error.as_deref().unwrap_or(undo.status.as_str());
                    return Err(EngineError::Conflict(format!("the undo {} did not go through: {why}", undo.id)));
                }
            }
        }
        Ok(Progress::Moved)
    }

    /// All slices are undone: the version that is live goes on, or the one before becomes live.
    async fn all_back(&self, plugin: &Installed, migration: &Migration) -> Result<Progress, EngineError> {
        let inner = &self.inner;
        let caller = migration.caller();
        let one = inner.activating.lock().await;
        let plugin = &*inner.plugins.installed(plugin.name.as_str())?;
        if !plugin.migration.as_ref().is_some_and(|now| (now.id, now.phase) == (migration.id, migration.phase)) {
            return Ok(Progress::Moved);
        }
        let gone = kept("migration", &None::<Migration>);
        let pending = kept("pending", &None::<Packed>);
        let version = if migration.back == Some(Way::RollBack) {
            let none = || EngineError::Conflict(format!("the plugin `{}` has no version to go back to", plugin.name));
            let before = plugin.before.as_ref().ok_or_else(none)?;
            let version = inner.version(&plugin.name, &before.digest).await?;
            inner.refuse_blocked(&before.package)?;
            let changes = vec![kept("live", before), kept("before", &None::<Packed>), pending, gone];
            let change = AutomationChange::RollBack(activation(&version)?);
            inner.go_live_with(&caller, version.clone(), vec![change], vec![plugin.put(changes)]).await?;
            Some(version)
        } else {
            let mut unit = UnitOfWork::new(inner.clock.now(), caller.actor.clone());
            unit.puts = vec![plugin.put(vec![pending, gone])];
            inner.commit_plugins(&caller, unit).await?;
            None
        };
        drop(one);
        self.release(&caller, &plugin.name).await?;
        if let Some(version) = version {
            self.brought(&caller, plugin.name.as_str(), version).await?;
        }
        Ok(Progress::Moved)
    }
}

impl Inner {
    /// The slices of a migration that have done something which stands, newest first.
    async fn slices_of(&self, plugin: &Installed, migration: &Migration) -> Result<Vec<Slice>, EngineError> {
        let mut query = RunQuery {
            automation: Some(plugin.name.clone()),
            lane: Some(migration.id),
            status: Some(RunStatus::Completed),
            limit: PAGE_ROWS_MAX,
            ..RunQuery::default()
        };
        let mut slices = Vec::new();
        loop {
            let page = self.store.runs(&query).await?;
            query.before = page.last().map(|last| (last.position, last.automation.clone()));
            let full = page.len() >= PAGE_ROWS_MAX as usize;
            for run in page {
                match self.standing(Arc::new(run)).await? {
                    Standing::Stands(run) => slices.push(Slice::Stands(run)),
                    Standing::Undone(_) => {}
                    Standing::Moving(undo) | Standing::Failed(undo) => slices.push(Slice::Moving(undo)),
                }
            }
            if !full {
                return Ok(slices);
            }
        }
    }

    /// Whether `run` is a slice of a migration.
    pub(crate) async fn is_slice_of_migration(&self, run: &Run) -> bool {
        let event = if run.lane.is_some() { self.store.event(run.position).await.ok().flatten() } else { None };
        event.is_some_and(|event| slice_in(&event).is_some())
    }
}
