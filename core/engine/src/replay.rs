//! What an engine goes by that plays a recorded log again: when each run worked, what its events were recorded as, and which
//! runs wait for their turn.
//!
//! Runs are not taken up by themselves here: whoever plays the log says when, so that each works on the state that it worked
//! on when it was recorded.

mod awaited;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rapport_model::event::RecordChange;
use rapport_model::{Actor, AutomationId, Effect, EffectId, Event, EventType, Name, RecordId, RunId, Timestamp, Value};
use rapport_store::{Stamp, WaitFor};

use self::awaited::Awaited;
use crate::lanes::Item;

/// A record, named across objects.
pub(crate) type Key = (Name, RecordId);

/// A run as it is in the recorded log, known by the events that it appended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    /// The lane of its first event.
    pub(crate) lane: Option<RecordId>,
    /// Its slices that appended something, in their order.
    pub(crate) slices: Vec<RecordedSlice>,
}

/// A slice as it is in the recorded log.
#[derive(Debug, Clone)]
pub(crate) struct RecordedSlice {
    /// Its instant.
    pub(crate) time: Timestamp,
    /// Where and when its events were recorded, in their order.
    pub(crate) stamps: Vec<Stamp>,
}

impl Recorded {
    /// Takes up an event of the run. What a slice appends stands together.
    pub(crate) fn note(&mut self, time: Timestamp, stamp: Stamp) {
        if let Some(last) = self.slices.last_mut()
            && last.time == time
            && last.stamps.last().is_some_and(|before| before.position + 1 == stamp.position)
        {
            last.stamps.push(stamp);
            return;
        }
        self.slices.push(RecordedSlice { time, stamps: vec![stamp] });
    }

    /// Which slice begins with the event at `position`.
    pub(crate) fn slice_at(&self, position: i64) -> Option<usize> {
        self.slices.iter().position(|slice| slice.stamps.first().is_some_and(|stamp| stamp.position == position))
    }
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
    order: Order,
    awaited: Awaited,
    /// Calls that were not made then.
    unknown_calls: HashSet<EffectId>,
}

/// Where runs stand whose slices are played one by one.
#[derive(Debug, Default)]
struct Order {
    /// Slices of runs that may wait are played at their turns.
    one_by_one: bool,
    /// A slice is only tried.
    tries: bool,
    /// The recorded slices whose turn it is.
    turns: HashMap<RunId, usize>,
    /// The recorded slice that comes next.
    next: HashMap<RunId, usize>,
    /// Runs that wait for their turn.
    held: HashSet<RunId>,
    /// When runs were woken.
    moments: HashMap<RunId, Timestamp>,
    /// The questions that runs asked, in their order.
    questions: HashMap<RunId, Vec<RecordId>>,
}

/// A recorded log on its way through an engine.
#[derive(Debug)]
pub(crate) struct Replay {
    recorded: HashMap<RunId, Recorded>,
    /// The HTTP calls that were made then, with their answers.
    calls: HashMap<EffectId, Effect>,
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
    pub(crate) fn new(recorded: HashMap<RunId, Recorded>, calls: Vec<Effect>) -> Self {
        let calls = calls.into_iter().map(|call| (call.id, call)).collect();
        Self { recorded, calls, state: Mutex::default() }
    }

    /// The call that was made then as `effect` is made now: by the same run with the same request. One that was not made then has
    /// no recorded answer, which is noted.
    pub(crate) fn call_as(&self, effect: &Effect) -> Option<&Effect> {
        let same = |then: &&Effect| then.request == effect.request;
        let own = self.calls.get(&effect.id).filter(same);
        let found = own.or_else(|| self.calls.values().filter(|then| then.run == effect.run).find(same));
        if found.is_none() {
            self.lock().unknown_calls.insert(effect.id);
        }
        found
    }

    /// The call of that id that was made then.
    pub(crate) fn call(&self, id: EffectId) -> Option<&Effect> {
        self.calls.get(&id)
    }

    /// How many calls had no recorded answer.
    pub(crate) fn unknown_calls(&self) -> usize {
        self.lock().unknown_calls.len()
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
        let mut state = self.lock();
        state.order.held.remove(&run);
        state.waiting.remove(&run)
    }

    /// From now on slices work one by one, each at its own turn.
    pub(crate) fn play_one_by_one(&self) {
        self.lock().order.one_by_one = true;
    }

    pub(crate) fn is_one_by_one(&self) -> bool {
        self.lock().order.one_by_one
    }

