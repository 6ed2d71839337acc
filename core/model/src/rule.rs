//! Rules: the Common Expression Language (CEL) in a documented subset.
//!
//! Filters, trigger conditions, segments, roll-up conditions and the API's `where=` are rules. A rule is parsed and
//! checked once, then evaluated on one record in memory ([`Rule::eval`]) or compiled to SQL by the store. Memory, SQLite
//! and PostgreSQL give the same answer. This page is the reference of the language; it is followed by property tests.
//!
//! ```cel
//! lifetime_value > 5000 && days_since(last_order_at) > 60 && country in ['Germany', 'France']
//! ```
//!
//! # Grammar
//! ```text
//! rule       = any
//! any        = all { "||" all }
//! all        = relation { "&&" relation }
//! relation   = sum [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) sum | "in" sum ]
//! sum        = product { ( "+" | "-" ) product }
//! product    = signed { ( "*" | "/" | "%" ) signed }
//! signed     = { "!" | "-" } member
//! member     = primary { "." name [ "(" [ any { "," any } ] ")" ] }
//! primary    = literal | name | name "(" [ any { "," any } ] ")" | "(" any ")" | "[" [ any { "," any } ] "]" | options
//! options    = [ "#" ] "{" [ name ":" any { "," name ":" any } ] "}"
//! literal    = "null" | "true" | "false" | digits [ "." digits ] | 'text' | "text"
//! name       = ( letter | "_" ) { letter | digit | "_" }
//! ```
//! In texts `\n \r \t \\ \' \"`, `\uXXXX` and `\UXXXXXXXX` are known. `//` begins a comment. Comparisons do not chain.
//! A rule has at most 8 KiB, 512 nodes and 32 levels: see [`crate::limits`].
//!
//! # Names
//! | Name | Means |
//! |---|---|
//! | `amount` | a field of the record, or of the event's data |
//! | `per_year` | a formula of the record: its expression stands in its place |
//! | `id`, `version`, `created_at`, `updated_at` | the system fields of a record |
//! | `customer.country` | a field of the record that the reference field `customer` names; one step |
//! | `before.tier`, `after.tier` | in the trigger of a record event: the value before and after the change. A field that did not change has the same value in both; before a creation and after a deletion all are null |
//! | `subject.country` | in the trigger of a declared event: a field of the record that the event is about |
//! | `c` | a parameter, if the caller gives one of that name. A name that is a field too is refused |
//!
//! A parameter is read as the kind that its place asks for: beside a reference a text is read as an id, beside an instant
//! or a date as such.
//!
//! # Kinds and operators
//! | Kind | Written | Operators |
//! |---|---|---|
//! | number (integer, decimal) | `12`, `-0.25` | comparisons, `in`, `+ - * / %` |
//! | text | `'Paris'`, `"Paris"` | comparisons, `in`, text functions |
//! | choice | `'gold'`, one of its options, else the rule is refused | `== !=`, `in`, text functions |
//! | boolean | `true`, `false` | `== !=`, `&& \|\| !`; stands alone as a condition |
//! | date | `date("2026-03-01")` | comparisons, `in`, `days_since` |
//! | timestamp | `timestamp("2026-03-01T02:00:00Z")`, `now()` | comparisons, `in`, `days_since`, `+` and `-` a `duration("1d12h")` |
//! | reference | an id in quotes, or a parameter | comparisons, `in` |
//! | JSON | | `== null`, `!= null` |
//! | tags | | `'vip' in tags`, `'vip' in company.tags`, `size(tags)`, `== null` (none), `!= null` |
//!
//! Kinds do not mix: `amount > 'a'` is refused when the rule is checked. Integers and decimals are one kind.
//!
//! # Functions
//! | Function | Gives |
//! |---|---|
//! | `t.contains(p)`, `t.startsWith(p)`, `t.endsWith(p)` | a condition; case counts; false if either is null |
//! | `t.lower()`, `lower(t)` | the text with A–Z made a–z. Other letters stay as they are: case folding is ours, not the database's |
//! | `t.size()`, `size(t)` | how many characters (Unicode scalar values); of tags, how many there are: never null |
//! | `now()` | the instant at which the rule is evaluated |
//! | `days_since(x)` | full periods of 24 hours from an instant until now, rounded down, negative for the future; for a date, days (UTC) |
//! | `date("…")`, `timestamp("…")` | a literal |
//! | `duration("…")` | numbers with `d h m s ms us`, up to 4000 years; stands only beside `+` and `-` after an instant |
//!
//! # What the log and segments tell
//! | Function | Holds | Stands in |
//! |---|---|---|
//! | `did('order.created', {within: '30 days', at_least: 3, where: 'amount > 50'})` | if the record's history has that many such events; each option may be left out. See [`history`] | segments, `each`, the API's `where=` |
//! | `did_not(…)` | if it has not | the same |
//! | `in_segment('quiet-vip')` | if the record belongs to that segment | the same, and bulk queries of plugins |
//! | `in_segment('quiet-vip', customer)` | if the record that the reference field `customer` refers to belongs to that segment, which is one of its object; not if the field is empty | the API's `where=` of listings, bulk queries of plugins |
//!
//! # Null
//! A rule is true or false, never null.
//! | Expression | With null |
//! |---|---|
//! | `x == null`, `x != null` | tests it |
//! | `a == b` | true if both are null, false if one is; `a != b` is its opposite |
//! | `a < b`, `<=`, `>`, `>=` | false |
//! | `x in [...]` | false if x is null; null is in no list |
//! | `a + b` and other arithmetic, `lower`, `size`, `days_since` | null |
//! | text tests | false |
//! | `ok` alone | false if the boolean is null; so `!ok` is true |
//! | a field of a reference that is null or whose record is gone | null |
//!
//! # Numbers
//! Exact, without rounding. An integer field holds ±(2^53 − 1); a decimal field has its own number of decimals and 15
//! digits. Arithmetic counts in units of the last decimal place: `+` and `-` take the larger number of decimals of both
//! sides, `*` adds them (18 at most), `/` and `%` are for whole numbers: `/` cuts towards zero, `%` takes the sign of its
//! left side. **What leaves 64 bits of units, and a division by zero, is null.** Comparisons never overflow.
//!
//! # Texts
//! In Unicode normalization form C (literals and parameters are brought there) and compared byte by byte, so `'Z' < 'a'`
//! and `'z' < 'ä'`. U+0000 is refused.
//!
//! # Why a parser of our own
//! The crate `cel` brings an ANTLR runtime, parses before it can be bounded, knows no types before it runs and has floating
//! point numbers. What stands here is a few hundred lines that check names and kinds with exact places, and bound size and
//! depth before anything recurses.

