use serde_json::json;

use crate::flow::{self, Question};
use crate::{
    Error, Fields, Reference, Timestamp, Value, clock, events, fake, http, log, messages, random, records, scripts,
    settings,
};

#[test]
fn a_record_is_found_by_id_and_by_field() {
    fake::reset();
    let ada = fake::insert("customer", Fields::new().with("customer_no", "17850"));
    assert_eq!(records::get("customer", &ada.id).unwrap(), Some(ada.clone()));
    assert_eq!(records::get("customer", "customer_no:17850").unwrap(), Some(ada));
    assert_eq!(records::get("order", "customer_no:17850").unwrap(), None);
}

#[test]
fn writes_are_seen_by_reads() {
    fake::reset();
    let ada = fake::insert("customer", Fields::new().with("points", Value::Null));
    records::increment(&ada.reference(), "points", 3).unwrap();
    records::increment(&ada.reference(), "points", -1).unwrap();
    records::update(&ada.reference(), &Fields::new().with("city", "Paris")).unwrap();
    let now = fake::read(&ada);
    assert_eq!((now.int("points").unwrap(), now.text("city").unwrap()), (Some(2), Some("Paris".into())));
    assert_eq!(now.version, 4);
    assert!(records::delete(&ada.reference()).unwrap());
    assert!(!records::delete(&ada.reference()).unwrap());
}

#[test]
fn an_upsert_updates_what_is_there() {
    fake::reset();
    let fields = |n: i64| Fields::new().with("customer_no", "1").with("points", n);
    let first = records::upsert("customer", "customer_no", &fields(1)).unwrap();
    let second = records::upsert("customer", "customer_no", &fields(2)).unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!(fake::all("customer").len(), 1);
    assert!(records::upsert("customer", "email", &fields(3)).is_err());
}

#[test]
fn a_number_is_not_added_to_a_text() {
    fake::reset();
    let ada = fake::insert("customer", Fields::new().with("city", "Paris"));
    let error = records::increment(&ada.reference(), "city", 1).unwrap_err();
    assert_eq!(error.code(), "invalid");
}

#[test]
fn a_query_without_a_rule_finds_all_and_one_with_a_rule_is_answered_by_the_test() {
    fake::reset();
    let one = fake::insert("order", Fields::new().with("amount", 1));
    let _two = fake::insert("order", Fields::new().with("amount", 2));
    assert_eq!(records::find("order").count().unwrap(), 2);
    assert_eq!(records::find("order").limit(1).run().unwrap(), vec![one.clone()]);
    assert_eq!(records::find("order").filter("amount < 2").run().unwrap_err().code(), "fake");
    fake::answer_queries(move |asked| if asked.filter == "amount < n" { vec![one.clone()] } else { vec![] });
    assert_eq!(records::find("order").filter("amount < n").param("n", 2).count().unwrap(), 1);
}

#[test]
fn events_logs_and_settings_are_those_of_the_test() {
    fake::reset();
    fake::set("limit", 5);
    fake::set_now(Timestamp(7));
    let ada = fake::record("customer", Fields::new());
    events::emit("tier.changed", &ada.reference(), &Fields::new().with("to", "gold")).unwrap();
    events::emit_alone("batch.done", &Fields::new()).unwrap();
    log::warn("odd");
    assert_eq!(fake::emitted()[0].subject, Some(ada.reference()));
    assert_eq!(fake::emitted()[1].subject, None);
    assert_eq!(fake::logged(), ["odd"]);
    assert_eq!(settings::get::<i64>("limit").unwrap(), 5);
    assert_eq!(settings::get::<String>("limit").unwrap_err().code(), "wrong_kind");
    assert_eq!(settings::get::<i64>("limits").unwrap_err().code(), "invalid");
    assert_eq!(clock::now(), Timestamp(7));
}

