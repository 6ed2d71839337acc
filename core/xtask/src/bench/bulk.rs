//! Bulk: paid orders as lines over HTTP, the script applied and committed, against the batch floor in the same run.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};

use super::figure::Figure;
use super::lab::{Lab, Place, is_idle, send_events, wait_until};
use super::workload::{CUSTOMERS, Order};
use super::{floor, rate, ratio, runtime};
use crate::server::Server;

/// Events that are sent.
const EVENTS: u64 = 60_000;

/// Measures it on SQLite with `synchronous=FULL`.
///
/// # Errors
/// If a server or floor fails, or the points are not what was sent.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "bulk")?;
    let runtime = runtime()?;
    let before = rate(EVENTS, runtime.block_on(floor::batch(&folder(&lab, "before")?, EVENTS))?);
    let server = lab.shop("data", Place::default())?;
    let mut figures = measure(&server)?;
    server.stop()?;
    let after = rate(EVENTS, runtime.block_on(floor::batch(&folder(&lab, "after")?, EVENTS))?);
    // The mean of the floor before and after: machines drift while they are measured.
    let mean = f64::midpoint(before, after);
    if let Some(bulk) = figures.first_mut() {
        bulk.floor = Some(mean);
        let share = bulk.ours / mean;
        figures.insert(1, Figure::new("bulk: floor / ours", 1.0 / share, "×").under(4.0));
    }
    Ok(figures)
}

fn folder(lab: &Lab, name: &str) -> Result<std::path::PathBuf> {
    let folder = lab.folder().join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Sends the events in one request and waits until every balance is complete.
fn measure(server: &Server) -> Result<Vec<Figure>> {
    let names =
        ["rapport_rows_written_total", "rapport_statements_total", "rapport_commits_total", "rapport_fuel_total"];
    let read = || names.iter().map(|name| server.metric(name)).collect::<Result<Vec<f64>>>();
    let before = read()?;
    let lines: Vec<String> = (0..EVENTS).map(|n| Order::new(n, CUSTOMERS).event("bulk")).collect();
    let processor = super::lab::processor_time(server.id())?;
    let began = Instant::now();
    send_events(server, "/v1/events", &lines)?;
    let accepted = began.elapsed();
    wait_until("the runs", || is_idle(server))?;
    let took = began.elapsed();
    let processor = super::lab::processor_time(server.id())?.saturating_sub(processor);
    let after = read()?;
    hold_points(server)?;
    let events = ratio(EVENTS, 1);
    let each = |i: usize| (after[i] - before[i]) / events;
    Ok(vec![
        Figure::new("bulk: events applied and committed", rate(EVENTS, took), "events/s").at_least(10_000.0),
        Figure::new("bulk: events acknowledged", rate(EVENTS, accepted), "events/s"),
        Figure::new("bulk: processor time per event", processor.as_secs_f64() * 1e6 / events, "µs"),
        Figure::new("bulk: rows per event", each(0), "rows"),
        Figure::new("bulk: statements per event", each(1), "statements"),
        Figure::new("bulk: transactions per event", each(2), "transactions"),
        Figure::new("bulk: fuel per event", each(3), "fuel"),
    ])
}

/// Holds the sum of all points against what was sent.
fn hold_points(server: &Server) -> Result<()> {
    let customers = server.records("customer", "points")?;
    let is: u64 = customers.iter().filter_map(|c| c["points"].as_u64()).sum();
    let want: u64 = (0..EVENTS).map(|n| Order::new(n, CUSTOMERS).points()).sum();
    if is != want {
        bail!("the points are {is} instead of {want}");
    }
    Ok(())
}
