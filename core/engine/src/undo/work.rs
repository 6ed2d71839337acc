//! Works on a run of the automation that undoes: plans on the data of the moment, commits, and plans anew if others were
//! faster.
//!
//! ```text
//! plan ─▶ commit ─▶ completed
//!  ▲        │ refused: others have changed something since
//!  └────────┘ (after some tries it holds the lanes of all that it touches, and leaves alone what is refused again)
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rapport_model::json::to_json;
use rapport_model::record::{Change, Put};
use rapport_model::{Actor, AutomationId, Event, RecordId, Run, RunStatus, Value};
use rapport_store::{EffectStep, RunUpdate, StoreError, Triggers, UnitOfWork};
use serde_json::json;

use super::compensate::Beside;
use super::plan::{Planner, Refused, Report};
use super::{text_field, undo_id, undone_run};
use crate::effects::called_off;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::execute::{sent, settle};
use crate::judges::NotJudged;
use crate::lanes::{Held, Item};
use crate::locks::SliceLocks;
use crate::merge;

/// Tries after which an undo holds the lanes of all that it touches, and leaves alone what a commit was refused for.
const TRIES_UNTIL_HOLD: u32 = 3;
/// Tries after which it fails.
const TRIES_MAX: u32 = 50;
/// How long it waits for a database that is away or full.
const REST: Duration = Duration::from_millis(500);

/// Works on `item` until something is committed of it, or the host stops.
pub(crate) async fn work(inner: &Arc<Inner>, item: Item) {
    let mut refused = Refused::new();
    let mut tries = 0;
    let mut held: Option<Held<'_>> = None;
    while !inner.is_stopping() {
        let outcome = match attempt(inner, &item.run, &refused).await {
            Ok((mut unit, locks, by)) => {
                let (puts, touched, effects) = (unit.puts.clone(), touched(&unit), unit.effects.clone());
                let committed = match judged(inner, &mut unit, by.as_ref(), &mut refused).await {
                    Ok(true) => inner.store.commit(unit).await.map(drop),
                    Ok(false) => continue,
                    Err(NotJudged::Store(error)) => Err(error),
                    Err(NotJudged::By(verdict)) => {
                        let error = EngineError::from(verdict);
                        return fail(inner, item, error.code(), &error.to_string()).await;
                    }
                };
                drop(locks);
                if committed.is_ok() {
                    sent(inner, &item.run, &effects);
                }
                committed.map_err(|error| (error, puts, touched))
            }
            Err(error @ (EngineError::Unavailable(_) | EngineError::Full)) => {
                tracing::warn!(run.id = %item.run.id, "the undo {} waits for the database: {error}", item.run.id);
                inner.pause(REST).await;
                continue;
            }
            Err(error) => return fail(inner, item, error.code(), &error.to_string()).await,
        };
        match outcome {
            Ok(()) => return settle(inner, item, (RunStatus::Completed, 0), None),
            Err((StoreError::RunMoved { .. }, ..)) => return,
            Err((StoreError::Unavailable(_) | StoreError::Full, ..)) => inner.pause(REST).await,
            Err((error, puts, touched)) => {
                tries += 1;
                inner.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                if tries >= TRIES_MAX {
                    return fail(inner, item, "conflict", &error.to_string()).await;
                }
                if tries >= TRIES_UNTIL_HOLD {
                    leave_alone(&mut refused, &error, &puts);
                    if held.is_none() {
                        held = Some(inner.lanes.hold_several(&item.run, &touched).await);
                    }
                }
            }
        }
    }
}

/// Has what is to be put back judged; no, if a plan is to be made that leaves a record alone, since a plugin keeps it as it is. What a
/// compensator has written is the plugin's own decision, which is not made halfway.
async fn judged(
    inner: &Inner,
    unit: &mut UnitOfWork,
    by: Option<&AutomationId>,
    refused: &mut Refused,
) -> Result<bool, NotJudged> {
    match inner.judge(unit, by).await {
        Ok(()) => Ok(true),
        Err(NotJudged::By(verdict)) if by.is_none() && !verdict.passing => {
            let place = (verdict.object.clone(), verdict.id);
            if refused.contains_key(&place) {
                return Err(NotJudged::By(verdict));
            }
            refused.insert(place, EngineError::from(verdict).to_string());
            Ok(false)
        }
        Err(why) => Err(why),
    }
}

