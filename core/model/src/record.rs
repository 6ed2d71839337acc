//! Records: rows of objects, and the changes that make their next version.

use std::sync::Arc;

use crate::id::RecordId;
use crate::name::Name;
use crate::schema::ObjectDef;
use crate::tags::TagEdit;
use crate::time::Timestamp;
use crate::value::Value;

static NULL: Value = Value::Null;

/// One row of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The object as it was when the record was read.
    pub object: Arc<ObjectDef>,
    /// Its id.
    pub id: RecordId,
    /// Counts up from 1 with every change.
    pub version: i64,
    /// The `time` of the event that created it.
    pub created_at: Timestamp,
    /// The `time` of the event that changed it last.
    pub updated_at: Timestamp,
    /// The values in the order of the object's fields. May be shorter: a field added since reads as null.
    pub values: Vec<Value>,
}

impl Record {
    /// The value of the field `name`; null if there is no such field. Knows `id`, `version`, `created_at` and
    /// `updated_at` too, which are no fields: see [`Record::system`].
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        self.object.position(name).map_or(&NULL, |i| self.at(i))
    }

    /// The value at the place `index` of the object's fields.
    #[must_use]
    pub fn at(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&NULL)
    }

    /// Puts `value` at the place `index` of the object's fields.
    pub fn set_at(&mut self, index: usize, value: Value) {
        if self.values.len() <= index {
            self.values.resize(index + 1, Value::Null);
        }
        self.values[index] = value;
    }

    /// The value of a system field: `id`, `version`, `created_at`, `updated_at`.
    #[must_use]
    pub fn system(&self, name: &str) -> Option<Value> {
        match name {
            "id" => Some(Value::Ref(self.id)),
            "version" => Some(Value::Int(self.version)),
            "created_at" => Some(Value::Time(self.created_at)),
            "updated_at" => Some(Value::Time(self.updated_at)),
            _ => None,
        }
    }

    /// The lane of this record: the record named by the object's lane field if it has one and it is set, else itself.
    #[must_use]
    pub fn lane(&self) -> RecordId {
        let field = self.object.lane.as_ref();
        field.and_then(|f| self.get(f.as_str()).as_ref_id()).unwrap_or(self.id)
    }
}

/// The fields that every record has beside those of its object.
pub const SYSTEM_FIELDS: [&str; 4] = ["id", "version", "created_at", "updated_at"];

/// What happens to one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It takes this value.
    Set(Value),
    /// It grows by this number (null counts as 0), whatever others do to it meanwhile.
    Increment(Value),
    /// Tags come and go, whatever others do to them meanwhile.
    Tag(TagEdit),
}

/// What happens to one record.
#[derive(Debug, Clone, PartialEq)]
pub enum PutKind {
    /// It comes to be, with these values; fields not named take their defaults.
    Create,
    /// Fields change. A put that changes nothing makes no version and no event.
    Update,
    /// It goes. Its last state stays in the log.
    Delete,
}

/// One change of one record inside a unit of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// The object.
    pub object: Name,
    /// The record.
    pub id: RecordId,
    /// What happens.
    pub kind: PutKind,
    /// The field changes, empty for a deletion. Each field at most once.
    pub changes: Vec<(Name, Change)>,
}
