//! Backtests: what a script would have made of the past.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::MethodFilter;
use rapport_engine::{Against, Candidate, NewBacktest};
use rapport_model::Timestamp;
use serde::Deserialize;

use super::extract::{Auth, read_typed};
use super::{Answer, Api, Route, json_response};

/// Where scratch workspaces lie in the data folder.
pub(crate) const SCRATCH_FOLDER: &str = "scratch";

pub(super) fn routes() -> Vec<Route> {
    let one = "/v1/backtests/{id}";
    vec![
        Route::new(MethodFilter::POST, "/v1/backtests", "admin", start)
            .about("backtests", "Begins to play a period of the past again with a script; nothing is written or sent")
            .takes("application/json", "Backtest")
            .answers(202, "The backtest, at work"),
        Route::new(MethodFilter::GET, one, "admin", get)
            .about("backtests", "Gives a backtest: how far it is, and what came of it")
            .answers(200, "The backtest"),
        Route::new(MethodFilter::DELETE, one, "admin", cancel)
            .about("backtests", "Cancels a backtest that is at work")
            .answers(204, "It ends as soon as it notices"),
    ]
}

/// A backtest as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BacktestBody {
    id: String,
    #[serde(default)]
    path: Option<String>,
    source: String,
    since: Timestamp,
    until: Timestamp,
    #[serde(default)]
    against: AgainstBody,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum AgainstBody {
    #[default]
    Recorded,
    Active,
}

async fn start(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let BacktestBody { id, path, source, since, until, against } = read_typed(&api, &headers, body).await?;
    let path = path.unwrap_or_else(|| format!("{id}.rhai"));
    let against = match against {
        AgainstBody::Recorded => Against::Recorded,
        AgainstBody::Active => Against::Active,
    };
    let folder = api.data.join(SCRATCH_FOLDER);
    let new = NewBacktest { candidate: Candidate { id, path, source }, since, until, against, folder };
    Ok(json_response(StatusCode::ACCEPTED, &api.engine.start_backtest(&caller, new).await?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.backtest(&caller, &id)?))
}

async fn cancel(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    api.engine.cancel_backtest(&caller, &id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
