//! Parts of a rule that read no field: the SQL compiler replaces them by their value, computed here, so that they mean
//! the same as in memory.

use super::eval;
use super::reads::Reads;
use super::tree::{Base, Condition, Datum, List, Term};
use super::{Env, EvalError, Lookup, Params};
use crate::name::Name;
use crate::time::Timestamp;
use crate::value::Value;

/// Never asked: what reads a field is no constant.
struct NoFields;

impl Lookup for NoFields {
    fn field(&self, _: &Name) -> Value {
        Value::Null
    }

    fn other(&self, _: &Base, _: &Name) -> Value {
        Value::Null
    }
}

const fn env(now: Timestamp, params: &Params) -> Env<'_> {
    Env { now, lookup: &NoFields, params }
}

impl Term {
    /// The value of a term that reads no field; nothing if it reads one.
    ///
    /// # Errors
    /// [`EvalError`] as for [`Rule::eval`](super::Rule::eval).
    pub fn constant(&self, now: Timestamp, params: &Params) -> Result<Option<Datum>, EvalError> {
        if Reads::of_term(self).any_field() {
            return Ok(None);
        }
        eval::term(self, &env(now, params)).map(Some)
    }
}

impl Condition {
    /// Whether a condition holds that reads no field; nothing if it reads one.
    ///
    /// # Errors
    /// [`EvalError`] as for [`Rule::eval`](super::Rule::eval).
    pub fn constant(&self, now: Timestamp, params: &Params) -> Result<Option<bool>, EvalError> {
        if Reads::of(self).any_field() {
            return Ok(None);
        }
        eval::condition(self, &env(now, params)).map(Some)
    }
}

impl List {
    /// The items of a list: of a parameter as literals, so that each item can be looked at as a term.
    ///
    /// # Errors
    /// [`EvalError`] as for [`Rule::eval`](super::Rule::eval).
    pub fn items(&self, params: &Params) -> Result<Vec<Term>, EvalError> {
        match self {
            Self::Items(items) => Ok(items.clone()),
            Self::Param(name, kind) => {
                let items = eval::list_param(name, *kind, params)?;
                Ok(items.into_iter().map(Term::Literal).collect())
            }
        }
    }
}
