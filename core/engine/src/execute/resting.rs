//! Runs of plugins that are left alone since they break down: they wait, and no try of theirs counts.

use rapport_model::{Run, RunStatus, Timestamp};
use serde_json::Value as Json;

use super::{Done, unit, update};
use crate::engine::Inner;
use crate::usage::RESTING;

/// Lets `run` wait until `until`.
pub(super) fn until(inner: &Inner, run: &Run, until: Timestamp) -> Done {
    let plugin = &run.automation;
    let mut state = update(inner, run, RunStatus::Retrying, Some(until), run.trace.clone());
    state.attempt = run.attempt;
    let why = format!("the plugin `{plugin}` broke down again and again: its next try is at {until}");
    state.error = Some(format!("{RESTING} {why}; `rapport plugin enable {plugin}` lets it go on at once"));
    let mut unit = unit(run, inner.clock.now());
    unit.run_state = Some(state);
    Done { unit, touched: Vec::new(), status: RunStatus::Retrying, wake_at: Some(until), reply: Json::Null }
}
