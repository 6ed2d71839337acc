//! What a guest is running as, its settings, and the secrets that it uses without seeing them.

use rapport_model::Value;
use rapport_model::automation::{Need, is_secret_name};
use rapport_model::nearest::nearest;
use rapport_sandbox::{HostError, RunContext};

use super::{Answer, SliceHost};
use crate::effects::transport::Failure;
use crate::registry::Version;

/// What a guest is told of a secret that cannot be used. That the place of secrets does not answer passes.
fn untold(failure: Failure) -> HostError {
    let Failure { code, message, retryable, .. } = failure;
    if retryable { HostError::ending(code, message) } else { HostError::permanent(code, message) }
}

/// The setting `name` as it is chosen for `version`.
pub(super) fn setting_of(version: &Version, name: &str) -> Answer<Value> {
    if let Some(value) = version.settings.get(name) {
        return Ok(value.clone());
    }
    let near = nearest(name, version.settings.keys().map(String::as_str));
    let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    Err(HostError::permanent("unknown_setting", format!("there is no setting `{name}`{hint}")))
}

impl SliceHost {
    fn may_use(&self, name: &str) -> Answer<()> {
        if !is_secret_name(name) {
            return Err(HostError::permanent(
                "invalid",
                "the name of a secret has lower-case letters, digits, `-` and `_`",
            ));
        }
        self.allow(Need::Secret(name))
    }

    pub(super) async fn do_secret_exists(&self, name: &str) -> Answer<bool> {
        self.may_use(name)?;
        self.outbound.transport().secret_exists(name).await.map_err(untold)
    }

    pub(super) async fn do_secret_hmac(&self, name: &str, message: &[u8]) -> Answer<Vec<u8>> {
        self.may_use(name)?;
        self.outbound.transport().secret_hmac(name, message).await.map_err(untold)
    }

    pub(crate) fn running_as(&self) -> RunContext {
        RunContext {
            run: self.run.to_string(),
            plugin: self.version.id.to_string(),
            actor: self.actor.clone(),
            slice: u32::try_from(self.outbound.slice_number()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }
}
