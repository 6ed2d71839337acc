//! What went wrong in a script, told to its author: where, what, and what to write instead.

use std::fmt;

use rhai::{Dynamic, EvalAltResult, Position};

use crate::bindings::rapport::plugin::types::Error;
use crate::language;
use crate::nearest::nearest;

/// The code with which the host says that the slice has ended: nothing more reaches it, and the script cannot catch it.
pub(crate) const SLICE_ENDED: &str = "slice-ended";

/// A host call that failed, as a value that a script can catch: `catch (e) { e.code }`.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What is wrong.
    pub(crate) error: Error,
    /// Where, if Rhai would not keep it: it does so for errors that can be caught, and for no other.
    position: Position,
}

impl Failure {
    fn value(error: Error, position: Position) -> Dynamic {
        Dynamic::from(Self { error, position })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error.message)
    }
}

/// The Rhai error for a host call that failed: one that cannot be caught if the slice has ended.
pub(crate) fn raise(error: Error) -> Box<EvalAltResult> {
    if error.code == SLICE_ENDED {
        return Box::new(EvalAltResult::ErrorTerminated(Failure::value(error, Position::NONE), Position::NONE));
    }
    Box::new(EvalAltResult::ErrorRuntime(Failure::value(error, Position::NONE), Position::NONE))
}

/// The Rhai error for `fail(text)`: for good, and not to be caught.
pub(crate) fn give_up(message: &str, position: Position) -> Box<EvalAltResult> {
    let error = Error { code: "failed".into(), message: message.into(), retryable: false };
    Box::new(EvalAltResult::ErrorTerminated(Failure::value(error, position), Position::NONE))
}

/// What the host is told about a script that stopped with `error`.
pub(crate) fn report(path: &str, error: &EvalAltResult) -> Error {
    let (inner, position) = innermost(error);
    let thrown = match inner {
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => Some(value),
        _ => None,
    };
    if let Some(failure) = thrown.and_then(Dynamic::read_lock::<Failure>) {
        let Error { code, message, retryable } = &failure.error;
        let place = place(path, if failure.position.is_none() { position } else { failure.position });
        return Error { code: code.clone(), message: format!("{place}: {message}"), retryable: *retryable };
    }
    Error { code: "script".into(), message: format!("{}: {}", place(path, position), explain(inner)), retryable: false }
}

/// `path:line:column`, as far as known.
fn place(path: &str, position: Position) -> String {
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!("{path}:{line}:{column}"),
        (Some(line), None) => format!("{path}:{line}"),
        _ => path.into(),
    }
}

/// The error that stands at the bottom of a chain of function calls, and the best position known for it.
pub(crate) fn innermost(error: &EvalAltResult) -> (&EvalAltResult, Position) {
    let mut here = error;
    let mut position = error.position();
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = here {
        here = inner;
        if !here.position().is_none() {
            position = here.position();
        }
    }
    (here, position)
}

/// What is wrong, and what to write instead.
pub(crate) fn explain(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => unknown_call(signature),
        EvalAltResult::ErrorVariableNotFound(name, _) => format!("there is no variable `{name}`"),
        EvalAltResult::ErrorPropertyNotFound(name, _) => format!("there is no property `{name}`"),
        EvalAltResult::ErrorDotExpr(what, _) | EvalAltResult::ErrorArithmetic(what, _) => lower_first(what),
        EvalAltResult::ErrorStackOverflow(_) => {
            format!("functions call each other deeper than {}", language::CALL_LEVELS_MAX)
        }
        other => {
            let mut text = other.to_string();
            // Rhai appends the position, which stands before the message already.
            if let Some(at) = text.rfind(" (line ") {
                text.truncate(at);
            }
            lower_first(&text)
        }
    }
}

/// Rhai tells a call as `name (type, type)`. Says whether the name is wrong, or what it was called with.
fn unknown_call(signature: &str) -> String {
    let (name, types) = signature.split_once(' ').unwrap_or((signature, ""));
    let known = language::function_names();
    if known.iter().any(|k| k == name) || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let types = types.replace("&str | ImmutableString | String", "text").replace("i64", "integer");
        return format!("`{name}` cannot be called with {}", if types.is_empty() { "these values" } else { &types });
    }
    let help = nearest(name, known.iter().map(String::as_str));
    let help = help.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
    format!("there is no function `{name}`{help}")
}

/// A message in house style: it begins with a small letter, unless its first word is written in capitals.
pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), text.chars().nth(1)) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.into(),
    }
}
