//! An action of a plugin in an empty workspace that is thrown away: for authors, without a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rapport_model::time::{SetClock, WallClock};
use rapport_model::{Clock as _, FileRules, RunId};
use serde_json::Value as Json;

use super::{ActionAnswer, ActionOptions};
use crate::effects::transport::Capture;
use crate::engine::Engine;
use crate::entropy::{RunSecret, SystemEntropy};
use crate::error::EngineError;
use crate::gate::Caller;
use crate::scenario::Stage;
use crate::scratch::{Ground, Scratch};

/// Calls the action `name` of the plugin in the folder `plugin` with `input`, in an empty workspace below the stage's folder. What
/// it sends is taken, and what is due at once is done; a run that waits for more is open.
///
/// # Errors
/// [`EngineError::Plugin`] if the plugin cannot be made live, and what [`Engine::call_action`] says.
pub async fn call_alone(stage: &Stage, plugin: &Path, name: &str, input: Json) -> Result<ActionAnswer, EngineError> {
    let scratch = Scratch::below(&stage.folder)?;
    let ground = Ground {
        transport: Arc::new(Capture),
        sandbox: stage.sandbox.clone(),
        limits: stage.limits.clone(),
        clock: Arc::new(SetClock::at(WallClock.now())),
        entropy: Arc::new(SystemEntropy),
        secret: RunSecret::drawn(&SystemEntropy),
        files: FileRules::default(),
    };
    let engine = ground.open(&scratch).await?;
    let called = called(&engine, plugin, name, input).await;
    engine.shutdown().await?;
    called
}

async fn called(engine: &Engine, plugin: &Path, name: &str, input: Json) -> Result<ActionAnswer, EngineError> {
    let caller = Caller::system();
    engine.activate_plugin(&caller, plugin).await?;
    engine.call_and_settle(&caller, name, input).await
}

impl Engine {
    /// Calls an action on a clock that stands still: all that is due is done, and then it is seen what has come of the call.
    pub(crate) async fn call_and_settle(
        &self,
        caller: &Caller,
        name: &str,
        input: Json,
    ) -> Result<ActionAnswer, EngineError> {
        let options = ActionOptions { idempotency_key: None, wait: Duration::ZERO };
        let answer = self.call_action(caller, name, input, &options).await;
        let run: RunId = match answer {
            Ok(ActionAnswer::Open { run, .. }) => run,
            other => return other,
        };
        self.settle().await;
        self.action_answer(name, run, false).await
    }
}
