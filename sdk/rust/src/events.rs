//! Reports events.

use crate::door::events as door;
use crate::{Error, Fields, Reference};

/// Reports an event of a declared type about `subject`.
///
/// # Errors
/// The host's, for example `denied`, or `invalid` for a field that the type does not have.
pub fn emit(kind: &str, subject: &Reference, data: &Fields) -> Result<(), Error> {
    Ok(door::emit(kind, &subject.to_string(), &data.to_wire())?)
}

/// Reports an event of a declared type that is about no record.
///
/// # Errors
/// As [`emit`]; also `invalid` if the type needs a subject.
pub fn emit_alone(kind: &str, data: &Fields) -> Result<(), Error> {
    Ok(door::emit(kind, "", &data.to_wire())?)
}
