//! `rapport segment`: who is in a segment, why, who was; previews; lists that people keep.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome};
use crate::client::{Address, Client};
use crate::output::{cell, cells, line, plain, table};

/// Keys sent in one call.
const KEYS_IN_ONE: usize = 1_000;
/// Members fetched in one call.
const PAGE_ROWS: &str = "1000";

/// What can be done with segments.
#[derive(Debug, Subcommand)]
pub(super) enum SegmentCommand {
    /// Lists segments with their sizes.
    List,
    /// Shows a segment: its rule, where it stands, its size.
    Show {
        /// Its name.
        name: String,
    },
    /// Lists the members of a segment, or who was, or would have been, in it at an instant of the past.
    Members(MembersArgs),
    /// Says why a record is in a segment, or why not, part by part of the rule.
    Explain {
        /// The segment.
        name: String,
        /// The record: its id, or `field:value` of a unique field.
        record: String,
    },
    /// Says who would be in a segment of this rule; nothing is changed.
    Preview {
        /// The rule: `lifetime_value > 5000 && days_since(last_order_at) > 60`.
        rule: String,
        /// Whose records.
        #[arg(long, default_value = "customer")]
        object: String,
        /// As of this instant or day of the past, such as 2011-06-30.
        #[arg(long, value_name = "INSTANT")]
        as_of: Option<String>,
        /// Fields to show, separated by commas.
        #[arg(long)]
        fields: Option<String>,
    },
    /// Says how many records two segments share.
    Overlap {
        /// One.
        name: String,
        /// The other.
        with: String,
    },
    /// Says how many were in a segment at instants of the past.
    Sizes {
        /// The segment.
        name: String,
        /// Instants or days, such as 2011-06-30.
        #[arg(required = true)]
        at: Vec<String>,
    },
    /// Writes all members as CSV, or as JSON lines with --json.
    Export {
        /// The segment.
        name: String,
        /// Fields to write, separated by commas; all if not given.
        #[arg(long)]
        fields: Option<String>,
    },
    /// Adds records to a list.
    Add(KeysArgs),
    /// Removes records from a list.
    Remove(KeysArgs),
    /// Adds the records that a file names, one key in each line, or in the first column of a CSV.
    Upload {
        /// The list.
        name: String,
        /// The file; `-` for the standard input.
        file: PathBuf,
        /// The unique field that the file holds, such as `customer_no`; ids if not given.
        #[arg(long)]
        key: Option<String>,
    },
    /// Compares a segment with its rule, both as of now.
    Check {
        /// The segment.
        name: String,
    },
    /// Makes a segment anew what its rule says; nobody is told unless --announce.
    Rebuild {
        /// The segment.
        name: String,
        /// Who comes and leaves is told.
        #[arg(long)]
        announce: bool,
    },
}

/// What `segment members` takes.
#[derive(Debug, Args)]
pub(super) struct MembersArgs {
    /// The segment.
    name: String,
    /// As of this instant or day of the past, such as 2011-06-30, by the rule of today.
    #[arg(long, value_name = "INSTANT")]
    as_of: Option<String>,
    /// Members of the page.
    #[arg(long)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[arg(long)]
    cursor: Option<String>,
    /// Fields to show, separated by commas.
    #[arg(long)]
    fields: Option<String>,
}

/// A list, and records.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    /// The list.
    name: String,
    /// Records: ids, or `field:value` of a unique field.
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<String>,
}

