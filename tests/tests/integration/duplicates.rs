//! Customers that may be one: what speaks for it, what they score, who was told apart, and what is kept for it.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::client::{Client, with_query};
use crate::harness::{Database, TestApp, on_both, order_paid};
use crate::process::rapport;

on_both!(
    an_address_written_otherwise_is_the_same,
    a_phone_number_is_the_same_with_and_without_its_country,
    names_are_compared_within_a_postcode,
    what_agrees_adds_up_and_a_birthday_counts_beside_it,
    a_pair_below_the_wanted_score_is_not_shown,
    a_pair_is_found_once_whatever_it_has_in_common,
    a_phone_of_three_hundred_customers_says_nothing_and_is_told,
    a_pair_that_somebody_told_apart_is_no_suggestion,
    keys_follow_updates_deletions_undo_and_imports,
    another_object_with_the_same_fields_is_not_looked_at,
    hostile_values_are_values,
    pages_follow_each_other_without_a_gap_or_a_double,
    a_page_reads_so_many_keys_and_no_more,
    a_key_sees_what_it_may,
    customers_from_before_are_found_once_they_are_looked_through,
    a_key_that_somebody_else_took_from_the_table_is_told,
    a_backup_brings_the_keys_along,
    the_command_line_lists_duplicates_and_tells_them_apart,
);

