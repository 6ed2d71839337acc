//! `rapport plugin`: builds, checks and tests plugins without a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use rapport_sandbox::author::{self, Package};
use rapport_sandbox::{Sandbox, SandboxError};
use serde_json::{Value as Json, json};

use super::script::offline_sandbox;
use super::{Common, Failure, Outcome, block_on, test};

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Builds the plugin in a folder, checks it, and leaves `<id>.wasm` beside its manifest.
    Build {
        /// The folder with `plugin.toml`.
        dir: PathBuf,
    },
    /// Checks a plugin: its manifest, what its component imports, and that it declares no more than the manifest.
    Check {
        /// The folder with `plugin.toml`.
        dir: PathBuf,
    },
    /// Plays the scenarios of a built plugin: `<id>.test.json` and `<id>.test/*.json` in its folder. Needs no server.
    Test {
        /// The folder with `plugin.toml`.
        dir: PathBuf,
        #[command(flatten)]
        options: test::Options,
    },
}

pub(super) fn run(common: &Common, command: &PluginCommand) -> Outcome {
    if let PluginCommand::Test { dir, options } = command {
        return test::plugin(common, dir, *options);
    }
    let (sandbox, _place) = offline_sandbox(common)?;
    let (built, dir) = match command {
        PluginCommand::Build { dir } => (Some(build(dir)?), dir),
        PluginCommand::Check { dir } | PluginCommand::Test { dir, .. } => (None, dir),
    };
    let limit = common.load(crate::config::Flags::default())?.config.limits.component_bytes_max;
    let mut report = block_on(check(&sandbox, dir, limit))?.map_err(|e| failed(&e))?;
    report["component"] = built.map(|b| b.display().to_string()).into();
    common.output().show(&report, people);
    Ok(ExitCode::SUCCESS)
}

/// Builds the plugin in `dir`; gives the path of the component beside the manifest.
fn build(dir: &Path) -> Result<PathBuf, Failure> {
    let manifest = author::read_manifest(dir).map_err(|e| failed(&e))?;
    let component = author::build_plugin(dir).map_err(|e| failed(&e))?;
    let place = dir.join(format!("{}.wasm", manifest.id));
    // A server that watches the folder must never see half a component.
    let beside = dir.join(format!(".{}.wasm.new", manifest.id));
    fs::copy(&component, &beside)?;
    fs::rename(&beside, &place)?;
    Ok(place)
}

async fn check(sandbox: &Sandbox, dir: &Path, component_bytes_max: usize) -> Result<Json, SandboxError> {
    let package = Package::read(dir, component_bytes_max)?;
    let program = author::check_component(sandbox, &package.component, &package.manifest).await?;
    let manifest = &package.manifest;
    Ok(json!({
        "id": manifest.id,
        "version": manifest.version,
        "api": manifest.api,
        "publisher": manifest.publisher,
        "digest": program.digest(),
        "bytes": package.component.len(),
        "capabilities": manifest.reasons.iter().map(|(c, why)| json!({"capability": c, "reason": why})).collect::<Vec<_>>(),
    }))
}

fn failed(error: &SandboxError) -> Failure {
    Failure::Failed(error.to_string())
}

fn people(report: &Json) -> String {
    let text = |name: &str| report[name].as_str().unwrap_or_default();
    let mut lines = vec![format!("{} {}: ok, {} bytes", text("id"), text("version"), report["bytes"])];
    for ask in report["capabilities"].as_array().map_or(&[][..], Vec::as_slice) {
        let part = |name: &str| ask[name].as_str().unwrap_or_default();
        lines.push(format!("  {}  {}", part("capability"), part("reason")));
    }
    if let Some(component) = report["component"].as_str() {
        lines.push(format!("built: {component}"));
    }
    crate::output::plain(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checked_plugin_shows_what_it_asks_for_and_why() {
        let report = json!({"id": "tiers", "version": "0.1.0", "bytes": 7, "component": null,
            "capabilities": [{"capability": "customer.tier:write", "reason": "sets the tier"}]});
        assert_eq!(people(&report), "tiers 0.1.0: ok, 7 bytes\n  customer.tier:write  sets the tier");
    }
}
