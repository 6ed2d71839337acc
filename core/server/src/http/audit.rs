//! The audit trail: checking the chain, and anchoring it outside.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_engine::{Act, EngineError};
use rapport_store::audit::Anchor;
use serde::Deserialize;
use serde_json::json;

use super::extract::{Auth, Params, read_typed};
use super::records::position;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;
use crate::secret_file;

/// The file in the data folder that holds the key which signs anchors.
const AUDIT_KEY_FILE: &str = "audit.key";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/audit/verify", "admin", verify)
            .about("audit", "Checks the chain of the log: every hash, from the first event or from one on")
            .query("after", "integer", "Begin after this position")
            .answers(200, "How many events were checked, and the first that does not fit or null"),
        Route::new(MethodFilter::POST, "/v1/audit/anchor", "admin", anchor)
            .about("audit", "Signs where the log stands; kept elsewhere, it shows a log that was cut off")
            .answers(200, "The anchor"),
        Route::new(MethodFilter::POST, "/v1/audit/check", "admin", check)
            .about("audit", "Holds an anchor against the log")
            .takes("application/json", "Anchor")
            .answers(200, "`{\"holds\": true}`, or false and why"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyParams {
    after: Option<String>,
}

async fn verify(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<VerifyParams>) -> Answer {
    caller.everywhere(Act::Admin)?;
    let after = params.after.as_deref().map_or(Ok(0), position)?;
    let report = api.engine.store().verify(after, &|_| {}).await.map_err(EngineError::from)?;
    Ok(json_response(StatusCode::OK, &json!(report)))
}

async fn anchor(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    caller.everywhere(Act::Admin)?;
    let file = api.data.join(AUDIT_KEY_FILE);
    let key = secret_file::read_or_make(&file)
        .map_err(|e| Problem::internal(format!("the key file `{}`: {e}", file.display())))?;
    let anchor = api.engine.store().anchor(&key).await.map_err(EngineError::from)?;
    Ok(json_response(StatusCode::OK, &json!(anchor)))
}

async fn check(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    caller.everywhere(Act::Admin)?;
    let anchor: Anchor = read_typed(&api, &headers, body).await?;
    let checked = api.engine.store().check_anchor(&anchor).await.map_err(EngineError::from)?;
    let json = match checked {
        None => json!({"holds": true, "position": anchor.position}),
        Some(why) => json!({"holds": false, "position": anchor.position, "why": why}),
    };
    Ok(json_response(StatusCode::OK, &json))
}
