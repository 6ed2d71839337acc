//! Which field takes which column, and what a cell becomes.
//!
//! A cell that does not fit its field is sent as it stands: the server refuses the row and says what would fit.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rapport_model::schema::ObjectDef;
use rapport_model::{FieldDef, FieldKind, Timestamp};
use serde_json::{Map, Value as Json};

use super::{Failure, ImportArgs};

/// Reads times that name no zone.
pub(super) struct TimeReader {
    zone: TimeZone,
    format: Option<String>,
}

impl TimeReader {
    /// A reader for times of the zone named.
    pub(super) fn new(zone: &str, format: Option<String>) -> Result<Self, Failure> {
        let zone = TimeZone::get(zone).map_err(|e| Failure::Usage(format!("`--tz {zone}`: {e}")))?;
        Ok(Self { zone, format })
    }

    /// The instant that `text` means; none if it is no time. In an hour that a zone's clock shows twice, the first; in one
    /// that it skips, as much after the gap as the text is into it.
    fn instant(&self, text: &str) -> Option<Timestamp> {
        let civil: DateTime = if let Some(format) = &self.format {
            let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
            if let Ok(instant) = parsed.to_timestamp() {
                return Some(Timestamp::from_micros(instant.as_microsecond()));
            }
            parsed.to_datetime().or_else(|_| parsed.to_date().map(Into::into)).ok()?
        } else {
            if let Ok(instant) = text.parse::<Timestamp>() {
                return Some(instant);
            }
            text.parse().ok()?
        };
        let instant = civil.to_zoned(self.zone.clone()).ok()?.timestamp();
        Some(Timestamp::from_micros(instant.as_microsecond()))
    }
}

/// Where a value comes from.
enum Origin {
    Column(usize),
    Constant(String),
}

/// One field of the record, or of a record that it refers to.
struct Target {
    name: String,
    kind: FieldKind,
    unique: bool,
    origin: Origin,
}

/// The fields of a record that the row's record refers to.
struct Nested {
    field: String,
    targets: Vec<Target>,
}

/// Makes rows into JSON.
pub(super) struct Mapping {
    columns: usize,
    targets: Vec<Target>,
    nested: Vec<Nested>,
    times: TimeReader,
    decimal_comma: bool,
    tag_separator: String,
}

impl Mapping {
    /// Reads the flags against the server's objects and the file's columns.
    pub(super) fn new(
        args: &ImportArgs,
        objects: &Json,
        columns: &[String],
        times: TimeReader,
    ) -> Result<Self, Failure> {
        let objects = objects_of(objects)?;
        let object = find_object(&objects, &args.object)?;
        let mut mapping = Self {
            columns: columns.len(),
            targets: Vec::new(),
            nested: Vec::new(),
            times,
            decimal_comma: args.decimal_comma,
            tag_separator: args.tag_separator.clone(),
        };
        for text in &args.maps {
            let (field, column) = split(text, "--map FIELD=COLUMN")?;
            let origin = Origin::Column(column_index(columns, column)?);
            mapping.add(&objects, object, (field, origin))?;
        }
        for text in &args.constants {
            let (field, value) = split(text, "--const FIELD=VALUE")?;
            mapping.add(&objects, object, (field, Origin::Constant(value.to_owned())))?;
        }
        mapping.check(args)?;
        Ok(mapping)
    }

    fn add(
        &mut self,
        objects: &[ObjectDef],
        object: &ObjectDef,
        (path, origin): (&str, Origin),
    ) -> Result<(), Failure> {
        let (own, inner) = path.split_once('.').map_or((path, None), |(own, inner)| (own, Some(inner)));
        let field = find_field(object, own)?;
        let Some(inner) = inner else {
            if self.targets.iter().any(|t| t.name == own) || self.nested.iter().any(|n| n.field == own) {
                return Err(Failure::Usage(format!("`{own}` is given twice")));
            }
            self.targets.push(target(field, origin));
            return Ok(());
        };
        let FieldKind::Reference { object: other } = &field.kind else {
            return Err(Failure::Usage(format!("`{path}`: `{own}` refers to no record")));
        };
        let inner = target(find_field(find_object(objects, other.as_str())?, inner)?, origin);
        if self.targets.iter().any(|t| t.name == own) {
            return Err(Failure::Usage(format!("`{own}` is given twice")));
        }
        match self.nested.iter_mut().find(|n| n.field == own) {
            Some(nested) if nested.targets.iter().any(|t| t.name == inner.name) => {
                Err(Failure::Usage(format!("`{path}` is given twice")))
            }
            Some(nested) => {
                nested.targets.push(inner);
                Ok(())
            }
            None => {
                self.nested.push(Nested { field: own.to_owned(), targets: vec![inner] });
                Ok(())
            }
        }
    }

    fn check(&self, args: &ImportArgs) -> Result<(), Failure> {
        let mapped = |name: &str| self.targets.iter().find(|t| t.name == name);
        let key = mapped(&args.key);
        let key = key.ok_or_else(|| Failure::Usage(format!("--key {0}: map it: --map {0}=COLUMN", args.key)))?;
        if !key.unique {
            return Err(Failure::Usage(format!("--key {}: is not a unique field of `{}`", args.key, args.object)));
        }
        if let Some(time) = &args.time
            && !mapped(time).is_some_and(|t| t.kind == FieldKind::Timestamp)
        {
            return Err(Failure::Usage(format!("--time {time}: map a field that holds an instant")));
        }
        match self.nested.iter().find(|n| !n.targets.iter().any(|t| t.unique)) {
            Some(n) => Err(Failure::Usage(format!(
                "`{}`: map a unique field of it, which tells which record is meant",
                n.field
            ))),
            None => Ok(()),
        }
    }

