//! Loading a script and running it for an event.
//!
//! One instance of the component holds one loaded script. Each run has a scope of its own and Rhai functions see no
//! other, so that no run finds anything of the run before it. What does stay is where Rhai found each function: to look them
//! up anew in each run would cost more than to run most scripts.

use std::cell::RefCell;

use rhai::{AST, Caches, Dynamic, Engine, EvalContext, Scope};
use serde_json::Value as Json;

use crate::bindings::rapport::plugin::trigger::Event;
use crate::bindings::rapport::plugin::types::Error;
use crate::nearest::nearest;
use crate::values::{dynamic_to_json, json_to_dynamic};
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
    let kind = event.kind.clone();
    let returned = call("run", &mut [&mut Dynamic::from(EventView::new(event))])?;
    functions::reply(&kind, &returned)
}

/// Calls another function of the loaded script with arguments, a JSON array, and gives its result as JSON.
///
/// # Errors
/// As for [`handle`]; code `unknown_function` if the script has none of that name, `wrong_arguments` if it takes another number of
/// them.
pub(crate) fn function(name: &str, arguments: &str) -> Result<String, Error> {
    let wrong = |code: &str, message: String| Error { code: code.into(), message, retryable: false };
    let arguments: Vec<Json> = serde_json::from_str(arguments)
        .map_err(|e| wrong("invalid", format!("the arguments of `{name}` are no JSON array: {e}")))?;
    let known = functions();
    if !known.iter().any(|(known, parameters)| known == name && *parameters == arguments.len()) {
        return Err(no_such(name, arguments.len(), &known));
    }
    let mut values: Vec<Dynamic> = arguments.iter().map(json_to_dynamic).collect();
    let returned = call(name, &mut values.iter_mut().collect::<Vec<_>>())?;
    let json =
        dynamic_to_json(&returned, 0).map_err(|why| wrong("invalid", format!("the result of `{name}`: {why}")))?;
    Ok(json.to_string())
}

/// Name and number of parameters of each function of the loaded script.
fn functions() -> Vec<(String, usize)> {
    LOADED.with_borrow(|loaded| {
        let all = loaded.as_ref().into_iter().flat_map(|loaded| loaded.ast.iter_functions());
        all.map(|f| (f.name.to_owned(), f.params.len())).collect()
    })
}

/// Why `name` cannot be called with so many arguments.
fn no_such(name: &str, count: usize, known: &[(String, usize)]) -> Error {
    let takes: Vec<_> = known.iter().filter(|(known, _)| known == name).map(|(_, n)| n.to_string()).collect();
    let (code, message) = if takes.is_empty() {
        let near = nearest(name, known.iter().map(|(known, _)| known.as_str()));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        ("unknown_function", format!("the script has no function `{name}`{hint}"))
    } else {
        ("wrong_arguments", format!("`{name}` takes {} arguments, not {count}", takes.join(" or ")))
    };
    Error { code: code.into(), message, retryable: false }
}

/// Calls a function of the loaded script in a scope of its own.
fn call(name: &str, arguments: &mut [&mut Dynamic]) -> Result<Dynamic, Error> {
    LOADED.with_borrow_mut(|loaded| {
        let Some(Loaded { path, engine, ast, found }) = loaded else {
            return Err(Error { code: "script".into(), message: "no script is loaded".into(), retryable: false });
        };
        let (mut global, mut scope) = (engine.new_global_runtime_state(), Scope::new());
        global.lib.push(ast.shared_lib().clone());
        let mut context = EvalContext::new(engine, &mut global, found, &mut scope, None);
        context.call_fn_raw(name, false, false, arguments).map_err(|e| failure::report(path, &e))
    })
}
