//! A group of units on its way to one physical transaction: the state that the units before leave to those after.
//!
//! Units are applied in order to images in memory. One that fails is taken back whole and gets its own error; the others go
//! on. What comes out is what a database would hold that had run them one after another.

mod check;
mod event;
mod proof;
mod rollup;
mod run;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rapport_model::event::{NewEvent, Origin};
use rapport_model::name::RecordEventKind;
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::rollup::Rollups;
use rapport_model::{
    Digest, Event, Name, ObjectDef, Record, RecordId, Run, RunId, Schema, Timestamp, Value, image, json,
};

use super::facts::{Assumed, Facts, Key, UniqueKey};
use super::rollups::Asked;
use crate::error::StoreError;
use crate::head::Head;
use crate::hooks::Hooks;
use crate::seal::{Salt, Salts};
use crate::unit::{Committed, EffectStep, Followed, IdempotencyPut, JournalStep, RunUpdate, Stay, UnitOfWork};

pub(crate) use run::KnownRun;

/// A record as the database has it and as the group leaves it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    pub(crate) before: Option<Arc<Record>>,
    pub(crate) now: Option<Arc<Record>>,
}

impl Image {
    /// A record that was not there before.
    pub(crate) const fn made(record: Arc<Record>) -> Self {
        Self { before: None, now: Some(record) }
    }

    pub(crate) fn loaded(record: Option<Arc<Record>>) -> Self {
        Self { before: record.clone(), now: record }
    }
}

/// What the group knows of the holder of a unique value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It was given up.
    Nobody,
    /// This record.
    Record(RecordId),
}

/// An event with everything that its row holds.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) event: Arc<Event>,
    pub(crate) payload: String,
    pub(crate) salt: Salt,
    pub(crate) payload_hash: Digest,
    pub(crate) hash: Digest,
}

/// What a group stands on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) rollups: &'a Arc<Rollups>,
    pub(crate) hooks: &'a dyn Hooks,
    pub(crate) facts: &'a Facts,
    pub(crate) recorded_at: Timestamp,
}

/// A group of units.
pub(crate) struct Group<'a> {
    ground: Ground<'a>,
    salts: &'a mut Salts,
    pub(crate) head: Head,
    pub(crate) images: HashMap<Key, Image>,
    /// Who holds a unique value, where the group knows.
    owners: HashMap<UniqueKey, Owner>,
    /// The objects whose unique values are all in `owners`, for the records in `images`.
    owners_of: HashSet<Name>,
    pub(crate) known_runs: HashMap<RunId, KnownRun>,
    pub(crate) events: Vec<Sealed>,
    /// The positions of events that start nothing, whatever is live.
    pub(crate) quiet: Vec<i64>,
    pub(crate) runs: Vec<Arc<Run>>,
    pub(crate) run_updates: HashMap<RunId, RunUpdate>,
    pub(crate) idempotency: Vec<IdempotencyPut>,
    /// How often each lock that the units name has been taken.
    pub(crate) locks: HashMap<String, i64>,
    /// The same, of those that the group takes.
    pub(crate) taken: HashMap<String, i64>,
    /// Runs that go on with another version.
    pub(crate) run_digests: HashMap<RunId, Digest>,
    /// What happens to the journals of runs.
    pub(crate) journal: Vec<(RunId, JournalStep)>,
    /// What happens to effects.
    pub(crate) effects: Vec<EffectStep>,
    /// The bytes of files, each once.
    pub(crate) blobs: BTreeMap<Digest, Arc<[u8]>>,
    /// Who comes into segments and who leaves them.
    pub(crate) stays: Vec<Stay>,
    /// How far live segments have followed.
    pub(crate) followed: Option<Followed>,
    origins: HashSet<Origin>,
    pub(crate) assumed: Assumed,
    /// What must be known of roll-ups before the group can be decided.
    asked: Asked,
    /// Records that are not there, and whose children are.
    orphans: HashSet<Key>,
    /// Records that were not looked for, since a unit creates them.
    pub(crate) unsure: HashSet<Key>,
    /// Those of them for whose absence a unit was refused.
    doubted: HashSet<Key>,
    /// The position before the first event of the unit that is being applied.
    unit_began: i64,
}

/// What to take back if a unit fails.
#[derive(Default)]
struct Undo {
    images: Vec<(Key, Option<Image>)>,
    owners: Vec<(UniqueKey, Option<Owner>)>,
    run: Option<run::Step>,
    origins: Vec<Origin>,
    events: usize,
    runs: usize,
    idempotency: usize,
    head: Option<(i64, Digest)>,
    /// References that the unit set, to be looked at once it is done.
    references: Vec<(Key, usize, Key)>,
    deleted: Vec<Key>,
    assumed: Assumed,
}

