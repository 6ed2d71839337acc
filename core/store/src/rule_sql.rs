//! Compiles rules to SQL conditions.
//!
//! A condition means on both databases what [`rapport_model::rule`] says it means in memory: a property test holds the
//! three together. What reads no field is computed in memory and bound. Comparisons of a bare column with a value stay
//! bare (`t."country" = $1`), so that indexes serve them; `days_since(x) > 60` becomes a bound on `x` for the same reason.
//!
//! SQL has three truth values, rules have two. `Compiler::holds` makes SQL that is true exactly if the condition is
//! true, and false or null otherwise; `Compiler::fails` makes SQL that is true exactly if the condition is false. A
//! negation changes from one to the other, so a null never has to be negated.
//!
//! Identifiers come from validated names alone, values are bound, and nothing of a rule's text gets into the SQL.

mod bound;
mod days;
mod history;
mod number;
mod tags;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use rapport_model::rule::days::day_number;
use rapport_model::rule::tree::{Base, Comparison, Condition, Datum, FieldTerm, List, Term};
use rapport_model::rule::{EvalError, Params, Rule};
use rapport_model::{Name, RecordId, Timestamp};
use rust_decimal::Decimal;

pub(crate) use self::history::{all_that_did, count_did};
use self::number::Class;

/// Whose SQL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite: decimals are scaled integers, instants are microseconds, dates are text.
    Sqlite,
    /// PostgreSQL, from 14 on.
    Postgres,
}

/// A rule as SQL, for a select over `o_<object> as t`.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlRule {
    /// What stands after `from "o_<object>" as t`: one left join for each reference that the rule reads along, each with a
    /// space before it; may be empty.
    pub joins: String,
    /// A boolean expression: true for the records for which the rule holds, false or null for the others.
    pub text: String,
    /// The values of the placeholders, in order.
    pub binds: Vec<SqlBind>,
}

/// The value of a placeholder, in the form in which the database stores it.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlBind {
    /// `integer` or `bigint`; on SQLite also scaled decimals and instants.
    Integer(i64),
    /// `numeric`; PostgreSQL alone.
    Decimal(Decimal),
    /// `text`; on SQLite also dates.
    Text(Arc<str>),
    /// `date`, as days since 1970-01-01; PostgreSQL alone.
    Day(i32),
    /// `timestamptz`, as microseconds since 1970; PostgreSQL alone. May lie beyond year 9999, or before year 1.
    Time(i64),
    /// `uuid`, or a blob of its 16 bytes.
    Id(RecordId),
}

/// Why a rule cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleSqlError {
    /// A parameter is missing or does not fit.
    #[error(transparent)]
    Params(#[from] EvalError),
    /// The rule is about an event, not about a record.
    #[error("the rule reads `{field}` of an event: only rules about records can search the database")]
    Event {
        /// The field.
        field: String,
    },
    /// Its lists hold too many values in all, or its arithmetic unfolds to too much text.
    #[error(
        "the rule asks for {bytes} bytes of SQL with {binds} values, more than {SQL_BYTES_MAX} and {SQL_BINDS_MAX}"
    )]
    TooLarge {
        /// How long the text would be.
        bytes: usize,
        /// How many values it would have.
        binds: usize,
    },
}

/// The longest condition, in bytes.
const SQL_BYTES_MAX: usize = 1 << 20;
/// The most values of a condition: a third of what SQLite takes in one statement.
const SQL_BINDS_MAX: usize = 10_000;

/// What a rule is compiled with.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Whose SQL is written.
    pub dialect: Dialect,
    /// Whether the history of a record is also that of the records that were merged into it.
    pub joined: bool,
    /// The present instant.
    pub now: Timestamp,
    /// The values of the parameters.
    pub params: &'a Params,
    /// The number of the first placeholder, 1 if there are none before.
    pub first_placeholder: usize,
}

