//! Runs of plugins that may not run: they are held back, and go on when the plugin is enabled.

use rapport_model::{Run, RunStatus};
use rapport_store::UnitOfWork;
use serde_json::Value as Json;

use super::{Done, unit};
use crate::engine::Inner;
use crate::plugins::MIGRATING;

/// What holds `run` back, if its plugin may not run now.
pub(super) fn back(inner: &Inner, run: &Run) -> Option<Done> {
    let why = inner.plugins.holds_back(run)?;
    let mut unit = unit(run, inner.clock.now());
    unit.run_state = Some(Inner::held_back(run, why));
    Some(Done { unit, touched: Vec::new(), status: RunStatus::Paused, wake_at: None, reply: Json::Null })
}

/// Whether `unit` holds a run back for the sake of a migration.
pub(super) fn by_migration(unit: &UnitOfWork) -> bool {
    let error = unit.run_state.as_ref().and_then(|state| state.error.as_deref());
    error.is_some_and(|error| error.starts_with(MIGRATING))
}
