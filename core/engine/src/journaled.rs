//! The host of a run that may wait: it answers from the journal what the run has asked before, and writes down what it
//! asks now.
//!
//! A call that differs from its journal ends the slice before it has any effect. A call that waits ends it too: the slice is
//! committed, and the call is answered when the run has been woken.

mod action;
mod any;
mod data;
mod host;
pub(crate) mod invoke;
mod outbound;
mod script;
mod waiting;

use std::sync::Arc;

use rapport_model::{Event, Timestamp, Value};
use rapport_sandbox::{GuestEvent, HostError, RecordData};
use rapport_store::WaitFor;
use serde_json::{Value as Json, json};

use crate::journal::{self, Journal, digest};
use crate::slice::SliceHost;

/// The code with which a slice ends that waits.
pub(crate) const WAITING: &str = "waiting";
/// The code with which a slice ends whose calls differ from its journal.
pub(crate) const DIFFERS: &str = "replay_differs";
/// How much of a call's arguments a journal shows, in characters: enough to know the call again.
const ABOUT_CHARS: usize = 80;
/// The code with which a rehearsal ends that has come to the end of its journal.
const REHEARSED: &str = "rehearsed";

type Answer<T> = Result<T, HostError>;

/// What woke a run.
#[derive(Debug, Clone)]
pub(crate) enum Woken {
    /// Nothing: it runs for the first time.
    First,
    /// Its time had come.
    Time,
    /// An event, with its record as it is now.
    Event(Arc<Event>, Option<RecordData>),
}

/// What a run waits for after this slice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suspension {
    /// When it is woken at the latest.
    pub(crate) wake_at: Option<Timestamp>,
    /// The events of which the first wakes it.
    pub(crate) waits: Vec<WaitFor>,
}

/// Whether a run only shows that its calls are those of its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Rehearsal {
    /// It works.
    #[default]
    No,
    /// It ends where its journal ends, before it does anything.
    Begun,
    /// Its journal is all that it called: one call more differs.
    Whole,
    /// It has come to the end of its journal.
    Passed,
}

/// The host of one slice of a run that may wait.
#[derive(Debug)]
pub(crate) struct JournaledHost {
    pub(crate) inner: SliceHost,
    journal: Journal,
    fresh: Vec<Json>,
    /// How many entries there were when this slice began.
    known: usize,
    /// Which slice is answered from the journal at present, from 1.
    played: u32,
    woken: Woken,
    /// Which of the events that the run waited for woke it, from 0.
    pub(crate) woken_index: Option<i64>,
    /// The events that woke the run in earlier slices.
    events: Vec<Arc<Event>>,
    /// The time of the slice that is answered from the journal at present.
    time: Timestamp,
    /// The head of the log when this slice began.
    head: i64,
    /// The record that the run's own event is about, by which waits without a rule go.
    subject: Option<Value>,
    /// The customer that it is about, for questions.
    customer: Option<Value>,
    pub(crate) suspension: Option<Suspension>,
    pub(crate) differs: Option<String>,
    pub(crate) rehearsal: Rehearsal,
    /// The call with which a rehearsal went on beyond its journal.
    pub(crate) beyond: Option<String>,
    /// How much of a call's arguments is written down beside their digest, in characters.
    pub(crate) about_chars: usize,
}

/// How a call is answered.
enum Step {
    /// From the journal.
    Known(Json),
    /// It waited, and has been woken.
    Woken(Json),
    /// By doing it.
    Live,
}

impl JournaledHost {
    /// The host of a slice that goes on where `journal` ends. `events` are those that the journal names.
    pub(crate) fn new(inner: SliceHost, journal: Journal, woken: Woken, events: Vec<Arc<Event>>) -> Self {
        let head = inner.store.head();
        let time = inner.time;
        // One that was cut begins a new slice in the midst of an old one.
        let begins = journal.is_empty() || journal.waiting().is_none();
        let fresh = if begins { vec![json!({ "t": time.micros() })] } else { Vec::new() };
        let mut host = Self {
            inner,
            known: journal.len(),
            played: 0,
            journal,
            fresh,
            woken,
            woken_index: None,
            events,
            time,
            head,
            subject: None,
            customer: None,
            suspension: None,
            differs: None,
            rehearsal: Rehearsal::No,
            beyond: None,
            about_chars: ABOUT_CHARS,
        };
        host.enter_slice();
        host
    }

    /// Whether all that the journal holds has been answered.
    pub(crate) fn is_played(&self) -> bool {
        self.journal.is_empty()
    }

    /// The record that the run's event was about, as its first slice saw it. Noted in the journal, since it must not change.
    pub(crate) fn first_record(&mut self, event: &Event, now: Option<RecordData>) -> Option<RecordData> {
        self.subject = event.subject.as_ref().map(|subject| Value::Ref(subject.id));
        let record = if self.journal.is_empty() {
            self.fresh.push(json!({ "record": now.as_deref().map(journal::record_json) }));
            now
        } else {
            let first = self.journal.pop().unwrap_or_default();
            self.enter_slice();
            journal::read_record(&first["record"], &self.inner.schema)
        };
        self.customer = record.as_deref().and_then(|record| match record.object.name.as_str() {
            "customer" => Some(Value::Ref(record.id)),
            _ => Some(record.get("customer")).filter(|value| matches!(value, Value::Ref(_))).cloned(),
        });
        record
    }

