//! Every limit stops a guest within its budget, and nobody else.

use std::time::{Duration, Instant};

use rapport_sandbox::{GuestFailure, Sandbox};

use crate::host::{Recorder, failure, logs, order, record, run, run_with, sandbox, script, with_limits};

/// Fails like `body` should, and then runs a good script, so that the sandbox is known to live on.
async fn stops(sandbox: &Sandbox, body: &str) -> GuestFailure {
    let failed = failure(sandbox, body).await;
    assert_eq!(logs(sandbox, "log(1 + 1);").await, ["2"], "after {failed}");
    failed
}

#[tokio::test]
async fn an_endless_loop_runs_out_of_fuel() {
    let sandbox = with_limits(|l| l.slice_fuel_max = 5_000_000);
    let failed = stops(&sandbox, "loop { }").await;
    assert_eq!(failed, GuestFailure::OutOfFuel { max: 5_000_000 });
    assert!(failed.to_string().contains("`limits.slice_fuel_max`"));
}

/// The fuel of five calls in a row of one program.
async fn fuel_of_five() -> Vec<u64> {
    let sandbox = sandbox();
    let program = sandbox.load_script("test.rhai", &script("let n = 0; for i in 0..1000 { n += i; }")).await.unwrap();
    let mut fuel = Vec::new();
    for _ in 0..5 {
        fuel.push(sandbox.call(&program, order("1.00"), Recorder::default()).await.0.fuel);
    }
    fuel
}

#[tokio::test]
async fn the_same_work_costs_the_same_fuel() {
    let fuel = fuel_of_five().await;
    assert_eq!(fuel, fuel_of_five().await, "another sandbox counts alike");
    // What the allocator finds free differs a little from call to call.
    let (least, most) = (fuel.iter().min().unwrap(), fuel.iter().max().unwrap());
    assert!(*least > 10_000 && most - least < least / 100, "{fuel:?}");
}

