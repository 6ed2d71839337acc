//! What the committer reads for the sake of roll-ups: the parents of what a group touches, and what the database has of the children
//! where that is not told by what is kept. And roll-ups made anew as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::record::{Change, PutKind};
use rapport_model::rollup::{Kept, Rollups, Total};
use rapport_model::{Name, RecordId, Schema, Value};

use super::facts::{Key, fetch_records};
use super::group::Image;
use super::load::Loaded;
use super::{Committer, Failure};
use crate::db::Conn;
use crate::error::StoreError;
use crate::record_sql;
use crate::rollup_sql;
use crate::rule_sql::Dialect;
use crate::unit::UnitOfWork;

/// A roll-up of one parent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) object: Name,
    pub(crate) field: Name,
    pub(crate) parent: RecordId,
}

/// What must be found out before a group can be decided.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) questions: HashSet<Question>,
    /// Parents that nobody has looked for.
    pub(crate) strangers: HashSet<Key>,
    /// The children that the group knows, by object: they are left out of what is asked.
    pub(crate) without: HashMap<Name, HashSet<RecordId>>,
}

impl Asked {
    pub(crate) fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.strangers.is_empty()
    }
}

/// The children that an answer leaves out.
type Without = Arc<HashSet<RecordId>>;

/// What was found out about roll-ups, at one state of the log.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    known: HashMap<Question, (Total, Without)>,
    pub(crate) strangers: HashSet<Key>,
    commits: i64,
}

impl Answers {
    /// What the database has of the children, and which of them are left out of that.
    pub(crate) fn get(&self, question: &Question) -> Option<(&Total, &Without)> {
        self.known.get(question).map(|(total, without)| (total, without))
    }

    /// Forgets what was found out at another state of the log.
    pub(crate) fn as_of(&mut self, commits: i64) {
        if self.commits != commits {
            self.known.clear();
            self.commits = commits;
        }
    }

    /// Asks the database, once for each roll-up and some hundred parents.
    pub(crate) async fn find_out(
        &mut self,
        conn: &mut Conn,
        rollups: &Rollups,
        asked: Asked,
    ) -> Result<(), StoreError> {
        self.strangers.extend(asked.strangers);
        let sets: HashMap<Name, Without> = asked.without.into_iter().map(|(name, ids)| (name, Arc::new(ids))).collect();
        let mut by_rollup: HashMap<(Name, Name), Vec<RecordId>> = HashMap::new();
        for question in asked.questions {
            by_rollup.entry((question.object, question.field)).or_default().push(question.parent);
        }
        for ((object, field), parents) in by_rollup {
            let Some(kept) = rollups.of(&object).iter().find(|kept| kept.name == field) else { continue };
            let without = sets.get(&kept.rollup.object).cloned().unwrap_or_default();
            let left_out: Vec<RecordId> = without.iter().copied().collect();
            for parents in parents.chunks(rollup_sql::PARENTS) {
                let found = totals(conn, kept, parents, &left_out).await?;
                for parent in parents {
                    let question = Question { object: object.clone(), field: field.clone(), parent: *parent };
                    let total = found.get(parent).cloned().unwrap_or_default();
                    self.known.insert(question, (total, without.clone()));
                }
            }
        }
        Ok(())
    }
}

async fn totals(
    conn: &mut Conn,
    kept: &Kept,
    parents: &[RecordId],
    without: &[RecordId],
) -> Result<HashMap<RecordId, Total>, StoreError> {
    let dialect = conn.dialect();
    let mut found = HashMap::new();
    for row in conn.fetch(rollup_sql::ask(kept, parents, without, dialect)?).await? {
        let (parent, total) = rollup_sql::read_total(&row, kept, dialect)?;
        found.insert(parent, total);
    }
    Ok(found)
}

