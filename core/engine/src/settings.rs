//! Settings: the values that an operator gives to what an automation declares.
//!
//! Values are a part of the version: content and values together have a digest of their own, so that a run keeps the
//! values that it started with, and new content keeps the values that its operator chose as long as they still fit.
//! Where every value is the declared default, the version is the content itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use rapport_model::automation::SettingDef;
use rapport_model::json::depth;
use rapport_model::limits::JSON_DEPTH_MAX;
use rapport_model::nearest::nearest;
use rapport_model::record::Put;
use rapport_model::{AutomationId, Declaration, Digest, Value};
use rapport_store::{Activation, Artifact, ArtifactKind, AutomationChange, UnitOfWork};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::automations::Activated;
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, FieldProblem};
use crate::gate::{Act, Caller};
use crate::registry::Version;

/// The most bytes that the values of one automation take up as JSON.
const VALUES_BYTES_MAX: usize = 65_536;

/// The values that differ from their defaults, by name.
pub(crate) type Overrides = BTreeMap<String, Json>;

/// Content with values: what an artifact of the kind `settings` holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    content: Digest,
    settings: Overrides,
}

impl Engine {
    /// Gives the live automation `id` these values; settings that are not named go back to their defaults. Content and
    /// values are a version of their own: runs that wait keep the values that they started with.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`] if it is not live; [`EngineError::Invalid`] for every value
    /// that is not of its setting's kind, or names none. Then nothing is changed.
    pub async fn set_settings(
        &self,
        caller: &Caller,
        id: &str,
        values: &Map<String, Json>,
    ) -> Result<Activated, EngineError> {
        caller.everywhere(Act::Admin)?;
        let unknown = || EngineError::not_found(format!("live automation `{id}`"));
        let name = AutomationId::new(id).map_err(|_| unknown())?;
        let _one = self.inner.activating.lock().await;
        let live = self.inner.snapshot.load().version(&name).cloned().ok_or_else(unknown)?;
        let overrides = checked(&live.declaration, values)?;
        let path = self.inner.store.artifact(&live.content).await?.map(|content| content.path).unwrap_or_default();
        let (version, artifact) = match configured(&live, overrides, path)? {
            Some((version, artifact)) => (Arc::new(version), Some(artifact)),
            None => (self.inner.version(&name, &live.content).await?, None),
        };
        let answer = Activated::of(&version, version.digest != live.digest);
        if answer.changed {
            let mut changes: Vec<_> = artifact.map(AutomationChange::PutArtifact).into_iter().collect();
            changes.push(AutomationChange::Activate(activation(&version)?));
            self.inner.make_live(caller, version, changes, Vec::new()).await?;
        }
        Ok(answer)
    }
}

impl Inner {
    /// Makes `version` live in one unit with `changes`: the artifacts that it needs, and [`activation`] or a roll-back; and with
    /// `puts`, which say where the plugin stands that it belongs to.
    pub(crate) async fn make_live(
        &self,
        caller: &Caller,
        version: Arc<Version>,
        changes: Vec<AutomationChange>,
        puts: Vec<Put>,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.automations = changes;
        unit.puts = self.schedule_puts(&version.id, &version.declaration.schedules, now);
        unit.puts.extend(self.segment_puts(&version.id, &version.declaration.segments, (now, false)));
        let of_plugin = !puts.is_empty();
        unit.puts.extend(puts);
        self.store.commit(unit).await?;
        if of_plugin {
            // Before the version takes events: its first slice needs the grant.
            self.load_plugins().await?;
        }
        self.load_schedules().await?;
        self.keep_version(version.clone());
        self.replace(|active| {
            active.retain(|v| v.id != version.id);
            active.push(version);
            active.sort_by(|a, b| a.id.cmp(&b.id));
        });
        // What is to be filled is looked for among what is live.
        self.load_segments().await?;
        Ok(())
    }

    /// The values that the operator chose for `id`, as far as they fit `declaration`.
    pub(crate) async fn kept_overrides(
        &self,
        id: &AutomationId,
        declaration: &Declaration,
    ) -> Result<Overrides, EngineError> {
        let rows = self.store.automations().await?;
        let row = rows.into_iter().find(|row| row.id == *id);
        let chosen: Overrides =
            row.map(|row| serde_json::from_str(&row.settings).unwrap_or_default()).unwrap_or_default();
        let fits = |name: &String, value: &Json| {
            let def = declaration.settings.iter().find(|def| def.name == *name);
            def.is_some_and(|def| misfits(def, value).is_empty() && def.default != *value)
        };
        Ok(chosen.into_iter().filter(|(name, value)| fits(name, value)).collect())
    }

