//! Where the names of records lead that were merged into others.
//!
//! Whoever still knows a record by its id or by a unique value that went with it (a caller outside, a script, a run that waits, a lane) comes
//! to the record that stayed. What is told here follows from the records of the system object `merged_record`, as the last commit left them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rapport_model::event::RecordChange;
use rapport_model::json::{fit_value, to_json};
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::merge::{self, MergedRecord};
use rapport_model::rule::Params;
use rapport_model::{Event, Name, ObjectDef, Record, RecordId, Timestamp, Value};
use rapport_store::{EventQuery, RecordQuery};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::key::Key;

/// The names of records that were merged into others.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// Whether there is any: most workspaces have none, and nobody waits for the lock then.
    any: AtomicBool,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What each record of `merged_record` says.
    entries: HashMap<RecordId, MergedRecord>,
    survivors: HashMap<RecordId, RecordId>,
    of: HashMap<RecordId, BTreeSet<RecordId>>,
    keys: HashMap<(Name, Name, String), RecordId>,
}

impl Merged {
    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Option<T> {
        let any = self.any.load(Ordering::Acquire);
        any.then(|| read(&self.state.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let done = write(&mut state);
        self.any.store(!state.entries.is_empty(), Ordering::Release);
        done
    }

    /// Whether no record is merged into another.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// The record into which `id` was merged.
    pub(crate) fn survivor(&self, id: RecordId) -> Option<RecordId> {
        self.read(|state| state.survivors.get(&id).copied()).flatten()
    }

    /// The record to which a value of a unique field leads that no record has any more.
    pub(crate) fn by_key(&self, object: &Name, field: &Name, value: &Value) -> Option<RecordId> {
        self.read(|state| {
            let key = (object.clone(), field.clone(), to_json(value).to_string());
            state.keys.get(&key).copied()
        })?
    }

    /// The record that `key` leads to.
    pub(crate) fn by(&self, object: &ObjectDef, key: &Key) -> Option<RecordId> {
        match key {
            Key::Id(id) => self.survivor(*id),
            Key::Field(field, value) => {
                let kind = &object.field(field.as_str())?.kind;
                self.by_key(&object.name, field, &fit_value(kind, value.clone()).ok()?)
            }
        }
    }

    /// The records that were merged into `id`.
    pub(crate) fn of(&self, id: RecordId) -> Vec<RecordId> {
        self.read(|state| state.of.get(&id).map(|ids| ids.iter().copied().collect())).flatten().unwrap_or_default()
    }

    /// The records of `merged_record` that lead to `id`, with what they say.
    pub(crate) fn entries_of(&self, id: RecordId) -> Vec<(RecordId, MergedRecord)> {
        let found = self.read(|state| {
            let of = state.entries.iter().filter(|(_, entry)| entry.survivor == id);
            of.map(|(record, entry)| (*record, entry.clone())).collect()
        });
        found.unwrap_or_default()
    }

    /// A reference to a merged record becomes one to the record that stayed.
    pub(crate) fn follow(&self, value: &mut Value) {
        let id = match &*value {
            _ if self.is_empty() => return,
            Value::Ref(id) => Some(*id),
            Value::Text(text) if text.len() == 36 => text.parse().ok(),
            _ => None,
        };
        if let Some(into) = id.and_then(|id| self.survivor(id)) {
            *value = match value {
                Value::Text(_) => Value::text(&into.to_string()),
                _ => Value::Ref(into),
            };
        }
    }

    /// Parameters in which that is so.
    pub(crate) fn followed(&self, params: Vec<(String, Value)>) -> Params {
        let follow = |(name, mut value): (String, Value)| {
            self.follow(&mut value);
            (name, value)
        };
        params.into_iter().map(follow).collect()
    }

    /// The same where only references refer to records, and not texts.
    pub(crate) fn follow_reference(&self, value: &mut Value) {
        if let Value::Ref(_) = value {
            self.follow(value);
        }
    }

    /// The first value of a unique field of `after` that leads to another record.
    pub(crate) fn taken(&self, before: Option<&Record>, after: &Record) -> Option<(Name, Value)> {
        if self.is_empty() {
            return None;
        }
        after.object.unique_fields().find_map(|field| {
            let value = after.get(field.name.as_str());
            let is_new = !value.is_null() && before.is_none_or(|before| before.get(field.name.as_str()) != value);
            let leads = is_new.then(|| self.by_key(&after.object.name, &field.name, value)).flatten();
            leads.filter(|id| *id != after.id).map(|_| (field.name.clone(), value.clone()))
        })
    }

    /// Takes note of durable events; gives what is merged now (into which record), and what is no longer (none).
    pub(crate) fn note(&self, events: &[Arc<Event>]) -> Vec<(RecordId, Option<RecordId>)> {
        let own = |event: &&Arc<Event>| event.subject.as_ref().is_some_and(|s| s.object.as_str() == merge::OBJECT);
        if !events.iter().any(|event| own(&event)) {
            return Vec::new();
        }
        self.write(|state| {
            let mut moved = Vec::new();
            for event in events.iter().filter(own) {
                if let (Some(subject), Some(change)) = (&event.subject, event.change()) {
                    moved.extend(state.take(subject.id, change));
                }
            }
            moved
        })
    }
}

/// What one of these records says after a change; none if it is gone.
fn changed(known: Option<MergedRecord>, change: &RecordChange) -> Option<MergedRecord> {
    let said = |name: &str| change.after.iter().find(|(field, _)| field.as_str() == name).map(|(_, value)| value);
    let id = |name: &str| said(name).and_then(|value| value.as_text()?.parse().ok());
    if change.after.is_empty() {
        return None;
    }
    match known {
        Some(known) => Some(MergedRecord {
            survivor: id("survivor").unwrap_or(known.survivor),
            keys: said("keys").map_or(known.keys, merge::keys_in),
            ..known
        }),
        None => Some(MergedRecord {
            object: Name::new(said("object")?.as_text()?).ok()?,
            merged: id("merged")?,
            survivor: id("survivor")?,
            keys: said("keys").map(merge::keys_in).unwrap_or_default(),
        }),
    }
}

impl State {
    fn take(&mut self, record: RecordId, change: &RecordChange) -> Vec<(RecordId, Option<RecordId>)> {
        let known = self.entries.remove(&record);
        let mut moved = Vec::new();
        if let Some(known) = &known {
            self.survivors.remove(&known.merged);
            if let Some(ids) = self.of.get_mut(&known.survivor) {
                ids.remove(&known.merged);
            }
            self.keys.retain(|(object, _, _), id| *id != known.survivor || *object != known.object);
            moved.push((known.merged, None));
        }
        let survivor = known.as_ref().map(|known| (known.object.clone(), known.survivor));
        if let Some(entry) = changed(known, change) {
            moved.push((entry.merged, Some(entry.survivor)));
            self.put(record, entry);
        }
        // Others may lead to the same record by values of their own.
        if let Some((object, survivor)) = survivor {
            let others: Vec<_> = self.entries.values().filter(|e| e.survivor == survivor).cloned().collect();
            for entry in others.into_iter().filter(|entry| entry.object == object) {
                self.put_keys(&entry);
            }
        }
        moved
    }

    fn put(&mut self, record: RecordId, entry: MergedRecord) {
        self.survivors.insert(entry.merged, entry.survivor);
        self.of.entry(entry.survivor).or_default().insert(entry.merged);
        self.put_keys(&entry);
        self.entries.insert(record, entry);
    }

    fn put_keys(&mut self, entry: &MergedRecord) {
        for (field, values) in &entry.keys {
            for value in values {
                self.keys.insert((entry.object.clone(), field.clone(), value.clone()), entry.survivor);
            }
        }
    }
}

impl Inner {
    /// Takes up what is merged: at start.
    pub(crate) async fn load_merged(&self) -> Result<(), EngineError> {
        let object = Name::new(merge::OBJECT).map_err(|e| EngineError::Internal(e.to_string()))?;
        let query = RecordQuery::new(object, self.clock.now(), u32::MAX);
        let records = self.store.find(&query).await?;
        self.merged.write(|state| {
            for record in records {
                if let Some(entry) = MergedRecord::of_record(&record) {
                    self.lanes.lead(entry.merged, Some(entry.survivor));
                    state.put(record.id, entry);
                } else {
                    tracing::error!(record.id = %record.id, "what was merged is left out: it does not read");
                }
            }
        });
        self.store.join_histories(!self.merged.is_empty());
        Ok(())
    }

    /// What was merged into what at `at`: pairs of the record that had gone and the one that stayed.
    pub(crate) async fn merged_at(&self, at: Timestamp) -> Result<Vec<(RecordId, RecordId)>, EngineError> {
        let mut events = Vec::new();
        for step in ["created", "updated", "deleted"] {
            let kind = Some(format!("{}.{step}", merge::OBJECT));
            let mut query = EventQuery { kind, limit: PAGE_ROWS_MAX, ..EventQuery::default() };
            loop {
                let page = self.store.events(&query).await?;
                query.after = page.last().map(|last| last.position);
                let full = page.len() >= PAGE_ROWS_MAX as usize;
                events.extend(page.into_iter().filter(|event| event.time <= at));
                if !full {
                    break;
                }
            }
        }
        events.sort_by_key(|event| event.position);
        let then = Merged::default();
        then.note(&events);
        Ok(then.read(|state| state.survivors.iter().map(|(id, into)| (*id, *into)).collect()).unwrap_or_default())
    }

    /// The record that `key` leads to since another was merged into it.
    pub(crate) async fn survivor(&self, object: &ObjectDef, key: &Key) -> Result<Option<Arc<Record>>, EngineError> {
        match self.merged.by(object, key) {
            Some(id) => Ok(self.store.record(&object.name, id).await?),
            None => Ok(None),
        }
    }
}