/// Compiles `rule`, which must be about records, to a condition on rows of its object's table, called `t`.
///
/// The text depends on the parameters' values (nulls and numbers of decimals show in it), so it is a prepared statement's
/// text only for parameters of the same shape.
///
/// # Errors
/// [`RuleSqlError`] if a parameter is missing or does not fit its place, the rule is about an event, or its SQL is too
/// large.
pub fn compile(rule: &Rule, target: &Target<'_>) -> Result<SqlRule, RuleSqlError> {
    let mut compiler = Compiler { target, rows: Rows::Records, binds: Vec::new(), joins: BTreeMap::new() };
    let text = compiler.holds(rule.root())?;
    let (bytes, binds) = (text.len(), compiler.binds.len());
    if bytes > SQL_BYTES_MAX || binds > SQL_BINDS_MAX {
        return Err(RuleSqlError::TooLarge { bytes, binds });
    }
    let join = |(via, object): (Name, Name)| {
        format!(" left join \"o_{object}\" as \"r_{via}\" on \"r_{via}\".\"id\" = t.\"{via}\"")
    };
    let joins = compiler.joins.into_iter().map(join).collect();
    Ok(SqlRule { joins, text, binds: compiler.binds })
}

/// A term in SQL. The text can be put beside any operator.
#[derive(Debug, Clone)]
struct Sql {
    text: String,
    nullable: bool,
}

struct Compiler<'a> {
    target: &'a Target<'a>,
    /// Whose fields own names are.
    rows: Rows,
    binds: Vec<SqlBind>,
    /// The references that are read along, and their objects.
    joins: BTreeMap<Name, Name>,
}

/// Whose fields own names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Those of the records in the table `t`.
    Records,
    /// Those of what the events in the table `e` say.
    Events(history::Said),
}

type Compiled = Result<String, RuleSqlError>;

const fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn truth(value: bool) -> String {
    if value { "true".to_owned() } else { "false".to_owned() }
}

fn is_null(sql: &Sql) -> String {
    if sql.nullable { format!("{} is null", sql.text) } else { truth(false) }
}

fn is_not_null(sql: &Sql) -> String {
    if sql.nullable { format!("{} is not null", sql.text) } else { truth(true) }
}

/// A comparison of two terms, true exactly if it holds, null-safe for `==` and `!=`.
fn compared(comparison: Comparison, left: &Sql, right: &Sql) -> String {
    let plain = format!("{} {} {}", left.text, sign(comparison), right.text);
    match (comparison, left.nullable, right.nullable) {
        (Comparison::Equal, true, true) => {
            format!("({plain} or ({} is null and {} is null))", left.text, right.text)
        }
        (Comparison::NotEqual, true, true) => format!("{} is distinct from {}", left.text, right.text),
        (Comparison::NotEqual, true, false) => format!("({plain} or {} is null)", left.text),
        (Comparison::NotEqual, false, true) => format!("({plain} or {} is null)", right.text),
        _ => plain,
    }
}

