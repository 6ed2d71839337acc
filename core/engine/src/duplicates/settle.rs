//! Which pairs somebody has told apart: by a relation of the kind `distinct` from one to the other, either way, that has not ended.

use std::collections::HashSet;
use std::sync::Arc;

use rapport_model::relation::{DISTINCT, FROM, OBJECT, TO};
use rapport_model::rule::{ParamTypes, Params, Scope};
use rapport_model::{Name, RecordId, Value};
use rapport_store::RecordQuery;
use serde_json::Value as Json;

use super::pairs::Pair;
use crate::engine::Inner;
use crate::error::EngineError;

/// How many customers one query is about.
const CUSTOMERS: usize = 500;
/// How many relations one query reads.
const RELATIONS: u32 = 1_000;

/// The pairs that were told apart.
pub(super) struct Told(HashSet<[RecordId; 2]>);

fn key(a: RecordId, b: RecordId) -> [RecordId; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

impl Told {
    /// Those among `pairs`, by few queries over the customers in them.
    pub(super) async fn of(inner: &Inner, pairs: &[Pair]) -> Result<Self, EngineError> {
        let mut ids: Vec<RecordId> = pairs.iter().flat_map(|pair| pair.records.iter().map(|r| r.id)).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut told = Self(HashSet::new());
        for ids in ids.chunks(CUSTOMERS) {
            told.read(inner, ids).await?;
        }
        Ok(told)
    }

    pub(super) fn apart(&self, pair: &Pair) -> bool {
        self.0.contains(&key(pair.records[0].id, pair.records[1].id))
    }

    /// Takes up the relations that come from these customers.
    async fn read(&mut self, inner: &Inner, ids: &[RecordId]) -> Result<(), EngineError> {
        let schema = inner.store.schema();
        let object = schema.object(OBJECT).cloned().ok_or_else(|| EngineError::not_found(OBJECT))?;
        let list = ids.iter().map(|id| Json::from(id.to_string())).collect();
        let params =
            Params::none().with("ids", Value::Json(Arc::new(Json::Array(list)))).with("wanted", Value::text(DISTINCT));
        let text = format!(
            "{} in ids && {} != null && kind == wanted && (until == null || days_since(until) <= 0)",
            FROM[0], TO[0]
        );
        let scope = Scope::Record(object);
        let rule = inner.lookup.rule(&schema, &scope, &text, &ParamTypes::of(&params))?;
        let name = Name::new(OBJECT).map_err(|e| EngineError::Internal(e.to_string()))?;
        let mut query = RecordQuery::new(name, inner.clock.now(), RELATIONS);
        (query.rule, query.params) = (Some(rule), params);
        loop {
            let found = inner.store.find(&query).await?;
            for relation in &found {
                let ends = [FROM[0], TO[0]].map(|field| relation.get(field).as_ref_id());
                if let [Some(from), Some(to)] = ends {
                    self.0.insert(key(from, to));
                }
            }
            let Some(last) = found.last().filter(|_| found.len() >= RELATIONS as usize) else { return Ok(()) };
            query.after = Some((Vec::new(), last.id));
        }
    }
}
