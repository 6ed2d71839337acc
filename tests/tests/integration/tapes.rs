//! Tapes: a run of a server is played again where there is neither the server nor its data.

use serde_json::{Value, json};

use crate::actions::{ADA, TILL, call, customer, till};
use crate::client::{Client, Request};
use crate::harness::{Database, TestApp, on_both, order_paid};
use crate::keeping::asked;
use crate::process::{Outcome, rapport};
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    a_run_is_played_again_with_what_it_read_then,
    a_tape_needs_no_server,
    a_script_that_does_otherwise_is_shown_where,
    a_run_that_failed_is_played_up_to_its_failure,
    a_run_that_waited_is_played_whole,
    a_run_that_waits_is_played_as_far_as_it_came,
    a_run_that_read_a_file_has_it_as_it_was,
    a_tape_that_does_not_know_who_was_in_a_segment_says_so,
    a_journal_is_kept_as_long_as_the_operator_says,
    a_tape_is_not_for_everybody,
    what_is_no_tape_is_refused,
);

/// Pays, and gives the run.
async fn paid(app: &TestApp, points: i64) -> String {
    let reply = call(app, "till.pay", json!({ "customer": ADA, "points": points })).await.expect(200);
    reply.header("rapport-run").unwrap().to_owned()
}

fn replay(client: &Client, app: &TestApp, arguments: &[&str]) -> Outcome {
    rapport(&[&["--json"], arguments].concat()).to(client, &app.folder.path().join("key")).run()
}

/// What `plugin replay` says of the run, with the plugin in the server's folder.
fn replayed(app: &TestApp, run: &str, plugin: &str, code: i32) -> Value {
    let folder = app.folder.path().join("plugins").join(plugin);
    let arguments = ["plugin", "replay", run, "--plugin", folder.to_str().unwrap()];
    serde_json::from_str(&replay(app, app, &arguments).expect(code).output).unwrap()
}

/// What `script replay` says of the run, with this script.
fn replayed_with(app: &TestApp, run: &str, script: &str, code: i32) -> Value {
    let file = app.folder.path().join("other.rhai");
    std::fs::write(&file, script).unwrap();
    let arguments = ["script", "replay", run, "--script", file.to_str().unwrap()];
    serde_json::from_str(&replay(app, app, &arguments).expect(code).output).unwrap()
}

fn calls(told: &Value) -> Vec<&str> {
    told["calls"].as_array().unwrap().iter().map(|call| call["call"].as_str().unwrap()).collect()
}

async fn a_run_is_played_again_with_what_it_read_then(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let first = paid(&app, 10).await;
    paid(&app, 15).await;
    // What came later is taken back for the tape: with 5 points the first run would have been refused.
    let told = replayed(&app, &first, "till", 0);
    assert_eq!(told["verdict"], "same", "{told}");
    assert_eq!(calls(&told), ["get", "create", "increment"], "{told}");
    assert_eq!((&told["calls_same"], &told["remarks"]), (&json!(3), &json!([])), "{told}");
    assert_eq!(told["output"], json!({ "result": "ok", "left": 20 }));
    assert_eq!(app.customer_field("a", "points").await, 5, "nothing is changed");
    assert!(
        !app.folder.path().join("data/scratch").read_dir().is_ok_and(|mut left| left.next().is_some()),
        "nothing is left behind"
    );
}

async fn a_tape_needs_no_server(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let run = paid(&app, 10).await;
    let (plugin, tape) = (app.folder.path().join("plugins/till"), app.folder.path().join("run.tape"));
    let (plugin, tape) = (plugin.to_str().unwrap(), tape.to_str().unwrap());
    replay(&app, &app, &["plugin", "replay", &run, "--plugin", plugin, "--save", tape]).expect(0);
    let folder = app.stop().await;
    let told = rapport(&["plugin", "replay", "--tape", tape, "--plugin", plugin]).within(folder.path()).run().expect(0);
    assert!(told.output.contains("completed after 3 calls"), "{}", told.output);
    assert!(told.output.contains("here: the same 3 calls, and the same end"), "{}", told.output);
}

