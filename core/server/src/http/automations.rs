//! Automations: what is live, and with which settings.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use serde_json::{Map, Value as Json};

use super::extract::{Auth, read_typed};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/automations", "read", list)
            .about("automations", "Lists automations with what starts them, what they may do, and their runs by status")
            .answers(200, "All automations"),
        Route::new(MethodFilter::PUT, "/v1/automations/{id}/settings", "admin", set)
            .about(
                "automations",
                "Sets the settings of a live automation; those not named go back to their defaults. New runs go by them",
            )
            .takes("application/json", "Settings")
            .answers(200, "The version that content and settings make, and whether it is another one than before"),
    ]
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.automations(&caller).await?))
}

async fn set(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let values: Map<String, Json> = read_typed(&api, &headers, body).await?;
    let live = api.engine.set_settings(&caller, &id, &values).await?;
    Ok(json_response(StatusCode::OK, &serde_json::to_value(live).unwrap_or_default()))
}
