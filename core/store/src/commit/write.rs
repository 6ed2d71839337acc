//! Turns a group into statements: few, set-based, in an order in which no constraint objects for the order's sake.
//!
//! For a group of any size: one insert for events, one for new runs, one update for run states, and for each object
//! one insert, one update and one delete, each with the last state of each record; the head comes last. PostgreSQL gets the rows of a
//! statement at once, SQLite one after another.

mod blobs;
mod effects;
mod journal;
mod locks;
mod match_keys;
mod stays;
mod tags;
mod terms;

pub(crate) use self::journal::WAIT_PLACES;
pub(super) use self::tags::statements as tag_statements;
pub(super) use self::terms::statements as term_statements;

use std::collections::BTreeMap;
use std::sync::Arc;

use rapport_model::{Name, ObjectDef, Record, RecordId, Run, Schema};

use super::group::{Group, Image, Sealed};
use crate::db::{Cell, Kind, Query, RowStatement, Statement};
use crate::head::{Head, write_counts};
use crate::record_sql;
use crate::rule_sql::Dialect;
use crate::unit::{IdempotencyPut, RunUpdate};

const INSERT_EVENTS: &str = "insert into event (position, source, source_id, type, subject_object, subject_id, lane, \
     time, recorded_at, actor, run, cause, depth, payload, salt, payload_hash, hash) ";
const EVENT_KINDS: [Kind; 17] = [
    Kind::Int,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Id,
    Kind::Id,
    Kind::Int,
    Kind::Int,
    Kind::Text,
    Kind::Id,
    Kind::Int,
    Kind::Int,
    Kind::Text,
    Kind::Bytes,
    Kind::Bytes,
    Kind::Bytes,
];
const INSERT_RUNS: &str =
    "insert into run (id, automation, digest, position, lane, depth, status, attempt, created_at) ";
const RUN_KINDS: [Kind; 9] =
    [Kind::Id, Kind::Text, Kind::Bytes, Kind::Int, Kind::Id, Kind::Int, Kind::Text, Kind::Int, Kind::Int];
const UPDATE_RUNS: &str = "update run set status = v.column2, attempt = v.column3, wake_at = v.column4, \
     finished_at = v.column5, error = v.column6, trace = v.column7, wake_event = v.column8, \
     wake_index = v.column9 from (";
const UPDATE_RUNS_END: &str = ") as v where run.id = v.column1";
const UPDATE_RUN_SQLITE: &str = "update run set status = ?2, attempt = ?3, wake_at = ?4, finished_at = ?5, error = ?6, \
     trace = ?7, wake_event = ?8, wake_index = ?9 where id = ?1";
const UPDATE_KINDS: [Kind; 9] =
    [Kind::Id, Kind::Text, Kind::Int, Kind::Int, Kind::Int, Kind::Text, Kind::Text, Kind::Int, Kind::Int];
/// The same for runs that go on with another version. On PostgreSQL no two statements of a commit may touch one row.
const MOVE_RUNS: &str = "update run set status = v.column2, attempt = v.column3, wake_at = v.column4, \
     finished_at = v.column5, error = v.column6, trace = v.column7, wake_event = v.column8, wake_index = v.column9, \
     digest = v.column10 from (";
const MOVE_RUN_SQLITE: &str = "update run set status = ?2, attempt = ?3, wake_at = ?4, finished_at = ?5, error = ?6, \
     trace = ?7, wake_event = ?8, wake_index = ?9, digest = ?10 where id = ?1";
const MOVE_KINDS: [Kind; 10] =
    [Kind::Id, Kind::Text, Kind::Int, Kind::Int, Kind::Int, Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Bytes];
const PUT_KEYS: &str = "insert into idempotency (actor, key, fingerprint, response, expires_at) ";
const PUT_KEYS_END: &str = " on conflict (actor, key) do update set fingerprint = excluded.fingerprint, \
     response = excluded.response, expires_at = excluded.expires_at where idempotency.expires_at <= excluded.expires_at";
const KEY_KINDS: [Kind; 5] = [Kind::Text, Kind::Text, Kind::Bytes, Kind::Bytes, Kind::Int];
const MOVE_HEAD: &str = "update log_head set position = ?, hash = ?, commits = ?, run_counts = ? where id = 1";
const MOVE_HEAD_POSTGRES: &str =
    "update log_head set position = $1, hash = $2, commits = $3, run_counts = $4 where id = 1";

const MOVE_HEAD_FROM: &str = "update log_head set position = $1, hash = $2, commits = $3, run_counts = $4 \
     where id = 1 and commits = $5 and hash = $6 returning 1";

/// In which order records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Inserts, updates, deletions: a value that changes hands within the group is objected to.
    Plain,
    /// Deletions first, then unique values are given up, then inserts and updates: nothing is objected to but true conflicts.
    Careful,
}

/// What happens to the rows of one object.
#[derive(Default)]
struct ObjectRows {
    inserts: Vec<Arc<Record>>,
    updates: Vec<(Arc<Record>, Arc<Record>)>,
    deletes: Vec<RecordId>,
}

