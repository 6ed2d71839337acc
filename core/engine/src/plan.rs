//! Turns drafts into puts: looks up the records they name, and lets each row of a chunk see the rows before it.
//!
//! A planner lives for one chunk. It reads nothing by itself while planning: [`Planner::want`] gathers the keys of all rows,
//! [`Planner::load`] asks the store once per object and field, then rows are planned in their order. What a row creates is
//! found by the rows after it, though nothing is committed yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::record::{Change, Put, PutKind};
use rapport_model::{Name, ObjectDef, Record, RecordId, Timestamp, Value, image};
use rapport_store::Store;

use crate::draft::{Draft, DraftChange};
use crate::entropy::{self, Entropy};
use crate::error::EngineError;
use crate::key::Key;
use crate::merged::Merged;

/// One value of one unique field of one object.
type Named = (Name, Name, String);

/// What a row asks for.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A new record.
    Create,
    /// The record that this key names.
    Update(Key),
    /// The record whose unique field has this value, or a new one.
    Upsert(Name, Value),
}

/// What a planned row does.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The puts, nested records first.
    pub(crate) puts: Vec<Put>,
    /// The record that the row is about, as it will be.
    pub(crate) record: Arc<Record>,
    /// Whether the row creates it.
    pub(crate) created: bool,
    /// The record as it was, if it was.
    pub(crate) before: Option<Arc<Record>>,
}

/// Plans the rows of one chunk.
#[derive(Debug)]
pub(crate) struct Planner<'a> {
    entropy: &'a dyn Entropy,
    merged: &'a Merged,
    wanted: HashMap<(Name, Name), HashMap<String, Value>>,
    wanted_ids: HashMap<Name, HashSet<RecordId>>,
    named: HashMap<Named, RecordId>,
    /// Values that no record has any more, of records that were merged into others.
    led: HashMap<Named, RecordId>,
    images: HashMap<RecordId, Arc<Record>>,
    /// What the row that was planned last has replaced among them.
    last: Vec<(RecordId, Option<Arc<Record>>)>,
}

fn canonical(value: &Value) -> String {
    rapport_model::json::to_json(value).to_string()
}

impl<'a> Planner<'a> {
    pub(crate) fn new(entropy: &'a dyn Entropy, merged: &'a Merged) -> Self {
        Self {
            entropy,
            merged,
            wanted: HashMap::new(),
            wanted_ids: HashMap::new(),
            named: HashMap::new(),
            led: HashMap::new(),
            images: HashMap::new(),
            last: Vec::new(),
        }
    }

    /// Notes what a row will look up.
    pub(crate) fn want(&mut self, object: &ObjectDef, target: &Target, draft: &Draft) {
        match target {
            Target::Create => {}
            Target::Update(Key::Id(id)) => {
                self.want_id(&object.name, *id);
            }
            Target::Update(Key::Field(field, value)) | Target::Upsert(field, value) => {
                self.want_key(&object.name, field, value);
            }
        }
        self.want_draft(draft);
    }

    fn want_draft(&mut self, draft: &Draft) {
        for (_, change) in draft {
            match change {
                DraftChange::Plain(_) => {}
                DraftChange::Lookup(target, by, value) => self.want_key(&target.name, by, value),
                DraftChange::Upsert(target, by, value, inner) => {
                    self.want_key(&target.name, by, value);
                    self.want_draft(inner);
                }
            }
        }
    }

    /// Notes one key.
    pub(crate) fn want_key(&mut self, object: &Name, field: &Name, value: &Value) {
        let values = self.wanted.entry((object.clone(), field.clone())).or_default();
        values.entry(canonical(value)).or_insert_with(|| value.clone());
    }

    /// Notes one id.
    pub(crate) fn want_id(&mut self, object: &Name, id: RecordId) {
        self.wanted_ids.entry(object.clone()).or_default().insert(id);
    }

