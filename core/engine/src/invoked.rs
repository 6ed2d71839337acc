//! Runs that other runs start, and whose result these wait for.
//!
//! Both ends are events of the core, so that each happens in a commit and nothing is lost between two:
//!
//! ```text
//! parent: invoke ─▶ commit: run.invoked + the child's run + waiting for run.ended of that run
//! child:            slices … ─▶ commit: its end + run.ended ─▶ wakes the parent, which reads the result from it
//! ```
//! The child's id follows from the parent's and the number of the call, and the version that it runs is the one that was live
//! when it was called: what is taken out of service between call and commit still runs.

use std::sync::Arc;

use rapport_model::event::{Body, Fields, NewEvent};
use rapport_model::limits::{INVOKE_BYTES_MAX, JSON_DEPTH_MAX};
use rapport_model::nearest::nearest;
use rapport_model::run::{ENDED, INVOKED};
use rapport_model::{
    AutomationId, Declaration, Digest, Event, EventType, Name, Run, RunId, RunStatus, Timestamp, Value, json,
};
use rapport_sandbox::HostError;
use rapport_store::Match;
use serde_json::Value as Json;

use crate::actions;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::journal::Journal;
use crate::journaled::invoke::{CALL, child_in};
use crate::registry::{AutomationKind, Snapshot, Version};

/// The code with which a call fails whose run has failed.
pub(crate) const FAILED: &str = "invoked_failed";

/// The run that `event` starts, if one run has started another with it.
pub(crate) fn started_by(event: &Event) -> Option<Match> {
    if event.kind.as_str() != INVOKED {
        return None;
    }
    let automation = AutomationId::new(text(event, "automation")?).ok()?;
    let digest: Digest = text(event, "digest")?.parse().ok()?;
    Some(Match { automation, digest, run: text(event, "run")?.parse().ok() })
}

/// The event that starts the run `child` of `version`.
pub(crate) fn invocation(version: &Version, child: RunId, input: Json, time: Timestamp) -> NewEvent {
    start(version, child, ("input", input), time)
}

/// The event that starts the run `run` of `version`, which answers `request`.
pub(crate) fn requested(version: &Version, run: RunId, request: Json, time: Timestamp) -> NewEvent {
    start(version, run, ("request", request), time)
}

/// The event that starts the run `run` of `version`, which works on `slice` of a migration.
pub(crate) fn migrating(version: &Version, run: RunId, slice: Json, time: Timestamp) -> NewEvent {
    start(version, run, ("migration", slice), time)
}

fn start(version: &Version, run: RunId, (field, given): (&str, Json), time: Timestamp) -> NewEvent {
    let data = vec![
        ("run", Value::text(&run.to_string())),
        ("automation", Value::text(version.id.as_str())),
        ("digest", Value::text(&version.digest.to_string())),
        (field, Value::Json(given.into())),
    ];
    core_event(INVOKED, data, time)
}

/// The event that starts a run, as one of `version`.
pub(crate) fn of_version(event: &Arc<Event>, version: &Version) -> Arc<Event> {
    let digest = version.digest.to_string();
    let mut event = (**event).clone();
    if let Some(Body::Data(data)) = &mut event.body {
        let named = data.iter_mut().filter(|(name, _)| name.as_str() == "digest");
        named.for_each(|(_, value)| *value = Value::text(&digest));
    }
    Arc::new(event)
}

/// The event that tells how a run that was invoked has ended.
pub(crate) fn end(run: RunId, status: RunStatus, (result, error): (Json, Option<&str>), time: Timestamp) -> NewEvent {
    let mut data = vec![("run", Value::text(&run.to_string())), ("status", Value::text(status.as_str()))];
    if !result.is_null() {
        data.push(("result", Value::Json(result.into())));
    }
    data.extend(error.map(|error| ("error", Value::text(error))));
    core_event(ENDED, data, time)
}

fn core_event(kind: &str, data: Vec<(&str, Value)>, time: Timestamp) -> NewEvent {
    let name = |name| Name::new(name).expect("the fields of core events are names: a test writes them all");
    let data: Fields = data.into_iter().map(|(field, value)| (name(field), value)).collect();
    let kind = EventType::new(kind).expect("the types of core events are valid: a test reads them all");
    NewEvent { origin: None, kind, subject: None, lane: None, time, data }
}

/// The field by which a run finds the end of another.
pub(crate) fn run_field() -> Name {
    Name::new("run").expect("a word of lower-case letters is a name")
}

pub(crate) fn field<'e>(event: &'e Event, name: &str) -> Option<&'e Value> {
    match &event.body {
        Some(Body::Data(data)) => data.iter().find(|(n, _)| n.as_str() == name).map(|(_, value)| value),
        _ => None,
    }
}

pub(crate) fn text<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    field(event, name)?.as_text()
}

