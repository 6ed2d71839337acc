//! What a hostile script does to the host: nothing. It is stopped within its budget, and others do not notice.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Database, TestApp, eventually, on_both, order_paid};

on_both!(
    a_loop_is_stopped,
    a_string_that_doubles_is_stopped,
    recursion_is_stopped,
    a_map_grown_by_index_is_stopped,
    an_array_of_a_billion_is_stopped,
    a_loop_of_slow_host_calls_is_stopped,
    too_many_writes_are_stopped,
    too_much_log_is_cut_not_fatal,
    looping_scripts_do_not_hold_up_another_lane,
    memory_of_the_host_stays_flat,
    eval_and_import_do_not_exist,
);

fn hostile(body: &str) -> String {
    format!(
        "//! Hostile.\non(\"order.paid\");\nuses(\"customer:read\", \"company:write\", \"company:read\");\nfn deeper(n) {{ deeper(n + 1) + 1 }}\nfn run(event) {{ {body} }}\n"
    )
}

/// Runs one hostile body to its end and returns the error that its dead run tells.
async fn end_of(database: Database, body: &str) -> (TestApp, Value) {
    let app = TestApp::on(database)
        .configure(|c| c.limits.run_attempts_max = 1)
        .script("hostile", &hostile(body))
        .start()
        .await;
    app.customer("a").await;
    app.post("/v1/events", order_paid("1", "a", "1")).await.expect(202);
    let dead = eventually("the run to be stopped", || async { app.runs("status=dead").await.pop() }).await;
    app.expect_dead(1);
    let run = app.get(&format!("/v1/runs/{}", dead["id"].as_str().unwrap())).await.expect(200).json();
    (app, run)
}

async fn a_loop_is_stopped(database: Database) {
    let (_app, run) = end_of(database, "loop { }").await;
    let error = run["error"].to_string();
    assert!(error.contains("fuel") && error.contains("50000000"), "the limit is named with its number: {error}");
}

async fn a_string_that_doubles_is_stopped(database: Database) {
    let (_app, run) = end_of(database, "let s = \"abcdefgh\"; loop { s += s; }").await;
    assert!(run["error"].to_string().contains("memory") || run["error"].to_string().contains("fuel"), "{run}");
}

async fn recursion_is_stopped(database: Database) {
    let (_app, run) = end_of(database, "deeper(0);").await;
    assert!(run["error"]["message"].to_string().contains("deep"), "{run}");
}

async fn a_map_grown_by_index_is_stopped(database: Database) {
    let (_app, run) = end_of(
        database,
        "let m = #{}; let i = 0; loop { m[`key${i}`] = \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" + i; i += 1; }",
    )
    .await;
    assert!(run["error"].to_string().contains("memory") || run["error"].to_string().contains("fuel"), "{run}");
}

async fn an_array_of_a_billion_is_stopped(database: Database) {
    let (_app, run) = end_of(database, "let a = []; a.pad(1_000_000_000, 0);").await;
    assert!(run["error"].to_string().contains("memory") || run["error"].to_string().contains("fuel"), "{run}");
}

async fn a_loop_of_slow_host_calls_is_stopped(database: Database) {
    let (_app, run) = end_of(database, "loop { count(\"company\", \"name.contains('x')\", #{}); }").await;
    let error = run["error"].to_string();
    assert!(error.contains("host calls") || error.contains("host_calls") || error.contains("deadline"), "{error}");
}

async fn too_many_writes_are_stopped(database: Database) {
    let (app, _run) =
        end_of(database, "for i in 0..100_000 { try { create(\"company\", #{ name: \"x\" }); } catch (e) { } }").await;
    assert_eq!(app.get("/v1/records/company").await.items().len(), 0, "a stopped slice keeps nothing");
}

async fn too_much_log_is_cut_not_fatal(database: Database) {
    let script = hostile(
        "for i in 0..200 { log(\"a line that is so long that two hundred of them are more than the trace may hold, by far, really\"); }",
    );
    let app = TestApp::on(database).script("hostile", &script).start().await;
    app.customer("a").await;
    app.post("/v1/events", order_paid("1", "a", "1")).await.expect(202);
    app.run_until_idle().await;
    let run = app.runs("status=completed").await.pop().unwrap();
    let run = app.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await.json();
    assert!(run.to_string().len() < 200_000, "{}", run.to_string().len());
}

async fn looping_scripts_do_not_hold_up_another_lane(database: Database) {
    let script = "//! Loops for customers whose number begins with x.\non(\"order.paid\");\nuses(\"customer.notes:write\", \"customer:read\");\n\
        fn run(event) { if event.record.customer_no.starts_with(\"x\") { loop { } } update(event.record, #{ notes: \"done\" }); }\n";
    let setup = TestApp::on(database).configure(|c| c.limits.run_attempts_max = 1).script("hostile", script);
    let app = setup.start().await;
    for i in 0..16 {
        app.customer(&format!("x{i}")).await;
    }
    app.customer("fast").await;
    let mut lines: Vec<String> =
        (0..16).map(|i| order_paid(&format!("x{i}"), &format!("x{i}"), "1").to_string()).collect();
    lines.push(order_paid("fast", "fast", "1").to_string());
    let began = Instant::now();
    app.ndjson("/v1/events", &lines).await.expect(202);
    eventually("the fast lane", || async { (app.customer_field("fast", "notes").await == "done").then_some(()) }).await;
    let took = began.elapsed();
    let still = app.get("/v1/runs?status=dead").await.items().len();
    assert!(still < 16 || took < Duration::from_secs(2), "the fast lane waited for all sixteen: {took:?}");
    eventually("the loops to end", || async { (app.runs("status=dead").await.len() == 16).then_some(()) }).await;
    app.expect_dead(16);
}

async fn memory_of_the_host_stays_flat(database: Database) {
    let setup = TestApp::on(database).configure(|c| c.limits.run_attempts_max = 1);
    let app = setup.script("hostile", &hostile("let s = \"abcdefgh\"; loop { s += s; }")).start().await;
    app.customer("a").await;
    let before = resident_bytes();
    let lines: Vec<String> = (0..20).map(|i| order_paid(&i.to_string(), "a", "1").to_string()).collect();
    app.ndjson("/v1/events", &lines).await.expect(202);
    eventually("all to be stopped", || async { (app.runs("status=dead").await.len() == 20).then_some(()) }).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 200 << 20, "twenty slices that each wanted all memory left {grown} bytes behind");
    app.expect_dead(20);
}

async fn eval_and_import_do_not_exist(database: Database) {
    let app = TestApp::start(database).await;
    for body in ["eval(\"1\");", "import \"x\" as y;"] {
        let path = app.script_path("evil");
        std::fs::write(&path, hostile(body)).unwrap();
        let checked = crate::process::rapport(&["script", "check", path.to_str().unwrap()]).run();
        assert_eq!(checked.code, 1, "{body}: {}", checked.text);
        assert!(checked.text.contains("evil.rhai:5"), "{body}: {}", checked.text);
    }
}

/// The memory of this process that is in use.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
