//! `rapport run undo` and `rapport run undos`: takes back what runs changed.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::{Common, Failure, Outcome};
use crate::client::{Address, Call, Client};
use crate::output::{cell, plain};

/// How often progress is asked for.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Whether automations react to what is taken back.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reaction {
    /// They do.
    Fire,
    /// They do not.
    Skip,
}

/// What `run undo` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["id", "automation"])))]
pub(super) struct UndoArgs {
    /// The run.
    id: Option<String>,
    /// Instead of one run, all runs of this automation, newest first, in the background.
    #[arg(long, requires = "since")]
    automation: Option<String>,
    /// Only runs whose event was committed at this instant or later: `2026-03-01T02:00:00Z`.
    #[arg(long, requires = "automation")]
    since: Option<String>,
    /// Only runs whose event was committed before this instant.
    #[arg(long, requires = "automation")]
    until: Option<String>,
    /// Only runs of the version whose digest begins so.
    #[arg(long, requires = "automation")]
    digest: Option<String>,
    /// Also undo the runs that their events started, and so on.
    #[arg(long)]
    with_caused: bool,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Whether automations react to what is taken back; if not given they do, unless --with-caused.
    #[arg(long, value_enum)]
    automations: Option<Reaction>,
    /// Do not wait for the end of an undo in the background.
    #[arg(long, requires = "automation")]
    detach: bool,
}

/// What `run undos` takes.
#[derive(Debug, Args)]
pub(super) struct UndosArgs {
    /// Only this one.
    id: Option<String>,
    /// Stop it; what has been undone stays so.
    #[arg(long, requires = "id")]
    cancel: bool,
}

