use super::*;

#[test]
fn a_folder_without_a_manifest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read_manifest(folder.path()).unwrap_err().to_string().contains("plugin.toml"));
}
