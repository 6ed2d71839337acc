//! Looking for words: the same records in the same order on both databases, in Chinese and in English.

use serde_json::{Value, json};

use crate::client::{Reply, with_query};
use crate::harness::{Database, TestApp, on_both};
use crate::keeping::{ask, asked};

on_both!(
    words_are_found_in_both_languages_in_one_order,
    a_hit_shows_where_the_words_stand,
    what_changes_is_found_as_it_is,
    a_rule_and_fields_narrow_a_search,
    many_words_are_found_in_many_fields,
    text_of_operators_is_text,
    what_cannot_be_looked_for_is_refused,
    a_field_that_becomes_searchable_is_searched_at_once,
    a_text_alone_is_searchable,
    a_restart_finds_the_same,
    an_import_is_searched,
    an_undo_is_searched,
    the_index_is_what_the_records_say_after_anything,
    a_tampered_index_is_told,
    a_plugin_finds_what_it_may_read,
    a_plugin_finds_nothing_without_the_right,
    a_plugin_without_the_field_finds_nothing_by_it,
    a_slice_that_has_written_does_not_search,
    a_key_searches_its_objects_alone,
);

async fn articles(database: Database) -> TestApp {
    let app = TestApp::start(database).await;
    declare(&app).await;
    app
}

async fn declare(app: &TestApp) {
    let text = |name: &str| json!({ "name": name, "type": "text", "searchable": true });
    let fields = json!([
        { "name": "no", "type": "text", "unique": true }, text("title"), text("body"),
        { "name": "language", "type": "text" }, { "name": "hidden", "type": "text" },
    ]);
    app.post("/v1/objects", json!({ "name": "article", "fields": fields })).await.expect(201);
}

async fn write(app: &TestApp, no: &str, title: &str, body: &str) {
    let language = if title.is_ascii() { "en" } else { "zh" };
    let article = json!({ "title": title, "body": body, "language": language, "hidden": format!("secret {no}") });
    let reply = app.put(&format!("/v1/records/article/no:{no}"), article).await;
    assert!(reply.status < 300, "{}", reply.text());
}

async fn fill(app: &TestApp) {
    for (no, title, body) in [
        ("1", "How to ask for a refund", "Send the goods back, then write to us. A refund takes three days."),
        ("2", "Refund policy", "Goods in their box are taken back within 30 days."),
        ("3", "如何申请退款", "请先寄回商品，三天内退款到账。"),
        ("4", "退款规则", "商品包装完好，三十天内可以退货。"),
        ("5", "Résumé of ordering", "Übersicht: ordering, paying, ﬁnding refunds in the café."),
    ] {
        write(app, no, title, body).await;
    }
}

async fn search(app: &TestApp, query: &[(&str, &str)]) -> Reply {
    app.get(&with_query("/v1/records/article/search", query)).await
}

/// The numbers of the articles that are found, in their order.
async fn found(app: &TestApp, query: &[(&str, &str)]) -> Vec<String> {
    let mut numbers = Vec::new();
    for hit in search(app, query).await.expect(200).items() {
        let path = format!("/v1/records/article/{}", hit["id"].as_str().unwrap());
        numbers.push(app.get(&path).await.expect(200).json()["no"].as_str().unwrap().to_owned());
    }
    numbers
}

async fn proven(app: &TestApp) {
    let report = app.get("/v1/health/invariants").await.expect(200).json();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "search_terms").unwrap();
    assert_eq!((&check["findings"], &check["failed"]), (&json!([]), &Value::Null), "{check:#}");
}

async fn words_are_found_in_both_languages_in_one_order(database: Database) {
    let app = articles(database).await;
    fill(&app).await;
    for (query, numbers) in [
        ("refund", &["2", "1", "5"][..]),
        ("REFUND days", &["2", "1"]),
        ("ref", &["2", "1", "5"]),
        ("refund policy", &["2"]),
        ("退款", &["3", "4"]),
        ("申请退款", &["3"]),
        ("款", &["3", "4"]),
        ("退货", &["4"]),
        ("货退", &[]),
        ("resume", &["5"]),
        ("ubersicht CAFÉ", &["5"]),
        ("ｆｉｎｄｉｎｇ", &["5"]),
        ("nothing", &[]),
        ("policy nothing", &[]),
    ] {
        assert_eq!(found(&app, &[("q", query)]).await, numbers, "{query}");
    }
    proven(&app).await;
}

