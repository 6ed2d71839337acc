//! Tickets of the service desk and what is promised for them: in business time, standing still while the customer is asked, warned of,
//! broken, escalated. Mail, the knowledge base and what is done with tickets have stories of their own.

use std::sync::Arc;

use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::actions::call;
use crate::calendars::{china, keep};
use crate::client::Client;
use crate::harness::{Database, Setup, TestApp, eventually, on_both, project};
use crate::waiting::waiting;

on_both!(
    what_is_due_depends_on_priority_and_tier_in_business_time,
    complaints_are_due_in_a_day_four_hours_or_one,
    an_answer_that_the_customer_sees_keeps_the_first_promise,
    while_the_customer_is_asked_the_clock_stands_still,
    a_promise_is_warned_of_once_and_broken_once,
    a_broken_promise_is_escalated_and_somebody_takes_it,
    a_promise_that_was_broken_while_the_server_was_down_is_noticed,
    new_hours_move_what_is_due,
    a_ticket_that_is_written_as_a_record_is_like_any_other,
);

/// Monday, nine o'clock in China.
const MORNING: &str = "2026-03-02T01:00:00Z";

/// A clock that stands at [`MORNING`].
fn morning() -> Arc<SetClock> {
    Arc::new(SetClock::at(MORNING.parse().unwrap()))
}

/// Sets the clock, and has done what is due then.
async fn at(app: &TestApp, clock: &SetClock, time: &str) {
    clock.set(time.parse().unwrap());
    app.settle().await;
}

/// The desk with these settings.
pub(crate) fn desk(database: Database, settings: &str) -> Setup {
    TestApp::on(database).own_plugin("desk", settings)
}

/// A desk in China.
async fn office(setup: Setup, clock: &Arc<SetClock>) -> TestApp {
    let app = setup.clock(clock.clone()).start().await;
    keep(&app, "cn", &china()).await.expect(201);
    templates(&app).await;
    app
}

/// Creates the templates that an installed package would bring.
pub(crate) async fn templates(client: &Client) {
    for name in ["reply", "received"] {
        let text = std::fs::read_to_string(project().join(format!("plugins/desk/templates/{name}.txt"))).unwrap();
        let subject = "[{{ number }}] {{ subject }}";
        let template = json!({ "name": format!("desk.{name}"), "subject": subject, "text": text });
        client.post("/v1/records/template", template).await.expect(201);
    }
}

/// Does something at the desk; gives what it says.
pub(crate) async fn ask(client: &Client, action: &str, input: Value) -> Value {
    call(client, &format!("desk.{action}"), input).await.expect(200).json()
}

/// The same for what is not refused.
pub(crate) async fn act(client: &Client, action: &str, input: Value) -> Value {
    let told = ask(client, action, input).await;
    assert_eq!(told["result"], "ok", "{action}: {told}");
    told
}

/// The record of a ticket.
pub(crate) async fn ticket(client: &Client, number: &str) -> Value {
    client.get(&format!("/v1/records/ticket/number:{number}")).await.expect(200).json()
}

/// What was said on a ticket: whom it is for, and the text.
pub(crate) async fn said(app: &TestApp, number: &str) -> Vec<(String, String)> {
    let of = ticket(app, number).await["id"].as_str().unwrap().to_owned();
    let text = |comment: &Value, name: &str| comment[name].as_str().unwrap().to_owned();
    let own = |comment: &Value| comment["ticket"].to_string().contains(&of);
    app.all("ticket_comment").await.iter().filter(|c| own(c)).map(|c| (text(c, "kind"), text(c, "body"))).collect()
}

/// What the log says of promises: the event, the promise, when it was due.
async fn noticed(app: &TestApp) -> Vec<String> {
    let text = |event: &Value, name: &str| event["data"][name].as_str().unwrap().to_owned();
    let of_promises = |event: &&Value| event["type"].as_str().unwrap().starts_with("desk.sla_");
    let shown = |event: &Value| {
        let kind = event["type"].as_str().unwrap().trim_start_matches("desk.sla_");
        format!("{kind} {} {}", text(event, "target"), text(event, "due"))
    };
    app.log().await.iter().filter(of_promises).map(shown).collect()
}

