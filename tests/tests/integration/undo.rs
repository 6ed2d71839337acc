//! What a run changed is taken back: as a run of its own, without hurting what others did since.

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::process::{ServerProcess, rapport};

on_both!(
    points_are_subtracted_and_never_set,
    a_field_that_someone_set_since_is_left_and_reported,
    a_value_is_put_back_under_later_increments,
    created_records_go_and_deleted_ones_come_back,
    a_created_record_that_is_in_use_is_left,
    a_unique_value_that_is_taken_by_now_is_left,
    the_tier_follows_points_that_are_taken_back,
    with_what_it_caused_nothing_reacts,
    an_undo_is_a_run_that_is_listed_explained_and_undone,
    an_automation_does_not_repeat_what_is_undone,
    a_dry_run_foretells_and_changes_nothing,
    a_run_is_undone_once,
    many_who_undo_at_once_undo_once,
    only_who_may_write_everywhere_may_undo,
    the_hosts_own_names_cannot_be_taken,
    all_runs_of_a_bad_version_are_undone_in_the_background,
    an_undo_of_many_runs_goes_on_after_a_kill,
    an_undo_of_many_runs_can_be_stopped,
    the_command_line_undoes,
);

/// Does to the customer of a paid order what the order number says.
const DOER: &str = r#"//! Does what it is told.
on("order.paid");
uses("customer:read", "customer:update", "customer.score:write", "company:write", "company:read", "task:write");
field("customer", "score", "integer", #{ default: 0 });
fn run(event) {
    let me = event.record;
    let what = event.data.order_no;
    if what == "set" { update(me, #{ city: "Bonn", name: "Ada" }); }
    if what == "add" { increment(me, "score", 5); increment(me, "score", 2); }
    if what == "score" { update(me, #{ score: 100 }); }
    if what == "make" { create("company", #{ company_no: "c1", name: "One" }); }
    if what == "task" { create("task", #{ title: "Call", customer: me }); }
    if what == "drop" { delete("company", "company_no:c9"); }
}
"#;

async fn doer(database: Database) -> TestApp {
    let app = TestApp::on(database).script("doer", DOER).start().await;
    app.customer("a").await;
    app
}

/// Lets the automation do something, and returns its run.
async fn run_that(app: &TestApp, what: &str) -> String {
    let id = format!("{what}-{}", app.log().await.len());
    let mut event = order_paid(&id, "a", "1");
    event["data"]["order_no"] = what.into();
    app.post("/v1/events", event).await.expect(202);
    app.run_until_idle().await;
    app.runs("automation=doer").await.remove(0)["id"].as_str().unwrap().to_owned()
}

async fn undo(app: &TestApp, run: &str) -> Value {
    app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json()
}

async fn change(app: &TestApp, body: Value) {
    app.patch("/v1/records/customer/customer_no:a", body).await.expect(200);
}

async fn field(app: &TestApp, name: &str) -> Value {
    app.customer_field("a", name).await
}

async fn points_are_subtracted_and_never_set(database: Database) {
    let app = doer(database).await;
    let run = run_that(&app, "add").await;
    change(&app, json!({ "score": { "increment": 10 } })).await;
    let told = undo(&app, &run).await;
    assert_eq!(field(&app, "score").await, 10);
    let done = &told["runs"][0]["done"][0];
    assert_eq!(
        (&done["did"], &done["by"], &done["from"], &done["to"]),
        (&json!("subtracted"), &json!(7), &json!(17), &json!(10))
    );
    let event = app.log().await.pop().unwrap();
    assert_eq!(event["data"]["delta"], json!({ "score": -7 }), "logged as an increment, so that others add up");
}

async fn a_field_that_someone_set_since_is_left_and_reported(database: Database) {
    let app = doer(database).await;
    let (set, add) = (run_that(&app, "set").await, run_that(&app, "add").await);
    change(&app, json!({ "city": "Köln", "score": 3 })).await;
    let position = app.log().await.pop().unwrap()["position"].clone();
    let told = undo(&app, &set).await;
    assert_eq!((field(&app, "city").await, field(&app, "name").await), (json!("Köln"), Value::Null));
    let left = &told["runs"][0]["left"];
    assert_eq!((left.as_array().unwrap().len(), &left[0]["field"]), (1, &json!("city")), "{told}");
    assert_eq!(left[0]["since"]["position"], position);
    assert!(left[0]["since"]["actor"].as_str().unwrap().starts_with("user:"), "{told}");
    // What was added before somebody set the field counts no more.
    let told = undo(&app, &add).await;
    assert_eq!((field(&app, "score").await, &told["left"], &told["done"]), (json!(3), &json!(1), &json!(0)));
}

async fn a_value_is_put_back_under_later_increments(database: Database) {
    let app = doer(database).await;
    change(&app, json!({ "score": 40 })).await;
    let run = run_that(&app, "score").await;
    change(&app, json!({ "score": { "increment": 1 } })).await;
    undo(&app, &run).await;
    assert_eq!(field(&app, "score").await, 41);
}

async fn created_records_go_and_deleted_ones_come_back(database: Database) {
    let app = doer(database).await;
    let nine = json!({ "company_no": "c9", "name": "Nine", "notes": null, "city": "Ulm" });
    let before = app.post("/v1/records/company", nine).await.expect(201).json();
    let (made, dropped) = (run_that(&app, "make").await, run_that(&app, "drop").await);
    assert_eq!(app.all("company").await.len(), 1);
    let told = undo(&app, &dropped).await;
    assert_eq!(told["runs"][0]["done"][0]["did"], "brought back", "{told}");
    let after = app.get("/v1/records/company/company_no:c9").await.expect(200).json();
    for name in ["id", "company_no", "name", "city", "notes", "domain"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(undo(&app, &made).await["runs"][0]["done"][0]["did"], "removed");
    app.get("/v1/records/company/company_no:c1").await.expect(404);
}

async fn a_created_record_that_is_in_use_is_left(database: Database) {
    let app = doer(database).await;
    let made = run_that(&app, "make").await;
    let company = app.get("/v1/records/company/company_no:c1").await.expect(200).json();
    change(&app, json!({ "company": company["id"] })).await;
    let told = undo(&app, &made).await;
    assert!(told["runs"][0]["left"][0]["why"].as_str().unwrap().contains("still refers to it"), "{told}");
    let task = run_that(&app, "task").await;
    let id = app.all("task").await[0]["id"].as_str().unwrap().to_owned();
    app.patch(&format!("/v1/records/task/{id}"), json!({ "body": "done by hand" })).await.expect(200);
    let told = undo(&app, &task).await;
    assert!(told["runs"][0]["left"][0]["why"].as_str().unwrap().contains("changed since"), "{told}");
    assert_eq!(app.all("task").await.len(), 1);
}

async fn a_unique_value_that_is_taken_by_now_is_left(database: Database) {
    let app = doer(database).await;
    let nine = json!({ "company_no": "c9", "name": "Nine" });
    app.post("/v1/records/company", nine.clone()).await.expect(201);
    let dropped = run_that(&app, "drop").await;
    app.post("/v1/records/company", nine).await.expect(201);
    let told = undo(&app, &dropped).await;
    assert!(told["runs"][0]["left"][0]["why"].as_str().unwrap().contains("`company_no` = \"c9\" by now"), "{told}");
    assert_eq!((&told["runs"][0]["status"], app.all("company").await.len()), (&json!("completed"), 1));
}

async fn order(app: &TestApp, number: &str, amount: &str) -> String {
    let body = json!({ "order_no": number, "customer": { "customer_no": "a" }, "amount": amount });
    app.post("/v1/records/order", body).await.expect(201);
    app.run_until_idle().await;
    app.runs("automation=loyalty/points").await.remove(0)["id"].as_str().unwrap().to_owned()
}

async fn the_tier_follows_points_that_are_taken_back(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    order(&app, "1", "600").await;
    let wrong = order(&app, "2", "9000").await;
    assert_eq!((field(&app, "points").await, field(&app, "tier").await), (json!(19_200), json!("gold")));
    let told = undo(&app, &wrong).await;
    assert_eq!(told["automations"], "fire");
    app.run_until_idle().await;
    assert_eq!((field(&app, "points").await, field(&app, "tier").await), (json!(1_200), json!("silver")));
}

async fn with_what_it_caused_nothing_reacts(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    order(&app, "1", "600").await;
    let wrong = order(&app, "2", "9000").await;
    let runs = app.runs("").await.len();
    let body = json!({ "with_caused": true });
    let told = app.post(&format!("/v1/runs/{wrong}/undo"), body).await.expect(200).json();
    app.run_until_idle().await;
    let undone: Vec<&str> =
        told["runs"].as_array().unwrap().iter().map(|r| r["automation"].as_str().unwrap()).collect();
    assert_eq!(undone, ["tiers", "loyalty/points"], "newest first: {told}");
    assert_eq!(told["runs"][0]["stands"][0]["event"], "tier.changed", "what was reported is named");
    assert_eq!((field(&app, "points").await, field(&app, "tier").await), (json!(1_200), json!("silver")));
    assert_eq!(app.runs("").await.len(), runs + 2, "the two undos and nothing else");
}

async fn an_undo_is_a_run_that_is_listed_explained_and_undone(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let first = order(&app, "1", "600").await;
    let told = undo(&app, &first).await;
    app.run_until_idle().await;
    assert_eq!((field(&app, "points").await, field(&app, "tier").await), (json!(0), json!("bronze")));
    let second = told["runs"][0]["undo"].as_str().unwrap().to_owned();
    let listed = app.runs("automation=rapport/undo").await;
    assert_eq!((listed.len(), &listed[0]["id"], &listed[0]["status"]), (1, &json!(second), &json!("completed")));
    assert_eq!(app.get(&format!("/v1/runs/{first}")).await.json()["undone_by"], second.as_str());
    let why = app.get(&format!("/v1/runs/{second}/explain")).await.expect(200).json();
    let request = &why["because"][0];
    assert_eq!((&request["type"], &request["data"]["run"]), (&json!("undo.requested"), &json!(first)));
    assert_eq!((&request["by"]["kind"], &request["by"]["name"]), (&json!("user"), &json!("owner")), "{why}");
    assert_eq!(why["changed"][0]["changes"][0]["by"], -1_200, "{why}");
    let history = app.get("/v1/records/customer/customer_no:a/history?field=points").await.items();
    assert_eq!(history.last().unwrap()["why"]["by"]["automation"], "rapport/undo");
    // The undo of the undo brings everything back, and that can be undone in turn, by the name of the first run.
    let back = undo(&app, &second).await;
    assert_eq!(
        (&back["runs"][0]["done"][0]["did"], &back["runs"][0]["done"][0]["by"]),
        (&json!("added"), &json!(1_200))
    );
    app.run_until_idle().await;
    assert_eq!((field(&app, "points").await, field(&app, "tier").await), (json!(1_200), json!("silver")));
    undo(&app, &first).await;
    app.run_until_idle().await;
    assert_eq!((field(&app, "points").await, field(&app, "tier").await), (json!(0), json!("bronze")));
    assert_eq!(app.runs("automation=loyalty/points").await.len(), 1, "nothing gave the points anew");
}

async fn an_automation_does_not_repeat_what_is_undone(database: Database) {
    let script = r#"//! Puts every changed customer into the same city.
on("customer.updated");
uses("customer.city:write");
fn run(event) { if event.record.city != "Bonn" { update(event.record, #{ city: "Bonn" }); } }
"#;
    let app = TestApp::on(database).script("city", script).start().await;
    app.customer("a").await;
    change(&app, json!({ "city": "Ulm" })).await;
    app.run_until_idle().await;
    assert_eq!(field(&app, "city").await, "Bonn");
    let runs = app.runs("automation=city").await;
    let first = runs.last().unwrap()["id"].as_str().unwrap();
    undo(&app, first).await;
    app.run_until_idle().await;
    assert_eq!(field(&app, "city").await, "Ulm", "it stays undone");
}

async fn a_dry_run_foretells_and_changes_nothing(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    order(&app, "1", "600").await;
    let wrong = order(&app, "2", "9000").await;
    let (log, runs) = (app.log().await, app.runs("").await);
    let path = format!("/v1/runs/{wrong}/undo");
    let told = app.post(&path, json!({ "with_caused": true, "dry_run": true })).await.expect(200).json();
    assert_eq!((app.log().await, app.runs("").await), (log, runs), "nothing has changed");
    let real = app.post(&path, json!({ "with_caused": true })).await.expect(200).json();
    for (index, run) in told["runs"].as_array().unwrap().iter().enumerate() {
        for part in ["run", "done", "left", "stands", "counts"] {
            assert_eq!(run[part], real["runs"][index][part], "{part} {told} {real}");
        }
    }
    assert_eq!((&told["done"], &told["dry_run"]), (&json!(2), &json!(true)));
}

async fn a_run_is_undone_once(database: Database) {
    let app = doer(database).await;
    let run = run_that(&app, "add").await;
    let by = undo(&app, &run).await["runs"][0]["undo"].clone();
    let again = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(409);
    assert_eq!(again.code(), "conflict");
    assert!(again.json()["detail"].as_str().unwrap().contains(by.as_str().unwrap()), "{}", again.text());
    assert_eq!(field(&app, "score").await, 0);
    let nothing = run_that(&app, "nothing").await;
    let told = undo(&app, &nothing).await;
    assert_eq!((&told["done"], &told["runs"]), (&json!(0), &json!([])), "there was nothing to take back");
    app.post("/v1/runs/nobody/undo", json!({})).await.expect(404);
    app.post(&format!("/v1/runs/{run}/undo"), json!({ "with_cause": true })).await.expect(422);
}

async fn many_who_undo_at_once_undo_once(database: Database) {
    let app = doer(database).await;
    let run = run_that(&app, "add").await;
    let path = format!("/v1/runs/{run}/undo");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, path) = (app.with_key(app.key.as_ref().unwrap()), path.clone());
        tasks.spawn(async move { client.post(&path, json!({})).await.status });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, [200, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(field(&app, "score").await, 0);
}

async fn only_who_may_write_everywhere_may_undo(database: Database) {
    let app = doer(database).await;
    let run = run_that(&app, "add").await;
    for key in [
        json!({ "name": "r", "scopes": ["read"] }),
        json!({ "name": "o", "scopes": ["write"], "objects": ["customer"] }),
    ] {
        let secret = app.post("/v1/keys", key).await.expect(201).json()["secret"].as_str().unwrap().to_owned();
        let other = app.with_key(&secret);
        other.post(&format!("/v1/runs/{run}/undo"), json!({ "dry_run": true })).await.expect(403);
        let many = json!({ "automation": "doer", "since": "2020-01-01T00:00:00Z" });
        other.post("/v1/undos", many).await.expect(403);
    }
    assert_eq!(field(&app, "score").await, 7);
}

async fn the_hosts_own_names_cannot_be_taken(database: Database) {
    let app = TestApp::on(database).script("rapport/undo", DOER).start().await;
    assert!(app.notices().contains("the host's own"), "{}", app.notices());
    app.customer("a").await;
    let mut event = order_paid("1", "a", "1");
    event["source"] = "/rapport/undo".into();
    app.post("/v1/events", event).await.expect(422);
    let forged = crate::harness::event("2", "undo.requested", "customer/customer_no:a", json!({ "run": "x" }));
    app.post("/v1/events", forged).await.expect(422);
}

async fn orders(client: &crate::client::Client, from: usize, count: usize) {
    let line = |i: usize| {
        let customer = ["a", "b", "c"][i % 3];
        json!({ "order_no": i.to_string(), "customer": { "customer_no": customer }, "amount": "600" }).to_string()
    };
    let lines: Vec<String> = (from..from + count).map(line).collect();
    client.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200);
}

async fn job_end(client: &crate::client::Client, id: &str) -> Value {
    let path = format!("/v1/undos/{id}");
    eventually("the undo to end", || async {
        let job = client.get(&path).await.expect(200).json();
        (job["state"] != "running").then_some(job)
    })
    .await
}

async fn all_runs_of_a_bad_version_are_undone_in_the_background(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    orders(&app, 0, 30).await;
    app.run_until_idle().await;
    let since = app.log().await.last().unwrap()["recordedat"].clone();
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let good = (field(&app, "points").await, field(&app, "tier").await);
    let since = {
        orders(&app, 30, 240).await;
        app.run_until_idle().await;
        let all = app.log().await;
        let later = all.iter().find(|e| e["recordedat"].as_str() > since.as_str()).unwrap();
        later["recordedat"].clone()
    };
    let wanted = json!({ "automation": "loyalty/points", "since": since });
    let mut dry = wanted.clone();
    dry["dry_run"] = true.into();
    let told = app.post("/v1/undos", dry).await.expect(200).json();
    assert_eq!((&told["done"], &told["left"]), (&json!(240), &json!(0)));
    let job = app.post("/v1/undos", wanted.clone()).await.expect(202).json();
    let job = job_end(&app, job["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(
        (&job["runs"]["done"], &job["runs"]["total"], &job["changes"]["done"]),
        (&json!(240), &json!(240), &json!(240))
    );
    app.run_until_idle().await;
    assert_eq!((field(&app, "points").await, field(&app, "tier").await), good, "{job}");
    // A second time there is nothing left to do.
    let again = app.post("/v1/undos", wanted).await.expect(202).json();
    assert_eq!(job_end(&app, again["id"].as_str().unwrap()).await["runs"]["total"], 0);
    assert_eq!(app.get("/v1/undos").await.expect(200).items().len(), 2);
    let nobody = json!({ "automation": "nobody", "since": "2020-01-01T00:00:00Z" });
    app.post("/v1/undos", nobody).await.expect(404);
    app.get("/v1/undos/nobody").await.expect(404);
}

async fn an_undo_of_many_runs_goes_on_after_a_kill(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path().join("data"), database.url());
    let scripts = crate::harness::project().join("scripts");
    let more = ["--scripts", scripts.to_str().unwrap()];
    let mut server = ServerProcess::start(&data, url.as_deref(), &more).await;
    orders(&server.client, 0, 300).await;
    let settled = || async {
        let counts = server.client.get("/v1/runs/counts").await.items();
        counts.iter().all(|c| c["status"] == "completed").then_some(())
    };
    eventually("all points", settled).await;
    let wanted = json!({ "automation": "loyalty/points", "since": "2020-01-01T00:00:00Z" });
    let id = server.client.post("/v1/undos", wanted).await.expect(202).json()["id"].as_str().unwrap().to_owned();
    let mut kills = 0;
    for least in [1, 100, 200] {
        let path = format!("/v1/undos/{id}");
        let begun = || async {
            let job = server.client.get(&path).await.expect(200).json();
            (job["runs"]["done"].as_i64().unwrap() >= least || job["state"] != "running").then_some(job)
        };
        let job = eventually("progress", begun).await;
        kills += i32::from(job["state"] == "running");
        server.kill();
        server = ServerProcess::start(&data, url.as_deref(), &more).await;
    }
    let job = job_end(&server.client, &id).await;
    assert!(kills > 0, "it was killed while it worked");
    assert_eq!(
        (&job["state"], &job["runs"]["done"], &job["runs"]["failed"]),
        (&json!("done"), &json!(300), &json!(0)),
        "{job}"
    );
    for customer in server.client.get("/v1/records/customer").await.items() {
        assert_eq!(customer["points"], 0, "{customer}");
    }
    assert_eq!(server.client.get("/v1/audit/verify").await.expect(200).json()["first_bad"], Value::Null);
    assert_eq!(server.stop().await, 0);
}

async fn an_undo_of_many_runs_can_be_stopped(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    orders(&app, 0, 600).await;
    app.run_until_idle().await;
    let wanted = json!({ "automation": "loyalty/points", "since": "2020-01-01T00:00:00Z" });
    let id = app.post("/v1/undos", wanted).await.expect(202).json()["id"].as_str().unwrap().to_owned();
    let told = app.delete(&format!("/v1/undos/{id}")).await.expect(200).json();
    assert_eq!(told["state"], "cancelled");
    app.delete(&format!("/v1/undos/{id}")).await.expect(409);
    app.run_until_idle().await;
    let undone = app.runs("automation=rapport/undo").await.len();
    assert!(undone < 600, "{undone}");
}

async fn the_command_line_undoes(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let key = app.folder.path().join("key");
    let run = order(&app, "1", "600").await;
    let told = rapport(&["run", "undo", &run, "--with-caused", "--dry-run"]).to(&app, &key).run().expect(0).output;
    for part in [
        "points less 1200, 1200 → 0",
        "tier put back, silver → none",
        "beyond undo: tier.changed",
        "2 changes would be taken back, 0 left",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = rapport(&["run", "undo", &run]).to(&app, &key).run().expect(0).output;
    assert!(told.contains("to bring it back: rapport run undo "), "{told}");
    app.run_until_idle().await;
    assert_eq!(field(&app, "points").await, 0);
    rapport(&["run", "undo", &run]).to(&app, &key).run().expect(1);
    rapport(&["run", "undo"]).to(&app, &key).run().expect(2);
    rapport(&["run", "undo", "--automation", "loyalty/points"]).to(&app, &key).run().expect(2);
    order(&app, "2", "600").await;
    let many = ["run", "undo", "--automation", "loyalty/points", "--since", "2020-01-01T00:00:00Z"];
    let told = rapport(&many).to(&app, &key).run().expect(0).output;
    assert!(told.contains("done: 1 of 1 runs undone; 1 changes taken back, 0 left"), "{told}");
    let told = rapport(&["run", "undos"]).to(&app, &key).run().expect(0).output;
    assert!(told.contains("loyalty/points") && told.contains("done"), "{told}");
    app.run_until_idle().await;
}
