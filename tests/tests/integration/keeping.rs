//! What plugins keep for themselves, read in bulk, and use without seeing it.

use rapport_package::{Package, SecretKey};
use serde_json::{Value, json};

use crate::client::Request;
use crate::harness::{Database, TestApp, keeper_manifest, on_both};
use crate::waiting::{clock, later, waiting};

on_both!(
    what_a_plugin_keeps_is_there_for_its_next_run_and_for_no_other_plugin,
    what_is_kept_has_a_quota_and_limits,
    a_slice_that_fails_keeps_nothing,
    an_undo_takes_back_what_was_kept,
    runs_that_count_at_once_count_each,
    a_run_that_waits_is_told_the_same_again,
    a_backtest_begins_with_what_was_kept_then,
    what_is_kept_outlives_an_uninstall,
    rows_are_read_page_by_page,
    groups_are_as_counted_one_by_one,
    what_this_slice_wrote_is_not_read_in_bulk,
    a_field_that_was_not_declared_is_not_read,
    a_field_that_was_not_granted_is_not_read,
    a_secret_signs_and_is_never_seen,
    a_secret_that_was_not_granted_is_not_used,
    a_plugin_knows_what_it_runs_as,
);

/// Has the plugin `country` do `calls` for a new customer.
pub(crate) async fn ask(app: &TestApp, country: &str, number: &str, calls: Value) {
    let customer = json!({ "customer_no": number, "country": country, "notes": calls.to_string() });
    app.post("/v1/records/customer", customer).await.expect(201);
}

/// What it was told.
pub(crate) async fn told(app: &TestApp, number: &str) -> Value {
    let text = app.customer_field(number, "postcode").await;
    text.as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

pub(crate) async fn asked(app: &TestApp, country: &str, number: &str, calls: Value) -> Value {
    ask(app, country, number, calls).await;
    app.run_until_idle().await;
    told(app, number).await
}

async fn what_a_plugin_keeps_is_there_for_its_next_run_and_for_no_other_plugin(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "").keeper_plugin("keep", &[], "").start().await;
    let first = json!([
        ["get", "a"],
        ["set", "a", "x"],
        ["delete", "a"],
        ["set", "a", "ä"],
        ["get", "a"],
        ["set", "b/2", "2"],
        ["set", "b/1", ""],
        ["list", "b/", "", 9],
        ["increment", "n", 2],
        ["delete", "b/2"],
        ["delete", "b/2"],
        ["list", "", "", 9],
        ["fill", "raw", 2],
    ]);
    let answers =
        json!([null, null, true, null, "ä", null, null, ["b/1", "b/2"], 2, true, false, ["a", "b/1", "n"], null]);
    assert_eq!(asked(&app, "keeper", "1", first).await, answers);
    let second = json!([
        ["get", "a"],
        ["increment", "n", -5],
        ["list", "", "a", 2],
        ["get", "b/1"],
        ["bytes", "raw"],
        ["increment", "a", 1],
    ]);
    let answers = json!(["ä", -3, ["b/1", "n"], "", [255, 255], { "error": "invalid" }]);
    assert_eq!(asked(&app, "keeper", "2", second).await, answers);
    let other = json!([["get", "a"], ["list", "", "", 9], ["list", "er:", "", 9], ["increment", "n", 1]]);
    assert_eq!(asked(&app, "keep", "3", other).await, json!([null, [], [], 1]));
    // It is no object that callers know.
    assert_eq!(app.get("/v1/records/plugin_kv").await.expect(404).code(), "unknown_object");
}

async fn what_is_kept_has_a_quota_and_limits(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "[budgets]\nkv_bytes = 100\n").start().await;
    let first =
        asked(&app, "keeper", "1", json!([["fill", "a", 60], ["fill", "b", 60], ["fill", "a", 99], ["fill", "a", 50]]));
    assert_eq!(first.await, json!([null, { "error": "quota" }, null, null]));
    let second = json!([["fill", "b", 49], ["fill", "b", 48], ["delete", "a"], ["fill", "b", 99]]);
    assert_eq!(asked(&app, "keeper", "2", second).await, json!([{ "error": "quota" }, null, true, null]));
    let long = "k".repeat(201);
    let third = json!([["set", "", "x"], ["set", long, "x"], ["set", "a\nb", "x"], ["fill", "c", 65_537]]);
    let invalid = json!({ "error": "invalid" });
    assert_eq!(asked(&app, "keeper", "3", third).await, json!([invalid, invalid, invalid, invalid]));
}

async fn a_slice_that_fails_keeps_nothing(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "").start().await;
    app.expect_dead(1);
    // The right to create customers is missing, which ends the slice.
    ask(&app, "keeper", "1", json!([["set", "a", "1"], ["create", "customer", "x"]])).await;
    app.run_until_idle().await;
    assert_eq!(asked(&app, "keeper", "2", json!([["get", "a"]])).await, json!([null]));
}

