//! A workspace as it is at one moment: a connection of its own in a transaction that only reads.
//!
//! Nobody waits for it, and it waits for nobody. On SQLite the write-ahead log cannot be folded back while it is held, on
//! PostgreSQL dead rows cannot be cleared away: whoever takes one lets it go soon.

use std::sync::Arc;

use rapport_model::fan_out::EACH;
use rapport_model::run::INVOKED;
use rapport_model::schedule::DUE;
use rapport_model::schema::Origin;
use rapport_model::{Event, ObjectDef, Record, RecordId, Schema, Timestamp};

use crate::backup::aside;
use crate::db::{Cell, Conn, Query};
use crate::error::StoreError;
use crate::log::{event_query, read_event, with_body};
use crate::payload::CORE_TYPES;
use crate::query::EventQuery;
use crate::record_sql;
use crate::registry;
use crate::rule_sql::Dialect;
use crate::shared::Shared;

const BEGIN: &str = "begin";
const BEGIN_POSTGRES: &str = "begin isolation level repeatable read read only";
/// The first read fixes the moment.
const SELECT_HEAD: &str = "select position from log_head where id = 1";

/// A workspace as it is at one moment.
pub struct Snapshot {
    pub(crate) conn: Conn,
    schema: Arc<Schema>,
    head: i64,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) async fn take(shared: &Shared) -> Result<Self, StoreError> {
        let mut conn = Conn::open(&aside(shared.config.database.clone()), shared.counters.clone()).await?;
        let begin = if conn.dialect() == Dialect::Sqlite { BEGIN } else { BEGIN_POSTGRES };
        conn.raw(begin).await?;
        let rows = conn.fetch(Query::new(SELECT_HEAD, Vec::new())).await?;
        let head = rows.first().map(|row| row.int(0)).transpose()?.unwrap_or(0);
        let schema = Arc::new(registry::load(&mut conn).await?);
        Ok(Self { conn, schema, head })
    }

    /// What is declared at that moment.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The last position of the log at that moment.
    #[must_use]
    pub const fn head(&self) -> i64 {
        self.head
    }

    /// The first position of an event that was true after `time`; none if there is none. What the core says of the registry and of
    /// automations, and of its own objects, does not count: that is told by the wall clock, also where history is loaded.
    ///
    /// Reads the heads of the whole log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn first_after(&mut self, time: Timestamp) -> Result<Option<i64>, StoreError> {
        let quoted = |names: Vec<String>| names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
        let core = quoted(CORE_TYPES.iter().map(ToString::to_string).collect());
        let system = self.schema.objects.values().filter(|object| object.origin == Origin::System);
        let own = quoted(system.map(|object| object.name.to_string()).collect());
        let text = format!(
            "select min(position) from event where time > $1 and type not in ({core}) \
             and (subject_object is null or subject_object not in ({own}))"
        );
        let rows = self.conn.fetch(Query::new(&text, vec![Cell::Int(time.micros())])).await?;
        Ok(rows.first().map(|row| row.opt_int(0)).transpose()?.flatten())
    }

    /// The first and the last position of the facts that came from outside (no run caused them) and were true from `since` on
    /// and before `until`; none if there are none. What the core says of the registry and of automations, and of its own
    /// objects, does not count.
    ///
    /// Reads the heads of the whole log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn span(&mut self, since: Timestamp, until: Timestamp) -> Result<Option<(i64, i64)>, StoreError> {
        let quoted = |names: Vec<String>| names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
        // That an instant of a schedule has come, or has come for a record, is a fact; and that somebody has called an action.
        let core = CORE_TYPES.iter().filter(|kind| !matches!(**kind, DUE | EACH | INVOKED));
        let core = quoted(core.map(ToString::to_string).collect());
        let system = self.schema.objects.values().filter(|object| object.origin == Origin::System);
        let own = quoted(system.map(|object| object.name.to_string()).collect());
        let text = format!(
            "select min(position), max(position) from event where time >= $1 and time < $2 and run is null \
             and type not in ({core}) and (subject_object is null or subject_object not in ({own}))"
        );
        let cells = vec![Cell::Int(since.micros()), Cell::Int(until.micros())];
        let rows = self.conn.fetch(Query::new(&text, cells)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(row.opt_int(0)?.zip(row.opt_int(1)?))
    }

    /// The events that `query` asks for, in its order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a row does not read; [`StoreError::Unavailable`].
    pub async fn events(&mut self, query: &EventQuery) -> Result<Vec<Arc<Event>>, StoreError> {
        let Some(select) = event_query(query, &self.schema) else { return Ok(Vec::new()) };
        let rows = self.conn.fetch(select).await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            events.push(Arc::new(with_body(read_event(row)?, &self.schema)?));
        }
        Ok(events)
    }

    /// Up to `limit` records of `object` after the id `after`, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn records(
        &mut self,
        object: &Arc<ObjectDef>,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<Arc<Record>>, StoreError> {
        let (place, cells) = match after {
            Some(id) => (" where t.\"id\" > $1", vec![Cell::id(id)]),
            None => ("", Vec::new()),
        };
        let text = format!("{}{place} order by t.\"id\" limit {limit}", record_sql::select(object));
        let mut records = Vec::new();
        for row in self.conn.fetch(Query::new(&text, cells)).await? {
            records.push(Arc::new(record_sql::read(&row, object)?));
        }
        Ok(records)
    }

    /// Lets the moment go.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; it is gone all the same.
    pub async fn close(mut self) -> Result<(), StoreError> {
        self.conn.raw("rollback").await?;
        Ok(self.conn.close().await?)
    }
}
