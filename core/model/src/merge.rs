//! Merging: one record goes, and another stays for both.
//!
//! ```text
//! asked for ─┬─▶ record.merging    both are there: plugins move what they keep by a record's id
//!            └─▶ merge.requested   references, tags and lists go over, the one goes, its names lead to the other ─▶ record.merged
//! ```
//! That a name leads to another record is itself a record, of the system object `merged_record`: it is in the log, and is taken back with the
//! merge.

use std::collections::BTreeMap;

use crate::id::RecordId;
use crate::name::Name;
use crate::record::Record;
use crate::value::Value;

/// Both are there still; the event is about the one that stays, `merged` is the id of the other.
pub const MERGING: &str = "record.merging";
/// It is done; the event is about the record that stayed, `merged` is the id of the one that went. `lists` are the manual and frozen segments
/// that it was in, `joined` those of them that the other came into by it.
pub const MERGED: &str = "record.merged";
/// The system object that says which names lead to which record.
pub const OBJECT: &str = "merged_record";

/// Where the names of a record lead that was merged into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedRecord {
    /// The object of both.
    pub object: Name,
    /// The record that went.
    pub merged: RecordId,
    /// The record that stayed.
    pub survivor: RecordId,
    /// The values of unique fields that neither has any more, and that lead to the one that stayed: as JSON text, by field.
    pub keys: BTreeMap<Name, Vec<String>>,
}

impl MergedRecord {
    /// Reads a record of [`OBJECT`]; none if it is none.
    #[must_use]
    pub fn of_record(record: &Record) -> Option<Self> {
        let id = |field: &str| record.get(field).as_text()?.parse().ok();
        Some(Self {
            object: Name::new(record.get("object").as_text()?).ok()?,
            merged: id("merged")?,
            survivor: id("survivor")?,
            keys: keys_in(record.get("keys")),
        })
    }

    /// The values of its fields.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Value); 4] {
        [
            ("object", Value::text(self.object.as_str())),
            ("merged", Value::text(&id_text(self.merged))),
            ("survivor", Value::text(&id_text(self.survivor))),
            ("keys", Value::Json(std::sync::Arc::new(serde_json::json!(self.keys)))),
        ]
    }
}

/// An id as these records write it: 32 hexadecimal digits, which both databases turn into an id.
#[must_use]
pub fn id_text(id: RecordId) -> String {
    id.0.simple().to_string()
}

/// The keys in the field `keys`.
#[must_use]
pub fn keys_in(value: &Value) -> BTreeMap<Name, Vec<String>> {
    match value {
        Value::Json(json) => serde_json::from_value((**json).clone()).unwrap_or_default(),
        _ => BTreeMap::new(),
    }
}