async fn a_hit_shows_where_the_words_stand(database: Database) {
    let app = articles(database).await;
    write(&app, "1", "退款 <b>", &format!("{}REFUND\nnow", "x ".repeat(300))).await;
    let hits = search(&app, &[("q", "refund 退款")]).await.expect(200).items();
    let snippet = &hits[0]["snippet"];
    assert_eq!(snippet["field"], "body");
    let text = snippet["text"].as_str().unwrap();
    let (start, end) = (snippet["matches"][0][0].as_u64().unwrap(), snippet["matches"][0][1].as_u64().unwrap());
    let marked: String =
        text.chars().skip(usize::try_from(start).unwrap()).take(usize::try_from(end - start).unwrap()).collect();
    assert_eq!(marked, "REFUND");
    assert!(text.starts_with('…') && text.ends_with("REFUND now"), "{text}");
    let hits = search(&app, &[("q", "退款"), ("fields", "title")]).await.expect(200).items();
    assert_eq!(hits[0]["snippet"], json!({ "field": "title", "text": "退款 <b>", "matches": [[0, 2]] }));
}

async fn what_changes_is_found_as_it_is(database: Database) {
    let app = articles(database).await;
    write(&app, "1", "old words", "stay here").await;
    write(&app, "1", "new words", "stay here").await;
    assert_eq!(found(&app, &[("q", "old")]).await, Vec::<String>::new());
    assert_eq!(found(&app, &[("q", "new")]).await, ["1"]);
    app.patch("/v1/records/article/no:1", json!({ "title": null })).await.expect(200);
    assert_eq!(found(&app, &[("q", "words")]).await, Vec::<String>::new());
    assert_eq!(found(&app, &[("q", "stay")]).await, ["1"]);
    app.delete("/v1/records/article/no:1").await.expect(204);
    assert!(search(&app, &[("q", "stay")]).await.expect(200).items().is_empty());
    proven(&app).await;
}

async fn a_rule_and_fields_narrow_a_search(database: Database) {
    let app = articles(database).await;
    fill(&app).await;
    assert_eq!(found(&app, &[("q", "refund"), ("fields", "title")]).await, ["2", "1"]);
    assert_eq!(found(&app, &[("q", "refund"), ("where", "no != '2'")]).await, ["1", "5"]);
    assert_eq!(found(&app, &[("q", "refund"), ("limit", "1")]).await, ["2"]);
    // Words may stand in different fields.
    assert_eq!(found(&app, &[("q", "policy box")]).await, ["2"]);
    assert_eq!(found(&app, &[("q", "policy box"), ("fields", "title")]).await, Vec::<String>::new());
}

async fn text_of_operators_is_text(database: Database) {
    let app = articles(database).await;
    write(&app, "1", "AND NEAR OR NOT", "a \"quoted\" star*").await;
    for query in [
        "\"quoted\"",
        "star*",
        "AND NEAR",
        "near(and)",
        "or -not",
        "title:near OR",
        "% _ quoted",
        "quoted' --",
        "quoted\0",
    ] {
        let numbers = search(&app, &[("q", query)]).await;
        let all = numbers.expect(200).items().len();
        assert_eq!(all, usize::from(!query.contains("title")), "{query}");
    }
}

async fn what_cannot_be_looked_for_is_refused(database: Database) {
    let app = articles(database).await;
    let long = "word ".repeat(2_000);
    let many = (0..33).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    for query in ["", "  ", "\"*\" ()", "\0", &long, &many] {
        assert_eq!(search(&app, &[("q", query)]).await.expect(400).code(), "invalid_query", "{query:.20}");
    }
    search(&app, &[]).await.expect(400);
    search(&app, &[("q", "a"), ("fields", "hidden")]).await.expect(400);
    search(&app, &[("q", "a"), ("fields", "titel")]).await.expect(400);
    search(&app, &[("q", "a"), ("where", "titel == 'a'")]).await.expect(400);
    for limit in ["0", "101", "x"] {
        search(&app, &[("q", "a"), ("limit", limit)]).await.expect(400);
    }
    app.get("/v1/records/customer/search?q=a").await.expect(400);
    assert_eq!(app.get("/v1/records/file/search?q=a").await.expect(404).code(), "unknown_object");
}

async fn a_field_that_becomes_searchable_is_searched_at_once(database: Database) {
    let app = articles(database).await;
    let lines: Vec<String> =
        (0..450).map(|n| json!({ "no": format!("n{n}"), "hidden": format!("word{n} all") }).to_string()).collect();
    app.ndjson("/v1/records/article/bulk?key=no", &lines).await.expect(200);
    let field = json!({ "name": "hidden", "type": "text", "searchable": true });
    app.post("/v1/objects/article/fields", field.clone()).await.expect(201);
    assert_eq!(found(&app, &[("q", "word449 all")]).await, ["n449"]);
    assert_eq!(search(&app, &[("q", "all"), ("limit", "100")]).await.expect(200).items().len(), 100);
    // Declared again, with the word or without it, it stays so.
    app.post("/v1/objects/article/fields", field).await.expect(201);
    app.post("/v1/objects/article/fields", json!({ "name": "hidden", "type": "text" })).await.expect(201);
    assert_eq!(found(&app, &[("q", "word7 all")]).await, ["n7"]);
    // A field of the core becomes searchable likewise.
    app.post("/v1/records/customer", json!({ "customer_no": "1", "name": "Ada Lovelace" })).await.expect(201);
    let name = json!({ "name": "name", "type": "text", "indexed": true, "searchable": true });
    let refused = app.post("/v1/objects/customer/fields", name).await;
    assert!(refused.status >= 400, "the name is not indexed");
    app.post("/v1/objects/customer/fields", json!({ "name": "name", "type": "text", "searchable": true }))
        .await
        .expect(201);
    assert_eq!(app.get("/v1/records/customer/search?q=lovelace").await.expect(200).items().len(), 1);
    proven(&app).await;
}

