//! What starts a plugin, and what it may do: `[[triggers]]`, `[[schedules]]`, `[[capabilities]]`.

use rapport_model::automation::{Capability, InvalidCapability};
use rapport_model::{Name, ScheduleDef, SegmentDef, Trigger};
use toml::Table;

use super::PROSE_CHARS_MAX;
use super::table::{items, json_map, known_keys, once, optional_text, readable, required, texts};
use crate::outline::event_trigger_problem;

/// How a right is added.
pub(super) const ADD: &str = "add a `[[capabilities]]` with it and a `reason`";
/// The most rights of one plugin.
const RIGHTS_MAX: usize = 200;

/// The rights with their reasons.
pub(super) fn capabilities(table: &Table) -> Result<Vec<(Capability, String)>, String> {
    let all = items(table, "capabilities", RIGHTS_MAX, capability)?;
    let names: Vec<String> = all.iter().map(|(right, _)| right.to_string()).collect();
    once("right", names.iter().map(String::as_str))?;
    Ok(all)
}

fn capability(table: &Table) -> Result<(Capability, String), String> {
    known_keys(table, &["right", "reason"], "")?;
    let right = required(table, "right")?;
    let reason = optional_text(table, "reason")?.unwrap_or_default();
    if reason.trim().is_empty() {
        return Err(format!("the right `{right}` needs a `reason`: an admin reads it before granting"));
    }
    readable("reason", &reason, PROSE_CHARS_MAX)?;
    Ok((right.parse().map_err(|e: InvalidCapability| e.to_string())?, reason))
}

pub(super) fn trigger(table: &Table) -> Result<Trigger, String> {
    known_keys(table, &["event", "changed", "condition"], "")?;
    let event = required(table, "event")?;
    if let Some(problem) = event_trigger_problem(&event) {
        return Err(problem);
    }
    let changed = texts(table, "changed", 100)?.unwrap_or_default();
    let changed =
        changed.iter().map(|f| Name::new(f).map_err(|e| format!("`changed`: {e}"))).collect::<Result<_, _>>()?;
    Ok(Trigger { event, changed, condition: optional_text(table, "condition")? })
}

pub(super) fn schedule(table: &Table) -> Result<ScheduleDef, String> {
    known_keys(table, &["cron", "zone", "misfire", "overlap", "each"], "")?;
    let (cron, zone) = (required(table, "cron")?, required(table, "zone")?);
    crate::schedule::read(&cron, &zone, &json_map(table)?)
        .map_err(|(message, help)| if help.is_empty() { message } else { format!("{message}; {help}") })
}

pub(super) fn segment(table: &Table) -> Result<SegmentDef, String> {
    known_keys(table, &["name", "rule", "object", "kind", "title", "every", "zone"], "")?;
    let (name, rule) = (required(table, "name")?, optional_text(table, "rule")?);
    let mut options = json_map(table)?;
    options.retain(|key, _| !matches!(key.as_str(), "name" | "rule"));
    crate::segment::read(&name, rule.as_deref(), &options)
        .map_err(|(message, help)| if help.is_empty() { message } else { format!("{message}; {help}") })
}
