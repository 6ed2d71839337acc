//! What goes wrong in a plugin.

use std::fmt;

use crate::bindings::rapport::plugin::types::Error as Wire;

/// Why a host call or a handler failed. Returned from a handler it fails the slice: nothing that it wrote is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: String,
    message: String,
    retryable: bool,
}

impl Error {
    /// A failure for good: the run goes to the dead letters.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false }
    }

    /// A failure that may pass: the slice is tried again.
    #[must_use]
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(code, message) }
    }

    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }

    pub(crate) fn no_field(object: &str, field: &str) -> Self {
        Self::new("no_field", format!("`{object}` has no field `{field}`"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Wire> for Error {
    fn from(Wire { code, message, retryable }: Wire) -> Self {
        Self { code, message, retryable }
    }
}

impl From<Error> for Wire {
    fn from(Error { code, message, retryable }: Error) -> Self {
        Self { code, message, retryable }
    }
}

impl From<crate::WrongKind> for Error {
    fn from(wrong: crate::WrongKind) -> Self {
        Self::new("wrong_kind", wrong.to_string())
    }
}
