//! How an engine is set up.

use std::sync::Arc;

use rapport_model::{FileRules, Limits};

use crate::effects::transport::{Capture, Transport};
use crate::entropy::{Entropy, RunSecret, SystemEntropy};

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What slices may use.
    pub limits: Limits,
    /// Where ids come from.
    pub entropy: Arc<dyn Entropy>,
    /// What the random numbers of runs follow from, beside the run; none: the secret that the workspace keeps.
    pub secret: Option<RunSecret>,
    /// What carries effects out.
    pub transport: Arc<dyn Transport>,
    /// Which files may come in.
    pub files: FileRules,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            entropy: Arc::new(SystemEntropy),
            secret: None,
            transport: Arc::new(Capture),
            files: FileRules::default(),
        }
    }
}
