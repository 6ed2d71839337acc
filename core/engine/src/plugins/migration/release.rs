//! Lets the runs go on that were held back while data were moved.

use std::sync::Arc;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{AutomationId, Run, RunStatus};
use rapport_sandbox::{GuestEvent, Work};
use rapport_store::{RunQuery, StoreError};

use super::MIGRATING;
use crate::actions;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::Caller;
use crate::operate::{RunAction, Step};
use crate::registry::Version;

impl Engine {
    /// Lets the runs of the plugin `id` go on that its migration held back. Those that had not begun go on with the version that is live
    /// now, if it can work on them; the others stay on theirs.
    pub(super) async fn release(&self, caller: &Caller, id: &AutomationId) -> Result<(), EngineError> {
        let version = self.inner.snapshot.load().version(id).cloned();
        let query = RunQuery {
            automation: Some(id.clone()),
            status: Some(RunStatus::Paused),
            error_code: Some(MIGRATING.to_owned()),
            limit: PAGE_ROWS_MAX,
            ..RunQuery::default()
        };
        let (mut steps, mut place): (Vec<Step>, _) = (Vec::new(), None);
        loop {
            let (page, next) = self.inner.sound_page(&query, place).await?;
            for run in page {
                let _one = self.inner.steering.lock().await;
                let step = self.inner.step_after(caller, &run, version.as_ref()).await?;
                match self.inner.store.commit(step.unit.clone()).await {
                    Ok(_) => steps.push(step.committed()),
                    Err(StoreError::RunMoved { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let Some(next) = next else { break };
            place = Some(next);
        }
        // They were read newest first, and start in the order of the log.
        steps.reverse();
        for step in &steps {
            self.inner.settled(step);
        }
        Ok(())
    }
}

/// Lets a run of the plugin `id` go on that was held back at the very moment when its migration came to its end, so that it was
/// overlooked there.
pub(crate) async fn release_late(inner: &Arc<Inner>, id: &AutomationId) {
    let holds = inner.plugins.find(id).is_some_and(|plugin| plugin.migrating().is_some());
    if holds {
        return;
    }
    if let Err(error) = Engine::of(inner).release(&Caller::system(), id).await {
        tracing::warn!(plugin.id = %id, "runs of {id} stay held back: `rapport run resume` lets them go on: {error}");
    }
}

impl Inner {
    async fn step_after(
        &self,
        caller: &Caller,
        run: &Run,
        version: Option<&Arc<Version>>,
    ) -> Result<Step, EngineError> {
        let waits: Vec<_> = self.store.waits_of(&[run.id]).await?.into_iter().map(|(_, wait)| wait).collect();
        let step = self.step_of(caller, RunAction::Resume, (run, waits)).await?;
        let Some(version) = version.filter(|version| version.digest != run.digest) else { return Ok(step) };
        if !self.store.journal(run.id).await?.is_empty() || !self.can_begin(run, version).await? {
            return Ok(step);
        }
        let mut unit = step.unit;
        unit.run_digest = Some(version.digest);
        Ok(Step::new(unit, run, step.waits_again))
    }

    /// Whether `version` has what `run`, which has not begun, is called for.
    async fn can_begin(&self, run: &Run, version: &Version) -> Result<bool, EngineError> {
        let Some(event) = self.store.event(run.position).await? else { return Ok(false) };
        let declared = &version.declaration;
        Ok(match actions::work(GuestEvent { event, record: None }) {
            Work::Action(call) => declared.action(&call.action).is_some(),
            Work::Request(request) => declared.routes.iter().any(|route| route.path.to_string() == request.route),
            work => work.role().is_some_and(|role| role.is_declared(declared)),
        })
    }
}
