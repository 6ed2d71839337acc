//! Visitors who mean well.

use rapport_sdk::{Fields, Timestamp, fake};
use serde_json::json;

use super::stage::{
    DAY, NOW, answers, body, call, definition, emitted, in_order, invite, location, look, look_with, send, sends, stage,
};

#[test]
fn answers_are_kept_page_by_page_and_told_at_the_end() {
    let ada = stage(definition());
    let token = invite(&ada);
    assert!(body(&look(&token)).contains("How likely?"));
    assert_eq!(location(&send(&token, "page=0&asked=score&q_score=4")), format!("/x/survey/{token}?page=1&lang=en"));
    assert_eq!(answers(), [("score".into(), json!(4))]);
    sends(&token, "page=1&asked=how&q_how=web");
    assert!(body(&look(&token)).contains("You gave 4, Ada &lt;b&gt;. Why?"), "{}", body(&look(&token)));
    sends(&token, "page=2&asked=why&q_why=late");
    assert_eq!(emitted("survey.completed"), 0);
    let last = send(&token, "page=3&asked=more&q_more=");
    assert_eq!(location(&last), format!("/x/survey/{token}?done=1"));
    let told = fake::emitted().into_iter().find(|event| event.kind == "survey.completed").unwrap();
    let field = |name: &str| told.data.get(name).cloned().unwrap();
    assert_eq!((field("score"), field("kind"), field("comment")), (4.into(), "nps".into(), "late".into()));
    assert_eq!((told.subject, emitted("survey.answered")), (Some(ada.reference()), 1));
    assert!(body(&look_with(&token, &[("done", "1")])).contains("Thank you"));
    assert!(body(&look(&token)).contains("You have answered this survey."));
}

#[test]
fn an_answer_in_a_link_is_chosen_and_does_not_count() {
    let token = invite(&stage(definition()));
    let page = body(&look_with(&token, &[("answer", "9")]));
    assert!(page.contains("value=\"9\" required checked"), "{page}");
    assert!(!body(&look_with(&token, &[("answer", "11")])).contains("checked"));
    assert!(fake::all("survey_response").is_empty() && fake::all("survey_answer").is_empty());
    assert_eq!(fake::all("survey_invitation")[0].text("state").unwrap().as_deref(), Some("open"));
}

#[test]
fn who_goes_back_and_changes_his_mind_is_asked_on_from_there() {
    let token = invite(&stage(definition()));
    sends(&token, "page=0&asked=score&q_score=4");
    sends(&token, "page=1&asked=how&q_how=web");
    sends(&token, "page=2&asked=why&q_why=late");
    assert!(body(&look_with(&token, &[("page", "1")])).contains("value=\"web\" checked"));
    // The same answer changes nothing; another one leads on from that page.
    assert_eq!(location(&send(&token, "page=0&asked=score&q_score=4")), format!("/x/survey/{token}?page=1&lang=en"));
    in_order(&["score", "more"]);
    assert_eq!(location(&send(&token, "page=0&asked=score&q_score=10")), format!("/x/survey/{token}?page=1&lang=en"));
    assert!(body(&look(&token)).contains("more?"));
    sends(&token, "page=1&asked=more&q_more=fine");
    // What lies beside the path that was gone in the end is taken away.
    assert_eq!(answers(), [("more".into(), json!("fine")), ("score".into(), json!(10))]);
    assert_eq!(emitted("survey.completed"), 1);
}

#[test]
fn a_page_that_is_sent_twice_counts_once() {
    let token = invite(&stage(definition()));
    for _ in 0..3 {
        sends(&token, "page=0&asked=score&q_score=4");
    }
    assert_eq!((answers().len(), fake::all("survey_response").len()), (1, 1));
}

#[test]
fn what_is_wrong_is_said_beside_the_field_and_nothing_is_kept() {
    let token = invite(&stage(definition()));
    let refused = send(&token, "page=0&asked=score&q_score=");
    let page = body(&refused);
    assert_eq!(refused.status, 422);
    for part in
        ["href=\"#q-score\"", "id=\"q-score\" aria-describedby=\"e-score\"", "aria-invalid=\"true\"", "role=\"alert\""]
    {
        assert!(page.contains(part), "{part} {page}");
    }
    assert!(answers().is_empty() && fake::all("survey_response").is_empty());
    sends(&token, "page=0&asked=score&q_score=4");
    sends(&token, "page=1&asked=how&q_how=web");
    let long = format!("page=2&asked=why&q_why={}", "x".repeat(201));
    let page = body(&send(&token, &long));
    assert!(page.contains("200 characters at most") && page.contains(&"x".repeat(201)), "what was typed stays");
}

#[test]
fn pages_speak_the_language_of_the_visitor() {
    let token = invite(&stage(definition()));
    let page = look_with(&token, &[("lang", "zh")]);
    assert!(body(&page).contains("<html lang=\"zh-CN\">") && body(&page).contains("可能吗？"));
    assert!(page.headers.contains(&("content-language".into(), "zh-CN".into())));
    sends(&token, "page=0&lang=zh-CN&asked=score&q_score=4");
    assert!(body(&look(&token)).contains("怎么？"), "a language that was chosen stays");
}

#[test]
fn a_customer_is_left_alone_for_a_while() {
    let ada = stage(definition());
    invite(&ada);
    let again = || call("invite", json!({ "survey": "us", "customer": ada.id, "channel": "link" })).unwrap();
    assert_eq!((&again()["result"], &again()["until"]), (&json!("resting"), &json!("2026-03-31T02:00:00Z")));
    fake::set_now(Timestamp(NOW + 30 * DAY));
    assert_eq!(again()["result"], "ok");
    assert!(fake::locked().contains(&format!("survey/rest/{}", ada.id)));
}

#[test]
fn the_records_do_not_know_the_token() {
    let token = invite(&stage(definition()));
    sends(&token, "page=0&asked=score&q_score=4");
    for object in ["survey_invitation", "survey_response", "survey_answer"] {
        assert!(fake::all(object).iter().all(|record| !format!("{record:?}").contains(&token)), "{object}");
    }
}

#[test]
fn a_quota_that_is_full_ends_the_visit() {
    let ada = stage(definition());
    fake::set("rest_days", 0);
    for n in 0..3 {
        let token = invite(&ada);
        sends(&token, "page=0&asked=score&q_score=4");
        sends(&token, "page=1&asked=how&q_how=shop");
        let said = body(&look(&token));
        assert_eq!(said.contains("We have enough answers like yours"), n == 2, "{said}");
    }
    assert_eq!(answers().iter().filter(|(question, _)| question == "how").count(), 2);
}

#[test]
fn a_survey_that_has_its_responses_begins_with_nobody_more() {
    let mut flow = definition();
    flow["closes_after"] = json!(1);
    let ada = stage(flow);
    fake::set("rest_days", 0);
    let survey = fake::all("survey")[0].reference();
    let completed = |n| rapport_sdk::records::update(&survey, &Fields::new().with("completed", n)).unwrap();
    completed(0);
    let (early, late) = (invite(&ada), invite(&ada));
    sends(&early, "page=0&asked=score&q_score=4");
    completed(1);
    assert_eq!((look(&late).status, look(&early).status), (410, 200), "who has begun may end");
}
