//! Plays a tape with a plugin or script as it lies in a folder: every call is answered from the tape.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rapport_model::FileRules;
use rapport_model::time::SetClock;
use rapport_model::{AutomationId, Declaration, Event, RunStatus};
use rapport_sandbox::{GuestFailure, SliceReport};
use serde_json::{Value as Json, json};

use super::{FORM, Tape, TapedRun};
use crate::actions;
use crate::backtest::furnish;
use crate::bundle::Bundle;
use crate::effects::transport::Capture;
use crate::engine::Engine;
use crate::entropy::{RunSecret, SeededEntropy};
use crate::error::EngineError;
use crate::execute::{begun, host_at};
use crate::journal::Journal;
use crate::journaled::{JournaledHost, Rehearsal, Woken};
use crate::registry::Version;
use crate::rehearse;
use crate::scenario::Stage;
use crate::schema::changes_of;
use crate::scratch::{Ground, Scratch};
use crate::settings;

/// What a tape is played with.
#[derive(Debug, Clone)]
pub enum Candidate {
    /// The folder of a built plugin.
    Plugin(PathBuf),
    /// The file of a script.
    Script(PathBuf),
}

/// Plays `tape` with `candidate`, without a server and without data: calls have no effect and are answered as they were then.
///
/// The answer has a `verdict`: `same` (the same calls and the same end), `differs` (with the `difference`: the number of the call, and
/// why), or `goes_on` (the same calls as far as the run came, which had failed or waits; it then goes on).
///
/// # Errors
/// [`EngineError::Invalid`] for a tape that is none, or of another form; [`EngineError::Plugin`] or [`EngineError::Script`] if the
/// candidate cannot be loaded; [`EngineError::Conflict`] if it is another automation than the run's.
pub async fn play_tape(stage: &Stage, candidate: &Candidate, tape: &Json) -> Result<Json, EngineError> {
    let form = tape["tape"].as_u64();
    if form != Some(FORM.into()) {
        let why = form.map_or("this is no tape of a run".to_owned(), |form| {
            format!(
                "the tape has the form {form}, this program reads {FORM}: use the version of the server that made it"
            )
        });
        return Err(EngineError::invalid("/tape", why));
    }
    let tape: Tape = serde_json::from_value(tape.clone())
        .map_err(|e| EngineError::invalid("", format!("the tape is damaged: {e}")))?;
    let scratch = Scratch::below(&stage.folder)?;
    let ground = Ground {
        transport: Arc::new(Capture),
        sandbox: stage.sandbox.clone(),
        limits: stage.limits.clone(),
        files: FileRules::default(),
        clock: Arc::new(SetClock::at(tape.run.finished_at.unwrap_or(tape.run.created_at))),
        entropy: Arc::new(SeededEntropy::new(tape.run.id.0.as_bytes())),
        // What the run drew is on the tape.
        secret: RunSecret::NONE,
    };
    let engine = ground.open(&scratch).await?;
    let played = played(&engine, candidate, &tape).await;
    engine.shutdown().await?;
    played
}

async fn played(engine: &Engine, candidate: &Candidate, tape: &Tape) -> Result<Json, EngineError> {
    let inner = &engine.inner;
    let declared =
        Declaration { objects: tape.objects.clone(), event_types: tape.event_types.clone(), ..Declaration::default() };
    furnish::add(inner, changes_of(&inner.store.schema(), &declared)).await?;
    let version = Arc::new(version(engine, candidate, tape).await?);
    furnish::add(inner, changes_of(&inner.store.schema(), &version.declaration)).await?;
    let schema = inner.store.schema();
    let event = Arc::new(tape.event.read(&schema)?);
    let events = tape.events.iter().map(|event| Ok(Arc::new(event.read(&schema)?)));
    let events: Vec<Arc<Event>> = events.collect::<Result<_, EngineError>>()?;
    let texts: Vec<String> = tape.slices.iter().map(|slice| Json::Array(slice.clone()).to_string()).collect();
    let journal = Journal::read(&texts).map_err(|why| EngineError::invalid("/slices", why))?;
    let calls = journal.calls();
    let run = tape.run.read();
    let slice_host = host_at(inner, (run.id, run.finished_at.unwrap_or(run.created_at)), version.clone());
    let (mut host, guest_event) = begun(slice_host, (&run, &event), (journal, events, Woken::Time), (None, false));
    host.rehearsal = if tape.run.status == RunStatus::Completed { Rehearsal::Whole } else { Rehearsal::Begun };
    let (mut report, mut host) = inner.sandbox.call(&version.program, actions::work(guest_event), host).await;
    if host.rehearsal != Rehearsal::Passed && host.differs.is_none() {
        actions::judge(&version, &event, &mut report, &mut host.inner);
    }
    Ok(told(tape, &version, (&report, &host), calls))
}

