//! Gives an untyped tree its names and kinds, or says what is wrong and what to write instead.

mod functions;
mod history;
mod kind;
mod scope;

use super::lexer::Fault;
use super::number::{Arithmetic, PRODUCT_SCALE_MAX};
use super::parser::{Ast, AstKind};
use super::reads::Reads;
use super::tree::{Comparison, Condition, Datum, List, Term};
use super::{ParamTypes, Scope};
use crate::schema::{FieldKind, Schema};
use kind::{Kind, Typed};

/// What a rule may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// What stands in the record or the event.
    Record,
    /// The log and segments, too.
    History,
    /// Segments, too, also of what references refer to; not the log.
    Members,
    /// The log and segments, too, also of what references refer to.
    Listing,
}

impl Reach {
    /// Whether it may ask of the log.
    pub(super) const fn sees_the_log(self) -> bool {
        matches!(self, Self::History | Self::Listing)
    }

    /// Whether it may ask who is in a segment.
    pub(super) const fn sees_segments(self) -> bool {
        !matches!(self, Self::Record)
    }

    /// Whether it may ask that of other records.
    pub(super) const fn sees_others(self) -> bool {
        matches!(self, Self::Members | Self::Listing)
    }
}

/// What a rule is checked against.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) scope: &'a Scope,
    pub(super) schema: &'a Schema,
    pub(super) params: &'a ParamTypes,
    pub(super) reach: Reach,
}

/// Makes `ast` a typed tree.
pub(super) fn check(ast: &Ast, Ground { scope, schema, params, reach }: Ground<'_>) -> Result<Condition, Fault> {
    Checker { scope, schema, params, reach }.condition(ast)
}

/// Makes `ast` a typed term, and says what it gives.
pub(super) fn expression(ast: &Ast, scope: &Scope, schema: &Schema) -> Result<(Term, FieldKind), Fault> {
    let params = ParamTypes::none();
    let typed = Checker { scope, schema, params: &params, reach: Reach::Record }.term(ast)?;
    let kind = match &typed.kind {
        Kind::Boolean => FieldKind::Boolean,
        Kind::Number(0) => FieldKind::Integer,
        Kind::Number(scale) => FieldKind::Decimal { scale: *scale },
        Kind::Text | Kind::Choice(_) => FieldKind::Text,
        Kind::Date => FieldKind::Date,
        Kind::Time => FieldKind::Timestamp,
        other => {
            let help = "write an expression that gives a number, a text, true or false, a date or an instant";
            return Err(Fault::new(ast.at, format!("the expression gives {}", other.name()), help));
        }
    };
    Ok((typed.term, kind))
}

struct Checker<'a> {
    scope: &'a Scope,
    schema: &'a Schema,
    params: &'a ParamTypes,
    reach: Reach,
}

impl<'a> Checker<'a> {
    fn condition(&self, ast: &Ast) -> Result<Condition, Fault> {
        match &ast.kind {
            AstKind::Not(inner) => Ok(Condition::Not(Box::new(self.condition(inner)?))),
            AstKind::All(parts) => Ok(Condition::All(self.conditions(parts)?)),
            AstKind::Any(parts) => Ok(Condition::Any(self.conditions(parts)?)),
            AstKind::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            AstKind::In(item, list) => self.member_of(item, list),
            AstKind::Call { target: Some(target), name, arguments } => match functions::text_test(name) {
                Some(test) => self.text_test(test, target, arguments, ast.at),
                None => self.holds(ast),
            },
            AstKind::Call { target: None, name, arguments } if history::is_one(name) => {
                self.history(name, arguments, ast.at)
            }
            _ => self.holds(ast),
        }
    }

    fn conditions(&self, parts: &[Ast]) -> Result<Vec<Condition>, Fault> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    /// A boolean value as a condition.
    fn holds(&self, ast: &Ast) -> Result<Condition, Fault> {
        let typed = self.term(ast)?.known(&Kind::Boolean);
        match typed.kind {
            Kind::Boolean => Ok(match typed.term {
                Term::Condition(condition) => *condition,
                term => Condition::Holds(term),
            }),
            kind => {
                let message = format!("{} is no condition", kind::describe(ast, &kind));
                Err(Fault::new(ast.at, message, "compare it with a value, or with `null`"))
            }
        }
    }