const NOTES: &str = r#"//! Notes an order.
on("order.paid");
uses("customer:read", "customer.notes:write");
fn run(event) {
    let c = get("customer", "customer_no:1");
    update(c, #{ notes: `paid ${event.data.amount}` });
}
"#;

async fn a_script_that_does_otherwise_is_shown_where(database: Database) {
    let app = TestApp::on(database).script("notes", NOTES).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    app.post("/v1/events", order_paid("o1", "1", "10.00")).await.expect(202);
    app.run_until_idle().await;
    let run = app.runs("automation=notes").await[0]["id"].as_str().unwrap().to_owned();
    let same = replayed_with(&app, &run, NOTES, 0);
    assert_eq!(same["verdict"], "same", "{same}");
    let told = replayed_with(&app, &run, &NOTES.replace("`paid ", "`PAID "), 1);
    assert_eq!((&told["verdict"], &told["difference"]["call"]), (&json!("differs"), &json!(2)), "{told}");
    let why = told["difference"]["why"].as_str().unwrap();
    assert!(why.contains("`update`") && why.contains("PAID 10") && why.contains("paid 10"), "{why}");
    let more = NOTES.replace("    update(c", "    update(c, #{ notes: \"first\" });\n    update(c");
    assert_eq!(replayed_with(&app, &run, &more, 1)["difference"]["call"], 2);
    let none = NOTES.replace("    update(", "    if false { update(").replace("});", "}) }");
    assert_eq!(replayed_with(&app, &run, &none, 1)["difference"]["call"], 2);
    let after = NOTES.replace("` });", "` });\n    get(\"customer\", \"customer_no:2\");");
    let told = replayed_with(&app, &run, &after, 1);
    assert!(told["difference"]["why"].as_str().unwrap().contains("where it had ended"), "{told}");
}

async fn a_run_that_failed_is_played_up_to_its_failure(database: Database) {
    let manifest = format!("{TILL}[[actions]]\nname = \"break\"\n");
    let app = TestApp::on(database).till_plugin("till", &manifest).start().await;
    app.expect_dead(1);
    call(&app, "till.break", json!({})).await.expect(422);
    let run = app.runs("status=dead").await[0]["id"].as_str().unwrap().to_owned();
    // What would have helped it came too late.
    app.post("/v1/records/customer", json!({ "customer_no": "fixed" })).await.expect(201);
    let told = replayed(&app, &run, "till", 0);
    assert_eq!((&told["verdict"], &told["error"]["code"]), (&json!("same"), &json!("trap")), "{told}");
    assert_eq!(calls(&told), ["get"], "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("the drawer is stuck"), "{told}");
}

async fn a_run_that_waited_is_played_whole(database: Database) {
    let clock = clock();
    let app = till(database).clock(clock.clone()).start().await;
    customer(&app, 30).await;
    let held = json!({ "customer": ADA, "points": 10, "span": "1 day" });
    app.send(Request::new("POST", "/v1/actions/till.hold").header("prefer", "wait=0").json(&held)).await.expect(202);
    waiting(&app, 1).await;
    paid(&app, 15).await;
    later(&clock, "2 days");
    completed(&app, 2).await;
    paid(&app, 5).await;
    let run = app.runs("automation=till").await[2]["id"].as_str().unwrap().to_owned();
    let told = replayed(&app, &run, "till", 0);
    assert_eq!(told["verdict"], "same", "{told}");
    assert_eq!(calls(&told), ["sleep", "get", "create", "increment"]);
    assert_eq!(told["output"], json!({ "result": "ok", "left": 5 }));
}

async fn a_run_that_waits_is_played_as_far_as_it_came(database: Database) {
    let clock = clock();
    let app = till(database).clock(clock.clone()).start().await;
    customer(&app, 30).await;
    let held = json!({ "customer": ADA, "points": 10, "span": "1 day" });
    app.send(Request::new("POST", "/v1/actions/till.hold").header("prefer", "wait=0").json(&held)).await.expect(202);
    waiting(&app, 1).await;
    let run = app.runs("status=waiting").await[0]["id"].as_str().unwrap().to_owned();
    let told = replayed(&app, &run, "till", 0);
    assert_eq!((&told["verdict"], &told["recorded"]["status"]), (&json!("same"), &json!("waiting")), "{told}");
    assert_eq!(calls(&told), ["sleep"]);
}

async fn a_run_that_read_a_file_has_it_as_it_was(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["file:read", "file:write"], "").start().await;
    let put = asked(&app, "keeper", "1", json!([["put", "a.txt", "text/plain", "Dear Ada", ""]])).await;
    let read = json!([["read", put[0], 0, 100], ["info", put[0]]]);
    assert_eq!(asked(&app, "keeper", "2", read).await[0], "Dear Ada");
    let run = app.runs("automation=keeper").await[0]["id"].as_str().unwrap().to_owned();
    asked(&app, "keeper", "3", json!([["remove", put[0]]])).await;
    let told = replayed(&app, &run, "keeper", 0);
    assert_eq!((&told["verdict"], &told["remarks"]), (&json!("same"), &json!([])), "{told}");
    assert_eq!(calls(&told), ["files.read", "files.info", "update"]);
}

async fn a_tape_that_does_not_know_who_was_in_a_segment_says_so(database: Database) {
    let near = "//! Keeps a segment.\nsegment(\"near\", \"country == 'Norway'\");\n";
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "").script("segments/near", near).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "kari", "country": "Norway" })).await.expect(201);
    app.settle().await;
    let calls = json!([["aggregate", "customer", [], "in_segment('near')", ["count"]]]);
    assert_eq!(asked(&app, "keeper", "1", calls).await, json!([[[1]]]));
    let run = app.runs("automation=keeper").await[0]["id"].as_str().unwrap().to_owned();
    let told = replayed(&app, &run, "keeper", 0);
    assert!(told["calls"].to_string().contains("members_unknown"), "{told}");
    let remark = told["remarks"][0].as_str().unwrap();
    assert!(remark.contains("what it read is not all as it was"), "{remark}");
}

