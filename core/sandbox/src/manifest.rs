//! `plugin.toml`: what a plugin is and what it asks for.
//!
//! ```toml
//! id = "loyalty"
//! version = "0.2.0"
//! api = "0.1"
//! publisher = "Rapport"
//! title = "Points, tiers and rewards"
//! description = "Keeps the books of a points program."
//! invocable = false
//! compensate = true                                   # an undo of its runs is its own doing
//! calls = ["vouchers.issue"]                          # actions of other plugins
//! scripts = ["scripts/earn.rhai"]                     # live as `loyalty/earn` once it is granted
//! settings_schema = "schemas/settings.json"           # beside [settings], or in its place
//!
//! [[capabilities]]
//! right = "customer.tier:write"
//! reason = "writes the tier"
//!
//! [[capabilities]]
//! right = "script:loyalty/earn"                       # calls its functions; `script:surveys/*`: those of a whole folder
//! reason = "the operator says what earns points"
//!
//! [[triggers]]
//! event = "customer.updated"
//! changed = ["points"]
//! condition = "points > 10"
//!
//! [[schedules]]
//! cron = "0 10 * * MON"
//! zone = "Asia/Shanghai"
//! misfire = "once"
//! overlap = "skip"
//! each = { object = "customer", rule = "points > 1000", per_minute = 600 }
//!
//! [[objects]]
//! name = "voucher"
//! lane = "owner"
//! fields = { code = { type = "text", unique = true }, owner = "reference(customer)" }
//! # A field is `required`, `unique`, `indexed`, `searchable` (true or false), and has a `default`; `indexed_with = ["owner", "worth"]`
//! # is one more index over it and those other fields, from which groups and sums of the records with one value of it are read.
//!
//! [[fields]]
//! object = "customer"
//! name = "tier"
//! type = "choice"
//! options = ["bronze", "silver"]
//!
//! [[rollups]]                                         # a field that follows from child records
//! object = "customer"
//! name = "redeemed"
//! function = "count"                                  # sum, min, max, average, first, last: of `field`
//! over = "voucher"
//! where = "redeemed_at != null"
//!
//! [[formulas]]                                        # computed when a record is read
//! object = "customer"
//! name = "per_voucher"
//! expression = "order_count / redeemed"
//!
//! [[event_types]]
//! name = "tier.changed"
//! fields = { from = "text", to = "text" }
//!
//! [[actions]]
//! name = "redeem"                                     # called as `loyalty.redeem`
//! title = "Spends points"
//! schema = "schemas/redeem.json"                      # { "input": …, "output": … }; or each by itself:
//! # input = { type = "object", required = ["points"] }, or input = "schemas/redeem-input.json"
//! callers = ["api", "scripts", "plugins"]             # by default api and scripts
//! lane = "customer"                                   # the property of the input that names the lane's record
//! readonly = false
//!
//! [[routes]]
//! methods = ["POST"]
//! path = "/partners/{partner}/earn"                   # below /x/loyalty
//! access = "signed"                                   # or public, users
//! secret = "partner-key"
//! per_minute = 60                                     # of one client; all together ten times as many
//! body_bytes_max = 65536
//! # lane = "customer"                                 # a parameter of the path that names the lane's record
//!
//! [[hooks]]
//! object = "order"
//! fields = ["amount"]
//! on_failure = "closed"                               # or open
//!
//! [[migrations]]                                      # done by an upgrade before this version is live: the role migrator
//! from = "0.1.0"                                      # takes the data of 0.1.0, and of all versions from there on before `to`
//! to = "0.2.0"                                        # the next step begins here or before: a gap is refused
//! title = "Moves `points` into the ledger"
//!
//! [[templates]]
//! name = "welcome"
//! subject = "Welcome, {{ customer.name }}"
//! text = "templates/welcome.txt"
//! html = "templates/welcome.html"
//!
//! [budgets]
//! fuel = 20000000
//! memory_bytes = 16777216
//! wall_ms = 1000
//! host_calls = 500
//! kv_bytes = 1048576
//!
//! [settings]
//! silver_from = 1000
//!
//! [texts.zh-CN]
//! title = "积分"
//! actions = { redeem = "兑换" }
//! ```

mod act;
mod budget;
mod content;
mod data;
mod setting;
mod start;
mod table;
mod texts;

use std::collections::BTreeMap;

use rapport_model::automation::Capability;
use rapport_model::limits::SEGMENTS_PER_AUTOMATION_MAX;
use rapport_model::plugin::PluginVersion;
use rapport_model::{AutomationId, Declaration, ScheduleDef};
use toml::Table;

use crate::each;
use crate::error::SandboxError;
pub use content::{Brought, BroughtTemplate};
use table::{Files, flag, items, known_keys, optional_line, required_line};

/// The version of the contract that this host offers.
pub const API: &str = "0.1";
/// The longest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 200;
/// The longest description and reason, in characters.
const PROSE_CHARS_MAX: usize = 1_000;

const TOP: [&str; 28] = [
    "id",
    "version",
    "api",
    "publisher",
    "title",
    "description",
    "capabilities",
    "calls",
    "triggers",
    "schedules",
    "segments",
    "invocable",
    "fields",
    "objects",
    "rollups",
    "formulas",
    "event_types",
    "actions",
    "routes",
    "hooks",
    "compensate",
    "migrations",
    "settings",
    "settings_schema",
    "scripts",
    "templates",
    "budgets",
    "texts",
];

