//! `rapport event`: sends an event, follows the log, explains what is in it.

use std::io::{BufRead, BufReader};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::record::assignments;
use super::{Common, Failure, Outcome, explain};
use crate::client::{Address, Call, Client};
use crate::output::{self, plain};

/// The longest line of the stream, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// How long a broken stream rests before it is taken up again.
const REST: std::time::Duration = std::time::Duration::from_secs(1);

/// What can be done with events.
#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// Sends an event.
    Send(SendArgs),
    /// Follows the log; goes on by itself after a lost connection.
    Tail(TailArgs),
    /// Says why an event is in the log, and what it started.
    Explain {
        /// Its position in the log.
        position: u64,
    },
}

/// What `event send` takes.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Its type, such as `order.paid`.
    kind: String,
    /// The record it is about: `customer/customer_no:17850`.
    #[arg(long)]
    subject: Option<String>,
    /// Its id; with the source its identity. A random one if not given.
    #[arg(long)]
    id: Option<String>,
    /// Who reports it.
    #[arg(long, default_value = "rapport-cli")]
    source: String,
    /// When it was true, such as `2026-03-01T02:00:00Z`; now if not given.
    #[arg(long)]
    time: Option<String>,
    /// Its fields: `amount=12.50`, `count:=3` (JSON).
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
}

/// What `event tail` takes.
#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Begin after this position; 0 is the beginning. From now on if not given.
    #[arg(long)]
    after: Option<u64>,
    /// Only events of this type; `order.*` for all that begin so.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only events about this record.
    #[arg(long)]
    subject: Option<String>,
    /// Stop after that many events.
    #[arg(long)]
    count: Option<u64>,
}

pub(super) fn run(common: &Common, command: EventCommand) -> Outcome {
    match command {
        EventCommand::Send(args) => send(common, &args),
        EventCommand::Tail(args) => tail(common, &args),
        EventCommand::Explain { position } => {
            let path = Address::of(&["v1", "events", &position.to_string(), "explain"]).text();
            common.output().show(&common.client()?.get(&path)?, explain::event);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn send(common: &Common, args: &SendArgs) -> Outcome {
    let id = match &args.id {
        Some(id) => id.clone(),
        None => random_id()?,
    };
    let data = Json::Object(assignments(&args.fields)?);
    let mut event = json!({"specversion": "1.0", "id": id, "source": args.source, "type": args.kind, "data": data});
    if let Some(subject) = &args.subject {
        event["subject"] = subject.as_str().into();
    }
    if let Some(time) = &args.time {
        event["time"] = time.as_str().into();
    }
    let body = event.to_string();
    let media = "application/cloudevents+json";
    let call = Call { path: "/v1/events".to_owned(), body: Some(body.as_bytes()), media, ..Call::default() };
    let answer = common.client()?.json(&Method::POST, &call)?;
    common.output().show(&answer, |answer| {
        if answer["duplicates"] == 1 { format!("duplicate: {id} was taken before") } else { format!("accepted: {id}") }
    });
    Ok(ExitCode::SUCCESS)
}

fn random_id() -> Result<String, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| Failure::Failed(format!("no randomness: {e}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

fn tail(common: &Common, args: &TailArgs) -> Outcome {
    let client = common.client()?;
    let mut place = args.after.map(|n| n.to_string());
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut began = false;
    while left > 0 {
        let path = Address::of(&["v1", "events", "stream"])
            .query("type", args.kind.as_deref())
            .query("subject", args.subject.as_deref())
            .query("after", place.as_deref())
            .text();
        match follow(&client, path, common.output().is_json(), &mut left) {
            Ok(seen) => place = seen.or(place),
            // A server that refuses, or was never there, will not get better by asking again.
            Err(failure) if !began || matches!(failure, Failure::Refused(..)) => return Err(failure),
            Err(_) => {}
        }
        began = true;
        if left > 0 {
            std::thread::sleep(REST);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows events until the stream ends; gives the last position seen.
fn follow(client: &Client, path: String, json: bool, left: &mut u64) -> Result<Option<String>, Failure> {
    let mut lines = BufReader::new(client.stream(&Call { path, ..Call::default() })?);
    let mut place = None;
    let mut line = String::new();
    while *left > 0 {
        line.clear();
        // A stream that breaks off is taken up again after the last position.
        if std::io::Read::take(&mut lines, LINE_BYTES_MAX).read_line(&mut line).unwrap_or(0) == 0 {
            break;
        }
        if let Some(after) = line.strip_prefix(": after ") {
            place = Some(after.trim().to_owned());
        } else if let Some(id) = line.strip_prefix("id: ") {
            place = Some(id.trim().to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data = data.trim_end();
            output::line(&if json { data.to_owned() } else { sentence(data) });
            *left -= 1;
        }
    }
    Ok(place)
}

/// An event as one line for people.
fn sentence(data: &str) -> String {
    let Ok(event) = serde_json::from_str::<Json>(data) else { return plain(data) };
    let text = |name: &str| match event.get(name) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let parts = [text("position"), text("time"), text("type"), text("subject"), text("data")];
    plain(&parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_steers_nothing() {
        let data = r#"{"position":7,"time":"2026-03-01T02:00:00Z","type":"order.paid","data":{"note":"\u001b[2J"}}"#;
        let line = sentence(data);
        assert!(line.starts_with("7  2026-03-01T02:00:00Z  order.paid  {"), "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\n'));
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }
}
