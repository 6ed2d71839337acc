//! Actions: what plugins do when they are asked by name, by people and keys, scripts, and other plugins.
//!
//! ```text
//! call ─▶ fits the input? ─┬─ readonly ─▶ slice without event and run ─▶ output
//!                          └─ commit: run.invoked + its run ─▶ slices … ─▶ run.ended with the output
//! ```
//! A call is an event of the core and a run, so that it is explained, tried again, undone and played again as any run is. It works
//! under the rights of its plugin, on the lane of the record that its input names, if the action says so. What goes in and out is
//! held against the action's schemas.

mod alone;
mod call;
mod reading;

use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::event::{NewEvent, Subject};
use rapport_model::nearest::nearest;
use rapport_model::plugin::{ActionDef, ActionName, CallerKind};
use rapport_model::run::INVOKED;
use rapport_model::schema::Schema;
use rapport_model::{AutomationId, Event, JsonSchema, Name, ObjectDef, Record, RunId, Timestamp, Value};
use rapport_sandbox::work::ActionCall;
use rapport_sandbox::{GuestEvent, GuestFailure, Output, SliceReport, Work};
use serde_json::{Map, Value as Json};

pub use self::alone::call_alone;
pub(crate) use self::call::Once;
pub use self::call::{ActionAnswer, ActionOptions};
pub(crate) use self::reading::{Reader, ReadingHost};
use crate::error::FieldProblem;
use crate::gate::visible_object;
use crate::invoked;
use crate::key::{self, Key, split_subject};
use crate::plugins;
use crate::registry::{AutomationKind, Snapshot, Version};
use crate::routes;
use crate::slice::SliceHost;

/// The code of a call of what is no action.
pub(crate) const UNKNOWN: &str = "unknown_action";
/// The code of a call that this caller may not make.
pub(crate) const NOT_CALLABLE: &str = "not_callable";

/// An action of a live plugin.
#[derive(Debug, Clone)]
pub(crate) struct Callee {
    pub(crate) version: Arc<Version>,
    name: ActionName,
    place: usize,
}

impl Callee {
    /// The action `name` of what is live.
    ///
    /// # Errors
    /// What is wrong, with the nearest name that there is.
    pub(crate) fn find(live: &Snapshot, name: &str) -> Result<Self, String> {
        let known = name.parse::<ActionName>().ok().and_then(|name| {
            let version = live.version(&name.plugin)?;
            let place = version.declaration.actions.iter().position(|action| action.name == name.action)?;
            Some(Self { version: version.clone(), name, place })
        });
        known.ok_or_else(|| {
            let all: Vec<String> = all(live).map(|callee| callee.name.to_string()).collect();
            let near = nearest(name, all.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("there is no action `{}`{near}", name.chars().take(100).collect::<String>())
        })
    }

    /// The action `name` of `version`.
    pub(crate) fn of(version: &Arc<Version>, name: &str) -> Option<Self> {
        let place = version.declaration.actions.iter().position(|action| action.name.as_str() == name)?;
        let action = version.declaration.actions.get(place)?.name.clone();
        Some(Self { version: version.clone(), name: ActionName { plugin: version.id.clone(), action }, place })
    }

    pub(crate) fn action(&self) -> &ActionDef {
        // It is where it was found, in a version that does not change.
        &self.version.declaration.actions[self.place]
    }

    pub(crate) const fn name(&self) -> &ActionName {
        &self.name
    }

    /// Why callers of this kind may not call it, if they may not.
    pub(crate) fn bars(&self, kind: CallerKind) -> Option<String> {
        let (word, name) = (if kind == CallerKind::Api { "api" } else { kind_word(kind) }, &self.name);
        let why =
            || format!("`{name}` cannot be called from here: its `callers` in plugin.toml do not name \"{word}\"");
        (!self.action().may_be_called_by(kind)).then(why)
    }

    /// The input with the defaults of its schema.
    ///
    /// # Errors
    /// Each place where it does not fit.
    pub(crate) fn input(&self, input: Json) -> Result<Json, Vec<FieldProblem>> {
        let Some(schema) = &self.action().input else { return Ok(input) };
        let input = schema.with_defaults(input);
        let misfits = schema.misfits(&input);
        if misfits.is_empty() {
            return Ok(input);
        }
        Err(misfits.into_iter().map(|m| FieldProblem { pointer: m.pointer, message: m.message }).collect())
    }

    /// The record on whose lane a run with `input` works, as its object and key, if the action says so and the input names one.
    pub(crate) fn lane(&self, schema: &Schema, input: &Json) -> Option<(Arc<ObjectDef>, Key)> {
        let field = self.action().lane.as_ref()?.as_str();
        named_lane(schema, field, input.get(field)?.as_str()?)
    }

    /// The event that starts the run `run` of it.
    pub(crate) fn event(&self, run: RunId, input: Json, lane: Option<&Record>, time: Timestamp) -> NewEvent {
        let mut event = invoked::invocation(&self.version, run, input, time);
        event.data.push((field("action"), Value::text(self.name.action.as_str())));
        on_lane_of(event, lane)
    }
}

/// The record that `text` names where a lane is asked for: of the object `field`, unless the text says another.
pub(crate) fn named_lane(schema: &Schema, field: &str, text: &str) -> Option<(Arc<ObjectDef>, Key)> {
    let (object, key) = split_subject(text).unwrap_or((field, text));
    let object = visible_object(schema, object).ok()?;
    let key = key::parse(&object, key).ok()?;
    Some((object, key))
}

/// The same event, about `record` and on its lane, if there is one.
pub(crate) fn on_lane_of(mut event: NewEvent, record: Option<&Record>) -> NewEvent {
    if let Some(record) = record {
        event.lane = Some(record.lane());
        event.subject = Some(Subject { object: record.object.name.clone(), id: record.id });
    }
    event
}

const fn kind_word(kind: CallerKind) -> &'static str {
    match kind {
        CallerKind::Api => "api",
        CallerKind::Scripts => "scripts",
        CallerKind::Plugins => "plugins",
    }
}