#[test]
fn randomness_is_bounded_and_repeats() {
    fake::reset();
    let drawn: Vec<_> = (0..50).map(|_| random::below(6)).collect();
    assert!(drawn.iter().all(|n| *n < 6));
    fake::reset();
    assert_eq!((0..50).map(|_| random::below(6)).collect::<Vec<_>>(), drawn);
    assert_eq!(random::below(0), 0);
}

#[test]
fn a_wait_is_answered_by_what_the_test_lets_come() {
    fake::reset();
    let ada = fake::insert("customer", Fields::new().with("points", 5));
    let none = Fields::new();
    assert_eq!(flow::wait_for("order.paid", "", &none, "1 day").unwrap(), None);
    fake::arrive(fake::event("order.paid", &ada, Fields::new().with("amount", 7)));
    let came = flow::wait_for("order.paid", "", &none, "1 day").unwrap().unwrap();
    assert_eq!((came.kind.as_str(), came.data.get("amount")), ("order.paid", Some(&Value::Int(7))));
    assert_eq!(came.subject_record().unwrap().id, ada.id);
}

#[test]
fn a_question_is_answered_once_and_then_by_nobody() {
    fake::reset();
    fake::reply("refund");
    assert_eq!(flow::ask(Question::default()).unwrap().choice.as_deref(), Some("refund"));
    assert_eq!(flow::ask(Question::default()).unwrap().choice, None);
}

#[test]
fn sleeps_are_noted() {
    fake::reset();
    flow::sleep("3 days").unwrap();
    flow::sleep_until(Timestamp(7)).unwrap();
    assert_eq!(fake::slept(), ["3 days", "7"]);
}

#[test]
fn a_call_is_answered_by_the_test_and_fails_without_an_answer() {
    fake::reset();
    fake::answer_call(http::Response { status: 404, ..http::Response::default() });
    assert_eq!(http::get("https://a.example/x").call().unwrap().status, 404);
    assert_eq!(http::post("https://a.example/y").call().unwrap_err().code(), "unreachable");
    let called = [("GET", "https://a.example/x"), ("POST", "https://a.example/y")];
    assert_eq!(fake::called(), called.map(|(method, url)| (method.to_owned(), url.to_owned())));
}

#[test]
fn messages_are_noted() {
    fake::reset();
    let ada = fake::insert("customer", Fields::new());
    messages::email(&ada.reference(), "welcome", &Fields::new().with("n", 1)).unwrap();
    messages::webhook("partner", "order.refunded", &Fields::new()).unwrap();
    let sent = fake::sent();
    assert_eq!((sent[0].channel.as_str(), sent[0].template.as_str()), ("email", "welcome"));
    assert_eq!(sent[0].to, ada.reference().to_string());
    assert_eq!((sent[1].channel.as_str(), sent[1].to.as_str()), ("webhook", "partner"));
}

#[test]
fn the_first_of_several_is_the_alternative_of_its_type() {
    fake::reset();
    let ada = fake::insert("customer", Fields::new());
    let by_id = |kind: &str| flow::Alternative::new(kind, "id == c", Fields::new().with("c", ada.reference()));
    let either = [by_id("order.created"), by_id("task.updated")];
    assert_eq!(flow::wait_any(&either, "1 day").unwrap(), None);
    fake::arrive(fake::change(&ada, Fields::new()));
    assert_eq!(flow::wait_any(&either, "1 day").unwrap_err().code(), "fake");
    fake::arrive(fake::event("task.updated", &ada, Fields::new()));
    let (index, event) = flow::wait_any(&either, "1 day").unwrap().unwrap();
    assert_eq!((index, event.kind.as_str()), (1, "task.updated"));
}

#[test]
fn a_run_that_is_invoked_is_given_something_and_replies() {
    fake::reset();
    let event = fake::invocation(&json!({ "amount": 10 }));
    assert_eq!(flow::input(&event).unwrap()["amount"], 10);
    assert_eq!(flow::input(&fake::event("order.paid", &fake::record("customer", Fields::new()), Fields::new())), None);
    flow::lock("invoice-2026").unwrap();
    flow::reply(&json!("granted")).unwrap();
    assert_eq!((fake::locked(), fake::replied()), (vec!["invoice-2026".to_owned()], Some(json!("granted"))));
}

