//! Writes a typed tree in its normal form, which parses to the same tree.

use std::fmt::{Formatter, Result};

use super::history::Did;
use super::number::Arithmetic;
use super::tree::{Base, Condition, Datum, FieldTerm, List, Term};
use crate::duration;
use crate::time::Timestamp;

/// How tightly a construct binds, from `||` to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Any,
    All,
    Relation,
    Sum,
    Product,
    Sign,
    Operand,
}

/// Writes `condition`.
pub(super) fn condition(f: &mut Formatter<'_>, condition: &Condition) -> Result {
    match condition {
        Condition::All(parts) => joined(f, parts, " && ", Binding::Relation),
        Condition::Any(parts) => joined(f, parts, " || ", Binding::All),
        Condition::Not(inner) => match &**inner {
            Condition::IsNull(inner) => {
                term(f, inner, Binding::Sum)?;
                f.write_str(" != null")
            }
            inner => {
                f.write_str("!")?;
                condition_within(f, inner, Binding::Sign)
            }
        },
        Condition::Holds(inner) => term(f, inner, Binding::Sum),
        Condition::IsNull(inner) => {
            term(f, inner, Binding::Sum)?;
            f.write_str(" == null")
        }
        Condition::Compare(comparison, left, right) => {
            term(f, left, Binding::Sum)?;
            write!(f, " {} ", comparison.sign())?;
            term(f, right, Binding::Sum)
        }
        Condition::In(item, list) => {
            term(f, item, Binding::Sum)?;
            f.write_str(" in ")?;
            match list {
                List::Param(name, _) => f.write_str(name),
                List::Items(items) => self::list(f, items),
            }
        }
        Condition::Tagged(tag, tags) => {
            term(f, tag, Binding::Sum)?;
            f.write_str(" in ")?;
            field(f, &tags.field)
        }
        Condition::Text(test, whole, part) => {
            term(f, whole, Binding::Operand)?;
            write!(f, ".{}(", test.name())?;
            term(f, part, Binding::Any)?;
            f.write_str(")")
        }
        Condition::Did(did) => self::did(f, did),
        Condition::InSegment(segment, of) => {
            f.write_str("in_segment(")?;
            text(f, segment.as_str())?;
            if let Some(of) = of {
                f.write_str(", ")?;
                field(f, of)?;
            }
            f.write_str(")")
        }
    }
}

fn did(f: &mut Formatter<'_>, did: &Did) -> Result {
    f.write_str("did(")?;
    text(f, did.kind.as_str())?;
    let mut before = ", {";
    if let Some(micros) = did.within {
        write!(f, "{before}within: ")?;
        text(f, &duration::words(micros))?;
        before = ", ";
    }
    if did.at_least != 1 {
        write!(f, "{before}at_least: {}", did.at_least)?;
        before = ", ";
    }
    if let Some(rule) = &did.filter {
        write!(f, "{before}where: ")?;
        text(f, &rule.to_string())?;
        before = ", ";
    }
    f.write_str(if before == ", " { "})" } else { ")" })
}

fn binding(condition: &Condition) -> Binding {
    match condition {
        Condition::Any(_) => Binding::Any,
        Condition::All(_) => Binding::All,
        Condition::Not(inner) if !matches!(**inner, Condition::IsNull(_)) => Binding::Sign,
        Condition::Holds(inner) => binding_of_term(inner),
        Condition::Text(..) | Condition::Did(_) | Condition::InSegment(..) => Binding::Operand,
        _ => Binding::Relation,
    }
}

fn binding_of_term(term: &Term) -> Binding {
    match term {
        Term::Compute(Arithmetic::Plus | Arithmetic::Minus, ..) | Term::Shift(..) => Binding::Sum,
        Term::Compute(..) => Binding::Product,
        Term::Negate(_) => Binding::Sign,
        Term::Literal(Datum::Number(number)) if number.units < 0 => Binding::Sign,
        _ => Binding::Operand,
    }
}

