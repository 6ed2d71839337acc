//! The registry of objects, fields and event types: data, changed at run time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::formula::FormulaDef;
use crate::name::{EventType, Name};
use crate::rollup::Rollup;

/// What kind of value a field holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum FieldKind {
    /// Text in NFC; compares bytewise.
    Text,
    /// A whole number, ±(2^53 − 1).
    Integer,
    /// An exact number with `scale` digits after the point, 15 digits in all.
    Decimal {
        /// Digits after the point, 0 to 6.
        scale: u8,
    },
    /// True or false.
    Boolean,
    /// A calendar day.
    Date,
    /// An instant in UTC, to the microsecond.
    Timestamp,
    /// One of a list of texts.
    Choice {
        /// The texts allowed.
        options: Vec<String>,
    },
    /// The id of a record of `object`.
    Reference {
        /// The object referred to.
        object: Name,
    },
    /// Any JSON value.
    Json,
    /// A set of short texts: see [`crate::tags`].
    Tags,
}

impl FieldKind {
    /// The name of the kind, as in the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal { .. } => "decimal",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Choice { .. } => "choice",
            Self::Reference { .. } => "reference",
            Self::Json => "json",
            Self::Tags => "tags",
        }
    }

    /// Whether `increment` works on a field of this kind.
    #[must_use]
    pub const fn is_number(&self) -> bool {
        matches!(self, Self::Integer | Self::Decimal { .. })
    }
}

/// A typed column of an object, or a typed field of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own, as authors write them")]
pub struct FieldDef {
    /// Its name.
    pub name: Name,
    /// What it holds.
    #[serde(flatten)]
    pub kind: FieldKind,
    /// A record without a value for it is refused by the gate.
    #[serde(default)]
    pub required: bool,
    /// No two records hold the same value (nulls aside); the record can be named by it. Made true by a unique index.
    #[serde(default)]
    pub unique: bool,
    /// Served by an index. Unique fields and references always are.
    #[serde(default)]
    pub indexed: bool,
    /// Other fields of the object, 1 to 8, that stand behind it in an index of its own, beside what `indexed` gives: groups and sums by
    /// them of the records with one value of this field are read from that index alone. See [`crate::covering`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexed_with: Vec<Name>,
    /// Its words can be looked for. A text alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub searchable: bool,
    /// What a new record gets if no value is given; JSON as in the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// It follows from other records, and nobody writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollup: Option<Box<Rollup>>,
}

impl FieldDef {
    /// A field that is neither required nor unique and has no default.
    #[must_use]
    pub const fn new(name: Name, kind: FieldKind) -> Self {
        Self {
            name,
            kind,
            required: false,
            unique: false,
            indexed: false,
            indexed_with: Vec::new(),
            searchable: false,
            default: None,
            rollup: None,
        }
    }

    /// The same field with what `other` has beyond it, if that is no contradiction: it may become searchable, and be indexed with
    /// others if it is with none.
    #[must_use]
    pub fn or_gained(&self, other: &Self) -> Self {
        let list = if self.indexed_with.is_empty() { &other.indexed_with } else { &self.indexed_with };
        Self { searchable: self.searchable || other.searchable, indexed_with: list.clone(), ..self.clone() }
    }
}

/// Where an object came from, and so who may change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The core declares it at every start (`customer`, `order`, …).
    Standard,
    /// The host's own (`user`, `api_key`): not readable or writable through records, scripts or plugins.
    System,
    /// Added at run time, by the API or a declaration.
    Custom,
}

/// A kind of record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectDef {
    /// Its name; the table is `o_<name>`.
    pub name: Name,
    /// Where it came from.
    pub origin: Origin,
    /// The reference field that gives a record its lane (`customer` for an order); `None`: the record itself is the lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Name>,
    /// Its fields, in the order they were added; a record's values stand in this order.
    pub fields: Vec<FieldDef>,
    /// What is computed when a record is read. Their values stand after all others, where a record is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formulas: Vec<FormulaDef>,
    /// What is kept beside its roll-up fields, to go on from. It follows from them: see [`crate::rollup::settle`]. A record's values
    /// of these stand after those of the fields.
    #[serde(skip)]
    pub hidden: Vec<HiddenDef>,
}

