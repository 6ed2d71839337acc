//! Scale: what one event costs with ten thousand customers, and with a million and five million events behind them.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::figure::Figure;
use super::lab::{DRIVER_CORE, Lab, Place, SERVER_CORE, add_customers, is_idle, send_events, wait_until};
use super::rate;
use super::single::{Measured, Target, load};
use super::workload::Order;
use crate::server::Server;
use crate::table::number;

/// Customers added by one request.
const PART: u64 = 10_000;
const SMALL: u64 = 10_000;
/// Events that are sent for each customer of the large workspace, beside the one that made it.
const EVENTS_EACH: u64 = 4;
/// Events of one request.
const EVENTS_PART: u64 = 50_000;

/// How many customers the large workspace has: `RAPPORT_BENCH_CUSTOMERS`, or a million.
fn large() -> u64 {
    std::env::var("RAPPORT_BENCH_CUSTOMERS").ok().and_then(|v| v.parse().ok()).unwrap_or(1_000_000)
}

/// Measures it on one workspace that grows.
///
/// # Errors
/// If the server or the driver fails.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "scale")?;
    let server = lab.serve("data", Place { core: Some(SERVER_CORE), database: None })?;
    let large = large();
    grow(&server, 0, SMALL)?;
    let few = loaded(&server, SMALL)?;
    let began = Instant::now();
    grow(&server, SMALL, large)?;
    let growth = rate(large - SMALL, began.elapsed());
    let began = Instant::now();
    let events = lengthen(&server, large)?;
    let lengthening = rate(events, began.elapsed());
    let many = loaded(&server, large)?;
    let log = server.metric("rapport_log_head")?;
    server.stop()?;
    let name = |what: &str, customers: u64| {
        format!("scale: {what}, {} customers", number(i64::try_from(customers).unwrap_or(i64::MAX)))
    };
    Ok(vec![
        Figure::new(name("processor time per event", SMALL), few.processor_us, "µs"),
        Figure::new(name("processor time per event", large), many.processor_us, "µs").floor(few.processor_us),
        Figure::new(name("events at 16 connections", SMALL), few.rate, "events/s"),
        Figure::new(name("events at 16 connections", large), many.rate, "events/s").floor(few.rate),
        Figure::new(name("p99", large), many.p99_ms, "ms").floor(few.p99_ms),
        Figure::new("scale: events in the log at the end", log, "events"),
        Figure::new("scale: customers added by upsert", growth, "records/s"),
        Figure::new("scale: events that start nothing", lengthening, "events/s"),
    ])
}

fn loaded(server: &Server, customers: u64) -> Result<Measured> {
    let measured = load(Target::ours(server, customers), 16, Some(DRIVER_CORE))?;
    wait_until("the runs", || is_idle(server))?;
    Ok(measured)
}

/// Sends events that start nothing; says how many.
fn lengthen(server: &Server, customers: u64) -> Result<u64> {
    let all = customers * EVENTS_EACH;
    let mut first = 0;
    while first < all {
        let last = all.min(first + EVENTS_PART);
        let lines: Vec<String> = (first..last).map(|n| Order::new(n, customers).event("past")).collect();
        send_events(server, "/v1/events?automations=skip", &lines)?;
        first = last;
    }
    Ok(all)
}

fn grow(server: &Server, from: u64, to: u64) -> Result<()> {
    let mut first = from + 1;
    while first <= to {
        let last = to.min(first + PART - 1);
        add_customers(server, first, last)?;
        first = last + 1;
    }
    Ok(())
}
