//! The documentation of the API: the machine's and the person's. Both are made at the start and need no network.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::MethodFilter;

use super::{Api, Route};

/// The page: one file with its own style and script. It loads `openapi.json` from this server and nothing else.
const PAGE: &str = include_str!("docs.html");
/// What the page may do: run the script in it and ask this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/openapi.json", "", openapi)
            .about("documentation", "Describes this API as OpenAPI 3.1")
            .answers(200, "The description"),
        Route::new(MethodFilter::GET, "/docs", "", page)
            .about("documentation", "Shows this API to people; works without a network")
            .gives("text/html")
            .answers(200, "The page"),
    ]
}

async fn openapi(State(api): State<Api>) -> Response {
    let mut response = api.openapi.clone().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn page() -> Response {
    let mut response = Html(PAGE).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
