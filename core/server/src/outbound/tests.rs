//! Calls, secrets and webhooks from the engine's side to a server that records what it gets.

use std::time::Duration;

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use rapport_test_support::{Answer, HttpSink};
use serde_json::json;

use super::*;

const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

/// A way out with 127.0.0.1 allowed, and `more` in its configuration.
struct Way {
    data: tempfile::TempDir,
    out: Outbound,
}

impl Way {
    fn new(more: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let text = format!("outbound.allow_addresses = [\"127.0.0.1/32\"]\n{more}");
        let mut config: Config = toml::from_str(&text).unwrap();
        config.storage.data = data.path().to_owned();
        let clock = Arc::new(SetClock::at(Timestamp::from_micros(1_614_265_330_000_000)));
        Self { out: Outbound::new(&config, clock).unwrap(), data }
    }

    fn secret(&self, name: &str, value: &str, host: &str) {
        let secret = NamedSecret::new(value, &[host.to_owned()]).unwrap();
        Secrets::new(self.data.path()).set(name, &secret).unwrap();
    }
}

fn call(method: &str, url: &str) -> HttpCall {
    HttpCall {
        key: "run-1:3".into(),
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        secret: None,
        timeout: Duration::from_secs(20),
    }
}

fn with_secret(url: &str, name: &str, header: &str) -> HttpCall {
    HttpCall { secret: Some(SecretUse { name: name.into(), header: header.into() }), ..call("POST", url) }
}