impl<'a> Group<'a> {
    /// An empty group with room for `units`.
    pub(crate) fn new(ground: Ground<'a>, salts: &'a mut Salts, head: Head, units: usize) -> Self {
        Self {
            ground,
            salts,
            head,
            images: HashMap::new(),
            owners: HashMap::new(),
            owners_of: HashSet::new(),
            known_runs: HashMap::new(),
            events: Vec::with_capacity(units),
            quiet: Vec::new(),
            runs: Vec::new(),
            run_updates: HashMap::with_capacity(units),
            idempotency: Vec::new(),
            locks: HashMap::new(),
            taken: HashMap::new(),
            run_digests: HashMap::new(),
            journal: Vec::new(),
            effects: Vec::new(),
            blobs: BTreeMap::new(),
            stays: Vec::new(),
            followed: None,
            origins: HashSet::with_capacity(units),
            assumed: Assumed::default(),
            asked: Asked::default(),
            orphans: HashSet::new(),
            unsure: HashSet::new(),
            doubted: HashSet::new(),
            unit_began: 0,
        }
    }

    /// Applies one unit and the events that the store itself adds to it. An error leaves the group as it was.
    pub(crate) fn apply(&mut self, unit: &UnitOfWork, core: &[NewEvent]) -> Result<Committed, StoreError> {
        let mut undo = Undo {
            events: self.events.len(),
            runs: self.runs.len(),
            idempotency: self.idempotency.len(),
            head: Some((self.head.position, self.head.hash)),
            ..Undo::default()
        };
        self.unit_began = self.head.position;
        let done = self.apply_steps(unit, core, &mut undo);
        match done {
            Ok(_) => self.assumed.take(undo.assumed),
            Err(_) => self.take_back(undo),
        }
        done
    }

    fn apply_steps(&mut self, unit: &UnitOfWork, core: &[NewEvent], undo: &mut Undo) -> Result<Committed, StoreError> {
        self.check_idempotency(unit, undo)?;
        self.check_reads(unit)?;
        self.check_locks(unit)?;
        self.step_run(unit, undo)?;
        let mut committed = Committed::default();
        for event in core {
            self.append_new(unit, event, undo)?;
        }
        for (place, event) in unit.events.iter().enumerate() {
            if self.is_duplicate(unit, event, undo)? {
                committed.duplicates.push(place);
            } else {
                self.append_new(unit, event, undo)?;
            }
        }
        for put in &unit.puts {
            self.put(unit, put, undo)?;
        }
        self.check_references(undo)?;
        self.check_deleted(undo)?;
        // Nothing can fail any more: what follows needs no way back.
        self.step_journal(unit);
        self.effects.extend(unit.effects.iter().cloned());
        self.blobs.extend(unit.blobs.iter().map(|blob| (blob.digest, blob.bytes.clone())));
        self.stays.extend(unit.stays.iter().cloned());
        self.followed = unit.followed.or(self.followed);
        self.take_locks(unit);
        committed.events = self.events[undo.events..].iter().map(|sealed| sealed.event.clone()).collect();
        committed.runs = self.runs[undo.runs..].to_vec();
        committed.records = self.results(unit);
        Ok(committed)
    }

    fn take_back(&mut self, undo: Undo) {
        for (key, image) in undo.images.into_iter().rev() {
            restore(&mut self.images, key, image);
        }
        for (key, owner) in undo.owners.into_iter().rev() {
            restore(&mut self.owners, key, owner);
        }
        if let Some(step) = undo.run {
            self.take_back_run(step);
        }
        if let Some((position, hash)) = undo.head {
            (self.head.position, self.head.hash) = (position, hash);
        }
        self.quiet.retain(|position| *position <= self.head.position);
        for origin in &undo.origins {
            self.origins.remove(origin);
        }
        self.events.truncate(undo.events);
        self.runs.truncate(undo.runs);
        self.idempotency.truncate(undo.idempotency);
    }