    /// The version that an artifact of the kind `settings` names.
    pub(crate) async fn configured_version(
        &self,
        id: &AutomationId,
        artifact: &Artifact,
    ) -> Result<Version, EngineError> {
        let damaged = |e| EngineError::Plugin(format!("the settings {} of `{id}` are damaged: {e}", artifact.digest));
        let Configured { content, settings } = serde_json::from_slice(&artifact.bytes).map_err(damaged)?;
        let base = Box::pin(self.version(id, &content)).await?;
        Ok(with_values(&base, artifact.digest, settings))
    }

    /// What the content of an automation is: settings are looked through.
    pub(crate) async fn content_kind(&self, digest: &Digest, kind: ArtifactKind) -> Result<ArtifactKind, EngineError> {
        if kind != ArtifactKind::Settings {
            return Ok(kind);
        }
        let artifact = self.store.artifact(digest).await?;
        let Some(content) = artifact.as_ref().and_then(content_of) else { return Ok(kind) };
        Ok(self.store.artifact(&content).await?.map_or(kind, |content| content.kind))
    }
}

/// What the store is told of a version that becomes live.
pub(crate) fn activation(version: &Version) -> Result<Activation, EngineError> {
    let text = |json: serde_json::Result<String>| json.map_err(|e| EngineError::Internal(e.to_string()));
    Ok(Activation {
        id: version.id.clone(),
        digest: version.digest,
        declaration: text(serde_json::to_string(&version.declaration))?,
        settings: text(serde_json::to_string(&version.overrides))?,
    })
}

/// The values that an artifact of the kind `settings` gives.
pub(crate) fn values_of(artifact: &Artifact) -> Overrides {
    serde_json::from_slice::<Configured>(&artifact.bytes).map(|configured| configured.settings).unwrap_or_default()
}

/// The content that an artifact of the kind `settings` gives values to.
pub(crate) fn content_of(artifact: &Artifact) -> Option<Digest> {
    serde_json::from_slice::<Configured>(&artifact.bytes).ok().map(|configured| configured.content)
}

/// `content`, which lies at `path`, with `overrides` as a version, and the artifact that names it; nothing if there are no
/// overrides.
pub(crate) fn configured(
    content: &Version,
    overrides: Overrides,
    path: String,
) -> Result<Option<(Version, Artifact)>, EngineError> {
    if overrides.is_empty() {
        return Ok(None);
    }
    let body = Configured { content: content.content, settings: overrides };
    let bytes = serde_json::to_vec(&body).map_err(|e| EngineError::Internal(e.to_string()))?;
    let digest = Digest::of(&bytes);
    let artifact = Artifact { digest, kind: ArtifactKind::Settings, path, bytes: bytes.into() };
    Ok(Some((with_values(content, digest, body.settings), artifact)))
}

/// The same version for another workspace: what is compiled belongs to the schema that it was compiled for.
pub(crate) fn elsewhere(version: &Version) -> Version {
    with_values(version, version.digest, version.overrides.clone())
}

fn with_values(content: &Version, digest: Digest, overrides: Overrides) -> Version {
    let mut settings = defaults(&content.declaration);
    settings.extend(overrides.iter().map(|(name, value)| (name.clone(), plain_value(value))));
    Version {
        id: content.id.clone(),
        kind: content.kind,
        digest,
        content: content.content,
        declaration: content.declaration.clone(),
        settings,
        overrides,
        program: content.program.clone(),
        compiled: Mutex::default(),
    }
}

/// The declared settings with their defaults and their values, for people and programs.
pub(crate) fn shown(declaration: &Json, chosen: &str) -> Json {
    let chosen: Overrides = serde_json::from_str(chosen).unwrap_or_default();
    let defs = declaration["settings"].as_array().map_or(&[][..], Vec::as_slice);
    let one = |def: &Json| {
        let value = def["name"].as_str().and_then(|name| chosen.get(name)).unwrap_or(&def["default"]);
        let mut json = json!({ "name": def["name"], "default": def["default"], "value": value });
        if let Some(schema) = def.get("schema") {
            json["schema"] = schema.clone();
        }
        json
    };
    defs.iter().map(one).collect()
}

/// The values of `declaration`'s settings if nobody chose others.
pub(crate) fn defaults(declaration: &Declaration) -> HashMap<String, Value> {
    let plain = declaration.settings.iter().map(|s| (s.name.clone(), plain_value(&s.default)));
    plain.collect()
}

fn plain_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::String(text) => Value::text(text),
        Json::Number(n) => match (n.as_i64(), n.to_string().parse()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Ok(decimal)) => Value::Decimal(decimal),
            (None, Err(_)) => Value::Json(Arc::new(json.clone())),
        },
        Json::Array(_) | Json::Object(_) => Value::Json(Arc::new(json.clone())),
    }
}

