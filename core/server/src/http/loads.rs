//! History loads: one at a time, exclusive.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::MethodFilter;
use serde::Deserialize;
use serde_json::json;

use super::extract::{Auth, read_typed};
use super::{Answer, Api, Route, json_response};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::POST, "/v1/loads", "write", open)
            .about("loads", "Opens a history load, or goes on with the one of that name; other writes wait outside")
            .takes("application/json", "Load")
            .answers(200, "The load, and the time of its last row"),
        Route::new(MethodFilter::DELETE, "/v1/loads/{name}", "write", close)
            .about("loads", "Closes a history load once every run that it caused has ended")
            .answers(204, "It is closed"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLoad {
    name: String,
}

async fn open(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let NewLoad { name } = read_typed(&api, &headers, body).await?;
    let load = api.engine.open_load(&caller, &name).await?;
    let last_time = load.last_time.map(|t| t.to_string());
    Ok(json_response(StatusCode::OK, &json!({"name": load.name, "last_time": last_time})))
}

async fn close(State(api): State<Api>, Auth(caller): Auth, Path(name): Path<String>) -> Answer {
    api.engine.close_load(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
