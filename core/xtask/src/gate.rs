//! `cargo xtask test`: the one gate.
//!
//! The cheap steps come first. What costs time is compiling: clippy and rustdoc share one set of checked dependencies, all tests
//! share one set of built ones, each with the same features, and a guest is built once by a build script. The tests come last, so
//! that the runner's own summary ends the output.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::rules::Violation;
use crate::tools::{self, GUEST_TARGET};
use crate::workspace::{cargo, root, run as run_command};
use crate::{layers, rules};

#[cfg(test)]
mod tests;

/// What is asked of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Options {
    /// Leaves out what is slow and seldom red.
    fast: bool,
}

impl Options {
    /// Reads the arguments after `test`.
    ///
    /// # Errors
    /// If one is unknown.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--fast" => options.fast = true,
                other => bail!("`test` has no option `{other}`: only --fast"),
            }
        }
        Ok(options)
    }
}

/// The steps done and how long each took.
#[derive(Debug, Default)]
struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Does one step under a heading.
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n── {name}");
        let start = Instant::now();
        work().map_err(|error| error.context(format!("step `{name}` failed")))?;
        self.done.push((name, start.elapsed()));
        Ok(())
    }

    fn table(&self) -> String {
        let mut lines: Vec<String> =
            self.done.iter().map(|(name, took)| format!("{:>8.1} s  {name}", took.as_secs_f64())).collect();
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        lines.push(format!("{:>8.1} s  before the tests run", total.as_secs_f64()));
        lines.join("\n")
    }
}

/// Runs every step; the first that fails ends it.
///
/// # Errors
/// The step that failed; what it found has been printed.
pub(crate) fn run(options: Options) -> Result<()> {
    let mut steps = Steps::default();
    steps.step("the guest target", tools::ensure_guest_target)?;
    steps.step("format", || run_command(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("sizes and words", || none_of(&rules::violations(&root())?))?;
    steps.step("layers", || none_of(&layers::violations(&root())?))?;
    if !options.fast {
        steps.step("licences, bans and sources", deny)?;
    }
    steps.step("clippy", clippy)?;
    steps.step("clippy of the guests", clippy_guests)?;
    if !options.fast {
        steps.step("documentation", document)?;
        steps
            .step("examples in the documentation", || run_command(cargo().args(["test", "--doc", "--all-features"])))?;
    }
    let runner = Runner::find()?;
    steps.step("build of the tests", || run_command(&mut runner.command(Phase::Build, options)))?;
    println!("\n{}\n\n── tests on SQLite and PostgreSQL", steps.table());
    run_command(&mut runner.command(Phase::Run, options))
}

/// Fails with every violation in the message.
fn none_of(found: &[Violation]) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    bail!("{} broken:\n{}", if found.len() == 1 { "a rule is" } else { "rules are" }, lines.join("\n"))
}

fn deny() -> Result<()> {
    if !tools::wanted_cargo_tool("deny")? {
        return Ok(());
    }
    let checks = ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    run_command(cargo().args(["deny", "--log-level", "error"]).args(checks))
}

fn clippy() -> Result<()> {
    run_command(cargo().args(["clippy", "--all-targets", "--all-features", "--", "-D", "warnings"]))
}

/// The guests are checked as what they are: components. The default members leave them out.
fn clippy_guests() -> Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--target", GUEST_TARGET]);
    for guest in guests()? {
        clippy.args(["-p", &guest]);
    }
    run_command(clippy.args(["--", "-D", "warnings"]))
}

/// The packages that are built for the sandbox: the interpreter, and each plugin written in Rust.
fn guests() -> Result<Vec<String>> {
    let mut found = vec!["rapport-interpreter".to_owned()];
    for entry in std::fs::read_dir(root().join("plugins"))? {
        let manifest = entry?.path().join("Cargo.toml");
        if let Ok(text) = std::fs::read_to_string(&manifest) {
            found.extend(package_name(&text));
        }
    }
    found.sort();
    Ok(found)
}

/// The name in a `Cargo.toml`.
fn package_name(manifest: &str) -> Option<String> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("name = "))?;
    Some(line.trim_matches('"').to_owned())
}

fn document() -> Result<()> {
    run_command(cargo().args(["doc", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// What runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    Nextest,
    /// Cargo alone: the same tests, with one process for many and less to read.
    Cargo,
}

/// A test run has two halves, so that the time for building is seen on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Build,
    Run,
}

impl Runner {
    fn find() -> Result<Self> {
        Ok(if tools::wanted_cargo_tool("nextest")? { Self::Nextest } else { Self::Cargo })
    }

    fn command(self, phase: Phase, options: Options) -> std::process::Command {
        let mut command = cargo();
        let profile = if options.fast { "fast" } else { "ci" };
        match self {
            Self::Nextest => command.args(["nextest", "run", "--profile", profile]),
            Self::Cargo => command.args(["test", "--lib", "--bins", "--tests"]),
        };
        command.args(["--workspace", "--exclude", "rapport-interpreter", "--all-features"]);
        if phase == Phase::Build {
            command.arg("--no-run");
        } else if self == Self::Cargo && options.fast {
            command.args(["--", "--skip", "slow::"]);
        }
        command
    }
}
