//! Events: intake as CloudEvents in every mode, and reading the log.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::MethodFilter;
use bytes::Bytes;
use rapport_engine::{Caller, EventFilter, Incoming, Intake, Page, Reaction, event_to_json};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::bulk::reaction;
use super::extract::{Auth, Params, media_type, page_rows, read_body};
use super::page::page_response;
use super::pump::{Pump, REFUSED_LISTED_MAX};
use super::records::position;
use super::{Answer, Api, Route, json_response};
use crate::cloud_events::{self, BadEnvelope, SpecVersion};
use crate::ndjson::{CHUNK_ROWS_MAX, LINE_BYTES_MAX};
use crate::problem::Problem;
use crate::strict_json;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::POST, "/v1/events", "write", send)
            .about("events", "Takes events: CloudEvents 1.0 structured, batch or binary, or one per line")
            .query("automations", "string", "`fire` (default), or `skip`: no automation reacts")
            .takes("application/cloudevents+json", "CloudEvent")
            .takes("application/json", "CloudEvent")
            .takes("application/cloudevents-batch+json", "CloudEvents")
            .takes("application/x-ndjson", "CloudEvent")
            .answers(202, "Durable. `{\"accepted\": n, \"duplicates\": n, \"refused\": […]}`; (source, id) is an event's identity"),
        Route::new(MethodFilter::GET, "/v1/events", "read", list)
            .about("events", "Gives events of the log in their order")
            .query("after", "integer", "Only events after this position")
            .query("type", "string", "Only events of this type; `order.*` for all that begin so")
            .query("subject", "string", "Only events about this record: `customer/customer_no:17850`")
            .query("order", "string", "`oldest` (default) or `newest` first")
            .query("limit", "integer", "Events of the page, 1 to 1000; 50 if not given")
            .answers(200, "A page; `next` is the `after` of the next one"),
        Route::new(MethodFilter::GET, "/v1/events/{position}/explain", "read", explain)
            .about("events", "Says why an event is in the log, back to the outside event, and which runs it started")
            .answers(200, "The event, the chain of its causes, and the tree of what it started"),
    ]
}

async fn explain(State(api): State<Api>, Auth(caller): Auth, Path(place): Path<String>) -> Answer {
    let missing = |_| Problem::new("not_found", format!("there is no event `{place}`: name a position in the log"));
    let place: i64 = place.parse().map_err(missing)?;
    let json = api.engine.explain_event(&caller, place).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &json))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendParams {
    automations: Option<String>,
}

async fn send(
    State(api): State<Api>,
    Auth(caller): Auth,
    Params(params): Params<SendParams>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let reaction = reaction(params.automations.as_deref())?;
    if reaction == Reaction::Preview {
        return Err(Problem::query("automations", "must be fire or skip"));
    }
    let media = media_type(&headers)?;
    match media.as_str() {
        "application/cloudevents-batch+json" => {
            let bytes = read_body(&api, &headers, body, api.limits.batch_bytes_max).await?;
            batch(&api, &caller, &bytes, reaction).await
        }
        "application/x-ndjson" | "application/jsonl" => lines(&api, &caller, body, reaction).await,
        "application/cloudevents+json" | "application/json" | "" => {
            let bytes = read_body(&api, &headers, body, api.limits.body_bytes_max).await?;
            let event = single(&media, &headers, &bytes).map_err(|bad| envelope_problem(&bad))?;
            one(&api, &caller, event, reaction).await
        }
        other => {
            Err(Problem::new("unsupported_media_type", format!("`{other}` is not taken here; /docs says what is")))
        }
    }
}

fn single(media: &str, headers: &HeaderMap, body: &Bytes) -> Result<Incoming, BadEnvelope> {
    match media {
        "application/cloudevents+json" => cloud_events::from_text(body, SpecVersion::Required),
        _ if cloud_events::is_binary(headers) => cloud_events::from_headers(headers, body),
        _ => cloud_events::from_text(body, SpecVersion::Optional),
    }
}

fn envelope_problem(bad: &BadEnvelope) -> Problem {
    let problem = Problem::new("invalid_event", bad.to_string());
    if bad.pointer.is_empty() { problem } else { problem.with_field(&bad.pointer, bad.to_string()) }
}

