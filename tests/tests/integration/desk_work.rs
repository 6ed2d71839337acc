//! What is done with tickets: opened by many at once, answered from templates, worked on by macros, merged, taken back; and what those
//! who are nobody cannot reach.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::client::{Request, with_query};
use crate::desk::{act, ask, customer, desk, said, templates, ticket};
use crate::harness::{Database, TestApp, on_both};

on_both!(
    tickets_that_are_opened_at_once_have_numbers_of_their_own,
    a_canned_answer_is_filled_in_once,
    a_macro_does_all_of_its_steps_or_none,
    two_tickets_become_one,
    what_two_customers_wrote_is_not_merged,
    a_file_that_does_not_come_in_is_gone,
    an_opening_that_is_taken_back_leaves_no_number_twice,
    whoever_has_no_key_reaches_nothing_but_the_knowledge_base,
);

async fn tickets_that_are_opened_at_once_have_numbers_of_their_own(database: Database) {
    let app = desk(database, "").start().await;
    for number in 0..4 {
        app.customer(&number.to_string()).await;
    }
    // Half of them know no customer; four are about the same thing.
    let all = (0..20).map(|n| {
        let mut input = json!({ "subject": format!("s{n}") });
        if n % 2 == 0 {
            input["customer"] = format!("customer_no:{}", n % 4).into();
        }
        if n >= 16 {
            input["key"] = "the same".into();
        }
        let client = (*app).clone();
        tokio::spawn(async move { ask(&client, "open", input).await })
    });
    let (mut numbers, mut known) = (Vec::new(), 0);
    for one in all.collect::<Vec<_>>() {
        let told = one.await.unwrap();
        known += usize::from(told["result"] == "duplicate_ignored");
        numbers.push(told["number"].as_str().unwrap().to_owned());
    }
    numbers.sort_unstable();
    numbers.dedup();
    let expected: Vec<String> = (1..=17).map(|n| format!("T-{}", 1_000 + n)).collect();
    assert_eq!((numbers, known, app.all("ticket").await.len()), (expected, 3, 17));
}

async fn a_canned_answer_is_filled_in_once(database: Database) {
    let app = desk(database, "").start().await;
    templates(&app).await;
    let ada = json!({ "customer_no": "ada", "name": "{owner} <b>{{ number }}", "email": "ada@x.example" });
    app.post("/v1/records/customer", ada).await.expect(201);
    let canned = [
        json!({ "name": "hi", "en": "Dear {customer.name}, about {ticket.number}: {ticket.subject}", "zh": "{customer.name}，您好" }),
        json!({ "name": "wrong", "en": "Dear {custmer.name}" }),
    ];
    for answer in canned {
        app.post("/v1/records/canned_answer", answer).await.expect(201);
    }
    act(&app, "open", json!({ "subject": "{% if 1 %}", "customer": "customer_no:ada" })).await;
    let text = "Dear {owner} <b>{{ number }}, about T-1001: {% if 1 %}";
    // Looked at, it sends nothing.
    assert_eq!(act(&app, "canned", json!({ "ticket": "T-1001", "name": "hi" })).await["text"], text);
    assert!(said(&app, "T-1001").await.is_empty());
    act(&app, "canned", json!({ "ticket": "T-1001", "name": "hi", "send": true })).await;
    act(&app, "canned", json!({ "ticket": "T-1001", "name": "hi", "language": "zh", "send": true })).await;
    let chinese = "{owner} <b>{{ number }}，您好";
    let public = |text: &str| ("public".to_owned(), text.to_owned());
    assert_eq!(said(&app, "T-1001").await, [public(text), public(chinese)]);
    app.run_until_idle().await;
    let mails = app.get("/v1/messages").await.expect(200).items();
    let sent = |text: &str| mails.iter().any(|mail| mail["text"].as_str().unwrap().starts_with(text));
    assert!(mails.len() == 2 && sent(text) && sent(chinese), "{mails:?}");
    let wrong = ask(&app, "canned", json!({ "ticket": "T-1001", "name": "wrong", "send": true })).await;
    assert_eq!(wrong["result"], "rejected_unknown");
    assert!(wrong["message"].as_str().unwrap().contains("`{custmer.name}`; known are customer.FIELD"), "{wrong}");
}

