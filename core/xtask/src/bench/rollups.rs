//! Roll-ups: a bulk import of sales of a shop's year into an object over whose records five roll-ups are kept, against the same import
//! into one over which none are, on the same server and by turns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::client::Client;
use super::figure::Figure;
use super::lab::{Lab, Place};
use super::{rate, ratio};
use crate::server::Server;

/// Buyers, and sales of each object: as many buyers as the demo's year has, and twice its sales.
const BUYERS: u64 = 4_000;
const SALES: u64 = 40_000;
/// Sales of one request.
const PART: u64 = 4_000;

/// Measures it on SQLite with `synchronous=FULL`.
///
/// # Errors
/// If the server fails, or a roll-up is not what its sales say.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "rollups")?;
    let server = lab.serve("data", Place::default())?;
    for kind in ["plain", "kept"] {
        declare(&server, kind)?;
        import(&server, &format!("{kind}_buyer"), (1..=BUYERS).map(|n| format!("{{\"no\":\"{n}\"}}")))?;
    }
    let (mut plain, mut kept) = (Duration::ZERO, Duration::ZERO);
    for first in (0..SALES).step_by(usize::try_from(PART)?) {
        plain += sales(&server, "plain", first)?;
        kept += sales(&server, "kept", first)?;
    }
    prove(&server)?;
    server.stop()?;
    Ok(vec![
        Figure::new("rollups: sales imported, without", rate(SALES, plain), "records/s"),
        Figure::new("rollups: sales imported, five kept", rate(SALES, kept), "records/s"),
        Figure::new("rollups: time with / without", kept.as_secs_f64() / plain.as_secs_f64(), "×").under(1.3),
        Figure::new(
            "rollups: time added to a sale",
            (kept.as_secs_f64() - plain.as_secs_f64()) * 1e6 / ratio(SALES, 1),
            "µs",
        ),
    ])
}

fn declare(server: &Server, kind: &str) -> Result<()> {
    let mut client = Client::open(server)?;
    let buyer = format!(r#"{{"name":"{kind}_buyer","fields":[{{"name":"no","type":"text","unique":true}}]}}"#);
    let sale = format!(
        r#"{{"name":"{kind}_sale","fields":[{{"name":"no","type":"text","unique":true}},
            {{"name":"buyer","type":"reference","object":"{kind}_buyer"}},{{"name":"sold_at","type":"timestamp","indexed":true}},
            {{"name":"amount","type":"decimal","scale":2}}]}}"#
    );
    client.post("/v1/objects", &buyer)?;
    client.post("/v1/objects", &sale)?;
    if kind == "plain" {
        return Ok(());
    }
    for (name, function, field) in [
        ("sales", "count", ""),
        ("total", "sum", "amount"),
        ("first_at", "min", "sold_at"),
        ("last_at", "max", "sold_at"),
        ("mean", "average", "amount"),
    ] {
        let of = if field.is_empty() { String::new() } else { format!(r#","field":"{field}""#) };
        let body = format!(r#"{{"name":"{name}","rollup":{{"function":"{function}","object":"kept_sale"{of}}}}}"#);
        client.post("/v1/objects/kept_buyer/fields", &body)?;
    }
    Ok(())
}

/// Imports the sales from `first` on; says how long that took.
fn sales(server: &Server, kind: &str, first: u64) -> Result<Duration> {
    let line = |n: u64| {
        let (buyer, day, amount) = (1 + n.wrapping_mul(7_919) % BUYERS, 1 + n * 365 / SALES, 1 + n * 31 % 400);
        let (month, day) = (1 + day / 31, 1 + day % 28);
        format!(
            r#"{{"no":"{n}","buyer":"no:{buyer}","sold_at":"2026-{month:02}-{day:02}T10:00:00Z","amount":"{amount}.50"}}"#
        )
    };
    let began = Instant::now();
    import(server, &format!("{kind}_sale"), (first..first + PART).map(line))?;
    Ok(began.elapsed())
}

fn import(server: &Server, object: &str, lines: impl Iterator<Item = String>) -> Result<()> {
    let lines: Vec<String> = lines.collect();
    let path = format!("/v1/records/{object}/bulk?key=no");
    let answer = server.call("POST", &path, "application/x-ndjson", lines.join("\n").as_bytes())?;
    let summary: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
    if !answer.is_success() || summary["created"].as_u64() != Some(u64::try_from(lines.len())?) {
        bail!("not all records were taken: {} {}", answer.status, answer.excerpt());
    }
    Ok(())
}

/// Has the server hold the roll-ups against the sales.
fn prove(server: &Server) -> Result<()> {
    let found = Client::open(server)?.post("/v1/rollups/check", r#"{"object":"kept_buyer"}"#)?;
    let items = found["items"].as_array().context("no list of roll-ups")?;
    match items.iter().find(|item| item["right"] != true) {
        Some(item) => bail!("a roll-up is off: {item}"),
        None if items.len() == 5 => Ok(()),
        None => bail!("there are {} roll-ups, not five", items.len()),
    }
}
