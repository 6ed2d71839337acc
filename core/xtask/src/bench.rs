//! `cargo xtask bench`: the figures of the README, each beside the floor of the same run.
//!
//! Built in release mode as a program of its own (see `main`), since the driver and the floors are measured, too. Ratios hold where
//! figures do not: machines differ from day to day.

mod backtest;
mod bulk;
mod call;
mod client;
mod desk;
mod driver;
mod figure;
mod floor;
mod lab;
mod listen;
mod loyalty;
mod page360;
mod plugins;
mod postgres;
mod replay;
mod rollups;
mod scale;
mod segments;
mod single;
mod sleepers;
mod slices;
mod stage;
mod start;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::driver::Job;
use self::figure::Figure;
use crate::{server, tools};

/// A bench and what it measures.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&Path) -> Result<Vec<Figure>>,
}

const BENCHES: [Bench; 19] = [
    Bench { name: "bulk", about: "events as lines over HTTP, against plain sqlx", run: bulk::run },
    Bench { name: "single", about: "one event a request, against HTTP and SQLite by hand", run: single::run },
    Bench { name: "postgres", about: "the same on PostgreSQL, against pgbench", run: postgres::run },
    Bench { name: "call", about: "script and plugin calls without the database", run: |_| call::run() },
    Bench { name: "start", about: "time to the first answer, memory when idle", run: start::run },
    Bench { name: "scale", about: "an event's cost at ten thousand and at a million customers", run: scale::run },
    Bench { name: "slices", about: "a run of ten slices that write, against ten plain commits", run: slices::run },
    Bench {
        name: "sleepers",
        about: "a million runs that sleep: start, memory, disk, and how they wake",
        run: sleepers::run,
    },
    Bench { name: "replay", about: "journal entries that a run's replay answers", run: replay::run },
    Bench { name: "backtest", about: "the demo's year, and a long log, played again", run: backtest::run },
    Bench { name: "plugins", about: "a plugin's test, install and start", run: plugins::run },
    Bench { name: "rollups", about: "an import with five roll-ups kept, against one without", run: rollups::run },
    Bench { name: "segments", about: "a segment of a million customers, against SQL by hand", run: segments::run },
    Bench { name: "following", about: "a change that 200 live segments follow", run: segments::following },
    Bench { name: "loyalty", about: "an earn in long books, and a night of expiry", run: loyalty::run },
    Bench { name: "page360", about: "the whole customer with 50,000 events, first page", run: page360::run },
    Bench {
        name: "listen",
        about: "an answer to its ticket, ten thousand answers a minute on one survey",
        run: listen::run,
    },
    Bench {
        name: "reports",
        about: "scores of a million answers, by all that they can be asked by",
        run: listen::reports,
    },
    Bench { name: "desk", about: "a search in ten thousand articles, English and Chinese", run: desk::run },
];

/// Runs the benches named, or all, and prints their figures as a table. `RAPPORT_BENCH_BINARY` measures another build of the server,
/// to compare.
///
/// # Errors
/// If a name is unknown or a bench fails.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|a| a == "--list") {
        for bench in &BENCHES {
            println!("{:<10}{}", bench.name, bench.about);
        }
        return Ok(());
    }
    if let Some(unknown) = arguments.iter().find(|a| !BENCHES.iter().any(|b| b.name == **a)) {
        bail!("there is no bench `{unknown}`: see `cargo xtask bench --list`");
    }
    if !lab::can_pin() {
        bail!("the bench needs `taskset` and two cores");
    }
    tools::ensure_guest_target()?;
    let binary = std::env::var_os("RAPPORT_BENCH_BINARY").map_or_else(server::build, |path| Ok(PathBuf::from(path)))?;
    let mut figures = Vec::new();
    for bench in BENCHES.iter().filter(|b| arguments.is_empty() || arguments.iter().any(|a| a == b.name)) {
        eprintln!("bench {}: {}", bench.name, bench.about);
        let measured = (bench.run)(&binary).with_context(|| format!("bench `{}`", bench.name))?;
        // A later one that fails does not take these along.
        eprintln!("{}", figure::markdown(&measured));
        figures.extend(measured);
    }
    println!("{}", figure::markdown(&figures));
    Ok(())
}

/// The processes that the bench starts of itself.
///
/// # Errors
/// If one fails.
pub(crate) fn helper(task: &str, arguments: &[String]) -> Result<()> {
    match (task, arguments) {
        ("bench-driver", job) => driver::run(&Job::parse(job)?),
        ("bench-echo", []) => driver::echo(),
        ("bench-http-floor", [folder]) => runtime()?.block_on(floor::serve(&PathBuf::from(folder))),
        _ => bail!("the bench has no process `{task}` with {} arguments", arguments.len()),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the floor's runtime")
}

/// So many a second.
fn rate(count: u64, took: Duration) -> f64 {
    ratio(count, 1) / took.as_secs_f64().max(1e-9)
}

/// One number over another.
#[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits; counts stay far below 2^53")]
fn ratio(over: u64, under: u64) -> f64 {
    over as f64 / under as f64
}
