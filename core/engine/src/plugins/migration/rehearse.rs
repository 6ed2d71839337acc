//! Foretells a migration: its slices work on a copy of the records that the plugin reaches, and nothing of them is kept.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rapport_model::event::Body;
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::name::RecordEventKind;
use rapport_model::plugin::MigrationDef;
use rapport_model::time::SetClock;
use rapport_model::{Actor, Event, EventType, RecordId, RunId};
use rapport_sandbox::work::MigrationStep;
use rapport_sandbox::{GuestFailure, Work};
use rapport_store::{Triggers, UnitOfWork};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::next_cursor;
use crate::backtest::furnish;
use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::execute::host_at;
use crate::gate::{Act, Caller};
use crate::plugins::install::{InstallOptions, refuse_upgrade};
use crate::plugins::{Installed, State};
use crate::registry::Version;
use crate::schema::changes_of;
use crate::scratch::{Ground, Scratch};
use crate::settings::elsewhere;

/// The longest that a foretold migration works.
const TIME_MAX: Duration = Duration::from_mins(10);

/// What becomes of the records of one object.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Tally {
    created: u64,
    changed: u64,
    deleted: u64,
}

/// What a step of the migration would do.
#[derive(Debug, Serialize)]
struct Foretold {
    #[serde(flatten)]
    step: MigrationDef,
    slices: u64,
    records: BTreeMap<String, Tally>,
}

/// A rehearsal on a copy.
struct Rehearsal {
    live: Arc<Inner>,
    scratch: Engine,
    version: Arc<Version>,
    /// What is granted, if the version asks for no more.
    plugin: Option<Arc<Installed>>,
}

impl Engine {
    /// Says what an upgrade of the plugin `id` to the package `archive` would do to its data: each step of its migration is done to the
    /// end on a copy of the records that the plugin reaches, which lies in `folder` meanwhile. Nothing is kept, and nothing is sent.
    ///
    /// # Errors
    /// As for [`Engine::upgrade_plugin`]. A slice that fails is no error but told.
    pub async fn rehearse_upgrade(
        &self,
        caller: &Caller,
        id: &str,
        archive: Vec<u8>,
        (options, folder): (InstallOptions, PathBuf),
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let plugin = self.inner.plugins.installed(id)?;
        let coming = self.inner.coming(archive, options).await?;
        refuse_upgrade(&plugin, &coming)?;
        let steps = plugin.moves(&coming.content.declaration)?;
        let from = plugin.live.as_ref().map(|live| live.version.clone());
        let told = json!({ "id": id, "dry_run": true, "from": from, "to": coming.packed.version });
        let undecided = plugin.undecided(&coming.packed);
        let plugin = (plugin.state == State::Enabled && undecided.is_empty()).then_some(plugin);
        let (version, live) = (Arc::new(coming.content), self.inner.clone());
        // In a task of its own: a copy is cleared away also if nobody waits for the answer any more.
        let task = tokio::spawn(async move { rehearse(live, (plugin, version), steps, folder).await });
        let (steps, error) = task.await.map_err(|e| EngineError::Internal(e.to_string()))??;
        let mut told = told;
        (told["steps"], told["error"]) = (json!(steps), error);
        told["more"] = json!(undecided);
        Ok(told)
    }
}

async fn rehearse(
    live: Arc<Inner>,
    (plugin, version): (Option<Arc<Installed>>, Arc<Version>),
    steps: Vec<MigrationDef>,
    folder: PathBuf,
) -> Result<(Vec<Foretold>, Json), EngineError> {
    if steps.is_empty() {
        return Ok((Vec::new(), Json::Null));
    }
    let folder = Scratch::below(&folder)?;
    let scratch = copy(&live, &version, &folder).await?;
    let rehearsal = Rehearsal { live, scratch: scratch.clone(), version, plugin };
    let told = tokio::time::timeout(TIME_MAX, rehearsal.all(steps)).await;
    scratch.shutdown().await?;
    let long = || EngineError::Conflict(format!("it was not at its end after {} minutes", TIME_MAX.as_secs() / 60));
    told.map_err(|_| long())?
}

/// A workspace in `folder` with the records that `version` reaches, and what it declares.
async fn copy(live: &Inner, version: &Version, folder: &Scratch) -> Result<Engine, EngineError> {
    let (clock, seed) = (Arc::new(SetClock::at(live.clock.now())), version.digest.to_string());
    let scratch = Ground::over(live, (clock, seed.as_bytes()), folder).await?;
    let mut snapshot = live.store.snapshot().await?;
    furnish::declare(&scratch.inner, snapshot.schema()).await?;
    let schema = scratch.inner.store.schema();
    furnish::add(&scratch.inner, changes_of(&schema, &version.declaration)).await?;
    let schema = scratch.inner.store.schema();
    let reached = furnish::reach(std::iter::once(version), &schema, &HashMap::new());
    let mut all = Vec::new();
    let theirs = snapshot.schema().clone();
    for object in reached.iter().filter_map(|name| theirs.object(name.as_str())) {
        let mut after = None;
        loop {
            let page = snapshot.records(object, after, PAGE_ROWS_MAX).await?;
            after = page.last().map(|record| record.id);
            let full = page.len() >= PAGE_ROWS_MAX as usize;
            all.extend(page.into_iter().filter_map(|record| furnish::adopt(&schema, &record)));
            if !full {
                break;
            }
        }
    }
    snapshot.close().await?;
    // At once: references are checked when all is there.
    scratch.inner.store.furnish(all).await?;
    Ok(scratch)
}

