//! Reads the recorded log once: what came from outside between two positions, what automations made of it, and what it
//! takes to bring the records back to how they were before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rapport_model::event::{Body, Fields, RecordChange};
use rapport_model::run::{ENDED, INVOKED};
use rapport_model::schedule::DUE;
use rapport_model::schema::Origin;
use rapport_model::standard::KV_OBJECT;
use rapport_model::{
    Actor, AutomationId, Digest, Event, EventType, Name, RecordId, RunId, Schema, Timestamp, Value, file,
};
use rapport_store::{EventQuery, Snapshot, Stamp};

use super::Progress;
use crate::error::EngineError;
use crate::replay::{Deeds, Key, Recorded, count, is_question};

/// Events read in one go.
pub(crate) const PAGE: u32 = 1_000;

/// What a change of a record did to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Created,
    Updated,
    Deleted,
}

/// What `event` did to its record, if it is the change of one.
pub(crate) fn change_of(event: &Event) -> Option<(ChangeKind, &RecordChange)> {
    let change = event.change()?;
    let kind = match event.kind.as_str().rsplit('.').next() {
        Some("created") => ChangeKind::Created,
        Some("deleted") => ChangeKind::Deleted,
        _ => ChangeKind::Updated,
    };
    Some((kind, change))
}

/// How a record was before the stretch of the log that is played again.
#[derive(Debug)]
pub(crate) enum Before {
    /// It was not there.
    Absent,
    /// It was there; these fields had these values. `updates` changes have come since, and perhaps its end.
    Present { fields: HashMap<Name, Value>, updates: i64, deleted: bool },
}

/// How a record stood after the stretch, as far as it was changed.
#[derive(Debug, Default, Clone)]
pub(crate) struct After {
    pub(crate) fields: HashMap<Name, Value>,
    /// Fields that automations wrote.
    pub(crate) written: HashSet<Name>,
    /// Whether it is there; none: as before.
    pub(crate) exists: Option<bool>,
}

/// The stretch of the log that is played again, and what it takes.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) runs: HashMap<RunId, Recorded>,
    pub(crate) before: HashMap<Key, Before>,
    pub(crate) after: HashMap<Key, After>,
    pub(crate) deeds: HashMap<AutomationId, Deeds>,
    /// The objects that events of declared types were about.
    pub(crate) subjects: HashMap<EventType, HashSet<Name>>,
    /// The questions that runs asked: by which run, and as which of it.
    pub(crate) questions: HashMap<RecordId, (RunId, usize)>,
    /// How many questions runs asked.
    pub(crate) asked: HashMap<RunId, usize>,
    /// The position at which the log ended.
    pub(crate) head: i64,
    pub(crate) bounds: Bounds,
    /// From when on instants of schedules count: the period's beginning, or the first fact of which the log tells.
    pub(crate) begin: Timestamp,
    /// When the last fact happened.
    latest: Timestamp,
    /// Positions after `last` that belong to what the stretch set off.
    tail: HashSet<i64>,
}

/// Where what runs that wait did ends to count.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The automations whose runs may wait.
    pub(crate) waiting: HashSet<AutomationId>,
    /// The end.
    pub(crate) until: Timestamp,
    /// From when on facts count, if the log tells what was before.
    pub(crate) since: Option<Timestamp>,
    /// Before when facts count.
    pub(crate) end: Timestamp,
    /// The versions that were live when the stretch began.
    pub(crate) then: BTreeMap<AutomationId, Digest>,
    /// Only what was true after this is taken back; none: all of the stretch.
    pub(crate) later_than: Option<Timestamp>,
}

impl Bounds {
    /// None: all that was true after `later_than` is taken back, or all of the stretch.
    pub(crate) fn open(later_than: Option<Timestamp>) -> Self {
        let never = Timestamp::from_micros(i64::MAX);
        Self { waiting: HashSet::new(), until: never, since: None, end: never, then: BTreeMap::new(), later_than }
    }

    fn is_beyond(&self, event: &Event) -> bool {
        let Actor::Automation(automation) = &event.actor else { return false };
        event.time > self.until && self.waiting.contains(automation)
    }
}

/// Where an event of the stretch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// From outside, or from a run that an earlier event had started: it is given.
    Given,
    /// From a run that the stretch itself started.
    Caused,
    /// The core says it of the registry or of automations, or it is about the host's own objects.
    Core,
}

impl Recording {
    /// Reads the log from `first` to the end of the snapshot.
    pub(crate) async fn read(
        snapshot: &mut Snapshot,
        (first, last): (i64, i64),
        (bounds, progress): (Bounds, &Progress),
    ) -> Result<Self, EngineError> {
        let mut recording = Self {
            first,
            last,
            runs: HashMap::new(),
            before: HashMap::new(),
            after: HashMap::new(),
            deeds: HashMap::new(),
            subjects: HashMap::new(),
            questions: HashMap::new(),
            asked: HashMap::new(),
            head: snapshot.head(),
            begin: bounds.since.unwrap_or(Timestamp::EPOCH),
            bounds,
            latest: Timestamp::EPOCH,
            tail: HashSet::new(),
        };
        let schema = snapshot.schema().clone();
        let mut query = EventQuery { after: Some(first - 1), limit: PAGE, ..EventQuery::default() };
        loop {
            let page = snapshot.events(&query).await?;
            for event in &page {
                recording.note(&schema, event);
            }
            query.after = page.last().map(|event| event.position).or(query.after);
            progress.go_on()?;
            if page.len() < PAGE as usize {
                return Ok(recording);
            }
        }
    }

