//! Mail at the desk, as a mail server passes it on: on the right ticket, once, from whoever may write there; and what is hostile.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rapport_test_support::SmtpSink;
use serde_json::{Value, json};

use crate::client::{Client, Request, with_query};
use crate::desk::{act, ask, customer, desk, said, templates, ticket};
use crate::effects::smtp;
use crate::harness::{Database, Setup, TestApp, on_both};
use crate::routes::{KEY, NOON, signed_as};
use crate::waiting::{clock, later};

on_both!(
    a_mail_becomes_a_ticket_and_its_answers_thread_to_it,
    a_stranger_who_knows_an_id_gets_a_ticket_of_its_own,
    an_answer_to_a_closed_ticket_opens_one_that_follows,
    the_same_mail_counts_once_however_often_it_is_passed_on,
    machines_are_not_answered_and_move_nothing,
    two_machines_that_answer_each_other_come_to_an_end,
    a_text_in_another_or_a_wrong_charset_is_read,
    a_message_that_would_explode_is_refused_and_leaves_nothing,
    a_mail_that_is_not_signed_is_not_taken,
    what_is_attached_comes_in_only_if_it_is_what_it_says,
    a_large_mail_comes_in_as_a_file,
);

fn office(database: Database, settings: &str) -> Setup {
    desk(database, settings).secret("desk-mail", KEY).clock(clock())
}

fn request(name: &str, seconds: i64, raw: &[u8]) -> Request {
    signed_as("/x/desk/mail", (KEY, name), seconds, ("message/rfc822", raw))
}

/// Passes a message on under this name; gives the status and what is said.
async fn pass(client: &Client, name: &str, raw: impl AsRef<[u8]>) -> (u16, Value) {
    let reply = client.without_key().send(request(name, NOON, raw.as_ref())).await;
    (reply.status, reply.json())
}

/// The same for a message that is taken.
async fn take(client: &Client, name: &str, raw: impl AsRef<[u8]>) -> Value {
    let (status, told) = pass(client, name, raw).await;
    assert_eq!((status, &told["result"]), (200, &json!("ok")), "{name}: {told}");
    told
}

/// A message of Ada's with this id, these more headers, and this text.
fn ada(id: &str, headers: &str, text: &str) -> String {
    format!(
        "From: Ada Lovelace <Ada@x.example>\r\nTo: desk@shop.example\r\nMessage-ID: <{id}@x.example>\r\n{headers}\r\n{text}\r\n"
    )
}

/// How much there is of tickets, comments, files, runs and mails.
async fn state(app: &TestApp) -> [usize; 5] {
    let files = app.get("/v1/files?limit=1000").await.expect(200).items().len();
    let mails = app.get("/v1/messages?limit=1000").await.expect(200).items().len();
    [app.all("ticket").await.len(), app.all("ticket_comment").await.len(), files, app.runs("").await.len(), mails]
}

async fn a_mail_becomes_a_ticket_and_its_answers_thread_to_it(database: Database) {
    let sink = SmtpSink::start().await;
    let app = office(database, "").configure(smtp(&sink)).start().await;
    templates(&app).await;
    customer(&app, "ada", 0).await;
    let first = ada("m1", "Subject: Broken lamp\r\n", "It broke.\r\n-- \r\nAda, Countess");
    let told = take(&app, "1", &first).await;
    assert_eq!(
        (&told["number"], &told["threaded"], &told["automatic"]),
        (&json!("T-1001"), &json!(false), &Value::Null)
    );
    let opened = ticket(&app, "T-1001").await;
    assert_eq!((&opened["subject"], &opened["description"]), (&json!("Broken lamp"), &json!("It broke.")));
    assert_eq!((&opened["channel"], &opened["requester"]), (&json!("mail"), &json!("ada@x.example")));
    assert!(!opened["customer"].is_null(), "she is known: {opened}");
    // What the desk answers goes out; what answers that comes back to its ticket, whatever its subject has become.
    act(&app, "comment", json!({ "ticket": "T-1001", "body": "Which one?" })).await;
    act(&app, "wait", json!({ "ticket": "T-1001" })).await;
    let sent = sink.wait_for(1, Duration::from_secs(20)).await.remove(0);
    assert_eq!(
        (sent.header("subject").as_deref(), &sent.to[..]),
        (Some("[T-1001] Broken lamp"), &["ada@x.example".to_owned()][..])
    );
    let id = sent.header("message-id").unwrap();
    let answer = ada(
        "m2",
        &format!("In-Reply-To: {id}\r\nSubject: Anything\r\n"),
        "The red one.\r\n\r\nOn Monday Shop wrote:\r\n> Which one?",
    );
    let told = take(&app, "2", &answer).await;
    assert_eq!((&told["number"], &told["threaded"], &told["status"]), (&json!("T-1001"), &json!(true), &json!("open")));
    for (name, headers) in
        [("3", "References: <m0@x.example> <m1@x.example>\r\n"), ("4", "Subject: RE: AW: [T-1001] lamp\r\n")]
    {
        let told = take(&app, name, ada(&format!("m{name}"), headers, "And soon, please.")).await;
        assert_eq!((&told["number"], &told["threaded"]), (&json!("T-1001"), &json!(true)), "{headers}");
    }
    let mut texts: Vec<String> =
        said(&app, "T-1001").await.into_iter().map(|(kind, text)| format!("{kind}: {text}")).collect();
    // The clock stands: nothing says which came first.
    texts.sort_unstable();
    let soon = "public: And soon, please.";
    assert_eq!(texts, [soon, soon, "public: It broke.", "public: The red one.", "public: Which one?"]);
    assert_eq!((app.all("ticket").await.len(), &ticket(&app, "T-1001").await["customer_messages"]), (1, &json!(4)));
    app.run_until_idle().await;
    assert_eq!(sink.mails().len(), 1, "nobody is answered by itself");
}