async fn add(app: &TestApp, number: &str, mut fields: Value) -> String {
    fields["customer_no"] = number.into();
    let made = app.post("/v1/records/customer", fields).await.expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

async fn import(app: &TestApp, lines: impl Iterator<Item = Value>) {
    let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
    for lines in lines.chunks(1_000) {
        app.ndjson("/v1/records/customer/bulk?key=customer_no", lines).await.expect(200);
    }
}

async fn page(client: &Client, query: &[(&str, &str)]) -> Value {
    client.get(&with_query("/v1/customers/duplicates", query)).await.expect(200).json()
}

/// The numbers of the two customers of a pair.
fn numbers(pair: &Value) -> (String, String) {
    let number = |n: usize| pair["customers"][n]["customer_no"].as_str().unwrap().to_owned();
    (number(0), number(1))
}

fn pairs(page: &Value) -> Vec<(String, String)> {
    page["items"].as_array().unwrap().iter().map(numbers).collect()
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

/// All pairs of at least this score.
async fn all(app: &TestApp, at_least: &str) -> Vec<(String, String)> {
    pairs(&page(app, &[("at_least", at_least), ("limit", "1000")]).await)
}

async fn an_address_written_otherwise_is_the_same(database: Database) {
    let app = TestApp::start(database).await;
    let a = add(&app, "a", json!({ "email": "Anna.Muller+news@GoogleMail.com", "name": "Anna" })).await;
    add(&app, "b", json!({ "email": "annamuller@gmail.com", "phone": "1" })).await;
    add(&app, "c", json!({ "email": "anna.muller@example.org" })).await;
    add(&app, "d", json!({ "email": "annamuller@example.org" })).await;
    let found = page(&app, &[]).await;
    let customers = [
        json!({ "record": format!("customer/{a}"), "customer_no": "a", "name": "Anna",
            "email": "Anna.Muller+news@GoogleMail.com", "phone": null }),
        found["items"][0]["customers"][1].clone(),
    ];
    let reasons = json!([{ "kind": "email", "value": "annamuller@gmail.com" }]);
    let wanted = json!([{ "score": 0.9, "reasons": reasons, "customers": customers }]);
    assert_eq!(found, json!({ "items": wanted, "next": null, "left_out": [], "filling": false }));
    assert_eq!(pairs(&found), [pair("a", "b")]);
    let own = app.get("/v1/customers/customer_no:b/duplicates").await.expect(200).json();
    assert_eq!((pairs(&own), &own["items"][0]["score"]), (vec![pair("b", "a")], &json!(0.9)));
    let none = app.get("/v1/customers/customer_no:c/duplicates").await.expect(200).items();
    assert!(none.is_empty(), "dots count elsewhere: {none:?}");
}

async fn a_phone_number_is_the_same_with_and_without_its_country(database: Database) {
    let app = TestApp::start(database).await;
    for (number, phone) in [("a", "+49 170 1234567"), ("b", "0170/123 45 67"), ("c", "0171 1234567"), ("d", "110")] {
        add(&app, number, json!({ "phone": phone })).await;
    }
    add(&app, "e", json!({ "phone": "110" })).await;
    let found = page(&app, &[]).await;
    assert_eq!((pairs(&found), &found["items"][0]["score"]), (vec![pair("a", "b")], &json!(0.7)));
    assert_eq!(found["items"][0]["reasons"], json!([{ "kind": "phone", "value": "701234567" }]));
}

async fn names_are_compared_within_a_postcode(database: Database) {
    let app = TestApp::start(database).await;
    for (number, name, postcode) in [
        ("a", "Müller, Anna", "89 073"),
        ("b", "anna muller", "89073"),
        ("c", "Ana Muller", "89073"),
        ("d", "Anna Müller", "89075"),
        ("e", "Bert Maier", "89073"),
    ] {
        add(&app, number, json!({ "name": name, "postcode": postcode })).await;
    }
    let found = page(&app, &[]).await;
    assert_eq!(pairs(&found), [pair("a", "b"), pair("a", "c"), pair("b", "c")]);
    let (first, second) = (&found["items"][0], &found["items"][1]);
    assert_eq!(first["reasons"], json!([{ "kind": "name", "likeness": 1.0, "postcode": "89073" }]));
    assert_eq!(first["score"], 0.8);
    let likeness = second["reasons"][0]["likeness"].as_f64().unwrap();
    assert!((0.9..1.0).contains(&likeness), "{second}");
    assert!((second["score"].as_f64().unwrap() - 0.8 * likeness).abs() < 1e-4, "{second}");
}

async fn what_agrees_adds_up_and_a_birthday_counts_beside_it(database: Database) {
    let app = TestApp::start(database).await;
    let born = |day: &str, phone: &str| json!({ "phone": phone, "birthday": day });
    add(&app, "a", json!({ "email": "x@gmail.com", "phone": "0170 1234567" })).await;
    add(&app, "b", json!({ "email": "x+1@gmail.com", "phone": "+49 170 1234567" })).await;
    add(&app, "c", born("1990-01-02", "0171 1234567")).await;
    add(&app, "d", born("1990-01-02", "0171 1234567")).await;
    add(&app, "e", born("1990-01-02", "0172 1234567")).await;
    add(&app, "f", born("1990-01-03", "0172 1234567")).await;
    let found = page(&app, &[("at_least", "0.1")]).await;
    let told: Vec<Value> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let kinds: Vec<&Value> = item["reasons"].as_array().unwrap().iter().map(|r| &r["kind"]).collect();
            json!([numbers(item).0, numbers(item).1, item["score"], kinds])
        })
        .collect();
    let wanted = [
        json!(["a", "b", 0.97, ["email", "phone"]]),
        json!(["c", "d", 0.79, ["phone", "birthday"]]),
        json!(["e", "f", 0.49, ["phone", "other_birthday"]]),
    ];
    assert_eq!(told, wanted, "who has a birthday in common and nothing else is no pair");
}

async fn a_pair_below_the_wanted_score_is_not_shown(database: Database) {
    let app = TestApp::start(database).await;
    add(&app, "a", json!({ "phone": "0170 1234567", "birthday": "1990-01-02" })).await;
    add(&app, "b", json!({ "phone": "0170 1234567", "birthday": "1990-01-03" })).await;
    assert!(pairs(&page(&app, &[]).await).is_empty(), "0.49 is below what is asked for if nothing is said");
    assert_eq!(all(&app, "0.49").await, [pair("a", "b")]);
    assert!(all(&app, "0.4901").await.is_empty());
    let own = "/v1/customers/customer_no:a/duplicates";
    assert_eq!(app.get(&format!("{own}?at_least=0.49")).await.expect(200).items().len(), 1);
    assert!(app.get(own).await.expect(200).items().is_empty());
    for query in
        ["at_least=0", "at_least=1.1", "at_least=NaN", "at_least=-1", "at_least=x", "limit=0", "cursor=x", "x=1"]
    {
        app.get(&format!("/v1/customers/duplicates?{query}")).await.expect(400);
        app.get(&format!("{own}?{query}")).await.expect(400);
    }
    app.get("/v1/customers/customer_no:z/duplicates").await.expect(404);
}

