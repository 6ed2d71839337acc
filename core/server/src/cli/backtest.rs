//! `rapport script backtest`: what a script would have made of the past, made by the server.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::test::script_id;
use super::{Common, Failure, Outcome, block_on};
use crate::client::{Address, Client};
use crate::output::{plain, table};

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What `script backtest` takes.
#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// The script.
    file: PathBuf,
    /// From when on events count, by their time: `2026-03-01T00:00:00Z`.
    #[arg(long, value_name = "INSTANT")]
    since: String,
    /// Before when events count.
    #[arg(long, value_name = "INSTANT")]
    until: String,
    /// What it is held against.
    #[arg(long, value_enum, default_value = "recorded")]
    against: Against,
    /// The automation whose version it stands in for; by default the one that is called as its file.
    #[arg(long)]
    id: Option<String>,
}

/// What a backtest is held against.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Against {
    /// What really happened.
    Recorded,
    /// What the versions that are live now would have made of it.
    Active,
}

pub(super) fn run(common: &Common, args: &BacktestArgs) -> Outcome {
    let source = std::fs::read_to_string(&args.file)
        .map_err(|e| Failure::Failed(format!("cannot read {}: {e}", args.file.display())))?;
    let body = json!({
        "id": args.id.clone().unwrap_or_else(|| script_id(&args.file)),
        "path": args.file.display().to_string(),
        "source": source,
        "since": args.since,
        "until": args.until,
        "against": match args.against { Against::Recorded => "recorded", Against::Active => "active" },
    });
    let client = Arc::new(common.client()?);
    let begun = client.post("/v1/backtests", &body)?;
    let path = Address::of(&["v1", "backtests", begun["id"].as_str().unwrap_or_default()]).text();
    let ended = block_on(wait(&client, &path))??;
    match ended["state"].as_str() {
        Some("done") => {
            common.output().show(&ended, people);
            Ok(ExitCode::SUCCESS)
        }
        Some("cancelled") => Err(Failure::Failed("the backtest was cancelled".to_owned())),
        _ => Err(Failure::Failed(plain(ended["error"].as_str().unwrap_or("the backtest failed")))),
    }
}

/// Waits for the end of the backtest; whoever interrupts the command cancels it.
async fn wait(client: &Arc<Client>, path: &str) -> Result<Json, Failure> {
    let (asking, place) = (client.clone(), path.to_owned());
    let asked = tokio::task::spawn_blocking(move || ask(&asking, &place));
    tokio::pin!(asked);
    let broke = |e: tokio::task::JoinError| Failure::Failed(e.to_string());
    tokio::select! {
        ended = &mut asked => ended.map_err(broke)?,
        _ = tokio::signal::ctrl_c() => {
            let (client, path) = (client.clone(), path.to_owned());
            tokio::task::spawn_blocking(move || client.delete(&path)).await.map_err(broke)??;
            asked.await.map_err(broke)?
        }
    }
}