    /// Takes in a record that memory had.
    pub(crate) fn know(&mut self, record: Arc<Record>) {
        self.remember(record);
    }

    /// Looks up everything noted: one query per object and field.
    pub(crate) async fn load(&mut self, store: &Store) -> Result<(), EngineError> {
        for ((object, field), values) in std::mem::take(&mut self.wanted) {
            let values: Vec<Value> = values.into_values().collect();
            let found = store.resolve(&object, &field, &values).await?;
            for (value, record) in values.iter().zip(found) {
                let Some(record) = record else {
                    if let Some(survivor) = self.merged.by_key(&object, &field, value) {
                        self.led.insert((object.clone(), field.clone(), canonical(value)), survivor);
                        self.want_id(&object, survivor);
                    }
                    continue;
                };
                self.named.insert((object.clone(), field.clone(), canonical(value)), record.id);
                self.images.entry(record.id).or_insert(record);
            }
        }
        for (object, ids) in std::mem::take(&mut self.wanted_ids) {
            let ids: Vec<RecordId> = ids.into_iter().map(|id| self.merged.survivor(id).unwrap_or(id)).collect();
            for record in store.records(&object, &ids).await?.into_iter().flatten() {
                self.images.entry(record.id).or_insert(record);
            }
        }
        Ok(())
    }

    /// The record that `key` names, as the rows so far leave it.
    pub(crate) fn find(&self, object: &Name, key: &Key) -> Option<Arc<Record>> {
        let record = match key {
            Key::Id(id) => self.images.get(&self.merged.survivor(*id).unwrap_or(*id)),
            Key::Field(field, value) => {
                let key = (object.clone(), field.clone(), canonical(value));
                let named = self.named.get(&key).and_then(|id| self.images.get(id));
                // A row before may have given it another value since.
                let named = named.filter(|r| r.get(field.as_str()) == value);
                named.or_else(|| self.images.get(self.led.get(&key)?))
            }
        };
        record.filter(|r| r.object.name == *object).cloned()
    }

    /// Forgets what the row that was planned last would have done: it is not taken.
    pub(crate) fn take_back(&mut self) {
        for (id, before) in self.last.drain(..).rev() {
            match before {
                Some(record) => drop(self.images.insert(id, record)),
                None => drop(self.images.remove(&id)),
            }
        }
    }

    /// Plans one row; an error leaves the planner as it was.
    pub(crate) fn plan(
        &mut self,
        object: &Arc<ObjectDef>,
        target: &Target,
        draft: &Draft,
        time: Timestamp,
    ) -> Result<Planned, EngineError> {
        let mut puts = Vec::new();
        let mut nested = Vec::new();
        let mut changes = Vec::with_capacity(draft.len() + 1);
        for (name, change) in draft {
            changes.push((name.clone(), self.change(name, change, time, (&mut puts, &mut nested))?));
        }
        let before = match target {
            Target::Create => None,
            Target::Update(key) => Some(self.find(&object.name, key).ok_or_else(|| missing(object, key))?),
            Target::Upsert(field, value) => {
                let found = self.find(&object.name, &Key::Field(field.clone(), value.clone()));
                by_its_own_name(found.as_ref(), (field, value), &mut changes);
                if found.is_none() && !changes.iter().any(|(name, _)| name == field) {
                    changes.push((field.clone(), Change::Set(value.clone())));
                }
                found
            }
        };
        let planned = self.put(object, before, changes, time, &mut puts)?;
        self.last.clear();
        for record in nested {
            self.plan_on(record);
        }
        self.plan_on(planned.0.clone());
        Ok(Planned { puts, record: planned.0, created: planned.1.is_none(), before: planned.1 })
    }

