//! Explanations and histories as people read them: trees of indented lines.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::output::{cell, plain};

/// Lines that grow, each indented by two spaces per level.
#[derive(Default)]
struct Tree(String);

impl Tree {
    fn line(&mut self, level: usize, text: &str) {
        self.0.push_str(&"  ".repeat(level));
        self.0.push_str(&plain(text).replace('\n', " "));
        self.0.push('\n');
    }

    fn more(&mut self, level: usize, count: &Json, what: &str) {
        if let Some(count) = count.as_u64().filter(|n| *n > 0) {
            self.line(level, &format!("and {count} more {what}"));
        }
    }
}

/// The explanation of a run.
pub(super) fn run(json: &Json) -> String {
    let mut tree = Tree::default();
    tree.line(0, &run_title(&json["run"]));
    if let Some(error) = json["run"]["error"]["message"].as_str() {
        tree.line(1, error);
    }
    because(&mut tree, 0, &json["because"]);
    let changed = items(&json["changed"]);
    tree.line(0, if changed.is_empty() { "changed nothing" } else { "changed" });
    for event in changed {
        event_lines(&mut tree, 1, event, Author::Known);
    }
    tree.more(1, &json["changed_more"], "events");
    let sent = items(&json["sent"]);
    if !sent.is_empty() {
        tree.line(0, "sent");
        for effect in sent {
            effect_lines(&mut tree, effect);
        }
    }
    if let Some(calls) = json["journal"].as_array().filter(|calls| !calls.is_empty()) {
        tree.line(0, "called, as its journal has it");
        for call in calls {
            let what = format!("{} {} {}", call["n"], cell(&call["call"]), cell(&call["about"]));
            tree.line(1, &format!("{what} → {}", cell(&call["answer"])));
        }
    }
    tree.0
}

/// What was sent, where to, how often, and what came of it.
fn effect_lines(tree: &mut Tree, effect: &Json) {
    let request = &effect["request"];
    let what = match request["method"].as_str() {
        Some(method) => format!("{method} {}", cell(&request["url"])),
        None => {
            format!("{} to {}: {}", cell(&effect["channel"]), cell(&request["to"]), cell(&request["template"]))
        }
    };
    let through = if effect["destination"] == "capture" { ", captured" } else { "" };
    let tried = effect["attempts"].as_u64().filter(|n| *n > 1).map(|n| format!(", {n} attempts")).unwrap_or_default();
    let status = effect["reply"]["status"].as_u64().map(|status| format!(", answered {status}")).unwrap_or_default();
    tree.line(1, &format!("{what}  ({}{through}{tried}{status})", cell(&effect["status"])));
    if let Some(error) = effect["error"].as_str() {
        tree.line(2, error);
    }
}

/// The explanation of an event.
pub(super) fn event(json: &Json) -> String {
    let mut tree = Tree::default();
    event_lines(&mut tree, 0, &json["event"], Author::Shown);
    because(&mut tree, 0, &json["because"]);
    let started = items(&json["started"]);
    tree.line(0, if started.is_empty() { "started nothing" } else { "started" });
    started_lines(&mut tree, 1, json);
    tree.0
}

/// The history of a record.
pub(super) fn history(page: &Json) -> String {
    let mut tree = Tree::default();
    for event in items(&page["items"]) {
        let why = &event["why"];
        let title = format!("{}  {}  {}", cell(&event["time"]), cell(&event["position"]), cell(&event["type"]));
        tree.line(0, &title);
        if items(&why["changes"]).is_empty() && !event["data"].is_null() {
            tree.line(1, &cell(&event["data"]));
        }
        change_lines(&mut tree, 1, why);
        tree.line(1, &format!("by {}", author(&why["by"])));
        because(&mut tree, 1, &why["because"]);
    }
    if let Some(next) = page["next"].as_str() {
        tree.line(0, &format!("more: --after {next}"));
    }
    tree.0
}

/// Whether it is said who appended an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    /// Yes.
    Shown,
    /// No: the lines above say so.
    Known,
}

