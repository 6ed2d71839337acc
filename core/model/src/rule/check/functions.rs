//! The functions of rules.

use jiff::civil::Date;

use super::super::lexer::{Fault, brief};
use super::super::names::suggestion;
use super::super::number::Arithmetic;
use super::super::parser::{Ast, AstKind};
use super::super::tree::{Condition, Datum, Term, TextTest};
use super::Checker;
use super::kind::{Kind, Typed, describe};
use crate::time::Timestamp;

const FUNCTIONS: [&str; 13] = [
    "contains",
    "startsWith",
    "endsWith",
    "lower",
    "size",
    "now",
    "days_since",
    "date",
    "timestamp",
    "duration",
    "did",
    "did_not",
    "in_segment",
];

const MICROS_PER_SECOND: i64 = 1_000_000;
/// An instant is moved by 4000 years at most, so that PostgreSQL can hold the result.
const SHIFT_MICROS_MAX: i64 = 4_000 * 366 * 86_400 * MICROS_PER_SECOND;

/// The text test called `name`.
pub(super) fn text_test(name: &str) -> Option<TextTest> {
    [TextTest::Contains, TextTest::StartsWith, TextTest::EndsWith].into_iter().find(|test| test.name() == name)
}

fn one<'n>(name: &str, arguments: &'n [Ast], at: usize) -> Result<&'n Ast, Fault> {
    match arguments {
        [one] => Ok(one),
        _ => Err(Fault::new(at, format!("`{name}` takes one argument, not {}", arguments.len()), "")),
    }
}

impl<'a> Checker<'a> {
    pub(super) fn text_test(
        &self,
        test: TextTest,
        target: &Ast,
        arguments: &[Ast],
        at: usize,
    ) -> Result<Condition, Fault> {
        let part = self.text(one(test.name(), arguments, at)?)?;
        Ok(Condition::Text(test, self.text(target)?, part))
    }

    fn text(&self, ast: &Ast) -> Result<Term, Fault> {
        let typed = self.term(ast)?.known(&Kind::Text);
        if typed.kind.is_text() {
            return Ok(typed.term);
        }
        let help = if typed.kind == Kind::Tags { "write `'vip' in tags`" } else { "" };
        Err(Fault::new(ast.at, format!("{} is no text", describe(ast, &typed.kind)), help))
    }

    pub(super) fn call(
        &self,
        target: Option<&Ast>,
        name: &str,
        arguments: &[Ast],
        at: usize,
    ) -> Result<Typed<'a>, Fault> {
        if let (Some(target), Some(test)) = (target, text_test(name)) {
            let condition = self.text_test(test, target, arguments, at)?;
            return Ok(Typed { term: Term::Condition(Box::new(condition)), kind: Kind::Boolean });
        }
        match (name, target) {
            ("lower" | "size", Some(target)) if arguments.is_empty() => self.text_function(name, target),
            ("lower" | "size", None) => self.text_function(name, one(name, arguments, at)?),
            ("now", None) if arguments.is_empty() => Ok(Typed { term: Term::Now, kind: Kind::Time }),
            ("days_since", None) => self.days_since(one(name, arguments, at)?),
            ("date", None) => date(one(name, arguments, at)?),
            ("timestamp", None) => timestamp(one(name, arguments, at)?),
            ("duration", None) => {
                let help = "add it to an instant: `due_at < now() + duration(\"2h\")`";
                Err(Fault::new(at, "a duration cannot stand alone", help))
            }
            _ => Err(unknown_call(target, name, at)),
        }
    }

    fn text_function(&self, name: &str, text: &Ast) -> Result<Typed<'a>, Fault> {
        if name == "size"
            && matches!(text.kind, AstKind::Name(_) | AstKind::Member(..))
            && let Some(tags) = self.tags_of(&self.term(text)?)
        {
            return Ok(Typed { term: Term::TagCount(tags), kind: Kind::Number(0) });
        }
        let inner = Box::new(self.text(text)?);
        Ok(match name {
            "lower" => Typed { term: Term::Lower(inner), kind: Kind::Text },
            _ => Typed { term: Term::Size(inner), kind: Kind::Number(0) },
        })
    }

    fn days_since(&self, ast: &Ast) -> Result<Typed<'a>, Fault> {
        let typed = self.term(ast)?.known(&Kind::Time);
        if !matches!(typed.kind, Kind::Time | Kind::Date) {
            let message = format!("{} is neither an instant nor a date", describe(ast, &typed.kind));
            return Err(Fault::new(ast.at, message, "name a field such as `created_at`"));
        }
        Ok(Typed { term: Term::DaysSince(Box::new(typed.term)), kind: Kind::Number(0) })
    }

    /// An instant moved by a duration, if that is what is written.
    pub(super) fn shift(&self, operator: Arithmetic, left: &Ast, right: &Ast) -> Result<Option<Typed<'a>>, Fault> {
        let (instant, moved) = match (operator, duration(left)?, duration(right)?) {
            (Arithmetic::Plus, Some(micros), None) => (right, micros),
            (Arithmetic::Plus, None, Some(micros)) => (left, micros),
            (Arithmetic::Minus, None, Some(micros)) => (left, -micros),
            _ => return Ok(None),
        };
        let typed = self.term(instant)?.known(&Kind::Time);
        if typed.kind != Kind::Time {
            let message = format!("{} is no instant: a duration cannot move it", describe(instant, &typed.kind));
            return Err(Fault::new(instant.at, message, ""));
        }
        let (inner, before) = match typed.term {
            Term::Shift(inner, before) => (inner, before),
            term => (Box::new(term), 0),
        };
        let total = before + moved;
        if total.abs() > SHIFT_MICROS_MAX {
            return Err(Fault::new(instant.at, "an instant is moved by more than 4000 years", ""));
        }
        let term = if total == 0 { *inner } else { Term::Shift(inner, total) };
        Ok(Some(Typed { term, kind: Kind::Time }))
    }
}

