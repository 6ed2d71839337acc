//! `rapport customer duplicates` and `rapport customer distinct`: who may be there twice, and who is not.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};

use super::super::{Common, Failure, Outcome};
use super::items;
use crate::client::{Address, Client};
use crate::output::{cell, table};

/// The most pairs that are asked for at once.
const PAGE: u32 = 200;

/// What `customer duplicates` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct DuplicatesArgs {
    /// Only the customers that may be the same as this one, the surest first: its id, or `field:value` of a unique field.
    key: Option<String>,
    /// The least score, above 0 and up to 1.
    #[arg(long)]
    at_least: Option<f64>,
    /// How many pairs.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Where the pairs before ended.
    #[arg(long, conflicts_with = "key")]
    cursor: Option<String>,
}

/// What `customer distinct` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct DistinctArgs {
    /// A customer: its id, or `field:value` of a unique field.
    one: String,
    /// Another.
    other: String,
}

pub(super) fn list(common: &Common, args: &DuplicatesArgs) -> Outcome {
    let client = common.client()?;
    let found = match &args.key {
        Some(key) => client.get(&address(&["v1", "customers", key, "duplicates"], args, (args.limit, None)))?,
        None => all(&client, args)?,
    };
    common.output().show(&found, told);
    Ok(ExitCode::SUCCESS)
}

/// Says that two customers are not one: by a relation of the kind `distinct` from one to the other.
pub(super) fn tell_apart(common: &Common, args: &DistinctArgs) -> Outcome {
    if args.one == args.other {
        return Err(Failure::Usage("name two customers: one cannot be told apart from itself".into()));
    }
    let relation = json!({ "kind": "distinct", "from_customer": args.one, "to_customer": args.other });
    let made = common.client()?.post(&Address::of(&["v1", "records", "relation"]).text(), &relation)?;
    common.output().show(&made, |made| format!("relation/{}", cell(&made["id"])));
    Ok(ExitCode::SUCCESS)
}

fn address(parts: &[&str], args: &DuplicatesArgs, (limit, cursor): (u32, Option<&str>)) -> String {
    Address::of(parts)
        .query("at_least", args.at_least.map(|score| score.to_string()).as_deref())
        .query("limit", Some(&limit.to_string()))
        .query("cursor", cursor)
        .text()
}

/// Pages until there are as many pairs as are wanted: a page may have fewer than it was asked for.
fn all(client: &Client, args: &DuplicatesArgs) -> Result<Json, Failure> {
    let (mut pairs, mut crowded, mut filling) = (Vec::new(), Vec::new(), false);
    let mut cursor = args.cursor.clone();
    loop {
        let missing = args.limit - u32::try_from(pairs.len()).unwrap_or(args.limit);
        let path = address(&["v1", "customers", "duplicates"], args, (missing.min(PAGE), cursor.as_deref()));
        let page = client.get(&path)?;
        pairs.extend_from_slice(items(&page["items"]));
        crowded.extend_from_slice(items(&page["left_out"]));
        filling |= page["filling"] == true;
        cursor = page["next"].as_str().map(ToOwned::to_owned);
        if cursor.is_none() || pairs.len() >= args.limit as usize {
            return Ok(json!({ "items": pairs, "next": cursor, "left_out": crowded, "filling": filling }));
        }
    }
}

/// Two lines for each pair: the one customer, and the other.
fn told(found: &Json) -> String {
    let rows = items(&found["items"]).iter().flat_map(|pair| {
        let customers = items(&pair["customers"]);
        customers.iter().enumerate().map(|(place, customer)| {
            let first = place == 0;
            let of = |field: &str| cell(&customer[field]);
            let no = if customer["customer_no"].is_null() { of("record") } else { of("customer_no") };
            let score = if first { number(&pair["score"], 3) } else { String::new() };
            let why = if first { why(pair) } else { String::new() };
            vec![score, no, of("name"), of("email"), of("phone"), why]
        })
    });
    let mut lines = vec![table(&["score", "customer_no", "name", "email", "phone", "because of"], rows)];
    lines.extend(
        items(&found["left_out"])
            .iter()
            .map(|key| format!("left out: {} {}: {}", cell(&key["kind"]), cell(&key["value"]), cell(&key["why"]))),
    );
    if found["filling"] == true {
        lines.push("customers that were there before are still being looked through: ask again later".to_owned());
    }
    if let Some(next) = found["next"].as_str() {
        lines.push(format!("more: --cursor {next}"));
    }
    crate::output::plain(&lines.join("\n"))
}

fn number(number: &Json, places: usize) -> String {
    number.as_f64().map(|number| format!("{number:.places$}")).unwrap_or_default()
}

fn why(pair: &Json) -> String {
    let reasons = items(&pair["reasons"]).iter().map(|reason| match reason["kind"].as_str() {
        Some("name") => format!("name {} in {}", number(&reason["likeness"], 2), cell(&reason["postcode"])),
        Some("other_birthday") => "but another birthday".to_owned(),
        _ => format!("{} {}", cell(&reason["kind"]), cell(&reason["value"])).trim_end().to_owned(),
    });
    reasons.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_told_in_two_lines() {
        let found = json!({
            "items": [{
                "score": 0.979, "reasons": [
                    {"kind": "phone", "value": "701234567"}, {"kind": "name", "likeness": 0.9681, "postcode": "89073"},
                    {"kind": "birthday"}, {"kind": "other_birthday"},
                ],
                "customers": [
                    {"record": "customer/1", "customer_no": "7", "name": "Anna\u{1b}[2J", "email": null, "phone": "1"},
                    {"record": "customer/2", "customer_no": null, "name": "Ana", "email": null, "phone": "1"},
                ],
            }],
            "left_out": [{"kind": "phone", "value": "311000000", "why": "too many"}], "filling": true, "next": "abc",
        });
        let text = told(&found);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert!(lines[1].starts_with("0.979") && lines[2].starts_with("customer/2"), "{text}");
        assert!(lines[1].ends_with("phone 701234567, name 0.97 in 89073, birthday, but another birthday"), "{text}");
        assert_eq!((lines[3], lines[5]), ("left out: phone 311000000: too many", "more: --cursor abc"));
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
