//! The check of the tags by which records are found.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rapport_model::{RecordId, tags};

use super::{Finding, Look, Page, Place};
use crate::engine::Inner;
use crate::error::EngineError;

pub(super) fn own(inner: &Inner, look: Look) -> BoxFuture<'_, Result<Page, EngineError>> {
    async move {
        let schema = inner.store.schema();
        let mut objects = schema.sorted_objects();
        objects.retain(|object| tags::place(object).is_some());
        let Place { part, text, .. } = look.after;
        let Some(object) = objects.get(part) else { return Ok(Page::default()) };
        let after: Option<RecordId> = text.parse().ok();
        let (looked_at, last, wrong) = inner.store.prove_tags(&object.name, (after, look.rows, look.now)).await?;
        let findings = wrong.into_iter().map(|id| Finding {
            about: format!("{}/{id}", object.name),
            what: "it is not found by the tags that it has".to_owned(),
            remedy: "if nobody wrote to it at this moment, somebody else wrote to the database: take its tags away and add them again"
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
