//! Evaluates a rule in memory.

use std::cmp::Ordering;
use std::str::FromStr;

use jiff::civil::Date;
use serde_json::Value as Json;

use super::days::{DAY_MICROS, day_number, day_of};
use super::number::Number;
use super::tree::{Base, Comparison, Condition, Datum, FieldTerm, List, ParamKind, Term, TextTest};
use super::{Env, Params};
use crate::id::RecordId;
use crate::json::to_json;
use crate::limits::RULE_LIST_ITEMS_MAX;
use crate::schema::FieldKind;
use crate::tags;
use crate::time::Timestamp;
use crate::value::{Value, nfc};

/// Why a rule could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A parameter has no value.
    #[error("the parameter `{name}` of the rule has no value")]
    MissingParam {
        /// Its name.
        name: String,
    },
    /// A parameter holds something else than its place in the rule asks for.
    #[error("the parameter `{name}` of the rule must be {expected}, got {got}")]
    ParamKind {
        /// Its name.
        name: String,
        /// What its place asks for.
        expected: &'static str,
        /// What it holds.
        got: String,
    },
    /// A list holds too much.
    #[error("the parameter `{name}` of the rule has {items} items, more than {RULE_LIST_ITEMS_MAX}")]
    ListTooLong {
        /// The name of the parameter.
        name: String,
        /// How many items it has.
        items: usize,
    },
    /// A field holds what its definition rules out.
    #[error("the field `{field}` ({expected}) holds {got}")]
    FieldKind {
        /// Its name.
        field: String,
        /// The kind of its definition.
        expected: &'static str,
        /// What it holds.
        got: String,
    },
}

/// Whether `condition` holds.
pub(super) fn condition(condition: &Condition, env: &Env<'_>) -> Result<bool, EvalError> {
    match condition {
        Condition::All(parts) => parts.iter().try_fold(true, |all, part| Ok(all && self::condition(part, env)?)),
        Condition::Any(parts) => parts.iter().try_fold(false, |any, part| Ok(any || self::condition(part, env)?)),
        Condition::Not(inner) => Ok(!self::condition(inner, env)?),
        Condition::Holds(inner) => Ok(term(inner, env)? == Datum::Boolean(true)),
        Condition::IsNull(inner) => Ok(term(inner, env)? == Datum::Null),
        Condition::Compare(comparison, left, right) => Ok(compares(*comparison, &term(left, env)?, &term(right, env)?)),
        Condition::In(item, list) => {
            let item = term(item, env)?;
            // The list comes first: a parameter that does not fit is an error, whatever the record holds.
            Ok(contains(list, &item, env)? && item != Datum::Null)
        }
        Condition::Tagged(tag, tags) => Ok(match term(tag, env)? {
            Datum::Text(tag) => tags::of(&value_of(&tags.field, env)).any(|known| *known == *tag),
            _ => false,
        }),
        Condition::Text(test, whole, part) => Ok(match (term(whole, env)?, term(part, env)?) {
            (Datum::Text(whole), Datum::Text(part)) => passes(*test, &whole, &part),
            _ => false,
        }),
        Condition::Did(did) => Ok(env.lookup.count(did) >= did.at_least),
        Condition::InSegment(segment, None) => Ok(env.lookup.is_member(segment)),
        Condition::InSegment(segment, Some(of)) => {
            Ok(value_of(of, env).as_ref_id().is_some_and(|id| env.lookup.is_other_member(segment, id)))
        }
    }
}

fn passes(test: TextTest, whole: &str, part: &str) -> bool {
    match test {
        TextTest::Contains => whole.contains(part),
        TextTest::StartsWith => whole.starts_with(part),
        TextTest::EndsWith => whole.ends_with(part),
    }
}

fn compares(comparison: Comparison, left: &Datum, right: &Datum) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
        _ => match (order(left, right), comparison) {
            (None, _) => false,
            (Some(order), Comparison::Less) => order == Ordering::Less,
            (Some(order), Comparison::LessOrEqual) => order != Ordering::Greater,
            (Some(order), Comparison::Greater) => order == Ordering::Greater,
            (Some(order), _) => order != Ordering::Less,
        },
    }
}

