//! Starts runs again from one of their calls, or on the active version.
//!
//! The journal is cut before the call: what came before is answered from it, the rest is called anew. What the rest had committed
//! stays committed and is done again, so it is named, and must be wanted. A run goes on with another version only if that
//! makes the calls of its journal. Slices that are cut off stay as empty rows, so that no slice draws the ids and random
//! numbers of another.

use std::sync::Arc;

use rapport_model::{Digest, Run, RunStatus};
use rapport_store::{JournalStep, RunQuery, RunUpdate, StoreError, UnitOfWork};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::calls::{Call, calls, cut};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::journal::Journal;
use crate::operate::{RunAction, RunSelection, Step, WaitsAgain};
use crate::present::run_to_json;
use crate::undo::Standing;

/// The states from which a run is started again so. One that waits could be woken meanwhile: it is held back first.
const FROM: [RunStatus; 3] = [RunStatus::Dead, RunStatus::Cancelled, RunStatus::Paused];
/// How many calls an error names.
const CALLS_NAMED_MAX: usize = 5;
/// How many refusals the answer for many runs tells.
const REFUSALS_TOLD_MAX: usize = 20;

/// With which version a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryOn {
    /// That which is live now, if the run's journal replays on it.
    Active,
}

/// How runs are started again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryOptions {
    /// The call from which on all is called anew; none: after the last.
    pub from: Option<usize>,
    /// The version; none: the one it has.
    pub on: Option<RetryOn>,
    /// Whether what has been committed may be done again.
    pub force: bool,
}

impl RetryOptions {
    /// Whether nothing is asked for but a plain retry.
    fn is_plain(&self) -> bool {
        self.from.is_none() && self.on.is_none()
    }
}

/// A journal as it is after a cut.
struct Shortened {
    journal: Journal,
    cut: Vec<(i64, String)>,
    /// What had been committed and is done again.
    repeats: Vec<Call>,
}

impl Engine {
    /// Starts a run again as `options` say, and shows it as it is then, with the calls that are `repeated` though they had been
    /// committed.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::LoadOpen`]; [`EngineError::Invalid`] for a call that
    /// its journal does not have; [`EngineError::Conflict`] if the run is in another state, if committed calls would be done
    /// again and that is not forced, or if its journal does not replay on the active version.
    pub async fn retry(&self, caller: &Caller, id: &str, options: &RetryOptions) -> Result<Json, EngineError> {
        if options.is_plain() {
            return self.operate(caller, RunAction::Retry, id).await;
        }
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let _one = self.inner.steering.lock().await;
        let run = self.find_run(id).await?;
        let (step, repeats) = self.inner.plan_retry(caller, &run, options).await?;
        self.inner.store.commit(step.unit.clone()).await?;
        // Read before it is let go, so that the answer says what the retry did and not how far the run is by now.
        let shown = self.find_run(id).await;
        self.inner.settled(&step);
        let mut json = run_to_json(&*shown?);
        json["repeated"] = repeats.iter().map(Call::to_json).collect();
        Ok(json)
    }

    /// Starts all runs again that are meant, each by itself, and says how many; those to which something stands against are left
    /// as they are and told with the reason.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`], [`EngineError::LoadOpen`].
    pub async fn retry_all(
        &self,
        caller: &Caller,
        selection: &RunSelection,
        options: &RetryOptions,
    ) -> Result<Json, EngineError> {
        if options.is_plain() {
            return self.operate_all(caller, RunAction::Retry, selection).await;
        }
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let mut told = Told::default();
        let mut failed = Ok(());
        for query in selection.queries((&FROM, &[RunStatus::Dead]), RunAction::Retry.past())? {
            failed = failed.and(self.inner.retry_each(caller, &query, options, &mut told).await);
        }
        // They were read newest first, and start in the order of the log. What is done is done, whatever failed after it.
        told.done.sort_by(|a, b| (a.run.position, &a.run.automation).cmp(&(b.run.position, &b.run.automation)));
        told.done.iter().for_each(|step| self.inner.settled(step));
        failed?;
        let retried = told.done.len();
        Ok(json!({ "retried": retried, "missed": told.missed, "refused": told.refused, "refusals": told.refusals }))
    }
}

/// What came of a retry of many runs.
#[derive(Default)]
struct Told {
    done: Vec<Step>,
    missed: u64,
    refused: u64,
    refusals: Vec<Json>,
}

