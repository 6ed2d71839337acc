//! Rows in bulk: upserts of one object, chunk by chunk, each row for itself.
//!
//! In a history load the rows of a chunk are taken in waves: a wave ends before a customer's second row, and what a wave set
//! off is done before the next begins. So an automation sees its customer as of the row's time; of other customers it may
//! see rows of the same wave.

use std::collections::HashSet;
use std::sync::Arc;

use rapport_model::record::{Change, Put};
use rapport_model::{Name, ObjectDef, RecordId, Timestamp, Value};
use rapport_store::{Triggers, UnitOfWork};
use serde::Serialize;
use serde_json::Value as Json;

use crate::draft::{self, Draft, DraftChange, known_field};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::judges::{Author, Bench};
use crate::plan::{Planned, Planner, Target};
use crate::records::may_write_nested;

/// How often a row is decided anew when others are faster.
const ROW_TRIES: u32 = 4;

/// What automations do about what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reaction {
    /// They react.
    #[default]
    Fire,
    /// They do not, and never will.
    Skip,
    /// They are tried, and nothing is kept, the rows neither.
    Preview,
}

/// How rows are taken.
#[derive(Debug, Clone, Default)]
pub struct BulkOptions {
    /// The object.
    pub object: String,
    /// The unique field by which rows update what is there; none: every row is a new record.
    pub key: Option<String>,
    /// What automations do.
    pub reaction: Reaction,
    /// The open history load that the rows belong to.
    pub load: Option<String>,
    /// The field that holds a row's time, in a history load.
    pub time_field: Option<String>,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOutcome {
    /// A new record.
    Created,
    /// A record changed.
    Updated,
    /// The record was so already.
    Unchanged,
    /// The row was not taken.
    Refused {
        /// A stable code.
        code: &'static str,
        /// Why.
        message: String,
        /// The field, as a JSON pointer.
        pointer: Option<String>,
    },
}

/// What an automation would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PreviewLine {
    /// The automation.
    pub automation: String,
    /// Runs that would be started.
    pub runs: u64,
    /// Records that they would write.
    pub writes: u64,
    /// Events that they would emit.
    pub events: u64,
    /// Messages that they would send, and calls that they would make.
    pub sent: u64,
    /// Runs that would fail.
    pub failures: u64,
}

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BulkOutcome {
    /// Row by row.
    pub rows: Vec<RowOutcome>,
    /// In a preview, what each automation would do.
    pub preview: Vec<PreviewLine>,
}

/// A row that can be planned.
pub(crate) struct Row {
    index: usize,
    pub(crate) target: Target,
    pub(crate) draft: Draft,
    pub(crate) time: Timestamp,
}

/// What all rows of a chunk share.
pub(crate) struct Batch<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) object: Arc<ObjectDef>,
    options: &'a BulkOptions,
}

impl Engine {
    /// Takes a chunk of rows. Rows stand for themselves: a refused one does not touch the others. The same rows again change
    /// nothing, if they have a key.
    ///
    /// # Errors
    /// What concerns the whole chunk: rights, an unknown object or key field, a load that is not open, a database that is
    /// away. Then no row was taken, or, if the database went away midway, those before.
    pub async fn bulk(
        &self,
        caller: &Caller,
        options: &BulkOptions,
        rows: Vec<Result<Json, String>>,
    ) -> Result<BulkOutcome, EngineError> {
        let schema = self.inner.store.schema();
        let object = caller.object(&schema, &options.object, Act::Write)?;
        self.inner.writable(options.load.as_deref())?;
        let key = key_field(&object, options.key.as_deref())?;
        let time_field = time_field(&object, options)?;
        let batch = Batch { caller, object, options };
        let mut outcome = BulkOutcome { rows: vec![RowOutcome::Unchanged; rows.len()], preview: Vec::new() };
        let mut readable = Vec::with_capacity(rows.len());
        for (index, json) in rows.into_iter().enumerate() {
            let row = self.read_row(&batch, (key.as_ref(), time_field.as_ref()), (index, json));
            match row {
                Ok(row) => readable.push(row),
                Err(error) => outcome.rows[index] = refused(&error),
            }
        }
        if options.reaction == Reaction::Preview {
            outcome.preview = self.preview(&batch, &readable, &mut outcome.rows).await?;
            return Ok(outcome);
        }
        if options.load.is_none() {
            self.take(&batch, &readable, &mut outcome.rows).await?;
            return Ok(outcome);
        }
        for wave in waves(&batch.object, &readable) {
            if let Some(first) = wave.first() {
                self.inner.segments_come_to(first.time).await?;
            }
            self.take(&batch, wave, &mut outcome.rows).await?;
            self.idle_with_segments().await?;
        }
        Ok(outcome)
    }

