//! Records: lists, single records and their history.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use rapport_engine::{HistoryPage, ListRequest, MergeRequest, SearchRequest, WriteOptions, Written};
use rapport_model::json::record_to_json;
use serde::Deserialize;
use serde_json::json;

use super::extract::{Auth, Params, if_match, page_rows, read_json, read_typed, version_in_quotes, write_options};
use super::page::{list_response, page_response};
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

const IDEMPOTENT: &str =
    "A key of your own; the same request again within 24 hours gives the same answer and changes nothing";
const MATCHING: &str = "The version, in quotes, that the record must have";

pub(super) fn routes() -> Vec<Route> {
    let list = "/v1/records/{object}";
    let one = "/v1/records/{object}/{key}";
    let write = |route: Route| {
        route
            .header("Idempotency-Key", IDEMPOTENT)
            .takes("application/json", "Fields")
            .answers(200, "The record as it is now")
    };
    vec![
        Route::new(MethodFilter::GET, list, "read", list_records)
            .about("records", "Lists records of an object")
            .query("where", "string", "A rule, such as `country == 'France' && amount > 100`")
            .query("order", "string", "Fields to order by, `-` before a field for descending: `-amount,order_no`")
            .query("limit", "integer", "Rows of the page, 1 to 1000; 50 if not given")
            .query("cursor", "string", "`next` of the page before, with the same other parameters")
            .query("fields", "string", "Fields to give, separated by commas; all if not given")
            .answers(200, "A page"),
        write(Route::new(MethodFilter::POST, list, "write", create))
            .about("records", "Creates a record")
            .answers(201, "The new record"),
        Route::new(MethodFilter::GET, "/v1/records/{object}/count", "read", count)
            .about("records", "Counts records of an object")
            .query("where", "string", "A rule; all records if not given")
            .answers(200, "`{\"count\": n}`"),
        Route::new(MethodFilter::GET, "/v1/records/{object}/search", "read", search)
            .about("records", "Looks for words in searchable fields of records, the best first")
            .query("q", "string", "The text; all its words must be there, the last one may go on")
            .query("fields", "string", "Searchable fields, separated by commas; all if not given")
            .query("where", "string", "A rule that must hold")
            .query("limit", "integer", "Hits, 1 to 100; 20 if not given")
            .answers(
                200,
                "`items`, each with `id`, `score` and a `snippet`: `field`, plain `text`, `matches` in characters",
            ),
        Route::new(MethodFilter::GET, one, "read", get)
            .about("records", "Gives a record, named by its id or by `field:value` of a unique field")
            .header("If-None-Match", "The version, in quotes, that you have")
            .answers(200, "The record; its version is the ETag")
            .answers(304, "You have it"),
        write(Route::new(MethodFilter::PUT, one, "write", put))
            .about("records", "Updates a record, or creates the one named by a unique field")
            .header("If-Match", MATCHING)
            .answers(201, "The new record"),
        write(Route::new(MethodFilter::PATCH, one, "write", patch))
            .about("records", "Changes fields of a record; `{\"points\": {\"increment\": 5}}` adds to a number, `{\"tags\": {\"add\": [\"vip\"], \"remove\": []}}` to the tags")
            .header("If-Match", MATCHING),
        Route::new(MethodFilter::DELETE, one, "write", delete)
            .about("records", "Deletes a record; its last state stays in the log")
            .header("If-Match", MATCHING)
            .answers(204, "It is gone"),
        Route::new(MethodFilter::POST, "/v1/records/{object}/{key}/merge", "write", merge)
            .about(
                "records",
                "Merges the record `merged` into this one, as a run that can be undone: references, tags, lists and files go over, and its names lead here from then on",
            )
            .takes("application/json", "Merge")
            .answers(200, "What went over, or, in a dry run, what would; `run` is what to undo"),
        Route::new(MethodFilter::GET, "/v1/records/{object}/{key}/history", "read", history)
            .about(
                "records",
                "Gives the events of a record, oldest first; `why` says who or what made each, and because of what",
            )
            .query("field", "string", "Only changes of this field")
            .query("after", "integer", "Only events after this position")
            .query("limit", "integer", "Events of the page, 1 to 1000; 50 if not given")
            .answers(200, "A page; `next` is the `after` of the next one"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    r#where: Option<String>,
    order: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
    fields: Option<String>,
}

async fn list_records(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(object): Path<String>,
    Params(params): Params<ListParams>,
) -> Answer {
    let request = ListRequest {
        object,
        filter: params.r#where,
        order: params.order,
        limit: Some(page_rows(params.limit.as_deref())?),
        cursor: params.cursor,
        fields: params.fields.map(|f| f.split(',').map(|n| n.trim().to_owned()).collect()),
    };
    let page = api.engine.list(&caller, &request).await.map_err(Problem::of_query)?;
    Ok(page_response(&page))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountParams {
    r#where: Option<String>,
}

async fn merge(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path((object, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let wanted: MergeRequest = read_typed(&api, &headers, body).await?;
    let done = api.engine.merge(&caller, (&object, &key), &wanted).await?;
    Ok(json_response(StatusCode::OK, &done))
}

async fn count(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(object): Path<String>,
    Params(params): Params<CountParams>,
) -> Answer {
    let count = api.engine.count(&caller, &object, params.r#where.as_deref()).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &json!({"count": count})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchParams {
    q: Option<String>,
    fields: Option<String>,
    r#where: Option<String>,
    limit: Option<String>,
}

async fn search(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(object): Path<String>,
    Params(params): Params<SearchParams>,
) -> Answer {
    let limit = params.limit.map(|text| text.parse::<u32>());
    let limit = limit.transpose().map_err(|_| Problem::query("limit", "must be a whole number from 1 to 100"))?;
    let fields = params.fields.unwrap_or_default();
    let request = SearchRequest {
        object,
        text: params.q.unwrap_or_default(),
        fields: fields.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect(),
        filter: params.r#where,
        limit,
    };
    Ok(list_response(api.engine.search(&caller, &request).await.map_err(Problem::of_query)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

async fn get(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path((object, key)): Path<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
) -> Answer {
    let record = api.engine.get(&caller, &object, &key).await.map_err(Problem::of_query)?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let versions = known.into_iter().flat_map(|v| v.split(',')).map(|t| t.trim().trim_start_matches("W/"));
    // What follows from other records, or from the clock, changes without a new version.
    let follows = record.object.fields.iter().any(|field| field.rollup.is_some()) || !record.object.formulas.is_empty();
    if !follows && versions.into_iter().any(|t| version_in_quotes(t) == Some(record.version)) {
        return Ok(with_etag(StatusCode::NOT_MODIFIED.into_response(), record.version));
    }
    Ok(with_etag(json_response(StatusCode::OK, &record_to_json(&record)), record.version))
}

async fn create(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(object): Path<String>,
    Params(NoParams {}): Params<NoParams>,
    parts: Parts,
    body: Body,
) -> Answer {
    let (bytes, json) = read_json(&api, &parts.headers, body).await?;
    let options = write_options(&parts, &bytes)?;
    refuse_if_match(&options)?;
    let written = api.engine.create(&caller, &object, &json, &options).await?;
    Ok(written_response(&object, &written))
}

async fn put(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path((object, key)): Path<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
    parts: Parts,
    body: Body,
) -> Answer {
    let (bytes, json) = read_json(&api, &parts.headers, body).await?;
    let options = write_options(&parts, &bytes)?;
    let written = api.engine.put(&caller, &object, &key, &json, &options).await?;
    Ok(written_response(&object, &written))
}

async fn patch(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path((object, key)): Path<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
    parts: Parts,
    body: Body,
) -> Answer {
    let (bytes, json) = read_json(&api, &parts.headers, body).await?;
    let options = write_options(&parts, &bytes)?;
    let written = api.engine.patch(&caller, &object, &key, &json, &options).await?;
    Ok(written_response(&object, &written))
}

async fn delete(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path((object, key)): Path<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
) -> Answer {
    let options = WriteOptions { if_match: if_match(&headers)?, idempotency_key: None };
    api.engine.delete(&caller, &object, &key, &options).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryParams {
    field: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

async fn history(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path((object, key)): Path<(String, String)>,
    Params(params): Params<HistoryParams>,
) -> Answer {
    let wanted = HistoryPage {
        field: params.field,
        after: params.after.as_deref().map(position).transpose()?,
        limit: Some(page_rows(params.limit.as_deref())?),
    };
    let page = api.engine.history(&caller, &object, &key, &wanted).await.map_err(Problem::of_query)?;
    Ok(page_response(&page))
}

/// A position in the log, as `after` names it.
pub(super) fn position(text: &str) -> Result<i64, Problem> {
    match text.parse::<i64>() {
        Ok(position) if position >= 0 => Ok(position),
        _ => Err(Problem::query("after", "must be a position in the log, 0 or more")),
    }
}

fn refuse_if_match(options: &WriteOptions) -> Result<(), Problem> {
    if options.if_match.is_some() {
        return Err(Problem::header("if-match", "a record that is created has no version yet"));
    }
    Ok(())
}

fn written_response(object: &str, written: &Written) -> Response {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = with_etag(json_response(status, &written.json), written.version);
    if written.created
        && let Ok(place) = HeaderValue::try_from(format!("/v1/records/{object}/{}", written.id))
    {
        response.headers_mut().insert(header::LOCATION, place);
    }
    if written.replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

fn with_etag(mut response: Response, version: i64) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
