//! What an admin relies on: one process per workspace, a clean stop, a log that cannot be changed unseen, and a way back.

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, eventually, on_both, order_paid, project};
use crate::process::{ServerProcess, rapport, refused_start};

on_both!(
    a_second_process_on_the_same_workspace_is_refused,
    a_wish_to_stop_finishes_the_work_and_exits_with_zero,
    what_was_acknowledged_is_there_after_a_kill,
    the_audit_passes_on_an_honest_log,
    a_log_that_was_tampered_with_is_found_out,
    a_backup_taken_while_running_restores_to_the_same,
    a_restore_into_a_used_workspace_is_refused,
    the_command_line_reads_and_writes_records,
    the_command_line_says_what_went_wrong_by_its_exit_code,
    a_database_newer_than_the_program_is_refused,
    an_anchor_finds_a_log_that_was_cut_off,
);

async fn a_second_process_on_the_same_workspace_is_refused(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path().join("data"), database.url());
    let first = ServerProcess::start(&data, url.as_deref(), &[]).await;
    let other = if database == Database::Sqlite { data.clone() } else { folder.path().join("other") };
    std::fs::create_dir_all(&other).unwrap();
    let refused = refused_start(&other, url.as_deref(), &[]).await;
    assert_ne!(refused.code, 0);
    let told = refused.text.to_lowercase();
    assert!(told.contains("another") || told.contains("locked") || told.contains("in use"), "{told}");
    first.client.get("/v1/records/customer").await.expect(200);
    assert_eq!(first.stop().await, 0);
}

async fn a_wish_to_stop_finishes_the_work_and_exits_with_zero(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path().join("data"), database.url());
    let scripts = project().join("scripts");
    let more = ["--scripts", scripts.to_str().unwrap()];
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    let lines: Vec<String> = (0..400)
        .map(|i| {
            json!({ "order_no": i.to_string(), "customer": { "customer_no": (i % 5).to_string() }, "amount": "7" })
                .to_string()
        })
        .collect();
    server.client.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200);
    assert_eq!(server.stop().await, 0);
    assert!(!data.join("server.addr").exists(), "it does not leave an address where nobody listens");
    let again = ServerProcess::start(&data, url.as_deref(), &more).await;
    let sum = || async {
        let items = again.client.get("/v1/records/customer").await.items();
        (items.iter().map(|c| c["points"].as_i64().unwrap()).sum::<i64>() == 2_800).then_some(())
    };
    eventually("all points", sum).await;
    assert_eq!(again.stop().await, 0);
}

async fn what_was_acknowledged_is_there_after_a_kill(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path().join("data"), database.url());
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    server.client.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    for i in 0..20 {
        server.client.post("/v1/events", order_paid(&i.to_string(), "1", "5")).await.expect(202);
    }
    server.kill();
    let again = ServerProcess::start(&data, url.as_deref(), &[]).await;
    assert_eq!(again.client.get("/v1/events?type=order.paid").await.expect(200).items().len(), 20);
    let twice = again.client.post("/v1/events", order_paid("7", "1", "5")).await.expect(202).json();
    assert_eq!(twice["duplicates"], 1);
    assert_eq!(again.stop().await, 0);
}

async fn the_audit_passes_on_an_honest_log(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let lines: Vec<String> = (0..700)
        .map(|i| {
            json!({ "order_no": i.to_string(), "customer": { "customer_no": (i % 5).to_string() }, "amount": "7" })
                .to_string()
        })
        .collect();
    app.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200);
    app.run_until_idle().await;
    let events = app.log().await.len();
    let report = app.get("/v1/audit/verify").await.expect(200).json();
    assert!(report["events"].as_u64().unwrap() >= events as u64, "{report}");
    assert!(report["first_bad"].is_null(), "{report}");
    let told = rapport(&["audit", "verify"]).to(&app, &app.folder.path().join("key")).run().expect(0);
    assert!(told.text.contains(&report["events"].to_string()), "{}", told.text);
}

async fn a_log_that_was_tampered_with_is_found_out(database: Database) {
    for tampering in [
        "update event set payload = replace(payload, 'n7', 'n8') where type = 'customer.created' and payload like '%n7%'",
        "update event set actor = 'system' where position = 40",
        "update event set time = time - 1 where position = 40",
        "delete from event where position = 40",
        "update event set payload_hash = (select payload_hash from event where position = 41) where position = 40",
    ] {
        let app = TestApp::start(database).await;
        let lines: Vec<String> = (0..60).map(|i| json!({ "customer_no": format!("n{i}") }).to_string()).collect();
        app.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await.expect(200);
        let (data, url) = (app.folder.path().join("data"), app.database_url());
        let app = app
            .restart_after(async || {
                let changed = crate::database::execute(database, &data, &url, tampering).await;
                assert_eq!(changed, 1, "{tampering}");
            })
            .await;
        let report = app.get("/v1/audit/verify").await.expect(200).json();
        assert!(!report["first_bad"].is_null(), "{tampering}: {report}");
        rapport(&["audit", "verify"]).to(&app, &app.folder.path().join("key")).run().expect(1);
    }
}

