//! Backtest: the demo's year, and a long log, played again with a changed rule through the command line.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::figure::Figure;
use super::lab::{Lab, Place, is_idle, send_events, wait_until};
use super::workload::{CUSTOMERS, Order, SCRIPT};
use super::{rate, ratio};
use crate::demo;
use crate::server::{self, Server, Start};
use crate::workspace::{command, output, root};

/// Events of one request.
const PART: u64 = 50_000;
/// Orders of the demo that the rule looks at.
const DEMO_ORDERS: u64 = 22_190;

/// How many events the long log has: `RAPPORT_BENCH_HISTORY`, or a million. Half of them are orders, half what follows.
fn history() -> u64 {
    std::env::var("RAPPORT_BENCH_HISTORY").ok().and_then(|v| v.parse().ok()).unwrap_or(1_000_000)
}

/// Measures both on SQLite.
///
/// # Errors
/// If a server, the import or a backtest fails.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "backtest")?;
    let mut figures = year(binary, &lab)?;
    figures.extend(long(binary, &lab)?);
    Ok(figures)
}

/// The demo's year without the points program, with the points doubled over 200 instead of 100.
fn year(binary: &Path, lab: &Lab) -> Result<Vec<Figure>> {
    server::build_plugin(binary, "plugins/tiers")?;
    let data = lab.folder().join("year");
    let (scripts, plugins) = (data.join("scripts"), data.join("plugins"));
    for file in ["loyalty/points.rhai", "automations/refund.rhai", "automations/come-back.rhai"] {
        copy(&root().join("scripts").join(file), &scripts.join(file))?;
    }
    for file in ["tiers/plugin.toml", "tiers/tiers.wasm"] {
        copy(&root().join("plugins").join(file), &plugins.join(file))?;
    }
    let folders = [("--scripts", &scripts), ("--plugins", &plugins)];
    let arguments =
        folders.iter().flat_map(|(name, folder)| [(*name).to_owned(), folder.display().to_string()]).collect();
    let server = Server::start(binary, &Start { data: &data, arguments, core: None })?;
    demo::import(binary, &server, &data, &data.join("refused.csv"))?;
    // Runs that wait for another try, or for a person, are no part of it.
    wait_until("the runs", || Ok(server.metric("rapport_runs_pending")? < 0.5))?;
    let rule = std::fs::read_to_string(root().join("scripts/loyalty/points.rhai"))?;
    let candidate = changed(lab, &rule, ("\"double_over\", 100", "\"double_over\", 200"))?;
    let (took, result) = play(binary, &server, (&candidate, "loyalty/points"))?;
    server.stop()?;
    let events = events(&result)?;
    Ok(vec![
        Figure::new("backtest: the demo's year through the command line", took.as_secs_f64(), "s").under(10.0),
        Figure::new("backtest: orders of that year", rate(DEMO_ORDERS, took), "orders/s"),
        Figure::new("backtest: events of that year", rate(events, took), "events/s"),
    ])
}

/// Orders paid by a thousand customers, with the points rule that the bench serves.
fn long(binary: &Path, lab: &Lab) -> Result<Vec<Figure>> {
    let server = lab.shop("long", Place::default())?;
    let orders = history() / 2;
    let mut first = 0;
    while first < orders {
        let last = orders.min(first + PART);
        let lines: Vec<String> = (first..last).map(|n| Order::new(n, CUSTOMERS).event("history")).collect();
        send_events(&server, "/v1/events", &lines)?;
        first = last;
    }
    wait_until("the runs", || is_idle(&server))?;
    let recorded = server.metric("rapport_log_head")?;
    let candidate = changed(lab, SCRIPT, ("amount > 100", "amount > 150"))?;
    let (took, _) = play(binary, &server, (&candidate, "points"))?;
    server.stop()?;
    Ok(vec![
        Figure::new("backtest: events of the long log", recorded, "events"),
        Figure::new("backtest: the long log", took.as_secs_f64(), "s"),
        Figure::new(
            "backtest: recorded events of the long log played again",
            recorded / took.as_secs_f64(),
            "events/s",
        ),
        Figure::new("backtest: orders of the long log, each a run", ratio(orders, 1) / took.as_secs_f64(), "orders/s"),
    ])
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display())).map(drop)
}

/// Writes the script with one place changed.
fn changed(lab: &Lab, script: &str, (from, to): (&str, &str)) -> Result<std::path::PathBuf> {
    if !script.contains(from) {
        bail!("the script has no `{from}`");
    }
    let path = lab.folder().join("candidate.rhai");
    std::fs::write(&path, script.replace(from, to))?;
    Ok(path)
}

/// Plays everything again with the candidate in place of the automation; says how long the command took.
fn play(binary: &Path, server: &Server, (candidate, id): (&Path, &str)) -> Result<(Duration, Value)> {
    let mut played = command(binary);
    played.args(["script", "backtest"]).arg(candidate).args(["--id", id, "--json"]);
    played.args(["--since", "2000-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z"]);
    played.args(["--server", &format!("http://{}", server.address), "--key-file"]).arg(&server.key_file);
    let began = Instant::now();
    let text = output(played.stderr(Stdio::inherit()))?;
    let took = began.elapsed();
    Ok((took, serde_json::from_str(&text).with_context(|| format!("the backtest told `{text}`"))?))
}

/// How many events were played again.
fn events(result: &Value) -> Result<u64> {
    result["progress"]["of"].as_u64().with_context(|| format!("the backtest tells no events: {}", result["progress"]))
}