fn items(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn because(tree: &mut Tree, level: usize, chain: &Json) {
    for (depth, event) in items(chain).iter().enumerate() {
        tree.line(level + depth, "because of");
        event_lines(tree, level + depth + 1, event, Author::Shown);
    }
}

fn event_lines(tree: &mut Tree, level: usize, event: &Json, who: Author) {
    if event["hidden"] == true {
        return tree.line(level, &format!("{}  (you may not see this event)", event["position"]));
    }
    let about = event["label"].as_str().or_else(|| event["subject"].as_str()).unwrap_or_default();
    tree.line(level, format!("{}  {}  {about}", event["position"], cell(&event["type"])).trim_end());
    change_lines(tree, level + 1, event);
    if let Some(data) = event["data"].as_object().filter(|d| !d.is_empty()) {
        let shown: Vec<String> = data.iter().map(|(name, value)| format!("{name} {}", cell(value))).collect();
        tree.line(level + 1, &shown.join(", "));
    }
    let lines = line_numbers(&event["by"]);
    if who == Author::Shown {
        tree.line(level + 1, &format!("by {}", author(&event["by"])));
    } else if !lines.is_empty() {
        tree.line(level + 1, &format!("in{lines}"));
    }
    started_lines(tree, level + 1, event);
}

fn started_lines(tree: &mut Tree, level: usize, event: &Json) {
    for run in items(&event["started"]) {
        tree.line(level, &format!("→ {}", run_title(&run["run"])));
        for changed in items(&run["changed"]) {
            event_lines(tree, level + 1, changed, Author::Known);
        }
        tree.more(level + 1, &run["changed_more"], "events");
    }
    tree.more(level, &event["started_more"], "runs");
}

/// The most fields of one event that are shown to people.
const FIELDS_MAX: usize = 12;

fn change_lines(tree: &mut Tree, level: usize, event: &Json) {
    let changes = items(&event["changes"]);
    let is_new = event["type"].as_str().is_some_and(|kind| kind.ends_with(".created"));
    for change in changes.iter().take(FIELDS_MAX) {
        if is_new {
            tree.line(level, &format!("{}  {}", cell(&change["field"]), value(&change["after"])));
            continue;
        }
        let (before, after) = (value(&change["before"]), value(&change["after"]));
        let by = match &change["by"] {
            Json::Null => String::new(),
            by if cell(by).starts_with('-') => format!("  ({})", cell(by)),
            by => format!("  (+{})", cell(by)),
        };
        tree.line(level, &format!("{}  {before} → {after}{by}", cell(&change["field"])));
    }
    tree.more(level, &changes.len().saturating_sub(FIELDS_MAX).into(), "fields");
}

fn value(json: &Json) -> String {
    if json.is_null() { "none".to_owned() } else { cell(json) }
}

/// Who or what made a change.
pub(super) fn author(by: &Json) -> String {
    let named = |kind: &str| format!("{kind} {}", by["name"].as_str().unwrap_or_else(|| id(by)));
    match by["kind"].as_str() {
        Some(kind @ ("key" | "user")) => named(kind),
        Some("automation") => {
            let mut text = versioned(by);
            if let Some(path) = by["path"].as_str() {
                let _ = write!(text, ", {path}{}", line_numbers(by));
            }
            if let Some(run) = by["run"].as_str() {
                let _ = write!(text, ", run {run}");
            }
            text
        }
        _ => "the host itself".to_owned(),
    }
}

fn id(by: &Json) -> &str {
    by["id"].as_str().unwrap_or("?")
}

fn line_numbers(by: &Json) -> String {
    let lines: Vec<String> = items(&by["lines"]).iter().map(cell).collect();
    match lines.as_slice() {
        [] => String::new(),
        [one] => format!(" line {one}"),
        several => format!(" one of the lines {}", several.join(", ")),
    }
}

/// `loyalty/points 0fd54b5be68b`.
fn versioned(json: &Json) -> String {
    let digest: String = json["digest"].as_str().unwrap_or_default().chars().take(12).collect();
    format!("{} {digest}", cell(&json["automation"])).trim_end().to_owned()
}

fn run_title(run: &Json) -> String {
    format!("run {} of {}: {}", cell(&run["id"]), versioned(run), cell(&run["status"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn points() -> Json {
        json!({"position": 17, "type": "customer.updated", "label": "customer/customer_no:a",
            "changes": [{"field": "points", "before": 0, "after": 300, "by": 300}],
            "by": {"kind": "automation", "automation": "loyalty/points", "digest": "0fd54b5be68b77", "run": "r1",
                "path": "points.rhai", "lines": [15]},
            "started": [{"run": {"id": "r2", "automation": "tiers", "digest": "a07a7bf7016277", "status": "completed"},
                "changed": [], "changed_more": 3}]})
    }

    #[test]
    fn a_run_is_told_from_its_cause_to_its_effects() {
        let order = json!({"position": 16, "type": "order.created", "subject": "order/1", "changes": [],
            "by": {"kind": "key", "id": "k", "name": "till"}});
        let json = json!({"run": {"id": "r1", "automation": "loyalty/points", "digest": "0fd54b5be68b77",
            "status": "completed"}, "because": [order], "changed": [points()], "changed_more": 0});
        insta::assert_snapshot!(run(&json), @r"
        run r1 of loyalty/points 0fd54b5be68b: completed
        because of
          16  order.created  order/1
            by key till
        changed
          17  customer.updated  customer/customer_no:a
            points  0 → 300  (+300)
            in line 15
            → run r2 of tiers a07a7bf70162: completed
              and 3 more events
        ");
    }

    #[test]
    fn a_history_names_author_and_cause_of_each_change() {
        let mut event = points();
        event["why"] =
            json!({"by": event["by"], "changes": event["changes"], "because": [{"position": 3, "hidden": true}]});
        event["time"] = "2026-03-01T00:00:00Z".into();
        insta::assert_snapshot!(history(&json!({"items": [event], "next": "17"})), @r"
        2026-03-01T00:00:00Z  17  customer.updated
          points  0 → 300  (+300)
          by loyalty/points 0fd54b5be68b, points.rhai line 15, run r1
          because of
            3  (you may not see this event)
        more: --after 17
        ");
    }
}
