//! Events from outside: CloudEvents in every mode, known by source and id, refused by name; read back and streamed in order.

use serde_json::{Value, json};

use crate::client::{Request, with_query};
use crate::harness::{Database, TestApp, event, on_both, order_paid};

on_both!(
    an_event_is_taken_in_each_of_its_modes,
    a_duplicate_is_counted_and_changes_nothing,
    fifty_deliveries_at_once_are_one_event,
    record_events_and_unknown_types_are_refused,
    a_subject_that_names_no_record_is_refused_unless_the_type_allows_it,
    fields_that_the_type_does_not_declare_are_refused,
    a_batch_takes_what_is_good_and_names_what_is_not,
    lines_take_what_is_good_and_name_what_is_not,
    an_envelope_that_is_none_is_refused,
    the_log_is_read_by_type_and_subject_in_order,
    time_is_when_it_was_true_and_recorded_at_when_it_came,
    a_stream_goes_on_where_it_was_left,
    a_stream_shows_only_what_was_asked_for,
);

async fn shop(database: Database) -> TestApp {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    app.customer("2").await;
    app
}

async fn outside_events(app: &TestApp) -> Vec<Value> {
    app.log().await.into_iter().filter(|e| e["type"] == "order.paid").collect()
}

async fn an_event_is_taken_in_each_of_its_modes(database: Database) {
    let app = shop(database).await;
    let post = || Request::new("POST", "/v1/events");
    let one = |id: &str| order_paid(id, "1", "5.00").to_string();
    let binary = post()
        .header("ce-specversion", "1.0")
        .header("ce-id", "binary")
        .header("ce-source", "test")
        .header("ce-type", "order.paid")
        .header("ce-subject", "customer/customer_no:1")
        .json(&json!({ "order_no": "binary", "amount": "5.00" }));
    let requests = [
        post().body("application/cloudevents+json", one("structured")),
        post().body("application/cloudevents+json; charset=UTF-8", one("charset")),
        post().body("application/json", one("plain")),
        post().body("application/cloudevents-batch+json", format!("[{}]", one("batch"))),
        post().body("application/x-ndjson", format!("{}\n", one("line"))),
        binary,
    ];
    for request in requests {
        let reply = app.send(request).await.expect(202).json();
        assert_eq!((&reply["accepted"], &reply["duplicates"]), (&json!(1), &json!(0)), "{reply}");
    }
    let log = outside_events(&app).await;
    let ids: Vec<&str> = log.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["structured", "charset", "plain", "batch", "line", "binary"]);
    assert!(log.iter().all(|e| e["data"]["amount"] == "5.00" && e["specversion"] == "1.0"), "{log:?}");
}

async fn a_duplicate_is_counted_and_changes_nothing(database: Database) {
    let app = shop(database).await;
    app.post("/v1/events", order_paid("a", "1", "5")).await.expect(202);
    let head = app.log().await.len();
    let again = app.post("/v1/events", order_paid("a", "1", "99")).await.expect(202).json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(1)));
    let mut other = order_paid("a", "1", "5");
    other["source"] = json!("another");
    let other = app.post("/v1/events", other).await.expect(202).json();
    assert_eq!(other["accepted"], 1, "the same id from another source is another event");
    assert_eq!(app.log().await.len(), head + 1);
}

async fn fifty_deliveries_at_once_are_one_event(database: Database) {
    let app = shop(database).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = app.with_key(app.key.as_ref().unwrap());
        tasks.spawn(async move { client.post("/v1/events", order_paid("a", "1", "5")).await.expect(202).json() });
    }
    let accepted: i64 = tasks.join_all().await.iter().map(|r| r["accepted"].as_i64().unwrap()).sum();
    assert_eq!((accepted, outside_events(&app).await.len()), (1, 1));
}

