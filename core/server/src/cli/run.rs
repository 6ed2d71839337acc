//! `rapport run`: shows and explains runs, and starts them again.

use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome, explain, undo};
use crate::client::{Address, Client};

/// What can be done with runs.
#[derive(Debug, Subcommand)]
pub(super) enum RunCommand {
    /// Lists runs, newest first.
    List(ListArgs),
    /// Shows a run with its trace.
    Show {
        /// Its id.
        id: String,
    },
    /// Says why a run came about, and what came of it.
    Explain {
        /// Its id.
        id: String,
    },
    /// Takes back what a run changed, or all runs of an automation; the undo is a run itself and can be undone.
    Undo(undo::UndoArgs),
    /// Shows the undoings of many runs that were begun.
    Undos(undo::UndosArgs),
    /// Starts a dead or cancelled run again, or all that are meant: `run retry --status dead --automation points`.
    Retry(Which),
    /// Ends a run before it is done, or all that are meant.
    Cancel(Which),
    /// Holds a run back that waits, or all that are meant.
    Pause(Which),
    /// Lets a paused run go on, or all that are meant.
    Resume(Which),
    /// Counts runs by automation and status.
    Counts,
}

/// What `run list` takes.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// pending, retrying, completed, skipped, dead, paused or cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Only runs of this automation.
    #[arg(long)]
    automation: Option<String>,
    /// Only runs about this record: `customer/customer_no:17850`.
    #[arg(long)]
    subject: Option<String>,
    /// Runs of the page.
    #[arg(long)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

/// One run, or all that are meant.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["id", "status", "automation"])))]
pub(super) struct Which {
    /// The run.
    #[arg(conflicts_with_all = ["status", "automation", "since", "until"])]
    id: Option<String>,
    /// Instead of one run, all in this state.
    #[arg(long)]
    status: Option<String>,
    /// Instead of one run, all of this automation.
    #[arg(long)]
    automation: Option<String>,
    /// Only runs whose event was committed at this instant or later: `2026-03-01T02:00:00Z`.
    #[arg(long)]
    since: Option<String>,
    /// Only runs whose event was committed before this instant.
    #[arg(long)]
    until: Option<String>,
}

fn operate(client: &Client, action: &str, which: &Which) -> Result<Json, Failure> {
    if let Some(id) = &which.id {
        return client.post(&Address::of(&["v1", "runs", id, action]).text(), &json!({}));
    }
    let mut body = json!({});
    for (name, value) in
        [("status", &which.status), ("automation", &which.automation), ("since", &which.since), ("until", &which.until)]
    {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    client.post(&Address::of(&["v1", "runs", action]).text(), &body)
}

pub(super) fn run(common: &Common, command: RunCommand) -> Outcome {
    let client = common.client()?;
    let output = common.output();
    match command {
        RunCommand::List(args) => {
            let limit = args.limit.map(|n| n.to_string());
            let path = Address::of(&["v1", "runs"])
                .query("status", args.status.as_deref())
                .query("automation", args.automation.as_deref())
                .query("subject", args.subject.as_deref())
                .query("limit", limit.as_deref())
                .query("cursor", args.cursor.as_deref())
                .text();
            output.list(&client.get(&path)?, &["id", "automation", "position", "status", "attempt", "error"]);
        }
        RunCommand::Show { id } => output.one(&client.get(&Address::of(&["v1", "runs", &id]).text())?),
        RunCommand::Explain { id } => {
            output.show(&client.get(&Address::of(&["v1", "runs", &id, "explain"]).text())?, explain::run);
        }
        RunCommand::Undo(args) => return undo::undo(common, &args),
        RunCommand::Undos(args) => return undo::list(common, &args),
        RunCommand::Retry(which) => output.one(&operate(&client, "retry", &which)?),
        RunCommand::Cancel(which) => output.one(&operate(&client, "cancel", &which)?),
        RunCommand::Pause(which) => output.one(&operate(&client, "pause", &which)?),
        RunCommand::Resume(which) => output.one(&operate(&client, "resume", &which)?),
        RunCommand::Counts => output.list(&client.get("/v1/runs/counts")?, &["automation", "status", "count"]),
    }
    Ok(ExitCode::SUCCESS)
}
