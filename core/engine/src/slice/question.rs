//! Automations answer nobody's questions but those that are put to no one.

use rapport_model::record::Change;
use rapport_model::{Actor, Name, Record};

use super::{Answer, SliceHost, refusal};
use crate::error::EngineError;
use crate::questions;

impl SliceHost {
    /// Passes if `changes` (none: a deletion) do not answer in the place of those who are asked.
    pub(super) async fn guard_question(&self, task: &Record, changes: Option<&[(Name, Change)]>) -> Answer<()> {
        let actor = Actor::Automation(self.version.id.clone());
        let never = async |who: &str| Err(EngineError::NotAsked { actor, who: who.to_owned() });
        questions::guard(&self.store, task, changes, never).await.map_err(refusal)
    }
}
