//! The unit of work: everything that changes together, and what came of it.

use std::sync::Arc;

use rapport_model::event::NewEvent;
use rapport_model::record::Put;
use rapport_model::schema::SchemaChange;
use rapport_model::{
    Actor, AutomationId, Digest, Effect, EffectId, EffectStatus, Event, EventType, Name, Record, RecordId, Run, RunId,
    RunStatus, SegmentName, Timestamp,
};

/// Everything that one slice, request row or import row changes. It commits whole or not at all.
#[derive(Debug, Clone)]
pub struct UnitOfWork {
    /// When its changes were true: the `time` of record events, `created_at` and `updated_at` of records.
    pub time: Timestamp,
    /// Who makes them.
    pub actor: Actor,
    /// The run that makes them.
    pub run: Option<RunId>,
    /// The position of the event that the run reacts to.
    pub cause: Option<i64>,
    /// How deep in a cause chain the events appended here stand.
    pub depth: u16,
    /// The record versions that the unit was decided on. One that has moved is a [`Conflict`](crate::StoreError::Conflict).
    pub reads: Vec<ReadVersion>,
    /// The locks that the unit took, each with how often it had been taken before. If somebody else has taken one since, that is a
    /// [`LockMoved`](crate::StoreError::LockMoved).
    pub locks: Vec<(String, i64)>,
    /// The changes of records, applied in order; one record may be put several times.
    pub puts: Vec<Put>,
    /// Outside or emitted events. They stand in the log before the events of `puts`.
    pub events: Vec<NewEvent>,
    /// What happens to an event whose outside identity is in the log already.
    pub on_duplicate: Duplicate,
    /// The step that the run takes with this unit.
    pub run_state: Option<RunUpdate>,
    /// The state that the run must still be in, and the version that it must still have, where it makes a difference who steps first:
    /// a slice of a run that was woken without a commit finds it waiting, or has nothing to say.
    pub run_from: Option<(RunStatus, Digest)>,
    /// The version that the run of `run_state` goes on with, if that is another one.
    pub run_digest: Option<Digest>,
    /// What happens to the journal of the unit's run.
    pub journal: JournalStep,
    /// What happens to effects.
    pub effects: Vec<EffectStep>,
    /// The bytes of files that its records name.
    pub blobs: Vec<Blob>,
    /// Who comes into segments and who leaves them; a record takes one step in a segment at most.
    pub stays: Vec<Stay>,
    /// How far live segments have followed the log and time by that.
    pub followed: Option<Followed>,
    /// Additions to the registry. A unit with some commits in a physical transaction of its own.
    pub schema: Vec<SchemaChange>,
    /// Changes of what is live. A unit with some commits in a physical transaction of its own.
    pub automations: Vec<AutomationChange>,
    /// The answer to keep for a request that may come again.
    pub idempotency: Option<IdempotencyPut>,
    /// Whether its events start automations.
    pub triggers: Triggers,
    /// Only where a recorded log is played again: what its events were there, one after another.
    pub replayed: Option<Vec<Stamp>>,
}

impl UnitOfWork {
    /// A unit that changes nothing yet.
    #[must_use]
    pub const fn new(time: Timestamp, actor: Actor) -> Self {
        Self {
            time,
            actor,
            run: None,
            cause: None,
            depth: 0,
            reads: Vec::new(),
            locks: Vec::new(),
            puts: Vec::new(),
            events: Vec::new(),
            on_duplicate: Duplicate::Skip,
            run_state: None,
            run_from: None,
            run_digest: None,
            journal: JournalStep::None,
            effects: Vec::new(),
            blobs: Vec::new(),
            stays: Vec::new(),
            followed: None,
            schema: Vec::new(),
            automations: Vec::new(),
            idempotency: None,
            triggers: Triggers::Fire,
            replayed: None,
        }
    }
}

/// A record comes into a segment or leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The segment.
    pub segment: SegmentName,
    /// The record.
    pub id: RecordId,
    /// When.
    pub at: Timestamp,
    /// Which of both.
    pub step: StayStep,
}

/// Which way a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StayStep {
    /// It comes.
    Enter,
    /// It leaves. One that is not there does not.
    Leave,
}

/// How far live segments have followed the log, and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// The position up to which all events were taken into account.
    pub position: i64,
    /// The instant up to which the passing of time was.
    pub swept_at: Timestamp,
}

/// The bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Their digest.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// What happens to the journal of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalStep {
    /// Nothing.
    None,
    /// The run waits: what its slice called is kept, and what wakes it.
    Append {
        /// The number of the slice, from 0.
        slice: i64,
        /// Its calls, as JSON text.
        entries: String,
        /// The events of which the first wakes it, if any do.
        waits: Vec<WaitFor>,
    },
    /// The run was woken: it waits for nothing now.
    Woken,
    /// The run was held back while it waited, and waits again for the same.
    WaitsAgain,
    /// The run goes on from a shorter journal: its slices, by number, as they are now. It waits for nothing.
    Cut(Vec<(i64, String)>),
    /// The run has ended: nothing wakes it any more.
    End {
        /// The number of its last slice.
        slice: i64,
        /// The calls of that slice, as JSON text.
        entries: String,
        /// How long the journal is kept; none: it goes at once.
        kept_until: Option<Timestamp>,
    },
}

