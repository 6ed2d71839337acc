//! JSON Schema, the part of it that a plugin's actions and settings are described in.
//!
//! Understood are `type` (one or several), `properties`, `required`, `additionalProperties` (false, true or a schema), `items`,
//! `minItems`, `maxItems`, `enum`, `minimum`, `maximum`, `minLength`, `maxLength` (in characters), `pattern`, `format` (`date`,
//! `date-time`, `decimal`), `default`, `title`, `description` and `$schema`. Any other keyword is an error that names the nearest
//! known one: a schema never means less than it says. Patterns are searched in linear time, whatever they are.

mod check;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use regex_lite::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// The longest schema, in bytes of JSON.
pub const SCHEMA_BYTES_MAX: usize = 65_536;
/// The deepest nesting of schemas in each other.
pub const SCHEMA_DEPTH_MAX: usize = 16;
/// The most schemas in a schema.
pub const SCHEMA_NODES_MAX: usize = 500;
/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;

/// A schema that was read and can be held against values. Cheap to clone.
#[derive(Clone)]
pub struct JsonSchema {
    source: Arc<Json>,
    root: Arc<Node>,
}

/// A schema that cannot be used, or a value that does not fit one, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if pointer.is_empty() { String::new() } else { format!("{pointer}: ") })]
pub struct Misfit {
    /// The place, as a JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// What one schema says.
#[derive(Debug, Default)]
struct Node {
    kinds: Vec<Kind>,
    properties: BTreeMap<String, Node>,
    required: Vec<String>,
    additional: Additional,
    items: Option<Box<Node>>,
    item_count: (Option<u64>, Option<u64>),
    choices: Option<Vec<Json>>,
    range: (Option<serde_json::Number>, Option<serde_json::Number>),
    length: (Option<u64>, Option<u64>),
    pattern: Option<Regex>,
    format: Option<Format>,
    default: Option<Json>,
}

/// What becomes of properties that are not named.
#[derive(Debug, Default)]
enum Additional {
    /// They may be anything.
    #[default]
    Any,
    /// There may be none.
    None,
    /// They fit this.
    Fit(Box<Node>),
}

macro_rules! words {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident = $word:literal),* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum $kind { $($variant),* }

        impl $kind {
            const WORDS: &[&str] = &[$($word),*];

            fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// The type of a value.
    Kind {
        Null = "null",
        Boolean = "boolean",
        Integer = "integer",
        Number = "number",
        String = "string",
        Array = "array",
        Object = "object"
    }
}
words! {
    /// How a text reads.
    Format { Date = "date", DateTime = "date-time", Decimal = "decimal" }
}

impl JsonSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// [`Misfit`] with the place of what is not understood, too large or contradicts itself.
    pub fn read(source: Json) -> Result<Self, Misfit> {
        let root = read::whole(&source)?;
        Ok(Self { source: Arc::new(source), root: Arc::new(root) })
    }

    /// What `value` would have to be to fit, place by place, 20 places at most; nothing if it fits.
    #[must_use]
    pub fn misfits(&self, value: &Json) -> Vec<Misfit> {
        check::misfits(&self.root, value)
    }

    /// `value` with the defaults of the properties that it lacks.
    #[must_use]
    pub fn with_defaults(&self, mut value: Json) -> Json {
        check::fill(&self.root, &mut value);
        value
    }

    /// The text of the schema.
    #[must_use]
    pub fn source(&self) -> &Json {
        &self.source
    }

    /// Its properties by name, each a schema of its own.
    #[must_use]
    pub fn properties(&self) -> Map<String, Json> {
        self.source.get("properties").and_then(Json::as_object).cloned().unwrap_or_default()
    }

    /// Whether only objects fit.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.root.kinds == [Kind::Object]
    }

    /// What it gives for a value that is not there.
    #[must_use]
    pub fn default(&self) -> Option<&Json> {
        self.root.default.as_ref()
    }
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonSchema({})", self.source)
    }
}

impl PartialEq for JsonSchema {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Serialize for JsonSchema {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(s)
    }
}

impl<'de> Deserialize<'de> for JsonSchema {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::read(Json::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// `pointer` with one more step.
fn below(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}
