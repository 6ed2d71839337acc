//! What a group of units assumes of the database, and what was found out about it.
//!
//! A group is first built on the assumption that no constraint stands against it: that nobody holds the unique values it
//! sets, that records referred to are there, that outside identities are new. The database's own constraints prove that, at
//! no cost while it is true. If they object, everything that the group assumed is looked up at once, set by set, and the group is built
//! again on these facts, so that exactly the offenders are refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::event::Origin;
use rapport_model::{Name, Record, RecordId, Schema, Value};

use super::rollups::Answers;
use crate::db::{Cell, Conn, DbError, Kind, Query, RowStatement, Statement};
use crate::record_sql;
use crate::registry;
use crate::unit::IdempotencyPut;

/// A record, named across objects.
pub(crate) type Key = (Name, RecordId);
/// A value of a unique field: object, field, the value as JSON text.
pub(crate) type UniqueKey = (Name, Name, String);

/// A record that still refers to another one.
#[derive(Debug, Clone)]
pub(crate) struct Referrer {
    pub(crate) object: Name,
    pub(crate) id: RecordId,
    pub(crate) field: Name,
}

/// What a group assumed.
#[derive(Debug, Default)]
pub(crate) struct Assumed {
    /// Nobody else holds these values.
    pub(crate) free: HashMap<UniqueKey, Value>,
    /// These records are there.
    pub(crate) present: HashSet<Key>,
    /// Nothing refers to these records.
    pub(crate) unreferenced: HashSet<Key>,
    /// These records are not there.
    pub(crate) absent: HashSet<Key>,
    /// These outside identities are new.
    pub(crate) new_origins: HashSet<Origin>,
    /// These idempotency keys (actor, key) are new.
    pub(crate) new_keys: HashSet<(String, String)>,
}

impl Assumed {
    pub(crate) fn is_empty(&self) -> bool {
        let records = self.present.is_empty() && self.unreferenced.is_empty() && self.absent.is_empty();
        records && self.free.is_empty() && self.new_origins.is_empty() && self.new_keys.is_empty()
    }

    /// Takes over what one unit assumed.
    pub(crate) fn take(&mut self, unit: Self) {
        self.free.extend(unit.free);
        self.present.extend(unit.present);
        self.unreferenced.extend(unit.unreferenced);
        self.absent.extend(unit.absent);
        self.new_origins.extend(unit.new_origins);
        self.new_keys.extend(unit.new_keys);
    }
}

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) holders: HashMap<UniqueKey, Option<RecordId>>,
    pub(crate) present: HashMap<Key, bool>,
    pub(crate) referrers: HashMap<Key, Vec<Referrer>>,
    pub(crate) absent: HashMap<Key, Option<Arc<Record>>>,
    pub(crate) origins: HashMap<Origin, bool>,
    pub(crate) keys: HashMap<(String, String), Option<IdempotencyPut>>,
    pub(crate) rollups: Answers,
}

impl Facts {
    /// Finds out everything that was assumed, and adds it to what is known.
    pub(crate) async fn find_out(&mut self, conn: &mut Conn, schema: &Schema, assumed: Assumed) -> Result<(), DbError> {
        self.find_holders(conn, schema, assumed.free).await?;
        self.find_present(conn, assumed.present).await?;
        self.find_referrers(conn, schema, assumed.unreferenced).await?;
        self.find_absent(conn, schema, assumed.absent).await?;
        self.find_origins(conn, assumed.new_origins).await?;
        self.find_keys(conn, assumed.new_keys).await
    }

    async fn find_holders(
        &mut self,
        conn: &mut Conn,
        schema: &Schema,
        free: HashMap<UniqueKey, Value>,
    ) -> Result<(), DbError> {
        let mut by_field: HashMap<(Name, Name), Vec<Value>> = HashMap::new();
        for ((object, field, text), value) in free {
            self.holders.insert((object.clone(), field.clone(), text), None);
            by_field.entry((object, field)).or_default().push(value);
        }
        for ((object, name), values) in by_field {
            let Some(field) = schema.object(object.as_str()).and_then(|o| o.field(name.as_str())) else { continue };
            for statement in record_sql::holders(&object, field, &values, conn.dialect()) {
                for row in conn.fetch(statement).await? {
                    let value = row.value(1, &field.kind)?;
                    self.holders.insert(unique_key(&object, &name, &value), Some(row.record_id(0)?));
                }
            }
        }
        Ok(())
    }

    async fn find_present(&mut self, conn: &mut Conn, present: HashSet<Key>) -> Result<(), DbError> {
        for (object, ids) in by_object(present) {
            self.present.extend(ids.iter().map(|id| ((object.clone(), *id), false)));
            for statement in record_sql::present(&object, &ids, conn.dialect()) {
                for row in conn.fetch(statement).await? {
                    self.present.insert((object.clone(), row.record_id(0)?), true);
                }
            }
        }
        Ok(())
    }

