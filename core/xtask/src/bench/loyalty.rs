//! Loyalty: what one earn costs when the books are long, and how many points that expire in one night are booked while fresh orders
//! keep coming.
//!
//! The long books are written by the bulk API as the plugin would have written them; what is measured is the plugin at work.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::figure::Figure;
use super::lab::{Lab, add_customers, bulk, drive, is_idle, no_dead, processor_time, send_events, wait_until};
use super::single::{Target, field, job};
use super::workload::{CUSTOMERS, Order};
use super::{rate, ratio};
use crate::server::{self, Server, Start};
use crate::workspace::root;

/// Members whose books are long, and whose points expire; fresh orders are of the first [`CUSTOMERS`].
const MEMBERS: u64 = 20_000;
/// Lots of each member that expire in one night.
const LOTS: u64 = 5;
/// Orders of one measurement, and those before it.
const EARNS: u64 = 2_000;
/// Seconds of one measurement of fresh events.
const WINDOW: u64 = 3;
/// When the points of the long books were earned and when those of the night expire, in microseconds: in 2024.
const EARNED: i64 = 1_704_067_200_000_000;
const EXPIRES: i64 = 1_711_843_200_000_000;

/// How many entries the long books have: `RAPPORT_BENCH_ENTRIES`, or a million.
fn entries() -> u64 {
    std::env::var("RAPPORT_BENCH_ENTRIES").ok().and_then(|v| v.parse().ok()).unwrap_or(1_000_000)
}

/// Measures both on SQLite with `synchronous=FULL`.
///
/// # Errors
/// If the plugin does not build, or the server refuses something.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    server::build_plugin(binary, "plugins/loyalty")?;
    let lab = Lab::new(binary, "loyalty")?;
    let plugin = lab.folder().join("plugins/loyalty");
    std::fs::create_dir_all(&plugin)?;
    for name in ["plugin.toml", "loyalty.wasm"] {
        std::fs::copy(root().join("plugins/loyalty").join(name), plugin.join(name))?;
    }
    let arguments = [("--scripts", "scripts"), ("--plugins", "plugins")];
    let folder = |name: &str| lab.folder().join(name).display().to_string();
    let arguments = arguments.iter().flat_map(|(option, name)| [(*option).to_owned(), folder(name)]).collect();
    let server = Server::start(binary, &Start { data: &lab.folder().join("data"), arguments, core: None })?;
    for first in (1..=MEMBERS).step_by(10_000) {
        add_customers(&server, first, first + 9_999)?;
    }
    earn(&server, "first")?;
    let short = earn(&server, "short")?;
    let members = members(&server)?;
    let began = Instant::now();
    fill(&server, &members, entries())?;
    let filled = began.elapsed();
    earn(&server, "warm")?;
    let long = earn(&server, "long")?;
    let mut figures = vec![
        Figure::new("loyalty: entries in the long books, and lots", ratio(entries(), 1), "entries"),
        Figure::new("loyalty: entries and lots by the bulk API", rate(2 * entries(), filled), "records/s"),
        Figure::new("loyalty: processor time of an earn in long books (floor: in books of 2,000)", long, "µs")
            .floor(short),
    ];
    figures.extend(night(&server, &members)?);
    server.stop()?;
    Ok(figures)
}

/// Pays orders and waits until they are booked; says how much processor time each took, in microseconds.
fn earn(server: &Server, run: &str) -> Result<f64> {
    let order = |n: u64| Order::new(n, CUSTOMERS).event(run);
    // A name of an order earns once.
    let first = match run {
        "first" => 0,
        "short" => EARNS,
        "warm" => 2 * EARNS,
        _ => 3 * EARNS,
    };
    let lines: Vec<String> = (first..first + EARNS).map(order).collect();
    let before = processor_time(server.id())?;
    send_events(server, "/v1/events", &lines)?;
    wait_until("the earns", || is_idle(server))?;
    let took = processor_time(server.id())?.saturating_sub(before);
    no_dead(server)?;
    Ok(took.as_secs_f64() * 1e6 / ratio(EARNS, 1))
}

/// The ids of the members whose books are filled: those without fresh orders.
fn members(server: &Server) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for customer in server.records("customer", "id,customer_no")? {
        let number: u64 =
            customer["customer_no"].as_str().and_then(|n| n.parse().ok()).context("a customer's number")?;
        if number > CUSTOMERS {
            found.push(customer["id"].as_str().context("a customer's id")?.to_owned());
        }
    }
    Ok(found)
}

/// The text by which instants stand in their order, as the plugin writes it.
fn ordered(at: i64) -> String {
    format!("{:016x}", at.cast_unsigned() ^ (1 << 63))
}

