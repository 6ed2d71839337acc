//! The journal of a run that waits: what its calls returned, so that it can go on after it was started again.
//!
//! A slice of a run that may wait writes down each call with a digest of its arguments and what it returned. When the run
//! waits, the entries are committed with the slice. When it is woken, it runs again from its start: each call is answered
//! from the journal as long as there are entries, and must be the same call with the same arguments.
//!
//! ```text
//! slice 0:  start(record, time) get update sleep*          * not answered yet: the run waits
//! slice 1:  woken(sleep) time find wait_for*
//! slice 2:  woken(wait_for, event 812) time emit           the run ends, its journal goes
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use rapport_model::json::{to_json, value_from_json};
use rapport_model::{FieldKind, Name, Record, Schema, Timestamp, Value};
use rapport_sandbox::{HostError, RecordData};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

/// The entries of one run's slices so far.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Json>,
    /// How many slices there were.
    pub(crate) slices: i64,
    /// How many bytes they take.
    pub(crate) bytes: usize,
}

/// A call that waits, as the journal has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    /// The call: `sleep`, `wait_for`, `ask`, ….
    pub(crate) call: String,
    /// What it asked for.
    pub(crate) request: Json,
}

impl Waiting {
    /// What the `index`th of the events that it waits for must be; most calls wait for one.
    pub(crate) fn alternative(&self, index: i64) -> &Json {
        let several = self.request.get("any").and_then(Json::as_array);
        let one = several.and_then(|all| all.get(usize::try_from(index).ok()?));
        one.unwrap_or(&self.request)
    }
}

impl Journal {
    /// Reads the journal as the store has it, slice by slice.
    ///
    /// # Errors
    /// A text that says which slice is damaged.
    pub(crate) fn read(slices: &[impl AsRef<str>]) -> Result<Self, String> {
        let mut journal = Self::default();
        for text in slices.iter().map(AsRef::as_ref) {
            let entries: Vec<Json> = serde_json::from_str(text)
                .map_err(|e| format!("the journal of slice {} does not read: {e}", journal.slices))?;
            journal.entries.extend(entries);
            journal.slices += 1;
            journal.bytes += text.len();
        }
        Ok(journal)
    }

    /// Reads the last slice alone, which tells what the run waits for.
    ///
    /// # Errors
    /// As for [`Journal::read`].
    pub(crate) fn read_last(slices: &[impl AsRef<str>]) -> Result<Self, String> {
        // A slice that was cut may hold nothing.
        let last = slices.iter().rposition(|text| text.as_ref().len() > "[]".len()).unwrap_or(0);
        Self::read(&slices[last.min(slices.len())..])
    }

    /// The call that the run waits in.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let last = self.entries.back()?;
        let request = last.get("p")?.clone();
        Some(Waiting { call: last.get("c")?.as_str()?.to_owned(), request })
    }

    /// The positions of the events that woke the run.
    pub(crate) fn events(&self) -> Vec<i64> {
        self.entries.iter().filter_map(|entry| entry.pointer("/w/event")?.as_i64()).collect()
    }

    /// How many calls there are.
    pub(crate) fn calls(&self) -> usize {
        self.entries.iter().filter(|entry| entry.get("c").is_some()).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The next call: its name, and what it was about.
    pub(crate) fn next_call(&self) -> Option<(&str, &str)> {
        let entry = self.entries.iter().find(|entry| entry.get("c").is_some())?;
        Some((entry["c"].as_str()?, entry["s"].as_str().unwrap_or_default()))
    }

    /// The next entry.
    pub(crate) fn pop(&mut self) -> Option<Json> {
        self.entries.pop_front()
    }

    /// The time of the slice that begins here, if one does.
    pub(crate) fn pop_time(&mut self) -> Option<Timestamp> {
        let time = self.entries.front()?.get("t")?.as_i64()?;
        self.entries.pop_front();
        Some(Timestamp::from_micros(time))
    }
}

/// A digest of a call's arguments: sixteen hexadecimal digits of their SHA-256.
pub(crate) fn digest(arguments: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash: [u8; 32] = Sha256::digest(arguments.as_bytes()).into();
    let digits = hash[..8].iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Writes a record down.
pub(crate) fn record_json(record: &Record) -> Json {
    let mut fields = Map::new();
    for (i, field) in record.object.fields.iter().enumerate().filter(|(i, _)| !record.at(*i).is_null()) {
        fields.insert(field.name.to_string(), to_json(record.at(i)));
    }
    for (i, formula) in (record.object.first_formula()..).zip(&record.object.formulas) {
        if !record.at(i).is_null() {
            fields.insert(formula.name.to_string(), to_json(record.at(i)));
        }
    }
    json!({
        "o": record.object.name.as_str(), "id": record.id.to_string(), "v": record.version,
        "c": record.created_at.micros(), "u": record.updated_at.micros(), "f": fields,
    })
}

/// Reads a record back. Fields that no longer exist are left out, as are values that no longer fit.
pub(crate) fn read_record(json: &Json, schema: &Schema) -> Option<RecordData> {
    let object = schema.object(json["o"].as_str()?)?;
    let mut record = Record {
        object: object.clone(),
        id: json["id"].as_str()?.parse().ok()?,
        version: json["v"].as_i64()?,
        created_at: Timestamp::from_micros(json["c"].as_i64()?),
        updated_at: Timestamp::from_micros(json["u"].as_i64()?),
        values: Vec::new(),
    };
    for (name, value) in json["f"].as_object()? {
        let Some(place) = object.position(name) else {
            let formula = object.formulas.iter().position(|formula| formula.name.as_str() == name);
            let value =
                formula.and_then(|place| formula_value(&object.formulas[place].kind, value).map(|v| (place, v)));
            if let Some((place, value)) = value {
                record.set_at(object.first_formula() + place, value);
            }
            continue;
        };
        if let Ok(value) = value_from_json(&object.fields[place].kind, value) {
            record.set_at(place, value);
        }
    }
    Some(Arc::new(record))
}

/// Reads the value of a formula, whose decimals may be more than a field has.
fn formula_value(kind: &FieldKind, json: &Json) -> Option<Value> {
    match (kind, json.as_str()) {
        (FieldKind::Decimal { .. }, Some(text)) => text.parse().ok().map(Value::Decimal),
        _ => value_from_json(kind, json).ok(),
    }
}

/// Writes a value down with its kind.
pub(crate) fn value_json(value: &Value) -> Json {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Decimal(_) => "decimal",
        Value::Text(_) => "text",
        Value::Date(_) => "date",
        Value::Time(_) => "time",
        Value::Ref(_) => "ref",
        Value::Json(_) => "json",
    };
    json!([kind, to_json(value)])
}

