//! What wakes runs that wait: instants and events.
//!
//! A waiting run lives in the database alone. In memory stand only the types of events that any run waits for, how far the log
//! has been looked through for each, and the next instant at which one is due. A wake is a commit that makes the run pending, so that
//! of several (its time, an event, a person) one alone succeeds, and a crash after it finds the run among the pending ones.
//!
//! ```text
//! slice ─▶ commit: waiting ─▶ register(type, field, snapshot) ─▶ look through the log from the snapshot on ─▶ wake
//! ```
//! A wait is registered with the position at which its slice began: what came between that and its commit is looked through
//! afterwards, so no event is missed. A type that nobody waits for any more is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::json::{fit_value, to_json};
use rapport_model::rule::tree::{Base, Comparison, Condition, Datum, FieldTerm, Term};
use rapport_model::rule::{ParamTypes, Params, Rule};
use rapport_model::{Actor, Event, EventType, Name, Record, Run, RunId, RunStatus, Timestamp, Value};
use rapport_store::{EventQuery, JournalStep, RunUpdate, StoreError, UnitOfWork};
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::engine::Inner;
use crate::error::EngineError;
use crate::journal::{self, Journal};
use crate::lanes::Item;
use crate::registry;

/// Events looked through, and runs woken, in one go.
const BATCH: u32 = 500;

/// What is known in memory of the runs that wait.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    state: Mutex<State>,
    /// One at a time looks through the log.
    turn: tokio::sync::Mutex<()>,
    /// There may be something to look at.
    pub(crate) wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The types that runs wait for: the fields by which, and the position up to which the log has been looked through.
    kinds: HashMap<EventType, Kind>,
    /// When the next run is due at the latest.
    next: Option<Timestamp>,
}

/// A type of events that runs wait for.
#[derive(Debug, Clone)]
struct Kind {
    fields: Vec<Name>,
    /// The position up to which the log has been looked through.
    seen: i64,
    /// Counts registrations.
    generation: u64,
    /// There may be events beyond.
    more: bool,
}

impl Waits {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a run waits for events of `kind`, found by `field`, after the position `after`. Called once that is durable.
    pub(crate) fn register(&self, kind: &EventType, field: &Name, after: i64) {
        self.with(|state| {
            let new = || Kind { fields: Vec::new(), seen: after, generation: 0, more: true };
            let known = state.kinds.entry(kind.clone()).or_insert_with(new);
            if !known.fields.contains(field) {
                known.fields.push(field.clone());
            }
            (known.seen, known.more) = (known.seen.min(after), true);
            known.generation += 1;
        });
    }

    /// Notes that a run is due at `when`.
    pub(crate) fn due_at(&self, when: Timestamp) {
        self.with(|state| state.next = Some(state.next.map_or(when, |next| next.min(when))));
    }

    /// Takes note of events that are durable.
    pub(crate) fn note(&self, events: &[Arc<Event>]) {
        let mut any = false;
        self.with(|state| {
            if state.kinds.is_empty() {
                return;
            }
            for event in events {
                if let Some(known) = state.kinds.get_mut(&event.kind) {
                    (known.more, any) = (true, true);
                }
            }
        });
        if any {
            self.wake.notify_one();
        }
    }

    /// The types of which there may be more events, marked as looked at.
    fn open(&self) -> Vec<(EventType, Kind)> {
        self.with(|state| {
            let open = state.kinds.iter_mut().filter(|(_, known)| known.more);
            open.map(|(kind, known)| {
                known.more = false;
                (kind.clone(), known.clone())
            })
            .collect()
        })
    }

    /// Moves on for `kind`, unless a wait was registered meanwhile that begins before `from`.
    fn seen(&self, kind: &EventType, from: i64, to: i64) {
        self.with(|state| {
            if let Some(known) = state.kinds.get_mut(kind).filter(|known| known.seen >= from) {
                known.seen = to;
            }
        });
    }

