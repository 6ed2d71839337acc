//! Shops that show surveys themselves.

use rapport_sdk::fake;
use serde_json::json;

use super::stage::{answers, call, definition, emitted, in_order, invite, stage};

#[test]
fn a_shop_shows_pages_and_sends_answers() {
    let token = invite(&stage(definition()));
    in_order(&["score", "how"]);
    let form = call("form", json!({ "token": token, "language": "zh" })).unwrap();
    assert_eq!((&form["state"], &form["page"], &form["title"]), (&json!("open"), &json!(0), &json!("我们")));
    let question = &form["questions"][0];
    assert_eq!((&question["kind"], &question["min"], &question["max"]), (&json!("nps"), &json!(0), &json!(10)));
    let submit = |answers| call("submit", json!({ "token": token, "answers": answers })).unwrap();
    let refused = submit(json!({ "score": 11 }));
    assert_eq!((&refused["result"], &refused["errors"]["score"]["code"]), (&json!("refused"), &json!("not_there")));
    assert_eq!(submit(json!({ "score": 9 })), json!({ "result": "ok", "page": 1 }));
    let form = call("form", json!({ "token": token })).unwrap();
    assert_eq!(form["questions"][0]["options"][1], json!({ "key": "web", "text": "On the web" }));
    assert_eq!(submit(json!({ "how": "web" })), json!({ "result": "complete" }));
    assert_eq!(submit(json!({ "how": "shop" })), json!({ "result": "complete" }));
    assert_eq!(call("form", json!({ "token": token })).unwrap(), json!({ "state": "complete" }));
    assert_eq!((answers().len(), emitted("survey.completed")), (2, 1));
}

#[test]
fn what_is_no_answer_is_refused() {
    let token = invite(&stage(definition()));
    let error = call("submit", json!({ "token": token, "answers": { "score": {} } })).unwrap_err();
    assert!(error.code() == "invalid" && error.to_string().starts_with("`answers/score`"), "{error}");
    let unknown = json!({ "token": "00000000000000000000000000000000", "answers": { "score": 1 } });
    assert_eq!(call("submit", unknown).unwrap(), json!({ "result": "unknown" }));
    assert_eq!(call("form", json!({ "token": "x" })).unwrap(), json!({ "state": "unknown" }));
    assert!(fake::all("survey_response").is_empty());
}
