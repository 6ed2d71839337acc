//! What a plugin adds to the data: `[[objects]]`, `[[fields]]`, `[[event_types]]`.

use rapport_model::automation::FieldDeclaration;
use rapport_model::formula::FormulaDeclaration;
use rapport_model::rollup::RollupDeclaration;
use rapport_model::schema::{EventTypeDef, Origin};
use rapport_model::{Declaration, FieldDef, ObjectDef};
use serde_json::Map;
use toml::{Table, Value as Toml};

use super::table::{flag, json_map, known_keys, name, once, required};
use crate::outline::field_def_of;

const FIELD: [&str; 11] = [
    "object",
    "name",
    "type",
    "required",
    "unique",
    "indexed",
    "indexed_with",
    "searchable",
    "default",
    "options",
    "scale",
];
const ROLLUP: [&str; 10] = ["object", "name", "function", "over", "via", "field", "where", "by", "indexed", "scale"];
/// The most fields of one object or event type.
const FIELDS_MAX: usize = 200;

pub(super) fn field(table: &Table) -> Result<FieldDeclaration, String> {
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

pub(super) fn object(table: &Table) -> Result<ObjectDef, String> {
    known_keys(table, &["name", "lane", "fields"], "")?;
    let lane = table.contains_key("lane").then(|| name(table, "lane")).transpose()?;
    let fields = fields(table)?;
    if let Some(lane) = lane.as_ref().filter(|l| !fields.iter().any(|f| f.name == **l)) {
        return Err(format!("`lane` names the field `{lane}`, which the object does not have"));
    }
    Ok(ObjectDef::new(name(table, "name")?, Origin::Custom, lane, fields))
}

/// `object` gets it; `over` are the children.
pub(super) fn rollup(table: &Table) -> Result<RollupDeclaration, String> {
    known_keys(table, &ROLLUP, "")?;
    let mut map = json_map(table)?;
    for (own, key) in [("object", "on"), ("over", "object")] {
        required(table, own)?;
        let value = map.remove(own);
        map.extend(value.map(|value| (key.to_owned(), value)));
    }
    crate::rollup::read(map)
        .map_err(|(message, help)| if help.is_empty() { message } else { format!("{message}; {help}") })
}

pub(super) fn formula(table: &Table) -> Result<FormulaDeclaration, String> {
    known_keys(table, &["object", "name", "expression"], "")?;
    Ok(FormulaDeclaration {
        object: name(table, "object")?,
        name: name(table, "name")?,
        expression: required(table, "expression")?,
    })
}

pub(super) fn event_type(table: &Table) -> Result<EventTypeDef, String> {
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
    if fields.len() > FIELDS_MAX {
        return Err(format!("there are {} fields, {FIELDS_MAX} are allowed", fields.len()));
    }
    let convert = |(name, value): (&String, &Toml)| match value {
        Toml::String(kind) => field_def_of(name, kind, Map::new()).map_err(|e| format!("field `{name}`: {e}")),
        Toml::Table(options) => one_field(name, options),
        other => Err(format!("field `{name}`: expected a type such as \"text\", got {}", other.type_str())),
    };
    fields.iter().map(convert).collect()
}

/// Refuses what is declared twice.
pub(super) fn check(declaration: &Declaration) -> Result<(), String> {
    once("object", declaration.objects.iter().map(|object| object.name.as_str()))?;
    once("event type", declaration.event_types.iter().map(|kind| kind.name.as_str()))?;
    let own = declaration.fields.iter().map(|f| format!("{}.{}", f.object, f.field.name));
    let rollups = declaration.rollups.iter().map(|rollup| format!("{}.{}", rollup.on, rollup.name));
    let formulas = declaration.formulas.iter().map(|formula| format!("{}.{}", formula.object, formula.name));
    let fields: Vec<String> = own.chain(rollups).chain(formulas).collect();
    once("field", fields.iter().map(String::as_str))
}
