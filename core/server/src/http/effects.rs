//! Effects and messages: what left the database, what is to leave it, and what was given up; previews of templates.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_engine::{EffectFilter, EffectSelection, TemplatePreview};
use serde::Deserialize;
use serde_json::json;

use super::extract::{Auth, Params, page_rows, read_typed};
use super::page::{list_response, page_response};
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        listed(Route::new(MethodFilter::GET, "/v1/effects", "read", list))
            .about("effects", "Lists messages and HTTP calls, newest first"),
        listed(Route::new(MethodFilter::GET, "/v1/messages", "read", messages))
            .about("effects", "Lists messages with what they say, newest first"),
        Route::new(MethodFilter::GET, "/v1/effects/{id}", "read", get)
            .about("effects", "Gives a message or call with what was sent and what came back")
            .answers(200, "The effect"),
        Route::new(MethodFilter::POST, "/v1/effects/{id}/retry", "write", retry)
            .about("effects", "Has a dead or cancelled effect carried out again, with the same key")
            .answers(200, "The effect, pending"),
        Route::new(MethodFilter::POST, "/v1/effects/retry", "write", retry_all)
            .takes("application/json", "EffectSelection")
            .about("effects", "Has all dead effects that are meant carried out again")
            .answers(200, "`{\"retried\": n}`"),
        Route::new(MethodFilter::GET, "/v1/circuits", "read", circuits)
            .about("effects", "Shows the destinations that fail or have something on its way")
            .answers(200, "All of them"),
        Route::new(MethodFilter::POST, "/v1/templates/{name}/preview", "read", preview)
            .takes("application/json", "TemplatePreview")
            .about("effects", "Shows what a template comes to; nothing is sent")
            .answers(200, "`subject`, `text` and `html`"),
    ]
}

fn listed(route: Route) -> Route {
    route
        .query("status", "string", "pending, done, dead or cancelled")
        .query("run", "string", "Only those that this run asked for")
        .query("channel", "string", "http, email or webhook")
        .query("destination", "string", "Only those to this destination")
        .query("limit", "integer", "Items of the page, 1 to 1000; 50 if not given")
        .query("cursor", "string", "`next` of the page before")
        .answers(200, "A page")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    status: Option<String>,
    run: Option<String>,
    channel: Option<String>,
    destination: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

impl ListParams {
    fn filter(self) -> Result<EffectFilter, Problem> {
        Ok(EffectFilter {
            status: self.status,
            run: self.run,
            channel: self.channel,
            destination: self.destination,
            messages: false,
            limit: Some(page_rows(self.limit.as_deref())?),
            cursor: self.cursor,
        })
    }
}

async fn list(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<ListParams>) -> Answer {
    Ok(page_response(&api.engine.effects(&caller, &params.filter()?).await.map_err(Problem::of_query)?))
}

async fn messages(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<ListParams>) -> Answer {
    let filter = EffectFilter { messages: true, ..params.filter()? };
    Ok(page_response(&api.engine.effects(&caller, &filter).await.map_err(Problem::of_query)?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.effect(&caller, &id).await.map_err(Problem::of_query)?))
}

async fn retry(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.retry_effect(&caller, &id).await?))
}

async fn retry_all(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let selection: EffectSelection = read_typed(&api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.retry_effects(&caller, &selection).await?))
}

async fn circuits(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    caller.everywhere(rapport_engine::Act::Read)?;
    let shown = |state: rapport_engine::CircuitState| {
        json!({
            "destination": state.destination,
            "failures": state.failures,
            "open_until": state.open_until,
            "in_flight": state.in_flight,
        })
    };
    Ok(list_response(api.engine.circuits().into_iter().map(shown).collect()))
}

async fn preview(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let request: TemplatePreview = read_typed(&api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.preview_template(&caller, &name, &request).await?))
}
