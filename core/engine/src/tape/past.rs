//! The last slice of a run, made anew in a workspace as it was then.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rapport_model::time::SetClock;
use rapport_model::{Event, Name, RecordId, Run, RunStatus, Timestamp, Value};
use rapport_store::{EventQuery, Snapshot};
use serde_json::Value as Json;

use super::Tape;
use crate::actions;
use crate::backtest::recording::{Bounds, PAGE, Recording, is_of_business};
use crate::backtest::{Progress, furnish};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::execute::{begun, host_at, subject_record, what_woke};
use crate::journal::Journal;
use crate::journaled::{JournaledHost, WAITING};
use crate::registry::Version;
use crate::scratch::{Ground, Scratch};
use crate::settings::elsewhere;
use crate::slice::SliceHost;

/// How much of a call's arguments a tape shows, in characters.
const ABOUT_CHARS: usize = 2_000;

/// Where and when the last slice of a run worked.
struct Place {
    /// What stands at this position or behind it had not happened yet.
    position: i64,
    time: Timestamp,
    /// What the slice appended.
    appended: Vec<Arc<Event>>,
}

/// Makes the last slice of `run` anew and adds its calls to `tape`.
pub(super) async fn last_slice(
    inner: &Arc<Inner>,
    (run, event): (&Run, &Arc<Event>),
    (version, journal): (Arc<Version>, Journal),
    folder: &Path,
    tape: &mut Tape,
) -> Result<(), EngineError> {
    let mut snapshot = inner.store.snapshot().await?;
    let place = place_of(&mut snapshot, run).await?;
    if run.status == RunStatus::Retrying {
        tape.remarks
            .push("the run is tried again later: its last slice was made with the records as they are now".into());
    }
    let scratch = Scratch::below(folder)?;
    let furnished = furnished(inner, (&mut snapshot, &scratch), (run, event, &version), &place).await;
    snapshot.close().await?;
    let engine = furnished?;
    let made = slice(inner, &engine, (run, event), (version, journal), (&place, tape)).await;
    engine.shutdown().await?;
    made
}

/// Where the last slice of `run` worked, as the log tells.
async fn place_of(snapshot: &mut Snapshot, run: &Run) -> Result<Place, EngineError> {
    if run.status == RunStatus::Completed {
        let query = EventQuery { run: Some(run.id), limit: PAGE, ..EventQuery::default() };
        let appended = snapshot.events(&query).await?;
        if let Some(first) = appended.first() {
            return Ok(Place { position: first.position, time: first.time, appended });
        }
    }
    let head = snapshot.head();
    let time = run.finished_at.unwrap_or(run.created_at);
    let Some(finished_at) = run.finished_at else {
        return Ok(Place { position: head + 1, time, appended: Vec::new() });
    };
    let mut query = EventQuery { after: Some(run.position), limit: PAGE, ..EventQuery::default() };
    loop {
        let page = snapshot.events(&query).await?;
        if let Some(later) = page.iter().find(|event| event.recorded_at > finished_at) {
            return Ok(Place { position: later.position, time, appended: Vec::new() });
        }
        if page.len() < PAGE as usize {
            return Ok(Place { position: head + 1, time, appended: Vec::new() });
        }
        query.after = page.last().map(|event| event.position);
    }
}

/// A workspace with the records that `version` can reach, as they were at `place`, and what was live then.
async fn furnished(
    inner: &Arc<Inner>,
    (snapshot, scratch): (&mut Snapshot, &Scratch),
    (run, event, version): (&Run, &Event, &Arc<Version>),
    place: &Place,
) -> Result<Engine, EngineError> {
    let progress = Progress::default();
    let then = furnish::live_before(snapshot, place.position).await?;
    let bounds = Bounds::open(None);
    let head = snapshot.head();
    let recording = Recording::read(snapshot, (place.position, head), (bounds, &progress)).await?;
    let engine = Ground::over(inner, (Arc::new(SetClock::at(place.time)), run.id.0.as_bytes()), scratch).await?;
    furnish::declare(&engine.inner, snapshot.schema()).await?;
    let mut versions = BTreeMap::new();
    for (id, digest) in then {
        // What cannot be loaded any more could not be called either, unless by a run of then: the remarks tell what differs.
        if let Ok(known) = furnish::version_for(inner, &id, &digest).await {
            versions.insert(id, known);
        }
    }
    versions.insert(run.automation.clone(), Arc::new(elsewhere(version)));
    let subjects: HashMap<_, HashSet<Name>> =
        event.subject.iter().map(|subject| (event.kind.clone(), [subject.object.clone()].into())).collect();
    let called: BTreeSet<_> = versions.keys().filter(|id| calls(version, id.as_str())).cloned().collect();
    let reaching = versions.iter().filter(|(id, _)| **id == run.automation || called.contains(*id));
    let schema = engine.inner.store.schema();
    let mut reached = furnish::reach(reaching.map(|(_, version)| &**version), &schema, &subjects);
    reached.extend(event.subject.iter().map(|subject| subject.object.clone()));
    furnish::records(&engine, snapshot, &recording, &reached, &progress).await?;
    furnish::make_live(&engine.inner, &versions);
    Ok(engine)
}

