//! How packages and plugins look to people.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::output::{members, plain};

/// A package: who made it, what it asks for and why, what it touches.
pub(super) fn package(report: &Json) -> String {
    let text = |name: &str| report[name].as_str().unwrap_or_default();
    let mut lines = vec![format!("{} {}  {}", text("id"), text("version"), text("title"))];
    if !text("description").is_empty() {
        lines.push(format!("  {}", text("description")));
    }
    let package = &report["package"];
    lines.push(match package["key"].as_str() {
        None => format!("from {}, not signed: who made it is not known", text("publisher")),
        Some(key) => {
            let trust = report["trust"].as_str().map(|trust| format!(", {trust}")).unwrap_or_default();
            format!("from {}, signed with {key}{trust}", text("publisher"))
        }
    });
    lines.push(format!("package {}", package["digest"].as_str().unwrap_or_default()));
    if let Some(refused) = report["refused"].as_str() {
        lines.push(format!("would be refused: {refused}"));
    }
    lines.push(String::new());
    lines.push("asks for".to_owned());
    let rights = list(&report["rights"]);
    let width = rights.iter().map(|right| right["right"].as_str().unwrap_or_default().len()).max().unwrap_or_default();
    for right in rights {
        let part = |name: &str| right[name].as_str().unwrap_or_default();
        lines.push(format!("  {:width$}  {}", part("right"), part("reason")));
    }
    let others = list(&report["asked"]).iter().filter_map(Json::as_str);
    let known: Vec<&str> = rights.iter().filter_map(|right| right["right"].as_str()).collect();
    lines.extend(others.filter(|item| !known.contains(item)).map(|item| format!("  {item}")));
    for (name, what) in [
        ("reads", "reads"),
        ("writes", "changes"),
        ("hosts", "calls"),
        ("channels", "sends by"),
        ("secrets", "uses the secrets"),
    ] {
        let all: Vec<&str> = list(&report["touches"][name]).iter().filter_map(Json::as_str).collect();
        if !all.is_empty() {
            lines.push(format!("{what} {}", all.join(", ")));
        }
    }
    let budgets = report["budgets"].as_object().filter(|budgets| !budgets.is_empty());
    lines.extend(budgets.map(|budgets| {
        let each: Vec<String> = budgets.iter().map(|(name, value)| format!("{name} {value}")).collect();
        format!("budgets: {}", each.join(", "))
    }));
    if let Some(more) = report.get("more") {
        let more: Vec<&str> = list(more).iter().filter_map(Json::as_str).collect();
        let installed = report["installed"].as_str().map_or_else(|| "none".to_owned(), str::to_owned);
        let what = if more.is_empty() { "nothing more".to_owned() } else { more.join(", ") };
        lines.push(format!("installed is {installed}; beyond what was decided on it asks for {what}"));
    }
    plain(&lines.join("\n"))
}

/// A plugin, and what can be done next.
pub(super) fn plugin(plugin: &Json) -> String {
    let mut shown = plugin.clone();
    let notices: Vec<String> = list(&plugin["notices"]).iter().filter_map(Json::as_str).map(str::to_owned).collect();
    if let Some(map) = shown.as_object_mut() {
        map.remove("notices");
        map.retain(|_, value| !value.is_null());
        let lines = [
            ("usage", usage(&plugin["usage"])),
            ("circuit", circuit(&plugin["circuit"])),
            ("migration", migration(&plugin["migration"])),
        ];
        for (name, told) in lines {
            if let (Some(value), Some(told)) = (map.get_mut(name), told) {
                *value = told.into();
            }
        }
    }
    let mut text = members(&shown);
    for notice in notices {
        let _ = write!(text, "\nnotice: {}", plain(&notice));
    }
    let moves = matches!(plugin["migration"]["state"].as_str(), Some("running" | "failed" | "taking_back"));
    if plugin["pending"].is_object() && !moves {
        let id = plugin["id"].as_str().unwrap_or_default();
        let version = plugin["pending"]["version"].as_str().unwrap_or_default();
        let runs =
            plugin["version"].as_str().map_or_else(|| "nothing of it runs".to_owned(), |v| format!("{v} runs on"));
        let _ = write!(text, "\n{version} waits for a grant; until then {runs}: rapport plugin grant {id} --all");
    }
    text
}

/// What a plugin has used, in one line.
fn usage(usage: &Json) -> Option<String> {
    let of = |name: &str| usage[name].as_u64();
    let (fuel, bytes, traps, refusals) = (of("fuel")?, of("memory_peak_bytes")?, of("traps")?, of("refusals")?);
    let millis = |name: &str| Some(of(name)? / 1_000);
    Some(format!(
        "since the start {} calls, {fuel} fuel, {} KiB of memory at most, {} ms of which {} ms in the host, {traps} traps, {refusals} \
         refusals",
        of("calls")?,
        bytes / 1_024,
        millis("wall_micros")?,
        millis("host_micros")?,
    ))
}

