//! A page of a list, and the parameters that every list knows.

use axum::http::StatusCode;
use axum::response::Response;
use rapport_engine::Page;
use serde_json::{Value as Json, json};

use super::json_response;

/// Writes a page: its items, and the cursor of the next page or null.
pub(super) fn page_response(page: &Page<Json>) -> Response {
    json_response(StatusCode::OK, &json!({"items": page.items, "next": page.next}))
}

/// Writes a list that has no further pages.
pub(super) fn list_response(items: Vec<Json>) -> Response {
    page_response(&Page { items, next: None })
}
