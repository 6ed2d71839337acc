//! The check of the words by which records are found.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rapport_model::RecordId;

use super::{Finding, Look, Page, Place};
use crate::engine::Inner;
use crate::error::EngineError;

pub(super) fn own(inner: &Inner, look: Look) -> BoxFuture<'_, Result<Page, EngineError>> {
    async move {
        let schema = inner.store.schema();
        let mut objects = schema.sorted_objects();
        objects.retain(|object| object.searchable_fields().next().is_some());
        let Place { part, text, .. } = look.after;
        let Some(object) = objects.get(part) else { return Ok(Page::default()) };
        let after: Option<RecordId> = text.parse().ok();
        let (looked_at, last, faults) = inner.store.prove_search(&object.name, (after, look.rows, look.now)).await?;
        let findings = faults.into_iter().map(|fault| Finding {
            about: format!("{}/{}", object.name, fault.id),
            what: format!("it is not found by its words: {}", fault.why),
            remedy: "if nobody wrote to it at this moment, somebody else wrote to the database: write its texts anew"
                .to_owned(),
        });
        let next = match last {
            Some(id) => Some(Place { part, text: id.to_string(), ..Place::default() }),
            None => (part + 1 < objects.len()).then(|| Place { part: part + 1, ..Place::default() }),
        };
        Ok(Page { looked_at, findings: findings.collect(), next })
    }
    .boxed()
}
