//! `rapport customer`: the whole customer in the terminal, and who may be there twice.

mod duplicates;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::relation::{named, way};
use super::{Common, Outcome};
use crate::client::Address;
use crate::output::{cell, plain, table};

/// What can be asked of customers.
#[derive(Debug, Subcommand)]
pub(super) enum CustomerCommand {
    /// Shows a customer whole: fields with who set them, tags, relations, consent, segments, and the timeline.
    Show(ShowArgs),
    /// Lists customers that may be one, with a score and what speaks for it.
    Duplicates(duplicates::DuplicatesArgs),
    /// Says that two customers are not one, so that they are no longer listed as duplicates.
    Distinct(duplicates::DistinctArgs),
}

/// What `customer show` takes.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its id, or `field:value` of a unique field.
    key: String,
    /// Only these kinds of items in the timeline, separated by commas: `record,event,answer,run,message`.
    #[arg(long)]
    kinds: Option<String>,
    /// Items of the timeline.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Where the page of the timeline before ended.
    #[arg(long)]
    cursor: Option<String>,
}

pub(super) fn run(common: &Common, command: &CustomerCommand) -> Outcome {
    match command {
        CustomerCommand::Show(args) => show(common, args),
        CustomerCommand::Duplicates(args) => duplicates::list(common, args),
        CustomerCommand::Distinct(args) => duplicates::tell_apart(common, args),
    }
}

fn show(common: &Common, args: &ShowArgs) -> Outcome {
    let path = Address::of(&["v1", "customers", &args.key, "360"])
        .query("kinds", args.kinds.as_deref())
        .query("limit", Some(&args.limit.to_string()))
        .query("cursor", args.cursor.as_deref())
        .text();
    common.output().show(&common.client()?.get(&path)?, told);
    Ok(ExitCode::SUCCESS)
}

fn items(json: &Json) -> &[Json] {
    json.as_array().map_or(&[][..], Vec::as_slice)
}

/// Appends a part with its title, if there is something in it.
fn part(text: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let body = table(&[""], rows);
    let lines: Vec<String> = body.lines().map(|line| format!(" {line}")).collect();
    _ = writeln!(text, "\n{title}\n{}", lines.join("\n"));
}

/// The page as people read it.
fn told(page: &Json) -> String {
    let mut text = String::new();
    if page.get("record").is_some() {
        _ = writeln!(
            text,
            "{}, version {}, since {}",
            cell(&page["record"]),
            page["version"],
            day(&page["created_at"])
        );
        let filled = |field: &&Json| !field["value"].is_null() && field["value"] != Json::Array(Vec::new());
        part(&mut text, "fields", items(&page["fields"]).iter().filter(filled).map(field).collect());
        part(&mut text, "relations", items(&page["relations"]["items"]).iter().map(relation).collect());
        part(&mut text, "consent", items(&page["consent"]).iter().map(consent).collect());
        part(&mut text, "segments", items(&page["segments"]).iter().map(segment).collect());
    }
    part(&mut text, "timeline", items(&page["timeline"]["items"]).iter().map(moment).collect());
    if let Some(next) = page["timeline"]["next"].as_str() {
        _ = writeln!(text, "more: --cursor {next}");
    }
    text
}

/// A field, its value, and since when and by whom.
fn field(field: &Json) -> Vec<String> {
    let set = &field["set"];
    let since = match (set.is_null(), field["set_before"].as_i64()) {
        (true, None) => String::new(),
        (true, Some(_)) => "long ago".to_owned(),
        (false, _) => format!("{} by {}", minute(&set["time"]), author(&set["by"])),
    };
    vec![cell(&field["field"]), list(&field["value"]), since]
}

/// A value; of a list its items.
fn list(value: &Json) -> String {
    match value.as_array() {
        Some(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        None => cell(value),
    }
}

fn author(by: &Json) -> String {
    match by["kind"].as_str() {
        Some("automation") => cell(&by["automation"]),
        Some("system") | None => "the host".to_owned(),
        Some(kind) => format!("{kind} {}", cell(if by["name"].is_null() { &by["id"] } else { &by["name"] })),
    }
}

fn relation(item: &Json) -> Vec<String> {
    vec![way(item), named(item), cell(&item["name"])]
}

fn segment(item: &Json) -> Vec<String> {
    vec![cell(&item["segment"]), format!("since {}", day(&item["since"]))]
}

fn consent(item: &Json) -> Vec<String> {
    vec![cell(&item["channel"]), cell(&item["purpose"]), cell(&item["state"]), day(&item["at"])]
}

/// One item of the timeline on one line.
fn moment(item: &Json) -> Vec<String> {
    let (what, about) = match item["kind"].as_str() {
        Some("run") => (cell(&item["automation"]), cell(&item["status"])),
        Some("message") => {
            let what = format!("{} {}", cell(&item["channel"]), cell(&item["template"]));
            (what, format!("to {}, {}", cell(&item["to"]), cell(&item["status"])))
        }
        Some("event") => (cell(&item["type"]), members(&item["data"])),
        _ if item["erased"] == true => (cell(&item["type"]), "erased".to_owned()),
        _ => (cell(&item["type"]), changes(&item["changes"])),
    };
    vec![minute(&item["time"]), cell(&item["kind"]), what, short(&about)]
}

fn members(data: &Json) -> String {
    let pairs = data.as_object().into_iter().flatten().map(|(name, value)| format!("{name} {}", cell(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

fn changes(all: &Json) -> String {
    let shown = items(all).iter().map(|change| {
        let (name, before, after) = (cell(&change["field"]), list(&change["before"]), list(&change["after"]));
        match (before.is_empty(), after.is_empty()) {
            (true, _) => format!("{name} {after}"),
            (false, true) => format!("{name} {before} → none"),
            (false, false) => format!("{name} {before} → {after}"),
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// A text on one line, of a length that fits.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let line = plain(text).replace('\n', " ");
    if line.chars().count() <= CHARS_MAX {
        return line;
    }
    format!("{}…", line.chars().take(CHARS_MAX).collect::<String>())
}

fn day(time: &Json) -> String {
    cell(time).chars().take(10).collect()
}

fn minute(time: &Json) -> String {
    cell(time).chars().take(16).collect::<String>().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_is_told_line_by_line() {
        let page = json!({
            "record": "customer/1", "version": 3, "created_at": "2026-01-01T00:00:00Z",
            "fields": [
                {"field": "name", "value": "Ada\u{1b}[2J", "set": {"time": "2026-02-03T04:05:06Z", "by": {"kind": "user", "name": "owner"}}},
                {"field": "city", "value": null, "set": null},
                {"field": "tags", "value": ["a", "b"], "set": null, "set_before": 7},
            ],
            "relations": {"items": [{"key": "company/company_no:c", "name": "Acme", "path": [{"kind": "owner", "way": "to"}]}]},
            "consent": [], "segments": [],
            "timeline": {"items": [
                {"kind": "run", "time": "2026-02-03T04:05:06Z", "automation": "a", "status": "completed"},
                {"kind": "record", "time": "2026-02-03T04:05:06Z", "type": "customer.updated",
                 "changes": [{"field": "city", "before": "Ulm", "after": null}]},
            ], "next": "abc"},
        });
        let text = told(&page);
        for part in [
            "customer/1, version 3, since 2026-01-01",
            "2026-02-03 04:05 by user owner",
            "a, b",
            "long ago",
            "owner →",
            "Acme",
            "completed",
            "city Ulm → none",
            "more: --cursor abc",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains("consent") && !text.contains("segments"), "{text}");
    }
}
