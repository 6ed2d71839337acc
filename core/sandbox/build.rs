//! Builds the interpreter (`core/interpreter`) for `wasm32-wasip2` and tells the crate where it lies.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";

fn main() -> ExitCode {
    match build() {
        Ok(component) => {
            println!("cargo::rustc-env=RAPPORT_INTERPRETER={}", component.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = here.parent().and_then(Path::parent).ok_or("the crate does not lie in core/ of the workspace")?;
    for watched in ["core/interpreter/src", "core/interpreter/Cargo.toml", "core/model/src/nearest.rs", "sdk/wit"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    // A target folder of its own: this cargo runs while the outer one holds the lock of the usual folder.
    let target = PathBuf::from(variable("OUT_DIR")?).join("guest");
    check_target()?;
    run_cargo(workspace, &target)?;
    Ok(target.join(TARGET).join("guest").join("rapport_interpreter.wasm"))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}

/// The sysroot tells whether the target's standard library is there, whoever installed it.
fn check_target() -> Result<(), String> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "sysroot"]).output().map_err(|e| format!("rustc: {e}"))?;
    let sysroot = String::from_utf8_lossy(&asked.stdout);
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
    if library.is_dir() {
        return Ok(());
    }
    Err(format!("the target {TARGET}, which scripts run on, is not installed: run `rustup target add {TARGET}`"))
}

fn run_cargo(workspace: &Path, target: &Path) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--profile", "guest", "--package", "rapport-interpreter", "--target", TARGET, "--target-dir"])
        .arg(target)
        .args(["--manifest-path"])
        .arg(workspace.join("Cargo.toml"));
    // What the outer cargo says about the host's build is not meant for the guest's.
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let leaks = text.starts_with("CARGO_") && !matches!(text, "CARGO_HOME" | "CARGO_NET_OFFLINE");
        let tool = matches!(text, "RUSTFLAGS" | "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER" | "CLIPPY_ARGS" | "RUSTC");
        if leaks || tool || text.starts_with("DEP_") {
            cargo.env_remove(&name);
        }
    }
    // Rhai's hashes are seeded when it is compiled: fixed, so that one source makes one interpreter.
    cargo.env("CONST_RANDOM_SEED", "rapport");
    let done = cargo.output().map_err(|e| format!("cargo could not be started: {e}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let tail: Vec<_> = said.lines().rev().take(40).collect();
    let tail: Vec<_> = tail.into_iter().rev().collect();
    Err(format!("the interpreter could not be built: {}", tail.join(" | ")))
}
