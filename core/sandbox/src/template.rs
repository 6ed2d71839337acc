//! Fills in the templates of messages, in the interpreter: they are programs that people write, so they run under the limits of
//! a slice.

use crate::error::{GuestFailure, SandboxError};
use crate::guest::{self, Budget};
use crate::sandbox::{Sandbox, TEMPLATES};
use crate::warm::Warm;
use crate::wire::{InError, OutPart};

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatePart {
    /// Its name; one that ends in `.html` has its values escaped.
    pub name: String,
    /// Its source, in Jinja.
    pub source: String,
}

type Filled = Result<Vec<String>, InError>;

impl Sandbox {
    /// Fills in `parts` with the variables of `context`, a JSON object.
    ///
    /// # Errors
    /// [`SandboxError::Guest`] if a part does not read, a variable is missing, or a limit of a slice is passed.
    pub async fn render(&self, parts: Vec<TemplatePart>, context: String) -> Result<Vec<String>, SandboxError> {
        let shared = self.shared();
        let _permit = shared.rendering_permit().await;
        let _ticking = shared.runtime.ticking();
        let interpreter = self.interpreter().await?;
        let budget = Budget::of_slice(self.limits());
        let mut warm = match shared.pool.take(TEMPLATES) {
            Some(warm) => warm,
            None => {
                Warm { living: interpreter.guest.instantiate(None, budget).await.map_err(|u| u.failure)?, calls: 0 }
            }
        };
        budget.give(&mut warm.living.store);
        let parts: Vec<OutPart> = parts.into_iter().map(|p| OutPart { name: p.name, source: p.source }).collect();
        let (living, export) = (&mut warm.living, interpreter.render);
        let (filled,): (Filled,) = guest::call_export(living, export, (parts, context), budget).await?;
        warm.calls += 1;
        shared.pool.put(TEMPLATES, warm);
        filled.map_err(|InError { code, message, retryable }| GuestFailure::Failed { code, message, retryable }.into())
    }
}
