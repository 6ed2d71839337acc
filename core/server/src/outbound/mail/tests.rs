//! Mail as a reader sees it, and what a mail server's answers mean.

use rapport_test_support::{SmtpAnswer, SmtpSink};
use serde_json::Value as Json;

use super::*;

pub(super) fn message() -> Message {
    Message {
        key: "run-1:3".into(),
        channel: "email".into(),
        to: "ada@example.org".into(),
        template: "welcome".into(),
        subject: "Grüße".into(),
        text: "Dear Ada,\n.a line with a dot\nwelcome 🎉\n".into(),
        html: Some("<p>Dear <b>Ada</b></p>".into()),
        data: Json::Null,
        created_at: "2026-03-01T02:00:00Z".parse().unwrap(),
    }
}

pub(super) fn settings(port: u16) -> EmailConfig {
    EmailConfig {
        channel: EmailChannel::Smtp,
        smtp_host: "127.0.0.1".into(),
        smtp_port: port,
        security: EmailSecurity::None,
        from: "Käthe's \"Shop\" <shop@shop.example>".into(),
        ..EmailConfig::default()
    }
}

fn mail(port: u16) -> Mail {
    Mail::new(&EmailConfig { from: "Shop <shop@shop.example>".into(), ..settings(port) }).unwrap()
}

fn composed(message: &Message) -> String {
    let from = "Shop <shop@shop.example>".parse().unwrap();
    String::from_utf8(compose(&from, message).unwrap().1).unwrap()
}

/// The names of the headers.
fn headers(mail: &str) -> Vec<String> {
    let head = mail.split("\r\n\r\n").next().unwrap();
    let names = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    names.map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_mail_has_text_and_html_and_says_who_when_and_which() {
    let sink = SmtpSink::start().await;
    let reply = mail(sink.port()).send(&message()).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (250, &b"2.0.0 taken"[..]));
    let seen = &sink.mails()[0];
    assert_eq!((seen.from.as_str(), seen.to[0].as_str()), ("shop@shop.example", "ada@example.org"));
    assert_eq!(seen.header("message-id").unwrap(), "<run-1=3a3@shop.example>");
    assert_eq!(seen.header("from").unwrap(), "Shop <shop@shop.example>");
    assert_eq!(seen.header("to").unwrap(), "ada@example.org");
    assert_eq!(seen.header("date").unwrap(), "Sun, 01 Mar 2026 02:00:00 +0000");
    assert_eq!(seen.header("subject").unwrap(), "=?utf-8?b?R3LDvMOfZQ==?=");
    assert!(seen.header("content-type").unwrap().starts_with("multipart/alternative;"));
    let (text, html) = (seen.data.find("text/plain").unwrap(), seen.data.find("text/html").unwrap());
    assert!(text < html && seen.data.contains("<b>Ada</b>"), "{}", seen.data);
}

#[test]
fn the_same_message_is_the_same_mail_to_the_byte() {
    assert_eq!(composed(&message()), composed(&message()));
    let other = Message { key: "run-1:4".into(), ..message() };
    assert_ne!(composed(&message()), composed(&other));
}

#[test]
fn a_mail_without_html_is_plain_text() {
    let plain = composed(&Message { html: None, text: "Hello".into(), ..message() });
    assert!(plain.contains("Content-Type: text/plain; charset=utf-8") && !plain.contains("multipart"), "{plain}");
}

#[test]
fn no_field_puts_a_line_into_the_head() {
    let usual = headers(&composed(&message()));
    for evil in [
        "x\r\nBcc: all@example.org",
        "x\nBcc: y@example.org",
        "x\r\n\r\nbody",
        "x\rBcc: y@e.org",
        "x\u{2028}Bcc: y",
        "x\0y",
        "\u{85}Bcc: y",
    ] {
        let by_subject = composed(&Message { subject: evil.into(), ..message() });
        // Not even in a coded form, which the reader's program would decode.
        assert!(!one_line(evil).contains(|c: char| c.is_control() || c == '\u{2028}'), "{evil:?}");
        let by_key = composed(&Message { key: evil.into(), ..message() });
        assert_eq!((headers(&by_subject), headers(&by_key)), (usual.clone(), usual.clone()), "{evil:?}");
    }
    let by_text = composed(&Message { text: "\r\n.\r\nMAIL FROM:<evil@example.org>\r\n".into(), ..message() });
    assert_eq!(headers(&by_text), usual);
}