pub(super) fn run(common: &Common, command: &SegmentCommand) -> Outcome {
    let (client, output) = (common.client()?, common.output());
    let of = |name: &str, verb: &str| Address::of(&["v1", "segments", name, verb]);
    match command {
        SegmentCommand::List => {
            output.list(&client.get("/v1/segments")?, &["name", "object", "kind", "size", "state", "rule"]);
        }
        SegmentCommand::Show { name } => output.one(&client.get(&Address::of(&["v1", "segments", name]).text())?),
        SegmentCommand::Members(args) => return members(common, args),
        SegmentCommand::Explain { name, record } => {
            let path = of(name, "explain").query("record", Some(record)).text();
            output.show(&client.get(&path)?, explained);
        }
        SegmentCommand::Preview { rule, object, as_of, fields } => {
            let shown = match as_of {
                Some(at) => {
                    let body = json!({ "object": object, "rule": rule, "at": instant(at)? });
                    client.post("/v1/segments/as-of", &body)?
                }
                None => client.post("/v1/segments/preview", &json!({ "object": object, "rule": rule }))?,
            };
            output.show(&shown, |shown| counted(shown, fields.as_deref()));
        }
        SegmentCommand::Overlap { name, with } => {
            output.one(&client.get(&of(name, "overlap").query("with", Some(with)).text())?);
        }
        SegmentCommand::Sizes { name, at } => {
            let instants = at.iter().map(|text| instant(text)).collect::<Result<Vec<_>, _>>()?;
            let path = of(name, "sizes").query("at", Some(&instants.join(","))).text();
            output.list(&client.get(&path)?, &["time", "size"]);
        }
        SegmentCommand::Export { name, fields } => return export(common, name, fields.as_deref()),
        SegmentCommand::Add(args) => output.one(&moved(&client, &args.name, ("add", &args.records))?),
        SegmentCommand::Remove(args) => output.one(&moved(&client, &args.name, ("remove", &args.records))?),
        SegmentCommand::Upload { name, file, key } => {
            let keys = keys_in(file, key.as_deref())?;
            output.one(&moved(&client, name, ("add", &keys))?);
        }
        SegmentCommand::Check { name } => output.one(&client.post(&of(name, "check").text(), &json!({}))?),
        SegmentCommand::Rebuild { name, announce } => {
            let path = of(name, "rebuild").query("announce", announce.then_some("true")).text();
            output.one(&client.post(&path, &json!({}))?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An instant as people write it: a day is its midnight in UTC.
fn instant(text: &str) -> Result<String, Failure> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let read = whole.parse::<rapport_model::Timestamp>();
    read.map(|time| time.to_string())
        .map_err(|e| Failure::Usage(format!("`{text}`: {e}; write 2011-06-30 or 2011-06-30T12:00:00Z")))
}

fn named(fields: Option<&str>) -> Vec<String> {
    let fields = fields.map(|fields| fields.split(',').map(|field| field.trim().to_owned()).collect());
    fields.unwrap_or_else(|| ["customer_no", "name", "country"].map(str::to_owned).to_vec())
}

fn members(common: &Common, args: &MembersArgs) -> Outcome {
    let (client, output) = (common.client()?, common.output());
    let limit = args.limit.map(|n| n.to_string());
    if let Some(at) = &args.as_of {
        let mut body = json!({ "segment": args.name, "at": instant(at)? });
        if let Some(limit) = args.limit {
            body["limit"] = limit.into();
        }
        let shown = client.post("/v1/segments/as-of", &body)?;
        output.show(&shown, |shown| counted(shown, args.fields.as_deref()));
        return Ok(ExitCode::SUCCESS);
    }
    let path = Address::of(&["v1", "segments", &args.name, "members"])
        .query("limit", limit.as_deref())
        .query("cursor", args.cursor.as_deref())
        .text();
    let mut columns = vec!["id".to_owned()];
    columns.extend(named(args.fields.as_deref()));
    columns.push("entered_at".to_owned());
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    output.list(&client.get(&path)?, &columns);
    Ok(ExitCode::SUCCESS)
}

/// A count, and some of those that were counted.
fn counted(shown: &Json, fields: Option<&str>) -> String {
    let items = shown.get("items").or_else(|| shown.get("sample")).and_then(Json::as_array);
    let mut columns = vec!["id".to_owned()];
    columns.extend(named(fields));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let rows = items.into_iter().flatten().map(|item| cells(item, &columns));
    let at = shown.get("at").and_then(Json::as_str).map(|at| format!(" at {at}")).unwrap_or_default();
    let (count, object) = (cell(&shown["count"]), cell(&shown["object"]));
    format!("{count} of `{object}`{at}\n{}", table(&columns, rows))
}

/// The rule, part by part, each further in than what it belongs to.
fn explained(shown: &Json) -> String {
    let since = shown["since"].as_str().map(|since| format!(", since {since}")).unwrap_or_default();
    let member = if shown["member"] == true { "yes" } else { "no" };
    let mut text = format!("{}: {member}{since}\n", cell(&shown["segment"]));
    if shown["rule"].is_object() {
        part(&mut text, &shown["rule"], 1);
    }
    text
}

fn part(text: &mut String, shown: &Json, depth: usize) {
    let mark = if shown["holds"] == true { "holds" } else { "not  " };
    let values = shown["values"].as_object().into_iter().flatten();
    let values: Vec<String> = values
        .map(|(name, value)| format!("{name} is {}", if value.is_null() { "null".to_owned() } else { cell(value) }))
        .collect();
    let looked = if values.is_empty() { String::new() } else { format!("   ({})", values.join(", ")) };
    text.push_str(&plain(&format!("{}{mark}  {}{looked}\n", "  ".repeat(depth), cell(&shown["part"]))));
    for inner in shown["parts"].as_array().into_iter().flatten() {
        part(text, inner, depth + 1);
    }
}

/// Adds or removes keys, some at a time; says what came of all.
fn moved(client: &Client, name: &str, (verb, keys): (&str, &[String])) -> Result<Json, Failure> {
    let path = Address::of(&["v1", "segments", name, "members"]).text();
    let mut sums = json!({ "added": 0, "removed": 0, "unchanged": 0, "unknown": [] });
    for some in keys.chunks(KEYS_IN_ONE) {
        let answer = client.post(&path, &json!({ verb: some }))?;
        for count in ["added", "removed", "unchanged"] {
            sums[count] = (sums[count].as_u64().unwrap_or(0) + answer[count].as_u64().unwrap_or(0)).into();
        }
        if let (Some(all), Some(more)) = (sums["unknown"].as_array_mut(), answer["unknown"].as_array()) {
            all.extend(more.iter().cloned());
        }
    }
    Ok(sums)
}

/// The keys in a file: its lines, or the first column if it is a CSV. A first line that names the field is no key.
fn keys_in(file: &Path, key: Option<&str>) -> Result<Vec<String>, Failure> {
    let failed = |e: io::Error| Failure::Usage(format!("{}: {e}", file.display()));
    let text = if file == Path::new("-") {
        io::read_to_string(io::stdin()).map_err(failed)?
    } else {
        std::fs::read_to_string(file).map_err(failed)?
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut keys = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
        let first = row.get(0).unwrap_or_default().trim().trim_start_matches('\u{feff}').to_owned();
        let is_title = keys.is_empty() && key.is_some_and(|key| key == first);
        if !first.is_empty() && !is_title {
            keys.push(key.map_or(first.clone(), |key| format!("{key}:{first}")));
        }
    }
    Ok(keys)
}

fn export(common: &Common, name: &str, fields: Option<&str>) -> Outcome {
    let client = common.client()?;
    let fields: Option<Vec<String>> = fields.map(|f| f.split(',').map(|field| field.trim().to_owned()).collect());
    let mut cursor: Option<String> = None;
    let mut columns: Option<Vec<String>> = fields;
    let mut titled = false;
    loop {
        let path = Address::of(&["v1", "segments", name, "members"])
            .query("limit", Some(PAGE_ROWS))
            .query("cursor", cursor.as_deref())
            .text();
        let page = client.get(&path)?;
        for item in page["items"].as_array().into_iter().flatten() {
            let Some(map) = item.as_object() else { continue };
            let columns = columns.get_or_insert_with(|| map.keys().cloned().collect());
            if common.output().is_json() {
                line(&Json::Object(columns.iter().map(|c| (c.clone(), item[c].clone())).collect()).to_string());
                continue;
            }
            if !std::mem::replace(&mut titled, true) {
                csv_row(columns)?;
            }
            csv_row(&columns.iter().map(|column| text_of(&item[column])).collect::<Vec<_>>())?;
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// A value as a cell that no spreadsheet takes for a formula.
fn text_of(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn csv_row(cells: &[String]) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: String| Failure::Usage(format!("a row cannot be written: {e}"));
    writer.write_record(cells).map_err(|e| failed(e.to_string()))?;
    let row = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    // A reader that went away (`| head`) is no error.
    let _ = io::stdout().lock().write_all(&row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_midnight() {
        assert_eq!(instant("2011-06-30").unwrap(), "2011-06-30T00:00:00Z");
        assert!(matches!(instant("30.6.2011"), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_cell_is_no_formula() {
        assert_eq!(text_of(&json!("=1+1")), "'=1+1");
        assert_eq!(text_of(&json!(-3)), "-3");
        assert_eq!(text_of(&Json::Null), "");
    }

    #[test]
    fn an_explanation_stands_part_below_part() {
        let shown = json!({"segment": "a", "member": false, "rule": {"part": "all", "holds": false, "parts": [
            {"part": "points > 3", "holds": false, "values": {"points": null}}]}});
        assert_eq!(explained(&shown), "a: no\n  not    all\n    not    points > 3   (points is null)\n");
    }
}