/// A customer with an address, who has spent so much.
pub(crate) async fn customer(client: &Client, number: &str, spent: i64) {
    let email = format!("{number}@x.example");
    client
        .post("/v1/records/customer", json!({ "customer_no": number, "name": number, "email": email }))
        .await
        .expect(201);
    if spent > 0 {
        let order = json!({ "order_no": number, "customer": { "customer_no": number }, "amount": spent.to_string() });
        client.post("/v1/records/order", order).await.expect(201);
    }
}

/// When the first answer and the solution are due.
fn due(told: &Value) -> [&str; 2] {
    ["first_response_due", "resolution_due"].map(|name| told[name].as_str().unwrap_or_default())
}

async fn what_is_due_depends_on_priority_and_tier_in_business_time(database: Database) {
    let clock = morning();
    let setup = desk(database, "calendar = \"cn\"\ntargets = \"desk/targets\"").own_script("desk/targets");
    let app = office(setup, &clock).await;
    for (number, spent) in [("plain", 0), ("silver", 2_000), ("gold", 15_000)] {
        customer(&app, number, spent).await;
    }
    // Of that Monday there are the hours to 12:00 and from 13:00 to 18:00.
    for (who, priority, tier, first, solution) in [
        ("plain", "normal", "standard", "2026-03-02T06:00:00Z", "2026-03-04T10:00:00Z"),
        ("plain", "low", "standard", "2026-03-02T10:00:00Z", "2026-03-06T10:00:00Z"),
        ("plain", "major", "standard", "2026-03-02T01:15:00Z", "2026-03-02T02:00:00Z"),
        ("silver", "urgent", "silver", "2026-03-02T01:45:00Z", "2026-03-02T04:00:00Z"),
        ("gold", "normal", "gold", "2026-03-02T03:00:00Z", "2026-03-03T06:00:00Z"),
        ("gold", "urgent", "gold", "2026-03-02T01:30:00Z", "2026-03-02T03:00:00Z"),
    ] {
        let input = json!({ "subject": "Broken", "customer": format!("customer_no:{who}"), "priority": priority });
        let told = act(&app, "open", input).await;
        assert_eq!((&told["tier"], due(&told)), (&json!(tier), [first, solution]), "{who} {priority}");
        let kept = ticket(&app, told["number"].as_str().unwrap()).await;
        assert_eq!((due(&kept), &kept["opened_at"]), ([first, solution], &json!(MORNING)), "{who} {priority}");
    }
    // Nobody is there on the weekend: what is opened on Saturday begins on Monday.
    at(&app, &clock, "2026-03-07T03:00:00Z").await;
    let told = act(&app, "open", json!({ "subject": "Broken", "priority": "urgent" })).await;
    assert_eq!(due(&told), ["2026-03-09T02:00:00Z", "2026-03-09T06:00:00Z"]);
}

async fn complaints_are_due_in_a_day_four_hours_or_one(database: Database) {
    let setup = desk(database, "calendar = \"cn\"\ngrading = \"desk/complaint\"").own_script("desk/complaint");
    let app = office(setup, &morning()).await;
    for (subject, description, priority, solution) in [
        ("Too slow", "It took a week", "normal", "2026-03-04T10:00:00Z"),
        ("Again", "For the THIRD TIME, unacceptable", "urgent", "2026-03-02T06:00:00Z"),
        ("退款", "请尽快退款", "urgent", "2026-03-02T06:00:00Z"),
        ("The lamp caught fire", "", "major", "2026-03-02T02:00:00Z"),
        ("投诉", "灯起火了，有人受伤", "major", "2026-03-02T02:00:00Z"),
    ] {
        let input = json!({ "subject": subject, "description": description, "kind": "complaint" });
        let told = act(&app, "open", input).await;
        assert_eq!((&told["priority"], due(&told)[1]), (&json!(priority), solution), "{subject}");
    }
    // Whoever says how pressing it is is believed, and so is a question with such a word in it.
    let input = json!({ "subject": "fire", "kind": "complaint", "priority": "low" });
    assert_eq!(act(&app, "open", input).await["priority"], "low");
    assert_eq!(act(&app, "open", json!({ "subject": "How do I get a refund?" })).await["priority"], "normal");
}

