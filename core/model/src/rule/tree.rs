//! The typed tree of a rule, which both the evaluation in memory and the SQL compiler walk.
//!
//! What it means is written in [`crate::rule`]; what stands here is only its shape. A tree is at most
//! [`RULE_DEPTH_MAX`](crate::limits::RULE_DEPTH_MAX) deep for each of conditions and terms, so that walking it may recurse.

use std::sync::Arc;

use jiff::civil::Date;

use super::history::Did;
use super::number::{Arithmetic, Number};
use crate::id::RecordId;
use crate::name::Name;
use crate::schema::FieldKind;
use crate::segment::SegmentName;

/// Something that is true or false, never null.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// True if all of them are.
    All(Vec<Condition>),
    /// True if one of them is.
    Any(Vec<Condition>),
    /// True if it is not.
    Not(Box<Condition>),
    /// A boolean term that is true; false if it is null.
    Holds(Term),
    /// Compares two terms of one kind.
    Compare(Comparison, Term, Term),
    /// The term is null.
    IsNull(Term),
    /// The term is not null and equals one of the list.
    In(Term, List),
    /// A test of a text and a part of it; false if either is null.
    Text(TextTest, Term, Term),
    /// The text is among the tags; false if it is null.
    Tagged(Term, TagsTerm),
    /// The record's history holds enough events.
    Did(Arc<Did>),
    /// The record belongs to the segment; or the one that its reference field refers to, false if there is none.
    InSegment(SegmentName, Option<FieldTerm>),
}

/// An operator of comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`: two nulls are equal, null and a value are not
    Equal,
    /// `!=`: the opposite of `==`
    NotEqual,
    /// `<`: false with null, as all that follow
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// The sign that an author writes.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The operator that says the same with its sides exchanged.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// Whether it asks for an order, not only for equality.
    #[must_use]
    pub const fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// A test of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    /// `.contains(part)`
    Contains,
    /// `.startsWith(part)`
    StartsWith,
    /// `.endsWith(part)`
    EndsWith,
}

impl TextTest {
    /// The name of the function.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
        }
    }
}

/// Something that has a value, or null.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// A value written in the rule.
    Literal(Datum),
    /// A field.
    Field(FieldTerm),
    /// A parameter, read as the kind that its place asks for.
    Param(Arc<str>, ParamKind),
    /// The present instant.
    Now,
    /// A condition as a boolean value.
    Condition(Box<Condition>),
    /// Computes with two numbers; null if one of them is, on overflow and on division by zero.
    Compute(Arithmetic, Box<Term>, Box<Term>),
    /// A number with its sign turned.
    Negate(Box<Term>),
    /// An instant moved by that many microseconds, within ±4000 years.
    Shift(Box<Term>, i64),
    /// A text with A–Z made a–z.
    Lower(Box<Term>),
    /// How many characters (Unicode scalar values) a text has.
    Size(Box<Term>),
    /// Full periods of 24 hours from an instant, or from the midnight (UTC) that begins a date, until now; rounded down.
    DaysSince(Box<Term>),
    /// How many tags there are; 0 if there is no record.
    TagCount(TagsTerm),
}

impl Term {
    /// The same expression over the record that `base` means, whose object is `outside` if it is another record.
    pub(super) fn of(&self, base: &Base, outside: Option<&Name>) -> Self {
        let inner = |term: &Self| Box::new(term.of(base, outside));
        match self {
            Self::Field(field) if field.base == Base::Own => {
                Self::Field(FieldTerm { base: base.clone(), object: outside.cloned(), ..field.clone() })
            }
            Self::TagCount(tags) => Self::TagCount(tags.of(base, outside)),
            Self::Literal(_) | Self::Field(_) | Self::Param(..) | Self::Now => self.clone(),
            Self::Condition(condition) => Self::Condition(Box::new(condition.of(base, outside))),
            Self::Compute(operator, left, right) => Self::Compute(*operator, inner(left), inner(right)),
            Self::Negate(term) => Self::Negate(inner(term)),
            Self::Shift(term, micros) => Self::Shift(inner(term), *micros),
            Self::Lower(term) => Self::Lower(inner(term)),
            Self::Size(term) => Self::Size(inner(term)),
            Self::DaysSince(term) => Self::DaysSince(inner(term)),
        }
    }

