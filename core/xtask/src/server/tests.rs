use super::*;

#[test]
fn a_metric_is_found_with_and_without_labels() {
    let text = "# HELP a_total x\na_total 3\na_total_more 9\nb{x=\"1\"} 1.5\nb{x=\"2\"} 2\n";
    assert_eq!(sum_of_metric(text, "a_total"), Some(3.0));
    assert_eq!(sum_of_metric(text, "b"), Some(3.5));
    assert_eq!(sum_of_metric(text, "c"), None);
}

#[test]
fn a_program_that_ends_at_once_is_reported_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("broken");
    std::fs::write(&script, "#!/bin/sh\necho no luck today >&2\nexit 3\n").unwrap();
    run(command("chmod").arg("+x").arg(&script)).unwrap();
    let start = Start { data: &folder.path().join("data"), arguments: Vec::new(), core: None };
    let error = Server::start(&script, &start).unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("no luck today"), "{error}");
}
