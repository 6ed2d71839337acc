//! Migrations: a new version of a plugin takes over the data of the old one before it is live.
//!
//! ```text
//! upgrade, grant ─▶ running ──last slice──▶ done: the new version is live
//!                    │  ▲                    └─rollback with `undo`─▶ taking back ─▶ the old version is live
//!       a slice dies │  │ upgrade with the same package
//!                    ▼  │
//!                  failed ──abandon──▶ taking back ─▶ the old version goes on
//! ```
//! Each slice is a run: started by `run.invoked`, on a lane that the migration has for itself, under the rights of the new version. Its
//! commit holds what it wrote and, in its `run.ended`, where the next one begins; so no slice is done twice, whenever the host dies.
//! What it writes starts no automation. While data are half moved nothing else of the plugin works: its runs are held back, and who
//! asks it for something is told to come again.

mod back;
mod begin;
mod drive;
mod rehearse;
mod release;

use rapport_model::plugin::{MigrationDef, PluginVersion, migration};
use rapport_model::run::INVOKED;
use rapport_model::{Actor, AutomationId, Declaration, Digest, Event, RecordId, Run, RunId, Timestamp, Value};
use rapport_sandbox::work::MigrationStep;
use rapport_sandbox::{GuestFailure, Output, SliceReport};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Installed;
use crate::bundle::Bundle;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::gate::Caller;
use crate::invoked;
use crate::registry::Version;
use crate::slice::SliceHost;

pub(crate) use drive::keep;
pub(crate) use rehearse::move_alone;
pub(crate) use release::release_late;

/// The code of a run that is held back, and of a call that is refused, while data of its plugin are moved.
pub(crate) const MIGRATING: &str = "plugin_migrating";
/// The most bytes of a cursor.
const CURSOR_BYTES_MAX: usize = 4_096;
/// When to come again, in seconds.
const COME_AGAIN_SECONDS: u64 = 5;

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Slices follow each other.
    Running,
    /// A slice has died, or one could not be taken back.
    Failed,
    /// Its slices are undone, newest first.
    TakingBack,
    /// All is moved, and the new version is live.
    Done,
}

/// What is to be once its slices are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// The version that is live goes on: the upgrade is given up.
    Abandon,
    /// The version before becomes live.
    RollBack,
}

/// A migration as the record of its plugin keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Migration {
    /// The lane of its slices.
    pub(crate) id: RecordId,
    pub(crate) phase: Phase,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) steps: Vec<MigrationDef>,
    /// The place of the step that is worked on.
    pub(crate) step: usize,
    /// Where its next slice begins; empty: at the beginning.
    pub(crate) cursor: String,
    /// The slices that are done, of all steps.
    pub(crate) slices: u64,
    /// The slice that is worked on.
    pub(crate) run: Option<RunId>,
    /// The event that it is because of.
    pub(crate) cause: Option<i64>,
    pub(crate) since: Timestamp,
    /// Who wants it.
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What is to be after it is taken back, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) back: Option<Way>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
}

