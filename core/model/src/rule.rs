//! Rules: the Common Expression Language (CEL) in a documented subset.

pub mod lookup;
pub mod number;
pub mod tree;

mod check;
mod eval;
mod lexer;
mod names;
mod parser;
mod print;
mod reads;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use eval::EvalError;
pub use reads::Reference;

use crate::name::Name;
use crate::schema::{EventTypeDef, FieldKind, ObjectDef, Schema};
use crate::time::Timestamp;
use crate::value::Value;
use tree::Condition;

/// What the names in a rule mean.
#[derive(Debug, Clone)]
pub enum Scope {
    /// A record: its fields, its system fields, and one step through its references (`customer.country`).
    Record(Arc<ObjectDef>),
    /// A change of a record of this object (`customer.updated` and so on): as for the record, and `before.x` and `after.x`.
    Change(Arc<ObjectDef>),
    /// An event of a declared type.
    Event {
        /// The type: its fields are names, and one step through its references.
        kind: Arc<EventTypeDef>,
        /// The object of the records that it is about, if that is known: `subject.x`.
        subject: Option<Arc<ObjectDef>>,
    },
}

/// Why a text is no rule, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RuleError {
    /// The line, from 1.
    pub line: u32,
    /// The character of that line, from 1.
    pub column: u32,
    /// What is wrong, with names in it.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

/// Which parameters a rule may name, and what they hold where that is known. A kind that is not known follows from the
/// place where the parameter stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParamTypes(BTreeMap<String, Option<FieldKind>>);

impl ParamTypes {
    /// No parameters.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The names of `params`, kinds unknown: what a rule means then depends on the names alone, so that it can be kept
    /// for other values.
    #[must_use]
    pub fn of(params: &Params) -> Self {
        Self(params.0.keys().map(|name| (name.clone(), None)).collect())
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Option<FieldKind>) -> Self {
        self.0.insert(name.to_owned(), kind);
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.keys().map(String::as_str)
    }

    fn get(&self, name: &str) -> Option<&Option<FieldKind>> {
        self.0.get(name)
    }
}

/// The values of the parameters of a rule. A list (for `in`) is a JSON array.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(BTreeMap<String, Value>);

impl Params {
    /// No parameters.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets a parameter. Text is brought into NFC.
    pub fn set(&mut self, name: &str, value: Value) {
        let value = match value {
            Value::Text(text) => Value::text(&text),
            other => other,
        };
        self.0.insert(name.to_owned(), value);
    }

    /// These and one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.set(name, value);
        self
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: AsRef<str>> FromIterator<(N, Value)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(pairs: I) -> Self {
        pairs.into_iter().fold(Self::none(), |all, (name, value)| all.with(name.as_ref(), value))
    }
}

/// Where a rule finds the values of fields: see [`lookup`] for those that ship.
pub trait Lookup {
    /// The value of an own field of the record or of the event, system fields included.
    fn field(&self, name: &Name) -> Value;
    /// The value of the field `name` of what `base` means; null if there is no such record.
    fn other(&self, base: &tree::Base, name: &Name) -> Value;
}

/// What a rule is evaluated on.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The present instant.
    pub now: Timestamp,
    /// The values of fields.
    pub lookup: &'a dyn Lookup,
    /// The values of parameters.
    pub params: &'a Params,
}

/// A rule: parsed, typed, immutable, cheap to clone.
#[derive(Clone)]
pub struct Rule(Arc<Parsed>);

struct Parsed {
    source: Box<str>,
    root: Condition,
    reads: reads::Reads,
}

impl Rule {
    /// Parses `source` and checks its names and types.
    ///
    /// # Errors
    /// [`RuleError`] with the place, what is wrong there, and what to write instead.
    pub fn parse(source: &str, scope: &Scope, schema: &Schema, params: &ParamTypes) -> Result<Self, RuleError> {
        let root = parser::parse(source).and_then(|ast| check::check(&ast, scope, schema, params));
        let root = root.map_err(|fault| fault.locate(source))?;
        let reads = reads::Reads::of(&root);
        Ok(Self(Arc::new(Parsed { source: source.into(), root, reads })))
    }

    /// Whether the rule holds in `env`.
    ///
    /// # Errors
    /// [`EvalError`] if a parameter is missing or of a kind that does not fit its place, or a field holds what its
    /// definition rules out. Null, overflow and division by zero are no errors.
    pub fn eval(&self, env: &Env<'_>) -> Result<bool, EvalError> {
        eval::condition(&self.0.root, env)
    }

    /// The text that it was parsed from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The own fields that it reads (of the record, before and after a change, or of the event's data), the reference
    /// fields of its [references](Self::references) included; each once, in order.
    #[must_use]
    pub fn fields(&self) -> &[Name] {
        &self.0.reads.fields
    }

    /// The fields of other records that it reads, each once, in order.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.0.reads.references
    }

    /// The parameters that it reads, each once, in order.
    #[must_use]
    pub fn params(&self) -> &[Arc<str>] {
        &self.0.reads.params
    }

    /// Whether its answer can change by the mere passing of time (`now()`, `days_since`).
    #[must_use]
    pub fn reads_clock(&self) -> bool {
        self.0.reads.clock
    }

    /// Its typed tree.
    #[must_use]
    pub fn root(&self) -> &Condition {
        &self.0.root
    }
}

/// Writes the rule in its normal form, which parses to the same tree.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::condition(f, &self.0.root)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.source()).finish()
    }
}
