//! What the plugin is running as.

use crate::door::context as door;

/// The id of the run; `None` where there is none: in a call that only reads, a request, a look at a change.
#[must_use]
pub fn run() -> Option<String> {
    Some(door::run()).filter(|run| !run.is_empty())
}

/// The id of the plugin.
#[must_use]
pub fn plugin() -> String {
    door::plugin()
}

/// Who caused what is going on: the actor of the event, the caller of the action, who sent the request.
#[must_use]
pub fn actor() -> String {
    door::actor()
}

/// Which slice of the run this is: 1 for the first.
#[must_use]
pub fn slice() -> u32 {
    door::slice()
}
