//! A survey on the fake host, and a visitor.

use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Error, Fields, Json, OnAction as _, OnRequest as _, Record, Timestamp, Value, fake};
use serde_json::json;

use crate::Survey;

/// 1 March 2026, 02:00 UTC.
pub(super) const NOW: i64 = 1_772_330_400_000_000;
pub(super) const DAY: i64 = 86_400_000_000;

/// What a flow says that asks one thing after the other: a score, a choice, a text.
pub(super) fn definition() -> Json {
    json!({
        "title": { "en": "Us", "zh-CN": "我们" },
        "languages": ["en", "zh-CN"],
        "questions": [
            { "key": "score", "kind": "nps", "required": true, "text": { "en": "How likely?", "zh-CN": "可能吗？" } },
            { "key": "how", "kind": "single", "text": { "en": "How?", "zh-CN": "怎么？" }, "quotas": { "shop": 2 },
              "options": [{ "key": "shop", "text": { "en": "In the shop", "zh-CN": "店里" } },
                          { "key": "web", "text": { "en": "On the web", "zh-CN": "网上" } }] },
            { "key": "why", "kind": "text", "max": 200,
              "text": { "en": "You gave {answers.score}, {customer.name|friend}. Why?", "zh-CN": "{answers.score} 分，为什么？" } },
            { "key": "more", "kind": "text", "text": { "en": "After “{answers.why}”: more?", "zh-CN": "还有吗？" } }
        ]
    })
}

/// Asks all questions in their order, each on its own page.
pub(super) fn in_order(keys: &'static [&'static str]) {
    fake::script("surveys/us", "next", move |arguments| {
        let next = keys.iter().find(|key| arguments[0].get(**key).is_none());
        Ok(next.map_or(Json::Null, |key| json!(key)))
    });
}

/// An empty world with the survey `us`, published.
pub(super) fn stage(definition: Json) -> Record {
    fake::reset();
    fake::load(include_str!("../../plugin.toml"));
    fake::set_now(Timestamp(NOW));
    fake::set("base_url", "https://crm.example");
    fake::answer_queries(|asked| match (asked.object.as_str(), asked.params.get("v")) {
        ("survey_month", Some(value)) => tallies(value),
        (object, _) => fake::all(object),
    });
    in_order(&["score", "how", "why", "more"]);
    publish(definition);
    fake::insert(
        "customer",
        Fields::new()
            .with("customer_no", "a")
            .with("name", "Ada <b>")
            .with("email", "a@example.com")
            .with("language", "en"),
    )
}

/// The counts of a value, each with its roll-up: the fake host keeps none.
fn tallies(value: &Value) -> Vec<Record> {
    let of = |record: &Record, name: &str| record.fields.get(name).cloned();
    let people = |month: &Record| {
        let days = fake::all("survey_tally").into_iter();
        let days: Vec<_> = days.filter(|day| of(day, "month_tally") == Some(Value::Ref(month.reference()))).collect();
        let is_counted =
            |answer: &Record| days.iter().any(|day| of(answer, "tally") == Some(Value::Ref(day.reference())));
        fake::all("survey_answer").iter().filter(|answer| is_counted(answer)).count()
    };
    let all = fake::all("survey_month").into_iter().filter(|month| of(month, "value").as_ref() == Some(value));
    all.map(|mut month| {
        month.fields.set("people", i64::try_from(people(&month)).unwrap());
        month
    })
    .collect()
}

pub(super) fn publish(definition: Json) -> Json {
    fake::script("surveys/us", "survey", move |_| Ok(definition.clone()));
    call("publish", json!({ "script": "surveys/us" })).unwrap()
}

pub(super) fn call(action: &str, input: Json) -> Result<Json, Error> {
    Survey::on_action(fake::call(action, input))
}

/// Invites Ada; gives the token.
pub(super) fn invite(ada: &Record) -> String {
    let invited = call("invite", json!({ "survey": "us", "customer": ada.id, "channel": "link" })).unwrap();
    assert_eq!(invited["result"], "ok", "{invited}");
    invited["token"].as_str().unwrap().to_owned()
}

fn request(method: &str, token: &str) -> Request {
    Request {
        route: "/{token}".into(),
        method: method.into(),
        path: format!("/{token}"),
        path_params: vec![("token".into(), token.into())],
        ..Request::default()
    }
}

pub(super) fn look_with(token: &str, query: &[(&str, &str)]) -> Response {
    let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Survey::on_request(Request { query, ..request("GET", token) }).unwrap()
}

pub(super) fn look(token: &str) -> Response {
    look_with(token, &[])
}

pub(super) fn send(token: &str, body: &str) -> Response {
    Survey::on_request(Request { body: body.into(), ..request("POST", token) }).unwrap()
}

/// Sends a page, whatever comes of it.
pub(super) fn sends(token: &str, body: &str) {
    drop(send(token, body));
}

pub(super) fn body(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

pub(super) fn location(response: &Response) -> &str {
    response.headers.iter().find(|(name, _)| name == "location").map_or("", |(_, value)| value.as_str())
}

/// The answers that are kept: the question, and its value whatever its kind.
pub(super) fn answers() -> Vec<(String, Json)> {
    let value = |record: &Record| {
        let fields = ["number", "value", "body"].iter().filter_map(|name| record.fields.get(name));
        let found = fields.into_iter().find(|value| !value.is_null()).cloned().unwrap_or(Value::Null);
        crate::books::plain(&found)
    };
    let mut all: Vec<_> =
        fake::all("survey_answer").iter().map(|row| (row.text("question").unwrap().unwrap(), value(row))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// How often the plugin has emitted events of this type.
pub(super) fn emitted(kind: &str) -> usize {
    fake::emitted().iter().filter(|event| event.kind == kind).count()
}
