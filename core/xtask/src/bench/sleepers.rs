//! Sleepers: a million runs that sleep in the database; what they cost, and how a hundred thousand of them wake within a second
//! while fresh events keep coming.
//!
//! The runs are real: each was started by an event of its own through the API, and committed its journal when it fell asleep. Only
//! the instants at which the first of them are due are then moved, in the database of the stopped server, into one second.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::figure::Figure;
use super::lab::{Lab, Place, add_customers, drive, resident_bytes, send_events, wait_until};
use super::single::{Target, field, job};
use super::workload::{CUSTOMERS, shipped};
use super::{rate, ratio, runtime};
use crate::server::Server;

/// Customers that the sleeping runs are spread over; fresh events are about the first [`CUSTOMERS`] of them.
const SLEEPING_CUSTOMERS: u64 = 100_000;
/// Events, and customers, of one request.
const EVENTS_PART: u64 = 50_000;
const CUSTOMERS_PART: u64 = 10_000;
/// From the moment that the timers are set until the first is due: the server starts meanwhile, and fresh events are measured alone.
const LEAD: Duration = Duration::from_secs(30);
/// Seconds of one measurement of fresh events.
const WINDOW: u64 = 3;
/// How often the drain is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const WAITING: &str = "rapport_runs{status=\"waiting\"}";
/// What the disk may hold for a run beside its journal.
const DISK_MAX: f64 = 1_025.0;

const SCRIPT: &str = r#"//! Sleeps for a month, and writes.
on("order.shipped");
uses("customer.notes:write");

fn run(event) {
    sleep("30 days");
    update(event.record, #{ notes: `order ${event.data.order_no} arrived` });
}
"#;

/// How many runs sleep, and how many of them wake: `RAPPORT_BENCH_SLEEPERS`, or a million, and a tenth of that.
fn sleepers() -> (u64, u64) {
    let all = std::env::var("RAPPORT_BENCH_SLEEPERS").ok().and_then(|v| v.parse().ok()).unwrap_or(1_000_000);
    (all, all / 10)
}

/// Measures it on SQLite with `synchronous=FULL`.
///
/// # Errors
/// If the server, the driver or the database fails.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "sleepers")?;
    std::fs::write(lab.folder().join("scripts/sleepers.rhai"), SCRIPT)?;
    let (all, due) = sleepers();
    let server = lab.serve("data", Place::default())?;
    for first in (1..=SLEEPING_CUSTOMERS).step_by(usize::try_from(CUSTOMERS_PART)?) {
        add_customers(&server, first, first + CUSTOMERS_PART - 1)?;
    }
    server.stop()?;
    let (bare_ready, bare_memory, server) = started(&lab)?;
    let fell_asleep = put_to_sleep(&server, all)?;
    server.stop()?;
    let database = lab.folder().join("data/rapport.sqlite");
    let runtime = runtime()?;
    let disk = runtime.block_on(disk(&database))?;
    let first_due = SystemTime::now().duration_since(UNIX_EPOCH)? + LEAD;
    runtime.block_on(set_due(&database, i64::try_from(first_due.as_micros())?, i64::try_from(due)?))?;
    let (ready, memory, server) = started(&lab)?;
    let mut figures = vec![
        Figure::new("sleepers: runs that sleep", ratio(all, 1), "runs"),
        Figure::new("sleepers: runs that begin and fall asleep", fell_asleep, "runs/s"),
        Figure::new("sleepers: start to ready (floor: with none)", ready, "s").floor(bare_ready).under(5.0),
        Figure::new("sleepers: memory (floor: with none)", memory, "MB").floor(bare_memory),
    ];
    figures.extend(disk);
    figures.extend(drain(&server, all, due, first_due)?);
    server.stop()?;
    Ok(figures)
}

/// Starts the server on the data; says how long that took, in seconds, and the memory a second later, in megabytes.
fn started(lab: &Lab) -> Result<(f64, f64, Server)> {
    let server = lab.serve("data", Place::default())?;
    std::thread::sleep(Duration::from_secs(1));
    let memory = ratio(resident_bytes(server.id())?, 1 << 20);
    Ok((server.ready_after.as_secs_f64(), memory, server))
}

