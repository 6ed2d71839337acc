//! Who has to do with whom.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::MethodFilter;
use rapport_engine::RelationWalk;
use serde::Deserialize;

use super::extract::{Auth, Params};
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/records/{object}/{key}/relations", "read", relations)
            .about("records", "Walks along the relations of a customer or a company, in both directions")
            .query("steps", "integer", "How far: 1 or 2; 1 if not given")
            .query("kind", "string", "Only along relations of this kind")
            .query("ended", "boolean", "Along relations that have ended, too")
            .answers(
                200,
                "`items`: each record once, with its `step`, `name` and the `path` to it; `cut`: a step had more than 1000 relations",
            ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelationParams {
    steps: Option<String>,
    kind: Option<String>,
    ended: Option<String>,
}

async fn relations(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path((object, key)): Path<(String, String)>,
    Params(params): Params<RelationParams>,
) -> Answer {
    let steps = params.steps.as_deref().map_or(Ok(1), str::parse);
    let steps = steps.map_err(|_| Problem::query("steps", "must be 1 or 2"))?;
    let ended = params.ended.as_deref().map_or(Ok(false), str::parse);
    let ended = ended.map_err(|_| Problem::query("ended", "must be true or false"))?;
    let wanted = RelationWalk { steps, kind: params.kind, ended };
    let found = api.engine.relations(&caller, (&object, &key), &wanted).await.map_err(Problem::of_query)?;
    Ok(json_response(StatusCode::OK, &found))
}