fn unknown_call(target: Option<&Ast>, name: &str, at: usize) -> Fault {
    let method = matches!(name, "contains" | "startsWith" | "endsWith");
    if method && target.is_none() {
        let message = format!("`{name}` is asked of a text");
        return Fault::new(at, message, format!("write `field.{name}('part')`"));
    }
    if FUNCTIONS.contains(&name) {
        let message = match target {
            Some(_) => format!("`{name}` is not asked of a value, or takes no argument there"),
            None => format!("`{name}` takes no argument"),
        };
        return Fault::new(at, message, "see the table of functions");
    }
    Fault::new(at, format!("there is no function `{}`", brief(name)), suggestion(name, FUNCTIONS.into_iter()))
}

fn literal_text<'n>(ast: &'n Ast, example: &str) -> Result<&'n str, Fault> {
    match &ast.kind {
        AstKind::Text(text) => Ok(text),
        _ => Err(Fault::new(ast.at, "a text in quotes is wanted here", format!("write {example}"))),
    }
}

fn date<'a>(ast: &Ast) -> Result<Typed<'a>, Fault> {
    const EXAMPLE: &str = "date(\"2026-03-01\")";
    let text = literal_text(ast, EXAMPLE)?;
    // Ten characters: neither a year with a sign nor a time of day.
    match text.parse::<Date>() {
        Ok(date) if text.len() == 10 => Ok(Typed::literal(Datum::Date(date), Kind::Date)),
        _ => Err(Fault::new(ast.at, format!("`{}` is no date", brief(text)), format!("write {EXAMPLE}"))),
    }
}

fn timestamp<'a>(ast: &Ast) -> Result<Typed<'a>, Fault> {
    const EXAMPLE: &str = "timestamp(\"2026-03-01T02:00:00Z\")";
    let text = literal_text(ast, EXAMPLE)?;
    match text.parse::<Timestamp>() {
        Ok(time) => Ok(Typed::literal(Datum::Time(time.micros()), Kind::Time)),
        Err(_) => Err(Fault::new(ast.at, format!("`{}` is no instant", brief(text)), format!("write {EXAMPLE}"))),
    }
}

/// The microseconds of a call `duration("…")`; nothing if it is something else.
fn duration(ast: &Ast) -> Result<Option<i64>, Fault> {
    let AstKind::Call { target: None, name, arguments } = &ast.kind else { return Ok(None) };
    if name != "duration" {
        return Ok(None);
    }
    let argument = one(name, arguments, ast.at)?;
    let text = literal_text(argument, "duration(\"36h\")")?;
    let help = "write numbers with d, h, m, s, ms or us: duration(\"1d12h\")";
    let fault = || Fault::new(argument.at, format!("`{}` is no duration up to 4000 years", brief(text)), help);
    micros_of(text).filter(|micros| *micros <= SHIFT_MICROS_MAX).map(Some).ok_or_else(fault)
}

fn micros_of(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len()));
        let micros = match unit {
            "d" => 86_400 * MICROS_PER_SECOND,
            "h" => 3_600 * MICROS_PER_SECOND,
            "m" => 60 * MICROS_PER_SECOND,
            "s" => MICROS_PER_SECOND,
            "ms" => 1_000,
            "us" => 1,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<i64>().ok()?.checked_mul(micros)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}
