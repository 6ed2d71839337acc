//! People.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_engine::NewUser;
use serde::Deserialize;

use super::extract::{Auth, read_typed};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/users", "admin", list)
            .about("users", "Lists people")
            .answers(200, "All people"),
        Route::new(MethodFilter::POST, "/v1/users", "admin", put)
            .about("users", "Adds a person, or changes roles and e-mail address of the one with that name")
            .takes("application/json", "User")
            .answers(200, "The person"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    name: String,
    #[serde(default)]
    email: Option<String>,
    roles: Vec<String>,
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.list_users(&caller).await?))
}

async fn put(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let UserBody { name, email, roles } = read_typed(&api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.put_user(&caller, NewUser { name, email, roles }).await?))
}