#[tokio::test]
async fn no_text_ends_the_data_early() {
    let sink = SmtpSink::start().await;
    let evil = "one\r\n.\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\ntwo\r\n.\r\n";
    for text in [evil.to_owned(), evil.replace("\r\n", "\n"), evil.replace("\r\n", "\r")] {
        mail(sink.port()).send(&Message { text, html: None, ..message() }).await.unwrap();
    }
    let seen = sink.mails();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|mail| mail.to == ["ada@example.org"]));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_being_repeated() {
    let sink = SmtpSink::start().await;
    let mail = mail(sink.port());
    for to in [
        "",
        "ada",
        "ada@",
        "@example.org",
        "ada example@example.org",
        "ada@example.org\r\nDATA",
        "ada@example.org>",
        "ada@example.org,eve@example.org",
        "Ada <ada@example.org>",
        "ada@exa mple.org",
        "ada@example.org\0",
        "ada@-.org",
    ] {
        let failure = mail.route(to).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), ("invalid_address", false), "{to:?}");
        assert!(!failure.message.contains("example.org"));
        assert_eq!(mail.send(&Message { to: to.into(), ..message() }).await.unwrap_err(), failure);
        assert_eq!(Mail::Capture.route(to).unwrap_err(), failure);
    }
    assert_eq!(sink.connections(), 0);
    assert_eq!(mail.route("ada@example.org").unwrap().destination, format!("smtp://127.0.0.1:{}", sink.port()));
    assert_eq!(Mail::Capture.route("ada@example.org").unwrap().destination, "capture");
}

#[tokio::test]
async fn a_domain_in_any_script_is_sent_in_its_ascii_form() {
    let sink = SmtpSink::start().await;
    mail(sink.port()).send(&Message { to: "ada@bücher.example".into(), ..message() }).await.unwrap();
    assert_eq!(sink.mails()[0].to, ["ada@xn--bcher-kva.example"]);
}

#[tokio::test]
async fn a_servers_answer_says_whether_to_try_again() {
    let sink = SmtpSink::start().await;
    let mail = mail(sink.port());
    for (answer, code, retryable) in [
        (SmtpAnswer::refuse_sender(421, "busy"), "smtp_deferred", true),
        (SmtpAnswer::refuse_recipient(451, "4.3.0 later"), "smtp_deferred", true),
        (SmtpAnswer::refuse_recipient(550, "5.1.1 <ada@example.org>: unknown"), "smtp_refused", false),
        (SmtpAnswer::refuse_data(554, "5.7.1 spam"), "smtp_refused", false),
        (SmtpAnswer::refuse_data(452, "4.3.1 full"), "smtp_deferred", true),
        (SmtpAnswer::CloseAfterData, "broken_answer", true),
        (SmtpAnswer::Close, "unreachable", true),
    ] {
        sink.script([answer.clone()]);
        let failure = mail.send(&message()).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), (code, retryable), "{answer:?}: {failure}");
        assert!(failure.message.contains("smtp://127.0.0.1:") && !failure.message.contains("ada@"), "{failure}");
    }
    let lost = &sink.mails()[0];
    assert!(!lost.acknowledged);
    mail.send(&message()).await.unwrap();
    assert_eq!(sink.mails()[1].data, lost.data);
}

#[tokio::test]
async fn a_server_that_is_silent_hits_the_deadline_and_one_that_has_the_mail_does_not() {
    let sink = SmtpSink::start().await;
    let mail = Mail::new(&EmailConfig { timeout_ms: 300, ..settings(sink.port()) }).unwrap();
    sink.script([SmtpAnswer::Hang]);
    assert_eq!(mail.send(&message()).await.unwrap_err().code, "timeout");
    sink.script([SmtpAnswer::HangAfterData]);
    assert_eq!(mail.send(&message()).await.unwrap().status, 250);
}

#[tokio::test]
async fn a_server_without_tls_gets_no_mail_that_is_to_be_guarded() {
    let sink = SmtpSink::start().await;
    for security in [EmailSecurity::Starttls, EmailSecurity::Tls] {
        let settings = EmailConfig { security, timeout_ms: 2_000, ..settings(sink.port()) };
        let failure = Mail::new(&settings).unwrap().send(&message()).await.unwrap_err();
        assert!(failure.retryable, "{failure}");
    }
    assert!(sink.mails().is_empty());
}

#[test]
fn what_is_missing_in_the_configuration_is_named() {
    let refusal = |config: EmailConfig| Mail::new(&config).err().unwrap().to_string();
    assert!(refusal(EmailConfig { smtp_host: String::new(), ..settings(25) }).contains("email.smtp_host"));
    for from in ["", "shop", "Shop", "shop@", "a@b.c\r\nBcc: d@e.f"] {
        assert!(refusal(EmailConfig { from: from.into(), ..settings(25) }).contains("email.from"), "{from:?}");
    }
    let clear = EmailConfig { user: "shop".into(), password: crate::config::Secret::new("s3cret"), ..settings(25) };
    let said = refusal(clear);
    assert!(said.contains("email.security") && !said.contains("s3cret"), "{said}");
}

/// RFC 3834: programs that answer mails by themselves leave such a one alone, and so two of them never answer each other for ever.
#[test]
fn a_mail_says_that_a_program_has_sent_it() {
    assert!(composed(&message()).contains("\r\nAuto-Submitted: auto-generated\r\n"));
}
