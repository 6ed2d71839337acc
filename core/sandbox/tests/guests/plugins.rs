//! Components: the tiers plugin, and one that misbehaves in every way it can.

use rapport_model::Value;
use rapport_sandbox::author::{Care, Package, build_plugin, check_component, read_manifest};
use rapport_sandbox::{GuestFailure, HostError, Manifest, Program, Sandbox, SandboxConfig, SandboxError};

use crate::host::{Recorder, built, component, data, points, record, sandbox, tiers, tiers_host, with_limits};

const TIERS: &str = include_str!("../../../../plugins/tiers/plugin.toml");

#[tokio::test]
async fn the_tiers_plugin_writes_a_tier_and_tells() {
    let sandbox = sandbox();
    let program = tiers(&sandbox).await;
    let (report, host) = sandbox.call(&program, points(0, 5_000), tiers_host()).await;
    assert_eq!(report.outcome, Ok(()));
    let id = record("customer", "1").id;
    assert_eq!(
        host.calls,
        [
            format!("update customer/{id} tier=\"gold\""),
            format!("emit tier.changed customer/{id} from=null to=\"gold\"")
        ]
    );
}

#[tokio::test]
async fn a_plugin_has_the_roles_that_its_manifest_speaks_of() {
    let sandbox = sandbox();
    let bytes = built(&["--package", "rapport-plugin-tiers"], "rapport_plugin_tiers.wasm");
    let manifest = Manifest::parse(TIERS).unwrap();
    check_component(&sandbox, &bytes, &manifest).await.unwrap();
    let trigger = "[[triggers]]\nevent = \"customer.updated\"\nchanged = [\"points\"]\n";
    let schedule = "[[schedules]]\ncron = \"0 3 * * *\"\nzone = \"Europe/Paris\"\n";
    let other = Manifest::parse(&TIERS.replace(trigger, schedule)).unwrap();
    let error = check_component(&sandbox, &bytes, &other).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component exports `on-event`, but plugin.toml has no `[[triggers]]` or `invocable`; \
         plugin.toml has `[[schedules]]`, but the component does not export `on-schedule`"
    );
}

#[tokio::test]
async fn each_call_has_an_instance_of_its_own() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    let mut told = Vec::new();
    for _ in 0..1_000 {
        let (report, host) = does(&sandbox, &program, "count").await;
        report.unwrap();
        told.push(host.logged);
    }
    assert!(told.iter().all(|t| t == &["Info 1"]), "{:?}", told.last());
}

/// The guest of `sdk/rust/examples/misbehaving.rs`, which does what the type of its event says.
async fn misbehaving(sandbox: &Sandbox) -> Program {
    component(sandbox, &["--package", "rapport-sdk", "--example", "misbehaving"], "examples/misbehaving.wasm").await
}

async fn does(sandbox: &Sandbox, program: &Program, what: &str) -> (Result<(), GuestFailure>, Recorder) {
    let host = Recorder { records: vec![record("customer", "1.00")], now: 7_000_000, ..Recorder::default() };
    let (report, host) = sandbox.call(program, data(&format!("do.{what}"), vec![]), host).await;
    (report.outcome, host)
}

#[tokio::test]
async fn a_misbehaving_plugin_is_stopped_by_its_limit() {
    let sandbox = with_limits(|l| {
        (l.slice_fuel_max, l.slice_host_calls_max) = (20_000_000, 50);
        (l.slice_stack_bytes_max, l.slice_memory_bytes_max) = (128 << 10, 8 << 20);
        l.slice_output_bytes_max = 10_000;
    });
    let program = misbehaving(&sandbox).await;
    for (what, code) in [
        ("loop", "fuel"),
        ("grow", "memory"),
        ("recurse", "stack"),
        ("call_loop", "host_calls"),
        ("print_loop", "host_calls"),
        ("write_much", "output"),
        ("panic", "trap"),
        ("exit", "trap"),
        ("much_random", "trap"),
    ] {
        let (outcome, _) = does(&sandbox, &program, what).await;
        let failed = outcome.unwrap_err();
        assert_eq!(failed.code(), code, "{what}: {failed}");
        assert_eq!(does(&sandbox, &program, "nothing").await.0, Ok(()), "after {what}");
    }
}

#[tokio::test]
async fn a_panic_is_told_with_its_place() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    let told = does(&sandbox, &program, "panic").await.0.unwrap_err().to_string();
    assert!(told.contains("misbehaving.rs:") && told.contains("as told"), "{told}");
}

#[tokio::test]
async fn a_plugin_sees_no_machine() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    let (outcome, host) = does(&sandbox, &program, "look_around").await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(host.logged, ["Info env 0, args 0, file refused, time 7s"]);
}

#[tokio::test]
async fn a_hash_map_has_the_same_order_every_time() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    let (first, second) = (does(&sandbox, &program, "hash").await.1, does(&sandbox, &program, "hash").await.1);
    assert_eq!(first.logged.len(), 1);
    assert_eq!(first.logged, second.logged);
}

#[tokio::test]
async fn a_nan_is_always_the_same() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    assert_eq!(does(&sandbox, &program, "nan").await.1.logged, ["Info 7ff8000000000000"]);
}

#[tokio::test]
async fn standard_output_goes_to_the_log() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    assert_eq!(does(&sandbox, &program, "print").await.1.logged, ["Info out", "Warn err"]);
}