async fn a_macro_does_all_of_its_steps_or_none(database: Database) {
    let wrong = "//! Comments, then goes where nobody can.\nfn steps(ticket, customer, input) {\n    \
                 [#{ \"do\": \"comment\", body: \"half\" }, #{ \"do\": \"tag\", tags: [\"half\"] }, #{ \"do\": \"dance\" }]\n}\n";
    let setup = desk(database, "").own_script("desk/macros/apologise").script("desk/macros/wrong", wrong);
    let app = setup.start().await;
    templates(&app).await;
    customer(&app, "ada", 0).await;
    let sorry = json!({ "name": "sorry", "en": "Sorry, {customer.name}.", "zh": "抱歉" });
    app.post("/v1/records/canned_answer", sorry).await.expect(201);
    act(&app, "open", json!({ "subject": "Broken", "customer": "customer_no:ada" })).await;
    let input = json!({ "ticket": "T-1001", "name": "apologise", "input": { "owner": "user:mei" } });
    let told = act(&app, "macro", input).await;
    assert_eq!((&told["steps"], &told["status"]), (&json!(5), &json!("waiting")));
    let done = ticket(&app, "T-1001").await;
    assert_eq!((&done["priority"], &done["owner"]), (&json!("urgent"), &json!("user:mei")));
    assert_eq!(done["tags"], json!(["apologised"]));
    assert_eq!(said(&app, "T-1001").await, [("public".to_owned(), "Sorry, ada.".to_owned())]);
    app.run_until_idle().await;
    assert_eq!(app.get("/v1/messages").await.expect(200).items().len(), 1);
    let refused = app.post("/v1/actions/desk.macro", json!({ "ticket": "T-1001", "name": "wrong" })).await;
    let why = "step 3 of `desk/macros/wrong`: there is nothing to do that is called `dance`";
    assert!(refused.status >= 400 && refused.text().contains(why), "{} {}", refused.status, refused.text());
    app.expect_dead(1);
    assert_eq!(said(&app, "T-1001").await.len(), 1, "nothing is half done");
    assert_eq!(ticket(&app, "T-1001").await["tags"], json!(["apologised"]));
    for name in ["../targets", "nothing"] {
        let told = ask(&app, "macro", json!({ "ticket": "T-1001", "name": name })).await;
        assert_eq!(told["result"], "rejected_unknown", "{name}");
    }
}

async fn two_tickets_become_one(database: Database) {
    let app = desk(database, "").start().await;
    templates(&app).await;
    customer(&app, "ada", 0).await;
    for subject in ["Lamp", "The same lamp", "Bill"] {
        act(&app, "open", json!({ "subject": subject, "customer": "customer_no:ada", "description": "dark" })).await;
    }
    act(&app, "comment", json!({ "ticket": "T-1001", "body": "seen" })).await;
    let note = json!({ "ticket": "T-1001", "name": "note.txt", "content": BASE64_STANDARD.encode("a note") });
    let file = act(&app, "attach", note).await["file"]["id"].as_str().unwrap().to_owned();
    act(&app, "link", json!({ "ticket": "T-1001", "to": "T-1003", "kind": "causes" })).await;
    act(&app, "link", json!({ "ticket": "T-1001", "to": "T-1002", "kind": "duplicates" })).await;
    let told = act(&app, "merge", json!({ "ticket": "T-1001", "into": "T-1002" })).await;
    assert_eq!((&told["number"], &told["comments"]), (&json!("T-1002"), &json!(2)));
    let gone = ticket(&app, "T-1001").await;
    let stays = ticket(&app, "T-1002").await;
    assert_eq!(gone["status"], "closed");
    assert!(gone["merged_into"].to_string().contains(stays["id"].as_str().unwrap()), "{gone}");
    let merged = "T-1001 was merged into this one: Lamp\n\ndark";
    let texts: Vec<String> = said(&app, "T-1002").await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["seen", "A file.", merged]);
    assert_eq!(app.get(&format!("/v1/files/{file}/content")).await.expect(200).text(), "a note");
    // The link between the two is gone, the other one goes on from who stays.
    let links = app.all("ticket_link").await;
    assert_eq!((links.len(), &links[0]["kind"]), (1, &json!("causes")));
    assert!(links[0]["from"].to_string().contains(stays["id"].as_str().unwrap()), "{}", links[0]);
    // Whatever names who went is about who stays; twice is refused.
    let told = act(&app, "comment", json!({ "ticket": "T-1001", "body": "and on" })).await;
    assert_eq!(told["number"], "T-1002");
    for into in ["T-1002", "T-1003"] {
        let again = ask(&app, "merge", json!({ "ticket": "T-1001", "into": into })).await;
        assert_eq!(again["result"], "rejected_merge", "{again}");
    }
    let report = ask(&app, "report", json!({})).await;
    assert_eq!((&report["rows"][0]["backlog"], report["rows"].as_array().unwrap().len()), (&json!(2), 1), "{report}");
}

async fn what_two_customers_wrote_is_not_merged(database: Database) {
    let app = desk(database, "").start().await;
    for who in ["ada", "ben"] {
        customer(&app, who, 0).await;
        act(&app, "open", json!({ "subject": "Lamp", "customer": format!("customer_no:{who}") })).await;
    }
    act(&app, "open", json!({ "subject": "Lamp" })).await;
    for (from, into) in [("T-1001", "T-1002"), ("T-1001", "T-1001")] {
        let told = ask(&app, "merge", json!({ "ticket": from, "into": into })).await;
        assert_eq!(told["result"], "rejected_merge", "{told}");
    }
    let told = ask(&app, "merge", json!({ "ticket": "T-1001", "into": "T-7" })).await;
    assert_eq!(told["result"], "rejected_unknown");
    assert!(app.all("ticket_comment").await.is_empty());
    // Of nobody yet: it becomes Ada's.
    act(&app, "merge", json!({ "ticket": "T-1001", "into": "T-1003" })).await;
    assert_eq!(ticket(&app, "T-1003").await["requester"], "ada@x.example");
}

