//! What an engine goes by that plays a recorded log again: when each run worked, what its events were recorded as, and which
//! runs wait for their turn.
//!
//! Runs are not taken up by themselves here: whoever plays the log says when, so that each works on the state that it worked
//! on when it was recorded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rapport_model::event::RecordChange;
use rapport_model::{Actor, AutomationId, Effect, Event, EventType, Name, RecordId, RunId, Timestamp, Value};
use rapport_store::Stamp;

use crate::lanes::Item;

/// A record, named across objects.
pub(crate) type Key = (Name, RecordId);

/// A run as it is in the recorded log, known by the events that it appended.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// The instant of its slice.
    pub(crate) time: Timestamp,
    /// The lane of its first event.
    pub(crate) lane: Option<RecordId>,
    /// Where and when its events were recorded, in their order.
    pub(crate) stamps: Vec<Stamp>,
}

/// What one automation did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    /// Its events by day (since 1970) and type.
    pub(crate) events: BTreeMap<(i64, EventType), u64>,
    /// What it sent by day (since 1970) and channel.
    pub(crate) sent: BTreeMap<(i64, String), u64>,
    pub(crate) fuel: u64,
}

/// What is known of a replay on its way.
#[derive(Debug, Default)]
struct State {
    waiting: HashMap<RunId, Item>,
    deeds: HashMap<AutomationId, Deeds>,
    /// The records that automations changed, with the values that fields had before the first change.
    touched: HashMap<Key, HashMap<Name, Value>>,
}

/// A recorded log on its way through an engine.
#[derive(Debug)]
pub(crate) struct Replay {
    recorded: HashMap<RunId, Recorded>,
    state: Mutex<State>,
}

/// The microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Counts an event among what its automation did.
pub(crate) fn count(deeds: &mut Deeds, event: &Event) {
    let day = event.time.micros().div_euclid(DAY_MICROS);
    *deeds.events.entry((day, event.kind.clone())).or_default() += 1;
}

/// Counts a message or call among what its automation sent.
pub(crate) fn count_sent(deeds: &mut Deeds, channel: &str, at: Timestamp) {
    let day = at.micros().div_euclid(DAY_MICROS);
    *deeds.sent.entry((day, channel.to_owned())).or_default() += 1;
}

impl Replay {
    pub(crate) fn new(recorded: HashMap<RunId, Recorded>) -> Self {
        Self { recorded, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run as it was recorded, if it appended something.
    pub(crate) fn recorded(&self, run: RunId) -> Option<&Recorded> {
        self.recorded.get(&run)
    }

    /// Keeps runs until they are taken.
    pub(crate) fn await_turn(&self, items: impl Iterator<Item = Item>) {
        self.lock().waiting.extend(items.map(|item| (item.run.id, item)));
    }

    /// Takes the waiting run of that id.
    pub(crate) fn take(&self, run: RunId) -> Option<Item> {
        self.lock().waiting.remove(&run)
    }

    /// Takes all waiting runs that are in `released`, or that the log does not know, in their order.
    pub(crate) fn take_all(&self, released: &Released<'_>) -> Vec<Item> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        state.waiting.retain(|id, item| {
            let free = match released {
                Released::All => true,
                Released::These(ids) => ids.contains(id) || !self.recorded.contains_key(id),
            };
            if free {
                taken.push(item.clone());
            }
            !free
        });
        drop(state);
        taken.sort_by(|a, b| (a.run.position, &a.run.automation).cmp(&(b.run.position, &b.run.automation)));
        taken
    }

    /// Notes the fuel that a slice used.
    pub(crate) fn used(&self, automation: &AutomationId, fuel: u64) {
        self.lock().deeds.entry(automation.clone()).or_default().fuel += fuel;
    }

    /// Notes what a slice sent.
    pub(crate) fn sent<'a>(&self, automation: &AutomationId, effects: impl Iterator<Item = &'a Effect>) {
        let mut state = self.lock();
        for effect in effects {
            let deeds = state.deeds.entry(automation.clone()).or_default();
            count_sent(deeds, &effect.channel, effect.created_at);
        }
    }

    /// Notes what was committed.
    pub(crate) fn note(&self, events: &[std::sync::Arc<Event>]) {
        let mut state = self.lock();
        for event in events {
            let (Actor::Automation(automation), Some(_)) = (&event.actor, event.run) else { continue };
            count(state.deeds.entry(automation.clone()).or_default(), event);
            let (Some(subject), Some(change)) = (&event.subject, event.change()) else { continue };
            let fields = state.touched.entry((subject.object.clone(), subject.id)).or_default();
            for (name, before) in before_of(change) {
                fields.entry(name.clone()).or_insert_with(|| before.clone());
            }
        }
    }

    /// What `automation` did.
    pub(crate) fn deeds(&self, automation: &AutomationId) -> Deeds {
        self.lock().deeds.get(automation).cloned().unwrap_or_default()
    }

    /// The records that automations changed, with the values of those fields before.
    pub(crate) fn touched(&self) -> HashMap<Key, HashMap<Name, Value>> {
        std::mem::take(&mut self.lock().touched)
    }
}

/// Which runs may work.
pub(crate) enum Released<'a> {
    /// These, and those that the recorded log does not know.
    These(&'a HashSet<RunId>),
    /// All.
    All,
}

/// Each field that a change touched, with its value before.
fn before_of(change: &RecordChange) -> impl Iterator<Item = (&Name, &Value)> {
    static NULL: Value = Value::Null;
    let new = change.after.iter().filter(|(name, _)| !change.before.iter().any(|(known, _)| known == name));
    change.before.iter().map(|(name, value)| (name, value)).chain(new.map(|(name, _)| (name, &NULL)))
}
