//! Roll-ups as a slice sees them: as if what it wrote were committed.
//!
//! What the slice wrote is applied to the roll-ups of the parents as the committer will apply it, by the same functions. Where what is
//! kept does not tell, the database is asked, without the children that the slice wrote.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rapport_model::rollup::{Kept, Next, Rollups, Share, Total, kept};
use rapport_model::{Name, Record, RecordId, Value};
use rapport_store::Store;

use super::{Buffer, Touched};
use crate::error::EngineError;

type Key = (Name, RecordId);

/// A record as the database has it, and as the slice leaves it.
#[derive(Clone)]
struct Image {
    before: Option<Arc<Record>>,
    now: Option<Arc<Record>>,
}

/// What the database has of the children of a parent, without some.
type Known = (Total, HashSet<RecordId>);

/// What changes of records do to those that they roll up into.
struct Rolling<'a> {
    store: &'a Store,
    rollups: Arc<Rollups>,
    images: HashMap<Key, Image>,
    /// By object, roll-up and parent.
    totals: HashMap<(Name, Name, RecordId), Known>,
}

impl Buffer {
    /// Brings the roll-ups of all records up to what was written. To be called before something is read whose answer depends on the
    /// roll-ups of one of `objects`.
    pub(crate) async fn roll(&mut self, store: &Store, objects: &[&Name]) -> Result<(), EngineError> {
        if self.rolled_at == self.revision || self.touched.is_empty() {
            return Ok(());
        }
        let rollups = store.rollups();
        if objects.iter().all(|object| rollups.of(object).is_empty()) {
            return Ok(());
        }
        self.rolled.clear();
        if self.touched.values().any(|touched| !rollups.over(&touched.object).is_empty()) {
            let mut rolling = Rolling { store, rollups, images: HashMap::new(), totals: HashMap::new() };
            rolling.begin(self).await?;
            let written = rolling.images.iter().map(|(key, image)| (key.clone(), image.clone())).collect();
            rolling.roll(written).await?;
            for ((object, id), Image { before, now }) in rolling.images {
                if self.touched.contains_key(&id) || before != now {
                    self.rolled.insert(id, Touched { object, after: now });
                }
            }
        }
        self.rolled_at = self.revision;
        Ok(())
    }
}

impl Rolling<'_> {
    /// Takes up what was written, with the roll-ups that the database has at present.
    async fn begin(&mut self, buffer: &Buffer) -> Result<(), EngineError> {
        let mut fresh: HashMap<&Name, Vec<RecordId>> = HashMap::new();
        for (id, touched) in &buffer.touched {
            let has = !self.rollups.of(&touched.object).is_empty();
            if !has && self.rollups.over(&touched.object).is_empty() {
                continue;
            }
            if has {
                fresh.entry(&touched.object).or_default().push(*id);
            }
            let before = buffer.seen.get(id).filter(|_| !buffer.made.contains(id)).cloned();
            let image = Image { before, now: touched.after.clone() };
            self.images.insert((touched.object.clone(), *id), image);
        }
        for (object, ids) in fresh {
            let found = self.store.records(object, &ids).await?;
            for (id, found) in ids.into_iter().zip(found) {
                let Some(image) = self.images.get_mut(&(object.clone(), id)) else { continue };
                for state in [&mut image.before, &mut image.now].into_iter().flatten() {
                    let state = Arc::make_mut(state);
                    kept::blank(state);
                    if let Some(found) = &found {
                        kept::take_over(state, found);
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes on from changes of records to those that follow from them, until nothing follows any more: there are no circles.
    async fn roll(&mut self, changes: Vec<(Key, Image)>) -> Result<(), EngineError> {
        let mut open = VecDeque::from(changes);
        while let Some(((object, _), Image { before, now })) = open.pop_front() {
            let rollups = self.rollups.clone();
            for kept in rollups.over(&object) {
                let old = before.as_ref().and_then(|record| kept.share(record));
                let new = now.as_ref().and_then(|record| kept.share(record));
                if old == new {
                    continue;
                }
                let mut parents: Vec<RecordId> = old.iter().chain(&new).map(|share| share.parent).collect();
                parents.dedup();
                for parent in parents {
                    let of = |share: &Option<Share>| share.clone().filter(|share| share.parent == parent);
                    let key = (kept.parent.clone(), parent);
                    if let Some(moved) = self.step(kept, &key, (of(&old), of(&new))).await? {
                        open.push_back((key, moved));
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves a parent on; its state before and after if that makes a difference.
    async fn step(
        &mut self,
        kept: &Arc<Kept>,
        key: &Key,
        (old, new): (Option<Share>, Option<Share>),
    ) -> Result<Option<Image>, EngineError> {
        if !self.images.contains_key(key) {
            let found = self.store.record(&key.0, key.1).await?;
            self.images.insert(key.clone(), Image { before: found.clone(), now: found });
        }
        let Some(record) = self.images.get(key).and_then(|image| image.now.clone()) else { return Ok(None) };
        let place = (kept.parent.clone(), kept.name.clone(), key.1);
        // Once all children were asked, they are what counts.
        let asked = self.totals.contains_key(&place);
        let next = if asked { Next::Ask } else { kept.next(&record, old.as_ref(), new.as_ref()) };
        let values = match next {
            Next::Same => return Ok(None),
            Next::Set(values) => values,
            Next::Ask => self.told(kept, (place, &record)).await?,
        };
        let mut after = (*record).clone();
        for (place, value) in values {
            after.set_at(place, value);
        }
        if after == *record {
            return Ok(None);
        }
        let after = Arc::new(after);
        if let Some(image) = self.images.get_mut(key) {
            image.now = Some(after.clone());
        }
        Ok(Some(Image { before: Some(record), now: Some(after) }))
    }

    /// The values of a roll-up of `parent` by all its children: those of the database, and those that are known here.
    async fn told(
        &mut self,
        kept: &Arc<Kept>,
        (place, parent): ((Name, Name, RecordId), &Record),
    ) -> Result<Vec<(usize, Value)>, EngineError> {
        let of_child = |key: &Key| key.0 == kept.rollup.object;
        let children: HashSet<RecordId> = self.images.keys().filter(|key| of_child(key)).map(|(_, id)| *id).collect();
        if self.totals.get(&place).is_none_or(|(_, without)| *without != children) {
            let without: Vec<RecordId> = children.iter().copied().collect();
            let mut found = self.store.rollup_totals(kept, &[parent.id], &without).await?;
            self.totals.insert(place.clone(), (found.remove(&parent.id).unwrap_or_default(), children));
        }
        let mut total = self.totals.get(&place).map(|(total, _)| total.clone()).unwrap_or_default();
        for image in self.images.iter().filter(|(key, _)| of_child(key)).map(|(_, image)| image) {
            let share = image.now.as_ref().and_then(|child| kept.share(child));
            share.iter().filter(|share| share.parent == parent.id).for_each(|share| kept.add(&mut total, share));
        }
        Ok(kept.settled(&parent.object, &total))
    }
}
