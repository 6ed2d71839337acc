//! Who may answer a question: whom it was put to, and admins; on every path.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Database, TestApp, eventually, on_both, order_paid};
use crate::process::rapport;
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    a_question_to_a_role_is_answered_by_that_role_alone,
    a_question_to_a_user_is_answered_by_that_user_alone,
    an_admin_answers_in_anybodys_place,
    an_automation_answers_nobodys_question,
    a_choice_that_was_not_offered_is_refused,
    a_question_that_nobody_waits_for_is_a_record_like_any_other,
    a_key_has_roles_of_its_own_or_those_of_its_user,
    a_question_is_answered_by_command_line,
);

const ASKER: &str = r#"//! Asks about an order.
on("order.paid");
uses("task:create", "customer.notes:write", "customer:read");
setting("who", "role:shop-manager");
fn run(event) {
    let answer = ask(setting("who"), #{ title: "Refund?", choices: ["refund", "keep"] }, "2 days");
    update(event.record, #{ notes: if answer.timed_out { "nobody" } else { answer.choice } });
}
"#;

async fn key(app: &TestApp, body: Value) -> Client {
    app.with_key(app.post("/v1/keys", body).await.expect(201).json()["secret"].as_str().unwrap())
}

async fn clerk(app: &TestApp) -> Client {
    key(app, json!({ "name": "clerk", "scopes": ["read", "write"], "roles": ["clerk"] })).await
}

/// Waits until the question is put; where its task is.
async fn asked(app: &TestApp) -> String {
    app.customer("1").await;
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    waiting(app, 1).await;
    format!("/v1/records/task/{}", app.all("task").await[0]["id"].as_str().unwrap())
}

fn answer() -> Value {
    json!({ "state": "done", "choice": "refund" })
}

/// Nothing that would answer, reassign or remove the question goes through, and all of it is refused by name.
async fn may_not(app: &TestApp, client: &Client, task: &str, who: &str) {
    let before = app.log().await.len();
    for body in [
        answer(),
        json!({ "state": "cancelled" }),
        json!({ "choice": "keep" }),
        json!({ "choices": ["keep"] }),
        json!({ "assignee": "role:clerk" }),
    ] {
        let refused = client.patch(task, body.clone()).await.expect(403);
        assert_eq!(refused.code(), "forbidden");
        assert!(refused.text().contains(who), "{body}: {}", refused.text());
    }
    assert!(client.delete(task).await.expect(403).text().contains(who));
    assert_eq!(app.log().await.len(), before, "a refusal changes nothing");
    client.patch(task, json!({ "body": "asked again" })).await.expect(200);
}

async fn a_question_to_a_role_is_answered_by_that_role_alone(database: Database) {
    let app = TestApp::on(database).script("asker", ASKER).start().await;
    let task = asked(&app).await;
    may_not(&app, &clerk(&app).await, &task, "role:shop-manager").await;
    let manager = json!({ "name": "till", "scopes": ["read", "write"], "roles": ["shop-manager"] });
    key(&app, manager).await.patch(&task, answer()).await.expect(200);
    completed(&app, 1).await;
    assert_eq!(app.customer_field("1", "notes").await, "refund");
}

async fn a_question_to_a_user_is_answered_by_that_user_alone(database: Database) {
    let script = ASKER.replace("role:shop-manager", "user:grace");
    let app = TestApp::on(database).script("asker", &script).start().await;
    let task = asked(&app).await;
    for name in ["grace", "heidi"] {
        app.post("/v1/users", json!({ "name": name, "roles": ["operator"] })).await.expect(200);
    }
    let of = |user: &str| json!({ "name": format!("{user}-laptop"), "scopes": ["read", "write"], "user": user });
    may_not(&app, &key(&app, of("heidi")).await, &task, "user:grace").await;
    // A key is not its name.
    may_not(&app, &key(&app, json!({ "name": "grace", "scopes": ["write", "read"] })).await, &task, "user:grace").await;
    key(&app, of("grace")).await.patch(&task, answer()).await.expect(200);
    completed(&app, 1).await;
}

async fn an_admin_answers_in_anybodys_place(database: Database) {
    let app = TestApp::on(database).script("asker", ASKER).start().await;
    let task = asked(&app).await;
    key(&app, json!({ "name": "admin", "scopes": ["admin"] })).await.patch(&task, answer()).await.expect(200);
    completed(&app, 1).await;
}

async fn an_automation_answers_nobodys_question(database: Database) {
    let sly = r#"//! Answers what it is not asked.
on("order.shipped");
uses("task:read", "task:write", "task:delete", "customer.notes:write");
fn run(event) {
    let task = find("task", "state == 'open'")[0];
    let said = "";
    try { update(task, #{ state: "done", choice: "refund" }); } catch (e) { said += e.message; }
    try { delete(task); } catch (e) { said += e.message; }
    update(event.record, #{ notes: said });
}
"#;
    let app = TestApp::on(database).script("asker", ASKER).script("sly", sly).start().await;
    let task = asked(&app).await;
    let shipped = crate::harness::event("2", "order.shipped", "customer/customer_no:1", json!({ "order_no": "1" }));
    app.post("/v1/events", shipped).await.expect(202);
    completed(&app, 1).await;
    let said = app.customer_field("1", "notes").await.to_string();
    assert_eq!(
        said.matches("`automation:sly` may not answer this question: it is put to `role:shop-manager`").count(),
        2
    );
    assert_eq!(app.get(&task).await.expect(200).json()["state"], "open");
    assert_eq!(app.runs("status=waiting").await.len(), 1);
}

async fn a_choice_that_was_not_offered_is_refused(database: Database) {
    let app = TestApp::on(database).script("asker", ASKER).start().await;
    let task = asked(&app).await;
    let refused = app.patch(&task, json!({ "state": "done", "choice": "refnd" })).await.expect(422).text();
    assert!(refused.contains("`refnd` is no choice: it is one of refund, keep"), "{refused}");
    assert_eq!(app.runs("status=waiting").await.len(), 1);
}

async fn a_question_that_nobody_waits_for_is_a_record_like_any_other(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).script("asker", ASKER).clock(clock.clone()).start().await;
    let task = asked(&app).await;
    later(&clock, "2 days");
    completed(&app, 1).await;
    let clerk = clerk(&app).await;
    clerk.patch(&task, json!({ "state": "cancelled" })).await.expect(200);
    let note = clerk.post("/v1/records/task", json!({ "title": "note", "assignee": "role:shop-manager" })).await;
    let path = format!("/v1/records/task/{}", note.expect(201).json()["id"].as_str().unwrap());
    clerk.patch(&path, json!({ "state": "done" })).await.expect(200);
}

async fn a_key_has_roles_of_its_own_or_those_of_its_user(database: Database) {
    let app = TestApp::on(database).script("asker", ASKER).start().await;
    let task = asked(&app).await;
    app.post("/v1/users", json!({ "name": "grace", "roles": ["operator", "shop-manager"] })).await.expect(200);
    let both = json!({ "name": "both", "scopes": ["read"], "user": "grace", "roles": ["owner"] });
    assert!(app.post("/v1/keys", both).await.expect(422).text().contains("/roles"));
    let odd = json!({ "name": "odd", "scopes": ["read"], "roles": ["Shop Manager"] });
    assert!(app.post("/v1/keys", odd).await.expect(422).text().contains("is no role"));
    // A role of a key gives no right by itself.
    let weak = key(&app, json!({ "name": "weak", "scopes": ["read"], "roles": ["shop-manager", "owner"] })).await;
    weak.patch(&task, answer()).await.expect(403);
    let user = key(&app, json!({ "name": "grace-laptop", "scopes": ["read", "write"], "user": "grace" })).await;
    user.patch(&task, answer()).await.expect(200);
    completed(&app, 1).await;
}

async fn a_question_is_answered_by_command_line(database: Database) {
    let app = TestApp::on(database).script("asker", ASKER).start().await;
    let id = asked(&app).await.rsplit('/').next().unwrap().to_owned();
    let file = app.folder.path().join("key");
    let make = ["key", "create", "till", "--scope", "read,write", "--role", "shop-manager"];
    let made = rapport(&make).to(&app, &file).run().expect(0).output;
    let set = ["record", "set", "task", &id, "state=done", "choice=keep"];
    let refused = rapport(&set).to(&clerk(&app).await, &file).run();
    assert!(refused.code != 0 && refused.text.contains("role:shop-manager"), "{}", refused.text);
    let manager = app.with_key(made.lines().next().unwrap());
    rapport(&set).to(&manager, &file).run().expect(0);
    let answered = || async { (app.customer_field("1", "notes").await == "keep").then_some(()) };
    eventually("the answer", answered).await;
}
