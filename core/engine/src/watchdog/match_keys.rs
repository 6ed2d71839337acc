//! The check of the keys by which customers are found that may be one.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rapport_model::{RecordId, match_key};

use super::{Finding, Look, Page, Place};
use crate::engine::Inner;
use crate::error::EngineError;

pub(super) fn own(inner: &Inner, look: Look) -> BoxFuture<'_, Result<Page, EngineError>> {
    async move {
        let after: Option<RecordId> = look.after.text.parse().ok();
        let (looked_at, last, wrong) = inner.store.prove_match_keys((after, look.rows, look.now)).await?;
        let findings = wrong.into_iter().map(|id| Finding {
            about: format!("{}/{id}", match_key::OBJECT),
            what: "it is not found by the e-mail address, phone number and postcode that it has".to_owned(),
            remedy: "if nobody wrote to it at this moment, somebody else wrote to the database: empty these fields and set them again"
                .to_owned(),
        });
        let next = last.map(|id| Place { text: id.to_string(), ..Place::default() });
        Ok(Page { looked_at, findings: findings.collect(), next })
    }
    .boxed()
}