    fn read_row(
        &self,
        batch: &Batch<'_>,
        (key, time_field): (Option<&Name>, Option<&Name>),
        (index, json): (usize, Result<Json, String>),
    ) -> Result<Row, EngineError> {
        let json = json.map_err(|why| EngineError::invalid("", why))?;
        let schema = self.inner.store.schema();
        let draft = draft::read(&schema, &batch.object, &json)?;
        may_write_nested(batch.caller, &schema, &draft)?;
        let target = match key {
            None => Target::Create,
            Some(field) => match plain(&draft, field) {
                Some(value) if !value.is_null() => Target::Upsert(field.clone(), value.clone()),
                _ => return Err(EngineError::invalid(format!("/{field}"), "is the key, and needs a value")),
            },
        };
        let time = match time_field {
            None => self.inner.clock.now(),
            Some(field) => self.row_time(&draft, field)?,
        };
        Ok(Row { index, target, draft, time })
    }

    /// The time of a row of a history load; rows come in the order of their times.
    fn row_time(&self, draft: &Draft, field: &Name) -> Result<Timestamp, EngineError> {
        let Some(Value::Time(time)) = plain(draft, field) else {
            return Err(EngineError::invalid(format!("/{field}"), "is the row's time, and needs an instant"));
        };
        if let Some(last) = self.open_load_now().and_then(|load| load.last_time)
            && *time < last
        {
            let message = format!("{time} is before the row before, {last}: sort the rows by time");
            return Err(EngineError::invalid(format!("/{field}"), message));
        }
        self.advance_load(*time);
        Ok(*time)
    }

    /// Plans and commits rows; those that others were faster with are decided anew.
    async fn take(&self, batch: &Batch<'_>, rows: &[Row], outcomes: &mut [RowOutcome]) -> Result<(), EngineError> {
        let mut again: Vec<&Row> = rows.iter().collect();
        for attempt in 1..=ROW_TRIES {
            again = self.take_once(batch, &again, outcomes, attempt).await?;
            if again.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn take_once<'r>(
        &self,
        batch: &Batch<'_>,
        rows: &[&'r Row],
        outcomes: &mut [RowOutcome],
        attempt: u32,
    ) -> Result<Vec<&'r Row>, EngineError> {
        let mut planner = Planner::new(&*self.inner.entropy, &self.inner.merged);
        for row in rows {
            planner.want(&batch.object, &row.target, &row.draft);
        }
        planner.load(&self.inner.store).await?;
        let mut units = Vec::with_capacity(rows.len());
        let mut committed = Vec::with_capacity(rows.len());
        let (mut bench, mut again) = (Bench::default(), Vec::new());
        for row in rows {
            match planner.plan(&batch.object, &row.target, &row.draft, row.time) {
                Err(error) => outcomes[row.index] = refused(&error),
                Ok(planned) => {
                    outcomes[row.index] = outcome(&planned);
                    match self.unit_of(batch, &mut bench, (row, planned)).await {
                        Ok(Some(unit)) => {
                            units.push(unit);
                            committed.push(*row);
                        }
                        Ok(None) => {}
                        Err(error) if is_broken(&error) => return Err(error),
                        Err(error) => {
                            let moved = matches!(error, EngineError::NotFound { .. } | EngineError::Conflict(_));
                            if moved && attempt < ROW_TRIES {
                                again.push(*row);
                            } else {
                                outcomes[row.index] = refused(&error);
                            }
                            planner.take_back();
                        }
                    }
                }
            }
        }
        for (row, result) in committed.into_iter().zip(self.inner.store.commit_all(units).await) {
            let Err(error) = result else { continue };
            let error = EngineError::from(error);
            match &error {
                broken if is_broken(broken) => return Err(error),
                EngineError::Conflict(_) | EngineError::Unique { .. } | EngineError::NotFound { .. }
                    if attempt < ROW_TRIES =>
                {
                    again.push(row);
                }
                _ => outcomes[row.index] = refused(&error),
            }
        }
        // Rows on one record go on in their order.
        again.sort_by_key(|row| row.index);
        Ok(again)
    }
}

impl Engine {
    /// What commits a row, if it changes something and those who have a say in that let it through. What they looked at belongs to it.
    async fn unit_of(
        &self,
        batch: &Batch<'_>,
        bench: &mut Bench,
        (row, planned): (&Row, Planned),
    ) -> Result<Option<UnitOfWork>, EngineError> {
        let puts = puts_of(batch, planned);
        if puts.is_empty() {
            return Ok(None);
        }
        let mut unit = UnitOfWork::new(row.time, batch.caller.actor.clone());
        unit.reads = self.inner.may_answer(batch.caller, &puts).await?;
        let author = Author { actor: &batch.caller.actor, own: None, time: row.time };
        let judged = bench.judge(&self.inner, (&puts, &unit.reads), author).await?;
        unit.reads.extend(judged);
        unit.puts = puts;
        unit.triggers = if batch.options.reaction == Reaction::Fire { Triggers::Fire } else { Triggers::Skip };
        Ok(Some(unit))
    }
}

/// Whether it is about the workspace, and not about a row.
const fn is_broken(error: &EngineError) -> bool {
    matches!(error, EngineError::Unavailable(_) | EngineError::Full | EngineError::Internal(_))
}

fn key_field(object: &ObjectDef, key: Option<&str>) -> Result<Option<Name>, EngineError> {
    let Some(key) = key else { return Ok(None) };
    let field = known_field(object, key)?;
    if !field.unique {
        let unique: Vec<_> = object.unique_fields().map(|f| f.name.as_str()).collect();
        let message = format!("`{key}` is not unique; `{}` has {}", object.name, unique.join(", "));
        return Err(EngineError::invalid("/key", message));
    }
    Ok(Some(field.name.clone()))
}

fn time_field(object: &ObjectDef, options: &BulkOptions) -> Result<Option<Name>, EngineError> {
    match (&options.load, options.time_field.as_deref()) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(EngineError::invalid("/time", "goes with a history load")),
        (Some(_), None) => Err(EngineError::invalid("/time", "a history load needs the field that holds a row's time")),
        (Some(_), Some(_)) if options.reaction == Reaction::Preview => {
            Err(EngineError::invalid("/automations", "a history load cannot be previewed"))
        }
        (Some(_), Some(name)) => Ok(Some(known_field(object, name)?.name.clone())),
    }
}

