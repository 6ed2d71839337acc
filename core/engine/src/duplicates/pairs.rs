//! A pair of customers, and how it is shown.

use std::sync::Arc;

use rapport_model::duplicate::Reason;
use rapport_model::json::to_json;
use rapport_model::match_key::OBJECT;
use rapport_model::{MatchKey, Record};
use serde_json::{Value as Json, json};

use super::BLOCK_MAX;

/// Two customers that may be one.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) records: [Arc<Record>; 2],
    pub(super) reasons: Vec<Reason>,
    pub(super) score: f64,
}

pub(super) fn shown(pair: &Pair) -> Json {
    let reasons: Vec<Json> = pair.reasons.iter().map(reason).collect();
    let customers = pair.records.each_ref().map(|record| {
        let of = |field: &str| to_json(record.get(field));
        json!({
            "record": format!("{OBJECT}/{}", record.id), "customer_no": of("customer_no"), "name": of("name"),
            "email": of("email"), "phone": of("phone"),
        })
    });
    json!({ "score": pair.score, "reasons": reasons, "customers": customers })
}

fn reason(reason: &Reason) -> Json {
    match reason {
        Reason::Same(key) => json!({ "kind": key.kind.as_str(), "value": key.key }),
        Reason::Name { postcode, likeness } => {
            json!({ "kind": "name", "likeness": likeness, "postcode": postcode.key })
        }
        Reason::Birthday => json!({ "kind": "birthday" }),
        Reason::OtherBirthday => json!({ "kind": "other_birthday" }),
    }
}

/// The keys that too many customers have, and why that matters.
pub(super) fn left_out(crowded: &[MatchKey]) -> Vec<Json> {
    let why = format!("more than {BLOCK_MAX} customers have it, so it says nothing");
    crowded.iter().map(|key| json!({ "kind": key.kind.as_str(), "value": key.key, "why": why })).collect()
}
