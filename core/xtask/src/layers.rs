//! The layers of the architecture: which crate may know which.
//!
//! `server` → `engine` → `store`, `sandbox`, `package` → `model`; `store` and `sandbox` never see each other. Cargo keeps what the manifests
//! say; this holds the manifests to the plan, and the `use` lines to the manifests, and keeps the big libraries behind their fences.

use std::path::Path;

use anyhow::{Context, Result};

use crate::rules::{Violation, is_test_file};
use crate::source::{self, Kind};
use crate::workspace;

#[cfg(test)]
mod tests;

/// A crate and which of ours it may know.
struct Layer {
    folder: &'static str,
    knows: &'static [&'static str],
}

/// From the ground up. A crate that does not stand here may know none of ours.
const LAYERS: [Layer; 11] = [
    Layer { folder: "core/model", knows: &[] },
    Layer { folder: "core/store", knows: &["model"] },
    Layer { folder: "core/sandbox", knows: &["model"] },
    Layer { folder: "core/package", knows: &["model"] },
    Layer { folder: "core/engine", knows: &["model", "store", "sandbox", "package"] },
    Layer { folder: "core/server", knows: &["model", "store", "sandbox", "package", "engine"] },
    Layer { folder: "core/interpreter", knows: &[] },
    Layer { folder: "core/xtask", knows: &[] },
    Layer { folder: "sdk/rust", knows: &[] },
    Layer { folder: "tests/support", knows: &[] },
    Layer { folder: "tests", knows: &["model", "store", "sandbox", "package", "engine", "server"] },
];

/// A library and the folders that may use it.
struct Fence {
    library: &'static str,
    inside: &'static [&'static str],
}

/// The big libraries: who else pulls one in makes every build longer and blurs who owns the database, the sandbox and the wire.
const FENCES: [Fence; 5] = [
    Fence { library: "sqlx", inside: &["core/store", "core/xtask", "tests"] },
    Fence { library: "libsqlite3_sys", inside: &["core/store"] },
    Fence { library: "wasmtime", inside: &["core/sandbox"] },
    Fence { library: "axum", inside: &["core/server"] },
    Fence { library: "rhai", inside: &["core/interpreter"] },
];

/// Everything below `root` that goes against the layers.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn violations(root: &Path) -> Result<Vec<Violation>> {
    let read = |path: &Path| {
        std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut found = Vec::new();
    for path in
        workspace::files(root, "toml")?.into_iter().filter(|p| p.ends_with("Cargo.toml") && p.components().count() > 1)
    {
        found.extend(check_manifest(&path, &read(&path)?));
    }
    for path in workspace::files(root, "rs")? {
        found.extend(check_source(&path, &read(&path)?));
    }
    Ok(found)
}

/// The crate that `path` belongs to.
fn layer_of(path: &Path) -> Option<&'static Layer> {
    LAYERS.iter().filter(|l| path.starts_with(l.folder)).max_by_key(|l| l.folder.len())
}

/// What is wrong about `path` knowing the crate or library `name` (with underscores), if anything.
fn refusal(path: &Path, name: &str) -> Option<String> {
    if let Some(fence) = FENCES.iter().find(|f| f.library == name) {
        let inside = fence.inside.iter().any(|folder| path.starts_with(folder));
        return (!inside).then(|| format!("`{name}` is fenced in {}", fence.inside.join(", ")));
    }
    let ours = name.strip_prefix("rapport_")?;
    let free = matches!(ours, "sdk" | "test_support") || ours.starts_with("plugin_");
    let layer = layer_of(path);
    let own = layer.is_some_and(|l| l.folder.rsplit('/').next() == Some(ours));
    if free || own || layer.is_some_and(|l| l.knows.contains(&ours)) {
        return None;
    }
    let folder = layer.map_or_else(|| path.display().to_string(), |l| l.folder.to_owned());
    Some(format!("{folder} must not know `rapport-{ours}`: imports go downward only"))
}

/// What one manifest depends on against the plan. Dependencies of tests may look further, but not over a fence.
fn check_manifest(path: &Path, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut section = String::new();
    for (i, line) in text.lines().map(str::trim).enumerate() {
        let mut name = "";
        if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').clone_into(&mut section);
            name = section.split_once("dependencies.").map_or("", |(_, name)| name);
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        }
        let name = name.replace('-', "_");
        let of_ours_in_tests = section.starts_with("dev-dependencies") && name.starts_with("rapport_");
        if let Some(message) = refusal(path, &name).filter(|_| !of_ours_in_tests) {
            found.push(Violation { path: path.to_path_buf(), line: i + 1, message });
        }
    }
    found
}

/// What one source file names against the plan. Tests may name more.
fn check_source(path: &Path, text: &str) -> Vec<Violation> {
    if is_test_file(path) && !path.starts_with("tests") {
        return Vec::new();
    }
    let production = source::production(&source::tokens(text));
    let code: Vec<_> = production.into_iter().filter(|t| t.kind != Kind::Comment).collect();
    let paths = code.iter().enumerate().filter(|(i, token)| {
        let is = |at: Option<usize>, text: &str| at.and_then(|n| code.get(n)).is_some_and(|t| t.is(text));
        let follows = is(i.checked_sub(1), ":") && is(i.checked_sub(2), ":") || is(i.checked_sub(1), ".");
        let imported = is(i.checked_sub(1), "use") || is(i.checked_sub(1), "crate") && is(i.checked_sub(2), "extern");
        token.kind == Kind::Word && (imported || !follows && is(Some(i + 1), ":") && is(Some(i + 2), ":"))
    });
    paths
        .filter_map(|(_, token)| Some((token.line, refusal(path, token.text)?)))
        .map(|(line, message)| Violation { path: path.to_path_buf(), line, message })
        .collect()
}
