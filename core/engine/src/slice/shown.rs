//! How calls are shown in the trace of a run.

use rapport_model::json::to_json;
use rapport_sandbox::{GuestFields, HostError, RecordData};

pub(super) fn about(object: &str, key: &str) -> String {
    if key.contains('/') { key.to_owned() } else { format!("{object}/{key}") }
}

pub(super) fn listed(fields: &GuestFields) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push_str(": ");
        text.push_str(&to_json(value).to_string());
        if text.len() > 400 {
            text.push('…');
            break;
        }
    }
    text
}

pub(super) fn outcome<T>(answer: &Result<T, HostError>, shown: impl FnOnce(&T) -> String) -> String {
    match answer {
        Ok(value) => shown(value),
        Err(error) => format!("{}: {}", error.code, error.message),
    }
}

pub(super) fn named(record: &RecordData) -> String {
    format!("{}/{} at version {}", record.object.name, record.id, record.version)
}
