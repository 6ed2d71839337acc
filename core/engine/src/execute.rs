//! Works on one run: executes its slice and commits what came of it.
//!
//! ```text
//! slice ─▶ commit ─▶ completed
//!   ▲        │ another writer was faster
//!   └────────┘ (three times; then it holds the lanes of all it touches)
//! slice failed ─▶ commit of the failure alone ─▶ retrying or dead
//! ```

mod against;
mod held;
mod landing;
mod resting;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rapport_model::fan_out::EACH;
use rapport_model::limits::CAUSE_DEPTH_MAX;
use rapport_model::rule::tree::Base;
use rapport_model::{Actor, Event, Name, Record, RecordId, Run, RunId, RunStatus, Timestamp};
use rapport_sandbox::{GuestEvent, GuestFailure, Output, SliceReport};
use rapport_store::{EffectStep, JournalStep, RunUpdate, StoreError, Triggers, UnitOfWork, crash_point};
use serde_json::Value as Json;

use self::against::{against, fail, is_conflict};
use self::landing::commit;
pub(crate) use self::landing::{moved, sent, settle};
pub(crate) use self::waiting::{begun, what_woke};
use crate::actions;
use crate::buffer::Buffer;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::invoked;
use crate::judges::NotJudged;
use crate::lanes::{Held, Item};
use crate::locks::SliceLocks;
use crate::plugins;
use crate::registry::{self, Version, slice_time};
use crate::slice::{FileUse, Kept, Outbound, SliceHost, SliceLimits};
use crate::trace::Trace;
use crate::usage::Admission;

/// Conflicts after which a slice holds the lanes of all records that it touches.
const CONFLICTS_UNTIL_HOLD: u32 = 3;
/// How long a run waits whose commit could not be made, because the database was away or full.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// What a slice came to.
struct Done {
    unit: UnitOfWork,
    touched: Vec<RecordId>,
    status: RunStatus,
    wake_at: Option<Timestamp>,
    /// What the run results in, for the one that invoked it.
    reply: Json,
}

/// What came of trying a slice.
enum Sliced {
    /// Something to commit, and the locks that are held until then.
    Done(Box<Done>, SliceLocks),
    /// Nothing: it begins anew once it has these locks.
    Locked(BTreeSet<Arc<str>>),
}

impl From<Done> for Sliced {
    fn from(done: Done) -> Self {
        Self::Done(Box::new(done), SliceLocks::default())
    }
}

impl Done {
    /// The same, if no other slice has taken `locks` meanwhile.
    fn holding(mut self, locks: SliceLocks) -> Sliced {
        self.unit.locks = locks.taken();
        Sliced::Done(Box::new(self), locks)
    }
}

