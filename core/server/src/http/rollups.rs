//! Roll-ups: which there are, whether they are what their children say, and made anew.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::MethodFilter;
use serde::Deserialize;

use super::extract::{Auth, read_json};
use super::page::list_response;
use super::{Answer, Api, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/rollups", "read", list)
            .about("rollups", "Lists the roll-up fields of all objects")
            .answers(200, "All roll-ups that the key may see"),
        Route::new(MethodFilter::POST, "/v1/rollups/check", "admin", check)
            .about("rollups", "Holds roll-ups against their children")
            .takes("application/json", "Which")
            .answers(200, "For each whether it is right, and up to 100 records for which it is not"),
        Route::new(MethodFilter::POST, "/v1/rollups/rebuild", "admin", rebuild)
            .about("rollups", "Makes roll-ups what their children say")
            .takes("application/json", "Which")
            .answers(200, "For each how many records that changed"),
    ]
}

/// Which roll-ups are meant: all, those of an object, or one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Which {
    object: Option<String>,
    field: Option<String>,
}

async fn which(api: &Api, headers: &HeaderMap, body: Body) -> Result<Which, Problem> {
    let (_, json) = read_json(api, headers, body).await?;
    serde_json::from_value(json).map_err(|e| Problem::new("invalid", e.to_string()).with_field("", e.to_string()))
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.rollups(&caller)?))
}

async fn check(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let which = which(&api, &headers, body).await?;
    let found = api.engine.check_rollups(&caller, which.object.as_deref(), which.field.as_deref()).await?;
    Ok(list_response(found))
}

async fn rebuild(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let which = which(&api, &headers, body).await?;
    let changed = api.engine.rebuild_rollups(&caller, which.object.as_deref(), which.field.as_deref()).await?;
    Ok(list_response(changed))
}
