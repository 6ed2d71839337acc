//! Work for later: runs of the plugin's own actions.

use crate::door::jobs as door;
use crate::{Error, Json, Timestamp};

/// Starts a run of one of the plugin's own actions, once this slice has been committed. Returns the run's id.
///
/// # Errors
/// `unknown_action`; `invalid` if the input does not fit the action's schema.
pub fn start(action: &str, input: &Json) -> Result<String, Error> {
    Ok(door::start(action, &input.to_string(), None)?)
}

/// As [`start`], but not before an instant.
///
/// # Errors
/// As for [`start`].
pub fn start_at(action: &str, input: &Json, at: Timestamp) -> Result<String, Error> {
    Ok(door::start(action, &input.to_string(), Some(at.0))?)
}
