//! Failures that the ways out share.

use std::time::Duration;

use rapport_engine::Failure;

/// A failure that another attempt would meet again.
pub(super) fn permanent(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into(), retryable: false, retry_after: None }
}

/// A failure that may pass.
pub(super) fn passing(code: &str, message: impl Into<String>) -> Failure {
    Failure { retryable: true, ..permanent(code, message) }
}

/// The time ran out before `whom` had answered.
pub(super) fn timeout(whom: &str, after: Duration) -> Failure {
    passing("timeout", format!("`{whom}` did not answer within {} ms", after.as_millis()))
}
