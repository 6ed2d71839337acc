//! The history of a record: what happened to it, and for each change who or what made it and why.

use std::sync::Arc;

use rapport_model::event::Fields;
use rapport_model::{Event, Name, RecordId};
use rapport_store::EventQuery;
use serde_json::Value as Json;

use crate::draft::known_field;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::explain::{Explainer, changes};
use crate::gate::{Act, Caller};
use crate::key::{self, Key};
use crate::page::{Page, page_rows};
use crate::present::event_to_json;

/// Which part of a history.
#[derive(Debug, Clone, Default)]
pub struct HistoryPage {
    /// Only changes of this field.
    pub field: Option<String>,
    /// After this position in the log.
    pub after: Option<i64>,
    /// Events of the page.
    pub limit: Option<u32>,
}

impl Engine {
    /// What happened to a record, oldest first; also to one that is deleted, if it is named by id. Each event has a member
    /// `why`: who or what made the change, and the chain of events that led to it, back to the one from outside.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::UnknownField`].
    pub async fn history(
        &self,
        caller: &Caller,
        object: &str,
        key: &str,
        page: &HistoryPage,
    ) -> Result<Page<Json>, EngineError> {
        let object = caller.object(&self.inner.store.schema(), object, Act::Read)?;
        if let Some(field) = &page.field {
            known_field(&object, field)?;
        }
        let parsed = key::parse(&object, key)?;
        let missing = || EngineError::not_found(format!("{} `{key}`", object.name));
        // An id names the record that had it, also one that is gone.
        let id = match &parsed {
            Key::Id(id) => *id,
            Key::Field(..) => self.locate(&object, &parsed).await?.ok_or_else(missing)?.id,
        };
        let limit = page_rows(page.limit)? as usize;
        let mut events = self.changes_of(&object.name, id, page, limit).await?;
        if events.is_empty() && page.after.is_none() && page.field.is_none() {
            return Err(missing());
        }
        let more = events.len() >= limit;
        events.truncate(limit);
        let mut explainer = Explainer::new(&self.inner.store, caller);
        let mut items = Vec::with_capacity(events.len());
        for event in &events {
            let mut json = event_to_json(event);
            json["why"] = explainer.why(event).await?;
            json["why"]["changes"] = changes(event, page.field.as_deref()).into();
            items.push(json);
        }
        let next = events.last().filter(|_| more).map(|event| event.position.to_string());
        Ok(Page { items, next })
    }

    /// At least `limit` events of the record that the page means, if there are so many.
    async fn changes_of(
        &self,
        object: &Name,
        id: RecordId,
        page: &HistoryPage,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, EngineError> {
        let rows = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut query = EventQuery { subject: Some(id), after: page.after, limit: rows, ..EventQuery::default() };
        let mut found = Vec::new();
        loop {
            let events = self.inner.store.events(&query).await?;
            query.after = events.last().map(|e| e.position).or(query.after);
            let full = events.len() >= limit;
            let own = |e: &Arc<Event>| e.subject.as_ref().is_some_and(|s| s.object == *object);
            found.extend(events.into_iter().filter(|e| own(e) && touches(e, page.field.as_deref())));
            if found.len() >= limit || !full {
                return Ok(found);
            }
        }
    }
}

fn touches(event: &Event, field: Option<&str>) -> bool {
    let Some(field) = field else { return true };
    let named = |fields: &Fields| fields.iter().any(|(name, _)| name.as_str() == field);
    event.change().is_some_and(|change| named(&change.before) || named(&change.after))
}