/// Checks `values` against what is declared, and leaves out those that are the default anyway.
fn checked(declaration: &Declaration, values: &Map<String, Json>) -> Result<Overrides, EngineError> {
    let mut problems = Vec::new();
    let mut overrides = Overrides::new();
    for (name, value) in values {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let Some(def) = declaration.settings.iter().find(|def| def.name == *name) else {
            problems.push(FieldProblem { pointer, message: unknown(declaration, name) });
            continue;
        };
        let found = misfits(def, value);
        if found.is_empty() && def.default != *value {
            overrides.insert(name.clone(), value.clone());
        }
        problems.extend(found.into_iter().map(|p| FieldProblem { pointer: format!("{pointer}{}", p.pointer), ..p }));
    }
    let size: usize = overrides.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
    if size > VALUES_BYTES_MAX {
        let limit = format!("{VALUES_BYTES_MAX} bytes");
        return Err(EngineError::TooLarge { what: "the settings of one automation".into(), limit });
    }
    if problems.is_empty() { Ok(overrides) } else { Err(EngineError::Invalid(problems)) }
}

fn unknown(declaration: &Declaration, name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    let names = || declaration.settings.iter().map(|def| def.name.as_str());
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if declaration.settings.is_empty() => "this automation declares none".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("there is no setting `{shown}`; {hint}")
}

/// Where `value` does not fit its setting: its schema, or the kind of its default where there is none.
fn misfits(def: &SettingDef, value: &Json) -> Vec<FieldProblem> {
    if let Some(schema) = &def.schema {
        let found = schema.misfits(value).into_iter();
        return found.map(|misfit| FieldProblem { pointer: misfit.pointer, message: misfit.message }).collect();
    }
    let want = of_other_kind(def, value).map(|want| format!("expected {want}, got {value}"));
    want.map(|message| FieldProblem { pointer: String::new(), message }).into_iter().collect()
}

/// What `value` would have to be to fit, if it does not: the kind of the default is the kind of the setting.
fn of_other_kind(def: &SettingDef, value: &Json) -> Option<&'static str> {
    if depth(value) > JSON_DEPTH_MAX {
        return Some("less deeply nested JSON");
    }
    let whole = |json: &Json| json.as_i64().is_some();
    let (fits, want) = match &def.default {
        Json::Null => (true, "anything"),
        Json::Bool(_) => (value.is_boolean(), "true or false"),
        Json::Number(_) if whole(&def.default) => (whole(value), "a whole number"),
        Json::Number(_) => (value.is_number(), "a number"),
        Json::String(_) => (value.is_string(), "a text"),
        Json::Array(_) => (value.is_array(), "a list"),
        Json::Object(_) => (value.is_object(), "an object"),
    };
    (!fits).then_some(want)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration() -> Declaration {
        let setting = |name: &str, default: Json| SettingDef { name: name.into(), default, schema: None };
        let settings =
            vec![setting("double_over", json!(100)), setting("rate", json!(1.5)), setting("manager", json!("role:x"))];
        Declaration { settings, ..Declaration::default() }
    }

    fn check(values: &Json) -> Result<Overrides, EngineError> {
        checked(&declaration(), values.as_object().unwrap())
    }

    #[test]
    fn a_value_is_of_the_kind_of_its_default() {
        assert!(check(&json!({"double_over": 5, "rate": 2, "manager": "role:y"})).is_ok());
        for bad in
            [json!({"double_over": 1.5}), json!({"double_over": "5"}), json!({"rate": true}), json!({"manager": 7})]
        {
            assert_eq!(check(&bad).unwrap_err().code(), "invalid", "{bad}");
        }
    }

    #[test]
    fn a_value_fits_its_schema_or_is_refused_where_it_does_not() {
        let schema = json!({"type": "object", "properties": {"kind": {"enum": ["none", "days"]}}});
        let schema = Some(rapport_model::JsonSchema::read(schema).unwrap());
        let settings = vec![SettingDef { name: "expiry".into(), default: json!({"kind": "none"}), schema }];
        let declaration = Declaration { settings, ..Declaration::default() };
        let check = |values: Json| checked(&declaration, values.as_object().unwrap());
        assert!(check(json!({"expiry": {"kind": "days"}})).is_ok());
        let problems = check(json!({"expiry": {"kind": "weeks"}})).unwrap_err().pointers();
        assert_eq!(problems[0].pointer, "/expiry/kind");
        assert_eq!(problems[0].message, "expected one of \"none\", \"days\", got \"weeks\"");
    }

    #[test]
    fn an_unknown_setting_names_the_nearest() {
        let error = check(&json!({"duoble_over": 5})).unwrap_err();
        assert_eq!(error.to_string(), "/duoble_over: there is no setting `duoble_over`; did you mean `double_over`?");
    }

    #[test]
    fn a_default_is_no_override() {
        assert!(check(&json!({"double_over": 100})).unwrap().is_empty());
    }
}
