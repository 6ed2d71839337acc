//! `rapport search`: looks for words in records.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value as Json;

use super::{Common, Outcome};
use crate::client::Address;

/// What `search` takes.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// The object, such as `article`.
    object: String,
    /// What is looked for: all words must be there, the last one may go on.
    text: String,
    /// Searchable fields in which it may stand, separated by commas; all if not given.
    #[arg(long)]
    fields: Option<String>,
    /// A rule that must hold: `language == 'en'`.
    #[arg(long = "where", value_name = "RULE")]
    filter: Option<String>,
    /// Hits, 1 to 100.
    #[arg(long)]
    limit: Option<u32>,
}

pub(super) fn run(common: &Common, args: &SearchArgs) -> Outcome {
    let path = Address::of(&["v1", "records", &args.object, "search"])
        .query("q", Some(&args.text))
        .query("fields", args.fields.as_deref())
        .query("where", args.filter.as_deref())
        .query("limit", args.limit.map(|n| n.to_string()).as_deref())
        .text();
    let found = common.client()?.get(&path)?;
    let items = found["items"].as_array().cloned().unwrap_or_default();
    common.output().show(&found, |_| {
        if items.is_empty() {
            "nothing found".to_owned()
        } else {
            items.iter().map(told).collect::<Vec<_>>().join("\n")
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// A hit on two lines: which record, and the part of its text, what was found in brackets.
fn told(hit: &Json) -> String {
    let text = hit["snippet"]["text"].as_str().unwrap_or_default();
    let place = |value: &Json| value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let spans: Vec<(usize, usize)> = hit["snippet"]["matches"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|span| (place(&span[0]), place(&span[1])))
        .collect();
    let mut shown = String::new();
    for (n, c) in text.chars().enumerate() {
        shown.extend(spans.iter().any(|span| span.1 == n).then_some(']'));
        shown.extend(spans.iter().any(|span| span.0 == n).then_some('['));
        shown.push(c);
    }
    let ends = text.chars().count();
    shown.extend(spans.iter().any(|span| span.1 == ends).then_some(']'));
    let (id, field) = (hit["id"].as_str().unwrap_or_default(), hit["snippet"]["field"].as_str().unwrap_or_default());
    format!("{id}  {:.3}\n  {field}: {shown}", hit["score"].as_f64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn what_was_found_stands_in_brackets() {
        let hit = json!({ "id": "1", "score": 0.25, "snippet": { "field": "body", "text": "退款 ok", "matches": [[0, 2], [3, 5]] } });
        assert_eq!(super::told(&hit), "1  0.250\n  body: [退款] [ok]");
    }
}
