//! Actions of plugins: called by name, by people, scripts and plugins; each call is a run, or only reads.

use serde_json::{Value, json};

use crate::client::{Client, Reply, Request};
use crate::harness::{Database, Setup, TestApp, eventually, on_both, order_paid};
use crate::waiting::{clock, later, waiting};

on_both!(
    an_action_answers_its_output_and_is_a_run,
    an_action_that_only_reads_leaves_no_trace,
    an_action_that_only_reads_may_do_nothing_else,
    what_does_not_fit_is_refused_with_its_place,
    an_action_that_is_not_there_is_named_with_its_nearest,
    an_action_that_fails_says_how,
    a_repeated_call_happens_once,
    an_action_that_waits_is_answered_later,
    an_action_works_on_the_lane_of_its_record,
    fifty_who_pay_the_last_points_at_once_pay_once,
    a_script_calls_an_action,
    a_plugin_calls_another_through_what_both_declare,
    who_may_not_is_refused,
    a_disabled_plugin_does_nothing,
    a_job_is_done_later_and_once,
    a_call_is_explained_and_retried,
    a_plugin_of_every_role_goes_live,
);

/// The till with its actions.
pub(crate) const TILL: &str = r#"
[[capabilities]]
right = "customer:read"
reason = "looks at points"
[[capabilities]]
right = "customer.points:write"
reason = "takes points"
[[capabilities]]
right = "till_entry:create"
reason = "keeps the book"
[[capabilities]]
right = "till_entry:read"
reason = "takes back what it did"
[[fields]]
object = "customer"
name = "points"
type = "integer"
[[objects]]
name = "till_entry"
fields = { customer = { type = "reference(customer)", indexed = true }, points = "integer", cause = { type = "text", indexed = true } }
[[event_types]]
name = "till.closed"
[[actions]]
name = "pay"
title = "Takes points"
lane = "customer"
callers = ["api", "scripts", "plugins"]
input = { type = "object", required = ["customer", "points"], additionalProperties = false, properties = { customer = { type = "string" }, points = { type = "integer", minimum = 1 }, key = { type = "string" }, stubborn = { type = "boolean" } } }
output = { type = "object", required = ["result"], properties = { result = { enum = ["ok", "rejected_balance", "rejected_unknown"] }, left = { type = "integer" } } }
[[actions]]
name = "balance"
readonly = true
callers = ["api", "scripts", "plugins"]
input = { type = "object", required = ["customer"], properties = { customer = { type = "string" } } }
[[actions]]
name = "hold"
lane = "customer"
input = { type = "object", properties = { customer = { type = "string" }, points = { type = "integer", default = 5 }, span = { type = "string" } } }
[[actions]]
name = "later"
[[actions]]
name = "peek"
readonly = true
[[actions]]
name = "relay"
[[actions]]
name = "fail"
[[actions]]
name = "wrong"
output = { type = "object", properties = { result = { type = "string" } } }
[[actions]]
name = "seen"
[[actions]]
name = "inner"
callers = ["scripts"]
"#;

/// A till that has everything done by the first one.
const DESK: &str = r#"
calls = ["till.pay", "till.balance"]
[[capabilities]]
right = "invoke:till.pay"
reason = "has points taken"
[[capabilities]]
right = "invoke:till.balance"
reason = "asks for points"
[[actions]]
name = "relay"
"#;

pub(crate) fn till(database: Database) -> Setup {
    TestApp::on(database).till_plugin("till", TILL)
}

pub(crate) async fn customer(app: &TestApp, points: i64) -> Value {
    app.post("/v1/records/customer", json!({ "customer_no": "a", "points": points })).await.expect(201).json()
}

pub(crate) const ADA: &str = "customer/customer_no:a";

pub(crate) async fn call(client: &Client, action: &str, input: Value) -> Reply {
    client.post(&format!("/v1/actions/{action}"), input).await
}

async fn run_of(app: &TestApp, reply: &Reply) -> Value {
    let id = reply.header("rapport-run").unwrap().to_owned();
    app.get(&format!("/v1/runs/{id}")).await.expect(200).json()
}

