//! Explains: who or what set a value, because of which event, back to what came from outside; and what came of it.
//!
//! Everything here is read from the log and from the runs, which know their event: an event names its actor, its run and
//! the event that the run reacted to, so a chain of causes is a walk. Nothing is kept for the sake of explaining, so what
//! happened before this code was written is explained as well.
//!
//! ```text
//! outside event ◀─ run ◀─ event ◀─ run ◀─ event      the chain of causes: `because`
//!                                        │
//!                                        └─▶ run ─▶ event ─▶ …      what came of it: `changed`, `started`
//! ```

mod caused;
mod lines;

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::event::Body;
use rapport_model::json::{fields_to_json, to_json};
use rapport_model::limits::CAUSE_DEPTH_MAX;
use rapport_model::{Actor, Digest, Event, Name, RecordId, Run, RunId, Schema, Value};
use rapport_store::{ArtifactKind, Store};
use serde_json::{Map, Value as Json, json};

use crate::effects::effect_to_json;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::ingest::visible;
use crate::present::run_to_json;
use crate::runs::journal_to_json;
use crate::settings::content_of;

/// The longest chain of causes that is shown. Longer ones than [`CAUSE_DEPTH_MAX`] do not come about.
const CHAIN_MAX: usize = CAUSE_DEPTH_MAX as usize + 2;

/// Where the content of a version came from, and its text if it is a script.
#[derive(Debug, Clone)]
struct Source {
    path: String,
    script: Option<Arc<str>>,
}

/// Explains things to one caller, and remembers what it has looked up.
pub(crate) struct Explainer<'a> {
    store: &'a Store,
    caller: &'a Caller,
    schema: Arc<Schema>,
    events: HashMap<i64, Option<Arc<Event>>>,
    runs: HashMap<RunId, Option<Arc<Run>>>,
    sources: HashMap<Digest, Option<Source>>,
    names: HashMap<RecordId, Json>,
    labels: HashMap<RecordId, Option<String>>,
}

impl Engine {
    /// Why a run came about, and what came of it: its event, the chain of causes back to the outside event, what it
    /// changed, and what that started in turn. What is too much for one answer is counted.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn explain_run(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let run = self.find_run(id).await?;
        let mut explainer = Explainer::new(&self.inner.store, caller);
        let mut json = json!({ "run": explainer.run_brief(&run).await? });
        json["undone_by"] = json!(self.inner.undo_of(run.id).await?.map(|undo| undo.id));
        let trigger = explainer.event(run.position).await?;
        if let Some(trigger) = trigger {
            json["because"] = explainer.chain_from(&trigger).await?.into();
        }
        let caused = explainer.caused_by_run(&run).await?;
        json["changed"] = caused.items.into();
        json["changed_more"] = caused.more.into();
        json["sent"] = self.inner.effects_of(&run).await?.iter().map(effect_to_json).collect();
        json["journal"] = journal_to_json(&self.inner.store.journal(run.id).await?);
        Ok(json)
    }

    /// Why the event at `position` is in the log, and what came of it.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn explain_event(&self, caller: &Caller, position: i64) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let mut explainer = Explainer::new(&self.inner.store, caller);
        let found = explainer.event(position).await?;
        let event = found.ok_or_else(|| EngineError::not_found(format!("event {position}")))?;
        let because = explainer.chain(&event).await?;
        let event_json = explainer.step(&event).await?;
        let started = explainer.started_by_event(position).await?;
        Ok(json!({ "event": event_json, "because": because, "started": started.items, "started_more": started.more }))
    }
}

impl<'a> Explainer<'a> {
    pub(crate) fn new(store: &'a Store, caller: &'a Caller) -> Self {
        Self {
            store,
            caller,
            schema: store.schema(),
            events: HashMap::new(),
            runs: HashMap::new(),
            sources: HashMap::new(),
            names: HashMap::new(),
            labels: HashMap::new(),
        }
    }

    /// Who or what appended `event`, and because of which events.
    pub(crate) async fn why(&mut self, event: &Arc<Event>) -> Result<Json, EngineError> {
        Ok(json!({ "by": self.by(event).await?, "because": self.chain(event).await? }))
    }

    /// The events that led to `event`, the nearest first, the outside one last.
    async fn chain(&mut self, event: &Event) -> Result<Vec<Json>, EngineError> {
        match event.cause {
            Some(position) => match self.event(position).await? {
                Some(cause) => self.chain_from(&cause).await,
                None => Ok(Vec::new()),
            },
            None => Ok(Vec::new()),
        }
    }

    /// The events from `event` on back to the outside one.
    async fn chain_from(&mut self, event: &Arc<Event>) -> Result<Vec<Json>, EngineError> {
        let mut chain = Vec::new();
        let mut next = Some(event.clone());
        while let Some(event) = next.take().filter(|_| chain.len() < CHAIN_MAX) {
            chain.push(self.step(&event).await?);
            if let Some(cause) = event.cause {
                next = self.event(cause).await?;
            }
        }
        Ok(chain)
    }

    /// One event: what it says, and who or what appended it. Of an event that the caller may not see, its place alone.
    async fn step(&mut self, event: &Arc<Event>) -> Result<Json, EngineError> {
        if !visible(self.caller, &self.schema, event) {
            return Ok(json!({ "position": event.position, "hidden": true }));
        }
        let mut map = Map::new();
        map.insert("position".into(), event.position.into());
        map.insert("type".into(), event.kind.as_str().into());
        map.insert("time".into(), event.time.to_string().into());
        map.insert("recorded_at".into(), event.recorded_at.to_string().into());
        if let Some(subject) = &event.subject {
            map.insert("subject".into(), format!("{}/{}", subject.object, subject.id).into());
            let label = self.label(&subject.object, subject.id).await?;
            map.insert("label".into(), label.into());
        }
        if let Some(origin) = &event.origin {
            map.insert("origin".into(), json!({ "source": &*origin.source, "id": &*origin.id }));
        }
        match &event.body {
            None => _ = map.insert("erased".into(), true.into()),
            Some(Body::Data(data)) => _ = map.insert("data".into(), fields_to_json(data)),
            Some(Body::Change(_)) => _ = map.insert("changes".into(), changes(event, None).into()),
        }
        map.insert("by".into(), self.by(event).await?);
        Ok(Json::Object(map))
    }