    /// The terms right below this one, and the conditions.
    fn parts(&self) -> (Vec<&Self>, Option<&Condition>) {
        match self {
            Self::Literal(_) | Self::Field(_) | Self::Param(..) | Self::Now | Self::TagCount(_) => (Vec::new(), None),
            Self::Condition(condition) => (Vec::new(), Some(condition)),
            Self::Compute(_, left, right) => (vec![left, right], None),
            Self::Negate(term)
            | Self::Shift(term, _)
            | Self::Lower(term)
            | Self::Size(term)
            | Self::DaysSince(term) => (vec![term], None),
        }
    }

    /// How many parts it has, and how deep they are nested.
    #[must_use]
    pub fn extent(&self) -> (usize, usize) {
        let (terms, condition) = self.parts();
        let below = terms.into_iter().map(Self::extent).chain(condition.map(Condition::extent));
        let (nodes, depth) = below.fold((0, 0), |(nodes, depth), (n, d)| (nodes + n, depth.max(d)));
        (nodes + 1, depth + 1)
    }

    /// The first field of another record that it reads, as an author writes it.
    #[must_use]
    pub fn first_reference(&self) -> Option<String> {
        if let Self::Field(field) | Self::TagCount(TagsTerm { field, .. }) = self
            && let Some(reference) = field.reference()
        {
            return Some(reference);
        }
        let (terms, condition) = self.parts();
        terms.into_iter().find_map(Self::first_reference).or_else(|| condition?.first_reference())
    }
}

impl FieldTerm {
    /// The field as an author writes it, if it is one of another record.
    fn reference(&self) -> Option<String> {
        match &self.base {
            Base::Through(via) => Some(format!("{via}.{}", self.name)),
            _ => None,
        }
    }
}

impl TagsTerm {
    /// The same tags of the record that `base` means.
    fn of(&self, base: &Base, outside: Option<&Name>) -> Self {
        if self.field.base != Base::Own {
            return self.clone();
        }
        let field = FieldTerm { base: base.clone(), object: outside.cloned(), ..self.field.clone() };
        Self { object: self.object.clone(), field }
    }
}

