//! What is looked up again and again: records by unique keys, and rules by their text.

use std::sync::Arc;

use quick_cache::sync::Cache;
use rapport_model::calendar::{self, InvalidCalendar};
use rapport_model::rule::{ParamTypes, Rule, RuleError, Scope};
use rapport_model::{Calendar, Name, ObjectDef, Record, RecordId, Schema, Value};
use rapport_store::Store;

use crate::error::EngineError;

/// Keys kept in memory.
const KEYS_MAX: usize = 20_000;
/// Calendars kept in memory, read.
const CALENDARS_MAX: usize = 32;
/// Rules kept in memory.
const RULES_MAX: usize = 1_000;

type KeyName = (Name, Name, Box<str>);
type RuleName = (i64, Name, Box<str>, Vec<Box<str>>);

/// Small caches beside the store's cache of records. A stale entry cannot mislead: a key is believed only if the cached
/// record still holds it, a rule is kept by the epoch of the schema that it was read in.
#[derive(Debug)]
pub(crate) struct Lookup {
    keys: Cache<KeyName, RecordId>,
    rules: Cache<RuleName, Rule>,
    /// Those that may ask of the log and of segments.
    asking: Cache<RuleName, Rule>,
    /// Those that may ask of segments.
    bulk: Cache<RuleName, Rule>,
    /// By record and version.
    calendars: Cache<(RecordId, i64), Arc<Calendar>>,
}

impl Lookup {
    pub(crate) fn new() -> Self {
        Self {
            keys: Cache::new(KEYS_MAX),
            rules: Cache::new(RULES_MAX),
            asking: Cache::new(RULES_MAX),
            bulk: Cache::new(RULES_MAX),
            calendars: Cache::new(CALENDARS_MAX),
        }
    }

    /// The calendar that a committed record is.
    pub(crate) fn calendar(&self, record: &Record) -> Result<Arc<Calendar>, InvalidCalendar> {
        let key = (record.id, record.version);
        if let Some(known) = self.calendars.get(&key) {
            return Ok(known);
        }
        let read = Arc::new(calendar::of_record(record)?);
        self.calendars.insert(key, read.clone());
        Ok(read)
    }

    /// The record of `object` whose unique `field` has `value`.
    pub(crate) async fn by_key(
        &self,
        store: &Store,
        object: &Name,
        field: &Name,
        value: &Value,
    ) -> Result<Option<Arc<Record>>, EngineError> {
        if let Some(record) = self.cached(store, object, field, value) {
            return Ok(Some(record));
        }
        let found = store.resolve(object, field, std::slice::from_ref(value)).await?.pop().flatten();
        if let Some(record) = &found {
            self.remember(field, value, record);
        }
        Ok(found)
    }

    /// The same, from memory alone.
    pub(crate) fn cached(&self, store: &Store, object: &Name, field: &Name, value: &Value) -> Option<Arc<Record>> {
        let text = value.as_text()?;
        let id = self.keys.get(&(object.clone(), field.clone(), text.into()))?;
        store.cached(object, id).filter(|record| record.get(field.as_str()) == value)
    }

    /// Keeps the key of a record that was found by it.
    pub(crate) fn remember(&self, field: &Name, value: &Value, record: &Record) {
        if let Some(text) = value.as_text() {
            self.keys.insert((record.object.name.clone(), field.clone(), text.into()), record.id);
        }
    }

    /// The rule that `text` is over the records of `object`; it may ask of the log and of segments, also of what references refer to. For
    /// queries of the database alone.
    pub(crate) fn asking_rule(&self, schema: &Schema, object: &Arc<ObjectDef>, text: &str) -> Result<Rule, RuleError> {
        let key = (schema.epoch, object.name.clone(), text.into(), Vec::new());
        if let Some(rule) = self.asking.get(&key) {
            return Ok(rule);
        }
        let rule = Rule::parse_for_listing(text, &Scope::Record(object.clone()), schema, &ParamTypes::none())?;
        self.asking.insert(key, rule.clone());
        Ok(rule)
    }

    /// The rule of a bulk read of the records of `object`; it may ask of segments, also of what references refer to. For queries of the
    /// database alone.
    pub(crate) fn bulk_rule(
        &self,
        schema: &Schema,
        object: &Arc<ObjectDef>,
        text: &str,
        params: &ParamTypes,
    ) -> Result<Rule, RuleError> {
        let names: Vec<Box<str>> = params.names().map(Into::into).collect();
        let key = (schema.epoch, object.name.clone(), text.into(), names);
        if let Some(rule) = self.bulk.get(&key) {
            return Ok(rule);
        }
        let rule = Rule::parse_with_members(text, &Scope::Record(object.clone()), schema, params)?;
        self.bulk.insert(key, rule.clone());
        Ok(rule)
    }

    /// The rule that `text` is over the records of `scope`.
    pub(crate) fn rule(
        &self,
        schema: &Schema,
        scope: &Scope,
        text: &str,
        params: &ParamTypes,
    ) -> Result<Rule, RuleError> {
        let Scope::Record(object) = scope else { return Rule::parse(text, scope, schema, params) };
        let names: Vec<Box<str>> = params.names().map(Into::into).collect();
        let key = (schema.epoch, object.name.clone(), text.into(), names);
        if let Some(rule) = self.rules.get(&key) {
            return Ok(rule);
        }
        let rule = Rule::parse(text, scope, schema, params)?;
        self.rules.insert(key, rule.clone());
        Ok(rule)
    }
}
