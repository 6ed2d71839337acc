//! Tapes: a run with its input and with all that its calls returned, so that an author can play it again elsewhere.
//!
//! ```text
//! a run that waits, or did ─────▶ its journal ──────────────────────────────────────────┐
//! one that did not, or failed ──▶ the workspace as it was then ─▶ its last slice anew ──┴─▶ tape ─▶ `plugin replay`
//! ```
//! A tape holds what the run read, and so what the business knows of its customers: only who may see everything is given one. To
//! play it needs no server and no data: every call is answered from the tape, and has no effect.

mod past;
mod play;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rapport_model::event::{Event, Subject};
use rapport_model::schema::EventTypeDef;
use rapport_model::{
    AutomationId, Digest, EventType, Name, ObjectDef, RecordId, Run, RunId, RunStatus, Schema, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::backtest::furnish;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::journal::Journal;

pub use self::play::{Candidate, play_tape};

/// The form of tapes that this program writes and reads.
const FORM: u32 = 1;

/// A run, its input and what its calls returned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tape {
    /// The form of the tape.
    tape: u32,
    run: TapedRun,
    event: TapedEvent,
    /// The events that woke the run.
    events: Vec<TapedEvent>,
    /// The calls of its slices, each with what it returned.
    slices: Vec<Vec<Json>>,
    /// What it answered to who had started it.
    output: Json,
    /// The values that its settings had, where they were not the defaults.
    settings: BTreeMap<String, Json>,
    objects: Vec<ObjectDef>,
    event_types: Vec<EventTypeDef>,
    /// What could not be taped as it was.
    remarks: Vec<String>,
}

/// The run of a tape.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TapedRun {
    id: RunId,
    automation: AutomationId,
    digest: Digest,
    status: RunStatus,
    error: Option<String>,
    position: i64,
    lane: Option<RecordId>,
    depth: u16,
    attempt: u16,
    wake_event: Option<i64>,
    wake_index: Option<i64>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
}

/// An event of a tape.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TapedEvent {
    position: i64,
    #[serde(rename = "type")]
    kind: EventType,
    subject: Option<(Name, RecordId)>,
    lane: Option<RecordId>,
    time: Timestamp,
    recorded_at: Timestamp,
    actor: String,
    run: Option<RunId>,
    cause: Option<i64>,
    depth: u16,
    /// What it says, as the log has it; none: it was erased.
    body: Option<Json>,
}

impl TapedRun {
    fn of(run: &Run) -> Self {
        Self {
            id: run.id,
            automation: run.automation.clone(),
            digest: run.digest,
            status: run.status,
            error: run.error.clone(),
            position: run.position,
            lane: run.lane,
            depth: run.depth,
            attempt: run.attempt,
            wake_event: run.wake_event,
            wake_index: run.wake_index,
            created_at: run.created_at,
            finished_at: run.finished_at,
        }
    }

    fn read(&self) -> Run {
        Run {
            id: self.id,
            automation: self.automation.clone(),
            digest: self.digest,
            position: self.position,
            lane: self.lane,
            depth: self.depth,
            status: self.status,
            attempt: self.attempt,
            wake_at: None,
            wake_event: self.wake_event,
            wake_index: self.wake_index,
            created_at: self.created_at,
            finished_at: self.finished_at,
            error: self.error.clone(),
            trace: None,
        }
    }
}

impl TapedEvent {
    fn of(event: &Event) -> Result<Self, EngineError> {
        let body = event.body.as_ref().map(|body| serde_json::from_str(&rapport_store::body_text(body)));
        Ok(Self {
            position: event.position,
            kind: event.kind.clone(),
            subject: event.subject.as_ref().map(|subject| (subject.object.clone(), subject.id)),
            lane: event.lane,
            time: event.time,
            recorded_at: event.recorded_at,
            actor: event.actor.to_string(),
            run: event.run,
            cause: event.cause,
            depth: event.depth,
            body: body.transpose().map_err(|e| EngineError::Internal(e.to_string()))?,
        })
    }

