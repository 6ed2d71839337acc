//! The whole customer: how long the first page of one with 50,000 events takes over HTTP, from the very first time that somebody asks.
//!
//! Each event starts a run that changes the customer, so that the log has twice as many events about it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::figure::Figure;
use super::lab::{Lab, Place, is_idle, send_events, wait_until};
use super::workload::Order;

/// Events of the customer.
const EVENTS: u64 = 50_000;
/// Requests that are measured.
const REQUESTS: usize = 400;

/// Measures it on SQLite with `synchronous=FULL`.
///
/// # Errors
/// If the server does not start or refuses something.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "page360")?;
    let server = lab.shop("data", Place::default())?;
    let lines: Vec<String> = (0..EVENTS).map(|n| Order::new(n, 1).event("page360")).collect();
    send_events(&server, "/v1/events", &lines)?;
    wait_until("the runs", || is_idle(&server))?;
    let path = "/v1/customers/customer_no:1/360";
    let mut times: Vec<Duration> = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let page = server.get(path)?;
        times.push(began.elapsed());
        let items = page["timeline"]["items"].as_array().map_or(0, Vec::len);
        if items < 50 || page["tags"].is_null() {
            bail!("the page has {items} items: {page}");
        }
    }
    let first = times[0];
    times.sort_unstable();
    server.stop()?;
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let at = |share: f64| millis(times[percentile(share)]);
    Ok(vec![
        Figure::new("360: the very first request of a customer with 50,000 events", millis(first), "ms"),
        Figure::new("360: first page of a customer with 50,000 events, p50", at(0.5), "ms"),
        Figure::new("360: first page of a customer with 50,000 events, p99", at(0.99), "ms").under(50.0),
    ])
}

/// The place of a share of the requests among their sorted times.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 400 is a small number"
)]
fn percentile(share: f64) -> usize {
    ((REQUESTS as f64 * share) as usize).min(REQUESTS - 1)
}