async fn a_file_that_does_not_come_in_is_gone(database: Database) {
    let app = desk(database, "").start().await;
    act(&app, "open", json!({ "subject": "Lamp" })).await;
    let put = async |name: &str, media: &str, bytes: &[u8]| {
        let path = with_query("/v1/files", &[("name", name)]);
        let kept = app.send(Request::new("POST", &path).body(media, bytes)).await.expect(201).json();
        kept["id"].as_str().unwrap().to_owned()
    };
    let bad = put("invoice.pdf.exe", "application/pdf", b"%PDF-1.7 x").await;
    let told = ask(&app, "attach", json!({ "ticket": "T-1001", "file": bad })).await;
    assert_eq!(told["result"], "rejected_attachment", "{told}");
    app.get(&format!("/v1/files/{bad}/content")).await.expect(404);
    let good = put("invoice.pdf", "application/pdf", b"%PDF-1.7 x").await;
    act(&app, "attach", json!({ "ticket": "T-1001", "file": good, "kind": "public" })).await;
    assert_eq!(app.get(&format!("/v1/files/{good}/content")).await.expect(200).body, b"%PDF-1.7 x");
    for (name, bytes) in [
        ("a.png", &b"%PDF-1.7"[..]),
        ("a.txt", &b"MZ\x90"[..]),
        ("a.csv", &b"<script>"[..]),
        ("a.zip", &b"PK\x03\x04"[..]),
    ] {
        let content = BASE64_STANDARD.encode(bytes);
        let told = ask(&app, "attach", json!({ "ticket": "T-1001", "name": name, "content": content })).await;
        assert_eq!(told["result"], "rejected_attachment", "{name}: {told}");
    }
    assert_eq!((app.all("ticket_comment").await.len(), app.get("/v1/files").await.expect(200).items().len()), (1, 1));
}

async fn an_opening_that_is_taken_back_leaves_no_number_twice(database: Database) {
    let app = desk(database, "").start().await;
    let open = async |subject: &str| {
        let told = app.post("/v1/actions/desk.open", json!({ "subject": subject })).await.expect(200);
        (told.json()["number"].as_str().unwrap().to_owned(), told.header("rapport-run").unwrap().to_owned())
    };
    let (first, run) = open("a").await;
    assert_eq!((first.as_str(), open("b").await.0.as_str()), ("T-1001", "T-1002"));
    let undone = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json();
    assert_eq!(undone["runs"][0]["status"], "completed", "{undone:#}");
    app.get("/v1/records/ticket/number:T-1001").await.expect(404);
    assert_eq!(open("c").await.0, "T-1003", "no number is given twice");
    assert_eq!(app.all("ticket").await.len(), 2);
}

/// What there is: of the log, of runs.
async fn state(app: &TestApp) -> (usize, usize) {
    (app.log().await.len(), app.runs("automation=desk").await.len())
}

async fn whoever_has_no_key_reaches_nothing_but_the_knowledge_base(database: Database) {
    let app = desk(database, "").start().await;
    customer(&app, "ada", 0).await;
    act(&app, "open", json!({ "subject": "Secret lamp", "customer": "customer_no:ada" })).await;
    let id = ticket(&app, "T-1001").await["id"].as_str().unwrap().to_owned();
    let (before, anybody) = (state(&app).await, app.without_key());
    for path in [
        "/x/desk",
        "/x/desk/",
        "/x/desk/tickets",
        "/x/desk/ticket/T-1001",
        &format!("/x/desk/{id}"),
        "/x/desk/kb/T-1001/x",
    ] {
        let missing = anybody.get(path).await.expect(404);
        assert!(!missing.text().contains("Secret"), "{path}");
    }
    for path in ["/x/desk/mail", "/x/desk/kb/a/vote"] {
        anybody.get(path).await.expect(405);
    }
    let listed = app.get("/v1/actions").await.expect(200).items();
    let names = listed.iter().filter_map(|action| action["name"].as_str()).filter(|name| name.starts_with("desk."));
    let names: Vec<&str> = names.collect();
    assert!(names.len() >= 24, "{names:?}");
    for name in names {
        anybody.post(&format!("/v1/actions/{name}"), json!({ "ticket": "T-1001", "subject": "x" })).await.expect(401);
    }
    for object in [
        "ticket",
        "ticket_comment",
        "ticket_link",
        "ticket_queue",
        "canned_answer",
        "kb_article",
        "kb_version",
        "kb_feedback",
    ] {
        anybody.get(&format!("/v1/records/{object}")).await.expect(401);
        anybody.post(&format!("/v1/records/{object}"), json!({ "subject": "x" })).await.expect(401);
    }
    for path in ["/v1/files", "/v1/messages", "/v1/runs", "/v1/events"] {
        anybody.get(path).await.expect(401);
    }
    // What the plugin calls for itself is for nobody else, not even for the owner.
    let tick = app.post("/v1/actions/desk.tick", json!({ "ticket": "T-1001", "at": 0 })).await;
    assert!(matches!(tick.status, 403 | 404), "{} {}", tick.status, tick.text());
    assert_eq!(state(&app).await, before);
}