async fn a_journal_is_kept_as_long_as_the_operator_says(database: Database) {
    let clock = clock();
    let setup = till(database).clock(clock.clone()).configure(|config| config.limits.journal_days = 0);
    let app = setup.start().await;
    customer(&app, 30).await;
    let held = json!({ "customer": ADA, "points": 10, "span": "1 day" });
    app.send(Request::new("POST", "/v1/actions/till.hold").header("prefer", "wait=0").json(&held)).await.expect(202);
    waiting(&app, 1).await;
    later(&clock, "2 days");
    completed(&app, 1).await;
    let run = app.runs("automation=till").await[0]["id"].as_str().unwrap().to_owned();
    let refused = app.post(&format!("/v1/runs/{run}/tape"), json!({})).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("`limits.journal_days`"), "{refused}");
}

async fn a_tape_is_not_for_everybody(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let run = paid(&app, 10).await;
    let key = app.post("/v1/keys", json!({ "name": "reader", "scopes": ["read"] })).await.expect(201).json();
    let reader = app.with_key(key["secret"].as_str().unwrap());
    reader.post(&format!("/v1/runs/{run}/tape"), json!({})).await.expect(403);
    app.post("/v1/runs/00000000-0000-7000-8000-000000000000/tape", json!({})).await.expect(404);
}

async fn what_is_no_tape_is_refused(database: Database) {
    let app = till(database).keeper_plugin("keeper", &[], "").start().await;
    customer(&app, 30).await;
    let run = paid(&app, 10).await;
    let other = app.folder.path().join("plugins/keeper");
    let told = replay(&app, &app, &["plugin", "replay", &run, "--plugin", other.to_str().unwrap()]).expect(1);
    assert!(told.text.contains("the run is one of `till`, and this is `keeper`"), "{}", told.text);
    let till = app.folder.path().join("plugins/till");
    for (text, why) in [
        ("{}", "this is no tape of a run"),
        ("{\"tape\": 9}", "the tape has the form 9, this program reads 1"),
        ("{\"tape\": 1}", "the tape is damaged: missing field"),
        ("nonsense", "tape"),
    ] {
        let file = app.folder.path().join("bad.tape");
        std::fs::write(&file, text).unwrap();
        let arguments = ["plugin", "replay", "--tape", file.to_str().unwrap(), "--plugin", till.to_str().unwrap()];
        let told = rapport(&arguments).run();
        assert!(told.code != 0 && told.text.contains(why), "{text}: {}", told.text);
    }
}
