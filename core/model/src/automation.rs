//! Automations: what a script or plugin declares, and what it may do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::formula::FormulaDeclaration;
use crate::json_schema::JsonSchema;
use crate::name::{EventType, Name};
use crate::plugin::{ActionDef, ActionName, Budgets, HookDef, MigrationDef, RouteDef, Texts};
use crate::rollup::RollupDeclaration;
use crate::schedule::ScheduleDef;
use crate::schema::{EventTypeDef, FieldDef, ObjectDef};
use crate::segment::SegmentDef;

/// The declared name of an automation: `points`, `tiers`, `loyalty/points`. Survives renames of its file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AutomationId(Arc<str>);

/// A text that cannot name an automation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name for an automation: use a lower-case letter, then letters, digits, `-`, `_` and `/`, 96 at most"
)]
pub struct InvalidAutomationId(String);

impl AutomationId {
    /// Checks `text` and makes it an id.
    ///
    /// # Errors
    /// [`InvalidAutomationId`] if another character stands in it, it does not begin with a letter, or it is too long.
    pub fn new(text: &str) -> Result<Self, InvalidAutomationId> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'/');
        if text.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && text.bytes().all(ok) && text.len() <= 96 {
            return Ok(Self(text.into()));
        }
        Err(InvalidAutomationId(text.chars().take(100).collect()))
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AutomationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AutomationId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AutomationId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// Which events start an automation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The event type, or `order.*` for every type that begins with `order.`.
    pub event: String,
    /// If not empty: only when one of these fields changed.
    #[serde(default)]
    pub changed: Vec<Name>,
    /// A rule over the event: see [`crate::rule`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

impl Trigger {
    /// Whether an event of type `kind` is meant, before fields and condition are looked at.
    #[must_use]
    pub fn matches_type(&self, kind: &EventType) -> bool {
        match self.event.strip_suffix('*') {
            Some(prefix) => kind.as_str().starts_with(prefix),
            None => self.event == kind.as_str(),
        }
    }
}

/// A setting that an operator can change without touching the code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingDef {
    /// Its name.
    pub name: String,
    /// What it is if nobody set it.
    pub default: serde_json::Value,
    /// What it must be; none: of the kind of its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonSchema>,
}

/// A field that an automation adds to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDeclaration {
    /// The object.
    pub object: Name,
    /// The field.
    pub field: FieldDef,
}

/// Everything that a script's top level or a plugin's manifest declares.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Declaration {
    /// One line that says what it is for.
    pub title: String,
    /// What starts it.
    pub triggers: Vec<Trigger>,
    /// When it starts by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleDef>,
    /// The segments that it keeps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentDef>,
    /// What it may do.
    pub uses: Vec<Capability>,
    /// What an operator can set.
    pub settings: Vec<SettingDef>,
    /// Objects it adds.
    pub objects: Vec<ObjectDef>,
    /// Fields it adds.
    pub fields: Vec<FieldDeclaration>,
    /// Roll-ups it adds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollups: Vec<RollupDeclaration>,
    /// Formulas it adds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub formulas: Vec<FormulaDeclaration>,
    /// Event types it adds.
    pub event_types: Vec<EventTypeDef>,
    /// Whether its runs may wait (`sleep`, `wait_for`, `wait_any`, `ask`, `invoke`): then their calls are journaled.
    #[serde(default)]
    pub waits: bool,
    /// Whether other automations may start its runs and wait for their result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invocable: bool,
    /// What a plugin does when it is asked by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionDef>,
    /// The addresses that a plugin answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteDef>,
    /// The changes that a plugin judges before they are committed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookDef>,
    /// Whether an undo of a plugin's run is the plugin's own doing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compensate: bool,
    /// The actions of other plugins that it calls; each also stands in `uses`, as `invoke:PLUGIN.ACTION`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ActionName>,
    /// How a plugin's data gets from one version to the next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<MigrationDef>,
    /// What a plugin asks to use of the operator's limits.
    #[serde(skip_serializing_if = "Budgets::is_empty")]
    pub budgets: Budgets,
    /// The scripts and templates that a plugin brings: `script:loyalty/earn`, `template:loyalty-welcome`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brings: Vec<String>,
    /// What people read, by language.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<String, Texts>,
}

impl Declaration {
    /// Whether anything starts it: an event, an instant, another automation, a call by name, a request, a change to judge.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        let by_itself = !self.triggers.is_empty() || !self.schedules.is_empty();
        let asked = !self.actions.is_empty() || !self.routes.is_empty() || !self.hooks.is_empty();
        by_itself || asked || self.invocable
    }

    /// The action of that name.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&ActionDef> {
        self.actions.iter().find(|action| action.name.as_str() == name)
    }
}

