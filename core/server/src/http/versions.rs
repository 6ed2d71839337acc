//! Versions of automations: drafts, activation, the way back, what differs; and which automation can start which.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::MethodFilter;
use rapport_engine::{FileToCheck, RehearsalPage, Telling};
use serde::Deserialize;
use serde_json::json;

use super::extract::{Auth, Params, page_rows, read_typed};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

const NAMED: &str =
    "`active`, `draft` (the newest), `before` (live before the present one), or the first digits of a digest";

pub(super) fn routes() -> Vec<Route> {
    let versions = "/v1/automations/{id}/versions";
    vec![
        Route::new(MethodFilter::POST, versions, "admin", push)
            .about("automations", "Keeps a script as a draft of an automation; nothing runs it until it is activated")
            .takes("application/json", "Script")
            .answers(200, "It was kept already, or is live")
            .answers(201, "The draft: its digest names content and settings"),
        Route::new(MethodFilter::GET, versions, "read", list)
            .about(
                "automations",
                "Lists versions, newest first: who pushed them, when they were live, how many runs are on them",
            )
            .query("limit", "integer", "Versions of the list, 1 to 1000; 50 if not given")
            .answers(200, "The versions, and how many there are `more`"),
        Route::new(MethodFilter::GET, "/v1/automations/{id}/versions/{version}", "read", get)
            .about("automations", "Gives a version with its declaration and its text")
            .answers(200, "The version"),
        Route::new(MethodFilter::POST, "/v1/automations/{id}/activate", "admin", activate)
            .about("automations", "Makes a version live; runs that have begun stay on theirs")
            .takes("application/json", "Activation")
            .answers(200, "The version, whether another one was live before, and what to know about it"),
        Route::new(MethodFilter::POST, "/v1/automations/{id}/rollback", "admin", roll_back)
            .about("automations", "Makes the version live that was live before the present one; again: further back")
            .answers(200, "The version that is live now"),
        Route::new(MethodFilter::POST, "/v1/automations/{id}/deactivate", "admin", deactivate)
            .about("automations", "Takes an automation out of service; runs that have begun go on")
            .answers(204, "It is out of service"),
        Route::new(MethodFilter::POST, "/v1/automations/{id}/rehearse", "admin", rehearse)
            .about(
                "automations",
                "Rehearses a page of the live runs on a version: which would differ from their journals, and where",
            )
            .takes("application/json", "Rehearsal")
            .answers(
                200,
                "How many `runs` the page had, those that would `differ`, how many are `held` in all, and `next`",
            ),
        Route::new(MethodFilter::GET, "/v1/automations/{id}/diff", "read", diff)
            .about("automations", "Says what differs between two versions: the text, the declaration, the settings")
            .query("from", "string", NAMED)
            .query("to", "string", NAMED)
            .answers(200, "The difference"),
        Route::new(MethodFilter::POST, "/v1/scripts/check", "read", check)
            .about("automations", "Checks scripts and manifests against what is declared and live, and changes nothing")
            .takes("application/json", "FilesToCheck")
            .answers(
                200,
                "For each file whether it is `ok`, what it declares, its `problems` with their places, and `notices`",
            ),
        Route::new(MethodFilter::GET, "/v1/automations/graph", "read", graph)
            .about(
                "automations",
                "Says which automation can start which, by which events, and which circles that makes",
            )
            .answers(200, "The graph"),
    ]
}

/// A script as it is pushed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptBody {
    #[serde(default)]
    path: Option<String>,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivationBody {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    announce: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesBody {
    files: Vec<FileToCheck>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    limit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffParams {
    from: Option<String>,
    to: Option<String>,
}

async fn push(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let ScriptBody { path, source } = read_typed(&api, &headers, body).await?;
    let path = path.unwrap_or_else(|| format!("{id}.rhai"));
    let pushed = api.engine.push_script(&caller, &id, &path, &source).await?;
    let status = if pushed.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_response(status, &serde_json::to_value(pushed).unwrap_or_default()))
}

async fn list(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Params(params): Params<ListParams>,
) -> Answer {
    let limit = page_rows(params.limit.as_deref())?;
    let (items, more) = api.engine.versions(&caller, &id, limit).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &json!({ "items": items, "more": more })))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path((id, version)): Path<(String, String)>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.version(&caller, &id, &version).await?))
}

async fn activate(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let ActivationBody { version, announce } = read_typed(&api, &headers, body).await?;
    let telling = if announce { Telling::Announced } else { Telling::Silent };
    let live = api.engine.activate_version(&caller, &id, version.as_deref(), telling).await?;
    Ok(json_response(StatusCode::OK, &serde_json::to_value(live).unwrap_or_default()))
}

async fn roll_back(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    let live = api.engine.roll_back(&caller, &id).await?;
    Ok(json_response(StatusCode::OK, &serde_json::to_value(live).unwrap_or_default()))
}

async fn deactivate(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    api.engine.deactivate(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn rehearse(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let page: RehearsalPage = read_typed(&api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.rehearse(&caller, &id, &page).await?))
}

async fn diff(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Params(DiffParams { from, to }): Params<DiffParams>,
) -> Answer {
    let differs = api.engine.diff_versions(&caller, &id, from.as_deref(), to.as_deref()).await?;
    Ok(json_response(StatusCode::OK, &differs))
}

async fn check(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let FilesBody { files } = read_typed(&api, &headers, body).await?;
    Ok(list_response(api.engine.check_files(&caller, &files).await?))
}

async fn graph(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.automation_graph(&caller)?))
}
