//! Many records in one request: NDJSON in, a summary out.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::MethodFilter;
use rapport_engine::{BulkOptions, BulkOutcome, PreviewLine, Reaction, RowOutcome};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::extract::{Auth, Params, expect_media};
use super::pump::{Pump, REFUSED_LISTED_MAX};
use super::{Answer, Api, Route, json_response};
use crate::ndjson::LINE_BYTES_MAX;
use crate::problem::Problem;
use crate::strict_json;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::POST, "/v1/records/{object}/bulk", "write", bulk)
            .about("records", "Writes many records: one JSON object per line, streamed")
            .query("key", "string", "A unique field: a record that has its value is updated, else one is created")
            .query(
                "automations",
                "string",
                "`fire` (default), `skip`, or `preview`: say what would happen, keep nothing",
            )
            .query("load", "string", "The open history load that the rows belong to")
            .query("time", "string", "With `load`: the field that says when a row was true")
            .takes("application/x-ndjson", "")
            .answers(200, "Counts, and one entry per refused line; the other lines are written"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkParams {
    key: Option<String>,
    automations: Option<String>,
    load: Option<String>,
    time: Option<String>,
}

/// What automations shall do, as the parameter says it.
pub(super) fn reaction(text: Option<&str>) -> Result<Reaction, Problem> {
    match text {
        None | Some("fire") => Ok(Reaction::Fire),
        Some("skip") => Ok(Reaction::Skip),
        Some("preview") => Ok(Reaction::Preview),
        Some(_) => Err(Problem::query("automations", "must be fire, skip or preview")),
    }
}

async fn bulk(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(object): Path<String>,
    Params(params): Params<BulkParams>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    expect_media(&headers, &["application/x-ndjson", "application/jsonl"])?;
    if params.load.is_some() != params.time.is_some() {
        return Err(Problem::query("load", "a history load needs `load` and `time`"));
    }
    let options = BulkOptions {
        object,
        key: params.key,
        reaction: reaction(params.automations.as_deref())?,
        load: params.load,
        time_field: params.time,
    };
    let mut pump = Pump::start(&api, body, parse_row);
    let mut summary = Summary::default();
    loop {
        let rows = match pump.next().await {
            Ok(Some(rows)) => rows,
            Ok(None) => break,
            Err(problem) => return Err(summary.so_far(problem)),
        };
        let (numbers, rows): (Vec<u64>, Vec<Result<Json, String>>) = rows.into_iter().unzip();
        match api.engine.bulk(&caller, &options, rows).await {
            Ok(outcome) => summary.add(&numbers, outcome),
            Err(error) => return Err(summary.so_far(error.into())),
        }
    }
    Ok(summary.response(api.engine.head()))
}

fn parse_row(line: Option<&[u8]>) -> Result<Json, String> {
    let text = line.ok_or_else(|| format!("the line is longer than {LINE_BYTES_MAX} bytes"))?;
    strict_json::parse_object(text).map(Json::Object).map_err(|e| e.to_string())
}

/// What became of the rows.
#[derive(Default)]
struct Summary {
    rows: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    refused: u64,
    lines: Vec<Json>,
    preview: BTreeMap<String, PreviewLine>,
}

impl Summary {
    fn add(&mut self, numbers: &[u64], outcome: BulkOutcome) {
        for (number, row) in numbers.iter().zip(outcome.rows) {
            self.rows += 1;
            match row {
                RowOutcome::Created => self.created += 1,
                RowOutcome::Updated => self.updated += 1,
                RowOutcome::Unchanged => self.unchanged += 1,
                RowOutcome::Refused { code, message, pointer } => {
                    self.refused += 1;
                    if self.lines.len() < REFUSED_LISTED_MAX {
                        let entry = json!({"line": number, "code": code, "message": message, "pointer": pointer});
                        self.lines.push(entry);
                    }
                }
            }
        }
        for line in outcome.preview {
            match self.preview.get_mut(&line.automation) {
                Some(sum) => {
                    sum.runs += line.runs;
                    sum.writes += line.writes;
                    sum.events += line.events;
                    sum.sent += line.sent;
                    sum.failures += line.failures;
                }
                None => {
                    self.preview.insert(line.automation.clone(), line);
                }
            }
        }
    }

    fn to_json(&self) -> Json {
        let preview: Vec<Json> = self.preview.values().map(preview_json).collect();
        json!({
            "rows": self.rows,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "refused": self.refused,
            "refused_not_listed": self.refused - self.lines.len() as u64,
            "lines": self.lines,
            "preview": preview,
        })
    }

    /// The answer; `head` tells a client that goes on later whether the log still holds these rows.
    fn response(&self, head: i64) -> Response {
        let mut json = self.to_json();
        json["head"] = head.into();
        json_response(StatusCode::OK, &json)
    }

    /// A problem in the middle of the rows: what stands before it is written, and the client is told so.
    fn so_far(&self, problem: Problem) -> Problem {
        if self.rows == 0 { problem } else { problem.with("done", self.to_json()) }
    }
}

fn preview_json(line: &PreviewLine) -> Json {
    json!({
        "automation": line.automation,
        "runs": line.runs,
        "writes": line.writes,
        "events": line.events,
        "sent": line.sent,
        "failures": line.failures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(n: usize) -> BulkOutcome {
        let row = |_| RowOutcome::Refused { code: "invalid", message: "no".into(), pointer: Some("/a".into()) };
        BulkOutcome { rows: (0..n).map(row).collect(), preview: Vec::new() }
    }

    #[test]
    fn a_row_is_an_object_and_nothing_else() {
        assert!(parse_row(Some(b"{\"a\":1}")).is_ok());
        assert_eq!(parse_row(Some(b"[1]")).unwrap_err(), "expected a JSON object, got an array");
        assert!(parse_row(None).unwrap_err().contains("longer than 1048576 bytes"));
    }

    #[test]
    fn refused_lines_are_listed_under_their_own_numbers() {
        let mut summary = Summary::default();
        let mut outcome = refused(1);
        outcome.rows.insert(0, RowOutcome::Created);
        summary.add(&[3, 7], outcome);
        let json = summary.to_json();
        assert_eq!((&json["rows"], &json["created"], &json["refused"]), (&json!(2), &json!(1), &json!(1)));
        assert_eq!(json["lines"], json!([{"line": 7, "code": "invalid", "message": "no", "pointer": "/a"}]));
    }

    #[test]
    fn a_million_refused_lines_do_not_fill_the_memory() {
        let mut summary = Summary::default();
        let numbers: Vec<u64> = (1..=6_000).collect();
        for _ in 0..2 {
            summary.add(&numbers, refused(6_000));
        }
        assert_eq!(summary.lines.len(), REFUSED_LISTED_MAX);
        assert_eq!(summary.to_json()["refused_not_listed"], 2_000);
    }

    #[test]
    fn previews_of_chunks_are_summed() {
        let line = || PreviewLine { automation: "points".into(), runs: 2, writes: 3, events: 1, sent: 2, failures: 1 };
        let mut summary = Summary::default();
        for _ in 0..2 {
            summary.add(&[], BulkOutcome { rows: Vec::new(), preview: vec![line()] });
        }
        let want = json!([{"automation": "points", "runs": 4, "writes": 6, "events": 2, "sent": 4, "failures": 2}]);
        assert_eq!(summary.to_json()["preview"], want);
    }

    #[test]
    fn an_error_in_the_middle_says_what_was_done() {
        let mut summary = Summary::default();
        let problem = || Problem::new("unavailable", "gone");
        assert!(summary.so_far(problem()).to_json("r").get("done").is_none());
        summary.add(&[1], refused(1));
        assert_eq!(summary.so_far(problem()).to_json("r")["done"]["rows"], 1);
    }

    #[test]
    fn an_unknown_reaction_is_refused() {
        assert_eq!(reaction(Some("boom")).unwrap_err().code(), "invalid_query");
        assert_eq!(reaction(None).unwrap(), Reaction::Fire);
    }
}