/// What a run came to whose end `event` tells.
pub(crate) fn result_in(event: &Event, automation: &str) -> Result<Json, HostError> {
    match text(event, "status").and_then(RunStatus::parse) {
        Some(RunStatus::Completed) => match field(event, "result") {
            Some(Value::Json(result)) => Ok((**result).clone()),
            _ => Ok(Json::Null),
        },
        status => {
            let run = text(event, "run").unwrap_or("?");
            Err(failure(automation, run, (status.unwrap_or(RunStatus::Dead), text(event, "error"))))
        }
    }
}

/// Why a call fails whose run has ended so.
pub(crate) fn failure(automation: &str, run: &str, (status, error): (RunStatus, Option<&str>)) -> HostError {
    let why = error.map_or_else(String::new, |error| format!(": {error}"));
    HostError::permanent(FAILED, format!("the run {run} of `{automation}` is {}{why}", status.as_str()))
}

/// Reads what passes between two runs.
pub(crate) fn read_json(what: &str, text: &str) -> Result<Json, HostError> {
    let invalid = |why: String| HostError::permanent("invalid", why);
    within_bytes(what, text.len()).map_err(invalid)?;
    let read: Json = serde_json::from_str(text).map_err(|e| invalid(format!("{what} is no JSON: {e}")))?;
    within_depth(what, &read).map_err(invalid)?;
    Ok(read)
}

/// Passes if `json` may pass between two runs; says why not.
pub(crate) fn fits_between_runs(what: &str, json: &Json) -> Result<(), String> {
    within_depth(what, json)?;
    within_bytes(what, json.to_string().len())
}

fn within_bytes(what: &str, bytes: usize) -> Result<(), String> {
    let help = "write a record, and pass its id";
    let why = || format!("{what} has {bytes} bytes, {INVOKE_BYTES_MAX} at most: {help}");
    if bytes > INVOKE_BYTES_MAX { Err(why()) } else { Ok(()) }
}

fn within_depth(what: &str, json: &Json) -> Result<(), String> {
    let why = || format!("{what} is nested deeper than {JSON_DEPTH_MAX}");
    if json::depth(json) > JSON_DEPTH_MAX { Err(why()) } else { Ok(()) }
}

/// Why the automation or action `name` cannot be invoked by an automation of this kind, as a code and a sentence, if it cannot.
pub(crate) fn obstacle(live: &Snapshot, name: &str, by: AutomationKind) -> Option<(&'static str, String)> {
    if actions::is_name(name) {
        return actions::obstacle(live, name, by);
    }
    let found = live.active().iter().find(|version| version.id.as_str() == name);
    let Some(version) = found else {
        let near = nearest(name, live.active().iter().map(|version| version.id.as_str()));
        let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        return Some(("unknown_automation", format!("there is no live automation `{name}`{near}")));
    };
    if version.declaration.invocable {
        return None;
    }
    let line = match version.kind {
        AutomationKind::Script => "add `invocable();` at its top level",
        AutomationKind::Plugin => "add `invocable = true` to its plugin.toml",
    };
    Some(("not_invocable", format!("`{name}` cannot be invoked: {line}")))
}

impl Inner {
    /// Whether somebody waits for the end of `run`, since it was started by name. Such runs are on no lane of a record, but for those
    /// of actions that say so, and those of migrations, which have one of their own.
    pub(crate) async fn is_invoked(&self, run: &Run, event: Option<&Event>) -> Result<bool, EngineError> {
        if let Some(event) = event {
            return Ok(event.kind.as_str() == INVOKED);
        }
        if run.lane.is_some()
            && let Ok(version) = self.version(&run.automation, &run.digest).await
            && version.declaration.actions.iter().all(|action| action.lane.is_none())
            && version.declaration.migrations.is_empty()
        {
            return Ok(false);
        }
        let event = self.store.event(run.position).await?;
        Ok(event.is_some_and(|event| event.kind.as_str() == INVOKED))
    }

    /// The run whose end `run` waits for, if it does.
    pub(crate) async fn child_of(&self, run: &Run) -> Option<RunId> {
        let journal = Journal::read(&self.store.journal(run.id).await.ok()?).ok()?;
        let waiting = journal.waiting().filter(|waiting| waiting.call == CALL)?;
        child_in(&waiting.request)
    }

    /// Rights to invoke what cannot be invoked; `own` is the name of the automation itself.
    pub(crate) fn vain_rights(
        &self,
        declaration: &Declaration,
        (own, by): (Option<&AutomationId>, AutomationKind),
    ) -> Vec<String> {
        let live = self.snapshot.load();
        let wanted = declaration.uses.iter().filter_map(|right| Some((right, right.invokes()?)));
        let is_own = |name: &str| {
            let action = name.split_once('.').map_or(name, |(plugin, _)| plugin);
            own.is_some_and(|own| own.as_str() == action)
        };
        let others = wanted.filter(|(_, name)| !is_own(name));
        let vain = others.filter_map(|(right, name)| Some(format!("`{right}`: {}", obstacle(&live, name, by)?.1)));
        vain.collect()
    }
}
