//! What a slice has written so far, and how reads see it.
//!
//! The buffer holds, for every record that the slice touched, its state as the slice left it. A read by id asks the buffer
//! first; a query takes the rows of the database and puts the buffer's in their place. Nothing here waits.

mod rolled;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rapport_model::image::{self, Unfit};
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::{Digest, Name, ObjectDef, Record, RecordId, Timestamp, Value};
use rapport_store::{Blob, ReadVersion};

/// The state of one touched record.
#[derive(Debug, Clone)]
struct Touched {
    object: Name,
    /// As the slice leaves it; none: deleted.
    after: Option<Arc<Record>>,
}

/// The field changes of a record, its state before and its state after.
pub(crate) type Changed = (Vec<(Name, Change)>, Option<Arc<Record>>, Option<Arc<Record>>);

/// The writes and the versioned reads of one slice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer {
    touched: HashMap<RecordId, Touched>,
    read: HashMap<RecordId, ReadVersion>,
    puts: Vec<Put>,
    /// The records as they were before the slice first wrote them.
    seen: HashMap<RecordId, Arc<Record>>,
    /// The records that the slice made: the database has none of them.
    made: HashSet<RecordId>,
    /// What was known, when the slice began, of the records that it wrote since.
    earlier: HashMap<RecordId, Option<Touched>>,
    /// The bytes of files that it puts.
    blobs: BTreeMap<Digest, Arc<[u8]>>,
    /// The records, touched or not, whose roll-ups follow from what the slice wrote, as they are with that.
    rolled: HashMap<RecordId, Touched>,
    /// Counts what was written or taken back.
    revision: u64,
    /// The revision that `rolled` follows from.
    rolled_at: u64,
}

impl Buffer {
    /// What the buffer knows of a record: `None` nothing, `Some(None)` that it is deleted.
    #[expect(clippy::option_option, reason = "not known, known to be gone, and known are three answers")]
    pub(crate) fn get(&self, object: &Name, id: RecordId) -> Option<Option<Arc<Record>>> {
        let known = self.rolled.get(&id).or_else(|| self.touched.get(&id)).filter(|t| t.object == *object)?;
        Some(known.after.clone())
    }

    /// The touched record of `object` whose unique `field` has `value`, if there is one.
    pub(crate) fn find_unique(&self, object: &Name, field: &Name, value: &Value) -> Option<Arc<Record>> {
        self.records(object).find(|r| r.get(field.as_str()) == value).cloned()
    }

    /// The touched records of `object` that are there, and those whose roll-ups follow from them.
    pub(crate) fn records<'a>(&'a self, object: &'a Name) -> impl Iterator<Item = &'a Arc<Record>> {
        self.known(object).filter_map(|(_, t)| t.after.as_ref())
    }