/// What `plugin.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The plugin's name.
    pub id: AutomationId,
    /// Its version, such as `1.2.0`.
    pub version: PluginVersion,
    /// The contract it was built against: `0.1`.
    pub api: String,
    /// Who ships it.
    pub publisher: String,
    /// What it is for, in a few sentences.
    pub description: String,
    /// What it wants; the host grants no more.
    pub declaration: Declaration,
    /// Why it wants each right.
    pub reasons: Vec<(Capability, String)>,
    /// The scripts and templates that it brings.
    pub brings: Brought,
    /// The files beside `plugin.toml` that it names, sorted.
    pub files: Vec<String>,
}

impl Manifest {
    /// Reads the text of a `plugin.toml` that names no files.
    ///
    /// # Errors
    /// [`SandboxError::Manifest`] that names the key, and the nearest known one for a key that is not known.
    pub fn parse(text: &str) -> Result<Self, SandboxError> {
        Self::read(text, &|_| None)
    }

    /// Reads the text of a `plugin.toml`; `file` gives the content of a file by its path beside it.
    ///
    /// # Errors
    /// [`SandboxError::Manifest`] that names the key, and the nearest known one for a key that is not known.
    pub fn read(text: &str, file: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Self, SandboxError> {
        read(text, &Files::new(file)).map_err(|why| SandboxError::Manifest(format!("plugin.toml: {why}")))
    }
}

fn read(text: &str, files: &Files<'_>) -> Result<Manifest, String> {
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(format!("it has more than {MANIFEST_BYTES_MAX} bytes"));
    }
    let table: Table = text.parse().map_err(|e: toml::de::Error| e.to_string().trim_end().to_owned())?;
    known_keys(&table, &TOP, "")?;
    let api = required_line(&table, "api", TITLE_CHARS_MAX)?;
    if api != API {
        return Err(format!("`api` is \"{api}\"; this host offers \"{API}\""));
    }
    let id = plugin_id(&table)?;
    let version: PluginVersion =
        required_line(&table, "version", TITLE_CHARS_MAX)?.parse().map_err(|e| format!("`version`: {e}"))?;
    let publisher = required_line(&table, "publisher", 100)?;
    let description = optional_line(&table, "description", PROSE_CHARS_MAX)?.unwrap_or_default();
    let reasons = start::capabilities(&table)?;
    let brings = content::read(&table, &id, files)?;
    let mut declaration = Declaration {
        title: optional_line(&table, "title", TITLE_CHARS_MAX)?.unwrap_or_default(),
        triggers: items(&table, "triggers", 50, start::trigger)?,
        schedules: items(&table, "schedules", 50, start::schedule)?,
        segments: items(&table, "segments", SEGMENTS_PER_AUTOMATION_MAX, start::segment)?,
        uses: reasons.iter().map(|(right, _)| right.clone()).collect(),
        settings: setting::read(&table, files)?,
        objects: items(&table, "objects", 50, data::object)?,
        fields: items(&table, "fields", 200, data::field)?,
        rollups: items(&table, "rollups", 100, data::rollup)?,
        formulas: items(&table, "formulas", 100, data::formula)?,
        event_types: items(&table, "event_types", 100, data::event_type)?,
        invocable: flag(&table, "invocable")?,
        // Told by what the component imports, not by its manifest.
        waits: false,
        actions: act::actions(&table, files)?,
        routes: act::routes(&table)?,
        hooks: act::hooks(&table)?,
        compensate: flag(&table, "compensate")?,
        calls: act::calls(&table)?,
        migrations: content::migrations(&table, version)?,
        budgets: budget::read(&table)?,
        brings: brings.names(),
        texts: BTreeMap::new(),
    };
    check(&declaration)?;
    declaration.texts = texts::read(&table, &declaration)?;
    Ok(Manifest { id, version, api, publisher, description, declaration, reasons, brings, files: files.named() })
}

fn plugin_id(table: &Table) -> Result<AutomationId, String> {
    let id = required_line(table, "id", TITLE_CHARS_MAX)?;
    let id = AutomationId::new(&id).map_err(|e| format!("`id`: {e}"))?;
    if id.as_str().contains('/') {
        return Err(format!("`id`: `{id}` holds a `/`, which only names of scripts do"));
    }
    Ok(id)
}

/// What the parts of a declaration need of each other.
fn check(declaration: &Declaration) -> Result<(), String> {
    if !declaration.is_started() {
        return Err("nothing starts the plugin: add a `[[triggers]]` with `event`, a `[[schedules]]` with `cron`, `[[actions]]`, \
                    `[[routes]]`, `[[hooks]]`, or `invocable = true` before them"
            .into());
    }
    rapport_model::schedule::check(&declaration.schedules).map_err(|e| e.to_string())?;
    table::once("segment", declaration.segments.iter().map(|segment| segment.name.as_str()))?;
    let unread = |schedule: &ScheduleDef| schedule.each.as_ref().and_then(|e| each::missing_right(declaration, e));
    if let Some(right) = declaration.schedules.iter().find_map(unread) {
        return Err(format!("`each` needs the right `{right}`: {}", start::ADD));
    }
    act::check(declaration)?;
    data::check(declaration)
}

#[cfg(test)]
mod tests;
