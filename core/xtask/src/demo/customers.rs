//! Which customers: the segments of the year, why one customer is in one, who would have been in one by a rule of today, and one customer
//! whole. The count of the past is held against a second opinion worked out from the file alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::story::Teller;
use crate::server::Server;
use crate::table::number;

/// The ends of the months whose sizes are shown.
const MONTHS: [&str; 13] = [
    "2010-12-31",
    "2011-01-31",
    "2011-02-28",
    "2011-03-31",
    "2011-04-30",
    "2011-05-31",
    "2011-06-30",
    "2011-07-31",
    "2011-08-31",
    "2011-09-30",
    "2011-10-31",
    "2011-11-30",
    "2011-12-09",
];
/// The customer who is shown.
const CUSTOMER: &str = "customer_no:17850";
/// The segment in which that customer's place is explained.
const SEGMENT: &str = "big-spenders";
/// A rule that nobody had written then: customers with so many orders before a day.
const PAST: (&str, usize, &str) = ("order_count >= 10", 10, "2011-06-30");

/// Tells all of it.
///
/// # Errors
/// If a command fails, or the count of the past is not what the file says.
pub(crate) fn tell(teller: &Teller<'_>, server: &Server, orders: &Path) -> Result<()> {
    println!("Segments at the end of each month, kept while the year was loaded:\n");
    println!("{}", sizes(server)?);
    println!("Why is {CUSTOMER} in `{SEGMENT}`, or why not?\n");
    teller.show(&["segment", "explain", SEGMENT, CUSTOMER])?;
    let (rule, least, day) = PAST;
    println!("Who had ten orders on {day}? The rule is of today, the records are of then:\n");
    teller.show(&["segment", "preview", rule, "--as-of", day])?;
    let told = teller.rapport(&["--json", "segment", "preview", rule, "--as-of", day])?;
    let told: Value = serde_json::from_str(&told).context("the answer is no JSON")?;
    let expected = with_orders_before(orders, (least, day))?;
    if told["count"] != expected {
        bail!("{} customers by the log, {expected} by the file", told["count"]);
    }
    println!("  ({expected} customers by the file, too)\n\nOne customer, whole:\n");
    teller.show(&["customer", "show", CUSTOMER])
}

/// The sizes of all segments month by month.
fn sizes(server: &Server) -> Result<String> {
    let segments = server.get("/v1/segments")?;
    let names = segments["items"].as_array().into_iter().flatten().filter_map(|s| s["name"].as_str());
    let at: Vec<String> = MONTHS.iter().map(|day| format!("{day}T23:59:59Z")).collect();
    let mut text = format!("  {:<16}", "");
    for month in MONTHS {
        write!(text, "{:>8}", &month[..7])?;
    }
    for name in names {
        let sizes = server.get(&format!("/v1/segments/{name}/sizes?at={}", at.join(",")))?;
        write!(text, "\n  {name:<16}")?;
        for size in sizes["items"].as_array().into_iter().flatten() {
            let size = size["size"].as_i64().ok_or_else(|| anyhow!("`{name}` has no size"))?;
            write!(text, "{:>8}", number(size))?;
        }
    }
    text.push('\n');
    Ok(text)
}

/// How many customers of the file had so many orders before the day.
fn with_orders_before(orders: &Path, (least, day): (usize, &str)) -> Result<usize> {
    let mut reader = csv::Reader::from_path(orders).with_context(|| format!("cannot read {}", orders.display()))?;
    let headers = reader.headers()?.clone();
    let column = |name: &str| headers.iter().position(|h| h == name).ok_or_else(|| anyhow!("no column `{name}`"));
    let (customer, time) = (column("customer_no")?, column("ordered_at")?);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in reader.records() {
        let row = row?;
        if !row[customer].is_empty() && row.get(time).is_some_and(|time| time < day) {
            *counts.entry(row[customer].to_owned()).or_default() += 1;
        }
    }
    Ok(counts.values().filter(|count| **count >= least).count())
}
