//! `rapport import`: messy files in, every row accounted for; a kill and the same file again double nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Database, TestApp, on_both, project};
use crate::process::{Call, rapport};

on_both!(
    the_demos_first_orders_give_what_an_independent_sum_says,
    a_history_load_goes_by_the_time_of_its_rows,
    while_a_load_is_open_other_writes_wait_outside,
    encodings_and_delimiters_are_recognised,
    cells_may_hold_quotes_and_line_breaks,
    an_open_quote_is_reported_with_its_line,
    refused_rows_are_kept_with_line_and_reason,
    the_same_file_again_changes_nothing,
    a_killed_import_goes_on_and_doubles_nothing,
    times_without_a_zone_are_read_in_the_zone_given,
    a_mapping_to_nowhere_is_refused_before_anything_is_written,
    a_preview_writes_nothing,
);

/// The mapping of the demo.
const MAPPING: [&str; 14] = [
    "--map",
    "order_no=order_no",
    "--map",
    "customer.customer_no=customer_no",
    "--map",
    "customer.country=country",
    "--map",
    "ordered_at=ordered_at",
    "--map",
    "amount=amount",
    "--map",
    "country=country",
    "--map",
    "line_count=lines",
];

fn import(app: &TestApp, file: &Path, more: &[&str]) -> Call {
    let mut arguments = vec!["import", file.to_str().unwrap()];
    arguments.extend(more);
    rapport(&arguments).within(app.folder.path()).to(app, &app.folder.path().join("key"))
}

fn orders(app: &TestApp, file: &Path, more: &[&str]) -> Call {
    let mut arguments = vec!["--object", "order", "--key", "order_no", "--tz", "Europe/London"];
    arguments.extend(MAPPING);
    arguments.extend(more);
    import(app, file, &arguments)
}

/// The first rows of the demo's file, in a file of their own.
fn first_orders(app: &TestApp, rows: usize) -> PathBuf {
    let all = std::fs::read_to_string(project().join("tests/data/online-retail-orders.csv")).unwrap();
    let lines: Vec<&str> = all.lines().take(rows + 1).collect();
    let text = lines.join("\n") + "\n";
    file(app, "orders.csv", text.as_bytes())
}

