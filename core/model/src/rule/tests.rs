//! What rules mean, what is refused and how that is said, and that nothing hostile gets through.

mod hostile;
mod lookups;
mod meaning;
mod members;
mod refusals;

use std::sync::Arc;

use super::lookup::RecordLookup;
use super::{Env, EvalError, ParamTypes, Params, Rule, RuleError, Scope};
use crate::id::RecordId;
use crate::name::Name;
use crate::record::Record;
use crate::schema::{FieldDef, FieldKind, ObjectDef, Schema};
use crate::standard;
use crate::time::Timestamp;
use crate::value::Value;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn id(number: u8) -> RecordId {
    RecordId::from_parts(i64::from(number), [number; 10])
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// The standard objects; `customer` has some more fields, as scripts add them.
fn schema() -> Schema {
    let mut schema = Schema::default();
    for mut object in standard::objects() {
        if object.name.as_str() == "customer" {
            let options = ["bronze", "silver", "gold"].map(str::to_owned).to_vec();
            for (field, kind) in [
                ("points", FieldKind::Integer),
                ("value", FieldKind::Decimal { scale: 2 }),
                ("tier", FieldKind::Choice { options }),
                ("vip", FieldKind::Boolean),
                ("seen_at", FieldKind::Timestamp),
                ("extra", FieldKind::Json),
            ] {
                object.fields.push(FieldDef::new(name(field), kind));
            }
        }
        schema.objects.insert(object.name.clone(), Arc::new(object));
    }
    schema
}

fn customer() -> Arc<ObjectDef> {
    schema().object("customer").unwrap().clone()
}

fn scope() -> Scope {
    Scope::Record(customer())
}

fn parse_with(text: &str, params: &ParamTypes) -> Result<Rule, RuleError> {
    Rule::parse(text, &scope(), &schema(), params)
}

fn parse(text: &str) -> Result<Rule, RuleError> {
    parse_with(text, &ParamTypes::none())
}

fn record(object: &Arc<ObjectDef>, fields: &[(&str, Value)]) -> Record {
    let mut record = Record {
        object: object.clone(),
        id: id(1),
        version: 3,
        created_at: Timestamp::EPOCH,
        updated_at: now(),
        values: Vec::new(),
    };
    for (field, value) in fields {
        record.set_at(object.position(field).unwrap(), value.clone());
    }
    record
}

/// Evaluates on a customer with these fields, the others null.
fn eval_with(text: &str, fields: &[(&str, Value)], params: &Params) -> Result<bool, EvalError> {
    let rule = parse_with(text, &ParamTypes::of(params)).unwrap_or_else(|error| panic!("{text}: {error}"));
    let lookup = RecordLookup { record: &record(&customer(), fields), referenced: &[] };
    rule.eval(&Env { now: now(), lookup: &lookup, params })
}

fn holds(text: &str, fields: &[(&str, Value)]) -> bool {
    eval_with(text, fields, &Params::none()).unwrap()
}

/// Checks rules that hold for a customer with these fields, the others null.
fn all_hold(fields: &[(&str, Value)], rules: &[&str]) {
    for rule in rules {
        assert!(holds(rule, fields), "{rule} should hold");
        assert!(!holds(&format!("!({rule})"), fields), "!({rule}) should not hold");
    }
}

/// Checks rules that do not hold for a customer with these fields, the others null.
fn none_hold(fields: &[(&str, Value)], rules: &[&str]) {
    for rule in rules {
        assert!(!holds(rule, fields), "{rule} should not hold");
        assert!(holds(&format!("!({rule})"), fields), "!({rule}) should hold");
    }
}