async fn a_text_alone_is_searchable(database: Database) {
    let app = articles(database).await;
    for kind in ["integer", "json", "date"] {
        let field = json!({ "name": "other", "type": kind, "searchable": true });
        app.post("/v1/objects/article/fields", field).await.expect(422);
    }
}

async fn a_restart_finds_the_same(database: Database) {
    let app = articles(database).await;
    fill(&app).await;
    let before = search(&app, &[("q", "refund")]).await.expect(200).json();
    let app = app.restart(|setup| setup).await;
    assert_eq!(search(&app, &[("q", "refund")]).await.expect(200).json(), before);
    proven(&app).await;
}

async fn an_import_is_searched(database: Database) {
    let app = articles(database).await;
    let lines: Vec<String> = (0..700)
        .map(|n| json!({ "no": n.to_string(), "title": format!("title w{n} 第{}篇章", n % 7) }).to_string())
        .collect();
    app.ndjson("/v1/records/article/bulk?key=no", &lines).await.expect(200);
    assert_eq!(found(&app, &[("q", "w3 篇章")]).await, ["3"]);
    app.ndjson("/v1/records/article/bulk?key=no", &[json!({ "no": "3", "title": "other" }).to_string()])
        .await
        .expect(200);
    assert_eq!(found(&app, &[("q", "w3 篇章")]).await, Vec::<String>::new());
    proven(&app).await;
}

async fn an_undo_is_searched(database: Database) {
    let rights = ["article:read", "article:write"];
    let script = format!(
        "//! Rewrites.\non(\"customer.created\");\nuses({});\nfn run(event) {{\n    update(get(\"article\", \"no:1\"), #{{ title: \"rewritten\" }});\n    \
         delete(get(\"article\", \"no:2\"));\n}}\n",
        rights.map(|right| format!("\"{right}\"")).join(", ")
    );
    let app = articles(database).await;
    fill(&app).await;
    let app = app.restart(|setup| setup.script("rewrite", &script)).await;
    app.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    app.run_until_idle().await;
    assert_eq!(found(&app, &[("q", "rewritten")]).await, ["1"]);
    assert_eq!(found(&app, &[("q", "policy")]).await, Vec::<String>::new());
    let run = app.runs("automation=rewrite").await[0]["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200);
    assert_eq!(found(&app, &[("q", "rewritten")]).await, Vec::<String>::new());
    assert_eq!(found(&app, &[("q", "policy")]).await, ["2"]);
    proven(&app).await;
}

async fn the_index_is_what_the_records_say_after_anything(database: Database) {
    let app = articles(database).await;
    let words = ["退款", "refund", "Ü", "商品寄回", "the the the", "x1", "", "ﬁn", "。", "ガ"];
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..120 {
        let path = format!("/v1/records/article/no:{}", next(12));
        let mut text =
            |words_max: usize| (0..next(words_max)).map(|_| words[next(words.len())]).collect::<Vec<_>>().join(" ");
        let body = json!({ "title": text(4), "body": text(9) });
        match next(5) {
            0 => _ = app.delete(&path).await,
            1 => _ = app.patch(&path, json!({ "body": null })).await,
            _ => _ = app.put(&path, body).await,
        }
    }
    proven(&app).await;
    let app = app.restart(|setup| setup).await;
    proven(&app).await;
}

async fn a_tampered_index_is_told(database: Database) {
    let app = articles(database).await;
    fill(&app).await;
    let url = app.database_url();
    let tamper = "delete from search_term where term = 'refund'";
    let folder = app.folder.clone();
    let app = app
        .restart_after(async || _ = crate::database::execute(database, &folder.path().join("data"), &url, tamper).await)
        .await;
    let report = app.get("/v1/health/invariants").await.expect(200).json();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "search_terms").unwrap();
    assert_eq!(check["findings"].as_array().unwrap().len(), 2, "{check:#}");
}

async fn with_keeper(database: Database, rights: &[&str]) -> TestApp {
    let app = articles(database).await;
    fill(&app).await;
    app.restart(|setup| setup.keeper_plugin("keeper", rights, "")).await
}