fn file(app: &TestApp, name: &str, bytes: &[u8]) -> PathBuf {
    let path = app.folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Points by customer, summed from the file without the product: pence, so that nothing is rounded.
fn expected_points(file: &Path) -> BTreeMap<String, i64> {
    let mut points = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap().lines().skip(1) {
        // No cell of these rows holds a comma.
        let cells: Vec<&str> = line.split(',').collect();
        let (customer, amount) = (cells[1], cells[4]);
        if customer.is_empty() {
            continue;
        }
        let pence: i64 = format!("{:0<2}", amount.split_once('.').map_or("", |(_, f)| f)).parse().unwrap();
        let whole: i64 = amount.trim_start_matches('-').split('.').next().unwrap().parse().unwrap();
        let size = whole * 100 + pence;
        let sign = if amount.starts_with('-') { -1 } else { 1 };
        *points.entry(customer.to_owned()).or_default() += sign * whole * if size > 10_000 { 2 } else { 1 };
    }
    points
}

async fn points(app: &TestApp) -> BTreeMap<String, i64> {
    let customers = app.all("customer").await;
    customers.iter().map(|c| (c["customer_no"].as_str().unwrap().to_owned(), c["points"].as_i64().unwrap())).collect()
}

async fn companies(app: &TestApp) -> Vec<(String, String)> {
    let items = app.get("/v1/records/company?limit=1000&order=company_no").await.expect(200).items();
    let text = |c: &Value, f: &str| c[f].as_str().unwrap_or_default().to_owned();
    items.iter().map(|c| (text(c, "company_no"), text(c, "name"))).collect()
}

const COMPANIES: [&str; 8] =
    ["--object", "company", "--key", "company_no", "--map", "company_no=no", "--map", "name=name"];

async fn the_demos_first_orders_give_what_an_independent_sum_says(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let file = first_orders(&app, 2_000);
    let want = expected_points(&file);
    let done = orders(&app, &file, &["--history", "--time", "ordered_at", "--name", "first"]).run();
    assert!(done.code == 0 || done.code == 3, "{}", done.text);
    app.run_until_idle().await;
    assert_eq!(points(&app).await, want);
    for customer in app.all("customer").await {
        let points = customer["points"].as_i64().unwrap();
        let tier =
            ["bronze", "silver", "gold", "platinum"][[1_000, 5_000, 20_000].iter().filter(|t| points >= **t).count()];
        let has_orders = points != 0;
        assert!(customer["tier"] == tier || !has_orders && customer["tier"].is_null(), "{customer}");
    }
}

async fn a_history_load_goes_by_the_time_of_its_rows(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let file = first_orders(&app, 50);
    orders(&app, &file, &["--history", "--time", "ordered_at", "--name", "h"]).run();
    app.run_until_idle().await;
    let log: Vec<Value> = app
        .log()
        .await
        .into_iter()
        .filter(|e| e["type"] == "order.created" || e["type"] == "customer.updated")
        .collect();
    assert!(log.len() > 50);
    assert!(
        log.iter().all(|e| e["time"].as_str().unwrap().starts_with("2010-12-0")),
        "runs go by the time of their event"
    );
    let order = app.get("/v1/records/order/order_no:536365").await.expect(200).json();
    assert_eq!(
        (order["created_at"].as_str(), order["ordered_at"].as_str()),
        (Some("2010-12-01T08:26:00Z"), Some("2010-12-01T08:26:00Z"))
    );
}

async fn while_a_load_is_open_other_writes_wait_outside(database: Database) {
    let app = TestApp::start(database).await;
    app.post("/v1/loads", serde_json::json!({ "name": "h" })).await.expect(200);
    let refused = app.post("/v1/records/customer", serde_json::json!({ "customer_no": "1" })).await.expect(409);
    assert_eq!(refused.code(), "load_open");
    app.get("/v1/records/customer").await.expect(200);
    app.delete("/v1/loads/h").await.expect(204);
    app.customer("1").await;
}

async fn encodings_and_delimiters_are_recognised(database: Database) {
    let app = TestApp::start(database).await;
    let text = "no;name\r\n1;Zoë Ünal\r\n2;\"a;b\"\r\n";
    let utf16 = |little: bool| {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(|u| if little { u.to_le_bytes() } else { u.to_be_bytes() }).collect::<Vec<u8>>()
    };
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let gb18030 = b"no,name\n1,\xd6\xd0\xce\xc4\n2,x\n".to_vec();
    let cases: [(&str, Vec<u8>, &[&str], &str); 6] = [
        ("plain", text.as_bytes().to_vec(), &[], "Zoë Ünal"),
        ("bom", [b"\xef\xbb\xbf", text.as_bytes()].concat(), &[], "Zoë Ünal"),
        ("utf16le", utf16(true), &[], "Zoë Ünal"),
        ("utf16be", utf16(false), &[], "Zoë Ünal"),
        ("latin1", latin, &["--encoding", "windows-1252"], "Zoë Ünal"),
        ("gb18030", gb18030, &["--encoding", "gb18030"], "中文"),
    ];
    for (name, bytes, more, want) in cases {
        let path = file(&app, &format!("{name}.csv"), &bytes);
        import(&app, &path, &[&COMPANIES, more].concat()).run().expect(0);
        assert_eq!(companies(&app).await[0].1, want, "{name}");
        app.delete("/v1/records/company/company_no:1").await.expect(204);
    }
    let tabs = file(&app, "tabs.csv", b"no\tname\n7\tseven, eight\n");
    import(&app, &tabs, &COMPANIES).run().expect(0);
    assert!(companies(&app).await.contains(&("7".into(), "seven, eight".into())));
}

async fn cells_may_hold_quotes_and_line_breaks(database: Database) {
    let app = TestApp::start(database).await;
    let path = file(&app, "a.csv", b"no,name\n1,\"a \"\"b\"\"\r\nc\"\n2,=1+1\n3,\n");
    import(&app, &path, &COMPANIES).run().expect(0);
    let want = [("1", "a \"b\"\r\nc"), ("2", "=1+1"), ("3", "")];
    assert_eq!(companies(&app).await, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

async fn an_open_quote_is_reported_with_its_line(database: Database) {
    let app = TestApp::start(database).await;
    let path = file(&app, "a.csv", b"no,name\n1,one\n2,\"two\n3,three\n4,four\n");
    let done = import(&app, &path, &COMPANIES).run().expect(3);
    assert!(done.text.contains("never closed"), "{}", done.text);
    let refused = std::fs::read_to_string(app.folder.path().join("a.refused.csv")).unwrap();
    assert!(
        refused.lines().nth(1).is_some_and(|line| line.starts_with("3,") && line.contains("never closed")),
        "{refused}"
    );
    assert_eq!(companies(&app).await, [("1".to_owned(), "one".to_owned())]);
}

async fn refused_rows_are_kept_with_line_and_reason(database: Database) {
    let app = TestApp::start(database).await;
    let text = "order_no,customer_no,ordered_at,country,amount,lines\n1,a,2010-12-01 08:26:00,UK,1,1\n2,,2010-12-01 08:26:00,UK,1,1\n\
        3,a,not a time,UK,1,1\n4,a,2010-12-01 08:26:00,UK,1.234,1\n5,a\n6,b,2010-12-01 08:26:00,UK,1,1\n";
    let path = file(&app, "a.csv", text.as_bytes());
    let done = orders(&app, &path, &["--refused", "bad.csv"]).run().expect(3);
    assert!(done.text.contains('4'), "{}", done.text);
    let refused = std::fs::read_to_string(app.folder.path().join("bad.csv")).unwrap();
    let lines: Vec<&str> = refused.lines().collect();
    assert_eq!(lines.len(), 5, "{refused}");
    for (number, says) in [("3", "customer"), ("4", "ordered_at"), ("5", "amount"), ("6", "cells")] {
        let line = lines.iter().find(|line| line.starts_with(&format!("{number},")));
        assert!(line.is_some_and(|line| line.contains(says)), "{number} {says}: {refused}");
    }
    assert_eq!(app.get("/v1/records/order").await.items().len(), 2);
}

async fn the_same_file_again_changes_nothing(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let path = first_orders(&app, 300);
    orders(&app, &path, &[]).run();
    app.run_until_idle().await;
    let (log, before) = (app.log().await.len(), points(&app).await);
    orders(&app, &path, &[]).run();
    let renamed = app.folder.path().join("renamed.csv");
    std::fs::copy(&path, &renamed).unwrap();
    orders(&app, &renamed, &[]).run();
    app.run_until_idle().await;
    assert_eq!((app.log().await.len(), points(&app).await), (log, before));
}

async fn a_killed_import_goes_on_and_doubles_nothing(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let path = first_orders(&app, 3_000);
    let more = ["--history", "--time", "ordered_at", "--name", "killed"];
    for wanted in [1, 900] {
        let mut child = orders(&app, &path, &more).spawn();
        let begun = || async {
            let orders = app.get("/v1/records/order?limit=1000").await.items().len();
            (orders >= wanted || child_ended(&path)).then_some(())
        };
        crate::harness::eventually("the import to be under way", begun).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let done = orders(&app, &path, &more).run();
    assert!(done.code == 0 || done.code == 3, "{}", done.text);
    app.run_until_idle().await;
    let want = expected_points(&path);
    assert_eq!(points(&app).await, want);
    let created = app.log().await.iter().filter(|e| e["type"] == "order.created").count();
    let rows = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .skip(1)
        .filter(|l| !l.split(',').nth(1).unwrap().is_empty())
        .count();
    assert_eq!(created, rows);
}

/// A fast machine may finish the import before it is killed: then there is nothing to wait for.
fn child_ended(path: &Path) -> bool {
    !path.exists()
}

async fn times_without_a_zone_are_read_in_the_zone_given(database: Database) {
    let app = TestApp::start(database).await;
    let text = "order_no,customer_no,ordered_at,country,amount,lines\n1,a,2011-07-01 08:00:00,UK,1,1\n2,a,2011-01-01T08:00:00,UK,1,1\n3,a,2011-01-01T08:00:00+05:00,UK,1,1\n";
    let path = file(&app, "a.csv", text.as_bytes());
    orders(&app, &path, &[]).run().expect(0);
    for (number, want) in [("1", "2011-07-01T07:00:00Z"), ("2", "2011-01-01T08:00:00Z"), ("3", "2011-01-01T03:00:00Z")]
    {
        let order = app.get(&format!("/v1/records/order/order_no:{number}")).await.json();
        assert_eq!(order["ordered_at"], want);
    }
}

async fn a_mapping_to_nowhere_is_refused_before_anything_is_written(database: Database) {
    let app = TestApp::start(database).await;
    let path = file(&app, "a.csv", b"no,name\n1,one\n");
    for (map, says) in [("name=nmae", "name"), ("nmae=name", "name")] {
        let done = import(
            &app,
            &path,
            &["--object", "company", "--key", "company_no", "--map", "company_no=no", "--map", map],
        )
        .run();
        assert!(done.code != 0 && done.text.contains(says), "{map}: {} {}", done.code, done.text);
    }
    import(&app, &path, &["--object", "compny", "--map", "name=name"]).run();
    import(&app, &app.folder.path().join("nothing.csv"), &COMPANIES).run().expect(2);
    assert_eq!(companies(&app).await, []);
}

async fn a_preview_writes_nothing(database: Database) {
    let app = TestApp::on(database).points_script().start().await;
    let path = first_orders(&app, 20);
    let before = app.log().await.len();
    let done = orders(&app, &path, &["--automations", "preview"]).run();
    assert!(done.text.contains("loyalty/points"), "{}", done.text);
    assert_eq!(app.log().await.len(), before);
    orders(&app, &path, &[]).run();
    app.run_until_idle().await;
    assert_eq!(points(&app).await, expected_points(&path), "a preview is not taken for the import");
}
