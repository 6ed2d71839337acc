//! A plugin that judges changes of customers: nobody owes points, nobody has more than a setting says, and what is to be kept is kept.

use rapport_sdk::{
    Call, Change, Error, Fields, Json, OnAction, Reference, Refusal, Validator, Value, clock, context, kv, log,
    records, settings,
};
use serde_json::json;

/// Keeps watch.
struct Warden;

impl Validator for Warden {
    fn validate(change: Change) -> Result<(), Refusal> {
        log::info(&format!("{} of {} by {}", change.operation, change.object, change.actor));
        match text(&change.after, "notes") {
            "trap" => panic!("the warden fell asleep"),
            "loop" => loop {
                std::hint::black_box(0);
            },
            "memory" => drop(std::hint::black_box(vec![1_u8; 200 << 20])),
            "impure" => return Err(Refusal::new("impure", impure())),
            "tell" => return Err(Refusal::new("told", told(&change))),
            "loud" => return Err(Refusal::new("", "a\nb".repeat(10_000))),
            _ => {}
        }
        if change.operation == "delete" && text(&change.before, "notes") == "keep" {
            return Err(Refusal::new("kept", "this one is kept"));
        }
        let points = whole(change.after.get("points"));
        if change.sets("points") && points < 0 {
            return Err(Refusal::new("negative", "nobody owes points").at("points"));
        }
        let limit: i64 = settings::get("limit").unwrap_or(i64::MAX);
        if points > limit {
            return Err(Refusal::new("limit", format!("{points} points are more than {limit}")).at("points"));
        }
        Ok(())
    }
}

impl OnAction for Warden {
    /// Writes what it would refuse to others.
    fn on_action(call: Call) -> Result<Json, Error> {
        let customer = Reference::new("customer", call.input["customer"].as_str().unwrap_or_default());
        records::update(&customer, &Fields::new().with("points", call.input["points"].as_i64().unwrap_or_default()))?;
        Ok(json!({}))
    }
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    match fields.get(name) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn whole(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(n)) => *n,
        _ => 0,
    }
}

/// What of the host answers besides log and settings.
fn impure() -> String {
    let mut answered = Vec::new();
    if records::get("customer", "customer_no:a").is_ok() {
        answered.push("records");
    }
    if records::create("customer", &Fields::new().with("customer_no", "made")).is_ok() {
        answered.push("create");
    }
    if kv::increment("seen", 1).is_ok() {
        answered.push("kv");
    }
    format!("answered: {}; {} {}", answered.join(", "), context::run().unwrap_or_default(), clock::now().0 > 0)
}

/// The change, in words.
fn told(change: &Change) -> String {
    let names = |fields: &Fields| fields.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>().join(" ");
    let Change { object, id, operation, before, after, actor } = change;
    let actor = actor.split(':').next().unwrap_or_default();
    format!("{operation} {object} {} [{}] [{}] {actor}", !id.is_empty(), names(before), names(after))
}

rapport_sdk::export!(Warden: validate, on_action);
