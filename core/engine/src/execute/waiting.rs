//! The slices of runs that may wait: begun anew from the journal each time, suspended where they wait.
//!
//! ```text
//! journal ─▶ slice ─┬─ waits ─────────▶ commit: writes, journal, waiting
//!                   ├─ done ──────────▶ commit: writes, completed; the whole journal is kept for some days
//!                   ├─ differs ───────▶ commit: paused, with what differs; nothing of the slice
//!                   └─ failed ────────▶ as any slice; the journal stays, so that a retry goes on where it was
//! ```

use std::sync::Arc;

use rapport_model::limits::{JOURNAL_BYTES_MAX, JOURNAL_ENTRIES_MAX};
use rapport_model::{Event, Run, RunId, RunStatus, Timestamp};
use rapport_sandbox::{GuestEvent, GuestFailure, LogLevel, RecordData, SliceReport};
use rapport_store::{JournalStep, UnitOfWork};
use serde_json::Value as Json;

use super::{
    Done, Sliced, conditions_hold, empty_trace, failure_unit, host, no_report, skipped, subject_record, success_unit,
    time_of, unit, update,
};
use crate::actions;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::journal::Journal;
use crate::journaled::{DIFFERS, JournaledHost, Suspension, WAITING, Woken};
use crate::locks::SliceLocks;
use crate::recent::Sleeper;
use crate::registry::Version;
use crate::slice::SliceHost;
use crate::usage::Admission;

/// The microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Runs the next slice of `run`.
pub(super) async fn slice(
    inner: &Arc<Inner>,
    (run, event): (&Run, &Arc<Event>),
    version: Arc<Version>,
    (locks, admission): (SliceLocks, &Admission),
) -> Result<Sliced, EngineError> {
    let journal = match Journal::read(&inner.journal_of(run).await?) {
        Ok(journal) => journal,
        Err(why) => return Ok(failed(inner, run, "journal", why).into()),
    };
    let (slices, size) = (journal.slices, (journal.len(), journal.bytes));
    let (record, current) = subject_record(inner, event).await?;
    if slices == 0 && !conditions_hold(inner, &version, event, record.as_deref()).await? {
        return Ok(skipped(inner, run, event).into());
    }
    if let Some(at) = actions::starts_at(event).filter(|at| slices == 0 && *at > time_of(inner, run, event)) {
        return Ok(later(inner, run, at).into());
    }
    let (events, woken) = what_woke(inner, run, &journal, inner).await?;
    let mut slice_host = host(inner, run, event, version.clone());
    slice_host.locks = locks;
    let (journaled, guest_event) = begun(slice_host, (run, event), (journal, events, woken), (record, current));
    let (mut report, mut journaled) = inner.sandbox.call(&version.program, actions::work(guest_event), journaled).await;
    actions::judge(&version, event, &mut report, &mut journaled.inner);
    inner.count(&version, &report, (&journaled.inner.trace, admission));
    if let Some(replay) = inner.replay.get() {
        replay.used(&run.automation, report.fuel);
    }
    let locks = std::mem::take(&mut journaled.inner.locks);
    if let Some(wanted) = locks.wanted() {
        return Ok(Sliced::Locked(wanted));
    }
    Ok(outcome(inner, run, &report, (journaled, slices, size)).holding(locks))
}

/// The host of the next slice of a run, and what its guest is called with.
pub(crate) fn begun(
    mut slice_host: SliceHost,
    (run, event): (&Run, &Arc<Event>),
    (journal, events, woken): (Journal, Vec<Arc<Event>>, Woken),
    (record, current): (Option<RecordData>, bool),
) -> (JournaledHost, GuestEvent) {
    let slices = journal.slices;
    slice_host.actor = event.actor.to_string();
    if slices > 0 {
        // A slice draws ids and random numbers of its own: those of the slices before are taken.
        slice_host.random = slice_host.secret.stream(&[run.id.0.as_bytes(), &slices.to_be_bytes()]);
        slice_host.begins_slice(slices);
    }
    let anew = journal.is_empty();
    let record = record.map(|record| rapport_model::formula::shown(&record, slice_host.time));
    let mut journaled = JournaledHost::new(slice_host, journal, woken, events);
    journaled.woken_index = run.wake_index;
    let first = journaled.first_record(event, record);
    if let (Some(record), true) = (&first, current && anew) {
        journaled.inner.buffer.saw(record);
    }
    (journaled, GuestEvent { event: event.clone(), record: first })
}

