//! The knowledge base as visitors meet it: pages without a script, searched in two languages, asked whether they help.

use serde_json::{Value, json};

use crate::client::{Client, Reply, Request, with_query};
use crate::desk::{act, ask, desk};
use crate::harness::{Database, TestApp, on_both};

on_both!(
    an_article_is_shown_and_its_markup_stays_text,
    an_article_is_found_by_words_of_its_language,
    what_is_not_public_is_not_there,
    a_visitor_is_counted_once,
    votes_at_once_are_all_counted,
    a_flood_of_votes_waits,
    a_new_ticket_is_given_articles_that_might_help,
    an_earlier_version_comes_back,
);

const FRONT: &str = "/x/desk/kb";

async fn save(app: &TestApp, slug: &str, title: &str, body: &str) {
    let language = if title.is_ascii() { "en" } else { "zh" };
    let article = json!({ "slug": slug, "language": language, "title": title, "body": body, "publish": true });
    act(app, "kb_save", article).await;
}

async fn library(database: Database) -> TestApp {
    let app = desk(database, "").start().await;
    save(&app, "returns", "Returns", "Goods in their box are taken back within **30 days**.").await;
    save(&app, "lamp", "The lamp does not light", "Turn it off and on. Check the bulb.").await;
    save(&app, "returns", "退货", "商品包装完好，三十天内可以申请退款。").await;
    app
}

async fn vote(client: &Client, slug: &str, body: &str) -> Reply {
    let path = format!("{FRONT}/{slug}/vote");
    client.send(Request::new("POST", &path).body("application/x-www-form-urlencoded", body)).await
}

/// The mark in the form of a page.
fn mark(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"mark\" value=\"").unwrap();
    rest.split('"').next().unwrap()
}

/// How many an article has helped, and how many it has not.
async fn helped(app: &TestApp, key: &str) -> (Value, Value) {
    let article = of(app, key).await;
    (article["helpful"].clone(), article["unhelpful"].clone())
}

/// The record of an article.
async fn of(app: &TestApp, key: &str) -> Value {
    app.all("kb_article").await.into_iter().find(|article| article["key"] == key).unwrap()
}

async fn an_article_is_shown_and_its_markup_stays_text(database: Database) {
    let app = desk(database, "").start().await;
    let evil = "<script>alert(1)</script> {{ customer.email }} {% include 'x' %} ${1+1} #{a: 1}";
    let body = format!(
        "# {evil}\n\n{evil}\n\n<img src=x onerror=alert(1)>\n\n**30 days** [x](javascript:alert(1)) [y](<https://a.example/\" onclick=x>) \
         ![pixel](https://evil.example/p.png) `</code><script>`\n\n<style>*{{display:none}}</style>"
    );
    save(&app, "evil", &format!("{evil}</title></h1>"), &body).await;
    let anybody = app.without_key();
    let page = anybody.get("/x/desk/kb/evil").await.expect(200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("script-src"), "{policy}");
    assert_eq!((page.header("x-content-type-options"), page.header("set-cookie")), (Some("nosniff"), None));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let text = page.text();
    for markup in ["<script", "<img", "onerror=alert(1)>", "javascript:", "<style>*", "</title></h1>", "\" onclick=x"] {
        assert!(!text.contains(markup), "{markup}: {text}");
    }
    let shown = "&lt;script&gt;alert(1)&lt;/script&gt; {{ customer.email }} {% include &#39;x&#39; %} ${1+1} #{a: 1}";
    assert!(text.contains("<strong>30 days</strong>") && text.contains(&format!("<h1>{shown}")), "{text}");
    assert_eq!(text.matches(shown).count(), 4, "as title, as heading, in the text: {text}");
    // Where it is listed, where it is found, and where somebody looks for markup.
    let hunt = with_query(FRONT, &[("q", "alert")]);
    for path in
        [FRONT, &hunt, &with_query(FRONT, &[("q", "\"><script>alert(1)")]), &with_query(FRONT, &[("lang", "<script>")])]
    {
        let text = anybody.get(path).await.expect(200).text();
        assert!(!text.contains("<script") && !text.contains("onerror=alert(1)>"), "{path}: {text}");
    }
    assert!(anybody.get(&hunt).await.text().contains("<mark>alert</mark>"), "it is found");
}

