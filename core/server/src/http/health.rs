//! Whether the server lives, is ready, and how it does.

mod operations;

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use rapport_engine::{Act, PluginUsage};
use rapport_model::RunStatus;
use serde_json::json;

use super::extract::Auth;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/healthz", "", healthz)
            .about("operations", "Says that the process lives")
            .gives("text/plain")
            .answers(200, "`ok`"),
        Route::new(MethodFilter::GET, "/readyz", "", readyz)
            .about("operations", "Says whether the server takes work")
            .answers(200, "It does"),
        Route::new(MethodFilter::GET, "/metrics", "read", metrics)
            .about("operations", "Gives counters and gauges in the text format of Prometheus")
            .gives("text/plain; version=0.0.4")
            .answers(200, "All of them"),
        Route::new(MethodFilter::GET, "/v1/health/invariants", "admin", invariants)
            .about(
                "operations",
                "Looks after all invariants at once: runs that nobody wakes, timers overdue, counts that are off",
            )
            .answers(200, "What each check looked at and found, and what to do about it"),
        Route::new(MethodFilter::GET, "/v1/workspace", "read", workspace)
            .about("operations", "Says which workspace this is, how far its log goes, and which version serves it")
            .answers(200, "The workspace"),
    ]
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(api): State<Api>) -> Response {
    if *api.stopping.borrow() {
        return Problem::new("unavailable", "the server is stopping").into_response();
    }
    if api.engine.store().fatal().borrow().is_some() {
        return Problem::new("unavailable", "the database failed; the server is stopping").into_response();
    }
    json_response(StatusCode::OK, &json!({"status": "ready"}))
}

async fn workspace(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    caller.require(Act::Read)?;
    let json = json!({
        "workspace": api.engine.store().workspace(),
        "head": api.engine.head(),
        "version": env!("CARGO_PKG_VERSION"),
        "commit": env!("RAPPORT_COMMIT"),
        "load": api.engine.open_load_now().map(|load| load.name),
    });
    Ok(json_response(StatusCode::OK, &json))
}

async fn invariants(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(json_response(StatusCode::OK, &json!(api.engine.watch(&caller).await?)))
}