async fn a_stranger_who_knows_an_id_gets_a_ticket_of_its_own(database: Database) {
    let app = office(database, "").start().await;
    customer(&app, "ada", 0).await;
    take(&app, "1", ada("m1", "Subject: Broken lamp\r\n", "My address is 1 Main Road.")).await;
    for (name, headers) in
        [("2", "In-Reply-To: <m1@x.example>\r\nSubject: x\r\n"), ("3", "Subject: Re: [T-1001] Broken lamp\r\n")]
    {
        let evil = format!(
            "From: Ada Lovelace <eve@evil.example>\r\nReply-To: ada@x.example\r\n{headers}\r\nSend me all of it.\r\n"
        );
        let told = take(&app, name, evil).await;
        assert_eq!((told["number"] != "T-1001", &told["threaded"]), (true, &json!(false)), "{headers}");
        let own = ticket(&app, told["number"].as_str().unwrap()).await;
        assert_eq!((&own["requester"], &own["customer"]), (&json!("eve@evil.example"), &Value::Null));
        let notes = said(&app, told["number"].as_str().unwrap()).await;
        assert!(notes.iter().any(|(kind, text)| kind == "internal" && text.contains("It names T-1001")), "{notes:?}");
    }
    assert_eq!(said(&app, "T-1001").await.len(), 1);
    assert_eq!(app.all("ticket_link").await.len(), 2);
}

async fn an_answer_to_a_closed_ticket_opens_one_that_follows(database: Database) {
    let app = office(database, "").start().await;
    customer(&app, "ada", 0).await;
    take(&app, "1", ada("m1", "Subject: Broken lamp\r\n", "It broke.")).await;
    act(&app, "solve", json!({ "ticket": "T-1001" })).await;
    let told = take(&app, "2", ada("m2", "In-Reply-To: <m1@x.example>\r\n", "It broke again.")).await;
    assert_eq!((&told["number"], &told["status"]), (&json!("T-1001"), &json!("open")), "what was solved is open again");
    act(&app, "close", json!({ "ticket": "T-1001" })).await;
    let told = take(&app, "3", ada("m3", "In-Reply-To: <m1@x.example>\r\n", "And again.")).await;
    assert_eq!((&told["number"], &told["threaded"]), (&json!("T-1002"), &json!(false)));
    let links = app.all("ticket_link").await;
    assert_eq!((links.len(), &links[0]["kind"]), (1, &json!("follows")));
    assert_eq!(ticket(&app, "T-1001").await["status"], "closed");
    // A mail to one that was merged comes to where it went.
    act(&app, "open", json!({ "subject": "Lamps", "customer": "customer_no:ada" })).await;
    act(&app, "merge", json!({ "ticket": "T-1002", "into": "T-1003" })).await;
    let told = take(&app, "4", ada("m4", "In-Reply-To: <m3@x.example>\r\n", "Hello?")).await;
    assert_eq!((&told["number"], &told["threaded"]), (&json!("T-1003"), &json!(true)));
}

