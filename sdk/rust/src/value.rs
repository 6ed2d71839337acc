//! Values, records, events and errors made handy.

use crate::{Error, Event, Field, Record, Value};

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&Self> for Value {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Value {
    /// A whole number, if this is one.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The text of a text, decimal, date, reference or JSON value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Decimal(text) | Self::Date(text) | Self::Reference(text) | Self::Json(text) => {
                Some(text)
            }
            _ => None,
        }
    }

    /// True or false, if this is one of them.
    #[must_use]
    pub const fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Equal as the host sees it: same kind, same content.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) | (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Decimal(a), Self::Decimal(b))
            | (Self::Text(a), Self::Text(b))
            | (Self::Date(a), Self::Date(b))
            | (Self::Reference(a), Self::Reference(b))
            | (Self::Json(a), Self::Json(b)) => a == b,
            _ => false,
        }
    }
}

fn field<'a>(fields: &'a [Field], name: &str) -> Option<&'a Value> {
    fields.iter().find(|f| f.name == name).map(|f| &f.value)
}

impl Record {
    /// The value of the field `name`; `None` if the object has no such field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        field(&self.fields, name)
    }

    /// The whole number in the field `name`, if there is one.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_integer)
    }

    /// The text in the field `name`, if there is one.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_text)
    }

    /// `object/id`: how this record is named as the subject of an event.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}/{}", self.object, self.id)
    }
}

impl Event {
    /// A field of a declared event.
    #[must_use]
    pub fn data(&self, name: &str) -> Option<&Value> {
        field(&self.data, name)
    }

    /// The value of a field before the change, if the change touched it.
    #[must_use]
    pub fn before(&self, name: &str) -> Option<&Value> {
        field(&self.before, name)
    }

    /// The value of a field after the change, if the change touched it.
    #[must_use]
    pub fn after(&self, name: &str) -> Option<&Value> {
        field(&self.after, name)
    }
}

impl Error {
    /// An error that would come again: the run goes to the dead letters.
    #[must_use]
    pub fn permanent(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), retryable: false }
    }

    /// An error that may pass: the run is tried again later.
    #[must_use]
    pub fn retryable(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), retryable: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_becomes_a_value_or_null() {
        assert_eq!(Value::from(Some("gold")), Value::Text("gold".into()));
        assert_eq!(Value::from(None::<&str>), Value::Null);
    }

    #[test]
    fn values_of_different_kinds_differ() {
        assert_ne!(Value::Text("1".into()), Value::Decimal("1".into()));
    }
}
