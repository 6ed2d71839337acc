//! Visitors who mean ill, and flows that go wrong.

use rapport_sdk::{Error, Json, Timestamp, fake};
use serde_json::json;

use super::stage::{
    DAY, NOW, answers, body, definition, emitted, in_order, invite, location, look, look_with, publish, send, sends,
    stage,
};

#[test]
fn a_token_that_nobody_was_given_is_told_nothing() {
    stage(definition());
    let answer = look("00000000000000000000000000000000");
    assert_eq!(answer.status, 404);
    for token in
        ["ffffffffffffffffffffffffffffffff", "x", "", "name:us", "token_hash:00", "0000000000000000000000000000000G"]
    {
        assert_eq!(look(token), answer, "{token}");
        assert_eq!(send(token, "page=0&asked=score&q_score=4"), answer, "{token}");
    }
    assert!(fake::all("survey_response").is_empty() && fake::locked().is_empty());
}

#[test]
fn a_token_that_was_used_up_changes_nothing_more() {
    let token = invite(&stage(definition()));
    in_order(&["score"]);
    sends(&token, "page=0&asked=score&q_score=4");
    sends(&token, "page=0&asked=score&q_score=10");
    assert_eq!((answers(), emitted("survey.completed")), (vec![("score".into(), json!(4))], 1));
    assert!(body(&look_with(&token, &[("page", "0")])).contains("You have answered"));
}

#[test]
fn an_invitation_that_has_expired_takes_nothing() {
    let token = invite(&stage(definition()));
    sends(&token, "page=0&asked=score&q_score=4");
    fake::set_now(Timestamp(NOW + 30 * DAY));
    assert_eq!(look(&token).status, 410);
    assert_eq!(location(&send(&token, "page=1&asked=how&q_how=web")), format!("/x/survey/{token}"));
    assert_eq!(answers().len(), 1);
}

#[test]
fn a_survey_that_was_closed_takes_nothing() {
    let token = invite(&stage(definition()));
    super::stage::call("close", json!({ "survey": "us" })).unwrap();
    let page = look(&token);
    assert!(page.status == 410 && body(&page).contains("This survey has ended"));
    sends(&token, "page=0&asked=score&q_score=4");
    assert!(answers().is_empty());
}

#[test]
fn markup_and_templates_in_answers_stay_text() {
    let token = invite(&stage(definition()));
    sends(&token, "page=0&asked=score&q_score=4");
    sends(&token, "page=1&asked=how&q_how=web");
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E%22%27%3E%7Bcustomer.email%7D%7B%7B7*7%7D%7D%24%7Bx%7D";
    sends(&token, &format!("page=2&asked=why&q_why={evil}"));
    let page = body(&look(&token));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;{customer.email}{{7*7}}${x}"), "{page}");
    assert!(!page.contains("<script") && !page.contains("a@example.com"));
    let back = body(&look_with(&token, &[("page", "2")]));
    assert!(back.contains("&lt;script&gt;") && !back.contains("<script"), "{back}");
}

#[test]
fn no_page_asks_for_a_script_or_for_anything_elsewhere() {
    let token = invite(&stage(definition()));
    for page in [look(&token), look("x"), send(&token, "q_score=77")] {
        let page = body(&page).to_lowercase();
        for part in ["<script", "javascript:", " on", "http://", "https://", "style=\"", "<style"] {
            let found =
                page.contains(part) && !(part == " on" && !page.contains(" onclick") && !page.contains(" onload"));
            assert!(!found, "{part} {page}");
        }
    }
}

#[test]
fn a_visitor_answers_only_what_he_is_asked() {
    let token = invite(&stage(definition()));
    sends(&token, "page=0&asked=score+why+how&q_score=4&q_why=x&q_how=web");
    assert_eq!(answers(), [("score".into(), json!(4))]);
    sends(&token, "page=1&asked=how&q_how=elsewhere");
    sends(&token, "page=7&asked=more&q_more=x");
    sends(&token, "page=-1&asked=unknown&q_unknown=x");
    assert_eq!(answers().len(), 1);
    for value in ["11", "-1", "4.0", "1e1", "٤", "99999999999999999999", "4%00"] {
        assert_eq!(send(&token, &format!("page=0&asked=score&q_score={value}")).status, 422, "{value}");
    }
}

#[test]
fn what_is_no_form_is_refused() {
    let token = invite(&stage(definition()));
    assert_eq!(send(&token, "q_score=%ff").status, 400);
    assert!(answers().is_empty());
}

/// Sends the first page to a flow that then answers so, and looks at the page.
fn stuck(next: fn() -> Result<Json, Error>) -> (String, String) {
    let token = invite(&stage(definition()));
    fake::script(
        "surveys/us",
        "next",
        move |arguments| {
            if arguments[0].get("score").is_none() { Ok(json!("score")) } else { next() }
        },
    );
    sends(&token, "page=0&asked=score&q_score=4");
    let page = look(&token);
    assert!(page.status == 200 && body(&page).contains("your answers are kept"), "{}", body(&page));
    assert_eq!((answers(), emitted("survey.failed")), (vec![("score".into(), json!(4))], 1));
    sends(&token, "page=0&asked=score&q_score=4");
    sends(&token, "page=1&asked=how&q_how=web");
    assert_eq!(emitted("survey.failed"), 1, "the operator is told once");
    let told = fake::emitted().into_iter().find(|event| event.kind == "survey.failed").unwrap();
    (token, format!("{:?} {:?}", told.data.get("code"), told.data.get("message")))
}

