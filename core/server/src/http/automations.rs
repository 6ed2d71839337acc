//! Automations: what is live.

use axum::extract::State;
use axum::routing::MethodFilter;

use super::extract::Auth;
use super::page::list_response;
use super::{Answer, Api, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/automations", "read", list)
            .about("automations", "Lists automations with what starts them, what they may do, and their runs by status")
            .answers(200, "All automations"),
    ]
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.automations(&caller).await?))
}
