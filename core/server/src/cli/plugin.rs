//! `rapport plugin`: builds, checks, tests, packs and signs plugins without a server; installs and steers them on one.

mod dev;
mod install;
mod migrate;
mod new;
mod package;
mod show;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use rapport_sandbox::author::{self, Care, Package};
use rapport_sandbox::{Sandbox, SandboxError};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::script::offline_sandbox;
use super::{Common, Failure, Outcome, block_on, replay, test};
use crate::client::{Address, Call};

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Makes a folder with a new plugin, which builds and passes its test.
    New(new::NewArgs),
    /// Builds the plugin in a folder, checks it, and leaves `<id>.wasm` beside its manifest.
    Build {
        /// The folder with `plugin.toml`.
        dir: PathBuf,
    },
    /// Builds and tests a plugin again whenever a file of it is saved. A server with `serve --watch` takes up what is built.
    Dev {
        /// The folder with `plugin.toml`.
        dir: PathBuf,
        #[command(flatten)]
        options: test::Options,
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
    /// Plays a run again with a built plugin on this machine: each call is answered as it was then, and has no effect.
    Replay(replay::PluginArgs),
    /// Makes a key to sign packages with. Its secret half goes to a file that you alone can read, and nowhere else.
    Keygen {
        /// The file to write.
        #[arg(long, default_value = "publisher.key", value_name = "FILE")]
        out: PathBuf,
    },
    /// Packs a built plugin: one archive, the same bytes on every machine.
    Pack(package::PackArgs),
    /// Signs a package in the name of the publisher in its manifest.
    Sign(package::SignArgs),
    /// States that a new key follows an old one, signed by the old one.
    Rotate(package::RotateArgs),
    /// Shows what a package asks for and why, what data and hosts it touches, and who signed it.
    Inspect {
        /// The package.
        file: PathBuf,
    },
    /// Installs a package on a server. Nothing of it runs before it is granted.
    Install(install::InstallArgs),
    /// Takes in a later version. One that asks for more than was granted waits, and the version before runs on.
    Upgrade(migrate::UpgradeArgs),
    /// Grants what a plugin waits for.
    Grant(install::GrantArgs),
    /// Makes the version live that was live before the last upgrade.
    Rollback(migrate::RollbackArgs),
    /// Switches a plugin off at once: what works of it ends at its next host call and leaves nothing.
    Disable {
        /// The plugin.
        id: String,
    },
    /// Switches a plugin on again; what was held back goes on.
    Enable {
        /// The plugin.
        id: String,
    },
    /// Takes a plugin away with its grant. Say what becomes of its data.
    Uninstall(install::UninstallArgs),
    /// Never lets a package run; what is live of it is disabled at once.
    Block {
        /// Its digest, as `plugin inspect` shows it.
        digest: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Lets a blocked package be again.
    Unblock {
        /// Its digest.
        digest: String,
    },
    /// Says which key a publisher has, in place of the one that is known, and that you have looked at it.
    Trust {
        /// The publisher, as manifests name it.
        publisher: String,
        /// The public key.
        #[arg(long)]
        key: String,
    },
    /// Lists plugins.
    List,
    /// Shows a plugin that came in a package.
    Show {
        /// The plugin.
        id: String,
    },
}

pub(super) fn run(common: &Common, command: &PluginCommand) -> Outcome {
    match command {
        PluginCommand::Test { dir, options } => return test::plugin(common, dir, *options),
        PluginCommand::Replay(args) => return replay::plugin(common, args),
        PluginCommand::New(args) => new::run(common, args)?,
        PluginCommand::Dev { dir, options } => return dev::run(common, dir, *options),
        PluginCommand::Build { dir } => check_folder(common, dir, Some(build(dir, Care::Full)?))?,
        PluginCommand::Check { dir } => check_folder(common, dir, None)?,
        PluginCommand::Keygen { out } => package::keygen(common, out)?,
        PluginCommand::Pack(args) => package::pack(common, args)?,
        PluginCommand::Sign(args) => package::sign(common, args)?,
        PluginCommand::Rotate(args) => package::rotate(common, args)?,
        PluginCommand::Inspect { file } => package::inspect(common, file)?,
        PluginCommand::Install(args) => install::take_in(common, args, install::Coming::First)?,
        PluginCommand::Upgrade(args) => migrate::upgrade(common, args)?,
        PluginCommand::Rollback(args) => migrate::roll_back(common, args)?,
        PluginCommand::Grant(args) => install::grant(common, args)?,
        PluginCommand::Uninstall(args) => install::uninstall(common, args)?,
        steer => on_server(common, steer)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands that are one request.
fn on_server(common: &Common, command: &PluginCommand) -> Result<(), Failure> {
    let client = common.client()?;
    let act = |id: &str, verb: &str| client.post(&Address::of(&["v1", "plugins", id, verb]).text(), &json!({}));
    let put = |address: Address, body: &Json| {
        let body = body.to_string();
        let call =
            Call { path: address.text(), body: Some(body.as_bytes()), media: "application/json", ..Call::default() };
        client.json(&Method::PUT, &call)
    };
    match command {
        PluginCommand::Disable { id } => common.output().show(&act(id, "disable")?, show::plugin),
        PluginCommand::Enable { id } => common.output().show(&act(id, "enable")?, show::plugin),
        PluginCommand::Show { id } => {
            common.output().show(&client.get(&Address::of(&["v1", "plugins", id]).text())?, show::plugin);
        }
        PluginCommand::Block { digest, reason } => {
            let address = Address::of(&["v1", "blocked-packages", digest]);
            common.output().one(&put(address, &json!({ "reason": reason }))?);
        }
        PluginCommand::Unblock { digest } => {
            client.delete(&Address::of(&["v1", "blocked-packages", digest]).text())?;
            common.output().show(&json!({ "unblocked": digest }), |_| format!("not blocked: {digest}"));
        }
        PluginCommand::Trust { publisher, key } => {
            common.output().one(&put(Address::of(&["v1", "publishers", publisher]), &json!({ "key": key }))?);
        }
        _ => {
            let columns = ["id", "state", "version", "publisher", "trust", "source", "pending.version"];
            common.output().list(&client.get("/v1/plugins")?, &columns);
        }
    }
    Ok(())
}

fn check_folder(common: &Common, dir: &Path, built: Option<PathBuf>) -> Result<(), Failure> {
    let (sandbox, _place) = offline_sandbox(common)?;
    let limit = common.load(crate::config::Flags::default())?.config.limits.component_bytes_max;
    let mut report = block_on(check(&sandbox, dir, limit))?.map_err(|e| failed(&e))?;
    report["component"] = built.map(|b| b.display().to_string()).into();
    common.output().show(&report, people);
    Ok(())
}

/// Builds the plugin in `dir`; gives the path of the component beside the manifest.
fn build(dir: &Path, care: Care) -> Result<PathBuf, Failure> {
    let manifest = author::read_manifest(dir).map_err(|e| failed(&e))?;
    let component = author::build_plugin(dir, care).map_err(|e| failed(&e))?;
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
