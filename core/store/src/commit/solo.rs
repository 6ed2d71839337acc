//! Units that change the registry or what is live: statements and events beyond those of records.

use std::sync::Arc;

use rapport_model::covering::TEXT_BYTES_MAX;
use rapport_model::event::{Fields, NewEvent};
use rapport_model::schema::SchemaChange;
use rapport_model::{AutomationId, Digest, EventType, Schema, Timestamp, Value};

use crate::db::{Cell, Conn, Query, Statement};
use crate::error::StoreError;
use crate::payload::{self, core_field, json_value};
use crate::registry;
use crate::rule_sql::Dialect;
use crate::unit::{AutomationChange, UnitOfWork};

const PUT_ARTIFACT: &str = "insert into artifact (digest, kind, path, bytes, created_at) values ($1, $2, $3, $4, $5) \
     on conflict (digest) do nothing";
const ACTIVATE: &str = "insert into automation (id, active, digest, declaration, settings, activated_at) \
     values ($1, $2, $3, $4, $5, $6) on conflict (id) do update set active = excluded.active, digest = excluded.digest, \
     declaration = excluded.declaration, settings = excluded.settings, activated_at = excluded.activated_at";
const DEACTIVATE: &str = "update automation set active = $2 where id = $1";
const HAS_ARTIFACT: &str = "select 1 from artifact where digest = $1";
const HAS_AUTOMATION: &str = "select 1 from automation where id = $1";
/// DDL waits no longer than this for readers, so that it does not hold up those who come after it; then it is tried again.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '2s'";

/// What a unit changes beyond records and events of its own.
pub(super) struct Extra {
    /// The registry after it.
    pub(super) schema: Arc<Schema>,
    pub(super) statements: Vec<Statement>,
    /// What comes after everything else: it fills new roll-ups.
    pub(super) last: Vec<Statement>,
    pub(super) events: Vec<NewEvent>,
}

impl Extra {
    fn push(&mut self, text: &str, cells: Vec<Cell>) {
        self.statements.push(Query::new(text, cells).into());
    }
}

/// Plans the changes of `unit` to the registry and to what is live.
pub(super) async fn plan(
    conn: &mut Conn,
    schema: &Arc<Schema>,
    now: Timestamp,
    unit: &UnitOfWork,
) -> Result<Extra, StoreError> {
    let mut extra = Extra { schema: schema.clone(), statements: Vec::new(), last: Vec::new(), events: Vec::new() };
    if !unit.schema.is_empty() {
        plan_schema(conn, &mut extra, unit).await?;
    }
    for change in &unit.automations {
        plan_automation(conn, &mut extra, change, (unit, now)).await?;
    }
    Ok(extra)
}

async fn plan_schema(conn: &mut Conn, extra: &mut Extra, unit: &UnitOfWork) -> Result<(), StoreError> {
    let planned = registry::plan(&extra.schema, &unit.schema, conn.dialect())?;
    for (object, field) in planned.must_be_empty {
        // An object of the same unit has no table yet, and so no rows.
        if extra.schema.object(object.as_str()).is_some() && registry::has_rows(conn, &object).await? {
            let why = "it is required, and records exist: give it a default";
            return Err(StoreError::Schema(format!("`{object}.{field}` cannot be added: {why}")));
        }
    }
    for (object, field) in &planned.must_fit {
        let (known, after) = (extra.schema.object(object.as_str()), planned.schema.object(object.as_str()));
        let (Some(known), Some(after)) = (known, after) else { continue };
        if let Some(id) = registry::unfit_for_index(conn, known, after, field).await? {
            let why =
                format!("the texts of the record {id} have more than {TEXT_BYTES_MAX} bytes together: shorten them");
            return Err(StoreError::Schema(format!("`{object}.{field}` cannot be indexed with others: {why}")));
        }
    }
    if planned.effective.is_empty() {
        return Ok(());
    }
    if conn.dialect() == Dialect::Postgres {
        extra.push(LOCK_TIMEOUT, Vec::new());
    }
    extra.statements.extend(planned.statements);
    extra.last.extend(planned.fills);
    for change in &planned.effective {
        extra.events.push(core_event(payload::SCHEMA_CHANGED, vec![core_field("change", describe(change))], unit));
    }
    extra.schema = Arc::new(planned.schema);
    Ok(())
}

