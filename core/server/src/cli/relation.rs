//! `rapport relation`: who has to do with whom.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value as Json;

use super::tag::record_of;
use super::{Common, Outcome};
use crate::client::Address;
use crate::output::{cell, table};

/// What can be asked of relations.
#[derive(Debug, Subcommand)]
pub(super) enum RelationCommand {
    /// Lists the customers and companies that have to do with one, each with the way to it.
    List {
        /// The customer or company: `customer/customer_no:1`, or its object and id.
        record: String,
        /// How far to go: 1 or 2.
        #[arg(long, default_value_t = 1)]
        steps: u8,
        /// Only along relations of this kind.
        #[arg(long)]
        kind: Option<String>,
        /// Along relations that have ended, too.
        #[arg(long)]
        ended: bool,
    },
}

pub(super) fn run(common: &Common, command: &RelationCommand) -> Outcome {
    let RelationCommand::List { record, steps, kind, ended } = command;
    let (object, key) = record_of(record)?;
    let path = Address::of(&["v1", "records", object, key, "relations"])
        .query("steps", Some(&steps.to_string()))
        .query("kind", kind.as_deref())
        .query("ended", ended.then_some("true"))
        .text();
    let found = common.client()?.get(&path)?;
    common.output().show(&found, |found| {
        let items = found["items"].as_array().map_or(&[][..], Vec::as_slice);
        let mut text = table(&["step", "record", "name", "by"], items.iter().map(row));
        if found["cut"] == true {
            text.push_str("\nthere are more relations than are followed: narrow them by --kind");
        }
        text
    });
    Ok(ExitCode::SUCCESS)
}

fn row(item: &Json) -> Vec<String> {
    vec![cell(&item["step"]), named(item), cell(&item["name"]), way(item)]
}

/// A record by its number, if it has one.
pub(super) fn named(item: &Json) -> String {
    if item["key"].is_null() { cell(&item["record"]) } else { cell(&item["key"]) }
}

/// The relations that lead to a record: `employee →`, `owner ←`, one after another.
pub(super) fn way(item: &Json) -> String {
    let path = item["path"].as_array().map_or(&[][..], Vec::as_slice);
    let steps = path.iter().map(|step| {
        let sign = if step["way"] == "to" { "→" } else { "←" };
        let until = step["until"].as_str().map(|until| format!(" (until {until})")).unwrap_or_default();
        format!("{} {sign}{until}", cell(&step["kind"]))
    });
    steps.collect::<Vec<_>>().join(" ")
}
