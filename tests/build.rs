//! Builds the first-party plugins and examples of the SDK for `wasm32-wasip2`, so that stories can install them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";
/// The first-party plugins.
const PLUGINS: [&str; 4] = ["desk", "loyalty", "survey", "tiers"];

fn main() -> ExitCode {
    match build() {
        Ok(built) => {
            println!("cargo::rustc-env=TIERS_COMPONENT={}", built.join("rapport_plugin_tiers.wasm").display());
            println!("cargo::rustc-env=LOYALTY_COMPONENT={}", built.join("rapport_plugin_loyalty.wasm").display());
            println!("cargo::rustc-env=DESK_COMPONENT={}", built.join("rapport_plugin_desk.wasm").display());
            println!("cargo::rustc-env=SURVEY_COMPONENT={}", built.join("rapport_plugin_survey.wasm").display());
            println!("cargo::rustc-env=PATIENT_COMPONENT={}", built.join("examples/patient.wasm").display());
            println!("cargo::rustc-env=CLAIMANT_COMPONENT={}", built.join("examples/claimant.wasm").display());
            println!("cargo::rustc-env=CALLER_COMPONENT={}", built.join("examples/caller.wasm").display());
            println!("cargo::rustc-env=KIOSK_COMPONENT={}", built.join("examples/kiosk.wasm").display());
            println!("cargo::rustc-env=KEEPER_COMPONENT={}", built.join("examples/keeper.wasm").display());
            println!("cargo::rustc-env=MOVER_COMPONENT={}", built.join("examples/mover.wasm").display());
            println!("cargo::rustc-env=TELLER_COMPONENT={}", built.join("examples/teller.wasm").display());
            println!("cargo::rustc-env=TILL_COMPONENT={}", built.join("examples/till.wasm").display());
            println!("cargo::rustc-env=WARDEN_COMPONENT={}", built.join("examples/warden.wasm").display());
            println!("cargo::rustc-env=TICKER_COMPONENT={}", built.join("examples/ticker.wasm").display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<PathBuf, String> {
    // Asked when it runs: a clone that shares the target folder shares this program, too.
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let root = here.parent().ok_or("tests/ lies in the workspace")?;
    println!("cargo::rerun-if-changed=build.rs");
    for plugin in PLUGINS {
        for watched in ["src", "Cargo.toml"] {
            println!("cargo::rerun-if-changed={}", root.join("plugins").join(plugin).join(watched).display());
        }
    }
    for watched in ["sdk/rust", "sdk/wit"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    // A target folder of its own: this cargo runs while the outer one holds the lock of the usual folder.
    let target = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?).join("guest");
    let examples = ["keeper", "kiosk", "mover", "patient", "caller", "claimant", "teller", "ticker", "till", "warden"]
        .into_iter()
        .flat_map(|name| ["--example", name]);
    let sdk: Vec<&str> = std::iter::once("rapport-sdk").chain(examples).collect();
    for plugin in PLUGINS {
        build_guest(root, &target, &[&format!("rapport-plugin-{plugin}")])?;
    }
    build_guest(root, &target, &sdk)?;
    Ok(target.join(TARGET).join("guest"))
}

/// Builds one guest: a package, or a part of one.
fn build_guest(root: &Path, target: &Path, package: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(env::var("CARGO").map_err(|e| e.to_string())?);
    // What the outer cargo says about the host's build is not meant for the guest's.
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let leaks = text.starts_with("CARGO_") && !matches!(text, "CARGO_HOME" | "CARGO_NET_OFFLINE");
        if leaks || text.starts_with("RUSTC") || text.starts_with("DEP_") || matches!(text, "RUSTFLAGS" | "CLIPPY_ARGS")
        {
            cargo.env_remove(&name);
        }
    }
    cargo.current_dir(root).args(["build", "--profile", "guest", "--target", TARGET, "--target-dir"]).arg(target);
    let done = cargo.arg("--package").args(package).output();
    let done = done.map_err(|e| format!("cargo could not be started: {e}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).replace('\n', " | ");
    let hint = format!("is {TARGET} installed? `rustup target add {TARGET}`");
    Err(format!("{} could not be built ({hint}): {said}", package.join(" ")))
}