/// A column that is kept beside a roll-up field and never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenDef {
    /// The roll-up field that it belongs to.
    pub of: Name,
    /// Its name, which no field can have.
    pub column: String,
    /// What it holds.
    pub kind: FieldKind,
}

impl ObjectDef {
    /// An object with these fields.
    #[must_use]
    pub const fn new(name: Name, origin: Origin, lane: Option<Name>, fields: Vec<FieldDef>) -> Self {
        Self { name, origin, lane, fields, formulas: Vec::new(), hidden: Vec::new() }
    }

    /// The place of the first formula among a record's values.
    #[must_use]
    pub const fn first_formula(&self) -> usize {
        self.fields.len() + self.hidden.len()
    }

    /// The formula `name`.
    #[must_use]
    pub fn formula(&self, name: &str) -> Option<&FormulaDef> {
        self.formulas.iter().find(|formula| formula.name.as_str() == name)
    }

    /// The kinds of a record's values, in their order: those of the fields, then the hidden ones.
    pub fn kinds(&self) -> impl Iterator<Item = &FieldKind> {
        self.fields.iter().map(|field| &field.kind).chain(self.hidden.iter().map(|hidden| &hidden.kind))
    }

    /// The names of the columns, in the order of a record's values.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .map(|field| field.name.as_str())
            .chain(self.hidden.iter().map(|hidden| hidden.column.as_str()))
    }

    /// The place of the first hidden value of the roll-up field `name` among a record's values.
    #[must_use]
    pub fn hidden_position(&self, name: &Name) -> Option<usize> {
        self.hidden.iter().position(|hidden| hidden.of == *name).map(|place| self.fields.len() + place)
    }

    /// The place of the field `name` among the fields.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name.as_str() == name)
    }

    /// The field `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldDef> {
        self.fields.iter().find(|f| f.name.as_str() == name)
    }

    /// The fields whose words can be looked for, with their places.
    pub fn searchable_fields(&self) -> impl Iterator<Item = (usize, &FieldDef)> {
        self.fields.iter().enumerate().filter(|(_, f)| f.searchable)
    }

    /// The unique fields, by which a record can be named.
    pub fn unique_fields(&self) -> impl Iterator<Item = &FieldDef> {
        self.fields.iter().filter(|f| f.unique)
    }
}

/// A kind of event that may come from outside or be emitted by automations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTypeDef {
    /// Its name.
    pub name: EventType,
    /// Its fields; a field that is not declared is refused by name.
    pub fields: Vec<FieldDef>,
    /// Accepts an event whose subject names no record (it then belongs to no lane). Otherwise such an event is refused.
    #[serde(default)]
    pub subject_optional: bool,
}

/// Everything that is declared, as of one epoch. Immutable: a change makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Counts up with every change.
    pub epoch: i64,
    /// The objects by name.
    pub objects: HashMap<Name, Arc<ObjectDef>>,
    /// The event types declared, by name; the types of record events are not among them.
    pub event_types: BTreeMap<EventType, Arc<EventTypeDef>>,
}

impl Schema {
    /// The object `name`.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<&Arc<ObjectDef>> {
        self.objects.get(name)
    }

    /// The event type `name`.
    #[must_use]
    pub fn event_type(&self, name: &str) -> Option<&Arc<EventTypeDef>> {
        self.event_types.get(name)
    }

    /// The objects in the order of their names.
    #[must_use]
    pub fn sorted_objects(&self) -> Vec<Arc<ObjectDef>> {
        let mut all: Vec<_> = self.objects.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// One additive change of the registry. Applying the same change twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum SchemaChange {
    /// Adds an object with its fields.
    AddObject(ObjectDef),
    /// Adds a field to an object.
    AddField {
        /// The object.
        object: Name,
        /// The field.
        field: FieldDef,
    },
    /// Adds a formula to an object.
    AddFormula {
        /// The object.
        object: Name,
        /// The formula.
        formula: FormulaDef,
    },
    /// Adds an event type, or adds fields to one that exists.
    AddEventType(EventTypeDef),
}
