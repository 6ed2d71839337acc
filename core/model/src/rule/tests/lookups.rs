//! What rules read, and where it comes from.

use rust_decimal::Decimal;

use super::*;
use crate::event::RecordChange;
use crate::name::{EventType, RecordEventKind};
use crate::rule::lookup::{ChangeLookup, EventLookup, RecordLookup};
use crate::rule::tree::Base;
use crate::schema::EventTypeDef;

fn texts(names: &[Name]) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}

fn order() -> Arc<ObjectDef> {
    schema().object("order").unwrap().clone()
}

fn rule(text: &str, scope: &Scope) -> Rule {
    Rule::parse(text, scope, &schema(), &ParamTypes::none().with("p", None)).unwrap()
}

#[test]
fn a_rule_tells_what_it_reads() {
    let text = "amount > p && (customer.country == 'DE' || customer.points > 5) && status in ['open'] && amount < 9";
    let rule = rule(text, &Scope::Record(order()));
    assert_eq!(texts(rule.fields()), ["amount", "customer", "status"]);
    let steps: Vec<_> = rule.references().iter().map(|r| (r.object.as_str(), r.field.as_str())).collect();
    assert_eq!(steps, [("customer", "country"), ("customer", "points")]);
    assert_eq!(rule.references()[0].base, Base::Through(name("customer")));
    assert_eq!(rule.params(), ["p".into()]);
    assert_eq!(rule.source(), text);
}

#[test]
fn a_rule_tells_whether_time_alone_can_change_it() {
    assert!(parse("days_since(seen_at) > 3").unwrap().reads_clock());
    assert!(parse("points > 3 || seen_at < now()").unwrap().reads_clock());
    assert!(!parse("seen_at < updated_at").unwrap().reads_clock());
}

#[test]
fn a_step_reads_the_referenced_record_and_null_where_there_is_none() {
    let rule = rule("customer.country == 'DE' && customer.id == customer", &Scope::Record(order()));
    let order = record(&order(), &[("customer", Value::Ref(id(1)))]);
    let customer = Arc::new(record(&customer(), &[("country", Value::text("DE"))]));
    let eval = |referenced: &[(Name, Arc<Record>)]| {
        let lookup = RecordLookup { record: &order, referenced };
        rule.eval(&Env { now: now(), lookup: &lookup, params: &Params::none() }).unwrap()
    };
    assert!(eval(&[(name("customer"), customer)]));
    assert!(!eval(&[]));
}

#[test]
fn system_fields_are_names() {
    all_hold(&[], &["version == 3", "created_at < updated_at", "days_since(updated_at) == 0"]);
    assert!(holds(&format!("id == '{}'", id(1)), &[]));
}

fn change(kind: RecordEventKind, change: &RecordChange, record: &Record, text: &str) -> bool {
    let rule = rule(text, &Scope::Change(customer()));
    let lookup = ChangeLookup { record, change, kind, referenced: &[] };
    rule.eval(&Env { now: now(), lookup: &lookup, params: &Params::none() }).unwrap()
}

#[test]
fn a_change_has_a_before_and_an_after() {
    let record = record(&customer(), &[("points", Value::Int(1_200)), ("country", Value::text("DE"))]);
    let points = |n| vec![(name("points"), Value::Int(n))];
    let updated = RecordChange { before: points(900), after: points(1_200), delta: points(300) };
    let holds = |text: &str| change(RecordEventKind::Updated, &updated, &record, text);
    assert!(holds("before.points < 1000 && points >= 1000 && after.points == points"));
    assert!(holds("before.country == 'DE' && before.country == after.country"), "what did not change is the same");
    assert!(!holds("before.points == after.points"));
}

#[test]
fn a_field_that_was_null_before_is_null_before() {
    let record = record(&customer(), &[("points", Value::Int(5))]);
    let set = RecordChange { after: vec![(name("points"), Value::Int(5))], ..RecordChange::default() };
    assert!(change(RecordEventKind::Updated, &set, &record, "before.points == null && after.points == 5"));
}

#[test]
fn before_a_creation_and_after_a_deletion_all_is_null() {
    let record = record(&customer(), &[("points", Value::Int(5)), ("country", Value::text("DE"))]);
    let fields = vec![(name("points"), Value::Int(5)), (name("country"), Value::text("DE"))];
    let created = RecordChange { after: fields.clone(), ..RecordChange::default() };
    assert!(change(RecordEventKind::Created, &created, &record, "before.country == null && after.country == 'DE'"));
    assert!(change(RecordEventKind::Created, &created, &record, "before.points != points"));
    let deleted = RecordChange { before: fields, ..RecordChange::default() };
    assert!(change(RecordEventKind::Deleted, &deleted, &record, "before.points == 5 && after.points == null"));
}

#[test]
fn an_event_has_its_data_and_its_subject() {
    let fields = vec![
        FieldDef::new(name("amount"), FieldKind::Decimal { scale: 2 }),
        FieldDef::new(name("buyer"), FieldKind::Reference { object: name("customer") }),
    ];
    let kind = EventTypeDef { name: EventType::new("order.paid").unwrap(), fields, subject_optional: false };
    let scope = Scope::Event { kind: Arc::new(kind), subject: Some(customer()) };
    let rule = rule("amount > 99.99 && subject.country == 'DE' && buyer.points == null", &scope);
    assert_eq!(texts(rule.fields()), ["amount", "buyer"]);
    let objects: Vec<_> = rule.references().iter().map(|r| (&r.base, r.object.as_str())).collect();
    assert_eq!(objects, [(&Base::Subject, "customer"), (&Base::Through(name("buyer")), "customer")]);

    let data = vec![(name("amount"), Value::Decimal(Decimal::new(10_000, 2)))];
    let subject = record(&customer(), &[("country", Value::text("DE"))]);
    let eval = |subject: Option<&Record>| {
        let lookup = EventLookup { data: &data, subject, referenced: &[] };
        rule.eval(&Env { now: now(), lookup: &lookup, params: &Params::none() }).unwrap()
    };
    assert!(eval(Some(&subject)));
    assert!(!eval(None));
}

#[test]
fn names_of_one_scope_are_unknown_in_another() {
    let schema = schema();
    let parse = |text: &str, scope: &Scope| Rule::parse(text, scope, &schema, &ParamTypes::none());
    assert!(parse("before.points == 1", &Scope::Record(customer())).is_err());
    assert!(parse("subject.points == 1", &Scope::Change(customer())).is_err());
    let kind = EventTypeDef { name: EventType::new("a.b").unwrap(), fields: Vec::new(), subject_optional: true };
    let event = Scope::Event { kind: Arc::new(kind), subject: None };
    assert!(parse("subject.points == 1", &event).is_err());
    assert!(parse("id == id", &event).is_err(), "an event's data have no system fields");
}

#[test]
fn a_rule_is_written_in_its_normal_form() {
    for (given, normal) in [
        ("points>1&&(vip)", "points > 1 && vip"),
        ("(vip||vip)&&!(points==null)", "(vip || vip) && points != null"),
        ("name.lower( ) == \"it's\"", "lower(name) == 'it\\'s'"),
        ("seen_at > now()-duration('1h')", "seen_at > now() - duration(\"3600000000us\")"),
        ("points in [ 1,2.50 , ]", "points in [1, 2.5]"),
        ("-(points + 1) * 2 == -3", "-(points + 1) * 2 == -3"),
        ("birthday == date(\"2026-03-01\")", "birthday == date(\"2026-03-01\")"),
    ] {
        assert_eq!(parse(given).unwrap().to_string(), normal);
    }
}
