//! Actions: what a plugin does when it is asked by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::automation::AutomationId;
use crate::json_schema::JsonSchema;
use crate::name::Name;

/// The name of an action beyond its plugin: `loyalty.redeem`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionName {
    /// The plugin.
    pub plugin: AutomationId,
    /// The action.
    pub action: Name,
}

/// A text that names no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no action: write PLUGIN.ACTION, such as `loyalty.redeem`")]
pub struct InvalidActionName(String);

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.plugin, self.action)
    }
}

impl FromStr for ActionName {
    type Err = InvalidActionName;
    fn from_str(text: &str) -> Result<Self, InvalidActionName> {
        let bad = || InvalidActionName(text.chars().take(100).collect());
        let (plugin, action) = text.split_once('.').ok_or_else(bad)?;
        let plugin = AutomationId::new(plugin).map_err(|_| bad())?;
        let action = Name::new(action).map_err(|_| bad())?;
        if plugin.as_str().contains('/') { Err(bad()) } else { Ok(Self { plugin, action }) }
    }
}

impl Serialize for ActionName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActionName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who may call an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallerKind {
    /// People and keys, through the API, the command line and the console.
    Api,
    /// Scripts with the right `invoke:PLUGIN.ACTION`.
    Scripts,
    /// Other plugins with that right.
    Plugins,
}

impl CallerKind {
    /// All names.
    pub const NAMES: &[&str] = &["api", "scripts", "plugins"];
    /// Who may call an action that does not say.
    pub const DEFAULT: [Self; 2] = [Self::Api, Self::Scripts];

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "api" => Some(Self::Api),
            "scripts" => Some(Self::Scripts),
            "plugins" => Some(Self::Plugins),
            _ => None,
        }
    }
}

/// An action as a plugin declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionDef {
    /// Its name; with the plugin's: `loyalty.redeem`.
    pub name: Name,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What its input must be; none: any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<JsonSchema>,
    /// What its output must be; none: any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<JsonSchema>,
    /// Whether it only reads: then it makes no event and no run, and every write in it is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
    /// Who may call it.
    pub callers: Vec<CallerKind>,
    /// The property of the input that names the record on whose lane the run works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Name>,
}

impl ActionDef {
    /// Whether callers of this kind may call it.
    #[must_use]
    pub fn may_be_called_by(&self, kind: CallerKind) -> bool {
        self.callers.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_named_with_its_plugin() {
        let name: ActionName = "my-loyalty.redeem".parse().unwrap();
        assert_eq!((name.plugin.as_str(), name.action.as_str()), ("my-loyalty", "redeem"));
        assert_eq!(name.to_string(), "my-loyalty.redeem");
        for bad in ["redeem", "a/b.c", "loyalty.", ".x", "loyalty.Redeem", "a.b.c"] {
            assert!(bad.parse::<ActionName>().is_err(), "{bad}");
        }
    }
}
