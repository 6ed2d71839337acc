//! Runs: lists, traces, explanations, and what operators do to them.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_engine::{Caller, RetryOptions, RunAction, RunFilter, RunSelection};
use rapport_model::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::extract::{Auth, Params, page_rows, read_body, read_json, read_typed};
use super::page::list_response;
use super::{Answer, Api, Route, SCRATCH_FOLDER, json_response};
use crate::problem::Problem;
use crate::strict_json;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/runs", "read", list)
            .about("runs", "Lists runs, newest first")
            .query("status", "string", "pending, retrying, waiting, completed, skipped, dead, paused or cancelled")
            .query("automation", "string", "Only runs of this automation")
            .query("digest", "string", "Only runs of the version whose digest begins so")
            .query("error", "string", "Only runs whose last failure had this code: `unique`, `cause_depth`")
            .query("lane", "string", "Only runs on the lane of this record: `customer/customer_no:17850`")
            .query("since", "string", "Only runs whose event was committed at this instant or later")
            .query("until", "string", "Only runs whose event was committed before this instant")
            .query("subject", "string", "Only runs about this record: `customer/customer_no:17850`")
            .query("limit", "integer", "Runs of the page, 1 to 1000; 50 if not given")
            .query("cursor", "string", "`next` of the page before")
            .answers(200, "A page, and how many runs (of that automation) are in each state; one whose row is damaged says so"),
        Route::new(MethodFilter::GET, "/v1/runs/counts", "read", counts)
            .about("runs", "Counts runs by automation and status")
            .answers(200, "All counts"),
        Route::new(MethodFilter::GET, "/v1/runs/{id}", "read", get)
            .about("runs", "Gives a run with its trace (each host call, what it read and changed, fuel and time) and the numbered calls of its journal")
            .answers(200, "The run"),
        Route::new(MethodFilter::GET, "/v1/runs/{id}/explain", "read", explain)
            .about("runs", "Says why a run came about, back to the outside event, and what came of it")
            .answers(200, "The run, the chain of its causes, and the tree of what it changed and started"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/tape", "admin", tape)
            .about("runs", "Gives the tape of a run: its input and all that its calls returned, with which `plugin replay` plays it elsewhere")
            .answers(200, "The tape; it holds what the run read"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/retry", "write", retry)
            .about("runs", "Starts a dead or cancelled run again; `from` a call of its journal, `on` the active version")
            .takes("application/json", "Retry")
            .answers(200, "The run as it is then, with the committed calls that are done again"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/cancel", "write", cancel)
            .about("runs", "Ends a run before it is done")
            .answers(200, "The run, cancelled"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/pause", "write", pause)
            .about("runs", "Holds a run back that waits")
            .answers(200, "The run, paused"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/resume", "write", resume)
            .about("runs", "Lets a paused run go on")
            .answers(200, "The run, pending"),
        Route::new(MethodFilter::POST, "/v1/runs/retry", "write", retry_all)
            .about("runs", "Starts all dead runs again that are meant")
            .takes("application/json", "RetryMany")
            .answers(200, "`{\"retried\": n, \"missed\": n}`; with `from` or `on` also how many were `refused`, and why"),
        many(Route::new(MethodFilter::POST, "/v1/runs/cancel", "write", cancel_all))
            .about("runs", "Ends all runs that are meant and not done")
            .answers(200, "`{\"cancelled\": n, \"missed\": n}`"),
        many(Route::new(MethodFilter::POST, "/v1/runs/pause", "write", pause_all))
            .about("runs", "Holds back all runs that are meant and wait")
            .answers(200, "`{\"paused\": n, \"missed\": n}`"),
        many(Route::new(MethodFilter::POST, "/v1/runs/resume", "write", resume_all))
            .about("runs", "Lets all paused runs go on that are meant")
            .answers(200, "`{\"resumed\": n, \"missed\": n}`"),
    ]
}

fn many(route: Route) -> Route {
    route.takes("application/json", "RunSelection")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    status: Option<String>,
    automation: Option<String>,
    digest: Option<String>,
    error: Option<String>,
    lane: Option<String>,
    since: Option<String>,
    until: Option<String>,
    subject: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<ListParams>) -> Answer {
    let filter = RunFilter {
        status: params.status,
        automation: params.automation,
        digest: params.digest,
        error: params.error,
        lane: params.lane,
        since: instant("since", params.since.as_deref())?,
        until: instant("until", params.until.as_deref())?,
        subject: params.subject,
        limit: Some(page_rows(params.limit.as_deref())?),
        cursor: params.cursor,
    };
    let page = api.engine.runs(&caller, &filter).await.map_err(Problem::of_query)?;
    let counts = api.engine.run_totals(&caller, filter.automation.as_deref())?;
    Ok(json_response(StatusCode::OK, &json!({ "items": page.items, "next": page.next, "counts": counts })))
}

fn instant(name: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let wrong = |_| Problem::query(name, "must be an instant such as 2026-03-01T02:00:00Z".to_owned());
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

async fn counts(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.run_counts(&caller)?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    let run = api.engine.run(&caller, &id).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &run))
}

async fn explain(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    let json = api.engine.explain_run(&caller, &id).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &json))
}

async fn tape(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    let folder = api.data.join(SCRATCH_FOLDER);
    Ok(json_response(StatusCode::OK, &api.engine.tape(&caller, &id, &folder).await?))
}

async fn one(api: Api, caller: Caller, action: RunAction, id: String) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.operate(&caller, action, &id).await?))
}

async fn retry(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let bytes = read_body(&api, &headers, body, api.limits.body_bytes_max).await?;
    let options = if bytes.is_empty() {
        RetryOptions::default()
    } else {
        let json = strict_json::parse(&bytes).map_err(|e| Problem::new("invalid_json", e.to_string()))?;
        serde_json::from_value(json).map_err(|e| Problem::new("invalid", e.to_string()))?
    };
    Ok(json_response(StatusCode::OK, &api.engine.retry(&caller, &id, &options).await?))
}

async fn cancel(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    one(api, caller, RunAction::Cancel, id).await
}

async fn pause(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    one(api, caller, RunAction::Pause, id).await
}

async fn resume(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    one(api, caller, RunAction::Resume, id).await
}

async fn all(api: &Api, caller: &Caller, action: RunAction, (headers, body): (HeaderMap, Body)) -> Answer {
    let selection: RunSelection = read_typed(api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.operate_all(caller, action, &selection).await?))
}

async fn retry_all(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let (_, mut selection) = read_json(&api, &headers, body).await?;
    // What is meant and how it is done stand side by side in the request.
    let mut how = serde_json::Map::new();
    for name in ["from", "on", "force"] {
        how.extend(selection.as_object_mut().and_then(|map| map.remove(name)).map(|value| (name.to_owned(), value)));
    }
    let wrong = |e: serde_json::Error| Problem::new("invalid", e.to_string());
    let selection: RunSelection = serde_json::from_value(selection).map_err(wrong)?;
    let options: RetryOptions = serde_json::from_value(how.into()).map_err(wrong)?;
    Ok(json_response(StatusCode::OK, &api.engine.retry_all(&caller, &selection, &options).await?))
}

async fn cancel_all(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    all(&api, &caller, RunAction::Cancel, (headers, body)).await
}

async fn pause_all(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    all(&api, &caller, RunAction::Pause, (headers, body)).await
}

async fn resume_all(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    all(&api, &caller, RunAction::Resume, (headers, body)).await
}