    async fn find_referrers(
        &mut self,
        conn: &mut Conn,
        schema: &Schema,
        unreferenced: HashSet<Key>,
    ) -> Result<(), DbError> {
        for (target, ids) in by_object(unreferenced) {
            self.referrers.extend(ids.iter().map(|id| ((target.clone(), *id), Vec::new())));
            let values: Vec<Value> = ids.iter().map(|id| Value::Ref(*id)).collect();
            for (object, place) in registry::referrers(schema, &target) {
                let field = &object.fields[place];
                for statement in record_sql::holders(&object.name, field, &values, conn.dialect()) {
                    for row in conn.fetch(statement).await? {
                        let referrer =
                            Referrer { object: object.name.clone(), id: row.record_id(0)?, field: field.name.clone() };
                        self.referrers.entry((target.clone(), row.record_id(1)?)).or_default().push(referrer);
                    }
                }
            }
        }
        Ok(())
    }

    async fn find_absent(&mut self, conn: &mut Conn, schema: &Schema, absent: HashSet<Key>) -> Result<(), DbError> {
        for (name, ids) in by_object(absent) {
            let Some(object) = schema.object(name.as_str()) else { continue };
            self.absent.extend(ids.iter().map(|id| ((name.clone(), *id), None)));
            for record in fetch_records(conn, record_sql::by_ids(object, &ids, conn.dialect()), object).await? {
                self.absent.insert((name.clone(), record.id), Some(record));
            }
        }
        Ok(())
    }

    async fn find_origins(&mut self, conn: &mut Conn, origins: HashSet<Origin>) -> Result<(), DbError> {
        let mut cells = Vec::with_capacity(origins.len() * 2);
        for origin in origins {
            cells.push(Cell::Text(origin.source.clone()));
            cells.push(Cell::Text(origin.id.clone()));
            self.origins.insert(origin, false);
        }
        let find = RowStatement::new(
            "select e.source, e.source_id from (",
            ") as v join event as e on e.source = v.column1 and e.source_id = v.column2 where e.source is not null",
            &[Kind::Text, Kind::Text],
        );
        for statement in find.statements(conn.dialect(), cells) {
            for row in conn.fetch(statement).await? {
                let origin = Origin { source: row.text(0)?.into(), id: row.text(1)?.into() };
                self.origins.insert(origin, true);
            }
        }
        Ok(())
    }

    async fn find_keys(&mut self, conn: &mut Conn, keys: HashSet<(String, String)>) -> Result<(), DbError> {
        for (actor, key) in keys {
            let found = find_idempotent(conn, &actor, &key).await?;
            self.keys.insert((actor, key), found);
        }
        Ok(())
    }
}

const SELECT_KEY: &str =
    "select actor, key, fingerprint, response, expires_at from idempotency where actor = $1 and key = $2";

/// The query for the answer kept under a key.
pub(crate) fn idempotent_query(actor: &str, key: &str) -> Query {
    Query::new(SELECT_KEY, vec![Cell::text(actor), Cell::text(key)])
}

/// Reads a row of [`idempotent_query`].
pub(crate) fn read_idempotent(row: &crate::db::Row) -> Result<IdempotencyPut, DbError> {
    let actor = row.text(0)?.parse().map_err(|e| DbError::Other(format!("idempotency: {e}")))?;
    Ok(IdempotencyPut {
        actor,
        key: row.text(1)?,
        fingerprint: row.digest(2)?,
        response: row.bytes(3)?,
        expires_at: row.micros(4)?,
    })
}

async fn find_idempotent(conn: &mut Conn, actor: &str, key: &str) -> Result<Option<IdempotencyPut>, DbError> {
    let rows = conn.fetch(idempotent_query(actor, key)).await?;
    rows.first().map(read_idempotent).transpose()
}

/// The key of a unique value.
pub(crate) fn unique_key(object: &Name, field: &Name, value: &Value) -> UniqueKey {
    (object.clone(), field.clone(), rapport_model::json::to_json(value).to_string())
}

fn by_object(keys: HashSet<Key>) -> HashMap<Name, Vec<RecordId>> {
    let mut map: HashMap<Name, Vec<RecordId>> = HashMap::new();
    for (object, id) in keys {
        map.entry(object).or_default().push(id);
    }
    map
}

/// Runs `statements` and reads their rows as records.
pub(crate) async fn fetch_records(
    conn: &mut Conn,
    statements: Vec<Statement>,
    object: &Arc<rapport_model::ObjectDef>,
) -> Result<Vec<Arc<Record>>, DbError> {
    let mut records = Vec::new();
    for statement in statements {
        for row in conn.fetch(statement).await? {
            records.push(Arc::new(record_sql::read(&row, object)?));
        }
    }
    Ok(records)
}
