//! Whose word counts: keys are pinned when they are seen first, and blocked packages never run.

use std::sync::Arc;

use rapport_model::limits::Trust;
use rapport_model::{Digest, Value};
use rapport_package::{Package, PublicKey};
use rapport_sandbox::Manifest;
use rapport_store::UnitOfWork;
use serde_json::{Value as Json, json};

use super::record::{Changes, text};
use super::{Publisher, State};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::schedules::set;

/// How a package that was verified stands with this workspace.
pub(super) struct Vetted {
    /// The key that signed it; none: unsigned.
    pub(super) key: Option<PublicKey>,
    /// What is to be kept of the publisher's key, if it is new or has changed.
    pub(super) pin: Option<PublicKey>,
}

impl Inner {
    /// Passes if the package may come in: it is not blocked; it is signed by whom its manifest names, with the key that was pinned or
    /// one that follows from it; or it is unsigned, that was said, and its publisher has not signed others; and that is enough for the
    /// operator.
    ///
    /// # Errors
    /// [`EngineError::Untrusted`] with the reason.
    pub(super) fn vet(&self, package: &Package, manifest: &Manifest, unsigned: bool) -> Result<Vetted, EngineError> {
        self.refuse_blocked(&package.digest())?;
        let vetted = self.whose(package, manifest, unsigned)?;
        let (publisher, least) = (&manifest.publisher, self.limits.packages_at_least);
        // A key that follows from one that an admin has looked at is as good.
        let looked_at = self.plugins.publishers.load().get(publisher).is_some_and(|known| known.trusted);
        let trust =
            if looked_at && vetted.key.is_some() { Trust::Trusted } else { self.trust_of(publisher, vetted.key) };
        if trust >= least {
            return Ok(vetted);
        }
        let way = match vetted.key {
            None => "have it signed".to_owned(),
            Some(key) => format!("look at its key, then say so: rapport plugin trust \"{publisher}\" --key {key}"),
        };
        Err(EngineError::Untrusted(format!(
            "the package is {}, and the operator takes only what is {} (`limits.packages_at_least`): {way}",
            trust.as_str(),
            least.as_str()
        )))
    }

    fn whose(&self, package: &Package, manifest: &Manifest, unsigned: bool) -> Result<Vetted, EngineError> {
        let publisher = &manifest.publisher;
        let pinned: Option<Publisher> = self.plugins.publishers.load().get(publisher).cloned();
        let Some(signature) = package.signature() else {
            if !unsigned {
                let why = "the package is not signed: who made it is not known. `--unsigned` takes it all the same";
                return Err(EngineError::Untrusted(why.into()));
            }
            return match pinned {
                None => Ok(Vetted { key: None, pin: None }),
                Some(_) => Err(EngineError::Untrusted(format!(
                    "the package is not signed, and says that it comes from `{publisher}`, who signs"
                ))),
            };
        };
        if signature.publisher != *publisher {
            let why = format!("it is signed by `{}`, and plugin.toml names `{publisher}`", signature.publisher);
            return Err(EngineError::Untrusted(why));
        }
        match pinned {
            Some(known) if !signature.follows(known.key) => Err(EngineError::Untrusted(format!(
                "it is signed with the key {}, which does not follow from {}, the key of `{publisher}` that is known here",
                signature.key, known.key
            ))),
            Some(known) if known.key == signature.key => Ok(Vetted { key: Some(signature.key), pin: None }),
            _ => Ok(Vetted { key: Some(signature.key), pin: Some(signature.key) }),
        }
    }

    /// Passes if the package is not blocked.
    ///
    /// # Errors
    /// [`EngineError::Untrusted`] with the reason that was given.
    pub(super) fn refuse_blocked(&self, package: &Digest) -> Result<(), EngineError> {
        match self.plugins.blocked.load().get(package).filter(|blocked| blocked.active) {
            None => Ok(()),
            Some(blocked) => {
                let why = if blocked.reason.is_empty() { "no reason given" } else { &blocked.reason };
                Err(EngineError::Untrusted(format!("the package {} is blocked: {why}", package.short())))
            }
        }
    }

