//! Tries automations on rows that are not taken: what would run, write and emit, with nothing kept.
//!
//! Each row is put into a buffer over the database as it is; the automations that would react run against that buffer, and
//! so do those that react to them. Nothing is committed, and the rows of one chunk see each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rapport_model::event::{Body, Event, NewEvent, RecordChange, Subject};
use rapport_model::limits::CAUSE_DEPTH_MAX;
use rapport_model::name::RecordEventKind;
use rapport_model::record::PutKind;
use rapport_model::run::run_id;
use rapport_model::{Actor, EventType, Record, Run, RunStatus, Timestamp, image};
use rapport_sandbox::GuestEvent;
use rapport_store::Match;

use crate::actions;
use crate::buffer::Buffer;
use crate::bulk::{Batch, PreviewLine, Row, RowOutcome, outcome, refused};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::execute::host;
use crate::journaled::WAITING;
use crate::judges::{Author, Bench, NotJudged};
use crate::plan::Planner;

/// Runs that one row may set off in a preview.
const RUNS_PER_ROW_MAX: usize = 200;

/// What is yet to be reacted to.
struct Pending {
    event: Arc<Event>,
    record: Option<Arc<Record>>,
}

#[derive(Default)]
struct Trial {
    buffer: Buffer,
    lines: BTreeMap<String, PreviewLine>,
    position: i64,
}

impl Engine {
    /// What the rows would do, row by row and automation by automation.
    pub(crate) async fn preview(
        &self,
        batch: &Batch<'_>,
        rows: &[Row],
        outcomes: &mut [RowOutcome],
    ) -> Result<Vec<PreviewLine>, EngineError> {
        let mut planner = Planner::new(&*self.inner.entropy, &self.inner.merged);
        for row in rows {
            planner.want(&batch.object, &row.target, &row.draft);
        }
        planner.load(&self.inner.store).await?;
        let mut trial = Trial { position: self.inner.store.head(), ..Trial::default() };
        let mut bench = Bench::default();
        for row in rows {
            match planner.plan(&batch.object, &row.target, &row.draft, row.time) {
                Err(error) => outcomes[row.index()] = refused(&error),
                Ok(planned) => {
                    let author = Author { actor: &batch.caller.actor, own: None, time: row.time };
                    if let Err(NotJudged::By(verdict)) = bench.judge(&self.inner, (&planned.puts, &[]), author).await {
                        outcomes[row.index()] = refused(&verdict.into());
                        planner.take_back();
                        continue;
                    }
                    outcomes[row.index()] = outcome(&planned);
                    let first = self.apply(&mut trial, &planned.puts, row.time, &batch.caller.actor).await?;
                    self.react(&mut trial, first).await?;
                }
            }
        }
        Ok(trial.lines.into_values().collect())
    }

    /// Puts a row into the buffer, and says which events that would be.
    async fn apply(
        &self,
        trial: &mut Trial,
        puts: &[rapport_model::record::Put],
        time: Timestamp,
        actor: &Actor,
    ) -> Result<VecDeque<Pending>, EngineError> {
        let schema = self.inner.store.schema();
        let mut pending = VecDeque::new();
        for put in puts {
            let Some(object) = schema.object(put.object.as_str()) else { continue };
            if put.kind == PutKind::Create {
                let record = trial.buffer.create(object, put.id, time, put.changes.clone())?;
                let change = image::creation(&record);
                pending.push_back(trial.change((RecordEventKind::Created, change), &record, (time, actor.clone(), 0)));
                continue;
            }
            let known = match trial.buffer.get(&object.name, put.id) {
                Some(known) => known,
                None => self.inner.store.record(&object.name, put.id).await?,
            };
            let Some(before) = known else { continue };
            let after = trial.buffer.update(&before, time, put.changes.clone())?;
            let change = image::difference(&before, &after, &put.changes);
            pending.push_back(trial.change((RecordEventKind::Updated, change), &after, (time, actor.clone(), 0)));
        }
        Ok(pending)
    }

