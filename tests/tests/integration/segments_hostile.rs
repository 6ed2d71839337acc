//! What segments are not made for, and must bear: thousands of them, clocks that step, rules that change while they fill, and records that come and
//! go while they are judged.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, event, on_both};
use crate::segments::{keeps, members};
use crate::waiting::{clock, later};

on_both!(
    thousands_of_segments_are_followed,
    a_clock_that_steps_back_moves_nobody_twice,
    the_rule_that_came_last_holds_however_quickly_it_came,
    who_is_merged_deleted_and_undone_meanwhile_is_where_the_rule_says,
    nulls_in_every_place_and_divisions_by_nothing_are_no,
);

/// The customers for which the rule holds, as the database is asked.
async fn asked(app: &TestApp, rule: &str) -> Vec<String> {
    let path = crate::client::with_query("/v1/records/customer", &[("where", rule), ("limit", "1000")]);
    let mut numbers: Vec<String> = app
        .get(&path)
        .await
        .expect(200)
        .items()
        .iter()
        .map(|item| item["customer_no"].as_str().unwrap().to_owned())
        .collect();
    numbers.sort();
    numbers
}

async fn moves(app: &TestApp) -> usize {
    app.settle().await;
    app.log().await.iter().filter(|event| event["type"].as_str().unwrap().starts_with("segment.")).count()
}

