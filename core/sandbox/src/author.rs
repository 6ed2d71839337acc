//! What an author of a plugin needs: building it and checking it before it is handed on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::SandboxError;
use crate::manifest::Manifest;
use crate::sandbox::{Program, Sandbox};

/// The target that plugins are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// A folder with a plugin that can be loaded: `plugin.toml` and `<id>.wasm`.
#[derive(Debug, Clone)]
pub struct Package {
    /// What `plugin.toml` says.
    pub manifest: Manifest,
    /// The component.
    pub component: Vec<u8>,
}

impl Package {
    /// Reads the folder.
    ///
    /// # Errors
    /// [`SandboxError::File`] if one of the two is missing, [`SandboxError::Manifest`] if the manifest is not right,
    /// [`SandboxError::TooLarge`] if the component has more than `component_bytes_max` bytes.
    pub fn read(folder: &Path, component_bytes_max: usize) -> Result<Self, SandboxError> {
        let manifest = read_manifest(folder)?;
        let path = folder.join(format!("{}.wasm", manifest.id));
        let failed = |source| SandboxError::File { path: path.clone(), source };
        let bytes = usize::try_from(fs::metadata(&path).map_err(failed)?.len()).unwrap_or(usize::MAX);
        if bytes > component_bytes_max {
            let (what, max, limit) = ("the component", component_bytes_max, "component_bytes_max");
            return Err(SandboxError::TooLarge { what, bytes, max, limit });
        }
        Ok(Self { manifest, component: fs::read(&path).map_err(failed)? })
    }
}

/// Reads `plugin.toml` in `folder`, and the files that it names.
///
/// # Errors
/// [`SandboxError::File`] or [`SandboxError::Manifest`].
pub fn read_manifest(folder: &Path) -> Result<Manifest, SandboxError> {
    let path = folder.join("plugin.toml");
    let text = fs::read_to_string(&path).map_err(|source| SandboxError::File { path, source })?;
    // Names of files are checked before they are asked for: they lie below the folder.
    Manifest::read(&text, &|file| fs::read(folder.join(file)).ok())
}

/// Builds the Rust plugin in `folder` with cargo, small and fast, and returns the path of the component in cargo's target
/// folder. Copy it to `<id>.wasm` beside `plugin.toml` to make a package.
///
/// # Errors
/// [`SandboxError::Build`] with what cargo says, or with the command that adds a missing target.
pub fn build_plugin(folder: &Path) -> Result<PathBuf, SandboxError> {
    let failed = |why: String| SandboxError::Build(why);
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(folder)
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .envs([
            ("CARGO_PROFILE_RELEASE_LTO", "true"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
            ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
            ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
            ("CARGO_PROFILE_RELEASE_STRIP", "true"),
        ])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let done = cargo.output().map_err(|e| failed(format!("cargo could not be started: {e}")))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        if said.contains("target may not be installed") || said.contains("can't find crate for `core`") {
            return Err(failed(format!("the target is not installed: run `rustup target add {TARGET}`")));
        }
        return Err(failed(said.trim().to_owned()));
    }
    let said = String::from_utf8_lossy(&done.stdout);
    component_in(&said).ok_or_else(|| {
        failed("cargo built no component: write `crate-type = [\"cdylib\"]` under `[lib]` in Cargo.toml".into())
    })
}

/// The last `.wasm` file that cargo's messages name: that of the plugin itself, after its dependencies.
fn component_in(messages: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files = artifacts.flat_map(|a| a.get("filenames").and_then(|f| f.as_array().cloned()).unwrap_or_default());
    let paths = files.filter_map(|f| f.as_str().map(PathBuf::from));
    paths.filter(|p| p.extension().is_some_and(|e| e == "wasm")).reduce(|_, later| later)
}

/// Checks that a component fits its manifest, and makes it ready.
///
/// It must import nothing but what the world `rapport:plugin/imports@0.1.0` has, and export the roles that `plugin.toml` speaks of.
///
/// # Errors
/// [`SandboxError`] naming every export that is missing or not declared, or what is wrong with the component.
pub async fn check_component(sandbox: &Sandbox, bytes: &[u8], manifest: &Manifest) -> Result<Program, SandboxError> {
    let program = sandbox.load_component(bytes).await?;
    program.fits(&manifest.declaration)?;
    Ok(program)
}

#[cfg(test)]
mod tests;
