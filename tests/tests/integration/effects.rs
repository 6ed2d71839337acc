//! What leaves: HTTP calls and mails, at least once, each time with the same key; retries, circuits, dead letters.

use std::sync::Arc;
use std::time::Duration;

use rapport_model::time::SetClock;
use rapport_server::config::{Config, EmailChannel, EmailSecurity};
use rapport_test_support::{Answer, HttpSink, SmtpAnswer, SmtpSink};
use serde_json::{Value, json};

use crate::harness::{Database, Setup, TestApp, eventually, on_both, order_paid};
use crate::process::ServerProcess;

on_both!(
    a_call_is_made_after_the_commit_and_its_answer_goes_on,
    a_call_that_fails_for_the_moment_is_tried_again_with_the_same_key,
    a_call_that_nobody_answers_can_be_caught,
    a_call_without_its_right_is_refused,
    a_retried_run_makes_its_call_again_with_the_same_key,
    a_run_that_is_cancelled_calls_its_call_off,
    a_private_address_is_refused_and_the_script_is_told,
    a_secret_goes_along_and_never_comes_back,
    a_call_survives_a_restart,
    a_destination_that_fails_is_left_alone_and_others_go_on,
    a_call_that_is_overdue_is_given_up,
    a_mail_goes_out_by_smtp,
    a_mail_that_is_refused_for_the_moment_is_sent_again_with_the_same_id,
    a_dead_message_is_retried_on_demand,
    a_webhook_is_signed,
    a_plugin_calls_and_sends_as_a_script_does,
    a_run_that_was_held_back_takes_the_answer_that_came_meanwhile,
    a_backtest_gives_calls_the_answers_of_then,
    killed_before_a_call_was_made,
    killed_after_a_call_was_made,
    killed_after_an_answer_was_committed,
    killed_after_a_mail_was_sent,
);

fn script(sink: &HttpSink, rest: &str) -> String {
    let url = sink.url("/pay");
    let host = url.trim_start_matches("http://").trim_end_matches("/pay");
    format!(
        r#"//! Pays.
on("order.paid");
uses("customer:read", "customer.notes:write", "http:{host}", "secret:payments");
fn run(event) {{
    let c = event.record;
    {}
}}
"#,
        rest.replace("URL", &format!("\"{url}\""))
    )
}

