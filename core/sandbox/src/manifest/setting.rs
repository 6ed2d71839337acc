//! What an operator can set: `[settings]` with defaults, `settings_schema` with what values may be.

use rapport_model::automation::SettingDef;
use rapport_model::{JsonSchema, Name};
use serde_json::{Map, Value as Json};
use toml::{Table, Value as Toml};

use super::table::{Files, json_map, optional_text};

/// The most settings of one plugin.
const SETTINGS_MAX: usize = 200;

/// The settings. A default comes from the schema, or from `[settings]`, which goes first; it must fit.
pub(super) fn read(table: &Table, files: &Files<'_>) -> Result<Vec<SettingDef>, String> {
    let mut given = match table.get("settings") {
        None => Map::new(),
        Some(Toml::Table(settings)) => json_map(settings).map_err(|e| format!("[settings]: {e}"))?,
        Some(_) => return Err("`settings` is a table: write `[settings]` and lines such as `discount = 10`".into()),
    };
    let mut all = match optional_text(table, "settings_schema")? {
        None => Vec::new(),
        Some(path) => of_schema(&path, &mut given, files).map_err(|e| format!("`settings_schema`: {e}"))?,
    };
    for (name, default) in given {
        Name::new(&name).map_err(|e| format!("[settings]: {e}"))?;
        all.push(SettingDef { name, default, schema: None });
    }
    if all.len() > SETTINGS_MAX {
        return Err(format!("there are {} settings, {SETTINGS_MAX} are allowed", all.len()));
    }
    Ok(all)
}

/// The settings that the schema in the file `path` describes; their defaults are taken out of `given`.
fn of_schema(path: &str, given: &mut Map<String, Json>, files: &Files<'_>) -> Result<Vec<SettingDef>, String> {
    let json = files.json(path)?;
    let whole = JsonSchema::read(json).map_err(|e| format!("`{path}`: {e}"))?;
    if !whole.is_object() {
        return Err(format!("`{path}` describes no object: write \"type\": \"object\" and \"properties\""));
    }
    let mut settings = Vec::new();
    for (name, source) in whole.properties() {
        Name::new(&name).map_err(|e| format!("`{path}`: {e}"))?;
        let schema = JsonSchema::read(source).map_err(|e| format!("`{path}` /properties/{name}: {e}"))?;
        let default = given.remove(&name).or_else(|| schema.default().cloned());
        let default = default
            .ok_or_else(|| format!("`{path}` /properties/{name}: it needs a `default`, there or under [settings]"))?;
        if let Some(misfit) = schema.misfits(&default).into_iter().next() {
            return Err(format!("the default of `{name}` does not fit `{path}`: {misfit}"));
        }
        settings.push(SettingDef { name, default, schema: Some(schema) });
    }
    Ok(settings)
}
