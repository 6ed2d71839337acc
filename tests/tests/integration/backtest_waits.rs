//! Backtests of runs that wait: they wake on the played clock, by played events, by the answers that people gave.

use std::sync::Arc;

use rapport_model::Timestamp;
use rapport_model::time::SetClock;
use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, eventually, on_both, order_paid, project};
use crate::process::rapport;

on_both!(
    runs_that_sleep_come_out_as_they_did,
    runs_that_wait_for_an_event_come_out_as_they_did,
    questions_are_answered_as_they_were,
    waits_among_others_come_out_as_they_did,
    a_period_that_ends_before_the_waits_counts_what_came_within_it,
    a_run_that_woke_late_wakes_late,
    a_candidate_that_sleeps_longer_wakes_later,
    a_question_that_was_not_asked_then_is_unknown,
    a_candidate_that_asks_otherwise_gets_the_answer_that_was_given,
);

const START: &str = "2026-03-01T12:00:00Z";
pub(crate) const FOREVER: &str = "2100-01-01T00:00:00Z";
const DAY: i64 = 86_400_000_000;

pub(crate) struct Story {
    pub(crate) app: TestApp,
    pub(crate) clock: Arc<SetClock>,
}

impl Story {
    pub(crate) async fn begin(database: Database, scripts: &[(&str, &str)]) -> Self {
        let clock = Arc::new(SetClock::at(START.parse().unwrap()));
        let mut setup = TestApp::on(database).clock(clock.clone());
        for (id, source) in scripts {
            setup = setup.script(id, source);
        }
        Self { app: setup.start().await, clock }
    }

    /// Moves the clock to so many hours after the start, and lets happen what is due.
    pub(crate) async fn at(&self, hours: i64) {
        let start: Timestamp = START.parse().unwrap();
        self.clock.set(start.plus_micros(hours * DAY / 24));
        self.app.settle().await;
    }

    pub(crate) async fn paid(&self, id: &str, customer: &str) {
        self.app.post("/v1/events", order_paid(id, customer, "5")).await.expect(202);
        self.app.settle().await;
    }

    pub(crate) async fn order(&self, number: &str, customer: &str, amount: &str) {
        let body = json!({ "order_no": number, "customer": { "customer_no": customer }, "amount": amount });
        self.app.post("/v1/records/order", body).await.expect(201);
        self.app.settle().await;
    }

    pub(crate) async fn answer(&self, title: &str, choice: &str) {
        let tasks = self.app.all("task").await;
        let task = tasks.iter().find(|task| task["title"] == title && task["state"] == "open").unwrap();
        let path = format!("/v1/records/task/{}", task["id"].as_str().unwrap());
        self.app.patch(&path, json!({ "state": "done", "choice": choice })).await.expect(200);
        self.app.settle().await;
    }

    pub(crate) async fn backtest(&self, id: &str, source: &str, until: &str) -> Value {
        let body = json!({ "id": id, "source": source, "since": "1970-01-01T00:00:00Z", "until": until });
        let begun = self.app.send(Request::new("POST", "/v1/backtests").json(&body)).await.expect(202).json();
        let path = format!("/v1/backtests/{}", begun["id"].as_str().unwrap());
        let path = path.as_str();
        let ended = eventually("the end of the backtest", || async move {
            let backtest = self.app.get(path).await.expect(200).json();
            (backtest["state"] != "running").then_some(backtest)
        })
        .await;
        assert_eq!(ended["state"], "done", "{ended:#}");
        ended["result"].clone()
    }
}

/// How often each kind of event was written then and in the backtest.
pub(crate) fn writes(result: &Value) -> Vec<(String, i64, i64)> {
    let row = |row: &Value| {
        let of = |name: &str| row[name].as_i64().unwrap();
        (format!("{} {}", row["day"].as_str().unwrap(), row["kind"].as_str().unwrap()), of("recorded"), of("backtest"))
    };
    result["writes"].as_array().unwrap().iter().map(row).collect()
}

pub(crate) fn assert_exact(result: &Value, least: i64) {
    assert_eq!(result["records_differing"], 0, "{result:#}");
    assert_eq!((&result["events_left_out"], &result["remarks"]), (&json!(0), &json!([])), "{result:#}");
    assert_eq!(result["unknown"]["answers"], 0);
    let all = writes(result);
    assert!(all.iter().all(|(_, then, now)| then == now), "{result:#}");
    assert!(all.iter().map(|(_, then, _)| then).sum::<i64>() >= least, "{result:#}");
}