impl Compiler<'_> {
    fn bind(&mut self, value: SqlBind) -> String {
        self.binds.push(value);
        format!("${}", self.target.first_placeholder + self.binds.len() - 1)
    }

    fn is_sqlite(&self) -> bool {
        self.target.dialect == Dialect::Sqlite
    }

    fn constant(&self, term: &Term) -> Result<Option<Datum>, RuleSqlError> {
        Ok(term.constant(self.target.now, self.target.params)?)
    }

    /// SQL that is true exactly if `condition` holds; false or null otherwise.
    fn holds(&mut self, condition: &Condition) -> Compiled {
        let before = self.binds.len();
        let text = match condition.constant(self.target.now, self.target.params)? {
            Some(value) => truth(value),
            None => self.holds_of_fields(condition)?,
        };
        Ok(self.without_idle_binds(before, text))
    }

    /// A part that turned out to be a plain truth value has no placeholders: what was bound for it must go, since
    /// PostgreSQL refuses values without a placeholder.
    fn without_idle_binds(&mut self, before: usize, text: String) -> String {
        if text == "true" || text == "false" {
            self.binds.truncate(before);
        }
        text
    }

    fn holds_of_fields(&mut self, condition: &Condition) -> Compiled {
        match condition {
            Condition::All(parts) => self.joined(parts, " and ", Self::holds),
            Condition::Any(parts) => self.joined(parts, " or ", Self::holds),
            Condition::Not(inner) => self.fails(inner),
            Condition::Holds(term) => self.boolean_is(term, true),
            Condition::IsNull(term) => self.null_test(term, is_null),
            Condition::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            Condition::In(item, list) => self.member(item, list),
            Condition::Tagged(tag, tags) => self.tagged(tag, tags),
            Condition::Text(test, whole, part) => self.text_test(*test, whole, part),
            Condition::Did(did) => self.did(did),
            Condition::InSegment(segment, of) => self.in_segment(segment, of.as_ref()),
        }
    }

    /// SQL that is true exactly if `condition` does not hold; false or null otherwise.
    fn fails(&mut self, condition: &Condition) -> Compiled {
        let before = self.binds.len();
        let text = match condition.constant(self.target.now, self.target.params)? {
            Some(value) => truth(!value),
            None => self.fails_of_fields(condition)?,
        };
        Ok(self.without_idle_binds(before, text))
    }

    fn fails_of_fields(&mut self, condition: &Condition) -> Compiled {
        match condition {
            Condition::All(parts) => self.joined(parts, " or ", Self::fails),
            Condition::Any(parts) => self.joined(parts, " and ", Self::fails),
            Condition::Not(inner) => self.holds(inner),
            Condition::IsNull(term) => self.null_test(term, is_not_null),
            Condition::Compare(Comparison::Equal, left, right) => self.compare(Comparison::NotEqual, left, right),
            Condition::Compare(Comparison::NotEqual, left, right) => self.compare(Comparison::Equal, left, right),
            other => Ok(format!("({}) is not true", self.holds(other)?)),
        }
    }

    fn joined(&mut self, parts: &[Condition], sign: &str, part: fn(&mut Self, &Condition) -> Compiled) -> Compiled {
        let parts: Result<Vec<String>, RuleSqlError> = parts.iter().map(|inner| part(self, inner)).collect();
        Ok(format!("({})", parts?.join(sign)))
    }

    fn null_test(&mut self, term: &Term, test: fn(&Sql) -> String) -> Compiled {
        if Class::of(term) == Class::Number {
            let number = self.number(term)?;
            return Ok(test(&number.guarded()));
        }
        let sql = self.term(term)?;
        Ok(test(&sql))
    }

    fn compare(&mut self, comparison: Comparison, left: &Term, right: &Term) -> Compiled {
        if self.constant(left)?.is_some() {
            // Not both are constant, else the whole comparison were.
            return self.compare_ordered(comparison.mirrored(), right, left);
        }
        self.compare_ordered(comparison, left, right)
    }

    /// A comparison of which the left side reads a field.
    fn compare_ordered(&mut self, comparison: Comparison, left: &Term, right: &Term) -> Compiled {
        let constant = self.constant(right)?;
        if constant == Some(Datum::Null) {
            return match comparison {
                Comparison::Equal => self.null_test(left, is_null),
                Comparison::NotEqual => self.null_test(left, is_not_null),
                _ => Ok(truth(false)),
            };
        }
        match (Class::of(left), constant) {
            (Class::Number, Some(Datum::Number(number))) => self.compare_with_number(comparison, left, number),
            (Class::Number, _) => self.compare_numbers(comparison, left, right),
            (Class::Time, Some(Datum::Time(micros))) => self.compare_with_time(comparison, left, micros),
            (Class::Boolean, Some(Datum::Boolean(value))) if comparison == Comparison::Equal => {
                self.boolean_is(left, value)
            }
            _ => {
                let (left, right) = (self.term(left)?, self.term(right)?);
                Ok(compared(comparison, &left, &right))
            }
        }
    }

    fn boolean_is(&mut self, term: &Term, value: bool) -> Compiled {
        match term {
            Term::Condition(inner) if value => self.holds(inner),
            Term::Condition(inner) => self.fails(inner),
            _ => Ok(format!("{} = {value}", self.term(term)?.text)),
        }
    }

    /// True exactly if the item is not null and equals one of the list.
    fn member(&mut self, item: &Term, list: &List) -> Compiled {
        let mut bound = Vec::new();
        let mut tests = Vec::new();
        for element in list.items(self.target.params)? {
            match self.constant(&element)? {
                Some(Datum::Null) => {}
                Some(datum) if self.constant(item)?.is_none() => bound.push(datum),
                _ => tests.push(self.equal_and_present(item, &element)?),
            }
        }
        tests.extend(self.one_of(item, bound)?);
        Ok(if tests.is_empty() { truth(false) } else { format!("({})", tests.join(" or ")) })
    }

    fn equal_and_present(&mut self, item: &Term, element: &Term) -> Compiled {
        let equal = Condition::Compare(Comparison::Equal, item.clone(), element.clone());
        let present = Condition::Not(Box::new(Condition::IsNull(item.clone())));
        self.holds(&Condition::All(vec![equal, present]))
    }

    /// Whether a term that reads a field is one of some values; nothing if there are none.
    fn one_of(&mut self, item: &Term, values: Vec<Datum>) -> Result<Option<String>, RuleSqlError> {
        if Class::of(item) == Class::Number {
            return self.one_of_numbers(item, &values);
        }
        if values.is_empty() {
            return Ok(None);
        }
        let item = self.term(item)?.text;
        let places: Vec<String> = values.into_iter().map(|value| self.literal(value)).collect();
        Ok(Some(format!("{item} in ({})", places.join(", "))))
    }

    /// A term that is no number.
    fn term(&mut self, term: &Term) -> Result<Sql, RuleSqlError> {
        if let Some(datum) = self.constant(term)? {
            let nullable = datum == Datum::Null;
            return Ok(Sql { text: self.literal(datum), nullable });
        }
        match term {
            Term::Field(field) => self.column(field),
            Term::Shift(inner, micros) => self.moved(inner, *micros),
            Term::Lower(inner) => {
                let Sql { text, nullable } = self.term(inner)?;
                // PostgreSQL's lower() follows the collation; "C" leaves all but A–Z alone, as SQLite's does.
                let text =
                    if self.is_sqlite() { format!("lower({text})") } else { format!("lower({text} collate \"C\")") };
                Ok(Sql { text, nullable })
            }
            Term::Condition(inner) => Ok(Sql { text: format!("(({}) is true)", self.holds(inner)?), nullable: false }),
            // The rest are numbers, which have a form of their own, and constants.
            number => Ok(self.number(number)?.guarded()),
        }
    }

    /// The column of a field, joined if it is of another record.
    fn column(&mut self, field: &FieldTerm) -> Result<Sql, RuleSqlError> {
        let name = &field.name;
        if let Rows::Events(said) = self.rows {
            return self.said(said, field);
        }
        let own_system = ["id", "version", "created_at", "updated_at"].contains(&name.as_str());
        match (&field.base, &field.object) {
            (Base::Own, _) => Ok(Sql { text: format!("t.\"{name}\""), nullable: !own_system }),
            (Base::Through(via), Some(object)) => {
                self.joins.insert(via.clone(), object.clone());
                Ok(Sql { text: format!("\"r_{via}\".\"{name}\""), nullable: true })
            }
            _ => Err(RuleSqlError::Event { field: name.to_string() }),
        }
    }

    /// A placeholder for a value, in the form in which the database stores its kind.
    fn literal(&mut self, datum: Datum) -> String {
        let sqlite = self.is_sqlite();
        let bind = match datum {
            Datum::Null | Datum::Json => return "null".to_owned(),
            Datum::Boolean(value) => return truth(value),
            Datum::Number(number) if number.scale == 0 => SqlBind::Integer(number.units),
            Datum::Number(number) => SqlBind::Decimal(number.to_decimal()),
            Datum::Text(text) => SqlBind::Text(text),
            Datum::Date(date) if sqlite => SqlBind::Text(date.to_string().into()),
            Datum::Date(date) => SqlBind::Day(day_number(date)),
            Datum::Time(micros) if sqlite => SqlBind::Integer(micros),
            Datum::Time(micros) => SqlBind::Time(micros),
            Datum::Reference(id) => SqlBind::Id(id),
        };
        self.bind(bind)
    }
}
