//! Segments: who is in them, why, who was, and lists that people keep.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_engine::{AsOf, Asked, MembersRequest, Telling};
use rapport_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::extract::{Auth, Params, page_rows, read_typed};
use super::page::{list_response, page_response};
use super::{Answer, Api, Route, SCRATCH_FOLDER, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/segments", "read", list)
            .about("segments", "Lists all segments with their sizes")
            .answers(200, "All of them, by name"),
        Route::new(MethodFilter::POST, "/v1/segments/preview", "read", preview)
            .about(
                "segments",
                "Says who would be in a segment of this rule: how many, and ten of them. Nothing is changed",
            )
            .takes("application/json", "SegmentPreview")
            .answers(200, "The count, a sample, and the rule as text and as a tree"),
        Route::new(MethodFilter::POST, "/v1/segments/as-of", "read", as_of)
            .about(
                "segments",
                "Says who was, or would have been, in a segment at an instant of the past, by a rule of today",
            )
            .takes("application/json", "SegmentAsOf")
            .answers(200, "The count, and the records as they were then"),
        Route::new(MethodFilter::GET, "/v1/segments/{name}", "read", get)
            .about("segments", "Gives a segment: its rule as text and as a tree, where it stands, its size")
            .answers(200, "The segment"),
        Route::new(MethodFilter::GET, "/v1/segments/{name}/members", "read", members)
            .about("segments", "Lists the members of a segment, in the order of their ids")
            .query("limit", "integer", "Members of the page, 1 to 1000; 50 if not given")
            .query("cursor", "string", "`next` of the page before")
            .answers(200, "A page of records, each with `entered_at`"),
        Route::new(MethodFilter::POST, "/v1/segments/{name}/members", "write", change)
            .about("segments", "Adds records to a list and removes others")
            .takes("application/json", "SegmentMembers")
            .answers(200, "How many were added, removed, and were so already; the keys that name no record"),
        Route::new(MethodFilter::GET, "/v1/segments/{name}/explain", "read", explain)
            .about("segments", "Says why a record is in a segment, or why not, part by part of the rule")
            .query("record", "string", "The record: an id, or `field:value` of a unique field")
            .answers(200, "The parts with their answers, and the values that they looked at"),
        Route::new(MethodFilter::GET, "/v1/segments/{name}/sizes", "read", sizes)
            .about("segments", "Says how many were in a segment at instants of the past")
            .query("at", "string", "Instants, separated by commas; 1000 at most")
            .answers(200, "A size for each instant"),
        Route::new(MethodFilter::GET, "/v1/segments/{name}/overlap", "read", overlap)
            .about("segments", "Says how many records two segments share")
            .query("with", "string", "The other segment")
            .answers(200, "The sizes of both, and of what they share"),
        Route::new(MethodFilter::POST, "/v1/segments/{name}/check", "admin", check)
            .about("segments", "Compares a segment with its rule, both as of now")
            .answers(200, "Who is missing and who is surplus: how many, and some of them"),
        Route::new(MethodFilter::POST, "/v1/segments/{name}/rebuild", "admin", rebuild)
            .about("segments", "Makes a segment anew what its rule says, in the background")
            .query("announce", "string", "`true`: who comes and leaves is told; else nobody is")
            .answers(202, "The segment as it stands"),
        Route::new(MethodFilter::GET, "/v1/records/{object}/{key}/segments", "read", of_record)
            .about("segments", "Lists the segments that a record is in, and was in, the latest first, 200 at most")
            .answers(200, "Each stay: the segment, since when, until when"),
    ]
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.segments(&caller).await?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(name): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.segment(&caller, &name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviewBody {
    object: String,
    rule: Option<String>,
    tree: Option<Json>,
}

fn wrong(pointer: &str, why: &str) -> Problem {
    Problem::new("invalid", why).with_field(pointer, why)
}

/// The rule that a body gives in one of two forms.
fn asked(rule: Option<String>, tree: Option<Json>) -> Result<Option<Asked>, Problem> {
    match (rule, tree) {
        (Some(_), Some(_)) => Err(wrong("/tree", "give `rule` or `tree`, not both")),
        (Some(text), None) => Ok(Some(Asked::Text(text))),
        (None, Some(tree)) => Ok(Some(Asked::Tree(tree))),
        (None, None) => Ok(None),
    }
}

async fn preview(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let body: PreviewBody = read_typed(&api, &headers, body).await?;
    let rule = asked(body.rule, body.tree)?;
    let rule = rule.ok_or_else(|| wrong("/rule", "a rule is needed: `lifetime_value > 1000`"))?;
    Ok(json_response(StatusCode::OK, &api.engine.preview_segment(&caller, &body.object, &rule).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AsOfBody {
    segment: Option<String>,
    #[serde(default = "customer")]
    object: String,
    rule: Option<String>,
    tree: Option<Json>,
    at: Timestamp,
    limit: Option<u32>,
}

fn customer() -> String {
    "customer".to_owned()
}

async fn as_of(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let body: AsOfBody = read_typed(&api, &headers, body).await?;
    let rule = asked(body.rule, body.tree)?;
    let asked = AsOf { segment: body.segment, object: body.object, rule, at: body.at, limit: body.limit.unwrap_or(50) };
    let folder = api.data.join(SCRATCH_FOLDER);
    Ok(json_response(StatusCode::OK, &api.engine.segment_as_of(&caller, &asked, &folder).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersParams {
    limit: Option<String>,
    cursor: Option<String>,
}

async fn members(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    Params(params): Params<MembersParams>,
) -> Answer {
    let request = MembersRequest { limit: Some(page_rows(params.limit.as_deref())?), cursor: params.cursor };
    Ok(page_response(&api.engine.segment_members(&caller, &name, &request).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
}

async fn change(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body: ChangeBody = read_typed(&api, &headers, body).await?;
    let moved = api.engine.move_members(&caller, &name, (&body.add, &body.remove)).await?;
    Ok(json_response(StatusCode::OK, &json!(moved)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainParams {
    record: String,
}

async fn explain(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    Params(params): Params<ExplainParams>,
) -> Answer {
    let explanation = api.engine.explain_segment(&caller, &name, &params.record).await?;
    Ok(json_response(StatusCode::OK, &json!(explanation)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SizesParams {
    at: String,
}

async fn sizes(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    Params(params): Params<SizesParams>,
) -> Answer {
    let read = |text: &str| text.trim().parse::<Timestamp>();
    let instants: Result<Vec<Timestamp>, _> = params.at.split(',').map(read).collect();
    let instants = instants.map_err(|e| Problem::query("at", e.to_string()))?;
    Ok(list_response(api.engine.segment_sizes(&caller, &name, &instants).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverlapParams {
    with: String,
}

async fn overlap(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    Params(params): Params<OverlapParams>,
) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.segment_overlap(&caller, &name, &params.with).await?))
}

async fn check(State(api): State<Api>, Auth(caller): Auth, Path(name): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.check_segment(&caller, &name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RebuildParams {
    announce: Option<String>,
}

async fn rebuild(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    Params(params): Params<RebuildParams>,
) -> Answer {
    let telling = match params.announce.as_deref() {
        None | Some("false") => Telling::Silent,
        Some("true") => Telling::Announced,
        Some(other) => return Err(Problem::query("announce", format!("`{other}` is neither true nor false"))),
    };
    let standing = api.engine.rebuild_segment(&caller, &name, telling).await?;
    Ok(json_response(StatusCode::ACCEPTED, &standing))
}

async fn of_record(State(api): State<Api>, Auth(caller): Auth, Path((object, key)): Path<(String, String)>) -> Answer {
    Ok(list_response(api.engine.segments_of(&caller, &object, &key).await?))
}