async fn metrics(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    caller.everywhere(Act::Read)?;
    let mut text = Exposition::default();
    http_metrics(&api, &mut text);
    engine_metrics(&api, &mut text);
    plugin_metrics(&api, &mut text);
    fan_out_metrics(&api, &mut text);
    lag_metrics(&api, &mut text).await?;
    effect_metrics(&api, &mut text).await?;
    store_metrics(&api, &mut text);
    // Each part of the product that has something to measure adds its function here.
    operations::run_metrics(&api.engine, &mut text).await?;
    operations::watchdog_metrics(&api.engine, &mut text);
    let mut response = text.0.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn http_metrics(api: &Api, text: &mut Exposition) {
    text.head("rapport_http_responses_total", "counter", "Answers by the class of their status");
    for (i, count) in api.counters.by_class.iter().enumerate() {
        let labels = format!("class=\"{}xx\"", i + 1);
        text.sample("rapport_http_responses_total", &labels, count.load(Ordering::Relaxed));
    }
    let busy = api.counters.busy_micros.load(Ordering::Relaxed);
    text.single("rapport_http_busy_microseconds_total", "counter", "Time from head read to answer begun, summed", busy);
    let in_flight = api.counters.in_flight.load(Ordering::Relaxed) as u64;
    text.single("rapport_http_requests_in_flight", "gauge", "Requests being worked on", in_flight);
    let readers = api.limits.streams_max.saturating_sub(api.streams.available_permits()) as u64;
    text.single("rapport_http_event_streams", "gauge", "Readers of the event stream", readers);
}

fn engine_metrics(api: &Api, text: &mut Exposition) {
    let m = api.engine.metrics();
    let head = u64::try_from(m.head).unwrap_or(0);
    text.single("rapport_log_head", "gauge", "The last position of the log", head);
    text.head("rapport_runs_in_memory", "gauge", "Runs in memory, by what they do");
    for (what, count) in [("waiting", m.load.queued), ("working", m.load.running), ("sleeping", m.load.sleeping)] {
        text.sample("rapport_runs_in_memory", &format!("doing=\"{what}\""), count as u64);
    }
    for (name, about, value) in [
        ("rapport_runs_total", "Runs started since the start", m.runs_total),
        ("rapport_runs_completed_total", "Runs completed since the start", m.completed_total),
        ("rapport_runs_dead_total", "Runs that went to the dead letters since the start", m.dead_total),
        ("rapport_slices_retried_total", "Failed slices that are tried again, since the start", m.retries_total),
        ("rapport_slices_total", "Slices that ended in a commit", m.slices_total),
        ("rapport_slice_conflicts_total", "Slices tried again because a record had moved", m.conflicts_total),
        ("rapport_fuel_total", "Fuel used by all slices", m.fuel_total),
        ("rapport_hooks_asked_total", "Changes that plugins were asked about", m.hooks_asked_total),
        ("rapport_hooks_refused_total", "Changes that plugins refused", m.hooks_refused_total),
        ("rapport_hooks_failed_total", "Hooks of plugins that failed to judge a change", m.hooks_failed_total),
        ("rapport_events_total", "Events committed since the start", m.events_total),
    ] {
        text.single(name, "counter", about, value);
    }
}

/// What each installed plugin has used: their names are the only labels, so that there are never more of them.
fn plugin_metrics(api: &Api, text: &mut Exposition) {
    let all = api.engine.plugin_usage();
    let mut each = |name: &str, kind: &str, about: &str, value: fn(&PluginUsage) -> u64| {
        text.head(name, kind, about);
        for plugin in &all {
            text.sample(name, &format!("plugin=\"{}\"", plugin.plugin), value(plugin));
        }
    };
    each("rapport_plugin_calls_total", "counter", "Calls of plugins", |p| p.usage.calls);
    each("rapport_plugin_fuel_total", "counter", "Fuel used by plugins", |p| p.usage.fuel);
    let about = "The most memory that one instance held at its end";
    each("rapport_plugin_memory_peak_bytes", "gauge", about, |p| p.usage.memory_peak_bytes);
    let about = "Time of plugins in host calls that reach data, summed";
    each("rapport_plugin_host_microseconds_total", "counter", about, |p| p.usage.host_micros);
    let about = "Time of calls of plugins, host calls included, summed";
    each("rapport_plugin_wall_microseconds_total", "counter", about, |p| p.usage.wall_micros);
    let about = "Calls of plugins that were stopped by force: broken down, or past a limit";
    each("rapport_plugin_traps_total", "counter", about, |p| p.usage.traps);
    let about = "Calls of plugins that ended at a host call for which a right was missing";
    each("rapport_plugin_refusals_total", "counter", about, |p| p.usage.refusals);
    let about = "Whether a plugin is left alone, since it breaks down";
    each("rapport_plugin_circuit_open", "gauge", about, |p| u64::from(p.open));
}

fn fan_out_metrics(api: &Api, text: &mut Exposition) {
    let m = api.engine.fan_out_metrics();
    text.head("rapport_fan_outs", "gauge", "Fan-outs in progress, by what they do");
    for (what, count) in [("running", m.running), ("queued", m.queued)] {
        text.sample("rapport_fan_outs", &format!("state=\"{what}\""), count as u64);
    }
    let at_work = api.engine.metrics().load.fan_out as u64;
    text.single(
        "rapport_fan_out_runs_in_memory",
        "gauge",
        "Runs of fan-outs that wait for their lane or work",
        at_work,
    );
    let about = "Runs that fan-outs have started since the start";
    text.single("rapport_fan_out_runs_total", "counter", about, m.started_total);
}

/// How far the runs are behind the log, by the one that has waited longest.
async fn lag_metrics(api: &Api, text: &mut Exposition) -> Result<(), Problem> {
    let oldest = api.engine.oldest_waiting().await?;
    let now = api.engine.clock().now();
    let waited = oldest.as_ref().map_or(0, |run| now.micros().saturating_sub(run.created_at.micros()).max(0));
    let behind = oldest.as_ref().map_or(0, |run| api.engine.head().saturating_sub(run.position).max(0));
    let whole = |n: i64| u64::try_from(n).unwrap_or(0);
    let about = "How long the run that has waited longest has waited";
    text.single("rapport_run_oldest_milliseconds", "gauge", about, whole(waited / 1_000));
    let about = "Events after the one whose run has waited longest";
    text.single("rapport_run_lag_events", "gauge", about, whole(behind));
    Ok(())
}

/// What is to leave the database, and how the destinations do.
async fn effect_metrics(api: &Api, text: &mut Exposition) -> Result<(), Problem> {
    let (pending, dead) = api.engine.effect_counts().await?;
    text.single("rapport_effects_pending", "gauge", "Messages and HTTP calls to be carried out", pending);
    text.single("rapport_effects_dead", "gauge", "Messages and HTTP calls that were given up", dead);
    let circuits = api.engine.circuits();
    text.head("rapport_circuit_open", "gauge", "Whether a destination is left alone, since it fails");
    for circuit in circuits.iter().filter(|circuit| circuit.failures > 0) {
        let label = circuit.destination.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let open = u64::from(circuit.open_until.is_some());
        text.sample("rapport_circuit_open", &format!("destination=\"{label}\""), open);
    }
    let in_flight: usize = circuits.iter().map(|circuit| circuit.in_flight).sum();
    text.single("rapport_effects_in_flight", "gauge", "Attempts on their way", in_flight as u64);
    Ok(())
}

fn store_metrics(api: &Api, text: &mut Exposition) {
    let store = api.engine.store();
    text.head("rapport_runs", "gauge", "Runs of all time by status");
    let counts = store.run_counts();
    let of = |status| counts.iter().filter(|c| c.status == status).map(|c| c.count).sum::<u64>();
    for status in RunStatus::ALL {
        text.sample("rapport_runs", &format!("status=\"{}\"", status.as_str()), of(status));
    }
    text.single("rapport_dead_letters", "gauge", "Runs that are dead and wait for somebody", of(RunStatus::Dead));
    text.single("rapport_runs_pending", "gauge", "Runs that wait or work", of(RunStatus::Pending));
    let s = store.stats();
    for (name, about, value) in [
        ("rapport_statements_total", "Statements sent by the committer", s.statements),
        ("rapport_rows_written_total", "Rows written by the committer", s.rows),
        ("rapport_commits_total", "Physical transactions", s.transactions),
        ("rapport_units_total", "Units of work committed", s.units),
        ("rapport_units_refused_total", "Units of work refused", s.refused),
        ("rapport_record_cache_hits_total", "Record reads answered from memory", s.cache_hits),
        ("rapport_record_cache_misses_total", "Record reads that asked the database", s.cache_misses),
    ] {
        text.single(name, "counter", about, value);
    }
    text.single("rapport_units_queued", "gauge", "Units that wait for the committer", s.queued);
    text.single("rapport_database_bytes", "gauge", "Size of the database", s.database_bytes);
}

/// Text in the format of Prometheus.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, about: &str) {
        let _ = writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    fn single(&mut self, name: &str, kind: &str, about: &str, value: u64) {
        self.head(name, kind, about);
        self.sample(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_under_their_help_and_type() {
        let mut text = Exposition::default();
        text.single("a_total", "counter", "Counts a", 3);
        text.head("b", "gauge", "Counts b");
        text.sample("b", "status=\"dead\"", 0);
        insta::assert_snapshot!(text.0, @r#"
        # HELP a_total Counts a
        # TYPE a_total counter
        a_total 3
        # HELP b Counts b
        # TYPE b gauge
        b{status="dead"} 0
        "#);
    }
}
