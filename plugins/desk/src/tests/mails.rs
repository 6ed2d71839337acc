use rapport_sdk::{Fields, fake};
use serde_json::json;

use super::shop::{at, call, mail, open, ticket};

fn from(who: &str, id: &str, more: &str) -> String {
    format!("From: {who}\r\nMessage-ID: <{id}>\r\n{more}\r\nText")
}

/// A ticket of Ada's that came by mail and was answered; gives the `Message-ID` of the answer.
fn answered() -> String {
    open();
    let _ = fake::insert("customer", Fields::new().with("name", "Ada").with("email", "ada@x.example"));
    assert_eq!(mail(&from("ada@x.example", "m1@x", "Subject: Broken\r\n"))["number"], "T-1001");
    call("comment", json!({ "ticket": "T-1001", "body": "Which one?" }));
    let sent = fake::all("ticket_comment").into_iter().find_map(|comment| comment.text("message").unwrap());
    format!("{}@shop.example", sent.unwrap())
}

#[test]
fn an_answer_finds_its_ticket_by_what_it_answers() {
    let sent = answered();
    let told = mail(&from("ada@x.example", "m2@x", &format!("In-Reply-To: <{sent}>\r\nSubject: Anything\r\n")));
    assert_eq!((told["number"].as_str(), told["threaded"].as_bool()), (Some("T-1001"), Some(true)));
    assert_eq!(ticket("T-1001").int("customer_messages").unwrap(), Some(2));
}

#[test]
fn a_stranger_with_a_forged_reference_gets_a_ticket_of_its_own() {
    let sent = answered();
    for (id, more) in [("e1@x", format!("References: <{sent}>\r\n")), ("e2@x", "Subject: Re: [T-1001]\r\n".into())] {
        let told = mail(&from("eve@evil.example", id, &more));
        assert_eq!((told["threaded"].as_bool(), told["number"] != "T-1001"), (Some(false), true), "{id}");
    }
    assert_eq!(ticket("T-1001").int("customer_messages").unwrap(), Some(1));
    assert_eq!(fake::all("ticket_link").len(), 2);
}

#[test]
fn the_same_message_comes_in_once_and_a_forged_id_hides_no_other() {
    answered();
    assert_eq!(mail(&from("ada@x.example", "m1@x", ""))["result"], "duplicate_ignored");
    assert_eq!(mail(&from("eve@evil.example", "m1@x", ""))["result"], "ok");
    let nameless = "From: ada@x.example\r\n\r\nno id";
    assert_eq!(mail(nameless)["result"], "ok");
    assert_eq!(mail(nameless)["result"], "duplicate_ignored");
}

#[test]
fn two_machines_do_not_answer_each_other() {
    open();
    fake::set("acknowledge_template", "desk.received");
    for (id, header) in
        ["Auto-Submitted: auto-generated", "Precedence: bulk", "List-Id: <x>", "Return-Path: <>"].iter().enumerate()
    {
        let told = mail(&from("bot@x.example", &format!("{id}@x"), &format!("{header}\r\n")));
        assert!(told["automatic"].is_string(), "{header}");
    }
    assert!(fake::sent().is_empty());
    mail(&from("ada@x.example", "p@x", ""));
    assert_eq!(fake::sent().len(), 1);
}

#[test]
fn a_flood_is_answered_for_a_while_then_taken_then_refused() {
    open();
    fake::set("acknowledge_template", "desk.received");
    fake::set("mails_per_hour", 3);
    let results: Vec<_> =
        (0..17).map(|n| mail(&from("bot@x.example", &format!("{n}@x"), ""))["result"].clone()).collect();
    assert_eq!(results.iter().filter(|result| **result == "ok").count(), 15);
    assert_eq!((results[15].as_str(), fake::sent().len()), (Some("rejected_rate"), 3));
    at(3_601);
    assert_eq!(mail(&from("bot@x.example", "later@x", ""))["result"], "ok");
}

#[test]
fn long_messages_without_an_id_are_told_apart_wherever_they_differ() {
    open();
    let body = "It broke once more.\r\n".repeat(5_000);
    let long = |letter: &str, at: usize| {
        let mut body = body.clone();
        body.replace_range(at..=at, letter);
        format!("From: ada@x.example\r\n\r\n{body}")
    };
    for (letter, at) in [("x", 0), ("x", 50_001), ("y", 50_001), ("x", 50_002), ("x", 99_990)] {
        assert_eq!(mail(&long(letter, at))["result"], "ok", "{letter} at {at}");
        assert_eq!(mail(&long(letter, at))["result"], "duplicate_ignored", "{letter} at {at}");
    }
}

#[test]
fn the_text_of_a_message_that_fills_a_slice_is_cut_and_the_message_is_kept() {
    open();
    let told = mail(&format!("From: ada@x.example\r\n\r\n{}", "长".repeat(333_000)));
    assert_eq!((told["result"].as_str(), told["files"][0]["size"].as_u64()), (Some("ok"), Some(999_023)));
    let text = ticket("T-1001").text("description").unwrap().unwrap();
    assert!(text.len() > 7_000 && 2 * text.len() + 999_023 < 1 << 20, "{}", text.len());
}

#[test]
fn what_takes_too_long_to_decode_stays_in_the_original() {
    open();
    let part = |name: &str, text: &str| {
        format!(
            "--b\r\nContent-Type: text/csv; name={name}\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text}\r\n"
        )
    };
    let parts = part("long.csv", &"=41=42=43\r\n".repeat(40_000)) + &part("short.csv", "a;b");
    let told = mail(&format!("From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n"));
    assert!(told["files"][1]["refused"].as_str().unwrap().contains("too long"), "{told}");
    assert_eq!((told["files"][0]["original"].as_bool(), told["files"][2]["size"].as_u64()), (Some(true), Some(3)));
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    open();
    let part = |n: i32| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let deep: String = (0..60).map(part).collect();
    let parts = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\n".repeat(5_000));
    let nested = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_owned();
    for (why, body) in [("deep", &deep), ("parts", &parts)] {
        let told = mail(&format!("From: a@b.example\r\n{body}"));
        assert_eq!(told["result"], "rejected_message", "{why}");
        assert!(told["message"].as_str().unwrap().contains(why), "{told}");
    }
    let large = format!("From: a@b.example\r\n\r\n{}", "x".repeat(1_000_000));
    assert_eq!(mail(&large)["result"], "rejected_size");
    assert!(fake::all("ticket").is_empty() && fake::all("ticket_comment").is_empty() && fake::jobs().is_empty());
    assert_eq!(mail(&format!("From: a@b.example\r\n{nested}{}", "QUJD".repeat(1_000)))["result"], "ok");
}

#[test]
fn syntax_in_names_and_texts_stays_text() {
    open();
    let evil = "{{ customer.email }} ${1+1} <script>alert(1)</script> {owner} '; drop table ticket; --";
    let raw = format!("From: \"{evil}\" <ada@x.example>\r\nSubject: {evil}\r\n\r\n{evil}");
    mail(&raw);
    let kept = ticket("T-1001");
    assert_eq!(
        (kept.text("subject").unwrap().as_deref(), kept.text("description").unwrap().as_deref()),
        (Some(evil), Some(evil))
    );
}
