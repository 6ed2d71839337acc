//! `rapport rollup`: lists roll-ups, holds them against their children, makes them anew.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::{Common, Outcome};

/// What can be done with roll-ups.
#[derive(Debug, Subcommand)]
pub(super) enum RollupCommand {
    /// Lists roll-up fields and what they follow from.
    List,
    /// Holds roll-ups against their children; ends with 1 if one is off.
    Check {
        /// `customer` for those of an object, `customer.order_count` for one; all if not given.
        which: Option<String>,
    },
    /// Makes roll-ups what their children say.
    Rebuild {
        /// `customer` for those of an object, `customer.order_count` for one; all if not given.
        which: Option<String>,
    },
}

fn meant(which: Option<&String>) -> Json {
    match which.map(|which| which.split_once('.').unwrap_or((which, ""))) {
        None => json!({}),
        Some((object, "")) => json!({ "object": object }),
        Some((object, field)) => json!({ "object": object, "field": field }),
    }
}

pub(super) fn run(common: &Common, command: &RollupCommand) -> Outcome {
    let client = common.client()?;
    match command {
        RollupCommand::List => {
            let found = client.get("/v1/rollups")?;
            common.output().show(&found, |_| lines(&found, described));
            Ok(ExitCode::SUCCESS)
        }
        RollupCommand::Check { which } => {
            let found = client.post("/v1/rollups/check", &meant(which.as_ref()))?;
            common.output().show(&found, |_| lines(&found, judged));
            let right = items(&found).iter().all(|item| item["right"] == true);
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        RollupCommand::Rebuild { which } => {
            let done = client.post("/v1/rollups/rebuild", &meant(which.as_ref()))?;
            let told = |item: &Json| format!("{}: {} records changed", name(item), item["changed"]);
            common.output().show(&done, |_| lines(&done, told));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn items(list: &Json) -> Vec<Json> {
    list["items"].as_array().cloned().unwrap_or_default()
}

fn lines(list: &Json, line: impl Fn(&Json) -> String) -> String {
    let all = items(list);
    if all.is_empty() {
        "there are no roll-ups".to_owned()
    } else {
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn name(item: &Json) -> String {
    format!("{}.{}", item["on"].as_str().unwrap_or_default(), item["field"].as_str().unwrap_or_default())
}

/// `customer.order_count: count of order by customer`.
fn described(item: &Json) -> String {
    let rollup = &item["rollup"];
    let text = |key: &str| rollup[key].as_str();
    let mut line = format!("{}: {}", name(item), text("function").unwrap_or_default());
    for (before, key) in
        [(" of ", "field"), (" over ", "object"), (" by ", "via"), (" ordered by ", "by"), (" where ", "where")]
    {
        if let Some(value) = text(key) {
            line.push_str(before);
            line.push_str(value);
        }
    }
    line
}

fn judged(item: &Json) -> String {
    if item["right"] == true {
        return format!("{}: right", name(item));
    }
    let faults = item["faults"].as_array().cloned().unwrap_or_default();
    let more = if item["more"] == true { " or more" } else { "" };
    let mut text = format!("{}: {}{more} records are off", name(item), faults.len());
    for fault in &faults {
        let id = fault["id"].as_str().unwrap_or_default();
        let (kept, right) = (&fault["kept"], &fault["right"]);
        write!(text, "\n  {id}: has {kept}, should have {right}").expect("a text takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_or_one_of_its_fields_is_meant() {
        assert_eq!(meant(None), json!({}));
        assert_eq!(meant(Some(&"customer".to_owned())), json!({ "object": "customer" }));
        assert_eq!(meant(Some(&"customer.n".to_owned())), json!({ "object": "customer", "field": "n" }));
    }

    #[test]
    fn a_roll_up_is_described_on_one_line() {
        let rollup = json!({ "function": "sum", "object": "order", "via": "customer", "field": "amount", "where": "amount > 1" });
        let item = json!({ "on": "customer", "field": "big", "rollup": rollup });
        assert_eq!(described(&item), "customer.big: sum of amount over order by customer where amount > 1");
    }
}
