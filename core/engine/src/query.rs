//! Queries of a slice: what the database answers, with the slice's own writes in place.
//!
//! The rows whose answer the buffer can have changed are those that it touched, and those that refer to a record that it
//! touched through a reference the rule looks along. They are taken out of the database's answer and judged in memory,
//! where a rule means the same.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::rule::lookup::RecordLookup;
use rapport_model::rule::tree::Base;
use rapport_model::rule::{Env, ParamTypes, Params, Rule, Scope};
use rapport_model::{Name, ObjectDef, Record, RecordId, Schema, Timestamp, Value};
use rapport_store::{Direction, RecordQuery, Store};

use crate::buffer::Buffer;
use crate::error::EngineError;

/// A query with its rule already compiled.
#[derive(Debug, Clone)]
pub(crate) struct SliceQuery {
    pub(crate) object: Arc<ObjectDef>,
    pub(crate) rule: Option<Rule>,
    pub(crate) params: Params,
    pub(crate) now: Timestamp,
    pub(crate) order: Vec<(Name, Direction)>,
    pub(crate) after: Option<RecordId>,
    pub(crate) limit: u32,
}

/// The rows that `query` finds in the database as `buffer` leaves it.
pub(crate) async fn find(store: &Store, buffer: &Buffer, query: &SliceQuery) -> Result<Vec<Arc<Record>>, EngineError> {
    let affected = affected(store, buffer, query).await?;
    let extra = u32::try_from(affected.len()).unwrap_or(u32::MAX);
    let mut rows = store.find(&stored(query, query.limit.saturating_add(extra))).await?;
    if affected.is_empty() {
        return Ok(rows);
    }
    rows.retain(|row| !affected.contains_key(&row.id));
    for record in affected.into_values().flatten() {
        if query.after.is_none_or(|after| record.id > after) && holds_now(store, buffer, query, &record).await? {
            rows.push(record);
        }
    }
    rows.sort_by(|a, b| compare(a, b, &query.order));
    rows.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
    Ok(rows)
}

/// How many rows `query` finds in the database as `buffer` leaves it.
pub(crate) async fn count(store: &Store, buffer: &Buffer, query: &SliceQuery) -> Result<u64, EngineError> {
    let mut total = i128::from(store.count(&stored(query, 0)).await?);
    let affected = affected(store, buffer, query).await?;
    if affected.is_empty() {
        return Ok(u64::try_from(total).unwrap_or(0));
    }
    let nothing = Buffer::default();
    let ids: Vec<RecordId> = affected.keys().copied().collect();
    for record in store.records(&query.object.name, &ids).await?.into_iter().flatten() {
        total -= i128::from(holds_now(store, &nothing, query, &record).await?);
    }
    for record in affected.into_values().flatten() {
        total += i128::from(holds_now(store, buffer, query, &record).await?);
    }
    Ok(u64::try_from(total).unwrap_or(0))
}

/// The object that rules of scope `Record` read through the reference `field`.
fn through(rule: &Rule) -> Vec<(Name, Name)> {
    let via = rule.references().iter().filter_map(|r| match &r.base {
        Base::Through(field) => Some((field.clone(), r.object.clone())),
        _ => None,
    });
    via.collect::<HashSet<_>>().into_iter().collect()
}

/// The rows whose answer the buffer can have changed, as the buffer leaves them (none: deleted).
async fn affected(
    store: &Store,
    buffer: &Buffer,
    query: &SliceQuery,
) -> Result<HashMap<RecordId, Option<Arc<Record>>>, EngineError> {
    let mut rows = buffer.states(&query.object.name);
    for (field, target) in query.rule.iter().flat_map(through) {
        for id in buffer.touched_ids(&target) {
            let referring = referring(store, query, &field, id).await?;
            for record in referring {
                rows.entry(record.id).or_insert(Some(record));
            }
        }
    }
    Ok(rows)
}

/// The rows of the queried object that refer to `id` by `field`.
async fn referring(
    store: &Store,
    query: &SliceQuery,
    field: &Name,
    id: RecordId,
) -> Result<Vec<Arc<Record>>, EngineError> {
    let mut schema = Schema::default();
    schema.objects.insert(query.object.name.clone(), query.object.clone());
    let params = Params::none().with("touched", Value::Ref(id));
    let scope = Scope::Record(query.object.clone());
    let rule = Rule::parse(&format!("{field} == touched"), &scope, &schema, &ParamTypes::of(&params))?;
    let mut page = RecordQuery {
        object: query.object.name.clone(),
        rule: Some(rule),
        params,
        now: query.now,
        order: Vec::new(),
        after: None,
        limit: PAGE_ROWS_MAX,
    };
    let mut rows: Vec<Arc<Record>> = Vec::new();
    loop {
        let next = store.find(&page).await?;
        let full = next.len() >= PAGE_ROWS_MAX as usize;
        rows.extend(next);
        if !full {
            return Ok(rows);
        }
        page.after = rows.last().map(|last| (Vec::new(), last.id));
    }
}

/// Whether the query's rule holds for `record`, with what it refers to as `buffer` leaves it.
async fn holds_now(
    store: &Store,
    buffer: &Buffer,
    query: &SliceQuery,
    record: &Arc<Record>,
) -> Result<bool, EngineError> {
    let Some(rule) = &query.rule else { return Ok(true) };
    let mut referenced = Vec::new();
    for (field, target) in through(rule) {
        let Some(id) = record.get(field.as_str()).as_ref_id() else { continue };
        let found = match buffer.get(&target, id) {
            Some(known) => known,
            None => store.record(&target, id).await?,
        };
        referenced.extend(found.map(|other| (field, other)));
    }
    let lookup = RecordLookup { record, referenced: &referenced };
    let env = Env { now: query.now, lookup: &lookup, params: &query.params };
    rule.eval(&env).map_err(|e| EngineError::invalid("", e.to_string()))
}

fn stored(query: &SliceQuery, limit: u32) -> RecordQuery {
    RecordQuery {
        object: query.object.name.clone(),
        rule: query.rule.clone(),
        params: query.params.clone(),
        now: query.now,
        order: query.order.clone(),
        after: query.after.map(|id| (Vec::new(), id)),
        limit,
    }
}

/// The order of two rows as the store has it: nulls first going up, the id last.
fn compare(a: &Record, b: &Record, order: &[(Name, Direction)]) -> Ordering {
    let value = |r: &Record, name: &Name| r.system(name.as_str()).unwrap_or_else(|| r.get(name.as_str()).clone());
    for (name, direction) in order {
        let (x, y) = (value(a, name), value(b, name));
        let found = match (x.is_null(), y.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => x.compare(&y).unwrap_or(Ordering::Equal),
        };
        let found = if *direction == Direction::Descending { found.reverse() } else { found };
        if found != Ordering::Equal {
            return found;
        }
    }
    a.id.cmp(&b.id)
}