/// The candidate as a version, with the settings that the run had.
async fn version(engine: &Engine, candidate: &Candidate, tape: &Tape) -> Result<Version, EngineError> {
    let inner = &engine.inner;
    let (content, path) = match candidate {
        Candidate::Plugin(folder) => {
            let bundle = Bundle::of_folder(folder)?;
            let artifact = bundle.artifact(folder.display().to_string());
            (inner.prepare_bundle(bundle, artifact.digest).await?, artifact.path)
        }
        Candidate::Script(file) => (script(engine, file, &tape.run.automation).await?, file.display().to_string()),
    };
    if content.id != tape.run.automation {
        let (theirs, own) = (&tape.run.automation, &content.id);
        return Err(EngineError::Conflict(format!("the run is one of `{theirs}`, and this is `{own}`")));
    }
    let known = |name: &String| content.declaration.settings.iter().any(|def| def.name == *name);
    let chosen = tape.settings.iter().filter(|(name, _)| known(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    let configured = settings::configured(&content, chosen, path)?;
    Ok(configured.map_or(content, |(version, _)| version))
}

async fn script(engine: &Engine, file: &Path, id: &AutomationId) -> Result<Version, EngineError> {
    let path = file.display().to_string();
    let source = std::fs::read_to_string(file).map_err(|e| EngineError::Unavailable(format!("{path}: {e}")))?;
    engine.check_script(&path, &source).await?;
    engine.inner.script_with_settings(id, &path, &source).await
}

/// What is told of the play.
fn told(tape: &Tape, version: &Version, (report, host): (&SliceReport, &JournaledHost), calls: usize) -> Json {
    let failure = report.outcome.as_ref().err().filter(|_| host.rehearsal != Rehearsal::Passed);
    let (verdict, difference) = verdict(tape, calls, (report, host));
    let differs_at = difference.as_ref().and_then(|found| found["call"].as_u64()).and_then(|n| usize::try_from(n).ok());
    let same = differs_at.map_or_else(|| calls - host.left().calls(), |n| n.saturating_sub(1).min(calls));
    let trace: Json = serde_json::from_str(&host.inner.trace.finish(report)).unwrap_or_default();
    let listed = tape.slices.iter().flatten().filter(|entry| entry.get("c").is_some());
    let listed: Vec<Json> =
        listed.zip(1..).map(|(entry, n)| json!({ "n": n, "call": entry["c"], "about": entry["s"] })).collect();
    json!({
        "run": tape.run.id,
        "automation": tape.run.automation,
        "recorded": recorded(&tape.run, calls),
        "digest": version.digest,
        "verdict": verdict,
        "difference": difference,
        "calls_same": same,
        "calls": listed,
        "goes_on": host.beyond.as_ref().filter(|_| verdict == "goes_on"),
        "error": failure.map(|failure| json!({ "code": failure.code(), "message": failure.to_string() })),
        "output": host.inner.reply,
        "log": trace["log"],
        "fuel": report.fuel,
        "memory_bytes": report.memory_bytes,
        "micros": report.micros,
        "remarks": tape.remarks,
    })
}

fn recorded(run: &TapedRun, calls: usize) -> Json {
    json!({ "digest": run.digest, "status": run.status.as_str(), "error": run.error, "calls": calls })
}

/// How the play compares with the run: in a word, and where they differ.
fn verdict(tape: &Tape, calls: usize, (report, host): (&SliceReport, &JournaledHost)) -> (&'static str, Option<Json>) {
    let shown = |call: Option<usize>, made: Option<&str>, why: &str| {
        ("differs", Some(json!({ "call": call, "made": made, "why": why })))
    };
    if let Some(found) = rehearse::difference(host, calls, report.outcome.clone()) {
        return shown(found.call, found.made.as_deref(), &found.why);
    }
    if host.rehearsal == Rehearsal::Passed {
        // A run that waits is at the call that it waits in.
        let waits = matches!(tape.run.status, RunStatus::Waiting | RunStatus::Paused | RunStatus::Cancelled);
        return (if waits { "same" } else { "goes_on" }, None);
    }
    let then = tape.run.error.as_deref().filter(|_| tape.run.status != RunStatus::Completed);
    let then = then.and_then(|error| error.split(' ').next());
    match (then, report.outcome.as_ref().err().map(GuestFailure::code)) {
        (None, None) if host.inner.reply != tape.output => shown(None, None, "the run ended with another output"),
        (None, None) => ("same", None),
        (Some(then), Some(now)) if then == now => ("same", None),
        (None, Some(now)) => shown(None, None, &format!("the run ended well, here it failed with `{now}`")),
        (Some(_), None) => ("goes_on", None),
        (Some(then), Some(now)) => shown(None, None, &format!("the run failed with `{then}`, here with `{now}`")),
    }
}
