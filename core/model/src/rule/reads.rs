//! What a rule reads: for triggers, for the index of roll-ups, and for the gate that checks rights.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::history::Did;
use super::tree::{Base, Condition, FieldTerm, List, TagsTerm, Term};
use crate::name::Name;
use crate::schema::FieldKind;
use crate::segment::SegmentName;

/// A segment that a rule asks for, and whose membership of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// The segment.
    pub segment: SegmentName,
    /// The object of the record that a reference field refers to; none: the record itself is asked about.
    pub object: Option<Name>,
}

/// A field of another record that a rule reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// How the other record is reached: [`Base::Through`] a reference field, or as the [`Base::Subject`].
    pub base: Base,
    /// Its object.
    pub object: Name,
    /// The field read.
    pub field: Name,
}

/// Everything that a rule reads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) fields: Vec<Name>,
    pub(super) references: Vec<Reference>,
    pub(super) params: Vec<Arc<str>>,
    pub(super) clock: bool,
    pub(super) dids: Vec<Arc<Did>>,
    pub(super) segments: Vec<SegmentName>,
    pub(super) memberships: Vec<Membership>,
}

impl Reads {
    pub(super) fn of(root: &Condition) -> Self {
        let mut collector = Collector::default();
        collector.condition(root);
        collector.done()
    }

    pub(super) fn of_term(term: &Term) -> Self {
        let mut collector = Collector::default();
        collector.term(term);
        collector.done()
    }

    /// Whether it asks of the log or of segments.
    pub(super) fn asks(&self) -> bool {
        !self.dids.is_empty() || !self.segments.is_empty()
    }

    pub(super) fn any_field(&self) -> bool {
        self.asks() || !self.fields.is_empty() || !self.references.is_empty()
    }
}

#[derive(Default)]
struct Collector {
    fields: BTreeSet<Name>,
    references: BTreeSet<Reference>,
    params: BTreeSet<Arc<str>>,
    clock: bool,
    dids: Vec<Arc<Did>>,
    memberships: BTreeSet<Membership>,
}

impl Collector {
    fn done(self) -> Reads {
        let mut segments: Vec<SegmentName> = self.memberships.iter().map(|asked| asked.segment.clone()).collect();
        segments.dedup();
        Reads {
            fields: self.fields.into_iter().collect(),
            references: self.references.into_iter().collect(),
            params: self.params.into_iter().collect(),
            clock: self.clock,
            dids: self.dids,
            segments,
            memberships: self.memberships.into_iter().collect(),
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| self.condition(part)),
            Condition::Not(inner) => self.condition(inner),
            Condition::Holds(term) | Condition::IsNull(term) => self.term(term),
            Condition::Compare(_, left, right) | Condition::Text(_, left, right) => {
                self.term(left);
                self.term(right);
            }
            Condition::Tagged(term, tags) => {
                self.term(term);
                self.field(&tags.field);
            }
            Condition::Did(did) => {
                self.clock |= did.within.is_some();
                if !self.dids.contains(did) {
                    self.dids.push(did.clone());
                }
            }
            Condition::InSegment(segment, of) => self.membership(segment, of.as_ref()),
            Condition::In(term, list) => {
                self.term(term);
                match list {
                    List::Items(items) => items.iter().for_each(|item| self.term(item)),
                    List::Param(name, _) => _ = self.params.insert(name.clone()),
                }
            }
        }
    }

    /// Asking of what a field refers to reads the field, and of the other record who it is.
    fn membership(&mut self, segment: &SegmentName, of: Option<&FieldTerm>) {
        let object = of.and_then(|of| match &of.kind {
            FieldKind::Reference { object } => Some(object.clone()),
            _ => None,
        });
        if let (Some(of), Some(object)) = (of, &object) {
            let (base, field) = (Base::Through(of.name.clone()), Name::new("id").expect("two letters"));
            self.field(of);
            self.references.insert(Reference { base, object: object.clone(), field });
        }
        self.memberships.insert(Membership { segment: segment.clone(), object });
    }

    fn term(&mut self, term: &Term) {
        match term {
            Term::Literal(_) => {}
            Term::Field(field) | Term::TagCount(TagsTerm { field, .. }) => self.field(field),
            Term::Param(name, _) => _ = self.params.insert(name.clone()),
            Term::Now => self.clock = true,
            Term::Condition(condition) => self.condition(condition),
            Term::Compute(_, left, right) => {
                self.term(left);
                self.term(right);
            }
            Term::DaysSince(inner) => {
                self.clock = true;
                self.term(inner);
            }
            Term::Negate(inner) | Term::Shift(inner, _) | Term::Lower(inner) | Term::Size(inner) => self.term(inner),
        }
    }

    fn field(&mut self, field: &FieldTerm) {
        if let Some(object) = &field.object {
            let reference = Reference { base: field.base.clone(), object: object.clone(), field: field.name.clone() };
            self.references.insert(reference);
        }
        match &field.base {
            Base::Own | Base::Before | Base::After => _ = self.fields.insert(field.name.clone()),
            Base::Through(via) => _ = self.fields.insert(via.clone()),
            Base::Subject => {}
        }
    }
}
