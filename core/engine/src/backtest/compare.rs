//! Holds the records as a replay left them against what really happened.

use std::collections::{BTreeSet, HashMap};

use rapport_model::json::to_json;
use rapport_model::{Name, Record, RecordId, Value};
use rapport_store::Store;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value as Json, json};

use super::recording::After;
use crate::error::EngineError;
use crate::replay::Key;

/// The differences shown.
const SHOWN_MAX: usize = 10;
/// Records read in one go.
const BATCH: usize = 500;

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// How many records differ.
    pub(super) records: u64,
    /// The largest differences: by how much, and how they are shown.
    largest: Vec<(Decimal, Json)>,
}

impl Differences {
    pub(super) fn shown(&self) -> Json {
        self.largest.iter().map(|(_, shown)| shown.clone()).collect()
    }

    fn add(&mut self, size: Decimal, shown: Json) {
        self.records += 1;
        let place = self.largest.partition_point(|(known, _)| *known >= size);
        if place < SHOWN_MAX {
            self.largest.insert(place, (size, shown));
            self.largest.truncate(SHOWN_MAX);
        }
    }
}

/// How the records of `touched` stand in `store`, in the fields given: what another replay is held against.
pub(super) async fn state_of(
    store: &Store,
    touched: Vec<(Key, HashMap<Name, Value>)>,
) -> Result<HashMap<Key, After>, EngineError> {
    let mut states: HashMap<Key, After> = HashMap::new();
    for (key, fields) in touched {
        let record = store.record(&key.0, key.1).await?;
        let state = states.entry(key).or_default();
        state.exists = Some(record.is_some());
        for name in fields.into_keys() {
            let value = record.as_ref().map(|record| record.get(name.as_str()).clone());
            state.fields.insert(name.clone(), value.unwrap_or_default());
            state.written.insert(name);
        }
    }
    Ok(states)
}

/// Compares every record that automations wrote, then or now.
///
/// `touched` are the records that automations wrote in the replay, with the values that the fields had before: where nothing
/// changed them then, that is how they stood.
pub(super) async fn compare(
    store: &Store,
    after: &HashMap<Key, After>,
    touched: &HashMap<Key, HashMap<Name, Value>>,
) -> Result<Differences, EngineError> {
    let written = after.iter().filter(|(_, after)| !after.written.is_empty() || after.exists.is_some());
    let keys: BTreeSet<&Key> = written.map(|(key, _)| key).chain(touched.keys()).collect();
    let mut by_object: HashMap<&Name, Vec<RecordId>> = HashMap::new();
    for (object, id) in keys {
        by_object.entry(object).or_default().push(*id);
    }
    let mut objects: Vec<_> = by_object.into_iter().collect();
    objects.sort_unstable();
    let schema = store.schema();
    let mut differences = Differences::default();
    for (object, ids) in objects {
        if schema.object(object.as_str()).is_none() {
            continue;
        }
        for ids in ids.chunks(BATCH) {
            let found = store.records(object, ids).await?;
            for (id, record) in ids.iter().zip(found) {
                let key = (object.clone(), *id);
                let one = One { then: after.get(&key), before: touched.get(&key), now: record.as_deref() };
                if let Some((size, shown)) = one.difference(&key) {
                    differences.add(size, shown);
                }
            }
        }
    }
    Ok(differences)
}

/// One record: as it really stood after the stretch, what the replay found before it wrote, and as the replay left it.
struct One<'a> {
    then: Option<&'a After>,
    before: Option<&'a HashMap<Name, Value>>,
    now: Option<&'a Record>,
}

impl One<'_> {
    fn difference(&self, (object, id): &Key) -> Option<(Decimal, Json)> {
        let existed = self.then.and_then(|then| then.exists);
        let shown = |only: &str, fields: Json| json!({ "object": object, "id": id, "key": self.name(), "only_in": only, "fields": fields });
        let Some(now) = self.now else {
            // Gone in the replay: a difference if it really was there afterwards.
            let there = existed.unwrap_or(self.then.is_some_and(|then| !then.written.is_empty()));
            return there.then(|| (Decimal::ONE, shown("recorded", json!([]))));
        };
        let made_up = self.then.is_none() && now.version > 0 && self.created_in_replay(now);
        if existed == Some(false) || made_up {
            return Some((Decimal::ONE, shown("backtest", json!([]))));
        }
        let mut fields = Vec::new();
        let mut size = Decimal::ZERO;
        for name in self.names() {
            let then = self.then.and_then(|then| then.fields.get(name));
            let Some(then) = then.or_else(|| self.before.and_then(|before| before.get(name))) else { continue };
            let found = now.get(name.as_str());
            if then == found {
                continue;
            }
            let zero = Value::Int(0);
            let number = |value: &Value| if value.is_null() { zero.as_decimal() } else { value.as_decimal() };
            let by = number(then).zip(number(found)).map(|(then, now)| now - then);
            size = size.max(by.map_or(Decimal::ZERO, |by| by.abs()));
            let by = by.map(|by| {
                by.to_i64().filter(|n| Decimal::from(*n) == by).map_or_else(|| json!(by.to_string()), |n| json!(n))
            });
            fields.push(json!({ "field": name, "recorded": to_json(then), "backtest": to_json(found), "by": by }));
        }
        let key = self.name();
        (!fields.is_empty()).then(|| (size, json!({ "object": object, "id": id, "key": key, "fields": fields })))
    }

    /// Whether an automation created the record in the replay: then every field that it has was null before.
    fn created_in_replay(&self, now: &Record) -> bool {
        let Some(before) = self.before else { return false };
        let fields = now.object.fields.iter().enumerate().filter(|(_, field)| field.rollup.is_none());
        let mut filled = fields.filter(|(place, _)| !now.at(*place).is_null()).peekable();
        let some = filled.peek().is_some();
        some && now.version == 1 && filled.all(|(_, field)| before.get(&field.name).is_some_and(Value::is_null))
    }

    /// The fields that automations wrote, then or now.
    fn names(&self) -> BTreeSet<&Name> {
        let then = self.then.into_iter().flat_map(|then| &then.written);
        then.chain(self.before.into_iter().flat_map(|before| before.keys())).collect()
    }

    /// How the record is named by people: by its first unique field that has a value.
    fn name(&self) -> Option<String> {
        let now = self.now?;
        let mut unique = now.object.unique_fields().map(|field| (&field.name, now.get(field.name.as_str())));
        let (field, value) = unique.find(|(_, value)| !value.is_null())?;
        Some(match to_json(value) {
            Json::String(text) => format!("{field}:{text}"),
            other => format!("{field}:{other}"),
        })
    }
}