fn webhook(to: &str) -> Message {
    Message {
        key: "run-1:4".into(),
        channel: "webhook".into(),
        to: to.into(),
        template: "order.paid".into(),
        subject: String::new(),
        text: String::new(),
        html: None,
        data: json!({"amount": 7}),
        created_at: "2026-03-01T02:00:00Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn a_call_arrives_as_it_was_made_with_its_key() {
    let (way, sink) = (Way::new(""), HttpSink::start().await);
    sink.script([Answer::json(201, r#"{"ok":true}"#).header("X-Limit", "9")]);
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let made = HttpCall { headers, body: b"{\"a\":1}".to_vec(), ..call("POST", &sink.url("/pay?x=1")) };
    let reply = way.out.http(&made).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (201, &br#"{"ok":true}"#[..]));
    assert!(reply.headers.contains(&("x-limit".to_owned(), "9".to_owned())));
    let seen = &sink.requests()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.text()), ("POST", "/pay?x=1", "{\"a\":1}"));
    assert_eq!(seen.header("idempotency-key"), Some("run-1:3"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("user-agent"), Some(concat!("rapport/", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn a_key_goes_with_what_may_do_something_twice_unless_the_run_gave_one() {
    let (way, sink) = (Way::new(""), HttpSink::start().await);
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
        way.out.http(&call(method, &sink.url("/"))).await.unwrap();
    }
    let own = vec![("Idempotency-Key".to_owned(), "mine".to_owned())];
    way.out.http(&HttpCall { headers: own, ..call("POST", &sink.url("/")) }).await.unwrap();
    let keys: Vec<_> = sink.requests().iter().map(|r| r.header("idempotency-key").unwrap_or("-").to_owned()).collect();
    assert_eq!(keys, ["-", "-", "run-1:3", "run-1:3", "run-1:3", "mine"]);
}

#[tokio::test]
async fn a_secret_goes_to_its_host_and_comes_back_to_nobody() {
    let (way, sink) = (Way::new(""), HttpSink::start().await);
    way.secret("payments", SECRET, "127.0.0.1");
    sink.otherwise(Answer::Echo);
    for (header, sent) in [("Authorization", format!("Bearer {SECRET}")), ("X-Api-Key", SECRET.to_owned())] {
        let reply = way.out.http(&with_secret(&sink.url("/"), "payments", header)).await.unwrap();
        let seen = sink.requests();
        assert_eq!(seen.last().unwrap().header(&header.to_lowercase()), Some(sent.as_str()));
        let back = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body));
        assert!(back.contains(&sent.replace(SECRET, "***")) && !back.contains("sk_live"), "{back}");
    }
    // A later value is used at once.
    way.secret("payments", "another-value", "127.0.0.1");
    way.out.http(&with_secret(&sink.url("/"), "payments", "X-Api-Key")).await.unwrap();
    assert_eq!(sink.requests()[2].header("x-api-key"), Some("another-value"));
}

#[tokio::test]
async fn a_secret_goes_to_no_other_host() {
    let (way, sink) = (Way::new(""), HttpSink::start().await);
    way.secret("payments", SECRET, "api.payments.example");
    for url in [sink.url("/"), "https://api.payments.example.evil.example/".into(), "https://payments.example/".into()]
    {
        let failure = way.out.http(&with_secret(&url, "payments", "Authorization")).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), ("secret_host", false));
        assert!(failure.message.contains("it may go to api.payments.example") && !failure.message.contains(SECRET));
    }
    let failure = way.out.http(&with_secret(&sink.url("/"), "paymnets", "Authorization")).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.retryable), ("unknown_secret", false));
    assert!(failure.message.contains("did you mean `payments`?"));
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn a_webhook_is_signed_and_delivered_or_kept() {
    let sink = HttpSink::start().await;
    let hook = format!("[webhooks.shop]\nurl = \"{}\"\nsecrets = [\"shop\"]\n", sink.url("/hook"));
    let kept = Way::new(&hook);
    assert_eq!(kept.out.send(&webhook("anything")).await.unwrap().status, 250);
    assert!(sink.requests().is_empty());
    let way = Way::new(&format!("outbound.webhook = \"deliver\"\n{hook}"));
    way.secret("shop", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "127.0.0.1");
    sink.script([Answer::status(503).header("retry-after", "9")]);
    let reply = way.out.send(&webhook("shop")).await.unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains(&("retry-after".to_owned(), "9".to_owned())));
    assert_eq!(way.out.send(&webhook("shop")).await.unwrap().status, 200);
    let seen = sink.requests();
    assert_eq!(
        (seen[0].header("webhook-id"), seen[0].header("webhook-timestamp")),
        (Some("run-1:4"), Some("1614265330"))
    );
    assert!(seen[0].header("webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(seen[0].text(), r#"{"type":"order.paid","timestamp":"2026-03-01T02:00:00Z","data":{"amount":7}}"#);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(way.out.send(&webhook("shpo")).await.unwrap_err().code, "unknown_webhook");
}

#[tokio::test]
async fn nothing_leaves_by_http_when_the_operator_says_so() {
    let sink = HttpSink::start().await;
    let hook = format!("[webhooks.shop]\nurl = \"{}\"\nsecrets = [\"shop\"]\n", sink.url("/hook"));
    let way = Way::new(&format!("outbound.enabled = false\noutbound.webhook = \"deliver\"\n{hook}"));
    assert_eq!(way.out.http(&call("GET", &sink.url("/"))).await.unwrap_err().code, "disabled");
    assert_eq!(way.out.send(&webhook("shop")).await.unwrap_err().code, "disabled");
    assert_eq!(way.out.route("webhook", "shop").unwrap_err().code, "disabled");
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn a_channel_that_is_none_is_named_with_the_nearest() {
    let way = Way::new("");
    let failure = way.out.route("emial", "ada@example.org").unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("unknown_channel", "there is no channel `emial`: did you mean `email`?")
    );
    assert_eq!(
        way.out.send(&Message { channel: "fax".into(), ..webhook("x") }).await.unwrap_err().code,
        "unknown_channel"
    );
    assert_eq!(way.out.route("email", "ada@example.org").unwrap().destination, "capture");
}

#[test]
fn nothing_outside_this_folder_dials() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.clone()];
    let mut dialling = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            let own = entry.strip_prefix(&source).unwrap().display().to_string();
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let text = std::fs::read_to_string(&entry).unwrap_or_default();
            let dials = [
                "TcpStream::connect",
                "lookup_host",
                "UdpSocket",
                "to_socket_addrs",
                "connect_tokio1",
                "Agent::",
                "UnixStream",
            ];
            if !own.ends_with("tests.rs") && dials.iter().any(|word| text.contains(word)) {
                dialling.push(own);
            }
        }
    }
    dialling.sort();
    assert_eq!(dialling, ["client.rs", "outbound/door.rs", "outbound/mail.rs", "outbound/resolver.rs"]);
}
