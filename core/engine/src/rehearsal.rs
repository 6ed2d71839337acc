//! Rehearses a run on a version: plays its journal through, does nothing and commits nothing.

use std::sync::Arc;

use rapport_model::Run;
use rapport_sandbox::{GuestEvent, GuestFailure};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::execute::host;
use crate::journal::Journal;
use crate::journaled::{JournaledHost, REHEARSED, Woken};
use crate::registry::Version;

/// Why a run would not go on with a version as it has begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Difference(pub(crate) String);

impl Inner {
    /// Whether the run with this journal goes on with `version` as it has begun: `version` makes the calls of the journal, in
    /// their order, with their arguments. A run without a journal begins anew, and so does with any version.
    ///
    /// # Errors
    /// [`EngineError`] if the database cannot be read; that it does not is the [`Difference`].
    pub(crate) async fn replays_on(
        &self,
        run: &Run,
        journal: Journal,
        version: &Arc<Version>,
    ) -> Result<Result<(), Difference>, EngineError> {
        if journal.is_empty() {
            return Ok(Ok(()));
        }
        if !version.waits() {
            let why = "it never waits, and so cannot go on with what was called before".to_owned();
            return Ok(Err(Difference(why)));
        }
        let missing = || EngineError::Internal(format!("event {} of run {} is missing", run.position, run.id));
        let event = self.store.event(run.position).await?.ok_or_else(missing)?;
        let mut events = Vec::new();
        for position in journal.events() {
            events.extend(self.store.event(position).await?);
        }
        let calls = journal.calls();
        let inner = host(self, run, &event, version.clone());
        let mut rehearsed = JournaledHost::new(inner, journal, Woken::Time, events).rehearsing();
        let record = rehearsed.first_record(&event, None);
        let guest_event = GuestEvent { event, record };
        let (report, host) = self.sandbox.call(&version.program, guest_event, rehearsed).await;
        if let Some(why) = host.differs {
            return Ok(Err(Difference(why)));
        }
        let why = match report.outcome.as_ref().map_err(GuestFailure::code) {
            Err(REHEARSED) => return Ok(Ok(())),
            Ok(()) if host.is_played() => return Ok(Ok(())),
            Ok(()) => format!("the run ends before it has made the {calls} calls that it had made"),
            Err(_) => {
                let failure = report.outcome.err().map(|failure| failure.to_string()).unwrap_or_default();
                format!("the run fails before it has made the {calls} calls that it had made: {failure}")
            }
        };
        Ok(Err(Difference(why)))
    }
}
