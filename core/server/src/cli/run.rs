//! `rapport run`: shows and explains runs, and starts them again.

use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome, explain, undo};
use crate::client::{Address, Client};
use crate::output::{cells, members, table};

/// What can be done with runs.
#[derive(Debug, Subcommand)]
pub(super) enum RunCommand {
    /// Lists runs, newest first.
    List(ListArgs),
    /// Shows a run with its trace and the numbered calls of its journal.
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
    Retry(RetryArgs),
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
    /// pending, retrying, waiting, completed, skipped, dead, paused or cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Only runs of this automation.
    #[arg(long)]
    automation: Option<String>,
    /// Only runs of the version whose digest begins so.
    #[arg(long)]
    digest: Option<String>,
    /// Only runs whose last failure had this code: `unique`, `cause_depth`.
    #[arg(long)]
    error: Option<String>,
    /// Only runs on the lane of this record: `customer/customer_no:17850`.
    #[arg(long)]
    lane: Option<String>,
    /// Only runs whose event was committed at this instant or later: `2026-03-01T02:00:00Z`.
    #[arg(long)]
    since: Option<String>,
    /// Only runs whose event was committed before this instant.
    #[arg(long)]
    until: Option<String>,
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
    #[arg(conflicts_with_all = ["status", "automation", "digest", "error", "since", "until"])]
    id: Option<String>,
    /// Instead of one run, all in this state.
    #[arg(long)]
    status: Option<String>,
    /// Instead of one run, all of this automation.
    #[arg(long)]
    automation: Option<String>,
    /// Only runs of the version whose digest begins so.
    #[arg(long)]
    digest: Option<String>,
    /// Only runs whose last failure had this code.
    #[arg(long)]
    error: Option<String>,
    /// Only runs whose event was committed at this instant or later: `2026-03-01T02:00:00Z`.
    #[arg(long)]
    since: Option<String>,
    /// Only runs whose event was committed before this instant.
    #[arg(long)]
    until: Option<String>,
}

/// Which runs are started again, and how.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: Which,
    /// Call all anew from this call of the journal on, as `run show` numbers them; what came before is answered from it.
    #[arg(long, value_name = "CALL")]
    from: Option<u32>,
    /// Go on with the version that is active, if it makes the calls of the journal.
    #[arg(long, value_enum)]
    on: Option<On>,
    /// Do again what calls from there on had committed.
    #[arg(long)]
    force: bool,
}

/// With which version a run goes on.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum On {
    /// That which is live now.
    Active,
}

impl RetryArgs {
    fn options(&self) -> Json {
        let mut options = json!({});
        if let Some(from) = self.from {
            options["from"] = from.into();
        }
        if let Some(On::Active) = self.on {
            options["on"] = "active".into();
        }
        if self.force {
            options["force"] = true.into();
        }
        options
    }
}

fn operate(client: &Client, action: &str, which: &Which, options: Json) -> Result<Json, Failure> {
    let mut body = options;
    if let Some(id) = &which.id {
        return client.post(&Address::of(&["v1", "runs", id, action]).text(), &body);
    }
    for (name, value) in [
        ("status", &which.status),
        ("automation", &which.automation),
        ("digest", &which.digest),
        ("error", &which.error),
        ("since", &which.since),
        ("until", &which.until),
    ] {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    client.post(&Address::of(&["v1", "runs", action]).text(), &body)
}

/// A run as people read it: its members, then the calls of its journal as a table.
fn shown(run: &Json) -> String {
    let mut rest = run.clone();
    let journal = rest.as_object_mut().and_then(|map| map.remove("journal")).unwrap_or_default();
    let mut text = members(&rest);
    if let Some(calls) = journal.as_array().filter(|calls| !calls.is_empty()) {
        text.push_str("\n\njournal\n");
        text.push_str(&calls_table(calls));
    } else if let Some(why) = journal["damaged"].as_str() {
        text.push_str("\n\njournal\n ");
        text.push_str(why);
    }
    text
}

/// The calls of a journal.
pub(super) fn calls_table(calls: &[Json]) -> String {
    let columns = ["n", "slice", "call", "about", "answer"];
    table(&columns, calls.iter().map(|call| cells(call, &columns)))
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
                .query("digest", args.digest.as_deref())
                .query("error", args.error.as_deref())
                .query("lane", args.lane.as_deref())
                .query("since", args.since.as_deref())
                .query("until", args.until.as_deref())
                .query("subject", args.subject.as_deref())
                .query("limit", limit.as_deref())
                .query("cursor", args.cursor.as_deref())
                .text();
            output.list(&client.get(&path)?, &["id", "automation", "event", "status", "attempt", "error.message"]);
        }
        RunCommand::Show { id } => output.show(&client.get(&Address::of(&["v1", "runs", &id]).text())?, shown),
        RunCommand::Explain { id } => {
            output.show(&client.get(&Address::of(&["v1", "runs", &id, "explain"]).text())?, explain::run);
        }
        RunCommand::Undo(args) => return undo::undo(common, &args),
        RunCommand::Undos(args) => return undo::list(common, &args),
        RunCommand::Retry(args) => output.one(&operate(&client, "retry", &args.which, args.options())?),
        RunCommand::Cancel(which) => output.one(&operate(&client, "cancel", &which, json!({}))?),
        RunCommand::Pause(which) => output.one(&operate(&client, "pause", &which, json!({}))?),
        RunCommand::Resume(which) => output.one(&operate(&client, "resume", &which, json!({}))?),
        RunCommand::Counts => output.list(&client.get("/v1/runs/counts")?, &["automation", "status", "count"]),
    }
    Ok(ExitCode::SUCCESS)
}
