//! Segments: who is in them right after each event and when only time passes, why, who was, and lists that people keep.

use std::sync::Arc;

use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::client::with_query;
use crate::harness::{Database, TestApp, event, on_both};
use crate::process::rapport;
use crate::waiting::{clock, later};

on_both!(
    a_segment_follows_each_event_and_says_so,
    time_alone_brings_in_and_out_at_the_very_instant,
    a_new_rule_fills_silently,
    what_is_asked_of_the_log_counts_and_forgets,
    a_segment_can_ask_for_another,
    circles_and_strangers_are_refused,
    a_preview_counts_and_shows_the_rule_as_a_tree,
    a_tree_that_is_no_rule_is_refused_at_its_place,
    each_part_of_the_rule_is_explained,
    a_list_is_kept_by_people,
    a_scheduled_segment_moves_at_its_instants,
    a_frozen_segment_stays,
    a_segment_that_nobody_declares_is_emptied,
    what_was_not_followed_is_followed_after_a_restart,
    nothing_reacts_to_what_a_silent_import_moves,
    questions_to_the_log_stand_in_segments_alone,
    a_rule_on_records_of_the_past_is_asked_as_of_then,
    nobody_else_says_who_comes_and_goes,
    an_activation_can_be_announced,
    a_loaded_history_is_followed_and_asked_by_its_own_time,
    killed_before_somebody_who_was_judged_is_committed,
    killed_after_somebody_who_was_judged_is_committed,
    killed_while_it_is_filled,
);

/// A script that keeps one segment.
pub(crate) fn keeps(name: &str, rule: &str) -> String {
    format!("//! Keeps a segment.\nsegment(\"{name}\", \"{rule}\");\n")
}

/// A workspace on a set clock, with these segments.
async fn app(database: Database, segments: &[(&str, &str)]) -> (TestApp, Arc<SetClock>) {
    let clock = clock();
    let mut setup = TestApp::on(database).clock(clock.clone());
    for (name, rule) in segments {
        setup = setup.script(&format!("segments/{name}"), &keeps(name, rule));
    }
    (setup.start().await, clock)
}

async fn add(app: &TestApp, number: &str, fields: Value) {
    let mut body = json!({ "customer_no": number });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    app.post("/v1/records/customer", body).await.expect(201);
}

async fn order(app: &TestApp, number: &str, customer: &str, amount: &str) {
    let body = json!({ "order_no": number, "customer": format!("customer_no:{customer}"), "amount": amount });
    app.post("/v1/records/order", body).await.expect(201);
}

/// The numbers of the members of a segment, in order.
pub(crate) async fn members(app: &TestApp, name: &str) -> Vec<String> {
    app.settle().await;
    let page = app.get(&format!("/v1/segments/{name}/members?limit=1000")).await.expect(200);
    let mut numbers: Vec<String> =
        page.items().iter().map(|item| item["customer_no"].as_str().unwrap().to_owned()).collect();
    numbers.sort();
    numbers
}

/// What the log says of segments, as `entered NAME` and `left NAME`.
async fn moves(app: &TestApp) -> Vec<String> {
    app.settle().await;
    let of = |event: &Value| {
        let kind = event["type"].as_str()?.strip_prefix("segment.")?.to_owned();
        (kind == "entered" || kind == "left").then(|| format!("{kind} {}", event["data"]["segment"].as_str().unwrap()))
    };
    app.log().await.iter().filter_map(of).collect()
}