impl Inner {
    async fn retry_each(
        &self,
        caller: &Caller,
        query: &RunQuery,
        options: &RetryOptions,
        told: &mut Told,
    ) -> Result<(), EngineError> {
        let mut place = None;
        loop {
            let (page, next) = self.sound_page(query, place).await?;
            for run in page {
                let _one = self.steering.lock().await;
                let (step, _) = match self.plan_retry(caller, &run, options).await {
                    Ok(planned) => planned,
                    Err(error @ (EngineError::Conflict(_) | EngineError::Invalid(_))) => {
                        told.refused += 1;
                        if told.refusals.len() < REFUSALS_TOLD_MAX {
                            told.refusals.push(json!({ "run": run.id, "why": error.to_string() }));
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                match self.store.commit(step.unit.clone()).await {
                    Ok(_) => told.done.push(step.committed()),
                    Err(StoreError::RunMoved { .. }) => told.missed += 1,
                    Err(error) => return Err(error.into()),
                }
            }
            let Some(next) = next else { return Ok(()) };
            place = Some(next);
        }
    }

    /// What starts `run` again, and which committed calls it does again.
    async fn plan_retry(
        &self,
        caller: &Caller,
        run: &Arc<Run>,
        options: &RetryOptions,
    ) -> Result<(Step, Vec<Call>), EngineError> {
        if !FROM.contains(&run.status) {
            return Err(EngineError::Conflict(match run.status {
                RunStatus::Waiting => "the run is waiting: pause it first, then it can be retried".to_owned(),
                other => format!("the run is {}: only dead, cancelled or paused runs are retried so", other.as_str()),
            }));
        }
        let slices = self.store.journal(run.id).await?;
        let Shortened { journal, cut, repeats } = shortened(&slices, options)?;
        if !repeats.is_empty() && !options.force && !self.is_undone(run).await? {
            return Err(EngineError::Conflict(repeats_text(run, &repeats)));
        }
        let digest = match options.on {
            Some(RetryOn::Active) => self.active_digest(run, journal).await?,
            None => None,
        };
        let waits: Vec<_> = self.store.waits_of(&[run.id]).await?.into_iter().map(|(_, wait)| wait).collect();
        // One that was held back while it waited and keeps its journal waits on, with the other version.
        let held = run.status == RunStatus::Paused && (run.wake_at.is_some() || !waits.is_empty());
        let waits_again =
            (held && options.from.is_none()).then_some(WaitsAgain { until: run.wake_at, waits, call: false });
        let to = if waits_again.is_some() { RunStatus::Waiting } else { RunStatus::Pending };
        let mut unit = UnitOfWork::new(self.clock.now(), caller.actor.clone());
        unit.run_digest = digest;
        unit.journal = if waits_again.is_some() { JournalStep::WaitsAgain } else { JournalStep::Cut(cut) };
        unit.run_state = Some(RunUpdate {
            id: run.id,
            status: to,
            attempt: 0,
            wake_at: run.wake_at.filter(|_| waits_again.is_some()),
            wake_event: run.wake_event.filter(|_| options.from.is_none()),
            wake_index: run.wake_index.filter(|_| options.from.is_none()),
            finished_at: None,
            error: None,
            trace: None,
        });
        Ok((Step::new(unit, run, waits_again), repeats))
    }

    async fn is_undone(&self, run: &Arc<Run>) -> Result<bool, EngineError> {
        Ok(matches!(self.standing(run.clone()).await?, Standing::Undone(_)))
    }

    /// The active version, if `run` does not have it already and its journal replays on it.
    async fn active_digest(&self, run: &Run, journal: Journal) -> Result<Option<Digest>, EngineError> {
        let version = self.snapshot.load().version(&run.automation).cloned();
        let none = || EngineError::Conflict(format!("`{}` has no active version: activate one first", run.automation));
        let version = version.ok_or_else(none)?;
        if version.digest == run.digest {
            return Ok(None);
        }
        match self.rehearse_journal(run, journal, &version).await? {
            None => Ok(Some(version.digest)),
            Some(difference) => Err(EngineError::Conflict(format!(
                "the run would not go on with the active version {} as it has begun: {}; retry it with its own \
                 version, or from a call before that",
                version.digest.short(),
                difference.why
            ))),
        }
    }
}

/// The journal in `slices` as it is when it is cut as `options` say.
fn shortened(slices: &[String], options: &RetryOptions) -> Result<Shortened, EngineError> {
    let damaged = |why| EngineError::Conflict(format!("{why}: retry it `from` 1 with `force`, which begins anew"));
    let Some(from) = options.from else {
        let journal = Journal::read(slices).map_err(damaged)?;
        return Ok(Shortened { journal, cut: Vec::new(), repeats: Vec::new() });
    };
    if from == 1 {
        // Nothing of it is needed, so it need not even read.
        let repeats = match calls(slices) {
            Ok(all) => all.into_iter().filter(Call::has_effect).collect(),
            Err(_) if options.force => Vec::new(),
            Err(why) => return Err(damaged(why)),
        };
        let cut = (0..).zip(slices).map(|(slice, _)| (slice, "[]".to_owned())).collect();
        return Ok(Shortened { journal: Journal::default(), cut, repeats });
    }
    let all = calls(slices).map_err(damaged)?;
    if from == 0 || from > all.len() {
        let message = match all.len() {
            0 => "the run has no journal, so that it can only begin anew: from 1".to_owned(),
            count => {
                format!("the journal has {count} calls: name one from 1 to {count}; a plain retry goes on after it")
            }
        };
        return Err(EngineError::invalid("/from", message));
    }
    let cut = cut(slices, from).map_err(damaged)?;
    let mut shorter = slices.to_vec();
    for (slice, entries) in &cut {
        if let Some(place) = usize::try_from(*slice).ok().and_then(|slice| shorter.get_mut(slice)) {
            place.clone_from(entries);
        }
    }
    let journal = Journal::read(&shorter).map_err(damaged)?;
    let repeats = all.into_iter().skip(from - 1).filter(Call::has_effect).collect();
    Ok(Shortened { journal, cut, repeats })
}

fn repeats_text(run: &Run, repeats: &[Call]) -> String {
    let named: Vec<String> = repeats.iter().take(CALLS_NAMED_MAX).map(Call::brief).collect();
    let more = match repeats.len().saturating_sub(CALLS_NAMED_MAX) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!(
        "these calls have been committed and would be done again: {}{more}; undo the run first (`rapport run undo {}`), or \
         say `force`",
        named.join(", "),
        run.id
    )
}
