//! The tags that records have.

use axum::extract::State;
use axum::routing::MethodFilter;
use serde::Deserialize;

use super::extract::{Auth, Params, page_rows};
use super::page::page_response;
use super::{Answer, Api, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/tags", "read", tags)
            .about("records", "Lists the tags of records with how many records have each, by object and tag")
            .query("object", "string", "Only tags of records of this object")
            .query("limit", "integer", "Tags of the page, 1 to 1000; 50 if not given")
            .query("cursor", "string", "`next` of the page before")
            .answers(200, "A page of `object`, `tag`, `records`"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagParams {
    object: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn tags(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<TagParams>) -> Answer {
    let page = (Some(page_rows(params.limit.as_deref())?), params.cursor.as_deref());
    let page = api.engine.tags(&caller, params.object.as_deref(), page).await.map_err(Problem::of_query)?;
    Ok(page_response(&page))
}
