//! From the text of a schema to what it says.

use regex_lite::RegexBuilder;
use serde_json::{Map, Number, Value as Json};

use super::{
    Additional, Format, Kind, Misfit, Node, PATTERN_BYTES_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX,
    below, check,
};
use crate::nearest::nearest;

/// Bytes of memory that one pattern takes up when it is ready.
const PATTERN_MEMORY_MAX: usize = 256 << 10;

const KEYWORDS: [&str; 18] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "default",
    "title",
    "description",
    "$schema",
];

/// Reads a whole schema.
///
/// # Errors
/// [`Misfit`] at the place of the first thing that is wrong.
pub(super) fn whole(source: &Json) -> Result<Node, Misfit> {
    if crate::json::depth(source) > 2 * SCHEMA_DEPTH_MAX + 2 || source.to_string().len() > SCHEMA_BYTES_MAX {
        let message = format!("a schema has at most {SCHEMA_BYTES_MAX} bytes and {SCHEMA_DEPTH_MAX} levels");
        return Err(Misfit { pointer: String::new(), message });
    }
    let mut nodes = 0;
    Reader { nodes: &mut nodes, pointer: String::new(), level: 0 }.node(source)
}

/// Where in the schema the reading stands.
struct Reader<'a> {
    nodes: &'a mut usize,
    pointer: String,
    level: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, step: &str, message: impl Into<String>) -> Result<T, Misfit> {
        let pointer = if step.is_empty() { self.pointer.clone() } else { below(&self.pointer, step) };
        Err(Misfit { pointer, message: message.into() })
    }

    /// The schema at the end of `steps`.
    fn inner(&mut self, steps: &[&str], json: &Json) -> Result<Node, Misfit> {
        let pointer = steps.iter().fold(self.pointer.clone(), |pointer, step| below(&pointer, step));
        Reader { nodes: self.nodes, pointer, level: self.level + 1 }.node(json)
    }

    fn node(&mut self, json: &Json) -> Result<Node, Misfit> {
        *self.nodes += 1;
        if self.level > SCHEMA_DEPTH_MAX || *self.nodes > SCHEMA_NODES_MAX {
            let most = format!("at most {SCHEMA_NODES_MAX} schemas, {SCHEMA_DEPTH_MAX} in each other");
            return self.wrong("", format!("the schema is too large: {most}"));
        }
        let Some(map) = json.as_object() else {
            return self.wrong("", "a schema is an object such as {\"type\": \"string\"}");
        };
        if let Some(unknown) = map.keys().find(|key| !KEYWORDS.contains(&key.as_str())) {
            let help = nearest(unknown, KEYWORDS.into_iter()).map_or_else(
                || format!("understood are {}", KEYWORDS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return self.wrong("", format!("unknown keyword `{unknown}`; {help}"));
        }
        for text in ["title", "description", "$schema"] {
            self.text(map, text)?;
        }
        let mut node = Node {
            kinds: self.kinds(map)?,
            required: self.texts(map, "required")?,
            item_count: self.span(map, "minItems", "maxItems")?,
            length: self.span(map, "minLength", "maxLength")?,
            range: (self.number(map, "minimum")?, self.number(map, "maximum")?),
            choices: self.choices(map)?,
            ..Node::default()
        };
        self.objects(map, &mut node)?;
        node.items = map.get("items").map(|json| self.inner(&["items"], json)).transpose()?.map(Box::new);
        self.patterns(map, &mut node)?;
        if let Some(default) = map.get("default") {
            if let Some(misfit) = check::misfits(&node, default).into_iter().next() {
                return self.wrong("default", format!("it does not fit its own schema: {misfit}"));
            }
            node.default = Some(default.clone());
        }
        Ok(node)
    }

    fn objects(&mut self, map: &Map<String, Json>, node: &mut Node) -> Result<(), Misfit> {
        match map.get("properties") {
            None => {}
            Some(Json::Object(properties)) => {
                for (name, json) in properties {
                    let inner = self.inner(&["properties", name], json)?;
                    node.properties.insert(name.clone(), inner);
                }
            }
            Some(_) => return self.wrong("properties", "expected an object of schemas by name"),
        }
        node.additional = match map.get("additionalProperties") {
            None | Some(Json::Bool(true)) => Additional::Any,
            Some(Json::Bool(false)) => Additional::None,
            Some(json) => Additional::Fit(Box::new(self.inner(&["additionalProperties"], json)?)),
        };
        let closed = matches!(node.additional, Additional::None);
        if let Some(name) = node.required.iter().find(|name| closed && !node.properties.contains_key(*name)) {
            let hint = nearest(name, node.properties.keys().map(String::as_str));
            let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return self.wrong("required", format!("`{name}` is required, and no property has that name{hint}"));
        }
        Ok(())
    }

    fn kinds(&self, map: &Map<String, Json>) -> Result<Vec<Kind>, Misfit> {
        let words = match map.get("type") {
            None => return Ok(Vec::new()),
            Some(Json::String(word)) => vec![word.clone()],
            Some(_) => self.texts(map, "type")?,
        };
        let mut kinds = Vec::new();
        for word in words {
            let Some(kind) = Kind::parse(&word) else {
                return self.wrong("type", format!("there is no type `{word}`: write {}", Kind::WORDS.join(", ")));
            };
            kinds.push(kind);
        }
        Ok(kinds)
    }

    fn patterns(&self, map: &Map<String, Json>, node: &mut Node) -> Result<(), Misfit> {
        if let Some(pattern) = self.text(map, "pattern")? {
            if pattern.len() > PATTERN_BYTES_MAX {
                return self.wrong("pattern", format!("a pattern has at most {PATTERN_BYTES_MAX} bytes"));
            }
            match RegexBuilder::new(&pattern).size_limit(PATTERN_MEMORY_MAX).build() {
                Ok(regex) => node.pattern = Some(regex),
                Err(error) => return self.wrong("pattern", error.to_string()),
            }
        }
        if let Some(word) = self.text(map, "format")? {
            node.format = Format::parse(&word);
            if node.format.is_none() {
                return self
                    .wrong("format", format!("there is no format `{word}`: write {}", Format::WORDS.join(", ")));
            }
        }
        Ok(())
    }

    fn choices(&self, map: &Map<String, Json>) -> Result<Option<Vec<Json>>, Misfit> {
        match map.get("enum") {
            None => Ok(None),
            Some(Json::Array(list)) if !list.is_empty() => Ok(Some(list.clone())),
            Some(_) => self.wrong("enum", "expected a list of the values that fit"),
        }
    }

    fn number(&self, map: &Map<String, Json>, key: &str) -> Result<Option<Number>, Misfit> {
        match map.get(key) {
            None => Ok(None),
            Some(Json::Number(number)) => Ok(Some(number.clone())),
            Some(other) => self.wrong(key, format!("expected a number, got {other}")),
        }
    }

    fn span(&self, map: &Map<String, Json>, least: &str, most: &str) -> Result<(Option<u64>, Option<u64>), Misfit> {
        let whole = |key: &str| match map.get(key) {
            None => Ok(None),
            Some(json) => match json.as_u64() {
                Some(count) => Ok(Some(count)),
                None => self.wrong(key, format!("expected a whole number from 0, got {json}")),
            },
        };
        let (low, high) = (whole(least)?, whole(most)?);
        if low.zip(high).is_some_and(|(low, high)| low > high) {
            return self.wrong(least, format!("nothing fits: `{least}` is more than `{most}`"));
        }
        Ok((low, high))
    }

    fn text(&self, map: &Map<String, Json>, key: &str) -> Result<Option<String>, Misfit> {
        match map.get(key) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(other) => self.wrong(key, format!("expected a text, got {other}")),
        }
    }

    fn texts(&self, map: &Map<String, Json>, key: &str) -> Result<Vec<String>, Misfit> {
        let list = match map.get(key) {
            None => return Ok(Vec::new()),
            Some(Json::Array(list)) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        match list {
            Some(list) => Ok(list),
            None => self.wrong(key, "expected a list of texts"),
        }
    }
}
