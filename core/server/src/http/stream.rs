//! The event stream: server-sent events that go on from `Last-Event-ID`.
//!
//! Nothing is buffered for a reader: events are read from the log when the connection can take more. A reader that takes
//! nothing for too long is cut off by the connection itself (see [`crate::listener`]).

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::MethodFilter;
use bytes::Bytes;
use futures::stream;
use rapport_engine::{Caller, Engine, EventFilter, event_to_json};
use rapport_model::Event;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::extract::{Auth, Params};
use super::records::position;
use super::{Answer, Api, Route};
use crate::problem::Problem;

/// How often a quiet stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events read from the log at one time.
const BATCH: u32 = 200;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/events/stream", "read", stream_events)
            .about("events", "Streams events as they are committed")
            .query("after", "integer", "Begin after this position; from now on if not given")
            .query("type", "string", "Only events of this type; `order.*` for all that begin so")
            .query("subject", "string", "Only events about this record")
            .header("Last-Event-ID", "The position of the last event you have: the stream goes on after it")
            .gives("text/event-stream")
            .answers(200, "One event of the stream per event of the log, `id` being its position"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamParams {
    after: Option<String>,
    r#type: Option<String>,
    subject: Option<String>,
}

/// A reader's place in the log.
struct Reader {
    engine: Engine,
    caller: Caller,
    filter: EventFilter,
    head: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    /// Positions up to here were looked at.
    seen: i64,
    _place: OwnedSemaphorePermit,
}

async fn stream_events(
    State(api): State<Api>,
    Auth(caller): Auth,
    Params(params): Params<StreamParams>,
    headers: HeaderMap,
) -> Answer {
    let head = api.engine.watch_head();
    let after = match (headers.get("last-event-id"), params.after) {
        (Some(id), _) => {
            let id = id.to_str().ok().map(position).and_then(Result::ok);
            id.ok_or_else(|| Problem::header("last-event-id", "must be a position in the log"))?
        }
        (None, Some(after)) => position(&after)?,
        (None, None) => api.engine.head(),
    };
    let place = Arc::clone(&api.streams).try_acquire_owned();
    let place = place.map_err(|_| Problem::new("unavailable", "too many readers of the event stream"))?;
    let filter = EventFilter { after, kind: params.r#type, subject: params.subject, limit: BATCH, newest_first: false };
    let mut reader = Reader {
        engine: api.engine.clone(),
        caller,
        filter,
        head,
        stopping: api.stopping.clone(),
        seen: after,
        _place: place,
    };
    // The first read refuses a bad filter while there still is a status to answer with.
    let first = reader.read().await.map_err(Problem::of_query)?;
    let begin = stream::iter([Ok::<_, std::io::Error>(Bytes::from(format!(": after {after}\n\n{first}")))]);
    let rest = stream::unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Some((Ok(Bytes::from(text)), reader))
    });
    let mut response = Response::new(Body::from_stream(futures::StreamExt::chain(begin, rest)));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Reader {
    /// The next piece of the stream; none once the server stops or the log cannot be read.
    async fn next(&mut self) -> Option<String> {
        loop {
            if *self.stopping.borrow() {
                return None;
            }
            if *self.head.borrow_and_update() > self.seen {
                let text = self.read().await.ok()?;
                if !text.is_empty() {
                    return Some(text);
                }
                continue;
            }
            tokio::select! {
                moved = self.head.changed() => moved.ok()?,
                stopped = self.stopping.changed() => stopped.ok()?,
                () = tokio::time::sleep(HEARTBEAT) => return Some(":\n\n".to_owned()),
            }
        }
    }

    /// Reads a batch after the last position and moves on.
    async fn read(&mut self) -> Result<String, rapport_engine::EngineError> {
        let head = *self.head.borrow();
        let events = self.engine.events(&self.caller, &self.filter).await?;
        let last = events.last().map_or(self.filter.after, |e| e.position);
        // A batch that is not full has shown all there was up to the head known before the read.
        let full = events.len() == BATCH as usize;
        self.seen = if full { last } else { last.max(head) };
        self.filter.after = self.seen;
        Ok(events.iter().map(|e| frame(e)).collect())
    }
}

fn frame(event: &Event) -> String {
    // JSON text has no line breaks, so one `data` line holds it.
    format!("id: {}\nevent: {}\ndata: {}\n\n", event.position, event.kind, event_to_json(event))
}
