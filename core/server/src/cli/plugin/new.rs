//! `plugin new`: a folder with a plugin that builds and passes its test, in one of the languages that have an SDK.
//!
//! The SDK is inside this program and is written into the folder, so that nothing is fetched but what the registries have.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use include_dir::{Dir, include_dir};
use serde_json::json;
use toml::{Table, Value};

use crate::cli::{Common, Failure};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates");
static RUST_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust/src");
static TYPESCRIPT_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/typescript");
static CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/wit/0.1");
const RUST_SDK_MANIFEST: &str = include_str!("../../../../../sdk/rust/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../../../Cargo.toml");

/// The names that stand in the templates for those that the author chooses.
const ID: &str = "hello";
const TYPE: &str = "Hello";
const PUBLISHER: &str = "\"Example\"";
const NAME_MAX: usize = 40;

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Lang {
    Rust,
    #[value(name = "typescript")]
    TypeScript,
    Python,
}

/// `plugin new`.
#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// The plugin's id: lower-case letters, digits and `-`, beginning with a letter.
    name: String,
    /// What it is written in.
    #[arg(long, value_enum, default_value = "rust")]
    lang: Lang,
    /// Who publishes it, as the manifest says.
    #[arg(long, default_value = "Example", value_name = "NAME")]
    publisher: String,
    /// The folder to make; NAME in the present folder if it is not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(super) fn run(common: &Common, args: &NewArgs) -> Result<(), Failure> {
    must_be_name(&args.name)?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    if dir.exists() {
        return Err(Failure::Failed(format!("{} is there already: choose another name, or `--dir`", dir.display())));
    }
    let mut files = Files::new(args);
    files.template("common");
    match args.lang {
        Lang::Rust => {
            files.template("rust");
            files.copy("sdk/rust/src", &RUST_SDK);
            files.add("sdk/rust/Cargo.toml", sdk_manifest()?);
            files.copy("sdk/wit/0.1", &CONTRACT);
        }
        Lang::TypeScript => {
            files.template("typescript");
            files.copy("sdk", &TYPESCRIPT_SDK);
        }
        Lang::Python => files.template("python"),
    }
    files.write(&dir)?;
    let shown = dir.display().to_string();
    let report = json!({ "id": args.name, "dir": shown, "files": files.all.len() });
    common.output().show(&report, |_| {
        crate::output::plain(&format!(
            "made {shown}. Next:\n  rapport plugin build {shown}\n  rapport plugin test {shown}\nits README.md says more"
        ))
    });
    Ok(())
}

/// Refuses what cannot be the id of a plugin and the name of a crate and a package.
fn must_be_name(name: &str) -> Result<(), Failure> {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if begins && name.len() <= NAME_MAX && name.bytes().all(ok) && !name.ends_with('-') {
        return Ok(());
    }
    let rule = format!("lower-case letters, digits and `-`, beginning with a letter, {NAME_MAX} at most");
    Err(Failure::Usage(format!("`{name}` cannot be the id of a plugin: use {rule}")))
}

/// The files of the new folder, with their paths below it.
struct Files {
    id: String,
    type_name: String,
    publisher: String,
    all: Vec<(PathBuf, String)>,
}

impl Files {
    fn new(args: &NewArgs) -> Self {
        let words = args.name.split('-').filter_map(|word| {
            let (first, rest) = word.split_at_checked(1)?;
            Some(first.to_uppercase() + rest)
        });
        let publisher = Value::String(args.publisher.clone()).to_string();
        Self { id: args.name.clone(), type_name: words.collect(), publisher, all: Vec::new() }
    }

    fn add(&mut self, path: &str, text: String) {
        self.all.push((PathBuf::from(path), text));
    }

    /// Adds what is in a folder as it is, below `place`.
    fn copy(&mut self, place: &str, folder: &Dir<'_>) {
        for (path, text) in texts(folder) {
            self.all.push((Path::new(place).join(path), text.to_owned()));
        }
    }

