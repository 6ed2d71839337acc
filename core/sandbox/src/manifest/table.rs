//! Reads the tables of a manifest: every key is known, every text is one that may be shown, every list has a limit.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rapport_model::Name;
use rapport_model::nearest::nearest;
use serde_json::{Map, Value as Json};
use toml::{Table, Value as Toml};

/// The longest path of a file that a manifest names, in bytes.
const PATH_BYTES_MAX: usize = 100;

/// The files beside the manifest, and which of them it named.
pub(super) struct Files<'a> {
    content: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    named: RefCell<BTreeSet<String>>,
}

impl<'a> Files<'a> {
    pub(super) fn new(content: &'a dyn Fn(&str) -> Option<Vec<u8>>) -> Self {
        Self { content, named: RefCell::default() }
    }

    /// The text of the file `path`, which must lie in `folder` and end in one of `ends`.
    pub(super) fn text(&self, path: &str, folder: &str, ends: &[&str]) -> Result<String, String> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b'/');
        let steps = path.split('/').all(|step| !step.is_empty() && !step.starts_with('.'));
        let named = path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let ends_well = ends.iter().any(|end| path.strip_suffix(end).is_some_and(|stem| !stem.ends_with('/')));
        if !(path.bytes().all(ok) && steps && named && ends_well && path.len() <= PATH_BYTES_MAX) {
            let like = format!("{folder}/name{}", ends.join(&format!(" or {folder}/name")));
            return Err(format!("`{path}` is no file that can be named here: write {like}, in lower-case letters"));
        }
        let bytes = (self.content)(path).ok_or_else(|| format!("there is no file `{path}` beside plugin.toml"))?;
        self.named.borrow_mut().insert(path.to_owned());
        String::from_utf8(bytes).map_err(|_| format!("`{path}` is not UTF-8"))
    }

    /// The JSON in the file `path` in `schemas`.
    pub(super) fn json(&self, path: &str) -> Result<Json, String> {
        let text = self.text(path, "schemas", &[".json"])?;
        serde_json::from_str(&text).map_err(|e| format!("`{path}`: {e}"))
    }

    /// The paths that were named, sorted.
    pub(super) fn named(&self) -> Vec<String> {
        self.named.borrow().iter().cloned().collect()
    }
}

/// Refuses a key that is not among `known`, with the nearest that is.
pub(super) fn known_keys(table: &Table, known: &[&str], place: &str) -> Result<(), String> {
    let Some(unknown) = table.keys().find(|k| !known.contains(&k.as_str())) else { return Ok(()) };
    let help = nearest(unknown, known.iter().copied())
        .map_or_else(|| format!("known are {}", known.join(", ")), |n| format!("did you mean `{n}`?"));
    Err(format!("{place}unknown key `{unknown}`; {help}"))
}

/// The text at `key`, which must be there.
pub(super) fn required(table: &Table, key: &str) -> Result<String, String> {
    let text = optional_text(table, key)?.ok_or_else(|| format!("`{key}` is missing"))?;
    if text.trim().is_empty() { Err(format!("`{key}` is empty")) } else { Ok(text) }
}

/// The text at `key`, which people will read.
pub(super) fn required_line(table: &Table, key: &str, chars_max: usize) -> Result<String, String> {
    let text = required(table, key)?;
    readable(key, &text, chars_max)?;
    Ok(text)
}

/// The text at `key`, which people will read, if it is there.
pub(super) fn optional_line(table: &Table, key: &str, chars_max: usize) -> Result<Option<String>, String> {
    let text = optional_text(table, key)?;
    text.iter().try_for_each(|text| readable(key, text, chars_max))?;
    Ok(text)
}

/// Refuses what would deceive on a screen: control characters, and those that turn the direction of writing.
pub(super) fn readable(key: &str, text: &str, chars_max: usize) -> Result<(), String> {
    let hidden = |c: &char| {
        c.is_control()
            || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if let Some(bad) = text.chars().find(hidden) {
        return Err(format!("`{key}` holds the character U+{:04X}, which cannot be seen", u32::from(bad)));
    }
    if text.chars().count() > chars_max {
        return Err(format!("`{key}` is longer than {chars_max} characters"));
    }
    Ok(())
}

/// The text at `key`, if it is there.
pub(super) fn optional_text(table: &Table, key: &str) -> Result<Option<String>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(Toml::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("`{key}` is a text, not {}", other.type_str())),
    }
}

/// Whether `key` is true.
pub(super) fn flag(table: &Table, key: &str) -> Result<bool, String> {
    match table.get(key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("`{key}` is true or false")),
    }
}

/// The whole number at `key`, which must lie in `range`.
pub(super) fn whole(table: &Table, key: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, String> {
    let Some(value) = table.get(key) else { return Ok(None) };
    let number = value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| range.contains(n));
    let want = || format!("`{key}` is a whole number from {} to {}, not {value}", range.start(), range.end());
    number.map(Some).ok_or_else(want)
}

/// One of `names` at `key`, if it is there.
pub(super) fn one_of(table: &Table, key: &str, names: &[&str]) -> Result<Option<String>, String> {
    let Some(text) = optional_text(table, key)? else { return Ok(None) };
    if names.contains(&text.as_str()) {
        return Ok(Some(text));
    }
    Err(format!("`{key}` cannot be \"{text}\"; write one of {}", names.join(", ")))
}

/// The texts in the list at `key`.
pub(super) fn texts(table: &Table, key: &str, most: usize) -> Result<Option<Vec<String>>, String> {
    let list = match table.get(key) {
        None => return Ok(None),
        Some(Toml::Array(list)) => list,
        Some(_) => return Err(format!("`{key}` is a list of texts: write `{key} = [\"…\"]`")),
    };
    if list.len() > most {
        return Err(format!("`{key}` has {} entries, {most} are allowed", list.len()));
    }
    let text = |item: &Toml| {
        item.as_str().map(str::to_owned).ok_or_else(|| format!("`{key}` holds {}, not only texts", item.type_str()))
    };
    list.iter().map(text).collect::<Result<Vec<_>, _>>().map(Some)
}

/// The tables of `[[key]]`, `most` at most, each read by `read`; an error names the table by its number.
pub(super) fn items<T>(
    table: &Table,
    key: &str,
    most: usize,
    mut read: impl FnMut(&Table) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let list = match table.get(key) {
        None => return Ok(Vec::new()),
        Some(Toml::Array(list)) => list,
        Some(_) => return Err(format!("`{key}` is a list: write `[[{key}]]`")),
    };
    if list.len() > most {
        return Err(format!("there are {} `[[{key}]]`, {most} are allowed", list.len()));
    }
    let read_one = |(i, item): (usize, &Toml)| {
        let item = item.as_table().ok_or_else(|| "it is no table".to_owned());
        item.and_then(&mut read).map_err(|why| format!("[[{key}]] number {}: {why}", i + 1))
    };
    list.iter().enumerate().map(read_one).collect()
}

/// The name at `key`.
pub(super) fn name(table: &Table, key: &str) -> Result<Name, String> {
    Name::new(&required(table, key)?).map_err(|e| format!("`{key}`: {e}"))
}

/// The table as JSON.
pub(super) fn json_map(table: &Table) -> Result<Map<String, Json>, String> {
    table.iter().map(|(k, v)| Ok((k.clone(), json(v)?))).collect()
}

/// The value as JSON.
pub(super) fn json(value: &Toml) -> Result<Json, String> {
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

/// Refuses a second entry of the same name.
pub(super) fn once<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("the {what} `{name}` is declared twice"));
        }
    }
    Ok(())
}
