//! Drives migrations: starts a slice when the one before is done, and makes the new version live after the last.
//!
//! What is to be done next follows from the plugin's record and from the slice that it names, so that a host that was killed goes on
//! where it was.

use std::sync::Arc;
use std::time::Duration;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{Event, RunId, RunStatus};
use rapport_store::{AutomationChange, Direction, EventQuery, UnitOfWork, crash_point};

use super::{Migration, Phase};
use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::invoked;
use crate::plugins::record::{kept, text};
use crate::plugins::{Installed, Packed, State};
use crate::settings::activation;

/// How long nothing is looked at if nobody says so.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The same while there is no migration.
const LOOK_AGAIN_AT_REST: Duration = Duration::from_hours(1);
/// How long a migration waits for a database that is away or full.
const REST: Duration = Duration::from_millis(500);
/// How long it waits for runs that are worked on.
const BREATH: Duration = Duration::from_millis(2);

/// What came of looking at a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has moved on.
    Moved,
    /// It waits for a run.
    Waits,
}

/// Moves migrations on until the engine stops.
pub(crate) async fn keep(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        let (mut moved, mut open) = (false, false);
        let changed = inner.lanes.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        for plugin in inner.plugins.all() {
            let Some(migration) = plugin.migration.as_ref().filter(|migration| migration.is_under_way()) else {
                continue;
            };
            open = true;
            let _driving = inner.plugins.driven.lock().await;
            match advance(&inner, &plugin, migration).await {
                Ok(progress) => moved |= progress == Progress::Moved,
                Err(EngineError::Unavailable(_) | EngineError::Full | EngineError::LoadOpen { .. }) => {
                    inner.pause(REST).await;
                }
                Err(error) => give_up(&inner, &plugin, migration, &error.to_string()).await,
            }
        }
        if moved {
            continue;
        }
        if open {
            tokio::select! {
                () = changed => {}
                () = inner.plugins.migrates.notified() => {}
                () = inner.pause(LOOK_AGAIN) => {}
            }
        } else {
            tokio::select! {
                () = inner.plugins.migrates.notified() => {}
                () = inner.pause(LOOK_AGAIN_AT_REST) => {}
            }
        }
    }
}

async fn advance(inner: &Arc<Inner>, plugin: &Installed, migration: &Migration) -> Result<Progress, EngineError> {
    if plugin.state != State::Enabled {
        return Ok(Progress::Waits);
    }
    let engine = Engine::of(inner);
    if migration.phase == Phase::TakingBack {
        return engine.move_back(plugin, migration).await;
    }
    let Some(run) = migration.run else {
        inner.rest_of_work(plugin).await;
        return engine.go_on(plugin, migration.clone()).await;
    };
    let missing = || EngineError::Internal(format!("run {run} is missing"));
    let found = inner.store.run(run).await?.ok_or_else(missing)?;
    match found.status {
        RunStatus::Completed => engine.go_on(plugin, inner.after_slice(migration, run).await?).await,
        status if status.is_open() => Ok(Progress::Waits),
        status => {
            let why = found.error.as_deref().unwrap_or(status.as_str());
            let place = migration.place();
            give_up(inner, plugin, migration, &format!("{place}: {why} (run {run})")).await;
            Ok(Progress::Moved)
        }
    }
}

/// Notes that a migration has failed. If nothing of it is committed, the live version goes on.
async fn give_up(inner: &Arc<Inner>, plugin: &Installed, migration: &Migration, why: &str) {
    let kept = match migration.slices {
        0 => "nothing was changed".to_owned(),
        n => format!("the {n} slices before it stay committed"),
    };
    let why = format!("{why}; {kept}");
    tracing::warn!(plugin.id = %plugin.name, "the migration of the plugin {} has failed: {why}", plugin.name);
    let failed = Migration { phase: Phase::Failed, error: Some(why), ..migration.clone() };
    let noted = async {
        let _one = inner.activating.lock().await;
        let now = inner.plugins.find(&plugin.name).and_then(|plugin| plugin.migration.clone());
        let same = |m: &Migration| (m.id, m.phase, m.run) == (migration.id, migration.phase, migration.run);
        // Somebody may have decided otherwise meanwhile.
        if now.as_ref().is_some_and(same) { inner.keep_migration(plugin, &failed).await } else { Ok(()) }
    };
    let freed = match noted.await {
        Ok(()) if !failed.holds() => Engine::of(inner).release(&failed.caller(), &plugin.name).await,
        other => other,
    };
    if let Err(error) = freed {
        tracing::warn!(plugin.id = %plugin.name, "that the migration of {} has failed is not noted: {error}", plugin.name);
        inner.pause(REST).await;
    }
}