    /// What this slice wrote down, as JSON text.
    pub(crate) fn entries(&self) -> String {
        Json::Array(self.fresh.clone()).to_string()
    }

    /// How many entries and bytes the journal has with what this slice wrote down.
    pub(crate) fn size(&self, before: (usize, usize)) -> (usize, usize) {
        let fresh: usize = self.fresh.iter().map(|entry| entry.to_string().len() + 1).sum();
        (before.0 + self.fresh.len(), before.1 + fresh)
    }

    fn enter_slice(&mut self) {
        // Several, if the journal was cut right after a slice began.
        let mut enters = false;
        while let Some(time) = self.journal.pop_time() {
            self.time = time;
            enters = true;
        }
        self.played += u32::from(enters);
    }

    fn differs(&mut self, message: String) -> HostError {
        self.differs.get_or_insert_with(|| message.clone());
        ends(DIFFERS, message)
    }

    /// How the call `name` with these arguments is answered.
    fn step(&mut self, name: &str, arguments: &str) -> Answer<Step> {
        if let Some(message) = self.differs.clone() {
            return Err(ends(DIFFERS, message));
        }
        if self.journal.is_empty() {
            self.rehearsed(name, arguments)?;
            self.time = self.inner.time;
            return Ok(Step::Live);
        }
        let mut entry = self.journal.pop().unwrap_or_default();
        let (known, with) = (entry["c"].as_str().unwrap_or("nothing"), entry["a"].as_str().unwrap_or_default());
        if known != name || with != digest(arguments) {
            let about = entry["s"].as_str().unwrap_or_default();
            let brief: String = arguments.chars().take(about.chars().count().max(120)).collect();
            let message = format!("the run called `{name}` ({brief}) where it had called `{known}` ({about}) before");
            return Err(self.differs(message));
        }
        if entry.get("p").is_none() {
            let answer = entry.get_mut("r").map(Json::take).unwrap_or_default();
            self.enter_slice();
            return Ok(Step::Known(answer));
        }
        // The call that waited: its answer is the next entry, or has just come.
        if let Some(mut answer) = self.journal.pop() {
            self.enter_slice();
            return Ok(Step::Known(answer.get_mut("w").map(Json::take).unwrap_or_default()));
        }
        self.rehearsed(name, arguments)?;
        self.time = self.inner.time;
        Ok(Step::Woken(entry["p"].take()))
    }

    /// Ends a rehearsal where the journal ends.
    fn rehearsed(&mut self, name: &str, arguments: &str) -> Answer<()> {
        let brief = || arguments.chars().take(120).collect::<String>();
        match self.rehearsal {
            Rehearsal::No => return Ok(()),
            Rehearsal::Whole => {
                return Err(self.differs(format!("the run called `{name}` ({}) where it had ended", brief())));
            }
            Rehearsal::Begun | Rehearsal::Passed => {}
        }
        self.beyond.get_or_insert_with(|| format!("{name} {}", brief()));
        self.rehearsal = Rehearsal::Passed;
        Err(ends(REHEARSED, "the journal ends here".to_owned()))
    }

    /// What is left of the journal.
    pub(crate) const fn left(&self) -> &Journal {
        &self.journal
    }

    fn note(&mut self, name: &str, arguments: &str, answer: Result<Json, &HostError>) {
        let about: String = arguments.chars().take(self.about_chars).collect();
        let answer = answer.unwrap_or_else(|error| json!({ "error": journal::error_json(error) }));
        self.fresh.push(json!({ "c": name, "a": digest(arguments), "s": about, "r": answer }));
    }

    /// Notes what a live call returned; one that ended the slice is not part of the journal.
    fn noted<T>(
        &mut self,
        name: &str,
        arguments: &str,
        result: Answer<T>,
        write: impl FnOnce(&T) -> Json,
    ) -> Answer<T> {
        match &result {
            Ok(value) => {
                let written = write(value);
                self.note(name, arguments, Ok(written));
            }
            Err(error) if !error.ends_slice => self.note(name, arguments, Err(error)),
            Err(_) => {}
        }
        result
    }

    /// Suspends the run in the call `name`.
    fn suspend<T>(&mut self, (name, arguments): (&str, &str), request: &Json, suspension: Suspension) -> Answer<T> {
        let about: String = arguments.chars().take(self.about_chars).collect();
        self.fresh.push(json!({ "c": name, "a": digest(arguments), "s": about, "p": request }));
        self.suspension = Some(suspension);
        Err(ends(WAITING, format!("the run waits in `{name}`")))
    }

    /// Notes how a call that waited was answered, and that a new slice begins.
    fn answered(&mut self, answer: &Json) {
        self.fresh.push(json!({ "w": answer }));
        self.fresh.push(json!({ "t": self.inner.time.micros() }));
    }

    fn read_records(&self, json: &Json) -> Vec<RecordData> {
        json.as_array().into_iter().flatten().filter_map(|r| journal::read_record(r, &self.inner.schema)).collect()
    }

    fn read_event(&self, json: &Json) -> Option<GuestEvent> {
        let position = json.get("event")?.as_i64()?;
        let event = self.events.iter().find(|e| e.position == position)?.clone();
        Some(GuestEvent { event, record: journal::read_record(&json["record"], &self.inner.schema) })
    }
}

/// A failure that ends the slice.
fn ends(code: &'static str, message: String) -> HostError {
    HostError { code: code.into(), message, retryable: false, ends_slice: true }
}
