//! What differs between two versions: the text, and what it declares.

use std::time::Duration;

use rapport_model::Declaration;
use serde_json::{Map, Value as Json, json};
use similar::TextDiff;

use super::{Content, known_id};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::registry::Version;

/// Lines around a change.
const CONTEXT_LINES: usize = 3;
/// After that time a shorter difference is no longer looked for.
const SEARCH_MAX: Duration = Duration::from_secs(1);
/// The parts of a declaration that are lists of things.
const LISTS: [&str; 6] = ["triggers", "schedules", "uses", "objects", "fields", "event_types"];

impl Engine {
    /// What differs between two versions of `id`. If not named, `to` is the newest draft and `from` is what is live; without a
    /// draft, `to` is what is live and `from` what was live before.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`] if there is no such automation or version.
    pub async fn diff_versions(
        &self,
        caller: &Caller,
        id: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let name = known_id(id)?;
        let past = self.inner.past(&name).await?;
        let has_draft = past.draft().is_some();
        let to = past.pick(to.unwrap_or(if has_draft { "draft" } else { "active" }))?;
        let base = if past.active() == Some(to) { "before" } else { "active" };
        let from = past.pick(from.unwrap_or(base))?;
        let (old, new) = (self.inner.version(&name, &from).await?, self.inner.version(&name, &to).await?);
        let (old_text, new_text) = (self.inner.text_of(&old).await?, self.inner.text_of(&new).await?);
        Ok(json!({
            "id": name,
            "from": { "digest": from, "state": past.find(&from).map(|known| past.state(known)), "path": old_text.path },
            "to": { "digest": to, "state": past.find(&to).map(|known| past.state(known)), "path": new_text.path },
            "source": unified((&old, &old_text), (&new, &new_text)),
            "component_bytes": (old_text.component_bytes, new_text.component_bytes),
            "declaration": declared(&old.declaration, &new.declaration),
            "settings": settings(&old, &new),
        }))
    }
}

/// The difference of two texts, as `diff -u` writes it; empty if there is none.
fn unified((old, old_text): (&Version, &Content), (new, new_text): (&Version, &Content)) -> String {
    let difference = TextDiff::configure().timeout(SEARCH_MAX).diff_lines(&old_text.text, &new_text.text);
    let label = |version: &Version, text: &Content| format!("{} {}", text.path, version.digest.short());
    let (from, to) = (label(old, old_text), label(new, new_text));
    difference.unified_diff().context_radius(CONTEXT_LINES).header(&from, &to).to_string()
}

/// What was added to and removed from each part of a declaration.
fn declared(old: &Declaration, new: &Declaration) -> Json {
    let (old, new) = (serde_json::to_value(old).unwrap_or_default(), serde_json::to_value(new).unwrap_or_default());
    let list = |declaration: &Json, part: &str| declaration[part].as_array().cloned().unwrap_or_default();
    let mut parts = Map::new();
    for part in LISTS {
        let (before, after) = (list(&old, part), list(&new, part));
        let added: Vec<&Json> = after.iter().filter(|item| !before.contains(item)).collect();
        let removed: Vec<&Json> = before.iter().filter(|item| !after.contains(item)).collect();
        if !added.is_empty() || !removed.is_empty() {
            parts.insert(part.to_owned(), json!({ "added": added, "removed": removed }));
        }
    }
    if old["title"] != new["title"] {
        parts.insert("title".to_owned(), json!({ "from": old["title"], "to": new["title"] }));
    }
    Json::Object(parts)
}

/// The settings that are other ones, or have another default or value.
fn settings(old: &Version, new: &Version) -> Vec<Json> {
    let shown = |version: &Version, name: &str| {
        let def = version.declaration.settings.iter().find(|def| def.name == name)?;
        let value = version.overrides.get(name).unwrap_or(&def.default);
        Some(json!({ "default": def.default, "value": value }))
    };
    let names = |version: &Version| version.declaration.settings.iter().map(|def| def.name.clone()).collect::<Vec<_>>();
    let mut all = names(old);
    all.extend(names(new));
    all.sort();
    all.dedup();
    let one = |name: String| {
        let (from, to) = (shown(old, &name), shown(new, &name));
        (from != to).then(|| json!({ "name": name, "from": from, "to": to }))
    };
    all.into_iter().filter_map(one).collect()
}
