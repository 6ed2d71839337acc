//! The one error of the engine's border: facts with names in them, each with a stable code.

use rapport_model::actor::Actor;
use rapport_model::image::Unfit;
use rapport_model::name::Name;
use rapport_model::rule::RuleError;
use rapport_model::{AutomationId, RunId, Timestamp};
use rapport_sandbox::{Diagnostic, SandboxError};
use rapport_store::StoreError;

/// One field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Where it stands, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => write!(f, "{pointer}: {}", self.message),
        }
    }
}

/// Why the engine did not do what was asked. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No key, or one that is unknown, expired or revoked.
    #[error("{0}")]
    Unauthenticated(String),
    /// The caller may not do this.
    #[error("`{actor}` may not: it needs `{need}`")]
    Forbidden {
        /// Who asked.
        actor: Actor,
        /// The right that is missing.
        need: String,
    },
    /// Somebody else is asked.
    #[error("`{actor}` may not answer this question: it is put to `{who}`; they answer it, or an admin does")]
    NotAsked {
        /// Who would answer.
        actor: Actor,
        /// Who is asked: `role:NAME` or `user:NAME`.
        who: String,
    },
    /// There is no such object.
    #[error("there is no object `{object}`{}", did_you_mean(nearest.as_deref()))]
    UnknownObject {
        /// The name given.
        object: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The object has no such field.
    #[error("`{object}` has no field `{field}`{}", did_you_mean(nearest.as_deref()))]
    UnknownField {
        /// The object.
        object: Name,
        /// The name given.
        field: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// There is no such event type.
    #[error("there is no event type `{kind}`{}: declare it first", did_you_mean(nearest.as_deref()))]
    UnknownEventType {
        /// The type given.
        kind: String,
        /// The nearest type that exists.
        nearest: Option<String>,
    },
    /// Types of record changes come from the core alone.
    #[error("`{0}` is a change of a record: it comes from the core alone, write the record instead")]
    ReservedEventType(String),
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// There is no such action.
    #[error("{0}")]
    UnknownAction(String),
    /// The plugin does not let this action be called from here.
    #[error("{0}")]
    NotCallable(String),
    /// The run of an action died, or was cancelled.
    #[error("`{action}` failed: {code}: {message}")]
    ActionFailed {
        /// The action.
        action: String,
        /// Its run; none of an action that only reads.
        run: Option<RunId>,
        /// The code with which it failed.
        code: String,
        /// Why.
        message: String,
    },
    /// A plugin that broke down again and again is left alone for a while.
    #[error(
        "the plugin `{plugin}` broke down again and again and is left alone until {until}: `rapport plugin enable {plugin}` lets \
         it go on at once"
    )]
    Resting {
        /// The plugin.
        plugin: AutomationId,
        /// Until when.
        until: Timestamp,
        /// The same in seconds from now.
        seconds: u64,
    },
    /// Data of a plugin are moved from version to version: nothing else of it works meanwhile.
    #[error("{why}")]
    Migrating {
        /// The plugin.
        plugin: AutomationId,
        /// How far it is.
        why: String,
        /// When to come again, in seconds.
        seconds: u64,
    },
    /// A slice of a migration has died: what was committed before it stays.
    #[error("the migration of `{plugin}` has failed: {why}")]
    MigrationFailed {
        /// The plugin.
        plugin: AutomationId,
        /// Where, and why.
        why: String,
        /// The plugin as it stands.
        shown: serde_json::Value,
    },
    /// A plugin could not answer a request to one of its addresses.
    #[error("`{route}` failed: {code}: {message}")]
    RouteFailed {
        /// The plugin and its route: `loyalty POST /partners/{partner}/earn`.
        route: String,
        /// The run; none of a request that only reads.
        run: Option<RunId>,
        /// The code with which it failed.
        code: String,
        /// Why.
        message: String,
    },
    /// A plugin could not take back what its run did.
    #[error("the compensator of `{plugin}` failed: {code}: {message}")]
    Compensator {
        /// The plugin.
        plugin: AutomationId,
        /// The code with which it failed.
        code: String,
        /// Why.
        message: String,
    },
    /// A plugin refuses the change.
    #[error("`{plugin}` refuses it: {message} ({code})")]
    Refused {
        /// The plugin.
        plugin: AutomationId,
        /// The object of the record that would be changed.
        object: Name,
        /// Its code for this.
        code: String,
        /// Why, in its words.
        message: String,
        /// The field that is wrong; empty: the whole.
        field: String,
    },
    /// A plugin has to judge the change, and cannot at present.
    #[error("`{plugin}` has to look at each change of `{object}` first, and could not: {code}: {message}")]
    Unjudged {
        /// The plugin.
        plugin: AutomationId,
        /// The object.
        object: Name,
        /// The code with which it failed.
        code: String,
        /// Why.
        message: String,
    },
    /// A field of the request is wrong.
    #[error("{}", .0.iter().map(FieldProblem::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldProblem>),
    /// A rule cannot be read.
    #[error("line {}, column {}: {}{}", .0.line, .0.column, .0.message, hint(&.0.help))]
    Rule(RuleError),
    /// Somebody else changed the same record again and again.
    #[error("{0}")]
    Conflict(String),
    /// The record is not at the version that the caller named.
    #[error("the record is at version {current}")]
    VersionMismatch {
        /// Its version.
        current: i64,
    },
    /// Another record holds the value of a unique field.
    #[error("another `{object}` has `{field}` = {value}")]
    Unique {
        /// The object.
        object: String,
        /// The field.
        field: String,
        /// The value.
        value: String,
    },
    /// Other records refer to the one to be deleted.
    #[error("{0}")]
    Referenced(String),
    /// A history load is open: nothing else may write.
    #[error("the history load `{name}` is open: wait until it is closed, or close it with DELETE /v1/loads/{name}")]
    LoadOpen {
        /// Its name.
        name: String,
    },
    /// An idempotency key was used for another request.
    #[error("{0}")]
    Idempotency(String),
    /// Something is larger than its limit.
    #[error("{what} is larger than {limit}")]
    TooLarge {
        /// What is.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// There would be more than there may be.
    #[error("{0}")]
    Quota(String),
    /// A script did not pass its check.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Script(Vec<Diagnostic>),
    /// A plugin did not pass its check.
    #[error("{0}")]
    Plugin(String),
    /// A file is no package, or one that was changed.
    #[error("{0}")]
    Package(String),
    /// A package that may not come in: nobody signed it, somebody else did, or it is blocked.
    #[error("{0}")]
    Untrusted(String),
    /// A plugin asks for what was not granted.
    #[error("`{plugin}` asks for what was not granted: {}", more.join(", "))]
    GrantNeeded {
        /// The plugin.
        plugin: AutomationId,
        /// What it asks for.
        more: Vec<String>,
    },
    /// The disk is full.
    #[error("the disk of the database is full: nothing was written")]
    Full,
    /// The database cannot be reached.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// A fault of ours; the text is for the log alone.
    #[error("{0}")]
    Internal(String),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default()
}

