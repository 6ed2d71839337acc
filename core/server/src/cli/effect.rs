//! `rapport effect`, `rapport message`, `rapport template`: what left the database, and what it says.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome};
use crate::client::Address;

/// What can be done with effects.
#[derive(Debug, Subcommand)]
pub(super) enum EffectCommand {
    /// Lists messages and HTTP calls, newest first.
    List(ListArgs),
    /// Shows one with what was sent and what came back.
    Show {
        /// Its id, which is the key that it carried.
        id: String,
    },
    /// Has a dead or cancelled one carried out again, with the same key; without an id, all dead ones.
    Retry(RetryArgs),
    /// Shows the destinations that fail or have something on its way.
    Circuits,
}

/// What can be done with messages.
#[derive(Debug, Subcommand)]
pub(super) enum MessageCommand {
    /// Lists messages, newest first.
    List(ListArgs),
}

/// What can be done with templates.
#[derive(Debug, Subcommand)]
pub(super) enum TemplateCommand {
    /// Shows what a template comes to; nothing is sent.
    Preview {
        /// Its name.
        name: String,
        /// The record that it would go to: `customer/customer_no:17850`.
        #[arg(long)]
        to: Option<String>,
        /// The data that it would be sent with, as a JSON object.
        #[arg(long, default_value = "{}")]
        with: String,
    },
}

/// Which effects are listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// pending, done, dead or cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Only those that this run asked for.
    #[arg(long)]
    run: Option<String>,
    /// http, email or webhook.
    #[arg(long)]
    channel: Option<String>,
    /// Only those to this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Items of the page.
    #[arg(long)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

/// Which effects are retried.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Its id.
    #[arg(conflicts_with_all = ["destination", "channel"])]
    id: Option<String>,
    /// All dead ones to this destination.
    #[arg(long)]
    destination: Option<String>,
    /// All dead ones through this channel.
    #[arg(long)]
    channel: Option<String>,
}

impl ListArgs {
    fn path(&self, what: &str) -> String {
        let limit = self.limit.map(|n| n.to_string());
        Address::of(&["v1", what])
            .query("status", self.status.as_deref())
            .query("run", self.run.as_deref())
            .query("channel", self.channel.as_deref())
            .query("destination", self.destination.as_deref())
            .query("limit", limit.as_deref())
            .query("cursor", self.cursor.as_deref())
            .text()
    }
}

pub(super) fn run(common: &Common, command: &EffectCommand) -> Outcome {
    let (client, output) = (common.client()?, common.output());
    match command {
        EffectCommand::List(args) => {
            let columns = ["id", "channel", "destination", "status", "attempts", "created_at", "error"];
            output.list(&client.get(&args.path("effects"))?, &columns);
        }
        EffectCommand::Show { id } => output.one(&client.get(&Address::of(&["v1", "effects", id]).text())?),
        EffectCommand::Retry(RetryArgs { id: Some(id), .. }) => {
            output.one(&client.post(&Address::of(&["v1", "effects", id, "retry"]).text(), &json!({}))?);
        }
        EffectCommand::Retry(args) => {
            let mut body = json!({});
            for (name, value) in [("destination", &args.destination), ("channel", &args.channel)] {
                if let Some(value) = value {
                    body[name] = value.as_str().into();
                }
            }
            output.one(&client.post("/v1/effects/retry", &body)?);
        }
        EffectCommand::Circuits => {
            let columns = ["destination", "failures", "open_until", "in_flight"];
            output.list(&client.get("/v1/circuits")?, &columns);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn messages(common: &Common, command: &MessageCommand) -> Outcome {
    let MessageCommand::List(args) = command;
    let columns = ["created_at", "channel", "to", "template", "subject", "status", "captured"];
    common.output().list(&common.client()?.get(&args.path("messages"))?, &columns);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn template(common: &Common, command: &TemplateCommand) -> Outcome {
    let TemplateCommand::Preview { name, to, with } = command;
    let data: Json = serde_json::from_str(with).map_err(|e| Failure::Usage(format!("--with: {e}")))?;
    let mut body = json!({ "data": data });
    if let Some(to) = to {
        body["to"] = to.as_str().into();
    }
    let path = Address::of(&["v1", "templates", name, "preview"]).text();
    common.output().one(&common.client()?.post(&path, &body)?);
    Ok(ExitCode::SUCCESS)
}