    /// How far the publisher of a package is trusted.
    pub(super) fn trust_of(&self, publisher: &str, key: Option<PublicKey>) -> Trust {
        let known = self.plugins.publishers.load();
        match (key, known.get(publisher)) {
            (None, _) => Trust::Unsigned,
            (Some(key), Some(known)) if known.trusted && known.key == key => Trust::Trusted,
            (Some(_), _) => Trust::Signed,
        }
    }

    /// Writes what belongs to plugins alone, and takes it up.
    pub(super) async fn commit_plugins(&self, caller: &Caller, unit: UnitOfWork) -> Result<(), EngineError> {
        let mut unit = unit;
        unit.actor = caller.actor.clone();
        self.store.commit(unit).await?;
        self.load_plugins().await
    }
}

impl Engine {
    /// Says that `key` is the key of `publisher`, in place of the one that was known, and that an admin has looked at it.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`].
    pub async fn trust_publisher(&self, caller: &Caller, publisher: &str, key: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        if publisher.trim().is_empty() || publisher.len() > 400 || publisher.chars().any(char::is_control) {
            return Err(EngineError::invalid("/name", "a publisher has a name that can be shown"));
        }
        let key: PublicKey =
            key.parse().map_err(|e: rapport_package::PackageError| EngineError::invalid("/key", e.to_string()))?;
        let _one = self.inner.activating.lock().await;
        let changes: Changes = vec![text("key", &key.to_string()), set("trusted", Value::Bool(true))];
        let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
        unit.puts = vec![self.inner.publisher_put(publisher, changes)];
        self.inner.commit_plugins(caller, unit).await?;
        Ok(json!({ "name": publisher, "key": key, "trusted": true }))
    }

    /// The publishers whose keys are known.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn publishers(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let known = self.inner.plugins.publishers.load();
        let one = |(name, p): (&String, &Publisher)| json!({ "name": name, "key": p.key, "trusted": p.trusted });
        Ok(known.iter().map(one).collect())
    }

    /// Never lets the package `digest` run, from now on; what is live of it is disabled at once.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`].
    pub async fn block_package(&self, caller: &Caller, digest: &str, reason: &str) -> Result<Json, EngineError> {
        let digest = self.set_blocked(caller, digest, reason, true).await?;
        let mut disabled = Vec::new();
        for plugin in self.inner.plugins.all() {
            let lives = plugin.live.as_ref().is_some_and(|live| live.package == digest);
            if lives && plugin.state == State::Enabled {
                self.disable_plugin(caller, plugin.name.as_str()).await?;
                disabled.push(plugin.name.to_string());
            }
        }
        Ok(json!({ "digest": digest, "reason": reason, "disabled": disabled }))
    }

    /// Lets the package `digest` be again. What was disabled stays so until it is enabled.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`].
    pub async fn unblock_package(&self, caller: &Caller, digest: &str) -> Result<(), EngineError> {
        self.set_blocked(caller, digest, "", false).await.map(|_| ())
    }

    async fn set_blocked(
        &self,
        caller: &Caller,
        digest: &str,
        reason: &str,
        active: bool,
    ) -> Result<Digest, EngineError> {
        caller.everywhere(Act::Admin)?;
        let digest: Digest = digest
            .parse()
            .map_err(|e: rapport_model::id::InvalidDigest| EngineError::invalid("/digest", e.to_string()))?;
        if reason.chars().count() > 500 || reason.chars().any(char::is_control) {
            return Err(EngineError::invalid("/reason", "a reason is a line of 500 characters at most"));
        }
        let _one = self.inner.activating.lock().await;
        let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
        unit.puts = vec![self.inner.blocked_put(&digest, reason, active)];
        self.inner.commit_plugins(caller, unit).await?;
        Ok(digest)
    }

    /// The packages that are blocked.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn blocked_packages(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let known: Arc<_> = self.inner.plugins.blocked.load_full();
        let active = known.iter().filter(|(_, blocked)| blocked.active);
        Ok(active.map(|(digest, blocked)| json!({ "digest": digest, "reason": blocked.reason })).collect())
    }
}
