use super::*;

fn broken_source(path: &str, text: &str) -> Vec<String> {
    check_source(Path::new(path), text).iter().map(ToString::to_string).collect()
}

fn broken_manifest(path: &str, text: &str) -> Vec<String> {
    check_manifest(Path::new(path), text).iter().map(ToString::to_string).collect()
}

#[test]
fn the_store_must_not_know_the_sandbox() {
    let text = "use rapport_model::Name;\nuse rapport_sandbox::Sandbox;\n";
    let refused = "core/store/src/a.rs:2: core/store must not know `rapport-sandbox`: imports go downward only";
    assert_eq!(broken_source("core/store/src/a.rs", text), [refused]);
    assert_eq!(broken_source("core/sandbox/src/a.rs", "fn f() -> rapport_store::Store {}").len(), 1);
}

#[test]
fn nothing_below_knows_what_is_above() {
    for (path, name) in [
        ("core/model/src/a.rs", "rapport_store"),
        ("core/engine/src/a.rs", "rapport_server"),
        ("core/store/src/a.rs", "rapport_engine"),
        ("sdk/rust/src/lib.rs", "rapport_model"),
        ("plugins/tiers/src/lib.rs", "rapport_engine"),
        ("core/xtask/src/main.rs", "rapport_store"),
        ("somewhere/new/src/lib.rs", "rapport_model"),
    ] {
        assert_eq!(broken_source(path, &format!("use {name}::X;")).len(), 1, "{path} {name}");
    }
}

#[test]
fn what_is_below_may_be_known() {
    for (path, name) in [
        ("core/engine/src/a.rs", "rapport_store"),
        ("core/engine/src/a.rs", "rapport_sandbox"),
        ("core/server/src/a.rs", "rapport_engine"),
        ("core/server/src/main.rs", "rapport_server"),
        ("plugins/tiers/src/lib.rs", "rapport_sdk"),
        ("tests/tests/integration/main.rs", "rapport_server"),
    ] {
        assert_eq!(broken_source(path, &format!("use {name}::X;")), [""; 0], "{path} {name}");
    }
}

#[test]
fn only_the_store_speaks_sql() {
    assert_eq!(
        broken_source("core/engine/src/a.rs", "fn f(p: sqlx::SqlitePool) {}"),
        ["core/engine/src/a.rs:1: `sqlx` is fenced in core/store, core/xtask, tests"]
    );
    assert_eq!(broken_source("core/store/src/a.rs", "use sqlx::Row;"), [""; 0]);
}

#[test]
fn a_word_that_is_no_path_is_left_alone() {
    let text = "// rapport_engine::X\nlet rapport_engine = \"rapport_engine::Y\";\nx.rapport_engine::<u8>();\na::rapport_engine::b;";
    assert_eq!(broken_source("core/store/src/a.rs", text), [""; 0]);
}

#[test]
fn a_test_may_look_further() {
    let text = "#[cfg(test)]\nmod tests { use rapport_store::Store; }";
    assert_eq!(broken_source("core/sandbox/src/a.rs", text), [""; 0]);
    assert_eq!(broken_source("core/sandbox/src/a/tests.rs", "use rapport_store::Store;"), [""; 0]);
}

#[test]
fn manifests_are_read_in_each_of_their_forms() {
    let text = "[package]\nname = \"rapport-store\"\n[dependencies]\nrapport-model.workspace = true\nrapport-sandbox = { path = \"x\" }\n# axum = 1\n\
        [dependencies.rapport-engine]\nworkspace = true\n[dev-dependencies]\nrapport-sandbox.workspace = true\nwasmtime = \"48\"\n\
        [target.'cfg(unix)'.dependencies]\naxum.workspace = true\n";
    let lines: Vec<_> = check_manifest(Path::new("core/store/Cargo.toml"), text).iter().map(|v| v.line).collect();
    assert_eq!(lines, [5, 7, 11, 13]);
}

#[test]
fn a_crate_may_depend_on_nothing_of_ours_that_the_plan_does_not_name() {
    assert_eq!(broken_manifest("plugins/tiers/Cargo.toml", "[dependencies]\nrapport-sdk.workspace = true\n"), [""; 0]);
    assert_eq!(
        broken_manifest("plugins/tiers/Cargo.toml", "[dependencies]\nrapport-model.workspace = true\n").len(),
        1
    );
}

/// `cargo test` alone holds the layers, too.
#[test]
fn the_project_keeps_its_layers() {
    let found = violations(&workspace::root()).unwrap();
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", shown.join("\n"));
}