async fn record_events_and_unknown_types_are_refused(database: Database) {
    let app = shop(database).await;
    let before = app.log().await.len();
    for (kind, code) in [
        ("customer.created", "reserved_event_type"),
        ("order.deleted", "reserved_event_type"),
        ("order.payed", "unknown_event_type"),
        ("schema.changed", "reserved_event_type"),
    ] {
        let reply = app.post("/v1/events", event("1", kind, "customer/customer_no:1", json!({}))).await.expect(422);
        assert!(["reserved_event_type", "unknown_event_type"].contains(&reply.code().as_str()), "{kind}");
        if kind != "schema.changed" {
            assert_eq!(reply.code(), code, "{kind}");
        }
    }
    let typo = app.post("/v1/events", event("1", "order.payed", "customer/customer_no:1", json!({}))).await;
    assert!(typo.text().contains("order.paid"), "the nearest type is offered: {}", typo.text());
    assert_eq!(app.log().await.len(), before);
}

async fn a_subject_that_names_no_record_is_refused_unless_the_type_allows_it(database: Database) {
    let app = shop(database).await;
    for subject in [
        "customer/customer_no:404",
        "customer/019a0000-0000-7000-8000-000000000000",
        "nobody/1",
        "customer",
        "",
        "customer/name:x",
    ] {
        let reply = app.post("/v1/events", event(subject, "order.paid", subject, json!({}))).await;
        assert_eq!(reply.status / 100, 4, "{subject}: {}", reply.text());
    }
    let kind =
        json!({ "name": "site.visited", "fields": [{ "name": "url", "type": "text" }], "subject_optional": true });
    app.post("/v1/event-types", kind).await.expect(201);
    let mut unnamed = event("1", "site.visited", "", json!({ "url": "/" }));
    unnamed.as_object_mut().unwrap().remove("subject");
    app.post("/v1/events", unnamed).await.expect(202);
    app.post("/v1/events", event("2", "site.visited", "customer/customer_no:404", json!({ "url": "/" })))
        .await
        .expect(202);
}

async fn fields_that_the_type_does_not_declare_are_refused(database: Database) {
    let app = shop(database).await;
    for (data, says) in [
        (json!({ "amuont": "1" }), "amuont"),
        (json!({ "amount": "1.234" }), "amount"),
        (json!({ "amount": true }), "amount"),
        (json!([1]), "data"),
    ] {
        let reply = app.post("/v1/events", event("1", "order.paid", "customer/customer_no:1", data)).await;
        assert_eq!(reply.status / 100, 4, "{}", reply.text());
        assert!(reply.text().contains(says), "{says}: {}", reply.text());
    }
    assert_eq!(outside_events(&app).await.len(), 0);
}

async fn a_batch_takes_what_is_good_and_names_what_is_not(database: Database) {
    let app = shop(database).await;
    let batch = json!([order_paid("1", "1", "5"), order_paid("2", "404", "5"), order_paid("1", "1", "5"), { "id": "x" }, order_paid("3", "2", "5")]);
    let request = Request::new("POST", "/v1/events").body("application/cloudevents-batch+json", batch.to_string());
    let reply = app.send(request).await.expect(202).json();
    assert_eq!((&reply["accepted"], &reply["duplicates"]), (&json!(2), &json!(1)), "{reply}");
    let places: Vec<&Value> = reply["refused"].as_array().unwrap().iter().map(|r| &r["index"]).collect();
    assert_eq!(places, [1, 3]);
}

async fn lines_take_what_is_good_and_name_what_is_not(database: Database) {
    let app = shop(database).await;
    let mut lines: Vec<String> = (0..1_200).map(|i| order_paid(&i.to_string(), "1", "1").to_string()).collect();
    lines[600] = "{\"broken\":".into();
    lines[700] = order_paid("nobody", "404", "1").to_string();
    lines.insert(800, String::new());
    let reply = app.ndjson("/v1/events", &lines).await.expect(202).json();
    assert_eq!(reply["accepted"], 1_198, "{}", reply["refused"]);
    let places: Vec<&Value> = reply["refused"].as_array().unwrap().iter().map(|r| &r["line"]).collect();
    assert_eq!(places, [601, 701]);
    assert_eq!(outside_events(&app).await.len(), 1_198);
    let again = app.ndjson("/v1/events", &lines).await.expect(202).json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(1_198)));
}