#[tokio::test]
async fn a_loop_with_fuel_left_is_stopped_by_the_clock() {
    let sandbox = with_limits(|l| (l.slice_fuel_max, l.slice_wall_ms_max) = (u64::MAX / 100, 100));
    let started = Instant::now();
    assert_eq!(stops(&sandbox, "loop { }").await, GuestFailure::Deadline { max_ms: 100 });
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_host_call_that_hangs_is_cut_by_the_clock_and_the_host_comes_back() {
    let sandbox = with_limits(|l| l.slice_wall_ms_max = 100);
    let host = Recorder { delay: Some(Duration::from_hours(1)), ..Recorder::default() };
    let (report, host) = run_with(&sandbox, "log(\"before\"); get(\"customer\", \"1\");", host).await;
    assert_eq!(report.outcome, Err(GuestFailure::Deadline { max_ms: 100 }));
    assert!(report.outcome.unwrap_err().is_retryable());
    assert_eq!(host.logged, ["Info before"]);
    assert_eq!(logs(&sandbox, "log(2);").await, ["2"]);
}

#[tokio::test]
async fn a_call_whose_future_is_dropped_leaves_the_sandbox_whole() {
    let sandbox = sandbox();
    let program = sandbox.load_script("test.rhai", &script("get(\"customer\", \"1\");")).await.unwrap();
    for _ in 0..20 {
        let host = Recorder { delay: Some(Duration::from_hours(1)), ..Recorder::default() };
        let call = sandbox.call(&program, order("1.00"), host);
        assert!(tokio::time::timeout(Duration::from_millis(5), call).await.is_err());
    }
    let (report, _) = sandbox.call(&program, order("1.00"), Recorder::default()).await;
    assert_eq!(report.outcome, Ok(()));
}

#[tokio::test]
async fn a_string_that_doubles_is_stopped_by_the_memory_limit() {
    let failed = stops(&sandbox(), "let s = \"x\"; loop { s += s; }").await;
    assert_eq!(failed, GuestFailure::Memory { max: 32 << 20 });
}

#[tokio::test]
async fn an_array_and_a_map_that_grow_are_stopped() {
    let sandbox = with_limits(|l| l.slice_memory_bytes_max = 8 << 20);
    for body in [
        "let a = []; loop { a.push(a.len()); }",
        "let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }",
        "let a = []; a.pad(1000000000, 0);",
        "let s = \"\"; s.pad(1000000000, \"x\");",
    ] {
        let failed = stops(&sandbox, body).await;
        assert!(matches!(failed, GuestFailure::Memory { .. } | GuestFailure::OutOfFuel { .. }), "{body}: {failed}");
    }
}

#[tokio::test]
async fn a_function_that_calls_itself_for_ever_is_stopped() {
    let sandbox = sandbox();
    let source = "on(\"order.created\");\nfn f(n) { f(n + 1) }\nfn run(event) { f(0) }";
    let program = sandbox.load_script("test.rhai", source).await.unwrap();
    let (report, _) = sandbox.call(&program, order("1.00"), Recorder::default()).await;
    let failed = report.outcome.unwrap_err();
    assert!(failed.to_string().contains("functions call each other deeper than"), "{failed}");
}

#[tokio::test]
async fn too_many_host_calls_are_stopped_even_if_refusals_are_caught() {
    let sandbox = with_limits(|l| l.slice_host_calls_max = 10);
    let (report, host) = run(&sandbox, "loop { try { get(\"customer\", \"x\"); } catch { } }").await;
    assert_eq!(report.outcome, Err(GuestFailure::HostCalls { max: 10 }));
    assert_eq!(host.calls.len(), 10);
}

#[tokio::test]
async fn logging_and_the_clock_count_as_host_calls() {
    let sandbox = with_limits(|l| l.slice_host_calls_max = 10);
    for body in ["loop { log(\"\"); }", "loop { now(); }", "loop { random(); }"] {
        assert_eq!(stops(&sandbox, body).await, GuestFailure::HostCalls { max: 10 }, "{body}");
    }
}

#[tokio::test]
async fn a_log_is_cut_and_the_cut_is_marked() {
    let sandbox = with_limits(|l| l.slice_log_bytes_max = 20);
    let (report, host) = run(&sandbox, "log(\"0123456789\"); log(\"äöü456789012345\"); log(\"gone\");").await;
    assert_eq!(report.outcome, Ok(()));
    assert_eq!(host.logged.len(), 2);
    assert!(host.logged[1].starts_with("Info äöü4567… (the log of this slice ends here"), "{}", host.logged[1]);
}

#[tokio::test]
async fn what_is_written_is_bounded() {
    let sandbox = with_limits(|l| l.slice_output_bytes_max = 10_000);
    let failed = stops(&sandbox, "for i in 0..500 { emit(\"x.y\", #{ text: \"0123456789\" }); }").await;
    assert!(matches!(failed, GuestFailure::Output { .. }), "{failed}");
    let failed =
        stops(&sandbox, "let s = \"0123456789\"; for i in 0..10 { s += s; } emit(\"x.y\", #{ text: s });").await;
    assert_eq!(failed, GuestFailure::Output { max: 10_000 });
}

#[tokio::test]
async fn what_is_written_in_one_call_never_reaches_the_host_in_full() {
    let sandbox = with_limits(|l| l.slice_output_bytes_max = 10_000);
    let failed =
        stops(&sandbox, "let s = \"0123456789\"; for i in 0..18 { s += s; } emit(\"x.y\", #{ text: s });").await;
    assert_eq!(failed, GuestFailure::Output { max: 10_000 });
}

#[tokio::test]
async fn what_is_read_is_bounded() {
    let sandbox = with_limits(|l| l.slice_input_bytes_max = 20_000);
    let host = Recorder { records: vec![record("order", "1.00"); 10], ..Recorder::default() };
    let (report, _) = run_with(&sandbox, "loop { find(\"order\", \"\"); }", host).await;
    assert_eq!(report.outcome, Err(GuestFailure::Input { max: 20_000 }));
}

#[tokio::test]
async fn an_event_that_is_too_large_is_not_given() {
    let sandbox = with_limits(|l| l.slice_input_bytes_max = 100);
    assert_eq!(failure(&sandbox, "log(1);").await, GuestFailure::Input { max: 100 });
}

#[tokio::test]
async fn a_script_that_is_too_long_is_refused() {
    let sandbox = with_limits(|l| l.script_bytes_max = 50);
    let error = sandbox.load_script("long.rhai", &script("log(1);")).await.unwrap_err();
    assert!(error.to_string().contains("the limit is 50 (`limits.script_bytes_max`"), "{error}");
}

#[tokio::test]
async fn a_check_that_never_ends_is_stopped() {
    let sandbox = with_limits(|l| l.slice_fuel_max = 100_000);
    let wrong = sandbox.check_script("test.rhai", "fn run(event) { } loop { }").await.unwrap_err();
    assert!(wrong[0].message.contains("fuel"), "{}", wrong[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_endless_loops_do_not_hold_up_a_fast_script() {
    let sandbox = with_limits(|l| (l.slice_fuel_max, l.slice_wall_ms_max) = (u64::MAX / 100, 3_000));
    let endless = sandbox.load_script("endless.rhai", &script("loop { }")).await.unwrap();
    let fast = sandbox.load_script("fast.rhai", &script("log(1);")).await.unwrap();
    let loops: Vec<_> = (0..16)
        .map(|_| {
            let (sandbox, endless) = (sandbox.clone(), endless.clone());
            tokio::spawn(async move { sandbox.call(&endless, order("1.00"), Recorder::default()).await.0.outcome })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut turns = 0;
    while !loops.iter().all(tokio::task::JoinHandle::is_finished) {
        let (report, _) = sandbox.call(&fast, order("1.00"), Recorder::default()).await;
        assert_eq!(report.outcome, Ok(()));
        turns += 1;
    }
    // Fair turns of a millisecond among seventeen would give some eighty; one is what starving would give.
    assert!(turns >= 5, "{turns} calls beside the loops");
    for outcome in loops {
        assert_eq!(outcome.await.unwrap(), Err(GuestFailure::Deadline { max_ms: 3_000 }));
    }
}

#[tokio::test]
async fn ten_thousand_calls_leave_no_more_instances_than_are_kept() {
    let sandbox = sandbox();
    let program = sandbox.load_script("test.rhai", &script("log(1);")).await.unwrap();
    for _ in 0..10_100 {
        let (report, _) = sandbox.call(&program, order("1.00"), Recorder::default()).await;
        assert_eq!(report.outcome, Ok(()));
        assert!(report.memory_bytes < 4 << 20, "{}", report.memory_bytes);
    }
    assert!(format!("{sandbox:?}").contains("warm: 1"), "{sandbox:?}");
    drop(program);
    assert!(format!("{sandbox:?}").contains("warm: 0"), "{sandbox:?}");
}

#[tokio::test]
async fn many_scripts_share_what_is_kept_warm() {
    let sandbox = sandbox();
    let mut programs = Vec::new();
    for i in 0..60 {
        programs.push(sandbox.load_script("test.rhai", &script(&format!("log({i});"))).await.unwrap());
    }
    for (i, program) in programs.iter().enumerate() {
        let (report, host) = sandbox.call(program, order("1.00"), Recorder::default()).await;
        assert_eq!((report.outcome, host.logged), (Ok(()), vec![format!("Info {i}")]));
    }
    assert!(format!("{sandbox:?}").contains("warm: 8"), "{sandbox:?}");
}