/// Starts so many runs by events of their own, and waits until all sleep; says how many a second.
fn put_to_sleep(server: &Server, all: u64) -> Result<f64> {
    let began = Instant::now();
    let mut first = 0;
    while first < all {
        let last = all.min(first + EVENTS_PART);
        let lines: Vec<String> = (first..last).map(|n| shipped(n, 1 + n % SLEEPING_CUSTOMERS, "sleepers")).collect();
        send_events(server, "/v1/events", &lines)?;
        first = last;
    }
    let wanted = ratio(all, 1) - 0.5;
    wait_until("the runs to fall asleep", || {
        std::thread::sleep(LOOK_EVERY);
        Ok(server.metric(WAITING)? > wanted)
    })?;
    Ok(rate(all, began.elapsed()))
}

async fn open(database: &PathBuf) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(database).disable_statement_logging();
    SqliteConnection::connect_with(&options).await.context("cannot open the database of the stopped server")
}

/// Pages of the runs and their indexes, pages of the journals, and the text of the journals, in bytes.
const BYTES: &str = "
select (select count(*) from run),
    (select sum(s.pgsize) from dbstat s join sqlite_master m on m.name = s.name where m.tbl_name in ('run', 'awaited') and s.aggregate = true),
    (select sum(s.pgsize) from dbstat s join sqlite_master m on m.name = s.name where m.tbl_name = 'journal' and s.aggregate = true),
    (select sum(length(entries)) from journal)";

/// What a run that sleeps takes on disk, beside its event.
async fn disk(database: &PathBuf) -> Result<Vec<Figure>> {
    let mut connection = open(database).await?;
    let (runs, run, journal, text): (i64, i64, i64, i64) = sqlx::query_as(BYTES).fetch_one(&mut connection).await?;
    connection.close().await?;
    let each = |bytes: i64| ratio(bytes.unsigned_abs(), runs.unsigned_abs().max(1));
    let beside = run + journal - text;
    Ok(vec![
        Figure::new("sleepers: bytes on disk of a run beside its journal's text", each(beside), "bytes")
            .under(DISK_MAX),
        Figure::new("sleepers: bytes of its journal's text", each(text), "bytes"),
    ])
}

const SET_DUE: &str = "
update run set wake_at = $1 + (v.number * 1000000) / $2
from (select id, row_number() over (order by position) as number from run order by position limit $2) as v
where run.id = v.id";

/// Makes the first runs due within a second.
async fn set_due(database: &PathBuf, first: i64, due: i64) -> Result<()> {
    let mut connection = open(database).await?;
    let moved = sqlx::query(SET_DUE).bind(first).bind(due).execute(&mut connection).await?.rows_affected();
    connection.close().await?;
    if moved != due.unsigned_abs() {
        bail!("{moved} instead of {due} runs were made due");
    }
    Ok(())
}

/// Waits for the runs that are due, and measures fresh events before and meanwhile.
fn drain(server: &Server, all: u64, due: u64, first_due: Duration) -> Result<Vec<Figure>> {
    let target = Target::ours(server, CUSTOMERS);
    let fresh =
        || -> Result<f64> { Ok(field(&drive(&job(target, "visible", 1, WINDOW), None)?, "visible_p99_us")? / 1e3) };
    fresh()?;
    let alone = fresh()?;
    let left = first_due.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH)?);
    if left.is_zero() {
        bail!("the start took longer than {} s", LEAD.as_secs());
    }
    std::thread::sleep(left);
    let began = Instant::now();
    let asleep = ratio(all - due, 1) + 0.5;
    let (took, worst) = std::thread::scope(|scope| -> Result<(Duration, f64)> {
        let drained = scope.spawn(|| -> Result<Duration> {
            wait_until("the timers", || {
                std::thread::sleep(LOOK_EVERY);
                Ok(server.metric(WAITING)? < asleep && server.metric("rapport_runs_pending")? < 50.0)
            })?;
            Ok(began.elapsed())
        });
        let mut worst = 0.0_f64;
        while !drained.is_finished() {
            worst = worst.max(fresh()?);
        }
        let took = drained.join().map_err(|_| anyhow::anyhow!("the look at the drain ended early"))??;
        Ok((took, worst))
    })?;
    let dead = server.metric("rapport_dead_letters")?;
    if dead > 0.5 {
        bail!("{dead:.0} runs went to the dead letters");
    }
    let name = format!(
        "sleepers: an event to its changed balance while timers drain, worst p99 of {WINDOW} s (floor: before)"
    );
    Ok(vec![
        Figure::new("sleepers: timers due in one second that drain", ratio(due, 1), "runs"),
        Figure::new("sleepers: drain of these", rate(due, took), "runs/s"),
        Figure::new(name, worst, "ms").floor(alone).under(250.0),
    ])
}