impl Rehearsal {
    /// Does all steps, up to the first slice that fails.
    async fn all(&self, steps: Vec<MigrationDef>) -> Result<(Vec<Foretold>, Json), EngineError> {
        let mut told = Vec::new();
        let version = Arc::new(elsewhere(&self.version));
        for step in steps {
            let mut foretold = Foretold { step, slices: 0, records: BTreeMap::new() };
            let mut cursor = String::new();
            let error = loop {
                let (from, to) = (foretold.step.from.to_string(), foretold.step.to.to_string());
                let step = MigrationStep { from, to, cursor: cursor.clone(), dry_run: true };
                let turn = self.live.turns.take(true).await;
                let done = slice_alone(&self.scratch.inner, &version, step.clone(), self.plugin.as_ref()).await?;
                drop(turn);
                let (next, events) = match done {
                    Ok(done) => done,
                    Err(failure) => break Some((step, failure)),
                };
                count(&mut foretold.records, &events);
                if next.is_empty() {
                    break None;
                }
                cursor = next;
                foretold.slices += 1;
                if self.live.is_stopping() {
                    return Err(EngineError::Unavailable("the host is stopping".into()));
                }
            };
            if let Some((MigrationStep { from, to, cursor, .. }, failure)) = error {
                let (slice, code, message) = (foretold.slices + 1, failure.code().to_owned(), failure.to_string());
                let place = json!({ "from": from, "to": to, "slice": slice, "cursor": cursor });
                told.push(foretold);
                return Ok((told, json!({ "at": place, "code": code, "message": message })));
            }
            foretold.slices += 1;
            told.push(foretold);
        }
        Ok((told, Json::Null))
    }
}

/// What a slice without a run came to: where the next one begins, and what it has changed; or why it failed.
type Alone = Result<(String, Vec<Arc<Event>>), GuestFailure>;

/// Does one slice in a workspace that is thrown away, as a unit of its own and no run.
async fn slice_alone(
    inner: &Inner,
    version: &Arc<Version>,
    step: MigrationStep,
    plugin: Option<&Arc<Installed>>,
) -> Result<Alone, EngineError> {
    let now = inner.clock.now();
    let run = RunId(entropy::record_id(&*inner.entropy, now).0);
    let mut host = host_at(inner, (run, now), version.clone());
    host.plugin = plugin.cloned();
    host.actor = Actor::System.to_string();
    let (mut report, host) = inner.sandbox.call(&version.program, Work::Migrate(step.clone()), host).await;
    if let Err(failure) = report.outcome {
        return Ok(Err(failure));
    }
    let next = match next_cursor(&step, &mut report, &host) {
        Ok(next) => next,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut unit = UnitOfWork::new(now, Actor::Automation(version.id.clone()));
    (unit.reads, unit.puts, unit.blobs) = host.buffer.into_parts();
    unit.events = host.events;
    unit.triggers = Triggers::Skip;
    match inner.store.commit(unit).await {
        Ok(committed) => Ok(Ok((next, committed.events))),
        Err(error) => {
            let error = EngineError::from(error);
            let (code, message) = (error.code().into(), error.to_string());
            Ok(Err(GuestFailure::Failed { code, message, retryable: false }))
        }
    }
}

/// Moves the data of a workspace that is thrown away by `steps`, which end after `slices_max` slices.
///
/// # Errors
/// In words where it failed, and why; or what the workspace itself failed with.
pub(crate) async fn move_alone(
    inner: &Inner,
    version: &Arc<Version>,
    steps: Vec<MigrationDef>,
    slices_max: u64,
) -> Result<(), Result<String, EngineError>> {
    let mut slices = 0;
    for MigrationDef { from, to, .. } in steps {
        let mut cursor = String::new();
        loop {
            slices += 1;
            let place = format!("{from} → {to}, slice {slices} from cursor `{cursor}`");
            if slices > slices_max {
                return Err(Ok(format!("{place}: it does not come to its end")));
            }
            let step = MigrationStep { from: from.to_string(), to: to.to_string(), cursor, dry_run: false };
            match slice_alone(inner, version, step, None).await.map_err(Err)? {
                Ok((next, _)) if next.is_empty() => break,
                Ok((next, _)) => cursor = next,
                Err(failure) => return Err(Ok(format!("{place}: {} {failure}", failure.code()))),
            }
        }
    }
    Ok(())
}

/// Counts what became of the records that `events` of one slice are about, each once.
fn count(records: &mut BTreeMap<String, Tally>, events: &[Arc<Event>]) {
    let mut first: BTreeMap<RecordId, (String, bool, bool)> = BTreeMap::new();
    for event in events {
        let (Some(subject), Some(Body::Change(_))) = (&event.subject, &event.body) else { continue };
        let is = |kind| event.kind == EventType::of_record(&subject.object, kind);
        let found = first
            .entry(subject.id)
            .or_insert_with(|| (subject.object.to_string(), is(RecordEventKind::Created), false));
        found.2 = is(RecordEventKind::Deleted);
    }
    for (object, created, deleted) in first.into_values() {
        let tally = records.entry(object).or_default();
        match (created, deleted) {
            (true, true) => {}
            (true, false) => tally.created += 1,
            (false, true) => tally.deleted += 1,
            (false, false) => tally.changed += 1,
        }
    }
}
