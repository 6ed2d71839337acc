//! Reads configuration from file, environment and flags, and says what is wrong with it in words that help.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rapport_model::nearest::nearest;
use toml::de::{DeTable, DeValue};

use super::Config;

/// A section and a key in it.
type Key = (String, String);

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{path}`: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the file is wrong.
    #[error("{place}:{line}: {message}")]
    File {
        /// The file.
        place: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what is near.
        message: String,
    },
    /// An environment variable does not fit.
    #[error("the environment variable `{name}` must be {want}")]
    Environment {
        /// The variable.
        name: String,
        /// What it must be.
        want: String,
    },
    /// The values do not make a configuration.
    #[error("the configuration is not acceptable: {0}")]
    Invalid(String),
}

/// Values given on the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags(BTreeMap<Key, toml::Value>);

impl Flags {
    /// Sets `key` of `section`, if a value was given.
    pub fn set<V: Into<toml::Value>>(&mut self, section: &str, key: &str, value: Option<V>) {
        if let Some(value) = value {
            self.0.insert((section.to_owned(), key.to_owned()), value.into());
        }
    }
}

/// The configuration in force, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The source of every key.
    pub sources: BTreeMap<Key, Source>,
    /// Environment variables that begin with `RAPPORT_` and mean nothing, with the nearest that would.
    pub strays: Vec<String>,
}

/// Variables that begin like ours and are no configuration of the server.
const OTHER_VARIABLES: [&str; 4] = ["RAPPORT_SERVER", "RAPPORT_KEY_FILE", "RAPPORT_CONFIG", "RAPPORT_DATA"];

/// Sections whose keys are names that the operator makes up.
const NAMED_SECTIONS: [&str; 1] = ["webhooks"];

/// Puts together the default, `file`, `environment` and `flags`, in rising order.
///
/// # Errors
/// [`ConfigError`] naming file and line, or the variable, that is wrong.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Loaded, ConfigError> {
    let mut values = Config::default().values();
    let mut sources: BTreeMap<Key, Source> = values.keys().map(|k| (k.clone(), Source::Default)).collect();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        for (key, value) in check_text(&path.display().to_string(), &text)? {
            sources.insert(key.clone(), Source::File(path.to_owned()));
            values.insert(key, value);
        }
    }
    let mut strays = Vec::new();
    for (name, text) in environment {
        if !name.starts_with("RAPPORT_") || OTHER_VARIABLES.contains(&name.as_str()) || name.contains("_TEST_") {
            continue;
        }
        let Some(key) = values.keys().find(|k| variable(k) == name).cloned() else {
            strays.push(stray(&name, values.keys()));
            continue;
        };
        let value = typed(&name, &text, &values[&key])?;
        values.insert(key.clone(), value);
        sources.insert(key, Source::Environment(name));
    }
    for (key, value) in &flags.0 {
        values.insert(key.clone(), value.clone());
        sources.insert(key.clone(), Source::Flag);
    }
    Ok(Loaded { config: assemble(values)?, sources, strays })
}

/// The environment variable of a key.
fn variable((section, key): &Key) -> String {
    format!("RAPPORT_{}_{}", section.to_uppercase(), key.to_uppercase())
}

fn stray<'a>(name: &str, keys: impl Iterator<Item = &'a Key>) -> String {
    let known: Vec<String> = keys.map(variable).collect();
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("{name} means nothing; did you mean {near}?"),
        None => format!("{name} means nothing"),
    }
}

fn typed(name: &str, text: &str, default: &toml::Value) -> Result<toml::Value, ConfigError> {
    let wrong = |want: &str| ConfigError::Environment { name: name.to_owned(), want: want.to_owned() };
    match default {
        toml::Value::Integer(_) => text.parse::<i64>().map(toml::Value::Integer).map_err(|_| wrong("a whole number")),
        toml::Value::Boolean(_) => text.parse().map(toml::Value::Boolean).map_err(|_| wrong("true or false")),
        toml::Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect()))
        }
        _ => Ok(toml::Value::String(text.to_owned())),
    }
}

fn assemble(values: BTreeMap<Key, toml::Value>) -> Result<Config, ConfigError> {
    let mut table = toml::Table::new();
    for ((section, key), value) in values {
        let entry = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(keys) = entry {
            keys.insert(key, value);
        }
    }
    table.try_into().map_err(|e: toml::de::Error| ConfigError::Invalid(e.message().to_owned()))
}

/// The values that a configuration file sets. `place` names it in messages.
///
/// # Errors
/// [`ConfigError::File`] with the line and, for an unknown key, the nearest one that is known.
pub fn check_text(place: &str, text: &str) -> Result<Vec<(Key, toml::Value)>, ConfigError> {
    let wrong =
        |at: usize, message: String| ConfigError::File { place: place.to_owned(), line: line_at(text, at), message };
    let parsed = DeTable::parse(text).map_err(|e| wrong(e.span().map_or(0, |s| s.start), e.message().to_owned()))?;
    let known = Config::default().values();
    for (section, body) in parsed.get_ref() {
        let name = section.get_ref().as_ref();
        let keys: Vec<&str> = known.keys().filter(|(s, _)| s == name).map(|(_, k)| k.as_str()).collect();
        let named = NAMED_SECTIONS.contains(&name);
        if keys.is_empty() && !named {
            let message = unknown("section", name, known.keys().map(|(s, _)| s.as_str()).chain(NAMED_SECTIONS));
            return Err(wrong(section.span().start, message));
        }
        let DeValue::Table(entries) = body.get_ref() else {
            return Err(wrong(section.span().start, format!("`{name}` is a section: write [{name}]")));
        };
        // The table is sorted by name; a person reads from the top.
        let mut in_order: Vec<_> = entries.keys().collect();
        in_order.sort_by_key(|k| k.span().start);
        for key in in_order {
            let text = key.get_ref().as_ref();
            if !named && !keys.contains(&text) {
                let message = unknown(&format!("key in [{name}]"), text, keys.iter().copied());
                return Err(wrong(key.span().start, message));
            }
        }
    }
    // Types and values, with the place that only a read of the text itself knows.
    toml::from_str::<Config>(text).map_err(|e| wrong(e.span().map_or(0, |s| s.start), e.message().to_owned()))?;
    let table: toml::Table =
        toml::from_str(text).map_err(|e| wrong(e.span().map_or(0, |s| s.start), e.message().to_owned()))?;
    let sections = table.into_iter().filter_map(|(name, v)| match v {
        toml::Value::Table(keys) => Some((name, keys)),
        _ => None,
    });
    Ok(sections.flat_map(|(name, keys)| keys.into_iter().map(move |(k, v)| ((name.clone(), k), v))).collect())
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("there is no {what} named `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} named `{name}`"),
    }
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count()
}