pub(super) fn undo(common: &Common, args: &UndoArgs) -> Outcome {
    let client = common.client()?;
    let mut body = json!({ "with_caused": args.with_caused, "dry_run": args.dry_run });
    if let Some(reaction) = args.automations {
        body["automations"] = if matches!(reaction, Reaction::Fire) { "fire" } else { "skip" }.into();
    }
    if let Some(id) = &args.id {
        let done = client.post(&Address::of(&["v1", "runs", id, "undo"]).text(), &body)?;
        common.output().show(&done, report);
        return Ok(exit_code(&done));
    }
    for (name, value) in
        [("automation", &args.automation), ("since", &args.since), ("until", &args.until), ("digest", &args.digest)]
    {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    let mut job = client.post("/v1/undos", &body)?;
    if args.dry_run {
        common.output().show(&job, report);
        return Ok(ExitCode::SUCCESS);
    }
    if !args.detach {
        job = follow(&client, job)?;
    }
    common.output().show(&job, job_text);
    Ok(if job["state"] == "failed" { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

pub(super) fn list(common: &Common, args: &UndosArgs) -> Outcome {
    let client = common.client()?;
    let Some(id) = &args.id else {
        let columns = ["id", "state", "request.automation", "runs.done", "runs.total", "changes.left", "created_at"];
        common.output().list(&client.get("/v1/undos")?, &columns);
        return Ok(ExitCode::SUCCESS);
    };
    let path = Address::of(&["v1", "undos", id]).text();
    let job = if args.cancel {
        client.json(&Method::DELETE, &Call { path, ..Call::default() })?
    } else {
        client.get(&path)?
    };
    common.output().show(&job, job_text);
    Ok(ExitCode::SUCCESS)
}

/// Shows the progress of a job until it has ended. The server goes on with it in any case.
fn follow(client: &Client, mut job: Json) -> Result<Json, Failure> {
    let path = Address::of(&["v1", "undos", &cell(&job["id"])]).text();
    let mut screen = std::io::stderr();
    let shows = screen.is_terminal();
    while job["state"] == "running" {
        if shows {
            let _ = write!(screen, "\r{} of {} runs", cell(&job["runs"]["done"]), cell(&job["runs"]["total"]));
        }
        std::thread::sleep(LOOK_AGAIN);
        job = client.get(&path)?;
    }
    if shows {
        let _ = write!(screen, "\r");
    }
    Ok(job)
}

fn job_text(job: &Json) -> String {
    let (runs, changes) = (&job["runs"], &job["changes"]);
    let mut text = format!(
        "{} {}: {} of {} runs undone; {} changes taken back, {} left",
        cell(&job["id"]),
        cell(&job["state"]),
        cell(&runs["done"]),
        cell(&runs["total"]),
        cell(&changes["done"]),
        cell(&changes["left"]),
    );
    if runs["failed"].as_i64().is_some_and(|n| n > 0) {
        let _ = write!(text, "; {} runs could not be undone", cell(&runs["failed"]));
    }
    if let Some(error) = job["error"].as_str() {
        let _ = write!(text, "\n{error}");
    }
    plain(&text)
}

/// Something that was left is no failure; an undo that failed is.
fn exit_code(done: &Json) -> ExitCode {
    if items(&done["runs"]).iter().any(|run| run["status"] == "dead") { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn items(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn report(json: &Json) -> String {
    let mut lines = Vec::new();
    for run in items(&json["runs"]) {
        lines.push(format!("run {} of {}", cell(&run["run"]), cell(&run["automation"])));
        lines.extend(items(&run["done"]).iter().map(done_line));
        lines.extend(items(&run["left"]).iter().map(left_line));
        lines.extend(items(&run["stands"]).iter().map(beyond_line));
        if let Some(error) = run["error"].as_str() {
            lines.push(format!("  failed: {error}"));
        }
        match run["status"].as_str() {
            Some("completed") => {
                lines.push(format!("  to bring it back: rapport run undo {}", cell(&run["undo"])));
            }
            Some("dead") | None => {}
            Some(_) => lines.push(format!("  goes on as run {}", cell(&run["undo"]))),
        }
    }
    let verb = if json["dry_run"] == true { "would be taken back" } else { "taken back" };
    lines.push(format!("{} changes {verb}, {} left", cell(&json["done"]), cell(&json["left"])));
    plain(&lines.join("\n"))
}

fn beyond_line(stands: &Json) -> String {
    if stands["event"].is_null() {
        let sent = if stands["status"] == "done" { "was sent" } else { "may have been sent" };
        return format!("  beyond undo: {} to {} {sent}", cell(&stands["channel"]), cell(&stands["to"]));
    }
    format!("  beyond undo: {} at {} was reported", cell(&stands["event"]), cell(&stands["position"]))
}

fn done_line(done: &Json) -> String {
    if !done["effect"].is_null() {
        return format!("  {} to {}: called off before it was sent", cell(&done["channel"]), cell(&done["to"]));
    }
    let record = cell(&done["record"]);
    let field = cell(&done["field"]);
    let values = format!("{} → {}", value(&done["from"]), value(&done["to"]));
    match done["did"].as_str() {
        Some("subtracted") => format!("  {record}: {field} less {}, {values}", cell(&done["by"])),
        Some("added") => format!("  {record}: {field} more {}, {values}", cell(&done["by"])),
        Some("set by the plugin") => format!("  {record}: {field} set by the plugin, {values}"),
        Some("put back") => format!("  {record}: {field} put back, {values}"),
        other => format!("  {record}: {}", other.unwrap_or_default()),
    }
}

fn left_line(left: &Json) -> String {
    let field = left["field"].as_str().map(|f| format!("{f} ")).unwrap_or_default();
    let since = &left["since"];
    let who = if since.is_null() {
        String::new()
    } else {
        format!(", by {} at {}", cell(&since["actor"]), cell(&since["position"]))
    };
    format!("  {}: {field}left: {}{who}", cell(&left["record"]), cell(&left["why"]))
}

fn value(json: &Json) -> String {
    if json.is_null() { "none".to_owned() } else { cell(json) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_taken_back_and_what_was_left() {
        let done = [
            json!({"did": "subtracted", "record": "customer/1", "field": "points", "by": 5, "from": 8, "to": 3}),
            json!({"did": "removed", "record": "task/1"}),
        ];
        let left = [json!({"record": "customer/1", "field": "city", "why": "it has been set since",
            "since": {"position": 9, "actor": "user:1", "run": null}})];
        let run = json!({"run": "r1", "automation": "points", "undo": "u1", "status": "completed", "done": done,
            "left": left, "stands": [{"position": 4, "event": "tier.changed"},
            {"effect": "e1", "channel": "email", "to": "ada@example.com", "status": "done"}]});
        insta::assert_snapshot!(report(&json!({"dry_run": false, "done": 2, "left": 1, "runs": [run]})), @r"
        run r1 of points
          customer/1: points less 5, 8 → 3
          task/1: removed
          customer/1: city left: it has been set since, by user:1 at 9
          beyond undo: tier.changed at 4 was reported
          beyond undo: email to ada@example.com was sent
          to bring it back: rapport run undo u1
        2 changes taken back, 1 left
        ");
    }
}