async fn an_article_is_found_by_words_of_its_language(database: Database) {
    let app = library(database).await;
    let anybody = app.without_key();
    let found = async |question: &str, language: &str| {
        anybody.get(&with_query(FRONT, &[("q", question), ("lang", language)])).await.expect(200).text()
    };
    for (question, language, slug, marked) in [
        ("BULB", "en", "lamp", "<mark>bulb</mark>"),
        ("goods box", "en", "returns", "<mark>box</mark>"),
        ("申请退款", "zh", "returns", "<mark>"),
        ("退货", "zh", "returns", "<mark>退货</mark>"),
    ] {
        let text = found(question, language).await;
        let link = format!("<a href=\"/x/desk/kb/{slug}?lang={language}\">");
        assert!(text.contains(&link) && text.contains(marked), "{question}: {text}");
    }
    for (question, language, nothing) in [
        ("申请退款", "en", "Nothing was found."),
        ("bulb", "zh", "没有找到相关内容。"),
        ("!?", "en", "Nothing was found."),
    ] {
        assert!(found(question, language).await.contains(nothing), "{question}");
    }
    let told = ask(&app, "kb_search", json!({ "q": "申请退款" })).await;
    assert_eq!((&told["language"], &told["articles"][0]["slug"]), (&json!("zh"), &json!("returns")));
    // A visitor reads what their browser asks for, else what there is.
    let chinese = Request::new("GET", "/x/desk/kb/returns").header("accept-language", "zh-CN,zh;q=0.9");
    assert!(anybody.send(chinese).await.expect(200).text().contains("<h1>退货</h1>"));
    assert!(
        anybody.get("/x/desk/kb/lamp?lang=zh").await.expect(200).text().contains("<h1>The lamp does not light</h1>")
    );
}

async fn what_is_not_public_is_not_there(database: Database) {
    let app = library(database).await;
    let draft = json!({ "slug": "prices", "title": "Secret prices", "body": "Secret bulbs cost less." });
    act(&app, "kb_save", draft).await;
    act(&app, "kb_withdraw", json!({ "slug": "lamp" })).await;
    let anybody = app.without_key();
    let id = of(&app, "en/prices").await["id"].as_str().unwrap().to_owned();
    let missing = anybody.get("/x/desk/kb/nothing").await.expect(404).text();
    for slug in ["prices", "lamp", &id, "en%2Fprices", "..%2Fprices", "prices%23v1", "key:en", "PRICES", "T-1001"] {
        let path = format!("{FRONT}/{slug}");
        let reply = anybody.get(&path).await;
        assert!(matches!(reply.status, 400 | 404), "{path}: {}", reply.status);
        assert!(reply.status == 400 || reply.text() == missing, "{path}: {}", reply.text());
    }
    for slug in ["prices", "lamp", "nothing"] {
        assert_eq!(vote(&anybody, slug, "helped=yes&mark=00").await.expect(404).text(), missing, "{slug}");
    }
    for path in [FRONT, &with_query(FRONT, &[("q", "secret")]), &with_query(FRONT, &[("q", "bulb")])] {
        let text = anybody.get(path).await.expect(200).text();
        assert!(!text.contains("prices") && !text.contains("lamp"), "{path}: {text}");
    }
    assert_eq!(ask(&app, "kb_search", json!({ "q": "bulbs" })).await["articles"], json!([]));
    assert!(app.all("kb_feedback").await.is_empty());
}

async fn a_visitor_is_counted_once(database: Database) {
    let app = library(database).await;
    let anybody = app.without_key();
    let page = anybody.get("/x/desk/kb/lamp").await.expect(200).text();
    let mark = mark(&page);
    let no = vote(&anybody, "lamp", &format!("helped=no&mark={mark}&remark=%3Cb%3Ewhich+bulb%3F")).await.expect(200);
    assert!(no.text().contains("Thank you."));
    assert_eq!(helped(&app, "en/lamp").await, (json!(0), json!(1)));
    // The form again, and another answer: the last one counts.
    for answer in ["no", "yes", "yes"] {
        vote(&anybody, "lamp", &format!("helped={answer}&mark={mark}")).await.expect(200);
    }
    assert_eq!(helped(&app, "en/lamp").await, (json!(1), json!(0)));
    for wrong in ["helped=maybe&mark=00", "helped=yes"] {
        vote(&anybody, "lamp", wrong).await.expect(422);
    }
    let noted = app.all("kb_feedback").await;
    assert_eq!((noted.len(), &noted[0]["helpful"]), (1, &json!(true)));
    // Looking is no answer.
    anybody.get(&format!("/x/desk/kb/lamp/vote?helped=yes&mark={mark}")).await.expect(405);
}

