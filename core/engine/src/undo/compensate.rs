//! Runs of plugins that take them back themselves: their compensator is called in place of writing the opposite.
//!
//! It works in the undo's slice, on the plan's buffer, under the rights of its plugin; what it writes, reports and sends is the
//! undo's. That an undo is undone is the host's doing: what the compensator wrote is taken back as any run's.

use std::collections::BTreeSet;
use std::sync::Arc;

use rapport_model::event::NewEvent;
use rapport_model::json::to_json;
use rapport_model::run::invoked_run_id;
use rapport_model::{AutomationId, Effect, Run, RunId};
use rapport_sandbox::work::Undone;
use rapport_sandbox::{GuestEvent, GuestFailure, Work};
use serde_json::json;

use super::UNDO;
use super::plan::{Planner, Report};
use crate::actions;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::execute::{host_at, subject_record};
use crate::journaled::WAITING;
use crate::locks::SliceLocks;
use crate::registry::Version;
use crate::usage::Admission;

/// What compensators did beside writing records.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) events: Vec<NewEvent>,
    pub(super) effects: Vec<Effect>,
    /// The locks that were taken; they are held until the commit.
    pub(super) locks: SliceLocks,
    /// Whose compensator it was: the plugin has decided on what was written by itself.
    pub(super) by: Option<AutomationId>,
}

impl Planner<'_> {
    /// The version whose compensator takes back what `run` did: the live one, or else the one that did it.
    pub(super) async fn compensator(&self, run: &Run) -> Option<Arc<Version>> {
        if run.automation.as_str() == UNDO || self.inner.is_slice_of_migration(run).await {
            return None;
        }
        let live = self.inner.snapshot.load().version(&run.automation).cloned();
        if let Some(live) = live.filter(|live| live.declaration.compensate) {
            return Some(live);
        }
        let own = self.inner.version(&run.automation, &run.digest).await.ok();
        own.filter(|version| version.declaration.compensate)
    }

    /// Lets `version` take back what `run` did, on the plan's buffer.
    pub(super) async fn compensate(
        &mut self,
        run: &Run,
        version: &Arc<Version>,
        report: &mut Report,
    ) -> Result<(), EngineError> {
        let inner = self.inner;
        if let Some(why) = inner.plugins.held(&version.id) {
            return Err(EngineError::Conflict(format!("{why}: it takes back what its runs did itself")));
        }
        // A foretold undo has no run: it draws ids that nobody has.
        let undo = self.undo.unwrap_or_else(|| invoked_run_id(run.id, u64::MAX));
        let undone = undone(inner, run).await?;
        let mut wanted = BTreeSet::new();
        let host = loop {
            let mut host = host_at(inner, (undo, self.now), version.clone());
            host.actor.clone_from(&self.actor);
            host.buffer = self.buffer.clone();
            host.locks = inner.locks.take(&wanted).await;
            let work = Work::Compensate(undone.clone());
            let (told, host) = inner.sandbox.call(&version.program, work, host).await;
            inner.count(version, &told, (&host.trace, &Admission::default()));
            if let Some(more) = host.locks.wanted() {
                wanted = more;
                continue;
            }
            told.outcome.map_err(|failure| failed(version, &failure))?;
            break host;
        };
        self.buffer = host.buffer;
        self.beside.by = Some(version.id.clone());
        note(&self.buffer.changes(), report);
        report.done.extend(host.events.iter().map(|event| json!({ "did": "reported", "record": event.kind.as_str() })));
        if self.undo.is_some() {
            self.beside.events.extend(host.events);
            self.beside.effects.extend(host.outbound.effects);
            self.beside.locks = host.locks;
        }
        Ok(())
    }
}

/// What the compensator of `run` is told of it.
async fn undone(inner: &Inner, run: &Run) -> Result<Undone, EngineError> {
    let event = inner.store.event(run.position).await?;
    let missing = || EngineError::Internal(format!("event {} of run {} is missing", run.position, run.id));
    let event = event.ok_or_else(missing)?;
    let action = actions::call_in(&event);
    let event = if action.is_some() {
        None
    } else {
        let (record, _) = subject_record(inner, &event).await?;
        Some(GuestEvent { event, record })
    };
    Ok(Undone { run: run.id.to_string(), automation_digest: run.digest.to_string(), event, action })
}

fn failed(version: &Version, failure: &GuestFailure) -> EngineError {
    let message = match failure.code() {
        "unavailable" => return EngineError::Unavailable(failure.to_string()),
        "disk_full" => return EngineError::Full,
        WAITING => "a compensator cannot wait".to_owned(),
        _ => failure.to_string(),
    };
    EngineError::Compensator { plugin: version.id.clone(), code: failure.code().to_owned(), message }
}

/// Tells what a compensator wrote.
fn note(changes: &[crate::buffer::Changed], report: &mut Report) {
    for (fields, before, after) in changes {
        let Some(record) = after.as_ref().or(before.as_ref()) else { continue };
        let about = format!("{}/{}", record.object.name, record.id);
        match (before, after) {
            (None, _) => report.done.push(json!({ "did": "added by the plugin", "record": about })),
            (_, None) => report.done.push(json!({ "did": "removed by the plugin", "record": about })),
            (Some(before), Some(after)) => {
                let told = fields.iter().map(|(name, _)| {
                    let (from, to) = (to_json(before.get(name.as_str())), to_json(after.get(name.as_str())));
                    json!({ "did": "set by the plugin", "record": about, "field": name, "from": from, "to": to })
                });
                report.done.extend(told);
            }
        }
    }
}

/// The run by which a plan is carried out; none of one that only foretells.
pub(super) type Undoing = Option<RunId>;
