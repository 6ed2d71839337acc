//! Surveys as visitors meet them: pages without a script, tokens, floods, and what a crash leaves.

use serde_json::{Value, json};

use crate::actions::call;
use crate::client::{Client, Reply, Request};
use crate::harness::{Database, TestApp, on_both, project};

on_both!(
    a_visitor_answers_page_by_page,
    strangers_reach_nothing_but_their_own_form,
    markup_of_visitors_stays_text,
    two_who_send_the_same_page_at_once_count_once,
    a_flood_at_an_open_link_waits,
    many_answers_at_once_are_all_counted,
    answers_that_are_taken_back_leave_the_counts,
    what_somebody_judges_counts_in_place_of_the_lists,
);

pub(crate) fn flow(name: &str) -> String {
    std::fs::read_to_string(project().join(format!("scripts/surveys/{name}.rhai"))).unwrap()
}

async fn surveys(database: Database, settings: &str) -> TestApp {
    let app = TestApp::on(database).script("surveys/nps", &flow("nps")).script("surveys/visit", &flow("visit"));
    let app = app.survey_plugin(settings).start().await;
    for name in ["nps", "visit"] {
        let published = call(&app, "survey.publish", json!({ "script": format!("surveys/{name}") })).await.expect(200);
        assert_eq!(published.json()["result"], "ok");
    }
    app
}

/// Invites somebody; gives the address of the page.
pub(crate) async fn invited(app: &Client, input: Value) -> String {
    let mut input = input;
    input["survey"] = "nps".into();
    input["channel"] = "link".into();
    let invited = call(app, "survey.invite", input).await.expect(200).json();
    assert_eq!(invited["result"], "ok", "{invited}");
    format!("/x/survey/{}", invited["token"].as_str().unwrap())
}

async fn send(client: &Client, page: &str, body: &str) -> Reply {
    client.send(Request::new("POST", page).body("application/x-www-form-urlencoded", body)).await
}

async fn report(app: &TestApp) -> Value {
    call(app, "survey.report", json!({ "survey": "nps" })).await.expect(200).json()["total"].clone()
}

async fn a_visitor_answers_page_by_page(database: Database) {
    let app = surveys(database, "").await;
    app.customer("a").await;
    let (page, anybody) = (invited(&app, json!({ "customer": "customer_no:a" })).await, app.without_key());
    let shown = anybody.get(&format!("{page}?answer=9")).await.expect(200);
    assert!(shown.text().contains("value=\"9\" required checked") && app.all("survey_response").await.is_empty());
    for (name, value) in
        [("cache-control", "no-store"), ("x-robots-tag", "noindex"), ("referrer-policy", "no-referrer")]
    {
        assert_eq!(shown.header(name), Some(value));
    }
    let policy = shown.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    send(&anybody, &page, "page=0&asked=score&q_score=").await.expect(422);
    send(&anybody, &page, "page=0&asked=score&q_score=9").await.expect(303);
    assert_eq!(app.all("survey_answer").await.len(), 1);
    let sent = send(&anybody, &page, "page=1&asked=like&q_like=fast").await.expect(303);
    assert_eq!(sent.header("location"), Some(format!("{page}?done=1").as_str()));
    assert!(anybody.get(&page).await.expect(200).text().contains("You have answered this survey."), "says so");
    app.run_until_idle().await;
    let told = app.log().await.into_iter().filter(|event| event["type"] == "survey.completed").collect::<Vec<_>>();
    assert_eq!((told.len(), &told[0]["data"]["score"], &told[0]["data"]["comment"]), (1, &json!(9), &json!("fast")));
    assert_eq!(report(&app).await["score"], 100.0);
}

async fn strangers_reach_nothing_but_their_own_form(database: Database) {
    let app = surveys(database, "").await;
    let (page, anybody) = (invited(&app, json!({})).await, app.without_key());
    let unknown = anybody.get("/x/survey/00000000000000000000000000000000").await.expect(404);
    for path in [
        "/x/survey/ffffffffffffffffffffffffffffffff",
        "/x/survey/x",
        &page.to_uppercase().replace("/X/SURVEY", "/x/survey"),
    ] {
        assert_eq!(anybody.get(path).await.expect(404).text(), unknown.text(), "{path}");
        assert_eq!(send(&anybody, path, "page=0&q_score=1").await.expect(404).text(), unknown.text(), "{path}");
    }
    anybody.get("/x/survey/open/nps").await.expect(404);
    anybody.get("/v1/records/survey_answer").await.expect(401);
    anybody.post("/v1/actions/survey.report", json!({ "survey": "nps" })).await.expect(401);
    call(&app, "survey.close", json!({ "survey": "nps" })).await.expect(200);
    anybody.get(&page).await.expect(410);
    send(&anybody, &page, "page=0&asked=score&q_score=1").await.expect(303);
    assert!(app.all("survey_answer").await.is_empty());
}

