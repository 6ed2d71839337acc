//! `rapport audit`: checks the chain of the log, and anchors it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome};
use crate::client::{Address, Client};
use crate::output::plain;

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Checks every hash of the log, and anchors taken earlier. Ends with 1 if something does not fit.
    Verify {
        /// Begin after this position.
        #[arg(long)]
        after: Option<u64>,
        /// An anchor that must still hold. Can be given more than once.
        #[arg(long = "anchor", value_name = "FILE")]
        anchors: Vec<PathBuf>,
    },
    /// Writes a signed statement of where the log stands. Kept elsewhere, it shows a log that was cut off.
    Anchor {
        /// The file to write; the standard output if not given.
        file: Option<PathBuf>,
    },
}

pub(super) fn run(common: &Common, command: AuditCommand) -> Outcome {
    let client = common.client()?;
    match command {
        AuditCommand::Verify { after, anchors } => verify(common, &client, after, &anchors),
        AuditCommand::Anchor { file } => {
            let anchor = client.post("/v1/audit/anchor", &json!({}))?;
            match file {
                Some(file) => {
                    std::fs::write(&file, format!("{anchor}\n"))?;
                    let position = &anchor["position"];
                    common.output().show(&anchor, |_| format!("anchored at {position}: {}", file.display()));
                }
                None => crate::output::line(&anchor.to_string()),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(common: &Common, client: &Client, after: Option<u64>, anchors: &[PathBuf]) -> Outcome {
    let after = after.map(|n| n.to_string());
    let mut report = client.get(&Address::of(&["v1", "audit", "verify"]).query("after", after.as_deref()).text())?;
    let mut held = Vec::new();
    for file in anchors {
        let mut answer = client.post("/v1/audit/check", &anchor(file)?)?;
        answer["file"] = file.display().to_string().into();
        held.push(answer);
    }
    let good = report["first_bad"].is_null() && held.iter().all(|a| a["holds"] == true);
    report["anchors"] = Json::Array(held);
    common.output().show(&report, people);
    Ok(ExitCode::from(u8::from(!good)))
}

fn anchor(file: &Path) -> Result<Json, Failure> {
    let wrong = |e: String| Failure::Usage(format!("the anchor `{}`: {e}", file.display()));
    let text = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))
}

fn people(report: &Json) -> String {
    let mut lines = Vec::new();
    let bad = &report["first_bad"];
    if bad.is_null() {
        let hash: String = report["head_hash"].as_str().unwrap_or_default().chars().take(12).collect();
        lines.push(format!(
            "ok: {} events, the chain holds up to {} ({hash})",
            report["events"], report["head_position"]
        ));
    } else {
        lines.push(format!("broken at {}: {}", bad["position"], bad["why"].as_str().unwrap_or_default()));
    }
    for anchor in report["anchors"].as_array().map_or(&[][..], Vec::as_slice) {
        let file = anchor["file"].as_str().unwrap_or_default();
        lines.push(match anchor["why"].as_str() {
            Some(why) => format!("anchor {file} does not hold: {why}"),
            None => format!("anchor {file} holds at {}", anchor["position"]),
        });
    }
    plain(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_holds_is_said_in_a_line() {
        let report = json!({"events": 7, "head_position": 7, "head_hash": "abcdef0123456789", "first_bad": null,
            "anchors": [{"file": "a.json", "holds": true, "position": 5}]});
        assert_eq!(people(&report), "ok: 7 events, the chain holds up to 7 (abcdef012345)\nanchor a.json holds at 5");
    }

    #[test]
    fn a_break_is_named_with_its_place() {
        let report = json!({"events": 3, "first_bad": {"position": 3, "why": "the payload was changed"},
            "anchors": [{"file": "a.json", "holds": false, "why": "the log ends before it", "position": 9}]});
        assert_eq!(
            people(&report),
            "broken at 3: the payload was changed\nanchor a.json does not hold: the log ends before it"
        );
    }
}
