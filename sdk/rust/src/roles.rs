//! What a plugin is called for: one trait for each role that it can have.

use serde::de::DeserializeOwned;

use crate::bindings::rapport::plugin::calls as wire;
use crate::route::{Request, Response};
use crate::{Error, Event, Fields, Json};

/// Handles events that the plugin's triggers matched, and being invoked. Manifest: `[[triggers]]`, `invocable`.
pub trait OnEvent {
    /// Handles one event.
    ///
    /// # Errors
    /// An error fails the slice: nothing that it wrote is kept. A retryable one is tried again later.
    fn on_event(event: Event) -> Result<(), Error>;
}

/// Handles the instants of the plugin's schedules. Manifest: `[[schedules]]`.
pub trait OnSchedule {
    /// Handles one instant: `schedule.due`, or `schedule.each` for one record of a fan-out.
    ///
    /// # Errors
    /// As for [`OnEvent::on_event`].
    fn on_schedule(event: Event) -> Result<(), Error>;
}

/// Does what the plugin is asked to do by name. Manifest: `[[actions]]`.
pub trait OnAction {
    /// Does one action, and gives its output.
    ///
    /// # Errors
    /// As for [`OnEvent::on_event`]; the caller is told the code and the message.
    fn on_action(call: Call) -> Result<Json, Error>;
}

/// Answers requests below `/x/PLUGIN/`. Manifest: `[[routes]]`.
pub trait OnRequest {
    /// Answers one request.
    ///
    /// # Errors
    /// As for [`OnEvent::on_event`]; the sender sees that something failed, not what.
    fn on_request(request: Request) -> Result<Response, Error>;
}

/// Looks at changes before they are made. It is pure: only [`crate::log`] and [`crate::settings`] answer. Manifest: `[[hooks]]`.
pub trait Validator {
    /// Judges one change.
    ///
    /// # Errors
    /// A [`Refusal`] refuses the change; whoever makes it is told why.
    fn validate(change: Change) -> Result<(), Refusal>;
}

/// Takes back what a run of the plugin did, in place of the host's writing the opposite. Manifest: `compensate = true`.
pub trait Compensator {
    /// Takes back one run. What this writes is the undo's, and can be undone.
    ///
    /// # Errors
    /// As for [`OnEvent::on_event`]: the run is then not undone.
    fn compensate(undone: Undone) -> Result<(), Error>;
}

/// Carries the plugin's data from version to version. Manifest: `[[migrations]]`.
pub trait Migrator {
    /// Does one step, and gives where the next one begins; `None` when all is done. Each step is a slice: keep it small.
    ///
    /// # Errors
    /// As for [`OnEvent::on_event`]: the migration stops there, and goes on from there when it is tried again.
    fn migrate(step: Step) -> Result<Option<String>, Error>;
}

/// A call of an action.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Call {
    /// The action, as the manifest names it.
    pub action: String,
    /// The input; it fits the action's schema.
    pub input: Json,
    /// Who calls: `user:mei`, `automation:loyalty/earn`.
    pub caller: String,
    /// The position of the event that stands for the call; 0 for an action that only reads.
    pub event_position: u64,
}

impl Call {
    /// The input as a type of the plugin's own.
    ///
    /// ```
    /// use rapport_sdk::Call;
    /// #[derive(serde::Deserialize)]
    /// struct Redeem { customer: String, points: i64 }
    /// let call = Call { input: serde_json::json!({ "customer": "c1", "points": 1000 }), ..Call::default() };
    /// let redeem: Redeem = call.read().unwrap();
    /// assert_eq!((redeem.customer.as_str(), redeem.points), ("c1", 1000));
    /// ```
    ///
    /// # Errors
    /// `invalid`, if the input is of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let read = T::deserialize(&self.input);
        read.map_err(|e| Error::new("invalid", format!("the input of `{}`: {e}", self.action)))
    }
}

impl From<wire::Call> for Call {
    fn from(wire::Call { action, input, caller, event_position }: wire::Call) -> Self {
        // The host sends JSON; what were none would be told as a text.
        let input = serde_json::from_str(&input).unwrap_or(Json::String(input));
        Self { action, input, caller, event_position }
    }
}

/// A change that somebody is about to make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// The object.
    pub object: String,
    /// The record; empty while it is not there yet.
    pub id: String,
    /// `create`, `update` or `delete`.
    pub operation: String,
    /// The fields of the record that are set, as it is; empty if it is to be created.
    pub before: Fields,
    /// The fields of the record that would be set; empty if it is to be deleted.
    pub after: Fields,
    /// Who makes it: `user:…`, `key:…`, `automation:…`, `system`.
    pub actor: String,
}

impl Change {
    /// Whether the field would have another value.
    ///
    /// ```
    /// use rapport_sdk::{Change, Fields};
    /// let change = Change { after: Fields::new().with("amount", 5), ..Change::default() };
    /// assert!(change.sets("amount") && !change.sets("status"));
    /// ```
    #[must_use]
    pub fn sets(&self, field: &str) -> bool {
        let value = |fields: &Fields| fields.get(field).cloned().unwrap_or_default();
        value(&self.before) != value(&self.after)
    }
}

impl From<wire::Change> for Change {
    fn from(wire::Change { object, id, operation, before, after, actor }: wire::Change) -> Self {
        let (before, after) = (Fields::from_wire(before), Fields::from_wire(after));
        Self { object, id, operation, before, after, actor }
    }
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// A stable code.
    pub code: String,
    /// What is wrong, for whoever makes the change.
    pub message: String,
    /// The field that is wrong; empty: the whole.
    pub field: String,
}

impl Refusal {
    /// Refuses the change as a whole.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), field: String::new() }
    }

    /// Says which field is wrong.
    #[must_use]
    pub fn at(mut self, field: &str) -> Self {
        self.field = field.into();
        self
    }
}

impl From<Refusal> for wire::Refusal {
    fn from(Refusal { code, message, field }: Refusal) -> Self {
        Self { code, message, field }
    }
}

/// A run of the plugin that is to be undone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Undone {
    /// The run.
    pub run: String,
    /// The version of the plugin that made it.
    pub automation_digest: String,
    /// The event that it was called with.
    pub event: Option<Event>,
    /// The action that it was called with.
    pub action: Option<Call>,
}

impl From<wire::Undone> for Undone {
    fn from(wire::Undone { run, automation_digest, event, action }: wire::Undone) -> Self {
        Self { run, automation_digest, event: event.map(Into::into), action: action.map(Into::into) }
    }
}

/// A step of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// The version whose data there is.
    pub from: String,
    /// The version whose data there is to be.
    pub to: String,
    /// Where the step before ended; `None` for the first.
    pub cursor: Option<String>,
    /// Whether nothing is kept of what it writes.
    pub dry_run: bool,
}

impl From<wire::Step> for Step {
    fn from(wire::Step { from, to, cursor, dry_run }: wire::Step) -> Self {
        Self { from, to, cursor: (!cursor.is_empty()).then_some(cursor), dry_run }
    }
}
