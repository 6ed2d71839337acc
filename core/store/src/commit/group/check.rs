//! What can stand against a unit: versions, duplicates, keys, unique values, references.

use std::sync::Arc;

use rapport_model::event::NewEvent;
use rapport_model::image::Unfit;
use rapport_model::json::{Misfit, to_json};
use rapport_model::record::{Put, Record};
use rapport_model::{FieldDef, FieldKind, Name, RecordId, Value, covering};

use super::{Group, Owner, Undo};
use crate::commit::facts::{Key, unique_key};
use crate::error::StoreError;
use crate::unit::{Duplicate, UnitOfWork};

/// PostgreSQL holds at most 2,704 bytes in an index row; two of these and an id fit.
const INDEXED_TEXT_BYTES_MAX: usize = 1_024;

/// A put may name each field once only: otherwise its event could not say what happened.
pub(super) fn each_once(put: &Put) -> Result<(), StoreError> {
    let mut names: Vec<&Name> = put.changes.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(StoreError::Invalid(format!("`{}` is named twice in one change", pair[0]))),
        None => Ok(()),
    }
}

/// Texts that an index holds must fit into it.
pub(super) fn index_sizes(before: Option<&Record>, after: &Record) -> Result<(), StoreError> {
    for (i, field) in after.object.fields.iter().enumerate().filter(|(_, f)| f.unique || f.indexed) {
        let Value::Text(text) = after.at(i) else { continue };
        if text.len() > INDEXED_TEXT_BYTES_MAX && before.is_none_or(|b| b.at(i) != after.at(i)) {
            let why =
                Misfit(format!("longer than {INDEXED_TEXT_BYTES_MAX} bytes, the most that an indexed field holds"));
            return Err(Unfit::Misfit { field: field.name.clone(), why }.into());
        }
    }
    after.object.fields.iter().try_for_each(|field| covering_size(before, after, field))
}

/// The texts of an index over several fields must fit into it together.
fn covering_size(before: Option<&Record>, after: &Record, field: &FieldDef) -> Result<(), StoreError> {
    if field.indexed_with.is_empty() {
        return Ok(());
    }
    let length = |place: &usize| after.at(*place).as_text().map_or(0, str::len);
    let places: Vec<usize> = covering::texts(&after.object, field).collect();
    let bytes: usize = places.iter().map(length).sum();
    let is_new = before.is_none_or(|before| places.iter().any(|place| before.at(*place) != after.at(*place)));
    let Some(longest) = places.into_iter().max_by_key(length).filter(|_| is_new) else { return Ok(()) };
    if bytes <= covering::TEXT_BYTES_MAX {
        return Ok(());
    }
    let max = covering::TEXT_BYTES_MAX;
    let why = Misfit(format!("the texts in the index of `{}` have {bytes} bytes together, {max} at most", field.name));
    Err(Unfit::Misfit { field: after.object.fields[longest].name.clone(), why }.into())
}

fn outside_text(what: &str, text: &str) -> Result<(), StoreError> {
    if text.is_empty() || text.len() > INDEXED_TEXT_BYTES_MAX || text.contains('\0') {
        let rule = format!("1 to {INDEXED_TEXT_BYTES_MAX} bytes without the character U+0000");
        return Err(StoreError::Invalid(format!("{what} must have {rule}")));
    }
    Ok(())
}