async fn a_pair_is_found_once_whatever_it_has_in_common(database: Database) {
    let app = TestApp::start(database).await;
    let fields = |email: &str| json!({ "email": email, "phone": "0170 1234567", "name": "Anna", "postcode": "89073" });
    add(&app, "a", fields("x@gmail.com")).await;
    add(&app, "b", fields("x+1@gmail.com")).await;
    add(&app, "c", fields("y@gmail.com")).await;
    let found = page(&app, &[]).await;
    assert_eq!(pairs(&found), [pair("a", "b"), pair("a", "c"), pair("b", "c")]);
    assert_eq!((&found["items"][0]["score"], &found["items"][1]["score"]), (&json!(0.994), &json!(0.94)));
}

async fn a_phone_of_three_hundred_customers_says_nothing_and_is_told(database: Database) {
    let app = TestApp::start(database).await;
    import(&app, (0..300).map(|n| json!({ "customer_no": format!("s{n:03}"), "phone": "0731 1000000" }))).await;
    add(&app, "a", json!({ "phone": "+49 731 1000000", "name": "Anna", "postcode": "89073" })).await;
    add(&app, "b", json!({ "phone": "0731 1000000", "name": "Anna", "postcode": "89073" })).await;
    let found = page(&app, &[]).await;
    let why = "more than 200 customers have it, so it says nothing";
    let left_out = json!([{ "kind": "phone", "value": "311000000", "why": why }]);
    assert_eq!((pairs(&found), &found["left_out"]), (vec![pair("a", "b")], &left_out));
    assert_eq!(found["items"][0]["score"], 0.8, "by the name alone");
    let own = app.get("/v1/customers/customer_no:a/duplicates").await.expect(200).json();
    assert_eq!(
        (pairs(&own), &own["left_out"], &own["items"][0]["score"]),
        (vec![pair("a", "b")], &left_out, &json!(0.8))
    );
    // It is told on one page.
    add(&app, "c", json!({ "email": "x@gmail.com" })).await;
    add(&app, "d", json!({ "email": "x+1@gmail.com" })).await;
    let first = page(&app, &[("limit", "1")]).await;
    assert_eq!((pairs(&first), &first["left_out"]), (vec![pair("c", "d")], &json!([])));
    let second = page(&app, &[("limit", "1"), ("cursor", first["next"].as_str().unwrap())]).await;
    assert_eq!((pairs(&second), &second["left_out"]), (vec![pair("a", "b")], &left_out));
    // Two hundred are not too many.
    import(&app, (0..102).map(|n| json!({ "customer_no": format!("s{n:03}"), "phone": null }))).await;
    let own = app.get("/v1/customers/customer_no:a/duplicates?limit=1000").await.expect(200).json();
    assert_eq!((own["items"].as_array().unwrap().len(), &own["left_out"]), (199, &json!([])));
    assert_eq!((&own["items"][0]["score"], &own["items"][1]["score"]), (&json!(0.94), &json!(0.7)));
}

async fn a_pair_that_somebody_told_apart_is_no_suggestion(database: Database) {
    let app = TestApp::start(database).await;
    for number in ["a", "b", "c"] {
        add(&app, number, json!({ "phone": "0170 1234567" })).await;
    }
    let relation = |kind: &str, from: &str, to: &str| {
        let key = |number: &str| format!("customer_no:{number}");
        json!({ "kind": kind, "from_customer": key(from), "to_customer": key(to) })
    };
    app.post("/v1/records/relation", relation("spouse", "a", "c")).await.expect(201);
    let told = app.post("/v1/records/relation", relation("distinct", "b", "a")).await.expect(201).json();
    assert_eq!(all(&app, "0.6").await, [pair("a", "c"), pair("b", "c")], "either way");
    let own = app.get("/v1/customers/customer_no:a/duplicates").await.expect(200).json();
    assert_eq!(pairs(&own), [pair("a", "c")]);
    // What has ended says nothing any more.
    let path = format!("/v1/records/relation/{}", told["id"].as_str().unwrap());
    app.patch(&path, json!({ "until": "2020-01-01" })).await.expect(200);
    assert_eq!(all(&app, "0.6").await.len(), 3);
}