async fn an_answer_that_the_customer_sees_keeps_the_first_promise(database: Database) {
    let clock = morning();
    let app = office(desk(database, "calendar = \"cn\""), &clock).await;
    customer(&app, "ada", 0).await;
    act(&app, "open", json!({ "subject": "Broken lamp", "customer": "customer_no:ada" })).await;
    at(&app, &clock, "2026-03-02T02:00:00Z").await;
    act(&app, "comment", json!({ "ticket": "T-1001", "body": "Who knows lamps?", "kind": "internal" })).await;
    let first = ticket(&app, "T-1001").await;
    assert_eq!((&first["first_responded_at"], &first["status"]), (&Value::Null, &json!("new")));
    at(&app, &clock, "2026-03-02T03:00:00Z").await;
    let told = act(&app, "comment", json!({ "ticket": "T-1001", "body": "Which one?" })).await;
    assert_eq!((&told["mailed"], &told["status"]), (&json!(true), &json!("open")));
    at(&app, &clock, "2026-03-02T04:00:00Z").await;
    act(&app, "comment", json!({ "ticket": "T-1001", "body": "We look." })).await;
    let then = ticket(&app, "T-1001").await;
    assert_eq!((&then["first_responded_at"], &then["replies"]), (&json!("2026-03-02T03:00:00Z"), &json!(2)));
    let mails = app.get("/v1/messages").await.expect(200).items();
    assert_eq!(mails.len(), 2, "a note goes to nobody");
    assert!(mails.iter().all(|m| m["subject"] == "[T-1001] Broken lamp" && m["to"] == "ada@x.example"), "{mails:?}");
    assert!(mails.iter().any(|m| m["text"].as_str().unwrap().starts_with("Which one?")), "{mails:?}");
    // What is solved within its time was never broken, however late it becomes.
    at(&app, &clock, "2026-03-03T03:30:00Z").await;
    act(&app, "solve", json!({ "ticket": "T-1001" })).await;
    at(&app, &clock, "2026-04-01T03:00:00Z").await;
    let solved = ticket(&app, "T-1001").await;
    assert_eq!((&solved["resolution_breached_at"], &solved["handling_seconds"]), (&Value::Null, &json!(37_800)));
    assert_eq!(noticed(&app).await, [""; 0]);
}

async fn while_the_customer_is_asked_the_clock_stands_still(database: Database) {
    let clock = morning();
    let app = office(desk(database, "calendar = \"cn\""), &clock).await;
    act(&app, "open", json!({ "subject": "Broken", "priority": "urgent" })).await;
    at(&app, &clock, "2026-03-02T02:00:00Z").await;
    act(&app, "wait", json!({ "ticket": "T-1001", "note": "asked for the number" })).await;
    let waits = ticket(&app, "T-1001").await;
    assert_eq!((due(&waits), &waits["status"]), (["", ""], &json!("waiting")));
    assert_eq!((&waits["first_response_left"], &waits["resolution_left"]), (&json!(3_600), &json!(10_800)));
    // Days go by, and a server with them.
    let app = app.restart_with(clock.clone(), async || clock.set("2026-03-05T09:00:00Z".parse().unwrap())).await;
    app.settle().await;
    assert_eq!(noticed(&app).await, [""; 0]);
    // Thursday, an hour before closing: the three hours that are left end on Friday.
    let told = act(&app, "comment", json!({ "ticket": "T-1001", "body": "No. 7", "from": "customer" })).await;
    assert_eq!((&told["status"], due(&told)), (&json!("open"), ["2026-03-05T10:00:00Z", "2026-03-06T03:00:00Z"]));
    at(&app, &clock, "2026-03-05T09:30:00Z").await;
    act(&app, "comment", json!({ "ticket": "T-1001", "body": "Thank you" })).await;
    // On hold somebody else is waited for, not the customer: the clock goes on.
    act(&app, "hold", json!({ "ticket": "T-1001" })).await;
    assert_eq!(due(&ticket(&app, "T-1001").await)[1], "2026-03-06T03:00:00Z");
    at(&app, &clock, "2026-03-06T02:00:00Z").await;
    let solved = act(&app, "solve", json!({ "ticket": "T-1001" })).await;
    assert_eq!(solved["status"], "solved");
    let solved = ticket(&app, "T-1001").await;
    assert_eq!((&solved["handling_seconds"], &solved["resolution_left"]), (&json!(3 * 3_600), &json!(3_600)));
    let told = act(&app, "reopen", json!({ "ticket": "T-1001" })).await;
    assert_eq!(due(&told)[1], "2026-03-06T03:00:00Z");
}