fn hint(help: &str) -> String {
    if help.is_empty() { String::new() } else { format!(": {help}") }
}

impl EngineError {
    /// The stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Forbidden { .. } | Self::NotAsked { .. } => "forbidden",
            Self::UnknownObject { .. } => "unknown_object",
            Self::UnknownField { .. } => "unknown_field",
            Self::UnknownEventType { .. } => "unknown_event_type",
            Self::ReservedEventType(_) => "reserved_event_type",
            Self::NotFound { .. } => "not_found",
            Self::UnknownAction(_) => "unknown_action",
            Self::NotCallable(_) => "not_callable",
            Self::ActionFailed { .. } => "action_failed",
            Self::RouteFailed { .. } => "route_failed",
            Self::Compensator { .. } => "compensator_failed",
            Self::Resting { .. } => crate::usage::RESTING,
            Self::Migrating { .. } => crate::plugins::MIGRATING,
            Self::MigrationFailed { .. } => "migration_failed",
            Self::Refused { .. } => "refused",
            Self::Unjudged { .. } => "unjudged",
            Self::Invalid(_) => "invalid",
            Self::Rule(_) => "invalid_rule",
            Self::Conflict(_) => "conflict",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::Unique { .. } => "unique",
            Self::Referenced(_) => "referenced",
            Self::LoadOpen { .. } => "load_open",
            Self::Idempotency(_) => "idempotency_key_reused",
            Self::TooLarge { .. } => "too_large",
            Self::Quota(_) => "quota",
            Self::Script(_) => "invalid_script",
            Self::Plugin(_) => "invalid_plugin",
            Self::Package(_) => "invalid_package",
            Self::Untrusted(_) => "untrusted_package",
            Self::GrantNeeded { .. } => "grant_needed",
            Self::Full => "disk_full",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// One wrong field.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem { pointer: pointer.into(), message: message.into() }])
    }

    /// A thing that is not there.
    #[must_use]
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// The fields of the request that are wrong.
    #[must_use]
    pub fn pointers(&self) -> Vec<FieldProblem> {
        match self {
            Self::Invalid(problems) => problems.clone(),
            Self::UnknownField { field, .. } | Self::Unique { field, .. } => {
                vec![FieldProblem { pointer: format!("/{field}"), message: self.to_string() }]
            }
            Self::Refused { field, .. } => {
                let pointer = if field.is_empty() { String::new() } else { format!("/{field}") };
                vec![FieldProblem { pointer, message: self.to_string() }]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the same request may succeed when tried again at once, on fresh data.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

impl From<Unfit> for EngineError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::UnknownField { object, field } => Self::UnknownField { object, field, nearest: None },
            Unfit::Relation(fault) => Self::invalid(format!("/{}", fault.field), fault.why),
            Unfit::Calendar(fault) => Self::invalid(format!("/definition{}", fault.place), fault.message),
            Unfit::Required { ref field }
            | Unfit::Rollup { ref field, .. }
            | Unfit::Misfit { ref field, .. }
            | Unfit::Increment { ref field, .. } => Self::invalid(format!("/{field}"), unfit.to_string()),
        }
    }
}

impl From<RuleError> for EngineError {
    fn from(error: RuleError) -> Self {
        Self::Rule(error)
    }
}

impl From<SandboxError> for EngineError {
    fn from(error: SandboxError) -> Self {
        Self::Plugin(error.to_string())
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unfit(unfit) => unfit.into(),
            StoreError::Conflict { .. } | StoreError::RunMoved { .. } | StoreError::RecordExists { .. } => {
                Self::Conflict(error.to_string())
            }
            StoreError::Unique { object, field, value } => {
                Self::Unique { object: object.to_string(), field: field.to_string(), value }
            }
            StoreError::MissingRecord { object, id } => Self::not_found(format!("{object} `{id}`")),
            StoreError::ReferenceMissing { ref field, .. } => Self::invalid(format!("/{field}"), error.to_string()),
            StoreError::Referenced { .. } => Self::Referenced(error.to_string()),
            StoreError::Full => Self::Full,
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Schema(message) | StoreError::Invalid(message) => Self::invalid("", message),
            StoreError::UnknownObject(object) => Self::UnknownObject { object, nearest: None },
            other => Self::Internal(other.to_string()),
        }
    }
}
