//! Merging one record into another, as a run of its own.
//!
//! ```text
//! one commit: record.merging ─▶ runs of plugins and scripts: both records are there, they move what they keep by an id
//!             merge.requested ─▶ the run of `rapport/merge`: one commit in which everything goes over
//! ```
//! Both events stand on the lane of the record that stays, so that the merge comes after what the first has started; if that has failed, or
//! is not done, the merge waits for it. In its commit every reference to the record that goes leads to the one that stays (roll-ups follow), its
//! tags, lists and files go over, what both have once stays that of the survivor, and its id and unique values lead to the survivor from then
//! on. Since the merge is a run, it is listed, explained, tried again after a crash, and undone like any.

mod again;
mod lists;
mod plan;
mod report;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rapport_model::event::{Body, NewEvent, Subject};
use rapport_model::merge::{MERGING, id_text};
use rapport_model::schema::Origin;
use rapport_model::{Actor, AutomationId, Digest, Event, EventType, Name, ObjectDef, Record, RecordId, Run, Value};
use rapport_store::{MERGE_REQUESTED, Match, UnitOfWork};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::draft::known_field;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};

pub(crate) use again::{must_stand, with_what_was_moved};
pub(crate) use lists::given_back;
pub(crate) use work::work;

/// The automation that merges.
pub(crate) const MERGE: &str = "rapport/merge";
/// What names this version of it.
const VERSION: &[u8] = b"rapport/merge 1";
/// How long a caller waits for the end.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Where the value of a field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldChoice {
    /// The record that stays keeps its own.
    Survivor,
    /// It takes that of the record that goes.
    Merged,
    /// Both are added up.
    Sum,
}

/// What is merged into a record, and how.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeRequest {
    /// The key of the record that goes.
    pub merged: String,
    /// Where values come from. A field that is not named keeps the survivor's value, or takes the other's if that is null.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldChoice>,
    /// Say what would happen, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a run of a merge is about.
#[derive(Debug, Clone)]
pub(crate) struct Merge {
    pub(crate) object: Arc<ObjectDef>,
    pub(crate) survivor: RecordId,
    pub(crate) merged: RecordId,
    choices: BTreeMap<Name, FieldChoice>,
    /// The position of `record.merging`; none in a dry run.
    merging: Option<i64>,
}

/// The id of the automation that merges.
pub(crate) fn merge_id() -> AutomationId {
    AutomationId::new(MERGE).expect("the host's own names are valid")
}

/// The run that `event` starts of the host's own, if it does.
pub(crate) fn started_by(event: &Event) -> Option<Match> {
    (event.kind.as_str() == MERGE_REQUESTED).then(|| Match {
        automation: merge_id(),
        digest: Digest::of(VERSION),
        run: None,
    })
}

impl Engine {
    /// Merges the record that `request` names into the one that `key` names: waits until it is done and says what went over, or, in a dry
    /// run, what would. From then on whoever names the record that went comes to the one that stayed.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::LoadOpen`]; [`EngineError::Invalid`] for choices of fields that
    /// cannot be; [`EngineError::Conflict`] if both names lead to one record, or if something stands against it.
    pub async fn merge(
        &self,
        caller: &Caller,
        (object, key): (&str, &str),
        request: &MergeRequest,
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        let object = caller.object(&self.inner.store.schema(), object, Act::Write)?;
        self.inner.writable(None)?;
        if object.origin == Origin::System {
            return Err(EngineError::invalid("", format!("records of `{}` are the host's own", object.name)));
        }
        let found = |text: &str, record: Option<Arc<Record>>| {
            record.ok_or_else(|| EngineError::not_found(format!("{} `{text}`", object.name)))
        };
        let survivor = found(key, self.named(caller, &object, key).await?)?;
        let merged = found(&request.merged, self.named(caller, &object, &request.merged).await?)?;
        if survivor.id == merged.id {
            let why = format!("`{key}` and `{}` are one record: {}/{}", request.merged, object.name, merged.id);
            return Err(EngineError::Conflict(why));
        }
        let choices = choices(&object, &request.fields)?;
        let mut merge = Merge { object, survivor: survivor.id, merged: merged.id, choices, merging: None };
        if request.dry_run {
            let plan = plan::plan(&self.inner, &merge, self.inner.clock.now()).await?;
            let mut told = plan.report.to_json();
            told["dry_run"] = true.into();
            return Ok(told);
        }
        self.inner.ask_for(caller.actor.clone(), &mut merge, &survivor).await
    }
}

