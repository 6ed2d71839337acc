//! Plays a recorded stretch of the log again, with a candidate in place of a version, or beside the others.
//!
//! ```text
//! given events ─▶ committed together, a lane once ─┐            the recorded order decides:
//! caused events ─▶ name the runs that work now ────┴─▶ flush    a run works where its first event was recorded on its lane
//! ```
//! A run of which the log knows nothing (the candidate's, or one that wrote nothing) works as soon as its event is there. So the
//! versions that were live meet what they met then; what the candidate does differently is all that differs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rapport_model::calendar;
use rapport_model::event::{Body, NewEvent};
use rapport_model::fan_out::EACH;
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::schedule::DUE;
use rapport_model::tags::{self, TagEdit};
use rapport_model::time::SetClock;
use rapport_model::{AutomationId, Clock as _, Digest, Event, Name, RecordId, RunId, Schema};
use rapport_store::{Stamp, UnitOfWork};
use tokio::task::JoinSet;

use super::Progress;
use super::furnish::{make_live, switch_of, version_for};
use super::recording::{ChangeKind, Recording, Source, change_of, page};
use super::scheduled::Scheduled;
use super::together::Exposure;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::execute;
use crate::invoked;
use crate::lanes::{Item, lane_of};
use crate::registry::Version;
use crate::replay::{Released, Replay};

/// Given events committed together at most.
const BATCH_MAX: usize = 500;
/// Lanes that work at one time: enough that their slices share commits, and few beside a live server.
const LANES_MAX: usize = 32;

/// What came of a replay, beyond what the scratch workspace tells.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// Given events that were fed.
    pub(super) fed: u64,
    /// Given events that could not be fed: their record is not there, or they were erased.
    pub(super) left_out: u64,
    /// Why versions that were live then could not be used, or events not be fed.
    pub(super) remarks: Vec<String>,
    /// Questions that nobody was asked then, so that nobody answers them.
    pub(super) unanswered: u64,
}

/// The most remarks kept.
const REMARKS_MAX: usize = 10;

/// A replay on its way.
pub(super) struct Player<'a> {
    pub(super) parts: Parts<'a>,
    pub(super) played: Played,
    /// The versions that were live then, whatever is played.
    pub(super) then: BTreeMap<AutomationId, Digest>,
    pub(super) given: Vec<Arc<Event>>,
    /// The lanes of the group: of the events given, and of the runs that have their turn.
    lanes: HashSet<Option<RecordId>>,
    /// A run of the group is on no lane.
    unlaned: bool,
    /// Recorded runs whose turn it is, each with which of its slices.
    pub(super) released: Vec<(RunId, usize)>,
    pub(super) exposure: Exposure,
    pub(super) scheduled: Scheduled,
}

/// What a player is made from.
pub(super) struct Parts<'a> {
    pub(super) live: &'a Inner,
    pub(super) scratch: Engine,
    pub(super) clock: Arc<SetClock>,
    pub(super) replay: Arc<Replay>,
    pub(super) recording: &'a Recording,
    pub(super) reached: HashSet<Name>,
    /// What is live at this point of the log, the candidate included.
    pub(super) versions: BTreeMap<AutomationId, Arc<Version>>,
    /// The automations whose version does not change with the log.
    pub(super) fixed: HashSet<AutomationId>,
}

impl<'a> Player<'a> {
    pub(super) fn new(parts: Parts<'a>) -> Self {
        let then = parts.recording.bounds.then.clone();
        let (given, lanes, released) = (Vec::new(), HashSet::new(), Vec::new());
        let (exposure, scheduled) = (Exposure::default(), Scheduled::default());
        Self { parts, played: Played::default(), then, given, lanes, unlaned: false, released, exposure, scheduled }
    }

    /// Plays the whole stretch, and lets everything that it set off end.
    pub(super) async fn play(mut self, progress: &Progress) -> Result<Played, EngineError> {
        make_live(&self.parts.scratch.inner, &self.parts.versions);
        self.see_whether_runs_wait();
        self.see_what_is_scheduled(self.parts.recording.begin).await?;
        let schema = self.parts.live.store.schema();
        let mut after = self.parts.recording.first - 1;
        loop {
            let events = page(&self.parts.live.store, after, self.parts.recording.last).await?;
            for event in &events {
                self.step(&schema, event).await?;
                progress.reached(event.position);
            }
            progress.go_on()?;
            match events.last() {
                Some(event) => after = event.position,
                None => break,
            }
        }
        self.flush().await?;
        if self.parts.replay.is_one_by_one() {
            self.end_of_waits(&schema, progress).await?;
        }
        self.work_all(&Released::All).await;
        Ok(self.played)
    }

