//! Addresses of plugins: pages for anybody, webhooks that are signed, and what strangers cannot do with them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rapport_package::{Package, SecretKey};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::{Client, Reply, Request};
use crate::harness::{Database, Setup, TestApp, eventually, kiosk_manifest, on_both};
use crate::waiting::{clock, later, waiting};

on_both!(
    a_page_is_read_without_a_trace,
    a_form_is_an_event_and_a_run,
    a_get_that_writes_changes_nothing,
    a_request_comes_as_it_was_sent_without_what_authorises,
    an_address_that_two_readers_could_understand_is_refused,
    what_is_not_there_and_what_is_not_answered,
    a_signed_report_counts_once,
    a_report_that_is_not_signed_is_not_taken,
    users_need_a_key,
    a_run_of_a_request_is_on_the_lane_of_its_record,
    what_a_plugin_may_not_answer_keeps_nothing_of_its_run,
    a_plugin_that_fails_tells_strangers_nothing,
    a_body_beyond_its_limit_is_refused_before_it_is_read,
    a_client_that_asks_too_often_waits,
    a_request_that_waits_is_answered_later,
    a_request_is_explained_tried_again_and_taken_back,
    a_plugin_that_is_off_does_not_answer,
    a_route_that_was_not_granted_is_not_there,
    two_plugins_share_no_address,
);

const RIGHTS: &str = r#"
[[capabilities]]
right = "customer:read"
reason = "knows members"
[[capabilities]]
right = "customer.points:write"
reason = "gives points"
[[capabilities]]
right = "task:read"
reason = "shows the book"
[[capabilities]]
right = "task:create"
reason = "keeps the book"
[[capabilities]]
right = "secret:partner-key"
reason = "knows partners"
[[fields]]
object = "customer"
name = "points"
type = "integer"
"#;

const ROUTES: &str = r#"
[[routes]]
path = "/"
access = "public"
[[routes]]
methods = ["POST"]
path = "/sign"
access = "public"
body_bytes_max = 2000
[[routes]]
methods = ["POST"]
path = "/partners/{partner}/earn"
access = "signed"
secret = "partner-key"
[[routes]]
path = "/members/{customer}"
access = "users"
[[routes]]
methods = ["POST"]
path = "/members/{customer}/visit"
access = "users"
lane = "customer"
[[routes]]
methods = ["GET", "POST", "PUT", "DELETE"]
path = "/echo/{what}"
access = "public"
per_minute = 1000
[[routes]]
methods = ["GET", "POST"]
path = "/try/{how}"
access = "public"
[[routes]]
methods = ["POST"]
path = "/slow/{span}"
access = "users"
"#;

pub(crate) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) fn kiosk(database: Database) -> Setup {
    TestApp::on(database).secret("partner-key", KEY).kiosk_plugin("kiosk", &format!("{RIGHTS}{ROUTES}"))
}

async fn customer(app: &TestApp) -> Value {
    app.post("/v1/records/customer", json!({ "customer_no": "a", "points": 1 })).await.expect(201).json()
}

/// The seconds since 1970 of the clock of stories.
pub(crate) const NOON: i64 = 1_772_366_400;

/// A POST of `body` to `path`, signed for `seconds` under the name `id`.
pub(crate) fn signed(path: &str, key_and_id: (&str, &str), seconds: i64, body: &Value) -> Request {
    signed_as(path, key_and_id, seconds, ("application/json", body.to_string().as_bytes()))
}

/// The same with a body of any kind.
pub(crate) fn signed_as(path: &str, (key, id): (&str, &str), seconds: i64, (kind, body): (&str, &[u8])) -> Request {
    let seconds = seconds.to_string();
    let key = BASE64_STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    Request::new("POST", path)
        .body(kind, body)
        .header("webhook-id", id)
        .header("webhook-timestamp", &seconds)
        .header("webhook-signature", &format!("v1,bm90aGluZw== {signature}"))
}