/// Works on `item` until something is committed of it, or the host stops.
pub(crate) async fn work(inner: &Arc<Inner>, item: Item) {
    let mut conflicts = 0;
    let mut held: Option<Held<'_>> = None;
    let mut wanted = BTreeSet::new();
    let _at_work = inner.plugins.find(&item.run.automation).map(|plugin| plugin.works());
    loop {
        crash_point("slice.taken");
        let locks = inner.locks.take(&wanted).await;
        let (done, locks) = match try_slice(inner, &item, locks).await {
            Ok(Sliced::Done(done, locks)) => (*done, locks),
            Ok(Sliced::Locked(more)) => {
                wanted = more;
                continue;
            }
            Err(error) => {
                tracing::error!(run.id = %item.run.id, "the run {} could not be worked on: {error}", item.run.id);
                inner.pause(COMMIT_RETRY).await;
                if inner.is_stopping() {
                    return;
                }
                continue;
            }
        };
        let (touched, status, wake_at) = (done.touched, done.status, done.wake_at);
        let attempt = done.unit.run_state.as_ref().map_or(item.run.attempt, |state| state.attempt);
        let effects = done.unit.effects.clone();
        let held_back = status == RunStatus::Paused && held::by_migration(&done.unit);
        // It goes on waiting for a call that it has made before, whose answer may have come meanwhile.
        let by_event = matches!(&done.unit.journal, JournalStep::Append { waits, .. } if !waits.is_empty());
        let waits_on = status == RunStatus::Waiting && wake_at.is_none() && effects.is_empty() && !by_event;
        crash_point("slice.executed");
        match judged(inner, &item.run, done.unit, locks).await {
            Ok(()) => {
                sent(inner, &item.run, &effects);
                if waits_on && let Err(error) = inner.look_again(&item.run).await {
                    tracing::warn!(run.id = %item.run.id, "whether the run {} is answered is not known: {error}", item.run.id);
                }
                if held_back {
                    plugins::release_late(inner, &item.run.automation).await;
                }
                return settle(inner, item, (status, attempt), wake_at);
            }
            Err(NotJudged::Store(error)) if is_conflict(&error, conflicts) => {
                conflicts += 1;
                inner.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                if conflicts >= CONFLICTS_UNTIL_HOLD && held.is_none() {
                    held = Some(inner.lanes.hold_several(&item.run, &touched).await);
                }
            }
            // Somebody else has ended the run meanwhile: an operator, or this very run before a connection broke.
            Err(NotJudged::Store(StoreError::RunMoved { .. })) => return moved(inner, &item.run).await,
            Err(NotJudged::Store(error @ (StoreError::Unavailable(_) | StoreError::Full))) => {
                tracing::warn!(run.id = %item.run.id, "the run {} waits for the database: {error}", item.run.id);
                inner.pause(COMMIT_RETRY).await;
            }
            Err(why) => {
                if let Some((status, wake_at)) = fail(inner, &item, against(why)).await {
                    let attempt = item.run.attempt.saturating_add(1);
                    return settle(inner, item, (status, attempt), wake_at);
                }
                inner.pause(COMMIT_RETRY).await;
            }
        }
        if inner.is_stopping() {
            return;
        }
    }
}

/// Commits what a slice of `run` came to, if the plugins that look at such changes let it through.
async fn judged(inner: &Inner, run: &Run, mut unit: UnitOfWork, locks: SliceLocks) -> Result<(), NotJudged> {
    inner.judge(&mut unit, Some(&run.automation)).await?;
    Ok(commit(inner, run, unit, locks).await?)
}

async fn try_slice(inner: &Arc<Inner>, item: &Item, locks: SliceLocks) -> Result<Sliced, EngineError> {
    if let Some(held) = held::back(inner, &item.run) {
        return Ok(held.into());
    }
    let admission = match inner.admit(&item.run.automation) {
        Ok(admission) => admission,
        Err(until) => return Ok(resting::until(inner, &item.run, until).into()),
    };
    let mut sliced = slice(inner, item, (locks, &admission)).await?;
    // What a slice did whose plugin was switched off meanwhile is left out, whole.
    if let Some(held) = held::back(inner, &item.run) {
        return Ok(held.into());
    }
    if let Sliced::Done(done, _) = &mut sliced {
        tell_end(inner, item, done).await?;
    }
    Ok(sliced)
}

/// Tells the run that invoked this one how it ends, if it does: with the same commit.
async fn tell_end(inner: &Inner, item: &Item, done: &mut Done) -> Result<(), EngineError> {
    if done.status.has_ended() && inner.is_invoked(&item.run, item.event.as_deref()).await? {
        let error = done.unit.run_state.as_ref().and_then(|state| state.error.as_deref());
        let reply = std::mem::take(&mut done.reply);
        let event = invoked::end(item.run.id, done.status, (reply, error), done.unit.time);
        done.unit.events.push(event);
    }
    Ok(())
}

/// Whether the next slice of a run would write or report something. Nothing is committed.
pub(crate) async fn would_write(inner: &Arc<Inner>, item: &Item) -> Result<bool, EngineError> {
    match slice(inner, item, (SliceLocks::default(), &Admission::default())).await? {
        Sliced::Done(done, _) => Ok(!done.unit.puts.is_empty() || !done.unit.events.is_empty()),
        Sliced::Locked(_) => Ok(true),
    }
}