    async fn step(&mut self, schema: &Schema, event: &Arc<Event>) -> Result<(), EngineError> {
        if self.parts.replay.is_one_by_one() {
            return self.step_among_waits(schema, event).await;
        }
        match self.parts.recording.source(schema, event) {
            Source::Core => self.switch(event).await?,
            Source::Caused => {
                if let Some(run) = event.run.filter(|run| self.released.last().is_none_or(|(last, _)| last != run)) {
                    self.release(run, 0);
                }
            }
            Source::Given => {
                let known = event.subject.as_ref().is_none_or(|subject| self.parts.reached.contains(&subject.object));
                if !known {
                    return Ok(());
                }
                self.give(event.clone()).await?;
            }
        }
        Ok(())
    }

    /// Has an event committed with the next group; what must come before it is played.
    ///
    /// A run that has its turn in the group works after all that is given in it. It met only what came before it then: a run on
    /// a lane did not see what came later on its lane, and one on no lane is followed by nothing in its group.
    pub(super) async fn give(&mut self, event: Arc<Event>) -> Result<(), EngineError> {
        let Some(event) = self.called(event) else { return Ok(()) };
        let follows = !self.released.is_empty() && (self.unlaned || event.lane.is_none());
        // Runs on any lane read calendars: those before a change of hours go by the old ones.
        let is_calendar = event.subject.as_ref().is_some_and(|subject| subject.object.as_str() == calendar::OBJECT);
        if follows || is_calendar || self.given.len() >= BATCH_MAX || self.lanes.contains(&event.lane) {
            self.flush().await?;
        }
        if self.may_start(&event) {
            self.lanes.insert(event.lane);
        }
        self.given.push(event);
        Ok(())
    }

    /// The event, if it is no call of an automation that is not played; a call is one of the version that is.
    fn called(&self, event: Arc<Event>) -> Option<Arc<Event>> {
        let Some(found) = invoked::started_by(&event) else { return Some(event) };
        let version = self.parts.versions.get(&found.automation)?;
        Some(invoked::of_version(&event, version))
    }

    /// Whether some automation is started by events of this type, or by this one alone: what starts nobody may stand in one group with what follows it.
    fn may_start(&self, event: &Event) -> bool {
        if invoked::started_by(event).is_some() || matches!(event.kind.as_str(), DUE | EACH) {
            return true;
        }
        let mut triggers = self.parts.versions.values().flat_map(|version| &version.declaration.triggers);
        triggers.any(|trigger| trigger.matches_type(&event.kind))
    }

    /// Has a run work with the next group: its turn has come.
    pub(super) fn release(&mut self, run: RunId, place: usize) {
        match self.parts.replay.recorded(run).and_then(|recorded| recorded.lane) {
            Some(lane) => drop(self.lanes.insert(Some(lane))),
            None => self.unlaned = true,
        }
        self.released.push((run, place));
    }

    /// Follows what the log says of versions.
    pub(super) async fn switch(&mut self, event: &Event) -> Result<(), EngineError> {
        let Some((id, digest)) = switch_of(event) else { return Ok(()) };
        match digest {
            Some(digest) => drop(self.then.insert(id.clone(), digest)),
            None => drop(self.then.remove(&id)),
        }
        self.flush().await?;
        if self.parts.fixed.contains(&id) {
            return self.see_what_is_scheduled(self.parts.clock.now()).await;
        }
        self.parts.versions.remove(&id);
        if let Some(digest) = digest {
            match version_for(self.parts.live, &id, &digest).await {
                Ok(version) => drop(self.parts.versions.insert(id, version)),
                Err(error) => self.remark(format!("{id} ({}) cannot be loaded: {error}", digest.short())),
            }
        }
        make_live(&self.parts.scratch.inner, &self.parts.versions);
        self.see_whether_runs_wait();
        Ok(())
    }

    pub(super) fn remark(&mut self, text: String) {
        if self.played.remarks.len() < REMARKS_MAX {
            self.played.remarks.push(text);
        }
    }

    /// Commits what is given, and lets the runs work whose turn it is.
    pub(super) async fn flush(&mut self) -> Result<(), EngineError> {
        if self.given.is_empty() && self.released.is_empty() {
            return Ok(());
        }
        self.lanes.clear();
        self.unlaned = false;
        let given = std::mem::take(&mut self.given);
        self.feed(given).await?;
        let released = std::mem::take(&mut self.released);
        let these: HashSet<RunId> = released.iter().map(|(run, _)| *run).collect();
        self.work_recorded(released).await;
        self.work_all(&Released::These(&these)).await;
        Ok(())
    }