async fn a_backup_taken_while_running_restores_to_the_same(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let lines: Vec<String> = (0..200)
        .map(|i| {
            json!({ "order_no": i.to_string(), "customer": { "customer_no": (i % 5).to_string() }, "amount": "7" })
                .to_string()
        })
        .collect();
    app.ndjson("/v1/records/order/bulk?key=order_no", &lines).await.expect(200);
    app.run_until_idle().await;
    let target = app.folder.path().join("backup");
    let key = app.folder.path().join("key");
    rapport(&["backup", target.to_str().unwrap()]).to(&app, &key).run().expect(0);
    let want = app.log().await;
    let data = app.folder.path().join("restored");
    let url = database.url();
    let mut arguments = vec!["restore", target.to_str().unwrap(), "--data", data.to_str().unwrap()];
    arguments.extend(url.as_deref().map(|u| ["--database", u]).into_iter().flatten());
    rapport(&arguments).run().expect(0);
    std::fs::copy(app.folder.path().join("data/owner.key"), data.join("owner.key")).unwrap();
    let restored = ServerProcess::start(&data, url.as_deref(), &[]).await;
    let got: Vec<Value> = restored.client.get("/v1/events?limit=1000").await.expect(200).items();
    assert_eq!(got[..], want[..got.len().min(want.len())]);
    assert_eq!(restored.client.get("/v1/records/customer/customer_no:1").await.expect(200).json()["points"], 280);
    let report = restored.client.get("/v1/audit/verify").await.expect(200).json();
    assert!(report["first_bad"].is_null(), "{report}");
    assert_eq!(restored.stop().await, 0);
}

async fn a_restore_into_a_used_workspace_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let target = app.folder.path().join("backup");
    let key = app.folder.path().join("key");
    rapport(&["backup", target.to_str().unwrap()]).to(&app, &key).run().expect(0);
    let data = app.folder.path().join("used");
    let url = database.url();
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    server.client.post("/v1/records/customer", json!({ "customer_no": "mine" })).await.expect(201);
    assert_eq!(server.stop().await, 0);
    let mut arguments = vec!["restore", target.to_str().unwrap(), "--data", data.to_str().unwrap()];
    arguments.extend(url.as_deref().map(|u| ["--database", u]).into_iter().flatten());
    let refused = rapport(&arguments).run();
    assert_ne!(refused.code, 0, "{}", refused.text);
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    server.client.get("/v1/records/customer/customer_no:mine").await.expect(200);
    assert_eq!(server.stop().await, 0);
}

async fn the_command_line_reads_and_writes_records(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let key = app.folder.path().join("key");
    let call = |arguments: &[&str]| rapport(arguments).to(&app, &key).run();
    call(&["record", "set", "customer", "customer_no:1", "name=Ada", "country=France"]).expect(0);
    let got = call(&["--json", "record", "get", "customer", "customer_no:1"]).expect(0);
    let record: Value = serde_json::from_str(&got.output).unwrap();
    assert_eq!((&record["name"], &record["country"]), (&json!("Ada"), &json!("France")));
    call(&["record", "create", "task", "title=Call Ada", "customer=customer_no:1"]).expect(0);
    let made = call(&["--json", "record", "create", "task", "title=Call Ada"]).expect(0);
    let made: Value = serde_json::from_str(&made.output).unwrap();
    assert_eq!((&made["title"], &made["state"]), (&json!("Call Ada"), &json!("open")));
    let unnamed = call(&["record", "set", "task", "state=done", "choice=call"]).expect(1);
    assert!(unnamed.text.starts_with("error: `state=done` names no task"), "{}", unnamed.text);
    let listed = call(&["record", "list", "customer", "--where", "country == 'France'"]).expect(0);
    assert!(listed.output.contains("Ada"), "{}", listed.output);
    call(&["event", "send", "order.paid", "--subject", "customer/customer_no:1", "amount=5"]).expect(0);
    app.post("/v1/records/order", json!({ "order_no": "1", "customer": { "customer_no": "1" }, "amount": "7" }))
        .await
        .expect(201);
    app.run_until_idle().await;
    let runs = call(&["run", "list"]).expect(0);
    assert!(runs.output.contains("loyalty/points") && runs.output.contains("completed"), "{}", runs.output);
    assert!(call(&["automation", "list"]).expect(0).output.contains("loyalty/points"));
    assert!(call(&["version"]).expect(0).output.contains(env!("CARGO_PKG_VERSION")));
}

