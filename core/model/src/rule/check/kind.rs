//! Kinds of terms, and which of them go together.

use super::super::lexer::{Fault, brief};
use super::super::names::suggestion;
use super::super::parser::{Ast, AstKind};
use super::super::tree::{Datum, ParamKind, Term};
use crate::name::Name;
use crate::schema::FieldKind;
use crate::value::nfc;

/// What a term is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'a> {
    Boolean,
    /// A number with that many decimals at most.
    Number(u8),
    Text,
    Choice(&'a [String]),
    Date,
    Time,
    Reference(Name),
    Json,
    Tags,
    /// A parameter whose place has not yet said what it is.
    Unknown,
}

/// A term and what it is.
#[derive(Debug, Clone)]
pub(super) struct Typed<'a> {
    pub(super) term: Term,
    pub(super) kind: Kind<'a>,
}

impl<'a> Kind<'a> {
    pub(super) fn of(kind: &'a FieldKind) -> Self {
        match kind {
            FieldKind::Text => Self::Text,
            FieldKind::Integer => Self::Number(0),
            FieldKind::Decimal { scale } => Self::Number(*scale),
            FieldKind::Boolean => Self::Boolean,
            FieldKind::Date => Self::Date,
            FieldKind::Timestamp => Self::Time,
            FieldKind::Choice { options } => Self::Choice(options),
            FieldKind::Reference { object } => Self::Reference(object.clone()),
            FieldKind::Json => Self::Json,
            FieldKind::Tags => Self::Tags,
        }
    }

    /// How a parameter is read that stands in the place of this kind.
    pub(super) fn param(&self) -> ParamKind {
        match self {
            Self::Boolean => ParamKind::Boolean,
            Self::Number(_) => ParamKind::Number,
            Self::Text | Self::Choice(_) => ParamKind::Text,
            Self::Date => ParamKind::Date,
            Self::Time => ParamKind::Time,
            Self::Reference(_) => ParamKind::Reference,
            Self::Json | Self::Tags | Self::Unknown => ParamKind::Any,
        }
    }

    pub(super) fn scale(&self) -> u8 {
        if let Self::Number(scale) = self { *scale } else { 0 }
    }

    pub(super) fn has_order(&self) -> bool {
        !matches!(self, Self::Boolean | Self::Choice(_) | Self::Json | Self::Tags)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Choice(_))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Boolean => "a boolean".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Choice(_) => "a choice".to_owned(),
            Self::Date => "a date".to_owned(),
            Self::Time => "an instant".to_owned(),
            Self::Reference(object) => format!("a reference to `{object}`"),
            Self::Json => "JSON".to_owned(),
            Self::Tags => "tags".to_owned(),
            Self::Unknown => "a parameter of unknown kind".to_owned(),
        }
    }
}

impl<'a> Typed<'a> {
    pub(super) const fn literal(datum: Datum, kind: Kind<'a>) -> Self {
        Self { term: Term::Literal(datum), kind }
    }

    /// Gives a parameter of unknown kind the kind of its place.
    pub(super) fn known(self, kind: &Kind<'a>) -> Self {
        match self {
            Self { term: Term::Param(name, _), kind: Kind::Unknown } => {
                let read_as = if *kind == Kind::Number(0) { ParamKind::Integer } else { kind.param() };
                Self { term: Term::Param(name, read_as), kind: kind.clone() }
            }
            known => known,
        }
    }
}

/// Names a term in a message: "`amount` (a number)".
pub(super) fn describe(ast: &Ast, kind: &Kind<'_>) -> String {
    match &ast.kind {
        AstKind::Name(name) => format!("`{}` ({})", brief(name), kind.name()),
        AstKind::Member(of, name) => match &of.kind {
            AstKind::Name(base) => format!("`{}.{}` ({})", brief(base), brief(name), kind.name()),
            _ => kind.name(),
        },
        _ => kind.name(),
    }
}

/// A term and where it stands.
type Placed<'n, 'a> = (&'n Ast, Typed<'a>);