#[tokio::test]
async fn the_end_of_a_slice_stops_a_plugin_that_would_go_on() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    let refusal = Some(HostError::ending("conflict", "someone was first"));
    let host = Recorder { refusal, ..Recorder::default() };
    let (report, host) = sandbox.call(&program, data("do.call_loop", vec![]), host).await;
    let message = "someone was first".into();
    assert_eq!(report.outcome, Err(GuestFailure::Ended { code: "conflict".into(), message, retryable: true }));
    assert_eq!(host.calls.len(), 1);
}

#[tokio::test]
async fn what_does_not_read_as_its_kind_is_refused_by_name() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    let (outcome, host) = does(&sandbox, &program, "bad_values").await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(host.calls, Vec::<String>::new());
    insta::assert_snapshot!(host.logged.join("\n"), @r"
    Info field `d`: `1e5x` is not a decimal
    Info field `d`: `2026-02-30` is not a date such as 2026-03-01
    Info field `d`: `nobody` is not the id of a record
    Info field `d`: `{` is not JSON
    ");
}

#[tokio::test]
async fn an_error_of_a_handler_is_passed_on() {
    let sandbox = sandbox();
    let program = misbehaving(&sandbox).await;
    let (outcome, _) = does(&sandbox, &program, "fail").await;
    assert_eq!(outcome, Err(GuestFailure::Failed { code: "mine".into(), message: "as told".into(), retryable: true }));
}

#[tokio::test]
async fn a_setting_that_is_not_declared_is_an_error_of_the_host() {
    let sandbox = sandbox();
    let program = tiers(&sandbox).await;
    let (report, _) = sandbox.call(&program, points(0, 5), Recorder::default()).await;
    assert_eq!(report.outcome.unwrap_err().to_string(), "there is no setting `platinum_from`");
    let host = Recorder { settings: [("platinum_from".to_owned(), Value::text("x"))].into(), ..Recorder::default() };
    let (report, _) = sandbox.call(&program, points(0, 5), host).await;
    assert!(report.outcome.unwrap_err().to_string().contains("expected an integer, found a text"));
}

#[tokio::test]
async fn bytes_that_are_no_component_are_refused() {
    let sandbox = sandbox();
    let tiers = built(&["--package", "rapport-plugin-tiers"], "rapport_plugin_tiers.wasm");
    let module = b"\0asm\x01\0\0\0";
    let text = b"(component)";
    for bytes in [&b""[..], b"hello", module, text, &tiers[..tiers.len() / 2]] {
        assert!(
            matches!(sandbox.load_component(bytes).await, Err(SandboxError::Component(_))),
            "{} bytes",
            bytes.len()
        );
    }
    let small = with_limits(|l| l.component_bytes_max = 1_000);
    assert!(matches!(small.load_component(&tiers).await, Err(SandboxError::TooLarge { .. })));
}

#[tokio::test]
async fn a_component_without_exports_or_with_strange_imports_is_refused_by_name() {
    let sandbox = sandbox();
    // `(component)` in binary, and one that imports the function `evil:net/socket`.
    let empty = b"\0asm\x0d\0\x01\0";
    let error = sandbox.load_component(empty).await.unwrap_err();
    assert!(error.to_string().contains("does not export `a role`"), "{error}");
    let mut strange = empty.to_vec();
    strange.extend([7, 5, 1, 0x40, 0, 1, 0]);
    strange.extend([10, 9, 1, 0, 4]);
    strange.extend(b"evil");
    strange.extend([1, 0]);
    let error = sandbox.load_component(&strange).await.unwrap_err();
    assert!(error.to_string().contains("imports `evil`"), "{error}");
}

#[tokio::test]
async fn without_a_pool_the_same_guests_run() {
    let cache_dir = Some(std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("frugal-cache"));
    let sandbox = Sandbox::frugal(SandboxConfig { cache_dir, ..SandboxConfig::default() }).unwrap();
    assert!(!sandbox.is_pooled());
    let program = tiers(&sandbox).await;
    let (report, host) = sandbox.call(&program, points(0, 1_000), tiers_host()).await;
    assert_eq!((report.outcome, host.calls.len()), (Ok(()), 2));
    assert_eq!(crate::host::logs(&sandbox, "log(1);").await, ["1"]);
}

#[test]
fn the_manifest_of_the_tiers_plugin_is_right() {
    let manifest = read_manifest(std::path::Path::new("../../plugins/tiers")).unwrap();
    assert_eq!(manifest.id.as_str(), "tiers");
    assert_eq!(manifest.reasons.len(), 2);
    assert_eq!(manifest.declaration.fields.len(), 1);
}

#[test]
fn a_package_without_its_component_says_which_file_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plugin.toml"), TIERS).unwrap();
    let error = Package::read(folder.path(), 1 << 20).unwrap_err();
    assert!(error.to_string().contains("tiers.wasm"), "{error}");
    std::fs::write(folder.path().join("tiers.wasm"), [0; 100]).unwrap();
    assert_eq!(Package::read(folder.path(), 100).unwrap().component.len(), 100);
    assert!(matches!(Package::read(folder.path(), 99), Err(SandboxError::TooLarge { bytes: 100, .. })));
}

#[test]
fn a_plugin_that_does_not_build_shows_what_cargo_says() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = "[package]\nname = \"broken\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    std::fs::write(folder.path().join("Cargo.toml"), cargo).unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("src/lib.rs"), "fn broken( {}").unwrap();
    assert!(build_plugin(folder.path(), Care::Full).unwrap_err().to_string().contains("building the plugin failed"));
    std::fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    let component = build_plugin(folder.path(), Care::Full).unwrap();
    assert!(component.ends_with("wasm32-wasip2/release/broken.wasm"), "{}", component.display());
}