async fn an_undo_takes_back_what_was_kept(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "").start().await;
    asked(&app, "keeper", "1", json!([["set", "a", "old"], ["set", "gone", "x"]])).await;
    asked(&app, "keeper", "2", json!([["set", "a", "new"], ["set", "b", "x"], ["delete", "gone"]])).await;
    let run = app.runs("automation=keeper").await[0]["id"].as_str().unwrap().to_owned();
    let undone = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json();
    assert_eq!((&undone["done"], &undone["left"]), (&json!(4), &json!(0)), "{undone:#}");
    let now = asked(&app, "keeper", "3", json!([["get", "a"], ["get", "b"], ["get", "gone"]])).await;
    assert_eq!(now, json!(["old", null, "x"]));
}

async fn runs_that_count_at_once_count_each(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "").start().await;
    // Each key is new to those who meet there: nothing is there yet that has a version.
    for number in 0..120 {
        let key = format!("k{}", number / 6);
        ask(&app, "keeper", &format!("c{number}"), json!([["increment", key, 1], ["claim", format!("of {key}")]]))
            .await;
    }
    app.run_until_idle().await;
    for key in 0..20 {
        let mut claimed = 0;
        for number in key * 6..key * 6 + 6 {
            claimed += usize::from(told(&app, &format!("c{number}")).await[1] == true);
        }
        let kept = asked(&app, "keeper", &format!("last{key}"), json!([["get", format!("k{key}")]])).await;
        assert_eq!((kept, claimed), (json!(["6"]), 1), "k{key}");
    }
}

async fn a_run_that_waits_is_told_the_same_again(database: Database) {
    let clock = clock();
    let app = TestApp::on(database).keeper_plugin("keeper", &["order:read"], "").clock(clock.clone()).start().await;
    let count = json!(["aggregate", "order", [], "", ["count"]]);
    let page = json!(["select", "customer", ["customer_no"], "", "", 5, ""]);
    let calls = json!([
        ["increment", "n", 1],
        ["list", "", "", 9],
        count,
        page,
        ["context"],
        ["sleep", "1 day"],
        ["increment", "n", 1],
        count,
        ["context"],
    ]);
    ask(&app, "keeper", "1", calls).await;
    waiting(&app, 1).await;
    assert_eq!(
        asked(&app, "keeper", "2", json!([["increment", "n", 10], ["delete", "none"]])).await,
        json!([11, false])
    );
    crate::waiting::order(&app, "o", "1", "5").await;
    later(&clock, "2 days");
    app.settle().await;
    let told = told(&app, "1").await;
    assert_eq!(
        told.as_array().unwrap()[0..4],
        [json!(1), json!(["n"]), json!([[0]]), json!({ "rows": [["1"]], "next": null })]
    );
    assert_eq!((&told[4][3], &told[6], &told[7], &told[8][3]), (&json!(1), &json!(12), &json!([[1]]), &json!(2)));
}

async fn a_backtest_begins_with_what_was_kept_then(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "").start().await;
    asked(&app, "keeper", "0", json!([["set", "n", "7"], ["set", "gone", "x"], ["set", "old", "x"]])).await;
    let since = app.log().await.last().unwrap()["time"].as_str().unwrap().to_owned();
    let since: rapport_model::Timestamp = since.parse().unwrap();
    let since = since.plus_micros(1).to_string();
    let told = asked(
        &app,
        "keeper",
        "1",
        json!([["increment", "n", 1], ["get", "gone"], ["delete", "gone"], ["set", "new", "x"]]),
    );
    assert_eq!(told.await, json!([8, "x", true, null]));
    asked(&app, "keeper", "2", json!([["increment", "n", 1], ["list", "", "", 9]])).await;
    let idle = "//! Does nothing.\non(\"order.created\");\nfn run(event) {}\n";
    let result = crate::backtests::backtest(&app, "idle", idle, (&since, "2100-01-01T00:00:00Z")).await;
    crate::backtests::assert_exact(&result);
    assert_eq!(result["events"], 2, "{result:#}");
}

fn signed(rights: &[&str]) -> Vec<u8> {
    let component = std::fs::read(env!("KEEPER_COMPONENT")).unwrap();
    let files = [("plugin.toml", keeper_manifest("keeper", rights, "").into_bytes()), ("keeper.wasm", component)];
    let mut package = Package::new(files.into_iter().map(|(name, content)| (name.parse().unwrap(), content))).unwrap();
    package.sign("Tests", &SecretKey::from_seed(&[7; 32]), Vec::new()).unwrap();
    package.pack()
}

