//! `plugin.toml`: what a plugin is and what it asks for.
//!
//! ```toml
//! id = "tiers"
//! version = "0.1.0"
//! api = "0.1"
//! publisher = "Rapport"
//! title = "Gives every customer a tier by points"
//! invocable = false
//!
//! [[capabilities]]
//! right = "customer.tier:write"
//! reason = "writes the tier"
//!
//! [[triggers]]
//! event = "customer.updated"
//! changed = ["points"]
//!
//! [[schedules]]
//! cron = "0 10 * * MON"
//! zone = "Asia/Shanghai"
//! misfire = "once"
//! overlap = "skip"
//! each = { object = "customer", rule = "points > 1000", per_minute = 600 }
//!
//! [[fields]]
//! object = "customer"
//! name = "tier"
//! type = "choice"
//! options = ["bronze", "silver"]
//!
//! [[event_types]]
//! name = "tier.changed"
//! fields = { from = "text", to = "text" }
//!
//! [settings]
//! silver_from = 1000
//! ```

use rapport_model::automation::{Capability, FieldDeclaration, SettingDef};
use rapport_model::nearest::nearest;
use rapport_model::schema::{EventTypeDef, Origin};
use rapport_model::{AutomationId, Declaration, FieldDef, Name, ObjectDef, ScheduleDef, Trigger};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use toml::{Table, Value as Toml};

use crate::each;
use crate::error::SandboxError;
use crate::outline::{event_trigger_problem, field_def_of};

/// The version of the contract that this host offers.
pub const API: &str = "0.1";

const TOP: [&str; 13] = [
    "id",
    "version",
    "api",
    "publisher",
    "title",
    "capabilities",
    "triggers",
    "schedules",
    "invocable",
    "fields",
    "objects",
    "event_types",
    "settings",
];
const FIELD: [&str; 9] = ["object", "name", "type", "required", "unique", "indexed", "default", "options", "scale"];

/// What `plugin.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The plugin's name.
    pub id: AutomationId,
    /// Its version, such as `1.2.0`.
    pub version: String,
    /// The contract it was built against: `0.1`.
    pub api: String,
    /// Who ships it.
    pub publisher: String,
    /// What it wants; the host grants no more.
    pub declaration: Declaration,
    /// Why it wants each right.
    pub reasons: Vec<(Capability, String)>,
}

#[derive(Deserialize)]
struct RawCapability {
    right: String,
    reason: String,
}

#[derive(Deserialize)]
struct RawTrigger {
    event: String,
    #[serde(default)]
    changed: Vec<String>,
    condition: Option<String>,
}

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    ///
    /// # Errors
    /// [`SandboxError::Manifest`] that names the key, and the nearest known one for a key that is not known.
    pub fn parse(text: &str) -> Result<Self, SandboxError> {
        read(text).map_err(|why| SandboxError::Manifest(format!("plugin.toml: {why}")))
    }
}

fn read(text: &str) -> Result<Manifest, String> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| e.to_string().trim_end().to_owned())?;
    known_keys(&table, &TOP, "")?;
    let api = required(&table, "api")?;
    if api != API {
        return Err(format!("`api` is \"{api}\"; this host offers \"{API}\""));
    }
    let id = required(&table, "id")?;
    let id = AutomationId::new(&id).map_err(|e| format!("`id`: {e}"))?;
    if id.as_str().contains('/') {
        return Err(format!("`id`: `{id}` holds a `/`, which only names of scripts do"));
    }
    let version = required(&table, "version")?;
    if version.split('.').count() != 3 || version.split('.').any(|p| p.parse::<u32>().is_err()) {
        return Err(format!("`version`: `{version}` is not three numbers such as \"1.2.0\""));
    }
    let title = optional_text(&table, "title")?.unwrap_or_default();
    let reasons = items(&table, "capabilities", capability)?;
    let declaration = Declaration {
        title,
        triggers: items(&table, "triggers", trigger)?,
        schedules: items(&table, "schedules", schedule)?,
        uses: reasons.iter().map(|(c, _)| c.clone()).collect(),
        settings: settings(&table)?,
        objects: items(&table, "objects", object)?,
        fields: items(&table, "fields", field)?,
        event_types: items(&table, "event_types", event_type)?,
        invocable: flag(&table, "invocable")?,
        // Told by what the component imports, not by its manifest.
        waits: false,
    };
    if !declaration.is_started() {
        let ways = "a `[[triggers]]` with `event`, a `[[schedules]]` with `cron`, or `invocable = true` before them";
        return Err(format!("nothing starts the plugin: add {ways}"));
    }
    rapport_model::schedule::check(&declaration.schedules).map_err(|e| e.to_string())?;
    let unread = |schedule: &ScheduleDef| schedule.each.as_ref().and_then(|e| each::missing_right(&declaration, e));
    if let Some(right) = declaration.schedules.iter().find_map(unread) {
        return Err(format!("`each` needs the right `{right}`: add a `[[capabilities]]` with it and a `reason`"));
    }
    Ok(Manifest { id, version, api, publisher: required(&table, "publisher")?, declaration, reasons })
}

