//! Plays a log in which runs wait: everything together that no waiting run sees or touches, the rest in its place.
//!
//! ```text
//! given event ──┬─ starts nobody who waits, wakes nobody ─▶ with the group
//!               └─ may start or wake one ─▶ ends its group; then whoever may work does
//! caused event ─┬─ of a run that does not wait ─▶ its run works with the group
//!               └─ of one that may wait ─▶ the group; then the turn of its run alone
//! somebody is due before an event ─▶ the group; then the timers; then the event
//! ```
//! This holds as long as no automation may itself bring about what starts a waiting run, or what one waits for: what it will
//! do in the replay is not known before it works. Where one may, the log is played one event at a time: each ends its group.

use std::collections::HashSet;
use std::sync::Arc;

use rapport_model::event::Body;
use rapport_model::run::ENDED;
use rapport_model::{Actor, AutomationId, Event, EventType, Record, RunId, Schema, Timestamp};

use super::Progress;
use super::furnish::switch_of;
use super::play::Player;
use super::recording::{Source, page};
use crate::error::EngineError;
use crate::graph::kinds_made;
use crate::invoked;
use crate::replay::Released;

/// What the automations of a replay may bring about among themselves.
#[derive(Debug, Default)]
pub(super) struct Exposure {
    /// The automations of which some version may wait.
    waiting: HashSet<AutomationId>,
    /// The types of events that some version may bring about.
    made: HashSet<EventType>,
    /// One may start a run that may wait.
    starts: bool,
}

impl Player<'_> {
    /// From when on a version is live whose runs may wait, slices have turns of their own.
    pub(super) fn see_whether_runs_wait(&mut self) {
        let schema = self.parts.scratch.inner.store.schema();
        let versions: Vec<_> = self.parts.versions.values().cloned().collect();
        let exposure = &mut self.exposure;
        let waiting: Vec<_> = versions.iter().filter(|version| version.waits()).collect();
        exposure.waiting.extend(waiting.iter().map(|version| version.id.clone()));
        // Runs of a version that is live no more may still be on their way.
        exposure.made.extend(versions.iter().flat_map(|version| kinds_made(&version.declaration, &schema)));
        let mut triggers = waiting.iter().flat_map(|version| &version.declaration.triggers);
        exposure.starts = triggers.any(|trigger| exposure.made.iter().any(|kind| trigger.matches_type(kind)));
        if !waiting.is_empty() {
            self.parts.replay.play_one_by_one();
        }
    }

    /// Whether some run may wait.
    pub(super) fn may_wait(&self) -> bool {
        !self.exposure.waiting.is_empty()
    }

    /// Whether an automation may bring about what starts a waiting run, or what one waits for.
    fn is_exposed(&self) -> bool {
        let awaited = || self.parts.replay.awaited_kinds();
        self.exposure.starts || awaited().iter().any(|kind| self.exposure.made.contains(kind) || kind.as_str() == ENDED)
    }

    pub(super) async fn step_among_waits(&mut self, schema: &Schema, event: &Arc<Event>) -> Result<(), EngineError> {
        match self.parts.recording.source(schema, event) {
            Source::Core if switch_of(event).is_none() => Ok(()),
            Source::Core => {
                self.flush().await?;
                self.advance(event.time).await?;
                self.switch(event).await
            }
            Source::Given => {
                let known = event.subject.as_ref().is_none_or(|subject| self.parts.reached.contains(&subject.object));
                if known && !self.is_of_replaced_schedule(event) { self.given(event).await } else { Ok(()) }
            }
            Source::Caused => self.caused(event).await,
        }
    }

    async fn given(&mut self, event: &Arc<Event>) -> Result<(), EngineError> {
        self.let_come(event.time).await?;
        let event = self.addressed(event);
        let ends_group = self.is_exposed() || self.starts_waiting(&event) || self.parts.replay.may_wake(&event);
        self.give(event).await?;
        if ends_group {
            self.flush().await?;
            self.quiet().await?;
        }
        Ok(())
    }

    async fn caused(&mut self, event: &Event) -> Result<(), EngineError> {
        let Some((run, place)) = self.turn_of(event) else { return Ok(()) };
        self.let_come(event.time).await?;
        let Actor::Automation(automation) = &event.actor else { return Ok(()) };
        let waits =
            self.parts.recording.bounds.waiting.contains(automation) || self.exposure.waiting.contains(automation);
        if !waits && !self.is_exposed() {
            self.release(run, place);
            return Ok(());
        }
        self.flush().await?;
        self.advance(event.time).await?;
        self.turn(run, place).await;
        self.quiet().await
    }

    /// The run whose turn a caused event is, and which of its slices.
    fn turn_of(&self, event: &Event) -> Option<(RunId, usize)> {
        let run = event.run?;
        Some((run, self.parts.replay.recorded(run)?.slice_at(event.position)?))
    }

    /// If somebody is due up to `to`: plays what came before, and lets them come.
    async fn let_come(&mut self, to: Timestamp) -> Result<(), EngineError> {
        if self.next_due().is_some_and(|next| next <= to) {
            self.flush().await?;
            self.advance(to).await?;
        }
        Ok(())
    }

    /// Whether `event` may start a run that may wait.
    fn starts_waiting(&self, event: &Event) -> bool {
        let inner = &self.parts.scratch.inner;
        let live = inner.snapshot.load();
        let waits = |id: &AutomationId| live.version(id).is_some_and(|version| version.waits());
        if let Some(found) = invoked::started_by(event) {
            return waits(&found.automation);
        }
        let created = created(&inner.store.schema(), event);
        if matches!(event.body, Some(Body::Change(_))) && created.is_none() {
            // Conditions look at the record as it will be, which is not known yet.
            let mut waiting = live.active().iter().filter(|version| version.waits());
            return waiting.any(|version| version.declaration.triggers.iter().any(|t| t.matches_type(&event.kind)));
        }
        live.matches(event, created.as_ref()).iter().any(|found| waits(&found.automation))
    }

    /// Plays what the stretch set off after its end, and lets the timers run on to the end of the played time.
    pub(super) async fn end_of_waits(&mut self, schema: &Schema, progress: &Progress) -> Result<(), EngineError> {
        let mut after = self.parts.recording.last;
        loop {
            let events = page(&self.parts.live.store, after, self.parts.recording.head).await?;
            let Some(last) = events.last() else { break };
            after = last.position;
            for event in &events {
                if self.parts.recording.source(schema, event) == Source::Caused {
                    self.caused(event).await?;
                }
            }
            progress.go_on()?;
        }
        self.flush().await?;
        self.advance(self.parts.recording.bounds.until).await?;
        // Whose turn never came works now.
        self.work_all(&Released::All).await;
        self.quiet().await?;
        self.count_unanswered();
        Ok(())
    }
}

/// The record that `event` says was created.
fn created(schema: &Schema, event: &Event) -> Option<Record> {
    let (subject, change) = (event.subject.as_ref()?, event.change()?);
    if !event.kind.as_str().ends_with(".created") {
        return None;
    }
    let object = schema.object(subject.object.as_str())?.clone();
    let (created_at, updated_at) = (event.time, event.time);
    let mut record = Record { object, id: subject.id, version: 1, created_at, updated_at, values: Vec::new() };
    for (name, value) in &change.after {
        if let Some(place) = record.object.position(name.as_str()) {
            record.set_at(place, value.clone());
        }
    }
    Some(record)
}
