//! The whole customer in one place, and which customers may be one.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::MethodFilter;
use rapport_engine::{DuplicatesRequest, TimelinePage};
use serde::Deserialize;

use super::extract::{Auth, Params, page_rows};
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/customers/{key}/360", "read", whole)
            .about("records", "Gives all there is to know of a customer, with one page of the timeline")
            .query("kinds", "string", "Only these kinds of items in the timeline, separated by commas: `record`, `event`, `answer`, `run`, `message`")
            .query("limit", "integer", "Items of the timeline, 1 to 1000; 50 if not given. What one event brings is not divided")
            .query("cursor", "string", "`timeline.next` of the page before, with the same kinds; the answer has the timeline alone")
            .answers(
                200,
                "`fields` (each with `value` and `set`: where in the log, when and by whom), `numbers`, `tags`, `relations`, `consent`, `segments`, `timeline`",
            ),
        Route::new(MethodFilter::GET, "/v1/customers/duplicates", "read", duplicates)
            .about("records", "Lists pairs of customers that may be one, by what they have in common")
            .query("at_least", "number", "The least score, above 0 and up to 1; 0.6 if not given")
            .query("limit", "integer", "Pairs of the page, 1 to 1000; 50 if not given. A page may have fewer while there is a `next`")
            .query("cursor", "string", "`next` of the page before")
            .answers(200, PAGE),
        Route::new(MethodFilter::GET, "/v1/customers/{key}/duplicates", "read", duplicates_of)
            .about("records", "Lists the customers that may be the same as one, the surest first")
            .query("at_least", "number", "The least score, above 0 and up to 1; 0.6 if not given")
            .query("limit", "integer", "Pairs, 1 to 1000; 50 if not given")
            .answers(200, PAGE),
    ]
}

/// What both lists of duplicates answer.
const PAGE: &str = "A page of `score`, `reasons`, `customers` (two); `left_out`: what too many customers have in common; `filling`: customers \
     that were there before are still being looked through";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeParams {
    kinds: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn whole(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(key): Path<String>,
    Params(params): Params<WholeParams>,
) -> Answer {
    let kinds = params.kinds.unwrap_or_default();
    let page = TimelinePage {
        kinds: kinds.split(',').map(str::trim).filter(|kind| !kind.is_empty()).map(ToOwned::to_owned).collect(),
        limit: Some(page_rows(params.limit.as_deref())?),
        cursor: params.cursor,
    };
    let found = api.engine.whole_customer(&caller, &key, &page).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &found))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DuplicatesParams {
    at_least: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

impl DuplicatesParams {
    fn request(self) -> Result<DuplicatesRequest, Problem> {
        let at_least = self.at_least.as_deref().map(str::parse).transpose();
        Ok(DuplicatesRequest {
            at_least: at_least.map_err(|_| Problem::query("at_least", "must be a number above 0, up to 1"))?,
            limit: Some(page_rows(self.limit.as_deref())?),
            cursor: self.cursor,
        })
    }
}

async fn duplicates(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<DuplicatesParams>) -> Answer {
    let found = api.engine.duplicates(&caller, &params.request()?).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &found))
}

async fn duplicates_of(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(key): Path<String>,
    Params(params): Params<DuplicatesParams>,
) -> Answer {
    let found = api.engine.duplicates_of(&caller, &key, &params.request()?).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &found))
}
