//! Files: they come in, go out as they came, belong to records, and come back when their deletion is undone.

use serde_json::{Value, json};

use crate::client::{Reply, Request, with_query};
use crate::harness::{Database, TestApp, on_both};
use crate::keeping::{ask, asked, told};
use crate::waiting::{clock, later, waiting};

on_both!(
    a_file_comes_out_as_it_went_in,
    a_download_runs_in_no_browser,
    a_file_belongs_to_a_record,
    the_same_request_keeps_one_file,
    what_may_not_come_in_is_refused_and_leaves_nothing,
    a_key_does_with_files_what_it_does_with_their_records,
    bytes_go_when_no_file_has_had_them_for_long,
    bytes_that_come_again_stay,
    a_plugin_puts_reads_lists_and_deletes,
    a_plugin_needs_both_rights,
    a_right_that_was_not_granted_keeps_files_away,
    a_plugin_keeps_within_the_limits,
    a_slice_that_fails_keeps_no_file,
    an_undo_brings_a_file_back,
    an_undo_leaves_a_file_whose_bytes_are_gone,
    a_run_that_waits_knows_its_files,
    a_backtest_has_the_files_of_then,
    an_undeclared_right_to_files_is_named,
);

const TEXT: &str = "text/plain";

async fn upload(app: &TestApp, query: &[(&str, &str)], media: &str, body: &[u8]) -> Reply {
    app.send(Request::new("POST", &with_query("/v1/files", query)).body(media, body)).await
}

async fn put(app: &TestApp, name: &str, body: &[u8]) -> String {
    let kept = upload(app, &[("name", name)], TEXT, body).await.expect(201).json();
    kept["id"].as_str().unwrap().to_owned()
}