async fn slice(
    inner: &Arc<Inner>,
    item: &Item,
    (locks, admission): (SliceLocks, &Admission),
) -> Result<Sliced, EngineError> {
    let run = &item.run;
    let _turn = inner.turns.take(inner.lanes.gives_way(run)).await;
    let event = if let Some(event) = &item.event {
        event.clone()
    } else {
        let found = inner.event_at(run.position).await?;
        found.ok_or_else(|| EngineError::Internal(format!("event {} of run {} is missing", run.position, run.id)))?
    };
    if run.depth > CAUSE_DEPTH_MAX {
        return Ok(too_deep(inner, run, &event).await.into());
    }
    let version = match inner.version(&run.automation, &run.digest).await {
        Ok(version) => version,
        Err(error @ (EngineError::Unavailable(_) | EngineError::Full)) => return Err(error),
        Err(error) => {
            let failure = GuestFailure::Failed { code: "version".into(), message: error.to_string(), retryable: false };
            let report = SliceReport { outcome: Err(failure), ..no_report() };
            return Ok(failure_unit(inner, run, &report, &empty_trace(inner)).into());
        }
    };
    let moves = plugins::slice_in(&event).is_some();
    if !moves && (version.waits() || actions::starts_at(&event).is_some()) {
        return waiting::slice(inner, (run, &event), version, (locks, admission)).await;
    }
    let (record, current) = subject_record(inner, &event).await?;
    if !conditions_hold(inner, &version, &event, record.as_deref()).await? {
        return Ok(skipped(inner, run, &event).into());
    }
    let mut host = host(inner, run, &event, version.clone());
    host.locks = locks;
    host.actor = event.actor.to_string();
    if let (Some(record), true) = (&record, current) {
        host.buffer.saw(record);
    }
    let record = record.map(|record| rapport_model::formula::shown(&record, host.time));
    let guest_event = GuestEvent { event: event.clone(), record };
    let (mut report, mut host) = inner.sandbox.call(&version.program, actions::work(guest_event), host).await;
    actions::judge(&version, &event, &mut report, &mut host);
    inner.count(&version, &report, (&host.trace, admission));
    if let Some(replay) = inner.replay.get() {
        replay.used(&run.automation, report.fuel);
    }
    let locks = std::mem::take(&mut host.locks);
    if let Some(wanted) = locks.wanted() {
        return Ok(Sliced::Locked(wanted));
    }
    if report.outcome.is_err() {
        return Ok(failure_unit(inner, run, &report, &host.trace).into());
    }
    let mut done = success_unit(inner, run, &report, host);
    if moves {
        // Data look otherwise; nothing has happened that anybody should react to.
        done.unit.triggers = Triggers::Skip;
    }
    Ok(done.holding(locks))
}

/// The host of a slice of `run`.
pub(crate) fn host(inner: &Inner, run: &Run, event: &Event, version: Arc<Version>) -> SliceHost {
    host_at(inner, (run.id, time_of(inner, run, event)), version)
}

/// The host of a slice of the run `id` at the instant `time`.
pub(crate) fn host_at(inner: &Inner, (id, time): (RunId, Timestamp), version: Arc<Version>) -> SliceHost {
    let limits = &inner.limits;
    SliceHost {
        store: inner.store.clone(),
        lookup: inner.lookup.clone(),
        merged: inner.merged.clone(),
        schema: inner.store.schema(),
        time,
        random: inner.secret.of_run(id),
        secret: inner.secret,
        limits: SliceLimits {
            rows_read_max: limits.slice_rows_read_max,
            writes_max: limits.slice_writes_max,
            effects_max: limits.slice_effects_max,
            kv_bytes_max: limits.plugin_kv_bytes_max,
        },
        buffer: Buffer::default(),
        events: Vec::new(),
        kv: Kept::default(),
        files: FileUse::new(inner.files.clone()),
        actor: String::new(),
        trace: Trace::new(limits.trace_bytes_max, limits.slice_log_bytes_max),
        rows_read: 0,
        outbound: Outbound::new(inner, id, 0),
        locks: SliceLocks::default(),
        run: id,
        live: inner.snapshot.load_full(),
        knows_members: inner.segments.are_kept(),
        usages: inner.usages.clone(),
        plugin: inner.plugins.find(&version.id),
        packed: inner.plugins.known(),
        reply: Json::Null,
        version,
    }
}

