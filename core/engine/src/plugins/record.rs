//! Between plugins in memory and the records that keep them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rapport_model::plugin::Asked;
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::{AutomationId, Digest, Name, Record, RecordId, Value};
use rapport_store::RecordQuery;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Blocked, Installed, Packed, Publisher, State};
use crate::engine::Inner;
use crate::entropy;
use crate::error::EngineError;
use crate::schedules::{field, set};

/// The system object that keeps plugins.
const OBJECT: &str = "plugin";
const PUBLISHER: &str = "publisher";
const BLOCKED: &str = "blocked_package";
/// The most records of each that are taken up.
const ROWS_MAX: u32 = 1_000;

/// A change of a plugin's record.
pub(super) type Changes = Vec<(Name, Change)>;

pub(super) fn text(name: &str, value: &str) -> (Name, Change) {
    set(name, Value::text(value))
}

/// A member that is kept as JSON; none is null.
pub(super) fn kept(name: &str, value: &impl Serialize) -> (Name, Change) {
    let json = json!(value);
    set(name, if json.is_null() { Value::Null } else { Value::Json(Arc::new(json)) })
}

fn read<T: DeserializeOwned>(record: &Record, name: &str) -> Result<Option<T>, String> {
    match record.get(name) {
        Value::Json(json) => {
            serde_json::from_value((**json).clone()).map(Some).map_err(|e| format!("`{name}` does not read: {e}"))
        }
        _ => Ok(None),
    }
}

fn text_of(record: &Record, name: &str) -> String {
    record.get(name).as_text().unwrap_or_default().to_owned()
}

impl Installed {
    /// The plugin that `record` keeps.
    ///
    /// # Errors
    /// What does not read, in words.
    pub(super) fn of_record(record: &Record) -> Result<Self, String> {
        let granted: Asked = read(record, "granted")?.unwrap_or_default();
        let state = State::parse(&text_of(record, "state")).ok_or("it is in no state that there is")?;
        Ok(Self {
            record: record.id,
            name: AutomationId::new(&text_of(record, "name")).map_err(|e| e.to_string())?,
            state,
            publisher: text_of(record, "publisher"),
            live: read::<Packed>(record, "live")?,
            before: read(record, "before")?,
            pending: read(record, "pending")?,
            rights: granted.items().filter_map(|item| item.parse().ok()).collect(),
            granted,
            declined: read(record, "declined")?.unwrap_or_default(),
            granted_by: text_of(record, "granted_by"),
            granted_at: if let Value::Time(time) = record.get("granted_at") { Some(*time) } else { None },
            migration: read(record, "migration")?,
            stopped: AtomicBool::new(matches!(state, State::Disabled | State::Uninstalled)),
            at_work: Arc::default(),
        })
    }

    /// What writes `changes` into its record.
    pub(super) fn put(&self, changes: Changes) -> Put {
        Put { object: field(OBJECT), id: self.record, kind: PutKind::Update, changes }
    }
}

impl Inner {
    /// Reads which plugins came in packages, whose keys are known and what is blocked. What does not read is reported, and nothing
    /// of it can go live.
    pub(crate) async fn load_plugins(&self) -> Result<(), EngineError> {
        let mut known = HashMap::new();
        for record in self.rows(OBJECT).await? {
            match Installed::of_record(&record) {
                Ok(mut plugin) => {
                    if let Some(before) = self.plugins.find(&plugin.name) {
                        plugin.at_work.clone_from(&before.at_work);
                    }
                    known.insert(plugin.name.clone(), Arc::new(plugin));
                }
                Err(why) => tracing::error!(record.id = %record.id, "the plugin {} is left out: {why}", record.id),
            }
        }
        let mut publishers = BTreeMap::new();
        for record in self.rows(PUBLISHER).await? {
            let trusted = matches!(record.get("trusted"), Value::Bool(true));
            match text_of(&record, "key").parse() {
                Ok(key) => {
                    publishers.insert(text_of(&record, "name"), Publisher { record: record.id, key, trusted });
                }
                Err(error) => tracing::error!(record.id = %record.id, "a publisher's key does not read: {error}"),
            }
        }
        let mut blocked = BTreeMap::new();
        for record in self.rows(BLOCKED).await? {
            let Ok(digest) = text_of(&record, "digest").parse::<Digest>() else { continue };
            let active = matches!(record.get("active"), Value::Bool(true));
            blocked.insert(digest, Blocked { record: record.id, reason: text_of(&record, "reason"), active });
        }
        self.plugins.known.store(Arc::new(known));
        self.plugins.publishers.store(Arc::new(publishers));
        self.plugins.blocked.store(Arc::new(blocked));
        Ok(())
    }

    async fn rows(&self, object: &str) -> Result<Vec<Arc<Record>>, EngineError> {
        // A copy of a workspace for a backtest holds the objects that its automations reach alone.
        if self.store.schema().object(object).is_none() {
            return Ok(Vec::new());
        }
        Ok(self.store.find(&RecordQuery::new(field(object), self.clock.now(), ROWS_MAX)).await?)
    }

    /// What makes a record of `object`, or changes the one that is there.
    fn system_put(&self, object: &str, known: Option<RecordId>, changes: Changes) -> Put {
        let kind = if known.is_some() { PutKind::Update } else { PutKind::Create };
        let id = known.unwrap_or_else(|| entropy::record_id(&*self.entropy, self.clock.now()));
        Put { object: field(object), id, kind, changes }
    }

    /// What makes the record of the plugin `name`, or changes the one that was left when it was uninstalled.
    pub(super) fn plugin_put(&self, name: &AutomationId, changes: Changes) -> Put {
        self.system_put(OBJECT, self.plugins.find(name).map(|plugin| plugin.record), changes)
    }

    /// What keeps the key of a publisher.
    pub(super) fn publisher_put(&self, name: &str, changes: Changes) -> Put {
        let known = self.plugins.publishers.load().get(name).map(|publisher| publisher.record);
        let mut all = if known.is_some() { Vec::new() } else { vec![text("name", name)] };
        all.extend(changes);
        self.system_put(PUBLISHER, known, all)
    }

    /// What blocks a package, or lets it be again.
    pub(super) fn blocked_put(&self, digest: &Digest, reason: &str, active: bool) -> Put {
        let known = self.plugins.blocked.load().get(digest).map(|blocked| blocked.record);
        let mut all = if known.is_some() { Vec::new() } else { vec![text("digest", &digest.to_string())] };
        all.extend([text("reason", reason), set("active", Value::Bool(active))]);
        self.system_put(BLOCKED, known, all)
    }
}
