//! Appends events to a group: position, lane, body, seal, and the runs they start.

use std::sync::Arc;

use rapport_model::event::{Body, NewEvent, RecordChange, Subject};
use rapport_model::name::{EventType, RecordEventKind};
use rapport_model::run::run_id;
use rapport_model::{AutomationId, Event, Record, Run, RunStatus};

use super::{Group, Sealed, Undo};
use crate::error::StoreError;
use crate::payload;
use crate::seal::{event_hash, payload_hash};
use crate::unit::{Stamp, Triggers, UnitOfWork};

impl Group<'_> {
    /// Appends an outside, emitted or core event.
    pub(super) fn append_new(&mut self, unit: &UnitOfWork, new: &NewEvent, undo: &mut Undo) -> Result<(), StoreError> {
        if let Some(origin) = &new.origin {
            self.origins.insert(origin.clone());
            undo.origins.push(origin.clone());
        }
        let event = Event {
            position: self.head.position + 1,
            origin: new.origin.clone(),
            kind: new.kind.clone(),
            subject: new.subject.clone(),
            lane: new.lane,
            time: new.time,
            recorded_at: self.stamp(unit).recorded_at,
            actor: unit.actor.clone(),
            run: unit.run,
            cause: unit.cause,
            depth: unit.depth,
            body: Some(Body::Data(new.data.clone())),
        };
        let key = new.subject.as_ref().map(|s| (s.object.clone(), s.id));
        let record = key.and_then(|key| self.images.get(&key)).and_then(|image| image.now.clone());
        self.append(unit, event, record.as_deref())
    }

    /// Appends the event of a record's change. `record`: right after it, or right before a deletion.
    pub(super) fn append_change(
        &mut self,
        unit: &UnitOfWork,
        what: RecordEventKind,
        record: &Arc<Record>,
        change: RecordChange,
    ) -> Result<(), StoreError> {
        let object = record.object.name.clone();
        let event = Event {
            position: self.head.position + 1,
            origin: None,
            kind: EventType::of_record(&object, what),
            subject: Some(Subject { object, id: record.id }),
            lane: Some(record.lane()),
            time: unit.time,
            recorded_at: self.stamp(unit).recorded_at,
            actor: unit.actor.clone(),
            run: unit.run,
            cause: unit.cause,
            depth: unit.depth,
            body: Some(Body::Change(change)),
        };
        self.append(unit, event, Some(record))
    }

    /// Where and when the next event of `unit` counts as recorded. One that the recorded log does not have gets a position that
    /// no log has, so that its runs share their names with none of that log.
    fn stamp(&self, unit: &UnitOfWork) -> Stamp {
        let here = Stamp { position: self.head.position + 1, recorded_at: self.ground.recorded_at };
        let Some(stamps) = &unit.replayed else { return here };
        let place = usize::try_from(self.head.position - self.unit_began).unwrap_or(usize::MAX);
        stamps.get(place).copied().unwrap_or(Stamp { position: -here.position, ..here })
    }

    fn append(&mut self, unit: &UnitOfWork, event: Event, record: Option<&Record>) -> Result<(), StoreError> {
        let payload = event.body.as_ref().map(payload::write).unwrap_or_default();
        let salt = self.salts.next().map_err(|why| StoreError::Unavailable(format!("no random bytes: {why}")))?;
        let payload_hash = payload_hash(&salt, payload.as_bytes());
        let hash = event_hash(&self.head.hash, &event, &payload_hash);
        let named_after = self.stamp(unit).position;
        match &unit.triggers {
            Triggers::Fire => self.start_runs(&event, record, (None, named_after)),
            Triggers::FireExcept(automation) => self.start_runs(&event, record, (Some(automation), named_after)),
            Triggers::Skip => self.quiet.push(event.position),
        }
        (self.head.position, self.head.hash) = (event.position, hash);
        self.events.push(Sealed { event: Arc::new(event), payload, salt, payload_hash, hash });
        Ok(())
    }

    fn start_runs(
        &mut self,
        event: &Event,
        record: Option<&Record>,
        (except, named_after): (Option<&AutomationId>, i64),
    ) {
        let mut matches = self.ground.hooks.matches(event, record);
        matches.retain(|found| Some(&found.automation) != except);
        matches.sort_by(|a, b| a.automation.cmp(&b.automation));
        matches.dedup_by(|a, b| a.automation == b.automation);
        for found in matches {
            self.runs.push(Arc::new(Run {
                id: found.run.unwrap_or_else(|| run_id(&found.automation, named_after, event.recorded_at)),
                automation: found.automation,
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
            }));
        }
    }
}
