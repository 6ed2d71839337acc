//! Runs: lists, traces, explanations, and trying again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::MethodFilter;
use rapport_engine::RunFilter;
use serde::Deserialize;

use super::extract::{Auth, Params, page_rows};
use super::page::{list_response, page_response};
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/runs", "read", list)
            .about("runs", "Lists runs, newest first")
            .query("status", "string", "pending, retrying, completed, skipped or dead")
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
            .about("runs", "Starts a dead run again")
            .answers(200, "The run, pending"),
    ]
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

async fn retry(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.retry(&caller, &id).await?))
}
