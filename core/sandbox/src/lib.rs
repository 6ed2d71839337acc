//! Runs scripts and plugins: WebAssembly components under limits, against a [`Host`].
//!
//! It owns compiling, instances, limits and the passage of values. It never sees SQL, HTTP or rights: those are the
//! engine's, behind [`Host`]. Scripts run in the interpreter, which is a component too, so that both kinds of guest share
//! one host interface and one set of limits.
//!
//! A script's instance: made with its script loaded → waits warm → runs a slice → waits again, or is dropped after a trap,
//! a limit, ten thousand calls, or when it has grown large. A plugin's instance lives for one slice.

pub mod author;
mod cache;
mod each;
pub mod error;
mod guest;
pub mod host;
mod imports;
pub mod literals;
pub mod manifest;
mod outline;
mod roles;
mod rollup;
mod runtime;
pub mod sandbox;
mod schedule;
mod segment;
mod slice;
mod state;
mod template;
mod warm;
mod wasi;
mod wire;
pub mod work;

pub use error::{Diagnostic, GuestFailure, SandboxError, SliceReport};
pub use host::{
    Allowance, Arrival, FileInfo, FindRequest, Grouping, GuestEvent, GuestFields, Host, HostError, HttpReply,
    HttpRequest, JobRequest, KvEntry, LogLevel, Measure, NewFile, Outgoing, Question, RecordData, Reply, RunContext,
    ScriptCall, SearchAsked, SearchFound, Selection, Spent, Table, WaitRequest,
};
pub use literals::{Examined, Literal, Named, Target};
pub use manifest::Manifest;
pub use sandbox::{Program, ProgramKind, Sandbox, SandboxConfig};
pub use template::TemplatePart;
pub use work::{Output, Role, Work};
