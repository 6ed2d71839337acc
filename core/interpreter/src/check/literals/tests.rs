use super::*;
use crate::check::outline;

/// What is told of a body of `run(event)`: calls and reads as `line:column call names`, with paths.
fn told(body: &str) -> Vec<String> {
    let source = format!("on(\"a.b\");\nfn run(event) {{\n{body}\n}}");
    let outline = outline(&source);
    assert_eq!(outline["problems"], json!([]), "{outline}");
    outline["literals"].as_array().unwrap().iter().map(line).collect()
}

fn line(literal: &Json) -> String {
    let names = |json: &Json| {
        let all: Vec<&str> = json.as_array().into_iter().flatten().map(|n| n["name"].as_str().unwrap()).collect();
        all.join(".")
    };
    let target =
        literal.get("target").map(|t| format!("{}:{}", t["object"].as_str().unwrap_or("event"), names(&t["path"])));
    let object = literal.get("object").map(|o| o["name"].as_str().unwrap().to_owned());
    let place = format!("{}:{}", literal["line"], literal["column"]);
    let words = [literal["call"].as_str().map(str::to_owned), target.or(object), Some(names(&literal["names"]))];
    format!("{place} {}", words.into_iter().flatten().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "))
}

#[test]
fn calls_with_literal_names_are_told_with_the_places_of_their_keys() {
    assert_eq!(told("update(\"customer\", \"k\", #{ a: 1, b: 2 });"), ["3:1 update customer a.b"]);
    assert_eq!(told("emit(\"x.y\", event.record, #{ from: 1 });"), ["3:1 emit x.y from", "3:19 event:record"]);
    assert_eq!(told("delete(\"customer/customer_no:1\");"), ["3:1 delete customer"]);
    let source = "fn run(event) {\n  create(\"task\", #{\n    titel: 1 });\n}";
    let places = &outline(source)["literals"][0]["names"][0];
    assert_eq!((&places["line"], &places["column"]), (&json!(3), &json!(5)));
}

#[test]
fn what_is_bound_once_is_followed() {
    let found = told(
        "let order = event.record;\nlet c = order.customer;\nupdate(c, #{ city: 1 });\nincrement(order, \"points\", 1);",
    );
    assert!(found.contains(&"5:1 update event:record.customer city".to_owned()), "{found:?}");
    assert!(found.contains(&"6:1 increment event:record".to_owned()), "{found:?}");
    let found = told(
        "for c in find(\"customer\", \"\") { update(c, #{ city: 1 }); }\nlet t = create(\"task\", #{});\nt.title.len();",
    );
    assert!(found.contains(&"3:33 update customer: city".to_owned()), "{found:?}");
    assert!(found.contains(&"5:3 task:title".to_owned()), "{found:?}");
}

#[test]
fn what_may_mean_several_things_is_left_alone() {
    for body in [
        "let c = event.record; c = 1; update(c, #{ city: 1 });",
        "if true { let c = event.record; } let c = 1; update(c, #{ city: 1 });",
        "let event = 1; update(event.record, #{ city: 1 });",
        "[1].map(|event| update(event.record, #{ city: 1 }));",
        "update(event.record[\"x\"], #{ city: 1 });",
    ] {
        assert!(!told(body).iter().any(|told| told.contains("update")), "{body}: {:?}", told(body));
    }
}

#[test]
fn rules_and_their_parameters_are_told() {
    let source = "fn run(event) { wait_for(\"order.created\", \"customer == c\", #{ c: 1 }, \"1 day\"); let p = #{}; count(\"order\", \"a > b\", p); }";
    let literals = outline(source)["literals"].clone();
    assert_eq!((&literals[0]["rule"]["name"], &literals[0]["params_known"]), (&json!("customer == c"), &json!(true)));
    assert_eq!(literals[1]["params_known"], false);
}
