//! Replay: how fast the journal of a run answers its calls.
//!
//! The runs are rehearsed on a draft of their script: that reads each journal from the database, starts the script anew, answers
//! every call from the journal, and ends before it would do anything. It is what a wake does before it goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::client::Client;
use super::figure::Figure;
use super::lab::{Lab, Place, send_events, wait_until};
use super::workload::shipped;
use super::{rate, ratio, runtime};

/// Runs that wait, each with a journal of nine hundred entries.
const RUNS: u64 = 100;
/// Passes over all of them; the fastest counts, and the first is a warm-up.
const PASSES: u32 = 6;

const SCRIPT: &str = r#"//! Looks at nine hundred customers, waits, and writes.
on("order.shipped");
uses("customer:read", "customer.notes:write");

fn run(event) {
    let seen = 0;
    for i in 1..896 {
        let other = get("customer", `customer_no:${i}`);
        if other != () { seen += 1; }
    }
    sleep("30 days");
    update(event.record, #{ notes: `${seen}` });
}
"#;

/// Measures it on SQLite.
///
/// # Errors
/// If the server fails, or a run differs from its journal.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "replay")?;
    std::fs::write(lab.folder().join("scripts/long.rhai"), SCRIPT)?;
    let server = lab.shop("data", Place::default())?;
    let lines: Vec<String> = (0..RUNS).map(|n| shipped(n, 1 + n, "replay")).collect();
    send_events(&server, "/v1/events", &lines)?;
    wait_until("the runs to wait", || Ok(server.metric("rapport_runs{status=\"waiting\"}")? > ratio(RUNS, 1) - 0.5))?;
    let (entries, bytes) = runtime()?.block_on(journals(&lab.folder().join("data/rapport.sqlite")))?;
    let mut client = Client::open(&server)?;
    let draft = json!({ "path": "long.rhai", "source": format!("{SCRIPT}// As it was.\n") }).to_string();
    client.post("/v1/automations/long/versions", &draft)?;
    let (mut many, mut one) = (Duration::MAX, Duration::MAX);
    for _ in 0..PASSES {
        many = many.min(rehearse(&mut client, RUNS)?);
        one = one.min(rehearse(&mut client, 1)?);
    }
    server.stop()?;
    Ok(vec![
        Figure::new("replay: journal entries, four runs at a time on two cores", rate(entries, many), "entries/s")
            .at_least(100_000.0),
        Figure::new("replay: journal entries, one run", rate(entries / RUNS, one), "entries/s"),
        Figure::new("replay: entries of a journal", ratio(entries, RUNS), "entries"),
        Figure::new("replay: bytes of an entry", ratio(bytes, entries), "bytes"),
    ])
}

/// Rehearses so many runs; says how long that took.
fn rehearse(client: &mut Client, runs: u64) -> Result<Duration> {
    let began = Instant::now();
    let page = client.post("/v1/automations/long/rehearse", &json!({ "limit": runs }).to_string())?;
    let took = began.elapsed();
    if page["runs"].as_u64() != Some(runs) || page["differ"].as_array().map(Vec::len) != Some(0) {
        bail!("not all runs were rehearsed as they are: {}", brief(&page));
    }
    Ok(took)
}

fn brief(page: &Value) -> String {
    page.to_string().chars().take(300).collect()
}

/// The entries of all journals, and their bytes.
async fn journals(database: &Path) -> Result<(u64, u64)> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.context("cannot read the journals")?;
    let text = "select sum(json_array_length(entries)), sum(length(entries)) from journal";
    let (entries, bytes): (i64, i64) = sqlx::query_as(text).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok((entries.unsigned_abs(), bytes.unsigned_abs()))
}
