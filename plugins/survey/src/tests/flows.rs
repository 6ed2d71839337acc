//! What flows may say, and what is refused.

use rapport_sdk::{Json, fake};
use serde_json::json;

use super::stage::{call, definition, in_order, stage};

type Change = fn(&mut Json);

fn refused(change: impl FnOnce(&mut Json)) -> String {
    stage(definition());
    let mut flow = definition();
    change(&mut flow);
    fake::script("surveys/us", "survey", move |_| Ok(flow.clone()));
    let error = call("publish", json!({ "script": "surveys/us" })).unwrap_err();
    assert_eq!(error.code(), "flow", "{error}");
    error.to_string()
}

#[test]
fn what_is_wrong_with_a_flow_is_said_with_its_place() {
    let cases: [(Change, &str); 14] = [
        (
            |flow| flow["questions"][0]["kind"] = json!("npss"),
            "question `score`: `kind`: \"npss\" is none of nps, csat",
        ),
        (|flow| flow["questions"][1]["key"] = json!("score"), "`questions`: two have the key `score`"),
        (
            |flow| flow["questions"][0]["text"] = json!({ "en": "How?" }),
            "question `score`: `text`: the text in `zh-CN` is missing",
        ),
        (|flow| flow["questions"][0]["text"]["de"] = json!("Wie?"), "`de` is none of the survey's languages"),
        (|flow| flow["questions"][0]["key"] = json!("Score"), "question: \"Score\" is no key"),
        (|flow| flow["questions"][0]["max"] = json!(5), "a net promoter score is asked from 0 to 10"),
        (|flow| flow["questions"][1]["options"] = Json::Null, "question `how`: `options` is missing"),
        (|flow| flow["questions"][1]["options"][1]["key"] = json!("shop"), "two have the key `shop`"),
        (
            |flow| flow["questions"][2]["text"]["en"] = json!("{answers.nothing}"),
            "names the answer to `nothing`, which is no question",
        ),
        (|flow| flow["questions"][2]["weight"] = json!(1), "only scales have a `weight`"),
        (|flow| flow["questions"][0]["weight"] = json!(-1), "`weight`: -1 is no number from 0"),
        (|flow| flow["question"] = json!([]), "there is no `question`; there are title, languages"),
        (|flow| flow["languages"] = json!([]), "`languages`: a list such as"),
        (|flow| flow["closes_at"] = json!("soon"), "`closes_at`: `soon` is no instant"),
    ];
    for (change, why) in cases {
        let said = refused(change);
        assert!(said.starts_with("surveys/us: ") && said.contains(why), "{said}");
    }
}

#[test]
fn a_flow_is_walked_before_anybody_is_asked() {
    stage(definition());
    in_order(&["score", "nothing"]);
    let error = call("publish", json!({ "script": "surveys/us" })).unwrap_err();
    assert!(error.to_string().contains("there is no question `nothing`; after the answers {\"score\":"), "{error}");
    fake::script("surveys/us", "next", |_| Ok(json!("score")));
    let error = call("publish", json!({ "script": "surveys/us" })).unwrap_err();
    assert!(error.to_string().contains("is asked again") && error.to_string().ends_with("(loop)"), "{error}");
    in_order(&["score", "how"]);
    let said = call("publish", json!({ "script": "surveys/us" })).unwrap();
    let warnings = said["warnings"].as_array().unwrap();
    assert!(
        said["result"] == "unchanged" && warnings.len() == 2 && warnings[0].as_str().unwrap().contains("`why`"),
        "{said}"
    );
}

#[test]
fn a_weight_may_be_a_decimal_of_a_script() {
    stage(definition());
    let mut flow = definition();
    flow["questions"][0]["weight"] = json!("0.25");
    super::stage::publish(flow);
    let question =
        fake::all("survey_question").into_iter().find(|row| row.text("question").unwrap().as_deref() == Some("score"));
    assert_eq!(question.unwrap().decimal("weight").unwrap().unwrap().to_string(), "0.25");
}

#[test]
fn scripts_elsewhere_are_no_flows() {
    stage(definition());
    let error = call("publish", json!({ "script": "loyalty/earn" })).unwrap_err();
    assert!(error.to_string().contains("is not below `surveys/`"), "{error}");
}