impl Migration {
    /// Whether the host has something to do for it.
    pub(crate) const fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::TakingBack)
    }

    /// Whether it is not at its end.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Done)
    }

    /// Whether data are half moved, so that nothing else of the plugin may work.
    pub(crate) const fn holds(&self) -> bool {
        self.is_under_way() || (matches!(self.phase, Phase::Failed) && self.has_kept())
    }

    /// Whether something of it is committed.
    pub(crate) const fn has_kept(&self) -> bool {
        self.slices > 0
    }

    /// Whether it has made `version` live, so that the data are that version's; or were, and could not all be taken back.
    pub(crate) fn has_made(&self, version: &str) -> bool {
        let stuck = self.phase == Phase::Failed && self.back == Some(Way::RollBack);
        (self.phase == Phase::Done || stuck) && self.to == version
    }

    /// Whether `run` is one of its slices.
    pub(crate) fn is_slice(&self, run: &Run) -> bool {
        run.lane == Some(self.id)
    }

    /// What it does, as a clause.
    pub(crate) fn told(&self) -> String {
        let (from, to, slices) = (&self.from, &self.to, self.slices);
        match self.phase {
            Phase::Running => format!("a migration from {from} to {to} is under way ({slices} slices done)"),
            Phase::TakingBack => format!("a migration from {from} to {to} is taken back"),
            Phase::Failed => format!("a migration from {from} to {to} has failed after {slices} slices"),
            Phase::Done => format!("a migration from {from} to {to} is done"),
        }
    }

    /// The present slice, for people: the step, the number of the slice, and where it begins.
    fn place(&self) -> String {
        let step = self.steps.get(self.step).map_or_else(String::new, |step| format!("{} → {}, ", step.from, step.to));
        let cursor = if self.cursor.is_empty() { "the beginning".into() } else { format!("cursor `{}`", self.cursor) };
        format!("{step}slice {} from {cursor}", self.slices + 1)
    }

    /// What the log says of the present slice.
    fn slice_json(&self, step: &MigrationDef) -> Json {
        json!({ "from": step.from, "to": step.to, "cursor": self.cursor, "slice": self.slices + 1 })
    }

    /// Who wants it, as a caller.
    fn caller(&self) -> Caller {
        Caller { actor: self.by.parse().unwrap_or(Actor::System), ..Caller::system() }
    }

    pub(super) fn to_json(&self) -> Json {
        let mut shown = json!({
            "state": self.phase,
            "from": self.from,
            "to": self.to,
            "steps": self.steps,
            "step": self.step,
            "slices": self.slices,
            "cursor": self.cursor,
            "run": self.run,
            "lane": self.id,
            "since": self.since,
            "by": self.by,
            "ended_at": self.ended,
            "error": self.error,
        });
        if let (Some(map), Some(way)) = (shown.as_object_mut(), self.back) {
            map.insert("then".into(), json!(way));
        }
        shown
    }
}

impl Installed {
    /// Why nothing of it may work but its migration, if data of it are half moved.
    pub(crate) fn migrating(&self) -> Option<String> {
        let migration = self.migration.as_ref().filter(|migration| migration.holds())?;
        let (id, told) = (&self.name, migration.told());
        Some(match migration.phase {
            Phase::Failed if migration.back == Some(Way::RollBack) => format!(
                "of the plugin `{id}` {told}, and could not be taken back: `rapport plugin rollback {id} --undo-data` goes on with it"
            ),
            Phase::Failed => format!(
                "of the plugin `{id}` {told}, and its data are half moved: `rapport plugin upgrade` with the same package goes on, \
                 `rapport plugin upgrade {id} --abandon` takes them back"
            ),
            _ => format!("of the plugin `{id}` {told}: come again when it is done"),
        })
    }

    /// Passes if `version`, which is in `package`, knows the data as they are now.
    ///
    /// # Errors
    /// [`EngineError::Conflict`], [`EngineError::Plugin`] if data are or were moved, or would have to be.
    pub(super) fn refuse_past_migration(&self, version: &Version, package: &Digest) -> Result<(), EngineError> {
        let id = &self.name;
        if let Some(why) = self.migrating() {
            return Err(EngineError::Conflict(why));
        }
        let Some(live) = self.live.as_ref().filter(|live| live.package != *package) else { return Ok(()) };
        if self.migration.as_ref().is_some_and(|migration| migration.has_made(&live.version)) {
            return Err(EngineError::Conflict(format!(
                "{} has moved the data of `{id}`: `rapport plugin rollback {id} --undo-data` undoes that and goes back",
                live.version
            )));
        }
        if self.moves(&version.declaration)?.is_empty() {
            return Ok(());
        }
        Err(EngineError::Conflict(format!(
            "the data of `{id}` have to be moved first: `rapport plugin upgrade` does so"
        )))
    }