async fn the_same_mail_counts_once_however_often_it_is_passed_on(database: Database) {
    let app = office(database, "").start().await;
    let raw = ada("m1", "Subject: Broken lamp\r\n", "It broke.");
    let many = (0..10).map(|n| {
        let (client, raw) = ((*app).clone(), raw.clone());
        // Half of them under one name, as a sender does that has heard nothing; the others under names of their own.
        tokio::spawn(async move { pass(&client, &format!("n{}", n / 2 * (n % 2)), raw).await })
    });
    let mut results = Vec::new();
    for one in many.collect::<Vec<_>>() {
        let (status, told) = one.await.unwrap();
        assert_eq!(status, 200, "{told}");
        results.push((told["result"].clone(), told["comment"].as_str().unwrap().to_owned()));
    }
    assert!(
        results.iter().all(|(result, comment)| {
            (*result == "ok" || *result == "duplicate_ignored") && *comment == results[0].1
        }),
        "{results:?}"
    );
    let [tickets, comments, files, _, mails] = state(&app).await;
    assert_eq!((tickets, comments, files, mails), (1, 1, 1, 0));
    // Without an id it is known by its bytes; a forged id of somebody else hides no other.
    let nameless = "From: ada@x.example\r\nSubject: x\r\n\r\nno id\r\n";
    take(&app, "a", nameless).await;
    assert_eq!(pass(&app, "b", nameless).await.1["result"], "duplicate_ignored");
    take(&app, "c", ada("m1", "Subject: mine\r\n", "x").replace("Ada@x", "eve@evil")).await;
    assert_eq!(app.all("ticket").await.len(), 3);
}

async fn machines_are_not_answered_and_move_nothing(database: Database) {
    let app =
        office(database, "acknowledge_template = \"desk.received\"\naddresses = [\"desk@shop.example\"]").start().await;
    templates(&app).await;
    customer(&app, "ada", 0).await;
    take(&app, "1", ada("m1", "Subject: Broken lamp\r\n", "It broke.")).await;
    app.run_until_idle().await;
    let receipts = async || app.get("/v1/messages").await.expect(200).items();
    assert_eq!(receipts().await[0]["subject"], "[T-1001] Broken lamp");
    act(&app, "wait", json!({ "ticket": "T-1001" })).await;
    let signs = [
        "Auto-Submitted: auto-replied",
        "Precedence: bulk",
        "X-Autoreply: yes",
        "Return-Path: <>",
        "List-Id: <n.x.example>",
    ];
    for (n, sign) in signs.iter().enumerate() {
        // On a ticket: a note, and the ticket goes on waiting for an answer.
        let headers = format!("{sign}\r\nIn-Reply-To: <m1@x.example>\r\nSubject: Away\r\n");
        let told = take(&app, &format!("t{n}"), ada(&format!("t{n}"), &headers, "Back on Monday.")).await;
        assert_eq!((&told["number"], &told["status"]), (&json!("T-1001"), &json!("waiting")), "{sign}");
        // Without one: of low priority, marked, and nobody is told.
        let told =
            take(&app, &format!("o{n}"), ada(&format!("o{n}"), &format!("{sign}\r\nSubject: News\r\n"), "Buy.")).await;
        assert!(told["automatic"].is_string(), "{sign}: {told}");
        let own = ticket(&app, told["number"].as_str().unwrap()).await;
        assert_eq!((&own["priority"], &own["tags"]), (&json!("low"), &json!(["automatic"])), "{sign}");
    }
    let notes = said(&app, "T-1001").await;
    assert_eq!(
        notes.iter().filter(|(kind, text)| kind == "internal" && text.starts_with("Back on Monday.")).count(),
        5
    );
    // What the desk has sent itself would go round for ever.
    let before = state(&app).await;
    let own = ada("r1", "Subject: [T-1001]\r\n", "x").replace("Ada@x.example", "DESK@shop.example");
    assert_eq!(pass(&app, "r1", own).await.1["result"], "ignored_loop");
    let [tickets, comments, files, ..] = state(&app).await;
    assert_eq!([tickets, comments, files], before[..3]);
    app.run_until_idle().await;
    assert_eq!(receipts().await.len(), 1);
}

