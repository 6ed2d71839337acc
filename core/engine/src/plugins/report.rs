//! What is told of a package before anybody says yes to it, and of a plugin after.

use std::collections::BTreeSet;

use rapport_model::plugin::Asked;
use rapport_model::{AutomationId, Capability, Declaration};
use rapport_package::Package;
use rapport_sandbox::Manifest;
use serde_json::{Value as Json, json};

use super::migration::Migration;
use super::{Installed, Packed};
use crate::bundle::Bundle;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::registry::{AutomationKind, Version};
use crate::routes;

/// Everything that a package says of itself: who made it, what it asks for and why, what it adds, and what it touches.
///
/// # Errors
/// [`EngineError::Package`] or [`EngineError::Plugin`] if its content is not that of a plugin.
pub fn package_report(package: &Package) -> Result<Json, EngineError> {
    let bundle = Bundle::of_package(package)?;
    let mut report = manifest_report(&bundle.manifest);
    let signature = package.signature();
    report["package"] = json!({
        "digest": package.digest(),
        "bytes": package.files().map(|(_, content)| content.len()).sum::<usize>(),
        "component_bytes": bundle.component.len(),
        "files": package.files().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        "signed_by": signature.map(|s| s.publisher.as_str()),
        "key": signature.map(|s| s.key),
        "earlier_keys": signature.map(|s| s.rotations.iter().map(|r| r.from).collect::<Vec<_>>()),
    });
    Ok(report)
}

fn manifest_report(manifest: &Manifest) -> Json {
    let d = &manifest.declaration;
    let asked = Asked::of(d);
    let rights = manifest.reasons.iter().map(|(right, reason)| json!({ "right": right, "reason": reason }));
    json!({
        "id": manifest.id,
        "version": manifest.version,
        "api": manifest.api,
        "publisher": manifest.publisher,
        "title": d.title,
        "description": manifest.description,
        "rights": rights.collect::<Vec<_>>(),
        "touches": touches(d),
        "asked": asked.items().collect::<Vec<_>>(),
        "asked_digest": asked.digest(),
        "budgets": d.budgets,
        "settings": d.settings.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
        "migrations": d.migrations,
        "texts": d.texts,
    })
}

/// The data that it reads and changes, and the ways out of the workspace that it uses.
fn touches(declaration: &Declaration) -> Json {
    let mut found: [BTreeSet<String>; 6] = Default::default();
    for right in declaration.uses.iter().map(Capability::to_string) {
        let Some((resource, action)) = right.split_once(':') else { continue };
        let (place, what) = match (resource, action) {
            ("http", host) => (2, host),
            ("message", channel) => (3, channel),
            ("secret", name) => (4, name),
            ("emit" | "invoke" | "script", _) => (5, right.as_str()),
            (object, "read") => (0, object),
            (object, _) => (1, object),
        };
        found[place].insert(what.to_owned());
    }
    let [reads, writes, hosts, channels, secrets, others] = found;
    json!({ "reads": reads, "writes": writes, "hosts": hosts, "channels": channels, "secrets": secrets, "others": others })
}

impl Engine {
    /// What a package says of itself, and how it stands with this workspace: whether its key is known, whether it would be an
    /// upgrade, and what it asks for beyond what was granted. Changes nothing.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Package`], [`EngineError::Plugin`].
    pub fn inspect_package(&self, caller: &Caller, bytes: &[u8]) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let package = read(bytes)?;
        let mut report = package_report(&package)?;
        let bundle = Bundle::of_package(&package)?;
        let (manifest, key) = (&bundle.manifest, package.signature().map(|s| s.key));
        report["trust"] = self.inner.trust_of(&manifest.publisher, key).as_str().into();
        report["refused"] = self.inner.vet(&package, manifest, true).err().map(|e| e.to_string()).into();
        if let Some(plugin) = self.inner.plugins.find(&manifest.id) {
            let asked = Asked::of(&manifest.declaration);
            let (version, digest) = (manifest.version.to_string(), package.digest());
            let packed = Packed { version, digest, package: digest, asked, key };
            report["more"] = json!(plugin.undecided(&packed));
            report["installed"] = json!(plugin.live.as_ref().map(|live| live.version.as_str()));
        }
        Ok(report)
    }

    /// All plugins: those that came in packages, and those that the operator's folder holds.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn plugins(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let mut all: Vec<Json> = self.inner.plugins.all().iter().map(|plugin| self.inner.plugin_json(plugin)).collect();
        let live = self.inner.snapshot.load();
        let of_folders = live.active().iter().filter(|v| v.kind == AutomationKind::Plugin);
        for version in of_folders.filter(|v| self.inner.plugins.find(&v.id).is_none()) {
            all.push(self.inner.of_folder(version));
        }
        all.sort_by_key(|plugin| plugin["id"].to_string());
        Ok(all)
    }

    /// A plugin, with what it has used since the start, and the addresses that its live version answers.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub fn plugin(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        let missing = || EngineError::not_found(format!("plugin `{id}`"));
        let id = AutomationId::new(id).map_err(|_| missing())?;
        if let Some(found) = self.inner.plugins.find(&id) {
            return Ok(self.inner.plugin_json(&found));
        }
        let live = self.inner.snapshot.load();
        let version = live.version(&id).filter(|version| version.kind == AutomationKind::Plugin);
        Ok(self.inner.of_folder(version.ok_or_else(missing)?))
    }
}

impl Inner {
    /// A plugin that lies in the operator's folder, as callers see it.
    fn of_folder(&self, version: &Version) -> Json {
        let shown = json!({
            "id": version.id,
            "state": "enabled",
            "source": "folder",
            "digest": version.digest,
            "routes": routes::to_json(&version.id, &version.declaration, None),
        });
        self.with_usage(&version.id, shown)
    }

    /// A plugin as callers see it.
    pub(super) fn plugin_json(&self, plugin: &Installed) -> Json {
        let key = plugin.live.as_ref().or(plugin.pending.as_ref()).and_then(|packed| packed.key);
        let pending = plugin.pending.as_ref().map(|packed| {
            json!({
                "version": packed.version,
                "package": packed.package,
                "asked": packed.asked,
                "asked_digest": packed.asked.digest(),
                "more": plugin.undecided(packed),
            })
        });
        let shown = json!({
            "id": plugin.name,
            "state": plugin.state.as_str(),
            "source": "package",
            "publisher": plugin.publisher,
            "trust": self.trust_of(&plugin.publisher, key).as_str(),
            "key": key,
            "version": plugin.live.as_ref().map(|live| live.version.as_str()),
            "digest": plugin.live.as_ref().map(|live| live.digest),
            "package": plugin.live.as_ref().map(|live| live.package),
            "before": plugin.before.as_ref().map(|before| before.version.as_str()),
            "granted": plugin.granted,
            "declined": plugin.declined,
            "granted_by": plugin.granted_by,
            "granted_at": plugin.granted_at,
            "pending": pending,
            "migration": plugin.migration.as_ref().map(Migration::to_json),
            "routes": self.snapshot.load().version(&plugin.name).map(|version| {
                routes::to_json(&plugin.name, &version.declaration, Some(&plugin.granted))
            }),
        });
        self.with_usage(&plugin.name, shown)
    }
}

/// Reads an archive.
///
/// # Errors
/// [`EngineError::Package`].
pub(super) fn read(bytes: &[u8]) -> Result<Package, EngineError> {
    Package::read(bytes).map_err(|e| EngineError::Package(e.to_string()))
}