const PAY: &str = r#"let r = http("POST", URL, #{ json: #{ order: event.data.order_no } });
    update(c, #{ notes: `${r.status} ${r.json.id}` });"#;

fn open(config: &mut Config) {
    config.outbound.allow_addresses = vec!["127.0.0.1/32".parse().unwrap()];
    (config.limits.effect_backoff_ms, config.limits.effect_backoff_ms_max) = (5, 20);
}

async fn started(setup: Setup) -> TestApp {
    let app = setup.configure(open).start().await;
    let ada = json!({ "customer_no": "1", "name": "Ada", "email": "ada@example.com" });
    app.post("/v1/records/customer", ada).await.expect(201);
    app
}

async fn pay(app: &TestApp) {
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
}

async fn ends(app: &TestApp, status: &str) -> Value {
    let ended = || async { app.runs(&format!("status={status}")).await.pop() };
    eventually(status, ended).await
}

async fn only_effect(app: &TestApp) -> Value {
    let all = || async { app.get("/v1/effects").await.expect(200).items().pop() };
    eventually("the effect", all).await
}

async fn a_call_is_made_after_the_commit_and_its_answer_goes_on(database: Database) {
    let sink = HttpSink::start().await;
    sink.script([Answer::json(201, r#"{"id": "re_1"}"#)]);
    let app = started(TestApp::on(database).script("pay", &script(&sink, PAY))).await;
    pay(&app).await;
    ends(&app, "completed").await;
    assert_eq!(app.customer_field("1", "notes").await, "201 re_1");
    let request = sink.requests().remove(0);
    assert_eq!((request.method.as_str(), request.text()), ("POST", r#"{"order":"1"}"#));
    let effect = only_effect(&app).await;
    assert_eq!(request.header("idempotency-key"), effect["id"].as_str());
    assert_eq!(
        (&effect["status"], &effect["attempts"], &effect["reply"]["status"]),
        (&json!("done"), &json!(1), &json!(201))
    );
}

async fn a_call_that_fails_for_the_moment_is_tried_again_with_the_same_key(database: Database) {
    let sink = HttpSink::start().await;
    sink.script([Answer::status(503), Answer::Close, Answer::status(429), Answer::json(200, r#"{"id": "x"}"#)]);
    let app = started(TestApp::on(database).script("pay", &script(&sink, PAY))).await;
    pay(&app).await;
    ends(&app, "completed").await;
    let mut keys: Vec<String> =
        sink.requests().iter().map(|r| r.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 4);
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(app.customer_field("1", "notes").await, "200 x");
    assert_eq!(only_effect(&app).await["attempts"], 4);
}

async fn a_call_that_nobody_answers_can_be_caught(database: Database) {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::Close);
    let caught = r#"try { http("GET", URL, #{ attempts: 2 }); } catch (e) { update(c, #{ notes: `${e}` }); }"#;
    let app = started(TestApp::on(database).script("pay", &script(&sink, caught))).await;
    pay(&app).await;
    ends(&app, "completed").await;
    let notes = app.customer_field("1", "notes").await;
    assert!(notes.as_str().unwrap().contains("the last"), "{notes}");
    assert_eq!(sink.requests().len(), 2);
    assert_eq!(only_effect(&app).await["status"], "dead");
}

async fn a_call_without_its_right_is_refused(database: Database) {
    let sink = HttpSink::start().await;
    let other = r#"http("GET", `http://127.0.0.1:${event.data.order_no}/`);"#;
    let app = started(TestApp::on(database).script("pay", &script(&sink, other))).await;
    app.expect_dead(1);
    pay(&app).await;
    let run = ends(&app, "dead").await;
    assert!(run["error"]["message"].as_str().unwrap().contains("uses(\"http:127.0.0.1:1\")"), "{run}");
    assert!(app.get("/v1/effects").await.expect(200).items().is_empty());
}

async fn a_retried_run_makes_its_call_again_with_the_same_key(database: Database) {
    let sink = HttpSink::start().await;
    sink.script([Answer::Close]);
    sink.otherwise(Answer::json(200, r#"{"id": "late"}"#));
    let once = PAY.replace("#{ json", "#{ attempts: 1, json");
    let app = started(TestApp::on(database).script("pay", &script(&sink, &once))).await;
    app.expect_dead(1);
    pay(&app).await;
    let run = ends(&app, "dead").await;
    app.post(&format!("/v1/runs/{}/retry", run["id"].as_str().unwrap()), json!({})).await.expect(200);
    ends(&app, "completed").await;
    assert_eq!(app.customer_field("1", "notes").await, "200 late");
    let keys: Vec<_> = sink.requests().iter().map(|r| r.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys[0], keys[1]);
}

async fn a_run_that_is_cancelled_calls_its_call_off(database: Database) {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::status(503));
    let slow = |config: &mut Config| config.limits.effect_backoff_ms = 3_600_000;
    let setup = TestApp::on(database).script("pay", &script(&sink, PAY)).configure(open);
    let app = setup.configure(slow).configure(|c| c.limits.effect_backoff_ms_max = 3_600_000).start().await;
    app.customer("1").await;
    pay(&app).await;
    let tried = || async { Some(only_effect(&app).await).filter(|effect| effect["attempts"] == 1) };
    ends(&app, "waiting").await;
    eventually("the first attempt", tried).await;
    let run = ends(&app, "waiting").await;
    app.post(&format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap()), json!({})).await.expect(200);
    assert_eq!(only_effect(&app).await["status"], "cancelled");
}

async fn a_private_address_is_refused_and_the_script_is_told(database: Database) {
    let sink = HttpSink::start().await;
    let setup = TestApp::on(database).script("pay", &script(&sink, PAY));
    let app = setup.start().await;
    app.customer("1").await;
    app.expect_dead(1);
    pay(&app).await;
    let run = ends(&app, "dead").await;
    assert!(run["error"]["message"].as_str().unwrap().contains("127.0.0.1"), "{run}");
    assert!(sink.requests().is_empty());
}

async fn a_secret_goes_along_and_never_comes_back(database: Database) {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::Echo);
    let echo = r#"let r = http("POST", URL, #{ secret: "payments", body: "x" }); update(c, #{ notes: r.body });"#;
    let setup = TestApp::on(database).script("pay", &script(&sink, echo));
    let folder = setup.path("data").join("secrets");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("payments"), "value = \"sk_live_42\"\nhosts = [\"127.0.0.1\"]\n").unwrap();
    let app = started(setup).await;
    pay(&app).await;
    ends(&app, "completed").await;
    assert_eq!(sink.requests()[0].header("authorization"), Some("Bearer sk_live_42"));
    let notes = app.customer_field("1", "notes").await;
    assert!(notes.as_str().unwrap().contains("***") && !notes.as_str().unwrap().contains("sk_live"), "{notes}");
    assert!(!only_effect(&app).await.to_string().contains("sk_live"));
}

async fn a_call_survives_a_restart(database: Database) {
    let sink = HttpSink::start().await;
    sink.script([Answer::Close, Answer::Close]);
    sink.otherwise(Answer::json(200, r#"{"id": "back"}"#));
    let slow = |config: &mut Config| {
        (config.limits.effect_backoff_ms, config.limits.effect_backoff_ms_max) = (1_000, 1_000);
    };
    let setup = TestApp::on(database).script("pay", &script(&sink, PAY)).configure(open).configure(slow);
    let app = setup.start().await;
    app.customer("1").await;
    pay(&app).await;
    sink.wait_for(1, Duration::from_secs(10)).await;
    let app = app.restart(|setup| setup).await;
    ends(&app, "completed").await;
    assert_eq!(app.customer_field("1", "notes").await, "200 back");
}

async fn a_destination_that_fails_is_left_alone_and_others_go_on(database: Database) {
    let (bad, good) = (HttpSink::start().await, HttpSink::start().await);
    bad.otherwise(Answer::Close);
    good.otherwise(Answer::json(200, r#"{"id": "ok"}"#));
    let circuit = |config: &mut Config| {
        (config.limits.circuit_failures_max, config.limits.circuit_open_ms) = (3, 3_600_000);
        config.limits.effect_attempts_max = 50;
    };
    let (first, second) = (script(&bad, PAY), script(&good, PAY));
    let setup = TestApp::on(database).script("bad", &first).script("good", &second).configure(open);
    let app = setup.configure(circuit).start().await;
    app.customer("1").await;
    pay(&app).await;
    ends(&app, "completed").await;
    let open = || async {
        let circuits = app.get("/v1/circuits").await.expect(200).items();
        circuits.into_iter().find(|circuit| !circuit["open_until"].is_null())
    };
    let circuit = eventually("the circuit", open).await;
    assert_eq!(circuit["failures"], 3);
    assert_eq!(bad.requests().len(), 3, "it is left alone");
    let metrics = app.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("rapport_circuit_open{destination=\"http://127.0.0.1:") && metrics.contains("\"} 1"),
        "{metrics}"
    );
    let run = ends(&app, "waiting").await;
    app.post(&format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap()), json!({})).await.expect(200);
}

async fn a_call_that_is_overdue_is_given_up(database: Database) {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::Close);
    let clock = Arc::new(SetClock::at("2026-03-01T12:00:00Z".parse().unwrap()));
    let caught = r#"try { http("GET", URL, #{ deadline: "1 hour", attempts: 50 }); } catch (e) { update(c, #{ notes: `${e}` }); }"#;
    let many = |config: &mut Config| {
        (config.limits.effect_attempts_max, config.limits.effect_backoff_ms) = (50, 3_600_000);
        config.limits.effect_backoff_ms_max = 3_600_000;
    };
    let setup = TestApp::on(database).script("pay", &script(&sink, caught)).configure(open).configure(many);
    let app = setup.clock(clock.clone()).start().await;
    app.customer("1").await;
    pay(&app).await;
    sink.wait_for(1, Duration::from_secs(10)).await;
    ends(&app, "waiting").await;
    clock.set("2026-03-01T13:00:00Z".parse().unwrap());
    ends(&app, "completed").await;
    let notes = app.customer_field("1", "notes").await;
    assert!(notes.as_str().unwrap().contains("not answered by 2026-03-01T13:00:00"), "{notes}");
}

const WELCOME: &str = r#"//! Welcomes.
on("order.paid");
uses("customer:read", "message:email", "message:webhook");
fn run(event) { send("email", event.record, "welcome") }
"#;

pub(crate) fn smtp(sink: &SmtpSink) -> impl FnOnce(&mut Config) + use<> {
    let (host, port) = ("127.0.0.1".to_owned(), sink.port());
    move |config| {
        (config.email.channel, config.email.security) = (EmailChannel::Smtp, EmailSecurity::None);
        (config.email.smtp_host, config.email.smtp_port) = (host, port);
        config.email.from = "Shop <shop@example.com>".into();
    }
}

async fn mailing(database: Database, sink: &SmtpSink, source: &str) -> TestApp {
    let app = started(TestApp::on(database).script("welcome", source).configure(smtp(sink))).await;
    let template = json!({ "name": "welcome", "subject": "Hello {{ customer.name }}", "text": "Welcome!", "html": "<b>Welcome!</b>" });
    app.post("/v1/records/template", template).await.expect(201);
    app
}

async fn a_mail_goes_out_by_smtp(database: Database) {
    let sink = SmtpSink::start().await;
    let app = mailing(database, &sink, WELCOME).await;
    pay(&app).await;
    let mail = sink.wait_for(1, Duration::from_secs(10)).await.remove(0);
    assert_eq!(mail.header("subject").as_deref(), Some("Hello Ada"));
    let sent = || async { Some(only_effect(&app).await).filter(|effect| effect["status"] == "done") };
    let effect = eventually("the mail", sent).await;
    assert!(mail.header("message-id").unwrap().contains(effect["id"].as_str().unwrap()));
    assert_eq!(app.get("/v1/messages").await.expect(200).items()[0]["captured"], false);
}

async fn a_mail_that_is_refused_for_the_moment_is_sent_again_with_the_same_id(database: Database) {
    let sink = SmtpSink::start().await;
    sink.script([SmtpAnswer::refuse_recipient(451, "later"), SmtpAnswer::CloseAfterData]);
    let app = mailing(database, &sink, WELCOME).await;
    pay(&app).await;
    let sent = || async { Some(only_effect(&app).await).filter(|effect| effect["status"] == "done") };
    let effect = eventually("the mail", sent).await;
    assert_eq!(effect["attempts"], 3);
    let ids: Vec<_> = sink.mails().iter().map(|mail| mail.header("message-id").unwrap()).collect();
    assert_eq!(ids.len(), 2, "outside at least once");
    assert_eq!(ids[0], ids[1], "with equal keys");
}

async fn a_dead_message_is_retried_on_demand(database: Database) {
    let sink = SmtpSink::start().await;
    sink.script([SmtpAnswer::refuse_recipient(550, "no such box")]);
    let app = mailing(database, &sink, WELCOME).await;
    pay(&app).await;
    let dead = || async { app.get("/v1/effects?status=dead").await.expect(200).items().pop() };
    let effect = eventually("the refusal", dead).await;
    assert!(effect["error"].as_str().unwrap().contains("550"), "{effect}");
    assert_eq!(app.post("/v1/effects/retry", json!({ "channel": "email" })).await.expect(200).json()["retried"], 1);
    let mail = sink.wait_for(1, Duration::from_secs(10)).await.remove(0);
    assert!(mail.header("message-id").unwrap().contains(effect["id"].as_str().unwrap()));
    let done = || async { Some(only_effect(&app).await).filter(|effect| effect["status"] == "done") };
    eventually("the mail", done).await;
}

async fn a_webhook_is_signed(database: Database) {
    let sink = HttpSink::start().await;
    let source = WELCOME.replace(
        r#"send("email", event.record, "welcome")"#,
        r#"send("webhook", "partner", "order.paid", #{ no: event.data.order_no })"#,
    );
    let url = sink.url("/hook");
    let hook = move |config: &mut Config| {
        config.outbound.webhook = rapport_server::config::WebhookChannel::Deliver;
        let hook = rapport_server::config::WebhookConfig { url, secrets: vec!["hook".into()], ..Default::default() };
        config.webhooks.insert("partner".into(), hook);
    };
    let setup = TestApp::on(database).script("welcome", &source).configure(hook);
    let folder = setup.path("data").join("secrets");
    std::fs::create_dir_all(&folder).unwrap();
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    std::fs::write(folder.join("hook"), format!("value = \"{key}\"\nhosts = [\"127.0.0.1\"]\n")).unwrap();
    let app = started(setup).await;
    pay(&app).await;
    let request = sink.wait_for(1, Duration::from_secs(10)).await.remove(0);
    assert!(request.header("webhook-signature").unwrap().starts_with("v1,"));
    let body: Value = serde_json::from_str(request.text()).unwrap();
    assert_eq!((&body["type"], &body["data"]["no"]), (&json!("order.paid"), &json!("1")));
    let done = || async { Some(only_effect(&app).await).filter(|effect| effect["status"] == "done") };
    assert_eq!(eventually("the webhook", done).await["id"].as_str(), request.header("webhook-id"));
}

async fn a_plugin_calls_and_sends_as_a_script_does(database: Database) {
    let sink = HttpSink::start().await;
    sink.script([Answer::status(503), Answer::status(200).body("fine")]);
    let url = sink.url("/orders");
    let host = url.trim_start_matches("http://").trim_end_matches("/orders");
    let setup = TestApp::on(database);
    let folder = setup.path("plugins").join("caller");
    std::fs::create_dir_all(&folder).unwrap();
    let rights = ["customer:read", "message:email", "secret:orders", &format!("http:{host}")];
    let rights: String = rights.map(|r| format!("[[capabilities]]\nright = \"{r}\"\nreason = \"it calls\"\n")).concat();
    let head = "id = \"caller\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"Calls\"\n";
    let manifest = format!("{head}{rights}[[triggers]]\nevent = \"order.paid\"\n[settings]\nurl = \"{url}\"\n");
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
    std::fs::copy(env!("CALLER_COMPONENT"), folder.join("caller.wasm")).unwrap();
    let secrets = setup.path("data").join("secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("orders"), "value = \"abc12345\"\nhosts = [\"127.0.0.1\"]\n").unwrap();
    let app = started(setup).await;
    app.post("/v1/records/template", json!({ "name": "answered", "subject": "s", "text": "It said {{ answer }}" }))
        .await
        .expect(201);
    pay(&app).await;
    ends(&app, "completed").await;
    assert_eq!(app.get("/v1/messages").await.expect(200).items()[0]["text"], "It said fine");
    assert_eq!(sink.requests()[1].header("authorization"), Some("Bearer abc12345"));
}

async fn a_run_that_was_held_back_takes_the_answer_that_came_meanwhile(database: Database) {
    let sink = HttpSink::start().await;
    sink.script([Answer::status(503)]);
    sink.otherwise(Answer::json(200, r#"{"id": "held"}"#));
    let clock = Arc::new(SetClock::at("2026-03-01T12:00:00Z".parse().unwrap()));
    let setup = TestApp::on(database).script("pay", &script(&sink, PAY)).configure(open).clock(clock.clone());
    let app = setup.start().await;
    app.customer("1").await;
    pay(&app).await;
    let run = ends(&app, "waiting").await;
    let tried = || async { Some(only_effect(&app).await).filter(|effect| effect["attempts"] == 1) };
    eventually("the first attempt", tried).await;
    let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    app.post(&format!("{path}/pause"), json!({})).await.expect(200);
    clock.set("2026-03-01T12:00:01Z".parse().unwrap());
    let answered = || async { Some(only_effect(&app).await).filter(|effect| effect["status"] == "done") };
    eventually("the answer", answered).await;
    assert_eq!(app.customer_field("1", "notes").await, Value::Null, "it is held back");
    app.post(&format!("{path}/resume"), json!({})).await.expect(200);
    ends(&app, "completed").await;
    assert_eq!(app.customer_field("1", "notes").await, "200 held");
}

async fn a_backtest_gives_calls_the_answers_of_then(database: Database) {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::json(200, r#"{"id": "then"}"#));
    let source = script(&sink, PAY);
    let app = started(TestApp::on(database).script("pay", &source)).await;
    pay(&app).await;
    ends(&app, "completed").await;
    let tried = async |source: String| {
        let body =
            json!({ "id": "pay", "source": source, "since": "1970-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z" });
        let begun = app.post("/v1/backtests", body).await.expect(202).json();
        let path = format!("/v1/backtests/{}", begun["id"].as_str().unwrap());
        let ended = eventually("the end of the backtest", || async {
            let backtest = app.get(&path).await.expect(200).json();
            (backtest["state"] != "running").then_some(backtest)
        });
        ended.await["result"].clone()
    };
    let same = tried(source.clone()).await;
    assert_eq!((&same["records_differing"], &same["unknown"]["calls"]), (&json!(0), &json!(0)), "{same:#}");
    let louder = tried(source.replace("`${r.status} ", "`status ${r.status} ")).await;
    assert_eq!(louder["differences"][0]["fields"][0]["backtest"], "status 200 then", "{louder:#}");
    let other = tried(source.replace("order: event", "no: event")).await;
    assert_eq!((&other["unknown"]["calls"], &other["runs"]["dead"]), (&json!(1), &json!(1)), "{other:#}");
    assert_eq!(sink.requests().len(), 1, "a backtest calls nobody");
}

async fn killed_before_a_call_was_made(database: Database) {
    assert_eq!(dies_at("effect.taken", database, PAY).await, 1);
}

async fn killed_after_a_call_was_made(database: Database) {
    assert_eq!(dies_at("effect.sent", database, PAY).await, 2);
}

async fn killed_after_an_answer_was_committed(database: Database) {
    assert_eq!(dies_at("effect.committed", database, PAY).await, 1);
}

/// How many times the sink is called if the server dies at `place` once. Inside, everything happens once; outside at least once,
/// with the same key.
async fn dies_at(place: &str, database: Database, body: &str) -> usize {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::json(200, r#"{"id": "once"}"#));
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("pay.rhai"), script(&sink, body)).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    let now = folder.path().join("now");
    let allowed = ("RAPPORT_OUTBOUND_ALLOW_ADDRESSES", "127.0.0.1/32");
    let crash = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap()), allowed];
    let server = ServerProcess::start_in(&crash, &data, url.as_deref(), &more).await;
    server.client.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    std::fs::write(&now, "").unwrap();
    server.client.try_send(crate::client::Request::new("POST", "/v1/events").json(&order_paid("1", "1", "5"))).await;
    assert!(server.died(), "it lives");
    let server = ServerProcess::start_in(&[allowed], &data, url.as_deref(), &more).await;
    let done = || async { server.client.get("/v1/runs?status=completed").await.expect(200).items().pop() };
    eventually("the run to end", done).await;
    let customer = server.client.get("/v1/records/customer/customer_no:1").await.expect(200).json();
    assert_eq!((&customer["notes"], &customer["version"]), (&json!("200 once"), &json!(2)), "inside it happens once");
    let mut keys: Vec<String> =
        sink.requests().iter().map(|r| r.header("idempotency-key").unwrap().to_owned()).collect();
    let calls = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), 1);
    assert_eq!(server.stop().await, 0);
    calls
}

async fn killed_after_a_mail_was_sent(database: Database) {
    let sink = SmtpSink::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("welcome.rhai"), WELCOME).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    let (now, port) = (folder.path().join("now"), sink.port().to_string());
    let mail = [
        ("RAPPORT_EMAIL_CHANNEL", "smtp"),
        ("RAPPORT_EMAIL_SMTP_HOST", "127.0.0.1"),
        ("RAPPORT_EMAIL_SMTP_PORT", port.as_str()),
        ("RAPPORT_EMAIL_SECURITY", "none"),
        ("RAPPORT_EMAIL_FROM", "shop@example.com"),
    ];
    let mut crash = vec![("RAPPORT_CRASH_AT", "effect.sent"), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    crash.extend(mail);
    let server = ServerProcess::start_in(&crash, &data, url.as_deref(), &more).await;
    let ada = json!({ "customer_no": "1", "name": "Ada", "email": "ada@example.com" });
    server.client.post("/v1/records/customer", ada).await.expect(201);
    let template = json!({ "name": "welcome", "subject": "Hello", "text": "Welcome!" });
    server.client.post("/v1/records/template", template).await.expect(201);
    std::fs::write(&now, "").unwrap();
    server.client.try_send(crate::client::Request::new("POST", "/v1/events").json(&order_paid("1", "1", "5"))).await;
    assert!(server.died(), "it lives");
    let server = ServerProcess::start_in(&mail, &data, url.as_deref(), &more).await;
    let done = || async { server.client.get("/v1/effects?status=done").await.expect(200).items().pop() };
    let effect = eventually("the mail", done).await;
    let ids: Vec<_> = sink.mails().iter().map(|mail| mail.header("message-id").unwrap()).collect();
    assert_eq!(ids.len(), 2, "outside at least once");
    assert!(ids.iter().all(|id| id.contains(effect["id"].as_str().unwrap())), "with equal keys: {ids:?}");
    assert_eq!(server.stop().await, 0);
}
