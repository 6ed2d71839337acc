//! Every error that HTTP answers with: problem+json (RFC 9457), built here and nowhere else.
//!
//! A handler returns a [`Problem`]; [`Problem::finish`] adds the request id, writes the body and logs internal text, which
//! is never sent.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rapport_engine::EngineError;
use serde_json::{Map, Value as Json, json};

/// The media type of a problem.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// A JSON pointer into the body, or the name of a query parameter or header.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Why a request was not done. Nothing was changed.
#[derive(Debug, Clone)]
pub struct Problem(Box<Facts>);

/// What a problem says. Boxed, so that the results of functions that mostly succeed stay small.
#[derive(Debug, Clone)]
struct Facts {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<BadField>,
    extra: Map<String, Json>,
    internal: Option<String>,
    /// When to come again, in seconds; none: soon, if at all.
    retry_after: Option<u64>,
}

/// The stable codes with their status and title, in the order of the documentation.
///
/// 400 means that the request cannot be read; 422 that it was read and a value in it is refused.
pub const CODES: &[(&str, u16, &str)] = &[
    ("bad_request", 400, "The request cannot be read"),
    ("invalid_json", 400, "The body is not acceptable JSON"),
    ("invalid_query", 400, "A query parameter is not acceptable"),
    ("invalid_header", 400, "A header is not acceptable"),
    ("invalid_cursor", 400, "The cursor was not made for this query"),
    ("invalid_rule", 400, "The rule is not acceptable"),
    ("invalid_event", 400, "The event's envelope is not acceptable"),
    ("unauthenticated", 401, "No valid key was given"),
    ("invalid_signature", 401, "The request is not signed as it should be"),
    ("forbidden", 403, "The key may not do this"),
    ("not_callable", 403, "The action cannot be called from here"),
    ("not_found", 404, "There is no such thing"),
    ("unknown_object", 404, "There is no such object"),
    ("unknown_action", 404, "There is no such action"),
    ("method_not_allowed", 405, "This address does not know the method"),
    ("request_timeout", 408, "The request took too long to arrive"),
    ("conflict", 409, "The record changed meanwhile"),
    ("unique", 409, "Another record has this value"),
    ("referenced", 409, "Other records refer to this one"),
    ("grant_needed", 409, "The plugin asks for what was not granted"),
    ("load_open", 409, "A history load is open"),
    ("version_mismatch", 412, "The record has another version"),
    ("too_large", 413, "The request is too large"),
    ("unsupported_media_type", 415, "The body's media type is not supported here"),
    ("invalid", 422, "A value is refused"),
    ("unknown_field", 422, "There is no such field"),
    ("unknown_event_type", 422, "There is no such event type"),
    ("reserved_event_type", 422, "Events of this type come from the core alone"),
    ("idempotency_key_reused", 422, "The idempotency key was used for another request"),
    ("invalid_script", 422, "The script is not acceptable"),
    ("invalid_plugin", 422, "The plugin is not acceptable"),
    ("invalid_package", 422, "The file is no package, or was changed"),
    ("untrusted_package", 422, "The package may not come in"),
    ("action_failed", 422, "The run of the action failed"),
    ("refused", 422, "A plugin refuses the change"),
    ("migration_failed", 422, "The plugin could not move its data to a new version"),
    ("compensator_failed", 422, "The plugin could not take back what its run did"),
    ("rate_limited", 429, "Too many requests"),
    ("internal", 500, "The server failed"),
    ("plugin_migrating", 503, "The plugin moves its data to a new version"),
    ("plugin_resting", 503, "The plugin broke down and is left alone for a while"),
    ("route_failed", 500, "The plugin could not answer"),
    ("unavailable", 503, "The server cannot do this now"),
    ("unjudged", 503, "A plugin has to look at the change and could not"),
    ("disk_full", 507, "The disk is full"),
    ("quota", 507, "There would be more than there may be"),
];