/// What is worth keeping in memory of a run whose slice is about to be committed: that it waits, and its journal.
pub(super) fn sleeper(inner: &Inner, run: &Run, unit: &UnitOfWork) -> Option<Sleeper> {
    let (JournalStep::Append { slice, entries, .. }, Some(state)) = (&unit.journal, &unit.run_state) else {
        return None;
    };
    let mut journal = match *slice {
        0 => Vec::new(),
        _ => inner.recent.sleeper(run.id)?.journal.clone(),
    };
    if i64::try_from(journal.len()) != Ok(*slice) {
        return None;
    }
    journal.push(entries.as_str().into());
    let run = Run {
        status: state.status,
        attempt: state.attempt,
        wake_at: state.wake_at,
        wake_event: state.wake_event,
        wake_index: state.wake_index,
        error: state.error.clone(),
        trace: state.trace.clone(),
        ..run.clone()
    };
    Some(Sleeper { run: Some(Arc::new(run)), journal })
}

impl Inner {
    /// The event at `position`, from memory if it was committed a moment ago.
    pub(super) async fn event_at(&self, position: i64) -> Result<Option<Arc<Event>>, EngineError> {
        match self.recent.event(position) {
            Some(event) => Ok(Some(event)),
            None => Ok(self.store.event(position).await?),
        }
    }

    /// The journal of a run whose slice begins: from memory if it was woken there a moment ago. Between a commit that made it
    /// pending and this somebody may have cut it.
    async fn journal_of(&self, run: &Run) -> Result<Vec<Arc<str>>, EngineError> {
        match self.recent.sleeper(run.id) {
            Some(known) if run.status == RunStatus::Waiting => Ok(known.journal.clone()),
            _ => self.stored_journal(run.id).await,
        }
    }

    /// The journal of a run that waits: from memory if it began to wait a moment ago.
    pub(crate) async fn journal_asleep(&self, run: RunId) -> Result<Vec<Arc<str>>, EngineError> {
        match self.recent.sleeper(run) {
            Some(known) if known.run.is_some() => Ok(known.journal.clone()),
            _ => self.stored_journal(run).await,
        }
    }

    /// The journal of a run as the database has it, which is kept at hand.
    async fn stored_journal(&self, run: RunId) -> Result<Vec<Arc<str>>, EngineError> {
        let forgotten = self.recent.forgotten();
        let slices = self.store.journal(run).await?;
        let journal: Vec<Arc<str>> = slices.into_iter().map(Into::into).collect();
        if !journal.is_empty() {
            self.recent.keep(run, Sleeper { run: None, journal: journal.clone() }, forgotten);
        }
        Ok(journal)
    }
}

/// What a slice came to that has ended by itself or by a call that waits.
fn outcome(
    inner: &Inner,
    run: &Run,
    report: &SliceReport,
    (mut journaled, slices, size): (JournaledHost, i64, (usize, usize)),
) -> Done {
    if let Some(difference) = journaled.differs.take() {
        return paused(inner, run, report, (&journaled, difference));
    }
    let code = report.outcome.as_ref().err().map(GuestFailure::code);
    match (code, journaled.suspension.take()) {
        (Some(WAITING), Some(suspension)) => suspended(inner, run, report, (journaled, suspension, slices, size)),
        (Some(_), _) => failure_unit(inner, run, report, &journaled.inner.trace),
        (None, _) => {
            let entries = journaled.entries();
            let mut done = success_unit(inner, run, report, journaled.inner);
            if slices > 0 {
                let days = i64::from(inner.limits.journal_days);
                let kept_until = (days > 0).then(|| inner.clock.now().plus_micros(days * DAY_MICROS));
                done.unit.journal = JournalStep::End { slice: slices, entries, kept_until };
            }
            done
        }
    }
}

