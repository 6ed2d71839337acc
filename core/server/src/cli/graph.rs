//! Draws which automation can start which: as text, and in the language of Graphviz.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::output::plain;

fn items(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn word(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

fn words(json: &Json) -> String {
    items(json).iter().map(word).collect::<Vec<_>>().join(", ")
}

/// For people: each automation with what starts it, what it can bring about, and what that starts.
pub(super) fn text(graph: &Json) -> String {
    let mut lines = Vec::new();
    for automation in items(&graph["automations"]) {
        let id = word(&automation["id"]);
        lines.push(format!("{id}  {}", word(&automation["title"])).trim_end().to_owned());
        lines.extend(items(&automation["triggers"]).iter().map(|trigger| format!("  on {}", trigger_text(trigger))));
        for schedule in items(&automation["schedules"]) {
            lines.push(format!("  every {} {}", word(&schedule["cron"]), word(&schedule["zone"])));
        }
        lines.extend(items(&automation["makes"]).iter().map(|made| made_line(graph, id, made)));
    }
    let circles = items(&graph["circles"]);
    if circles.is_empty() {
        lines.push("no automation can start itself".to_owned());
    }
    for circle in circles {
        lines.push(format!("circle: {}", word(&circle["chain"])));
    }
    plain(&lines.join("\n"))
}

fn trigger_text(trigger: &Json) -> String {
    let changed = words(&trigger["changed"]);
    let fields = if changed.is_empty() { String::new() } else { format!(" ({changed})") };
    let condition = trigger["condition"].as_str().map(|rule| format!(" if {rule}")).unwrap_or_default();
    format!("{}{fields}{condition}", word(&trigger["event"]))
}

fn made_line(graph: &Json, id: &str, made: &Json) -> String {
    let started: Vec<&str> = items(&graph["edges"])
        .iter()
        .filter(|edge| edge["from"] == id && edge["event"] == made["event"])
        .map(|edge| word(&edge["to"]))
        .collect();
    let fields = words(&made["fields"]);
    let fields = if fields.is_empty() { String::new() } else { format!(" ({fields})") };
    let starts = if started.is_empty() { String::new() } else { format!(" → {}", started.join(", ")) };
    format!("  → {}{fields}{starts}", word(&made["event"]))
}

/// For Graphviz: automations are boxes, an arrow is an event; those of circles are red.
pub(super) fn dot(graph: &Json) -> String {
    let mut text = String::from("digraph automations {\n  rankdir=LR;\n  node [shape=box];\n");
    let in_circles: BTreeSet<(&str, &str)> = items(&graph["circles"]).iter().flat_map(circle_steps).collect();
    for automation in items(&graph["automations"]) {
        let id = word(&automation["id"]);
        let _ = writeln!(text, "  {};", quoted(id));
        let starters = items(&automation["triggers"]).iter().map(trigger_text);
        let schedules = items(&automation["schedules"]).iter().map(|s| format!("every {}", word(&s["cron"])));
        for starter in starters.chain(schedules) {
            let from = quoted(&format!("on {starter}"));
            let _ = writeln!(text, "  {from} [shape=plaintext];\n  {from} -> {} [style=dotted];", quoted(id));
        }
    }
    for edge in items(&graph["edges"]) {
        let (from, to) = (word(&edge["from"]), word(&edge["to"]));
        let color = if in_circles.contains(&(from, to)) { ", color=red" } else { "" };
        let label = quoted(word(&edge["event"]));
        let _ = writeln!(text, "  {} -> {} [label={label}{color}];", quoted(from), quoted(to));
    }
    text.push('}');
    plain(&text)
}

/// The steps of a circle, from automation to automation.
fn circle_steps(circle: &Json) -> Vec<(&str, &str)> {
    let members = items(&circle["automations"]);
    let next = members.iter().cycle().skip(1);
    members.iter().zip(next).map(|(from, to)| (word(from), word(to))).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph() -> Json {
        let on = |event: &str, changed: &[&str], condition: Json| json!({"event": event, "changed": changed, "condition": condition});
        json!({
            "automations": [
                {"id": "a", "title": "Answers.", "triggers": [on("order.created", &[], json!("currency == \"EUR\""))],
                    "schedules": [], "makes": [{"event": "customer.updated", "fields": ["city"]}]},
                {"id": "b", "title": "", "triggers": [on("customer.updated", &["city"], Json::Null)],
                    "schedules": [{"cron": "0 9 * * *", "zone": "UTC"}], "makes": [{"event": "order.created"}]},
            ],
            "edges": [{"from": "a", "event": "customer.updated", "to": "b"}, {"from": "b", "event": "order.created", "to": "a"}],
            "circles": [{"automations": ["a", "b"], "chain": "a → customer.updated → b → order.created → a"}],
        })
    }

    #[test]
    fn people_read_what_starts_and_what_comes_of_it() {
        insta::assert_snapshot!(text(&graph()), @r#"
        a  Answers.
          on order.created if currency == "EUR"
          → customer.updated (city) → b
        b
          on customer.updated (city)
          every 0 9 * * * UTC
          → order.created → a
        circle: a → customer.updated → b → order.created → a
        "#);
        assert_eq!(text(&json!({})), "no automation can start itself");
    }

    #[test]
    fn graphviz_reads_it_whatever_stands_in_conditions() {
        let dot = dot(&graph());
        assert!(dot.contains(r#""on order.created if currency == \"EUR\"" -> "a" [style=dotted];"#), "{dot}");
        assert!(dot.contains(r#""a" -> "b" [label="customer.updated", color=red];"#), "{dot}");
        assert!(dot.ends_with('}'));
    }
}
