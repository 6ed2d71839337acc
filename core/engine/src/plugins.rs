//! Plugins that came in packages: what they asked for, what was granted, and whether they may run.
//!
//! ```text
//! install ─▶ waiting ──grant──▶ enabled ◀──enable── disabled
//!               ▲                │  ▲  └──disable──────▲
//!               │                │  └─ upgrade that asks for no more; rollback
//!               │                └──── upgrade that asks for more: pending beside it, until granted
//!               └──install────── uninstalled ◀──uninstall── (any)
//! ```
//! Each is a record of the system object `plugin`, written in the same commit as what it says is live. The grant is a list of
//! items ([`Asked`]), bound to the publisher and the publisher's key; what goes live passes [`Inner::may_go_live`], and each host
//! call of a slice passes [`Installed::refusal`]. Plugins in a folder that the operator named have no record: who put them there
//! has granted what they ask for.

mod bring;
mod grant;
mod install;
mod migration;
mod record;
mod report;
mod steer;
mod trust;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use rapport_model::automation::{Capability, Need};
use rapport_model::plugin::Asked;
use rapport_model::{AutomationId, Digest, RecordId, Run, Timestamp};
use rapport_package::PublicKey;
use rapport_sandbox::HostError;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::engine::Inner;
use crate::error::EngineError;
use crate::gate::allows;
use crate::registry::{AutomationKind, Version};

use migration::Migration;

pub use grant::Grant;
pub use install::InstallOptions;
pub(crate) use migration::{
    MIGRATING, judge as judge_slice, keep as keep_migrating, move_alone, release_late, slice_in,
};
pub use report::package_report;
pub use steer::MovedData;

/// The code of a run that is held back because its plugin was disabled.
pub(crate) const DISABLED: &str = "plugin_disabled";

/// Where a plugin stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing of it runs before it is granted.
    Waiting,
    /// Its live version runs.
    Enabled,
    /// Nothing of it runs until it is enabled.
    Disabled,
    /// It is gone; its data is not.
    Uninstalled,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Uninstalled => "uninstalled",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Enabled, Self::Disabled, Self::Uninstalled].into_iter().find(|s| s.as_str() == text)
    }
}

/// One version of a plugin that came in a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// The version in its manifest.
    pub(crate) version: String,
    /// The version of the automation: content and settings.
    pub(crate) digest: Digest,
    /// The package.
    pub(crate) package: Digest,
    /// What it asks for.
    pub(crate) asked: Asked,
    /// The key that signed it; none: unsigned.
    pub(crate) key: Option<PublicKey>,
}

/// A plugin as its record keeps it.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) record: RecordId,
    pub(crate) name: AutomationId,
    pub(crate) state: State,
    pub(crate) publisher: String,
    pub(crate) live: Option<Packed>,
    pub(crate) before: Option<Packed>,
    pub(crate) pending: Option<Packed>,
    pub(crate) granted: Asked,
    pub(crate) declined: Asked,
    pub(crate) granted_by: String,
    pub(crate) granted_at: Option<Timestamp>,
    /// What moves its data from version to version, or has moved them last.
    migration: Option<Migration>,
    /// The rights among what was granted.
    rights: Vec<Capability>,
    /// Set at once when it is disabled: slices that hold this end at their next host call.
    stopped: AtomicBool,
    /// How many of its runs are worked on: the same for all that is known of it in the course of time.
    at_work: Arc<AtomicUsize>,
}

/// A run of a plugin that is worked on, until this is dropped.
#[derive(Debug)]
pub(crate) struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Installed {
    /// Says that a run of it is worked on from now on. Who looks later whether it is held back, and is told no, is waited for by a
    /// migration.
    pub(crate) fn works(&self) -> AtWork {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        AtWork(self.at_work.clone())
    }

    /// What `version` asks for beyond what was decided on.
    pub(crate) fn undecided(&self, version: &Packed) -> Vec<String> {
        let more = version.asked.beyond(&self.granted);
        let declined: Vec<&str> = self.declined.items().collect();
        more.into_iter().filter(|item| !declined.contains(&item.as_str())).collect()
    }

    /// Why a host call that needs `need` is refused, if it is.
    pub(crate) fn refusal(&self, need: Need<'_>) -> Option<HostError> {
        if self.is_stopped() {
            let message = format!("the plugin `{}` is {}", self.name, self.state.as_str());
            return Some(HostError { code: DISABLED.into(), message, retryable: true, ends_slice: true });
        }
        if allows(&self.rights, need) {
            return None;
        }
        let right = need.as_capability();
        let message = format!("`{}` may not use `{right}`: it was not granted", self.name);
        Some(HostError { code: "not_granted".into(), message, retryable: false, ends_slice: true })
    }

    /// Whether no slice of it may go on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// All plugins that came in packages, the keys of their publishers, and what is blocked.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    known: ArcSwap<HashMap<AutomationId, Arc<Installed>>>,
    publishers: ArcSwap<BTreeMap<String, Publisher>>,
    /// Packages that must not run, with the reason and the record.
    blocked: ArcSwap<BTreeMap<Digest, Blocked>>,
    /// Told when there is something to do for a migration.
    migrates: Notify,
    /// Held while a migration is moved on, with all that follows from it.
    driven: tokio::sync::Mutex<()>,
}

