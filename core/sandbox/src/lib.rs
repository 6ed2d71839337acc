//! Runs scripts and plugins: WebAssembly components under limits, against a [`Host`].
//!
//! It owns compiling, instances, limits and the passage of values. It never sees SQL, HTTP or rights: those are the
//! engine's, behind [`Host`]. Scripts run in the interpreter, which is a component too, so that both kinds of guest share
//! one host interface and one set of limits.

pub mod error;
pub mod host;
pub mod manifest;
pub mod sandbox;

pub use error::{Diagnostic, GuestFailure, SandboxError, SliceReport};
pub use host::{FindRequest, GuestEvent, GuestFields, Host, HostError, LogLevel, RecordData};
pub use manifest::Manifest;
pub use sandbox::{Program, ProgramKind, Sandbox, SandboxConfig};
