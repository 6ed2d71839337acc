//! Loading a script and running it for an event.
//!
//! One instance of the component holds one loaded script. Each run has a scope of its own and Rhai functions see no
//! other, so that no run finds anything of the run before it.

use std::cell::RefCell;

use rhai::{AST, CallFnOptions, Engine, Scope};

use crate::bindings::rapport::plugin::trigger::Event;
use crate::bindings::rapport::plugin::types::Error;
use crate::failure;
use crate::language;
use crate::view::EventView;

struct Loaded {
    path: String,
    engine: Engine,
    ast: AST,
}

thread_local! {
    // A component's exports are plain functions: what one leaves for the next has no other place.
    static LOADED: RefCell<Option<Loaded>> = const { RefCell::new(None) };
}

/// Compiles `source` and keeps it for [`handle`].
///
/// # Errors
/// Code `script` if it does not parse.
pub(crate) fn load(path: &str, source: &str) -> Result<(), Error> {
    let engine = language::for_runs();
    let ast = engine.compile(source).map_err(|e| failure::report(path, &(e.into())))?;
    // Only the functions are kept: the top level declares, and has been evaluated when the script was checked.
    let ast = ast.clone_functions_only();
    LOADED.with_borrow_mut(|l| *l = Some(Loaded { path: path.into(), engine, ast }));
    Ok(())
}

/// Calls the loaded script's `run(event)`.
///
/// # Errors
/// What the script failed with; code `script` for a mistake in it, else the code of the host call that failed.
pub(crate) fn handle(event: Event) -> Result<(), Error> {
    LOADED.with_borrow(|loaded| {
        let Some(Loaded { path, engine, ast }) = loaded else {
            return Err(Error { code: "script".into(), message: "no script is loaded".into(), retryable: false });
        };
        let options = CallFnOptions::new().eval_ast(false);
        let mut scope = Scope::new();
        let called =
            engine.call_fn_with_options::<rhai::Dynamic>(options, &mut scope, ast, "run", (EventView::new(event),));
        called.map(|_| ()).map_err(|e| failure::report(path, &e))
    })
}