impl Condition {
    fn of(&self, base: &Base, outside: Option<&Name>) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.of(base, outside)).collect();
        let term = |term: &Term| term.of(base, outside);
        match self {
            Self::All(parts) => Self::All(all(parts)),
            Self::Any(parts) => Self::Any(all(parts)),
            Self::Not(inner) => Self::Not(Box::new(inner.of(base, outside))),
            Self::Holds(inner) => Self::Holds(term(inner)),
            Self::Compare(comparison, left, right) => Self::Compare(*comparison, term(left), term(right)),
            Self::IsNull(inner) => Self::IsNull(term(inner)),
            Self::In(item, List::Items(items)) => Self::In(term(item), List::Items(items.iter().map(term).collect())),
            Self::In(item, list) => Self::In(term(item), list.clone()),
            Self::Text(test, whole, part) => Self::Text(*test, term(whole), term(part)),
            Self::Tagged(tag, tags) => Self::Tagged(term(tag), tags.of(base, outside)),
            // Expressions do not reach so far.
            Self::Did(_) | Self::InSegment(..) => self.clone(),
        }
    }

    /// The conditions and the terms right below this one.
    fn parts(&self) -> (Vec<&Self>, Vec<&Term>) {
        match self {
            Self::All(parts) | Self::Any(parts) => (parts.iter().collect(), Vec::new()),
            Self::Not(inner) => (vec![inner], Vec::new()),
            Self::Holds(term) | Self::IsNull(term) => (Vec::new(), vec![term]),
            Self::Compare(_, left, right) | Self::Text(_, left, right) => (Vec::new(), vec![left, right]),
            Self::In(item, List::Items(items)) => (Vec::new(), std::iter::once(item).chain(items).collect()),
            Self::In(item, List::Param(..)) | Self::Tagged(item, _) => (Vec::new(), vec![item]),
            Self::Did(_) | Self::InSegment(..) => (Vec::new(), Vec::new()),
        }
    }

    fn extent(&self) -> (usize, usize) {
        let (conditions, terms) = self.parts();
        let below = conditions.into_iter().map(Self::extent).chain(terms.into_iter().map(Term::extent));
        let (nodes, depth) = below.fold((0, 0), |(nodes, depth), (n, d)| (nodes + n, depth.max(d)));
        (nodes + 1, depth + 1)
    }

    fn first_reference(&self) -> Option<String> {
        if let Self::Tagged(_, tags) = self
            && let Some(reference) = tags.field.reference()
        {
            return Some(reference);
        }
        let (conditions, terms) = self.parts();
        conditions
            .into_iter()
            .find_map(Self::first_reference)
            .or_else(|| terms.into_iter().find_map(Term::first_reference))
    }
}

impl Term {
    /// The field below the term, and by how many microseconds it is moved; none if it is something else.
    #[must_use]
    pub fn moved_field(&self) -> Option<(&FieldTerm, i64)> {
        match self {
            Self::Field(field) => Some((field, 0)),
            Self::Shift(inner, micros) => match &**inner {
                Self::Field(field) => Some((field, *micros)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The right side of `in`.
#[derive(Debug, Clone, PartialEq)]
pub enum List {
    /// Written in the rule.
    Items(Vec<Term>),
    /// A parameter that holds a JSON array, each element read as that kind.
    Param(Arc<str>, ParamKind),
}

/// A field that a rule reads.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldTerm {
    /// Whose field it is.
    pub base: Base,
    /// The object of that record, if it is another record (subject or referenced).
    pub object: Option<Name>,
    /// Its name; may be a system field (`id`, `version`, `created_at`, `updated_at`).
    pub name: Name,
    /// What it holds.
    pub kind: FieldKind,
}

/// The tags of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct TagsTerm {
    /// The object of that record.
    pub object: Name,
    /// The field of tags.
    pub field: FieldTerm,
}

/// Whose field is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// Of the record, or of the event's data.
    Own,
    /// Of the record as it was before the change.
    Before,
    /// Of the record as it was after the change.
    After,
    /// Of the record that the event is about.
    Subject,
    /// Of the record that the own field of this name refers to.
    Through(Name),
}

/// What a parameter is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A date, or a text that reads as one.
    Date,
    /// An instant, or a text that reads as one.
    Time,
    /// The id of a record, or a text that reads as one.
    Reference,
    /// Anything: only whether it is null counts.
    Any,
}

impl ParamKind {
    /// How an error names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number with 6 decimals at most",
            Self::Text => "a text",
            Self::Date => "a date such as 2026-03-01",
            Self::Time => "an instant such as 2026-03-01T02:00:00Z",
            Self::Reference => "the id of a record",
            Self::Any => "a value",
        }
    }
}

/// A value while a rule is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// Nothing.
    Null,
    /// True or false.
    Boolean(bool),
    /// An exact number.
    Number(Number),
    /// A text in NFC.
    Text(Arc<str>),
    /// A day.
    Date(Date),
    /// Microseconds since 1970; unlike a [`Timestamp`](crate::time::Timestamp) it may lie beyond year 9999.
    Time(i64),
    /// The id of a record.
    Reference(RecordId),
    /// Some JSON, of which only its presence counts.
    Json,
}