const FORGETTER: &str = r#"//! Forgets who pays for it.
on("order.paid");
uses("customer:read", "customer:delete", "customer.phone:write");
fn run(event) {
    if event.data.amount == 1 { delete("customer", event.record.id); } else { update(event.record, #{ phone: () }); }
}
"#;

async fn keys_follow_updates_deletions_undo_and_imports(database: Database) {
    let app = TestApp::on(database).script("forgetter", FORGETTER).start().await;
    add(&app, "a", json!({ "phone": "0170 1234567" })).await;
    add(&app, "b", json!({ "phone": "0171 1234567" })).await;
    assert!(all(&app, "0.6").await.is_empty());
    app.patch("/v1/records/customer/customer_no:b", json!({ "phone": "+49 170 1234567" })).await.expect(200);
    assert_eq!(all(&app, "0.6").await, [pair("a", "b")]);
    for (id, amount) in [("1", "1"), ("2", "2")] {
        app.post("/v1/events", order_paid(id, "b", amount)).await.expect(202);
        app.run_until_idle().await;
        assert!(all(&app, "0.6").await.is_empty(), "{amount}");
        let run = app.runs("automation=forgetter").await.remove(0)["id"].as_str().unwrap().to_owned();
        app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200);
        assert_eq!(all(&app, "0.6").await, [pair("a", "b")], "{amount}");
    }
    import(&app, [json!({ "customer_no": "c", "phone": "0170 1234567" })].into_iter()).await;
    assert_eq!(all(&app, "0.6").await.len(), 3);
    let report = app.get("/v1/health/invariants").await.expect(200).json();
    assert_eq!(report["ok"], true, "{report}");
}

async fn another_object_with_the_same_fields_is_not_looked_at(database: Database) {
    let app = TestApp::start(database).await;
    let field = |name: &str| json!({ "name": name, "type": "text" });
    let fields: Vec<Value> = ["name", "email", "phone", "postcode"].map(field).to_vec();
    app.post("/v1/objects", json!({ "name": "lead", "fields": fields })).await.expect(201);
    let same = json!({ "name": "Anna", "email": "a@b.c", "phone": "0170 1234567", "postcode": "89073" });
    for _ in 0..2 {
        app.post("/v1/records/lead", same.clone()).await.expect(201);
    }
    add(&app, "a", same).await;
    assert!(all(&app, "0.1").await.is_empty());
    assert_eq!(app.get("/v1/health/invariants").await.expect(200).json()["ok"], true);
}

async fn hostile_values_are_values(database: Database) {
    let app = TestApp::start(database).await;
    let sql = "'; drop table match_key; --@example.org";
    let (long, number) = ("x".repeat(10_000), |digit: &str| digit.repeat(1_000));
    let address = format!("{}@x", "x".repeat(1_000));
    let odd = [
        json!({}),
        json!({ "name": null, "email": null, "phone": null, "postcode": null }),
        json!({ "name": "", "email": "", "phone": "", "postcode": "" }),
        json!({ "name": "\u{1f600}", "email": "\u{1f600}", "phone": "\u{1f600}", "postcode": "\u{1f600}" }),
        json!({ "name": long, "email": address, "phone": number("1"), "postcode": "89073" }),
        json!({ "name": long, "email": format!("{address}.y"), "phone": number("2"), "postcode": long }),
        json!({ "name": format!("{long} {long}"), "phone": number("3"), "postcode": "89073" }),
        json!({ "name": "%_\\", "email": sql, "phone": "$1 or 1=1", "postcode": "%" }),
        json!({ "name": "\u{202e}drop", "email": "'; DROP table match_key; --+x@example.org", "postcode": "--" }),
    ];
    for (n, fields) in odd.into_iter().enumerate() {
        add(&app, &n.to_string(), fields).await;
    }
    assert_eq!(all(&app, "0.6").await, [pair("7", "8"), pair("4", "6")]);
    for n in 0..9 {
        app.get(&format!("/v1/customers/customer_no:{n}/duplicates")).await.expect(200);
    }
    assert_eq!(app.get("/v1/health/invariants").await.expect(200).json()["ok"], true);
}

/// Goes through all pages; says how many there were.
async fn walk(app: &TestApp, limit: &str) -> (Vec<(String, String)>, usize) {
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let mut query = vec![("limit", limit)];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page = page(app, &query).await;
        pages += 1;
        assert!(pairs(&page).len() <= limit.parse().unwrap());
        found.extend(pairs(&page));
        let Some(next) = page["next"].as_str() else { return (found, pages) };
        cursor = next.to_owned();
    }
}

