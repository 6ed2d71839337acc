//! What stands against the commit of a slice: whether it is worth another try, and how the run fails of it if not.

use rapport_model::standard::KV_OBJECT;
use rapport_model::{RunStatus, Timestamp};
use rapport_sandbox::{GuestFailure, SliceReport};
use rapport_store::StoreError;

use super::landing::commit;
use super::{empty_trace, failure_unit, no_report, tell_end};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::judges::NotJudged;
use crate::lanes::Item;
use crate::locks::SliceLocks;

/// Conflicts after which the run counts as failed and is tried again later.
const CONFLICTS_MAX: u32 = 10;

/// Commits that the slice of `item` has failed; gives where its run stands then, unless that could not be committed either.
pub(super) async fn fail(inner: &Inner, item: &Item, failure: GuestFailure) -> Option<(RunStatus, Option<Timestamp>)> {
    let report = SliceReport { outcome: Err(failure), ..no_report() };
    let mut failed = failure_unit(inner, &item.run, &report, &empty_trace(inner));
    let stands = (failed.status, failed.wake_at);
    tell_end(inner, item, &mut failed).await.ok()?;
    commit(inner, &item.run, failed.unit, SliceLocks::default()).await.ok()?;
    Some(stands)
}

/// What stands against a commit becomes the run's error. A rule of a plugin stays until somebody changes it.
pub(super) fn against(why: NotJudged) -> GuestFailure {
    match why {
        NotJudged::Store(error) => refused(&error),
        NotJudged::By(verdict) => {
            let retryable = verdict.passing;
            let error = EngineError::from(verdict);
            GuestFailure::Failed { code: error.code().into(), message: error.to_string(), retryable }
        }
    }
}

/// Whether the slice may do better on fresh data. A unique value taken meanwhile is one look away from being found.
pub(super) fn is_conflict(error: &StoreError, conflicts: u32) -> bool {
    match error {
        StoreError::Conflict { .. } | StoreError::LockMoved { .. } => conflicts < CONFLICTS_MAX,
        error if is_kept(error) => conflicts < CONFLICTS_MAX,
        StoreError::Unique { .. } | StoreError::MissingRecord { .. } | StoreError::ReferenceMissing { .. } => {
            conflicts < 2
        }
        _ => false,
    }
}

/// Whether it is about what a plugin keeps: there another slice was first, and nobody has chosen a value that is taken.
fn is_kept(error: &StoreError) -> bool {
    match error {
        StoreError::Unique { object, .. } | StoreError::MissingRecord { object, .. } => object.as_str() == KV_OBJECT,
        _ => false,
    }
}

/// What the store refused for good becomes the run's error.
fn refused(error: &StoreError) -> GuestFailure {
    let error_text = error.to_string();
    let code = match error {
        error if is_kept(error) => "conflict",
        StoreError::Unique { .. } => "unique",
        StoreError::Referenced { .. } => "referenced",
        StoreError::ReferenceMissing { .. } | StoreError::Unfit(_) => "invalid",
        StoreError::MissingRecord { .. } => "not_found",
        StoreError::Conflict { .. } | StoreError::LockMoved { .. } => "conflict",
        _ => "internal",
    };
    GuestFailure::Failed { code: code.into(), message: error_text, retryable: code == "internal" || code == "conflict" }
}
