//! Which run works next: runs queue on lanes, lanes run side by side, and no lane works on two runs at once.
//!
//! ```text
//! pushed ─▶ queued on its lane ─pop─▶ running ─done─▶ (the lane's next)
//!               ▲                        │
//!               └──── due again ◀─ retry_at
//! ```
//! Memory is bounded: past `queued_max` runs stay in the database alone, and [`Lanes::missing`] tells from where on they
//! have to be fetched once there is room. The database is the truth; losing everything here loses nothing.

mod asleep;
mod led;
mod line;
mod load;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rapport_model::fan_out::EACH;
use rapport_model::schedule::DUE;
use rapport_model::{AutomationId, Event, RecordId, Run, RunId, Timestamp};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use uuid::Uuid;

use self::line::{Line, Share};
pub use self::load::Load;

/// A run, with its event if that is at hand.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) run: Arc<Run>,
    pub(crate) event: Option<Arc<Event>>,
}

/// Where in the order of runs one stands.
pub(crate) type Place = (i64, AutomationId);

/// The lane of a run; one without a record is a lane of its own.
pub(crate) fn lane_of(run: &Run) -> Uuid {
    run.lane.map_or(run.id.0, |record| record.0)
}

/// What a lane's own slice does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Work {
    /// There is none.
    #[default]
    None,
    /// It works, or waits for its commit.
    Running,
    /// It gave way and waits for its turn; no later run may overtake it.
    Parked,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<(Share, Item)>,
    work: Work,
    /// What the run that was popped belongs to.
    working: Share,
    /// A slice of another lane holds it.
    held: bool,
    /// It stands in this line.
    ready: Option<Share>,
}

impl Lane {
    const fn is_free(&self) -> bool {
        matches!(self.work, Work::None) && !self.held
    }

    /// Where it stands in line: one fresh run in it takes the others along, since it comes after them.
    fn share(&self) -> Share {
        let fresh = self.queue.iter().any(|(share, _)| *share == Share::Fresh);
        if fresh { Share::Fresh } else { Share::FanOut }
    }
}

#[derive(Debug, Default)]
struct State {
    lanes: HashMap<Uuid, Lane>,
    line: Line,
    /// Runs at work that nobody waits for: no more does anybody for what they set off.
    calm: HashSet<RunId>,
    /// The automations that have fan-outs: their runs whose event is not at hand count as such.
    fanning: HashSet<AutomationId>,
    known: HashSet<RunId>,
    /// Lanes of records that were merged into others: their runs queue there.
    led: HashMap<Uuid, Uuid>,
    /// Runs to be queued once more when they leave their lane: they were started again while they did.
    again: HashMap<RunId, Item>,
    timers: BinaryHeap<Reverse<(Timestamp, u64)>>,
    sleeping: HashMap<u64, Item>,
    sequence: u64,
    queued: usize,
    running: usize,
    /// Of those queued and running, the runs of fan-outs.
    fan_out: usize,
    fan_out_running: usize,
    last: Option<Place>,
    left_out: Option<Place>,
}

/// The queues of all lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    queued_max: usize,
    /// Something may be ready to run.
    pub(crate) wake: Notify,
    changed: Notify,
    several: tokio::sync::Mutex<()>,
}

