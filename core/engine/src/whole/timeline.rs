//! The timeline of a record: the events about it and on its lane in one stream, newest first. With each event stand the runs that it
//! started on that lane, and what those sent.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::{Effect, Event, Record, RecordId, Run, RunId, Value, effect};
use rapport_store::{Direction, EventQuery};
use serde_json::{Value as Json, json};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::explain::changes;
use crate::gate::{Act, Caller};
use crate::ingest::visible;
use crate::page::{Page, cursor, open_cursor, page_rows};
use crate::present::run_to_json;

/// What can stand in a timeline.
const KINDS: [&str; 5] = ["record", "event", "answer", "run", "message"];
/// Events that one page looks at, at most, for what a filter leaves of them.
const LOOK_EVENTS_MAX: usize = 2_000;

/// Which part of a timeline.
#[derive(Debug, Clone, Default)]
pub struct TimelinePage {
    /// Only these kinds: `record`, `event`, `answer`, `run`, `message`; none: all.
    pub kinds: Vec<String>,
    /// Items of the page. What one event brings is not divided, so that a page may have a few more.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// What a caller sees of a timeline, and wants to.
struct View<'a> {
    caller: &'a Caller,
    kinds: &'a [String],
    /// Whether runs and messages may be seen.
    runs: bool,
}

impl View<'_> {
    fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }

    fn wants_runs(&self) -> bool {
        self.runs && (self.wants("run") || self.wants("message"))
    }
}

impl Engine {
    /// One page of the timeline of `record`.
    pub(super) async fn timeline(
        &self,
        caller: &Caller,
        record: &Record,
        page: &TimelinePage,
    ) -> Result<Page<Json>, EngineError> {
        if let Some(odd) = page.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            let why = format!("`{odd}` is no kind: there are {}", KINDS.join(", "));
            return Err(EngineError::invalid("/kinds", why));
        }
        let limit = page_rows(page.limit)? as usize;
        let (id, kinds) = (record.id.to_string(), page.kinds.join(","));
        let described = ["timeline", id.as_str(), kinds.as_str()];
        let opened = page.cursor.as_deref().map(|text| open_cursor(&described, text)).transpose()?;
        let mut before = opened.and_then(|values| values.first().and_then(Json::as_i64)).unwrap_or(i64::MAX);
        let view = View { caller, kinds: &page.kinds, runs: caller.everywhere(Act::Read).is_ok() };
        let (mut items, mut looked, mut more) = (Vec::new(), 0, true);
        while more && items.len() < limit && looked < LOOK_EVENTS_MAX {
            let events = self.events_before(record, before, limit).await?;
            more = events.len() >= limit;
            let started = self.started_by(&view, record, &events).await?;
            for event in &events {
                if items.len() >= limit {
                    more = true;
                    break;
                }
                (before, looked) = (event.position, looked + 1);
                self.show(&view, event, &started, &mut items);
            }
        }
        let next = more.then(|| cursor(&described, vec![before.into()]));
        Ok(Page { items, next })
    }

    /// The record, and those that were merged into it.
    fn lives(&self, record: &Record) -> Vec<RecordId> {
        let mut all = self.inner.merged.of(record.id);
        all.push(record.id);
        all
    }

    /// The events of the record and its lane before a position, newest first.
    async fn events_before(&self, record: &Record, before: i64, limit: usize) -> Result<Vec<Arc<Event>>, EngineError> {
        let rows = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut events = Vec::new();
        for id in self.lives(record) {
            let own = EventQuery {
                subject: Some(id),
                before: Some(before),
                direction: Direction::Descending,
                limit: rows,
                ..EventQuery::default()
            };
            events.extend(self.inner.store.events(&own).await?);
            events.extend(self.inner.store.lane_events(id, before, rows).await?);
        }
        events.sort_by_key(|event| std::cmp::Reverse(event.position));
        events.dedup_by_key(|event| event.position);
        events.truncate(limit);
        Ok(events)
    }

    /// The runs on the record's lane that these events started, with what they sent.
    async fn started_by(
        &self,
        view: &View<'_>,
        record: &Record,
        events: &[Arc<Event>],
    ) -> Result<Started, EngineError> {
        let mut started = Started::default();
        if !view.wants_runs() {
            return Ok(started);
        }
        let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
        let mut runs = self.inner.store.runs_of_events(&positions).await?;
        let lives = self.lives(record);
        runs.retain(|run| run.lane.is_some_and(|lane| lives.contains(&lane)));
        if view.wants("message") {
            let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
            for effect in self.inner.store.effects_of_runs(&ids).await? {
                started.sent.entry(effect.run).or_default().push(effect);
            }
        }
        for run in runs {
            started.runs.entry(run.position).or_default().push(run);
        }
        Ok(started)
    }

    /// Adds what an event brings: what was sent, the runs, then the event itself, since it came first.
    fn show(&self, view: &View<'_>, event: &Arc<Event>, started: &Started, items: &mut Vec<Json>) {
        for run in started.runs.get(&event.position).into_iter().flatten() {
            let sent = started.sent.get(&run.id).into_iter().flatten().filter(|e| e.channel != effect::HTTP);
            items.extend(sent.map(|sent| message(sent, run)));
            if view.wants("run") {
                let mut json = run_to_json(run);
                json["run"] = json["id"].take();
                items.push(with(json, "run", event));
            }
        }
        let kind = kind_of(event);
        if view.wants(kind) && visible(view.caller, &self.inner.store.schema(), event) {
            items.push(shown(event, kind));
        }
    }
}

/// Runs by the position of their event, and what each sent.
#[derive(Default)]
struct Started {
    runs: HashMap<i64, Vec<Run>>,
    sent: HashMap<RunId, Vec<Effect>>,
}

/// The kind of an item: an answered question is more than the change of a task.
fn kind_of(event: &Event) -> &'static str {
    let Some(change) = event.change() else {
        return if event.body.is_none() { "record" } else { "event" };
    };
    let done =
        |(name, value): &(rapport_model::Name, Value)| name.as_str() == "state" && value.as_text() == Some("done");
    if event.kind.as_str() == "task.updated" && change.after.iter().any(done) { "answer" } else { "record" }
}

fn with(mut json: Json, kind: &str, event: &Event) -> Json {
    json["kind"] = kind.into();
    json["position"] = event.position.into();
    json["time"] = json!(event.time);
    json
}

fn shown(event: &Event, kind: &str) -> Json {
    let mut json = json!({
        "type": event.kind,
        "subject": event.subject.as_ref().map(|s| format!("{}/{}", s.object, s.id)),
        "actor": event.actor.to_string(),
        "run": event.run,
        "recorded_at": event.recorded_at,
    });
    match &event.body {
        None => json["erased"] = true.into(),
        Some(rapport_model::event::Body::Data(data)) => json["data"] = rapport_model::json::fields_to_json(data),
        Some(rapport_model::event::Body::Change(_)) => json["changes"] = changes(event, None).into(),
    }
    with(json, kind, event)
}

fn message(sent: &Effect, run: &Run) -> Json {
    let error = sent.error.as_deref().map(|text| text.split_once(' ').map_or(text, |(_, message)| message));
    json!({
        "kind": "message", "position": run.position, "time": sent.created_at, "message": sent.id.to_string(),
        "channel": sent.channel, "to": sent.request["to"], "template": sent.request["template"],
        "subject": sent.request["subject"], "status": sent.status, "error": error, "run": run.id,
        "automation": run.automation,
    })
}
