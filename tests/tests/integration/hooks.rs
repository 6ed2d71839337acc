//! Plugins that look at changes before they are made: what they refuse is not made, wherever it comes from.

use rapport_package::{Package, SecretKey};
use serde_json::{Value, json};

use crate::actions::call;
use crate::client::{Reply, Request};
use crate::harness::{Database, Setup, TestApp, eventually, on_both};
use crate::waiting::completed;

on_both!(
    a_change_that_is_refused_is_not_made,
    a_judge_sees_the_record_as_it_is_and_as_it_would_be,
    a_judge_of_a_field_is_asked_about_that_field_alone,
    a_run_whose_write_is_refused_dies_and_succeeds_when_the_rule_has_changed,
    a_refused_row_of_an_import_says_why_and_the_others_are_taken,
    many_rows_on_one_record_are_each_judged,
    a_preview_tells_what_would_be_refused,
    what_an_undo_may_not_put_back_is_left_and_reported,
    a_plugin_does_not_judge_itself,
    a_judge_that_fails_closed_lets_nothing_through,
    a_judge_that_fails_open_lets_everything_through,
    a_run_waits_for_a_judge_that_fails,
    a_judge_is_pure,
    two_judges_are_asked_in_the_order_of_their_ids,
    what_was_judged_is_what_is_committed,
    a_judge_judges_when_it_is_granted_and_not_when_it_is_off,
    a_hook_that_was_not_granted_is_not_asked,
    a_hook_on_what_there_is_not_is_refused,
    a_closed_judge_that_cannot_be_loaded_lets_nothing_through,
);

const RIGHTS: &str = r#"
[[capabilities]]
right = "customer:read"
reason = "sees what changes"
[[capabilities]]
right = "customer.points:write"
reason = "may itself"
[[fields]]
object = "customer"
name = "points"
type = "integer"
[[actions]]
name = "set"
callers = ["api", "scripts"]
[settings]
limit = 100
"#;

fn hook(rest: &str) -> String {
    format!("hooks = [{{ object = \"customer\", {rest} }}]\n{RIGHTS}")
}

fn warden(database: Database) -> Setup {
    TestApp::on(database).warden_plugin("warden", &hook("on_failure = \"closed\""))
}

async fn started(setup: Setup) -> TestApp {
    let app = setup.start().await;
    assert!(app.get("/v1/automations").await.items().iter().any(|a| a["id"] == "warden"), "{}", app.notices());
    app
}

async fn ada(app: &TestApp, points: i64) -> Value {
    app.post("/v1/records/customer", json!({ "customer_no": "a", "points": points })).await.expect(201).json()
}

const ADA: &str = "/v1/records/customer/customer_no:a";

async fn points(app: &TestApp) -> Value {
    app.customer_field("a", "points").await
}