/// The hot path: one event, one commit, one small answer.
async fn one(api: &Api, caller: &Caller, event: Incoming, reaction: Reaction) -> Answer {
    let intake = api.engine.ingest(caller, vec![event], reaction).await?;
    match intake.into_iter().next() {
        Some(Intake::Accepted { .. }) => Ok(static_answer("{\"accepted\":1,\"duplicates\":0,\"refused\":[]}")),
        Some(Intake::Duplicate) => Ok(static_answer("{\"accepted\":0,\"duplicates\":1,\"refused\":[]}")),
        Some(Intake::Refused { code, message }) => Err(Problem::new(code, message)),
        None => Err(Problem::internal("the engine answered nothing for an event")),
    }
}

fn static_answer(body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, json);
    response
}

async fn batch(api: &Api, caller: &Caller, bytes: &Bytes, reaction: Reaction) -> Answer {
    let json = strict_json::parse(bytes).map_err(|e| Problem::new("invalid_json", e.to_string()))?;
    let Json::Array(items) = json else {
        return Err(Problem::new(
            "invalid_event",
            format!("expected an array of events, got {}", strict_json::kind(&json)),
        ));
    };
    let mut tally = Tally::new("index");
    let mut items = items.into_iter().enumerate();
    loop {
        let chunk: Vec<_> = items
            .by_ref()
            .take(CHUNK_ROWS_MAX)
            .map(|(i, json)| (i as u64, cloud_events::from_json(json, SpecVersion::Required)))
            .collect();
        if chunk.is_empty() {
            return Ok(tally.response());
        }
        take(api, caller, (chunk, reaction), &mut tally).await?;
    }
}

async fn lines(api: &Api, caller: &Caller, body: Body, reaction: Reaction) -> Answer {
    let mut pump = Pump::start(api, body, parse_line);
    let mut tally = Tally::new("line");
    loop {
        match pump.next().await {
            Ok(Some(rows)) => take(api, caller, (rows, reaction), &mut tally).await?,
            Ok(None) => return Ok(tally.response()),
            Err(problem) => return Err(tally.so_far(problem)),
        }
    }
}

fn parse_line(line: Option<&[u8]>) -> Result<Incoming, BadEnvelope> {
    match line {
        Some(text) => cloud_events::from_text(text, SpecVersion::Optional),
        None => Err(BadEnvelope {
            pointer: String::new(),
            message: format!("the line is longer than {LINE_BYTES_MAX} bytes"),
        }),
    }
}

/// Events with their places, some of which could not be read.
type Rows = Vec<(u64, Result<Incoming, BadEnvelope>)>;

/// Gives the events that could be read to the engine and counts what became of all.
async fn take(
    api: &Api,
    caller: &Caller,
    (rows, reaction): (Rows, Reaction),
    tally: &mut Tally,
) -> Result<(), Problem> {
    let mut events = Vec::with_capacity(rows.len());
    let mut places = Vec::with_capacity(rows.len());
    let mut bad = Vec::new();
    for (place, row) in rows {
        match row {
            Ok(event) => {
                places.push(place);
                events.push(event);
            }
            Err(envelope) => bad.push((place, envelope)),
        }
    }
    let intakes = if events.is_empty() {
        Vec::new()
    } else {
        api.engine.ingest(caller, events, reaction).await.map_err(|e| tally.so_far(e.into()))?
    };
    let mut bad = bad.into_iter().peekable();
    for (place, intake) in places.into_iter().zip(intakes) {
        while let Some((at, envelope)) = bad.next_if(|(at, _)| *at < place) {
            tally.refuse(at, "invalid_event", &envelope.message);
        }
        match intake {
            Intake::Accepted { .. } => tally.accepted += 1,
            Intake::Duplicate => tally.duplicates += 1,
            Intake::Refused { code, message } => tally.refuse(place, code, &message),
        }
    }
    for (at, envelope) in bad {
        tally.refuse(at, "invalid_event", &envelope.message);
    }
    Ok(())
}

