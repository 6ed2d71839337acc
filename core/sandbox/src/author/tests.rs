use super::*;

fn declaration(json: &serde_json::Value) -> Declaration {
    serde_json::from_value(json.clone()).unwrap()
}

#[test]
fn wanting_less_is_fine_and_wanting_more_is_named() {
    let allowed = declaration(&serde_json::json!({
        "triggers": [{ "event": "a.b" }, { "event": "c.d", "changed": ["x"] }],
        "uses": ["customer:read", "emit:a.b"],
        "settings": [{ "name": "s", "default": 1 }],
    }));
    assert!(beyond(&Declaration::default(), &allowed).is_empty());
    assert!(beyond(&allowed, &allowed).is_empty());
    let wanted = declaration(&serde_json::json!({
        "triggers": [{ "event": "c.d" }],
        "uses": ["customer:write"],
        "settings": [{ "name": "t", "default": 1 }],
        "fields": [{ "object": "customer", "field": { "name": "x", "type": "text" } }],
        "event_types": [{ "name": "e.f", "fields": [] }],
    }));
    assert_eq!(
        beyond(&wanted, &allowed),
        [
            "the trigger `c.d`",
            "the right `customer:write`",
            "the setting `t`",
            "the field `customer.x`",
            "the event type `e.f`"
        ]
    );
}

#[test]
fn the_component_is_the_last_file_that_cargo_names() {
    let messages = "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/dependency.rlib\"]}\nnoise\n\
                    {\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/mine.wasm\"]}\n{\"reason\":\"build-finished\"}\n";
    assert_eq!(component_in(messages), Some(PathBuf::from("/t/mine.wasm")));
    assert_eq!(component_in("{\"reason\":\"build-finished\"}"), None);
}

#[test]
fn a_folder_without_a_manifest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read_manifest(folder.path()).unwrap_err().to_string().contains("plugin.toml"));
}
