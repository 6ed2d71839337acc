//! The golden plugin of 0.1: a component that was built once on the first release of the contract, has every role and makes every
//! call. Its bytes never change; as long as these stories pass, components of partners run on.

use rapport_model::Value;
use rapport_sandbox::work::{
    ActionCall, FunctionCall, MigrationStep, ProposedChange, Refusal, Request, Response, Undone,
};
use rapport_sandbox::{GuestFailure, Output, Program, Role, Sandbox, Work};

use crate::host::{Recorder, data, points, record, sandbox};

const GOLDEN: &[u8] = include_bytes!("../../../../tests/data/golden/0.1/golden.wasm");

async fn golden(sandbox: &Sandbox) -> Program {
    sandbox.load_component(GOLDEN).await.unwrap()
}

async fn answer(sandbox: &Sandbox, work: impl Into<Work>) -> (Result<Output, GuestFailure>, Vec<String>) {
    let program = golden(sandbox).await;
    let (report, host) = sandbox.call(&program, work, Recorder::default()).await;
    (report.outcome.map(|()| report.output), host.logged)
}

#[tokio::test]
async fn the_golden_plugin_has_every_role() {
    assert_eq!(golden(&sandbox()).await.roles(), Role::ALL);
}

#[tokio::test]
async fn the_golden_plugin_makes_every_call() {
    let sandbox = sandbox();
    let program = golden(&sandbox).await;
    let settings = [("silver_from".to_owned(), Value::Int(1_000))].into();
    let host = Recorder { records: vec![record("customer", "1.00")], settings, now: 7, ..Recorder::default() };
    let (report, host) = sandbox.call(&program, points(0, 5), host).await;
    assert_eq!(report.outcome, Ok(()));
    insta::assert_snapshot!("golden_calls", host.calls.join("\n"));
    insta::assert_snapshot!("golden_log", host.logged.join("\n"));
}

#[tokio::test]
async fn an_instant_of_a_schedule_goes_to_its_own_export() {
    let (output, logged) = answer(&sandbox(), data("schedule.due", vec![])).await;
    assert_eq!((output, logged), (Ok(Output::Done), vec!["Info schedule.due".to_owned()]));
}

#[tokio::test]
async fn an_action_answers_json_or_fails() {
    let sandbox = sandbox();
    let call = |action: &str| {
        Work::Action(ActionCall {
            action: action.into(),
            input: r#"{"points":1000}"#.into(),
            caller: "user:mei".into(),
            event_position: 9,
        })
    };
    let (output, _) = answer(&sandbox, call("redeem")).await;
    let json = r#"{"action":"redeem","caller":"user:mei","input":{"points":1000},"position":9}"#;
    assert_eq!(output, Ok(Output::Json(json.into())));
    let (output, _) = answer(&sandbox, call("fail")).await;
    let (code, message) = ("busy".to_owned(), "come back later".to_owned());
    assert_eq!(output, Err(GuestFailure::Failed { code, message, retryable: true }));
}

#[tokio::test]
async fn a_request_is_answered() {
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let request = Request {
        route: "/members/{member}".into(),
        method: "POST".into(),
        path: "/members/ada".into(),
        path_params: pair("member", "ada"),
        query: pair("q", "1"),
        headers: pair("x-a", "2"),
        body: vec![1],
        actor: "user:mei".into(),
    };
    let (output, _) = answer(&sandbox(), Work::Request(request)).await;
    let body = b"/members/{member} POST /members/ada Some(\"ada\") Some(\"1\") Some(\"2\") user:mei".to_vec();
    let headers = vec![("content-type".into(), "text/plain; charset=utf-8".into()), ("x-b".to_owned(), "2".to_owned())];
    assert_eq!(output, Ok(Output::Response(Response { status: 201, headers, body })));
}

#[tokio::test]
async fn a_change_is_judged() {
    let sandbox = sandbox();
    let change = |points: i64| {
        Work::Validate(ProposedChange {
            object: "customer".into(),
            operation: "update".into(),
            after: vec![("points".into(), Value::Int(points))],
            ..ProposedChange::default()
        })
    };
    assert_eq!(answer(&sandbox, change(1)).await.0, Ok(Output::Done));
    let refusal = Refusal { code: "negative".into(), message: "update of customer".into(), field: "points".into() };
    assert_eq!(answer(&sandbox, change(-1)).await.0, Ok(Output::Refused(refusal)));
}

#[tokio::test]
async fn a_run_is_taken_back_and_data_are_migrated() {
    let sandbox = sandbox();
    let undone = Undone { run: "r".into(), automation_digest: "d".into(), event: Some(points(0, 1)), action: None };
    let (output, logged) = answer(&sandbox, Work::Compensate(undone)).await;
    assert_eq!((output, logged[0].as_str()), (Ok(Output::Done), "Info r d (Some(\"customer.updated\"), None)"));
    let step = |cursor: &str| {
        Work::Migrate(MigrationStep { from: "0.1.0".into(), to: "0.2.0".into(), cursor: cursor.into(), dry_run: true })
    };
    assert_eq!(answer(&sandbox, step("")).await.0, Ok(Output::Cursor("next".into())));
    assert_eq!(answer(&sandbox, step("next")).await.0, Ok(Output::Done));
}

#[tokio::test]
async fn a_script_has_functions_and_no_actions() {
    let sandbox = sandbox();
    let source = "on(\"order.created\");\nfn run(event) {}\nfn twice(n, by) { #{ result: n * by } }\n";
    let program = sandbox.load_script("x.rhai", source).await.unwrap();
    let call = |function: &str, arguments: &str| {
        Work::Function(FunctionCall { function: function.into(), arguments: arguments.into() })
    };
    let (report, _) = sandbox.call(&program, call("twice", "[21, 2]"), Recorder::default()).await;
    assert_eq!((report.outcome, report.output), (Ok(()), Output::Json(r#"{"result":42}"#.into())));
    for (function, arguments, code) in [("thrice", "[1]", "unknown_function"), ("twice", "1", "invalid")] {
        let (report, _) = sandbox.call(&program, call(function, arguments), Recorder::default()).await;
        assert_eq!(report.outcome.unwrap_err().code(), code);
    }
    let (report, _) = sandbox.call(&program, Work::Action(ActionCall::default()), Recorder::default()).await;
    assert_eq!(report.outcome.unwrap_err().code(), "unsupported");
}
