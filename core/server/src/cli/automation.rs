//! `rapport automation`: shows what is live.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Common, Outcome};

/// What can be done with automations.
#[derive(Debug, Subcommand)]
pub(super) enum AutomationCommand {
    /// Lists automations.
    List,
}

pub(super) fn run(common: &Common, command: &AutomationCommand) -> Outcome {
    match command {
        AutomationCommand::List => {
            let all = common.client()?.get("/v1/automations")?;
            common.output().list(&all, &["id", "kind", "active", "title", "uses", "runs"]);
        }
    }
    Ok(ExitCode::SUCCESS)
}
