//! Actions of plugins: what there is, and calling one.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::MethodFilter;
use rapport_engine::{ActionAnswer, ActionOptions};
use rapport_model::RunId;
use serde_json::json;

use super::extract::{Auth, expect_media, read_body, write_options};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;
use crate::strict_json;

/// How long a call is waited for if its caller does not say, and at most, in seconds.
const WAIT_SECONDS: u64 = 30;
const WAIT_SECONDS_MAX: u64 = 60;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/actions", "read", list)
            .about("actions", "Lists the actions of live plugins, with the JSON Schemas of their input and output")
            .answers(200, "All actions"),
        Route::new(MethodFilter::GET, "/v1/actions/{name}", "read", get)
            .about("actions", "Shows an action: `loyalty.redeem`")
            .answers(200, "The action"),
        Route::new(MethodFilter::POST, "/v1/actions/{name}", "write", call)
            .about("actions", "Calls an action. The body is its input; one that only reads needs `read` alone")
            .header("Idempotency-Key", "Makes the call safe to repeat for 24 hours")
            .header("Prefer", "`wait=SECONDS`: how long to wait for the end of the run, 0 to 60; 30 if not given")
            .takes("application/json", "")
            .answers(200, "Its output. `Rapport-Run` names the run")
            .answers(202, "`{\"run\": …, \"status\": …}`: the run goes on; the same call with the same key answers its output later"),
    ]
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.actions(&caller)?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(name): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.action(&caller, &name)?))
}

async fn call(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    parts: Parts,
    body: Body,
) -> Answer {
    expect_media(&parts.headers, &["application/json"])?;
    let bytes = read_body(&api, &parts.headers, body, api.limits.body_bytes_max).await?;
    let input = if bytes.is_empty() {
        json!({})
    } else {
        strict_json::parse(&bytes).map_err(|e| Problem::new("invalid_json", e.to_string()))?
    };
    let idempotency_key = write_options(&parts, &bytes)?.idempotency_key;
    let options = ActionOptions { idempotency_key, wait: wait(&parts.headers)? };
    match api.engine.call_action(&caller, &name, input, &options).await? {
        ActionAnswer::Output { output, run, replayed } => {
            let mut response = json_response(StatusCode::OK, &output);
            if replayed {
                response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
            }
            Ok(of_run(response, run))
        }
        ActionAnswer::Open { run, status } => {
            let mut response = json_response(StatusCode::ACCEPTED, &json!({ "run": run, "status": status.as_str() }));
            if let Ok(place) = HeaderValue::try_from(format!("/v1/runs/{run}")) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            Ok(of_run(response, Some(run)))
        }
    }
}

fn of_run(mut response: Response, run: Option<RunId>) -> Response {
    if let Some(value) = run.and_then(|run| HeaderValue::try_from(run.to_string()).ok()) {
        response.headers_mut().insert("rapport-run", value);
    }
    response
}

/// `wait=SECONDS` in `Prefer` (RFC 7240). Other preferences are none of ours.
pub(super) fn wait(headers: &HeaderMap) -> Result<Duration, Problem> {
    let mut seconds = WAIT_SECONDS;
    for value in headers.get_all("prefer") {
        let text = value.to_str().map_err(|_| Problem::header("prefer", "is not readable"))?;
        for preference in text.split(',').map(str::trim) {
            let Some(wanted) = preference.strip_prefix("wait=") else { continue };
            let known = wanted.parse().ok().filter(|seconds| *seconds <= WAIT_SECONDS_MAX);
            let wrong =
                || Problem::header("prefer", format!("`wait` takes whole seconds from 0 to {WAIT_SECONDS_MAX}"));
            seconds = known.ok_or_else(wrong)?;
        }
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_says_how_long_to_wait() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(text));
            wait(&headers).map(|wait| wait.as_secs()).map_err(|problem| problem.code().to_owned())
        };
        assert_eq!((of("wait=5"), of("return=minimal, wait=0")), (Ok(5), Ok(0)));
        assert_eq!(wait(&HeaderMap::new()).unwrap().as_secs(), WAIT_SECONDS);
        for wrong in ["wait=61", "wait=-1", "wait=soon"] {
            assert_eq!(of(wrong), Err("invalid_header".to_owned()), "{wrong}");
        }
    }
}
