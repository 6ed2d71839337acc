//! Looks for words in records: what callers from outside and slices share.

use std::sync::Arc;

use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::search::{self, QUERY_BYTES_MAX, QUERY_TERMS_MAX, QueryTerm, Snippet};
use rapport_model::{Name, ObjectDef, Record, Timestamp};
use rapport_store::{SearchQuery, Store};
use serde_json::{Value as Json, json};

use crate::draft::known_field;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};

/// The records that are compared: of more that fit, the newest.
const CANDIDATES_MAX: u32 = 1_000;
/// The most hits.
const HITS_MAX: u32 = 100;
/// The hits if none are asked for.
const HITS_DEFAULT: u32 = 20;

/// What a caller looks for.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// The object.
    pub object: String,
    /// The text.
    pub text: String,
    /// The fields in which it may stand; empty: all that are searchable.
    pub fields: Vec<String>,
    /// A rule that must hold.
    pub filter: Option<String>,
    /// Hits at most.
    pub limit: Option<u32>,
}

/// A search that has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Sought {
    pub(crate) object: Arc<ObjectDef>,
    pub(crate) fields: Vec<Name>,
    terms: Vec<QueryTerm>,
    limit: u32,
}

/// A record that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) record: Arc<Record>,
    pub(crate) score: f64,
    /// The field of the snippet, and the snippet.
    pub(crate) shown: (Name, Snippet),
}

impl Sought {
    /// Checks what is looked for. A limit of 0 is the usual one.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] if nothing can be looked for; [`EngineError::UnknownField`].
    pub(crate) fn check(
        object: &Arc<ObjectDef>,
        text: &str,
        (fields, limit): (&[String], u32),
    ) -> Result<Self, EngineError> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(EngineError::invalid(
                "/q",
                format!("the text that is looked for has {QUERY_BYTES_MAX} bytes at most"),
            ));
        }
        let terms = search::query_terms(text);
        if terms.is_empty() {
            return Err(EngineError::invalid("/q", "say what is looked for: a text with a letter or a digit in it"));
        }
        if terms.len() > QUERY_TERMS_MAX {
            return Err(EngineError::invalid("/q", format!("{QUERY_TERMS_MAX} words are looked for at most")));
        }
        let all = || object.searchable_fields().map(|(_, field)| field.name.clone());
        let mut named = Vec::with_capacity(fields.len());
        for name in fields {
            let field = known_field(object, name)?;
            if !field.searchable {
                let there: Vec<String> = all().map(|name| format!("`{name}`")).collect();
                let message = format!("`{}.{name}` is not searchable; there is {}", object.name, there.join(", "));
                return Err(EngineError::invalid("/fields", message));
            }
            named.push(field.name.clone());
        }
        let mut fields: Vec<Name> = if named.is_empty() { all().collect() } else { named };
        fields.sort();
        fields.dedup();
        if fields.is_empty() {
            let message = format!("`{}` has no searchable field: declare one with `searchable`", object.name);
            return Err(EngineError::invalid("/fields", message));
        }
        let limit = if limit == 0 { HITS_DEFAULT } else { limit.min(HITS_MAX) };
        Ok(Self { object: object.clone(), fields, terms, limit })
    }

    /// What is found, the best first.
    pub(crate) async fn find(
        self,
        store: &Store,
        (rule, params, now): (Option<Rule>, Params, Timestamp),
    ) -> Result<Vec<Found>, EngineError> {
        let Self { object, fields, terms, limit } = self;
        let query = SearchQuery {
            object: object.name.clone(),
            fields,
            terms,
            rule,
            params,
            now,
            candidates: CANDIDATES_MAX,
            limit,
        };
        let hits = store.search(&query).await?;
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let records = store.records(&object.name, &ids).await?;
        let found = hits.iter().zip(records).filter_map(|(hit, record)| {
            let record = record?;
            let shown = query.fields.iter().find_map(|field| {
                let text = record.get(field.as_str()).as_text()?;
                Some((field.clone(), search::snippet(text, &query.terms)?))
            });
            // What has changed at this very moment is told as it is now.
            let shown = shown.or_else(|| Some((query.fields.first()?.clone(), Snippet::default())))?;
            Some(Found { record, score: hit.score, shown })
        });
        Ok(found.collect())
    }
}

impl Engine {
    /// Looks for words in records of an object: the best first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::UnknownObject`], [`EngineError::UnknownField`], [`EngineError::Rule`],
    /// [`EngineError::Invalid`] if nothing can be looked for, or nothing is searchable.
    pub async fn search(&self, caller: &Caller, request: &SearchRequest) -> Result<Vec<Json>, EngineError> {
        let schema = self.inner.store.schema();
        let object = caller.object(&schema, &request.object, Act::Read)?;
        if request.limit.is_some_and(|limit| !(1..=HITS_MAX).contains(&limit)) {
            return Err(EngineError::invalid("/limit", format!("use 1 to {HITS_MAX}")));
        }
        let sought = Sought::check(&object, &request.text, (&request.fields, request.limit.unwrap_or(0)))?;
        let mut rule = None;
        if let Some(text) = request.filter.as_deref().filter(|text| !text.trim().is_empty()) {
            let read = self.inner.lookup.rule(&schema, &Scope::Record(object.clone()), text, &ParamTypes::none())?;
            for reference in read.references() {
                caller.object(&schema, reference.object.as_str(), Act::Read)?;
            }
            rule = Some(read);
        }
        let found = sought.find(&self.inner.store, (rule, Params::none(), self.inner.clock.now())).await?;
        Ok(found.iter().map(hit_json).collect())
    }
}

fn hit_json(found: &Found) -> Json {
    let (field, snippet) = &found.shown;
    json!({
        "id": found.record.id,
        "score": found.score,
        "snippet": { "field": field, "text": snippet.text, "matches": snippet.matches },
    })
}
