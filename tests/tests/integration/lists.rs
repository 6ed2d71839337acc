//! Lists: rules, order, pages, and what they refuse.

use serde_json::{Value, json};

use crate::client::with_query;
use crate::harness::{Database, TestApp, on_both};

on_both!(
    a_rule_finds_what_it_says,
    nulls_are_compared_as_documented,
    pages_go_through_all_rows_once,
    a_cursor_belongs_to_its_query,
    a_limit_beyond_the_maximum_is_refused_and_the_maximum_named,
    only_the_fields_asked_for_are_shown,
    the_hosts_own_objects_cannot_be_reached,
    a_broken_rule_is_refused_with_its_place,
    a_rule_of_any_depth_or_length_is_answered,
    days_are_counted_in_full,
);

async fn workspace(database: Database) -> TestApp {
    let app = TestApp::start(database).await;
    let rows = [
        ("a", json!("France"), json!("Ada%Lovelace")),
        ("b", json!("Germany"), json!("bob_X")),
        ("c", json!("france"), json!("Ünal")),
        ("d", Value::Null, Value::Null),
        ("e", json!("Finland"), json!("o'Hara \"q\"")),
    ];
    for (number, country, name) in rows {
        app.post("/v1/records/customer", json!({ "customer_no": number, "country": country, "name": name }))
            .await
            .expect(201);
    }
    for (number, customer, amount) in [("1", "a", "12.50"), ("2", "a", "-3"), ("3", "b", "100"), ("4", "e", "0.01")] {
        let body = json!({ "order_no": number, "customer": { "customer_no": customer }, "amount": amount });
        app.post("/v1/records/order", body).await.expect(201);
    }
    app
}

async fn found(app: &TestApp, object: &str, rule: &str) -> Vec<String> {
    let key = if object == "order" { "order_no" } else { "customer_no" };
    let path = with_query(&format!("/v1/records/{object}"), &[("where", rule), ("order", key)]);
    let items = app.get(&path).await.expect(200).items();
    items.iter().map(|i| i[key].as_str().unwrap().to_owned()).collect()
}

async fn a_rule_finds_what_it_says(database: Database) {
    let app = workspace(database).await;
    for (rule, want) in [
        ("country == 'France'", vec!["a"]),
        ("country in ['France', 'Finland']", vec!["a", "e"]),
        ("country.startsWith('F') && name.contains('\"q\"')", vec!["e"]),
        ("name.contains('%')", vec!["a"]),
        ("name.contains('_')", vec!["b"]),
        ("name.endsWith('nal')", vec!["c"]),
        ("lower(country) == 'france' || customer_no == 'b'", vec!["a", "b", "c"]),
        ("!(country == 'France') && country != null", vec!["b", "c", "e"]),
        ("country > 'G'", vec!["b", "c"]),
        ("version == 1 && created_at <= now()", vec!["a", "b", "c", "d", "e"]),
    ] {
        assert_eq!(found(&app, "customer", rule).await, want, "{rule}");
    }
    for (rule, want) in [
        ("amount > 12.49", vec!["1", "3"]),
        ("amount * 2 == 25", vec!["1"]),
        ("-amount > 0", vec!["2"]),
        ("amount < 0.02 && amount > 0", vec!["4"]),
        ("customer.country == 'France'", vec!["1", "2"]),
        ("customer.country in ['Germany', 'Finland'] && amount >= 0.01", vec!["3", "4"]),
        ("status == 'open' && amount != 100", vec!["1", "2", "4"]),
    ] {
        assert_eq!(found(&app, "order", rule).await, want, "{rule}");
    }
}

async fn nulls_are_compared_as_documented(database: Database) {
    let app = workspace(database).await;
    assert_eq!(found(&app, "customer", "country == null").await, ["d"]);
    assert_eq!(found(&app, "customer", "country != null").await, ["a", "b", "c", "e"]);
    assert_eq!(found(&app, "customer", "country != 'France'").await, ["b", "c", "d", "e"]);
    assert_eq!(found(&app, "customer", "country < 'Z'").await, ["a", "b", "e"]);
    assert_eq!(found(&app, "customer", "!(country < 'Z')").await, ["c", "d"]);
}

