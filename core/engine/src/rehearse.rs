//! Rehearses live runs on another version: would each make the calls that its journal knows?
//!
//! A rehearsal answers a run's calls from its journal and ends where the journal ends, before anything is done. Nothing is
//! committed and the run is not touched, so that it may be asked for at any time, and for runs that work meanwhile. What
//! differs is what would pause the run if it went over to that version.

use std::sync::Arc;

use futures::StreamExt as _;
use rapport_model::{Event, Run};
use rapport_sandbox::{GuestEvent, GuestFailure};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::actions;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::execute::host;
use crate::gate::{Act, Caller};
use crate::journal::Journal;
use crate::journaled::{JournaledHost, Rehearsal, Woken};
use crate::registry::Version;

/// Runs of one page if none are asked for, and at most.
const PAGE_RUNS_DEFAULT: u32 = 200;
const PAGE_RUNS_MAX: u32 = 1_000;
/// Runs rehearsed at one time: few, since live runs need the machine as well.
const AT_ONCE: usize = 4;

/// Which runs are rehearsed, and on what.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RehearsalPage {
    /// The version: see [`Engine::activate_version`].
    pub version: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// Runs of the page.
    pub limit: Option<u32>,
}

/// What a rehearsal found that differs.
pub(crate) struct Difference {
    /// Which call of the journal it is, from 1; none: it is about the journal as a whole.
    pub(crate) call: Option<usize>,
    /// The call that the run made instead; none: it made none.
    pub(crate) made: Option<String>,
    pub(crate) why: String,
}

impl Engine {
    /// Rehearses a page of the live runs of `id` (waiting, retrying, paused) on a version, in the order of their ids, and lists
    /// those whose calls would differ, with the place. The first page also says which segments it would fill, and with how many. Nothing
    /// is changed.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`] if there is no such version; [`EngineError::Invalid`].
    pub async fn rehearse(&self, caller: &Caller, id: &str, page: &RehearsalPage) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let limit = page.limit.unwrap_or(PAGE_RUNS_DEFAULT);
        if !(1..=PAGE_RUNS_MAX).contains(&limit) {
            return Err(EngineError::invalid("/limit", format!("must be a whole number from 1 to {PAGE_RUNS_MAX}")));
        }
        let after = page.after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|_| EngineError::invalid("/after", "take `next` of the page before"))?;
        let version = self.inner.named_version(id, page.version.as_deref().unwrap_or("draft")).await?;
        let runs = self.inner.store.held_runs(&version.id, after, limit).await?;
        let next = runs.last().filter(|_| runs.len() >= limit as usize).map(|run| run.id);
        let rehearsed = futures::stream::iter(runs.clone()).map(|run| {
            let (inner, version) = (self.inner.clone(), version.clone());
            // A task each: on threads of their own.
            tokio::spawn(async move { inner.rehearse(&run, &version).await })
        });
        let found: Vec<Result<_, _>> = rehearsed.buffered(AT_ONCE).collect().await;
        let text = self.inner.text_of(&version).await?;
        let mut differ = Vec::new();
        for (run, found) in runs.iter().zip(found) {
            let found = found.map_err(|e| EngineError::Internal(format!("a rehearsal broke off: {e}")))?;
            let Some(Difference { call, made, why }) = found? else { continue };
            let lines = made.filter(|_| text.is_script()).map(|name| lines_calling(&text.text, &name));
            differ.push(json!({
                "run": run.id, "status": run.status.as_str(), "digest": run.digest,
                "call": call, "lines": lines.unwrap_or_default(), "why": why,
            }));
        }
        let counts = self.inner.store.open_by_version(&version.id).await?;
        let held: u64 = counts.iter().filter(|c| c.status != rapport_model::RunStatus::Pending).map(|c| c.count).sum();
        let segments = if page.after.is_none() { self.inner.segment_outlook(&version).await? } else { Vec::new() };
        Ok(json!({
            "id": version.id, "digest": version.digest, "runs": runs.len(), "held": held, "differ": differ,
            "segments": segments, "next": next,
        }))
    }
}

impl Inner {
    /// What would differ if `run` went on with `version`; none if nothing would.
    async fn rehearse(self: &Arc<Self>, run: &Run, version: &Arc<Version>) -> Result<Option<Difference>, EngineError> {
        if run.digest == version.digest {
            return Ok(None);
        }
        let whole = |why: String| Some(Difference { call: None, made: None, why });
        let journal = match Journal::read(&self.store.journal(run.id).await?) {
            Ok(journal) if journal.is_empty() => return Ok(None),
            Ok(journal) => journal,
            Err(why) => return Ok(whole(why)),
        };
        self.rehearse_journal(run, journal, version).await
    }

    /// What would differ if the run with this journal went on with `version`. A run without a journal begins anew, and so does
    /// with any version.
    pub(crate) async fn rehearse_journal(
        &self,
        run: &Run,
        journal: Journal,
        version: &Arc<Version>,
    ) -> Result<Option<Difference>, EngineError> {
        if journal.is_empty() {
            return Ok(None);
        }
        let whole = |why: String| Some(Difference { call: None, made: None, why });
        let Some(event) = self.store.event(run.position).await? else {
            return Ok(whole(format!("its event {} is missing", run.position)));
        };
        let mut events: Vec<Arc<Event>> = Vec::new();
        for position in journal.events() {
            events.extend(self.store.event(position).await?);
        }
        let calls = journal.calls();
        let mut host = JournaledHost::new(host(self, run, &event, version.clone()), journal, Woken::Time, events);
        host.rehearsal = Rehearsal::Begun;
        let record = host.first_record(&event, None);
        let (report, host) =
            self.sandbox.call(&version.program, actions::work(GuestEvent { event, record }), host).await;
        Ok(difference(&host, calls, report.outcome))
    }
}

/// What the rehearsal of a run with so many `calls` in its journal found.
pub(crate) fn difference(host: &JournaledHost, calls: usize, outcome: Result<(), GuestFailure>) -> Option<Difference> {
    let left = host.left().calls();
    if let Some(why) = host.differs.clone() {
        // The message names first what the run called.
        let made = why.split('`').nth(1).map(str::to_owned);
        return Some(Difference { call: Some(calls - left), made, why });
    }
    let (name, about) = host.left().next_call()?;
    if host.rehearsal == Rehearsal::Passed {
        return None;
    }
    let how = outcome.map_or_else(|failure| format!("failed ({failure})"), |()| "ended".to_owned());
    let why = format!("the run {how} where it had called `{name}` ({about}) before");
    Some(Difference { call: Some(calls - left + 1), made: None, why })
}

/// The lines of a script, from 1, in which `name` is called: where to look for a call that differs.
fn lines_calling(source: &str, name: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let calls = |line: &str| {
        let own = |(at, _): (usize, &str)| {
            !line[..at].ends_with(is_word) && line[at + name.len()..].trim_start().starts_with('(')
        };
        !line.trim_start().starts_with("//") && line.match_indices(name).any(own)
    };
    source.lines().zip(1..).filter(|(line, _)| calls(line)).map(|(_, number)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_where_it_stands_and_not_in_longer_words_or_comments() {
        let source =
            "// update(x)\nlet update = 1;\n  update (c, #{});\nmy_update(c); updated(c);\nif a { update(c, b) }";
        assert_eq!(lines_calling(source, "update"), [3, 5]);
        assert!(lines_calling(source, "sleep").is_empty());
    }
}