async fn two_machines_that_answer_each_other_come_to_an_end(database: Database) {
    let clock = clock();
    let setup = desk(database, "acknowledge_template = \"desk.received\"\nmails_per_hour = 2");
    let app = setup.secret("desk-mail", KEY).clock(clock.clone()).start().await;
    templates(&app).await;
    // The other one says nowhere that it is a machine.
    for n in 0..10 {
        take(&app, &format!("{n}"), ada(&format!("m{n}"), &format!("Subject: ping {n}\r\n"), "pong")).await;
    }
    app.run_until_idle().await;
    assert_eq!(app.get("/v1/messages").await.expect(200).items().len(), 2);
    let before = state(&app).await;
    let (status, told) = pass(&app, "10", ada("m10", "Subject: ping\r\n", "pong")).await;
    assert_eq!((status, &told["result"]), (429, &json!("rejected_rate")));
    assert_eq!(state(&app).await[..3], before[..3]);
    // Others are heard meanwhile, and the sender again after an hour.
    take(&app, "11", ada("m11", "Subject: x\r\n", "x").replace("Ada@", "grace@")).await;
    later(&clock, "61 minutes");
    let request = request("12", NOON + 61 * 60, ada("m12", "Subject: x\r\n", "x").as_bytes());
    assert_eq!(app.without_key().send(request).await.expect(200).json()["automatic"], Value::Null);
}

async fn a_text_in_another_or_a_wrong_charset_is_read(database: Database) {
    let app = office(database, "").start().await;
    templates(&app).await;
    let gbk: &[u8] = b"\xce\xd2\xd2\xaa\xcd\xcb\xbf\xee";
    let raw = |n: usize, charset: &str, text: &[u8]| {
        let head = ada(
            &format!("m{n}"),
            &format!("Subject: =?GBK?B?zcu/7g==?=\r\nContent-Type: text/plain; charset={charset}\r\n"),
            "",
        );
        [head.trim_end().as_bytes(), b"\r\n\r\n", text].concat()
    };
    let all: [(usize, &str, &[u8], &str); 7] = [
        (1, "GBK", gbk, "我要退款"),
        (2, "gb18030", gbk, "我要退款"),
        (3, "big5", b"\xb0\x68\xb4\xda", "退款"),
        (4, "iso-8859-1", b"gr\xfc\xdfe", "grüße"),
        // What says that it is another one loses its letters, and nothing else.
        (5, "utf-8", b"Ada \xff\xfe\x80 Lovelace", "Ada \u{fffd}"),
        (6, "x-unknown", b"Ada \xff Lovelace", "Ada "),
        (7, "utf-8", b"Ada\x00 Lovelace\x1b[2J", "Ada Lovelace[2J"),
    ];
    for (n, charset, text, shown) in all {
        let told = take(&app, &format!("{n}"), raw(n, charset, text)).await;
        let own = ticket(&app, told["number"].as_str().unwrap()).await;
        assert_eq!(own["subject"], "退款", "{charset}");
        let description = own["description"].as_str().unwrap();
        assert!(description.starts_with(shown), "{charset}: {description:?}");
        assert!(!description.contains(['\0', '\u{1b}']), "{charset}: {description:?}");
    }
    assert_eq!(ticket(&app, "T-1001").await["language"], "zh");
    // What somebody has typed is text wherever it goes.
    let evil = "{{ customer.email }} {% raw %} <script>alert(1)</script> {owner} '; drop table ticket; --";
    let told = take(&app, "8", ada("m8", &format!("Subject: {evil}\r\n"), evil)).await;
    let own = ticket(&app, told["number"].as_str().unwrap()).await;
    assert_eq!((&own["subject"], &own["description"]), (&json!(evil), &json!(evil)));
    act(&app, "comment", json!({ "ticket": told["number"], "body": "Well." })).await;
    app.run_until_idle().await;
    let mail = app.get("/v1/messages").await.expect(200).items().remove(0);
    assert_eq!(mail["subject"], format!("[{}] {evil}", told["number"].as_str().unwrap()));
}