async fn the_command_line_says_what_went_wrong_by_its_exit_code(database: Database) {
    let app = TestApp::start(database).await;
    let key = app.folder.path().join("key");
    rapport(&["record", "get", "customer", "customer_no:404"]).to(&app, &key).run().expect(1);
    rapport(&["record", "gte"]).run().expect(2);
    rapport(&["record", "list", "customer"]).to(&app.with_key("wrong"), &key).run().expect(5);
    let nobody = crate::client::Client { address: "127.0.0.1:1".into(), key: Some("x".into()) };
    rapport(&["record", "list", "customer"]).to(&nobody, &key).run().expect(4);
}

async fn a_database_newer_than_the_program_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let data = app.folder.path().join("data");
    let url = app.database_url();
    let folder = app.stop().await;
    let text = "update meta set value = '999' where key = 'schema_version'";
    assert_eq!(crate::database::execute(database, &data, &url, text).await, 1);
    let refused = refused_start(&data, (!url.is_empty()).then_some(url.as_str()), &[]).await;
    assert_ne!(refused.code, 0);
    assert!(refused.text.contains("newer"), "{}", refused.text);
    drop(folder);
}

async fn an_anchor_finds_a_log_that_was_cut_off(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path().join("data"), database.url());
    let (key, file) = (folder.path().join("key"), folder.path().join("anchor.json"));
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    for n in 0..5 {
        server.client.post("/v1/records/customer", json!({ "customer_no": n.to_string() })).await.expect(201);
    }
    let anchor = ["audit", "anchor", file.to_str().unwrap()];
    rapport(&anchor).to(&server.client, &key).run().expect(0);
    let verify = ["audit", "verify", "--anchor", file.to_str().unwrap()];
    rapport(&verify).to(&server.client, &key).run().expect(0);
    let head: Value = server.client.get("/v1/audit/verify").await.expect(200).json();
    assert_eq!(server.stop().await, 0);
    // A stranger takes the last event away and sets the head back, so that the chain alone is whole.
    let (position, place) = (head["head_position"].as_i64().unwrap() - 1, url.clone().unwrap_or_default());
    for text in [
        "delete from o_customer where customer_no = '4'".to_owned(),
        format!("delete from event where position > {position}"),
        format!(
            "update log_head set position = {position}, hash = (select hash from event where position = {position})"
        ),
    ] {
        crate::database::execute(database, &data, &place, &text).await;
    }
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    rapport(&["audit", "verify"]).to(&server.client, &key).run().expect(0);
    let told = rapport(&verify).to(&server.client, &key).run().expect(1);
    assert!(told.text.contains("anchor"), "{}", told.text);
    assert_eq!(server.stop().await, 0);
}

/// Only a file can be full on demand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    let bytes = |app: &TestApp| std::fs::metadata(app.folder.path().join("data/rapport.sqlite")).unwrap().len();
    let app = TestApp::on(Database::Sqlite).points_script().start().await;
    app.customer("1").await;
    let app = app.restart(|setup| setup).await;
    let max = bytes(&app) + 128 * 1_024;
    let app = app.restart(|setup| setup.configure(|c| c.storage.database_bytes_max = max)).await;
    let order = |n: u64| json!({ "order_no": n.to_string(), "customer": { "customer_no": "1" }, "amount": "7" });
    let mut accepted = 0;
    let refused = loop {
        let reply = app.post("/v1/records/order", order(accepted)).await;
        if reply.status != 201 {
            break reply;
        }
        accepted += 1;
    };
    assert_eq!((refused.status, &refused.json()["code"]), (507, &json!("disk_full")), "{}", refused.text());
    assert!(accepted > 10, "{accepted}");
    // Reads go on, and with room again so does the rest: the runs that could not be written are not lost.
    assert_eq!(app.all("order").await.len() as u64, accepted);
    let app = app.restart(|setup| setup.configure(|c| c.storage.database_bytes_max = 0)).await;
    app.run_until_idle().await;
    assert_eq!(app.customer_field("1", "points").await, 7 * accepted);
    app.post("/v1/records/order", order(accepted)).await.expect(201);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("1", "points").await, 7 * (accepted + 1));
    assert!(app.get("/v1/audit/verify").await.expect(200).json()["first_bad"].is_null());
}