fn plain<'d>(draft: &'d Draft, field: &Name) -> Option<&'d Value> {
    draft.iter().find_map(|(name, change)| match change {
        DraftChange::Plain(Change::Set(value)) if name == field => Some(value),
        _ => None,
    })
}

/// The puts of a row. In a history load a row that is there already has been taken before, and what it says of other
/// records is older than what they are now.
fn puts_of(batch: &Batch<'_>, planned: Planned) -> Vec<Put> {
    let touched = planned.puts.iter().any(|put| put.id == planned.record.id);
    if batch.options.load.is_some() && !touched { Vec::new() } else { planned.puts }
}

pub(crate) fn outcome(planned: &Planned) -> RowOutcome {
    if planned.created {
        RowOutcome::Created
    } else if planned.puts.iter().any(|put| put.id == planned.record.id) {
        RowOutcome::Updated
    } else {
        RowOutcome::Unchanged
    }
}

impl Row {
    pub(crate) const fn index(&self) -> usize {
        self.index
    }
}

pub(crate) fn refused(error: &EngineError) -> RowOutcome {
    let problems = error.pointers();
    RowOutcome::Refused {
        code: error.code(),
        message: match problems.as_slice() {
            [one] => one.message.clone(),
            _ => error.to_string(),
        },
        pointer: problems.into_iter().next().map(|p| p.pointer),
    }
}

/// Cuts rows before a lane's second row.
fn waves<'r>(object: &ObjectDef, rows: &'r [Row]) -> Vec<&'r [Row]> {
    let mut waves = Vec::new();
    let mut seen = HashSet::new();
    let mut start = 0;
    for (index, row) in rows.iter().enumerate() {
        let lane = lane_hint(object, row);
        if seen.contains(&lane) {
            waves.push(&rows[start..index]);
            start = index;
            seen.clear();
        }
        seen.insert(lane);
    }
    if start < rows.len() {
        waves.push(&rows[start..]);
    }
    waves
}

/// A text that is the same for rows of the same lane, as far as the row itself tells.
fn lane_hint(object: &ObjectDef, row: &Row) -> String {
    let lane = object.lane.as_ref().and_then(|lane| row.draft.iter().find(|(name, _)| name == lane));
    match (lane, &row.target) {
        (Some((_, DraftChange::Plain(Change::Set(Value::Ref(RecordId(id)))))), _) => id.to_string(),
        (Some((_, DraftChange::Lookup(_, by, value) | DraftChange::Upsert(_, by, value, _))), _) => {
            format!("{by}:{value:?}")
        }
        (_, Target::Upsert(by, value)) => format!("{by}:{value:?}"),
        _ => String::new(),
    }
}
