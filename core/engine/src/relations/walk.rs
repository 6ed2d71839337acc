//! One walk: from the records of a step to those of the next, a query for each field that can name them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::json::to_json;
use rapport_model::relation::{ENDS, FROM, OBJECT, TO};
use rapport_model::rule::{ParamTypes, Params, Scope};
use rapport_model::{Name, ObjectDef, Record, RecordId, Timestamp, Value};
use rapport_store::RecordQuery;
use serde_json::{Value as Json, json};

use super::{RelationWalk, STEP_RELATIONS_MAX};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::gate::Caller;

/// A customer or a company.
type End = (&'static str, RecordId);

/// A record that was come to.
#[derive(Debug, Clone)]
struct Found {
    end: End,
    /// The relations that led here, the nearest to the beginning first.
    path: Vec<Json>,
}

/// A relation that leads on from a record: the record, the relation, the way, and the record at its other end.
struct Edge {
    near: End,
    relation: Arc<Record>,
    way: &'static str,
    far: End,
}

/// A walk.
pub(super) struct Walk<'a> {
    inner: &'a Inner,
    caller: &'a Caller,
    wanted: &'a RelationWalk,
    object: Arc<ObjectDef>,
    now: Timestamp,
}

fn name(text: &str) -> Result<Name, EngineError> {
    Name::new(text).map_err(|e| EngineError::Internal(e.to_string()))
}

impl<'a> Walk<'a> {
    pub(super) fn new(inner: &'a Inner, caller: &'a Caller, wanted: &'a RelationWalk) -> Result<Self, EngineError> {
        let schema = inner.store.schema();
        let object = schema.object(OBJECT).cloned().ok_or_else(|| EngineError::not_found(OBJECT))?;
        Ok(Self { inner, caller, wanted, object, now: inner.clock.now() })
    }

    /// What is found from `record`, and whether a step was cut.
    pub(super) async fn from(&mut self, record: &Record) -> Result<(Vec<Json>, bool), EngineError> {
        let object = record.object.name.as_str();
        let Some(start) = ENDS.into_iter().find(|end| *end == object) else { return Ok((Vec::new(), false)) };
        let mut known: HashSet<End> = HashSet::from([(start, record.id)]);
        let mut frontier = vec![Found { end: (start, record.id), path: Vec::new() }];
        let (mut all, mut cut) = (Vec::new(), false);
        for step in 1..=self.wanted.steps {
            let (edges, more) = self.edges(&frontier).await?;
            cut |= more;
            let paths: HashMap<End, &Vec<Json>> = frontier.iter().map(|found| (found.end, &found.path)).collect();
            let mut next = Vec::new();
            for edge in edges {
                let Some(path) = paths.get(&edge.near).filter(|_| known.insert(edge.far)) else { continue };
                let mut path = (*path).clone();
                path.push(shown(&edge));
                next.push(Found { end: edge.far, path });
            }
            all.extend(next.iter().map(|found| (step, found.clone())));
            frontier = next;
        }
        Ok((self.named(all).await?, cut))
    }

    /// The relations of these records, in the order in which they were made; whether there are more than are followed.
    async fn edges(&self, frontier: &[Found]) -> Result<(Vec<Edge>, bool), EngineError> {
        let (mut edges, mut cut) = (Vec::new(), false);
        for (place, end) in ENDS.into_iter().enumerate() {
            let ids: Vec<RecordId> = frontier.iter().filter(|f| f.end.0 == end).map(|f| f.end.1).collect();
            if ids.is_empty() {
                continue;
            }
            for (field, way, others) in [(FROM[place], "to", TO), (TO[place], "from", FROM)] {
                let relations = self.of_field(field, &ids).await?;
                cut |= relations.len() > STEP_RELATIONS_MAX;
                for relation in relations {
                    let near = relation.get(field).as_ref_id().map(|id| (end, id));
                    let far = ENDS
                        .into_iter()
                        .zip(others)
                        .find_map(|(object, field)| relation.get(field).as_ref_id().map(|id| (object, id)));
                    let (Some(near), Some(far)) = (near, far) else { continue };
                    if self.sees(far.0)? {
                        edges.push(Edge { near, relation, way, far });
                    }
                }
            }
        }
        edges.sort_by(|a, b| a.relation.id.cmp(&b.relation.id).then(b.way.cmp(a.way)));
        cut |= edges.len() > STEP_RELATIONS_MAX;
        edges.truncate(STEP_RELATIONS_MAX);
        Ok((edges, cut))
    }

    fn sees(&self, object: &str) -> Result<bool, EngineError> {
        Ok(self.caller.sees(&name(object)?))
    }

    /// The relations whose `field` names one of these records: one more than are followed, if there are so many.
    async fn of_field(&self, field: &str, ids: &[RecordId]) -> Result<Vec<Arc<Record>>, EngineError> {
        let ids = ids.iter().map(|id| Json::from(id.to_string())).collect();
        let mut text = format!("{field} in ids");
        let mut params = Params::none().with("ids", Value::Json(Arc::new(Json::Array(ids))));
        if let Some(kind) = &self.wanted.kind {
            text.push_str(" && kind == wanted");
            params.set("wanted", Value::text(kind));
        }
        if !self.wanted.ended {
            text.push_str(" && (until == null || days_since(until) <= 0)");
        }
        let schema = self.inner.store.schema();
        let scope = Scope::Record(self.object.clone());
        let rule = self.inner.lookup.rule(&schema, &scope, &text, &ParamTypes::of(&params))?;
        let limit = u32::try_from(STEP_RELATIONS_MAX + 1).unwrap_or(u32::MAX);
        let mut query = RecordQuery::new(self.object.name.clone(), self.now, limit);
        (query.rule, query.params) = (Some(rule), params);
        Ok(self.inner.store.find(&query).await?)
    }

    /// What was found, with the names of the records.
    async fn named(&self, all: Vec<(u8, Found)>) -> Result<Vec<Json>, EngineError> {
        let mut records: HashMap<End, Arc<Record>> = HashMap::new();
        for end in ENDS {
            let ids: Vec<RecordId> = all.iter().filter(|(_, f)| f.end.0 == end).map(|(_, f)| f.end.1).collect();
            let found = self.inner.store.records(&name(end)?, &ids).await?;
            records.extend(found.into_iter().flatten().map(|record| ((end, record.id), record)));
        }
        let item = |(step, found): &(u8, Found)| {
            let record = records.get(&found.end);
            let of = |field: &str| record.map_or(Json::Null, |record| to_json(record.get(field)));
            let (object, id) = found.end;
            let key = format!("{object}_no");
            let no = of(&key).as_str().map(|no| format!("{object}/{key}:{no}"));
            json!({
                "step": step, "record": format!("{object}/{id}"), "key": no, "name": of("name"), "path": found.path,
            })
        };
        Ok(all.iter().map(item).collect())
    }
}

/// A relation on the way: `to` if it leads on, `from` if it was walked against its direction.
fn shown(edge: &Edge) -> Json {
    let of = |field: &str| to_json(edge.relation.get(field));
    json!({
        "relation": edge.relation.id, "kind": of("kind"), "way": edge.way, "since": of("since"), "until": of("until"),
        "record": format!("{}/{}", edge.far.0, edge.far.1),
    })
}
