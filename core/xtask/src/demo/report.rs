//! What a workspace says about the demo's orders, and how that compares with what it must say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::expected::Expected;
use crate::server::Server;
use crate::table::{count, number};

#[cfg(test)]
mod tests;

/// What the workspace holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) orders: usize,
    /// Rows that were refused, by reason.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Points by customer number.
    pub(crate) points: BTreeMap<String, i64>,
    /// Customers by tier.
    pub(crate) tiers: BTreeMap<String, usize>,
    /// Runs by automation and status.
    pub(crate) runs: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Report {
    /// Asks the server, through its public API, and reads the file of refused rows.
    ///
    /// # Errors
    /// If an answer or the file cannot be read.
    pub(crate) fn read(server: &Server, refused: &Path) -> Result<Self> {
        let mut report = Self { orders: server.records("order", "id")?.len(), ..Self::default() };
        report.refused = refused_by_reason(refused)?;
        for customer in server.records("customer", "customer_no,points,tier")? {
            let number = customer["customer_no"].as_str().ok_or_else(|| anyhow!("a customer without a number"))?;
            let points = customer["points"].as_i64().ok_or_else(|| anyhow!("customer {number} has no points"))?;
            report.points.insert(number.to_owned(), points);
            let tier = customer["tier"].as_str().unwrap_or("none");
            *report.tiers.entry(tier.to_owned()).or_default() += 1;
        }
        report.runs = runs_by_automation(&server.get("/v1/automations")?)?;
        Ok(report)
    }

    /// The table for people.
    pub(crate) fn table(&self, expected: &Expected, load: Option<&Load>) -> String {
        let mut lines = vec![("Orders taken".to_owned(), count(self.orders), String::new())];
        for (reason, rows) in &self.refused {
            lines.push(("Refused".to_owned(), count(*rows), reason.clone()));
        }
        lines.push(("Customers".to_owned(), count(self.points.len()), String::new()));
        for (automation, statuses) in &self.runs {
            for (status, runs) in statuses.iter().filter(|(_, runs)| **runs > 0) {
                lines.push((format!("Runs of {automation}"), number(*runs), status.clone()));
            }
        }
        let total: i64 = self.points.values().sum();
        let agreed = if total == expected.total() { "as summed from the file" } else { "NOT as summed from the file" };
        lines.push(("Points".to_owned(), number(total), agreed.to_owned()));
        for tier in ["platinum", "gold", "silver", "bronze", "none"] {
            lines.extend(self.tiers.get(tier).map(|n| (format!("Tier {tier}"), count(*n), "customers".to_owned())));
        }
        lines.extend(load.map(|l| ("Events a second".to_owned(), number(l.events_a_second()), l.remark())));
        let width = lines.iter().map(|l| l.0.chars().count()).max().unwrap_or(0);
        lines.iter().fold(String::new(), |mut text, (name, figure, remark)| {
            let line = format!("  {name:<width$}  {figure:>12}  {remark}");
            let _ = writeln!(text, "{}", line.trim_end());
            text
        })
    }

    /// Holds the workspace against what the file must lead to.
    ///
    /// # Errors
    /// Every difference, by name.
    pub(crate) fn compare(&self, expected: &Expected) -> Result<()> {
        let mut wrong = Vec::new();
        let mut hold = |what: &str, is: String, want: String| {
            if is != want {
                wrong.push(format!("{what}: {is} instead of {want}"));
            }
        };
        hold("orders", count(self.orders), count(expected.orders));
        hold("refused rows", count(self.refused.values().sum()), count(expected.without_customer));
        hold("customers", count(self.points.len()), count(expected.points.len()));
        let total = |points: &BTreeMap<String, i64>| points.values().sum::<i64>();
        hold("points", number(total(&self.points)), number(total(&expected.points)));
        for (customer, want) in &expected.points {
            let is = self.points.get(customer).copied().unwrap_or_default();
            hold(&format!("points of customer {customer}"), number(is), number(*want));
        }
        for (tier, want) in expected.tiers() {
            hold(&format!("tier {tier}"), count(self.tiers.get(tier).copied().unwrap_or(0)), count(want));
        }
        for (automation, statuses) in &self.runs {
            // Runs that wait for people do so for good: nobody answers here.
            let ended = ["completed", "skipped", "waiting"];
            let open: i64 = statuses.iter().filter(|(s, _)| !ended.contains(&s.as_str())).map(|(_, n)| n).sum();
            hold(&format!("runs of {automation} that are stuck or dead"), number(open), number(0));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let more = wrong.len().saturating_sub(10);
        wrong.truncate(10);
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        bail!("the workspace differs from the file:\n  {}", wrong.join("\n  "))
    }
}

/// How long the first load took: kept in the data folder, for the table of a later run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) events: i64,
    pub(crate) millis: i64,
}

impl Load {
    /// The load that the file at `path` tells of.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let value: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
        Some(Self { events: value["events"].as_i64()?, millis: value["millis"].as_i64()? })
    }

    /// Keeps it at `path`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let value = serde_json::json!({ "events": self.events, "millis": self.millis });
        std::fs::write(path, value.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }

    const fn events_a_second(self) -> i64 {
        self.events * 1000 / if self.millis > 0 { self.millis } else { 1 }
    }

    fn remark(self) -> String {
        format!("{} events in {}.{} s", number(self.events), self.millis / 1000, self.millis % 1000 / 100)
    }
}

/// The rows of the file of refused rows by their last column, the reason.
fn refused_by_reason(path: &Path) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    if !path.exists() {
        return Ok(found);
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path)?;
    let headers = reader.headers()?.clone();
    let at = headers
        .iter()
        .position(|h| h.contains("reason"))
        .ok_or_else(|| anyhow!("{} has no column for the reason", path.display()))?;
    for row in reader.records() {
        let reason = row?.get(at).unwrap_or_default().to_owned();
        *found.entry(reason).or_default() += 1;
    }
    Ok(found)
}

/// The runs by status of every automation, from the answer of `/v1/automations`.
fn runs_by_automation(answer: &Value) -> Result<BTreeMap<String, BTreeMap<String, i64>>> {
    let items = answer["items"]
        .as_array()
        .or_else(|| answer.as_array())
        .ok_or_else(|| anyhow!("/v1/automations has no `items`"))?;
    let mut found = BTreeMap::new();
    for item in items {
        let id = item["id"].as_str().ok_or_else(|| anyhow!("an automation without an id"))?;
        let runs = item["runs"].as_object().ok_or_else(|| anyhow!("automation `{id}` does not tell its runs"))?;
        let counts = runs.iter().filter_map(|(status, n)| Some((status.clone(), n.as_i64()?))).collect();
        found.insert(id.to_owned(), counts);
    }
    Ok(found)
}