impl Group<'_> {
    pub(super) fn check_idempotency(&mut self, unit: &UnitOfWork, undo: &mut Undo) -> Result<(), StoreError> {
        let Some(put) = &unit.idempotency else { return Ok(()) };
        outside_text("an idempotency key", &put.key)?;
        let key = (put.actor.to_string(), put.key.clone());
        let here = self.idempotency.iter().find(|p| p.actor == put.actor && p.key == put.key);
        let known = here.or_else(|| self.ground.facts.keys.get(&key).and_then(Option::as_ref));
        let known = known.filter(|k| k.expires_at > self.ground.recorded_at);
        if let Some(known) = known {
            return Err(StoreError::Idempotent { fingerprint: known.fingerprint, response: known.response.clone() });
        }
        undo.assumed.new_keys.insert(key);
        self.idempotency.push(put.clone());
        Ok(())
    }

    pub(super) fn check_reads(&mut self, unit: &UnitOfWork) -> Result<(), StoreError> {
        for read in &unit.reads {
            let key = (read.object.clone(), read.id);
            let image = self.images.get(&key);
            let found = image.and_then(|image| image.now.as_ref()).map_or(0, |record| record.version);
            if found != read.version {
                self.doubt(&key);
                let (object, id, expected) = (read.object.clone(), read.id, read.version);
                return Err(StoreError::Conflict { object, id, expected, found });
            }
            if found == 0 {
                // Nobody has looked if another unit of the group was to create it; that unit may have been refused.
                self.doubt(&key);
            }
        }
        Ok(())
    }

    pub(super) fn check_locks(&self, unit: &UnitOfWork) -> Result<(), StoreError> {
        let moved = unit.locks.iter().find(|(key, seen)| self.locks.get(key).copied().unwrap_or(0) != *seen);
        moved.map_or(Ok(()), |(key, _)| Err(StoreError::LockMoved { key: key.clone() }))
    }

    /// Counts the locks of a unit that goes through.
    pub(super) fn take_locks(&mut self, unit: &UnitOfWork) {
        for (key, seen) in &unit.locks {
            self.locks.insert(key.clone(), seen + 1);
            self.taken.insert(key.clone(), seen + 1);
        }
    }

    /// Whether the event is in the log already.
    pub(super) fn is_duplicate(
        &mut self,
        unit: &UnitOfWork,
        event: &NewEvent,
        undo: &mut Undo,
    ) -> Result<bool, StoreError> {
        let Some(origin) = &event.origin else { return Ok(false) };
        outside_text("the source of an event", &origin.source)?;
        outside_text("the id of an event", &origin.id)?;
        let known = self.origins.contains(origin) || self.ground.facts.origins.get(origin) == Some(&true);
        if !known {
            undo.assumed.new_origins.insert(origin.clone());
            return Ok(false);
        }
        match unit.on_duplicate {
            Duplicate::Skip => Ok(true),
            Duplicate::Refuse => {
                Err(StoreError::Duplicate { source_name: origin.source.to_string(), id: origin.id.to_string() })
            }
        }
    }

    /// Looks whether another record holds a unique value that this one takes, and notes the change of hands.
    pub(super) fn check_unique(
        &mut self,
        key: &Key,
        before: Option<&Arc<Record>>,
        after: Option<&Arc<Record>>,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let Some(object) = after.or(before).map(|r| r.object.clone()) else { return Ok(()) };
        for (i, field) in object.fields.iter().enumerate().filter(|(_, f)| f.unique) {
            let old = before.map_or(&Value::Null, |b| b.at(i));
            let new = after.map_or(&Value::Null, |a| a.at(i));
            if old == new {
                continue;
            }
            self.know_owners(&object.name);
            if !new.is_null() {
                self.take_value(key, &field.name, new, undo)?;
            }
            if !old.is_null() {
                let given_up = unique_key(&object.name, &field.name, old);
                let owner = self.owners.insert(given_up.clone(), Owner::Nobody);
                undo.owners.push((given_up, owner));
            }
        }
        Ok(())
    }

    fn take_value(&mut self, key: &Key, field: &Name, value: &Value, undo: &mut Undo) -> Result<(), StoreError> {
        let unique = unique_key(&key.0, field, value);
        let owner = match self.owners.get(&unique) {
            Some(Owner::Record(id)) => Some(*id),
            Some(Owner::Nobody) => None,
            None => self.ground.facts.holders.get(&unique).copied().flatten(),
        };
        // A holder among the images would stand among the owners, unless it has given the value up.
        let elsewhere = |id: &RecordId| *id != key.1;
        if owner.as_ref().is_some_and(elsewhere) {
            let (object, field) = (key.0.clone(), field.clone());
            return Err(StoreError::Unique { object, field, value: to_json(value).to_string() });
        }
        undo.assumed.free.insert(unique.clone(), value.clone());
        let owner = self.owners.insert(unique.clone(), Owner::Record(key.1));
        undo.owners.push((unique, owner));
        Ok(())
    }

    /// Notes who holds which unique values, for all records of `object` in memory. Once for each object: later changes note
    /// themselves.
    fn know_owners(&mut self, object: &Name) {
        if !self.owners_of.insert(object.clone()) {
            return;
        }
        for ((_, id), image) in self.images.iter().filter(|((name, _), _)| name == object) {
            let Some(now) = &image.now else { continue };
            for (i, field) in now.object.fields.iter().enumerate().filter(|(_, f)| f.unique) {
                if !now.at(i).is_null() {
                    self.owners.insert(unique_key(object, &field.name, now.at(i)), Owner::Record(*id));
                }
            }
        }
    }

    /// Looks whether everything that the unit's records refer to is there, once the unit is done.
    pub(super) fn check_references(&mut self, undo: &mut Undo) -> Result<(), StoreError> {
        for (key, place, target) in std::mem::take(&mut undo.references) {
            let now = self.images.get(&key).and_then(|image| image.now.as_ref());
            let Some(now) = now.filter(|now| *now.at(place) == Value::Ref(target.1)) else { continue };
            let field = now.object.fields[place].name.clone();
            let there = match self.images.get(&target) {
                Some(image) => image.now.is_some(),
                None => self.ground.facts.present.get(&target).copied().unwrap_or(true),
            };
            if !there {
                self.doubt(&target);
                let (target, id) = target;
                let object = key.0;
                return Err(StoreError::ReferenceMissing { object, field, target, id });
            }
            undo.assumed.present.insert(target);
        }
        Ok(())
    }

    /// Looks whether anything still refers to what the unit deleted, once the unit is done.
    pub(super) fn check_deleted(&mut self, undo: &mut Undo) -> Result<(), StoreError> {
        for key in std::mem::take(&mut undo.deleted) {
            if self.images.get(&key).is_some_and(|image| image.now.is_some()) {
                continue;
            }
            if let Some((by, field)) = self.referrer_here(&key).or_else(|| self.referrer_elsewhere(&key)) {
                let (object, id) = key;
                return Err(StoreError::Referenced { object, id, by, field });
            }
            undo.assumed.unreferenced.insert(key);
        }
        Ok(())
    }

    fn referrer_here(&self, key: &Key) -> Option<(Name, Name)> {
        let reference = Value::Ref(key.1);
        for ((name, _), image) in &self.images {
            let Some(now) = &image.now else { continue };
            for (i, field) in now.object.fields.iter().enumerate() {
                let to_it = matches!(&field.kind, FieldKind::Reference { object } if *object == key.0);
                if to_it && *now.at(i) == reference {
                    return Some((name.clone(), field.name.clone()));
                }
            }
        }
        None
    }

    fn referrer_elsewhere(&self, key: &Key) -> Option<(Name, Name)> {
        let known = self.ground.facts.referrers.get(key)?;
        let elsewhere = known.iter().find(|r| !self.images.contains_key(&(r.object.clone(), r.id)))?;
        Some((elsewhere.object.clone(), elsewhere.field.clone()))
    }
}