const GREETS: &str = r#"//! Greets the French.
segment("french", "country == 'France'");
on("segment.entered", "segment == 'french'");
uses("customer:read", "customer.notes:write");
fn run(event) { update(event.record, #{ notes: `bonjour ${event.record.customer_no}` }); }
"#;

async fn a_segment_follows_each_event_and_says_so(database: Database) {
    let app = TestApp::on(database).clock(clock()).script("segments/french", GREETS).start().await;
    app.settle().await;
    add(&app, "1", json!({ "country": "France" })).await;
    add(&app, "2", json!({ "country": "Spain" })).await;
    assert_eq!(members(&app, "french").await, ["1"]);
    assert_eq!(app.customer_field("1", "notes").await, "bonjour 1");
    let moved = json!({ "country": "France" });
    app.patch("/v1/records/customer/customer_no:2", moved).await.expect(200);
    app.patch("/v1/records/customer/customer_no:1", json!({ "country": "Italy" })).await.expect(200);
    assert_eq!(members(&app, "french").await, ["2"]);
    assert_eq!(moves(&app).await, ["entered french", "entered french", "left french"]);
    let stays = app.get("/v1/records/customer/customer_no:1/segments").await.expect(200).items();
    assert_eq!(stays.len(), 1);
    assert!(stays[0]["left_at"].is_string() && stays[0]["segment"] == "french", "{stays:?}");
    // The one who came stands on the customer's own lane, because of the change.
    let log = app.log().await;
    let entered = log.iter().rfind(|e| e["type"] == "segment.entered").unwrap();
    let cause = log.iter().find(|e| e["position"] == entered["cause"]).unwrap();
    assert_eq!((&cause["type"], &cause["subject"]), (&json!("customer.updated"), &entered["subject"]));
}

async fn time_alone_brings_in_and_out_at_the_very_instant(database: Database) {
    let (app, clock) = app(database, &[("settled", "days_since(created_at) >= 3 && days_since(created_at) < 5")]).await;
    add(&app, "1", json!({})).await;
    later(&clock, "1 day");
    add(&app, "2", json!({})).await;
    assert_eq!(members(&app, "settled").await, Vec::<String>::new());
    later(&clock, "3 days 6 hours");
    assert_eq!(members(&app, "settled").await, ["1"]);
    later(&clock, "30 days");
    assert_eq!(members(&app, "settled").await, Vec::<String>::new());
    let log = app.log().await;
    let times: Vec<String> = log
        .iter()
        .filter(|e| e["type"].as_str().unwrap().starts_with("segment.") && e["data"]["segment"] == "settled")
        .map(|e| format!("{} {}", e["type"].as_str().unwrap(), e["time"].as_str().unwrap()))
        .collect();
    // Each at its own instant, in order, though the clock jumped over them.
    assert_eq!(times.len(), 4, "{times:?}");
    let days = |n: i64| {
        let start = log.iter().find(|e| e["type"] == "customer.created").unwrap()["time"].as_str().unwrap().to_owned();
        start.parse::<rapport_model::Timestamp>().unwrap().plus_micros(n * 86_400_000_000).to_string()
    };
    let want = [("entered", 3), ("entered", 4), ("left", 5), ("left", 6)];
    let want: Vec<String> = want.iter().map(|(way, n)| format!("segment.{way} {}", days(*n))).collect();
    assert_eq!(times, want);
}

async fn a_new_rule_fills_silently(database: Database) {
    let (app, _) = app(database, &[]).await;
    for (number, country) in [("1", "France"), ("2", "Spain"), ("3", "France")] {
        add(&app, number, json!({ "country": country })).await;
    }
    let push = |rule: &str| json!({ "path": "segments/chosen.rhai", "source": keeps("chosen", rule) });
    let versions = "/v1/automations/segments%2Fchosen/versions";
    app.post(versions, push("country == 'France'")).await.expect(201);
    app.post("/v1/automations/segments%2Fchosen/activate", json!({})).await.expect(200);
    assert_eq!(members(&app, "chosen").await, ["1", "3"]);
    app.post(versions, push("country == 'Spain'")).await.expect(201);
    app.post("/v1/automations/segments%2Fchosen/activate", json!({})).await.expect(200);
    assert_eq!(members(&app, "chosen").await, ["2"]);
    assert_eq!(moves(&app).await, Vec::<String>::new());
    let faults = app.post("/v1/segments/chosen/check", json!({})).await.expect(200).json();
    assert_eq!((&faults["missing"]["count"], &faults["surplus"]["count"]), (&json!(0), &json!(0)));
    app.post("/v1/segments/chosen/rebuild", json!({})).await.expect(202);
    assert_eq!(members(&app, "chosen").await, ["2"]);
}

async fn what_is_asked_of_the_log_counts_and_forgets(database: Database) {
    let rule = "did('order.created', {within: '30 days', at_least: 2, where: 'amount > 50'})";
    let (app, clock) = app(database, &[("eager", rule), ("idle", "did_not('order.created')")]).await;
    add(&app, "1", json!({})).await;
    add(&app, "2", json!({})).await;
    assert_eq!(members(&app, "idle").await, ["1", "2"]);
    order(&app, "a", "1", "50.01").await;
    order(&app, "b", "1", "50").await;
    assert_eq!(members(&app, "eager").await, Vec::<String>::new());
    later(&clock, "10 days");
    order(&app, "c", "1", "70").await;
    assert_eq!(members(&app, "eager").await, ["1"]);
    assert_eq!(members(&app, "idle").await, ["2"]);
    later(&clock, "29 days");
    assert_eq!(members(&app, "eager").await, ["1"]);
    later(&clock, "30 days");
    assert_eq!(members(&app, "eager").await, Vec::<String>::new());
}

async fn a_segment_can_ask_for_another(database: Database) {
    let segments = [("a-french", "in_segment('b-known') && country == 'France'"), ("b-known", "email != null")];
    let (app, _) = app(database, &segments).await;
    add(&app, "1", json!({ "country": "France" })).await;
    assert_eq!(members(&app, "a-french").await, Vec::<String>::new());
    app.patch("/v1/records/customer/customer_no:1", json!({ "email": "ada@example.com" })).await.expect(200);
    assert_eq!(members(&app, "a-french").await, ["1"]);
    app.patch("/v1/records/customer/customer_no:1", json!({ "email": null })).await.expect(200);
    assert_eq!(members(&app, "a-french").await, Vec::<String>::new());
    assert_eq!(moves(&app).await, ["entered b-known", "entered a-french", "left b-known", "left a-french"]);
    let listed = app.get(&with_query("/v1/records/customer", &[("where", "!in_segment('b-known')")])).await.expect(200);
    assert_eq!(listed.items().len(), 1);
}

async fn circles_and_strangers_are_refused(database: Database) {
    let (app, _) = app(database, &[]).await;
    let circle = "//! Two that ask for each other.\nsegment(\"one\", \"in_segment('two')\");\nsegment(\"two\", \"in_segment('one')\");\n";
    let stranger = keeps("lonely", "in_segment('nobody')");
    for (source, words) in [(circle, "asks for itself"), (stranger.as_str(), "there is no segment `nobody`")] {
        let push = json!({ "path": "segments/x.rhai", "source": source });
        app.post("/v1/automations/segments%2Fx/versions", push).await.expect(201);
        let refused = app.post("/v1/automations/segments%2Fx/activate", json!({})).await.expect(409);
        assert!(refused.text().contains(words), "{}", refused.text());
    }
    assert_eq!(app.get("/v1/segments").await.expect(200).items(), Vec::<Value>::new());
}

async fn a_preview_counts_and_shows_the_rule_as_a_tree(database: Database) {
    let (app, _) = app(database, &[]).await;
    for (number, country) in [("1", "France"), ("2", "Spain"), ("3", "France")] {
        add(&app, number, json!({ "country": country })).await;
    }
    let rule =
        "country in ['France', 'Italy'] && !(days_since(created_at) > 60 || did('order.created', {at_least: 3}))";
    let asked = json!({ "object": "customer", "rule": rule });
    let shown = app.post("/v1/segments/preview", asked).await.expect(200).json();
    assert_eq!((&shown["count"], shown["sample"].as_array().unwrap().len()), (&json!(2), 2));
    let tree = json!({ "all": [
        { "field": "country", "op": "in", "value": ["France", "Italy"] },
        { "not": { "any": [
            { "days_since": "created_at", "op": ">", "value": 60 },
            { "did": "order.created", "at_least": 3 },
        ] } },
    ] });
    assert_eq!(shown["tree"], tree);
    let again =
        app.post("/v1/segments/preview", json!({ "object": "customer", "tree": tree })).await.expect(200).json();
    assert_eq!((&again["rule"], &again["tree"], &again["count"]), (&shown["rule"], &tree, &json!(2)));
}

async fn a_tree_that_is_no_rule_is_refused_at_its_place(database: Database) {
    let (app, _) = app(database, &[]).await;
    let tree = json!({ "all": [{ "field": "country", "op": "~", "value": 1 }] });
    let refused = app.post("/v1/segments/preview", json!({ "object": "customer", "tree": tree })).await.expect(422);
    assert!(refused.text().contains("/tree/all/0/op"), "{}", refused.text());
    for rule in ["country == 'x' or", "nobody > 3", "did('order.made')", "did('order.created', {often: 3})"] {
        let asked = json!({ "object": "customer", "rule": rule });
        app.post("/v1/segments/preview", asked).await.expect(400);
    }
    // What looks like SQL is a text like any other.
    let asked = json!({ "object": "customer", "rule": "name == '\\'; drop table o_customer; --'" });
    assert_eq!(app.post("/v1/segments/preview", asked).await.expect(200).json()["count"], 0);
}

async fn each_part_of_the_rule_is_explained(database: Database) {
    let rule = "country == 'France' && !(email == null) && did('order.created', {at_least: 2})";
    let (app, _) = app(database, &[("buyers", rule)]).await;
    add(&app, "1", json!({ "country": "France", "email": "ada@example.com" })).await;
    order(&app, "a", "1", "5").await;
    app.settle().await;
    let path = "/v1/segments/buyers/explain?record=customer_no:1";
    let shown = app.get(path).await.expect(200).json();
    assert_eq!((&shown["member"], &shown["holds"]), (&json!(false), &json!(false)));
    let parts = shown["rule"]["parts"].as_array().unwrap();
    let answers: Vec<&Value> = parts.iter().map(|part| &part["holds"]).collect();
    assert_eq!(answers, [true, true, false]);
    assert_eq!(parts[2]["values"], json!({ "order.created": 1 }));
    let key = app.folder.path().join("key");
    let told = rapport(&["segment", "explain", "buyers", "customer_no:1"]).to(&app, &key).run().expect(0).output;
    assert!(
        told.starts_with("buyers: no\n") && told.contains("holds  country == 'France'   (country is France)"),
        "{told}"
    );
    let list = rapport(&["segment", "list"]).to(&app, &key).run().expect(0).output;
    assert!(list.contains("buyers") && list.contains("ready"), "{list}");
    let wrong = rapport(&["segment", "explain", "buyrs", "customer_no:1"]).to(&app, &key).run().expect(1);
    assert!(format!("{wrong:?}").contains("did you mean `buyers`"), "{wrong:?}");
}

async fn a_list_is_kept_by_people(database: Database) {
    let lists = "//! Lists.\nsegment(\"guests\", #{ kind: \"manual\" });\nsegment(\"known-guests\", \"in_segment('guests')\");\n";
    let app = TestApp::on(database).clock(clock()).script("segments/lists", lists).start().await;
    for number in ["1", "2", "3"] {
        add(&app, number, json!({})).await;
    }
    let body = json!({ "add": ["customer_no:1", "customer_no:2", "customer_no:1", "customer_no:9"] });
    let moved = app.post("/v1/segments/guests/members", body).await.expect(200).json();
    assert_eq!(moved, json!({ "added": 2, "removed": 0, "unchanged": 1, "unknown": ["customer_no:9"] }));
    assert_eq!(members(&app, "known-guests").await, ["1", "2"]);
    let body = json!({ "remove": ["customer_no:1", "customer_no:3"] });
    let moved = app.post("/v1/segments/guests/members", body).await.expect(200).json();
    assert_eq!(moved, json!({ "added": 0, "removed": 1, "unchanged": 1, "unknown": [] }));
    assert_eq!(members(&app, "known-guests").await, ["2"]);
    let file = app.folder.path().join("guests.csv");
    std::fs::write(&file, "customer_no,name\n3,=Ada\n2,Bob\n").unwrap();
    let key = app.folder.path().join("key");
    let arguments = ["segment", "upload", "guests", file.to_str().unwrap(), "--key", "customer_no"];
    rapport(&arguments).to(&app, &key).run().expect(0);
    assert_eq!(members(&app, "guests").await, ["2", "3"]);
    let overlap = app.get("/v1/segments/guests/overlap?with=known-guests").await.expect(200).json();
    assert_eq!((&overlap["sizes"], &overlap["both"]), (&json!([2, 2]), &json!(2)));
    let csv =
        rapport(&["segment", "export", "guests", "--fields", "customer_no"]).to(&app, &key).run().expect(0).output;
    let mut lines: Vec<&str> = csv.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(lines, ["customer_no", "2", "3"]);
    app.post("/v1/segments/known-guests/members", json!({ "add": ["customer_no:1"] })).await.expect(422);
    // Who is no more is on no list.
    app.delete("/v1/records/customer/customer_no:3").await.expect(204);
    assert_eq!(members(&app, "guests").await, ["2"]);
    assert_eq!(app.get("/v1/segments/guests").await.expect(200).json()["size"], 1);
}

async fn a_scheduled_segment_moves_at_its_instants(database: Database) {
    let source = "//! Nightly.\nsegment(\"nightly\", \"country == 'France'\", #{ kind: \"scheduled\", every: \"0 3 * * *\", zone: \"Europe/London\" });\n";
    let clock = clock();
    let app = TestApp::on(database).clock(clock.clone()).script("segments/nightly", source).start().await;
    app.settle().await;
    add(&app, "1", json!({ "country": "France" })).await;
    assert_eq!(members(&app, "nightly").await, Vec::<String>::new());
    later(&clock, "1 day");
    assert_eq!(members(&app, "nightly").await, ["1"]);
    assert_eq!(moves(&app).await, ["entered nightly"]);
}

async fn a_frozen_segment_stays(database: Database) {
    let (app, _) = app(database, &[]).await;
    add(&app, "1", json!({ "country": "France" })).await;
    let source = "//! Frozen.\nsegment(\"frozen\", \"country == 'France'\", #{ kind: \"frozen\" });\n";
    let push = json!({ "path": "segments/frozen.rhai", "source": source });
    app.post("/v1/automations/segments%2Ffrozen/versions", push).await.expect(201);
    app.post("/v1/automations/segments%2Ffrozen/activate", json!({})).await.expect(200);
    assert_eq!(members(&app, "frozen").await, ["1"]);
    app.patch("/v1/records/customer/customer_no:1", json!({ "country": "Spain" })).await.expect(200);
    add(&app, "2", json!({ "country": "France" })).await;
    assert_eq!(members(&app, "frozen").await, ["1"]);
}

async fn a_segment_that_nobody_declares_is_emptied(database: Database) {
    let (app, _) = app(database, &[("french", "country == 'France'")]).await;
    add(&app, "1", json!({ "country": "France" })).await;
    assert_eq!(members(&app, "french").await, ["1"]);
    app.post("/v1/automations/segments%2Ffrench/deactivate", json!({})).await.expect(204);
    app.settle().await;
    app.get("/v1/segments/french").await.expect(404);
    let stays = app.get("/v1/records/customer/customer_no:1/segments").await.expect(200).items();
    assert!(stays[0]["left_at"].is_string(), "{stays:?}");
}

async fn what_was_not_followed_is_followed_after_a_restart(database: Database) {
    let (app, clock) = app(database, &[("settled", "days_since(created_at) >= 3 || country == 'France'")]).await;
    add(&app, "1", json!({})).await;
    app.settle().await;
    let app = app.restart_with(clock.clone(), async || later(&clock, "40 days")).await;
    assert_eq!(members(&app, "settled").await, ["1"]);
    assert_eq!(moves(&app).await, ["entered settled"]);
}

async fn nothing_reacts_to_what_a_silent_import_moves(database: Database) {
    let app = TestApp::on(database).clock(clock()).script("segments/french", GREETS).start().await;
    app.settle().await;
    let row = json!({ "customer_no": "1", "country": "France" }).to_string();
    let request = crate::client::Request::new("POST", "/v1/records/customer/bulk?automations=skip")
        .body("application/x-ndjson", row);
    app.send(request).await.expect(200);
    assert_eq!(members(&app, "french").await, ["1"]);
    assert_eq!(app.runs("").await, Vec::<Value>::new());
    assert_eq!(moves(&app).await, ["entered french"]);
}

async fn questions_to_the_log_stand_in_segments_alone(database: Database) {
    let (app, _) = app(database, &[]).await;
    let source = "//! Asks where it cannot.\non(\"customer.created\", \"did('order.created')\");\nuses(\"customer:read\");\nfn run(event) {}\n";
    let push = json!({ "path": "asks.rhai", "source": source });
    let refused = app.post("/v1/automations/asks/versions", push).await.expect(422);
    assert!(refused.text().contains("can stand only in segments"), "{}", refused.text());
}

async fn a_rule_on_records_of_the_past_is_asked_as_of_then(database: Database) {
    let (app, clock) = app(database, &[("french", "country == 'France'")]).await;
    add(&app, "1", json!({ "country": "France" })).await;
    order(&app, "a", "1", "70").await;
    later(&clock, "10 days");
    app.patch("/v1/records/customer/customer_no:1", json!({ "country": "Spain" })).await.expect(200);
    add(&app, "2", json!({ "country": "France" })).await;
    order(&app, "b", "2", "70").await;
    later(&clock, "20 days");
    app.delete("/v1/records/order/order_no:a").await.expect(204);
    app.delete("/v1/records/customer/customer_no:1").await.expect(204);
    app.settle().await;
    let then = |days: &str| {
        let clock = crate::waiting::clock();
        later(&clock, days);
        rapport_model::Clock::now(&*clock).to_string()
    };
    let numbers = |answer: &Value| -> Vec<String> {
        answer["items"].as_array().unwrap().iter().map(|i| i["customer_no"].as_str().unwrap().to_owned()).collect()
    };
    let asked = json!({ "segment": "french", "at": then("5 days") });
    let answer = app.post("/v1/segments/as-of", asked).await.expect(200).json();
    assert_eq!((&answer["count"], numbers(&answer)), (&json!(1), vec!["1".to_owned()]));
    assert_eq!(answer["items"][0]["country"], "France");
    let rule = "did('order.created', {within: '7 days', where: 'amount > 50'}) && in_segment('french')";
    for (days, want) in [("5 days", vec!["1"]), ("8 days", vec![]), ("12 days", vec!["2"]), ("19 days", vec![])] {
        let asked = json!({ "object": "customer", "rule": rule, "at": then(days) });
        let answer = app.post("/v1/segments/as-of", asked).await.expect(200).json();
        assert_eq!(numbers(&answer), want, "after {days}");
    }
    let asked = json!({ "segment": "french", "at": then("3000 days") });
    app.post("/v1/segments/as-of", asked).await.expect(422);
}

async fn nobody_else_says_who_comes_and_goes(database: Database) {
    let (app, _) = app(database, &[("french", "country == 'France'")]).await;
    add(&app, "1", json!({})).await;
    let forged = event("1", "segment.entered", "customer/customer_no:1", json!({ "segment": "french" }));
    let request =
        crate::client::Request::new("POST", "/v1/events").body("application/cloudevents+json", forged.to_string());
    let refused = app.send(request).await;
    assert!(refused.text().contains("reserved") || refused.text().contains("core alone"), "{}", refused.text());
    assert_eq!(moves(&app).await, Vec::<String>::new());
}

async fn a_loaded_history_is_followed_and_asked_by_its_own_time(database: Database) {
    let rules = [("regulars", "order_count >= 2"), ("asleep", "days_since(last_order_at) >= 100")];
    let (app, _) = app(database, &rules).await;
    app.settle().await;
    app.post("/v1/loads", json!({ "name": "past" })).await.expect(200);
    let row = |number: &str, day: &str| {
        let customer = json!({ "customer_no": "1" });
        json!({ "order_no": number, "customer": customer, "amount": "5", "ordered_at": format!("{day}T10:00:00Z") })
    };
    let rows = [row("a", "2011-01-01"), row("b", "2011-02-01"), row("c", "2011-08-01")];
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    let request = crate::client::Request::new("POST", "/v1/records/order/bulk?key=order_no&load=past&time=ordered_at")
        .body("application/x-ndjson", lines.join("\n"));
    app.send(request).await.expect(200);
    app.delete("/v1/loads/past").await.expect(204);
    app.settle().await;
    let moved: Vec<String> = app
        .log()
        .await
        .iter()
        .filter(|e| e["type"].as_str().unwrap().starts_with("segment.") && e["data"]["segment"].is_string())
        .map(|e| {
            format!("{} {} {}", &e["time"].as_str().unwrap()[..10], e["type"].as_str().unwrap(), e["data"]["segment"])
        })
        .collect();
    let want = [
        "2011-02-01 segment.entered \"regulars\"",
        "2011-05-12 segment.entered \"asleep\"",
        "2011-08-01 segment.left \"asleep\"",
        "2011-11-09 segment.entered \"asleep\"",
    ];
    assert_eq!(moved, want);
    for (at, regulars, asleep) in
        [("2011-01-15", 0, 0), ("2011-03-01", 1, 0), ("2011-06-01", 1, 1), ("2011-09-01", 1, 0)]
    {
        for (name, count) in [("regulars", regulars), ("asleep", asleep)] {
            let at = format!("{at}T00:00:00Z");
            let asked = json!({ "segment": name, "at": at });
            assert_eq!(app.post("/v1/segments/as-of", asked).await.expect(200).json()["count"], count, "{name} {at}");
            let sizes = app.get(&format!("/v1/segments/{name}/sizes?at={at}")).await.expect(200).items();
            assert_eq!(sizes[0]["size"], count, "{name} {at}");
        }
    }
}

async fn an_activation_can_be_announced(database: Database) {
    let (app, _) = app(database, &[]).await;
    for (number, country) in [("1", "France"), ("2", "Spain")] {
        add(&app, number, json!({ "country": country })).await;
    }
    let push = json!({ "path": "segments/french.rhai", "source": GREETS });
    app.post("/v1/automations/segments%2Ffrench/versions", push).await.expect(201);
    let dry = app.post("/v1/automations/segments%2Ffrench/rehearse", json!({})).await.expect(200).json();
    assert_eq!(dry["segments"], json!([{ "segment": "french", "size": 0, "would_be": 1 }]));
    let live = json!({ "announce": true });
    let live = app.post("/v1/automations/segments%2Ffrench/activate", live).await.expect(200).json();
    assert_eq!(live["notices"], json!(["segment `french`: 0 in it, 1 by this rule"]));
    assert_eq!(members(&app, "french").await, ["1"]);
    assert_eq!(moves(&app).await, ["entered french"]);
    assert_eq!(app.customer_field("1", "notes").await, "bonjour 1");
}

async fn killed_before_somebody_who_was_judged_is_committed(database: Database) {
    killed_at("segments.judged", database).await;
}

async fn killed_after_somebody_who_was_judged_is_committed(database: Database) {
    killed_at("segments.committed", database).await;
}

async fn killed_while_it_is_filled(database: Database) {
    killed_at("segments.page_filled", database).await;
}

/// A server that dies at `place` once, and what its successor makes of it: everybody comes once, and is told once.
async fn killed_at(place: &str, database: Database) {
    use crate::harness::eventually;
    use crate::process::ServerProcess;
    let (folder, url) = (tempfile::tempdir().unwrap(), database.url());
    let (data, now) = (folder.path().join("data"), folder.path().join("now"));
    let environment = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&environment, &data, url.as_deref(), &[]).await;
    let filling = place == "segments.page_filled";
    let push = async |client: &crate::client::Client| {
        let push = json!({ "path": "segments/french.rhai", "source": GREETS });
        client.post("/v1/automations/segments%2Ffrench/versions", push).await.expect(201);
        let live = crate::client::Request::new("POST", "/v1/automations/segments%2Ffrench/activate").json(&json!({}));
        client.try_send(live).await;
    };
    if !filling {
        push(&server.client).await;
        let ready = async || {
            let shown = server.client.get("/v1/segments/french").await.json();
            (shown["state"] == "ready").then_some(())
        };
        eventually("the segment to be filled", ready).await;
        std::fs::write(&now, "").unwrap();
    }
    let customer = json!({ "customer_no": "1", "country": "France" });
    let create = crate::client::Request::new("POST", "/v1/records/customer").json(&customer);
    server.client.try_send(create).await;
    if filling {
        std::fs::write(&now, "").unwrap();
        push(&server.client).await;
    }
    let client = server.client.clone();
    let gone = async || client.try_send(crate::client::Request::new("GET", "/healthz")).await.is_none().then_some(());
    eventually("the server to die", gone).await;
    assert!(server.died(), "nothing passed `{place}`");
    std::fs::remove_file(&now).unwrap();
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    let client = server.client.clone();
    let there = async || {
        let page = client.get("/v1/segments/french/members").await.json();
        let notes = client.get("/v1/records/customer/customer_no:1").await.json()["notes"].clone();
        let told = notes == "bonjour 1" || filling;
        (page["items"].as_array().is_some_and(|items| items.len() == 1) && told).then_some(())
    };
    eventually("the customer to be in it", there).await;
    let entered = client.get("/v1/events?type=segment.entered").await.expect(200).items();
    assert_eq!(entered.len(), usize::from(!filling), "{entered:?}");
    assert_eq!(server.stop().await, 0);
}