async fn customer(app: &TestApp, number: &str) -> String {
    let made = app.post("/v1/records/customer", json!({ "customer_no": number })).await.expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

async fn content(app: &TestApp, id: &str) -> Vec<u8> {
    app.get(&format!("/v1/files/{id}/content")).await.expect(200).body
}

async fn names(app: &TestApp, query: &[(&str, &str)]) -> Vec<String> {
    let page = app.get(&with_query("/v1/files", query)).await.expect(200);
    page.items().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

async fn a_file_comes_out_as_it_went_in(database: Database) {
    let app = TestApp::start(database).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    let kept =
        upload(&app, &[("name", "报价 Re\u{301}sume\u{301}.pdf")], "Application/PDF; x=y", &bytes).await.expect(201);
    let info = kept.json();
    let id = info["id"].as_str().unwrap();
    assert_eq!(kept.header("location"), Some(format!("/v1/files/{id}").as_str()));
    assert_eq!((&info["name"], &info["media_type"]), (&json!("报价 Résumé.pdf"), &json!("application/pdf")));
    assert_eq!((&info["size"], &info["object"], &info["record"]), (&json!(200_000), &Value::Null, &Value::Null));
    assert_eq!(info["sha256"], rapport_model::Digest::of(&bytes).to_string());
    assert_eq!(app.get(&format!("/v1/files/{id}")).await.expect(200).json(), info);
    assert_eq!(content(&app, id).await, bytes);
    let empty = put(&app, "nothing.txt", b"").await;
    assert_eq!(content(&app, &empty).await, b"");
    app.delete(&format!("/v1/files/{id}")).await.expect(204);
    app.get(&format!("/v1/files/{id}")).await.expect(404);
    app.get(&format!("/v1/files/{id}/content")).await.expect(404);
    app.delete(&format!("/v1/files/{id}")).await.expect(404);
    app.get("/v1/files/../../x").await.expect(404);
    app.get("/v1/files/x").await.expect(404);
    // A file is no record that callers know.
    assert_eq!(app.get("/v1/records/file").await.expect(404).code(), "unknown_object");
}

async fn a_download_runs_in_no_browser(database: Database) {
    let app = TestApp::start(database).await;
    let id = put(&app, "单 <b>.txt", b"<script>").await;
    let path = format!("/v1/files/{id}/content");
    let got = app.get(&path).await.expect(200);
    let disposition = "attachment; filename=\"_ <b>.txt\"; filename*=UTF-8''%E5%8D%95%20%3Cb%3E.txt";
    assert_eq!(got.header("content-disposition"), Some(disposition));
    assert_eq!(got.header("content-type"), Some(TEXT));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(got.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    let tag = got.header("etag").unwrap().to_owned();
    let again = app.send(Request::new("GET", &path).header("if-none-match", &tag)).await.expect(304);
    assert!(again.body.is_empty());
}

async fn a_file_belongs_to_a_record(database: Database) {
    let app = TestApp::start(database).await;
    let (ada, grace) = (customer(&app, "1").await, customer(&app, "2").await);
    for (number, name) in [("1", "a.txt"), ("2", "b.txt"), ("1", "c.txt"), ("1", "d.txt")] {
        let key = format!("customer_no:{number}");
        let query = [("name", name), ("object", "customer"), ("record", key.as_str())];
        let info = upload(&app, &query, TEXT, name.as_bytes()).await.expect(201).json();
        let owner = if number == "1" { &ada } else { &grace };
        assert_eq!((&info["object"], &info["record"]), (&json!("customer"), &json!(owner)));
    }
    put(&app, "alone.txt", b"x").await;
    let of_ada = [("object", "customer"), ("record", ada.as_str())];
    assert_eq!(names(&app, &of_ada).await, ["a.txt", "c.txt", "d.txt"]);
    assert_eq!(names(&app, &[("object", "customer"), ("record", "customer_no:2")]).await, ["b.txt"]);
    assert_eq!(names(&app, &[]).await.len(), 5);
    let paged = [of_ada.as_slice(), &[("limit", "2")]].concat();
    let page = app.get(&with_query("/v1/files", &paged)).await.expect(200).json();
    let rest = [paged.as_slice(), &[("cursor", page["next"].as_str().unwrap())]].concat();
    assert_eq!(names(&app, &rest).await, ["d.txt"]);
    // A cursor is for its own list.
    let foreign = with_query("/v1/files", &[("cursor", page["next"].as_str().unwrap())]);
    assert_eq!(app.get(&foreign).await.expect(400).code(), "invalid_cursor");
    // Its files stay when a record goes.
    app.delete(&format!("/v1/records/customer/{ada}")).await.expect(204);
    assert_eq!(names(&app, &of_ada).await.len(), 3);
}

async fn the_same_request_keeps_one_file(database: Database) {
    let app = TestApp::start(database).await;
    let request = |media: &str, body: &str| {
        Request::new("POST", "/v1/files?name=a.txt").header("idempotency-key", "k1").body(media, body)
    };
    let first = app.send(request(TEXT, "one")).await.expect(201).json();
    let again = app.send(request(TEXT, "one")).await.expect(200);
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first, Some("true")));
    assert_eq!(app.send(request(TEXT, "two")).await.expect(422).code(), "idempotency_key_reused");
    assert_eq!(app.send(request("text/csv", "one")).await.expect(422).code(), "idempotency_key_reused");
    assert_eq!(names(&app, &[]).await, ["a.txt"]);
}

async fn what_may_not_come_in_is_refused_and_leaves_nothing(database: Database) {
    let app = TestApp::on(database)
        .configure(|config| {
            config.files.bytes_max = 1_000;
            config.files.total_bytes_max = 1_500;
        })
        .start()
        .await;
    let before = app.log().await.len();
    for name in ["../../x", "a/b", "a\\b", "a\nb", "a\0b", "", "..", " a", "x\u{202e}fdp.exe", &"n".repeat(201)] {
        let refused = upload(&app, &[("name", name)], TEXT, b"x").await.expect(422).json();
        assert_eq!(refused["errors"][0]["pointer"], "/name", "{name:?}: {refused:#}");
    }
    for media in ["text/html", "image/svg+xml", "nonsense", "text/plain/x"] {
        let refused = upload(&app, &[("name", "a")], media, b"x").await.expect(422).json();
        assert_eq!(refused["errors"][0]["pointer"], "/media_type", "{media}: {refused:#}");
    }
    upload(&app, &[], TEXT, b"x").await.expect(400);
    upload(&app, &[("name", "a"), ("object", "customer")], TEXT, b"x").await.expect(400);
    let nobody = [("name", "a"), ("object", "customer"), ("record", "customer_no:9")];
    upload(&app, &nobody, TEXT, b"x").await.expect(404);
    let nothing = [("name", "a"), ("object", "api_key"), ("record", "name:owner")];
    assert_eq!(upload(&app, &nothing, TEXT, b"x").await.expect(404).code(), "unknown_object");
    assert_eq!(upload(&app, &[("name", "a")], TEXT, &[0; 1_001]).await.expect(413).code(), "too_large");
    assert_eq!(app.log().await.len(), before);
    upload(&app, &[("name", "a")], TEXT, &[0; 1_000]).await.expect(201);
    assert_eq!(upload(&app, &[("name", "b")], TEXT, &[0; 501]).await.expect(507).code(), "quota");
    upload(&app, &[("name", "b")], TEXT, &[0; 500]).await.expect(201);
}

async fn a_key_does_with_files_what_it_does_with_their_records(database: Database) {
    let app = TestApp::start(database).await;
    let ada = customer(&app, "1").await;
    let alone = put(&app, "alone.txt", b"x").await;
    let of_ada = [("name", "a.txt"), ("object", "customer"), ("record", ada.as_str())];
    let attached = upload(&app, &of_ada, TEXT, b"x").await.expect(201).json();
    let attached = attached["id"].as_str().unwrap();
    let key = async |name: &str, scopes: Value, objects: Value| {
        let body = json!({ "name": name, "scopes": scopes, "objects": objects });
        let made = app.post("/v1/keys", body).await.expect(201).json();
        app.with_key(made["secret"].as_str().unwrap())
    };
    let file = |id: &str| Request::new("GET", &format!("/v1/files/{id}/content"));
    let gone = |id: &str| Request::new("DELETE", &format!("/v1/files/{id}"));
    let send = |query: &[(&str, &str)]| Request::new("POST", &with_query("/v1/files", query)).body(TEXT, "x");
    let reader = key("reader", json!(["read"]), Value::Null).await;
    reader.send(file(attached)).await.expect(200);
    reader.send(file(&alone)).await.expect(200);
    reader.send(gone(attached)).await.expect(403);
    reader.send(send(&of_ada)).await.expect(403);
    let orders = key("orders", json!(["read", "write"]), json!(["order"])).await;
    for request in [file(attached), file(&alone), gone(attached), send(&of_ada), send(&[("name", "b")])] {
        orders.send(request).await.expect(403);
    }
    orders.send(Request::new("GET", "/v1/files")).await.expect(403);
    let customers = key("customers", json!(["read", "write"]), json!(["customer"])).await;
    customers.send(file(attached)).await.expect(200);
    customers.send(file(&alone)).await.expect(403);
    customers.send(send(&of_ada)).await.expect(201);
    customers.send(gone(attached)).await.expect(204);
    app.without_key().send(file(&alone)).await.expect(401);
}

async fn bytes_go_when_no_file_has_had_them_for_long(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).clock(clock.clone()).start().await;
    let (one, two) = (put(&app, "one.txt", b"same").await, put(&app, "two.txt", b"same").await);
    app.delete(&format!("/v1/files/{one}")).await.expect(204);
    assert_eq!(app.sweep_files().await, 0);
    later(&clock, "40 days");
    assert_eq!(app.sweep_files().await, 0);
    assert_eq!(content(&app, &two).await, b"same");
    app.delete(&format!("/v1/files/{two}")).await.expect(204);
    assert_eq!(app.sweep_files().await, 0);
    later(&clock, "69 days");
    assert_eq!(app.sweep_files().await, 0);
    later(&clock, "70 days");
    assert_eq!(app.sweep_files().await, 1);
    assert_eq!(app.sweep_files().await, 0);
}