    /// What is known of the records of `object`: what was touched, and what follows from that.
    fn known<'a>(&'a self, object: &'a Name) -> impl Iterator<Item = (&'a RecordId, &'a Touched)> {
        let touched = self.touched.iter().filter(|(id, _)| !self.rolled.contains_key(id));
        self.rolled.iter().chain(touched).filter(move |(_, t)| t.object == *object)
    }

    /// The same, as the slice leaves them.
    pub(crate) fn states(&self, object: &Name) -> HashMap<RecordId, Option<Arc<Record>>> {
        self.known(object).map(|(id, t)| (*id, t.after.clone())).collect()
    }

    /// The ids of these.
    pub(crate) fn touched_ids<'a>(&'a self, object: &'a Name) -> impl Iterator<Item = RecordId> + 'a {
        self.known(object).map(|(id, _)| *id)
    }

    /// Whether this record was written.
    pub(crate) fn is_touched(&self, id: RecordId) -> bool {
        self.touched.contains_key(&id)
    }

    /// Notes that the slice saw this version: if it moves before the commit, the slice is tried again.
    pub(crate) fn saw(&mut self, record: &Record) {
        let (object, id, version) = (record.object.name.clone(), record.id, record.version);
        self.read.entry(id).or_insert(ReadVersion { object, id, version });
    }

    /// Creates a record.
    pub(crate) fn create(
        &mut self,
        object: &Arc<ObjectDef>,
        id: RecordId,
        time: Timestamp,
        changes: Vec<(Name, Change)>,
    ) -> Result<Arc<Record>, Unfit> {
        let record = Arc::new(image::created(object, id, time, &changes)?);
        if !self.seen.contains_key(&id) {
            self.made.insert(id);
        }
        self.keep(object.name.clone(), id, Some(record.clone()));
        self.puts.push(Put { object: object.name.clone(), id, kind: PutKind::Create, changes });
        Ok(record)
    }

    /// Changes a record that was seen as `before`; returns it as it is then.
    pub(crate) fn update(
        &mut self,
        before: &Arc<Record>,
        time: Timestamp,
        changes: Vec<(Name, Change)>,
    ) -> Result<Arc<Record>, Unfit> {
        let Some(after) = image::changed(before, time, &changes)? else { return Ok(before.clone()) };
        let after = Arc::new(after);
        self.seen.entry(before.id).or_insert_with(|| before.clone());
        let object = before.object.name.clone();
        self.keep(object.clone(), before.id, Some(after.clone()));
        self.puts.push(Put { object, id: before.id, kind: PutKind::Update, changes });
        Ok(after)
    }

    /// Deletes a record.
    pub(crate) fn delete(&mut self, before: &Arc<Record>) {
        self.seen.entry(before.id).or_insert_with(|| before.clone());
        let object = before.object.name.clone();
        self.keep(object.clone(), before.id, None);
        self.puts.push(Put { object, id: before.id, kind: PutKind::Delete, changes: Vec::new() });
    }

    fn keep(&mut self, object: Name, id: RecordId, after: Option<Arc<Record>>) {
        self.revision += 1;
        self.rolled.clear();
        let earlier = self.touched.insert(id, Touched { object, after });
        self.earlier.entry(id).or_insert(earlier);
    }

    /// The puts since [`Self::start_slice`], in order.
    pub(crate) fn puts(&self) -> &[Put] {
        &self.puts
    }

    /// How many records were written.
    pub(crate) fn writes(&self) -> usize {
        self.puts.len()
    }

    /// Forgets what was read and put, and keeps how records stand: for the next slice of a preview.
    pub(crate) fn start_slice(&mut self) {
        self.puts.clear();
        self.read.clear();
        self.earlier.clear();
    }

    /// Takes back what was written since [`Self::start_slice`].
    pub(crate) fn take_back(&mut self) {
        self.revision += 1;
        self.rolled.clear();
        for (id, earlier) in self.earlier.drain() {
            match earlier {
                Some(touched) => drop(self.touched.insert(id, touched)),
                None => drop(self.touched.remove(&id)),
            }
        }
        self.start_slice();
    }

    /// Each record that was put since [`Self::start_slice`]: its field changes, its state then, its state now.
    pub(crate) fn changes(&self) -> Vec<Changed> {
        let mut changed: Vec<(RecordId, Vec<(Name, Change)>)> = Vec::new();
        for put in &self.puts {
            match changed.iter_mut().find(|(id, _)| *id == put.id) {
                Some((_, changes)) => changes.extend(put.changes.iter().cloned()),
                None => changed.push((put.id, put.changes.clone())),
            }
        }
        let now = |id| self.touched.get(&id).and_then(|t| t.after.clone());
        let then = |id| match self.earlier.get(&id) {
            Some(Some(touched)) => touched.after.clone(),
            _ => self.seen.get(&id).cloned(),
        };
        changed.into_iter().map(|(id, changes)| (changes, then(id), now(id))).collect()
    }

    /// Keeps the bytes of a file for the commit.
    pub(crate) fn keep_bytes(&mut self, blob: Blob) {
        self.blobs.insert(blob.digest, blob.bytes);
    }

    /// The bytes that `digest` names, if the slice puts them.
    pub(crate) fn bytes(&self, digest: &Digest) -> Option<&Arc<[u8]>> {
        self.blobs.get(digest)
    }

    /// The versions seen, the puts and the bytes of files, for the unit of work.
    pub(crate) fn into_parts(self) -> (Vec<ReadVersion>, Vec<Put>, Vec<Blob>) {
        let blobs = self.blobs.into_iter().map(|(digest, bytes)| Blob { digest, bytes });
        (self.read.into_values().collect(), self.puts, blobs.collect())
    }
}