/// Ten thousand where it may take long, fewer on PostgreSQL, where it takes longer.
async fn thousands_of_segments_are_followed(database: Database) {
    let all = match std::env::var("RAPPORT_SLOW").as_deref() {
        Ok("1") if matches!(database, Database::Sqlite) => 10_000,
        Ok("1") => 4_000,
        _ => 2_000,
    };
    let mut setup = TestApp::on(database);
    for first in (0..all).step_by(500) {
        let mut source = "//! Five hundred segments.\n".to_owned();
        for n in first..first + 500 {
            writeln!(source, "segment(\"s-{n}\", \"lifetime_value >= {n} && country == 'France'\");").unwrap();
        }
        setup = setup.script(&format!("segments/many{first}"), &source);
    }
    let app = setup.start().await;
    for n in 0..all {
        let began = std::time::Instant::now();
        while app.get(&format!("/v1/segments/s-{n}")).await.expect(200).json()["state"] != "ready" {
            assert!(began.elapsed().as_secs() < 240, "s-{n} is not filled");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    app.post("/v1/records/customer", json!({ "customer_no": "1", "country": "France" })).await.expect(201);
    let order = json!({ "order_no": "1", "customer": "customer_no:1", "amount": "1200" });
    app.post("/v1/records/order", order).await.expect(201);
    let (last, next) = (members(&app, "s-1200").await, members(&app, "s-1201").await);
    assert_eq!((last, next), (vec!["1".to_owned()], Vec::new()));
    assert_eq!(app.get("/v1/customers/customer_no:1/360").await.json()["segments"].as_array().unwrap().len(), 1_201);
}

async fn a_clock_that_steps_back_moves_nobody_twice(database: Database) {
    let clock = clock();
    let quiet = keeps("quiet", "days_since(last_order_at) > 10");
    let app = TestApp::on(database).clock(clock.clone()).script("segments/quiet", &quiet).start().await;
    app.customer("1").await;
    let order =
        json!({ "order_no": "1", "customer": "customer_no:1", "amount": "5", "ordered_at": "2026-03-01T00:00:00Z" });
    app.post("/v1/records/order", order).await.expect(201);
    later(&clock, "12 days");
    assert_eq!((members(&app, "quiet").await.len(), moves(&app).await), (1, 1));
    later(&clock, "2 days");
    assert_eq!(moves(&app).await, 1, "nobody is judged anew because the clock was wrong");
    app.customer("2").await;
    later(&clock, "13 days");
    assert_eq!((members(&app, "quiet").await, moves(&app).await), (vec!["1".to_owned()], 1));
}

async fn the_rule_that_came_last_holds_however_quickly_it_came(database: Database) {
    let app = TestApp::start(database).await;
    let lines: Vec<String> =
        (0..900).map(|n| json!({ "customer_no": n.to_string(), "city": format!("c{}", n % 9) }).to_string()).collect();
    app.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await.expect(200);
    for n in 0..9 {
        let push = json!({ "path": "segments/city.rhai", "source": keeps("city", &format!("city == 'c{n}'")) });
        app.post("/v1/automations/segments%2Fcity/versions", push).await.expect(201);
        app.post("/v1/automations/segments%2Fcity/activate", json!({})).await.expect(200);
        app.patch(&format!("/v1/records/customer/customer_no:{n}"), json!({ "city": "c8" })).await.expect(200);
    }
    assert_eq!(members(&app, "city").await, asked(&app, "city == 'c8'").await);
    assert_eq!(members(&app, "city").await.len(), 108);
}

async fn who_is_merged_deleted_and_undone_meanwhile_is_where_the_rule_says(database: Database) {
    let rules = ["lifetime_value > 25", "did('page.viewed', {at_least: 2})", "country == 'France' && order_count >= 1"];
    let mut setup = TestApp::on(database);
    for (n, rule) in rules.iter().enumerate() {
        setup = setup.script(&format!("segments/s{n}"), &keeps(&format!("s{n}"), rule));
    }
    let app = setup.start().await;
    app.settle().await;
    for n in 0..12 {
        let body = json!({ "customer_no": n.to_string(), "country": if n % 2 == 0 { "France" } else { "Norway" } });
        app.post("/v1/records/customer", body).await.expect(201);
        let order = json!({ "order_no": n.to_string(), "customer": format!("customer_no:{n}"), "amount": "20" });
        app.post("/v1/records/order", order).await.expect(201);
        let view = event(&n.to_string(), "page.viewed", &format!("customer/customer_no:{n}"), json!({ "url": "/" }));
        app.post("/v1/events", view).await.expect(202);
        // Nothing is waited for in between: segments follow behind.
        match n % 4 {
            1 => drop(merge(&app, n - 1, n).await),
            2 => {
                let run = merge(&app, n, n - 2).await;
                app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200);
            }
            3 => {
                app.delete(&format!("/v1/records/order/order_no:{n}")).await.expect(204);
                app.delete(&format!("/v1/records/customer/customer_no:{n}")).await.expect(204);
            }
            _ => {}
        }
    }
    for (n, rule) in rules.iter().enumerate() {
        assert_eq!(members(&app, &format!("s{n}")).await, asked(&app, rule).await, "{rule}");
    }
    // 0 with 1, then on to 2 and back; 4 with 5; 8 with 9.
    assert_eq!(members(&app, "s0").await, ["0", "4", "8"]);
}

async fn merge(app: &TestApp, survivor: usize, merged: usize) -> String {
    let body = json!({ "merged": format!("customer_no:{merged}") });
    let done = app.post(&format!("/v1/records/customer/customer_no:{survivor}/merge"), body).await.expect(200).json();
    done["run"].as_str().unwrap().to_owned()
}

async fn nulls_in_every_place_and_divisions_by_nothing_are_no(database: Database) {
    let rules = [
        "100 / order_count > 0",
        "order_count / 0 > 1",
        "days_since(last_order_at) > 1",
        "lower(country) == 'x'",
        "name in [city, country]",
        "company.name == 'x'",
        "size(tags) / order_count == 1",
        "name == \\\"x' or '1'='1\\\"",
        "days_since(birthday) >= 0",
        "!(last_order_at > now())",
    ];
    let mut setup = TestApp::on(database);
    for (n, rule) in rules.iter().enumerate() {
        setup = setup.script(&format!("segments/s{n}"), &keeps(&format!("s{n}"), rule));
    }
    let app = setup.start().await;
    app.settle().await;
    app.post("/v1/records/customer", json!({})).await.expect(201);
    app.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    app.settle().await;
    let sizes: Vec<Value> = {
        let mut sizes = Vec::new();
        for n in 0..rules.len() {
            sizes.push(app.get(&format!("/v1/segments/s{n}")).await.expect(200).json()["size"].clone());
        }
        sizes
    };
    for (n, rule) in rules.iter().enumerate() {
        let rule = rule.replace("\\\"", "\"");
        let path = crate::client::with_query("/v1/records/customer/count", &[("where", rule.as_str())]);
        assert_eq!(app.get(&path).await.expect(200).json()["count"], sizes[n], "{rule}");
    }
    assert_eq!(json!(sizes[..9]), json!([0, 0, 0, 0, 0, 0, 0, 0, 0]));
}
