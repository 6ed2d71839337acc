//! Segments: which records belong together by a rule, by a list, or as they were at a moment.
//!
//! Declared by scripts and plugins; the engine keeps who belongs to them, and says who came and went.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cron::Cron;
use crate::limits::SEGMENT_NAME_BYTES_MAX;
use crate::name::Name;
use crate::zone::Zone;

/// The type of the event that says that a record has come into a segment. It comes from the core alone.
pub const ENTERED: &str = "segment.entered";
/// The type of the event that says that a record has left a segment. It comes from the core alone.
pub const LEFT: &str = "segment.left";
/// The system object that keeps where each segment stands.
pub const OBJECT: &str = "segment";

/// The name of a segment: `quiet-vip`. One in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName(Arc<str>);

/// A text that cannot name a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name for a segment: use a lower-case letter, then letters, digits, `-` and `_`, \
     {SEGMENT_NAME_BYTES_MAX} at most"
)]
pub struct InvalidSegmentName(String);

impl SegmentName {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// [`InvalidSegmentName`] if another character stands in it, it does not begin with a letter, or it is too long.
    pub fn new(text: &str) -> Result<Self, InvalidSegmentName> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if starts && text.bytes().all(ok) && text.len() <= SEGMENT_NAME_BYTES_MAX {
            return Ok(Self(text.into()));
        }
        Err(InvalidSegmentName(text.chars().take(100).collect()))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SegmentName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SegmentName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// When records come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentKind {
    /// Right after each event that matters, and at the instant at which time alone changes the answer.
    #[default]
    Live,
    /// At the instants of a schedule.
    Scheduled,
    /// Never: those for whom the rule held when it was filled stay.
    Frozen,
    /// When somebody adds or removes them.
    Manual,
}

impl SegmentKind {
    /// The names, as authors write them.
    pub const NAMES: &'static [&'static str] = &["live", "scheduled", "frozen", "manual"];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Scheduled => "scheduled",
            Self::Frozen => "frozen",
            Self::Manual => "manual",
        }
    }
}

fn customer() -> Name {
    Name::new("customer").expect("a letter and letters")
}

/// A segment as an automation declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentDef {
    /// Its name.
    pub name: SegmentName,
    /// One line that says who belongs to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Whose records.
    #[serde(default = "customer")]
    pub object: Name,
    /// When records come and go.
    #[serde(default)]
    pub kind: SegmentKind,
    /// For whom this holds; a manual segment has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// When a scheduled segment is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Cron>,
    /// By whose wall clock; UTC if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

impl SegmentDef {
    /// What is contradictory in it, in words for the author.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let name = &self.name;
        match (self.kind, &self.rule, &self.every) {
            (SegmentKind::Manual, Some(_), _) => {
                Some(format!("the segment `{name}` is manual: its members are a list, not a rule"))
            }
            (SegmentKind::Live | SegmentKind::Scheduled | SegmentKind::Frozen, None, _) => {
                let help = format!("write `segment(\"{name}\", \"lifetime_value > 1000\")`");
                Some(format!("the segment `{name}` needs a rule: {help}"))
            }
            (SegmentKind::Scheduled, _, None) => {
                Some(format!("the segment `{name}` is scheduled: say when, `every: \"0 3 * * *\"`"))
            }
            (kind, _, Some(_)) if kind != SegmentKind::Scheduled => {
                Some(format!("the segment `{name}` is {}: `every` goes with `kind: \"scheduled\"`", kind.as_str()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def(json: &str) -> Result<SegmentDef, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_name_and_a_rule_are_a_live_segment_of_customers() {
        let def = def(r#"{"name": "quiet-vip", "rule": "points > 3"}"#).unwrap();
        assert_eq!((def.object.as_str(), def.kind, def.problem()), ("customer", SegmentKind::Live, None));
    }

    #[test]
    fn contradictions_are_told_with_what_to_write() {
        for (json, words) in [
            (r#"{"name": "a"}"#, "needs a rule"),
            (r#"{"name": "a", "kind": "manual", "rule": "points > 3"}"#, "not a rule"),
            (r#"{"name": "a", "kind": "scheduled", "rule": "points > 3"}"#, "say when"),
            (r#"{"name": "a", "rule": "points > 3", "every": "0 3 * * *"}"#, "goes with"),
        ] {
            let problem = def(json).unwrap().problem().unwrap();
            assert!(problem.contains(words), "{problem}");
        }
        assert!(def(r#"{"name": "Quiet VIP"}"#).is_err());
    }
}