async fn pages_follow_each_other_without_a_gap_or_a_double(database: Database) {
    let app = TestApp::start(database).await;
    let fields = |n: u32| {
        json!({
            "customer_no": format!("{n:02}"), "phone": format!("0170 123456{}", n % 3), "name": "Anna",
            "postcode": format!("8907{}", n % 2), "email": format!("x+{n}@example{}.org", n % 4),
        })
    };
    import(&app, (0..24).map(fields)).await;
    let whole = all(&app, "0.6").await;
    let once: HashSet<&(String, String)> = whole.iter().collect();
    // Those that have at least one of the three remainders in common.
    let wanted =
        (0..24_u32).flat_map(|a| (a + 1..24).map(move |b| b - a)).filter(|d| [2, 3].iter().any(|m| d % m == 0));
    assert_eq!((whole.len(), once.len()), (wanted.count(), whole.len()));
    for limit in ["1", "7", "12", "1000"] {
        assert_eq!(walk(&app, limit).await.0, whole, "{limit}");
    }
    let first = page(&app, &[("limit", "7")]).await;
    let query = [("limit", "7"), ("at_least", "0.7"), ("cursor", first["next"].as_str().unwrap())];
    app.get(&with_query("/v1/customers/duplicates", &query)).await.expect(400);
}

async fn a_page_reads_so_many_keys_and_no_more(database: Database) {
    let app = TestApp::start(database).await;
    let fields = |n: u32| json!({ "customer_no": n.to_string(), "phone": (1_000_000 + n).to_string(), "email": format!("{n}@example.org") });
    import(&app, (0..5_200).map(fields)).await;
    add(&app, "a", json!({ "phone": "9999999" })).await;
    add(&app, "b", json!({ "phone": "09999999" })).await;
    let first = page(&app, &[]).await;
    assert!(pairs(&first).is_empty() && first["next"].is_string(), "{first}");
    assert_eq!(walk(&app, "50").await, (vec![pair("a", "b")], 2));
}

async fn a_key_sees_what_it_may(database: Database) {
    let app = TestApp::start(database).await;
    for number in ["a", "b"] {
        add(&app, number, json!({ "phone": "0170 1234567" })).await;
    }
    for (objects, code) in [(json!(["customer"]), 200), (json!(["company"]), 403)] {
        let key = json!({ "name": code.to_string(), "scopes": ["read"], "objects": objects });
        let made = app.post("/v1/keys", key).await.expect(201).json();
        let client = app.with_key(made["secret"].as_str().unwrap());
        client.get("/v1/customers/duplicates").await.expect(code);
        client.get("/v1/customers/customer_no:a/duplicates").await.expect(code);
    }
    app.without_key().get("/v1/customers/duplicates").await.expect(401);
}

/// Runs statements on the database while nobody serves it.
async fn tampered(database: Database, app: TestApp, texts: &[&str]) -> TestApp {
    let (url, folder) = (app.database_url(), app.folder.clone());
    app.restart_after(async || {
        for text in texts {
            crate::database::execute(database, &folder.path().join("data"), &url, text).await;
        }
    })
    .await
}