    fn compare(&self, comparison: Comparison, left: &Ast, right: &Ast) -> Result<Condition, Fault> {
        let other = match (&left.kind, &right.kind) {
            (AstKind::Null, _) => Some(right),
            (_, AstKind::Null) => Some(left),
            _ => None,
        };
        if let Some(other) = other {
            return self.null_test(comparison, other, left.at);
        }
        let (left_typed, right_typed) = (self.term(left)?, self.term(right)?);
        let (l, r) = kind::matched((left, left_typed), (right, right_typed))?;
        for (ast, typed) in [(left, &l), (right, &r)] {
            if comparison.is_order() && !typed.kind.has_order() {
                let message = format!("{} has no order", kind::describe(ast, &typed.kind));
                return Err(Fault::new(ast.at, message, "test it with `==`, `!=` or `in [...]`"));
            }
        }
        Ok(Condition::Compare(comparison, l.term, r.term))
    }

    fn null_test(&self, comparison: Comparison, other: &Ast, at: usize) -> Result<Condition, Fault> {
        let is_null = match &other.kind {
            AstKind::Null => Condition::Holds(Term::Literal(Datum::Boolean(true))),
            _ => Condition::IsNull(self.term(other)?.term),
        };
        match comparison {
            Comparison::Equal => Ok(is_null),
            Comparison::NotEqual => Ok(Condition::Not(Box::new(is_null))),
            _ => Err(Fault::new(at, "`null` has no order", "test it with `== null` or `!= null`")),
        }
    }

    fn member_of(&self, item: &Ast, list: &Ast) -> Result<Condition, Fault> {
        let typed = self.term(item)?;
        match &list.kind {
            AstKind::List(elements) => self.member_of_list(item, typed, elements),
            AstKind::Name(name) if self.is_param(name) => {
                if typed.kind == Kind::Tags {
                    return Err(kind::tags_are_no_value(item));
                }
                if matches!(typed.kind, Kind::Unknown | Kind::Json) {
                    let message = format!("nothing says what `{name}` is a list of");
                    return Err(Fault::new(list.at, message, "write a field before `in`"));
                }
                Ok(Condition::In(typed.term, List::Param(name.as_str().into(), typed.kind.param())))
            }
            _ => self.tagged(item, typed, list),
        }
    }

    /// A text among tags.
    fn tagged(&self, item: &Ast, typed: Typed<'a>, list: &Ast) -> Result<Condition, Fault> {
        let help = "write a list `['a', 'b']`, a parameter that holds one, or tags";
        let no_list = || Fault::new(list.at, "`in` needs a list at its right side", help);
        if !matches!(list.kind, AstKind::Name(_) | AstKind::Member(..)) {
            return Err(no_list());
        }
        let tags = self.term(list)?;
        let tags = self.tags_of(&tags).ok_or_else(no_list)?;
        let typed = typed.known(&Kind::Text);
        if typed.kind.is_text() {
            return Ok(Condition::Tagged(typed.term, tags));
        }
        let message = format!("{} is no text, as tags are", kind::describe(item, &typed.kind));
        Err(Fault::new(item.at, message, "write `'vip' in tags`"))
    }

