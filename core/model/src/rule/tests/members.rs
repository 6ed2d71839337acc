//! Who is in a segment: where it can be asked, of whom, and what the rule then reads.

use std::collections::BTreeSet;

use super::*;
use crate::rule::tree::Base;
use crate::rule::{Lookup, Membership, outline};
use crate::segment::SegmentName;

fn order() -> Scope {
    Scope::Record(schema().object("order").unwrap().clone())
}

type Parse = fn(&str, &Scope, &Schema, &ParamTypes) -> Result<Rule, RuleError>;

fn asked(parse: Parse, text: &str) -> Result<Rule, String> {
    parse(text, &order(), &schema(), &ParamTypes::none()).map_err(|e| e.to_string().replace("line 1, column ", ""))
}

fn members(text: &str) -> Result<Rule, String> {
    asked(Rule::parse_with_members, text)
}

#[test]
fn only_what_the_database_alone_answers_can_ask_of_another_record() {
    let (own, other) = ("in_segment('big')", "in_segment('vip', customer)");
    for parse in [Rule::parse_with_members, Rule::parse_for_listing] {
        assert!(asked(parse, own).is_ok() && asked(parse, other).is_ok());
    }
    assert!(asked(Rule::parse_with_history, own).is_ok());
    let refused = asked(Rule::parse_with_history, other).unwrap_err();
    assert!(refused.starts_with("19: `in_segment` with a reference can stand only in bulk queries"), "{refused}");
    assert!(refused.contains("; nothing follows segments through a reference: ask for a field"), "{refused}");
    for text in [own, other] {
        let refused = asked(Rule::parse, text).unwrap_err();
        assert!(refused.contains("`in_segment` can stand only in segments, in `each`, in the API's"), "{refused}");
    }
}

#[test]
fn a_bulk_query_cannot_ask_the_log() {
    for text in ["did('order.created')", "did_not('order.created') || in_segment('big')"] {
        assert!(
            members(text).unwrap_err().contains("can stand only in segments, in `each` and in the API's"),
            "{text}"
        );
        assert!(asked(Rule::parse_for_listing, text).is_ok());
    }
}

#[test]
fn the_second_argument_is_a_reference_field_of_the_record() {
    let refused = |text: &str| members(text).unwrap_err();
    assert_eq!(refused("in_segment('vip', custmer)"), "19: `custmer` is no reference field; did you mean `customer`?");
    assert_eq!(refused("in_segment('vip', status)"), "19: `status` is no reference field; known here: `customer`");
    assert!(refused("in_segment('vip', id)").contains("`id` is no reference field"));
    for text in ["in_segment('vip', customer.company)", "in_segment('vip', 'customer')", "in_segment('vip', null)"] {
        assert!(
            refused(text).contains("the second argument of `in_segment` is the name of a reference field"),
            "{text}"
        );
    }
    assert!(refused("in_segment()").contains("takes the name of a segment, and may take a reference field"));
    assert!(refused("in_segment('vip', customer, customer)").contains("takes the name of a segment"));
    assert!(refused("in_segment(status, customer)").contains("a text in quotes is wanted here"));
    assert!(refused("in_segment('VIP', customer)").contains("is not a name for a segment"));
    assert!(refused("in_segment('vip', customer) == true").contains("is a condition, not a value"));
}

#[test]
fn a_rule_that_asks_of_another_record_reads_the_field_and_that_record() {
    let rule = members("in_segment('vip', customer) && !in_segment('big') && in_segment('vip', customer)").unwrap();
    assert_eq!(rule.fields(), [name("customer")]);
    let read: Vec<_> = rule.references().iter().map(|r| (&r.base, r.object.as_str(), r.field.as_str())).collect();
    assert_eq!(read, [(&Base::Through(name("customer")), "customer", "id")]);
    let of = |segment: &str, object: Option<&str>| Membership {
        segment: SegmentName::new(segment).unwrap(),
        object: object.map(name),
    };
    assert_eq!(rule.memberships(), [of("big", None), of("vip", Some("customer"))]);
    assert_eq!(rule.segments().iter().map(SegmentName::as_str).collect::<Vec<_>>(), ["big", "vip"]);
}

#[test]
fn a_segment_that_is_asked_for_twice_is_told_once() {
    let scope = Scope::Record(schema().object("customer").unwrap().clone());
    let text = "in_segment('vip') || in_segment('vip', company)";
    let rule = Rule::parse_with_members(text, &scope, &schema(), &ParamTypes::none()).unwrap();
    assert_eq!((rule.segments().len(), rule.memberships().len()), (1, 2));
}

#[test]
fn it_is_printed_and_shown_as_a_tree_and_comes_back() {
    let rule = members("!in_segment('vip',customer)").unwrap();
    assert_eq!(rule.to_string(), "!in_segment('vip', customer)");
    let tree = outline::to_json(rule.root());
    assert_eq!(tree, serde_json::json!({ "not": { "in_segment": "vip", "of": "customer" } }));
    assert_eq!(members(&outline::to_text(&tree).unwrap()).unwrap().root(), rule.root());
    for (tree, pointer) in [
        (serde_json::json!({ "in_segment": "vip", "of": 5 }), "/of"),
        (serde_json::json!({ "in_segment": "vip", "of": "x) || (y" }), "/of"),
        (serde_json::json!({ "in_segment": "vip", "op": "==" }), "/op"),
    ] {
        assert_eq!(outline::to_text(&tree).unwrap_err().pointer, pointer, "{tree}");
    }
}

/// An order of this customer, with those who are in any segment.
struct Order(Record, BTreeSet<RecordId>);

impl Lookup for Order {
    fn field(&self, name: &Name) -> Value {
        self.0.get(name.as_str()).clone()
    }

    fn other(&self, _: &Base, _: &Name) -> Value {
        Value::Null
    }

    fn is_other_member(&self, _: &SegmentName, record: RecordId) -> bool {
        self.1.contains(&record)
    }
}

#[test]
fn what_an_empty_field_refers_to_is_in_no_segment() {
    let order = schema().object("order").unwrap().clone();
    let holds = |text: &str, customer: Value| {
        let lookup = Order(record(&order, &[("customer", customer)]), [id(7)].into());
        members(text).unwrap().eval(&Env { now: now(), lookup: &lookup, params: &Params::none() }).unwrap()
    };
    for (customer, expected) in [(Value::Ref(id(7)), true), (Value::Ref(id(8)), false), (Value::Null, false)] {
        assert_eq!(holds("in_segment('vip', customer)", customer.clone()), expected);
        assert_eq!(holds("!in_segment('vip', customer)", customer), !expected);
    }
}
