//! Schedules: when automations start by themselves; pausing, resuming, running now.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::MethodFilter;

use super::extract::Auth;
use super::page::list_response;
use super::{Answer, Api, Route, json_response};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/schedules", "read", list)
            .about("schedules", "Lists the schedules of all automations with the next ten instants of each")
            .answers(200, "All schedules"),
        Route::new(MethodFilter::POST, "/v1/schedules/{id}/pause", "admin", pause)
            .about("schedules", "Holds a schedule up: no instant of it comes until it is resumed")
            .answers(200, "The schedule"),
        Route::new(MethodFilter::POST, "/v1/schedules/{id}/resume", "admin", resume)
            .about("schedules", "Lets a schedule go on with its next instant; what came meanwhile is not made up for")
            .answers(200, "The schedule"),
        Route::new(MethodFilter::POST, "/v1/schedules/{id}/run", "admin", run)
            .about("schedules", "Starts a run of a schedule now; its next instant stays what it was")
            .answers(200, "The run, pending; or the schedule with the fan-out that begins"),
        Route::new(MethodFilter::POST, "/v1/schedules/{id}/cancel", "admin", cancel)
            .about("schedules", "Ends the fan-outs of a schedule that are in progress; runs that were started go on")
            .answers(200, "The schedule"),
        Route::new(MethodFilter::GET, "/v1/schedules/{id}/fan-outs", "read", fan_outs)
            .about("schedules", "Lists the latest fan-outs of a schedule, newest first, with how far they have come")
            .answers(200, "The fan-outs"),
    ]
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.schedules(&caller).await?))
}

async fn pause(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.pause_schedule(&caller, &id).await?))
}

async fn resume(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.resume_schedule(&caller, &id).await?))
}

async fn run(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.run_schedule(&caller, &id).await?))
}

async fn cancel(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.cancel_fan_outs(&caller, &id).await?))
}

async fn fan_outs(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(list_response(api.engine.fan_outs(&caller, &id).await?))
}
