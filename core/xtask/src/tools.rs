//! The tools that the tasks need beside cargo, and how a machine gets them.

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, command, output, run, succeeds};

/// The target that guests are built for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// Adds the guest target to the toolchain in use, if it is missing.
///
/// # Errors
/// If it is missing and cannot be added, with the line to type.
pub(crate) fn ensure_guest_target() -> Result<()> {
    let library = output(command("rustc").args(["--print", "target-libdir", "--target", GUEST_TARGET]))?;
    if std::path::Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    println!("adding the target {GUEST_TARGET}");
    run(command("rustup").args(["target", "add", GUEST_TARGET])).with_context(|| {
        format!("the target {GUEST_TARGET} is missing: install it with `rustup target add {GUEST_TARGET}`")
    })
}

/// Whether `cargo NAME` exists.
pub(crate) fn has_cargo_tool(name: &str) -> bool {
    succeeds(cargo().args([name, "--version"]))
}

/// Whether this runs in continuous integration, where what is missing is a failure and never left out.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|v| v == "true" || v == "1")
}

/// Whether `cargo NAME` exists; where it must (in CI), its absence is an error.
///
/// # Errors
/// In CI, if it is missing.
pub(crate) fn wanted_cargo_tool(name: &str) -> Result<bool> {
    if has_cargo_tool(name) {
        return Ok(true);
    }
    if in_ci() {
        bail!("cargo-{name} is missing: .ci/run installs it");
    }
    println!("cargo-{name} is not installed: see .ci/run for a quick way to get it");
    Ok(false)
}