pub(crate) async fn install(app: &TestApp, rights: &[&str], granted: &[&str]) {
    let archive = signed(rights);
    app.send(Request::new("POST", "/v1/plugins").body("application/octet-stream", archive)).await.expect(201);
    let shown = app.get("/v1/plugins/keeper").await.expect(200).json();
    let all = shown["pending"]["more"].as_array().unwrap().clone();
    let kept = |item: &&Value| {
        let text = item.as_str().unwrap();
        !rights.contains(&text) || granted.contains(&text)
    };
    let items: Vec<&Value> = all.iter().filter(kept).collect();
    app.post("/v1/plugins/keeper/grant", json!({ "items": items })).await.expect(200);
}

async fn what_is_kept_outlives_an_uninstall(database: Database) {
    let app = TestApp::start(database).await;
    install(&app, &[], &[]).await;
    asked(&app, "keeper", "1", json!([["set", "a", "1"]])).await;
    app.delete("/v1/plugins/keeper").await.expect(200);
    install(&app, &[], &[]).await;
    assert_eq!(asked(&app, "keeper", "2", json!([["get", "a"]])).await, json!(["1"]));
}

async fn orders(app: &TestApp) -> Vec<(String, i64)> {
    let mut made = Vec::new();
    for number in 0..30_i64 {
        let cents = (number * 7_919) % 10_007 - 2_000;
        let (customer, country) =
            (format!("c{}", number % 4), ["DE", "FR", "IT"][usize::try_from(number % 3).unwrap()]);
        let amount = format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        let order = json!({
            "order_no": format!("{number:02}"), "customer": { "customer_no": customer }, "amount": amount, "country": country,
            "line_count": number - 9,
        });
        app.post("/v1/records/order", order).await.expect(201);
        made.push((country.to_owned(), cents));
    }
    made
}

async fn rows_are_read_page_by_page(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["order:read"], "").start().await;
    orders(&app).await;
    let mut found = Vec::new();
    let mut cursor = String::new();
    for page in 0.. {
        let call = json!([["select", "order", ["order_no", "line_count"], "country == 'DE'", "-order_no", 4, cursor]]);
        let told = asked(&app, "keeper", &format!("p{page}"), call).await;
        found.extend(told[0]["rows"].as_array().unwrap_or_else(|| panic!("{told}")).iter().map(|row| row[0].clone()));
        let Some(next) = told[0]["next"].as_str() else { break };
        cursor = next.to_owned();
    }
    let expected: Vec<String> = (0..30).rev().filter(|n| n % 3 == 0).map(|n| format!("{n:02}")).collect();
    assert_eq!(found, expected);
    let wrong = json!([
        ["select", "order", ["amuont"], "", "", 4, ""],
        ["select", "order", ["id"], "", "amount", 4, cursor],
        ["select", "order", [], "", "", 4, ""],
        ["aggregate", "order", [], "", ["sum:country"]],
        ["aggregate", "order", ["nothing"], "", []],
    ]);
    let told = asked(&app, "keeper", "wrong", wrong).await;
    assert!(told.as_array().unwrap().iter().all(|answer| answer["error"].is_string()), "{told}");
}

fn shown(cents: i64) -> String {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100)
}

async fn groups_are_as_counted_one_by_one(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["order:read"], "").start().await;
    let made = orders(&app).await;
    for (place, limit) in [-1_000, 0, 2_500, 99_999].into_iter().enumerate() {
        let rule = format!("amount > {}", shown(limit));
        let measures = json!(["count", "sum:amount", "min:amount", "max:amount", "sum:line_count"]);
        let by_country = json!(["aggregate", "order", ["country"], rule, measures]);
        let all = json!(["aggregate", "order", [], rule, measures]);
        let told = asked(&app, "keeper", &format!("a{place}"), json!([by_country, all])).await;
        let row = |country: Option<&str>| {
            let meant =
                made.iter().enumerate().filter(|(_, (c, cents))| *cents > limit && country.is_none_or(|own| own == c));
            let (lines, cents): (Vec<i64>, Vec<i64>) =
                meant.map(|(n, (_, cents))| (i64::try_from(n).unwrap() - 9, *cents)).unzip();
            let some = |value: Option<i64>| value.map(shown);
            let sum = (!cents.is_empty()).then(|| cents.iter().sum::<i64>());
            let lines = (!lines.is_empty()).then(|| lines.iter().sum::<i64>());
            json!([cents.len(), some(sum), some(cents.iter().min().copied()), some(cents.iter().max().copied()), lines])
        };
        let mut expected = Vec::new();
        for country in ["DE", "FR", "IT"] {
            let measured = row(Some(country)).as_array().unwrap().clone();
            if measured[0] != 0 {
                expected.push(Value::from([vec![json!(country)], measured].concat()));
            }
        }
        assert_eq!(told, json!([expected, [row(None)]]), "above {limit}");
    }
}

