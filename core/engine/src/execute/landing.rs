//! What becomes of a slice that has come to something: its commit, and who is told of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rapport_model::{Run, RunStatus, Timestamp};
use rapport_store::{EffectStep, JournalStep, StoreError, UnitOfWork, crash_point};

use super::{COMMIT_RETRY, waiting};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::lanes::Item;
use crate::locks::SliceLocks;

/// Commits what a slice of `run` came to, lets its locks go, and makes known what the run waits for.
pub(super) async fn commit(inner: &Inner, run: &Run, unit: UnitOfWork, locks: SliceLocks) -> Result<(), StoreError> {
    let waits = match &unit.journal {
        JournalStep::Append { waits, .. } => waits.clone(),
        _ => Vec::new(),
    };
    let (sleeper, forgotten) = (waiting::sleeper(inner, run, &unit), inner.recent.forgotten());
    let _still = if waits.len() > 1 { Some(inner.waits.hold_still().await) } else { None };
    let committed = inner.store.commit(unit).await;
    drop(locks);
    committed?;
    crash_point("slice.committed");
    // In this order: what wakes it next finds it asleep.
    match sleeper {
        Some(sleeper) => inner.recent.keep(run.id, sleeper, forgotten),
        None if run.status == RunStatus::Waiting => inner.recent.ended(run.id),
        None => {}
    }
    inner.waits.sleeps(run.id);
    inner.waits.register_all(&waits);
    if let Some(replay) = inner.replay.get() {
        replay.waits_for(run.id, waits);
    }
    Ok(())
}

/// Somebody else has taken a step with the run meanwhile, or its slice came to nothing: if it waits, what it waits for is looked for
/// once more.
pub(crate) async fn moved(inner: &Inner, run: &Run) {
    if run.status != RunStatus::Waiting {
        return;
    }
    while let Err(error) = inner.forgo(run.id).await {
        tracing::warn!(run.id = %run.id, "whether the run {} is to be woken is not known: {error}", run.id);
        let again = matches!(error, EngineError::Unavailable(_) | EngineError::Full);
        inner.pause(COMMIT_RETRY).await;
        if !again || inner.is_stopping() {
            return;
        }
    }
}

/// Has what a committed slice sent carried out.
pub(crate) fn sent(inner: &Inner, run: &Run, effects: &[EffectStep]) {
    let added = || effects.iter().filter_map(EffectStep::added);
    if let Some(when) = added().filter_map(|effect| effect.next_at).min() {
        inner.effects.due_at(when);
    }
    if let Some(replay) = inner.replay.get() {
        replay.sent(&run.automation, added());
    }
}

/// After the commit, with the tries that count: a run that is to be tried again sleeps until then.
pub(crate) fn settle(inner: &Arc<Inner>, item: Item, (status, attempt): (RunStatus, u16), wake_at: Option<Timestamp>) {
    inner.counters.slices.fetch_add(1, Ordering::Relaxed);
    match (status, wake_at) {
        (RunStatus::Retrying, Some(when)) => {
            let mut run = (*item.run).clone();
            inner.counters.retries.fetch_add(u64::from(attempt > run.attempt), Ordering::Relaxed);
            run.attempt = attempt;
            run.status = RunStatus::Retrying;
            inner.retry_later(when, Item { run: Arc::new(run), event: item.event });
        }
        (RunStatus::Waiting, when) => {
            if let Some(when) = when {
                inner.waits.due_at(when);
            }
            inner.waits.wake.notify_one();
        }
        (RunStatus::Paused, _) => {
            let run = &item.run;
            tracing::warn!(run.id = %run.id, automation.id = %run.automation, "the run {} is paused: `rapport run show` says why", run.id);
        }
        (RunStatus::Completed, _) => _ = inner.counters.completed.fetch_add(1, Ordering::Relaxed),
        (RunStatus::Dead, _) => {
            inner.counters.dead.fetch_add(1, Ordering::Relaxed);
            let run = &item.run;
            tracing::warn!(run.id = %run.id, automation.id = %run.automation, "the run {} went to the dead letters", run.id);
        }
        _ => {}
    }
}
