//! Who or what set each field of a record last, and since when: found in the log, newest first, and kept in memory.
//!
//! What is known of a record is the events from `oldest` to `newest`, and the last change of each field among them. A look reads what came
//! since, and then goes on backwards, until every field that has a value is found or the record's creation is reached, but no further than
//! [`LOOK_EVENTS_MAX`] events at a time: of a record with a long history the next look goes on where this one ended.
//!
//! ```text
//! creation ◀── next looks ── oldest ════ known ════ newest ◀── what came since ── head
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use quick_cache::sync::Cache;
use rapport_model::{Actor, Event, Name, Record, RecordId, RunId, Timestamp};
use rapport_store::{Direction, EventQuery, Store};
use serde_json::{Value as Json, json};

use crate::error::EngineError;
use crate::explain::Explainer;

/// Records kept in memory.
const RECORDS_MAX: usize = 10_000;
/// Events that one look reads at most.
const LOOK_EVENTS_MAX: usize = 1_000;
/// Events read in one go.
const PAGE_ROWS: u32 = 200;

/// The last change of a field.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    position: i64,
    time: Timestamp,
    actor: Actor,
    run: Option<RunId>,
}

impl Origin {
    fn of(event: &Event) -> Self {
        Self { position: event.position, time: event.time, actor: event.actor.clone(), run: event.run }
    }

    /// As it is shown: where in the log, when, and by whom.
    pub(super) async fn to_json(&self, explainer: &mut Explainer<'_>) -> Result<Json, EngineError> {
        let mut by = explainer.actor(&self.actor).await?;
        if let Some(run) = self.run {
            by["run"] = json!(run);
        }
        Ok(json!({ "position": self.position, "time": self.time, "by": by }))
    }
}

/// What is known of one record.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The last event that was looked at.
    newest: i64,
    /// The first event that was looked at; none: there is none before.
    oldest: Option<i64>,
    fields: HashMap<Name, Origin>,
}

impl Known {
    /// The last change of a field, if it is known.
    pub(super) fn field(&self, name: &Name) -> Option<&Origin> {
        self.fields.get(name)
    }

    /// The position before which nobody has looked yet, if there is such a part.
    pub(super) const fn unknown_before(&self) -> Option<i64> {
        self.oldest
    }

    /// Nobody has looked.
    fn nothing() -> Self {
        Self { newest: 0, oldest: Some(i64::MAX), fields: HashMap::new() }
    }

    fn take(&mut self, event: &Event) {
        self.newest = self.newest.max(event.position);
        let Some(change) = event.change() else { return };
        for (name, _) in change.after.iter().chain(&change.before) {
            let origin = || Origin::of(event);
            let known = self.fields.entry(name.clone()).or_insert_with(origin);
            if known.position < event.position {
                *known = origin();
            }
        }
    }

    fn misses_any(&self, record: &Record) -> bool {
        let fields = record.object.fields.iter().enumerate();
        // A roll-up follows from others: no event says it.
        let mut set = fields.filter(|(place, field)| field.rollup.is_none() && !record.at(*place).is_null());
        set.any(|(_, field)| !self.fields.contains_key(&field.name))
    }
}

/// What is known of records.
#[derive(Debug)]
pub(crate) struct Origins(Cache<RecordId, Arc<Known>>);

impl Origins {
    pub(crate) fn new() -> Self {
        Self(Cache::new(RECORDS_MAX))
    }

    /// Who set the fields of `record`, after a look at what is not known yet.
    pub(super) async fn of(&self, store: &Store, record: &Record) -> Result<Arc<Known>, EngineError> {
        let before = self.0.get(&record.id);
        let mut look = Look { store, record, left: LOOK_EVENTS_MAX };
        let mut known = look.since(before.as_deref()).await?;
        look.back(&mut known).await?;
        let known = Arc::new(known);
        self.0.insert(record.id, known.clone());
        Ok(known)
    }
}

/// One look into the log.
struct Look<'a> {
    store: &'a Store,
    record: &'a Record,
    /// Events that may still be read.
    left: usize,
}

impl Look<'_> {
    /// What is known with what came since. If that is too much for one look, what was known before is forgotten.
    async fn since(&mut self, before: Option<&Known>) -> Result<Known, EngineError> {
        let Some(before) = before else { return Ok(Known::nothing()) };
        let mut known = before.clone();
        let mut place = i64::MAX;
        while self.left > 0 {
            let events = self.read((Some(before.newest), place)).await?;
            for event in &events {
                known.take(event);
            }
            match events.last() {
                Some(last) if events.len() >= PAGE_ROWS as usize => place = last.position,
                _ => return Ok(known),
            }
        }
        self.left = LOOK_EVENTS_MAX;
        Ok(Known::nothing())
    }

    /// Goes on backwards until all fields are found.
    async fn back(&mut self, known: &mut Known) -> Result<(), EngineError> {
        while let Some(oldest) = known.oldest.filter(|_| self.left > 0) {
            // A record that nothing is known of has been looked at by nobody, even if it has no values.
            if known.newest > 0 && !known.misses_any(self.record) {
                return Ok(());
            }
            let events = self.read((None, oldest)).await?;
            known.oldest = events.last().filter(|_| events.len() >= PAGE_ROWS as usize).map(|event| event.position);
            for event in &events {
                known.take(event);
            }
        }
        Ok(())
    }

    async fn read(&mut self, (after, before): (Option<i64>, i64)) -> Result<Vec<Arc<Event>>, EngineError> {
        let query = EventQuery {
            subject: Some(self.record.id),
            after,
            before: Some(before),
            direction: Direction::Descending,
            limit: PAGE_ROWS,
            ..EventQuery::default()
        };
        let events = self.store.events(&query).await?;
        self.left = self.left.saturating_sub(events.len().max(1));
        Ok(events)
    }
}