#[test]
fn a_flow_that_asks_again_and_again_ends_politely() {
    let (_, why) = stuck(|| Ok(json!("score")));
    assert!(why.contains("loop") && why.contains("surveys/us: next: `score` has been answered"), "{why}");
}

#[test]
fn a_flow_that_fails_ends_politely_and_says_where() {
    let (_, why) = stuck(|| Err(Error::new("script", "surveys/us.rhai:7:3: there is no `answers.x`")));
    assert!(why.contains("us.rhai:7:3"), "{why}");
    assert!(fake::logged().iter().any(|line| line.contains("us.rhai:7:3")));
    stuck(|| Err(Error::new("budget", "it works too long")));
}

#[test]
fn a_flow_that_asks_an_unknown_question_ends_politely() {
    let (_, why) = stuck(|| Ok(json!(["how", "nothing"])));
    assert!(why.contains("unknown_question") && why.contains("`nothing`"), "{why}");
    stuck(|| Ok(json!({ "page": 1 })));
    stuck(|| Ok(json!([1, 2])));
}

#[test]
fn a_flow_that_was_mended_goes_on_where_somebody_stood() {
    let (token, _) = stuck(|| Ok(json!("nothing")));
    in_order(&["score", "how"]);
    assert!(body(&look(&token)).contains("How?"));
    assert_eq!(location(&send(&token, "page=1&asked=how&q_how=web")), format!("/x/survey/{token}?done=1"));
    assert_eq!((answers().len(), emitted("survey.completed")), (2, 1));
}

#[test]
fn a_flow_that_was_edited_while_people_are_in_it_loses_no_answers() {
    let token = invite(&stage(definition()));
    sends(&token, "page=0&asked=score&q_score=4");
    sends(&token, "page=1&asked=how&q_how=web");
    assert!(body(&look(&token)).contains("Why?"));
    // The question whose page is open goes, another one comes, and the wording of the first one changes.
    let mut edited = definition();
    edited["questions"]
        .as_array_mut()
        .unwrap()
        .retain(|question| question["key"] != "why" && question["key"] != "more");
    edited["questions"][0]["text"]["en"] = json!("How very likely?");
    edited["questions"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "key": "other", "kind": "text", "text": { "en": "Else?", "zh-CN": "其他？" } }));
    in_order(&["score", "how", "other"]);
    assert_eq!(publish(edited)["revision"], 2);
    assert_eq!(send(&token, "page=2&asked=why&q_why=late").status, 303);
    assert!(body(&look(&token)).contains("Else?"));
    sends(&token, "page=3&asked=other&q_other=no");
    let kept: Vec<String> = answers().into_iter().map(|(question, _)| question).collect();
    assert_eq!((kept, emitted("survey.completed")), (["how", "other", "score", "why"].map(String::from).to_vec(), 1));
    let wording = |question: &str| {
        let row = fake::all("survey_answer")
            .into_iter()
            .find(|row| row.text("question").unwrap().as_deref() == Some(question));
        row.unwrap().int("wording").unwrap()
    };
    assert_eq!((wording("score"), wording("other")), (Some(1), Some(1)));
    let question =
        fake::all("survey_question").into_iter().find(|row| row.text("question").unwrap().as_deref() == Some("why"));
    assert_eq!(question.unwrap().read::<bool>("active").unwrap(), Some(false));
}

#[test]
fn a_flow_that_still_names_a_question_that_is_gone_skips_it() {
    let token = invite(&stage(definition()));
    let mut edited = definition();
    edited["questions"].as_array_mut().unwrap().retain(|question| question["key"] != "how");
    in_order(&["score", "why"]);
    publish(edited);
    in_order(&["score", "how", "why"]);
    assert_eq!(location(&send(&token, "page=0&asked=score&q_score=4")), format!("/x/survey/{token}?page=1&lang=en"));
    assert!(body(&look(&token)).contains("Why?"));
}

#[test]
fn many_who_begin_at_an_open_link_wait() {
    let mut flow = definition();
    flow["open"] = json!(true);
    stage(flow);
    fake::set("open_per_minute", 3);
    let statuses: Vec<u16> = (0..5).map(|_| open("POST").status).collect();
    assert_eq!(statuses, [303, 303, 303, 429, 429]);
    assert!(open("POST").headers.contains(&("retry-after".into(), "60".into())));
    assert_eq!(fake::all("survey_invitation").len(), 3);
    fake::set_now(Timestamp(NOW + 60_000_000));
    assert_eq!((open("POST").status, open("GET").status), (303, 200));
    assert!(
        fake::all("survey_invitation")
            .iter()
            .all(|record| record.fields.get("customer") == Some(&rapport_sdk::Value::Null))
    );
}

fn open(method: &str) -> rapport_sdk::route::Response {
    use rapport_sdk::OnRequest as _;
    crate::Survey::on_request(rapport_sdk::route::Request {
        route: "/open/{survey}".into(),
        method: method.into(),
        path_params: vec![("survey".into(), "us".into())],
        ..Default::default()
    })
    .unwrap()
}