/// Writes `inner` in brackets if it binds less tightly than its place asks for.
fn condition_within(f: &mut Formatter<'_>, inner: &Condition, least: Binding) -> Result {
    if binding(inner) >= least {
        return condition(f, inner);
    }
    f.write_str("(")?;
    condition(f, inner)?;
    f.write_str(")")
}

fn joined(f: &mut Formatter<'_>, parts: &[Condition], sign: &str, least: Binding) -> Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(sign)?;
        }
        condition_within(f, part, least)?;
    }
    Ok(())
}

fn list(f: &mut Formatter<'_>, items: &[Term]) -> Result {
    f.write_str("[")?;
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        term(f, item, Binding::Any)?;
    }
    f.write_str("]")
}

fn term(f: &mut Formatter<'_>, term: &Term, least: Binding) -> Result {
    let brackets = binding_of_term(term) < least;
    if brackets {
        f.write_str("(")?;
    }
    bare_term(f, term)?;
    if brackets { f.write_str(")") } else { Ok(()) }
}

fn bare_term(f: &mut Formatter<'_>, term: &Term) -> Result {
    match term {
        Term::Literal(datum) => literal(f, datum),
        Term::Field(field) => self::field(f, field),
        Term::Param(name, _) => f.write_str(name),
        Term::Now => f.write_str("now()"),
        Term::Condition(inner) => {
            f.write_str("(")?;
            condition(f, inner)?;
            f.write_str(")")
        }
        Term::Compute(operator, left, right) => {
            let (least, next) = match operator {
                Arithmetic::Plus | Arithmetic::Minus => (Binding::Sum, Binding::Product),
                _ => (Binding::Product, Binding::Sign),
            };
            self::term(f, left, least)?;
            write!(f, " {} ", operator.sign())?;
            self::term(f, right, next)
        }
        Term::Negate(inner) => {
            f.write_str("-")?;
            self::term(f, inner, Binding::Sign)
        }
        Term::Shift(inner, micros) => {
            self::term(f, inner, Binding::Sum)?;
            let sign = if *micros < 0 { '-' } else { '+' };
            write!(f, " {sign} duration(\"{}us\")", micros.unsigned_abs())
        }
        Term::Lower(inner) => called(f, "lower", inner),
        Term::Size(inner) => called(f, "size", inner),
        Term::TagCount(tags) => {
            f.write_str("size(")?;
            self::field(f, &tags.field)?;
            f.write_str(")")
        }
        Term::DaysSince(inner) => called(f, "days_since", inner),
    }
}

fn called(f: &mut Formatter<'_>, name: &str, argument: &Term) -> Result {
    write!(f, "{name}(")?;
    term(f, argument, Binding::Any)?;
    f.write_str(")")
}

fn field(f: &mut Formatter<'_>, field: &FieldTerm) -> Result {
    match &field.base {
        Base::Own => {}
        Base::Before => f.write_str("before.")?,
        Base::After => f.write_str("after.")?,
        Base::Subject => f.write_str("subject.")?,
        Base::Through(via) => write!(f, "{via}.")?,
    }
    f.write_str(field.name.as_str())
}

fn literal(f: &mut Formatter<'_>, datum: &Datum) -> Result {
    match datum {
        Datum::Null | Datum::Json => f.write_str("null"),
        Datum::Boolean(value) => write!(f, "{value}"),
        Datum::Number(number) => write!(f, "{}", number.to_decimal()),
        Datum::Text(text) => self::text(f, text),
        Datum::Date(date) => write!(f, "date(\"{date}\")"),
        Datum::Time(micros) => write!(f, "timestamp(\"{}\")", Timestamp::from_micros(*micros)),
        Datum::Reference(id) => write!(f, "'{id}'"),
    }
}

/// Writes a text in quotes.
pub(super) fn text(f: &mut Formatter<'_>, text: &str) -> Result {
    use std::fmt::Write as _;
    f.write_char('\'')?;
    for c in text.chars() {
        match c {
            '\'' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('\'')
}
