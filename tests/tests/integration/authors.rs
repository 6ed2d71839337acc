//! What an author of a plugin does, in each language that has an SDK: a new folder, built and tested as it is, then changed.
//!
//! The builds take a minute and fetch what the registries have: `RAPPORT_SLOW=1` makes them.

use std::path::Path;

use serde_json::Value;

use crate::process::rapport;

fn is_slow() -> bool {
    std::env::var("RAPPORT_SLOW").is_ok_and(|v| v == "1")
}

/// Makes a plugin in `folder` and, where that is wanted, builds it and plays its scenario; then with a greeting that is not expected.
fn author(lang: &str, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let at = |arguments: &[&str]| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authors");
        rapport(arguments).within(folder.path()).with("CARGO_TARGET_DIR", &target).run()
    };
    at(&["plugin", "new", "two-words", "--lang", lang, "--publisher", "Ada \"A\" Ltd"]).expect(0);
    let dir = folder.path().join("two-words");
    let manifest = std::fs::read_to_string(dir.join("plugin.toml")).unwrap();
    assert!(manifest.contains("id = \"two-words\"") && manifest.contains("Ada"), "{manifest}");
    let unbuilt = at(&["plugin", "test", "two-words"]);
    assert!(unbuilt.code == 1 && unbuilt.text.contains("rapport plugin build two-words"), "{}", unbuilt.text);
    if !is_slow() {
        return;
    }
    at(&["plugin", "build", "two-words"]).expect(0);
    let tested = at(&["plugin", "test", "two-words", "--json"]).expect(0);
    let report: Value = serde_json::from_str(&tested.output).unwrap();
    assert_eq!(
        (&report["ok"], report["scenarios"].as_array().map(Vec::len)),
        (&Value::Bool(true), Some(1)),
        "{report}"
    );
    let path = dir.join(source);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"notes\"", "\"nose\"").replace("notes:", "nose:")).unwrap();
    at(&["plugin", "build", "two-words"]).expect(0);
    let tested = at(&["plugin", "test", "two-words"]).expect(1);
    assert!(tested.text.contains("nose"), "the scenario tells what is wrong now: {}", tested.text);
}

#[test]
fn a_new_plugin_in_rust_builds_and_passes_its_scenario() {
    author("rust", "src/lib.rs");
}

#[test]
fn a_new_plugin_in_typescript_builds_and_passes_its_scenario() {
    author("typescript", "src/plugin.ts");
}

#[test]
fn a_new_plugin_in_python_builds_and_passes_its_scenario() {
    author("python", "plugin.py");
}

#[test]
fn a_folder_that_is_there_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let refused = rapport(&["plugin", "new", "mine"]).within(folder.path()).run();
    assert!(refused.code != 0 && refused.text.contains("--dir"), "{}", refused.text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("mine")).unwrap().count(), 0);
    let refused = rapport(&["plugin", "new", "Not A Name"]).within(folder.path()).run();
    assert!(refused.code == 2 && refused.text.contains("lower-case"), "{}", refused.text);
}