/// Whether `version` may call the automation `id`, within its own slices too.
fn calls(version: &Version, id: &str) -> bool {
    version.declaration.uses.iter().map(ToString::to_string).any(|right| {
        let called = right.strip_prefix("invoke:").unwrap_or_default();
        called.split('.').next() == Some(id)
    })
}

/// Makes the slice and writes down what its calls return.
async fn slice(
    inner: &Arc<Inner>,
    engine: &Engine,
    (run, event): (&Run, &Arc<Event>),
    (version, journal): (Arc<Version>, Journal),
    (place, tape): (&Place, &mut Tape),
) -> Result<(), EngineError> {
    let past = &engine.inner;
    let (events, woken) = what_woke(inner, run, &journal, past).await?;
    let (record, current) = subject_record(past, event).await?;
    let own = Arc::new(elsewhere(&version));
    let slice_host = host_at(past, (run.id, place.time), own);
    let (mut host, guest_event) = begun(slice_host, (run, event), (journal, events, woken), (record, current));
    host.about_chars = ABOUT_CHARS;
    let (mut report, mut host) = inner.sandbox.call(&version.program, actions::work(guest_event), host).await;
    if run.status == RunStatus::Completed && report.outcome.as_ref().is_err_and(|failure| failure.code() == WAITING) {
        let why = "waited, and its journal is not kept any more: `limits.journal_days` says for how long it is";
        return Err(EngineError::Conflict(format!("the run {} {why}", run.id)));
    }
    actions::judge(&version, event, &mut report, &mut host.inner);
    if let Some(why) = unlike(run, report.outcome.as_ref().err().map(|failure| (failure.code(), failure.to_string()))) {
        tape.remarks.push(why);
    } else if let Some(why) = writes_unlike(&host, place) {
        tape.remarks.push(why);
    }
    tape.slices.push(read_entries(&host)?);
    if tape.output.is_null() && run.status == RunStatus::Completed {
        tape.output = host.inner.reply.clone();
    }
    Ok(())
}

fn read_entries(host: &JournaledHost) -> Result<Vec<Json>, EngineError> {
    serde_json::from_str(&host.entries()).map_err(|e| EngineError::Internal(e.to_string()))
}

/// What is unlike then in how the slice ended.
fn unlike(run: &Run, failed: Option<(&str, String)>) -> Option<String> {
    let then =
        run.error.as_deref().filter(|_| run.status != RunStatus::Completed).and_then(|error| error.split(' ').next());
    match (then, failed) {
        (None, Some((WAITING, _)) | None) => None,
        (Some(code), Some((now, _))) if code == now => None,
        (Some(code), None) => Some(format!(
            "made anew, the run did not fail with `{code}` as it did then: what it read is not all as it was"
        )),
        (_, Some((_, why))) => Some(format!("made anew, the run failed otherwise than then: {why}")),
    }
}

/// What is unlike then in what the slice wrote.
fn writes_unlike(host: &JournaledHost, place: &Place) -> Option<String> {
    let schema = host.inner.schema.clone();
    if place.appended.is_empty() {
        return None;
    }
    let mut then: BTreeMap<(String, RecordId), BTreeMap<String, Value>> = BTreeMap::new();
    for event in place.appended.iter().filter(|event| is_of_business(&schema, event)) {
        let (Some(subject), Some(change)) = (&event.subject, event.change()) else { continue };
        let fields = then.entry((subject.object.to_string(), subject.id)).or_default();
        fields.extend(change.after.iter().map(|(name, value)| (name.to_string(), value.clone())));
    }
    let now = written(&host.inner);
    let differs = |(key, fields): (&(String, RecordId), &BTreeMap<String, Value>)| {
        let known = now.get(key);
        let same = known.is_some_and(|record| {
            fields.iter().all(|(name, value)| record.as_ref().is_none_or(|record| record.get(name) == value))
        });
        (!same).then(|| format!("{}/{}", key.0, key.1))
    };
    let first = then.iter().find_map(differs)?;
    Some(format!("made anew, the run did not write `{first}` as it did then: what it read is not all as it was"))
}

/// The records that a slice has written, as it left them; none: deleted.
fn written(host: &SliceHost) -> BTreeMap<(String, RecordId), Option<Arc<rapport_model::Record>>> {
    let state = |put: &rapport_model::record::Put| {
        let after = host.buffer.get(&put.object, put.id).flatten();
        ((put.object.to_string(), put.id), after)
    };
    host.buffer.puts().iter().map(state).collect()
}