/// The events that the journal names and that which woke the run now, with the record that it is about, as the workspace `records`
/// has it.
pub(crate) async fn what_woke(
    inner: &Inner,
    run: &Run,
    journal: &Journal,
    records: &Inner,
) -> Result<(Vec<Arc<Event>>, Woken), EngineError> {
    let mut events = Vec::new();
    for position in journal.events() {
        events.extend(inner.event_at(position).await?);
    }
    let woken = match run.wake_event {
        _ if journal.is_empty() => Woken::First,
        None => Woken::Time,
        Some(position) => match inner.event_at(position).await? {
            Some(event) => {
                let (record, _): (Option<RecordData>, bool) = subject_record(records, &event).await?;
                Woken::Event(event, record)
            }
            None => Woken::Time,
        },
    };
    Ok((events, woken))
}

/// Lets a run wait that is not to begin before `at`: with an empty slice, as one that was cut off.
fn later(inner: &Inner, run: &Run, at: Timestamp) -> Done {
    let mut unit = unit(run, inner.clock.now());
    let mut state = update(inner, run, RunStatus::Waiting, Some(at), None);
    state.attempt = 0;
    unit.run_state = Some(state);
    unit.journal = JournalStep::Append { slice: 0, entries: "[]".to_owned(), waits: Vec::new() };
    Done { unit, touched: Vec::new(), status: RunStatus::Waiting, wake_at: Some(at), reply: Json::Null }
}

fn suspended(
    inner: &Inner,
    run: &Run,
    report: &SliceReport,
    (mut host, suspension, slice, size): (JournaledHost, Suspension, i64, (usize, usize)),
) -> Done {
    let (entries, bytes) = host.size(size);
    if entries > JOURNAL_ENTRIES_MAX || bytes > JOURNAL_BYTES_MAX {
        let why = format!(
            "the journal has {entries} entries and {bytes} bytes; {JOURNAL_ENTRIES_MAX} and {JOURNAL_BYTES_MAX} at most: let one \
             automation end with an event, and another one begin with it"
        );
        return failed(inner, run, "journal_full", why);
    }
    if entries > JOURNAL_ENTRIES_MAX / 2 || bytes > JOURNAL_BYTES_MAX / 2 {
        let of = format!("{entries} of {JOURNAL_ENTRIES_MAX} entries, {bytes} of {JOURNAL_BYTES_MAX} bytes");
        tracing::warn!(run.id = %run.id, "the journal of run {} is half full: {of}", run.id);
        host.inner.trace.log(LogLevel::Warn, &format!("the journal is half full: {of}"));
    }
    let step = JournalStep::Append { slice, entries: host.entries(), waits: suspension.waits };
    let mut done = success_unit(inner, run, report, host.inner);
    done.unit.journal = step;
    done.status = RunStatus::Waiting;
    done.wake_at = suspension.wake_at;
    if let Some(state) = &mut done.unit.run_state {
        (state.status, state.wake_at, state.finished_at, state.attempt) =
            (RunStatus::Waiting, suspension.wake_at, None, 0);
        (state.wake_event, state.wake_index) = (None, None);
    }
    done
}

/// Keeps a run whose calls differ from its journal, with nothing of the slice.
fn paused(inner: &Inner, run: &Run, report: &SliceReport, (host, why): (&JournaledHost, String)) -> Done {
    let mut unit = unit(run, inner.clock.now());
    let mut state = update(inner, run, RunStatus::Paused, None, Some(host.inner.trace.finish(report)));
    state.error = Some(format!("{DIFFERS} {why}"));
    unit.run_state = Some(state);
    Done { unit, touched: Vec::new(), status: RunStatus::Paused, wake_at: None, reply: Json::Null }
}

fn failed(inner: &Inner, run: &Run, code: &'static str, message: String) -> Done {
    let failure = GuestFailure::Failed { code: code.into(), message, retryable: false };
    failure_unit(inner, run, &SliceReport { outcome: Err(failure), ..no_report() }, &empty_trace(inner))
}