fn known_keys(table: &Table, known: &[&str], place: &str) -> Result<(), String> {
    let Some(unknown) = table.keys().find(|k| !known.contains(&k.as_str())) else { return Ok(()) };
    let help = nearest(unknown, known.iter().copied())
        .map_or_else(|| format!("known are {}", known.join(", ")), |n| format!("did you mean `{n}`?"));
    Err(format!("{place}unknown key `{unknown}`; {help}"))
}

fn required(table: &Table, key: &str) -> Result<String, String> {
    let text = optional_text(table, key)?.ok_or_else(|| format!("`{key}` is missing"))?;
    if text.trim().is_empty() { Err(format!("`{key}` is empty")) } else { Ok(text) }
}

fn optional_text(table: &Table, key: &str) -> Result<Option<String>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(Toml::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("`{key}` is a text, not {}", other.type_str())),
    }
}

fn flag(table: &Table, key: &str) -> Result<bool, String> {
    match table.get(key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("`{key}` is true or false")),
    }
}

/// The tables of `[[key]]`, each read by `read`; an error names the table by its number.
fn items<T>(table: &Table, key: &str, read: fn(&Table) -> Result<T, String>) -> Result<Vec<T>, String> {
    let list = match table.get(key) {
        None => return Ok(Vec::new()),
        Some(Toml::Array(list)) => list,
        Some(_) => return Err(format!("`{key}` is a list: write `[[{key}]]`")),
    };
    let read_one = |(i, item): (usize, &Toml)| {
        let item = item.as_table().ok_or_else(|| "it is no table".to_owned());
        item.and_then(read).map_err(|why| format!("[[{key}]] number {}: {why}", i + 1))
    };
    list.iter().enumerate().map(read_one).collect()
}

fn typed<T: DeserializeOwned>(table: &Table) -> Result<T, String> {
    Toml::Table(table.clone()).try_into().map_err(|e: toml::de::Error| e.message().to_owned())
}

fn capability(table: &Table) -> Result<(Capability, String), String> {
    known_keys(table, &["right", "reason"], "")?;
    let RawCapability { right, reason } = typed(table)?;
    if reason.trim().is_empty() {
        return Err(format!("the right `{right}` needs a `reason`: an admin reads it before granting"));
    }
    Ok((right.parse().map_err(|e: rapport_model::automation::InvalidCapability| e.to_string())?, reason))
}

fn trigger(table: &Table) -> Result<Trigger, String> {
    known_keys(table, &["event", "changed", "condition"], "")?;
    let RawTrigger { event, changed, condition } = typed(table)?;
    if let Some(problem) = event_trigger_problem(&event) {
        return Err(problem);
    }
    let changed = changed.iter().map(|f| Name::new(f).map_err(|e| e.to_string())).collect::<Result<_, _>>()?;
    Ok(Trigger { event, changed, condition })
}

fn schedule(table: &Table) -> Result<ScheduleDef, String> {
    known_keys(table, &["cron", "zone", "misfire", "overlap", "each"], "")?;
    let (cron, zone) = (required(table, "cron")?, required(table, "zone")?);
    crate::schedule::read(&cron, &zone, &json_map(table)?)
        .map_err(|(message, help)| if help.is_empty() { message } else { format!("{message}; {help}") })
}

fn field(table: &Table) -> Result<FieldDeclaration, String> {
    let object = name(table, "object")?;
    Ok(FieldDeclaration { object, field: named_field(table)? })
}

