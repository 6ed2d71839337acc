//! Messages: made from templates, kept with the run that sent them, captured unless a channel is configured.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, eventually, on_both, order_paid, project};
use crate::process::rapport;

on_both!(
    a_message_is_made_from_its_template_and_captured,
    a_missing_variable_sends_nothing_and_names_it,
    a_customer_without_an_address_is_told,
    a_channel_needs_its_right,
    a_run_that_fails_sends_nothing,
    a_template_is_previewed_without_sending,
    a_template_that_runs_wild_ends_its_run_alone,
    an_undo_lists_what_was_sent,
    a_slice_sends_no_more_than_its_limit,
    lists_of_messages_come_in_pages,
    a_name_with_markup_is_escaped_in_html_alone,
    a_backtest_counts_messages_and_sends_none,
);

const THANKS: &str = r#"//! Thanks for an order.
on("order.paid");
uses("customer:read", "customer.notes:write", "message:email");
fn run(event) {
    update(event.record, #{ notes: "thanked" });
    send("email", event.record, "thanks", #{ amount: event.data.amount });
}
"#;

async fn shop(database: Database, script: &str) -> TestApp {
    let app = TestApp::on(database).script("thanks", script).start().await;
    let ada = json!({ "customer_no": "1", "name": "Ada <b>", "email": "ada@example.com" });
    app.post("/v1/records/customer", ada).await.expect(201);
    let template = json!({
        "name": "thanks",
        "subject": "Thank you,\n {{ customer.name }}",
        "text": "You paid {{ amount }}.",
        "html": "<p>{{ to.name }} paid {{ amount }}</p>",
    });
    app.post("/v1/records/template", template).await.expect(201);
    app
}

async fn messages(app: &TestApp, query: &str) -> Vec<Value> {
    app.get(&format!("/v1/messages?{query}")).await.expect(200).items()
}

async fn delivered(app: &TestApp, count: usize) -> Vec<Value> {
    let all = || async { Some(messages(app, "status=done").await).filter(|all| all.len() == count) };
    eventually("the messages", all).await
}

async fn dead_run(app: &TestApp) -> Value {
    app.expect_dead(1);
    app.post("/v1/events", order_paid("1", "1", "5.50")).await.expect(202);
    app.run_until_idle().await;
    app.runs("status=dead").await.remove(0)
}

async fn a_message_is_made_from_its_template_and_captured(database: Database) {
    let app = shop(database, THANKS).await;
    app.post("/v1/events", order_paid("1", "1", "5.50")).await.expect(202);
    let message = delivered(&app, 1).await.remove(0);
    assert_eq!(message["subject"], "Thank you, Ada <b>", "a subject is one line");
    assert_eq!(message["text"], "You paid 5.50.");
    assert_eq!(message["to"], "ada@example.com");
    assert_eq!((&message["captured"], &message["attempts"]), (&json!(true), &json!(1)));
    let run = app.runs("status=completed").await.remove(0);
    let shown = app.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(shown["effects"][0]["id"], message["id"], "the run shows what it sent");
    let explained = app.get(&format!("/v1/runs/{}/explain", run["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(explained["sent"][0]["status"], "done");
}

async fn a_name_with_markup_is_escaped_in_html_alone(database: Database) {
    let app = shop(database, THANKS).await;
    app.post("/v1/events", order_paid("1", "1", "5.50")).await.expect(202);
    let message = delivered(&app, 1).await.remove(0);
    assert_eq!(message["html"], "<p>Ada &lt;b&gt; paid 5.50</p>");
}

async fn a_missing_variable_sends_nothing_and_names_it(database: Database) {
    let app = shop(database, &THANKS.replace("amount: event", "amuont: event")).await;
    let run = dead_run(&app).await;
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("thanks") && message.contains("amount"), "{message}");
    assert!(messages(&app, "").await.is_empty());
    assert_eq!(app.customer_field("1", "notes").await, Value::Null, "nothing of the slice is kept");
}

async fn a_customer_without_an_address_is_told(database: Database) {
    let app = shop(database, THANKS).await;
    app.patch("/v1/records/customer/customer_no:1", json!({ "email": null })).await.expect(200);
    let run = dead_run(&app).await;
    assert!(run["error"]["message"].as_str().unwrap().contains("no e-mail address"), "{run}");
}

async fn a_channel_needs_its_right(database: Database) {
    let app = TestApp::on(database).script("thanks", &THANKS.replace(", \"message:email\"", "")).start().await;
    let told = app.notices();
    assert!(told.contains("thanks.rhai:6:5") && told.contains("uses(\"message:email\")"), "{told}");
}

async fn a_run_that_fails_sends_nothing(database: Database) {
    let app = shop(
        database,
        &THANKS.replace(
            "    update",
            "    send(\"email\", event.record, \"thanks\", #{ amount: 1 });\n    fail(\"no\");\n    update",
        ),
    )
    .await;
    dead_run(&app).await;
    assert!(messages(&app, "").await.is_empty());
}

async fn a_template_is_previewed_without_sending(database: Database) {
    let app = shop(database, THANKS).await;
    let path = "/v1/templates/thanks/preview";
    let body = json!({ "to": "customer/customer_no:1", "data": { "amount": 7 } });
    assert_eq!(app.post(path, body).await.expect(200).json()["text"], "You paid 7.");
    let refused = app.post(path, json!({ "to": "customer/customer_no:1" })).await.expect(422).json();
    assert!(refused["detail"].as_str().unwrap().contains("amount"), "{refused}");
    let shown = ["template", "preview", "thanks", "--to", "customer/customer_no:1", "--with", "{\"amount\": 7}"];
    let shown = rapport(&shown).to(&app, &app.folder.path().join("key")).run().expect(0);
    assert!(shown.output.contains("You paid 7."), "{}", shown.output);
    app.post("/v1/templates/thnaks/preview", json!({})).await.expect(404);
    assert!(messages(&app, "").await.is_empty());
}

async fn a_template_that_runs_wild_ends_its_run_alone(database: Database) {
    let app = shop(database, THANKS).await;
    let wild = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    app.patch("/v1/records/template/name:thanks", json!({ "text": wild })).await.expect(200);
    let run = dead_run(&app).await;
    assert!(run["error"]["message"].as_str().unwrap().contains("fuel"), "{run}");
    let huge = "{% set s = \"x\" * 100000 %}{% set s = s ~ s ~ s ~ s ~ s ~ s ~ s ~ s %}{% set s = s ~ s ~ s ~ s ~ s ~ s ~ s ~ s %}\
                {% set s = s ~ s ~ s ~ s ~ s ~ s ~ s ~ s %}{{ s }}";
    let body = json!({ "text": huge });
    app.patch("/v1/records/template/name:thanks", body).await.expect(200);
    let refused =
        app.post("/v1/templates/thanks/preview", json!({ "to": "customer/customer_no:1", "data": { "amount": 1 } }));
    let refused = refused.await.expect(422).json();
    assert!(refused["detail"].as_str().unwrap().contains("limits.slice_"), "{refused}");
}

async fn an_undo_lists_what_was_sent(database: Database) {
    let app = shop(database, THANKS).await;
    app.post("/v1/events", order_paid("1", "1", "5.50")).await.expect(202);
    delivered(&app, 1).await;
    let run = app.runs("status=completed").await.remove(0);
    let undone =
        app.post(&format!("/v1/runs/{}/undo", run["id"].as_str().unwrap()), json!({})).await.expect(200).json();
    let stands = &undone["runs"][0]["stands"][0];
    assert_eq!((&stands["channel"], &stands["to"]), (&json!("email"), &json!("ada@example.com")), "{undone}");
    assert_eq!(app.customer_field("1", "notes").await, Value::Null);
}

async fn a_slice_sends_no_more_than_its_limit(database: Database) {
    let many = THANKS.replace("    send(", "    for i in 0..101 { send(").replace("amount });", "amount }) }");
    let app = shop(database, &many).await;
    let run = dead_run(&app).await;
    assert!(run["error"]["message"].as_str().unwrap().contains("limits.slice_effects_max"), "{run}");
    assert!(messages(&app, "").await.is_empty());
}

async fn lists_of_messages_come_in_pages(database: Database) {
    let many = THANKS.replace("    send(", "    for i in 0..5 { send(").replace("amount });", "amount + i }) }");
    let app = shop(database, &many).await;
    app.post("/v1/events", order_paid("1", "1", "5.50")).await.expect(202);
    delivered(&app, 5).await;
    let (mut texts, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/messages?limit=2{cursor}")).await.expect(200);
        texts.extend(page.items().iter().map(|m| m["text"].as_str().unwrap().to_owned()));
        let Some(next) = page.json()["next"].as_str().map(|next| format!("&cursor={next}")) else { break };
        cursor = next;
    }
    let said = |n: u32| format!("You paid {n}.50.");
    assert_eq!(texts, [9, 8, 7, 6, 5].map(said), "newest first, none twice");
    app.get("/v1/messages?cursor=forged").await.expect(400);
}

async fn a_backtest_counts_messages_and_sends_none(database: Database) {
    let app = shop(database, THANKS).await;
    for number in ["1", "2"] {
        app.post("/v1/events", order_paid(number, "1", "5.50")).await.expect(202);
    }
    delivered(&app, 2).await;
    let twice =
        THANKS.replace("    send(", "    send(\"email\", event.record, \"thanks\", #{ amount: 0 });\n    send(");
    let period =
        json!({ "id": "thanks", "source": twice, "since": "1970-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z" });
    let begun = app.post("/v1/backtests", period).await.expect(202).json();
    let path = format!("/v1/backtests/{}", begun["id"].as_str().unwrap());
    let ended = eventually("the end of the backtest", || async {
        let backtest = app.get(&path).await.expect(200).json();
        (backtest["state"] != "running").then_some(backtest)
    })
    .await;
    let sent = &ended["result"]["sent"][0];
    assert_eq!(
        (&sent["kind"], &sent["recorded"], &sent["backtest"]),
        (&json!("email"), &json!(2), &json!(4)),
        "{ended:#}"
    );
    assert_eq!(messages(&app, "").await.len(), 2);
}

#[test]
fn every_script_has_its_scenarios() {
    let mut open = vec![project().join("scripts")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rhai") {
                let beside = |end: &str| Path::exists(&path.with_extension(end));
                assert!(beside("test.json") || beside("test"), "{} has no scenario", path.display());
            }
        }
    }
}
