//! The three claims on the year that was loaded: a changed rule tried on it, one value explained, one run undone.
//!
//! Told by the command line as a person would use it. The undo is undone again, so that a second demo finds what this one left.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::server::Server;
use crate::workspace::{command, root};

/// The lines of an answer that are shown.
const LINES_MAX: usize = 24;
/// The customer whose tier is explained.
const CUSTOMER: &str = "customer/customer_no:17850";
/// What the rule gives for a large order, and what it is changed to.
const CHANGE: (&str, &str) = ("points *= 2", "points *= 3");

/// Asks by the command line.
pub(crate) struct Teller<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) server: &'a Server,
}

impl Teller<'_> {
    /// Tells all three.
    ///
    /// # Errors
    /// If a command fails, or its answer is not what it must be.
    pub(crate) fn tell(&self, data: &Path) -> Result<()> {
        self.backtest(data)?;
        self.explain()?;
        self.undo()
    }

    /// Shows what a command answers.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn show(&self, arguments: &[&str]) -> Result<()> {
        show(&self.rapport(arguments)?);
        Ok(())
    }

    /// What a command answers.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn rapport(&self, arguments: &[&str]) -> Result<String> {
        let mut rapport = command(self.binary);
        rapport.args(arguments).args(["--server", &format!("http://{}", self.server.address)]);
        let done = rapport.arg("--key-file").arg(&self.server.key_file).output().context("cannot start the command")?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            return Ok(text);
        }
        bail!("`rapport {}` failed: {text}{}", arguments.join(" "), String::from_utf8_lossy(&done.stderr))
    }

    /// A changed rule over the whole year.
    fn backtest(&self, data: &Path) -> Result<()> {
        let rule = std::fs::read_to_string(root().join("scripts/loyalty/points.rhai")).context("the rule is gone")?;
        let changed = rule.replace(CHANGE.0, CHANGE.1);
        if changed == rule {
            bail!("the rule holds no `{}` to change", CHANGE.0);
        }
        let file = data.join("points-changed.rhai");
        std::fs::write(&file, changed).with_context(|| format!("cannot write {}", file.display()))?;
        println!(
            "What if large orders had given three points instead of two? The changed rule on the year that was loaded:\n"
        );
        let file = file.display().to_string();
        let period = ["--since", "2010-12-01T00:00:00Z", "--until", "2011-12-31T00:00:00Z"];
        let told = self.rapport(&[&["script", "backtest", &file, "--id", "loyalty/points"], &period[..]].concat())?;
        show(&told);
        if !told.contains("records differ from what really happened") {
            bail!("a changed rule must differ from what happened");
        }
        Ok(())
    }

    /// Why a customer has its tier.
    fn explain(&self) -> Result<()> {
        let (object, key) = CUSTOMER.split_once('/').unwrap_or_default();
        println!("Why has {CUSTOMER} this tier?\n");
        let told = self.rapport(&["record", "history", object, key, "--field", "tier"])?;
        show(&told);
        if !told.contains("by loyalty/points") || !told.contains("order.created") {
            bail!("the tier must lead back to an order");
        }
        Ok(())
    }

    /// Takes a run back, and brings it back.
    fn undo(&self) -> Result<()> {
        let runs = self.server.get("/v1/runs?automation=loyalty/points&status=completed&limit=1")?;
        let run = text(&runs["items"][0]["id"]).context("there is no run of the points")?;
        println!("The latest run of the points, taken back:\n");
        show(&self.rapport(&["run", "undo", run, "--with-caused"])?);
        let shown = self.server.get(&format!("/v1/runs/{run}"))?;
        let undo = text(&shown["undone_by"]).context("the run was not undone")?;
        println!("and brought back, since an undo is a run as well (`rapport run undo {undo}`):\n");
        let mut undos = vec![undo.to_owned()];
        // What the run had caused was undone by runs of their own.
        let all = self.server.get("/v1/runs?automation=rapport/undo&status=completed&limit=20")?;
        let others = all["items"].as_array().into_iter().flatten().filter_map(|run| text(&run["id"]));
        undos.extend(others.filter(|id| *id != undo).map(ToOwned::to_owned));
        for undo in undos {
            let shown = self.server.get(&format!("/v1/runs/{undo}"))?;
            if text(&shown["undone_by"]).is_none() && is_of_a_run(&shown) {
                show(&self.rapport(&["run", "undo", &undo, "--automations", "skip"])?);
            }
        }
        Ok(())
    }
}

/// Whether an undo stands by itself: one that brought something back does not.
fn is_of_a_run(shown: &Value) -> bool {
    text(&shown["trace"]["undoes"]["automation"]).unwrap_or_default() != "rapport/undo"
}

fn text(json: &Value) -> Option<&str> {
    json.as_str()
}

/// Prints an answer, indented; what is long is cut.
fn show(told: &str) {
    let lines: Vec<&str> = told.trim_end().lines().collect();
    for line in lines.iter().take(LINES_MAX) {
        println!("  {line}");
    }
    if lines.len() > LINES_MAX {
        println!("  … and {} lines more", lines.len() - LINES_MAX);
    }
    println!();
}