    /// The row as JSON, or why it cannot be read.
    pub(super) fn row(&self, cells: &csv::ByteRecord) -> Result<Json, String> {
        if cells.len() != self.columns {
            return Err(format!("the row has {} cells and the head {}", cells.len(), self.columns));
        }
        let mut map = Map::new();
        for target in &self.targets {
            map.insert(target.name.clone(), self.value(target, cells)?);
        }
        for nested in &self.nested {
            map.insert(nested.field.clone(), self.reference(nested, cells)?);
        }
        Ok(Json::Object(map))
    }

    /// The record referred to; null if no unique field of it has a value.
    fn reference(&self, nested: &Nested, cells: &csv::ByteRecord) -> Result<Json, String> {
        let mut map = Map::new();
        let mut named = false;
        for target in &nested.targets {
            let value = self.value(target, cells)?;
            named |= target.unique && !value.is_null();
            map.insert(target.name.clone(), value);
        }
        // A unique field without a value names nobody; sent along it would not fit.
        map.retain(|_, value| !value.is_null());
        Ok(if named { Json::Object(map) } else { Json::Null })
    }

    fn value(&self, target: &Target, cells: &csv::ByteRecord) -> Result<Json, String> {
        let text = match &target.origin {
            Origin::Constant(text) => text.as_str(),
            Origin::Column(index) => {
                let bytes = cells.get(*index).unwrap_or_default();
                std::str::from_utf8(bytes)
                    .map_err(|_| "the row holds bytes that are none of the file's encoding: name it with --encoding")?
            }
        };
        let trimmed = text.trim();
        if trimmed.is_empty() && target.kind != FieldKind::Tags {
            return Ok(Json::Null);
        }
        let shown = || Json::String(trimmed.to_owned());
        Ok(match &target.kind {
            FieldKind::Text => Json::String(text.to_owned()),
            FieldKind::Integer => self.number(trimmed).parse::<i64>().map_or_else(|_| shown(), Json::from),
            FieldKind::Decimal { .. } => Json::String(self.number(trimmed)),
            FieldKind::Boolean => boolean(trimmed).map_or_else(shown, Json::Bool),
            FieldKind::Timestamp => self.times.instant(trimmed).map_or_else(shown, |t| Json::String(t.to_string())),
            FieldKind::Json => crate::strict_json::parse(trimmed.as_bytes()).unwrap_or_else(|_| shown()),
            FieldKind::Tags => self.tags(trimmed),
            FieldKind::Date | FieldKind::Choice { .. } | FieldKind::Reference { .. } => shown(),
        })
    }

    /// The tags in a cell. They are added to those that the record has.
    fn tags(&self, text: &str) -> Json {
        let tags: Vec<&str> =
            text.split(self.tag_separator.as_str()).map(str::trim).filter(|t| !t.is_empty()).collect();
        serde_json::json!({ "add": tags })
    }

    fn number(&self, text: &str) -> String {
        if !self.decimal_comma {
            return text.to_owned();
        }
        let grouping = |c: char| matches!(c, '.' | ' ' | '\u{a0}' | '\u{202f}' | '\'');
        text.chars().filter(|c| !grouping(*c)).map(|c| if c == ',' { '.' } else { c }).collect()
    }
}

fn target(field: &FieldDef, origin: Origin) -> Target {
    Target { name: field.name.to_string(), kind: field.kind.clone(), unique: field.unique, origin }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "on" => Some(true),
        "false" | "no" | "n" | "0" | "off" => Some(false),
        _ => None,
    }
}

fn objects_of(answer: &Json) -> Result<Vec<ObjectDef>, Failure> {
    let items = answer.get("items").cloned().unwrap_or(Json::Null);
    serde_json::from_value(items).map_err(|e| Failure::Failed(format!("the server's objects cannot be read: {e}")))
}

fn split<'a>(text: &'a str, want: &str) -> Result<(&'a str, &'a str), Failure> {
    let halves = text.split_once('=').map(|(a, b)| (a.trim(), b.trim()));
    halves.filter(|(a, _)| !a.is_empty()).ok_or_else(|| Failure::Usage(format!("`{text}`: write {want}")))
}

fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    rapport_model::nearest::nearest(name, known).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default()
}

fn column_index(columns: &[String], name: &str) -> Result<usize, Failure> {
    let mut found = columns.iter().enumerate().filter(|(_, c)| *c == name).map(|(i, _)| i);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("the file has two columns `{name}`"))),
        (None, _) => {
            let hint = did_you_mean(name, columns.iter().map(String::as_str));
            Err(Failure::Usage(format!("the file has no column `{name}`{hint}")))
        }
    }
}

fn find_object<'a>(objects: &'a [ObjectDef], name: &str) -> Result<&'a ObjectDef, Failure> {
    let found = objects.iter().find(|o| o.name.as_str() == name);
    found.ok_or_else(|| {
        let hint = did_you_mean(name, objects.iter().map(|o| o.name.as_str()));
        Failure::Usage(format!("there is no object `{name}`{hint}"))
    })
}

fn find_field<'a>(object: &'a ObjectDef, name: &str) -> Result<&'a FieldDef, Failure> {
    object.field(name).ok_or_else(|| {
        let hint = did_you_mean(name, object.fields.iter().map(|f| f.name.as_str()));
        Failure::Usage(format!("`{}` has no field `{name}`{hint}", object.name))
    })
}

#[cfg(test)]
mod tests;
