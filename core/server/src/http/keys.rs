//! API keys.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::MethodFilter;
use rapport_engine::NewKey;
use rapport_model::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::extract::{Auth, read_typed};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/keys", "admin", list)
            .about("keys", "Lists keys; the secrets are not kept and cannot be shown")
            .answers(200, "All keys"),
        Route::new(MethodFilter::POST, "/v1/keys", "admin", create)
            .about("keys", "Makes a key")
            .takes("application/json", "Key")
            .answers(201, "The key with its secret, which is shown this once"),
        Route::new(MethodFilter::DELETE, "/v1/keys/{key}", "admin", revoke)
            .about("keys", "Revokes a key, named by id or name")
            .answers(204, "It works no more"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    objects: Option<Vec<String>>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.list_keys(&caller).await?))
}

async fn create(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let KeyBody { name, scopes, objects, expires_at, user, roles } = read_typed(&api, &headers, body).await?;
    let key = NewKey { name: name.clone(), scopes, objects, expires_at, user, roles };
    let made = api.engine.create_key(&caller, key).await?;
    Ok(json_response(StatusCode::CREATED, &json!({"id": made.id, "name": name, "secret": made.secret})))
}

async fn revoke(State(api): State<Api>, Auth(caller): Auth, Path(key): Path<String>) -> Answer {
    api.engine.revoke_key(&caller, &key).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
