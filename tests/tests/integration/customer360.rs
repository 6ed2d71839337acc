//! The whole customer in one place: what is known, who set it, and everything that happened, for those who may see it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Client, with_query};
use crate::harness::{Database, TestApp, on_both, order_paid};
use crate::process::rapport;
use crate::waiting::{completed, waiting};

on_both!(
    a_customer_without_anything_has_a_page,
    a_field_says_who_set_it,
    a_field_set_by_an_import_a_run_and_an_undo_says_so,
    the_timeline_is_one_stream_newest_first,
    pages_follow_each_other_without_a_gap_or_a_double,
    kinds_filter_the_timeline,
    the_latest_consent_counts,
    relations_and_tags_are_on_the_page,
    a_key_sees_what_it_may,
    a_customer_with_a_long_history_has_its_first_page_at_once,
    the_command_line_shows_a_customer_whole,
);

async fn page(client: &Client, query: &[(&str, &str)]) -> Value {
    client.get(&with_query("/v1/customers/customer_no:a/360", query)).await.expect(200).json()
}

fn items(page: &Value) -> &[Value] {
    page["timeline"]["items"].as_array().unwrap()
}

fn kinds(page: &Value) -> Vec<&str> {
    items(page).iter().map(|item| item["kind"].as_str().unwrap()).collect()
}

fn field<'a>(page: &'a Value, name: &str) -> &'a Value {
    page["fields"].as_array().unwrap().iter().find(|field| field["field"] == name).unwrap()
}

async fn paid(app: &TestApp, id: &str) {
    app.post("/v1/events", order_paid(id, "a", "9")).await.expect(202);
    app.run_until_idle().await;
}

async fn a_customer_without_anything_has_a_page(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    let whole = page(&app, &[]).await;
    let none = json!({ "lifetime_value": "0.00", "order_count": 0 });
    assert_eq!((&whole["tags"], &whole["numbers"], &whole["consent"]), (&json!([]), &none, &json!([])));
    assert_eq!((&whole["relations"], &whole["segments"]), (&json!({ "items": [], "cut": false }), &json!([])));
    assert_eq!((kinds(&whole), &whole["timeline"]["next"]), (vec!["record"], &Value::Null));
    assert_eq!((&field(&whole, "city")["value"], &field(&whole, "city")["set"]), (&Value::Null, &Value::Null));
    app.get("/v1/customers/customer_no:z/360").await.expect(404);
    app.get("/v1/customers/x/360").await.expect(400);
}

async fn a_field_says_who_set_it(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    app.patch("/v1/records/customer/customer_no:a", json!({ "city": "Ulm", "name": "Ada" })).await.expect(200);
    page(&app, &[]).await;
    // What was looked up is kept, and what came since is seen.
    app.patch("/v1/records/customer/customer_no:a", json!({ "city": "Bonn", "name": null })).await.expect(200);
    let whole = page(&app, &[]).await;
    let log = app.log().await;
    let last = log.last().unwrap();
    let city = field(&whole, "city");
    assert_eq!(
        (&city["value"], &city["set"]["position"], &city["set"]["time"]),
        (&json!("Bonn"), &last["position"], &last["time"])
    );
    assert_eq!((&city["set"]["by"]["kind"], &city["set"]["by"]["name"]), (&json!("user"), &json!("owner")));
    let name = field(&whole, "name");
    assert_eq!((&name["value"], &name["set"]["position"]), (&Value::Null, &last["position"]), "also who emptied it");
    let created = log.iter().find(|e| e["type"] == "customer.created").unwrap();
    assert_eq!(field(&whole, "customer_no")["set"]["position"], created["position"]);
}

