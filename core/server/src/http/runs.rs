//! Runs: lists, traces, explanations, and what operators do to them.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_engine::{Caller, RunAction, RunFilter, RunSelection};
use serde::Deserialize;

use super::extract::{Auth, Params, page_rows, read_typed};
use super::page::{list_response, page_response};
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/runs", "read", list)
            .about("runs", "Lists runs, newest first")
            .query("status", "string", "pending, retrying, completed, skipped, dead, paused or cancelled")
            .query("automation", "string", "Only runs of this automation")
            .query("subject", "string", "Only runs about this record: `customer/customer_no:17850`")
            .query("limit", "integer", "Runs of the page, 1 to 1000; 50 if not given")
            .query("cursor", "string", "`next` of the page before")
            .answers(200, "A page"),
        Route::new(MethodFilter::GET, "/v1/runs/counts", "read", counts)
            .about("runs", "Counts runs by automation and status")
            .answers(200, "All counts"),
        Route::new(MethodFilter::GET, "/v1/runs/{id}", "read", get)
            .about("runs", "Gives a run with its trace: each host call, what it read and changed, fuel and time")
            .answers(200, "The run"),
        Route::new(MethodFilter::GET, "/v1/runs/{id}/explain", "read", explain)
            .about("runs", "Says why a run came about, back to the outside event, and what came of it")
            .answers(200, "The run, the chain of its causes, and the tree of what it changed and started"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/retry", "write", retry)
            .about("runs", "Starts a dead or cancelled run again")
            .answers(200, "The run, pending"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/cancel", "write", cancel)
            .about("runs", "Ends a run before it is done")
            .answers(200, "The run, cancelled"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/pause", "write", pause)
            .about("runs", "Holds a run back that waits")
            .answers(200, "The run, paused"),
        Route::new(MethodFilter::POST, "/v1/runs/{id}/resume", "write", resume)
            .about("runs", "Lets a paused run go on")
            .answers(200, "The run, pending"),
        many(Route::new(MethodFilter::POST, "/v1/runs/retry", "write", retry_all))
            .about("runs", "Starts all dead runs again that are meant")
            .answers(200, "`{\"retried\": n, \"missed\": n}`"),
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
    subject: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<ListParams>) -> Answer {
    let filter = RunFilter {
        status: params.status,
        automation: params.automation,
        subject: params.subject,
        limit: Some(page_rows(params.limit.as_deref())?),
        cursor: params.cursor,
    };
    Ok(page_response(&api.engine.runs(&caller, &filter).await.map_err(Problem::of_query)?))
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

async fn one(api: Api, caller: Caller, action: RunAction, id: String) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.operate(&caller, action, &id).await?))
}

async fn retry(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    one(api, caller, RunAction::Retry, id).await
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
    all(&api, &caller, RunAction::Retry, (headers, body)).await
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