async fn a_message_that_would_explode_is_refused_and_leaves_nothing(database: Database) {
    let app = office(database, "").start().await;
    let part = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let deep: String = (0..60).map(part).collect();
    let wide = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\n\r\n".repeat(5_000));
    let unusual = "Content-Type: multipart/mixed; boundary*0=b; boundary*1=c\r\n\r\n--bc\r\n".to_owned();
    for (name, status, result, raw) in [
        ("deep", 422, "rejected_message", format!("From: ada@x.example\r\n{deep}")),
        ("wide", 422, "rejected_message", format!("From: ada@x.example\r\n{wide}")),
        ("unusual", 422, "rejected_message", format!("From: ada@x.example\r\n{unusual}")),
        ("long", 422, "rejected_message", format!("From: ada@x.example\r\nSubject: {}\r\n\r\nx", "x".repeat(70_000))),
        ("many", 422, "rejected_message", format!("From: ada@x.example\r\n{}\r\nx", "X: y\r\n".repeat(2_000))),
        ("nobody", 422, "rejected_message", "Subject: x\r\n\r\ny".to_owned()),
        ("empty", 422, "rejected_message", " \r\n".to_owned()),
        ("large", 413, "rejected_size", ada("m", "Subject: x\r\n", &"x".repeat(1_000_001))),
    ] {
        let (got, told) = pass(&app, name, raw).await;
        assert_eq!((got, &told["result"]), (status, &json!(result)), "{name}: {told}");
        assert!(told["message"].as_str().is_some_and(|why| why.len() > 20), "{name}: {told}");
    }
    let huge = app.without_key().send(request("huge", NOON, &vec![b'x'; 1_048_577])).await.expect(413);
    assert_eq!(huge.code(), "too_large");
    let [tickets, comments, files, _, mails] = state(&app).await;
    assert_eq!([tickets, comments, files, mails], [0; 4]);
    // A message in a message, however deep, is one attachment.
    let inside = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee there.\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n";
    let nested = format!(
        "From: ada@x.example\r\n{inside}{}x\r\n--b--\r\n",
        "From: a@b.c\r\nContent-Type: message/rfc822\r\n\r\n".repeat(500)
    );
    let told = take(&app, "nested", nested).await;
    assert_eq!(
        (told["files"].as_array().unwrap().len(), &told["files"][1]["media_type"]),
        (2, &json!("message/rfc822"))
    );
}

async fn a_mail_that_is_not_signed_is_not_taken(database: Database) {
    let app = office(database, "").start().await;
    let before = state(&app).await;
    let raw = ada("m1", "Subject: Broken lamp\r\n", "It broke.");
    let plain = || Request::new("POST", "/x/desk/mail").body("message/rfc822", raw.clone());
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for (what, request) in [
        ("no signature", plain()),
        ("another key", signed_as("/x/desk/mail", (other, "1"), NOON, ("message/rfc822", raw.as_bytes()))),
        ("too old", request("1", NOON - 301, raw.as_bytes())),
        ("of the future", request("1", NOON + 301, raw.as_bytes())),
        (
            "nonsense",
            plain().header("webhook-id", "1").header("webhook-timestamp", "x").header("webhook-signature", "v1,x"),
        ),
    ] {
        // The owner's key opens it no more than nobody's.
        for client in [&*app, &app.without_key()] {
            assert_eq!(client.send(request.clone()).await.expect(401).code(), "invalid_signature", "{what}");
        }
    }
    assert_eq!(state(&app).await, before);
    take(&app, "1", &raw).await;
    // Sent again with other bytes under the same name it is refused.
    let forged = app.without_key().send(request("1", NOON, b"From: eve@evil.example\r\n\r\nx")).await.expect(422);
    assert_eq!(forged.code(), "idempotency_key_reused");
    assert_eq!(app.all("ticket").await.len(), 1);
}

/// An archive whose directory says that its file becomes a gigabyte.
fn bomb() -> Vec<u8> {
    let mut entry = vec![0_u8; 46];
    entry[..4].copy_from_slice(b"PK\x01\x02");
    entry[20..24].copy_from_slice(&20_u32.to_le_bytes());
    entry[24..28].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    entry[28..30].copy_from_slice(&5_u16.to_le_bytes());
    let mut end = vec![0_u8; 22];
    end[..4].copy_from_slice(b"PK\x05\x06");
    end[10..12].copy_from_slice(&1_u16.to_le_bytes());
    end[12..16].copy_from_slice(&51_u32.to_le_bytes());
    [b"PK\x03\x04".as_slice(), &entry, b"a.txt", &end].concat()
}

