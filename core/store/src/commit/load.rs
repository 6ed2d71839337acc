//! What a group reads before it is decided: from memory, else with one query for each object.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::json::value_from_json;
use rapport_model::{FieldDef, Name, Record, RecordId, RunId, RunStatus, Schema};

use super::facts::{self, Facts, fetch_records};
use super::group::{Image, KnownRun};
use super::{Committer, Failure};
use crate::db::{Cell, DbError, Kind, RowStatement};
use crate::record_sql;
use crate::unit::UnitOfWork;

/// Everything a group reads before it is decided.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) images: HashMap<facts::Key, Image>,
    pub(super) runs: HashMap<RunId, KnownRun>,
    /// Records that were not looked for, since a unit creates them.
    pub(super) unsure: HashSet<facts::Key>,
    /// How often each lock that the units name has been taken.
    pub(super) locks: HashMap<String, i64>,
}

impl Loaded {
    /// Moves images to the objects of `schema`: a unit that declares a field may use it at once.
    pub(super) fn adopt(&mut self, schema: &Schema) {
        for ((name, _), image) in &mut self.images {
            let (Some(now), Some(object)) = (&image.now, schema.object(name.as_str())) else { continue };
            let known = |column: &str| now.object.columns().position(|known| known == column);
            let fresh = |field: Option<&FieldDef>| {
                let field = field?;
                field.default.as_ref().and_then(|json| value_from_json(&field.kind, json).ok())
            };
            let value = |(place, column): (usize, &str)| match known(column) {
                Some(place) => now.at(place).clone(),
                None => fresh(object.fields.get(place)).unwrap_or_default(),
            };
            let values = object.columns().enumerate().map(value).collect();
            let next = Record { object: object.clone(), values, ..(**now).clone() };
            *image = Image::loaded(Some(Arc::new(next)));
        }
    }
}

impl Committer {
    /// Loads the state of every record and run that the units name: from memory, else with one query for each object.
    pub(super) async fn load(&mut self, units: &[UnitOfWork], facts: &Facts) -> Result<Loaded, Failure> {
        let schema = self.shared.schema.load_full();
        let mut loaded = Loaded::default();
        loaded.images.reserve(units.len());
        loaded.runs.reserve(units.len());
        let mut missing: HashMap<&Name, HashSet<RecordId>> = HashMap::new();
        for (object, id, create) in units.iter().flat_map(named) {
            let key = (object.clone(), id);
            if loaded.images.contains_key(&key) {
                continue;
            }
            let known = facts.absent.get(&key).cloned().flatten().or_else(|| self.shared.cache.get(object, id));
            if create && known.is_none() && !facts.absent.contains_key(&key) {
                loaded.unsure.insert(key.clone());
            }
            if known.is_some() || create {
                loaded.images.insert(key, Image::loaded(known));
            } else if schema.object(object.as_str()).is_some() {
                loaded.images.insert(key, Image::default());
                missing.entry(object).or_default().insert(id);
            }
        }
        for (name, ids) in missing {
            let Some(object) = schema.object(name.as_str()) else { continue };
            let ids: Vec<RecordId> = ids.into_iter().collect();
            let statements = record_sql::by_ids(object, &ids, self.conn.dialect());
            for record in fetch_records(&mut self.conn, statements, object).await? {
                loaded.images.insert((name.clone(), record.id), Image::loaded(Some(record)));
            }
        }
        self.load_runs(units, &mut loaded).await?;
        self.load_locks(units, &mut loaded).await?;
        Ok(loaded)
    }

    async fn load_locks(&mut self, units: &[UnitOfWork], loaded: &mut Loaded) -> Result<(), Failure> {
        let keys: HashSet<&str> = units.iter().flat_map(|unit| &unit.locks).map(|(key, _)| key.as_str()).collect();
        let cells = keys.into_iter().map(Cell::text).collect();
        let find = RowStatement::new("select key, version from named_lock where key in (", ")", &[Kind::Text]);
        for statement in find.statements(self.conn.dialect(), cells) {
            for row in self.conn.fetch(statement).await? {
                loaded.locks.insert(row.text(0)?, row.int(1)?);
            }
        }
        Ok(())
    }

    async fn load_runs(&mut self, units: &[UnitOfWork], loaded: &mut Loaded) -> Result<(), Failure> {
        let mut cells = Vec::new();
        for update in units.iter().filter_map(|unit| unit.run_state.as_ref()) {
            match self.known_runs.get(&update.id) {
                Some(known) => drop(loaded.runs.insert(update.id, known.clone())),
                None => cells.push(Cell::Id(update.id.0)),
            }
        }
        let find = RowStatement::new("select id, automation, status, digest from run where id in (", ")", &[Kind::Id]);
        for statement in find.statements(self.conn.dialect(), cells) {
            for row in self.conn.fetch(statement).await? {
                let bad = |why: String| DbError::Other(format!("run: {why}"));
                let automation = rapport_model::AutomationId::new(&row.text(1)?).map_err(|e| bad(e.to_string()))?;
                let status = row.text(2)?;
                let status = RunStatus::parse(&status).ok_or_else(|| bad(format!("the status `{status}`")))?;
                loaded.runs.insert(row.run_id(0)?, KnownRun { automation, digest: row.digest(3)?, status });
            }
        }
        Ok(())
    }
}

/// The records that a unit names, and whether it creates them.
fn named(unit: &UnitOfWork) -> impl Iterator<Item = (&Name, RecordId, bool)> {
    use rapport_model::record::PutKind;
    let reads = unit.reads.iter().map(|read| (&read.object, read.id, false));
    let puts = unit.puts.iter().map(|put| (&put.object, put.id, put.kind == PutKind::Create));
    let subjects = unit.events.iter().filter_map(|event| event.subject.as_ref()).map(|s| (&s.object, s.id, false));
    reads.chain(puts).chain(subjects)
}
