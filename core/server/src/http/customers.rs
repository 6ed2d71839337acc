//! The whole customer in one place.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::MethodFilter;
use rapport_engine::TimelinePage;
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
    ]
}

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
