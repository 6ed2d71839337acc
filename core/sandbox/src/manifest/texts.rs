//! What people read, in several languages: `[texts.zh-CN]`.

use std::collections::BTreeMap;

use rapport_model::Declaration;
use rapport_model::nearest::nearest;
use rapport_model::plugin::{Texts, is_language};
use toml::{Table, Value as Toml};

use super::table::{known_keys, optional_line, readable};
use super::{PROSE_CHARS_MAX, TITLE_CHARS_MAX};

const KEYS: [&str; 8] = ["title", "description", "actions", "settings", "objects", "fields", "event_types", "reasons"];
/// The most languages.
const LANGUAGES_MAX: usize = 40;

/// The texts by language. Each names something that `declaration` has.
pub(super) fn read(table: &Table, declaration: &Declaration) -> Result<BTreeMap<String, Texts>, String> {
    let languages = match table.get("texts") {
        None => return Ok(BTreeMap::new()),
        Some(Toml::Table(languages)) => languages,
        Some(_) => return Err("`texts` is a table by language: write `[texts.zh-CN]`".into()),
    };
    if languages.len() > LANGUAGES_MAX {
        return Err(format!("there are {} languages, {LANGUAGES_MAX} are allowed", languages.len()));
    }
    let one = |(tag, value): (&String, &Toml)| {
        let place = format!("[texts.{tag}]: ");
        if !is_language(tag) {
            return Err(format!("{place}`{tag}` is no language: write a tag such as `de` or `zh-CN`"));
        }
        let table = value.as_table().ok_or_else(|| format!("{place}it is a table"))?;
        Ok((tag.clone(), language(table, declaration).map_err(|e| format!("{place}{e}"))?))
    };
    languages.iter().map(one).collect()
}

fn language(table: &Table, declaration: &Declaration) -> Result<Texts, String> {
    known_keys(table, &KEYS, "")?;
    let mut texts = Texts::new();
    for (key, most) in [("title", TITLE_CHARS_MAX), ("description", PROSE_CHARS_MAX)] {
        texts.extend(optional_line(table, key, most)?.map(|text| (key.to_owned(), text)));
    }
    let own = [
        ("actions", "action", declaration.actions.iter().map(|a| a.name.to_string()).collect()),
        ("settings", "setting", declaration.settings.iter().map(|s| s.name.clone()).collect()),
        ("objects", "object", declaration.objects.iter().map(|o| o.name.to_string()).collect()),
        ("fields", "field", fields(declaration)),
        ("event_types", "event_type", declaration.event_types.iter().map(|e| e.name.to_string()).collect()),
        ("reasons", "reason", declaration.uses.iter().map(ToString::to_string).collect()),
    ];
    for (key, prefix, known) in own {
        named(table, (key, prefix), &known, &mut texts)?;
    }
    Ok(texts)
}

/// The fields that are added, those of new objects as well: `customer.tier`.
fn fields(declaration: &Declaration) -> Vec<String> {
    let added = declaration.fields.iter().map(|f| format!("{}.{}", f.object, f.field.name));
    let of_objects = declaration.objects.iter().flat_map(|o| o.fields.iter().map(|f| format!("{}.{}", o.name, f.name)));
    let rollups = declaration.rollups.iter().map(|rollup| format!("{}.{}", rollup.on, rollup.name));
    added.chain(of_objects).chain(rollups).collect()
}

/// The texts under `key`, each for one of the `known` names.
fn named(table: &Table, (key, prefix): (&str, &str), known: &[String], texts: &mut Texts) -> Result<(), String> {
    let own = match table.get(key) {
        None => return Ok(()),
        Some(Toml::Table(own)) => own,
        Some(_) => return Err(format!("`{key}` is a table of texts by name")),
    };
    for (name, value) in own {
        if !known.contains(name) {
            let near = nearest(name, known.iter().map(String::as_str));
            let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("`{key}` has a text for `{name}`, which is not declared{help}"));
        }
        let text = value.as_str().ok_or_else(|| format!("`{key}.{name}` is a text, not {}", value.type_str()))?;
        readable(&format!("{key}.{name}"), text, PROSE_CHARS_MAX)?;
        texts.insert(format!("{prefix}.{name}"), text.to_owned());
    }
    Ok(())
}
