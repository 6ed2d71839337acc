//! Tags of records: added and taken away by people, scripts, imports and scenarios at once, undone, and asked for in rules.

use serde_json::{Value, json};

use crate::client::with_query;
use crate::harness::{Database, TestApp, on_both, order_paid};
use crate::process::rapport;
use crate::waiting::{completed, waiting};

on_both!(
    tags_are_added_taken_away_and_set,
    two_writers_at_once_lose_no_tag,
    what_is_no_tag_is_refused_and_changes_nothing,
    tags_that_look_alike_or_like_sql_are_what_they_are,
    a_record_has_a_hundred_tags_at_most,
    a_script_tags_and_its_undo_takes_back_only_what_it_added,
    a_script_without_the_right_tags_nothing,
    a_run_that_waits_tags_once,
    a_filter_by_tags_finds_the_same_in_memory_and_in_the_database,
    a_change_of_tags_starts_an_automation,
    an_object_made_at_run_time_has_tags,
    an_object_keeps_its_own_field_of_that_name,
    tags_are_counted_by_object_for_who_may_see_it,
    a_deleted_record_has_no_tags_and_comes_back_with_them,
    an_import_adds_tags,
    tags_that_somebody_else_took_from_the_table_are_told,
    the_command_line_tags,
);

async fn tag(app: &TestApp, number: &str, body: Value) -> Value {
    let path = format!("/v1/records/customer/customer_no:{number}");
    app.patch(&path, json!({ "tags": body })).await.expect(200).json()["tags"].clone()
}

/// The numbers of the customers that a rule finds, in order.
async fn found(app: &TestApp, rule: &str) -> Vec<String> {
    let path = with_query("/v1/records/customer", &[("where", rule), ("order", "customer_no")]);
    let items = app.get(&path).await.expect(200).items();
    items.iter().map(|item| item["customer_no"].as_str().unwrap().to_owned()).collect()
}

async fn counted(app: &TestApp) -> Vec<Value> {
    let items = app.get("/v1/tags").await.expect(200).items();
    items.iter().map(|i| json!([i["object"], i["tag"], i["records"]])).collect()
}

async fn tags_are_added_taken_away_and_set(database: Database) {
    let app = TestApp::start(database).await;
    assert_eq!(app.customer("a").await["tags"], json!([]));
    assert_eq!(tag(&app, "a", json!({ "add": ["vip", " new ", "vip"] })).await, json!(["new", "vip"]));
    assert_eq!(tag(&app, "a", json!({ "add": ["b"], "remove": ["new", "gone"] })).await, json!(["b", "vip"]));
    let event = app.log().await.pop().unwrap();
    let data = json!({ "before": { "tags": ["new", "vip"] }, "after": { "tags": ["b", "vip"] } });
    assert_eq!((&event["type"], &event["data"]), (&json!("customer.updated"), &data));
    assert_eq!(tag(&app, "a", json!(["z", "y"])).await, json!(["y", "z"]));
    // What changes nothing is no event.
    let length = app.log().await.len();
    tag(&app, "a", json!({ "add": ["y"], "remove": ["vip"] })).await;
    assert_eq!(app.log().await.len(), length);
    assert_eq!(tag(&app, "a", json!([])).await, json!([]));
    assert_eq!(counted(&app).await, Vec::<Value>::new());
    let made = json!({ "customer_no": "b", "tags": { "add": ["x"] } });
    assert_eq!(app.post("/v1/records/customer", made).await.expect(201).json()["tags"], json!(["x"]));
}

