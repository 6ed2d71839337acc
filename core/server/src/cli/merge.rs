//! `rapport record merge`: merges one record into another.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::{Common, Outcome};
use crate::client::Address;
use crate::output::{cell, plain};

/// What `record merge` takes.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// The object, such as `customer`.
    object: String,
    /// The record that stays: its id, or `field:value` of a unique field.
    survivor: String,
    /// The record that goes.
    merged: String,
    /// Fields whose values are taken from the record that goes, separated by commas. Fields that the other has not filled are anyway.
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    take: Vec<String>,
    /// Fields that the other keeps as they are, also where it has not filled them.
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    keep: Vec<String>,
    /// Numbers of both that are added up.
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    sum: Vec<String>,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(common: &Common, args: &MergeArgs) -> Outcome {
    let mut fields = Map::new();
    for (names, choice) in [(&args.keep, "survivor"), (&args.take, "merged"), (&args.sum, "sum")] {
        fields.extend(names.iter().map(|name| (name.trim().to_owned(), Json::from(choice))));
    }
    let path = Address::of(&["v1", "records", &args.object, &args.survivor, "merge"]).text();
    let body = json!({ "merged": args.merged, "fields": fields, "dry_run": args.dry_run });
    common.output().show(&common.client()?.post(&path, &body)?, told);
    Ok(ExitCode::SUCCESS)
}

/// What was done, as people read it.
fn told(merge: &Json) -> String {
    let dry = merge["dry_run"] == true;
    let (merged, survivor) = (plain(&cell(&merge["merged"])), plain(&cell(&merge["survivor"])));
    let mut text = match merge["run"].as_str() {
        Some(run) => format!("{merged} is {survivor} now (run {run}; `rapport run undo {run}` takes it back)\n"),
        None => format!("{merged} would become {survivor}\n"),
    };
    for field in merge["fields"].as_array().into_iter().flatten() {
        let shown = |value: &Json| if value.is_null() { "none".to_owned() } else { plain(&cell(value)) };
        let [name, from, to] = ["field", "from", "to"].map(|part| shown(&field[part]));
        _ = writeln!(text, "  {name}: {from} → {to}");
    }
    for (place, count) in merge["moved"].as_object().into_iter().flatten() {
        _ = writeln!(text, "  {place}: {count} {} over", if dry { "would go" } else { "went" });
    }
    for record in merge["removed"].as_array().into_iter().flatten() {
        let does = if dry { "would go" } else { "went" };
        _ = writeln!(text, "  {} {does}: {survivor} has one already", plain(&cell(record)));
    }
    for (field, values) in merge["names"].as_object().into_iter().flatten() {
        for value in values.as_array().into_iter().flatten().filter_map(Json::as_str) {
            let lead = if dry { "would lead" } else { "leads" };
            _ = writeln!(text, "  {field} {} {lead} to it", plain(value));
        }
    }
    for list in merge["lists"].as_array().into_iter().flatten() {
        _ = writeln!(text, "  comes into the list {}", plain(&cell(list)));
    }
    text.trim_end().to_owned()
}