/// The status that answers a problem of `code`: the one in [`CODES`], 422 for a code that an automation or a newer
/// engine made up.
#[must_use]
pub fn status_of(code: &str) -> StatusCode {
    let known = CODES.iter().find(|(c, ..)| *c == code);
    known.and_then(|(_, status, _)| StatusCode::from_u16(*status).ok()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY)
}

fn title_of(code: &str) -> &'static str {
    CODES.iter().find(|(c, ..)| *c == code).map_or("The request is refused", |(.., title)| title)
}

impl Problem {
    /// A problem of a stable `code`, with a sentence for people.
    #[must_use]
    pub fn new(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        let code = code.into();
        Self(Box::new(Facts {
            status: status_of(&code),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extra: Map::new(),
            internal: None,
            retry_after: None,
        }))
    }

    /// The same problem, with a bad field.
    #[must_use]
    pub fn with_field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(BadField { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// The same problem, with another member in its body.
    #[must_use]
    pub fn with(mut self, name: &str, value: Json) -> Self {
        self.0.extra.insert(name.to_owned(), value);
        self
    }

    /// A query parameter is not acceptable.
    #[must_use]
    pub fn query(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new("invalid_query", format!("`{name}`: {detail}")).with_field(name, detail)
    }

    /// A header is not acceptable.
    #[must_use]
    pub fn header(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new("invalid_header", format!("`{name}`: {detail}")).with_field(name, detail)
    }

    /// The server failed; `internal` goes to the log alone.
    #[must_use]
    pub fn internal(internal: impl Into<String>) -> Self {
        let mut problem = Self::new("internal", "the server failed; its log says more under this request id");
        problem.0.internal = Some(internal.into());
        problem
    }

    /// The problem that stands for a bare status that no handler explained (a path that is not UTF-8, say).
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            404 => "not_found",
            405 => "method_not_allowed",
            408 => "request_timeout",
            413 => "too_large",
            415 => "unsupported_media_type",
            500.. => "internal",
            _ => "bad_request",
        };
        let mut problem = Self::new(code, title_of(code));
        problem.0.status = status;
        problem
    }

    /// The problem of a request whose values stand in its address: a refused value makes it unreadable (400).
    #[must_use]
    pub fn of_query(error: EngineError) -> Self {
        let mut problem = Self::from(error);
        if problem.0.status == StatusCode::UNPROCESSABLE_ENTITY {
            problem.0.status = StatusCode::BAD_REQUEST;
            if problem.0.code == "invalid" {
                let cursor = problem.0.errors.iter().any(|e| e.pointer == "/cursor");
                problem.0.code = if cursor { "invalid_cursor" } else { "invalid_query" }.into();
            }
        }
        problem
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The body as JSON.
    #[must_use]
    pub fn to_json(&self, request_id: &str) -> Json {
        let mut map = Map::new();
        map.insert("type".into(), format!("/docs#problem-{}", self.0.code).into());
        map.insert("title".into(), title_of(&self.0.code).into());
        map.insert("status".into(), self.0.status.as_u16().into());
        map.insert("code".into(), self.0.code.as_ref().into());
        map.insert("detail".into(), self.0.detail.as_str().into());
        map.insert("request_id".into(), request_id.into());
        if !self.0.errors.is_empty() {
            let errors = self.0.errors.iter().map(|e| json!({"pointer": e.pointer, "detail": e.detail})).collect();
            map.insert("errors".into(), Json::Array(errors));
        }
        for (name, value) in &self.0.extra {
            map.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        Json::Object(map)
    }

    /// Writes the answer and logs what may not be sent.
    #[must_use]
    pub fn finish(&self, request_id: &str) -> Response {
        if let Some(internal) = &self.0.internal {
            tracing::error!(request.id = request_id, error = internal.as_str(), "request {request_id} failed");
        }
        let mut response = Response::new(Body::from(self.to_json(request_id).to_string()));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.code == "unauthenticated" {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.0.status.as_u16(), 503 | 507) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.0.retry_after.unwrap_or(1)));
        }
        response
    }
}

