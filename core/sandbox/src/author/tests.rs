use super::*;

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