fn pay(points: i64) -> Value {
    json!({ "customer": ADA, "points": points })
}

async fn an_action_answers_its_output_and_is_a_run(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let paid = call(&app, "till.pay", pay(10)).await.expect(200);
    assert_eq!(paid.json(), json!({ "result": "ok", "left": 20 }));
    assert_eq!(app.customer_field("a", "points").await, 20);
    let run = run_of(&app, &paid).await;
    assert_eq!((&run["automation"], &run["status"], &run["depth"]), (&json!("till"), &json!("completed"), &json!(0)));
    let trigger = &run["trigger"];
    assert_eq!((&trigger["type"], &trigger["data"]["action"]), (&json!("run.invoked"), &json!("pay")));
    assert_eq!(trigger["data"]["input"], pay(10));
    assert!(trigger["actor"].as_str().unwrap().starts_with("user:"), "{trigger}");
    assert_eq!(run["result"], json!({ "result": "ok", "left": 20 }));
    // Who calls is told to the plugin.
    let seen = call(&app, "till.seen", json!({ "a": 1 })).await.expect(200).json();
    assert_eq!((&seen["caller"], &seen["input"]), (&trigger["actor"], &json!({ "a": 1 })));
    let listed = app.get("/v1/actions").await.expect(200).items();
    let names: Vec<&str> = listed.iter().map(|action| action["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"till.pay"), "{names:?}");
    let shown = app.get("/v1/actions/till.pay").await.expect(200).json();
    assert_eq!((&shown["title"], &shown["lane"]), (&json!("Takes points"), &json!("customer")));
    assert_eq!(shown["input"]["required"], json!(["customer", "points"]));
}

async fn an_action_that_only_reads_leaves_no_trace(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let before = app.log().await.len();
    let told = call(&app, "till.balance", json!({ "customer": ADA })).await.expect(200);
    assert_eq!(told.json(), json!({ "points": 30 }));
    assert_eq!(told.header("rapport-run"), None);
    assert_eq!((app.log().await.len(), app.runs("").await.len()), (before, 0));
}

async fn an_action_that_only_reads_may_do_nothing_else(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let before = app.log().await.len();
    for how in ["increment", "create", "emit", "send", "sleep", "invoke", "job"] {
        let refused = call(&app, "till.peek", json!({ "customer": "customer_no:a", "how": how })).await.expect(422);
        assert_eq!(refused.code(), "action_failed", "{how}");
        assert_eq!(refused.json()["error"]["code"], "readonly", "{how}: {}", refused.json());
    }
    assert_eq!(call(&app, "till.peek", json!({})).await.expect(200).json(), json!({ "looked": true }));
    assert_eq!((app.log().await.len(), app.runs("").await.len()), (before, 0));
    assert_eq!(app.customer_field("a", "points").await, 30);
}

async fn what_does_not_fit_is_refused_with_its_place(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let before = app.log().await.len();
    for (input, pointer) in [
        (json!({ "customer": ADA, "points": 0 }), "/points"),
        (json!({ "customer": 7, "points": 1 }), "/customer"),
        (json!({ "customer": ADA, "points": 1, "pionts": 1 }), "/pionts"),
        (json!([]), ""),
    ] {
        let refused = call(&app, "till.pay", input.clone()).await.expect(422).json();
        assert_eq!(
            (&refused["code"], &refused["errors"][0]["pointer"]),
            (&json!("invalid"), &json!(pointer)),
            "{input}"
        );
    }
    let long = json!({ "customer": "x".repeat(70_000), "points": 1 });
    call(&app, "till.pay", long).await.expect(422);
    assert_eq!((app.log().await.len(), app.runs("").await.len()), (before, 0));
    // What the plugin answers is held against what it said.
    app.expect_dead(1);
    let wrong = call(&app, "till.wrong", json!({})).await.expect(422).json();
    assert_eq!(wrong["error"]["code"], "invalid_output");
    assert!(wrong["detail"].as_str().unwrap().contains("/result"), "{wrong}");
}

async fn an_action_that_is_not_there_is_named_with_its_nearest(database: Database) {
    let app = till(database).start().await;
    for (name, hint) in [("till.pya", "`till.pay`"), ("tll.pay", "`till.pay`"), ("redeem", "no action")] {
        let missing = call(&app, name, json!({})).await.expect(404);
        assert_eq!(missing.code(), "unknown_action", "{name}");
        assert!(missing.json()["detail"].as_str().unwrap().contains(hint), "{}", missing.json());
    }
}

async fn an_action_that_fails_says_how(database: Database) {
    let app = till(database).start().await;
    app.expect_dead(1);
    let failed = call(&app, "till.fail", json!({})).await.expect(422).json();
    assert_eq!(failed["code"], "action_failed");
    assert_eq!(failed["error"], json!({ "code": "till_closed", "message": "come back tomorrow" }));
    let run = app.get(&format!("/v1/runs/{}", failed["run"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("dead"), &json!("till_closed")));
}

async fn a_repeated_call_happens_once(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let keyed =
        |input: &Value| Request::new("POST", "/v1/actions/till.pay").header("idempotency-key", "k1").json(input);
    let first = app.send(keyed(&pay(10))).await.expect(200);
    let again = app.send(keyed(&pay(10))).await.expect(200);
    assert_eq!((first.json(), first.header("rapport-run")), (again.json(), again.header("rapport-run")));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    let other = app.send(keyed(&pay(11))).await.expect(422);
    assert_eq!(other.code(), "idempotency_key_reused");
    let many = (0..20).map(|_| {
        let client = (*app).clone();
        let request = Request::new("POST", "/v1/actions/till.pay").header("idempotency-key", "k2").json(&pay(5));
        tokio::spawn(async move { client.send(request).await.expect(200).json() })
    });
    for one in many.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), json!({ "result": "ok", "left": 15 }));
    }
    assert_eq!(app.customer_field("a", "points").await, 15);
}

