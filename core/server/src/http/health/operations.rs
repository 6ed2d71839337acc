//! What operators watch: timers, the oldest runs, what the watchdog found.

use rapport_engine::Engine;

use super::Exposition;
use crate::problem::Problem;

/// Timers, and how old the oldest run in each state is.
pub(super) async fn run_metrics(engine: &Engine, text: &mut Exposition) -> Result<(), Problem> {
    let gauges = engine.gauges().await?;
    let about = "Waiting runs whose time has come and that are not woken yet (100000 at most)";
    text.single("rapport_timers_overdue", "gauge", about, gauges.timers_overdue);
    let now = engine.clock().now().micros();
    let until = gauges.timer_next.map(|next| next.micros().saturating_sub(now) / 1_000);
    let whole = |n: i64| u64::try_from(n.max(0)).unwrap_or(0);
    let about = "How long the waiting run is overdue that is due first";
    text.single("rapport_timer_lag_milliseconds", "gauge", about, whole(-until.unwrap_or(0)));
    // Absent if nothing waits for an instant.
    if let Some(until) = until {
        let about = "How long until the next waiting run is due";
        text.single("rapport_timer_next_milliseconds", "gauge", about, whole(until));
    }
    let name = "rapport_run_oldest_in_state_milliseconds";
    text.head(name, "gauge", "How long ago the event of the oldest run in each state was committed; 0: there is none");
    for (status, age) in gauges.oldest_ms {
        text.sample(name, &format!("status=\"{}\"", status.as_str()), age);
    }
    text.head("rapport_segments", "gauge", "Segments by how they stand");
    for (standing, count) in gauges.segments {
        text.sample("rapport_segments", &format!("state=\"{standing}\""), u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// What the watchdog has found.
pub(super) fn watchdog_metrics(engine: &Engine, text: &mut Exposition) {
    let summary = engine.watch_summary();
    let name = "rapport_watchdog_findings";
    text.head(name, "gauge", "Broken invariants that the watchdog has found, by check; see rapport doctor");
    for (check, count) in summary.findings {
        text.sample(name, &format!("check=\"{check}\""), count);
    }
    let seconds = summary.last_at.map_or(0, |at| u64::try_from(at.micros() / 1_000_000).unwrap_or(0));
    let about = "When the watchdog last looked, in seconds since 1970; 0: not since the start";
    text.single("rapport_watchdog_looked_at_seconds", "gauge", about, seconds);
}
