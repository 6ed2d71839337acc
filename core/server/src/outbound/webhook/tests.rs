//! Signatures against the specification, and what is wrong with webhooks and keys.

use super::super::NamedSecret;
use super::*;

fn config(text: &str) -> Config {
    toml::from_str(text).unwrap()
}

fn secrets() -> (tempfile::TempDir, Secrets) {
    let data = tempfile::tempdir().unwrap();
    let secrets = Secrets::new(data.path());
    let set = |name: &str, value: &str| {
        secrets.set(name, &NamedSecret::new(value, &["shop.example".to_owned()]).unwrap()).unwrap();
    };
    set("current", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    set("older", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    set("plain", "no key of a webhook");
    set("short", "whsec_c2hvcnQ=");
    (data, secrets)
}

fn message() -> Message {
    Message {
        key: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
        channel: "webhook".into(),
        to: "shop".into(),
        template: "order.paid".into(),
        subject: String::new(),
        text: String::new(),
        html: None,
        data: serde_json::json!({"amount": 7}),
        created_at: "2026-03-01T02:00:00Z".parse().unwrap(),
    }
}

fn request(keys: &str, message: &Message) -> Result<Outgoing, Failure> {
    let (_data, secrets) = secrets();
    let text = format!("[webhooks.shop]\nurl = \"https://shop.example/hook\"\nsecrets = {keys}\n");
    let webhooks = Webhooks::new(&config(&text)).unwrap();
    webhooks.find("shop")?.request(message, &secrets, Timestamp::from_micros(1_614_265_330_999_999))
}

#[test]
fn the_signature_is_the_one_that_the_specification_publishes() {
    let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_webhook_is_posted_with_id_time_and_a_signature_of_each_key() {
    let request = request("[\"current\", \"older\"]", &message()).unwrap();
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "/hook"));
    assert_eq!(header("webhook-id"), "msg_p5jXN8AQM9LWM0D4loKWxJek");
    assert_eq!(header("webhook-timestamp"), "1614265330");
    assert_eq!(header("content-type"), "application/json");
    assert!(!request.headers().contains_key("idempotency-key"));
    let body = br#"{"type":"order.paid","timestamp":"2026-03-01T02:00:00Z","data":{"amount":7}}"#;
    let of =
        |key: &str| sign(&BASE64_STANDARD.decode(key).unwrap(), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
    let both = [of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), of("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")];
    assert_eq!(header("webhook-signature"), both.join(" "));
}

#[test]
fn a_key_that_is_missing_or_none_is_named() {
    for (keys, code, said) in [
        ("[\"currant\"]", "unknown_secret", "did you mean `current`?"),
        ("[\"current\", \"plain\"]", "invalid_secret", "`plain`"),
        ("[\"short\"]", "invalid_secret", "24 to 64 bytes"),
    ] {
        let failure = request(keys, &message()).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), (code, false));
        assert!(failure.message.contains(said), "{failure}");
    }
}

#[test]
fn a_key_of_a_message_injects_no_header() {
    let failure = request("[\"current\"]", &Message { key: "a\r\nx: y".into(), ..message() }).unwrap_err();
    assert_eq!(failure.code, "invalid_request");
}

#[test]
fn a_webhook_that_cannot_be_is_named_at_the_start() {
    for (text, said) in [
        ("[webhooks.shop]\nurl = \"https://shop.example/\"\n", "no key to sign with"),
        ("[webhooks.shop]\nsecrets = [\"a\"]\n", "cannot be called"),
        ("[webhooks.shop]\nurl = \"ftp://shop.example/\"\nsecrets = [\"a\"]\n", "`ftp` is not spoken"),
        ("[webhooks.shop]\nurl = \"http://localhost/\"\nsecrets = [\"a\"]\n", "is not called"),
    ] {
        let error = Webhooks::new(&config(text)).err().unwrap().to_string();
        assert!(error.starts_with("the configuration's [webhooks.shop]: ") && error.contains(said), "{error}");
    }
}

#[test]
fn a_route_leads_to_the_configured_host_or_to_the_nearest_name() {
    let text = "[webhooks.shop]\nurl = \"https://shop.example/hook\"\nsecrets = [\"current\"]\n";
    let captured = Webhooks::new(&config(text)).unwrap();
    assert_eq!(captured.route("anything").unwrap().destination, "capture");
    let delivered = Webhooks::new(&config(&format!("outbound.webhook = \"deliver\"\n{text}"))).unwrap();
    assert_eq!(delivered.route("shop").unwrap().destination, "https://shop.example:443");
    let near = delivered.route("shpo").unwrap_err();
    assert_eq!(
        (near.code.as_str(), near.message.as_str()),
        ("unknown_webhook", "there is no webhook `shpo`: did you mean `shop`?")
    );
    assert!(delivered.route("erp").unwrap_err().message.contains("[webhooks.erp]"));
}
