//! What can go wrong with the sandbox itself, and with a guest inside it.

use std::path::PathBuf;

use rapport_model::Budgets;

use crate::work::Output;

/// The sandbox, a script or a component could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The script does not pass its check.
    #[error("{}", list(.0))]
    Script(Vec<Diagnostic>),
    /// The bytes are not a component that this host can run.
    #[error("not a component that can be loaded: {0}")]
    Component(String),
    /// The component asks for something that the sandbox does not offer.
    #[error(
        "the component imports `{import}`, which the sandbox does not offer: it offers `rapport:plugin/*@0.1.0` and what \
         the standard library of `wasm32-wasip2` needs"
    )]
    Import {
        /// The import.
        import: String,
    },
    /// The component lacks an export, or has it with another type.
    #[error("the component does not export `{export}` as the world `rapport:plugin/plugin@0.1.0` has it: {why}")]
    Export {
        /// The export.
        export: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The script or component is larger than the operator allows.
    #[error("{what} has {bytes} bytes; the limit is {max} (`limits.{limit}`, only the operator raises it)")]
    TooLarge {
        /// `the script` or `the component`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
        /// The limit's name.
        limit: &'static str,
    },
    /// The guest failed while it was made ready.
    #[error("could not be made ready: {0}")]
    Guest(#[from] GuestFailure),
    /// A file could not be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `plugin.toml` is not right.
    #[error("{0}")]
    Manifest(String),
    /// The plugin could not be built.
    #[error("building the plugin failed: {0}")]
    Build(String),
    /// The sandbox itself could not start.
    #[error("the sandbox cannot start: {0}")]
    Start(String),
}

fn list(all: &[Diagnostic]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {message}{}", help_line(.help))]
pub struct Diagnostic {
    /// The script.
    pub path: String,
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
}

fn help_line(help: &str) -> String {
    if help.is_empty() { String::new() } else { format!("\n  help: {help}") }
}

/// Why a guest did not finish its slice. The text is for authors and operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuestFailure {
    /// The guest said so, or a host call that failed was not caught.
    #[error("{message}")]
    Failed {
        /// A stable code.
        code: String,
        /// What is wrong; names file, line and column where known.
        message: String,
        /// The same slice may succeed later.
        retryable: bool,
    },
    /// The host ended the slice: see [`crate::HostError::ends_slice`].
    #[error("{message}")]
    Ended {
        /// The host's code.
        code: String,
        /// The host's message.
        message: String,
        /// The same slice may succeed later.
        retryable: bool,
    },
    /// The fuel is spent.
    #[error(
        "used its {max} units of fuel; look for an endless loop, or ask the operator to raise `limits.slice_fuel_max`"
    )]
    OutOfFuel {
        /// The limit.
        max: u64,
    },
    /// The time is up.
    #[error("took longer than {max_ms} ms, host calls included; ask the operator to raise `limits.slice_wall_ms_max`")]
    Deadline {
        /// The limit.
        max_ms: u64,
    },
    /// More memory than allowed.
    #[error("needed more than {max} bytes of memory; ask the operator to raise `limits.slice_memory_bytes_max`")]
    Memory {
        /// The limit.
        max: usize,
    },
    /// More table elements than allowed.
    #[error("needed more than {max} table elements; ask the operator to raise `limits.slice_table_elements_max`")]
    Table {
        /// The limit.
        max: usize,
    },
    /// Calls nested too deeply.
    #[error("nested its calls beyond {max} bytes of stack; ask the operator to raise `limits.slice_stack_bytes_max`")]
    Stack {
        /// The limit.
        max: usize,
    },
    /// Too many host calls.
    #[error("made more than {max} host calls; ask the operator to raise `limits.slice_host_calls_max`")]
    HostCalls {
        /// The limit.
        max: u32,
    },
    /// The event, or what was read, is too large.
    #[error("was given more than {max} bytes; ask the operator to raise `limits.slice_input_bytes_max`")]
    Input {
        /// The limit.
        max: usize,
    },
    /// What the guest wrote or emitted is too large.
    #[error("wrote more than {max} bytes; ask the operator to raise `limits.slice_output_bytes_max`")]
    Output {
        /// The limit.
        max: usize,
    },
    /// More than its own manifest allows.
    #[error(
        "needed more than `{budget} = {max}` under [budgets] in its plugin.toml; raise it there, up to the operator's limit"
    )]
    Budget {
        /// The budget.
        budget: &'static str,
        /// What it says.
        max: u64,
    },
    /// The guest broke: a panic, an `unreachable`, a memory fault, an import that the sandbox does not offer.
    #[error("broke down: {0}")]
    Trap(String),
}

impl GuestFailure {
    /// A stable code for the run's trace and the API.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Failed { code, .. } | Self::Ended { code, .. } => code,
            Self::OutOfFuel { .. } => "fuel",
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Table { .. } => "table",
            Self::Stack { .. } => "stack",
            Self::HostCalls { .. } => "host_calls",
            Self::Input { .. } => "input",
            Self::Output { .. } => "output",
            Self::Budget { budget, .. } => match *budget {
                "memory_bytes" => "memory",
                "wall_ms" => "deadline",
                other => other,
            },
            Self::Trap(_) => "trap",
        }
    }

    /// Names the budget instead of the operator's limit, where it was the budget that the guest has passed.
    pub(crate) fn name_budget(&mut self, budgets: &Budgets) {
        let passed = match self {
            Self::OutOfFuel { max } => ("fuel", *max, budgets.fuel),
            Self::Memory { max } => ("memory_bytes", u64::try_from(*max).unwrap_or(u64::MAX), budgets.memory_bytes),
            Self::Deadline { max_ms } => ("wall_ms", *max_ms, budgets.wall_ms),
            Self::HostCalls { max } => ("host_calls", u64::from(*max), budgets.host_calls),
            _ => return,
        };
        if let (budget, max, Some(asked)) = passed
            && asked == max
        {
            *self = Self::Budget { budget, max };
        }
    }

    /// Whether the same slice may succeed later. A deadline may: the machine or the database may have been busy.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { retryable, .. } | Self::Ended { retryable, .. } => *retryable,
            Self::Deadline { .. } | Self::Budget { budget: "wall_ms", .. } => true,
            _ => false,
        }
    }
}

/// What one slice used, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceReport {
    /// Fuel spent.
    pub fuel: u64,
    /// Wall-clock microseconds, host calls included.
    pub micros: u64,
    /// Bytes of linear memory that the instance holds at the end.
    pub memory_bytes: usize,
    /// Host calls made.
    pub host_calls: u32,
    /// How it ended.
    pub outcome: Result<(), GuestFailure>,
    /// What the guest answered, if it ended well.
    pub output: Output,
}