/// Decides, and makes the unit that does it.
async fn attempt(
    inner: &Inner,
    run: &Run,
    refused: &Refused,
) -> Result<(UnitOfWork, SliceLocks, Option<AutomationId>), EngineError> {
    let missing = |what: String| EngineError::Internal(format!("{what} of undo {} is missing", run.id));
    let request = inner.store.event(run.position).await?;
    let request = request.ok_or_else(|| missing(format!("event {}", run.position)))?;
    let target = undone_run(&request).ok_or_else(|| missing("the run to undo".into()))?;
    let target = inner.store.run(target).await?.ok_or_else(|| missing(format!("run {target}")))?;
    let now = inner.clock.now();
    let mut planner = Planner::new(inner, (now, Some(run.id), &request.actor), refused);
    let report = planner.plan(&target).await?;
    let mut unit = UnitOfWork::new(now, Actor::Automation(undo_id()));
    unit.run = Some(run.id);
    unit.cause = Some(run.position);
    unit.depth = run.depth.saturating_add(1);
    let Beside { events, effects, locks, by } = planner.beside;
    (unit.reads, unit.puts, unit.blobs) = planner.buffer.into_parts();
    (unit.events, unit.locks) = (events, locks.taken());
    if target.automation.as_str() == merge::MERGE {
        let (stays, told) = merge::given_back(inner, &target, now).await?;
        unit.stays = stays;
        unit.events.extend(told);
    }
    unit.triggers = triggers(&request);
    unit.effects = report.called_off.iter().map(|effect| called_off(effect, now, "its run was undone")).collect();
    unit.effects.extend(effects.into_iter().map(|effect| EffectStep::Add(Box::new(effect))));
    unit.run_state = Some(ended(inner, run, RunStatus::Completed, Some(trace(&target, &report))));
    Ok((unit, locks, by))
}

/// Whether automations react to what is taken back: all but the one whose run it was, unless the request says none.
fn triggers(request: &Event) -> Triggers {
    if text_field(request, "reaction") == Some("skip") {
        return Triggers::Skip;
    }
    let own = text_field(request, "automation").and_then(|id| AutomationId::new(id).ok());
    own.map_or(Triggers::Fire, Triggers::FireExcept)
}

fn trace(target: &Run, report: &Report) -> String {
    let mut json = report.to_json();
    json["undoes"] = json!({ "run": target.id, "automation": target.automation, "event": target.position });
    json.to_string()
}

/// The step of a run of the host's own that ends it.
pub(crate) fn ended(inner: &Inner, run: &Run, status: RunStatus, trace: Option<String>) -> RunUpdate {
    RunUpdate {
        id: run.id,
        status,
        attempt: run.attempt.saturating_add(1),
        wake_at: None,
        wake_event: None,
        wake_index: None,
        finished_at: Some(inner.clock.now()),
        error: None,
        trace,
    }
}

fn touched(unit: &UnitOfWork) -> Vec<RecordId> {
    let mut all: Vec<RecordId> = unit.reads.iter().map(|r| r.id).chain(unit.puts.iter().map(|p| p.id)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Notes the record for whose sake a commit was refused, where a new look does not show why.
fn leave_alone(refused: &mut Refused, error: &StoreError, puts: &[Put]) {
    let why = error.to_string();
    match error {
        StoreError::Referenced { object, id, .. } => drop(refused.insert((object.clone(), *id), why)),
        StoreError::ReferenceMissing { object, field, id, .. } => {
            let value = Value::Ref(*id);
            let sets = |put: &&Put| put.changes.iter().any(|(n, c)| n == field && *c == Change::Set(value.clone()));
            let guilty = puts.iter().filter(|put| put.object == *object).filter(sets);
            refused.extend(guilty.map(|put| ((put.object.clone(), put.id), why.clone())));
        }
        StoreError::Unique { object, field, value } => {
            let text = |v: &Value| to_json(v).to_string();
            let is_it = |c: &Change| matches!(c, Change::Set(v) if text(v).as_str() == value.as_str());
            let sets = |put: &&Put| put.changes.iter().any(|(n, c)| n == field && is_it(c));
            let guilty = puts.iter().filter(|put| put.object == *object).filter(sets);
            refused.extend(guilty.map(|put| ((put.object.clone(), put.id), why.clone())));
        }
        // Whatever else was refused is a matter of versions, which the next look sees.
        _ => {}
    }
}

/// Sends the run to the dead letters. Nothing of it happened.
pub(crate) async fn fail(inner: &Arc<Inner>, item: Item, code: &str, why: &str) {
    loop {
        let mut state = ended(inner, &item.run, RunStatus::Dead, None);
        state.error = Some(format!("{code} {why}"));
        let mut unit = UnitOfWork::new(inner.clock.now(), Actor::Automation(item.run.automation.clone()));
        unit.run_state = Some(state);
        match inner.store.commit(unit).await {
            Ok(_) => return settle(inner, item, (RunStatus::Dead, 0), None),
            Err(StoreError::Unavailable(_) | StoreError::Full) if !inner.is_stopping() => inner.pause(REST).await,
            Err(_) => return,
        }
    }
}
