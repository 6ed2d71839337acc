//! `rapport record`: lists, shows and sets records.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json};
use ureq::http::Method;

use super::merge::{self, MergeArgs};
use super::{Common, Failure, Outcome, explain};
use crate::client::{Address, Call};
use crate::strict_json;

/// What can be done with records.
#[derive(Debug, Subcommand)]
pub(super) enum RecordCommand {
    /// Lists records of an object.
    List(ListArgs),
    /// Shows a record.
    Get {
        /// The object, such as `customer`.
        object: String,
        /// Its id, or `field:value` of a unique field.
        key: String,
        /// Show its history instead.
        #[arg(long)]
        history: bool,
    },
    /// Shows what happened to a record, oldest first: who or what made each change, and because of what.
    History {
        /// The object, such as `customer`.
        object: String,
        /// Its id, or `field:value` of a unique field; a deleted record by its id.
        key: String,
        /// Only changes of this field.
        #[arg(long)]
        field: Option<String>,
        /// After this position in the log.
        #[arg(long)]
        after: Option<u64>,
        /// Changes of the page.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Creates a record.
    Create {
        /// The object, such as `customer`.
        object: String,
        /// Fields with their values: `city=Paris`, `points:=12` (JSON).
        #[arg(value_name = "FIELD=VALUE")]
        fields: Vec<String>,
    },
    /// Merges a record into another: references, tags and lists go over, its names lead to the other from then on. A run that can be undone.
    Merge(MergeArgs),
    /// Sets fields of a record; one named by a unique field is created if it is missing.
    Set {
        /// The object, such as `customer`.
        object: String,
        /// Its id, or `field:value` of a unique field.
        key: String,
        /// Fields with their values: `city=Paris`, `points:=12` (JSON), `notes=` (null).
        #[arg(required = true, value_name = "FIELD=VALUE")]
        fields: Vec<String>,
    },
}

/// What `record list` takes.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The object, such as `customer`.
    object: String,
    /// A rule: `country == 'France' && amount > 100`.
    #[arg(long = "where", value_name = "RULE")]
    filter: Option<String>,
    /// Fields to order by, `-` before a field for descending.
    #[arg(long, allow_hyphen_values = true)]
    order: Option<String>,
    /// Rows of the page.
    #[arg(long)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[arg(long)]
    cursor: Option<String>,
    /// Fields to show, separated by commas.
    #[arg(long)]
    fields: Option<String>,
}

pub(super) fn run(common: &Common, command: RecordCommand) -> Outcome {
    match command {
        RecordCommand::List(args) => list(common, &args),
        RecordCommand::Merge(args) => merge::run(common, &args),
        RecordCommand::Get { object, key, history } => {
            let client = common.client()?;
            if history {
                let events = client.get(&Address::of(&["v1", "records", &object, &key, "history"]).text())?;
                common.output().list(&events, &["position", "time", "type", "actor", "data"]);
            } else {
                common.output().one(&client.get(&Address::of(&["v1", "records", &object, &key]).text())?);
            }
            Ok(ExitCode::SUCCESS)
        }
        RecordCommand::History { object, key, field, after, limit } => {
            let path = Address::of(&["v1", "records", &object, &key, "history"])
                .query("field", field.as_deref())
                .query("after", after.map(|n| n.to_string()).as_deref())
                .query("limit", limit.map(|n| n.to_string()).as_deref())
                .text();
            common.output().show(&common.client()?.get(&path)?, explain::history);
            Ok(ExitCode::SUCCESS)
        }
        RecordCommand::Create { object, fields } => {
            let path = Address::of(&["v1", "records", &object]).text();
            common.output().one(&common.client()?.post(&path, &Json::Object(assignments(&fields)?))?);
            Ok(ExitCode::SUCCESS)
        }
        RecordCommand::Set { object, key, fields } => {
            let body = Json::Object(assignments(&fields)?).to_string();
            let path = Address::of(&["v1", "records", &object, &key]).text();
            let media = "application/json";
            let call = Call { path, body: Some(body.as_bytes()), media, headers: Vec::new() };
            common.output().one(&common.client()?.json(&Method::PUT, &call)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(common: &Common, args: &ListArgs) -> Outcome {
    let limit = args.limit.map(|n| n.to_string());
    let path = Address::of(&["v1", "records", &args.object])
        .query("where", args.filter.as_deref())
        .query("order", args.order.as_deref())
        .query("limit", limit.as_deref())
        .query("cursor", args.cursor.as_deref())
        .query("fields", args.fields.as_deref())
        .text();
    let page = common.client()?.get(&path)?;
    let columns = columns(&page);
    common.output().list(&page, &columns.iter().map(String::as_str).collect::<Vec<_>>());
    Ok(ExitCode::SUCCESS)
}

/// The members that a table of records shows: those that some record of the page has a value for, names before times.
fn columns(page: &Json) -> Vec<String> {
    let items = page.get("items").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let Some(Json::Object(first)) = items.first() else { return vec!["id".to_owned()] };
    let filled = |name: &str| {
        items.iter().any(|item| item.get(name).is_some_and(|v| !v.is_null() && *v != Json::Array(Vec::new())))
    };
    let system = |name: &str| matches!(name, "id" | "version" | "created_at" | "updated_at");
    let own = first.keys().filter(|n| !system(n) && filled(n)).cloned();
    std::iter::once("id".to_owned()).filter(|_| first.contains_key("id")).chain(own).collect()
}

/// Reads `name=text` and `name:=json`.
pub(super) fn assignments(texts: &[String]) -> Result<Map<String, Json>, Failure> {
    let mut map = Map::new();
    for text in texts {
        let wrong = || Failure::Usage(format!("`{text}`: write FIELD=TEXT, or FIELD:=JSON"));
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (name, value) = match name.strip_suffix(':') {
            Some(name) => {
                let json = strict_json::parse(value.as_bytes());
                (name, json.map_err(|e| Failure::Usage(format!("`{text}`: {e}")))?)
            }
            None if value.is_empty() => (name, Json::Null),
            None => (name, Json::String(value.to_owned())),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        if map.insert(name.to_owned(), value).is_some() {
            return Err(Failure::Usage(format!("`{name}` is given twice")));
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(texts: &[&str]) -> Result<Json, Failure> {
        assignments(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()).map(Json::Object)
    }

    #[test]
    fn fields_are_texts_json_or_null() {
        let want = json!({"city": "New=York", "points": 12, "notes": null, "tags": ["a"]});
        assert_eq!(read(&["city=New=York", "points:=12", "notes=", "tags:=[\"a\"]"]).unwrap(), want);
    }

    #[test]
    fn what_is_no_assignment_is_a_usage_error() {
        for bad in [&["city"][..], &["=x"], &["a=1", "a=2"], &["a:={"], &["a:={\"b\":1,\"b\":2}"]] {
            assert!(matches!(read(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_table_shows_the_fields_that_are_filled() {
        let page = json!({"items": [
            {"id": "1", "version": 3, "created_at": "t", "name": null, "city": "Paris", "empty": null},
            {"id": "2", "version": 1, "created_at": "t", "name": "Ada", "city": null, "empty": null}]});
        let mut found = columns(&page);
        found[1..].sort();
        assert_eq!(found, ["id", "city", "name"]);
        assert_eq!(columns(&json!({"items": []})), ["id"]);
    }
}