fn order(left: &Datum, right: &Datum) -> Option<Ordering> {
    match (left, right) {
        (Datum::Number(l), Datum::Number(r)) => Some(l.cmp(r)),
        (Datum::Text(l), Datum::Text(r)) => Some(l.as_bytes().cmp(r.as_bytes())),
        (Datum::Date(l), Datum::Date(r)) => Some(l.cmp(r)),
        (Datum::Time(l), Datum::Time(r)) => Some(l.cmp(r)),
        (Datum::Reference(l), Datum::Reference(r)) => Some(l.cmp(r)),
        _ => None,
    }
}

fn contains(list: &List, item: &Datum, env: &Env<'_>) -> Result<bool, EvalError> {
    match list {
        List::Items(items) => items.iter().try_fold(false, |found, other| Ok(term(other, env)? == *item || found)),
        List::Param(name, kind) => Ok(list_param(name, *kind, env.params)?.contains(item)),
    }
}

/// The value of `term`.
pub(super) fn term(term: &Term, env: &Env<'_>) -> Result<Datum, EvalError> {
    match term {
        Term::Literal(datum) => Ok(datum.clone()),
        Term::Field(field) => self::field(field, env),
        Term::Param(name, kind) => param(name, *kind, env.params),
        Term::Now => Ok(Datum::Time(env.now.micros())),
        Term::Condition(inner) => Ok(Datum::Boolean(condition(inner, env)?)),
        Term::Compute(operator, left, right) => Ok(match (self::term(left, env)?, self::term(right, env)?) {
            (Datum::Number(l), Datum::Number(r)) => l.compute(*operator, r).map_or(Datum::Null, Datum::Number),
            _ => Datum::Null,
        }),
        Term::Negate(inner) => Ok(match self::term(inner, env)? {
            Datum::Number(number) => number.negated().map_or(Datum::Null, Datum::Number),
            _ => Datum::Null,
        }),
        Term::Shift(inner, micros) => Ok(match self::term(inner, env)? {
            Datum::Time(time) => Datum::Time(time + micros),
            _ => Datum::Null,
        }),
        Term::Lower(inner) => Ok(match self::term(inner, env)? {
            Datum::Text(text) => Datum::Text(text.to_ascii_lowercase().into()),
            _ => Datum::Null,
        }),
        Term::Size(inner) => Ok(match self::term(inner, env)? {
            Datum::Text(text) => Datum::Number(Number::whole(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))),
            _ => Datum::Null,
        }),
        Term::TagCount(tags) => {
            let count = tags::of(&value_of(&tags.field, env)).count();
            Ok(Datum::Number(Number::whole(i64::try_from(count).unwrap_or(i64::MAX))))
        }
        Term::DaysSince(inner) => Ok(match self::term(inner, env)? {
            Datum::Time(time) => Datum::Number(Number::whole((env.now.micros() - time).div_euclid(DAY_MICROS))),
            Datum::Date(date) => Datum::Number(Number::whole(day_of(env.now) - i64::from(day_number(date)))),
            _ => Datum::Null,
        }),
    }
}

fn value_of(field: &FieldTerm, env: &Env<'_>) -> Value {
    match &field.base {
        Base::Own => env.lookup.field(&field.name),
        other => env.lookup.other(other, &field.name),
    }
}

fn field(field: &FieldTerm, env: &Env<'_>) -> Result<Datum, EvalError> {
    let value = value_of(field, env);
    let datum = match (&field.kind, &value) {
        (_, Value::Null) => Some(Datum::Null),
        (FieldKind::Text | FieldKind::Choice { .. }, Value::Text(text)) => Some(Datum::Text(text.clone())),
        (FieldKind::Integer, Value::Int(units)) => Some(Datum::Number(Number::whole(*units))),
        (FieldKind::Decimal { scale }, Value::Decimal(_) | Value::Int(_)) => {
            // In the units of the column, as SQLite computes with it.
            Number::in_scale(&value, *scale).map(Datum::Number)
        }
        (FieldKind::Boolean, Value::Bool(value)) => Some(Datum::Boolean(*value)),
        (FieldKind::Date, Value::Date(date)) => Some(Datum::Date(*date)),
        (FieldKind::Timestamp, Value::Time(time)) => Some(Datum::Time(time.micros())),
        (FieldKind::Reference { .. }, Value::Ref(id)) => Some(Datum::Reference(*id)),
        (FieldKind::Json | FieldKind::Tags, Value::Json(_)) => Some(Datum::Json),
        _ => None,
    };
    datum.ok_or_else(|| EvalError::FieldKind {
        field: field.name.to_string(),
        expected: field.kind.as_str(),
        got: brief(&to_json(&value)),
    })
}

