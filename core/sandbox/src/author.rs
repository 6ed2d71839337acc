//! What an author of a plugin needs: building it and checking it before it is handed on.

use std::fs;
use std::path::Path;

use crate::error::SandboxError;
use crate::manifest::Manifest;
use crate::sandbox::{Program, Sandbox};

mod build;

pub use build::{Care, build_plugin};

/// The target that plugins in Rust are compiled for.
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