async fn markup_of_visitors_stays_text(database: Database) {
    let app = surveys(database, "").await;
    app.post("/v1/records/customer", json!({ "customer_no": "x", "name": "<img src=x onerror=alert(1)>" }))
        .await
        .expect(201);
    let (page, anybody) = (invited(&app, json!({ "customer": "customer_no:x" })).await, app.without_key());
    let text = anybody.get(&page).await.expect(200).text();
    assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;") && !text.contains("<img"), "{text}");
    send(&anybody, &page, "page=0&asked=score&q_score=2").await.expect(303);
    let long = format!("page=1&asked=wrong+call&q_wrong={}", "%3Cscript%3E%7B%7B".repeat(300));
    let text = send(&anybody, &page, &long).await.expect(422).text();
    assert!(text.contains("&lt;script&gt;{{") && !text.contains("<script"), "{text}");
}

async fn two_who_send_the_same_page_at_once_count_once(database: Database) {
    let app = surveys(database, "").await;
    let page = invited(&app, json!({})).await;
    let all = (0..10).map(|score| {
        let (client, page) = (app.without_key(), page.clone());
        tokio::spawn(
            async move { send(&client, &page, &format!("page=0&asked=score&q_score={score}")).await.expect(303) },
        )
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!((app.all("survey_response").await.len(), app.all("survey_answer").await.len()), (1, 1));
    assert_eq!(report(&app).await["n"], 1);
}

async fn a_flood_at_an_open_link_waits(database: Database) {
    let app = surveys(database, "open_per_minute = 3").await;
    let anybody = app.without_key();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(send(&anybody, "/x/survey/open/visit", "lang=en").await.status);
    }
    // The clock of a story may turn to the next minute in between, but not twice.
    let begun = app.all("survey_invitation").await.len();
    assert!(
        statuses.contains(&429) && statuses.iter().filter(|status| **status == 303).count() == begun,
        "{statuses:?}"
    );
}

async fn many_answers_at_once_are_all_counted(database: Database) {
    let app = surveys(database, "").await;
    let mut pages = Vec::new();
    for _ in 0..30 {
        pages.push(invited(&app, json!({})).await);
    }
    let all = pages.into_iter().enumerate().map(|(n, page)| {
        let client = app.without_key();
        tokio::spawn(async move {
            send(&client, &page, &format!("page=0&asked=score&q_score={}", n % 3 + 8)).await.expect(303)
        })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let total = report(&app).await;
    assert_eq!((&total["n"], &total["counts"]), (&json!(30), &json!([0, 0, 0, 0, 0, 0, 0, 0, 10, 10, 10])), "{total}");
}

async fn answers_that_are_taken_back_leave_the_counts(database: Database) {
    let app = surveys(database, "").await;
    let page = invited(&app, json!({})).await;
    send(&app.without_key(), &page, "page=0&asked=score&q_score=3").await.expect(303);
    assert_eq!(report(&app).await["score"], -100.0);
    app.run_until_idle().await;
    let runs = app.runs("automation=survey").await;
    let newest = runs.iter().filter_map(|run| run["id"].as_str()).max().unwrap();
    app.post(&format!("/v1/runs/{newest}/undo"), json!({})).await.expect(200);
    let total = report(&app).await;
    assert_eq!((&total["n"], &total["score"]), (&json!(0), &Value::Null), "{total}");
}

async fn what_somebody_judges_counts_in_place_of_the_lists(database: Database) {
    let app = surveys(database, "").await;
    for said in ["Great, again broken. Love it.", "It came late."] {
        let page = invited(&app, json!({})).await;
        send(&app.without_key(), &page, "page=0&asked=score&q_score=2").await.expect(303);
        let wrong = format!("page=1&asked=wrong+call&q_wrong={}", said.replace(' ', "+"));
        send(&app.without_key(), &page, &wrong).await.expect(303);
    }
    let asked = json!({ "survey": "nps", "question": "wrong" });
    let themes = call(&app, "survey.themes", asked.clone()).await.expect(200).json();
    assert_eq!((&themes["mood"]["positive"], &themes["judged"]), (&json!(1), &json!([])), "{themes}");
    let texts = call(&app, "survey.texts", asked.clone()).await.expect(200).json();
    let texts = texts["texts"].as_array().unwrap();
    let ironic = texts.iter().find(|text| text["text"].as_str().unwrap().starts_with("Great")).unwrap();
    let judge = json!({ "answer": ironic["id"], "mood": "negative", "themes": ["irony", "quality", "irony"] });
    assert_eq!(call(&app, "survey.judge", judge).await.expect(200).json(), json!({ "result": "ok" }));
    let themes = call(&app, "survey.themes", asked).await.expect(200).json();
    assert_eq!(themes["mood"], json!({ "positive": 0, "neutral": 0, "negative": 2 }), "{themes}");
    assert_eq!(themes["judged"][0]["n"], 1, "{themes}");
    let found = |name: &str| themes["themes"].as_array().unwrap().iter().find(|t| t["theme"] == name).cloned();
    assert_eq!(found("irony").unwrap()["n"], 1, "{themes}");
    assert_eq!(found("delivery").unwrap()["n"], 1, "{themes}");
    let answers = app.all("survey_answer").await;
    let number = answers.iter().find(|answer| answer["item"] == "nps/score").unwrap();
    let judged = call(&app, "survey.judge", json!({ "answer": number["id"], "mood": "neutral" })).await.expect(200);
    assert_eq!(judged.json()["result"], "not_a_text");
    let unknown = json!({ "answer": "019500d6-7c64-7000-8000-000000000001", "mood": "neutral" });
    assert_eq!(call(&app, "survey.judge", unknown).await.expect(200).json()["result"], "unknown_answer");
}
