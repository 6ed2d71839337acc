//! `rapport plugin`: builds and checks plugins without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Common, Outcome};

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Builds the plugin in a folder; leaves `<id>.wasm` beside its manifest.
    Build {
        /// The folder with `plugin.toml`.
        dir: PathBuf,
    },
    /// Checks a plugin: its manifest, what its component imports, and that it declares no more than the manifest.
    Check {
        /// The folder with `plugin.toml`.
        dir: PathBuf,
    },
}
pub(super) fn run(_common: &Common, _command: &PluginCommand) -> Outcome { Ok(ExitCode::SUCCESS) }