/// The instant that counts as now for a slice of `run`.
fn time_of(inner: &Inner, run: &Run, event: &Event) -> Timestamp {
    match inner.replay.get() {
        Some(replay) => replay.time(run.id).unwrap_or(event.time),
        None => slice_time(event, inner.clock.now(), inner.is_loading()),
    }
}

/// The subject's record as it is now, and whether it is: one that was deleted since is shown as it last was known to the event.
pub(crate) async fn subject_record(inner: &Inner, event: &Event) -> Result<(Option<Arc<Record>>, bool), EngineError> {
    let Some(subject) = &event.subject else { return Ok((None, false)) };
    if let Some(record) = inner.store.record(&subject.object, subject.id).await? {
        return Ok((Some(record), true));
    }
    // A record that was merged into another is that one by now; but that it was deleted is told of itself.
    let survivor = inner.merged.survivor(subject.id).filter(|_| !event.kind.as_str().ends_with(".deleted"));
    if let Some(id) = survivor
        && let Some(record) = inner.store.record(&subject.object, id).await?
    {
        return Ok((Some(record), true));
    }
    let schema = inner.store.schema();
    let (Some(object), Some(change)) = (schema.object(subject.object.as_str()), event.change()) else {
        return Ok((None, false));
    };
    let fields = if change.after.is_empty() { &change.before } else { &change.after };
    let mut record = Record {
        object: object.clone(),
        id: subject.id,
        version: 0,
        created_at: event.time,
        updated_at: event.time,
        values: Vec::new(),
    };
    for (name, value) in fields {
        if let Some(index) = object.position(name.as_str()) {
            record.set_at(index, value.clone());
        }
    }
    Ok((Some(Arc::new(record)), false))
}