/// What happens to an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectStep {
    /// It is to be carried out. One whose key is known, since its run was sent back to the call, is carried out anew.
    Add(Box<Effect>),
    /// It moved on. What was answered stays so; one that was called off while it was on its way counts as answered.
    Move(EffectMove),
}

impl EffectStep {
    /// The effect that is added, if one is.
    #[must_use]
    pub fn added(&self) -> Option<&Effect> {
        match self {
            Self::Add(effect) => Some(effect),
            Self::Move(_) => None,
        }
    }
}

/// Where an effect moves.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectMove {
    /// The effect.
    pub id: EffectId,
    /// Where it stands after.
    pub status: EffectStatus,
    /// How often it was tried.
    pub attempt: u16,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// When it is given up.
    pub deadline_at: Timestamp,
    /// When it was answered or given up.
    pub finished_at: Option<Timestamp>,
    /// What came back.
    pub reply: Option<serde_json::Value>,
    /// Why it failed last.
    pub error: Option<String>,
}

/// The events that may wake a run: those of a type whose field has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitFor {
    /// The type.
    pub kind: EventType,
    /// The field.
    pub field: Name,
    /// Its value, as JSON text.
    pub value: String,
    /// Only events after this position count.
    pub after: i64,
}

/// A record version that a unit was decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadVersion {
    /// The object.
    pub object: Name,
    /// The record.
    pub id: RecordId,
    /// Its version; 0: it must not be there.
    pub version: i64,
}

/// What happens to an event whose outside identity is in the log already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// It is left out and counted; the rest of the unit goes on.
    Skip,
    /// The unit is refused.
    Refuse,
}

/// Where and when an event was recorded in the log that is played again. The runs that it starts are named after that, so
/// that they have the ids, and draw the ids and random numbers, that they had there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its position there.
    pub position: i64,
    /// When it was committed there.
    pub recorded_at: Timestamp,
}

/// Whether events start automations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Triggers {
    /// They do.
    Fire,
    /// They do, but for this automation.
    FireExcept(AutomationId),
    /// They do not, and never will.
    Skip,
}

/// The step that a run takes: one that [`RunStatus::may_become`] allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunUpdate {
    /// The run.
    pub id: RunId,
    /// Where it stands after.
    pub status: RunStatus,
    /// How often it was tried.
    pub attempt: u16,
    /// When it is tried next, or woken at the latest.
    pub wake_at: Option<Timestamp>,
    /// The position of the event that wakes it.
    pub wake_event: Option<i64>,
    /// Which of the events that it waited for that is, from 0.
    pub wake_index: Option<i64>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it did, as JSON text.
    pub trace: Option<String>,
}

/// A change of what is live.
#[derive(Debug, Clone)]
pub enum AutomationChange {
    /// Keeps content under its digest. Keeping the same content twice changes nothing.
    PutArtifact(Artifact),
    /// Says that content, kept before or by the same unit, is a draft of an automation.
    Push(AutomationId, Digest),
    /// Makes a version live, in place of the one before.
    Activate(Activation),
    /// Makes a version live again that was live before the present one; the log tells it from an activation.
    RollBack(Activation),
    /// Takes an automation out of service; its runs stay.
    Deactivate(AutomationId),
}

/// What content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// A Rhai script.
    Script,
    /// A WebAssembly component.
    Component,
    /// The interpreter that scripts run in.
    Interpreter,
    /// Other content, by its digest, with the settings that were chosen for it.
    Settings,
}

impl ArtifactKind {
    /// Its name, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Component => "component",
            Self::Interpreter => "interpreter",
            Self::Settings => "settings",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Script, Self::Component, Self::Interpreter, Self::Settings].into_iter().find(|k| k.as_str() == text)
    }
}

/// Content named by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// What it is.
    pub kind: ArtifactKind,
    /// Where it came from, for people.
    pub path: String,
    /// The content.
    pub bytes: Arc<[u8]>,
}

/// A version that becomes live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The automation.
    pub id: AutomationId,
    /// Its content, kept before or by the same unit.
    pub digest: Digest,
    /// Its declaration, as JSON text.
    pub declaration: String,
    /// Its settings, as JSON text.
    pub settings: String,
}

/// An automation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutomationRow {
    /// Its id.
    pub id: AutomationId,
    /// Whether new events start it.
    pub active: bool,
    /// The content it runs.
    pub digest: Digest,
    /// What the content is.
    pub kind: ArtifactKind,
    /// Where the content came from.
    pub path: String,
    /// Its declaration, as JSON text.
    pub declaration: String,
    /// Its settings, as JSON text.
    pub settings: String,
    /// When this version became live.
    pub activated_at: Timestamp,
}

/// The answer kept for a request that may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyPut {
    /// Whose key it is.
    pub actor: Actor,
    /// The key.
    pub key: String,
    /// The digest of the request.
    pub fingerprint: Digest,
    /// What was answered.
    pub response: Vec<u8>,
    /// When the key may be used anew.
    pub expires_at: Timestamp,
}

/// What came of a unit. Everything in it is durable.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// The events appended, in log order.
    pub events: Vec<Arc<Event>>,
    /// The places in [`UnitOfWork::events`] of those left out as duplicates.
    pub duplicates: Vec<usize>,
    /// The runs that its events started, in the order of (position, automation).
    pub runs: Vec<Arc<Run>>,
    /// Every record that `puts` named, as this unit left it; `None`: deleted.
    pub records: Vec<(RecordId, Option<Arc<Record>>)>,
}