/// What a lot of one point is, spent or still to expire.
fn lot(member: &str, number: u64, left: u64) -> Value {
    let (soon, old) = (ordered(EXPIRES), ordered(EARNED));
    let place = |place: String| if left > 0 { json!(place) } else { Value::Null };
    json!({
        "key": format!("{member}/{number}"), "customer": member, "number": number, "source": "bonus",
        "earned_at": "2024-01-01T00:00:00Z", "available_at": "2024-01-01T00:00:00Z", "expires_at": "2024-03-31T00:00:00Z",
        "points": 1, "remaining": left, "pending": false, "expired": 0,
        "by_expiry": place(format!("{member}/a/{soon}/{old}/{number:010}")),
        "by_age": place(format!("{member}/{old}/{number:010}")),
    })
}

/// The entry that books a lot of one point.
fn entry(member: &str, number: u64) -> Value {
    json!({
        "key": format!("{member}/{number:012}"), "customer": member, "number": number, "kind": "bonus",
        "booked_at": "2024-01-01T00:00:00Z", "happened_at": "2024-01-01T00:00:00Z", "available": 1, "pending": 0, "debt": 0,
        "earned": 1, "redeemed": 0, "expired": 0, "clawed": 0, "debt_repaid": 0, "restored": 0,
        "parts": [{ "lot": number, "points": 1 }], "money": "0", "due": 0, "counted": 0, "reason": "", "timed": false,
        "run": "bench", "cause": "bench",
    })
}

/// Fills the books with so many entries and as many lots, the last five of each member not spent yet.
fn fill(server: &Server, members: &[String], entries: u64) -> Result<()> {
    let each = (entries / members.len() as u64).max(LOTS);
    let numbered = |member| (1..=each).map(move |number| (member, number));
    let all = || members.iter().flat_map(numbered);
    bulk(server, "loyalty_entry", Some("key"), all().map(|(member, number)| entry(member, number)))?;
    bulk(server, "loyalty_lot", Some("key"), all().map(|(member, n)| lot(member, n, u64::from(n + LOTS > each))))?;
    let account = |member: &String| {
        json!({
            "customer": member, "available": LOTS, "balance": LOTS, "earned": each, "redeemed": each - LOTS,
            "next_expiry": "2024-03-31T00:00:00Z", "next_expiry_points": LOTS, "as_of": "2024-01-01T00:00:00Z",
            "entries": each, "lots": each, "orders": 0, "months": [], "warned": [],
        })
    };
    bulk(server, "loyalty_account", Some("customer"), members.iter().map(account))
}

/// Lets all lots that are left expire at once, and measures fresh orders before and meanwhile.
fn night(server: &Server, members: &[String]) -> Result<Vec<Figure>> {
    let target = Target::ours(server, CUSTOMERS);
    let fresh =
        || -> Result<f64> { Ok(field(&drive(&job(target, "visible", 1, WINDOW), None)?, "visible_p99_us")? / 1e3) };
    fresh()?;
    let alone = fresh()?;
    let due = |member: &String| json!({ "customer": member, "next_due": "2024-03-31T00:00:00Z" });
    bulk(server, "loyalty_account", Some("customer"), members.iter().map(due))?;
    let schedules = server.get("/v1/schedules")?;
    let own = schedules["items"].as_array().into_iter().flatten().find(|schedule| schedule["automation"] == "loyalty");
    let id = own.and_then(|schedule| schedule["id"].as_str()).context("the program has no schedule")?;
    let began = Instant::now();
    let started = server.call("POST", &format!("/v1/schedules/{id}/run"), "application/json", b"{}")?;
    if !started.is_success() {
        bail!("the schedule did not run: {}", started.excerpt());
    }
    let (took, worst) = std::thread::scope(|scope| -> Result<(Duration, f64)> {
        let settled = scope.spawn(|| -> Result<Duration> {
            wait_until("the night", || {
                std::thread::sleep(Duration::from_millis(200));
                let body = json!({}).to_string();
                let answer =
                    server.call("POST", "/v1/actions/loyalty.liability", "application/json", body.as_bytes())?;
                let told: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
                Ok(told["unsettled"] == 0)
            })?;
            Ok(began.elapsed())
        });
        let mut worst = 0.0_f64;
        while !settled.is_finished() {
            worst = worst.max(fresh()?);
        }
        let took = settled.join().map_err(|_| anyhow::anyhow!("the look at the night ended early"))??;
        Ok((took, worst))
    })?;
    no_dead(server)?;
    let lots = LOTS * members.len() as u64;
    Ok(vec![
        Figure::new(format!("loyalty: {lots} lots that expire in one night"), took.as_secs_f64(), "s").under(60.0),
        Figure::new("loyalty: an order to its points meanwhile, worst p99 of 3 s (floor: before)", worst, "ms")
            .floor(alone)
            .under(250.0),
    ])
}
