//! What an event must be like to wake a run, and by which of its values the runs are found that may wait for it.

use rapport_model::json::{fit_value, to_json};
use rapport_model::rule::tree::{Base, Comparison, Condition, Datum, FieldTerm, Term};
use rapport_model::rule::{Params, Rule};
use rapport_model::{Event, EventType, Name, Record, Value};
use serde_json::Value as Json;

use crate::journal;

/// The equality by which an event is found that satisfies `rule`: a field and its value as JSON text. A reference is
/// preferred, since it means few events.
pub(crate) fn equality(rule: &Rule, params: &Params) -> Option<(Name, String)> {
    let mut found: Vec<(&FieldTerm, String)> = Vec::new();
    let parts = match rule.root() {
        Condition::All(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    for part in parts {
        let Condition::Compare(Comparison::Equal, left, right) = part else { continue };
        let pair = match (left, right) {
            (Term::Field(field), other) | (other, Term::Field(field)) => (field, other),
            _ => continue,
        };
        if pair.0.base != Base::Own {
            continue;
        }
        let Some(value) = constant(pair.1, params).filter(|value| !value.is_null()) else { continue };
        if let Ok(value) = fit_value(&pair.0.kind, value) {
            found.push((pair.0, text_of(&value)));
        }
    }
    let reference = |(field, _): &(&FieldTerm, String)| {
        field.name.as_str() == "id" || matches!(field.kind, rapport_model::FieldKind::Reference { .. })
    };
    let best = found.iter().position(reference).unwrap_or(0);
    (!found.is_empty()).then(|| found.swap_remove(best)).map(|(field, text)| (field.name.clone(), text))
}

fn constant(term: &Term, params: &Params) -> Option<Value> {
    match term {
        Term::Param(name, _) => params.get(name).cloned(),
        Term::Literal(Datum::Text(text)) => Some(Value::Text(text.clone())),
        Term::Literal(Datum::Reference(id)) => Some(Value::Ref(*id)),
        Term::Literal(Datum::Boolean(b)) => Some(Value::Bool(*b)),
        _ => None,
    }
}

/// How a value is written where events are found by it.
pub(crate) fn text_of(value: &Value) -> String {
    to_json(value).to_string()
}

/// The value of a field of an event, by which runs that wait for it are found.
pub(crate) fn value_in(event: &Event, record: Option<&Record>, field: &Name) -> Option<Value> {
    let subject = || event.subject.as_ref().map(|s| Value::Ref(s.id));
    if *field == journal::subject_field() {
        return subject();
    }
    let listed =
        |fields: &rapport_model::event::Fields| fields.iter().find(|(n, _)| n == field).map(|(_, v)| v.clone());
    match &event.body {
        Some(rapport_model::event::Body::Data(data)) => listed(data),
        Some(rapport_model::event::Body::Change(change)) if field.as_str() != "id" => {
            let unchanged = || record.map(|r| r.get(field.as_str()).clone());
            listed(&change.after).or_else(|| listed(&change.before)).or_else(unchanged)
        }
        _ => subject(),
    }
}

/// What an event must satisfy to wake a run: read from the call that it waits in.
pub(crate) struct Wanted {
    pub(super) kind: EventType,
    pub(super) filter: String,
    pub(super) params: Vec<(String, Value)>,
}

impl Wanted {
    /// Writes down what is wanted.
    pub(crate) fn to_json(kind: &EventType, filter: &str, params: &[(String, Value)]) -> Json {
        serde_json::json!({ "kind": kind.as_str(), "filter": filter, "params": journal::params_json(params) })
    }

    pub(super) fn read(json: &Json) -> Option<Self> {
        Some(Self {
            kind: EventType::new(json["kind"].as_str()?).ok()?,
            filter: json["filter"].as_str()?.to_owned(),
            params: journal::read_params(&json["params"])?,
        })
    }
}