/// A publisher whose key is known.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    pub(crate) record: RecordId,
    pub(crate) key: PublicKey,
    /// Whether an admin has looked at the key.
    pub(crate) trusted: bool,
}

/// A package that must not run.
#[derive(Debug, Clone)]
pub(crate) struct Blocked {
    pub(crate) record: RecordId,
    pub(crate) reason: String,
    pub(crate) active: bool,
}

impl Plugins {
    /// The plugin `id`, if it came in a package.
    pub(crate) fn find(&self, id: &AutomationId) -> Option<Arc<Installed>> {
        self.known.load().get(id).cloned()
    }

    /// All plugins that came in packages, as they are known now.
    pub(crate) fn known(&self) -> Arc<HashMap<AutomationId, Arc<Installed>>> {
        self.known.load_full()
    }

    /// The plugins in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Installed>> {
        let mut all: Vec<_> = self.known.load().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The plugin `id`, unless it was uninstalled.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub(crate) fn installed(&self, id: &str) -> Result<Arc<Installed>, EngineError> {
        let found = AutomationId::new(id).ok().and_then(|id| self.find(&id));
        let found = found.filter(|plugin| plugin.state != State::Uninstalled);
        found.ok_or_else(|| EngineError::not_found(format!("plugin `{id}` that came in a package")))
    }

    /// Whether nothing of `id` may run, and why.
    pub(crate) fn held(&self, id: &AutomationId) -> Option<String> {
        let plugin = self.find(id)?;
        plugin.is_stopped().then(|| format!("the plugin `{id}` is {}", plugin.state.as_str()))
    }

    /// Why `run` may not go on at present, as a code and a sentence: its plugin is switched off, or moves its data.
    pub(crate) fn holds_back(&self, run: &Run) -> Option<(&'static str, String)> {
        let plugin = self.find(&run.automation)?;
        if plugin.is_stopped() {
            return Some((DISABLED, format!("the plugin `{}` is {}", plugin.name, plugin.state.as_str())));
        }
        let own = plugin.migration.as_ref().is_some_and(|migration| migration.is_slice(run));
        plugin.migrating().filter(|_| !own).map(|why| (MIGRATING, why))
    }

    fn stop(plugin: &Installed) {
        plugin.stopped.store(true, Ordering::SeqCst);
    }

    fn go_on(plugin: &Installed) {
        plugin.stopped.store(false, Ordering::SeqCst);
    }
}

impl Inner {
    /// Passes if `version` may become live: a plugin that came in a package must be enabled, granted and not blocked.
    ///
    /// # Errors
    /// [`EngineError::GrantNeeded`], [`EngineError::Untrusted`], [`EngineError::Conflict`].
    pub(crate) async fn may_go_live(&self, version: &Version) -> Result<(), EngineError> {
        if version.kind != AutomationKind::Plugin {
            return Ok(());
        }
        let Some(plugin) = self.plugins.find(&version.id) else { return Ok(()) };
        match plugin.state {
            State::Uninstalled => {
                let why = format!("the plugin `{}` was uninstalled: install its package", version.id);
                return Err(EngineError::Conflict(why));
            }
            State::Disabled => {
                let why = format!("the plugin `{0}` is disabled: `rapport plugin enable {0}`", version.id);
                return Err(EngineError::Conflict(why));
            }
            State::Waiting | State::Enabled => {}
        }
        let package = self.package_of(&version.content).await?;
        self.refuse_blocked(&package)?;
        plugin.refuse_past_migration(version, &package)?;
        let asked = Asked::of(&version.declaration);
        let key = plugin.live.as_ref().and_then(|live| live.key);
        let packed = Packed { version: String::new(), digest: version.digest, package, asked, key };
        let more = plugin.undecided(&packed);
        if more.is_empty() {
            return Ok(());
        }
        Err(EngineError::GrantNeeded { plugin: version.id.clone(), more })
    }

    /// Passes if no package of the plugin `id` is installed: what lies in a folder does not take its place.
    ///
    /// # Errors
    /// [`EngineError::Conflict`].
    pub(crate) fn refuse_packed(&self, id: &AutomationId) -> Result<(), EngineError> {
        match self.plugins.find(id).filter(|plugin| plugin.state != State::Uninstalled) {
            None => Ok(()),
            Some(plugin) => Err(EngineError::Conflict(format!(
                "the plugin `{id}` is installed from a package of `{}`: uninstall it first",
                plugin.publisher
            ))),
        }
    }

    /// The digest of the package that holds this content.
    pub(crate) async fn package_of(&self, content: &Digest) -> Result<Digest, EngineError> {
        let missing = || EngineError::not_found(format!("content {}", content.short()));
        let artifact = self.store.artifact(content).await?.ok_or_else(missing)?;
        let package = rapport_package::Package::from_tar(&artifact.bytes);
        Ok(package.map_err(|e| EngineError::Package(e.to_string()))?.digest())
    }
}