pub mod days;
pub mod history;
pub mod lookup;
pub mod number;
pub mod outline;
pub mod tree;

mod check;
mod constant;
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
pub use reads::{Membership, Reference};

use crate::id::RecordId;
use crate::name::Name;
use crate::schema::{EventTypeDef, FieldKind, ObjectDef, Schema};
use crate::segment::SegmentName;
use crate::time::Timestamp;
use crate::value::Value;
use tree::{Condition, Term};

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
    /// How many events of the record's history `did` counts, up to the number that it asks for. Only rules that were read by
    /// [`Rule::parse_with_history`] ask.
    fn count(&self, _did: &history::Did) -> u32 {
        0
    }
    /// Whether the record belongs to the segment. Only such rules ask.
    fn is_member(&self, _segment: &SegmentName) -> bool {
        false
    }
    /// Whether another record belongs to the segment. Only rules that were read by [`Rule::parse_with_members`] or
    /// [`Rule::parse_for_listing`] ask.
    fn is_other_member(&self, _segment: &SegmentName, _record: RecordId) -> bool {
        false
    }
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
        Self::read(source, check::Ground { scope, schema, params, reach: check::Reach::Record })
    }

    /// The same for a rule that may ask of the log and of segments (`did`, `did_not`, `in_segment`), which whoever evaluates it
    /// in memory must answer: see [`history::HistoryLookup`].
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn parse_with_history(
        source: &str,
        scope: &Scope,
        schema: &Schema,
        params: &ParamTypes,
    ) -> Result<Self, RuleError> {
        Self::read(source, check::Ground { scope, schema, params, reach: check::Reach::History })
    }

    /// The same for a rule that may ask of segments, also of what the record's references refer to (`in_segment('vip', customer)`),
    /// but not of the log. The database alone answers it.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn parse_with_members(
        source: &str,
        scope: &Scope,
        schema: &Schema,
        params: &ParamTypes,
    ) -> Result<Self, RuleError> {
        Self::read(source, check::Ground { scope, schema, params, reach: check::Reach::Members })
    }

    /// The same for a rule that may ask all that the database alone can answer: of the log, of segments, and of what the record's
    /// references refer to.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn parse_for_listing(
        source: &str,
        scope: &Scope,
        schema: &Schema,
        params: &ParamTypes,
    ) -> Result<Self, RuleError> {
        Self::read(source, check::Ground { scope, schema, params, reach: check::Reach::Listing })
    }

    fn read(source: &str, ground: check::Ground<'_>) -> Result<Self, RuleError> {
        let root = parser::parse(source).and_then(|ast| check::check(&ast, ground));
        Ok(Self::of(source, root.map_err(|fault| fault.locate(source))?))
    }

    /// The rule that is this condition alone.
    #[must_use]
    pub fn of_condition(root: Condition) -> Self {
        let source = outline::Shown(&root).to_string();
        Self::of(&source, root)
    }

    /// The same rule with each question to the log replaced by whether the record belongs to a segment.
    #[must_use]
    pub fn with_answers(&self, answers: &[(Arc<history::Did>, SegmentName)]) -> Self {
        Self::of_condition(history::answered(self.root(), answers))
    }

    fn of(source: &str, root: Condition) -> Self {
        let reads = reads::Reads::of(&root);
        Self(Arc::new(Parsed { source: source.into(), root, reads }))
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

    /// What it asks of the log, each once.
    #[must_use]
    pub fn dids(&self) -> &[Arc<history::Did>] {
        &self.0.reads.dids
    }

    /// The segments that it asks for, each once, in order.
    #[must_use]
    pub fn segments(&self) -> &[SegmentName] {
        &self.0.reads.segments
    }

    /// The segments that it asks for, and whose membership, each once, in order.
    #[must_use]
    pub fn memberships(&self) -> &[Membership] {
        &self.0.reads.memberships
    }

    /// Its typed tree.
    #[must_use]
    pub fn root(&self) -> &Condition {
        &self.0.root
    }
}

/// Reads `source` as an expression over the records of `object`, and says what it gives: for formulas.
///
/// # Errors
/// [`RuleError`] as for [`Rule::parse`]; for what gives neither number, text, boolean, date nor instant too.
pub fn expression(source: &str, object: &Arc<ObjectDef>, schema: &Schema) -> Result<(Term, FieldKind), RuleError> {
    let scope = Scope::Record(object.clone());
    let read = parser::parse(source).and_then(|ast| check::expression(&ast, &scope, schema));
    read.map_err(|fault| fault.locate(source))
}

/// The value of an expression.
///
/// # Errors
/// [`EvalError`] as for [`Rule::eval`].
pub fn compute(term: &Term, env: &Env<'_>) -> Result<tree::Datum, EvalError> {
    eval::term(term, env)
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

#[cfg(test)]
mod tests;