impl IntoResponse for Problem {
    /// An empty answer that carries the problem; the layer that knows the request id finishes it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let code = error.code();
        if code == "internal" {
            return Self::internal(error.to_string());
        }
        let mut problem = Self::new(code, error.to_string());
        for field in error.pointers() {
            problem.0.errors.push(BadField { pointer: field.pointer, detail: field.message });
        }
        if let EngineError::ActionFailed { run, code, message, .. }
        | EngineError::RouteFailed { run, code, message, .. } = &error
        {
            problem.0.extra.insert("error".into(), json!({ "code": code, "message": message }));
            problem.0.extra.insert("run".into(), json!(run));
        }
        if let EngineError::Resting { until, seconds, .. } = &error {
            problem.0.retry_after = Some(*seconds);
            problem.0.extra.insert("until".into(), json!(until));
        }
        if let EngineError::Migrating { plugin, seconds, .. } = &error {
            problem.0.retry_after = Some(*seconds);
            problem.0.extra.insert("plugin".into(), json!(plugin));
        }
        if let EngineError::MigrationFailed { shown, .. } = &error {
            problem.0.extra.insert("plugin".into(), shown.clone());
        }
        if let EngineError::Refused { plugin, code, message, field, .. } = &error {
            problem.0.extra.insert("plugin".into(), json!(plugin));
            problem.0.extra.insert("error".into(), json!({ "code": code, "message": message, "field": field }));
        }
        if let EngineError::Unjudged { plugin, code, .. } = &error {
            problem.0.extra.insert("plugin".into(), json!(plugin));
            problem.0.extra.insert("error".into(), json!({ "code": code }));
        }
        if let EngineError::VersionMismatch { current } = &error {
            problem.0.extra.insert("current_version".into(), (*current).into());
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_every_member_that_rfc_9457_and_we_promise() {
        let problem = Problem::new("invalid", "two fields are refused")
            .with_field("/amount", "expected a number")
            .with_field("/customer", "expected an id");
        insta::assert_snapshot!(serde_json::to_string_pretty(&problem.to_json("r-1")).unwrap(), @r#"
        {
          "code": "invalid",
          "detail": "two fields are refused",
          "errors": [
            {
              "detail": "expected a number",
              "pointer": "/amount"
            },
            {
              "detail": "expected an id",
              "pointer": "/customer"
            }
          ],
          "request_id": "r-1",
          "status": 422,
          "title": "A value is refused",
          "type": "/docs#problem-invalid"
        }
        "#);
    }

    #[test]
    fn internal_text_is_never_sent() {
        let problem = Problem::internal("password of the database is 12345");
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.to_json("r").to_string().contains("12345"));
    }

    #[test]
    fn an_added_member_never_replaces_one_of_the_standard() {
        let json = Problem::new("invalid", "no").with("status", json!(200)).with("accepted", json!(3)).to_json("r");
        assert_eq!((&json["status"], &json["accepted"]), (&json!(422), &json!(3)));
    }

    #[test]
    fn codes_are_named_once_and_have_an_error_status() {
        for (i, (code, status, title)) in CODES.iter().enumerate() {
            assert!(CODES[..i].iter().all(|(c, ..)| c != code), "{code} twice");
            assert!((400..600).contains(status) && !title.is_empty(), "{code}");
        }
    }

    #[test]
    fn a_missing_key_asks_for_a_bearer() {
        let response = Problem::new("unauthenticated", "no key").finish("r");
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_TYPE);
    }

    #[test]
    fn a_bare_status_gets_a_code() {
        assert_eq!(Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).code(), "method_not_allowed");
        assert_eq!(Problem::of_status(StatusCode::BAD_REQUEST).code(), "bad_request");
    }
}
