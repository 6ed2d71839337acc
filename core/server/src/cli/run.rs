//! `rapport run`: shows and explains runs, and starts them again.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Common, Outcome, explain, undo};
use crate::client::Address;

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
    /// Starts a dead run again.
    Retry {
        /// Its id.
        id: String,
    },
    /// Counts runs by automation and status.
    Counts,
}

/// What `run list` takes.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// pending, retrying, completed, skipped or dead.
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
        RunCommand::Retry { id } => {
            output.one(&client.post(&Address::of(&["v1", "runs", &id, "retry"]).text(), &json!({}))?);
        }
        RunCommand::Counts => output.list(&client.get("/v1/runs/counts")?, &["automation", "status", "count"]),
    }
    Ok(ExitCode::SUCCESS)
}