async fn two_writers_at_once_lose_no_tag(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    let writers = (0..16).map(|n| {
        let (client, key) = (app.address.clone(), app.key.clone());
        let one = crate::client::Client { address: client, key };
        tokio::spawn(async move {
            for m in 0..4 {
                let body = json!({ "tags": { "add": [format!("t{n}-{m}")] } });
                one.patch("/v1/records/customer/customer_no:a", body).await.expect(200);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(app.customer_field("a", "tags").await.as_array().unwrap().len(), 64);
    assert_eq!(counted(&app).await.len(), 50, "the first page");
}

async fn what_is_no_tag_is_refused_and_changes_nothing(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    tag(&app, "a", json!(["kept"])).await;
    let length = app.log().await.len();
    for bad in [
        json!([""]),
        json!({ "add": ["  "] }),
        json!({ "add": ["x".repeat(65)] }),
        json!({ "add": ["a\nb"] }),
        json!({ "remove": ["a\u{7f}"] }),
        json!({ "add": ["a\u{0}"] }),
        json!({ "add": ["a"], "remove": ["a"] }),
        json!({ "push": ["a"] }),
        json!({ "add": "a" }),
        json!("a"),
        json!([1]),
        json!((0..101).map(|n| n.to_string()).collect::<Vec<_>>()),
    ] {
        let refused = app.patch("/v1/records/customer/customer_no:a", json!({ "tags": bad })).await.expect(422);
        assert_eq!(refused.json()["errors"][0]["pointer"], "/tags", "{}", refused.text());
    }
    assert_eq!((app.log().await.len(), app.customer_field("a", "tags").await), (length, json!(["kept"])));
}

async fn tags_that_look_alike_or_like_sql_are_what_they_are(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    let odd = [
        "'; drop table o_customer; --",
        "%",
        "\" or 1=1",
        "e\u{301}t\u{e9}",
        "\u{e9}t\u{e9}",
        "VIP",
        "vip",
        "\u{1f600}",
    ];
    let tags = tag(&app, "a", json!({ "add": odd })).await;
    assert_eq!(tags.as_array().unwrap().len(), 7, "two are one in NFC: {tags}");
    for text in odd {
        let quoted = text.replace('\\', "\\\\").replace('\'', "\\'");
        assert_eq!(found(&app, &format!("'{quoted}' in tags")).await, ["a"], "{text}");
    }
    assert_eq!(found(&app, "'Vip' in tags").await, Vec::<String>::new());
    tag(&app, "a", json!({ "remove": ["e\u{301}te\u{301}"] })).await;
    assert_eq!(found(&app, "'\u{e9}t\u{e9}' in tags").await, Vec::<String>::new());
    assert_eq!(app.all("customer").await.len(), 1);
}

async fn a_record_has_a_hundred_tags_at_most(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    let all: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    tag(&app, "a", json!({ "add": all })).await;
    let one_more = json!({ "tags": { "add": ["one more"] } });
    let refused = app.patch("/v1/records/customer/customer_no:a", one_more).await.expect(422);
    assert!(refused.text().contains("100 tags at most"), "{}", refused.text());
    tag(&app, "a", json!({ "add": ["one more"], "remove": ["t0"] })).await;
    assert_eq!(found(&app, "size(tags) == 100 && 'one more' in tags").await, ["a"]);
}

const TAGGER: &str = r#"//! Tags who pays.
on("order.paid");
uses("customer:read", "customer.tags:write");
fn run(event) {
    let me = event.record;
    if me.tags.contains("known") { log("known"); }
    tag(me, "vip");
    tag(`customer/${me.id}`, ["paid", "loud"]);
    untag(me, "quiet");
    untag("customer", me.id, ["gone", "other"]);
    if !get("customer", me.id).tags.contains("vip") { fail("a slice sees its own tags"); }
}
"#;

async fn a_script_tags_and_its_undo_takes_back_only_what_it_added(database: Database) {
    let app = TestApp::on(database).script("tagger", TAGGER).start().await;
    app.customer("a").await;
    tag(&app, "a", json!(["known", "other", "paid", "quiet"])).await;
    app.post("/v1/events", order_paid("1", "a", "9")).await.expect(202);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "tags").await, json!(["known", "loud", "paid", "vip"]));
    // Somebody adds a tag of their own, and takes away and gives again one that the run gave.
    tag(&app, "a", json!({ "add": ["mine"], "remove": ["loud"] })).await;
    tag(&app, "a", json!({ "add": ["loud"] })).await;
    let run = app.runs("automation=tagger").await.remove(0)["id"].as_str().unwrap().to_owned();
    let told = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json();
    let tags = app.customer_field("a", "tags").await;
    assert_eq!(tags, json!(["known", "loud", "mine", "other", "paid", "quiet"]), "{told}");
    let (done, left) = (&told["runs"][0]["done"], &told["runs"][0]["left"]);
    assert_eq!((done.as_array().unwrap().len(), left.as_array().unwrap().len()), (1, 1), "{told}");
    assert!(left[0]["why"].as_str().unwrap().contains("`loud`"), "{told}");
    // The undo is undone.
    let undo = app.runs("").await.remove(0)["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/runs/{undo}/undo"), json!({})).await.expect(200);
    assert_eq!(app.customer_field("a", "tags").await, json!(["known", "loud", "mine", "paid", "vip"]));
}

async fn a_script_without_the_right_tags_nothing(database: Database) {
    let app = TestApp::on(database).script("tagger", &TAGGER.replace(", \"customer.tags:write\"", "")).start().await;
    let told = app.notices();
    assert!(told.contains("`untag` needs the right `customer.tags:write`"), "{told}");
    assert!(app.runs("automation=tagger").await.is_empty());
}

async fn a_run_that_waits_tags_once(database: Database) {
    let source = r#"//! Tags, waits, and tags again.
on("order.paid");
uses("customer:read", "customer.tags:write");
fn run(event) {
    tag(event.record, "before");
    let next = wait_for("customer.updated", "id == c && 'go' in tags && !('go' in before.tags)", #{ c: event.record.id }, "1 day");
    if next.timed_out { return; }
    tag(event.record, `after ${next.record.tags.len()}`);
}
"#;
    let app = TestApp::on(database).script("waits", source).start().await;
    app.customer("a").await;
    app.post("/v1/events", order_paid("1", "a", "9")).await.expect(202);
    waiting(&app, 1).await;
    tag(&app, "a", json!({ "add": ["other"] })).await;
    tag(&app, "a", json!({ "add": ["go"], "remove": ["before"] })).await;
    completed(&app, 1).await;
    assert_eq!(
        app.customer_field("a", "tags").await,
        json!(["after 2", "go", "other"]),
        "what is journaled is not done again"
    );
}

async fn a_filter_by_tags_finds_the_same_in_memory_and_in_the_database(database: Database) {
    let source = r#"//! Counts before it writes and after, so in the database and in memory.
on("order.paid");
uses("customer:read", "company:read", "customer.notes:write");
fn run(event) {
    let rules = ["'vip' in tags", "!('vip' in tags)", "'vip' in company.tags", "size(tags) > 1", "size(company.tags) == 0",
        "country in tags", "tags == null", "tags != null && !(name in company.tags)"];
    let counts = [];
    for rule in rules { counts.push(count("customer", rule)); }
    for customer in find("customer", "") { update(customer, #{ notes: "touched" }); }
    for i in 0..rules.len() {
        let now = count("customer", rules[i]);
        if now != counts[i] { fail(`${rules[i]}: ${counts[i]} and ${now}`); }
    }
    update(event.record, #{ notes: counts.to_string() });
}
"#;
    let app = TestApp::on(database).script("counts", source).start().await;
    let company = json!({ "company_no": "c", "tags": ["vip", "Ada"] });
    let company = app.post("/v1/records/company", company).await.expect(201).json()["id"].clone();
    for (number, fields) in [
        ("a", json!({ "tags": ["vip", "FR"], "country": "FR", "company": company })),
        ("b", json!({ "tags": ["new"], "name": "Ada", "company": company })),
        ("c", json!({ "country": "FR" })),
        ("d", json!({ "tags": ["vip"] })),
    ] {
        let mut fields = fields;
        fields["customer_no"] = number.into();
        app.post("/v1/records/customer", fields).await.expect(201);
    }
    app.post("/v1/events", order_paid("1", "a", "9")).await.expect(202);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "notes").await, "[2, 2, 2, 1, 2, 1, 1, 2]");
    assert_eq!(found(&app, "'vip' in tags && 'Ada' in company.tags").await, ["a"]);
    for (rule, why) in [
        ("tags == 'vip'", "cannot be compared"),
        ("tags in ['vip']", "cannot be compared"),
        ("1 in tags", "is no text"),
        ("'vip' in name", "needs a list"),
        ("tags.contains('vip')", "is no text"),
    ] {
        let refused = app.get(&with_query("/v1/records/customer", &[("where", rule)])).await.expect(400);
        assert!(refused.text().contains(why), "{rule}: {}", refused.text());
    }
    app.get("/v1/records/customer?order=tags").await.expect(400);
}

async fn a_change_of_tags_starts_an_automation(database: Database) {
    let source = r#"//! Notes who becomes a vip.
on_change("customer", "tags", "'vip' in after.tags && !('vip' in before.tags)");
uses("customer:read", "customer.notes:write");
fn run(event) { update(event.record, #{ notes: `${event.record.notes} vip` }); }
"#;
    let app = TestApp::on(database).script("vips", source).start().await;
    app.customer("a").await;
    for body in [json!({ "add": ["vip"] }), json!({ "add": ["new"] }), json!({ "remove": ["vip"] }), json!(["vip"])] {
        tag(&app, "a", body).await;
        app.run_until_idle().await;
    }
    assert_eq!(app.runs("automation=vips").await.len(), 2);
}

async fn an_object_made_at_run_time_has_tags(database: Database) {
    let app = TestApp::start(database).await;
    let fields = json!([{ "name": "no", "type": "text", "unique": true }]);
    app.post("/v1/objects", json!({ "name": "boat", "fields": fields })).await.expect(201);
    let boat = app.post("/v1/records/boat", json!({ "no": "1", "tags": ["fast"] })).await.expect(201).json();
    assert_eq!(boat["tags"], json!(["fast"]));
    assert_eq!(app.get("/v1/records/boat?where='fast'+in+tags").await.expect(200).items().len(), 1);
    for field in [
        json!({ "name": "labels", "type": "tags" }),
        json!({ "name": "tags", "type": "tags", "required": true }),
        json!({ "name": "tags", "type": "json" }),
    ] {
        app.post("/v1/objects/boat/fields", field).await.expect(422);
    }
    let kind = json!({ "name": "boat.sunk", "fields": [{ "name": "tags", "type": "tags" }] });
    app.post("/v1/event-types", kind).await.expect(422);
    // The host's own objects have none.
    app.get("/v1/records/api_key").await.expect(404);
}

async fn an_object_keeps_its_own_field_of_that_name(database: Database) {
    let source = "//! Boats.\nobject(\"boat\", #{ no: \"text\" });\nfield(\"boat\", \"tags\", \"integer\");\non(\"order.paid\");\nfn run(event) { }\n";
    let app = TestApp::on(database).script("boats", source).start().await;
    let fields = json!([{ "name": "tags", "type": "text" }]);
    app.post("/v1/objects", json!({ "name": "car", "fields": fields })).await.expect(201);
    let (boat, car) = (json!({ "no": "1", "tags": 3 }), json!({ "tags": "a text" }));
    assert_eq!(app.post("/v1/records/boat", boat).await.expect(201).json()["tags"], 3);
    assert_eq!(app.post("/v1/records/car", car).await.expect(201).json()["tags"], "a text");
    assert_eq!(counted(&app).await, Vec::<Value>::new());
    let app = app.restart(|setup| setup).await;
    assert_eq!(app.all("boat").await[0]["tags"], 3);
    app.get("/v1/records/boat?where='x'+in+tags").await.expect(400);
}

async fn tags_are_counted_by_object_for_who_may_see_it(database: Database) {
    let app = TestApp::start(database).await;
    for number in ["a", "b", "c"] {
        app.customer(number).await;
    }
    tag(&app, "a", json!(["new", "vip"])).await;
    tag(&app, "b", json!(["vip"])).await;
    app.post("/v1/records/company", json!({ "company_no": "c", "tags": ["vip"] })).await.expect(201);
    let all = [json!(["company", "vip", 1]), json!(["customer", "new", 1]), json!(["customer", "vip", 2])];
    assert_eq!(counted(&app).await, all);
    let first = app.get("/v1/tags?limit=2").await.expect(200).json();
    let next = first["next"].as_str().unwrap();
    let rest = app.get(&format!("/v1/tags?limit=2&cursor={next}")).await.expect(200).json();
    assert_eq!((&rest["items"][0]["tag"], &rest["next"]), (&json!("vip"), &Value::Null));
    app.get("/v1/tags?cursor=forged").await.expect(400);
    app.get("/v1/tags?object=custmer").await.expect(404);
    let key = json!({ "name": "k", "scopes": ["read"], "objects": ["company"] });
    let made = app.post("/v1/keys", key).await.expect(201).json();
    let client = app.with_key(made["secret"].as_str().unwrap());
    let seen = client.get("/v1/tags").await.expect(200).items();
    assert_eq!((seen.len(), &seen[0]["object"]), (1, &json!("company")));
    client.get("/v1/tags?object=customer").await.expect(403);
    client.patch("/v1/records/company/company_no:c", json!({ "tags": [] })).await.expect(403);
}

async fn a_deleted_record_has_no_tags_and_comes_back_with_them(database: Database) {
    let source = "//! Drops.\non(\"order.paid\");\nuses(\"company:read\", \"company:delete\");\nfn run(event) { delete(\"company\", \"company_no:c\"); }\n";
    let app = TestApp::on(database).script("drops", source).start().await;
    app.customer("a").await;
    app.post("/v1/records/company", json!({ "company_no": "c", "tags": ["vip"] })).await.expect(201);
    app.post("/v1/events", order_paid("1", "a", "9")).await.expect(202);
    app.run_until_idle().await;
    assert_eq!(counted(&app).await, Vec::<Value>::new());
    let run = app.runs("automation=drops").await.remove(0)["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200);
    assert_eq!(counted(&app).await, [json!(["company", "vip", 1])]);
}

async fn an_import_adds_tags(database: Database) {
    let app = TestApp::start(database).await;
    let key = app.folder.path().join("key");
    app.customer("a").await;
    tag(&app, "a", json!(["kept"])).await;
    let file = app.folder.path().join("customers.csv");
    std::fs::write(&file, "no,labels\na,vip; new ;vip\nb,vip\nc,\n").unwrap();
    let file = file.display().to_string();
    let line = ["import", &file, "--object", "customer", "--key", "customer_no", "--map", "customer_no=no"];
    let rest = ["--map", "tags=labels", "--tag-separator", ";", "--name", "labels"];
    rapport(&[&line[..], &rest].concat()).to(&app, &key).run().expect(0);
    assert_eq!(app.customer_field("a", "tags").await, json!(["kept", "new", "vip"]));
    assert_eq!(found(&app, "'vip' in tags").await, ["a", "b"]);
    assert_eq!(app.customer_field("c", "tags").await, json!([]));
}

async fn tags_that_somebody_else_took_from_the_table_are_told(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    app.customer("b").await;
    tag(&app, "a", json!(["new", "vip"])).await;
    tag(&app, "b", json!(["vip"])).await;
    let findings = async |app: &TestApp| {
        let report = app.get("/v1/health/invariants").await.expect(200).json();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == "record_tags").unwrap()["findings"].as_array().unwrap().len()
    };
    assert_eq!(findings(&app).await, 0);
    let (url, folder, tamper) = (app.database_url(), app.folder.clone(), "delete from record_tag where tag = 'new'");
    let app = app
        .restart_after(async || _ = crate::database::execute(database, &folder.path().join("data"), &url, tamper).await)
        .await;
    assert_eq!(findings(&app).await, 1);
}

async fn the_command_line_tags(database: Database) {
    let app = TestApp::start(database).await;
    let key = app.folder.path().join("key");
    app.customer("a").await;
    let call = |line: &[&str], code| rapport(line).to(&app, &key).run().expect(code).output;
    assert_eq!(call(&["tag", "add", "customer/customer_no:a", "vip", "new"], 0).trim(), "new\nvip");
    assert_eq!(call(&["tag", "remove", "customer/customer_no:a", "new"], 0).trim(), "vip");
    let listed = call(&["tag", "list", "customer"], 0);
    assert!(listed.contains("customer") && listed.contains("vip") && listed.contains('1'), "{listed}");
    call(&["tag", "add", "customer", "vip"], 2);
    call(&["tag", "add", "customer/customer_no:z", "vip"], 1);
    call(&["tag", "add", "customer/customer_no:a", ""], 1);
    call(&["record", "set", "customer", "customer_no:a", "tags:={\"add\": [\"x\"]}"], 0);
    let listed = call(&["record", "list", "customer", "--where", "'x' in tags"], 0);
    assert!(listed.contains("TAGS") && listed.contains(r#"["vip","x"]"#), "{listed}");
}
