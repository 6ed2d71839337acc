//! Backtests of automations that start by themselves: what was scheduled comes out as it did, and a changed schedule is played.

use serde_json::{Value, json};

use crate::backtest_waits::{FOREVER, Story, assert_exact, writes};
use crate::harness::{Database, on_both, project};

on_both!(
    scheduled_runs_come_out_as_they_did,
    scheduled_runs_among_waits_come_out_as_they_did,
    a_changed_schedule_shows_when_it_would_have_run,
    a_changed_rule_shows_whom_a_campaign_would_have_reached,
    a_new_campaign_is_played_from_its_first_instant,
    a_schedule_that_was_changed_in_the_period_is_played_with_what_was_live,
    what_was_started_by_hand_stays,
);

/// Writes one company for each instant.
const NOTER: &str = r#"//! Notes each instant, and who was there.
every("0 10 * * *", "Asia/Shanghai");
uses("company:write", "customer:read");
fn run(event) {
    create("company", #{ company_no: `${event.data.instant}`, name: `${count("customer", "points > 0")} ${random()}` });
}
"#;

/// Counts on each customer with points how often it was called.
const CALLER: &str = r#"//! Calls everybody who has points, in the evening.
every("0 18 * * *", "UTC", #{ overlap: "queue" });
each("customer", "points > 100");
uses("customer:read", "customer.calls:write", "message:email");
field("customer", "points", "integer", #{ default: 0 });
field("customer", "calls", "integer", #{ default: 0 });
fn run(event) {
    increment(event.record, "calls", 1);
    if event.record.email != () { send("email", event.record, "hello", #{}); }
}
"#;

/// Waits, started by an instant.
const PATIENT: &str = r#"//! Looks back an hour after each instant.
every("0 12 * * *", "UTC");
uses("company:write", "customer:read");
fn run(event) {
    let before = count("customer", "points > 0");
    sleep("1 hour");
    create("company", #{ company_no: `p${event.data.instant}`, name: `${before} ${now()}` });
}
"#;

fn points() -> String {
    std::fs::read_to_string(project().join("scripts/loyalty/points.rhai")).unwrap()
}

/// Four days of orders by three customers: each day the clock goes through both instants.
async fn trade(story: &Story) {
    for day in 0..4 {
        for customer in 0..3 {
            let number = format!("{day}-{customer}");
            story.order(&number, &format!("c{customer}"), ["40", "150", "900"][customer]).await;
        }
        for hours in [7, 13, 15, 23] {
            story.at(day * 24 + hours).await;
        }
    }
    story.order("last", "c0", "1").await;
}

async fn story(database: Database, more: &[(&str, &str)]) -> Story {
    let points = points();
    let scripts = [&[("loyalty/points", points.as_str()), ("noter", NOTER), ("caller", CALLER)], more].concat();
    let story = Story::begin(database, &scripts).await;
    trade(&story).await;
    story
}

async fn scheduled_runs_come_out_as_they_did(database: Database) {
    let story = story(database, &[]).await;
    let instants = story.app.all("company").await.len();
    assert!(instants >= 3, "{instants}");
    for (id, source) in [("noter", NOTER), ("caller", CALLER), ("loyalty/points", &points())] {
        let result = story.backtest(id, source, FOREVER).await;
        assert_exact(&result, 3);
        let runs = story.app.runs(&format!("automation={}&status=completed", id.replace('/', "%2F"))).await.len();
        assert_eq!(result["runs"], json!({ "completed": runs }), "{id}: {result:#}");
    }
}

async fn scheduled_runs_among_waits_come_out_as_they_did(database: Database) {
    let story = story(database, &[("patient", PATIENT)]).await;
    for (id, source) in [("patient", PATIENT), ("noter", NOTER), ("caller", CALLER)] {
        let result = story.backtest(id, source, FOREVER).await;
        assert_exact(&result, 3);
    }
}

async fn a_changed_schedule_shows_when_it_would_have_run(database: Database) {
    let story = story(database, &[]).await;
    // At noon in Shanghai it is four in the morning in London; only the day's second instant is new.
    let changed = NOTER.replace("0 10 * * *", "30 10,12 * * *");
    let result = story.backtest("noter", &changed, FOREVER).await;
    let of = |day: &str| {
        let all = writes(&result);
        all.into_iter().find(|(what, ..)| what.starts_with(day)).map(|(_, then, now)| (then, now))
    };
    assert_eq!(of("2026-03-03"), Some((1, 2)), "{result:#}");
    assert_eq!(of("2026-03-04"), Some((1, 2)), "{result:#}");
    let runs = result["runs"]["completed"].as_i64().unwrap();
    assert_eq!(result["matched"], runs, "{result:#}");
    assert_eq!(runs, writes(&result).iter().map(|(.., now)| now).sum::<i64>());
}

async fn a_changed_rule_shows_whom_a_campaign_would_have_reached(database: Database) {
    let story = story(database, &[]).await;
    let then = story.app.customer_field("c1", "calls").await;
    assert!(then.as_i64().unwrap() > 0, "{then}");
    // Who has 300 points a day is never above 5,000; who has 1,800 a day is, from the third day on.
    let result = story.backtest("caller", &CALLER.replace("points > 100", "points > 5000"), FOREVER).await;
    let by = |key: &str| {
        let all = result["differences"].as_array().unwrap();
        all.iter().find(|d| d["key"] == format!("customer_no:{key}")).map(|d| d["fields"][0].clone())
    };
    let c1 = by("c1").unwrap();
    assert_eq!((&c1["field"], &c1["recorded"]), (&json!("calls"), &then), "{result:#}");
    assert!(c1["backtest"].as_i64().unwrap_or(0) == 0, "{result:#}");
    let c2 = by("c2").unwrap();
    assert!(c2["backtest"].as_i64().unwrap() > 0 && c2["by"].as_i64().unwrap() < 0, "{result:#}");
}

async fn a_new_campaign_is_played_from_its_first_instant(database: Database) {
    let story = story(database, &[]).await;
    let result = story.backtest("another", &CALLER.replace("calls", "told"), FOREVER).await;
    let told: Vec<(String, i64, i64)> = writes(&result);
    assert!(told.len() >= 3 && told.iter().all(|(_, then, now)| *then == 0 && *now >= 1), "{result:#}");
    let again = story.backtest("another", &CALLER.replace("calls", "told"), FOREVER).await;
    assert_eq!(again["writes"], result["writes"]);
}

async fn a_schedule_that_was_changed_in_the_period_is_played_with_what_was_live(database: Database) {
    let story = story(database, &[]).await;
    let later = NOTER.replace("0 10 * * *", "0 11 * * *");
    let Story { app, clock } = story;
    let app = app.restart(|setup| setup.clock(clock.clone()).script("noter", &later)).await;
    let story = Story { app, clock };
    for hours in [4 * 24 + 10, 4 * 24 + 20, 5 * 24 + 20] {
        story.at(hours).await;
    }
    story.order("after", "c1", "10").await;
    // What others saw of it comes out as it was; the later version alone is played anew before it was live.
    assert_exact(&story.backtest("caller", CALLER, FOREVER).await, 3);
    let result = story.backtest("noter", &later, FOREVER).await;
    let all: Vec<Value> = story.app.all("company").await;
    let after = all.iter().filter(|c| c["company_no"].as_str().unwrap().contains("T03:00")).count();
    assert!(after >= 1, "{all:?}");
    let days = writes(&result);
    assert!(days.iter().all(|(_, then, now)| *then == 1 && *now == 1), "{result:#}");
    assert!(result["records_differing"].as_u64().unwrap() > 0, "{result:#}");
}

async fn what_was_started_by_hand_stays(database: Database) {
    let points = points();
    let story = Story::begin(database, &[("loyalty/points", &points), ("noter", NOTER)]).await;
    story.app.customer("1").await;
    let schedule = story.app.get("/v1/schedules").await.expect(200).items().pop().unwrap();
    story.at(1).await;
    let path = format!("/v1/schedules/{}/run", schedule["id"].as_str().unwrap());
    story.app.post(&path, json!({})).await.expect(200);
    story.app.settle().await;
    story.at(15).await;
    story.paid("p", "1").await;
    let result = story.backtest("noter", NOTER, FOREVER).await;
    assert_exact(&result, 2);
    let result = story.backtest("noter", &NOTER.replace("0 10 * * *", "0 1 1 1 *"), FOREVER).await;
    assert_eq!(result["runs"], json!({ "completed": 1 }), "{result:#}");
}