const SLEEPER: &str = r#"//! Looks, sleeps three days, and writes; and once more.
on("order.paid");
uses("customer:read", "customer.notes:write", "task:create");
fn run(event) {
    let before = get("customer", "customer_no:1");
    sleep("3 days");
    let after = refresh(before);
    update(after, #{ notes: `${after.notes} ${event.data.order_no} at ${now()} ${random()}` });
    sleep("1 day");
    if event.data.order_no != "2" { create("task", #{ title: `after ${event.data.order_no}` }); }
}
"#;

async fn runs_that_sleep_come_out_as_they_did(database: Database) {
    let story = Story::begin(database, &[("sleeper", SLEEPER)]).await;
    story.app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    story.paid("1", "1").await;
    story.at(24).await;
    story.paid("2", "1").await;
    story.at(73).await;
    story.at(90).await;
    story.app.patch("/v1/records/customer/customer_no:1", json!({ "name": "Grace" })).await.expect(200);
    story.at(97).await;
    story.paid("3", "1").await;
    for hours in [121, 300, 400] {
        story.at(hours).await;
    }
    assert_eq!(story.app.runs("status=completed").await.len(), 3);
    let result = story.backtest("sleeper", SLEEPER, FOREVER).await;
    assert_exact(&result, 5);
    assert_eq!(result["runs"], json!({ "completed": 3 }));
    // Its own slices do not count twice.
    assert!(result["fuel"].as_i64().unwrap() > 0);
}

const WAITER: &str = r#"//! Waits for the customer's next large order.
on("order.paid");
uses("customer:read", "order:read", "customer.notes:write");
fn run(event) {
    let next = wait_for("order.created", "customer == c && amount > 100", #{ c: event.record.id }, "7 days");
    if next.timed_out {
        update(event.record, #{ notes: "nothing came" });
    } else {
        update(event.record, #{ notes: `order ${next.record.order_no} of ${next.after.amount} ${random()}` });
    }
}
"#;

async fn trade(story: &Story) {
    for customer in ["1", "2", "3"] {
        story.app.customer(customer).await;
        story.paid(&format!("p{customer}"), customer).await;
    }
    story.at(5).await;
    story.order("small", "1", "7").await;
    story.order("others", "4", "700").await;
    story.order("large", "1", "500").await;
    story.at(48).await;
    story.order("late", "2", "101").await;
    story.at(24 * 8).await;
    story.order("too-late", "3", "900").await;
    story.at(24 * 9).await;
}

async fn runs_that_wait_for_an_event_come_out_as_they_did(database: Database) {
    let story = Story::begin(database, &[("waiter", WAITER)]).await;
    trade(&story).await;
    assert_eq!(story.app.customer_field("3", "notes").await, "nothing came");
    let result = story.backtest("waiter", WAITER, FOREVER).await;
    assert_exact(&result, 3);
    assert_eq!(result["runs"], json!({ "completed": 3 }));
    // A changed condition shows whom it would have changed.
    let result = story.backtest("waiter", &WAITER.replace("amount > 100", "amount > 200"), FOREVER).await;
    assert_eq!(result["records_differing"], 1, "{result:#}");
    assert_eq!(result["differences"][0]["key"], "customer_no:2");
    assert_eq!(result["differences"][0]["fields"][0]["backtest"], "nothing came");
}

const ASKER: &str = r#"//! Asks the shop manager about an order.
on("order.paid");
uses("task:create", "customer.notes:write", "customer:read");
fn run(event) {
    let answer = ask("role:shop-manager", #{ title: `Refund ${event.data.order_no}?`, choices: ["refund", "keep"] }, "2 days");
    update(event.record, #{ notes: if answer.timed_out { "nobody answered" } else { `${answer.choice} by ${answer.by}` } });
}
"#;

async fn questions(story: &Story) {
    for customer in ["1", "2", "3"] {
        story.app.customer(customer).await;
        story.paid(&format!("p{customer}"), customer).await;
        story.at(customer.parse().unwrap()).await;
    }
    story.at(20).await;
    story.answer("Refund p2?", "refund").await;
    story.at(30).await;
    story.answer("Refund p1?", "keep").await;
    story.at(24 * 3).await;
}

async fn questions_are_answered_as_they_were(database: Database) {
    let story = Story::begin(database, &[("asker", ASKER)]).await;
    questions(&story).await;
    assert_eq!(story.app.customer_field("3", "notes").await, "nobody answered");
    let result = story.backtest("asker", ASKER, FOREVER).await;
    assert_exact(&result, 6);
    assert_eq!(result["runs"], json!({ "completed": 3 }));
}

async fn waits_among_others_come_out_as_they_did(database: Database) {
    let points = std::fs::read_to_string(project().join("scripts/loyalty/points.rhai")).unwrap();
    let scripts = [("sleeper", SLEEPER), ("waiter", WAITER), ("asker", ASKER), ("loyalty/points", &points)];
    let story = Story::begin(database, &scripts).await;
    story.app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    for round in 0..6_i64 {
        story.paid(&format!("p{round}"), "1").await;
        story.order(&format!("o{round}"), "1", ["10", "500", "-20"][usize::try_from(round % 3).unwrap()]).await;
        if round % 2 == 0 {
            story.answer(&format!("Refund p{round}?"), "keep").await;
        }
        story.at(round * 30 + 7).await;
    }
    story.at(24 * 30).await;
    for (id, source) in scripts {
        let result = story.backtest(id, source, FOREVER).await;
        assert_exact(&result, 4);
    }
}

async fn a_period_that_ends_before_the_waits_counts_what_came_within_it(database: Database) {
    let story = Story::begin(database, &[("waiter", WAITER)]).await;
    trade(&story).await;
    // Only the large order of the first customer came within the first day.
    let result = story.backtest("waiter", WAITER, "2026-03-02T12:00:00Z").await;
    assert_exact(&result, 1);
    assert_eq!(result["runs"], json!({ "completed": 1, "waiting": 2 }));
    assert_eq!(writes(&result).iter().map(|(_, then, _)| then).sum::<i64>(), 1, "{result:#}");
}

async fn a_run_that_woke_late_wakes_late(database: Database) {
    let story = Story::begin(database, &[("sleeper", SLEEPER)]).await;
    story.app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    story.paid("1", "1").await;
    // The server was down when its time had come.
    let Story { app, clock } = story;
    let folder = app.folder.clone();
    let app = app
        .restart_with(clock.clone(), async || {
            clock.set(START.parse::<Timestamp>().unwrap().plus_micros(4 * DAY));
        })
        .await;
    drop(folder);
    let story = Story { app, clock };
    story.at(24 * 4).await;
    story.at(24 * 6).await;
    assert_eq!(story.app.runs("status=completed").await.len(), 1);
    let result = story.backtest("sleeper", SLEEPER, FOREVER).await;
    assert_exact(&result, 2);
}

async fn a_candidate_that_sleeps_longer_wakes_later(database: Database) {
    let story = Story::begin(database, &[("sleeper", SLEEPER)]).await;
    story.app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada" })).await.expect(201);
    story.paid("1", "1").await;
    for hours in [73, 97, 24 * 5, 24 * 9] {
        story.at(hours).await;
    }
    for (days, day) in [("1 day", "2026-03-02"), ("5 days", "2026-03-06")] {
        let result = story.backtest("sleeper", &SLEEPER.replace("3 days", days), FOREVER).await;
        let all = writes(&result);
        assert!(all.contains(&(format!("{day} customer.updated"), 0, 1)), "{result:#}");
        assert!(all.contains(&("2026-03-04 customer.updated".to_owned(), 1, 0)), "{result:#}");
        assert_eq!(
            (&result["runs"], &result["records_differing"]),
            (&json!({ "completed": 1 }), &json!(3)),
            "{result:#}"
        );
    }
}

async fn a_question_that_was_not_asked_then_is_unknown(database: Database) {
    let quiet = "//! Asks nobody.\non(\"order.paid\");\nuses(\"customer:read\");\nfn run(event) {}\n";
    let story = Story::begin(database, &[("asker", quiet)]).await;
    story.app.customer("1").await;
    story.paid("p1", "1").await;
    story.at(24 * 3).await;
    let result = story.backtest("asker", ASKER, FOREVER).await;
    assert_eq!((&result["unknown"]["answers"], &result["runs"]), (&json!(1), &json!({ "completed": 1 })), "{result:#}");
    assert!(result["remarks"][0].as_str().unwrap().contains("1 questions were not asked then"), "{result:#}");
    let notes = result["differences"].as_array().unwrap().iter().find(|d| d["object"] == "customer").unwrap();
    assert_eq!(notes["fields"][0]["backtest"], "nobody answered");
    let file = story.app.folder.path().join("asker.rhai");
    std::fs::write(&file, ASKER).unwrap();
    let period = ["--since", "2026-03-01T00:00:00Z", "--until", "2026-04-01T00:00:00Z"];
    let mut line = vec!["script", "backtest", file.to_str().unwrap(), "--id", "asker"];
    line.extend(period);
    let told = rapport(&line).to(&story.app, &story.app.folder.path().join("key")).run().expect(0).output;
    assert!(told.contains("were not asked then"), "{told}");
}

async fn a_candidate_that_asks_otherwise_gets_the_answer_that_was_given(database: Database) {
    let story = Story::begin(database, &[("asker", ASKER)]).await;
    questions(&story).await;
    // Another task comes first, so that the question has another id.
    let other = ASKER.replace("    let answer", "    create(\"task\", #{ title: \"think\" });\n    let answer");
    let result = story.backtest("asker", &other, FOREVER).await;
    assert_eq!((&result["unknown"]["answers"], &result["events_left_out"]), (&json!(0), &json!(0)), "{result:#}");
    let customers = result["differences"].as_array().unwrap().iter().filter(|d| d["object"] == "customer").count();
    assert_eq!(customers, 0, "{result:#}");
}