impl Lanes {
    pub(crate) fn new(queued_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            queued_max,
            wake: Notify::new(),
            changed: Notify::new(),
            several: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues new runs in their order. What memory does not hold is left to [`Lanes::missing`].
    pub(crate) fn push(&self, items: impl Iterator<Item = Item>) {
        let mut state = self.lock();
        for item in items {
            let place = (item.run.position, item.run.automation.clone());
            if state.left_out.is_some() || state.queued >= self.queued_max {
                state.left_out = state.left_out.take().max(Some(place));
                continue;
            }
            state.last = state.last.take().max(Some(place));
            state.enqueue(item);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Queues runs fetched from the database after [`Lanes::missing`]; `all` if there were no more.
    pub(crate) fn push_fetched(&self, items: Vec<Item>, all: Fetched) {
        let mut state = self.lock();
        for item in items {
            let place = (item.run.position, item.run.automation.clone());
            state.last = state.last.take().max(Some(place));
            state.enqueue(item);
        }
        let reached = state.left_out <= state.last || state.left_out.as_ref().is_some_and(|place| place.0 == 0);
        if all == Fetched::All && reached {
            state.left_out = None;
        }
        drop(state);
        self.wake.notify_one();
        self.changed.notify_waiters();
    }

    /// Says that runs may wait in the database that were never pushed: at start.
    pub(crate) fn expect_stored(&self) {
        let mut state = self.lock();
        let first = (0, AutomationId::new("a").expect("a letter is a valid name"));
        state.left_out.get_or_insert(first);
    }

    /// If runs wait in the database that are not here, and there is room for them: the place after which to fetch.
    #[expect(clippy::option_option, reason = "the outer says whether to fetch, the inner after what")]
    pub(crate) fn missing(&self) -> Option<Option<Place>> {
        let state = self.lock();
        (state.left_out.is_some() && state.queued <= self.queued_max / 2).then(|| state.last.clone())
    }

    /// Queues one run that is due again, whatever its place. One that is just leaving its lane is queued once it has left.
    pub(crate) fn push_again(&self, item: Item) {
        let mut state = self.lock();
        if state.known.contains(&item.run.id) {
            state.again.insert(item.run.id, item);
        } else {
            state.enqueue(item);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Whether a run is here, or among those that memory had no room for and that will be fetched.
    pub(crate) fn holds(&self, run: &Run) -> bool {
        let state = self.lock();
        let place = (run.position, run.automation.clone());
        let stored = state.left_out.is_some() && state.last.as_ref().is_none_or(|last| place > *last);
        stored || state.known.contains(&run.id) || state.again.contains_key(&run.id)
    }

    /// Forgets a run that waits or sleeps, and says whether it did. One that works goes on; its commit will be refused.
    pub(crate) fn forget(&self, run: &Run) -> bool {
        let mut state = self.lock();
        let asleep: Vec<u64> = state.sleeping.iter().filter(|(_, i)| i.run.id == run.id).map(|(n, _)| *n).collect();
        let mut found = !asleep.is_empty();
        for sequence in asleep {
            state.sleeping.remove(&sequence);
        }
        let ids = [Some(lane_of(run)), state.led.get(&lane_of(run)).copied()];
        for id in ids.into_iter().flatten() {
            let Some(lane) = state.lanes.get_mut(&id) else { continue };
            let before = lane.queue.len();
            let mut of_fan_outs = 0;
            lane.queue.retain(|(share, item)| {
                let stays = item.run.id != run.id;
                of_fan_outs += usize::from(!stays && *share == Share::FanOut);
                stays
            });
            let gone = before - lane.queue.len();
            found |= gone > 0;
            state.queued -= gone;
            state.fan_out -= of_fan_outs;
        }
        if found {
            state.known.remove(&run.id);
        }
        found |= state.again.remove(&run.id).is_some();
        drop(state);
        self.changed.notify_waiters();
        found
    }

    /// Keeps a run until `when`.
    pub(crate) fn sleep_until(&self, when: Timestamp, item: Item) {
        let mut state = self.lock();
        state.known.insert(item.run.id);
        state.sequence += 1;
        let sequence = state.sequence;
        state.timers.push(Reverse((when, sequence)));
        state.sleeping.insert(sequence, item);
        drop(state);
        self.wake.notify_one();
    }

    /// Queues the runs that are due at `now`; returns when the next one is.
    pub(crate) fn wake_due(&self, now: Timestamp) -> Option<Timestamp> {
        let mut state = self.lock();
        while let Some(Reverse((when, sequence))) = state.timers.peek().copied() {
            if when > now {
                return Some(when);
            }
            state.timers.pop();
            if let Some(item) = state.sleeping.remove(&sequence) {
                state.known.remove(&item.run.id);
                state.enqueue(item);
                self.wake.notify_one();
            }
        }
        None
    }

    /// When the next sleeping run is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.lock().timers.peek().map(|Reverse((when, _))| *when)
    }

    /// Takes the next run to work on; its lane is busy until [`Lanes::done`].
    pub(crate) fn pop(&self) -> Option<Item> {
        self.lock().pop()
    }

    /// Says which automations have fan-outs.
    pub(crate) fn set_fanning(&self, automations: HashSet<AutomationId>) {
        self.lock().fanning = automations;
    }

    /// Frees the lane of a run that was popped.
    pub(crate) fn done(&self, run: &Run) {
        let mut state = self.lock();
        state.running -= 1;
        state.known.remove(&run.id);
        state.calm.remove(&run.id);
        state.end_of_work(lane_of(run));
        if let Some(item) = state.again.remove(&run.id) {
            state.enqueue(item);
        }
        state.free(lane_of(run));
        drop(state);
        self.wake.notify_one();
        self.changed.notify_waiters();
    }

    /// Whether the run, which works, gives way to others.
    pub(crate) fn gives_way(&self, run: &Run) -> bool {
        self.lock().lanes.get(&lane_of(run)).is_some_and(|lane| lane.working == Share::FanOut)
    }

    /// Lets go of the lane of a run that was worked on without being popped.
    pub(crate) fn let_go(&self, run: &Run) {
        self.lock().free(lane_of(run));
        self.changed.notify_waiters();
    }

    /// How much there is to do.
    pub(crate) fn load(&self) -> Load {
        let state = self.lock();
        Load {
            queued: state.queued,
            running: state.running,
            sleeping: state.sleeping.len(),
            more: state.left_out.is_some(),
            fan_out: state.fan_out,
        }
    }

    /// Tells when a run next leaves its lane.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until `is_so` holds for the load.
    pub(crate) async fn until(&self, is_so: impl Fn(Load) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if is_so(self.load()) {
                return;
            }
            changed.await;
        }
    }

    /// Takes `lanes` beside the run's own, so that its slice is alone with all it touches.
    ///
    /// One slice at a time may hold several lanes. One that waits for its turn gives way with its own lane, so that no two
    /// wait for each other; it begins anew with fresh data afterwards.
    pub(crate) async fn hold_several(&self, run: &Run, lanes: &[RecordId]) -> Held<'_> {
        let own = lane_of(run);
        self.set_work(own, Work::Parked);
        let turn = self.several.lock().await;
        self.set_work(own, Work::Running);
        let mut others: Vec<Uuid> = lanes.iter().map(|l| l.0).filter(|l| *l != own).collect();
        others.sort_unstable();
        others.dedup();
        for lane in &others {
            self.hold(*lane).await;
        }
        Held { lanes: self, others, _turn: turn }
    }

    fn set_work(&self, lane: Uuid, work: Work) {
        let mut state = self.lock();
        state.lanes.entry(lane).or_default().work = work;
        drop(state);
        self.changed.notify_waiters();
    }

    async fn hold(&self, id: Uuid) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                let lane = state.lanes.entry(id).or_default();
                if lane.work != Work::Running {
                    lane.held = true;
                    return;
                }
            }
            changed.await;
        }
    }
}