    /// The turn of the recorded slice `place` of `run` begins: no earlier one comes any more.
    pub(crate) fn begin_turn(&self, run: RunId, place: usize) {
        let mut state = self.lock();
        state.order.turns.insert(run, place);
        state.order.next.insert(run, place + 1);
    }

    pub(crate) fn end_turn(&self, run: RunId) {
        self.lock().order.turns.remove(&run);
    }

    /// When the next recorded slice of `run` worked, if there is another one.
    pub(crate) fn next_turn(&self, run: RunId) -> Option<Timestamp> {
        let next = self.lock().order.next.get(&run).copied().unwrap_or(0);
        self.recorded.get(&run)?.slices.get(next).map(|slice| slice.time)
    }

    /// Keeps a run that was woken until it is taken.
    pub(crate) fn woken(&self, item: Item, now: Timestamp) {
        let mut state = self.lock();
        state.order.moments.insert(item.run.id, now);
        state.awaited.end(item.run.id);
        drop(state);
        self.await_turn(std::iter::once(item));
    }

    /// Notes that `run` waits for these events until it is woken.
    pub(crate) fn waits_for(&self, run: RunId, waits: Vec<WaitFor>) {
        self.lock().awaited.begin(run, waits);
    }

    /// Whether a run may wait for `event`. If not, surely none does.
    pub(crate) fn may_wake(&self, event: &Event) -> bool {
        self.lock().awaited.may_be(event)
    }

    /// The types of events for which runs wait.
    pub(crate) fn awaited_kinds(&self) -> Vec<EventType> {
        self.lock().awaited.kinds().cloned().collect()
    }

    /// When `run` was woken, if it was.
    pub(crate) fn moment(&self, run: RunId) -> Option<Timestamp> {
        self.lock().order.moments.get(&run).copied()
    }

    /// Keeps a run until its turn.
    pub(crate) fn hold(&self, item: Item) {
        let mut state = self.lock();
        state.order.held.insert(item.run.id);
        state.waiting.insert(item.run.id, item);
    }

    /// Takes all runs that are not held, in their order.
    pub(crate) fn take_ready(&self) -> Vec<Item> {
        let mut state = self.lock();
        let State { waiting, order, .. } = &mut *state;
        let mut taken: Vec<Item> = waiting.extract_if(|id, _| !order.held.contains(id)).map(|(_, item)| item).collect();
        drop(state);
        taken.sort_by(|a, b| (a.run.position, &a.run.automation).cmp(&(b.run.position, &b.run.automation)));
        taken
    }

    /// The instant of the slice of `run` that works now, if it is known.
    pub(crate) fn time(&self, run: RunId) -> Option<Timestamp> {
        let state = self.lock();
        let recorded = self.recorded.get(&run);
        if !state.order.one_by_one {
            return recorded.and_then(|recorded| recorded.slices.first()).map(|slice| slice.time);
        }
        let turn = state.order.turns.get(&run).and_then(|place| recorded?.slices.get(*place));
        turn.map(|slice| slice.time).or_else(|| state.order.moments.get(&run).copied())
    }

    /// What the events of the slice of `run` that works now were recorded as.
    pub(crate) fn stamps(&self, run: RunId) -> Vec<Stamp> {
        let Some(recorded) = self.recorded.get(&run) else { return Vec::new() };
        let state = self.lock();
        if !state.order.one_by_one {
            return recorded.slices.iter().flat_map(|slice| slice.stamps.clone()).collect();
        }
        let turn = state.order.turns.get(&run).and_then(|place| recorded.slices.get(*place));
        turn.map(|slice| slice.stamps.clone()).unwrap_or_default()
    }

    /// Begins and ends a time in which slices are only tried.
    pub(crate) fn set_tries(&self, tries: bool) {
        self.lock().order.tries = tries;
    }

    /// The questions that runs asked.
    pub(crate) fn questions(&self) -> HashMap<RunId, Vec<RecordId>> {
        self.lock().order.questions.clone()
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
        let mut state = self.lock();
        if !state.order.tries {
            state.deeds.entry(automation.clone()).or_default().fuel += fuel;
        }
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
            if let Some(run) = event.run.filter(|_| is_question(event)) {
                state.order.questions.entry(run).or_default().push(subject.id);
            }
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

/// Whether an event is a task that somebody is to answer.
pub(crate) fn is_question(event: &Event) -> bool {
    let asks = |change: &RecordChange| change.after.iter().any(|(name, _)| name.as_str() == "assignee");
    event.kind.as_str() == "task.created" && event.change().is_some_and(asks)
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
