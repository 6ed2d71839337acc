//! `rapport script push`, `activate`, `rollback`, `diff`, `versions`: what is live, what was, what may be.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};

use super::test::script_id;
use super::{Common, Failure, Outcome};
use crate::client::{Address, Client};
use crate::output::{cell, plain, table};

/// Runs asked about at one time.
const PAGE_RUNS: u32 = 200;

/// What `script push` takes.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// The script.
    file: PathBuf,
    /// The automation; by default the one that is called as the file is, below `scripts/`.
    #[arg(long)]
    id: Option<String>,
}

/// What `script activate` takes.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(super) struct ActivateArgs {
    /// The automation.
    id: String,
    /// The version, by default the newest draft: `active`, `draft`, `before`, or the first digits of its digest.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Change nothing: replay the journals of all live runs on the version, and list those that would differ.
    #[arg(long)]
    dry_run: bool,
    /// Tell who comes into the segments that it fills, and who leaves them: automations react. Else they are filled silently.
    #[arg(long)]
    announce: bool,
}

/// What `script diff` takes.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The automation.
    id: String,
    /// The older version; by default the live one, or the one before it.
    #[arg(long, value_name = "VERSION")]
    from: Option<String>,
    /// The newer version; by default the newest draft, or the live one.
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
}

/// What `script versions` takes.
#[derive(Debug, Args)]
pub(super) struct VersionsArgs {
    /// The automation.
    id: String,
    /// The most versions listed, newest first.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

pub(super) fn push(common: &Common, args: &PushArgs) -> Outcome {
    let source = std::fs::read_to_string(&args.file)
        .map_err(|e| Failure::Failed(format!("cannot read {}: {e}", args.file.display())))?;
    let id = args.id.clone().unwrap_or_else(|| script_id(&args.file));
    let body = json!({ "path": args.file.display().to_string(), "source": source });
    let pushed = common.client()?.post(&Address::of(&["v1", "automations", &id, "versions"]).text(), &body)?;
    common.output().show(&pushed, pushed_text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn activate(common: &Common, args: &ActivateArgs) -> Outcome {
    let client = common.client()?;
    if args.dry_run {
        return rehearse(common, &client, args);
    }
    let mut body = args.version.as_ref().map_or_else(|| json!({}), |version| json!({ "version": version }));
    if args.announce {
        body["announce"] = true.into();
    }
    let live = client.post(&Address::of(&["v1", "automations", &args.id, "activate"]).text(), &body)?;
    common.output().show(&live, live_text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn roll_back(common: &Common, id: &str) -> Outcome {
    let path = Address::of(&["v1", "automations", id, "rollback"]).text();
    common.output().show(&common.client()?.post(&path, &json!({}))?, live_text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn diff(common: &Common, args: &DiffArgs) -> Outcome {
    let path = Address::of(&["v1", "automations", &args.id, "diff"])
        .query("from", args.from.as_deref())
        .query("to", args.to.as_deref());
    common.output().show(&common.client()?.get(&path.text())?, diff_text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn versions(common: &Common, args: &VersionsArgs) -> Outcome {
    let path = Address::of(&["v1", "automations", &args.id, "versions"]).query("limit", Some(&args.limit.to_string()));
    common.output().show(&common.client()?.get(&path.text())?, versions_text);
    Ok(ExitCode::SUCCESS)
}

/// Asks page by page which live runs would differ. Ends with 1 if some would.
fn rehearse(common: &Common, client: &Client, args: &ActivateArgs) -> Outcome {
    let path = Address::of(&["v1", "automations", &args.id, "rehearse"]).text();
    // A name such as `draft` may mean another version when the next page is asked for: its digest does not.
    let mut version = args.version.clone().unwrap_or_else(|| "draft".to_owned());
    let (mut runs, mut differ, mut segments, mut after) = (0, Vec::new(), Vec::new(), Json::Null);
    let mut screen = std::io::stderr();
    let shows = screen.is_terminal();
    loop {
        let mut body = json!({ "version": version, "limit": PAGE_RUNS });
        if !after.is_null() {
            body["after"] = after;
        }
        let page = client.post(&path, &body)?;
        runs += page["runs"].as_u64().unwrap_or(0);
        differ.extend(page["differ"].as_array().cloned().unwrap_or_default());
        segments.extend(page["segments"].as_array().cloned().unwrap_or_default());
        version = cell_whole(&page["digest"]);
        after = page["next"].clone();
        if shows {
            let _ = write!(screen, "\r{runs} of {} runs", cell(&page["held"]));
        }
        if after.is_null() {
            break;
        }
    }
    if shows {
        let _ = write!(screen, "\r\x1b[2K");
    }
    let found = json!({ "id": args.id, "digest": version, "runs": runs, "differ": differ, "segments": segments });
    common.output().show(&found, rehearsal_text);
    Ok(ExitCode::from(u8::from(!differ.is_empty())))
}

fn cell_whole(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn items(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn short(digest: &Json) -> String {
    cell(digest).chars().take(12).collect()
}

/// The name of who did something.
fn who(actor: &Json) -> String {
    let name = actor["name"].as_str().or_else(|| actor["automation"].as_str()).map(|name| format!(" {name}"));
    format!("{}{}", cell(&actor["kind"]), name.unwrap_or_default())
}

fn with_notices(mut text: String, answer: &Json) -> String {
    for notice in items(&answer["notices"]) {
        let _ = write!(text, "\nnotice: {}", cell_whole(notice));
    }
    plain(&text)
}

fn pushed_text(pushed: &Json) -> String {
    let (id, digest, state) = (cell(&pushed["id"]), short(&pushed["digest"]), cell(&pushed["state"]));
    let text = match (state.as_str(), pushed["changed"] == true) {
        ("active", _) => format!("{id} {digest} is live already"),
        (_, true) => format!("draft: {id} ({digest})\nto make it live: rapport script activate {id}"),
        (_, false) => format!("{id} {digest} is the newest draft already"),
    };
    with_notices(text, pushed)
}

fn live_text(live: &Json) -> String {
    let again = if live["changed"] == true { "" } else { ", as before" };
    with_notices(format!("live: {} ({}){again}", cell(&live["id"]), short(&live["digest"])), live)
}

fn versions_text(all: &Json) -> String {
    let head = ["digest", "state", "pushed", "by", "live from", "until", "by", "runs", "settings"];
    let rows = items(&all["items"]).iter().map(|version| {
        let last = items(&version["live"]).last();
        let period = |name: &str| last.map(|period| cell(&period[name])).unwrap_or_default();
        let by = last.map(|p| format!("{}{}", who(&p["by"]), if p["rollback"] == true { " (rollback)" } else { "" }));
        let plain_map =
            |json: &Json| if json.as_object().is_some_and(|m| !m.is_empty()) { cell(json) } else { String::new() };
        vec![
            short(&version["digest"]),
            cell(&version["state"]),
            cell(&version["pushed_at"]),
            who(&version["pushed_by"]),
            period("from"),
            period("until"),
            by.unwrap_or_default(),
            plain_map(&version["runs"]),
            plain_map(&version["settings"]),
        ]
    });
    let mut text = table(&head, rows);
    if all["more"].as_u64().is_some_and(|more| more > 0) {
        let _ = write!(text, "\nand {} older ones: --limit", cell(&all["more"]));
    }
    text
}

fn rehearsal_text(found: &Json) -> String {
    let differ = items(&found["differ"]);
    let mut lines = vec![format!(
        "{} on {}: {} live runs replayed, {} would differ",
        cell(&found["id"]),
        short(&found["digest"]),
        cell(&found["runs"]),
        differ.len()
    )];
    for run in differ {
        let call = run["call"].as_u64().map(|call| format!(", call {call}")).unwrap_or_default();
        let places: Vec<String> = items(&run["lines"]).iter().map(cell).collect();
        let place = if places.is_empty() { String::new() } else { format!("line {}: ", places.join(" or ")) };
        let (id, status) = (cell(&run["run"]), cell(&run["status"]));
        lines.push(format!(
            "  {id} ({status} on {}{call})\n    {place}{}",
            short(&run["digest"]),
            cell_whole(&run["why"])
        ));
    }
    for segment in items(&found["segments"]) {
        let would_be = segment["would_be"].as_u64().map(|n| format!(", {n} by this rule")).unwrap_or_default();
        lines.push(format!("  segment {}: {} in it{would_be}", cell(&segment["segment"]), cell(&segment["size"])));
    }
    plain(&lines.join("\n"))
}

fn diff_text(diff: &Json) -> String {
    let side = |side: &Json| format!("{} ({})", short(&side["digest"]), cell(&side["state"]));
    let mut lines = vec![format!("{}: {} → {}", cell(&diff["id"]), side(&diff["from"]), side(&diff["to"]))];
    for (part, change) in diff["declaration"].as_object().into_iter().flatten() {
        let shown = part.replace('_', " ");
        lines.extend(items(&change["removed"]).iter().map(|item| format!("  {shown} - {}", item_text(item))));
        lines.extend(items(&change["added"]).iter().map(|item| format!("  {shown} + {}", item_text(item))));
        if part == "title" {
            lines.push(format!("  title {} → {}", cell_whole(&change["from"]), cell_whole(&change["to"])));
        }
    }
    for setting in items(&diff["settings"]) {
        let side = |side: &Json| match side["value"] == side["default"] {
            _ if side.is_null() => "none".to_owned(),
            true => format!("{} (default)", cell(&side["value"])),
            false => cell(&side["value"]),
        };
        lines.push(format!(
            "  setting {}: {} → {}",
            cell(&setting["name"]),
            side(&setting["from"]),
            side(&setting["to"])
        ));
    }
    let sizes = &diff["component_bytes"];
    if let (Some(from), Some(to)) = (sizes[0].as_u64(), sizes[1].as_u64()) {
        lines.push(format!("  component: {from} → {to} bytes"));
    }
    let source = cell_whole(&diff["source"]);
    lines.push(if source.is_empty() { "  the text is the same".to_owned() } else { source });
    plain(&lines.join("\n"))
}

/// A trigger, right, schedule or definition on one line.
fn item_text(item: &Json) -> String {
    let Some(event) = item["event"].as_str() else { return cell(item) };
    let changed: Vec<&str> = items(&item["changed"]).iter().filter_map(Json::as_str).collect();
    let fields = if changed.is_empty() { String::new() } else { format!(" ({})", changed.join(", ")) };
    let condition = item["condition"].as_str().map(|rule| format!(" if {rule}")).unwrap_or_default();
    format!("on {event}{fields}{condition}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_tells_declaration_settings_and_text() {
        let setting =
            json!({"name": "over", "from": {"default": 100, "value": 100}, "to": {"default": 100, "value": 200}});
        let diff = json!({
            "id": "points", "from": {"digest": "aaaaaaaaaaaaaaaa", "state": "active"},
            "to": {"digest": "bbbbbbbbbbbbbbbb", "state": "draft"}, "source": "", "component_bytes": [null, null],
            "declaration": {"uses": {"added": ["order:read"], "removed": []},
                "triggers": {"added": [{"event": "order.paid", "changed": [], "condition": "amount > 5"}],
                    "removed": [{"event": "customer.updated", "changed": ["points"]}]}},
            "settings": [setting],
        });
        insta::assert_snapshot!(diff_text(&diff), @r"
        points: aaaaaaaaaaaa (active) → bbbbbbbbbbbb (draft)
          triggers - on customer.updated (points)
          triggers + on order.paid if amount > 5
          uses + order:read
          setting over: 100 (default) → 200
          the text is the same
        ");
    }

    #[test]
    fn a_rehearsal_lists_what_would_differ_with_the_place() {
        let run = json!({"run": "r1", "status": "waiting", "digest": "cccccccccccccccc", "call": 3, "lines": [7], "why": "other"});
        let found = json!({"id": "a", "digest": "dddddddddddddddd", "runs": 2, "differ": [run]});
        insta::assert_snapshot!(rehearsal_text(&found), @r"
        a on dddddddddddd: 2 live runs replayed, 1 would differ
          r1 (waiting on cccccccccccc, call 3)
            line 7: other
        ");
    }
}
