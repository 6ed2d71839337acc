//! What a guest is told when a call is refused.

use rapport_sandbox::HostError;

use crate::error::EngineError;

pub(super) fn limit(name: &'static str, verb: &str, max: u32, what: &str) -> HostError {
    let message = format!("{verb} more than {max} {what}; ask the operator to raise `limits.slice_{name}_max`");
    HostError { code: name.into(), message, retryable: false, ends_slice: true }
}

pub(super) fn store_failure(error: rapport_store::StoreError) -> HostError {
    refusal(error.into())
}

/// What a guest is told of an error of the engine: faults of the database end the slice, which is tried again.
pub(super) fn refusal(error: EngineError) -> HostError {
    match error {
        EngineError::Unavailable(_) | EngineError::Full | EngineError::Internal(_) => {
            HostError::ending(error.code(), error.to_string())
        }
        other => HostError::permanent(other.code(), other.to_string()),
    }
}
