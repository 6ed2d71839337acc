//! Scores by segments of customers, and who else may ask in bulk who is in a segment.

use serde_json::{Value, json};

use crate::actions::call;
use crate::client::with_query;
use crate::harness::{Database, TestApp, on_both};
use crate::keeping::{asked, dies_with};
use crate::surveys::{flow, invited};

on_both!(
    a_report_by_the_name_of_a_segment_counts_its_members_alone,
    a_report_follows_who_comes_and_goes,
    a_segment_that_is_not_there_is_refused_by_name,
    a_bulk_query_asks_who_is_in_a_segment,
    a_bulk_query_without_the_right_to_read_the_members_is_refused,
    a_backtest_does_not_know_who_is_in_a_segment,
    a_listing_asks_of_what_its_records_refer_to,
    nothing_follows_a_segment_through_a_reference,
);

const SPENDERS: &str = "//! Keeps two segments.
segment(\"abroad\", \"country != 'United Kingdom' && country != null\");
segment(\"near\", \"country == 'United Kingdom'\");
segment(\"big-orders\", \"amount > 100\", #{ object: \"order\" });
";

/// A survey with an answer by a customer in France, one in Spain, one at home, and somebody unknown.
async fn answered(database: Database) -> TestApp {
    let app = TestApp::on(database).script("surveys/nps", &flow("nps")).script("segments/spenders", SPENDERS);
    let app = app.survey_plugin("").start().await;
    call(&app, "survey.publish", json!({ "script": "surveys/nps" })).await.expect(200);
    for (number, country, score) in
        [("fr", "France", 9), ("es", "Spain", 3), ("uk", "United Kingdom", 10), ("fr2", "France", 10)]
    {
        app.post("/v1/records/customer", json!({ "customer_no": number, "country": country })).await.expect(201);
        answer(&app, json!({ "customer": format!("customer_no:{number}") }), score).await;
    }
    answer(&app, json!({}), 0).await;
    app.settle().await;
    app
}

async fn answer(app: &TestApp, invitation: Value, score: i64) {
    let page = invited(app, invitation).await;
    let token = page.rsplit('/').next().unwrap();
    let answers = json!({ "token": token, "answers": { "score": score } });
    call(app, "survey.submit", answers).await.expect(200);
}

/// The groups of a report by these segments: name, number of answers, score.
async fn groups(app: &TestApp, segments: Value) -> Vec<(String, i64, Value)> {
    let asked = json!({ "survey": "nps", "segments": segments });
    let report = call(app, "survey.report", asked).await.expect(200).json();
    assert_eq!(report["result"], "ok", "{report}");
    let groups = report["groups"].as_array().unwrap().iter();
    groups
        .map(|group| {
            (group["group"].as_str().unwrap().to_owned(), group["n"].as_i64().unwrap(), group["score"].clone())
        })
        .collect()
}

async fn a_report_by_the_name_of_a_segment_counts_its_members_alone(database: Database) {
    let app = answered(database).await;
    let told = groups(&app, json!(["abroad", "near"])).await;
    assert_eq!((told[0].0.as_str(), told[0].1), ("abroad", 3));
    assert!((told[0].2.as_f64().unwrap() - 100.0 / 3.0).abs() < 0.1, "{told:?}");
    assert_eq!(told[1], ("near".to_owned(), 1, json!(100.0)));
    let rules = json!({
        "of abroad": "in_segment('abroad', customer)",
        "happy abroad": "in_segment('abroad', customer) && number >= 9",
        "of nobody abroad": "!in_segment('abroad', customer)",
        "unknown": "customer == null && !in_segment('near', customer)",
    });
    let told: Vec<(String, i64)> = groups(&app, rules).await.into_iter().map(|(name, n, _)| (name, n)).collect();
    let expected = [("happy abroad", 2), ("of abroad", 3), ("of nobody abroad", 2), ("unknown", 1)];
    assert_eq!(told, expected.map(|(name, n)| (name.to_owned(), n)));
}

async fn a_report_follows_who_comes_and_goes(database: Database) {
    let app = answered(database).await;
    let path = "/v1/records/customer/customer_no:es";
    app.patch(path, json!({ "country": "United Kingdom" })).await.expect(200);
    app.settle().await;
    let told = groups(&app, json!(["abroad", "near"])).await;
    assert_eq!((told[0].1, &told[0].2), (2, &json!(100.0)), "{told:?}");
    assert_eq!((told[1].1, &told[1].2), (2, &json!(0.0)), "{told:?}");
    app.patch(path, json!({ "country": "Spain" })).await.expect(200);
    app.settle().await;
    assert_eq!(groups(&app, json!(["abroad"])).await[0].1, 3);
}

async fn a_segment_that_is_not_there_is_refused_by_name(database: Database) {
    let app = answered(database).await;
    let report = |segments: Value| {
        let app = &app;
        async move { call(app, "survey.report", json!({ "survey": "nps", "segments": segments })).await }
    };
    for (segments, why) in [
        (json!(["near", "abraod"]), "there is no segment `abraod`; did you mean `abroad`?"),
        (json!(["loyal"]), "there is no segment `loyal`; of `customer` there are `abroad`, `near`"),
        (
            json!({ "x": "in_segment('big-orders', customer)" }),
            "the segment `big-orders` is one of `order`, not of `customer`; of `customer` there are `abroad`, `near`",
        ),
        (json!({ "x": "in_segment('near', channel)" }), "`channel` is no reference field"),
        (json!({ "x": "did('survey.answered')" }), "`did` can stand only in segments"),
    ] {
        let refused = report(segments).await.expect(422);
        assert!(refused.text().contains("invalid_rule") && refused.text().contains(why), "{}", refused.text());
    }
    for segments in [json!(["x') || (true"]), json!(["Near"]), json!([""]), json!([5]), json!("near")] {
        report(segments).await.expect(422);
    }
    let many: Vec<&str> = vec!["near"; 51];
    assert!(report(json!(many)).await.expect(422).text().contains("51 are more than 50"));
}

/// A workspace in which a plugin with these rights can ask of orders of three customers and of nobody.
async fn keeper(database: Database, rights: &[&str]) -> TestApp {
    let app = TestApp::on(database).keeper_plugin("keeper", rights, "").script("segments/spenders", SPENDERS);
    let app = app.script("segments/firms", &keeps_of("company", "partners", "city == 'Paris'")).start().await;
    for (number, country) in [("fr", "France"), ("es", "Spain"), ("uk", "United Kingdom")] {
        app.post("/v1/records/customer", json!({ "customer_no": number, "country": country })).await.expect(201);
        for amount in ["50", "150"] {
            let order = json!({ "order_no": format!("{number}-{amount}"), "customer": { "customer_no": number }, "amount": amount,
                "country": country });
            app.post("/v1/records/order", order).await.expect(201);
        }
    }
    app.settle().await;
    app
}

fn keeps_of(object: &str, name: &str, rule: &str) -> String {
    format!("//! Keeps a segment.\nsegment(\"{name}\", \"{rule}\", #{{ object: \"{object}\" }});\n")
}

async fn a_bulk_query_asks_who_is_in_a_segment(database: Database) {
    let app = keeper(database, &["order:read"]).await;
    let count = |rule: &str| json!(["aggregate", "order", [], rule, ["count", "sum:amount"]]);
    let calls = json!([
        count("in_segment('abroad', customer)"),
        count("!in_segment('abroad', customer)"),
        count("in_segment('big-orders')"),
        count("in_segment('big-orders') && in_segment('near', customer)"),
        ["aggregate", "customer", [], "in_segment('near')", ["count"]],
        ["select", "order", ["order_no"], "in_segment('abroad', customer) && amount > least", "order_no", 1, ""],
        ["select", "order", ["order_no"], "in_segment('abroad', customer)", "order_no", 3, ""],
    ]);
    let told = asked(&app, "keeper", "1", calls).await;
    let sums = json!([[[4, "400.00"]], [[2, "200.00"]], [[3, "450.00"]], [[1, "150.00"]], [[1]]]);
    assert_eq!(told.as_array().unwrap()[..5], sums.as_array().unwrap()[..], "{told}");
    assert_eq!(told[5], json!({ "error": "invalid_rule" }), "it has no parameter `least`");
    assert_eq!(told[6]["rows"], json!([["es-150"], ["es-50"], ["fr-150"]]), "{told}");
    let cursor = told[6]["next"].as_str().unwrap();
    let next = json!([["select", "order", ["order_no"], "in_segment('abroad', customer)", "order_no", 3, cursor]]);
    assert_eq!(asked(&app, "keeper", "2", next).await[0], json!({ "rows": [["fr-50"]], "next": null }));
    let refused = [
        count("in_segment('abroad')"),
        count("in_segment('big-orders', customer)"),
        count("in_segment('partners', customer)"),
        count("in_segment('nobody', customer)"),
        count("in_segment('near', amount)"),
        count("did('order.created')"),
    ];
    let told = asked(&app, "keeper", "3", json!(refused)).await;
    assert!(told.as_array().unwrap().iter().all(|answer| answer == &json!({ "error": "invalid_rule" })), "{told}");
}

async fn a_bulk_query_without_the_right_to_read_the_members_is_refused(database: Database) {
    let app = keeper(database, &["order.country:read"]).await;
    app.expect_dead(2);
    // Of customers it may read all, of orders one field, of companies nothing.
    let fine = json!([["aggregate", "customer", [], "in_segment('near')", ["count"]]]);
    assert_eq!(asked(&app, "keeper", "1", fine).await, json!([[[1]]]));
    let own = json!(["aggregate", "order", ["country"], "in_segment('big-orders')", ["count"]]);
    dies_with(&app, "2", own, "may not use `order:read`").await;
    let other = json!(["aggregate", "customer", [], "in_segment('partners', company)", ["count"]]);
    dies_with(&app, "3", other, "may not use `company:read`").await;
}

async fn a_backtest_does_not_know_who_is_in_a_segment(database: Database) {
    let app = keeper(database, &["order:read"]).await;
    let calls = json!([["aggregate", "order", [], "in_segment('abroad', customer)", ["count"]]]);
    assert_eq!(asked(&app, "keeper", "1", calls).await, json!([[[4]]]));
    let idle = "//! Does nothing.\non(\"order.created\");\nfn run(event) {}\n";
    let result = crate::backtests::backtest(&app, "idle", idle, ("1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z")).await;
    assert_eq!(result["records_differing"], 1, "{result:#}");
    assert!(result.to_string().contains("members_unknown"), "{result:#}");
}

async fn a_listing_asks_of_what_its_records_refer_to(database: Database) {
    let app = keeper(database, &[]).await;
    let listed = |rule: &str| {
        let (app, path) = (&app, with_query("/v1/records/order", &[("where", rule), ("order", "order_no")]));
        async move { app.get(&path).await }
    };
    let numbers = |items: Vec<Value>| -> Vec<String> {
        items.iter().map(|item| item["order_no"].as_str().unwrap().to_owned()).collect()
    };
    let rule = "in_segment('abroad', customer) && did('order.created') && in_segment('big-orders')";
    assert_eq!(numbers(listed(rule).await.expect(200).items()), ["es-150", "fr-150"]);
    assert_eq!(numbers(listed("!in_segment('abroad', customer)").await.expect(200).items()), ["uk-150", "uk-50"]);
    let refused = listed("in_segment('big-orders', customer)").await.expect(400);
    assert!(refused.text().contains("is one of `order`, not of `customer`"), "{}", refused.text());
    assert!(listed("in_segment('abraod', customer)").await.expect(404).text().contains("did you mean `abroad`?"));
}

async fn nothing_follows_a_segment_through_a_reference(database: Database) {
    let app = keeper(database, &[]).await;
    let segment = keeps_of("order", "sent-abroad", "in_segment('abroad', customer)");
    let push = json!({ "path": "sent.rhai", "source": segment });
    let refused = app.post("/v1/automations/sent/versions", push).await.expect(422);
    assert!(refused.text().contains("nothing follows segments through a reference"), "{}", refused.text());
    let asked = json!({ "object": "order", "rule": "in_segment('abroad', customer)" });
    for path in ["/v1/segments/preview", "/v1/segments/as-of"] {
        let mut asked = asked.clone();
        if path.ends_with("as-of") {
            asked["at"] = "2026-01-01T00:00:00Z".into();
        }
        let refused = app.post(path, asked).await.expect(400);
        assert!(refused.text().contains("nothing follows segments"), "{path}: {}", refused.text());
    }
}
