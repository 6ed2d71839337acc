//! Runs of plugins that may not run: they are held back, and go on when the plugin is enabled.

use rapport_model::{Run, RunStatus};
use serde_json::Value as Json;

use super::{Done, unit};
use crate::engine::Inner;

/// What holds `run` back, if its plugin may not run now.
pub(super) fn back(inner: &Inner, run: &Run) -> Option<Done> {
    let why = inner.plugins.held(&run.automation)?;
    let mut unit = unit(run, inner.clock.now());
    unit.run_state = Some(Inner::held_back(run, &why));
    Some(Done { unit, touched: Vec::new(), status: RunStatus::Paused, wake_at: None, reply: Json::Null })
}
