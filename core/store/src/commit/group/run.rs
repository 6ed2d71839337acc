//! The step that a unit's run takes.

use rapport_model::{AutomationId, Digest, RunId, RunStatus};

use super::{Group, Undo, restore};
use crate::error::StoreError;
use crate::head::RunCounts;
use crate::unit::{JournalStep, RunUpdate, UnitOfWork};

/// What the committer knows of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownRun {
    pub(crate) automation: AutomationId,
    pub(crate) digest: Digest,
    pub(crate) status: RunStatus,
}

/// A step of a run, as it would be taken back.
pub(super) struct Step {
    id: RunId,
    known: KnownRun,
    to: RunStatus,
    before: Option<RunUpdate>,
}

impl Group<'_> {
    pub(super) fn step_run(&mut self, unit: &UnitOfWork, undo: &mut Undo) -> Result<(), StoreError> {
        let Some(update) = &unit.run_state else { return Ok(()) };
        let known = self.known_runs.get(&update.id).cloned();
        let status = known.as_ref().map(|known| known.status);
        let again = unit.journal == JournalStep::WaitsAgain;
        let found = known.as_ref().map(|known| (known.status, known.digest));
        let may = status.is_some_and(|status| match (status, update.status) {
            _ if unit.run_from.is_some() && unit.run_from != found => false,
            // A slice of a run that was woken without a commit goes from where it waits to wherever a slice goes.
            (RunStatus::Waiting, to) if unit.run_from.is_some() => RunStatus::Pending.may_become(to),
            (RunStatus::Paused, RunStatus::Waiting) => again,
            (from, to) => from.may_become(to),
        });
        let (true, Some(known)) = (may, known) else {
            let found = status.map_or("unknown", RunStatus::as_str);
            return Err(StoreError::RunMoved { run: update.id, found, wanted: update.status.as_str() });
        };
        move_count(&mut self.head.run_counts, &known.automation, (known.status, update.status));
        let digest = unit.run_digest.unwrap_or(known.digest);
        let next = KnownRun { status: update.status, digest, ..known.clone() };
        self.known_runs.insert(update.id, next);
        let before = self.run_updates.insert(update.id, update.clone());
        undo.run = Some(Step { id: update.id, known, to: update.status, before });
        Ok(())
    }

    /// Notes what happens to the journal and the version of the unit's run.
    pub(super) fn step_journal(&mut self, unit: &UnitOfWork) {
        let run = unit.run_state.as_ref().map(|update| update.id).or(unit.run);
        if let (Some(update), Some(digest)) = (&unit.run_state, unit.run_digest) {
            self.run_digests.insert(update.id, digest);
        }
        if let (Some(run), true) = (run, !matches!(unit.journal, JournalStep::None | JournalStep::WaitsAgain)) {
            self.journal.push((run, unit.journal.clone()));
        }
    }

    pub(super) fn take_back_run(&mut self, step: Step) {
        move_count(&mut self.head.run_counts, &step.known.automation, (step.to, step.known.status));
        self.known_runs.insert(step.id, step.known);
        restore(&mut self.run_updates, step.id, step.before);
    }

    /// Counts the runs that the group starts. Once, when all units are applied.
    pub(crate) fn count_new_runs(&mut self) {
        for run in &self.runs {
            *self.head.run_counts.entry((run.automation.clone(), run.status.as_str())).or_default() += 1;
        }
    }
}

fn move_count(counts: &mut RunCounts, automation: &AutomationId, (from, to): (RunStatus, RunStatus)) {
    if let Some(count) = counts.get_mut(&(automation.clone(), from.as_str())) {
        *count = count.saturating_sub(1);
    }
    *counts.entry((automation.clone(), to.as_str())).or_default() += 1;
}
