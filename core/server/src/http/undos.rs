//! Undo: of one run while the caller waits, of all runs of an automation in the background.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_engine::{Reaction, UndoMany, UndoOptions};
use serde::Deserialize;

use super::extract::{Auth, read_body, read_typed};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;
use crate::strict_json;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::POST, "/v1/runs/{id}/undo", "write", undo)
            .about("runs", "Takes back what a run changed, as a run of its own")
            .takes("application/json", "Undo")
            .answers(200, "What was taken back, and what was left and why; in a dry run, what would be"),
        Route::new(MethodFilter::POST, "/v1/undos", "write", begin)
            .about("runs", "Begins to undo all runs of an automation, newest first, in the background")
            .takes("application/json", "UndoMany")
            .answers(200, "Of a dry run: what would be taken back and what would be left")
            .answers(202, "How it stands; ask again at `/v1/undos/{id}`"),
        Route::new(MethodFilter::GET, "/v1/undos", "read", list)
            .about("runs", "Lists the undoings of many runs, newest first")
            .answers(200, "All of them"),
        Route::new(MethodFilter::GET, "/v1/undos/{id}", "read", get)
            .about("runs", "Says how far the undoing of many runs has come")
            .answers(200, "How it stands"),
        Route::new(MethodFilter::DELETE, "/v1/undos/{id}", "write", cancel)
            .about("runs", "Stops the undoing of many runs; what has been undone stays so")
            .answers(200, "How it stands"),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UndoBody {
    with_caused: bool,
    dry_run: bool,
    automations: Option<String>,
}

async fn undo(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let bytes = read_body(&api, &headers, body, api.limits.body_bytes_max).await?;
    let body = if bytes.is_empty() {
        UndoBody::default()
    } else {
        let json = strict_json::parse(&bytes).map_err(|e| Problem::new("invalid_json", e.to_string()))?;
        serde_json::from_value(json).map_err(|e| Problem::new("invalid", e.to_string()))?
    };
    let reaction = match body.automations.as_deref() {
        None => None,
        Some("fire") => Some(Reaction::Fire),
        Some("skip") => Some(Reaction::Skip),
        Some(_) => return Err(Problem::new("invalid", "`automations` must be fire or skip")),
    };
    let options = UndoOptions { with_caused: body.with_caused, dry_run: body.dry_run, reaction };
    Ok(json_response(StatusCode::OK, &api.engine.undo(&caller, &id, &options).await?))
}

async fn begin(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let wanted: UndoMany = read_typed(&api, &headers, body).await?;
    let status = if wanted.dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json_response(status, &api.engine.undo_many(&caller, &wanted).await?))
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.undo_jobs(&caller).await?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.undo_job(&caller, &id).await?))
}

async fn cancel(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.cancel_undo_job(&caller, &id).await?))
}
