//! The Rhai interpreter as a WebAssembly component: what every script runs in. Templates of messages are filled in here, too,
//! since they are programs that people write, and belong under the same limits.
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
mod template;
mod time;
mod values;
mod view;

use bindings::rapport::plugin::trigger::Event;
use bindings::rapport::plugin::types::Error;
use bindings::{Guest, Part};

struct Interpreter;

impl Guest for Interpreter {
    fn check(source: String) -> String {
        check::outline(&source).to_string()
    }

    fn load(path: String, source: String) -> Result<(), Error> {
        run::load(&path, &source)
    }

    fn render(parts: Vec<Part>, context: String) -> Result<Vec<String>, Error> {
        template::render(&parts, &context)
    }

    fn handle(event: Event) -> Result<(), Error> {
        run::handle(event)
    }

    fn run_function(name: String, arguments: String) -> Result<String, Error> {
        run::function(&name, &arguments)
    }
}
