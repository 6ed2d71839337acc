//! The whole customer in one place: the fields and who set them, tags, relations, consent, segments, and the timeline.
//!
//! One planner for rights: the caller reads the customer, and of everything else what belongs to objects that it may see. Runs and
//! messages, which may speak of any object, are for callers that are bound to none.

mod provenance;
mod timeline;

use std::collections::BTreeMap;
use std::sync::Arc;

use rapport_model::json::{field_to_json, to_json};
use rapport_model::rule::{ParamTypes, Params, Scope};
use rapport_model::schema::FieldKind;
use rapport_model::{Name, Record, Value, tags};
use rapport_store::{Direction, RecordQuery};
use serde_json::{Map, Value as Json, json};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::explain::Explainer;
use crate::gate::{Act, Caller};
use crate::relations::RelationWalk;

pub(crate) use provenance::Origins;
pub use timeline::TimelinePage;

/// The object that this page is of.
const CUSTOMER: &str = "customer";
/// The object of consents.
const CONSENT: &str = "consent";
/// The consents that are looked through for the latest of each channel and purpose.
const CONSENTS_MAX: u32 = 1_000;

impl Engine {
    /// All there is to know of one customer: its fields with who set each last, numbers, tags, relations one step away, consent, segments,
    /// and one page of the timeline. A page behind the first has the timeline alone.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::Invalid`] for kinds, limits and cursors.
    pub async fn whole_customer(&self, caller: &Caller, key: &str, page: &TimelinePage) -> Result<Json, EngineError> {
        let customer = self.get(caller, CUSTOMER, key).await?;
        let timeline = self.timeline(caller, &customer, page).await?;
        let timeline = json!({ "items": timeline.items, "next": timeline.next });
        if page.cursor.is_some() {
            return Ok(json!({ "timeline": timeline }));
        }
        Ok(json!({
            "record": format!("{CUSTOMER}/{}", customer.id),
            "version": customer.version,
            "created_at": customer.created_at,
            "updated_at": customer.updated_at,
            "fields": self.fields_of(caller, &customer).await?,
            "numbers": numbers_of(&customer),
            "tags": tags::place(&customer.object).map(|at| field_to_json(&FieldKind::Tags, customer.at(at))),
            "relations": self.relations_of(caller, &customer).await?,
            "consent": self.consent_of(caller, &customer).await?,
            "segments": self.stays_in(&customer).await?,
            "timeline": timeline,
        }))
    }

    /// Every field, with who or what set it last.
    async fn fields_of(&self, caller: &Caller, customer: &Arc<Record>) -> Result<Vec<Json>, EngineError> {
        let known = self.inner.origins.of(&self.inner.store, customer).await?;
        let mut explainer = Explainer::new(&self.inner.store, caller);
        let mut fields = Vec::with_capacity(customer.object.fields.len());
        for (place, field) in customer.object.fields.iter().enumerate() {
            let mut json = json!({ "field": field.name, "value": field_to_json(&field.kind, customer.at(place)) });
            json["set"] = match known.field(&field.name) {
                Some(origin) => origin.to_json(&mut explainer).await?,
                None => Json::Null,
            };
            if let Some(position) = known.unknown_before().filter(|_| json["set"].is_null()) {
                json["set_before"] = position.into();
            }
            fields.push(json);
        }
        Ok(fields)
    }

    async fn relations_of(&self, caller: &Caller, customer: &Record) -> Result<Json, EngineError> {
        if !caller.sees(&name(rapport_model::relation::OBJECT)?) {
            return Ok(json!({ "items": [], "cut": false }));
        }
        let one_step = RelationWalk { steps: 1, ..RelationWalk::default() };
        self.relations(caller, (CUSTOMER, &customer.id.to_string()), &one_step).await
    }

    /// The segments that the customer is in, and since when.
    async fn stays_in(&self, customer: &Record) -> Result<Vec<Json>, EngineError> {
        let mut found = self.inner.store.segments_of(&[customer.id]).await?;
        let stays = found.remove(&customer.id).unwrap_or_default();
        Ok(stays.iter().map(|stay| json!({ "segment": stay.segment, "since": stay.entered_at })).collect())
    }

    /// The latest consent for each channel and purpose.
    async fn consent_of(&self, caller: &Caller, customer: &Record) -> Result<Vec<Json>, EngineError> {
        let schema = self.inner.store.schema();
        let Ok(object) = caller.object(&schema, CONSENT, Act::Read) else { return Ok(Vec::new()) };
        let params = Params::none().with("c", Value::Ref(customer.id));
        let scope = Scope::Record(object.clone());
        let rule = self.inner.lookup.rule(&schema, &scope, "customer == c", &ParamTypes::of(&params))?;
        let mut query = RecordQuery::new(object.name.clone(), self.inner.clock.now(), CONSENTS_MAX);
        (query.rule, query.params) = (Some(rule), params);
        query.order = vec![(name("created_at")?, Direction::Descending)];
        let mut latest: BTreeMap<(String, String), Arc<Record>> = BTreeMap::new();
        let text = |record: &Record, field: &str| record.get(field).as_text().unwrap_or_default().to_owned();
        for record in self.inner.store.find(&query).await? {
            let place = (text(&record, "channel"), text(&record, "purpose"));
            match latest.get(&place) {
                Some(known) if when(known) >= when(&record) => {}
                _ => drop(latest.insert(place, record)),
            }
        }
        let shown = |record: &Arc<Record>| {
            let of = |field: &str| to_json(record.get(field));
            json!({
                "channel": of("channel"), "purpose": of("purpose"), "state": of("state"), "at": to_json(&when(record).0),
                "consent": record.id,
            })
        };
        Ok(latest.values().map(shown).collect())
    }
}

/// When a consent was given or withdrawn; of two at one instant the later record counts.
#[derive(Debug, PartialEq)]
struct Instant(Value, rapport_model::RecordId);

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.0.compare(&other.0)?.then(self.1.cmp(&other.1)))
    }
}

fn when(consent: &Record) -> Instant {
    let happened = consent.get("happened_at");
    let at = if happened.is_null() { Value::Time(consent.created_at) } else { happened.clone() };
    Instant(at, consent.id)
}

fn name(text: &str) -> Result<Name, EngineError> {
    Name::new(text).map_err(|e| EngineError::Internal(e.to_string()))
}

/// The numbers of a record that are filled, at a glance.
fn numbers_of(record: &Record) -> Json {
    let fields = record.object.fields.iter().enumerate();
    let numbers = fields.filter(|(place, field)| field.kind.is_number() && !record.at(*place).is_null());
    Json::Object(
        numbers.map(|(place, field)| (field.name.to_string(), to_json(record.at(place)))).collect::<Map<_, _>>(),
    )
}