impl Inner {
    /// Waits for the runs of `plugin` that are worked on: from then on nothing of it writes but its migration.
    async fn rest_of_work(&self, plugin: &Installed) {
        while plugin.at_work.load(std::sync::atomic::Ordering::SeqCst) > 0 && !self.is_stopping() {
            self.pause(BREATH).await;
        }
    }

    /// The migration as it stands after its slice `run`, which is done.
    async fn after_slice(&self, migration: &Migration, run: RunId) -> Result<Migration, EngineError> {
        let result = self.result_of(run).await?;
        let mut next = Migration { run: None, slices: migration.slices + 1, ..migration.clone() };
        match result["cursor"].as_str() {
            Some(cursor) => cursor.clone_into(&mut next.cursor),
            None if result["done"] == true => (next.step, next.cursor) = (migration.step + 1, String::new()),
            None => return Err(EngineError::Internal(format!("what the run {run} came to is not known"))),
        }
        Ok(next)
    }

    /// Where the log says that the waiting version came in.
    async fn cause_of(&self, pending: &Packed) -> Result<Option<i64>, EngineError> {
        let (direction, kind) = (Direction::Descending, Some("automation.pushed".to_owned()));
        let query = EventQuery { kind, direction, limit: PAGE_ROWS_MAX, ..EventQuery::default() };
        let digest = pending.digest.to_string();
        let is_it = |event: &&Arc<Event>| invoked::text(event, "digest") == Some(digest.as_str());
        Ok(self.store.events(&query).await?.iter().find(is_it).map(|event| event.position))
    }
}

impl Engine {
    /// Starts the next slice, or makes the new version live if all steps are done.
    async fn go_on(&self, plugin: &Installed, mut next: Migration) -> Result<Progress, EngineError> {
        let inner = &self.inner;
        let one = inner.activating.lock().await;
        let current = inner.plugins.installed(plugin.name.as_str())?;
        let as_before = |m: &Migration| m.phase == Phase::Running && m.id == next.id;
        if current.state != State::Enabled || !current.migration.as_ref().is_some_and(as_before) {
            return Ok(Progress::Moved);
        }
        let waiting = || EngineError::Conflict(format!("no version of `{}` waits", plugin.name));
        let pending = current.pending.as_ref().ok_or_else(waiting)?;
        inner.refuse_blocked(&pending.package)?;
        let Some(step) = next.steps.get(next.step).cloned() else {
            self.make_new_live(&current, pending, next).await?;
            drop(one);
            return self.after_all(&current).await;
        };
        let version = inner.version(&plugin.name, &pending.digest).await?;
        if next.cause.is_none() {
            next.cause = inner.cause_of(pending).await?;
        }
        let now = inner.clock.now();
        let run = RunId(entropy::record_id(&*inner.entropy, now).0);
        let mut event = invoked::migrating(&version, run, next.slice_json(&step), now);
        event.lane = Some(next.id);
        next.run = Some(run);
        let caller = next.caller();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        (unit.cause, unit.depth) = (next.cause, 1);
        unit.events.push(event);
        unit.puts = vec![current.put(vec![kept("migration", &next)])];
        inner.commit_plugins(&caller, unit).await?;
        crash_point("migration.slice_started");
        Ok(Progress::Moved)
    }

    /// Makes the waiting version live: all its data are moved.
    async fn make_new_live(&self, plugin: &Installed, pending: &Packed, next: Migration) -> Result<(), EngineError> {
        let inner = &self.inner;
        let version = inner.ready(plugin, pending).await?;
        let mut live = pending.clone();
        live.digest = version.digest;
        let now = inner.clock.now();
        let caller = next.caller();
        let done = Migration { phase: Phase::Done, ended: Some(now), ..next };
        let mut changes = vec![
            kept("live", &live),
            kept("before", &inner.as_it_runs(plugin)),
            kept("pending", &None::<Packed>),
            kept("migration", &done),
        ];
        changes.extend(live.key.map(|key| text("key", &key.to_string())));
        let mut automations = inner.settings_artifact(&version).await?;
        automations.push(AutomationChange::Activate(activation(&version)?));
        crash_point("migration.slices_done");
        inner.go_live_with(&caller, version, automations, vec![plugin.put(changes)]).await?;
        Ok(())
    }

    /// What follows once the new version is live: it brings what belongs to it, and what was held back goes on.
    async fn after_all(&self, plugin: &Installed) -> Result<Progress, EngineError> {
        let Some(version) = self.inner.snapshot.load().version(&plugin.name).cloned() else {
            return Ok(Progress::Moved);
        };
        let caller = crate::gate::Caller::system();
        let freed = self.release(&caller, &plugin.name).await;
        let brought = self.brought(&caller, plugin.name.as_str(), version).await;
        if let Err(error) = freed.and(brought.map(drop)) {
            let id = &plugin.name;
            tracing::warn!(plugin.id = %id, "the plugin {id} is live, but what belongs to it is not all there: {error}");
        }
        Ok(Progress::Moved)
    }
}