async fn customers_from_before_are_found_once_they_are_looked_through(database: Database) {
    let app = TestApp::start(database).await;
    import(&app, (0..450).map(|n| json!({ "customer_no": n.to_string(), "phone": (1_000_000 + n % 449).to_string() })))
        .await;
    let app = tampered(database, app, &["delete from match_key", "delete from meta where key = 'match_keys'"]).await;
    let mut tries = 0;
    while page(&app, &[]).await["filling"] == true {
        tries += 1;
        assert!(tries < 1_000, "it does not come to an end");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let found = all(&app, "0.6").await;
    // Records that one import made at the same instant have their ids in any order.
    assert!(found == [pair("0", "449")] || found == [pair("449", "0")], "{found:?}");
    assert_eq!(app.get("/v1/health/invariants").await.expect(200).json()["ok"], true);
    // Done is done: it is not looked through again.
    let app = tampered(database, app, &["delete from match_key"]).await;
    assert!(all(&app, "0.6").await.is_empty());
}

async fn a_key_that_somebody_else_took_from_the_table_is_told(database: Database) {
    let app = TestApp::start(database).await;
    for number in ["a", "b"] {
        add(&app, number, json!({ "phone": "0170 1234567", "email": format!("{number}@b.c") })).await;
    }
    let findings = async |app: &TestApp| {
        let report = app.get("/v1/health/invariants").await.expect(200).json();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == "match_keys").unwrap()["findings"].as_array().unwrap().len()
    };
    assert_eq!(findings(&app).await, 0);
    let app = tampered(database, app, &["delete from match_key where key = 'a@b.c'"]).await;
    assert_eq!(findings(&app).await, 1);
    // What the report says to do helps.
    for email in [json!(null), json!("a@b.c")] {
        app.patch("/v1/records/customer/customer_no:a", json!({ "email": email })).await.expect(200);
    }
    assert_eq!(findings(&app).await, 0);
    let app = tampered(database, app, &["delete from o_customer where customer_no = 'b'"]).await;
    assert_eq!(findings(&app).await, 1, "keys of nobody");
}

async fn a_backup_brings_the_keys_along(database: Database) {
    let app = TestApp::start(database).await;
    for number in ["a", "b"] {
        add(&app, number, json!({ "phone": "0170 1234567" })).await;
    }
    let key = app.folder.path().join("key");
    let folder = app.folder.path().join("backup").display().to_string();
    rapport(&["backup", &folder]).to(&app, &key).run().expect(0);
    let manifest = std::fs::read_to_string(app.folder.path().join("backup/manifest.json")).unwrap();
    assert!(manifest.contains("\"match_key\": 2"), "{manifest}");
}

async fn the_command_line_lists_duplicates_and_tells_them_apart(database: Database) {
    let app = TestApp::start(database).await;
    let key = app.folder.path().join("key");
    let call = |line: &[&str], code| rapport(line).to(&app, &key).run().expect(code).output;
    add(&app, "a", json!({ "name": "Müller, Anna", "postcode": "89073", "phone": "0170 1234567" })).await;
    add(&app, "b", json!({ "name": "Anna Muller", "postcode": "89073", "phone": "+49 170 1234567" })).await;
    add(&app, "c", json!({ "phone": "0170 1234567" })).await;
    let listed = call(&["customer", "duplicates"], 0);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 7, "{listed}");
    assert!(lines[0].contains("SCORE") && lines[1].contains("0.94") && lines[1].contains("Müller, Anna"), "{listed}");
    assert!(lines[1].contains("phone 701234567, name 1.00 in 89073") && lines[2].contains("Anna Muller"), "{listed}");
    let first = call(&["customer", "duplicates", "--limit", "1", "--json"], 0);
    let first: Value = serde_json::from_str(&first).unwrap();
    let cursor = first["next"].as_str().unwrap();
    let rest = call(&["customer", "duplicates", "--cursor", cursor, "--json"], 0);
    let rest: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!([pairs(&first), pairs(&rest)].concat(), [pair("a", "b"), pair("a", "c"), pair("b", "c")]);
    let told = call(&["customer", "distinct", "customer_no:a", "customer_no:b"], 0);
    assert!(told.starts_with("relation/"), "{told}");
    let own = call(&["customer", "duplicates", "customer_no:a", "--at-least", "0.5"], 0);
    assert!(!own.contains("Muller") && own.contains("0.70"), "{own}");
    call(&["customer", "distinct", "customer_no:a", "customer_no:a"], 2);
    call(&["customer", "distinct", "customer_no:a", "customer_no:z"], 1);
    call(&["customer", "duplicates", "--at-least", "2"], 1);
}
