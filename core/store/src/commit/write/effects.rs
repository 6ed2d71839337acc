//! Effects: those added, and those that moved on.

use std::collections::BTreeMap;

use rapport_model::{Effect, EffectId, EffectStatus};

use super::storable;
use crate::db::{Cell, Kind, RowStatement, Statement};
use crate::rule_sql::Dialect;
use crate::unit::{EffectMove, EffectStep};

const INSERT: &str = "insert into effect (id, run, call, channel, destination, request, status, attempt, next_at, \
     deadline_at, created_at) ";
/// A run that was sent back to a call makes it anew, with the same key.
const INSERT_END: &str = " on conflict (id) do update set destination = excluded.destination, request = excluded.request, \
     status = excluded.status, attempt = excluded.attempt, next_at = excluded.next_at, \
     deadline_at = excluded.deadline_at, created_at = excluded.created_at, finished_at = null, reply = null, error = null";
const INSERT_KINDS: [Kind; 11] = [
    Kind::Id,
    Kind::Id,
    Kind::Int,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Int,
    Kind::Int,
    Kind::Int,
    Kind::Int,
];
/// What was answered stays so, unless somebody has it carried out again; an answer counts even if it was called off meanwhile.
const MOVE: &str = "update effect set status = v.column2, attempt = v.column3, next_at = v.column4, deadline_at = v.column5, \
     finished_at = v.column6, reply = v.column7, error = v.column8 from (";
const MOVE_END: &str = ") as v where effect.id = v.column1 and (effect.status = 'pending' or v.column2 = 'pending' \
     or (effect.status = 'cancelled' and v.column2 = 'done'))";
const MOVE_SQLITE: &str = "update effect set status = ?2, attempt = ?3, next_at = ?4, deadline_at = ?5, finished_at = ?6, \
     reply = ?7, error = ?8 where id = ?1 and (status = 'pending' or ?2 = 'pending' \
     or (status = 'cancelled' and ?2 = 'done'))";
const MOVE_KINDS: [Kind; 8] =
    [Kind::Id, Kind::Text, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Text, Kind::Text];

/// The statements of these steps. Of several steps of one effect the last counts, an answer before all.
pub(super) fn statements(steps: &[EffectStep], dialect: Dialect) -> Vec<Statement> {
    let (mut added, mut moved) = (BTreeMap::new(), BTreeMap::new());
    for step in steps {
        match step {
            EffectStep::Add(effect) => {
                moved.remove(&effect.id);
                added.insert(effect.id, &**effect);
            }
            EffectStep::Move(step) => note(&mut moved, step),
        }
    }
    let insert = RowStatement::new(INSERT, INSERT_END, &INSERT_KINDS);
    let mut all = insert.writes(dialect, added.into_values().flat_map(effect_cells).collect());
    let update = match dialect {
        Dialect::Sqlite => RowStatement::for_each(MOVE_SQLITE, &MOVE_KINDS),
        Dialect::Postgres => RowStatement::new(MOVE, MOVE_END, &MOVE_KINDS),
    };
    all.extend(update.writes(dialect, moved.into_values().flat_map(move_cells).collect()));
    all
}

fn note<'a>(moved: &mut BTreeMap<EffectId, &'a EffectMove>, step: &'a EffectMove) {
    let done = moved.get(&step.id).is_some_and(|known| known.status == EffectStatus::Done);
    if !done || step.status == EffectStatus::Pending {
        moved.insert(step.id, step);
    }
}

fn effect_cells(effect: &Effect) -> Vec<Cell> {
    vec![
        Cell::Id(effect.id.0),
        Cell::Id(effect.run.0),
        Cell::Int(effect.call),
        Cell::text(&effect.channel),
        Cell::Owned(storable(&effect.destination)),
        // In JSON the character U+0000, which PostgreSQL cannot store, is an escape.
        Cell::Owned(effect.request.to_string()),
        Cell::text(effect.status.as_str()),
        Cell::Int(i64::from(effect.attempt)),
        Cell::maybe(effect.next_at, Kind::Int, |t| Cell::Int(t.micros())),
        Cell::Int(effect.deadline_at.micros()),
        Cell::Int(effect.created_at.micros()),
    ]
}

fn move_cells(step: &EffectMove) -> Vec<Cell> {
    vec![
        Cell::Id(step.id.0),
        Cell::text(step.status.as_str()),
        Cell::Int(i64::from(step.attempt)),
        Cell::maybe(step.next_at, Kind::Int, |t| Cell::Int(t.micros())),
        Cell::Int(step.deadline_at.micros()),
        Cell::maybe(step.finished_at, Kind::Int, |t| Cell::Int(t.micros())),
        Cell::maybe(step.reply.as_ref(), Kind::Text, |json| Cell::Owned(json.to_string())),
        Cell::maybe(step.error.as_deref(), Kind::Text, |e| Cell::Owned(storable(e))),
    ]
}
