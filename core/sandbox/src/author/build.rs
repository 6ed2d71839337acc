//! Building plugins: the language is seen by what lies in the folder, its own tools do the work.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{TARGET, read_manifest};
use crate::error::SandboxError;
use crate::manifest::Manifest;
use crate::work::Role;

/// The contract, for languages whose tools read it.
const CONTRACT: [(&str, &str); 4] = [
    ("rapport.wit", include_str!("../../../../sdk/wit/0.1/rapport.wit")),
    ("surroundings.wit", include_str!("../../../../sdk/wit/0.1/surroundings.wit")),
    ("roles.wit", include_str!("../../../../sdk/wit/0.1/roles.wit")),
    ("worlds.wit", include_str!("../../../../sdk/wit/0.1/worlds.wit")),
];
/// Where a build of another language than Rust leaves its component.
const COMPONENT: &str = "target/plugin.wasm";

/// How much a build takes care of the component that it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Small and fast, as it is handed on.
    Full,
    /// Made quickly, while its author works on it. Makes a difference in Rust alone.
    Quick,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust,
    TypeScript,
    Python,
}

impl Language {
    /// By the file with which its tools begin.
    fn of(folder: &Path) -> Option<Self> {
        let files =
            [("Cargo.toml", Self::Rust), ("package.json", Self::TypeScript), ("requirements.txt", Self::Python)];
        files.into_iter().find(|(file, _)| folder.join(file).is_file()).map(|(_, language)| language)
    }
}

/// Builds the plugin in `folder` and returns the path of the component. Copy it to `<id>.wasm` beside `plugin.toml` to make a package.
///
/// With `Cargo.toml` it is built by cargo. With `package.json` by `npm run build`, after `npm install` if there are no `node_modules`;
/// with `requirements.txt` by componentize-py from `plugin.py`, in a `.venv` that is made if it is missing. For both the folder `wit` is
/// written before: the contract, and the world `plugin` with the roles that `plugin.toml` speaks of.
///
/// # Errors
/// [`SandboxError::Build`] with what the tools say, or with the command that brings what is missing; [`SandboxError::Manifest`].
pub fn build_plugin(folder: &Path, care: Care) -> Result<PathBuf, SandboxError> {
    match Language::of(folder) {
        Some(Language::Rust) => with_cargo(folder, care),
        Some(Language::TypeScript) => {
            write_world(folder, &read_manifest(folder)?)?;
            if !folder.join("node_modules").is_dir() {
                let install = ["install", "--no-audit", "--no-fund", "--loglevel", "error"];
                said(Command::new("npm").current_dir(folder).args(install), "install Node.js, which brings npm")?;
            }
            said(Command::new("npm").current_dir(folder).args(["run", "--silent", "build"]), "install Node.js")?;
            made(folder)
        }
        Some(Language::Python) => {
            write_world(folder, &read_manifest(folder)?)?;
            with_python(folder)
        }
        None => Err(failed(
            "there is no Cargo.toml, package.json or requirements.txt: `rapport plugin new` writes one".into(),
        )),
    }
}

const fn failed(why: String) -> SandboxError {
    SandboxError::Build(why)
}