/// A right that a script's `uses(…)` or a plugin's manifest asks for: `customer:read`, `customer.points:write`,
/// `emit:tier.changed`, `invoke:credit-check`.
///
/// Actions on an object: `read`, `create`, `update`, `delete`, and `write` for the last three together. A field can be
/// named after a dot with `read` or `write`. `emit:TYPE` reports events of that type (`emit:loyalty.*` of all that begin so);
/// `invoke:AUTOMATION` starts runs of that automation and waits for their result, `invoke:PLUGIN.ACTION` calls that action.
/// `message:CHANNEL` sends messages, `http:HOST` calls that host at its scheme's usual port, `http:HOST:PORT` at that one
/// (`http:*.example.com`: every host below), `secret:NAME` lets a secret go along with a call. `script:ID` calls functions of that
/// script, `script:PREFIX/*` of all whose names begin so. `file:read`, `file:create`, `file:delete` and `file:write` are about files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capability {
    resource: Arc<str>,
    action: Arc<str>,
}

/// A text that is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a right: write `OBJECT:read|create|update|delete|write`, `OBJECT.FIELD:read|write`, `emit:EVENT.TYPE`, \
     `message:CHANNEL`, `http:HOST`, `secret:NAME`, `script:ID`, `script:PREFIX/*`, `invoke:AUTOMATION` or \
     `invoke:PLUGIN.ACTION`"
)]
pub struct InvalidCapability(String);

