//! Builds the first-party plugin for `wasm32-wasip2`, so that stories can install it.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";

fn main() -> ExitCode {
    match build() {
        Ok(component) => {
            println!("cargo::rustc-env=TIERS_COMPONENT={}", component.display());
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
    for watched in ["plugins/tiers/src", "plugins/tiers/Cargo.toml", "sdk/rust/src", "sdk/rust/Cargo.toml", "sdk/wit"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    // A target folder of its own: this cargo runs while the outer one holds the lock of the usual folder.
    let target = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?).join("guest");
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
    cargo.current_dir(root).args([
        "build",
        "--profile",
        "guest",
        "--package",
        "rapport-plugin-tiers",
        "--target",
        TARGET,
    ]);
    let done =
        cargo.arg("--target-dir").arg(&target).output().map_err(|e| format!("cargo could not be started: {e}"))?;
    if done.status.success() {
        return Ok(target.join(TARGET).join("guest/rapport_plugin_tiers.wasm"));
    }
    let said = String::from_utf8_lossy(&done.stderr).replace('\n', " | ");
    Err(format!("plugins/tiers could not be built (is {TARGET} installed? `rustup target add {TARGET}`): {said}"))
}