async fn bytes_that_come_again_stay(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).clock(clock.clone()).start().await;
    let one = put(&app, "one.txt", b"same").await;
    app.delete(&format!("/v1/files/{one}")).await.expect(204);
    assert_eq!(app.sweep_files().await, 0);
    later(&clock, "29 days");
    let two = put(&app, "two.txt", b"same").await;
    later(&clock, "40 days");
    assert_eq!(app.sweep_files().await, 0);
    assert_eq!(content(&app, &two).await, b"same");
}

/// What is in a list, by name: within one slice files have no order.
fn sorted(list: &Value) -> Vec<Value> {
    let mut all = list.as_array().unwrap().clone();
    all.sort_by_key(|file| file[1].to_string());
    all
}

async fn a_plugin_puts_reads_lists_and_deletes(database: Database) {
    let rights = ["file:read", "file:write", "customer:update"];
    let app = TestApp::on(database).keeper_plugin("keeper", &rights, "").start().await;
    let ada = customer(&app, "1").await;
    let owner = "customer/customer_no:1";
    let first = asked(
        &app,
        "keeper",
        "2",
        json!([
            ["put", "a.txt", TEXT, "Dear Ada", owner],
            ["put", "b.txt", TEXT, "x", owner],
            ["put", "alone.csv", "text/CSV", "", ""],
            ["files", owner, "", 9],
        ]),
    );
    let first = first.await;
    let (a, b, alone) = (&first[0], &first[1], &first[2]);
    assert_eq!(sorted(&first[3]), [json!([a, "a.txt"]), json!([b, "b.txt"])], "{first}");
    let (before, after) = (&first[3][0], &first[3][1]);
    let sha = rapport_model::Digest::of(b"Dear Ada").to_string();
    let second = json!([
        ["info", a],
        ["read", a, 0, 100],
        ["read", a, 5, 2],
        ["read", a, 8, 5],
        ["read", a, 5_000_000_000_u64, 5],
        ["info", alone],
        ["read", alone, 0, 9],
        ["files", owner, before[0], 9],
        ["files", owner, "", 1],
        ["remove", b],
        ["remove", b],
        ["info", b],
        ["read", b, 0, 1],
        ["files", owner, "", 9],
        ["info", ada],
        ["info", "nonsense"],
    ]);
    let told = asked(&app, "keeper", "3", second).await;
    let expected = json!([
        ["a.txt", TEXT, 8, sha, format!("customer/{ada}")],
        "Dear Ada",
        "Ad",
        "",
        "",
        ["alone.csv", "text/csv", 0, rapport_model::Digest::of(b"").to_string(), null],
        "",
        [after],
        [before],
        true,
        false,
        null,
        { "error": "not_found" },
        [[a, "a.txt"]],
        null,
        { "error": "invalid" },
    ]);
    assert_eq!(told, expected);
    // What it put is what callers get, and its run says that it did, without the bytes.
    assert_eq!(content(&app, a.as_str().unwrap()).await, b"Dear Ada");
    let run = app.runs("automation=keeper").await[1]["id"].as_str().unwrap().to_owned();
    let why = app.get(&format!("/v1/runs/{run}/explain")).await.expect(200).json().to_string();
    assert!(why.contains(&sha) && why.contains("file.created") && !why.contains("RGVhciBBZGE"), "{why}");
}

