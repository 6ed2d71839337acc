//! `rapport schedule`: shows when automations start by themselves, holds that up, lets it go on, starts one now.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{Common, Outcome};
use crate::client::Address;

/// What can be done with schedules.
#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// Lists schedules; with --json, the next ten instants of each.
    List,
    /// Holds a schedule up: no instant of it comes until it is resumed.
    Pause {
        /// Its id.
        id: String,
    },
    /// Lets a schedule go on with its next instant; what came meanwhile is not made up for.
    Resume {
        /// Its id.
        id: String,
    },
    /// Starts a run, or the fan-out, of a schedule now; its next instant stays what it was.
    Run {
        /// Its id.
        id: String,
    },
    /// Ends the fan-outs of a schedule that are in progress; runs that were started go on.
    Cancel {
        /// Its id.
        id: String,
    },
    /// Lists the latest fan-outs of a schedule, with how far they have come.
    FanOuts {
        /// Its id.
        id: String,
    },
}

pub(super) fn run(common: &Common, command: &ScheduleCommand) -> Outcome {
    let client = common.client()?;
    let act = |id: &str, verb: &str| client.post(&Address::of(&["v1", "schedules", id, verb]).text(), &json!({}));
    match command {
        ScheduleCommand::List => {
            let columns =
                ["id", "automation", "cron", "zone", "explanation", "paused", "next_at", "last_at", "skipped"];
            common.output().list(&client.get("/v1/schedules")?, &columns);
        }
        ScheduleCommand::Pause { id } => common.output().one(&act(id, "pause")?),
        ScheduleCommand::Resume { id } => common.output().one(&act(id, "resume")?),
        ScheduleCommand::Cancel { id } => common.output().one(&act(id, "cancel")?),
        ScheduleCommand::FanOuts { id } => {
            let columns = ["id", "instant", "by_hand", "state", "started", "total", "ended_at", "note"];
            let address = Address::of(&["v1", "schedules", id, "fan-outs"]).text();
            common.output().list(&client.get(&address)?, &columns);
        }
        ScheduleCommand::Run { id } => common.output().one(&act(id, "run")?),
    }
    Ok(ExitCode::SUCCESS)
}
