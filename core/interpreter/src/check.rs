//! What a script says about itself: its declarations, the host calls whose names stand in its text, and what is wrong.
//!
//! The outline is JSON. The host turns it into a declaration and holds the calls against `uses(…)`: what a right or a
//! field kind is, the interpreter does not know.

mod literals;
mod walk;

pub(crate) use walk::properties;

use std::any::TypeId;
use std::cell::RefCell;
use std::rc::Rc;

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext, ParseErrorType, Position};
use serde_json::{Value as Json, json};

use crate::failure::{explain, innermost, lower_first};
use crate::language;
use crate::nearest::nearest;
use crate::values::dynamic_to_json;

/// The functions that declare, with the least and the most arguments they take.
pub(crate) const DECLARATIONS: [(&str, usize, usize); 13] = [
    ("on", 1, 2),
    ("every", 2, 3),
    ("invocable", 0, 0),
    ("each", 1, 3),
    ("on_change", 2, 3),
    ("segment", 2, 3),
    ("uses", 1, 16),
    ("setting", 2, 2),
    ("field", 3, 4),
    ("rollup", 4, 5),
    ("formula", 3, 3),
    ("event_type", 1, 2),
    ("object", 1, 2),
];

/// Those that say what starts the script: it needs a function `run`.
const STARTS: [&str; 5] = ["on", "every", "invocable", "each", "on_change"];

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    position: Position,
    message: String,
    help: String,
}

/// Takes down the declarations while the top level is evaluated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    statements: Rc<RefCell<Vec<Json>>>,
}

impl Collector {
    /// Makes the declaring functions known to `engine`.
    pub(crate) fn register(&self, engine: &mut Engine) {
        for (name, least, most) in DECLARATIONS {
            for count in least..=most {
                let statements = Rc::clone(&self.statements);
                let types = vec![TypeId::of::<Dynamic>(); count];
                engine.register_raw_fn(name, types, move |context: NativeCallContext<'_>, args| {
                    let arguments = args.iter().map(|a| dynamic_to_json(a, 0)).collect::<Result<Vec<_>, _>>();
                    let arguments = arguments.map_err(|why| format!("{name}: {why}"))?;
                    let statement = placed(context.call_position(), json!({ "call": name, "args": arguments }));
                    statements.borrow_mut().push(statement);
                    Ok(())
                });
            }
        }
    }
}

/// The outline of a script: `title`, `statements`, `calls`, `functions`, `literals` and `problems`.
pub(crate) fn outline(source: &str) -> Json {
    let collector = Collector::default();
    let mut engine = language::for_checks(&collector);
    let mut problems = Vec::new();
    let (mut calls, mut functions) = (Vec::new(), Vec::new());
    match engine.compile(source) {
        Err(error) => problems.push(of_syntax(&error.0, error.1, source)),
        Ok(ast) => {
            calls = walk::calls(&ast, &mut problems);
            functions = ast.iter_functions().map(|f| f.name.to_owned()).collect();
            if problems.is_empty()
                && let Err(error) = engine.run_ast(&ast)
            {
                problems.push(of_top_level(&error));
            }
        }
    }
    let literals = if problems.is_empty() { literals::literals(&mut engine, source) } else { Vec::new() };
    let problems: Vec<_> = problems.into_iter().map(Problem::into_json).collect();
    let statements = collector.statements.take();
    json!({
        "title": title(source), "statements": statements, "calls": calls, "functions": functions, "literals": literals,
        "problems": problems,
    })
}

/// The first line that begins with `//!`.
fn title(source: &str) -> &str {
    source.lines().find_map(|line| line.trim_start().strip_prefix("//!")).map_or("", str::trim)
}

/// `json` with the place that it stands for.
fn placed(position: Position, mut json: Json) -> Json {
    if let Some(map) = json.as_object_mut() {
        map.insert("line".into(), position.line().unwrap_or(0).into());
        map.insert("column".into(), position.position().unwrap_or(0).into());
    }
    json
}

impl Problem {
    fn new(position: Position, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { position, message: message.into(), help: help.into() }
    }

    fn into_json(self) -> Json {
        placed(self.position, json!({ "message": self.message, "help": self.help }))
    }
}

fn of_syntax(error: &ParseErrorType, position: Position, source: &str) -> Problem {
    match error {
        ParseErrorType::VariableUndefined(name) => {
            let near = nearest(name, words(source).filter(|w| w != name));
            let help = near.map_or_else(
                || "a function sees only its parameters and its own `let`s".into(),
                |n| format!("did you mean `{n}`? a function sees only its parameters and its own `let`s"),
            );
            Problem::new(position, format!("there is no variable `{name}`"), help)
        }
        ParseErrorType::Reserved(word) => {
            Problem::new(position, format!("`{word}` is a reserved word"), "use another name")
        }
        ParseErrorType::PropertyExpected => {
            let help = "a name that is a word of the language stands in quotes: `#{ \"until\": 1 }`";
            Problem::new(position, "expecting name of a property", help)
        }
        ParseErrorType::ExprTooDeep => {
            Problem::new(position, "expressions are nested too deeply", "use `let` for parts")
        }
        ParseErrorType::UnexpectedEOF => {
            Problem::new(position, "the script ends too early", "look for a missing `}` or `)`")
        }
        other => Problem::new(position, lower_first(&other.to_string()), ""),
    }
}

fn words(source: &str) -> impl Iterator<Item = &str> {
    source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty() && w.len() <= 64)
}

fn of_top_level(error: &EvalAltResult) -> Problem {
    let (inner, position) = innermost(error);
    if let EvalAltResult::ErrorFunctionNotFound(signature, _) = inner {
        let name = signature.split(' ').next().unwrap_or_default();
        if language::function_names().iter().any(|n| n == name) {
            let message = format!("`{name}` cannot be called at the top level");
            return Problem::new(position, message, "the top level only declares: call it in `fn run(event)`");
        }
    }
    Problem::new(position, explain(inner), "")
}

#[cfg(test)]
mod tests;
