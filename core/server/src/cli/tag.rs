//! `rapport tag`: adds tags to records, takes them away, and tells which there are.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use ureq::http::Method;

use super::{Common, Failure, Outcome};
use crate::client::{Address, Call};

/// What can be done with tags.
#[derive(Debug, Subcommand)]
pub(super) enum TagCommand {
    /// Adds tags to a record.
    Add {
        /// The record: `customer/customer_no:1`, or its object and id.
        record: String,
        /// The tags.
        #[arg(required = true)]
        tags: Vec<String>,
    },
    /// Takes tags away from a record.
    Remove {
        /// The record: `customer/customer_no:1`, or its object and id.
        record: String,
        /// The tags.
        #[arg(required = true)]
        tags: Vec<String>,
    },
    /// Lists the tags that there are, with how many records have each.
    List {
        /// Only tags of records of this object.
        object: Option<String>,
        /// Tags of the page.
        #[arg(long)]
        limit: Option<u32>,
        /// `next` of the page before.
        #[arg(long)]
        cursor: Option<String>,
    },
}

pub(super) fn run(common: &Common, command: &TagCommand) -> Outcome {
    match command {
        TagCommand::Add { record, tags } => edit(common, record, ("add", tags)),
        TagCommand::Remove { record, tags } => edit(common, record, ("remove", tags)),
        TagCommand::List { object, limit, cursor } => {
            let path = Address::of(&["v1", "tags"])
                .query("object", object.as_deref())
                .query("limit", limit.map(|n| n.to_string()).as_deref())
                .query("cursor", cursor.as_deref())
                .text();
            common.output().list(&common.client()?.get(&path)?, &["object", "tag", "records"]);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The object and the key of a record that is written `object/key`.
pub(super) fn record_of(text: &str) -> Result<(&str, &str), Failure> {
    let halves = text.split_once('/').filter(|(object, key)| !object.is_empty() && !key.is_empty());
    halves.ok_or_else(|| Failure::Usage(format!("`{text}`: write OBJECT/KEY, such as customer/customer_no:1")))
}

fn edit(common: &Common, record: &str, (side, tags): (&str, &[String])) -> Outcome {
    let (object, key) = record_of(record)?;
    let body = json!({ "tags": { side: tags } }).to_string();
    let path = Address::of(&["v1", "records", object, key]).text();
    let call = Call { path, body: Some(body.as_bytes()), media: "application/json", headers: Vec::new() };
    let written = common.client()?.json(&Method::PATCH, &call)?;
    common.output().show(&written, |record| {
        let tags: Vec<&str> = record["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str()).collect();
        crate::output::plain(&tags.join("\n"))
    });
    Ok(ExitCode::SUCCESS)
}