/// One figure of `/metrics`.
async fn metric(app: &TestApp, name: &str) -> u64 {
    let text = app.get("/metrics").await.expect(200).text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn a_change_that_is_refused_is_not_made(database: Database) {
    let app = started(warden(database)).await;
    ada(&app, 5).await;
    let before = app.log().await.len();
    let refused = app.patch(ADA, json!({ "points": -1, "name": "Ada" })).await.expect(422).json();
    assert_eq!((&refused["code"], &refused["plugin"]), (&json!("refused"), &json!("warden")));
    assert_eq!(refused["error"], json!({ "code": "negative", "message": "nobody owes points", "field": "points" }));
    assert_eq!(refused["errors"][0]["pointer"], "/points");
    assert_eq!(refused["detail"], "`warden` refuses it: nobody owes points (negative)");
    // Increments, upserts, creations and deletions as well.
    for (method, path, body, code) in [
        ("PATCH", ADA, json!({ "points": { "increment": -6 } }), "negative"),
        ("PUT", ADA, json!({ "points": 101 }), "limit"),
        ("PUT", "/v1/records/customer/customer_no:b", json!({ "points": -1 }), "negative"),
        ("POST", "/v1/records/customer", json!({ "customer_no": "b", "points": 1000 }), "limit"),
        (
            "POST",
            "/v1/records/order",
            json!({ "order_no": "1", "customer": { "customer_no": "b", "points": -7 }, "amount": "1" }),
            "negative",
        ),
    ] {
        let refused = app.send(Request::new(method, path).json(&body)).await.expect(422).json();
        assert_eq!((&refused["code"], &refused["error"]["code"]), (&json!("refused"), &json!(code)), "{method} {body}");
    }
    assert_eq!((app.log().await.len(), points(&app).await), (before, json!(5)));
    assert_eq!(app.all("customer").await.len(), 1);
    app.patch(ADA, json!({ "notes": "keep" })).await.expect(200);
    let kept = app.delete(ADA).await.expect(422).json();
    assert_eq!((&kept["error"]["code"], &kept["errors"][0]["pointer"]), (&json!("kept"), &json!("")));
    app.patch(ADA, json!({ "notes": "go" })).await.expect(200);
    app.delete(ADA).await.expect(204);
    // What another object holds is nobody's to judge here.
    app.post("/v1/records/task", json!({ "title": "trap" })).await.expect(201);
}

async fn a_judge_sees_the_record_as_it_is_and_as_it_would_be(database: Database) {
    let app = started(warden(database)).await;
    let told = async |reply: Reply| reply.expect(422).json()["error"]["message"].as_str().unwrap().to_owned();
    let created = app.post("/v1/records/customer", json!({ "customer_no": "b", "notes": "tell" })).await;
    assert_eq!(told(created).await, "create customer false [] [customer_no notes order_count lifetime_value] user");
    ada(&app, 5).await;
    let updated = app.patch(ADA, json!({ "notes": "tell", "points": null })).await;
    // What follows from orders is there to be read, too.
    let (before, after) =
        ("customer_no order_count lifetime_value points", "customer_no notes order_count lifetime_value");
    assert_eq!(told(updated).await, format!("update customer true [{before}] [{after}] user"));
    // What it says is cut to a line.
    let loud = app.patch(ADA, json!({ "notes": "loud" })).await.expect(422).json();
    let message = loud["error"]["message"].as_str().unwrap();
    assert_eq!((&loud["error"]["code"], message.len(), message.contains('\n')), (&json!("refused"), 500, false));
}

async fn a_judge_of_a_field_is_asked_about_that_field_alone(database: Database) {
    let closed = hook("fields = [\"points\"], on_failure = \"closed\"");
    let app = started(TestApp::on(database).warden_plugin("warden", &closed)).await;
    ada(&app, 5).await;
    let asked = metric(&app, "rapport_hooks_asked_total").await;
    app.patch(ADA, json!({ "notes": "trap", "points": 5 })).await.expect(200);
    app.post("/v1/records/customer", json!({ "customer_no": "b" })).await.expect(201);
    assert_eq!(metric(&app, "rapport_hooks_asked_total").await, asked);
    app.patch(ADA, json!({ "notes": null, "points": -5 })).await.expect(422);
    app.delete(ADA).await.expect(204);
    assert_eq!(metric(&app, "rapport_hooks_asked_total").await, asked + 2);
}

const TAKES: &str = r#"//! Takes points for orders, and says so.
on("order.created");
uses("order:read", "customer:read", "customer.points:write", "customer.notes:write", "task:create", "invoke:warden.set");
fn run(event) {
    let order = event.record;
    if order.amount > 1000 { invoke("warden.set", #{ customer: order.customer.id, points: -7 }); return; }
    increment(order.customer, "points", floor(order.amount).to_int());
    create("task", #{ title: `took ${order.amount}` });
}
"#;

async fn order(app: &TestApp, number: &str, amount: &str) {
    let order = json!({ "order_no": number, "customer": { "customer_no": "a" }, "amount": amount });
    app.post("/v1/records/order", order).await.expect(201);
}

async fn a_run_whose_write_is_refused_dies_and_succeeds_when_the_rule_has_changed(database: Database) {
    let app = started(warden(database).script("takes", TAKES)).await;
    ada(&app, 5).await;
    order(&app, "1", "99").await;
    let dead = eventually("the run to die", || async { app.runs("status=dead").await.pop() }).await;
    assert_eq!(dead["error"]["code"], "refused");
    let said = dead["error"]["message"].as_str().unwrap();
    assert!(said.contains("`warden` refuses it: 104 points are more than 100 (limit)"), "{said}");
    app.expect_dead(1);
    app.run_until_idle().await;
    assert_eq!((points(&app).await, app.all("task").await.len()), (json!(5), 0), "nothing of the slice is kept");
    app.put("/v1/automations/warden/settings", json!({ "limit": 200 })).await.expect(200);
    app.post(&format!("/v1/runs/{}/retry", dead["id"].as_str().unwrap()), json!({})).await.expect(200);
    completed(&app, 1).await;
    assert_eq!((points(&app).await, app.all("task").await.len()), (json!(104), 1));
}

fn bulk(lines: &[Value]) -> Vec<String> {
    lines.iter().map(Value::to_string).collect()
}

async fn a_refused_row_of_an_import_says_why_and_the_others_are_taken(database: Database) {
    let app = started(warden(database)).await;
    let rows = bulk(&[
        json!({ "customer_no": "a", "points": 1 }),
        json!({ "customer_no": "b", "points": -1 }),
        json!({ "customer_no": "c", "notes": "trap" }),
        json!({ "customer_no": "d", "points": 2 }),
    ]);
    let done = app.ndjson("/v1/records/customer/bulk?key=customer_no", &rows).await.expect(200).json();
    assert_eq!((&done["created"], &done["refused"]), (&json!(2), &json!(2)), "{done}");
    let line = |at: usize| (done["lines"][at]["line"].clone(), done["lines"][at]["code"].clone());
    assert_eq!((line(0), line(1)), ((json!(2), json!("refused")), (json!(3), json!("unjudged"))));
    assert_eq!(done["lines"][0]["message"], "`warden` refuses it: nobody owes points (negative)");
    assert_eq!(done["lines"][0]["pointer"], "/points");
    // The same with automations left out: a rule is none.
    let skipped = app.ndjson("/v1/records/customer/bulk?key=customer_no&automations=skip", &rows).await.expect(200);
    assert_eq!((&skipped.json()["unchanged"], &skipped.json()["refused"]), (&json!(2), &json!(2)));
    assert_eq!(app.all("customer").await.len(), 2);
}

async fn many_rows_on_one_record_are_each_judged(database: Database) {
    let app = started(warden(database)).await;
    let mut rows: Vec<Value> = (1..=20).map(|n| json!({ "customer_no": "a", "points": n })).collect();
    // A row that is refused has not been there for those after it.
    rows.insert(10, json!({ "customer_no": "a", "points": -1 }));
    rows.insert(11, json!({ "customer_no": "a", "points": -1 }));
    rows.extend([json!({ "customer_no": "b", "points": -1 }), json!({ "customer_no": "b", "points": 3 })]);
    let done = app.ndjson("/v1/records/customer/bulk?key=customer_no", &bulk(&rows)).await.expect(200).json();
    assert_eq!((&done["created"], &done["updated"], &done["refused"]), (&json!(2), &json!(19), &json!(3)), "{done}");
    assert_eq!((points(&app).await, app.customer_field("b", "points").await), (json!(20), json!(3)));
}

async fn a_preview_tells_what_would_be_refused(database: Database) {
    let app = started(warden(database)).await;
    let rows = bulk(&[json!({ "customer_no": "a", "points": 1 }), json!({ "customer_no": "b", "points": -1 })]);
    let told = app.ndjson("/v1/records/customer/bulk?automations=preview", &rows).await.expect(200).json();
    assert_eq!(
        (&told["created"], &told["refused"], &told["lines"][0]["code"]),
        (&json!(1), &json!(1), &json!("refused"))
    );
    assert!(app.all("customer").await.is_empty());
}

async fn what_an_undo_may_not_put_back_is_left_and_reported(database: Database) {
    let app = started(warden(database).script("takes", TAKES)).await;
    ada(&app, 5).await;
    order(&app, "1", "50").await;
    completed(&app, 1).await;
    // Meanwhile the points are spent: to take them back would leave a debt.
    app.patch(ADA, json!({ "points": { "increment": -50 } })).await.expect(200);
    let run = app.runs("automation=takes").await.remove(0);
    let address = format!("/v1/runs/{}/undo", run["id"].as_str().unwrap());
    let foretold = app.post(&address, json!({ "dry_run": true })).await.expect(200).json();
    let undone = app.post(&address, json!({})).await.expect(200).json();
    for told in [&foretold, &undone] {
        assert_eq!((&told["done"], &told["left"]), (&json!(1), &json!(1)), "{told:#}");
        let left = told["runs"][0]["left"][0].to_string();
        assert!(left.contains("`warden` refuses it: nobody owes points (negative)"), "{left}");
    }
    assert_eq!((points(&app).await, app.all("task").await.len()), (json!(5), 0));
}

async fn a_plugin_does_not_judge_itself(database: Database) {
    let app = started(warden(database).script("takes", TAKES)).await;
    ada(&app, 5).await;
    call(&app, "warden.set", json!({ "customer": "customer_no:a", "points": -3 })).await.expect(200);
    assert_eq!(points(&app).await, -3);
    // Not even for a script that has it do so; but what others make of it is judged.
    order(&app, "1", "2000").await;
    completed(&app, 3).await;
    assert_eq!(points(&app).await, -7);
    app.patch(ADA, json!({ "points": -6 })).await.expect(422);
    app.patch(ADA, json!({ "name": "Ada" })).await.expect(200);
}

async fn a_judge_that_fails_closed_lets_nothing_through(database: Database) {
    let app = started(warden(database)).await;
    ada(&app, 5).await;
    let before = app.log().await.len();
    for (how, code) in [("trap", "trap"), ("loop", "fuel"), ("memory", "memory")] {
        let refused = app.patch(ADA, json!({ "notes": how })).await.expect(503);
        assert!(refused.header("retry-after").is_some());
        let problem = refused.json();
        assert_eq!((&problem["code"], &problem["plugin"]), (&json!("unjudged"), &json!("warden")), "{how}");
        assert!(problem["error"]["code"].as_str().unwrap().contains(code), "{how}: {problem}");
    }
    assert_eq!(app.log().await.len(), before);
    assert_eq!(metric(&app, "rapport_hooks_failed_total").await, 3);
}

async fn a_judge_that_fails_open_lets_everything_through(database: Database) {
    let open = hook("on_failure = \"open\"");
    let setup = TestApp::on(database).warden_plugin("warden", &open);
    // Time ends a judgement as fuel does.
    let app = started(
        setup.configure(|config| (config.limits.hook_fuel_max, config.limits.hook_wall_ms_max) = (u64::MAX / 4, 100)),
    )
    .await;
    ada(&app, 5).await;
    for how in ["trap", "loop", "memory"] {
        app.patch(ADA, json!({ "notes": how })).await.expect(200);
        assert_eq!(app.customer_field("a", "notes").await, how);
    }
    assert_eq!(metric(&app, "rapport_hooks_failed_total").await, 3);
    // It is heard as long as it answers.
    app.patch(ADA, json!({ "notes": null, "points": -1 })).await.expect(422);
    assert_eq!(metric(&app, "rapport_hooks_refused_total").await, 1);
}

const NOTES: &str = r#"//! Notes what an order says.
on("order.created");
uses("order:read", "customer:read", "customer.notes:write");
fn run(event) { update(event.record.customer, #{ notes: "trap" }); }
"#;

async fn a_run_waits_for_a_judge_that_fails(database: Database) {
    let setup = warden(database).script("notes", NOTES).configure(|config| config.limits.run_attempts_max = 3);
    let app = started(setup).await;
    ada(&app, 5).await;
    order(&app, "1", "1").await;
    let dead = eventually("the run to die", || async { app.runs("status=dead").await.pop() }).await;
    assert_eq!((&dead["attempt"], &dead["error"]["code"]), (&json!(3), &json!("unjudged")));
    app.expect_dead(1);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "notes").await, Value::Null);
}

async fn a_judge_is_pure(database: Database) {
    let app = started(warden(database)).await;
    ada(&app, 5).await;
    let refused = app.patch(ADA, json!({ "notes": "impure" })).await.expect(422).json();
    assert_eq!(refused["error"]["message"], "answered: ;  true", "{refused}");
    assert_eq!(app.all("customer").await.len(), 1);
}

async fn two_judges_are_asked_in_the_order_of_their_ids(database: Database) {
    let other = hook("on_failure = \"closed\"").replace("limit = 100", "limit = 50");
    let setup = warden(database)
        .warden_plugin("guard", &other)
        .warden_plugin("zeal", &other.replace("limit = 50", "limit = 10"));
    let app = started(setup).await;
    ada(&app, 5).await;
    let by = async |points: i64| app.patch(ADA, json!({ "points": points })).await.expect(422).json()["plugin"].clone();
    assert_eq!(
        (by(-1).await, by(120).await, by(60).await, by(20).await),
        (json!("guard"), json!("guard"), json!("guard"), json!("zeal"))
    );
    let asked = metric(&app, "rapport_hooks_asked_total").await;
    app.patch(ADA, json!({ "points": 9 })).await.expect(200);
    assert_eq!(metric(&app, "rapport_hooks_asked_total").await, asked + 3);
}

async fn what_was_judged_is_what_is_committed(database: Database) {
    let app = started(warden(database)).await;
    ada(&app, 90).await;
    let all = (0..30).map(|_| {
        let client = (*app).clone();
        tokio::spawn(async move { client.patch(ADA, json!({ "points": { "increment": 1 } })).await.status })
    });
    let mut passed = 0;
    for one in all.collect::<Vec<_>>() {
        match one.await.unwrap() {
            200 => passed += 1,
            status => assert!(matches!(status, 409 | 422), "{status}"),
        }
    }
    assert_eq!(points(&app).await, 90 + passed);
    assert!(passed <= 10);
    // Nobody was faster now: the rest goes through, and no more.
    while app.patch(ADA, json!({ "points": { "increment": 1 } })).await.status == 200 {}
    assert_eq!(points(&app).await, 100);
}

fn package(rest: &str) -> Vec<u8> {
    let component = std::fs::read(env!("WARDEN_COMPONENT")).unwrap();
    let head = "id = \"warden\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"A warden\"\n";
    let files = [("plugin.toml", format!("{head}{rest}").into_bytes()), ("warden.wasm", component)];
    let mut package = Package::new(files.into_iter().map(|(name, content)| (name.parse().unwrap(), content))).unwrap();
    package.sign("Tests", &SecretKey::from_seed(&[1; 32]), Vec::new()).unwrap();
    package.pack()
}

async fn install(app: &TestApp) -> Value {
    let archive = package(&hook("on_failure = \"closed\""));
    app.send(Request::new("POST", "/v1/plugins").body("application/octet-stream", archive)).await.expect(201).json()
}

async fn a_judge_judges_when_it_is_granted_and_not_when_it_is_off(database: Database) {
    let app = TestApp::start(database).await;
    install(&app).await;
    app.post("/v1/records/customer", json!({ "customer_no": "a", "notes": "trap" })).await.expect(201);
    app.post("/v1/plugins/warden/grant", json!({ "all": true })).await.expect(200);
    app.patch(ADA, json!({ "points": -1, "notes": null })).await.expect(422);
    app.post("/v1/plugins/warden/disable", json!({})).await.expect(200);
    app.patch(ADA, json!({ "points": -1 })).await.expect(200);
    app.post("/v1/plugins/warden/enable", json!({})).await.expect(200);
    app.patch(ADA, json!({ "points": -2 })).await.expect(503);
    app.patch(ADA, json!({ "points": -2, "notes": null })).await.expect(422);
    app.send(Request::new("DELETE", "/v1/plugins/warden")).await;
    app.patch(ADA, json!({ "points": -3 })).await.expect(200);
}

async fn a_hook_that_was_not_granted_is_not_asked(database: Database) {
    for declined in ["validate:customer closed", "customer:read"] {
        let app = TestApp::start(database).await;
        let waiting = install(&app).await;
        let asked = waiting["pending"]["asked"].as_array().unwrap().clone();
        let items: Vec<Value> = asked.into_iter().filter(|item| item != declined).collect();
        let granted = app.post("/v1/plugins/warden/grant", json!({ "items": items })).await.expect(200).json();
        assert_eq!(granted["declined"], json!([declined]));
        ada(&app, -5).await;
        assert_eq!(metric(&app, "rapport_hooks_asked_total").await, 0);
    }
}

async fn a_hook_on_what_there_is_not_is_refused(database: Database) {
    for (what, told) in [
        ("hooks = [{ object = \"custmer\", on_failure = \"open\" }]", "needs the right `custmer:read`"),
        (
            "hooks = [{ object = \"customer\", fields = [\"pionts\"], on_failure = \"open\" }]",
            "has no field `pionts`; did you mean `points`?",
        ),
        ("hooks = [{ object = \"api_key\", on_failure = \"open\" }]", "needs the right `api_key:read`"),
        ("hooks = [{ object = \"order\", on_failure = \"open\" }]", "a hook on `order` needs the right `order:read`"),
    ] {
        let app = TestApp::on(database).warden_plugin("warden", &format!("{what}\n{RIGHTS}")).start().await;
        assert!(app.get("/v1/automations").await.items().is_empty());
        assert!(app.notices().contains(told), "{}", app.notices());
    }
    let nowhere = format!(
        "hooks = [{{ object = \"api_key\", on_failure = \"open\" }}]\n{}",
        RIGHTS.replace("customer:read", "api_key:read")
    );
    let app = TestApp::on(database).warden_plugin("warden", &nowhere).start().await;
    assert!(app.notices().contains("there is no object `api_key`"), "{}", app.notices());
}

async fn a_closed_judge_that_cannot_be_loaded_lets_nothing_through(database: Database) {
    let app = TestApp::start(database).await;
    install(&app).await;
    app.post("/v1/plugins/warden/grant", json!({ "all": true })).await.expect(200);
    ada(&app, 5).await;
    // A host that loads no component of this size is started on the same workspace.
    let app = app.restart(|setup| setup.configure(|config| config.limits.component_bytes_max = 1_000)).await;
    let refused = app.patch(ADA, json!({ "points": 6 })).await.expect(503).json();
    assert_eq!((&refused["code"], &refused["error"]["code"]), (&json!("unjudged"), &json!("not_loaded")), "{refused}");
    app.post("/v1/records/task", json!({ "title": "others" })).await.expect(201);
    // The ways out: to switch the plugin off, or to start a host that can load it.
    app.post("/v1/plugins/warden/disable", json!({})).await.expect(200);
    app.patch(ADA, json!({ "points": 6 })).await.expect(200);
}