impl Committer {
    /// Loads the parents of all that the units touch, and theirs: from memory, else with one query for each object.
    pub(super) async fn load_parents(
        &mut self,
        units: &[UnitOfWork],
        rollups: &Rollups,
        strangers: &HashSet<Key>,
        loaded: &mut Loaded,
    ) -> Result<(), Failure> {
        let mut wanted: HashSet<Key> = strangers.clone();
        for put in units.iter().flat_map(|unit| &unit.puts) {
            let over = rollups.over(&put.object);
            let touches = |kept: &&Arc<Kept>| {
                put.kind != PutKind::Update || put.changes.iter().any(|(field, _)| kept.reads(field))
            };
            let now = loaded.images.get(&(put.object.clone(), put.id)).and_then(|image| image.now.as_ref());
            for kept in over.iter().filter(touches) {
                let via = &kept.rollup.via;
                let after = put.changes.iter().find_map(|(field, change)| match change {
                    Change::Set(Value::Ref(id)) if field == via => Some(*id),
                    _ => None,
                });
                let before = now.and_then(|record| record.get(via.as_str()).as_ref_id());
                wanted.extend(before.into_iter().chain(after).map(|id| (kept.parent.clone(), id)));
            }
        }
        while !wanted.is_empty() {
            let found = self.load_missing(wanted, loaded).await?;
            wanted = HashSet::new();
            for (object, id) in found {
                let Some(record) = loaded.images.get(&(object.clone(), id)).and_then(|image| image.now.as_ref()) else {
                    continue;
                };
                let own = rollups.of(&object);
                for kept in rollups.over(&object).iter().filter(|kept| own.iter().any(|o| kept.reads(&o.name))) {
                    let parent = record.get(kept.rollup.via.as_str()).as_ref_id();
                    wanted.extend(parent.map(|id| (kept.parent.clone(), id)));
                }
            }
        }
        Ok(())
    }

    /// Loads those of `wanted` that are not there yet; says which these are.
    async fn load_missing(&mut self, wanted: HashSet<Key>, loaded: &mut Loaded) -> Result<Vec<Key>, Failure> {
        let schema = self.shared.schema.load_full();
        let mut new = Vec::new();
        let mut missing: HashMap<Name, Vec<RecordId>> = HashMap::new();
        for key in wanted {
            if loaded.images.contains_key(&key) {
                continue;
            }
            let known = self.shared.cache.get(&key.0, key.1);
            if known.is_none() {
                missing.entry(key.0.clone()).or_default().push(key.1);
            }
            new.push(key.clone());
            loaded.images.insert(key, Image::loaded(known));
        }
        for (name, ids) in missing {
            let Some(object) = schema.object(name.as_str()) else { continue };
            let statements = record_sql::by_ids(object, &ids, self.conn.dialect());
            for record in fetch_records(&mut self.conn, statements, object).await? {
                loaded.images.insert((name.clone(), record.id), Image::loaded(Some(record)));
            }
        }
        Ok(new)
    }

    /// Makes roll-ups what their children say; says how many records that changed, for each.
    pub(super) async fn mend(&mut self, which: Vec<Arc<Kept>>) -> Result<Vec<u64>, StoreError> {
        let mut counts = Vec::with_capacity(which.len());
        for kept in which {
            let mended = self.mend_one(&kept).await;
            self.shared.cache.clear();
            counts.push(mended?);
        }
        Ok(counts)
    }

    async fn mend_one(&mut self, kept: &Arc<Kept>) -> Result<u64, StoreError> {
        let statement = rollup_sql::mend(std::slice::from_ref(kept), self.conn.dialect())?;
        if self.conn.dialect() == Dialect::Sqlite {
            return Ok(self.conn.execute(statement).await?);
        }
        self.conn.raw("begin").await?;
        self.open = true;
        for setting in rollup_sql::SET_BASED {
            self.conn.raw(setting).await?;
        }
        match self.conn.execute(statement).await {
            Ok(changed) => {
                self.open = false;
                self.conn.raw("commit").await?;
                Ok(changed)
            }
            Err(error) => {
                // The first error says more than a failed rollback would.
                self.roll_back().await.ok();
                Err(error.into())
            }
        }
    }

    /// The roll-ups of the registry as it stands.
    pub(super) fn rollups(&self, schema: &Schema) -> Arc<Rollups> {
        self.shared.rollups(schema)
    }
}