async fn an_action_that_waits_is_answered_later(database: Database) {
    let clock = clock();
    let app = till(database).clock(clock.clone()).start().await;
    customer(&app, 30).await;
    let input = json!({ "customer": ADA, "span": "1 hour" });
    let keyed = |seconds: &str| {
        let request = Request::new("POST", "/v1/actions/till.hold").json(&input);
        request.header("idempotency-key", "k").header("prefer", &format!("wait={seconds}"))
    };
    let open = app.send(keyed("0")).await.expect(202);
    let run = open.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(open.header("location"), Some(format!("/v1/runs/{run}").as_str()));
    waiting(&app, 1).await;
    assert_eq!(app.send(keyed("0")).await.expect(202).json(), json!({ "run": run, "status": "waiting" }));
    assert_eq!(app.customer_field("a", "points").await, 30);
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    later(&clock, "1 hour");
    let done = app.send(keyed("20")).await.expect(200);
    assert_eq!(done.json(), json!({ "result": "ok", "left": 25 }), "the default of 5 points");
    assert_eq!(done.header("rapport-run"), Some(run.as_str()));
    assert_eq!(app.customer_field("a", "points").await, 25);
}

async fn an_action_works_on_the_lane_of_its_record(database: Database) {
    let app = till(database).start().await;
    let ada = customer(&app, 30).await;
    let paid = call(&app, "till.pay", pay(1)).await.expect(200);
    let run = run_of(&app, &paid).await;
    assert_eq!(run["lane"], ada["id"]);
    assert_eq!(run["trigger"]["subject"], format!("customer/{}", ada["id"].as_str().unwrap()));
    // By its id alone as well; and what is not there is the plugin's to answer.
    let by_id = call(&app, "till.pay", json!({ "customer": ada["id"], "points": 1 })).await.expect(200);
    assert_eq!(run_of(&app, &by_id).await["lane"], ada["id"]);
    let unknown =
        call(&app, "till.pay", json!({ "customer": "customer/customer_no:b", "points": 1 })).await.expect(200);
    assert_eq!(unknown.json(), json!({ "result": "rejected_unknown" }));
    assert_eq!(run_of(&app, &unknown).await["lane"], Value::Null);
}