/// Checks that two terms can be compared, and gives each the kind that the other asks for.
pub(super) fn matched<'a>(left: Placed<'_, 'a>, right: Placed<'_, 'a>) -> Result<(Typed<'a>, Typed<'a>), Fault> {
    let ((left_ast, left), (right_ast, right)) = (left, right);
    if left.kind == Kind::Unknown && right.kind == Kind::Unknown {
        let help = "compare a parameter with a field or a value";
        return Err(Fault::new(left_ast.at, "nothing says what kind these parameters are", help));
    }
    let (left_kind, right_kind) = (loose(&left.kind), loose(&right.kind));
    let (left, right) = (left.known(&right_kind), right.known(&left_kind));
    let right = adapted(right_ast, right, &left.kind)?;
    let left = adapted(left_ast, left, &right.kind)?;
    if let Some(ast) = [(left_ast, &left), (right_ast, &right)].into_iter().find(|(_, t)| t.kind == Kind::Json) {
        let message = format!("{} cannot be compared", describe(ast.0, &ast.1.kind));
        return Err(Fault::new(ast.0.at, message, "JSON can be tested with `== null` and `!= null` alone"));
    }
    if let Some((ast, _)) = [(left_ast, &left), (right_ast, &right)].into_iter().find(|(_, t)| t.kind == Kind::Tags) {
        return Err(tags_are_no_value(ast));
    }
    let same = match (&left.kind, &right.kind) {
        (Kind::Number(_), Kind::Number(_)) => true,
        (l, r) if l.is_text() && r.is_text() => true,
        (l, r) => l == r,
    };
    if same { Ok((left, right)) } else { Err(mismatch((left_ast, &left.kind), (right_ast, &right.kind))) }
}

/// What is said where tags stand in the place of a value.
pub(super) fn tags_are_no_value(ast: &Ast) -> Fault {
    let message = format!("{} cannot be compared", describe(ast, &Kind::Tags));
    Fault::new(ast.at, message, "write `'vip' in tags`, `size(tags) > 1`, or `tags == null` for none")
}

/// The kind that a parameter gets from its neighbour: beside a whole number it may still have decimals.
fn loose<'a>(kind: &Kind<'a>) -> Kind<'a> {
    match kind {
        Kind::Number(_) => Kind::Number(super::super::number::SCALE_MAX),
        other => other.clone(),
    }
}

/// Reads a text literal as what stands beside it asks for: an option of a choice, the id of a record.
fn adapted<'a>(ast: &Ast, typed: Typed<'a>, beside: &Kind<'a>) -> Result<Typed<'a>, Fault> {
    let Term::Literal(Datum::Text(text)) = &typed.term else { return Ok(typed) };
    match beside {
        Kind::Choice(options) if !options.iter().any(|option| nfc(option) == *text) => {
            let message = format!("`{}` is no option of this choice", brief(text));
            Err(Fault::new(ast.at, message, suggestion(text, options.iter().map(String::as_str))))
        }
        Kind::Reference(object) => {
            let id = text.parse().map_err(|_| {
                let message = format!("`{}` is no id of a record of `{object}`", brief(text));
                Fault::new(ast.at, message, "write its id, or compare one of its fields: `reference.field == …`")
            })?;
            Ok(Typed::literal(Datum::Reference(id), beside.clone()))
        }
        _ => Ok(typed),
    }
}

fn mismatch(left: (&Ast, &Kind<'_>), right: (&Ast, &Kind<'_>)) -> Fault {
    let help = match (left.1, right.1) {
        (Kind::Date, Kind::Text) | (Kind::Text, Kind::Date) => "write a date as date(\"2026-03-01\")",
        (Kind::Time, Kind::Text) | (Kind::Text, Kind::Time) => {
            "write an instant as timestamp(\"2026-03-01T02:00:00Z\")"
        }
        (Kind::Date, Kind::Time) | (Kind::Time, Kind::Date) => "a date has no time of day: compare it with a date",
        (Kind::Number(_), Kind::Text) | (Kind::Text, Kind::Number(_)) => {
            "write numbers without quotes, texts in quotes"
        }
        (Kind::Boolean, _) | (_, Kind::Boolean) => "a boolean is `true` or `false`",
        _ => "",
    };
    let message = format!("cannot compare {} with {}", describe(left.0, left.1), describe(right.0, right.1));
    Fault::new(right.0.at, message, help)
}