/// The same event, whose run does not begin before `at`.
pub(crate) fn not_before(mut event: NewEvent, at: Option<Timestamp>) -> NewEvent {
    event.data.extend(at.map(|at| (field("at"), Value::Time(at))));
    event
}

/// The actions of all live plugins, in the order of their plugins.
pub(crate) fn all(live: &Snapshot) -> impl Iterator<Item = Callee> {
    live.active().iter().flat_map(|version| {
        let named = |place: usize, action: &ActionDef| Callee {
            version: version.clone(),
            name: ActionName { plugin: version.id.clone(), action: action.name.clone() },
            place,
        };
        version.declaration.actions.iter().enumerate().map(move |(place, action)| named(place, action))
    })
}

/// Whether `name` is one of an action, and not of an automation.
pub(crate) fn is_name(name: &str) -> bool {
    name.contains('.')
}

/// Why an automation of this kind cannot call the action `name`, as a code and a sentence, if it cannot. What it declares itself is
/// another matter.
pub(crate) fn obstacle(live: &Snapshot, name: &str, kind: AutomationKind) -> Option<(&'static str, String)> {
    match Callee::find(live, name) {
        Err(why) => Some((UNKNOWN, why)),
        Ok(callee) => callee.bars(caller_kind(kind)).map(|why| (NOT_CALLABLE, why)),
    }
}

/// As what an automation of this kind calls.
pub(crate) const fn caller_kind(kind: AutomationKind) -> CallerKind {
    match kind {
        AutomationKind::Script => CallerKind::Scripts,
        AutomationKind::Plugin => CallerKind::Plugins,
    }
}

/// The call of an action that `event` stands for, if it does.
pub(crate) fn call_in(event: &Event) -> Option<ActionCall> {
    if event.kind.as_str() != INVOKED {
        return None;
    }
    let action = invoked::text(event, "action")?.to_owned();
    let input = match invoked::field(event, "input") {
        Some(Value::Json(input)) => input.to_string(),
        _ => Json::Null.to_string(),
    };
    Some(ActionCall { action, input, caller: event.actor.to_string(), event_position: event.position })
}

