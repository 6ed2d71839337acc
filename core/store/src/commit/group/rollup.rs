//! Keeps roll-ups: what a change of a record makes of those it rolls up into.
//!
//! It happens with the change itself, so that whatever comes after it in the group sees it. A parent's record moves on without a new
//! version and without an event: what follows from other records is no fact about it. Where what is kept does not tell (the
//! greatest of its children went), the database is asked for all parents at once, and the group is built again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::rollup::{Kept, Next, Share, Total};
use rapport_model::{Name, Record, RecordId};

use super::{Group, Image, Undo};
use crate::commit::facts::Key;
use crate::commit::rollups::{Asked, Question};

/// A roll-up of a parent, and what a child added and adds.
type Step = (Arc<Kept>, Option<Share>, Option<Share>);

impl Group<'_> {
    /// Brings up to date what follows from a record that goes from `before` to `after`.
    pub(super) fn roll(
        &mut self,
        object: &Name,
        (before, after): (Option<&Arc<Record>>, Option<&Arc<Record>>),
        undo: &mut Undo,
    ) {
        let rollups = self.ground.rollups.clone();
        let mut steps: Vec<(Key, Vec<Step>)> = Vec::new();
        for kept in rollups.over(object) {
            let old = before.and_then(|record| kept.share(record));
            let new = after.and_then(|record| kept.share(record));
            if old == new {
                continue;
            }
            let mut parents: Vec<RecordId> = old.iter().chain(&new).map(|share| share.parent).collect();
            parents.dedup();
            for parent in parents {
                let of = |share: &Option<Share>| share.clone().filter(|share| share.parent == parent);
                let (key, step) = ((kept.parent.clone(), parent), (kept.clone(), of(&old), of(&new)));
                match steps.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, steps)) => steps.push(step),
                    None => steps.push((key, vec![step])),
                }
            }
        }
        for (key, steps) in steps {
            self.step(&key, &steps, undo);
        }
    }

    fn step(&mut self, key: &Key, steps: &[Step], undo: &mut Undo) {
        let Some(image) = self.images.get(key).cloned() else {
            self.asked.strangers.insert(key.clone());
            return;
        };
        let Some(record) = image.now.clone() else {
            self.orphans.insert(key.clone());
            return;
        };
        let mut next = (*record).clone();
        for (kept, old, new) in steps {
            let values = match kept.next(&record, old.as_ref(), new.as_ref()) {
                Next::Same => Vec::new(),
                Next::Set(values) => values,
                Next::Ask => self.told(kept, &record),
            };
            for (place, value) in values {
                next.set_at(place, value);
            }
        }
        self.put_rolled(key, (image, record, next), undo);
    }

    fn put_rolled(&mut self, key: &Key, (image, record, next): (Image, Arc<Record>, Record), undo: &mut Undo) {
        if next == *record {
            return;
        }
        let next = Arc::new(next);
        undo.images.push((key.clone(), Some(image.clone())));
        self.images.insert(key.clone(), Image { before: image.before, now: Some(next.clone()) });
        self.roll(&key.0, (Some(&record), Some(&next)), undo);
    }

    /// The values of a roll-up of `parent` by all its children; none if the database must be asked for them first.
    fn told(&mut self, kept: &Arc<Kept>, parent: &Record) -> Vec<(usize, rapport_model::Value)> {
        let question = Question { object: kept.parent.clone(), field: kept.name.clone(), parent: parent.id };
        let Some((known, without)) = self.ground.facts.rollups.get(&question) else {
            self.asked.questions.insert(question);
            return Vec::new();
        };
        let (mut total, child) = (known.clone(), &kept.rollup.object);
        for ((_, id), image) in self.images.iter().filter(|((name, _), _)| name == child) {
            if without.contains(id) {
                add(kept, &mut total, image.now.as_ref(), parent.id);
            } else if !is_as_it_was(image) {
                self.asked.questions.insert(question);
                return Vec::new();
            }
        }
        kept.settled(&parent.object, &total)
    }

    /// Gives a new record what its children say: those that were there before it, in this group or since it was deleted.
    pub(super) fn roll_new(&mut self, key: &Key, undo: &mut Undo) {
        let Some(image) = self.images.get(key).cloned() else { return };
        let Some(record) = image.now.clone() else { return };
        let was_there = image.before.is_some();
        if !was_there && !self.orphans.contains(key) {
            return;
        }
        let rollups = self.ground.rollups.clone();
        let mut next = (*record).clone();
        for kept in rollups.of(&key.0) {
            let values = if was_there {
                self.told(kept, &record)
            } else {
                let mut total = Total::default();
                let children = self.images.iter().filter(|((name, _), _)| *name == kept.rollup.object);
                children.for_each(|(_, image)| add(kept, &mut total, image.now.as_ref(), key.1));
                kept.settled(&record.object, &total)
            };
            for (place, value) in values {
                next.set_at(place, value);
            }
        }
        self.put_rolled(key, (image, record, next), undo);
    }

    /// What the database must be asked before this group can be decided.
    pub(crate) fn open_questions(&mut self) -> Option<Asked> {
        if self.asked.is_empty() {
            return None;
        }
        let mut asked = std::mem::take(&mut self.asked);
        let objects: HashSet<&Name> = self.ground.rollups.all().iter().map(|kept| &kept.rollup.object).collect();
        let mut without: HashMap<Name, HashSet<RecordId>> = HashMap::new();
        for (name, id) in self.images.keys().filter(|(name, _)| objects.contains(name)) {
            without.entry(name.clone()).or_default().insert(*id);
        }
        asked.without = without;
        Some(asked)
    }
}

fn add(kept: &Kept, total: &mut Total, child: Option<&Arc<Record>>, parent: RecordId) {
    let Some(child) = child.filter(|child| child.get(kept.rollup.via.as_str()).as_ref_id() == Some(parent)) else {
        return;
    };
    if let Some(share) = kept.share(child) {
        kept.add(total, &share);
    }
}

fn is_as_it_was(image: &Image) -> bool {
    match (&image.before, &image.now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (None, None) => true,
        _ => false,
    }
}
