//! The sink records what comes and answers as it is told.

use super::*;

/// Says each line once the server has spoken, and gives what it said.
async fn talk(sink: &SmtpSink, lines: &[&str]) -> Vec<String> {
    let mut stream = BufReader::new(TcpStream::connect(sink.address()).await.unwrap());
    let mut said = Vec::new();
    for line in std::iter::once(&"").chain(lines) {
        if !line.is_empty() {
            stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        }
        let mut answer = String::new();
        let _ = stream.read_line(&mut answer).await;
        said.push(answer.trim_end().to_owned());
    }
    said
}

const MAIL: [&str; 5] = [
    "HELO me",
    "MAIL FROM:<shop@example.com>",
    "RCPT TO:<ada@example.com>",
    "DATA",
    "Subject: Hi\r\n there\r\n\r\n..dot\r\n.",
];

#[tokio::test]
async fn a_mail_is_recorded_with_its_envelope() {
    let sink = SmtpSink::start().await;
    let said = talk(&sink, &MAIL).await;
    assert_eq!(said, ["220 sink", "250 ok", "250 ok", "250 ok", "354 go on", "250 2.0.0 taken"]);
    let mail = &sink.wait_for(1, Duration::from_secs(5)).await[0];
    assert_eq!((mail.from.as_str(), &mail.to[..]), ("shop@example.com", &["ada@example.com".to_owned()][..]));
    assert_eq!((mail.header("subject").as_deref(), mail.parts().1), (Some("Hi there"), ".dot\r\n"));
    assert!(mail.acknowledged);
}

#[tokio::test]
async fn a_script_refuses_and_breaks_off() {
    let sink = SmtpSink::start().await;
    sink.script([
        SmtpAnswer::refuse_sender(451, "later"),
        SmtpAnswer::refuse_recipient(550, "unknown"),
        SmtpAnswer::refuse_data(554, "spam"),
        SmtpAnswer::CloseAfterData,
        SmtpAnswer::Close,
    ]);
    assert_eq!(talk(&sink, &MAIL[..2]).await[2], "451 later");
    assert_eq!(talk(&sink, &MAIL[..3]).await[3], "550 unknown");
    assert_eq!(talk(&sink, &MAIL).await[5], "554 spam");
    assert!(sink.mails().is_empty());
    assert_eq!(talk(&sink, &MAIL).await[5], "");
    assert!(!sink.mails()[0].acknowledged);
    assert_eq!(talk(&sink, &[]).await, [""]);
    assert_eq!(sink.connections(), 5);
}
