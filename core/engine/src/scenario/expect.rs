//! Judges an expectation against the workspace as it is.

use rapport_model::effect::HTTP;
use rapport_model::json::{record_to_json, value_from_json};
use rapport_model::record::SYSTEM_FIELDS;
use rapport_model::{Effect, Record, Schema};
use rapport_store::{EffectQuery, EventQuery};
use serde_json::Value as Json;

use super::compare::{Comparison, Names, cut, texts};
use super::report::Difference;
use super::{Expect, ExpectCount, ExpectEvents, ExpectRecord, ExpectRuns, below};
use crate::draft::known_field;
use crate::effects;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::key::{self, split_subject};
use crate::present::event_to_json;

/// Events read in one go.
const PAGE: u32 = 1_000;

/// Judges expectations of one scenario.
pub(super) struct Judge<'a> {
    pub(super) engine: &'a Engine,
    /// The position of the last event before the scenario began.
    pub(super) began: i64,
}

impl Judge<'_> {
    /// What is not as `expect`, which stands at `pointer`, says.
    pub(super) async fn judge(&self, pointer: &str, expect: &Expect) -> Result<Vec<Difference>, EngineError> {
        let names = self.names(expect).await?;
        let mut comparison = Comparison { names: &names, differences: Vec::new() };
        if let Some(record) = &expect.record {
            self.record(&mut comparison, pointer, record).await?;
        }
        for count in &expect.counts {
            self.count(&mut comparison, count).await?;
        }
        for runs in &expect.runs {
            self.runs(&mut comparison, runs)?;
        }
        if let Some(events) = &expect.events {
            self.events(&mut comparison, pointer, events).await?;
        }
        if let Some(tasks) = &expect.tasks {
            let found = self.tasks().await?;
            let usual = ["title", "state", "assignee"];
            list(&mut comparison, (&below(pointer, "tasks"), "tasks"), tasks, (&found, &usual));
        }
        if expect.messages.is_some() || expect.effects.is_some() {
            let effects = self.effects().await?;
            if let Some(messages) = &expect.messages {
                let sent = effects.iter().filter(|effect| effect.channel != HTTP);
                let found: Vec<Json> = sent.map(effects::message_to_json).collect();
                list(
                    &mut comparison,
                    (&below(pointer, "messages"), "messages"),
                    messages,
                    (&found, &["channel", "to", "template"]),
                );
            }
            if let Some(wanted) = &expect.effects {
                let found: Vec<Json> = effects.iter().map(flat).collect();
                let usual = ["channel", "method", "url", "to", "status"];
                list(&mut comparison, (&below(pointer, "effects"), "effects"), wanted, (&found, &usual));
            }
        }
        Ok(comparison.differences)
    }

    /// What was sent since the scenario began, in its order.
    async fn effects(&self) -> Result<Vec<Effect>, EngineError> {
        let mut query = EffectQuery { limit: PAGE, ..EffectQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = self.engine.inner.store.effects(&query).await?;
            query.before = page.last().map(|last| (last.created_at, last.id));
            let full = page.len() == PAGE as usize;
            found.extend(page);
            if !full {
                found.reverse();
                return Ok(found);
            }
        }
    }

    /// The records that texts in the expectation name by a unique field.
    async fn names(&self, expect: &Expect) -> Result<Names, EngineError> {
        let mut all = Vec::new();
        let lists = [expect.events.as_ref().map(|e| &e.events), expect.tasks.as_ref(), expect.messages.as_ref()];
        all.extend(lists.into_iter().flatten().flatten().flat_map(texts));
        let fields = expect.record.iter().flat_map(|record| &record.fields);
        all.extend(fields.flat_map(|fields| fields.values()).flat_map(texts));
        let schema = self.engine.inner.store.schema();
        let mut names = Names::new();
        for text in all {
            let Some((object, rest)) = split_subject(&text) else { continue };
            let Some(object) = schema.object(object) else { continue };
            let Ok(key) = key::parse(object, rest) else { continue };
            if let Some(record) = self.engine.locate(object, &key).await? {
                names.insert(text, record.id.to_string());
            }
        }
        Ok(names)
    }

    async fn record(
        &self,
        comparison: &mut Comparison<'_>,
        pointer: &str,
        expect: &ExpectRecord,
    ) -> Result<(), EngineError> {
        let system = Caller::system();
        let object = system.object(&self.engine.inner.store.schema(), &expect.object, Act::Read)?;
        let found = self.engine.named(&system, &object, &expect.key).await?;
        let what = format!("{}/{}", expect.object, expect.key);
        match (&expect.fields, found) {
            (None, None) => {}
            (None, Some(record)) => {
                let place = below(pointer, "exists");
                comparison.note((&place, &what), Json::Bool(false), record_to_json(&record));
            }
            (Some(_), None) => comparison.note((&below(pointer, "record"), &what), "a record".into(), Json::Null),
            (Some(fields), Some(record)) => {
                let shown = record_to_json(&record);
                for (name, wanted) in fields {
                    if !SYSTEM_FIELDS.contains(&name.as_str()) {
                        known_field(&object, name)?;
                    }
                    if !fits(&record, name, wanted) {
                        let place = below(&below(pointer, "fields"), name);
                        let found = shown.get(name).unwrap_or(&Json::Null);
                        comparison.compare((&place, &format!("{what} {name}")), wanted, found);
                    }
                }
            }
        }
        Ok(())
    }

    async fn count(&self, comparison: &mut Comparison<'_>, expect: &ExpectCount) -> Result<(), EngineError> {
        let found = self.engine.count(&Caller::system(), &expect.object, expect.filter.as_deref()).await?;
        if found != expect.count {
            let rule = expect.filter.as_deref().map(|rule| format!(" where {rule}")).unwrap_or_default();
            let what = format!("count of {}{rule}", expect.object);
            comparison.note((&below(&expect.pointer, "n"), &what), expect.count.into(), found.into());
        }
        Ok(())
    }

    fn runs(&self, comparison: &mut Comparison<'_>, expect: &ExpectRuns) -> Result<(), EngineError> {
        let counts = self.engine.inner.store.run_counts();
        let id = match &expect.automation {
            None => None,
            Some(name) => Some(self.engine.automation_named(name)?),
        };
        let own = counts.iter().filter(|c| c.status == expect.status);
        let found: u64 = own.filter(|c| id.as_ref().is_none_or(|id| c.automation == *id)).map(|c| c.count).sum();
        if found != expect.count {
            let of = expect.automation.as_deref().map(|name| format!(" of {name}")).unwrap_or_default();
            let what = format!("{} runs{of}", expect.status.as_str());
            comparison.note((&expect.pointer, &what), expect.count.into(), found.into());
        }
        Ok(())
    }

    async fn events(
        &self,
        comparison: &mut Comparison<'_>,
        pointer: &str,
        expect: &ExpectEvents,
    ) -> Result<(), EngineError> {
        let pointer = below(pointer, "events");
        let pointer = if expect.kind.is_some() { below(&pointer, "list") } else { pointer };
        let schema = self.engine.inner.store.schema();
        let mut found = Vec::new();
        let kind = expect.kind.clone();
        let mut query = EventQuery { after: Some(self.began), kind, limit: PAGE, ..EventQuery::default() };
        loop {
            let page = self.engine.inner.store.events(&query).await?;
            found.extend(page.iter().filter(|event| is_of_business(&schema, event)).map(|event| event_to_json(event)));
            query.after = page.last().map(|event| event.position);
            if page.len() < PAGE as usize {
                break;
            }
        }
        list(comparison, (&pointer, "events"), &expect.events, (&found, &["type", "subject", "data"]));
        Ok(())
    }

    /// The tasks that are there, in the order in which they were made.
    async fn tasks(&self) -> Result<Vec<Json>, EngineError> {
        let kind = Some("task.created".to_owned());
        let mut query = EventQuery { after: Some(0), kind, limit: PAGE, ..EventQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = self.engine.inner.store.events(&query).await?;
            for subject in page.iter().filter_map(|event| event.subject.as_ref()) {
                found.extend(self.engine.inner.store.record(&subject.object, subject.id).await?);
            }
            query.after = page.last().map(|event| event.position);
            if page.len() < PAGE as usize {
                return Ok(found.iter().map(|record| record_to_json(record)).collect());
            }
        }
    }
}

