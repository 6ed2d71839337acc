//! Walks along relations: who has to do with a customer or a company, one step or two away, in both directions.

mod walk;

use rapport_model::relation::ENDS;
use serde_json::{Value as Json, json};

use self::walk::Walk;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};

/// The most relations that are followed in one step.
pub(crate) const STEP_RELATIONS_MAX: usize = 1_000;

/// How far to go, and along which relations.
#[derive(Debug, Clone, Default)]
pub struct RelationWalk {
    /// One step or two.
    pub steps: u8,
    /// Only relations of this kind.
    pub kind: Option<String>,
    /// Relations that have ended, too.
    pub ended: bool,
}

impl Engine {
    /// The customers and companies that relations lead to or come from, one step away or two: each once, by the shortest way, with the
    /// relations on it. `cut` says that a step had more relations than are followed.
    ///
    /// Records of objects that the caller may not see are neither shown nor walked through.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::Invalid`] for other objects and steps.
    pub async fn relations(
        &self,
        caller: &Caller,
        (object, key): (&str, &str),
        wanted: &RelationWalk,
    ) -> Result<Json, EngineError> {
        let schema = self.inner.store.schema();
        caller.object(&schema, rapport_model::relation::OBJECT, Act::Read)?;
        let record = self.get(caller, object, key).await?;
        if !ENDS.contains(&object) {
            return Err(EngineError::invalid("", format!("`{object}` has no relations: customers and companies have")));
        }
        if !(1..=2).contains(&wanted.steps) {
            return Err(EngineError::invalid("/steps", "use 1 or 2"));
        }
        let mut walk = Walk::new(&self.inner, caller, wanted)?;
        let (items, cut) = walk.from(&record).await?;
        Ok(json!({ "items": items, "cut": cut }))
    }
}