/// The choices of fields, each of a field that can have it.
fn choices(
    object: &ObjectDef,
    given: &BTreeMap<String, FieldChoice>,
) -> Result<BTreeMap<Name, FieldChoice>, EngineError> {
    let mut choices = BTreeMap::new();
    for (name, choice) in given {
        let field = known_field(object, name)?;
        let wrong = |why: String| Err(EngineError::invalid(format!("/fields/{name}"), why));
        if field.rollup.is_some() {
            return wrong(format!("`{name}` follows from other records: there is nothing to choose"));
        }
        if *choice == FieldChoice::Sum && !field.kind.is_number() {
            return wrong(format!("`{name}` is a {} field: only numbers can be added up", field.kind.as_str()));
        }
        choices.insert(field.name.clone(), *choice);
    }
    Ok(choices)
}

impl Inner {
    /// Asks for the merge, waits for its end, and says what came of it.
    async fn ask_for(&self, actor: Actor, merge: &mut Merge, survivor: &Record) -> Result<Json, EngineError> {
        let now = self.clock.now();
        let name = &merge.object.name;
        let of = |kind: &str, subject: Option<Subject>, data: Vec<(&str, Value)>| NewEvent {
            origin: None,
            kind: EventType::new(kind).expect("the types of core events are valid: a test reads them all"),
            subject,
            lane: Some(survivor.lane()),
            time: now,
            data: data.into_iter().map(|(field, value)| (core(field), value)).collect(),
        };
        let about = Subject { object: name.clone(), id: merge.survivor };
        let gone = Value::text(&merge.merged.to_string());
        let mut unit = UnitOfWork::new(now, actor);
        unit.events.push(of(MERGING, Some(about), vec![("merged", gone)]));
        let asked = vec![
            ("object", Value::text(name.as_str())),
            ("survivor", Value::text(&id_text(merge.survivor))),
            ("merged", Value::text(&id_text(merge.merged))),
            ("fields", Value::Json(Arc::new(json!(merge.choices)))),
        ];
        unit.events.push(of(MERGE_REQUESTED, None, asked));
        let committed = self.store.commit(unit).await?;
        let run = committed.runs.iter().find(|run| run.automation.as_str() == MERGE).cloned();
        let run = run.ok_or_else(|| EngineError::Internal("a merge was asked for, and started no run".into()))?;
        let ended = tokio::time::timeout(WAIT_MAX, self.ended(run.id)).await;
        told(&ended.unwrap_or(Ok((*run).clone()))?)
    }

    /// What the run of a merge is about.
    pub(crate) async fn merge_of(&self, run: &Run) -> Result<Merge, EngineError> {
        let missing = |what: &str| EngineError::Internal(format!("{what} of merge {} is missing", run.id));
        let request = self.store.event(run.position).await?.ok_or_else(|| missing("the request"))?;
        let Some(Body::Data(data)) = &request.body else { return Err(missing("the request's data")) };
        let said = |name: &str| data.iter().find(|(field, _)| field.as_str() == name).map(|(_, value)| value);
        let text = |name: &str| said(name).and_then(Value::as_text).ok_or_else(|| missing(name));
        let id = |name: &str| text(name)?.parse().map_err(|_| missing(name));
        let object = self.store.schema().object(text("object")?).cloned().ok_or_else(|| missing("the object"))?;
        let choices = match said("fields") {
            Some(Value::Json(json)) => serde_json::from_value((**json).clone()).map_err(|_| missing("fields"))?,
            _ => BTreeMap::new(),
        };
        let (survivor, merged) = (id("survivor")?, id("merged")?);
        Ok(Merge { object, survivor, merged, choices, merging: Some(run.position - 1) })
    }
}

/// What the run of a merge came to.
fn told(run: &Run) -> Result<Json, EngineError> {
    if let Some(error) = &run.error
        && run.status != rapport_model::RunStatus::Completed
    {
        let why = error.split_once(' ').map_or(error.as_str(), |(_, message)| message);
        return Err(EngineError::Conflict(format!("{why} (run {})", run.id)));
    }
    let trace = run.trace.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok());
    let mut json = trace.unwrap_or_else(|| json!({}));
    json["dry_run"] = false.into();
    json["run"] = json!(run.id);
    json["status"] = run.status.as_str().into();
    Ok(json)
}

/// The name of a field of the core.
fn core(text: &str) -> Name {
    Name::new(text).expect("the names of core fields are valid")
}
