//! `rapport cron`: when a cron expression comes, and what it says. Needs no server.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use rapport_model::time::{Clock, WallClock};
use rapport_model::{Cron, Timestamp, Zone};
use serde_json::json;

use super::Common;
use crate::output::table;

/// What can be asked about a cron expression.
#[derive(Debug, Subcommand)]
pub(super) enum CronCommand {
    /// Shows the next instants at which an expression comes.
    Next(NextArgs),
    /// Says in words when an expression comes.
    Explain {
        /// The expression, such as `0 10 * * MON`.
        #[arg(value_name = "EXPR")]
        expression: Cron,
    },
}

/// Which instants are asked for.
#[derive(Debug, Args)]
pub(super) struct NextArgs {
    /// The expression: minute, hour, day of month, month, day of week; six fields begin with the seconds.
    #[arg(value_name = "EXPR")]
    expression: Cron,
    /// The time zone whose wall clock it means.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: Zone,
    /// The instant after which to begin; now if not given.
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,
    /// How many instants.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    count: u16,
}

pub(super) fn run(common: &Common, command: &CronCommand) -> ExitCode {
    match command {
        CronCommand::Next(args) => next(common, args),
        CronCommand::Explain { expression } => explain(common, expression),
    }
    ExitCode::SUCCESS
}

fn next(common: &Common, args: &NextArgs) {
    let from = args.from.unwrap_or_else(|| WallClock.now());
    let found: Vec<Timestamp> = args.expression.instants_after(&args.tz, from).take(args.count.into()).collect();
    common.output().show(&json!(found), |_| {
        if found.is_empty() {
            return format!("`{}` does not come after {from} in {}", args.expression, args.tz);
        }
        table(&["instant", args.tz.name()], found.iter().map(|at| vec![at.to_string(), args.tz.wall_clock(*at)]))
    });
}

fn explain(common: &Common, cron: &Cron) {
    let (words, changes) = (cron.explain(), cron.explain_clock_changes());
    let all = json!({"expression": cron, "explanation": words, "clock_changes": changes});
    common.output().show(&all, |_| format!("{words}\n{changes}"));
}