/// What became of many events.
struct Tally {
    place: &'static str,
    accepted: u64,
    duplicates: u64,
    refused: u64,
    entries: Vec<Json>,
}

impl Tally {
    const fn new(place: &'static str) -> Self {
        Self { place, accepted: 0, duplicates: 0, refused: 0, entries: Vec::new() }
    }

    fn refuse(&mut self, at: u64, code: &str, message: &str) {
        self.refused += 1;
        if self.entries.len() < REFUSED_LISTED_MAX {
            self.entries.push(json!({self.place: at, "code": code, "message": message}));
        }
    }

    fn to_json(&self) -> Json {
        let mut json = json!({"accepted": self.accepted, "duplicates": self.duplicates, "refused": self.entries});
        let left_out = self.refused - self.entries.len() as u64;
        if left_out > 0 {
            json["refused_not_listed"] = left_out.into();
        }
        json
    }

    fn response(&self) -> Response {
        json_response(StatusCode::ACCEPTED, &self.to_json())
    }

    fn so_far(&self, problem: Problem) -> Problem {
        let some = self.accepted + self.duplicates + self.refused > 0;
        if some { problem.with("done", self.to_json()) } else { problem }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    after: Option<String>,
    r#type: Option<String>,
    subject: Option<String>,
    order: Option<String>,
    limit: Option<String>,
}

async fn list(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<ListParams>) -> Answer {
    let newest_first = match params.order.as_deref() {
        None | Some("oldest") => false,
        Some("newest") => true,
        Some(_) => return Err(Problem::query("order", "must be oldest or newest")),
    };
    let limit = page_rows(params.limit.as_deref())?;
    let filter = EventFilter {
        after: params.after.as_deref().map_or(Ok(0), position)?,
        kind: params.r#type,
        subject: params.subject,
        limit,
        newest_first,
    };
    let events = api.engine.events(&caller, &filter).await.map_err(Problem::of_query)?;
    let full = events.len() == limit as usize && !newest_first;
    let next = events.last().filter(|_| full).map(|e| e.position.to_string());
    Ok(page_response(&Page { items: events.iter().map(|e| event_to_json(e)).collect(), next }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_events_are_listed_by_place() {
        let mut tally = Tally::new("index");
        tally.accepted = 2;
        tally.refuse(3, "unknown_subject", "no such customer");
        let want = json!({"accepted": 2, "duplicates": 0,
            "refused": [{"index": 3, "code": "unknown_subject", "message": "no such customer"}]});
        assert_eq!(tally.to_json(), want);
    }

    #[test]
    fn the_list_of_refused_events_is_bounded() {
        let mut tally = Tally::new("line");
        for i in 0..10_005 {
            tally.refuse(i, "invalid_event", "no");
        }
        let json = tally.to_json();
        assert_eq!((json["refused"].as_array().unwrap().len(), &json["refused_not_listed"]), (10_000, &json!(5)));
    }

    #[test]
    fn a_line_too_long_is_no_event() {
        assert!(parse_line(None).err().unwrap().message.contains("longer than 1048576 bytes"));
    }

    #[test]
    fn the_mode_follows_media_type_and_headers() {
        let text = Bytes::from_static(br#"{"id":"1","source":"s","type":"a.b"}"#);
        let plain = HeaderMap::new();
        assert!(single("application/json", &plain, &text).is_ok());
        assert_eq!(single("application/cloudevents+json", &plain, &text).err().unwrap().pointer, "/specversion");
        let mut binary = HeaderMap::new();
        for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "9"), ("ce-source", "s"), ("ce-type", "a.b")] {
            binary.insert(name, value.parse().unwrap());
        }
        assert_eq!(single("application/json", &binary, &text).unwrap().id, "9");
    }

    #[test]
    fn a_bad_envelope_points_to_its_attribute() {
        let bad = cloud_events::from_text(b"{\"id\":\"1\"}", SpecVersion::Optional).err().unwrap();
        let json = envelope_problem(&bad).to_json("r");
        assert_eq!(json["errors"][0]["pointer"], "/source");
        assert_eq!((&json["status"], &json["code"]), (&json!(400), &json!("invalid_event")));
    }
}