async fn a_plugin_needs_both_rights(database: Database) {
    let app = TestApp::on(database)
        .keeper_plugin("files", &["file:read", "file:write"], "")
        .keeper_plugin("customers", &["customer:update"], "")
        .start()
        .await;
    app.expect_dead(4);
    customer(&app, "1").await;
    let order = json!({ "order_no": "1", "customer": "customer_no:1" });
    let order = app.post("/v1/records/order", order).await.expect(201).json();
    let of_order = [("name", "o.txt"), ("object", "order"), ("record", "order_no:1")];
    let bill = upload(&app, &of_order, TEXT, b"secret").await.expect(201).json();
    // The rights to files do not reach into objects, nor those to objects into files.
    ask(&app, "files", "2", json!([["put", "a.txt", TEXT, "x", "customer/customer_no:1"]])).await;
    ask(&app, "files", "3", json!([["read", bill["id"], 0, 9]])).await;
    ask(&app, "files", "4", json!([["files", format!("order/{}", order["id"].as_str().unwrap()), "", 9]])).await;
    ask(&app, "customers", "5", json!([["put", "a.txt", TEXT, "x", "customer/customer_no:1"]])).await;
    app.run_until_idle().await;
    let errors: Vec<String> = app.runs("status=dead").await.iter().map(|run| run["error"].to_string()).collect();
    for right in ["customer:update", "order:read", "order:read", "file:create"] {
        assert!(errors.iter().any(|error| error.contains("denied") && error.contains(right)), "{right}: {errors:#?}");
    }
    assert_eq!(names(&app, &[]).await, ["o.txt"]);
}

async fn a_right_that_was_not_granted_keeps_files_away(database: Database) {
    let app = TestApp::start(database).await;
    app.expect_dead(1);
    crate::keeping::install(&app, &["file:read", "file:write"], &["file:read"]).await;
    let alone = put(&app, "a.txt", b"x").await;
    assert_eq!(asked(&app, "keeper", "1", json!([["read", alone, 0, 9]])).await, json!(["x"]));
    ask(&app, "keeper", "2", json!([["remove", alone]])).await;
    app.run_until_idle().await;
    let dead = app.runs("status=dead").await;
    assert!(dead[0]["error"].to_string().contains("not_granted"), "{dead:#?}");
    assert_eq!(names(&app, &[]).await, ["a.txt"]);
}