async fn what_this_slice_wrote_is_not_read_in_bulk(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["customer:create", "order:read"], "").start().await;
    let calls = json!([
        ["create", "customer", "x"],
        ["aggregate", "customer", [], "", ["count"]],
        ["select", "customer", ["id"], "", "", 1, ""],
        ["aggregate", "order", [], "customer.country == 'DE'", ["count"]],
        ["aggregate", "order", [], "", ["count"]],
    ]);
    let told = asked(&app, "keeper", "1", calls).await;
    let unwritten = json!({ "error": "unwritten" });
    assert_eq!(told.as_array().unwrap()[1..], [unwritten.clone(), unwritten.clone(), unwritten, json!([[0]])]);
}

pub(crate) async fn dies_with(app: &TestApp, number: &str, call: Value, code: &str) {
    ask(app, "keeper", number, json!([call])).await;
    app.run_until_idle().await;
    let run = app.runs("automation=keeper&status=dead").await[0].clone();
    assert!(run["error"].to_string().contains(code), "{run:#}");
    assert_eq!(told(app, number).await, Value::Null);
}

async fn a_field_that_was_not_declared_is_not_read(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["order.country:read"], "").start().await;
    orders(&app).await;
    let fine = json!([["aggregate", "order", ["country"], "country != 'IT'", ["count"]]]);
    assert_eq!(asked(&app, "keeper", "1", fine).await, json!([[["DE", 10], ["FR", 10]]]));
    app.expect_dead(6);
    let named_somewhere = [
        json!(["select", "order", ["country", "amount"], "", "", 1, ""]),
        json!(["select", "order", ["country"], "", "amount", 1, ""]),
        json!(["select", "order", ["country"], "amount > 1", "", 1, ""]),
        json!(["aggregate", "order", ["amount"], "", ["count"]]),
        json!(["aggregate", "order", ["country"], "", ["max:amount"]]),
        json!(["aggregate", "order", [], "", ["count"]]),
    ];
    for (place, call) in named_somewhere.into_iter().enumerate() {
        dies_with(&app, &format!("d{place}"), call, "denied").await;
    }
}

async fn a_field_that_was_not_granted_is_not_read(database: Database) {
    let app = TestApp::start(database).await;
    install(&app, &["order.country:read", "order.amount:read"], &["order.country:read"]).await;
    assert_eq!(
        asked(&app, "keeper", "1", json!([["select", "order", ["country"], "", "", 1, ""]])).await[0]["rows"],
        json!([])
    );
    app.expect_dead(1);
    dies_with(&app, "2", json!(["aggregate", "order", [], "", ["sum:amount"]]), "not_granted").await;
}

fn keep_secret(folder: &std::path::Path) {
    let secrets = folder.join("data/secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("till"), "value = \"a secret of the till\"\nhosts = [\"till.example\"]\n").unwrap();
}

async fn a_secret_signs_and_is_never_seen(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["secret:till", "secret:none"], "").start().await;
    keep_secret(app.folder.path());
    let calls = json!([["exists", "till"], ["exists", "none"], ["hmac", "till", "x"], ["hmac", "none", "x"]]);
    let told = asked(&app, "keeper", "1", calls).await;
    assert_eq!((&told[0], &told[1], &told[3]), (&json!(true), &json!(false), &json!({ "error": "unknown_secret" })));
    let mac: Vec<String> = told[2].as_array().unwrap().iter().map(|b| format!("{:02x}", b.as_u64().unwrap())).collect();
    assert_eq!(mac.concat(), HMAC);
    app.expect_dead(1);
    dies_with(&app, "2", json!(["hmac", "other", "x"]), "denied").await;
}

/// `printf x | openssl dgst -sha256 -hmac 'a secret of the till'`
const HMAC: &str = "42961fa3304db9c508e19bf181003970cf2ad7e776c74c16a3ed4e69e0f1d516";

async fn a_secret_that_was_not_granted_is_not_used(database: Database) {
    let app = TestApp::start(database).await;
    keep_secret(app.folder.path());
    install(&app, &["secret:till"], &[]).await;
    app.expect_dead(2);
    dies_with(&app, "1", json!(["hmac", "till", "x"]), "not_granted").await;
    dies_with(&app, "2", json!(["exists", "till"]), "not_granted").await;
}

async fn a_plugin_knows_what_it_runs_as(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &[], "").start().await;
    let told = asked(&app, "keeper", "1", json!([["context"]])).await;
    let run = app.runs("automation=keeper").await[0].clone();
    assert_eq!((&told[0][0], &told[0][1], &told[0][3]), (&run["id"], &json!("keeper"), &json!(1)));
    assert!(told[0][2].as_str().unwrap().starts_with("user:"), "{told}");
}