async fn what_is_attached_comes_in_only_if_it_is_what_it_says(database: Database) {
    let app = office(database, "").start().await;
    let picture = b"\x89PNG\r\n\x1a\n\x00\xff picture".as_slice();
    let bomb = bomb();
    let files: [(&str, &str, &[u8], &str); 8] = [
        ("invoice.pdf.exe", "application/pdf", b"%PDF-1.7", "files with `.exe` in their name can be run"),
        ("invoice.exe.pdf", "application/pdf", b"%PDF-1.7", "files with `.exe` in their name can be run"),
        ("invoice.pdf", "application/pdf", b"MZ\x90\x00", "its bytes are those of something else"),
        ("page.html", "text/html", b"<script>", "files with `.html` in their name can be run"),
        ("note.txt", "text/plain", b"<!DOCTYPE html><script>", "its bytes are those of something else"),
        ("photo.png", "text/html", picture, "says that it is `text/html`"),
        ("zeros.zip", "application/zip", &bomb, "unpacked it would have 1073741824 bytes"),
        ("../../photo.png", "image/png", picture, ""),
    ];
    let part = |(name, kind, bytes, _): &(&str, &str, &[u8], &str)| {
        let content = BASE64_STANDARD.encode(bytes);
        let shown = format!("Content-Disposition: attachment; filename=\"{name}\"");
        format!("--b\r\nContent-Type: {kind}\r\n{shown}\r\nContent-Transfer-Encoding: base64\r\n\r\n{content}\r\n")
    };
    let parts: String = files.iter().map(part).collect();
    let raw = ada(
        "m1",
        "Subject: Files\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        &format!("--b\r\n\r\nSee there.\r\n{parts}--b--"),
    );
    let told = take(&app, "1", &raw).await;
    let noted = told["files"].as_array().unwrap();
    assert_eq!((noted.len(), &noted[0]["name"]), (9, &json!("original.eml")));
    for ((name, _, _, why), file) in files.iter().zip(&noted[1..]).take(7) {
        assert!(file["refused"].as_str().unwrap().contains(why) && file["id"].is_null(), "{name}: {file}");
    }
    let notes = said(&app, "T-1001").await;
    let note = notes.iter().find(|(kind, _)| kind == "internal").unwrap();
    assert!(note.1.starts_with("Not all that was attached is kept:") && note.1.lines().count() == 8, "{note:?}");
    // What came in comes out as it was, and belongs to the comment that it came with.
    let of = [("object", "ticket_comment"), ("record", told["comment"].as_str().unwrap())];
    assert_eq!(app.get(&with_query("/v1/files", &of)).await.expect(200).items().len(), 2);
    assert_eq!(noted[8]["name"], "photo.png");
    let content = |file: &Value| format!("/v1/files/{}/content", file["id"].as_str().unwrap());
    let kept = app.get(&content(&noted[8])).await.expect(200);
    assert_eq!((kept.body.as_slice(), kept.header("content-type")), (picture, Some("image/png")));
    assert_eq!(kept.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    let original = app.get(&content(&noted[0])).await.expect(200);
    assert_eq!((original.text(), original.header("content-type")), (raw, Some("message/rfc822")));
    app.without_key().get(&content(&noted[8])).await.expect(401);
    assert_eq!(app.get("/v1/files").await.expect(200).items().len(), 2, "nothing else is kept");
}

async fn a_large_mail_comes_in_as_a_file(database: Database) {
    // As the limits are by default.
    let app = office(database, "").start().await;
    let report = [b"%PDF-1.7".as_slice(), &vec![7; 400_000]].concat();
    let pdf = BASE64_STANDARD.encode(&report);
    let part = "--b\r\nContent-Type: application/pdf; name=\"report.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let padding = "x".repeat(1_000_000);
    let body =
        format!("--b\r\n\r\nSee there.\r\n{part}{pdf}\r\n--b\r\nContent-Type: text/x-pad\r\n\r\n{padding}\r\n--b--");
    let raw = ada("m1", "Subject: Report\r\nContent-Type: multipart/mixed; boundary=b\r\n", &body);
    let put = async |raw: &str| {
        let path = with_query("/v1/files", &[("name", "in.eml")]);
        let kept = app.send(Request::new("POST", &path).body("message/rfc822", raw)).await.expect(201).json();
        kept["id"].as_str().unwrap().to_owned()
    };
    let told = act(&app, "mail_in", json!({ "file": put(&raw).await })).await;
    let noted = told["files"].as_array().unwrap();
    let kept = noted.iter().find(|file| file["name"] == "report.pdf").unwrap();
    let content = format!("/v1/files/{}/content", kept["id"].as_str().unwrap());
    assert_eq!(app.get(&content).await.expect(200).body, report);
    assert_eq!(ask(&app, "mail_in", json!({ "file": put(&raw).await })).await["result"], "duplicate_ignored");
    let larger = ada("m2", "Subject: x\r\n", &"x".repeat(3_500_001));
    assert_eq!(ask(&app, "mail_in", json!({ "file": put(&larger).await })).await["result"], "rejected_size");
    assert_eq!(app.all("ticket").await.len(), 1);
}