/// A report of a partner to the kiosk.
fn report(key: &str, id: &str, seconds: i64, body: &Value) -> Request {
    signed("/x/kiosk/partners/acme/earn", (key, id), seconds, body)
}

fn form(path: &str, body: &str) -> Request {
    Request::new("POST", path).body("application/x-www-form-urlencoded", body)
}

async fn runs(app: &TestApp) -> Vec<Value> {
    app.runs("automation=kiosk").await
}

/// How much there is: of events, runs, tasks. The same before and after means that nothing has happened.
async fn state(app: &TestApp) -> (usize, usize, usize) {
    (app.log().await.len(), runs(app).await.len(), app.all("task").await.len())
}

async fn a_page_is_read_without_a_trace(database: Database) {
    let app = kiosk(database).start().await;
    app.post("/v1/records/task", json!({ "title": "<b>Ada</b>", "assignee": "kiosk" })).await.expect(201);
    let (before, anybody) = (state(&app).await, app.without_key());
    let page = anybody.get("/x/kiosk/").await.expect(200);
    assert!(page.text().contains("<li>&lt;b&gt;Ada&lt;/b&gt;</li>"), "{}", page.text());
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "max-age=5"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
        ),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    assert_eq!(anybody.get("/x/kiosk").await.expect(200).body, page.body);
    let head = anybody.send(Request::new("HEAD", "/x/kiosk/")).await.expect(200);
    assert_eq!((head.text().as_str(), head.header("content-length")), ("", Some(page.body.len().to_string().as_str())));
    assert_eq!(head.header("content-type"), page.header("content-type"));
    let bytes = anybody.get("/x/kiosk/try/bytes").await.expect(200);
    assert_eq!((bytes.body.as_slice(), bytes.header("content-type")), (&[0, 159, 255][..], Some("image/png")));
    // A page of the plugin's own for what it does not have.
    assert_eq!(anybody.get("/x/kiosk/try/nothing").await.expect(404).text(), "<p>no such thing");
    assert_eq!(state(&app).await, before);
}