async fn a_promise_is_warned_of_once_and_broken_once(database: Database) {
    let clock = morning();
    let app = office(desk(database, "calendar = \"cn\""), &clock).await;
    act(&app, "open", json!({ "subject": "Broken", "priority": "urgent" })).await;
    let first = "first_response 2026-03-02T03:00:00Z";
    let solution = "resolution 2026-03-02T06:00:00Z";
    let all = [
        ("2026-03-02T02:35:59Z", vec![]),
        // Eight tenths of two hours.
        ("2026-03-02T02:36:00Z", vec![format!("warning {first}")]),
        ("2026-03-02T02:59:59Z", vec![]),
        ("2026-03-02T03:00:00Z", vec![format!("breached {first}")]),
        // Of four hours, with noon between.
        ("2026-03-02T05:12:00Z", vec![format!("warning {solution}")]),
        ("2026-03-02T06:00:00Z", vec![format!("breached {solution}")]),
        ("2026-03-20T06:00:00Z", vec![]),
    ];
    let mut expected = Vec::new();
    for (time, more) in all {
        at(&app, &clock, time).await;
        expected.extend(more);
        assert_eq!(noticed(&app).await, expected, "{time}");
    }
    let late = ticket(&app, "T-1001").await;
    assert_eq!(late["first_response_breached_at"], "2026-03-02T03:00:00Z");
    assert_eq!(late["resolution_breached_at"], "2026-03-02T06:00:00Z");
    // What was broken stays broken, and is told once.
    act(&app, "change", json!({ "ticket": "T-1001", "priority": "low" })).await;
    act(&app, "solve", json!({ "ticket": "T-1001" })).await;
    assert_eq!(noticed(&app).await, expected);
    let solved = app.log().await.into_iter().find(|event| event["type"] == "desk.ticket_solved").unwrap();
    assert_eq!(solved["data"]["in_time"], false);
}

/// The tasks that are open: what is asked, and whom.
async fn open_tasks(app: &TestApp, count: usize) -> Vec<Value> {
    let open = || async {
        let open: Vec<Value> = app.all("task").await.into_iter().filter(|task| task["state"] == "open").collect();
        (open.len() == count).then_some(open)
    };
    eventually("the tasks", open).await
}

async fn a_broken_promise_is_escalated_and_somebody_takes_it(database: Database) {
    let clock = morning();
    let app = office(desk(database, "calendar = \"cn\"").own_script("desk/escalate"), &clock).await;
    act(&app, "open", json!({ "subject": "Broken", "priority": "urgent", "owner": "user:mei" })).await;
    act(&app, "comment", json!({ "ticket": "T-1001", "body": "Which one?" })).await;
    at(&app, &clock, "2026-03-02T05:12:00Z").await;
    let reminder = open_tasks(&app, 1).await.remove(0);
    assert_eq!(reminder["title"], "T-1001: a solution is due soon");
    assert_eq!(reminder["assignee"], "user:mei");
    // The clock of the ticket and the question survive the server.
    let app = app.restart_with(clock.clone(), async || {}).await;
    waiting(&app, 2).await;
    at(&app, &clock, "2026-03-02T06:00:00Z").await;
    let asked = open_tasks(&app, 2).await;
    let lead = asked.iter().find(|task| task["assignee"] == "role:support-lead").unwrap();
    assert_eq!(lead["title"], "T-1001: a solution was due. Who takes it?");
    assert_eq!(ticket(&app, "T-1001").await["priority"], "major");
    let note = ("internal".to_owned(), "Escalated: a solution was due at 2026-03-02T06:00:00Z.".to_owned());
    assert_eq!(said(&app, "T-1001").await.into_iter().filter(|said| *said == note).count(), 1);
    let path = format!("/v1/records/task/{}", lead["id"].as_str().unwrap());
    app.patch(&path, json!({ "state": "done", "choice": "I" })).await.expect(200);
    let taken = || async { Some(ticket(&app, "T-1001").await).filter(|ticket| ticket["owner"] != "user:mei") };
    let taken = eventually("who takes it", taken).await;
    assert!(taken["owner"].as_str().unwrap().starts_with("user:"), "{taken}");
    at(&app, &clock, "2026-03-03T06:00:00Z").await;
    assert_eq!(noticed(&app).await.len(), 2, "one warning, one breach");
}

