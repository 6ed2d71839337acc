//! Works on a run of the automation that merges: plans on the data of the moment, commits, and plans anew if others were faster. It holds the
//! lanes of both records meanwhile, so that no slice of either works on what goes over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rapport_model::{Actor, RecordId, Run, RunStatus};
use rapport_store::{RunQuery, StoreError, UnitOfWork, crash_point};

use super::{Merge, merge_id, plan};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::execute::settle;
use crate::judges::NotJudged;
use crate::lanes::Item;
use crate::undo::{ended_run, fail_run};

/// Tries after which it fails.
const TRIES_MAX: u32 = 20;
/// How long it waits for a database that is away or full.
const REST: Duration = Duration::from_millis(500);
/// How long until it looks again whether the runs before it have ended, in microseconds.
const LOOK_AGAIN_MICROS: i64 = 2_000_000;
/// How often it looks.
const LOOKS_MAX: u16 = 30;
/// Runs that `record.merging` may have started.
const RUNS_BEFORE_MAX: u32 = 1_000;

/// What has to end before a record is merged.
enum Before {
    Done,
    /// A run is at it, or is tried again later.
    Open(Run),
    Failed(Run),
}

/// Works on `item` until something is committed of it, or the host stops.
pub(crate) async fn work(inner: &Arc<Inner>, item: Item) {
    let merge = match inner.merge_of(&item.run).await {
        Ok(merge) => merge,
        Err(error) => return fail_run(inner, item, error.code(), &error.to_string()).await,
    };
    let lanes = match inner.lanes_of(&merge).await {
        Ok(lanes) => lanes,
        Err(error) => return fail_run(inner, item, error.code(), &error.to_string()).await,
    };
    let held = inner.lanes.hold_several(&item.run, &lanes).await;
    let mut tries = 0;
    while !inner.is_stopping() {
        let error = match inner.before(&merge).await {
            Ok(Before::Done) => match attempt(inner, &item.run, &merge).await {
                Ok(None) => {
                    drop(held);
                    return settle(inner, item, (RunStatus::Completed, 0), None);
                }
                Ok(Some(error)) if tries < TRIES_MAX => {
                    tracing::debug!(run.id = %item.run.id, "the merge {} is planned anew: {error}", item.run.id);
                    tries += 1;
                    inner.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Ok(Some(error)) => error.into(),
                Err(error) => error,
            },
            Ok(Before::Open(run)) if item.run.attempt < LOOKS_MAX => {
                drop(held);
                return look_again(inner, item, &run).await;
            }
            Ok(Before::Open(run) | Before::Failed(run)) => {
                let why = format!(
                    "run {} of {}, which `record.merging` started, is {}: retry or cancel that run, then retry this one",
                    run.id,
                    run.automation,
                    run.status.as_str()
                );
                return fail_run(inner, item, "conflict", &why).await;
            }
            Err(error) => error,
        };
        match error {
            EngineError::Unavailable(_) | EngineError::Full => {
                tracing::warn!(run.id = %item.run.id, "the merge {} waits for the database: {error}", item.run.id);
                inner.pause(REST).await;
            }
            error => return fail_run(inner, item, error.code(), &error.to_string()).await,
        }
    }
}

/// Plans, and commits the plan; gives what stood against it, if others were faster.
async fn attempt(inner: &Inner, run: &Run, merge: &Merge) -> Result<Option<StoreError>, EngineError> {
    let now = inner.clock.now();
    // Who is in which list must not change between this look and the commit.
    let turn = inner.hold_segments().await;
    let plan = plan::plan(inner, merge, now).await?;
    let mut unit = UnitOfWork::new(now, Actor::Automation(merge_id()));
    (unit.run, unit.cause) = (Some(run.id), Some(run.position));
    unit.depth = run.depth.saturating_add(1);
    (unit.reads, unit.puts, unit.blobs) = plan.buffer.into_parts();
    (unit.events, unit.stays) = (plan.events, plan.stays);
    unit.run_state = Some(ended_run(inner, run, RunStatus::Completed, Some(plan.report.to_json().to_string())));
    match inner.judge(&mut unit, None).await {
        Ok(()) => {}
        Err(NotJudged::Store(error)) => return again(error),
        Err(NotJudged::By(verdict)) => return Err(EngineError::from(verdict)),
    }
    crash_point("merge.planned");
    match inner.store.commit(unit).await {
        Ok(_) => {}
        // Somebody else has taken this step.
        Err(StoreError::RunMoved { .. }) => return Ok(None),
        Err(error) => return again(error),
    }
    crash_point("merge.committed");
    drop(turn);
    Ok(None)
}

/// What was refused since others were faster may be planned anew; nothing else may.
fn again(error: StoreError) -> Result<Option<StoreError>, EngineError> {
    match error {
        StoreError::Conflict { .. }
        | StoreError::Unique { .. }
        | StoreError::Referenced { .. }
        | StoreError::MissingRecord { .. }
        | StoreError::ReferenceMissing { .. } => Ok(Some(error)),
        error => Err(error.into()),
    }
}

/// Has the run tried again a little later.
async fn look_again(inner: &Arc<Inner>, item: Item, before: &Run) {
    let when = inner.clock.now().plus_micros(LOOK_AGAIN_MICROS);
    let mut state = ended_run(inner, &item.run, RunStatus::Retrying, None);
    (state.finished_at, state.wake_at) = (None, Some(when));
    state.error = Some(format!("conflict waits for run {} of {}", before.id, before.automation));
    let mut unit = UnitOfWork::new(inner.clock.now(), Actor::Automation(merge_id()));
    let attempt = state.attempt;
    unit.run_state = Some(state);
    loop {
        match inner.store.commit(unit.clone()).await {
            Ok(_) => return settle(inner, item, (RunStatus::Retrying, attempt), Some(when)),
            Err(StoreError::Unavailable(_) | StoreError::Full) if !inner.is_stopping() => inner.pause(REST).await,
            Err(error) => {
                return tracing::warn!(run.id = %item.run.id, "the merge {} could not wait: {error}", item.run.id);
            }
        }
    }
}

impl Inner {
    /// The lanes of both records.
    async fn lanes_of(&self, merge: &Merge) -> Result<Vec<RecordId>, EngineError> {
        let ids = [merge.survivor, merge.merged];
        let records = self.store.records(&merge.object.name, &ids).await?;
        Ok(records.into_iter().zip(ids).map(|(record, id)| record.map_or(id, |record| record.lane())).collect())
    }

    /// What came of the runs that `record.merging` started.
    async fn before(&self, merge: &Merge) -> Result<Before, EngineError> {
        let Some(position) = merge.merging else { return Ok(Before::Done) };
        let query = RunQuery { position: Some(position), limit: RUNS_BEFORE_MAX, ..RunQuery::default() };
        for run in self.store.runs(&query).await? {
            match run.status {
                // Who cancels one has the merge go on without it.
                RunStatus::Completed | RunStatus::Skipped | RunStatus::Cancelled => {}
                RunStatus::Dead => return Ok(Before::Failed(run)),
                _ => return Ok(Before::Open(run)),
            }
        }
        Ok(Before::Done)
    }
}
