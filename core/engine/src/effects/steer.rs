//! What becomes of the call that a run waits for when an operator deals with the run.

use std::sync::Arc;

use rapport_model::{Effect, EffectId, EffectStatus, Run, RunStatus, Timestamp};
use rapport_store::{EffectQuery, StoreError, UnitOfWork};

use super::list::{again, called_off};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::journal::Journal;
use crate::waits::wake_unit;

/// Runs that are woken at start; whoever else is stranded, the watchdog tells.
const STRANDED_MAX: u32 = 1_000;
/// Effects of one run that are looked at.
const OF_RUN_MAX: u32 = 1_000;

impl Inner {
    /// The HTTP call that `run` waits for, or waited for when it ended.
    async fn call_of(&self, run: &Run) -> Result<Option<Effect>, EngineError> {
        // A damaged journal names no call; the run itself says so when it goes on.
        let Ok(journal) = Journal::read(&self.store.journal(run.id).await?) else { return Ok(None) };
        let Some(waiting) = journal.waiting().filter(|waiting| waiting.call == "http") else { return Ok(None) };
        let id: Option<EffectId> = waiting.request["effect"].as_str().and_then(|id| id.parse().ok());
        Ok(match id {
            Some(id) => self.store.effect(id).await?,
            None => None,
        })
    }

    /// Calls off, in the same commit, the call that a run waits for which is cancelled.
    pub(crate) async fn call_off(&self, run: &Run, unit: &mut UnitOfWork, now: Timestamp) -> Result<(), EngineError> {
        if run.status == RunStatus::Waiting
            && let Some(effect) = self.call_of(run).await?.filter(|effect| effect.status == EffectStatus::Pending)
        {
            unit.effects.push(called_off(&effect, now, "its run was cancelled"));
        }
        Ok(())
    }

    /// Has, in the same commit, the call made again for want of whose answer a run ended: the run waits for it then. Says
    /// whether there is such a call.
    pub(crate) async fn call_again(
        &self,
        run: &Run,
        unit: &mut UnitOfWork,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let unanswered = |effect: &Effect| effect.status != EffectStatus::Done;
        let Some(effect) = self.call_of(run).await?.filter(unanswered) else { return Ok(false) };
        unit.effects.push(again(&effect, now));
        if let Some(state) = &mut unit.run_state {
            state.status = RunStatus::Waiting;
        }
        Ok(true)
    }

    /// Wakes a run that waits for an answer which has come while it was not waiting.
    pub(crate) async fn look_again(&self, run: &Run) -> Result<(), EngineError> {
        let Some(run) = self.store.run(run.id).await?.filter(|run| run.status == RunStatus::Waiting) else {
            return Ok(());
        };
        if self.call_of(&run).await?.is_some_and(|effect| effect.status != EffectStatus::Pending) {
            self.wake_one(Arc::new(run)).await?;
        }
        Ok(())
    }

    /// Wakes runs whose answer had come when the host was stopped: at start.
    pub(super) async fn wake_stranded(&self) -> Result<(), EngineError> {
        for run in self.store.stranded_runs(STRANDED_MAX).await? {
            if self.call_of(&run).await?.is_some() {
                self.wake_one(run).await?;
            }
        }
        Ok(())
    }

    async fn wake_one(&self, run: Arc<Run>) -> Result<(), EngineError> {
        let now = self.clock.now();
        match self.store.commit(wake_unit(&run, None, now)).await {
            Ok(_) => self.woken((*run).clone(), None, now),
            // Somebody else was faster.
            Err(StoreError::RunMoved { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// All effects of `run`, in the order in which it asked for them.
    pub(crate) async fn effects_of(&self, run: &Run) -> Result<Vec<Effect>, EngineError> {
        let query = EffectQuery { run: Some(run.id), limit: OF_RUN_MAX, ..EffectQuery::default() };
        let mut effects = self.store.effects(&query).await?;
        effects.reverse();
        Ok(effects)
    }
}