async fn votes_at_once_are_all_counted(database: Database) {
    let app = library(database).await;
    let all = ["0a", "0b", "0c", "0a", "0a"].map(|mark| {
        let client = app.without_key();
        tokio::spawn(async move { vote(&client, "lamp", &format!("helped=yes&mark={mark}")).await.expect(200) })
    });
    for one in all {
        one.await.unwrap();
    }
    assert_eq!((helped(&app, "en/lamp").await, app.all("kb_feedback").await.len()), ((json!(3), json!(0)), 3));
}

async fn a_flood_of_votes_waits(database: Database) {
    let app = desk(database, "").clock(crate::waiting::clock()).start().await;
    save(&app, "lamp", "Lamp", "Check the bulb.").await;
    let anybody = app.without_key();
    for n in 0..6 {
        vote(&anybody, "lamp", &format!("helped=yes&mark=0{n}")).await.expect(200);
    }
    let refused = vote(&anybody, "lamp", "helped=yes&mark=0f").await.expect(429);
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(helped(&app, "en/lamp").await, (json!(6), json!(0)));
    anybody.get("/x/desk/kb/lamp").await.expect(200);
}

async fn a_new_ticket_is_given_articles_that_might_help(database: Database) {
    let app = library(database).await;
    for (subject, description, language, slug) in [
        ("My lamp is dark", "I bought a bulb yesterday", "en", "lamp"),
        ("How long can I send goods back?", "I still have the box", "en", "returns"),
        ("我想申请退款", "商品坏了", "zh", "returns"),
    ] {
        let told = act(&app, "open", json!({ "subject": subject, "description": description })).await;
        let suggested = ask(&app, "suggest", json!({ "ticket": told["number"] })).await;
        let first = &suggested["articles"][0];
        assert_eq!((&suggested["language"], &first["slug"]), (&json!(language), &json!(slug)), "{suggested}");
        let page = app.without_key().get(first["address"].as_str().unwrap()).await.expect(200).text();
        assert!(page.contains("name=\"mark\""), "what is suggested can be read");
    }
    // For somebody who is still typing as well; and nothing where nothing fits.
    let typing = ask(&app, "suggest", json!({ "subject": "bulb" })).await;
    assert_eq!(typing["articles"][0]["slug"], "lamp");
    assert_eq!(ask(&app, "suggest", json!({ "subject": "zebra" })).await["articles"], json!([]));
    assert_eq!(ask(&app, "suggest", json!({ "ticket": "T-7" })).await["result"], "rejected_unknown");
}

async fn an_earlier_version_comes_back(database: Database) {
    let app = library(database).await;
    let anybody = app.without_key();
    let shows = async |text: &str| anybody.get("/x/desk/kb/returns?lang=en").await.expect(200).text().contains(text);
    act(&app, "kb_save", json!({ "slug": "returns", "title": "Returns", "body": "Now 60 days." })).await;
    assert!(shows("30 days").await, "saved is not public");
    act(&app, "kb_publish", json!({ "slug": "returns" })).await;
    assert!(shows("Now 60 days.").await);
    act(&app, "kb_publish", json!({ "slug": "returns", "version": 1 })).await;
    assert!(shows("30 days").await);
    assert_eq!(app.all("kb_version").await.len(), 4);
    // Only who keeps articles by their key may make them.
    let reader = json!({ "name": "reader", "scopes": ["read"] });
    let reader = app.with_key(app.post("/v1/keys", reader).await.expect(201).json()["secret"].as_str().unwrap());
    let publish = reader.post("/v1/actions/desk.kb_publish", json!({ "slug": "returns", "version": 2 })).await;
    assert_eq!(publish.status, 403, "{}", publish.text());
    assert!(shows("30 days").await);
}