    fn read(&self, schema: &Schema) -> Result<Event, EngineError> {
        let damaged = |why: String| EngineError::invalid("/event", why);
        let object = self.subject.as_ref().map(|(object, _)| object);
        let body =
            self.body.as_ref().map(|body| rapport_store::read_body(&body.to_string(), &self.kind, object, schema));
        Ok(Event {
            position: self.position,
            origin: None,
            kind: self.kind.clone(),
            subject: self.subject.clone().map(|(object, id)| Subject { object, id }),
            lane: self.lane,
            time: self.time,
            recorded_at: self.recorded_at,
            actor: self.actor.parse().map_err(|e| damaged(format!("{e}")))?,
            run: self.run,
            cause: self.cause,
            depth: self.depth,
            body: body.transpose().map_err(|e| damaged(e.to_string()))?,
        })
    }
}

impl Engine {
    /// The tape of a run, which holds what it read. A run that did not wait, or failed, is made anew for it in a workspace as it
    /// was then, which lies below `folder` and is thrown away; so it may take some time. Nothing is changed, and nothing leaves.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`]; [`EngineError::Conflict`] for a run that has not worked, or whose
    /// version cannot be loaded any more.
    pub async fn tape(&self, caller: &Caller, id: &str, folder: &Path) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let run = self.find_run(id).await?;
        let (inner, folder) = (self.inner.clone(), folder.to_owned());
        // A task of its own, so that a caller who goes away leaves no folder behind.
        let taping = tokio::spawn(async move { inner.tape(&run, &folder).await });
        let tape = taping.await.map_err(|e| EngineError::Internal(format!("the tape broke off: {e}")))??;
        serde_json::to_value(&tape).map_err(|e| EngineError::Internal(e.to_string()))
    }
}

impl Inner {
    async fn tape(self: &Arc<Self>, run: &Run, folder: &Path) -> Result<Tape, EngineError> {
        match run.status {
            RunStatus::Pending if run.attempt == 0 => {
                return Err(EngineError::Conflict(format!("the run {} has not worked yet", run.id)));
            }
            RunStatus::Skipped => {
                let why = format!("the run {} did nothing: its condition did not hold", run.id);
                return Err(EngineError::Conflict(why));
            }
            _ => {}
        }
        let version = self.version(&run.automation, &run.digest).await?;
        let missing = |position| EngineError::Conflict(format!("event {position} of run {} is missing", run.id));
        let event = self.store.event(run.position).await?.ok_or_else(|| missing(run.position))?;
        let slices = self.store.journal(run.id).await?;
        let journal = Journal::read(&slices).map_err(EngineError::Conflict)?;
        let mut positions = journal.events();
        positions.extend(run.wake_event);
        positions.dedup();
        let mut events = Vec::new();
        for position in positions {
            events.push(TapedEvent::of(&*self.store.event(position).await?.ok_or_else(|| missing(position))?)?);
        }
        let read = |text: &String| serde_json::from_str(text).map_err(|e| EngineError::Conflict(e.to_string()));
        let schema = self.store.schema();
        let declared = furnish::declared(&schema);
        let mut tape = Tape {
            tape: FORM,
            run: TapedRun::of(run),
            event: TapedEvent::of(&event)?,
            events,
            slices: slices.iter().map(read).collect::<Result<_, _>>()?,
            output: self.result_of(run.id).await?,
            settings: version.overrides.clone(),
            objects: declared.objects,
            event_types: declared.event_types,
            remarks: Vec::new(),
        };
        let whole = run.status == RunStatus::Completed && !slices.is_empty();
        if !whole && !matches!(run.status, RunStatus::Waiting | RunStatus::Paused | RunStatus::Cancelled) {
            let _one = self.backtests.taping.lock().await;
            past::last_slice(self, (run, &event), (version, journal), folder, &mut tape).await?;
        }
        Ok(tape)
    }
}
