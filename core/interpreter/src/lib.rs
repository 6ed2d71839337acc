//! The Rhai interpreter as a WebAssembly component: what every script runs in.
//!
//! It knows the language and the shape of the host's calls, nothing else: rights, limits and data are the host's. It has
//! no clock and no randomness of its own, so that one script on one event always does the same. It does not depend on the
//! host's crates, so that its digest, which runs are bound to, changes only when the language does.

#![expect(clippy::unnecessary_box_returns, reason = "Rhai takes its errors boxed; so does whatever raises one")]

mod bindings;
mod check;
mod failure;
mod functions;
mod language;
#[path = "../../model/src/nearest.rs"]
pub mod nearest;
mod numbers;
mod run;
mod time;
mod values;
mod view;

use bindings::Guest;
use bindings::rapport::plugin::trigger::Event;
use bindings::rapport::plugin::types::Error;

struct Interpreter;

impl Guest for Interpreter {
    fn check(source: String) -> String {
        check::outline(&source).to_string()
    }

    fn load(path: String, source: String) -> Result<(), Error> {
        run::load(&path, &source)
    }

    fn handle(event: Event) -> Result<(), Error> {
        run::handle(event)
    }
}
