//! Values of fields.

use std::fmt;

use rust_decimal::Decimal;

use crate::bindings::rapport::plugin::types::{Field as WireField, Value as Wire};

/// What a field holds.
///
/// Made from Rust values with [`From`], taken apart with [`TryFrom`]:
/// ```
/// use rapport_sdk::Value;
/// let value = Value::from("gold");
/// assert_eq!(String::try_from(value).unwrap(), "gold");
/// assert!(i64::try_from(Value::Null).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An exact decimal number.
    Decimal(Decimal),
    /// Text; a choice is a text too.
    Text(String),
    /// A calendar day, `2026-03-01`.
    Date(String),
    /// An instant.
    Time(Timestamp),
    /// Another record.
    Ref(Reference),
    /// Any JSON.
    Json(serde_json::Value),
}

/// An instant: microseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// Names a record: its object and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The object.
    pub object: String,
    /// The id.
    pub id: String,
}

impl Reference {
    /// The record `id` of `object`.
    #[must_use]
    pub fn new(object: impl Into<String>, id: impl Into<String>) -> Self {
        Self { object: object.into(), id: id.into() }
    }

    /// Reads `object/id`, or a bare id, whose object is then empty.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (object, id) = text.split_once('/').unwrap_or(("", text));
        Self::new(object, id)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() { f.write_str(&self.id) } else { write!(f, "{}/{}", self.object, self.id) }
    }
}

/// A value that is not of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongKind {
    /// What was asked for.
    pub expected: &'static str,
    /// What there is.
    pub found: &'static str,
}

impl fmt::Display for WrongKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for WrongKind {}

impl Value {
    /// What kind of value this is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Decimal(_) => "a decimal",
            Self::Text(_) => "a text",
            Self::Date(_) => "a date",
            Self::Time(_) => "a timestamp",
            Self::Ref(_) => "a reference",
            Self::Json(_) => "JSON",
        }
    }

    /// Whether this is [`Value::Null`].
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

macro_rules! conversions {
    ($($variant:ident($type:ty), $name:literal;)*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
        impl TryFrom<Value> for $type {
            type Error = WrongKind;
            fn try_from(value: Value) -> Result<Self, WrongKind> {
                match value {
                    Value::$variant(inner) => Ok(inner),
                    other => Err(WrongKind { expected: $name, found: other.kind() }),
                }
            }
        }
    )*};
}
conversions! {
    Bool(bool), "a boolean";
    Int(i64), "an integer";
    Text(String), "a text";
    Time(Timestamp), "a timestamp";
    Ref(Reference), "a reference";
    Json(serde_json::Value), "JSON";
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Self {
        Self::Decimal(value)
    }
}

impl TryFrom<Value> for Decimal {
    type Error = WrongKind;
    /// An integer is a decimal too.
    fn try_from(value: Value) -> Result<Self, WrongKind> {
        match value {
            Value::Decimal(d) => Ok(d),
            Value::Int(n) => Ok(Self::from(n)),
            other => Err(WrongKind { expected: "a decimal", found: other.kind() }),
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    /// `None` is [`Value::Null`].
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<Wire> for Value {
    /// What the host sends is well-formed; a decimal or JSON that is not would be kept as text.
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Null => Self::Null,
            Wire::Boolean(b) => Self::Bool(b),
            Wire::Integer(n) => Self::Int(n),
            Wire::Decimal(t) => Decimal::from_str_exact(&t).map_or(Self::Text(t), Self::Decimal),
            Wire::Text(t) => Self::Text(t),
            Wire::Date(t) => Self::Date(t),
            Wire::Timestamp(micros) => Self::Time(Timestamp(micros)),
            Wire::Reference(t) => Self::Ref(Reference::parse(&t)),
            Wire::Json(t) => serde_json::from_str(&t).map_or(Self::Text(t), Self::Json),
        }
    }
}

impl From<&Value> for Wire {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Boolean(*b),
            Value::Int(n) => Self::Integer(*n),
            Value::Decimal(d) => Self::Decimal(d.to_string()),
            Value::Text(t) => Self::Text(t.clone()),
            Value::Date(t) => Self::Date(t.clone()),
            Value::Time(t) => Self::Timestamp(t.0),
            Value::Ref(r) => Self::Reference(r.to_string()),
            Value::Json(j) => Self::Json(j.to_string()),
        }
    }
}

/// Field values by name, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These fields with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets `name` to `value`.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// The value of `name`; `None` if there is no such field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// Whether there is no field.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn from_wire(fields: Vec<WireField>) -> Self {
        Self(fields.into_iter().map(|f| (f.name, f.value.into())).collect())
    }

    pub(crate) fn to_wire(&self) -> Vec<WireField> {
        self.0.iter().map(|(name, value)| WireField { name: name.clone(), value: value.into() }).collect()
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(items: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in items {
            fields.set(name, value);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_border() {
        let all = [
            Value::Null,
            Value::Bool(true),
            Value::Int(-7),
            Value::Decimal(Decimal::new(1250, 2)),
            Value::Text("Zoë".into()),
            Value::Date("2026-03-01".into()),
            Value::Time(Timestamp(1)),
            Value::Ref(Reference::new("customer", "x")),
            Value::Json(serde_json::json!({ "a": [1] })),
        ];
        for value in all {
            assert_eq!(Value::from(Wire::from(&value)), value);
        }
    }

    #[test]
    fn an_integer_is_a_decimal_but_a_text_is_none() {
        assert_eq!(Decimal::try_from(Value::Int(3)), Ok(Decimal::from(3)));
        let wrong = Decimal::try_from(Value::from("3")).unwrap_err();
        assert_eq!(wrong.to_string(), "expected a decimal, found a text");
    }

    #[test]
    fn nothing_is_null() {
        assert_eq!(Value::from(None::<i64>), Value::Null);
        assert_eq!(Value::from(Some(1)), Value::Int(1));
        assert!(Value::default().is_null());
    }

    #[test]
    fn a_field_is_set_once() {
        let fields = Fields::new().with("a", 1).with("b", "x").with("a", 2);
        assert_eq!(fields.len(), 2);
        assert_eq!(fields.get("a"), Some(&Value::Int(2)));
        assert_eq!(fields.iter().map(|(n, _)| n).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_bare_id_is_a_reference_without_an_object() {
        assert_eq!(Reference::parse("customer/1"), Reference::new("customer", "1"));
        assert_eq!(Reference::parse("1").to_string(), "1");
    }
}