async fn a_plugin_keeps_within_the_limits(database: Database) {
    let app = TestApp::on(database)
        .keeper_plugin("keeper", &["file:read", "file:write"], "")
        .configure(|config| {
            config.files.bytes_max = 1_000;
            config.files.total_bytes_max = 1_500;
        })
        .start()
        .await;
    let calls = json!([
        ["put", "a", TEXT, 1_001, ""],
        ["put", "../../x", TEXT, 1, ""],
        ["put", "a", "text/html", 1, ""],
        ["put", "a", TEXT, 1_000, ""],
        ["put", "b", TEXT, 501, ""],
        ["put", "b", TEXT, 500, ""],
    ]);
    let told = asked(&app, "keeper", "1", calls).await;
    let error = |code: &str| json!({ "error": code });
    for (place, code) in [(0, "too_large"), (1, "invalid"), (2, "invalid"), (4, "quota")] {
        assert_eq!(told[place], error(code), "{place}: {told}");
    }
    assert!(told[3].is_string() && told[5].is_string(), "{told}");
}

async fn a_slice_that_fails_keeps_no_file(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["file:read", "file:write"], "").start().await;
    app.expect_dead(1);
    ask(&app, "keeper", "1", json!([["put", "a.txt", TEXT, "x", ""], ["create", "customer", "x"]])).await;
    app.run_until_idle().await;
    assert!(names(&app, &[]).await.is_empty());
}

async fn undo_last(app: &TestApp) -> Value {
    let run = app.runs("automation=keeper").await[0]["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json()
}

async fn an_undo_brings_a_file_back(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["file:read", "file:write"], "").start().await;
    let old = put(&app, "old.txt", b"old").await;
    asked(&app, "keeper", "1", json!([["remove", old], ["put", "new.txt", TEXT, "new", ""]])).await;
    assert_eq!(names(&app, &[]).await, ["new.txt"]);
    let undone = undo_last(&app).await;
    assert_eq!(undone["left"], 0, "{undone:#}");
    assert_eq!(names(&app, &[]).await, ["old.txt"]);
    assert_eq!(content(&app, &old).await, b"old");
}

async fn an_undo_leaves_a_file_whose_bytes_are_gone(database: Database) {
    let clock = clock();
    let app = TestApp::on(database)
        .keeper_plugin("keeper", &["file:read", "file:write"], "")
        .clock(clock.clone())
        .start()
        .await;
    let old = put(&app, "old.txt", b"old").await;
    asked(&app, "keeper", "1", json!([["remove", old]])).await;
    app.sweep_files().await;
    later(&clock, "31 days");
    assert_eq!(app.sweep_files().await, 1);
    let undone = undo_last(&app).await;
    assert_eq!(undone["left"], 1, "{undone:#}");
    assert!(undone.to_string().contains("its bytes have been cleared away"), "{undone:#}");
}

async fn a_run_that_waits_knows_its_files(database: Database) {
    let clock = clock();
    let app = TestApp::on(database)
        .keeper_plugin("keeper", &["file:read", "file:write"], "")
        .clock(clock.clone())
        .start()
        .await;
    let calls = json!([["put", "a.txt", TEXT, "Ada", ""], ["sleep", "1 day"], ["put", "b.txt", TEXT, "b", ""]]);
    ask(&app, "keeper", "1", calls).await;
    waiting(&app, 1).await;
    assert_eq!(names(&app, &[]).await, ["a.txt"]);
    later(&clock, "2 days");
    crate::waiting::completed(&app, 1).await;
    assert_eq!(names(&app, &[]).await, ["a.txt", "b.txt"]);
    assert!(told(&app, "1").await[0].is_string());
}

async fn a_backtest_has_the_files_of_then(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["file:read", "file:write"], "").start().await;
    let old = put(&app, "old.txt", b"old").await;
    let since: rapport_model::Timestamp = app.log().await.last().unwrap()["time"].as_str().unwrap().parse().unwrap();
    let since = since.plus_micros(1).to_string();
    let calls = json!([["read", old, 0, 9], ["put", "new.txt", TEXT, "new", ""], ["remove", old]]);
    assert_eq!(asked(&app, "keeper", "1", calls).await[0], "old");
    let late = put(&app, "late.txt", b"late").await;
    assert_eq!(asked(&app, "keeper", "2", json!([["read", late, 1, 9]])).await, json!(["ate"]));
    let idle = "//! Does nothing.\non(\"order.created\");\nfn run(event) {}\n";
    let result = crate::backtests::backtest(&app, "idle", idle, (&since, "2100-01-01T00:00:00Z")).await;
    crate::backtests::assert_exact(&result);
}

async fn an_undeclared_right_to_files_is_named(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["file.name:read"], "").start().await;
    assert!(app.notices().contains("`file.name:read`"), "{}", app.notices());
}