#[test]
fn what_an_invoked_run_comes_to_is_up_to_the_test() {
    fake::reset();
    fake::result_of_next(Ok(json!({ "granted": true })));
    fake::result_of_next(Err(Error::new("invoked_failed", "no")));
    assert_eq!(flow::invoke("credit-check", &json!({ "amount": 10 })).unwrap()["granted"], true);
    assert_eq!(flow::invoke("credit-check", &json!({})).unwrap_err().code(), "invoked_failed");
    assert_eq!(flow::invoke("credit-check", &json!({})).unwrap_err().code(), "unknown_automation");
    assert_eq!(fake::invoked()[0], ("credit-check".to_owned(), json!({ "amount": 10 })));
}

#[test]
fn functions_of_scripts_are_given_by_the_test_and_need_their_right() {
    fake::reset();
    fake::script("surveys/nps", "next", |arguments| Ok(json!(format!("after {}", arguments[0]))));
    assert_eq!(scripts::run("surveys/nps", "next", &[json!(3)]).unwrap(), json!("after 3"));
    assert_eq!(scripts::run("surveys/nps", "prior", &[]).unwrap_err().code(), "unknown_function");
    assert_eq!(scripts::run("surveys/csat", "next", &[]).unwrap_err().code(), "unknown_script");
    fake::allow("script:surveys/*");
    assert_eq!(scripts::run("surveys/nps", "next", &[json!(4)]).unwrap(), json!("after 4"));
    assert_eq!(scripts::run("loyalty/earn", "points", &[]).unwrap_err().code(), "denied");
}

const CLUB: &str = r#"
    id = "club"
    [[capabilities]]
    right = "member:write"
    [[capabilities]]
    right = "member:read"
    [[objects]]
    name = "member"
    [objects.fields]
    customer = { type = "reference(customer)", unique = true }
    points = { type = "integer", default = 0 }
    notes = "text"
"#;

#[test]
fn a_record_of_a_declared_object_has_all_its_fields() {
    fake::reset();
    fake::load(CLUB);
    let ada = Reference::new("customer", "ada");
    let member = records::create("member", &Fields::new().with("customer", ada)).unwrap();
    assert_eq!((member.int("points").unwrap(), member.text("notes").unwrap()), (Some(0), None));
    assert_eq!(records::get("member", "customer:ada").unwrap().map(|found| found.id), Some(member.id));
}

#[test]
fn a_unique_value_is_of_one_record() {
    fake::reset();
    fake::load(CLUB);
    let of = |customer: &str| Fields::new().with("customer", Reference::new("customer", customer));
    let ada = records::create("member", &of("ada")).unwrap();
    let ben = records::create("member", &of("ben")).unwrap();
    assert_eq!(records::create("member", &of("ada")).unwrap_err().code(), "unique");
    assert_eq!(records::update(&ben.reference(), &of("ada")).unwrap_err().code(), "unique");
    assert!(records::update(&ada.reference(), &of("ada")).is_ok());
}

#[test]
fn records_are_found_in_the_order_that_is_asked_for() {
    fake::reset();
    for amount in [2, 3, 1] {
        let _ = fake::insert("order", Fields::new().with("amount", amount));
    }
    let amounts = |query: records::Query| {
        query.run().unwrap().iter().map(|order| order.int("amount").unwrap().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(amounts(records::find("order").order("amount").limit(2)), [1, 2]);
    assert_eq!(amounts(records::find("order").order("-amount")), [3, 2, 1]);
    let first = &fake::all("order")[0];
    assert_eq!(amounts(records::find("order").after(&first.id)), [3, 1]);
}