/// The statements that write `group`, but for the head.
pub(crate) fn statements(group: &Group<'_>, schema: &Schema, order: Order, dialect: Dialect) -> Vec<Statement> {
    let mut all = insert_events(&group.events, dialect);
    all.extend(insert_runs(&group.runs, dialect));
    all.extend(update_runs(group, dialect));
    all.extend(put_keys(&group.idempotency, order, dialect));
    all.extend(journal::statements(&group.journal, dialect));
    all.extend(effects::statements(&group.effects, dialect));
    all.extend(blobs::statements(&group.blobs, group.recorded_at(), dialect));
    all.extend(locks::statements(&group.taken, group.recorded_at(), dialect));
    all.extend(stays::statements(&group.stays, group.followed.as_ref(), dialect));
    all.extend(terms::statements(group.images.values(), schema, dialect));
    all.extend(tags::statements(group.images.values(), dialect));
    all.extend(match_keys::statements(group.images.values(), dialect));
    let rows = by_object(group);
    if order == Order::Careful {
        for (name, rows) in &rows {
            all.extend(record_sql::delete(name, &rows.deletes, dialect));
        }
        for rows in rows.values() {
            all.extend(give_up(rows, dialect));
        }
    }
    for (name, rows) in &rows {
        let Some(object) = schema.object(name.as_str()) else { continue };
        all.extend(record_sql::insert(object, &rows.inserts, dialect));
        all.extend(update(object, rows, dialect));
    }
    if order == Order::Plain {
        for (name, rows) in &rows {
            all.extend(record_sql::delete(name, &rows.deletes, dialect));
        }
    }
    all
}

fn by_object(group: &Group<'_>) -> BTreeMap<Name, ObjectRows> {
    let mut rows: BTreeMap<Name, ObjectRows> = BTreeMap::new();
    for ((name, id), Image { before, now }) in &group.images {
        let same = match (before, now) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, None) => true,
            _ => false,
        };
        if same {
            continue;
        }
        let object = rows.entry(name.clone()).or_default();
        match (before, now) {
            (Some(before), Some(now)) => object.updates.push((before.clone(), now.clone())),
            (None, Some(now)) => object.inserts.push(now.clone()),
            (_, None) => object.deletes.push(*id),
        }
    }
    for object in rows.values_mut() {
        // Ids are in the order of time: neighbours in the table are written together.
        object.inserts.sort_unstable_by_key(|record| record.id);
        object.updates.sort_unstable_by_key(|(_, now)| now.id);
    }
    rows
}

fn update(object: &ObjectDef, rows: &ObjectRows, dialect: Dialect) -> Vec<Statement> {
    let differs = |i: &usize| rows.updates.iter().any(|(before, now)| before.at(*i) != now.at(*i));
    let changed: Vec<usize> = (0..object.fields.len() + object.hidden.len()).filter(differs).collect();
    let records: Vec<Arc<Record>> = rows.updates.iter().map(|(_, now)| now.clone()).collect();
    record_sql::update(object, &changed, &records, dialect)
}

/// Empties the unique fields whose values change, so that values can move between records in any order.
fn give_up(rows: &ObjectRows, dialect: Dialect) -> Vec<Statement> {
    let Some((first, _)) = rows.updates.first() else { return Vec::new() };
    let object = first.object.clone();
    let mut all = Vec::new();
    for (i, field) in object.fields.iter().enumerate().filter(|(_, f)| f.unique) {
        let moved = rows.updates.iter().filter(|(before, now)| before.at(i) != now.at(i));
        let ids: Vec<RecordId> = moved.map(|(_, now)| now.id).collect();
        all.extend(record_sql::clear(&object.name, &field.name, &ids, dialect));
    }
    all
}

fn insert_events(events: &[Sealed], dialect: Dialect) -> Vec<Statement> {
    let mut cells = Vec::with_capacity(events.len() * EVENT_KINDS.len());
    for sealed in events {
        let event = &sealed.event;
        let (origin, subject) = (event.origin.as_ref(), event.subject.as_ref());
        cells.extend([
            Cell::Int(event.position),
            Cell::maybe(origin, Kind::Text, |o| Cell::Text(o.source.clone())),
            Cell::maybe(origin, Kind::Text, |o| Cell::Text(o.id.clone())),
            Cell::text(event.kind.as_str()),
            Cell::maybe(subject, Kind::Text, |s| Cell::text(s.object.as_str())),
            Cell::maybe(subject, Kind::Id, |s| Cell::id(s.id)),
            Cell::maybe(event.lane, Kind::Id, Cell::id),
            Cell::Int(event.time.micros()),
            Cell::Int(event.recorded_at.micros()),
            Cell::Owned(event.actor.to_string()),
            Cell::maybe(event.run, Kind::Id, |run| Cell::Id(run.0)),
            Cell::maybe(event.cause, Kind::Int, Cell::Int),
            Cell::Int(i64::from(event.depth)),
            Cell::Owned(sealed.payload.clone()),
            Cell::Bytes(sealed.salt.to_vec()),
            Cell::Bytes(sealed.payload_hash.0.to_vec()),
            Cell::Bytes(sealed.hash.0.to_vec()),
        ]);
    }
    RowStatement::new(INSERT_EVENTS, "", &EVENT_KINDS).writes(dialect, cells)
}

