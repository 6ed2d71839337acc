//! The host of a plugin that judges: its log and its settings answer, nothing else does.

use std::sync::Arc;

use async_trait::async_trait;
use rapport_model::{RecordId, Timestamp, Value};
use rapport_sandbox::{Host, HostError, LogLevel, RunContext};

use crate::entropy::{RunSecret, Stream};
use crate::registry::Version;

/// The host of one judgement.
#[derive(Debug)]
pub(super) struct PureHost {
    version: Arc<Version>,
    /// When the change is made: the same for all who judge it.
    time: Timestamp,
    random: Stream,
}

impl PureHost {
    /// Random numbers follow from `secret` and the record: a commit that is tried again is judged alike.
    pub(super) fn new(version: Arc<Version>, time: Timestamp, (secret, record): (&RunSecret, RecordId)) -> Self {
        Self { version, time, random: secret.stream(&[record.0.as_bytes()]) }
    }
}

#[async_trait]
impl Host for PureHost {
    fn log(&mut self, level: LogLevel, message: &str) {
        tracing::debug!(plugin.id = %self.version.id, log.level = ?level, "the plugin {} judges: {message}", self.version.id);
    }

    fn now(&self) -> Timestamp {
        self.time
    }

    fn random(&mut self, count: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        self.random.fill(&mut bytes);
        bytes
    }

    fn setting(&mut self, name: &str) -> Result<Value, HostError> {
        let unknown = || HostError::permanent("unknown_setting", format!("there is no setting `{name}`"));
        self.version.settings.get(name).cloned().ok_or_else(unknown)
    }

    fn context(&self) -> RunContext {
        RunContext { run: String::new(), plugin: self.version.id.to_string(), actor: String::new(), slice: 1 }
    }
}