    fn member_of_list(&self, item: &Ast, mut typed: Typed<'a>, elements: &[Ast]) -> Result<Condition, Fault> {
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            if matches!(element.kind, AstKind::Null) {
                let help = "test it apart: `x == null || x in [...]`";
                return Err(Fault::new(element.at, "`null` is in no list", help));
            }
            let (l, r) = kind::matched((item, typed), (element, self.term(element)?))?;
            typed = l;
            items.push(r.term);
        }
        Ok(Condition::In(typed.term, List::Items(items)))
    }

    fn term(&self, ast: &Ast) -> Result<Typed<'a>, Fault> {
        match &ast.kind {
            AstKind::Null => Err(Fault::new(ast.at, "`null` cannot stand here", "test it with `== null` or `!= null`")),
            AstKind::List(_) => Err(Fault::new(ast.at, "a list cannot stand here", "a list stands after `in`")),
            AstKind::Options(_) => {
                Err(Fault::new(ast.at, "options cannot stand here", "options stand in `did('order.created', {…})`"))
            }
            AstKind::Call { target: None, name, .. } if history::is_one(name) => {
                let message = format!("`{name}` is a condition, not a value");
                Err(Fault::new(ast.at, message, "join it with `&&`, `||` and `!` alone"))
            }
            AstKind::Boolean(value) => Ok(Typed::literal(Datum::Boolean(*value), Kind::Boolean)),
            AstKind::Number(number) => Ok(Typed::literal(Datum::Number(*number), Kind::Number(number.scale))),
            AstKind::Text(text) => Ok(Typed::literal(Datum::Text(text.clone()), Kind::Text)),
            AstKind::Name(name) => self.name(name, ast.at),
            AstKind::Member(of, name) => self.member(of, name, ast.at),
            AstKind::Call { target, name, arguments } => self.call(target.as_deref(), name, arguments, ast.at),
            AstKind::Negate(inner) => self.negate(inner),
            AstKind::Compute(operator, left, right) => self.compute(*operator, left, right),
            AstKind::Not(_) | AstKind::All(_) | AstKind::Any(_) | AstKind::Compare(..) | AstKind::In(..) => {
                let condition = self.condition(ast)?;
                if Reads::of(&condition).asks() {
                    let message = "a condition with `did` or `in_segment` in it is no value";
                    return Err(Fault::new(ast.at, message, "join it with `&&`, `||` and `!` alone"));
                }
                Ok(Typed { term: Term::Condition(Box::new(condition)), kind: Kind::Boolean })
            }
        }
    }

    fn negate(&self, inner: &Ast) -> Result<Typed<'a>, Fault> {
        let typed = self.number(inner)?;
        let term = match typed.term {
            Term::Literal(Datum::Number(number)) => {
                let negated = number.negated().ok_or_else(|| Fault::new(inner.at, "the number is too large", ""))?;
                Term::Literal(Datum::Number(negated))
            }
            term => Term::Negate(Box::new(term)),
        };
        Ok(Typed { term, kind: typed.kind })
    }

    fn compute(&self, operator: Arithmetic, left: &Ast, right: &Ast) -> Result<Typed<'a>, Fault> {
        if let Some(shifted) = self.shift(operator, left, right)? {
            return Ok(shifted);
        }
        let whole = matches!(operator, Arithmetic::Over | Arithmetic::Remainder);
        let operand = if whole { Self::whole } else { Self::number };
        let (l, r) = (operand(self, left)?, operand(self, right)?);
        let scale = operator.scale(l.kind.scale(), r.kind.scale());
        if scale > PRODUCT_SCALE_MAX {
            let message = format!("the product can have {scale} decimals, more than {PRODUCT_SCALE_MAX}");
            return Err(Fault::new(left.at, message, "multiply fewer numbers that have decimals"));
        }
        let term = Term::Compute(operator, Box::new(l.term), Box::new(r.term));
        Ok(Typed { term, kind: Kind::Number(scale) })
    }

    fn number(&self, ast: &Ast) -> Result<Typed<'a>, Fault> {
        let typed = self.term(ast)?.known(&Kind::Number(super::number::SCALE_MAX));
        if matches!(typed.kind, Kind::Number(_)) {
            return Ok(typed);
        }
        let help = match typed.kind {
            Kind::Text | Kind::Choice(_) => "texts cannot be joined in a rule",
            Kind::Date | Kind::Time => "count days with `days_since(field)`, or move an instant by `duration(\"24h\")`",
            _ => "",
        };
        Err(Fault::new(ast.at, format!("{} is no number", kind::describe(ast, &typed.kind)), help))
    }

    fn whole(&self, ast: &Ast) -> Result<Typed<'a>, Fault> {
        let typed = self.term(ast)?;
        let typed = match typed.kind {
            Kind::Unknown => typed.known(&Kind::Number(0)),
            _ => self.number(ast)?,
        };
        if typed.kind.scale() == 0 {
            return Ok(typed);
        }
        let message = format!("{} has decimals: `/` and `%` work on whole numbers", kind::describe(ast, &typed.kind));
        Err(Fault::new(ast.at, message, "multiply the other side instead: `a > 2 * b` for `a / b > 2`"))
    }
}
