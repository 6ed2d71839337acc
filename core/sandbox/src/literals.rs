//! What a script says in so many words about objects, fields, event types and rules, as the interpreter tells it.

use rapport_model::Declaration;
use serde::Deserialize;

use crate::error::Diagnostic;

/// A name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The name, or the text of a rule.
    pub name: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// A record or the event, as a script names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The object of the record it begins with; none: it begins with the event of `run(event)`.
    pub object: Option<String>,
    /// The properties from there. An empty name means the record that a reference leads to.
    pub path: Vec<Named>,
}

/// A call of the host, or a chain of properties that is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Literal {
    /// The host's function; empty: something is read.
    pub call: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The object, event type or setting that is the first argument.
    #[serde(default)]
    pub object: Option<Named>,
    /// The record that is the first argument, or what is read.
    #[serde(default)]
    pub target: Option<Target>,
    /// The keys of the map of fields or parameters; none: it is no literal.
    #[serde(default)]
    pub names: Option<Vec<Named>>,
    /// A single field: that of `increment`, the unique one of `upsert`.
    #[serde(default)]
    pub word: Option<Named>,
    /// The rule.
    #[serde(default)]
    pub rule: Option<Named>,
    /// Whether `names` are all parameters of the rule.
    #[serde(default)]
    pub params_known: bool,
}

/// A script whose text and declarations are sound.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What it declares.
    pub declaration: Declaration,
    /// What it says in so many words.
    pub literals: Vec<Literal>,
    /// The calls that need a right which it does not declare. A script with some does not run.
    pub undeclared: Vec<Diagnostic>,
}

impl Named {
    /// What is wrong at this place of the script at `path`.
    #[must_use]
    pub fn diagnostic(&self, path: &str, message: String, help: String) -> Diagnostic {
        Diagnostic { path: path.to_owned(), line: self.line, column: self.column, message, help }
    }
}