/// How far a migration is, in one line.
fn migration(migration: &Json) -> Option<String> {
    let text = |name: &str| migration[name].as_str().unwrap_or_default();
    let (from, to, slices) = (text("from"), text("to"), migration["slices"].as_u64()?);
    let place = if text("cursor").is_empty() { String::new() } else { format!(", cursor `{}`", text("cursor")) };
    Some(match text("state") {
        "running" => format!("{from} → {to} is under way since {}: {slices} slices done{place}", text("since")),
        "taking_back" => format!("{from} → {to} is taken back: {slices} slices were done"),
        "failed" => format!("{from} → {to} failed at {}", text("error")),
        _ => format!("{from} → {to} done at {} in {slices} slices", text("ended_at")),
    })
}

/// Whether a plugin is left alone, in one line.
fn circuit(circuit: &Json) -> Option<String> {
    let traps = circuit["traps_in_a_row"].as_u64()?;
    Some(match circuit["state"].as_str()? {
        "open" => {
            format!("open after {traps} traps in a row, until {}", circuit["open_until"].as_str().unwrap_or_default())
        }
        "half-open" => format!("half-open after {traps} traps in a row: the next run tells"),
        state => state.to_owned(),
    })
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_package_shows_what_it_asks_for_and_why() {
        let report = json!({
            "id": "tiers", "version": "0.1.0", "title": "Tiers", "description": "", "publisher": "Rapport",
            "package": {"digest": "ab12", "key": null}, "asked": ["customer.tier:write", "trigger:customer.updated"],
            "rights": [{"right": "customer.tier:write", "reason": "writes the tier"}],
            "touches": {"reads": [], "writes": ["customer.tier"], "hosts": ["api.example.com"]},
            "budgets": {"fuel": 1000},
        });
        insta::assert_snapshot!(package(&report), @r"
        tiers 0.1.0  Tiers
        from Rapport, not signed: who made it is not known
        package ab12

        asks for
          customer.tier:write  writes the tier
          trigger:customer.updated
        changes customer.tier
        calls api.example.com
        budgets: fuel 1000
        ");
    }

    #[test]
    fn what_a_plugin_used_is_one_line() {
        let shown = plugin(&json!({
            "id": "tiers", "state": "enabled",
            "usage": {"calls": 3, "fuel": 4000, "memory_peak_bytes": 1_179_648, "host_micros": 2100, "wall_micros": 9900,
                      "traps": 5, "refusals": 0},
            "circuit": {"state": "open", "traps_in_a_row": 5, "open_until": "2026-03-01T12:00:30Z"},
        }));
        insta::assert_snapshot!(shown, @r"
        circuit  open after 5 traps in a row, until 2026-03-01T12:00:30Z
        id       tiers
        state    enabled
        usage    since the start 3 calls, 4000 fuel, 1152 KiB of memory at most, 9 ms of which 2 ms in the host, 5 traps, 0 refusals
        ");
    }

    #[test]
    fn a_migration_is_one_line() {
        let at = |state: &str| {
            let migration = json!({
                "state": state, "from": "0.1.0", "to": "0.2.0", "slices": 3, "cursor": "k", "since": "2026-03-01T12:00:00Z",
                "ended_at": "2026-03-01T12:00:09Z", "error": "0.1.0 → 0.2.0, slice 4: no",
            });
            plugin(&json!({ "migration": migration, "pending": {"version": "0.2.0"} }))
        };
        let under_way = "migration  0.1.0 → 0.2.0 is under way since 2026-03-01T12:00:00Z: 3 slices done, cursor `k`";
        assert!(at("running").contains(under_way), "{}", at("running"));
        assert!(at("failed").contains("0.1.0 → 0.2.0 failed at 0.1.0 → 0.2.0, slice 4: no"), "{}", at("failed"));
        assert!(at("done").contains("done at 2026-03-01T12:00:09Z in 3 slices"), "{}", at("done"));
    }

    #[test]
    fn what_waits_says_how_it_is_granted() {
        let shown = plugin(&json!({
            "id": "tiers", "state": "enabled", "version": "0.1.0", "pending": {"version": "0.2.0"}, "notices": ["look"]
        }));
        assert!(shown.contains("notice: look"), "{shown}");
        assert!(shown.ends_with("0.2.0 waits for a grant; until then 0.1.0 runs on: rapport plugin grant tiers --all"));
    }
}
