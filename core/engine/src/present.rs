//! Events and runs as they are shown: CloudEvents 1.0, and JSON.

use rapport_model::event::{Body, Event};
use rapport_model::json::fields_to_json;
use rapport_model::{Run, RunStatus};
use serde_json::{Map, Value as Json, json};

/// The CloudEvents source of what the core or an automation reports.
const OWN_SOURCE: &str = "/rapport";

/// An event as CloudEvents 1.0 in JSON, with `position`, `recordedat`, `actor`, `run`, `cause` and `depth` as extensions.
#[must_use]
pub fn event_to_json(event: &Event) -> Json {
    let mut map = Map::new();
    let (source, id) = match &event.origin {
        Some(origin) => (origin.source.to_string(), origin.id.to_string()),
        None => (OWN_SOURCE.to_owned(), event.position.to_string()),
    };
    map.insert("specversion".into(), "1.0".into());
    map.insert("id".into(), id.into());
    map.insert("source".into(), source.into());
    map.insert("type".into(), event.kind.as_str().into());
    if let Some(subject) = &event.subject {
        map.insert("subject".into(), format!("{}/{}", subject.object, subject.id).into());
    }
    map.insert("time".into(), event.time.to_string().into());
    map.insert("recordedat".into(), event.recorded_at.to_string().into());
    map.insert("position".into(), event.position.into());
    map.insert("actor".into(), event.actor.to_string().into());
    if let Some(run) = event.run {
        map.insert("run".into(), run.to_string().into());
    }
    if let Some(cause) = event.cause {
        map.insert("cause".into(), cause.into());
    }
    map.insert("depth".into(), event.depth.into());
    match &event.body {
        None => _ = map.insert("erased".into(), true.into()),
        Some(Body::Data(data)) => {
            map.insert("datacontenttype".into(), "application/json".into());
            map.insert("data".into(), fields_to_json(data));
        }
        Some(Body::Change(change)) => {
            map.insert("datacontenttype".into(), "application/json".into());
            let mut data = Map::new();
            for (name, fields) in [("before", &change.before), ("after", &change.after), ("delta", &change.delta)] {
                if !fields.is_empty() {
                    data.insert(name.into(), fields_to_json(fields));
                }
            }
            map.insert("data".into(), Json::Object(data));
        }
    }
    Json::Object(map)
}

/// A run, without its trace.
pub(crate) fn run_to_json(run: &Run) -> Json {
    let (code, message) = match run.error.as_deref() {
        None => (None, None),
        Some(text) => text.split_once(' ').map_or((None, Some(text)), |(code, message)| (Some(code), Some(message))),
    };
    json!({
        "id": run.id,
        "automation": run.automation,
        "digest": run.digest,
        "event": run.position,
        "lane": run.lane,
        "depth": run.depth,
        "status": run.status.as_str(),
        "attempt": run.attempt,
        "wake_at": run.wake_at.filter(|_| run.status == RunStatus::Retrying),
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "error": message.map(|message| json!({ "code": code, "message": message })),
    })
}