fn named_field(table: &Table) -> Result<FieldDef, String> {
    known_keys(table, &FIELD, "")?;
    let name = required(table, "name")?;
    let mut rest = table.clone();
    rest.remove("name");
    // `object` is what a declared field belongs to; a reference names its own in `type`: `reference(customer)`.
    rest.remove("object");
    one_field(&name, &rest)
}

/// A field from `{ type = "choice", options = ["a"] }`.
fn one_field(name: &str, options: &Table) -> Result<FieldDef, String> {
    let mut kind = required(options, "type").map_err(|e| format!("field `{name}`: {e}"))?;
    let mut options = options.clone();
    options.remove("type");
    if let Some(scale) = options.remove("scale") {
        kind = format!("{kind}({scale})");
    }
    field_def_of(name, &kind, json_map(&options)?).map_err(|e| format!("field `{name}`: {e}"))
}

fn name(table: &Table, key: &str) -> Result<Name, String> {
    Name::new(&required(table, key)?).map_err(|e| format!("`{key}`: {e}"))
}

fn object(table: &Table) -> Result<ObjectDef, String> {
    known_keys(table, &["name", "lane", "fields"], "")?;
    let lane = table.contains_key("lane").then(|| name(table, "lane")).transpose()?;
    let fields = fields(table)?;
    if let Some(lane) = lane.as_ref().filter(|l| !fields.iter().any(|f| f.name == **l)) {
        return Err(format!("`lane` names the field `{lane}`, which the object does not have"));
    }
    Ok(ObjectDef { name: name(table, "name")?, origin: Origin::Custom, lane, fields })
}

fn event_type(table: &Table) -> Result<EventTypeDef, String> {
    known_keys(table, &["name", "fields", "subject_optional"], "")?;
    let name = required(table, "name")?.parse().map_err(|e| format!("`name`: {e}"))?;
    let subject_optional = flag(table, "subject_optional")?;
    Ok(EventTypeDef { name, fields: fields(table)?, subject_optional })
}

/// `fields = { from = "text", amount = { type = "decimal(2)", required = true } }`.
fn fields(table: &Table) -> Result<Vec<FieldDef>, String> {
    let fields = match table.get("fields") {
        None => return Ok(Vec::new()),
        Some(Toml::Table(fields)) => fields,
        Some(_) => return Err("`fields` is a table: write `fields = { code = \"text\" }`".into()),
    };
    let convert = |(name, value): (&String, &Toml)| match value {
        Toml::String(kind) => field_def_of(name, kind, Map::new()).map_err(|e| format!("field `{name}`: {e}")),
        Toml::Table(options) => one_field(name, options),
        other => Err(format!("field `{name}`: expected a type such as \"text\", got {}", other.type_str())),
    };
    fields.iter().map(convert).collect()
}

fn settings(table: &Table) -> Result<Vec<SettingDef>, String> {
    let settings = match table.get("settings") {
        None => return Ok(Vec::new()),
        Some(Toml::Table(settings)) => settings,
        Some(_) => return Err("`settings` is a table: write `[settings]` and lines such as `discount = 10`".into()),
    };
    let convert = |(name, default): (&String, &Toml)| {
        Name::new(name).map_err(|e| format!("[settings]: {e}"))?;
        Ok(SettingDef { name: name.clone(), default: json(default)? })
    };
    settings.iter().map(convert).collect()
}

fn json_map(table: &Table) -> Result<Map<String, Json>, String> {
    table.iter().map(|(k, v)| Ok((k.clone(), json(v)?))).collect()
}

fn json(value: &Toml) -> Result<Json, String> {
    Ok(match value {
        Toml::String(text) => Json::String(text.clone()),
        Toml::Integer(n) => (*n).into(),
        Toml::Float(f) => {
            serde_json::Number::from_f64(*f).map(Json::Number).ok_or_else(|| format!("{f} is not a number to store"))?
        }
        Toml::Boolean(b) => Json::Bool(*b),
        Toml::Datetime(time) => Json::String(time.to_string()),
        Toml::Array(items) => Json::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        Toml::Table(table) => Json::Object(json_map(table)?),
    })
}

#[cfg(test)]
mod tests;