async fn an_envelope_that_is_none_is_refused(database: Database) {
    let app = shop(database).await;
    let good = order_paid("1", "1", "5");
    for (name, value) in [
        ("specversion", json!("0.3")),
        ("id", json!("")),
        ("id", json!(7)),
        ("id", json!("x".repeat(10_000))),
        ("source", json!(null)),
        ("type", json!("Order Paid")),
        ("time", json!("yesterday")),
        ("position", json!(1)),
        ("actor", json!("system")),
        ("depth", json!(0)),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        let request = Request::new("POST", "/v1/events").body("application/cloudevents+json", bad.to_string());
        let reply = app.send(request).await;
        assert_eq!(reply.status / 100, 4, "{name}: {}", reply.text());
        assert!(reply.text().contains(name), "{name}: {}", reply.text());
    }
    let unknown = Request::new("POST", "/v1/events").body("text/csv", "a,b");
    app.send(unknown).await.expect(415);
    assert_eq!(outside_events(&app).await.len(), 0);
}

async fn the_log_is_read_by_type_and_subject_in_order(database: Database) {
    let app = shop(database).await;
    for (id, customer) in [("1", "1"), ("2", "2"), ("3", "1")] {
        app.post("/v1/events", order_paid(id, customer, "5")).await.expect(202);
    }
    let ids = |items: Vec<Value>| items.iter().map(|e| e["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let of_one = [("type", "order.paid"), ("subject", "customer/customer_no:1")];
    assert_eq!(ids(app.get(&with_query("/v1/events", &of_one)).await.expect(200).items()), ["1", "3"]);
    let paid = app.get("/v1/events?type=order.*&limit=2").await.expect(200);
    assert_eq!(ids(paid.items()), ["1", "2"]);
    let next = paid.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(ids(app.get(&format!("/v1/events?type=order.*&after={next}")).await.expect(200).items()), ["3"]);
    let positions: Vec<i64> = app.log().await.iter().map(|e| e["position"].as_i64().unwrap()).collect();
    assert!(positions.windows(2).all(|w| w[1] > w[0]), "in order: {positions:?}");
    app.get("/v1/events?after=x").await.expect(400);
    app.get("/v1/events?subject=customer").await.expect(400);
}

async fn time_is_when_it_was_true_and_recorded_at_when_it_came(database: Database) {
    let app = shop(database).await;
    let mut late = order_paid("1", "1", "5");
    late["time"] = json!("2019-05-01T10:00:00+02:00");
    app.post("/v1/events", late).await.expect(202);
    let event = outside_events(&app).await.remove(0);
    assert_eq!(event["time"], "2019-05-01T08:00:00Z");
    assert!(event["recordedat"].as_str().unwrap() > "2024", "{event}");
}

async fn a_stream_goes_on_where_it_was_left(database: Database) {
    let app = shop(database).await;
    let mut stream = app.stream("/v1/events/stream?type=order.paid", None).await;
    stream.begun().await;
    for id in ["1", "2", "3"] {
        app.post("/v1/events", order_paid(id, "1", "5")).await.expect(202);
    }
    let (_, first) = stream.next().await;
    let (position, second) = stream.next().await;
    assert_eq!((first["id"].as_str(), second["id"].as_str()), (Some("1"), Some("2")));
    assert_eq!(position, second["position"].to_string());
    drop(stream);
    let mut again = app.stream("/v1/events/stream?type=order.paid", Some(&position)).await;
    assert_eq!(again.next().await.1["id"], "3");
    app.post("/v1/events", order_paid("4", "1", "5")).await.expect(202);
    assert_eq!(again.next().await.1["id"], "4");
}

async fn a_stream_shows_only_what_was_asked_for(database: Database) {
    let app = shop(database).await;
    let path = with_query("/v1/events/stream", &[("after", "0"), ("subject", "customer/customer_no:2")]);
    let mut stream = app.stream(&path, None).await;
    assert_eq!(stream.next().await.1["type"], "customer.created");
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    app.post("/v1/events", order_paid("2", "2", "5")).await.expect(202);
    assert_eq!(stream.next().await.1["id"], "2");
}
