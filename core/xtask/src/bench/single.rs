//! Single: connections that each post one event and wait for its durable acknowledgement, server on one core, load on the other.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::driver::Job;
use super::figure::Figure;
use super::lab::{DRIVER_CORE, Floor, Lab, Place, SERVER_CORE, drive, processor_time};
use super::ratio;
use super::workload::CUSTOMERS;
use crate::server::Server;

/// Seconds of each load, after a warm-up of [`WARM_UP`].
const SECONDS: u64 = 10;
const WARM_UP: u64 = 2;

/// What one load came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Events a second.
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time of the server per event, in microseconds.
    pub(crate) processor_us: f64,
}

/// A server that can be loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) address: &'a str,
    pub(crate) key: &'a str,
    pub(crate) process: u32,
    pub(crate) customers: u64,
}

impl<'a> Target<'a> {
    /// One of our servers.
    pub(crate) fn ours(server: &'a Server, customers: u64) -> Self {
        Self { address: &server.address, key: server.key(), process: server.id(), customers }
    }

    fn floor(floor: &'a Floor) -> Self {
        Self { address: &floor.address, key: "", process: floor.id(), customers: CUSTOMERS }
    }
}

/// Measures it on SQLite with `synchronous=FULL`, beside the floors.
///
/// # Errors
/// If a server, floor or driver fails.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "single")?;
    let folder = vec![lab.folder().display().to_string()];
    let core = Some(DRIVER_CORE);
    let echo = Floor::start("bench-echo", &[])?;
    let driver_alone = load(Target::floor(&echo), 16, core)?;
    drop(echo);
    let http = Floor::start("bench-http-floor", &folder)?;
    let floor_many = load(Target::floor(&http), 16, core)?;
    let floor_one = load(Target::floor(&http), 1, core)?;
    drop(http);
    let server = lab.shop("data", Place { core: Some(SERVER_CORE), database: None })?;
    let target = Target::ours(&server, CUSTOMERS);
    let many = load(target, 16, core)?;
    let one = load(target, 1, core)?;
    let visible = drive(&job(target, "visible", 1, SECONDS), core)?;
    server.stop()?;
    Ok(vec![
        Figure::new("single: 16 connections", many.rate, "events/s").floor(floor_many.rate).at_least(6_000.0),
        Figure::new("single: 16 connections, p50", many.p50_ms, "ms").floor(floor_many.p50_ms),
        Figure::new("single: 16 connections, p99", many.p99_ms, "ms").floor(floor_many.p99_ms).under(15.0),
        Figure::new("single: processor time per event, 16 connections", many.processor_us, "µs")
            .floor(floor_many.processor_us),
        Figure::new("single: 1 connection", one.rate, "events/s").floor(floor_one.rate).at_least(1_500.0),
        Figure::new("single: 1 connection, p99", one.p99_ms, "ms").floor(floor_one.p99_ms),
        Figure::new("single: event to changed balance, p99", field(&visible, "visible_p99_us")? / 1e3, "ms")
            .under(25.0),
        Figure::new("single: the driver against an echo, 16 connections", driver_alone.rate, "events/s"),
    ])
}

/// What the driver does for one measurement.
pub(crate) fn job(target: Target<'_>, what: &str, connections: u64, seconds: u64) -> Job {
    // Each job has events of its own: the start of the process and the instant keep their ids apart.
    let instant = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    Job {
        what: what.to_owned(),
        address: target.address.to_owned(),
        key: target.key.to_owned(),
        connections,
        seconds,
        customers: target.customers,
        run: format!("{}-{instant}", std::process::id()),
    }
}

/// Warms up, then loads and measures.
///
/// # Errors
/// If the driver fails.
pub(crate) fn load(target: Target<'_>, connections: u64, core: Option<u32>) -> Result<Measured> {
    drive(&job(target, "load", connections, WARM_UP), core)?;
    let before = processor_time(target.process)?;
    let report = drive(&job(target, "load", connections, SECONDS), core)?;
    let processor = processor_time(target.process)?.saturating_sub(before);
    let events = field(&report, "events")?;
    Ok(Measured {
        rate: events / (field(&report, "micros")? / 1e6),
        p50_ms: field(&report, "p50_us")? / 1e3,
        p99_ms: field(&report, "p99_us")? / 1e3,
        processor_us: processor.as_secs_f64() * 1e6 / events.max(1.0),
    })
}

/// A figure of the driver's report.
///
/// # Errors
/// If it is not there.
pub(crate) fn field(report: &Value, name: &str) -> Result<f64> {
    let value = report[name].as_u64().with_context(|| format!("the driver did not report `{name}`: {report}"))?;
    Ok(ratio(value, 1))
}