    fn put(&mut self, unit: &UnitOfWork, put: &Put, undo: &mut Undo) -> Result<(), StoreError> {
        let object = self.object(&put.object)?.clone();
        check::each_once(put)?;
        let key = (put.object.clone(), put.id);
        let before = self.images.get(&key).and_then(|image| image.now.clone());
        let missing = || StoreError::MissingRecord { object: put.object.clone(), id: put.id };
        match put.kind {
            PutKind::Create => {
                if before.is_some() {
                    return Err(StoreError::RecordExists { object: put.object.clone(), id: put.id });
                }
                let after = Arc::new(image::created(&object, put.id, unit.time, &put.changes)?);
                let change = image::creation(&after);
                self.move_to(&key, None, Some(&after), undo)?;
                self.roll(&key.0, (None, Some(&after)), undo);
                self.roll_new(&key, undo);
                self.append_change(unit, RecordEventKind::Created, &after, change)
            }
            PutKind::Update => {
                let before = before.or_else(|| self.doubt(&key)).ok_or_else(missing)?;
                let Some(after) = image::changed(&before, unit.time, &put.changes)? else { return Ok(()) };
                let after = Arc::new(after);
                let change = image::difference(&before, &after, &fitted(&object, &put.changes));
                self.move_to(&key, Some(&before), Some(&after), undo)?;
                self.roll(&key.0, (Some(&before), Some(&after)), undo);
                self.append_change(unit, RecordEventKind::Updated, &after, change)
            }
            PutKind::Delete => {
                let before = before.or_else(|| self.doubt(&key)).ok_or_else(missing)?;
                let change = image::deletion(&before);
                self.move_to(&key, Some(&before), None, undo)?;
                self.roll(&key.0, (Some(&before), None), undo);
                self.append_change(unit, RecordEventKind::Deleted, &before, change)
            }
        }
    }

    /// Moves a record to its next state, after a look at what stands against it.
    fn move_to(
        &mut self,
        key: &Key,
        before: Option<&Arc<Record>>,
        after: Option<&Arc<Record>>,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        self.check_unique(key, before, after, undo)?;
        if let Some(after) = after {
            check::index_sizes(before.map(|b| &**b), after)?;
            note_references(before, after, undo);
        } else {
            undo.deleted.push(key.clone());
        }
        if before.is_none() {
            undo.assumed.absent.insert(key.clone());
        }
        let image = self.images.get(key).cloned();
        let next = Image { before: image.as_ref().and_then(|i| i.before.clone()), now: after.cloned() };
        undo.images.push((key.clone(), image));
        self.images.insert(key.clone(), next);
        Ok(())
    }

    fn object(&self, name: &Name) -> Result<&Arc<ObjectDef>, StoreError> {
        self.ground.schema.object(name.as_str()).ok_or_else(|| StoreError::UnknownObject(name.to_string()))
    }

    fn results(&self, unit: &UnitOfWork) -> Vec<(RecordId, Option<Arc<Record>>)> {
        let mut all: Vec<(RecordId, Option<Arc<Record>>)> = Vec::with_capacity(unit.puts.len());
        let mut seen = HashSet::new();
        for put in unit.puts.iter().filter(|put| seen.insert((&put.object, put.id))) {
            let image = self.images.get(&(put.object.clone(), put.id));
            all.push((put.id, image.and_then(|image| image.now.clone())));
        }
        all
    }

    /// When this group is recorded.
    pub(crate) const fn recorded_at(&self) -> Timestamp {
        self.ground.recorded_at
    }

    /// Whether the database has anything to do for this group.
    pub(crate) fn changes_nothing(&self) -> bool {
        let nothing = self.events.is_empty() && self.run_updates.is_empty() && self.idempotency.is_empty();
        let nothing = nothing && self.stays.is_empty() && self.followed.is_none();
        nothing && self.journal.is_empty() && self.effects.is_empty() && self.taken.is_empty()
    }
}

fn restore<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

/// The changes with increments in the form that their field has, so that an event reads the same from memory and from the log.
fn fitted(object: &ObjectDef, changes: &[(Name, Change)]) -> Vec<(Name, Change)> {
    let fit = |(name, change): &(Name, Change)| match change {
        Change::Increment(delta) => {
            let kind = object.field(name.as_str()).map(|f| &f.kind);
            let fitted = kind.and_then(|kind| json::fit_value(kind, delta.clone()).ok());
            Some((name.clone(), Change::Increment(fitted.unwrap_or_else(|| delta.clone()))))
        }
        Change::Set(_) | Change::Tag(_) => None,
    };
    changes.iter().filter_map(fit).collect()
}

fn note_references(before: Option<&Arc<Record>>, after: &Arc<Record>, undo: &mut Undo) {
    for (i, field) in after.object.fields.iter().enumerate() {
        let rapport_model::FieldKind::Reference { object: target } = &field.kind else { continue };
        let Value::Ref(id) = after.at(i) else { continue };
        if before.is_none_or(|before| before.at(i) != after.at(i)) {
            undo.references.push(((after.object.name.clone(), after.id), i, (target.clone(), *id)));
        }
    }
}