const SCORER: &str = r#"//! Scores who pays.
on("order.paid");
uses("customer:read", "customer.score:write", "customer.notes:write");
field("customer", "score", "integer", #{ default: 0 });
fn run(event) { increment(event.record, "score", 5); update(event.record, #{ notes: "paid" }); }
"#;

async fn a_field_set_by_an_import_a_run_and_an_undo_says_so(database: Database) {
    let app = TestApp::on(database).script("scorer", SCORER).start().await;
    let line = json!({ "customer_no": "a", "country": "France" }).to_string();
    app.ndjson("/v1/records/customer/bulk?key=customer_no", &[line]).await.expect(200);
    let imported = app.log().await.last().unwrap()["position"].clone();
    paid(&app, "1").await;
    let run = app.runs("automation=scorer").await.remove(0)["id"].clone();
    let whole = page(&app, &[]).await;
    assert_eq!(field(&whole, "country")["set"]["position"], imported);
    let by = &field(&whole, "score")["set"]["by"];
    assert_eq!((&by["kind"], &by["automation"], &by["run"]), (&json!("automation"), &json!("scorer"), &run));
    assert_eq!(whole["numbers"], json!({ "lifetime_value": "0.00", "order_count": 0, "score": 5 }));
    app.post(&format!("/v1/runs/{}/undo", run.as_str().unwrap()), json!({})).await.expect(200);
    let whole = page(&app, &[]).await;
    let score = field(&whole, "score");
    assert_eq!((&score["value"], &score["set"]["by"]["automation"]), (&json!(0), &json!("rapport/undo")), "{score}");
    assert_ne!(score["set"]["by"]["run"], run);
}

const WRITER: &str = r#"//! Writes to who pays, and asks about it.
on("order.paid");
uses("customer:read", "message:email", "task:create");
fn run(event) {
    send("email", event.record, "thanks", #{});
    let answer = ask("role:owner", #{ title: "Call?", choices: ["yes"], about: event.record }, "2 days");
    log(answer.choice);
}
"#;

async fn written_to(database: Database) -> TestApp {
    let app = TestApp::on(database).script("writer", WRITER).start().await;
    let template = json!({ "name": "thanks", "subject": "Thank you", "text": "Dear {{ customer.name }}" });
    app.post("/v1/records/template", template).await.expect(201);
    let customer = json!({ "customer_no": "a", "name": "Ada", "email": "ada@example.org" });
    app.post("/v1/records/customer", customer).await.expect(201);
    app.post("/v1/events", order_paid("1", "a", "9")).await.expect(202);
    waiting(&app, 1).await;
    app.settle().await;
    let tasks = app.all("task").await;
    let task = tasks[0]["id"].as_str().unwrap();
    app.patch(&format!("/v1/records/task/{task}"), json!({ "state": "done", "choice": "yes" })).await.expect(200);
    completed(&app, 1).await;
    let order = json!({ "order_no": "1", "customer": "customer_no:a", "amount": "9" });
    app.post("/v1/records/order", order).await.expect(201);
    app
}

async fn the_timeline_is_one_stream_newest_first(database: Database) {
    let app = written_to(database).await;
    let whole = page(&app, &[]).await;
    let shown: Vec<(&str, &str)> = items(&whole)
        .iter()
        .map(|i| (i["kind"].as_str().unwrap(), i["type"].as_str().or(i["automation"].as_str()).unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ("record", "order.created"),
            ("answer", "task.updated"),
            ("record", "task.created"),
            ("message", "writer"),
            ("run", "writer"),
            ("event", "order.paid"),
            ("record", "customer.created"),
        ]
    );
    let positions: Vec<i64> = items(&whole).iter().map(|i| i["position"].as_i64().unwrap()).collect();
    assert!(positions.is_sorted_by(|a, b| a >= b), "{positions:?}");
    let message = &items(&whole)[3];
    assert_eq!(
        (&message["channel"], &message["template"], &message["to"]),
        (&json!("email"), &json!("thanks"), &json!("ada@example.org"))
    );
    assert_eq!((&message["status"], &items(&whole)[4]["status"]), (&json!("done"), &json!("completed")));
    assert_eq!(items(&whole)[5]["data"]["amount"], "9.00");
}

async fn pages_follow_each_other_without_a_gap_or_a_double(database: Database) {
    let app = TestApp::on(database).script("scorer", SCORER).start().await;
    app.customer("a").await;
    for n in 0..12 {
        paid(&app, &n.to_string()).await;
        let order = json!({ "order_no": n.to_string(), "customer": "customer_no:a" });
        app.post("/v1/records/order", order).await.expect(201);
    }
    let whole = page(&app, &[("limit", "1000")]).await;
    let all: Vec<Value> = items(&whole).to_vec();
    assert_eq!(all.len(), 1 + 12 * 4 + 1, "a customer; each time an event, a run, a change, an order; once the notes");
    for limit in ["1", "2", "7"] {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("limit", limit)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let one = page(&app, &query).await;
            assert_eq!(one.get("fields").is_some(), cursor.is_none(), "later pages have the timeline alone");
            assert!(items(&one).len() <= limit.parse::<usize>().unwrap() + 1);
            found.extend(items(&one).to_vec());
            match one["timeline"]["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        assert_eq!(found, all, "{limit}");
    }
    let next = page(&app, &[("limit", "2")]).await["timeline"]["next"].as_str().unwrap().to_owned();
    let path = with_query("/v1/customers/customer_no:a/360", &[("cursor", &next), ("kinds", "run")]);
    app.get(&path).await.expect(400);
    app.get("/v1/customers/customer_no:a/360?limit=0").await.expect(400);
    app.get("/v1/customers/customer_no:a/360?cursor=forged").await.expect(400);
}

async fn kinds_filter_the_timeline(database: Database) {
    let app = written_to(database).await;
    for (wanted, found) in [
        ("message", vec!["message"]),
        ("run, event", vec!["run", "event"]),
        ("answer", vec!["answer"]),
        ("record", vec!["record", "record", "record"]),
    ] {
        assert_eq!(kinds(&page(&app, &[("kinds", wanted)]).await), found, "{wanted}");
    }
    let refused = app.get("/v1/customers/customer_no:a/360?kinds=mail").await.expect(400);
    assert!(refused.text().contains("record, event, answer, run, message"), "{}", refused.text());
}

async fn the_latest_consent_counts(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    app.customer("b").await;
    for (who, channel, purpose, state, at) in [
        ("a", "email", json!("news"), "granted", json!("2026-01-01T00:00:00Z")),
        ("a", "email", json!("news"), "withdrawn", json!("2026-03-01T00:00:00Z")),
        ("a", "email", json!("news"), "granted", json!("2026-02-01T00:00:00Z")),
        ("a", "phone", Value::Null, "granted", Value::Null),
        ("b", "phone", Value::Null, "withdrawn", Value::Null),
    ] {
        let customer = format!("customer_no:{who}");
        let body =
            json!({ "customer": customer, "channel": channel, "purpose": purpose, "state": state, "happened_at": at });
        app.post("/v1/records/consent", body).await.expect(201);
    }
    let whole = page(&app, &[]).await;
    let shown: Vec<Value> =
        whole["consent"].as_array().unwrap().iter().map(|c| json!([c["channel"], c["purpose"], c["state"]])).collect();
    assert_eq!(shown, [json!(["email", "news", "withdrawn"]), json!(["phone", null, "granted"])]);
}

async fn relations_and_tags_are_on_the_page(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("a").await;
    app.patch("/v1/records/customer/customer_no:a", json!({ "tags": ["vip", "new"] })).await.expect(200);
    app.post("/v1/records/company", json!({ "company_no": "c", "name": "Acme" })).await.expect(201);
    let relation = json!({ "kind": "owner", "from_customer": "customer_no:a", "to_company": "company_no:c" });
    app.post("/v1/records/relation", relation).await.expect(201);
    let whole = page(&app, &[]).await;
    assert_eq!(whole["tags"], json!(["new", "vip"]));
    assert_eq!(whole["relations"]["items"][0]["name"], "Acme");
}

async fn a_key_sees_what_it_may(database: Database) {
    let app = written_to(database).await;
    let consent = json!({ "customer": "customer_no:a", "channel": "email", "state": "granted" });
    app.post("/v1/records/consent", consent).await.expect(201);
    let key = async |name: &str, objects: Value| {
        let made = app.post("/v1/keys", json!({ "name": name, "scopes": ["read"], "objects": objects })).await;
        app.with_key(made.expect(201).json()["secret"].as_str().unwrap())
    };
    let bound = key("bound", json!(["customer", "task"])).await;
    let whole = page(&bound, &[]).await;
    assert_eq!(kinds(&whole), ["answer", "record", "event", "record"], "neither orders nor runs nor messages");
    assert!(
        !whole.to_string().contains("order.created") && !whole.to_string().contains("ada@example.org\",\"template")
    );
    assert_eq!((&whole["consent"], &whole["relations"]["items"]), (&json!([]), &json!([])));
    assert!(items(&page(&bound, &[("kinds", "run,message")]).await).is_empty());
    let other = key("other", json!(["order"])).await;
    other.get("/v1/customers/customer_no:a/360").await.expect(403);
    app.without_key().get("/v1/customers/customer_no:a/360").await.expect(401);
}

/// A customer with many events of their own and many orders: the page comes from the end of the log, and who set an old field is found
/// bit by bit. The long one is for the slow group.
async fn a_customer_with_a_long_history_has_its_first_page_at_once(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/records/customer", json!({ "customer_no": "a", "city": "Ulm" })).await.expect(201);
    grow(&app, 3_000).await;
    let mut looks = 0;
    loop {
        let whole = page(&app, &[]).await;
        looks += 1;
        assert_eq!(items(&whole).len(), 50);
        let city = field(&whole, "city");
        if !city["set"].is_null() {
            let created = app.get("/v1/events?type=customer.created").await.expect(200).items();
            assert_eq!(city["set"]["position"], created[0]["position"]);
            break;
        }
        assert!(city["set_before"].is_i64() && looks < 5, "{city}");
    }
    assert_eq!(looks, 4, "1,000 events at a time");
}

/// Pays so many orders.
pub(crate) async fn grow(app: &TestApp, count: u32) {
    let lines: Vec<String> = (0..count).map(|n| order_paid(&n.to_string(), "a", "1").to_string()).collect();
    for part in lines.chunks(10_000) {
        app.ndjson("/v1/events", part).await.expect(202);
    }
    app.run_until_idle().await;
}

/// The longest of the first pages of a customer, in milliseconds.
pub(crate) async fn slowest(app: &TestApp, requests: usize) -> u128 {
    let mut worst = 0;
    for _ in 0..requests {
        let began = Instant::now();
        assert_eq!(items(&page(app, &[]).await).len(), 50);
        worst = worst.max(began.elapsed().as_millis());
    }
    worst
}

async fn the_command_line_shows_a_customer_whole(database: Database) {
    let app = written_to(database).await;
    let key = app.folder.path().join("key");
    app.patch("/v1/records/customer/customer_no:a", json!({ "tags": ["vip"] })).await.expect(200);
    let told = rapport(&["customer", "show", "customer_no:a"]).to(&app, &key).run().expect(0).output;
    for part in [
        "customer/",
        "by user owner",
        "fields",
        "vip",
        "timeline",
        "email thanks",
        "to ada@example.org, done",
        "order.paid",
        "writer",
        "customer.updated",
        "tags vip",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let line = ["customer", "show", "customer_no:a", "--kinds", "message", "--limit", "1"];
    let told = rapport(&line).to(&app, &key).run().expect(0).output;
    assert!(told.contains("email thanks") && !told.contains("order.paid"), "{told}");
    rapport(&["customer", "show", "customer_no:z"]).to(&app, &key).run().expect(1);
}