    /// Forgets `kind`, which nobody waits for, unless a wait was registered since.
    fn forget(&self, kind: &EventType, generation: u64) {
        self.with(|state| {
            if state.kinds.get(kind).is_some_and(|known| known.generation == generation) {
                state.kinds.remove(kind);
            }
        });
    }

    /// Notes that looking through `kind` did not come to its end.
    fn again(&self, kind: &EventType) {
        self.with(|state| {
            if let Some(known) = state.kinds.get_mut(kind) {
                known.more = true;
            }
        });
    }

    /// When the next run is due at the latest.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.with(|state| state.next)
    }

    /// Whether there may be events that nobody has looked at.
    pub(crate) fn is_open(&self) -> bool {
        self.with(|state| state.kinds.values().any(|known| known.more))
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.with(|state| state.next.is_some_and(|next| next <= now))
    }

    fn set_next(&self, next: Option<Timestamp>) {
        self.with(|state| state.next = next);
    }
}

/// The equality by which an event is found that satisfies `rule`: a field and its value as JSON text. A reference is
/// preferred, since it means few events.
pub(crate) fn equality(rule: &Rule, params: &Params) -> Option<(Name, String)> {
    let mut found: Vec<(&FieldTerm, String)> = Vec::new();
    let parts = match rule.root() {
        Condition::All(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    for part in parts {
        let Condition::Compare(Comparison::Equal, left, right) = part else { continue };
        let pair = match (left, right) {
            (Term::Field(field), other) | (other, Term::Field(field)) => (field, other),
            _ => continue,
        };
        if pair.0.base != Base::Own {
            continue;
        }
        let Some(value) = constant(pair.1, params).filter(|value| !value.is_null()) else { continue };
        if let Ok(value) = fit_value(&pair.0.kind, value) {
            found.push((pair.0, text_of(&value)));
        }
    }
    let reference = |(field, _): &(&FieldTerm, String)| {
        field.name.as_str() == "id" || matches!(field.kind, rapport_model::FieldKind::Reference { .. })
    };
    let best = found.iter().position(reference).unwrap_or(0);
    (!found.is_empty()).then(|| found.swap_remove(best)).map(|(field, text)| (field.name.clone(), text))
}

fn constant(term: &Term, params: &Params) -> Option<Value> {
    match term {
        Term::Param(name, _) => params.get(name).cloned(),
        Term::Literal(Datum::Text(text)) => Some(Value::Text(text.clone())),
        Term::Literal(Datum::Reference(id)) => Some(Value::Ref(*id)),
        Term::Literal(Datum::Boolean(b)) => Some(Value::Bool(*b)),
        _ => None,
    }
}

/// How a value is written where events are found by it.
pub(crate) fn text_of(value: &Value) -> String {
    to_json(value).to_string()
}

/// The value of a field of an event, by which runs that wait for it are found.
fn value_in(event: &Event, record: Option<&Record>, field: &Name) -> Option<Value> {
    let subject = || event.subject.as_ref().map(|s| Value::Ref(s.id));
    if *field == journal::subject_field() {
        return subject();
    }
    let listed =
        |fields: &rapport_model::event::Fields| fields.iter().find(|(n, _)| n == field).map(|(_, v)| v.clone());
    match &event.body {
        Some(rapport_model::event::Body::Data(data)) => listed(data),
        Some(rapport_model::event::Body::Change(change)) if field.as_str() != "id" => {
            let unchanged = || record.map(|r| r.get(field.as_str()).clone());
            listed(&change.after).or_else(|| listed(&change.before)).or_else(unchanged)
        }
        _ => subject(),
    }
}

/// What an event must satisfy to wake a run: read from the call that it waits in.
pub(crate) struct Wanted {
    kind: EventType,
    filter: String,
    params: Vec<(String, Value)>,
}

impl Wanted {
    /// Writes down what is wanted.
    pub(crate) fn to_json(kind: &EventType, filter: &str, params: &[(String, Value)]) -> Json {
        serde_json::json!({ "kind": kind.as_str(), "filter": filter, "params": journal::params_json(params) })
    }

    fn read(json: &Json) -> Option<Self> {
        Some(Self {
            kind: EventType::new(json["kind"].as_str()?).ok()?,
            filter: json["filter"].as_str()?.to_owned(),
            params: journal::read_params(&json["params"])?,
        })
    }
}

impl Inner {
    /// Takes up what runs wait for: at start.
    pub(crate) async fn take_up_waits(&self) -> Result<(), EngineError> {
        for (kind, field, after) in self.store.waited_for().await? {
            self.waits.register(&kind, &field, after);
        }
        self.waits.set_next(self.store.next_wake().await?);
        Ok(())
    }

    /// Wakes the runs whose time has come or whose event is in the log. Returns how many.
    ///
    /// # Errors
    /// [`EngineError`] if the database is away: then it is tried again later.
    pub(crate) async fn wake_waiting(&self, now: Timestamp) -> Result<usize, EngineError> {
        // While history is loaded only the load writes; what has come meanwhile wakes after it.
        if self.is_loading() {
            return Ok(0);
        }
        let _turn = self.waits.turn.lock().await;
        let mut woken = 0;
        while self.waits.is_due(now) && !self.is_stopping() {
            let due = self.store.due_runs(now, BATCH).await?;
            if due.is_empty() {
                self.waits.set_next(self.store.next_wake().await?);
                break;
            }
            woken += self.wake(due.into_iter().map(|run| (run, None)).collect(), now).await?;
        }
        for (kind, known) in self.waits.open() {
            match self.look_through(&kind, &known, now).await {
                Ok(count) => woken += count,
                Err(error) => {
                    self.waits.again(&kind);
                    return Err(error);
                }
            }
        }
        Ok(woken)
    }

    async fn look_through(&self, kind: &EventType, known: &Kind, now: Timestamp) -> Result<usize, EngineError> {
        let (mut at, mut woken) = (known.seen, 0);
        if !self.store.is_waited_for(kind).await? {
            self.waits.forget(kind, known.generation);
            return Ok(0);
        }
        loop {
            let head = self.store.head();
            if head <= at || self.is_stopping() {
                return Ok(woken);
            }
            let query =
                EventQuery { after: Some(at), kind: Some(kind.to_string()), limit: BATCH, ..EventQuery::default() };
            let events = self.store.events(&query).await?;
            let full = events.len() == BATCH as usize;
            for event in &events {
                let found = self.waiting_for(event, &known.fields).await?;
                woken += self.wake(found.into_iter().map(|run| (run, Some(event.clone()))).collect(), now).await?;
            }
            let to = if full { events.last().map_or(head, |e| e.position) } else { head };
            self.waits.seen(kind, at, to);
            at = to;
        }
    }

    /// The runs that `event` wakes.
    async fn waiting_for(&self, event: &Event, fields: &[Name]) -> Result<Vec<Arc<Run>>, EngineError> {
        let record = match &event.subject {
            Some(subject) => self.store.record(&subject.object, subject.id).await?,
            None => None,
        };
        let mut found = Vec::new();
        for field in fields {
            let Some(value) = value_in(event, record.as_deref(), field) else { continue };
            for (id, after) in self.store.waiting_for(&event.kind, field, &text_of(&value)).await? {
                if event.position <= after || !self.is_awaited(id, event, record.as_deref()).await? {
                    continue;
                }
                match self.store.run(id).await {
                    // One that is held back looks through the log once it may go on.
                    Ok(run) => found.extend(run.filter(|run| run.status == RunStatus::Waiting).map(Arc::new)),
                    // It must not hold up the others.
                    Err(error @ StoreError::Corrupt { .. }) => {
                        tracing::error!(run.id = %id, "the run {id} is left alone: {error}");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(found)
    }

    async fn is_awaited(&self, run: RunId, event: &Event, record: Option<&Record>) -> Result<bool, EngineError> {
        // A damaged journal must not hold up the others: its run is woken, and ends with what is wrong.
        let Ok(journal) = Journal::read(&self.store.journal(run).await?) else { return Ok(true) };
        let Some(wanted) = journal.waiting().and_then(|waiting| Wanted::read(&waiting.request)) else {
            return Ok(false);
        };
        if wanted.kind != event.kind {
            return Ok(false);
        }
        if wanted.filter.trim().is_empty() {
            return Ok(true);
        }
        let params: Params = wanted.params.into_iter().collect();
        let schema = self.store.schema();
        let Some(scope) = registry::scope_of(&schema, &event.kind) else { return Ok(false) };
        let rule = Rule::parse(&wanted.filter, &scope, &schema, &ParamTypes::of(&params));
        // A rule that no longer reads, since a field is gone, holds for nothing: the run wakes by its timeout.
        Ok(rule.is_ok_and(|rule| registry::holds_with(&rule, event, record, (&[], &params))))
    }

    /// Makes waiting runs pending. Those that somebody else has woken meanwhile are left alone.
    async fn wake(&self, runs: Vec<(Arc<Run>, Option<Arc<Event>>)>, now: Timestamp) -> Result<usize, EngineError> {
        if runs.is_empty() {
            return Ok(0);
        }
        let units = runs.iter().map(|(run, event)| wake_unit(run, event.as_ref().map(|e| e.position), now)).collect();
        let mut woken = Ok(0);
        for ((run, event), outcome) in runs.into_iter().zip(self.store.commit_all(units).await) {
            match outcome {
                Ok(_) => {
                    woken = woken.map(|count| count + 1);
                    let mut run = (*run).clone();
                    (run.status, run.wake_at, run.attempt) = (RunStatus::Pending, None, 0);
                    run.wake_event = event.map(|e| e.position);
                    let item = Item { run: Arc::new(run), event: None };
                    match self.replay.get() {
                        Some(replay) => replay.woken(item, now),
                        None => self.lanes.push_again(item),
                    }
                }
                Err(StoreError::RunMoved { .. }) => {}
                // The others have been woken all the same, and are in the lanes.
                Err(error) => woken = woken.and(Err(error.into())),
            }
        }
        woken
    }
}

/// What makes a waiting run pending.
pub(crate) fn wake_unit(run: &Run, event: Option<i64>, now: Timestamp) -> UnitOfWork {
    let mut unit = UnitOfWork::new(now, Actor::System);
    unit.journal = JournalStep::Woken;
    unit.run_state = Some(RunUpdate {
        id: run.id,
        status: RunStatus::Pending,
        attempt: 0,
        wake_at: None,
        wake_event: event,
        finished_at: None,
        error: None,
        trace: run.trace.clone(),
    });
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid() -> EventType {
        EventType::new("order.paid").unwrap()
    }

    #[test]
    fn a_type_is_forgotten_unless_somebody_began_to_wait_meanwhile() {
        let waits = Waits::default();
        waits.register(&paid(), &journal::subject_field(), 7);
        let (_, known) = waits.open().remove(0);
        waits.register(&paid(), &journal::subject_field(), 9);
        waits.forget(&paid(), known.generation);
        let (_, known) = waits.open().remove(0);
        assert_eq!(known.seen, 7);
        waits.forget(&paid(), known.generation);
        assert!(waits.open().is_empty() && !waits.is_open());
    }

    #[test]
    fn a_wait_that_began_earlier_is_looked_through_from_there() {
        let waits = Waits::default();
        waits.register(&paid(), &journal::subject_field(), 50);
        waits.seen(&paid(), 50, 80);
        assert_eq!(waits.open().remove(0).1.seen, 80);
        waits.register(&paid(), &journal::subject_field(), 60);
        waits.seen(&paid(), 80, 90);
        assert_eq!(
            waits.open().remove(0).1.seen,
            60,
            "what was looked through before the wait was known does not count"
        );
    }
}
