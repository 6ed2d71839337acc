//! What a plugin brings beside its component: scripts, templates, and the steps that its data goes through.

use rapport_model::AutomationId;
use rapport_model::plugin::{MigrationDef, PluginVersion};
use serde::Serialize;
use toml::Table;

use super::TITLE_CHARS_MAX;
use super::table::{Files, items, known_keys, name, once, optional_line, optional_text, required, texts};

/// The most scripts, and the most templates, of one plugin.
const BROUGHT_MAX: usize = 50;

/// The scripts and templates that a plugin brings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Brought {
    /// The scripts: the name under which each goes live, its path, its text.
    pub scripts: Vec<(AutomationId, String, String)>,
    /// The templates.
    pub templates: Vec<BroughtTemplate>,
}

/// A template that a plugin brings. It becomes a record of the object `template`, named `<plugin>.<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BroughtTemplate {
    /// Its name with the plugin's: `loyalty.welcome`.
    pub name: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: Option<String>,
    /// The HTML.
    pub html: Option<String>,
}

impl Brought {
    /// What is brought, for the declaration.
    pub(super) fn names(&self) -> Vec<String> {
        let scripts = self.scripts.iter().map(|(id, ..)| format!("script:{id}"));
        scripts.chain(self.templates.iter().map(|template| format!("template:{}", template.name))).collect()
    }
}

/// Reads `scripts` and `[[templates]]`.
pub(super) fn read(table: &Table, plugin: &AutomationId, files: &Files<'_>) -> Result<Brought, String> {
    let paths = texts(table, "scripts", BROUGHT_MAX)?.unwrap_or_default();
    once("script", paths.iter().map(String::as_str))?;
    let script = |path: &String| {
        let text = files.text(path, "scripts", &[".rhai"]).map_err(|e| format!("`scripts`: {e}"))?;
        let stem = path.trim_start_matches("scripts/").trim_end_matches(".rhai");
        let id = AutomationId::new(&format!("{plugin}/{stem}")).map_err(|e| format!("`scripts`: {e}"))?;
        Ok::<_, String>((id, path.clone(), text))
    };
    let scripts = paths.iter().map(script).collect::<Result<_, _>>()?;
    let templates = items(table, "templates", BROUGHT_MAX, |table| template(table, plugin, files))?;
    once("template", templates.iter().map(|template| template.name.as_str()))?;
    Ok(Brought { scripts, templates })
}

fn template(table: &Table, plugin: &AutomationId, files: &Files<'_>) -> Result<BroughtTemplate, String> {
    known_keys(table, &["name", "subject", "text", "html"], "")?;
    let body = |key: &str, end: &str| {
        let path = optional_text(table, key)?;
        path.map(|path| files.text(&path, "templates", &[end]).map_err(|e| format!("`{key}`: {e}"))).transpose()
    };
    let (text, html) = (body("text", ".txt")?, body("html", ".html")?);
    if text.is_none() && html.is_none() {
        return Err("it says nothing: name a file as `text` or `html`".into());
    }
    let subject = optional_line(table, "subject", TITLE_CHARS_MAX)?.unwrap_or_default();
    Ok(BroughtTemplate { name: format!("{plugin}.{}", name(table, "name")?), subject, text, html })
}

/// Reads `[[migrations]]`: each goes to a later version, none beyond `version`, and no two begin at the same.
pub(super) fn migrations(table: &Table, version: PluginVersion) -> Result<Vec<MigrationDef>, String> {
    let mut all = items(table, "migrations", 100, |table| migration(table, version))?;
    let begun: Vec<String> = all.iter().map(|step| step.from.to_string()).collect();
    once("migration from", begun.iter().map(String::as_str))?;
    all.sort_by_key(|step| step.from);
    Ok(all)
}

fn migration(table: &Table, version: PluginVersion) -> Result<MigrationDef, String> {
    known_keys(table, &["from", "to", "title"], "")?;
    let read = |key: &str| required(table, key)?.parse::<PluginVersion>().map_err(|e| format!("`{key}`: {e}"));
    let (from, to) = (read("from")?, read("to")?);
    if from >= to {
        return Err(format!("it goes from {from} to {to}, which is not later"));
    }
    if to > version {
        return Err(format!("it goes to {to}, which is later than the plugin's own `version` {version}"));
    }
    Ok(MigrationDef { from, to, title: optional_line(table, "title", TITLE_CHARS_MAX)?.unwrap_or_default() })
}