/// Conditions that look at other records could not be judged inside the commit; here they are.
async fn conditions_hold(
    inner: &Inner,
    version: &Version,
    event: &Event,
    record: Option<&Record>,
) -> Result<bool, EngineError> {
    // A fan-out judged its rule when it started the run; there is nothing to do for a record that is gone by now.
    if event.kind.as_str() == EACH {
        return Ok(record.is_some());
    }
    let open = version.open_conditions(event, record, &inner.store.schema());
    if open.is_empty() {
        return Ok(true);
    }
    for rule in &open {
        let mut referenced: Vec<(Name, Arc<Record>)> = Vec::new();
        for reference in rule.references() {
            let Base::Through(field) = &reference.base else { continue };
            let Some(id) = reference_in(event, record, field) else { continue };
            if let Some(other) = inner.store.record(&reference.object, id).await? {
                referenced.push((field.clone(), other));
            }
        }
        if registry::holds(rule, event, record, &referenced) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn reference_in(event: &Event, record: Option<&Record>, field: &Name) -> Option<RecordId> {
    if let Some(rapport_model::event::Body::Data(data)) = &event.body {
        let found = data.iter().find(|(name, _)| name == field);
        return found.and_then(|(_, value)| value.as_ref_id());
    }
    record.and_then(|r| r.get(field.as_str()).as_ref_id())
}

fn unit(run: &Run, time: Timestamp) -> UnitOfWork {
    let mut unit = UnitOfWork::new(time, Actor::Automation(run.automation.clone()));
    unit.run = Some(run.id);
    unit.cause = Some(run.position);
    unit.depth = run.depth.saturating_add(1);
    if run.status == RunStatus::Waiting {
        // It was woken without a commit: whatever comes of its slice, it waits no longer for what woke it.
        unit.run_from = Some((RunStatus::Waiting, run.digest));
        unit.journal = JournalStep::Woken;
    }
    unit
}

fn success_unit(inner: &Inner, run: &Run, report: &SliceReport, host: SliceHost) -> Done {
    let mut unit = unit(run, host.time);
    let trace = host.trace.finish(report);
    let (reads, puts, blobs) = host.buffer.into_parts();
    let mut touched: Vec<RecordId> = reads.iter().map(|r| r.id).chain(puts.iter().map(|p| p.id)).collect();
    touched.sort_unstable();
    touched.dedup();
    unit.reads = reads;
    unit.puts = puts;
    unit.blobs = blobs;
    unit.events = host.events;
    unit.effects = host.outbound.effects.into_iter().map(|effect| EffectStep::Add(Box::new(effect))).collect();
    unit.replayed = inner.replay.get().map(|replay| replay.stamps(run.id));
    unit.run_state = Some(update(inner, run, RunStatus::Completed, None, Some(trace)));
    Done { unit, touched, status: RunStatus::Completed, wake_at: None, reply: host.reply }
}

fn skipped(inner: &Inner, run: &Run, event: &Event) -> Done {
    let mut unit = unit(run, event.time);
    unit.run_state = Some(update(inner, run, RunStatus::Skipped, None, None));
    Done { unit, touched: Vec::new(), status: RunStatus::Skipped, wake_at: None, reply: Json::Null }
}

fn failure_unit(inner: &Inner, run: &Run, report: &SliceReport, trace: &Trace) -> Done {
    let Err(failure) = &report.outcome else {
        return Done {
            unit: unit(run, inner.clock.now()),
            touched: Vec::new(),
            status: RunStatus::Dead,
            wake_at: None,
            reply: Json::Null,
        };
    };
    // A mistake in a script may depend on data that others are about to change; only `fail` is for good.
    let retryable = failure.is_retryable() || failure.code() == "script";
    let again = retryable && run.attempt + 1 < inner.limits.run_attempts_max;
    let status = if again { RunStatus::Retrying } else { RunStatus::Dead };
    let wake_at = again.then(|| inner.clock.now().plus_micros(inner.backoff_micros(run.attempt)));
    let mut state = update(inner, run, status, wake_at, Some(trace.finish(report)));
    state.error = Some(format!("{} {failure}", failure.code()));
    let mut unit = unit(run, inner.clock.now());
    unit.run_state = Some(state);
    Done { unit, touched: Vec::new(), status, wake_at, reply: Json::Null }
}

fn update(inner: &Inner, run: &Run, status: RunStatus, wake_at: Option<Timestamp>, trace: Option<String>) -> RunUpdate {
    RunUpdate {
        id: run.id,
        status,
        attempt: run.attempt.saturating_add(1),
        wake_at,
        wake_event: run.wake_event,
        wake_index: run.wake_index,
        finished_at: (!status.is_open()).then(|| inner.clock.now()),
        error: None,
        trace,
    }
}

/// Ends a run whose cause chain is too long, with a trace that names the loop.
async fn too_deep(inner: &Inner, run: &Run, event: &Event) -> Done {
    let mut chain = vec![format!("{} ({})", event.kind, event.actor)];
    let mut cause = event.cause;
    while let Some(position) = cause.filter(|_| chain.len() <= usize::from(CAUSE_DEPTH_MAX)) {
        let Ok(Some(found)) = inner.store.event(position).await else { break };
        chain.push(format!("{} ({})", found.kind, found.actor));
        cause = found.cause;
    }
    chain.reverse();
    let message = format!(
        "the cause chain is longer than {CAUSE_DEPTH_MAX}; a loop of automations? {} → {}",
        chain.join(" → "),
        run.automation
    );
    let failure = GuestFailure::Ended { code: "cause_depth".into(), message, retryable: false };
    let report = SliceReport { outcome: Err(failure), ..no_report() };
    failure_unit(inner, run, &report, &empty_trace(inner))
}

const fn no_report() -> SliceReport {
    SliceReport { fuel: 0, micros: 0, memory_bytes: 0, host_calls: 0, outcome: Ok(()), output: Output::Done }
}

fn empty_trace(inner: &Inner) -> Trace {
    Trace::new(inner.limits.trace_bytes_max, inner.limits.slice_log_bytes_max)
}