fn brief(json: &Json) -> String {
    super::lexer::brief(&json.to_string())
}

fn given<'a>(name: &str, params: &'a Params) -> Result<&'a Value, EvalError> {
    params.get(name).ok_or_else(|| EvalError::MissingParam { name: name.to_owned() })
}

fn misfit(name: &str, expected: &'static str, got: &Json) -> EvalError {
    EvalError::ParamKind { name: name.to_owned(), expected, got: brief(got) }
}

/// The parameter `name` read as `kind`.
pub(super) fn param(name: &str, kind: ParamKind, params: &Params) -> Result<Datum, EvalError> {
    let value = given(name, params)?;
    fit(value, kind).ok_or_else(|| misfit(name, kind.as_str(), &to_json(value)))
}

/// The parameter `name` read as a list of `kind`. Nulls in it are dropped: they equal nothing.
pub(super) fn list_param(name: &str, kind: ParamKind, params: &Params) -> Result<Vec<Datum>, EvalError> {
    let value = given(name, params)?;
    let Value::Json(json) = value else { return Err(misfit(name, "a list", &to_json(value))) };
    let Json::Array(items) = &**json else { return Err(misfit(name, "a list", json)) };
    if items.len() > RULE_LIST_ITEMS_MAX {
        return Err(EvalError::ListTooLong { name: name.to_owned(), items: items.len() });
    }
    let present = items.iter().filter(|item| !item.is_null());
    let read = |item: &Json| {
        let datum = scalar(item, kind).and_then(|value| fit(&value, kind));
        datum.ok_or_else(|| misfit(name, kind.as_str(), item))
    };
    present.map(read).collect()
}

/// An element of a list as a value; a number in text is a number where one is wanted, as decimals are written in JSON.
fn scalar(item: &Json, kind: ParamKind) -> Option<Value> {
    use rust_decimal::Decimal;
    let decimal = |text: &str| Decimal::from_str_exact(text).ok().map(Value::Decimal);
    match item {
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Some(Value::Int(whole)),
            None => decimal(&number.to_string()),
        },
        Json::String(text) if matches!(kind, ParamKind::Number | ParamKind::Integer) => decimal(text.trim()),
        Json::String(text) => Some(Value::text(text)),
        _ => None,
    }
}

fn fit(value: &Value, kind: ParamKind) -> Option<Datum> {
    match (kind, value) {
        (_, Value::Null) => Some(Datum::Null),
        (ParamKind::Boolean, Value::Bool(value)) => Some(Datum::Boolean(*value)),
        (ParamKind::Number, _) => Number::of(value).map(Datum::Number),
        (ParamKind::Integer, _) => Number::of(value).filter(|number| number.scale == 0).map(Datum::Number),
        (ParamKind::Text, Value::Text(text)) => (!text.contains('\0')).then(|| Datum::Text(nfc(text))),
        (ParamKind::Date, Value::Date(date)) => plain_date(*date),
        (ParamKind::Date, Value::Text(text)) => Date::from_str(text).ok().and_then(plain_date),
        (ParamKind::Time, Value::Time(time)) => Some(Datum::Time(time.micros())),
        (ParamKind::Time, Value::Text(text)) => text.parse::<Timestamp>().ok().map(|t| Datum::Time(t.micros())),
        (ParamKind::Reference, Value::Ref(id)) => Some(Datum::Reference(*id)),
        (ParamKind::Reference, Value::Text(text)) => text.parse::<RecordId>().ok().map(Datum::Reference),
        (ParamKind::Any, Value::Text(text)) => Some(Datum::Text(text.clone())),
        (ParamKind::Any, _) => Some(Datum::Json),
        _ => None,
    }
}

/// A date whose year has four digits: others would not compare as text, as SQLite compares them.
fn plain_date(date: Date) -> Option<Datum> {
    (date.year() >= 0).then_some(Datum::Date(date))
}
