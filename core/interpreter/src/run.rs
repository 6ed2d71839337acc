//! Loading a script and running it for an event.
//!
//! One instance of the component holds one loaded script. Each run has a scope of its own and Rhai functions see no
//! other, so that no run finds anything of the run before it. What does stay is where Rhai found each function: to look them
//! up anew in each run would cost more than to run most scripts.

use std::cell::RefCell;

use rhai::{AST, Caches, Dynamic, Engine, EvalContext, Scope};

use crate::bindings::rapport::plugin::trigger::Event;
use crate::bindings::rapport::plugin::types::Error;
use crate::view::EventView;
use crate::{check, failure, functions, language};

struct Loaded {
    path: String,
    engine: Engine,
    ast: AST,
    /// Which function each call means. Depends on the engine and the script's own functions, and both stay.
    found: Caches,
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
    let mut engine = language::for_runs();
    let ast = engine.compile(source).map_err(|e| failure::report(path, &(e.into())))?;
    functions::register_properties(&mut engine, &check::properties(&ast));
    // Only the functions are kept: the top level declares, and has been evaluated when the script was checked.
    let ast = ast.clone_functions_only();
    let found = Caches::new();
    LOADED.with_borrow_mut(|l| *l = Some(Loaded { path: path.into(), engine, ast, found }));
    Ok(())
}

/// Calls the loaded script's `run(event)`.
///
/// # Errors
/// What the script failed with; code `script` for a mistake in it, else the code of the host call that failed.
pub(crate) fn handle(event: Event) -> Result<(), Error> {
    LOADED.with_borrow_mut(|loaded| {
        let Some(Loaded { path, engine, ast, found }) = loaded else {
            return Err(Error { code: "script".into(), message: "no script is loaded".into(), retryable: false });
        };
        let (mut global, mut scope) = (engine.new_global_runtime_state(), Scope::new());
        global.lib.push(ast.shared_lib().clone());
        let kind = event.kind.clone();
        let mut event = Dynamic::from(EventView::new(event));
        let mut context = EvalContext::new(engine, &mut global, found, &mut scope, None);
        let called = context.call_fn_raw("run", false, false, &mut [&mut event]);
        let returned = called.map_err(|e| failure::report(path, &e))?;
        functions::reply(&kind, &returned)
    })
}