    /// Who or what appended `event`; for an automation its version, and the lines of the script that can have done it.
    async fn by(&mut self, event: &Event) -> Result<Json, EngineError> {
        let run = match event.run {
            Some(id) => self.run(id).await?,
            None => None,
        };
        let Some(run) = run else { return self.actor(&event.actor).await };
        let source = self.source(&run.digest).await?;
        let mut json = json!({
            "kind": "automation",
            "automation": run.automation,
            "digest": run.digest,
            "run": run.id,
        });
        if let Some(source) = source {
            let lines = source.script.as_deref().map(|text| lines::writing(text, event)).unwrap_or_default();
            json["path"] = source.path.into();
            json["lines"] = lines.into();
        }
        Ok(json)
    }

    /// An actor with the name that people know.
    pub(crate) async fn actor(&mut self, actor: &Actor) -> Result<Json, EngineError> {
        let (kind, object, id) = match actor {
            Actor::System => return Ok(json!({ "kind": "system" })),
            Actor::Automation(id) => return Ok(json!({ "kind": "automation", "automation": id })),
            Actor::User(id) => ("user", "user", *id),
            Actor::Key(id) => ("key", "api_key", *id),
        };
        if let Some(known) = self.names.get(&id) {
            return Ok(known.clone());
        }
        let mut json = json!({ "kind": kind, "id": id });
        if let Some(record) = self.store.record(&system_object(object), id).await? {
            json["name"] = to_json(record.get("name"));
        }
        self.names.insert(id, json.clone());
        Ok(json)
    }

    /// A run in short, with where its version came from.
    async fn run_brief(&mut self, run: &Run) -> Result<Json, EngineError> {
        let mut json = run_to_json(run);
        json["path"] = self.source(&run.digest).await?.map(|s| s.path).into();
        Ok(json)
    }

    /// A record by the first of its unique fields that is filled, for people.
    async fn label(&mut self, object: &Name, id: RecordId) -> Result<Option<String>, EngineError> {
        if let Some(known) = self.labels.get(&id) {
            return Ok(known.clone());
        }
        let record = self.store.record(object, id).await?;
        let label = record.and_then(|record| {
            let named = record.object.unique_fields().map(|f| (f.name.clone(), record.get(f.name.as_str())));
            let (field, value) = named.into_iter().find(|(_, value)| !value.is_null())?;
            let text = value.as_text().map_or_else(|| to_json(value).to_string(), ToOwned::to_owned);
            Some(format!("{object}/{field}:{text}"))
        });
        self.labels.insert(id, label.clone());
        Ok(label)
    }

    async fn event(&mut self, position: i64) -> Result<Option<Arc<Event>>, EngineError> {
        if let Some(known) = self.events.get(&position) {
            return Ok(known.clone());
        }
        let found = self.store.event(position).await?;
        self.events.insert(position, found.clone());
        Ok(found)
    }

    async fn run(&mut self, id: RunId) -> Result<Option<Arc<Run>>, EngineError> {
        if let Some(known) = self.runs.get(&id) {
            return Ok(known.clone());
        }
        let found = self.store.run(id).await?.map(Arc::new);
        self.runs.insert(id, found.clone());
        Ok(found)
    }

    async fn source(&mut self, digest: &Digest) -> Result<Option<Source>, EngineError> {
        if let Some(known) = self.sources.get(digest) {
            return Ok(known.clone());
        }
        let mut artifact = self.store.artifact(digest).await?;
        // A version with settings of its own is content with values: the lines are the content's.
        if let Some(content) = artifact.as_ref().filter(|a| a.kind == ArtifactKind::Settings).and_then(content_of) {
            artifact = self.store.artifact(&content).await?;
        }
        let source = artifact.map(|artifact| {
            let is_script = artifact.kind == ArtifactKind::Script;
            let script = is_script.then(|| String::from_utf8_lossy(&artifact.bytes).into());
            Source { path: artifact.path, script }
        });
        self.sources.insert(*digest, source.clone());
        Ok(source)
    }
}

/// What a record event says, field by field: before, after, and by how much if it was incremented. Of one field, if it is
/// named.
pub(crate) fn changes(event: &Event, field: Option<&str>) -> Vec<Json> {
    let Some(change) = event.change() else { return Vec::new() };
    let mut names: Vec<&Name> = change.before.iter().chain(&change.after).map(|(name, _)| name).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.as_str()) && field.is_none_or(|f| f == name.as_str()));
    let of = |fields: &[(Name, Value)], name: &Name| {
        fields.iter().find(|(n, _)| n == name).map_or(Json::Null, |(_, value)| to_json(value))
    };
    let shown = names.into_iter().map(|name| {
        let mut json = json!({
            "field": name,
            "before": of(&change.before, name),
            "after": of(&change.after, name),
        });
        if change.delta.iter().any(|(n, _)| n == name) {
            json["by"] = of(&change.delta, name);
        }
        json
    });
    shown.collect()
}

fn system_object(text: &str) -> Name {
    Name::new(text).expect("the names of the host's own objects are valid")
}
