//! `plugin.toml`: what a plugin is and what it asks for.

use rapport_model::automation::Capability;
use rapport_model::{AutomationId, Declaration};

use crate::SandboxError;

/// What `plugin.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The plugin's name.
    pub id: AutomationId,
    /// Its version, such as `1.2.0`.
    pub version: String,
    /// The contract it was built against: `0.1`.
    pub api: String,
    /// Who ships it.
    pub publisher: String,
    /// What it wants; the host grants no more.
    pub declaration: Declaration,
    /// Why it wants each right.
    pub reasons: Vec<(Capability, String)>,
}

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    ///
    /// # Errors
    /// [`SandboxError::Manifest`] naming the line and what to write instead.
    pub fn parse(_text: &str) -> Result<Self, SandboxError> {
        Err(SandboxError::Manifest("interface only so far".into()))
    }
}