/// Reads a value back.
pub(crate) fn read_value(json: &Json) -> Option<Value> {
    let value = json.get(1)?;
    Some(match json.get(0)?.as_str()? {
        "null" => Value::Null,
        "bool" => Value::Bool(value.as_bool()?),
        "int" => Value::Int(value.as_i64()?),
        "decimal" => Value::Decimal(value.as_str()?.parse().ok()?),
        "text" => Value::text(value.as_str()?),
        "date" => Value::Date(value.as_str()?.parse().ok()?),
        "time" => Value::Time(value.as_str()?.parse().ok()?),
        "ref" => Value::Ref(value.as_str()?.parse().ok()?),
        "json" => Value::Json(Arc::new(value.clone())),
        _ => return None,
    })
}

/// Writes parameters down.
pub(crate) fn params_json(params: &[(String, Value)]) -> Json {
    params.iter().map(|(name, value)| json!([name, value_json(value)])).collect()
}

/// Reads parameters back.
pub(crate) fn read_params(json: &Json) -> Option<Vec<(String, Value)>> {
    json.as_array()?.iter().map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), read_value(pair.get(1)?)?))).collect()
}

/// Writes down why a call failed.
pub(crate) fn error_json(error: &HostError) -> Json {
    json!({ "code": error.code, "message": error.message, "retryable": error.retryable })
}

/// Reads a failure back.
pub(crate) fn read_error(json: &Json) -> Option<HostError> {
    let (code, message) = (json["code"].as_str()?.to_owned(), json["message"].as_str()?.to_owned());
    Some(HostError { code: code.into(), message, retryable: json["retryable"].as_bool()?, ends_slice: false })
}

/// The field by which a run that waits is found, for events about the record that its own event was about.
pub(crate) fn subject_field() -> Name {
    Name::new("subject").expect("a word of lower-case letters is a name")
}

#[cfg(test)]
mod tests {
    use rapport_model::standard;

    use super::*;

    #[test]
    fn values_read_back_as_they_were() {
        let all = [
            Value::Null,
            Value::Bool(true),
            Value::Int(-7),
            Value::Decimal("120.50".parse().unwrap()),
            Value::text("\u{1F600}\"\n"),
            Value::Date("2026-03-01".parse().unwrap()),
            Value::Time("2026-03-01T02:00:00Z".parse().unwrap()),
            Value::Ref(rapport_model::RecordId::from_parts(1, [7; 10])),
            Value::Json(Arc::new(json!({ "a": [1, null] }))),
        ];
        for value in all {
            assert_eq!(read_value(&value_json(&value)), Some(value));
        }
        assert_eq!(read_value(&json!(["int", "x"])), None);
    }

    #[test]
    fn a_record_reads_back_without_what_is_gone() {
        let customer = Arc::new(standard::objects().into_iter().find(|o| o.name.as_str() == "customer").unwrap());
        let schema = Schema::default();
        assert!(read_record(&json!({ "o": "customer" }), &schema).is_none());
        let mut record = Record {
            object: customer.clone(),
            id: rapport_model::RecordId::from_parts(5, [1; 10]),
            version: 3,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::from_micros(9),
            values: Vec::new(),
        };
        record.set_at(customer.position("name").unwrap(), Value::text("Ada"));
        let mut written = record_json(&record);
        written["f"]["gone"] = json!(1);
        let mut schema = Schema::default();
        schema.objects.insert(customer.name.clone(), customer.clone());
        let read = read_record(&written, &schema).unwrap();
        assert_eq!((read.get("name"), read.version, read.updated_at), (&Value::text("Ada"), 3, record.updated_at));
    }

    #[test]
    fn a_journal_tells_what_its_run_waits_in() {
        let slices = [
            r#"[{"t":5},{"c":"sleep","a":"x","p":{"until":9}}]"#.to_owned(),
            r#"[{"w":{}},{"t":9},{"c":"wait_for","a":"y","p":{"kind":"order.paid"}}]"#.to_owned(),
        ];
        let journal = Journal::read(&slices).unwrap();
        assert_eq!((journal.slices, journal.len()), (2, 5));
        let waiting = journal.waiting().unwrap();
        assert_eq!((waiting.call.as_str(), &waiting.request["kind"]), ("wait_for", &json!("order.paid")));
        assert_eq!(Journal::read_last(&slices).unwrap().waiting(), Some(waiting));
        assert!(Journal::read(&["["]).is_err());
    }

    #[test]
    fn digests_tell_arguments_apart() {
        assert_eq!(digest("a").len(), 16);
        assert_ne!(digest("a"), digest("b"));
    }
}