/// Whether a fetch brought all that was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// It did.
    All,
    /// There may be more.
    Part,
}

/// Lanes held beside a run's own; freed on drop.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    lanes: &'a Lanes,
    others: Vec<Uuid>,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.lanes.lock();
        for lane in &self.others {
            state.release(*lane);
        }
        drop(state);
        self.lanes.wake.notify_one();
    }
}

impl State {
    fn enqueue(&mut self, mut item: Item) {
        if !self.known.insert(item.run.id) {
            return;
        }
        self.follow(&mut item);
        let (id, share) = (lane_of(&item.run), self.share_of(&item));
        let lane = self.lanes.entry(id).or_default();
        lane.queue.push_back((share, item));
        self.queued += 1;
        self.fan_out += usize::from(share == Share::FanOut);
        // A lane of a fan-out that gets fresh work moves to the other line.
        let moves = lane.ready == Some(Share::FanOut) && share == Share::Fresh;
        if lane.is_free() && (lane.ready.is_none() || moves) {
            lane.ready = Some(share);
            self.line.push(share, id);
        }
    }

    fn share_of(&self, item: &Item) -> Share {
        let fans = match &item.event {
            Some(event) => event.kind.as_str() == EACH || event.run.is_some_and(|run| self.calm.contains(&run)),
            None => self.fanning.contains(&item.run.automation),
        };
        if fans { Share::FanOut } else { Share::Fresh }
    }

    fn pop(&mut self) -> Option<Item> {
        while let Some((share, id)) = self.line.pop(self.fan_out_running) {
            let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.ready == Some(share)) else { continue };
            lane.ready = None;
            if !lane.is_free() {
                continue;
            }
            let Some((share, item)) = lane.queue.pop_front() else { continue };
            (lane.work, lane.working) = (Work::Running, share);
            if share == Share::FanOut || item.event.as_ref().is_some_and(|event| event.kind.as_str() == DUE) {
                self.calm.insert(item.run.id);
            }
            self.fan_out_running += usize::from(share == Share::FanOut);
            self.queued -= 1;
            self.running += 1;
            return Some(item);
        }
        None
    }

    fn end_of_work(&mut self, id: Uuid) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if std::mem::take(&mut lane.working) == Share::FanOut {
            self.fan_out -= 1;
            self.fan_out_running -= 1;
        }
    }

    fn free(&mut self, id: Uuid) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.work = Work::None;
        }
        self.settle(id);
    }

    fn release(&mut self, id: Uuid) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.held = false;
        }
        self.settle(id);
    }

    /// Puts a lane in line if it has work, and forgets it if it has nothing.
    fn settle(&mut self, id: Uuid) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if !lane.is_free() {
            return;
        }
        if lane.queue.is_empty() {
            self.lanes.remove(&id);
        } else if lane.ready.is_none() {
            let share = lane.share();
            lane.ready = Some(share);
            self.line.push(share, id);
        }
    }
}

#[cfg(test)]
mod tests;