/// An effect with what was asked for beside where it stands.
fn flat(effect: &Effect) -> Json {
    let mut json = effects::effect_to_json(effect);
    let request = json["request"].take();
    if let (Json::Object(shown), Json::Object(request)) = (&mut json, request) {
        shown.remove("request");
        let body = request.get("body").and_then(Json::as_str).and_then(|text| serde_json::from_str(text).ok());
        shown.extend(body.map(|json: Json| ("json".to_owned(), json)));
        shown.extend(request.into_iter().filter(|(name, _)| name != "attempts"));
    }
    json
}

fn list(comparison: &mut Comparison<'_>, place: (&str, &str), expected: &[Json], (found, usual): (&[Json], &[&str])) {
    if expected.len() == found.len() {
        comparison.compare(place, &Json::Array(expected.to_vec()), &Json::Array(found.to_vec()));
    } else {
        comparison.note(place, Json::Array(expected.to_vec()), cut(found, expected, usual));
    }
}

/// Whether the value is the expected one as its field reads it: `12.5` is `"12.50"` in a decimal field.
fn fits(record: &Record, name: &str, wanted: &Json) -> bool {
    let Some(field) = record.object.field(name) else { return false };
    value_from_json(&field.kind, wanted).is_ok_and(|value| value == *record.get(name))
}

/// What the core says of the registry and of automations, and of people and keys, is no part of the story.
fn is_of_business(schema: &Schema, event: &rapport_model::Event) -> bool {
    match &event.subject {
        Some(subject) => {
            let object = schema.object(subject.object.as_str());
            object.is_some_and(|object| object.origin != rapport_model::schema::Origin::System)
        }
        None => schema.event_type(event.kind.as_str()).is_some(),
    }
}