fn ask(client: &Client, path: &str) -> Result<Json, Failure> {
    let shows = std::io::stderr().is_terminal();
    loop {
        let backtest = client.get(path)?;
        if backtest["state"] != "running" {
            if shows {
                eprint!("\r\x1b[2K");
            }
            return Ok(backtest);
        }
        if shows {
            eprint!("\r{} of {} events", backtest["progress"]["done"], backtest["progress"]["of"]);
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// What came of it, in lines.
fn people(backtest: &Json) -> String {
    let result = &backtest["result"];
    let text = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let mut lines = vec![
        format!(
            "{} ({}) {} from {} to {}",
            text(&backtest["automation"]),
            text(&backtest["digest"]).chars().take(12).collect::<String>(),
            if backtest["mode"] == "replaces" { "in place of its version" } else { "beside the others" },
            text(&backtest["since"]),
            text(&backtest["until"])
        ),
        format!(
            " events {}   matched {}   runs {}   fuel {}   {:.1} s",
            result["events"],
            result["matched"],
            result["runs"],
            result["fuel"],
            result["seconds"].as_f64().unwrap_or_default()
        ),
    ];
    lines.push(kinds("writes", &list(&result["writes"])));
    let sent = list(&result["sent"]);
    if !sent.is_empty() {
        lines.push(kinds("messages and calls", &sent));
    }
    let against = if backtest["against"] == "active" { "the active versions" } else { "what really happened" };
    let differing = result["records_differing"].as_u64().unwrap_or_default();
    lines.push(match differing {
        0 => format!(" no record differs from {against}"),
        1 => format!(" 1 record differs from {against}; the largest differences:"),
        n => format!(" {n} records differ from {against}; the largest differences:"),
    });
    let mut rows = Vec::new();
    for difference in list(&result["differences"]) {
        let name = difference["key"].as_str().or(difference["id"].as_str()).unwrap_or_default();
        let name = format!("{}/{name}", text(&difference["object"]));
        if let Some(only) = difference["only_in"].as_str() {
            rows.push(vec![String::new(), name.clone(), format!("only in the {only}"), String::new(), String::new()]);
        }
        for field in list(&difference["fields"]) {
            let by = if field["by"].is_null() { String::new() } else { format!("({})", text(&field["by"])) };
            let change = format!("{} → {}", text(&field["recorded"]), text(&field["backtest"]));
            rows.push(vec![String::new(), name.clone(), text(&field["field"]), change, by]);
        }
    }
    if !rows.is_empty() {
        lines.push(table(&["", "", "", "", ""], rows));
    }
    for failure in list(&result["failures"]) {
        lines.push(format!(" {} runs failed: {}", failure["runs"], text(&failure["error"])));
    }
    lines.extend(list(&result["remarks"]).iter().map(|remark| format!(" note: {}", text(remark))));
    plain(&lines.join("\n"))
}

/// What was written or sent by kind, summed over the days.
fn kinds(what: &str, writes: &[Json]) -> String {
    let mut sums: std::collections::BTreeMap<&str, (u64, u64)> = std::collections::BTreeMap::new();
    for write in writes {
        let sum = sums.entry(write["kind"].as_str().unwrap_or_default()).or_default();
        sum.0 += write["recorded"].as_u64().unwrap_or_default();
        sum.1 += write["backtest"].as_u64().unwrap_or_default();
    }
    if sums.is_empty() {
        return " it would have written nothing".to_owned();
    }
    let rows = sums
        .iter()
        .map(|(kind, (then, now))| vec![String::new(), (*kind).to_owned(), then.to_string(), now.to_string()]);
    table(&["", what, "then", "backtest"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_differences_are_lines_for_people() {
        let backtest = json!({
            "automation": "loyalty/points", "digest": "0123456789abcdef", "mode": "replaces", "against": "recorded",
            "since": "2011-01-01T00:00:00Z", "until": "2011-02-01T00:00:00Z",
            "result": {
                "events": 3, "matched": 3, "runs": {"completed": 3}, "fuel": 99, "seconds": 1.04, "records_differing": 1,
                "writes": [
                    {"day": "2011-01-01", "kind": "customer.updated", "recorded": 1, "backtest": 1},
                    {"day": "2011-01-02", "kind": "customer.updated", "recorded": 2, "backtest": 1}],
                "differences": [{"object": "customer", "id": "x", "key": "customer_no:1",
                    "fields": [{"field": "points", "recorded": 10, "backtest": 7, "by": -3}]}],
                "failures": [], "remarks": []}});
        insta::assert_snapshot!(people(&backtest), @r#"
        loyalty/points (0123456789ab) in place of its version from 2011-01-01T00:00:00Z to 2011-02-01T00:00:00Z
         events 3   matched 3   runs {"completed":3}   fuel 99   1.0 s
            WRITES            THEN  BACKTEST
            customer.updated  3     2
         1 record differs from what really happened; the largest differences:
            customer/customer_no:1  points  10 → 7  (-3)
        "#);
    }
}