    fn change(
        &self,
        name: &Name,
        change: &DraftChange,
        time: Timestamp,
        (puts, nested): (&mut Vec<Put>, &mut Vec<Arc<Record>>),
    ) -> Result<Change, EngineError> {
        match change {
            DraftChange::Plain(change) => {
                let mut change = change.clone();
                if let Change::Set(value) = &mut change {
                    self.merged.follow_reference(value);
                }
                Ok(change)
            }
            DraftChange::Lookup(target, by, value) => {
                let found = self.find(&target.name, &Key::Field(by.clone(), value.clone()));
                let found = found.ok_or_else(|| {
                    let message = format!("there is no {} with {by} = {}", target.name, canonical(value));
                    EngineError::invalid(format!("/{name}"), message)
                })?;
                Ok(Change::Set(Value::Ref(found.id)))
            }
            DraftChange::Upsert(target, by, value, inner) => {
                let before = self.find(&target.name, &Key::Field(by.clone(), value.clone()));
                let mut changes = Vec::with_capacity(inner.len());
                for (field, change) in inner {
                    changes.push((field.clone(), self.change(field, change, time, (&mut *puts, &mut *nested))?));
                }
                by_its_own_name(before.as_ref(), (by, value), &mut changes);
                let (record, _) = self.put(target, before, changes, time, puts)?;
                nested.push(record.clone());
                Ok(Change::Set(Value::Ref(record.id)))
            }
        }
    }

    /// The image that `changes` make of `before` (or of nothing), and the put for it unless it changes nothing.
    fn put(
        &self,
        object: &Arc<ObjectDef>,
        before: Option<Arc<Record>>,
        changes: Vec<(Name, Change)>,
        time: Timestamp,
        puts: &mut Vec<Put>,
    ) -> Result<(Arc<Record>, Option<Arc<Record>>), EngineError> {
        let put = |id, kind, changes| Put { object: object.name.clone(), id, kind, changes };
        let Some(before) = before else {
            let record = image::created(object, entropy::record_id(self.entropy, time), time, &changes)?;
            self.must_be_free(None, &record)?;
            puts.push(put(record.id, PutKind::Create, changes));
            return Ok((Arc::new(record), None));
        };
        match image::changed(&before, time, &changes)? {
            None => Ok((before.clone(), Some(before))),
            Some(after) => {
                self.must_be_free(Some(&before), &after)?;
                puts.push(put(before.id, PutKind::Update, changes));
                Ok((Arc::new(after), Some(before)))
            }
        }
    }

    /// A value that leads to a record into which another was merged is no other's.
    fn must_be_free(&self, before: Option<&Record>, after: &Record) -> Result<(), EngineError> {
        match self.merged.taken(before, after) {
            Some((field, value)) => {
                let (object, value) = (after.object.name.to_string(), canonical(&value));
                Err(EngineError::Unique { object, field: field.to_string(), value })
            }
            None => Ok(()),
        }
    }

    /// Lets the rows after this one see what it does.
    fn plan_on(&mut self, record: Arc<Record>) {
        self.last.push((record.id, self.images.get(&record.id).cloned()));
        self.remember(record);
    }

    fn remember(&mut self, record: Arc<Record>) {
        for field in record.object.unique_fields() {
            let value = record.get(field.name.as_str());
            if !value.is_null() {
                let key = (record.object.name.clone(), field.name.clone(), canonical(value));
                self.named.insert(key, record.id);
            }
        }
        self.images.insert(record.id, record);
    }
}

/// A record that was found by a name of one that was merged into it keeps its own name.
fn by_its_own_name(found: Option<&Arc<Record>>, (field, value): (&Name, &Value), changes: &mut Vec<(Name, Change)>) {
    if found.is_some_and(|record| record.get(field.as_str()) != value) {
        changes.retain(|(name, _)| name != field);
    }
}

fn missing(object: &ObjectDef, key: &Key) -> EngineError {
    EngineError::not_found(match key {
        Key::Id(id) => format!("{} `{id}`", object.name),
        Key::Field(field, value) => format!("{} with {field} = {}", object.name, canonical(value)),
    })
}
