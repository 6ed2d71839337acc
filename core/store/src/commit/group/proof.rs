//! Which of a group's assumptions the database will not prove.
//!
//! A constraint sees only how the group ends. What a unit assumed on the way (a value taken and given up again, a reference
//! set and moved on, a record created and deleted) has to be looked up before the group may commit, and so has what a
//! unit was refused for. Both are rare: they take two units on one record within one group.

use std::collections::HashSet;
use std::sync::Arc;

use rapport_model::{FieldKind, Record, Value};

use super::{Group, Owner};
use crate::commit::facts::{Assumed, Key};

impl Group<'_> {
    /// Notes that a unit is refused since this record is not there, although nobody has looked. Returns nothing, which is
    /// what is known of the record.
    pub(super) fn doubt(&mut self, key: &Key) -> Option<Arc<Record>> {
        if self.unsure.contains(key) {
            self.doubted.insert(key.clone());
        }
        None
    }

    /// What was assumed, is not known, and will not be proved by the commit itself.
    pub(crate) fn unproven(&self) -> Assumed {
        let facts = self.ground.facts;
        let there = |key: &Key| self.images.get(key).is_some_and(|image| image.now.is_some());
        let mut open = Assumed::default();
        let doubted = self.doubted.iter().filter(|key| !facts.absent.contains_key(*key));
        let created = self.assumed.absent.iter().filter(|key| self.unsure.contains(*key) && !there(key));
        open.absent.extend(doubted.chain(created).cloned());
        let deleted = self.assumed.unreferenced.iter();
        open.unreferenced.extend(deleted.filter(|key| there(key) && !facts.referrers.contains_key(*key)).cloned());
        for (key, value) in &self.assumed.free {
            let held = matches!(self.owners.get(key), Some(Owner::Record(_)));
            if !held && !facts.holders.contains_key(key) {
                open.free.insert(key.clone(), value.clone());
            }
        }
        let unknown: Vec<&Key> = self.assumed.present.iter().filter(|key| self.is_open(key)).collect();
        if !unknown.is_empty() {
            let held = self.references();
            open.present.extend(unknown.into_iter().filter(|key| !held.contains(*key)).cloned());
        }
        open
    }

    /// Whether nothing but the commit could prove that this record is there.
    fn is_open(&self, key: &Key) -> bool {
        !self.images.contains_key(key) && !self.ground.facts.present.contains_key(key)
    }

    /// Everything that the touched records refer to in the end.
    fn references(&self) -> HashSet<Key> {
        let mut held = HashSet::new();
        for record in self.images.values().filter_map(|image| image.now.as_ref()) {
            for (i, field) in record.object.fields.iter().enumerate() {
                if let (FieldKind::Reference { object }, Value::Ref(id)) = (&field.kind, record.at(i)) {
                    held.insert((object.clone(), *id));
                }
            }
        }
        held
    }
}
