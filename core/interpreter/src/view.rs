//! What `run(event)` is given: views that turn a field into a Rhai value when it is asked for, and not before.
//!
//! An event carries some thirty fields and a script reads three: that is what makes a call cheap.

use std::rc::Rc;

use rhai::{Dynamic, EvalAltResult, Position};

use crate::bindings::rapport::plugin::trigger::Event;
use crate::bindings::rapport::plugin::types::{Field, RecordData};
use crate::nearest::nearest;
use crate::time::Instant;
use crate::values::{Reference, to_dynamic};

/// The result of a function that Rhai calls.
pub(crate) type Answer<T> = Result<T, Box<EvalAltResult>>;

/// A record.
#[derive(Debug, Clone)]
pub(crate) struct RecordView(pub(crate) Rc<RecordData>);

/// The event that a script runs for.
#[derive(Debug, Clone)]
pub(crate) struct EventView(Rc<EventData>);

#[derive(Debug)]
struct EventData {
    event: Event,
    record: Option<RecordView>,
}

/// One of the lists of fields of an event.
#[derive(Debug, Clone)]
pub(crate) struct FieldsView {
    event: Rc<EventData>,
    part: Part,
}

/// Which list of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What a declared event says.
    Data,
    /// Before a change.
    Before,
    /// After a change.
    After,
    /// By how much numbers were incremented.
    Delta,
}

impl RecordView {
    /// The reference to this record.
    pub(crate) fn reference(&self) -> Reference {
        Reference { object: self.0.object.clone(), id: self.0.id.clone() }
    }

    /// The property `name`.
    ///
    /// # Errors
    /// A Rhai error that names the nearest field, if there is none called `name`.
    pub(crate) fn property(&self, name: &str) -> Answer<Dynamic> {
        if let Some(field) = find(&self.0.fields, name) {
            return convert(field);
        }
        match name {
            "id" => Ok(Dynamic::from(self.reference())),
            "object" => Ok(self.0.object.as_str().into()),
            "version" => Ok(Dynamic::from_int(i64::try_from(self.0.version).unwrap_or(i64::MAX))),
            "created_at" => Ok(Dynamic::from(Instant(self.0.created_at))),
            "updated_at" => Ok(Dynamic::from(Instant(self.0.updated_at))),
            _ => {
                let system = ["id", "object", "version", "created_at", "updated_at"];
                let known = self.0.fields.iter().map(|f| f.name.as_str()).chain(system);
                Err(unknown_field(&format!("`{}` has no field `{name}`", self.0.object), name, known))
            }
        }
    }
}

impl EventView {
    /// The view of `event`.
    pub(crate) fn new(mut event: Event) -> Self {
        let record = event.record.take().map(|r| RecordView(Rc::new(r)));
        Self(Rc::new(EventData { event, record }))
    }

    /// The event itself; its record has moved to [`EventView::record`].
    pub(crate) fn event(&self) -> &Event {
        &self.0.event
    }

    /// The list of fields `part`.
    pub(crate) fn part(&self, part: Part) -> FieldsView {
        FieldsView { event: Rc::clone(&self.0), part }
    }

    /// The subject as a reference; unit if the event has none.
    pub(crate) fn subject(&self) -> Dynamic {
        let subject = &self.0.event.subject;
        if subject.is_empty() { Dynamic::UNIT } else { Dynamic::from(Reference::parse(subject)) }
    }

    /// The subject's record; unit if there is none.
    pub(crate) fn record(&self) -> Dynamic {
        self.0.record.clone().map_or(Dynamic::UNIT, Dynamic::from)
    }
}

impl FieldsView {
    fn fields(&self) -> &[Field] {
        let event = &self.event.event;
        match self.part {
            Part::Data => &event.data,
            Part::Before => &event.before,
            Part::After => &event.after,
            Part::Delta => &event.delta,
        }
    }

    /// The property `name`. In a change, a field of the record that did not change is unit.
    ///
    /// # Errors
    /// A Rhai error that names the nearest field, if neither the event nor its record has one called `name`.
    pub(crate) fn property(&self, name: &str) -> Answer<Dynamic> {
        if let Some(field) = find(self.fields(), name) {
            return convert(field);
        }
        let record = self.event.record.as_ref().filter(|_| self.part != Part::Data);
        if record.is_some_and(|r| find(&r.0.fields, name).is_some()) {
            return Ok(Dynamic::UNIT);
        }
        let of_record = record.into_iter().flat_map(|r| &r.0.fields);
        let known = self.fields().iter().chain(of_record).map(|f| f.name.as_str());
        Err(unknown_field(&format!("the event `{}` has no field `{name}`", self.event.event.kind), name, known))
    }

    /// Whether a field is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        find(self.fields(), name).is_some()
    }

    /// The names of the fields.
    pub(crate) fn keys(&self) -> rhai::Array {
        self.fields().iter().map(|f| f.name.as_str().into()).collect()
    }
}

fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|f| f.name == name)
}

fn convert(field: &Field) -> Answer<Dynamic> {
    to_dynamic(&field.value).map_err(|why| format!("field `{}`: {why}", field.name).into())
}

fn unknown_field<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Box<EvalAltResult> {
    let help = nearest(name, known).map_or_else(String::new, |n| format!(": did you mean `{n}`?"));
    Box::new(EvalAltResult::ErrorRuntime(format!("{what}{help}").into(), Position::NONE))
}
