//! What a merge did, or would do.

use std::collections::BTreeMap;

use rapport_model::json::to_json;
use rapport_model::{Name, Record, SegmentName, Value};
use serde_json::{Value as Json, json};

use super::FieldChoice;

/// The most records that a report names; the rest is counted.
const LISTED_MAX: usize = 100;

/// What a merge did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(super) survivor: String,
    pub(super) merged: String,
    fields: Vec<Json>,
    /// Records that refer to the survivor now, by `object.field`.
    moved: BTreeMap<String, u64>,
    removed: Vec<String>,
    pub(super) names: BTreeMap<Name, Vec<String>>,
    pub(super) lists: Vec<SegmentName>,
    pub(super) joined: Vec<SegmentName>,
}

impl Report {
    /// A field of the survivor takes another value.
    pub(super) fn took(&mut self, field: &Name, (from, to): (&Value, &Value), choice: FieldChoice) {
        self.fields.push(json!({ "field": field, "from": to_json(from), "to": to_json(to), "from_the": choice }));
    }

    /// A record refers to the survivor now.
    pub(super) fn moved(&mut self, object: &Name, field: &str) {
        *self.moved.entry(format!("{object}.{field}")).or_default() += 1;
    }

    /// A record goes, since the survivor has one already.
    pub(super) fn removed(&mut self, record: &Record) {
        self.removed.push(format!("{}/{}", record.object.name, record.id));
    }

    /// The report as JSON.
    pub(crate) fn to_json(&self) -> Json {
        let removed: Vec<&String> = self.removed.iter().take(LISTED_MAX).collect();
        json!({
            "survivor": self.survivor,
            "merged": self.merged,
            "fields": self.fields,
            "moved": self.moved,
            "removed": removed,
            "names": self.names,
            "lists": self.joined,
            "counts": { "moved": self.moved.values().sum::<u64>(), "removed": self.removed.len() },
        })
    }
}