    /// The steps that its data go through on the way to a version that declares `declaration`; none if there are no data of it.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] if nothing leads there from the live version.
    pub(crate) fn moves(&self, declaration: &Declaration) -> Result<Vec<MigrationDef>, EngineError> {
        let Some(live) = &self.live else { return Ok(Vec::new()) };
        let live: PluginVersion = live.version.parse().map_err(|e| EngineError::Internal(format!("{e}")))?;
        migration::chain(&declaration.migrations, live).map_err(|gap| {
            EngineError::Plugin(format!("the data of `{}` {live} cannot be taken over: {gap}", self.name))
        })
    }
}

impl Inner {
    /// Passes if the plugin `id` may be asked for something: its data are not being moved.
    ///
    /// # Errors
    /// [`EngineError::Migrating`].
    pub(crate) fn refuse_asking(&self, id: &AutomationId) -> Result<(), EngineError> {
        match self.plugins.find(id).and_then(|plugin| plugin.migrating()) {
            None => Ok(()),
            Some(why) => Err(EngineError::Migrating { plugin: id.clone(), why, seconds: COME_AGAIN_SECONDS }),
        }
    }
}

impl Inner {
    /// Passes if `content`, which lies in a folder, knows the data of the version that is live as they are.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] if they would have to be moved.
    pub(crate) async fn refuse_to_move(&self, content: &Version) -> Result<(), EngineError> {
        let steps = &content.declaration.migrations;
        let live = self.snapshot.load().version(&content.id).cloned();
        let Some(live) = live.filter(|live| !steps.is_empty() && live.content != content.content) else {
            return Ok(());
        };
        let Some(artifact) = self.store.artifact(&live.content).await? else { return Ok(()) };
        let version = Bundle::read(&artifact.bytes)?.manifest.version;
        if migration::chain(steps, version).is_ok_and(|steps| steps.is_empty()) {
            return Ok(());
        }
        Err(EngineError::Plugin(format!(
            "the data of `{}` {version} have to be moved, which is done for packages alone: `rapport plugin pack`, then `rapport plugin \
             upgrade`",
            content.id
        )))
    }
}

/// The slice of a migration that `event` starts, if it does.
pub(crate) fn slice_in(event: &Event) -> Option<MigrationStep> {
    if event.kind.as_str() != INVOKED {
        return None;
    }
    let Value::Json(slice) = invoked::field(event, "migration")? else { return None };
    let text = |name: &str| slice[name].as_str().unwrap_or_default().to_owned();
    Some(MigrationStep { from: text("from"), to: text("to"), cursor: text("cursor"), dry_run: false })
}

/// Holds what a slice came to against what slices may do, and gives where the next one begins; empty if there is none.
///
/// # Errors
/// What it may not do, as its failure.
fn next_cursor(step: &MigrationStep, report: &mut SliceReport, host: &SliceHost) -> Result<String, GuestFailure> {
    let failed =
        |code: &str, message: String| Err(GuestFailure::Failed { code: code.to_owned(), message, retryable: false });
    if host.events.iter().any(|event| event.kind.as_str() == INVOKED) {
        return failed("invalid", "a migration starts no runs: what it writes starts no automation either".to_owned());
    }
    let Output::Cursor(next) = std::mem::take(&mut report.output) else { return Ok(String::new()) };
    if next.is_empty() || next.len() > CURSOR_BYTES_MAX {
        let message = format!("a cursor has 1 to {CURSOR_BYTES_MAX} bytes, this one has {}", next.len());
        return failed("invalid_cursor", message);
    }
    if next == step.cursor {
        return failed("invalid_cursor", format!("the next slice would begin where this one did, at `{next}`"));
    }
    Ok(next)
}

/// Makes what a slice of a migration came to the result of its run: where the next one begins.
pub(crate) fn judge(step: &MigrationStep, report: &mut SliceReport, host: &mut SliceHost) {
    if report.outcome.is_err() {
        return;
    }
    match next_cursor(step, report, host) {
        Ok(next) if next.is_empty() => host.reply = json!({ "done": true }),
        Ok(next) => host.reply = json!({ "cursor": next }),
        Err(failure) => report.outcome = Err(failure),
    }
}