fn describe(change: &SchemaChange) -> Value {
    json_value(serde_json::to_value(change).expect("definitions have text keys and finite numbers only"))
}

fn core_event(kind: &str, data: Fields, unit: &UnitOfWork) -> NewEvent {
    let kind = EventType::new(kind).expect("the types of core events are valid: a test reads them all");
    NewEvent { origin: None, kind, subject: None, lane: None, time: unit.time, data }
}

async fn has(conn: &mut Conn, text: &str, cell: Cell) -> Result<bool, StoreError> {
    Ok(!conn.fetch(Query::new(text, vec![cell])).await?.is_empty())
}

fn digest_cell(digest: &Digest) -> Cell {
    Cell::Bytes(digest.0.to_vec())
}

/// What an event says of a version.
fn named(id: &AutomationId, digest: &Digest) -> Fields {
    let automation = core_field("automation", Value::text(id.as_str()));
    vec![automation, core_field("digest", Value::text(&digest.to_string()))]
}

/// Refuses a version whose content is neither kept nor in the unit.
async fn must_be_kept(
    conn: &mut Conn,
    unit: &UnitOfWork,
    (id, digest): (&AutomationId, &Digest),
) -> Result<(), StoreError> {
    let with_it = |c: &AutomationChange| matches!(c, AutomationChange::PutArtifact(a) if a.digest == *digest);
    if unit.automations.iter().any(with_it) || has(conn, HAS_ARTIFACT, digest_cell(digest)).await? {
        return Ok(());
    }
    Err(StoreError::Invalid(format!("the content {} of `{id}` is not kept", digest.short())))
}

async fn plan_automation(
    conn: &mut Conn,
    extra: &mut Extra,
    change: &AutomationChange,
    (unit, now): (&UnitOfWork, Timestamp),
) -> Result<(), StoreError> {
    match change {
        AutomationChange::PutArtifact(artifact) => {
            if rapport_model::Digest::of(&artifact.bytes) != artifact.digest {
                return Err(StoreError::Invalid(format!("{} is not what its digest names", artifact.path)));
            }
            let cells = vec![
                digest_cell(&artifact.digest),
                Cell::text(artifact.kind.as_str()),
                Cell::text(&artifact.path),
                Cell::Bytes(artifact.bytes.to_vec()),
                Cell::Int(now.micros()),
            ];
            extra.push(PUT_ARTIFACT, cells);
        }
        AutomationChange::Push(id, digest) => {
            must_be_kept(conn, unit, (id, digest)).await?;
            extra.events.push(core_event(payload::AUTOMATION_PUSHED, named(id, digest), unit));
        }
        AutomationChange::Activate(activation) | AutomationChange::RollBack(activation) => {
            let digest = activation.digest;
            must_be_kept(conn, unit, (&activation.id, &digest)).await?;
            let cells = vec![
                Cell::text(activation.id.as_str()),
                Cell::Bool(true),
                digest_cell(&digest),
                Cell::text(&activation.declaration),
                Cell::text(&activation.settings),
                Cell::Int(now.micros()),
            ];
            extra.push(ACTIVATE, cells);
            let mut data = named(&activation.id, &digest);
            if matches!(change, AutomationChange::RollBack(_)) {
                data.push(core_field("rollback", Value::Bool(true)));
            }
            extra.events.push(core_event(payload::AUTOMATION_ACTIVATED, data, unit));
        }
        AutomationChange::Deactivate(id) => {
            if !has(conn, HAS_AUTOMATION, Cell::text(id.as_str())).await? {
                return Err(StoreError::Invalid(format!("there is no automation `{id}`")));
            }
            extra.push(DEACTIVATE, vec![Cell::text(id.as_str()), Cell::Bool(false)]);
            let data = vec![core_field("automation", Value::text(id.as_str()))];
            extra.events.push(core_event(payload::AUTOMATION_DEACTIVATED, data, unit));
        }
    }
    Ok(())
}