    /// Adds what is in a folder of the templates, with the author's names.
    fn template(&mut self, name: &str) {
        let Some(folder) = TEMPLATES.get_dir(name) else { return };
        for (path, text) in texts(folder) {
            let path = path.strip_prefix(name).unwrap_or(path).to_string_lossy();
            let path = match &*path {
                "gitignore" => ".gitignore".to_owned(),
                "Cargo.toml.in" => "Cargo.toml".to_owned(),
                other => other.replace(ID, &self.id),
            };
            let text = text.replace(ID, &self.id).replace(TYPE, &self.type_name).replace(PUBLISHER, &self.publisher);
            self.add(&path, text);
        }
    }

    /// Writes all, or nothing.
    fn write(&self, dir: &Path) -> Result<(), Failure> {
        let name = dir.file_name().map_or_else(|| self.id.clone(), |name| name.to_string_lossy().into_owned());
        let beside = dir.with_file_name(format!(".{name}.new-{}", std::process::id()));
        let written = self.write_all(&beside).and_then(|()| fs::rename(&beside, dir));
        if written.is_err() {
            fs::remove_dir_all(&beside).ok();
        }
        written.map_err(|e| Failure::Failed(format!("{} cannot be made: {e}", dir.display())))
    }

    fn write_all(&self, dir: &Path) -> std::io::Result<()> {
        for (path, text) in &self.all {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(path, text)?;
        }
        Ok(())
    }
}

/// All texts in a folder and below it, with their paths.
fn texts<'a>(folder: &'a Dir<'a>) -> Vec<(&'a Path, &'a str)> {
    let mut all: Vec<_> = folder.files().filter_map(|file| Some((file.path(), file.contents_utf8()?))).collect();
    all.extend(folder.dirs().flat_map(texts));
    all
}

/// The SDK's Cargo.toml with all that it has from the workspace written out.
fn sdk_manifest() -> Result<String, Failure> {
    let broken = |e: &dyn std::fmt::Display| Failure::Failed(format!("the SDK in this program does not read: {e}"));
    let read = |text: &str| text.parse::<Table>().map_err(|e| broken(&e));
    let (mut manifest, workspace) = (read(RUST_SDK_MANIFEST)?, read(WORKSPACE_MANIFEST)?);
    let workspace = workspace.get("workspace").and_then(Value::as_table).cloned().unwrap_or_default();
    let shared = |name: &str| workspace.get(name).and_then(Value::as_table).cloned().unwrap_or_default();
    let (package, dependencies) = (shared("package"), shared("dependencies"));
    manifest.remove("example");
    manifest.insert("lints".to_owned(), Value::Table(shared("lints")));
    if let Some(own) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        resolve(own, &package);
    }
    if let Some(own) = manifest.get_mut("dependencies").and_then(Value::as_table_mut) {
        resolve(own, &dependencies);
    }
    let targets = manifest.get_mut("target").and_then(Value::as_table_mut);
    for (_, target) in targets.into_iter().flatten() {
        if let Some(own) = target.get_mut("dependencies").and_then(Value::as_table_mut) {
            resolve(own, &dependencies);
        }
    }
    toml::to_string(&manifest).map_err(|e| broken(&e))
}

/// Puts the workspace's values where `table` refers to them.
fn resolve(table: &mut Table, workspace: &Table) {
    for (name, value) in table.iter_mut() {
        let refers = value.get("workspace").and_then(Value::as_bool) == Some(true);
        if let Some(shared) = workspace.get(name).filter(|_| refers) {
            *value = shared.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_that_is_written_out_refers_to_no_workspace() {
        let text = sdk_manifest().unwrap();
        assert!(!text.contains("workspace = true"), "{text}");
        assert!(text.contains("wit-bindgen") && text.contains("edition = \"2024\""), "{text}");
    }

    #[test]
    fn names_that_no_plugin_can_have_are_refused() {
        for name in ["", "Hello", "1st", "a_b", "a b", "../a", "a/b", "-a", "a-", &"a".repeat(41)] {
            assert!(must_be_name(name).is_err(), "{name}");
        }
        for name in ["hello", "a1", "two-words"] {
            must_be_name(name).unwrap();
        }
    }
}