/// What a host call does, as far as rights go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// Reads records of an object.
    Read(&'a str),
    /// Reads a field of an object's records in bulk.
    ReadField(&'a str, &'a str),
    /// Creates a record of an object.
    Create(&'a str),
    /// Changes a field of an object's record.
    Write(&'a str, &'a str),
    /// Changes a record of an object, whichever field.
    Update(&'a str),
    /// Deletes a record of an object.
    Delete(&'a str),
    /// Reports an event of a type.
    Emit(&'a str),
    /// Sends messages through a channel.
    Message(&'a str),
    /// Calls a host, with its port unless that is the usual one of its scheme.
    Http(&'a str),
    /// Sends a secret along.
    Secret(&'a str),
    /// Starts a run of another automation and waits for its result.
    Invoke(&'a str),
    /// Calls functions of a script.
    Script(&'a str),
}

impl Need<'_> {
    /// The narrowest capability that covers this, as an author would write it.
    #[must_use]
    pub fn as_capability(&self) -> String {
        match self {
            Self::Read(object) => format!("{object}:read"),
            Self::ReadField(object, field) => format!("{object}.{field}:read"),
            Self::Create(object) => format!("{object}:create"),
            Self::Write(object, field) => format!("{object}.{field}:write"),
            Self::Update(object) => format!("{object}:update"),
            Self::Delete(object) => format!("{object}:delete"),
            Self::Emit(kind) => format!("emit:{kind}"),
            Self::Message(channel) => format!("message:{channel}"),
            Self::Http(host) => format!("http:{host}"),
            Self::Secret(name) => format!("secret:{name}"),
            Self::Invoke(automation) => format!("invoke:{automation}"),
            Self::Script(script) => format!("script:{script}"),
        }
    }
}

impl Capability {
    /// Whether this capability allows `need`.
    #[must_use]
    pub fn covers(&self, need: Need<'_>) -> bool {
        let (resource, action) = (&*self.resource, &*self.action);
        match need {
            Need::Read(object) => resource == object && action == "read",
            Need::ReadField(object, field) => {
                let (held, only) = resource.split_once('.').unwrap_or((resource, field));
                held == object && only == field && action == "read"
            }
            Need::Create(object) => resource == object && matches!(action, "create" | "write"),
            Need::Update(object) => resource == object && matches!(action, "update" | "write"),
            Need::Delete(object) => resource == object && matches!(action, "delete" | "write"),
            Need::Write(object, field) => match resource.split_once('.') {
                Some((o, f)) => o == object && f == field && action == "write",
                None => resource == object && matches!(action, "update" | "write"),
            },
            Need::Emit(kind) => {
                resource == "emit" && action.strip_suffix('*').map_or(action == kind, |p| kind.starts_with(p))
            }
            Need::Message(channel) => resource == "message" && action == channel,
            Need::Secret(name) => resource == "secret" && action == name,
            Need::Http(host) => {
                resource == "http" && action.strip_prefix('*').map_or(action == host, |below| host.ends_with(below))
            }
            Need::Invoke(automation) => resource == "invoke" && action == automation,
            Need::Script(script) => {
                resource == "script" && action.strip_suffix('*').map_or(action == script, |p| script.starts_with(p))
            }
        }
    }
}

impl Capability {
    /// Whether whoever has this right has `other` as well.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let (held, action) = (&*self.resource, &*self.action);
        match (other.resource.split_once('.'), &*other.action) {
            // A right to write an object holds for each of its fields; a right to read one as well.
            (Some((object, _)), "write") => held == object && matches!(action, "write" | "update"),
            (Some((object, _)), "read") => held == object && action == "read",
            (None, "create" | "update" | "delete") => held == &*other.resource && action == "write",
            (None, name) if matches!(held, "emit" | "script") && other.resource == self.resource => {
                action.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))
            }
            (None, host) if held == "http" && other.resource == self.resource => {
                action.strip_prefix('*').is_some_and(|below| host.ends_with(below))
            }
            _ => false,
        }
    }

    /// The automation that this right allows to invoke, if it is one to invoke.
    #[must_use]
    pub fn invokes(&self) -> Option<&str> {
        (&*self.resource == "invoke").then_some(&*self.action)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource, self.action)
    }
}

impl FromStr for Capability {
    type Err = InvalidCapability;
    fn from_str(text: &str) -> Result<Self, InvalidCapability> {
        let bad = || InvalidCapability(text.chars().take(100).collect());
        let (resource, action) = text.split_once(':').ok_or_else(bad)?;
        let valid = match (resource, resource.split_once('.')) {
            ("emit", _) => EventType::new(&action.replace('*', "x")).is_ok(),
            ("message", _) => Name::new(action).is_ok(),
            ("http", _) => is_host(action),
            ("secret", _) => is_secret_name(action),
            ("invoke", _) => AutomationId::new(action).is_ok() || action.parse::<ActionName>().is_ok(),
            ("script", _) => AutomationId::new(action.strip_suffix("/*").unwrap_or(action)).is_ok(),
            (_, Some((o, f))) => Name::new(o).is_ok() && Name::new(f).is_ok() && matches!(action, "read" | "write"),
            (o, None) => Name::new(o).is_ok() && matches!(action, "read" | "create" | "update" | "delete" | "write"),
        };
        if valid { Ok(Self { resource: resource.into(), action: action.into() }) } else { Err(bad()) }
    }
}

/// Whether `text` is a host with or without a port, in lower case: `api.example.com`, `*.example.com`, `127.0.0.1:8080`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'_');
    let named = !name.is_empty() && name.len() <= 253 && name.bytes().all(ok) && !name.starts_with('.');
    named && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Whether `text` can name a secret: lower-case letters, digits, `-` and `_`, 64 at most.
#[must_use]
pub fn is_secret_name(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(ok)
}

/// The host of `url` as a right names it, if it stands plainly there: in lower case, its port only if that is not the usual one.
///
/// For checks of what stands in a text: it says nothing where a URL needs more than a look.
#[must_use]
pub fn plain_host(url: &str) -> Option<String> {
    let (usual, rest) = match url.strip_prefix("https://") {
        Some(rest) => (":443", rest),
        None => (":80", url.strip_prefix("http://")?),
    };
    let host = rest.split(['/', '?', '#']).next()?;
    let host = host.strip_suffix(usual).unwrap_or(host);
    is_host(host).then(|| host.to_owned())
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(capability: &str, need: Need<'_>) -> bool {
        capability.parse::<Capability>().unwrap().covers(need)
    }

    #[test]
    fn a_field_right_covers_that_field_alone() {
        assert!(allows("customer.points:write", Need::Write("customer", "points")));
        assert!(!allows("customer.points:write", Need::Write("customer", "tier")));
        assert!(!allows("customer.points:write", Need::Create("customer")));
    }

    #[test]
    fn write_covers_create_update_and_delete_but_not_read() {
        assert!(allows("order:write", Need::Create("order")));
        assert!(allows("order:write", Need::Delete("order")));
        assert!(allows("order:write", Need::Write("order", "amount")));
        assert!(!allows("order:write", Need::Read("order")));
    }

    #[test]
    fn emit_takes_a_type_or_a_prefix() {
        assert!(allows("emit:tier.changed", Need::Emit("tier.changed")));
        assert!(allows("emit:tier.*", Need::Emit("tier.changed")));
        assert!(!allows("emit:tier.*", Need::Emit("order.paid")));
    }

    #[test]
    fn invoke_names_one_automation() {
        assert!(allows("invoke:risk/credit-check", Need::Invoke("risk/credit-check")));
        assert!(!allows("invoke:risk/credit-check", Need::Invoke("risk/other")));
        assert!("invoke:*".parse::<Capability>().is_err());
    }

    #[test]
    fn a_script_is_named_or_one_of_a_folder() {
        assert!(allows("script:surveys/nps", Need::Script("surveys/nps")));
        assert!(allows("script:surveys/*", Need::Script("surveys/eu/nps")));
        assert!(!allows("script:surveys/*", Need::Script("surveys")));
        assert!(!allows("script:surveys/*", Need::Script("surveys2/nps")));
        assert!("script:*".parse::<Capability>().is_err() && "script:surveys*".parse::<Capability>().is_err());
        let wider: Capability = "script:surveys/*".parse().unwrap();
        assert!(wider.includes(&"script:surveys/nps".parse().unwrap()));
        assert!(!wider.includes(&"script:loyalty/earn".parse().unwrap()));
    }

    #[test]
    fn a_host_is_covered_with_its_port_and_below_a_star() {
        assert!(allows("http:api.example.com", Need::Http("api.example.com")));
        assert!(!allows("http:api.example.com", Need::Http("api.example.com:8443")));
        assert!(allows("http:api.example.com:8443", Need::Http("api.example.com:8443")));
        assert!(allows("http:*.example.com", Need::Http("a.b.example.com")));
        assert!(!allows("http:*.example.com", Need::Http("example.com")));
        assert!(!allows("http:*.example.com", Need::Http("badexample.com")));
        assert!("http:*".parse::<Capability>().is_err() && "http:".parse::<Capability>().is_err());
    }

    #[test]
    fn the_host_of_a_plain_url_is_read() {
        assert_eq!(plain_host("https://api.example.com:443/x").as_deref(), Some("api.example.com"));
        assert_eq!(plain_host("http://127.0.0.1:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(plain_host("https://user@evil.com/"), None);
        assert_eq!(plain_host("https://API.example.com/"), None);
        assert_eq!(plain_host("https:\\\\evil.com"), None);
    }

    #[test]
    fn a_wider_right_includes_narrower_ones() {
        let includes = |held: &str, asked: &str| {
            held.parse::<Capability>().unwrap().includes(&asked.parse::<Capability>().unwrap())
        };
        for (held, asked) in [
            ("customer:read", "customer:read"),
            ("customer:write", "customer:create"),
            ("customer:write", "customer.tier:write"),
            ("customer:update", "customer.tier:write"),
            ("emit:tier.*", "emit:tier.changed"),
            ("http:*.example.com", "http:api.example.com"),
            ("http:*.example.com", "http:*.api.example.com"),
        ] {
            assert!(includes(held, asked), "{held} {asked}");
        }
        for (held, asked) in [
            ("customer:write", "customer:read"),
            ("customer:create", "customer.tier:write"),
            ("customer.tier:write", "customer:write"),
            ("emit:tier.changed", "emit:tier.*"),
            ("emit:tier.*", "emit:order.paid"),
            ("http:*.example.com", "http:*.badexample.com"),
            ("message:email", "message:webhook"),
            ("secret:a", "secret:b"),
        ] {
            assert!(!includes(held, asked), "{held} {asked}");
        }
    }

    #[test]
    fn an_action_of_a_plugin_is_invoked_by_its_name() {
        assert!(allows("invoke:loyalty.redeem", Need::Invoke("loyalty.redeem")));
        assert!(!allows("invoke:loyalty.redeem", Need::Invoke("loyalty.adjust")));
        assert!("invoke:a/b.c".parse::<Capability>().is_err());
    }

    #[test]
    fn a_declaration_from_before_plugins_had_actions_still_reads() {
        let old = r#"{"title":"t","triggers":[],"uses":["customer:read"],"settings":[{"name":"a","default":1}],
            "objects":[],"fields":[],"event_types":[],"waits":false}"#;
        let read: Declaration = serde_json::from_str(old).unwrap();
        assert!(read.actions.is_empty() && read.settings[0].schema.is_none());
        let written = serde_json::to_value(&read).unwrap();
        assert!(written.get("actions").is_none() && written.get("budgets").is_none() && written.get("texts").is_none());
    }

    #[test]
    fn an_unknown_action_is_refused() {
        assert!("customer:own".parse::<Capability>().is_err());
        assert!("customer".parse::<Capability>().is_err());
    }
}