/// The instant before which the run that `event` starts does not begin, if there is one.
pub(crate) fn starts_at(event: &Event) -> Option<Timestamp> {
    match invoked::field(event, "at").filter(|_| event.kind.as_str() == INVOKED) {
        Some(Value::Time(at)) => Some(*at),
        _ => None,
    }
}

/// What a guest is called with for `event`.
pub(crate) fn work(guest: GuestEvent) -> Work {
    if let Some(call) = call_in(&guest.event) {
        return Work::Action(call);
    }
    if let Some(step) = plugins::slice_in(&guest.event) {
        return Work::Migrate(step);
    }
    routes::request_in(&guest.event).map_or_else(|| guest.into(), Work::Request)
}

/// Holds what a slice answered against the action that `event` calls, the request that it stands for, or what slices of migrations may
/// do: its output becomes the run's result, or its failure.
pub(crate) fn judge(version: &Version, event: &Event, report: &mut SliceReport, host: &mut SliceHost) {
    if let Some(step) = plugins::slice_in(event) {
        return plugins::judge_slice(&step, report, host);
    }
    if let Output::Response(_) = &report.output {
        match routes::read_response(std::mem::take(&mut report.output)) {
            Ok(response) => host.reply = response.to_json(),
            Err(failure) => report.outcome = Err(failure),
        }
        return;
    }
    let Some(call) = call_in(event) else { return };
    let Output::Json(text) = std::mem::take(&mut report.output) else { return };
    if report.outcome.is_ok() {
        match read_output(version.declaration.action(&call.action), &call.action, &text) {
            Ok(output) => host.reply = output,
            Err(failure) => report.outcome = Err(failure),
        }
    }
}

/// The output of an action, if it is what the action says.
pub(crate) fn read_output(action: Option<&ActionDef>, name: &str, text: &str) -> Result<Json, GuestFailure> {
    let wrong = |message: String| GuestFailure::Failed { code: "invalid_output".into(), message, retryable: false };
    let what = format!("the output of `{name}`");
    let output = invoked::read_json(&what, text).map_err(|e| wrong(e.message))?;
    let misfits = action.and_then(|action| action.output.as_ref()).map(|schema| schema.misfits(&output));
    match misfits.unwrap_or_default().first() {
        None => Ok(output),
        Some(misfit) => Err(wrong(format!("{what} is not as plugin.toml says: {misfit}"))),
    }
}

/// The actions that a right to invoke means: the plugin, if it is one to call an action.
pub(crate) fn plugin_of(invokes: &str) -> Option<AutomationId> {
    invokes.parse::<ActionName>().ok().map(|name| name.plugin)
}

/// An action as it is shown.
pub(crate) fn to_json(callee: &Callee) -> Json {
    let action = callee.action();
    let schema = |schema: &Option<JsonSchema>| schema.as_ref().map_or(Json::Null, |schema| schema.source().clone());
    let mut shown = Map::new();
    shown.insert("name".into(), callee.name.to_string().into());
    shown.insert("plugin".into(), callee.name.plugin.as_str().into());
    shown.insert("title".into(), action.title.as_str().into());
    shown.insert("readonly".into(), action.readonly.into());
    shown.insert("callers".into(), action.callers.iter().map(|kind| Json::from(kind_word(*kind))).collect());
    shown.insert("lane".into(), action.lane.as_ref().map_or(Json::Null, |lane| lane.as_str().into()));
    shown.insert("input".into(), schema(&action.input));
    shown.insert("output".into(), schema(&action.output));
    Json::Object(shown)
}

/// What a plugin must have said to call the action `name` of another.
pub(crate) fn needs_call(version: &Version, name: &ActionName) -> bool {
    version.kind == AutomationKind::Plugin && !version.declaration.calls.contains(name)
}

/// The right that a call of `name` needs.
pub(crate) const fn need(name: &str) -> Need<'_> {
    Need::Invoke(name)
}

fn field(name: &str) -> Name {
    Name::new(name).expect("the fields of core events are names: a test writes them all")
}
