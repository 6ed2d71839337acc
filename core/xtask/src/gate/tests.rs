use super::*;

fn words(command: &std::process::Command) -> String {
    command.get_args().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_unknown_option_is_refused() {
    let error = Options::parse(&["--quick".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "`test` has no option `--quick`: only --fast");
    assert!(Options::parse(&["--fast".to_owned()]).unwrap().fast);
}

#[test]
fn the_fast_gate_leaves_slow_tests_out_with_either_runner() {
    let fast = Options { fast: true };
    assert!(words(&Runner::Nextest.command(Phase::Run, fast)).contains("--profile fast"));
    assert!(words(&Runner::Cargo.command(Phase::Run, fast)).ends_with("-- --skip slow::"));
}

#[test]
fn building_runs_nothing() {
    for runner in [Runner::Nextest, Runner::Cargo] {
        assert!(words(&runner.command(Phase::Build, Options::default())).ends_with("--no-run"));
        assert!(!words(&runner.command(Phase::Run, Options::default())).contains("--no-run"));
    }
}

#[test]
fn a_failed_step_is_named_and_ends_the_run() {
    let mut steps = Steps::default();
    steps.step("first", || Ok(())).unwrap();
    let error = steps.step("second", || bail!("no luck")).unwrap_err();
    assert_eq!(format!("{error:#}"), "step `second` failed: no luck");
    assert!(steps.table().contains("first") && !steps.table().contains("second"));
}

#[test]
fn violations_are_all_shown() {
    let violation = |line| Violation { path: "a.rs".into(), line, message: "x".into() };
    assert_eq!(
        none_of(&[violation(1), violation(2)]).unwrap_err().to_string(),
        "rules are broken:\na.rs:1: x\na.rs:2: x"
    );
    none_of(&[]).unwrap();
}

#[test]
fn each_plugin_in_rust_is_a_guest() {
    let found = guests().unwrap();
    assert!(
        found.contains(&"rapport-interpreter".to_owned()) && found.contains(&"rapport-plugin-tiers".to_owned()),
        "{found:?}"
    );
}

/// The runner's configuration and the gate must agree on what is slow.
#[test]
fn the_profiles_that_the_gate_asks_for_exist() {
    let text = std::fs::read_to_string(root().join(".config/nextest.toml")).unwrap();
    for profile in ["[profile.ci]", "[profile.fast]"] {
        assert!(text.contains(profile), "{profile}");
    }
}