fn insert_runs(runs: &[Arc<Run>], dialect: Dialect) -> Vec<Statement> {
    let mut cells = Vec::with_capacity(runs.len() * RUN_KINDS.len());
    for run in runs {
        cells.extend([
            Cell::Id(run.id.0),
            Cell::text(run.automation.as_str()),
            Cell::Bytes(run.digest.0.to_vec()),
            Cell::Int(run.position),
            Cell::maybe(run.lane, Kind::Id, Cell::id),
            Cell::Int(i64::from(run.depth)),
            Cell::text(run.status.as_str()),
            Cell::Int(i64::from(run.attempt)),
            Cell::Int(run.created_at.micros()),
        ]);
    }
    RowStatement::new(INSERT_RUNS, "", &RUN_KINDS).writes(dialect, cells)
}

fn update_runs(group: &Group<'_>, dialect: Dialect) -> Vec<Statement> {
    let (mut cells, mut moved) = (Vec::new(), Vec::new());
    for update in group.run_updates.values() {
        match group.run_digests.get(&update.id) {
            None => cells.extend(update_cells(update)),
            Some(digest) => {
                moved.extend(update_cells(update));
                moved.push(Cell::Bytes(digest.0.to_vec()));
            }
        }
    }
    let (usual, other) = match dialect {
        Dialect::Sqlite => (
            RowStatement::for_each(UPDATE_RUN_SQLITE, &UPDATE_KINDS),
            RowStatement::for_each(MOVE_RUN_SQLITE, &MOVE_KINDS),
        ),
        Dialect::Postgres => (
            RowStatement::new(UPDATE_RUNS, UPDATE_RUNS_END, &UPDATE_KINDS),
            RowStatement::new(MOVE_RUNS, UPDATE_RUNS_END, &MOVE_KINDS),
        ),
    };
    let mut all = usual.writes(dialect, cells);
    all.extend(other.writes(dialect, moved));
    all
}

fn update_cells(update: &RunUpdate) -> [Cell; 9] {
    [
        Cell::Id(update.id.0),
        Cell::text(update.status.as_str()),
        Cell::Int(i64::from(update.attempt)),
        Cell::maybe(update.wake_at, Kind::Int, |t| Cell::Int(t.micros())),
        Cell::maybe(update.finished_at, Kind::Int, |t| Cell::Int(t.micros())),
        Cell::maybe(update.error.as_deref(), Kind::Text, |e| Cell::Owned(storable(e))),
        Cell::maybe(update.trace.as_deref(), Kind::Text, |t| Cell::Owned(storable(t))),
        Cell::maybe(update.wake_event, Kind::Int, Cell::Int),
        Cell::maybe(update.wake_index, Kind::Int, Cell::Int),
    ]
}

/// PostgreSQL cannot store the character U+0000, which a guest may put into a message.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// An expired key is written over; a live one is objected to while nothing is known, and has been looked up when order is careful.
fn put_keys(puts: &[IdempotencyPut], order: Order, dialect: Dialect) -> Vec<Statement> {
    let mut cells = Vec::with_capacity(puts.len() * KEY_KINDS.len());
    for put in puts {
        cells.extend([
            Cell::Owned(put.actor.to_string()),
            Cell::text(&put.key),
            Cell::Bytes(put.fingerprint.0.to_vec()),
            Cell::Bytes(put.response.clone()),
            Cell::Int(put.expires_at.micros()),
        ]);
    }
    let end = if order == Order::Careful { PUT_KEYS_END } else { "" };
    RowStatement::new(PUT_KEYS, end, &KEY_KINDS).writes(dialect, cells)
}

/// Moves the head, from wherever it is.
pub(super) fn move_head(head: &Head, dialect: Dialect) -> Statement {
    let text = if dialect == Dialect::Sqlite { MOVE_HEAD } else { MOVE_HEAD_POSTGRES };
    let counts = write_counts(&head.run_counts);
    let (position, hash) = (Cell::Int(head.position), Cell::Bytes(head.hash.0.to_vec()));
    Query::new(text, vec![position, hash, Cell::Int(head.commits), Cell::Owned(counts)]).into()
}

/// Moves the head if it stands at `before`; the rows that this returns tell whether it did. PostgreSQL alone.
pub(super) fn move_head_from(before: &Head, head: &Head) -> Statement {
    let cells = vec![
        Cell::Int(head.position),
        Cell::Bytes(head.hash.0.to_vec()),
        Cell::Int(head.commits),
        Cell::Owned(write_counts(&head.run_counts)),
        Cell::Int(before.commits),
        Cell::Bytes(before.hash.0.to_vec()),
    ];
    Query::new(MOVE_HEAD_FROM, cells).into()
}