async fn a_promise_that_was_broken_while_the_server_was_down_is_noticed(database: Database) {
    let clock = morning();
    let app = office(desk(database, "calendar = \"cn\""), &clock).await;
    act(&app, "open", json!({ "subject": "Broken", "priority": "urgent" })).await;
    let app = app.restart_with(clock.clone(), async || clock.set("2026-03-04T01:00:00Z".parse().unwrap())).await;
    app.settle().await;
    // They were broken when they were due, not when somebody saw it; a warning would come too late.
    let missed = ["breached first_response 2026-03-02T03:00:00Z", "breached resolution 2026-03-02T06:00:00Z"];
    assert_eq!(noticed(&app).await, missed);
}

async fn new_hours_move_what_is_due(database: Database) {
    let app = office(desk(database, "calendar = \"cn\""), &morning()).await;
    for _ in 0..2 {
        act(&app, "open", json!({ "subject": "Broken" })).await;
    }
    act(&app, "solve", json!({ "ticket": "T-1002" })).await;
    let mut hours = china();
    hours["holidays"].as_array_mut().unwrap().push("2026-03-03".into());
    app.patch("/v1/records/calendar/name:cn", json!({ "definition": hours })).await.expect(200);
    let told = act(&app, "recompute", json!({ "calendar": "cn" })).await;
    assert_eq!((&told["tickets"], &told["after"]), (&json!(1), &Value::Null));
    assert_eq!(due(&ticket(&app, "T-1001").await), ["2026-03-02T10:00:00Z", "2026-03-05T10:00:00Z"]);
}

async fn a_ticket_that_is_written_as_a_record_is_like_any_other(database: Database) {
    let clock = morning();
    let app = office(desk(database, "calendar = \"cn\""), &clock).await;
    customer(&app, "ada", 0).await;
    let form = json!({ "subject": "By a form", "customer": { "customer_no": "ada" }, "priority": "major" });
    let id = app.post("/v1/records/ticket", form).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    app.run_until_idle().await;
    let taken = ticket(&app, "T-1001").await;
    assert_eq!((&taken["id"], &taken["requester"]), (&json!(id), &json!("ada@x.example")));
    assert_eq!(due(&taken), ["2026-03-02T01:30:00Z", "2026-03-02T02:00:00Z"]);
    let path = format!("/v1/records/ticket/{id}");
    at(&app, &clock, "2026-03-02T01:15:00Z").await;
    app.patch(&path, json!({ "status": "waiting" })).await.expect(200);
    app.run_until_idle().await;
    assert_eq!(ticket(&app, "T-1001").await["resolution_left"], 2_700);
    app.patch(&path, json!({ "status": "solved" })).await.expect(200);
    app.run_until_idle().await;
    // It goes only where it may go, whoever writes; the reason says what to do instead.
    let refused = app.patch(&path, json!({ "status": "waiting" })).await.expect(422);
    assert!(
        refused.text().contains("a ticket that is solved cannot become waiting: reopen it first"),
        "{}",
        refused.text()
    );
    app.post("/v1/records/ticket", json!({ "subject": " " })).await.expect(422);
    assert_eq!(app.all("ticket").await.len(), 1);
}