    /// Where `event` comes from.
    pub(crate) fn source(&self, schema: &Schema, event: &Event) -> Source {
        if !is_of_business(schema, event) {
            return Source::Core;
        }
        let ours = |cause: i64| (self.first..=self.last).contains(&cause) || self.tail.contains(&cause);
        let automatic = event.run.is_some() && matches!(event.actor, Actor::Automation(_));
        if automatic && event.cause.is_some_and(ours) { Source::Caused } else { Source::Given }
    }

    /// Up to when instants of schedules count: the last one before the end of the period of which the log can tell.
    pub(crate) fn last_instant(&self) -> Timestamp {
        self.latest.min(self.bounds.end.plus_micros(-1))
    }

    fn note(&mut self, schema: &Schema, event: &Event) {
        let source = self.source(schema, event);
        if source == Source::Core || self.bounds.later_than.is_some_and(|time| event.time <= time) {
            return;
        }
        if event.position == self.first && self.bounds.since.is_none() {
            self.begin = event.time;
        }
        self.latest = self.latest.max(event.time);
        self.take_back(event);
        let inside = event.position <= self.last;
        match source {
            // What runs did that waited beyond the end, and what came of it, is of another period.
            Source::Caused if !inside && self.bounds.is_beyond(event) => {}
            Source::Caused => {
                if !inside {
                    self.tail.insert(event.position);
                }
                self.note_caused(event);
                self.note_after(event, source);
            }
            _ if inside => {
                if let (Some(Body::Data(_)), Some(subject)) = (&event.body, &event.subject) {
                    self.subjects.entry(event.kind.clone()).or_default().insert(subject.object.clone());
                }
                self.note_after(event, source);
            }
            _ => {}
        }
    }

    fn note_caused(&mut self, event: &Event) {
        let Some(run) = event.run else { return };
        let new = || Recorded { lane: event.lane, slices: Vec::new() };
        let stamp = Stamp { position: event.position, recorded_at: event.recorded_at };
        self.runs.entry(run).or_insert_with(new).note(event.time, stamp);
        if let Some(subject) = event.subject.as_ref().filter(|_| is_question(event)) {
            let asked = self.asked.entry(run).or_default();
            self.questions.insert(subject.id, (run, *asked));
            *asked += 1;
        }
        if let Actor::Automation(automation) = &event.actor {
            count(self.deeds.entry(automation.clone()).or_default(), event);
        }
    }

    /// Notes what it takes to have the record as it was before `event`, unless an earlier event has said so.
    fn take_back(&mut self, event: &Event) {
        let (Some(subject), Some((kind, change))) = (&event.subject, change_of(event)) else { return };
        let key = (subject.object.clone(), subject.id);
        let fresh = || match kind {
            ChangeKind::Created => Before::Absent,
            _ => Before::Present { fields: HashMap::new(), updates: 0, deleted: false },
        };
        let entry = self.before.entry(key).or_insert_with(fresh);
        let Before::Present { fields, updates, deleted } = entry else { return };
        if *deleted {
            return;
        }
        for (name, value) in &change.before {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
        match kind {
            ChangeKind::Deleted => *deleted = true,
            _ => *updates += 1,
        }
    }

    /// Notes how the record stood after `event`.
    fn note_after(&mut self, event: &Event, source: Source) {
        let automatic = source == Source::Caused;
        let (Some(subject), Some((kind, change))) = (&event.subject, change_of(event)) else { return };
        let key = (subject.object.clone(), subject.id);
        // What a given creation says is the same in the replay; only who changes it later is worth remembering.
        if !automatic && kind == ChangeKind::Created {
            return;
        }
        let after = self.after.entry(key).or_default();
        match kind {
            ChangeKind::Created => after.exists = Some(true),
            ChangeKind::Deleted => after.exists = Some(false),
            ChangeKind::Updated => {}
        }
        for (name, value) in &change.after {
            let known = after.fields.get(name);
            let delta = field(&change.delta, name);
            // An increment counts by its delta: behind the end of the stretch others may have written in between.
            let sum = known.zip(delta).and_then(|(known, delta)| known.plus(delta));
            after.fields.insert(name.clone(), sum.unwrap_or_else(|| value.clone()));
            if automatic {
                after.written.insert(name.clone());
            }
        }
    }
}

fn field<'a>(fields: &'a Fields, name: &Name) -> Option<&'a Value> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Whether the core says with events of this type what has happened: an instant of a schedule has come, a run was started by name, or
/// one that was has ended.
fn is_fact(event: &Event) -> bool {
    match event.kind.as_str() {
        DUE | INVOKED => true,
        // That an operator has cancelled a run is no fact of the business.
        ENDED => event.run.is_some(),
        _ => false,
    }
}

/// Whether an event is about what the business has, and not about the host's own objects, the registry or automations.
pub(crate) fn is_of_business(schema: &Schema, event: &Event) -> bool {
    match &event.subject {
        // What plugins keep for themselves, and files, decide what they do, as records do.
        Some(subject) if matches!(subject.object.as_str(), KV_OBJECT | file::OBJECT) => true,
        Some(subject) => schema.object(subject.object.as_str()).is_some_and(|o| o.origin != Origin::System),
        None => is_fact(event) || schema.event_type(event.kind.as_str()).is_some(),
    }
}

/// The events of the stretch in their order, page by page.
pub(crate) async fn page(store: &rapport_store::Store, after: i64, last: i64) -> Result<Vec<Arc<Event>>, EngineError> {
    let query = EventQuery { after: Some(after), before: Some(last + 1), limit: PAGE, ..EventQuery::default() };
    Ok(store.events(&query).await?)
}

/// A record's id and object.
pub(crate) fn key(object: &Name, id: RecordId) -> Key {
    (object.clone(), id)
}
