//! Names of objects, and what is read of records again and again.

use rapport_sdk::{Error, Fields, Json, Record, Reference, Timestamp, Value, records};
use serde_json::Map;

use crate::flow::Definition;

pub(crate) const SURVEY: &str = "survey";
pub(crate) const QUESTION: &str = "survey_question";
pub(crate) const INVITATION: &str = "survey_invitation";
pub(crate) const RESPONSE: &str = "survey_response";
pub(crate) const TALLY: &str = "survey_tally";
pub(crate) const MONTH: &str = "survey_month";
pub(crate) const ANSWER: &str = "survey_answer";

/// Fields of a customer that a flow can count on, also where nobody is known: null then.
const CUSTOMER_FIELDS: [&str; 9] =
    ["id", "customer_no", "name", "email", "phone", "country", "city", "language", "lifetime_value"];

/// The survey of that name, with what it asks.
///
/// # Errors
/// The host's; `definition` if somebody changed by hand what is kept of it.
pub(crate) fn survey(name: &str) -> Result<Option<(Record, Definition)>, Error> {
    if name.is_empty() || name.contains(':') {
        return Ok(None);
    }
    match records::get(SURVEY, &format!("name:{name}"))? {
        Some(record) => Ok(Some((record.clone(), definition(&record)?))),
        None => Ok(None),
    }
}

/// What a survey asks.
pub(crate) fn definition(survey: &Record) -> Result<Definition, Error> {
    let kept: Json = survey.read("definition")?.unwrap_or_default();
    Definition::kept(&kept).map_err(|why| {
        let name = survey.text("name").ok().flatten().unwrap_or_default();
        Error::new("definition", format!("the survey `{name}` is not as it was published: {why}"))
    })
}

/// A list of JSON in a field; empty if there is none.
pub(crate) fn list(record: &Record, field: &str) -> Result<Vec<Json>, Error> {
    Ok(record.read::<Json>(field)?.and_then(|json| json.as_array().cloned()).unwrap_or_default())
}

/// A map of JSON in a field; empty if there is none.
pub(crate) fn map(record: &Record, field: &str) -> Result<Map<String, Json>, Error> {
    Ok(record.read::<Json>(field)?.and_then(|json| json.as_object().cloned()).unwrap_or_default())
}

/// Texts in a list of JSON.
pub(crate) fn strings(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// The text in a field; empty if there is none.
pub(crate) fn text(record: &Record, field: &str) -> Result<String, Error> {
    Ok(record.text(field)?.unwrap_or_default())
}

/// The instant in a field.
pub(crate) fn instant(record: &Record, field: &str) -> Result<Option<Timestamp>, Error> {
    record.read(field)
}

/// The record that a field refers to.
pub(crate) fn referred(record: &Record, field: &str) -> Result<Option<Reference>, Error> {
    record.read(field)
}

/// A reference as a field takes it, or nothing.
pub(crate) fn or_null(reference: Option<&Reference>) -> Value {
    reference.cloned().map_or(Value::Null, Value::Ref)
}

/// A customer as flows see one: fields by name. Nobody has the usual ones, all null.
pub(crate) fn customer_json(customer: Option<&Record>) -> Json {
    let mut map: Map<String, Json> = CUSTOMER_FIELDS.iter().map(|name| ((*name).to_owned(), Json::Null)).collect();
    if let Some(record) = customer {
        map.extend(record.fields.iter().map(|(name, value)| (name.to_owned(), plain(value))));
        map.insert("id".into(), record.id.as_str().into());
    }
    Json::Object(map)
}

/// A value as JSON has it.
pub(crate) fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(yes) => (*yes).into(),
        Value::Int(n) => (*n).into(),
        Value::Decimal(n) => n.to_string().parse::<serde_json::Number>().map_or(Json::Null, Json::Number),
        Value::Text(text) | Value::Date(text) => text.as_str().into(),
        Value::Time(at) => instant_text(*at).into(),
        Value::Ref(reference) => reference.id.as_str().into(),
        Value::Json(json) => json.clone(),
    }
}

/// An instant as people write it.
pub(crate) fn instant_text(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| String::new(), |at| at.to_string())
}

/// Fields with JSON in one of them.
pub(crate) fn with_json(fields: Fields, name: &str, json: Json) -> Fields {
    fields.with(name, Value::Json(json))
}
