//! Request ids, and turning errors into problems at the border.

use super::*;
use axum::response::IntoResponse;

fn request(id: Option<&str>) -> Request<Body> {
    let mut builder = Request::get("/");
    if let Some(id) = id {
        builder = builder.header("x-request-id", id);
    }
    builder.body(Body::empty()).unwrap()
}

async fn body(response: Response) -> serde_json::Value {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_plain_request_id_is_kept_and_another_replaced() {
    let ids = RequestIds::new();
    assert_eq!(ids.of(&request(Some("trace-1_A"))), "trace-1_A");
    let long = "a".repeat(65);
    for bad in ["", "a b", "a\"b", "<x>", long.as_str()] {
        assert_ne!(ids.of(&request(Some(bad))), bad);
    }
    assert_ne!(ids.of(&request(None)), ids.of(&request(None)));
}

#[tokio::test]
async fn a_problem_is_finished_with_the_request_id() {
    let response = finished(Problem::new("not_found", "there is no customer").into_response(), "r-7");
    assert_eq!(
        (response.status(), response.headers()["content-type"].to_str().unwrap()),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    assert_eq!(body(response).await["request_id"], "r-7");
}

#[tokio::test]
async fn an_error_that_no_handler_explained_becomes_a_problem() {
    let bare = (StatusCode::BAD_REQUEST, "Invalid URL: secret detail").into_response();
    let json = body(finished(bare, "r")).await;
    assert_eq!((&json["code"], &json["status"]), (&"bad_request".into(), &400.into()));
    assert!(!json.to_string().contains("secret"));
}

#[tokio::test]
async fn a_success_passes_unchanged() {
    let response = finished(json_response(StatusCode::OK, &serde_json::json!({"a": 1})), "r");
    assert_eq!(body(response).await, serde_json::json!({"a": 1}));
}