/// Runs a tool and returns what it says; if it fails, that is the error.
fn said(command: &mut Command, way_out: &str) -> Result<String, SandboxError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().map_err(|e| failed(format!("{name} could not be started: {e}; {way_out}")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() {
        return Ok(text(&done.stdout));
    }
    // tsc tells on standard output, most others on the other one.
    let told = [text(&done.stdout), text(&done.stderr)].join("\n");
    Err(failed(told.trim().to_owned()))
}

fn made(folder: &Path) -> Result<PathBuf, SandboxError> {
    let component = folder.join(COMPONENT);
    if component.is_file() { Ok(component) } else { Err(failed(format!("the build left no {COMPONENT}"))) }
}

/// Builds with componentize-py, which lives in the folder.
fn with_python(folder: &Path) -> Result<PathBuf, SandboxError> {
    let help = "install Python 3.10 or later with its module `venv`";
    if !folder.join(".venv").is_dir() {
        said(Command::new("python3").current_dir(folder).args(["-m", "venv", ".venv"]), help)?;
    }
    let tool = |name: &str| {
        let place = if cfg!(windows) { "Scripts" } else { "bin" };
        let path = folder.join(".venv").join(place).join(name);
        path.canonicalize().unwrap_or(path)
    };
    if !tool("componentize-py").is_file() {
        let arguments = ["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
        said(Command::new(tool("pip")).current_dir(folder).args(arguments), help)?;
    }
    fs::create_dir_all(folder.join("target")).map_err(|e| failed(format!("no folder `target` can be made: {e}")))?;
    let arguments = ["-q", "-d", "wit", "-w", "plugin", "componentize", "plugin", "-o", COMPONENT];
    said(Command::new(tool("componentize-py")).current_dir(folder).args(arguments), help)?;
    made(folder)
}

/// The world of a plugin with the roles that its manifest speaks of.
fn world(manifest: &Manifest) -> String {
    let mut text =
        "// Written by `rapport plugin build` from plugin.toml.\npackage local:plugin;\n\nworld plugin {\n".to_owned();
    text.push_str("    include rapport:plugin/imports@0.1.0;\n");
    for role in Role::ALL.into_iter().filter(|role| role.is_declared(&manifest.declaration)) {
        writeln!(text, "    export rapport:plugin/{role}@0.1.0;").expect("writing to a String cannot fail");
    }
    text + "}\n"
}

/// Writes the contract and the plugin's world where the tools look for them.
fn write_world(folder: &Path, manifest: &Manifest) -> Result<(), SandboxError> {
    let contract = folder.join("wit/deps/rapport-plugin");
    let write =
        |path: PathBuf, text: &str| fs::write(&path, text).map_err(|source| SandboxError::File { path, source });
    fs::create_dir_all(&contract).map_err(|source| SandboxError::File { path: contract.clone(), source })?;
    for (name, text) in CONTRACT {
        write(contract.join(name), text)?;
    }
    write(folder.join("wit/plugin.wit"), &world(manifest))
}

/// Builds with cargo, and finds the component in cargo's target folder.
fn with_cargo(folder: &Path, care: Care) -> Result<PathBuf, SandboxError> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(folder)
        .args(["build", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .args(profile(care))
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

/// The profile, given whole, so that the plugin's own Cargo.toml need not know of it. The quick one has a name of its own, so that the
/// two do not throw away what the other has built.
fn profile(care: Care) -> Vec<String> {
    let (name, settings): (_, &[&str]) = match care {
        Care::Full => {
            ("release", &["lto=true", "codegen-units=1", "opt-level=3", "panic=\"abort\"", "debug=false", "strip=true"])
        }
        Care::Quick => {
            ("quick", &["inherits=\"release\"", "incremental=true", "opt-level=1", "panic=\"abort\"", "debug=false"])
        }
    };
    let settings = settings.iter().flat_map(|setting| ["--config".to_owned(), format!("profile.{name}.{setting}")]);
    ["--profile".to_owned(), name.to_owned()].into_iter().chain(settings).collect()
}

/// The last `.wasm` file that cargo's messages name: that of the plugin itself, after its dependencies.
fn component_in(messages: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files = artifacts.flat_map(|a| a.get("filenames").and_then(|f| f.as_array().cloned()).unwrap_or_default());
    let paths = files.filter_map(|f| f.as_str().map(PathBuf::from));
    paths.filter(|p| p.extension() == Some(OsStr::new("wasm"))).reduce(|_, later| later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_last_file_that_cargo_names() {
        let messages = "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/dependency.rlib\"]}\nnoise\n\
                        {\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/mine.wasm\"]}\n{\"reason\":\"build-finished\"}\n";
        assert_eq!(component_in(messages), Some(PathBuf::from("/t/mine.wasm")));
        assert_eq!(component_in("{\"reason\":\"build-finished\"}"), None);
    }

    #[test]
    fn the_language_is_seen_by_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let error = build_plugin(folder.path(), Care::Full).unwrap_err().to_string();
        assert!(error.contains("rapport plugin new"), "{error}");
        for (file, language) in [
            ("requirements.txt", Language::Python),
            ("package.json", Language::TypeScript),
            ("Cargo.toml", Language::Rust),
        ] {
            fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(Language::of(folder.path()), Some(language));
        }
    }

    #[test]
    fn the_world_has_the_roles_of_the_manifest_and_no_others() {
        let text = "id = \"a\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"P\"\ntitle = \"T\"\n\
                    [[triggers]]\nevent = \"customer.created\"\n";
        let world = world(&Manifest::read(text, &|_| None).unwrap());
        assert!(world.contains("export rapport:plugin/on-event@0.1.0;"), "{world}");
        assert_eq!(world.matches("export ").count(), 1, "{world}");
    }

    #[test]
    fn the_contract_is_whole() {
        let mut there: Vec<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/wit/0.1"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        let mut known: Vec<_> = CONTRACT.iter().map(|(name, _)| (*name).to_owned()).collect();
        known.sort();
        assert_eq!(there, known);
    }
}
