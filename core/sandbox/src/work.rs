//! What a guest is called with, and what it answers: one variant for each role that a component can have.

use std::fmt;

use rapport_model::{Declaration, fan_out, schedule};

use crate::host::{GuestEvent, GuestFields};

/// A role that a component plays: an interface that it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Handles events.
    OnEvent,
    /// Handles the instants of schedules.
    OnSchedule,
    /// Does what it is asked to do by name.
    OnAction,
    /// Answers requests.
    OnRequest,
    /// Judges changes before they are made.
    Validator,
    /// Takes back what its runs did.
    Compensator,
    /// Carries its data from version to version.
    Migrator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 7] = [
        Self::OnEvent,
        Self::OnSchedule,
        Self::OnAction,
        Self::OnRequest,
        Self::Validator,
        Self::Compensator,
        Self::Migrator,
    ];

    /// The interface that a component exports for it.
    #[must_use]
    pub const fn interface(self) -> &'static str {
        match self {
            Self::OnEvent => "on-event",
            Self::OnSchedule => "on-schedule",
            Self::OnAction => "on-action",
            Self::OnRequest => "on-request",
            Self::Validator => "validator",
            Self::Compensator => "compensator",
            Self::Migrator => "migrator",
        }
    }

    /// The function of that interface.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Validator => "validate",
            Self::Compensator => "compensate",
            Self::Migrator => "migrate",
            Self::OnEvent | Self::OnSchedule | Self::OnAction | Self::OnRequest => "handle",
        }
    }

    /// What stands in a manifest that asks for it.
    #[must_use]
    pub const fn declared_by(self) -> &'static str {
        match self {
            Self::OnEvent => "`[[triggers]]` or `invocable`",
            Self::OnSchedule => "`[[schedules]]`",
            Self::OnAction => "`[[actions]]`",
            Self::OnRequest => "`[[routes]]`",
            Self::Validator => "`[[hooks]]`",
            Self::Compensator => "`compensate`",
            Self::Migrator => "`[[migrations]]`",
        }
    }

    /// Whether `declaration` asks for it.
    #[must_use]
    pub fn is_declared(self, declaration: &Declaration) -> bool {
        match self {
            Self::OnEvent => !declaration.triggers.is_empty() || declaration.invocable,
            Self::OnSchedule => !declaration.schedules.is_empty(),
            Self::OnAction => !declaration.actions.is_empty(),
            Self::OnRequest => !declaration.routes.is_empty(),
            Self::Validator => !declaration.hooks.is_empty(),
            Self::Compensator => declaration.compensate,
            Self::Migrator => !declaration.migrations.is_empty(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.interface())
    }
}

/// One piece of work for a guest.
#[derive(Debug, Clone)]
pub enum Work {
    /// An event. To a script also an instant of a schedule.
    Event(GuestEvent),
    /// An instant of a schedule.
    Schedule(GuestEvent),
    /// A call of an action.
    Action(ActionCall),
    /// A request to a route.
    Request(Request),
    /// A change to be judged.
    Validate(ProposedChange),
    /// A run to be taken back.
    Compensate(Undone),
    /// A step of a migration.
    Migrate(MigrationStep),
    /// A call of a function of a script.
    Function(FunctionCall),
}

impl From<GuestEvent> for Work {
    fn from(event: GuestEvent) -> Self {
        // `schedule.created` and the like are changes of the record that a schedule is.
        match event.event.kind.as_str() {
            schedule::DUE | fan_out::EACH => Self::Schedule(event),
            _ => Self::Event(event),
        }
    }
}

impl Work {
    /// The role that it is for; none for a call of a script's function.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        Some(match self {
            Self::Event(_) => Role::OnEvent,
            Self::Schedule(_) => Role::OnSchedule,
            Self::Action(_) => Role::OnAction,
            Self::Request(_) => Role::OnRequest,
            Self::Validate(_) => Role::Validator,
            Self::Compensate(_) => Role::Compensator,
            Self::Migrate(_) => Role::Migrator,
            Self::Function(_) => return None,
        })
    }
}

/// A call of an action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionCall {
    /// The action, as the manifest names it.
    pub action: String,
    /// The input, JSON.
    pub input: String,
    /// Who calls.
    pub caller: String,
    /// The position of the event that stands for the call; 0 if there is none.
    pub event_position: i64,
}

/// A request to one of a plugin's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The route that matched.
    pub route: String,
    /// The method.
    pub method: String,
    /// What follows `/x/PLUGIN`, decoded.
    pub path: String,
    /// The parts of the path that the route names.
    pub path_params: Vec<(String, String)>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Who sent it; empty if nobody is known.
    pub actor: String,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Headers, as the guest gave them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A change that somebody is about to make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProposedChange {
    /// The object.
    pub object: String,
    /// The record; empty while it is not there yet.
    pub id: String,
    /// `create`, `update` or `delete`.
    pub operation: String,
    /// The fields of the record that are set, as it is; empty if it is to be created.
    pub before: GuestFields,
    /// The fields of the record that would be set; empty if it is to be deleted.
    pub after: GuestFields,
    /// Who makes it.
    pub actor: String,
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// A stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The field that is wrong; empty: the whole.
    pub field: String,
}

/// A run that is to be taken back.
#[derive(Debug, Clone, Default)]
pub struct Undone {
    /// Its id.
    pub run: String,
    /// The version that made it.
    pub automation_digest: String,
    /// The event that it was called with.
    pub event: Option<GuestEvent>,
    /// The action that it was called with.
    pub action: Option<ActionCall>,
}

/// A step of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MigrationStep {
    /// The version whose data there is.
    pub from: String,
    /// The version whose data there is to be.
    pub to: String,
    /// Where the step before ended; empty for the first.
    pub cursor: String,
    /// Whether nothing will be kept of what it writes.
    pub dry_run: bool,
}

/// A call of a function of a script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FunctionCall {
    /// The function.
    pub function: String,
    /// Its arguments, a JSON array.
    pub arguments: String,
}

/// What a guest answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Output {
    /// Nothing: the work is done, or it failed.
    #[default]
    Done,
    /// JSON, from an action or a function.
    Json(String),
    /// The answer to a request.
    Response(Response),
    /// The change is refused.
    Refused(Refusal),
    /// Where the next step of a migration begins.
    Cursor(String),
}
