//! Validated names: of objects and fields ([`Name`]) and of event types ([`EventType`]).
//!
//! A name that exists is safe to put into SQL and into a path; nothing else may be.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of an object or a field, in bytes: with the prefix `o_` it fits PostgreSQL's 63.
pub const NAME_BYTES_MAX: usize = 48;
/// The longest event type, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 128;

/// A text that cannot be a name, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a {what}: {rule}")]
pub struct InvalidName {
    name: String,
    what: &'static str,
    rule: &'static str,
}

/// The name of an object or a field: a lower-case letter, then letters, digits and `_`, 48 bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// [`InvalidName`] if `text` is empty, too long or holds another character than `a-z`, `0-9` and `_`.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if starts && rest && text.len() <= NAME_BYTES_MAX {
            return Ok(Self(text.into()));
        }
        Err(InvalidName {
            name: text.chars().take(64).collect(),
            what: "name",
            rule: "use a lower-case letter, then letters, digits and `_`, 48 at most",
        })
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The type of an event: two or more names joined by dots, such as `order.paid`; 128 bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Checks `text` and makes it an event type.
    ///
    /// # Errors
    /// [`InvalidName`] if a part between dots is no name, or there is only one part.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let parts = text.split('.').count();
        if parts >= 2 && text.len() <= EVENT_TYPE_BYTES_MAX && text.split('.').all(|p| Name::new(p).is_ok()) {
            return Ok(Self(text.into()));
        }
        Err(InvalidName {
            name: text.chars().take(64).collect(),
            what: "event type",
            rule: "use two or more lower-case names joined by dots, such as `order.paid`",
        })
    }

    /// The type that the core gives to a change of a record of `object`: `<object>.created` and so on.
    #[must_use]
    pub fn of_record(object: &Name, what: RecordEventKind) -> Self {
        Self(format!("{object}.{}", what.as_str()).into())
    }

    /// The text of the type.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordEventKind {
    /// It was created.
    Created,
    /// Some of its fields changed.
    Updated,
    /// It was deleted.
    Deleted,
}

impl RecordEventKind {
    /// The last part of the event type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl $name {
            /// The text, shared: costs no copy.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(s: &str) -> Result<Self, InvalidName> {
                Self::new(s)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
text_type!(Name);
text_type!(EventType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_in_sql() {
        for good in ["a", "customer_no", "x9"] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "9a", "A", "a-b", "a b", "a\"", "é", &"a".repeat(49)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_type_has_two_parts() {
        assert!(EventType::new("order.paid").is_ok());
        assert!(EventType::new("order").is_err());
        assert!(EventType::new("order..paid").is_err());
    }
}
