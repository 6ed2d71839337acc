//! Slices: a run of ten slices that all write, from its event to the tenth write, beside ten plain commits on the same disk.
//!
//! The run waits by the shortest way that there is: each slice changes a record, and waits for what happens to that record; the change
//! itself wakes it. So each of nine waits is a commit of the slice, a look through the log, a commit of the wake, and the next slice:
//! 20 commits with the event. The same with sleeps of a millisecond shows how exact the timers are.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::client::Client;
use super::driver::percentile;
use super::figure::Figure;
use super::lab::{Lab, Place};
use super::{floor, postgres, ratio, runtime};
use crate::server::Server;

/// Runs of each kind, of which the first [`WARM_UP`] do not count.
const RUNS: u64 = 110;
const WARM_UP: u64 = 10;
/// Slices of a run.
const SLICES: u64 = 10;
/// How long one run may take.
const RUN_MAX: Duration = Duration::from_secs(30);
/// How often the client looks.
const LOOK_EVERY: Duration = Duration::from_micros(100);

const BY_EVENT: &str = r#"//! Ten slices that write; each waits for the event of its own change.
on("order.shipped");
uses("customer:read", "customer.notes:write");

fn run(event) {
    let no = event.data.order_no;
    for i in 1..10 {
        update(event.record, #{ notes: `${no}/${i}` });
        wait_for("customer.updated", "");
    }
    update(event.record, #{ notes: `${no}/10` });
}
"#;

/// What a kind of runs took, in nanoseconds, sorted, and what it cost.
struct Measured {
    nanos: Vec<u64>,
    /// Commits of one run, with its event.
    commits: f64,
}

impl Measured {
    fn millis(&self, thousandths: usize) -> f64 {
        millis(&self.nanos, thousandths)
    }
}

/// Measures it on SQLite with `synchronous=FULL`, and on PostgreSQL as it runs durably.
///
/// # Errors
/// If a server, database or run fails.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let runtime = runtime()?;
    let lab = Lab::new(binary, "slices")?;
    let folder = lab.folder().join("floor");
    std::fs::create_dir_all(&folder)?;
    let floor_nanos = runtime.block_on(floor::commits(&folder, RUNS, SLICES))?;
    let mut figures = kinds(&lab, "SQLite FULL", Place::default(), &floor_nanos)?;
    let floor_database = rapport_test_support::pg::url();
    let database = rapport_test_support::pg::url();
    figures.extend(postgres::durably(&floor_database, || {
        let floor_nanos = runtime.block_on(postgres::commits(&floor_database, RUNS, SLICES))?;
        kinds(&lab, "PostgreSQL", Place { core: None, database: Some(&database) }, &floor_nanos)
    })?);
    Ok(figures)
}

/// Both kinds of runs on one database.
fn kinds(lab: &Lab, on: &str, place: Place<'_>, floor_nanos: &[u64]) -> Result<Vec<Figure>> {
    let events = measure(lab, &format!("{on} events"), place, BY_EVENT)?;
    let sleeps = BY_EVENT.replace("wait_for(\"customer.updated\", \"\")", "sleep(\"1 millisecond\")");
    let name = |what: &str| format!("slices: ten that write, {on}, {what} (floor: ten plain commits)");
    let mut figures = vec![
        Figure::new(name("median"), events.millis(500), "ms").floor(millis(floor_nanos, 500)).under(5.0),
        Figure::new(name("p99"), events.millis(990), "ms").floor(millis(floor_nanos, 990)),
        Figure::new(format!("slices: commits of such a run with its event, {on}"), events.commits, "commits"),
    ];
    if place.database.is_none() {
        let sleeps = measure(lab, &format!("{on} sleeps"), place, &sleeps)?;
        let name = format!("slices: the same with nine sleeps of 1 ms, {on}, median");
        figures.push(Figure::new(name, sleeps.millis(500), "ms"));
    }
    Ok(figures)
}

/// Runs `script` again and again on a new data folder.
fn measure(lab: &Lab, folder: &str, place: Place<'_>, script: &str) -> Result<Measured> {
    std::fs::write(lab.folder().join("scripts/slices.rhai"), script)?;
    let server = lab.shop(&folder.replace(' ', "-").to_lowercase(), place)?;
    let mut client = Client::open(&server)?;
    for number in 0..WARM_UP {
        one(&mut client, number)?;
    }
    let commits = commits(&server)?;
    let mut nanos = (WARM_UP..RUNS).map(|number| one(&mut client, number)).collect::<Result<Vec<u64>>>()?;
    let commits = commits_since(&server, commits)?;
    server.stop()?;
    nanos.sort_unstable();
    Ok(Measured { nanos, commits })
}

fn commits(server: &Server) -> Result<f64> {
    server.metric("rapport_commits_total")
}

fn commits_since(server: &Server, before: f64) -> Result<f64> {
    Ok((commits(server)? - before) / ratio(RUNS - WARM_UP, 1))
}

/// One run: from sending its event until the write of its tenth slice is seen.
fn one(client: &mut Client, number: u64) -> Result<u64> {
    let customer = 1 + number;
    let event = super::workload::shipped(number, customer, "slices");
    let path = format!("/v1/records/customer/customer_no:{customer}");
    let last = format!("{number}/{SLICES}");
    let began = Instant::now();
    client.post("/v1/events", &event)?;
    while client.get(&path)?["notes"].as_str() != Some(last.as_str()) {
        if began.elapsed() > RUN_MAX {
            bail!("run {number} did not end within {} s", RUN_MAX.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(u64::try_from(began.elapsed().as_nanos())?)
}

fn millis(nanos: &[u64], thousandths: usize) -> f64 {
    ratio(percentile(nanos, thousandths), 1_000)
}