async fn fifty_who_pay_the_last_points_at_once_pay_once(database: Database) {
    let app = till(database).start().await;
    customer(&app, 10).await;
    let all = (0..50).map(|_| {
        let client = (*app).clone();
        tokio::spawn(async move { call(&client, "till.pay", pay(10)).await.expect(200).json()["result"].clone() })
    });
    let mut paid = 0;
    for one in all.collect::<Vec<_>>() {
        paid += usize::from(one.await.unwrap() == "ok");
    }
    assert_eq!((paid, app.customer_field("a", "points").await), (1, json!(0)));
    assert_eq!(app.all("till_entry").await.len(), 1);
}

const PAYS: &str = r#"//! Pays with points, and notes what is left.
on("order.paid");
uses("customer:read", "customer.points:write", "customer.notes:write", "invoke:till.pay", "invoke:till.balance");
fn run(event) {
    let me = event.record;
    increment(me, "points", 1);
    let seen = invoke("till.balance", #{ customer: me });
    let paid = invoke("till.pay", #{ customer: me, points: 3 });
    let after = invoke("till.balance", #{ customer: me });
    update(me, #{ notes: `${seen.points} ${paid.result} ${paid.left} ${after.points}` });
}
"#;

async fn noted(app: &TestApp) -> Value {
    let notes = || async { Some(app.customer_field("a", "notes").await).filter(|notes| !notes.is_null()) };
    eventually("the note", notes).await
}

async fn a_script_calls_an_action(database: Database) {
    let app = till(database).script("pays", PAYS).start().await;
    assert!(app.get("/v1/automations").await.items().iter().any(|a| a["id"] == "pays"), "{}", app.notices());
    customer(&app, 10).await;
    app.post("/v1/events", order_paid("1", "a", "5")).await.expect(202);
    // It sees what the slice has written before it; and what it has done once it is answered.
    assert_eq!(noted(&app).await, "11 ok 8 8");
    app.run_until_idle().await;
    let runs = app.runs("automation=till").await;
    assert_eq!(runs.len(), 1, "what only reads has no run: {runs:?}");
    let run = app.get(&format!("/v1/runs/{}", runs[0]["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((&run["depth"], &run["trigger"]["actor"]), (&json!(1), &json!("automation:pays")));
    let explained = app.get(&format!("/v1/runs/{}/explain", runs[0]["id"].as_str().unwrap())).await.expect(200).json();
    let types: Vec<&Value> = explained["because"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert_eq!(types, ["run.invoked", "order.paid"]);
    assert_eq!(explained["because"][0]["by"]["lines"], json!([8]), "{explained}");
    let graph = app.get("/v1/automations/graph").await.expect(200).json();
    let edge = json!({ "from": "pays", "event": "run.invoked", "to": "till" });
    assert!(graph["edges"].as_array().unwrap().contains(&edge), "{graph}");

    // What the script does not declare, what there is not, and what is not for scripts is found before anything runs.
    let check = async |source: String| {
        let reply = app.post("/v1/automations/pays/versions", json!({ "source": source })).await;
        reply.json()["detail"].as_str().unwrap_or_default().to_owned()
    };
    let without = check(PAYS.replace(", \"invoke:till.pay\"", "")).await;
    assert!(without.contains("`invoke:till.pay`"), "{without}");
    let unknown = check(PAYS.replace("till.pay", "till.pya")).await;
    assert!(unknown.contains("did you mean `till.pay`?"), "{unknown}");
}

async fn a_plugin_calls_another_through_what_both_declare(database: Database) {
    let app = till(database)
        .till_plugin("desk", DESK)
        .till_plugin("shop", &DESK.replace("till.pay", "till.hold"))
        .start()
        .await;
    assert!(app.get("/v1/automations").await.items().iter().any(|a| a["id"] == "desk"), "{}", app.notices());
    customer(&app, 10).await;
    let relayed = call(&app, "desk.relay", pay(4)).await.expect(200).json();
    assert_eq!(relayed, json!({ "relayed": { "result": "ok", "left": 6 } }));
    let asked = json!({ "customer": ADA, "points": 1, "action": "till.balance" });
    assert_eq!(call(&app, "desk.relay", asked).await.expect(200).json(), json!({ "relayed": { "points": 6 } }));
    // A failure of the other is one of the call, and does not fit is told as such.
    let refused = call(&app, "desk.relay", json!({ "customer": ADA, "points": 0 })).await.expect(200).json();
    assert_eq!(refused["refused"], "invalid");
    assert!(refused["why"].as_str().unwrap().contains("/points"), "{refused}");
    // `till.hold` is not for plugins: who asks for it is not made live.
    assert!(app.notices().contains("`till.hold` cannot be called from here"), "{}", app.notices());
    app.expect_dead(1);
    let undeclared = json!({ "customer": ADA, "points": 1, "action": "till.seen" });
    let denied = call(&app, "desk.relay", undeclared).await.expect(422).json();
    assert_eq!(denied["error"]["code"], "denied", "{denied}");
    // The rights of the one are not those of the other: it has none to read customers itself.
    assert!(denied["error"]["message"].as_str().unwrap().contains("invoke:till.seen"), "{denied}");
}

async fn who_may_not_is_refused(database: Database) {
    let app = till(database).start().await;
    customer(&app, 10).await;
    let key = async |scopes: &[&str], objects: Option<&[&str]>| {
        let body = json!({ "name": scopes.join("-"), "scopes": scopes, "objects": objects });
        let made = app.post("/v1/keys", body).await.expect(201).json();
        app.with_key(made["secret"].as_str().unwrap())
    };
    let reader = key(&["read"], None).await;
    call(&reader, "till.balance", json!({ "customer": ADA })).await.expect(200);
    assert_eq!(call(&reader, "till.pay", pay(1)).await.expect(403).code(), "forbidden");
    let bound = key(&["read", "write"], Some(&["order"])).await;
    assert_eq!(call(&bound, "till.pay", pay(1)).await.expect(403).code(), "forbidden");
    assert_eq!(call(&bound, "till.balance", json!({ "customer": ADA })).await.expect(403).code(), "forbidden");
    call(&app.without_key(), "till.balance", json!({ "customer": ADA })).await.expect(401);
    assert_eq!(call(&app, "till.inner", json!({})).await.expect(403).code(), "not_callable");
    assert_eq!(app.customer_field("a", "points").await, 10);
}

async fn a_disabled_plugin_does_nothing(database: Database) {
    let app = TestApp::on(database).script("pays", PAYS).start().await;
    let mut package = crate::packages::till_package(TILL);
    package.sign("Tests", &rapport_package::SecretKey::from_seed(&[1; 32]), Vec::new()).unwrap();
    let install = Request::new("POST", "/v1/plugins").body("application/octet-stream", package.pack());
    app.send(install).await.expect(201);
    let waiting = call(&app, "till.pay", pay(1)).await.expect(409).json();
    assert!(waiting["detail"].as_str().unwrap().contains("`till` is waiting"), "{waiting}");
    app.post("/v1/plugins/till/grant", json!({ "all": true })).await.expect(200);
    customer(&app, 10).await;
    call(&app, "till.pay", pay(1)).await.expect(200);
    app.post("/v1/plugins/till/disable", json!({})).await.expect(200);
    for action in ["till.pay", "till.balance"] {
        let refused = call(&app, action, pay(1)).await.expect(409);
        assert!(refused.json()["detail"].as_str().unwrap().contains("disabled"), "{}", refused.json());
    }
    assert!(app.get("/v1/actions").await.expect(200).items().is_empty());
    app.post("/v1/plugins/till/enable", json!({})).await.expect(200);
    call(&app, "till.pay", pay(1)).await.expect(200);
    assert_eq!(app.customer_field("a", "points").await, 8);
}

async fn a_job_is_done_later_and_once(database: Database) {
    let clock = clock();
    let app = till(database).clock(clock.clone()).start().await;
    customer(&app, 30).await;
    let at_once = call(&app, "till.later", pay(1)).await.expect(200).json();
    let later_on = call(&app, "till.later", json!({ "customer": ADA, "points": 2, "seconds": 3600 })).await;
    let later_on = later_on.expect(200).json();
    waiting(&app, 1).await;
    let of =
        async |app: &TestApp, run: &Value| app.get(&format!("/v1/runs/{}", run["run"].as_str().unwrap())).await.json();
    assert_eq!(of(&app, &at_once).await["status"], "completed");
    let waits = of(&app, &later_on).await;
    assert_eq!((&waits["status"], &waits["trigger"]["actor"]), (&json!("waiting"), &json!("automation:till")));
    assert_eq!(app.customer_field("a", "points").await, 29);
    let app = app.restart(|setup| setup.clock(clock.clone())).await;
    later(&clock, "59 minutes");
    app.settle().await;
    assert_eq!(app.customer_field("a", "points").await, 29);
    later(&clock, "1 hour");
    let points = || async { (app.customer_field("a", "points").await == 27).then_some(()) };
    eventually("the job", points).await;
    app.settle().await;
    let done = of(&app, &later_on).await;
    assert_eq!((&done["status"], &done["result"]), (&json!("completed"), &json!({ "result": "ok", "left": 27 })));
    assert_eq!(app.runs("automation=till").await.len(), 4);
    app.expect_dead(2);
    for action in ["nothing", "balance"] {
        let refused = call(&app, "till.later", json!({ "customer": ADA, "points": 1, "action": action })).await;
        assert_eq!(refused.expect(422).code(), "action_failed", "{action}");
    }
}

async fn a_call_is_explained_and_retried(database: Database) {
    let app = till(database).start().await;
    customer(&app, 30).await;
    let paid = call(&app, "till.pay", pay(10)).await.expect(200);
    let run = paid.header("rapport-run").unwrap();
    let explained = app.get(&format!("/v1/runs/{run}/explain")).await.expect(200).json();
    assert_eq!(explained["because"][0]["type"], "run.invoked");
    let made: Vec<&Value> = explained["changed"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert!(made.contains(&&json!("till_entry.created")) && made.contains(&&json!("run.ended")), "{made:?}");
    app.expect_dead(1);
    let failed = call(&app, "till.fail", json!({})).await.expect(422).json();
    app.post(&format!("/v1/runs/{}/retry", failed["run"].as_str().unwrap()), json!({})).await.expect(200);
    app.run_until_idle().await;
    let again = app.get(&format!("/v1/runs/{}", failed["run"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((&again["status"], &again["attempt"]), (&json!("dead"), &json!(1)));
    app.expect_dead(2);
}

/// A plugin of every role.
const EVERY_ROLE: &str = r#"
id = "golden"
version = "0.2.0"
api = "0.1"
publisher = "Tests"
compensate = true
capabilities = [{ right = "order:read", reason = "looks at orders" }]
triggers = [{ event = "order.created" }]
schedules = [{ cron = "0 0 1 1 *", zone = "UTC" }]
actions = [{ name = "act" }]
routes = [{ path = "/ask", access = "public" }]
hooks = [{ object = "order", on_failure = "closed" }]
migrations = [{ from = "0.1.0", to = "0.2.0" }]
"#;

async fn a_plugin_of_every_role_goes_live(database: Database) {
    let setup = TestApp::on(database);
    let folder = setup.path("plugins/golden");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plugin.toml"), EVERY_ROLE).unwrap();
    let golden = crate::harness::project().join("tests/data/golden/0.1/golden.wasm");
    std::fs::copy(golden, folder.join("golden.wasm")).unwrap();
    let app = setup.start().await;
    assert_eq!(app.get("/v1/automations").await.items()[0]["id"], "golden", "{}", app.notices());
    let acted = call(&app, "golden.act", json!(1)).await.expect(200).json();
    assert_eq!((&acted["action"], &acted["input"]), (&json!("act"), &json!(1)));
    // Its answer has a header that plugins may not send.
    assert_eq!(app.get("/x/golden/ask").await.expect(500).json()["error"]["code"], Value::Null);
}
