//! Who acts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::automation::AutomationId;
use crate::id::RecordId;

/// Who acts: every engine call takes one, and every event names one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The host itself, for example when it declares the standard objects.
    System,
    /// A person, by the id of the `user` record.
    User(RecordId),
    /// An API key, by the id of the `api_key` record.
    Key(RecordId),
    /// A script or plugin.
    Automation(AutomationId),
}

/// A text that names no actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an actor: write `system`, `user:ID`, `key:ID` or `automation:NAME`")]
pub struct InvalidActor(String);

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Automation(id) => write!(f, "automation:{id}"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidActor;
    fn from_str(s: &str) -> Result<Self, InvalidActor> {
        let bad = || InvalidActor(s.chars().take(64).collect());
        if s == "system" {
            return Ok(Self::System);
        }
        let (kind, id) = s.split_once(':').ok_or_else(bad)?;
        match kind {
            "user" => id.parse().map(Self::User).map_err(|_| bad()),
            "key" => id.parse().map(Self::Key).map_err(|_| bad()),
            "automation" => AutomationId::new(id).map(Self::Automation).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
