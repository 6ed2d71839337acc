//! The check of roll-ups: some hundred parents at a time are held against their children.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rapport_model::RecordId;
use rapport_model::json::to_json;

use super::{Finding, Look, Page, Place};
use crate::engine::Inner;
use crate::error::EngineError;

pub(super) fn right(inner: &Inner, look: Look) -> BoxFuture<'_, Result<Page, EngineError>> {
    async move {
        let (schema, rollups) = (inner.store.schema(), inner.store.rollups());
        let mut objects = schema.sorted_objects();
        objects.retain(|object| !rollups.of(&object.name).is_empty());
        let Place { part, text, .. } = look.after;
        let Some(object) = objects.get(part) else { return Ok(Page::default()) };
        let after: Option<RecordId> = text.parse().ok();
        let (looked_at, last, faults) = inner.store.prove_rollups(&object.name, (after, look.rows, look.now)).await?;
        let findings = faults.into_iter().map(|(field, fault)| Finding {
            about: format!("{}/{}", object.name, fault.id),
            what: format!("`{field}` is {}, and its children say {}", to_json(&fault.kept), to_json(&fault.right)),
            remedy: format!("somebody else wrote to the database: `rapport rollup rebuild {}.{field}`", object.name),
        });
        let next = match last {
            Some(id) => Some(Place { part, text: id.to_string(), ..Place::default() }),
            None => (part + 1 < objects.len()).then(|| Place { part: part + 1, ..Place::default() }),
        };
        Ok(Page { looked_at, findings: findings.collect(), next })
    }
    .boxed()
}