async fn a_form_is_an_event_and_a_run(database: Database) {
    let app = kiosk(database).start().await;
    let anybody = app.without_key();
    let signed = anybody.send(form("/x/kiosk/sign", "name=Ada+%3CL%3E&x=%C3%BC")).await.expect(303);
    assert_eq!((signed.header("location"), signed.header("rapport-run")), (Some("/x/kiosk/"), None));
    assert_eq!(app.all("task").await[0]["title"], "Ada <L>");
    let run = runs(&app).await.pop().unwrap();
    let run = app.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await.expect(200).json();
    let (trigger, request) = (&run["trigger"], &run["trigger"]["data"]["request"]);
    assert_eq!((&trigger["type"], &trigger["actor"]), (&json!("run.invoked"), &json!("automation:kiosk")));
    assert_eq!((&request["body"], &request["from"]), (&json!("name=Ada+%3CL%3E&x=%C3%BC"), &json!("")));
    assert_eq!(
        (&request["route"], &request["method"], &request["path"]),
        (&json!("/sign"), &json!("POST"), &json!("/sign"))
    );
    assert_eq!(run["result"], json!({ "status": 303, "headers": [["location", "/x/kiosk/"]] }));
    // What is no text is kept as what it is; and what the plugin makes of it is its own.
    anybody.send(form("/x/kiosk/sign", "")).await.expect(422);
    let odd = Request::new("POST", "/x/kiosk/sign").body("image/png", vec![0, 255]);
    assert_eq!(anybody.send(odd).await.expect(400).text(), "send the form");
    let last = runs(&app).await.remove(0);
    let last = app.get(&format!("/v1/runs/{}", last["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(last["trigger"]["data"]["request"]["body_base64"], "AP8=");
}

async fn a_get_that_writes_changes_nothing(database: Database) {
    let app = kiosk(database).start().await;
    let before = state(&app).await;
    let refused = app.without_key().get("/x/kiosk/try/write").await.expect(500);
    assert_eq!(refused.code(), "route_failed");
    assert_eq!(app.without_key().send(Request::new("HEAD", "/x/kiosk/try/write")).await.status, 500);
    assert_eq!(state(&app).await, before);
}

async fn a_request_comes_as_it_was_sent_without_what_authorises(database: Database) {
    let app = kiosk(database).start().await;
    let sent = Request::new("PUT", "/x/kiosk/echo/a%20b?q=1&q=%C3%BC+x&empty")
        .header("cookie", "session=secret")
        .header("proxy-authorization", "secret")
        .header("x-forwarded-for", "192.0.2.1")
        .header("forwarded", "for=192.0.2.1")
        .header("x-topic", "ü")
        .body("text/plain", "hi");
    let seen = app.send(sent).await.expect(200).json();
    assert_eq!((&seen["path"], &seen["params"]), (&json!("/echo/a b"), &json!([["what", "a b"]])));
    assert_eq!(seen["query"], json!([["q", "1"], ["q", "ü x"], ["empty", ""]]));
    assert_eq!((&seen["body"], &seen["actor"]), (&json!([104, 105]), &json!("")));
    assert_eq!(seen["headers"], json!([["x-topic", "ü"], ["content-type", "text/plain"]]));
    let kept = app.log().await;
    let kept = kept.iter().find(|event| event["type"] == "run.invoked").unwrap().to_string();
    assert!(kept.contains("x-topic") && !kept.contains("secret") && !kept.contains("Bearer"), "{kept}");
}

async fn an_address_that_two_readers_could_understand_is_refused(database: Database) {
    let app = kiosk(database).start().await;
    for path in [
        "/x/kiosk/echo/..",
        "/x/kiosk/echo/%2e%2e",
        "/x/kiosk/echo/a%2fb",
        "/x/kiosk/echo/a%5cb",
        "/x/kiosk/echo/%252e",
        "/x/kiosk/echo/%ff",
        "/x/kiosk/echo/%zz",
        "/x/kiosk/echo/%00",
        "/x/kiosk/../echo/a",
        "/x/kiosk/echo/a?q=%ff",
        "/x/kiosk/echo/a?q=%0",
    ] {
        let refused = app.get(path).await.expect(400);
        assert_eq!(refused.code(), "bad_request", "{path}");
    }
    for path in ["/x/kiosk//echo/a", "/x/kiosk/echo/a/", "/x/kiosk/echo/", "/x/ki%6fsk/echo/a", "/x/KIOSK/echo/a"] {
        app.get(path).await.expect(404);
    }
}

async fn what_is_not_there_and_what_is_not_answered(database: Database) {
    let app = kiosk(database).start().await;
    for path in ["/x/kiosk/nothing", "/x/none/", "/x/", "/x", "/x/a/b/c"] {
        assert_eq!(app.get(path).await.expect(404).code(), "not_found", "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/x/kiosk/sign", "POST"),
        ("DELETE", "/x/kiosk/", "GET, HEAD"),
        ("OPTIONS", "/x/kiosk/try/a", "GET, HEAD, POST"),
        ("PATCH", "/x/kiosk/echo/a", "GET, HEAD, POST, PUT, DELETE"),
        ("BREW", "/x/kiosk/sign", "POST"),
    ] {
        let refused = app.send(Request::new(method, path)).await.expect(405);
        assert_eq!(refused.header("allow"), Some(allow), "{method} {path}");
    }
}

async fn a_signed_report_counts_once(database: Database) {
    let clock = clock();
    let app = kiosk(database).clock(clock.clone()).start().await;
    customer(&app).await;
    let partner = app.without_key();
    let body = json!({ "customer": "customer_no:a", "points": 5 });
    let first = partner.send(report(KEY, "m1", NOON, &body)).await.expect(200);
    assert_eq!(first.json(), json!({ "result": "ok", "partner": "acme", "actor": "signed:partner-key" }));
    // Sent again a minute later, as senders do that have heard nothing; by many at once as well.
    later(&clock, "1 minute");
    let again = partner.send(report(KEY, "m1", NOON + 60, &body)).await.expect(200);
    assert_eq!((again.body.clone(), again.header("rapport-run")), (first.body.clone(), first.header("rapport-run")));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    let many = (0..10).map(|_| {
        let (client, request) = (partner.clone(), report(KEY, "m2", NOON + 60, &body));
        tokio::spawn(async move { client.send(request).await.expect(200) })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!(app.customer_field("a", "points").await, 11);
    // Another message of the same name is none.
    let other = json!({ "customer": "customer_no:a", "points": 6 });
    assert_eq!(partner.send(report(KEY, "m1", NOON + 60, &other)).await.expect(422).code(), "idempotency_key_reused");
    assert_eq!(app.customer_field("a", "points").await, 11);
}

async fn a_report_that_is_not_signed_is_not_taken(database: Database) {
    let app = kiosk(database).clock(clock()).start().await;
    customer(&app).await;
    let before = state(&app).await;
    let body = json!({ "customer": "customer_no:a", "points": 5 });
    let wrong_key = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let path = "/x/kiosk/partners/acme/earn";
    for request in [
        Request::new("POST", path).json(&body),
        report(wrong_key, "m1", NOON, &body),
        report(KEY, "m1", NOON - 301, &body),
        report(KEY, "m1", NOON + 301, &body),
        report(KEY, "", NOON, &body),
        Request::new("POST", path)
            .json(&body)
            .header("webhook-id", "m1")
            .header("webhook-timestamp", &NOON.to_string()),
    ] {
        // The owner's key opens no signed route either.
        let refused = app.send(request).await.expect(401);
        assert_eq!((refused.code().as_str(), refused.header("www-authenticate")), ("invalid_signature", None));
    }
    assert_eq!(state(&app).await, before);
    // Without the secret here nobody is let in, and is not told why.
    std::fs::remove_file(app.folder.path().join("data/secrets/partner-key")).unwrap();
    let off = app.without_key().send(report(KEY, "m1", NOON, &body)).await.expect(503);
    assert!(!off.text().contains("partner-key"), "{}", off.text());
    assert_eq!(state(&app).await, before);
}

async fn users_need_a_key(database: Database) {
    let app = kiosk(database).start().await;
    customer(&app).await;
    let address = "/x/kiosk/members/customer_no:a";
    let told = app.get(address).await.expect(200);
    assert_eq!((told.json()["points"].clone(), told.header("etag")), (json!(1), Some("\"1\"")));
    assert!(told.json()["asked_by"].as_str().unwrap().starts_with("user:"), "{}", told.text());
    let nobody = app.without_key().get(address).await.expect(401);
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    app.with_key("nonsense").get(address).await.expect(401);
    // Who may only read reads; who is bound to an object is not let in.
    let key = async |body: Value| {
        let made = app.post("/v1/keys", body).await.expect(201).json();
        app.with_key(made["secret"].as_str().unwrap())
    };
    let reader = key(json!({ "name": "reader", "scopes": ["read"] })).await;
    reader.get(address).await.expect(200);
    reader.post(&format!("{address}/visit"), json!({})).await.expect(403);
    let bound = key(json!({ "name": "bound", "scopes": ["read", "write"], "objects": ["order"] })).await;
    bound.get(address).await.expect(403);
    // A person's request may be named, as everywhere.
    let named = || Request::new("POST", "/x/kiosk/members/customer_no:a/visit").header("idempotency-key", "k");
    let (first, again) = (app.send(named()).await.expect(204), app.send(named()).await.expect(204));
    assert_eq!(first.header("rapport-run"), again.header("rapport-run"));
    assert_eq!(app.customer_field("a", "points").await, 2);
}

async fn a_run_of_a_request_is_on_the_lane_of_its_record(database: Database) {
    let app = kiosk(database).start().await;
    let ada = customer(&app).await;
    let visits = (0..20).map(|_| {
        let client = (*app).clone();
        tokio::spawn(async move { client.post("/x/kiosk/members/customer_no:a/visit", json!({})).await.expect(204) })
    });
    for one in visits.collect::<Vec<_>>() {
        let reply = one.await.unwrap();
        let run = app.get(&format!("/v1/runs/{}", reply.header("rapport-run").unwrap())).await.expect(200).json();
        assert_eq!(run["lane"], ada["id"]);
    }
    assert_eq!(app.customer_field("a", "points").await, 21);
    app.post("/x/kiosk/members/customer_no:b/visit", json!({})).await.expect(404);
}

async fn what_a_plugin_may_not_answer_keeps_nothing_of_its_run(database: Database) {
    let app = kiosk(database).start().await;
    for (how, said) in
        [("cookie", "`set-cookie`"), ("status", "99 is no status"), ("away", "`location`"), ("large", "600000 bytes")]
    {
        let refused = app.without_key().send(form(&format!("/x/kiosk/try/{how}"), "")).await.expect(500);
        assert!(
            refused.header("set-cookie").is_none() && !refused.text().contains("invalid_response"),
            "{}",
            refused.text()
        );
        let run = runs(&app).await.remove(0);
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("dead"), &json!("invalid_response")), "{how}");
        assert!(run["error"]["message"].as_str().unwrap().contains(said), "{run}");
        app.without_key().get("/x/kiosk/try/large").await.expect(500);
    }
    assert_eq!(app.all("task").await.len(), 0);
    app.expect_dead(4);
}

async fn a_plugin_that_fails_tells_strangers_nothing(database: Database) {
    let app = kiosk(database).configure(|config| config.limits.run_attempts_max = 2).start().await;
    for how in ["fail", "trap", "loop", "later"] {
        for request in [Request::new("GET", &format!("/x/kiosk/try/{how}")), form(&format!("/x/kiosk/try/{how}"), "")] {
            let failed = app.without_key().send(request).await.expect(500);
            assert_eq!(failed.code(), "route_failed", "{how}");
            assert!(!failed.text().contains("secret reason") && !failed.text().contains("kiosk"), "{}", failed.text());
            assert_eq!(failed.header("x-content-type-options"), Some("nosniff"));
        }
    }
    app.expect_dead(4);
    assert_eq!(app.all("task").await.len(), 0);
    // Its run says it.
    let codes: Vec<Value> = runs(&app).await.iter().map(|run| run["error"]["code"].clone()).collect();
    assert!(codes.contains(&json!("out_of_paper")) && codes.contains(&json!("busy")), "{codes:?}");
}

async fn a_body_beyond_its_limit_is_refused_before_it_is_read(database: Database) {
    let app = kiosk(database).start().await;
    let before = state(&app).await;
    let anybody = app.without_key();
    let large = format!("name={}", "x".repeat(2_000));
    assert_eq!(anybody.send(form("/x/kiosk/sign", &large)).await.expect(413).code(), "too_large");
    // Only the head is sent: what it announces is enough.
    let head = format!("POST /x/kiosk/sign HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", anybody.address);
    let announced = anybody.exchange(format!("{head}content-length: 900000000\r\n\r\n").as_bytes()).await.unwrap();
    assert!(String::from_utf8_lossy(&announced).starts_with("HTTP/1.1 413"), "{announced:?}");
    let chunk = format!("{head}transfer-encoding: chunked\r\n\r\n1000\r\n{}\r\n1000\r\n", "x".repeat(4_096));
    let streamed = anybody.exchange(chunk.as_bytes()).await.unwrap();
    assert!(String::from_utf8_lossy(&streamed).starts_with("HTTP/1.1 413"), "{streamed:?}");
    assert_eq!(state(&app).await, before);
}

async fn a_client_that_asks_too_often_waits(database: Database) {
    let clock = clock();
    let routes = ROUTES.replacen("access = \"public\"\n", "access = \"public\"\nper_minute = 3\n", 1);
    let app = TestApp::on(database)
        .secret("partner-key", KEY)
        .kiosk_plugin("kiosk", &format!("{RIGHTS}{routes}"))
        .clock(clock.clone())
        .configure(|config| config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()])
        .start()
        .await;
    let from = |address: &str| Request::new("GET", "/x/kiosk/").header("x-forwarded-for", address);
    for _ in 0..3 {
        app.send(from("192.0.2.1")).await.expect(200);
    }
    let refused = app.send(from("192.0.2.1")).await.expect(429);
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("rate_limited", Some("21")));
    // Others are not held up, nor other addresses; what the client says before the proxy is not believed.
    app.send(from("192.0.2.2")).await.expect(200);
    app.send(from("192.0.2.9, 192.0.2.1")).await.expect(429);
    app.get("/x/kiosk/echo/a").await.expect(200);
    later(&clock, "21 seconds");
    app.send(from("192.0.2.1")).await.expect(200);
    app.send(from("192.0.2.1")).await.expect(429);
    // The route as a whole has an end as well.
    let mut taken = 0;
    for n in 0..40 {
        taken += usize::from(app.send(from(&format!("198.51.100.{n}"))).await.status == 200);
    }
    assert!((25..30).contains(&taken), "{taken}");
}

async fn a_request_that_waits_is_answered_later(database: Database) {
    let clock = clock();
    let app = kiosk(database).clock(clock.clone()).start().await;
    let request = |seconds: &str| {
        let request = Request::new("POST", "/x/kiosk/slow/1%20hour").header("idempotency-key", "k");
        request.header("prefer", &format!("wait={seconds}"))
    };
    let open = app.send(request("0")).await.expect(202);
    let run = open.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(open.header("rapport-run"), Some(run.as_str()));
    waiting(&app, 1).await;
    later(&clock, "1 hour");
    assert_eq!(app.send(request("20")).await.expect(200).text(), "done");
}

async fn a_request_is_explained_tried_again_and_taken_back(database: Database) {
    let app = kiosk(database).start().await;
    customer(&app).await;
    let visited = app.post("/x/kiosk/members/customer_no:a/visit", json!({})).await.expect(204);
    let run = visited.header("rapport-run").unwrap();
    let explained = app.get(&format!("/v1/runs/{run}/explain")).await.expect(200).json();
    assert_eq!(explained["because"][0]["type"], "run.invoked", "{explained}");
    let undone = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json();
    assert_eq!((&undone["done"], app.customer_field("a", "points").await), (&json!(1), json!(1)));
    // A request that failed is tried again from its event, when what it lacked is there.
    app.expect_dead(1);
    app.without_key().send(form("/x/kiosk/try/fail", "")).await.expect(500);
    let dead = app.runs("automation=kiosk&status=dead").await.remove(0);
    app.post(&format!("/v1/runs/{}/retry", dead["id"].as_str().unwrap()), json!({})).await.expect(200);
    let again =
        eventually("the run to die again", || async { app.runs("automation=kiosk&status=dead").await.pop() }).await;
    assert_eq!(again["error"]["code"], "out_of_paper");
    app.run_until_idle().await;
    app.expect_dead(2);
}

fn package(rest: &str) -> Vec<u8> {
    let component = std::fs::read(env!("KIOSK_COMPONENT")).unwrap();
    let files = [("plugin.toml", kiosk_manifest("kiosk", "0.1.0", rest).into_bytes()), ("kiosk.wasm", component)];
    let mut package = Package::new(files.into_iter().map(|(name, content)| (name.parse().unwrap(), content))).unwrap();
    package.sign("Tests", &SecretKey::from_seed(&[1; 32]), Vec::new()).unwrap();
    package.pack()
}

async fn install(app: &Client, archive: &[u8]) -> Reply {
    app.send(Request::new("POST", "/v1/plugins").body("application/octet-stream", archive)).await.expect(201)
}

async fn a_plugin_that_is_off_does_not_answer(database: Database) {
    let app = TestApp::on(database).secret("partner-key", KEY).start().await;
    let archive = package(&format!("{RIGHTS}{ROUTES}"));
    install(&app, &archive).await;
    app.get("/x/kiosk/").await.expect(404);
    app.post("/v1/plugins/kiosk/grant", json!({ "all": true })).await.expect(200);
    app.get("/x/kiosk/").await.expect(200);
    let shown = app.get("/v1/plugins/kiosk").await.expect(200).json();
    let earn = shown["routes"].as_array().unwrap().iter().find(|route| route["access"] == "signed").unwrap();
    assert_eq!((&earn["url"], &earn["methods"]), (&json!("/x/kiosk/partners/{partner}/earn"), &json!(["POST"])));
    app.post("/v1/plugins/kiosk/disable", json!({})).await.expect(200);
    for request in
        [Request::new("GET", "/x/kiosk/"), Request::new("GET", "/x/kiosk/nothing"), form("/x/kiosk/sign", "name=a")]
    {
        let off = app.send(request).await.expect(503);
        assert!(off.header("retry-after").is_some() && !off.text().contains("disabled"), "{}", off.text());
    }
    app.post("/v1/plugins/kiosk/enable", json!({})).await.expect(200);
    app.get("/x/kiosk/").await.expect(200);
    let digest = shown["package"].as_str().unwrap();
    app.put(&format!("/v1/blocked-packages/{digest}"), json!({ "reason": "a hole" })).await.expect(200);
    assert!(matches!(app.get("/x/kiosk/").await.status, 404 | 503));
    assert_eq!(app.all("task").await.len(), 0);
}

async fn a_route_that_was_not_granted_is_not_there(database: Database) {
    let app = TestApp::on(database).secret("partner-key", KEY).start().await;
    let waiting = install(&app, &package(&format!("{RIGHTS}{ROUTES}"))).await.json();
    let asked = waiting["pending"]["asked"].as_array().unwrap().clone();
    let declined = ["route:POST /sign public", "secret:partner-key", "task:read"];
    let items: Vec<Value> = asked.into_iter().filter(|item| !declined.contains(&item.as_str().unwrap())).collect();
    let granted = app.post("/v1/plugins/kiosk/grant", json!({ "items": items })).await.expect(200).json();
    assert_eq!(granted["declined"], json!(declined));
    app.send(form("/x/kiosk/sign", "name=a")).await.expect(404);
    app.send(report(KEY, "m1", NOON, &json!({}))).await.expect(404);
    app.get("/x/kiosk/echo/a").await.expect(200);
    // A page whose plugin may not read what it shows fails, and says so in the log alone.
    assert_eq!(app.without_key().get("/x/kiosk/").await.expect(500).code(), "route_failed");
}

async fn two_plugins_share_no_address(database: Database) {
    let own = "[[routes]]\npath = \"/echo/{what}\"\naccess = \"public\"\n";
    let app = kiosk(database).kiosk_plugin("other", own).start().await;
    let of = async |id: &str| app.get(&format!("/x/{id}/echo/a")).await.expect(200).json();
    assert_eq!(
        (of("kiosk").await["route"].clone(), of("other").await["route"].clone()),
        (json!("/echo/{what}"), json!("/echo/{what}"))
    );
    app.get("/x/other/").await.expect(404);
    let listed = app.get("/v1/plugins").await.expect(200).items();
    let urls: Vec<&Value> = listed.iter().map(|plugin| &plugin["routes"][0]["url"]).collect();
    assert_eq!(urls, [&json!("/x/kiosk/"), &json!("/x/other/echo/{what}")]);
}