    /// Commits what is given.
    pub(super) async fn feed(&mut self, given: Vec<Arc<Event>>) -> Result<(), EngineError> {
        let mut units = Vec::with_capacity(given.len());
        let schema = self.parts.scratch.inner.store.schema();
        for event in &given {
            match unit_of(event, &schema) {
                Some(unit) => units.push(unit),
                None => self.played.left_out += 1,
            }
        }
        if let Some(latest) = given.iter().map(|event| event.time).max() {
            let one_by_one = self.parts.replay.is_one_by_one();
            // Where runs may wait, time does not go back.
            self.parts.clock.set(if one_by_one { latest.max(self.parts.clock.now()) } else { latest });
        }
        for outcome in self.parts.scratch.inner.store.commit_all(units).await {
            match outcome.map_err(EngineError::from) {
                Ok(_) => self.played.fed += 1,
                Err(error @ (EngineError::Unavailable(_) | EngineError::Full | EngineError::Internal(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    self.played.left_out += 1;
                    self.remark(format!("an event could not be fed: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Lets recorded runs work, lane by lane in the recorded order, lanes side by side.
    async fn work_recorded(&self, released: Vec<(RunId, usize)>) {
        let mut chains: HashMap<Option<RecordId>, Vec<(RunId, usize)>> = HashMap::new();
        let mut order = Vec::new();
        for (run, place) in released {
            let lane = self.parts.replay.recorded(run).and_then(|recorded| recorded.lane);
            let chain = chains.entry(lane).or_insert_with(|| {
                order.push(lane);
                Vec::new()
            });
            chain.push((run, place));
        }
        let mut working = JoinSet::new();
        for lane in order {
            let Some(chain) = chains.remove(&lane) else { continue };
            make_room(&mut working).await;
            let (inner, replay) = (self.parts.scratch.inner.clone(), self.parts.replay.clone());
            working.spawn(async move {
                for (run, place) in chain {
                    replay.begin_turn(run, place);
                    if let Some(item) = replay.take(run) {
                        work(&inner, item).await;
                    }
                    replay.end_turn(run);
                }
            });
        }
        while working.join_next().await.is_some() {}
    }

    /// Lets all waiting runs work that may, and what they set off, until there are none.
    pub(super) async fn work_all(&self, released: &Released<'_>) {
        loop {
            let items = self.parts.replay.take_all(released);
            if items.is_empty() {
                return;
            }
            let mut chains: Vec<Vec<Item>> = Vec::new();
            let mut places = HashMap::new();
            for item in items {
                let place = *places.entry(lane_of(&item.run)).or_insert(chains.len());
                match chains.get_mut(place) {
                    Some(chain) => chain.push(item),
                    None => chains.push(vec![item]),
                }
            }
            let mut working = JoinSet::new();
            for chain in chains {
                make_room(&mut working).await;
                let inner = self.parts.scratch.inner.clone();
                working.spawn(async move {
                    for item in chain {
                        work(&inner, item).await;
                    }
                });
            }
            while working.join_next().await.is_some() {}
        }
    }
}

async fn make_room(working: &mut JoinSet<()>) {
    if working.len() >= LANES_MAX {
        working.join_next().await;
    }
}

pub(super) async fn work(inner: &Arc<Inner>, item: Item) {
    let run = item.run.clone();
    execute::work(inner, item).await;
    inner.lanes.let_go(&run);
}

/// The unit that appends `event` again; nothing if its content was erased.
fn unit_of(event: &Event, schema: &Schema) -> Option<UnitOfWork> {
    let mut unit = UnitOfWork::new(event.time, event.actor.clone());
    unit.depth = event.depth;
    unit.replayed = Some(vec![Stamp { position: event.position, recorded_at: event.recorded_at }]);
    if let Some(Body::Data(data)) = &event.body {
        unit.events.push(NewEvent {
            origin: event.origin.clone(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            lane: event.lane,
            time: event.time,
            data: data.clone(),
        });
        return Some(unit);
    }
    let subject = event.subject.as_ref()?;
    let (kind, change) = change_of(event)?;
    let delta = |name: &Name| change.delta.iter().find(|(known, _)| known == name).map(|(_, by)| by.clone());
    // Of tags what came and went, as of a number by how much it grew: the candidate may have tagged the record otherwise.
    let place =
        schema.object(subject.object.as_str()).and_then(|object| Some(&object.fields[tags::place(object)?].name));
    let before = |name: &Name| change.before.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let tags_before = |name: &Name| before(name).filter(|_| place == Some(name));
    let changes = change.after.iter().map(|(name, value)| {
        let change = match (delta(name), tags_before(name)) {
            (Some(delta), _) => Change::Increment(delta),
            (None, Some(before)) => Change::Tag(TagEdit::between(before, value)),
            (None, None) => Change::Set(value.clone()),
        };
        (name.clone(), change)
    });
    let (kind, changes) = match kind {
        ChangeKind::Created => (PutKind::Create, changes.collect()),
        ChangeKind::Updated => (PutKind::Update, changes.collect()),
        ChangeKind::Deleted => (PutKind::Delete, Vec::new()),
    };
    unit.puts.push(Put { object: subject.object.clone(), id: subject.id, kind, changes });
    Some(unit)
}