async fn pages_go_through_all_rows_once(database: Database) {
    let app = TestApp::start(database).await;
    let lines: Vec<String> =
        (0..25).map(|i| json!({ "company_no": format!("{i:02}"), "city": format!("{}", i % 3) }).to_string()).collect();
    app.ndjson("/v1/records/company/bulk", &lines).await.expect(200);
    for order in ["city", "-city,company_no", "company_no", "-created_at", ""] {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let mut query = vec![("limit", "4")];
            query.extend((!order.is_empty()).then_some(("order", order)));
            query.extend(cursor.as_deref().map(|c| ("cursor", c)));
            let page = app.get(&with_query("/v1/records/company", &query)).await.expect(200);
            assert!(page.items().len() <= 4);
            seen.extend(page.items().iter().map(|i| i["company_no"].as_str().unwrap().to_owned()));
            cursor = page.json()["next"].as_str().map(ToOwned::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 25, "{order}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 25, "{order}: every row once");
    }
}

async fn a_cursor_belongs_to_its_query(database: Database) {
    let app = workspace(database).await;
    let page = app.get("/v1/records/customer?limit=2&order=customer_no").await.expect(200).json();
    let cursor = page["next"].as_str().unwrap();
    let other = with_query("/v1/records/customer", &[("limit", "2"), ("order", "-customer_no"), ("cursor", cursor)]);
    assert_eq!(app.get(&other).await.expect(400).code(), "invalid_cursor");
    let mut forged: Vec<String> = vec![String::new(), "x".into(), "AAAA".into(), cursor.repeat(50), "%00".into()];
    forged.push(cursor.chars().rev().collect());
    for cursor in forged {
        let path = with_query("/v1/records/customer", &[("limit", "2"), ("order", "customer_no"), ("cursor", &cursor)]);
        let reply = app.get(&path).await;
        assert!(reply.status == 400 || cursor.is_empty() && reply.status == 200, "{cursor}: {}", reply.text());
    }
}

async fn a_limit_beyond_the_maximum_is_refused_and_the_maximum_named(database: Database) {
    let app = workspace(database).await;
    for limit in ["1000000000", "1001", "0", "-1", "x", "99999999999999999999", "1.5", ""] {
        let reply = app.get(&format!("/v1/records/customer?limit={limit}")).await.expect(400);
        assert!(reply.text().contains("1000"), "{limit}: {}", reply.text());
    }
    app.get("/v1/records/customer?limit=1000").await.expect(200);
    app.get("/v1/records/customer?limit=1&limit=2").await.expect(400);
    app.get("/v1/records/customer?limti=1").await.expect(400);
}

async fn only_the_fields_asked_for_are_shown(database: Database) {
    let app = workspace(database).await;
    let item =
        app.get("/v1/records/customer?limit=1&order=customer_no&fields=country").await.expect(200).items()[0].clone();
    assert_eq!(item["country"], "France");
    assert!(item.get("name").is_none(), "{item}");
    assert_eq!(app.get("/v1/records/customer?fields=nmae").await.expect(400).code(), "unknown_field");
}

async fn the_hosts_own_objects_cannot_be_reached(database: Database) {
    let app = workspace(database).await;
    for path in [
        "/v1/records/api_key",
        "/v1/records/user",
        "/v1/records/sqlite_master",
        "/v1/records/o_customer",
        "/v1/records/nothing",
    ] {
        let reply = app.get(path).await.expect(404);
        assert_eq!(reply.code(), "unknown_object", "{path}");
    }
    for rule in ["hash == 'x'", "customer.hash == 'x'", "rowid > 0", "ctid == 'x'", "o_customer.id == 'x'"] {
        app.get(&with_query("/v1/records/customer", &[("where", rule)])).await.expect(400);
    }
    for order in ["hash", "rowid", "customer_no;drop table o_customer", "-", "customer_no,customer_no desc"] {
        let reply = app.get(&with_query("/v1/records/customer", &[("order", order)])).await;
        assert!(reply.status == 400 || reply.status == 422, "{order}: {}", reply.text());
    }
}

async fn a_broken_rule_is_refused_with_its_place(database: Database) {
    let app = workspace(database).await;
    for (rule, says) in [
        ("country = 'France'", "=="),
        ("contry == 'France'", "country"),
        ("country > 5", "text"),
        ("country ==", "end"),
        ("customer_no == 'a' and true", "&&"),
    ] {
        let reply = app.get(&with_query("/v1/records/customer", &[("where", rule)])).await.expect(400);
        assert_eq!(reply.code(), "invalid_rule");
        assert!(reply.text().contains(says), "{rule} should mention {says}: {}", reply.text());
    }
}

async fn a_rule_of_any_depth_or_length_is_answered(database: Database) {
    let app = workspace(database).await;
    let deep = format!("{}true{}", "(".repeat(3_000), ")".repeat(3_000));
    let long = format!("customer_no in [{}]", vec!["'x'"; 900].join(","));
    let not = format!("{}true", "!".repeat(3_000));
    for rule in [deep, long, not, "\u{0}".into(), "'".into(), "🦀".into()] {
        let reply = app.get(&with_query("/v1/records/customer", &[("where", &rule)])).await;
        assert_eq!(reply.status / 100, 4, "{}", &rule[..rule.len().min(20)]);
    }
    app.customer("alive").await;
}

async fn days_are_counted_in_full(database: Database) {
    let app = workspace(database).await;
    let now = rapport_model::Clock::now(&rapport_model::time::WallClock);
    for (number, hours) in [("1", 23), ("2", 25), ("3", 49), ("4", -1)] {
        let at = now.plus_micros(-hours * 3_600_000_000).to_string();
        app.patch(&format!("/v1/records/order/order_no:{number}"), json!({ "ordered_at": at })).await.expect(200);
    }
    assert_eq!(found(&app, "order", "days_since(ordered_at) == 0").await, ["1"]);
    assert_eq!(found(&app, "order", "days_since(ordered_at) >= 1").await, ["2", "3"]);
    assert_eq!(found(&app, "order", "days_since(ordered_at) < 0").await, ["4"]);
}
