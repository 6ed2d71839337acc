//! `rapport plugin replay` and `rapport script replay`: plays a run of a server again on this machine, from its tape.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use rapport_engine::{Shown, Stage, TapeCandidate, play_tape};
use serde_json::{Value as Json, json};

use super::script::offline_sandbox;
use super::{Common, Failure, Outcome, block_on};
use crate::client::Address;
use crate::config::Flags;
use crate::output::{cell, plain, table};
use crate::strict_json;

/// Where a tape comes from.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["run", "tape"])))]
pub(super) struct Source {
    /// The run, on the server.
    run: Option<String>,
    /// A file with a tape, in place of a server.
    #[arg(long, value_name = "FILE")]
    tape: Option<PathBuf>,
    /// Keeps the tape in a file. It holds what the run read of customers.
    #[arg(long, value_name = "FILE", conflicts_with = "tape")]
    save: Option<PathBuf>,
}

/// What `plugin replay` takes.
#[derive(Debug, Args)]
pub(super) struct PluginArgs {
    #[command(flatten)]
    source: Source,
    /// The folder of the built plugin.
    #[arg(long, default_value = ".", value_name = "DIR")]
    plugin: PathBuf,
}

/// What `script replay` takes.
#[derive(Debug, Args)]
pub(super) struct ScriptArgs {
    #[command(flatten)]
    source: Source,
    /// The script.
    #[arg(long, value_name = "FILE")]
    script: PathBuf,
}

pub(super) fn plugin(common: &Common, args: &PluginArgs) -> Outcome {
    replay(common, &args.source, &TapeCandidate::Plugin(args.plugin.clone()))
}

pub(super) fn script(common: &Common, args: &ScriptArgs) -> Outcome {
    replay(common, &args.source, &TapeCandidate::Script(args.script.clone()))
}

fn replay(common: &Common, source: &Source, candidate: &TapeCandidate) -> Outcome {
    let tape = tape(common, source)?;
    let (sandbox, _place) = offline_sandbox(common)?;
    let limits = common.load(Flags::default())?.config.limits;
    let stage = Stage { sandbox, limits, folder: std::env::temp_dir(), shown: Shown::Failed };
    let told = block_on(play_tape(&stage, candidate, &tape))?.map_err(|e| Failure::Failed(e.to_string()))?;
    common.output().show(&told, people);
    Ok(ExitCode::from(u8::from(told["verdict"] == "differs")))
}

fn tape(common: &Common, source: &Source) -> Result<Json, Failure> {
    let Some(run) = &source.run else {
        let file = source.tape.as_deref().unwrap_or(Path::new("-"));
        let bytes = fs::read(file).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
        return strict_json::parse(&bytes).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())));
    };
    let path = Address::of(&["v1", "runs", run, "tape"]).text();
    let tape = common.client()?.post(&path, &json!({}))?;
    if let Some(file) = &source.save {
        let failed = |e| Failure::Usage(format!("{}: {e}", file.display()));
        crate::secret_file::write(file, tape.to_string().as_bytes()).map_err(failed)?;
    }
    Ok(tape)
}

/// What a replay has shown, for people.
fn people(told: &Json) -> String {
    let text = |json: &Json| plain(&cell(json));
    let recorded = &told["recorded"];
    let mut lines = vec![format!(
        "{} of {}: {} after {} calls",
        text(&told["run"]),
        text(&told["automation"]),
        text(&recorded["status"]),
        recorded["calls"]
    )];
    lines.extend(recorded["error"].as_str().map(|error| format!("  {}", plain(error))));
    let calls = told["calls"].as_array().map_or(&[][..], Vec::as_slice);
    if !calls.is_empty() {
        let row = |call: &Json| vec![text(&call["n"]), text(&call["call"]), text(&call["about"])];
        lines.push(table(&["", "CALL", "WITH"], calls.iter().map(row)));
    }
    let same = &told["calls_same"];
    lines.push(match told["verdict"].as_str() {
        Some("same") => format!("here: the same {same} calls, and the same end"),
        Some("goes_on") => match told["goes_on"].as_str() {
            Some(call) => format!("here: the same {same} calls; it then goes on with {}", plain(call)),
            None => format!("here: the same {same} calls; it then ends well"),
        },
        _ => format!(
            "here it differs after {same} calls: {}",
            plain(told["difference"]["why"].as_str().unwrap_or_default())
        ),
    });
    let failed = told["error"]["message"].as_str().filter(|_| told["error"]["code"] != "replay_differs");
    lines.extend(failed.map(|why| format!("  {}", plain(why))));
    for line in told["log"].as_array().into_iter().flatten() {
        lines.push(format!("  log {}: {}", text(&line["level"]), text(&line["message"])));
    }
    lines.push(format!("used: {} fuel, {} bytes of memory, {} µs", told["fuel"], told["memory_bytes"], told["micros"]));
    let remarks = told["remarks"].as_array().into_iter().flatten();
    lines.extend(remarks.map(|remark| format!("remark: {}", text(remark))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_call_and_what_was_called_instead() {
        let told = json!({
            "run": "r", "automation": "tiers", "recorded": { "status": "completed", "error": null, "calls": 2 },
            "calls": [{ "n": 1, "call": "get", "about": "[\"customer\"]" }], "calls_same": 1, "verdict": "differs",
            "difference": { "call": 2, "why": "the run called `find` where it had called `update`" },
            "error": null, "log": [], "fuel": 7, "memory_bytes": 8, "micros": 9, "remarks": [],
        });
        let text = people(&told);
        assert!(
            text.contains("here it differs after 1 calls: the run called `find` where it had called `update`"),
            "{text}"
        );
    }
}