    /// Runs what reacts, and what reacts to that, until nothing does.
    async fn react(&self, trial: &mut Trial, mut pending: VecDeque<Pending>) -> Result<(), EngineError> {
        let mut runs = 0;
        while let Some(next) = pending.pop_front() {
            if next.event.depth > CAUSE_DEPTH_MAX {
                continue;
            }
            let matches = self.inner.snapshot.load().matches(&next.event, next.record.as_deref());
            for found in matches {
                runs += 1;
                if runs > RUNS_PER_ROW_MAX {
                    return Ok(());
                }
                pending.extend(self.try_run(trial, &next, &found).await?);
            }
        }
        Ok(())
    }

    async fn try_run(&self, trial: &mut Trial, next: &Pending, found: &Match) -> Result<Vec<Pending>, EngineError> {
        let version = self.inner.version(&found.automation, &found.digest).await?;
        let event = next.event.clone();
        let run = Run {
            id: run_id(&found.automation, event.position, event.recorded_at),
            automation: found.automation.clone(),
            digest: found.digest,
            position: event.position,
            lane: event.lane,
            depth: event.depth,
            status: RunStatus::Pending,
            attempt: 0,
            wake_at: None,
            wake_event: None,
            wake_index: None,
            created_at: event.recorded_at,
            finished_at: None,
            error: None,
            trace: None,
        };
        let mut host = host(&self.inner, &run, &event, version.clone());
        host.buffer = std::mem::take(&mut trial.buffer);
        host.buffer.start_slice();
        let guest_event = GuestEvent { event: event.clone(), record: next.record.clone() };
        let (report, mut host) = self.inner.sandbox.call(&version.program, actions::work(guest_event), host).await;
        let line = trial.lines.entry(found.automation.to_string()).or_default();
        line.automation = found.automation.to_string();
        line.runs += 1;
        if report.outcome.as_ref().err().is_some_and(|failure| failure.code() != WAITING) {
            line.failures += 1;
            host.buffer.take_back();
            trial.buffer = std::mem::take(&mut host.buffer);
            return Ok(Vec::new());
        }
        line.writes += host.buffer.writes() as u64;
        line.events += host.events.len() as u64;
        line.sent += host.outbound.effects.len() as u64;
        trial.buffer = std::mem::take(&mut host.buffer);
        let actor = Actor::Automation(found.automation.clone());
        let context = (event.time, actor, event.depth.saturating_add(1));
        let mut caused: Vec<Pending> = host.events.into_iter().map(|e| trial.emitted(e, &context)).collect();
        for (put, was, is) in trial.buffer.changes() {
            let (record, kind, change) = match (&was, &is) {
                (None, Some(is)) => (is, RecordEventKind::Created, image::creation(is)),
                (Some(was), None) => (was, RecordEventKind::Deleted, image::deletion(was)),
                (Some(was), Some(is)) => (is, RecordEventKind::Updated, image::difference(was, is, &put)),
                (None, None) => continue,
            };
            caused.push(trial.change((kind, change), record, context.clone()));
        }
        Ok(caused)
    }
}

impl Trial {
    fn change(
        &mut self,
        (kind, change): (RecordEventKind, RecordChange),
        record: &Arc<Record>,
        (time, actor, depth): (Timestamp, Actor, u16),
    ) -> Pending {
        let subject = Subject { object: record.object.name.clone(), id: record.id };
        let event = self.event(EventType::of_record(&record.object.name, kind), (time, actor, depth));
        let event =
            Event { subject: Some(subject), lane: Some(record.lane()), body: Some(Body::Change(change)), ..event };
        Pending { event: Arc::new(event), record: Some(record.clone()) }
    }

    fn emitted(&mut self, new: NewEvent, context: &(Timestamp, Actor, u16)) -> Pending {
        let event = self.event(new.kind, context.clone());
        let record = new.subject.as_ref().and_then(|s| self.buffer.get(&s.object, s.id)).flatten();
        let event = Event { subject: new.subject, lane: new.lane, body: Some(Body::Data(new.data)), ..event };
        Pending { event: Arc::new(event), record }
    }

    fn event(&mut self, kind: EventType, (time, actor, depth): (Timestamp, Actor, u16)) -> Event {
        self.position += 1;
        Event {
            position: self.position,
            origin: None,
            kind,
            subject: None,
            lane: None,
            time,
            recorded_at: time,
            actor,
            run: None,
            cause: None,
            depth,
            body: None,
        }
    }
}