async fn a_plugin_finds_what_it_may_read(database: Database) {
    let app = with_keeper(database, &["article:read"]).await;
    let calls = json!([
        ["search", "article", "refund", [], "", 0],
        ["search", "article", "退款规则", ["title"], "", 1],
        ["search", "article", "refund", [], "no == '5'", 9],
        ["search", "article", "", [], "", 9],
        ["search", "article", "refund", ["hidden"], "", 9],
        ["search", "customer", "refund", [], "", 9],
    ]);
    let told = asked(&app, "keeper", "1", calls).await;
    let fields = |hits: &Value| hits.as_array().unwrap().iter().map(|hit| hit[1].clone()).collect::<Vec<_>>();
    assert_eq!(fields(&told[0]), ["title", "body", "body"], "{told}");
    assert_eq!(told[1][0][2], "退款规则", "{told}");
    assert_eq!(fields(&told[2]), ["body"], "{told}");
    for place in 3..6 {
        assert_eq!(told[place], json!({ "error": "invalid" }), "{place}: {told}");
    }
}

async fn a_plugin_finds_nothing_without_the_right(database: Database) {
    let app = with_keeper(database, &[]).await;
    app.expect_dead(1);
    crate::keeping::dies_with(&app, "1", json!(["search", "article", "refund", [], "", 9]), "denied").await;
}

async fn a_plugin_without_the_field_finds_nothing_by_it(database: Database) {
    let app = with_keeper(database, &["article.title:read"]).await;
    app.expect_dead(2);
    let told = asked(&app, "keeper", "1", json!([["search", "article", "refund", ["title"], "", 9]])).await;
    assert_eq!(told[0].as_array().unwrap().len(), 2, "{told}");
    crate::keeping::dies_with(&app, "2", json!(["search", "article", "box", [], "", 9]), "article.body:read").await;
    let by_rule = json!(["search", "article", "refund", ["title"], "hidden == 'secret 1'", 9]);
    crate::keeping::dies_with(&app, "3", by_rule, "article.hidden:read").await;
}

async fn a_slice_that_has_written_does_not_search(database: Database) {
    let rights = ["customer:create"];
    let app = TestApp::on(database).keeper_plugin("keeper", &rights, "").start().await;
    let name = json!({ "name": "name", "type": "text", "searchable": true });
    app.post("/v1/objects/customer/fields", name).await.expect(201);
    let calls = json!([
        ["search", "customer", "x", [], "", 9],
        ["create", "customer", "new"],
        ["search", "customer", "x", [], "", 9],
    ]);
    let told = asked(&app, "keeper", "1", calls).await;
    assert_eq!((&told[0], &told[2]), (&json!([]), &json!({ "error": "unwritten" })), "{told}");
    ask(&app, "nobody", "2", json!([])).await;
}

async fn a_key_searches_its_objects_alone(database: Database) {
    let app = articles(database).await;
    fill(&app).await;
    let key = json!({ "name": "k", "scopes": ["read"], "objects": ["customer"] });
    let made = app.post("/v1/keys", key).await.expect(201).json();
    let client = app.with_key(made["secret"].as_str().unwrap());
    client.get("/v1/records/article/search?q=refund").await.expect(403);
}

async fn many_words_are_found_in_many_fields(database: Database) {
    let app = TestApp::start(database).await;
    let text = |n: usize| json!({ "name": format!("f{n}"), "type": "text", "searchable": true });
    let mut fields: Vec<Value> = (0..400).map(text).collect();
    fields.push(json!({ "name": "no", "type": "text", "unique": true }));
    app.post("/v1/objects", json!({ "name": "sheet", "fields": fields })).await.expect(201);
    let words: Vec<String> = (10..42).map(|n| format!("w{n}")).collect();
    for (no, count) in [("whole", 32), ("short", 31)] {
        let record: serde_json::Map<String, Value> =
            words.iter().take(count).enumerate().map(|(n, word)| (format!("f{}", 2 * n), json!(word))).collect();
        app.put(&format!("/v1/records/sheet/no:{no}"), Value::Object(record)).await.expect(201);
    }
    let found = app.get(&with_query("/v1/records/sheet/search", &[("q", &words.join(" "))])).await.expect(200).json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    // One word in a field of one: each of the 32 adds a half.
    assert_eq!(found["items"][0]["score"], 16.0, "{found}");
    // More words begin so than are looked for each by itself.
    let found = app.get("/v1/records/sheet/search?q=w").await.expect(200).json();
    let scores: Vec<&Value> = found["items"].as_array().unwrap().iter().map(|item| &item["score"]).collect();
    assert_eq!(scores, [&json!(16.0), &json!(15.5)], "{found}");
}
